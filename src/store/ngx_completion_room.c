
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* at what cannot go, in each list and under one lock at most */
#define NGX_COMPLETION_EVICT_LOOKS    256

#define NGX_COMPLETION_PASSING_TIME   60000
#define NGX_COMPLETION_READING_TIME   1000
#define NGX_COMPLETION_ROOM_TIME      3600000


/* no id of it verifies any more */
#define ngx_completion_record_outlived(zone, record)                          \
    (ngx_completion_since((record)->created)                                  \
     > (ngx_msec_int_t) ngx_completion_ms((zone)->lifetime                    \
                                          + NGX_COMPLETION_ID_SKEW))

#define ngx_completion_room_evicted(zone, list)                               \
    ngx_completion_metrics_add(&(zone)->metrics->evictions[list], 1)


static void ngx_completion_room_unfollow(ngx_completion_zone_t *zone,
    uint32_t owner);
static ngx_int_t ngx_completion_room_evict(ngx_completion_zone_t *zone,
    ngx_uint_t *looks);
static ngx_completion_key_sh_t *ngx_completion_room_cached(
    ngx_completion_zone_t *zone, ngx_uint_t *looks);
static void ngx_completion_room_drop(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key);
static ngx_completion_record_sh_t *ngx_completion_room_victim(
    ngx_completion_zone_t *zone, ngx_uint_t list, ngx_uint_t wanted,
    ngx_uint_t *looks);
static ngx_uint_t ngx_completion_record_expired(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);


ngx_int_t
ngx_completion_room_take(ngx_completion_zone_t *zone, ngx_uint_t n,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_uint_t                  looks[NGX_COMPLETION_METRICS_EVICTIONS];
    ngx_completion_chunk_sh_t  *chunk;

    _Static_assert(sizeof(ngx_completion_record_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a record fits into a chunk");
    _Static_assert(sizeof(ngx_completion_submit_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a submit fits into a chunk");
    _Static_assert(sizeof(ngx_completion_key_sh_t) <= NGX_COMPLETION_CHUNK,
                   "a key fits into a chunk");

    *chunks = NULL;
    ngx_memzero(looks, sizeof(looks));

    while (n) {
        chunk = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);

        if (chunk) {
            chunk->next = *chunks;
            *chunks = chunk;
            n--;

        } else if (ngx_completion_chunks_collect(zone) != NGX_OK
                   && ngx_completion_room_evict(zone, looks) != NGX_OK)
        {
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
    ngx_uint_t                   looks;
    ngx_completion_chunk_sh_t   *chunk;
    ngx_completion_record_sh_t  *record;

    if (ngx_completion_room_take(zone, 1, &chunk) == NGX_OK) {
        return chunk;
    }

    looks = 0;
    record = ngx_completion_room_victim(zone, NGX_COMPLETION_METRICS_PENDING,
                                        1, &looks);
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
    void                      *chunk;
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;
    chunk = NULL;

    if (sh->nfollowers < ngx_completion_followers_max(sh)) {
        chunk = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);
    }

    if (chunk || ngx_queue_empty(&sh->followers)) {
        return chunk;
    }

    ngx_completion_room_unfollow(zone, owner);

    return ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);
}


static void
ngx_completion_room_unfollow(ngx_completion_zone_t *zone, uint32_t owner)
{
    ngx_rbtree_node_t         *own;
    ngx_completion_key_sh_t   *oldest;
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;
    own = ngx_completion_keys_first(&sh->owners, owner);

    oldest = own ? ngx_rbtree_data(own, ngx_completion_key_sh_t, node)
                 : ngx_queue_data(ngx_queue_head(&sh->followers),
                                  ngx_completion_key_sh_t, queue);

    ngx_completion_room_drop(zone, oldest);
}


/* one of what may go */

static ngx_int_t
ngx_completion_room_evict(ngx_completion_zone_t *zone, ngx_uint_t *looks)
{
    ngx_uint_t                   list;
    ngx_queue_t                 *followers;
    ngx_completion_key_sh_t     *key;
    ngx_completion_record_sh_t  *record;

    followers = &zone->sh->followers;

    /*
     * Whoever joined by one learns its fate from the entry of the cache, which
     * is not evicted while it is awaited.
     */

    if (!ngx_queue_empty(followers)) {
        ngx_completion_room_drop(zone,
                                 ngx_queue_data(ngx_queue_head(followers),
                                                ngx_completion_key_sh_t,
                                                queue));
        return NGX_OK;
    }

    for (list = 0; list < NGX_COMPLETION_METRICS_EVICTIONS; list++) {

        if (list == NGX_COMPLETION_METRICS_CACHED) {
            key = ngx_completion_room_cached(zone, &looks[list]);

            if (key) {
                ngx_completion_room_drop(zone, key);
                return NGX_OK;
            }

            continue;
        }

        record = ngx_completion_room_victim(zone, list, 0, &looks[list]);

        if (record == NULL) {
            continue;
        }

        if (list == NGX_COMPLETION_METRICS_RESULT) {
            ngx_completion_chunks_free(zone, &record->chunks);
            ngx_completion_record_place(zone, record);

        } else {
            ngx_completion_record_delete(zone, record);
        }

        ngx_completion_room_evicted(zone, list);

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_completion_key_sh_t *
ngx_completion_room_cached(ngx_completion_zone_t *zone, ngx_uint_t *looks)
{
    ngx_queue_t              *q, *cached;
    ngx_completion_key_sh_t  *key;

    cached = &zone->sh->lists[NGX_COMPLETION_METRICS_CACHED];

    for ( /* void */ ;
         *looks < NGX_COMPLETION_EVICT_LOOKS && !ngx_queue_empty(cached);
         (*looks)++)
    {
        q = ngx_queue_head(cached);
        key = ngx_queue_data(q, ngx_completion_key_sh_t, queue);

        if (!ngx_completion_key_awaited(key)) {
            return key;
        }

        /* not to be met again by the next call */

        ngx_queue_remove(q);
        ngx_queue_insert_tail(cached, q);
    }

    return NULL;
}


static void
ngx_completion_room_drop(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_key_delete(zone, key);
    ngx_completion_room_evicted(zone, NGX_COMPLETION_METRICS_CACHED);
}


static ngx_completion_record_sh_t *
ngx_completion_room_victim(ngx_completion_zone_t *zone, ngx_uint_t list,
    ngx_uint_t wanted, ngx_uint_t *looks)
{
    ngx_queue_t                 *q, *head;
    ngx_completion_record_sh_t  *record;

    head = &zone->sh->lists[list];

    for ( /* void */ ;
         *looks < NGX_COMPLETION_EVICT_LOOKS && !ngx_queue_empty(head);
         (*looks)++)
    {
        q = ngx_queue_head(head);
        record = ngx_queue_data(q, ngx_completion_record_sh_t, queue);

        if (!ngx_completion_record_leased(record)
            && (wanted || !ngx_completion_record_wanted(record)))
        {
            return record;
        }

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

    (void) ngx_completion_chunks_collect(zone);

    ngx_completion_keys_sweep(zone);

    /* a refusal becomes a follower without asking */

    for (n = 0;
         n < 2
         && zone->sh->nfollowers > ngx_completion_followers_max(zone->sh);
         n++)
    {
        ngx_completion_room_unfollow(zone, 0);
    }

    for (list = 0; list < NGX_COMPLETION_METRICS_EVICTIONS; list++) {

        if (list == NGX_COMPLETION_METRICS_CACHED) {
            continue;
        }

        head = &zone->sh->lists[list];

        for (n = 0; n < 2 && !ngx_queue_empty(head); n++) {
            record = ngx_queue_data(ngx_queue_head(head),
                                    ngx_completion_record_sh_t, queue);

            if (!ngx_completion_record_expired(zone, record)) {
                break;
            }

            ngx_completion_record_delete(zone, record);
        }
    }

    head = &zone->sh->deleted;

    for (n = 0; n < 2 && !ngx_queue_empty(head); n++) {
        record = ngx_queue_data(ngx_queue_head(head),
                                ngx_completion_record_sh_t, queue);

        if (!ngx_completion_record_outlived(zone, record)) {
            break;
        }

        ngx_completion_record_delete(zone, record);
    }

    ngx_completion_room_sweep(zone, 2);
}


void
ngx_completion_room_sweep(ngx_completion_zone_t *zone, ngx_uint_t n)
{
    ngx_completion_submit_sh_t  *submit;

    n = ngx_min(n, zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT]);

    for ( /* void */ ; n; n--) {
        submit = ngx_completion_line_after(zone, zone->sh->swept);
        zone->sh->swept = submit->lease;

        if (!ngx_completion_line_lives(submit)) {
            ngx_completion_keys_orphaned(zone, submit);
        }
    }
}


static ngx_uint_t
ngx_completion_record_expired(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    if (ngx_completion_record_leased(record)) {
        return 0;
    }

    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        return ngx_completion_record_outlived(zone, record);
    }

    if (ngx_completion_record_wanted(record)) {
        return 0;
    }

    if (record->state != NGX_COMPLETION_RECORD_FINAL) {

        /* a doubt takes a minute to be believed */

        return ngx_completion_since(record->created)
               > NGX_COMPLETION_PASSING_TIME
                 + (record->doubts ? NGX_COMPLETION_DOUBT_TIME : 0);
    }

    /* whoever it was fetched again for is still to read it */

    return ngx_completion_since(record->ended)
           > (ngx_msec_int_t) ngx_completion_ms(zone->retention)
           && ngx_completion_since(record->not_before)
              > NGX_COMPLETION_READING_TIME;
}


ngx_msec_t
ngx_completion_room_comes(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   list;
    ngx_queue_t                 *head;
    ngx_rbtree_t                *tree;
    ngx_msec_int_t               left, first;
    ngx_rbtree_node_t           *node;
    ngx_completion_key_sh_t     *key;
    ngx_completion_record_sh_t  *record;
    ngx_completion_submit_sh_t  *submit;

    first = NGX_COMPLETION_ROOM_TIME;
    head = &zone->sh->kept;

    if (!ngx_queue_empty(head)) {
        key = ngx_queue_data(ngx_queue_head(head), ngx_completion_key_sh_t,
                             queue);

        if (key->state != NGX_COMPLETION_KEY_UNDERWAY) {
            first = ngx_min(first, ngx_completion_left(key->expires));
        }
    }

    tree = &zone->sh->submits;

    if (tree->root != tree->sentinel) {
        node = ngx_rbtree_min(tree->root, tree->sentinel);
        submit = ngx_rbtree_data(node, ngx_completion_submit_sh_t, node);

        first = ngx_min(first, ngx_completion_left(submit->lease_end));
    }

    for (list = 0; list < NGX_COMPLETION_METRICS_EVICTIONS; list++) {
        head = &zone->sh->lists[list];

        if (list == NGX_COMPLETION_METRICS_CACHED || ngx_queue_empty(head)) {
            continue;
        }

        record = ngx_queue_data(ngx_queue_head(head),
                                ngx_completion_record_sh_t, queue);

        left = ngx_completion_left(record->wanted);

        if (ngx_completion_record_leased(record)) {
            left = ngx_max(left, ngx_completion_left(record->lease_end));
        }

        first = ngx_min(first, left);
    }

    return ngx_max(first, 1);
}
