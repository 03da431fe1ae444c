
/*
 * How Yandex is asked: the body of a submit, of a location's settings and a
 * client's text or native request, and the headers of every call.
 */


#include "ngx_completion_yandex.h"


#define NGX_COMPLETION_YANDEX_MODEL_MAX  512

#define NGX_COMPLETION_YANDEX_NAME_MAX   64


/*
 * The members of a native request, a line each: what it lies in, its two names
 * as upstream's proto JSON has them, and its type.  What has no name is every
 * element of an array; what is in none of the lines is refused.
 */

#define NGX_COMPLETION_NATIVE_LIST(X)                                         \
    X(MODEL, ROOT, "modelUri", "model_uri", STRING)                           \
    X(OPTIONS, ROOT, "completionOptions", "completion_options", OBJECT)       \
    X(TEMPERATURE, OPTIONS, "temperature", "temperature", NUMBER)             \
    X(MAX_TOKENS, OPTIONS, "maxTokens", "max_tokens", INT64)                  \
    X(REASONING, OPTIONS, "reasoningOptions", "reasoning_options", OBJECT)    \
    X(MODE, REASONING, "mode", "mode", STRING)                                \
    X(MESSAGES, ROOT, "messages", "messages", ARRAY)                          \
    X(MESSAGE, MESSAGES, "", "", ELEMENT)                                     \
    X(ROLE, MESSAGE, "role", "role", STRING)                                  \
    X(TEXT, MESSAGE, "text", "text", STRING)                                  \
    X(CALL_LIST, MESSAGE, "toolCallList", "tool_call_list", OBJECT)           \
    X(CALLS, CALL_LIST, "toolCalls", "tool_calls", ARRAY)                     \
    X(CALL, CALLS, "", "", ELEMENT)                                           \
    X(CALLED, CALL, "functionCall", "function_call", OBJECT)                  \
    X(CALLED_NAME, CALLED, "name", "name", STRING)                            \
    X(ARGUMENTS, CALLED, "arguments", "arguments", FREE)                      \
    X(RESULT_LIST, MESSAGE, "toolResultList", "tool_result_list", OBJECT)     \
    X(RESULTS, RESULT_LIST, "toolResults", "tool_results", ARRAY)             \
    X(RESULT, RESULTS, "", "", ELEMENT)                                       \
    X(GAVE, RESULT, "functionResult", "function_result", OBJECT)              \
    X(GAVE_NAME, GAVE, "name", "name", STRING)                                \
    X(CONTENT, GAVE, "content", "content", STRING)                            \
    X(JSON_OBJECT, ROOT, "jsonObject", "json_object", BOOLEAN)                \
    X(JSON_SCHEMA, ROOT, "jsonSchema", "json_schema", OBJECT)                 \
    X(SCHEMA, JSON_SCHEMA, "schema", "schema", FREE)                          \
    X(TOOLS, ROOT, "tools", "tools", ARRAY)                                   \
    X(TOOL, TOOLS, "", "", ELEMENT)                                           \
    X(FUNCTION, TOOL, "function", "function", OBJECT)                         \
    X(NAME, FUNCTION, "name", "name", STRING)                                 \
    X(DESCRIPTION, FUNCTION, "description", "description", STRING)            \
    X(PARAMETERS, FUNCTION, "parameters", "parameters", FREE)                 \
    X(STRICT, FUNCTION, "strict", "strict", BOOLEAN)                          \
    X(TOOL_CHOICE, ROOT, "toolChoice", "tool_choice", OBJECT)                 \
    X(CHOICE_MODE, TOOL_CHOICE, "mode", "mode", STRING)                       \
    X(CHOICE_NAME, TOOL_CHOICE, "functionName", "function_name", STRING)      \
    X(PARALLEL, ROOT, "parallelToolCalls", "parallel_tool_calls", BOOLEAN)    \
    /* there is nothing to stream here */                                     \
    X(STREAM, ROOT, "stream", "stream", IGNORED)                              \
    X(STREAM_OPTION, OPTIONS, "stream", "stream", IGNORED)

/* A type's events by bit, 0: any; in words; whether members in it are known */

#define ngx_completion_native_bit(type)  (1 << NGX_COMPLETION_JSON_##type)

#define NGX_COMPLETION_NATIVE_OF_STRING                                       \
    ngx_completion_native_bit(STRING), "a string", 1
#define NGX_COMPLETION_NATIVE_OF_NUMBER                                       \
    ngx_completion_native_bit(NUMBER), "a number", 1
#define NGX_COMPLETION_NATIVE_OF_INT64                                        \
    ngx_completion_native_bit(NUMBER)|ngx_completion_native_bit(STRING),      \
    "a number or a string", 1
#define NGX_COMPLETION_NATIVE_OF_BOOLEAN                                      \
    ngx_completion_native_bit(BOOLEAN), "true or false", 1
#define NGX_COMPLETION_NATIVE_OF_OBJECT                                       \
    ngx_completion_native_bit(OBJECT), "an object", 1
#define NGX_COMPLETION_NATIVE_OF_ARRAY                                        \
    ngx_completion_native_bit(ARRAY), "an array of objects", 1
#define NGX_COMPLETION_NATIVE_OF_ELEMENT                                      \
    ngx_completion_native_bit(OBJECT), "an array of objects", 1
#define NGX_COMPLETION_NATIVE_OF_FREE                                         \
    ngx_completion_native_bit(OBJECT), "an object", 0
#define NGX_COMPLETION_NATIVE_OF_IGNORED  0, NULL, 0

#define NGX_COMPLETION_NATIVE_NODE(node, parent, camel, snake, type)          \
    NGX_COMPLETION_NATIVE_##node,
#define NGX_COMPLETION_NATIVE_PATHS(node, parent, camel, snake, type)         \
    { NGX_COMPLETION_NATIVE_##parent, NGX_COMPLETION_NATIVE_##node,           \
      ngx_string(camel) },                                                    \
    { NGX_COMPLETION_NATIVE_##parent, NGX_COMPLETION_NATIVE_##node,           \
      ngx_string(snake) },
#define NGX_COMPLETION_NATIVE_MEMBER(node, parent, camel, snake, type)        \
    { ngx_string(camel), NGX_COMPLETION_NATIVE_##parent,                      \
      NGX_COMPLETION_NATIVE_OF_##type },


enum {
    NGX_COMPLETION_NATIVE_ROOT = NGX_COMPLETION_JSON_ROOT,
    NGX_COMPLETION_NATIVE_LIST(NGX_COMPLETION_NATIVE_NODE)
    NGX_COMPLETION_NATIVE_LAST
};


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_json_writer_t  *writer;   /* of an array of the parts */
    ngx_uint_t                     part;     /* the one being copied */
    ngx_uint_t                     depth;    /* of that one */
    ngx_uint_t                     messages;
    ngx_array_t                   *inputs;   /* see ngx_completion_prompt_t */
    const char                    *reason;   /* of NGX_DECLINED */

    ngx_str_t                      model;    /* unescaped */
    ngx_str_t                      text;     /* of all parts */
    size_t                         start[NGX_COMPLETION_NATIVE_LAST];
    ngx_str_t                      parts[NGX_COMPLETION_NATIVE_LAST];
} ngx_completion_native_t;


typedef struct {
    ngx_str_t                      name;
    ngx_uint_t                     parent;
    ngx_uint_t                     types;
    const char                    *words;
    ngx_uint_t                     known;
} ngx_completion_native_member_t;


/* a word of a configuration, and the JSON that it stands for; off, then on */
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
static void ngx_completion_yandex_turns(ngx_completion_json_writer_t *w,
    ngx_array_t *turns);
static void ngx_completion_yandex_functions(ngx_completion_json_writer_t *w,
    ngx_array_t *functions, ngx_uint_t calls);
static void ngx_completion_yandex_tools(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt);
static void ngx_completion_yandex_part(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *part);
static ngx_int_t ngx_completion_yandex_native(ngx_pool_t *pool,
    ngx_str_t *text, ngx_completion_native_t *native);
static ngx_int_t ngx_completion_native_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_native_check(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event);
static ngx_uint_t ngx_completion_native_input(ngx_completion_native_t *native,
    ngx_str_t *name);
static ngx_int_t ngx_completion_native_part(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event);


static const ngx_completion_json_path_t  ngx_completion_native_paths[] = {
    NGX_COMPLETION_NATIVE_LIST(NGX_COMPLETION_NATIVE_PATHS)
    { 0, 0, ngx_null_string }
};


/* by node; of what is within something free there is none */

static const ngx_completion_native_member_t
    ngx_completion_native_members[NGX_COMPLETION_NATIVE_LAST] =
{
    { ngx_null_string, 0, 0, NULL, 0 },
    { ngx_null_string, 0, 0, NULL, 1 },
    NGX_COMPLETION_NATIVE_LIST(NGX_COMPLETION_NATIVE_MEMBER)
};


static const char  *ngx_completion_yandex_choices[] = {
    NULL, "NONE", "AUTO", "REQUIRED"
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
        native.inputs = prompt->inputs;
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

    if (prompt->native.len || prompt->turns.nelts) {
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

    last = ngx_cpymem(uri->data, "gpt://", sizeof("gpt://") - 1);
    last = ngx_cpymem(last, p->tenant.data, p->tenant.len);
    *last++ = '/';
    last = ngx_cpymem(last, model->data, model->len);
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

    ngx_completion_json_key_string(w, "modelUri", uri);

    ngx_completion_yandex_options(w, prompt, native);
    ngx_completion_yandex_messages(w, prompt, native);

    switch (prompt->format) {

    case NGX_COMPLETION_FORMAT_JSON:
        ngx_completion_json_key_boolean(w, "jsonObject", 1);
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

    ngx_completion_yandex_tools(w, prompt);

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

    } else if (prompt->thinking) {
        mode = &ngx_completion_yandex_words[prompt->thinking
                                            - NGX_COMPLETION_SWITCH_OFF].json;
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
        ngx_completion_json_key_string(w, "maxTokens", &prompt->max_tokens);

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


/* of a word that is not known: empty */

ngx_str_t *
ngx_completion_yandex_reasoning(ngx_str_t *word)
{
    ngx_completion_yandex_word_t  *w;

    for (w = ngx_completion_yandex_words; w->word.len; w++) {
        if (w->word.len == word->len
            && ngx_memcmp(w->word.data, word->data, word->len) == 0)
        {
            break;
        }
    }

    return &w->json;
}


static void
ngx_completion_yandex_messages(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native)
{
    ngx_str_t                 elements;
    ngx_array_t               turns;
    ngx_completion_message_t  text;

    ngx_completion_json_key(w, "messages");
    ngx_completion_json_array(w);

    ngx_completion_yandex_turns(w, &prompt->messages);

    elements = native->parts[NGX_COMPLETION_NATIVE_MESSAGES];
    turns = prompt->turns;

    if (elements.len) {

        /* the client's array without its brackets, and it is not empty */

        elements.data++;
        elements.len -= 2;

        ngx_completion_json_raw(w, &elements);

    } else if (turns.nelts == 0) {
        ngx_memzero(&text, sizeof(ngx_completion_message_t));
        ngx_str_set(&text.role, "user");
        text.text = prompt->text;

        turns.elts = &text;
        turns.nelts = 1;
    }

    ngx_completion_yandex_turns(w, &turns);

    ngx_completion_json_end(w);
}


static void
ngx_completion_yandex_turns(ngx_completion_json_writer_t *w,
    ngx_array_t *turns)
{
    ngx_uint_t                 i;
    ngx_completion_message_t  *message;

    message = turns->elts;

    for (i = 0; i < turns->nelts; i++) {
        ngx_completion_json_object(w);
        ngx_completion_json_key_string(w, "role", &message[i].role);

        if (message[i].calls) {
            ngx_completion_yandex_functions(w, message[i].calls, 1);

        } else if (message[i].results) {
            ngx_completion_yandex_functions(w, message[i].results, 0);

        } else {
            ngx_completion_json_key_string(w, "text", &message[i].text);
        }

        ngx_completion_json_end(w);
    }
}


/* calls, or results of some */

static void
ngx_completion_yandex_functions(ngx_completion_json_writer_t *w,
    ngx_array_t *functions, ngx_uint_t calls)
{
    ngx_uint_t                  i;
    ngx_completion_function_t  *function;

    ngx_completion_json_key(w, calls ? "toolCallList" : "toolResultList");
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, calls ? "toolCalls" : "toolResults");
    ngx_completion_json_array(w);

    function = functions->elts;

    for (i = 0; i < functions->nelts; i++) {
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, calls ? "functionCall" : "functionResult");
        ngx_completion_json_object(w);
        ngx_completion_json_key_string(w, "name", &function[i].name);

        if (calls) {
            ngx_completion_json_key(w, "arguments");
            ngx_completion_json_raw(w, &function[i].value);

        } else {
            ngx_completion_json_key_string(w, "content", &function[i].value);
        }

        ngx_completion_json_end(w);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
    ngx_completion_json_end(w);
}


static void
ngx_completion_yandex_tools(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt)
{
    ngx_uint_t              i;
    ngx_completion_tool_t  *tool;

    tool = prompt->tools.elts;

    if (prompt->tools.nelts) {
        ngx_completion_json_key(w, "tools");
        ngx_completion_json_array(w);
    }

    for (i = 0; i < prompt->tools.nelts; i++) {
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, "function");
        ngx_completion_json_object(w);
        ngx_completion_json_key_string(w, "name", &tool[i].name);

        if (tool[i].description.len) {
            ngx_completion_json_key_string(w, "description",
                                           &tool[i].description);
        }

        ngx_completion_yandex_part(w, "parameters", &tool[i].parameters);

        if (tool[i].strict) {
            ngx_completion_json_key_boolean(w, "strict", 1);
        }

        ngx_completion_json_end(w);
        ngx_completion_json_end(w);
    }

    if (prompt->tools.nelts) {
        ngx_completion_json_end(w);
    }

    if (prompt->choice) {
        ngx_completion_json_key(w, "toolChoice");
        ngx_completion_json_object(w);

        if (prompt->choice == NGX_COMPLETION_CHOICE_FUNCTION) {
            ngx_completion_json_key_string(w, "functionName",
                                           &prompt->function);

        } else {
            ngx_completion_json_key(w, "mode");
            ngx_completion_json_cstring(w,
                               ngx_completion_yandex_choices[prompt->choice]);
        }

        ngx_completion_json_end(w);
    }

    if (prompt->parallel) {
        ngx_completion_json_key(w, "parallelToolCalls");
        ngx_completion_json_boolean(w, prompt->parallel
                                       == NGX_COMPLETION_SWITCH_ON);
    }
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
 * A native request is an object in upstream's own spelling, or rather in one
 * of its two, of which the first goes upstream.  The parts of it, as JSON
 * texts, in whatever order they came, are copied into one array, of which each
 * knows its piece; there is one message at least.
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

    size_t  written;

    if (ngx_completion_native_check(native, event) != NGX_OK) {
        return native->reason ? NGX_DECLINED : NGX_ERROR;
    }

    if (native->part) {
        return ngx_completion_native_part(native, event);
    }

    if (event->type == NGX_COMPLETION_JSON_KEY
        || event->type == NGX_COMPLETION_JSON_END
        || event->type == NGX_COMPLETION_JSON_NULL)
    {
        return NGX_OK;
    }

    switch (event->node) {

    case 0: /* of what is ignored */
    case NGX_COMPLETION_NATIVE_ROOT:
    case NGX_COMPLETION_NATIVE_OPTIONS:
    case NGX_COMPLETION_NATIVE_REASONING:
    case NGX_COMPLETION_NATIVE_STREAM:
    case NGX_COMPLETION_NATIVE_STREAM_OPTION:
        return NGX_OK;

    case NGX_COMPLETION_NATIVE_MODEL:
        return ngx_completion_json_keep(native->pool, &event->value,
                                        &native->model);
    }

    native->part = event->node;
    native->depth = event->depth;

    /* behind the bracket, or a comma that is to come */

    written = ngx_completion_json_written(native->writer);
    native->start[native->part] = (written == 1) ? 1 : written + 1;

    return ngx_completion_native_part(native, event);
}


/* whether it is what may stand there; or else the reason, or no memory */

static ngx_int_t
ngx_completion_native_check(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event)
{
    u_char                                *p;
    ngx_str_t                              name;
    const ngx_completion_native_member_t  *member, *named;

    if (event->type == NGX_COMPLETION_JSON_KEY) {
        member = &ngx_completion_native_members[event->parent];

        if (event->node || !member->known
            || (event->depth == 1
                && ngx_completion_native_input(native, &event->value)))
        {
            return NGX_OK;
        }

        name = event->value;

        if (name.len > NGX_COMPLETION_YANDEX_NAME_MAX) {
            name.len = NGX_COMPLETION_YANDEX_NAME_MAX;

            while ((name.data[name.len] & 0xc0) == 0x80) {
                name.len--;
            }
        }

    } else {
        member = &ngx_completion_native_members[event->node];

        if (event->type == NGX_COMPLETION_JSON_END || member->types == 0
            || (member->types & (1 << event->type))
            || (event->type == NGX_COMPLETION_JSON_NULL && member->name.len))
        {
            return NGX_OK;
        }

        ngx_str_null(&name);
    }

    /* an element goes by the name of its array */

    named = member->name.len ? member
                             : &ngx_completion_native_members[member->parent];

    p = ngx_pnalloc(native->pool, 6 * name.len + named->name.len + 64);
    if (p == NULL) {
        return NGX_ERROR;
    }

    native->reason = (char *) p;

    if (event->type != NGX_COMPLETION_JSON_KEY) {
        (void) ngx_sprintf(p, "\"%V\" must be %s%Z", &named->name,
                           member->words);
        return NGX_DECLINED;
    }

    p = ngx_cpymem(p, "unknown member \"", sizeof("unknown member \"") - 1);
    p = (u_char *) ngx_escape_json(p, name.data, name.len);

    if (named->name.len) {
        (void) ngx_sprintf(p, "\" in \"%V\"%Z", &named->name);

    } else {
        (void) ngx_sprintf(p, "\"%Z");
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_completion_native_input(ngx_completion_native_t *native, ngx_str_t *name)
{
    ngx_str_t   *input;
    ngx_uint_t   i, n;

    n = native->inputs ? native->inputs->nelts : 0;
    input = native->inputs ? native->inputs->elts : NULL;

    for (i = 0; i < n; i++) {
        if (input[i].len == name->len
            && ngx_strncasecmp(input[i].data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_completion_native_part(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event)
{
    ngx_completion_json_event_t  named;

    if (event->node == NGX_COMPLETION_NATIVE_MESSAGE
        && event->type == NGX_COMPLETION_JSON_OBJECT)
    {
        native->messages++;
    }

    if (native->part == NGX_COMPLETION_NATIVE_MESSAGES
        && event->type == NGX_COMPLETION_JSON_STRING
        && ngx_strlchr(event->value.data,
                       event->value.data + event->value.len, '\0'))
    {
        native->reason = "a message has a NUL character in it";
        return NGX_DECLINED;
    }

    named = *event;

    if (event->type == NGX_COMPLETION_JSON_KEY && event->node) {
        named.value = ngx_completion_native_members[event->node].name;
    }

    ngx_completion_json_event(native->writer, &named);

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
ngx_completion_yandex_headers(ngx_completion_provider_t *p,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f,
    u_char *request_id)
{
    u_char                         uuid[sizeof("01234567-89ab-cdef-0123-"
                                               "456789abcdef") - 1];
    ngx_str_t                      type, off, id;
    ngx_uint_t                     i;
    ngx_completion_yandex_conf_t  *conf;

    conf = p->conf;

    ngx_str_set(&type, "application/json");
    ngx_str_set(&off, "false");

    if ((kind == NGX_COMPLETION_KIND_SUBMIT
         && ngx_completion_fetch_header(f, "Content-Type", &type) != NGX_OK)
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
