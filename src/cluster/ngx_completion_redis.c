
/*
 *                call          opened         PONG
 *     NOWHERE --------> OPENING -----> GREETING -----> READY
 *      |   ^ ^             |              |              |
 *      |   | '-------------'--- fault ----'--------------'
 *      |   |    (away: calls are declined from now on, those under way fail;
 *      |   |     a timer, later each time, goes on to OPENING)
 *      |   |
 *      |   '----------- closed while nobody waits for a reply -- READY
 *      '--> OPENING, if somebody calls
 *
 * READY ends being away.  What an error of a call had brought about is over
 * only when a call of that kind goes well: PING is answered by a server that
 * takes no writes.
 *
 * Calls wait until READY in one list, and for their replies in another one,
 * whose order is the connection's.  One who goes leaves its slot in that.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <ngx_sha1.h>

#include "ngx_completion_redis_wire.h"


/* between two tries, ms: half of it and a random part of as much again */
#define NGX_COMPLETION_REDIS_PAUSE      100
#define NGX_COMPLETION_REDIS_PAUSE_MAX  2000

#define NGX_COMPLETION_REDIS_READ       16384

/* of what a server says, in the log */
#define NGX_COMPLETION_REDIS_SAID       160


static void ngx_completion_redis_wake(ngx_completion_redis_t *redis);
static void ngx_completion_redis_work(ngx_event_t *ev);
static void ngx_completion_redis_connect(ngx_completion_redis_t *redis);
static void ngx_completion_redis_opened(void *data);
static void ngx_completion_redis_attempt(ngx_event_t *ev);
static void ngx_completion_redis_reached(ngx_completion_redis_call_t *call);
static void ngx_completion_redis_back(ngx_completion_redis_t *redis);
static void ngx_completion_redis_readable(void *data);
static void ngx_completion_redis_writable(void *data);
static void ngx_completion_redis_ended(ngx_completion_redis_t *redis,
    ngx_err_t err);
static void ngx_completion_redis_replied(ngx_completion_redis_t *redis,
    ngx_completion_reply_t *reply);
static ngx_int_t ngx_completion_redis_refused(ngx_completion_redis_t *redis,
    ngx_completion_redis_slot_t *slot, ngx_str_t *text);
static void ngx_completion_redis_timeout(ngx_event_t *ev);
static void ngx_completion_redis_failed(void *data,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text);
static void ngx_completion_redis_fail(ngx_completion_redis_t *redis,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text,
    ngx_completion_metrics_redis_call_e kind);
static void ngx_completion_redis_tell(ngx_completion_redis_t *redis,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text);
static void ngx_completion_redis_close(ngx_completion_redis_t *redis);


ngx_completion_redis_t *
ngx_completion_redis_create(ngx_completion_redis_conf_t *conf,
    ngx_str_t *name, ngx_completion_zone_t *zone, ngx_array_t *id_keys,
    ngx_log_t *log)
{
    ngx_completion_redis_t  *redis;

    redis = ngx_calloc(sizeof(ngx_completion_redis_t), log);
    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->name = name;
    redis->zone = zone;
    redis->id_keys = id_keys;
    redis->log = log;

    redis->link.conf = conf;
    redis->link.log = log;
    redis->link.data = redis;
    redis->link.opened = ngx_completion_redis_opened;
    redis->link.readable = ngx_completion_redis_readable;
    redis->link.writable = ngx_completion_redis_writable;
    redis->link.failed = ngx_completion_redis_failed;

    redis->password.file = &conf->password;
    redis->password.secret = conf->secret;
    redis->password.info = conf->info;

    ngx_queue_init(&redis->waiting);
    ngx_queue_init(&redis->sent);
    redis->last = &redis->out;

    ngx_completion_timer_init(&redis->work, ngx_completion_redis_work, log);
    ngx_completion_timer_init(&redis->timer, ngx_completion_redis_timeout,
                              log);
    ngx_completion_timer_init(&redis->attempt, ngx_completion_redis_attempt,
                              log);

    /* a worker that quits waits for its calls, not for tries of nobody's */

    redis->attempt.cancelable = 1;

    return redis;
}


ngx_completion_redis_conf_t *
ngx_completion_redis_conf(ngx_completion_redis_t *redis)
{
    return redis->conf;
}


void
ngx_completion_redis_on_reach(ngx_completion_redis_t *redis,
    void (*handler)(void *data), void *data)
{
    redis->on_reach = handler;
    redis->on_reach_data = data;
}


void
ngx_completion_redis_reach(ngx_completion_redis_t *redis)
{
    if (redis->state == NGX_COMPLETION_REDIS_NOWHERE && !redis->away) {
        ngx_completion_redis_wake(redis);
    }
}


ngx_uint_t
ngx_completion_redis_away(ngx_completion_redis_t *redis)
{
    return redis->away;
}


void
ngx_completion_redis_behind(ngx_completion_redis_t *redis, ngx_uint_t behind)
{
    redis->behind = behind;
}


ngx_int_t
ngx_completion_redis_call(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_uint_t n, ngx_str_t *args)
{
    ngx_completion_redis_slot_t  *slot;

    if (redis->away || (redis->behind && !call->ahead)) {
        return NGX_DECLINED;
    }

    slot = ngx_completion_redis_slot(redis, call, n, args);
    if (slot == NULL) {
        return NGX_DECLINED;
    }

    if (redis->state == NGX_COMPLETION_REDIS_READY) {
        ngx_completion_redis_send(redis, slot);

    } else {
        ngx_queue_insert_tail(&redis->waiting, &slot->queue);
    }

    if (!redis->timer.timer_set) {
        redis->late = 0;
        ngx_add_timer(&redis->timer, redis->conf->timeout);
    }

    /* what is called in one turn of the event loop goes out together */

    ngx_completion_redis_wake(redis);

    return NGX_AGAIN;
}


ngx_int_t
ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args)
{
    u_char      number[NGX_INT_T_LEN];
    ngx_str_t   argv[NGX_COMPLETION_REDIS_ARGS];
    ngx_uint_t  i;

    if (n > NGX_COMPLETION_REDIS_ARGS - 3) {
        return NGX_DECLINED;
    }

    ngx_str_set(&argv[0], "EVALSHA");
    argv[1].data = script->sha;
    argv[1].len = sizeof(script->sha);
    argv[2].data = number;
    argv[2].len = ngx_sprintf(number, "%ui", nkeys) - number;

    for (i = 0; i < n; i++) {
        argv[3 + i] = args[i];
    }

    if (ngx_completion_redis_call(redis, call, 3 + n, argv) != NGX_AGAIN) {
        return NGX_DECLINED;
    }

    call->slot->script = script;

    return NGX_AGAIN;
}


void
ngx_completion_redis_script_init(ngx_completion_redis_script_t *script)
{
    u_char      md[20];
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, script->text.data, script->text.len);
    ngx_sha1_final(md, &sha1);

    (void) ngx_hex_dump(script->sha, md, sizeof(md));
}


void
ngx_completion_redis_cancel(ngx_completion_redis_call_t *call)
{
    if (call->slot) {
        call->slot->call = NULL;
        call->slot = NULL;
    }
}


static void
ngx_completion_redis_wake(ngx_completion_redis_t *redis)
{
    /* that of a worker that quits may come outside of the loop's turn */

    if (!redis->work.posted) {
        ngx_post_event(&redis->work, ngx_exiting ? &ngx_posted_next_events
                                                 : &ngx_posted_events);
    }
}


static void
ngx_completion_redis_work(ngx_event_t *ev)
{
    ngx_completion_redis_t  *redis;

    redis = ngx_completion_timer_owner(ev, ngx_completion_redis_t, work);

    if (redis->state != NGX_COMPLETION_REDIS_NOWHERE) {
        ngx_completion_redis_writable(redis);

    } else if (!redis->away) {
        ngx_completion_redis_connect(redis);
    }
}


static void
ngx_completion_redis_connect(ngx_completion_redis_t *redis)
{
    redis->reader = ngx_completion_redis_reader_create(redis->log);

    if (redis->reader == NULL) {
        ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_MEMORY,
                                    0, "no memory");
        return;
    }

    redis->state = NGX_COMPLETION_REDIS_OPENING;
    ngx_add_timer(&redis->attempt, redis->conf->timeout);

    ngx_completion_redis_link_open(&redis->link);
}


/* one that is under way takes too long, or the next one is due */

static void
ngx_completion_redis_attempt(ngx_event_t *ev)
{
    ngx_completion_redis_t  *redis;

    redis = ngx_completion_timer_owner(ev, ngx_completion_redis_t, attempt);

    if (redis->state == NGX_COMPLETION_REDIS_NOWHERE) {
        ngx_completion_redis_connect(redis);
        return;
    }

    ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_TIMEOUT, 0,
                                redis->state == NGX_COMPLETION_REDIS_OPENING
                                    ? "no connection within \"timeout\""
                                    : "no answer within \"timeout\"");
}


static void
ngx_completion_redis_opened(void *data)
{
    ngx_completion_redis_t *redis = data;

    redis->state = NGX_COMPLETION_REDIS_GREETING;

    if (ngx_completion_redis_greet(redis, ngx_completion_redis_reached)
        != NGX_OK)
    {
        ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_MEMORY,
                                    0, "no memory");
        return;
    }

    ngx_completion_redis_writable(redis);
}


static void
ngx_completion_redis_reached(ngx_completion_redis_call_t *call)
{
    ngx_queue_t                  *q, early;
    ngx_completion_redis_t       *redis;
    ngx_completion_redis_slot_t  *slot;

    if (call->reply == NULL) {
        return;
    }

    redis = call->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, redis->log, 0,
                   "completion redis: \"%V\" is ready", &redis->conf->url);

    ngx_completion_timer_stop(&redis->attempt);

    redis->state = NGX_COMPLETION_REDIS_READY;
    redis->away = 0;

    if (redis->told && redis->doubted == NGX_COMPLETION_REDIS_ITSELF) {
        ngx_completion_redis_back(redis);
    }

    /* what is called from in there goes ahead of those that wait */

    ngx_queue_init(&early);

    if (!ngx_queue_empty(&redis->waiting)) {
        ngx_queue_add(&early, &redis->waiting);
        ngx_queue_init(&redis->waiting);
    }

    if (redis->on_reach) {
        redis->on_reach(redis->on_reach_data);
    }

    while (!ngx_queue_empty(&early)) {
        q = ngx_queue_head(&early);
        ngx_queue_remove(q);

        slot = ngx_queue_data(q, ngx_completion_redis_slot_t, queue);

        if (slot->call) {
            ngx_completion_redis_send(redis, slot);

        } else {
            ngx_completion_redis_slot_free(slot);
        }
    }

    ngx_completion_redis_wake(redis);
}


static void
ngx_completion_redis_back(ngx_completion_redis_t *redis)
{
    ngx_uint_t  level;

    redis->told = 0;
    redis->pause = 0;

    level = ngx_completion_zone_away(redis->zone, 0) ? NGX_LOG_NOTICE
                                                     : NGX_LOG_INFO;

    ngx_log_error(level, redis->log, 0,
                  "redis \"%V\" of provider \"%V\" is reachable again",
                  &redis->conf->url, redis->name);
}


static void
ngx_completion_redis_readable(void *data)
{
    ngx_completion_redis_t *redis = data;

    u_char                         buf[NGX_COMPLETION_REDIS_READ];
    ssize_t                        n;
    ngx_int_t                      rc;
    ngx_connection_t              *c;
    ngx_completion_reply_t        *reply;
    ngx_completion_redis_reader_t *reader;

    c = ngx_completion_redis_link_connection(&redis->link);

    /* the worker quits, and nobody waits */

    if (c->close && ngx_completion_redis_rests(redis)) {
        ngx_completion_redis_close(redis);
        return;
    }

    reader = redis->reader;

    for ( ;; ) {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            ngx_completion_redis_ended(redis, n ? ngx_socket_errno : 0);
            return;
        }

        rc = ngx_completion_redis_reader_feed(reader, buf, n);

        while (rc == NGX_OK) {
            rc = ngx_completion_redis_reader_next(reader, &reply);

            if (rc == NGX_OK) {
                ngx_completion_redis_replied(redis, reply);

                if (redis->reader != reader) {
                    return;
                }
            }
        }

        if (rc == NGX_ERROR) {
            ngx_completion_redis_failed(redis,
                                     NGX_COMPLETION_METRICS_REDIS_UNREADABLE,
                                     0, "its reply is not readable, or longer "
                                     "than 256k");
            return;
        }
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_MEMORY,
                                    0, "no memory");
    }
}


static void
ngx_completion_redis_writable(void *data)
{
    ngx_completion_redis_t *redis = data;

    ngx_chain_t       *out;
    ngx_connection_t  *c;

    c = ngx_completion_redis_link_connection(&redis->link);

    if (redis->out == NULL) {
        return;
    }

    c->idle = 0;

    out = c->send_chain(c, redis->out, 0);

    if (out == NGX_CHAIN_ERROR) {
        ngx_completion_redis_ended(redis, ngx_socket_errno);
        return;
    }

    redis->out = out;

    if (out == NULL) {
        redis->last = &redis->out;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_MEMORY,
                                    0, "no memory");
    }
}


/* by the server; of a connection that idles it is no loss */

static void
ngx_completion_redis_ended(ngx_completion_redis_t *redis, ngx_err_t err)
{
    if (redis->state == NGX_COMPLETION_REDIS_READY
        && ngx_completion_redis_rests(redis))
    {
        ngx_log_debug1(NGX_LOG_DEBUG_EVENT, redis->log, err,
                       "completion redis: \"%V\" closed an idle connection",
                       &redis->conf->url);

        ngx_completion_redis_close(redis);
        return;
    }

    ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_CLOSED,
                                err, "it closed the connection");
}


static void
ngx_completion_redis_replied(ngx_completion_redis_t *redis,
    ngx_completion_reply_t *reply)
{
    ngx_connection_t             *c;
    ngx_completion_redis_call_t  *call;
    ngx_completion_redis_slot_t  *slot;

    slot = ngx_queue_empty(&redis->sent) ? NULL
           : ngx_queue_data(ngx_queue_head(&redis->sent),
                            ngx_completion_redis_slot_t, queue);

    if (slot == NULL || slot->buf.pos != slot->buf.last) {
        ngx_completion_redis_failed(redis,
                                    NGX_COMPLETION_METRICS_REDIS_UNREADABLE, 0,
                                    "it replied to nothing");
        return;
    }

    if (reply->type == NGX_COMPLETION_REPLY_ERROR
        && ngx_completion_redis_refused(redis, slot, &reply->text) != NGX_OK)
    {
        return;
    }

    ngx_queue_remove(&slot->queue);

    call = slot->call;

    ngx_completion_metrics_observe(&redis->zone->metrics->redis[slot->kind],
                                   ngx_completion_metrics_redis,
                                   ngx_completion_redis_clock()
                                   - slot->begun);

    if (redis->told && redis->state == NGX_COMPLETION_REDIS_READY
        && slot->kind == redis->doubted)
    {
        ngx_completion_redis_back(redis);
    }

    ngx_completion_redis_slot_free(slot);

    if (call) {
        call->slot = NULL;
        call->reply = reply;
        call->sent = 1;
        call->handler(call);
    }

    if (!ngx_completion_redis_rests(redis)
        || redis->state != NGX_COMPLETION_REDIS_READY)
    {
        return;
    }

    ngx_completion_timer_stop(&redis->timer);

    c = ngx_completion_redis_link_connection(&redis->link);
    c->idle = 1;

    if (ngx_exiting) {
        ngx_completion_redis_close(redis);
    }
}


/*
 * NGX_OK: the error is for whoever called; NGX_DONE: the slot goes on, or has
 * failed with all others.
 */

static ngx_int_t
ngx_completion_redis_refused(ngx_completion_redis_t *redis,
    ngx_completion_redis_slot_t *slot, ngx_str_t *text)
{
    u_char                         said[NGX_COMPLETION_REDIS_SAID + 1];
    size_t                         i;
    ngx_uint_t                     greeting;
    ngx_completion_redis_call_t   *first;
    ngx_completion_redis_fault_e   fault;

    first = redis->greetings;
    greeting = (slot->call >= first
                && slot->call < first + NGX_COMPLETION_REDIS_GREETINGS);

    /* what it is for may be not allowed */

    if (slot->call == &first[NGX_COMPLETION_REDIS_INFO]) {
        return NGX_OK;
    }

    fault = ngx_completion_redis_fault(text);

    if (fault == NGX_COMPLETION_METRICS_REDIS_NOSCRIPT && slot->script) {

        if (ngx_completion_redis_eval(redis, slot) == NGX_OK) {
            ngx_completion_redis_wake(redis);

        } else {
            ngx_completion_redis_failed(redis,
                                        NGX_COMPLETION_METRICS_REDIS_MEMORY, 0,
                                        "no memory");
        }

        return NGX_DONE;
    }

    if (fault == NGX_COMPLETION_METRICS_REDIS_COMMAND) {

        if (!greeting) {
            ngx_completion_redis_count(redis, fault);
            return NGX_OK;
        }

        fault = NGX_COMPLETION_METRICS_REDIS_REFUSED;
    }

    for (i = 0; i < ngx_min(text->len, NGX_COMPLETION_REDIS_SAID); i++) {
        said[i] = (text->data[i] < ' ' || text->data[i] >= 0x7f)
                      ? '?' : text->data[i];
    }

    said[i] = '\0';

    ngx_completion_redis_fail(redis, fault, 0, (char *) said,
                              greeting ? NGX_COMPLETION_REDIS_ITSELF
                                       : slot->kind);

    return NGX_DONE;
}


/* of the calls: it is set for the first of them, and then looks who is next */

static void
ngx_completion_redis_timeout(ngx_event_t *ev)
{
    ngx_uint_t                    i;
    ngx_queue_t                  *q, *list;
    ngx_msec_int_t                left, next;
    ngx_completion_redis_t       *redis;
    ngx_completion_redis_slot_t  *slot;

    redis = ngx_completion_timer_owner(ev, ngx_completion_redis_t, timer);

    next = redis->conf->timeout;
    list = &redis->sent;

    for (i = 0; i < 2; i++) {

        for (q = ngx_queue_head(list);
             q != ngx_queue_sentinel(list);
             q = ngx_queue_next(q))
        {
            slot = ngx_queue_data(q, ngx_completion_redis_slot_t, queue);
            left = (ngx_msec_int_t) (slot->end - ngx_current_msec);
            next = ngx_min(next, left);
        }

        list = &redis->waiting;
    }

    if (next > 0) {
        redis->late = 0;
        ngx_add_timer(ev, next);
        return;
    }

    /* what a worker that stood still has been told is read first */

    if (!redis->late) {
        redis->late = 1;
        ngx_add_timer(ev, 1);
        return;
    }

    redis->late = 0;

    ngx_completion_redis_failed(redis, NGX_COMPLETION_METRICS_REDIS_TIMEOUT, 0,
                                redis->state == NGX_COMPLETION_REDIS_OPENING
                                    ? "no connection within \"timeout\""
                                    : "no answer within \"timeout\"");
}


static void
ngx_completion_redis_failed(void *data, ngx_completion_redis_fault_e fault,
    ngx_err_t err, const char *text)
{
    ngx_completion_redis_fail(data, fault, err, text,
                              NGX_COMPLETION_REDIS_ITSELF);
}


static void
ngx_completion_redis_fail(ngx_completion_redis_t *redis,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text,
    ngx_completion_metrics_redis_call_e kind)
{
    ngx_uint_t                    i;
    ngx_msec_t                    pause;
    ngx_queue_t                   failed, *q, *list;
    ngx_completion_redis_call_t  *call;
    ngx_completion_redis_slot_t  *slot;

    ngx_completion_redis_tell(redis, fault, err, text);

    redis->doubted = kind;
    redis->away = 1;
    redis->behind = 0;

    ngx_queue_init(&failed);
    list = &redis->sent;

    for (i = 0; i < 2; i++) {

        if (!ngx_queue_empty(list)) {
            ngx_queue_add(&failed, list);
            ngx_queue_init(list);
        }

        list = &redis->waiting;
    }

    ngx_completion_redis_close(redis);

    if (!ngx_exiting) {
        pause = ngx_max(redis->pause, NGX_COMPLETION_REDIS_PAUSE);
        redis->pause = ngx_min(2 * pause, NGX_COMPLETION_REDIS_PAUSE_MAX);

        ngx_add_timer(&redis->attempt, pause / 2 + ngx_random() % pause);
    }

    while (!ngx_queue_empty(&failed)) {
        q = ngx_queue_head(&failed);
        ngx_queue_remove(q);

        slot = ngx_queue_data(q, ngx_completion_redis_slot_t, queue);
        call = slot->call;

        if (call) {
            call->slot = NULL;
            call->sent = (slot->buf.pos != slot->buf.start);
        }

        ngx_completion_redis_slot_free(slot);

        if (call) {
            call->handler(call);
        }
    }
}


static void
ngx_completion_redis_tell(ngx_completion_redis_t *redis,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text)
{
    ngx_uint_t  level;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, redis->log, err,
                   "completion redis: \"%V\" is away: %s", &redis->conf->url,
                   text);

    ngx_completion_redis_count(redis, fault);

    level = ngx_completion_zone_away(redis->zone, 1) ? NGX_LOG_ERR
                                                     : NGX_LOG_INFO;

    if (level == NGX_LOG_ERR || !redis->told || redis->fault != fault) {
        ngx_log_error(level, redis->log, err,
                      "redis \"%V\" of provider \"%V\" is not reachable: %s",
                      &redis->conf->url, redis->name, text);
    }

    redis->told = 1;
    redis->fault = fault;
}


/* nobody is told */

static void
ngx_completion_redis_close(ngx_completion_redis_t *redis)
{
    ngx_completion_timer_stop(&redis->attempt);
    ngx_completion_timer_stop(&redis->timer);
    ngx_completion_timer_stop(&redis->work);

    ngx_completion_redis_link_close(&redis->link);

    if (redis->reader) {
        ngx_completion_redis_reader_destroy(redis->reader);
        redis->reader = NULL;
    }

    redis->out = NULL;
    redis->last = &redis->out;
    redis->state = NGX_COMPLETION_REDIS_NOWHERE;
}


void
ngx_completion_redis_quit(ngx_completion_redis_t *redis)
{
    if (ngx_completion_redis_rests(redis)) {
        ngx_completion_redis_close(redis);
    }
}


void
ngx_completion_redis_exit(ngx_completion_redis_t *redis)
{
    ngx_uint_t                    i;
    ngx_queue_t                  *q, *list;
    ngx_completion_redis_slot_t  *slot;

    ngx_completion_redis_close(redis);

    list = &redis->sent;

    for (i = 0; i < 2; i++) {

        while (!ngx_queue_empty(list)) {
            q = ngx_queue_head(list);
            ngx_queue_remove(q);

            slot = ngx_queue_data(q, ngx_completion_redis_slot_t, queue);

            /* whose it is goes later */

            if (slot->call) {
                slot->call->slot = NULL;
            }

            ngx_completion_redis_slot_free(slot);
        }

        list = &redis->waiting;
    }

    ngx_completion_redis_password_exit(&redis->password);
    ngx_free(redis);
}
