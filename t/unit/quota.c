
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


static ngx_int_t
set(ngx_uint_t n, ngx_msec_t unit)
{
    ngx_int_t                  rc;
    ngx_completion_rate_t      rates[NGX_COMPLETION_SUBMIT_RATES] = {{ n, unit }};
    ngx_completion_quota_sh_t  old = quota;

    ngx_shmtx_lock(&shim_slab.mutex);

    rc = ngx_completion_quota_create(&shim_slab, &quota, rates, &old);

    if (rc != NGX_OK) {
        quota = old;

    } else if (old.starts) {
        ngx_slab_free_locked(&shim_slab, old.starts);
    }

    ngx_shmtx_unlock(&shim_slab.mutex);

    return rc;
}


/* as many starts as may be, each as early as may be, over a while */

static void
test_window(void)
{
    size_t      i, j, n;
    ngx_msec_t  starts[200], now;

    set(5, 1000);

    for (i = 0, now = 10000; i < 200; i++) {
        now = ngx_completion_quota_next(&quota, now);
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


static void
test_limits(void)
{
    size_t  i;

    memset(&quota, 0, sizeof(quota));

    is_int(ngx_completion_quota_next(&quota, 7), 7, "no limit: now");
    is_int(ngx_completion_quota_even(&quota, 7), 7, "no limit, even: now");
    ngx_completion_quota_take(&quota, 7);
    is_int(quota.used, 0, "no limit: nothing is noted");

    set(8, 1000);

    for (i = 0; i < 2; i++) {
        is_int(ngx_completion_quota_even(&quota, 100), 100,
               "a quarter of the rate at once");
        ngx_completion_quota_take(&quota, 100);
    }

    ok(ngx_completion_quota_even(&quota, 100) >= 350,
       "a third one leaves room");
    is_int(ngx_completion_quota_next(&quota, 100), 100,
           "which another may take");

    /* the clock goes round */

    memset(&quota, 0, sizeof(quota));
    set(1, 1000);
    ngx_completion_quota_take(&quota, (ngx_msec_t) -500);
    is_int(ngx_completion_quota_next(&quota, (ngx_msec_t) -400),
           500 + NGX_COMPLETION_QUOTA_SLACK, "over the end of the clock");
    is_int(ngx_completion_quota_next(&quota, 600), 600, "and behind it");
}


static void
test_rates(void)
{
    ngx_completion_rate_t      rates[NGX_COMPLETION_SUBMIT_RATES] = {
        { 2, 1000 }, { 3, 60000 }
    };
    ngx_completion_quota_sh_t  past = { .size = 0 };

    shim_slab_reset(4096);
    ngx_shmtx_lock(&shim_slab.mutex);
    ngx_completion_quota_create(&shim_slab, &quota, rates, &past);
    ngx_shmtx_unlock(&shim_slab.mutex);

    ngx_completion_quota_take(&quota, 100);
    is_int(ngx_completion_quota_next(&quota, 200), 200, "two rates: now");
    ngx_completion_quota_take(&quota, 200);
    is_int(ngx_completion_quota_next(&quota, 200),
           1100 + NGX_COMPLETION_QUOTA_SLACK, "when the first rate lets it");
    ngx_completion_quota_take(&quota, 5000);
    is_int(ngx_completion_quota_next(&quota, 9000),
           60100 + NGX_COMPLETION_QUOTA_SLACK, "and the second");
}


static void
test_changed(void)
{
    memset(&quota, 0, sizeof(quota));
    shim_slab_reset(4096);

    set(3, 1000);
    ngx_completion_quota_take(&quota, 100);
    ngx_completion_quota_take(&quota, 200);
    ngx_completion_quota_take(&quota, 300);

    is_int(set(3, 60000), NGX_OK, "another unit");
    is_int(ngx_completion_quota_next(&quota, 400),
           60100 + NGX_COMPLETION_QUOTA_SLACK, "counts from the same starts");

    is_int(set(2, 1000), NGX_OK, "a lower rate");
    is_int(ngx_completion_quota_next(&quota, 400),
           1200 + NGX_COMPLETION_QUOTA_SLACK, "knows the last two");

    is_int(set(4, 1000), NGX_OK, "a higher rate");
    is_int(ngx_completion_quota_next(&quota, 400), 400, "has room");
    is_int(quota.used, 2, "and knows them still");

    is_int(set(100000, 1000), NGX_ERROR, "no memory");

    is_int(set(1, 1000), NGX_OK, "a rate of one");
    is_int(shim_slab_used, 0, "needs none");
    is_int(ngx_completion_quota_next(&quota, 400),
           1300 + NGX_COMPLETION_QUOTA_SLACK, "and knows the last one");

    is_int(set(0, 0), NGX_OK, "no rate");
    is_int(ngx_completion_quota_next(&quota, 400), 400, "no limit");
    is_int(shim_slab_used, 0, "and no memory");
}


int
main(void)
{
    shim_slab_reset(1 << 18);

    test_parse();
    test_window();
    test_limits();
    test_rates();
    test_changed();

    shim_slab_reset(0);

    return tap_done();
}
