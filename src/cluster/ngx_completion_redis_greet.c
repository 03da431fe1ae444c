
/*
 * What is said to a server before all else.  PING comes last: its answer tells
 * that what was said before has been taken.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_redis_wire.h"


static ngx_int_t ngx_completion_redis_say(ngx_completion_redis_t *redis,
    ngx_completion_redis_greeting_e which, ngx_uint_t n, ngx_str_t *args,
    ngx_completion_redis_handler_pt handler);
static void ngx_completion_redis_greeted(ngx_completion_redis_call_t *call);
static void ngx_completion_redis_policy(ngx_completion_redis_call_t *call);


ngx_int_t
ngx_completion_redis_greet(ngx_completion_redis_t *redis,
    ngx_completion_redis_handler_pt ready)
{
    u_char                        db[NGX_INT_T_LEN];
    ngx_int_t                     rc;
    ngx_str_t                     args[3], *password;
    ngx_completion_redis_conf_t  *conf;

    conf = redis->conf;
    rc = NGX_OK;

    if (conf->password.len) {
        password = ngx_completion_redis_password(&redis->password, redis->log);

        ngx_str_set(&args[0], "AUTH");
        args[1] = conf->user.len ? conf->user : *password;
        args[2] = *password;

        rc = ngx_completion_redis_say(redis, NGX_COMPLETION_REDIS_AUTH,
                                      conf->user.len ? 3 : 2, args,
                                      ngx_completion_redis_greeted);
    }

    if (rc == NGX_OK && conf->db) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%ui", conf->db) - db;

        rc = ngx_completion_redis_say(redis, NGX_COMPLETION_REDIS_SELECT, 2,
                                      args, ngx_completion_redis_greeted);
    }

    if (rc == NGX_OK) {
        ngx_str_set(&args[0], "INFO");
        ngx_str_set(&args[1], "memory");

        rc = ngx_completion_redis_say(redis, NGX_COMPLETION_REDIS_INFO, 2,
                                      args, ngx_completion_redis_policy);
    }

    if (rc == NGX_OK) {
        ngx_str_set(&args[0], "PING");

        rc = ngx_completion_redis_say(redis, NGX_COMPLETION_REDIS_PING, 1,
                                      args, ready);
    }

    return rc;
}


static ngx_int_t
ngx_completion_redis_say(ngx_completion_redis_t *redis,
    ngx_completion_redis_greeting_e which, ngx_uint_t n, ngx_str_t *args,
    ngx_completion_redis_handler_pt handler)
{
    ngx_completion_redis_call_t  *call;
    ngx_completion_redis_slot_t  *slot;

    call = &redis->greetings[which];
    call->handler = handler;
    call->data = redis;
    call->kind = NGX_COMPLETION_METRICS_REDIS_CONNECT;

    slot = ngx_completion_redis_slot(redis, call, n, args);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_redis_send(redis, slot);

    return NGX_OK;
}


/* an error is no reply to a greeting */

static void
ngx_completion_redis_greeted(ngx_completion_redis_call_t *call)
{
}


static void
ngx_completion_redis_policy(ngx_completion_redis_call_t *call)
{
    u_char                  *p, *last;
    ngx_str_t                policy;
    ngx_completion_redis_t  *redis;

    static u_char  member[] = "maxmemory_policy:";

    if (call->reply == NULL || call->reply->type != NGX_COMPLETION_REPLY_TEXT)
    {
        return;
    }

    redis = call->data;

    p = call->reply->text.data;
    last = p + call->reply->text.len;

    p = ngx_strlcasestrn(p, last, member, sizeof(member) - 2);
    if (p == NULL) {
        return;
    }

    policy.data = p + sizeof(member) - 1;

    for (p = policy.data; p < last && *p > ' ' && *p < 0x7f; p++) {
        /* void */
    }

    policy.len = p - policy.data;

    if ((policy.len == 10 && ngx_strncmp(policy.data, "noeviction", 10) == 0)
        || !ngx_completion_zone_tell(redis->zone, NGX_COMPLETION_TOLD_POLICY))
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, redis->log, 0,
                  "redis \"%V\" of provider \"%V\" evicts keys, by its "
                  "\"maxmemory-policy\" \"%V\", and what it forgets may be "
                  "paid twice: set it to \"noeviction\"",
                  &redis->conf->url, redis->name, &policy);
}
