
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_table_elt_t *ngx_http_completion_reply_joined(
    ngx_http_request_t *r, const char *name, ngx_str_t *before,
    ngx_str_t *text, ngx_str_t *after);
static ngx_table_elt_t *ngx_http_completion_reply_number(
    ngx_http_request_t *r, const char *name, ngx_str_t *before, ngx_uint_t n,
    ngx_str_t *after);
static ngx_table_elt_t *ngx_http_completion_reply_etag(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


static ngx_str_t  ngx_http_completion_reply_nothing = ngx_string("");


ngx_int_t
ngx_http_completion_reply(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_uint_t                    pending;
    ngx_completion_face_view_t    view;
    ngx_completion_face_format_e  format;
    ngx_completion_face_answer_t  answer;

    format = (ctx->action == NGX_COMPLETION_FACE_CANCEL)
                 ? NGX_COMPLETION_FACE_JSON : ctx->format;

    pending = (ctx->view.verdict == NGX_COMPLETION_PENDING);

    ngx_http_completion_reply_view(ctx, &view);

    if (format == NGX_COMPLETION_FACE_TEXT && !pending) {
        view.result = ngx_http_completion_result(r, ctx);

        if (view.result == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_memzero(&answer, sizeof(ngx_completion_face_answer_t));

    if (ctx->conf->face->write(r->pool, format, &view, &answer) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_completion_intercepted(r, ctx, answer.status)) {
        r->disable_not_modified = 1;
        return answer.status;
    }

    if (ngx_http_completion_reply_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_send(r, &answer, 0,
                            (answer.status == NGX_HTTP_ACCEPTED || pending)
                                ? ngx_max(ctx->view.next, 1) : 0);
}


void
ngx_http_completion_reply_view(ngx_http_completion_ctx_t *ctx,
    ngx_completion_face_view_t *view)
{
    view->id = ctx->capability;
    view->state = ctx->view.verdict;
    view->document = ctx->view.document;
    view->id_offset = ctx->view.id_offset;
    view->result = NULL;

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

    if (submitted) {
        failed |= !ngx_http_completion_reply_joined(r, "Location",
                                       &ctx->conf->uri, &ctx->capability,
                                       &ngx_http_completion_reply_nothing);
    }

    if (shown && ctx->prefer.wait) {
        failed |= !ngx_http_completion_reply_number(r, "Preference-Applied",
                                       &wait, ctx->prefer.seconds,
                                       &ngx_http_completion_reply_nothing);

    } else if (shown && submitted && ctx->prefer.respond_async
               && (ctx->format != NGX_COMPLETION_FACE_TEXT || pending))
    {
        failed |= !ngx_http_completion_add_text(r, "Preference-Applied",
                                                "respond-async");
    }

    if (!shown || submitted || pending || ctx->view.decided) {
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

        h = ngx_http_completion_reply_number(r, "Cache-Control", &max_age,
                                             ngx_max(rest, 0), &immutable);
    }

    failed |= !ngx_http_completion_cache_control(r, h);

    return failed ? NGX_ERROR : NGX_OK;
}


/* printing them costs more than all the rest of a header */

static ngx_table_elt_t *
ngx_http_completion_reply_joined(ngx_http_request_t *r, const char *name,
    ngx_str_t *before, ngx_str_t *text, ngx_str_t *after)
{
    u_char     *p;
    ngx_str_t   value;

    value.len = before->len + text->len + after->len;
    value.data = ngx_pnalloc(r->pool, value.len);

    if (value.data == NULL) {
        return NULL;
    }

    p = ngx_cpymem(value.data, before->data, before->len);
    p = ngx_cpymem(p, text->data, text->len);
    ngx_memcpy(p, after->data, after->len);

    return ngx_http_completion_push_header(r, name, ngx_strlen(name), &value);
}


static ngx_table_elt_t *
ngx_http_completion_reply_number(ngx_http_request_t *r, const char *name,
    ngx_str_t *before, ngx_uint_t n, ngx_str_t *after)
{
    u_char     *p, digits[NGX_INT64_LEN];
    ngx_str_t   number;

    p = digits + NGX_INT64_LEN;

    do {
        *--p = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    number.data = p;
    number.len = digits + NGX_INT64_LEN - p;

    return ngx_http_completion_reply_joined(r, name, before, &number, after);
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

    return ngx_http_completion_reply_joined(r, "ETag", kind, &digest, &quote);
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


ngx_uint_t
ngx_http_completion_intercepted(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_uint_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!ctx->conf->intercept_errors || clcf->error_pages == NULL
        || r->error_page)
    {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (page[i].status == (ngx_int_t) status) {
            return 1;
        }
    }

    return 0;
}


/* as nginx's own errors: no "100 Continue", and what is broken ends it */

void
ngx_http_completion_discard_body(ngx_http_request_t *r)
{
    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
}


ngx_int_t
ngx_http_completion_send(ngx_http_request_t *r,
    ngx_completion_face_answer_t *answer, ngx_uint_t repeatable,
    ngx_msec_t retry_after)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    /* whatever may fail does so while there can be a 500 */

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer->status >= NGX_HTTP_BAD_REQUEST) {
        r->disable_not_modified = 1;

        if ((repeatable
                 ? ngx_http_completion_add_text(r, "x-should-retry", "true")
                 : ngx_http_completion_add_text(r, "x-should-retry", "false"))
            == NULL)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    /* in whole seconds, and not at once */

    if (retry_after
        && ngx_http_completion_reply_number(r, "Retry-After",
                                        &ngx_http_completion_reply_nothing,
                                        (retry_after + 999) / 1000,
                                        &ngx_http_completion_reply_nothing)
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_completion_discard_body(r);

    r->headers_out.status = answer->status;
    r->headers_out.content_type = answer->type;
    r->headers_out.content_type_len = answer->type.len;
    r->headers_out.charset = answer->charset;
    r->headers_out.override_charset = NULL;
    r->headers_out.content_length_n = answer->body.len;

    ngx_http_completion_clock_end(
               ngx_http_get_module_ctx(r, ngx_http_completion_async_module));

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = answer->body.data;
    b->last = b->pos + answer->body.len;
    b->memory = answer->body.len ? 1 : 0;
    b->sync = answer->body.len ? 0 : 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_completion_send_empty(ngx_http_request_t *r)
{
    ngx_http_completion_discard_body(r);

    r->headers_out.status = NGX_HTTP_NO_CONTENT;
    r->header_only = 1;
    r->disable_not_modified = 1;

    return ngx_http_send_header(r);
}


ngx_table_elt_t *
ngx_http_completion_add_header(ngx_http_request_t *r, const char *name,
    const char *fmt, ...)
{
    u_char     *p, *last;
    size_t      size;
    va_list     args;
    ngx_str_t   value;

    size = 64;

    do {
        size *= 2;

        p = ngx_pnalloc(r->pool, size);
        if (p == NULL) {
            return NULL;
        }

        va_start(args, fmt);
        last = ngx_vslprintf(p, p + size, fmt, args);
        va_end(args);

    } while (last == p + size);

    value.data = p;
    value.len = last - p;

    return ngx_http_completion_push_header(r, name, ngx_strlen(name), &value);
}


ngx_table_elt_t *
ngx_http_completion_push_header(ngx_http_request_t *r, const char *name,
    size_t len, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = len;
    h->value = *value;

    return h;
}


ngx_table_elt_t *
ngx_http_completion_cache_control(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    ngx_table_elt_t  **cc;
#if (nginx_version < 1023000)
    ngx_uint_t         i;
    ngx_array_t       *all;
#endif

    if (h == NULL) {
        return NULL;
    }

#if (nginx_version >= 1023000)

    for (cc = &r->headers_out.cache_control; *cc; cc = &(*cc)->next) {
        (*cc)->hash = 0;
    }

    r->headers_out.cache_control = h;

#else

    all = &r->headers_out.cache_control;

    if (all->elts == NULL
        && ngx_array_init(all, r->pool, 1, sizeof(ngx_table_elt_t *))
           != NGX_OK)
    {
        return NULL;
    }

    cc = all->elts;

    for (i = 0; i < all->nelts; i++) {
        cc[i]->hash = 0;
    }

    all->nelts = 0;

    cc = ngx_array_push(all);
    if (cc == NULL) {
        return NULL;
    }

    *cc = h;

#endif

    return h;
}
