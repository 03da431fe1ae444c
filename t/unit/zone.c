
/* What configurations do to a zone, and keys; the rest is t/fuzz/zone.c's. */


#include "tap.h"
#include "zone_shim.h"

#include "../../src/store/ngx_completion_zone.h"


static ngx_conf_t              cf;
static ngx_cycle_t             cycle;
static ngx_str_t               name = ngx_string("operations");
static ngx_completion_zone_t  *zone;


static ngx_int_t
make(size_t size, ngx_uint_t polls)
{
    zone = ngx_completion_zone_add(&cf, &name, size, &cycle);

    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->poll_min = 500;
    zone->poll_max = 30000;
    zone->poll_lease = 30000;
    zone->deadline = 3600000;
    zone->retention = 60;
    zone->reusable = 1;
    zone->poll_rate.n = polls;
    zone->poll_rate.unit = 1000;

    shim_log_lines = 0;
    shim_log_text[0] = '\0';

    return zone->shm_zone->init(zone->shm_zone, NULL);
}


static int
logged(const char *text)
{
    return strstr(shim_log_text, text) != NULL;
}


static void
test_start(void)
{
    int             bad = 0;
    ngx_uint_t      n;
    ngx_shm_zone_t  old[2];

    is_int(make(65536, 50), NGX_OK, "a zone starts");
    is_int(shim_log_lines, 0, "without a word");

    is_int(make(65536, 100000), NGX_ERROR, "one too small for its quotas");
    ok(logged("zone \"operations\" is too small for its quotas"), "says so");

    for (n = 1; n < 6; n++) {
        shim_allocations = 0;
        shim_fail_at = n + 1;
        bad += (make(65536, 50) != NGX_ERROR);
        shim_fail_at = 0;
    }

    ok(!bad, "without memory it does not start");

    /* of the cycle before: another one, then one of another size */

    memset(old, 0, sizeof(old));
    old[0].shm.name = str("other");
    old[0].tag = &cycle;
    old[1].shm.name = name;
    old[1].tag = &cycle;

    cycle.shared_memory.part.elts = old;
    cycle.shared_memory.part.nelts = 1;
    make(65536, 50);
    is_int(shim_log_lines, 0, "another zone that was there is none of ours");

    cycle.shared_memory.part.nelts = 2;
    is_int(make(65536, 50), NGX_OK, "a zone of another size starts");
    ok(logged("starts empty because its size changed"), "and says so");

    cycle.shared_memory.part.nelts = 0;
}


static void
test_reload(void)
{
    ngx_completion_id_t    id = { str("d7q1"), 0, 0 };
    ngx_completion_view_t  view;

    make(65536, 50);
    ngx_completion_zone_adopt(zone, &id);

    is_int(zone->shm_zone->init(zone->shm_zone, zone), NGX_OK,
           "a reload keeps the zone");
    is_int(ngx_completion_zone_read(zone, &id.upstream, 0, NULL, &view), NGX_OK,
           "with what it holds");

    zone->poll_rate.n = 10;
    ngx_completion_zone_apply(zone);
    is_int(shim_log_lines, 0, "other quotas hold from then on");

    zone->poll_rate.n = 100000;
    ngx_completion_zone_apply(zone);
    ok(logged("has no memory for the new quotas"), "unless there is no room");

    zone->submit_rates[0].n = 100000;
    zone->submit_rates[0].unit = 1000;
    zone->nsubmit_rates = 1;
    zone->poll_rate.n = 10;
    shim_log_text[0] = '\0';
    ngx_completion_zone_apply(zone);
    ok(logged("has no memory for the new quotas"), "those of submits neither");

    zone->identity[0] = 1;
    is_int(zone->shm_zone->init(zone->shm_zone, zone), NGX_ERROR,
           "another folder under the same name");
    ok(logged("use another zone name"), "is refused");
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

    return ngx_completion_zone_reserve(zone, 30000, &keys, lease, &delay,
                                       found);
}


static void
test_cache(void)
{
    ngx_str_t                document = ngx_string("{\"id\":\"\"}");
    uint64_t                 lease, other;
    ngx_completion_id_t      id = { str("d7q1"), 0, 0 };
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

    ngx_completion_zone_send(zone, lease);
    ngx_completion_zone_accept(zone, lease, &id, 0);

    is_int(reserve(0, 1, &other, &found), NGX_DONE, "a later one");
    is_int(found.state, NGX_COMPLETION_KEY_ACCEPTED, "has its operation");
    is_str(&found.id.upstream, "d7q1", "which is that one");
    is_int(reserve(3, 1, &other, &found), NGX_DONE, "one with a new key, too");
    is_int(reserve(3, 0, &other, &found), NGX_DONE, "and the key keeps it");

    memset(&update, 0, sizeof(update));
    update.kind = NGX_COMPLETION_UPDATE_FINAL;
    update.verdict = 1;
    update.document = document;
    is_int(ngx_completion_zone_store(zone, &id.upstream, lease, &update),
           NGX_DONE, "its result, which nobody waits for");
    is_int(reserve(0, 1, &other, &found), NGX_DONE, "is good for a minute");

    shim_time(ngx_time() + 61);
    is_int(reserve(0, 1, &other, &found), NGX_OK, "and paid anew behind it");
    is_int(reserve(3, 0, &other, &found), NGX_DONE, "the key lives longer");

    shim_time(ngx_time() + 3600);
    is_int(reserve(3, 0, &other, &found), NGX_OK, "and ends");
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
        ngx_completion_zone_accept(zone, ++lease, &id, 0);

        memset(&update, 0, sizeof(update));
        update.kind = NGX_COMPLETION_UPDATE_FINAL;
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


static void
test_refused(void)
{
    uint64_t                lease, other;
    ngx_completion_found_t  found, end;

    make(65536, 50);

    reserve(1, 0, &lease, &found);
    reserve(1, 0, &other, &found);

    memset(&end, 0, sizeof(end));
    end.state = NGX_COMPLETION_KEY_REFUSED;
    end.outcome = 4;
    end.retry_after = 3000;
    ngx_completion_zone_release(zone, lease, &end);

    memset(&found, 0, sizeof(found));
    is_int(reserve(1, 0, &other, &found), NGX_OK,
           "a refused submit is forgotten");
}


int
main(void)
{
    cf.pool = ngx_create_pool(1024, &shim_log);
    cycle.log = &shim_log;
    ngx_cycle = &cycle;
    ngx_current_msec = 100000;
    shim_time(1700000000);

    test_start();
    test_reload();
    test_cache();
    test_room();
    test_refused();

    shim_slab_reset(0);
    ngx_destroy_pool(cf.pool);

    return tap_done();
}
