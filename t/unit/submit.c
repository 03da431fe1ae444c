
/* Every arrow of the submit's picture, on a clock that the test moves. */


#include "tap.h"
#include "service_stub.h"

#include "../../src/base/ngx_completion_hash.h"
#include "../../src/operation/ngx_completion_call.h"
#include "../../src/store/ngx_completion_zone_sh.h"


/* a client, and what it was told */
typedef struct {
    ngx_int_t                         rc;
    ngx_completion_submit_t          *submit;    /* while it is under way */
    int                               told;
    ngx_completion_outcome_e          outcome;
    ngx_completion_source_e           source;
    ngx_msec_t                        retry_after;
    ngx_uint_t                        tries;
    ngx_uint_t                        replayed;
    char                              id[65];
    ngx_completion_prompt_t           prompt;
    int                               asked;     /* for it, once more */
    char                              reason[64];
} client_t;


static client_t               a, b, c;
static ngx_completion_ask_t   ask;
static size_t                 held;


static void
tell(client_t *client, ngx_completion_submit_t *submit)
{
    client->told++;
    client->outcome = submit->outcome;
    client->source = submit->source;
    client->retry_after = submit->retry_after;
    client->tries = submit->call.tries;
    client->replayed = submit->found.replayed;

    if (submit->outcome == NGX_COMPLETION_OK) {
        snprintf(client->id, sizeof(client->id), "%.*s",
                 (int) submit->id.upstream.len, submit->id.upstream.data);
    }

    client->submit = NULL;
}


static void
handler(ngx_completion_submit_t *submit)
{
    tell(submit->data, submit);
}


static void
asked(const char *text)
{
    memset(&ask, 0, sizeof(ask));

    ask.prompt.model = str("lite");
    ask.prompt.text = str(text);
}


static ngx_int_t
request_id(void *data, u_char *id)
{
    memcpy(id, "0123456789abcdef0123456789abcdef", 32);

    return NGX_OK;
}


static ngx_int_t
prompt(void *data, ngx_completion_ask_t *again)
{
    client_t *client = data;

    client->asked++;
    again->prompt = client->prompt;

    return NGX_OK;
}


static const ngx_completion_client_t  waits = { handler, request_id, prompt };


static void
starts(client_t *client)
{
    ngx_completion_submit_t  *submit = NULL;

    memset(client, 0, sizeof(client_t));
    client->prompt = ask.prompt;

    ask.held = held;
    ask.reason.len = 0;
    ask.pool = ngx_create_pool(4096, &shim_log);

    if (ask.pool == NULL) {
        client->rc = NGX_ERROR;
        return;
    }

    client->rc = ngx_completion_submit_start(&service, &ask, &waits, client,
                                             &submit);
    client->submit = submit;

    if (client->rc == NGX_DONE) {
        tell(client, submit);
        ngx_completion_submit_destroy(submit);
    }

    snprintf(client->reason, sizeof(client->reason), "%.*s",
             (int) ask.reason.len, ask.reason.data);

    ngx_destroy_pool(ask.pool);
}


/* a cached request of everybody's */

static void
starts_cached(client_t *client, const char *text)
{
    asked(text);
    ask.cache = 60;
    ask.shared = 1;
    starts(client);
}


static void
starts_keyed(client_t *client, const char *key, const char *text)
{
    asked(text);
    ask.key = str(key);
    ask.idempotency = 3600;
    starts(client);
}


static ngx_completion_fetch_t *
under_way(ngx_completion_origin_t *origin)
{
    int  i;

    for (i = 0; stub_started[i]; i++) {
        if (stub_started[i]->origin == origin) {
            return stub_started[i];
        }
    }

    return NULL;
}


#define post()   under_way(&service.provider.submit)
#define token()  under_way(&service.provider.credential.service)


/* what has a connection passes its fence */

static void
sends(void)
{
    int  i;

    for (i = 0; stub_started[i]; i++) {
        if (!stub_started[i]->sent) {
            stub_sends(stub_started[i]);
        }
    }
}


static int
is_told(client_t *client, ngx_completion_outcome_e outcome,
    ngx_completion_source_e source)
{
    if (client->told == 1 && client->outcome == outcome
        && client->source == source)
    {
        return 1;
    }

    printf("# told %d, outcome %d, source %d\n", client->told,
           client->outcome, client->source);

    return 0;
}


/* what was counted of those that ended so */
#define accepted(source)                                                      \
    zone->metrics->accepted[NGX_COMPLETION_SOURCE_##source]
#define refused(outcome)  zone->metrics->refused[outcome]


static void
test_accepted(void)
{
    ngx_str_t               id = ngx_string("d7q1");
    ngx_completion_view_t   view;

    service_begins(0, 0);
    asked("text");
    starts(&a);

    ok(a.rc == NGX_OK && post() != NULL, "known -> call, the quota passed by");
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL, "its state");
    is_int(a.submit->call.state, NGX_COMPLETION_CALL_LINE, "the call's");
    stub_sends(post());
    is_int(a.submit->call.state, NGX_COMPLETION_CALL_SENT, "behind the fence");

    stub_answers(post(), 200, PENDING("d7q1"));
    ok(is_told(&a, NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM),
       "call -> accepted");
    ok(strcmp(a.id, "d7q1") == 0 && a.tries == 1, "with an id, at once");
    is_int(accepted(UPSTREAM), 1, "it is counted");

    is_int(ngx_completion_zone_read(zone, &id, 0, NULL, &view), NGX_OK,
           "it is kept");
    is_int(view.state, NGX_COMPLETION_RECORD_PENDING, "as upstream told it");

    ok(service_ended(), "and nothing is left");
}


static void
test_wrong(void)
{
    service_begins(0, 0);

    asked("");
    starts(&a);
    is_int(a.rc, NGX_DECLINED, "an empty text is the client's fault");
    ok(strcmp(a.reason, "the text is empty") == 0, "and it is told why");

    ask.prompt.native = str("{\"messages\":[{}],\"a_b\":1}");
    starts(&a);
    ok(strcmp(a.reason, "unknown member \"a_b\"") == 0,
       "and so it is of a member");

    is_int(refused(NGX_COMPLETION_INVALID_REQUEST), 0, "which is no submit");

    ok(service_ended(), "nothing is left");
}


static void
test_refused(void)
{
    int  i;

    static struct {
        ngx_uint_t                status;
        ngx_completion_outcome_e  outcome;
    } t[] = {
        { 400, NGX_COMPLETION_INVALID_REQUEST },
        { 403, NGX_COMPLETION_UPSTREAM_REJECTED },
        { 404, NGX_COMPLETION_UPSTREAM_REJECTED },
        { 500, NGX_COMPLETION_OUTCOME_UNKNOWN },
        { 200, NGX_COMPLETION_OUTCOME_UNKNOWN }
    };

    for (i = 0; i < 5; i++) {
        service_begins(0, 0);
        asked("text");
        starts(&a);
        stub_answers(post(), t[i].status, "{}");

        ok(is_told(&a, t[i].outcome, NGX_COMPLETION_SOURCE_UPSTREAM)
           && a.tries == 1, ngx_completion_outcomes[t[i].outcome].code);
        is_int(refused(t[i].outcome), 1, "it is counted");
        ok(service_ended(), "and nothing is left");
    }

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_sends(post());
    stub_ends(post(), NGX_COMPLETION_OUTCOME_UNKNOWN);
    ok(is_told(&a, NGX_COMPLETION_OUTCOME_UNKNOWN,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "sent, and no answer: nobody knows");
    ok(service_ended(), "nothing is left");
}


static void
test_pause(void)
{
    ngx_uint_t  tries;

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_answers(post(), 429, "{}");
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_PAUSE, "429: call -> "
           "pause");
    shim_passes(249);
    ok(post() == NULL, "of 250 ms");
    shim_passes(251);
    ok(post() != NULL, "to 500: pause -> call");
    stub_answers(post(), 503, "{}");
    shim_passes(1000);
    stub_ends(post(), NGX_COMPLETION_UPSTREAM_UNAVAILABLE);
    shim_passes(2000);
    stub_answers(post(), 200, PENDING("d7q1"));
    ok(is_told(&a, NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM),
       "503 and no connection, too");
    ok(a.tries == 4 && zone->metrics->retries[0] == 3, "after three repeats");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    asked("text");
    starts(&a);

    for (tries = 0; tries < 4; tries++) {
        stub_ends(post(), NGX_COMPLETION_UPSTREAM_TIMEOUT);
        shim_passes(2000);
    }

    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_TIMEOUT,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "four tries are enough");
    is_int(a.retry_after, 4000, "when to try again");
    ok(post() == NULL && service_ended(), "nothing is left");

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_answer("retry-after", "9");
    stub_answers(post(), 429, "{}");
    ok(is_told(&a, NGX_COMPLETION_QUOTA_EXCEEDED,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "a pause beyond the deadline is none");
    is_int(a.retry_after, 9000, "upstream said when");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_answer("retry-after", "3");
    stub_answers(post(), 503, "{}");
    shim_passes(2999);
    ok(post() == NULL, "a pause of three seconds");
    shim_passes(1);
    ok(post() != NULL, "is as long as upstream said");
    is_int(post()->timeout, 7000, "and the repeat has what is left");
    ok(service_ended(), "nothing is left");
}


/* who comes when a quota's Retry-After says so has a place */

static void
test_retry_after(void)
{
    ngx_uint_t  i, n;

    static struct {
        const char             *name;
        ngx_completion_rate_t   rates[2];
        ngx_uint_t              queue;
        ngx_msec_t              queue_time;
        ngx_uint_t              places;
        ngx_uint_t              first;     /* that no moment before has */
    } t[] = {
        { "no line", { { 5, 1000 } }, 0, 0, 5, 1 },
        { "a line that is full", { { 2, 1000 } }, 3, 30000, 5, 1 },
        { "a line that is too long", { { 2, 1000 } }, 100, 1600, 4, 0 },
        { "two rates", { { 10, 1000 }, { 15, 60000 } }, 0, 0, 10, 1 }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        service_begins(0, 0);
        asked("text");

        zone->submit_rates[0] = t[i].rates[0];
        zone->submit_rates[1] = t[i].rates[1];
        zone->submit_queue = t[i].queue;
        zone->submit_queue_time = t[i].queue_time;
        ngx_completion_zone_apply(zone);

        for (n = 0; n < 20; n++) {
            starts(&a);

            if (a.rc == NGX_DONE) {
                break;
            }

            sends();
            ngx_completion_submit_detach(a.submit);
        }

        is_int(n, t[i].places, t[i].name);
        is_int(a.outcome, NGX_COMPLETION_QUOTA_EXCEEDED, "then it is refused");

        shim_passes(a.retry_after - 1);
        starts(&b);
        is_int(b.rc, t[i].first ? NGX_DONE : NGX_OK, "a ms before it is told");

        shim_passes(1);
        starts(&b);
        is_int(b.rc, NGX_OK, "who comes when told is not");

        ok(service_ended(), "nothing is left");
    }
}


static void
test_quota(void)
{
    service_begins(0, 3000);
    asked("text");
    starts(&a);
    ok(post() != NULL, "the first one goes at once");
    stub_answers(post(), 200, PENDING("d7q1"));

    starts(&a);
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "known -> quota");
    starts(&b);
    starts(&c);
    ok(c.rc == NGX_DONE && is_told(&c, NGX_COMPLETION_QUOTA_EXCEEDED,
                                   NGX_COMPLETION_SOURCE_ZONE),
       "the line is full");
    ok(c.retry_after > 0, "for how long is known");
    ok(zone->metrics->queued == 2 && zone->metrics->queued_time == 0,
       "two are in it");

    shim_passes(2900);
    ok(post() == NULL, "none goes before its time");
    shim_passes(300);
    ok(post() != NULL, "quota -> call");
    ok(a.submit->queued >= 3000 && a.submit->queued < 3100
       && zone->metrics->queued_time == a.submit->queued,
       "after 3 s, which are counted");
    stub_answers(post(), 429, "{}");
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_PAUSE, "-> pause");
    shim_passes(500);
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA,
           "-> quota: a repeat needs a place of its own");

    ok(service_ended() && a.told == 0 && b.told == 0,
       "at the exit nobody is told, and nothing is left");
}


static void
test_full(void)
{
    service_begins(0, 0);
    shim_slab_limit = shim_slab_used;
    asked("text");
    starts(&a);
    ok(a.rc == NGX_DONE && is_told(&a, NGX_COMPLETION_ZONE_FULL,
                                   NGX_COMPLETION_SOURCE_ZONE),
       "no room: ended");
    ok(service_ended(), "nothing is left");
}


static void
test_fenced(void)
{
    service_begins(0, 0);
    asked("text");
    starts(&a);
    ngx_current_msec += 16000;
    is_int(stub_sends(post()), NGX_DECLINED, "behind its lease nothing goes");
    stub_fences(post());
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "and it is too late for another try");
    ok(service_ended(), "nothing is left");
}


/* a start that is gone when the connection comes */

static void
test_early(void)
{
    service_begins(0, 3000);
    asked("text");
    starts(&a);
    starts(&b);
    shim_passes(1000);
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL,
           "a start that is not used in time: another one is called");
    stub_sends(stub_started[1]);
    is_int(b.submit->call.state, NGX_COMPLETION_CALL_SENT, "and is quicker");
    is_int(stub_sends(stub_started[0]), NGX_DECLINED,
           "the fence of the first: not now");
    stub_fences(stub_started[0]);
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA,
           "call -> its turn -> quota");
    ok(a.told == 0 && a.submit->call.tries == 0, "it was no try");
    shim_passes(3100);
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL, "and goes then");
    is_int(under_way(&service.provider.submit)->sent, 1, "beside the other");
    stub_answers(stub_started[1], 200, PENDING("d7q1"));
    ok(is_told(&a, NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM)
       && a.tries == 1, "with all its time");
    ok(zone->metrics->queued == 2 && zone->metrics->queued_time >= 4000
       && zone->metrics->queued_time < 4200, "each wait is counted");
    ok(zone->metrics->retries[0] == 0, "and no repeat");
    ok(service_ended(), "nothing is left");

    /* no longer than it may be in line */

    service_begins(0, 3000);
    asked("text");
    zone->submit_queue_time = 2000;
    starts(&a);
    shim_passes(2500);
    starts(&b);
    shim_passes(500);
    stub_sends(stub_started[1]);
    stub_sends(stub_started[0]);
    stub_fences(stub_started[0]);
    ok(is_told(&a, NGX_COMPLETION_QUOTA_EXCEEDED, NGX_COMPLETION_SOURCE_ZONE),
       "too late for another start");
    ok(a.retry_after > 3000 && a.retry_after < 3100, "and told when there is");
    ok(service_ended(), "nothing is left");

    service_begins(0, 3000);
    asked("text");
    zone->submit_queue_time = 3500;
    starts(&a);
    sends();
    starts(&b);
    ngx_completion_quota_take(&zone->quotas[0], ngx_current_msec + 2000);
    shim_passes(4499);
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA,
           "a start that comes later than was told");
    shim_passes(1);
    ok(is_told(&b, NGX_COMPLETION_QUOTA_EXCEEDED, NGX_COMPLETION_SOURCE_ZONE)
       && b.retry_after > 400 && b.retry_after < 700,
       "is waited for a second longer");
    ok(service_ended(), "nothing is left");
}


/* who stands in line when the zone is made anew */

static void
test_made_anew(void)
{
    service_begins(0, 3000);
    starts_cached(&a, "text");
    sends();
    starts_cached(&b, "other");
    starts_cached(&c, "other");
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "one in line");
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IS_JOINED,
           "and one that joined it");

    zone->sh->busy = 1;
    shim_passes(1100);
    ok(strstr(shim_log_text, "was made anew") != NULL, "the zone is lost");
    shim_passes(1100);
    ok(b.told == 0 && c.told == 0
       && (b.submit->state == NGX_COMPLETION_SUBMIT_IN_QUOTA)
          + (c.submit->state == NGX_COMPLETION_SUBMIT_IN_QUOTA) == 1,
       "one of them stands in line as before");
    shim_passes(1000);
    ok((b.submit->state == NGX_COMPLETION_SUBMIT_IN_CALL)
       + (c.submit->state == NGX_COMPLETION_SUBMIT_IN_CALL) == 1,
       "and goes when the start is due that was before");
    ok(service_ended(), "nothing is left");

    /* the clients are gone */

    service_begins(0, 3000);
    starts_cached(&a, "text");
    sends();
    starts_cached(&b, "other");
    asked("third");
    starts(&c);
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "two in line");
    ngx_completion_submit_detach(b.submit);
    ngx_completion_submit_detach(c.submit);
    zone->sh->busy = 1;
    shim_passes(3100);
    is_int(refused(NGX_COMPLETION_QUOTA_EXCEEDED), 1,
           "what others may pay for ends");
    is_int(accepted(ZONE), 0, "as what it is");
    is_int(zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT], 1, "alone");
    ok(stub_started[1] != NULL, "what nobody else has goes on");
    stub_answers(stub_started[1], 200, PENDING("d7q3"));
    is_int(accepted(UPSTREAM), 1, "and is accepted");
    ok(service_ended(), "nothing is left");
}


static void
test_joined(void)
{
    service_begins(0, 0);

    starts_cached(&a, "text");
    starts_cached(&b, "text");
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IS_JOINED,
           "known -> joined");
    starts_cached(&c, "other");
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL,
           "another one is not");

    shim_passes(3000);
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IS_JOINED,
           "joined -> known -> joined, each second");

    stub_answers(post(), 200, PENDING("d7q1"));
    shim_turn();
    ok(is_told(&b, NGX_COMPLETION_OK,
               NGX_COMPLETION_SOURCE_JOINED) && strcmp(b.id, "d7q1") == 0,
       "news: joined -> known -> accepted");

    starts_cached(&b, "text");
    ok(b.rc == NGX_DONE && is_told(&b, NGX_COMPLETION_OK,
                                   NGX_COMPLETION_SOURCE_CACHED),
       "cached: ended");

    starts_cached(&b, "other");
    stub_answers(post(), 400, "{}");
    shim_turn();
    ok(is_told(&b, NGX_COMPLETION_INVALID_REQUEST,
               NGX_COMPLETION_SOURCE_JOINED), "a refusal is shared");

    is_int(accepted(JOINED), 1, "joined is counted");
    is_int(accepted(CACHED), 1, "cached, too");
    is_int(refused(NGX_COMPLETION_INVALID_REQUEST), 2, "and what was refused");
    ok(service_ended(), "nothing is left");
}


static void
test_joined_anew(void)
{
    ngx_str_t  first;

    service_begins(0, 0);

    starts_cached(&a, "text");
    first = a.submit->call.body;
    starts_cached(&b, "text");
    starts_cached(&c, "text");
    shim_passes(3000);
    is_int(b.submit->call.body.len, 0, "who joined holds no body");
    is_int(b.asked, 0, "nor is it asked for its text");

    /* the sender is gone, and nothing was sent */

    ngx_current_msec += 16000;
    shim_passes(1000);

    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL,
           "joined -> known -> call, where the sender is gone");
    ok(b.asked == 1 && c.asked == 0
       && c.submit->state == NGX_COMPLETION_SUBMIT_IS_JOINED,
       "one of them is asked for its text, and the others join it");
    ok(b.submit->call.body.len == first.len
       && memcmp(b.submit->call.body.data, first.data, first.len) == 0,
       "the body is the same");
    is_int(b.submit->source, NGX_COMPLETION_SOURCE_UPSTREAM, "as its own");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);

    starts_keyed(&a, "k", "text");
    stub_sends(post());
    starts_keyed(&b, "k", "text");
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IS_JOINED, "by its key");

    ngx_current_msec += 16000;
    shim_passes(1000);
    ok(is_told(&b, NGX_COMPLETION_OUTCOME_UNKNOWN,
               NGX_COMPLETION_SOURCE_JOINED),
       "what may have been sent is not sent again");

    stub_answers(post(), 200, PENDING("d7q1"));
    starts_keyed(&b, "k", "text");
    ok(b.rc == NGX_DONE && is_told(&b, NGX_COMPLETION_OK,
                                   NGX_COMPLETION_SOURCE_REPLAYED),
       "unless it comes back, and knows what became of it");

    starts_keyed(&a, "l", "text");
    stub_sends(post());
    starts_keyed(&b, "l", "text");
    ngx_current_msec += 16000;
    shim_passes(1000);
    stub_answers(post(), 503, "{}");
    starts_keyed(&b, "l", "text");
    is_int(b.rc, NGX_OK, "or that nothing did");
    ok(service_ended(), "nothing is left");
}


/* what a zone finds by a digest, no client can compute */

static void
test_digests(void)
{
    u_char     right[NGX_COMPLETION_SHA256], key[NGX_COMPLETION_KEY_DIGEST];
    ngx_str_t  two[2], parts[3] = {
        ngx_string("k"), ngx_string(""), ngx_string("x")
    };

    service_begins(0, 0);

    two[0] = *(ngx_str_t *) service.id_keys->elts;
    two[1] = (ngx_str_t) ngx_string("another one of the same length: last");

    service.id_keys->elts = two;
    service.id_keys->nelts = 2;

    starts_keyed(&a, "x", "text");
    ngx_memcpy(key, a.submit->keys.idempotency.name, sizeof(key));
    stub_answers(post(), 200, PENDING("d7q1"));

    ngx_completion_hmac(&two[1], 3, parts, 3, right);
    ok(ngx_memcmp(key, right, sizeof(key)) == 0,
       "a key's name is an HMAC under the last key of ids");

    starts_cached(&a, "shared");
    parts[0] = str("a");
    parts[2] = a.submit->call.body;
    ngx_completion_hmac(&two[1], 3, parts, 3, right);
    ok(ngx_memcmp(a.submit->keys.cache.name, right, sizeof(key)) == 0,
       "so is what all share");

    asked("shared");
    ask.owner = str("anna");
    ask.key = str("y");
    ask.idempotency = 3600;
    ask.cache = 60;
    starts(&b);
    ok(ngx_memcmp(b.submit->keys.idempotency.request, right, sizeof(key)) == 0,
       "and what an ask is known by");

    parts[0] = str("o");
    parts[1] = ask.owner;
    parts[2].data = a.submit->keys.cache.name;
    parts[2].len = sizeof(key);
    ngx_completion_hmac(&two[1], 3, parts, 3, right);
    ok(ngx_memcmp(b.submit->keys.cache.name, right, sizeof(key)) == 0,
       "what an owner has of it");

    parts[0] = str("w");
    parts[2].len = 0;
    ngx_completion_hmac(&two[1], 3, parts, 3, right);
    ok(ngx_memcmp(&b.submit->keys.owner, right, sizeof(uint32_t)) == 0,
       "and the owner");
    stub_answers(post(), 200, PENDING("d7q2"));
    stub_answers(post(), 200, PENDING("d7q3"));

    service.id_keys->elts = &two[1];
    service.id_keys->nelts = 1;
    starts_keyed(&b, "x", "text");
    ok(b.rc == NGX_DONE && b.replayed, "the first keys are nothing to it");

    service.id_keys->elts = two;
    starts_keyed(&b, "x", "text");
    is_int(b.rc, NGX_OK, "without the last one it is a new key");

    ok(service_ended(), "nothing is left");
}


static void
test_keys(void)
{
    size_t  limit;

    service_begins(0, 0);

    starts_keyed(&a, "k", "text");
    stub_answers(post(), 200, PENDING("d7q1"));
    is_int(a.replayed, 0, "the first one replays nothing");

    starts_keyed(&b, "k", "text");
    ok(b.rc == NGX_DONE && is_told(&b, NGX_COMPLETION_OK,
                                   NGX_COMPLETION_SOURCE_REPLAYED)
       && b.replayed, "the same key: replayed");

    starts_keyed(&b, "k", "other");
    ok(b.rc == NGX_DONE && is_told(&b, NGX_COMPLETION_IDEMPOTENCY_MISMATCH,
                                   NGX_COMPLETION_SOURCE_ZONE),
       "with another request: a mismatch");

    starts_keyed(&a, "u", "text");
    stub_sends(post());
    stub_ends(post(), NGX_COMPLETION_OUTCOME_UNKNOWN);
    starts_keyed(&b, "u", "text");
    ok(b.rc == NGX_DONE && is_told(&b, NGX_COMPLETION_OUTCOME_UNKNOWN,
                                   NGX_COMPLETION_SOURCE_REPLAYED),
       "of one that nobody knows of: the same");

    starts_keyed(&a, "j", "text");
    starts_keyed(&b, "j", "text");
    stub_answers(post(), 200, PENDING("d7q2"));
    shim_turn();
    ok(is_told(&b, NGX_COMPLETION_OK,
               NGX_COMPLETION_SOURCE_JOINED) && b.replayed,
       "joined by its key: replayed, too");

    starts_cached(&a, "cached");
    asked("cached");
    ask.key = str("n");
    ask.idempotency = 3600;
    ask.cache = 60;
    ask.shared = 1;
    starts(&b);
    stub_answers(post(), 200, PENDING("d7q3"));
    shim_turn();
    ok(is_told(&b, NGX_COMPLETION_OK,
               NGX_COMPLETION_SOURCE_JOINED) && !b.replayed,
       "joined by the cache: its key is new");

    starts_keyed(&a, "r", "text");
    starts_keyed(&b, "r", "text");
    stub_answers(post(), 400, "{}");
    shim_turn();
    ok(is_told(&b, NGX_COMPLETION_INVALID_REQUEST,
               NGX_COMPLETION_SOURCE_JOINED), "who joined is told");
    starts_keyed(&c, "r", "text");
    is_int(c.rc, NGX_OK, "what was refused is forgotten");

    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    starts_cached(&a, "cached");
    limit = shim_slab_limit;
    shim_slab_limit = shim_slab_used;
    asked("cached");
    ask.key = str("n");
    ask.idempotency = 3600;
    ask.cache = 60;
    ask.shared = 1;
    starts(&b);
    starts_keyed(&c, "n", "other");
    shim_slab_limit = limit;
    is_int(c.outcome, NGX_COMPLETION_ZONE_FULL, "a key that has no room");
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IS_JOINED,
           "joins by the cache all the same");

    /* the first look of a worker wakes everybody */

    shim_passes(10);
    stub_answers(post(), 200, PENDING("d7q3"));
    shim_turn();
    ok(is_told(&b, NGX_COMPLETION_OK,
               NGX_COMPLETION_SOURCE_JOINED) && !b.replayed,
       "and is woken by the cache's key");
    ok(service_ended(), "nothing is left");
}


static void
test_digest(void)
{
    const char  *one = "{\"messages\":[{\"role\":\"user\",\"text\":\"t\"}],"
                       "\"completionOptions\":{\"temperature\":0.5,"
                       "\"maxTokens\":7}}";

    service_begins(0, 0);

    asked("");
    ask.prompt.native = str(one);
    ask.cache = 60;
    starts(&a);

    ask.prompt.native = str("{ \"completionOptions\": {\"maxTokens\":7, "
                            "\"temperature\":0.5}, \"messages\": ["
                            "{\"role\":\"user\",\"text\":\"\\u0074\"}]}");
    starts(&b);
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IS_JOINED,
           "white space, escapes and the order of what is known: equal");

    ask.prompt.native = str("{\"messages\":[{\"text\":\"t\",\"role\":\"user\"}"
                            "],\"completionOptions\":{\"temperature\":0.5,"
                            "\"maxTokens\":7}}");
    starts(&c);
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL,
           "the order inside of a message: another request");

    ok(service_ended(), "nothing is left");
}


static void
test_refused_credential(void)
{
    ngx_completion_found_t  found;

    service_begins(0, 0);
    asked("text");
    starts(&a);
    service_file("second");
    stub_answers(post(), 401, "{}");
    ok(post() != NULL && a.told == 0, "401: call -> its turn -> call");
    ok(strstr(stub_headers, "Api-Key second") != NULL,
       "with another credential");
    service_file("third");
    shim_log_lines = 0;
    stub_answers(post(), 401, "{}");
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_REJECTED,
               NGX_COMPLETION_SOURCE_UPSTREAM)
       && a.tries == 2, "a second 401 is the end");
    ok(strstr(shim_log_text, "upstream answered 401") != NULL, "and logged");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_answers(post(), 401, "{}");
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_REJECTED,
               NGX_COMPLETION_SOURCE_UPSTREAM)
       && a.tries == 1, "without another credential the first one is");
    ok(service_ended(), "nothing is left");

    service_begins(0, 5000);
    starts_keyed(&a, "k", "text");
    service_file("second");
    stub_answers(post(), 401, "{}");
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA,
           "its turn -> quota: a repeat needs a place of its own");

    ngx_current_msec += 30000;
    memset(&found, 0, sizeof(found));
    is_int(ngx_completion_zone_known(zone, &a.submit->keys, 0, &found), NGX_OK,
           "were its worker to die, another one might send it");
    ok(service_ended(), "nothing is left");

    service_begins(0, 5000);
    asked("text");
    starts(&a);
    service_file("second");
    stub_answers(post(), 401, "{}");
    shim_passes(5100);
    stub_answers(post(), 200, PENDING("d7q1"));
    ok(is_told(&a, NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM),
       "and then goes");
    ok(service_ended(), "nothing is left");

    service_begins(0, 20000);
    asked("text");
    starts(&a);
    service_file("second");
    stub_answers(post(), 401, "{}");
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_REJECTED,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "a place that comes too late is none");
    ok(service_ended(), "nothing is left");
}


static void
test_token(void)
{
    service_begins(1, 0);
    asked("text");
    starts(&a);
    is_int(a.submit->call.state, NGX_COMPLETION_CALL_CREDENTIAL,
           "without a token: waits");
    ok(post() == NULL && token() != NULL, "one is being got");
    stub_answers(token(), 200, TOKEN("t1.first"));
    shim_turn();
    ok(post() != NULL && strstr(stub_headers, "Bearer t1.first") != NULL,
       "news of it: its turn -> call");
    stub_answers(post(), 401, "{}");
    ok(post() == NULL && a.submit->call.state
       == NGX_COMPLETION_CALL_CREDENTIAL, "401: waits for another one");
    stub_answers(token(), 200, TOKEN("t1.second"));
    shim_turn();
    stub_answers(post(), 200, PENDING("d7q1"));
    ok(is_told(&a, NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM)
       && a.tries == 2, "and goes on with that");
    ok(service_ended(), "nothing is left");

    service_begins(1, 0);
    asked("text");
    starts(&a);
    shim_passes(9500);
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
               NGX_COMPLETION_SOURCE_ZONE) && a.tries == 0,
       "no token in time: ended, unsent");
    is_int(a.retry_after, 1000, "try again soon");
    is_int(refused(NGX_COMPLETION_UPSTREAM_UNAVAILABLE), 1, "it is counted");
    ok(service_ended(), "nothing is left");

    service_begins(1, 3000);
    asked("text");
    starts(&a);
    shim_passes(2000);
    stub_answers(token(), 200, TOKEN("t1.first"));
    shim_turn();
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL,
           "a start that nobody took meanwhile is still there");
    ok(service_ended(), "nothing is left");

    service_begins(1, 3000);
    asked("text");
    starts(&a);
    starts(&b);
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "one start");
    shim_passes(2000);
    is_int(b.submit->call.state, NGX_COMPLETION_CALL_CREDENTIAL,
           "which who does not use it does not keep from others");
    stub_answers(token(), 200, TOKEN("t1.first"));
    shim_turn();
    is_int(a.submit->state, NGX_COMPLETION_SUBMIT_IN_CALL,
           "there is a token: the first one has it");
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA,
           "the others do not go out all at once");
    ok(service_ended(), "nothing is left");
}


static void
test_detach(void)
{
    size_t                  bytes;
    ngx_str_t               id = ngx_string("d7q1");
    ngx_completion_view_t   view;

    service_begins(0, 0);
    starts_cached(&a, "text");
    bytes = shim_bytes;
    starts_cached(&b, "text");

    ngx_completion_submit_detach(b.submit);
    ok(shim_bytes == bytes, "who joined is gone");
    ok(b.told == 0 && accepted(JOINED) == 0, "and not told");

    ngx_completion_submit_detach(a.submit);
    ok(post() != NULL, "who sends goes on");
    stub_answers(post(), 200, PENDING("d7q1"));
    is_int(a.told, 0, "nobody is told");
    is_int(ngx_completion_zone_read(zone, &id, 0, NULL, &view), NGX_OK,
           "and it is kept");
    is_int(accepted(UPSTREAM), 1, "and counted");
    ok(service_ended(), "nothing is left");
}


/* by one who waits for several, of which one has failed */

static void
test_drop(void)
{
    ngx_str_t              id = ngx_string("d7q1");
    ngx_uint_t             lines;
    ngx_completion_view_t  view;

    service_begins(0, 3000);
    lines = shim_log_lines;
    starts_cached(&a, "text");
    starts_cached(&b, "text");
    starts_cached(&c, "other");
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "one of each");

    ngx_completion_submit_drop(c.submit, 0);
    is_int(zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT], 1,
           "drop: quota -> gone");
    ngx_completion_submit_drop(a.submit, 0);
    ok(post() == NULL
       && zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT] == 0,
       "a connection -> gone");
    shim_passes(1100);
    ok(b.told == 0 && b.asked == 1 && post() != NULL,
       "who joined it sends in its place");
    ok(a.told == 0 && c.told == 0 && shim_log_lines == lines
       && refused(NGX_COMPLETION_QUOTA_EXCEEDED) == 0
       && refused(NGX_COMPLETION_UPSTREAM_UNAVAILABLE) == 0,
       "nobody is told, and nothing counted");

    stub_sends(post());
    ngx_completion_submit_drop(b.submit, 0);
    stub_answers(post(), 200, PENDING("d7q1"));
    ok(ngx_completion_zone_read(zone, &id, 0, NULL, &view) == NGX_OK
       && view.verdict == NGX_COMPLETION_PENDING, "sent: it goes on");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_answers(post(), 503, "{}");
    ngx_completion_submit_drop(a.submit, 1);
    is_int(zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT], 0, "pause -> gone");

    starts_keyed(&a, "k", "text");
    stub_sends(post());
    ngx_completion_submit_drop(a.submit, 1);
    stub_answers(post(), 200, PENDING("d7q1"));
    ok(ngx_completion_zone_read(zone, &id, 0, NULL, &view) == NGX_OK
       && view.verdict == NGX_COMPLETION_CANCELLED,
       "sent and unwanted: it is cancelled");
    ok(under_way(&service.provider.operations) != NULL, "upstream, too");
    stub_answers(under_way(&service.provider.operations), 200,
                 PENDING("d7q1"));
    starts_keyed(&b, "k", "text");
    ok(b.told == 0 && post() != NULL, "and its key is forgotten");
    stub_sends(post());
    ngx_completion_submit_drop(b.submit, 1);
    stub_answers(post(), 503, "{}");
    is_int(zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT], 0,
           "or refused: it is not sent again");
    ok(service_ended(), "nothing is left");
}


static void
test_quit(void)
{
    service_begins(0, 9500);
    asked("text");
    starts(&a);
    starts(&b);
    starts(&c);
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "in 19 seconds");

    shim_quits();
    ok(is_told(&c, NGX_COMPLETION_QUOTA_EXCEEDED, NGX_COMPLETION_SOURCE_ZONE),
       "quit: what goes later than the worker may stay ends");
    ok(c.retry_after >= 9400, "and is told when to try again");
    ok(is_told(&b, NGX_COMPLETION_QUOTA_EXCEEDED, NGX_COMPLETION_SOURCE_ZONE),
       "so does what leaves no time for an answer");
    ok(a.told == 0 && post() != NULL, "what is sent keeps the worker");

    stub_answers(post(), 200, PENDING("d7q1"));
    ok(is_told(&a, NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM),
       "and is answered");
    ok(service_ended(), "nothing is left");

    service_begins(0, 2000);
    asked("text");
    starts(&a);
    starts(&b);
    starts_cached(&c, "other");
    shim_quits();
    shim_quits();
    ok(b.told == 0 && c.told == 0, "what goes soon goes");
    shim_passes(2100);
    ok(b.submit->state == NGX_COMPLETION_SUBMIT_IN_CALL, "in its time");
    ok(service_ended(), "nothing is left");
}


static void
test_cut(void)
{
    service_begins(0, 3000);

    starts_cached(&a, "text");
    stub_sends(post());
    starts_cached(&b, "text");
    starts_cached(&c, "other");
    is_int(c.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "one of each");

    shim_cut();
    ok(is_told(&a, NGX_COMPLETION_OUTCOME_UNKNOWN,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "cut: sent -> ended, nobody knows");
    ok(is_told(&b, NGX_COMPLETION_OUTCOME_UNKNOWN, NGX_COMPLETION_SOURCE_JOINED)
       || is_told(&b, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                  NGX_COMPLETION_SOURCE_JOINED),
       "joined -> known -> ended");
    ok(is_told(&c, NGX_COMPLETION_QUOTA_EXCEEDED, NGX_COMPLETION_SOURCE_ZONE)
       && c.retry_after > 0, "quota -> ended");

    asked("text");
    starts(&a);
    ok(a.rc == NGX_DONE && is_told(&a, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                                   NGX_COMPLETION_SOURCE_ZONE),
       "nothing begins any more");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    asked("text");
    starts(&a);
    stub_answers(post(), 503, "{}");
    starts(&b);
    shim_cut();
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
               NGX_COMPLETION_SOURCE_UPSTREAM),
       "pause -> ended, by its last try");
    ok(is_told(&b, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
               NGX_COMPLETION_SOURCE_UPSTREAM), "line -> ended");
    ok(service_ended(), "nothing is left");

    service_begins(1, 0);
    asked("text");
    starts(&a);
    shim_cut();
    ok(is_told(&a, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
               NGX_COMPLETION_SOURCE_ZONE), "a wait for a token -> ended");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    starts_keyed(&a, "k", "text");
    stub_answers(post(), 200, PENDING("d7q1"));
    shim_cut();
    starts_keyed(&b, "k", "text");
    ok(b.rc == NGX_DONE && is_told(&b, NGX_COMPLETION_OK,
                                   NGX_COMPLETION_SOURCE_REPLAYED),
       "what is known is told to the end");
    ok(service_ended(), "nothing is left");
}


static void
test_held(void)
{
    size_t  one, body;

    service_begins(0, 3000);

    starts_keyed(&a, "a", "text");
    body = a.submit->call.body.len;
    one = zone->worker->submits;
    ok(one >= 4096 + body, "one that waits for a connection is counted");

    stub_sends(post());
    is_int(zone->worker->submits, 0, "until its first byte is sent");

    stub_answers(post(), 503, "{}");
    is_int(zone->worker->submits, one, "and again before it is repeated");
    ngx_completion_submit_detach(a.submit);

    held = 1000;
    starts_keyed(&b, "b", "text");
    held = 0;
    is_int(b.submit->state, NGX_COMPLETION_SUBMIT_IN_QUOTA, "in line");
    is_int(zone->worker->submits, 2 * one + 1000,
           "one in line, with what its client holds");

    service.submit_memory = 3 * one + 1000 - 1;
    starts_keyed(&c, "c", "text");
    ok(c.rc == NGX_DONE && is_told(&c, NGX_COMPLETION_OVERLOADED,
                                   NGX_COMPLETION_SOURCE_ZONE)
       && c.retry_after == 1000, "no room for another text");
    is_int(refused(NGX_COMPLETION_OVERLOADED), 1, "it is counted");

    starts_keyed(&c, "b", "text");
    is_int(c.rc, NGX_OK, "but for one that joins");
    is_int(zone->worker->submits, 3 * one + 1000 - body, "without a text");

    ngx_completion_submit_detach(c.submit);
    ngx_completion_submit_detach(b.submit);
    is_int(zone->worker->submits, 2 * one, "who leaves takes with it its own");

    starts_keyed(&c, "c", "text");
    is_int(c.rc, NGX_OK, "there is room again");
    ok(service_ended(), "nothing is left");
}


static void
test_held_anew(void)
{
    service_begins(0, 0);

    starts_cached(&a, "text");
    starts_cached(&b, "text");
    service.submit_memory = zone->worker->submits;

    ngx_current_msec += 16000;
    shim_passes(1000);
    ok(is_told(&b, NGX_COMPLETION_OVERLOADED, NGX_COMPLETION_SOURCE_JOINED),
       "who is to send in its place needs room as well");
    ok(service_ended(), "nothing is left");
}


static void
test_exit(void)
{
    service_begins(0, 3000);

    starts_cached(&a, "text");
    stub_sends(post());
    starts_cached(&b, "text");
    starts_cached(&c, "other");

    ok(service_ended(), "exit: nothing is left");
    ok(a.told + b.told + c.told == 0, "and nobody is told");
}


static void
test_memory(void)
{
    ngx_uint_t  n, failed = 0;
    size_t      bytes;

    for (n = 1; n < 200; n++) {
        service_begins(0, 0);
        bytes = shim_bytes;

        shim_allocations = 0;
        shim_fail_at = n;
        starts_keyed(&a, "k", "text");

        if (a.rc == NGX_OK) {
            shim_fail_at = 0;
            ok(service_ended(), "with memory it starts");
            break;
        }

        shim_fail_at = 0;
        failed++;

        if (a.rc == NGX_DONE && a.outcome != NGX_COMPLETION_ZONE_FULL
            && a.outcome != NGX_COMPLETION_UPSTREAM_UNAVAILABLE)
        {
            break;
        }

        if (shim_bytes != bytes || stub_transfers || !service_ended()) {
            break;
        }
    }

    ok(n < 200 && a.rc == NGX_OK && failed > 5,
       "each allocation that fails leaves nothing behind");
}


int
main(void)
{
    test_accepted();
    test_wrong();
    test_refused();
    test_pause();
    test_retry_after();
    test_quota();
    test_full();
    test_fenced();
    test_early();
    test_made_anew();
    test_joined();
    test_joined_anew();
    test_keys();
    test_digests();
    test_digest();
    test_refused_credential();
    test_token();
    test_detach();
    test_drop();
    test_quit();
    test_cut();
    test_held();
    test_held_anew();
    test_exit();
    test_memory();

    return tap_done();
}
