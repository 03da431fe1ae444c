
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_int_t ngx_http_completion_operation(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


ngx_int_t
ngx_http_completion_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc, acceptable;
    ngx_http_completion_ctx_t       *ctx;
    ngx_completion_outcome_e         outcome;
    ngx_completion_face_action_e     action;
    ngx_http_completion_loc_conf_t  *ccf;

    static ngx_str_t  served = ngx_string("application/json, text/plain and "
                                          "text/event-stream are served");

    ctx = ngx_http_completion_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ccf = ctx->conf;

    /* negotiated first, so that errors are spelled as the client likes */

    acceptable = ccf->face->negotiates ? ngx_http_completion_negotiate(r, ctx)
                                       : NGX_OK;

    if (acceptable == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_completion_route(r, ccf, &action, &ctx->input.shape,
                                   &ctx->capability, &outcome);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion request: %p, method %ui: %i", ctx, r->method,
                   rc);

    if (rc == NGX_DONE) {
        return ngx_http_completion_send_empty(r);
    }

    if (rc != NGX_OK) {
        return ngx_http_completion_problem(r, outcome, NULL, 0);
    }

    if (acceptable != NGX_OK) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_NOT_ACCEPTABLE,
                                           &served, 0);
    }

    /* or once the body is read, which may tell */

    rc = ccf->face->keyed ? NGX_OK : ngx_http_completion_who(r, ctx);

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_FORBIDDEN, NULL,
                                           0);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->action = action;

    switch (action) {

    case NGX_COMPLETION_FACE_SUBMIT:
        return ngx_http_completion_submit(r, ctx);

    case NGX_COMPLETION_FACE_MODELS:
        return ngx_http_completion_models(r, ctx, &ctx->capability);

    case NGX_COMPLETION_FACE_ABOUT:
    case NGX_COMPLETION_FACE_REFUSE:
        return ngx_http_completion_about(r, ctx);

    default:
        return ngx_http_completion_operation(r, ctx);
    }
}


/* a poll, a cancel or a delete of what is ours to show */

static ngx_int_t
ngx_http_completion_operation(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_str_t                     seen;
    const ngx_str_t              *last;
    ngx_completion_service_t     *service;
    const ngx_completion_face_t  *face;

    static ngx_str_t  shared = ngx_string("the operation is shared and cannot "
                                          "be cancelled or deleted by one of "
                                          "its clients");

    service = ctx->conf->service;
    face = ctx->conf->face;

    /* a prefix may be one of an id's own letters, or its spelling */

    do {
        rc = ngx_completion_id_verify(service->id_keys, &service->name,
                                      &ctx->owner,
                                      service->provider.dialect->lifetime,
                                      &ctx->capability, &ctx->id);

    } while (rc == NGX_DECLINED
             && ngx_completion_face_bare(&ctx->capability) == NGX_OK);

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_OPERATION_NOT_FOUND, NULL, 0);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->action != NGX_COMPLETION_FACE_READ) {

        if (ctx->id.shared) {
            return ngx_http_completion_problem(r,
                             NGX_COMPLETION_REQUEST_CONFLICT, &shared, 0);
        }

        if (ctx->format == NGX_COMPLETION_FACE_STREAM) {
            ctx->format = NGX_COMPLETION_FACE_JSON;
        }
    }

    if (ctx->action == NGX_COMPLETION_FACE_READ && face->query) {
        ctx->input.body = r->args;

        if (face->query(r->pool, &ctx->input) != NGX_OK) {
            return ngx_http_completion_problem(r,
                                           NGX_COMPLETION_INVALID_REQUEST,
                                           &ctx->input.detail, 0);
        }

        ctx->input.background = 1;
        ngx_http_completion_asked(ctx);
    }

    if (ctx->format == NGX_COMPLETION_FACE_STREAM && face->last_event.len) {

        if (ngx_http_completion_header(r, "last-event-id", &seen) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        last = &face->last_event;

        if (seen.len == last->len
            && ngx_strncmp(seen.data, last->data, last->len) == 0)
        {
            return ngx_http_completion_send_empty(r);
        }
    }

    return ngx_http_completion_poll(r, ctx);
}
