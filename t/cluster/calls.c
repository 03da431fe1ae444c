
/*
 * Linked into the module by connection.t: whenever a submit is about to be
 * sent, the calls are made that the file named by TEST_CALLS has a line for
 * each of, and what becomes of them is added to the file TEST_REPLIES.
 *
 *     call GET key            script TEXT KEY ARGUMENT   (%20 for a space)
 *     cancel GET key          sealed KEY FROM VALUE
 *     again GET key           once more, whenever the server is reached
 *
 * No worker reads news, so that nothing else is called.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../../src/cluster/ngx_completion_redis.h"


typedef struct {
    ngx_completion_redis_call_t     call;      /* first */
    ngx_completion_redis_t         *redis;
    ngx_completion_redis_script_t   script;
    char                            line[512];
    char                            name[512];
} made_t;


void __real_ngx_completion_redis_reach(ngx_completion_redis_t *redis);

static void make(ngx_completion_redis_t *redis, char *line);
static void made(ngx_completion_redis_call_t *call);
static void repeat(void *data);
static u_char *spell(u_char *p, u_char *last, ngx_completion_reply_t *reply);
static void say(const char *line, const char *what);
static void sealed(ngx_completion_redis_t *redis, ngx_str_t *args);


void
__wrap_ngx_completion_redis_reach(ngx_completion_redis_t *redis)
{
    char   line[512], *end;
    FILE  *file;

    __real_ngx_completion_redis_reach(redis);

    file = fopen(getenv("TEST_CALLS"), "r");

    while (file && fgets(line, sizeof(line), file)) {
        end = strchr(line, '\n');
        *end = '\0';
        make(redis, line);
    }

    if (file) {
        fclose(file);
    }
}


ngx_int_t
__wrap_ngx_completion_zone_news_take(ngx_completion_zone_t *zone,
    ngx_msec_t ms)
{
    return NGX_DECLINED;
}


static void
make(ngx_completion_redis_t *redis, char *line)
{
    char       *word, *p, *rest;
    made_t     *m;
    ngx_int_t   rc;
    ngx_str_t   args[16];
    ngx_uint_t  n;

    m = calloc(1, sizeof(made_t));
    m->redis = redis;
    m->call.handler = made;
    m->call.data = m;
    m->call.kind = NGX_COMPLETION_METRICS_REDIS_CONNECT;
    strcpy(m->line, line);
    strcpy(m->name, line);

    n = 0;

    for (word = strtok_r(m->line, " ", &rest);
         word && n < 16;
         word = strtok_r(NULL, " ", &rest))
    {
        args[n].data = (u_char *) word;

        for (p = word; *word; p++, word++) {
            *p = *word;

            if (strncmp(word, "%20", 3) == 0) {
                *p = ' ';
                word += 2;
            }
        }

        *p = '\0';
        args[n].len = p - (char *) args[n].data;
        n++;
    }

    if (strcmp((char *) args[0].data, "sealed") == 0) {
        sealed(redis, args);
        free(m);
        return;
    }

    if (strcmp((char *) args[0].data, "again") == 0) {
        ngx_completion_redis_on_reach(redis, repeat, m);
    }

    if (strcmp((char *) args[0].data, "script") == 0) {
        m->script.text = args[1];
        ngx_completion_redis_script_init(&m->script);
        rc = ngx_completion_redis_script(redis, &m->call, &m->script, 1, n - 2,
                                         args + 2);

    } else {
        rc = ngx_completion_redis_call(redis, &m->call, n - 1, args + 1);
    }

    if (rc == NGX_DECLINED) {
        say(m->name, "declined");

    } else if (strcmp((char *) args[0].data, "cancel") == 0) {
        ngx_completion_redis_cancel(&m->call);
        free(m);
    }
}


static void
made(ngx_completion_redis_call_t *call)
{
    u_char   text[1024], *p;
    made_t  *m;

    m = call->data;
    p = text;

    if (call->reply) {
        p = spell(p, text + sizeof(text) - 1, call->reply);

    } else {
        p = ngx_cpymem(p, "away", 4);
    }

    *p = '\0';
    say(m->name, (char *) text);

    if (strncmp(m->name, "again", 5) != 0) {
        free(m);
    }
}


/* the line is in words by now */

static void
repeat(void *data)
{
    made_t     *m = data;
    ngx_str_t   args[2];

    if (m->call.slot == NULL) {
        ngx_str_set(&args[0], "GET");
        ngx_str_set(&args[1], "key");
        (void) ngx_completion_redis_call(m->redis, &m->call, 2, args);
    }
}


static u_char *
spell(u_char *p, u_char *last, ngx_completion_reply_t *reply)
{
    ngx_uint_t  i;

    switch (reply->type) {

    case NGX_COMPLETION_REPLY_NIL:
        return ngx_slprintf(p, last, "nil");

    case NGX_COMPLETION_REPLY_INTEGER:
        return ngx_slprintf(p, last, "%L", reply->integer);

    case NGX_COMPLETION_REPLY_ERROR:
        return ngx_slprintf(p, last, "error %V", &reply->text);

    case NGX_COMPLETION_REPLY_ARRAY:
        p = ngx_slprintf(p, last, "[");

        for (i = 0; i < reply->n; i++) {
            p = ngx_slprintf(p, last, i ? "," : "");
            p = spell(p, last, reply->elements[i]);
        }

        return ngx_slprintf(p, last, "]");

    default:
        return ngx_slprintf(p, last, "%V", &reply->text);
    }
}


static void
say(const char *line, const char *what)
{
    FILE  *file;

    file = fopen(getenv("TEST_REPLIES"), "a");
    fprintf(file, "%s: %s\n", line, what);
    fclose(file);
}


/* the value of one key, as it is read at another one */

static void
sealed(ngx_completion_redis_t *redis, ngx_str_t *args)
{
    u_char     buf[512];
    ngx_int_t  rc;
    ngx_str_t  text, value;

    rc = ngx_completion_redis_seal(redis, &args[2], &args[3], buf);
    text.data = buf;
    text.len = NGX_COMPLETION_REDIS_TAG + args[3].len;

    if (rc == NGX_OK) {
        rc = ngx_completion_redis_open(redis, &args[1], &text, &value);
    }

    say("sealed", rc == NGX_OK && value.len == args[3].len
                  && memcmp(value.data, args[3].data, value.len) == 0
                      ? "opens" : "as absent");
}
