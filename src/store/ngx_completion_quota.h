
/*
 * Quotas in shared memory: at most n starts in any sliding window of a unit,
 * for several rates at once.
 *
 * Starts are remembered apart from the rates that judge them, for each of the
 * units that a rate may have as long as its window is: a rate that changes,
 * goes and comes back finds what was started meanwhile.  Starts that are close
 * together, by a 126th of the window, are remembered as if all were as late as
 * the last of them, so that the memory is the same for every rate.  All
 * functions but the first are called under the zone's lock.
 */


#ifndef _NGX_COMPLETION_QUOTA_H_INCLUDED_
#define _NGX_COMPLETION_QUOTA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* rates of one quota, of which polls have one */
#define NGX_COMPLETION_SUBMIT_RATES  4

#define NGX_COMPLETION_QUOTA_MAX     100000

/* second, minute, hour */
#define NGX_COMPLETION_QUOTA_UNITS   3

#define NGX_COMPLETION_QUOTA_GROUPS  128

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


/* ms of 32 bits, of which a window is a small part */
typedef struct {
    uint32_t      last;
    uint32_t      n;
} ngx_completion_group_sh_t;


typedef struct {
    uint32_t                   first;   /* start of the latest group */
    uint32_t                   latest;
    ngx_completion_group_sh_t  groups[NGX_COMPLETION_QUOTA_GROUPS];
} ngx_completion_starts_sh_t;


typedef struct {
    ngx_completion_rate_t       rates[NGX_COMPLETION_SUBMIT_RATES];
    ngx_completion_starts_sh_t  starts[NGX_COMPLETION_QUOTA_UNITS];
} ngx_completion_quota_sh_t;


/* "10r/s", "600r/m", "5000r/h": NULL, or what is wrong as a text. */
char *ngx_completion_rate_parse(ngx_str_t *value,
    ngx_completion_rate_t *rate);

/* How many starts are allowed now. */
ngx_uint_t ngx_completion_quota_free(ngx_completion_quota_sh_t *q,
    ngx_msec_t now);

/* The time of the next start but so many: now, or later. */
ngx_msec_t ngx_completion_quota_next(ngx_completion_quota_sh_t *q,
    ngx_msec_t now, ngx_uint_t ahead);

/* The same of one that must leave room: a quarter of a rate at once. */
ngx_msec_t ngx_completion_quota_even(ngx_completion_quota_sh_t *q,
    ngx_msec_t now, ngx_uint_t ahead);

void ngx_completion_quota_take(ngx_completion_quota_sh_t *q, ngx_msec_t at);


#endif /* _NGX_COMPLETION_QUOTA_H_INCLUDED_ */
