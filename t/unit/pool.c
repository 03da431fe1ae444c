
/*
 * Starts that nodes share: what one node asks for, has, uses and gives back,
 * for submits and for polls.
 */


#include "tap.h"
#include "store_shim.h"

#include "../../src/store/ngx_completion_zone_sh.h"


#define TTL      30000
#define LONGEST  600000
#define TIMEOUT  500


static ngx_completion_zone_t        *zone;
static ngx_completion_kind_e         kind;
static ngx_completion_pool_ask_t     ask;
static ngx_completion_pool_answer_t  answer;
static ngx_msec_t                    delay, wait_ms;


static void
make(ngx_uint_t queue)
{
    zone = shim_zone(1 << 18);

    zone->submit_rates[0].n = 2;
    zone->submit_rates[0].unit = 1000;
    zone->submit_queue = queue;
    zone->submit_queue_time = LONGEST;

    zone->poll_rate.n = 4;
    zone->poll_rate.unit = 1000;

    zone->shm_zone->init(zone->shm_zone, NULL);
    zone->shares[NGX_COMPLETION_KIND_SUBMIT] = 1;
    zone->shares[NGX_COMPLETION_KIND_POLL] = 1;
    kind = NGX_COMPLETION_KIND_SUBMIT;

    ngx_pid = getpid();
    ngx_completion_zone_enter(zone);
}


static ngx_int_t
enters(uint64_t *lease)
{
    ngx_completion_found_t  found;

    return ngx_completion_zone_reserve(zone, TTL, NULL, 0, lease, &delay,
                                       &found);
}


static ngx_int_t
turn(uint64_t lease)
{
    return ngx_completion_zone_turn(zone, lease, TTL, 2 * TTL, &delay);
}


static ngx_int_t
asks(void)
{
    return ngx_completion_zone_pool_ask(zone, kind, TIMEOUT, &ask, &wait_ms);
}


/* n starts, the first one in so many ms, and the next one of all nodes */

static ngx_int_t
given(ngx_uint_t n, ngx_msec_t from, ngx_msec_t due)
{
    ngx_uint_t  i;

    memset(&answer, 0, sizeof(answer));

    answer.token = ask.token;
    answer.turn = ask.turn;
    answer.lag = 1;
    answer.nodes = 3;
    answer.due = ngx_current_msec + due;
    answer.n = n;

    for (i = 0; i < n; i++) {
        answer.from[i] = ngx_current_msec + from;
        answer.to[i] = answer.from[i] + ask.width;
    }

    return ngx_completion_zone_pool_answer(zone, kind, &answer);
}


static void
test_given(void)
{
    uint64_t  a, b, c, token;

    make(10);

    is_int(asks(), NGX_DONE, "without a submit there is no question");
    is_int(wait_ms, 0, "ever");

    is_int(enters(&a), NGX_OK, "a submit");
    ok(delay > 0, "waits for a start");
    enters(&b);
    enters(&c);

    is_int(asks(), NGX_OK, "it is asked for");
    is_int(ask.wanted, 3, "one for each who waits");
    is_int(ask.width, 30, "for 30 ms each");
    is_int(ask.nunused, 0, "nothing is given back");
    ok(ask.node && ask.token, "the node and the question have names");
    token = ask.token;
    is_int(asks(), NGX_DONE, "nobody asks meanwhile");
    is_int(wait_ms, TIMEOUT, "until there may be no answer any more");

    is_int(given(2, 0, 800), NGX_OK, "two are due: two are called");
    is_int(turn(a), NGX_OK, "the first");
    is_int(turn(b), NGX_OK, "and the second");
    is_int(turn(c), NGX_AGAIN, "not the third");
    is_int(delay, 800, "who is told when it will be");
    is_int(zone->metrics->redis_nodes, 3, "the nodes are known");

    is_int(ngx_completion_zone_fence(zone, a), NGX_OK, "one is used");
    is_int(asks(), NGX_OK, "one that waits is asked for");
    is_int(ask.wanted, 1, "alone");
    ok(ask.token != token, "under another name");

    answer.token = token;
    answer.n = 2;
    is_int(ngx_completion_zone_pool_answer(zone, kind, &answer), NGX_DONE,
           "an answer to another question");
    is_int(turn(c), NGX_AGAIN, "gives nobody anything");

    is_int(given(1, 500, 1500), NGX_DONE, "one is due later: nobody is called");
    ngx_current_msec += 29;
    is_int(ngx_completion_zone_fence(zone, b), NGX_OK,
           "a start is good for its width");
    is_int(turn(c), NGX_AGAIN, "and another is not before its time");
    is_int(delay, 471, "which is told");
    ngx_current_msec += 471;
    is_int(turn(c), NGX_OK, "but then");
    is_int(ngx_completion_zone_fence(zone, c), NGX_OK, "it goes");

    is_int(ngx_completion_quota_free(&zone->quotas[NGX_COMPLETION_KIND_SUBMIT],
                                     ngx_current_msec), 0,
           "what went is noted here, too");
}


/* a worker that stood still, while another one asked in its place */

static void
test_late(void)
{
    uint64_t                   a;
    ngx_completion_pool_ask_t  first;

    make(10);
    enters(&a);
    asks();
    first = ask;

    (void) ngx_completion_zone_call(zone, &wait_ms);
    is_int(wait_ms, TIMEOUT, "while the server is asked nobody looks again");

    ngx_current_msec += TIMEOUT + 1;
    is_int(asks(), NGX_OK, "what has no answer is asked once more");
    ok(ask.token == first.token, "under the same name, which takes it back");

    ask = first;
    is_int(given(1, 0, 0), NGX_DONE, "the first one's answer comes late");
    is_int(turn(a), NGX_AGAIN, "and gives nobody anything");

    ask.turn++;
    is_int(given(1, 0, 0), NGX_OK, "the second one's does");
    is_int(turn(a), NGX_OK, "somebody is called");
}


static void
test_unused(void)
{
    uint64_t  a, b;

    make(10);

    enters(&a);
    asks();
    given(1, 0, 0);
    is_int(turn(a), NGX_OK, "one is called");
    is_int(asks(), NGX_DONE, "it is not asked for twice");
    is_int(wait_ms, 31, "until its time is over");

    ngx_current_msec += 31;
    is_int(ngx_completion_zone_fence(zone, a), NGX_AGAIN,
           "who comes too late has no start");
    is_int(asks(), NGX_OK, "another one is asked for");
    is_int(ask.wanted, 1, "one");
    is_int(ask.nunused, 1, "and the unused one is given back");
    is_int(ask.unused[0].token, answer.token, "by its name");
    is_int(ask.unused[0].n, 1, "which is a number, too");
    is_int(ask.width, 63, "it is asked for twice what it took, and the lag");

    given(1, 0, 0);
    ngx_current_msec += 60;
    is_int(ngx_completion_zone_fence(zone, a), NGX_OK, "so wide it is");

    /* one that nobody takes */

    make(10);
    enters(&a);
    asks();
    given(1, 0, 0);
    memset(&answer, 0, sizeof(answer));
    (void) ngx_completion_zone_release(zone, a, NULL,
                                       (ngx_completion_found_t *) &answer);
    ngx_current_msec += 31;
    is_int(asks(), NGX_OK, "what nobody wants any more");
    is_int(ask.wanted, 0, "is not replaced");
    is_int(ask.nunused, 1, "but given back");
    given(0, 0, 0);
    is_int(asks(), NGX_DONE, "once");

    /* more than there is room for */

    make(100);

    for (a = 0; a < 20; a++) {
        enters(&b);
    }

    asks();
    is_int(ask.wanted, NGX_COMPLETION_POOL_ASK, "eight are asked for at most");
    given(8, 100, 0);
    asks();
    given(8, 100, 0);
    is_int(asks(), NGX_DONE, "and no more than there is room for");
}


static void
test_ahead(void)
{
    uint64_t  a;

    make(10);
    enters(&a);
    asks();
    given(0, 0, 1500);
    is_int(asks(), NGX_DONE, "what is further ahead than a second");
    is_int(wait_ms, 500, "is asked for later");
    is_int(turn(a), NGX_AGAIN, "who waits");
    is_int(delay, 1500, "is told that");
    ngx_current_msec += 500;
    is_int(asks(), NGX_OK, "then it is");
}


static void
test_no_line(void)
{
    uint64_t    a;
    ngx_uint_t  i;

    make(0);

    for (i = 0; i < NGX_COMPLETION_POOL_ASK; i++) {
        is_int(enters(&a), NGX_AGAIN, "without a line, but to ask: a place");
    }

    is_int(enters(&a), NGX_BUSY, "and no more than can be asked for");

    asks();
    given(0, 0, 700);
    is_int(enters(&a), NGX_BUSY, "nor where it is known that none is due");
    is_int(delay, 700, "which is told");
}


static void
test_away(void)
{
    uint64_t  a, b, c;

    make(10);
    enters(&a);
    enters(&b);
    enters(&c);
    asks();

    is_int(ngx_completion_zone_pool_away(zone, kind, 4), NGX_OK,
           "without an answer they go by the node's own quota");
    is_int(ngx_completion_zone_pool_away(zone, kind, 4), NGX_AGAIN, "from then on");
    is_int(ngx_completion_zone_fence(zone, a), NGX_OK, "one");
    is_int(ngx_completion_zone_fence(zone, b), NGX_OK, "and two");
    ngx_current_msec += 1100;
    is_int(ngx_completion_zone_fence(zone, c), NGX_AGAIN,
           "and no more in a second");
    ngx_current_msec += 2800;
    is_int(ngx_completion_zone_fence(zone, c), NGX_AGAIN,
           "but in four, as there are so many nodes");
    ngx_current_msec += 700;
    is_int(ngx_completion_zone_fence(zone, c), NGX_OK, "or a little later");

    is_int(asks(), NGX_OK, "another worker asks that has not heard of it");
    is_int(ngx_completion_zone_pool_away(zone, kind, 4), NGX_AGAIN, "in vain");
    is_int(asks(), NGX_OK, "at its return it is asked at once, whoever waits");
    ngx_pid++;
    is_int(ngx_completion_zone_pool_away(zone, kind, 4), NGX_AGAIN,
           "where a worker does not reach it that another one is asking");
    is_int(asks(), NGX_DONE, "nobody asks anew");
    ngx_pid--;
    given(0, 0, 0);
    enters(&a);
    is_int(ngx_completion_zone_fence(zone, a), NGX_AGAIN,
           "and nobody goes without its word");

    is_int(ngx_completion_zone_pool_away(zone, kind, 4), NGX_OK, "away again");
    is_int(zone->quotas[NGX_COMPLETION_KIND_SUBMIT].nodes, 3,
           "it is one of as many as were seen");
    ngx_current_msec += 1700 * 1000;
    ngx_completion_zone_pool_away(zone, kind, 4);
    is_int(zone->quotas[NGX_COMPLETION_KIND_SUBMIT].nodes, 3,
           "in the last half hour");
    ngx_current_msec += 1700 * 1000;
    ngx_completion_zone_pool_away(zone, kind, 4);
    is_int(zone->quotas[NGX_COMPLETION_KIND_SUBMIT].nodes, 3, "or in an hour");
    ngx_current_msec += 3700 * 1000;
    ngx_completion_zone_pool_away(zone, kind, 4);
    is_int(zone->quotas[NGX_COMPLETION_KIND_SUBMIT].nodes, 4,
           "and not for longer");
}


static void
pending(const char *text, ngx_completion_id_t *id)
{
    memset(id, 0, sizeof(ngx_completion_id_t));
    id->upstream.data = (u_char *) text;
    id->upstream.len = strlen(text);
    id->submitted = ngx_time();

    ngx_completion_zone_adopt(zone, id, NULL);
}


static ngx_int_t
takes(ngx_completion_due_t *due)
{
    return ngx_completion_zone_take(zone, due, &wait_ms);
}


static ngx_int_t
sends(ngx_completion_due_t *due)
{
    return ngx_completion_zone_ask(zone, &due->id, due->lease);
}


static void
test_polls(void)
{
    ngx_completion_id_t   a, b, c, d;
    ngx_completion_due_t  due, second, third;

    make(10);
    kind = NGX_COMPLETION_KIND_POLL;

    is_int(asks(), NGX_DONE, "without an operation there is no question");

    pending("d7qa", &a);
    pending("d7qb", &b);
    ngx_completion_zone_want(zone, &a.upstream, LONGEST);
    ngx_completion_zone_want(zone, &b.upstream, LONGEST);

    is_int(takes(&due), NGX_AGAIN, "what is due waits for a start");
    is_int(wait_ms, 1, "which is to be asked for");
    is_int(asks(), NGX_OK, "and is");
    is_int(ask.wanted, 2, "one for each that is due");
    is_int(takes(&due), NGX_AGAIN, "meanwhile none is taken");
    is_int(wait_ms, TIMEOUT, "and nobody looks");

    is_int(given(1, 0, 700), NGX_DONE, "one is given");
    is_int(takes(&due), NGX_OK, "one is taken");
    is_int(takes(&second), NGX_AGAIN, "not the other one");
    is_int(wait_ms, 700, "until the next start is due");
    is_int(asks(), NGX_OK, "which is asked for ahead of that");
    is_int(ask.wanted, 1, "that one alone");
    is_int(sends(&due), NGX_OK, "the first one goes");
    is_int(ngx_completion_quota_free(&zone->quotas[kind], ngx_current_msec), 3,
           "and is noted here, too");

    given(1, 500, 2000);
    is_int(takes(&second), NGX_AGAIN, "a start has its time");
    is_int(wait_ms, 500, "which is told");
    ngx_current_msec += 500;
    is_int(takes(&second), NGX_OK, "then it is taken");
    ngx_current_msec += ask.width + 1;
    is_int(sends(&second), NGX_AGAIN, "who is late at the fence is not sent");
    ngx_completion_zone_yield(zone, &second.id, second.lease);
    is_int(takes(&second), NGX_AGAIN, "and waits once more");
    is_int(asks(), NGX_OK, "it is told to the server");
    is_int(ask.nunused, 1, "that one was not used");
    is_int(ask.wanted, 0, "one that is so far ahead is not asked for yet");

    given(0, 0, 0);
    is_int(takes(&second), NGX_AGAIN, "once more");
    asks();
    is_int(ask.wanted, 1, "it is asked for");
    ok(ask.width > 2 * 30, "for as long as the last one would have taken");
    given(1, 0, 0);
    is_int(takes(&second), NGX_OK, "taken");
    is_int(sends(&second), NGX_OK, "and sent");

    /* what nobody waits for leaves room */

    pending("d7qc", &c);
    pending("d7qd", &d);
    ngx_completion_zone_want(zone, &c.upstream, 1);
    ngx_completion_zone_want(zone, &d.upstream, 1);

    zone->shares[kind] = 0;
    ngx_current_msec += 1100;
    takes(&due);
    takes(&second);
    ngx_completion_zone_yield(zone, &due.id, due.lease);
    ngx_completion_zone_yield(zone, &second.id, second.lease);
    zone->shares[kind] = 1;

    is_int(takes(&third), NGX_AGAIN, "of those that nobody waits for");
    asks();
    is_int(ask.wanted, 1, "a quarter of the rate is asked for at once");

    /* away */

    is_int(ngx_completion_zone_pool_away(zone, kind, 2), NGX_DONE,
           "without the server no submit is called by that");
    is_int(ngx_completion_zone_pool_away(zone, kind, 2), NGX_AGAIN,
           "from then on");
    is_int(takes(&third), NGX_OK, "and polls go by the node's own quota");
    is_int(sends(&third), NGX_OK, "at the fence, too");
    is_int(zone->quotas[kind].nodes, 3, "of as many nodes as were seen");
    is_int(zone->quotas[NGX_COMPLETION_KIND_SUBMIT].nodes, 0,
           "submits have their own");
}


static void
test_nodes(void)
{
    ngx_uint_t                 i, n;
    ngx_completion_quota_sh_t  q;

    static const struct {
        ngx_uint_t  n, unit, nodes, starts;
        ngx_msec_t  window;
    } cases[] = {
        { 10, 1000, 1, 10, 1000 },
        { 10, 1000, 3, 10, 3000 },
        { 10, 60000, 3, 10, 180000 },
        { 5000, 3600000, 1, 5000, 3600000 },
        { 5000, 3600000, 2, 2500, 3600000 },
        { 2, 3600000, 5, 1, 3600000 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&q, 0, sizeof(q));
        q.rates[0].n = cases[i].n;
        q.rates[0].unit = cases[i].unit;
        q.nodes = cases[i].nodes;

        for (n = 0; ngx_completion_quota_free(&q, ngx_current_msec); n++) {
            ngx_completion_quota_take(&q, ngx_current_msec);
        }

        is_int(n, cases[i].starts, "so many at once, of so many nodes");
        is_int(ngx_completion_quota_next(&q, ngx_current_msec, 0)
               - ngx_current_msec,
               cases[i].window + NGX_COMPLETION_QUOTA_SLACK,
               "and the next one a window later");
    }
}


int
main(void)
{
    shim_begins();
    ngx_current_msec = 1000000;

    test_given();
    test_late();
    test_unused();
    test_ahead();
    test_no_line();
    test_away();
    test_polls();
    test_nodes();

    shim_ends();

    return tap_done();
}
