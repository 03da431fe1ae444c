
/*
 * The life of an operation: submitted once, watched by whichever worker takes
 * its lease, read from shared memory by everybody else.  This is what the
 * layer above calls, in workers and outside of any lock.
 */


#ifndef _NGX_COMPLETION_OPERATION_H_INCLUDED_
#define _NGX_COMPLETION_OPERATION_H_INCLUDED_


#include "ngx_completion_news.h"
#include "ngx_completion_service.h"
#include "ngx_completion_submit.h"


/*
 * The life of a worker, as far as operations go; pointers to services.  What it
 * has of each, for as long, is of the cycle's pool: that ends after the exit.
 */
ngx_int_t ngx_completion_worker_start(ngx_cycle_t *cycle,
    ngx_array_t *services);
void ngx_completion_worker_exit(void);


/*
 * What is known of an operation, its document in the pool.  NGX_OK;
 * NGX_AGAIN: upstream is being asked, wait for a change; NGX_DECLINED: there
 * is no such operation; NGX_BUSY: upstream gave no answer, view->next says
 * when it will be asked again; NGX_ABORT: the zone has no room to ask for it,
 * and may have some by then; NGX_ERROR: no memory; NGX_DONE: nothing has
 * changed since the view that the caller knows already, which may be NULL, and
 * the document was not read.
 */
ngx_int_t ngx_completion_operation_read(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_completion_view_t *known, ngx_pool_t *pool,
    ngx_completion_view_t *view);

/*
 * The operation of another node's submit is this one's to watch, too: NGX_OK
 * with what is true of any, that it may be pending; NGX_DECLINED: it is known,
 * or has no room; NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_operation_learn(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/*
 * Declares the operation cancelled and asks upstream, once, to stop it.  The
 * same results; a finished operation is left as it is.
 */
ngx_int_t ngx_completion_operation_cancel(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/*
 * Declares it deleted, and the same where it was pending.  NGX_OK, or what a
 * read would say: one that is deleted is none for all reads.
 */
ngx_int_t ngx_completion_operation_delete(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/*
 * Waits for news of it, see _news_wait().  For ms at most the operation is
 * polled as one that somebody waits for; the caller has a timer of its own.
 */
void ngx_completion_operation_wait(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_msec_t ms, ngx_completion_wait_t *wait);


#endif /* _NGX_COMPLETION_OPERATION_H_INCLUDED_ */
