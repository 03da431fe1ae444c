
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* counts a record as what it is now, or not any more */
static void ngx_completion_record_count(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static void ngx_completion_record_uncount(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);


uint32_t
ngx_completion_zone_hash(ngx_str_t *id)
{
    return ngx_murmur_hash2(id->data, id->len);
}


ngx_completion_record_sh_t *
ngx_completion_record_find(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint32_t hash)
{
    ngx_completion_record_sh_t  *record;

    for (record = zone->sh->buckets[hash & zone->sh->mask];
         record;
         record = record->next)
    {
        if (record->hash == hash
            && record->len == id->len
            && ngx_memcmp(record->id, id->data, id->len) == 0)
        {
            return record;
        }
    }

    return NULL;
}


ngx_completion_record_sh_t *
ngx_completion_record_leased_by(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint32_t hash, uint64_t lease)
{
    ngx_completion_record_sh_t  *record;

    record = ngx_completion_record_find(zone, id, hash);

    return (record && record->lease == lease) ? record : NULL;
}


void
ngx_completion_record_link(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list)
{
    ngx_completion_record_sh_t  **bucket;

    bucket = &zone->sh->buckets[record->hash & zone->sh->mask];

    record->next = *bucket;
    *bucket = record;

    ngx_queue_insert_tail(&zone->sh->lists[list], &record->queue);
    ngx_completion_record_count(zone, record);
}


void
ngx_completion_record_unlink(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_record_sh_t  **p;

    for (p = &zone->sh->buckets[record->hash & zone->sh->mask];
         *p != record;
         p = &(*p)->next)
    {
        /* void */
    }

    *p = record->next;

    ngx_queue_remove(&record->queue);
    ngx_completion_record_uncount(zone, record);
}


void
ngx_completion_record_move(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list)
{
    ngx_queue_remove(&record->queue);
    ngx_queue_insert_tail(&zone->sh->lists[list], &record->queue);
    ngx_completion_record_count(zone, record);
}


void
ngx_completion_record_delete(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_record_unlink(zone, record);
    ngx_completion_record_unschedule(zone, record);
    ngx_completion_chunks_free(zone, &record->chunks);
    ngx_completion_draft_drop(zone, record);

    ngx_slab_free_locked(zone->shpool, record);
}


ngx_int_t
ngx_completion_record_changed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    record->version = ++zone->sh->sequence;
    ngx_completion_zone_note(zone, record->hash);

    return ngx_completion_record_wanted(record) ? NGX_OK : NGX_DONE;
}


ngx_int_t
ngx_completion_record_answered(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_int_t  rc;

    rc = ngx_completion_record_changed(zone, record);

    record->wanted = ngx_current_msec;

    return rc;
}


void
ngx_completion_zone_note(ngx_completion_zone_t *zone, uint32_t hash)
{
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;

    sh->changed[sh->changes++ % NGX_COMPLETION_CHANGES] = hash;
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


ngx_uint_t
ngx_completion_record_is_complete(ngx_completion_record_sh_t *record)
{
    return record->state == NGX_COMPLETION_RECORD_MISSING
           || (record->state == NGX_COMPLETION_RECORD_FINAL
               && (record->chunks
                   || record->flags & NGX_COMPLETION_RECORD_DECIDED));
}


void
ngx_completion_record_schedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t at)
{
    ngx_rbtree_t  *tree;

    ngx_completion_record_unschedule(zone, record);

    tree = &zone->sh->due;

    if (ngx_completion_record_wanted(record)) {
        record->flags |= NGX_COMPLETION_RECORD_URGENT;
        tree = &zone->sh->urgent;
    }

    record->flags |= NGX_COMPLETION_RECORD_SCHEDULED;
    record->due.key = at;

    ngx_rbtree_insert(tree, &record->due);
}


void
ngx_completion_record_unschedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    if (!(record->flags & NGX_COMPLETION_RECORD_SCHEDULED)) {
        return;
    }

    if (record->flags & NGX_COMPLETION_RECORD_URGENT) {
        ngx_rbtree_delete(&zone->sh->urgent, &record->due);

    } else {
        ngx_rbtree_delete(&zone->sh->due, &record->due);
    }

    record->flags &= ~(NGX_COMPLETION_RECORD_SCHEDULED
                       |NGX_COMPLETION_RECORD_URGENT);
}


static void
ngx_completion_record_count(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_uint_t  i;

    ngx_completion_record_uncount(zone, record);

    i = record->state;

    if (i == NGX_COMPLETION_RECORD_FINAL) {
        i += record->verdict;
    }

    zone->sh->counts[i]++;
    record->counted = i + 1;
}


static void
ngx_completion_record_uncount(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    if (record->counted) {
        zone->sh->counts[record->counted - 1]--;
        record->counted = 0;
    }
}


/*
 * Operations are counted where they were submitted: others may be known to
 * several nodes, or to this one for the second time.
 */

ngx_int_t
ngx_completion_record_count_end(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict)
{
    if (!(record->flags & NGX_COMPLETION_RECORD_OURS)) {
        return NGX_DECLINED;
    }

    ngx_completion_metrics_add(&zone->metrics->finished[verdict], 1);

    return NGX_OK;
}
