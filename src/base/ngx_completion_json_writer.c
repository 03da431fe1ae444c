
#include "ngx_completion_json.h"

#include <yajl/yajl_gen.h>


#define NGX_COMPLETION_JSON_WRITER_SIZE  1024


struct ngx_completion_json_writer_s {
    ngx_pool_t   *pool;
    yajl_gen      gen;
    ngx_uint_t    depth;

    u_char       *data;
    size_t        len;
    size_t        size;

    unsigned      failed:1;

    /* yajl_gen_alloc() does not check the last of its two allocations */
    u_char       *memory;
    u_char       *memory_end;
};


static void ngx_completion_json_writer_print(void *data, const char *p,
    size_t len);
static ngx_int_t ngx_completion_json_writer_grow(
    ngx_completion_json_writer_t *w, size_t len);
static void ngx_completion_json_writer_status(ngx_completion_json_writer_t *w,
    yajl_gen_status status);
static void *ngx_completion_json_writer_malloc(void *data, size_t size);
static void *ngx_completion_json_writer_realloc(void *data, void *p,
    size_t size);
static void ngx_completion_json_writer_free(void *data, void *p);


ngx_completion_json_writer_t *
ngx_completion_json_writer_create(ngx_pool_t *pool)
{
    return ngx_completion_json_writer_sized(pool,
                                            NGX_COMPLETION_JSON_WRITER_SIZE);
}


ngx_completion_json_writer_t *
ngx_completion_json_writer_sized(ngx_pool_t *pool, size_t size)
{
    size_t                         reserve;
    yajl_alloc_funcs               funcs;
    ngx_completion_json_writer_t  *w;

    /* the generator keeps an enum a level of depth, and little else */
    reserve = YAJL_MAX_DEPTH * sizeof(int) + 512;

    w = ngx_pcalloc(pool, sizeof(ngx_completion_json_writer_t) + reserve);
    if (w == NULL) {
        return NULL;
    }

    w->pool = pool;
    w->memory = (u_char *) &w[1];
    w->memory_end = w->memory + reserve;

    w->size = ngx_max(size, 64);

    w->data = ngx_pnalloc(pool, w->size);
    if (w->data == NULL) {
        return NULL;
    }

    funcs.malloc = ngx_completion_json_writer_malloc;
    funcs.realloc = ngx_completion_json_writer_realloc;
    funcs.free = ngx_completion_json_writer_free;
    funcs.ctx = w;

    w->gen = yajl_gen_alloc(&funcs);
    if (w->gen == NULL) {
        return NULL;
    }

    (void) yajl_gen_config(w->gen, yajl_gen_print_callback,
                           ngx_completion_json_writer_print, (void *) w);

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
    if (w && !w->failed) {
        w->depth++;
        ngx_completion_json_writer_status(w, yajl_gen_map_open(w->gen));
    }
}


void
ngx_completion_json_object_end(ngx_completion_json_writer_t *w)
{
    if (w && !w->failed) {
        w->depth--;
        ngx_completion_json_writer_status(w, yajl_gen_map_close(w->gen));
    }
}


void
ngx_completion_json_array(ngx_completion_json_writer_t *w)
{
    if (w && !w->failed) {
        w->depth++;
        ngx_completion_json_writer_status(w, yajl_gen_array_open(w->gen));
    }
}


void
ngx_completion_json_array_end(ngx_completion_json_writer_t *w)
{
    if (w && !w->failed) {
        w->depth--;
        ngx_completion_json_writer_status(w, yajl_gen_array_close(w->gen));
    }
}


void
ngx_completion_json_key(ngx_completion_json_writer_t *w, const char *name)
{
    ngx_completion_json_cstring(w, name);
}


void
ngx_completion_json_string(ngx_completion_json_writer_t *w, ngx_str_t *value)
{
    if (w == NULL || w->failed) {
        return;
    }

    if (ngx_completion_utf8_check(value->data, value->len) != NGX_OK) {
        w->failed = 1;
        return;
    }

    ngx_completion_json_writer_status(w,
                          yajl_gen_string(w->gen, value->data, value->len));
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
    if (w && !w->failed) {
        ngx_completion_json_writer_status(w, yajl_gen_integer(w->gen, value));
    }
}


void
ngx_completion_json_boolean(ngx_completion_json_writer_t *w, ngx_uint_t value)
{
    if (w && !w->failed) {
        ngx_completion_json_writer_status(w,
                                          yajl_gen_bool(w->gen, value != 0));
    }
}


void
ngx_completion_json_null(ngx_completion_json_writer_t *w)
{
    if (w && !w->failed) {
        ngx_completion_json_writer_status(w, yajl_gen_null(w->gen));
    }
}


void
ngx_completion_json_raw(ngx_completion_json_writer_t *w, ngx_str_t *value)
{
    if (w == NULL || w->failed) {
        return;
    }

    if (value->len == 0) {
        w->failed = 1;
        return;
    }

    ngx_completion_json_writer_status(w,
                  yajl_gen_number(w->gen, (char *) value->data, value->len));
}


void
ngx_completion_json_event(ngx_completion_json_writer_t *w,
    ngx_completion_json_event_t *event)
{
    switch (event->type) {

    case NGX_COMPLETION_JSON_NULL:
        ngx_completion_json_null(w);
        break;

    case NGX_COMPLETION_JSON_BOOLEAN:
        ngx_completion_json_boolean(w, event->boolean);
        break;

    case NGX_COMPLETION_JSON_NUMBER:
        ngx_completion_json_raw(w, &event->value);
        break;

    case NGX_COMPLETION_JSON_STRING:
    case NGX_COMPLETION_JSON_KEY:

        /* the reader has checked the whole text, so no second check here */

        if (w && !w->failed) {
            ngx_completion_json_writer_status(w,
              yajl_gen_string(w->gen, event->value.data, event->value.len));
        }

        break;

    case NGX_COMPLETION_JSON_OBJECT:
        ngx_completion_json_object(w);
        break;

    case NGX_COMPLETION_JSON_OBJECT_END:
        ngx_completion_json_object_end(w);
        break;

    case NGX_COMPLETION_JSON_ARRAY:
        ngx_completion_json_array(w);
        break;

    case NGX_COMPLETION_JSON_ARRAY_END:
        ngx_completion_json_array_end(w);
        break;
    }
}


static void
ngx_completion_json_writer_status(ngx_completion_json_writer_t *w,
    yajl_gen_status status)
{
    /* after most errors yajl must not be called again */

    if (status != yajl_gen_status_ok) {
        w->failed = 1;
    }
}


static void
ngx_completion_json_writer_print(void *data, const char *p, size_t len)
{
    ngx_completion_json_writer_t *w = data;

    if (w->failed || len == 0) {
        return;
    }

    if (w->size - w->len < len
        && ngx_completion_json_writer_grow(w, len) != NGX_OK)
    {
        w->failed = 1;
        return;
    }

    /* most of what yajl prints is one brace, quote or comma */

    if (len == 1) {
        w->data[w->len++] = *p;
        return;
    }

    ngx_memcpy(w->data + w->len, p, len);
    w->len += len;
}


static ngx_int_t
ngx_completion_json_writer_grow(ngx_completion_json_writer_t *w, size_t len)
{
    u_char  *data;
    size_t   size;

    size = ngx_max(2 * w->size, w->len + len);

    data = ngx_pnalloc(w->pool, size);
    if (data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(data, w->data, w->len);
    (void) ngx_pfree(w->pool, w->data);

    w->data = data;
    w->size = size;

    return NGX_OK;
}


static void *
ngx_completion_json_writer_malloc(void *data, size_t size)
{
    u_char                        *p;
    ngx_completion_json_writer_t  *w = data;

    p = ngx_align_ptr(w->memory, NGX_ALIGNMENT);

    if (p > w->memory_end || (size_t) (w->memory_end - p) < size) {
        return ngx_palloc(w->pool, size);
    }

    w->memory = p + size;

    return p;
}


static void *
ngx_completion_json_writer_realloc(void *data, void *p, size_t size)
{
    /* never called: the generator prints into our own buffer */
    return NULL;
}


static void
ngx_completion_json_writer_free(void *data, void *p)
{
}
