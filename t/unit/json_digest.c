
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/base/ngx_completion_json.h"

#include <stdlib.h>


static ngx_pool_t  *pool;


static ngx_int_t
digest(const char *text, u_char *md)
{
    ngx_int_t  rc;
    ngx_str_t  s;

    /* at the very end of an allocation, so that a read beyond it is seen */

    s.len = strlen(text);
    s.data = malloc(s.len ? s.len : 1);
    memcpy(s.data, text, s.len);

    rc = ngx_completion_json_digest(pool, &s, md);

    free(s.data);

    return rc;
}


static void
compare(const char *one, const char *two, int same, const char *name)
{
    u_char  a[32], b[32];

    if (digest(one, a) != NGX_OK || digest(two, b) != NGX_OK) {
        ok(0, name);
        printf("# not read\n");
        return;
    }

    ok((memcmp(a, b, 32) == 0) == same, name);
}


static void
is_same(const char *one, const char *two, const char *name)
{
    compare(one, two, 1, name);
}


static void
is_other(const char *one, const char *two, const char *name)
{
    compare(one, two, 0, name);
}


static void
test_same(void)
{
    is_same("{}", " { \n\t} ", "white space of nothing");
    is_same("{\"a\":1,\"b\":[1,2]}", "{ \"a\" : 1 ,\r\n\"b\" : [ 1 , 2 ] }",
            "white space");
    is_same("{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":3,\"a\":1,\"b\":2}",
            "the order of members");
    is_same("{\"o\":{\"a\":{\"x\":1,\"y\":2},\"b\":[]},\"p\":true}",
            "{\"p\":true,\"o\":{\"b\":[],\"a\":{\"y\":2,\"x\":1}}}",
            "the order of inner members");
    is_same("{\"a\":1,\"b\":3,\"a\":2}", "{\"b\":3,\"a\":1,\"a\":2}",
            "the order of others beside a member given twice");
    is_same("{\"a\":[{\"x\":1,\"y\":2},{}]}", "{\"a\":[{\"y\":2,\"x\":1},{}]}",
            "the order of members in an array");
    is_same("{\"\\u0061\":\"\\u0416\\n\\/\"}", "{\"a\":\"\xd0\x96\\u000a/\"}",
            "escapes");
}


static void
test_other(void)
{
    is_other("{}", "{\"\":null}", "an empty name");
    is_other("{\"a\":1}", "{\"b\":1}", "names");
    is_other("{\"a\":1}", "{\"a\":2}", "numbers");
    is_other("{\"a\":1}", "{\"a\":\"1\"}", "a number and a string");
    is_other("{\"a\":true}", "{\"a\":\"true\"}", "a boolean and a string");
    is_other("{\"a\":true}", "{\"a\":false}", "booleans");
    is_other("{\"a\":null}", "{\"a\":\"\"}", "null and an empty string");
    is_other("{\"a\":null}", "{}", "null and nothing");
    is_other("{\"a\":false}", "{\"a\":null}", "false and null");
    is_other("{\"a\":[]}", "{\"a\":{}}", "an empty array and object");
    is_other("{\"a\":[]}", "{\"a\":\"\"}", "an empty array and string");
    is_other("{\"a\":[1,2]}", "{\"a\":[2,1]}", "the order of elements");
    is_other("{\"a\":[1,[2]]}", "{\"a\":[[1],2]}", "nesting of arrays");
    is_other("{\"a\":[1]}", "{\"a\":1}", "an array of one");
    is_other("{\"a\":[[]]}", "{\"a\":[[],[]]}", "how many are empty");
    is_other("{\"a\":{\"b\":1},\"c\":2}", "{\"a\":{\"b\":1,\"c\":2}}",
             "nesting of objects");
    is_other("{\"a\":{\"x\":1},\"b\":{\"x\":2}}",
             "{\"a\":{\"x\":2},\"b\":{\"x\":1}}", "values change places");
    is_other("{\"a\":\"b\"}", "{\"b\":\"a\"}", "a name and its value");
    is_other("{\"a\":[{\"x\":1},{\"y\":2}]}", "{\"a\":[{\"x\":1,\"y\":2}]}",
             "objects of an array");
    is_other("{\"a\":[{\"k\":1},5]}", "{\"a\":[{\"j\":1},5]}",
             "names within an array");
    is_other("{\"a\":1,\"a\":2}", "{\"a\":2}", "a member given twice");
    is_other("{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}",
             "the order of a member given twice");
    is_other("{\"a\":1,\"b\":0,\"a\":2}", "{\"a\":2,\"b\":0,\"a\":1}",
             "the same with another between");
}


static void
test_limits(void)
{
    char    *text;
    size_t   i, n, bytes;
    u_char   md[32], again[32];

    is_int(digest("", md), NGX_DECLINED, "empty");
    is_int(digest("[]", md), NGX_DECLINED, "an array");
    is_int(digest("{\"a\":", md), NGX_DECLINED, "cut off");
    is_int(digest("{} {}", md), NGX_DECLINED, "something behind");

    /* as deep as may be, and deeper */

    for (n = NGX_COMPLETION_JSON_MAX_DEPTH;
         n <= NGX_COMPLETION_JSON_MAX_DEPTH + 1;
         n++)
    {
        text = malloc(n * 8 + 1);
        text[0] = '\0';

        for (i = 0; i < n - 1; i++) {
            strcat(text, "{\"a\":");
        }

        strcat(text, "{}");

        for (i = 0; i < n - 1; i++) {
            strcat(text, "}");
        }

        is_int(digest(text, md),
               n > NGX_COMPLETION_JSON_MAX_DEPTH ? NGX_DECLINED : NGX_OK,
               n > NGX_COMPLETION_JSON_MAX_DEPTH ? "too deep" : "deep");
        free(text);
    }

    /* many elements, of which the last differs */

    n = 100000;
    text = malloc(n * 3 + 16);
    strcpy(text, "{\"a\":[");

    for (i = 0; i < n; i++) {
        memcpy(text + 6 + i * 3, "{},", 3);
    }

    bytes = shim_bytes;

    strcpy(text + 6 + n * 3, "1]}");
    is_int(digest(text, md), NGX_OK, "many elements");

    if (!ok(shim_bytes - bytes < 8 * n, "take no more than they are long")) {
        printf("# %zu bytes for %zu elements\n", shim_bytes - bytes, n);
    }

    strcpy(text + 6 + n * 3, "2]}");
    is_int(digest(text, again), NGX_OK, "many others");
    ok(memcmp(md, again, 32) != 0, "the last one counts");

    free(text);
}


static void
test_memory(void)
{
    int          bad = 0;
    u_char       md[32];
    ngx_int_t    rc;
    ngx_uint_t   n;
    ngx_pool_t  *main_pool = pool;

    for (n = 1; n < 100; n++) {
        pool = ngx_create_pool(1024, &shim_log);
        shim_allocations = 0;
        shim_fail_at = n;
        rc = digest("{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,"
                    "\"8\":8,\"9\":[{\"\\n\":[]}]}", md);
        shim_fail_at = 0;
        ngx_destroy_pool(pool);

        if (shim_allocations < n) {
            break;
        }

        bad += (rc != NGX_ERROR);
    }

    pool = main_pool;

    ok(n > 4 && n < 100 && !bad, "without memory there is none");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    test_same();
    test_other();
    test_limits();
    test_memory();

    ngx_destroy_pool(pool);

    is_int(shim_bytes, 0, "nothing is left of the pool");

    return tap_done();
}
