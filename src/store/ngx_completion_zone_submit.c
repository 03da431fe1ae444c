
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* what a lease may outlive its submit, ms */
#define NGX_COMPLETION_SUBMIT_GRACE  5000


static ngx_msec_t ngx_completion_zone_earliest(ngx_completion_zone_t *zone);
static void ngx_completion_zone_start(ngx_completion_zone_t *zone,
    ngx_msec_t at);
static uint32_t ngx_completion_record_submit_hash(uint64_t lease);


ngx_int_t
ngx_completion_zone_reserve(ngx_completion_zone_t *zone, ngx_msec_t ttl,
    ngx_completion_keys_t *keys, uint64_t *lease, ngx_msec_t *delay,
    ngx_completion_found_t *found)
{
    ngx_msec_t                   at, wait, now;
    ngx_uint_t                   line, n;
    ngx_queue_t                 *q, *submits;
    ngx_completion_chunk_sh_t   *chunks;
    ngx_completion_record_sh_t  *record;

    now = ngx_current_msec;
    wait = 0;
    line = 0;

    ngx_completion_zone_lock(zone);

    ngx_completion_zone_expire(zone);

    if (keys) {
        ngx_completion_keys_look(zone, keys, found);

        if (found->state != NGX_COMPLETION_KEY_NONE) {
            ngx_completion_zone_unlock(zone);
            return NGX_DONE;
        }
    }

    at = ngx_completion_zone_earliest(zone);
    submits = &zone->sh->lists[NGX_COMPLETION_LIST_SUBMITS];

    for (q = ngx_queue_last(submits); q != submits; q = ngx_queue_prev(q)) {
        record = ngx_queue_data(q, ngx_completion_record_sh_t, queue);

        if ((ngx_msec_int_t) (record->created - now) <= 0) {
            break;
        }

        wait = record->created - now;
        line++;
    }

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

    record = ngx_completion_chunks_pop(&chunks);

    *lease = ++zone->sh->sequence;
    *delay = at - now;

    record->state = NGX_COMPLETION_RECORD_SUBMIT;
    record->lease = *lease;
    record->lease_end = at + ttl + NGX_COMPLETION_SUBMIT_GRACE;
    record->created = at;
    record->wanted = now;
    record->hash = ngx_completion_record_submit_hash(*lease);

    ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_SUBMITS);

    if (keys) {
        ngx_completion_keys_link(zone, keys, record, &chunks);
    }

    ngx_completion_zone_start(zone, at);

    ngx_completion_zone_unlock(zone);

    return NGX_OK;
}


ngx_int_t
ngx_completion_zone_known(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_found_t *found)
{
    ngx_completion_zone_lock(zone);

    ngx_completion_keys_look(zone, keys, found);

    ngx_completion_zone_unlock(zone);

    return (found->state == NGX_COMPLETION_KEY_NONE) ? NGX_OK : NGX_DONE;
}


ngx_int_t
ngx_completion_zone_repeat(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t latest, ngx_msec_t deadline, ngx_msec_t *delay)
{
    ngx_int_t                    rc;
    ngx_msec_t                   at;
    ngx_completion_record_sh_t  *record;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);
    at = ngx_completion_zone_earliest(zone);

    if (record && at - ngx_current_msec < latest) {
        ngx_completion_zone_start(zone, at);

        *delay = at - ngx_current_msec;

        record->created = at;
        record->lease_end = deadline + NGX_COMPLETION_SUBMIT_GRACE;
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_SUBMITS);

        rc = NGX_OK;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


static ngx_msec_t
ngx_completion_zone_earliest(ngx_completion_zone_t *zone)
{
    ngx_msec_t  at, next;
    ngx_uint_t  i;

    at = ngx_current_msec;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        next = ngx_completion_quota_next(&zone->sh->submit_quotas[i],
                                         ngx_current_msec);

        if ((ngx_msec_int_t) (next - at) > 0) {
            at = next;
        }
    }

    return at;
}


static void
ngx_completion_zone_start(ngx_completion_zone_t *zone, ngx_msec_t at)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        ngx_completion_quota_take(&zone->sh->submit_quotas[i], at);
    }
}


void
ngx_completion_zone_release(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_completion_found_t *found)
{
    ngx_completion_record_sh_t  *record;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);

    if (record) {
        ngx_completion_keys_settle(zone, record, found);
        ngx_completion_record_delete(zone, record);
    }

    ngx_completion_zone_unlock(zone);
}


ngx_int_t
ngx_completion_zone_send(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);

    if (record && ngx_completion_record_leased(record)) {
        record->flags |= NGX_COMPLETION_RECORD_SENT;
        rc = NGX_OK;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_unsent(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_completion_record_sh_t  *record;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);

    if (record) {
        record->flags &= ~NGX_COMPLETION_RECORD_SENT;
    }

    ngx_completion_zone_unlock(zone);
}


ngx_int_t
ngx_completion_zone_accept(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_completion_id_t *id, ngx_uint_t model)
{
    uint32_t                     hash;
    ngx_int_t                    rc;
    ngx_completion_chunk_sh_t   *chunks;
    ngx_completion_found_t       end;
    ngx_completion_record_sh_t  *record, *known;

    rc = NGX_OK;
    hash = ngx_completion_zone_hash(&id->upstream);

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);
    known = ngx_completion_record_find(zone, &id->upstream, hash);

    if (record) {
        ngx_memzero(&end, sizeof(ngx_completion_found_t));
        end.state = NGX_COMPLETION_KEY_ACCEPTED;
        end.id = *id;

        ngx_completion_keys_settle(zone, record, &end);
        record->flags &= ~NGX_COMPLETION_RECORD_SENT;
    }

    if (known) {
        if (record) {
            ngx_completion_record_delete(zone, record);
        }

        record = known;

        if (known->state == NGX_COMPLETION_RECORD_FINAL
            || ngx_completion_record_leased(known))
        {
            rc = NGX_BUSY;
            goto done;
        }

    } else if (record == NULL) {

        /* the zone was made anew meanwhile */

        if (ngx_completion_room_take(zone, 1, &chunks) != NGX_OK) {
            rc = NGX_DECLINED;
            goto done;
        }

        record = ngx_completion_chunks_pop(&chunks);

    } else {
        ngx_completion_record_unlink(zone, record);
    }

    if (record != known) {
        record->hash = hash;
        record->len = id->upstream.len;
        ngx_memcpy(record->id, id->upstream.data, record->len);

        record->state = NGX_COMPLETION_RECORD_PENDING;
        ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_PENDING);

        record->created = ngx_current_msec;
        record->sent = ngx_current_msec;
        record->asked = ngx_current_msec;
        record->wanted = ngx_current_msec;
        record->not_before = ngx_current_msec;

    } else {
        record->state = NGX_COMPLETION_RECORD_PENDING;
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_PENDING);
    }

    record->flags |= NGX_COMPLETION_RECORD_OURS;
    record->submitted = id->submitted;
    record->model = model % NGX_COMPLETION_MODELS;
    record->lease = lease;
    record->lease_end = ngx_current_msec + zone->poll_lease;

    ngx_completion_record_schedule(zone, record, record->lease_end);

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_completion_record_sh_t *
ngx_completion_record_submit(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_str_t                    none;
    ngx_completion_record_sh_t  *record;

    ngx_str_set(&none, "");

    record = ngx_completion_record_find(zone, &none,
                                    ngx_completion_record_submit_hash(lease));

    return (record && record->lease == lease) ? record : NULL;
}


/* a submit has no id yet; leases are counted, so these never collide */

static uint32_t
ngx_completion_record_submit_hash(uint64_t lease)
{
    return (uint32_t) lease * 0x9e3779b1;
}
