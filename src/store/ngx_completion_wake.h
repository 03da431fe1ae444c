
/*
 * Waking the other workers: one eventfd for all of them, made once in the
 * master and inherited by every worker of every cycle, so that those of a
 * reload's both sides wake.  A wake-up is only a hint that something in some
 * zone changed; it may get lost.  The same connection tells a worker at once
 * that it is to quit, and when worker_shutdown_timeout has passed.
 */


#ifndef _NGX_COMPLETION_WAKE_H_INCLUDED_
#define _NGX_COMPLETION_WAKE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* In the master, for every cycle: NGX_OK or NGX_ERROR, logged. */
ngx_int_t ngx_completion_wake_open(ngx_cycle_t *cycle);

/*
 * In a worker: the handler is called on wake-ups, and once ngx_exiting; "cut":
 * worker_shutdown_timeout has passed.  The connection being one of the first,
 * that is told before nginx cuts off the clients, who can still be answered.
 */
ngx_int_t ngx_completion_wake_listen(ngx_cycle_t *cycle,
    void (*handler)(ngx_uint_t cut));

void ngx_completion_wake_all(void);

/* Whether each one wakes every worker, and not only one of them. */
ngx_uint_t ngx_completion_wake_edges(void);

void ngx_completion_wake_close(void);


#endif /* _NGX_COMPLETION_WAKE_H_INCLUDED_ */
