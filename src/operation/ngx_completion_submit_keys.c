
/*
 * What a submit goes by: an idempotency key, and the digest of what is asked,
 * which is that of the body that goes upstream: it is made of the model, the
 * options, the messages and the format in one order and spelling on every
 * node, with JSON of the client's as its members stand.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_hash.h"

#include "ngx_completion_submit.h"


static ngx_int_t ngx_completion_submit_name(ngx_completion_key_t *key,
    const char *kind, ngx_str_t *owner, ngx_str_t *value);


ngx_int_t
ngx_completion_submit_keys(ngx_completion_ask_t *ask, ngx_str_t *body,
    ngx_completion_keys_t *keys)
{
    u_char     digest[NGX_COMPLETION_SHA256];
    ngx_str_t  request;

    static ngx_str_t  everybody = ngx_null_string;

    keys->idempotency.ttl = ask->key.len ? ask->idempotency : 0;
    keys->cache.ttl = ask->cache;
    keys->shared = ask->shared;

    if (keys->idempotency.ttl == 0 && keys->cache.ttl == 0) {
        return NGX_OK;
    }

    request.data = digest;
    request.len = NGX_COMPLETION_SHA256;

    if (ngx_completion_sha256(body->data, body->len, digest) != NGX_OK
        || ngx_completion_submit_name(&keys->idempotency, "k", &ask->owner,
                                      &ask->key)
           != NGX_OK
        || ngx_completion_submit_name(&keys->cache, ask->shared ? "s" : "o",
                                      ask->shared ? &everybody : &ask->owner,
                                      &request)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    keys->owner = ngx_murmur_hash2(ask->owner.data, ask->owner.len);

    ngx_memcpy(keys->idempotency.request, digest, NGX_COMPLETION_KEY_DIGEST);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_submit_name(ngx_completion_key_t *key, const char *kind,
    ngx_str_t *owner, ngx_str_t *value)
{
    u_char     digest[NGX_COMPLETION_SHA256];
    ngx_str_t  parts[3];

    if (key->ttl == 0) {
        return NGX_OK;
    }

    parts[0].data = (u_char *) kind;
    parts[0].len = 1;
    parts[1] = *owner;
    parts[2] = *value;

    if (ngx_completion_sha256_parts(parts, 3, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(key->name, digest, NGX_COMPLETION_KEY_DIGEST);

    return NGX_OK;
}
