
/*
 *     due ------------------.
 *                           V           an answer
 *     zone --> take --> under way --------------------> done
 *      ^                 |                                |
 *      '-----------------'  none: it goes back            '--> the next ones
 *
 * So many are under way in a worker at most; the others wait in the zone.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_errands.h"


#define NGX_COMPLETION_ERRANDS_UNDERWAY  64

/* how long what a worker has left undone waits for another, ms */
#define NGX_COMPLETION_ERRANDS_LOOK      1000


typedef struct {
    ngx_queue_t                          queue;
    ngx_completion_errands_t            *errands;
    ngx_completion_redis_call_t          call;
    ngx_completion_errand_t              errand;
} ngx_completion_errands_slot_t;


struct ngx_completion_errands_s {
    ngx_completion_redis_t              *redis;
    ngx_completion_zone_t               *zone;

    const ngx_completion_errand_kind_t  *kinds[NGX_COMPLETION_ERRANDS];
    void                                *data[NGX_COMPLETION_ERRANDS];

    ngx_queue_t                          free;
    ngx_event_t                          timer;

    void                               (*handler)(void *data);
    void                                *handler_data;

    ngx_completion_errands_slot_t
                                slots[NGX_COMPLETION_ERRANDS_UNDERWAY];
};


static void ngx_completion_errands_timer(ngx_event_t *ev);
static ngx_int_t ngx_completion_errands_look(
    ngx_completion_errands_t *errands);
static ngx_int_t ngx_completion_errands_call(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand);
static void ngx_completion_errands_undone(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand);
static void ngx_completion_errands_answered(
    ngx_completion_redis_call_t *call);
static void ngx_completion_errands_told(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand, ngx_completion_reply_t *reply);


ngx_completion_errands_t *
ngx_completion_errands_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone, ngx_log_t *log)
{
    ngx_uint_t                      i;
    ngx_completion_errands_t       *errands;
    ngx_completion_errands_slot_t  *slot;

    errands = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_errands_t));
    if (errands == NULL) {
        return NULL;
    }

    errands->redis = redis;
    errands->zone = zone;

    ngx_queue_init(&errands->free);

    for (i = 0; i < NGX_COMPLETION_ERRANDS_UNDERWAY; i++) {
        slot = &errands->slots[i];

        slot->errands = errands;
        slot->call.handler = ngx_completion_errands_answered;
        slot->call.data = slot;
        slot->call.ahead = 1;

        ngx_queue_insert_tail(&errands->free, &slot->queue);
    }

    ngx_completion_timer_init(&errands->timer, ngx_completion_errands_timer,
                              log);
    errands->timer.cancelable = 1;

    ngx_add_timer(&errands->timer, NGX_COMPLETION_ERRANDS_LOOK);

    return errands;
}


void
ngx_completion_errands_kind(ngx_completion_errands_t *errands,
    ngx_uint_t what, const ngx_completion_errand_kind_t *kind, void *data)
{
    errands->kinds[what] = kind;
    errands->data[what] = data;
}


void
ngx_completion_errands_exit(ngx_completion_errands_t *errands)
{
    ngx_uint_t  i;

    ngx_completion_timer_stop(&errands->timer);

    for (i = 0; i < NGX_COMPLETION_ERRANDS_UNDERWAY; i++) {
        ngx_completion_redis_cancel(&errands->slots[i].call);
    }
}


void
ngx_completion_errand_begin(ngx_completion_errands_t *errands,
    ngx_uint_t what, ngx_completion_errand_t *errand)
{
    ngx_memzero(errand, sizeof(ngx_completion_errand_t));

    errand->ms = 2 * ngx_completion_redis_conf(errands->redis)->timeout;
    errand->data[errand->len++] = (u_char) what;
}


void
ngx_completion_errands_post(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand)
{
    ngx_completion_zone_errand(errands->zone, errand);
    ngx_completion_errands_do(errands, errand);
}


void
ngx_completion_errands_do(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand)
{
    if (errand->due) {
        (void) ngx_completion_errands_call(errands, errand);
    }
}


void
ngx_completion_errands_reached(ngx_completion_errands_t *errands,
    void (*handler)(void *data), void *data)
{
    errands->handler = handler;
    errands->handler_data = data;

    ngx_completion_redis_behind(errands->redis, 1);

    (void) ngx_completion_errands_look(errands);
}


static void
ngx_completion_errands_timer(ngx_event_t *ev)
{
    ngx_completion_errands_t  *errands;

    errands = ngx_completion_timer_owner(ev, ngx_completion_errands_t, timer);

    if (!ngx_completion_redis_away(errands->redis)) {
        (void) ngx_completion_errands_look(errands);
    }

    ngx_add_timer(ev, NGX_COMPLETION_ERRANDS_LOOK);
}


/* NGX_OK: all that is kept is under way; NGX_AGAIN: it is not */

static ngx_int_t
ngx_completion_errands_look(ngx_completion_errands_t *errands)
{
    ngx_msec_t                ms;
    ngx_completion_errand_t   errand;
    void                    (*handler)(void *data);

    ms = 2 * ngx_completion_redis_conf(errands->redis)->timeout;

    for ( ;; ) {

        if (ngx_queue_empty(&errands->free)) {
            return NGX_AGAIN;
        }

        if (ngx_completion_zone_errand_take(errands->zone, ms, &errand)
            != NGX_OK)
        {
            break;
        }

        if (ngx_completion_errands_call(errands, &errand) != NGX_OK) {
            return NGX_AGAIN;
        }
    }

    handler = errands->handler;

    if (handler) {
        errands->handler = NULL;

        ngx_completion_redis_behind(errands->redis, 0);
        handler(errands->handler_data);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_errands_call(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand)
{
    ngx_queue_t                         *q;
    ngx_completion_errands_slot_t       *slot;
    const ngx_completion_errand_kind_t  *kind;

    kind = errands->kinds[errand->data[0]];

    if (ngx_queue_empty(&errands->free)) {

        /* it is the next one's whose turn comes */

        if (errand->number) {
            ngx_completion_zone_errand_yield(errands->zone, errand);
            return NGX_DECLINED;
        }

    } else {
        q = ngx_queue_head(&errands->free);
        slot = ngx_queue_data(q, ngx_completion_errands_slot_t, queue);

        slot->errand = *errand;
        slot->call.kind = kind->kind;

        if (kind->call(errands->data[errand->data[0]], &slot->errand,
                       &slot->call)
            == NGX_AGAIN)
        {
            ngx_queue_remove(q);
            return NGX_OK;
        }
    }

    ngx_completion_errands_undone(errands, errand);

    return NGX_DECLINED;
}


static void
ngx_completion_errands_undone(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand)
{
    if (errand->number) {
        ngx_completion_zone_errand_yield(errands->zone, errand);
    }

    ngx_completion_errands_told(errands, errand, NULL);
}


static void
ngx_completion_errands_answered(ngx_completion_redis_call_t *call)
{
    ngx_completion_errand_t         errand;
    ngx_completion_errands_t       *errands;
    ngx_completion_errands_slot_t  *slot;

    slot = call->data;
    errands = slot->errands;
    errand = slot->errand;

    ngx_queue_insert_tail(&errands->free, &slot->queue);

    if (call->reply == NULL) {
        ngx_completion_errands_undone(errands, &errand);
        return;
    }

    if (errand.number) {
        ngx_completion_zone_errand_done(errands->zone, &errand);
    }

    ngx_completion_errands_told(errands, &errand, call->reply);

    (void) ngx_completion_errands_look(errands);
}


static void
ngx_completion_errands_told(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand, ngx_completion_reply_t *reply)
{
    const ngx_completion_errand_kind_t  *kind;

    kind = errands->kinds[errand->data[0]];

    if (kind->answered) {
        kind->answered(errands->data[errand->data[0]], errand, reply);
    }
}
