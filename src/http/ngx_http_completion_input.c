
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


/* of a body where client_max_body_size does not say */
#define NGX_HTTP_COMPLETION_BODY_MAX  (4 * 1024 * 1024)


#define NGX_HTTP_COMPLETION_INPUT_POOL  4096


static ngx_int_t ngx_http_completion_input_read(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_face_input_t *input,
    ngx_pool_t *pool, ngx_completion_prompt_t *prompt,
    ngx_completion_outcome_e *outcome);
static ngx_int_t ngx_http_completion_body(ngx_http_request_t *r,
    ngx_pool_t *pool, ngx_str_t *body);
static ngx_uint_t ngx_http_completion_body_fits(ngx_http_request_t *r,
    off_t size);


ngx_int_t
ngx_http_completion_input_type(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_outcome_e *outcome)
{
    ngx_str_t                     type, charset, encoding;
    ngx_table_elt_t              *h;
    ngx_completion_face_input_t  *input;

    input = &ctx->input;

    if (ngx_http_completion_header(r, "content-encoding", &encoding)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    h = r->headers_in.content_type;
    type.len = h ? h->value.len : 0;
    type.data = h ? h->value.data : NULL;

    input->type = ngx_http_completion_parse_type(&type, &charset);

    if (input->type == NGX_COMPLETION_FACE_BODY_MULTIPART) {
        ngx_http_completion_parse_boundary(&type, &input->boundary);
    }

    *outcome = NGX_COMPLETION_UNSUPPORTED_MEDIA_TYPE;

    if (encoding.len && !ngx_http_completion_is(&encoding, "identity")) {
        ngx_str_set(&input->detail, "a Content-Encoding is not supported");
        return NGX_DECLINED;
    }

    /* without a type there may be no body, and values of a query */

    if (!(ctx->conf->face->bodies & (1 << input->type))
        && !(ctx->conf->face->items && type.len == 0))
    {
        input->detail = ctx->conf->face->types;
        return NGX_DECLINED;
    }

    /* what is ASCII is UTF-8; a body that is not is refused as it is read */

    if (charset.len && !ngx_http_completion_is(&charset, "utf-8")
        && !ngx_http_completion_is(&charset, "utf8")
        && !ngx_http_completion_is(&charset, "us-ascii"))
    {
        ngx_str_set(&input->detail, "the charset must be UTF-8");
        return NGX_DECLINED;
    }

    *outcome = NGX_COMPLETION_REQUEST_TOO_LARGE;

    return ngx_http_completion_body_fits(r, r->headers_in.content_length_n)
               ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_completion_input(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt,
    ngx_completion_outcome_e *outcome)
{
    ctx->input_pool = ngx_create_pool(NGX_HTTP_COMPLETION_INPUT_POOL,
                                      r->connection->log);
    if (ctx->input_pool == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_completion_input_read(r, ctx, &ctx->input, ctx->input_pool,
                                          prompt, outcome);
}


ngx_int_t
ngx_http_completion_input_again(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt)
{
    ngx_completion_outcome_e     outcome;
    ngx_completion_face_input_t  input;

    input = ctx->input;

    return ngx_http_completion_input_read(r, ctx, &input, pool, prompt,
                                          &outcome)
           == NGX_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_completion_input_read(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_face_input_t *input,
    ngx_pool_t *pool, ngx_completion_prompt_t *prompt,
    ngx_completion_outcome_e *outcome)
{
    ngx_int_t  rc;

    *outcome = NGX_COMPLETION_REQUEST_TOO_LARGE;

    rc = ngx_http_completion_body(r, pool, &input->body);
    if (rc != NGX_OK) {
        return rc;
    }

    *outcome = NGX_COMPLETION_INVALID_REQUEST;
    input->native = ctx->conf->service->provider.dialect->native;
    input->args = r->args;

    if (ctx->conf->face->items) {
        input->languages = ctx->conf->languages->elts;
        input->languages_n = ctx->conf->languages->nelts;
    }

    return ctx->conf->face->read(pool, input, prompt);
}


void
ngx_http_completion_input_drop(ngx_http_completion_ctx_t *ctx)
{
    ngx_uint_t                   i;
    ngx_http_variable_value_t  **v;

    if (ctx->input_values) {
        v = ctx->input_values->elts;

        for (i = 0; i < ctx->input_values->nelts; i++) {
            v[i]->valid = 0;
            v[i]->not_found = 0;
        }

        ctx->input_values = NULL;
    }

    if (ctx->input_pool) {
        ngx_destroy_pool(ctx->input_pool);
        ctx->input_pool = NULL;
    }

    ngx_str_null(&ctx->input.body);
    ngx_str_null(&ctx->input.detail);
    ngx_str_null(&ctx->input.param);
    ngx_str_null(&ctx->input.key);
    ctx->input.members = NULL;
    ctx->input.items = NULL;
    ctx->dropped = 1;
}


size_t
ngx_http_completion_input_held(ngx_http_request_t *r)
{
    ngx_buf_t  *b;

    b = r->request_body ? r->request_body->buf : NULL;

    return b ? b->end - b->start : 0;
}


ngx_int_t
ngx_http_completion_input_back(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_completion_prompt_t   prompt;
    ngx_completion_outcome_e  outcome;

    if (!ctx->dropped) {
        return NGX_OK;
    }

    ctx->dropped = 0;
    ngx_memzero(&prompt, sizeof(ngx_completion_prompt_t));

    if (ngx_http_completion_input(r, ctx, &prompt, &outcome) != NGX_OK) {
        ngx_http_completion_input_drop(ctx);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_array_t *
ngx_http_completion_input_members(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_http_variable_value_t *v)
{
    ngx_http_variable_value_t  **value;

    (void) ngx_http_completion_input_back(r, ctx);

    if (ctx->input.members == NULL) {
        return NULL;
    }

    if (ctx->input_values == NULL) {
        ctx->input_values = ngx_array_create(ctx->input_pool, 4,
                                         sizeof(ngx_http_variable_value_t *));
        if (ctx->input_values == NULL) {
            return NULL;
        }
    }

    value = ngx_array_push(ctx->input_values);
    if (value == NULL) {
        return NULL;
    }

    *value = v;

    return ctx->input.members;
}


void
ngx_http_completion_asked(ngx_http_completion_ctx_t *ctx)
{
    ngx_completion_face_input_t  *input;

    input = &ctx->input;

    if (ctx->conf->face->negotiates) {
        return;
    }

    if (ctx->request != ctx->request->main) {
        return;
    }

    if (input->stream) {
        ctx->format = NGX_COMPLETION_FACE_STREAM;
        ctx->stream.event = input->after;

    } else if (!input->background) {
        ctx->held = 1;
        ctx->wait_until = ngx_current_msec + ctx->conf->wait_max;
    }
}


/* in one piece; NGX_DECLINED: longer than we take */

static ngx_int_t
ngx_http_completion_body(ngx_http_request_t *r, ngx_pool_t *pool,
    ngx_str_t *body)
{
    u_char       *p;
    off_t         size;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *first, *cl;

    ngx_str_null(body);

    first = r->request_body ? r->request_body->bufs : NULL;
    size = 0;

    for (cl = first; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size == 0) {
        return NGX_OK;
    }

    if (!ngx_http_completion_body_fits(r, size)) {
        return NGX_DECLINED;
    }

    body->len = size;

    if (first->next == NULL && !first->buf->in_file) {
        body->data = first->buf->pos;
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    for (cl = first; cl; cl = cl->next) {
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


static ngx_uint_t
ngx_http_completion_body_fits(ngx_http_request_t *r, off_t size)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return clcf->client_max_body_size || size <= NGX_HTTP_COMPLETION_BODY_MAX;
}
