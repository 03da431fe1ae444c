
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_int_t ngx_http_completion_reply_late(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_table_elt_t *ngx_http_completion_reply_etag(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


ngx_int_t
ngx_http_completion_reply(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_uint_t                    pending;
    ngx_completion_face_view_t    view;
    ngx_completion_face_format_e  format;
    ngx_completion_face_answer_t  answer;
    const ngx_completion_face_t  *face;

    face = ctx->conf->face;
    format = (ctx->action == NGX_COMPLETION_FACE_CANCEL)
                 ? NGX_COMPLETION_FACE_JSON : ctx->format;

    pending = (ctx->view.verdict == NGX_COMPLETION_PENDING);

    if (pending && ctx->held) {
        return ngx_http_completion_reply_late(r, ctx);
    }

    if (!pending && (format == NGX_COMPLETION_FACE_TEXT || face->results)
        && ngx_http_completion_is_known(ctx)
        && ngx_http_completion_result(r, ctx) == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_completion_reply_view(ctx, &view);

    rc = face->items ? ngx_http_completion_items(r, ctx, &view) : NGX_OK;

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_NOT_READY, NULL,
                                           0);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&answer, sizeof(ngx_completion_face_answer_t));

    if (face->write(r->pool, format, &view, &answer) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_completion_intercepted(r, ctx, answer.status)) {
        r->disable_not_modified = 1;
        return answer.status;
    }

    if (ngx_http_completion_reply_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer.tags) {
        ctx->tags = answer.tags;
        ngx_completion_metrics_add(
                  &ctx->conf->service->zone->metrics->tags[answer.tags], 1);
    }

    ctx->delivered = 1;

    return ngx_http_completion_send(r, &answer, 0,
                            (answer.status == NGX_HTTP_ACCEPTED || pending)
                                ? ngx_max(ctx->view.next, 1) : 0);
}


/* who would have waited longer can ask for it by its id */

static ngx_int_t
ngx_http_completion_reply_late(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t  detail;

    if (ctx->conf->face->items) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_NOT_READY, NULL,
                                           ctx->view.next);
    }

    detail.data = ngx_pnalloc(r->pool, ctx->capability.len
                                       + sizeof("the operation \"\" has not "
                                                "ended yet"));
    if (detail.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    detail.len = ngx_sprintf(detail.data, "the operation \"%V\" has not ended "
                             "yet", &ctx->capability)
                 - detail.data;

    return ngx_http_completion_problem(r, NGX_COMPLETION_NOT_READY, &detail,
                                       ctx->view.next);
}


void
ngx_http_completion_reply_view(ngx_http_completion_ctx_t *ctx,
    ngx_completion_face_view_t *view)
{
    view->id = ctx->capability;
    view->state = ctx->view.verdict;
    view->document = ctx->view.document;
    view->id_offset = ctx->view.id_offset;
    view->result = ctx->result;
    view->parts = NULL;
    view->n = 0;
    view->submitted = ctx->id.submitted;
    view->input = &ctx->input;
    view->deleted = (ctx->action == NGX_COMPLETION_FACE_DELETE);

    /* a submit whose end nobody asked to wait for is accepted, no more */

    view->accepted = (ctx->action == NGX_COMPLETION_FACE_SUBMIT
                      && (!ctx->wait_until
                          || view->state == NGX_COMPLETION_PENDING));
}


ngx_int_t
ngx_http_completion_reply_headers(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    time_t            rest;
    ngx_uint_t        submitted, pending, shown, failed;
    ngx_table_elt_t  *h;

    static ngx_str_t  wait = ngx_string("wait=");
    static ngx_str_t  max_age = ngx_string("private, max-age=");
    static ngx_str_t  immutable = ngx_string(", immutable");

    submitted = (ctx->action == NGX_COMPLETION_FACE_SUBMIT);
    pending = (ctx->view.verdict == NGX_COMPLETION_PENDING);
    shown = (ctx->action != NGX_COMPLETION_FACE_CANCEL
             && ctx->format != NGX_COMPLETION_FACE_STREAM);

    failed = 0;

    if (ctx->replayed) {
        failed |= !ngx_http_completion_add_text(r, "Idempotency-Replayed",
                                                "true");
    }

    /* not headers_out.location, which nginx would make absolute */

    if (submitted && ctx->conf->face->negotiates) {
        failed |= !ngx_http_completion_add_joined(r, "Location",
                                             &ctx->conf->uri, &ctx->capability,
                                             &ngx_http_completion_nothing);
    }

    if (shown && ctx->prefer.wait) {
        failed |= !ngx_http_completion_add_number(r, "Preference-Applied",
                                       &wait, ctx->prefer.seconds,
                                       &ngx_http_completion_nothing);

    } else if (shown && submitted && ctx->prefer.respond_async
               && (ctx->format != NGX_COMPLETION_FACE_TEXT || pending))
    {
        failed |= !ngx_http_completion_add_text(r, "Preference-Applied",
                                                "respond-async");
    }

    if (!shown || submitted || pending || ctx->view.decided
        || !ctx->conf->face->negotiates)
    {
        r->disable_not_modified = 1;
        h = ngx_http_completion_add_text(r, "Cache-Control", "no-store");
        failed |= !ngx_http_completion_cache_control(r, h);

        return failed ? NGX_ERROR : NGX_OK;
    }

    /* upstream's final word: it never changes */

    failed |= !ngx_http_completion_add_text(r, "Vary", "Accept");

    h = ngx_http_completion_reply_etag(r, ctx);
    failed |= !h;
    r->headers_out.etag = h;

    if (ctx->owner.len) {
        h = ngx_http_completion_add_text(r, "Cache-Control",
                                         "private, no-cache");

    } else {
        rest = ctx->id.submitted - ngx_time()
               + ctx->conf->service->provider.dialect->lifetime;

        h = ngx_http_completion_add_number(r, "Cache-Control", &max_age,
                                             ngx_max(rest, 0), &immutable);
    }

    failed |= !ngx_http_completion_cache_control(r, h);

    return failed ? NGX_ERROR : NGX_OK;
}


static ngx_table_elt_t *
ngx_http_completion_reply_etag(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    u_char      bytes[8], hex[16];
    ngx_str_t   digest, *kind;
    ngx_uint_t  i;

    static ngx_str_t  quote = ngx_string("\"");
    static ngx_str_t  kinds[] = { ngx_string("\"j-"), ngx_string("\"t-") };

    for (i = 0; i < 8; i++) {
        bytes[i] = (u_char) (ctx->view.digest >> (56 - 8 * i));
    }

    digest.data = hex;
    digest.len = ngx_hex_dump(hex, bytes, 8) - hex;

    kind = &kinds[ctx->format == NGX_COMPLETION_FACE_TEXT];

    return ngx_http_completion_add_joined(r, "ETag", kind, &digest, &quote);
}


ngx_completion_result_t *
ngx_http_completion_result(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    if (ctx->result || ctx->view.document.len == 0) {
        return ctx->result;
    }

    ctx->result = ngx_pcalloc(r->pool, sizeof(ngx_completion_result_t));

    if (ctx->result
        && ctx->conf->service->provider.dialect->result(r->pool,
                                               &ctx->view.document, ctx->result)
           != NGX_OK)
    {
        ctx->result = NULL;
    }

    return ctx->result;
}
