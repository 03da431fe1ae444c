
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_completion_parse.h"


#define NGX_HTTP_COMPLETION_KEY_MAX  255


static ngx_int_t ngx_http_completion_accepts(ngx_str_t *accept,
    ngx_str_t *type);
static ngx_uint_t ngx_http_completion_next(ngx_str_t *list, u_char separator,
    ngx_str_t *item);
static void ngx_http_completion_trim(ngx_str_t *s);
static u_char *ngx_http_completion_parameter(u_char *p, u_char *last,
    ngx_str_t *value);


ngx_int_t
ngx_http_completion_parse_accept(ngx_str_t *accept,
    ngx_completion_face_format_e *format)
{
    ngx_int_t   best, quality;
    ngx_str_t   list;
    ngx_uint_t  i;

    static ngx_str_t  types[] = {
        ngx_string("application/json"),
        ngx_string("text/plain"),
        ngx_string("text/event-stream")
    };

    *format = NGX_COMPLETION_FACE_JSON;

    list = *accept;
    ngx_http_completion_trim(&list);

    if (list.len == 0) {
        return NGX_OK;
    }

    best = 0;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        quality = ngx_http_completion_accepts(&list, &types[i]);

        if (quality > best) {
            best = quality;
            *format = i;
        }
    }

    return best ? NGX_OK : NGX_DECLINED;
}


/* what the closest range that has the type gives it, in thousandths */

static ngx_int_t
ngx_http_completion_accepts(ngx_str_t *accept, ngx_str_t *type)
{
    size_t     len, closest;
    ngx_int_t  q, quality;
    ngx_str_t  list, item, range, param;

    list = *accept;
    quality = 0;
    closest = 0;

    while (ngx_http_completion_next(&list, ',', &item)) {
        (void) ngx_http_completion_next(&item, ';', &range);

        len = range.len;

        if (len > 2 && range.data[len - 1] == '*'
            && range.data[len - 2] == '/')
        {
            len--;
        }

        if (ngx_http_completion_is(&range, "*/*")) {
            len = 1;

        } else if (len > type->len || (len == range.len && len != type->len)
                   || ngx_strncasecmp(range.data, type->data, len) != 0)
        {
            continue;
        }

        q = 1000;

        while (ngx_http_completion_next(&item, ';', &param)) {

            if (param.len > 2 && (param.data[0] | 0x20) == 'q'
                && param.data[1] == '=')
            {
                /* the RFC has three digits, and more tell nothing */

                q = ngx_atofp(param.data + 2,
                              ngx_min(param.len - 2, sizeof("0.123") - 1), 3);
                q = (q == NGX_ERROR) ? 1000 : ngx_min(q, 1000);
                break;
            }
        }

        if (len > closest || (len == closest && q > quality)) {
            closest = len;
            quality = q;
        }
    }

    return quality;
}


void
ngx_http_completion_parse_prefer(ngx_str_t *field,
    ngx_http_completion_prefer_t *prefer)
{
    ngx_int_t   seconds;
    ngx_str_t   list, item, name, value;
    ngx_uint_t  i;

    ngx_memzero(prefer, sizeof(ngx_http_completion_prefer_t));

    list = *field;

    while (ngx_http_completion_next(&list, ',', &item)) {

        /* parameters of a preference mean nothing here */

        (void) ngx_http_completion_next(&item, ';', &value);
        (void) ngx_http_completion_next(&value, '=', &name);
        ngx_http_completion_trim(&value);

        if (ngx_http_completion_is(&name, "respond-async")) {
            prefer->respond_async = 1;
            continue;
        }

        if (prefer->wait || !ngx_http_completion_is(&name, "wait")) {
            continue;
        }

        if (value.len > 2 && value.data[0] == '"'
            && value.data[value.len - 1] == '"')
        {
            value.data++;
            value.len -= 2;
        }

        for (i = 0; i < value.len; i++) {
            if (value.data[i] < '0' || value.data[i] > '9') {
                break;
            }
        }

        if (i == 0 || i < value.len) {
            continue;
        }

        seconds = ngx_atoi(value.data, value.len);

        /* beyond what a number holds is as long as it gets */

        prefer->wait = 1;
        prefer->seconds = (seconds == NGX_ERROR) ? NGX_MAX_INT32_VALUE
                                                 : seconds;
    }
}


ngx_int_t
ngx_http_completion_parse_key(ngx_str_t *key)
{
    ngx_uint_t  i;

    if (key->len > 1 && key->data[0] == '"'
        && key->data[key->len - 1] == '"')
    {
        key->data++;
        key->len -= 2;
    }

    if (key->len == 0 || key->len > NGX_HTTP_COMPLETION_KEY_MAX) {
        return NGX_DECLINED;
    }

    for (i = 0; i < key->len; i++) {
        if (key->data[i] <= 0x20 || key->data[i] >= 0x7f) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_completion_face_body_e
ngx_http_completion_parse_type(ngx_str_t *field, ngx_str_t *charset)
{
    u_char     *p, *last;
    ngx_str_t   type;

    ngx_str_null(charset);

    if (field->len == 0) {
        return NGX_COMPLETION_FACE_BODY_TEXT;
    }

    type = *field;
    last = type.data + type.len;

    p = ngx_strlchr(type.data, last, ';');

    if (p) {
        type.len = p - type.data;

        p = ngx_strlcasestrn(p, last, (u_char *) "charset=",
                             sizeof("charset=") - 2);
        if (p) {
            p = ngx_http_completion_parameter(p + sizeof("charset=") - 1, last,
                                              charset);

            /* no quotes by the RFC, but meant as such */

            if (charset->len > 1 && charset->data[0] == '\''
                && p[-1] == '\'')
            {
                charset->data++;
                charset->len -= 2;
            }

            if (charset->len == 0) {
                ngx_str_set(charset, "?");
            }
        }
    }

    ngx_http_completion_trim(&type);

    if (type.len > 5
        && ngx_strncasecmp(type.data, (u_char *) "text/", 5) == 0)
    {
        return NGX_COMPLETION_FACE_BODY_TEXT;
    }

    if (ngx_http_completion_is(&type, "application/json")) {
        return NGX_COMPLETION_FACE_BODY_JSON;
    }

    if (ngx_http_completion_is(&type, "multipart/form-data")) {
        return NGX_COMPLETION_FACE_BODY_MULTIPART;
    }

    return ngx_http_completion_is(&type, "application/x-www-form-urlencoded")
               ? NGX_COMPLETION_FACE_BODY_FORM
               : NGX_COMPLETION_FACE_BODY_OTHER;
}


void
ngx_http_completion_parse_boundary(ngx_str_t *type, ngx_str_t *boundary)
{
    u_char  *p, *last;

    last = type->data + type->len;

    p = ngx_strlcasestrn(type->data, last, (u_char *) "boundary=",
                         sizeof("boundary=") - 2);

    ngx_str_null(boundary);

    if (p) {
        (void) ngx_http_completion_parameter(p + sizeof("boundary=") - 1, last,
                                             boundary);
    }
}


/* its value from there on, with or without quotes; and where that ends */

static u_char *
ngx_http_completion_parameter(u_char *p, u_char *last, ngx_str_t *value)
{
    ngx_uint_t  quoted;

    quoted = (p < last && *p == '"');
    p += quoted;
    value->data = p;

    while (p < last && *p != '"' && (quoted || (*p != ';' && *p != ' '))) {
        p++;
    }

    value->len = p - value->data;

    return p;
}


/* Takes the next item off a list; quoted strings are not split. */

static ngx_uint_t
ngx_http_completion_next(ngx_str_t *list, u_char separator, ngx_str_t *item)
{
    u_char      *p, *last;
    ngx_uint_t   quoted;

    if (list->len == 0) {
        ngx_str_null(item);
        return 0;
    }

    quoted = 0;
    last = list->data + list->len;

    for (p = list->data; p < last; p++) {

        if (*p == '"') {
            quoted = !quoted;

        } else if (quoted && *p == '\\' && p + 1 < last) {
            p++;

        } else if (!quoted && *p == separator) {
            break;
        }
    }

    item->data = list->data;
    item->len = p - list->data;
    ngx_http_completion_trim(item);

    if (p < last) {
        p++;
    }

    list->data = p;
    list->len = last - p;

    return 1;
}


static void
ngx_http_completion_trim(ngx_str_t *s)
{
    while (s->len && (s->data[0] == ' ' || s->data[0] == '\t')) {
        s->data++;
        s->len--;
    }

    while (s->len && (s->data[s->len - 1] == ' '
                      || s->data[s->len - 1] == '\t'))
    {
        s->len--;
    }
}
