
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "ngx_completion_hash.h"


/* keys whose two blocks are hashed already; the first and the last of some */
#define NGX_COMPLETION_HMAC_KEYS  8

#define NGX_COMPLETION_HMAC_TEXT  256


typedef struct {
    EVP_MAC_CTX  *ctx;

    /* whose it is: keys are the configuration's, and stay */
    ngx_cycle_t  *cycle;
    u_char       *key;
} ngx_completion_hmac_t;


static EVP_MD_CTX *ngx_completion_sha256_begin(void);
static ngx_completion_hmac_t *ngx_completion_hmac_begin(ngx_str_t *key);


static EVP_MD                 *ngx_completion_sha256_md;
static EVP_MD_CTX             *ngx_completion_sha256_ctx;
static EVP_MAC                *ngx_completion_hmac_md;
static ngx_completion_hmac_t   ngx_completion_hmacs[NGX_COMPLETION_HMAC_KEYS];
static ngx_uint_t              ngx_completion_hmac_next;


ngx_int_t
ngx_completion_sha256(u_char *data, size_t len, u_char *md)
{
    EVP_MD_CTX  *ctx;

    ctx = ngx_completion_sha256_begin();

    return ctx && EVP_DigestUpdate(ctx, data, len) == 1
           && EVP_DigestFinal_ex(ctx, md, NULL) == 1 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_completion_sha256_parts(ngx_str_t *parts, ngx_uint_t n, u_char *md)
{
    int          ok;
    uint32_t     len;
    ngx_uint_t   i;
    EVP_MD_CTX  *ctx;

    ctx = ngx_completion_sha256_begin();
    ok = (ctx != NULL);

    for (i = 0; ok && i < n; i++) {
        len = htonl((uint32_t) parts[i].len);

        ok = EVP_DigestUpdate(ctx, &len, sizeof(len)) == 1
             && EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
    }

    return ok && EVP_DigestFinal_ex(ctx, md, NULL) == 1 ? NGX_OK : NGX_ERROR;
}


static EVP_MD_CTX *
ngx_completion_sha256_begin(void)
{
    if (ngx_completion_sha256_md == NULL) {
        ngx_completion_sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    }

    if (ngx_completion_sha256_ctx == NULL) {
        ngx_completion_sha256_ctx = EVP_MD_CTX_new();
    }

    if (ngx_completion_sha256_md == NULL || ngx_completion_sha256_ctx == NULL
        || EVP_DigestInit_ex(ngx_completion_sha256_ctx,
                             ngx_completion_sha256_md, NULL)
           != 1)
    {
        return NULL;
    }

    return ngx_completion_sha256_ctx;
}


ngx_int_t
ngx_completion_hmac(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, u_char *md)
{
    int                     ok;
    u_char                  text[NGX_COMPLETION_HMAC_TEXT], *p;
    size_t                  size;
    uint32_t                len;
    ngx_uint_t              i;
    ngx_completion_hmac_t  *hmac;

    hmac = ngx_completion_hmac_begin(key);
    ok = (hmac != NULL);

    p = text;
    *p++ = use;

    /* what is short is hashed by one call, a call being the dearer half */

    for (i = 0; ok && i < n; i++) {
        len = htonl((uint32_t) parts[i].len);

        if ((size_t) (text + sizeof(text) - p) < sizeof(len) + parts[i].len) {
            ok = EVP_MAC_update(hmac->ctx, text, p - text) == 1;
            p = text;
        }

        p = ngx_cpymem(p, &len, sizeof(len));

        if (parts[i].len == 0) {
            continue;
        }

        if ((size_t) (text + sizeof(text) - p) >= parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);

        } else if (ok) {
            ok = EVP_MAC_update(hmac->ctx, text, p - text) == 1
                 && EVP_MAC_update(hmac->ctx, parts[i].data, parts[i].len)
                    == 1;
            p = text;
        }
    }

    ok = ok && EVP_MAC_update(hmac->ctx, text, p - text) == 1
         && EVP_MAC_final(hmac->ctx, md, &size, NGX_COMPLETION_SHA256) == 1;

    if (hmac && !ok) {
        hmac->key = NULL;
    }

    return ok ? NGX_OK : NGX_ERROR;
}


static ngx_completion_hmac_t *
ngx_completion_hmac_begin(ngx_str_t *key)
{
    char                    digest[] = "SHA256";
    OSSL_PARAM              params[2];
    ngx_uint_t              i;
    ngx_completion_hmac_t  *hmac;

    for (i = 0; i < NGX_COMPLETION_HMAC_KEYS; i++) {
        hmac = &ngx_completion_hmacs[i];

        if (hmac->key == key->data && hmac->cycle == ngx_cycle) {

            /* no key stands for the one that it has */

            return EVP_MAC_init(hmac->ctx, NULL, 0, NULL) == 1 ? hmac : NULL;
        }
    }

    if (ngx_completion_hmac_md == NULL) {
        ngx_completion_hmac_md = EVP_MAC_fetch(NULL, "HMAC", NULL);
        if (ngx_completion_hmac_md == NULL) {
            return NULL;
        }
    }

    hmac = &ngx_completion_hmacs[ngx_completion_hmac_next++
                                 % NGX_COMPLETION_HMAC_KEYS];
    hmac->key = NULL;

    if (hmac->ctx == NULL) {
        hmac->ctx = EVP_MAC_CTX_new(ngx_completion_hmac_md);
        if (hmac->ctx == NULL) {
            return NULL;
        }
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
                                                 0);
    params[1] = OSSL_PARAM_construct_end();

    if (EVP_MAC_init(hmac->ctx, key->data, key->len, params) != 1) {
        return NULL;
    }

    hmac->key = key->data;
    hmac->cycle = (ngx_cycle_t *) ngx_cycle;

    return hmac;
}
