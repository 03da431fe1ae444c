
/*
 * Linked into the module by lock.t: between an unlock and the next lock the
 * zone's pages belong to nobody, so that whoever touches them dies of it; and
 * what must not be done under the lock, memory, JSON, digests, I/O, is an
 * alert and an abort.
 *
 * The first page has the lock itself and stays; the counters behind the
 * slab pool are free for all.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <execinfo.h>
#include <sys/mman.h>

#include <curl/curl.h>
#include <openssl/evp.h>
#include <yajl/yajl_parse.h>


#define under_lock(name)                                                      \
                                                                              \
    if (held) {                                                               \
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,                       \
                      "%s() under the zone's lock", name);                    \
        ngx_abort();                                                          \
    }

#define checked(type, name, parameters, arguments)                            \
                                                                              \
    type __real_##name parameters;                                            \
                                                                              \
    type                                                                      \
    __wrap_##name parameters                                                  \
    {                                                                         \
        under_lock(#name);                                                    \
        return __real_##name arguments;                                       \
    }


void __real_ngx_shmtx_lock(ngx_shmtx_t *mtx);
void __real_ngx_shmtx_unlock(ngx_shmtx_t *mtx);

static void protect(ngx_shmtx_t *mtx, int protection);
static void catch(void);
static void touched(int signo, siginfo_t *info, void *context);


static ngx_shmtx_t  *held;


void
__wrap_ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    under_lock("ngx_shmtx_lock");

    __real_ngx_shmtx_lock(mtx);

    held = mtx;
    protect(mtx, PROT_READ|PROT_WRITE);
}


void
__wrap_ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    protect(mtx, PROT_NONE);
    held = NULL;

    __real_ngx_shmtx_unlock(mtx);
}


static void
protect(ngx_shmtx_t *mtx, int protection)
{
    u_char           *first, *last;
    ngx_slab_pool_t  *pool;

    if (ngx_process != NGX_PROCESS_WORKER) {
        return;
    }

    catch();

    pool = (ngx_slab_pool_t *) ((u_char *) mtx
                                - offsetof(ngx_slab_pool_t, mutex));

    first = (u_char *) pool + ngx_pagesize;
    last = (u_char *) ((uintptr_t) pool->end & ~(ngx_pagesize - 1));

    if (mprotect(first, last - first, protection) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "mprotect() failed");
        ngx_abort();
    }
}


static void
catch(void)
{
    struct sigaction  sa;

    static int  caught;

    if (caught) {
        return;
    }

    caught = 1;

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_sigaction = touched;
    sa.sa_flags = SA_SIGINFO|SA_RESETHAND;
    sigaction(SIGSEGV, &sa, NULL);
}


/* Returns into the fault, which then ends the process. */

static void
touched(int signo, siginfo_t *info, void *context)
{
    int    n;
    void  *frames[32];

    static char  said[] = "[alert] the zone was touched without its lock, "
                          "or memory is broken:\n";

    n = backtrace(frames, 32);

    (void) ngx_write_fd(ngx_cycle->log->file->fd, said, sizeof(said) - 1);
    backtrace_symbols_fd(frames, n, ngx_cycle->log->file->fd);
}


checked(void *, ngx_palloc, (ngx_pool_t *pool, size_t size), (pool, size))
checked(void *, ngx_pcalloc, (ngx_pool_t *pool, size_t size), (pool, size))
checked(void *, ngx_pnalloc, (ngx_pool_t *pool, size_t size), (pool, size))
checked(u_char *, ngx_pstrdup, (ngx_pool_t *pool, ngx_str_t *s), (pool, s))
checked(ngx_pool_t *, ngx_create_pool, (size_t size, ngx_log_t *log),
        (size, log))
checked(void *, ngx_alloc, (size_t size, ngx_log_t *log), (size, log))
checked(void *, ngx_calloc, (size_t size, ngx_log_t *log), (size, log))
checked(void *, ngx_array_push, (ngx_array_t *array), (array))
checked(void *, ngx_list_push, (ngx_list_t *list), (list))
checked(void *, realloc, (void *p, size_t size), (p, size))

checked(yajl_handle, yajl_alloc,
        (const yajl_callbacks *callbacks, yajl_alloc_funcs *funcs, void *ctx),
        (callbacks, funcs, ctx))

checked(int, EVP_DigestInit_ex,
        (EVP_MD_CTX *ctx, const EVP_MD *type, ENGINE *engine),
        (ctx, type, engine))

checked(CURL *, curl_easy_init, (void), ())
checked(CURLMcode, curl_multi_socket_action,
        (CURLM *multi, curl_socket_t s, int what, int *running),
        (multi, s, what, running))
checked(ssize_t, write, (int fd, const void *p, size_t size), (fd, p, size))
