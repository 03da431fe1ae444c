
/*
 * Sending: what a face has written, with the headers that every answer has.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


ngx_str_t  ngx_http_completion_nothing = ngx_string("");


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

    if (ngx_http_completion_face_headers(r, &retry_after) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* in whole seconds, and not at once */

    if (retry_after
        && ngx_http_completion_add_number(r, "Retry-After",
                                          &ngx_http_completion_nothing,
                                          (retry_after + 999) / 1000,
                                          &ngx_http_completion_nothing)
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
ngx_http_completion_face_headers(ngx_http_request_t *r,
    ngx_msec_t *retry_after)
{
    ngx_str_t                     id;
    ngx_uint_t                    failed;
    ngx_http_completion_ctx_t    *ctx;
    const ngx_completion_face_t  *face;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);
    face = ctx->conf->face;
    failed = 0;

    if (face->request_id) {

        if (ngx_http_completion_request_id(r, &id) != NGX_OK) {
            return NGX_ERROR;
        }

        failed |= !ngx_http_completion_push_header(r, face->request_id,
                                                ngx_strlen(face->request_id),
                                                &id);
    }

    if (face->retry_max) {
        *retry_after = ngx_min(*retry_after, face->retry_max);
    }

    if (face->poll_after && *retry_after) {
        failed |= !ngx_http_completion_add_header(r, face->poll_after, "%M",
                                                  *retry_after);
    }

    return failed ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_completion_send_empty(ngx_http_request_t *r)
{
    ngx_http_completion_ctx_t     *ctx;
    ngx_completion_face_answer_t   answer;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    /* a face may have no such answer */

    if (ctx->conf->face->options.len) {
        ngx_memzero(&answer, sizeof(ngx_completion_face_answer_t));

        answer.status = NGX_HTTP_OK;
        ngx_str_set(&answer.type, "application/json");
        answer.body = ctx->conf->face->options;

        return ngx_http_completion_send(r, &answer, 0, 0);
    }

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
ngx_http_completion_add_joined(ngx_http_request_t *r, const char *name,
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


ngx_table_elt_t *
ngx_http_completion_add_number(ngx_http_request_t *r, const char *name,
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

    return ngx_http_completion_add_joined(r, name, before, &number, after);
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
