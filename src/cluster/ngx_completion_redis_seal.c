
/*
 * Values that only a node with the same key can have written: the server is
 * not believed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../model/ngx_completion_id.h"

#include "ngx_completion_redis_wire.h"


ngx_int_t
ngx_completion_redis_seal(ngx_completion_redis_t *redis, ngx_str_t *key,
    ngx_str_t *value, u_char *sealed)
{
    ngx_memcpy(sealed + NGX_COMPLETION_REDIS_TAG, value->data, value->len);

    return ngx_completion_id_seal(redis->id_keys, key, value, sealed);
}


ngx_int_t
ngx_completion_redis_open(ngx_completion_redis_t *redis, ngx_str_t *key,
    ngx_str_t *sealed, ngx_str_t *value)
{
    ngx_int_t   rc;
    ngx_uint_t  level;

    rc = ngx_completion_redis_check(redis, key, sealed, value);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_completion_redis_count(redis, NGX_COMPLETION_METRICS_REDIS_FORGED);

    level = ngx_completion_zone_tell(redis->zone, NGX_COMPLETION_TOLD_FORGED)
                ? NGX_LOG_ERR : NGX_LOG_INFO;

    ngx_log_error(level, redis->log, 0,
                  "redis \"%V\" of provider \"%V\" has a value that no node "
                  "with this \"id_key\" wrote, \"%V\" counts as absent",
                  &redis->conf->url, redis->name, key);

    return NGX_DECLINED;
}


ngx_int_t
ngx_completion_redis_check(ngx_completion_redis_t *redis, ngx_str_t *key,
    ngx_str_t *sealed, ngx_str_t *value)
{
    if (sealed->len < NGX_COMPLETION_REDIS_TAG) {
        return NGX_DECLINED;
    }

    value->data = sealed->data + NGX_COMPLETION_REDIS_TAG;
    value->len = sealed->len - NGX_COMPLETION_REDIS_TAG;

    return ngx_completion_id_sealed(redis->id_keys, key, value, sealed->data);
}
