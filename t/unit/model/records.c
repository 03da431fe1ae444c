
/* Operations: what polls bring, and when the next one is due. */


#include "model.h"


/* records */

ngx_uint_t
is_leased(record_t *r)
{
    return r->lease && LEFT(r->end) > 0;
}


ngx_uint_t
is_wanted(record_t *r)
{
    return LEFT(r->wanted) > 0;
}


static ngx_uint_t
is_makeshift(record_t *r)
{
    return r->state == NGX_COMPLETION_RECORD_FINAL
           && (r->verdict == NGX_COMPLETION_TOO_LARGE
               || r->verdict == NGX_COMPLETION_UNREADABLE);
}


ngx_uint_t
is_complete(record_t *r)
{
    return r->state == NGX_COMPLETION_RECORD_MISSING
           || (r->state == NGX_COMPLETION_RECORD_FINAL
               && (r->kept || (r->decided && !is_makeshift(r))));
}


ngx_uint_t
list_of(record_t *r)
{
    if (r->deleted) {
        return DELETED;
    }

    switch (r->state) {

    case NGX_COMPLETION_RECORD_FINAL:
        return r->kept ? RESULT : FINISHED;

    case NGX_COMPLETION_RECORD_PENDING:
        return PENDING;

    default:
        return MISSING;
    }
}


void
place(record_t *r)
{
    r->place = ++ref.place;
}


record_t *
first_in(ngx_uint_t list)
{
    record_t    *r, *first = NULL;
    ngx_uint_t   i;

    for (i = 0; i < ref.nrecords; i++) {
        r = &ref.records[i];

        if (r->real && list_of(r) == list
            && (first == NULL || r->place < first->place))
        {
            first = r;
        }
    }

    return first;
}


void
forget_text(record_t *r)
{
    free_text(r->kept ? text_size(r->length) : 0);
    r->kept = 0;
}


void
forget_draft(record_t *r)
{
    free_text(r->draft);
    r->draft = 0;
}


void
remove_record(record_t *r)
{
    forget_text(r);
    forget_draft(r);
    gone(&r->real);
}


record_t *
add_record(ngx_uint_t op, time_t submitted,
    ngx_completion_record_state_e state)
{
    record_t    *r;
    ngx_uint_t   i;

    NEW(ref.records, ref.nrecords, i)

    r = &ref.records[i];
    r->real = r;
    r->op = op;
    r->submitted = submitted;
    r->state = state;
    r->created = ngx_current_msec;
    r->sent = ngx_current_msec;
    r->asked = ngx_current_msec;
    r->wanted = ngx_current_msec;
    r->not_before = ngx_current_msec;
    place(r);

    ref.used += NGX_COMPLETION_CHUNK;

    return r;
}


/* at some time between the two */

void
schedule(record_t *r, ngx_msec_t from, ngx_msec_t to)
{
    r->scheduled = 1;
    r->called = 0;
    r->urgent = is_wanted(r);
    r->due = from;
    r->due_max = to;
}


void
unschedule(record_t *r)
{
    r->scheduled = 0;
    r->called = 0;
    r->urgent = 0;
}


/* until its poll is sent, or a second is over */

void
call_record(record_t *r)
{
    schedule(r, ngx_current_msec + CALL_TIME, ngx_current_msec + CALL_TIME);
    r->called = 1;
    r->urgent = 0;
}


/* how many calls are void; the first of the others, unless they are too many */

ngx_uint_t
lapse(record_t **first)
{
    record_t    *r;
    ngx_uint_t   i, n;

    for (n = 0; n < CALLS; n++) {
        *first = NULL;

        for (i = 0; i < ref.nrecords; i++) {
            r = &ref.records[i];

            if (r->real && r->called
                && (*first == NULL
                    || (ngx_msec_int_t) (r->due - (*first)->due) < 0))
            {
                *first = r;
            }
        }

        if (*first == NULL || LEFT((*first)->due) > 0) {
            return n;
        }

        schedule(*first, (*first)->end, (*first)->end);
    }

    *first = NULL;

    return n;
}


static void
plan(record_t *r, ngx_msec_t from)
{
    ngx_msec_int_t  age = from - r->created;

    if ((ngx_msec_t) ngx_max(age, 0) >= zone->deadline) {
        unschedule(r);
        return;
    }

    schedule(r, LATER(r->not_before, from + zone->poll_min),
             LATER(r->not_before, from + zone->poll_max));
}


void
want(record_t *r, ngx_msec_t ms)
{
    ngx_msec_int_t  left;

    r->wanted = LATER(ngx_current_msec + ms, r->wanted);

    if (r->state == NGX_COMPLETION_RECORD_PENDING) {
        place(r);
    }

    if (is_leased(r) || is_complete(r)) {
        return;
    }

    if (r->scheduled) {
        if (r->urgent) {
            return;
        }

        if (r->state == NGX_COMPLETION_RECORD_PENDING) {
            plan(r, r->asked);

        } else {
            schedule(r, r->due, r->due_max);
        }

    } else if (LEFT(r->not_before) <= 0
               || r->failures < NGX_COMPLETION_FAILURES)
    {
        left = LEFT(r->not_before);

        if (r->state == NGX_COMPLETION_RECORD_PENDING) {
            left = ngx_max(left, LEFT(r->asked + zone->poll_max));
        }

        left = ngx_max(left, 0);
        schedule(r, ngx_current_msec + left, ngx_current_msec + left);
    }
}


static ngx_int_t
changed(record_t *r)
{
    r->version = ++ref.sequence;
    tell(hash_of(r->op));

    return is_wanted(r) ? NGX_OK : NGX_DONE;
}


static ngx_int_t
answered(record_t *r)
{
    ngx_int_t  rc = changed(r);

    r->wanted = ngx_current_msec;

    return rc;
}


void
ended(record_t *r, ngx_completion_state_e verdict)
{
    entry_t     *e;
    ngx_uint_t   i;

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real && e->led && e->op == r->op) {

            if (e->verdict == NGX_COMPLETION_PENDING) {
                e->ended = ngx_current_msec;
            }

            e->verdict = verdict;
        }
    }
}


static ngx_uint_t
end_record(record_t *r, ngx_completion_state_e verdict)
{
    ngx_uint_t  first = (r->state != NGX_COMPLETION_RECORD_FINAL);

    r->state = NGX_COMPLETION_RECORD_FINAL;
    r->verdict = verdict;
    r->ended = ngx_current_msec;

    ended(r, verdict);
    forget_text(r);

    finished[verdict] += (first && r->ours);

    return first && r->ours;
}


ngx_int_t
settle_record(record_t *r)
{
    r->lease = 0;
    forget_draft(r);
    r->decided = 1;
    unschedule(r);
    place(r);

    return answered(r);
}


ngx_int_t
decide(record_t *r, ngx_completion_state_e verdict)
{
    (void) end_record(r, verdict);

    return settle_record(r);
}


static ngx_int_t
failed(record_t *r, ngx_completion_update_t *u)
{
    ngx_int_t                    rc = NGX_DONE;
    ngx_msec_t                   backoff, least;
    ngx_completion_record_sh_t  *real = r->real;

    r->failures += (r->failures < 16);
    u->failures = r->failures;

    if (is_makeshift(r)) {
        r->not_before = ngx_current_msec + zone->poll_max;
        unschedule(r);
        return rc;
    }

    /* half of it, and some more by chance */

    backoff = ngx_max(zone->poll_min, BACKOFF);
    backoff = ngx_min(backoff << (r->failures - 1), zone->poll_max);
    least = ngx_max(backoff / 2, u->gap);
    backoff = ngx_max(backoff, u->gap);

    r->not_before = real->not_before;
    AGREE(LEFT(r->not_before) >= (ngx_msec_int_t) least
          && LEFT(r->not_before) <= (ngx_msec_int_t) backoff)

    if (r->state == NGX_COMPLETION_RECORD_PENDING) {
        plan(r, ngx_current_msec);
        return rc;
    }

    if (r->failures < NGX_COMPLETION_FAILURES) {
        schedule(r, r->not_before, r->not_before);
        return rc;
    }

    unschedule(r);

    return changed(r);
}


static ngx_uint_t
is_doubted(record_t *r, ngx_completion_state_e verdict)
{
    if (r->state != NGX_COMPLETION_RECORD_FINAL && r->verdict != verdict) {
        r->verdict = verdict;
        r->doubts = 0;
    }

    if (r->doubts == 0) {
        r->doubted = ngx_current_msec;
    }

    r->doubts += (r->doubts < NGX_COMPLETION_DOUBTS);

    return r->doubts == NGX_COMPLETION_DOUBTS
           && SINCE(r->doubted) >= DOUBT_TIME;
}


static ngx_int_t
not_found(record_t *r, ngx_completion_update_t *u)
{
    ngx_int_t  rc;

    if (is_complete(r) || is_makeshift(r)) {
        return failed(r, u);
    }

    if (r->state == NGX_COMPLETION_RECORD_UNKNOWN) {
        rc = answered(r);
        r->state = NGX_COMPLETION_RECORD_MISSING;
        r->created = ngx_current_msec;
        unschedule(r);
        ended(r, NGX_COMPLETION_LOST);
        place(r);
        return rc;
    }

    if (is_doubted(r, NGX_COMPLETION_LOST)) {
        u->ended = 1;
        return decide(r, NGX_COMPLETION_LOST);
    }

    if (r->state == NGX_COMPLETION_RECORD_FINAL) {
        return failed(r, u);
    }

    r->asked = r->sent;
    r->not_before = ngx_current_msec + u->gap;
    plan(r, ngx_current_msec);

    return NGX_DONE;
}


static ngx_int_t
unusable(record_t *r, ngx_completion_update_t *u)
{
    ngx_int_t  rc;

    if (r->state == NGX_COMPLETION_RECORD_FINAL
        || (!is_doubted(r, u->state) && u->state != NGX_COMPLETION_TOO_LARGE))
    {
        return failed(r, u);
    }

    u->ended = 1;
    rc = decide(r, u->state);
    r->ours = 0;
    r->failures = NGX_COMPLETION_FAILURES;
    r->not_before = ngx_current_msec + zone->poll_max;

    return rc;
}


static void
keep(record_t *r, ngx_completion_update_t *u, ngx_uint_t drafted)
{
    if (drafted) {
        forget_text(r);
        r->kept = 1;
        r->length = u->document.len;
        r->digest = u->digest;
        ref.used += text_size(r->length) - r->draft;
        r->draft = 0;
    }
}


static ngx_int_t
pending(record_t *r, ngx_completion_update_t *u, ngx_uint_t drafted)
{
    time_t      age;
    ngx_uint_t  news;

    news = (r->state != NGX_COMPLETION_RECORD_PENDING || r->version == 0
            || !r->kept || r->digest != u->digest
            || r->length != u->document.len);

    if (r->state != NGX_COMPLETION_RECORD_PENDING) {
        r->state = NGX_COMPLETION_RECORD_PENDING;
        age = ngx_time() - r->submitted;
        r->created = r->sent - ngx_max(age, 0) * 1000;
        place(r);
    }

    keep(r, u, drafted);

    r->asked = r->sent;
    r->not_before = ngx_current_msec + u->gap;
    r->doubts = 0;
    r->failures = 0;
    plan(r, ngx_current_msec);

    return news ? changed(r) : NGX_DONE;
}


static ngx_int_t
final(record_t *r, ngx_completion_update_t *u, ngx_uint_t drafted)
{
    ngx_int_t  rc = answered(r);

    if (r->state != NGX_COMPLETION_RECORD_FINAL) {
        u->ended = end_record(r, u->state);
    }

    keep(r, u, drafted);

    r->digest = u->digest;
    unschedule(r);
    place(r);

    r->not_before = ngx_current_msec + (r->kept ? 0 : BACKOFF);
    r->doubts = 0;
    r->failures = 0;

    return rc;
}


ngx_int_t
publish(record_t *r, ngx_completion_update_t *u, ngx_uint_t drafted)
{
    ngx_int_t  rc;

    r->lease = 0;

    if (u->refused) {

        if (ref.refusals++ == 0) {
            ref.refused = ngx_current_msec;
        }

        u->refusals = ref.refusals;

    } else if (u->outcome == NGX_COMPLETION_OK
               || u->outcome == NGX_COMPLETION_OPERATION_NOT_FOUND)
    {
        u->refusals = ref.refusals && SINCE(ref.refused) >= DOUBT_TIME;
        ref.refusals = 0;
    }

    if (u->outcome == NGX_COMPLETION_OK && is_makeshift(r)) {
        r->state = NGX_COMPLETION_RECORD_UNKNOWN;
        r->decided = 0;
    }

    if (u->outcome == NGX_COMPLETION_OPERATION_NOT_FOUND) {
        rc = not_found(r, u);

    } else if (u->outcome != NGX_COMPLETION_OK) {
        rc = (u->state != NGX_COMPLETION_PENDING) ? unusable(r, u)
                                                  : failed(r, u);

    } else if (u->state != NGX_COMPLETION_PENDING) {
        rc = final(r, u, drafted);

    } else if (r->state != NGX_COMPLETION_RECORD_FINAL) {
        rc = pending(r, u, drafted);

    } else {
        rc = failed(r, u);
    }

    forget_draft(r);

    return rc;
}


/* the schedule */

ngx_uint_t
due(ngx_uint_t urgent, record_t **first)
{
    record_t    *r;
    ngx_uint_t   i;

    *first = NULL;

    for (i = 0; i < ref.nrecords; i++) {
        r = &ref.records[i];

        if (r->real && r->scheduled && !r->called && r->urgent == urgent
            && (*first == NULL
                || (ngx_msec_int_t) (r->due - (*first)->due) < 0))
        {
            *first = r;
        }
    }

    return *first && LEFT((*first)->due) <= 0;
}


/* whether the quota may keep this poll back, and whether it must */

ngx_uint_t
held_up(ngx_uint_t urgent, ngx_uint_t may)
{
    ngx_uint_t              i, n, taken, called = 0;
    ngx_msec_t              window;
    ngx_completion_rate_t  *rate;

    rate = zone->quotas[NGX_COMPLETION_KIND_POLL].rates;

    for (i = 0; i < ref.nrecords; i++) {
        called += (ref.records[i].real && ref.records[i].called);
    }

    if (rate->n == 0) {
        return 0;
    }

    if (poll_starts(!may) <= called) {
        return 1;
    }

    if (urgent) {
        return 0;
    }

    n = (rate->n + 3) / 4;
    window = WINDOW(rate->unit) * n / rate->n;
    taken = counted(&polls, window + (may ? LATE(rate->unit) : 0), !may);

    return taken + called >= n;
}
