
/*
 * When to ask upstream next: gaps that grow with an operation's age, and an
 * estimate, kept in the zone per model, of how long operations take.  No
 * clock, no lock, no allocation.  Both functions are called under the zone's
 * lock: what was planned of an estimate is kept beside it.
 *
 * Ages are in milliseconds, from the submit.
 */


#ifndef _NGX_COMPLETION_PACE_H_INCLUDED_
#define _NGX_COMPLETION_PACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_PACE_BUCKETS  240
#define NGX_COMPLETION_PACE_MODELS   16
#define NGX_COMPLETION_PACE_PLANS    8


typedef struct {
    uint32_t    count;          /* operations learned, sticks at the top */
    uint32_t    unit;           /* the weight of one operation now */
    uint16_t    weights[NGX_COMPLETION_PACE_BUCKETS];
} ngx_completion_pace_sh_t;


/* The next poll's bucket, for each one that an operation's age begins. */

typedef struct {
    uint32_t    min;            /* ms, between two polls */
    u_char      left;           /* operations until it is made anew */
    u_char      model;
    u_char      waited;
    u_char      next[NGX_COMPLETION_PACE_BUCKETS + 1];
} ngx_completion_pace_plan_sh_t;


/* Zero-filled memory is a valid estimate that knows nothing. */

typedef struct {
    ngx_completion_pace_sh_t        models[NGX_COMPLETION_PACE_MODELS];
    ngx_completion_pace_plan_sh_t   plans[NGX_COMPLETION_PACE_PLANS];
    uint32_t                        turn;   /* the plan that goes next */
} ngx_completion_paces_sh_t;


/*
 * An operation was seen finished: the last poll that found it pending was
 * sent at the age "from" (0: there was none), the one that found it done was
 * sent at the age "to".  The ages of sending, not of the answers: what is
 * learned is when to send.
 */
void ngx_completion_pace_learn(ngx_completion_paces_sh_t *paces,
    ngx_uint_t model, ngx_msec_t from, ngx_msec_t to);

/*
 * The gap, min <= gap <= max, until the next poll of an operation that is
 * pending at this age; waited: 1 where somebody waits for it, else 0.  The
 * estimates may be NULL.
 */
ngx_msec_t ngx_completion_pace_gap(ngx_completion_paces_sh_t *paces,
    ngx_uint_t model, ngx_msec_t age, ngx_msec_t min, ngx_msec_t max,
    ngx_uint_t waited);


#endif /* _NGX_COMPLETION_PACE_H_INCLUDED_ */
