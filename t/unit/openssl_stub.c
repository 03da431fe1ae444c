
/*
 * OpenSSL as it is, but for a call that is to fail: each of ours counts as an
 * allocation does.  The linker leads them here (--wrap).
 */


#include "ngx_shim.h"

#include <openssl/evp.h>


#define shim_openssl(type, name, params, args)                                \
                                                                              \
type __real_##name params;                                                    \
type __wrap_##name params;                                                    \
                                                                              \
type                                                                          \
__wrap_##name params                                                          \
{                                                                             \
    return (++shim_allocations == shim_fail_at) ? 0 : __real_##name args;     \
}


shim_openssl(BIO *, BIO_new_mem_buf, (const void *buf, int len), (buf, len))

shim_openssl(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX *lib, const char *name,
    const char *properties), (lib, name, properties))

shim_openssl(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())

shim_openssl(int, EVP_DigestInit_ex, (EVP_MD_CTX *ctx, const EVP_MD *md,
    ENGINE *engine), (ctx, md, engine))

shim_openssl(int, EVP_DigestUpdate, (EVP_MD_CTX *ctx, const void *data,
    size_t len), (ctx, data, len))

shim_openssl(int, EVP_DigestFinal_ex, (EVP_MD_CTX *ctx, unsigned char *md,
    unsigned int *len), (ctx, md, len))

shim_openssl(EVP_MAC *, EVP_MAC_fetch, (OSSL_LIB_CTX *lib, const char *name,
    const char *properties), (lib, name, properties))

shim_openssl(EVP_MAC_CTX *, EVP_MAC_CTX_new, (EVP_MAC *mac), (mac))

shim_openssl(int, EVP_MAC_init, (EVP_MAC_CTX *ctx, const unsigned char *key,
    size_t len, const OSSL_PARAM params[]), (ctx, key, len, params))

shim_openssl(int, EVP_MAC_update, (EVP_MAC_CTX *ctx,
    const unsigned char *data, size_t len), (ctx, data, len))

shim_openssl(int, EVP_MAC_final, (EVP_MAC_CTX *ctx, unsigned char *md,
    size_t *len, size_t size), (ctx, md, len, size))

shim_openssl(int, EVP_DigestSignInit, (EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx,
    const EVP_MD *md, ENGINE *engine, EVP_PKEY *pkey),
    (ctx, pctx, md, engine, pkey))

shim_openssl(int, EVP_DigestSign, (EVP_MD_CTX *ctx, unsigned char *signature,
    size_t *len, const unsigned char *text, size_t size),
    (ctx, signature, len, text, size))
