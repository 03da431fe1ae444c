
/*
 * libcurl's memory: what it frees held requests, with their credentials, and
 * is wiped.  Its sessions keep what they must.
 */


#include "ngx_completion_fetch_job.h"

#include <malloc.h>


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


static void *
ngx_completion_fetch_malloc(size_t size)
{
    return malloc(size);
}


static void *
ngx_completion_fetch_calloc(size_t n, size_t size)
{
    return calloc(n, size);
}


static void *
ngx_completion_fetch_realloc(void *p, size_t size)
{
    void    *new;
    size_t   have;

    if (p == NULL) {
        return malloc(size);
    }

    have = malloc_usable_size(p);

    new = malloc(size);
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
