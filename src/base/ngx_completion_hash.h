
/*
 * SHA-256 and HMAC-SHA-256 by OpenSSL's own functions of that name, which
 * neither look an algorithm up nor allocate, as EVP does on every call.
 * To be called in workers; no memory of the caller is kept.
 */


#ifndef _NGX_COMPLETION_HASH_H_INCLUDED_
#define _NGX_COMPLETION_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_SHA256  32      /* bytes of either result */


/*
 * NGX_OK, or NGX_ERROR: OpenSSL fails.  An HMAC's key is known by its
 * address: it must not change before the cycle does.
 */
ngx_int_t ngx_completion_sha256(u_char *data, size_t len, u_char *md);

/* Of parts, each behind its length in four bytes, the highest first. */
ngx_int_t ngx_completion_sha256_parts(ngx_str_t *parts, ngx_uint_t n,
    u_char *md);

/*
 * Of the same under a key, behind a byte that tells one use of the key from
 * the others.
 */
ngx_int_t ngx_completion_hmac(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, u_char *md);

/*
 * The same of parts the first of which is a name: no secret, as its beginning
 * is remembered, and soon to come again, which then costs a block less.
 */
ngx_int_t ngx_completion_hmac_named(ngx_str_t *key, u_char use,
    ngx_str_t *parts, ngx_uint_t n, u_char *md);


#endif /* _NGX_COMPLETION_HASH_H_INCLUDED_ */
