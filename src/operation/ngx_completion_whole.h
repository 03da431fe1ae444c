
/*
 * A text in parts, whose capability holds the ids of its operations: what is
 * known of all of them is the one operation that its client sees.  Nothing is
 * kept of it here; each look begins with the parts.  An id of one operation
 * goes straight to it.
 */


#ifndef _NGX_COMPLETION_WHOLE_H_INCLUDED_
#define _NGX_COMPLETION_WHOLE_H_INCLUDED_


#include "ngx_completion_news.h"
#include "ngx_completion_service.h"


/* how one is looked at */

/* what upstream has not answered by now is pending */
#define NGX_COMPLETION_WHOLE_LATE  0x01
/* the document tells what text there is so far */
#define NGX_COMPLETION_WHOLE_TEXT  0x02
/* it was accepted just now: what the zone has no room for is pending */
#define NGX_COMPLETION_WHOLE_NEW   0x04
/* each stands by itself: when one has failed, the others go on */
#define NGX_COMPLETION_WHOLE_APART 0x08


/* How many operations it is. */
ngx_uint_t ngx_completion_whole_parts(ngx_completion_id_t *id);

/* The one operation, or the first of them. */
ngx_str_t ngx_completion_whole_first(ngx_completion_id_t *id);

/*
 * As _operation_read(), _cancel() and _delete() of each of them.  Those that
 * are pending when one has failed are cancelled, unless one is shared.
 */
ngx_int_t ngx_completion_whole_read(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_uint_t how, ngx_completion_view_t *known,
    ngx_pool_t *pool, ngx_completion_view_t *view);
ngx_int_t ngx_completion_whole_cancel(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_uint_t how, ngx_pool_t *pool,
    ngx_completion_view_t *view);
ngx_int_t ngx_completion_whole_delete(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view);

/*
 * As _operation_wait() for each, all of them with the first wait's handler and
 * data: there is a wait for each part.  The other ends them all.
 */
void ngx_completion_whole_wait(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_msec_t ms, ngx_completion_wait_t *waits);
void ngx_completion_whole_wait_end(ngx_completion_wait_t *waits,
    ngx_uint_t n);


#endif /* _NGX_COMPLETION_WHOLE_H_INCLUDED_ */
