
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


typedef enum {
    NGX_HTTP_COMPLETION_BODY_TEXT = 0,
    NGX_HTTP_COMPLETION_BODY_JSON,
    NGX_HTTP_COMPLETION_BODY_FORM,
    NGX_HTTP_COMPLETION_BODY_OTHER
} ngx_http_completion_body_e;


static ngx_http_completion_body_e ngx_http_completion_body_type(
    ngx_http_request_t *r, ngx_str_t *charset);
static ngx_int_t ngx_http_completion_read_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_completion_input_json(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *body,
    ngx_completion_prompt_t *prompt, const char **detail);
static ngx_int_t ngx_http_completion_input_form(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *body,
    ngx_completion_prompt_t *prompt, const char **detail);
static ngx_int_t ngx_http_completion_form_field(ngx_http_request_t *r,
    ngx_str_t *field, ngx_completion_json_member_t *member);
static ngx_int_t ngx_http_completion_form_decode(ngx_http_request_t *r,
    u_char *p, u_char *last, ngx_str_t *value);


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


static ngx_http_completion_body_e
ngx_http_completion_body_type(ngx_http_request_t *r, ngx_str_t *charset)
{
    u_char     *p, *last;
    ngx_str_t   type;

    ngx_str_null(charset);

    if (r->headers_in.content_type == NULL
        || r->headers_in.content_type->value.len == 0)
    {
        return NGX_HTTP_COMPLETION_BODY_TEXT;
    }

    type = r->headers_in.content_type->value;
    last = type.data + type.len;

    p = ngx_strlchr(type.data, last, ';');

    if (p) {
        type.len = p - type.data;

        p = ngx_strlcasestrn(p, last, (u_char *) "charset=",
                             sizeof("charset=") - 2);
        if (p) {
            p += sizeof("charset=") - 1;

            if (p < last && *p == '"') {
                p++;
            }

            charset->data = p;

            while (p < last && *p != '"' && *p != ';' && *p != ' ') {
                p++;
            }

            charset->len = p - charset->data;

            if (charset->len == 0) {
                ngx_str_set(charset, "?");
            }
        }
    }

    while (type.len && (type.data[type.len - 1] == ' '
                        || type.data[type.len - 1] == '\t'))
    {
        type.len--;
    }

    if (type.len > 5
        && ngx_strncasecmp(type.data, (u_char *) "text/", 5) == 0)
    {
        return NGX_HTTP_COMPLETION_BODY_TEXT;
    }

    if (type.len == sizeof("application/json") - 1
        && ngx_strncasecmp(type.data, (u_char *) "application/json", type.len)
           == 0)
    {
        return NGX_HTTP_COMPLETION_BODY_JSON;
    }

    if (type.len == sizeof("application/x-www-form-urlencoded") - 1
        && ngx_strncasecmp(type.data,
                           (u_char *) "application/x-www-form-urlencoded",
                           type.len)
           == 0)
    {
        return NGX_HTTP_COMPLETION_BODY_FORM;
    }

    return NGX_HTTP_COMPLETION_BODY_OTHER;
}


ngx_int_t
ngx_http_completion_input(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt,
    ngx_http_completion_problem_e *problem, const char **detail)
{
    ngx_int_t  rc;
    ngx_str_t  body, charset;

    *detail = NULL;

    rc = ngx_http_completion_read_body(r, &body);

    if (rc == NGX_DECLINED) {
        *problem = NGX_HTTP_COMPLETION_REQUEST_TOO_LARGE;
        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    *problem = NGX_HTTP_COMPLETION_INVALID_REQUEST;

    if (body.len >= 3 && ngx_strncmp(body.data, "\xef\xbb\xbf", 3) == 0) {
        body.data += 3;
        body.len -= 3;
    }

    switch (ngx_http_completion_body_type(r, &charset)) {

    case NGX_HTTP_COMPLETION_BODY_JSON:
        rc = ngx_http_completion_input_json(r, ctx, &body, prompt, detail);
        break;

    case NGX_HTTP_COMPLETION_BODY_FORM:
        rc = ngx_http_completion_input_form(r, ctx, &body, prompt, detail);
        break;

    default: /* NGX_HTTP_COMPLETION_BODY_TEXT */
        prompt->text = body;
        break;
    }

    if (rc != NGX_OK || prompt->native.len) {
        return rc;
    }

    if (prompt->text.len == 0) {
        *detail = "the text is empty";
        return NGX_DECLINED;
    }

    if (ngx_completion_utf8_check(prompt->text.data, prompt->text.len)
        != NGX_OK
        || ngx_strlchr(prompt->text.data,
                       prompt->text.data + prompt->text.len, '\0'))
    {
        *detail = "the text is not valid UTF-8";
        return NGX_DECLINED;
    }

    return NGX_OK;
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

        if (!b->in_file) {
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


static ngx_int_t
ngx_http_completion_input_json(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *body,
    ngx_completion_prompt_t *prompt, const char **detail)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, texts, messages;
    ngx_completion_json_member_t  *member;

    rc = ngx_completion_json_members(r->pool, body, &ctx->inputs, detail);

    if (rc != NGX_OK) {
        return rc;
    }

    texts = 0;
    messages = 0;
    member = ctx->inputs->elts;

    for (i = 0; i < ctx->inputs->nelts; i++) {

        if (member[i].name.len == 4
            && ngx_strncmp(member[i].name.data, "text", 4) == 0)
        {
            texts++;

            if (member[i].type != NGX_COMPLETION_JSON_STRING) {
                *detail = "\"text\" must be a string";
                return NGX_DECLINED;
            }

            prompt->text = member[i].value;

        } else if (member[i].name.len == 8
                   && ngx_strncmp(member[i].name.data, "messages", 8) == 0)
        {
            messages++;
        }
    }

    if (texts + messages != 1) {
        *detail = "either \"text\" or \"messages\" must be given, once";
        return NGX_DECLINED;
    }

    if (messages) {
        prompt->native = *body;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_input_form(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *body,
    ngx_completion_prompt_t *prompt, const char **detail)
{
    u_char                        *p, *last, *end;
    ngx_str_t                      field;
    ngx_uint_t                     texts;
    ngx_completion_json_member_t  *member;

    ctx->inputs = ngx_array_create(r->pool, 4,
                                   sizeof(ngx_completion_json_member_t));
    if (ctx->inputs == NULL) {
        return NGX_ERROR;
    }

    texts = 0;
    last = body->data + body->len;

    for (p = body->data; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        if (end == p) {
            continue;
        }

        member = ngx_array_push(ctx->inputs);
        if (member == NULL) {
            return NGX_ERROR;
        }

        field.data = p;
        field.len = end - p;

        if (ngx_http_completion_form_field(r, &field, member) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_completion_utf8_check(member->value.data, member->value.len)
            != NGX_OK)
        {
            *detail = "a field of the form is not valid UTF-8";
            return NGX_DECLINED;
        }

        if (member->name.len == 4
            && ngx_strncmp(member->name.data, "text", 4) == 0)
        {
            texts++;
            prompt->text = member->value;
        }
    }

    if (texts != 1) {
        *detail = "the field \"text\" must be given, once";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_form_field(ngx_http_request_t *r, ngx_str_t *field,
    ngx_completion_json_member_t *member)
{
    u_char  *p, *last;

    last = field->data + field->len;
    p = ngx_strlchr(field->data, last, '=');

    if (p == NULL) {
        p = last;
    }

    member->type = NGX_COMPLETION_JSON_STRING;

    if (ngx_http_completion_form_decode(r, field->data, p, &member->name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_completion_form_decode(r, ngx_min(p + 1, last), last,
                                           &member->value);
}


/* "+" is a space; what is no escape stands for itself */

static ngx_int_t
ngx_http_completion_form_decode(ngx_http_request_t *r, u_char *p,
    u_char *last, ngx_str_t *value)
{
    u_char     *dst;
    ngx_int_t   c;

    dst = ngx_pnalloc(r->pool, last - p + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    value->data = dst;

    while (p < last) {

        if (*p == '%' && last - p > 2) {
            c = ngx_hextoi(p + 1, 2);

            if (c != NGX_ERROR) {
                *dst++ = (u_char) c;
                p += 3;
                continue;
            }
        }

        *dst++ = (*p == '+') ? ' ' : *p;
        p++;
    }

    value->len = dst - value->data;

    return NGX_OK;
}
