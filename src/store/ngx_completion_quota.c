
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_quota.h"


static ngx_msec_t ngx_completion_quota_behind(ngx_completion_quota_sh_t *q,
    ngx_msec_t at, ngx_uint_t part);
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


ngx_uint_t
ngx_completion_quota_size(ngx_completion_rate_t *rates)
{
    ngx_uint_t  i, size;

    size = 0;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        size = ngx_max(size, rates[i].n);
    }

    return size;
}


ngx_int_t
ngx_completion_quota_create(ngx_slab_pool_t *pool,
    ngx_completion_quota_sh_t *q, ngx_completion_rate_t *rates,
    ngx_completion_quota_sh_t *past)
{
    ngx_uint_t  i;

    ngx_memzero(q, sizeof(ngx_completion_quota_sh_t));

    q->size = ngx_completion_quota_size(rates);

    if (q->size > 1) {
        q->starts = ngx_slab_calloc_locked(pool,
                                           q->size * sizeof(ngx_msec_t));
        if (q->starts == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_memcpy(q->rates, rates, sizeof(q->rates));

    for (i = ngx_min(past->used, q->size); i > 0; i--) {
        ngx_completion_quota_take(q, *ngx_completion_quota_start(past, i));
    }

    return NGX_OK;
}


ngx_msec_t
ngx_completion_quota_next(ngx_completion_quota_sh_t *q, ngx_msec_t now)
{
    return ngx_completion_quota_behind(q, now, 1);
}


ngx_msec_t
ngx_completion_quota_even(ngx_completion_quota_sh_t *q, ngx_msec_t now)
{
    return ngx_completion_quota_behind(q, ngx_completion_quota_next(q, now),
                                       4);
}


/* when the start that is a part of each rate ago is a part of its unit ago */

static ngx_msec_t
ngx_completion_quota_behind(ngx_completion_quota_sh_t *q, ngx_msec_t at,
    ngx_uint_t part)
{
    ngx_msec_t              next;
    ngx_uint_t              i, n;
    ngx_completion_rate_t  *rate;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        rate = &q->rates[i];
        n = (rate->n + part - 1) / part;

        if (n == 0 || q->used < n) {
            continue;
        }

        next = *ngx_completion_quota_start(q, n)
               + (rate->unit + NGX_COMPLETION_QUOTA_SLACK) * n / rate->n;

        at = ngx_completion_later(next, at);
    }

    return at;
}


void
ngx_completion_quota_take(ngx_completion_quota_sh_t *q, ngx_msec_t at)
{
    if (q->size == 0) {
        return;
    }

    q->next = (q->next + 1) % q->size;
    *ngx_completion_quota_start(q, 1) = at;

    if (q->used < q->size) {
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

    return &q->starts[(q->next + q->size - ago) % q->size];
}
