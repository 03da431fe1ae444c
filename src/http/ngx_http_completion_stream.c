
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_chain_t *ngx_http_completion_stream_text(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_uint_t changed);
static ngx_int_t ngx_http_completion_stream_output(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_chain_t *out);
static ngx_int_t ngx_http_completion_stream_armed(ngx_http_request_t *r);
static void ngx_http_completion_stream_writer(ngx_http_request_t *r);


ngx_int_t
ngx_http_completion_stream(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_int_t *ms)
{
    ngx_int_t     rc;
    ngx_uint_t    begins, changed;
    ngx_chain_t  *out;

    *ms = ctx->stream.beat - ngx_current_msec;

    begins = !r->header_sent;
    changed = (begins || ctx->stream.version != ctx->view.version);
    out = NULL;

    if (changed || (*ms <= 0 && ctx->stream.busy == NULL && !ngx_exiting)) {
        out = ngx_http_completion_stream_text(r, ctx, changed);

        if (out == NULL) {
            return begins ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_ERROR;
        }
    }

    if (begins) {

        /* the first event was there before it, while there can be a 500 */

        if (ngx_http_completion_reply_headers(r, ctx) != NGX_OK
            || ngx_http_completion_add_header(r, "X-Accel-Buffering", "no")
               == NULL)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_str_null(&r->headers_out.charset);
        r->headers_out.override_charset = NULL;
        ngx_str_set(&r->headers_out.content_type, "text/event-stream");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
        r->headers_out.status = NGX_HTTP_OK;
        r->headers_out.content_length_n = -1;

        ngx_http_completion_clock_end(ctx);

        rc = ngx_http_send_header(r);

        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            ngx_http_completion_discard_body(r);
            return rc;
        }
    }

    rc = out ? ngx_http_completion_stream_output(r, ctx, out) : NGX_OK;

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion stream: %p, version %uL, state %V: %i", ctx,
                   ctx->view.version, &ngx_completion_states[ctx->view.verdict],
                   rc);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* whoever comes back is told why it cannot go on */

    if (ctx->view.verdict != NGX_COMPLETION_PENDING || ctx->view.refused
        || ngx_exiting)
    {
        ngx_http_completion_discard_body(r);
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    if (out || *ms <= 0) {
        *ms = NGX_HTTP_COMPLETION_HEARTBEAT;
        ctx->stream.beat = ngx_current_msec + *ms;
    }

    return (ngx_http_completion_stream_armed(r) == NGX_OK) ? NGX_DECLINED
                                                           : NGX_ERROR;
}


/* an event, or a comment that there is none */

static ngx_chain_t *
ngx_http_completion_stream_text(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_uint_t changed)
{
    ngx_str_t                   text;
    ngx_buf_t                  *b;
    ngx_chain_t                *out;
    ngx_completion_face_view_t  view;

    ngx_str_set(&text, ": still here\n\n");

    if (changed) {
        ctx->stream.version = ctx->view.version;
        ngx_http_completion_reply_view(ctx, &view);

        if (ctx->conf->face->event(ctx->pool ? ctx->pool : r->pool, &view,
                                   &text)
            != NGX_OK)
        {
            return NULL;
        }
    }

    out = ngx_chain_get_free_buf(r->pool, &ctx->stream.free);
    if (out == NULL) {
        return NULL;
    }

    b = out->buf;
    ngx_memzero(b, sizeof(ngx_buf_t));

    b->start = text.data;
    b->pos = b->start;
    b->last = b->start + text.len;
    b->end = b->last;
    b->memory = 1;
    b->flush = 1;
    b->tag = (ngx_buf_tag_t) &ngx_http_completion_async_module;

    return out;
}


/* NULL: of what was not taken yet */

static ngx_int_t
ngx_http_completion_stream_output(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_chain_t *out)
{
    ngx_int_t  rc;

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &ctx->stream.free, &ctx->stream.busy, &out,
                        (ngx_buf_tag_t) &ngx_http_completion_async_module);

    return rc;
}


/* the rest of what a slow client has not taken yet */

static ngx_int_t
ngx_http_completion_stream_armed(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r->main, ngx_http_core_module);

    r->write_event_handler = ngx_http_completion_stream_writer;

    if (!r->buffered && !r->postponed
        && !(r == r->main && r->connection->buffered))
    {
        if (wev->timer_set && !wev->delayed) {
            ngx_del_timer(wev);
        }

        return NGX_OK;
    }

    if (!wev->delayed && !wev->timer_set) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    return ngx_handle_write_event(wev, clcf->send_lowat);
}


static void
ngx_http_completion_stream_writer(ngx_http_request_t *r)
{
    ngx_event_t                *wev;
    ngx_http_completion_ctx_t  *ctx;

    wev = r->connection->write;

    if (wev->timedout && !wev->delayed) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "client timed out");
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    if (ngx_http_completion_stream_output(r, ctx, NULL) == NGX_ERROR
        || ngx_http_completion_stream_armed(r) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    /* something new may have had to wait for this */

    if (ctx->stream.busy == NULL && !ctx->timer.posted) {
        ngx_post_event(&ctx->timer, &ngx_posted_events);
    }
}
