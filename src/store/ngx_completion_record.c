
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


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


void
ngx_completion_zone_note(ngx_completion_zone_t *zone, uint32_t hash)
{
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;

    sh->changed[sh->changes++ % NGX_COMPLETION_CHANGES] = hash;
}


ngx_int_t
ngx_completion_zone_changes(ngx_completion_zone_t *zone, uint64_t *seen,
    uint32_t *hashes, ngx_uint_t *n)
{
    uint64_t                   first;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_completion_zone_sh_t  *sh;

    ngx_completion_zone_lock(zone);

    sh = zone->sh;
    rc = NGX_OK;
    first = *seen;
    i = 0;

    if (sh->changes < first || sh->changes - first > NGX_COMPLETION_CHANGES) {
        rc = NGX_DECLINED;
        first = sh->changes;
    }

    while (first != sh->changes && i < *n) {
        hashes[i++] = sh->changed[first++ % NGX_COMPLETION_CHANGES];
    }

    *n = i;
    *seen = first;

    ngx_completion_zone_unlock(zone);

    return rc;
}
