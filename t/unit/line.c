
/* The line of submits, by several workers on a clock that the test moves. */


#include "tap.h"
#include "store_shim.h"

#include "../../src/store/ngx_completion_zone_sh.h"

#include <sys/wait.h>


#define TTL      30000
#define LONGEST  600000


static ngx_completion_zone_t  *zone;
static uint64_t                seen;


static void
make(ngx_uint_t n, ngx_msec_t unit, ngx_uint_t queue)
{
    zone = shim_zone(1 << 18);

    zone->submit_rates[0].n = n;
    zone->submit_rates[0].unit = unit;
    zone->submit_queue = queue;
    zone->submit_queue_time = LONGEST;

    zone->shm_zone->init(zone->shm_zone, NULL);

    ngx_pid = getpid();
    ngx_completion_zone_enter(zone);
    seen = zone->sh->changes;
}


/* another process does what follows; returns the one that did */

static ngx_completion_metrics_worker_sh_t *
turns_to(ngx_pid_t pid, ngx_completion_metrics_worker_sh_t *worker)
{
    ngx_completion_metrics_worker_sh_t  *was = zone->worker;

    ngx_pid = pid;

    if (worker) {
        zone->worker = worker;

    } else {
        ngx_completion_zone_enter(zone);
    }

    return was;
}


/* another process, which lives until it is ended */

static ngx_pid_t
process(void)
{
    pid_t  pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }

    return pid;
}


static void
dies(ngx_pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}


static ngx_msec_t  delay;


static ngx_int_t
enters(uint64_t *lease, u_char key, u_char cache)
{
    ngx_completion_keys_t   keys;
    ngx_completion_found_t  found;

    memset(&keys, 0, sizeof(keys));
    memset(&found, 0, sizeof(found));

    keys.idempotency.ttl = key ? 3600 : 0;
    keys.idempotency.name[0] = key;
    keys.cache.ttl = cache ? 60 : 0;
    keys.cache.name[0] = cache;

    return ngx_completion_zone_reserve(zone, TTL, &keys, 0, lease, &delay,
                                       &found);
}


static ngx_int_t
asks(uint64_t lease)
{
    return ngx_completion_zone_turn(zone, lease, TTL, 2 * TTL, &delay);
}


#define fence(lease)  ngx_completion_zone_fence(zone, lease)

#define waiting()  zone->sh->nlines[NGX_COMPLETION_TURN_WAITS]


/* whether there is news of it since the last time */

static int
is_told(uint64_t lease)
{
    int         told = 0;
    uint32_t    hashes[64];
    ngx_uint_t  i, n;

    do {
        n = 64;
        ngx_completion_zone_changes(zone, &seen, hashes, &n);

        for (i = 0; i < n; i++) {
            told |= (hashes[i] == ngx_completion_lease_hash(lease));
        }

    } while (n == 64);

    return told;
}


static ngx_msec_t
calls(ngx_int_t rc, const char *what)
{
    ngx_msec_t  wait;

    is_int(ngx_completion_zone_call(zone, &wait), rc, what);

    return wait;
}


static void
ends(uint64_t lease)
{
    ngx_completion_found_t  end;

    memset(&end, 0, sizeof(end));
    (void) ngx_completion_zone_release(zone, lease, NULL, &end);
}


static void
test_order(void)
{
    uint64_t    a, b, c, d;
    ngx_msec_t  wait;

    make(1, 1000, 3);

    is_int(enters(&a, 0, 0), NGX_OK, "the first one");
    is_int(delay, 0, "is called at once");
    is_int(asks(a), NGX_OK, "however often it asks");
    is_int(waiting(), 0, "nobody waits");
    is_int(calls(NGX_DONE, "nobody is to be called"), 0, "ever");

    enters(&b, 0, 0);
    is_int(delay, 1000 + NGX_COMPLETION_QUOTA_SLACK, "the second one waits");
    enters(&c, 0, 0);
    enters(&d, 0, 0);
    is_int(delay, 3 * (1000 + NGX_COMPLETION_QUOTA_SLACK),
           "who comes later longer");
    is_int(waiting(), 3, "three wait");
    is_int(enters(&d, 0, 0), NGX_BUSY, "another one has no place");
    is_int(delay, 1000 + NGX_COMPLETION_QUOTA_SLACK,
           "before the first of them is called");

    ngx_current_msec += 100;
    is_int(fence(a), NGX_OK, "the start is taken at the fence");
    wait = calls(NGX_DONE, "nobody is called before the next one is due");
    is_int(wait, 1000 + NGX_COMPLETION_QUOTA_SLACK, "a second behind that");

    ngx_current_msec += wait - 1;
    calls(NGX_DONE, "nobody is called a ms before");
    ok(!is_told(b), "or told");
    is_int(asks(b), NGX_AGAIN, "nor by asking");
    is_int(delay, 1, "but in a ms");

    ngx_current_msec++;
    calls(NGX_OK, "the first of those who wait is called");
    ok(is_told(b), "and told");
    is_int(waiting(), 2, "two wait");
    is_int(asks(c), NGX_AGAIN, "it alone");
    is_int(asks(b), NGX_OK, "whoever called it");
    is_int(fence(b), NGX_OK, "it goes");

    make(100, 1000, 500);

    for (a = 0; a < 200; a++) {
        enters(&b, 0, 0);
        (void) fence(b);
    }

    is_int(waiting(), 100, "as many as the rate allows are not held up");
    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    is_int(calls(NGX_OK, "many are called"), 1, "not all under one lock");
    calls(NGX_OK, "but soon");
    is_int(waiting(), 0, "nobody waits");
}


static void
test_fence(void)
{
    uint64_t  a, b, c, d;

    make(1, 1000, 3);

    enters(&a, 0, 0);
    enters(&b, 0, 0);
    enters(&c, 0, 0);
    enters(&d, 0, 0);

    /* a call that is not used in time */

    is_int(calls(NGX_DONE, "a call holds its start"), 1000, "for a second");
    ngx_current_msec += 1000;
    calls(NGX_OK, "which is free then");
    ok(is_told(b), "for the next one");
    ngx_current_msec += 500;
    is_int(fence(a), NGX_OK, "though the first who comes has it");
    is_int(fence(b), NGX_AGAIN, "and the other finds none");
    is_int(waiting(), 3, "so that it waits");

    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    calls(NGX_OK, "when one is due");
    ok(is_told(b), "it is the head again");
    is_int(fence(b), NGX_OK, "and goes");

    /* what is sent again */

    ngx_completion_zone_unsent(zone, b);
    is_int(waiting(), 2, "in a pause it does not wait");
    is_int(asks(b), NGX_AGAIN, "behind it there is no start");
    is_int(delay, 1000 + NGX_COMPLETION_QUOTA_SLACK,
           "but it is ahead of those who came later");
    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    is_int(asks(c), NGX_AGAIN, "they wait on");
    is_int(asks(b), NGX_OK, "it goes");
    ok(fence(b) == NGX_OK && asks(b) == NGX_AGAIN,
       "again without a pause, too");

    /* an end makes room */

    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    calls(NGX_OK, "one is called");
    ok(is_told(b), "it again");
    ends(b);
    ok(is_told(c), "when it ends unsent, the next one is");
    ends(c);
    ends(d);
    ends(a);
    is_int(zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT], 0, "nothing is left");

    /* a lease that has ended */

    enters(&a, 0, 0);
    ngx_current_msec += TTL + NGX_COMPLETION_SUBMIT_GRACE;
    is_int(fence(a), NGX_DECLINED, "behind its lease nothing goes");
    is_int(asks(a), NGX_DECLINED, "and nothing is called");

    make(1, 1000, 3);
    enters(&a, 0, 0);
    enters(&b, 0, 0);
    ngx_current_msec += LONGEST + TTL;
    is_int(asks(b), NGX_OK, "in line it holds for the longest wait on top");
    ngx_current_msec += TTL + NGX_COMPLETION_SUBMIT_GRACE - 1;
    is_int(fence(b), NGX_OK, "and from the call on as ever");

    /* lower rates, between a call and its fence */

    make(3, 1000, 3);
    enters(&a, 0, 0);
    enters(&b, 0, 0);
    zone->submit_rates[0].n = 1;
    ngx_completion_zone_apply(zone);
    ok(fence(a) == NGX_OK && fence(b) == NGX_AGAIN, "hold at the fence");
}


static void
test_dead(void)
{
    uint64_t                             a, b, c, lost[100];
    ngx_pid_t                            pid;
    ngx_uint_t                           i;
    ngx_completion_keys_t                keys;
    ngx_completion_found_t               found;
    ngx_completion_metrics_worker_sh_t  *me, *other;

    /* its worker is replaced */

    make(1, 1000, 200);
    pid = process();
    me = turns_to(pid, NULL);
    enters(&a, 0, 0);
    (void) fence(a);

    for (i = 0; i < 100; i++) {
        enters(&lost[i], 1 + i, 0);
    }

    other = turns_to(getpid(), me);
    ok(other != me, "another worker");
    enters(&c, 0, 0);
    is_int(waiting(), 101, "many in line");
    dies(pid);

    (void) turns_to(getppid(), NULL);
    ok(zone->worker == other, "it has died, and a new one takes its place");
    is_int(waiting(), 1, "nobody of its stands in line");
    is_int(zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT], 2,
           "what it had sent is there, for as long as its lease");

    memset(&keys, 0, sizeof(keys));
    keys.idempotency.ttl = 3600;
    keys.idempotency.name[0] = 50;
    is_int(ngx_completion_zone_known(zone, &keys, 0, &found), NGX_OK,
           "and their keys are free");

    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    calls(NGX_OK, "who waits is called");
    ok(is_told(c), "at once");

    /* it is not */

    make(1, 1000, 200);
    pid = process();
    me = turns_to(pid, NULL);

    for (i = 0; i < 10; i++) {
        enters(&lost[i], 0, 0);
    }

    (void) turns_to(getpid(), me);
    enters(&c, 0, 0);
    is_int(waiting(), 10, "nine of them wait");
    dies(pid);
    ngx_current_msec += 1000;
    calls(NGX_OK, "they go when their turn comes");
    ok(is_told(c), "and the start that one of them held goes to another");
    is_int(waiting(), 0, "nobody is left");

    /* one that quits, and has no place of its own any more */

    make(1, 1000, 200);
    enters(&a, 0, 0);
    enters(&b, 0, 0);
    ngx_completion_zone_leave(zone);
    (void) turns_to(getppid(), NULL);
    is_int(waiting(), 0, "what was left by one that quits goes, too");
}


static void
test_still(void)
{
    uint64_t                             a, b, c, d, e;
    ngx_completion_metrics_worker_sh_t  *me, *other;

    make(1, 1000, 200);
    me = turns_to(getppid(), NULL);
    enters(&a, 0, 0);
    enters(&b, 0, 0);
    enters(&c, 0, 0);
    other = turns_to(getpid(), me);
    enters(&d, 0, 0);
    enters(&e, 0, 0);

    ngx_current_msec += 1000;
    calls(NGX_OK, "one stands still: its second one is called");
    ngx_current_msec += 1000;
    calls(NGX_OK, "its third one, too");
    ok(is_told(c) && waiting() == 2, "as it may be slow");
    ngx_current_msec += 1000;
    calls(NGX_OK, "and then the other's");
    ok(is_told(d), "however many there are");
    is_int(fence(d), NGX_OK, "which goes");

    /* passed by without a call */

    make(1, 1000, 200);
    me = turns_to(getppid(), NULL);
    enters(&a, 0, 0);
    enters(&b, 0, 0);
    enters(&c, 0, 0);
    other = turns_to(getpid(), me);
    enters(&d, 0, 0);
    enters(&e, 0, 0);
    ngx_current_msec += 3000;
    calls(NGX_OK, "one that has stood still for long");
    ok(is_told(d) && waiting() == 1, "is passed by at once");
    is_int(fence(d), NGX_OK, "and another one goes");

    (void) turns_to(getppid(), other);
    is_int(asks(c), NGX_AGAIN, "when it is back");
    is_int(asks(b), NGX_AGAIN, "it waits");
    is_int(waiting(), 3, "with the others");
    is_int(fence(a), NGX_AGAIN, "what had a connection, too");
    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    is_int(asks(e), NGX_AGAIN, "behind it");
    is_int(asks(a), NGX_OK, "each in its place");
    (void) fence(a);
    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    ok(asks(c) == NGX_AGAIN && asks(b) == NGX_OK, "as before");
}


/* a worker beyond those that are counted */

static void
test_uncounted(void)
{
    uint64_t    a, b;
    ngx_uint_t  i;

    make(1, 1000, 200);

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS; i++) {
        zone->metrics->workers[i].pid = 1;
    }

    ngx_completion_zone_enter(zone);
    ok(zone->worker->pid == 0, "a worker without a place");
    enters(&a, 0, 0);
    enters(&b, 0, 0);
    is_int(fence(a), NGX_OK, "sends");
    ngx_current_msec += 5000;
    calls(NGX_OK, "is called");
    is_int(fence(b), NGX_OK, "and not passed by");
}


/* nobody who is refused, or counts, pays for the length of the line */

static void
test_length(void)
{
    uint64_t                  lease;
    ngx_uint_t                i;
    ngx_slab_stat_t           stats[9];
    ngx_rbtree_node_t        *first, *right;
    ngx_completion_census_t   census;

    make(1, 1000, 300);
    memset(stats, 0, sizeof(stats));
    shim_slab.min_shift = 3;
    shim_slab.stats = stats;

    for (i = 0; i < 301; i++) {
        enters(&lease, 0, 0);
    }

    first = zone->sh->lines[NGX_COMPLETION_TURN_WAITS].root;
    right = first->right;

    /* who went there would not come back */

    first->right = NULL;

    is_int(enters(&lease, 0, 0), NGX_BUSY, "a full line is not walked");
    ngx_completion_zone_census(zone, &census);
    is_int(census.queue, 300, "nor to be counted");

    first->right = right;

    ends(lease + 1);
    is_int(waiting(), 300, "of an unknown one nothing goes");
}


/* what cannot go is looked at so often and no more */

static void
test_looks(void)
{
    uint64_t                  lease;
    ngx_uint_t                i, n;
    ngx_queue_t              *q, *list, *entries[300];

    make(0, 0, 0);
    list = &zone->sh->lists[NGX_COMPLETION_METRICS_CACHED];

    for (i = 0; i < 300; i++) {
        ngx_completion_keys_t   keys;
        ngx_completion_found_t  found;

        memset(&keys, 0, sizeof(keys));
        keys.cache.ttl = 60;
        memcpy(keys.cache.name, &i, sizeof(i));
        (void) ngx_completion_zone_reserve(zone, TTL, &keys, 0, &lease,
                                           &delay, &found);
        entries[i] = ngx_queue_last(list);
    }

    shim_slab_limit = shim_slab_used;
    is_int(enters(&lease, 0, 0), NGX_DECLINED, "there is no room");

    for (i = 0, q = ngx_queue_head(list); q != entries[i] && i < 300; i++) {
        /* void */
    }

    is_int(i, 256, "what others wait for was looked at so often");

    for (n = 0; q != list; q = ngx_queue_next(q)) {
        n++;
    }

    is_int(n, 300, "and all is there");

    is_int(enters(&lease, 0, 0), NGX_DECLINED, "the next one");
    ok(ngx_queue_head(list) == entries[212], "goes on behind that");
}


int
main(void)
{
    shim_begins();

    test_order();
    test_fence();
    test_dead();
    test_still();
    test_uncounted();
    test_length();
    test_looks();

    shim_ends();

    return tap_done();
}
