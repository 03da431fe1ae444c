
#include <ngx_config.h>
#include <ngx_core.h>

/* as nginx has it: what has no algorithm to look up is called so */
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "ngx_completion_hash.h"


/* keys whose two blocks are hashed already; the first and the last of some */
#define NGX_COMPLETION_HMAC_KEYS   8

#define NGX_COMPLETION_HMAC_TEXT   256

#define NGX_COMPLETION_HMAC_INNER  0x36
#define NGX_COMPLETION_HMAC_OUTER  0x5c


typedef struct {
    SHA256_CTX    inner;
    SHA256_CTX    outer;

    /* whose it is: keys are the configuration's, and stay */
    ngx_cycle_t  *cycle;
    u_char       *key;
} ngx_completion_hmac_t;


static ngx_completion_hmac_t *ngx_completion_hmac_key(ngx_str_t *key);


static ngx_completion_hmac_t   ngx_completion_hmacs[NGX_COMPLETION_HMAC_KEYS];
static ngx_uint_t              ngx_completion_hmac_next;


ngx_int_t
ngx_completion_sha256(u_char *data, size_t len, u_char *md)
{
    SHA256_CTX  sha;

    return SHA256_Init(&sha) == 1
           && SHA256_Update(&sha, data, len) == 1
           && SHA256_Final(md, &sha) == 1 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_completion_sha256_parts(ngx_str_t *parts, ngx_uint_t n, u_char *md)
{
    int         ok;
    uint32_t    len;
    ngx_uint_t  i;
    SHA256_CTX  sha;

    ok = (SHA256_Init(&sha) == 1);

    for (i = 0; ok && i < n; i++) {
        len = htonl((uint32_t) parts[i].len);

        ok = SHA256_Update(&sha, &len, sizeof(len)) == 1
             && SHA256_Update(&sha, parts[i].data, parts[i].len) == 1;
    }

    return ok && SHA256_Final(md, &sha) == 1 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_completion_hmac(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, u_char *md)
{
    int                     ok;
    u_char                  text[NGX_COMPLETION_HMAC_TEXT], *p;
    uint32_t                len;
    ngx_uint_t              i;
    SHA256_CTX              sha;
    ngx_completion_hmac_t  *hmac;

    hmac = ngx_completion_hmac_key(key);
    if (hmac == NULL) {
        return NGX_ERROR;
    }

    sha = hmac->inner;
    ok = 1;

    p = text;
    *p++ = use;

    /* what is short is hashed by one call, a call being the dearer half */

    for (i = 0; i < n; i++) {
        len = htonl((uint32_t) parts[i].len);

        if ((size_t) (text + sizeof(text) - p) < sizeof(len) + parts[i].len) {
            ok &= SHA256_Update(&sha, text, p - text);
            p = text;
        }

        p = ngx_cpymem(p, &len, sizeof(len));

        if (parts[i].len == 0) {
            continue;
        }

        if ((size_t) (text + sizeof(text) - p) >= parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);

        } else {
            ok &= SHA256_Update(&sha, text, p - text);
            ok &= SHA256_Update(&sha, parts[i].data, parts[i].len);
            p = text;
        }
    }

    ok &= SHA256_Update(&sha, text, p - text);
    ok &= SHA256_Final(md, &sha);

    sha = hmac->outer;

    ok &= SHA256_Update(&sha, md, NGX_COMPLETION_SHA256);
    ok &= SHA256_Final(md, &sha);

    return ok ? NGX_OK : NGX_ERROR;
}


/* What the key alone costs is paid once: both of its blocks. */

static ngx_completion_hmac_t *
ngx_completion_hmac_key(ngx_str_t *key)
{
    int                     ok;
    u_char                  block[SHA256_CBLOCK];
    ngx_uint_t              i;
    ngx_completion_hmac_t  *hmac;

    for (i = 0; i < NGX_COMPLETION_HMAC_KEYS; i++) {
        hmac = &ngx_completion_hmacs[i];

        if (hmac->key == key->data && hmac->cycle == ngx_cycle) {
            return hmac;
        }
    }

    hmac = &ngx_completion_hmacs[ngx_completion_hmac_next++
                                 % NGX_COMPLETION_HMAC_KEYS];
    hmac->key = NULL;

    ngx_memzero(block, sizeof(block));

    if (key->len <= sizeof(block)) {
        ngx_memcpy(block, key->data, key->len);

    } else if (ngx_completion_sha256(key->data, key->len, block) != NGX_OK) {
        return NULL;
    }

    for (i = 0; i < sizeof(block); i++) {
        block[i] ^= NGX_COMPLETION_HMAC_INNER;
    }

    ok = SHA256_Init(&hmac->inner);
    ok &= SHA256_Update(&hmac->inner, block, sizeof(block));

    for (i = 0; i < sizeof(block); i++) {
        block[i] ^= NGX_COMPLETION_HMAC_INNER ^ NGX_COMPLETION_HMAC_OUTER;
    }

    ok &= SHA256_Init(&hmac->outer);
    ok &= SHA256_Update(&hmac->outer, block, sizeof(block));

    OPENSSL_cleanse(block, sizeof(block));

    if (!ok) {
        return NULL;
    }

    hmac->key = key->data;
    hmac->cycle = (ngx_cycle_t *) ngx_cycle;

    return hmac;
}
