
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_int_t ngx_http_completion_poll_missing(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc, ngx_msec_t next);
static ngx_int_t ngx_http_completion_poll_wait(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_t ms);
static void ngx_http_completion_poll_news(ngx_completion_wait_t *wait);
static void ngx_http_completion_poll_timer(ngx_event_t *ev);
static void ngx_http_completion_poll_again(ngx_http_completion_ctx_t *ctx);


ngx_int_t
ngx_http_completion_poll(ngx_http_request_t *r, ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_uint_t                 cancel;
    ngx_msec_int_t             left;
    ngx_completion_view_t      view;
    ngx_completion_service_t  *service;

    service = ctx->conf->service;
    cancel = (ctx->action == NGX_COMPLETION_FACE_CANCEL);

    rc = cancel ? ngx_completion_operation_cancel(service, &ctx->id, r->pool,
                                                  &view)
                : ngx_completion_operation_read(service, &ctx->id, r->pool,
                                                &view);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK) {
        ctx->view = view;
        ctx->result = NULL;

        if (ctx->source == NGX_COMPLETION_SOURCE_NONE) {
            ctx->source = ctx->asked_until ? NGX_COMPLETION_SOURCE_UPSTREAM
                                           : NGX_COMPLETION_SOURCE_ZONE;
            ngx_completion_metrics_add(cancel
                                 ? &service->zone->metrics->cancels
                                 : &service->zone->metrics->polls[ctx->source],
                                       1);
        }

    } else if (!ngx_http_completion_is_known(ctx)) {
        return ngx_http_completion_poll_missing(r, ctx, rc, view.next);
    }

    /* or its record was evicted meanwhile: what was known still holds */

    if (ctx->format == NGX_COMPLETION_FACE_STREAM) {
        rc = ngx_http_completion_stream(r, ctx, &left);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        rc = ngx_http_completion_poll_wait(r, ctx, left);

        return (rc == NGX_DONE) ? NGX_DONE : NGX_ERROR;
    }

    left = ctx->wait_until - ngx_current_msec;

    if (ctx->view.verdict != NGX_COMPLETION_PENDING || cancel
        || !ctx->wait_until || left <= 0 || ngx_exiting)
    {
        return ngx_http_completion_reply(r, ctx);
    }

    return ngx_http_completion_poll_wait(r, ctx, left);
}


/* rc: NGX_AGAIN, NGX_BUSY, NGX_ABORT or NGX_DECLINED, as read */

static ngx_int_t
ngx_http_completion_poll_missing(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc, ngx_msec_t next)
{
    ngx_msec_int_t  left;

    static ngx_str_t  failed = ngx_string("the operation could not be looked "
                                          "up");

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_OPERATION_NOT_FOUND, NULL, 0);
    }

    if (rc == NGX_ABORT) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_ZONE_FULL, NULL,
                                           next);
    }

    if (!ctx->asked_until) {
        ctx->asked_until = ngx_current_msec
                           + ctx->conf->service->provider.request_timeout;
    }

    left = ctx->asked_until - ngx_current_msec;

    if (rc == NGX_BUSY || left <= 0 || ngx_exiting) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_UPSTREAM_UNAVAILABLE, &failed,
                          ngx_max(next, 1000));
    }

    return ngx_http_completion_poll_wait(r, ctx, left);
}


/* goes on in so many ms, or when the operation changes: NGX_DONE, or 500 */

static ngx_int_t
ngx_http_completion_poll_wait(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_t ms)
{
    ngx_uint_t  held;

    ctx->wait.handler = ngx_http_completion_poll_news;
    ctx->wait.data = ctx;

    ngx_completion_operation_wait(ctx->conf->service, &ctx->id.upstream, ms,
                                  &ctx->wait);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion wait: %p for \"%V\", %M ms", ctx,
                   &ctx->id.upstream, ms);

    ngx_completion_timer_init(&ctx->timer, ngx_http_completion_poll_timer,
                              r->connection->log);
    ngx_add_timer(&ctx->timer, ms);

    held = (ctx->state != NGX_HTTP_COMPLETION_ARRIVED);

    if (ngx_http_completion_hold(ctx, r->header_sent
                                          ? NGX_HTTP_COMPLETION_STREAMS
                                          : NGX_HTTP_COMPLETION_WAITS)
        != NGX_OK)
    {
        ngx_completion_wait_end(&ctx->wait);
        ngx_del_timer(&ctx->timer);

        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!held) {
        r->main->count++;
    }

    return NGX_DONE;
}


static void
ngx_http_completion_poll_news(ngx_completion_wait_t *wait)
{
    ngx_http_completion_poll_again(wait->data);
}


static void
ngx_http_completion_poll_timer(ngx_event_t *ev)
{
    ngx_http_completion_poll_again(
        ngx_completion_timer_owner(ev, ngx_http_completion_ctx_t, timer));
}


static void
ngx_http_completion_poll_again(ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    ngx_completion_wait_end(&ctx->wait);
    ngx_completion_timer_stop(&ctx->timer);

    if (!ngx_http_completion_is_current(ctx)) {
        return;
    }

    r = ctx->request;

    ngx_http_set_log_request(r->connection->log, r);
    ngx_http_completion_clock_start(ctx);

    rc = ngx_http_completion_poll(r, ctx);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion wait: %p is over, state %V: %i", ctx,
                   &ngx_completion_states[ctx->view.verdict], rc);

    if (ctx->state == NGX_HTTP_COMPLETION_STREAMS
        && rc >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        /* the header is sent, there is no other way to tell */

        rc = NGX_ERROR;
    }

    ngx_http_completion_finalize(ctx, rc);
}
