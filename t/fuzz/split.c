
/*
 * A text and the bytes of a part.  Two bytes of the size, then the text.  The
 * parts are the text but for white space, which the joints tell; none is too
 * long, empty or white, and none ends inside of a character.
 */


#include "fuzz.h"

#include "../../src/base/ngx_completion_json.h"
#include "../../src/model/ngx_completion_split.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                   most;
    u_char                  *p;
    ngx_str_t                text, rest, part, again;
    ngx_pool_t              *pool;
    ngx_completion_joint_e   joint;

    pool = ngx_create_pool(1024, &shim_log);

    most = fuzz_byte(&data, &size) | fuzz_byte(&data, &size) << 8;
    most = ngx_max(most % 2048, NGX_COMPLETION_SPLIT_MIN);

    text = fuzz_copy(pool, data, size);

    if (ngx_completion_utf8_check(text.data, text.len) != NGX_OK) {
        goto done;
    }

    rest = text;
    p = text.data;
    joint = NGX_COMPLETION_JOINT_NOTHING;

    while (ngx_completion_split(&rest, most, &part, &joint) == NGX_OK) {
        HOLDS(part.len && part.len <= most);
        HOLDS(!ngx_completion_utf8_white(part.data));
        HOLDS(ngx_completion_utf8_check(part.data, part.len) == NGX_OK);
        HOLDS(ngx_completion_utf8_blank(p, part.data - p));

        p = part.data + part.len;

        HOLDS(rest.data + rest.len == text.data + text.len);
        HOLDS(ngx_completion_utf8_blank(p, rest.data - p));
        HOLDS((joint == NGX_COMPLETION_JOINT_NOTHING)
              == (rest.data == p || rest.len == 0));

        /* what was cut is short enough: it is not cut again */

        again = part;
        HOLDS(ngx_completion_split(&again, most, &part, &joint) == NGX_OK);
        HOLDS(again.len == 0);
    }

    HOLDS(ngx_completion_utf8_blank(p, text.data + text.len - p));

done:

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
