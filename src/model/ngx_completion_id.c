
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>

#include "../base/ngx_completion_hash.h"

#include "ngx_completion_id.h"


/* what a key is used for: the first byte of what it signs */
#define NGX_COMPLETION_ID_USE_TAG     1
#define NGX_COMPLETION_ID_USE_DIGEST  3
#define NGX_COMPLETION_ID_USE_VALUE   4

#define NGX_COMPLETION_ID_TAG_RAW     18


static ngx_int_t ngx_completion_id_tag(ngx_str_t *key, ngx_str_t *provider,
    ngx_str_t *owner, ngx_str_t *claim, u_char *tag);
static ngx_int_t ngx_completion_id_spell(ngx_str_t *key, u_char use,
    ngx_str_t *parts, ngx_uint_t n, u_char *tag);


ngx_int_t
ngx_completion_id_check(ngx_str_t *upstream)
{
    u_char      c;
    ngx_uint_t  i;

    if (upstream->len == 0 || upstream->len > NGX_COMPLETION_ID_UPSTREAM) {
        return NGX_DECLINED;
    }

    for (i = 0; i < upstream->len; i++) {
        c = upstream->data[i];

        if ((c >= '0' && c <= '9')
            || (c >= 'a' && c <= 'z')
            || (c >= 'A' && c <= 'Z')
            || c == '_' || c == '-')
        {
            continue;
        }

        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_id_sign(ngx_pool_t *pool, ngx_array_t *keys,
    ngx_str_t *provider, ngx_str_t *owner, ngx_completion_id_t *id,
    ngx_str_t *capability)
{
    u_char     *p;
    ngx_str_t   claim;

    p = ngx_pnalloc(pool, id->upstream.len + NGX_COMPLETION_ID_TAIL);
    if (p == NULL) {
        return NGX_ERROR;
    }

    claim.data = p;

    p = ngx_sprintf(p, "%V%c%08xD", &id->upstream, id->shared ? 's' : 'p',
                    (uint32_t) id->submitted);

    claim.len = p - claim.data;

    if (ngx_completion_id_tag(keys->elts, provider, owner, &claim, p) != NGX_OK)
    {
        return NGX_ERROR;
    }

    capability->data = claim.data;
    capability->len = claim.len + NGX_COMPLETION_ID_TAG;

    return NGX_OK;
}


ngx_int_t
ngx_completion_id_verify(ngx_array_t *keys, ngx_str_t *provider,
    ngx_str_t *owner, time_t lifetime, ngx_str_t *capability,
    ngx_completion_id_t *id)
{
    u_char       tag[NGX_COMPLETION_ID_TAG], *p;
    ngx_int_t    seconds;
    ngx_str_t    claim, *key;
    ngx_uint_t   i, valid;

    if (capability->len <= NGX_COMPLETION_ID_TAIL
        || capability->len > NGX_COMPLETION_ID_MAX)
    {
        return NGX_DECLINED;
    }

    claim.data = capability->data;
    claim.len = capability->len - NGX_COMPLETION_ID_TAG;

    key = keys->elts;
    valid = 0;

    for (i = 0; i < keys->nelts; i++) {
        if (ngx_completion_id_tag(&key[i], provider, owner, &claim, tag)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* the encoded form is compared: it has no spare bits */

        if (CRYPTO_memcmp(tag, claim.data + claim.len, NGX_COMPLETION_ID_TAG)
            == 0)
        {
            valid = 1;
        }
    }

    if (!valid) {
        return NGX_DECLINED;
    }

    id->upstream.data = capability->data;
    id->upstream.len = capability->len - NGX_COMPLETION_ID_TAIL;

    p = capability->data + id->upstream.len;
    seconds = ngx_hextoi(p + 1, 8);

    if (ngx_completion_id_check(&id->upstream) != NGX_OK
        || (*p != 'p' && *p != 's')
        || seconds == NGX_ERROR)
    {
        return NGX_DECLINED;
    }

    id->shared = (*p == 's');
    id->submitted = seconds;

    if (ngx_time() - id->submitted > lifetime + NGX_COMPLETION_ID_SKEW) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_id_tag(ngx_str_t *key, ngx_str_t *provider, ngx_str_t *owner,
    ngx_str_t *claim, u_char *tag)
{
    ngx_str_t  parts[3];

    parts[0] = *provider;
    parts[1] = *owner;
    parts[2] = *claim;

    return ngx_completion_id_spell(key, NGX_COMPLETION_ID_USE_TAG, parts, 3,
                                   tag);
}


static ngx_int_t
ngx_completion_id_spell(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, u_char *tag)
{
    u_char     md[NGX_COMPLETION_SHA256];
    ngx_str_t  raw, encoded;

    if (ngx_completion_hmac(key, use, parts, n, md) != NGX_OK) {
        return NGX_ERROR;
    }

    raw.data = md;
    raw.len = NGX_COMPLETION_ID_TAG_RAW;
    encoded.data = tag;

    ngx_encode_base64url(&encoded, &raw);

    return NGX_OK;
}


ngx_int_t
ngx_completion_id_digest(ngx_array_t *keys, ngx_str_t *parts, ngx_uint_t n,
    u_char *md)
{
    ngx_str_t  *key;

    key = keys->elts;

    return ngx_completion_hmac(&key[keys->nelts - 1],
                               NGX_COMPLETION_ID_USE_DIGEST, parts, n, md);
}


ngx_int_t
ngx_completion_id_seal(ngx_array_t *keys, ngx_str_t *name, ngx_str_t *value,
    u_char *tag)
{
    ngx_str_t  *key, parts[2];

    key = keys->elts;

    parts[0] = *name;
    parts[1] = *value;

    return ngx_completion_id_spell(&key[keys->nelts - 1],
                                   NGX_COMPLETION_ID_USE_VALUE, parts, 2, tag);
}
