
/*
 * Quotas in shared memory: at most n starts in any sliding window of a unit,
 * for several rates at once.  A ring holds the last starts, past or promised,
 * as many as the highest rate needs; the next may be when for each rate the
 * n-th last is a window ago.  All functions but the first are called under the
 * zone's lock.
 */


#ifndef _NGX_COMPLETION_QUOTA_H_INCLUDED_
#define _NGX_COMPLETION_QUOTA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* rates of one quota, of which polls have one */
#define NGX_COMPLETION_SUBMIT_RATES  4

#define NGX_COMPLETION_QUOTA_MAX     100000

/* what a start may be late on its way upstream, ms */
#define NGX_COMPLETION_QUOTA_SLACK   30


/* ms until then, below 0 behind it; and the later of two times */
#define ngx_completion_left(at)                                               \
    ((ngx_msec_int_t) ((at) - ngx_current_msec))
#define ngx_completion_later(a, b)                                            \
    (((ngx_msec_int_t) ((a) - (b)) > 0) ? (a) : (b))


typedef struct {
    ngx_uint_t    n;               /* 0: no limit */
    ngx_msec_t    unit;            /* ms */
} ngx_completion_rate_t;


typedef struct {
    ngx_completion_rate_t  rates[NGX_COMPLETION_SUBMIT_RATES];
    ngx_uint_t             size;   /* of the ring; 0: no limit */
    ngx_uint_t             next;   /* where the next start is noted */
    ngx_uint_t             used;   /* of the ring's places */
    ngx_msec_t            *starts; /* NULL: a ring of one, which is below */
    ngx_msec_t             start;
} ngx_completion_quota_sh_t;


/* "10r/s", "600r/m", "5000r/h": NULL, or what is wrong as a text. */
char *ngx_completion_rate_parse(ngx_str_t *value,
    ngx_completion_rate_t *rate);

/* How many starts a quota of these rates remembers. */
ngx_uint_t ngx_completion_quota_size(ngx_completion_rate_t *rates);

/*
 * A quota for the rates that knows the starts which another one knows.  NGX_OK,
 * or NGX_ERROR: no memory in the slab pool, of which rates of one need none.
 */
ngx_int_t ngx_completion_quota_create(ngx_slab_pool_t *pool,
    ngx_completion_quota_sh_t *q, ngx_completion_rate_t *rates,
    ngx_completion_quota_sh_t *past);

/* The time of the next start allowed: now, or later. */
ngx_msec_t ngx_completion_quota_next(ngx_completion_quota_sh_t *q,
    ngx_msec_t now);

/* The same for a start that must leave room: a quarter of a rate at once. */
ngx_msec_t ngx_completion_quota_even(ngx_completion_quota_sh_t *q,
    ngx_msec_t now);

/* Notes a start; at is not before what _next() said. */
void ngx_completion_quota_take(ngx_completion_quota_sh_t *q, ngx_msec_t at);


#endif /* _NGX_COMPLETION_QUOTA_H_INCLUDED_ */
