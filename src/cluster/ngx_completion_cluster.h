
/*
 * What the nodes of a provider share, as a worker has it.  Where there is no
 * server for that there is no cluster, and its claims are granted at once.
 */


#ifndef _NGX_COMPLETION_CLUSTER_H_INCLUDED_
#define _NGX_COMPLETION_CLUSTER_H_INCLUDED_


#include "ngx_completion_bulletin.h"
#include "ngx_completion_claims.h"
#include "ngx_completion_errands.h"
#include "ngx_completion_marks.h"
#include "ngx_completion_starts.h"


typedef struct {
    ngx_completion_redis_t    *redis;
    ngx_completion_errands_t  *errands;
    ngx_completion_bulletin_t *bulletin;
    ngx_completion_claims_t   *claims;
    ngx_completion_marks_t    *marks;
    ngx_completion_starts_t   *starts[NGX_COMPLETION_QUOTAS];
} ngx_completion_cluster_t;


/* What it tells the layer above: starts, by kinds of calls, see there. */
typedef struct {
    ngx_completion_starts_handler_pt  starts[NGX_COMPLETION_QUOTAS];
    ngx_completion_bulletin_handler_pt
                                      changed;   /* the zone, see there */
    void                             *data;
} ngx_completion_cluster_handlers_t;


/* NULL: no memory. */
ngx_completion_cluster_t *ngx_completion_cluster_create(
    ngx_completion_redis_t *redis, ngx_completion_zone_t *zone,
    ngx_completion_cluster_handlers_t *handlers, ngx_log_t *log);

/*
 * The errand that tells other nodes of this mark, or asks them for one, if it
 * is NGX_COMPLETION_MARK_NONE; NULL: it is alone.  Then what is due is done,
 * of what was written and given to the zone.
 */
ngx_completion_errand_t *ngx_completion_cluster_errand(
    ngx_completion_cluster_t *cluster, ngx_completion_id_t *id,
    ngx_completion_mark_e mark, ngx_completion_errand_t *errand);
void ngx_completion_cluster_do(ngx_completion_cluster_t *cluster,
    ngx_completion_errand_t *errand);

/* Upstream has told this node of the end of an operation. */
void ngx_completion_cluster_ended(ngx_completion_cluster_t *cluster,
    ngx_str_t *id);

/* The worker quits, and with the last one the node. */
void ngx_completion_cluster_quit(ngx_completion_cluster_t *cluster);

void ngx_completion_cluster_exit(ngx_completion_cluster_t *cluster);


#endif /* _NGX_COMPLETION_CLUSTER_H_INCLUDED_ */
