
#include "ngx_shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>


typedef struct shim_block_s  shim_block_t;

struct shim_block_s {
    shim_block_t  *next;
    void          *data;
    size_t         size;
};


/* a pool's own header comes first, so that nginx's macros go on working */

typedef struct {
    ngx_pool_t     pool;
    shim_block_t  *blocks;
} shim_pool_t;


ngx_uint_t   shim_fail_at;
ngx_uint_t   shim_allocations;
size_t       shim_bytes;

ngx_uint_t   shim_log_lines;
ngx_uint_t   shim_log_level;
char         shim_log_text[4096];

ngx_log_t    shim_log = { .log_level = NGX_LOG_INFO };

#define SHIM_TRIES      500

static ngx_time_t       shim_now;
volatile ngx_time_t    *ngx_cached_time = &shim_now;
volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_msec_t     ngx_current_msec;


void
shim_time(time_t now)
{
    shim_now.sec = now;
}


ngx_uint_t
shim_starves(shim_hunger_t *hunger)
{
    if (hunger->ended) {
        ngx_memzero(hunger, sizeof(shim_hunger_t));
    }

    if (hunger->fed || hunger->tries == SHIM_TRIES) {
        hunger->bad += !hunger->fed;
        hunger->ended = 1;
        return 0;
    }

    hunger->pool = ngx_create_pool(1024, &shim_log);
    shim_allocations = 0;
    shim_fail_at = ++hunger->tries;

    return 1;
}


void
shim_starved(shim_hunger_t *hunger, ngx_uint_t failed)
{
    hunger->fed = (shim_allocations < shim_fail_at);
    hunger->bad += (!hunger->fed && !failed);

    shim_fail_at = 0;
    ngx_destroy_pool(hunger->pool);
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;

    if (++shim_allocations == shim_fail_at) {
        return NULL;
    }

    return malloc(size);
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    shim_pool_t  *p;

    if (++shim_allocations == shim_fail_at) {
        return NULL;
    }

    p = calloc(1, sizeof(shim_pool_t));
    p->pool.max = size;
    p->pool.log = log;

    return &p->pool;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = pool->cleanup; cln; cln = cln->next) {
        if (cln->handler) {
            cln->handler(cln->data);
        }
    }

    ngx_reset_pool(pool);
    free(pool);
}


void
ngx_reset_pool(ngx_pool_t *pool)
{
    shim_pool_t   *p = (shim_pool_t *) pool;
    shim_block_t  *b, *next;

    for (b = p->blocks; b; b = next) {
        next = b->next;
        shim_bytes -= b->size;
        free(b->data);
        free(b);
    }

    p->blocks = NULL;
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    shim_pool_t   *p = (shim_pool_t *) pool;
    shim_block_t  *b;

    if (++shim_allocations == shim_fail_at) {
        return NULL;
    }

    b = malloc(sizeof(shim_block_t));
    b->data = malloc(size);
    b->size = size;
    b->next = p->blocks;
    p->blocks = b;
    shim_bytes += size;

    return b->data;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *data = ngx_palloc(pool, size);

    return data ? memset(data, 0, size) : NULL;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *data)
{
    shim_pool_t   *p = (shim_pool_t *) pool;
    shim_block_t  *b, **link;

    for (link = &p->blocks; *link; link = &(*link)->next) {
        b = *link;

        if (b->data == data) {
            *link = b->next;
            shim_bytes -= b->size;
            free(b->data);
            free(b);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pcalloc(pool, sizeof(ngx_pool_cleanup_t));
    if (cln == NULL) {
        return NULL;
    }

    if (size) {
        cln->data = ngx_palloc(pool, size);
        if (cln->data == NULL) {
            return NULL;
        }
    }

    cln->next = pool->cleanup;
    pool->cleanup = cln;

    return cln;
}


ngx_array_t *
ngx_array_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_palloc(pool, sizeof(ngx_array_t));
    if (a == NULL) {
        return NULL;
    }

    return (ngx_array_init(a, pool, n, size) == NGX_OK) ? a : NULL;
}


void *
ngx_array_push(ngx_array_t *a)
{
    return ngx_array_push_n(a, 1);
}


void *
ngx_array_push_n(ngx_array_t *a, ngx_uint_t n)
{
    void  *elts;

    if (a->nelts + n > a->nalloc) {
        a->nalloc = 2 * ngx_max(a->nalloc, n);

        elts = ngx_palloc(a->pool, a->nalloc * a->size);
        if (elts == NULL) {
            return NULL;
        }

        memcpy(elts, a->elts, a->nelts * a->size);
        a->elts = elts;
    }

    a->nelts += n;

    return (u_char *) a->elts + a->size * (a->nelts - n);
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *dst = ngx_pnalloc(pool, src->len);

    return dst ? memcpy(dst, src->data, src->len) : NULL;
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_int_t
ngx_filename_cmp(u_char *s1, u_char *s2, size_t n)
{
    return strncmp((char *) s1, (char *) s2, n);
}


u_char *
ngx_strnstr(u_char *s1, char *s2, size_t len)
{
    return memmem(s1, strnlen((char *) s1, len), s2, strlen(s2));
}


uintptr_t
ngx_escape_json(u_char *dst, u_char *src, size_t size)
{
    char         escape[8];
    u_char      *last = size ? src + size : src;
    const char  *short_form;
    uintptr_t    len = 0;

    for ( /* void */ ; src < last; src++) {
        short_form = (*src && *src < 0x80) ? strchr("\nn\rr\tt\bb\ff", *src)
                                           : NULL;

        if (*src == '\\' || *src == '"') {
            sprintf(escape, "\\%c", *src);

        } else if (short_form && *src < ' ') {
            sprintf(escape, "\\%c", short_form[1]);

        } else if (*src < ' ') {
            sprintf(escape, "\\u%04X", *src);

        } else {
            sprintf(escape, "%c", *src);
        }

        if (dst) {
            dst = (u_char *) stpcpy((char *) dst, escape);

        } else {
            len += strlen(escape) - 1;
        }
    }

    return dst ? (uintptr_t) dst : len;
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    for (value = 0; n--; line++) {
        if (!isxdigit(*line)) {
            return NGX_ERROR;
        }

        value = value * 16 + (*line <= '9' ? *line - '0'
                                           : (*line | 0x20) - 'a' + 10);
    }

    return value;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {
        if (*line < '0' || *line > '9'
            || value > (NGX_MAX_INT_T_VALUE - (*line - '0')) / 10)
        {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


off_t
ngx_atoof(u_char *line, size_t n)
{
    off_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {
        if (!isdigit(*line)
            || value > (NGX_MAX_OFF_T_VALUE - (*line - '0')) / 10)
        {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


ngx_int_t
ngx_atofp(u_char *line, size_t n, size_t point)
{
    u_char      c;
    ngx_int_t   value;
    ngx_uint_t  dot;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (dot = 0, value = 0; n--; line++) {
        c = *line;

        if (c == '.' && !dot) {
            dot = 1;
            continue;
        }

        if (c < '0' || c > '9' || (dot && point-- == 0)
            || value > (NGX_MAX_INT_T_VALUE - (c - '0')) / 10)
        {
            return NGX_ERROR;
        }

        value = value * 10 + (c - '0');
    }

    while (point--) {
        if (value > NGX_MAX_INT_T_VALUE / 10) {
            return NGX_ERROR;
        }

        value *= 10;
    }

    return value;
}


u_char *
ngx_strlcasestrn(u_char *s1, u_char *last, u_char *s2, size_t n)
{
    /* n: the length of the second but one, as nginx counts */

    for ( /* void */ ; (size_t) (last - s1) > n; s1++) {
        if (strncasecmp((char *) s1, (char *) s2, n + 1) == 0) {
            return s1;
        }
    }

    return NULL;
}


void
ngx_encode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t    i;
    uint32_t  bits;

    dst->len = 0;

    for (i = 0; i < src->len * 8; i += 6) {
        bits = src->data[i / 8] << 8;
        bits |= (i / 8 + 1 < src->len) ? src->data[i / 8 + 1] : 0;

        dst->data[dst->len++] = alphabet[(bits >> (10 - i % 8)) & 0x3f];
    }
}


in_addr_t
ngx_inet_addr(u_char *text, size_t len)
{
    char            copy[64];
    struct in_addr  addr;

    snprintf(copy, sizeof(copy), "%.*s", (int) len, (char *) text);

    return inet_pton(AF_INET, copy, &addr) == 1 ? addr.s_addr : INADDR_NONE;
}


ngx_int_t
ngx_inet6_addr(u_char *p, size_t len, u_char *addr)
{
    char  copy[64];

    snprintf(copy, sizeof(copy), "%.*s", (int) len, (char *) p);

    return inet_pton(AF_INET6, copy, addr) == 1 ? NGX_OK : NGX_ERROR;
}


u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    int         width, zero;
    char        number[64];
    u_char     *p = buf;
    ngx_str_t   text;

    for ( /* void */ ; *fmt && p < last; fmt++) {

        if (*fmt != '%') {
            *p++ = *fmt;
            continue;
        }

        zero = (*++fmt == '0');

        for (width = 0; *fmt >= '0' && *fmt <= '9'; fmt++) {
            width = width * 10 + (*fmt - '0');
        }

        text.data = (u_char *) number;

        switch (*fmt) {

        case 'V':
            text = *va_arg(args, ngx_str_t *);
            break;

        case 's':
            text = (ngx_str_t) { 0, va_arg(args, u_char *) };
            text.len = strlen((char *) text.data);
            break;

        case 'd':
            text.len = sprintf(number, zero ? "%0*d" : "%*d", width,
                               va_arg(args, int));
            break;

        case 'L':
        case 'T':
        case 'M':
        case 'i':
            text.len = sprintf(number, "%ld", va_arg(args, long));
            break;

        case 'c':
            text.len = sprintf(number, "%c", va_arg(args, int));
            break;

        case 'x':
            fmt++;

            if (*fmt == 'D') {
                text.len = sprintf(number, "%0*x", width,
                                   va_arg(args, uint32_t));

            } else if (*fmt == 'L') {
                text.len = sprintf(number, "%0*lx", width,
                                   va_arg(args, uint64_t));

            } else {
                abort();
            }

            break;

        case 'Z':
            text.len = 1;
            number[0] = '\0';
            break;

        case 'u':
            if (*++fmt != 'i' && *fmt != 'z' && *fmt != 'L') {
                abort();
            }

            text.len = sprintf(number, zero ? "%0*zu" : "%*zu", width,
                               va_arg(args, size_t));
            break;

        default:
            fprintf(stderr, "ngx_shim: no %%%c\n", *fmt);
            abort();
        }

        text.len = ngx_min(text.len, (size_t) (last - p));

        if (text.len) {
            memcpy(p, text.data, text.len);
            p += text.len;
        }
    }

    return p;
}


u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    buf = ngx_vslprintf(buf, (void *) -1, fmt, args);
    va_end(args);

    return buf;
}


u_char * ngx_cdecl
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    buf = ngx_vslprintf(buf, buf + max, fmt, args);
    va_end(args);

    return buf;
}


u_char * ngx_cdecl
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    buf = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return buf;
}


void
shim_log_write(ngx_uint_t level, const char *fmt, va_list args)
{
    u_char  *last;

    last = ngx_vslprintf((u_char *) shim_log_text,
                         (u_char *) shim_log_text + sizeof(shim_log_text) - 1,
                         fmt, args);

    *last = '\0';

    shim_log_level = level;
    shim_log_lines++;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    va_list  args;

    (void) log;
    (void) err;

    va_start(args, fmt);
    shim_log_write(level, fmt, args);
    va_end(args);
}


time_t
ngx_parse_http_time(u_char *value, size_t len)
{
    char       text[64], *end;
    struct tm  tm;

    if (len >= sizeof(text)) {
        return NGX_ERROR;
    }

    memcpy(text, value, len);
    text[len] = '\0';

    memset(&tm, 0, sizeof(tm));

    end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);

    return (end == NULL || *end) ? (time_t) NGX_ERROR : timegm(&tm);
}


void
ngx_gmtime(time_t t, ngx_tm_t *tm)
{
    gmtime_r(&t, tm);

    /* nginx's own counts so, unlike the C library's */

    tm->ngx_tm_year += 1900;
    tm->ngx_tm_mon++;
}


void
ngx_explicit_memzero(void *buf, size_t n)
{
    ngx_memzero(buf, n);
    ngx_memory_barrier();
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    static const char  digits[] = "0123456789abcdef";

    while (len--) {
        *dst++ = digits[*src >> 4];
        *dst++ = digits[*src++ & 0xf];
    }

    return dst;
}
