
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <openssl/rand.h>

#include <ngx_completion_scripts.h>

#include "ngx_completion_claims.h"


/* what a value stands longer than it says, ms: clocks, and the way to it */
#define NGX_COMPLETION_CLAIM_GRACE  10000

/* a value is sealed, and says in one spelling: */
#define NGX_COMPLETION_CLAIM_HEAD                                             \
    (NGX_COMPLETION_CLAIM_TOKEN    /* its holder's                        */  \
     + 1                           /* q, s, a, u, e: queued, sending, ... */  \
     + 1                           /* p or s: the kind of the id          */  \
     + 2 * NGX_COMPLETION_KEY_DIGEST   /* of what is asked                */  \
     + 12                          /* ms that it stands, from its writing */  \
     + 8                           /* ms that the sending takes, at most; */  \
                                   /* of an accepted one: seconds that it */  \
                                   /* stands from its end on              */  \
     + 8)                          /* seconds: when it was accepted       */
#define NGX_COMPLETION_CLAIM_STATE  NGX_COMPLETION_CLAIM_TOKEN
#define NGX_COMPLETION_CLAIM_MS                                               \
    (NGX_COMPLETION_CLAIM_STATE + 2 + 2 * NGX_COMPLETION_KEY_DIGEST)
#define NGX_COMPLETION_CLAIM_VALUE                                            \
    (NGX_COMPLETION_CLAIM_HEAD + NGX_COMPLETION_ID_UPSTREAM)
#define NGX_COMPLETION_CLAIM_SEALED                                           \
    (NGX_COMPLETION_REDIS_TAG + NGX_COMPLETION_CLAIM_VALUE)

/* times that a claim finds what it is to replace, and somebody is quicker */
#define NGX_COMPLETION_CLAIM_TRIES  3

/* what is kept for the server's return; the oldest goes */
#define NGX_COMPLETION_CLAIM_KEPT   1024

/* names, what to do and whose, and of each a value, ms and what is absent */
#define NGX_COMPLETION_CLAIM_ARGS   (2 + 4 * NGX_COMPLETION_CLAIM_NAMES)


struct ngx_completion_claims_s {
    ngx_completion_redis_t        *redis;
    ngx_msec_t                     deadline;
    ngx_log_t                     *log;
    ngx_queue_t                    told;     /* under way */
    ngx_queue_t                    kept;
    ngx_uint_t                     nkept;
};


typedef struct {
    ngx_str_t                      args[NGX_COMPLETION_CLAIM_ARGS];
    u_char                         values[NGX_COMPLETION_CLAIM_NAMES]
                                         [NGX_COMPLETION_CLAIM_SEALED];
    u_char                         ms[NGX_COMPLETION_CLAIM_NAMES]
                                     [NGX_INT64_LEN];
} ngx_completion_claim_args_t;


/* what nobody waits for the answer of */
typedef struct {
    ngx_queue_t                    queue;
    ngx_pool_t                    *pool;
    ngx_completion_claims_t       *claims;
    ngx_completion_redis_call_t    call;
    ngx_uint_t                     n;        /* names */
    ngx_str_t                      args[NGX_COMPLETION_CLAIM_ARGS];

    unsigned                       ends:1;   /* asks what stands there, of: */
    unsigned                       shared:1;
    size_t                         len;
    u_char                         id[NGX_COMPLETION_ID_UPSTREAM];
} ngx_completion_claim_told_t;


/* what a value says */
typedef struct {
    u_char                         state;
    u_char                        *token;
    u_char                         request[NGX_COMPLETION_KEY_DIGEST];
    int64_t                        age;
    int64_t                        span;     /* of the sending, of an end */
    ngx_completion_id_t            id;
} ngx_completion_claim_said_t;


static void ngx_completion_claim_names(ngx_completion_claim_t *claim);
static ngx_int_t ngx_completion_claim_name(ngx_completion_claim_t *claim);
static ngx_int_t ngx_completion_claim_keyname(ngx_completion_claims_t *claims,
    ngx_pool_t *pool, u_char kind, ngx_completion_key_t *key, ngx_str_t *name);
static ngx_int_t ngx_completion_claim_call(ngx_completion_claim_t *claim,
    const char *what, u_char state);
static ngx_int_t ngx_completion_claim_args(ngx_completion_claim_t *claim,
    const char *what, u_char state, ngx_completion_id_t *id,
    ngx_completion_claim_args_t *args);
static uint64_t ngx_completion_claim_stands(ngx_completion_claim_t *claim,
    ngx_completion_key_t *key, u_char state);
static void ngx_completion_claim_answered(ngx_completion_redis_call_t *call);
static ngx_int_t ngx_completion_claim_found(ngx_completion_claim_t *claim,
    ngx_completion_reply_t *reply);
static ngx_int_t ngx_completion_claim_look(ngx_completion_claim_t *claim,
    ngx_uint_t i, ngx_str_t *sealed, int64_t left);
static ngx_int_t ngx_completion_claim_read(ngx_str_t *value, int64_t left,
    ngx_completion_claim_said_t *said);
static void ngx_completion_claim_lost(ngx_completion_claim_t *claim,
    ngx_uint_t sent);
static void ngx_completion_claim_tell(ngx_completion_claim_t *claim,
    const char *what, u_char state, ngx_completion_id_t *id,
    ngx_uint_t first, ngx_uint_t n);
static void ngx_completion_claim_end_one(ngx_completion_claims_t *claims,
    ngx_completion_key_t *key, u_char kind, ngx_str_t *id, ngx_uint_t shared);
static void ngx_completion_claim_end_found(ngx_completion_claim_told_t *looked,
    ngx_completion_reply_t *reply);
static ngx_completion_claim_told_t *ngx_completion_claim_told_create(
    ngx_completion_claims_t *claims, ngx_uint_t n, ngx_str_t *args);
static void ngx_completion_claim_post(ngx_completion_claim_told_t *told);
static void ngx_completion_claim_told(ngx_completion_redis_call_t *call);
static void ngx_completion_claim_keep(ngx_completion_claim_told_t *told);


#define ngx_completion_claim_is_cache(claim, key)                             \
    ((key) == &(claim)->keys->cache)


static ngx_completion_redis_script_t  ngx_completion_claims_script = {
    ngx_string(NGX_COMPLETION_CLAIMS_LUA), { 0 }
};


ngx_completion_claims_t *
ngx_completion_claims_create(ngx_completion_redis_t *redis,
    ngx_msec_t deadline, ngx_log_t *log)
{
    ngx_completion_claims_t  *claims;

    claims = ngx_calloc(sizeof(ngx_completion_claims_t), log);
    if (claims == NULL) {
        return NULL;
    }

    claims->redis = redis;
    claims->deadline = deadline;
    claims->log = log;

    ngx_queue_init(&claims->told);
    ngx_queue_init(&claims->kept);

    ngx_completion_redis_script_init(&ngx_completion_claims_script);

    return claims;
}


void
ngx_completion_claims_exit(ngx_completion_claims_t *claims)
{
    ngx_queue_t                  *q, *queues[2];
    ngx_uint_t                    i;
    ngx_completion_claim_told_t  *told;

    queues[0] = &claims->told;
    queues[1] = &claims->kept;

    for (i = 0; i < 2; i++) {

        while (!ngx_queue_empty(queues[i])) {
            q = ngx_queue_head(queues[i]);
            told = ngx_queue_data(q, ngx_completion_claim_told_t, queue);

            ngx_queue_remove(q);
            ngx_completion_redis_cancel(&told->call);
            ngx_destroy_pool(told->pool);
        }
    }
}


ngx_int_t
ngx_completion_claim_start(ngx_completion_claim_t *claim)
{
    ngx_int_t  rc;

    if (claim->n == 0) {
        ngx_completion_claim_names(claim);

        if (claim->n == 0) {
            return NGX_OK;
        }

        if (ngx_completion_claim_name(claim) != NGX_OK) {
            claim->n = 0;
            ngx_completion_claim_lost(claim, 0);
            return NGX_OK;
        }
    }

    claim->state = NGX_COMPLETION_CLAIM_NONE;
    claim->sends = 0;
    claim->tries = 0;

    rc = ngx_completion_claim_call(claim, "claim", 'q');

    if (rc != NGX_AGAIN) {
        ngx_completion_claim_lost(claim, 0);
        return NGX_OK;
    }

    return NGX_AGAIN;
}


void
ngx_completion_claim_forget(ngx_completion_claim_t *claim)
{
    claim->absent[claim->told] = claim->sealed;
}


ngx_int_t
ngx_completion_claim_send(ngx_completion_claim_t *claim)
{
    if (claim->state != NGX_COMPLETION_CLAIM_HELD || claim->sends) {
        return NGX_OK;
    }

    claim->sends = 1;

    if (ngx_completion_claim_call(claim, "turn", 's') != NGX_AGAIN) {
        ngx_completion_claim_lost(claim, 1);
        return NGX_OK;
    }

    return NGX_AGAIN;
}


void
ngx_completion_claim_wait(ngx_completion_claim_t *claim)
{
    if (claim->state == NGX_COMPLETION_CLAIM_HELD && claim->sends) {
        claim->sends = 0;
        ngx_completion_claim_tell(claim, "turn", 'q', NULL, 0, claim->n);
    }
}


void
ngx_completion_claim_end(ngx_completion_claim_t *claim,
    ngx_completion_outcome_e outcome, ngx_completion_id_t *id)
{
    ngx_uint_t  i;

    ngx_completion_claim_cancel(claim);

    /* without an answer too: what was sent is true all the same */

    if (claim->n == 0
        || (claim->state != NGX_COMPLETION_CLAIM_HELD
            && claim->state != NGX_COMPLETION_CLAIM_NONE))
    {
        return;
    }

    if (outcome == NGX_COMPLETION_OK) {
        ngx_completion_claim_tell(claim, "tell", 'a', id, 0, claim->n);

    } else if (outcome != NGX_COMPLETION_OUTCOME_UNKNOWN) {
        ngx_completion_claim_tell(claim, "drop", 'q', NULL, 0, claim->n);

    } else {

        for (i = 0; i < claim->n; i++) {

            if (ngx_completion_claim_is_cache(claim, claim->names[i])) {
                ngx_completion_claim_tell(claim, "drop", 'q', NULL, i, 1);

            } else {
                ngx_completion_claim_tell(claim, "tell", 'u', NULL, i, 1);
            }
        }
    }

    claim->n = 0;
}


void
ngx_completion_claim_cancel(ngx_completion_claim_t *claim)
{
    ngx_completion_redis_cancel(&claim->call);
}


static void
ngx_completion_claim_names(ngx_completion_claim_t *claim)
{
    if (claim->keys->idempotency.ttl) {
        claim->names[claim->n++] = &claim->keys->idempotency;
    }

    if (claim->keys->cache.ttl) {
        claim->names[claim->n++] = &claim->keys->cache;
    }
}


static ngx_int_t
ngx_completion_claim_name(ngx_completion_claim_t *claim)
{
    u_char      kind, raw[NGX_COMPLETION_CLAIM_TOKEN / 2];
    ngx_uint_t  i;

    if (RAND_bytes(raw, sizeof(raw)) != 1) {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(claim->token, raw, sizeof(raw));

    for (i = 0; i < claim->n; i++) {
        kind = ngx_completion_claim_is_cache(claim, claim->names[i]) ? 'c'
                                                                     : 'k';

        if (ngx_completion_claim_keyname(claim->claims, claim->pool, kind,
                                         claim->names[i], &claim->keynames[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    claim->call.handler = ngx_completion_claim_answered;
    claim->call.data = claim;
    claim->call.kind = NGX_COMPLETION_METRICS_REDIS_CLAIM;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_claim_keyname(ngx_completion_claims_t *claims, ngx_pool_t *pool,
    u_char kind, ngx_completion_key_t *key, ngx_str_t *name)
{
    u_char     *p;
    ngx_str_t  *names;

    names = &ngx_completion_redis_conf(claims->redis)->names;

    p = ngx_pnalloc(pool, names->len + 2 + 2 * NGX_COMPLETION_KEY_DIGEST);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name->data = p;

    p = ngx_sprintf(p, "%V%c:", names, kind);
    p = ngx_hex_dump(p, key->name, NGX_COMPLETION_KEY_DIGEST);

    name->len = p - name->data;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_claim_call(ngx_completion_claim_t *claim, const char *what,
    u_char state)
{
    ngx_completion_claim_args_t  args;

    if (ngx_completion_claim_args(claim, what, state, NULL, &args) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_completion_redis_script(claim->claims->redis, &claim->call,
                                       &ngx_completion_claims_script, claim->n,
                                       2 + 4 * claim->n, args.args);
}


static ngx_int_t
ngx_completion_claim_args(ngx_completion_claim_t *claim, const char *what,
    u_char state, ngx_completion_id_t *id, ngx_completion_claim_args_t *args)
{
    u_char                *p, text[NGX_COMPLETION_CLAIM_VALUE];
    uint32_t               span;
    uint64_t               ms;
    ngx_str_t              value, *arg;
    ngx_uint_t             i;
    ngx_completion_key_t  *key;

    value.data = text;

    ngx_memcpy(args->args, claim->keynames, claim->n * sizeof(ngx_str_t));
    arg = &args->args[claim->n];

    arg->data = (u_char *) what;
    arg++->len = ngx_strlen(what);
    arg->data = claim->token;
    arg++->len = NGX_COMPLETION_CLAIM_TOKEN;

    for (i = 0; i < claim->n; i++) {
        key = claim->names[i];
        ms = ngx_completion_claim_stands(claim, key, state);

        p = ngx_cpymem(text, claim->token, NGX_COMPLETION_CLAIM_TOKEN);
        *p++ = state;
        *p++ = (id && id->shared) ? 's' : 'p';
        p = ngx_hex_dump(p, claim->keys->idempotency.request,
                         NGX_COMPLETION_KEY_DIGEST);
        span = (state == 'a') ? (uint32_t) key->ttl : (uint32_t) claim->sending;
        p = ngx_sprintf(p, "%012xL%08xD%08xD", ms, span,
                        (uint32_t) (id ? id->submitted : 0));

        if (id) {
            p = ngx_cpymem(p, id->upstream.data, id->upstream.len);
        }

        value.len = p - text;

        if (ngx_completion_redis_seal(claim->claims->redis,
                                      &claim->keynames[i], &value,
                                      args->values[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        arg->data = args->values[i];
        arg++->len = NGX_COMPLETION_REDIS_TAG + value.len;
        arg->data = args->ms[i];
        arg++->len = ngx_sprintf(args->ms[i], "%uL", ms) - args->ms[i];

        ngx_str_set(arg, "");

        if (claim->absent[i].len) {
            *arg = claim->absent[i];
        }

        arg++;
    }

    return NGX_OK;
}


/* ms */

static uint64_t
ngx_completion_claim_stands(ngx_completion_claim_t *claim,
    ngx_completion_key_t *key, u_char state)
{
    uint64_t  ms, sending;

    ms = (uint64_t) key->ttl * 1000;
    sending = claim->sending + NGX_COMPLETION_CLAIM_GRACE;

    switch (state) {

    case 'q':
        return claim->queue + sending;

    case 's':
        return ngx_completion_claim_is_cache(claim, key)
                   ? sending : ngx_max(ms, sending);

    case 'a':

        if (ngx_completion_claim_is_cache(claim, key)) {
            ms += claim->claims->deadline;
        }

        /* fall through */

    default:
        return ngx_max(ms, 1);
    }
}


static void
ngx_completion_claim_answered(ngx_completion_redis_call_t *call)
{
    ngx_int_t                rc;
    ngx_completion_claim_t  *claim;
    ngx_completion_reply_t  *reply;

    claim = call->data;
    reply = call->reply;

    if (reply == NULL || reply->type != NGX_COMPLETION_REPLY_ARRAY
        || reply->n == 0
        || reply->elements[0]->type != NGX_COMPLETION_REPLY_INTEGER)
    {
        ngx_completion_claim_lost(claim, reply || call->sent);

    } else if (reply->elements[0]->integer == 1) {
        claim->state = NGX_COMPLETION_CLAIM_HELD;

    } else if (claim->sends) {
        claim->sends = 0;
        claim->state = NGX_COMPLETION_CLAIM_LOST;

    } else {
        rc = ngx_completion_claim_found(claim, reply);

        if (rc == NGX_AGAIN) {
            return;
        }
    }

    claim->handler(claim);
}


/* what stands there: NGX_OK; NGX_AGAIN: it counts as none, and is replaced */

static ngx_int_t
ngx_completion_claim_found(ngx_completion_claim_t *claim,
    ngx_completion_reply_t *reply)
{
    int64_t                   left;
    ngx_int_t                 rc;
    ngx_str_t                *absent;
    ngx_uint_t                i;
    ngx_completion_reply_t  **said;

    for (i = 0; i < claim->n && 2 + 2 * i < reply->n; i++) {
        said = &reply->elements[1 + 2 * i];

        if (said[0]->type != NGX_COMPLETION_REPLY_TEXT
            || said[1]->type != NGX_COMPLETION_REPLY_INTEGER)
        {
            continue;
        }

        left = said[1]->integer;

        rc = ngx_completion_claim_look(claim, i, &said[0]->text, left);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            ngx_completion_claim_lost(claim, 0);
            return NGX_OK;
        }

        absent = &claim->absent[i];
        absent->data = ngx_pstrdup(claim->pool, &said[0]->text);
        absent->len = absent->data ? said[0]->text.len : 0;
    }

    /* another node may be as quick to replace it */

    if (++claim->tries < NGX_COMPLETION_CLAIM_TRIES) {

        if (ngx_completion_claim_call(claim, "claim", 'q') == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        ngx_completion_claim_lost(claim, 0);
        return NGX_OK;
    }

    claim->state = NGX_COMPLETION_CLAIM_UNDERWAY;

    return NGX_OK;
}


/*
 * NGX_OK with the claim's state; NGX_DECLINED: it says nothing to this one;
 * NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_completion_claim_look(ngx_completion_claim_t *claim, ngx_uint_t i,
    ngx_str_t *sealed, int64_t left)
{
    int64_t                      ttl;
    ngx_int_t                    rc;
    ngx_str_t                    value;
    ngx_uint_t                   cache;
    ngx_completion_key_t        *key;
    ngx_completion_claim_said_t  said;

    key = claim->names[i];
    cache = ngx_completion_claim_is_cache(claim, key);

    rc = ngx_completion_redis_open(claim->claims->redis, &claim->keynames[i],
                                   sealed, &value);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK
        || ngx_completion_claim_read(&value, left, &said) != NGX_OK
        || ngx_memcmp(said.token, claim->token, NGX_COMPLETION_CLAIM_TOKEN)
           == 0)
    {
        return NGX_DECLINED;
    }

    claim->replayed = !cache;

    /* of the cache the name says what is asked */

    if (!cache && ngx_memcmp(said.request, key->request,
                             NGX_COMPLETION_KEY_DIGEST)
                  != 0)
    {
        claim->state = NGX_COMPLETION_CLAIM_CONFLICT;
        return NGX_OK;
    }

    switch (said.state) {

    case 'q':
        claim->state = NGX_COMPLETION_CLAIM_UNDERWAY;
        return NGX_OK;

    case 's':
        claim->state = (said.age > said.span + NGX_COMPLETION_CLAIM_GRACE)
                           ? NGX_COMPLETION_CLAIM_UNKNOWN
                           : NGX_COMPLETION_CLAIM_UNDERWAY;
        return NGX_OK;

    case 'a':
    case 'e':

        ttl = (int64_t) key->ttl * 1000;

        if (said.state == 'a') {
            ttl += claim->claims->deadline;
        }

        if (cache && said.age > ttl) {
            return NGX_DECLINED;
        }

        claim->id = said.id;
        claim->id.upstream.data = claim->buf;
        ngx_memcpy(claim->buf, said.id.upstream.data, said.id.upstream.len);

        claim->told = i;
        claim->sealed.data = ngx_pstrdup(claim->pool, sealed);
        claim->sealed.len = claim->sealed.data ? sealed->len : 0;

        /* a key of this request leads there from now on, unless it does */

        if (cache && i) {
            ngx_completion_claim_tell(claim, "tell", 'a', &claim->id, 0, 1);
        }

        claim->state = NGX_COMPLETION_CLAIM_ACCEPTED;
        return NGX_OK;

    default: /* 'u' */
        claim->state = NGX_COMPLETION_CLAIM_UNKNOWN;
        return NGX_OK;
    }
}


static ngx_int_t
ngx_completion_claim_read(ngx_str_t *value, int64_t left,
    ngx_completion_claim_said_t *said)
{
    u_char      *p;
    ngx_int_t    ms, span, submitted, n;
    ngx_uint_t   i;

    /* what has no end was not written as it stands */

    if (value->len < NGX_COMPLETION_CLAIM_HEAD || left < 0
        || value->len > NGX_COMPLETION_CLAIM_VALUE)
    {
        return NGX_DECLINED;
    }

    p = value->data;

    said->token = p;
    p += NGX_COMPLETION_CLAIM_TOKEN;

    said->state = *p++;
    said->id.shared = (*p++ == 's');

    for (i = 0; i < NGX_COMPLETION_KEY_DIGEST; i++) {
        n = ngx_hextoi(p, 2);

        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        said->request[i] = (u_char) n;
        p += 2;
    }

    ms = ngx_hextoi(p, 12);
    span = ngx_hextoi(p + 12, 8);
    submitted = ngx_hextoi(p + 20, 8);

    if (ms == NGX_ERROR || span == NGX_ERROR || submitted == NGX_ERROR) {
        return NGX_DECLINED;
    }

    said->age = ms - left;
    said->span = span;

    said->id.submitted = submitted;
    said->id.upstream.data = p + 28;
    said->id.upstream.len = value->len - NGX_COMPLETION_CLAIM_HEAD;

    if ((said->state == 'a' || said->state == 'e')
        && ngx_completion_id_check(&said->id.upstream) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * There is no answer.  What may have been carried out is taken back at the
 * server's return, but of what this node goes on to send.
 */

static void
ngx_completion_claim_lost(ngx_completion_claim_t *claim, ngx_uint_t sent)
{
    ngx_uint_t  strict;

    strict = ngx_completion_redis_conf(claim->claims->redis)->strict
             && claim->keys->idempotency.ttl;

    if (claim->sends ? strict : sent) {
        ngx_completion_claim_tell(claim, "drop", 'q', NULL, 0, claim->n);
    }

    claim->state = strict ? NGX_COMPLETION_CLAIM_AWAY
                          : NGX_COMPLETION_CLAIM_NONE;
}


/* of some of the names; nobody waits for the answer */

static void
ngx_completion_claim_tell(ngx_completion_claim_t *claim, const char *what,
    u_char state, ngx_completion_id_t *id, ngx_uint_t first, ngx_uint_t n)
{
    ngx_uint_t                    i;
    ngx_completion_claim_t        part;
    ngx_completion_claim_args_t   args;
    ngx_completion_claim_told_t  *told;

    part = *claim;
    part.n = n;

    for (i = 0; i < n; i++) {
        part.names[i] = claim->names[first + i];
        part.keynames[i] = claim->keynames[first + i];
        ngx_str_null(&part.absent[i]);
    }

    if (ngx_completion_claim_args(&part, what, state, id, &args) != NGX_OK) {
        return;
    }

    told = ngx_completion_claim_told_create(claim->claims, n, args.args);

    if (told) {
        ngx_completion_claim_post(told);
    }
}


void
ngx_completion_claims_ended(ngx_completion_claims_t *claims,
    ngx_completion_keys_t *keys, ngx_str_t *id, ngx_uint_t shared)
{
    if (keys->cache.ttl) {
        ngx_completion_claim_end_one(claims, &keys->cache, 'c', id, shared);
    }

    if (keys->idempotency.ttl && !shared) {
        ngx_completion_claim_end_one(claims, &keys->idempotency, 'k', id, 0);
    }
}


/* what stands there is told by whom nobody's token lets write */

static void
ngx_completion_claim_end_one(ngx_completion_claims_t *claims,
    ngx_completion_key_t *key, u_char kind, ngx_str_t *id, ngx_uint_t shared)
{
    ngx_str_t                     args[6];
    ngx_pool_t                   *pool;
    ngx_completion_claim_told_t  *told;

    pool = ngx_create_pool(256, claims->log);
    if (pool == NULL) {
        return;
    }

    told = NULL;

    if (ngx_completion_claim_keyname(claims, pool, kind, key, &args[0])
        == NGX_OK)
    {
        ngx_str_set(&args[1], "turn");
        ngx_str_set(&args[2], "-");
        ngx_str_set(&args[3], "");
        ngx_str_set(&args[4], "1");
        ngx_str_set(&args[5], "");

        told = ngx_completion_claim_told_create(claims, 1, args);
    }

    ngx_destroy_pool(pool);

    if (told) {
        told->ends = 1;
        told->shared = shared;
        told->len = id->len;
        ngx_memcpy(told->id, id->data, id->len);

        ngx_completion_claim_post(told);
    }
}


/* by its holder's token it is put off, or dropped */

static void
ngx_completion_claim_end_found(ngx_completion_claim_told_t *looked,
    ngx_completion_reply_t *reply)
{
    u_char                        *p, ms[NGX_INT64_LEN];
    u_char                         text[NGX_COMPLETION_CLAIM_VALUE];
    u_char                         sealed[NGX_COMPLETION_CLAIM_SEALED];
    uint64_t                       stands;
    ngx_str_t                      value, args[6];
    ngx_completion_reply_t       **reply_to;
    ngx_completion_claims_t       *claims;
    ngx_completion_claim_said_t    said;
    ngx_completion_claim_told_t   *told;

    claims = looked->claims;
    reply_to = reply->elements;

    if (reply->type != NGX_COMPLETION_REPLY_ARRAY || reply->n < 3
        || reply_to[1]->type != NGX_COMPLETION_REPLY_TEXT
        || reply_to[2]->type != NGX_COMPLETION_REPLY_INTEGER
        || ngx_completion_redis_open(claims->redis, &looked->args[0],
                                     &reply_to[1]->text, &value)
           != NGX_OK
        || ngx_completion_claim_read(&value, reply_to[2]->integer, &said)
           != NGX_OK)
    {
        return;
    }

    /* one that has ended may still be deleted */

    if ((said.state != 'a' && (said.state != 'e' || looked->shared))
        || said.id.upstream.len != looked->len
        || ngx_memcmp(said.id.upstream.data, looked->id, looked->len) != 0)
    {
        return;
    }

    stands = ngx_max(said.span * 1000, 1);

    p = ngx_cpymem(text, value.data, value.len);
    value.data = text;
    value.len = p - text;

    text[NGX_COMPLETION_CLAIM_STATE] = 'e';
    p = ngx_sprintf(ms, "%012xL", stands);
    ngx_memcpy(&text[NGX_COMPLETION_CLAIM_MS], ms, p - ms);

    if (ngx_completion_redis_seal(claims->redis, &looked->args[0], &value,
                                  sealed)
        != NGX_OK)
    {
        return;
    }

    args[0] = looked->args[0];
    ngx_str_set(&args[1], "turn");

    if (!looked->shared) {
        ngx_str_set(&args[1], "drop");
    }

    args[2].data = said.token;
    args[2].len = NGX_COMPLETION_CLAIM_TOKEN;
    args[3].data = sealed;
    args[3].len = NGX_COMPLETION_REDIS_TAG + value.len;
    args[4].data = ms;
    args[4].len = ngx_sprintf(ms, "%uL", stands) - ms;
    ngx_str_set(&args[5], "");

    told = ngx_completion_claim_told_create(claims, 1, args);

    if (told) {
        ngx_completion_claim_post(told);
    }
}


/* of n names, with copies of what it says */

static ngx_completion_claim_told_t *
ngx_completion_claim_told_create(ngx_completion_claims_t *claims, ngx_uint_t n,
    ngx_str_t *args)
{
    size_t                        size;
    u_char                       *p;
    ngx_uint_t                    i;
    ngx_pool_t                   *pool;
    ngx_completion_claim_told_t  *told;

    size = sizeof(ngx_completion_claim_told_t);

    for (i = 0; i < 2 + 4 * n; i++) {
        size += args[i].len;
    }

    pool = ngx_create_pool(size + sizeof(ngx_pool_t) + NGX_POOL_ALIGNMENT,
                           claims->log);
    if (pool == NULL) {
        return NULL;
    }

    told = ngx_palloc(pool, sizeof(ngx_completion_claim_told_t));
    p = ngx_pnalloc(pool, size - sizeof(ngx_completion_claim_told_t));

    if (told == NULL || p == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_memzero(told, sizeof(ngx_completion_claim_told_t));

    told->pool = pool;
    told->claims = claims;
    told->n = n;
    told->call.handler = ngx_completion_claim_told;
    told->call.data = told;
    told->call.kind = NGX_COMPLETION_METRICS_REDIS_CLAIM;

    for (i = 0; i < 2 + 4 * n; i++) {
        told->args[i].data = p;
        told->args[i].len = args[i].len;
        p = ngx_cpymem(p, args[i].data, args[i].len);
    }

    return told;
}


static void
ngx_completion_claim_post(ngx_completion_claim_told_t *told)
{
    if (ngx_completion_redis_script(told->claims->redis, &told->call,
                                    &ngx_completion_claims_script, told->n,
                                    2 + 4 * told->n, told->args)
        == NGX_AGAIN)
    {
        ngx_queue_insert_tail(&told->claims->told, &told->queue);

    } else {
        ngx_completion_claim_keep(told);
    }
}


static void
ngx_completion_claim_told(ngx_completion_redis_call_t *call)
{
    ngx_completion_claim_told_t  *told;

    told = call->data;

    ngx_queue_remove(&told->queue);

    if (call->reply) {

        if (told->ends) {
            ngx_completion_claim_end_found(told, call->reply);
        }

        ngx_destroy_pool(told->pool);

    } else {
        ngx_completion_claim_keep(told);
    }
}


static void
ngx_completion_claim_keep(ngx_completion_claim_told_t *told)
{
    ngx_queue_t              *q;
    ngx_completion_claims_t  *claims;

    claims = told->claims;

    ngx_queue_insert_tail(&claims->kept, &told->queue);

    if (++claims->nkept > NGX_COMPLETION_CLAIM_KEPT) {
        q = ngx_queue_head(&claims->kept);

        ngx_queue_remove(q);
        claims->nkept--;

        told = ngx_queue_data(q, ngx_completion_claim_told_t, queue);
        ngx_destroy_pool(told->pool);
    }
}


void
ngx_completion_claims_reached(ngx_completion_claims_t *claims)
{
    ngx_uint_t                    n;
    ngx_queue_t                  *q;
    ngx_completion_claim_told_t  *told;

    for (n = claims->nkept; n; n--) {
        q = ngx_queue_head(&claims->kept);
        told = ngx_queue_data(q, ngx_completion_claim_told_t, queue);

        ngx_queue_remove(q);
        claims->nkept--;

        ngx_completion_claim_post(told);
    }
}
