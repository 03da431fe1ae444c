
/*
 * What upstream said of an operation goes into the zone, and whoever waits
 * for it is woken.
 */


#ifndef _NGX_COMPLETION_KEEP_H_INCLUDED_
#define _NGX_COMPLETION_KEEP_H_INCLUDED_


#include "ngx_completion_service.h"


/*
 * A poll's answer, under the lease of the poll.  Returns the level of a line
 * about one that failed: of what fails again and again the first is told.
 */
ngx_uint_t ngx_completion_keep(ngx_completion_service_t *service, ngx_str_t *id,
    uint64_t lease, ngx_completion_answer_t *answer);

/* A submit's: it was accepted under the answer's id. */
void ngx_completion_keep_accepted(ngx_completion_service_t *service,
    ngx_completion_id_t *id, uint64_t lease, ngx_completion_keys_t *keys,
    ngx_uint_t model, ngx_completion_answer_t *answer, ngx_log_t *log);

/*
 * A result that the zone has no room for is kept in this worker for those in
 * it who wait, a few seconds, one per service: NGX_OK with the document in the
 * pool, or NGX_DECLINED.
 */
ngx_int_t ngx_completion_keep_overflow(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/* It has ended, or was deleted: other nodes share it no longer than we do. */
void ngx_completion_keep_ended(ngx_completion_service_t *service,
    ngx_str_t *id);

/* What is kept in the worker goes. */
void ngx_completion_keep_exit(ngx_completion_service_t *service);


#endif /* _NGX_COMPLETION_KEEP_H_INCLUDED_ */
