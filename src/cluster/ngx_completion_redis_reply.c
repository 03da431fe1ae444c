
/*
 * Replies are read, and commands written, by hiredis.  It is asked for text
 * alone: memory, and how long a reply may be, are ours.
 *
 * A command is written once for all that are as long in each of its words: the
 * next one is a copy with its own words in their places, for a tenth of it.
 */


#include <openssl/crypto.h>

#include "ngx_completion_redis_wire.h"

#if (NGX_COMPLETION_HIREDIS)
#include <hiredis/hiredis.h>
#endif


/* bytes of one reply */
#define NGX_COMPLETION_REPLY_MAX       (256 * 1024)

/* an element takes as many bytes at least */
#define NGX_COMPLETION_REPLY_ELEMENTS  (NGX_COMPLETION_REPLY_MAX / 3)

/* commands that differ in the lengths of their words; the last of them */
#define NGX_COMPLETION_REDIS_FORMS     16


/* by the words that errors begin with */
static const struct {
    ngx_str_t                     word;
    ngx_completion_redis_fault_e  fault;
} ngx_completion_redis_words[] = {
#define NGX_COMPLETION_REDIS_WORD(name, word)                                 \
    { ngx_string(word), NGX_COMPLETION_METRICS_##name },
    NGX_COMPLETION_REDIS_WORD_LIST(NGX_COMPLETION_REDIS_WORD)
};


static ngx_completion_redis_fault_e ngx_completion_redis_word(u_char *p,
    u_char *last);


ngx_completion_redis_fault_e
ngx_completion_redis_fault(ngx_str_t *text)
{
    u_char                        *p, *last;
    ngx_completion_redis_fault_e   fault;

    p = text->data;
    last = p + text->len;

    fault = ngx_completion_redis_word(p, last);

    /* before 7.0, what a script met stands in an error of the script's */

    while (fault == NGX_COMPLETION_METRICS_REDIS_COMMAND && last - p > 3) {

        if (p[0] == ':' && p[1] == ' ' && p[2] == '-') {
            fault = ngx_completion_redis_word(p + 3, last);
        }

        p++;
    }

    return fault;
}


static ngx_completion_redis_fault_e
ngx_completion_redis_word(u_char *p, u_char *last)
{
    size_t            len;
    ngx_uint_t        i;
    const ngx_str_t  *word;

    for (i = 0; i < sizeof(ngx_completion_redis_words)
                    / sizeof(ngx_completion_redis_words[0]); i++)
    {
        word = &ngx_completion_redis_words[i].word;
        len = word->len;

        if ((size_t) (last - p) >= len
            && ngx_memcmp(p, word->data, len) == 0
            && (p + len == last || p[len] == ' '))
        {
            return ngx_completion_redis_words[i].fault;
        }
    }

    return NGX_COMPLETION_METRICS_REDIS_COMMAND;
}


#if (NGX_COMPLETION_HIREDIS)

/* how many elements an array has */
#if (HIREDIS_MAJOR < 1)
typedef int     ngx_completion_reply_count_t;
#else
typedef size_t  ngx_completion_reply_count_t;
#endif


struct ngx_completion_redis_reader_s {
    ngx_pool_t   *pool;       /* of the reply */
    ngx_log_t    *log;
    redisReader  *reader;
    size_t        taken;      /* bytes of this reply that are read already */
    unsigned      done:1;     /* the last reply is to go */
};


/* a command without its words */
typedef struct {
    sds         text;       /* NULL: none yet */
    size_t      len;
    ngx_uint_t  n;
    size_t      lens[NGX_COMPLETION_REDIS_ARGS];
    size_t      at[NGX_COMPLETION_REDIS_ARGS];
} ngx_completion_redis_form_t;


static ngx_completion_redis_form_t *ngx_completion_redis_form(ngx_uint_t n,
    ngx_str_t *args, size_t *lens);
static ngx_completion_reply_t *ngx_completion_reply_add(
    const redisReadTask *task, ngx_completion_reply_type_e type);
static void *ngx_completion_reply_text(const redisReadTask *task, char *text,
    size_t len);
static void *ngx_completion_reply_array(const redisReadTask *task,
    ngx_completion_reply_count_t n);
static void *ngx_completion_reply_integer(const redisReadTask *task,
    long long value);
static void *ngx_completion_reply_nil(const redisReadTask *task);
static void ngx_completion_reply_free(void *reply);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_completion_reply_double(const redisReadTask *task,
    double value, char *text, size_t len);
static void *ngx_completion_reply_boolean(const redisReadTask *task,
    int value);
#endif


static ngx_completion_redis_form_t
                       ngx_completion_redis_forms[NGX_COMPLETION_REDIS_FORMS];
static ngx_uint_t      ngx_completion_redis_forms_next;


static redisReplyObjectFunctions  ngx_completion_reply_functions = {
    .createString = ngx_completion_reply_text,
    .createArray = ngx_completion_reply_array,
    .createInteger = ngx_completion_reply_integer,
    .createNil = ngx_completion_reply_nil,
    .freeObject = ngx_completion_reply_free,
#if (HIREDIS_MAJOR >= 1)
    .createDouble = ngx_completion_reply_double,
    .createBool = ngx_completion_reply_boolean,
#endif
};


ngx_completion_redis_reader_t *
ngx_completion_redis_reader_create(ngx_log_t *log)
{
    ngx_completion_redis_reader_t  *reader;

    reader = ngx_alloc(sizeof(ngx_completion_redis_reader_t), log);
    if (reader == NULL) {
        return NULL;
    }

    ngx_memzero(reader, sizeof(ngx_completion_redis_reader_t));

    reader->log = log;
    reader->pool = ngx_create_pool(1024, log);
    reader->reader =
        redisReaderCreateWithFunctions(&ngx_completion_reply_functions);

    if (reader->pool == NULL || reader->reader == NULL) {
        ngx_completion_redis_reader_destroy(reader);
        return NULL;
    }

    reader->reader->privdata = reader;

    return reader;
}


void
ngx_completion_redis_reader_destroy(ngx_completion_redis_reader_t *reader)
{
    if (reader->reader) {
        redisReaderFree(reader->reader);
    }

    if (reader->pool) {
        ngx_destroy_pool(reader->pool);
    }

    ngx_free(reader);
}


ngx_int_t
ngx_completion_redis_reader_feed(ngx_completion_redis_reader_t *reader,
    u_char *p, size_t len)
{
    return redisReaderFeed(reader->reader, (char *) p, len) == REDIS_OK
               ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_completion_redis_reader_next(ngx_completion_redis_reader_t *reader,
    ngx_completion_reply_t **reply)
{
    void         *object;
    size_t        left;
    redisReader  *r;

    r = reader->reader;

    if (reader->done) {
        ngx_reset_pool(reader->pool);
        reader->done = 0;
        reader->taken = 0;
    }

    left = r->len - r->pos;
    object = NULL;

    if (redisReaderGetReply(r, &object) != REDIS_OK) {
        return NGX_ERROR;
    }

    reader->taken += left - (r->len - r->pos);

    if (reader->taken > NGX_COMPLETION_REPLY_MAX) {
        return NGX_ERROR;
    }

    if (object == NULL) {
        return (reader->taken + r->len - r->pos > NGX_COMPLETION_REPLY_MAX)
                   ? NGX_ERROR : NGX_AGAIN;
    }

    reader->done = 1;
    *reply = object;

    return NGX_OK;
}


static ngx_completion_reply_t *
ngx_completion_reply_add(const redisReadTask *task,
    ngx_completion_reply_type_e type)
{
    ngx_completion_reply_t         *reply, *parent;
    ngx_completion_redis_reader_t  *reader;

    reader = task->privdata;

    reply = ngx_pcalloc(reader->pool, sizeof(ngx_completion_reply_t));
    if (reply == NULL) {
        return NULL;
    }

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->elements[task->idx] = reply;
    }

    return reply;
}


static void *
ngx_completion_reply_text(const redisReadTask *task, char *text, size_t len)
{
    u_char                         *p;
    ngx_completion_reply_t         *reply;
    ngx_completion_redis_reader_t  *reader;

    reader = task->privdata;

    p = ngx_pnalloc(reader->pool, len + 1);
    if (p == NULL) {
        return NULL;
    }

    reply = ngx_completion_reply_add(task,
              (task->type == REDIS_REPLY_ERROR) ? NGX_COMPLETION_REPLY_ERROR
              : (task->type == REDIS_REPLY_STATUS)
                    ? NGX_COMPLETION_REPLY_STATUS
                    : NGX_COMPLETION_REPLY_TEXT);

    if (reply == NULL) {
        return NULL;
    }

    ngx_memcpy(p, text, len);
    p[len] = '\0';

    reply->text.data = p;
    reply->text.len = len;

    return reply;
}


static void *
ngx_completion_reply_array(const redisReadTask *task,
    ngx_completion_reply_count_t n)
{
    ngx_completion_reply_t         *reply;
    ngx_completion_redis_reader_t  *reader;

    /* what is announced is believed as far as it can come */

    if (n > NGX_COMPLETION_REPLY_ELEMENTS) {
        return NULL;
    }

    reader = task->privdata;

    reply = ngx_completion_reply_add(task, NGX_COMPLETION_REPLY_ARRAY);
    if (reply == NULL) {
        return NULL;
    }

    reply->n = n;
    reply->elements = ngx_pcalloc(reader->pool, (n + 1) * sizeof(void *));

    return reply->elements ? reply : NULL;
}


static void *
ngx_completion_reply_integer(const redisReadTask *task, long long value)
{
    ngx_completion_reply_t  *reply;

    reply = ngx_completion_reply_add(task, NGX_COMPLETION_REPLY_INTEGER);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_completion_reply_nil(const redisReadTask *task)
{
    return ngx_completion_reply_add(task, NGX_COMPLETION_REPLY_NIL);
}


/* it goes with the pool */

static void
ngx_completion_reply_free(void *reply)
{
}


#if (HIREDIS_MAJOR >= 1)

/* of a version of the protocol that is not asked for */

static void *
ngx_completion_reply_double(const redisReadTask *task, double value,
    char *text, size_t len)
{
    return NULL;
}


static void *
ngx_completion_reply_boolean(const redisReadTask *task, int value)
{
    return NULL;
}

#endif


ngx_int_t
ngx_completion_redis_format(ngx_uint_t n, ngx_str_t *args, ngx_str_t *command,
    ngx_log_t *log)
{
    u_char                       *p;
    size_t                        lens[NGX_COMPLETION_REDIS_ARGS];
    ngx_uint_t                    i;
    ngx_completion_redis_form_t  *form, *last;

    if (n > NGX_COMPLETION_REDIS_ARGS) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        lens[i] = args[i].len;
    }

    form = ngx_completion_redis_forms;
    last = form + NGX_COMPLETION_REDIS_FORMS;

    while (form < last
           && (form->text == NULL || form->n != n
               || ngx_memcmp(form->lens, lens, n * sizeof(size_t)) != 0))
    {
        form++;
    }

    if (form == last) {
        form = ngx_completion_redis_form(n, args, lens);

        if (form == NULL) {
            return NGX_ERROR;
        }
    }

    p = ngx_alloc(form->len, log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    command->data = p;
    command->len = form->len;

    ngx_memcpy(p, form->text, form->len);

    for (i = 0; i < n; i++) {
        if (lens[i]) {
            ngx_memcpy(p + form->at[i], args[i].data, lens[i]);
        }
    }

    return NGX_OK;
}


/* in the oldest one's place */

static ngx_completion_redis_form_t *
ngx_completion_redis_form(ngx_uint_t n, ngx_str_t *args, size_t *lens)
{
    sds                           text;
    size_t                        at;
    long long                     len;
    ngx_uint_t                    i;
    const char                   *argv[NGX_COMPLETION_REDIS_ARGS];
    ngx_completion_redis_form_t  *form;

    for (i = 0; i < n; i++) {
        argv[i] = (char *) args[i].data;
    }

    /* the other one that hiredis has prints each length by printf */

    len = redisFormatSdsCommandArgv(&text, n, argv, lens);

    if (len < 0) {
        return NULL;
    }

    form = &ngx_completion_redis_forms[ngx_completion_redis_forms_next++
                                       % NGX_COMPLETION_REDIS_FORMS];

    if (form->text) {
        redisFreeSdsCommand(form->text);
    }

    form->text = text;
    form->len = len;
    form->n = n;

    at = 0;

    /* a line ahead of all words, one ahead of each, and an end behind it */

    for (i = 0; i < n; i++) {
        at = ngx_strlchr((u_char *) text + at + 2, (u_char *) text + len, LF)
             + 1 - (u_char *) text;

        if (i == 0) {
            at = ngx_strlchr((u_char *) text + at, (u_char *) text + len, LF)
                 + 1 - (u_char *) text;
        }

        form->lens[i] = lens[i];
        form->at[i] = at;

        /* a password is one */

        OPENSSL_cleanse(text + at, lens[i]);

        at += lens[i];
    }

    return form;
}

#else

/* the directive is refused: nothing of this is called */

ngx_completion_redis_reader_t *
ngx_completion_redis_reader_create(ngx_log_t *log)
{
    return NULL;
}


void
ngx_completion_redis_reader_destroy(ngx_completion_redis_reader_t *reader)
{
}


ngx_int_t
ngx_completion_redis_reader_feed(ngx_completion_redis_reader_t *reader,
    u_char *p, size_t len)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_completion_redis_reader_next(ngx_completion_redis_reader_t *reader,
    ngx_completion_reply_t **reply)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_completion_redis_format(ngx_uint_t n, ngx_str_t *args, ngx_str_t *command,
    ngx_log_t *log)
{
    return NGX_ERROR;
}

#endif
