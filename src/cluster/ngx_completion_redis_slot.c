
/*
 * A slot is a call's command until its reply has come; it outlives a caller
 * who goes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <openssl/crypto.h>

#include "ngx_completion_redis_wire.h"


ngx_completion_redis_slot_t *
ngx_completion_redis_slot(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_uint_t n, ngx_str_t *args)
{
    ngx_completion_redis_slot_t  *slot;

    slot = ngx_calloc(sizeof(ngx_completion_redis_slot_t), redis->log);
    if (slot == NULL) {
        return NULL;
    }

    if (ngx_completion_redis_format(n, args, &slot->command, redis->log)
        != NGX_OK)
    {
        ngx_free(slot);
        return NULL;
    }

    slot->call = call;
    slot->kind = call->kind;
    slot->end = ngx_current_msec + redis->conf->timeout;
    slot->begun = ngx_completion_redis_clock();

    call->slot = slot;
    call->reply = NULL;
    call->sent = 0;

    return slot;
}


void
ngx_completion_redis_slot_free(ngx_completion_redis_slot_t *slot)
{
    /* a greeting may have a password in it */

    if (slot->kind == NGX_COMPLETION_METRICS_REDIS_CONNECT) {
        OPENSSL_cleanse(slot->command.data, slot->command.len);
    }

    ngx_free(slot->command.data);
    ngx_free(slot);
}


void
ngx_completion_redis_send(ngx_completion_redis_t *redis,
    ngx_completion_redis_slot_t *slot)
{
    ngx_buf_t  *b;

    b = &slot->buf;

    b->start = slot->command.data;
    b->pos = b->start;
    b->last = b->start + slot->command.len;
    b->end = b->last;
    b->memory = 1;
    b->flush = 1;

    slot->link.buf = b;
    slot->link.next = NULL;

    *redis->last = &slot->link;
    redis->last = &slot->link.next;

    ngx_queue_insert_tail(&redis->sent, &slot->queue);
}


ngx_int_t
ngx_completion_redis_eval(ngx_completion_redis_t *redis,
    ngx_completion_redis_slot_t *slot)
{
    ngx_str_t                       args[NGX_COMPLETION_REDIS_ARGS], command;
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_completion_reply_t         *sent;
    ngx_completion_redis_reader_t  *reader;

    /* a command is spelled as a reply is */

    rc = NGX_ERROR;
    ngx_str_null(&command);

    reader = ngx_completion_redis_reader_create(redis->log);

    if (reader
        && ngx_completion_redis_reader_feed(reader, slot->command.data,
                                            slot->command.len)
           == NGX_OK
        && ngx_completion_redis_reader_next(reader, &sent) == NGX_OK)
    {
        for (i = 2; i < sent->n; i++) {
            args[i] = sent->elements[i]->text;
        }

        ngx_str_set(&args[0], "EVAL");
        args[1] = slot->script->text;

        rc = ngx_completion_redis_format(sent->n, args, &command, redis->log);
    }

    if (reader) {
        ngx_completion_redis_reader_destroy(reader);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, redis->log, 0,
                   "completion redis: EVAL, as it does not know the script");

    ngx_queue_remove(&slot->queue);

    ngx_free(slot->command.data);
    slot->command = command;
    slot->script = NULL;

    /* the server has answered, and has its time for this one, too */

    slot->end = ngx_current_msec + redis->conf->timeout;

    ngx_completion_redis_send(redis, slot);

    return NGX_OK;
}


ngx_uint_t
ngx_completion_redis_rests(ngx_completion_redis_t *redis)
{
    return ngx_queue_empty(&redis->sent) && ngx_queue_empty(&redis->waiting);
}


void
ngx_completion_redis_count(ngx_completion_redis_t *redis,
    ngx_completion_redis_fault_e fault)
{
    ngx_completion_metrics_add(&redis->zone->metrics->redis_errors[fault], 1);
}


uint64_t
ngx_completion_redis_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
