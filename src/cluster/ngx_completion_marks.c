
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_marks.h"


/* ahead of an id, in the name of its key */
#define NGX_COMPLETION_MARK_NAME  "m:"


struct ngx_completion_marks_s {
    ngx_completion_redis_t              *redis;
    ngx_completion_zone_t               *zone;
    ngx_completion_errands_t            *errands;
    ngx_completion_bulletin_t           *bulletin;
    ngx_completion_bulletin_handler_pt   handler;
    void                                *data;

    size_t                               prefix;    /* of the name below */
    u_char                               name[1];
};


/* an errand; behind it stands the id */
typedef struct {
    u_char                     kind;
    u_char                     mark;      /* as the server has it */
    u_char                     submitted[sizeof(uint32_t)];
} ngx_completion_mark_said_t;


static ngx_int_t ngx_completion_mark_tell(void *data,
    ngx_completion_errand_t *errand, ngx_completion_redis_call_t *call);
static ngx_int_t ngx_completion_mark_ask(void *data,
    ngx_completion_errand_t *errand, ngx_completion_redis_call_t *call);
static void ngx_completion_mark_asked(void *data,
    ngx_completion_errand_t *errand, ngx_completion_reply_t *reply);
static void ngx_completion_mark_name(ngx_completion_marks_t *marks,
    ngx_completion_errand_t *errand, ngx_str_t *name);
static ngx_msec_t ngx_completion_mark_stands(ngx_completion_marks_t *marks,
    ngx_completion_errand_t *errand);


static const ngx_completion_errand_kind_t  ngx_completion_mark_tells = {
    ngx_completion_mark_tell, NULL, NGX_COMPLETION_METRICS_REDIS_TELL
};

static const ngx_completion_errand_kind_t  ngx_completion_mark_asks = {
    ngx_completion_mark_ask, ngx_completion_mark_asked,
    NGX_COMPLETION_METRICS_REDIS_MARK
};


ngx_completion_marks_t *
ngx_completion_marks_create(ngx_completion_redis_t *redis,
    ngx_completion_zone_t *zone, ngx_completion_errands_t *errands,
    ngx_completion_bulletin_t *bulletin,
    ngx_completion_bulletin_handler_pt handler, void *data)
{
    u_char                  *p;
    ngx_str_t               *names;
    ngx_completion_marks_t  *marks;

    names = &ngx_completion_redis_conf(redis)->names;

    marks = ngx_pcalloc(ngx_cycle->pool,
                        sizeof(ngx_completion_marks_t) + names->len
                        + sizeof(NGX_COMPLETION_MARK_NAME)
                        + NGX_COMPLETION_ID_UPSTREAM);
    if (marks == NULL) {
        return NULL;
    }

    marks->redis = redis;
    marks->zone = zone;
    marks->errands = errands;
    marks->bulletin = bulletin;
    marks->handler = handler;
    marks->data = data;

    p = ngx_sprintf(marks->name, "%V%s", names, NGX_COMPLETION_MARK_NAME);
    marks->prefix = p - marks->name;

    ngx_completion_errands_kind(errands, NGX_COMPLETION_ERRAND_TELL,
                                &ngx_completion_mark_tells, marks);
    ngx_completion_errands_kind(errands, NGX_COMPLETION_ERRAND_ASK,
                                &ngx_completion_mark_asks, marks);

    return marks;
}


void
ngx_completion_mark_errand(ngx_completion_marks_t *marks,
    ngx_completion_id_t *id, ngx_completion_mark_e mark,
    ngx_completion_errand_t *errand)
{
    u_char                      *p;
    uint32_t                     submitted;
    ngx_completion_mark_said_t  *said;

    ngx_completion_errand_begin(marks->errands,
                                mark ? NGX_COMPLETION_ERRAND_TELL
                                     : NGX_COMPLETION_ERRAND_ASK, errand);

    errand->light = mark ? 0 : 2;

    said = (ngx_completion_mark_said_t *) errand->data;
    said->mark = (mark == NGX_COMPLETION_MARK_DELETED) ? 'd' : 'c';

    submitted = (uint32_t) id->submitted;
    ngx_memcpy(said->submitted, &submitted, sizeof(uint32_t));

    p = ngx_cpymem(said + 1, id->upstream.data, id->upstream.len);
    errand->len = p - errand->data;
}


static ngx_int_t
ngx_completion_mark_tell(void *data, ngx_completion_errand_t *errand,
    ngx_completion_redis_call_t *call)
{
    ngx_completion_marks_t *marks = data;

    u_char                       tagged[NGX_COMPLETION_REDIS_TAG + 1];
    ngx_str_t                    name, id, value, sealed;
    ngx_completion_mark_said_t  *said;

    said = (ngx_completion_mark_said_t *) errand->data;

    ngx_completion_mark_name(marks, errand, &name);

    value.data = &said->mark;
    value.len = 1;

    if (ngx_completion_redis_seal(marks->redis, &name, &value, tagged)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    sealed.data = tagged;
    sealed.len = sizeof(tagged);

    id.data = name.data + marks->prefix;
    id.len = name.len - marks->prefix;

    return ngx_completion_bulletin_tell(marks->bulletin, call,
                                  said->mark == 'd'
                                      ? NGX_COMPLETION_MARK_DELETED
                                      : NGX_COMPLETION_MARK_CANCELLED,
                                  &id, &name, &sealed,
                                  ngx_completion_mark_stands(marks, errand));
}


static ngx_int_t
ngx_completion_mark_ask(void *data, ngx_completion_errand_t *errand,
    ngx_completion_redis_call_t *call)
{
    ngx_completion_marks_t *marks = data;

    ngx_str_t  args[2];

    ngx_str_set(&args[0], "GET");
    ngx_completion_mark_name(marks, errand, &args[1]);

    return ngx_completion_redis_call(marks->redis, call, 2, args);
}


static void
ngx_completion_mark_asked(void *data, ngx_completion_errand_t *errand,
    ngx_completion_reply_t *reply)
{
    ngx_completion_marks_t *marks = data;

    ngx_str_t              name, value, id;
    ngx_completion_mark_e  mark;

    mark = NGX_COMPLETION_MARK_NONE;
    ngx_completion_mark_name(marks, errand, &name);

    if (reply && reply->type == NGX_COMPLETION_REPLY_TEXT
        && ngx_completion_redis_open(marks->redis, &name, &reply->text,
                                     &value)
           == NGX_OK
        && value.len == 1)
    {
        mark = (value.data[0] == 'd') ? NGX_COMPLETION_MARK_DELETED
                                      : NGX_COMPLETION_MARK_CANCELLED;
    }

    id.data = name.data + marks->prefix;
    id.len = name.len - marks->prefix;

    if (ngx_completion_zone_mark(marks->zone, &id, mark) != NGX_OK) {
        return;
    }

    if (mark != NGX_COMPLETION_MARK_NONE) {
        marks->handler(marks->data, &id);
    }

    marks->handler(marks->data, NULL);
}


static void
ngx_completion_mark_name(ngx_completion_marks_t *marks,
    ngx_completion_errand_t *errand, ngx_str_t *name)
{
    u_char  *last;

    last = ngx_cpymem(marks->name + marks->prefix,
                      errand->data + sizeof(ngx_completion_mark_said_t),
                      errand->len - sizeof(ngx_completion_mark_said_t));

    name->data = marks->name;
    name->len = last - marks->name;
}


/* until no node takes the id any more */

static ngx_msec_t
ngx_completion_mark_stands(ngx_completion_marks_t *marks,
    ngx_completion_errand_t *errand)
{
    time_t                       left;
    uint32_t                     submitted;
    ngx_completion_mark_said_t  *said;

    said = (ngx_completion_mark_said_t *) errand->data;

    ngx_memcpy(&submitted, said->submitted, sizeof(uint32_t));

    left = (time_t) submitted + marks->zone->lifetime
           + 2 * NGX_COMPLETION_ID_SKEW - ngx_time();

    return (ngx_msec_t) ngx_max(left, 1) * 1000;
}
