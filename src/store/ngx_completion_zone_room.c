
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_EVICT_TRIES    256
#define NGX_COMPLETION_PASSING_TIME   60000
#define NGX_COMPLETION_READING_TIME   1000


static ngx_int_t ngx_completion_room_evict_follower(
    ngx_completion_zone_t *zone, uint32_t *owner);
static ngx_completion_follower_sh_t *ngx_completion_follower_of(
    ngx_completion_zone_t *zone, uint32_t owner);
static ngx_int_t ngx_completion_room_evict_cached(ngx_completion_zone_t *zone);
static void ngx_completion_room_evicted(ngx_completion_zone_t *zone,
    ngx_uint_t kind);
static ngx_completion_record_sh_t *ngx_completion_room_victim(
    ngx_completion_zone_t *zone, ngx_uint_t list, ngx_uint_t wanted);
static ngx_uint_t ngx_completion_record_expired(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list);


ngx_int_t
ngx_completion_room_take(ngx_completion_zone_t *zone, ngx_uint_t n,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_completion_chunk_sh_t  *chunk;

    _Static_assert(sizeof(ngx_completion_record_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a record fits into a chunk");
    _Static_assert(sizeof(ngx_completion_submit_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a submit fits into a chunk");
    _Static_assert(sizeof(ngx_completion_follower_sh_t)
                   <= NGX_COMPLETION_CHUNK,
                   "a key fits into a chunk");

    *chunks = NULL;

    while (n) {
        chunk = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);

        if (chunk) {
            chunk->next = *chunks;
            *chunks = chunk;
            n--;

        } else if (ngx_completion_room_evict(zone) != NGX_OK) {
            ngx_completion_chunks_free(zone, chunks);
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* whoever asks now goes ahead of those who have their answer */

void *
ngx_completion_room_asked(ngx_completion_zone_t *zone)
{
    ngx_completion_chunk_sh_t   *chunk;
    ngx_completion_record_sh_t  *record;

    if (ngx_completion_room_take(zone, 1, &chunk) == NGX_OK) {
        return chunk;
    }

    record = ngx_completion_room_victim(zone, NGX_COMPLETION_LIST_PENDING, 1);

    if (record == NULL) {
        return NULL;
    }

    ngx_completion_record_delete(zone, record);
    ngx_completion_room_evicted(zone, NGX_COMPLETION_METRICS_PENDING);

    (void) ngx_completion_room_take(zone, 1, &chunk);

    return chunk;
}


void *
ngx_completion_room_follower(ngx_completion_zone_t *zone, uint32_t owner)
{
    void  *chunk;

    chunk = NULL;

    if (zone->sh->nfollowers < ngx_completion_followers_max(zone->sh)) {
        chunk = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);
    }

    if (chunk == NULL
        && ngx_completion_room_evict_follower(zone, &owner) == NGX_OK)
    {
        chunk = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);
    }

    return chunk;
}


ngx_int_t
ngx_completion_room_evict(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   kind;
    ngx_completion_record_sh_t  *record;

    if (ngx_completion_room_evict_follower(zone, NULL) == NGX_OK) {
        return NGX_OK;
    }

    record = ngx_completion_room_victim(zone, NGX_COMPLETION_LIST_RESULTS, 0);

    if (record) {
        ngx_completion_chunks_free(zone, &record->chunks);
        ngx_completion_record_unlink(zone, record);
        ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_FINAL);
        ngx_completion_room_evicted(zone, NGX_COMPLETION_METRICS_RESULT);

        return NGX_OK;
    }

    kind = NGX_COMPLETION_METRICS_FINISHED;
    record = ngx_completion_room_victim(zone, NGX_COMPLETION_LIST_FINAL, 0);

    if (record == NULL) {
        kind = NGX_COMPLETION_METRICS_MISSING;
        record = ngx_completion_room_victim(zone, NGX_COMPLETION_LIST_PASSING,
                                            0);
    }

    if (record == NULL && ngx_completion_room_evict_cached(zone) == NGX_OK) {
        ngx_completion_room_evicted(zone, NGX_COMPLETION_METRICS_CACHED);
        return NGX_OK;
    }

    if (record == NULL) {
        kind = NGX_COMPLETION_METRICS_PENDING;
        record = ngx_completion_room_victim(zone, NGX_COMPLETION_LIST_PENDING,
                                            0);
    }

    if (record == NULL) {
        return NGX_DECLINED;
    }

    ngx_completion_record_delete(zone, record);
    ngx_completion_room_evicted(zone, kind);

    return NGX_OK;
}


/*
 * Whoever joined by one learns its fate from the entry of the cache, which is
 * not evicted while it is awaited.
 */

static ngx_int_t
ngx_completion_room_evict_follower(ngx_completion_zone_t *zone,
    uint32_t *owner)
{
    ngx_queue_t                   *followers;
    ngx_completion_follower_sh_t  *follower;

    followers = &zone->sh->followers;

    if (ngx_queue_empty(followers)) {
        return NGX_DECLINED;
    }

    follower = owner ? ngx_completion_follower_of(zone, *owner) : NULL;

    if (follower == NULL) {
        follower = ngx_queue_data(ngx_queue_head(followers),
                                  ngx_completion_follower_sh_t, queue);
    }

    ngx_completion_key_delete(zone, &follower->key);
    ngx_completion_room_evicted(zone, NGX_COMPLETION_METRICS_CACHED);

    return NGX_OK;
}


/* the oldest of an owner */

static ngx_completion_follower_sh_t *
ngx_completion_follower_of(ngx_completion_zone_t *zone, uint32_t owner)
{
    ngx_rbtree_node_t  *node, *found, *sentinel;

    node = zone->sh->owners.root;
    sentinel = zone->sh->owners.sentinel;
    found = NULL;

    /* equals stand to the right of each other, in the order of insertion */

    while (node != sentinel) {

        if (node->key == owner) {
            found = node;
        }

        node = (node->key < owner) ? node->right : node->left;
    }

    if (found == NULL) {
        return NULL;
    }

    return (ngx_completion_follower_sh_t *)
               ((u_char *) found
                - offsetof(ngx_completion_follower_sh_t, node));
}


static ngx_int_t
ngx_completion_room_evict_cached(ngx_completion_zone_t *zone)
{
    ngx_queue_t                 *q, *cached;
    ngx_completion_cached_sh_t  *entry;

    cached = &zone->sh->cached;

    for (q = ngx_queue_head(cached); q != cached; q = ngx_queue_next(q)) {
        entry = ngx_queue_data(q, ngx_completion_cached_sh_t, queue);

        if (!ngx_completion_key_awaited(&entry->key)) {
            ngx_completion_key_delete(zone, &entry->key);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static void
ngx_completion_room_evicted(ngx_completion_zone_t *zone, ngx_uint_t kind)
{
    ngx_completion_metrics_add(&zone->metrics->evictions[kind], 1);
}


static ngx_completion_record_sh_t *
ngx_completion_room_victim(ngx_completion_zone_t *zone, ngx_uint_t list,
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
ngx_completion_room_expire(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   list, n;
    ngx_queue_t                 *head;
    ngx_completion_record_sh_t  *record;
    ngx_completion_submit_sh_t  *submit;

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

    head = &zone->sh->line;

    for (n = 0; n < 2 && !ngx_queue_empty(head); n++) {
        submit = ngx_queue_data(ngx_queue_head(head),
                                ngx_completion_submit_sh_t, queue);

        if (ngx_completion_line_leased(submit)) {
            break;
        }

        ngx_completion_keys_orphaned(zone, submit);
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

    default: /* NGX_COMPLETION_LIST_PASSING */
        return (ngx_msec_int_t) (ngx_current_msec - record->created)
               > NGX_COMPLETION_PASSING_TIME
               && !ngx_completion_record_wanted(record);
    }
}
