
/*
 * Errands of a node, as a worker does them: one call each of the server, which
 * is done with the answer, whatever that is.  Those that are kept in the zone
 * go ahead of all else when the server is reached, and those that a worker
 * leaves undone are anybody's.
 */


#ifndef _NGX_COMPLETION_ERRANDS_H_INCLUDED_
#define _NGX_COMPLETION_ERRANDS_H_INCLUDED_


#include "ngx_completion_redis.h"


typedef struct ngx_completion_errands_s  ngx_completion_errands_t;


/* an errand's first byte: what it is */
#define NGX_COMPLETION_ERRAND_CLAIM  0     /* how a claim ended */
#define NGX_COMPLETION_ERRAND_TELL   1     /* a mark */
#define NGX_COMPLETION_ERRAND_ASK    2     /* for one */
#define NGX_COMPLETION_ERRANDS       3


/* How one of them is done. */
typedef struct {

    /* calls the server, as _redis_call() */
    ngx_int_t                        (*call)(void *data,
                                         ngx_completion_errand_t *errand,
                                         ngx_completion_redis_call_t *call);

    /* there is an answer, or for now there is none: NULL; may be NULL */
    void                             (*answered)(void *data,
                                         ngx_completion_errand_t *errand,
                                         ngx_completion_reply_t *reply);

    ngx_completion_metrics_redis_call_e  kind;
} ngx_completion_errand_kind_t;


/* A worker's; NULL: no memory. */
ngx_completion_errands_t *ngx_completion_errands_create(
    ngx_completion_redis_t *redis, ngx_completion_zone_t *zone,
    ngx_log_t *log);

void ngx_completion_errands_kind(ngx_completion_errands_t *errands,
    ngx_uint_t what, const ngx_completion_errand_kind_t *kind, void *data);

/* An empty one to be written: its kind stands in it. */
void ngx_completion_errand_begin(ngx_completion_errands_t *errands,
    ngx_uint_t what, ngx_completion_errand_t *errand);

/* It is kept, and done. */
void ngx_completion_errands_post(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand);

/* It is done, if it is due. */
void ngx_completion_errands_do(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand);

/*
 * The server is reached: what is kept goes ahead of all else, and the handler
 * is called behind it.
 */
void ngx_completion_errands_reached(ngx_completion_errands_t *errands,
    void (*handler)(void *data), void *data);

void ngx_completion_errands_exit(ngx_completion_errands_t *errands);


#endif /* _NGX_COMPLETION_ERRANDS_H_INCLUDED_ */
