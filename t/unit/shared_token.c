
/* The token that workers share: what each of them has, and is told of it. */


#include "tap.h"
#include "store_shim.h"

#include "../../src/store/ngx_completion_zone_sh.h"


#define LEASE  10000
#define HOUR   3600000
#define PAUSE  500         /* behind a token */

#define time_passes(ms)  ngx_current_msec += (ms)


static ngx_completion_zone_t        *zone;

/* two workers' holds, and their memory */
static ngx_completion_zone_token_t   a, b;
static u_char                        a_buffer[16384], b_buffer[16384];

static ngx_uint_t                    freed, dirty;


static void
new_worker(ngx_completion_zone_token_t *token, u_char *buffer)
{
    memset(token, 0, sizeof(*token));
    memset(buffer, 0, 16384);

    token->source[0] = 1;
    token->key[0] = 2;
    token->lease_time = LEASE;
    token->buffer = buffer;
    token->size = 16384;
}


static void
new_zone(void)
{
    zone = shim_zone(131072);
    zone->poll_rate.n = 50;
    zone->poll_rate.unit = 1000;
    zone->shm_zone->init(zone->shm_zone, NULL);

    new_worker(&a, a_buffer);
    new_worker(&b, b_buffer);
}


static ngx_int_t
store(ngx_completion_zone_token_t *token, const char *value, ngx_msec_t life,
    ngx_msec_t renew)
{
    ngx_str_t  text = str(value);

    return ngx_completion_zone_token_store(zone, token, &text, life, renew);
}


static int
has(ngx_completion_zone_token_t *token, const char *value)
{
    return token->len == strlen(value)
           && memcmp(token->buffer, value, token->len) == 0;
}


static void
test_shared(void)
{
    uint64_t  generation, lease;

    new_zone();

    is_int(ngx_completion_zone_token(zone, &a), NGX_AGAIN, "no token yet");
    ok(a.lease != 0, "the first who asks is to get one");
    is_int(ngx_completion_zone_token(zone, &b), NGX_AGAIN, "another one");
    ok(b.lease == 0 && b.wait == 0, "waits for it");
    is_int(store(&b, "forged", HOUR, HOUR), NGX_DECLINED,
           "and cannot store any");

    lease = a.lease;
    is_int(ngx_completion_zone_token(zone, &a), NGX_AGAIN,
           "who asks twice is no one else");
    is_int(a.lease, 0, "and gets no second lease");
    a.lease = lease;

    is_int(store(&a, "t1.first", 2 * HOUR, HOUR), NGX_OK, "it is stored");
    is_int(a.lease, 0, "which ends the lease");

    is_int(ngx_completion_zone_token(zone, &b), NGX_OK, "the other one");
    ok(has(&b, "t1.first") && b.generation && b.lease == 0, "has it");

    generation = b.generation;
    b.buffer[0] = 'X';
    ngx_completion_zone_token(zone, &b);
    ok(b.buffer[0] == 'X' && b.generation == generation,
       "what is there is not copied again");

    /* from another account, or service */

    time_passes(PAUSE);
    new_worker(&a, a_buffer);
    a.source[0] = 9;
    is_int(ngx_completion_zone_token(zone, &a), NGX_AGAIN,
           "another source's token serves nobody");
    ok(a.lease && a.len == 0, "who gets one of its own");
    ngx_completion_zone_token_yield(zone, &a);

    new_worker(&a, a_buffer);
    a.size = 7;
    is_int(ngx_completion_zone_token(zone, &a), NGX_AGAIN,
           "nor does one that is too long");
}


static void
test_renewal(void)
{
    new_zone();
    ngx_completion_zone_token(zone, &a);
    store(&a, "t1.first", 2 * HOUR, HOUR);

    time_passes(HOUR - 1);
    ngx_completion_zone_token(zone, &a);
    is_int(a.lease, 0, "before its time nobody renews it");

    time_passes(1);
    is_int(ngx_completion_zone_token(zone, &a), NGX_OK, "it serves on");
    ok(a.lease != 0, "while one renews it");
    ngx_completion_zone_token(zone, &b);
    ok(b.lease == 0 && has(&b, "t1.first"), "and nobody else");

    time_passes(LEASE);
    is_int(ngx_completion_zone_token(zone, &b), NGX_OK, "that one is gone");
    ok(b.lease != 0, "another takes over");
    is_int(store(&a, "t1.late", HOUR, HOUR), NGX_DECLINED,
           "and it is too late for the first");

    is_int(store(&b, "t1.2", 2 * HOUR, HOUR), NGX_OK, "a new one, shorter");
    ngx_completion_zone_token(zone, &b);
    ok(has(&b, "t1.2")
       && memcmp(b_buffer, "t1.2\0\0\0\0", 8) == 0,
       "nothing is left of the first in the copy");

    time_passes(2 * HOUR - 1);
    is_int(ngx_completion_zone_token(zone, &a), NGX_OK, "to its last ms");
    time_passes(1);
    is_int(ngx_completion_zone_token(zone, &b), NGX_AGAIN, "then no more");
}


static void
test_long(void)
{
    char        text[16385];
    size_t      i, used;
    ngx_str_t   value;

    for (i = 0; i < sizeof(text); i++) {
        text[i] = '!' + i % 90;
    }

    new_zone();
    used = shim_slab_used;
    value.data = (u_char *) text;

    for (value.len = 16384; value.len > 1; value.len /= 4) {
        time_passes(PAUSE);
        ngx_completion_zone_token(zone, &a);
        ngx_completion_zone_token_store(zone, &a, &value, HOUR, 0);
        ngx_completion_zone_token(zone, &b);

        ok(b.len == value.len && memcmp(b.buffer, text, b.len) == 0,
           "a long one comes back as it was");
        ngx_completion_zone_token_yield(zone, &b);
    }

    is_int(shim_slab_used, used + NGX_COMPLETION_CHUNK, "in its room only");
}


static void
test_failures(void)
{
    int         bad = 0;
    size_t      i;
    ngx_msec_t  pause, first;

    new_zone();

    pause = 7;
    is_int(ngx_completion_zone_token_failed(zone, &a, 1, &pause), NGX_DONE,
           "who has no lease cannot fail");
    ngx_completion_zone_token(zone, &a);
    ok(a.lease && pause == 7, "nobody waits for that");

    is_int(ngx_completion_zone_token_failed(zone, &a, 1, &pause), NGX_OK,
           "the first failure is logged");
    ok(pause >= 250 && pause < 500, "the next try is soon");

    is_int(ngx_completion_zone_token(zone, &b), NGX_AGAIN, "not at once");
    ok(b.lease == 0 && b.wait == pause, "but then");

    b.key[0] = 3;
    b.untried = 1;
    ngx_completion_zone_token(zone, &b);
    ok(b.lease != 0, "a new key does not wait");
    ngx_completion_zone_token_yield(zone, &b);
    b.key[0] = 2;

    time_passes(pause);
    ngx_completion_zone_token(zone, &b);
    is_int(ngx_completion_zone_token_failed(zone, &b, 1, &pause), NGX_DONE,
           "the same again is not");
    ok(pause >= 500 && pause < 1000, "twice as long");

    time_passes(pause);
    ngx_completion_zone_token(zone, &b);
    is_int(ngx_completion_zone_token_failed(zone, &b, 2, &pause), NGX_OK,
           "another reason is");

    for (i = 0, first = 2000; i < 80; i++) {
        time_passes(pause);
        ngx_completion_zone_token(zone, &a);
        ngx_completion_zone_token_failed(zone, &a, 2, &pause);

        bad += (pause < first || pause >= 2 * first);
        first = ngx_min(2 * first, 30000);
    }

    ok(!bad, "twice as long each time, up to a minute");

    time_passes(pause);
    ngx_completion_zone_token(zone, &a);
    is_int(store(&a, "t1.9", HOUR, 0), NGX_DONE, "the end of it is told");

    time_passes(PAUSE);
    ngx_completion_zone_token(zone, &a);
    is_int(store(&a, "t1.9", HOUR, 0), NGX_OK, "once");

    time_passes(PAUSE);
    ngx_completion_zone_token(zone, &a);
    is_int(ngx_completion_zone_token_failed(zone, &a, 2, &pause), NGX_OK,
           "and the next failure is a first one");
    ok(pause < 500, "as soon");
}


static void
test_yield(void)
{
    new_zone();

    ngx_completion_zone_token(zone, &a);
    b.lease = a.lease + 1;
    ngx_completion_zone_token_yield(zone, &b);
    ngx_completion_zone_token(zone, &b);
    is_int(b.lease, 0, "one's lease is not another's to give back");

    ngx_completion_zone_token_yield(zone, &a);
    is_int(a.lease, 0, "its own is");
    ngx_completion_zone_token(zone, &b);
    ok(b.lease != 0, "and the other one has it at once");
}


static void
test_refused(void)
{
    size_t      i;
    uint64_t    first;
    ngx_msec_t  gap;

    new_zone();
    ngx_completion_zone_token(zone, &a);
    store(&a, "t1.first", HOUR, HOUR);
    ngx_completion_zone_token(zone, &a);
    first = a.generation;

    is_int(ngx_completion_zone_token_refused(zone, &a, first), NGX_OK,
           "upstream refuses it");
    is_int(ngx_completion_zone_token(zone, &b), NGX_AGAIN, "it is dropped");
    ok(b.lease != 0, "and another one got");

    /* the refusal came while one was being got already */

    store(&b, "t1.2", HOUR, 0);
    ngx_completion_zone_token(zone, &b);
    is_int(ngx_completion_zone_token_refused(zone, &a, first), NGX_OK,
           "of what is gone already");
    is_int(ngx_completion_zone_token(zone, &a), NGX_OK, "drops nothing");

    is_int(ngx_completion_zone_token_refused(zone, &a, a.generation),
           NGX_DECLINED, "a new one is not dropped at once");
    is_int(ngx_completion_zone_token(zone, &a), NGX_OK, "it stays");

    time_passes(1000);
    is_int(ngx_completion_zone_token_refused(zone, &a, a.generation), NGX_OK,
           "a second later it is");
    is_int(store(&b, "t1.old", HOUR, 0), NGX_DECLINED,
           "and who was getting one before starts anew");

    for (i = 0, gap = 2000; i < 6; i++) {
        ngx_completion_zone_token(zone, &a);
        store(&a, "t1.3", HOUR, HOUR);
        ngx_completion_zone_token(zone, &a);

        time_passes(gap - 1);

        if (ngx_completion_zone_token_refused(zone, &a, a.generation)
            != NGX_DECLINED)
        {
            break;
        }

        time_passes(1);

        if (ngx_completion_zone_token_refused(zone, &a, a.generation)
            != NGX_OK)
        {
            break;
        }

        gap = ngx_min(2 * gap, 60000);
    }

    is_int(i, 6, "each time it takes twice as long, up to a minute");

    ngx_completion_zone_token(zone, &a);
    store(&a, "t1.4", HOUR, HOUR);
    ngx_completion_zone_token(zone, &a);
    time_passes(1000);
    is_int(ngx_completion_zone_token_refused(zone, &a, a.generation), NGX_OK,
           "after that quiet minute it counts from the first again");
}


static void
test_memory(void)
{
    size_t      used;
    ngx_uint_t  n, bad = 0;
    char        text[1001];

    memset(text, 'a', 1000);
    text[1000] = '\0';

    new_zone();
    ngx_completion_zone_token(zone, &a);
    used = shim_slab_used;

    for (n = 1; n < 100; n++) {
        shim_allocations = 0;
        shim_fail_at = n;

        if (store(&a, text, HOUR, HOUR) == NGX_OK) {
            break;
        }

        bad += (a.lease == 0 || shim_slab_used != used);
    }

    shim_fail_at = 0;

    is_int(n, 6, "without memory it is not stored");
    ok(!bad, "the lease goes on, and no room is lost");
}


static void
on_free(u_char *data, size_t size)
{
    size_t  i;

    if (size != NGX_COMPLETION_CHUNK) {
        return;
    }

    /* but for the link */

    for (i = sizeof(void *); i < size && data[i] == 0; i++) { /* void */ }

    freed++;
    dirty += (i != size);
}


static void
test_wiped(void)
{
    new_zone();
    ngx_completion_zone_token(zone, &a);
    store(&a, "t1.first", HOUR, 0);

    shim_on_free = on_free;
    time_passes(PAUSE);

    ngx_completion_zone_token(zone, &a);
    store(&a, "t1.2", HOUR, 0);
    is_int(freed, 1, "a new token takes the old one's place");

    time_passes(PAUSE);
    ngx_completion_zone_token(zone, &a);
    ngx_completion_zone_token_refused(zone, &a, a.generation);
    is_int(freed, 2, "a refused one goes");

    is_int(dirty, 0, "both were wiped");

    shim_on_free = NULL;
}


static void
test_told(void)
{
    uint64_t    seen;
    uint32_t    hashes[4];
    ngx_uint_t  n;
    ngx_msec_t  pause;

    new_zone();
    seen = zone->sh->changes;

    ngx_completion_zone_token(zone, &a);
    n = 4;
    ngx_completion_zone_changes(zone, &seen, hashes, &n);
    is_int(n, 0, "nobody is woken for a lease");

    ngx_completion_zone_token_failed(zone, &a, 1, &pause);
    time_passes(pause);
    ngx_completion_zone_token(zone, &a);
    ngx_completion_zone_token_yield(zone, &a);
    ngx_completion_zone_token(zone, &a);
    store(&a, "t1.9", HOUR, HOUR);

    n = 4;
    ngx_completion_zone_changes(zone, &seen, hashes, &n);
    ok(n == 3 && hashes[0] == NGX_COMPLETION_TOKEN_HASH
       && hashes[1] == NGX_COMPLETION_TOKEN_HASH
       && hashes[2] == NGX_COMPLETION_TOKEN_HASH,
       "all are for a failure, a lease that is back, a token");
}


int
main(void)
{
    shim_begins();

    /* soon the clock goes round */

    ngx_current_msec = (ngx_msec_t) -HOUR;

    test_shared();
    test_renewal();
    test_long();
    test_failures();
    test_yield();
    test_refused();
    test_memory();
    test_wiped();
    test_told();

    shim_ends();

    return tap_done();
}
