
/*
 * Ids as capabilities.  What a client holds is
 *
 *     <upstream id> <kind: 1> <submitted: 8 hex digits> <tag: 24>
 *
 * where the kind is "s" of one given out under a shared cache, and "p" of any
 * other; that of a text in parts begins with all of their ids in order,
 *
 *     <upstream id> <joint: 1 or 2> <upstream id> <joint> ... <kind> ...
 *
 * of the kinds "d", where one of them is shared, and "c".  The tag is an
 * HMAC-SHA-256, cut to 18 bytes and spelled in base64url, over the provider's
 * name, the owner and all that stands before the tag.  Whoever holds the key
 * can verify it; no table is needed.  Of several keys the first signs, all
 * verify, and the last is that of digests.
 *
 * Keys are made while the configuration is read; sign and verify may be
 * called anywhere, allocate in the pool given and keep nothing.
 */


#ifndef _NGX_COMPLETION_ID_H_INCLUDED_
#define _NGX_COMPLETION_ID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_model.h"


#define NGX_COMPLETION_ID_KEY_MIN     32
#define NGX_COMPLETION_ID_TAG         24
#define NGX_COMPLETION_ID_TAIL        (1 + 8 + NGX_COMPLETION_ID_TAG)
#define NGX_COMPLETION_ID_MAX                                                 \
    (NGX_COMPLETION_ID_UPSTREAM + NGX_COMPLETION_ID_TAIL)

/* the same of a text in parts */
#define NGX_COMPLETION_ID_WHOLE_MAX   3500
#define NGX_COMPLETION_ID_JOINT       2


typedef struct {
    ngx_str_t    upstream;         /* or several, each with its joint */
    time_t       submitted;        /* seconds */
    unsigned     shared:1;         /* given out under a shared cache */
} ngx_completion_id_t;


/*
 * The one check of an upstream id: NGX_OK, or NGX_DECLINED: not 1 to 64
 * characters of [A-Za-z0-9_-].
 */
ngx_int_t ngx_completion_id_check(ngx_str_t *upstream);

/*
 * Those of a text in parts: whether there are several, each with its joint;
 * one more of them, written; and the next one, the rest moving on: NGX_OK,
 * NGX_DONE: none is left, or NGX_DECLINED: it is none.
 */
ngx_uint_t ngx_completion_id_is_whole(ngx_str_t *upstream);
u_char *ngx_completion_id_add(u_char *p, ngx_str_t *upstream,
    ngx_completion_joint_e joint);
ngx_int_t ngx_completion_id_next(ngx_str_t *rest, ngx_str_t *upstream,
    ngx_completion_joint_e *joint);

/*
 * The first key signs.  NGX_OK with *capability in the pool; NGX_DECLINED: of
 * too many parts; NGX_ERROR.
 */
ngx_int_t ngx_completion_id_sign(ngx_pool_t *pool, ngx_array_t *keys,
    ngx_str_t *provider, ngx_str_t *owner, ngx_completion_id_t *id,
    ngx_str_t *capability);

/*
 * lifetime: how long upstream keeps a result, seconds.  NGX_OK with *id, whose
 * string points into the capability; NGX_DECLINED: malformed, forged, foreign
 * or expired; NGX_ERROR: OpenSSL fails.
 */
ngx_int_t ngx_completion_id_verify(ngx_array_t *keys, ngx_str_t *provider,
    ngx_str_t *owner, time_t lifetime, ngx_str_t *capability,
    ngx_completion_id_t *id);

/*
 * A digest of what clients choose, by which the zone finds it: nobody without
 * the last key can tell where that is, nor see through it.  It is no id's tag.
 * NGX_OK with NGX_COMPLETION_SHA256 bytes, or NGX_ERROR: OpenSSL fails.
 */
ngx_int_t ngx_completion_id_digest(ngx_array_t *keys, ngx_str_t *parts,
    ngx_uint_t n, u_char *md);

/*
 * A tag, for what is kept where others may write, over the name that it is
 * kept by and the value: by the first key, as of ids, so that a roll of the
 * keys leaves it readable.  NGX_OK with NGX_COMPLETION_ID_TAG characters of
 * base64url, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_id_seal(ngx_array_t *keys, ngx_str_t *name,
    ngx_str_t *value, u_char *tag);

/* NGX_OK: it is one of these keys'; NGX_DECLINED; NGX_ERROR: no memory. */
ngx_int_t ngx_completion_id_sealed(ngx_array_t *keys, ngx_str_t *name,
    ngx_str_t *value, u_char *tag);


#endif /* _NGX_COMPLETION_ID_H_INCLUDED_ */
