
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_cluster.h"


static void ngx_completion_cluster_reached(void *data);


ngx_completion_cluster_t *
ngx_completion_cluster_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone, ngx_completion_starts_handler_pt handler,
    void *data, ngx_log_t *log)
{
    ngx_completion_cluster_t  *cluster;

    cluster = ngx_calloc(sizeof(ngx_completion_cluster_t), log);
    if (cluster == NULL) {
        return NULL;
    }

    cluster->redis = redis;
    cluster->claims = ngx_completion_claims_create(redis, log);
    cluster->starts = ngx_completion_starts_create(redis, zone, handler, data,
                                                   log);

    if (cluster->claims == NULL || cluster->starts == NULL) {
        return NULL;
    }

    ngx_completion_redis_on_reach(redis, ngx_completion_cluster_reached,
                                  cluster);

    return cluster;
}


/* what is asked anew is asked behind what was not heard */

static void
ngx_completion_cluster_reached(void *data)
{
    ngx_completion_cluster_t  *cluster;

    cluster = data;

    ngx_completion_claims_reached(cluster->claims);
    ngx_completion_starts_look(cluster->starts);
}


void
ngx_completion_cluster_exit(ngx_completion_cluster_t *cluster)
{
    ngx_completion_claims_exit(cluster->claims);
    ngx_completion_starts_exit(cluster->starts);
}
