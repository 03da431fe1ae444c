
/*
 * As much of nginx as the units under test need, on malloc(): each allocation
 * from a pool is one of its own, so that a sanitizer sees every overrun.
 */


#ifndef _NGX_SHIM_H_INCLUDED_
#define _NGX_SHIM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the allocation with this number fails, from 1 on; 0: none does */
extern ngx_uint_t   shim_fail_at;
extern ngx_uint_t   shim_allocations;

/* bytes that pools hold now */
extern size_t       shim_bytes;

/* what was logged */
extern ngx_uint_t   shim_log_lines;
extern ngx_uint_t   shim_log_level;
extern char         shim_log_text[4096];

extern ngx_log_t    shim_log;


/*
 * What is tried until it gets all the memory that it asks for: its first
 * allocation fails, then its second, and so on, in a pool of its own each.
 *
 *     while (shim_starves(&hunger)) {
 *         shim_starved(&hunger, reads(hunger.pool) == NGX_ERROR);
 *     }
 *
 *     ok(hunger.tries > 3 && !hunger.bad, "nothing is read without memory");
 *
 * The last try, which lacks nothing, need not fail. It may be used once more.
 */
typedef struct {
    ngx_pool_t     *pool;
    ngx_uint_t      tries;
    ngx_uint_t      bad;        /* that did not fail as they should */
    unsigned        fed:1;
    unsigned        ended:1;
} shim_hunger_t;


ngx_uint_t shim_starves(shim_hunger_t *hunger);
void shim_starved(shim_hunger_t *hunger, ngx_uint_t failed);


void shim_time(time_t now);
void shim_log_write(ngx_uint_t level, const char *fmt, va_list args);


#endif /* _NGX_SHIM_H_INCLUDED_ */
