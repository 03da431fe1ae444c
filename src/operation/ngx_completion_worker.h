
/*
 * The life of a worker, as far as operations go: the order in which its parts
 * begin, quit and end.
 */


#ifndef _NGX_COMPLETION_WORKER_H_INCLUDED_
#define _NGX_COMPLETION_WORKER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* services is an array of pointers: NGX_OK or NGX_ERROR */
ngx_int_t ngx_completion_worker_start(ngx_cycle_t *cycle,
    ngx_array_t *services);
void ngx_completion_worker_exit(void);


#endif /* _NGX_COMPLETION_WORKER_H_INCLUDED_ */
