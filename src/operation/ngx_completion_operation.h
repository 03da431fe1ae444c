
/*
 * The life of an operation: submitted once, watched by whichever worker takes
 * its lease, read from shared memory by everybody else.
 *
 * A service is one provider with its zone and the keys of its ids; it is made
 * while the configuration is read and read-only afterwards.  All functions
 * but _init_ are called in workers, outside of any lock.
 */


#ifndef _NGX_COMPLETION_OPERATION_H_INCLUDED_
#define _NGX_COMPLETION_OPERATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_hash.h"
#include "../provider/ngx_completion_provider.h"
#include "../store/ngx_completion_id.h"
#include "../store/ngx_completion_zone.h"


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   index;      /* among the services */
    ngx_completion_provider_t    provider;
    ngx_completion_zone_t       *zone;
    ngx_array_t                 *id_keys;    /* of ngx_str_t */
    ngx_log_t                   *log;
} ngx_completion_service_t;


/* Waiting */

typedef struct ngx_completion_wait_s  ngx_completion_wait_t;

struct ngx_completion_wait_s {
    ngx_queue_t    queue;
    void         (*handler)(ngx_completion_wait_t *wait);
    void          *data;
    void          *group;      /* private; NULL: not waiting */
};


/*
 * Calls the handler once, from the event loop, when the operation changes or
 * the worker is to quit; the wait has then ended.  For ms at most the
 * operation is polled as one that somebody waits for; the caller has a timer
 * of its own.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_completion_wait_begin(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_msec_t ms, ngx_completion_wait_t *wait);

/* The same for the outcome of a submit that goes by a key. */
ngx_int_t ngx_completion_wait_key(ngx_completion_service_t *service,
    ngx_completion_key_t *key, ngx_completion_wait_t *wait);

void ngx_completion_wait_end(ngx_completion_wait_t *wait);


/* Credentials */

typedef struct {
    ngx_str_t     secret;      /* what upstream is to be shown; until the
                                  next call for the service */
    uint64_t      generation;  /* of it */
    ngx_msec_t    wait;        /* of NGX_AGAIN: ms until the next try to
                                  get one; 0: it is under way */
} ngx_completion_grant_t;


/*
 * NGX_OK; NGX_AGAIN: there is no token yet, _wait_grant() tells of it.
 */
ngx_int_t ngx_completion_grant(ngx_completion_service_t *service,
    ngx_completion_grant_t *grant);

/*
 * Upstream answered 401 to a secret of this generation.  NGX_OK: there is, or
 * will be, another one to repeat the request with; NGX_DECLINED: there is not.
 */
ngx_int_t ngx_completion_grant_refused(ngx_completion_service_t *service,
    uint64_t generation);

/* As _wait_begin(), for a grant. */
ngx_int_t ngx_completion_wait_grant(ngx_completion_service_t *service,
    ngx_completion_wait_t *wait);


/* Submits */

typedef struct ngx_completion_submit_s  ngx_completion_submit_t;

typedef void (*ngx_completion_submit_handler_pt)(
    ngx_completion_submit_t *submit);


/* where the operation of a submit came from */
typedef enum {
    NGX_COMPLETION_SUBMIT_SENT = 0,     /* paid for by this one */
    NGX_COMPLETION_SUBMIT_JOINED,       /* by one that was on its way */
    NGX_COMPLETION_SUBMIT_CACHED,       /* by an equal one, earlier */
    NGX_COMPLETION_SUBMIT_REPLAYED,     /* by one of the same key, earlier */
    NGX_COMPLETION_SUBMIT_UNSENT        /* refused here, upstream not asked */
} ngx_completion_submit_source_e;


typedef enum {
    NGX_COMPLETION_SUBMIT_ACCEPTED = 0,
    NGX_COMPLETION_SUBMIT_INVALID,      /* upstream says: the request */
    NGX_COMPLETION_SUBMIT_QUOTA,
    NGX_COMPLETION_SUBMIT_REJECTED,     /* our credentials, configuration */
    NGX_COMPLETION_SUBMIT_UNKNOWN,      /* it may have been accepted */
    NGX_COMPLETION_SUBMIT_UNAVAILABLE,
    NGX_COMPLETION_SUBMIT_TIMEOUT,      /* no connection in time */
    NGX_COMPLETION_SUBMIT_FULL,         /* no room in the zone */
    NGX_COMPLETION_SUBMIT_MISMATCH      /* the key is another request's */
} ngx_completion_submit_outcome_e;


struct ngx_completion_submit_s {
    ngx_pool_t                        *pool;
    ngx_completion_service_t          *service;
    ngx_completion_fetch_t            *fetch;        /* private */
    ngx_log_t                          log;

    /* to fill in before start */

    ngx_str_t                          owner;
    ngx_str_t                          key;          /* empty: none */
    ngx_completion_keys_t              keys;         /* ttls and shared */
    ngx_str_t                          body;         /* in the pool */
    ngx_uint_t                         model;        /* a hash of its name */
    u_char                             request_id[32];  /* hex digits */
    ngx_completion_submit_handler_pt   handler;
    void                              *data;

    /* to read in the handler, or when start() is done */

    ngx_completion_submit_outcome_e    outcome;
    ngx_completion_submit_source_e     source;
    ngx_completion_id_t                id;
    ngx_completion_answer_t            answer;       /* of one that was sent */
    ngx_msec_t                         retry_after;  /* ms; 0: not known */
    ngx_msec_t                         elapsed;      /* upstream's, ms */

    /* private */

    ngx_queue_t                        queue;
    ngx_event_t                        timer;
    uint64_t                           lease;
    ngx_msec_t                         deadline;
    ngx_uint_t                         tries;
    u_char                             fingerprint[NGX_COMPLETION_SHA256];
    ngx_completion_found_t             found;
    ngx_completion_wait_t              wait;         /* of one that joined,
                                                       or for a grant */
    uint64_t                           generation;   /* of the secret sent */
    unsigned                           keyed:1;
    unsigned                           promised:1;   /* a time of sending */
    unsigned                           replayed:1;   /* by its own key */
    unsigned                           refused:1;    /* with a 401, once */
};


/* With a pool of its own; NULL: no memory. */
ngx_completion_submit_t *ngx_completion_submit_create(
    ngx_completion_service_t *service);

/*
 * An idempotency key with a ttl, or a ttl of the cache, makes a submit go by
 * what is asked.  What was asked before in these very words needs no body to
 * be found: NGX_DONE, the outcome is known; NGX_DECLINED: make the body, call
 * keys() (NGX_OK) and start(); NGX_ERROR.
 */
ngx_int_t ngx_completion_submit_recall(ngx_completion_submit_t *submit,
    ngx_completion_prompt_t *prompt);
ngx_int_t ngx_completion_submit_keys(ngx_completion_submit_t *submit);

/*
 * NGX_OK: under way, the handler will be called once, from the event loop,
 * and the submit is gone when it returns.  NGX_DONE: the outcome is known
 * already; the caller destroys it.
 */
ngx_int_t ngx_completion_submit_start(ngx_completion_submit_t *submit);

/* Nobody waits for it any more; it goes on, and is recorded. */
void ngx_completion_submit_detach(ngx_completion_submit_t *submit);

/* Of one that is not under way. */
void ngx_completion_submit_destroy(ngx_completion_submit_t *submit);


/* Operations */

/*
 * What is known of an operation, its document in the pool.  NGX_OK;
 * NGX_AGAIN: upstream is being asked, wait for a change; NGX_DECLINED: there
 * is no such operation; NGX_BUSY: upstream gave no answer, view->next says
 * when it will be asked again; NGX_ABORT: the zone has no room to ask for it;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_operation_read(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/*
 * Declares the operation cancelled and asks upstream, once, to stop it.  The
 * same results; a finished operation is left as it is.
 */
ngx_int_t ngx_completion_operation_cancel(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);


/* Asks upstream to stop it, and drops what it answers. */
void ngx_completion_cancel(ngx_completion_service_t *service, ngx_str_t *id);

/*
 * Keeps what upstream said under a lease, the lease being ours, and wakes
 * whoever waits.
 */
void ngx_completion_operation_told(ngx_completion_service_t *service,
    ngx_str_t *id, uint64_t lease, ngx_completion_answer_t *answer);


/*
 * Metrics: how a submit ended; what a request to upstream brought, or that a
 * quitting worker gave it up; what an operation cost.  The names are those of
 * the counters' labels.
 */
void ngx_completion_meter_submit(ngx_completion_submit_t *submit);
void ngx_completion_meter_queued(ngx_completion_submit_t *submit,
    ngx_msec_t delay);
void ngx_completion_meter_fetch(ngx_completion_service_t *service,
    ngx_completion_metrics_request_e kind, ngx_completion_fetch_t *f,
    ngx_completion_answer_t *answer);
void ngx_completion_meter_aborted(ngx_completion_service_t *service,
    ngx_completion_metrics_request_e kind, ngx_completion_fetch_t *f);
void ngx_completion_meter_tokens(ngx_completion_service_t *service,
    ngx_completion_operation_t *operation);

extern const char
    *ngx_completion_meter_submits[NGX_COMPLETION_METRICS_SUBMITS];
extern const char *ngx_completion_meter_codes[NGX_COMPLETION_METRICS_CODES];


/* Processes */

/* In a worker: services is an array of pointers; the grants come first. */
ngx_int_t ngx_completion_grants_init(ngx_cycle_t *cycle,
    ngx_array_t *services);
void ngx_completion_grants_exit(void);

/* Whoever else needs a token that is on its way here may ask for it. */
void ngx_completion_grants_yield(void);

ngx_int_t ngx_completion_watcher_init(ngx_cycle_t *cycle,
    ngx_array_t *services);
void ngx_completion_watcher_exit(void);

/* The schedule or an operation changed here: look at it, wake the others. */
void ngx_completion_watcher_kick(ngx_completion_service_t *service);
void ngx_completion_watcher_changed(ngx_completion_service_t *service);

/*
 * A result that the zone has no room for is spared in this worker for those
 * in it who wait, a few seconds; one per service.  _spare(): NGX_OK with the
 * document in the pool, or NGX_DECLINED.
 */
void ngx_completion_watcher_spare_set(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_completion_update_t *update);
ngx_int_t ngx_completion_watcher_spare(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/* Between the units of submits: what the zone found becomes the outcome. */
ngx_int_t ngx_completion_submit_found(ngx_completion_submit_t *submit);

/*
 * The worker is to quit: what is to be sent later than it may stay is not
 * sent.  Cut: nothing is, once ngx_completion_fetch_close() was called.
 */
void ngx_completion_submits_quit(void);
void ngx_completion_submits_cut(void);
void ngx_completion_submits_exit(void);


#endif /* _NGX_COMPLETION_OPERATION_H_INCLUDED_ */
