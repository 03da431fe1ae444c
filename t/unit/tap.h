
/*
 * TAP for unit tests in C.  A program calls ok() and its kin, and ends with
 * "return tap_done();".
 */


#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdio.h>
#include <string.h>


static int  tap_count;
static int  tap_failed;


static inline int
ok(int passed, const char *name)
{
    printf("%sok %d - %s\n", passed ? "" : "not ", ++tap_count, name);

    if (!passed) {
        tap_failed++;
    }

    fflush(stdout);

    return passed;
}


static inline int
is_int(long long got, long long expected, const char *name)
{
    if (!ok(got == expected, name)) {
        printf("# got %lld, expected %lld\n", got, expected);
        return 0;
    }

    return 1;
}


static inline int
is_str(ngx_str_t *got, const char *expected, const char *name)
{
    size_t  len = strlen(expected);

    if (!ok(got->len == len
            && (len == 0 || memcmp(got->data, expected, len) == 0), name))
    {
        printf("# got      '%.*s'\n# expected '%s'\n", (int) got->len,
               got->data ? (char *) got->data : "", expected);
        return 0;
    }

    return 1;
}


static inline ngx_uint_t
holds(ngx_str_t *text, const char *part)
{
    size_t  i, len = strlen(part);

    for (i = 0; i + len <= text->len; i++) {
        if (memcmp(text->data + i, part, len) == 0) {
            return 1;
        }
    }

    return 0;
}


static inline ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static inline int
tap_done(void)
{
    printf("1..%d\n", tap_count);

    return tap_failed ? 1 : 0;
}


#endif /* _TAP_H_INCLUDED_ */
