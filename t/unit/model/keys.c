
/* Keys: what makes the same request cost once. */


#include "model.h"


/* keys */

entry_t *
latest(ngx_uint_t kind, ngx_uint_t name, ngx_uint_t before)
{
    entry_t     *e, *found = NULL;
    ngx_uint_t   i;

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real && e->kind == kind && e->name == name && e->added < before
            && (found == NULL || e->added > found->added))
        {
            found = e;
        }
    }

    return found;
}


static entry_t *
latest_of(uint64_t lease)
{
    entry_t     *e, *found = NULL;
    ngx_uint_t   i;

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real && e->state == NGX_COMPLETION_KEY_UNDERWAY
            && e->lease == lease
            && (found == NULL || e->added > found->added))
        {
            found = e;
        }
    }

    return found;
}


ngx_uint_t
is_refused(entry_t *e)
{
    return e->state == NGX_COMPLETION_KEY_ENDED
           && e->outcome != NGX_COMPLETION_OK
           && (e->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN || !e->doubted);
}


ngx_uint_t
is_awaited(entry_t *e)
{
    if (e->state == NGX_COMPLETION_KEY_UNDERWAY) {
        return 1;
    }

    return is_refused(e) ? LEFT(e->expires) > 0
                         : e->joined && SINCE(e->known) <= NEWS_TIME;
}


static ngx_uint_t
is_forgotten(entry_t *e)
{
    record_t  *r;

    r = (e->outcome == NGX_COMPLETION_OK) ? record_of(e->op) : NULL;

    return r && r->deleted;
}


entry_t *
match(ngx_uint_t kind, ngx_uint_t name, uint64_t lease)
{
    entry_t  *e, *found = NULL;

    for (e = latest(kind, name, -1); e; e = latest(kind, name, e->added)) {

        if (lease && (uint32_t) e->lease == (uint32_t) lease) {
            return e;
        }

        if (found == NULL && !is_refused(e)) {
            found = e;
        }
    }

    return found;
}


ngx_uint_t
followers(entry_t **oldest, ngx_uint_t owner)
{
    entry_t     *e, *own = NULL, *any = NULL;
    ngx_uint_t   i, n = 0;

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real == NULL || !e->follower) {
            continue;
        }

        n++;

        if (any == NULL || e->place < any->place) {
            any = e;
        }

        if (e->owner == owner && (own == NULL || e->place < own->place)) {
            own = e;
        }
    }

    *oldest = own ? own : any;

    return n;
}


static void
follows(entry_t *e, ngx_uint_t owner)
{
    e->follower = 1;
    e->owner = owner;
    e->place = ++ref.place;
}


void
unfollow(ngx_uint_t owner)
{
    entry_t  *oldest;

    followers(&oldest, owner);
    gone(&oldest->real);
    evicted[CACHED]++;
}


void
lead(entry_t *e, ngx_uint_t op, time_t submitted)
{
    e->state = NGX_COMPLETION_KEY_ENDED;
    e->outcome = NGX_COMPLETION_OK;
    e->known = ngx_current_msec;
    e->op = op;
    e->submitted = submitted;

    if (e->kind != KEY) {
        e->led = 1;
        e->verdict = NGX_COMPLETION_PENDING;
    }
}


/* a new one; where it stands is found when all is over */

entry_t *
add_entry(ngx_uint_t kind, ngx_uint_t name, ngx_completion_key_t *key,
    ngx_uint_t ask)
{
    entry_t     *e;
    ngx_uint_t   i;

    NEW(ref.entries, ref.nentries, i)

    e = &ref.entries[i];
    e->real = e;
    e->kind = kind;
    e->name = name;
    e->ask = ask;
    e->added = ++ref.added;
    e->place = ++ref.place;
    e->known = ngx_current_msec;
    e->expires = ngx_current_msec + MS(key->ttl);

    ref.used += NGX_COMPLETION_CHUNK;

    return e;
}


/* how it ended, for all that go by it */

void
settle(submit_t *s, ngx_completion_found_t *end, ngx_uint_t op)
{
    entry_t  *e;
    u_char    md[NGX_COMPLETION_KEY_DIGEST];

    while ((e = latest_of(s->lease)) != NULL) {
        digest(md, e->kind, e->name);
        tell(ngx_completion_key_hash(md));

        e->state = end->state;
        e->outcome = end->outcome;
        e->known = ngx_current_msec;

        if (end->state == NGX_COMPLETION_KEY_NONE) {
            gone(&e->real);
            continue;
        }

        if (end->outcome == NGX_COMPLETION_OK) {
            lead(e, op, end->id.submitted);

        } else {
            e->retry_after = end->retry_after;
            e->ended = ngx_current_msec;
        }

        if (is_refused(e)) {

            if (!e->joined) {
                gone(&e->real);
                continue;
            }

            e->expires = ngx_current_msec + NEWS_TIME;

            if (e->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN && !e->follower) {
                follows(e, 0);
            }

        } else if (e->joined) {
            e->expires = LATER(e->expires, ngx_current_msec + NEWS_TIME);
        }
    }
}


void
orphaned(submit_t *s)
{
    ngx_completion_found_t  end;

    memset(&end, 0, sizeof(end));

    if (s->turn == NGX_COMPLETION_TURN_SENT) {
        end.state = NGX_COMPLETION_KEY_ENDED;
        end.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    }

    settle(s, &end, 0);
    gone(&s->real);
}


/* keys */

static void
say(entry_t *e, ngx_completion_found_t *found, ngx_uint_t *op)
{
    found->state = e->state;

    if (e->state == NGX_COMPLETION_KEY_UNDERWAY) {
        found->lease = e->lease;
        e->joined = 1;
        return;
    }

    found->outcome = e->outcome;

    if (e->outcome != NGX_COMPLETION_OK) {
        found->retry_after = e->retry_after;
        return;
    }

    *op = e->op;
    found->id.submitted = e->submitted;
    found->id.shared = e->shared;
}


static entry_t *
find(ngx_uint_t kind, ngx_uint_t name, uint64_t lease)
{
    entry_t   *e;
    submit_t  *s;

    for ( ;; ) {
        e = match(kind, name, lease);

        if (e == NULL) {
            return NULL;
        }

        if (e->state == NGX_COMPLETION_KEY_UNDERWAY) {
            s = submit_of(e->lease);

            if (submit_leased(s)) {
                return e;
            }

            orphaned(s);
            continue;
        }

        if (LEFT(e->expires) > 0 && !is_forgotten(e)) {
            return e;
        }

        gone(&e->real);

        if (lease == 0) {
            return NULL;
        }

        lease = 0;
    }
}


static ngx_uint_t
is_fresh(entry_t *e, time_t ttl)
{
    if (e->state == NGX_COMPLETION_KEY_UNDERWAY
        || (e->outcome == NGX_COMPLETION_OK
            && e->verdict == NGX_COMPLETION_PENDING))
    {
        return SINCE(e->known) < (ngx_msec_int_t) zone->deadline;
    }

    return e->outcome != NGX_COMPLETION_OK
           || ((e->verdict == NGX_COMPLETION_COMPLETED
                || e->verdict == NGX_COMPLETION_TOOL_CALLS)
               && SINCE(e->ended) <= MS(ttl));
}


static ngx_uint_t
pends(entry_t *e)
{
    return e->outcome == NGX_COMPLETION_OK
           && e->verdict == NGX_COMPLETION_PENDING;
}


static ngx_uint_t
orphan_lives(entry_t *e, time_t ttl)
{
    return e->state == NGX_COMPLETION_KEY_UNDERWAY
           || (!is_refused(e) && LEFT(e->expires) > 0 && !is_forgotten(e)
               && (pends(e) || SINCE(e->ended) <= MS(ttl)));
}


static void
take_over(request_t *q, ngx_completion_found_t *found, ngx_uint_t *op)
{
    entry_t   *e, *free = NULL, *held = NULL;
    submit_t  *s;

    if (q->keys.orphan.ttl == 0) {
        return;
    }

    /* whose senders have died */

    for (e = latest(ORPHAN, q->names[ORPHAN], -1);
         e;
         e = latest(ORPHAN, q->names[ORPHAN], e->added))
    {
        s = (e->state == NGX_COMPLETION_KEY_UNDERWAY) ? submit_of(e->lease)
                                                      : NULL;
        if (s && !submit_leased(s)) {
            orphaned(s);
        }
    }

    for (e = latest(ORPHAN, q->names[ORPHAN], -1);
         e;
         e = latest(ORPHAN, q->names[ORPHAN], e->added))
    {
        if (q->joined) {
            free = ((uint32_t) e->lease == (uint32_t) q->joined) ? e : free;

        } else if (orphan_lives(e, q->keys.orphan.ttl)) {

            if (e->holders == 0) {
                free = e;

            } else if (q->keys.repeated) {
                held = e;
            }
        }
    }

    e = free ? free : held;

    if (e == NULL) {
        return;
    }

    e->holders += (q->joined == 0);
    say(e, found, op);
    found->held = (uint32_t) e->lease;
    found->pending = (e->state == NGX_COMPLETION_KEY_UNDERWAY
                      || pends(e));
}


static void
follow(request_t *q, entry_t *cached)
{
    entry_t     *e, was;
    ngx_uint_t   i;

    if (!take_follower(q->keys.owner)) {
        return;
    }

    was = *cached;
    e = add_entry(KEY, q->names[KEY], &q->keys.idempotency, q->ask);
    i = e->added;

    e->state = was.state;
    e->outcome = was.outcome;
    e->lease = was.lease;
    e->op = was.op;
    e->submitted = was.submitted;
    e->retry_after = was.retry_after;
    e->verdict = was.verdict;
    e->ended = was.ended;
    e->holders = was.holders;
    e->shared = was.shared;
    e->doubted = 1;
    e->joined = (was.state == NGX_COMPLETION_KEY_UNDERWAY);
    e->added = i;
    follows(e, q->keys.owner);
}


void
look(request_t *q, ngx_completion_found_t *found, ngx_uint_t *op)
{
    entry_t  *e, *cached;

    memset(found, 0, sizeof(*found));
    *op = 0;

    e = q->keys.idempotency.ttl ? find(KEY, q->names[KEY], q->joined) : NULL;

    if (e) {
        if (e->ask != q->ask) {
            found->state = NGX_COMPLETION_KEY_ENDED;
            found->outcome = NGX_COMPLETION_IDEMPOTENCY_MISMATCH;
            return;
        }

        /* one that followed, and was in doubt, goes by the cache */

        if (e->follower && e->state == NGX_COMPLETION_KEY_ENDED
            && e->outcome == NGX_COMPLETION_OUTCOME_UNKNOWN
            && q->keys.cache.ttl)
        {
            cached = match(CACHE, q->names[CACHE], (uint32_t) e->lease);

            if (cached && (uint32_t) cached->lease == (uint32_t) e->lease
                && cached->state == NGX_COMPLETION_KEY_ENDED
                && cached->outcome == NGX_COMPLETION_OK)
            {
                lead(e, cached->op, cached->submitted);
            }
        }

        say(e, found, op);
        found->replayed = 1;
        return;
    }

    e = q->keys.cache.ttl ? find(CACHE, q->names[CACHE], q->joined) : NULL;

    if (e == NULL) {
        take_over(q, found, op);
        return;
    }

    if (q->joined == 0 && !is_fresh(e, q->keys.cache.ttl)) {

        if (!is_awaited(e)) {
            gone(&e->real);

        } else if (LEFT(e->expires) > NEWS_TIME) {
            e->expires = ngx_current_msec + NEWS_TIME;
        }

        return;
    }

    if (!e->follower) {
        e->place = ++ref.place;
    }

    say(e, found, op);

    if (q->keys.idempotency.ttl && !is_refused(e)
        && !(q->joined && (uint32_t) e->lease == (uint32_t) q->joined))
    {
        follow(q, e);
    }
}


/* of one that was given up, and has heard of its end */

entry_t *
doubted(request_t *q, ngx_uint_t kind, time_t ttl)
{
    entry_t  *e;

    e = ttl ? match(kind, q->names[kind], q->lease) : NULL;

    return (e && (uint32_t) e->lease == (uint32_t) q->lease
            && e->state == NGX_COMPLETION_KEY_ENDED
            && e->outcome == NGX_COMPLETION_OUTCOME_UNKNOWN) ? e : NULL;
}
