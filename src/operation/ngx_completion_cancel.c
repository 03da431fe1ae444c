
/*
 * Asking upstream to stop an operation: our own word stands already, so
 * nobody waits for the answer, and no answer changes anything.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_operation.h"


typedef struct {
    ngx_pool_t                *pool;
    ngx_completion_service_t  *service;
    ngx_msec_t                 deadline;
    ngx_str_t                  id;
    uint64_t                   generation;    /* of the secret sent */
    ngx_completion_wait_t      wait;          /* for a grant */
    ngx_event_t                timer;
    unsigned                   refused:1;     /* with a 401, once */
} ngx_completion_cancel_t;


static void ngx_completion_cancel_send(ngx_completion_cancel_t *cancel);
static void ngx_completion_cancel_granted(ngx_completion_wait_t *wait);
static void ngx_completion_cancel_timer(ngx_event_t *ev);
static void ngx_completion_cancel_answered(ngx_completion_fetch_t *f);
static void ngx_completion_cancel_end(ngx_completion_cancel_t *cancel);
static u_char *ngx_completion_cancel_log(ngx_log_t *log, u_char *buf,
    size_t len);


void
ngx_completion_cancel(ngx_completion_service_t *service, ngx_str_t *id)
{
    ngx_pool_t               *pool;
    ngx_completion_cancel_t  *cancel;

    pool = ngx_create_pool(512, service->log);
    if (pool == NULL) {
        return;
    }

    cancel = ngx_pcalloc(pool, sizeof(ngx_completion_cancel_t));

    if (cancel == NULL) {
        ngx_destroy_pool(pool);
        return;
    }

    cancel->id.len = id->len;
    cancel->id.data = ngx_pstrdup(pool, id);

    if (cancel->id.data == NULL) {
        ngx_destroy_pool(pool);
        return;
    }

    cancel->pool = pool;
    cancel->service = service;
    cancel->deadline = ngx_current_msec + service->provider.request_timeout;

    ngx_completion_timer_init(&cancel->timer, ngx_completion_cancel_timer,
                              service->log);

    ngx_completion_cancel_send(cancel);
}


static void
ngx_completion_cancel_send(ngx_completion_cancel_t *cancel)
{
    ngx_msec_int_t           left;
    ngx_completion_fetch_t  *f;
    ngx_completion_grant_t   grant;

    left = cancel->deadline - ngx_current_msec;

    if (left <= 0 || ngx_completion_fetch_closed()) {
        ngx_completion_cancel_end(cancel);
        return;
    }

    if (ngx_completion_grant(cancel->service, &grant) != NGX_OK) {
        cancel->wait.handler = ngx_completion_cancel_granted;
        cancel->wait.data = cancel;

        if (ngx_completion_wait_grant(cancel->service, &cancel->wait)
            != NGX_OK)
        {
            ngx_completion_cancel_end(cancel);
            return;
        }

        ngx_add_timer(&cancel->timer, ngx_min(left, 1000));
        return;
    }

    f = ngx_completion_provider_cancel(&cancel->service->provider,
                                       &grant.secret, &cancel->id,
                                       cancel->service->log);
    if (f == NULL) {
        ngx_completion_cancel_end(cancel);
        return;
    }

    f->timeout = left;
    f->handler = ngx_completion_cancel_answered;
    f->data = cancel;
    f->log->handler = ngx_completion_cancel_log;
    f->log->data = cancel;
    f->hold = 1;

    cancel->generation = grant.generation;

    ngx_completion_fetch_start(f);
}


static void
ngx_completion_cancel_granted(ngx_completion_wait_t *wait)
{
    ngx_completion_cancel_t  *cancel;

    cancel = wait->data;

    ngx_completion_timer_stop(&cancel->timer);

    ngx_completion_cancel_send(cancel);
}


static void
ngx_completion_cancel_timer(ngx_event_t *ev)
{
    ngx_completion_cancel_t  *cancel;

    cancel = ngx_completion_timer_owner(ev, ngx_completion_cancel_t, timer);

    ngx_completion_wait_end(&cancel->wait);
    ngx_completion_cancel_send(cancel);
}


static void
ngx_completion_cancel_answered(ngx_completion_fetch_t *f)
{
    ngx_uint_t                again;
    ngx_completion_answer_t   answer;
    ngx_completion_cancel_t  *cancel;

    cancel = f->data;
    again = 0;

    ngx_completion_provider_answer(f, f->pool, NULL, &answer);
    ngx_completion_meter_fetch(cancel->service, NGX_COMPLETION_METRICS_CANCEL,
                               f, &answer);

    if (answer.kind == NGX_COMPLETION_ANSWER_UNAUTHORIZED) {
        again = (!cancel->refused
                 && ngx_completion_grant_refused(cancel->service,
                                                 cancel->generation)
                    == NGX_OK);

        if (!again) {
            ngx_log_error(NGX_LOG_ERR, f->log, 0,
                          "upstream answered 401, request id \"%V\"",
                          &answer.request_id);
        }
    }

    ngx_completion_fetch_destroy(f);

    if (again) {
        cancel->refused = 1;
        ngx_completion_cancel_send(cancel);
        return;
    }

    ngx_completion_cancel_end(cancel);
}


static void
ngx_completion_cancel_end(ngx_completion_cancel_t *cancel)
{
    ngx_destroy_pool(cancel->pool);
}


static u_char *
ngx_completion_cancel_log(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_completion_cancel_t  *cancel;

    cancel = log->data;

    return ngx_snprintf(buf, len,
                        " while cancelling at provider \"%V\", "
                        "operation: \"%V\"",
                        &cancel->service->name, &cancel->id);
}
