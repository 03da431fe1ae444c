
#include "ngx_completion_json.h"


/* more than what is read and written again can need */
#define NGX_COMPLETION_JSON_WRITER_DEPTH  128


struct ngx_completion_json_writer_s {
    ngx_pool_t   *pool;

    u_char       *data;
    size_t        len;
    size_t        size;

    /* the brackets that end what is open */
    ngx_uint_t    depth;
    u_char        ends[NGX_COMPLETION_JSON_WRITER_DEPTH];

    unsigned      failed:1;
    unsigned      comma:1;      /* ahead of what comes next */
    unsigned      named:1;      /* the next value, by a key */
};


static ngx_uint_t ngx_completion_json_writer_next(
    ngx_completion_json_writer_t *w, ngx_uint_t key, size_t len);
static ngx_uint_t ngx_completion_json_writer_room(
    ngx_completion_json_writer_t *w, size_t len);
static void ngx_completion_json_writer_open(ngx_completion_json_writer_t *w,
    u_char start, u_char end);
static void ngx_completion_json_writer_text(ngx_completion_json_writer_t *w,
    ngx_uint_t key, ngx_str_t *value);
static size_t ngx_completion_json_writer_plain(ngx_str_t *value);
static ngx_uint_t ngx_completion_json_writer_special(u_char *p);


ngx_completion_json_writer_t *
ngx_completion_json_writer_sized(ngx_pool_t *pool, size_t size)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_pcalloc(pool, sizeof(ngx_completion_json_writer_t));
    if (w == NULL) {
        return NULL;
    }

    w->pool = pool;
    w->size = ngx_max(size, 64);

    w->data = ngx_pnalloc(pool, w->size);
    if (w->data == NULL) {
        return NULL;
    }

    return w;
}


ngx_int_t
ngx_completion_json_writer_finish(ngx_completion_json_writer_t *w,
    ngx_str_t *out)
{
    if (w == NULL || w->failed || w->depth || w->len == 0) {
        ngx_str_null(out);
        return NGX_ERROR;
    }

    out->data = w->data;
    out->len = w->len;

    return NGX_OK;
}


size_t
ngx_completion_json_written(ngx_completion_json_writer_t *w)
{
    return w ? w->len : 0;
}


void
ngx_completion_json_object(ngx_completion_json_writer_t *w)
{
    ngx_completion_json_writer_open(w, '{', '}');
}


void
ngx_completion_json_array(ngx_completion_json_writer_t *w)
{
    ngx_completion_json_writer_open(w, '[', ']');
}


static void
ngx_completion_json_writer_open(ngx_completion_json_writer_t *w, u_char start,
    u_char end)
{
    if (!ngx_completion_json_writer_next(w, 0, 1)) {
        return;
    }

    if (w->depth == NGX_COMPLETION_JSON_WRITER_DEPTH) {
        w->failed = 1;
        return;
    }

    w->data[w->len++] = start;
    w->ends[w->depth++] = end;
    w->comma = 0;
}


void
ngx_completion_json_end(ngx_completion_json_writer_t *w)
{
    if (w == NULL || w->failed) {
        return;
    }

    if (w->depth == 0 || w->named) {
        w->failed = 1;
        return;
    }

    if (ngx_completion_json_writer_room(w, 1)) {
        w->data[w->len++] = w->ends[--w->depth];
        w->comma = 1;
    }
}


void
ngx_completion_json_key(ngx_completion_json_writer_t *w, const char *name)
{
    ngx_str_t  text;

    text.data = (u_char *) name;
    text.len = ngx_strlen(name);

    ngx_completion_json_writer_text(w, 1, &text);
}


void
ngx_completion_json_string(ngx_completion_json_writer_t *w, ngx_str_t *value)
{
    if (w && ngx_completion_utf8_check(value->data, value->len) != NGX_OK) {
        w->failed = 1;
        return;
    }

    ngx_completion_json_writer_text(w, 0, value);
}


void
ngx_completion_json_cstring(ngx_completion_json_writer_t *w,
    const char *value)
{
    ngx_str_t  text;

    text.data = (u_char *) value;
    text.len = ngx_strlen(value);

    ngx_completion_json_string(w, &text);
}


void
ngx_completion_json_integer(ngx_completion_json_writer_t *w, int64_t value)
{
    u_char     digits[NGX_INT64_LEN];
    ngx_str_t  number;

    number.data = digits;
    number.len = ngx_sprintf(digits, "%L", value) - digits;

    ngx_completion_json_raw(w, &number);
}


void
ngx_completion_json_boolean(ngx_completion_json_writer_t *w, ngx_uint_t value)
{
    ngx_str_t  words[] = { ngx_string("false"), ngx_string("true") };

    ngx_completion_json_raw(w, &words[value != 0]);
}


void
ngx_completion_json_key_string(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *value)
{
    ngx_completion_json_key(w, name);
    ngx_completion_json_string(w, value);
}


void
ngx_completion_json_key_cstring(ngx_completion_json_writer_t *w,
    const char *name, const char *value)
{
    ngx_completion_json_key(w, name);
    ngx_completion_json_cstring(w, value);
}


void
ngx_completion_json_key_integer(ngx_completion_json_writer_t *w,
    const char *name, int64_t value)
{
    ngx_completion_json_key(w, name);
    ngx_completion_json_integer(w, value);
}


void
ngx_completion_json_key_boolean(ngx_completion_json_writer_t *w,
    const char *name, ngx_uint_t value)
{
    ngx_completion_json_key(w, name);
    ngx_completion_json_boolean(w, value);
}


void
ngx_completion_json_raw(ngx_completion_json_writer_t *w, ngx_str_t *value)
{
    if (!ngx_completion_json_writer_next(w, 0, value->len)) {
        return;
    }

    if (value->len == 0) {
        w->failed = 1;
        return;
    }

    ngx_memcpy(w->data + w->len, value->data, value->len);
    w->len += value->len;
}


void
ngx_completion_json_event(ngx_completion_json_writer_t *w,
    ngx_completion_json_event_t *event)
{
    switch (event->type) {

    /* the reader has checked the whole text, so no second check here */

    case NGX_COMPLETION_JSON_KEY:
        ngx_completion_json_writer_text(w, 1, &event->value);
        break;

    case NGX_COMPLETION_JSON_STRING:
        ngx_completion_json_writer_text(w, 0, &event->value);
        break;

    case NGX_COMPLETION_JSON_OBJECT:
        ngx_completion_json_object(w);
        break;

    case NGX_COMPLETION_JSON_ARRAY:
        ngx_completion_json_array(w);
        break;

    case NGX_COMPLETION_JSON_END:
        ngx_completion_json_end(w);
        break;

    default:
        ngx_completion_json_raw(w, &event->value);
    }
}


/* Whether a key or a value may come now: with room for it, and a comma. */

static ngx_uint_t
ngx_completion_json_writer_next(ngx_completion_json_writer_t *w,
    ngx_uint_t key, size_t len)
{
    ngx_uint_t  member;

    if (w == NULL || w->failed) {
        return 0;
    }

    member = (w->depth && w->ends[w->depth - 1] == '}');

    if ((member ? (key == w->named) : key) || (w->depth == 0 && w->len)) {
        w->failed = 1;
        return 0;
    }

    if (!ngx_completion_json_writer_room(w, len + 1)) {
        return 0;
    }

    if (w->comma) {
        w->data[w->len++] = ',';
    }

    w->comma = !key;
    w->named = key;

    return 1;
}


static ngx_uint_t
ngx_completion_json_writer_room(ngx_completion_json_writer_t *w, size_t len)
{
    u_char  *data;
    size_t   size;

    if (len <= w->size - w->len) {
        return 1;
    }

    size = ngx_max(2 * w->size, w->len + len);

    data = ngx_pnalloc(w->pool, size);
    if (data == NULL) {
        w->failed = 1;
        return 0;
    }

    ngx_memcpy(data, w->data, w->len);
    (void) ngx_pfree(w->pool, w->data);

    w->data = data;
    w->size = size;

    return 1;
}


static void
ngx_completion_json_writer_text(ngx_completion_json_writer_t *w,
    ngx_uint_t key, ngx_str_t *value)
{
    u_char  *p, *rest;
    size_t   plain, left, escapes;

    plain = ngx_completion_json_writer_plain(value);
    left = value->len - plain;
    rest = value->data + plain;
    escapes = left ? ngx_escape_json(NULL, rest, left) : 0;

    if (!ngx_completion_json_writer_next(w, key, value->len + escapes
                                                 + sizeof("\"\":") - 1))
    {
        return;
    }

    p = w->data + w->len;

    *p++ = '"';

    if (plain) {
        p = ngx_cpymem(p, value->data, plain);
    }

    if (left) {
        p = escapes ? (u_char *) ngx_escape_json(p, rest, left)
                    : ngx_cpymem(p, rest, left);
    }

    *p++ = '"';

    if (key) {
        *p++ = ':';
    }

    w->len = p - w->data;
}


/* How much of it, in whole words or all, nothing is to be escaped in. */

static size_t
ngx_completion_json_writer_plain(ngx_str_t *value)
{
    size_t  n;

    for (n = 0; value->len - n >= sizeof(uint64_t); n += sizeof(uint64_t)) {
        if (ngx_completion_json_writer_special(value->data + n)) {
            return n;
        }
    }

    /* the last word begins within the one before */

    if (n && !ngx_completion_json_writer_special(value->data + value->len
                                                 - sizeof(uint64_t)))
    {
        return value->len;
    }

    return n;
}


/* Whether there is something to be escaped in a word. */

static ngx_uint_t
ngx_completion_json_writer_special(u_char *p)
{
    uint64_t  word, quote, slash;

    ngx_memcpy(&word, p, sizeof(uint64_t));

    quote = word ^ 0x2222222222222222ULL;
    slash = word ^ 0x5c5c5c5c5c5c5c5cULL;

    /* a byte that is less than another one borrows from its highest bit */

    return ((((word - 0x2020202020202020ULL) & ~word)
             | ((quote - 0x0101010101010101ULL) & ~quote)
             | ((slash - 0x0101010101010101ULL) & ~slash))
            & 0x8080808080808080ULL) != 0;
}
