
/*
 * A timer without a connection.  nginx's debug log takes the data of an event
 * for a connection and names its descriptor: so data points to one that stands
 * for none, and the owner is found by where in it the event lies.
 */


#ifndef _NGX_COMPLETION_TIMER_H_INCLUDED_
#define _NGX_COMPLETION_TIMER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* Of a zeroed event, to be added or posted; it keeps a quitting worker. */
void ngx_completion_timer_init(ngx_event_t *ev,
    void (*handler)(ngx_event_t *ev), ngx_log_t *log);

/* The owner, of this type, whose member the event is. */
#define ngx_completion_timer_owner(ev, type, member)                          \
    ((type *) ((u_char *) (ev) - offsetof(type, member)))

/* If it was added or posted. */
void ngx_completion_timer_stop(ngx_event_t *ev);


#endif /* _NGX_COMPLETION_TIMER_H_INCLUDED_ */
