
/*
 * Linked into the module by allocation.t: the n-th call of a function that may
 * fail for lack of memory, counted while a test says so, fails.
 *
 * The test and the worker share a page, the file beside the module whose name
 * ends in ".control": when to count, which call is to fail, how many there
 * were and which one it was.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <dlfcn.h>
#include <sys/mman.h>

#include <curl/curl.h>
#include <openssl/evp.h>


typedef struct {
    uint32_t  count;         /* while not 0 */
    uint32_t  fail;          /* the call that fails, from 1; 0: none */
    uint32_t  calls;
    char      name[64];      /* of the one that failed */
} control_t;


#define failing(type, failure, name, parameters, arguments)                   \
                                                                              \
    type __real_##name parameters;                                            \
                                                                              \
    type                                                                      \
    __wrap_##name parameters                                                  \
    {                                                                         \
        return fails(#name) ? (failure) : __real_##name arguments;            \
    }


void *__real_ngx_array_push(ngx_array_t *array);
void *__real_ngx_list_push(ngx_list_t *list);

static int fails(const char *name);


static control_t  *control;


__attribute__((constructor))
static void
control_open(void)
{
    int      fd;
    char     path[NGX_MAX_PATH];
    Dl_info  info;

    if (dladdr((void *) control_open, &info) == 0) {
        abort();
    }

    (void) snprintf(path, sizeof(path), "%s.control", info.dli_fname);

    fd = open(path, O_RDWR);
    if (fd == -1) {
        abort();
    }

    control = mmap(NULL, sizeof(control_t), PROT_READ|PROT_WRITE, MAP_SHARED,
                   fd, 0);
    if (control == MAP_FAILED) {
        abort();
    }

    (void) close(fd);
}


static int
fails(const char *name)
{
    if (control->count == 0 || ngx_process != NGX_PROCESS_WORKER) {
        return 0;
    }

    if (++control->calls != control->fail) {
        return 0;
    }

    (void) snprintf(control->name, sizeof(control->name), "%s", name);
    ngx_set_errno(NGX_ENOMEM);

    return 1;
}


/* These two fail only where they need memory. */

void *
__wrap_ngx_array_push(ngx_array_t *array)
{
    if (array->nelts == array->nalloc && fails("ngx_array_push")) {
        return NULL;
    }

    return __real_ngx_array_push(array);
}


void *
__wrap_ngx_list_push(ngx_list_t *list)
{
    if (list->last->nelts == list->nalloc && fails("ngx_list_push")) {
        return NULL;
    }

    return __real_ngx_list_push(list);
}


failing(void *, NULL, ngx_palloc, (ngx_pool_t *pool, size_t size),
        (pool, size))
failing(void *, NULL, ngx_pcalloc, (ngx_pool_t *pool, size_t size),
        (pool, size))
failing(void *, NULL, ngx_pnalloc, (ngx_pool_t *pool, size_t size),
        (pool, size))
failing(u_char *, NULL, ngx_pstrdup, (ngx_pool_t *pool, ngx_str_t *s),
        (pool, s))
failing(ngx_pool_cleanup_t *, NULL, ngx_pool_cleanup_add,
        (ngx_pool_t *pool, size_t size), (pool, size))
failing(ngx_pool_t *, NULL, ngx_create_pool, (size_t size, ngx_log_t *log),
        (size, log))
failing(void *, NULL, ngx_alloc, (size_t size, ngx_log_t *log), (size, log))
failing(void *, NULL, ngx_calloc, (size_t size, ngx_log_t *log), (size, log))
failing(void *, NULL, realloc, (void *p, size_t size), (p, size))
failing(ngx_array_t *, NULL, ngx_array_create,
        (ngx_pool_t *pool, ngx_uint_t n, size_t size), (pool, n, size))
failing(ngx_chain_t *, NULL, ngx_chain_get_free_buf,
        (ngx_pool_t *pool, ngx_chain_t **free), (pool, free))

failing(void *, NULL, ngx_slab_alloc_locked,
        (ngx_slab_pool_t *pool, size_t size), (pool, size))
failing(void *, NULL, ngx_slab_calloc_locked,
        (ngx_slab_pool_t *pool, size_t size), (pool, size))

failing(ngx_connection_t *, NULL, ngx_get_connection,
        (ngx_socket_t s, ngx_log_t *log), (s, log))

failing(CURL *, NULL, curl_easy_init, (void), ())
failing(CURLM *, NULL, curl_multi_init, (void), ())
failing(CURLMcode, CURLM_OUT_OF_MEMORY, curl_multi_add_handle,
        (CURLM *multi, CURL *easy), (multi, easy))

failing(EVP_MAC_CTX *, NULL, EVP_MAC_CTX_new, (EVP_MAC *mac), (mac))
failing(int, 0, EVP_MAC_init,
        (EVP_MAC_CTX *ctx, const unsigned char *key, size_t len,
         const OSSL_PARAM params[]),
        (ctx, key, len, params))
failing(EVP_MD_CTX *, NULL, EVP_MD_CTX_new, (void), ())
failing(int, 0, EVP_DigestInit_ex,
        (EVP_MD_CTX *ctx, const EVP_MD *type, ENGINE *engine),
        (ctx, type, engine))

failing(ngx_int_t, NGX_ERROR, ngx_http_complex_value,
        (void *r, void *value, ngx_str_t *result), (r, value, result))
failing(ngx_int_t, NGX_ERROR, ngx_handle_read_event,
        (ngx_event_t *ev, ngx_uint_t flags), (ev, flags))
