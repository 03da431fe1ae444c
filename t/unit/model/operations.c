
/* Polls, and clients who know an id. */


#include "model.h"


void
take_due(ngx_uint_t worker)
{
    poll_t                *p;
    record_t              *r, *first[2], *called;
    ngx_int_t              rc;
    ngx_uint_t             urgent, is_due[2], i;
    ngx_msec_t             wait, least;
    ngx_completion_due_t   d;

    acts(worker, "take");

    rc = ngx_completion_zone_take(zone, &d, &wait);

    expire();
    (void) lapse(&called);
    is_due[0] = due(0, &first[0]);
    is_due[1] = due(1, &first[1]);
    urgent = is_due[1];

    if (rc != NGX_OK) {
        AGREE(rc == NGX_AGAIN)

        if (is_due[urgent]) {
            AGREE(held_up(urgent, 1))
            AGREE(wait > 0 && wait != NGX_TIMER_INFINITE)

        } else {
            least = NGX_TIMER_INFINITE;

            if (called) {
                least = ngx_min(least, (ngx_msec_t) LEFT(called->due));
            }

            for (i = 0; i < 2; i++) {
                if (first[i]) {
                    least = ngx_min(least, (ngx_msec_t) LEFT(first[i]->due));
                }
            }

            AGREE(wait == least)
        }

        done();
        return;
    }

    r = record_of(op_of(&d.id));

    AGREE(r && r->scheduled && !r->called && r->urgent == urgent)
    AGREE(r->due == first[urgent]->due && LEFT(r->due) <= 0)
    AGREE(!held_up(urgent, 0))
    AGREE(!is_complete(r) && !r->deleted)

    /* a clock that is late may not have seen the end of the lease */

    AGREE(r->lease == 0 || (ngx_msec_int_t) (r->end - truth) <= 0)
    AGREE(d.lease == ++ref.sequence)

    forget_draft(r);
    r->lease = d.lease;
    r->end = ngx_current_msec + zone->poll_lease;
    r->sent = ngx_current_msec;
    call_record(r);

    done();
    same(r);

    p = &polled[below(POLLED)];
    p->worker = worker;
    p->op = r->op;
    p->lease = d.lease;
}


static void
brings(ngx_completion_update_t *u, ngx_uint_t op)
{
    ngx_uint_t     what = below(100);

    static u_char  text[160000];

    memset(u, 0, sizeof(*u));

    if (what < 40) {
        u->state = NGX_COMPLETION_PENDING;

    } else if (what < 60) {
        u->state = NGX_COMPLETION_COMPLETED
                   + below(NGX_COMPLETION_CANCELLED
                           - NGX_COMPLETION_COMPLETED);

    } else if (what < 75) {
        u->outcome = NGX_COMPLETION_OPERATION_NOT_FOUND;

    } else if (what < 85) {
        u->outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
        u->refused = chance(50);

    } else {
        u->outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
        u->state = chance(50) ? NGX_COMPLETION_TOO_LARGE
                              : NGX_COMPLETION_UNREADABLE;
    }

    u->gap = chance(10) ? below(3000) : 0;

    if (u->outcome == NGX_COMPLETION_OK) {
        u->document.data = text;
        u->document.len = chance(95) ? 40 + below(1000) : below(8192);

        if (zone->sh->capacity > NGX_COMPLETION_COPY_MAX && chance(10)) {
            u->document.len = below(sizeof(text));
        }

        /* it is told by what it is filled with */

        memset(text, chance(50) ? op : op + 1, u->document.len);
    }
}


static record_t *
leased_by(poll_t *p)
{
    record_t  *r = record_of(p->op);

    return (r && r->lease == p->lease) ? r : NULL;
}


/*
 * Written in pieces, the last one first, each under a lock of its own: how much
 * of it stands there in the end, or where the worker was killed.
 */

static record_t *
drafts(poll_t *p, ngx_completion_update_t *u, ngx_uint_t one)
{
    size_t     left, size;
    record_t  *r;

    r = leased_by(p);
    left = u->document.len;

    if (r == NULL || left == 0 || left > zone->sh->capacity
        || (r->kept && r->digest == u->digest && r->length == left))
    {
        return r;
    }

    while (left) {
        size = left % NGX_COMPLETION_COPY_MAX;
        size = size ? size : NGX_COMPLETION_COPY_MAX;

        if (!take(text_size(size) / NGX_COMPLETION_CHUNK)) {
            return leased_by(p);
        }

        r = leased_by(p);

        if (r == NULL) {
            return NULL;
        }

        r->draft += text_size(size);
        ref.used += text_size(size);
        left -= size;

        if (one) {
            break;
        }
    }

    return r;
}


void
store(poll_t *p)
{
    record_t                        *r;
    ngx_str_t                        id;
    ngx_int_t                        expected;
    ngx_uint_t                       part;
    volatile ngx_int_t               rc;
    ngx_completion_record_sh_t      *real;

    static ngx_completion_update_t   u, e;

    acts(p->worker, "store");

    brings(&u, p->op);
    e = u;
    id = id_of(p->op);

    killing = chance(u.document.len > NGX_COMPLETION_COPY_MAX ? 30 : 3);

    if (setjmp(killed) == 0) {
        rc = ngx_completion_zone_store(zone, &id, p->lease, &u);

    } else {
        rc = NGX_ABORT;
    }

    killing = 0;
    e.digest = u.digest;

    real = ngx_completion_record_find(zone, &id, hash_of(p->op));
    part = (rc == NGX_ABORT && real && real->lease == p->lease);

    r = drafts(p, &e, part);

    if (part) {
        done();
        dies(p->worker);
        return;
    }

    if (r) {
        expected = publish(r, &e, r->draft >= text_size(e.document.len)
                                  && r->draft);
        AGREE(u.kept == r->kept)
        AGREE(u.ended == e.ended)
        AGREE(u.failures == e.failures)
        AGREE(u.refusals == e.refusals)

    } else {
        expected = NGX_DECLINED;
    }

    AGREE(rc == expected || rc == NGX_ABORT)
    done();

    if (r) {
        same(r);
    }

    if (rc == NGX_ABORT) {
        dies(p->worker);
    }

    p->op = 0;
}


/* the fence of a poll, at which it has a start, or none is left */

void
asks(poll_t *p)
{
    record_t   *r;
    ngx_int_t   rc;
    ngx_str_t   id = id_of(p->op);

    acts(p->worker, "ask");

    rc = ngx_completion_zone_ask(zone, &id, p->lease);

    r = leased_by(p);

    if (rc == NGX_OK) {
        AGREE(r && poll_starts(1) > 0)
        start(&polls);
        r->sent = ngx_current_msec;
        schedule(r, r->end, r->end);

    } else {
        AGREE(rc == NGX_AGAIN)
        AGREE(r == NULL || poll_starts(0) == 0)
    }

    done();

    if (r) {
        same(r);
    }
}


void
yield(poll_t *p)
{
    record_t   *r;
    ngx_str_t   id = id_of(p->op);

    acts(p->worker, "yield");

    ngx_completion_zone_yield(zone, &id, p->lease);

    r = record_of(p->op);

    if (r && r->lease == p->lease) {
        r->lease = 0;
        schedule(r, ngx_current_msec, ngx_current_msec);
    }

    done();

    if (r) {
        same(r);
    }

    p->op = 0;
}


/* clients, who know ids */

static void
reads(ngx_uint_t worker, ngx_uint_t op)
{
    record_t               *r;
    ngx_int_t               rc;
    ngx_str_t               id = id_of(op);
    ngx_uint_t              i;
    ngx_msec_t              ms;
    ngx_pool_t             *pool;
    ngx_completion_view_t   view;

    static ngx_uint_t             last;
    static ngx_completion_view_t  known;

    acts(worker, "read");

    ms = below(3) * 700;
    pool = chance(10) ? ngx_create_pool(1024, &shim_log) : NULL;
    rc = ngx_completion_zone_reread(zone, &id, op == last ? &known : NULL, ms,
                                    pool, &view);
    r = record_of(op);

    /* a deleted one is deleted for as long as its id is good */

    if (op_at(op)->deleted && op_at(op)->jumps == jumps
        && ngx_time() - op_at(op)->submitted <= zone->lifetime
        && op_at(op)->submitted - ngx_time() <= NGX_COMPLETION_ID_SKEW)
    {
        AGREE(rc != NGX_DECLINED && view.deleted)
    }

    if (r == NULL) {
        AGREE(rc == NGX_DECLINED)
        goto done;
    }

    AGREE(rc == (op == last && known.version == r->version
                 && known.state == r->state && known.digest == view.digest
                     ? NGX_DONE : NGX_OK))
    AGREE(view.state == r->state)
    AGREE(view.verdict == (r->state == NGX_COMPLETION_RECORD_FINAL
                               ? r->verdict : NGX_COMPLETION_PENDING))
    AGREE(view.decided == r->decided && view.deleted == r->deleted)
    AGREE(view.failing == (!is_complete(r) && !r->scheduled
                           && r->failures >= NGX_COMPLETION_FAILURES))
    AGREE(view.refused == (ref.refusals && SINCE(ref.refused) >= DOUBT_TIME))
    AGREE(view.version == r->version && view.submitted == r->submitted)
    AGREE(view.document.len == (r->kept ? r->length : 0))

    for (i = 0; pool && rc == NGX_OK && i < view.document.len; i++) {
        AGREE(view.document.data[i] == view.document.data[0])
        AGREE((u_char) (view.document.data[0] - op) <= 1)
    }

    if (r->state == NGX_COMPLETION_RECORD_PENDING) {
        want(r, ms);
    }

    last = op;
    known = view;

done:

    done();

    if (r) {
        same(r);
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


static void
wants(ngx_uint_t worker, ngx_uint_t op)
{
    record_t    *r;
    ngx_str_t    id = id_of(op);
    ngx_msec_t   ms, next;

    acts(worker, "want");

    ms = below(4) * 3000;
    next = ngx_completion_zone_want(zone, &id, ms);

    r = record_of(op);

    if (r) {
        want(r, ms);
    }

    done();

    if (r) {
        same(r);
    }

    AGREE(r || next == 0)
}


static void
adopts(ngx_uint_t worker, ngx_uint_t op)
{
    op_t                 *o;
    record_t             *r;
    ngx_int_t             rc;
    ngx_completion_id_t   id;

    acts(worker, "adopt");

    o = op_at(op);

    if (o->submitted == 0) {
        o->submitted = ngx_time() - below(30);
    }

    id.upstream = id_of(op);
    id.submitted = o->submitted;
    id.shared = 0;

    rc = ngx_completion_zone_adopt(zone, &id, NULL);

    expire();
    r = record_of(op);

    if (r == NULL && take_asked()) {
        r = add_record(op, id.submitted, NGX_COMPLETION_RECORD_UNKNOWN);
        r->version = ++ref.sequence;
    }

    AGREE(rc == (r ? NGX_OK : NGX_DECLINED))
    done();

    if (r) {
        same(r);
    }
}


static void
decides(ngx_uint_t worker, ngx_uint_t op)
{
    record_t   *r;
    ngx_int_t   rc, expected = NGX_DECLINED;
    ngx_str_t   id = id_of(op);

    acts(worker, "decide");

    rc = ngx_completion_zone_decide(zone, &id, NGX_COMPLETION_CANCELLED, NULL);

    r = record_of(op);

    if (r && r->state == NGX_COMPLETION_RECORD_FINAL) {
        expected = NGX_DONE;

    } else if (r && r->state == NGX_COMPLETION_RECORD_PENDING) {
        (void) decide(r, NGX_COMPLETION_CANCELLED);
        expected = NGX_OK;
    }

    AGREE(rc == expected)
    done();

    if (r) {
        same(r);
    }
}


static void
deletes(ngx_uint_t worker, ngx_uint_t op)
{
    record_t   *r;
    ngx_int_t   rc, expected = NGX_DECLINED;
    ngx_str_t   id = id_of(op);

    acts(worker, "delete");

    rc = ngx_completion_zone_delete(zone, &id, NULL);

    r = record_of(op);

    if (r && !r->deleted && r->state == NGX_COMPLETION_RECORD_PENDING) {
        r->deleted = 1;
        r->created = ngx_current_msec;
        (void) decide(r, NGX_COMPLETION_CANCELLED);
        expected = NGX_OK;

    } else if (r && !r->deleted && r->state == NGX_COMPLETION_RECORD_FINAL) {
        r->deleted = 1;
        r->created = ngx_current_msec;
        r->verdict = NGX_COMPLETION_CANCELLED;
        forget_text(r);
        (void) settle_record(r);
        expected = NGX_DONE;
    }

    AGREE(rc == expected)
    done();

    if (r) {
        same(r);
    }

    if (rc != NGX_DECLINED) {
        pays_not(0, op);
        op_at(op)->deleted = 1;
        op_at(op)->jumps = jumps;
    }
}


void
client(void)
{
    ngx_uint_t  what = below(100), worker = someone(), op;

    op = (what < 90) ? recent() : OPS - 1 - below(20);

    what = below(100);

    if (what < 35) {
        reads(worker, op);

    } else if (what < 60) {
        wants(worker, op);

    } else if (what < 85) {
        adopts(worker, op);

    } else if (what < 94) {
        decides(worker, op);

    } else {
        deletes(worker, op);
    }
}
