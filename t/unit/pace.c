
/* The pace: bounds, growth without knowledge, and what is learned. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/store/ngx_completion_pace.h"


#define MIN  500
#define MAX  600000


typedef struct {
    ngx_uint_t   polls;
    ngx_msec_t   age;                /* the poll that found it done */
} watched_t;


static ngx_uint_t                tests;
static ngx_uint_t                failed;
static ngx_completion_paces_sh_t  paces;


static void
ok(ngx_uint_t good, const char *name)
{
    tests++;
    failed += !good;
    printf("%sok %lu - %s\n", good ? "" : "not ", (unsigned long) tests, name);
}


static watched_t
watch(ngx_completion_paces_sh_t *estimates, ngx_msec_t duration,
    ngx_uint_t waited)
{
    watched_t   w;
    ngx_msec_t  pending;

    w.polls = 0;
    w.age = 0;

    do {
        pending = w.age;
        w.age += ngx_completion_pace_gap(estimates, 0, w.age, MIN, MAX,
                                         waited);
        w.polls++;
    } while (w.age < duration);

    if (estimates) {
        ngx_completion_pace_learn(estimates, 0, pending, w.age);
    }

    return w;
}


/* The mean relative lag and the mean number of polls, in thousandths. */

static void
watch_many(ngx_uint_t n, ngx_msec_t duration, ngx_uint_t *lag,
    ngx_uint_t *polls)
{
    watched_t   w;
    ngx_uint_t  i;

    *lag = 0;
    *polls = 0;

    for (i = 0; i < n; i++) {
        w = watch(&paces, duration, 0);
        *lag += (w.age - duration) * 1000 / duration;
        *polls += w.polls * 1000;
    }

    *lag /= n;
    *polls /= n;
}


static void
test_bounds(void)
{
    ngx_uint_t  i, good;
    ngx_msec_t  age, gap, from;

    good = 1;
    ngx_memzero(&paces, sizeof(paces));

    for (i = 0; i < 3000; i++) {
        age = (i * 2654435761u) % (1u << (i % 32));
        gap = ngx_completion_pace_gap(&paces, 0, age, MIN, 30000, i & 1);
        good &= (gap >= MIN && gap <= 30000);

        from = age / (1 + i % 3);
        ngx_completion_pace_learn(&paces, 0, i % 7 ? from : age, age);
    }

    ok(good, "min <= gap <= max, whatever was learned");

    good = 1;
    for (age = 0; age < (1u << 31); age = age * 3 / 2 + 1) {
        gap = ngx_completion_pace_gap(&paces, 0, age, 1000, 1000, 0);
        good &= (gap == 1000);
    }

    ok(good, "min equal to max leaves no choice");
}


static void
test_without_knowledge(void)
{
    ngx_uint_t  i, good;
    ngx_msec_t  gap;

    ok(ngx_completion_pace_gap(NULL, 0, 0, MIN, MAX, 0) == MIN,
       "without an estimate the first gap is min");
    ok(ngx_completion_pace_gap(NULL, 0, 100000, MIN, MAX, 0) == 20000,
       "without an estimate the gap is a fifth of the age");
    ok(ngx_completion_pace_gap(NULL, 0, 100000, MIN, MAX, 1) == 10000,
       "half of it if somebody waits");
    ok(ngx_completion_pace_gap(NULL, 0, 100000000, MIN, MAX, 0) == MAX,
       "and max at the most");

    ngx_memzero(&paces, sizeof(paces));
    good = 1;

    for (i = 0; i < 7; i++) {
        gap = ngx_completion_pace_gap(&paces, 0, 100000, MIN, MAX, 0);
        good &= (gap >= 15000 && gap <= 25000);
        ngx_completion_pace_learn(&paces, 0, 1900, 2000);
    }

    ok(good, "with few observations it is about a fifth");

    gap = ngx_completion_pace_gap(&paces, 0, 20000000, MIN, 100000000, 0);
    ok(gap >= 3000000 && gap <= 5000000, "and so it is beyond all buckets");
}


static void
test_constant(void)
{
    watched_t                 w;
    ngx_uint_t                i, lag, polls, good;
    ngx_completion_paces_sh_t  copy;

    static ngx_msec_t  durations[] = { 700, 1300, 2000, 3700, 9000, 20000,
                                       61000, 300000 };

    good = 1;

    for (i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        ngx_memzero(&paces, sizeof(paces));
        watch_many(200, durations[i], &lag, &polls);
        watch_many(400, durations[i], &lag, &polls);

        if (lag > 100 || polls > 6000) {
            printf("# %lu ms: lag %lu, polls %lu, in thousandths\n",
                   (unsigned long) durations[i], (unsigned long) lag,
                   (unsigned long) polls);
            good = 0;
        }
    }

    ok(good, "constant durations are found to a tenth with six polls");

    ngx_memzero(&paces, sizeof(paces));
    watch_many(200, 2000, &lag, &polls);
    watch_many(400, 2000, &lag, &polls);
    ok(lag <= 60 && polls <= 2000, "2 s are found to 6 % with two polls");

    ngx_memcpy(&copy, &paces, sizeof(paces));
    w = watch(&copy, 2000, 0);
    ok(w.polls == watch(&paces, 2000, 0).polls
       && ngx_memcmp(&copy, &paces, sizeof(paces)) == 0,
       "equal arguments give equal results");
}


static void
test_change(void)
{
    ngx_uint_t  lag, polls;

    ngx_memzero(&paces, sizeof(paces));
    watch_many(1000, 2000, &lag, &polls);
    watch_many(40, 20000, &lag, &polls);
    watch_many(40, 20000, &lag, &polls);
    ok(lag <= 100 && polls <= 12000, "slower operations are noticed");

    watch_many(2000, 20000, &lag, &polls);
    ok(ngx_completion_pace_gap(&paces, 0, 0, MIN, MAX, 0) > 2500,
       "what is long past is forgotten");

    watch_many(40, 2000, &lag, &polls);
    watch_many(40, 2000, &lag, &polls);
    ok(lag <= 300 && polls <= 4000, "faster operations are noticed");
}


static void
test_plan(void)
{
    ngx_uint_t  i, n;
    ngx_msec_t  gap, before;

    ngx_memzero(&paces, sizeof(paces));

    for (i = 0; i < 1000; i++) {
        ngx_completion_pace_learn(&paces, 0, 1900, 2000);
    }

    before = ngx_completion_pace_gap(&paces, 0, 0, MIN, MAX, 0);
    n = 0;

    do {
        ngx_completion_pace_learn(&paces, 0, 1900, 2000);
        ngx_completion_pace_learn(&paces, 0, 0, 700);
        gap = ngx_completion_pace_gap(&paces, 0, 0, MIN, MAX, 0);
        n += 2;
    } while (gap == before && n < 1000);

    ok(before > 1500 && gap < before && n > 8, "a plan stands for a while");
    ok(n <= 100, "and not for long");

    paces.models[0].count = 0xffffffff;
    before = ngx_completion_pace_gap(&paces, 0, 0, MIN, MAX, 0);

    for (i = 0; i < 2000; i++) {
        ngx_completion_pace_learn(&paces, 0, 19000, 20000);
        (void) ngx_completion_pace_gap(&paces, 0, 0, MIN, MAX, 0);
    }

    ok(ngx_completion_pace_gap(&paces, 0, 0, MIN, MAX, 0) > 2 * before,
       "it is made anew when the count does not grow any more");

    gap = ngx_completion_pace_gap(&paces, 0, 19500, MIN, MAX, 0);
    ok(gap < 5000
       && ngx_completion_pace_gap(&paces, 0, 19500, 5000, MAX, 0) >= 5000
       && ngx_completion_pace_gap(&paces, 0, 19500, MIN, MAX, 0) == gap,
       "and for another interval");
}


static void
test_waited(void)
{
    watched_t   calm, hasty;
    ngx_uint_t  i, calm_polls, hasty_polls;
    ngx_msec_t  duration, calm_lag, hasty_lag;

    ngx_memzero(&paces, sizeof(paces));
    calm_polls = 0;
    hasty_polls = 0;
    calm_lag = 0;
    hasty_lag = 0;

    for (i = 0; i < 2000; i++) {
        duration = 5000 + (i * 7919) % 60000;
        calm = watch(&paces, duration, 0);
        hasty = watch(&paces, duration, 1);

        calm_polls += calm.polls;
        hasty_polls += hasty.polls;
        calm_lag += calm.age - duration;
        hasty_lag += hasty.age - duration;
    }

    ok(hasty_lag * 10 < calm_lag * 7, "whoever waits learns it sooner");
    ok(hasty_polls < calm_polls * 3, "at moderately more polls");
}


static void
test_memory(void)
{
    ngx_uint_t  i, n, good;

    ok(sizeof(paces) <= 10240, "the estimates take 10 KB at most");

    ngx_memzero(&paces, sizeof(paces));
    for (i = 0; i < 100000; i++) {
        ngx_completion_pace_learn(&paces, 0, 1999, 2000);
    }

    good = (paces.models[0].count == 100000);
    for (i = 0, n = 0; i < NGX_COMPLETION_PACE_BUCKETS; i++) {
        n += (paces.models[0].weights[i] != 0);
    }

    ok(good && n == 1, "a bucket that is hit for ever does not overflow");

    paces.models[0].count = 0xffffffff;
    ngx_completion_pace_learn(&paces, 0, 0, (ngx_msec_t) -1);
    ok(paces.models[0].count == 0xffffffff, "the count sticks at the top");
}


int
main(void)
{
    test_bounds();
    test_without_knowledge();
    test_constant();
    test_change();
    test_plan();
    test_waited();
    test_memory();

    printf("1..%lu\n", (unsigned long) tests);

    return failed != 0;
}
