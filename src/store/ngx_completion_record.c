
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


static void ngx_completion_record_uncount(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static void ngx_completion_record_insert(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, u_char flags, ngx_msec_t at);


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


ngx_completion_record_sh_t *
ngx_completion_record_add(ngx_completion_zone_t *zone,
    ngx_completion_chunk_sh_t *chunk, ngx_completion_id_t *id, uint32_t hash,
    ngx_completion_record_state_e state)
{
    ngx_completion_record_sh_t  *record, **bucket;

    record = (ngx_completion_record_sh_t *) chunk;

    record->state = state;
    record->submitted = id->submitted;
    record->created = ngx_current_msec;
    record->sent = ngx_current_msec;
    record->asked = ngx_current_msec;
    record->wanted = ngx_current_msec;
    record->not_before = ngx_current_msec;
    record->hash = hash;
    record->len = id->upstream.len;
    ngx_memcpy(record->id, id->upstream.data, record->len);

    bucket = &zone->sh->buckets[hash & zone->sh->mask];
    record->next = *bucket;
    *bucket = record;

    ngx_queue_init(&record->queue);
    ngx_completion_record_place(zone, record);

    return record;
}


void
ngx_completion_record_delete(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_record_sh_t  **p;

    p = &zone->sh->buckets[record->hash & zone->sh->mask];

    while (*p != record) {
        p = &(*p)->next;
    }

    *p = record->next;

    ngx_queue_remove(&record->queue);
    ngx_completion_record_uncount(zone, record);
    ngx_completion_record_unschedule(zone, record);
    ngx_completion_chunks_free(zone, &record->chunks);
    ngx_completion_chunks_free(zone, &record->draft);

    ngx_slab_free_locked(zone->shpool, record);
}


void
ngx_completion_record_place(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_uint_t    i, list;
    ngx_queue_t  *queue;

    i = record->state;

    switch (record->state) {

    case NGX_COMPLETION_RECORD_FINAL:
        i += record->verdict;
        list = record->chunks ? NGX_COMPLETION_METRICS_RESULT
                              : NGX_COMPLETION_METRICS_FINISHED;
        break;

    case NGX_COMPLETION_RECORD_PENDING:
        list = NGX_COMPLETION_METRICS_PENDING;
        break;

    default: /* unknown, missing: a minute */
        list = NGX_COMPLETION_METRICS_MISSING;
    }

    queue = (record->flags & NGX_COMPLETION_RECORD_DELETED)
                ? &zone->sh->deleted : &zone->sh->lists[list];

    ngx_queue_remove(&record->queue);
    ngx_queue_insert_tail(queue, &record->queue);

    ngx_completion_record_uncount(zone, record);
    zone->sh->counts[i]++;
    record->counted = i + 1;
}


ngx_uint_t
ngx_completion_record_deleted(ngx_completion_zone_t *zone, ngx_str_t *id)
{
    ngx_completion_record_sh_t  *record;

    record = ngx_completion_record_find(zone, id,
                                        ngx_completion_zone_hash(id));

    return record && (record->flags & NGX_COMPLETION_RECORD_DELETED);
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
ngx_completion_record_is_complete(ngx_completion_record_sh_t *record)
{
    return record->state == NGX_COMPLETION_RECORD_MISSING
           || (record->state == NGX_COMPLETION_RECORD_FINAL
               && (record->chunks
                   || (record->flags & NGX_COMPLETION_RECORD_DECIDED
                       && !ngx_completion_record_is_makeshift(record))));
}


void
ngx_completion_record_schedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t at)
{
    ngx_completion_record_insert(zone, record,
                                 ngx_completion_record_wanted(record)
                                     ? NGX_COMPLETION_RECORD_URGENT : 0, at);
}


void
ngx_completion_record_call(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_record_insert(zone, record, NGX_COMPLETION_RECORD_CALLED,
                                 ngx_current_msec + NGX_COMPLETION_TURN_CALL);
    zone->sh->ncalled++;
}


static void
ngx_completion_record_insert(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, u_char flags, ngx_msec_t at)
{
    ngx_completion_record_unschedule(zone, record);

    record->flags |= NGX_COMPLETION_RECORD_SCHEDULED | flags;
    record->due.key = at;

    ngx_rbtree_insert(ngx_completion_record_tree(zone, record), &record->due);
}


void
ngx_completion_record_unschedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    if (record->flags & NGX_COMPLETION_RECORD_SCHEDULED) {
        ngx_rbtree_delete(ngx_completion_record_tree(zone, record),
                          &record->due);

        if (record->flags & NGX_COMPLETION_RECORD_CALLED) {
            zone->sh->ncalled--;
        }

        record->flags &= ~(NGX_COMPLETION_RECORD_SCHEDULED
                           |NGX_COMPLETION_RECORD_URGENT
                           |NGX_COMPLETION_RECORD_CALLED);
    }
}
