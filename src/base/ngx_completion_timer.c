
#include "ngx_completion_timer.h"


static ngx_connection_t  ngx_completion_timer_none;


void
ngx_completion_timer_init(ngx_event_t *ev, void (*handler)(ngx_event_t *ev),
    ngx_log_t *log)
{
    ngx_completion_timer_none.fd = (ngx_socket_t) -1;

    ev->handler = handler;
    ev->data = &ngx_completion_timer_none;
    ev->log = log;
}


void
ngx_completion_timer_stop(ngx_event_t *ev)
{
    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }
}
