
/*
 * A submit: from what a client asks to an operation, paid for once, or to the
 * reason why there is none.
 */


#ifndef _NGX_COMPLETION_SUBMIT_H_INCLUDED_
#define _NGX_COMPLETION_SUBMIT_H_INCLUDED_


#include "ngx_completion_call.h"


/* What is asked; nothing of it is kept but what the submit copies. */
typedef struct {
    ngx_pool_t                        *pool;         /* for what is not kept
                                                        either */
    ngx_completion_prompt_t            prompt;
    ngx_str_t                          owner;
    ngx_str_t                          key;          /* Idempotency-Key, or
                                                        empty */
    time_t                             idempotency;  /* seconds a key holds */
    time_t                             cache;        /* seconds; 0: off */
    unsigned                           shared:1;     /* the cache: by all */
    time_t                             orphan;       /* seconds that one lives;
                                                        0: none is left */
    unsigned                           repeated:1;   /* as its client says */
    unsigned                           part:1;       /* of a text: its orphans
                                                        need no owner */
    ngx_str_t                          request;      /* what an idempotency key
                                                        stands for; empty: its
                                                        own digest */
    size_t                             held;         /* bytes of it that the
                                                        client's request holds
                                                        while it waits */
    ngx_log_t                         *log;          /* of who asks; NULL: the
                                                        service's */

    ngx_str_t                          reason;       /* out: what is wrong */
} ngx_completion_ask_t;


typedef struct ngx_completion_submit_s  ngx_completion_submit_t;

/* Who waits for a submit, until it is detached. */
typedef struct {
    void                             (*handler)(
                                           ngx_completion_submit_t *submit);

    /* Its id, 32 hex digits, once it is to be sent: NGX_OK or NGX_ERROR. */
    ngx_int_t                        (*request_id)(void *data, u_char *id);

    /* The prompt once more, in the ask's pool; the same results. */
    ngx_int_t                        (*prompt)(void *data,
                                           ngx_completion_ask_t *ask);
} ngx_completion_client_t;


/* The map of them is in the .c file. */
typedef enum {
    NGX_COMPLETION_SUBMIT_IS_KNOWN = 0,
    NGX_COMPLETION_SUBMIT_IS_JOINED,
    NGX_COMPLETION_SUBMIT_IN_CLAIM,
    NGX_COMPLETION_SUBMIT_IN_QUOTA,
    NGX_COMPLETION_SUBMIT_IN_SENDING,
    NGX_COMPLETION_SUBMIT_IN_CALL,
    NGX_COMPLETION_SUBMIT_IN_PAUSE,
    NGX_COMPLETION_SUBMIT_HAS_ENDED
} ngx_completion_submit_state_e;


struct ngx_completion_submit_s {
    ngx_completion_call_t              call;         /* of one that was sent */
    const ngx_completion_client_t     *client;       /* NULL: it has left */
    void                              *data;

    /* to read once it has ended */

    ngx_completion_outcome_e           outcome;      /* OK: accepted */
    ngx_completion_source_e            source;       /* ZONE: not sent */
    ngx_completion_id_t                id;
    ngx_completion_found_t             found;        /* by its keys */
    ngx_uint_t                         learned;      /* its id, of another
                                                        node's submit */
    ngx_msec_t                         retry_after;  /* ms; 0: not known */
    ngx_msec_t                         queued;       /* ms in the line */

    /* private */

    ngx_queue_t                        queue;
    ngx_completion_submit_state_e      state;
    ngx_completion_keys_t              keys;
    ngx_log_t                         *log;          /* tells of a failure */
    ngx_uint_t                         model;        /* a hash of its name */
    size_t                             held;         /* by its client */
    unsigned                           unwanted:1;   /* cancelled once it is
                                                        accepted */
    size_t                             counted;      /* bytes, of the
                                                        worker's */
    u_char                             request_id[32];
    ngx_completion_claim_t             claim;        /* among all nodes */
    ngx_msec_t                         pause;        /* until it is looked at
                                                        again; 0: it was not */
    uint64_t                           lease;        /* 0: none yet */
    ngx_completion_wait_t              wait;         /* of one that joined, or
                                                        stands in line */
    ngx_msec_t                         since;        /* it stands there */
    ngx_msec_t                         due;          /* its start, as far as
                                                        can be told */
    ngx_msec_t                         until;        /* to wait at most,
                                                        unless it was sent */
    ngx_event_t                        timer;
};


/*
 * NGX_OK: under way, the handler will be called once, from the event loop, and
 * the submit is gone when it returns.  NGX_DONE: it has ended already, and the
 * caller destroys it.  NGX_DECLINED: the request is at fault, ask->reason says
 * how; NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_submit_start(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, const ngx_completion_client_t *client,
    void *data, ngx_completion_submit_t **submit);

/* Nobody waits for it any more; it goes on, and is recorded. */
void ngx_completion_submit_detach(ngx_completion_submit_t *submit);

/*
 * The same, and if it was not sent it ends, as if it had never been there.
 * What was sent goes on; if it is unwanted it is forgotten once it is accepted.
 */
void ngx_completion_submit_drop(ngx_completion_submit_t *submit,
    ngx_uint_t unwanted);

/*
 * What came of one is cancelled, and neither its key nor an equal request
 * leads to it any more.
 */
void ngx_completion_submit_forget(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_completion_keys_t *keys,
    ngx_completion_hold_t *hold);

/* Of one that is not under way. */
void ngx_completion_submit_destroy(ngx_completion_submit_t *submit);


/* What its client holds, until it has its answer or leaves. */
void ngx_completion_submit_hold(ngx_completion_submit_t *submit,
    ngx_completion_hold_t *hold);


/* By what the request may be found to be paid for already: the body is it. */
ngx_int_t ngx_completion_submit_keys(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, ngx_str_t *body, ngx_completion_keys_t *keys);


/* what one that waits holds beside texts, at least */
#define NGX_COMPLETION_SUBMIT_SIZE  NGX_COMPLETION_CALL_SUBMIT_POOL

/* Whether the worker may hold it as well, with so much of a text. */
ngx_uint_t ngx_completion_submit_fits(ngx_completion_submit_t *submit,
    size_t text);

/* What it holds counts from now on, or does not. */
void ngx_completion_submit_count(ngx_completion_submit_t *submit,
    ngx_uint_t waits);

/* It is to be sent: with a copy of its body, and under its client's id. */
ngx_int_t ngx_completion_submit_keep(ngx_completion_submit_t *submit);

/* One line for each request that fails, whatever was tried for it. */
void ngx_completion_submit_report(ngx_completion_submit_t *submit);


/*
 * A try that request_timeout cuts short may be paid for and never heard of:
 * none begins right before the deadline.
 */
void ngx_completion_submit_deadline(ngx_completion_submit_t *submit,
    ngx_msec_t deadline);

/* No later than request_timeout from now. */
void ngx_completion_submit_hurry(ngx_completion_submit_t *submit);

/* ms that it may wait for a start. */
ngx_msec_int_t ngx_completion_submit_left(ngx_completion_submit_t *submit);


/*
 * The worker is to quit: what is to be sent later than it may stay is not
 * sent.  Cut: nothing is, once ngx_completion_fetch_close() was called.
 */
void ngx_completion_submits_quit(ngx_uint_t cut);
void ngx_completion_submits_exit(void);

/* Whether any is under way in this worker. */
ngx_uint_t ngx_completion_submits_any(void);


#endif /* _NGX_COMPLETION_SUBMIT_H_INCLUDED_ */
