
/*
 * Claims: what a submit goes by, its key and the digest of what it asks, is
 * claimed among all nodes before it is sent.
 *
 *     queued ---> sending ---> accepted, unknown, or gone
 *       ^            |             |
 *       '------------'             '--> ended, or gone: of the cache
 *
 * A claim that is queued is anybody's when its time is over; one that is being
 * sent is nobody's ever: if its holder does not tell how that ended, nobody
 * knows.  What stands on the server is sealed, and says a token, digests and
 * an id of upstream's, and how old it is by the server's own clock.
 */


#ifndef _NGX_COMPLETION_CLAIMS_H_INCLUDED_
#define _NGX_COMPLETION_CLAIMS_H_INCLUDED_


#include "ngx_completion_errands.h"


/* a claim's names: of the key, and of the digest */
#define NGX_COMPLETION_CLAIM_NAMES  2

#define NGX_COMPLETION_CLAIM_TOKEN  32


typedef struct ngx_completion_claims_s  ngx_completion_claims_t;
typedef struct ngx_completion_claim_s   ngx_completion_claim_t;


typedef enum {
    NGX_COMPLETION_CLAIM_NONE = 0,     /* nothing is claimed */
    NGX_COMPLETION_CLAIM_HELD,
    NGX_COMPLETION_CLAIM_LOST,         /* not held any more */

    /* from here on: what stands in the way of sending it */

    NGX_COMPLETION_CLAIM_UNDERWAY,     /* by another node */
    NGX_COMPLETION_CLAIM_ACCEPTED,     /* under the id below */
    NGX_COMPLETION_CLAIM_UNKNOWN,
    NGX_COMPLETION_CLAIM_CONFLICT,     /* the key is of another request */
    NGX_COMPLETION_CLAIM_AWAY          /* there is no answer, and nothing is to
                                          be sent without one */
} ngx_completion_claim_e;


/* A submit's; zeroed, and with what it is of, before it is started. */
struct ngx_completion_claim_s {
    ngx_completion_claims_t       *claims;   /* NULL: there is no server */
    ngx_completion_keys_t         *keys;
    ngx_pool_t                    *pool;     /* it lives as long as that */
    ngx_msec_t                     queue;    /* to wait in line, at most */
    ngx_msec_t                     sending;  /* to be sent, at most */
    void                         (*handler)(ngx_completion_claim_t *claim);

    ngx_completion_claim_e         state;
    unsigned                       replayed:1;  /* by the key */
    ngx_completion_id_t            id;       /* in the buffer below */
    u_char                         buf[NGX_COMPLETION_ID_UPSTREAM];

    /* private */

    ngx_completion_redis_call_t    call;
    ngx_uint_t                     n;
    ngx_completion_key_t          *names[NGX_COMPLETION_CLAIM_NAMES];
    ngx_str_t                      keynames[NGX_COMPLETION_CLAIM_NAMES];
    ngx_str_t                      absent[NGX_COMPLETION_CLAIM_NAMES];
    ngx_uint_t                     told;     /* which of them told that */
    ngx_str_t                      sealed;   /* as it stands there */
    ngx_uint_t                     tries;
    u_char                         token[NGX_COMPLETION_CLAIM_TOKEN];
    unsigned                       sends:1;  /* asked to be */
};


/*
 * A worker's; NULL: no memory.  For so many ms the end of an operation is
 * waited for.
 */
ngx_completion_claims_t *ngx_completion_claims_create(
    ngx_completion_redis_t *redis, ngx_completion_errands_t *errands,
    ngx_msec_t deadline, ngx_log_t *log);

/*
 * All names are claimed, or what stands under one is told.  NGX_OK: the state
 * is known at once; NGX_AGAIN: when the handler is called.  Once more after
 * UNDERWAY or LOST.
 */
ngx_int_t ngx_completion_claim_start(ngx_completion_claim_t *claim);

/* What it was told counts as none: it is to be started once more. */
void ngx_completion_claim_forget(ngx_completion_claim_t *claim);

/* From now on nobody else may send it: as above; HELD, NONE, LOST or AWAY. */
ngx_int_t ngx_completion_claim_send(ngx_completion_claim_t *claim);

/* It is not sent yet, and waits. */
void ngx_completion_claim_wait(ngx_completion_claim_t *claim);

/*
 * How it ended: OK with its id, OUTCOME_UNKNOWN, or anything else: it may be
 * claimed anew.  If the server is away it is told at its return.
 */
void ngx_completion_claim_end(ngx_completion_claim_t *claim,
    ngx_completion_outcome_e outcome, ngx_completion_id_t *id);

/*
 * The operation that these keys led to, under this id, has ended: its claim of
 * the cache stands for its time from now on; or it is shared no more, and all
 * of them go.
 */
void ngx_completion_claims_ended(ngx_completion_claims_t *claims,
    ngx_completion_keys_t *keys, ngx_str_t *id, ngx_uint_t shared);

/* Nobody waits for an answer any more. */
void ngx_completion_claim_cancel(ngx_completion_claim_t *claim);


#endif /* _NGX_COMPLETION_CLAIMS_H_INCLUDED_ */
