
/*
 * The submits of this worker that wait for a start: one timer for all, at the
 * moment when the next one is due, whoever's it is.
 */


#ifndef _NGX_COMPLETION_QUEUE_H_INCLUDED_
#define _NGX_COMPLETION_QUEUE_H_INCLUDED_


#include "ngx_completion_news.h"


ngx_int_t ngx_completion_queue_init(ngx_completion_service_t *service);

/*
 * A submit waits, and hears by its lease's hash that it is called; it leaves,
 * called or not.
 */
void ngx_completion_queue_enter(ngx_completion_service_t *service,
    uint64_t lease, ngx_completion_wait_t *wait);
void ngx_completion_queue_leave(ngx_completion_service_t *service,
    ngx_completion_wait_t *wait);

/* Calls who is due, with news of it to all workers. */
void ngx_completion_queue_look(ngx_completion_service_t *service);

/* The server has given starts to this service, or has not. */
void ngx_completion_queue_starts(void *data, ngx_uint_t called);


#endif /* _NGX_COMPLETION_QUEUE_H_INCLUDED_ */
