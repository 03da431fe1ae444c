
/*
 * News of all nodes, which stand in one stream on the server: what has ended,
 * was cancelled or deleted.  One worker of a node reads on from where the node
 * stood, each second.  Every node learns the same without, later.
 */


#ifndef _NGX_COMPLETION_BULLETIN_H_INCLUDED_
#define _NGX_COMPLETION_BULLETIN_H_INCLUDED_


#include "ngx_completion_errands.h"


typedef struct ngx_completion_bulletin_s  ngx_completion_bulletin_t;

/*
 * The zone has changed by what was heard: of an id that was cancelled or
 * deleted, and then, without one, that there was anything.
 */
typedef void (*ngx_completion_bulletin_handler_pt)(void *data, ngx_str_t *id);


/* A worker's; NULL: no memory.  The handler is called when there was news. */
ngx_completion_bulletin_t *ngx_completion_bulletin_create(
    ngx_completion_redis_t *redis, ngx_completion_zone_t *zone,
    ngx_completion_errands_t *errands,
    ngx_completion_bulletin_handler_pt handler, void *data, ngx_log_t *log);

/* An errand: upstream has told this node of the end. */
void ngx_completion_bulletin_errand(ngx_completion_bulletin_t *bulletin,
    ngx_str_t *id, ngx_completion_errand_t *errand);

/*
 * Tells of an id, which is ended, cancelled or deleted, and, if its name is
 * not NULL, writes a mark: a sealed value that stands for ms.  As
 * _redis_script().
 */
ngx_int_t ngx_completion_bulletin_tell(ngx_completion_bulletin_t *bulletin,
    ngx_completion_redis_call_t *call, ngx_completion_mark_e mark,
    ngx_str_t *id, ngx_str_t *name, ngx_str_t *sealed, ngx_msec_t ms);

/* There may be news. */
void ngx_completion_bulletin_look(ngx_completion_bulletin_t *bulletin);

void ngx_completion_bulletin_exit(ngx_completion_bulletin_t *bulletin);


#endif /* _NGX_COMPLETION_BULLETIN_H_INCLUDED_ */
