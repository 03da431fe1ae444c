
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_quota.h"


/* what the clocks of two workers may differ by, ms */
#define NGX_COMPLETION_QUOTA_LAG  60000


static ngx_completion_starts_sh_t *ngx_completion_quota_starts(
    ngx_completion_quota_sh_t *q, ngx_msec_t unit);
static void ngx_completion_starts_add(ngx_completion_starts_sh_t *starts,
    ngx_msec_t unit, ngx_msec_t at);
static ngx_completion_group_sh_t *ngx_completion_starts_within(
    ngx_completion_starts_sh_t *starts, ngx_uint_t ago, ngx_msec_t now,
    ngx_msec_t window);
static ngx_msec_t ngx_completion_starts_leave(
    ngx_completion_starts_sh_t *starts, ngx_uint_t n, ngx_msec_t now,
    ngx_msec_t window);


#define ngx_completion_quota_window(unit)                                     \
    ((unit) + NGX_COMPLETION_QUOTA_SLACK)

/* whether the one is before the other, or not so long behind it */
#define ngx_completion_quota_close(at, then, ms)                              \
    ((uint32_t) ((at) - (then) + NGX_COMPLETION_QUOTA_LAG)                    \
     < (uint32_t) ((ms) + NGX_COMPLETION_QUOTA_LAG))


static const struct {
    u_char      name;
    ngx_msec_t  unit;
} ngx_completion_quota_units[NGX_COMPLETION_QUOTA_UNITS] = {
    { 's', 1000 }, { 'm', 60 * 1000 }, { 'h', 3600 * 1000 }
};


char *
ngx_completion_rate_parse(ngx_str_t *value, ngx_completion_rate_t *rate)
{
    size_t      len;
    ngx_int_t   n;
    ngx_uint_t  i;

    len = value->len;

    if (len < 4 || ngx_strncmp(value->data + len - 3, "r/", 2) != 0) {
        return "must look like \"10r/s\", \"600r/m\" or \"5000r/h\"";
    }

    for (i = 0; value->data[len - 1] != ngx_completion_quota_units[i].name;
         /* void */ )
    {
        if (++i == NGX_COMPLETION_QUOTA_UNITS) {
            return "must end in \"r/s\", \"r/m\" or \"r/h\"";
        }
    }

    n = ngx_atoi(value->data, len - 3);

    if (n <= 0 || n > NGX_COMPLETION_QUOTA_MAX) {
        return "must be a whole number from 1 to 100000 per unit";
    }

    rate->n = n;
    rate->unit = ngx_completion_quota_units[i].unit;

    return NULL;
}


ngx_uint_t
ngx_completion_quota_free(ngx_completion_quota_sh_t *q, ngx_msec_t now)
{
    ngx_uint_t                   i, ago, n, left;
    ngx_completion_rate_t       *rate;
    ngx_completion_group_sh_t   *group;
    ngx_completion_starts_sh_t  *starts;

    left = NGX_MAX_UINT32_VALUE;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        rate = &q->rates[i];

        if (rate->n == 0) {
            continue;
        }

        starts = ngx_completion_quota_starts(q, rate->unit);
        n = 0;

        for (ago = 0; n < rate->n; ago++) {
            group = ngx_completion_starts_within(starts, ago, now,
                                    ngx_completion_quota_window(rate->unit));
            if (group == NULL) {
                break;
            }

            n += group->n;
        }

        left = ngx_min(left, rate->n - ngx_min(n, rate->n));
    }

    return left;
}


ngx_msec_t
ngx_completion_quota_next(ngx_completion_quota_sh_t *q, ngx_msec_t now,
    ngx_uint_t ahead)
{
    ngx_msec_t              at, next, window;
    ngx_uint_t              i;
    ngx_completion_rate_t  *rate;

    at = now;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        rate = &q->rates[i];

        if (rate->n == 0) {
            continue;
        }

        window = ngx_completion_quota_window(rate->unit);
        next = ngx_completion_starts_leave(
                               ngx_completion_quota_starts(q, rate->unit),
                               rate->n - ahead % rate->n, now, window);

        at = ngx_completion_later(next + ahead / rate->n * window, at);
    }

    return at;
}


/* when a rate's start a quarter of it ago is a quarter of its unit ago */

ngx_msec_t
ngx_completion_quota_even(ngx_completion_quota_sh_t *q, ngx_msec_t now,
    ngx_uint_t ahead)
{
    ngx_msec_t              at, next, window;
    ngx_uint_t              i, n;
    ngx_completion_rate_t  *rate;

    at = ngx_completion_quota_next(q, now, ahead);

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        rate = &q->rates[i];

        if (rate->n == 0) {
            continue;
        }

        n = (rate->n + 3) / 4;
        window = ngx_completion_quota_window(rate->unit) * n / rate->n;
        next = (ahead < n)
                   ? ngx_completion_starts_leave(
                               ngx_completion_quota_starts(q, rate->unit),
                               n - ahead, now, window)
                   : now + window;

        at = ngx_completion_later(next, at);
    }

    return at;
}


void
ngx_completion_quota_take(ngx_completion_quota_sh_t *q, ngx_msec_t at)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMPLETION_QUOTA_UNITS; i++) {
        ngx_completion_starts_add(&q->starts[i],
                                  ngx_completion_quota_units[i].unit, at);
    }
}


static ngx_completion_starts_sh_t *
ngx_completion_quota_starts(ngx_completion_quota_sh_t *q, ngx_msec_t unit)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMPLETION_QUOTA_UNITS - 1; i++) {
        if (unit <= ngx_completion_quota_units[i].unit) {
            break;
        }
    }

    return &q->starts[i];
}


static void
ngx_completion_starts_add(ngx_completion_starts_sh_t *starts, ngx_msec_t unit,
    ngx_msec_t at)
{
    ngx_msec_t                  width;
    ngx_completion_group_sh_t  *group;

    /* so wide that all of them, but the oldest and the latest, are a window */

    width = ngx_completion_quota_window(unit)
            / (NGX_COMPLETION_QUOTA_GROUPS - 2) + 1;

    group = &starts->groups[starts->latest];

    if (group->n && ngx_completion_quota_close(at, starts->first, width)) {

        if ((int32_t) (at - group->last) > 0) {
            group->last = at;
        }

        group->n++;

        return;
    }

    starts->first = at;
    starts->latest = (starts->latest + 1) % NGX_COMPLETION_QUOTA_GROUPS;

    group = &starts->groups[starts->latest];
    group->last = at;
    group->n = 1;
}


/* a group by its number, the latest being 0; NULL: it has left the window */

static ngx_completion_group_sh_t *
ngx_completion_starts_within(ngx_completion_starts_sh_t *starts,
    ngx_uint_t ago, ngx_msec_t now, ngx_msec_t window)
{
    ngx_completion_group_sh_t  *group;

    if (ago == NGX_COMPLETION_QUOTA_GROUPS) {
        return NULL;
    }

    group = &starts->groups[(starts->latest + NGX_COMPLETION_QUOTA_GROUPS
                             - ago)
                            % NGX_COMPLETION_QUOTA_GROUPS];

    return (group->n && ngx_completion_quota_close(now, group->last, window))
               ? group : NULL;
}


/* when the n-th last start leaves the window: now, or later */

static ngx_msec_t
ngx_completion_starts_leave(ngx_completion_starts_sh_t *starts, ngx_uint_t n,
    ngx_msec_t now, ngx_msec_t window)
{
    ngx_uint_t                  ago, sum;
    ngx_msec_int_t              age;
    ngx_completion_group_sh_t  *group;

    sum = 0;

    for (ago = 0; /* void */ ; ago++) {
        group = ngx_completion_starts_within(starts, ago, now, window);

        if (group == NULL) {
            return now;
        }

        sum += group->n;

        if (sum >= n) {
            age = (int32_t) (now - group->last);
            return now + window - age;
        }
    }
}
