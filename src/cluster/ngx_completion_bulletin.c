
/*
 *     timer, reached --> look --> asked --> entries, of which there may be more
 *       ^                 |          |         |
 *       |   another one's |     none |         V
 *       '-----------------+----------+------- read
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <ngx_completion_scripts.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_bulletin.h"


#define NGX_COMPLETION_BULLETIN_NAME   "news"

/* read at once, so that nothing else waits for long */
#define NGX_COMPLETION_BULLETIN_BATCH  "128"
#define NGX_COMPLETION_BULLETIN_MOST   128

#define NGX_COMPLETION_BULLETIN_PAUSE  1000

/* an entry: a letter, and an id */
#define NGX_COMPLETION_BULLETIN_ENTRY  (1 + NGX_COMPLETION_ID_UPSTREAM)


struct ngx_completion_bulletin_s {
    ngx_completion_redis_t              *redis;
    ngx_completion_zone_t               *zone;
    ngx_completion_errands_t            *errands;
    ngx_completion_bulletin_handler_pt   handler;
    void                                *data;

    ngx_completion_redis_call_t          call;
    ngx_event_t                          timer;

    u_char                               ms[NGX_INT64_LEN];  /* entries stand */
    size_t                               ms_len;
    ngx_str_t                            key;
};


static void ngx_completion_bulletin_timer(ngx_event_t *ev);
static void ngx_completion_bulletin_next(ngx_completion_bulletin_t *bulletin);
static void ngx_completion_bulletin_answered(
    ngx_completion_redis_call_t *call);
static ngx_int_t ngx_completion_bulletin_hear(
    ngx_completion_bulletin_t *bulletin, ngx_completion_reply_t *entry);
static ngx_int_t ngx_completion_bulletin_end(void *data,
    ngx_completion_errand_t *errand, ngx_completion_redis_call_t *call);


static const ngx_completion_errand_kind_t  ngx_completion_bulletin_ends = {
    ngx_completion_bulletin_end, NULL, NGX_COMPLETION_METRICS_REDIS_TELL
};

static ngx_completion_redis_script_t  ngx_completion_bulletin_script = {
    ngx_string(NGX_COMPLETION_BULLETIN_LUA), { 0 }
};

/* of marks, as entries have them */
static const u_char  ngx_completion_bulletin_letters[] = {
    '-', 'c', 'd', 'e'
};


ngx_completion_bulletin_t *
ngx_completion_bulletin_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone, ngx_completion_errands_t *errands,
    ngx_completion_bulletin_handler_pt handler, void *data, ngx_log_t *log)
{
    ngx_str_t                  *names;
    ngx_completion_bulletin_t  *bulletin;

    names = &ngx_completion_redis_conf(redis)->names;

    bulletin = ngx_pcalloc(ngx_cycle->pool,
                           sizeof(ngx_completion_bulletin_t) + names->len
                           + sizeof(NGX_COMPLETION_BULLETIN_NAME));
    if (bulletin == NULL) {
        return NULL;
    }

    bulletin->redis = redis;
    bulletin->zone = zone;
    bulletin->errands = errands;
    bulletin->handler = handler;
    bulletin->data = data;

    bulletin->key.data = (u_char *) (bulletin + 1);
    bulletin->key.len = ngx_sprintf(bulletin->key.data, "%V%s", names,
                                    NGX_COMPLETION_BULLETIN_NAME)
                        - bulletin->key.data;

    bulletin->ms_len = ngx_sprintf(bulletin->ms, "%M",
                                   (ngx_msec_t) zone->lifetime * 1000)
                       - bulletin->ms;

    bulletin->call.handler = ngx_completion_bulletin_answered;
    bulletin->call.data = bulletin;
    bulletin->call.kind = NGX_COMPLETION_METRICS_REDIS_NEWS;

    ngx_completion_errands_kind(errands, NGX_COMPLETION_ERRAND_END,
                                &ngx_completion_bulletin_ends, bulletin);

    ngx_completion_redis_script_init(&ngx_completion_bulletin_script);

    ngx_completion_timer_init(&bulletin->timer, ngx_completion_bulletin_timer,
                              log);
    bulletin->timer.cancelable = 1;

    ngx_add_timer(&bulletin->timer, 1);

    return bulletin;
}


void
ngx_completion_bulletin_exit(ngx_completion_bulletin_t *bulletin)
{
    ngx_completion_timer_stop(&bulletin->timer);
    ngx_completion_redis_cancel(&bulletin->call);
    ngx_completion_zone_news_yield(bulletin->zone);
}


static void
ngx_completion_bulletin_timer(ngx_event_t *ev)
{
    ngx_completion_bulletin_t  *bulletin;

    bulletin = ngx_completion_timer_owner(ev, ngx_completion_bulletin_t,
                                          timer);

    ngx_completion_bulletin_look(bulletin);
}


void
ngx_completion_bulletin_look(ngx_completion_bulletin_t *bulletin)
{
    ngx_completion_timer_stop(&bulletin->timer);

    if (ngx_exiting) {
        ngx_completion_zone_news_yield(bulletin->zone);
        return;
    }

    ngx_add_timer(&bulletin->timer, NGX_COMPLETION_BULLETIN_PAUSE);

    if (bulletin->call.slot == NULL
        && !ngx_completion_redis_away(bulletin->redis))
    {
        ngx_completion_bulletin_next(bulletin);
    }
}


static void
ngx_completion_bulletin_next(ngx_completion_bulletin_t *bulletin)
{
    u_char      number[NGX_INT64_LEN];
    u_char      position[NGX_COMPLETION_NEWS_POSITION];
    ngx_str_t   args[5];
    ngx_msec_t  age;

    if (ngx_completion_zone_news_take(bulletin->zone,
                                      3 * NGX_COMPLETION_BULLETIN_PAUSE)
        != NGX_OK)
    {
        return;
    }

    args[0] = bulletin->key;
    ngx_str_set(&args[1], "read");
    args[2].data = position;
    args[2].len = ngx_completion_zone_news_position(bulletin->zone, position,
                                                    &age);
    ngx_str_set(&args[3], NGX_COMPLETION_BULLETIN_BATCH);

    /* servers that follow each other may have clocks that are apart */

    args[4].data = number;
    args[4].len = ngx_sprintf(number, "%M",
                              age + NGX_COMPLETION_ID_SKEW * 1000)
                  - number;

    if (ngx_completion_redis_script(bulletin->redis, &bulletin->call,
                                    &ngx_completion_bulletin_script, 1, 5,
                                    args)
        != NGX_AGAIN)
    {
        ngx_completion_zone_news_yield(bulletin->zone);
    }
}


static void
ngx_completion_bulletin_answered(ngx_completion_redis_call_t *call)
{
    ngx_uint_t                  i, news;
    ngx_completion_reply_t     *reply, **said;
    ngx_completion_bulletin_t  *bulletin;

    bulletin = call->data;
    reply = call->reply;

    if (reply == NULL || reply->type != NGX_COMPLETION_REPLY_ARRAY
        || reply->n == 0
        || reply->elements[0]->type != NGX_COMPLETION_REPLY_TEXT)
    {
        ngx_completion_zone_news_yield(bulletin->zone);
        return;
    }

    said = reply->elements;
    news = 0;

    for (i = 1; i < reply->n; i++) {
        news |= (ngx_completion_bulletin_hear(bulletin, said[i]) == NGX_OK);
    }

    ngx_completion_metrics_add(&bulletin->zone->metrics->redis_news,
                               reply->n - 1);

    /* what was not heard in whole is read once more */

    ngx_completion_zone_news_read(bulletin->zone, &said[0]->text);

    if (news) {
        bulletin->handler(bulletin->data, NULL);
    }

    if (reply->n > NGX_COMPLETION_BULLETIN_MOST && !ngx_exiting) {
        ngx_completion_bulletin_next(bulletin);
    }
}


static ngx_int_t
ngx_completion_bulletin_hear(ngx_completion_bulletin_t *bulletin,
    ngx_completion_reply_t *entry)
{
    ngx_int_t   rc;
    ngx_str_t   value;
    ngx_uint_t  mark;

    if (entry->type != NGX_COMPLETION_REPLY_TEXT
        || ngx_completion_redis_open(bulletin->redis, &bulletin->key,
                                     &entry->text, &value)
           != NGX_OK
        || value.len < 2)
    {
        return NGX_DECLINED;
    }

    for (mark = NGX_COMPLETION_MARK_CANCELLED;
         mark < sizeof(ngx_completion_bulletin_letters);
         mark++)
    {
        if (value.data[0] == ngx_completion_bulletin_letters[mark]) {
            value.data++;
            value.len--;

            rc = ngx_completion_zone_mark(bulletin->zone, &value, mark);

            if (rc == NGX_OK && mark != NGX_COMPLETION_MARK_ENDED) {
                bulletin->handler(bulletin->data, &value);
            }

            return rc;
        }
    }

    return NGX_DECLINED;
}


void
ngx_completion_bulletin_errand(ngx_completion_bulletin_t *bulletin,
    ngx_str_t *id, ngx_completion_errand_t *errand)
{
    ngx_completion_errand_begin(bulletin->errands, NGX_COMPLETION_ERRAND_END,
                                errand);

    errand->light = 2;
    errand->len = ngx_cpymem(errand->data + errand->len, id->data, id->len)
                  - errand->data;
}


static ngx_int_t
ngx_completion_bulletin_end(void *data, ngx_completion_errand_t *errand,
    ngx_completion_redis_call_t *call)
{
    ngx_completion_bulletin_t *bulletin = data;

    ngx_str_t  id;

    id.data = errand->data + 1;
    id.len = errand->len - 1;

    return ngx_completion_bulletin_tell(bulletin, call,
                                        NGX_COMPLETION_MARK_ENDED, &id, NULL,
                                        NULL, 0);
}


ngx_int_t
ngx_completion_bulletin_tell(ngx_completion_bulletin_t *bulletin,
    ngx_completion_redis_call_t *call, ngx_completion_mark_e mark,
    ngx_str_t *id, ngx_str_t *name, ngx_str_t *sealed, ngx_msec_t ms)
{
    u_char      entry[NGX_COMPLETION_BULLETIN_ENTRY];
    u_char      told[NGX_COMPLETION_REDIS_TAG + NGX_COMPLETION_BULLETIN_ENTRY];
    u_char      number[NGX_INT64_LEN];
    ngx_str_t   args[7], value;
    ngx_uint_t  n;

    value.data = entry;
    entry[0] = ngx_completion_bulletin_letters[mark];
    value.len = ngx_cpymem(entry + 1, id->data, id->len) - entry;

    if (ngx_completion_redis_seal(bulletin->redis, &bulletin->key, &value,
                                  told)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    n = 0;
    args[n++] = bulletin->key;

    if (name) {
        args[n++] = *name;
    }

    ngx_str_set(&args[n], "tell");
    n++;
    args[n].data = told;
    args[n++].len = NGX_COMPLETION_REDIS_TAG + value.len;
    args[n].data = bulletin->ms;
    args[n++].len = bulletin->ms_len;

    if (name) {
        args[n++] = *sealed;
        args[n].data = number;
        args[n++].len = ngx_sprintf(number, "%M", ms) - number;
    }

    return ngx_completion_redis_script(bulletin->redis, call,
                                       &ngx_completion_bulletin_script,
                                       name ? 2 : 1, n, args);
}
