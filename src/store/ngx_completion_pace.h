
/*
 * When to ask upstream next: gaps that grow with an operation's age, and an
 * estimate, kept in the zone per model, of how long operations take.  Pure
 * functions of their arguments; no clock, no lock, no allocation.  The
 * estimate is changed under the zone's lock by the caller.
 *
 * Ages are in milliseconds, from the submit.
 */


#ifndef _NGX_COMPLETION_PACE_H_INCLUDED_
#define _NGX_COMPLETION_PACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_PACE_BUCKETS  240


/* Zero-filled memory is a valid estimate that knows nothing. */

typedef struct {
    uint32_t    count;          /* operations learned, sticks at the top */
    uint32_t    unit;           /* the weight of one operation now */
    uint16_t    weights[NGX_COMPLETION_PACE_BUCKETS];
} ngx_completion_pace_sh_t;


/*
 * An operation was seen finished: the last poll that found it pending was
 * sent at the age "from" (0: there was none), the one that found it done was
 * sent at the age "to".  The ages of sending, not of the answers: what is
 * learned is when to send.
 */
void ngx_completion_pace_learn(ngx_completion_pace_sh_t *pace,
    ngx_msec_t from, ngx_msec_t to);

/*
 * The gap, min <= gap <= max, until the next poll of an operation that is
 * pending at this age; waited: somebody waits for it.  The estimate may be
 * NULL.
 */
ngx_msec_t ngx_completion_pace_gap(ngx_completion_pace_sh_t *pace,
    ngx_msec_t age, ngx_msec_t min, ngx_msec_t max, ngx_uint_t waited);


#endif /* _NGX_COMPLETION_PACE_H_INCLUDED_ */
