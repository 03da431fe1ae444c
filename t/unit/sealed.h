
/*
 * Values that the nodes' server holds, for tests of what writes and reads them:
 * their tag is always the same.
 */


#ifndef _SEALED_H_INCLUDED_
#define _SEALED_H_INCLUDED_


#include "ngx_shim.h"

#include "../../src/cluster/ngx_completion_redis.h"


#define TAG  "------------------------"


void
ngx_completion_redis_script_init(ngx_completion_redis_script_t *script)
{
}


ngx_int_t
ngx_completion_redis_seal(ngx_completion_redis_t *redis, ngx_str_t *key,
    ngx_str_t *value, u_char *sealed)
{
    memcpy(sealed, TAG, NGX_COMPLETION_REDIS_TAG);
    memcpy(sealed + NGX_COMPLETION_REDIS_TAG, value->data, value->len);

    return NGX_OK;
}


ngx_int_t
ngx_completion_redis_open(ngx_completion_redis_t *redis, ngx_str_t *key,
    ngx_str_t *sealed, ngx_str_t *value)
{
    if (sealed->len < NGX_COMPLETION_REDIS_TAG
        || memcmp(sealed->data, TAG, NGX_COMPLETION_REDIS_TAG) != 0)
    {
        return NGX_DECLINED;
    }

    value->data = sealed->data + NGX_COMPLETION_REDIS_TAG;
    value->len = sealed->len - NGX_COMPLETION_REDIS_TAG;

    return NGX_OK;
}


#endif /* _SEALED_H_INCLUDED_ */
