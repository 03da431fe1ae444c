
/*
 * What the nodes of a provider share, as a worker has it.  Where there is no
 * server for that there is no cluster, and its claims are granted at once.
 */


#ifndef _NGX_COMPLETION_CLUSTER_H_INCLUDED_
#define _NGX_COMPLETION_CLUSTER_H_INCLUDED_


#include "ngx_completion_claims.h"
#include "ngx_completion_starts.h"


typedef struct {
    ngx_completion_redis_t    *redis;
    ngx_completion_claims_t   *claims;
    ngx_completion_starts_t   *starts[NGX_COMPLETION_QUOTAS];
} ngx_completion_cluster_t;


/* NULL: no memory.  The handlers are those of starts, by kinds of calls. */
ngx_completion_cluster_t *ngx_completion_cluster_create(
    ngx_completion_redis_t *redis, ngx_completion_zone_t *zone,
    const ngx_completion_starts_handler_pt *handlers, void *data,
    ngx_log_t *log);

/* The worker quits, and with the last one the node. */
void ngx_completion_cluster_quit(ngx_completion_cluster_t *cluster);

void ngx_completion_cluster_exit(ngx_completion_cluster_t *cluster);


#endif /* _NGX_COMPLETION_CLUSTER_H_INCLUDED_ */
