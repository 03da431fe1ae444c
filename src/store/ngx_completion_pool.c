
/*
 * The starts that this node has of those that several nodes share: asked for
 * as many as there are calls that wait, good for a while, and given back when
 * that is over.  Any worker asks, one at a time, and any call of its kind, a
 * submit or a poll, uses any of them.
 *
 * While the server is away the node goes by its own quota, which then is that
 * of one of several nodes.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


static ngx_int_t ngx_completion_pool_use(ngx_completion_pool_sh_t *pool,
    ngx_msec_t called);
static void ngx_completion_pool_late(ngx_completion_pool_sh_t *pool,
    ngx_msec_t since);


#define ngx_completion_pool_is_due(start)                                     \
    ((start)->state == NGX_COMPLETION_START_OURS                              \
     && ngx_completion_left((start)->from) <= 0                               \
     && ngx_completion_left((start)->to) >= 0)


ngx_uint_t
ngx_completion_pool_rules(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind)
{
    return zone->shares[kind] && !zone->lasting->pools[kind].away;
}


ngx_uint_t
ngx_completion_pool_free(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind)
{
    ngx_uint_t                  i, n;
    ngx_completion_start_sh_t  *start;

    if (!ngx_completion_pool_rules(zone, kind)) {
        return ngx_completion_quota_free(&zone->quotas[kind],
                                         ngx_current_msec);
    }

    n = 0;
    start = zone->lasting->pools[kind].starts;

    for (i = 0; i < NGX_COMPLETION_POOL; i++) {
        n += ngx_completion_pool_is_due(&start[i]);
    }

    return n;
}


ngx_msec_t
ngx_completion_pool_next(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t ahead)
{
    ngx_msec_t                  at, from[NGX_COMPLETION_POOL];
    ngx_uint_t                  i, j, n;
    ngx_completion_pool_sh_t   *pool;
    ngx_completion_start_sh_t  *start;

    if (!ngx_completion_pool_rules(zone, kind)) {
        return ngx_completion_quota_next(&zone->quotas[kind],
                                         ngx_current_msec, ahead);
    }

    n = 0;
    pool = &zone->lasting->pools[kind];
    start = pool->starts;

    for (i = 0; i < NGX_COMPLETION_POOL; i++) {

        if (start[i].state != NGX_COMPLETION_START_OURS
            || ngx_completion_left(start[i].to) < 0)
        {
            continue;
        }

        for (j = n++;
             j && (ngx_msec_int_t) (from[j - 1] - start[i].from) > 0;
             j--)
        {
            from[j] = from[j - 1];
        }

        from[j] = start[i].from;
    }

    if (ahead < n) {
        return ngx_completion_later(from[ahead], ngx_current_msec);
    }

    at = ngx_completion_quota_next(&zone->quotas[kind], ngx_current_msec,
                                   ahead - n);

    return ngx_completion_later(pool->due, at);
}


ngx_msec_t
ngx_completion_pool_look(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t ahead)
{
    ngx_msec_t  at;

    at = ngx_completion_pool_next(zone, kind, ahead);

    if (!ngx_completion_pool_rules(zone, kind)
        || ngx_completion_left(at) > 0)
    {
        return at;
    }

    /* whoever asked looks at the answer for all */

    return ngx_completion_later(zone->lasting->pools[kind].asking, at);
}


ngx_uint_t
ngx_completion_pool_promises(ngx_completion_zone_t *zone)
{
    ngx_completion_pool_sh_t  *pool;

    pool = &zone->lasting->pools[NGX_COMPLETION_KIND_SUBMIT];

    return ngx_completion_pool_rules(zone, NGX_COMPLETION_KIND_SUBMIT)
           && ngx_completion_left(pool->due) <= 0;
}


ngx_int_t
ngx_completion_pool_take(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_msec_t called)
{
    ngx_completion_quota_sh_t  *quota;

    quota = &zone->quotas[kind];

    if (ngx_completion_pool_rules(zone, kind)) {

        if (ngx_completion_pool_use(&zone->lasting->pools[kind], called)
            != NGX_OK)
        {
            return NGX_DECLINED;
        }

    } else if (!ngx_completion_quota_free(quota, ngx_current_msec)) {
        return NGX_DECLINED;
    }

    ngx_completion_quota_take(quota, ngx_current_msec);

    return NGX_OK;
}


/* the one that ends first of those that are due */

static ngx_int_t
ngx_completion_pool_use(ngx_completion_pool_sh_t *pool, ngx_msec_t called)
{
    ngx_uint_t                  i;
    ngx_completion_start_sh_t  *start, *first;

    first = NULL;
    start = pool->starts;

    for (i = 0; i < NGX_COMPLETION_POOL; i++) {

        if (ngx_completion_pool_is_due(&start[i])
            && (first == NULL
                || (ngx_msec_int_t) (start[i].to - first->to) < 0))
        {
            first = &start[i];
        }
    }

    if (first == NULL) {
        ngx_completion_pool_late(pool, called);
        return NGX_DECLINED;
    }

    ngx_completion_pool_late(pool, ngx_completion_later(first->from, called));

    first->state = NGX_COMPLETION_START_FREE;

    return NGX_OK;
}


/* what the way to the fence takes, the next one is given twice */

static void
ngx_completion_pool_late(ngx_completion_pool_sh_t *pool, ngx_msec_t since)
{
    ngx_msec_int_t  late;

    late = ngx_completion_since(since);
    late = ngx_min(ngx_max(late, 0), NGX_COMPLETION_POOL_WIDEST);

    pool->late = (uint32_t) late;
}
