
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_COPY_SMALL     4096


ngx_int_t
ngx_completion_zone_reread(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_view_t *known, ngx_msec_t ms, ngx_pool_t *pool,
    ngx_completion_view_t *view)
{
    size_t                       offset, size;
    uint32_t                     hash;
    ngx_uint_t                   same;
    ngx_completion_chunk_sh_t   *chunk;
    ngx_completion_record_sh_t  *record;

    static u_char                small[NGX_COMPLETION_COPY_SMALL];

    hash = ngx_completion_zone_hash(id);
    ngx_memzero(view, sizeof(ngx_completion_view_t));
    same = 0;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id, hash);

    if (record) {
        view->state = record->state;
        view->verdict = (record->state == NGX_COMPLETION_RECORD_FINAL)
                            ? record->verdict : NGX_COMPLETION_PENDING;
        view->decided = (record->flags & NGX_COMPLETION_RECORD_DECIDED) != 0;
        view->failing = !ngx_completion_record_is_complete(record)
                        && record->failures >= NGX_COMPLETION_FAILURES
                        && !(record->flags & NGX_COMPLETION_RECORD_SCHEDULED);
        view->deleted = (record->flags & NGX_COMPLETION_RECORD_DELETED) != 0;
        view->refused = ngx_completion_zone_is_refused(zone);
        view->version = record->version;
        view->submitted = record->submitted;
        view->finished = record->finished;
        view->digest = record->digest;
        view->id_offset = record->id_offset;
        view->document.len = record->chunks ? record->length : 0;

        if (record->state == NGX_COMPLETION_RECORD_PENDING) {
            ngx_completion_record_want(zone, record, ms, view);
        }

        /* a zone that was made anew counts its versions from the start */

        same = (known && known->version == view->version
                && known->state == view->state
                && known->digest == view->digest);

        if (!same && record->chunks
            && record->length <= NGX_COMPLETION_COPY_SMALL)
        {
            (void) ngx_completion_chunks_read(record->chunks, small,
                                              record->length);
        }
    }

    ngx_completion_zone_unlock(zone);

    if (record == NULL) {
        return NGX_DECLINED;
    }

    if (same) {
        return NGX_DONE;
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

    /*
     * A longer one in pieces, each from where the last one ended: chunks stay
     * as they are for as long as the version does.  What goes away meanwhile
     * was not kept.
     */

    chunk = NULL;

    for (offset = 0; offset < view->document.len; offset += size) {
        size = ngx_min(view->document.len - offset, NGX_COMPLETION_COPY_MAX);

        ngx_completion_zone_lock(zone);

        record = ngx_completion_record_find(zone, id, hash);

        if (record && record->version == view->version && record->chunks) {
            chunk = ngx_completion_chunks_read(chunk ? chunk : record->chunks,
                                               view->document.data + offset,
                                               size);

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


ngx_uint_t
ngx_completion_zone_ended(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_ended_t *ended)
{
    uint32_t                     hash;
    ngx_uint_t                   n, deleted;
    ngx_rbtree_node_t           *node;
    ngx_completion_key_sh_t     *key;
    ngx_completion_record_sh_t  *record;

    n = 0;
    hash = ngx_completion_zone_hash(id);

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id, hash);
    deleted = record && (record->flags & NGX_COMPLETION_RECORD_DELETED);

    /* a 404 for what this node has adopted is its own, and for a minute */

    node = (record && record->state == NGX_COMPLETION_RECORD_MISSING
            && !deleted)
               ? NULL : ngx_completion_keys_first(&zone->sh->led, hash);

    for ( /* void */ ;
         node && node->key == hash && n < NGX_COMPLETION_ENDED;
         node = ngx_rbtree_next(&zone->sh->led, node))
    {
        key = ngx_rbtree_data(node, ngx_completion_key_sh_t, node);

        /* of an orphan other nodes know nothing */

        if (key->flags & NGX_COMPLETION_KEY_ORPHAN
            || key->len != id->len
            || ngx_memcmp(key->u.id, id->data, id->len) != 0
            || (!deleted && (key->verdict == NGX_COMPLETION_PENDING
                             || key->flags & NGX_COMPLETION_KEY_TOLD)))
        {
            continue;
        }

        key->flags |= NGX_COMPLETION_KEY_TOLD;

        ngx_memcpy(ended[n].name, key->name, NGX_COMPLETION_KEY_DIGEST);
        ended[n++].shared = !deleted
                            && ngx_completion_state_is_shared(key->verdict);
    }

    ngx_completion_zone_unlock(zone);

    return n;
}
