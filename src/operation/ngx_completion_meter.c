
/*
 * What is counted of requests to upstream, and of what they brought.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_meter.h"




/* by the code that they are counted under */

static const struct {
    ngx_completion_outcome_e   outcome;
    ngx_uint_t                 from;
    ngx_uint_t                 to;
} ngx_completion_meter_codes[NGX_COMPLETION_METRICS_CODES] = {
#define NGX_COMPLETION_METER(name, value, outcome, from, to)                  \
    { NGX_COMPLETION_##outcome, from, to },
    NGX_COMPLETION_CODE_LIST(NGX_COMPLETION_METER)
};


void
ngx_completion_meter_fetch(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f,
    ngx_completion_answer_t *answer)
{
    ngx_uint_t                    code;
    ngx_completion_metrics_sh_t  *metrics;

    if (f->fenced) {
        return;
    }

    metrics = service->zone->metrics;

    for (code = 0; code < NGX_COMPLETION_METRICS_OTHER; code++) {
        if (ngx_completion_meter_codes[code].outcome == f->outcome
            && ngx_completion_meter_codes[code].from <= f->status
            && ngx_completion_meter_codes[code].to >= f->status)
        {
            break;
        }
    }

    ngx_completion_metrics_add(&metrics->requests[kind][code], 1);

    ngx_completion_metrics_observe(&metrics->upstream[kind],
                                   ngx_completion_metrics_upstream,
                                   f->elapsed);

    if (answer->outcome == NGX_COMPLETION_OUTCOME_UNKNOWN
        && answer->status >= 200 && answer->status < 300)
    {
        ngx_completion_metrics_add(&metrics->unreadable[kind], 1);
    }
}


void
ngx_completion_meter_aborted(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f)
{
    ngx_completion_metrics_sh_t  *metrics;

    metrics = service->zone->metrics;

    if (f->sent) {
        ngx_completion_metrics_add(
                 &metrics->requests[kind][NGX_COMPLETION_METRICS_ABORTED], 1);
    }
}


void
ngx_completion_meter_tokens(ngx_completion_service_t *service,
    ngx_completion_operation_t *operation)
{
    ngx_atomic_t  *tokens;

    tokens = service->zone->metrics->tokens;

    if (operation->usage.input > 0) {
        ngx_completion_metrics_add(&tokens[NGX_COMPLETION_METRICS_INPUT],
                                   operation->usage.input);
    }

    if (operation->usage.completion > 0) {
        ngx_completion_metrics_add(&tokens[NGX_COMPLETION_METRICS_COMPLETION],
                                   operation->usage.completion);
    }
}
