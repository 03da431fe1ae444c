
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
#define NGX_COMPLETION_CLAIM_VALUE                                            \
    (NGX_COMPLETION_CLAIM_HEAD + NGX_COMPLETION_ID_UPSTREAM)
#define NGX_COMPLETION_CLAIM_SEALED                                           \
    (NGX_COMPLETION_REDIS_TAG + NGX_COMPLETION_CLAIM_VALUE)

/* times that a claim finds what it is to replace, and somebody is quicker */
#define NGX_COMPLETION_CLAIM_TRIES  3

/* names, what to do and whose, and of each a value, ms and what is absent */
#define NGX_COMPLETION_CLAIM_ARGS   (2 + 4 * NGX_COMPLETION_CLAIM_NAMES)


struct ngx_completion_claims_s {
    ngx_completion_redis_t        *redis;
    ngx_completion_errands_t      *errands;
    ngx_msec_t                     deadline;
    ngx_log_t                     *log;

    /* the tokens of a worker: what is random of them, and the last one */

    u_char                         random[NGX_COMPLETION_CLAIM_TOKEN / 4];
    uint64_t                       turn;
};


typedef struct {
    ngx_str_t                      args[NGX_COMPLETION_CLAIM_ARGS];
    u_char                         values[NGX_COMPLETION_CLAIM_NAMES]
                                         [NGX_COMPLETION_CLAIM_SEALED];
    u_char                         ms[NGX_COMPLETION_CLAIM_NAMES]
                                     [NGX_INT64_LEN];
} ngx_completion_claim_args_t;


/* an errand: what nobody waits for the answer of; behind it stands the id */
typedef struct {
    u_char                         kind;
    u_char                         what;     /* its first letter */
    u_char                         state;
    unsigned                       shared:1;
    unsigned                       n:7;
    uint32_t                       queue;
    uint32_t                       sending;
    uint32_t                       submitted;
    ngx_msec_t                     since;    /* what it says is so */
    u_char                         token[NGX_COMPLETION_CLAIM_TOKEN];
    u_char                         request[NGX_COMPLETION_KEY_DIGEST];

    struct {
        uint32_t                   ttl;
        u_char                     cache;
        u_char                     name[NGX_COMPLETION_KEY_DIGEST];
    } names[NGX_COMPLETION_CLAIM_NAMES];
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
static ngx_int_t ngx_completion_claim_token(ngx_completion_claim_t *claim);
static ngx_int_t ngx_completion_claim_name(ngx_completion_claim_t *claim);
static ngx_int_t ngx_completion_claim_call(ngx_completion_claim_t *claim,
    const char *what, u_char state);
static ngx_int_t ngx_completion_claim_args(ngx_completion_claim_t *claim,
    const char *what, u_char state, ngx_completion_id_t *id,
    ngx_msec_t since, ngx_completion_claim_args_t *args);
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
static void ngx_completion_claim_post(ngx_completion_claims_t *claims,
    ngx_completion_claim_told_t *told, ngx_str_t *id, ngx_uint_t kept);
static void ngx_completion_claim_ended(ngx_completion_claims_t *claims,
    ngx_completion_key_t *key, ngx_uint_t cache, ngx_str_t *id,
    ngx_uint_t shared);
static ngx_int_t ngx_completion_claim_told(void *data,
    ngx_completion_errand_t *errand, ngx_completion_redis_call_t *call);
static void ngx_completion_claim_recall(ngx_completion_claims_t *claims,
    ngx_completion_claim_told_t *told, ngx_completion_keys_t *keys,
    ngx_completion_claim_t *claim);
static void ngx_completion_claim_heard(void *data,
    ngx_completion_errand_t *errand, ngx_completion_reply_t *reply);


#define ngx_completion_claim_is_cache(claim, key)                             \
    ((key) == &(claim)->keys->cache)


static const ngx_completion_errand_kind_t  ngx_completion_claims_told = {
    ngx_completion_claim_told, ngx_completion_claim_heard,
    NGX_COMPLETION_METRICS_REDIS_CLAIM
};

static ngx_completion_redis_script_t  ngx_completion_claims_script = {
    ngx_string(NGX_COMPLETION_CLAIMS_LUA), { 0 }
};


ngx_completion_claims_t *
ngx_completion_claims_create(ngx_completion_redis_t *redis,
    ngx_completion_errands_t *errands, ngx_msec_t deadline, ngx_log_t *log)
{
    ngx_completion_claims_t  *claims;

    claims = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_claims_t));
    if (claims == NULL) {
        return NULL;
    }

    claims->redis = redis;
    claims->errands = errands;
    claims->deadline = deadline;
    claims->log = log;

    ngx_completion_errands_kind(errands, NGX_COMPLETION_ERRAND_CLAIM,
                                &ngx_completion_claims_told, claims);

    ngx_completion_redis_script_init(&ngx_completion_claims_script);

    return claims;
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

        if (ngx_completion_claim_token(claim) != NGX_OK
            || ngx_completion_claim_name(claim) != NGX_OK)
        {
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
ngx_completion_claim_token(ngx_completion_claim_t *claim)
{
    u_char                   *p;
    ngx_completion_claims_t  *claims;

    claims = claim->claims;

    /* they are no secret, only never the same */

    if (claims->turn == 0
        && RAND_bytes(claims->random, sizeof(claims->random)) != 1)
    {
        return NGX_ERROR;
    }

    p = ngx_hex_dump(claim->token, claims->random, sizeof(claims->random));
    (void) ngx_sprintf(p, "%016xL", ++claims->turn);

    claim->call.handler = ngx_completion_claim_answered;
    claim->call.data = claim;
    claim->call.kind = NGX_COMPLETION_METRICS_REDIS_CLAIM;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_claim_name(ngx_completion_claim_t *claim)
{
    u_char      *p;
    ngx_str_t   *names;
    ngx_uint_t   i;

    names = &ngx_completion_redis_conf(claim->claims->redis)->names;

    for (i = 0; i < claim->n; i++) {
        p = ngx_pnalloc(claim->pool,
                        names->len + 2 + 2 * NGX_COMPLETION_KEY_DIGEST);
        if (p == NULL) {
            return NGX_ERROR;
        }

        claim->keynames[i].data = p;

        p = ngx_sprintf(p, "%V%c:", names,
                        ngx_completion_claim_is_cache(claim, claim->names[i])
                            ? 'c' : 'k');
        p = ngx_hex_dump(p, claim->names[i]->name, NGX_COMPLETION_KEY_DIGEST);

        claim->keynames[i].len = p - claim->keynames[i].data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_claim_call(ngx_completion_claim_t *claim, const char *what,
    u_char state)
{
    ngx_completion_claim_args_t  args;

    if (ngx_completion_claim_args(claim, what, state, NULL, ngx_current_msec,
                                  &args)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_completion_redis_script(claim->claims->redis, &claim->call,
                                       &ngx_completion_claims_script, claim->n,
                                       2 + 4 * claim->n, args.args);
}


static ngx_int_t
ngx_completion_claim_args(ngx_completion_claim_t *claim, const char *what,
    u_char state, ngx_completion_id_t *id, ngx_msec_t since,
    ngx_completion_claim_args_t *args)
{
    u_char                *p, text[NGX_COMPLETION_CLAIM_VALUE];
    int64_t                left, late;
    uint32_t               span;
    uint64_t               ms;
    ngx_str_t              value, *arg;
    ngx_uint_t             i;
    ngx_completion_key_t  *key;

    value.data = text;
    late = (ngx_msec_int_t) (ngx_current_msec - since);

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

        /* what is told late stands for the rest of its time */

        left = (int64_t) ms - ngx_max(late, 0);

        arg->data = args->ms[i];
        arg++->len = ngx_sprintf(args->ms[i], "%L", ngx_max(left, 1))
                     - args->ms[i];

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
        ngx_completion_claim_tell(claim, "undo", 'q', NULL, 0, claim->n);
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
    ngx_completion_key_t         *key;
    ngx_completion_claim_told_t   told;

    ngx_memzero(&told, sizeof(ngx_completion_claim_told_t));

    told.kind = NGX_COMPLETION_ERRAND_CLAIM;
    told.what = what[0];
    told.state = state;
    told.n = n;
    told.queue = (uint32_t) claim->queue;
    told.sending = (uint32_t) claim->sending;
    told.since = ngx_current_msec;

    ngx_memcpy(told.token, claim->token, NGX_COMPLETION_CLAIM_TOKEN);
    ngx_memcpy(told.request, claim->keys->idempotency.request,
               NGX_COMPLETION_KEY_DIGEST);

    for (i = 0; i < n; i++) {
        key = claim->names[first + i];

        told.names[i].ttl = (uint32_t) key->ttl;
        told.names[i].cache = ngx_completion_claim_is_cache(claim, key);
        ngx_memcpy(told.names[i].name, key->name, NGX_COMPLETION_KEY_DIGEST);
    }

    if (id) {
        told.shared = id->shared;
        told.submitted = (uint32_t) id->submitted;
    }

    /* what it goes back to is true only as long as it is not sent after all */

    ngx_completion_claim_post(claim->claims, &told, id ? &id->upstream : NULL,
                              state != 'q' || what[0] != 't');
}


static void
ngx_completion_claim_post(ngx_completion_claims_t *claims,
    ngx_completion_claim_told_t *told, ngx_str_t *id, ngx_uint_t kept)
{
    u_char                   *p;
    ngx_completion_errand_t   errand;

    _Static_assert(sizeof(ngx_completion_claim_told_t)
                   + NGX_COMPLETION_ID_UPSTREAM
                   <= NGX_COMPLETION_ERRAND_DATA, "an errand has room for it");

    ngx_completion_errand_begin(claims->errands, NGX_COMPLETION_ERRAND_CLAIM,
                                &errand);

    errand.light = 1;
    p = ngx_cpymem(errand.data, told, sizeof(ngx_completion_claim_told_t));

    /* that it was accepted goes ahead of its end */

    if (id) {
        p = ngx_cpymem(p, id->data, id->len);
        errand.subject = ngx_completion_zone_hash(id);
    }

    errand.len = p - errand.data;

    if (kept) {
        ngx_completion_errands_post(claims->errands, &errand);

    } else {
        errand.due = 1;
        ngx_completion_errands_do(claims->errands, &errand);
    }
}


void
ngx_completion_claims_ended(ngx_completion_claims_t *claims,
    ngx_completion_keys_t *keys, ngx_str_t *id, ngx_uint_t shared)
{
    if (keys->cache.ttl) {
        ngx_completion_claim_ended(claims, &keys->cache, 1, id, shared);
    }

    if (keys->idempotency.ttl && !shared) {
        ngx_completion_claim_ended(claims, &keys->idempotency, 0, id, 0);
    }
}


/* nobody's token reads what stands there, and changes nothing */

static void
ngx_completion_claim_ended(ngx_completion_claims_t *claims,
    ngx_completion_key_t *key, ngx_uint_t cache, ngx_str_t *id,
    ngx_uint_t shared)
{
    ngx_completion_claim_told_t  told;

    ngx_memzero(&told, sizeof(ngx_completion_claim_told_t));

    told.kind = NGX_COMPLETION_ERRAND_CLAIM;
    told.what = 'e';
    told.state = shared ? 'e' : 'q';
    told.n = 1;
    told.since = ngx_current_msec;
    told.names[0].ttl = 1;
    told.names[0].cache = cache;

    ngx_memset(told.token, '-', NGX_COMPLETION_CLAIM_TOKEN);
    ngx_memcpy(told.names[0].name, key->name, NGX_COMPLETION_KEY_DIGEST);

    ngx_completion_claim_post(claims, &told, id, 1);
}


static ngx_int_t
ngx_completion_claim_told(void *data, ngx_completion_errand_t *errand,
    ngx_completion_redis_call_t *call)
{
    ngx_completion_claims_t *claims = data;

    ngx_int_t                     rc;
    const char                   *what;
    ngx_completion_id_t           id;
    ngx_completion_keys_t         keys;
    ngx_completion_claim_t        claim;
    ngx_completion_claim_args_t   args;
    ngx_completion_claim_told_t   told;

    ngx_memcpy(&told, errand->data, sizeof(ngx_completion_claim_told_t));

    ngx_completion_claim_recall(claims, &told, &keys, &claim);
    ngx_memzero(&id, sizeof(ngx_completion_id_t));

    id.shared = told.shared;
    id.submitted = told.submitted;
    id.upstream.data = errand->data + sizeof(ngx_completion_claim_told_t);
    id.upstream.len = errand->len - sizeof(ngx_completion_claim_told_t);

    what = (told.what == 'd') ? "drop" : (told.what == 'u') ? "undo"
           : (told.state == 'q' || told.state == 'e') ? "turn" : "tell";

    rc = NGX_DECLINED;
    claim.pool = ngx_create_pool(1024, claims->log);

    if (claim.pool
        && ngx_completion_claim_name(&claim) == NGX_OK
        && ngx_completion_claim_args(&claim, what, told.state,
                                     id.upstream.len ? &id : NULL, told.since,
                                     &args)
           == NGX_OK)
    {
        rc = ngx_completion_redis_script(claims->redis, call,
                                         &ngx_completion_claims_script,
                                         claim.n, 2 + 4 * claim.n, args.args);
    }

    if (claim.pool) {
        ngx_destroy_pool(claim.pool);
    }

    return rc;
}


static void
ngx_completion_claim_recall(ngx_completion_claims_t *claims,
    ngx_completion_claim_told_t *told, ngx_completion_keys_t *keys,
    ngx_completion_claim_t *claim)
{
    ngx_uint_t             i;
    ngx_completion_key_t  *key;

    ngx_memzero(claim, sizeof(ngx_completion_claim_t));
    ngx_memzero(keys, sizeof(ngx_completion_keys_t));

    claim->claims = claims;
    claim->keys = keys;
    claim->queue = told->queue;
    claim->sending = told->sending;
    claim->n = told->n;

    ngx_memcpy(claim->token, told->token, NGX_COMPLETION_CLAIM_TOKEN);
    ngx_memcpy(keys->idempotency.request, told->request,
               NGX_COMPLETION_KEY_DIGEST);

    for (i = 0; i < claim->n; i++) {
        key = told->names[i].cache ? &keys->cache : &keys->idempotency;

        key->ttl = told->names[i].ttl;
        ngx_memcpy(key->name, told->names[i].name, NGX_COMPLETION_KEY_DIGEST);
        claim->names[i] = key;
    }
}


/* of one that has ended, what stands there: it is put off, or dropped */

static void
ngx_completion_claim_heard(void *data, ngx_completion_errand_t *errand,
    ngx_completion_reply_t *reply)
{
    ngx_completion_claims_t *claims = data;

    ngx_int_t                      rc;
    ngx_str_t                      id, value;
    ngx_completion_keys_t          keys;
    ngx_completion_reply_t       **stands;
    ngx_completion_claim_t         claim;
    ngx_completion_claim_said_t    said;
    ngx_completion_claim_told_t    told;

    ngx_memcpy(&told, errand->data, sizeof(ngx_completion_claim_told_t));

    if (told.what != 'e' || reply == NULL
        || reply->type != NGX_COMPLETION_REPLY_ARRAY || reply->n < 3)
    {
        return;
    }

    stands = reply->elements;
    id.data = errand->data + sizeof(ngx_completion_claim_told_t);
    id.len = errand->len - sizeof(ngx_completion_claim_told_t);

    if (stands[1]->type != NGX_COMPLETION_REPLY_TEXT
        || stands[2]->type != NGX_COMPLETION_REPLY_INTEGER)
    {
        return;
    }

    ngx_completion_claim_recall(claims, &told, &keys, &claim);

    claim.pool = ngx_create_pool(1024, claims->log);
    if (claim.pool == NULL) {
        return;
    }

    rc = ngx_completion_claim_name(&claim);

    if (rc == NGX_OK) {
        rc = ngx_completion_redis_open(claims->redis, &claim.keynames[0],
                                       &stands[1]->text, &value);
    }

    if (rc == NGX_OK) {
        rc = ngx_completion_claim_read(&value, stands[2]->integer, &said);
    }

    ngx_destroy_pool(claim.pool);

    if (rc != NGX_OK) {
        return;
    }

    /* one that has ended is told once, and may still be deleted */

    if ((said.state != 'a' && (said.state != 'e' || told.state == 'e'))
        || said.id.upstream.len != id.len
        || ngx_memcmp(said.id.upstream.data, id.data, id.len) != 0)
    {
        return;
    }

    told.what = (told.state == 'e') ? 't' : 'd';
    told.shared = said.id.shared;
    told.sending = (uint32_t) said.span;
    told.submitted = (uint32_t) said.id.submitted;
    told.names[0].ttl = (uint32_t) said.span;

    ngx_memcpy(told.token, said.token, NGX_COMPLETION_CLAIM_TOKEN);
    ngx_memcpy(told.request, said.request, NGX_COMPLETION_KEY_DIGEST);

    ngx_completion_claim_post(claims, &told, &id, 1);
}
