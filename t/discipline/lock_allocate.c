
/*
 * A defect for lock.t to find: memory is allocated under the lock.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/store/ngx_completion_zone_sh.h"


void __real_ngx_completion_record_want(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t ms,
    ngx_completion_view_t *view);


void
__wrap_ngx_completion_record_want(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t ms,
    ngx_completion_view_t *view)
{
    void  *p;

    p = ngx_alloc(1, ngx_cycle->log);
    __real_ngx_completion_record_want(zone, record, ms, view);
    ngx_free(p);
}
