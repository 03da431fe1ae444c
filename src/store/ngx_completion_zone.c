
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_EVICT_TRIES    32
#define NGX_COMPLETION_PASSING_TIME   60000
#define NGX_COMPLETION_BUCKET_BYTES   1024


static ngx_int_t ngx_completion_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_completion_zone_adjust(ngx_completion_zone_t *zone);
static ngx_int_t ngx_completion_zone_make(ngx_completion_zone_t *zone);
static ngx_int_t ngx_completion_zone_quotas(ngx_completion_zone_t *zone);
static void ngx_completion_zone_rebuild(ngx_completion_zone_t *zone);
static void ngx_completion_zone_replaced(ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_completion_zone_evict(ngx_completion_zone_t *zone);
static ngx_completion_record_sh_t *ngx_completion_zone_victim(
    ngx_completion_zone_t *zone, ngx_uint_t list);
static ngx_uint_t ngx_completion_record_expired(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list);


ngx_completion_zone_t *
ngx_completion_zone_add(ngx_conf_t *cf, ngx_str_t *name, size_t size,
    void *tag)
{
    ngx_shm_zone_t         *shm_zone;
    ngx_completion_zone_t  *zone;

    shm_zone = ngx_shared_memory_add(cf, name, size, tag);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" belongs to another provider already, "
                           "give each provider a zone of its own", name);
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_completion_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->shm_zone = shm_zone;

    shm_zone->init = ngx_completion_zone_init;
    shm_zone->data = zone;

    return zone;
}


static ngx_int_t
ngx_completion_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_int_t               rc;
    ngx_completion_zone_t  *old, *zone;

    old = data;
    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old) {
        return ngx_completion_zone_adjust(zone);
    }

    ngx_completion_zone_replaced(shm_zone);

    ngx_shmtx_lock(&zone->shpool->mutex);
    rc = ngx_completion_zone_make(zone);
    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is too small for its quotas, "
                      "give it more memory", &shm_zone->shm.name);
    }

    return rc;
}


/* a reload: the operations stay, the quotas may be others */

static ngx_int_t
ngx_completion_zone_adjust(ngx_completion_zone_t *zone)
{
    ngx_int_t   rc;
    ngx_uint_t  same;

    ngx_completion_zone_lock(zone);

    same = (ngx_memcmp(zone->sh->identity, zone->identity, 16) == 0);
    rc = same ? ngx_completion_zone_quotas(zone) : NGX_ERROR;

    ngx_completion_zone_unlock(zone);

    if (!same) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                      "zone \"%V\" holds operations of another "
                      "\"operations_url\" or \"folder\", "
                      "use another zone name",
                      &zone->shm_zone->shm.name);

    } else if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                      "zone \"%V\" has no memory for the new quotas, "
                      "use another zone name or give it more memory",
                      &zone->shm_zone->shm.name);
    }

    return rc;
}


static ngx_int_t
ngx_completion_zone_make(ngx_completion_zone_t *zone)
{
    size_t                     size, len;
    ngx_uint_t                 i, n;
    ngx_slab_pool_t           *shpool;
    ngx_completion_zone_sh_t  *sh;

    shpool = zone->shpool;
    shpool->data = NULL;
    shpool->log_nomem = 0;

    sh = ngx_slab_calloc_locked(shpool, sizeof(ngx_completion_zone_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    size = shpool->end - (u_char *) shpool;

    for (n = 64; n * NGX_COMPLETION_BUCKET_BYTES < size; n *= 2) { /* void */ }

    sh->mask = n - 1;
    sh->buckets = ngx_slab_calloc_locked(shpool, n * sizeof(void *));
    if (sh->buckets == NULL) {
        return NGX_ERROR;
    }

    len = sizeof(" in completion_async zone \"\"")
          + zone->shm_zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc_locked(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in completion_async zone \"%V\"%Z",
                &zone->shm_zone->shm.name);

    ngx_rbtree_init(&sh->due, &sh->due_sentinel,
                    ngx_rbtree_insert_timer_value);
    ngx_rbtree_init(&sh->urgent, &sh->urgent_sentinel,
                    ngx_rbtree_insert_timer_value);

    for (i = 0; i < NGX_COMPLETION_LISTS; i++) {
        ngx_queue_init(&sh->lists[i]);
    }

    /* leases of an earlier life must not fit records of this one */
    sh->sequence = (uint64_t) ngx_time() << 32;

    ngx_memcpy(sh->identity, zone->identity, 16);

    zone->sh = sh;
    shpool->data = sh;

    return ngx_completion_zone_quotas(zone);
}


static ngx_int_t
ngx_completion_zone_quotas(ngx_completion_zone_t *zone)
{
    ngx_uint_t                 i;
    ngx_completion_rate_t      none, *rate;
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;
    ngx_memzero(&none, sizeof(ngx_completion_rate_t));

    if (ngx_completion_quota_set(zone->shpool, &sh->poll_quota,
                                 &zone->poll_rate)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        rate = (i < zone->nsubmit_rates) ? &zone->submit_rates[i] : &none;

        if (ngx_completion_quota_set(zone->shpool, &sh->submit_quotas[i], rate)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_completion_zone_lock(ngx_completion_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    zone->sh = zone->shpool->data;

    if (zone->sh == NULL || zone->sh->busy) {
        ngx_completion_zone_rebuild(zone);
    }

    zone->sh->busy = 1;
    ngx_memory_barrier();
}


void
ngx_completion_zone_unlock(ngx_completion_zone_t *zone)
{
    ngx_memory_barrier();
    zone->sh->busy = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/*
 * A worker died inside the lock, and any structure may be torn.  The first
 * allocations of a fresh slab pool are those of the first start, so they
 * cannot fail now.
 */

static void
ngx_completion_zone_rebuild(ngx_completion_zone_t *zone)
{
    ngx_slab_init(zone->shpool);

    if (ngx_completion_zone_make(zone) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, 0,
                      "zone \"%V\" cannot be made anew",
                      &zone->shm_zone->shm.name);
        ngx_shmtx_unlock(&zone->shpool->mutex);
        exit(2);
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "a worker died inside zone \"%V\", it was made anew and is "
                  "empty: ids stay valid, keys and cancels are forgotten",
                  &zone->shm_zone->shm.name);
}


static void
ngx_completion_zone_replaced(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *old;
    ngx_list_part_t  *part;

    if (ngx_cycle == NULL) {
        return;
    }

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
    old = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            old = part->elts;
            i = 0;
        }

        if (&old[i] != shm_zone
            && old[i].tag == shm_zone->tag
            && old[i].shm.name.len == shm_zone->shm.name.len
            && ngx_strncmp(old[i].shm.name.data, shm_zone->shm.name.data,
                           shm_zone->shm.name.len)
               == 0)
        {
            ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                          "zone \"%V\" starts empty because its size changed: "
                          "ids stay valid, idempotency keys are forgotten",
                          &shm_zone->shm.name);
            return;
        }
    }
}


void *
ngx_completion_zone_alloc(ngx_completion_zone_t *zone, size_t size)
{
    void  *p;

    for ( ;; ) {
        p = ngx_slab_calloc_locked(zone->shpool, size);

        if (p || ngx_completion_zone_evict(zone) != NGX_OK) {
            return p;
        }
    }
}


static ngx_int_t
ngx_completion_zone_evict(ngx_completion_zone_t *zone)
{
    ngx_completion_record_sh_t  *record;

    record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_RESULTS);

    if (record) {
        ngx_completion_chunks_free(zone, &record->chunks);
        ngx_completion_record_unlink(zone, record);
        ngx_completion_record_link(zone, record, NGX_COMPLETION_LIST_FINAL);

        zone->sh->evicted_results++;

        return NGX_OK;
    }

    record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_FINAL);

    if (record == NULL) {
        record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_PASSING);
    }

    if (record == NULL) {
        record = ngx_completion_zone_victim(zone, NGX_COMPLETION_LIST_PENDING);
    }

    if (record == NULL) {
        return NGX_DECLINED;
    }

    ngx_completion_record_delete(zone, record);

    zone->sh->evicted_records++;

    return NGX_OK;
}


static ngx_completion_record_sh_t *
ngx_completion_zone_victim(ngx_completion_zone_t *zone, ngx_uint_t list)
{
    ngx_uint_t                   n;
    ngx_queue_t                 *q, *head;
    ngx_completion_record_sh_t  *record;

    head = &zone->sh->lists[list];

    for (q = ngx_queue_head(head), n = 0;
         q != head && n < NGX_COMPLETION_EVICT_TRIES;
         q = ngx_queue_next(q), n++)
    {
        record = ngx_queue_data(q, ngx_completion_record_sh_t, queue);

        if (!ngx_completion_record_leased(record)
            && !ngx_completion_record_wanted(record))
        {
            return record;
        }
    }

    return NULL;
}


void
ngx_completion_zone_expire(ngx_completion_zone_t *zone)
{
    ngx_uint_t                   list, n;
    ngx_queue_t                 *head;
    ngx_completion_record_sh_t  *record;

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
        return ngx_time() - record->finished > zone->retention
               && !ngx_completion_record_wanted(record);

    case NGX_COMPLETION_LIST_PENDING:
        return ngx_time() - record->submitted
               > NGX_COMPLETION_ID_LIFETIME + NGX_COMPLETION_ID_SKEW;

    case NGX_COMPLETION_LIST_PASSING:
        return (ngx_msec_int_t) (ngx_current_msec - record->created)
               > NGX_COMPLETION_PASSING_TIME
               && !ngx_completion_record_wanted(record);

    default: /* NGX_COMPLETION_LIST_SUBMITS: the sender is gone */
        return 1;
    }
}


ngx_uint_t
ngx_completion_record_leased(ngx_completion_record_sh_t *record)
{
    return record->lease
           && (ngx_msec_int_t) (record->lease_end - ngx_current_msec) > 0;
}


ngx_uint_t
ngx_completion_record_wanted(ngx_completion_record_sh_t *record)
{
    return (ngx_msec_int_t) (record->wanted - ngx_current_msec) > 0;
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


void
ngx_completion_record_link(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_uint_t list)
{
    ngx_completion_record_sh_t  **bucket;

    bucket = &zone->sh->buckets[record->hash & zone->sh->mask];

    record->next = *bucket;
    *bucket = record;

    ngx_queue_insert_tail(&zone->sh->lists[list], &record->queue);
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
}


void
ngx_completion_record_delete(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_record_unlink(zone, record);
    ngx_completion_record_unschedule(zone, record);

    ngx_completion_chunks_free(zone, &record->chunks);
    ngx_completion_chunks_free(zone, &record->draft);

    ngx_slab_free_locked(zone->shpool, record);
}


void
ngx_completion_record_schedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t at)
{
    ngx_rbtree_t  *tree;

    ngx_completion_record_unschedule(zone, record);

    tree = &zone->sh->due;

    if (ngx_completion_record_wanted(record)) {
        record->flags |= NGX_COMPLETION_RECORD_URGENT;
        tree = &zone->sh->urgent;
    }

    record->flags |= NGX_COMPLETION_RECORD_SCHEDULED;
    record->due.key = at;

    ngx_rbtree_insert(tree, &record->due);
}


void
ngx_completion_record_unschedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    if (!(record->flags & NGX_COMPLETION_RECORD_SCHEDULED)) {
        return;
    }

    if (record->flags & NGX_COMPLETION_RECORD_URGENT) {
        ngx_rbtree_delete(&zone->sh->urgent, &record->due);

    } else {
        ngx_rbtree_delete(&zone->sh->due, &record->due);
    }

    record->flags &= ~(NGX_COMPLETION_RECORD_SCHEDULED
                       |NGX_COMPLETION_RECORD_URGENT);
}


void
ngx_completion_chunks_free(ngx_completion_zone_t *zone,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_completion_chunk_sh_t  *chunk, *next;

    for (chunk = *chunks; chunk; chunk = next) {
        next = chunk->next;
        ngx_slab_free_locked(zone->shpool, chunk);
    }

    *chunks = NULL;
}


uint32_t
ngx_completion_zone_hash(ngx_str_t *id)
{
    return ngx_murmur_hash2(id->data, id->len);
}
