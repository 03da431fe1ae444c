
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_quota.h"


static ngx_msec_t *ngx_completion_quota_start(ngx_completion_quota_sh_t *q,
    ngx_uint_t ago);


char *
ngx_completion_rate_parse(ngx_str_t *value, ngx_completion_rate_t *rate)
{
    size_t     len;
    ngx_int_t  n;

    len = value->len;

    if (len < 4 || ngx_strncmp(value->data + len - 3, "r/", 2) != 0) {
        return "must look like \"10r/s\", \"600r/m\" or \"5000r/h\"";
    }

    switch (value->data[len - 1]) {

    case 's':
        rate->unit = 1000;
        break;

    case 'm':
        rate->unit = 60 * 1000;
        break;

    case 'h':
        rate->unit = 3600 * 1000;
        break;

    default:
        return "must end in \"r/s\", \"r/m\" or \"r/h\"";
    }

    n = ngx_atoi(value->data, len - 3);

    if (n <= 0 || n > NGX_COMPLETION_QUOTA_MAX) {
        return "must be a whole number from 1 to 100000 per unit";
    }

    rate->n = n;

    return NULL;
}


ngx_int_t
ngx_completion_quota_create(ngx_slab_pool_t *pool,
    ngx_completion_quota_sh_t *q, ngx_completion_rate_t *rate,
    ngx_completion_quota_sh_t *past)
{
    ngx_uint_t  i;

    ngx_memzero(q, sizeof(ngx_completion_quota_sh_t));

    if (rate->n > 1) {
        q->starts = ngx_slab_calloc_locked(pool, rate->n * sizeof(ngx_msec_t));
        if (q->starts == NULL) {
            return NGX_ERROR;
        }
    }

    q->rate = *rate;

    for (i = ngx_min(past->used, rate->n); i > 0; i--) {
        ngx_completion_quota_take(q, *ngx_completion_quota_start(past, i));
    }

    return NGX_OK;
}


void
ngx_completion_quota_destroy(ngx_slab_pool_t *pool,
    ngx_completion_quota_sh_t *q)
{
    if (q->starts) {
        ngx_slab_free_locked(pool, q->starts);
    }
}


ngx_msec_t
ngx_completion_quota_next(ngx_completion_quota_sh_t *q, ngx_msec_t now)
{
    ngx_msec_t  at;

    if (q->rate.n == 0 || q->used < q->rate.n) {
        return now;
    }

    at = *ngx_completion_quota_start(q, q->rate.n) + q->rate.unit
         + NGX_COMPLETION_QUOTA_SLACK;

    return ((ngx_msec_int_t) (at - now) > 0) ? at : now;
}


ngx_msec_t
ngx_completion_quota_even(ngx_completion_quota_sh_t *q, ngx_msec_t now)
{
    ngx_msec_t  at, next;
    ngx_uint_t  n;

    next = ngx_completion_quota_next(q, now);
    n = (q->rate.n + 3) / 4;

    if (n == 0 || q->used < n) {
        return next;
    }

    at = *ngx_completion_quota_start(q, n)
         + (q->rate.unit + NGX_COMPLETION_QUOTA_SLACK) * n / q->rate.n;

    return ((ngx_msec_int_t) (at - next) > 0) ? at : next;
}


void
ngx_completion_quota_take(ngx_completion_quota_sh_t *q, ngx_msec_t at)
{
    if (q->rate.n == 0) {
        return;
    }

    q->next = (q->next + 1) % q->rate.n;
    *ngx_completion_quota_start(q, 1) = at;

    if (q->used < q->rate.n) {
        q->used++;
    }
}


/* the last but (ago - 1) start noted */

static ngx_msec_t *
ngx_completion_quota_start(ngx_completion_quota_sh_t *q, ngx_uint_t ago)
{
    if (q->starts == NULL) {
        return &q->start;
    }

    return &q->starts[(q->next + q->rate.n - ago) % q->rate.n];
}
