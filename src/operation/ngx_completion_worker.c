
/*
 *     start --> news ... --> quit --> ... --> cut --> ... --> exit
 *                            (told again whenever something happens)
 *
 * quit: no poll is begun, submits that the quota would let go too late are
 * refused, and those that are under way keep the worker.  cut, the worker's
 * shutdown timeout: transfers end, then whatever else is left.  exit: nothing
 * is reported any more.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../store/ngx_completion_wake.h"

#include "ngx_completion_credentials.h"
#include "ngx_completion_keep.h"
#include "ngx_completion_news.h"
#include "ngx_completion_operation.h"
#include "ngx_completion_queue.h"
#include "ngx_completion_renewal.h"
#include "ngx_completion_submit.h"
#include "ngx_completion_watch.h"


static ngx_int_t ngx_completion_worker_share(
    ngx_completion_service_t *service);
static void ngx_completion_worker_changed(void *data, ngx_str_t *id);
static void ngx_completion_worker_look(ngx_completion_service_t *service);
static void ngx_completion_worker_woken(ngx_uint_t cut);
static void ngx_completion_worker_unshare(ngx_completion_service_t *service);
static void ngx_completion_worker_alone(ngx_completion_service_t *service);
static void ngx_completion_worker_each(
    void (*handler)(ngx_completion_service_t *service));


static ngx_array_t  *ngx_completion_worker_services;


ngx_int_t
ngx_completion_worker_start(ngx_cycle_t *cycle, ngx_array_t *services)
{
    ngx_uint_t                  i;
    ngx_completion_service_t  **service;

    ngx_completion_worker_services = services;
    service = services->elts;

    for (i = 0; i < services->nelts; i++) {
        ngx_completion_zone_enter(service[i]->zone);

        if (ngx_completion_credentials_init(service[i]) != NGX_OK
            || ngx_completion_news_init(service[i], ngx_completion_worker_look)
               != NGX_OK
            || ngx_completion_queue_init(service[i]) != NGX_OK
            || ngx_completion_watch_init(service[i]) != NGX_OK
            || ngx_completion_worker_share(service[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_completion_renewals_init(cycle, services);

    return ngx_completion_wake_listen(cycle, ngx_completion_worker_woken);
}


/* with other nodes, if it is configured */

static ngx_int_t
ngx_completion_worker_share(ngx_completion_service_t *service)
{
    ngx_completion_cluster_handlers_t  handlers;

    if (service->shared == NULL) {
        return NGX_OK;
    }

    service->redis = ngx_completion_redis_create(service->shared,
                                             &service->name, service->zone,
                                             service->id_keys, service->log);
    if (service->redis == NULL) {
        return NGX_ERROR;
    }

    handlers.starts[NGX_COMPLETION_KIND_SUBMIT] = ngx_completion_queue_starts;
    handlers.starts[NGX_COMPLETION_KIND_POLL] = ngx_completion_watch_starts;
    handlers.changed = ngx_completion_worker_changed;
    handlers.data = service;

    service->cluster = ngx_completion_cluster_create(service->redis,
                                             service->zone, &handlers,
                                             service->log);

    return service->cluster ? NGX_OK : NGX_ERROR;
}


static void
ngx_completion_worker_changed(void *data, ngx_str_t *id)
{
    if (id) {
        ngx_completion_keep_ended(data, id);

    } else {
        ngx_completion_news_changed(data);
    }
}


/* what news may bring about but what somebody waits for */

static void
ngx_completion_worker_look(ngx_completion_service_t *service)
{
    ngx_completion_queue_look(service);
    ngx_completion_watch(service);
}


static void
ngx_completion_worker_woken(ngx_uint_t cut)
{
    if (!ngx_exiting && !cut) {
        ngx_completion_worker_each(ngx_completion_news_look);
        return;
    }

    if (cut) {
        ngx_completion_renewals_yield();
        ngx_completion_fetch_close();
    }

    ngx_completion_submits_quit(cut);

    ngx_completion_worker_each(ngx_completion_watch_quit);
    ngx_completion_worker_each(ngx_completion_news_wake_all);
    ngx_completion_worker_each(ngx_completion_worker_unshare);
}


void
ngx_completion_worker_exit(void)
{
    ngx_uint_t                  i;
    ngx_completion_service_t  **service;

    ngx_completion_worker_each(ngx_completion_watch_quit);

    service = ngx_completion_worker_services->elts;

    for (i = 0; i < ngx_completion_worker_services->nelts; i++) {
        if (service[i]->redis) {
            ngx_completion_redis_exit(service[i]->redis);
        }

        ngx_completion_zone_leave(service[i]->zone);
    }

    ngx_completion_wake_close();
    ngx_completion_submits_exit();
    ngx_completion_worker_each(ngx_completion_worker_alone);
    ngx_completion_renewals_exit();

    ngx_completion_worker_each(ngx_completion_credentials_exit);
    ngx_completion_worker_each(ngx_completion_keep_exit);

    ngx_completion_fetch_exit();
}


/* once nobody waits for it any more */

static void
ngx_completion_worker_unshare(ngx_completion_service_t *service)
{
    if (service->redis == NULL) {
        return;
    }

    if (!ngx_completion_submits_any()) {
        ngx_completion_cluster_quit(service->cluster);
    }

    ngx_completion_redis_quit(service->redis);
}


static void
ngx_completion_worker_alone(ngx_completion_service_t *service)
{
    if (service->cluster) {
        ngx_completion_cluster_exit(service->cluster);
    }
}


static void
ngx_completion_worker_each(void (*handler)(ngx_completion_service_t *service))
{
    ngx_uint_t                  i;
    ngx_completion_service_t  **service;

    service = ngx_completion_worker_services->elts;

    for (i = 0; i < ngx_completion_worker_services->nelts; i++) {
        handler(service[i]);
    }
}
