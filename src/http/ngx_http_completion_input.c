
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


static ngx_http_completion_body_e ngx_http_completion_body_type(
    ngx_http_request_t *r, ngx_str_t *charset);
static ngx_int_t ngx_http_completion_read_body(ngx_http_request_t *r,
    ngx_str_t *body);


/* NGX_DECLINED with a detail: not a type that a submit takes */

ngx_int_t
ngx_http_completion_input_type(ngx_http_request_t *r, const char **detail)
{
    ngx_str_t  charset, encoding;

    if (ngx_http_completion_header(r, "content-encoding", &encoding)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (encoding.len) {
        *detail = "a Content-Encoding is not supported";
        return NGX_DECLINED;
    }

    if (ngx_http_completion_body_type(r, &charset)
        == NGX_HTTP_COMPLETION_BODY_OTHER)
    {
        *detail = "text/*, application/json and "
                  "application/x-www-form-urlencoded are supported";
        return NGX_DECLINED;
    }

    if (charset.len
        && (charset.len != 5
            || ngx_strncasecmp(charset.data, (u_char *) "utf-8", 5) != 0))
    {
        *detail = "the charset must be UTF-8";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_completion_input(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt,
    ngx_completion_outcome_e *outcome, const char **detail)
{
    ngx_int_t  rc;
    ngx_str_t  body, charset;

    *detail = NULL;

    rc = ngx_http_completion_read_body(r, &body);

    if (rc == NGX_DECLINED) {
        *outcome = NGX_COMPLETION_REQUEST_TOO_LARGE;
        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    *outcome = NGX_COMPLETION_INVALID_REQUEST;

    return ngx_http_completion_parse_body(r->pool,
                                 ngx_http_completion_body_type(r, &charset),
                                 &ctx->service->provider.dialect->native,
                                 &body, &ctx->inputs, prompt, detail);
}


static ngx_http_completion_body_e
ngx_http_completion_body_type(ngx_http_request_t *r, ngx_str_t *charset)
{
    static ngx_str_t  none = ngx_null_string;

    return ngx_http_completion_parse_type(r->headers_in.content_type
                                          ? &r->headers_in.content_type->value
                                          : &none,
                                          charset);
}


/* in one piece; NGX_DECLINED: longer than we take */

static ngx_int_t
ngx_http_completion_read_body(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char                    *p;
    off_t                      size;
    ssize_t                    n;
    ngx_buf_t                 *b;
    ngx_chain_t               *cl;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_str_null(body);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL && !cl->buf->in_file) {
        body->data = cl->buf->pos;
        body->len = cl->buf->last - cl->buf->pos;

    } else {
        size = 0;

        for (cl = r->request_body->bufs; cl; cl = cl->next) {
            size += ngx_buf_size(cl->buf);
        }

        body->len = size;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->client_max_body_size == 0
        && body->len > NGX_HTTP_COMPLETION_BODY_MAX)
    {
        return NGX_DECLINED;
    }

    if (body->data || body->len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, body->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_size(b) == 0) {
            continue;
        }

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        n = ngx_read_file(b->file, p, b->file_last - b->file_pos,
                          b->file_pos);

        if (n != (ssize_t) (b->file_last - b->file_pos)) {
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}
