
/*
 * Several texts that were asked for in one request.  Their operations have no
 * name for its client: what they came to is read from the parts that the
 * request holds, once all have ended.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


ngx_int_t
ngx_http_completion_items(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_face_view_t *view)
{
    ngx_uint_t                       i, n;
    ngx_completion_view_t            known;
    ngx_completion_part_t           *part;
    ngx_completion_result_t         *results;
    ngx_completion_service_t        *service;
    ngx_completion_face_part_t      *parts;

    if (ngx_http_completion_input_back(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    /* there is no result, or there was nothing to ask */

    if (view->state == NGX_COMPLETION_PENDING
        || view->state >= NGX_COMPLETION_FAILED || ctx->parts == NULL)
    {
        return NGX_OK;
    }

    service = ctx->conf->service;
    part = ctx->parts->part;
    n = ctx->parts->n;

    parts = ngx_pcalloc(r->pool, n * sizeof(ngx_completion_face_part_t));
    results = ngx_pcalloc(r->pool, n * sizeof(ngx_completion_result_t));

    if (parts == NULL || results == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        switch (ngx_completion_operation_read(service, &part[i].id, NULL,
                                              r->pool, &known))
        {

        case NGX_OK:
            break;

        case NGX_ERROR:
            return NGX_ERROR;

        default:
            return NGX_DECLINED;
        }

        if (service->provider.dialect->result(r->pool, &known.document,
                                              &results[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        parts[i].asked = part[i].text;
        parts[i].joint = part[i].joint;
        parts[i].result = &results[i];
    }

    view->parts = parts;
    view->n = n;

    return NGX_OK;
}
