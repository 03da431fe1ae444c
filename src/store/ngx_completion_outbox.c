
/*
 * What the nodes' server is to be told or asked is kept here until it is done,
 * whichever worker does it:
 *
 *     due --> somebody's --> done
 *               ^    |
 *               |    | no answer, or its worker is gone
 *               '----'
 *
 * It is done at least once; those of one subject in their order, all others in
 * none: how an operation ended is told behind that there is one, whichever
 * worker tells either.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define ngx_completion_errand_node(n)                                         \
    ngx_rbtree_data(n, ngx_completion_errand_sh_t, node)

#define ngx_completion_errand_bucket(zone, subject)                           \
    (&(zone)->sh->subjects[(subject) % NGX_COMPLETION_SUBJECTS])


static ngx_int_t ngx_completion_outbox_drop(ngx_completion_zone_t *zone,
    ngx_uint_t light);
static uint64_t ngx_completion_outbox_order(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *errand);
static ngx_uint_t ngx_completion_outbox_blocked(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *errand);
static ngx_completion_errand_sh_t *ngx_completion_outbox_find(
    ngx_completion_zone_t *zone, uint64_t number, ngx_rbtree_t **outbox);
static void ngx_completion_outbox_delete(ngx_completion_zone_t *zone,
    ngx_rbtree_t *outbox, ngx_completion_errand_sh_t *errand);


void
ngx_completion_zone_errand(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand)
{
    ngx_completion_zone_lock(zone);

    ngx_completion_outbox_add(zone, errand,
                              ngx_completion_outbox_room(zone, errand));

    ngx_completion_zone_unlock(zone);
}


void *
ngx_completion_outbox_room(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand)
{
    ngx_completion_chunk_sh_t  *chunk;

    _Static_assert(sizeof(ngx_completion_errand_sh_t) <= NGX_COMPLETION_CHUNK,
                   "an errand fits into a chunk");

    while (zone->sh->nerrands >= ngx_completion_outbox_max(zone->sh)
           || ngx_completion_room_take(zone, 1, &chunk) != NGX_OK)
    {
        if (ngx_completion_outbox_drop(zone, errand->light) != NGX_OK) {
            return NULL;
        }
    }

    return chunk;
}


/* the oldest of those that go first, and of others for one of these only */

static ngx_int_t
ngx_completion_outbox_drop(ngx_completion_zone_t *zone, ngx_uint_t light)
{
    ngx_uint_t          i;
    ngx_rbtree_t       *outbox;
    ngx_rbtree_node_t  *node;

    for (i = NGX_COMPLETION_OUTBOXES; i-- > light; /* void */ ) {
        outbox = &zone->sh->outboxes[i];

        if (outbox->root != outbox->sentinel) {
            node = ngx_rbtree_min(outbox->root, outbox->sentinel);

            ngx_completion_outbox_delete(zone, outbox,
                                         ngx_completion_errand_node(node));
            ngx_completion_metrics_add(&zone->metrics->redis_lost, 1);

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_completion_outbox_add(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand, void *room)
{
    ngx_completion_errand_sh_t  *kept;

    errand->due = 1;
    errand->number = 0;

    kept = room;

    if (kept == NULL) {
        ngx_completion_metrics_add(&zone->metrics->redis_lost, 1);
        return;
    }

    errand->number = ++zone->sh->sequence;

    kept->node.key = errand->number;
    kept->lease_end = ngx_current_msec + errand->ms;
    kept->subject = errand->subject;
    kept->after = ngx_completion_outbox_order(zone, kept);
    kept->len = (uint32_t) errand->len;
    ngx_memcpy(kept->data, errand->data, errand->len);

    /* whoever has done that one finds it */

    if (kept->after) {
        kept->lease_end = ngx_current_msec;
        errand->due = 0;
    }

    ngx_rbtree_insert(&zone->sh->outboxes[errand->light], &kept->node);
    zone->sh->nerrands++;
}


/* the last one of its subject, behind which it is put, or 0 */

static uint64_t
ngx_completion_outbox_order(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *errand)
{
    ngx_completion_errand_sh_t  *last, **bucket;

    if (errand->subject == 0) {
        return 0;
    }

    bucket = ngx_completion_errand_bucket(zone, errand->subject);

    for (last = *bucket; last; last = last->next) {
        if (last->subject == errand->subject) {
            break;
        }
    }

    errand->next = *bucket;
    *bucket = errand;

    return last ? last->node.key : 0;
}


void
ngx_completion_outbox_free(ngx_completion_zone_t *zone, void *room)
{
    if (room) {
        ngx_slab_free_locked(zone->shpool, room);
    }
}


ngx_int_t
ngx_completion_zone_errand_take(ngx_completion_zone_t *zone, ngx_msec_t ms,
    ngx_completion_errand_t *errand)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_rbtree_t                *outbox;
    ngx_rbtree_node_t           *node;
    ngx_completion_errand_sh_t  *kept;

    rc = NGX_DONE;

    ngx_completion_zone_lock(zone);

    for (i = 0; i < NGX_COMPLETION_OUTBOXES && rc == NGX_DONE; i++) {
        outbox = &zone->sh->outboxes[i];

        node = (outbox->root == outbox->sentinel)
                   ? NULL : ngx_rbtree_min(outbox->root, outbox->sentinel);

        for ( /* void */ ; node; node = ngx_rbtree_next(outbox, node)) {
            kept = ngx_completion_errand_node(node);

            if (ngx_completion_left(kept->lease_end) > 0
                || ngx_completion_outbox_blocked(zone, kept))
            {
                continue;
            }

            kept->lease_end = ngx_current_msec + ms;

            errand->ms = ms;
            errand->light = i;
            errand->due = 1;
            errand->number = kept->node.key;
            errand->len = kept->len;
            ngx_memcpy(errand->data, kept->data, kept->len);

            rc = NGX_OK;
            break;
        }
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_errand_done(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand)
{
    ngx_rbtree_t                *outbox;
    ngx_completion_errand_sh_t  *kept;

    ngx_completion_zone_lock(zone);

    kept = ngx_completion_outbox_find(zone, errand->number, &outbox);

    if (kept) {
        ngx_completion_outbox_delete(zone, outbox, kept);
    }

    ngx_completion_zone_unlock(zone);
}


void
ngx_completion_zone_errand_yield(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand)
{
    ngx_rbtree_t                *outbox;
    ngx_completion_errand_sh_t  *kept;

    ngx_completion_zone_lock(zone);

    kept = ngx_completion_outbox_find(zone, errand->number, &outbox);

    if (kept) {
        kept->lease_end = ngx_current_msec;
    }

    ngx_completion_zone_unlock(zone);
}


static ngx_uint_t
ngx_completion_outbox_blocked(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *errand)
{
    ngx_rbtree_t  *outbox;

    return errand->after
           && ngx_completion_outbox_find(zone, errand->after, &outbox);
}


static ngx_completion_errand_sh_t *
ngx_completion_outbox_find(ngx_completion_zone_t *zone, uint64_t number,
    ngx_rbtree_t **outbox)
{
    ngx_uint_t          i;
    ngx_rbtree_node_t  *node;

    for (i = 0; i < NGX_COMPLETION_OUTBOXES; i++) {
        *outbox = &zone->sh->outboxes[i];

        node = ngx_completion_keys_first(*outbox, number);

        if (node) {
            return ngx_completion_errand_node(node);
        }
    }

    return NULL;
}


static void
ngx_completion_outbox_delete(ngx_completion_zone_t *zone,
    ngx_rbtree_t *outbox, ngx_completion_errand_sh_t *errand)
{
    ngx_completion_errand_sh_t  **p;

    if (errand->subject) {
        p = ngx_completion_errand_bucket(zone, errand->subject);

        while (*p != errand) {
            p = &(*p)->next;
        }

        *p = errand->next;
    }

    ngx_rbtree_delete(outbox, &errand->node);
    zone->sh->nerrands--;

    ngx_slab_free_locked(zone->shpool, errand);
}


ngx_int_t
ngx_completion_zone_news_take(ngx_completion_zone_t *zone, ngx_msec_t ms)
{
    ngx_int_t                  rc;
    ngx_completion_zone_sh_t  *sh;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    sh = zone->sh;

    if (sh->reader == 0 || sh->reader == (uint32_t) ngx_pid
        || ngx_completion_left(sh->reader_end) <= 0
        || !ngx_completion_pid_lives(sh->reader))
    {
        sh->reader = (uint32_t) ngx_pid;
        sh->reader_end = ngx_current_msec + ms;
        rc = NGX_OK;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_news_yield(ngx_completion_zone_t *zone)
{
    ngx_completion_zone_lock(zone);

    if (zone->sh->reader == (uint32_t) ngx_pid) {
        zone->sh->reader = 0;
    }

    ngx_completion_zone_unlock(zone);
}


size_t
ngx_completion_zone_news_position(ngx_completion_zone_t *zone,
    u_char *position, ngx_msec_t *age)
{
    size_t          len;
    ngx_msec_int_t  since;

    ngx_completion_zone_lock(zone);

    len = zone->sh->nnews;
    ngx_memcpy(position, zone->sh->news, len);

    since = ngx_completion_since(zone->sh->made);
    *age = ngx_max(since, 0);

    ngx_completion_zone_unlock(zone);

    return len;
}


void
ngx_completion_zone_news_read(ngx_completion_zone_t *zone,
    ngx_str_t *position)
{
    ngx_completion_zone_lock(zone);

    if (zone->sh->reader == (uint32_t) ngx_pid
        && position->len <= NGX_COMPLETION_NEWS_POSITION)
    {
        ngx_memcpy(zone->sh->news, position->data, position->len);
        zone->sh->nnews = position->len;
    }

    ngx_completion_zone_unlock(zone);
}
