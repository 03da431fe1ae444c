
/* What goes by itself, and what goes for something else. */


#include "model.h"


/* what goes by itself */

static ngx_uint_t
entry_expired(entry_t *e)
{
    return e->state != NGX_COMPLETION_KEY_UNDERWAY && LEFT(e->expires) <= 0;
}


static void
sweep_keys(void)
{
    entry_t     *e, *first;
    u_char       md[NGX_COMPLETION_KEY_DIGEST];
    uint32_t     bucket;
    ngx_uint_t   i, n, before;

    for (n = 0; n < 2; n++) {
        first = NULL;

        for (i = 0; i < ref.nentries; i++) {
            e = &ref.entries[i];

            if (e->real && e->kind == KEY && !e->follower
                && (first == NULL || e->place < first->place))
            {
                first = e;
            }
        }

        if (first == NULL || !entry_expired(first)) {
            break;
        }

        gone(&first->real);
    }

    for (n = 0; n < 2; n++) {
        bucket = ref.sweep++ & zone->sh->mask;

        for (before = -1; /* void */ ; before = first->added) {
            first = NULL;

            for (i = 0; i < ref.nentries; i++) {
                e = &ref.entries[i];

                if (e->real == NULL || e->added >= before
                    || (first && e->added < first->added))
                {
                    continue;
                }

                digest(md, e->kind, e->name);

                if ((ngx_completion_key_hash(md) & zone->sh->mask) == bucket) {
                    first = e;
                }
            }

            if (first == NULL) {
                break;
            }

            if (entry_expired(first)) {
                gone(&first->real);
            }
        }
    }
}


static ngx_uint_t
outlived(record_t *r)
{
    return SINCE(r->created) > MS(zone->lifetime) + SKEW;
}


static ngx_uint_t
record_expired(record_t *r)
{
    if (r->deleted) {
        return outlived(r);
    }

    if (is_leased(r)) {
        return 0;
    }

    if (r->state == NGX_COMPLETION_RECORD_PENDING) {
        return outlived(r);
    }

    if (is_wanted(r)) {
        return 0;
    }

    if (r->state == NGX_COMPLETION_RECORD_FINAL) {
        return SINCE(r->ended) > MS(zone->retention)
               && SINCE(r->not_before) > READING;
    }

    return SINCE(r->created) > MINUTE + (r->doubts ? DOUBT_TIME : 0);
}


void
sweep_submits(ngx_uint_t n)
{
    submit_t    *s, *next, *least;
    ngx_uint_t   i, all = 0;

    for (i = 0; i < ref.nsubmits; i++) {
        all += (ref.submits[i].real != NULL);
    }

    for (n = ngx_min(n, all); n; n--) {
        next = NULL;
        least = NULL;

        for (i = 0; i < ref.nsubmits; i++) {
            s = &ref.submits[i];

            if (s->real == NULL) {
                continue;
            }

            if (least == NULL || s->lease < least->lease) {
                least = s;
            }

            if (s->lease > ref.swept
                && (next == NULL || s->lease < next->lease))
            {
                next = s;
            }
        }

        next = next ? next : least;
        ref.swept = next->lease;

        if (!submit_lives(next)) {
            orphaned(next);
        }
    }
}


void
expire(void)
{
    entry_t     *oldest;
    record_t    *r;
    ngx_uint_t   list, n;

    (void) collect();
    sweep_keys();

    for (n = 0;
         n < 2
         && followers(&oldest, 0) > ngx_completion_followers_max(zone->sh);
         n++)
    {
        unfollow(0);
    }

    for (list = 0; list <= DELETED; list++) {
        for (n = 0; n < 2 && list != CACHED; n++) {
            r = first_in(list);

            if (r == NULL || !record_expired(r)) {
                break;
            }

            remove_record(r);
        }
    }

    sweep_submits(2);
}


/* what goes for something else */

static void *
next_victim(ngx_uint_t list, ngx_uint_t wanted, ngx_uint_t *place)
{
    void        *thing = NULL;
    entry_t     *e;
    record_t    *r;
    ngx_uint_t   i, best = -1;

    for (i = 0; list == CACHED && i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real && e->kind != KEY && !e->follower && e->place < best
            && !is_awaited(e))
        {
            best = e->place;
            thing = e;
        }
    }

    for (i = 0; list != CACHED && i < ref.nrecords; i++) {
        r = &ref.records[i];

        if (r->real && list_of(r) == list && r->place < best && !is_leased(r)
            && (wanted || !is_wanted(r)))
        {
            best = r->place;
            thing = r;
        }
    }

    *place = best;

    return thing;
}


/* the place of the first, or 0, and how many there are */

static ngx_uint_t *
first_place(ngx_uint_t list, ngx_uint_t *n)
{
    ngx_uint_t  i, *place = NULL;

    *n = 0;

    for (i = 0; list == CACHED && i < ref.nentries; i++) {
        if (ref.entries[i].real && ref.entries[i].kind != KEY
            && !ref.entries[i].follower)
        {
            (*n)++;

            if (place == NULL || ref.entries[i].place < *place) {
                place = &ref.entries[i].place;
            }
        }
    }

    for (i = 0; list != CACHED && i < ref.nrecords; i++) {
        if (ref.records[i].real && list_of(&ref.records[i]) == list) {
            (*n)++;

            if (place == NULL || ref.records[i].place < *place) {
                place = &ref.records[i].place;
            }
        }
    }

    return place;
}


/* the first that may go; those before it are put behind all others */

static void *
victim(ngx_uint_t list, ngx_uint_t wanted, ngx_uint_t *looks)
{
    void        *thing;
    ngx_uint_t  *first, place, n, turns;

    thing = next_victim(list, wanted, &place);

    first = first_place(list, &n);

    if (n == 0) {
        return NULL;
    }

    if (thing == NULL) {
        turns = (LOOKS - *looks) % n;
        *looks = LOOKS;

        for ( /* void */ ; turns; turns--) {
            *first_place(list, &n) = ++ref.place;
        }

        return NULL;
    }

    for ( /* void */ ; *looks < LOOKS; (*looks)++) {
        first = first_place(list, &n);

        if (*first == place) {
            return thing;
        }

        *first = ++ref.place;
    }

    return NULL;
}


static ngx_uint_t
evict(ngx_uint_t *looks)
{
    void        *thing;
    entry_t     *oldest;
    record_t    *r;
    ngx_uint_t   list;

    if (followers(&oldest, -1)) {
        gone(&oldest->real);
        evicted[CACHED]++;
        return 1;
    }

    for (list = 0; list < LISTS; list++) {
        thing = victim(list, 0, &looks[list]);

        if (thing == NULL) {
            continue;
        }

        evicted[list]++;

        if (list == CACHED) {
            gone(&((entry_t *) thing)->real);
            return 1;
        }

        r = thing;

        if (list == RESULT) {
            forget_text(r);
            place(r);

        } else {
            remove_record(r);
        }

        return 1;
    }

    return 0;
}


/* whether so many find room, and whatever had to go has gone */

ngx_uint_t
take(ngx_uint_t n)
{
    ngx_uint_t  looks[LISTS];

    memset(looks, 0, sizeof(looks));

    while (!HAS_ROOM(n)) {
        if (!collect() && !evict(looks)) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
take_asked(void)
{
    record_t    *r;
    ngx_uint_t   looks = 0;

    if (take(1)) {
        return 1;
    }

    r = victim(PENDING, 1, &looks);

    if (r == NULL) {
        return 0;
    }

    remove_record(r);
    evicted[PENDING]++;

    return 1;
}


ngx_uint_t
take_follower(ngx_uint_t owner)
{
    entry_t     *oldest;
    ngx_uint_t   n;

    n = followers(&oldest, owner);

    if (n < ngx_completion_followers_max(zone->sh) && HAS_ROOM(1)) {
        return 1;
    }

    if (n == 0) {
        return 0;
    }

    unfollow(owner);

    return 1;
}
