
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


/* a lease: when it ends, and behind that what makes it another one */
#define NGX_COMPLETION_OUTBOX_TURN  20

#define ngx_completion_outbox_left(lease)                                     \
    ngx_completion_left((lease) >> NGX_COMPLETION_OUTBOX_TURN)

#define ngx_completion_errand_bucket(zone, subject)                           \
    (&(zone)->sh->subjects[(subject)                                          \
                           % ngx_completion_subjects((zone)->sh->mask)])


static ngx_int_t ngx_completion_outbox_drop(ngx_completion_zone_t *zone,
    ngx_uint_t light);
static ngx_completion_errand_sh_t *ngx_completion_outbox_first(
    ngx_rbtree_t *tree);
static ngx_uint_t ngx_completion_outbox_order(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *errand);
static void ngx_completion_outbox_chain(ngx_completion_errand_sh_t **link,
    ngx_completion_errand_sh_t *errand);
static void ngx_completion_outbox_unchain(ngx_completion_errand_sh_t *errand);
static void ngx_completion_outbox_lease(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *kept, ngx_completion_errand_t *errand);
static void ngx_completion_outbox_ready(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *kept);
static void ngx_completion_outbox_lapse(ngx_completion_zone_t *zone,
    ngx_uint_t light);
static ngx_completion_errand_sh_t *ngx_completion_outbox_leased(
    ngx_completion_zone_t *zone, uint64_t lease);
static void ngx_completion_outbox_delete(ngx_completion_zone_t *zone,
    ngx_rbtree_t *tree, ngx_completion_errand_sh_t *errand);


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


/*
 * The oldest of those that go first, and of others for one of these only; what
 * is being told goes last.
 */

static ngx_int_t
ngx_completion_outbox_drop(ngx_completion_zone_t *zone, ngx_uint_t light)
{
    ngx_uint_t                   i;
    ngx_rbtree_t                *tree;
    ngx_completion_errand_sh_t  *errand;

    for (i = NGX_COMPLETION_OUTBOXES; i-- > light; /* void */ ) {
        tree = &zone->sh->outboxes[i];
        errand = ngx_completion_outbox_first(tree);

        if (errand == NULL) {
            tree = &zone->sh->underway[i];
            errand = ngx_completion_outbox_first(tree);
        }

        if (errand) {
            ngx_completion_outbox_delete(zone, tree, errand);
            ngx_completion_metrics_add(&zone->metrics->redis_lost, 1);

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_completion_errand_sh_t *
ngx_completion_outbox_first(ngx_rbtree_t *tree)
{
    if (tree->root == tree->sentinel) {
        return NULL;
    }

    return ngx_rbtree_data(ngx_rbtree_min(tree->root, tree->sentinel),
                           ngx_completion_errand_sh_t, node);
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

    kept->number = ++zone->sh->sequence;
    kept->subject = errand->subject;
    kept->light = (u_char) errand->light;
    kept->len = (uint16_t) errand->len;
    ngx_memcpy(kept->data, errand->data, errand->len);

    zone->sh->nerrands++;

    if (ngx_completion_outbox_order(zone, kept)) {
        errand->number = kept->number;
        errand->due = 0;
        return;
    }

    ngx_completion_outbox_lease(zone, kept, errand);
}


/* whether it stands behind another one, as whose end it is due */

static ngx_uint_t
ngx_completion_outbox_order(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *errand)
{
    ngx_completion_errand_sh_t  *last, **bucket;

    errand->next = NULL;
    errand->link = NULL;

    if (errand->subject == 0) {
        return 0;
    }

    bucket = ngx_completion_errand_bucket(zone, errand->subject);

    for (last = *bucket; last; last = last->next) {

        if (last->subject == errand->subject) {
            ngx_completion_outbox_unchain(last);
            last->next = errand;
            break;
        }
    }

    ngx_completion_outbox_chain(bucket, errand);

    return last != NULL;
}


static void
ngx_completion_outbox_chain(ngx_completion_errand_sh_t **link,
    ngx_completion_errand_sh_t *errand)
{
    errand->next = *link;
    errand->link = link;

    if (errand->next) {
        errand->next->link = &errand->next;
    }

    *link = errand;
}


static void
ngx_completion_outbox_unchain(ngx_completion_errand_sh_t *errand)
{
    *errand->link = errand->next;

    if (errand->next) {
        errand->next->link = errand->link;
    }

    errand->next = NULL;
    errand->link = NULL;
}


static void
ngx_completion_outbox_lease(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *kept, ngx_completion_errand_t *errand)
{
    uint64_t  turn;

    turn = ++zone->sh->sequence
           & (((uint64_t) 1 << NGX_COMPLETION_OUTBOX_TURN) - 1);

    errand->number = ((uint64_t) (ngx_current_msec + errand->ms)
                      << NGX_COMPLETION_OUTBOX_TURN)
                     | turn;

    kept->node.key = errand->number;
    ngx_rbtree_insert(&zone->sh->underway[kept->light], &kept->node);
}


static void
ngx_completion_outbox_ready(ngx_completion_zone_t *zone,
    ngx_completion_errand_sh_t *kept)
{
    kept->node.key = kept->number;
    ngx_rbtree_insert(&zone->sh->outboxes[kept->light], &kept->node);
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
    ngx_completion_errand_sh_t  *kept;

    rc = NGX_DONE;

    ngx_completion_zone_lock(zone);

    for (i = 0; i < NGX_COMPLETION_OUTBOXES; i++) {
        ngx_completion_outbox_lapse(zone, i);

        outbox = &zone->sh->outboxes[i];
        kept = ngx_completion_outbox_first(outbox);

        if (kept == NULL) {
            continue;
        }

        ngx_rbtree_delete(outbox, &kept->node);

        errand->ms = ms;
        errand->light = i;
        errand->due = 1;
        errand->len = kept->len;
        ngx_memcpy(errand->data, kept->data, kept->len);

        ngx_completion_outbox_lease(zone, kept, errand);

        rc = NGX_OK;
        break;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


/* one at a time: whoever looks takes until there is none */

static void
ngx_completion_outbox_lapse(ngx_completion_zone_t *zone, ngx_uint_t light)
{
    ngx_rbtree_t                *underway;
    ngx_completion_errand_sh_t  *kept;

    underway = &zone->sh->underway[light];
    kept = ngx_completion_outbox_first(underway);

    if (kept && ngx_completion_outbox_left(kept->node.key) <= 0) {
        ngx_rbtree_delete(underway, &kept->node);
        ngx_completion_outbox_ready(zone, kept);
    }
}


void
ngx_completion_zone_errand_done(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand)
{
    ngx_completion_errand_sh_t  *kept;

    ngx_completion_zone_lock(zone);

    kept = ngx_completion_outbox_leased(zone, errand->number);

    if (kept) {
        ngx_completion_outbox_delete(zone, &zone->sh->underway[kept->light],
                                     kept);
    }

    ngx_completion_zone_unlock(zone);
}


void
ngx_completion_zone_errand_yield(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand)
{
    ngx_completion_errand_sh_t  *kept;

    ngx_completion_zone_lock(zone);

    kept = ngx_completion_outbox_leased(zone, errand->number);

    if (kept) {
        ngx_rbtree_delete(&zone->sh->underway[kept->light], &kept->node);
        ngx_completion_outbox_ready(zone, kept);
    }

    ngx_completion_zone_unlock(zone);
}


static ngx_completion_errand_sh_t *
ngx_completion_outbox_leased(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_uint_t          i;
    ngx_rbtree_node_t  *node;

    for (i = 0; i < NGX_COMPLETION_OUTBOXES; i++) {
        node = ngx_completion_keys_first(&zone->sh->underway[i], lease);

        if (node) {
            return ngx_rbtree_data(node, ngx_completion_errand_sh_t, node);
        }
    }

    return NULL;
}


static void
ngx_completion_outbox_delete(ngx_completion_zone_t *zone, ngx_rbtree_t *tree,
    ngx_completion_errand_sh_t *errand)
{
    if (errand->link) {
        ngx_completion_outbox_unchain(errand);

    } else if (errand->next) {
        ngx_completion_outbox_ready(zone, errand->next);
    }

    ngx_rbtree_delete(tree, &errand->node);
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
