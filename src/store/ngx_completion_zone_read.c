
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_COPY_SMALL     4096

/* how far back in line a place is counted, and up to where it is estimated */
#define NGX_COMPLETION_RANK_COUNTED   32
#define NGX_COMPLETION_RANK_MAX       256


static ngx_int_t ngx_completion_record_document(ngx_completion_zone_t *zone,
    ngx_str_t *id, uint32_t hash, ngx_completion_view_t *view);
static void ngx_completion_record_view(ngx_completion_record_sh_t *record,
    ngx_completion_view_t *view);


ngx_int_t
ngx_completion_zone_read(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_msec_t ms, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    uint32_t                     hash;
    ngx_completion_record_sh_t  *record;

    static u_char                small[NGX_COMPLETION_COPY_SMALL];

    hash = ngx_completion_zone_hash(id);
    ngx_memzero(view, sizeof(ngx_completion_view_t));

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id, hash);

    if (record) {
        ngx_completion_record_view(record, view);

        if (record->state == NGX_COMPLETION_RECORD_PENDING) {
            ngx_completion_record_want(zone, record, ms, view);
        }

        if (record->chunks && record->length <= NGX_COMPLETION_COPY_SMALL) {
            ngx_completion_chunks_read(record->chunks, 0, small,
                                       record->length);
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
            ngx_completion_chunks_read(record->chunks, offset,
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


static void
ngx_completion_record_view(ngx_completion_record_sh_t *record,
    ngx_completion_view_t *view)
{
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
}


/* when the quota will let it be polled: in line behind all that is due */

ngx_msec_t
ngx_completion_record_turn(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_msec_t                  at, now, first, last;
    ngx_uint_t                  rank;
    ngx_rbtree_t               *tree;
    ngx_rbtree_node_t          *node;
    ngx_completion_quota_sh_t  *quota;

    if (!(record->flags & NGX_COMPLETION_RECORD_SCHEDULED)) {
        return record->not_before;
    }

    now = ngx_current_msec;
    quota = &zone->sh->poll_quota;
    at = ngx_completion_quota_next(quota, now);

    tree = (record->flags & NGX_COMPLETION_RECORD_URGENT) ? &zone->sh->urgent
                                                          : &zone->sh->due;
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

    if (quota->rate.n) {
        at += rank * quota->rate.unit / quota->rate.n;
    }

    return ((ngx_msec_int_t) (record->due.key - at) > 0) ? record->due.key
                                                         : at;
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
        record = ngx_completion_room_asked(zone);

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
