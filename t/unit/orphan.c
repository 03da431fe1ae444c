
/*
 * Orphans, and operations that a client has deleted: what two workers make of
 * them in turn, in a zone with room and in a full one.
 */


#include "tap.h"
#include "store_shim.h"

#include "../../src/store/ngx_completion_zone_sh.h"

#include <sys/wait.h>


#define TTL     30000
#define ORPHAN  600


static ngx_completion_zone_t               *zone;
static ngx_pid_t                            pids[2];
static ngx_completion_metrics_worker_sh_t  *workers[2];


static void
make(size_t size)
{
    ngx_uint_t  i;

    zone = shim_zone(size);

    zone->poll_rate.n = 50;
    zone->poll_rate.unit = 1000;

    zone->shm_zone->init(zone->shm_zone, NULL);

    for (i = 2; i > 0; i--) {
        ngx_pid = pids[i - 1];
        ngx_completion_zone_enter(zone);
        workers[i - 1] = zone->worker;
    }
}


/* what follows is done by the first or by the second */

static void
by(ngx_uint_t worker)
{
    ngx_pid = pids[worker];
    zone->worker = workers[worker];
}


static void
fill(void)
{
    ngx_shmtx_lock(&shim_slab.mutex);

    while (shim_slab_limit - shim_slab_used > 0) {
        ngx_slab_alloc_locked(&shim_slab, ngx_min(4096,
                                            shim_slab_limit - shim_slab_used));
    }

    ngx_shmtx_unlock(&shim_slab.mutex);
}


/* a request; those of one text are equal */

typedef struct {
    ngx_int_t               rc;
    uint64_t                lease;
    ngx_completion_hold_t   hold;
    ngx_completion_keys_t   keys;
    ngx_completion_found_t  found;
} request_t;


static void
look(request_t *r, uint64_t joined)
{
    ngx_msec_t  delay;

    memset(&r->found, 0, sizeof(r->found));

    r->rc = ngx_completion_zone_reserve(zone, TTL, &r->keys, joined, &r->lease,
                                        &delay, &r->found);

    r->hold.lease = (r->rc == NGX_OK) ? (uint32_t) r->lease : r->found.held;
}


static void
ask(request_t *r, u_char text, ngx_uint_t repeated)
{
    memset(r, 0, sizeof(request_t));

    r->keys.orphan.ttl = ORPHAN;
    r->keys.orphan.name[0] = text;
    r->keys.doubted = 1;
    r->keys.repeated = repeated;
    memcpy(r->hold.name, r->keys.orphan.name, sizeof(r->hold.name));

    look(r, 0);
}


static void
accepts(request_t *r, const char *id)
{
    ngx_completion_id_t  upstream = { str(id), ngx_time(), 0 };

    ngx_completion_zone_fence(zone, r->lease);
    ngx_completion_zone_accept(zone, r->lease, &r->keys, &upstream, 0);
}


static ngx_int_t
store(const char *id, uint64_t lease, ngx_uint_t final)
{
    ngx_str_t                upstream = str(id);
    ngx_completion_update_t  update;

    memset(&update, 0, sizeof(update));

    update.outcome = NGX_COMPLETION_OK;
    update.state = final ? NGX_COMPLETION_COMPLETED : NGX_COMPLETION_PENDING;
    update.document = str("{\"id\":\"\"}");
    update.digest = final + 1;

    return ngx_completion_zone_store(zone, &upstream, lease, &update);
}


static void
ends(request_t *r, ngx_uint_t delivered)
{
    ngx_completion_zone_unhold(zone, &r->hold, delivered);
}


/* whether it has what the other one has begun, under way or accepted */

static int
has(request_t *r, request_t *of)
{
    return r->rc == NGX_DONE && r->hold.lease == (uint32_t) of->lease;
}


static void
test_once(void)
{
    request_t  first, second, third;

    make(1 << 17);

    ask(&first, 1, 0);
    is_int(first.rc, NGX_OK, "a request begins");

    by(1);
    ask(&second, 1, 0);
    is_int(second.rc, NGX_OK, "while it is held, an equal one is another");
    ask(&third, 2, 0);
    ends(&third, 0);

    by(0);
    ends(&first, 0);
    by(1);
    ask(&third, 1, 0);
    ok(has(&third, &first), "what nobody got is the next one's");
    ok(third.found.state == NGX_COMPLETION_KEY_UNDERWAY
       && third.found.lease == first.lease && third.found.pending,
       "which joins it on its way");

    by(0);
    ask(&first, 1, 0);
    is_int(first.rc, NGX_OK, "and nobody else's");

    /* accepted under whoever joined it, which looks once more */

    by(1);
    first.lease = third.found.lease;
    accepts(&first, "d7q1");
    look(&third, first.lease);
    ok(has(&third, &first)
       && third.found.state == NGX_COMPLETION_KEY_ENDED
       && third.found.outcome == NGX_COMPLETION_OK, "it has the operation");
    is_str(&third.found.id.upstream, "d7q1", "which is that one");

    ends(&third, 0);
    by(0);
    ask(&second, 1, 0);
    ok(has(&second, &first), "given up again, it is the next one's again");
    ends(&second, 1);
    by(1);
    ask(&third, 1, 0);
    is_int(third.rc, NGX_OK, "what was delivered is nobody's");
}


static void
test_oldest(void)
{
    ngx_uint_t  i;
    request_t   begun[4], takes[4];

    make(1 << 17);

    for (i = 0; i < 4; i++) {
        by(i & 1);
        ask(&begun[i], 1, 0);
    }

    accepts(&begun[2], "d7q2");

    /* given up in another order than begun in */

    ends(&begun[3], 0);
    ends(&begun[2], 0);
    ends(&begun[0], 0);

    for (i = 0; i < 4; i++) {
        by(!(i & 1));
        ask(&takes[i], 1, 0);
    }

    ok(has(&takes[0], &begun[0]), "the oldest goes first");
    ok(has(&takes[1], &begun[2]), "then the next one, which was accepted");
    ok(has(&takes[2], &begun[3]), "then the last one");
    is_int(takes[3].rc, NGX_OK, "and the one that is held is left alone");
}


static void
test_repeated(void)
{
    request_t  first, second, third, fourth;

    make(1 << 17);

    by(0);
    ask(&first, 1, 0);
    ask(&second, 1, 0);

    by(1);
    ask(&third, 1, 1);
    ok(has(&third, &first), "a repeat shares the oldest that is held");

    ends(&second, 0);
    ask(&fourth, 1, 1);
    ok(has(&fourth, &second), "but takes one that nobody holds before it");

    /* two hold it, and one has its answer */

    accepts(&first, "d7q1");
    by(0);
    ends(&first, 0);
    ask(&fourth, 1, 0);
    is_int(fourth.rc, NGX_OK, "what one of two gave up is still held");

    by(1);
    ends(&third, 1);
    by(0);
    ask(&fourth, 1, 0);
    is_int(fourth.rc, NGX_OK, "and delivered to the other it is none");

    make(1 << 17);
    ask(&first, 1, 0);
    by(1);
    ask(&second, 1, 1);
    accepts(&first, "d7q1");
    ends(&second, 1);
    by(0);
    ends(&first, 0);
    ask(&third, 1, 0);
    is_int(third.rc, NGX_OK, "whichever ends first");
}


static void
test_ended(void)
{
    request_t               first, second;
    ngx_completion_found_t  end;

    make(1 << 17);

    /* as long as it is pending, and so long behind its end */

    ask(&first, 1, 0);
    accepts(&first, "d7q1");
    ends(&first, 0);
    ngx_current_msec += 20 * ORPHAN * 1000;
    by(1);
    ask(&second, 1, 0);
    ok(has(&second, &first) && second.found.pending,
       "one that is pending waits for as long as it takes");
    ends(&second, 0);

    store("d7q1", first.lease, 1);
    ngx_current_msec += ORPHAN * 1000;
    ask(&second, 1, 0);
    ok(has(&second, &first) && !second.found.pending,
       "and ten minutes behind its end");
    ends(&second, 0);

    ngx_current_msec++;
    ask(&second, 1, 0);
    is_int(second.rc, NGX_OK, "but no longer");

    /* nobody paid */

    make(1 << 17);
    ask(&first, 1, 0);
    ends(&first, 0);
    memset(&end, 0, sizeof(end));
    end.state = NGX_COMPLETION_KEY_ENDED;
    end.outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
    ngx_completion_zone_release(zone, first.lease, &first.keys, &end);
    ask(&second, 1, 0);
    is_int(second.rc, NGX_OK, "what was refused is none");

    /* its worker is gone before it sent anything */

    make(1 << 17);
    ask(&first, 1, 0);
    ends(&first, 0);
    ngx_current_msec += TTL + NGX_COMPLETION_SUBMIT_GRACE + 1;
    by(1);
    ask(&second, 1, 0);
    is_int(second.rc, NGX_OK, "nor what was never sent");
}


static int
is_unknown(request_t *r, request_t *of)
{
    return has(r, of) && r->found.state == NGX_COMPLETION_KEY_ENDED
           && r->found.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN
           && !r->found.pending;
}


/* perhaps paid, and nobody knows */

static void
test_unknown(void)
{
    request_t               first, second, third;
    ngx_completion_id_t     upstream = { str("d7q1"), 0, 0 };
    ngx_completion_found_t  end;

    make(1 << 17);
    memset(&end, 0, sizeof(end));
    end.state = NGX_COMPLETION_KEY_ENDED;
    end.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;

    ask(&first, 1, 0);
    ngx_completion_zone_fence(zone, first.lease);
    ends(&first, 0);
    ngx_completion_zone_release(zone, first.lease, &first.keys, &end);
    by(1);
    ask(&second, 1, 0);
    ok(is_unknown(&second, &first), "what became of it is told to the next");
    ask(&third, 1, 0);
    is_int(third.rc, NGX_OK, "and to nobody else meanwhile");
    ngx_completion_zone_release(zone, third.lease, &third.keys, &end);
    ends(&third, 1);

    ends(&second, 0);
    by(0);
    ask(&second, 1, 0);
    ok(is_unknown(&second, &first), "who did not hear it leaves it behind");
    ends(&second, 1);
    ask(&third, 1, 0);
    is_int(third.rc, NGX_OK, "who knows may ask anew");
    ends(&third, 0);
    ngx_completion_zone_fence(zone, third.lease);
    ngx_completion_zone_release(zone, third.lease, &third.keys, &end);
    ngx_current_msec += ORPHAN * 1000 + 1;
    ask(&second, 1, 0);
    is_int(second.rc, NGX_OK, "and whoever comes ten minutes later");

    /* its worker is gone; the others are those that the sweep looks at */

    make(1 << 17);
    ask(&second, 2, 0);
    ask(&second, 3, 0);
    ask(&first, 1, 0);
    ngx_completion_zone_fence(zone, first.lease);
    ends(&first, 0);
    ngx_current_msec += TTL + NGX_COMPLETION_SUBMIT_GRACE + 1;
    zone->sh->swept = first.lease;
    by(1);
    ask(&second, 1, 0);
    ok(is_unknown(&second, &first), "so is what was never heard of again");
    ends(&second, 0);

    by(0);
    upstream.submitted = ngx_time();
    ngx_completion_zone_accept(zone, first.lease, &first.keys, &upstream, 0);
    by(1);
    ask(&second, 1, 0);
    ok(has(&second, &first) && second.found.outcome == NGX_COMPLETION_OK
       && second.found.pending, "until it is heard of all the same");

    /* the client's connection broke with it, and its library tries again */

    make(1 << 17);
    by(0);
    ask(&first, 1, 0);
    ngx_completion_zone_fence(zone, first.lease);
    ngx_current_msec += TTL + NGX_COMPLETION_SUBMIT_GRACE + 1;
    by(1);
    ask(&second, 1, 0);
    is_int(second.rc, NGX_OK, "of one that is held still another knows not");
    ask(&third, 1, 1);
    ok(is_unknown(&third, &first), "but who repeats it does");
}


static void
test_orphans_room(void)
{
    request_t    first, second, other;
    const char  *id = "d7q1";

    make(1 << 17);
    ask(&first, 1, 0);
    ends(&first, 0);
    fill();
    by(1);
    ask(&other, 2, 0);
    is_int(other.rc, NGX_DECLINED, "one on its way makes no room");
    ask(&second, 1, 0);
    ok(has(&second, &first), "and is taken over in a full zone");

    accepts(&first, id);
    ends(&second, 0);
    ngx_current_msec += NGX_COMPLETION_SUBMIT_GRACE + TTL;
    other.keys.orphan.ttl = 0;
    look(&other, 0);
    is_int(other.rc, NGX_OK, "one that was accepted does");
    is_int(zone->metrics->evictions[NGX_COMPLETION_METRICS_CACHED], 1,
           "as what the cache knows");
    ask(&second, 1, 0);
    ok(second.rc != NGX_DONE, "and is none any more");
}


static ngx_int_t
read_view(const char *id, ngx_completion_view_t *view)
{
    ngx_str_t  upstream = str(id);

    return ngx_completion_zone_read(zone, &upstream, 0, NULL, view);
}


static int
is_deleted(const char *id)
{
    ngx_completion_view_t  view;

    return read_view(id, &view) == NGX_OK && view.deleted
           && view.document.len == 0;
}


static ngx_int_t
del(const char *id)
{
    ngx_str_t  upstream = str(id);

    return ngx_completion_zone_delete(zone, &upstream, NULL);
}


static void
test_deleted(void)
{
    ngx_uint_t               n;
    request_t                pending, final, later;
    ngx_msec_t               wait;
    ngx_completion_id_t      id = { str("d7q2"), 0, 0 };
    ngx_completion_due_t     due;
    ngx_completion_view_t    view;

    make(1 << 17);
    id.submitted = ngx_time();

    is_int(del("d7q1"), NGX_DECLINED, "nobody deletes what is not known");

    ask(&pending, 1, 0);
    accepts(&pending, "d7q1");
    ask(&final, 2, 0);
    accepts(&final, "d7q2");
    store("d7q1", pending.lease, 0);
    store("d7q2", final.lease, 1);
    ends(&pending, 0);
    ends(&final, 0);

    n = shim_allocations;
    by(1);
    is_int(del("d7q1"), NGX_OK, "one that is pending");
    is_int(del("d7q2"), NGX_DONE, "and one that has ended");
    by(0);
    is_int(del("d7q1"), NGX_DECLINED, "once");
    is_int(del("d7q2"), NGX_DECLINED, "by whichever worker");
    is_int(shim_allocations, n, "which takes no memory");
    ok(is_deleted("d7q1") && is_deleted("d7q2"), "are deleted");

    ask(&later, 1, 0);
    is_int(later.rc, NGX_OK, "what leads to a pending one leads nowhere");
    ask(&later, 2, 0);
    is_int(later.rc, NGX_OK, "nor to one that has ended");

    ngx_completion_zone_adopt(zone, &id, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 1000);
    ok(is_deleted("d7q2"), "whoever asks for it adopts nothing");
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "and has nothing polled");

    /* the other worker's poll is under way */

    ask(&later, 3, 0);
    accepts(&later, "d7q3");
    store("d7q3", later.lease, 0);
    id.upstream = str("d7q3");
    ngx_completion_zone_want(zone, &id.upstream, 60000);
    ngx_current_msec += 30000;
    by(1);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "a poll");
    by(0);
    is_int(del("d7q3"), NGX_OK, "meanwhile it is deleted");
    by(1);
    is_int(store("d7q3", due.lease, 1), NGX_DECLINED, "its result is late");
    ok(is_deleted("d7q3"), "and brings nothing back");

    /* keys that were paid for, and the cache */

    for (n = 0; n < 2; n++) {
        by(n);
        memset(&later, 0, sizeof(later));
        later.keys.idempotency.ttl = 3600;
        later.keys.idempotency.name[0] = 5;
        later.keys.cache.ttl = 60;
        later.keys.cache.name[0] = 6;
        look(&later, 0);
        is_int(later.rc, NGX_OK, n ? "leads to it no more" : "a key");

        accepts(&later, n ? "d7q5" : "d7q4");
        store(n ? "d7q5" : "d7q4", later.lease, 1);
        later.keys.idempotency.ttl = n ? 3600 : 0;
        look(&later, 0);
        is_int(later.rc, NGX_DONE, n ? "but to the next one" : "or the cache");
        del("d7q4");
    }

    /* upstream gives the id out once more */

    ask(&later, 4, 0);
    accepts(&later, "d7q1");
    is_int(read_view("d7q1", &view), NGX_OK, "an id that comes again");
    ok(view.deleted, "is deleted");
}


static ngx_uint_t
count_deleted(ngx_uint_t n)
{
    char        text[16];
    ngx_uint_t  count = 0;

    while (n--) {
        sprintf(text, "d7q%d", (int) n);
        count += is_deleted(text);
    }

    return count;
}


static void
test_deleted_room(void)
{
    char                  text[16];
    request_t             r;
    ngx_uint_t            i, n;
    ngx_completion_id_t   id;

    make(65536);
    n = 40;

    for (i = 0; i < n; i++) {
        by(i & 1);
        sprintf(text, "d7q%d", (int) i);
        ask(&r, i, 0);
        accepts(&r, text);
        store(text, r.lease, i & 1);
        ends(&r, 0);
        del(text);
    }

    /* others come, and go for each other, but not for these */

    fill();

    for (i = 0; i < 3 * n; i++) {
        by(i & 1);
        sprintf(text, "o%d", (int) i);
        id.upstream = str(text);
        id.submitted = ngx_time();
        id.shared = 0;
        (void) ngx_completion_zone_adopt(zone, &id, NULL);
        ngx_current_msec += 10;
    }

    memset(&r, 0, sizeof(r));

    do {
        look(&r, 0);
    } while (r.rc == NGX_OK);

    is_int(r.rc, NGX_DECLINED, "a zone is full");

    id.upstream = str("another");
    is_int(ngx_completion_zone_adopt(zone, &id, NULL), NGX_DECLINED,
           "for whoever asks, too");
    is_int(count_deleted(n), n, "of what was deleted nothing is forgotten");

    /* nor by time, as long as an id of it is good */

    ngx_current_msec += ngx_completion_ms(zone->lifetime);
    shim_time(ngx_time() + zone->lifetime);

    for (i = 0; i < 3 * n; i++) {
        look(&r, 0);
    }

    is_int(count_deleted(n), n, "nor while its id is good");

    ngx_current_msec += ngx_completion_ms(NGX_COMPLETION_ID_SKEW) + 1000;

    for (i = 0; i < 3 * n; i++) {
        look(&r, 0);
    }

    is_int(count_deleted(n), 0, "and then all of it is");
    ok(ngx_queue_empty(&zone->sh->deleted), "for good");
}


int
main(void)
{
    shim_begins();

    /* workers are known by processes that live */

    pids[0] = getpid();
    pids[1] = fork();

    if (pids[1] == 0) {
        pause();
        _exit(0);
    }

    test_once();
    test_oldest();
    test_repeated();
    test_ended();
    test_unknown();
    test_orphans_room();
    test_deleted();
    test_deleted_room();

    kill(pids[1], SIGKILL);
    waitpid(pids[1], NULL, 0);

    shim_ends();

    return tap_done();
}
