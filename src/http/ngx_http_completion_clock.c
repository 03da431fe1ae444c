
/*
 * The time that a request takes of nginx itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static uint64_t ngx_http_completion_clock(void);


void
ngx_http_completion_clock_start(ngx_http_completion_ctx_t *ctx)
{
    ctx->clock = ngx_http_completion_clock();
}


void
ngx_http_completion_clock_stop(ngx_http_completion_ctx_t *ctx)
{
    if (ctx->clock) {
        ctx->spent += ngx_http_completion_clock() - ctx->clock;
        ctx->clock = 0;
    }
}


void
ngx_http_completion_clock_end(ngx_http_completion_ctx_t *ctx)
{
    ngx_completion_metrics_sh_t        *metrics;
    ngx_completion_metrics_overhead_e   kind;

    ngx_http_completion_clock_stop(ctx);

    metrics = ctx->conf->service->zone->metrics;

    kind = (ctx->action == NGX_COMPLETION_FACE_SUBMIT)
               ? NGX_COMPLETION_METRICS_OF_SUBMIT
               : NGX_COMPLETION_METRICS_OF_OPERATION;

    ngx_completion_metrics_observe(&metrics->overhead[kind],
                                   ngx_completion_metrics_overhead,
                                   ctx->spent);
}


/* us */

static uint64_t
ngx_http_completion_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
