
/*
 *     timer --> news --> look --> the zone calls --> news, in all workers
 *       ^                 |
 *       +-----------------+ while somebody waits
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_queue.h"


struct ngx_completion_queue_s {
    ngx_completion_service_t  *service;
    ngx_uint_t                 waiting;
    ngx_event_t                timer;
};


static void ngx_completion_queue_timer(ngx_event_t *ev);


ngx_int_t
ngx_completion_queue_init(ngx_completion_service_t *service)
{
    ngx_completion_queue_t  *queue;

    queue = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_queue_t));
    if (queue == NULL) {
        return NGX_ERROR;
    }

    service->queue = queue;
    queue->service = service;

    ngx_completion_timer_init(&queue->timer, ngx_completion_queue_timer,
                              service->log);

    return NGX_OK;
}


void
ngx_completion_queue_enter(ngx_completion_service_t *service, uint64_t lease,
    ngx_completion_wait_t *wait)
{
    ngx_completion_news_wait(service, ngx_completion_lease_hash(lease), wait);

    if (service->queue->waiting++ == 0) {
        ngx_completion_queue_look(service);

    } else if (service->cluster) {
        ngx_completion_starts_look(
                        service->cluster->starts[NGX_COMPLETION_KIND_SUBMIT]);
    }
}


void
ngx_completion_queue_leave(ngx_completion_service_t *service,
    ngx_completion_wait_t *wait)
{
    ngx_completion_wait_end(wait);

    if (--service->queue->waiting == 0) {
        ngx_completion_timer_stop(&service->queue->timer);
    }
}


void
ngx_completion_queue_look(ngx_completion_service_t *service)
{
    ngx_msec_t               wait;
    ngx_completion_queue_t  *queue;

    queue = service->queue;

    if (queue->waiting == 0) {
        return;
    }

    if (ngx_completion_zone_call(service->zone, &wait) == NGX_OK) {
        ngx_completion_news_changed(service);
    }

    if (wait == 0 || wait > NGX_COMPLETION_NEWS_NET) {
        wait = NGX_COMPLETION_NEWS_NET;
    }

    ngx_completion_timer_stop(&queue->timer);
    ngx_add_timer(&queue->timer, wait);

    if (service->cluster) {
        ngx_completion_starts_look(
                        service->cluster->starts[NGX_COMPLETION_KIND_SUBMIT]);
    }
}


void
ngx_completion_queue_starts(void *data, ngx_uint_t called)
{
    if (called) {
        ngx_completion_news_changed(data);
    }

    ngx_completion_queue_look(data);
}


static void
ngx_completion_queue_timer(ngx_event_t *ev)
{
    ngx_completion_queue_t  *queue;

    queue = ngx_completion_timer_owner(ev, ngx_completion_queue_t, timer);

    ngx_completion_news_look(queue->service);
}
