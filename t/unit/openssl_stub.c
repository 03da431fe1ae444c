
/*
 * OpenSSL as it is, but for a call that is to fail: each of ours counts as an
 * allocation does.  The linker leads them here (--wrap).
 */


#include "ngx_shim.h"

#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif

#include <openssl/evp.h>
#include <openssl/sha.h>


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

shim_openssl(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())

shim_openssl(int, SHA256_Init, (SHA256_CTX *ctx), (ctx))

shim_openssl(int, SHA256_Update, (SHA256_CTX *ctx, const void *data,
    size_t len), (ctx, data, len))

shim_openssl(int, SHA256_Final, (unsigned char *md, SHA256_CTX *ctx),
    (md, ctx))

shim_openssl(int, EVP_DigestSignInit, (EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx,
    const EVP_MD *md, ENGINE *engine, EVP_PKEY *pkey),
    (ctx, pctx, md, engine, pkey))

shim_openssl(int, EVP_DigestSign, (EVP_MD_CTX *ctx, unsigned char *signature,
    size_t *len, const unsigned char *text, size_t size),
    (ctx, signature, len, text, size))
