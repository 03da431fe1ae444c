
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


/* what a type in Accept is worth: -1 not named, else 0 to 1000 */
typedef struct {
    ngx_int_t    quality;
    ngx_uint_t   specific;     /* 0: any type, 1: type/any, 2: the type */
} ngx_http_completion_range_t;


static ngx_int_t ngx_http_completion_accept(ngx_http_request_t *r,
    ngx_http_completion_format_e *format);
static void ngx_http_completion_accept_range(ngx_str_t *item,
    ngx_http_completion_range_t *ranges);
static ngx_int_t ngx_http_completion_quality(ngx_str_t *item);
static void ngx_http_completion_prefer(ngx_http_completion_ctx_t *ctx,
    ngx_str_t *item);
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
ngx_http_completion_negotiate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_http_completion_loc_conf_t *clcf)
{
    ngx_str_t   prefer, item;
    ngx_uint_t  max;

    if (ngx_http_completion_accept(r, &ctx->format) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_http_completion_header(r, "prefer", &prefer) != NGX_OK) {
        return NGX_ERROR;
    }

    while (ngx_http_completion_next(&prefer, ',', &item)) {
        ngx_http_completion_prefer(ctx, &item);
    }

    max = clcf->wait_max / 1000;
    ctx->wait_until = ngx_current_msec;

    if (r != r->main) {

        if (ctx->format == NGX_HTTP_COMPLETION_STREAM) {
            ctx->format = NGX_HTTP_COMPLETION_JSON;
        }

        ctx->prefers_wait = 0;
        ctx->respond_async = 0;

        return NGX_OK;
    }

    if (ctx->prefers_wait) {
        ctx->wait_seconds = ngx_min(ctx->wait_seconds, max);
        ctx->wait_until += ctx->wait_seconds * 1000;

    } else if (!ctx->respond_async) {
        ctx->wait_until += clcf->wait_default;
    }

    ctx->waits = (ctx->wait_until != ngx_current_msec);

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_accept(ngx_http_request_t *r,
    ngx_http_completion_format_e *format)
{
    ngx_int_t                    best;
    ngx_str_t                    accept, item;
    ngx_uint_t                   i;
    ngx_http_completion_range_t  ranges[NGX_HTTP_COMPLETION_TYPES];

    *format = NGX_HTTP_COMPLETION_JSON;

    if (ngx_http_completion_header(r, "accept", &accept) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_completion_trim(&accept);

    if (accept.len == 0) {
        return NGX_OK;
    }

    for (i = 0; i < NGX_HTTP_COMPLETION_TYPES; i++) {
        ranges[i].quality = -1;
        ranges[i].specific = 0;
    }

    while (ngx_http_completion_next(&accept, ',', &item)) {
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


/* RFC 7240; what is not understood is not there */

static void
ngx_http_completion_prefer(ngx_http_completion_ctx_t *ctx, ngx_str_t *item)
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

    if (name.len == 13
        && ngx_strncasecmp(name.data, (u_char *) "respond-async", 13) == 0)
    {
        ctx->respond_async = 1;
        return;
    }

    if (ctx->prefers_wait || name.len != 4
        || ngx_strncasecmp(name.data, (u_char *) "wait", 4) != 0)
    {
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

    ctx->prefers_wait = 1;
    ctx->wait_seconds = (seconds == NGX_ERROR) ? NGX_MAX_INT32_VALUE : seconds;
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


ngx_int_t
ngx_http_completion_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    u_char           *p;
    size_t            len;
    ngx_str_t         found;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    len = ngx_strlen(name);
    ngx_str_null(value);

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len != len
            || ngx_strncasecmp(header[i].key.data, (u_char *) name, len) != 0)
        {
            continue;
        }

        if (value->data == NULL) {
            *value = header[i].value;
            continue;
        }

        found.len = value->len + 1 + header[i].value.len;
        found.data = ngx_pnalloc(r->pool, found.len);

        if (found.data == NULL) {
            return NGX_ERROR;
        }

        p = ngx_cpymem(found.data, value->data, value->len);
        *p++ = ',';
        ngx_memcpy(p, header[i].value.data, header[i].value.len);

        *value = found;
    }

    return NGX_OK;
}
