
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* a worker with somebody in line asks more often than that, ms */
#define NGX_COMPLETION_TURN_GONE  2500


static ngx_msec_t ngx_completion_turn_look(ngx_completion_zone_t *zone);
static void ngx_completion_turn_seen(ngx_completion_zone_t *zone);
static void ngx_completion_turn_lapse(ngx_completion_zone_t *zone);
static ngx_uint_t ngx_completion_turn_gone(ngx_completion_submit_sh_t *submit);


ngx_uint_t
ngx_completion_turn_free(ngx_completion_zone_t *zone)
{
    ngx_uint_t  n, called;

    n = ngx_completion_pool_free(zone, NGX_COMPLETION_KIND_SUBMIT);
    called = zone->sh->nlines[NGX_COMPLETION_TURN_CALLED];

    return n - ngx_min(n, called);
}


ngx_int_t
ngx_completion_turn_call(ngx_completion_zone_t *zone)
{
    ngx_int_t                    rc;
    ngx_uint_t                   n, looks;
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_turn_lapse(zone);

    rc = NGX_DONE;
    n = ngx_completion_turn_free(zone);

    for (looks = 0; n && looks < NGX_COMPLETION_TURN_LOOKS; looks++) {
        submit = ngx_completion_line_first(zone, NGX_COMPLETION_TURN_WAITS);

        if (submit == NULL) {
            break;
        }

        if (!ngx_completion_line_lives(submit)) {
            ngx_completion_keys_orphaned(zone, submit);
            continue;
        }

        /* who does not come now is ahead of all others when it does */

        if (ngx_completion_turn_gone(submit)) {
            ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_AWAY);

        } else {
            ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_CALLED);
            n--;
        }

        ngx_completion_zone_note(zone,
                                 ngx_completion_lease_hash(submit->lease));
        rc = NGX_OK;
    }

    return rc;
}


ngx_msec_t
ngx_completion_turn_wait(ngx_completion_zone_t *zone, ngx_uint_t ahead)
{
    ahead += zone->sh->nlines[NGX_COMPLETION_TURN_CALLED];

    return ngx_completion_pool_next(zone, NGX_COMPLETION_KIND_SUBMIT, ahead)
           - ngx_current_msec;
}


/* when it is worth to look who is next, ms */

static ngx_msec_t
ngx_completion_turn_look(ngx_completion_zone_t *zone)
{
    ngx_uint_t  called;

    called = zone->sh->nlines[NGX_COMPLETION_TURN_CALLED];

    return ngx_completion_pool_look(zone, NGX_COMPLETION_KIND_SUBMIT, called)
           - ngx_current_msec;
}


/* what was not used in time is free for others */

static void
ngx_completion_turn_lapse(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   looks;
    ngx_completion_submit_sh_t  *submit;

    for (looks = 0; looks < NGX_COMPLETION_TURN_LOOKS; looks++) {
        submit = ngx_completion_line_first(zone, NGX_COMPLETION_TURN_CALLED);

        if (submit == NULL
            || ngx_completion_left(submit->place.key
                                   + NGX_COMPLETION_TURN_CALL) > 0)
        {
            break;
        }

        ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_AWAY);
    }
}


static void
ngx_completion_turn_seen(ngx_completion_zone_t *zone)
{
    zone->worker->seen = (uint32_t) ngx_current_msec;
}


static ngx_uint_t
ngx_completion_turn_gone(ngx_completion_submit_sh_t *submit)
{
    return submit->worker
           && (int32_t) ((uint32_t) ngx_current_msec - submit->worker->seen)
              > NGX_COMPLETION_TURN_GONE;
}


ngx_int_t
ngx_completion_zone_call(ngx_completion_zone_t *zone, ngx_msec_t *wait)
{
    ngx_int_t                    rc;
    ngx_msec_int_t               left;
    ngx_completion_submit_sh_t  *called;

    ngx_completion_zone_lock(zone);

    ngx_completion_turn_seen(zone);
    ngx_completion_room_expire(zone);

    rc = ngx_completion_turn_call(zone);

    *wait = 0;

    if (zone->sh->nlines[NGX_COMPLETION_TURN_WAITS]) {
        *wait = ngx_max(ngx_completion_turn_look(zone), 1);

        called = ngx_completion_line_first(zone, NGX_COMPLETION_TURN_CALLED);

        if (called) {
            left = ngx_completion_left(called->place.key
                                       + NGX_COMPLETION_TURN_CALL);
            *wait = ngx_min(*wait, (ngx_msec_t) ngx_max(left, 1));
        }
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_turn(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t ttl, ngx_msec_t limit, ngx_msec_t *delay)
{
    ngx_int_t                    rc;
    ngx_uint_t                   ahead;
    ngx_completion_submit_sh_t  *submit;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    ngx_completion_turn_seen(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit && ngx_completion_line_leased(submit)) {

        if (submit->turn > NGX_COMPLETION_TURN_CALLED) {
            ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_WAITS);
        }

        if (submit->turn == NGX_COMPLETION_TURN_WAITS) {
            (void) ngx_completion_turn_call(zone);
        }

        if (submit->turn == NGX_COMPLETION_TURN_CALLED) {
            rc = NGX_OK;

        } else {
            rc = NGX_AGAIN;
            ttl = limit;
            ahead = ngx_completion_line_place(zone, submit);
            *delay = ngx_max(ngx_completion_turn_wait(zone, ahead), 1);
        }

        submit->lease_end = ngx_current_msec + ttl
                            + NGX_COMPLETION_SUBMIT_GRACE;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_fence(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_int_t                    rc;
    ngx_msec_t                   called;
    ngx_completion_submit_sh_t  *submit;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    /* the worker may have stood still in this very turn of its loop */

    ngx_time_update();

    ngx_completion_turn_seen(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit && ngx_completion_line_leased(submit)) {

        /* who is not called any more was too late */

        called = (submit->turn == NGX_COMPLETION_TURN_CALLED)
                     ? submit->place.key
                     : ngx_current_msec - NGX_COMPLETION_TURN_CALL;

        if (ngx_completion_pool_take(zone, NGX_COMPLETION_KIND_SUBMIT, called)
            == NGX_OK)
        {
            ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_SENT);
            rc = NGX_OK;

        } else {
            ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_WAITS);
            rc = NGX_AGAIN;
        }
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_aside(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t ms)
{
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit && ngx_completion_line_leased(submit)) {
        ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_AWAY);

        submit->lease_end = ngx_current_msec + ms
                            + NGX_COMPLETION_SUBMIT_GRACE;
    }

    ngx_completion_zone_unlock(zone);
}


void
ngx_completion_zone_unsent(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit) {
        ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_AWAY);
    }

    ngx_completion_zone_unlock(zone);
}
