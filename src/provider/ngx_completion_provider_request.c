
#include "ngx_completion_provider.h"
#include "ngx_completion_provider_document.h"
#include "ngx_completion_provider_native.h"


#define NGX_COMPLETION_MODEL_MAX  512


static ngx_int_t ngx_completion_provider_model(ngx_completion_provider_t *p,
    ngx_pool_t *pool, ngx_str_t *model, ngx_str_t *uri, const char **reason);
static const char *ngx_completion_provider_utf8(
    ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_provider_write(ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native,
    ngx_str_t *uri, ngx_str_t *body);
static void ngx_completion_provider_options(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native);
static void ngx_completion_provider_messages(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native);
static void ngx_completion_provider_format(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native);
static void ngx_completion_provider_part(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *part);

static ngx_completion_fetch_t *ngx_completion_provider_get(
    ngx_completion_provider_t *p, ngx_str_t *secret, ngx_str_t *id,
    const char *verb, ngx_log_t *log);
static ngx_int_t ngx_completion_provider_headers(
    ngx_completion_provider_t *p, ngx_str_t *secret,
    ngx_completion_fetch_t *f);
static ngx_int_t ngx_completion_provider_uuid(ngx_completion_fetch_t *f,
    u_char *request_id);


ngx_int_t
ngx_completion_provider_body(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_str_t *body, ngx_str_t *reason)
{
    ngx_int_t                 rc;
    ngx_str_t                *model, uri;
    const char               *fault;
    ngx_completion_native_t   native;

    ngx_memzero(&native, sizeof(ngx_completion_native_t));
    ngx_str_null(reason);

    fault = ngx_completion_provider_utf8(prompt);
    if (fault) {
        rc = NGX_DECLINED;
        goto failed;
    }

    if (prompt->native.len) {
        rc = ngx_completion_provider_native(pool, &prompt->native, &native);
        if (rc != NGX_OK) {
            fault = native.reason;
            goto failed;
        }
    }

    model = prompt->model.len ? &prompt->model : &native.model;

    rc = ngx_completion_provider_model(p, pool, model, &uri, &fault);
    if (rc != NGX_OK) {
        goto failed;
    }

    rc = ngx_completion_provider_write(pool, prompt, &native, &uri, body);

    if (native.text.data) {
        (void) ngx_pfree(pool, native.text.data);
    }

    return rc;

failed:

    if (rc == NGX_DECLINED) {
        reason->data = (u_char *) fault;
        reason->len = ngx_strlen(fault);
    }

    return rc;
}


static const char *
ngx_completion_provider_utf8(ngx_completion_prompt_t *prompt)
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
ngx_completion_provider_model(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_str_t *model, ngx_str_t *uri, const char **reason)
{
    u_char      c, *last;
    ngx_uint_t  i;

    if (model->len == 0) {
        *reason = "the model is missing";
        return NGX_DECLINED;
    }

    if (model->len > NGX_COMPLETION_MODEL_MAX) {
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

    if (p->folder.len == 0) {
        *reason = "the model must be given as a URI";
        return NGX_DECLINED;
    }

    uri->data = ngx_pnalloc(pool, sizeof("gpt:///") - 1 + p->folder.len
                                  + model->len);
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(uri->data, "gpt://%V/%V", &p->folder, model);
    uri->len = last - uri->data;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_provider_write(ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native,
    ngx_str_t *uri, ngx_str_t *body)
{
    size_t                         size;
    ngx_completion_json_writer_t  *w;

    size = prompt->text.len + prompt->schema.len + native->text.len + 1024;

    w = ngx_completion_json_writer_sized(pool, size);

    ngx_completion_json_object(w);

    ngx_completion_json_key(w, "modelUri");
    ngx_completion_json_string(w, uri);

    ngx_completion_provider_options(w, prompt, native);
    ngx_completion_provider_messages(w, prompt, native);
    ngx_completion_provider_format(w, prompt, native);

    ngx_completion_provider_part(w, "tools",
                            &native->parts[NGX_COMPLETION_NATIVE_TOOLS]);
    ngx_completion_provider_part(w, "toolChoice",
                            &native->parts[NGX_COMPLETION_NATIVE_TOOL_CHOICE]);
    ngx_completion_provider_part(w, "parallelToolCalls",
                            &native->parts[NGX_COMPLETION_NATIVE_PARALLEL]);

    ngx_completion_json_object_end(w);

    return ngx_completion_json_writer_finish(w, body);
}


static void
ngx_completion_provider_options(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native)
{
    ngx_str_t  *temperature, *max_tokens, *mode;

    temperature = &native->parts[NGX_COMPLETION_NATIVE_TEMPERATURE];
    max_tokens = &native->parts[NGX_COMPLETION_NATIVE_MAX_TOKENS];
    mode = &native->parts[NGX_COMPLETION_NATIVE_MODE];

    if (prompt->temperature.len) {
        temperature = &prompt->temperature;
    }

    if (temperature->len == 0 && max_tokens->len == 0 && mode->len == 0
        && prompt->max_tokens.len == 0 && prompt->reasoning.len == 0)
    {
        return;
    }

    ngx_completion_json_key(w, "completionOptions");
    ngx_completion_json_object(w);

    ngx_completion_provider_part(w, "temperature", temperature);

    if (prompt->max_tokens.len) {
        ngx_completion_json_key(w, "maxTokens");
        ngx_completion_json_string(w, &prompt->max_tokens);

    } else {
        ngx_completion_provider_part(w, "maxTokens", max_tokens);
    }

    if (prompt->reasoning.len || mode->len) {
        ngx_completion_json_key(w, "reasoningOptions");
        ngx_completion_json_object(w);

        if (prompt->reasoning.len) {
            ngx_completion_json_key(w, "mode");
            ngx_completion_json_string(w, &prompt->reasoning);

        } else {
            ngx_completion_provider_part(w, "mode", mode);
        }

        ngx_completion_json_object_end(w);
    }

    ngx_completion_json_object_end(w);
}


static void
ngx_completion_provider_messages(ngx_completion_json_writer_t *w,
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
        ngx_completion_json_object_end(w);
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
        ngx_completion_json_object_end(w);
    }

    ngx_completion_json_array_end(w);
}


static void
ngx_completion_provider_format(ngx_completion_json_writer_t *w,
    ngx_completion_prompt_t *prompt, ngx_completion_native_t *native)
{
    switch (prompt->format) {

    case NGX_COMPLETION_FORMAT_JSON:
        ngx_completion_json_key(w, "jsonObject");
        ngx_completion_json_boolean(w, 1);
        break;

    case NGX_COMPLETION_FORMAT_SCHEMA:
        ngx_completion_json_key(w, "jsonSchema");
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, "schema");
        ngx_completion_json_raw(w, &prompt->schema);
        ngx_completion_json_object_end(w);
        break;

    default:
        ngx_completion_provider_part(w, "jsonObject",
                            &native->parts[NGX_COMPLETION_NATIVE_JSON_OBJECT]);
        ngx_completion_provider_part(w, "jsonSchema",
                            &native->parts[NGX_COMPLETION_NATIVE_JSON_SCHEMA]);
    }
}


static void
ngx_completion_provider_part(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *part)
{
    if (part->len) {
        ngx_completion_json_key(w, name);
        ngx_completion_json_raw(w, part);
    }
}


ngx_completion_fetch_t *
ngx_completion_provider_submit(ngx_completion_provider_t *p,
    ngx_str_t *secret, ngx_str_t *body, u_char *request_id, ngx_log_t *log)
{
    ngx_str_t                type;
    ngx_completion_fetch_t  *f;

    f = ngx_completion_fetch_create(&p->submit, log);
    if (f == NULL) {
        return NULL;
    }

    f->post = 1;
    f->hold = 1;
    f->body = *body;

    ngx_str_set(&type, "application/json");

    if (ngx_completion_fetch_header(f, "Content-Type", &type) != NGX_OK
        || ngx_completion_provider_headers(p, secret, f) != NGX_OK
        || ngx_completion_provider_uuid(f, request_id) != NGX_OK)
    {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


ngx_completion_fetch_t *
ngx_completion_provider_poll(ngx_completion_provider_t *p, ngx_str_t *secret,
    ngx_str_t *id, ngx_log_t *log)
{
    return ngx_completion_provider_get(p, secret, id, "", log);
}


ngx_completion_fetch_t *
ngx_completion_provider_cancel(ngx_completion_provider_t *p,
    ngx_str_t *secret, ngx_str_t *id, ngx_log_t *log)
{
    return ngx_completion_provider_get(p, secret, id, ":cancel", log);
}


static ngx_completion_fetch_t *
ngx_completion_provider_get(ngx_completion_provider_t *p, ngx_str_t *secret,
    ngx_str_t *id, const char *verb, ngx_log_t *log)
{
    u_char                  *last;
    ngx_str_t               *url;
    ngx_completion_fetch_t  *f;

    if (!ngx_completion_provider_id(id)) {
        return NULL;
    }

    f = ngx_completion_fetch_create(&p->operations, log);
    if (f == NULL) {
        return NULL;
    }

    f->suffix.data = ngx_pnalloc(f->pool, sizeof("/:cancel") + id->len);
    if (f->suffix.data == NULL) {
        goto failed;
    }

    last = f->suffix.data;
    url = &p->operations.url;

    if (url->len == 0 || url->data[url->len - 1] != '/') {
        *last++ = '/';
    }

    last = ngx_sprintf(last, "%V%s", id, verb);
    *last = '\0';

    f->suffix.len = last - f->suffix.data;

    if (ngx_completion_provider_headers(p, secret, f) != NGX_OK) {
        goto failed;
    }

    return f;

failed:

    ngx_completion_fetch_destroy(f);

    return NULL;
}


static ngx_int_t
ngx_completion_provider_headers(ngx_completion_provider_t *p,
    ngx_str_t *secret, ngx_completion_fetch_t *f)
{
    ngx_str_t  off;

    if (ngx_completion_credential_show(&p->credential, f, secret) != NGX_OK) {
        return NGX_ERROR;
    }

    if (p->folder.len
        && ngx_completion_fetch_header(f, "x-folder-id", &p->folder)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (p->data_logging) {
        return NGX_OK;
    }

    ngx_str_set(&off, "false");

    return ngx_completion_fetch_header(f, "x-data-logging-enabled", &off);
}


static ngx_int_t
ngx_completion_provider_uuid(ngx_completion_fetch_t *f, u_char *request_id)
{
    u_char      *p;
    ngx_str_t    value;
    ngx_uint_t   i;

    value.len = 32 + sizeof("----") - 1;

    value.data = ngx_pnalloc(f->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = value.data;

    for (i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) {
            *p++ = '-';
        }

        *p++ = request_id[i];
    }

    return ngx_completion_fetch_header(f, "x-client-request-id", &value);
}


ngx_uint_t
ngx_completion_provider_id(ngx_str_t *id)
{
    u_char      c;
    ngx_uint_t  i;

    if (id->len == 0 || id->len > NGX_COMPLETION_UPSTREAM_ID_MAX) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {
        c = id->data[i];

        if ((c < '0' || c > '9') && (c < 'A' || c > 'Z')
            && (c < 'a' || c > 'z') && c != '_' && c != '-')
        {
            return 0;
        }
    }

    return 1;
}
