
/*
 * Marks: that a client has cancelled or deleted an operation stands on the
 * server, under its id and for as long as that is good, and is told to
 * whichever node adopts the id.
 */


#ifndef _NGX_COMPLETION_MARKS_H_INCLUDED_
#define _NGX_COMPLETION_MARKS_H_INCLUDED_


#include "ngx_completion_bulletin.h"


typedef struct ngx_completion_marks_s  ngx_completion_marks_t;


/* A worker's; NULL: no memory.  The handler is called as by news. */
ngx_completion_marks_t *ngx_completion_marks_create(
    ngx_completion_redis_t *redis, ngx_completion_zone_t *zone,
    ngx_completion_errands_t *errands, ngx_completion_bulletin_t *bulletin,
    ngx_completion_bulletin_handler_pt handler, void *data);

/* Errands: to tell one, or to ask for it (NGX_COMPLETION_MARK_NONE). */
void ngx_completion_mark_errand(ngx_completion_marks_t *marks,
    ngx_completion_id_t *id, ngx_completion_mark_e mark,
    ngx_completion_errand_t *errand);


#endif /* _NGX_COMPLETION_MARKS_H_INCLUDED_ */
