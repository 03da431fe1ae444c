
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "ngx_completion_hash.h"


/* keys whose two blocks are hashed already; the first and the last of some */
#define NGX_COMPLETION_HMAC_KEYS   8

#define NGX_COMPLETION_HMAC_TEXT   256

/* names whose first block is hashed already, each in a place of its own */
#define NGX_COMPLETION_HMAC_NAMES  32

#define NGX_COMPLETION_HMAC_INNER  0x36
#define NGX_COMPLETION_HMAC_OUTER  0x5c


typedef struct {
    SHA256_CTX    inner;
    SHA256_CTX    outer;

    /* whose it is: keys are the configuration's, and stay */
    ngx_cycle_t  *cycle;
    u_char       *key;
} ngx_completion_hmac_t;


typedef struct {
    u_char        block[SHA256_CBLOCK];
    SHA256_CTX    begun;

    /* by which key */
    ngx_cycle_t  *cycle;
    u_char       *key;
} ngx_completion_hmac_name_t;


static ngx_int_t ngx_completion_hmac_parts(ngx_str_t *key, u_char use,
    ngx_str_t *parts, ngx_uint_t n, ngx_uint_t named, u_char *md);
static ngx_completion_hmac_t *ngx_completion_hmac_key(ngx_str_t *key);
static int ngx_completion_hmac_begin(ngx_completion_hmac_t *hmac,
    u_char *block, SHA256_CTX *sha);


static ngx_completion_hmac_t   ngx_completion_hmacs[NGX_COMPLETION_HMAC_KEYS];
static ngx_uint_t              ngx_completion_hmac_next;

static ngx_completion_hmac_name_t
                         ngx_completion_hmac_names[NGX_COMPLETION_HMAC_NAMES];


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
    return ngx_completion_hmac_parts(key, use, parts, n, 0, md);
}


ngx_int_t
ngx_completion_hmac_named(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, u_char *md)
{
    return ngx_completion_hmac_parts(key, use, parts, n, 1, md);
}


static ngx_int_t
ngx_completion_hmac_parts(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, ngx_uint_t named, u_char *md)
{
    int                     ok;
    u_char                  text[NGX_COMPLETION_HMAC_TEXT], *p, *rest;
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
            named = 0;
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
            named = 0;
        }
    }

    rest = text;

    if (named && 1 + sizeof(len) + parts[0].len >= SHA256_CBLOCK) {
        ok &= ngx_completion_hmac_begin(hmac, text, &sha);
        rest += SHA256_CBLOCK;
    }

    ok &= SHA256_Update(&sha, rest, p - rest);
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


/* A block of what is hashed behind the key's own; as SHA256_Update(). */

static int
ngx_completion_hmac_begin(ngx_completion_hmac_t *hmac, u_char *block,
    SHA256_CTX *sha)
{
    ngx_uint_t                   i, place;
    ngx_completion_hmac_name_t  *name;

    place = 0;

    for (i = SHA256_CBLOCK - 4; i < SHA256_CBLOCK; i++) {
        place = ngx_hash(place, block[i]);
    }

    name = &ngx_completion_hmac_names[place % NGX_COMPLETION_HMAC_NAMES];

    if (name->key != hmac->key || name->cycle != hmac->cycle
        || ngx_memcmp(name->block, block, SHA256_CBLOCK) != 0)
    {
        if (SHA256_Update(sha, block, SHA256_CBLOCK) != 1) {
            return 0;
        }

        name->key = hmac->key;
        name->cycle = hmac->cycle;
        name->begun = *sha;
        ngx_memcpy(name->block, block, SHA256_CBLOCK);

        return 1;
    }

    *sha = name->begun;

    return 1;
}
