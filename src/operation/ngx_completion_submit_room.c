
/*
 * What submits hold: those that wait, of a worker's memory, and their clients,
 * of an answer; what one is sent with, and the line that tells why one failed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_submit.h"


ngx_uint_t
ngx_completion_submit_fits(ngx_completion_submit_t *submit, size_t text)
{
    size_t                     others;
    ngx_completion_service_t  *service;

    service = submit->call.service;
    others = service->zone->worker->submits - submit->counted;

    return others + NGX_COMPLETION_SUBMIT_SIZE + submit->held + text
           <= service->submit_memory;
}


void
ngx_completion_submit_count(ngx_completion_submit_t *submit, ngx_uint_t waits)
{
    size_t                               size;
    ngx_completion_metrics_worker_sh_t  *worker;

    worker = submit->call.service->zone->worker;
    size = 0;

    if (waits) {
        size = NGX_COMPLETION_SUBMIT_SIZE + submit->call.body.len
               + (submit->client ? submit->held : 0);
    }

    worker->submits += size - submit->counted;
    submit->counted = size;
}


ngx_int_t
ngx_completion_submit_keep(ngx_completion_submit_t *submit)
{
    ngx_completion_call_t  *call;

    call = &submit->call;

    if (call->service->redis) {
        ngx_completion_redis_reach(call->service->redis);
    }

    call->body.data = ngx_pstrdup(call->pool, &call->body);

    return call->body.data ? submit->client->request_id(submit->data,
                                                        submit->request_id)
                           : NGX_ERROR;
}


void
ngx_completion_submit_report(ngx_completion_submit_t *submit)
{
    const char  *why;

    switch (submit->outcome) {

    case NGX_COMPLETION_IDEMPOTENCY_MISMATCH:
        return;

    case NGX_COMPLETION_ZONE_FULL:
        why = "no room for a submit, the zone is full";
        break;

    case NGX_COMPLETION_REDIS_UNAVAILABLE:
        why = "redis cannot tell whether the key of a submit was used";
        break;

    case NGX_COMPLETION_OVERLOADED:
        why = "no room for a submit, submit_memory is used up";
        break;

    default:

        if (submit->call.answer.status || submit->call.answer.fault.len) {
            ngx_completion_call_report(&submit->call, NGX_LOG_ERR,
                                       submit->log);
            return;
        }

        why = (submit->claim.state == NGX_COMPLETION_CLAIM_UNKNOWN)
                  ? "another node may have sent the submit of this key"
                  : (submit->lease == 0 && submit->found.state
                                     == NGX_COMPLETION_KEY_ENDED)
                  ? "the submit that this one goes by has failed"
                  : (submit->outcome == NGX_COMPLETION_QUOTA_EXCEEDED)
                        ? "no place in the line for the quota"
                        : "the worker is shutting down";
    }

    ngx_log_error(NGX_LOG_ERR, submit->log, 0, "%s, provider \"%V\"", why,
                  &submit->call.service->name);
}


void
ngx_completion_submit_hold(ngx_completion_submit_t *submit,
    ngx_completion_hold_t *hold)
{
    hold->lease = 0;

    if (submit->keys.orphan.ttl) {
        ngx_memcpy(hold->name, submit->keys.orphan.name, sizeof(hold->name));
        hold->lease = submit->lease ? (uint32_t) submit->lease
                                    : submit->found.held;
    }
}
