
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_md5.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_COPY_SMALL   4096

/* how often in a row, and for how long, upstream must deny an operation */
#define NGX_COMPLETION_LOST_COUNT   3
#define NGX_COMPLETION_LOST_TIME    60000

/* polls in a row without an answer before those who wait are told */
#define NGX_COMPLETION_FAILURES     3
#define NGX_COMPLETION_BACKOFF      500


static ngx_completion_record_sh_t *ngx_completion_record_leased_by(
    ngx_completion_zone_t *zone, ngx_str_t *id, uint32_t hash,
    uint64_t lease);
static ngx_completion_record_sh_t *ngx_completion_record_submit(
    ngx_completion_zone_t *zone, uint64_t lease);
static uint32_t ngx_completion_record_submit_hash(uint64_t lease);
static void ngx_completion_record_copy(ngx_completion_record_sh_t *record,
    size_t offset, u_char *p, size_t size);
static void ngx_completion_record_view(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_view_t *view);
static ngx_int_t ngx_completion_record_document(ngx_completion_zone_t *zone,
    ngx_str_t *id, uint32_t hash, ngx_completion_view_t *view);
static void ngx_completion_record_plan(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t from);
static void ngx_completion_record_demand(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static ngx_uint_t ngx_completion_record_complete(
    ngx_completion_record_sh_t *record);
static ngx_completion_record_sh_t *ngx_completion_record_first(
    ngx_rbtree_t *tree, ngx_msec_t *wait);
static ngx_int_t ngx_completion_record_write(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest, size_t *written);
static ngx_int_t ngx_completion_record_publish(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest);
static ngx_int_t ngx_completion_record_pending(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest);
static ngx_int_t ngx_completion_record_final(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest);
static ngx_int_t ngx_completion_record_not_found(
    ngx_completion_zone_t *zone, ngx_completion_record_sh_t *record,
    ngx_completion_update_t *update);
static ngx_int_t ngx_completion_record_failed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static void ngx_completion_record_adopt_draft(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest);
static void ngx_completion_record_decide(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t verdict);
static void ngx_completion_record_move(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list);
static ngx_int_t ngx_completion_record_changed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static ngx_msec_t ngx_completion_zone_earliest(ngx_completion_zone_t *zone);
static void ngx_completion_zone_start(ngx_completion_zone_t *zone,
    ngx_msec_t at);
static uint64_t ngx_completion_digest(ngx_str_t *document);


ngx_int_t
ngx_completion_zone_reserve(ngx_completion_zone_t *zone, ngx_msec_t ttl,
    uint64_t *lease, ngx_msec_t *delay)
{
    ngx_msec_t                   at, wait, now;
    ngx_uint_t                   line;
    ngx_queue_t                 *q, *submits;
    ngx_completion_record_sh_t  *record;

    now = ngx_current_msec;
    wait = 0;
    line = 0;

    ngx_completion_zone_lock(zone);

    ngx_completion_zone_expire(zone);

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

    record = ngx_completion_zone_alloc(zone,
                                       sizeof(ngx_completion_record_sh_t));
    if (record == NULL) {
        ngx_completion_zone_unlock(zone);
        return NGX_DECLINED;
    }

    ngx_completion_zone_start(zone, at);

    *lease = ++zone->sh->sequence;
    *delay = at - now;

    record->state = NGX_COMPLETION_RECORD_SUBMIT;
    record->lease = *lease;
    record->lease_end = at + ttl;
    record->created = at;
    record->wanted = now;
    record->hash = ngx_completion_record_submit_hash(*lease);

    ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_SUBMITS);

    ngx_completion_zone_unlock(zone);

    return NGX_OK;
}


ngx_int_t
ngx_completion_zone_repeat(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t ttl, ngx_msec_t *delay)
{
    ngx_msec_t                   at;
    ngx_completion_record_sh_t  *record;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);

    if (record) {
        at = ngx_completion_zone_earliest(zone);
        ngx_completion_zone_start(zone, at);

        *delay = at - ngx_current_msec;

        record->created = at;
        record->lease_end = at + ttl;
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_SUBMITS);
    }

    ngx_completion_zone_unlock(zone);

    return record ? NGX_OK : NGX_DECLINED;
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
ngx_completion_zone_release(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_completion_record_sh_t  *record;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);

    if (record) {
        ngx_completion_record_delete(zone, record);
    }

    ngx_completion_zone_unlock(zone);
}


ngx_int_t
ngx_completion_zone_accept(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_completion_id_t *id, ngx_uint_t model)
{
    uint32_t                     hash;
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record, *known;

    rc = NGX_OK;
    hash = ngx_completion_zone_hash(&id->upstream);

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_submit(zone, lease);
    known = ngx_completion_record_find(zone, &id->upstream, hash);

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

        record = ngx_completion_zone_alloc(zone,
                                           sizeof(ngx_completion_record_sh_t));
        if (record == NULL) {
            rc = NGX_DECLINED;
            goto done;
        }

    } else {
        ngx_completion_record_unlink(zone, record);
    }

    if (record != known) {
        record->hash = hash;
        record->len = id->upstream.len;
        ngx_memcpy(record->id, id->upstream.data, record->len);

        ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_PENDING);

        record->created = ngx_current_msec;
        record->sent = ngx_current_msec;
        record->asked = ngx_current_msec;
        record->wanted = ngx_current_msec;
        record->not_before = ngx_current_msec;

    } else {
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_PENDING);
    }

    record->state = NGX_COMPLETION_RECORD_PENDING;
    record->submitted = id->submitted;
    record->model = model % NGX_COMPLETION_MODELS;
    record->lease = lease;
    record->lease_end = ngx_current_msec + zone->poll_lease;

    ngx_completion_record_schedule(zone, record, record->lease_end);

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_read(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_pool_t *pool, ngx_completion_view_t *view)
{
    uint32_t                     hash;
    ngx_completion_record_sh_t  *record;

    static u_char                small[NGX_COMPLETION_COPY_SMALL];

    hash = ngx_completion_zone_hash(id);
    ngx_memzero(view, sizeof(ngx_completion_view_t));

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id, hash);

    if (record) {
        ngx_completion_record_view(zone, record, view);

        if (record->chunks && record->length <= NGX_COMPLETION_COPY_SMALL) {
            ngx_completion_record_copy(record, 0, small, record->length);
        }
    }

    ngx_completion_zone_unlock(zone);

    if (record == NULL) {
        return NGX_DECLINED;
    }

    if (pool == NULL || view->document.len == 0) {
        return NGX_OK;
    }

    view->document.data = ngx_pnalloc(pool, view->document.len);
    if (view->document.data == NULL) {
        return NGX_ERROR;
    }

    if (view->document.len <= NGX_COMPLETION_COPY_SMALL) {
        ngx_memcpy(view->document.data, small, view->document.len);
        return NGX_OK;
    }

    return ngx_completion_record_document(zone, id, hash, view);
}


/* a long document, in pieces; what goes away meanwhile was not kept */

static ngx_int_t
ngx_completion_record_document(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint32_t hash, ngx_completion_view_t *view)
{
    size_t                       offset, size;
    ngx_completion_record_sh_t  *record;

    for (offset = 0; offset < view->document.len; offset += size) {
        size = ngx_min(view->document.len - offset, NGX_COMPLETION_COPY_MAX);

        ngx_completion_zone_lock(zone);

        record = ngx_completion_record_find(zone, id, hash);

        if (record && record->version == view->version && record->chunks) {
            ngx_completion_record_copy(record, offset,
                                       view->document.data + offset, size);
        } else {
            record = NULL;
        }

        ngx_completion_zone_unlock(zone);

        if (record == NULL) {
            view->document.len = 0;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_zone_adopt(ngx_completion_zone_t *zone,
    ngx_completion_id_t *id)
{
    uint32_t                     hash;
    ngx_completion_record_sh_t  *record;

    hash = ngx_completion_zone_hash(&id->upstream);

    ngx_completion_zone_lock(zone);

    ngx_completion_zone_expire(zone);

    record = ngx_completion_record_find(zone, &id->upstream, hash);

    if (record == NULL) {
        record = ngx_completion_zone_alloc(zone,
                                           sizeof(ngx_completion_record_sh_t));
        if (record) {
            record->state = NGX_COMPLETION_RECORD_UNKNOWN;
            record->version = ++zone->sh->sequence;
            record->submitted = id->submitted;
            record->created = ngx_current_msec;
            record->asked = ngx_current_msec;
            record->wanted = ngx_current_msec;
            record->not_before = ngx_current_msec;
            record->hash = hash;
            record->len = id->upstream.len;
            ngx_memcpy(record->id, id->upstream.data, record->len);

            ngx_completion_record_link(zone, record,
                                       NGX_COMPLETION_LIST_PASSING);
        }
    }

    ngx_completion_zone_unlock(zone);

    return record ? NGX_OK : NGX_DECLINED;
}


ngx_msec_t
ngx_completion_zone_want(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_msec_t ms)
{
    ngx_msec_t                   until;
    ngx_completion_view_t        view;
    ngx_completion_record_sh_t  *record;

    view.next = 0;
    until = ngx_current_msec + ms;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id,
                                        ngx_completion_zone_hash(id));
    if (record) {
        if ((ngx_msec_int_t) (until - record->wanted) > 0) {
            record->wanted = until;
        }

        ngx_completion_record_demand(zone, record);
        ngx_completion_record_view(zone, record, &view);
    }

    ngx_completion_zone_unlock(zone);

    return view.next;
}


static void
ngx_completion_record_demand(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_msec_t  at;

    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_PENDING);
    }

    if (ngx_completion_record_leased(record)
        || ngx_completion_record_complete(record))
    {
        return;
    }

    if (record->flags & NGX_COMPLETION_RECORD_SCHEDULED) {
        if (record->state == NGX_COMPLETION_RECORD_PENDING
            && !(record->flags & NGX_COMPLETION_RECORD_URGENT))
        {
            ngx_completion_record_plan(zone, record, record->asked);
        }

        return;
    }

    at = ngx_current_msec;

    if ((ngx_msec_int_t) (record->not_before - at) > 0) {

        if (record->failures >= NGX_COMPLETION_FAILURES) {
            return;
        }

        at = record->not_before;
    }

    /* a pending one without a schedule has met its deadline */

    if (record->state == NGX_COMPLETION_RECORD_PENDING
        && (ngx_msec_int_t) (record->asked + zone->poll_max - at) > 0)
    {
        at = record->asked + zone->poll_max;
    }

    ngx_completion_record_schedule(zone, record, at);
}


/* nothing more is to be learned from upstream */

static ngx_uint_t
ngx_completion_record_complete(ngx_completion_record_sh_t *record)
{
    return record->state == NGX_COMPLETION_RECORD_MISSING
           || (record->state == NGX_COMPLETION_RECORD_FINAL
               && (record->chunks
                   || record->flags & NGX_COMPLETION_RECORD_DECIDED));
}


/* the next poll of a pending operation, counted from this moment */

static void
ngx_completion_record_plan(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t from)
{
    ngx_msec_t  at, age;
    ngx_uint_t  wanted;

    age = from - record->created;
    wanted = ngx_completion_record_wanted(record);

    if (age < zone->deadline) {
        at = from
             + ngx_completion_pace_gap(&zone->sh->paces[record->model], age,
                                       zone->poll_min, zone->poll_max, wanted);

    } else if (wanted) {
        at = from + zone->poll_max;

    } else {
        ngx_completion_record_unschedule(zone, record);
        return;
    }

    if ((ngx_msec_int_t) (record->not_before - at) > 0) {
        at = record->not_before;
    }

    ngx_completion_record_schedule(zone, record, at);
}


ngx_int_t
ngx_completion_zone_take(ngx_completion_zone_t *zone,
    ngx_completion_due_t *due, ngx_msec_t *wait)
{
    ngx_int_t                    rc;
    ngx_msec_t                   at, now;
    ngx_completion_record_sh_t  *record;

    rc = NGX_AGAIN;
    now = ngx_current_msec;

    ngx_completion_zone_lock(zone);

    ngx_completion_zone_expire(zone);

    *wait = zone->poll_max;

    record = ngx_completion_record_first(&zone->sh->urgent, wait);

    if (record == NULL) {
        record = ngx_completion_record_first(&zone->sh->due, wait);
    }

    if (record == NULL) {
        goto done;
    }

    at = ngx_completion_quota_next(&zone->sh->poll_quota, now);

    if (at != now) {
        *wait = at - now;
        goto done;
    }

    ngx_completion_quota_take(&zone->sh->poll_quota, now);

    ngx_completion_chunks_free(zone, &record->draft);
    record->draft_length = 0;

    record->lease = ++zone->sh->sequence;
    record->lease_end = now + zone->poll_lease;
    record->sent = now;

    /* a lease that runs out makes the operation due again */

    ngx_completion_record_schedule(zone, record, record->lease_end);

    due->lease = record->lease;
    due->id.len = record->len;
    due->id.data = due->buf;
    ngx_memcpy(due->buf, record->id, record->len);

    rc = NGX_OK;

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


static ngx_completion_record_sh_t *
ngx_completion_record_first(ngx_rbtree_t *tree, ngx_msec_t *wait)
{
    ngx_msec_int_t      ms;
    ngx_rbtree_node_t  *node;

    if (tree->root == tree->sentinel) {
        return NULL;
    }

    node = ngx_rbtree_min(tree->root, tree->sentinel);
    ms = node->key - ngx_current_msec;

    if (ms > 0) {
        *wait = ngx_min(*wait, (ngx_msec_t) ms);
        return NULL;
    }

    return (ngx_completion_record_sh_t *)
               ((u_char *) node - offsetof(ngx_completion_record_sh_t, due));
}


ngx_int_t
ngx_completion_zone_store(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint64_t lease, ngx_completion_update_t *update)
{
    size_t                       written;
    uint32_t                     hash;
    uint64_t                     digest;
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    hash = ngx_completion_zone_hash(id);
    digest = ngx_completion_digest(&update->document);
    written = 0;

    do {
        ngx_completion_zone_lock(zone);

        record = ngx_completion_record_leased_by(zone, id, hash, lease);

        if (record == NULL) {
            rc = NGX_DECLINED;

        } else {
            rc = ngx_completion_record_write(zone, record, update, digest,
                                             &written);
            if (rc == NGX_OK) {
                rc = ngx_completion_record_publish(zone, record, update,
                                                   digest);
            }
        }

        ngx_completion_zone_unlock(zone);

    } while (rc == NGX_AGAIN);

    return rc;
}


/*
 * Writes the document beside the old one, a piece a call: NGX_AGAIN while
 * more is to come.  For lack of memory no document is kept: the operation's
 * end is recorded all the same, and a reader has it fetched again.
 */

static ngx_int_t
ngx_completion_record_write(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest, size_t *written)
{
    size_t                       size, end;
    ngx_completion_chunk_sh_t  **last, *chunk;

    if (update->document.len == 0
        || (record->chunks && record->digest == digest
            && record->length == update->document.len))
    {
        return NGX_OK;
    }

    if (record->draft_length != *written) {
        return NGX_OK;
    }

    /* making room must not take the record that it is made for */

    record->lease_end = ngx_current_msec + zone->poll_lease;

    for (last = &record->draft; *last; last = &(*last)->next) { /* void */ }

    end = ngx_min(*written + NGX_COMPLETION_COPY_MAX, update->document.len);

    while (*written < end) {
        chunk = ngx_completion_zone_alloc(zone, NGX_COMPLETION_CHUNK);

        if (chunk == NULL) {
            ngx_completion_chunks_free(zone, &record->draft);
            record->draft_length = 0;
            return NGX_OK;
        }

        size = ngx_min(end - *written, NGX_COMPLETION_CHUNK_DATA);
        ngx_memcpy(chunk->data, update->document.data + *written, size);

        *last = chunk;
        last = &chunk->next;
        *written += size;
        record->draft_length = *written;
    }

    return (*written < update->document.len) ? NGX_AGAIN : NGX_OK;
}


static ngx_int_t
ngx_completion_record_publish(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest)
{
    ngx_int_t  rc;

    record->lease = 0;

    switch (update->kind) {

    case NGX_COMPLETION_UPDATE_PENDING:

        if (record->state == NGX_COMPLETION_RECORD_FINAL) {

            /* states only go forward */

            rc = ngx_completion_record_failed(zone, record, update);
            break;
        }

        rc = ngx_completion_record_pending(zone, record, update, digest);
        break;

    case NGX_COMPLETION_UPDATE_FINAL:
        rc = ngx_completion_record_final(zone, record, update, digest);
        break;

    case NGX_COMPLETION_UPDATE_NOT_FOUND:
        rc = ngx_completion_record_not_found(zone, record, update);
        break;

    default: /* NGX_COMPLETION_UPDATE_FAILED */
        rc = ngx_completion_record_failed(zone, record, update);
        break;
    }

    ngx_completion_chunks_free(zone, &record->draft);
    record->draft_length = 0;

    return rc;
}


static ngx_int_t
ngx_completion_record_pending(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest)
{
    ngx_uint_t  news;

    news = (record->state != NGX_COMPLETION_RECORD_PENDING
            || record->version == 0
            || (record->chunks && record->digest != digest));

    if (record->state != NGX_COMPLETION_RECORD_PENDING) {
        record->state = NGX_COMPLETION_RECORD_PENDING;
        record->created -= (ngx_time() - record->submitted) * 1000;
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_PENDING);
    }

    ngx_completion_record_adopt_draft(zone, record, update, digest);

    record->asked = record->sent;
    record->not_before = ngx_current_msec + update->gap;
    record->missing = 0;
    record->failures = 0;

    ngx_completion_record_plan(zone, record, ngx_current_msec);

    return news ? ngx_completion_record_changed(zone, record) : NGX_DONE;
}


static ngx_int_t
ngx_completion_record_final(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest)
{
    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_pace_learn(&zone->sh->paces[record->model],
                                  record->asked - record->created,
                                  record->sent - record->created);
    }

    if (record->state != NGX_COMPLETION_RECORD_FINAL) {
        record->state = NGX_COMPLETION_RECORD_FINAL;
        record->verdict = update->verdict;
        record->finished = ngx_time();
        ngx_completion_chunks_free(zone, &record->chunks);
    }

    ngx_completion_record_adopt_draft(zone, record, update, digest);
    ngx_completion_record_unschedule(zone, record);
    ngx_completion_record_move(zone, record,
                               record->chunks ? NGX_COMPLETION_LIST_RESULTS
                                              : NGX_COMPLETION_LIST_FINAL);

    record->wanted = ngx_current_msec;
    record->failures = 0;

    return ngx_completion_record_changed(zone, record);
}


static ngx_int_t
ngx_completion_record_not_found(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    switch (record->state) {

    case NGX_COMPLETION_RECORD_UNKNOWN:
        record->state = NGX_COMPLETION_RECORD_MISSING;
        record->created = ngx_current_msec;

        ngx_completion_record_unschedule(zone, record);
        ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_PASSING);

        return ngx_completion_record_changed(zone, record);

    case NGX_COMPLETION_RECORD_PENDING:

        if (record->missing == 0) {
            record->missed = ngx_current_msec;
        }

        if (record->missing < NGX_COMPLETION_LOST_COUNT) {
            record->missing++;
        }

        if (record->missing == NGX_COMPLETION_LOST_COUNT
            && ngx_current_msec - record->missed >= NGX_COMPLETION_LOST_TIME)
        {
            ngx_completion_record_decide(zone, record, update->lost);
            return ngx_completion_record_changed(zone, record);
        }

        record->asked = record->sent;
        record->not_before = ngx_current_msec + update->gap;
        ngx_completion_record_plan(zone, record, ngx_current_msec);
        return NGX_DONE;

    default:
        return ngx_completion_record_failed(zone, record, update);
    }
}


static ngx_int_t
ngx_completion_record_failed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_msec_t  backoff;

    if (record->failures < 16) {
        record->failures++;
    }

    backoff = ngx_max(zone->poll_min, NGX_COMPLETION_BACKOFF);
    backoff = ngx_min(backoff << (record->failures - 1), zone->poll_max);
    backoff = backoff / 2 + ngx_random() % (backoff / 2 + 1);
    backoff = ngx_max(backoff, update->gap);

    record->not_before = ngx_current_msec + backoff;

    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_record_plan(zone, record, ngx_current_msec);
        return NGX_DONE;
    }

    if (record->failures < NGX_COMPLETION_FAILURES) {
        ngx_completion_record_schedule(zone, record, record->not_before);
        return NGX_DONE;
    }

    ngx_completion_record_unschedule(zone, record);

    return ngx_completion_record_changed(zone, record);
}


static void
ngx_completion_record_adopt_draft(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update,
    uint64_t digest)
{
    if (record->draft_length != update->document.len
        || record->draft == NULL)
    {
        return;
    }

    ngx_completion_chunks_free(zone, &record->chunks);

    record->chunks = record->draft;
    record->length = record->draft_length;
    record->draft = NULL;

    record->id_offset = update->id_offset;
    record->digest = digest;
}


ngx_int_t
ngx_completion_zone_decide(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_uint_t verdict)
{
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id,
                                        ngx_completion_zone_hash(id));

    if (record && record->state == NGX_COMPLETION_RECORD_FINAL) {
        rc = NGX_DONE;

    } else if (record && record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_record_decide(zone, record, verdict);
        rc = ngx_completion_record_changed(zone, record);
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


static void
ngx_completion_record_decide(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t verdict)
{
    record->lease = 0;
    record->state = NGX_COMPLETION_RECORD_FINAL;
    record->flags |= NGX_COMPLETION_RECORD_DECIDED;
    record->verdict = verdict;
    record->finished = ngx_time();
    record->wanted = ngx_current_msec;

    ngx_completion_chunks_free(zone, &record->chunks);
    ngx_completion_chunks_free(zone, &record->draft);
    ngx_completion_record_unschedule(zone, record);
    ngx_completion_record_move(zone, record, NGX_COMPLETION_LIST_FINAL);
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


static ngx_int_t
ngx_completion_record_changed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;

    record->version = ++sh->sequence;
    sh->changed[sh->changes++ % NGX_COMPLETION_CHANGES] = record->hash;

    return NGX_OK;
}


static ngx_completion_record_sh_t *
ngx_completion_record_leased_by(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint32_t hash, uint64_t lease)
{
    ngx_completion_record_sh_t  *record;

    record = ngx_completion_record_find(zone, id, hash);

    return (record && record->lease == lease) ? record : NULL;
}


static ngx_completion_record_sh_t *
ngx_completion_record_submit(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_str_t                    none;
    ngx_completion_record_sh_t  *record;

    ngx_str_null(&none);

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


static void
ngx_completion_record_view(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_view_t *view)
{
    ngx_msec_t      ignored;
    ngx_msec_int_t  ms, late;
    ngx_rbtree_t   *tree;

    view->state = record->state;
    view->verdict = record->verdict;
    view->decided = (record->flags & NGX_COMPLETION_RECORD_DECIDED) ? 1 : 0;
    view->failing = !ngx_completion_record_complete(record)
                    && record->failures >= NGX_COMPLETION_FAILURES
                    && !(record->flags & NGX_COMPLETION_RECORD_SCHEDULED);
    view->version = record->version;
    view->submitted = record->submitted;
    view->finished = record->finished;
    view->digest = record->digest;
    view->id_offset = record->id_offset;
    view->document.len = record->chunks ? record->length : 0;
    view->next = 0;

    if (ngx_completion_record_leased(record)) {
        return;
    }

    if (!(record->flags & NGX_COMPLETION_RECORD_SCHEDULED)) {
        ms = record->not_before - ngx_current_msec;
        view->next = ngx_max(ms, 0);
        return;
    }

    /* what is overdue stands in the line of the quota */

    tree = (record->flags & NGX_COMPLETION_RECORD_URGENT) ? &zone->sh->urgent
                                                          : &zone->sh->due;
    ignored = 0;
    late = 0;

    if (ngx_completion_record_first(tree, &ignored)) {
        late = ngx_current_msec
               - ngx_rbtree_min(tree->root, tree->sentinel)->key;
    }

    ms = record->due.key - ngx_current_msec;
    view->next = ngx_max(ms, 0) + late;
}


static void
ngx_completion_record_copy(ngx_completion_record_sh_t *record, size_t offset,
    u_char *p, size_t size)
{
    size_t                      n;
    ngx_completion_chunk_sh_t  *chunk;

    chunk = record->chunks;

    while (offset >= NGX_COMPLETION_CHUNK_DATA) {
        offset -= NGX_COMPLETION_CHUNK_DATA;
        chunk = chunk->next;
    }

    while (size) {
        n = ngx_min(size, NGX_COMPLETION_CHUNK_DATA);
        p = ngx_cpymem(p, chunk->data, n);
        size -= n;
        chunk = chunk->next;
    }
}


static void
ngx_completion_record_move(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list)
{
    ngx_queue_remove(&record->queue);
    ngx_queue_insert_tail(&zone->sh->lists[list], &record->queue);
}


static uint64_t
ngx_completion_digest(ngx_str_t *document)
{
    u_char     md[16];
    uint64_t   digest;
    ngx_md5_t  md5;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, document->data, document->len);
    ngx_md5_final(md, &md5);

    ngx_memcpy(&digest, md, sizeof(uint64_t));

    return digest;
}
