
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_keep.h"
#include "ngx_completion_meter.h"
#include "ngx_completion_news.h"


/* seconds that upstream may put off the next poll */
#define NGX_COMPLETION_KEEP_GAP_MAX  300


/* how long a result without a room is kept, ms */
#define NGX_COMPLETION_OVERFLOW_TIME  5000


struct ngx_completion_overflow_s {
    ngx_pool_t                *pool;
    ngx_completion_service_t  *service;
    ngx_str_t                  id;
    ngx_str_t                  document;
    size_t                     id_offset;
    ngx_event_t                timer;
};


static ngx_uint_t ngx_completion_keep_level(ngx_completion_answer_t *answer,
    ngx_completion_update_t *update);
static void ngx_completion_overflow_set(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_completion_update_t *update);
static void ngx_completion_overflow_timer(ngx_event_t *ev);


ngx_uint_t
ngx_completion_keep(ngx_completion_service_t *service, ngx_str_t *id,
    uint64_t lease, ngx_completion_answer_t *answer)
{
    ngx_int_t                rc, seconds;
    ngx_completion_update_t  update;

    ngx_memzero(&update, sizeof(ngx_completion_update_t));

    /* one that is wrong must not hold up those who wait for hours */

    seconds = ngx_max(answer->retry_after, answer->poll_interval);
    seconds = ngx_min(seconds, NGX_COMPLETION_KEEP_GAP_MAX);
    update.gap = (seconds > 0) ? (ngx_msec_t) seconds * 1000 : 0;
    update.outcome = answer->outcome;
    update.state = answer->operation.state;
    update.refused = (answer->status == 401
                      || answer->status == 403);

    if (answer->outcome == NGX_COMPLETION_OK) {
        update.document = answer->operation.document;
        update.id_offset = answer->operation.id_offset;
    }

    rc = ngx_completion_zone_store(service->zone, id, lease, &update);

    ngx_log_debug4(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion keep: \"%V\", outcome %s, state %V: %i", id,
                   ngx_completion_outcomes[update.outcome].code,
                   &ngx_completion_states[update.state], rc);

    if (update.heard) {
        ngx_completion_cluster_ended(service->cluster, id);
    }

    if (update.ended
        && answer->outcome == NGX_COMPLETION_OPERATION_NOT_FOUND)
    {
        ngx_log_error(NGX_LOG_ERR, service->log, 0,
                      "upstream does not know operation \"%V\" of provider "
                      "\"%V\" any more, it is lost, status %ui, "
                      "request id \"%V\"", id, &service->name,
                      answer->status, &answer->request_id);

    } else if (update.ended && answer->outcome != NGX_COMPLETION_OK) {
        ngx_log_error(NGX_LOG_ERR, service->log, 0,
                      "operation \"%V\" of provider \"%V\" is shown as failed, "
                      "its result cannot be used: %V, request id \"%V\"", id,
                      &service->name, &answer->fault, &answer->request_id);

    } else if (update.ended) {
        ngx_completion_meter_tokens(service, &answer->operation);
    }

    if (update.state != NGX_COMPLETION_PENDING
        || answer->outcome != NGX_COMPLETION_OK)
    {
        ngx_completion_keep_ended(service, id);
    }

    if (rc != NGX_DECLINED && answer->outcome == NGX_COMPLETION_OK
        && update.state != NGX_COMPLETION_PENDING && !update.kept)
    {
        ngx_completion_overflow_set(service, id, &update);
    }

    if (answer->outcome == NGX_COMPLETION_OK && update.refusals) {
        ngx_log_error(NGX_LOG_NOTICE, service->log, 0,
                      "upstream answers the polls of provider \"%V\" again",
                      &service->name);
    }

    if (rc == NGX_OK) {
        ngx_completion_news_changed(service);

    } else {
        ngx_completion_news_kick(service);
    }

    return ngx_completion_keep_level(answer, &update);
}


void
ngx_completion_keep_ended(ngx_completion_service_t *service, ngx_str_t *id)
{
    ngx_uint_t              i, n;
    ngx_completion_keys_t   keys;
    ngx_completion_ended_t  ended[NGX_COMPLETION_ENDED];

    if (service->cluster == NULL) {
        return;
    }

    n = ngx_completion_zone_ended(service->zone, id, ended);

    for (i = 0; i < n; i++) {
        ngx_memzero(&keys, sizeof(ngx_completion_keys_t));

        keys.cache.ttl = 1;
        ngx_memcpy(keys.cache.name, ended[i].name, NGX_COMPLETION_KEY_DIGEST);

        ngx_completion_claims_ended(service->cluster->claims, &keys, id,
                                    ended[i].shared);
    }
}


static ngx_uint_t
ngx_completion_keep_level(ngx_completion_answer_t *answer,
    ngx_completion_update_t *update)
{
    if (update->failures != 1 || (update->refused && update->refusals != 1)) {
        return NGX_LOG_INFO;
    }

    switch (answer->outcome) {

    case NGX_COMPLETION_INVALID_REQUEST:
    case NGX_COMPLETION_QUOTA_EXCEEDED:
        return NGX_LOG_WARN;

    case NGX_COMPLETION_UPSTREAM_UNAVAILABLE:
        return answer->status ? NGX_LOG_WARN : NGX_LOG_ERR;

    default:
        return (update->state == NGX_COMPLETION_PENDING) ? NGX_LOG_ERR
                                                         : NGX_LOG_WARN;
    }
}


void
ngx_completion_keep_accepted(ngx_completion_service_t *service,
    ngx_completion_id_t *id, uint64_t lease, ngx_completion_keys_t *keys,
    ngx_uint_t model, ngx_completion_answer_t *answer, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_completion_zone_accept(service->zone, lease, keys, id, model);

    if (rc == NGX_OK) {
        (void) ngx_completion_keep(service, &id->upstream, lease, answer);

    } else if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "no room for operation \"%V\", it is not watched",
                      &id->upstream);
    }
}


static void
ngx_completion_overflow_set(ngx_completion_service_t *service, ngx_str_t *id,
    ngx_completion_update_t *update)
{
    ngx_pool_t                 *pool;
    ngx_completion_overflow_t  *overflow;

    ngx_log_error(NGX_LOG_ERR, service->log, 0,
                  "a result of %uz bytes has no room in the zone of provider "
                  "\"%V\", give it more memory", update->document.len,
                  &service->name);

    ngx_completion_keep_exit(service);

    pool = ngx_create_pool(512, service->log);
    if (pool == NULL) {
        return;
    }

    overflow = ngx_pcalloc(pool, sizeof(ngx_completion_overflow_t));

    if (overflow) {
        overflow->pool = pool;
        overflow->service = service;
        overflow->id = *id;
        overflow->id.data = ngx_pstrdup(pool, id);
        overflow->document = update->document;
        overflow->document.data = ngx_pstrdup(pool, &update->document);
        overflow->id_offset = update->id_offset;
    }

    if (overflow == NULL || overflow->id.data == NULL
        || overflow->document.data == NULL)
    {
        ngx_destroy_pool(pool);
        return;
    }

    service->overflow = overflow;

    ngx_completion_timer_init(&overflow->timer, ngx_completion_overflow_timer,
                              service->log);
    overflow->timer.cancelable = 1;

    ngx_add_timer(&overflow->timer, NGX_COMPLETION_OVERFLOW_TIME);
}


ngx_int_t
ngx_completion_keep_overflow(ngx_completion_service_t *service, ngx_str_t *id,
    ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_completion_overflow_t  *overflow;

    overflow = service->overflow;

    if (overflow == NULL
        || view->state != NGX_COMPLETION_RECORD_FINAL
        || id->len != overflow->id.len
        || ngx_memcmp(id->data, overflow->id.data, id->len) != 0)
    {
        return NGX_DECLINED;
    }

    view->document = overflow->document;
    view->document.data = ngx_pstrdup(pool, &overflow->document);
    view->id_offset = overflow->id_offset;

    return view->document.data ? NGX_OK : NGX_DECLINED;
}


static void
ngx_completion_overflow_timer(ngx_event_t *ev)
{
    ngx_completion_overflow_t  *overflow;

    overflow = ngx_completion_timer_owner(ev, ngx_completion_overflow_t,
                                          timer);

    ngx_completion_keep_exit(overflow->service);
}


void
ngx_completion_keep_exit(ngx_completion_service_t *service)
{
    ngx_completion_overflow_t  *overflow;

    overflow = service->overflow;

    if (overflow) {
        service->overflow = NULL;
        ngx_completion_timer_stop(&overflow->timer);
        ngx_destroy_pool(overflow->pool);
    }
}
