
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_hash.h"
#include "ngx_completion_json.h"


/*
 * Every value has a digest: a scalar that of its type and content, an array
 * that of its elements' chained in order, an object that of its members'
 * sorted by name.  Only the members of the objects that are open take memory:
 * a text of a million empty arrays must not take a gigabyte.
 */

typedef struct {
    u_char                         name[12];  /* begins the name's digest */
    u_char                         index[4];  /* of a name given twice, the
                                                 last may be what counts */
    u_char                         pair[NGX_COMPLETION_SHA256];
} ngx_completion_json_digested_t;


typedef struct {
    ngx_array_t                    members;   /* _json_digested_t */
    u_char                         pair[2 * NGX_COMPLETION_SHA256];
    ngx_uint_t                     array;     /* not an object */
} ngx_completion_json_level_t;


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_json_level_t    levels[NGX_COMPLETION_JSON_MAX_DEPTH + 1];
    u_char                        *digest;
} ngx_completion_json_digest_t;


static ngx_int_t ngx_completion_json_digest_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_json_digest_value(
    ngx_completion_json_digest_t *d, ngx_uint_t depth, u_char *md);
static ngx_int_t ngx_completion_json_digest_scalar(
    ngx_completion_json_digest_t *d, ngx_completion_json_event_t *event,
    u_char *md);
static int ngx_libc_cdecl ngx_completion_json_member_cmp(const void *one,
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
    u_char                           md[NGX_COMPLETION_SHA256];
    ngx_uint_t                       i;
    ngx_array_t                     *members;
    ngx_completion_json_level_t     *level;
    ngx_completion_json_digest_t    *d;
    ngx_completion_json_digested_t  *member;

    d = data;

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
        return ngx_completion_sha256(event->value.data, event->value.len,
                                     d->levels[event->depth].pair);

    case NGX_COMPLETION_JSON_OBJECT:
        level = &d->levels[event->depth + 1];
        level->array = 0;
        members = &level->members;

        if (members->elts) {
            members->nelts = 0;
            return NGX_OK;
        }

        return ngx_array_init(members, d->pool, 8,
                              sizeof(ngx_completion_json_digested_t));

    case NGX_COMPLETION_JSON_ARRAY:
        level = &d->levels[event->depth + 1];
        level->array = 1;
        ngx_memzero(level->pair, NGX_COMPLETION_SHA256);

        return NGX_OK;

    case NGX_COMPLETION_JSON_OBJECT_END:
        members = &d->levels[event->depth + 1].members;
        ngx_qsort(members->elts, members->nelts, members->size,
                  ngx_completion_json_member_cmp);

        member = members->elts;

        for (i = 0; i < members->nelts; i++) {
            ngx_memzero(member[i].index, sizeof(member[i].index));
        }

        if (ngx_completion_sha256(members->elts,
                                  members->nelts * members->size, md)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        md[0] = (u_char) event->type;
        break;

    case NGX_COMPLETION_JSON_ARRAY_END:
        ngx_memcpy(md, d->levels[event->depth + 1].pair,
                   NGX_COMPLETION_SHA256);
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
    u_char                          *out;
    uint32_t                         index;
    ngx_completion_json_level_t     *level;
    ngx_completion_json_digested_t  *member;

    if (depth == 0) {
        ngx_memcpy(d->digest, md, NGX_COMPLETION_SHA256);
        return NGX_OK;
    }

    /* behind the member's name, or what the elements so far came to */

    level = &d->levels[depth];
    out = level->pair;

    ngx_memcpy(level->pair + NGX_COMPLETION_SHA256, md, NGX_COMPLETION_SHA256);

    if (!level->array) {
        index = htonl((uint32_t) level->members.nelts);

        member = ngx_array_push(&level->members);
        if (member == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(member->name, level->pair, sizeof(member->name));
        ngx_memcpy(member->index, &index, sizeof(member->index));

        out = member->pair;
    }

    if (ngx_completion_sha256(level->pair, sizeof(level->pair), md)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(out, md, NGX_COMPLETION_SHA256);

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

    if (ngx_completion_sha256(value.data, value.len, md) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a string "1" and a number 1 are not the same */

    md[0] = (u_char) event->type;

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_completion_json_member_cmp(const void *one, const void *two)
{
    return ngx_memcmp(one, two,
                      offsetof(ngx_completion_json_digested_t, pair));
}
