
/*
 * nginx's event loop on a clock that stands until it is told to go on: timers
 * in their order, posted events, and the connection that workers wake each
 * other by.
 */


#ifndef _EVENT_SHIM_H_INCLUDED_
#define _EVENT_SHIM_H_INCLUDED_


#include "ngx_shim.h"

#include <ngx_event.h>


/* how often the other workers were woken */
extern ngx_uint_t   shim_wakes;

/* whether a wake-up is told to all of them, as epoll does */
extern ngx_uint_t   shim_edges;


/* A worker that begins: no timers, no events, and a clock that is not zero. */
void shim_worker(void);

/* What is posted, and what that posts; no time passes. */
void shim_turn(void);

/* So many ms pass, timers expire and posted events happen. */
void shim_passes(ngx_msec_t ms);

/* ms until the next timer; -1: there is none */
ngx_msec_int_t shim_next(void);

/* Another worker wakes this one; it is told to quit; its time is over. */
void shim_woken(void);
void shim_quits(void);
void shim_cut(void);


#endif /* _EVENT_SHIM_H_INCLUDED_ */
