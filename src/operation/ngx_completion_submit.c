
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_operation.h"


#define NGX_COMPLETION_SUBMIT_TRIES    4
#define NGX_COMPLETION_SUBMIT_BACKOFF  500


/* how often one that joined looks by itself, ms */
#define NGX_COMPLETION_SUBMIT_LOOK     1000


static ngx_int_t ngx_completion_submit_begin(ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_submit_late(ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_submit_join(ngx_completion_submit_t *submit);
static void ngx_completion_submit_woken(ngx_completion_wait_t *wait);
static void ngx_completion_submit_send(ngx_completion_submit_t *submit);
static void ngx_completion_submit_await(ngx_completion_submit_t *submit,
    ngx_msec_t ms);
static void ngx_completion_submit_granted(ngx_completion_wait_t *wait);
static void ngx_completion_submit_repeat(ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_submit_fence(ngx_completion_fetch_t *f);
static void ngx_completion_submit_timer(ngx_event_t *ev);
static void ngx_completion_submit_answered(ngx_completion_fetch_t *f);
static void ngx_completion_submit_accepted(ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_submit_refused(
    ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_submit_again(ngx_completion_submit_t *submit);
static ngx_msec_int_t ngx_completion_submit_left(
    ngx_completion_submit_t *submit);
static void ngx_completion_submit_finish(ngx_completion_submit_t *submit,
    ngx_completion_submit_outcome_e outcome);
static void ngx_completion_submit_end(ngx_completion_submit_t *submit);
static void ngx_completion_submit_withdraw(ngx_completion_submit_t *submit);
static u_char *ngx_completion_submit_log(ngx_log_t *log, u_char *buf,
    size_t len);


/* what is under way in this worker */
static ngx_queue_t  ngx_completion_submits;


ngx_completion_submit_t *
ngx_completion_submit_create(ngx_completion_service_t *service)
{
    ngx_pool_t               *pool;
    ngx_completion_submit_t  *submit;

    pool = ngx_create_pool(4096, service->log);
    if (pool == NULL) {
        return NULL;
    }

    submit = ngx_pcalloc(pool, sizeof(ngx_completion_submit_t));
    if (submit == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    submit->pool = pool;
    submit->service = service;
    submit->source = NGX_COMPLETION_SUBMIT_UNSENT;

    submit->log = *service->log;
    submit->log.handler = ngx_completion_submit_log;
    submit->log.data = submit;
    submit->log.action = NULL;

    ngx_completion_timer_init(&submit->timer, ngx_completion_submit_timer,
                              &submit->log);

    return submit;
}


ngx_int_t
ngx_completion_submit_start(ngx_completion_submit_t *submit)
{
    ngx_int_t  rc;

    rc = (submit->found.state == NGX_COMPLETION_KEY_UNDERWAY)
             ? ngx_completion_submit_found(submit)
             : ngx_completion_submit_begin(submit);

    if (rc == NGX_OK) {
        if (ngx_completion_submits.next == NULL) {
            ngx_queue_init(&ngx_completion_submits);
        }

        ngx_queue_insert_tail(&ngx_completion_submits, &submit->queue);

    } else {
        ngx_completion_meter_submit(submit);
    }

    return rc;
}


/* NGX_OK: sent, to be sent, or joined; NGX_DONE: the outcome is known */

static ngx_int_t
ngx_completion_submit_begin(ngx_completion_submit_t *submit)
{
    ngx_int_t                  rc;
    ngx_msec_t                 delay, timeout;
    ngx_completion_service_t  *service;

    if (ngx_completion_fetch_closed()) {
        return ngx_completion_submit_late(submit);
    }

    service = submit->service;
    timeout = service->provider.request_timeout;

    rc = ngx_completion_zone_reserve(service->zone, timeout,
                                     submit->keyed ? &submit->keys : NULL,
                                     &submit->lease, &delay, &submit->found);
    switch (rc) {

    case NGX_OK:
        break;

    case NGX_DONE:
        return ngx_completion_submit_found(submit);

    case NGX_BUSY:
        submit->outcome = NGX_COMPLETION_SUBMIT_QUOTA;
        submit->retry_after = delay;
        return NGX_DONE;

    default:
        ngx_log_error(NGX_LOG_ERR, &submit->log, 0,
                      "no room for a submit, the zone is full");
        submit->outcome = NGX_COMPLETION_SUBMIT_FULL;
        return NGX_DONE;
    }

    submit->source = NGX_COMPLETION_SUBMIT_SENT;
    submit->replayed = 0;
    submit->deadline = ngx_current_msec + delay + timeout;
    submit->promised = 1;

    if (delay) {
        ngx_completion_meter_queued(submit, delay);
        ngx_add_timer(&submit->timer, delay);

    } else {
        ngx_completion_submit_send(submit);
    }

    return NGX_OK;
}


/* nothing is sent any more, but what its keys came to may be known */

static ngx_int_t
ngx_completion_submit_late(ngx_completion_submit_t *submit)
{
    ngx_int_t  rc;

    rc = submit->keyed ? ngx_completion_zone_known(submit->service->zone,
                                                   &submit->keys,
                                                   &submit->found)
                       : NGX_OK;

    if (rc == NGX_DONE && submit->found.state != NGX_COMPLETION_KEY_UNDERWAY) {
        return ngx_completion_submit_found(submit);
    }

    submit->outcome = NGX_COMPLETION_SUBMIT_UNAVAILABLE;
    submit->retry_after = NGX_COMPLETION_SUBMIT_LOOK;

    return NGX_DONE;
}


/* the keys say that it need not be sent */

ngx_int_t
ngx_completion_submit_found(ngx_completion_submit_t *submit)
{
    ngx_uint_t               joined;
    ngx_completion_found_t  *found;

    found = &submit->found;

    joined = (submit->source == NGX_COMPLETION_SUBMIT_JOINED);

    /* a key that joined by the cache has become known only by that */

    if (!joined) {
        submit->replayed = found->replayed;
    }

    switch (found->state) {

    case NGX_COMPLETION_KEY_UNDERWAY:
        submit->source = NGX_COMPLETION_SUBMIT_JOINED;
        return ngx_completion_submit_join(submit);

    case NGX_COMPLETION_KEY_ACCEPTED:
        submit->outcome = NGX_COMPLETION_SUBMIT_ACCEPTED;
        submit->id = found->id;

        if (!joined) {
            submit->source = found->replayed ? NGX_COMPLETION_SUBMIT_REPLAYED
                                             : NGX_COMPLETION_SUBMIT_CACHED;
        }

        break;

    case NGX_COMPLETION_KEY_MISMATCH:
        submit->outcome = NGX_COMPLETION_SUBMIT_MISMATCH;
        break;

    case NGX_COMPLETION_KEY_UNKNOWN:
        submit->source = joined ? NGX_COMPLETION_SUBMIT_JOINED
                                : NGX_COMPLETION_SUBMIT_REPLAYED;
        submit->outcome = NGX_COMPLETION_SUBMIT_UNKNOWN;
        break;

    default: /* NGX_COMPLETION_KEY_REFUSED */
        submit->outcome = found->outcome;
        submit->retry_after = found->retry_after;
        break;
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_completion_submit_join(ngx_completion_submit_t *submit)
{
    ngx_completion_key_t  *key;

    key = submit->keys.idempotency.ttl ? &submit->keys.idempotency
                                       : &submit->keys.cache;

    submit->wait.handler = ngx_completion_submit_woken;
    submit->wait.data = submit;

    /* in a worker that is to quit, too: the submit on its way keeps it */

    if (ngx_completion_wait_key(submit->service, key, &submit->wait)
        != NGX_OK)
    {
        submit->outcome = NGX_COMPLETION_SUBMIT_UNAVAILABLE;
        return NGX_DONE;
    }

    ngx_add_timer(&submit->timer, NGX_COMPLETION_SUBMIT_LOOK);

    return NGX_OK;
}


static void
ngx_completion_submit_woken(ngx_completion_wait_t *wait)
{
    ngx_completion_submit_t  *submit;

    submit = wait->data;

    ngx_completion_timer_stop(&submit->timer);

    if (ngx_completion_submit_begin(submit) != NGX_OK) {
        ngx_completion_meter_submit(submit);
        ngx_completion_submit_end(submit);
    }
}


static void
ngx_completion_submit_send(ngx_completion_submit_t *submit)
{
    ngx_msec_int_t           left;
    ngx_completion_fetch_t  *f;
    ngx_completion_grant_t   grant;

    if (ngx_completion_grant(submit->service, &grant) != NGX_OK) {
        ngx_completion_submit_await(submit, grant.wait);
        return;
    }

    f = ngx_completion_provider_submit(&submit->service->provider,
                                       &grant.secret, &submit->body,
                                       submit->request_id, &submit->log);
    if (f == NULL) {

        /* never reported from inside start(): the timer will do it */

        submit->outcome = NGX_COMPLETION_SUBMIT_UNAVAILABLE;
        submit->deadline = ngx_current_msec;
        submit->promised = 0;
        ngx_add_timer(&submit->timer, 1);
        return;
    }

    left = submit->deadline - ngx_current_msec;

    f->timeout = ngx_max(left, 1);
    f->handler = ngx_completion_submit_answered;
    f->fence = ngx_completion_submit_fence;
    f->data = submit;

    if (submit->tries++) {
        ngx_completion_metrics_add(&submit->service->zone->metrics->retries[0],
                                   1);
    }

    submit->fetch = f;
    submit->generation = grant.generation;
    submit->promised = 0;

    ngx_completion_fetch_start(f);
}


/* there is no token; nothing was sent, and nothing is without one */

static void
ngx_completion_submit_await(ngx_completion_submit_t *submit, ngx_msec_t ms)
{
    ngx_msec_int_t  left;

    submit->outcome = NGX_COMPLETION_SUBMIT_UNAVAILABLE;
    submit->retry_after = ngx_max(ms, NGX_COMPLETION_SUBMIT_LOOK);
    submit->promised = 0;

    submit->wait.handler = ngx_completion_submit_granted;
    submit->wait.data = submit;

    left = ngx_completion_submit_left(submit);

    if (left <= 0 || (ngx_msec_int_t) ms >= left
        || ngx_completion_wait_grant(submit->service, &submit->wait) != NGX_OK)
    {
        submit->deadline = ngx_current_msec;
        left = 0;
    }

    /* who is to renew the token may die, and the lease end meanwhile */

    left = ngx_min(left, NGX_COMPLETION_SUBMIT_LOOK);

    ngx_add_timer(&submit->timer, ngx_max(left, 1));
}


static void
ngx_completion_submit_granted(ngx_completion_wait_t *wait)
{
    ngx_completion_grant_t    grant;
    ngx_completion_submit_t  *submit;

    submit = wait->data;

    ngx_completion_timer_stop(&submit->timer);

    /* a place in the quota is only taken to be used */

    if (ngx_completion_submit_left(submit) > 0
        && ngx_completion_grant(submit->service, &grant) != NGX_OK)
    {
        ngx_completion_submit_await(submit, grant.wait);
        return;
    }

    ngx_completion_submit_repeat(submit);
}


static ngx_int_t
ngx_completion_submit_fence(ngx_completion_fetch_t *f)
{
    ngx_completion_submit_t  *submit;

    submit = f->data;

    return ngx_completion_zone_send(submit->service->zone, submit->lease);
}


/* a place in the quota's line, or a pause between two tries, has ended */

static void
ngx_completion_submit_timer(ngx_event_t *ev)
{
    ngx_completion_submit_t  *submit;

    submit = ngx_completion_timer_owner(ev, ngx_completion_submit_t, timer);

    if (submit->wait.group) {
        ngx_completion_wait_end(&submit->wait);
        submit->wait.handler(&submit->wait);
        return;
    }

    if (submit->promised) {
        ngx_completion_submit_send(submit);
        return;
    }

    ngx_completion_submit_repeat(submit);
}


static void
ngx_completion_submit_repeat(ngx_completion_submit_t *submit)
{
    ngx_int_t       rc;
    ngx_msec_t      delay;
    ngx_msec_int_t  left;

    left = ngx_completion_submit_left(submit);
    rc = NGX_DECLINED;
    delay = 0;

    if (left > 0) {

        /* a repeat needs a place of its own in the quota */

        rc = ngx_completion_zone_repeat(submit->service->zone, submit->lease,
                                        left, submit->deadline, &delay);
    }

    if (rc != NGX_OK) {
        ngx_completion_submit_finish(submit, submit->outcome);
        return;
    }

    if (delay == 0) {
        ngx_completion_submit_send(submit);
        return;
    }

    submit->promised = 1;
    ngx_completion_meter_queued(submit, delay);
    ngx_add_timer(&submit->timer, delay);
}


static void
ngx_completion_submit_answered(ngx_completion_fetch_t *f)
{
    ngx_completion_submit_t  *submit;

    submit = f->data;

    submit->fetch = NULL;
    submit->elapsed += f->elapsed;

    ngx_completion_provider_answer(f, submit->pool, NULL, &submit->answer);
    ngx_completion_meter_fetch(submit->service, NGX_COMPLETION_METRICS_SUBMIT,
                               f, &submit->answer);
    ngx_completion_fetch_destroy(f);

    switch (submit->answer.kind) {

    case NGX_COMPLETION_ANSWER_OPERATION:
        ngx_completion_submit_accepted(submit);
        submit->outcome = NGX_COMPLETION_SUBMIT_ACCEPTED;
        break;

    case NGX_COMPLETION_ANSWER_INVALID:
        submit->outcome = NGX_COMPLETION_SUBMIT_INVALID;
        break;

    case NGX_COMPLETION_ANSWER_BUSY:
        submit->outcome = NGX_COMPLETION_SUBMIT_QUOTA;
        break;

    case NGX_COMPLETION_ANSWER_UNAVAILABLE:
    case NGX_COMPLETION_ANSWER_FENCED:
        submit->outcome = NGX_COMPLETION_SUBMIT_UNAVAILABLE;
        break;

    case NGX_COMPLETION_ANSWER_TIMEOUT:
        submit->outcome = NGX_COMPLETION_SUBMIT_TIMEOUT;
        break;

    case NGX_COMPLETION_ANSWER_UNAUTHORIZED:

        if (ngx_completion_submit_refused(submit) == NGX_OK) {
            return;
        }

        submit->outcome = NGX_COMPLETION_SUBMIT_REJECTED;
        break;

    case NGX_COMPLETION_ANSWER_NOT_FOUND:
    case NGX_COMPLETION_ANSWER_REJECTED:
        submit->outcome = NGX_COMPLETION_SUBMIT_REJECTED;
        break;

    default: /* NGX_COMPLETION_ANSWER_UNKNOWN */
        submit->outcome = NGX_COMPLETION_SUBMIT_UNKNOWN;
        break;
    }

    if (ngx_completion_submit_again(submit) == NGX_OK) {
        return;
    }

    ngx_completion_submit_finish(submit, submit->outcome);
}


static void
ngx_completion_submit_accepted(ngx_completion_submit_t *submit)
{
    ngx_int_t                    rc;
    ngx_completion_answer_t     *answer;
    ngx_completion_service_t    *service;

    service = submit->service;
    answer = &submit->answer;

    submit->id.upstream = answer->operation.id;
    submit->id.submitted = ngx_time();
    submit->id.shared = submit->keys.shared;

    rc = ngx_completion_zone_accept(service->zone, submit->lease, &submit->id,
                                    submit->model);

    if (rc == NGX_OK) {
        ngx_completion_operation_told(service, &submit->id.upstream,
                                      submit->lease, answer);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, &submit->log, 0,
                      "no room for operation \"%V\", it is not watched",
                      &submit->id.upstream);
    }
}


/* NGX_OK: it will be sent once more, with another credential */

static ngx_int_t
ngx_completion_submit_refused(ngx_completion_submit_t *submit)
{
    if (!submit->refused
        && ngx_completion_submit_left(submit) > 0
        && ngx_completion_grant_refused(submit->service, submit->generation)
           == NGX_OK)
    {
        submit->refused = 1;
        submit->outcome = NGX_COMPLETION_SUBMIT_REJECTED;

        ngx_completion_zone_unsent(submit->service->zone, submit->lease);
        ngx_add_timer(&submit->timer, 1);

        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, &submit->log, 0,
                  "upstream answered 401, request id \"%V\"",
                  &submit->answer.request_id);

    return NGX_DECLINED;
}


/* NGX_OK: upstream did not take it, and it will be sent once more */

static ngx_int_t
ngx_completion_submit_again(ngx_completion_submit_t *submit)
{
    ngx_msec_t  pause;

    if (submit->outcome != NGX_COMPLETION_SUBMIT_QUOTA
        && submit->outcome != NGX_COMPLETION_SUBMIT_UNAVAILABLE
        && submit->outcome != NGX_COMPLETION_SUBMIT_TIMEOUT)
    {
        return NGX_DECLINED;
    }

    pause = NGX_COMPLETION_SUBMIT_BACKOFF << (submit->tries - 1);
    submit->retry_after = pause;

    pause = pause / 2 + ngx_random() % (pause / 2);

    if (submit->answer.retry_after > 0) {
        submit->retry_after = (ngx_msec_t) submit->answer.retry_after * 1000;
        pause = ngx_max(pause, submit->retry_after);
    }

    if (submit->tries >= NGX_COMPLETION_SUBMIT_TRIES
        || ngx_completion_submit_left(submit) <= (ngx_msec_int_t) pause)
    {
        return NGX_DECLINED;
    }

    ngx_completion_zone_unsent(submit->service->zone, submit->lease);
    ngx_add_timer(&submit->timer, pause);

    return NGX_OK;
}


/*
 * Until when another try may begin.  One that request_timeout cuts short may
 * be paid for and never heard of.
 */

static ngx_msec_int_t
ngx_completion_submit_left(ngx_completion_submit_t *submit)
{
    ngx_msec_t                  margin;
    ngx_completion_provider_t  *p;

    if (ngx_completion_fetch_closed()) {
        return 0;
    }

    p = &submit->service->provider;
    margin = ngx_min(p->submit.connect_timeout, p->request_timeout / 4);

    return submit->deadline - margin - ngx_current_msec;
}


/* tells those who joined, and ends */

static void
ngx_completion_submit_finish(ngx_completion_submit_t *submit,
    ngx_completion_submit_outcome_e outcome)
{
    ngx_completion_found_t  end;

    if (outcome != NGX_COMPLETION_SUBMIT_ACCEPTED) {
        ngx_memzero(&end, sizeof(ngx_completion_found_t));

        end.state = (outcome == NGX_COMPLETION_SUBMIT_UNKNOWN)
                        ? NGX_COMPLETION_KEY_UNKNOWN
                        : NGX_COMPLETION_KEY_REFUSED;
        end.outcome = outcome;
        end.retry_after = submit->retry_after;

        ngx_completion_zone_release(submit->service->zone, submit->lease,
                                    &end);
    }

    if (submit->keyed) {
        ngx_completion_watcher_changed(submit->service);
    }

    if (submit->tries == 0) {
        submit->source = NGX_COMPLETION_SUBMIT_UNSENT;
    }

    ngx_completion_meter_submit(submit);

    ngx_completion_submit_end(submit);
}


static void
ngx_completion_submit_end(ngx_completion_submit_t *submit)
{
    ngx_queue_remove(&submit->queue);

    if (submit->handler) {
        submit->handler(submit);
    }

    ngx_completion_submit_destroy(submit);
}


void
ngx_completion_submit_detach(ngx_completion_submit_t *submit)
{
    submit->handler = NULL;
    submit->data = NULL;

    /* one that joined has nothing to finish; one without a token has */

    if (submit->wait.group
        && submit->wait.handler == ngx_completion_submit_woken)
    {
        ngx_completion_wait_end(&submit->wait);
        ngx_completion_submit_end(submit);
    }
}


void
ngx_completion_submit_destroy(ngx_completion_submit_t *submit)
{
    ngx_completion_timer_stop(&submit->timer);

    ngx_destroy_pool(submit->pool);
}


void
ngx_completion_submits_quit(void)
{
    ngx_msec_t                limit;
    ngx_queue_t              *q;
    ngx_msec_int_t            delay;
    ngx_completion_submit_t  *submit;

    if (ngx_completion_submits.next == NULL) {
        return;
    }

    for (q = ngx_queue_head(&ngx_completion_submits);
         q != &ngx_completion_submits;
         q = ngx_queue_next(q))
    {
        submit = ngx_queue_data(q, ngx_completion_submit_t, queue);

        if (!submit->promised) {
            continue;
        }

        limit = ngx_current_msec + submit->service->provider.request_timeout;

        if ((ngx_msec_int_t) (submit->deadline - limit) > 0) {
            submit->deadline = limit;
        }

        delay = submit->timer.timer.key - ngx_current_msec;

        if (delay < ngx_completion_submit_left(submit)) {
            continue;
        }

        ngx_completion_submit_withdraw(submit);

        submit->deadline = ngx_current_msec;
        ngx_add_timer(&submit->timer, 1);
    }
}


void
ngx_completion_submits_cut(void)
{
    ngx_queue_t              *q;
    ngx_completion_submit_t  *submit;

    if (ngx_completion_submits.next == NULL) {
        return;
    }

    /* as their timers would, each ends now that none has time left */

    while (!ngx_queue_empty(&ngx_completion_submits)) {
        q = ngx_queue_head(&ngx_completion_submits);
        submit = ngx_queue_data(q, ngx_completion_submit_t, queue);

        if (submit->promised) {
            ngx_completion_submit_withdraw(submit);

        } else {
            ngx_completion_timer_stop(&submit->timer);
        }

        ngx_completion_submit_timer(&submit->timer);
    }
}


/* the quota lets it go too late */

static void
ngx_completion_submit_withdraw(ngx_completion_submit_t *submit)
{
    ngx_msec_int_t  delay;

    delay = submit->timer.timer.key - ngx_current_msec;

    submit->outcome = NGX_COMPLETION_SUBMIT_QUOTA;
    submit->retry_after = ngx_max(delay, 0);
    submit->promised = 0;

    ngx_del_timer(&submit->timer);
}


void
ngx_completion_submits_exit(void)
{
    ngx_queue_t              *q;
    ngx_completion_submit_t  *submit;

    if (ngx_completion_submits.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&ngx_completion_submits)) {
        q = ngx_queue_head(&ngx_completion_submits);
        submit = ngx_queue_data(q, ngx_completion_submit_t, queue);

        ngx_queue_remove(q);

        ngx_completion_wait_end(&submit->wait);

        if (submit->fetch) {
            ngx_completion_meter_aborted(submit->service,
                                         NGX_COMPLETION_METRICS_SUBMIT,
                                         submit->fetch);
            ngx_completion_fetch_destroy(submit->fetch);
        }

        ngx_completion_submit_destroy(submit);
    }
}


static u_char *
ngx_completion_submit_log(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_completion_submit_t  *submit;

    submit = log->data;

    return ngx_snprintf(buf, len,
                        " while submitting to provider \"%V\", try: %ui",
                        &submit->service->name, submit->tries);
}
