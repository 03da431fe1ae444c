
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_form.h"


/* RFC 2046; a longer one would be compared at each place of a body */
#define NGX_COMPLETION_FORM_BOUNDARY  70


static ngx_int_t ngx_completion_form_decode(ngx_pool_t *pool, u_char *p,
    u_char *last, ngx_str_t *value);
static u_char *ngx_completion_form_line(u_char *p, u_char *last,
    ngx_str_t *boundary, u_char **next);
static void ngx_completion_form_name(u_char *p, u_char *last,
    ngx_str_t *name);
static ngx_completion_json_member_t *ngx_completion_form_push(
    ngx_array_t *values, ngx_str_t *detail);
static ngx_int_t ngx_completion_form_check(ngx_str_t *value,
    ngx_str_t *detail);


ngx_int_t
ngx_completion_form_values(ngx_pool_t *pool, ngx_str_t *form,
    ngx_array_t *values, ngx_str_t *detail)
{
    u_char                        *p, *last, *end, *equals;
    ngx_completion_json_member_t  *field;

    if (form->len == 0) {
        return NGX_OK;
    }

    last = form->data + form->len;

    for (p = form->data; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        if (end == p) {
            continue;
        }

        field = ngx_completion_form_push(values, detail);
        if (field == NULL) {
            return detail->len ? NGX_DECLINED : NGX_ERROR;
        }

        equals = ngx_strlchr(p, end, '=');

        if (ngx_completion_form_decode(pool, p, equals ? equals : end,
                                       &field->name)
            != NGX_OK
            || ngx_completion_form_decode(pool, equals ? equals + 1 : end,
                                          end, &field->value)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_completion_form_check(&field->value, detail) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* "+" is a space; what is no escape stands for itself */

static ngx_int_t
ngx_completion_form_decode(ngx_pool_t *pool, u_char *p, u_char *last,
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


/*
 *     --boundary CRLF *(header CRLF) CRLF value
 *     CRLF --boundary ... CRLF --boundary--
 */

ngx_int_t
ngx_completion_form_parts(ngx_str_t *form, ngx_str_t *boundary,
    ngx_array_t *values, ngx_str_t *detail)
{
    u_char                        *p, *last, *end, *next;
    ngx_completion_json_member_t  *field;

    static ngx_str_t  broken = ngx_string("the parts of the form are broken");

    if (form->len == 0 || boundary->len == 0
        || boundary->len > NGX_COMPLETION_FORM_BOUNDARY)
    {
        *detail = broken;
        return NGX_DECLINED;
    }

    last = form->data + form->len;

    if (ngx_completion_form_line(form->data, last, boundary, &p) == NULL) {
        *detail = broken;
        return NGX_DECLINED;
    }

    while (last - p < 2 || p[0] != '-' || p[1] != '-') {

        field = ngx_completion_form_push(values, detail);
        if (field == NULL) {
            return detail->len ? NGX_DECLINED : NGX_ERROR;
        }

        end = ngx_strnstr(p, "\r\n\r\n", last - p);

        if (end == NULL) {
            *detail = broken;
            return NGX_DECLINED;
        }

        ngx_completion_form_name(p, end, &field->name);

        /* an empty value stands right before its line */

        field->value.data = end + 4;
        end = ngx_completion_form_line(end + 2, last, boundary, &next);

        if (end == NULL) {
            *detail = broken;
            return NGX_DECLINED;
        }

        field->value.len = (end > field->value.data)
                               ? end - field->value.data : 0;
        p = next;

        if (ngx_completion_form_check(&field->value, detail) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* where a boundary's line begins, and what follows the boundary; or NULL */

static u_char *
ngx_completion_form_line(u_char *p, u_char *last, ngx_str_t *boundary,
    u_char **next)
{
    u_char  *dashes, *start;

    start = p;

    for ( /* void */ ;
         (dashes = ngx_strnstr(p, "--", last - p)) != NULL;
         p = dashes + 1)
    {
        if ((size_t) (last - dashes - 2) < boundary->len) {
            return NULL;
        }

        if (ngx_strncmp(dashes + 2, boundary->data, boundary->len) != 0) {
            continue;
        }

        *next = dashes + 2 + boundary->len;

        if (dashes == start) {
            return dashes;
        }

        if (dashes - start >= 2 && dashes[-2] == '\r' && dashes[-1] == '\n') {
            return dashes - 2;
        }
    }

    return NULL;
}


/* the parameter "name" of Content-Disposition, and of no other header */

static void
ngx_completion_form_name(u_char *p, u_char *last, ngx_str_t *name)
{
    u_char     *end, *quote;
    ngx_str_t   line;

    static ngx_str_t  header = ngx_string("content-disposition:");

    ngx_str_null(name);

    for ( /* void */ ; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, '\n');
        end = end ? end : last;

        line.data = p;
        line.len = end - p;

        if (line.len <= header.len
            || ngx_strncasecmp(line.data, header.data, header.len) != 0)
        {
            continue;
        }

        p = ngx_strlcasestrn(line.data, end, (u_char *) " name=\"",
                             sizeof(" name=\"") - 2);
        if (p == NULL) {
            p = ngx_strlcasestrn(line.data, end, (u_char *) ";name=\"",
                                 sizeof(";name=\"") - 2);
        }

        if (p) {
            name->data = p + sizeof(" name=\"") - 1;
            quote = ngx_strlchr(name->data, end, '"');
            name->len = quote ? quote - name->data : 0;
        }

        return;
    }
}


/* NULL: too many, or no memory */

static ngx_completion_json_member_t *
ngx_completion_form_push(ngx_array_t *values, ngx_str_t *detail)
{
    ngx_completion_json_member_t  *field;

    if (values->nelts == NGX_COMPLETION_JSON_MAX_MEMBERS) {
        ngx_str_set(detail, "too many fields");
        return NULL;
    }

    field = ngx_array_push(values);

    if (field) {
        ngx_memzero(field, sizeof(ngx_completion_json_member_t));
        field->type = NGX_COMPLETION_JSON_STRING;
    }

    return field;
}


static ngx_int_t
ngx_completion_form_check(ngx_str_t *value, ngx_str_t *detail)
{
    if (ngx_completion_utf8_check(value->data, value->len) != NGX_OK) {
        ngx_str_set(detail, "a field of the form is not valid UTF-8");
        return NGX_DECLINED;
    }

    return NGX_OK;
}
