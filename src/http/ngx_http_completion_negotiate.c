
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


ngx_int_t
ngx_http_completion_negotiate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t                      accept, field;
    ngx_msec_t                     wait;
    ngx_http_completion_prefer_t  *prefer;

    if (ngx_http_completion_header(r, "accept", &accept) != NGX_OK
        || ngx_http_completion_header(r, "prefer", &field) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_completion_parse_accept(&accept, &ctx->format) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (r != r->main) {

        if (ctx->format == NGX_COMPLETION_FACE_STREAM) {
            ctx->format = NGX_COMPLETION_FACE_JSON;
        }

        return NGX_OK;
    }

    prefer = &ctx->prefer;
    ngx_http_completion_parse_prefer(&field, prefer);

    prefer->seconds = ngx_min(prefer->seconds, ctx->conf->wait_max / 1000);

    wait = prefer->wait ? prefer->seconds * 1000
                        : prefer->respond_async ? 0 : ctx->conf->wait_default;

    if (wait) {
        ctx->wait_until = ngx_current_msec + wait;
    }

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

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (header[i].key.len != len
                || ngx_strncasecmp(header[i].key.data, (u_char *) name, len)
                   != 0)
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
    }

    return NGX_OK;
}
