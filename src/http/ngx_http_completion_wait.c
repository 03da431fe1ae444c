
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


static ngx_int_t ngx_http_completion_known(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_unknown(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc, ngx_msec_t next);
static void ngx_http_completion_wait_handler(ngx_completion_wait_t *wait);
static void ngx_http_completion_wait_timer(ngx_event_t *ev);
static void ngx_http_completion_resume(ngx_http_completion_ctx_t *ctx);


ngx_int_t
ngx_http_completion_continue(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_completion_view_t  view;

    rc = ctx->cancel ? ngx_completion_operation_cancel(ctx->service, &ctx->id,
                                                       r->pool, &view)
                     : ngx_completion_operation_read(ctx->service, &ctx->id,
                                                     r->pool, &view);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_completion_unknown(r, ctx, rc, view.next);
    }

    ctx->view = view;
    ctx->state = (view.state == NGX_COMPLETION_RECORD_FINAL)
                     ? view.verdict : NGX_COMPLETION_PENDING;
    ctx->result = NULL;
    ctx->known = 1;

    if (ctx->source == NGX_COMPLETION_SOURCE_NONE) {
        ctx->source = ctx->asked ? NGX_COMPLETION_SOURCE_UPSTREAM
                                 : NGX_COMPLETION_SOURCE_ZONE;
        ngx_completion_metrics_add(ctx->cancel
                          ? &ctx->service->zone->metrics->cancels
                          : &ctx->service->zone->metrics->polls[ctx->source],
                                   1);
    }

    return ngx_http_completion_known(r, ctx);
}


static ngx_int_t
ngx_http_completion_known(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_msec_int_t  left;

    if (ctx->format == NGX_HTTP_COMPLETION_STREAM && !ctx->cancel) {
        return ngx_http_completion_stream(r, ctx);
    }

    left = ctx->wait_until - ngx_current_msec;

    if (ctx->state != NGX_COMPLETION_PENDING || ctx->cancel || left <= 0
        || ngx_exiting)
    {
        return ngx_http_completion_reply(r, ctx);
    }

    return ngx_http_completion_wait(r, ctx, left);
}


/* rc: NGX_AGAIN, NGX_BUSY, NGX_ABORT or NGX_DECLINED, as read */

static ngx_int_t
ngx_http_completion_unknown(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc, ngx_msec_t next)
{
    ngx_msec_int_t  left;

    if (ctx->known) {

        /* its record was evicted meanwhile; what was known still holds */

        return ngx_http_completion_known(r, ctx);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_OPERATION_NOT_FOUND, NULL, 0);
    }

    if (rc == NGX_ABORT) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_ZONE_FULL,
                                           NULL, 1000);
    }

    if (!ctx->asked) {
        ctx->asked = 1;
        ctx->asked_until = ngx_current_msec
                           + ctx->service->provider.request_timeout;
    }

    left = ctx->asked_until - ngx_current_msec;

    if (rc == NGX_BUSY || left <= 0 || ngx_exiting) {
        return ngx_http_completion_problem(r,
                                    NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                                    "the operation could not be looked up",
                                    ngx_max(next, 1000));
    }

    return ngx_http_completion_wait(r, ctx, left);
}


ngx_int_t
ngx_http_completion_wait(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_t ms)
{
    ctx->wait.handler = ngx_http_completion_wait_handler;
    ctx->wait.data = ctx;

    ngx_completion_operation_wait(ctx->service, &ctx->id.upstream, ms,
                                  &ctx->wait);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion wait: %p for \"%V\", %M ms", ctx,
                   &ctx->id.upstream, ms);

    ngx_completion_timer_init(&ctx->timer, ngx_http_completion_wait_timer,
                              r->connection->log);
    ngx_add_timer(&ctx->timer, ms);
    ngx_http_completion_clock_stop(ctx);

    if (!ctx->held) {
        ctx->held = 1;
        ctx->service->zone->worker->waiters++;
        r->main->count++;

        if (ngx_http_completion_hold(r) != NGX_OK) {
            ngx_completion_wait_end(&ctx->wait);
            ngx_del_timer(&ctx->timer);

            r->main->count--;
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return NGX_DONE;
}


ngx_int_t
ngx_http_completion_hold(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    if (r != r->main) {
        return NGX_OK;
    }

    if (r->http_version == NGX_HTTP_VERSION_20) {

        /* no more than a word: what comes is not kept for us */

        (void) ngx_http_discard_request_body(r);
    }

    if (r->discard_body) {

        /* whoever led here began it, and its timer outlives the wait */

        r->keepalive = 0;
        r->read_event_handler = ngx_http_discarded_request_body_handler;

    } else {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

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


static void
ngx_http_completion_wait_handler(ngx_completion_wait_t *wait)
{
    ngx_http_completion_ctx_t  *ctx;

    ctx = wait->data;

    ngx_completion_timer_stop(&ctx->timer);

    ngx_http_completion_resume(ctx);
}


static void
ngx_http_completion_wait_timer(ngx_event_t *ev)
{
    ngx_http_completion_ctx_t  *ctx;

    ctx = ngx_completion_timer_owner(ev, ngx_http_completion_ctx_t, timer);

    ngx_completion_wait_end(&ctx->wait);
    ngx_http_completion_resume(ctx);
}


static void
ngx_http_completion_resume(ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    if (!ngx_http_completion_current(ctx)) {
        return;
    }

    r = ctx->request;

    ngx_http_set_log_request(r->connection->log, r);
    ngx_http_completion_clock_start(ctx);

    rc = ngx_http_completion_continue(r, ctx);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion wait: %p is over, state %V: %i", ctx,
                   &ngx_completion_states[ctx->state], rc);

    if (ctx->streaming && rc >= NGX_HTTP_SPECIAL_RESPONSE) {

        /* the header is sent, there is no other way to tell */

        rc = NGX_ERROR;
    }

    ngx_http_completion_finalize(ctx, rc);
}
