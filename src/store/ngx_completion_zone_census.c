
/*
 * What a zone holds, as numbers: kept while records come, change and go, so
 * that a scrape's time does not depend on how many there are.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* what a record keeps in a byte each */
_Static_assert(NGX_COMPLETION_STATES <= 255
               && NGX_COMPLETION_OUTCOMES <= 255
               && NGX_COMPLETION_CENSUS_STATES < 255,
               "a byte is too small");


static ngx_uint_t ngx_completion_census_free(ngx_slab_pool_t *shpool);
static ngx_uint_t ngx_completion_census_late(ngx_rbtree_t *tree);


void
ngx_completion_zone_enter(ngx_completion_zone_t *zone)
{
    ngx_completion_zone_lock(zone);
    zone->worker = ngx_completion_metrics_enter(zone->metrics);
    ngx_completion_zone_unlock(zone);
}


void
ngx_completion_zone_leave(ngx_completion_zone_t *zone)
{
    zone->worker->pid = 0;
}


void
ngx_completion_zone_census(ngx_completion_zone_t *zone,
    ngx_completion_census_t *census)
{
    ngx_msec_t                           wait;
    ngx_completion_zone_sh_t            *sh;
    ngx_completion_metrics_worker_sh_t   workers;

    ngx_completion_metrics_workers(zone->metrics, &workers);

    census->waiters = workers.waiters;
    census->streams = workers.streams;
    census->queue_limit = zone->submit_queue;

    ngx_completion_zone_lock(zone);

    sh = zone->sh;

    ngx_memcpy(census->operations, sh->counts, sizeof(sh->counts));
    ngx_memcpy(census->keys, sh->nkeys, sizeof(sh->nkeys));

    census->queue = ngx_completion_line_length(zone, &wait);
    census->size = zone->shm_zone->shm.size;
    census->used = census->size - ngx_completion_census_free(zone->shpool);
    census->late = ngx_max(ngx_completion_census_late(&sh->urgent),
                           ngx_completion_census_late(&sh->due));

    ngx_completion_zone_unlock(zone);
}


/* whole pages, and room in those that are cut up */

static ngx_uint_t
ngx_completion_census_free(ngx_slab_pool_t *shpool)
{
    size_t      size;
    ngx_uint_t  i, n;

    size = shpool->pfree * ngx_pagesize;
    n = ngx_pagesize_shift - shpool->min_shift;

    for (i = 0; i < n; i++) {
        size += (shpool->stats[i].total - shpool->stats[i].used)
                << (shpool->min_shift + i);
    }

    return size;
}


static ngx_uint_t
ngx_completion_census_late(ngx_rbtree_t *tree)
{
    ngx_msec_int_t      ms;
    ngx_rbtree_node_t  *node;

    if (tree->root == tree->sentinel) {
        return 0;
    }

    node = ngx_rbtree_min(tree->root, tree->sentinel);
    ms = -ngx_completion_left(node->key);

    return ngx_max(ms, 0);
}
