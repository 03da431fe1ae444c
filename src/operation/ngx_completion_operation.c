
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_operation.h"


static ngx_int_t ngx_completion_operation_ask(
    ngx_completion_service_t *service, ngx_completion_id_t *id,
    ngx_completion_view_t *view);
static ngx_int_t ngx_completion_operation_composed(
    ngx_completion_service_t *service, ngx_pool_t *pool,
    ngx_completion_state_e state, ngx_completion_view_t *view);


ngx_int_t
ngx_completion_operation_read(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_int_t  rc;

    rc = ngx_completion_zone_read(service->zone, &id->upstream,
                                  service->zone->poll_max, pool, view);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_completion_zone_adopt(service->zone, id);

        if (rc != NGX_OK) {
            ngx_log_error(NGX_LOG_ERR, service->log, 0,
                          "no room for operation \"%V\" in the zone of "
                          "provider \"%V\"", &id->upstream, &service->name);
            return NGX_ABORT;
        }

        return ngx_completion_operation_ask(service, id, view);
    }

    switch (view->state) {

    case NGX_COMPLETION_RECORD_MISSING:
        return NGX_DECLINED;

    case NGX_COMPLETION_RECORD_FINAL:

        if (view->decided) {
            return ngx_completion_operation_composed(service, pool,
                                                     view->verdict, view);
        }

        break;

    case NGX_COMPLETION_RECORD_PENDING:

        if (view->moved) {
            ngx_completion_watcher_kick(service);
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
        && ngx_completion_watcher_spare(service, &id->upstream, pool, view)
           != NGX_OK)
    {
        return ngx_completion_operation_ask(service, id, view);
    }

    return NGX_OK;
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

    ngx_completion_watcher_kick(service);

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
ngx_completion_operation_told(ngx_completion_service_t *service,
    ngx_str_t *id, uint64_t lease, ngx_completion_answer_t *answer)
{
    ngx_int_t                rc, seconds;
    ngx_completion_update_t  update;

    ngx_memzero(&update, sizeof(ngx_completion_update_t));

    seconds = ngx_max(answer->retry_after, answer->poll_interval);
    update.gap = (seconds > 0) ? (ngx_msec_t) seconds * 1000 : 0;
    update.outcome = answer->outcome;

    if (answer->outcome == NGX_COMPLETION_OK) {
        update.state = answer->operation.state;
        update.document = answer->operation.document;
        update.id_offset = answer->operation.id_offset;
    }

    rc = ngx_completion_zone_store(service->zone, id, lease, &update);

    if (update.ended
        && answer->outcome == NGX_COMPLETION_OPERATION_NOT_FOUND)
    {
        ngx_log_error(NGX_LOG_ERR, service->log, 0,
                      "upstream does not know operation \"%V\" of provider "
                      "\"%V\" any more, it is lost, status %ui, "
                      "request id \"%V\"", id, &service->name,
                      answer->status, &answer->request_id);

    } else if (update.ended) {
        ngx_completion_meter_tokens(service, &answer->operation);
    }

    if (rc == NGX_OK) {
        ngx_completion_watcher_changed(service);
    }

    if (rc != NGX_DECLINED && answer->outcome == NGX_COMPLETION_OK
        && update.state != NGX_COMPLETION_PENDING && !update.kept)
    {
        ngx_completion_watcher_spare_set(service, id, &update);
    }

    ngx_completion_watcher_kick(service);
}


ngx_int_t
ngx_completion_operation_cancel(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_int_t  rc;

    rc = ngx_completion_zone_decide(service->zone, &id->upstream,
                                    NGX_COMPLETION_CANCELLED);

    if (rc == NGX_OK) {
        ngx_completion_watcher_changed(service);
        ngx_completion_cancel(service, &id->upstream);
    }

    /* an adopted one may be finished: its state has to be known first */

    return ngx_completion_operation_read(service, id, pool, view);
}
