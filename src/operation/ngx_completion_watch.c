
/*
 *     timer, news --> due --> take a lease --> call --> keep
 *                     ^ |                       |
 *                     | +-- no start is free    | no start is free at the
 *          starts ----+ |   the server is asked | fence; 401
 *                     ^ '------> if nodes share |
 *                     +-- the lease goes back <-'
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"
#include "../store/ngx_completion_wake.h"

#include "ngx_completion_call.h"
#include "ngx_completion_keep.h"
#include "ngx_completion_news.h"
#include "ngx_completion_renewal.h"
#include "ngx_completion_watch.h"


/* how often a zone is looked at in which nothing is scheduled, ms */
#define NGX_COMPLETION_WATCH_REST  5000


struct ngx_completion_watch_s {
    ngx_completion_service_t  *service;
    ngx_event_t                timer;
    ngx_queue_t                polls;
    ngx_uint_t                 npolls;
};


typedef struct {
    ngx_completion_call_t      call;
    ngx_queue_t                queue;
    uint64_t                   lease;
} ngx_completion_poll_t;


static void ngx_completion_watch_timer(ngx_event_t *ev);
static ngx_int_t ngx_completion_poll_start(ngx_completion_service_t *service,
    ngx_completion_due_t *due);
static ngx_int_t ngx_completion_poll_fence(ngx_completion_call_t *call);
static void ngx_completion_poll_called(ngx_completion_call_t *call);
static void ngx_completion_poll_yield(ngx_completion_poll_t *poll);
static void ngx_completion_poll_end(ngx_completion_poll_t *poll);


ngx_int_t
ngx_completion_watch_init(ngx_completion_service_t *service)
{
    ngx_completion_watch_t  *watch;

    watch = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_watch_t));
    if (watch == NULL) {
        return NGX_ERROR;
    }

    service->watch = watch;
    watch->service = service;
    ngx_queue_init(&watch->polls);

    ngx_completion_timer_init(&watch->timer, ngx_completion_watch_timer,
                              service->log);
    watch->timer.cancelable = 1;

    ngx_add_timer(&watch->timer, 1);

    return NGX_OK;
}


void
ngx_completion_watch_quit(ngx_completion_service_t *service)
{
    ngx_queue_t             *q;
    ngx_completion_watch_t  *watch;

    watch = service->watch;

    ngx_completion_timer_stop(&watch->timer);

    while (!ngx_queue_empty(&watch->polls)) {
        q = ngx_queue_head(&watch->polls);
        ngx_completion_poll_yield(ngx_queue_data(q, ngx_completion_poll_t,
                                                 queue));
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
    ngx_int_t                rc;
    ngx_msec_t               wait;
    ngx_completion_due_t     due;
    ngx_completion_shown_t   shown;
    ngx_completion_watch_t  *watch;

    if (ngx_exiting) {
        return;
    }

    watch = service->watch;
    wait = NGX_COMPLETION_NEWS_NET;
    rc = NGX_OK;

    /*
     * The rest of the connections is for submits and other workers; nothing
     * is taken before there is a token: that would wake us.
     */

    while (watch->npolls < ngx_max(ngx_cycle->connection_n / 8, 1)
           && ngx_completion_renewal_get(service, &shown) == NGX_OK)
    {
        rc = ngx_completion_zone_take(service->zone, &due, &wait);

        if (rc != NGX_OK
            || ngx_completion_poll_start(service, &due) != NGX_OK)
        {
            break;
        }
    }

    /* whoever waits here has a timer, or has seen to it that it is scheduled */

    if (rc == NGX_AGAIN && wait == NGX_TIMER_INFINITE
        && service->cluster == NULL && ngx_completion_wake_edges())
    {
        wait = NGX_COMPLETION_WATCH_REST;

    } else {
        wait = ngx_max(ngx_min(wait, NGX_COMPLETION_NEWS_NET), 1);
    }

    ngx_completion_timer_stop(&watch->timer);
    ngx_add_timer(&watch->timer, wait);

    if (service->cluster) {
        ngx_completion_starts_look(
                          service->cluster->starts[NGX_COMPLETION_KIND_POLL]);
    }
}


void
ngx_completion_watch_starts(void *data, ngx_uint_t called)
{
    ngx_completion_watch(data);
}


static ngx_int_t
ngx_completion_poll_start(ngx_completion_service_t *service,
    ngx_completion_due_t *due)
{
    ngx_completion_call_t  *call;
    ngx_completion_poll_t  *poll;

    poll = ngx_completion_call_create(service, NGX_COMPLETION_KIND_POLL,
                                      &due->id, sizeof(ngx_completion_poll_t));
    if (poll == NULL) {
        ngx_completion_zone_yield(service->zone, &due->id, due->lease);
        return NGX_ERROR;
    }

    poll->lease = due->lease;

    ngx_queue_insert_tail(&service->watch->polls, &poll->queue);
    service->watch->npolls++;

    call = &poll->call;
    call->paced = 1;
    call->fence = ngx_completion_poll_fence;
    call->handler = ngx_completion_poll_called;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &call->log, 0,
                   "completion watch: \"%V\" is due, lease %uL", &call->id,
                   poll->lease);

    if (ngx_completion_call_start(call) != NGX_OK) {
        ngx_completion_poll_yield(poll);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_poll_fence(ngx_completion_call_t *call)
{
    ngx_completion_poll_t  *poll;

    poll = (ngx_completion_poll_t *) call;

    return ngx_completion_zone_ask(call->service->zone, &call->id,
                                   poll->lease);
}


static void
ngx_completion_poll_called(ngx_completion_call_t *call)
{
    ngx_uint_t                 level;
    ngx_completion_poll_t     *poll;
    ngx_completion_outcome_e   outcome;

    poll = (ngx_completion_poll_t *) call;
    outcome = call->answer.outcome;

    if (call->state == NGX_COMPLETION_CALL_TURN || call->failed) {

        /* the poll that follows has a place of its own in the quota */

        ngx_completion_news_kick(call->service);
        ngx_completion_poll_yield(poll);
        return;
    }

    level = ngx_completion_keep(call->service, &call->id, poll->lease,
                                &call->answer);

    if (outcome != NGX_COMPLETION_OK
        && outcome != NGX_COMPLETION_OPERATION_NOT_FOUND)
    {
        ngx_completion_call_report(call, level, &call->log);
    }

    ngx_completion_poll_end(poll);
}


static void
ngx_completion_poll_yield(ngx_completion_poll_t *poll)
{
    ngx_completion_call_t  *call;

    call = &poll->call;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &call->log, 0,
                   "completion watch: \"%V\" goes back, lease %uL", &call->id,
                   poll->lease);

    ngx_completion_call_abort(call);
    ngx_completion_zone_yield(call->service->zone, &call->id, poll->lease);
    ngx_completion_poll_end(poll);
}


static void
ngx_completion_poll_end(ngx_completion_poll_t *poll)
{
    ngx_queue_remove(&poll->queue);
    poll->call.service->watch->npolls--;

    ngx_destroy_pool(poll->call.pool);
}
