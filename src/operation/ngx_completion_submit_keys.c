
/*
 * What a submit goes by: an idempotency key, and the digest of what is asked,
 * which is that of the body that goes upstream: it is made of the model, the
 * options, the messages and the format in one order and spelling on every
 * node, with JSON of the client's as its members stand.
 *
 * All of it goes by digests under the key of ids: a client that could compute
 * them could choose which bucket of the zone is to be a long one.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_hash.h"

#include "ngx_completion_operation.h"


/* what a digest is of; that of an ask is the name of what all share of it */
#define NGX_COMPLETION_SUBMIT_ASK    "a"
#define NGX_COMPLETION_SUBMIT_OWNED  "o"
#define NGX_COMPLETION_SUBMIT_ORPHAN "h"
#define NGX_COMPLETION_SUBMIT_KEY    "k"
#define NGX_COMPLETION_SUBMIT_OWNER  "w"


static ngx_int_t ngx_completion_submit_digest(
    ngx_completion_service_t *service, const char *kind, ngx_str_t *owner,
    ngx_str_t *value, void *digest, size_t size);


ngx_int_t
ngx_completion_submit_keys(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, ngx_str_t *body, ngx_completion_keys_t *keys)
{
    u_char                 digest[NGX_COMPLETION_KEY_DIGEST];
    ngx_str_t              request, *owner;
    ngx_completion_key_t  *key, *cache;

    static ngx_str_t  none = ngx_null_string;

    key = &keys->idempotency;
    cache = &keys->cache;
    owner = &ask->owner;

    key->ttl = ask->key.len ? ask->idempotency : 0;
    cache->ttl = ask->cache;
    keys->shared = ask->shared;

    /* what is shared by equality needs no other way to be found again */

    if (key->ttl == 0 && cache->ttl == 0 && (owner->len || ask->part)) {
        keys->orphan.ttl = ask->orphan;
        keys->doubted = !ask->part;
        keys->repeated = ask->repeated;
    }

    if (key->ttl == 0 && cache->ttl == 0 && keys->orphan.ttl == 0) {
        return NGX_OK;
    }

    if (ngx_completion_submit_digest(service, NGX_COMPLETION_SUBMIT_ASK, &none,
                                     body, digest, sizeof(digest))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(key->request, ask->request.len ? ask->request.data : digest,
               sizeof(digest));
    ngx_memcpy(cache->name, digest, sizeof(digest));

    request.data = digest;
    request.len = sizeof(digest);

    if (cache->ttl && !ask->shared
        && ngx_completion_submit_digest(service, NGX_COMPLETION_SUBMIT_OWNED,
                                        owner, &request, cache->name,
                                        sizeof(cache->name))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (keys->orphan.ttl) {
        return ngx_completion_submit_digest(service,
                                            NGX_COMPLETION_SUBMIT_ORPHAN,
                                            owner, &request,
                                            keys->orphan.name,
                                            sizeof(keys->orphan.name));
    }

    if (key->ttl == 0) {
        return NGX_OK;
    }

    if (ngx_completion_submit_digest(service, NGX_COMPLETION_SUBMIT_KEY, owner,
                                     &ask->key, key->name, sizeof(key->name))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* whose it is matters to a key that another request may pay for */

    return cache->ttl
               ? ngx_completion_submit_digest(service,
                                              NGX_COMPLETION_SUBMIT_OWNER,
                                              owner, &none, &keys->owner,
                                              sizeof(keys->owner))
               : NGX_OK;
}


static ngx_int_t
ngx_completion_submit_digest(ngx_completion_service_t *service,
    const char *kind, ngx_str_t *owner, ngx_str_t *value, void *digest,
    size_t size)
{
    u_char     md[NGX_COMPLETION_SHA256];
    ngx_str_t  parts[3];

    parts[0].data = (u_char *) kind;
    parts[0].len = 1;
    parts[1] = *owner;
    parts[2] = *value;

    if (ngx_completion_id_digest(service->id_keys, parts, 3, md) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(digest, md, size);

    return NGX_OK;
}


void
ngx_completion_submit_forget(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_completion_keys_t *keys,
    ngx_completion_hold_t *hold)
{
    ngx_pool_t             *pool;
    ngx_completion_view_t   view;

    ngx_completion_zone_forget(service->zone, keys);

    if (service->cluster) {
        ngx_completion_claims_ended(service->cluster->claims, keys,
                                    &id->upstream, 0);
    }

    if (hold->lease) {
        ngx_completion_zone_unhold(service->zone, hold, 1);
        hold->lease = 0;
    }

    pool = ngx_create_pool(NGX_COMPLETION_SUBMIT_SIZE, service->log);

    if (pool) {
        (void) ngx_completion_operation_cancel(service, id, pool, &view);
        ngx_destroy_pool(pool);
    }
}
