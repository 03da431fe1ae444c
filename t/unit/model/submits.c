
/* Requests that submit, from their keys to the end of their answer. */


#include "model.h"


static void
found_same(ngx_completion_found_t *found, ngx_completion_found_t *expected,
    ngx_uint_t op, request_t *q)
{
    paid_t  *p;

    AGREE(found->state == expected->state)
    AGREE(found->replayed == expected->replayed)
    AGREE(found->outcome == expected->outcome)
    AGREE(found->lease == expected->lease)
    AGREE(found->held == expected->held)
    AGREE(found->pending == expected->pending)

    if (found->state == NGX_COMPLETION_KEY_ENDED) {
        AGREE(found->retry_after == expected->retry_after)

        if (found->outcome == NGX_COMPLETION_OK) {
            AGREE(op_of(&found->id.upstream) == op)
            AGREE(found->id.submitted == expected->id.submitted)
            AGREE(found->id.shared == expected->id.shared)

            /* whose it is */

            AGREE(found->id.shared || op_at(op)->owner == q->keys.owner
                  || op_at(op)->owner == 0)
        }
    }

    /*
     * A key leads to what it has paid for, for as long as it was to; who has
     * joined one shares its fate.
     */

    p = &paid[KEY][q->names[KEY]];

    if (q->keys.idempotency.ttl && p->op && q->joined == 0
        && (ngx_msec_int_t) (p->until - truth) > 0)
    {
        AGREE(found->state == NGX_COMPLETION_KEY_ENDED)
        AGREE(found->outcome == NGX_COMPLETION_IDEMPOTENCY_MISMATCH
              || (found->replayed && op == p->op))
    }
}


static void
becomes(request_t *q, ngx_completion_found_t *found)
{
    q->phase = found->held ? HELD : FREE;
    q->hold.lease = found->held;
    memcpy(q->hold.name, q->keys.orphan.name, sizeof(q->hold.name));

    if (found->state == NGX_COMPLETION_KEY_UNDERWAY) {
        q->joined = found->lease;
        q->phase = JOINED;
    }
}


static ngx_int_t
known(request_t *q)
{
    ngx_int_t               rc;
    ngx_uint_t              op;
    ngx_completion_found_t  found, expected;

    acts(q->worker, "known");

    rc = ngx_completion_zone_known(zone, &q->keys, q->joined, &found);

    expire();
    look(q, &expected, &op);
    AGREE(rc == (expected.state == NGX_COMPLETION_KEY_NONE ? NGX_OK
                                                           : NGX_DONE))
    found_same(&found, &expected, op, q);

    done();

    if (rc == NGX_DONE) {
        becomes(q, &found);
    }

    return rc;
}


static void
reserve(request_t *q)
{
    submit_t                *s;
    uint64_t                 lease = 0;
    ngx_int_t                rc;
    ngx_uint_t               i, n, op, waiting;
    ngx_msec_t               delay = 0;
    entry_t                 *e;
    ngx_completion_key_t    *asked[KINDS];
    ngx_completion_found_t   found, expected;

    acts(q->worker, "reserve");

    rc = ngx_completion_zone_reserve(zone, 2000, q->keyed ? &q->keys : NULL,
                                     q->joined, &lease, &delay, &found);
    expire();

    if (q->keyed) {
        look(q, &expected, &op);
        found_same(&found, &expected, op, q);

        if (expected.state != NGX_COMPLETION_KEY_NONE) {
            AGREE(rc == NGX_DONE)
            done();
            becomes(q, &found);
            return;
        }
    }

    AGREE(rc != NGX_DONE)
    (void) call();

    q->phase = FREE;
    q->hold.lease = 0;
    waiting = waits_n(NGX_COMPLETION_TURN_WAITS);
    n = waits_n(NGX_COMPLETION_TURN_CALLED);

    if (rc == NGX_BUSY) {
        AGREE(waiting || n >= submit_starts(0))
        AGREE(waiting >= zone->submit_queue
              || delay > 0)
        done();
        return;
    }

    AGREE(rc == NGX_DECLINED || delay
          || (waiting == 0 && n < submit_starts(1)))
    AGREE(delay <= zone->submit_queue_time)

    asked[KEY] = &q->keys.idempotency;
    asked[CACHE] = &q->keys.cache;
    asked[ORPHAN] = &q->keys.orphan;

    for (i = 0, n = 1; i < KINDS; i++) {
        n += (q->keyed && asked[i]->ttl != 0);
    }

    if (!take(n)) {
        AGREE(rc == NGX_DECLINED)
        done();
        return;
    }

    AGREE(rc == NGX_OK)
    AGREE(!delay || waiting < zone->submit_queue)
    AGREE(lease == ++ref.sequence)

    NEW(ref.submits, ref.nsubmits, i)

    s = &ref.submits[i];
    s->real = s;
    s->lease = lease;
    s->end = ngx_current_msec + 2000 + GRACE
             + (delay ? zone->submit_queue_time : 0);
    s->ticket = ref.tickets++;
    s->worker = acting;
    s->turn = NGX_COMPLETION_TURN_AWAY;
    turn(s, delay ? NGX_COMPLETION_TURN_WAITS : NGX_COMPLETION_TURN_CALLED);
    seen();

    ref.used += NGX_COMPLETION_CHUNK;

    for (i = 0; i < KINDS; i++) {

        if (!q->keyed || asked[i]->ttl == 0) {
            continue;
        }

        e = add_entry(i, q->names[i], asked[i], q->ask);
        e->state = NGX_COMPLETION_KEY_UNDERWAY;
        e->lease = lease;
        e->shared = q->keys.shared;
        e->holders = (i == ORPHAN);
        e->doubted = (i == KEY || (i == ORPHAN && q->keys.doubted));

        if (i != KEY) {
            e->expires = ngx_current_msec + MS(zone->lifetime);
        }
    }

    q->phase = RESERVED;
    q->lease = lease;
    q->joined = 0;
    q->began = ngx_current_msec;

    if (q->keyed && q->keys.orphan.ttl) {
        memcpy(q->hold.name, q->keys.orphan.name, sizeof(q->hold.name));
        q->hold.lease = (uint32_t) lease;
    }

    done();
}


/* what was paid for, by names that stand for it */

static void
pays(request_t *q)
{
    paid_t    *p;
    submit_t  *s;

    if (q->keys.idempotency.ttl) {
        p = &paid[KEY][q->names[KEY]];

        if (p->lease && p->lease != q->lease) {
            s = submit_of(p->lease);
            AGREE(s == NULL || s->turn != NGX_COMPLETION_TURN_SENT
                  || !submit_leased(s))
            AGREE(LEFT(p->until) <= 0)
        }

        p->lease = q->lease;
        p->op = 0;
        p->began = q->began;
        p->until = q->began + MS(q->keys.idempotency.ttl);
    }

    if (q->keys.cache.ttl) {
        p = &paid[CACHE][q->names[CACHE]];

        if (p->lease && p->lease != q->lease) {
            s = submit_of(p->lease);
            AGREE(s == NULL || s->turn != NGX_COMPLETION_TURN_SENT
                  || !submit_leased(s)
                  || (ngx_msec_int_t) (q->began - p->began)
                     >= DEADLINE)
        }

        p->lease = q->lease;
        p->began = q->began;
    }
}


/* nobody paid; or by whom it is known */

void
pays_not(uint64_t lease, ngx_uint_t op)
{
    paid_t      *p;
    ngx_uint_t   i;

    for (i = 0; i < 2 * NAMES; i++) {
        p = &paid[i / NAMES][i % NAMES];

        if ((lease && p->lease == lease) || (op && p->op == op)) {
            memset(p, 0, sizeof(*p));
        }
    }
}


static void
paid_for(uint64_t lease, ngx_uint_t op)
{
    ngx_uint_t  i;

    for (i = 0; i < NAMES; i++) {
        if (paid[KEY][i].lease == lease) {
            paid[KEY][i].op = op;
        }
    }
}


/* a submit on its way */

static void
fence(request_t *q)
{
    ngx_int_t   rc;
    submit_t   *s;

    acts(q->worker, "fence");

    rc = ngx_completion_zone_fence(zone, q->lease);

    s = submit_of(q->lease);
    seen();

    if (s == NULL || !submit_leased(s)) {
        AGREE(rc == NGX_DECLINED)

    } else if (rc == NGX_OK) {
        AGREE(submit_starts(1) > 0)
        start(&starts);
        turn(s, NGX_COMPLETION_TURN_SENT);

    } else {
        AGREE(rc == NGX_AGAIN)
        AGREE(submit_starts(0) == 0)
        turn(s, NGX_COMPLETION_TURN_WAITS);
    }

    done();

    if (rc == NGX_OK) {
        pays(q);
        q->phase = SENT;
    }
}


static void
unsent(request_t *q)
{
    submit_t  *s;

    acts(q->worker, "unsent");

    ngx_completion_zone_unsent(zone, q->lease);

    s = submit_of(q->lease);

    if (s) {
        turn(s, NGX_COMPLETION_TURN_AWAY);
        pays_not(q->lease, 0);
    }

    done();
    q->phase = RESERVED;
}


static void
turns(request_t *q)
{
    submit_t    *s;
    ngx_int_t    rc, expected = NGX_DECLINED;
    ngx_msec_t   delay = 0;

    acts(q->worker, "turn");

    rc = ngx_completion_zone_turn(zone, q->lease, 2000, 5000, &delay);

    s = submit_of(q->lease);
    seen();

    if (s && submit_leased(s)) {

        if (s->turn > NGX_COMPLETION_TURN_CALLED) {
            turn(s, NGX_COMPLETION_TURN_WAITS);
        }

        if (s->turn == NGX_COMPLETION_TURN_WAITS) {
            (void) call();
        }

        expected = (s->turn == NGX_COMPLETION_TURN_CALLED) ? NGX_OK
                                                           : NGX_AGAIN;
        AGREE((expected == NGX_AGAIN) == (delay != 0))

        s->end = ngx_current_msec + GRACE
                 + (expected == NGX_OK ? 2000 : 5000);
    }

    AGREE(rc == expected)
    done();
}


static void
release(request_t *q)
{
    entry_t                 *e;
    submit_t                *s;
    ngx_int_t                rc;
    ngx_completion_found_t   end;

    acts(q->worker, "release");

    memset(&end, 0, sizeof(end));
    end.state = NGX_COMPLETION_KEY_ENDED;
    end.outcome = (q->phase == SENT && chance(40))
                      ? NGX_COMPLETION_OUTCOME_UNKNOWN
                      : NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
    end.retry_after = below(3) * 1000;

    rc = ngx_completion_zone_release(zone, q->lease,
                                     q->keyed ? &q->keys : NULL, &end);

    s = submit_of(q->lease);

    if (s) {
        settle(s, &end, 0);
        gone(&s->real);

    } else if (q->keyed && end.outcome != NGX_COMPLETION_OUTCOME_UNKNOWN) {
        e = doubted(q, KEY, q->keys.idempotency.ttl);

        if (e) {
            gone(&e->real);
        }

        e = doubted(q, CACHE, q->keys.cache.ttl);

        if (e) {
            gone(&e->real);
        }

        e = doubted(q, ORPHAN, q->keys.orphan.ttl);

        if (e) {
            gone(&e->real);
        }
    }

    AGREE(rc == call())
    done();

    if (q->phase != SENT || end.outcome != NGX_COMPLETION_OUTCOME_UNKNOWN) {
        pays_not(q->lease, 0);
    }

    q->phase = (q->hold.lease) ? HELD : FREE;
}


ngx_uint_t
recent(void)
{
    ngx_uint_t  back;

    back = below(40);

    return (nops > back) ? nops - back : 1;
}


op_t *
op_at(ngx_uint_t op)
{
    return &ops[op % OPS];
}


static void
leases(ngx_uint_t op, uint64_t lease)
{
    poll_t  *p = &polled[below(POLLED)];

    p->worker = acting;
    p->op = op;
    p->lease = lease;
}


static void
accept_submit(request_t *q)
{
    op_t                 *o;
    entry_t              *e, *cached;
    submit_t             *s;
    record_t             *r;
    ngx_int_t             rc;
    ngx_uint_t            op, model, room;
    ngx_completion_id_t   id;

    acts(q->worker, "accept");

    model = below(20);
    op = chance(97) ? ++nops : recent();
    id.upstream = id_of(op);
    id.shared = 0;

    /* one that is given twice is no single one's */

    o = op_at(op);
    o->owner = o->submitted ? 0 : q->keys.owner;

    if (o->submitted == 0) {
        o->submitted = ngx_time() - below(3);
    }

    id.submitted = o->submitted;

    rc = ngx_completion_zone_accept(zone, q->lease, q->keyed ? &q->keys : NULL,
                                    &id, model);
    s = submit_of(q->lease);
    r = NULL;

    if (s == NULL && q->keyed) {
        room = q->keys.cache.ttl ? take(1) : 0;

        e = doubted(q, KEY, q->keys.idempotency.ttl);
        cached = doubted(q, CACHE, q->keys.cache.ttl);

        if (e) {
            lead(e, op, id.submitted);
        }

        e = doubted(q, ORPHAN, q->keys.orphan.ttl);

        if (e) {
            lead(e, op, id.submitted);
        }

        if (cached == NULL && room
            && match(CACHE, q->names[CACHE], 0) == NULL)
        {
            cached = add_entry(CACHE, q->names[CACHE], &q->keys.cache, q->ask);
            cached->lease = q->lease;
            cached->shared = q->keys.shared;
        }

        if (cached) {
            cached->expires = ngx_current_msec + MS(zone->lifetime);
            lead(cached, op, id.submitted);
        }
    }

    r = record_of(op);

    if (s == NULL && r == NULL && !take(1)) {
        AGREE(rc == NGX_DECLINED)
        goto done;
    }

    if (s) {
        ngx_completion_found_t  end;

        memset(&end, 0, sizeof(end));
        end.state = NGX_COMPLETION_KEY_ENDED;
        end.id.submitted = id.submitted;
        settle(s, &end, op);
    }

    if (r == NULL) {

        if (s) {
            s->real = NULL;
            ref.used -= NGX_COMPLETION_CHUNK;
        }

        r = add_record(op, id.submitted, NGX_COMPLETION_RECORD_PENDING);

    } else {
        if (s) {
            gone(&s->real);
        }

        if (r->state == NGX_COMPLETION_RECORD_FINAL) {
            ended(r, r->verdict);
        }

        if (r->state == NGX_COMPLETION_RECORD_FINAL || is_leased(r)) {
            AGREE(rc == NGX_BUSY)
            goto done;
        }

        r->state = NGX_COMPLETION_RECORD_PENDING;
        place(r);
    }

    AGREE(rc == NGX_OK)

    r->ours = 1;
    r->submitted = id.submitted;
    r->model = model;
    forget_draft(r);
    r->lease = q->lease;
    r->end = ngx_current_msec + zone->poll_lease;
    schedule(r, r->end, r->end);

done:

    done();

    if (r && rc == NGX_OK) {
        same(r);
        leases(op, q->lease);
    }

    paid_for(q->lease, op);

    if (r && r->deleted) {
        pays_not(0, op);
    }

    q->phase = (q->hold.lease) ? HELD : FREE;
}


static void
unhold(request_t *q)
{
    entry_t     *e;
    ngx_uint_t   delivered;

    acts(q->worker, "unhold");

    delivered = chance(50);
    ngx_completion_zone_unhold(zone, &q->hold, delivered);

    for (e = latest(ORPHAN, q->names[ORPHAN], -1);
         e && (uint32_t) e->lease != q->hold.lease;
         e = latest(ORPHAN, q->names[ORPHAN], e->added))
    {
        /* void */
    }

    if (e) {
        e->holders -= (e->holders != 0);
        e->delivered |= delivered;

        if (e->holders == 0 && e->state == NGX_COMPLETION_KEY_ENDED
            && (e->delivered || is_refused(e)))
        {
            gone(&e->real);
        }
    }

    done();
    q->phase = FREE;
}


/* a request that begins */

static void
name(request_t *q, ngx_completion_key_t *key, ngx_uint_t kind, ngx_uint_t n)
{
    static const time_t  ttls[] = { 1, 20, 60, 300 };

    q->names[kind] = n;
    key->ttl = ttls[below(4)];
    digest(key->name, kind, n);
    key->request[0] = q->ask;
}


static void
ask(request_t *q)
{
    ngx_uint_t  owner;

    memset(q, 0, sizeof(*q));

    q->worker = someone();
    owner = below(3);
    q->keys.owner = 1 + owner;
    q->ask = chance(90) ? 1 : 2;

    if (chance(25)) {
        name(q, &q->keys.orphan, ORPHAN, owner + 3 * below(NAMES / 3));
        q->keys.doubted = chance(70);
        q->keys.repeated = chance(30);

    } else if (chance(50)) {
        name(q, &q->keys.idempotency, KEY, owner + 3 * below(NAMES / 3));
    }

    if (q->keys.orphan.ttl == 0 && chance(50)) {
        if (chance(30)) {
            q->keys.shared = 1;
            name(q, &q->keys.cache, CACHE, 9 + below(3));

        } else {
            name(q, &q->keys.cache, CACHE, owner + 3 * below(3));
        }
    }

    q->keyed = (q->keys.idempotency.ttl || q->keys.cache.ttl
                || q->keys.orphan.ttl);

    if (q->keyed && chance(10)) {
        if (known(q) != NGX_OK) {
            return;
        }
    }

    reserve(q);
}


void
request(void)
{
    request_t   *q;
    ngx_uint_t   what;

    q = &requests[below(REQUESTS)];
    what = below(100);

    switch (q->phase) {

    case FREE:
        ask(q);
        break;

    case JOINED:

        if (what < 5) {
            q->phase = (q->hold.lease) ? HELD : FREE;

        } else if (known(q) == NGX_OK) {
            reserve(q);
        }

        break;

    case RESERVED:

        if (what < 60) {
            fence(q);

        } else if (what < 90) {
            turns(q);

        } else {
            release(q);
        }

        break;

    case SENT:

        if (what < 60) {
            accept_submit(q);

        } else if (what < 80) {
            release(q);

        } else {
            unsent(q);
        }

        break;

    default: /* HELD */
        unhold(q);
    }
}
