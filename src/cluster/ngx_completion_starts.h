
/*
 * Starts that nodes share, of submits or of polls: what a node wants of them,
 * a worker asks the server for, and puts into the zone, where any call of the
 * node finds it.
 */


#ifndef _NGX_COMPLETION_STARTS_H_INCLUDED_
#define _NGX_COMPLETION_STARTS_H_INCLUDED_


#include "ngx_completion_redis.h"


typedef struct ngx_completion_starts_s  ngx_completion_starts_t;


/*
 * What waits is to be looked at; called: a submit was called, of any worker's.
 */
typedef void (*ngx_completion_starts_handler_pt)(void *data,
    ngx_uint_t called);


/*
 * A worker's, of a zone whose rates for such calls, if it has any, are all
 * nodes'.  NULL: no memory.
 */
ngx_completion_starts_t *ngx_completion_starts_create(
    ngx_completion_redis_t *redis, ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_completion_starts_handler_pt handler,
    void *data, ngx_log_t *log);

/* There may be something to ask for, or to give back. */
void ngx_completion_starts_look(ngx_completion_starts_t *starts);

/* The worker quits, and with the last one the node. */
void ngx_completion_starts_quit(ngx_completion_starts_t *starts);

void ngx_completion_starts_exit(ngx_completion_starts_t *starts);


#endif /* _NGX_COMPLETION_STARTS_H_INCLUDED_ */
