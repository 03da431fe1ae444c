
/* Claims, by a server that says what the test wants. */


#include "tap.h"
#include "ngx_shim.h"
#include "sealed.h"

#include "../../src/cluster/ngx_completion_claims.h"


#define CALLS  8
#define ARGS   16


static ngx_completion_redis_conf_t   conf;
static ngx_completion_claims_t      *claims;
static ngx_pool_t                   *pool;
static ngx_cycle_t                   cycle;
static ngx_completion_keys_t         keys;

/* what was called, the last one first */
static struct {
    ngx_completion_redis_call_t     *call;
    ngx_uint_t                       nkeys;
    ngx_uint_t                       n;
    char                             args[ARGS][512];
} called[CALLS];

static ngx_completion_id_t           ours = { ngx_string("d7qours"), 1, 0 };

static ngx_uint_t                    ncalled, nhandled, nposted;
static ngx_int_t                     rc = NGX_AGAIN;

/* how errands are done, and what the last one was called by */
static const ngx_completion_errand_kind_t  *told_kind;
static ngx_completion_errand_t              posted;
static ngx_completion_redis_call_t          told_call;


ngx_completion_redis_conf_t *
ngx_completion_redis_conf(ngx_completion_redis_t *redis)
{
    return &conf;
}


ngx_int_t
ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args)
{
    ngx_uint_t  i;

    if (rc != NGX_AGAIN) {
        return rc;
    }

    memmove(&called[1], &called[0], sizeof(called[0]) * (CALLS - 1));
    memset(&called[0], 0, sizeof(called[0]));

    called[0].call = call;
    called[0].nkeys = nkeys;
    called[0].n = n;

    for (i = 0; i < n; i++) {
        memcpy(called[0].args[i], args[i].data, args[i].len);
    }

    call->slot = (ngx_completion_redis_slot_t *) &called;
    ncalled++;

    return NGX_AGAIN;
}


void
ngx_completion_redis_cancel(ngx_completion_redis_call_t *call)
{
    call->slot = NULL;
}


void
ngx_completion_errands_kind(ngx_completion_errands_t *errands,
    ngx_uint_t what, const ngx_completion_errand_kind_t *kind, void *data)
{
    if (what == NGX_COMPLETION_ERRAND_CLAIM) {
        told_kind = kind;
    }
}


void
ngx_completion_errand_begin(ngx_completion_errands_t *errands,
    ngx_uint_t what, ngx_completion_errand_t *errand)
{
    memset(errand, 0, sizeof(ngx_completion_errand_t));
}


void
ngx_completion_errands_do(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand)
{
    memset(&told_call, 0, sizeof(told_call));
    (void) told_kind->call(claims, errand, &told_call);
}


void
ngx_completion_errands_post(ngx_completion_errands_t *errands,
    ngx_completion_errand_t *errand)
{
    nposted++;
    posted = *errand;
    ngx_completion_errands_do(errands, errand);
}


static void
is_text(const char *got, const char *expected, const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) got;
    s.len = strlen(got);

    is_str(&s, expected, name);
}


static void
handled(ngx_completion_claim_t *claim)
{
    nhandled++;
}


static ngx_completion_claim_t *
claim(void)
{
    ngx_completion_claim_t  *c;

    c = ngx_pcalloc(pool, sizeof(ngx_completion_claim_t));

    c->claims = claims;
    c->keys = &keys;
    c->pool = pool;
    c->queue = 20000;
    c->sending = 30000;
    c->handler = handled;

    return c;
}


static void
answers(ngx_completion_redis_call_t *call, ngx_completion_reply_t *reply)
{
    call->reply = reply;
    call->sent = 1;
    call->slot = NULL;
    call->handler(call);
}


/* to a claim: of each of its names a value, or NULL, and ms left */

static void
says(ngx_completion_claim_t *c, int done, const char *k, int kleft,
    const char *v, int vleft)
{
    ngx_completion_reply_t  reply, one[5], *elements[5];

    memset(one, 0, sizeof(one));

    one[0].type = NGX_COMPLETION_REPLY_INTEGER;
    one[0].integer = done;
    one[1].type = k ? NGX_COMPLETION_REPLY_TEXT : NGX_COMPLETION_REPLY_NIL;
    one[1].text.data = (u_char *) k;
    one[1].text.len = k ? strlen(k) : 0;
    one[2].type = NGX_COMPLETION_REPLY_INTEGER;
    one[2].integer = kleft;
    one[3].type = v ? NGX_COMPLETION_REPLY_TEXT : NGX_COMPLETION_REPLY_NIL;
    one[3].text.data = (u_char *) v;
    one[3].text.len = v ? strlen(v) : 0;
    one[4].type = NGX_COMPLETION_REPLY_INTEGER;
    one[4].integer = vleft;

    for (done = 0; done < 5; done++) {
        elements[done] = &one[done];
    }

    reply.type = NGX_COMPLETION_REPLY_ARRAY;
    reply.n = one[0].integer ? 1 : 5;
    reply.elements = elements;

    nhandled = 0;
    nposted = 0;
    answers(&c->call, &reply);
}


/* another node's value, as that writes it, in a state */

static char *
value(char state, int cache)
{
    static char             values[2][512];

    ngx_completion_id_t     id;
    ngx_completion_claim_t  *c = claim();

    id.upstream.data = (u_char *) "d7qupstream";
    id.upstream.len = 11;
    id.submitted = 1700000000;
    id.shared = 1;

    (void) ngx_completion_claim_start(c);
    says(c, 1, NULL, 0, NULL, 0);

    if (state == 's') {
        (void) ngx_completion_claim_send(c);

    } else if (state == 'a') {
        ngx_completion_claim_end(c, NGX_COMPLETION_OK, &id);

    } else if (state == 'u') {
        ngx_completion_claim_end(c, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL);
        cache = 0;
        memcpy(values[0], called[1].args[3], 512);
        return values[0];
    }

    memcpy(values[cache], called[0].args[cache ? 7 : 4], 512);

    return values[cache];
}


static ngx_completion_claim_t *
told(const char *k, int kleft, const char *c, int cleft)
{
    ngx_completion_claim_t  *one = claim();

    (void) ngx_completion_claim_start(one);
    says(one, 0, k, kleft, c, cleft);

    return one;
}


static void
test_names(void)
{
    ngx_completion_claim_t  *c;

    keys.idempotency.ttl = 0;
    keys.cache.ttl = 0;

    c = claim();
    is_int(ngx_completion_claim_start(c), NGX_OK, "without a name");
    is_int(c->state, NGX_COMPLETION_CLAIM_NONE, "nothing is claimed");
    is_int(ngx_completion_claim_send(c), NGX_OK, "and it is sent");
    ngx_completion_claim_end(c, NGX_COMPLETION_OK, &ours);
    is_int(ncalled, 0, "the server hears nothing");

    keys.idempotency.ttl = 3600;
    keys.cache.ttl = 60;

    c = claim();
    is_int(ngx_completion_claim_start(c), NGX_AGAIN, "the server is asked");
    is_int(called[0].nkeys, 2, "by two names");
    is_text(called[0].args[0], "completion:k:01000000000000000000000000000000",
           "that of the key");
    is_text(called[0].args[1], "completion:c:02000000000000000000000000000000",
           "and of the text");
    is_text(called[0].args[2], "claim", "to claim");
    is_int(strlen(called[0].args[3]), NGX_COMPLETION_CLAIM_TOKEN, "by a token");
    ok(memcmp(called[0].args[4] + NGX_COMPLETION_REDIS_TAG, called[0].args[3],
              NGX_COMPLETION_CLAIM_TOKEN) == 0,
       "with which its value begins, behind the seal");
    is_text(called[0].args[5], "60000", "for the line, the sending, and 10 s");

    says(c, 1, NULL, 0, NULL, 0);
    is_int(nhandled, 1, "it hears of it");
    is_int(c->state, NGX_COMPLETION_CLAIM_HELD, "that it has them");

    is_int(ngx_completion_claim_send(c), NGX_AGAIN, "it is to be sent");
    is_text(called[0].args[2], "turn", "which the server is told");
    is_text(called[0].args[5], "3600000", "of a key for its time");
    is_text(called[0].args[8], "40000", "of a text for as long as that takes");
    says(c, 1, NULL, 0, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_HELD, "it may be");
    is_int(ngx_completion_claim_send(c), NGX_OK, "and once is enough");

    ncalled = 0;
    nposted = 0;
    ngx_completion_claim_wait(c);
    is_text(called[0].args[2], "turn", "it waits once more");
    is_int(nposted, 0, "which is not told later");
    is_text(called[0].args[5], "60000", "as when it was claimed");
    ngx_completion_claim_wait(c);
    is_int(ncalled, 1, "and is told once");

    (void) ngx_completion_claim_send(c);
    says(c, 0, NULL, 0, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_LOST, "it may be lost meanwhile");
    (void) ngx_completion_claim_start(c);
    says(c, 1, NULL, 0, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_HELD, "and had again");
}


static void
test_found(void)
{
    char                    *v;
    ngx_completion_claim_t  *c;

    c = told(value('q', 0), 1000, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_UNDERWAY, "another one waits");

    c = told(value('s', 0), 3600000 - 39000, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_UNDERWAY, "it is sending");
    c = told(value('s', 0), 3600000 - 41000, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_UNKNOWN,
           "and has not said for too long how that ended");

    c = told(value('u', 0), 1000, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_UNKNOWN, "or that nobody knows");

    ncalled = 0;
    c = told(value('a', 0), 1000, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_ACCEPTED, "it has an operation");
    is_int(c->id.upstream.len, 11, "of an id");
    ok(memcmp(c->id.upstream.data, "d7qupstream", 11) == 0, "that one");
    is_int(c->id.submitted, 1700000000, "of its time");
    is_int(c->id.shared, 1, "and kind");
    is_int(c->replayed, 1, "by the key");

    c = told(NULL, 0, value('a', 1), 59000);
    is_int(c->state, NGX_COMPLETION_CLAIM_ACCEPTED, "or by the text");
    is_int(c->replayed, 0, "alone");
    is_text(called[0].args[1], "tell", "and the key");
    is_text(called[0].args[0], "completion:k:01000000000000000000000000000000",
           "leads there from now on");

    v = value('a', 0);
    keys.idempotency.request[0]++;
    c = told(v, 1000, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_CONFLICT, "a key of another request");
    keys.idempotency.request[0]--;

    ngx_completion_claim_end(c, NGX_COMPLETION_IDEMPOTENCY_MISMATCH, NULL);
    ok(strcmp(called[0].args[3], "drop") != 0,
       "what is another one's is not dropped");
}


static void
test_absent(void)
{
    char                    *v, forged[512];
    ngx_completion_claim_t  *c;

    v = value('a', 0);
    strcpy(forged, v);
    forged[0] = '+';

    c = told(forged, 1000, NULL, 0);
    is_int(nhandled, 0, "a value that does not verify says nothing");
    is_text(called[0].args[2], "claim", "it is claimed");
    is_text(called[0].args[6], forged, "in its place");
    says(c, 1, NULL, 0, NULL, 0);
    is_int(c->state, NGX_COMPLETION_CLAIM_HELD, "and had");

    (void) told(v, -1, NULL, 0);
    is_text(called[0].args[6], v, "so is one without an end");

    (void) told(TAG "short", 1000, NULL, 0);
    is_text(called[0].args[6], TAG "short", "or that is too short");

    v = value('a', 1);
    keys.cache.ttl = 30;
    (void) told(NULL, 0, v, 60000 - 31000);
    is_text(called[0].args[9], v, "or of the cache, and older than is asked");
    keys.cache.ttl = 60;

    c = told(forged, 1000, NULL, 0);
    says(c, 0, forged, 1000, NULL, 0);
    says(c, 0, forged, 1000, NULL, 0);
    is_int(nhandled, 1, "where others are as quick");
    is_int(c->state, NGX_COMPLETION_CLAIM_UNDERWAY, "it is looked at later");

    v = value('a', 0);
    c = told(v, 1000, NULL, 0);
    ngx_completion_claim_forget(c);
    (void) ngx_completion_claim_start(c);
    is_text(called[0].args[6], v, "what leads nowhere is replaced");
}


static void
test_end(void)
{
    ngx_completion_claim_t  *c;

    c = claim();
    (void) ngx_completion_claim_start(c);
    says(c, 1, NULL, 0, NULL, 0);
    ngx_completion_claim_end(c, NGX_COMPLETION_UPSTREAM_UNAVAILABLE, NULL);
    is_text(called[0].args[2], "drop", "a refusal is forgotten");
    is_int(called[0].nkeys, 2, "by both names");
    is_int(nposted, 1, "and is to be told whenever that can be");
    is_int(posted.subject, 0, "in any order");

    c = claim();
    (void) ngx_completion_claim_start(c);
    says(c, 1, NULL, 0, NULL, 0);
    ngx_completion_claim_end(c, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL);
    is_text(called[1].args[1], "tell", "a doubt is told of the key");
    is_text(called[1].args[4], "3600000", "for its time");
    is_text(called[0].args[1], "drop", "and not of the text");
}


static void
test_away(void)
{
    ngx_completion_claim_t  *c;

    c = claim();
    rc = NGX_DECLINED;
    is_int(ngx_completion_claim_start(c), NGX_OK, "without the server");
    is_int(c->state, NGX_COMPLETION_CLAIM_NONE, "nothing is claimed");
    nposted = 0;
    ngx_completion_claim_end(c, NGX_COMPLETION_OK, &ours);
    rc = NGX_AGAIN;
    ncalled = 0;
    is_int(nposted, 1, "but how it ended is kept");
    is_int(posted.subject, ngx_completion_zone_hash(&ours.upstream),
           "with its operation's other news in their order");
    ngx_current_msec += 5000;
    ngx_completion_errands_do(NULL, &posted);
    is_int(ncalled, 1, "and told at the return");
    is_text(called[0].args[5], "3595000", "for what is left of its time");
    ngx_current_msec += 3600000;
    ngx_completion_errands_do(NULL, &posted);
    is_text(called[0].args[5], "1", "which may be nothing");
    ngx_current_msec -= 3605000;
    ngx_completion_errands_do(NULL, &posted);
    is_text(called[0].args[5], "3600000", "and is all of it at once");
    is_text(called[0].args[2], "tell", "then");
    ok(memcmp(called[0].args[4] + NGX_COMPLETION_REDIS_TAG, c->token,
              NGX_COMPLETION_CLAIM_TOKEN) == 0, "by its token");
    ok(called[0].args[4][NGX_COMPLETION_REDIS_TAG
                         + NGX_COMPLETION_CLAIM_TOKEN] == 'a',
       "that it was accepted");
    is_text(called[0].args[4] + strlen(called[0].args[4]) - 7, "d7qours",
            "under its id");

    conf.strict = 1;
    c = claim();
    (void) ngx_completion_claim_start(c);
    answers(&c->call, NULL);
    is_int(c->state, NGX_COMPLETION_CLAIM_AWAY, "strict: no answer");
    is_text(called[0].args[2], "undo", "what may be claimed is given back");

    c = claim();
    (void) ngx_completion_claim_start(c);
    says(c, 1, NULL, 0, NULL, 0);
    (void) ngx_completion_claim_send(c);
    answers(&c->call, NULL);
    is_int(c->state, NGX_COMPLETION_CLAIM_AWAY, "nor is anything sent");
    is_text(called[0].args[2], "undo", "which is given back, too");

    keys.idempotency.ttl = 0;
    c = claim();
    (void) ngx_completion_claim_start(c);
    answers(&c->call, NULL);
    is_int(c->state, NGX_COMPLETION_CLAIM_NONE, "without a key it is");
    keys.idempotency.ttl = 3600;

    conf.strict = 0;
    c = claim();
    (void) ngx_completion_claim_start(c);
    says(c, 1, NULL, 0, NULL, 0);
    (void) ngx_completion_claim_send(c);
    ncalled = 0;
    answers(&c->call, NULL);
    is_int(c->state, NGX_COMPLETION_CLAIM_NONE, "local: it is sent");
    is_int(ncalled, 0, "and nothing is given back");
    ngx_completion_claim_end(c, NGX_COMPLETION_OK, &ours);
    is_text(called[0].args[2], "tell", "how it ended is told");
}


/* what stands there, when the operation of it has ended */

static void
stands(char *sealed)
{
    ngx_completion_reply_t   reply, one[3], *elements[3];
    ngx_completion_errand_t  looked = posted;

    memset(one, 0, sizeof(one));

    one[0].type = NGX_COMPLETION_REPLY_INTEGER;
    one[1].type = sealed ? NGX_COMPLETION_REPLY_TEXT
                         : NGX_COMPLETION_REPLY_NIL;
    one[1].text.data = (u_char *) sealed;
    one[1].text.len = sealed ? strlen(sealed) : 0;
    one[2].type = NGX_COMPLETION_REPLY_INTEGER;
    one[2].integer = 1000;

    elements[0] = &one[0];
    elements[1] = &one[1];
    elements[2] = &one[2];

    reply.type = NGX_COMPLETION_REPLY_ARRAY;
    reply.n = 3;
    reply.elements = elements;

    ncalled = 0;
    told_kind->answered(claims, &looked, &reply);
}


static void
test_ended(void)
{
    char       sealed[512], key[512];
    ngx_str_t  id = ngx_string("d7qupstream");
    ngx_str_t  other = ngx_string("d7qother");

    memcpy(key, value('a', 0), sizeof(key));
    memcpy(sealed, value('a', 1), sizeof(sealed));

    ncalled = 0;
    ngx_completion_claims_ended(claims, &keys, &id, 1);
    is_int(ncalled, 1, "one that is shared: its claim of the cache is read");
    is_text(called[0].args[0], "completion:c:02000000000000000000000000000000",
            "by its name");
    is_text(called[0].args[2], "--------------------------------",
            "with nobody's token");

    ngx_current_msec += 2000;
    stands(sealed);
    is_int(ncalled, 1, "it is written anew");
    is_text(called[0].args[1], "turn", "if it is as it was");
    ok(memcmp(called[0].args[2], sealed + 24, 32) == 0, "by its holder's token");
    is_text(called[0].args[4], "58000", "for its time from the end on");
    is_int(called[0].args[3][24 + 32], 'e', "as one that has ended");

    memcpy(sealed, called[0].args[3], sizeof(sealed));
    is_int(told(NULL, 0, sealed, 30000)->state, NGX_COMPLETION_CLAIM_ACCEPTED,
           "it is shared");
    keys.cache.ttl = 20;
    is_int(told(NULL, 0, sealed, 30000)->state, NGX_COMPLETION_CLAIM_NONE,
           "not by whom it is too old for");
    is_text(called[0].args[2], "claim", "who claims it");
    keys.cache.ttl = 60;

    ngx_completion_claims_ended(claims, &keys, &id, 1);
    stands(sealed);
    is_int(ncalled, 0, "another node's word of the end is not told again");

    ngx_completion_claims_ended(claims, &keys, &other, 0);
    stands(sealed);
    is_int(ncalled, 0, "what leads to another operation stays");

    ngx_completion_claims_ended(claims, &keys, &id, 0);
    stands(NULL);
    is_int(ncalled, 0, "and what is gone is gone");

    ncalled = 0;
    ngx_completion_claims_ended(claims, &keys, &id, 0);
    is_int(ncalled, 2, "one that nobody shares: all of its claims are read");
    stands(key);
    is_text(called[0].args[1], "drop", "and go");
}


int
main(void)
{
    ngx_str_set(&conf.names, "completion:");
    pool = ngx_create_pool(1024, &shim_log);
    cycle.pool = pool;
    ngx_cycle = &cycle;

    claims = ngx_completion_claims_create(NULL, NULL, 3600000, &shim_log);

    keys.idempotency.name[0] = 1;
    keys.cache.name[0] = 2;

    test_names();
    test_found();
    test_absent();
    test_end();
    test_away();
    test_ended();

    ngx_destroy_pool(pool);

    return tap_done();
}
