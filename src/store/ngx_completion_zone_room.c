
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_EVICT_TRIES    256
#define NGX_COMPLETION_PASSING_TIME   60000
#define NGX_COMPLETION_READING_TIME   1000


static void ngx_completion_zone_evicted(ngx_completion_zone_t *zone,
    ngx_uint_t kind);
static ngx_completion_record_sh_t *ngx_completion_zone_victim(
    ngx_completion_zone_t *zone, ngx_uint_t list, ngx_uint_t wanted);
static ngx_uint_t ngx_completion_record_expired(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list);


void *
ngx_completion_zone_alloc(ngx_completion_zone_t *zone)
{
    void  *p;

    _Static_assert(sizeof(ngx_completion_record_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a record fits into a chunk");
    _Static_assert(sizeof(ngx_completion_cached_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a key fits into a chunk");

    for ( ;; ) {
        p = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);

        if (p || ngx_completion_zone_evict(zone) != NGX_OK) {
            return p;
        }
    }
}


ngx_int_t
ngx_completion_zone_evict(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   kind;
    ngx_completion_record_sh_t  *record;

    record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_RESULTS, 0);

    if (record) {
        ngx_completion_chunks_free(zone, &record->chunks);
        ngx_completion_record_unlink(zone, record);
        ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_FINAL);
        ngx_completion_zone_evicted(zone, NGX_COMPLETION_METRICS_RESULT);

        return NGX_OK;
    }

    kind = NGX_COMPLETION_METRICS_FINISHED;
    record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_FINAL, 0);

    if (record == NULL) {
        kind = NGX_COMPLETION_METRICS_MISSING;
        record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_PASSING,
                                            0);
    }

    if (record == NULL && ngx_completion_keys_evict(zone) == NGX_OK) {
        ngx_completion_zone_evicted(zone, NGX_COMPLETION_METRICS_CACHED);
        return NGX_OK;
    }

    if (record == NULL) {
        kind = NGX_COMPLETION_METRICS_PENDING;
        record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_PENDING,
                                            0);
    }

    if (record == NULL) {
        return NGX_DECLINED;
    }

    ngx_completion_record_delete(zone, record);
    ngx_completion_zone_evicted(zone, kind);

    return NGX_OK;
}


ngx_int_t
ngx_completion_zone_evict_asked(ngx_completion_zone_t *zone)
{
    ngx_completion_record_sh_t  *record;

    record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_PENDING, 1);

    if (record == NULL) {
        return NGX_DECLINED;
    }

    ngx_completion_record_delete(zone, record);
    ngx_completion_zone_evicted(zone, NGX_COMPLETION_METRICS_PENDING);

    return NGX_OK;
}


static void
ngx_completion_zone_evicted(ngx_completion_zone_t *zone, ngx_uint_t kind)
{
    ngx_completion_metrics_add(&zone->metrics->evictions[kind], 1);
}


static ngx_completion_record_sh_t *
ngx_completion_zone_victim(ngx_completion_zone_t *zone, ngx_uint_t list,
    ngx_uint_t wanted)
{
    ngx_uint_t                   n;
    ngx_queue_t                 *q, *head;
    ngx_completion_record_sh_t  *record;

    head = &zone->sh->lists[list];

    for (n = 0; n < NGX_COMPLETION_EVICT_TRIES; n++) {
        q = ngx_queue_head(head);

        if (q == head) {
            break;
        }

        record = ngx_queue_data(q, ngx_completion_record_sh_t, queue);

        if (!ngx_completion_record_leased(record)
            && (wanted || !ngx_completion_record_wanted(record)))
        {
            return record;
        }

        /* not to be met again by the next call */

        ngx_queue_remove(q);
        ngx_queue_insert_tail(head, q);
    }

    return NULL;
}


void
ngx_completion_zone_expire(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   list, n;
    ngx_queue_t                 *head;
    ngx_completion_record_sh_t  *record;

    ngx_completion_keys_sweep(zone);

    for (list = 0; list < NGX_COMPLETION_LISTS; list++) {
        head = &zone->sh->lists[list];

        for (n = 0; n < 2 && !ngx_queue_empty(head); n++) {
            record = ngx_queue_data(ngx_queue_head(head),
                                    ngx_completion_record_sh_t, queue);

            if (!ngx_completion_record_expired(zone, record, list)) {
                break;
            }

            ngx_completion_record_delete(zone, record);
        }
    }
}


static ngx_uint_t
ngx_completion_record_expired(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list)
{
    if (ngx_completion_record_leased(record)) {
        return 0;
    }

    switch (list) {

    case NGX_COMPLETION_LIST_RESULTS:
    case NGX_COMPLETION_LIST_FINAL:
        /* whoever it was fetched again for is still to read it */

        return ngx_time() - record->finished > zone->retention
               && (ngx_msec_int_t) (ngx_current_msec - record->not_before)
                  > NGX_COMPLETION_READING_TIME
               && !ngx_completion_record_wanted(record);

    case NGX_COMPLETION_LIST_PENDING:
        return ngx_time() - record->submitted
               > zone->lifetime + NGX_COMPLETION_ID_SKEW;

    case NGX_COMPLETION_LIST_PASSING:
        return (ngx_msec_int_t) (ngx_current_msec - record->created)
               > NGX_COMPLETION_PASSING_TIME
               && !ngx_completion_record_wanted(record);

    default: /* NGX_COMPLETION_LIST_SUBMITS: the sender is gone */
        return 1;
    }
}


ngx_uint_t
ngx_completion_record_leased(ngx_completion_record_sh_t *record)
{
    return record->lease
           && (ngx_msec_int_t) (record->lease_end - ngx_current_msec) > 0;
}


ngx_uint_t
ngx_completion_record_wanted(ngx_completion_record_sh_t *record)
{
    return (ngx_msec_int_t) (record->wanted - ngx_current_msec) > 0;
}
