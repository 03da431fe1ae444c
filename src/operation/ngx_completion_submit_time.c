
/*
 * How long a submit may take: its call, until request_timeout is over, and one
 * that was not sent yet, in the line.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_submit.h"


void
ngx_completion_submit_deadline(ngx_completion_submit_t *submit,
    ngx_msec_t deadline)
{
    ngx_completion_provider_t  *p;

    p = &submit->call.service->provider;

    submit->call.deadline = deadline;
    submit->call.latest = deadline - ngx_min(p->submit.connect_timeout,
                                             p->request_timeout / 4);
}


void
ngx_completion_submit_hurry(ngx_completion_submit_t *submit)
{
    ngx_msec_t  limit;

    limit = ngx_current_msec + submit->call.service->provider.request_timeout;

    if ((ngx_msec_int_t) (submit->call.deadline - limit) > 0) {
        ngx_completion_submit_deadline(submit, limit);
    }
}


ngx_msec_int_t
ngx_completion_submit_left(ngx_completion_submit_t *submit)
{
    ngx_msec_int_t  left, wait;

    left = ngx_completion_call_left(&submit->call);

    if (submit->call.tries) {
        return left;
    }

    wait = submit->until - ngx_current_msec;

    return ngx_min(left, wait);
}
