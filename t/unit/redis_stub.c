
/*
 * Connections to a server that nodes share: there are none, and nothing is
 * asked of them.
 */


#include "ngx_shim.h"

#include "../../src/cluster/ngx_completion_redis.h"


ngx_completion_redis_t *
ngx_completion_redis_create(ngx_completion_redis_conf_t *conf,
    ngx_str_t *name, ngx_completion_zone_t *zone, ngx_array_t *id_keys,
    ngx_log_t *log)
{
    return NULL;
}


void
ngx_completion_redis_reach(ngx_completion_redis_t *redis)
{
}


void
ngx_completion_redis_quit(ngx_completion_redis_t *redis)
{
}


void
ngx_completion_redis_exit(ngx_completion_redis_t *redis)
{
}


ngx_completion_redis_conf_t *
ngx_completion_redis_conf(ngx_completion_redis_t *redis)
{
    return NULL;
}


void
ngx_completion_redis_on_reach(ngx_completion_redis_t *redis,
    void (*handler)(void *data), void *data)
{
}


ngx_uint_t
ngx_completion_redis_away(ngx_completion_redis_t *redis)
{
    return 1;
}


void
ngx_completion_redis_behind(ngx_completion_redis_t *redis, ngx_uint_t behind)
{
}


ngx_int_t
ngx_completion_redis_call(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_uint_t n, ngx_str_t *args)
{
    return NGX_DECLINED;
}


ngx_int_t
ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args)
{
    return NGX_DECLINED;
}


void
ngx_completion_redis_script_init(ngx_completion_redis_script_t *script)
{
}


void
ngx_completion_redis_cancel(ngx_completion_redis_call_t *call)
{
}
