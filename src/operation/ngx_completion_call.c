
/*
 *            start --> CREDENTIAL ----------> LINE --> SENT --> DONE
 *              ^        |      ^               |        |
 *              |        v      + news, 1 s     |        | 401, once
 *              +------ TURN <------------------+--------+
 *                                   the fence: not now
 *
 * CREDENTIAL waits where there is no token, LINE for a connection; SENT is
 * behind the fence: upstream may have it.  In TURN a paced call is its
 * owner's, another one goes on at once.  Out of time, or given up: DONE.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_call.h"
#include "ngx_completion_meter.h"
#include "ngx_completion_renewal.h"


#define NGX_COMPLETION_CALL_LABEL(name, label)  label,

/* what a log says of a call: the name of its provider and its number */
#define NGX_COMPLETION_CALL_LOG_SIZE  256


static ngx_int_t ngx_completion_call_await(ngx_completion_call_t *call,
    ngx_msec_t ms);
static void ngx_completion_call_woken(ngx_completion_wait_t *wait);
static void ngx_completion_call_timer(ngx_event_t *ev);
static void ngx_completion_call_look(ngx_completion_call_t *call);
static void ngx_completion_call_turn(ngx_completion_call_t *call);
static ngx_int_t ngx_completion_call_send(ngx_completion_call_t *call,
    ngx_completion_shown_t *shown);
static ngx_int_t ngx_completion_call_fence(ngx_completion_fetch_t *f);
static void ngx_completion_call_answered(ngx_completion_fetch_t *f);
static ngx_int_t ngx_completion_call_failed(ngx_completion_call_t *call,
    const char *fault);
static void ngx_completion_call_fault(ngx_completion_call_t *call,
    const char *fault);
static void ngx_completion_call_state(ngx_completion_call_t *call,
    ngx_completion_call_state_e state);
static u_char *ngx_completion_call_log(ngx_log_t *log, u_char *buf,
    size_t len);


void *
ngx_completion_call_create(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_str_t *id, size_t size)
{
    ngx_pool_t             *pool;
    ngx_completion_call_t  *call;

    pool = ngx_create_pool(kind == NGX_COMPLETION_KIND_SUBMIT
                               ? NGX_COMPLETION_CALL_SUBMIT_POOL : 1024,
                           service->log);
    if (pool == NULL) {
        return NULL;
    }

    call = ngx_pcalloc(pool, size);

    if (call && id) {
        call->id.len = id->len;
        call->id.data = ngx_pstrdup(pool, id);
    }

    if (call == NULL || (id && call->id.data == NULL)) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    call->service = service;
    call->kind = kind;
    call->pool = pool;
    call->deadline = ngx_current_msec + service->provider.request_timeout;
    call->latest = call->deadline;

    call->log = *service->log;
    call->log.handler = ngx_completion_call_log;
    call->log.data = call;
    call->log.action = NULL;

    call->wait.handler = ngx_completion_call_woken;
    call->wait.data = call;

    ngx_completion_timer_init(&call->timer, ngx_completion_call_timer,
                              &call->log);

    return call;
}


ngx_int_t
ngx_completion_call_start(ngx_completion_call_t *call)
{
    ngx_completion_shown_t  shown;

    ngx_completion_renewals_use();

    if (ngx_completion_renewal_get(call->service, &shown) != NGX_OK) {
        return ngx_completion_call_await(call, shown.wait);
    }

    return ngx_completion_call_send(call, &shown);
}


/* nothing is sent without a token; the next try to get one is in so many ms */

static ngx_int_t
ngx_completion_call_await(ngx_completion_call_t *call, ngx_msec_t ms)
{
    ngx_msec_int_t  left;

    call->retry_after = ngx_max(ms, NGX_COMPLETION_NEWS_NET);

    left = ngx_completion_call_left(call);

    if (left <= 0 || (ngx_msec_int_t) ms >= left) {
        return ngx_completion_call_failed(call, "there is no token");
    }

    ngx_completion_call_state(call, NGX_COMPLETION_CALL_CREDENTIAL);

    ngx_completion_news_wait(call->service, NGX_COMPLETION_TOKEN_HASH,
                             &call->wait);

    /* who is to renew the token may die, and the lease end meanwhile */

    ngx_add_timer(&call->timer, ngx_min(left, NGX_COMPLETION_NEWS_NET));

    return NGX_OK;
}


static void
ngx_completion_call_woken(ngx_completion_wait_t *wait)
{
    ngx_completion_call_look(wait->data);
}


static void
ngx_completion_call_timer(ngx_event_t *ev)
{
    ngx_completion_call_look(ngx_completion_timer_owner(ev,
                                               ngx_completion_call_t, timer));
}


static void
ngx_completion_call_look(ngx_completion_call_t *call)
{
    ngx_completion_shown_t  shown;

    ngx_completion_wait_end(&call->wait);
    ngx_completion_timer_stop(&call->timer);

    /* a place in a quota is only taken to be used */

    if (ngx_completion_call_left(call) <= 0) {
        (void) ngx_completion_call_failed(call, "there was no token in time");

    } else if (ngx_completion_renewal_get(call->service, &shown) == NGX_OK) {
        call->answer.outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
        ngx_completion_call_turn(call);
        return;

    } else if (ngx_completion_call_await(call, shown.wait) == NGX_OK) {
        return;
    }

    call->handler(call);
}


static void
ngx_completion_call_turn(ngx_completion_call_t *call)
{
    ngx_completion_call_state(call, NGX_COMPLETION_CALL_TURN);

    if (!call->paced && ngx_completion_call_start(call) == NGX_OK) {
        return;
    }

    call->handler(call);
}


static ngx_int_t
ngx_completion_call_send(ngx_completion_call_t *call,
    ngx_completion_shown_t *shown)
{
    ngx_msec_int_t           left;
    ngx_completion_fetch_t  *f;

    f = ngx_completion_provider_call(&call->service->provider, call->kind,
                                     &shown->secret,
                                     call->kind == NGX_COMPLETION_KIND_SUBMIT
                                         ? &call->body : &call->id,
                                     call->request_id, &call->log);
    if (f == NULL) {
        return ngx_completion_call_failed(call, "no memory");
    }

    left = call->deadline - ngx_current_msec;

    f->timeout = ngx_max(left, 1);
    f->fence = ngx_completion_call_fence;
    f->handler = ngx_completion_call_answered;
    f->data = call;

    if (call->hold) {
        f->hold = 1;
    }

    call->tries++;
    call->fetch = f;
    call->generation = shown->generation;

    ngx_completion_call_state(call, NGX_COMPLETION_CALL_LINE);

    ngx_completion_fetch_start(f);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_call_fence(ngx_completion_fetch_t *f)
{
    ngx_completion_call_t *call = f->data;

    ngx_int_t  rc;

    rc = call->fence ? call->fence(call) : NGX_OK;

    if (rc != NGX_OK) {
        call->early = (rc == NGX_AGAIN);
        return NGX_DECLINED;
    }

    ngx_completion_call_state(call, NGX_COMPLETION_CALL_SENT);

    return NGX_OK;
}


static void
ngx_completion_call_answered(ngx_completion_fetch_t *f)
{
    ngx_completion_call_t *call = f->data;

    call->fetch = NULL;

    if (call->early) {

        /* it was no try */

        call->early = 0;
        call->tries--;

        ngx_completion_fetch_destroy(f);
        ngx_completion_call_turn(call);
        return;
    }

    call->elapsed += f->elapsed;
    call->retry_after = 0;

    if (call->tries > 1 && call->kind == NGX_COMPLETION_KIND_SUBMIT) {
        ngx_completion_metrics_add(
                     &call->service->zone->metrics->retries[call->kind], 1);
    }

    ngx_completion_provider_answer(&call->service->provider, call->kind, f,
                                   call->pool,
                                   call->kind == NGX_COMPLETION_KIND_POLL
                                       ? &call->id : NULL,
                                   &call->answer);
    ngx_completion_meter_fetch(call->service, call->kind, f, &call->answer);
    ngx_completion_fetch_destroy(f);

    if (call->answer.unauthorized) {

        if (!call->refused
            && ngx_completion_call_left(call) > 0
            && ngx_completion_credentials_refused(call->service,
                                                  call->generation)
               == NGX_OK)
        {
            call->refused = 1;
            ngx_completion_call_turn(call);
            return;
        }
    }

    ngx_completion_call_state(call, NGX_COMPLETION_CALL_DONE);

    call->handler(call);
}


static ngx_int_t
ngx_completion_call_failed(ngx_completion_call_t *call, const char *fault)
{
    call->failed = 1;
    call->answer.outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;

    ngx_completion_call_fault(call, fault);
    ngx_completion_call_state(call, NGX_COMPLETION_CALL_DONE);

    return NGX_ERROR;
}


/* of a try that has brought no answer */

static void
ngx_completion_call_fault(ngx_completion_call_t *call, const char *fault)
{
    call->answer.status = 0;
    call->answer.fault.len = ngx_strlen(fault);
    call->answer.fault.data = (u_char *) fault;
}


void
ngx_completion_call_abort(ngx_completion_call_t *call)
{
    ngx_completion_wait_end(&call->wait);
    ngx_completion_timer_stop(&call->timer);

    call->answer.outcome = (call->state == NGX_COMPLETION_CALL_SENT)
                               ? NGX_COMPLETION_OUTCOME_UNKNOWN
                               : NGX_COMPLETION_UPSTREAM_UNAVAILABLE;

    ngx_completion_call_fault(call, "it was given up");
    ngx_completion_call_state(call, NGX_COMPLETION_CALL_DONE);

    if (call->fetch) {
        ngx_completion_meter_aborted(call->service, call->kind, call->fetch);
        ngx_completion_fetch_destroy(call->fetch);
        call->fetch = NULL;
    }
}


ngx_msec_int_t
ngx_completion_call_left(ngx_completion_call_t *call)
{
    if (ngx_completion_fetch_closed()) {
        return 0;
    }

    return call->latest - ngx_current_msec;
}


void
ngx_completion_call_report(ngx_completion_call_t *call, ngx_uint_t level,
    ngx_log_t *log)
{
    u_char     text[NGX_COMPLETION_CALL_LOG_SIZE];
    ngx_str_t  behind;

    behind.data = text;
    behind.len = 0;

    if (log != &call->log) {
        behind.len = ngx_completion_call_log(&call->log, text, sizeof(text))
                     - text;
    }

    ngx_completion_provider_report(&call->service->provider, &call->answer,
                                   level, log, &behind);
}


static void
ngx_completion_call_state(ngx_completion_call_t *call,
    ngx_completion_call_state_e state)
{
#if (NGX_DEBUG)
    static const char  *kinds[] = {
        NGX_COMPLETION_KIND_LIST(NGX_COMPLETION_CALL_LABEL)
    };
    static const char  *states[] = {
        "idle", "credential", "turn", "line", "sent", "done"
    };
#endif

    ngx_log_debug5(NGX_LOG_DEBUG_EVENT, &call->log, 0,
                   "completion call: %p %s, %s, outcome %s, tries %ui", call,
                   kinds[call->kind], states[state],
                   ngx_completion_outcomes[call->answer.outcome].code,
                   call->tries);

    call->state = state;
}


static u_char *
ngx_completion_call_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char                 *p;
    ngx_completion_call_t  *call;

    static const char  *doing[] = {
        "submitting to", "polling", "cancelling at"
    };

    call = log->data;

    p = ngx_snprintf(buf, len, " while %s provider \"%V\", ",
                     doing[call->kind], &call->service->name);
    len -= p - buf;

    return (call->kind == NGX_COMPLETION_KIND_SUBMIT)
               ? ngx_snprintf(p, len, "try: %ui", call->tries)
               : ngx_snprintf(p, len, "operation: \"%V\"", &call->id);
}
