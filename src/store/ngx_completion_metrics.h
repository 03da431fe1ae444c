
/*
 * What is counted of a provider, for those who scrape it.
 *
 * The counters stand at the end of the zone's shared memory, behind the slab
 * pool.  Any worker adds to them at any time, without the lock; a reload and
 * a zone that is made anew leave them as they are, so that they never go
 * backwards in the life of a zone.  What a zone holds at this moment is
 * counted in it, see ngx_completion_zone_census().
 *
 * Indexes named "opaque" are given their meaning by the layers above.
 */


#ifndef _NGX_COMPLETION_METRICS_H_INCLUDED_
#define _NGX_COMPLETION_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_METRICS_SUBMITS   12
#define NGX_COMPLETION_METRICS_CODES     19
#define NGX_COMPLETION_METRICS_PROBLEMS  20
#define NGX_COMPLETION_METRICS_VERDICTS  6
#define NGX_COMPLETION_METRICS_BOUNDS    15
#define NGX_COMPLETION_METRICS_WORKERS   128


/* requests to upstream */
typedef enum {
    NGX_COMPLETION_METRICS_SUBMIT = 0,
    NGX_COMPLETION_METRICS_POLL,
    NGX_COMPLETION_METRICS_CANCEL,
    NGX_COMPLETION_METRICS_REQUESTS
} ngx_completion_metrics_request_e;


/* what had to go to make room */
typedef enum {
    NGX_COMPLETION_METRICS_RESULT = 0,
    NGX_COMPLETION_METRICS_FINISHED,
    NGX_COMPLETION_METRICS_MISSING,
    NGX_COMPLETION_METRICS_CACHED,
    NGX_COMPLETION_METRICS_PENDING,
    NGX_COMPLETION_METRICS_EVICTIONS
} ngx_completion_metrics_eviction_e;


typedef struct {
    ngx_atomic_t               buckets[NGX_COMPLETION_METRICS_BOUNDS + 1];
    ngx_atomic_t               sum;       /* in the unit of the bounds */
} ngx_completion_histogram_sh_t;


/* written by one worker only; a dead worker's counts for nothing */
typedef struct {
    uint32_t                   pid;
    uint32_t                   waiters;   /* requests held */
    uint32_t                   streams;
} ngx_completion_metrics_worker_sh_t;


typedef struct {
    ngx_atomic_t               submits[NGX_COMPLETION_METRICS_SUBMITS];
    ngx_atomic_t               retries[2];        /* submits, polls */
    ngx_atomic_t               queued;            /* submits */
    ngx_atomic_t               queued_time;       /* ms */

    ngx_atomic_t               requests[NGX_COMPLETION_METRICS_REQUESTS]
                                       [NGX_COMPLETION_METRICS_CODES];
    ngx_atomic_t               unreadable[NGX_COMPLETION_METRICS_REQUESTS];

    ngx_atomic_t               polls[2];          /* by the zone, upstream */
    ngx_atomic_t               cancels;
    ngx_atomic_t               problems[NGX_COMPLETION_METRICS_PROBLEMS];

    ngx_atomic_t               finished[NGX_COMPLETION_METRICS_VERDICTS];
    ngx_atomic_t               tokens[2];         /* input, completion */

    ngx_atomic_t               evictions[NGX_COMPLETION_METRICS_EVICTIONS];
    ngx_atomic_t               rebuilds;

    ngx_atomic_t               renewals[2];       /* ok, failed */
    ngx_atomic_t               expiry;            /* Unix time; 0: no token */

    ngx_completion_histogram_sh_t  operation;     /* ms */
    ngx_completion_histogram_sh_t  upstream[NGX_COMPLETION_METRICS_REQUESTS];
    ngx_completion_histogram_sh_t  overhead[2];   /* us; submits, others */

    ngx_completion_metrics_worker_sh_t
                               workers[NGX_COMPLETION_METRICS_WORKERS];
} ngx_completion_metrics_sh_t;


#define ngx_completion_metrics_add(counter, n)                                \
    (void) ngx_atomic_fetch_add(counter, (ngx_atomic_int_t) (n))


/* The upper bounds of the histograms, in their unit. */
extern const ngx_uint_t
    ngx_completion_metrics_operation[NGX_COMPLETION_METRICS_BOUNDS];
extern const ngx_uint_t
    ngx_completion_metrics_upstream[NGX_COMPLETION_METRICS_BOUNDS];
extern const ngx_uint_t
    ngx_completion_metrics_overhead[NGX_COMPLETION_METRICS_BOUNDS];

void ngx_completion_metrics_observe(ngx_completion_histogram_sh_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t value);

/* In a worker, under the zone's lock; its own counts, never NULL. */
ngx_completion_metrics_worker_sh_t *ngx_completion_metrics_enter(
    ngx_completion_metrics_sh_t *metrics);

/* A copy without the workers; each counter by itself is right. */
void ngx_completion_metrics_read(ngx_completion_metrics_sh_t *metrics,
    ngx_completion_metrics_sh_t *copy);

/* Those of the workers that live, summed up. */
void ngx_completion_metrics_workers(ngx_completion_metrics_sh_t *metrics,
    ngx_completion_metrics_worker_sh_t *sum);


#endif /* _NGX_COMPLETION_METRICS_H_INCLUDED_ */
