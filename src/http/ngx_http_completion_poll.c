
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


#define NGX_HTTP_COMPLETION_VIEW_POOL  1024


static ngx_int_t ngx_http_completion_poll_read(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_view_t *view);
static ngx_int_t ngx_http_completion_poll_missing(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc,
    ngx_completion_view_t *view);
static ngx_int_t ngx_http_completion_poll_wait(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_t ms);
static void ngx_http_completion_poll_news(ngx_completion_wait_t *wait);
static void ngx_http_completion_poll_timer(ngx_event_t *ev);
static void ngx_http_completion_poll_again(ngx_http_completion_ctx_t *ctx);


ngx_int_t
ngx_http_completion_poll(ngx_http_request_t *r, ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_uint_t                 ends;
    ngx_msec_int_t             left;
    ngx_completion_view_t      view;
    ngx_completion_service_t  *service;

    service = ctx->conf->service;
    ends = (ctx->action == NGX_COMPLETION_FACE_CANCEL
            || ctx->action == NGX_COMPLETION_FACE_DELETE);

    /* a slow client is told what is new when it has taken what was sent */

    if (ctx->stream.busy && !ngx_exiting) {
        rc = ngx_http_completion_poll_wait(r, ctx,
                                           NGX_HTTP_COMPLETION_HEARTBEAT);

        return (rc == NGX_DONE) ? NGX_DONE : NGX_ERROR;
    }

    rc = ngx_http_completion_poll_read(r, ctx, &view);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* it is none any more, for those who have waited as well */

    if (rc == NGX_DECLINED && view.deleted) {

        if (!r->header_sent) {
            return ngx_http_completion_poll_missing(r, ctx, rc, &view);
        }

        ngx_http_completion_discard_body(r);
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    if ((rc == NGX_OK || rc == NGX_DONE) && view.refused && !r->header_sent
        && view.verdict == NGX_COMPLETION_PENDING
        && ctx->action == NGX_COMPLETION_FACE_READ)
    {
        return ngx_http_completion_problem(r, NGX_COMPLETION_UPSTREAM_REJECTED,
                                           NULL, 0);
    }

    if (rc == NGX_OK) {

        if (ctx->source == NGX_COMPLETION_SOURCE_NONE) {
            ctx->source = ctx->asked_until ? NGX_COMPLETION_SOURCE_UPSTREAM
                                           : NGX_COMPLETION_SOURCE_ZONE;
            ngx_completion_metrics_add(ends
                                 ? &service->zone->metrics->cancels
                                 : &service->zone->metrics->polls[ctx->source],
                                       1);
        }

    } else if (!ngx_http_completion_is_known(ctx)) {
        return ngx_http_completion_poll_missing(r, ctx, rc, &view);
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

    if (ctx->view.verdict != NGX_COMPLETION_PENDING || ends
        || !ctx->wait_until || left <= 0 || ngx_exiting)
    {
        return ngx_http_completion_reply(r, ctx);
    }

    return ngx_http_completion_poll_wait(r, ctx, left);
}


/*
 * What is known now, as read, cancelled or deleted; NGX_DONE: the same as
 * before.  What a request that is held reads takes the place of what it has
 * read before.
 */

static ngx_int_t
ngx_http_completion_poll_read(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_view_t *view)
{
    ngx_int_t                  rc;
    ngx_uint_t                 how;
    ngx_pool_t                *pool;
    ngx_completion_view_t     *known;
    ngx_completion_service_t  *service;

    service = ctx->conf->service;
    how = 0;

    if (ctx->asked_until
        && ((ngx_msec_int_t) (ctx->asked_until - ngx_current_msec) <= 0
            || ngx_exiting))
    {
        how |= NGX_COMPLETION_WHOLE_LATE;
    }

    if (ctx->format == NGX_COMPLETION_FACE_STREAM && ctx->conf->face->parts) {
        how |= NGX_COMPLETION_WHOLE_TEXT;
    }

    if (ctx->action == NGX_COMPLETION_FACE_SUBMIT) {
        how |= NGX_COMPLETION_WHOLE_NEW;
    }

    if (ctx->conf->face->items) {
        how |= NGX_COMPLETION_WHOLE_APART;
    }

    known = ngx_http_completion_is_known(ctx) ? &ctx->view : NULL;
    pool = r->pool;

    /* but for the last time: what was sent of it may still be on its way */

    if (ctx->state != NGX_HTTP_COMPLETION_ARRIVED && !ngx_exiting) {
        pool = ngx_create_pool(NGX_HTTP_COMPLETION_VIEW_POOL,
                               r->connection->log);
        if (pool == NULL) {
            return NGX_ERROR;
        }
    }

    switch (ctx->action) {

    case NGX_COMPLETION_FACE_CANCEL:
        rc = ngx_completion_whole_cancel(service, &ctx->id, how, pool, view);
        break;

    case NGX_COMPLETION_FACE_DELETE:
        rc = ngx_completion_whole_delete(service, &ctx->id, pool, view);
        break;

    default:
        rc = ngx_completion_whole_read(service, &ctx->id, how, known, pool,
                                       view);
    }

    if (rc == NGX_OK) {
        ctx->view = *view;
        ctx->result = NULL;

    } else if (rc == NGX_DONE) {
        ctx->view.next = view->next;
        ctx->view.refused = view->refused;
    }

    if (pool == r->pool) {
        return rc;
    }

    if (rc != NGX_OK) {
        ngx_destroy_pool(pool);
        return rc;
    }

    if (ctx->pool) {
        ngx_destroy_pool(ctx->pool);
    }

    ctx->pool = pool;

    return NGX_OK;
}


/* rc: NGX_AGAIN, NGX_BUSY, NGX_ABORT or NGX_DECLINED, as read */

static ngx_int_t
ngx_http_completion_poll_missing(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_int_t rc, ngx_completion_view_t *view)
{
    ngx_str_t                  id;
    ngx_msec_int_t             left;
    ngx_completion_service_t  *service;

    static ngx_str_t  failed = ngx_string("the operation could not be looked "
                                          "up");

    service = ctx->conf->service;
    id = ngx_completion_whole_first(&ctx->id);

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_OPERATION_NOT_FOUND, NULL, 0);
    }

    if (rc == NGX_ABORT) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no room for operation \"%V\" in the zone of provider "
                      "\"%V\"", &id, &service->name);

        return ngx_http_completion_problem(r, NGX_COMPLETION_ZONE_FULL, NULL,
                                           view->next);
    }

    if (!ctx->asked_until) {
        ctx->asked_until = ngx_current_msec
                           + service->provider.request_timeout;
    }

    left = ctx->asked_until - ngx_current_msec;

    if (rc != NGX_BUSY && left > 0 && !ngx_exiting) {
        return ngx_http_completion_poll_wait(r, ctx, left);
    }

    if (view->refused) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_UPSTREAM_REJECTED,
                                           NULL, 0);
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "operation \"%V\" of provider \"%V\" could not be looked up",
                  &id, &service->name);

    return ngx_http_completion_problem(r, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                                       &failed, ngx_max(view->next, 1000));
}


/* goes on in so many ms, or when the operation changes: NGX_DONE, or 500 */

static ngx_int_t
ngx_http_completion_poll_wait(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_t ms)
{
    ngx_uint_t              held;
    ngx_completion_wait_t  *wait;

    wait = &ctx->wait;

    if (ngx_completion_id_is_whole(&ctx->id.upstream)) {

        if (ctx->waits == NULL) {
            ctx->waits = ngx_pcalloc(r->pool, sizeof(ngx_completion_wait_t)
                                     * ngx_completion_whole_parts(&ctx->id));
            if (ctx->waits == NULL) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }
        }

        wait = ctx->waits;
    }

    wait->handler = ngx_http_completion_poll_news;
    wait->data = ctx;

    ngx_completion_whole_wait(ctx->conf->service, &ctx->id, ms, wait);

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
        ngx_http_completion_wait_end(ctx);
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

    ngx_http_completion_wait_end(ctx);
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
