
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
