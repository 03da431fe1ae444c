
/*
 *             known / cached / no room, no place in the quota's line
 *    +------------------------------------------------------------> ENDED
 *    |
 *  KNOWN -> CLAIM -> QUOTA -> SENDING -> CALL -> accepted -> keep -> ENDED
 *    |  ^    ^  |     ^ ^        |       | | |   refused, or nobody knows
 *    |  |    |  |     | +-- lost +-------+ | +---------------------> ENDED
 *    |  |    +--+     |    its turn, lost  | 429, 503, not reached,
 *    |  |   another   +------- PAUSE <-----+ time left
 *    |  |   node's
 *    +> JOINED: another one is under way; looks again at news, or in 1 s
 *
 * CLAIM: all nodes are asked for its keys, by way of the server that they
 * share; another one that has them tells an id, or is looked at again.
 * SENDING: from now on no other node may send it.  Both are passed by where
 * there is no server.
 *
 * QUOTA is a place in the zone's line, from which any worker calls who is due,
 * by news; where a start is due it is passed by.  A pause and a call's turn (a
 * credential that came late, another one after a 401, a start that was gone at
 * the fence) go back to the place that the submit had.
 *
 * A text is held from KNOWN on by whoever is to send it, in one copy.  JOINED
 * holds none: it has its client tell it once more when it has to send.  What
 * all of them hold until they are sent is counted, see submit_memory.
 *
 * detach: JOINED has nothing to finish and ends, the others go on.  drop: all
 * end that were not sent, and nobody is told; the others go on.  quit: QUOTA
 * beyond request_timeout ends, and CLAIM, if it is another node's.  cut: all
 * end, JOINED after a last look.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_keep.h"
#include "ngx_completion_operation.h"
#include "ngx_completion_queue.h"


#define NGX_COMPLETION_SUBMIT_TRIES    4
#define NGX_COMPLETION_SUBMIT_BACKOFF  500

/* how often one that joined looks by itself, ms */
#define NGX_COMPLETION_SUBMIT_LOOK     1000

/* and at another node's at first, ms */
#define NGX_COMPLETION_SUBMIT_PAUSE    50

/* what a start may come later than was told, ms */
#define NGX_COMPLETION_SUBMIT_LATE     1000


typedef enum {
    NGX_COMPLETION_SUBMIT_STARTS = 0,
    NGX_COMPLETION_SUBMIT_NEWS,
    NGX_COMPLETION_SUBMIT_TIME,
    NGX_COMPLETION_SUBMIT_CALLED,
    NGX_COMPLETION_SUBMIT_CLAIMED,     /* the server has answered, or not */
    NGX_COMPLETION_SUBMIT_LEFT,        /* by the client */
    NGX_COMPLETION_SUBMIT_DROPPED,     /* the same, and not to be sent */
    NGX_COMPLETION_SUBMIT_QUIT,
    NGX_COMPLETION_SUBMIT_CUT
} ngx_completion_submit_event_e;


static ngx_int_t ngx_completion_submit_event(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event);
static ngx_int_t ngx_completion_submit_next(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event);

static ngx_completion_submit_state_e ngx_completion_submit_goes(
    ngx_completion_submit_t *submit, ngx_completion_submit_event_e event);
static ngx_completion_submit_state_e ngx_completion_submit_look(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_again(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_found(
    ngx_completion_submit_t *submit, ngx_uint_t replayed);
static ngx_completion_submit_state_e ngx_completion_submit_claim(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_claimed(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_learned(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_line(
    ngx_completion_submit_t *submit, ngx_msec_t delay);
static ngx_completion_submit_state_e ngx_completion_submit_call(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_called(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_turn(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_late(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_refused(
    ngx_completion_submit_t *submit);
static ngx_completion_submit_state_e ngx_completion_submit_ended(
    ngx_completion_submit_t *submit, ngx_completion_outcome_e outcome,
    ngx_msec_t retry_after);
static void ngx_completion_submit_end(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event);
static void ngx_completion_submit_leaves(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event);

static void ngx_completion_submit_leave(ngx_completion_submit_t *submit);

static void ngx_completion_submit_woken(ngx_completion_wait_t *wait);
static void ngx_completion_submit_timer(ngx_event_t *ev);
static void ngx_completion_submit_answered(ngx_completion_claim_t *claim);
static ngx_int_t ngx_completion_submit_fence(ngx_completion_call_t *call);
static void ngx_completion_submit_handler(ngx_completion_call_t *call);


#define ngx_completion_submit_dropped(submit)                                 \
    ngx_completion_submit_ended(submit, NGX_COMPLETION_UPSTREAM_UNAVAILABLE, 0)

/* it cannot be sent now, for a reason of this node's */
#define ngx_completion_submit_failed(submit)                                  \
    ngx_completion_submit_ended(submit, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,  \
                                NGX_COMPLETION_SUBMIT_LOOK)

#define ngx_completion_submit_keyed(submit)                                   \
    ((submit)->keys.idempotency.ttl || (submit)->keys.cache.ttl               \
     || (submit)->keys.orphan.ttl)


/* what is under way in this worker */
static ngx_queue_t  ngx_completion_submits = {
    &ngx_completion_submits, &ngx_completion_submits
};


ngx_int_t
ngx_completion_submit_start(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, const ngx_completion_client_t *client,
    void *data, ngx_completion_submit_t **started)
{
    ngx_int_t                 rc;
    ngx_str_t                 body;
    ngx_completion_call_t    *call;
    ngx_completion_submit_t  *submit;

    rc = service->provider.dialect->body(&service->provider, ask->pool,
                                         &ask->prompt, &body, &ask->reason);
    if (rc != NGX_OK) {
        return rc;
    }

    submit = ngx_completion_call_create(service, NGX_COMPLETION_KIND_SUBMIT,
                                        NULL, sizeof(ngx_completion_submit_t));
    if (submit == NULL) {
        return NGX_ERROR;
    }

    call = &submit->call;
    call->body = body;

    rc = ngx_completion_submit_keys(service, ask, &call->body, &submit->keys);

    if (rc != NGX_OK) {
        ngx_destroy_pool(call->pool);
        return rc;
    }

    submit->client = client;
    submit->data = data;
    submit->log = ask->log ? ask->log : &call->log;
    submit->held = ask->held;
    submit->source = NGX_COMPLETION_SOURCE_ZONE;
    submit->model = ngx_murmur_hash2(ask->prompt.model.data,
                                     ask->prompt.model.len);

    submit->wait.handler = ngx_completion_submit_woken;
    submit->wait.data = submit;

    submit->claim.claims = service->cluster ? service->cluster->claims : NULL;
    submit->claim.keys = &submit->keys;
    submit->claim.pool = call->pool;
    submit->claim.queue = service->zone->submit_queue_time;
    submit->claim.sending = service->provider.request_timeout;
    submit->claim.handler = ngx_completion_submit_answered;

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

    if (submit->client) {
        submit->client->handler(submit);
    }

    ngx_completion_submit_destroy(submit);

    return NGX_DONE;
}


/* NGX_OK: under way; NGX_DONE: it has ended */

static ngx_int_t
ngx_completion_submit_next(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event)
{
    ngx_completion_submit_state_e  state;

#if (NGX_DEBUG)
    static const char  *states[] = {
        "known", "joined", "claim", "quota", "sending", "call", "pause",
        "ended"
    };
    static const char  *events[] = {
        "starts", "news", "time", "called", "claimed", "left", "dropped",
        "quit", "cut"
    };
#endif

    state = ngx_completion_submit_goes(submit, event);

    ngx_log_debug7(NGX_LOG_DEBUG_EVENT, &submit->call.log, 0,
                   "completion submit: %p %s, %s: %s, lease %uL, outcome %s, "
                   "source %V", submit, states[submit->state], events[event],
                   states[state], submit->lease,
                   ngx_completion_outcomes[submit->outcome].code,
                   &ngx_completion_sources[submit->source]);

    submit->state = state;

    ngx_completion_submit_count(submit, state != NGX_COMPLETION_SUBMIT_HAS_ENDED
                                && submit->call.state
                                   != NGX_COMPLETION_CALL_SENT);

    if (state != NGX_COMPLETION_SUBMIT_HAS_ENDED) {
        return NGX_OK;
    }

    if (event != NGX_COMPLETION_SUBMIT_LEFT) {
        ngx_completion_submit_end(submit, event);
    }

    return NGX_DONE;
}


/* where an event leads; one that means nothing leaves it where it is */

static ngx_completion_submit_state_e
ngx_completion_submit_goes(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event)
{
    switch (submit->state) {

    case NGX_COMPLETION_SUBMIT_IS_KNOWN:
        return ngx_completion_submit_look(submit);

    case NGX_COMPLETION_SUBMIT_IS_JOINED:
        if (event == NGX_COMPLETION_SUBMIT_QUIT) {
            break;
        }

        ngx_completion_wait_end(&submit->wait);
        ngx_completion_timer_stop(&submit->timer);

        /* what has nobody to tell is not counted either */

        return (event == NGX_COMPLETION_SUBMIT_LEFT
                || event == NGX_COMPLETION_SUBMIT_DROPPED)
                   ? NGX_COMPLETION_SUBMIT_HAS_ENDED
                   : ngx_completion_submit_again(submit);

    case NGX_COMPLETION_SUBMIT_IN_CLAIM:
        if (event == NGX_COMPLETION_SUBMIT_CLAIMED) {
            return ngx_completion_submit_claimed(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_TIME) {
            return ngx_completion_submit_claim(submit);
        }

        /* the server's answer is near, and another node's submit is not */

        if (event == NGX_COMPLETION_SUBMIT_LEFT
            || (event == NGX_COMPLETION_SUBMIT_QUIT
                && !submit->timer.timer_set))
        {
            break;
        }

        ngx_completion_timer_stop(&submit->timer);

        return ngx_completion_submit_failed(submit);

    case NGX_COMPLETION_SUBMIT_IN_SENDING:
        if (event == NGX_COMPLETION_SUBMIT_CLAIMED) {
            return ngx_completion_submit_call(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_CUT) {
            return ngx_completion_submit_late(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_DROPPED) {
            return ngx_completion_submit_dropped(submit);
        }

        break;

    case NGX_COMPLETION_SUBMIT_IN_QUOTA:
        if (event == NGX_COMPLETION_SUBMIT_TIME
            || event == NGX_COMPLETION_SUBMIT_CUT)
        {
            return ngx_completion_submit_late(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_DROPPED) {
            ngx_completion_submit_leave(submit);
            return ngx_completion_submit_dropped(submit);
        }

        if (event != NGX_COMPLETION_SUBMIT_LEFT) {
            return ngx_completion_submit_turn(submit);
        }

        break;

    case NGX_COMPLETION_SUBMIT_IN_CALL:
        if (event == NGX_COMPLETION_SUBMIT_CALLED) {
            return ngx_completion_submit_called(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_CUT) {
            ngx_completion_call_abort(&submit->call);
            return ngx_completion_submit_refused(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_DROPPED
            && submit->call.state != NGX_COMPLETION_CALL_SENT)
        {
            ngx_completion_call_abort(&submit->call);
            return ngx_completion_submit_dropped(submit);
        }

        break;

    case NGX_COMPLETION_SUBMIT_IN_PAUSE:
        if (event == NGX_COMPLETION_SUBMIT_TIME) {
            return ngx_completion_submit_turn(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_CUT) {
            ngx_completion_timer_stop(&submit->timer);
            return ngx_completion_submit_refused(submit);
        }

        if (event == NGX_COMPLETION_SUBMIT_DROPPED) {
            ngx_completion_timer_stop(&submit->timer);
            return ngx_completion_submit_dropped(submit);
        }

        break;

    default: /* NGX_COMPLETION_SUBMIT_HAS_ENDED */
        break;
    }

    return submit->state;
}


/* what is known of such a request, or else a place in the quota's line */

static ngx_completion_submit_state_e
ngx_completion_submit_look(ngx_completion_submit_t *submit)
{
    uint64_t                   lease;
    ngx_int_t                  rc;
    ngx_msec_t                 delay, timeout;
    ngx_uint_t                 keyed, replayed, closed, kept;
    ngx_completion_found_t    *found;
    ngx_completion_service_t  *service;

    service = submit->call.service;
    found = &submit->found;
    keyed = ngx_completion_submit_keyed(submit);
    replayed = found->replayed;
    closed = ngx_completion_fetch_closed();

    if (closed || !ngx_completion_submit_fits(submit, submit->call.body.len)) {

        /* it cannot be sent, but what its keys came to may be known */

        if (keyed
            && ngx_completion_zone_known(service->zone, &submit->keys,
                                         found->lease, found)
               == NGX_DONE
            && (found->state != NGX_COMPLETION_KEY_UNDERWAY
                || (!closed && ngx_completion_submit_fits(submit, 0))))
        {
            return ngx_completion_submit_found(submit, replayed);
        }

        if (closed) {
            return ngx_completion_submit_failed(submit);
        }

        return ngx_completion_submit_ended(submit, NGX_COMPLETION_OVERLOADED,
                                           NGX_COMPLETION_SUBMIT_LOOK);
    }

    timeout = service->provider.request_timeout;

    rc = ngx_completion_zone_reserve(service->zone, timeout,
                                     keyed ? &submit->keys : NULL,
                                     found->lease, &lease, &delay, found);
    switch (rc) {

    case NGX_OK:
    case NGX_AGAIN:
        kept = (submit->lease != 0);

        submit->lease = lease;
        submit->source = NGX_COMPLETION_SOURCE_UPSTREAM;
        submit->until = ngx_current_msec
                        + (rc == NGX_OK ? service->zone->submit_queue_time : 0)
                        + NGX_COMPLETION_SUBMIT_LATE;

        if (!kept && ngx_completion_submit_keep(submit) != NGX_OK) {
            return ngx_completion_submit_failed(submit);
        }

        ngx_completion_submit_deadline(submit, submit->until + timeout);

        if (submit->claim.claims && keyed) {
            return ngx_completion_submit_claim(submit);
        }

        return delay ? ngx_completion_submit_line(submit, delay)
                     : ngx_completion_submit_call(submit);

    case NGX_DONE:
        return ngx_completion_submit_found(submit, replayed);

    case NGX_BUSY:
        return ngx_completion_submit_ended(submit,
                                           NGX_COMPLETION_QUOTA_EXCEEDED,
                                           delay);

    default: /* NGX_DECLINED */
        return ngx_completion_submit_ended(submit, NGX_COMPLETION_ZONE_FULL,
                                     ngx_completion_zone_room(service->zone));
    }
}


/* one that joined: by the keys alone, until it may be the one to send */

static ngx_completion_submit_state_e
ngx_completion_submit_again(ngx_completion_submit_t *submit)
{
    uint64_t                       joined;
    ngx_int_t                      rc;
    ngx_uint_t                     replayed;
    ngx_completion_ask_t           ask;
    ngx_completion_found_t        *found;
    ngx_completion_service_t      *service;
    ngx_completion_submit_state_e  state;

    if (ngx_completion_fetch_closed()) {
        return ngx_completion_submit_look(submit);
    }

    service = submit->call.service;
    found = &submit->found;
    joined = found->lease;
    replayed = found->replayed;

    rc = ngx_completion_zone_known(service->zone, &submit->keys, joined,
                                   found);
    if (rc == NGX_DONE) {
        return ngx_completion_submit_found(submit, replayed);
    }

    /* others may be as quick to find that out */

    found->lease = joined;
    found->replayed = replayed;

    ngx_memzero(&ask, sizeof(ngx_completion_ask_t));

    ask.pool = ngx_create_pool(NGX_COMPLETION_SUBMIT_SIZE, service->log);
    rc = ask.pool ? submit->client->prompt(submit->data, &ask) : NGX_ERROR;

    if (rc == NGX_OK) {
        rc = service->provider.dialect->body(&service->provider, ask.pool,
                                             &ask.prompt, &submit->call.body,
                                             &ask.reason);
    }

    state = (rc == NGX_OK) ? ngx_completion_submit_look(submit)
                           : ngx_completion_submit_failed(submit);
    if (ask.pool) {
        ngx_destroy_pool(ask.pool);
    }

    return state;
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
    submit->lease = 0;

    /* another one of this node asks for it, if it was not found in time */

    ngx_completion_claim_end(&submit->claim, NGX_COMPLETION_QUOTA_EXCEEDED,
                             NULL);

    /* by the one that it was found by: the other may not have been kept */

    key = found->held ? &submit->keys.orphan
          : found->replayed ? &submit->keys.idempotency : &submit->keys.cache;

    /* a key that joined by the cache has become known only by that */

    if (joined) {
        found->replayed = replayed;
    }

    /* in a worker that is to quit, too: the submit on its way keeps it */

    if (found->state == NGX_COMPLETION_KEY_UNDERWAY) {
        submit->source = NGX_COMPLETION_SOURCE_JOINED;
        ngx_str_null(&submit->call.body);

        ngx_completion_news_wait(submit->call.service,
                                 ngx_completion_key_hash(key->name),
                                 &submit->wait);
        ngx_add_timer(&submit->timer, NGX_COMPLETION_SUBMIT_LOOK);

        return NGX_COMPLETION_SUBMIT_IS_JOINED;
    }

    submit->id = found->id;

    if (!joined && found->outcome != NGX_COMPLETION_IDEMPOTENCY_MISMATCH) {
        submit->source = found->replayed ? NGX_COMPLETION_SOURCE_REPLAYED
                         : found->pending ? NGX_COMPLETION_SOURCE_JOINED
                                          : NGX_COMPLETION_SOURCE_CACHED;
    }

    return ngx_completion_submit_ended(submit, found->outcome,
                                       found->retry_after);
}


/* is it this node's to send? */

static ngx_completion_submit_state_e
ngx_completion_submit_claim(ngx_completion_submit_t *submit)
{
    if (ngx_completion_claim_start(&submit->claim) == NGX_AGAIN) {
        return NGX_COMPLETION_SUBMIT_IN_CLAIM;
    }

    return ngx_completion_submit_claimed(submit);
}


static ngx_completion_submit_state_e
ngx_completion_submit_claimed(ngx_completion_submit_t *submit)
{
    ngx_completion_service_t  *service;

    service = submit->call.service;

    switch (submit->claim.state) {

    case NGX_COMPLETION_CLAIM_UNDERWAY:

        /* to wait for another node's would outlast the worker */

        if (ngx_exiting) {
            return ngx_completion_submit_failed(submit);
        }

        submit->pause = submit->pause
                            ? ngx_min(submit->pause * 2,
                                      NGX_COMPLETION_SUBMIT_LOOK)
                            : NGX_COMPLETION_SUBMIT_PAUSE;

        ngx_completion_zone_aside(service->zone, submit->lease,
                                  2 * NGX_COMPLETION_SUBMIT_LOOK);
        ngx_add_timer(&submit->timer, submit->pause);

        return NGX_COMPLETION_SUBMIT_IN_CLAIM;

    case NGX_COMPLETION_CLAIM_ACCEPTED:
        return ngx_completion_submit_learned(submit);

    case NGX_COMPLETION_CLAIM_UNKNOWN:
        return ngx_completion_submit_ended(submit,
                                           NGX_COMPLETION_OUTCOME_UNKNOWN, 0);

    case NGX_COMPLETION_CLAIM_CONFLICT:
        return ngx_completion_submit_ended(submit,
                                           NGX_COMPLETION_IDEMPOTENCY_MISMATCH,
                                           0);

    case NGX_COMPLETION_CLAIM_AWAY:
        return ngx_completion_submit_ended(submit,
                                           NGX_COMPLETION_REDIS_UNAVAILABLE,
                                           NGX_COMPLETION_SUBMIT_LOOK);

    default: /* NGX_COMPLETION_CLAIM_HELD, _NONE */
        break;
    }

    if (submit->pause) {

        /* nobody waited in line meanwhile */

        submit->pause = 0;
        submit->until = ngx_current_msec + service->zone->submit_queue_time
                        + NGX_COMPLETION_SUBMIT_LATE;
        ngx_completion_submit_deadline(submit, submit->until
                                       + service->provider.request_timeout);
    }

    return ngx_completion_submit_turn(submit);
}


/* another node's submit has come to an operation: it is this one's, too */

static ngx_completion_submit_state_e
ngx_completion_submit_learned(ngx_completion_submit_t *submit)
{
    ngx_completion_view_t      view;
    ngx_completion_found_t     end;
    ngx_completion_service_t  *service;

    service = submit->call.service;
    submit->id = submit->claim.id;

    ngx_memzero(&view, sizeof(ngx_completion_view_t));

    if (ngx_completion_zone_read(service->zone, &submit->id.upstream, 0, NULL,
                                 &view)
        == NGX_OK
        && (view.deleted
            || (!submit->claim.replayed
                && view.state == NGX_COMPLETION_RECORD_FINAL
                && !ngx_completion_state_is_shared(view.verdict))))
    {
        ngx_completion_claim_forget(&submit->claim);
        return ngx_completion_submit_claim(submit);
    }

    ngx_memzero(&end, sizeof(ngx_completion_found_t));

    end.state = NGX_COMPLETION_KEY_ENDED;
    end.id = submit->id;

    (void) ngx_completion_zone_release(service->zone, submit->lease,
                                       &submit->keys, &end);
    ngx_completion_news_changed(service);

    submit->lease = 0;
    submit->learned = 1;
    submit->found.replayed = submit->claim.replayed;
    submit->source = submit->pause ? NGX_COMPLETION_SOURCE_JOINED
                     : submit->claim.replayed ? NGX_COMPLETION_SOURCE_REPLAYED
                                              : NGX_COMPLETION_SOURCE_CACHED;

    return ngx_completion_submit_ended(submit, NGX_COMPLETION_OK, 0);
}


static ngx_completion_submit_state_e
ngx_completion_submit_line(ngx_completion_submit_t *submit, ngx_msec_t delay)
{
    ngx_msec_int_t             left;
    ngx_completion_service_t  *service;

    service = submit->call.service;

    submit->since = ngx_current_msec;
    submit->due = ngx_current_msec + delay;

    /* request_timeout counts from the call on, of what was not yet sent */

    if (submit->call.tries == 0 && !ngx_exiting) {
        ngx_completion_submit_deadline(submit,
                  submit->until + service->provider.request_timeout);
    }

    ngx_completion_claim_wait(&submit->claim);

    ngx_completion_metrics_add(&service->zone->metrics->queued, 1);

    left = ngx_completion_submit_left(submit);
    ngx_add_timer(&submit->timer, ngx_max(left, 1));

    ngx_completion_queue_enter(service, submit->lease, &submit->wait);

    return NGX_COMPLETION_SUBMIT_IN_QUOTA;
}


static ngx_completion_submit_state_e
ngx_completion_submit_call(ngx_completion_submit_t *submit)
{
    if (ngx_completion_claim_send(&submit->claim) == NGX_AGAIN) {
        return NGX_COMPLETION_SUBMIT_IN_SENDING;
    }

    if (submit->claim.state == NGX_COMPLETION_CLAIM_LOST) {
        return ngx_completion_submit_claim(submit);
    }

    if (submit->claim.state == NGX_COMPLETION_CLAIM_AWAY) {
        return ngx_completion_submit_claimed(submit);
    }

    if (submit->call.tries == 0) {
        ngx_completion_submit_hurry(submit);
    }

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
    ngx_completion_hold_t      hold;
    ngx_completion_outcome_e   outcome;
    ngx_completion_service_t  *service;

    call = &submit->call;
    service = submit->call.service;

    if (call->state == NGX_COMPLETION_CALL_TURN && !submit->unwanted) {
        return ngx_completion_submit_turn(submit);
    }

    outcome = call->answer.outcome;

    if (outcome == NGX_COMPLETION_OK) {
        submit->id.upstream = call->answer.operation.id;
        submit->id.submitted = ngx_time();
        submit->id.shared = submit->keys.shared;

        /* ahead of its end, which may be known already */

        ngx_completion_claim_end(&submit->claim, outcome, &submit->id);
        ngx_completion_keep_accepted(service, &submit->id, submit->lease,
                                     &submit->keys, submit->model,
                                     &call->answer, &call->log);

        if (submit->unwanted) {
            ngx_completion_submit_hold(submit, &hold);
            ngx_completion_submit_forget(service, &submit->id, &submit->keys,
                                         &hold);
        }

        return ngx_completion_submit_ended(submit, outcome, 0);
    }

    if (call->failed || submit->unwanted
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

    ngx_completion_call_report(call, NGX_LOG_WARN, &call->log);

    ngx_completion_zone_unsent(service->zone, submit->lease);
    ngx_add_timer(&submit->timer, pause);

    return NGX_COMPLETION_SUBMIT_IN_PAUSE;
}


/* may it be sent now? whatever it did before */

static ngx_completion_submit_state_e
ngx_completion_submit_turn(ngx_completion_submit_t *submit)
{
    ngx_int_t               rc;
    ngx_msec_t              delay;
    ngx_uint_t              waits;
    ngx_msec_int_t          left, limit;
    ngx_completion_call_t  *call;

    call = &submit->call;
    waits = (submit->state == NGX_COMPLETION_SUBMIT_IN_QUOTA);

    if (ngx_exiting) {
        ngx_completion_submit_hurry(submit);
    }

    left = ngx_completion_submit_left(submit);
    limit = call->deadline - ngx_current_msec;
    limit = ngx_max(limit, 0);

    rc = ngx_completion_zone_turn(call->service->zone, submit->lease,
                           ngx_min(limit, (ngx_msec_int_t)
                                   call->service->provider.request_timeout),
                           limit, &delay);

    if (rc == NGX_AGAIN) {
        submit->due = ngx_current_msec + delay;
    }

    /*
     * Who waits already is not sent away for an estimate.  Without a record,
     * as the zone was made anew or the worker stood still for too long, what
     * was not sent begins again, unless it is others' whose client is there.
     */

    if (left <= 0
        || (rc == NGX_AGAIN && (ngx_msec_int_t) delay >= left
            && (!waits || ngx_exiting))
        || (rc == NGX_DECLINED
            && (call->tries || (submit->client == NULL
                                && ngx_completion_submit_keyed(submit)))))
    {
        return ngx_completion_submit_late(submit);
    }

    if (rc == NGX_AGAIN) {

        if (!waits) {
            return ngx_completion_submit_line(submit, delay);
        }

        if (!submit->wait.waiting) {
            ngx_completion_news_wait(call->service,
                                  ngx_completion_lease_hash(submit->lease),
                                  &submit->wait);
        }

        return NGX_COMPLETION_SUBMIT_IN_QUOTA;
    }

    if (waits) {
        ngx_completion_submit_leave(submit);
    }

    return (rc == NGX_OK) ? ngx_completion_submit_call(submit)
                          : ngx_completion_submit_look(submit);
}


static ngx_completion_submit_state_e
ngx_completion_submit_late(ngx_completion_submit_t *submit)
{
    ngx_msec_int_t  left;

    if (submit->state == NGX_COMPLETION_SUBMIT_IN_QUOTA) {
        ngx_completion_submit_leave(submit);
    }

    if (submit->call.tries) {
        return ngx_completion_submit_refused(submit);
    }

    left = submit->due - ngx_current_msec;

    return ngx_completion_submit_ended(submit, NGX_COMPLETION_QUOTA_EXCEEDED,
                                       ngx_max(left, 0));
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
ngx_completion_submit_end(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event)
{
    ngx_int_t                     rc;
    ngx_completion_found_t        end;
    ngx_completion_service_t     *service;
    ngx_completion_metrics_sh_t  *metrics;

    service = submit->call.service;
    metrics = service->zone->metrics;

    ngx_completion_claim_end(&submit->claim, submit->outcome, &submit->id);

    if (submit->lease) {
        rc = NGX_DONE;

        if (submit->outcome != NGX_COMPLETION_OK) {
            ngx_memzero(&end, sizeof(ngx_completion_found_t));

            /* whoever goes by it may do better: send it, or know later */

            end.state = (event == NGX_COMPLETION_SUBMIT_DROPPED
                         || submit->claim.state > NGX_COMPLETION_CLAIM_LOST)
                            ? NGX_COMPLETION_KEY_NONE
                            : NGX_COMPLETION_KEY_ENDED;
            end.outcome = submit->outcome;
            end.retry_after = submit->retry_after;

            rc = ngx_completion_zone_release(service->zone, submit->lease,
                                             &submit->keys, &end);
        }

        if (rc == NGX_OK || ngx_completion_submit_keyed(submit)) {
            ngx_completion_news_changed(service);
        }

        if (submit->call.tries == 0) {
            submit->source = NGX_COMPLETION_SOURCE_ZONE;
        }
    }

    if (event == NGX_COMPLETION_SUBMIT_DROPPED) {
        return;
    }

    ngx_completion_metrics_add(submit->outcome == NGX_COMPLETION_OK
                                   ? &metrics->accepted[submit->source]
                                   : &metrics->refused[submit->outcome], 1);

    if (submit->outcome != NGX_COMPLETION_OK) {
        ngx_completion_submit_report(submit);
    }
}


static void
ngx_completion_submit_leave(ngx_completion_submit_t *submit)
{
    ngx_msec_t                 waited;
    ngx_completion_service_t  *service;

    service = submit->call.service;
    waited = ngx_current_msec - submit->since;

    submit->queued += waited;
    ngx_completion_metrics_add(&service->zone->metrics->queued_time, waited);

    ngx_completion_timer_stop(&submit->timer);
    ngx_completion_queue_leave(service, &submit->wait);
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


static void
ngx_completion_submit_answered(ngx_completion_claim_t *claim)
{
    ngx_completion_submit_t  *submit;

    submit = (ngx_completion_submit_t *)
                 ((u_char *) claim - offsetof(ngx_completion_submit_t, claim));

    (void) ngx_completion_submit_event(submit, NGX_COMPLETION_SUBMIT_CLAIMED);
}


static ngx_int_t
ngx_completion_submit_fence(ngx_completion_call_t *call)
{
    ngx_int_t                 rc;
    ngx_completion_submit_t  *submit;

    submit = (ngx_completion_submit_t *) call;

    rc = ngx_completion_zone_fence(call->service->zone, submit->lease);

    if (rc == NGX_OK) {
        ngx_completion_submit_count(submit, 0);
    }

    return rc;
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
    ngx_completion_submit_leaves(submit, NGX_COMPLETION_SUBMIT_LEFT);
}


void
ngx_completion_submit_drop(ngx_completion_submit_t *submit,
    ngx_uint_t unwanted)
{
    submit->unwanted = unwanted;

    ngx_completion_submit_leaves(submit, NGX_COMPLETION_SUBMIT_DROPPED);
}


static void
ngx_completion_submit_leaves(ngx_completion_submit_t *submit,
    ngx_completion_submit_event_e event)
{
    submit->client = NULL;
    submit->data = NULL;
    submit->log = &submit->call.log;

    (void) ngx_completion_submit_event(submit, event);
}


void
ngx_completion_submit_destroy(ngx_completion_submit_t *submit)
{
    ngx_completion_timer_stop(&submit->timer);
    ngx_completion_claim_cancel(&submit->claim);

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


ngx_uint_t
ngx_completion_submits_any(void)
{
    return !ngx_queue_empty(&ngx_completion_submits);
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

        if (submit->state == NGX_COMPLETION_SUBMIT_IN_QUOTA) {
            ngx_completion_submit_leave(submit);
        }

        ngx_completion_wait_end(&submit->wait);
        ngx_completion_call_abort(&submit->call);
        ngx_completion_submit_destroy(submit);
    }
}
