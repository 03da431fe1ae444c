
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <sys/eventfd.h>

#include "ngx_completion_wake.h"


static void ngx_completion_wake_handler(ngx_event_t *rev);
static void ngx_completion_wake_ignore(ngx_event_t *wev);


static int                ngx_completion_wake_fd = -1;
static ngx_connection_t  *ngx_completion_wake_connection;
static void             (*ngx_completion_wake_listener)(ngx_uint_t cut);


ngx_int_t
ngx_completion_wake_open(ngx_cycle_t *cycle)
{
    if (ngx_completion_wake_fd != -1) {
        return NGX_OK;
    }

    ngx_completion_wake_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (ngx_completion_wake_fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "eventfd() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_wake_listen(ngx_cycle_t *cycle,
    void (*handler)(ngx_uint_t cut))
{
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = ngx_get_connection(ngx_completion_wake_fd, cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    /* a quitting worker calls the read handlers of idle connections */

    c->idle = 1;

    rev = c->read;
    rev->handler = ngx_completion_wake_handler;
    rev->log = cycle->log;

    c->write->handler = ngx_completion_wake_ignore;
    c->write->log = cycle->log;

    ngx_completion_wake_connection = c;
    ngx_completion_wake_listener = handler;

    return ngx_add_event(rev, NGX_READ_EVENT,
                         (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                             ? NGX_CLEAR_EVENT : NGX_LEVEL_EVENT);
}


static void
ngx_completion_wake_handler(ngx_event_t *rev)
{
    uint64_t           count;
    ngx_connection_t  *c;

    c = rev->data;

    /*
     * Edge-triggered, every write wakes every worker and nobody needs to
     * read.  Level-triggered, one worker reads for all; the others' safety
     * net does the rest.
     */

    if (!(ngx_event_flags & NGX_USE_CLEAR_EVENT) && !c->close) {
        if (read(c->fd, &count, sizeof(uint64_t)) == -1
            && ngx_errno != NGX_EAGAIN)
        {
            ngx_log_error(NGX_LOG_ERR, rev->log, ngx_errno,
                          "read() of an eventfd failed");
        }
    }

    if (c->close) {
        c->idle = 0;

        /* it stays readable until another worker reads it */

        if (!(ngx_event_flags & NGX_USE_CLEAR_EVENT) && rev->active) {
            (void) ngx_del_event(rev, NGX_READ_EVENT, 0);
        }
    }

    ngx_completion_wake_listener(c->error);
}


ngx_uint_t
ngx_completion_wake_edges(void)
{
    return (ngx_event_flags & NGX_USE_CLEAR_EVENT) != 0;
}


static void
ngx_completion_wake_ignore(ngx_event_t *wev)
{
    /* void */
}


void
ngx_completion_wake_all(void)
{
    uint64_t  one;

    one = 1;

    if (write(ngx_completion_wake_fd, &one, sizeof(uint64_t)) == -1) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "write() to an eventfd failed");
    }
}


void
ngx_completion_wake_close(void)
{
    ngx_connection_t  *c;

    c = ngx_completion_wake_connection;

    if (c == NULL) {
        return;
    }

    ngx_completion_wake_connection = NULL;

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}
