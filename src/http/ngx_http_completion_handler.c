
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


/* what a URI of ours names */
typedef enum {
    NGX_HTTP_COMPLETION_NOTHING = 0,
    NGX_HTTP_COMPLETION_SUBMIT,
    NGX_HTTP_COMPLETION_OPERATION,
    NGX_HTTP_COMPLETION_CANCEL
} ngx_http_completion_resource_e;


static ngx_http_completion_resource_e ngx_http_completion_resource(
    ngx_http_request_t *r, ngx_http_completion_loc_conf_t *ccf,
    ngx_str_t *id);
static ngx_int_t ngx_http_completion_method(ngx_http_request_t *r,
    ngx_http_completion_resource_e resource);
static ngx_http_completion_ctx_t *ngx_http_completion_create_ctx(
    ngx_http_request_t *r, ngx_http_completion_loc_conf_t *ccf);
static void ngx_http_completion_begin_anew(ngx_http_request_t *r);
static ngx_int_t ngx_http_completion_verify(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *capability);
static void ngx_http_completion_cleanup(void *data);
static void ngx_http_completion_release(ngx_http_completion_ctx_t *ctx);


ngx_int_t
ngx_http_completion_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_str_t                        id;
    ngx_http_completion_ctx_t       *ctx;
    ngx_http_completion_loc_conf_t  *ccf;
    ngx_http_completion_resource_e   resource;

    ccf = ngx_http_get_module_loc_conf(r, ngx_http_completion_async_module);

    ctx = ngx_http_completion_create_ctx(r, ccf);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->internal) {
        ngx_http_completion_begin_anew(r);
    }

    resource = ngx_http_completion_resource(r, ccf, &id);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "completion request: %p, method %ui, resource %ui", ctx,
                   r->method, (ngx_uint_t) resource);

    /* negotiated first, so that errors are spelled as the client likes */

    rc = ngx_http_completion_negotiate(r, ctx, ccf);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (resource == NGX_HTTP_COMPLETION_NOTHING) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_OPERATION_NOT_FOUND, NULL, 0);
    }

    if (ngx_http_completion_method(r, resource) != NGX_OK) {
        return ngx_http_completion_problem(r,
                           NGX_COMPLETION_METHOD_NOT_ALLOWED, NULL, 0);
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_completion_empty(r, 204);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r,
                           NGX_COMPLETION_NOT_ACCEPTABLE,
                           "application/json, text/plain and "
                           "text/event-stream are served", 0);
    }

    if (ccf->owner) {
        if (ngx_http_complex_value(r, ccf->owner, &ctx->owner) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (ctx->owner.len == 0) {
            return ngx_http_completion_problem(r,
                                    NGX_COMPLETION_FORBIDDEN, NULL, 0);
        }
    }

    if (resource == NGX_HTTP_COMPLETION_SUBMIT) {
        return ngx_http_completion_submit(r, ctx);
    }

    rc = ngx_http_completion_verify(r, ctx, &id);

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_OPERATION_NOT_FOUND, NULL, 0);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->cancel = (r->method != NGX_HTTP_GET && r->method != NGX_HTTP_HEAD);

    if (ctx->cancel && ctx->id.shared) {
        return ngx_http_completion_problem(r,
                          NGX_COMPLETION_REQUEST_CONFLICT,
                          "the operation is shared and cannot be cancelled "
                          "by one of its clients", 0);
    }

    if (ctx->format == NGX_HTTP_COMPLETION_STREAM && !ctx->cancel) {
        rc = ngx_http_completion_stream_seen(r);

        if (rc != NGX_DECLINED) {
            return (rc == NGX_OK) ? ngx_http_completion_empty(r, 204)
                                  : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_completion_continue(r, ctx);
}


static ngx_http_completion_resource_e
ngx_http_completion_resource(ngx_http_request_t *r,
    ngx_http_completion_loc_conf_t *ccf, ngx_str_t *id)
{
    size_t  len;

    static ngx_str_t  operations = ngx_string("/operations");
    static ngx_str_t  cancel = ngx_string(":cancel");

    if (!ccf->prefixed) {
        return NGX_HTTP_COMPLETION_SUBMIT;
    }

    /* an internal redirect may have led here from anywhere */

    len = ccf->prefix.len;

    if (r->uri.len < len
        || ngx_filename_cmp(r->uri.data, ccf->prefix.data, len) != 0)
    {
        return NGX_HTTP_COMPLETION_NOTHING;
    }

    id->data = r->uri.data + len;
    id->len = r->uri.len - len;

    if (ccf->submits) {

        if (id->len == 0 || (id->len == 1 && id->data[0] == '/')) {
            return NGX_HTTP_COMPLETION_SUBMIT;
        }

        if (id->len < operations.len
            || ngx_strncmp(id->data, operations.data, operations.len) != 0)
        {
            return NGX_HTTP_COMPLETION_NOTHING;
        }

        id->data += operations.len;
        id->len -= operations.len;
    }

    if (id->len < 2 || id->data[0] != '/') {
        return NGX_HTTP_COMPLETION_NOTHING;
    }

    id->data++;
    id->len--;

    if (id->len > cancel.len
        && ngx_strncmp(id->data + id->len - cancel.len, cancel.data,
                       cancel.len)
           == 0)
    {
        id->len -= cancel.len;
        return NGX_HTTP_COMPLETION_CANCEL;
    }

    return NGX_HTTP_COMPLETION_OPERATION;
}


/* Adds "Allow" where it is due; NGX_DECLINED: not this method. */

static ngx_int_t
ngx_http_completion_method(ngx_http_request_t *r,
    ngx_http_completion_resource_e resource)
{
    ngx_uint_t  methods;

    static ngx_str_t  post = ngx_string("POST, OPTIONS");
    static ngx_str_t  operation = ngx_string("GET, HEAD, DELETE, OPTIONS");

    methods = (resource == NGX_HTTP_COMPLETION_OPERATION)
                  ? NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_DELETE
                  : NGX_HTTP_POST;

    if (r->method & methods) {
        return NGX_OK;
    }

    if (ngx_http_completion_add_header(r, "Allow",
                                 resource == NGX_HTTP_COMPLETION_OPERATION
                                     ? &operation : &post)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return (r->method == NGX_HTTP_OPTIONS) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_completion_verify(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *capability)
{
    ngx_completion_service_t  *service;

    service = ctx->service;
    ctx->capability = *capability;

    return ngx_completion_id_verify(r->pool, service->id_keys, &service->name,
                                    &ctx->owner,
                                    service->provider.dialect->lifetime,
                                    capability, &ctx->id);
}


static ngx_http_completion_ctx_t *
ngx_http_completion_create_ctx(ngx_http_request_t *r,
    ngx_http_completion_loc_conf_t *ccf)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_completion_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_completion_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_completion_ctx_t));

    cln->handler = ngx_http_completion_cleanup;

    ctx->request = r;
    ctx->service = ccf->service;

    ngx_http_set_ctx(r, ctx, ngx_http_completion_async_module);
    ngx_http_completion_clock_start(ctx);

    return ctx;
}


/* "error_page" may have led here: what was refused elsewhere is not now */

static void
ngx_http_completion_begin_anew(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    static ngx_str_t  allow = ngx_string("Allow");

    part = &r->headers_out.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len == allow.len
            && ngx_strncasecmp(header[i].key.data, allow.data, allow.len) == 0)
        {
            header[i].hash = 0;
        }
    }
}


/* the client is gone, or has its answer; upstream work goes on without it */

static void
ngx_http_completion_cleanup(void *data)
{
    ngx_http_completion_ctx_t *ctx = data;

    if (ctx->submit) {
        ngx_completion_submit_detach(ctx->submit);
    }

    ngx_completion_wait_end(&ctx->wait);
    ngx_http_completion_release(ctx);

    ngx_completion_timer_stop(&ctx->timer);
}


static void
ngx_http_completion_release(ngx_http_completion_ctx_t *ctx)
{
    ctx->service->zone->worker->waiters -= ctx->held;
    ctx->service->zone->worker->streams -= ctx->streaming;

    ctx->held = 0;
    ctx->streaming = 0;
}


void
ngx_http_completion_finalize(ngx_http_completion_ctx_t *ctx, ngx_int_t rc)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (rc != NGX_DONE) {

        /* an "error_page" may have it held elsewhere */

        ngx_http_completion_release(ctx);
        ngx_http_finalize_request(r, rc);
    }

    ngx_http_run_posted_requests(c);
}
