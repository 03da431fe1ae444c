
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_cluster.h"


static void ngx_completion_cluster_reached(void *data);
static void ngx_completion_cluster_heard(void *data);


ngx_completion_cluster_t *
ngx_completion_cluster_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone, ngx_completion_cluster_handlers_t *handlers,
    ngx_log_t *log)
{
    ngx_uint_t                 kind;
    ngx_completion_cluster_t  *cluster;

    cluster = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_cluster_t));
    if (cluster == NULL) {
        return NULL;
    }

    cluster->redis = redis;
    cluster->errands = ngx_completion_errands_create(redis, zone, log);
    if (cluster->errands == NULL) {
        return NULL;
    }

    cluster->claims = ngx_completion_claims_create(redis, cluster->errands,
                                                   zone->deadline, log);
    cluster->bulletin = ngx_completion_bulletin_create(redis, zone,
                                                 cluster->errands,
                                                 handlers->changed,
                                                 handlers->data, log);
    cluster->marks = ngx_completion_marks_create(redis, zone,
                                                 cluster->errands,
                                                 cluster->bulletin,
                                                 handlers->changed,
                                                 handlers->data);

    if (cluster->claims == NULL || cluster->bulletin == NULL
        || cluster->marks == NULL)
    {
        return NULL;
    }

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        cluster->starts[kind] = ngx_completion_starts_create(redis, zone, kind,
                                                 handlers->starts[kind],
                                                 handlers->data, log);

        if (cluster->starts[kind] == NULL) {
            return NULL;
        }
    }

    ngx_completion_redis_on_reach(redis, ngx_completion_cluster_reached,
                                  cluster);

    return cluster;
}


static void
ngx_completion_cluster_reached(void *data)
{
    ngx_completion_cluster_t  *cluster;

    cluster = data;

    ngx_completion_errands_reached(cluster->errands,
                                   ngx_completion_cluster_heard, cluster);
}


/* what is asked anew is asked behind what the server had not heard */

static void
ngx_completion_cluster_heard(void *data)
{
    ngx_uint_t                 kind;
    ngx_completion_cluster_t  *cluster;

    cluster = data;

    ngx_completion_bulletin_look(cluster->bulletin);

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        ngx_completion_starts_look(cluster->starts[kind]);
    }
}


void
ngx_completion_cluster_quit(ngx_completion_cluster_t *cluster)
{
    ngx_uint_t  kind;

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        ngx_completion_starts_quit(cluster->starts[kind]);
    }
}


ngx_completion_errand_t *
ngx_completion_cluster_errand(ngx_completion_cluster_t *cluster,
    ngx_completion_id_t *id, ngx_completion_mark_e mark,
    ngx_completion_errand_t *errand)
{
    if (cluster == NULL) {
        return NULL;
    }

    ngx_completion_mark_errand(cluster->marks, id, mark, errand);

    return errand;
}


void
ngx_completion_cluster_do(ngx_completion_cluster_t *cluster,
    ngx_completion_errand_t *errand)
{
    if (cluster) {
        ngx_completion_errands_do(cluster->errands, errand);
    }
}


void
ngx_completion_cluster_ended(ngx_completion_cluster_t *cluster,
    ngx_str_t *id)
{
    ngx_completion_errand_t  errand;

    if (cluster) {
        ngx_completion_bulletin_errand(cluster->bulletin, id, &errand);
        ngx_completion_errands_post(cluster->errands, &errand);
    }
}


void
ngx_completion_cluster_exit(ngx_completion_cluster_t *cluster)
{
    ngx_uint_t  kind;

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        ngx_completion_starts_exit(cluster->starts[kind]);
    }

    ngx_completion_bulletin_exit(cluster->bulletin);
    ngx_completion_errands_exit(cluster->errands);
}
