
/*
 * What is counted of submits and of requests to upstream, and under which
 * names: the labels stand beside the code that chooses among them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_operation.h"


/* in the order of their labels */
typedef enum {
    NGX_COMPLETION_METER_UNREACHED = 0,
    NGX_COMPLETION_METER_CONNECT_TIMEOUT,
    NGX_COMPLETION_METER_BROKEN,
    NGX_COMPLETION_METER_ABORTED,
    NGX_COMPLETION_METER_STATUS,
    NGX_COMPLETION_METER_CLASS = NGX_COMPLETION_METER_STATUS + 10,
    NGX_COMPLETION_METER_OTHER = NGX_COMPLETION_METER_CLASS + 4
} ngx_completion_meter_code_e;


static ngx_uint_t ngx_completion_meter_code(ngx_completion_fetch_t *f);
static void ngx_completion_meter_count(ngx_completion_service_t *service,
    ngx_completion_metrics_request_e kind, ngx_uint_t code);


/* sources of accepted ones, then outcomes */

const char *
ngx_completion_meter_submits[NGX_COMPLETION_METRICS_SUBMITS] = {
    "accepted",
    "joined",
    "cached",
    "replayed",
    "invalid_request",
    "quota_exceeded",
    "upstream_rejected",
    "outcome_unknown",
    "upstream_unavailable",
    "upstream_timeout",
    "zone_full",
    "idempotency_mismatch"
};

const char *
ngx_completion_meter_codes[NGX_COMPLETION_METRICS_CODES] = {
    "unreached",
    "connect_timeout",
    "broken",
    "aborted",
    "200",
    "400",
    "401",
    "403",
    "404",
    "429",
    "500",
    "502",
    "503",
    "504",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "other"
};

static ngx_uint_t
ngx_completion_meter_statuses[NGX_COMPLETION_METER_CLASS
                              - NGX_COMPLETION_METER_STATUS] = {
    200, 400, 401, 403, 404, 429, 500, 502, 503, 504
};


void
ngx_completion_meter_submit(ngx_completion_submit_t *submit)
{
    ngx_uint_t  i;

    i = (submit->outcome == NGX_COMPLETION_SUBMIT_ACCEPTED)
            ? submit->source
            : NGX_COMPLETION_SUBMIT_REPLAYED + submit->outcome;

    ngx_completion_metrics_add(&submit->service->zone->metrics->submits[i], 1);
}


void
ngx_completion_meter_queued(ngx_completion_submit_t *submit,
    ngx_msec_t delay)
{
    ngx_completion_metrics_sh_t  *metrics;

    metrics = submit->service->zone->metrics;

    ngx_completion_metrics_add(&metrics->queued, 1);
    ngx_completion_metrics_add(&metrics->queued_time, delay);
}


void
ngx_completion_meter_fetch(ngx_completion_service_t *service,
    ngx_completion_metrics_request_e kind, ngx_completion_fetch_t *f,
    ngx_completion_answer_t *answer)
{
    ngx_completion_metrics_sh_t  *metrics;

    if (f->outcome == NGX_COMPLETION_FETCH_FENCED) {
        return;
    }

    metrics = service->zone->metrics;

    ngx_completion_meter_count(service, kind, ngx_completion_meter_code(f));

    ngx_completion_metrics_observe(&metrics->upstream[kind],
                                   ngx_completion_metrics_upstream,
                                   f->elapsed);

    if (answer->kind == NGX_COMPLETION_ANSWER_UNKNOWN
        && answer->status >= 200 && answer->status < 300)
    {
        ngx_completion_metrics_add(&metrics->unreadable[kind], 1);
    }
}


void
ngx_completion_meter_aborted(ngx_completion_service_t *service,
    ngx_completion_metrics_request_e kind, ngx_completion_fetch_t *f)
{
    if (f->sent) {
        ngx_completion_meter_count(service, kind,
                                   NGX_COMPLETION_METER_ABORTED);
    }
}


void
ngx_completion_meter_tokens(ngx_completion_service_t *service,
    ngx_completion_operation_t *operation)
{
    ngx_atomic_t  *tokens;

    tokens = service->zone->metrics->tokens;

    if (operation->usage.input > 0) {
        ngx_completion_metrics_add(&tokens[0], operation->usage.input);
    }

    if (operation->usage.completion > 0) {
        ngx_completion_metrics_add(&tokens[1], operation->usage.completion);
    }
}


static ngx_uint_t
ngx_completion_meter_code(ngx_completion_fetch_t *f)
{
    ngx_uint_t  i, n;

    switch (f->outcome) {

    case NGX_COMPLETION_FETCH_UNREACHED:
        return NGX_COMPLETION_METER_UNREACHED;

    case NGX_COMPLETION_FETCH_CONNECT_TIMEOUT:
        return NGX_COMPLETION_METER_CONNECT_TIMEOUT;

    case NGX_COMPLETION_FETCH_ANSWERED:
        break;

    default: /* NGX_COMPLETION_FETCH_BROKEN */
        return NGX_COMPLETION_METER_BROKEN;
    }

    n = NGX_COMPLETION_METER_CLASS - NGX_COMPLETION_METER_STATUS;

    for (i = 0; i < n; i++) {
        if (ngx_completion_meter_statuses[i] == f->status) {
            return NGX_COMPLETION_METER_STATUS + i;
        }
    }

    if (f->status < 200 || f->status > 599) {
        return NGX_COMPLETION_METER_OTHER;
    }

    return NGX_COMPLETION_METER_CLASS + f->status / 100 - 2;
}


static void
ngx_completion_meter_count(ngx_completion_service_t *service,
    ngx_completion_metrics_request_e kind, ngx_uint_t code)
{
    ngx_completion_metrics_add(&service->zone->metrics->requests[kind][code],
                               1);
}
