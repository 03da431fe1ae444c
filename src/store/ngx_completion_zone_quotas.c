
/* The quotas of a zone, as its configuration wants them. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


static ngx_int_t ngx_completion_zone_quota(ngx_completion_zone_t *zone,
    ngx_completion_quota_sh_t *quota, ngx_completion_rate_t *rate,
    ngx_completion_quota_sh_t *past);


ngx_int_t
ngx_completion_zone_quotas(ngx_completion_zone_t *zone)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_completion_zone_sh_t   *sh;
    ngx_completion_quota_sh_t   polls, submits[NGX_COMPLETION_SUBMIT_RATES];
    ngx_completion_quota_sh_t  *past;

    sh = zone->sh;
    polls = sh->poll_quota;
    ngx_memcpy(submits, sh->submit_quotas, sizeof(submits));

    rc = ngx_completion_zone_quota(zone, &sh->poll_quota, &zone->poll_rate,
                                   &polls);

    /* all rates of submits note the same starts: the longest list serves all */

    past = &submits[0];

    for (i = 1; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        if (submits[i].used > past->used) {
            past = &submits[i];
        }
    }

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {

        if (ngx_completion_zone_quota(zone, &sh->submit_quotas[i],
                                      &zone->submit_rates[i], past)
            != NGX_OK)
        {
            rc = NGX_DECLINED;
        }
    }

    ngx_completion_quota_destroy(zone->shpool, &polls);

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        ngx_completion_quota_destroy(zone->shpool, &submits[i]);
    }

    return rc;
}


static ngx_int_t
ngx_completion_zone_quota(ngx_completion_zone_t *zone,
    ngx_completion_quota_sh_t *quota, ngx_completion_rate_t *rate,
    ngx_completion_quota_sh_t *past)
{
    ngx_completion_rate_t  even;

    while (ngx_completion_quota_create(zone->shpool, quota, rate, past)
           != NGX_OK)
    {
        if (ngx_completion_room_evict(zone) != NGX_OK) {
            even.n = 1;
            even.unit = (rate->unit + rate->n - 1) / rate->n;

            (void) ngx_completion_quota_create(zone->shpool, quota, &even,
                                               past);
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_completion_zone_quotas_same(ngx_completion_zone_t *zone)
{
    ngx_uint_t                  i;
    ngx_completion_zone_sh_t   *sh;

    sh = zone->sh;

    for (i = 0; i < NGX_COMPLETION_SUBMIT_RATES; i++) {
        if (ngx_memcmp(&sh->submit_quotas[i].rate, &zone->submit_rates[i],
                       sizeof(ngx_completion_rate_t))
            != 0)
        {
            return 0;
        }
    }

    return ngx_memcmp(&sh->poll_quota.rate, &zone->poll_rate,
                      sizeof(ngx_completion_rate_t))
           == 0;
}


ngx_uint_t
ngx_completion_zone_quotas_fit(ngx_completion_zone_t *zone)
{
    size_t                  pages, size;
    ngx_uint_t              i;
    ngx_completion_rate_t  *rate;

    pages = 0;
    rate = &zone->poll_rate;

    for (i = 0; i <= NGX_COMPLETION_SUBMIT_RATES; i++) {
        size = rate->n * sizeof(ngx_msec_t);

        if (size > ngx_pagesize / 2) {
            pages += (size + ngx_pagesize - 1) / ngx_pagesize;
        }

        rate = &zone->submit_rates[i];
    }

    return pages <= zone->sh->room;
}
