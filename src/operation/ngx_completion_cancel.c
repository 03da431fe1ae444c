
/*
 * Asking upstream to stop an operation: our own word stands already, so
 * nobody waits for the answer, and no answer changes anything.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_call.h"
#include "ngx_completion_keep.h"
#include "ngx_completion_operation.h"


static void ngx_completion_cancel_call(ngx_completion_service_t *service,
    ngx_completion_id_t *id);
static void ngx_completion_cancel_called(ngx_completion_call_t *call);


ngx_int_t
ngx_completion_operation_cancel(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_int_t                 rc;
    ngx_completion_errand_t   errand, *tells;

    tells = ngx_completion_cluster_errand(service->cluster, id,
                                          NGX_COMPLETION_MARK_CANCELLED,
                                          &errand);

    rc = ngx_completion_zone_decide(service->zone, &id->upstream,
                                    NGX_COMPLETION_CANCELLED, tells);

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion cancel: \"%V\": %i", &id->upstream, rc);

    if (rc == NGX_OK) {
        ngx_completion_keep_ended(service, &id->upstream);
        ngx_completion_cancel_call(service, id);
        ngx_completion_cluster_do(service->cluster, tells);
    }

    /* an adopted one may be finished: its state has to be known first */

    return ngx_completion_operation_read(service, id, NULL, pool, view);
}


ngx_int_t
ngx_completion_operation_delete(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_int_t                 rc;
    ngx_completion_errand_t   errand, *tells;

    tells = ngx_completion_cluster_errand(service->cluster, id,
                                          NGX_COMPLETION_MARK_DELETED,
                                          &errand);

    rc = ngx_completion_zone_delete(service->zone, &id->upstream, tells);

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion delete: \"%V\": %i", &id->upstream, rc);

    if (rc == NGX_DECLINED) {
        return ngx_completion_operation_read(service, id, NULL, pool, view);
    }

    ngx_completion_keep_ended(service, &id->upstream);

    if (rc == NGX_OK) {
        ngx_completion_cancel_call(service, id);

    } else {
        ngx_completion_news_changed(service);
    }

    ngx_completion_cluster_do(service->cluster, tells);

    ngx_memzero(view, sizeof(ngx_completion_view_t));
    view->deleted = 1;

    return NGX_OK;
}


static void
ngx_completion_cancel_call(ngx_completion_service_t *service,
    ngx_completion_id_t *id)
{
    ngx_completion_call_t  *call;

    ngx_completion_news_changed(service);

    if (ngx_completion_fetch_closed()) {
        return;
    }

    call = ngx_completion_call_create(service, NGX_COMPLETION_KIND_CANCEL,
                                      &id->upstream,
                                      sizeof(ngx_completion_call_t));
    if (call == NULL) {
        return;
    }

    call->hold = 1;
    call->handler = ngx_completion_cancel_called;

    if (ngx_completion_call_start(call) != NGX_OK) {
        ngx_completion_cancel_called(call);
    }
}


static void
ngx_completion_cancel_called(ngx_completion_call_t *call)
{
    ngx_completion_outcome_e  outcome;

    outcome = call->answer.outcome;

    if (outcome != NGX_COMPLETION_OK
        && outcome != NGX_COMPLETION_OPERATION_NOT_FOUND)
    {
        ngx_completion_call_report(call, NGX_LOG_ERR, &call->log);
    }

    ngx_destroy_pool(call->pool);
}
