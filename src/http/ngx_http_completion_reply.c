
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


#define NGX_HTTP_COMPLETION_TYPE_PREFIX                                       \
    "urn:nginx-completion-async:problem:"


static ngx_int_t ngx_http_completion_reply_text(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_reply_cache(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_etag(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_preference(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
static ngx_int_t ngx_http_completion_problem_body(ngx_http_request_t *r,
    const ngx_completion_outcome_t *problem, const char *detail,
    ngx_str_t *body);
static ngx_uint_t ngx_http_completion_intercepted(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_int_t ngx_http_completion_should_retry(ngx_http_request_t *r,
    ngx_uint_t repeatable);
static ngx_int_t ngx_http_completion_retry_after(ngx_http_request_t *r,
    ngx_msec_t ms);
static ngx_int_t ngx_http_completion_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *body);


ngx_int_t
ngx_http_completion_reply(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t   body;
    ngx_uint_t  status;

    status = NGX_HTTP_OK;

    /* a submit whose end nobody asked to wait for is accepted, no more */

    if (ctx->submitted
        && (!ctx->waits || ctx->state == NGX_COMPLETION_PENDING))
    {
        status = NGX_HTTP_ACCEPTED;
    }

    if (ctx->format == NGX_HTTP_COMPLETION_TEXT && !ctx->cancel) {

        if (ctx->state != NGX_COMPLETION_PENDING) {
            return ngx_http_completion_reply_text(r, ctx);
        }

        status = NGX_HTTP_ACCEPTED;
        ngx_str_null(&body);
        ngx_str_set(&r->headers_out.content_type, "text/plain");
        ngx_str_set(&r->headers_out.charset, "utf-8");

    } else {
        if (ngx_http_completion_document(r, ctx, &body) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_http_completion_reply_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if ((status == NGX_HTTP_ACCEPTED || ctx->state == NGX_COMPLETION_PENDING)
        && ngx_http_completion_retry_after(r, ctx->view.next) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_send(r, status, &body);
}


/* the text of a finished operation, or why there is none */

static ngx_int_t
ngx_http_completion_reply_text(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t                 body;
    ngx_uint_t                status;
    ngx_completion_result_t  *result;

    result = ngx_http_completion_result(r, ctx);
    if (result == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    status = ngx_completion_failures[result->failure];
    body = (result->state == NGX_COMPLETION_FAILED) ? result->message
                                                    : result->text;

    if (status != NGX_HTTP_OK) {
        r->disable_not_modified = 1;

        if (ngx_http_completion_intercepted(r, status)) {
            return status;
        }
    }

    ngx_str_set(&r->headers_out.content_type, "text/plain");
    ngx_str_set(&r->headers_out.charset, "utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_http_completion_reply_headers(r, ctx) != NGX_OK
        || (status != NGX_HTTP_OK
            && ngx_http_completion_should_retry(r, 0) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_send(r, status, &body);
}


/* what every answer with an operation carries */

ngx_int_t
ngx_http_completion_reply_headers(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t                        location;
    ngx_http_completion_loc_conf_t  *ccf;

    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  yes = ngx_string("true");

    if (ctx->replayed
        && ngx_http_completion_add_header(r, "Idempotency-Replayed", &yes)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->submitted) {
        ccf = ngx_http_get_module_loc_conf(r,
                                           ngx_http_completion_async_module);

        location.len = ccf->uri.len + ctx->capability.len;
        location.data = ngx_pnalloc(r->pool, location.len);

        if (location.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ngx_cpymem(location.data, ccf->uri.data, ccf->uri.len),
                   ctx->capability.data, ctx->capability.len);

        /* not headers_out.location, which nginx would make absolute */

        if (ngx_http_completion_add_header(r, "Location", &location)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_completion_preference(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->state != NGX_COMPLETION_PENDING && !ctx->view.decided
        && !ctx->submitted && !ctx->cancel
        && ctx->format != NGX_HTTP_COMPLETION_STREAM)
    {
        return ngx_http_completion_reply_cache(r, ctx);
    }

    r->disable_not_modified = 1;

    return ngx_http_completion_add_header(r, "Cache-Control", &no_store);
}


/* upstream's final word: it never changes */

static ngx_int_t
ngx_http_completion_reply_cache(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    time_t      rest;
    ngx_str_t   value;

    static ngx_str_t  vary = ngx_string("Accept");
    static ngx_str_t  private = ngx_string("private, no-cache");

    if (ngx_http_completion_add_header(r, "Vary", &vary) != NGX_OK
        || ngx_http_completion_etag(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->owner.len) {
        return ngx_http_completion_add_header(r, "Cache-Control", &private);
    }

    rest = ctx->id.submitted + ctx->service->provider.dialect->lifetime
           - ngx_time();

    value.data = ngx_pnalloc(r->pool, sizeof("private, max-age=, immutable")
                                      + NGX_TIME_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "private, max-age=%T, immutable",
                            ngx_max(rest, 0))
                - value.data;

    return ngx_http_completion_add_header(r, "Cache-Control", &value);
}


static ngx_int_t
ngx_http_completion_etag(ngx_http_request_t *r, ngx_http_completion_ctx_t *ctx)
{
    u_char           *p;
    ngx_table_elt_t  *etag;

    etag = ngx_list_push(&r->headers_out.headers);
    if (etag == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, sizeof("\"t-0123456789abcdef\""));
    if (p == NULL) {
        etag->hash = 0;
        return NGX_ERROR;
    }

    ngx_memzero(etag, sizeof(ngx_table_elt_t));

    etag->hash = 1;
    ngx_str_set(&etag->key, "ETag");
    etag->value.data = p;
    etag->value.len = ngx_sprintf(p, "\"%c-%016xL\"",
                        ctx->format == NGX_HTTP_COMPLETION_TEXT ? 't' : 'j',
                        ctx->view.digest)
                      - p;

    r->headers_out.etag = etag;

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_preference(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t  value;

    static ngx_str_t  async = ngx_string("respond-async");

    if (ctx->cancel || ctx->format == NGX_HTTP_COMPLETION_STREAM) {
        return NGX_OK;
    }

    if (ctx->prefer.wait) {
        value.data = ngx_pnalloc(r->pool, sizeof("wait=") + NGX_INT_T_LEN);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        value.len = ngx_sprintf(value.data, "wait=%ui", ctx->prefer.seconds)
                    - value.data;

        return ngx_http_completion_add_header(r, "Preference-Applied", &value);
    }

    if (ctx->prefer.respond_async && ctx->submitted
        && (ctx->format != NGX_HTTP_COMPLETION_TEXT
            || ctx->state == NGX_COMPLETION_PENDING))
    {
        return ngx_http_completion_add_header(r, "Preference-Applied", &async);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_completion_document(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *document)
{
    u_char     *p;
    ngx_str_t  *kept;
    size_t      offset;

    kept = &ctx->view.document;
    offset = ctx->view.id_offset;

    document->len = kept->len + ctx->capability.len;
    document->data = ngx_pnalloc(r->pool, document->len);

    if (document->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(document->data, kept->data, offset);
    p = ngx_cpymem(p, ctx->capability.data, ctx->capability.len);
    ngx_memcpy(p, kept->data + offset, kept->len - offset);

    return NGX_OK;
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
        && ctx->service->provider.dialect->result(r->pool, &ctx->view.document,
                                                  ctx->result)
           != NGX_OK)
    {
        ctx->result = NULL;
    }

    return ctx->result;
}


ngx_int_t
ngx_http_completion_problem(ngx_http_request_t *r,
    ngx_completion_outcome_e outcome, const char *detail,
    ngx_msec_t retry_after)
{
    ngx_str_t                        body;
    ngx_uint_t                       status;
    ngx_http_completion_ctx_t       *ctx;
    const ngx_completion_outcome_t  *problem;

    static ngx_str_t  no_store = ngx_string("no-store");

    problem = &ngx_completion_outcomes[outcome];
    status = problem->status;
    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    ngx_completion_metrics_add(&ctx->service->zone->metrics->problems[outcome],
                               1);

    /* an "error_page" may yet want the body, and answers for itself */

    if (ngx_http_completion_intercepted(r, status)) {
        return status;
    }

    if (ngx_http_completion_problem_body(r, problem, detail, &body) != NGX_OK
        || ngx_http_completion_add_header(r, "Cache-Control", &no_store)
           != NGX_OK
        || ngx_http_completion_should_retry(r, problem->repeatable) != NGX_OK
        || (retry_after
            && ngx_http_completion_retry_after(r, retry_after) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->disable_not_modified = 1;

    return ngx_http_completion_send(r, status, &body);
}


static ngx_int_t
ngx_http_completion_problem_body(ngx_http_request_t *r,
    const ngx_completion_outcome_t *problem, const char *detail,
    ngx_str_t *body)
{
    ngx_str_t                      type;
    ngx_http_completion_ctx_t     *ctx;
    ngx_completion_json_writer_t  *w;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    if (detail == NULL) {
        detail = problem->title;
    }

    if (ctx && ctx->format == NGX_HTTP_COMPLETION_TEXT) {
        ngx_str_set(&r->headers_out.content_type, "text/plain");
        ngx_str_set(&r->headers_out.charset, "utf-8");
        r->headers_out.content_type_len = r->headers_out.content_type.len;

        body->data = ngx_pnalloc(r->pool, ngx_strlen(detail)
                                          + ngx_strlen(problem->code) + 3);
        if (body->data == NULL) {
            return NGX_ERROR;
        }

        body->len = ngx_sprintf(body->data, "%s: %s\n", problem->code, detail)
                    - body->data;

        return NGX_OK;
    }

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    type.data = ngx_pnalloc(r->pool, sizeof(NGX_HTTP_COMPLETION_TYPE_PREFIX)
                                     + ngx_strlen(problem->code));
    if (type.data == NULL) {
        return NGX_ERROR;
    }

    type.len = ngx_sprintf(type.data, NGX_HTTP_COMPLETION_TYPE_PREFIX "%s",
                           problem->code)
               - type.data;

    w = ngx_completion_json_writer_create(r->pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "type");
    ngx_completion_json_string(w, &type);
    ngx_completion_json_key(w, "title");
    ngx_completion_json_cstring(w, problem->title);
    ngx_completion_json_key(w, "status");
    ngx_completion_json_integer(w, problem->status);
    ngx_completion_json_key(w, "detail");
    ngx_completion_json_cstring(w, detail);
    ngx_completion_json_key(w, "code");
    ngx_completion_json_cstring(w, problem->code);
    ngx_completion_json_object_end(w);

    return ngx_completion_json_writer_finish(w, body);
}


/* as proxy_intercept_errors: what error_page names, unless it led here */

static ngx_uint_t
ngx_http_completion_intercepted(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                       i;
    ngx_http_err_page_t             *page;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_completion_loc_conf_t  *ccf;

    ccf = ngx_http_get_module_loc_conf(r, ngx_http_completion_async_module);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!ccf->intercept_errors || clcf->error_pages == NULL || r->error_page) {
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


/* the word that SDKs obey ahead of the status */

static ngx_int_t
ngx_http_completion_should_retry(ngx_http_request_t *r, ngx_uint_t repeatable)
{
    static ngx_str_t  yes = ngx_string("true");
    static ngx_str_t  no = ngx_string("false");

    return ngx_http_completion_add_header(r, "x-should-retry",
                                          repeatable ? &yes : &no);
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
ngx_http_completion_empty(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_http_completion_discard_body(r);

    r->headers_out.status = status;
    r->header_only = 1;
    r->disable_not_modified = 1;

    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_http_completion_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    /* whatever may fail does so while there can be a 500 */

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_completion_discard_body(r);

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;

    ngx_http_completion_clock_end(
               ngx_http_get_module_ctx(r, ngx_http_completion_async_module));

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->sync = body->len ? 0 : 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_completion_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_retry_after(ngx_http_request_t *r, ngx_msec_t ms)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%ui",
                            (ngx_uint_t) ngx_max((ms + 999) / 1000, 1))
                - value.data;

    return ngx_http_completion_add_header(r, "Retry-After", &value);
}
