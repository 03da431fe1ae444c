
#include "tap.h"
#include "zone_shim.h"

#include "../../src/store/ngx_completion_quota.h"


static ngx_completion_quota_sh_t  quota;


static void
test_parse(void)
{
    size_t                 i;
    ngx_str_t              text;
    ngx_completion_rate_t  rate;

    static const struct {
        const char  *text;
        ngx_uint_t   n;
        ngx_msec_t   unit;
    } good[] = {
        { "1r/s", 1, 1000 }, { "10r/s", 10, 1000 }, { "600r/m", 600, 60000 },
        { "5000r/h", 5000, 3600000 }, { "100000r/s", 100000, 1000 }
    };

    static const char  *bad[] = {
        "", "r/s", "0r/s", "-1r/s", "100001r/s", "10", "10r", "10r/d", "10/s",
        " 10r/s", "10r/s ", "1.5r/s", "99999999999999999999r/s"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        text = str(good[i].text);
        ok(ngx_completion_rate_parse(&text, &rate) == NULL
           && rate.n == good[i].n && rate.unit == good[i].unit, good[i].text);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text = str(bad[i]);
        ok(ngx_completion_rate_parse(&text, &rate) != NULL, bad[i]);
    }
}


static void
set(ngx_uint_t n, ngx_msec_t unit)
{
    memset(quota.rates, 0, sizeof(quota.rates));
    quota.rates[0] = (ngx_completion_rate_t) { n, unit };
}


/* the time of the next start */

static ngx_msec_t
next(ngx_msec_t now)
{
    return ngx_completion_quota_next(&quota, now, 0);
}


/* as many starts as may be, each as early as may be, over a while */

static void
test_window(void)
{
    size_t      i, j, n;
    ngx_msec_t  starts[200], now;

    set(5, 1000);

    for (i = 0, now = 10000; i < 200; i++) {
        now = next(now);
        ngx_completion_quota_take(&quota, now);
        starts[i] = now;
    }

    for (i = 0, n = 0; i < 200; i++) {
        for (j = i; j < 200 && starts[j] < starts[i] + 1000; j++) { /* void */ }
        n = ngx_max(n, j - i);
    }

    is_int(n, 5, "never more than five in any second");
    ok(starts[199] <= 10000 + 39 * (1000 + NGX_COMPLETION_QUOTA_SLACK),
       "and no slower than that");
}


static ngx_uint_t
random_below(ngx_uint_t n)
{
    static uint32_t  seed = 1;

    seed = seed * 1664525 + 1013904223;

    return (seed >> 8) % n;
}


/* starts of whatever density, more than are remembered one by one */

static void
test_groups(void)
{
    size_t      i, j, n, late;
    ngx_msec_t  now, first, *starts;

    enum { STARTS = 30000, RATE = 500 };

    static const ngx_msec_t  units[] = { 1000, 60000, 3600000 };

    starts = calloc(STARTS, sizeof(ngx_msec_t));

    for (n = 0; n < 3; n++) {
        memset(&quota, 0, sizeof(quota));
        set(RATE, units[n]);

        /* a clock of 32 bits goes round meanwhile */

        now = first = 0xffffffff - 2 * units[n];
        late = 0;

        for (i = 0; i < STARTS; i++) {
            now += random_below(i / 1000 % 3 ? 3 : 3 * units[n] / RATE);

            if (next(now) != now) {
                now = next(now);

                /* by what it could have been, had each been remembered */

                late = ngx_max(late, now - starts[i - RATE] - units[n]
                                     - NGX_COMPLETION_QUOTA_SLACK);
            }

            ngx_completion_quota_take(&quota, now);
            starts[i] = now;
        }

        for (i = 0, j = 0; i + RATE < STARTS; i++) {
            j += (starts[i + RATE] - starts[i]
                  < units[n] + NGX_COMPLETION_QUOTA_SLACK);
        }

        is_int(j, 0, "no window has more");
        ok(late && late <= units[n] / 125 + 1, "and none is much longer");
        ok(now > 0xffffffff && now - first > 10 * units[n], "over a while");
    }

    free(starts);
}


static void
test_limits(void)
{
    size_t  i;

    memset(&quota, 0, sizeof(quota));

    is_int(next(7), 7, "no limit: now");
    is_int(ngx_completion_quota_even(&quota, 7, 0), 7, "no limit, even: now");
    ok(ngx_completion_quota_free(&quota, 7) > NGX_COMPLETION_QUOTA_MAX,
       "as many as you like");

    set(8, 1000);

    for (i = 0; i < 2; i++) {
        is_int(ngx_completion_quota_even(&quota, 100, 0), 100,
               "a quarter of the rate at once");
        ngx_completion_quota_take(&quota, 100);
    }

    ok(ngx_completion_quota_even(&quota, 100, 0) >= 350,
       "a third one leaves room");
    is_int(next(100), 100, "which another may take");
    is_int(ngx_completion_quota_free(&quota, 100), 6, "one of six");

    /* the clock goes round */

    memset(&quota, 0, sizeof(quota));
    set(1, 1000);
    ngx_completion_quota_take(&quota, (ngx_msec_t) -500);
    is_int(next((ngx_msec_t) -400), 500 + NGX_COMPLETION_QUOTA_SLACK,
           "over the end of the clock");
    is_int(next(600), 600, "and behind it");

    /* of the clocks of two workers the one may be behind */

    memset(&quota, 0, sizeof(quota));
    set(2, 1000);
    ngx_completion_quota_take(&quota, 1000);
    ngx_completion_quota_take(&quota, 990);
    is_int(ngx_completion_quota_free(&quota, 980), 0, "both are counted");
    is_int(next(980), 2000 + NGX_COMPLETION_QUOTA_SLACK, "as the later one");
}


static void
test_rates(void)
{
    memset(&quota, 0, sizeof(quota));
    quota.rates[0] = (ngx_completion_rate_t) { 2, 1000 };
    quota.rates[1] = (ngx_completion_rate_t) { 3, 60000 };

    ngx_completion_quota_take(&quota, 100);
    is_int(next(600), 600, "two rates: now");
    is_int(ngx_completion_quota_free(&quota, 600), 1, "one more");
    ngx_completion_quota_take(&quota, 600);
    is_int(next(600), 1100 + NGX_COMPLETION_QUOTA_SLACK,
           "when the first rate lets it");
    ngx_completion_quota_take(&quota, 5000);
    is_int(next(9000), 60100 + NGX_COMPLETION_QUOTA_SLACK, "and the second");
    is_int(ngx_completion_quota_free(&quota, 9000), 0, "none before");
}


/* behind others */

static void
test_ahead(void)
{
    size_t  i;

    static const struct {
        ngx_uint_t  ahead;
        ngx_msec_t  at;
    } t[] = {
        { 0, 400 }, { 1, 1100 + NGX_COMPLETION_QUOTA_SLACK },
        { 2, 1200 + NGX_COMPLETION_QUOTA_SLACK },
        { 3, 400 + 1000 + NGX_COMPLETION_QUOTA_SLACK },
        { 5, 2200 + 2 * NGX_COMPLETION_QUOTA_SLACK },
        { 30, 400 + 10 * (1000 + NGX_COMPLETION_QUOTA_SLACK) }
    };

    memset(&quota, 0, sizeof(quota));
    set(3, 1000);
    ngx_completion_quota_take(&quota, 100);
    ngx_completion_quota_take(&quota, 200);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        is_int(ngx_completion_quota_next(&quota, 400, t[i].ahead), t[i].at,
               "behind so many");
    }
}


static void
test_changed(void)
{
    memset(&quota, 0, sizeof(quota));

    set(3, 1000);
    ngx_completion_quota_take(&quota, 100);
    ngx_completion_quota_take(&quota, 600);
    ngx_completion_quota_take(&quota, 1100);

    set(3, 60000);
    is_int(next(1200), 60100 + NGX_COMPLETION_QUOTA_SLACK,
           "another unit counts from the same starts");

    set(2, 1000);
    is_int(next(1200), 1600 + NGX_COMPLETION_QUOTA_SLACK,
           "a lower rate knows the last two");

    set(4, 60000);
    is_int(next(1200), 1200, "a higher rate has room");
    is_int(ngx_completion_quota_free(&quota, 1200), 1, "for one");

    set(1, 1000);
    is_int(next(1200), 2100 + NGX_COMPLETION_QUOTA_SLACK,
           "a rate of one knows the last one");

    set(0, 0);
    is_int(next(1200), 1200, "no rate, no limit");
    ngx_completion_quota_take(&quota, 1250);

    set(4, 3600000);
    ok(next(1300) >= 3600100 + NGX_COMPLETION_QUOTA_SLACK
       && next(1300) <= 3600100 + 3600000 / 125,
       "and one that comes back has forgotten nothing");
}


int
main(void)
{
    test_parse();
    test_window();
    test_groups();
    test_limits();
    test_rates();
    test_ahead();
    test_changed();

    return tap_done();
}
