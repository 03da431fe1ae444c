
/* Names, things, the room that they take, and starts. */


#include "model.h"


void
differs(int line, const char *what)
{
    printf("not ok 1 - the zone is as its model\n"
           "# MODEL_SEED=%lu MODEL_STEPS=%llu differs, at %s, line %d: %s\n"
           "1..1\n", seed, steps, doing, line, what);
    fflush(stdout);
    _exit(1);
}


/* names, as digests and ids */

void
digest(u_char *md, ngx_uint_t kind, ngx_uint_t n)
{
    memset(md, 0, NGX_COMPLETION_KEY_DIGEST);

    /* some of them stand in one bucket */

    md[0] = n % 5;
    md[4] = 1 + kind;
    md[5] = n;
}


ngx_str_t
id_of(ngx_uint_t op)
{
    ngx_str_t      id;

    static u_char  text[32];

    id.len = sprintf((char *) text, "op%lu", (unsigned long) op);
    id.data = text;

    return id;
}


ngx_uint_t
op_of(ngx_str_t *id)
{
    char  text[32];

    memcpy(text, id->data, id->len);
    text[id->len] = '\0';

    return strtoul(text + 2, NULL, 10);
}


uint32_t
hash_of(ngx_uint_t op)
{
    ngx_str_t  id = id_of(op);

    return ngx_completion_zone_hash(&id);
}


submit_t *
submit_of(uint64_t lease)
{
    ngx_uint_t  i;

    FIND(ref.submits, ref.nsubmits, i, ref.submits[i].lease == lease)

    return NULL;
}


record_t *
record_of(ngx_uint_t op)
{
    ngx_uint_t  i;

    FIND(ref.records, ref.nrecords, i, ref.records[i].op == op)

    return NULL;
}


ngx_uint_t
is_thing(void *real)
{
    ngx_uint_t  i;

    for (i = 0; i < ref.nentries; i++) {
        if (ref.entries[i].real == real) {
            return 1;
        }
    }

    for (i = 0; i < ref.nrecords; i++) {
        if (ref.records[i].real == real) {
            return 1;
        }
    }

    for (i = 0; i < ref.nsubmits; i++) {
        if (ref.submits[i].real == real) {
            return 1;
        }
    }

    return 0;
}


/* the next thing that went was this one; texts between are counted alone */

void
gone(void **real)
{
    /* one that came in this step is not known by where it stood */

    while (seen_freed < nfreed && *real != real && !is_thing(freed[seen_freed]))
    {
        seen_freed++;
    }

    AGREE(seen_freed < nfreed)
    AGREE(freed[seen_freed] == *real
          || (*real == real && !is_thing(freed[seen_freed])))

    seen_freed++;
    *real = NULL;
    ref.used -= NGX_COMPLETION_CHUNK;
}


void
tell(uint32_t hash)
{
    told[ntold++] = hash;
}


size_t
text_size(size_t length)
{
    return (length + NGX_COMPLETION_CHUNK_DATA - 1)
           / NGX_COMPLETION_CHUNK_DATA * NGX_COMPLETION_CHUNK;
}


/* a bit of it at once, the rest later */

void
free_text(size_t size)
{
    size_t  now;

    now = ngx_min(size, NGX_COMPLETION_CHUNKS_MAX * NGX_COMPLETION_CHUNK);
    ref.used -= now;

    if (size > now) {
        ref.waste[ref.nwaste++] = size - now;
    }
}


ngx_uint_t
collect(void)
{
    if (ref.nwaste == 0) {
        return 0;
    }

    free_text(ref.waste[--ref.nwaste]);

    return 1;
}


/*
 * Starts of the window that ends now: each by its own time, if as many as may
 * be are to be free; or as late as the zone may remember them.
 */

ngx_uint_t
counted(starts_t *s, ngx_msec_t window, ngx_uint_t most)
{
    ngx_msec_t  at;
    ngx_uint_t  i, n = 0, first;

    first = (s->n > STARTS) ? s->n - STARTS : 0;

    for (i = s->n; i > first; i--) {
        at = most ? s->at[(i - 1) % STARTS] : s->latest[(i - 1) % STARTS];

        if (SINCE(at) < (ngx_msec_int_t) window) {
            n++;

        } else if (SINCE(at) > (ngx_msec_int_t) window + MINUTE) {
            break;
        }
    }

    return n;
}


void
start(starts_t *s)
{
    ngx_msec_t  latest = ngx_current_msec;

    if (s->n) {
        latest = LATER(latest, s->latest[(s->n - 1) % STARTS]);
    }

    s->at[s->n % STARTS] = ngx_current_msec;
    s->latest[s->n % STARTS] = latest;
    s->n++;
}


/* how many are free: no more than that, or no fewer */

ngx_uint_t
free_starts(starts_t *s, ngx_completion_rate_t *rates, ngx_uint_t n,
    ngx_uint_t most)
{
    ngx_uint_t  i, left = NGX_MAX_UINT32_VALUE, taken;

    for (i = 0; i < n; i++) {

        if (rates[i].n == 0) {
            continue;
        }

        taken = counted(s, WINDOW(rates[i].unit)
                           + (most ? 0 : LATE(rates[i].unit)), most);
        left = ngx_min(left, rates[i].n - ngx_min(rates[i].n, taken));
    }

    return left;
}
