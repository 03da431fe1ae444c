
/*
 * How Yandex is asked: the body of a submit, of a location's settings and a
 * client's text or native request, and the headers of every call.
 */


#include "ngx_completion_yandex.h"


#define NGX_COMPLETION_YANDEX_MODEL_MAX  512

#define ngx_completion_native_bit(type)                                       \
    (1 << NGX_COMPLETION_JSON_##type)

#define ngx_completion_native_path(parent, part, name)                        \
    { NGX_COMPLETION_NATIVE_##parent, NGX_COMPLETION_NATIVE_##part,           \
      ngx_string(name) }


enum {
    NGX_COMPLETION_NATIVE_ROOT = NGX_COMPLETION_JSON_ROOT,
    NGX_COMPLETION_NATIVE_MODEL,
    NGX_COMPLETION_NATIVE_OPTIONS,
    NGX_COMPLETION_NATIVE_TEMPERATURE,
    NGX_COMPLETION_NATIVE_MAX_TOKENS,
    NGX_COMPLETION_NATIVE_REASONING,
    NGX_COMPLETION_NATIVE_MODE,
    NGX_COMPLETION_NATIVE_MESSAGES,
    NGX_COMPLETION_NATIVE_JSON_OBJECT,
    NGX_COMPLETION_NATIVE_JSON_SCHEMA,
    NGX_COMPLETION_NATIVE_TOOLS,
    NGX_COMPLETION_NATIVE_TOOL_CHOICE,
    NGX_COMPLETION_NATIVE_PARALLEL,
    NGX_COMPLETION_NATIVE_LAST
};


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_json_writer_t  *writer;   /* of an array of the parts */
    ngx_uint_t                     part;     /* the one being copied */
    ngx_uint_t                     depth;    /* of that one */
    ngx_uint_t                     messages;
    const char                    *reason;   /* of NGX_DECLINED */

    ngx_str_t                      model;    /* unescaped */
    ngx_str_t                      text;     /* of all parts */
    size_t                         start[NGX_COMPLETION_NATIVE_LAST];
    ngx_str_t                      parts[NGX_COMPLETION_NATIVE_LAST];
} ngx_completion_native_t;


typedef struct {
    ngx_uint_t                     types;    /* allowed, by bit; 0: any */
    char                          *reason;
} ngx_completion_native_rule_t;


/* a word of a configuration, and the JSON that it stands for */
typedef struct {
    ngx_str_t                      word;
    ngx_str_t                      json;
} ngx_completion_yandex_word_t;


static ngx_int_t ngx_completion_yandex_model(ngx_completion_provider_t *p,
    ngx_pool_t *pool, ngx_str_t *model, ngx_str_t *uri, const char **reason);
static const char *ngx_completion_yandex_utf8(
    ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_yandex_write(ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native,
    ngx_str_t *uri, ngx_str_t *body);
static void ngx_completion_yandex_options(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native);
static void ngx_completion_yandex_messages(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native);
static void ngx_completion_yandex_part(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *part);
static ngx_int_t ngx_completion_yandex_native(ngx_pool_t *pool,
    ngx_str_t *text, ngx_completion_native_t *native);
static ngx_int_t ngx_completion_native_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_native_part(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event);


static const ngx_completion_json_path_t  ngx_completion_native_paths[] = {
    ngx_completion_native_path(ROOT, MODEL, "modelUri"),
    ngx_completion_native_path(ROOT, OPTIONS, "completionOptions"),
    ngx_completion_native_path(OPTIONS, TEMPERATURE, "temperature"),
    ngx_completion_native_path(OPTIONS, MAX_TOKENS, "maxTokens"),
    ngx_completion_native_path(OPTIONS, REASONING, "reasoningOptions"),
    ngx_completion_native_path(REASONING, MODE, "mode"),
    ngx_completion_native_path(ROOT, MESSAGES, "messages"),
    ngx_completion_native_path(ROOT, JSON_OBJECT, "jsonObject"),
    ngx_completion_native_path(ROOT, JSON_SCHEMA, "jsonSchema"),
    ngx_completion_native_path(ROOT, TOOLS, "tools"),
    ngx_completion_native_path(ROOT, TOOL_CHOICE, "toolChoice"),
    ngx_completion_native_path(ROOT, PARALLEL, "parallelToolCalls"),
    { 0, 0, ngx_null_string }
};


/* by node; int64 may be a number or a string, as upstream's proto JSON says */

static const ngx_completion_native_rule_t
    ngx_completion_native_rules[NGX_COMPLETION_NATIVE_LAST] =
{
    { 0, NULL },
    { 0, NULL },
    { ngx_completion_native_bit(STRING), "\"modelUri\" must be a string" },
    { ngx_completion_native_bit(OBJECT),
      "\"completionOptions\" must be an object" },
    { ngx_completion_native_bit(NUMBER), "\"temperature\" must be a number" },
    { ngx_completion_native_bit(NUMBER)|ngx_completion_native_bit(STRING),
      "\"maxTokens\" must be a number or a string" },
    { ngx_completion_native_bit(OBJECT),
      "\"reasoningOptions\" must be an object" },
    { ngx_completion_native_bit(STRING), "\"mode\" must be a string" },
    { ngx_completion_native_bit(ARRAY),
      "\"messages\" must be an array of objects" }
};


static ngx_completion_yandex_word_t  ngx_completion_yandex_words[] = {
    { ngx_string("disabled"), ngx_string("\"DISABLED\"") },
    { ngx_string("enabled_hidden"), ngx_string("\"ENABLED_HIDDEN\"") },
    { ngx_null_string, ngx_null_string }
};


ngx_int_t
ngx_completion_yandex_body(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_str_t *body, ngx_str_t *reason)
{
    ngx_int_t                 rc;
    ngx_str_t                *model, uri;
    const char               *fault;
    ngx_completion_native_t   native;

    ngx_memzero(&native, sizeof(ngx_completion_native_t));
    ngx_str_null(reason);

    fault = ngx_completion_yandex_utf8(prompt);
    rc = fault ? NGX_DECLINED : NGX_OK;

    if (rc == NGX_OK && prompt->native.len) {
        rc = ngx_completion_yandex_native(pool, &prompt->native, &native);
        fault = native.reason;
    }

    if (rc == NGX_OK) {
        model = prompt->model.len ? &prompt->model : &native.model;
        rc = ngx_completion_yandex_model(p, pool, model, &uri, &fault);
    }

    if (rc == NGX_DECLINED) {
        reason->data = (u_char *) fault;
        reason->len = ngx_strlen(fault);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_completion_yandex_write(pool, prompt, &native, &uri, body);

    if (native.text.data) {
        (void) ngx_pfree(pool, native.text.data);
    }

    return rc;
}


static const char *
ngx_completion_yandex_utf8(ngx_completion_prompt_t *prompt)
{
    ngx_uint_t                 i;
    ngx_completion_message_t  *message;

    /* a location's messages may hold variables, so anything */

    message = prompt->messages.elts;

    for (i = 0; i < prompt->messages.nelts; i++) {
        if (ngx_completion_utf8_check(message[i].text.data,
                                      message[i].text.len)
            != NGX_OK)
        {
            return "a message is not valid UTF-8";
        }
    }

    if (prompt->native.len) {
        return NULL;
    }

    if (prompt->text.len == 0) {
        return "the text is empty";
    }

    if (ngx_completion_utf8_check(prompt->text.data, prompt->text.len)
        != NGX_OK)
    {
        return "the text is not valid UTF-8";
    }

    return NULL;
}


static ngx_int_t
ngx_completion_yandex_model(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_str_t *model, ngx_str_t *uri, const char **reason)
{
    u_char      c, *last;
    ngx_uint_t  i;

    if (model->len == 0) {
        *reason = "the model is missing";
        return NGX_DECLINED;
    }

    if (model->len > NGX_COMPLETION_YANDEX_MODEL_MAX) {
        *reason = "the model's name is too long";
        return NGX_DECLINED;
    }

    for (i = 0; i < model->len; i++) {
        c = model->data[i];

        if (c <= ' ' || c >= 0x7f || ngx_strchr("\"'\\`<>{}|^", c)) {
            *reason = "the model's name holds a character it may not";
            return NGX_DECLINED;
        }
    }

    if (ngx_strnstr(model->data, "://", model->len)) {
        *uri = *model;
        return NGX_OK;
    }

    if (p->tenant.len == 0) {
        *reason = "the model must be given as a URI";
        return NGX_DECLINED;
    }

    uri->data = ngx_pnalloc(pool, sizeof("gpt:///") - 1 + p->tenant.len
                                  + model->len);
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(uri->data, "gpt://%V/%V", &p->tenant, model);
    uri->len = last - uri->data;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_yandex_write(ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native,
    ngx_str_t *uri, ngx_str_t *body)
{
    ngx_str_t                     *parts;
    ngx_completion_json_writer_t  *w;

    parts = native->parts;

    w = ngx_completion_json_writer_sized(pool, prompt->text.len
                                               + prompt->schema.len
                                               + native->text.len + 1024);
    ngx_completion_json_object(w);

    ngx_completion_json_key(w, "modelUri");
    ngx_completion_json_string(w, uri);

    ngx_completion_yandex_options(w, prompt, native);
    ngx_completion_yandex_messages(w, prompt, native);

    switch (prompt->format) {

    case NGX_COMPLETION_FORMAT_JSON:
        ngx_completion_json_key(w, "jsonObject");
        ngx_completion_json_boolean(w, 1);
        break;

    case NGX_COMPLETION_FORMAT_SCHEMA:
        ngx_completion_json_key(w, "jsonSchema");
        ngx_completion_json_object(w);
        ngx_completion_yandex_part(w, "schema", &prompt->schema);
        ngx_completion_json_end(w);
        break;

    default:
        ngx_completion_yandex_part(w, "jsonObject",
                                   &parts[NGX_COMPLETION_NATIVE_JSON_OBJECT]);
        ngx_completion_yandex_part(w, "jsonSchema",
                                   &parts[NGX_COMPLETION_NATIVE_JSON_SCHEMA]);
    }

    ngx_completion_yandex_part(w, "tools",
                               &parts[NGX_COMPLETION_NATIVE_TOOLS]);
    ngx_completion_yandex_part(w, "toolChoice",
                               &parts[NGX_COMPLETION_NATIVE_TOOL_CHOICE]);
    ngx_completion_yandex_part(w, "parallelToolCalls",
                               &parts[NGX_COMPLETION_NATIVE_PARALLEL]);

    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, body);
}


static void
ngx_completion_yandex_options(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native)
{
    ngx_str_t  *temperature, *max_tokens, *mode;

    temperature = &native->parts[NGX_COMPLETION_NATIVE_TEMPERATURE];
    max_tokens = &native->parts[NGX_COMPLETION_NATIVE_MAX_TOKENS];
    mode = &native->parts[NGX_COMPLETION_NATIVE_MODE];

    if (prompt->temperature.len) {
        temperature = &prompt->temperature;
    }

    if (prompt->reasoning.len) {
        mode = ngx_completion_yandex_reasoning(&prompt->reasoning);
    }

    if (temperature->len == 0 && max_tokens->len == 0 && mode->len == 0
        && prompt->max_tokens.len == 0)
    {
        return;
    }

    ngx_completion_json_key(w, "completionOptions");
    ngx_completion_json_object(w);

    ngx_completion_yandex_part(w, "temperature", temperature);

    if (prompt->max_tokens.len) {
        ngx_completion_json_key(w, "maxTokens");
        ngx_completion_json_string(w, &prompt->max_tokens);

    } else {
        ngx_completion_yandex_part(w, "maxTokens", max_tokens);
    }

    if (mode->len) {
        ngx_completion_json_key(w, "reasoningOptions");
        ngx_completion_json_object(w);
        ngx_completion_yandex_part(w, "mode", mode);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
}


ngx_str_t *
ngx_completion_yandex_reasoning(ngx_str_t *word)
{
    ngx_completion_yandex_word_t  *w;

    for (w = ngx_completion_yandex_words; w->word.len; w++) {
        if (w->word.len == word->len
            && ngx_memcmp(w->word.data, word->data, word->len) == 0)
        {
            return &w->json;
        }
    }

    return NULL;
}


static void
ngx_completion_yandex_messages(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native)
{
    ngx_str_t                  elements;
    ngx_uint_t                 i;
    ngx_completion_message_t  *message;

    ngx_completion_json_key(w, "messages");
    ngx_completion_json_array(w);

    message = prompt->messages.elts;

    for (i = 0; i < prompt->messages.nelts; i++) {
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, "role");
        ngx_completion_json_string(w, &message[i].role);
        ngx_completion_json_key(w, "text");
        ngx_completion_json_string(w, &message[i].text);
        ngx_completion_json_end(w);
    }

    elements = native->parts[NGX_COMPLETION_NATIVE_MESSAGES];

    if (elements.len) {

        /* the client's array without its brackets, and it is not empty */

        elements.data++;
        elements.len -= 2;

        ngx_completion_json_raw(w, &elements);

    } else {
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, "role");
        ngx_completion_json_cstring(w, "user");
        ngx_completion_json_key(w, "text");
        ngx_completion_json_string(w, &prompt->text);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
}


static void
ngx_completion_yandex_part(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *part)
{
    if (part->len) {
        ngx_completion_json_key(w, name);
        ngx_completion_json_raw(w, part);
    }
}


/*
 * A native request is an object in upstream's own spelling.  The parts of it
 * that go upstream, as JSON texts, in whatever order they came, are copied
 * into one array, of which each knows its piece; there is one message at
 * least.  Nothing else of it goes upstream.
 */

static ngx_int_t
ngx_completion_yandex_native(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_native_t *native)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    native->pool = pool;

    native->writer = ngx_completion_json_writer_sized(pool, text->len + 64);
    if (native->writer == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_json_array(native->writer);

    rc = ngx_completion_json_read(pool, text, ngx_completion_native_paths,
                                  ngx_completion_native_event,
                                  native, &native->reason);
    if (rc != NGX_OK) {
        return rc;
    }

    if (native->messages == 0) {
        native->reason = "\"messages\" are missing";
        return NGX_DECLINED;
    }

    ngx_completion_json_end(native->writer);

    if (ngx_completion_json_writer_finish(native->writer, &native->text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_COMPLETION_NATIVE_LAST; i++) {
        native->parts[i].data = native->text.data + native->start[i];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_native_event(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_native_t *native = data;

    size_t                               written;
    const ngx_completion_native_rule_t  *rule;

    if (native->part) {
        return ngx_completion_native_part(native, event);
    }

    if (event->node <= NGX_COMPLETION_JSON_ROOT
        || event->type == NGX_COMPLETION_JSON_KEY
        || event->type == NGX_COMPLETION_JSON_END
        || event->type == NGX_COMPLETION_JSON_NULL)
    {
        return NGX_OK;
    }

    rule = &ngx_completion_native_rules[event->node];

    if (rule->types && !(rule->types & (1 << event->type))) {
        native->reason = rule->reason;
        return NGX_DECLINED;
    }

    switch (event->node) {

    case NGX_COMPLETION_NATIVE_OPTIONS:
    case NGX_COMPLETION_NATIVE_REASONING:
        return NGX_OK;

    case NGX_COMPLETION_NATIVE_MODEL:
        native->model.len = event->value.len;
        native->model.data = ngx_pstrdup(native->pool, &event->value);

        return native->model.data ? NGX_OK : NGX_ERROR;
    }

    native->part = event->node;
    native->depth = event->depth;

    /* behind the bracket, or a comma that is to come */

    written = ngx_completion_json_written(native->writer);
    native->start[native->part] = (written == 1) ? 1 : written + 1;

    return ngx_completion_native_part(native, event);
}


static ngx_int_t
ngx_completion_native_part(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event)
{
    if (event->parent == NGX_COMPLETION_NATIVE_MESSAGES) {

        if (event->type == NGX_COMPLETION_JSON_OBJECT) {
            native->messages++;

        } else if (event->type != NGX_COMPLETION_JSON_END) {
            native->reason =
                ngx_completion_native_rules[NGX_COMPLETION_NATIVE_MESSAGES]
                .reason;
            return NGX_DECLINED;
        }
    }

    if (native->part == NGX_COMPLETION_NATIVE_MESSAGES
        && event->type == NGX_COMPLETION_JSON_STRING
        && ngx_strlchr(event->value.data,
                       event->value.data + event->value.len, '\0'))
    {
        native->reason = "a message has a NUL character in it";
        return NGX_DECLINED;
    }

    ngx_completion_json_event(native->writer, event);

    if (event->depth == native->depth
        && event->type != NGX_COMPLETION_JSON_OBJECT
        && event->type != NGX_COMPLETION_JSON_ARRAY)
    {
        native->parts[native->part].len =
                                  ngx_completion_json_written(native->writer)
                                  - native->start[native->part];
        native->part = 0;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_yandex_call(ngx_completion_provider_t *p,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f, ngx_str_t *text,
    u_char *request_id)
{
    u_char                         uuid[sizeof("01234567-89ab-cdef-0123-"
                                               "456789abcdef") - 1];
    ngx_int_t                      rc;
    ngx_str_t                      type, off, id;
    ngx_uint_t                     i;
    ngx_completion_yandex_conf_t  *conf;

    conf = p->conf;

    ngx_str_set(&type, "application/json");
    ngx_str_set(&off, "false");

    switch (kind) {

    case NGX_COMPLETION_KIND_SUBMIT:
        rc = ngx_completion_fetch_header(f, "Content-Type", &type);
        break;

    case NGX_COMPLETION_KIND_POLL:
        rc = ngx_completion_provider_suffix(f, text, "");
        break;

    default: /* NGX_COMPLETION_KIND_CANCEL */
        rc = ngx_completion_provider_suffix(f, text, ":cancel");
    }

    if (rc != NGX_OK
        || (p->tenant.len
            && ngx_completion_fetch_header(f, "x-folder-id", &p->tenant)
               != NGX_OK)
        || (!conf->data_logging
            && ngx_completion_fetch_header(f, "x-data-logging-enabled", &off)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (kind != NGX_COMPLETION_KIND_SUBMIT) {
        return NGX_OK;
    }

    id.data = uuid;
    id.len = 0;

    for (i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) {
            uuid[id.len++] = '-';
        }

        uuid[id.len++] = request_id[i];
    }

    return ngx_completion_fetch_header(f, "x-client-request-id", &id);
}
