
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_keep.h"
#include "ngx_completion_operation.h"


static ngx_int_t ngx_completion_operation_adopt(
    ngx_completion_service_t *service, ngx_completion_id_t *id);
static ngx_int_t ngx_completion_operation_ask(
    ngx_completion_service_t *service, ngx_completion_id_t *id,
    ngx_completion_view_t *view);
static ngx_int_t ngx_completion_operation_composed(
    ngx_completion_service_t *service, ngx_pool_t *pool,
    ngx_completion_state_e state, ngx_completion_view_t *view);


ngx_int_t
ngx_completion_operation_read(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_completion_view_t *known, ngx_pool_t *pool,
    ngx_completion_view_t *view)
{
    ngx_int_t  rc;

    rc = ngx_completion_zone_reread(service->zone, &id->upstream, known,
                                    service->zone->poll_max, pool, view);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DONE) {

        if (view->moved) {
            ngx_completion_news_kick(service);
        }

        return NGX_DONE;
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_completion_operation_adopt(service, id);

        ngx_log_debug2(NGX_LOG_DEBUG_EVENT, service->log, 0,
                       "completion read: \"%V\" is adopted: %i",
                       &id->upstream, rc);

        if (rc != NGX_OK) {
            view->next = ngx_completion_zone_room(service->zone);
            return NGX_ABORT;
        }

        return ngx_completion_operation_ask(service, id, view);
    }

    if (view->deleted) {
        return NGX_DECLINED;
    }

    switch (view->state) {

    case NGX_COMPLETION_RECORD_MISSING:
        return NGX_DECLINED;

    case NGX_COMPLETION_RECORD_FINAL:

        if (view->decided) {

            if (ngx_completion_state_is_makeshift(view->verdict)) {
                (void) ngx_completion_operation_ask(service, id, view);
            }

            return ngx_completion_operation_composed(service, pool,
                                                     view->verdict, view);
        }

        break;

    case NGX_COMPLETION_RECORD_PENDING:

        if (view->moved) {
            ngx_completion_news_kick(service);
        }

        /* there was no room for what upstream said of it */

        if (view->document.len == 0) {
            return ngx_completion_operation_composed(service, pool,
                                                     NGX_COMPLETION_PENDING,
                                                     view);
        }

        break;

    default: /* NGX_COMPLETION_RECORD_UNKNOWN */
        return ngx_completion_operation_ask(service, id, view);
    }

    if (view->document.len == 0
        && ngx_completion_keep_overflow(service, &id->upstream, pool, view)
           != NGX_OK)
    {
        return ngx_completion_operation_ask(service, id, view);
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_operation_learn(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_completion_view_t  known;

    /* what is known here already has a document, which this does not read */

    if (ngx_completion_zone_read(service->zone, &id->upstream, 0, NULL, &known)
        != NGX_DECLINED
        || ngx_completion_operation_adopt(service, id) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(view, sizeof(ngx_completion_view_t));

    view->submitted = id->submitted;
    view->next = ngx_completion_zone_want(service->zone, &id->upstream, 0);

    return ngx_completion_operation_composed(service, pool,
                                             NGX_COMPLETION_PENDING, view);
}


/* it may have been cancelled, or deleted, by way of another node */

static ngx_int_t
ngx_completion_operation_adopt(ngx_completion_service_t *service,
    ngx_completion_id_t *id)
{
    ngx_int_t                 rc;
    ngx_completion_errand_t   errand, *asks;

    asks = ngx_completion_cluster_errand(service->cluster, id,
                                         NGX_COMPLETION_MARK_NONE, &errand);

    rc = ngx_completion_zone_adopt(service->zone, id, asks);

    ngx_completion_cluster_do(service->cluster, asks);

    return rc;
}


/* a document is missing here that upstream may have */

static ngx_int_t
ngx_completion_operation_ask(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_completion_view_t *view)
{
    view->next = ngx_completion_zone_want(service->zone, &id->upstream,
                                          service->zone->poll_max);

    if (view->failing && view->next) {
        return NGX_BUSY;
    }

    ngx_completion_news_kick(service);

    return NGX_AGAIN;
}


static ngx_int_t
ngx_completion_operation_composed(ngx_completion_service_t *service,
    ngx_pool_t *pool, ngx_completion_state_e state,
    ngx_completion_view_t *view)
{
    ngx_completion_operation_t  operation;

    if (service->provider.dialect->decided(pool, state, view->submitted,
                                           view->finished ? view->finished
                                                          : view->submitted,
                                           &operation)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    view->document = operation.document;
    view->id_offset = operation.id_offset;

    return NGX_OK;
}


void
ngx_completion_operation_wait(ngx_completion_service_t *service, ngx_str_t *id,
    ngx_msec_t ms, ngx_completion_wait_t *wait)
{
    ngx_completion_news_wait(service, ngx_completion_zone_hash(id), wait);

    /* a while longer, so that who renews a wait is not passed over */

    (void) ngx_completion_zone_want(service->zone, id,
                                    ms + NGX_COMPLETION_NEWS_NET);
    ngx_completion_news_kick(service);
}
