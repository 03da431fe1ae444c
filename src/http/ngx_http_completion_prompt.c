
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_completion_parse.h"


static ngx_int_t ngx_http_completion_prompt_json(ngx_pool_t *pool,
    const ngx_str_t *native, ngx_str_t *body, ngx_array_t *inputs,
    ngx_completion_prompt_t *prompt, const char **detail);
static ngx_int_t ngx_http_completion_prompt_form(ngx_pool_t *pool,
    ngx_str_t *body, ngx_array_t **inputs, ngx_completion_prompt_t *prompt,
    const char **detail);
static ngx_int_t ngx_http_completion_form_field(ngx_pool_t *pool,
    ngx_str_t *field, ngx_completion_json_member_t *member);
static ngx_int_t ngx_http_completion_form_decode(ngx_pool_t *pool, u_char *p,
    u_char *last, ngx_str_t *value);


ngx_int_t
ngx_http_completion_parse_body(ngx_pool_t *pool,
    ngx_http_completion_body_e type, const ngx_str_t *native, ngx_str_t *body,
    ngx_array_t **inputs, ngx_completion_prompt_t *prompt,
    const char **detail)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    *inputs = NULL;
    text = *body;

    if (text.len >= 3 && ngx_strncmp(text.data, "\xef\xbb\xbf", 3) == 0) {
        text.data += 3;
        text.len -= 3;
    }

    switch (type) {

    case NGX_HTTP_COMPLETION_BODY_JSON:
        rc = ngx_completion_json_members(pool, &text, inputs, detail);

        if (rc == NGX_OK) {
            rc = ngx_http_completion_prompt_json(pool, native, &text, *inputs,
                                                 prompt, detail);
        }

        break;

    case NGX_HTTP_COMPLETION_BODY_FORM:
        rc = ngx_http_completion_prompt_form(pool, &text, inputs, prompt,
                                             detail);
        break;

    default: /* NGX_HTTP_COMPLETION_BODY_TEXT */
        prompt->text = text;
        rc = NGX_OK;
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


static ngx_int_t
ngx_http_completion_prompt_json(ngx_pool_t *pool, const ngx_str_t *native,
    ngx_str_t *body, ngx_array_t *inputs, ngx_completion_prompt_t *prompt,
    const char **detail)
{
    u_char                        *p;
    ngx_uint_t                     i, texts, natives;
    ngx_completion_json_member_t  *member;

    texts = 0;
    natives = 0;
    member = inputs->elts;

    for (i = 0; i < inputs->nelts; i++) {

        if (member[i].name.len == 4
            && ngx_strncmp(member[i].name.data, "text", 4) == 0)
        {
            texts++;

            if (member[i].type != NGX_COMPLETION_JSON_STRING) {
                *detail = "\"text\" must be a string";
                return NGX_DECLINED;
            }

            prompt->text = member[i].value;

        } else if (member[i].name.len == native->len
                   && ngx_strncmp(member[i].name.data, native->data,
                                  native->len)
                      == 0)
        {
            natives++;
        }
    }

    if (texts + natives != 1) {
        p = ngx_pnalloc(pool, sizeof("either \"text\" or \"\" must be given, "
                                     "once") + native->len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        *detail = (char *) p;
        p = ngx_sprintf(p, "either \"text\" or \"%V\" must be given, once",
                        native);
        *p = '\0';

        return NGX_DECLINED;
    }

    if (natives) {
        prompt->native = *body;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_prompt_form(ngx_pool_t *pool, ngx_str_t *body,
    ngx_array_t **inputs, ngx_completion_prompt_t *prompt,
    const char **detail)
{
    u_char                        *p, *last, *end;
    ngx_str_t                      field;
    ngx_uint_t                     texts;
    ngx_completion_json_member_t  *member;

    *inputs = ngx_array_create(pool, 4, sizeof(ngx_completion_json_member_t));
    if (*inputs == NULL) {
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

        if ((*inputs)->nelts == NGX_COMPLETION_JSON_MAX_MEMBERS) {
            *detail = "too many fields";
            return NGX_DECLINED;
        }

        member = ngx_array_push(*inputs);
        if (member == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(member, sizeof(ngx_completion_json_member_t));

        field.data = p;
        field.len = end - p;

        if (ngx_http_completion_form_field(pool, &field, member) != NGX_OK) {
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
ngx_http_completion_form_field(ngx_pool_t *pool, ngx_str_t *field,
    ngx_completion_json_member_t *member)
{
    u_char  *p, *last;

    last = field->data + field->len;
    p = ngx_strlchr(field->data, last, '=');

    if (p == NULL) {
        p = last;
    }

    member->type = NGX_COMPLETION_JSON_STRING;

    if (ngx_http_completion_form_decode(pool, field->data, p, &member->name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_completion_form_decode(pool, ngx_min(p + 1, last), last,
                                           &member->value);
}


/* "+" is a space; what is no escape stands for itself */

static ngx_int_t
ngx_http_completion_form_decode(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *value)
{
    u_char     *dst;
    ngx_int_t   c;

    dst = ngx_pnalloc(pool, last - p + 1);
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
