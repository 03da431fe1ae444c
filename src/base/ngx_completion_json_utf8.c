
#include "ngx_completion_json.h"


ngx_int_t
ngx_completion_utf8_check(u_char *p, size_t len)
{
    u_char   *last, c, min, max;
    size_t    rest;
    uint64_t  word;

    if (len == 0) {
        return NGX_OK;
    }

    last = p + len;

    while (p < last) {

        while (last - p >= (ssize_t) sizeof(uint64_t)) {
            ngx_memcpy(&word, p, sizeof(uint64_t));

            if (word & 0x8080808080808080ULL) {
                break;
            }

            p += sizeof(uint64_t);
        }

        if (p == last) {
            break;
        }

        c = *p++;

        if (c < 0x80) {
            continue;
        }

        /* it is the second byte that tells what is overlong or too large */

        min = 0x80;
        max = 0xbf;

        if (c >= 0xc2 && c <= 0xdf) {
            rest = 1;

        } else if (c >= 0xe0 && c <= 0xef) {
            rest = 2;
            min = (c == 0xe0) ? 0xa0 : min;
            max = (c == 0xed) ? 0x9f : max;

        } else if (c >= 0xf0 && c <= 0xf4) {
            rest = 3;
            min = (c == 0xf0) ? 0x90 : min;
            max = (c == 0xf4) ? 0x8f : max;

        } else {
            return NGX_DECLINED;
        }

        if ((size_t) (last - p) < rest || *p < min || *p > max) {
            return NGX_DECLINED;
        }

        while (--rest) {
            if ((*++p & 0xc0) != 0x80) {
                return NGX_DECLINED;
            }
        }

        p++;
    }

    return NGX_OK;
}


/* White_Space of Unicode, and the mark that is also called a space */

ngx_uint_t
ngx_completion_utf8_white(u_char *p)
{
    uint32_t    c;
    ngx_uint_t  n;

    c = *p;
    n = 1;

    if (c >= 0xf0) {
        return 0;
    }

    if (c >= 0xe0) {
        c = (c & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        n = 3;

    } else if (c >= 0xc0) {
        c = (c & 0x1f) << 6 | (p[1] & 0x3f);
        n = 2;
    }

    return (c == 0x20 || (c >= 0x09 && c <= 0x0d)
            || c == 0x85 || c == 0xa0 || c == 0x1680
            || (c >= 0x2000 && c <= 0x200a)
            || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f
            || c == 0x3000 || c == 0xfeff)
           ? n : 0;
}


ngx_uint_t
ngx_completion_utf8_blank(u_char *p, size_t len)
{
    u_char      *last;
    ngx_uint_t   n;

    for (last = p + len; p < last; p += n) {
        n = ngx_completion_utf8_white(p);

        if (n == 0) {
            return 0;
        }
    }

    return 1;
}
