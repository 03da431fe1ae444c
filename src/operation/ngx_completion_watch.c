
/*
 *     timer, news --> due --> take a lease --> call --> keep
 *                      ^                        |
 *                      +-- the lease goes back <+ 401, another credential
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_call.h"
#include "ngx_completion_credentials.h"
#include "ngx_completion_keep.h"
#include "ngx_completion_news.h"
#include "ngx_completion_renewal.h"
#include "ngx_completion_watch.h"


/* one per service in every worker */
typedef struct {
    ngx_completion_service_t  *service;
    ngx_event_t                timer;
    ngx_queue_t                polls;
    ngx_uint_t                 npolls;
} ngx_completion_watch_t;


typedef struct {
    ngx_queue_t                queue;
    ngx_completion_watch_t    *watch;
    ngx_completion_due_t       due;
    ngx_completion_call_t      call;
} ngx_completion_poll_t;


static void ngx_completion_watch_timer(ngx_event_t *ev);
static ngx_int_t ngx_completion_poll_start(ngx_completion_watch_t *watch,
    ngx_completion_due_t *due);
static void ngx_completion_poll_called(ngx_completion_call_t *call);
static void ngx_completion_poll_yield(ngx_completion_poll_t *poll);
static void ngx_completion_poll_end(ngx_completion_poll_t *poll);


static ngx_completion_watch_t  *ngx_completion_watches;
static ngx_uint_t               ngx_completion_nwatches;


ngx_int_t
ngx_completion_watch_init(ngx_cycle_t *cycle, ngx_array_t *services)
{
    ngx_uint_t                  i;
    ngx_completion_watch_t     *watch;
    ngx_completion_service_t  **service;

    service = services->elts;

    watch = ngx_calloc(services->nelts * sizeof(ngx_completion_watch_t),
                       cycle->log);
    if (watch == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_watches = watch;
    ngx_completion_nwatches = services->nelts;

    for (i = 0; i < services->nelts; i++) {
        watch[i].service = service[i];
        ngx_queue_init(&watch[i].polls);

        ngx_completion_timer_init(&watch[i].timer, ngx_completion_watch_timer,
                                  service[i]->log);
        watch[i].timer.cancelable = 1;

        ngx_add_timer(&watch[i].timer, 1);
    }

    return NGX_OK;
}


void
ngx_completion_watch_quit(void)
{
    ngx_uint_t               i;
    ngx_queue_t             *q;
    ngx_completion_watch_t  *watch;

    for (i = 0; i < ngx_completion_nwatches; i++) {
        watch = &ngx_completion_watches[i];

        ngx_completion_timer_stop(&watch->timer);

        while (!ngx_queue_empty(&watch->polls)) {
            q = ngx_queue_head(&watch->polls);
            ngx_completion_poll_yield(ngx_queue_data(q, ngx_completion_poll_t,
                                                     queue));
        }
    }
}


static void
ngx_completion_watch_timer(ngx_event_t *ev)
{
    ngx_completion_watch_t  *watch;

    watch = ngx_completion_timer_owner(ev, ngx_completion_watch_t, timer);

    ngx_completion_news_look(watch->service);
}


void
ngx_completion_watch(ngx_completion_service_t *service)
{
    ngx_msec_t               wait;
    ngx_completion_due_t     due;
    ngx_completion_shown_t   shown;
    ngx_completion_watch_t  *watch;

    if (ngx_exiting) {
        return;
    }

    watch = &ngx_completion_watches[service->index];
    wait = NGX_COMPLETION_NEWS_NET;

    /* the rest of the connections is for submits and other workers */

    while (watch->npolls < ngx_max(ngx_cycle->connection_n / 8, 1)) {

        /* nothing is taken before there is a token: that would wake us */

        if (ngx_completion_credentials_get(service, &shown) != NGX_OK) {
            ngx_completion_renewal_tend(service);
            break;
        }

        if (ngx_completion_zone_take(service->zone, &due, &wait) != NGX_OK
            || ngx_completion_poll_start(watch, &due) != NGX_OK)
        {
            break;
        }
    }

    wait = ngx_max(ngx_min(wait, NGX_COMPLETION_NEWS_NET), 1);

    ngx_completion_timer_stop(&watch->timer);
    ngx_add_timer(&watch->timer, wait);
}


static ngx_int_t
ngx_completion_poll_start(ngx_completion_watch_t *watch,
    ngx_completion_due_t *due)
{
    ngx_pool_t                *pool;
    ngx_completion_poll_t     *poll;
    ngx_completion_service_t  *service;

    service = watch->service;

    pool = ngx_create_pool(1024, service->log);

    poll = pool ? ngx_pcalloc(pool, sizeof(ngx_completion_poll_t)) : NULL;

    if (poll == NULL) {
        if (pool) {
            ngx_destroy_pool(pool);
        }

        ngx_completion_zone_yield(service->zone, &due->id, due->lease);
        return NGX_ERROR;
    }

    poll->watch = watch;
    poll->due = *due;
    poll->due.id.data = poll->due.buf;

    ngx_queue_insert_tail(&watch->polls, &poll->queue);
    watch->npolls++;

    ngx_completion_call_init(&poll->call, service, NGX_COMPLETION_KIND_POLL,
                             pool);

    poll->call.id = poll->due.id;
    poll->call.deadline = ngx_current_msec + service->provider.request_timeout;
    poll->call.latest = poll->call.deadline;
    poll->call.paced = 1;
    poll->call.handler = ngx_completion_poll_called;
    poll->call.data = poll;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &poll->call.log, 0,
                   "completion watch: \"%V\" is due, lease %uL",
                   &poll->due.id, poll->due.lease);

    if (ngx_completion_call_start(&poll->call) != NGX_OK) {
        ngx_completion_poll_yield(poll);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_completion_poll_called(ngx_completion_call_t *call)
{
    ngx_completion_poll_t     *poll;
    ngx_completion_service_t  *service;

    poll = call->data;
    service = call->service;

    if (call->state == NGX_COMPLETION_CALL_TURN || call->failed) {

        /* the poll that follows has a place of its own in the quota */

        ngx_completion_poll_yield(poll);
        ngx_completion_news_kick(service);
        return;
    }

    ngx_completion_keep(service, &poll->due.id, poll->due.lease,
                        &call->answer);
    ngx_completion_poll_end(poll);
}


static void
ngx_completion_poll_yield(ngx_completion_poll_t *poll)
{
    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &poll->call.log, 0,
                   "completion watch: \"%V\" goes back, lease %uL",
                   &poll->due.id, poll->due.lease);

    ngx_completion_call_abort(&poll->call);
    ngx_completion_zone_yield(poll->watch->service->zone, &poll->due.id,
                              poll->due.lease);
    ngx_completion_poll_end(poll);
}


static void
ngx_completion_poll_end(ngx_completion_poll_t *poll)
{
    ngx_queue_remove(&poll->queue);
    poll->watch->npolls--;

    ngx_destroy_pool(poll->call.pool);
}
