
/*
 * Where a request stands; the map is in the header.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/rand.h>

#include "ngx_http_completion_request.h"


/* bytes of a request's id, and of those that are fetched at once */
#define NGX_HTTP_COMPLETION_RANDOM_ID  16
#define NGX_HTTP_COMPLETION_RANDOM     1024

#define ngx_http_completion_is_held(state)                                    \
    ((state) != NGX_HTTP_COMPLETION_ARRIVED                                   \
     && (state) != NGX_HTTP_COMPLETION_ENDED)


static void ngx_http_completion_become(ngx_http_completion_ctx_t *ctx,
    ngx_http_completion_state_e state);
static void ngx_http_completion_cleanup(void *data);
static ngx_int_t ngx_http_completion_request_id_set(ngx_http_request_t *r,
    ngx_http_variable_value_t *vv);


ngx_http_completion_ctx_t *
ngx_http_completion_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_completion_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_completion_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_completion_ctx_t));

    cln->handler = ngx_http_completion_cleanup;

    ctx->request = r;
    ctx->conf = ngx_http_get_module_loc_conf(r,
                                             ngx_http_completion_async_module);

    ngx_http_set_ctx(r, ctx, ngx_http_completion_async_module);
    ngx_http_completion_clock_start(ctx);

    return ctx;
}


static void
ngx_http_completion_become(ngx_http_completion_ctx_t *ctx,
    ngx_http_completion_state_e state)
{
    ngx_completion_metrics_worker_sh_t  *worker;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "completion request: state %ui, then %ui", ctx->state,
                   state);

    worker = ctx->conf->service->zone->worker;

    worker->waiters += ngx_http_completion_is_held(state)
                       - ngx_http_completion_is_held(ctx->state);
    worker->streams += (state == NGX_HTTP_COMPLETION_STREAMS)
                       - (ctx->state == NGX_HTTP_COMPLETION_STREAMS);

    ctx->state = state;
}


ngx_int_t
ngx_http_completion_hold(ngx_http_completion_ctx_t *ctx,
    ngx_http_completion_state_e state)
{
    ngx_uint_t           held;
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = ctx->request;
    held = ngx_http_completion_is_held(ctx->state);

    ngx_http_completion_become(ctx, state);
    ngx_http_completion_clock_stop(ctx);

    if (held) {
        return NGX_OK;
    }

    if (r == r->main && r->http_version == NGX_HTTP_VERSION_20) {

        /* no more than a word: what comes is not kept for us */

        (void) ngx_http_discard_request_body(r);
    }

    if (r == r->main && r->discard_body) {

        /* whoever led here began it, and its timer outlives the wait */

        r->keepalive = 0;
        r->read_event_handler = ngx_http_discarded_request_body_handler;

    } else {
        r->read_event_handler = ngx_http_test_reading;
    }

    if (state != NGX_HTTP_COMPLETION_STREAMS) {
        r->write_event_handler = ngx_http_request_empty_handler;
    }

    rev = r->connection->read;

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* a hang-up that came together with the request is not told again */

    if (rev->pending_eof) {
        ngx_post_event(rev, &ngx_posted_events);
    }

    return NGX_OK;
}


void
ngx_http_completion_finalize(ngx_http_completion_ctx_t *ctx, ngx_int_t rc)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (rc != NGX_DONE) {

        /* an "error_page" may have it held elsewhere */

        ngx_http_completion_become(ctx, NGX_HTTP_COMPLETION_ENDED);
        ngx_http_finalize_request(r, rc);
    }

    ngx_http_run_posted_requests(c);
}


/* the client is gone, or has its answer; upstream work goes on without it */

static void
ngx_http_completion_cleanup(void *data)
{
    ngx_http_completion_ctx_t *ctx = data;

    ngx_connection_t  *c;

    /* by the id, which of items is in the pool of their parts */

    ngx_http_completion_wait_end(ctx);
    ngx_completion_timer_stop(&ctx->timer);

    if (ctx->submit) {
        ngx_completion_submit_hold(ctx->submit, &ctx->hold);
        ngx_completion_submit_detach(ctx->submit);
    }

    if (ctx->parts) {
        c = ctx->request->connection;

        ngx_completion_parts_leave(ctx->parts, ctx->delivered && !c->error
                                               && !c->timedout);
    }

    if (ctx->hold.lease) {
        c = ctx->request->connection;

        ngx_completion_zone_unhold(ctx->conf->service->zone, &ctx->hold,
                                   ctx->delivered && !c->error
                                   && !c->timedout);
    }

    ngx_http_completion_become(ctx, NGX_HTTP_COMPLETION_ENDED);

    if (ctx->pool) {
        ngx_destroy_pool(ctx->pool);
    }

    if (ctx->input_pool) {
        ngx_destroy_pool(ctx->input_pool);
    }
}


void
ngx_http_completion_wait_end(ngx_http_completion_ctx_t *ctx)
{
    if (ctx->waits) {
        ngx_completion_whole_wait_end(ctx->waits,
                                      ngx_completion_whole_parts(&ctx->id));

    } else {
        ngx_completion_wait_end(&ctx->wait);
    }
}


ngx_int_t
ngx_http_completion_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_http_variable_value_t        *vv;
    ngx_http_completion_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_completion_async_module);

    vv = &r->variables[cmcf->request_id];

    if (!vv->valid && !vv->not_found
        && ngx_http_completion_request_id_set(r, vv) != NGX_OK)
    {
        return NGX_ERROR;
    }

    vv = ngx_http_get_indexed_variable(r, cmcf->request_id);

    if (vv == NULL || vv->not_found) {
        return NGX_ERROR;
    }

    id->data = vv->data;
    id->len = vv->len;

    return NGX_OK;
}


/*
 * The variable as nginx would make it, of random bytes that are fetched for
 * many requests at once: a call of OpenSSL's for each is dearer than all else
 * that a submit asks of it.
 */

static ngx_int_t
ngx_http_completion_request_id_set(ngx_http_request_t *r,
    ngx_http_variable_value_t *vv)
{
    u_char  *id;

    static size_t  left;
    static u_char  random[NGX_HTTP_COMPLETION_RANDOM];

    if (left == 0) {

        if (RAND_bytes(random, sizeof(random)) != 1) {

            /* nginx has an answer to that */

            return NGX_OK;
        }

        left = sizeof(random);
    }

    id = ngx_pnalloc(r->pool, 2 * NGX_HTTP_COMPLETION_RANDOM_ID);
    if (id == NULL) {
        return NGX_ERROR;
    }

    left -= NGX_HTTP_COMPLETION_RANDOM_ID;
    ngx_hex_dump(id, random + left, NGX_HTTP_COMPLETION_RANDOM_ID);

    vv->len = 2 * NGX_HTTP_COMPLETION_RANDOM_ID;
    vv->data = id;
    vv->valid = 1;
    vv->no_cacheable = 0;
    vv->not_found = 0;

    return NGX_OK;
}
