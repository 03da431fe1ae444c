
/*
 *             known / cached / no room, no place in the quota's line
 *    +------------------------------------------------------------> ENDED
 *    |
 *  KNOWN ------> QUOTA --> CALL --> accepted -> keep -------------> ENDED
 *    |  ^         ^ ^       | | |   refused, or nobody knows
 *    |  |         | +-------+ | +-----------------------------------> ENDED
 *    |  |         |  its turn | 429, 503, not reached, time left
 *    |  |         +- PAUSE <--+
 *    |  |
 *    +> JOINED: another one is under way; looks again at news, or in 1 s
 *
 * QUOTA has a time of sending, promised by the zone; a pause and a call's
 * turn (a credential that came late, another one after a 401) need a new one.
 * Where the time is now, QUOTA is passed by.
 *
 * detach: JOINED has nothing to finish and ends, the others go on.  quit:
 * QUOTA beyond request_timeout ends.  cut: all end, JOINED after a last look.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_keep.h"
#include "ngx_completion_submit.h"


#define NGX_COMPLETION_SUBMIT_TRIES    4
#define NGX_COMPLETION_SUBMIT_BACKOFF  500

/* how often one that joined looks by itself, ms */
#define NGX_COMPLETION_SUBMIT_LOOK     1000


typedef enum {
    NGX_COMPLETION_SUBMIT_STARTS = 0,
    NGX_COMPLETION_SUBMIT_NEWS,
    NGX_COMPLETION_SUBMIT_TIME,
    NGX_COMPLETION_SUBMIT_CALLED,
    NGX_COMPLETION_SUBMIT_LEFT,        /* by the client */
    NGX_COMPLETION_SUBMIT_QUIT,
    NGX_COMPLETION_SUBMIT_CUT
} ngx_completion_submit_event_e;


static ngx_int_t ngx_completion_submit_event(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event);
static ngx_int_t ngx_completion_submit_next(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event);

static ngx_completion_submit_state_e ngx_completion_submit_look(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_found(
    ngx_completion_submit_t *submit, ngx_uint_t replayed);
static ngx_completion_submit_state_e ngx_completion_submit_line(
    ngx_completion_submit_t *submit, ngx_msec_t delay);
static ngx_completion_submit_state_e ngx_completion_submit_call(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_called(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_repeat(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_refused(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_ended(
    ngx_completion_submit_t *submit, ngx_completion_outcome_e outcome,
    ngx_msec_t retry_after);
static void ngx_completion_submit_end(ngx_completion_submit_t *submit);

static void ngx_completion_submit_deadline(ngx_completion_submit_t *submit,
    ngx_msec_t deadline);
static ngx_uint_t ngx_completion_submit_late(ngx_completion_submit_t *submit);

static void ngx_completion_submit_woken(ngx_completion_wait_t *wait);
static void ngx_completion_submit_timer(ngx_event_t *ev);
static ngx_int_t ngx_completion_submit_fence(ngx_completion_call_t *call);
static void ngx_completion_submit_handler(ngx_completion_call_t *call);


#define ngx_completion_submit_keyed(submit)                                   \
    ((submit)->keys.idempotency.ttl || (submit)->keys.cache.ttl)


/* what is under way in this worker */
static ngx_queue_t  ngx_completion_submits = {
    &ngx_completion_submits, &ngx_completion_submits
};


ngx_int_t
ngx_completion_submit_start(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, ngx_completion_submit_handler_pt handler,
    void *data, ngx_completion_submit_t **started)
{
    ngx_int_t                 rc;
    ngx_completion_call_t    *call;
    ngx_completion_submit_t  *submit;

    submit = ngx_completion_call_create(service, NGX_COMPLETION_KIND_SUBMIT,
                                        NULL, sizeof(ngx_completion_submit_t));
    if (submit == NULL) {
        return NGX_ERROR;
    }

    call = &submit->call;

    rc = service->provider.dialect->body(&service->provider, call->pool,
                                         &ask->prompt, &call->body,
                                         &ask->reason);
    if (rc == NGX_OK) {
        rc = ngx_completion_submit_keys(service, ask, &call->body,
                                        &submit->keys);
    }

    if (rc != NGX_OK) {
        ngx_destroy_pool(call->pool);
        return rc;
    }

    submit->handler = handler;
    submit->data = data;
    submit->source = NGX_COMPLETION_SOURCE_ZONE;
    submit->model = ngx_murmur_hash2(ask->prompt.model.data,
                                     ask->prompt.model.len);
    ngx_memcpy(submit->request_id, ask->request_id.data,
               sizeof(submit->request_id));

    submit->wait.handler = ngx_completion_submit_woken;
    submit->wait.data = submit;

    call->request_id = submit->request_id;
    call->paced = 1;
    call->fence = ngx_completion_submit_fence;
    call->handler = ngx_completion_submit_handler;

    ngx_completion_timer_init(&submit->timer, ngx_completion_submit_timer,
                              &call->log);

    *started = submit;

    rc = ngx_completion_submit_next(submit, NGX_COMPLETION_SUBMIT_STARTS);

    if (rc == NGX_OK) {
        ngx_queue_insert_tail(&ngx_completion_submits, &submit->queue);
    }

    return rc;
}


/* of one that is under way, from the event loop; NGX_DONE: it is gone */

static ngx_int_t
ngx_completion_submit_event(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event)
{
    if (ngx_completion_submit_next(submit, event) == NGX_OK) {
        return NGX_OK;
    }

    ngx_queue_remove(&submit->queue);

    if (submit->handler) {
        submit->handler(submit);
    }

    ngx_completion_submit_destroy(submit);

    return NGX_DONE;
}


/* NGX_OK: under way; NGX_DONE: it has ended */

static ngx_int_t
ngx_completion_submit_next(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event)
{
    ngx_msec_int_t                 delay;
    ngx_completion_submit_state_e  state, from;

#if (NGX_DEBUG)
    static const char  *states[] = {
        "known", "joined", "quota", "call", "pause", "ended"
    };
    static const char  *events[] = {
        "starts", "news", "time", "called", "left", "quit", "cut"
    };
#endif

    from = submit->state;
    state = from;

    switch (from) {

    case NGX_COMPLETION_SUBMIT_IS_KNOWN:
        state = ngx_completion_submit_look(submit);
        break;

    case NGX_COMPLETION_SUBMIT_IS_JOINED:

        if (event == NGX_COMPLETION_SUBMIT_QUIT) {
            break;
        }

        ngx_completion_wait_end(&submit->wait);
        ngx_completion_timer_stop(&submit->timer);

        /* what has nobody to tell is not counted either */

        state = (event == NGX_COMPLETION_SUBMIT_LEFT)
                    ? NGX_COMPLETION_SUBMIT_HAS_ENDED
                    : ngx_completion_submit_look(submit);
        break;

    case NGX_COMPLETION_SUBMIT_IN_QUOTA:

        if (event == NGX_COMPLETION_SUBMIT_TIME) {
            state = ngx_completion_submit_call(submit);

        } else if (event == NGX_COMPLETION_SUBMIT_CUT
                   || (event == NGX_COMPLETION_SUBMIT_QUIT
                       && ngx_completion_submit_late(submit)))
        {
            delay = submit->timer.timer.key - ngx_current_msec;

            ngx_completion_timer_stop(&submit->timer);

            state = ngx_completion_submit_ended(submit,
                                                NGX_COMPLETION_QUOTA_EXCEEDED,
                                                ngx_max(delay, 0));
        }

        break;

    case NGX_COMPLETION_SUBMIT_IN_CALL:

        if (event == NGX_COMPLETION_SUBMIT_CALLED) {
            state = ngx_completion_submit_called(submit);

        } else if (event == NGX_COMPLETION_SUBMIT_CUT) {
            ngx_completion_call_abort(&submit->call);
            state = ngx_completion_submit_refused(submit);
        }

        break;

    case NGX_COMPLETION_SUBMIT_IN_PAUSE:

        if (event == NGX_COMPLETION_SUBMIT_TIME) {
            state = ngx_completion_submit_repeat(submit);

        } else if (event == NGX_COMPLETION_SUBMIT_CUT) {
            ngx_completion_timer_stop(&submit->timer);
            state = ngx_completion_submit_refused(submit);
        }

        break;

    default: /* NGX_COMPLETION_SUBMIT_HAS_ENDED */
        break;
    }

    ngx_log_debug7(NGX_LOG_DEBUG_EVENT, &submit->call.log, 0,
                   "completion submit: %p %s, %s: %s, lease %uL, outcome %s, "
                   "source %V", submit, states[from], events[event],
                   states[state], submit->lease,
                   ngx_completion_outcomes[submit->outcome].code,
                   &ngx_completion_sources[submit->source]);

    submit->state = state;

    if (state != NGX_COMPLETION_SUBMIT_HAS_ENDED) {
        return NGX_OK;
    }

    if (event != NGX_COMPLETION_SUBMIT_LEFT) {
        ngx_completion_submit_end(submit);
    }

    return NGX_DONE;
}


/* what is known of such a request, or else a place in the quota's line */

static ngx_completion_submit_state_e
ngx_completion_submit_look(ngx_completion_submit_t *submit)
{
    uint64_t                   lease;
    ngx_int_t                  rc;
    ngx_msec_t                 delay, timeout;
    ngx_uint_t                 keyed, replayed;
    ngx_completion_found_t    *found;
    ngx_completion_service_t  *service;

    service = submit->call.service;
    found = &submit->found;
    keyed = ngx_completion_submit_keyed(submit);
    replayed = found->replayed;

    if (ngx_completion_fetch_closed()) {

        /* nothing is sent any more, but what its keys came to may be known */

        if (keyed
            && ngx_completion_zone_known(service->zone, &submit->keys,
                                         found->lease, found)
               == NGX_DONE
            && found->state != NGX_COMPLETION_KEY_UNDERWAY)
        {
            return ngx_completion_submit_found(submit, replayed);
        }

        return ngx_completion_submit_ended(submit,
                                           NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                                           NGX_COMPLETION_SUBMIT_LOOK);
    }

    timeout = service->provider.request_timeout;

    rc = ngx_completion_zone_reserve(service->zone, timeout,
                                     keyed ? &submit->keys : NULL,
                                     found->lease, &lease, &delay, found);
    switch (rc) {

    case NGX_OK:
        submit->lease = lease;
        submit->source = NGX_COMPLETION_SOURCE_UPSTREAM;

        ngx_completion_submit_deadline(submit,
                                       ngx_current_msec + delay + timeout);

        return ngx_completion_submit_line(submit, delay);

    case NGX_DONE:
        return ngx_completion_submit_found(submit, replayed);

    case NGX_BUSY:
        return ngx_completion_submit_ended(submit,
                                           NGX_COMPLETION_QUOTA_EXCEEDED,
                                           delay);

    default: /* NGX_DECLINED */
        ngx_log_error(NGX_LOG_ERR, &submit->call.log, 0,
                      "no room for a submit, the zone is full");

        return ngx_completion_submit_ended(submit, NGX_COMPLETION_ZONE_FULL,
                                     ngx_completion_zone_room(service->zone));
    }
}


/* the keys say that it need not be sent */

static ngx_completion_submit_state_e
ngx_completion_submit_found(ngx_completion_submit_t *submit,
    ngx_uint_t replayed)
{
    ngx_uint_t               joined;
    ngx_completion_key_t    *key;
    ngx_completion_found_t  *found;

    found = &submit->found;
    joined = (submit->source == NGX_COMPLETION_SOURCE_JOINED);

    /* by the one that it was found by: the other may not have been kept */

    key = found->replayed ? &submit->keys.idempotency : &submit->keys.cache;

    /* a key that joined by the cache has become known only by that */

    if (joined) {
        found->replayed = replayed;
    }

    /* in a worker that is to quit, too: the submit on its way keeps it */

    if (found->state == NGX_COMPLETION_KEY_UNDERWAY) {
        submit->source = NGX_COMPLETION_SOURCE_JOINED;

        ngx_completion_news_wait(submit->call.service,
                                 ngx_completion_key_hash(key->name),
                                 &submit->wait);
        ngx_add_timer(&submit->timer, NGX_COMPLETION_SUBMIT_LOOK);

        return NGX_COMPLETION_SUBMIT_IS_JOINED;
    }

    submit->id = found->id;

    if (!joined && found->outcome != NGX_COMPLETION_IDEMPOTENCY_MISMATCH) {
        submit->source = found->replayed ? NGX_COMPLETION_SOURCE_REPLAYED
                                         : NGX_COMPLETION_SOURCE_CACHED;
    }

    return ngx_completion_submit_ended(submit, found->outcome,
                                       found->retry_after);
}


static ngx_completion_submit_state_e
ngx_completion_submit_line(ngx_completion_submit_t *submit, ngx_msec_t delay)
{
    ngx_completion_metrics_sh_t  *metrics;

    if (delay == 0) {
        return ngx_completion_submit_call(submit);
    }

    metrics = submit->call.service->zone->metrics;

    ngx_completion_metrics_add(&metrics->queued, 1);
    ngx_completion_metrics_add(&metrics->queued_time, delay);

    submit->queued += delay;
    ngx_add_timer(&submit->timer, delay);

    return NGX_COMPLETION_SUBMIT_IN_QUOTA;
}


static ngx_completion_submit_state_e
ngx_completion_submit_call(ngx_completion_submit_t *submit)
{
    if (ngx_completion_call_start(&submit->call) != NGX_OK) {
        return ngx_completion_submit_refused(submit);
    }

    return NGX_COMPLETION_SUBMIT_IN_CALL;
}


static ngx_completion_submit_state_e
ngx_completion_submit_called(ngx_completion_submit_t *submit)
{
    ngx_msec_t                 pause;
    ngx_completion_call_t     *call;
    ngx_completion_outcome_e   outcome;
    ngx_completion_service_t  *service;

    call = &submit->call;
    service = submit->call.service;

    if (call->state == NGX_COMPLETION_CALL_TURN) {
        ngx_completion_zone_unsent(service->zone, submit->lease);
        return ngx_completion_submit_repeat(submit);
    }

    outcome = call->answer.outcome;

    if (outcome == NGX_COMPLETION_OK) {
        submit->id.upstream = call->answer.operation.id;
        submit->id.submitted = ngx_time();
        submit->id.shared = submit->keys.shared;

        ngx_completion_keep_accepted(service, &submit->id, submit->lease,
                                     &submit->keys, submit->model,
                                     &call->answer, &call->log);

        return ngx_completion_submit_ended(submit, outcome, 0);
    }

    if (call->failed
        || (outcome != NGX_COMPLETION_QUOTA_EXCEEDED
            && outcome != NGX_COMPLETION_UPSTREAM_UNAVAILABLE
            && outcome != NGX_COMPLETION_UPSTREAM_TIMEOUT))
    {
        return ngx_completion_submit_refused(submit);
    }

    /* upstream did not take it */

    pause = NGX_COMPLETION_SUBMIT_BACKOFF << (call->tries - 1);
    submit->retry_after = pause;

    pause = pause / 2 + ngx_random() % (pause / 2);

    if (call->answer.retry_after > 0) {
        submit->retry_after = (ngx_msec_t) call->answer.retry_after * 1000;
        pause = ngx_max(pause, submit->retry_after);
    }

    if (call->tries >= NGX_COMPLETION_SUBMIT_TRIES
        || ngx_completion_call_left(call) <= (ngx_msec_int_t) pause)
    {
        return ngx_completion_submit_refused(submit);
    }

    ngx_completion_zone_unsent(service->zone, submit->lease);
    ngx_add_timer(&submit->timer, pause);

    return NGX_COMPLETION_SUBMIT_IN_PAUSE;
}


/* a repeat needs a place of its own in the quota */

static ngx_completion_submit_state_e
ngx_completion_submit_repeat(ngx_completion_submit_t *submit)
{
    ngx_msec_t              delay;
    ngx_msec_int_t          left;
    ngx_completion_call_t  *call;

    call = &submit->call;
    left = ngx_completion_call_left(call);

    if (left <= 0
        || ngx_completion_zone_repeat(submit->call.service->zone, submit->lease,
                                      left, call->deadline, &delay)
           != NGX_OK)
    {
        return ngx_completion_submit_refused(submit);
    }

    return ngx_completion_submit_line(submit, delay);
}


/* by what the call came to last */

static ngx_completion_submit_state_e
ngx_completion_submit_refused(ngx_completion_submit_t *submit)
{
    ngx_completion_call_t  *call;

    call = &submit->call;

    return ngx_completion_submit_ended(submit, call->answer.outcome,
                                       call->retry_after
                                           ? call->retry_after
                                           : submit->retry_after);
}


static ngx_completion_submit_state_e
ngx_completion_submit_ended(ngx_completion_submit_t *submit,
    ngx_completion_outcome_e outcome, ngx_msec_t retry_after)
{
    submit->outcome = outcome;
    submit->retry_after = retry_after;

    return NGX_COMPLETION_SUBMIT_HAS_ENDED;
}


/* tells those who joined, and the counters */

static void
ngx_completion_submit_end(ngx_completion_submit_t *submit)
{
    ngx_completion_found_t        end;
    ngx_completion_service_t     *service;
    ngx_completion_metrics_sh_t  *metrics;

    service = submit->call.service;
    metrics = service->zone->metrics;

    if (submit->lease) {

        if (submit->outcome != NGX_COMPLETION_OK) {
            ngx_memzero(&end, sizeof(ngx_completion_found_t));

            end.state = NGX_COMPLETION_KEY_ENDED;
            end.outcome = submit->outcome;
            end.retry_after = submit->retry_after;

            ngx_completion_zone_release(service->zone, submit->lease,
                                        &submit->keys, &end);
        }

        if (ngx_completion_submit_keyed(submit)) {
            ngx_completion_news_changed(service);
        }

        if (submit->call.tries == 0) {
            submit->source = NGX_COMPLETION_SOURCE_ZONE;
        }
    }

    ngx_completion_metrics_add(submit->outcome == NGX_COMPLETION_OK
                                   ? &metrics->accepted[submit->source]
                                   : &metrics->refused[submit->outcome], 1);
}


/*
 * A try that request_timeout cuts short may be paid for and never heard of:
 * none begins right before the deadline.
 */

static void
ngx_completion_submit_deadline(ngx_completion_submit_t *submit,
    ngx_msec_t deadline)
{
    ngx_completion_provider_t  *p;

    p = &submit->call.service->provider;

    submit->call.deadline = deadline;
    submit->call.latest = deadline - ngx_min(p->submit.connect_timeout,
                                             p->request_timeout / 4);
}


/* for a worker that may stay no longer than request_timeout */

static ngx_uint_t
ngx_completion_submit_late(ngx_completion_submit_t *submit)
{
    ngx_msec_t      limit;
    ngx_msec_int_t  delay;

    limit = ngx_current_msec + submit->call.service->provider.request_timeout;

    if ((ngx_msec_int_t) (submit->call.deadline - limit) > 0) {
        ngx_completion_submit_deadline(submit, limit);
    }

    delay = submit->timer.timer.key - ngx_current_msec;

    return delay >= ngx_completion_call_left(&submit->call);
}


static void
ngx_completion_submit_woken(ngx_completion_wait_t *wait)
{
    (void) ngx_completion_submit_event(wait->data, NGX_COMPLETION_SUBMIT_NEWS);
}


static void
ngx_completion_submit_timer(ngx_event_t *ev)
{
    ngx_completion_submit_t  *submit;

    submit = ngx_completion_timer_owner(ev, ngx_completion_submit_t, timer);

    (void) ngx_completion_submit_event(submit, NGX_COMPLETION_SUBMIT_TIME);
}


static ngx_int_t
ngx_completion_submit_fence(ngx_completion_call_t *call)
{
    ngx_completion_submit_t  *submit;

    submit = (ngx_completion_submit_t *) call;

    return ngx_completion_zone_fence(call->service->zone, submit->lease);
}


static void
ngx_completion_submit_handler(ngx_completion_call_t *call)
{
    (void) ngx_completion_submit_event((ngx_completion_submit_t *) call,
                                       NGX_COMPLETION_SUBMIT_CALLED);
}


void
ngx_completion_submit_detach(ngx_completion_submit_t *submit)
{
    submit->handler = NULL;
    submit->data = NULL;

    (void) ngx_completion_submit_event(submit, NGX_COMPLETION_SUBMIT_LEFT);
}


void
ngx_completion_submit_destroy(ngx_completion_submit_t *submit)
{
    ngx_completion_timer_stop(&submit->timer);

    ngx_destroy_pool(submit->call.pool);
}


void
ngx_completion_submits_quit(ngx_uint_t cut)
{
    ngx_queue_t                    *q;
    ngx_completion_submit_t        *submit;
    ngx_completion_submit_event_e   event;

    event = cut ? NGX_COMPLETION_SUBMIT_CUT : NGX_COMPLETION_SUBMIT_QUIT;

    q = ngx_queue_head(&ngx_completion_submits);

    while (q != &ngx_completion_submits) {
        submit = ngx_queue_data(q, ngx_completion_submit_t, queue);

        q = ngx_queue_next(q);

        if (ngx_completion_submit_event(submit, event) == NGX_DONE) {

            /* a client that is answered may take others with it */

            q = ngx_queue_head(&ngx_completion_submits);
        }
    }
}


void
ngx_completion_submits_exit(void)
{
    ngx_queue_t              *q;
    ngx_completion_submit_t  *submit;

    while (!ngx_queue_empty(&ngx_completion_submits)) {
        q = ngx_queue_head(&ngx_completion_submits);
        submit = ngx_queue_data(q, ngx_completion_submit_t, queue);

        ngx_queue_remove(q);

        ngx_completion_wait_end(&submit->wait);
        ngx_completion_call_abort(&submit->call);
        ngx_completion_submit_destroy(submit);
    }
}
