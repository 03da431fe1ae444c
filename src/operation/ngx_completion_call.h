
/*
 * A call: one request to upstream with a credential, be it a submit, a poll
 * or a cancel.  It belongs to whoever has it at the head of a structure of its
 * own, and is under way from a successful start() until its handler is called
 * or it is given up.
 */


#ifndef _NGX_COMPLETION_CALL_H_INCLUDED_
#define _NGX_COMPLETION_CALL_H_INCLUDED_


#include "ngx_completion_news.h"


#define NGX_COMPLETION_CALL_SUBMIT_POOL  4096


typedef struct ngx_completion_call_s  ngx_completion_call_t;


/* The map of them is in the .c file. */
typedef enum {
    NGX_COMPLETION_CALL_IDLE = 0,
    NGX_COMPLETION_CALL_CREDENTIAL,
    NGX_COMPLETION_CALL_TURN,
    NGX_COMPLETION_CALL_LINE,
    NGX_COMPLETION_CALL_SENT,
    NGX_COMPLETION_CALL_DONE
} ngx_completion_call_state_e;


struct ngx_completion_call_s {
    ngx_completion_service_t         *service;
    ngx_completion_kind_e             kind;
    ngx_str_t                         id;        /* of a poll or a cancel */
    ngx_pool_t                       *pool;
    ngx_log_t                         log;

    /* to fill in before start */

    ngx_str_t                         body;      /* of a submit */
    u_char                           *request_id;  /* 32 hex digits */
    ngx_msec_t                        deadline;  /* of all of it; unless
                                                    set, request_timeout */
    ngx_msec_t                        latest;    /* beginning of a try */

    ngx_int_t                       (*fence)(ngx_completion_call_t *call);
                                                 /* NGX_OK; NGX_AGAIN: not
                                                    now; or NGX_DECLINED */
    void                            (*handler)(ngx_completion_call_t *call);

    unsigned                          paced:1;   /* each try needs a place in
                                                    a quota: see _CALL_TURN */
    unsigned                          hold:1;    /* a quitting worker waits */

    /* to read in the handler */

    ngx_completion_call_state_e       state;
    unsigned                          failed:1;  /* before it was sent: no
                                                    credential, no memory */
    ngx_completion_answer_t           answer;
    ngx_msec_t                        retry_after;  /* of a failed one, ms;
                                                       0: not known */
    ngx_msec_t                        elapsed;   /* upstream's, of all tries */
    ngx_uint_t                        tries;     /* transfers begun */

    /* private */

    unsigned                          refused:1; /* with a 401, once */
    unsigned                          early:1;   /* the fence said not now */
    uint64_t                          generation;  /* of the secret sent */
    ngx_completion_fetch_t           *fetch;
    ngx_completion_wait_t             wait;
    ngx_event_t                       timer;
};


/*
 * A zeroed structure of so many bytes that begins with a call, in the call's
 * pool, with which it goes; NULL: no memory.  The id is copied.
 */
void *ngx_completion_call_create(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_str_t *id, size_t size);

/*
 * NGX_OK: under way, the handler is called from the event loop; NGX_ERROR: it
 * has failed, upstream being UNAVAILABLE.  The handler finds it DONE, or,
 * of a paced one, in TURN: there is a credential after a wait, or another one
 * after a 401, or the fence said not now, so that start() may be called once
 * more, or not.
 */
ngx_int_t ngx_completion_call_start(ngx_completion_call_t *call);

/* Ms until a try may still begin. */
ngx_msec_int_t ngx_completion_call_left(ngx_completion_call_t *call);

/*
 * A line of why it failed, once it is DONE.  To another log than the call's:
 * it says there what the call's says by itself.
 */
void ngx_completion_call_report(ngx_completion_call_t *call, ngx_uint_t level,
    ngx_log_t *log);

/* At any time: it is DONE, and its handler is not called. */
void ngx_completion_call_abort(ngx_completion_call_t *call);


#endif /* _NGX_COMPLETION_CALL_H_INCLUDED_ */
