
/*
 * What makes the same request cost once: records that lead from the digest of
 * an idempotency key, or of a whole request, to the submit on its way or to
 * the operation that came of it.  Digests only; the keys of clients are not
 * kept.
 *
 * A record takes as much as an operation's, so that either can make room for
 * the other.  One of an idempotency key with a submit of its own is never
 * evicted while it lives; one of the cache goes when room is needed.
 *
 * An idempotency key that came to what another request pays for, by the
 * cache, is a follower: it costs nothing, so it displaces nothing.  Followers
 * take room that nothing else has taken, a quarter of the zone at most, and
 * are the first to go; for a new one only other followers go, its owner's
 * oldest before anybody else's.
 */


#ifndef _NGX_COMPLETION_KEY_H_INCLUDED_
#define _NGX_COMPLETION_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_id.h"


#define NGX_COMPLETION_KEY_DIGEST  16


typedef struct {
    u_char           name[NGX_COMPLETION_KEY_DIGEST];
    u_char           request[NGX_COMPLETION_KEY_DIGEST];
    time_t           ttl;              /* seconds; 0: not asked for */
} ngx_completion_key_t;


/* What a submit goes by: either, both or none. */
typedef struct {
    ngx_completion_key_t     idempotency;
    ngx_completion_key_t     cache;
    uint32_t                 owner;      /* a hash of whose key it is */
    unsigned                 shared:1;   /* the cache is for all owners */
} ngx_completion_keys_t;


typedef enum {
    NGX_COMPLETION_KEY_NONE = 0,   /* nothing known: submit */
    NGX_COMPLETION_KEY_UNDERWAY,   /* a submit is: join it */
    NGX_COMPLETION_KEY_ACCEPTED,   /* an operation came of it */
    NGX_COMPLETION_KEY_REFUSED,    /* for those who joined: their fate */
    NGX_COMPLETION_KEY_UNKNOWN,    /* it may have been accepted */
    NGX_COMPLETION_KEY_MISMATCH    /* the key was used for another request */
} ngx_completion_key_state_e;


/* What the records say. */
typedef struct {
    ngx_completion_key_state_e  state;
    unsigned                    replayed:1;   /* by the idempotency key */
    uint64_t                    lease;        /* of the submit joined */
    ngx_uint_t                  outcome;      /* of a refusal, opaque */
    ngx_msec_t                  retry_after;  /* of a refusal, ms */
    ngx_completion_id_t         id;           /* in the buffer below */
    u_char                      buf[NGX_COMPLETION_ID_UPSTREAM];
} ngx_completion_found_t;


/* What a key's changes are known by, see ngx_completion_zone_changes(). */
uint32_t ngx_completion_key_hash(u_char *name);


#endif /* _NGX_COMPLETION_KEY_H_INCLUDED_ */
