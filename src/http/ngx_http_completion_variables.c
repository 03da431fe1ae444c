
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_int_t ngx_http_completion_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_completion_variable_operation(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *value);
static int64_t ngx_http_completion_variable_result(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, uintptr_t which, ngx_str_t *value);
static void ngx_http_completion_variable_language(
    ngx_http_completion_ctx_t *ctx, uintptr_t which, ngx_str_t *value);
static ngx_int_t ngx_http_completion_variable_input(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_completion_variable_version(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


typedef enum {
    NGX_HTTP_COMPLETION_VAR_OPERATION = 0,
    NGX_HTTP_COMPLETION_VAR_STATE,
    NGX_HTTP_COMPLETION_VAR_SOURCE,
    NGX_HTTP_COMPLETION_VAR_STATUS,
    NGX_HTTP_COMPLETION_VAR_TIME,
    NGX_HTTP_COMPLETION_VAR_QUEUE_TIME,
    NGX_HTTP_COMPLETION_VAR_REQUEST_ID,
    NGX_HTTP_COMPLETION_VAR_PARTS,
    NGX_HTTP_COMPLETION_VAR_SOURCE_LANGUAGE,
    NGX_HTTP_COMPLETION_VAR_TARGET_LANGUAGE,
    NGX_HTTP_COMPLETION_VAR_TAGS,
    NGX_HTTP_COMPLETION_VAR_INPUT_TOKENS,
    NGX_HTTP_COMPLETION_VAR_COMPLETION_TOKENS,
    NGX_HTTP_COMPLETION_VAR_REASONING_TOKENS,
    NGX_HTTP_COMPLETION_VAR_TOTAL_TOKENS,
    NGX_HTTP_COMPLETION_VAR_MODEL_VERSION
} ngx_http_completion_variable_e;


static ngx_http_variable_t  ngx_http_completion_vars[] = {

    { ngx_string("completion_async_operation"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_OPERATION,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_state"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_STATE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_source"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_SOURCE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_upstream_status"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_STATUS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_upstream_time"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_TIME,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_queue_time"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_QUEUE_TIME,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_upstream_request_id"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_REQUEST_ID,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_parts"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_PARTS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_source_language"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_SOURCE_LANGUAGE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_target_language"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_TARGET_LANGUAGE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_tags"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_TAGS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_input_tokens"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_INPUT_TOKENS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_completion_tokens"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_COMPLETION_TOKENS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_reasoning_tokens"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_REASONING_TOKENS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_total_tokens"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_TOTAL_TOKENS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_model_version"), NULL,
      ngx_http_completion_variable, NGX_HTTP_COMPLETION_VAR_MODEL_VERSION,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string(NGX_HTTP_COMPLETION_INPUT), NULL,
      ngx_http_completion_variable_input, 0,
      NGX_HTTP_VAR_PREFIX|NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("completion_async_client_key"), NULL,
      ngx_http_completion_client_key, 0, 0, 0 },

    { ngx_string("completion_async_version"), NULL,
      ngx_http_completion_variable_version, 0, 0, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_completion_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_completion_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_completion_inputs(ngx_conf_t *cf, ngx_array_t *inputs)
{
    size_t                      len;
    ngx_str_t                  *input;
    ngx_uint_t                  i;
    ngx_http_variable_t        *var;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (ngx_array_init(inputs, cf->pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    len = sizeof(NGX_HTTP_COMPLETION_INPUT) - 1;
    var = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        if (var[i].name.len <= len
            || ngx_strncmp(var[i].name.data, NGX_HTTP_COMPLETION_INPUT, len)
               != 0)
        {
            continue;
        }

        input = ngx_array_push(inputs);
        if (input == NULL) {
            return NGX_ERROR;
        }

        input->data = var[i].name.data + len;
        input->len = var[i].name.len - len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    int64_t                     number;
    ngx_str_t                   value;
    ngx_http_completion_ctx_t  *ctx;

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 1;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    if (ctx == NULL) {
        return NGX_OK;
    }

    number = -1;
    ngx_str_null(&value);

    switch (data) {

    case NGX_HTTP_COMPLETION_VAR_OPERATION:
        if (ngx_http_completion_variable_operation(r, ctx, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }
        break;

    case NGX_HTTP_COMPLETION_VAR_STATE:
        if (ngx_http_completion_is_known(ctx)) {
            value = ngx_completion_states[ctx->view.verdict];
        }
        break;

    case NGX_HTTP_COMPLETION_VAR_SOURCE:
        value = ngx_completion_sources[ctx->source];
        break;

    case NGX_HTTP_COMPLETION_VAR_STATUS:
        if (ctx->upstream.status) {
            number = ctx->upstream.status;
        }
        break;

    case NGX_HTTP_COMPLETION_VAR_TIME:
        if (ctx->upstream.tries) {
            number = ctx->upstream.time;
        }
        break;

    case NGX_HTTP_COMPLETION_VAR_QUEUE_TIME:
        if (ctx->upstream.tries || ctx->upstream.queued) {
            number = ctx->upstream.queued;
        }
        break;

    case NGX_HTTP_COMPLETION_VAR_REQUEST_ID:
        value = ctx->upstream.request_id;
        break;

    case NGX_HTTP_COMPLETION_VAR_PARTS:
        if (ctx->id.upstream.len) {
            number = ngx_completion_whole_parts(&ctx->id);
        }
        break;

    case NGX_HTTP_COMPLETION_VAR_SOURCE_LANGUAGE:
    case NGX_HTTP_COMPLETION_VAR_TARGET_LANGUAGE:
        ngx_http_completion_variable_language(ctx, data, &value);
        break;

    case NGX_HTTP_COMPLETION_VAR_TAGS:
        value = ngx_completion_tags[ctx->tags];
        break;

    default:
        number = ngx_http_completion_variable_result(r, ctx, data, &value);
        break;
    }

    if (number >= 0) {
        value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN + 4);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        value.len = ((data == NGX_HTTP_COMPLETION_VAR_TIME
                      || data == NGX_HTTP_COMPLETION_VAR_QUEUE_TIME)
                         ? ngx_sprintf(value.data, "%L.%03L", number / 1000,
                                       number % 1000)
                         : ngx_sprintf(value.data, "%L", number))
                    - value.data;
    }

    v->len = value.len;
    v->data = value.data;
    v->not_found = (value.len == 0);

    return NGX_OK;
}


/* of a text in parts the first one's id, and how many more */

static ngx_int_t
ngx_http_completion_variable_operation(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   first;

    *value = ctx->id.upstream;

    if (!ngx_completion_id_is_whole(value)) {
        return NGX_OK;
    }

    first = ngx_completion_whole_first(&ctx->id);

    p = ngx_pnalloc(r->pool, first.len + 1 + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;
    value->len = ngx_sprintf(p, "%V+%ui", &first,
                             ngx_completion_whole_parts(&ctx->id) - 1)
                 - p;

    return NGX_OK;
}


/* a number of tokens, or the model's version */

static int64_t
ngx_http_completion_variable_result(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, uintptr_t which, ngx_str_t *value)
{
    ngx_completion_result_t  *result;

    result = ngx_http_completion_result(r, ctx);

    if (result == NULL) {
        return -1;
    }

    switch (which) {

    case NGX_HTTP_COMPLETION_VAR_INPUT_TOKENS:
        return result->usage.input;

    case NGX_HTTP_COMPLETION_VAR_COMPLETION_TOKENS:
        return result->usage.completion;

    case NGX_HTTP_COMPLETION_VAR_REASONING_TOKENS:
        return result->usage.reasoning;

    case NGX_HTTP_COMPLETION_VAR_TOTAL_TOKENS:
        return result->usage.total;

    default: /* NGX_HTTP_COMPLETION_VAR_MODEL_VERSION */
        *value = result->model_version;
        return -1;
    }
}


/* by its name; once the request's body was read */

static void
ngx_http_completion_variable_language(ngx_http_completion_ctx_t *ctx,
    uintptr_t which, ngx_str_t *value)
{
    ngx_uint_t                    language;
    ngx_completion_face_input_t  *input;

    input = &ctx->input;

    if (input->languages == NULL || ctx->action != NGX_COMPLETION_FACE_SUBMIT) {
        return;
    }

    if (which == NGX_HTTP_COMPLETION_VAR_TARGET_LANGUAGE) {
        language = input->target;

    } else {
        language = input->source;
        ngx_str_set(value, "any language");
    }

    if (language != NGX_COMPLETION_FACE_ANY) {
        *value = input->languages[language].name;
    }
}


static ngx_int_t
ngx_http_completion_variable_input(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t *name = (ngx_str_t *) data;

    u_char                        *p;
    size_t                         len;
    ngx_uint_t                     i;
    ngx_array_t                   *members;
    ngx_http_completion_ctx_t     *ctx;
    ngx_completion_json_member_t  *member;

    p = name->data + sizeof(NGX_HTTP_COMPLETION_INPUT) - 1;
    len = name->len - (sizeof(NGX_HTTP_COMPLETION_INPUT) - 1);

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 1;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    members = ctx ? ngx_http_completion_input_members(r, ctx, v) : NULL;

    if (members == NULL) {
        return NGX_OK;
    }

    member = members->elts;

    for (i = 0; i < members->nelts; i++) {

        if (member[i].type == NGX_COMPLETION_JSON_STRING
            && member[i].name.len == len
            && ngx_strncasecmp(member[i].name.data, p, len) == 0)
        {
            v->len = member[i].value.len;
            v->data = member[i].value.data;
            v->not_found = 0;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_variable_version(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    v->len = sizeof(NGX_HTTP_COMPLETION_VERSION) - 1;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) NGX_HTTP_COMPLETION_VERSION;

    return NGX_OK;
}
