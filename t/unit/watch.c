
/* Polls, cancels and readers: what is due, asked, kept and told. */


#include "tap.h"
#include "service_stub.h"


static ngx_completion_id_t     id;
static ngx_completion_view_t   view;
static ngx_pool_t             *pool;
static ngx_completion_wait_t   client;
static int                     told;


static void
handler(ngx_completion_wait_t *w)
{
    (void) w;
    told++;
}


static void
begins(ngx_uint_t with_token)
{
    service_begins(with_token, 0);

    memset(&id, 0, sizeof(id));
    id.upstream = str("d7q1");
    id.submitted = ngx_time();

    pool = ngx_create_pool(1024, &shim_log);
    told = 0;
}


static ngx_int_t
reads(void)
{
    return ngx_completion_operation_read(&service, &id, NULL, pool, &view);
}


static void
waits(void)
{
    memset(&client, 0, sizeof(client));
    client.handler = handler;
    ngx_completion_operation_wait(&service, &id.upstream, 10000, &client);
}


static void
ends(void)
{
    ngx_completion_wait_end(&client);
    ngx_destroy_pool(pool);
    ok(service_ended(), "nothing is left");
}


static void
test_polls(void)
{
    begins(0);
    is_int(reads(), NGX_AGAIN, "an id from elsewhere: upstream is asked");
    waits();
    shim_turn();
    ok(service_get("d7q1") != NULL, "due -> call");
    stub_answers(service_get("d7q1"), 200, FINISHED("d7q1"));
    shim_turn();
    is_int(told, 1, "call -> keep -> news");
    is_int(reads(), NGX_OK, "it is known");
    is_int(view.state, NGX_COMPLETION_RECORD_FINAL, "and final");
    shim_passes(5000);
    ok(service_get("d7q1") == NULL, "and not asked for again");
    ends();

    begins(0);
    reads();
    waits();
    shim_turn();
    stub_answers(service_get("d7q1"), 200, PENDING("d7q1"));
    shim_turn();
    ok(reads() == NGX_OK && view.state == NGX_COMPLETION_RECORD_PENDING,
       "one that is pending is known as such");
    waits();
    shim_passes(10000);
    ok(service_get("d7q1") != NULL, "and asked for again");
    ends();

    begins(0);
    reads();
    waits();
    shim_turn();
    stub_answers(service_get("d7q1"), 404, "{}");
    shim_turn();
    is_int(reads(), NGX_DECLINED, "404: there is no such operation");
    ends();
}


/* the ms until the next poll */

static ngx_msec_t
gap(void)
{
    ngx_msec_t  ms;

    for (ms = 0; ms < 60000 && service_get("d7q1") == NULL; ms++) {
        shim_passes(1);
    }

    return ms;
}


static ngx_msec_t
next(void)
{
    reads();

    return view.next;
}


static void
test_gaps(void)
{
    int         i, bad = 0;
    ngx_msec_t  ms;

    begins(0);
    reads();
    shim_turn();

    for (i = 0; i < 40; i++) {
        stub_answers(service_get("d7q1"), 200, PENDING("d7q1"));
        ms = gap();
        bad += (ms < 1000 || ms > 10000);
    }

    is_int(bad, 0, "each gap is between the two of poll_interval");
    is_int(ms, 10000, "the last is the longer one");

    stub_answer("x-operation-poll-interval", "12");
    stub_answers(service_get("d7q1"), 200, PENDING("d7q1"));
    is_int(gap(), 12000, "not before upstream says so");

    stub_reset();
    stub_answer("retry-after", "13");
    stub_answers(service_get("d7q1"), 429, "{}");
    is_int(next(), 13000, "a client is told of a Retry-After");
    shim_passes(3000);
    is_int(next(), 10000, "of what is left of it");
    is_int(gap(), 10000, "which is obeyed");

    stub_reset();
    stub_answer("retry-after", "99999999");
    stub_answers(service_get("d7q1"), 429, "{}");
    is_int(next(), 300000, "for five minutes at most");
    shim_passes(300000);
    shim_turn();

    stub_reset();
    stub_answer("x-operation-poll-interval", "99999999");
    stub_answers(service_get("d7q1"), 200, PENDING("d7q1"));
    is_int(next(), 300000, "however it is said");
    stub_reset();
    ends();

    begins(0);
    reads();
    shim_turn();
    stub_answers(service_get("d7q1"), 200, PENDING("d7q1"));
    gap();

    for (i = 0; i < 3; i++) {
        stub_answers(service_get("d7q1"), i == 2 ? 500 : 503, "{}");
        ms = gap();
        ok(ms >= (500u << i), "half of a second that doubles, at the least");
        ok(ms <= 10000, "and MAX at the most");
    }

    ends();

    /* one that is not known yet right after its submit */

    begins(0);
    reads();
    shim_turn();
    stub_answers(service_get("d7q1"), 200, PENDING("d7q1"));

    for (i = 0; i < 3; i++) {
        is_int(gap(), 1000, "MIN, and it is asked for");
        stub_answers(service_get("d7q1"), 404, "{}");
        ok(reads() == NGX_OK && view.state == NGX_COMPLETION_RECORD_PENDING,
           "a 404 changes nothing");
    }

    ends();
}


static void
test_credentials(void)
{
    begins(0);
    reads();
    shim_turn();
    service_file("second");
    shim_log_text[0] = '\0';
    stub_answers(service_get("d7q1"), 401, "{}");
    shim_turn();
    ok(service_get("d7q1") != NULL && strstr(stub_headers, "second"),
       "401: the lease goes back, and it is due at once");
    ok(strstr(shim_log_text, "answered 401") == NULL, "nothing is logged");
    service_file("third");
    stub_answers(service_get("d7q1"), 403, "{}");
    shim_passes(20);
    ok(service_get("d7q1") == NULL, "what else is refused waits");
    ends();

    begins(1);
    is_int(reads(), NGX_AGAIN, "without a token");
    shim_passes(900);
    ok(service_get("d7q1") == NULL && service_token() != NULL, "nothing is taken");
    stub_answers(service_token(), 200, TOKEN("t1.first"));
    shim_turn();
    ok(service_get("d7q1") != NULL, "until there is one");
    ends();
}


static void
test_overflow(void)
{
    begins(0);
    reads();
    waits();
    shim_turn();
    shim_slab_limit = shim_slab_used;
    stub_answers(service_get("d7q1"), 200, FINISHED("d7q1"));
    shim_turn();
    is_int(told, 1, "a result without a room is told of");
    ok(strstr(shim_log_text, "has no room") != NULL, "and logged");
    ok(reads() == NGX_OK && view.document.len > 0, "who waits here gets it");
    shim_passes(6000);
    is_int(reads(), NGX_AGAIN, "later on it is asked for again");
    ends();
}


static void
test_cancel(void)
{
    begins(0);
    ngx_completion_zone_accept(zone, 999, NULL, &id, 1);

    is_int(ngx_completion_operation_cancel(&service, &id, pool, &view), NGX_OK,
           "our word stands at once");
    ok(view.decided && view.verdict == NGX_COMPLETION_CANCELLED,
       "it is cancelled");
    ok(service_get("d7q1:cancel") != NULL, "upstream is asked to stop it");
    ok(service_get("d7q1:cancel")->hold, "which a quitting worker waits for");
    stub_answers(service_get("d7q1:cancel"), 500, "{}");
    ok(reads() == NGX_OK && view.verdict == NGX_COMPLETION_CANCELLED,
       "whatever it answers");

    ngx_completion_operation_cancel(&service, &id, pool, &view);
    ok(service_get("d7q1:cancel") == NULL, "once");
    ends();

    begins(0);
    ngx_completion_zone_accept(zone, 999, NULL, &id, 1);
    shim_cut();
    ngx_completion_operation_cancel(&service, &id, pool, &view);
    ok(service_get("d7q1:cancel") == NULL, "cut: nobody is asked");
    ends();
}


static void
test_quit(void)
{
    int  i;

    begins(0);
    reads();
    shim_turn();
    waits();
    stub_sends(service_get("d7q1"));
    shim_quits();
    is_int(told, 1, "quit: who waits is told");
    ok(service_get("d7q1") == NULL && stub_transfers == 0, "the poll goes back");
    is_int(zone->metrics->requests[NGX_COMPLETION_KIND_POLL][3], 1,
           "as one that was given up");
    shim_passes(20000);
    ok(service_get("d7q1") == NULL, "no other one begins");
    ends();

    begins(1);
    shim_passes(1);
    stub_answers(service_token(), 200, TOKEN("t1.first"));
    shim_passes(3500000);
    ok(service_token() == NULL, "a token is good for an hour");

    for (i = 0; i < 50 && service_token() == NULL; i++) {
        shim_passes(10000);
    }

    ok(service_token() != NULL, "and the next one is got without being asked for");
    shim_quits();
    ok(service_token() != NULL, "quit: the next one may be needed");
    shim_cut();
    ok(service_token() == NULL && stub_transfers == 0, "cut: it goes back");
    ends();
}


/* Timers of a worker that others wake whenever something happens. */

static void
test_rest(void)
{
    begins(0);
    shim_passes(10);
    ok(shim_next() > 0 && shim_next() <= 1000,
       "where a wake-up may be told to another worker, a look each second");
    ends();

    begins(0);
    shim_edges = 1;
    shim_passes(10);
    ok(shim_next() > 4000, "nothing is scheduled: it rests");

    reads();
    waits();
    shim_turn();
    ok(shim_next() <= 1000, "until something is");
    stub_answers(service_get("d7q1"), 200, FINISHED("d7q1"));
    shim_turn();
    is_int(told, 1, "whose end is told");
    shim_passes(5000);
    ok(shim_next() > 1000, "then it rests again");
    ends();

    begins(0);
    shim_edges = 1;
    shim_passes(10);
    service_file("AQVN-the-next-one");
    reads();
    waits();
    shim_turn();
    is_str(&((ngx_completion_fetch_t *) service_get("d7q1"))->credential,
           "AQVN-the-next-one", "the file is looked at before a call");
    ends();
}


int
main(void)
{
    test_polls();
    test_rest();
    test_gaps();
    test_credentials();
    test_overflow();
    test_cancel();
    test_quit();

    return tap_done();
}
