
/* What configurations do to a zone, and keys; the rest is t/fuzz/zone.c's. */


#include "tap.h"
#include "store_shim.h"

#include "../../src/store/ngx_completion_zone_sh.h"

#include <setjmp.h>
#include <sys/wait.h>


#define POLLS    NGX_COMPLETION_KIND_POLL
#define SUBMITS  NGX_COMPLETION_KIND_SUBMIT

#define DAY      86400


static ngx_completion_zone_t  *zone;


static ngx_int_t
make(size_t size, ngx_uint_t polls)
{
    zone = shim_zone(size);

    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->poll_rate.n = polls;
    zone->poll_rate.unit = 1000;

    shim_log_lines = 0;
    shim_log_text[0] = '\0';

    if (zone->shm_zone->init(zone->shm_zone, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_completion_zone_enter(zone);

    return NGX_OK;
}


static int
logged(const char *text)
{
    return strstr(shim_log_text, text) != NULL;
}


static void
test_start(void)
{
    int              bad = 0;
    ngx_uint_t       n;
    ngx_shm_zone_t   old[2];
    ngx_list_part_t  part;

    is_int(make(65536, 50), NGX_OK, "a zone starts");
    is_int(shim_log_lines, 0, "without a word");

    is_int(make(16384, 50), NGX_ERROR, "one too small for what it needs");
    ok(logged("zone \"operations\" is too small, give it more memory"),
       "says so");

    for (n = 1; n < 6; n++) {
        shim_allocations = 0;
        shim_fail_at = n;
        bad += (make(65536, 50) != NGX_ERROR);
        shim_fail_at = 0;
    }

    ok(!bad, "without memory it does not start");

    make(65537, 50);
    is_int((uintptr_t) zone->metrics % sizeof(ngx_atomic_t), 0,
           "counters are aligned in a zone of any size");
    ok((u_char *) (zone->metrics + 1) <= shim_memory + 65537,
       "and lie within it");

    shim_zone_data = &shim_cycle;
    shim_log_text[0] = '\0';
    is_int(make(65536, 50), NGX_ERROR, "one of another provider");
    ok(logged("belongs to another provider already, give each provider a zone "
              "of its own"), "is not shared");
    shim_zone_data = NULL;

    ngx_cycle = NULL;
    is_int(make(65536, 50), NGX_OK, "the first cycle of all");
    ngx_cycle = &shim_cycle;

    /* of the cycle before: another one, then one of another size */

    memset(old, 0, sizeof(old));
    old[0].shm.name = str("other");
    old[0].tag = &shim_cycle;
    old[1].shm.name = shim_zone_name;
    old[1].tag = &shim_cycle;

    shim_cycle.shared_memory.part.elts = old;
    shim_cycle.shared_memory.part.nelts = 1;
    make(65536, 50);
    is_int(shim_log_lines, 0, "another zone that was there is none of ours");

    shim_cycle.shared_memory.part.nelts = 2;
    is_int(make(65536, 50), NGX_OK, "a zone of another size starts");
    ok(logged("starts empty because its size changed"), "and says so");

    /* the same in two parts of nginx's list */

    memset(&part, 0, sizeof(part));
    part.elts = &old[1];
    part.nelts = 1;
    shim_cycle.shared_memory.part.nelts = 1;
    shim_cycle.shared_memory.part.next = &part;
    make(65536, 50);
    ok(logged("starts empty because its size changed"), "wherever it stands");

    memset(&shim_cycle.shared_memory, 0, sizeof(shim_cycle.shared_memory));
}


static void
test_reload(void)
{
    ngx_completion_id_t    id = { str("d7q1"), 0, 0 };
    ngx_completion_view_t  view;

    make(65536, 50);
    ngx_completion_zone_adopt(zone, &id, NULL);

    is_int(zone->shm_zone->init(zone->shm_zone, zone), NGX_OK,
           "a reload keeps the zone");
    is_int(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view), NGX_OK,
           "with what it holds");

    zone->poll_rate.n = 10;
    ngx_completion_zone_apply(zone);
    is_int(shim_log_lines, 0, "other quotas hold from then on");

    is_int(zone->quotas[POLLS].rates[0].n, 10, "as configured");

    zone->identity[0] = 1;
    is_int(zone->shm_zone->init(zone->shm_zone, zone), NGX_ERROR,
           "another folder under the same name");
    ok(logged("use another zone name"), "is refused");
}


/* the time of the next start of a submit */

static ngx_msec_t
next(ngx_msec_t now)
{
    return ngx_completion_quota_next(&zone->quotas[SUBMITS], now, 0);
}


static void
rates(ngx_completion_rate_t *first, ngx_completion_rate_t *second)
{
    memset(zone->submit_rates, 0, sizeof(zone->submit_rates));

    if (first) {
        zone->submit_rates[0] = *first;
    }

    if (second) {
        zone->submit_rates[1] = *second;
    }

    ngx_completion_zone_apply(zone);
}


static void
test_rates(void)
{
    ngx_uint_t             i;
    ngx_completion_rate_t  hour = { 3, 3600000 }, second = { 10, 1000 };
    ngx_completion_rate_t  one = { 1, 1000 };

    make(65536, 50);
    rates(&hour, NULL);

    for (i = 1; i <= 3; i++) {
        ngx_completion_quota_take(&zone->quotas[SUBMITS], 30000 * i);
    }

    rates(&second, &hour);
    is_int(next(100000), 3630000 + NGX_COMPLETION_QUOTA_SLACK,
           "a rate in front of another leaves it what it knows");

    rates(&hour, NULL);
    is_int(next(100000), 3630000 + NGX_COMPLETION_QUOTA_SLACK,
           "nor does one that goes");

    i = shim_allocations;
    rates(&one, NULL);
    rates(NULL, NULL);
    rates(&hour, NULL);
    is_int(next(100000), 3630000 + NGX_COMPLETION_QUOTA_SLACK,
           "a rate that comes back has forgotten nothing");
    is_int(shim_allocations, i, "and none takes memory");

    zone->poll_rate.n++;
    ngx_completion_zone_apply(zone);
    is_int(next(100000), 3630000 + NGX_COMPLETION_QUOTA_SLACK,
           "nor does one when that of polls changes");

    zone->sh->busy = 1;
    ngx_completion_zone_lock(zone);
    ngx_completion_zone_unlock(zone);
    ok(logged("was made anew"), "a zone is made anew");
    is_int(next(100000), 3630000 + NGX_COMPLETION_QUOTA_SLACK,
           "and its quotas know what they knew");
}


static ngx_int_t
reserve(u_char key, u_char cache, uint64_t *lease,
    ngx_completion_found_t *found)
{
    ngx_msec_t             delay;
    ngx_completion_keys_t  keys;

    memset(&keys, 0, sizeof(keys));
    memset(found, 0, sizeof(*found));

    keys.idempotency.ttl = key ? 3600 : 0;
    keys.idempotency.name[0] = key;
    keys.cache.ttl = cache ? 60 : 0;
    keys.cache.name[0] = 0x80 + cache;

    return ngx_completion_zone_reserve(zone, 30000, &keys, 0, lease, &delay,
                                       found);
}


static void
test_cache(void)
{
    ngx_str_t                document = ngx_string("{\"id\":\"\"}");
    uint64_t                 lease, other;
    ngx_completion_id_t      id = { str("d7q1"), 0, 0 };
    ngx_completion_view_t    view;
    ngx_completion_found_t   found;
    ngx_completion_update_t  update;

    make(65536, 50);
    id.submitted = ngx_time();

    is_int(reserve(0, 1, &lease, &found), NGX_OK, "the first request");
    is_int(reserve(2, 1, &other, &found), NGX_DONE, "an equal one");
    is_int(found.state, NGX_COMPLETION_KEY_UNDERWAY, "joins it");
    ok(found.lease == lease && !found.replayed, "by the cache, not its key");
    is_int(reserve(2, 0, &other, &found), NGX_DONE, "its key");
    ok(found.lease == lease && found.replayed, "goes by the same submit");

    ngx_completion_zone_fence(zone, lease);
    ngx_completion_zone_accept(zone, lease, NULL, &id, 0);

    is_int(reserve(0, 1, &other, &found), NGX_DONE, "a later one");
    ok(found.state == NGX_COMPLETION_KEY_ENDED
       && found.outcome == NGX_COMPLETION_OK, "has its operation");
    is_str(&found.id.upstream, "d7q1", "which is that one");
    is_int(reserve(3, 1, &other, &found), NGX_DONE, "one with a new key, too");
    is_int(reserve(3, 0, &other, &found), NGX_DONE, "and the key keeps it");

    memset(&update, 0, sizeof(update));
    update.state = NGX_COMPLETION_COMPLETED;
    update.document = document;
    is_int(ngx_completion_zone_store(zone, &id.upstream, lease, &update),
           NGX_DONE, "its result, which nobody waits for");
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "is good for a minute");

    /* what the wall clock says is nothing to what lives with the memory */

    shim_time(ngx_time() + DAY);
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "by no wall clock");
    is_int(reserve(3, 0, &other, &found), NGX_DONE, "nor does the key end");
    ngx_completion_zone_adopt(zone, &id, NULL);
    is_int(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view), NGX_OK,
           "nor what is retained");
    is_int(view.state, NGX_COMPLETION_RECORD_FINAL, "though others are adopted");

    shim_time(ngx_time() - 2 * DAY);
    ngx_current_msec += 61000;
    is_int(reserve(0, 1, &other, &found), NGX_OK, "and paid anew behind it");
    is_int(reserve(3, 0, &other, &found), NGX_DONE, "the key lives longer");

    id.upstream = str("another");
    ngx_completion_zone_adopt(zone, &id, NULL);
    id.upstream = str("d7q1");
    is_int(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view),
           NGX_DECLINED, "the result not");

    ngx_current_msec += 3600000;
    is_int(reserve(3, 0, &other, &found), NGX_OK, "and ends");
    shim_time(ngx_time() + DAY);
}


/* results go first, their records stay; what is pending goes last */

static void
test_room(void)
{
    char                     text[8];
    size_t                   i;
    u_char                   large[6000];
    uint64_t                 lease = 1;
    ngx_uint_t               kept = 0, known = 0;
    ngx_completion_id_t      id = { ngx_null_string, 0, 0 };
    ngx_completion_view_t    view;
    ngx_completion_update_t  update;

    make(49152, 50);
    memset(large, 'x', sizeof(large));

    for (i = 0; i < 12; i++) {
        sprintf(text, "op%d", (int) i);
        id.upstream = str(text);
        id.submitted = ngx_time();
        ngx_completion_zone_accept(zone, ++lease, NULL, &id, 0);

        memset(&update, 0, sizeof(update));
        update.state = NGX_COMPLETION_COMPLETED;
        update.document.data = large;
        update.document.len = sizeof(large);
        ngx_completion_zone_store(zone, &id.upstream, lease, &update);
        ngx_current_msec += 2000;
    }

    for (i = 0; i < 12; i++) {
        sprintf(text, "op%d", (int) i);
        id.upstream = str(text);

        if (ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view)
            == NGX_OK)
        {
            known++;
            kept += (view.document.len != 0);
        }
    }

    is_int(known, 12, "a full zone knows all that has ended");
    ok(kept > 1 && kept < 12, "and keeps some of the results");
    ok(view.document.len == sizeof(large), "the latest among them");
}


/* what a poll found out, by a lease or without */

typedef enum {
    PENDING = 0,
    FINAL,
    NOT_FOUND,
    FAILED
} found_e;


static ngx_int_t
update(const char *name, uint64_t lease, found_e found, ngx_str_t *document)
{
    ngx_str_t                id = str(name);
    ngx_completion_update_t  u;

    memset(&u, 0, sizeof(u));
    u.outcome = (found == NOT_FOUND) ? NGX_COMPLETION_OPERATION_NOT_FOUND
                : (found == FAILED) ? NGX_COMPLETION_OUTCOME_UNKNOWN
                : NGX_COMPLETION_OK;
    u.state = (found == FINAL) ? NGX_COMPLETION_COMPLETED
                               : NGX_COMPLETION_PENDING;

    if (document) {
        u.document = *document;
        u.digest = document->len;
    }

    return ngx_completion_zone_store(zone, &id, lease, &u);
}


static void
accepted(uint64_t lease, const char *name)
{
    ngx_completion_id_t  id = { str(name), ngx_time(), 0 };

    ngx_completion_zone_accept(zone, lease, NULL, &id, 0);
}


static ngx_uint_t
evicted(ngx_completion_metrics_eviction_e kind)
{
    return zone->metrics->evictions[kind];
}


/* one that has gone is asked for, and found so */

static void
adopt(ngx_completion_id_t *id, found_e found)
{
    char                  name[8];
    ngx_str_t             document = ngx_string("{\"id\":\"\"}");
    ngx_msec_t            wait;
    ngx_completion_due_t  due;

    id->submitted = ngx_time();
    ngx_completion_zone_adopt(zone, id, NULL);
    ngx_completion_zone_want(zone, &id->upstream, 1000);
    ngx_completion_zone_take(zone, &due, &wait);

    sprintf(name, "%.*s", (int) id->upstream.len, id->upstream.data);
    update(name, due.lease, found, (found == FINAL) ? &document : NULL);
}


/* who is waited for later goes first all the same, known or not */

static void
test_waited(void)
{
    ngx_completion_id_t   first = { str("first"), 0, 0 };
    ngx_completion_id_t   second = { str("second"), 0, 0 };
    ngx_completion_due_t  due;
    ngx_msec_t            wait;

    make(65536, 50);
    first.submitted = second.submitted = ngx_time();

    ngx_completion_zone_adopt(zone, &first, NULL);
    ngx_completion_zone_want(zone, &first.upstream, 0);
    ngx_current_msec += 100;
    ngx_completion_zone_adopt(zone, &second, NULL);
    ngx_completion_zone_want(zone, &second.upstream, 0);

    ngx_completion_zone_want(zone, &second.upstream, 1000);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "a poll");
    is_str(&due.id, "second", "of what somebody waits for");
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "and then");
    is_str(&due.id, "first", "of what was learned before it");
}


/* as if it had been evicted */

static void
forget(const char *name)
{
    ngx_str_t  id = str(name);

    ngx_shmtx_lock(&shim_slab.mutex);
    ngx_completion_record_delete(zone, ngx_completion_record_find(zone, &id,
                                               ngx_completion_zone_hash(&id)));
    ngx_shmtx_unlock(&shim_slab.mutex);
}


/* a zone of which all room is taken, but for so many bytes */

static void
fill(size_t rest)
{
    ngx_shmtx_lock(&shim_slab.mutex);

    while (shim_slab_limit - shim_slab_used > rest) {
        ngx_slab_alloc_locked(&shim_slab, ngx_min(4096,
                              shim_slab_limit - shim_slab_used - rest));
    }

    ngx_shmtx_unlock(&shim_slab.mutex);
}


static void
test_full(void)
{
    uint64_t                 lease, other;
    ngx_completion_id_t      id = { str("unknown"), 0, 0 };
    ngx_completion_due_t     due;
    ngx_completion_keys_t    keys;
    ngx_completion_view_t    view;
    ngx_completion_found_t   found;
    ngx_msec_t               wait;

    memset(&keys, 0, sizeof(keys));
    keys.cache.ttl = 60;
    keys.cache.name[0] = 0x81;

    make(65536, 50);
    fill(0);
    memset(&found, 0, sizeof(found));
    is_int(reserve(0, 0, &lease, &found), NGX_DECLINED, "no room for a submit");

    make(65536, 50);
    fill(sizeof(ngx_completion_record_sh_t));
    is_int(reserve(1, 0, &lease, &found), NGX_DECLINED, "nor for its key");
    is_int(reserve(0, 0, &lease, &found), NGX_OK, "nothing was kept of it");

    id.submitted = ngx_time();
    is_int(ngx_completion_zone_accept(zone, 77, NULL, &id, 0), NGX_DECLINED,
           "nor for what an older zone had sent");

    /* an adopted one that upstream does not know goes, and is counted */

    make(65536, 50);
    ngx_completion_zone_adopt(zone, &id, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 1);
    ngx_current_msec += 10;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "a poll");
    update("unknown", due.lease, NOT_FOUND, NULL);
    ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view);
    is_int(view.state, NGX_COMPLETION_RECORD_MISSING, "of which nobody knows");

    ngx_current_msec += zone->poll_max + 1;
    fill(0);
    is_int(reserve(0, 0, &lease, &found), NGX_OK, "has to go");
    is_int(evicted(NGX_COMPLETION_METRICS_MISSING), 1, "as such");

    /* what the cache knows goes before what is pending */

    make(65536, 50);
    reserve(0, 1, &lease, &found);
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q1");
    update("d7q1", lease, PENDING, NULL);
    is_int(ngx_completion_zone_known(zone, &keys, 0, &found), NGX_DONE,
           "the cache knows it");

    ngx_current_msec += zone->poll_max + 1;
    fill(0);
    is_int(reserve(0, 0, &other, &found), NGX_OK, "a submit takes its place");
    is_int(evicted(NGX_COMPLETION_METRICS_CACHED), 1, "as such");
    is_int(evicted(NGX_COMPLETION_METRICS_PENDING), 0, "nothing else goes");
    is_int(ngx_completion_zone_known(zone, &keys, 0, &found), NGX_OK,
           "the cache does not know it");

    /* but not while its end is to be learned */

    make(65536, 50);
    reserve(0, 1, &lease, &found);
    fill(0);
    is_int(reserve(0, 0, &other, &found), NGX_DECLINED,
           "of one on its way the cache knows on");
    is_int(ngx_completion_zone_known(zone, &keys, 0, &found), NGX_DONE,
           "as others may join it");

    memset(&found, 0, sizeof(found));
    keys.idempotency.ttl = 3600;
    keys.idempotency.name[0] = 5;
    is_int(ngx_completion_zone_known(zone, &keys, 0, &found), NGX_DONE,
           "also with a key that cannot be kept");
    ok(found.state == NGX_COMPLETION_KEY_UNDERWAY && !found.replayed,
       "for which nothing has to go");
    keys.cache.ttl = 0;
    is_int(ngx_completion_zone_known(zone, &keys, 0, &found), NGX_OK,
           "and which is not known then");

    /* who joined what may have been paid is told, however full it is */

    make(65536, 50);
    reserve(0, 1, &lease, &found);
    reserve(2, 1, &other, &found);
    memset(&found, 0, sizeof(found));
    found.state = NGX_COMPLETION_KEY_ENDED;
    found.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    ngx_completion_zone_release(zone, lease, NULL, &found);
    reserve(0, 1, &other, &found);
    fill(0);
    is_int(reserve(0, 0, &other, &found), NGX_OK, "a key that followed goes");
    is_int(reserve(0, 0, &other, &found), NGX_DECLINED,
           "but not the news that somebody waits for");
    keys.cache.ttl = 60;
    is_int(ngx_completion_zone_known(zone, &keys, lease, &found), NGX_DONE,
           "of which it learns");
    ok(found.state == NGX_COMPLETION_KEY_ENDED
       && found.outcome != NGX_COMPLETION_OK, "all the same");
}


static ngx_uint_t
is_accepted(ngx_completion_found_t *found)
{
    return found->state == NGX_COMPLETION_KEY_ENDED
           && found->outcome == NGX_COMPLETION_OK;
}


/* a request of an owner under a new key, equal to what the cache knows */

static ngx_int_t
follow(uint32_t owner, uint32_t n, uint64_t joined,
    ngx_completion_found_t *found)
{
    uint64_t               lease;
    ngx_msec_t             delay;
    ngx_completion_keys_t  keys;

    memset(&keys, 0, sizeof(keys));
    memset(found, 0, sizeof(*found));

    keys.owner = owner;
    keys.idempotency.ttl = 3600;
    memcpy(keys.idempotency.name, &n, sizeof(n));
    memcpy(keys.idempotency.name + 4, &owner, sizeof(owner));
    keys.cache.ttl = 60;
    keys.cache.name[0] = 0x81;

    return ngx_completion_zone_reserve(zone, 30000, &keys, joined, &lease,
                                       &delay, found);
}


/* whether a key is known by itself */

static int
follows(uint32_t owner, uint32_t n)
{
    ngx_completion_keys_t   keys;
    ngx_completion_found_t  found;

    memset(&keys, 0, sizeof(keys));
    memset(&found, 0, sizeof(found));

    keys.idempotency.ttl = 3600;
    memcpy(keys.idempotency.name, &n, sizeof(n));
    memcpy(keys.idempotency.name + 4, &owner, sizeof(owner));

    return ngx_completion_zone_known(zone, &keys, 0, &found) == NGX_DONE;
}


static ngx_uint_t
count_follows(uint32_t owner, uint32_t from, uint32_t to)
{
    uint32_t    i;
    ngx_uint_t  n = 0;

    for (i = from; i <= to; i++) {
        n += follows(owner, i);
    }

    return n;
}


/* keys that cost nothing: what they may take, and who goes for whom */

static void
test_followers(void)
{
    size_t                  used;
    uint32_t                i, max;
    uint64_t                lease, other;
    ngx_completion_id_t     id = { str("d7q1"), 0, 0 };
    ngx_completion_found_t  found;
    ngx_completion_view_t   view;

    /* a quarter of the room, an owner's own going first */

    make(1 << 18, 50);
    id.submitted = ngx_time();
    max = zone->sh->capacity / 3 / 256;

    reserve(9, 1, &lease, &found);
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q1");
    accepted(1000, "others");

    for (i = 1; i <= 10; i++) {
        follow(1, i, 0, &found);
    }

    used = shim_slab_used;

    for (i = 1; i <= 3 * max; i++) {
        if (follow(2, i, 0, &found) != NGX_DONE
            || !is_accepted(&found))
        {
            break;
        }
    }

    is_int(i, 3 * max + 1, "each key has the operation");
    is_int(shim_slab_used, used + (max - 10) * 256, "a quarter holds keys");
    is_int(zone->sh->nfollowers, max, "which are counted");
    is_int(count_follows(1, 1, 10), 10, "no other owner's key has gone");
    is_int(count_follows(2, 1, 2 * max + 10), 0, "but its own");
    is_int(count_follows(2, 2 * max + 11, 3 * max), max - 10,
           "the oldest first");
    is_int(evicted(NGX_COMPLETION_METRICS_CACHED), 2 * max + 10,
           "each of them as such");
    ok(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view) == NGX_OK,
       "the operation is there");

    follow(3, 1, 0, &found);
    ok(follows(3, 1) && count_follows(1, 1, 10) == 9,
       "for one who has none the oldest of all goes");
    follow(3, 2, 0, &found);
    ok(follows(3, 2) && !follows(3, 1), "and then its own");

    /* they make room for whatever is paid for, and take none from it */

    fill(0);
    is_int(reserve(0, 0, &other, &found), NGX_OK, "a submit finds room");
    is_int(zone->sh->nfollowers, max - 1, "that of a key");

    while (zone->sh->nfollowers) {
        reserve(0, 0, &other, &found);
    }

    is_int(evicted(NGX_COMPLETION_METRICS_PENDING), 0,
           "as long as there is one, nothing else goes");
    is_int(follow(3, 3, 0, &found), NGX_DONE, "in a full zone a key");
    ok(is_accepted(&found) && !follows(3, 3),
       "has the operation and is not kept");
    is_int(reserve(9, 0, &other, &found), NGX_DONE,
           "the key that was paid for is");
    ngx_current_msec += zone->poll_max + 1;
    is_int(follow(3, 3, 0, &found), NGX_DONE, "though a pending one may go");
    ok(!follows(3, 3) && !evicted(NGX_COMPLETION_METRICS_PENDING),
       "nothing goes for it");

    /* what has gone while its submit was on its way */

    make(65536, 50);
    reserve(0, 1, &lease, &found);

    for (i = 1; i <= 3; i++) {
        follow(1, i, 0, &found);
    }

    fill(0);

    for (i = 0; i < 2; i++) {
        is_int(reserve(0, 0, &other, &found), NGX_OK, "a key gives way");
    }

    is_int(count_follows(1, 1, 2), 0, "the first two");
    ok(follows(1, 3), "not the third");
    is_int(follow(1, 1, lease, &found), NGX_DONE, "who had joined by it");
    ok(found.state == NGX_COMPLETION_KEY_UNDERWAY && found.lease == lease
       && !found.replayed, "still has, by the cache");
    ok(!follows(1, 1) && follows(1, 3), "and displaces nobody anew");

    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q1");

    follow(1, 1, lease, &found);
    ok(is_accepted(&found) && found.lease == 0,
       "and learns the end");
    follow(1, 3, 0, &found);
    ok(is_accepted(&found) && found.replayed,
       "as does the key that is left");

    ngx_current_msec += 3601000;
    ok(!follows(1, 3) && zone->sh->nfollowers == 0, "in the end it goes, too");
}


/* when it may be worth while to come again */

static void
test_until(void)
{
    uint64_t                lease;
    ngx_completion_id_t     id = { str("asked"), 0, 0 };
    ngx_completion_found_t  found;

    make(65536, 50);
    is_int(ngx_completion_zone_room(zone), 3600000,
           "where nothing can go there is room in an hour, if at all");

    reserve(1, 0, &lease, &found);
    is_int(ngx_completion_zone_room(zone), 35000,
           "a submit on its way goes with its lease");
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q1");
    is_int(ngx_completion_zone_room(zone), zone->poll_lease,
           "an operation with that of its poll");
    update("d7q1", lease, PENDING, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 60000);
    is_int(ngx_completion_zone_room(zone), 1, "or at once");

    id.submitted = ngx_time();
    forget("d7q1");
    ngx_completion_zone_adopt(zone, &id, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 60000);
    is_int(ngx_completion_zone_room(zone), 60000,
           "what somebody waits for when nobody does");
    ngx_current_msec += 3600000 - 45000;
    ngx_completion_zone_want(zone, &id.upstream, 60000);
    is_int(ngx_completion_zone_room(zone), 45000,
           "a key that was paid for when it ends");
    fill(0);
    is_int(reserve(0, 0, &lease, &found), NGX_DECLINED, "not before");
    ngx_current_msec += 45000;
    is_int(reserve(0, 0, &lease, &found), NGX_OK, "and then there is room");
}


/* a submit that another request joined, and that nobody pays for */

static void
refuse(u_char key, u_char cache)
{
    uint64_t                lease, other;
    ngx_completion_found_t  found;

    memset(&found, 0, sizeof(found));
    reserve(key, cache, &lease, &found);
    reserve(key, cache, &other, &found);

    memset(&found, 0, sizeof(found));
    found.state = NGX_COMPLETION_KEY_ENDED;
    found.outcome = NGX_COMPLETION_INVALID_REQUEST;
    ngx_completion_zone_release(zone, lease, NULL, &found);
}


/* nothing that nobody pays for may keep another's, or a submit, out */

static void
is_free(const char *kind)
{
    char                    text[80];
    uint64_t                lease;
    ngx_str_t               id = ngx_string("paid");
    ngx_completion_view_t   view;
    ngx_completion_found_t  found;

    sprintf(text, "%s: somebody's result is there", kind);
    ok(ngx_completion_zone_read(zone, &id, 0, NULL, &view) == NGX_OK
       && view.document.len == 2, text);

    fill(0);
    sprintf(text, "%s: a submit finds room", kind);
    is_int(reserve(0, 0, &lease, &found), NGX_OK, text);
}


static void
paid(size_t size)
{
    ngx_str_t  document = ngx_string("{}");

    make(size, 50);
    zone->poll_rate.n = 0;
    ngx_completion_zone_apply(zone);
    accepted(1000, "paid");
    update("paid", 1000, FINAL, &document);
}


static void
test_free(void)
{
    char                  text[16];
    uint32_t              max;
    ngx_uint_t            i;
    ngx_completion_id_t   id;

    /* refusals, which are news for ten seconds */

    paid(65536);
    max = zone->sh->capacity / 3 / 256;

    for (i = 1; i < 4 * max && i < 250; i++) {
        refuse(i, 0);
    }

    is_int(zone->sh->nfollowers, max + 1, "refusals take a quarter");
    is_free("refused keys");

    paid(32768);

    for (i = 1; i < 128; i++) {
        refuse(0, i);
    }

    is_free("refused requests that are equal");

    /* what upstream does not know, for a minute */

    paid(65536);

    for (i = 0; i < 500; i++) {
        sprintf(text, "miss%d", (int) i);
        id.upstream = str(text);
        adopt(&id, NOT_FOUND);
    }

    is_free("misses");

    /* what was cancelled */

    paid(65536);

    for (i = 0; i < 100; i++) {
        sprintf(text, "mark%d", (int) i);
        accepted(i + 1, text);
        id.upstream = str(text);
        ngx_completion_zone_decide(zone, &id.upstream,
                                   NGX_COMPLETION_CANCELLED, NULL);
    }

    is_free("cancels");
}


/* the quotas of a reload, for which nothing has to go */

static void
test_quotas(void)
{
    u_char                 large[6000];
    ngx_str_t              document = { sizeof(large), large };
    ngx_uint_t             i;
    ngx_completion_rate_t  rate = { 100000, 3600000 };

    make(65536, 50);
    ok(logged("starts empty because an earlier reload took its provider away"),
       "one that was in use once");
    shim_log_lines = 0;
    memset(large, 'x', sizeof(large));
    accepted(1, "d7q1");
    update("d7q1", 1, FINAL, &document);
    ngx_current_msec += 2000;
    fill(0);

    zone->poll_rate.n = 100000;
    rates(&rate, NULL);
    is_int(zone->quotas[POLLS].rates[0].n, 100000,
           "new quotas hold in a full zone");
    is_int(zone->quotas[SUBMITS].rates[0].n, 100000, "those of submits, too");

    for (i = 0; i < NGX_COMPLETION_METRICS_EVICTIONS; i++) {
        is_int(evicted(i), 0, "for which nothing goes");
    }

    is_int(shim_log_lines, 0, "without a word");
}


/* whoever asks goes ahead of those who have their answer, but of nobody else */

static void
test_asked(void)
{
    ngx_completion_id_t    first = { str("first"), 0, 0 };
    ngx_completion_id_t    second = { str("second"), 0, 0 };
    ngx_completion_id_t    third = { str("third"), 0, 0 };
    ngx_completion_due_t   due;
    ngx_completion_view_t  view;
    ngx_msec_t             wait;

    make(65536, 50);
    first.submitted = ngx_time();
    second.submitted = ngx_time();
    third.submitted = ngx_time();

    ngx_completion_zone_adopt(zone, &first, NULL);
    ngx_completion_zone_want(zone, &first.upstream, 60000);
    ngx_current_msec += 10;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "asked for");

    fill(0);
    is_int(ngx_completion_zone_adopt(zone, &second, NULL), NGX_DECLINED,
           "one that is being asked for stays");

    update("first", due.lease, PENDING, NULL);
    is_int(ngx_completion_zone_adopt(zone, &second, NULL), NGX_OK,
           "one that was makes room for another");
    is_int(ngx_completion_zone_read(zone, &first.upstream, 0, NULL, &view),
           NGX_DECLINED, "and is gone");
    is_int(evicted(NGX_COMPLETION_METRICS_PENDING), 1, "as such");

    ngx_completion_zone_want(zone, &second.upstream, 60000);
    fill(0);
    is_int(ngx_completion_zone_adopt(zone, &third, NULL), NGX_DECLINED,
           "one that is to be asked for stays");
}


static void
test_gone(void)
{
    uint64_t                lease, other;
    ngx_str_t               document = ngx_string("{}");
    ngx_str_t               d7q2 = ngx_string("d7q2");
    ngx_completion_id_t     adopted = { ngx_null_string, 0, 0 };
    ngx_completion_keys_t   keys;
    ngx_completion_found_t  found;

    /* the record of what the cache stands for has gone */

    make(65536, 50);
    reserve(0, 1, &lease, &found);
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q1");
    update("d7q1", lease, FINAL, &document);
    is_int(reserve(0, 1, &lease, &found), NGX_DONE, "a result to share");

    forget("d7q1");
    is_int(reserve(0, 1, &lease, &found), NGX_DONE,
           "is not paid again where its record is gone");
    is_str(&found.id.upstream, "d7q1", "it is the same");

    ngx_current_msec += 50000;
    adopted.upstream = str("d7q1");
    adopt(&adopted, FINAL);
    is_int(reserve(0, 1, &lease, &found), NGX_DONE,
           "nor when it was fetched again");
    forget("d7q1");
    ngx_current_msec += 11000;
    is_int(reserve(0, 1, &lease, &found), NGX_OK,
           "which makes it no younger");

    /* the lease that was given for it knows what became of it */

    reserve(2, 1, &lease, &found);
    ok(found.state == NGX_COMPLETION_KEY_UNDERWAY && found.lease,
       "who joins has a lease to ask by");
    lease = found.lease;
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q2");

    memset(&keys, 0, sizeof(keys));
    keys.idempotency.ttl = 3600;
    keys.idempotency.name[0] = 2;
    is_int(ngx_completion_zone_known(zone, &keys, lease, &found), NGX_DONE,
           "by which it learns");
    is_str(&found.id.upstream, "d7q2", "what came of it");

    /* and is told of it to the end, when others pay anew already */

    ngx_completion_zone_decide(zone, &d7q2, NGX_COMPLETION_CANCELLED, NULL);
    forget("d7q2");
    is_int(reserve(0, 1, &other, &found), NGX_OK,
           "one that was cancelled is shared no more");
    memset(&keys, 0, sizeof(keys));
    keys.cache.ttl = 60;
    keys.cache.name[0] = 0x81;
    is_int(ngx_completion_zone_known(zone, &keys, lease, &found), NGX_DONE,
           "who joined it learns of it");
    is_str(&found.id.upstream, "d7q2", "as before");

    /* upstream does not know any more what the cache stands for */

    ngx_completion_zone_fence(zone, other);
    accepted(other, "d7q3");
    forget("d7q3");
    is_int(reserve(0, 1, &lease, &found), NGX_DONE,
           "one whose end is not known is shared");
    adopted.upstream = str("d7q3");
    adopt(&adopted, NOT_FOUND);
    forget("d7q3");
    is_int(reserve(0, 1, &lease, &found), NGX_OK,
           "what upstream does not know is paid anew");

    /* an id that is final already is given out once more */

    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q4");
    update("d7q4", lease, FINAL, &document);
    reserve(0, 2, &lease, &found);
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q4");
    forget("d7q4");
    ngx_current_msec += 61000;
    is_int(reserve(0, 1, &lease, &found), NGX_OK, "the one entry has ended");
    is_int(reserve(0, 2, &other, &found), NGX_OK, "and so has the other");

    /* what nobody heard the end of */

    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q5");
    ngx_current_msec += zone->deadline - 1;
    is_int(reserve(0, 1, &lease, &found), NGX_DONE,
           "one that runs is shared until its deadline");
    ngx_current_msec++;
    is_int(reserve(0, 1, &lease, &found), NGX_OK, "and no longer");

    make(65536, 50);
    zone->submit_queue = 10;
    zone->submit_queue_time = 7200000;
    zone->submit_rates[0].n = 1;
    zone->submit_rates[0].unit = 3600000;
    ngx_completion_zone_apply(zone);
    reserve(0, 0, &lease, &found);
    is_int(reserve(0, 1, &lease, &found), NGX_OK, "one that waits in line");
    ngx_current_msec += zone->deadline - 1;
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "is joined until then");
    ngx_current_msec++;
    is_int(reserve(0, 1, &other, &found), NGX_OK, "as well");

    /* a worker's clock is behind that of another one */

    make(65536, 50);
    reserve(0, 1, &lease, &found);
    ngx_current_msec -= 20;
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "joined from before");
    ngx_current_msec += 20;
    ngx_completion_zone_fence(zone, lease);
    accepted(lease, "d7q6");
    ngx_current_msec -= 20;
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "found from before");
    ngx_current_msec += 20;
    update("d7q6", lease, FINAL, &document);
    ngx_current_msec -= 20;
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "and so when it ended");
}


/* between two pieces of a copy */

static void
unlocked(void)
{
    shim_on_unlock = NULL;

    forget("large");
}


static void
anew(void)
{
    shim_on_unlock = NULL;

    forget("large");
    accepted(3, "large");
}


static jmp_buf  killed;


static void
kills(void)
{
    shim_on_unlock = NULL;

    longjmp(killed, 1);
}


/* once a piece was read, nobody need come by its first chunk again */

static ngx_completion_chunk_sh_t  *passed, *passed_next;

static void
passed_by(void)
{
    ngx_str_t  large = ngx_string("large");

    if (passed == NULL) {
        passed = ngx_completion_record_find(zone, &large,
                                  ngx_completion_zone_hash(&large))->chunks;

    } else if (passed_next == NULL) {
        passed_next = passed->next;
        passed->next = passed;
    }
}


static void
test_documents(void)
{
    size_t                 i;
    ngx_msec_t             wait;
    ngx_pool_t            *pool = ngx_create_pool(1024, &shim_log);
    ngx_completion_due_t   due;
    ngx_str_t              document, large = ngx_string("large");
    ngx_completion_view_t  view;

    document.len = NGX_COMPLETION_COPY_MAX + 1000;
    document.data = ngx_pnalloc(pool, document.len);

    for (i = 0; i < document.len; i++) {
        document.data[i] = i * 7 / 250;
    }

    make(1 << 18, 50);
    accepted(1, "large");
    zone->sh->capacity = 1 << 17;
    update("large", 1, FINAL, &document);

    is_int(ngx_completion_zone_read(zone, &large, 0, pool, &view), NGX_OK,
           "a document in two pieces");
    ok(view.document.len == document.len
       && memcmp(view.document.data, document.data, document.len) == 0,
       "as it was");

    shim_allocations = 0;
    shim_fail_at = 1;
    is_int(ngx_completion_zone_read(zone, &large, 0, pool, &view), NGX_ERROR,
           "which takes memory");
    shim_fail_at = 0;

    shim_on_unlock = passed_by;
    ngx_completion_zone_read(zone, &large, 0, pool, &view);
    shim_on_unlock = NULL;
    passed->next = passed_next;
    ok(memcmp(view.document.data, document.data, document.len) == 0,
       "each piece is read from where the last one ended");

    shim_on_unlock = unlocked;
    is_int(ngx_completion_zone_read(zone, &large, 0, pool, &view), NGX_OK,
           "one that goes meanwhile");
    is_int(view.document.len, 0, "was not kept");

    /* a zone made anew between two pieces of a poll's, with the same lease */

    accepted(3, "large");
    shim_on_unlock = anew;
    is_int(update("large", 3, FINAL, &document),
           NGX_DONE, "its end is kept");
    ngx_completion_zone_read(zone, &large, 0, pool, &view);
    ok(view.state == NGX_COMPLETION_RECORD_FINAL && view.document.len == 0,
       "without half a document");

    /* a worker killed between two pieces, and its id given out again */

    accepted(4, "dead");
    shim_on_unlock = kills;

    if (setjmp(killed) == 0) {
        (void) update("dead", 4, PENDING, &document);
    }

    document.len = 1000;
    large = str("dead");
    ngx_current_msec += zone->poll_lease;
    accepted(5, "dead");
    update("dead", 5, PENDING, &document);
    ngx_completion_zone_read(zone, &large, 0, pool, &view);
    ok(view.document.len == 1000
       && memcmp(view.document.data, document.data, 1000) == 0,
       "what it began is not taken for what comes then");

    /* what a poll brings again */

    accepted(2, "same");
    update("same", 2, PENDING, &document);
    large = str("same");
    ngx_completion_zone_want(zone, &large, 60000);
    ngx_current_msec += zone->poll_max;
    ngx_completion_zone_take(zone, &due, &wait);
    shim_allocations = 0;
    is_int(update("same", due.lease, PENDING, &document),
           NGX_DONE, "the same document is no news");
    is_int(shim_allocations, 0, "and takes no room");

    ngx_destroy_pool(pool);
}


static void
test_unanswered(void)
{
    ngx_int_t              rc = NGX_ERROR;
    ngx_str_t              name = ngx_string("adopted");
    ngx_uint_t             i, ended;
    ngx_msec_t             wait;
    ngx_completion_id_t    id = { str("adopted"), 0, 0 };
    ngx_completion_due_t   due;
    ngx_completion_view_t  view;

    make(65536, 50);
    id.submitted = ngx_time();
    ngx_completion_zone_adopt(zone, &id, NULL);

    for (i = 1; i <= NGX_COMPLETION_FAILURES; i++) {
        ngx_completion_zone_want(zone, &name, 60000);

        if (ngx_completion_zone_take(zone, &due, &wait) != NGX_OK) {
            break;
        }

        is_int(update("adopted", due.lease, FAILED,
                      NULL),
               i == NGX_COMPLETION_FAILURES ? NGX_OK : NGX_DONE,
               "a poll without an answer");

        ngx_completion_zone_read(zone, &name, 60000, NULL, &view);
        is_int(view.failing, i == NGX_COMPLETION_FAILURES,
               i == NGX_COMPLETION_FAILURES ? "the third is told"
                                            : "is tried again");

        ngx_current_msec += (i < NGX_COMPLETION_FAILURES) ? 30000 : 0;
    }

    is_int(i, NGX_COMPLETION_FAILURES + 1, "three polls");
    ngx_completion_zone_want(zone, &name, 60000);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "wanting it does not hurry the next one");

    ngx_current_msec += 30000;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "nor is it made for those who were told");
    ngx_completion_zone_want(zone, &name, 60000);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK,
           "but for who comes later");

    /* a 404 for what is known to run is doubted for a minute */

    make(65536, 50);
    accepted(1, "d7q1");
    update("d7q1", 1, PENDING, NULL);
    name = str("d7q1");

    for (i = 0; i < 4; i++) {
        ngx_current_msec += 20000;
        ngx_completion_zone_want(zone, &name, 60000);
        ngx_completion_zone_take(zone, &due, &wait);
        is_int(update("d7q1", due.lease, NOT_FOUND,
                      NULL), i < 3 ? NGX_DONE : NGX_OK,
               i < 3 ? "a 404" : "one that comes a minute after the first");
        ngx_completion_zone_read(zone, &name, 0, NULL, &view);
        is_int(view.state, i < 3 ? NGX_COMPLETION_RECORD_PENDING
                                 : NGX_COMPLETION_RECORD_FINAL,
               i < 3 ? "changes nothing" : "is final");
    }

    /* a result that was not kept, and now is not to be had */

    make(65536, 50);
    accepted(1, "d7q1");
    update("d7q1", 1, FINAL, NULL);
    ngx_completion_zone_want(zone, &name, 60000);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "a result without room is not fetched again at once");
    ngx_current_msec += wait;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "but soon");
    is_int(update("d7q1", due.lease, NOT_FOUND, NULL),
           NGX_DONE, "of which upstream knows no more");
    ngx_completion_zone_read(zone, &name, 0, NULL, &view);
    is_int(view.state, NGX_COMPLETION_RECORD_FINAL, "it has ended all the same");

    zone->retention = 3600;
    ended = zone->metrics->finished[NGX_COMPLETION_COMPLETED];

    for (i = 1; i <= 4; i++) {
        is_int(view.verdict, NGX_COMPLETION_COMPLETED, "as upstream said");
        ngx_current_msec += 20000;
        ngx_completion_zone_want(zone, &name, 60000);
        ngx_completion_zone_take(zone, &due, &wait);
        rc = update("d7q1", due.lease, (i == 2) ? FINAL : NOT_FOUND, NULL);
        ngx_completion_zone_read(zone, &name, 0, NULL, &view);
    }

    is_int(view.verdict, NGX_COMPLETION_COMPLETED,
           "one that it has for once is doubted from then on");

    for (i = 1; i <= 2; i++) {
        ngx_current_msec += 20000;
        ngx_completion_zone_want(zone, &name, 60000);
        ngx_completion_zone_take(zone, &due, &wait);
        rc = update("d7q1", due.lease, NOT_FOUND, NULL);
        ngx_completion_zone_read(zone, &name, 0, NULL, &view);
    }

    is_int(rc, NGX_OK, "and a minute behind the next 404");
    ok(view.verdict == NGX_COMPLETION_LOST && view.decided, "it is lost");
    ok(zone->metrics->finished[NGX_COMPLETION_COMPLETED] == ended
       && zone->metrics->finished[NGX_COMPLETION_LOST] == 0,
       "it has not ended twice");
    ngx_completion_zone_want(zone, &name, 60000);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "and nobody asks any more");
}


static void
test_deadline(void)
{
    ngx_str_t              name = ngx_string("d7q1");
    ngx_msec_t             wait;
    ngx_completion_due_t   due;

    make(65536, 50);
    accepted(1, "d7q1");
    ngx_current_msec += zone->deadline;
    update("d7q1", 1, PENDING, NULL);

    ngx_current_msec += 24 * 3600000;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "behind its deadline nobody polls it");

    ngx_completion_zone_want(zone, &name, 0);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK,
           "but for a client");
    update("d7q1", due.lease, PENDING, NULL);

    ngx_completion_zone_want(zone, &name, 0);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "not for the next one at once");

    ngx_current_msec += zone->poll_max;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK,
           "once in the longest gap");
    update("d7q1", due.lease, PENDING, NULL);

    ngx_current_msec += 24 * 3600000;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_AGAIN,
           "and not when nobody has asked since");

    /* told by a worker whose clock is behind that of the one it was sent by */

    make(65536, 50);
    accepted(1, "d7q1");
    ngx_current_msec -= 20;
    update("d7q1", 1, PENDING, NULL);
    ngx_current_msec += zone->poll_max;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK,
           "one that is younger than nothing is polled");
}


/* many behind each other, of whom each is told when its turn will come */

static void
test_turns(void)
{
    int                    i;
    char                   text[16];
    ngx_str_t              name;
    ngx_msec_t             next[300];
    ngx_uint_t             bad = 0;
    ngx_msec_t             wait;
    ngx_completion_due_t   due;
    ngx_completion_view_t  view;

    make(1 << 18, 10);

    for (i = 0; i < 300; i++) {
        sprintf(text, "op%d", i);
        accepted(i + 1, text);
        update(text, i + 1, PENDING, NULL);
        ngx_current_msec++;
    }

    ngx_current_msec += zone->poll_max;

    for (i = 0; i < 300; i++) {
        sprintf(text, "op%d", i);
        name = str(text);
        ngx_completion_zone_read(zone, &name, 60000, NULL, &view);
        next[i] = view.next;
    }

    for (i = 1; i < 300; i++) {
        bad += (next[i] + 1000 < next[i - 1]);
    }

    ok(!bad, "who is behind in line is not told to come sooner");

    for (i = 0; ngx_completion_zone_take(zone, &due, &wait) == NGX_OK; i++) {
        /* void */
    }

    is_int(i, 10, "ten are polled at once");
    ok(wait >= 1000 && wait < 1100, "and the next when a second is over");
    ok(next[299] > 20000 && next[299] < 45000,
       "the last of 300 at 10r/s, in half a minute or so");
}


static size_t  freed, freed_most;


static void
frees(u_char *data, size_t size)
{
    freed++;
    freed_most = ngx_max(freed_most, freed);
}


static void
frees_no_more(void)
{
    freed = 0;
}


/* what goes of a long document goes bit by bit, and is room meanwhile */

static void
test_waste(void)
{
    size_t                used;
    ngx_uint_t            i, gone;
    ngx_str_t             document, large = ngx_string("large");
    ngx_msec_t            wait;
    ngx_pool_t           *pool = ngx_create_pool(1024, &shim_log);
    ngx_completion_due_t  due;

    document.len = 2 * NGX_COMPLETION_COPY_MAX + 1000;
    document.data = ngx_pcalloc(pool, document.len);

    make(1 << 18, 50);
    zone->sh->capacity = 1 << 18;
    accepted(1, "large");
    used = shim_slab_used;
    update("large", 1, FINAL, &document);

    shim_on_free = frees;
    shim_on_unlock = frees_no_more;
    is_int(ngx_completion_zone_delete(zone, &large, NULL), NGX_DONE, "deleted");
    ok(freed_most <= NGX_COMPLETION_CHUNKS_MAX,
       "no more of it is freed under one lock than is copied");
    ok(shim_slab_used > used, "the rest still stands there");

    for (i = 0; i < 2; i++) {
        ngx_completion_zone_take(zone, &due, &wait);
    }

    is_int(shim_slab_used, used, "and goes with the next looks");

    accepted(2, "second");
    update("second", 2, FINAL, &document);
    large = str("second");
    is_int(ngx_completion_zone_delete(zone, &large, NULL), NGX_DONE, "another");
    accepted(3, "third");
    gone = evicted(NGX_COMPLETION_METRICS_FINISHED)
           + evicted(NGX_COMPLETION_METRICS_PENDING);
    update("third", 3, FINAL, &document);
    is_int(evicted(NGX_COMPLETION_METRICS_FINISHED)
           + evicted(NGX_COMPLETION_METRICS_PENDING), gone,
           "what is to be freed is taken before anything goes");
    shim_on_free = NULL;
    shim_on_unlock = NULL;
    ngx_destroy_pool(pool);
}


/* a poll takes its start at its fence, however long it was on its way */

static void
test_asked_for(void)
{
    int                   i;
    char                  text[16];
    uint64_t              retries;
    ngx_msec_t            wait;
    ngx_completion_due_t  due[4];

    make(65536, 2);

    for (i = 0; i < 4; i++) {
        sprintf(text, "op%d", i);
        accepted(i + 1, text);
        update(text, i + 1, PENDING, NULL);
        ngx_current_msec++;
    }

    ngx_current_msec += zone->poll_max;
    ngx_completion_zone_want(zone, &(ngx_str_t) { 3, (u_char *) "op2" }, 60000);
    ngx_completion_zone_want(zone, &(ngx_str_t) { 3, (u_char *) "op3" }, 60000);

    is_int(ngx_completion_zone_take(zone, &due[0], &wait), NGX_OK, "a poll");
    is_int(ngx_completion_zone_take(zone, &due[1], &wait), NGX_OK, "another");
    is_int(ngx_completion_zone_take(zone, &due[2], &wait), NGX_AGAIN,
           "they count before they are sent");
    is_int(wait, NGX_COMPLETION_TURN_CALL, "for as long as they are called");
    ngx_current_msec += wait;
    is_int(ngx_completion_zone_take(zone, &due[2], &wait), NGX_OK,
           "who takes too long is passed by");
    is_int(zone->sh->ncalled, 1, "one is called");

    is_int(ngx_completion_zone_ask(zone, &due[2].id, due[2].lease), NGX_OK,
           "the first at the fence takes a start");
    is_int(zone->sh->ncalled, 0, "none is called");
    is_int(ngx_completion_zone_ask(zone, &due[0].id, due[0].lease), NGX_OK,
           "so does who was passed by");
    is_int(ngx_completion_zone_ask(zone, &due[1].id, due[1].lease), NGX_AGAIN,
           "and then there is none");
    ngx_completion_zone_yield(zone, &due[1].id, due[1].lease);
    is_int(ngx_completion_zone_take(zone, &due[3], &wait), NGX_AGAIN,
           "for nobody");

    ngx_current_msec += 1000 + NGX_COMPLETION_QUOTA_SLACK;
    is_int(ngx_completion_zone_ask(zone, &due[1].id, due[1].lease), NGX_AGAIN,
           "whose lease has gone back asks no more");

    retries = zone->metrics->retries[NGX_COMPLETION_KIND_POLL];
    update("op0", due[0].lease, FAILED, NULL);
    ngx_current_msec += zone->poll_max;
    is_int(ngx_completion_zone_take(zone, &due[0], &wait), NGX_OK, "the next");
    is_int(zone->metrics->retries[NGX_COMPLETION_KIND_POLL], retries,
           "which is no repeat before it is sent");
}


static void
test_woken(void)
{
    uint64_t    seen;
    uint32_t    hashes[4];
    ngx_uint_t  i, n;

    make(65536, 50);
    seen = zone->sh->changes;

    ngx_shmtx_lock(&shim_slab.mutex);

    for (i = 0; i < NGX_COMPLETION_CHANGES; i++) {
        ngx_completion_zone_note(zone, i);
    }

    ngx_shmtx_unlock(&shim_slab.mutex);

    n = 4;
    is_int(ngx_completion_zone_changes(zone, &seen, hashes, &n), NGX_OK,
           "as many changes as are remembered");
    ok(n == 4 && hashes[0] == 0 && hashes[3] == 3, "four of them");

    ngx_shmtx_lock(&shim_slab.mutex);

    for (i = 0; i < 5; i++) {
        ngx_completion_zone_note(zone, 1000 + i);
    }

    ngx_shmtx_unlock(&shim_slab.mutex);

    n = 4;
    is_int(ngx_completion_zone_changes(zone, &seen, hashes, &n), NGX_DECLINED,
           "one more than that");
    ok(n == 0 && seen == zone->sh->changes, "is to look at all");

    seen = zone->sh->changes + 1;
    is_int(ngx_completion_zone_changes(zone, &seen, hashes, &n), NGX_DECLINED,
           "so is a zone that was made anew");
}


/* a worker died inside the zone, of which then too little is left */

static void
test_died(void)
{
    int                      status;
    pid_t                    pid;
    ngx_completion_census_t  census;

    make(65536, 50);
    pid = fork();

    if (pid == 0) {
        zone->sh->busy = 1;
        shim_allocations = 0;
        shim_fail_at = 1;
        ngx_completion_zone_census(zone, &census);
        _exit(0);
    }

    waitpid(pid, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 2,
       "who cannot make it anew exits, and nginx does not respawn it");
}


static void
test_census(void)
{
    int                       i, n = ngx_pagesize_shift - 3;
    size_t                    free;
    uint64_t                  lease;
    ngx_msec_t                wait;
    ngx_slab_stat_t           stats[9];
    ngx_completion_id_t       id = { str("adopted"), 0, 0 };
    ngx_completion_due_t      due;
    ngx_completion_found_t    found;
    ngx_completion_census_t   census;

    make(65536, 50);
    zone->submit_rates[0].n = 1;
    zone->submit_rates[0].unit = 1000;
    zone->submit_queue = 5;
    zone->submit_queue_time = 10000;
    ngx_completion_zone_apply(zone);

    /* of pages that are cut up, 1, 2, ... blocks are free */

    memset(stats, 0, sizeof(stats));
    shim_slab.min_shift = 3;
    shim_slab.stats = stats;
    shim_slab.pfree = 4;
    free = 4 * 4096;

    for (i = 0; i < n; i++) {
        stats[i].total = 10;
        stats[i].used = 9 - i;
        free += (i + 1) << (3 + i);
    }

    id.submitted = ngx_time();
    ngx_completion_zone_adopt(zone, &id, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 60000);

    for (i = 0; i < 3; i++) {
        is_int(reserve(i + 1, i + 1, &lease, &found), NGX_OK, "a submit");
    }

    ngx_completion_zone_census(zone, &census);

    is_int(census.operations[NGX_COMPLETION_RECORD_UNKNOWN], 1, "adopted");
    is_int(census.operations[NGX_COMPLETION_RECORD_SUBMIT], 3, "submitting");
    is_int(census.queue, 2, "two of them wait in line");
    is_int(census.keys[0], 3, "their keys");
    is_int(census.keys[1], 3, "and what the cache knows of them");
    is_int(census.size, 65536, "bytes");
    is_int(census.used, 65536 - free, "in use");
    is_int(census.late, 0, "nothing is late");

    ngx_current_msec += 250;
    ngx_completion_zone_census(zone, &census);
    is_int(census.late, 250, "a poll is overdue");

    ngx_completion_zone_take(zone, &due, &wait);
    update("adopted", due.lease, PENDING, NULL);
    ngx_completion_zone_census(zone, &census);
    is_int(census.late, 0, "and made");
    is_int(census.operations[NGX_COMPLETION_RECORD_UNKNOWN], 0,
           "it is adopted no more");
    is_int(census.operations[NGX_COMPLETION_RECORD_PENDING], 1, "but pending");

    ngx_pid = getpid();
    zone->worker = NULL;
    ngx_completion_zone_enter(zone);
    is_int(zone->worker->pid, getpid(), "a worker comes");
    ngx_completion_zone_leave(zone);
    is_int(zone->worker->pid, 0, "and goes");
}


static void
test_refused(void)
{
    uint64_t                lease, other;
    ngx_completion_keys_t   keys;
    ngx_completion_found_t  found, end;

    make(65536, 50);

    reserve(1, 0, &lease, &found);
    reserve(1, 0, &other, &found);

    memset(&end, 0, sizeof(end));
    end.state = NGX_COMPLETION_KEY_ENDED;
    end.outcome = NGX_COMPLETION_QUOTA_EXCEEDED;
    end.retry_after = 3000;
    ngx_completion_zone_release(zone, lease, NULL, &end);

    memset(&found, 0, sizeof(found));
    is_int(reserve(1, 0, &other, &found), NGX_OK,
           "a refused submit is forgotten");

    /* who joined it looks again when the news of it is over */

    make(65536, 50);
    reserve(1, 0, &lease, &found);
    reserve(1, 0, &other, &found);
    ok(found.lease == lease, "one joined, and stalls");
    ngx_completion_zone_release(zone, lease, NULL, &end);
    is_int(reserve(1, 0, &other, &end), NGX_OK, "another pays under the key");
    ngx_completion_zone_fence(zone, other);
    accepted(other, "d7q1");

    memset(&keys, 0, sizeof(keys));
    keys.idempotency.ttl = 3600;
    keys.idempotency.name[0] = 1;
    ngx_current_msec += 11000;
    is_int(ngx_completion_zone_known(zone, &keys, found.lease, &found),
           NGX_DONE,
           "what was paid meanwhile");
    is_str(&found.id.upstream, "d7q1", "is not paid again");
}


/* what a submit was reserved with, as reserve() has it */

static void
truth(uint64_t lease, u_char key, u_char cache, const char *name)
{
    ngx_completion_id_t     id = { str(name ? name : ""), ngx_time(), 0 };
    ngx_completion_keys_t   keys;
    ngx_completion_found_t  end;

    memset(&keys, 0, sizeof(keys));
    keys.idempotency.ttl = key ? 3600 : 0;
    keys.idempotency.name[0] = key;
    keys.cache.ttl = cache ? 60 : 0;
    keys.cache.name[0] = 0x80 + cache;

    if (name) {
        ngx_completion_zone_accept(zone, lease, &keys, &id, 0);
        return;
    }

    memset(&end, 0, sizeof(end));
    end.state = NGX_COMPLETION_KEY_ENDED;
    end.outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
    ngx_completion_zone_release(zone, lease, &keys, &end);
}


static void
stalls(u_char key, u_char cache, uint64_t *lease)
{
    ngx_msec_t              wait;
    ngx_completion_due_t    due;
    ngx_completion_found_t  found;

    memset(&found, 0, sizeof(found));
    reserve(key, cache, lease, &found);
    ngx_completion_zone_fence(zone, *lease);

    if (key == 9) {
        follow(1, 5, 0, &found);
    }

    ngx_current_msec += 36000;
    ngx_completion_zone_take(zone, &due, &wait);
}


/* a worker that stood still behind its fence, and then hears of its submit */

static void
test_late(void)
{
    size_t                  used;
    uint64_t                lease, other;
    ngx_completion_found_t  found;

    make(65536, 50);
    memset(&found, 0, sizeof(found));

    stalls(1, 0, &lease);
    is_int(reserve(1, 0, &other, &found), NGX_DONE, "of one that stands still");
    is_int(found.outcome, NGX_COMPLETION_OUTCOME_UNKNOWN, "nobody knows");
    truth(lease + 1, 1, 0, "wrong");
    is_int(reserve(1, 0, &other, &found), NGX_DONE, "but its sender");
    is_int(found.outcome, NGX_COMPLETION_OUTCOME_UNKNOWN, "alone");
    truth(lease, 1, 0, "d7q1");
    is_int(reserve(1, 0, &other, &found), NGX_DONE, "which hears the truth");
    ok(is_accepted(&found) && found.replayed, "it was accepted");
    is_str(&found.id.upstream, "d7q1", "under an id");

    stalls(2, 0, &lease);
    truth(lease, 2, 0, NULL);
    is_int(reserve(2, 0, &other, &found), NGX_OK,
           "or it was not, and may be sent");
    used = shim_slab_used;
    truth(lease, 2, 0, "d7q2");
    is_int(reserve(2, 0, &lease, &found), NGX_DONE, "what is sent since then");
    ok(found.state == NGX_COMPLETION_KEY_UNDERWAY && found.lease == other,
       "is none of its business");
    is_int(shim_slab_used, used + 256, "but its operation is watched");

    /* by the cache alone */

    stalls(0, 1, &lease);
    truth(lease, 0, 1, "d7q3");
    is_int(reserve(0, 1, &other, &found), NGX_DONE,
           "an equal request finds it");
    is_str(&found.id.upstream, "d7q3", "again");

    stalls(0, 2, &lease);
    is_int(reserve(0, 2, &other, &found), NGX_OK, "one that did not wait");
    used = shim_slab_used;
    truth(lease, 0, 2, "d7q4");
    is_int(shim_slab_used, used + 256, "is the one to share");
    is_int(reserve(0, 2, &lease, &found), NGX_DONE, "by others");
    is_int(found.lease == other, 1, "from then on");

    /* a key that had joined by it */

    make(65536, 50);
    stalls(9, 1, &lease);
    ok(ngx_completion_zone_known(zone, &(ngx_completion_keys_t) {
           .idempotency = { { 5, 0, 0, 0, 1 }, { 0 }, 3600 } }, 0, &found) == NGX_DONE
       && found.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN,
       "who joined by the cache does not know");
    truth(lease, 9, 1, "d7q5");
    ok(ngx_completion_zone_known(zone, &(ngx_completion_keys_t) {
           .idempotency = { { 5, 0, 0, 0, 1 }, { 0 }, 3600 },
           .cache = { { 0x81 }, { 0 }, 60 } }, 0, &found) == NGX_DONE
       && is_accepted(&found) && found.replayed, "until it does");

    stalls(0, 4, &lease);
    fill(0);
    truth(lease, 0, 4, "d7q6");
    ok(!zone->sh->busy, "without room for it nothing is to be done");
}


/* an operation of another nginx, adopted in the second of its submit */

static void
test_adopted(void)
{
    ngx_msec_t             wait;
    ngx_completion_id_t    id = { str("d7q1"), 0, 0 };
    ngx_completion_due_t   due;

    make(65536, 50);
    id.submitted = ngx_time();
    ngx_completion_zone_adopt(zone, &id, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 30000);
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "its poll");
    ngx_current_msec += 5;
    update("d7q1", due.lease, PENDING, NULL);

    ngx_current_msec += 700;
    is_int(ngx_completion_zone_take(zone, &due, &wait), NGX_OK, "the next");
    ngx_current_msec += 5;
    update("d7q1", due.lease, FINAL, NULL);

    is_int(zone->sh->paces.models[0].count, 1, "teaches how long operations take");
    is_int(zone->sh->paces.models[0].weights[NGX_COMPLETION_PACE_BUCKETS - 1], 0,
           "which is not for hours");
}


/* its mark outlives its id, whatever the wall clock has said meanwhile */

static void
test_deleted(void)
{
    ngx_msec_t             wait;
    ngx_completion_id_t    id = { str("d7q1"), 0, 0 };
    ngx_completion_id_t    other = { str("other"), 0, 0 };
    ngx_completion_due_t   due;
    ngx_completion_view_t  view;

    make(65536, 50);
    id.submitted = ngx_time();

    shim_time(ngx_time() + DAY);
    ngx_completion_zone_adopt(zone, &id, NULL);
    ngx_completion_zone_want(zone, &id.upstream, 30000);
    ngx_completion_zone_take(zone, &due, &wait);
    update("d7q1", due.lease, PENDING, NULL);
    shim_time(ngx_time() - DAY);

    is_int(ngx_completion_zone_delete(zone, &id.upstream, NULL), NGX_OK,
           "an operation is deleted");

    ngx_current_msec += zone->lifetime * 1000;
    ngx_completion_zone_adopt(zone, &other, NULL);
    ok(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view) == NGX_OK
       && view.deleted, "for as long as its id is good");

    ngx_current_msec += NGX_COMPLETION_ID_SKEW * 1000 + 1;
    ngx_completion_zone_adopt(zone, &other, NULL);
    is_int(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view),
           NGX_DECLINED, "and no longer");
}


int
main(void)
{
    shim_begins();

    test_start();
    test_reload();
    test_rates();
    test_cache();
    test_room();
    test_refused();
    test_late();
    test_adopted();
    test_deleted();
    test_waited();
    test_full();
    test_followers();
    test_asked();
    test_free();
    test_until();
    test_quotas();
    test_gone();
    test_documents();
    test_unanswered();
    test_deadline();
    test_turns();
    test_waste();
    test_asked_for();
    test_woken();
    test_died();
    test_census();

    shim_ends();

    return tap_done();
}
