
/*
 * Ids as capabilities.  What a client holds is
 *
 *     <upstream id> <kind: 1> <submitted: 8 hex digits> <tag: 24>
 *
 * where the tag is an HMAC-SHA-256, cut to 18 bytes and spelled in base64url,
 * over the provider's name, the owner and all that stands before the tag.
 * Whoever holds the key can verify it; no table is needed.
 *
 * Keys are made while the configuration is read; sign and verify may be
 * called anywhere, allocate in the pool given and keep nothing.
 */


#ifndef _NGX_COMPLETION_ID_H_INCLUDED_
#define _NGX_COMPLETION_ID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_ID_KEY_MIN     32
#define NGX_COMPLETION_ID_UPSTREAM    64      /* of an upstream id, at most */
#define NGX_COMPLETION_ID_TAIL        (1 + 8 + 24)
#define NGX_COMPLETION_ID_MAX                                                 \
    (NGX_COMPLETION_ID_UPSTREAM + NGX_COMPLETION_ID_TAIL)

/* how far clocks may be apart */
#define NGX_COMPLETION_ID_SKEW        60


typedef struct {
    ngx_str_t    upstream;
    time_t       submitted;        /* seconds */
    unsigned     shared:1;         /* given out under a shared cache */
} ngx_completion_id_t;


/* NGX_OK, or NGX_DECLINED: not 1 to 64 characters of [A-Za-z0-9_-]. */
ngx_int_t ngx_completion_id_check(ngx_str_t *upstream);

/* The first key signs.  NGX_OK with *capability in the pool, or NGX_ERROR. */
ngx_int_t ngx_completion_id_sign(ngx_pool_t *pool, ngx_array_t *keys,
    ngx_str_t *provider, ngx_str_t *owner, ngx_completion_id_t *id,
    ngx_str_t *capability);

/*
 * NGX_OK with *id, whose string points into the capability; NGX_DECLINED:
 * malformed, forged, foreign or expired; NGX_ERROR: no memory.  lifetime: how
 * long upstream keeps a result, seconds.
 */
ngx_int_t ngx_completion_id_verify(ngx_pool_t *pool, ngx_array_t *keys,
    ngx_str_t *provider, ngx_str_t *owner, ngx_str_t *capability,
    time_t lifetime, ngx_completion_id_t *id);


#endif /* _NGX_COMPLETION_ID_H_INCLUDED_ */
