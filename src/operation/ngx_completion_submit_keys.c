
/*
 * What a submit goes by: an idempotency key, and the digest of what is asked,
 * which is that of the body whatever the order of its members.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_json.h"

#include "ngx_completion_operation.h"


#define NGX_COMPLETION_MEMOS  1024


/* The body that these words come to had this digest. */
typedef struct {
    u_char  fingerprint[NGX_COMPLETION_SHA256];
    u_char  digest[NGX_COMPLETION_SHA256];
} ngx_completion_memo_t;


static ngx_int_t ngx_completion_submit_names(ngx_completion_submit_t *submit,
    u_char *digest);
static ngx_int_t ngx_completion_submit_name(u_char *name, const char *kind,
    ngx_str_t *owner, ngx_str_t *value);
static ngx_completion_memo_t *ngx_completion_submit_memo(
    ngx_completion_submit_t *submit);


/* by their fingerprints, each place for the latest; of this worker */
static ngx_completion_memo_t  ngx_completion_memos[NGX_COMPLETION_MEMOS];


ngx_int_t
ngx_completion_submit_recall(ngx_completion_submit_t *submit,
    ngx_completion_prompt_t *prompt)
{
    ngx_int_t               rc;
    ngx_completion_keys_t  *keys;
    ngx_completion_memo_t  *memo;

    keys = &submit->keys;

    if (submit->key.len == 0) {
        keys->idempotency.ttl = 0;
    }

    if (keys->idempotency.ttl == 0 && keys->cache.ttl == 0) {
        return NGX_DECLINED;
    }

    if (ngx_completion_provider_fingerprint(&submit->service->provider,
                                            submit->pool, prompt,
                                            submit->fingerprint)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    memo = ngx_completion_submit_memo(submit);

    if (ngx_memcmp(memo->fingerprint, submit->fingerprint,
                   NGX_COMPLETION_SHA256)
        != 0)
    {
        return NGX_DECLINED;
    }

    if (ngx_completion_submit_names(submit, memo->digest) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_completion_zone_known(submit->service->zone, keys, 0,
                                  &submit->found)
        == NGX_DONE
        && submit->found.state != NGX_COMPLETION_KEY_UNDERWAY)
    {
        rc = ngx_completion_submit_found(submit);
        ngx_completion_meter_submit(submit);

        return rc;
    }

    /* one that joins may yet have to send its own */

    return NGX_DECLINED;
}


ngx_int_t
ngx_completion_submit_keys(ngx_completion_submit_t *submit)
{
    ngx_completion_memo_t  *memo;

    if (submit->keyed
        || (submit->keys.idempotency.ttl == 0 && submit->keys.cache.ttl == 0))
    {
        return NGX_OK;
    }

    memo = ngx_completion_submit_memo(submit);

    if (ngx_completion_json_digest(submit->pool, &submit->body, memo->digest)
        != NGX_OK)
    {
        ngx_memzero(memo, sizeof(ngx_completion_memo_t));
        return NGX_ERROR;
    }

    ngx_memcpy(memo->fingerprint, submit->fingerprint, NGX_COMPLETION_SHA256);

    return ngx_completion_submit_names(submit, memo->digest);
}


static ngx_int_t
ngx_completion_submit_names(ngx_completion_submit_t *submit, u_char *digest)
{
    ngx_str_t               request, everybody;
    ngx_uint_t              shared;
    ngx_completion_keys_t  *keys;

    keys = &submit->keys;
    shared = keys->shared;

    request.data = digest;
    request.len = NGX_COMPLETION_SHA256;
    ngx_str_set(&everybody, "");

    keys->owner = ngx_murmur_hash2(submit->owner.data, submit->owner.len);

    ngx_memcpy(keys->idempotency.request, digest, NGX_COMPLETION_KEY_DIGEST);

    if (keys->idempotency.ttl
        && ngx_completion_submit_name(keys->idempotency.name, "k",
                                      &submit->owner, &submit->key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (keys->cache.ttl
        && ngx_completion_submit_name(keys->cache.name, shared ? "s" : "o",
                                      shared ? &everybody : &submit->owner,
                                      &request)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    submit->keyed = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_submit_name(u_char *name, const char *kind, ngx_str_t *owner,
    ngx_str_t *value)
{
    u_char     digest[NGX_COMPLETION_SHA256];
    ngx_str_t  parts[3];

    parts[0].data = (u_char *) kind;
    parts[0].len = 1;
    parts[1] = *owner;
    parts[2] = *value;

    if (ngx_completion_sha256_parts(parts, 3, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(name, digest, NGX_COMPLETION_KEY_DIGEST);

    return NGX_OK;
}


static ngx_completion_memo_t *
ngx_completion_submit_memo(ngx_completion_submit_t *submit)
{
    uint32_t  n;

    ngx_memcpy(&n, submit->fingerprint, sizeof(uint32_t));

    return &ngx_completion_memos[n % NGX_COMPLETION_MEMOS];
}
