
/*
 * A zone, by whatever its workers may do in whatever order: two bytes a step,
 * what and with what.  After each step the lock is free and every record is
 * looked at.  What holds within one life of a zone: states only go forward,
 * one lease writes, a document comes back as it was stored, a key pays once,
 * and quotas are kept in every window.
 */


#include "fuzz.h"
#include "../unit/zone_shim.h"

#include "../../src/store/ngx_completion_zone_sh.h"


#define IDS        6
#define SLOTS      4
#define KEYS       3
#define STARTS     4096

#define SUBMITS    5           /* a second */
#define POLLS      9

#define LEASE      30000       /* ms, and what the zone adds */
#define GRACE      5000

#define TTL        10000000    /* seconds: longer than any run */


typedef enum { FREE = 0, RESERVED, SENT } slot_e;

typedef struct {
    slot_e       state;
    uint64_t     lease;
    ngx_msec_t   end;          /* of the lease */
    ngx_uint_t   key;
    ngx_completion_keys_t  by;
} slot_t;

typedef struct {
    ngx_uint_t   present;
    uint64_t     lease;        /* the latest one given */
    ngx_completion_view_t  view;
} seen_t;

typedef struct {
    ngx_uint_t   sent;         /* and nobody said that it was refused */
    ngx_uint_t   answer;       /* 1 and the number of the id it led to */
} paid_t;

typedef struct {
    ngx_msec_t   at[STARTS];
    ngx_uint_t   n;
} starts_t;


static ngx_pool_t             *pool;
static ngx_completion_zone_t  *zone;
static slot_t                  slots[SLOTS];
static ngx_completion_due_t    dues[SLOTS];
static seen_t                  seen[IDS];
static paid_t                  keys[KEYS];
static starts_t                submits, polls;


static ngx_completion_id_t
id_of(ngx_uint_t n)
{
    static const char    *names[IDS] = { "op0", "op1", "op2", "x", "y-_", "Z" };
    ngx_completion_id_t   id = { fuzz_string(names[n % IDS]), ngx_time(), 0 };

    return id;
}


static ngx_uint_t
number_of(ngx_str_t *id)
{
    ngx_uint_t            n;
    ngx_completion_id_t   other;

    for (n = 0; n < IDS; n++) {
        other = id_of(n);

        if (fuzz_equal(&other.upstream, id)) {
            return n;
        }
    }

    HOLDS(0);
}


static void
forget(void)
{
    memset(slots, 0, sizeof(slots));
    memset(dues, 0, sizeof(dues));
    memset(seen, 0, sizeof(seen));
    memset(keys, 0, sizeof(keys));
}


static void
start(starts_t *starts, ngx_uint_t limit, ngx_msec_t at)
{
    ngx_uint_t  i, n = 1;

    for (i = 0; i < starts->n; i++) {
        if (at - starts->at[i] < 1000 || starts->at[i] - at < 1000) {
            n += (starts->at[i] <= at);
        }
    }

    HOLDS(n <= limit);
    starts->at[starts->n++ % STARTS] = at;
}


static void
reserve(slot_t *slot, u_char with)
{
    ngx_int_t                rc;
    ngx_uint_t               n = with % (KEYS + 1);
    ngx_msec_t               delay;
    ngx_completion_keys_t    by;
    ngx_completion_found_t   found;

    memset(&by, 0, sizeof(by));
    memset(&found, 0, sizeof(found));

    if (n < KEYS) {
        by.owner = n;
        by.idempotency.ttl = TTL;
        by.idempotency.name[0] = 1 + n;
        by.idempotency.request[0] = (with & 0x40) ? 2 : 1;
    }

    if (with & 0x80) {
        by.cache.ttl = 60;
        by.cache.name[0] = 0x80 + n;
        by.cache.request[0] = 0x80 + n;
    }

    rc = ngx_completion_zone_reserve(zone, LEASE,
                                     (n < KEYS || with & 0x80) ? &by : NULL, 0,
                                     &slot->lease, &delay, &found);

    HOLDS(rc == NGX_OK || rc == NGX_DONE || rc == NGX_DECLINED
          || rc == NGX_BUSY);
    HOLDS(rc != NGX_DONE || found.state != NGX_COMPLETION_KEY_NONE);

    if (n < KEYS && keys[n].sent) {
        HOLDS(rc == NGX_DONE);
    }

    if (n < KEYS && keys[n].answer
        && found.outcome != NGX_COMPLETION_IDEMPOTENCY_MISMATCH)
    {
        HOLDS(found.state == NGX_COMPLETION_KEY_ENDED
              && found.outcome == NGX_COMPLETION_OK);
        HOLDS(number_of(&found.id.upstream) == keys[n].answer - 1);
    }

    /* one that came to what another has paid for may be forgotten */

    if (n < KEYS && keys[n].sent && found.state == NGX_COMPLETION_KEY_ENDED
        && found.outcome == NGX_COMPLETION_OK && found.replayed)
    {
        keys[n].answer = 1 + number_of(&found.id.upstream);
    }

    slot->state = FREE;

    if (rc == NGX_OK) {
        slot->state = RESERVED;
        slot->key = n;
        slot->by = by;
        slot->end = ngx_current_msec + LEASE + GRACE
                    + (delay ? zone->submit_queue_time : 0);
        HOLDS(delay <= zone->submit_queue_time);
    }
}


static void
submit_step(slot_t *slot, u_char what, u_char with)
{
    ngx_int_t                rc;
    ngx_msec_t               delay;
    ngx_completion_id_t      id = id_of(with);
    ngx_completion_found_t   end;

    if (slot->state == FREE) {
        return;
    }

    if (what == 0 && slot->state == RESERVED) {
        rc = ngx_completion_zone_fence(zone, slot->lease);

        if (rc == NGX_OK) {
            slot->state = SENT;
            HOLDS(ngx_current_msec <= slot->end);
            start(&submits, SUBMITS, ngx_current_msec);

            if (slot->key < KEYS) {
                HOLDS(!keys[slot->key].sent);
                keys[slot->key].sent = 1;
            }

        } else if (rc == NGX_DECLINED) {
            slot->state = FREE;
        }

    } else if (what == 1 && slot->state == SENT) {
        ngx_completion_zone_unsent(zone, slot->lease);
        slot->state = RESERVED;

        if (slot->key < KEYS) {
            keys[slot->key].sent = 0;
        }

    } else if (what == 2 && slot->state == SENT) {
        rc = ngx_completion_zone_accept(zone, slot->lease, &slot->by, &id,
                                        with);
        HOLDS(rc == NGX_OK || rc == NGX_BUSY || rc == NGX_DECLINED);

        if (rc == NGX_OK) {
            seen[with % IDS].lease = slot->lease;
            dues[with % SLOTS].lease = slot->lease;
            dues[with % SLOTS].id.data = dues[with % SLOTS].buf;
            dues[with % SLOTS].id.len = id.upstream.len;
            memcpy(dues[with % SLOTS].buf, id.upstream.data, id.upstream.len);
        }

        slot->state = FREE;

    } else if (what == 3) {
        memset(&end, 0, sizeof(end));
        end.state = NGX_COMPLETION_KEY_ENDED;
        end.outcome = (slot->state == SENT && with & 1)
                      ? NGX_COMPLETION_OUTCOME_UNKNOWN
                      : NGX_COMPLETION_QUOTA_EXCEEDED;

        ngx_completion_zone_release(zone, slot->lease, &slot->by, &end);

        if (slot->key < KEYS && slot->state == SENT
            && end.outcome == NGX_COMPLETION_QUOTA_EXCEEDED)
        {
            keys[slot->key].sent = 0;
        }

        slot->state = FREE;

    } else if (what == 4 && slot->state == RESERVED) {
        delay = 0;
        rc = ngx_completion_zone_turn(zone, slot->lease, 10000, 20000, &delay);

        if (rc != NGX_DECLINED) {
            HOLDS((rc == NGX_AGAIN) == (delay != 0));
            slot->end = ngx_current_msec + GRACE + (delay ? 20000 : 10000);
        }
    }
}


static void
store(ngx_completion_due_t *due, u_char with)
{
    size_t                    len;
    ngx_int_t                 rc;
    ngx_uint_t                n;
    ngx_completion_update_t   update;

    if (due->id.len == 0) {
        return;
    }

    n = number_of(&due->id);
    memset(&update, 0, sizeof(update));
    update.outcome = (with % 4 == 3) ? NGX_COMPLETION_OUTCOME_UNKNOWN
                     : (with % 4 == 2) ? NGX_COMPLETION_OPERATION_NOT_FOUND
                     : NGX_COMPLETION_OK;
    update.state = (with % 4 == 1) ? NGX_COMPLETION_COMPLETED
                                   : NGX_COMPLETION_PENDING;
    update.gap = (with & 0x80) ? 700 : 0;

    /* its length is told by what it is filled with */

    if (update.outcome == NGX_COMPLETION_OK) {
        len = (with >> 2) * 100;

        if (with == 0xff) {
            len = 100000;
        }

        update.document.len = len;
        update.document.data = ngx_pnalloc(pool, len ? len : 1);
        memset(update.document.data, with >> 2, len);
    }

    rc = ngx_completion_zone_store(zone, &due->id, due->lease, &update);

    HOLDS(rc == NGX_OK || rc == NGX_DONE || rc == NGX_DECLINED);
    HOLDS(rc == NGX_DECLINED || seen[n].lease == due->lease);

    due->id.len = 0;
}


static void
poll_step(u_char what, u_char with)
{
    ngx_uint_t             n;
    ngx_msec_t             wait;
    ngx_completion_id_t    id = id_of(with);
    ngx_completion_due_t  *due = &dues[with % SLOTS];

    switch (what) {

    case 0:
        if (ngx_completion_zone_take(zone, due, &wait) == NGX_OK) {
            n = number_of(&due->id);
            HOLDS(seen[n].present && seen[n].lease != due->lease);
            seen[n].lease = due->lease;

        } else {
            due->id.len = 0;
            HOLDS(wait <= zone->poll_max || wait == NGX_TIMER_INFINITE);
        }

        break;

    case 1:
        due = &dues[(with >> 6) % SLOTS];

        if (due->id.len
            && ngx_completion_zone_ask(zone, &due->id, due->lease) == NGX_OK)
        {
            HOLDS(seen[number_of(&due->id)].lease == due->lease);
            start(&polls, POLLS, ngx_current_msec);
        }

        store(due, with);
        break;

    case 2:
        if (due->id.len) {
            ngx_completion_zone_yield(zone, &due->id, due->lease);
        }

        due->id.len = 0;
        break;

    case 3:
        (void) ngx_completion_zone_want(zone, &id.upstream, with * 100);
        break;

    case 4:
        n = ngx_completion_zone_decide(zone, &id.upstream, 4, NULL);
        HOLDS((ngx_int_t) n != NGX_DONE
              || seen[with % IDS].view.state == NGX_COMPLETION_RECORD_FINAL);
        break;

    case 5:
        (void) ngx_completion_zone_call(zone, &wait);

        /* one that has gone may come again, and knows nothing then */

        if (ngx_completion_zone_adopt(zone, &id, NULL) == NGX_OK) {
            (void) ngx_completion_zone_read(zone, &id.upstream, 0, NULL,
                                            &seen[with % IDS].view);
            seen[with % IDS].present = 1;
        }

        break;
    }
}


/* those who wait, or are called */

static void
look_at_lines(void)
{
    uint64_t                     ticket;
    ngx_uint_t                   i, n;
    ngx_rbtree_t                *line;
    ngx_rbtree_node_t           *node;
    ngx_completion_submit_sh_t  *submit;

    for (i = 0; i < NGX_COMPLETION_TURN_LINES; i++) {
        line = &zone->sh->lines[i];
        node = (line->root == line->sentinel)
                   ? NULL : ngx_rbtree_min(line->root, line->sentinel);
        ticket = 0;
        n = 0;

        for ( /* void */ ; node; node = ngx_rbtree_next(line, node)) {
            submit = ngx_rbtree_data(node, ngx_completion_submit_sh_t, place);

            HOLDS(submit->turn == i);
            HOLDS(i || n == 0 || submit->ticket > ticket);
            ticket = submit->ticket;
            n++;
        }

        HOLDS(n == zone->sh->nlines[i]);
        HOLDS(n <= zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT]);
    }

    line = &zone->sh->trees[NGX_COMPLETION_TREE_CALLED];
    node = (line->root == line->sentinel)
               ? NULL : ngx_rbtree_min(line->root, line->sentinel);

    for (n = 0; node; node = ngx_rbtree_next(line, node)) {
        n++;
    }

    HOLDS(n == zone->sh->ncalled);
}


/* every record, against what it was */

static void
look(void)
{
    size_t                   i;
    ngx_int_t                rc;
    ngx_uint_t               n;
    ngx_pool_t              *copies = ngx_create_pool(1024, &shim_log);
    ngx_completion_id_t      id;
    ngx_completion_view_t    view, *was;

    for (n = 0; n < IDS; n++) {
        id = id_of(n);
        was = &seen[n].view;

        rc = ngx_completion_zone_read(zone, &id.upstream, 0, copies, &view);
        HOLDS(rc == NGX_OK || rc == NGX_DECLINED);

        if (rc == NGX_OK && seen[n].present) {
            HOLDS(view.version >= was->version);
            HOLDS(was->state != NGX_COMPLETION_RECORD_FINAL
                  || (view.state == was->state
                      && ((view.verdict == was->verdict
                           && view.decided == was->decided)
                          || (view.verdict == NGX_COMPLETION_LOST
                              && was->document.len == 0
                              && !was->decided))));
            HOLDS(was->state != NGX_COMPLETION_RECORD_PENDING
                  || view.state >= was->state);
        }

        for (i = 0; i < view.document.len; i++) {
            HOLDS(view.document.data[i] == view.document.data[0]);
        }

        HOLDS(view.document.len == 0
              || view.document.len == view.document.data[0] * 100u
              || view.document.len == 100000);

        seen[n].present = (rc == NGX_OK);
        seen[n].view = view;
    }

    ngx_destroy_pool(copies);
    look_at_lines();

    HOLDS(shim_locked == 0);
    HOLDS(shim_slab_used <= shim_slab_limit);
}


static void
step(u_char what, u_char with)
{
    slot_t      *slot = &slots[(with >> 4) % SLOTS];
    uint64_t     changes = 0;
    uint32_t     hashes[8];
    ngx_uint_t   count = 8;

    what %= 16;

    if (what <= 4) {
        submit_step(slot, what, with);

    } else if (what <= 10) {
        poll_step(what - 5, with);

    } else if (what == 11) {
        ngx_current_msec += with * with;
        shim_time(1700000000 + ngx_current_msec / 1000);

    } else if (what == 12) {
        (void) ngx_completion_zone_changes(zone, &changes, hashes, &count);
        HOLDS(count <= 8);

    } else if (what == 13 && with == 0xff) {

        /* a worker dies inside the lock */

        zone->sh->busy = 1;
        shim_log_lines = 0;
        ngx_completion_zone_lock(zone);
        ngx_completion_zone_unlock(zone);
        HOLDS(shim_log_lines == 1);
        forget();

    } else {
        reserve(slot, with);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char       sizes;
    ngx_str_t    name = ngx_string("operations");
    ngx_conf_t   cf;
    ngx_cycle_t  cycle;

    memset(&cf, 0, sizeof(cf));
    memset(&cycle, 0, sizeof(cycle));

    pool = ngx_create_pool(1024, &shim_log);
    cf.pool = pool;
    cycle.log = &shim_log;
    cycle.shared_memory.part.elts = NULL;
    ngx_cycle = &cycle;

    ngx_current_msec = 1000000;
    shim_time(1700001000);
    srandom(1);
    forget();
    submits.n = 0;
    polls.n = 0;

    sizes = fuzz_byte(&data, &size);

    zone = ngx_completion_zone_add(&cf, &name, 30096 + sizes * 160, &cycle);
    HOLDS(zone);

    zone->poll_min = 500;
    zone->poll_max = 30000;
    zone->poll_lease = 30000;
    zone->deadline = 3600000;
    zone->retention = 60;
    zone->lifetime = 72 * 3600;
    zone->poll_rate = (ngx_completion_rate_t) { POLLS, 1000 };
    zone->submit_rates[0] = (ngx_completion_rate_t) { SUBMITS, 1000 };
    zone->submit_queue = 3;
    zone->submit_queue_time = 10000;

    HOLDS(zone->shm_zone->init(zone->shm_zone, NULL) == NGX_OK);
    ngx_completion_zone_enter(zone);

    while (size >= 2) {
        step(data[0], data[1]);
        look();
        data += 2;
        size -= 2;
    }

    shim_slab_reset(0);
    ngx_cycle = NULL;
    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
