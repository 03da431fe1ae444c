
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "ngx_completion_hash.h"


static ngx_int_t ngx_completion_sha256_begin(void);
static EVP_MAC_CTX *ngx_completion_hmac_create(void);


static EVP_MD       *ngx_completion_sha256_md;
static EVP_MD_CTX   *ngx_completion_sha256_ctx;
static EVP_MAC_CTX  *ngx_completion_hmac_ctx;

/* whose key the context holds: keys are the configuration's, and stay */
static ngx_cycle_t  *ngx_completion_hmac_cycle;
static u_char       *ngx_completion_hmac_key;


ngx_int_t
ngx_completion_sha256(u_char *data, size_t len, u_char *md)
{
    if (ngx_completion_sha256_begin() != NGX_OK
        || EVP_DigestUpdate(ngx_completion_sha256_ctx, data, len) != 1
        || EVP_DigestFinal_ex(ngx_completion_sha256_ctx, md, NULL) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_sha256_parts(ngx_str_t *parts, ngx_uint_t n, u_char *md)
{
    uint32_t    len;
    ngx_uint_t  i;

    if (ngx_completion_sha256_begin() != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        len = htonl((uint32_t) parts[i].len);

        if (EVP_DigestUpdate(ngx_completion_sha256_ctx, &len, sizeof(len))
            != 1
            || EVP_DigestUpdate(ngx_completion_sha256_ctx, parts[i].data,
                                parts[i].len)
               != 1)
        {
            return NGX_ERROR;
        }
    }

    if (EVP_DigestFinal_ex(ngx_completion_sha256_ctx, md, NULL) != 1) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
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
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_hmac(ngx_str_t *key, u_char *data, size_t len, u_char *md)
{
    size_t       n;
    ngx_uint_t   keyed;

    if (ngx_completion_hmac_ctx == NULL) {
        ngx_completion_hmac_ctx = ngx_completion_hmac_create();
    }

    /* no key stands for the last one, whose two blocks are then hashed */

    keyed = (key->data == ngx_completion_hmac_key
             && ngx_cycle == ngx_completion_hmac_cycle);

    ngx_completion_hmac_key = NULL;

    if (ngx_completion_hmac_ctx == NULL
        || EVP_MAC_init(ngx_completion_hmac_ctx, keyed ? NULL : key->data,
                        keyed ? 0 : key->len, NULL)
           != 1
        || EVP_MAC_update(ngx_completion_hmac_ctx, data, len) != 1
        || EVP_MAC_final(ngx_completion_hmac_ctx, md, &n,
                         NGX_COMPLETION_SHA256)
           != 1)
    {
        return NGX_ERROR;
    }

    ngx_completion_hmac_key = key->data;
    ngx_completion_hmac_cycle = (ngx_cycle_t *) ngx_cycle;

    return NGX_OK;
}


static EVP_MAC_CTX *
ngx_completion_hmac_create(void)
{
    char          digest[] = "SHA256";
    EVP_MAC      *mac;
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (mac == NULL) {
        return NULL;
    }

    ctx = EVP_MAC_CTX_new(mac);

    EVP_MAC_free(mac);

    if (ctx == NULL) {
        return NULL;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                 digest, 0);
    params[1] = OSSL_PARAM_construct_end();

    if (EVP_MAC_CTX_set_params(ctx, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }

    return ctx;
}
