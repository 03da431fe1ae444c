
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


static void ngx_http_completion_submit_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_completion_submit_start(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_submit_keys(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_ask_t *ask,
    const char **detail);
static ngx_int_t ngx_http_completion_submit_prompt(ngx_http_request_t *r,
    ngx_completion_prompt_t *prompt, const char **detail);
static ngx_int_t ngx_http_completion_submit_request_id(ngx_http_request_t *r,
    ngx_completion_ask_t *ask);
static void ngx_http_completion_submit_handler(
    ngx_completion_submit_t *submit);
static ngx_int_t ngx_http_completion_submit_ended(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_submit_t *submit);
static ngx_int_t ngx_http_completion_submit_accepted(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_submit_t *submit);
static ngx_int_t ngx_http_completion_submit_refused(ngx_http_request_t *r,
    ngx_completion_submit_t *submit);
static char *ngx_http_completion_reason(ngx_http_request_t *r,
    ngx_str_t *reason);
static ngx_int_t ngx_http_completion_copy(ngx_pool_t *pool, ngx_str_t *s);


ngx_int_t
ngx_http_completion_submit(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                  rc;
    const char                *detail;
    ngx_http_core_loc_conf_t  *clcf;

    ctx->submits = 1;

    rc = ngx_http_completion_input_type(r, &detail);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_completion_problem(r,
                       NGX_COMPLETION_UNSUPPORTED_MEDIA_TYPE, detail, 0);
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->client_max_body_size == 0
        && r->headers_in.content_length_n > NGX_HTTP_COMPLETION_BODY_MAX)
    {
        return ngx_http_completion_problem(r,
                              NGX_COMPLETION_REQUEST_TOO_LARGE, NULL, 0);
    }

    r->request_body_in_single_buf = 1;
    ngx_http_completion_clock_stop(ctx);

    rc = ngx_http_read_client_request_body(r, ngx_http_completion_submit_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_completion_submit_body(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_completion_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    ngx_http_completion_clock_start(ctx);

    rc = ngx_http_completion_submit_start(r, ctx);

    if (ctx->submit) {

        /* the reference that reading the body took is kept */

        ctx->held = 1;
        ctx->service->zone->worker->waiters++;
        ngx_http_completion_clock_stop(ctx);

        rc = ngx_http_completion_hold(r);
        if (rc == NGX_OK) {
            return;
        }

        /* it would answer a second time while the connection lingers */

        ngx_completion_submit_detach(ctx->submit);
        ctx->submit = NULL;
    }

    ngx_http_finalize_request(r, rc);
}


/* NGX_OK with a submit under way, or how the request ends */

static ngx_int_t
ngx_http_completion_submit_start(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                  rc;
    const char                *detail;
    ngx_completion_ask_t       ask;
    ngx_completion_submit_t   *submit;
    ngx_completion_outcome_e   outcome;

    ngx_memzero(&ask, sizeof(ngx_completion_ask_t));
    outcome = NGX_COMPLETION_INVALID_REQUEST;
    submit = NULL;

    rc = ngx_http_completion_input(r, ctx, &ask.prompt, &outcome, &detail);

    if (rc == NGX_OK) {
        rc = ngx_http_completion_submit_prompt(r, &ask.prompt, &detail);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_completion_submit_keys(r, ctx, &ask, &detail);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_completion_submit_request_id(r, &ask);
    }

    if (rc == NGX_OK) {
        rc = ngx_completion_submit_start(ctx->service, &ask,
                                         ngx_http_completion_submit_handler,
                                         ctx, &submit);
        detail = ngx_http_completion_reason(r, &ask.reason);
    }

    switch (rc) {

    case NGX_OK:
        ctx->submit = submit;
        return NGX_OK;

    case NGX_DONE:
        rc = ngx_http_completion_submit_ended(r, ctx, submit);
        ngx_completion_submit_destroy(submit);
        return rc;

    case NGX_DECLINED:
        return ngx_http_completion_problem(r, outcome, detail, 0);

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


/* by what the submit may be found to be paid for already */

static ngx_int_t
ngx_http_completion_submit_keys(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_ask_t *ask,
    const char **detail)
{
    ngx_http_completion_loc_conf_t  *ccf;

    ccf = ngx_http_get_module_loc_conf(r, ngx_http_completion_async_module);

    if (ccf->idempotency
        && ngx_http_completion_header(r, "idempotency-key", &ask->key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ask->key.data && ngx_http_completion_parse_key(&ask->key) != NGX_OK) {
        *detail = "there must be one Idempotency-Key, of 1 to 255 visible "
                  "ASCII characters";
        return NGX_DECLINED;
    }

    ask->owner = ctx->owner;
    ask->idempotency = ccf->idempotency;
    ask->cache = ccf->cache;
    ask->shared = (ccf->cache && ccf->cache_shared);

    return NGX_OK;
}


/* the location's part of what is asked */

static ngx_int_t
ngx_http_completion_submit_prompt(ngx_http_request_t *r,
    ngx_completion_prompt_t *prompt, const char **detail)
{
    ngx_uint_t                       i, n;
    ngx_completion_message_t        *message;
    ngx_http_completion_message_t   *source;
    ngx_http_completion_loc_conf_t  *ccf;

    ccf = ngx_http_get_module_loc_conf(r, ngx_http_completion_async_module);

    prompt->temperature = ccf->temperature;
    prompt->max_tokens = ccf->max_tokens;
    prompt->reasoning = ccf->reasoning;
    prompt->format = ccf->format;
    prompt->schema = ccf->schema;

    if (ccf->model
        && ngx_http_complex_value(r, ccf->model, &prompt->model) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ccf->model && prompt->model.len == 0) {
        *detail = "the model is empty";
        return NGX_DECLINED;
    }

    n = ccf->messages ? ccf->messages->nelts : 0;

    if (ngx_array_init(&prompt->messages, r->pool, n + 1,
                       sizeof(ngx_completion_message_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    source = ccf->messages ? ccf->messages->elts : NULL;

    for (i = 0; i < n; i++) {
        message = ngx_array_push(&prompt->messages);
        message->role = source[i].role;

        if (ngx_http_complex_value(r, &source[i].text, &message->text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_submit_request_id(ngx_http_request_t *r,
    ngx_completion_ask_t *ask)
{
    ngx_http_variable_value_t        *vv;
    ngx_http_completion_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_completion_async_module);

    vv = ngx_http_get_indexed_variable(r, cmcf->request_id);

    if (vv == NULL || vv->not_found || vv->len != 32) {
        return NGX_ERROR;
    }

    ask->request_id.data = vv->data;
    ask->request_id.len = vv->len;

    return NGX_OK;
}


/* the outcome is known, and the client is still there */

static void
ngx_http_completion_submit_handler(ngx_completion_submit_t *submit)
{
    ngx_int_t                   rc;
    ngx_http_request_t         *r;
    ngx_http_completion_ctx_t  *ctx;

    ctx = submit->data;
    r = ctx->request;

    ctx->submit = NULL;

    if (!ngx_http_completion_current(ctx)) {
        return;
    }

    ngx_http_completion_clock_start(ctx);

    rc = ngx_http_completion_submit_ended(r, ctx, submit);

    ngx_http_completion_finalize(ctx, rc);
}


static ngx_int_t
ngx_http_completion_submit_ended(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_submit_t *submit)
{
    ctx->source = submit->source;
    ctx->sent = (submit->call.tries != 0);
    ctx->upstream_status = submit->call.answer.status;
    ctx->upstream_time = submit->call.elapsed;
    ctx->upstream_request_id = submit->call.answer.request_id;

    if (ngx_http_completion_copy(r->pool, &ctx->upstream_request_id)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (submit->outcome != NGX_COMPLETION_OK) {
        return ngx_http_completion_submit_refused(r, submit);
    }

    return ngx_http_completion_submit_accepted(r, ctx, submit);
}


static ngx_int_t
ngx_http_completion_submit_accepted(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_submit_t *submit)
{
    ngx_completion_service_t  *service;

    service = ctx->service;

    ctx->id = submit->id;
    ctx->submitted = 1;
    ctx->replayed = submit->found.replayed;

    if (ngx_http_completion_copy(r->pool, &ctx->id.upstream) != NGX_OK
        || ngx_completion_id_sign(r->pool, service->id_keys, &service->name,
                                  &ctx->owner, &ctx->id, &ctx->capability)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (submit->source != NGX_COMPLETION_SOURCE_UPSTREAM) {
        return ngx_http_completion_continue(r, ctx);
    }

    ctx->known = 1;
    ctx->state = submit->call.answer.operation.state;

    ctx->view.document = submit->call.answer.operation.document;
    ctx->view.id_offset = submit->call.answer.operation.id_offset;
    ctx->view.next = ngx_completion_zone_want(service->zone, &ctx->id.upstream,
                                              0);

    if (ngx_http_completion_copy(r->pool, &ctx->view.document) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->format != NGX_HTTP_COMPLETION_STREAM
        && (!ctx->waits || ctx->state != NGX_COMPLETION_PENDING))
    {
        return ngx_http_completion_reply(r, ctx);
    }

    return ngx_http_completion_continue(r, ctx);
}


static ngx_int_t
ngx_http_completion_submit_refused(ngx_http_request_t *r,
    ngx_completion_submit_t *submit)
{
    char        *detail;
    ngx_msec_t   retry_after;

    detail = NULL;
    retry_after = 0;

    switch (submit->outcome) {

    case NGX_COMPLETION_INVALID_REQUEST:
        detail = ngx_http_completion_reason(r, &submit->call.answer.reason);
        break;

    case NGX_COMPLETION_QUOTA_EXCEEDED:
    case NGX_COMPLETION_UPSTREAM_UNAVAILABLE:
        retry_after = ngx_max(submit->retry_after, 1);
        break;

    case NGX_COMPLETION_ZONE_FULL:
        retry_after = 1000;
        break;

    default:
        break;
    }

    return ngx_http_completion_problem(r, submit->outcome, detail,
                                       retry_after);
}


static char *
ngx_http_completion_reason(ngx_http_request_t *r, ngx_str_t *reason)
{
    u_char  *p;

    if (reason->len == 0) {
        return NULL;
    }

    p = ngx_pnalloc(r->pool, reason->len + 1);

    if (p) {
        ngx_memcpy(p, reason->data, reason->len);
        p[reason->len] = '\0';
    }

    return (char *) p;
}


static ngx_int_t
ngx_http_completion_copy(ngx_pool_t *pool, ngx_str_t *s)
{
    if (s->len == 0) {
        return NGX_OK;
    }

    s->data = ngx_pstrdup(pool, s);

    return s->data ? NGX_OK : NGX_ERROR;
}
