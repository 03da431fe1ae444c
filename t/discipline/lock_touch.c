
/*
 * A defect for lock.t to find: a record is read without the lock.
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
    ngx_completion_zone_unlock(zone);
    __real_ngx_completion_record_want(zone, record, ms, view);
    ngx_completion_zone_lock(zone);
}
