
/*
 * A native request: an object in upstream's own spelling.  What it may set is
 * named below, and nothing else of it goes upstream.
 */


#ifndef _NGX_COMPLETION_YANDEX_NATIVE_H_INCLUDED_
#define _NGX_COMPLETION_YANDEX_NATIVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../base/ngx_completion_json.h"


enum {
    NGX_COMPLETION_NATIVE_MODEL = NGX_COMPLETION_JSON_ROOT + 1,
    NGX_COMPLETION_NATIVE_OPTIONS,
    NGX_COMPLETION_NATIVE_TEMPERATURE,
    NGX_COMPLETION_NATIVE_MAX_TOKENS,
    NGX_COMPLETION_NATIVE_REASONING,
    NGX_COMPLETION_NATIVE_MODE,
    NGX_COMPLETION_NATIVE_MESSAGES,
    NGX_COMPLETION_NATIVE_JSON_OBJECT,
    NGX_COMPLETION_NATIVE_JSON_SCHEMA,
    NGX_COMPLETION_NATIVE_TOOLS,
    NGX_COMPLETION_NATIVE_TOOL_CHOICE,
    NGX_COMPLETION_NATIVE_PARALLEL,
    NGX_COMPLETION_NATIVE_LAST
};


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_json_writer_t  *writer;   /* of an array of the parts */
    ngx_uint_t                     part;     /* the one being copied */
    ngx_uint_t                     depth;    /* of that one */
    ngx_uint_t                     messages;
    const char                    *reason;   /* of NGX_DECLINED */

    ngx_str_t                      model;    /* unescaped */
    ngx_str_t                      text;     /* of all parts */
    size_t                         start[NGX_COMPLETION_NATIVE_LAST];
    size_t                         end[NGX_COMPLETION_NATIVE_LAST];
    ngx_str_t                      parts[NGX_COMPLETION_NATIVE_LAST];
} ngx_completion_native_t;


/*
 * Fills in a zeroed one: model, and parts by their names above as JSON texts,
 * empty where not given or null; there is one message at least.  NGX_OK,
 * NGX_DECLINED or NGX_ERROR.
 */
ngx_int_t ngx_completion_provider_native(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_native_t *native);


#endif /* _NGX_COMPLETION_YANDEX_NATIVE_H_INCLUDED_ */
