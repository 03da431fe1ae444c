
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


ngx_int_t
ngx_http_completion_problem(ngx_http_request_t *r,
    ngx_completion_outcome_e outcome, ngx_str_t *detail,
    ngx_msec_t retry_after)
{
    ngx_http_completion_ctx_t       *ctx;
    ngx_completion_metrics_sh_t     *metrics;
    ngx_completion_face_answer_t     answer;
    ngx_completion_face_fault_t      fault;
    const ngx_completion_outcome_t  *problem;

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);
    metrics = ctx->conf->service->zone->metrics;
    problem = &ngx_completion_outcomes[outcome];

    ngx_completion_metrics_add(&metrics->problems[outcome], 1);

    ngx_memzero(&answer, sizeof(ngx_completion_face_answer_t));
    ngx_memzero(&fault, sizeof(ngx_completion_face_fault_t));

    fault.outcome = outcome;

    if (detail) {
        fault.detail = *detail;
    }

    /* what was found wrong in the body or the query */

    fault.code = ctx->input.code;
    fault.param = ctx->input.param;

    if (ctx->conf->face->error(r->pool, ctx->format, &fault, &answer)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* whoever knows that it may have been paid for decides anew */

    if (outcome == NGX_COMPLETION_OUTCOME_UNKNOWN) {
        ctx->delivered = 1;
    }

    /* an "error_page" may yet want the body, and answers for itself */

    if (ngx_http_completion_intercepted(r, ctx, answer.status)) {
        return answer.status;
    }

    /* when it may be over is known, or guessed, of these alone */

    if (outcome == NGX_COMPLETION_ZONE_FULL
        || outcome == NGX_COMPLETION_QUOTA_EXCEEDED
        || outcome == NGX_COMPLETION_UPSTREAM_UNAVAILABLE
        || outcome == NGX_COMPLETION_OVERLOADED
        || outcome == NGX_COMPLETION_REDIS_UNAVAILABLE
        || outcome == NGX_COMPLETION_NOT_READY)
    {
        retry_after = ngx_max(retry_after, 1);

    } else {
        retry_after = 0;
    }

    if (ngx_http_completion_cache_control(r,
               ngx_http_completion_add_text(r, "Cache-Control", "no-store"))
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer.status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_completion_add_text(r, "WWW-Authenticate", "Bearer")
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_send(r, &answer, problem->repeatable,
                                    retry_after);
}
