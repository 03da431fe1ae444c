
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_cluster.h"


static void ngx_completion_cluster_reached(void *data);


ngx_completion_cluster_t *
ngx_completion_cluster_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone,
    const ngx_completion_starts_handler_pt *handlers, void *data,
    ngx_log_t *log)
{
    ngx_uint_t                 kind;
    ngx_completion_cluster_t  *cluster;

    cluster = ngx_calloc(sizeof(ngx_completion_cluster_t), log);
    if (cluster == NULL) {
        return NULL;
    }

    cluster->redis = redis;
    cluster->claims = ngx_completion_claims_create(redis, zone->deadline, log);

    if (cluster->claims == NULL) {
        return NULL;
    }

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        cluster->starts[kind] = ngx_completion_starts_create(redis, zone, kind,
                                                 handlers[kind], data, log);

        if (cluster->starts[kind] == NULL) {
            return NULL;
        }
    }

    ngx_completion_redis_on_reach(redis, ngx_completion_cluster_reached,
                                  cluster);

    return cluster;
}


/* what is asked anew is asked behind what was not heard */

static void
ngx_completion_cluster_reached(void *data)
{
    ngx_uint_t                 kind;
    ngx_completion_cluster_t  *cluster;

    cluster = data;

    ngx_completion_claims_reached(cluster->claims);

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


void
ngx_completion_cluster_exit(ngx_completion_cluster_t *cluster)
{
    ngx_uint_t  kind;

    ngx_completion_claims_exit(cluster->claims);

    for (kind = 0; kind < NGX_COMPLETION_QUOTAS; kind++) {
        ngx_completion_starts_exit(cluster->starts[kind]);
    }
}
