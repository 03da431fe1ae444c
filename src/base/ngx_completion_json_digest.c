
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/sha.h>

#include "ngx_completion_json.h"


/*
 * Every value has a digest: a scalar that of its type and content, an array
 * that of its elements' in order, an object that of its members' sorted.
 */

typedef struct {
    u_char                         key[SHA256_DIGEST_LENGTH];
    u_char                         value[SHA256_DIGEST_LENGTH];
} ngx_completion_json_entry_t;


typedef struct {
    ngx_pool_t                    *pool;
    ngx_array_t                    entries[NGX_COMPLETION_JSON_MAX_DEPTH + 1];
    u_char                         key[NGX_COMPLETION_JSON_MAX_DEPTH + 1]
                                      [SHA256_DIGEST_LENGTH];
    u_char                        *digest;
} ngx_completion_json_digest_t;


static ngx_int_t ngx_completion_json_digest_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_json_digest_value(
    ngx_completion_json_digest_t *d, ngx_uint_t depth, u_char *md);
static ngx_int_t ngx_completion_json_digest_scalar(
    ngx_completion_json_digest_t *d, ngx_completion_json_event_t *event,
    u_char *md);
static int ngx_libc_cdecl ngx_completion_json_entry_cmp(const void *one,
    const void *two);


ngx_int_t
ngx_completion_json_digest(ngx_pool_t *pool, ngx_str_t *text, u_char *digest)
{
    const char                    *reason;
    ngx_completion_json_digest_t  *d;

    d = ngx_pcalloc(pool, sizeof(ngx_completion_json_digest_t));
    if (d == NULL) {
        return NGX_ERROR;
    }

    d->pool = pool;
    d->digest = digest;

    return ngx_completion_json_read(pool, text, NULL,
                                    ngx_completion_json_digest_event, d,
                                    &reason);
}


static ngx_int_t
ngx_completion_json_digest_event(void *data,
    ngx_completion_json_event_t *event)
{
    u_char                         md[SHA256_DIGEST_LENGTH];
    ngx_array_t                   *entries;
    ngx_completion_json_digest_t  *d;

    d = data;
    entries = &d->entries[event->depth];

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
        (void) SHA256(event->value.data, event->value.len,
                      d->key[event->depth]);
        return NGX_OK;

    case NGX_COMPLETION_JSON_OBJECT:
    case NGX_COMPLETION_JSON_ARRAY:
        entries = &d->entries[event->depth + 1];
        ngx_memzero(d->key[event->depth + 1], SHA256_DIGEST_LENGTH);

        return ngx_array_init(entries, d->pool, 8,
                              sizeof(ngx_completion_json_entry_t));

    case NGX_COMPLETION_JSON_OBJECT_END:
        entries = &d->entries[event->depth + 1];
        ngx_qsort(entries->elts, entries->nelts, entries->size,
                  ngx_completion_json_entry_cmp);

        /* fall through */

    case NGX_COMPLETION_JSON_ARRAY_END:
        entries = &d->entries[event->depth + 1];
        (void) SHA256(entries->elts, entries->nelts * entries->size, md);
        md[0] = (u_char) event->type;
        break;

    default:
        if (ngx_completion_json_digest_scalar(d, event, md) != NGX_OK) {
            return NGX_ERROR;
        }

        break;
    }

    return ngx_completion_json_digest_value(d, event->depth, md);
}


static ngx_int_t
ngx_completion_json_digest_value(ngx_completion_json_digest_t *d,
    ngx_uint_t depth, u_char *md)
{
    ngx_completion_json_entry_t  *entry;

    if (depth == 0) {
        ngx_memcpy(d->digest, md, SHA256_DIGEST_LENGTH);
        return NGX_OK;
    }

    entry = ngx_array_push(&d->entries[depth]);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(entry->key, d->key[depth], SHA256_DIGEST_LENGTH);
    ngx_memcpy(entry->value, md, SHA256_DIGEST_LENGTH);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_json_digest_scalar(ngx_completion_json_digest_t *d,
    ngx_completion_json_event_t *event, u_char *md)
{
    ngx_str_t  value;

    static ngx_str_t  yes = ngx_string("true");
    static ngx_str_t  no = ngx_string("false");

    value = event->value;

    if (event->type == NGX_COMPLETION_JSON_BOOLEAN) {
        value = event->boolean ? yes : no;

    } else if (event->type == NGX_COMPLETION_JSON_NULL) {
        value.len = 0;
    }

    if (SHA256(value.data, value.len, md) == NULL) {
        return NGX_ERROR;
    }

    /* a string "1" and a number 1 are not the same */

    md[0] = (u_char) event->type;

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_completion_json_entry_cmp(const void *one, const void *two)
{
    return ngx_memcmp(one, two, sizeof(ngx_completion_json_entry_t));
}
