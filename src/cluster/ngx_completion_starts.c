
/*
 *               some are wanted, some lapse
 *     look -----------------------------------> asked --> an answer --> look
 *      ^  |                                       |
 *      |  '--> timer                              '-----> none: away
 *      '---------'
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <ngx_completion_scripts.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_starts.h"


/* what an argument takes: 64 bits, and a colon and two digits more */
#define NGX_COMPLETION_STARTS_NUMBER  (NGX_INT64_LEN + 3)

/* the nodes and the rates; and behind them all else */
#define NGX_COMPLETION_STARTS_KEYS    (1 + NGX_COMPLETION_SUBMIT_RATES)
#define NGX_COMPLETION_STARTS_KEY     (sizeof("submits:") - 1 + NGX_INT64_LEN)
#define NGX_COMPLETION_STARTS_ARGS                                            \
    (NGX_COMPLETION_STARTS_KEYS + 4 + 2 * NGX_COMPLETION_SUBMIT_RATES         \
     + NGX_COMPLETION_POOL)


struct ngx_completion_starts_s {
    ngx_completion_redis_t            *redis;
    ngx_completion_zone_t             *zone;
    ngx_completion_kind_e              kind;
    ngx_completion_rate_t              rates[NGX_COMPLETION_SUBMIT_RATES];
    ngx_completion_starts_handler_pt   handler;
    void                              *data;

    ngx_uint_t                         nkeys;
    ngx_str_t                          keys[NGX_COMPLETION_STARTS_KEYS];

    ngx_completion_redis_call_t        call;
    uint64_t                           token;  /* of the question under way */
    uint32_t                           turn;
    ngx_msec_t                         width;
    ngx_msec_t                         sent;
    ngx_event_t                        timer;
    unsigned                           leaves:1;  /* once it is answered */
    unsigned                           left:1;
};


typedef struct {
    ngx_str_t                      args[NGX_COMPLETION_STARTS_ARGS];
    ngx_uint_t                     n;
    u_char                        *last;
    u_char                         buf[NGX_COMPLETION_STARTS_ARGS
                                       * NGX_COMPLETION_STARTS_NUMBER];
} ngx_completion_starts_args_t;


static void ngx_completion_starts_timer(ngx_event_t *ev);
static ngx_int_t ngx_completion_starts_ask(ngx_completion_starts_t *starts,
    ngx_completion_pool_ask_t *ask);
static void ngx_completion_starts_keys(ngx_completion_starts_t *starts,
    ngx_str_t *names, u_char *p);
static void ngx_completion_starts_arg(ngx_completion_starts_args_t *args,
    u_char *last);
static void ngx_completion_starts_answered(ngx_completion_redis_call_t *call);
static ngx_int_t ngx_completion_starts_read(ngx_completion_starts_t *starts,
    ngx_completion_reply_t *reply, ngx_completion_pool_answer_t *answer);
static void ngx_completion_starts_away(ngx_completion_starts_t *starts);


static ngx_completion_redis_script_t  ngx_completion_starts_script = {
    ngx_string(NGX_COMPLETION_STARTS_LUA), { 0 }
};


/* in the names of keys */
static const char  *ngx_completion_starts_names[NGX_COMPLETION_QUOTAS] = {
    "submit", "poll"
};


ngx_completion_starts_t *
ngx_completion_starts_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone, ngx_completion_kind_e kind,
    ngx_completion_starts_handler_pt handler, void *data, ngx_log_t *log)
{
    ngx_str_t                *names;
    ngx_completion_starts_t  *starts;

    names = &ngx_completion_redis_conf(redis)->names;

    starts = ngx_pcalloc(ngx_cycle->pool,
                         sizeof(ngx_completion_starts_t)
                         + NGX_COMPLETION_STARTS_KEYS
                           * (names->len + NGX_COMPLETION_STARTS_KEY));
    if (starts == NULL) {
        return NULL;
    }

    starts->redis = redis;
    starts->zone = zone;
    starts->kind = kind;
    starts->handler = handler;
    starts->data = data;

    /* as they are here: a reload changes those in the zone */

    if (kind == NGX_COMPLETION_KIND_SUBMIT) {
        ngx_memcpy(starts->rates, zone->submit_rates, sizeof(starts->rates));

    } else {
        starts->rates[0] = zone->poll_rate;
    }

    ngx_completion_starts_keys(starts, names, (u_char *) (starts + 1));

    starts->call.handler = ngx_completion_starts_answered;
    starts->call.data = starts;
    starts->call.kind = NGX_COMPLETION_METRICS_REDIS_STARTS;

    ngx_completion_timer_init(&starts->timer, ngx_completion_starts_timer,
                              log);
    starts->timer.cancelable = 1;

    ngx_completion_redis_script_init(&ngx_completion_starts_script);

    zone->shares[kind] = (starts->nkeys > 1);

    return starts;
}


static void
ngx_completion_starts_keys(ngx_completion_starts_t *starts, ngx_str_t *names,
    u_char *p)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMPLETION_STARTS_KEYS; i++) {

        if (i && starts->rates[i - 1].n == 0) {
            break;
        }

        starts->keys[i].data = p;

        p = i ? ngx_sprintf(p, "%V%ss:%M", names,
                            ngx_completion_starts_names[starts->kind],
                            starts->rates[i - 1].unit)
              : ngx_sprintf(p, "%Vnodes", names);

        starts->keys[i].len = p - starts->keys[i].data;
    }

    starts->nkeys = i;
}


void
ngx_completion_starts_quit(ngx_completion_starts_t *starts)
{
    ngx_completion_pool_ask_t  ask;

    /* an answer that comes later would bring the node back */

    starts->leaves = (starts->call.slot != NULL);

    if (starts->leaves || starts->left
        || ngx_completion_zone_pool_quit(starts->zone, starts->kind, &ask)
           != NGX_OK)
    {
        return;
    }

    starts->left = 1;
    ngx_completion_timer_stop(&starts->timer);

    (void) ngx_completion_starts_ask(starts, &ask);
}


void
ngx_completion_starts_exit(ngx_completion_starts_t *starts)
{
    ngx_completion_redis_cancel(&starts->call);
    ngx_completion_timer_stop(&starts->timer);
}


static void
ngx_completion_starts_timer(ngx_event_t *ev)
{
    ngx_completion_starts_t  *starts;

    starts = ngx_completion_timer_owner(ev, ngx_completion_starts_t, timer);

    ngx_completion_starts_look(starts);
}


void
ngx_completion_starts_look(ngx_completion_starts_t *starts)
{
    ngx_msec_t                 wait;
    ngx_completion_pool_ask_t  ask;

    if (!starts->zone->shares[starts->kind] || starts->call.slot) {
        return;
    }

    if (ngx_completion_redis_away(starts->redis)) {
        ngx_completion_starts_away(starts);
        return;
    }

    if (ngx_completion_zone_pool_ask(starts->zone, starts->kind,
                      2 * ngx_completion_redis_conf(starts->redis)->timeout,
                      &ask, &wait)
        != NGX_OK)
    {
        ngx_completion_timer_stop(&starts->timer);

        if (wait) {
            ngx_add_timer(&starts->timer, wait);
        }

        return;
    }

    /* a submit that comes after all brings the node back */

    starts->left = 0;

    if (ngx_completion_starts_ask(starts, &ask) != NGX_AGAIN) {
        ngx_completion_starts_away(starts);
    }
}


static ngx_int_t
ngx_completion_starts_ask(ngx_completion_starts_t *starts,
    ngx_completion_pool_ask_t *ask)
{
    ngx_uint_t                     i;
    ngx_completion_rate_t         *rates;
    ngx_completion_starts_args_t   args;

    rates = starts->rates;
    args.n = starts->nkeys;
    args.last = args.buf;

    ngx_memcpy(args.args, starts->keys, starts->nkeys * sizeof(ngx_str_t));

    ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%016xL",
                                                 ask->node));
    ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%016xL",
                                                 ask->token));
    ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%i",
                                                 starts->left ? -1
                                                 : (ngx_int_t) ask->wanted));
    ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%M",
                                                 ask->width));

    for (i = 0; i < starts->nkeys - 1; i++) {
        ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%ui",
                                                     rates[i].n));
        ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%M",
                                                     rates[i].unit));
    }

    for (i = 0; i < ask->nunused; i++) {
        ngx_completion_starts_arg(&args, ngx_sprintf(args.last, "%016xL:%ui",
                                                     ask->unused[i].token,
                                                     ask->unused[i].n));
    }

    starts->token = ask->token;
    starts->turn = ask->turn;
    starts->width = ask->width;
    starts->sent = ngx_current_msec;

    return ngx_completion_redis_script(starts->redis, &starts->call,
                                       &ngx_completion_starts_script,
                                       starts->nkeys, args.n, args.args);
}


static void
ngx_completion_starts_arg(ngx_completion_starts_args_t *args, u_char *last)
{
    args->args[args->n].data = args->last;
    args->args[args->n++].len = last - args->last;
    args->last = last;
}


static void
ngx_completion_starts_answered(ngx_completion_redis_call_t *call)
{
    ngx_int_t                      rc;
    ngx_completion_starts_t       *starts;
    ngx_completion_pool_answer_t   answer;

    starts = call->data;

    /* it has left, unless somebody waits again */

    if (starts->left) {
        starts->handler(starts->data, 0);
        return;
    }

    if (call->reply == NULL
        || ngx_completion_starts_read(starts, call->reply, &answer) != NGX_OK)
    {
        ngx_completion_starts_away(starts);
        return;
    }

    rc = ngx_completion_zone_pool_answer(starts->zone, starts->kind, &answer);

    starts->handler(starts->data, rc == NGX_OK);

    ngx_completion_starts_look(starts);

    if (starts->leaves) {
        ngx_completion_starts_quit(starts);
    }
}


/*
 * The server's clock is ahead of this one by no less than what it said less
 * this moment, and by no more than what it said less the moment of the call:
 * a start is never taken to be due too early, nor to be good for too long.
 */

static ngx_int_t
ngx_completion_starts_read(ngx_completion_starts_t *starts,
    ngx_completion_reply_t *reply, ngx_completion_pool_answer_t *answer)
{
    int64_t                   now, left;
    ngx_uint_t                i;
    ngx_completion_reply_t  **said;

    said = reply->elements;

    if (reply->type != NGX_COMPLETION_REPLY_ARRAY || reply->n < 3
        || reply->n > 3 + NGX_COMPLETION_POOL_ASK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < reply->n; i++) {
        if (said[i]->type != NGX_COMPLETION_REPLY_INTEGER) {
            return NGX_ERROR;
        }
    }

    /* the worker may have stood still in this very turn of its loop */

    ngx_time_update();

    now = said[0]->integer;

    answer->token = starts->token;
    answer->turn = starts->turn;
    answer->lag = ngx_current_msec - starts->sent;
    answer->nodes = (ngx_uint_t) ngx_max(said[1]->integer, 1);
    answer->due = ngx_current_msec + (ngx_msec_t) (said[2]->integer - now);
    answer->n = reply->n - 3;

    for (i = 0; i < answer->n; i++) {
        left = said[3 + i]->integer - now;

        answer->from[i] = ngx_current_msec + (ngx_msec_t) left;
        answer->to[i] = starts->sent + (ngx_msec_t) left + starts->width;
    }

    return NGX_OK;
}


static void
ngx_completion_starts_away(ngx_completion_starts_t *starts)
{
    ngx_int_t  rc;

    rc = ngx_completion_zone_pool_away(starts->zone, starts->kind,
                            ngx_completion_redis_conf(starts->redis)->nodes);

    if (rc != NGX_AGAIN) {
        starts->handler(starts->data, rc == NGX_OK);
    }
}
