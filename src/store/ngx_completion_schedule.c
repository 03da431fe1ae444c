
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* how far back in line a place is counted, and up to where it is estimated */
#define NGX_COMPLETION_RANK_COUNTED   32
#define NGX_COMPLETION_RANK_MAX       256


static ngx_msec_t ngx_completion_record_poll_at(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static ngx_msec_t ngx_completion_schedule_start(ngx_completion_zone_t *zone,
    ngx_uint_t urgent, ngx_msec_t now);
static ngx_uint_t ngx_completion_schedule_due(ngx_completion_zone_t *zone,
    ngx_msec_t now);
static ngx_uint_t ngx_completion_schedule_count(ngx_completion_zone_t *zone,
    ngx_uint_t i);
static ngx_completion_record_sh_t *ngx_completion_record_first(
    ngx_completion_zone_t *zone, ngx_uint_t i, ngx_msec_t *wait);
static void ngx_completion_schedule_lapse(ngx_completion_zone_t *zone,
    ngx_msec_t *wait);


ngx_msec_t
ngx_completion_zone_want(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_msec_t ms)
{
    ngx_completion_view_t        view;
    ngx_completion_record_sh_t  *record;

    view.next = 0;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id,
                                        ngx_completion_zone_hash(id));
    if (record) {
        ngx_completion_record_want(zone, record, ms, &view);
    }

    ngx_completion_zone_unlock(zone);

    return view.next;
}


void
ngx_completion_record_want(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t ms,
    ngx_completion_view_t *view)
{
    u_char          flags;
    ngx_msec_t      at, due;
    ngx_msec_int_t  left;

    at = ngx_current_msec + ms;
    record->wanted = ngx_completion_later(at, record->wanted);

    flags = record->flags;
    due = record->due.key;

    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_record_place(zone, record);
    }

    if (ngx_completion_record_leased(record)
        || ngx_completion_record_is_complete(record))
    {
        /* nothing is to be asked, or it is being asked */

    } else if (flags & NGX_COMPLETION_RECORD_SCHEDULED) {

        if (flags & NGX_COMPLETION_RECORD_URGENT) {
            /* it stands ahead of those that nobody waits for */

        } else if (record->state == NGX_COMPLETION_RECORD_PENDING) {
            ngx_completion_record_plan(zone, record, record->asked);

        } else {
            ngx_completion_record_schedule(zone, record, due);
        }

    } else if (ngx_completion_left(record->not_before) <= 0
               || record->failures < NGX_COMPLETION_FAILURES)
    {
        left = ngx_completion_left(record->not_before);

        /* a pending one without a schedule has met its deadline */

        if (record->state == NGX_COMPLETION_RECORD_PENDING) {
            left = ngx_max(left, ngx_completion_left(record->asked
                                                     + zone->poll_max));
        }

        ngx_completion_record_schedule(zone, record,
                                       ngx_current_msec + ngx_max(left, 0));
    }

    view->moved = (record->flags != flags || record->due.key != due);
    view->next = 0;

    if (!ngx_completion_record_leased(record)) {
        left = ngx_completion_left(ngx_completion_record_poll_at(zone, record));
        view->next = ngx_max(left, 0);
    }
}


/* when the quota will let it be polled: in line behind all that is due */

static ngx_msec_t
ngx_completion_record_poll_at(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_msec_t                  at, first, last;
    ngx_uint_t                  rank;
    ngx_rbtree_t               *tree;
    ngx_rbtree_node_t          *node;
    ngx_completion_quota_sh_t  *quota;

    if (!(record->flags & NGX_COMPLETION_RECORD_SCHEDULED)) {
        return record->not_before;
    }

    quota = &zone->quotas[NGX_COMPLETION_KIND_POLL];
    at = ngx_completion_pool_next(zone, NGX_COMPLETION_KIND_POLL,
                                  zone->sh->ncalled);

    tree = ngx_completion_record_tree(zone, record);
    node = ngx_rbtree_min(tree->root, tree->sentinel);
    first = node->key;

    for (rank = 0; /* void */ ; rank++) {

        if (node == NULL || node == &record->due
            || (ngx_msec_int_t) (node->key - at) > 0)
        {
            break;
        }

        if (rank == NGX_COMPLETION_RANK_COUNTED) {

            /* the rest of the line is taken to be as dense as its head */

            last = ((ngx_msec_int_t) (record->due.key - at) > 0)
                       ? at : record->due.key;

            rank = rank * (last - first) / ngx_max(node->key - first, 1);
            rank = ngx_max(rank, NGX_COMPLETION_RANK_COUNTED);
            rank = ngx_min(rank, NGX_COMPLETION_RANK_MAX);
            break;
        }

        node = ngx_rbtree_next(tree, node);
    }

    if (quota->rates[0].n) {
        at += rank * quota->rates[0].unit * ngx_max(quota->nodes, 1)
              / quota->rates[0].n;
    }

    return ngx_completion_later(record->due.key, at);
}


/* the next poll of a pending operation, counted from this moment */

void
ngx_completion_record_plan(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t from)
{
    ngx_msec_t  at, age;

    age = ngx_completion_record_age(record, from);

    if (age >= zone->deadline) {
        ngx_completion_record_unschedule(zone, record);
        return;
    }

    at = from;

    /* what another node has heard the end of is asked for as soon as may be */

    if (!(record->flags & NGX_COMPLETION_RECORD_TOLD)) {
        at += ngx_completion_pace_gap(&zone->sh->paces, record->model, age,
                                      zone->poll_min, zone->poll_max,
                                      ngx_completion_record_wanted(record));
    }

    ngx_completion_record_schedule(zone, record,
                                   ngx_completion_later(record->not_before,
                                                        at));
}


ngx_int_t
ngx_completion_zone_take(ngx_completion_zone_t *zone,
    ngx_completion_due_t *due, ngx_msec_t *wait)
{
    ngx_int_t                    rc;
    ngx_msec_t                   at, now;
    ngx_uint_t                   urgent;
    ngx_completion_record_sh_t  *record;

    rc = NGX_AGAIN;
    now = ngx_current_msec;

    ngx_completion_zone_lock(zone);

    ngx_completion_room_expire(zone);

    *wait = NGX_TIMER_INFINITE;
    ngx_completion_schedule_lapse(zone, wait);

    record = ngx_completion_record_first(zone, NGX_COMPLETION_TREE_URGENT,
                                         wait);
    urgent = (record != NULL);

    if (record == NULL) {
        record = ngx_completion_record_first(zone, NGX_COMPLETION_TREE_DUE,
                                             wait);
        if (record == NULL) {
            goto done;
        }
    }

    at = ngx_completion_schedule_start(zone, urgent, now);

    if (at != now) {
        *wait = ngx_min(*wait, at - now);
        goto done;
    }

    ngx_completion_record_lend(zone, record, ++zone->sh->sequence);
    record->sent = now;

    ngx_completion_record_call(zone, record);

    due->lease = record->lease;
    due->id.len = record->len;
    due->id.data = due->buf;
    ngx_memcpy(due->buf, record->id, record->len);

    rc = NGX_OK;

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


/* when the next of those that are due may be asked: now, or later */

static ngx_msec_t
ngx_completion_schedule_start(ngx_completion_zone_t *zone, ngx_uint_t urgent,
    ngx_msec_t now)
{
    ngx_msec_t                  at;
    ngx_uint_t                  called;
    ngx_completion_pool_sh_t   *pool;
    ngx_completion_quota_sh_t  *quota;

    at = now;
    called = zone->sh->ncalled;
    quota = &zone->quotas[NGX_COMPLETION_KIND_POLL];

    /* who is waited for next must not find the whole window used up */

    if (!urgent) {
        at = ngx_completion_quota_even(quota, now, called);

        if (at != now) {
            return at;
        }
    }

    if (!ngx_completion_pool_rules(zone, NGX_COMPLETION_KIND_POLL)) {
        return urgent ? ngx_completion_quota_next(quota, now, called) : at;
    }

    if (ngx_completion_pool_free(zone, NGX_COMPLETION_KIND_POLL) > called) {
        return now;
    }

    /* whoever looks next asks the server for as many */

    pool = &zone->lasting->pools[NGX_COMPLETION_KIND_POLL];
    pool->wants = ngx_completion_schedule_due(zone, now);

    at = ngx_completion_pool_look(zone, NGX_COMPLETION_KIND_POLL, called);

    return ngx_completion_later(at, now + 1);
}


/* how many may begin with a start each, those included that are called */

static ngx_uint_t
ngx_completion_schedule_due(ngx_completion_zone_t *zone, ngx_msec_t now)
{
    ngx_uint_t                  n, due;
    ngx_completion_quota_sh_t  *quota;

    quota = &zone->quotas[NGX_COMPLETION_KIND_POLL];

    n = zone->sh->ncalled
        + ngx_completion_schedule_count(zone, NGX_COMPLETION_TREE_URGENT);
    due = ngx_completion_schedule_count(zone, NGX_COMPLETION_TREE_DUE);

    while (due-- && ngx_completion_quota_even(quota, now, n) == now) {
        n++;
    }

    return n;
}


/* how many are due, of a tree; so many as can be asked for at most */

static ngx_uint_t
ngx_completion_schedule_count(ngx_completion_zone_t *zone, ngx_uint_t i)
{
    ngx_uint_t          n;
    ngx_rbtree_t       *tree;
    ngx_rbtree_node_t  *node;

    n = 0;
    tree = &zone->sh->trees[i];
    node = (tree->root == tree->sentinel)
               ? NULL : ngx_rbtree_min(tree->root, tree->sentinel);

    while (node && n < NGX_COMPLETION_POOL_ASK
           && ngx_completion_left(node->key) <= 0)
    {
        node = ngx_rbtree_next(tree, node);
        n++;
    }

    return n;
}


/* what was not sent in time, as a connection took too long, others may be */

static void
ngx_completion_schedule_lapse(ngx_completion_zone_t *zone, ngx_msec_t *wait)
{
    ngx_uint_t                   looks;
    ngx_completion_record_sh_t  *record;

    for (looks = 0; looks < NGX_COMPLETION_TURN_LOOKS; looks++) {
        record = ngx_completion_record_first(zone, NGX_COMPLETION_TREE_CALLED,
                                             wait);
        if (record == NULL) {
            break;
        }

        /* a lease that runs out makes the operation due again */

        ngx_completion_record_schedule(zone, record, record->lease_end);
    }
}


ngx_int_t
ngx_completion_zone_ask(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint64_t lease)
{
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    rc = NGX_AGAIN;

    ngx_completion_zone_lock(zone);

    /* the worker may have stood still in this very turn of its loop */

    ngx_time_update();

    record = ngx_completion_record_leased_by(zone, id,
                                             ngx_completion_zone_hash(id),
                                             lease);

    if (record
        && ngx_completion_pool_take(zone, NGX_COMPLETION_KIND_POLL,
                                    record->sent)
           == NGX_OK)
    {
        if (record->failures) {
            ngx_completion_metrics_add(
                     &zone->metrics->retries[NGX_COMPLETION_KIND_POLL], 1);
        }

        record->sent = ngx_current_msec;
        ngx_completion_record_schedule(zone, record, record->lease_end);
        rc = NGX_OK;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


static ngx_completion_record_sh_t *
ngx_completion_record_first(ngx_completion_zone_t *zone, ngx_uint_t i,
    ngx_msec_t *wait)
{
    ngx_rbtree_t       *tree;
    ngx_msec_int_t      left;
    ngx_rbtree_node_t  *node;

    tree = &zone->sh->trees[i];

    if (tree->root == tree->sentinel) {
        return NULL;
    }

    node = ngx_rbtree_min(tree->root, tree->sentinel);
    left = ngx_completion_left(node->key);

    if (left > 0) {
        *wait = ngx_min(*wait, (ngx_msec_t) left);
        return NULL;
    }

    return ngx_rbtree_data(node, ngx_completion_record_sh_t, due);
}


void
ngx_completion_zone_yield(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint64_t lease)
{
    ngx_completion_record_sh_t  *record;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_leased_by(zone, id,
                                             ngx_completion_zone_hash(id),
                                             lease);
    if (record) {
        record->lease = 0;
        ngx_completion_record_schedule(zone, record, ngx_current_msec);
    }

    ngx_completion_zone_unlock(zone);
}
