
/*
 * libcurl's memory: what it frees held requests, with their credentials, and
 * is wiped.  Its sessions keep what they must.  From 8.0 on a handle keeps
 * the buffer that its last request was sent from: core dumps leave it out.
 */


#include "ngx_completion_fetch_job.h"

#include "ngx_completion_secret.h"

#include <malloc.h>


#if (LIBCURL_VERSION_NUM >= 0x080000)

#define ngx_completion_fetch_kept(size)                                       \
    ((size) >= NGX_COMPLETION_FETCH_UPLOAD_BUFFER)

#else

#define ngx_completion_fetch_kept(size)  0

#endif


static void *ngx_completion_fetch_keep(size_t size);
static void *ngx_completion_fetch_malloc(size_t size);
static void *ngx_completion_fetch_calloc(size_t n, size_t size);
static void *ngx_completion_fetch_realloc(void *p, size_t size);
static char *ngx_completion_fetch_strdup(const char *s);
static void ngx_completion_fetch_free(void *p);


CURLcode
ngx_completion_fetch_global_init(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT,
                                ngx_completion_fetch_malloc,
                                ngx_completion_fetch_free,
                                ngx_completion_fetch_realloc,
                                ngx_completion_fetch_strdup,
                                ngx_completion_fetch_calloc);
}


/* whole pages, so that nobody else's memory is left out with them */

static void *
ngx_completion_fetch_keep(size_t size)
{
    void  *p;

    size = ngx_align(size, ngx_pagesize);

    p = memalign(ngx_pagesize, size);

    if (p) {
        ngx_completion_secret_undumped(p, size, ngx_cycle->log);
    }

    return p;
}


static void *
ngx_completion_fetch_malloc(size_t size)
{
    return ngx_completion_fetch_kept(size) ? ngx_completion_fetch_keep(size)
                                           : malloc(size);
}


static void *
ngx_completion_fetch_calloc(size_t n, size_t size)
{
    void  *p;

    if (!ngx_completion_fetch_kept(n * size)) {
        return calloc(n, size);
    }

    p = ngx_completion_fetch_keep(n * size);

    if (p) {
        ngx_memzero(p, n * size);
    }

    return p;
}


static void *
ngx_completion_fetch_realloc(void *p, size_t size)
{
    void    *new;
    size_t   have;

    if (p == NULL) {
        return ngx_completion_fetch_malloc(size);
    }

    have = malloc_usable_size(p);

    new = ngx_completion_fetch_malloc(size);
    if (new == NULL) {
        return NULL;
    }

    ngx_memcpy(new, p, ngx_min(have, size));
    ngx_completion_fetch_free(p);

    return new;
}


static char *
ngx_completion_fetch_strdup(const char *s)
{
    return strdup(s);
}


static void
ngx_completion_fetch_free(void *p)
{
    if (p) {
        ngx_explicit_memzero(p, malloc_usable_size(p));
        free(p);
    }
}
