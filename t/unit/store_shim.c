
#include "store_shim.h"


ngx_str_t          shim_zone_name = ngx_string("operations");
ngx_cycle_t        shim_cycle;

static ngx_conf_t  shim_cf;


void
shim_begins(void)
{
    shim_cf.pool = ngx_create_pool(1024, &shim_log);
    shim_cycle.log = &shim_log;
    shim_cycle.pool = shim_cf.pool;
    ngx_cycle = &shim_cycle;
    ngx_current_msec = 100000;
    shim_time(1700000000);
}


void
shim_ends(void)
{
    shim_slab_reset(0);
    ngx_destroy_pool(shim_cf.pool);
}


ngx_completion_zone_t *
shim_zone(size_t size)
{
    ngx_completion_zone_t  *zone;

    zone = ngx_completion_zone_add(&shim_cf, &shim_zone_name, size,
                                   &shim_cycle);
    if (zone == NULL) {
        return NULL;
    }

    zone->poll_min = 500;
    zone->poll_max = 30000;
    zone->poll_lease = 30000;
    zone->deadline = 3600000;
    zone->retention = 60;
    zone->lifetime = 72 * 3600;

    return zone;
}
