
/*
 * Quotas in shared memory: at most n starts in any sliding window of a unit.
 * A ring holds the last n starts, past or promised; the next may be when the
 * oldest of them is a window ago.  All functions but the first are called
 * under the zone's lock.
 */


#ifndef _NGX_COMPLETION_QUOTA_H_INCLUDED_
#define _NGX_COMPLETION_QUOTA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_QUOTA_MAX    100000

/* what a start may be late on its way upstream, ms */
#define NGX_COMPLETION_QUOTA_SLACK  30


typedef struct {
    ngx_uint_t    n;               /* 0: no limit */
    ngx_msec_t    unit;            /* ms */
} ngx_completion_rate_t;


typedef struct {
    ngx_completion_rate_t  rate;
    ngx_uint_t             next;   /* where the next start is noted */
    ngx_uint_t             used;   /* of the ring's places */
    ngx_msec_t            *starts; /* NULL: a rate of one, which is below */
    ngx_msec_t             start;
} ngx_completion_quota_sh_t;


/* "10r/s", "600r/m", "5000r/h": NULL, or what is wrong as a text. */
char *ngx_completion_rate_parse(ngx_str_t *value,
    ngx_completion_rate_t *rate);

/*
 * A quota for the rate that knows the starts which another one knows.  NGX_OK,
 * or NGX_ERROR: no memory in the slab pool, of which a rate of one needs none.
 */
ngx_int_t ngx_completion_quota_create(ngx_slab_pool_t *pool,
    ngx_completion_quota_sh_t *q, ngx_completion_rate_t *rate,
    ngx_completion_quota_sh_t *past);

void ngx_completion_quota_destroy(ngx_slab_pool_t *pool,
    ngx_completion_quota_sh_t *q);

/* The time of the next start allowed: now, or later. */
ngx_msec_t ngx_completion_quota_next(ngx_completion_quota_sh_t *q,
    ngx_msec_t now);

/* The same for a start that must leave room: a quarter of the rate at once. */
ngx_msec_t ngx_completion_quota_even(ngx_completion_quota_sh_t *q,
    ngx_msec_t now);

/* Notes a start; at is not before what _next() said. */
void ngx_completion_quota_take(ngx_completion_quota_sh_t *q, ngx_msec_t at);


#endif /* _NGX_COMPLETION_QUOTA_H_INCLUDED_ */
