
/*
 * Header fields: a byte that picks one, then its value.  What is understood
 * is within its bounds, and understood again when its list grows by an item
 * that says nothing.
 */


#include "fuzz.h"

#include "../../src/http/ngx_http_completion_parse.h"


static ngx_str_t
with(ngx_pool_t *pool, const char *before, ngx_str_t *value, const char *after)
{
    ngx_str_t  s = { strlen(before) + value->len + strlen(after), NULL };

    s.data = ngx_pnalloc(pool, s.len + 1);
    (void) ngx_sprintf(s.data, "%s%V%s", before, value, after);

    return s;
}


/* whether a list's last item has ended, so that one may be added */

static ngx_uint_t
ended(ngx_str_t *value)
{
    size_t  i, quoted = 0;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] == '"') {
            quoted = !quoted;

        } else if (quoted && value->data[i] == '\\') {
            i++;
        }
    }

    return !quoted;
}


static ngx_uint_t
blank(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] != ' ' && value->data[i] != '\t') {
            return 0;
        }
    }

    return 1;
}


static void
check_accept(ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_int_t                     rc;
    ngx_str_t                     more;
    ngx_completion_face_format_e  format, again;

    rc = ngx_http_completion_parse_accept(value, &format);

    HOLDS(rc == NGX_OK || rc == NGX_DECLINED);
    HOLDS(format <= NGX_COMPLETION_FACE_STREAM);

    more = with(pool, "image/png, ", value, "");

    if (!blank(value)) {
        HOLDS(ngx_http_completion_parse_accept(&more, &again) == rc);
        HOLDS(rc != NGX_OK || again == format);
    }

    /* the best there is, and asked for by its name: nothing beats it */

    if (rc == NGX_DECLINED && ended(value)) {
        more = with(pool, "", value, ", text/event-stream;x=\",\"; q=0.001");
        HOLDS(ngx_http_completion_parse_accept(&more, &again) == NGX_OK);
        HOLDS(again == NGX_COMPLETION_FACE_STREAM);
    }
}


static void
check_prefer(ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_str_t                     more;
    ngx_http_completion_prefer_t  prefer, again;

    ngx_http_completion_parse_prefer(value, &prefer);

    HOLDS(prefer.wait || prefer.seconds == 0);
    HOLDS(!prefer.wait || fuzz_contains(value->data, value->len, "wait"));
    HOLDS(!prefer.respond_async
          || fuzz_contains(value->data, value->len, "respond-async"));

    more = with(pool, "handling=lenient;wait=7, x=\"wait=8, wait=9\", ", value,
                "");
    ngx_http_completion_parse_prefer(&more, &again);
    HOLDS(memcmp(&prefer, &again, sizeof(prefer)) == 0);

    more = with(pool, "WAIT=\"5\", ", value, "");
    ngx_http_completion_parse_prefer(&more, &again);
    HOLDS(again.wait && again.seconds == 5);
    HOLDS(again.respond_async == prefer.respond_async);
}


static void
check_key(ngx_pool_t *pool, ngx_str_t *value)
{
    size_t     i;
    ngx_int_t  rc;
    ngx_str_t  key, quoted;

    key = *value;
    rc = ngx_http_completion_parse_key(&key);

    if (rc != NGX_OK) {
        HOLDS(rc == NGX_DECLINED);
        return;
    }

    HOLDS(key.len >= 1 && key.len <= 255);

    for (i = 0; i < key.len; i++) {
        HOLDS(key.data[i] > ' ' && key.data[i] < 0x7f);
    }

    quoted = with(pool, "\"", &key, "\"");
    HOLDS(ngx_http_completion_parse_key(&quoted) == NGX_OK);
    HOLDS(fuzz_equal(&key, &quoted));
}


static void
check_type(ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_str_t                   charset, more;
    ngx_completion_face_body_e  type;

    type = ngx_http_completion_parse_type(value, &charset);

    HOLDS(type <= NGX_COMPLETION_FACE_BODY_OTHER);
    HOLDS(value->len || type == NGX_COMPLETION_FACE_BODY_TEXT);
    HOLDS(charset.len == 0
          || fuzz_contains(value->data, value->len, "charset="));

    if (charset.len == 0 && value->len) {
        more = with(pool, "", value, "; charset=\"utf-8\"");
        HOLDS(ngx_http_completion_parse_type(&more, &charset) == type);
        HOLDS(charset.len == 5 && memcmp(charset.data, "utf-8", 5) == 0);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char       first;
    ngx_str_t    value;
    ngx_pool_t  *pool;

    static void  (*checks[])(ngx_pool_t *pool, ngx_str_t *value) = {
        check_accept, check_prefer, check_key, check_type
    };

    first = fuzz_byte(&data, &size);

    /* nginx lets no NUL into a header */

    if (size && memchr(data, '\0', size)) {
        return 0;
    }

    pool = ngx_create_pool(1024, &shim_log);
    value = fuzz_copy(pool, data, size);

    checks[first & 0x03](pool, &value);

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
