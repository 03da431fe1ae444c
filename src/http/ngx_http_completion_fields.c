
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_completion_parse.h"


#define NGX_HTTP_COMPLETION_KEY_MAX  255


/* what a type in Accept is worth: -1 not named, else 0 to 1000 */
typedef struct {
    ngx_int_t    quality;
    ngx_uint_t   specific;     /* 0: any type, 1: type/any, 2: the type */
} ngx_http_completion_range_t;


static void ngx_http_completion_accept_range(ngx_str_t *item,
    ngx_http_completion_range_t *ranges);
static ngx_int_t ngx_http_completion_quality(ngx_str_t *item);
static void ngx_http_completion_preference(ngx_str_t *item,
    ngx_http_completion_prefer_t *prefer);
static ngx_uint_t ngx_http_completion_next(ngx_str_t *list, u_char separator,
    ngx_str_t *item);
static void ngx_http_completion_trim(ngx_str_t *s);


static ngx_str_t  ngx_http_completion_types[] = {
    ngx_string("application/json"),
    ngx_string("text/plain"),
    ngx_string("text/event-stream")
};

#define NGX_HTTP_COMPLETION_TYPES  3


ngx_int_t
ngx_http_completion_parse_accept(ngx_str_t *accept,
    ngx_completion_face_format_e *format)
{
    ngx_int_t                    best;
    ngx_str_t                    list, item;
    ngx_uint_t                   i;
    ngx_http_completion_range_t  ranges[NGX_HTTP_COMPLETION_TYPES];

    *format = NGX_COMPLETION_FACE_JSON;

    list = *accept;
    ngx_http_completion_trim(&list);

    if (list.len == 0) {
        return NGX_OK;
    }

    for (i = 0; i < NGX_HTTP_COMPLETION_TYPES; i++) {
        ranges[i].quality = -1;
        ranges[i].specific = 0;
    }

    while (ngx_http_completion_next(&list, ',', &item)) {
        ngx_http_completion_accept_range(&item, ranges);
    }

    best = 0;

    for (i = 0; i < NGX_HTTP_COMPLETION_TYPES; i++) {
        if (ranges[i].quality > best) {
            best = ranges[i].quality;
            *format = i;
        }
    }

    return best ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_completion_accept_range(ngx_str_t *item,
    ngx_http_completion_range_t *ranges)
{
    ngx_int_t   quality;
    ngx_str_t   type, *known;
    ngx_uint_t  i, specific;

    quality = ngx_http_completion_quality(item);

    (void) ngx_http_completion_next(item, ';', &type);

    for (i = 0; i < NGX_HTTP_COMPLETION_TYPES; i++) {
        known = &ngx_http_completion_types[i];

        if (type.len == 3 && ngx_strncmp(type.data, "*/*", 3) == 0) {
            specific = 0;

        } else if (type.len > 2
                   && ngx_strncmp(type.data + type.len - 2, "/*", 2) == 0
                   && known->len > type.len
                   && ngx_strncasecmp(type.data, known->data, type.len - 1)
                      == 0)
        {
            specific = 1;

        } else if (type.len == known->len
                   && ngx_strncasecmp(type.data, known->data, type.len) == 0)
        {
            specific = 2;

        } else {
            continue;
        }

        if (ranges[i].quality == -1 || specific > ranges[i].specific
            || (specific == ranges[i].specific
                && quality > ranges[i].quality))
        {
            ranges[i].quality = quality;
            ranges[i].specific = specific;
        }
    }
}


/* of "type;q=0.5", in thousandths */

static ngx_int_t
ngx_http_completion_quality(ngx_str_t *item)
{
    ngx_int_t  q;
    ngx_str_t  rest, param;

    rest = *item;

    while (ngx_http_completion_next(&rest, ';', &param)) {

        if (param.len > 2 && (param.data[0] | 0x20) == 'q'
            && param.data[1] == '=')
        {
            q = ngx_atofp(param.data + 2, param.len - 2, 3);

            return (q == NGX_ERROR || q > 1000) ? 1000 : q;
        }
    }

    return 1000;
}


void
ngx_http_completion_parse_prefer(ngx_str_t *field,
    ngx_http_completion_prefer_t *prefer)
{
    ngx_str_t  list, item;

    ngx_memzero(prefer, sizeof(ngx_http_completion_prefer_t));

    list = *field;

    while (ngx_http_completion_next(&list, ',', &item)) {
        ngx_http_completion_preference(&item, prefer);
    }
}


static void
ngx_http_completion_preference(ngx_str_t *item,
    ngx_http_completion_prefer_t *prefer)
{
    ngx_int_t   seconds;
    ngx_str_t   name, value;
    ngx_uint_t  i;

    value = *item;

    /* parameters of a preference mean nothing here */

    (void) ngx_http_completion_next(&value, ';', &name);
    value = name;

    (void) ngx_http_completion_next(&value, '=', &name);
    ngx_http_completion_trim(&value);

    if (ngx_http_completion_is(&name, "respond-async")) {
        prefer->respond_async = 1;
        return;
    }

    if (prefer->wait || !ngx_http_completion_is(&name, "wait")) {
        return;
    }

    if (value.len > 2 && value.data[0] == '"'
        && value.data[value.len - 1] == '"')
    {
        value.data++;
        value.len -= 2;
    }

    for (i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return;
        }
    }

    if (value.len == 0) {
        return;
    }

    seconds = ngx_atoi(value.data, value.len);

    /* beyond what a number holds is as long as it gets */

    prefer->wait = 1;
    prefer->seconds = (seconds == NGX_ERROR) ? NGX_MAX_INT32_VALUE : seconds;
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

    ngx_http_completion_trim(&type);

    if (type.len > 5
        && ngx_strncasecmp(type.data, (u_char *) "text/", 5) == 0)
    {
        return NGX_COMPLETION_FACE_BODY_TEXT;
    }

    if (ngx_http_completion_is(&type, "application/json")) {
        return NGX_COMPLETION_FACE_BODY_JSON;
    }

    return ngx_http_completion_is(&type, "application/x-www-form-urlencoded")
               ? NGX_COMPLETION_FACE_BODY_FORM
               : NGX_COMPLETION_FACE_BODY_OTHER;
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
