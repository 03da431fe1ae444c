
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "ngx_completion_hash.h"


static EVP_MD_CTX *ngx_completion_sha256_begin(void);


static EVP_MD       *ngx_completion_sha256_md;
static EVP_MD_CTX   *ngx_completion_sha256_ctx;
static EVP_MAC_CTX  *ngx_completion_hmac_ctx;

/* whose key the context holds: keys are the configuration's, and stay */
static ngx_cycle_t  *ngx_completion_hmac_cycle;
static u_char       *ngx_completion_hmac_key;


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
ngx_completion_hmac(ngx_str_t *key, u_char *data, size_t len, u_char *md)
{
    int           rc;
    char          digest[] = "SHA256";
    size_t        n;
    EVP_MAC      *mac;
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    ctx = ngx_completion_hmac_ctx;

    if (ctx == NULL) {
        mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        if (mac == NULL) {
            return NGX_ERROR;
        }

        ctx = EVP_MAC_CTX_new(mac);
        EVP_MAC_free(mac);

        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ngx_completion_hmac_ctx = ctx;
    }

    /* no key stands for the last one, whose two blocks are then hashed */

    if (key->data == ngx_completion_hmac_key
        && ngx_cycle == ngx_completion_hmac_cycle)
    {
        rc = EVP_MAC_init(ctx, NULL, 0, NULL);

    } else {
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                     digest, 0);
        params[1] = OSSL_PARAM_construct_end();

        rc = EVP_MAC_init(ctx, key->data, key->len, params);
    }

    ngx_completion_hmac_key = NULL;

    if (rc != 1
        || EVP_MAC_update(ctx, data, len) != 1
        || EVP_MAC_final(ctx, md, &n, NGX_COMPLETION_SHA256) != 1)
    {
        return NGX_ERROR;
    }

    ngx_completion_hmac_key = key->data;
    ngx_completion_hmac_cycle = (ngx_cycle_t *) ngx_cycle;

    return NGX_OK;
}
