
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


ngx_int_t
ngx_http_completion_negotiate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_http_completion_loc_conf_t *clcf)
{
    ngx_str_t                      accept, field;
    ngx_http_completion_prefer_t  *prefer;

    if (ngx_http_completion_header(r, "accept", &accept) != NGX_OK
        || ngx_http_completion_header(r, "prefer", &field) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_completion_parse_accept(&accept, &ctx->format) != NGX_OK) {
        return NGX_DECLINED;
    }

    prefer = &ctx->prefer;
    ngx_http_completion_parse_prefer(&field, prefer);

    ctx->wait_until = ngx_current_msec;

    if (r != r->main) {

        if (ctx->format == NGX_HTTP_COMPLETION_STREAM) {
            ctx->format = NGX_HTTP_COMPLETION_JSON;
        }

        ngx_memzero(prefer, sizeof(ngx_http_completion_prefer_t));

        return NGX_OK;
    }

    if (prefer->wait) {
        prefer->seconds = ngx_min(prefer->seconds, clcf->wait_max / 1000);
        ctx->wait_until += prefer->seconds * 1000;

    } else if (!prefer->respond_async) {
        ctx->wait_until += clcf->wait_default;
    }

    ctx->waits = (ctx->wait_until != ngx_current_msec);

    return NGX_OK;
}


ngx_int_t
ngx_http_completion_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    u_char           *p;
    size_t            len;
    ngx_uint_t        i;
    ngx_array_t      *joined;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    joined = NULL;
    len = ngx_strlen(name);
    ngx_str_null(value);

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len != len
            || ngx_strncasecmp(header[i].key.data, (u_char *) name, len) != 0)
        {
            continue;
        }

        if (value->data == NULL) {
            *value = header[i].value;
            continue;
        }

        /* doubled as it grows: a client may repeat a header at will */

        if (joined == NULL) {
            joined = ngx_array_create(r->pool, value->len + 128, 1);
            if (joined == NULL) {
                return NGX_ERROR;
            }

            p = ngx_array_push_n(joined, value->len);
            ngx_memcpy(p, value->data, value->len);
        }

        p = ngx_array_push_n(joined, 2 + header[i].value.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        /* the space tells two keys from one that has a comma */

        *p++ = ',';
        *p++ = ' ';
        ngx_memcpy(p, header[i].value.data, header[i].value.len);

        value->data = joined->elts;
        value->len = joined->nelts;
    }

    return NGX_OK;
}
