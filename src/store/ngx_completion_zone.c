
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_secret.h"

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_BUCKET_BYTES   1024
#define NGX_COMPLETION_LASTING_ALIGN  64


/* a zone that was in use once; the master remembers it */
typedef struct ngx_completion_zone_known_s  ngx_completion_zone_known_t;

struct ngx_completion_zone_known_s {
    ngx_completion_zone_known_t  *next;
    ngx_str_t                     name;
};


static ngx_int_t ngx_completion_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_completion_zone_check(ngx_completion_zone_t *zone);
static void ngx_completion_zone_rates(ngx_completion_zone_t *zone);
static ngx_int_t ngx_completion_zone_make(ngx_completion_zone_t *zone);
static void ngx_completion_zone_rebuild(ngx_completion_zone_t *zone);
static void ngx_completion_zone_replaced(ngx_shm_zone_t *shm_zone);
static ngx_uint_t ngx_completion_zone_was_there(ngx_str_t *name);
static void ngx_completion_zone_remember(ngx_str_t *name, ngx_log_t *log);


static ngx_completion_zone_known_t  *ngx_completion_zones_known;


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
    ngx_int_t                     rc;
    ngx_completion_zone_t        *old, *zone;
    ngx_completion_lasting_sh_t  *lasting;

    old = data;
    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    lasting = (ngx_completion_lasting_sh_t *)
                  ((uintptr_t) (shm_zone->shm.addr + shm_zone->shm.size
                                - sizeof(ngx_completion_lasting_sh_t))
                   & ~((uintptr_t) NGX_COMPLETION_LASTING_ALIGN - 1));
    zone->metrics = &lasting->metrics;
    zone->quotas = lasting->quotas;
    zone->lasting = lasting;

    /* texts of clients and a token of ours are nothing for a core dump */

    ngx_completion_secret_undumped(shm_zone->shm.addr, shm_zone->shm.size,
                                   shm_zone->shm.log);

    if (old) {
        return ngx_completion_zone_check(zone);
    }

    ngx_completion_zone_replaced(shm_zone);

    /* the pool ends where they begin, now and when it is made anew */

    ngx_memzero(lasting, sizeof(ngx_completion_lasting_sh_t));
    zone->shpool->end = (u_char *) lasting;
    ngx_slab_init(zone->shpool);

    ngx_completion_zone_rates(zone);

    ngx_shmtx_lock(&zone->shpool->mutex);
    rc = ngx_completion_zone_make(zone);
    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is too small, give it more memory",
                      &shm_zone->shm.name);
    }

    return rc;
}


/* a reload, not yet accepted: nothing changes but what may be refused */

static ngx_int_t
ngx_completion_zone_check(ngx_completion_zone_t *zone)
{
    ngx_uint_t  same;

    ngx_completion_zone_lock(zone);

    same = (ngx_memcmp(zone->sh->identity, zone->identity, 16) == 0);

    ngx_completion_zone_unlock(zone);

    if (!same) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                      "zone \"%V\" holds operations of another "
                      "\"operations_url\" or \"folder\", "
                      "use another zone name",
                      &zone->shm_zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_completion_zone_apply(ngx_completion_zone_t *zone)
{
    ngx_uint_t  kind;

    ngx_completion_zone_lock(zone);

    ngx_completion_zone_rates(zone);

    /* it may share them no more, or others; who does finds out anew */

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        zone->quotas[kind].nodes = 0;
        zone->lasting->pools[kind].away = 0;
        zone->lasting->pools[kind].due = ngx_current_msec;
    }

    ngx_completion_zone_unlock(zone);

    ngx_completion_zone_remember(&zone->shm_zone->shm.name, ngx_cycle->log);
}


static void
ngx_completion_zone_rates(ngx_completion_zone_t *zone)
{
    ngx_memcpy(zone->quotas[NGX_COMPLETION_KIND_SUBMIT].rates,
               zone->submit_rates, sizeof(zone->submit_rates));

    zone->quotas[NGX_COMPLETION_KIND_POLL].rates[0] = zone->poll_rate;
}


/* NGX_OK, or NGX_ERROR: too small */

static ngx_int_t
ngx_completion_zone_make(ngx_completion_zone_t *zone)
{
    size_t                     size;
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
    sh->keys = ngx_slab_calloc_locked(shpool, n * sizeof(void *));
    sh->subjects = ngx_slab_calloc_locked(shpool,
                                          ngx_completion_subjects(sh->mask)
                                          * sizeof(void *));

    if (sh->buckets == NULL || sh->keys == NULL || sh->subjects == NULL) {
        return NGX_ERROR;
    }

    /* of a long name the beginning */

    ngx_snprintf(sh->context, sizeof(sh->context) - 1,
                 " in completion_async zone \"%V\"",
                 &zone->shm_zone->shm.name);
    shpool->log_ctx = sh->context;

    for (i = 0; i < NGX_COMPLETION_TREES; i++) {
        ngx_rbtree_init(&sh->trees[i], &sh->sentinels[i],
                        ngx_rbtree_insert_timer_value);
    }

    ngx_rbtree_init(&sh->submits, &sh->submits_sentinel,
                    ngx_rbtree_insert_value);

    for (i = 0; i < NGX_COMPLETION_METRICS_EVICTIONS; i++) {
        ngx_queue_init(&sh->lists[i]);
    }

    ngx_queue_init(&sh->deleted);

    for (i = 0; i < NGX_COMPLETION_TURN_LINES; i++) {
        ngx_rbtree_init(&sh->lines[i], &sh->line_sentinels[i],
                        ngx_rbtree_insert_timer_value);
    }

    ngx_queue_init(&sh->kept);
    ngx_queue_init(&sh->followers);
    ngx_rbtree_init(&sh->owners, &sh->owners_sentinel,
                    ngx_rbtree_insert_value);
    ngx_rbtree_init(&sh->led, &sh->led_sentinel, ngx_rbtree_insert_value);

    for (i = 0; i < NGX_COMPLETION_OUTBOXES; i++) {
        ngx_rbtree_init(&sh->outboxes[i], &sh->outbox_sentinels[i],
                        ngx_rbtree_insert_value);
        ngx_rbtree_init(&sh->underway[i], &sh->underway_sentinels[i],
                        ngx_rbtree_insert_value);
    }

    sh->made = ngx_current_msec;

    /* leases and changes of an earlier life must not fit this one */

    sh->sequence = ((uint64_t) ngx_time() << 32) + (ngx_random() & 0x3fffffff);
    sh->changes = sh->sequence;

    ngx_memcpy(sh->identity, zone->identity, 16);

    zone->sh = sh;

    sh->capacity = shpool->pfree * ngx_pagesize / 4 * 3;

    /* a death before this moment leaves nothing that looks like a zone */

    shpool->data = sh;

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

    ngx_completion_metrics_add(&zone->metrics->rebuilds, 1);

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

    part = ngx_cycle ? (ngx_list_part_t *) &ngx_cycle->shared_memory.part
                     : NULL;

    for ( /* void */ ; part; part = part->next) {
        old = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (&old[i] != shm_zone
                && old[i].tag == shm_zone->tag
                && old[i].shm.name.len == shm_zone->shm.name.len
                && ngx_strncmp(old[i].shm.name.data, shm_zone->shm.name.data,
                               shm_zone->shm.name.len)
                   == 0)
            {
                ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                              "zone \"%V\" starts empty because its size "
                              "changed: ids stay valid, idempotency keys are "
                              "forgotten", &shm_zone->shm.name);
                return;
            }
        }
    }

    if (ngx_completion_zone_was_there(&shm_zone->shm.name)) {
        ngx_log_error(NGX_LOG_WARN, shm_zone->shm.log, 0,
                      "zone \"%V\" starts empty because an earlier reload took "
                      "its provider away: ids stay valid, idempotency keys are "
                      "forgotten, and what is repeated under one is paid again",
                      &shm_zone->shm.name);
    }
}


static ngx_uint_t
ngx_completion_zone_was_there(ngx_str_t *name)
{
    ngx_completion_zone_known_t  *known;

    for (known = ngx_completion_zones_known; known; known = known->next) {

        if (known->name.len == name->len
            && ngx_strncmp(known->name.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_completion_zone_remember(ngx_str_t *name, ngx_log_t *log)
{
    ngx_completion_zone_known_t  *known;

    if (ngx_completion_zone_was_there(name)) {
        return;
    }

    known = ngx_alloc(sizeof(ngx_completion_zone_known_t) + name->len, log);
    if (known == NULL) {
        return;
    }

    known->name.len = name->len;
    known->name.data = (u_char *) (known + 1);
    ngx_memcpy(known->name.data, name->data, name->len);

    known->next = ngx_completion_zones_known;
    ngx_completion_zones_known = known;
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
