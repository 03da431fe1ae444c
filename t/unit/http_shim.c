
#include "http_shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


char                shim_http_headers[1024];
ngx_str_t           shim_http_body;
int                 shim_http_bodies;

ngx_module_t        ngx_http_completion_async_module;



void
shim_http_request(ngx_http_request_t *r, ngx_pool_t *pool)
{
    memset(r, 0, sizeof(ngx_http_request_t));

    r->pool = pool;
    r->main = r;
    r->method = NGX_HTTP_GET;

    /* parts of one: each but the first follows another */

    r->headers_in.headers.last = &r->headers_in.headers.part;
    r->headers_in.headers.part.elts = ngx_palloc(pool,
                                                 sizeof(ngx_table_elt_t));

    shim_http_headers[0] = '\0';
    shim_http_body.len = 0;
    shim_http_bodies = 0;
}


void
shim_http_header(ngx_http_request_t *r, const char *name, const char *value)
{
    ngx_list_t       *list = &r->headers_in.headers;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (list->last->nelts) {
        part = ngx_pcalloc(r->pool, sizeof(ngx_list_part_t));
        part->elts = ngx_palloc(r->pool, sizeof(ngx_table_elt_t));
        list->last->next = part;
        list->last = part;
    }

    h = list->last->elts;
    list->last->nelts = 1;

    h->key.data = (u_char *) name;
    h->key.len = strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = strlen(value);
}


ngx_table_elt_t *
ngx_http_completion_push_header(ngx_http_request_t *r, const char *name,
    size_t len, ngx_str_t *value)
{
    return ngx_http_completion_add_header(r, name, "%.*s", (int) value->len,
                                          value->data);
}


ngx_table_elt_t *
ngx_http_completion_add_header(ngx_http_request_t *r, const char *name,
    const char *fmt, ...)
{
    size_t            len = strlen(shim_http_headers);
    va_list           args;
    ngx_table_elt_t  *h = ngx_palloc(r->pool, sizeof(ngx_table_elt_t));

    if (h == NULL) {
        return NULL;
    }

    len += snprintf(shim_http_headers + len, sizeof(shim_http_headers) - len,
                    "%s: ", name);
    va_start(args, fmt);
    len += vsnprintf(shim_http_headers + len, sizeof(shim_http_headers) - len,
                     fmt, args);
    va_end(args);
    snprintf(shim_http_headers + len, sizeof(shim_http_headers) - len, "\n");

    return h;
}


ngx_table_elt_t *
ngx_http_completion_cache_control(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    return h;
}


ngx_int_t
ngx_http_discard_request_body(ngx_http_request_t *r)
{
    return (r->headers_in.content_length_n > 0) ? NGX_HTTP_BAD_REQUEST
                                                : NGX_OK;
}


ngx_int_t
ngx_http_send_header(ngx_http_request_t *r)
{
    r->header_only = (r->method == NGX_HTTP_HEAD);

    return NGX_OK;
}


/* keeps the body, of which the last buffer has to say that it is */

ngx_int_t
ngx_http_output_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t  *cl;

    shim_http_bodies++;

    for (cl = in; cl; cl = cl->next) {
        shim_http_body.len += cl->buf->last - cl->buf->pos;

        if (cl->buf->last_in_chain != (cl->next == NULL)
            || cl->buf->last_buf != (cl->next == NULL && r == r->main))
        {
            abort();
        }
    }

    shim_http_body.data = realloc(shim_http_body.data, shim_http_body.len);
    shim_http_body.len = 0;

    for (cl = in; cl; cl = cl->next) {
        memcpy(shim_http_body.data + shim_http_body.len, cl->buf->pos,
               cl->buf->last - cl->buf->pos);
        shim_http_body.len += cl->buf->last - cl->buf->pos;
    }

    return NGX_OK;
}


ngx_buf_t *
ngx_create_temp_buf(ngx_pool_t *pool, size_t size)
{
    ngx_buf_t  *b = ngx_pcalloc(pool, sizeof(ngx_buf_t));

    if (b == NULL) {
        return NULL;
    }

    b->start = ngx_palloc(pool, size);
    if (b->start == NULL) {
        return NULL;
    }

    b->pos = b->start;
    b->last = b->start;
    b->end = b->start + size;
    b->temporary = 1;

    return b;
}


ngx_chain_t *
ngx_alloc_chain_link(ngx_pool_t *pool)
{
    return ngx_palloc(pool, sizeof(ngx_chain_t));
}
