
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static void ngx_http_completion_submit_body(ngx_http_request_t *r);
static void ngx_http_completion_submit_bound(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static void ngx_http_completion_submit_timer(ngx_event_t *ev);
static ngx_int_t ngx_http_completion_submit_keyed(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc,
    ngx_completion_outcome_e *outcome);
static ngx_int_t ngx_http_completion_submit_named(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_outcome_e *outcome);
static ngx_int_t ngx_http_completion_submit_ask(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_ask_t *ask);
static ngx_int_t ngx_http_completion_submit_prompt(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_http_completion_submit_evaluate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_submit_request_id(void *data,
    u_char *id);
static ngx_int_t ngx_http_completion_submit_again(void *data,
    ngx_completion_ask_t *ask);
static void ngx_http_completion_submit_handler(
    ngx_completion_submit_t *submit);
static ngx_int_t ngx_http_completion_submit_start(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_ask_t *ask,
    ngx_completion_submit_t **submit);
static void ngx_http_completion_submit_parts(ngx_completion_parts_t *parts);
static ngx_int_t ngx_http_completion_submit_whole(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_submit_signed(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_submit_ended(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_submit_t *submit);
static ngx_int_t ngx_http_completion_submit_copy(ngx_pool_t *pool,
    ngx_str_t *s);


static const ngx_completion_client_t  ngx_http_completion_submit_client = {
    ngx_http_completion_submit_handler,
    ngx_http_completion_submit_request_id,
    ngx_http_completion_submit_again
};


static const ngx_completion_parts_client_t
    ngx_http_completion_submit_parts_client =
{
    ngx_http_completion_submit_parts,
    ngx_http_completion_submit_request_id,
    ngx_http_completion_submit_again
};


ngx_int_t
ngx_http_completion_submit(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_completion_outcome_e  outcome;

    rc = ngx_http_completion_input_type(r, ctx, &outcome);

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r, outcome, &ctx->input.detail, 0);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
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
    ngx_completion_ask_t        ask;
    ngx_completion_submit_t    *submit;
    ngx_completion_outcome_e    outcome;
    ngx_http_completion_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    ngx_http_completion_clock_start(ctx);

    ngx_memzero(&ask, sizeof(ngx_completion_ask_t));
    submit = NULL;

    rc = ngx_http_completion_input(r, ctx, &ask.prompt, &outcome);

    if (ctx->conf->face->keyed && rc != NGX_ERROR) {
        rc = ngx_http_completion_submit_keyed(r, ctx, rc, &outcome);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_completion_submit_named(r, ctx, &outcome);
    }

    if (rc == NGX_OK) {
        ngx_http_completion_asked(ctx);

        rc = ngx_http_completion_submit_ask(r, ctx, &ask);
    }

    /* texts may all be empty, and are answered as they are */

    if (rc == NGX_OK && ctx->conf->face->items
        && ask.prompt.texts.nelts == 0)
    {
        ctx->view.verdict = NGX_COMPLETION_COMPLETED;
        ngx_http_finalize_request(r, ngx_http_completion_reply(r, ctx));
        return;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_completion_submit_start(r, ctx, &ask, &submit);
        ctx->input.detail = ask.reason;
    }

    switch (rc) {

    case NGX_OK:

        /* the reference that reading the body took is kept */

        rc = ngx_http_completion_hold(ctx, NGX_HTTP_COMPLETION_SUBMITS);

        if (rc == NGX_OK) {
            ctx->submit = submit;
            ngx_http_completion_input_drop(ctx);
            ngx_http_completion_submit_bound(r, ctx);
            return;
        }

        /* it would answer a second time while the connection lingers */

        if (submit) {
            ngx_completion_submit_detach(submit);

        } else {
            ngx_completion_parts_leave(ctx->parts, 0);
            ctx->parts = NULL;
        }

        break;

    case NGX_DONE:

        if (submit == NULL) {
            rc = ngx_http_completion_submit_whole(r, ctx);

        } else {
            rc = ngx_http_completion_submit_ended(r, ctx, submit);
            ngx_completion_submit_destroy(submit);
        }

        /* it waits for the end: what was read is read once more then */

        if (rc == NGX_DONE) {
            ngx_http_completion_input_drop(ctx);
        }

        break;

    case NGX_DECLINED:
        rc = ngx_http_completion_problem(r, outcome, &ctx->input.detail, 0);
        break;

    default:
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        break;
    }

    ngx_http_finalize_request(r, rc);
}


/* where nobody can ask by an id for what is still in line, the wait ends too */

static void
ngx_http_completion_submit_bound(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_msec_int_t  left;

    if (!ctx->conf->face->items || !ctx->held) {
        return;
    }

    left = ctx->wait_until - ngx_current_msec;

    ngx_completion_timer_init(&ctx->timer, ngx_http_completion_submit_timer,
                              r->connection->log);
    ngx_add_timer(&ctx->timer, (ngx_msec_t) ngx_max(left, 0));
}


static void
ngx_http_completion_submit_timer(ngx_event_t *ev)
{
    ngx_http_completion_ctx_t  *ctx;

    ctx = ngx_completion_timer_owner(ev, ngx_http_completion_ctx_t, timer);

    if (!ngx_http_completion_is_current(ctx)) {
        return;
    }

    /* they go on, for an equal request */

    ngx_completion_parts_leave(ctx->parts, 0);
    ctx->parts = NULL;

    ngx_http_completion_clock_start(ctx);
    ngx_http_completion_finalize(ctx,
                        ngx_http_completion_problem(ctx->request,
                                                NGX_COMPLETION_NOT_READY, NULL,
                                                0));
}


/* who asks may stand in the body, whatever else is wrong in it */

static ngx_int_t
ngx_http_completion_submit_keyed(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc,
    ngx_completion_outcome_e *outcome)
{
    ngx_int_t  known;
    ngx_str_t  fault;

    fault = ctx->input.detail;
    ngx_str_null(&ctx->input.detail);

    known = ngx_http_completion_who(r, ctx);

    if (known == NGX_OK) {
        ctx->input.detail = fault;
        return rc;
    }

    *outcome = NGX_COMPLETION_FORBIDDEN;

    return known;
}


/* several texts, and one that is too long for an answer, are parts */

static ngx_int_t
ngx_http_completion_submit_start(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_ask_t *ask,
    ngx_completion_submit_t **submit)
{
    ngx_http_completion_loc_conf_t  *ccf;

    ccf = ctx->conf;

    if (ccf->face->items
        || (ccf->split && ask->prompt.text.len > ccf->split && ccf->face->parts
            && ask->prompt.native.len == 0
            && ask->prompt.format == NGX_COMPLETION_FORMAT_UNSET))
    {
        return ngx_completion_parts_start(ccf->service, ask, ccf->split,
                                     ccf->split_max,
                                     &ngx_http_completion_submit_parts_client,
                                     ctx, &ctx->parts);
    }

    return ngx_completion_submit_start(ccf->service, ask,
                                       &ngx_http_completion_submit_client,
                                       ctx, submit);
}


/* the model by its name, and what is shown again: it outlives the body */

static ngx_int_t
ngx_http_completion_submit_named(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_outcome_e *outcome)
{
    if (ctx->conf->face->models == NULL) {
        return NGX_OK;
    }

    if (ngx_http_completion_model(r, ctx, &ctx->input.model, &ctx->model)
        != NGX_OK)
    {
        *outcome = NGX_COMPLETION_MODEL_NOT_FOUND;
        return NGX_DECLINED;
    }

    if (ngx_http_completion_submit_copy(r->pool, &ctx->input.model) != NGX_OK
        || ngx_http_completion_submit_copy(r->pool, &ctx->input.echo)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the location's part of the prompt, and whose it is */

static ngx_int_t
ngx_http_completion_submit_ask(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_ask_t *ask)
{
    ngx_int_t                        rc;
    ngx_str_t                        repeats;
    ngx_uint_t                       i;
    ngx_completion_message_t        *message;
    ngx_http_completion_loc_conf_t  *ccf;

    ccf = ctx->conf;

    ask->pool = ctx->input_pool;
    ask->log = r->connection->log;
    ask->owner = ctx->owner;
    ask->idempotency = ccf->idempotency;
    ask->cache = ccf->cache;
    ask->shared = (ccf->cache && ccf->cache_shared);

    if (ccf->cache == 0 && ccf->face->remembers) {
        ask->cache = ccf->face->remembers;
        ask->shared = (ctx->owner.len == 0);
    }

    ask->held = ngx_http_completion_input_held(r);

    if (ccf->face->orphans) {
        ask->orphan = ccf->face->orphans;

        if (ngx_http_completion_header(r, "x-stainless-retry-count", &repeats)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ask->repeated = (ngx_atoi(repeats.data, repeats.len) > 0);
    }

    rc = ngx_http_completion_submit_prompt(r, ctx, &ask->prompt);
    if (rc != NGX_OK) {
        return rc;
    }

    message = ctx->messages.elts;

    for (i = 0; i < ctx->messages.nelts; i++) {
        ask->held += message[i].text.len;
    }

    if (ccf->idempotency
        && ngx_http_completion_header(r, "idempotency-key", &ask->key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ask->key.data && ngx_http_completion_parse_key(&ask->key) != NGX_OK) {
        ngx_str_set(&ctx->input.detail,
                    "there must be one Idempotency-Key, of 1 to 255 visible "
                    "ASCII characters");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* the same each time, whatever its variables are by now */

static ngx_int_t
ngx_http_completion_submit_prompt(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt)
{
    ngx_int_t                         rc;
    ngx_http_completion_loc_conf_t   *ccf;
    ngx_http_completion_main_conf_t  *cmcf;

    ccf = ctx->conf;
    cmcf = ngx_http_get_module_main_conf(r, ngx_http_completion_async_module);

    if (ccf->temperature.len) {
        prompt->temperature = ccf->temperature;
    }

    if (ccf->max_tokens.len) {
        prompt->max_tokens = ccf->max_tokens;
    }

    if (ccf->reasoning.len) {
        prompt->reasoning = ccf->reasoning;
    }

    if (ccf->format) {
        prompt->format = ccf->format;
        prompt->schema = ccf->schema;
    }

    prompt->inputs = &cmcf->inputs;

    if (ctx->messages.elts == NULL) {
        rc = ngx_http_completion_submit_evaluate(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    prompt->model = ctx->model;
    prompt->messages = ctx->messages;

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_submit_evaluate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t                       *told;
    ngx_uint_t                       i, n;
    ngx_completion_message_t        *message;
    ngx_http_completion_message_t   *source;
    ngx_http_completion_loc_conf_t  *ccf;

    ccf = ctx->conf;
    told = &ctx->input.told;

    if (ccf->model && ctx->model.len == 0
        && ngx_http_complex_value(r, ccf->model, &ctx->model) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ccf->model && ctx->model.len == 0) {
        ngx_str_set(&ctx->input.detail, "the model is empty");
        return NGX_DECLINED;
    }

    n = (ccf->messages && told->len == 0) ? ccf->messages->nelts : 0;
    source = ccf->messages ? ccf->messages->elts : NULL;

    if (ngx_array_init(&ctx->messages, r->pool, n + 1,
                       sizeof(ngx_completion_message_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        message = ngx_array_push(&ctx->messages);
        ngx_memzero(message, sizeof(ngx_completion_message_t));
        message->role = source[i].role;

        if (ngx_http_complex_value(r, &source[i].text, &message->text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (told->len) {
        message = ngx_array_push(&ctx->messages);
        ngx_memzero(message, sizeof(ngx_completion_message_t));

        ngx_str_set(&message->role, "system");
        message->text = *told;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_submit_request_id(void *data, u_char *id)
{
    ngx_str_t                   value;
    ngx_http_completion_ctx_t  *ctx;

    ctx = data;

    if (ngx_http_completion_request_id(ctx->request, &value) != NGX_OK
        || value.len != 32)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(id, value.data, value.len);

    return NGX_OK;
}


/* it had joined another one, and is the one to be sent now */

static ngx_int_t
ngx_http_completion_submit_again(void *data, ngx_completion_ask_t *ask)
{
    ngx_http_completion_ctx_t  *ctx;

    ctx = data;

    if (ngx_http_completion_input_again(ctx->request, ctx, ask->pool,
                                        &ask->prompt)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_completion_submit_prompt(ctx->request, ctx, &ask->prompt);
}


/* the outcome is known, and the client is still there */

static void
ngx_http_completion_submit_handler(ngx_completion_submit_t *submit)
{
    ngx_int_t                   rc;
    ngx_http_completion_ctx_t  *ctx;

    ctx = submit->data;
    ctx->submit = NULL;

    if (!ngx_http_completion_is_current(ctx)) {
        return;
    }

    ngx_http_completion_clock_start(ctx);

    rc = ngx_http_completion_submit_ended(ctx->request, ctx, submit);

    ngx_http_completion_finalize(ctx, rc);
}


/* what is kept of it is copied: it goes with its pool */

static ngx_int_t
ngx_http_completion_submit_ended(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_submit_t *submit)
{
    ngx_completion_answer_t     *answer;
    ngx_completion_service_t    *service;
    ngx_completion_operation_t  *operation;

    service = ctx->conf->service;
    answer = &submit->call.answer;

    ngx_completion_submit_hold(submit, &ctx->hold);

    ctx->source = submit->source;
    ctx->upstream.tries = submit->call.tries;
    ctx->upstream.status = answer->status;
    ctx->upstream.time = submit->call.elapsed;
    ctx->upstream.queued = submit->queued;
    ctx->upstream.request_id = answer->request_id;

    if (ngx_http_completion_submit_copy(r->pool, &ctx->upstream.request_id)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (submit->outcome != NGX_COMPLETION_OK) {
        return ngx_http_completion_problem(r, submit->outcome,
                        submit->outcome == NGX_COMPLETION_INVALID_REQUEST
                            ? &answer->reason : NULL,
                        submit->retry_after);
    }

    ctx->id = submit->id;
    ctx->replayed = submit->found.replayed;

    if (ngx_http_completion_submit_signed(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (submit->source != NGX_COMPLETION_SOURCE_UPSTREAM) {

        /* another node's, of which more is known by who asks for more */

        if (submit->learned && submit->source != NGX_COMPLETION_SOURCE_CACHED
            && ctx->format != NGX_COMPLETION_FACE_STREAM && !ctx->wait_until
            && ngx_completion_operation_learn(service, &ctx->id, r->pool,
                                              &ctx->view)
               == NGX_OK)
        {
            return ngx_http_completion_reply(r, ctx);
        }

        return ngx_http_completion_poll(r, ctx);
    }

    operation = &answer->operation;

    if (ngx_http_completion_submit_copy(r->pool, &operation->document)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->view.verdict = operation->state;
    ctx->view.document = operation->document;
    ctx->view.id_offset = operation->id_offset;
    ctx->view.next = ngx_completion_zone_want(service->zone, &ctx->id.upstream,
                                              0);

    if (ctx->format != NGX_COMPLETION_FACE_STREAM
        && (!ctx->wait_until || ctx->view.verdict != NGX_COMPLETION_PENDING))
    {
        return ngx_http_completion_reply(r, ctx);
    }

    return ngx_http_completion_poll(r, ctx);
}


/* the same of a text in parts */

static void
ngx_http_completion_submit_parts(ngx_completion_parts_t *parts)
{
    ngx_int_t                   rc;
    ngx_http_completion_ctx_t  *ctx;

    ctx = parts->data;
    ngx_completion_timer_stop(&ctx->timer);

    if (!ngx_http_completion_is_current(ctx)) {
        return;
    }

    ngx_http_completion_clock_start(ctx);

    rc = ngx_http_completion_submit_whole(ctx->request, ctx);

    ngx_http_completion_finalize(ctx, rc);
}


static ngx_int_t
ngx_http_completion_submit_whole(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_completion_parts_t  *parts;

    parts = ctx->parts;

    ctx->source = parts->source;
    ctx->upstream.tries = parts->tries;
    ctx->upstream.status = parts->status;
    ctx->upstream.time = parts->elapsed;
    ctx->upstream.queued = parts->queued;
    ctx->upstream.request_id = parts->request_id;

    if (ngx_http_completion_submit_copy(r->pool, &ctx->upstream.request_id)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (parts->outcome != NGX_COMPLETION_OK) {
        return ngx_http_completion_problem(r, parts->outcome,
                        (parts->outcome == NGX_COMPLETION_INVALID_REQUEST
                         || parts->outcome == NGX_COMPLETION_REQUEST_TOO_LARGE)
                            ? &parts->reason : NULL,
                        parts->retry_after);
    }

    ctx->id = parts->id;
    ctx->replayed = parts->replayed;

    /* what has no id for its client lives as long as its parts are held */

    if (!ctx->conf->face->items
        && ngx_http_completion_submit_signed(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_poll(r, ctx);
}


/* what the client is to know it by */

static ngx_int_t
ngx_http_completion_submit_signed(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_completion_service_t  *service;

    service = ctx->conf->service;

    if (ngx_http_completion_submit_copy(r->pool, &ctx->id.upstream) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_completion_id_sign(r->pool, service->id_keys, &service->name,
                                &ctx->owner, &ctx->id, &ctx->capability);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "the ids of %ui parts are too long for one, provider "
                      "\"%V\", lower the max of \"completion_async_split\"",
                      ngx_completion_whole_parts(&ctx->id), &service->name);
    }

    return rc;
}


static ngx_int_t
ngx_http_completion_submit_copy(ngx_pool_t *pool, ngx_str_t *s)
{
    if (s->len == 0) {
        return NGX_OK;
    }

    s->data = ngx_pstrdup(pool, s);

    return s->data ? NGX_OK : NGX_ERROR;
}
