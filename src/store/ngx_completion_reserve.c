
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* what a lease may outlive its submit, ms */
#define NGX_COMPLETION_SUBMIT_GRACE  5000


static ngx_int_t ngx_completion_zone_look(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found);


ngx_int_t
ngx_completion_zone_reserve(ngx_completion_zone_t *zone, ngx_msec_t ttl,
    ngx_completion_keys_t *keys, uint64_t joined, uint64_t *lease,
    ngx_msec_t *delay, ngx_completion_found_t *found)
{
    ngx_msec_t                   at, wait, now;
    ngx_uint_t                   line, n;
    ngx_completion_chunk_sh_t   *chunks;
    ngx_completion_quota_sh_t   *quota;
    ngx_completion_submit_sh_t  *submit;

    now = ngx_current_msec;

    ngx_completion_zone_lock(zone);

    ngx_completion_room_expire(zone);

    if (keys
        && ngx_completion_zone_look(zone, keys, joined, found) == NGX_DONE)
    {
        ngx_completion_zone_unlock(zone);
        return NGX_DONE;
    }

    quota = &zone->sh->quotas[NGX_COMPLETION_KIND_SUBMIT];
    at = ngx_completion_quota_next(quota, now);
    line = ngx_completion_line_length(zone, &wait);

    if (at != now
        && (line >= zone->submit_queue || at - now > zone->submit_queue_time))
    {
        ngx_completion_zone_unlock(zone);

        *delay = line ? wait : at - now;

        if (at - now > zone->submit_queue_time) {
            *delay = ngx_max(*delay, at - now - zone->submit_queue_time);
        }

        return NGX_BUSY;
    }

    n = keys ? (keys->idempotency.ttl != 0) + (keys->cache.ttl != 0) : 0;

    if (ngx_completion_room_take(zone, 1 + n, &chunks) != NGX_OK) {
        ngx_completion_zone_unlock(zone);
        return NGX_DECLINED;
    }

    submit = ngx_completion_chunks_pop(&chunks);

    *lease = ++zone->sh->sequence;
    *delay = at - now;

    submit->lease = *lease;
    submit->lease_end = at + ttl + NGX_COMPLETION_SUBMIT_GRACE;
    submit->at = at;

    ngx_completion_line_join(zone, submit);

    if (keys) {
        ngx_completion_keys_link(zone, keys, submit, &chunks);
    }

    ngx_completion_quota_take(quota, at);

    ngx_completion_zone_unlock(zone);

    return NGX_OK;
}


ngx_int_t
ngx_completion_zone_known(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found)
{
    ngx_int_t  rc;

    ngx_completion_zone_lock(zone);

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
ngx_completion_zone_repeat(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t latest, ngx_msec_t deadline, ngx_msec_t *delay)
{
    ngx_int_t                    rc;
    ngx_msec_t                   at;
    ngx_completion_quota_sh_t   *quota;
    ngx_completion_submit_sh_t  *submit;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);
    quota = &zone->sh->quotas[NGX_COMPLETION_KIND_SUBMIT];
    at = ngx_completion_quota_next(quota, ngx_current_msec);

    if (submit && at - ngx_current_msec < latest) {
        ngx_completion_quota_take(quota, at);

        *delay = at - ngx_current_msec;

        ngx_completion_line_leave(zone, submit);

        submit->at = at;
        submit->lease_end = deadline + NGX_COMPLETION_SUBMIT_GRACE;

        ngx_completion_line_join(zone, submit);

        rc = NGX_OK;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_release(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_completion_keys_t *keys, ngx_completion_found_t *found)
{
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit) {
        ngx_completion_keys_settle(zone, submit, found);
        ngx_completion_line_drop(zone, submit);

    } else if (keys && found->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN) {
        ngx_completion_keys_late(zone, keys, lease, found, NULL);
    }

    ngx_completion_zone_unlock(zone);
}


ngx_int_t
ngx_completion_zone_fence(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_int_t                    rc;
    ngx_completion_submit_sh_t  *submit;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit && ngx_completion_line_leased(submit)) {
        submit->sent = 1;
        rc = NGX_OK;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_unsent(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_completion_submit_sh_t  *submit;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit) {
        submit->sent = 0;
    }

    ngx_completion_zone_unlock(zone);
}
