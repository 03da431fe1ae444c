
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


static ngx_int_t ngx_completion_zone_look(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found);


ngx_int_t
ngx_completion_zone_reserve(ngx_completion_zone_t *zone, ngx_msec_t ttl,
    ngx_completion_keys_t *keys, uint64_t joined, uint64_t *lease,
    ngx_msec_t *delay, ngx_completion_found_t *found)
{
    ngx_int_t                    rc;
    ngx_msec_t                   wait, longest;
    ngx_uint_t                   n, waiting, queue;
    ngx_completion_chunk_sh_t   *chunks;
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_zone_lock(zone);

    ngx_completion_room_expire(zone);

    if (keys
        && ngx_completion_zone_look(zone, keys, joined, found) == NGX_DONE)
    {
        ngx_completion_zone_unlock(zone);
        return NGX_DONE;
    }

    (void) ngx_completion_turn_call(zone);

    waiting = zone->sh->nlines[NGX_COMPLETION_TURN_WAITS];
    wait = 0;

    if (waiting || ngx_completion_turn_free(zone) == 0) {
        wait = ngx_max(ngx_completion_turn_wait(zone, waiting), 1);
    }

    rc = NGX_OK;
    queue = zone->submit_queue;
    longest = zone->submit_queue_time;

    if (wait && waiting >= queue && ngx_completion_pool_promises(zone)) {
        queue = ngx_max(queue, NGX_COMPLETION_POOL_ASK);
        rc = NGX_AGAIN;
    }

    if (wait && (waiting >= queue || wait > longest)) {
        *delay = ngx_completion_turn_wait(zone, 0);

        if (wait > longest) {
            *delay = ngx_max(*delay, wait - longest);
        }

        ngx_completion_zone_unlock(zone);
        return NGX_BUSY;
    }

    n = keys ? (keys->idempotency.ttl != 0) + (keys->cache.ttl != 0)
               + (keys->orphan.ttl != 0)
             : 0;

    if (ngx_completion_room_take(zone, 1 + n, &chunks) != NGX_OK) {
        ngx_completion_zone_unlock(zone);
        return NGX_DECLINED;
    }

    submit = ngx_completion_chunks_pop(&chunks);

    *lease = ++zone->sh->sequence;
    *delay = wait;

    submit->lease = *lease;
    submit->lease_end = ngx_current_msec + (wait ? longest : 0) + ttl
                        + NGX_COMPLETION_SUBMIT_GRACE;

    ngx_completion_line_join(zone, submit, wait);

    if (keys) {
        ngx_completion_keys_link(zone, keys, submit, &chunks);
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_known(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found)
{
    ngx_int_t  rc;

    ngx_completion_zone_lock(zone);

    ngx_completion_room_expire(zone);

    rc = ngx_completion_zone_look(zone, keys, joined, found);

    ngx_completion_zone_unlock(zone);

    return rc;
}


static ngx_int_t
ngx_completion_zone_look(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found)
{
    void                     *chunk;
    ngx_completion_key_sh_t  *cached;

    cached = ngx_completion_keys_look(zone, keys, joined, found);

    if (cached) {
        chunk = ngx_completion_room_follower(zone, keys->owner);

        if (chunk) {
            ngx_completion_keys_follow(zone, keys, cached, chunk);
        }
    }

    return (found->state == NGX_COMPLETION_KEY_NONE) ? NGX_OK : NGX_DONE;
}


ngx_int_t
ngx_completion_zone_release(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_completion_keys_t *keys, ngx_completion_found_t *found)
{
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit) {
        ngx_completion_keys_settle(zone, submit, found);
        ngx_completion_line_drop(zone, submit);

        /* another node's, which may have ended here already */

        record = found->id.upstream.len
                     ? ngx_completion_record_find(zone, &found->id.upstream,
                           ngx_completion_zone_hash(&found->id.upstream))
                     : NULL;

        if (record && record->state == NGX_COMPLETION_RECORD_FINAL) {
            ngx_completion_keys_ended(zone, record, record->verdict);
        }

    } else if (keys && found->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN) {
        ngx_completion_keys_late(zone, keys, lease, found, NULL);
    }

    rc = ngx_completion_turn_call(zone);

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_forget(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys)
{
    if (keys->idempotency.ttl == 0) {
        return;
    }

    ngx_completion_zone_lock(zone);

    ngx_completion_keys_forget(zone, keys);

    ngx_completion_zone_unlock(zone);
}


/* those that start at once and those in line, the last of which is in time */

ngx_uint_t
ngx_completion_zone_most(ngx_completion_zone_t *zone)
{
    ngx_uint_t  n, most;

    n = ngx_completion_quota_most(zone->submit_rates, 0);
    most = ngx_completion_quota_most(zone->submit_rates,
                                     zone->submit_queue_time);

    return ngx_min(most, n + zone->submit_queue);
}
