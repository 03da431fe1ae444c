
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>
#include <sys/mman.h>

#include "ngx_completion_secret.h"


/* pages kept for the next secrets: each transfer has one */
#define NGX_COMPLETION_SECRET_SPARES  32


static void ngx_completion_secret_cleanup(void *data);
static void ngx_completion_secret_wipe(void *data);
static const char *ngx_completion_secret_fill(ngx_fd_t fd,
    ngx_completion_secret_t *secret, ngx_file_info_t *info, ngx_err_t *err);


static ngx_completion_secret_t  *ngx_completion_secret_spares;
static ngx_uint_t                ngx_completion_secret_nspares;


ngx_completion_secret_t *
ngx_completion_secret_create(size_t size, ngx_log_t *log)
{
    size_t                    mapped;
    ngx_completion_secret_t  *secret;

    mapped = ngx_align(sizeof(ngx_completion_secret_t) + size, ngx_pagesize);

    secret = ngx_completion_secret_spares;

    if (secret && mapped == ngx_pagesize) {
        ngx_completion_secret_spares = secret->spare;
        ngx_completion_secret_nspares--;

    } else {
        secret = mmap(NULL, mapped, PROT_READ|PROT_WRITE,
                      MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

        if (secret == MAP_FAILED) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "mmap(%uz) failed", mapped);
            return NULL;
        }

        ngx_completion_secret_undumped(secret, mapped, log);
    }

    secret->mapped = mapped;
    secret->used = sizeof(ngx_completion_secret_t) + size;
    secret->value.data = (u_char *) (secret + 1);
    secret->value.len = size;

    return secret;
}


void
ngx_completion_secret_destroy(ngx_completion_secret_t *secret)
{
    size_t  mapped;

    if (secret == NULL) {
        return;
    }

    mapped = secret->mapped;

    OPENSSL_cleanse(secret, secret->used);

    if (mapped == ngx_pagesize
        && ngx_completion_secret_nspares < NGX_COMPLETION_SECRET_SPARES)
    {
        secret->spare = ngx_completion_secret_spares;
        ngx_completion_secret_spares = secret;
        ngx_completion_secret_nspares++;

        return;
    }

    (void) munmap(secret, mapped);
}


ngx_int_t
ngx_completion_secret_attach(ngx_pool_t *pool,
    ngx_completion_secret_t *secret)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);

    if (cln == NULL) {
        ngx_completion_secret_destroy(secret);
        return NGX_ERROR;
    }

    cln->handler = ngx_completion_secret_cleanup;
    cln->data = secret;

    return NGX_OK;
}


static void
ngx_completion_secret_cleanup(void *data)
{
    ngx_completion_secret_destroy(data);
}


u_char *
ngx_completion_secret_alloc(ngx_pool_t *pool, size_t len)
{
    size_t              *size;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, sizeof(size_t) + len);
    if (cln == NULL) {
        return NULL;
    }

    size = cln->data;
    *size = len;

    cln->handler = ngx_completion_secret_wipe;

    return (u_char *) (size + 1);
}


static void
ngx_completion_secret_wipe(void *data)
{
    size_t  *size = data;

    OPENSSL_cleanse(size + 1, *size);
}


void
ngx_completion_secret_undumped(void *pages, size_t size, ngx_log_t *log)
{
    if (madvise(pages, size, MADV_DONTDUMP) == -1) {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      "madvise(MADV_DONTDUMP) failed, a core dump would hold "
                      "secrets");
    }
}


const char *
ngx_completion_secret_read(ngx_str_t *name, ngx_log_t *log,
    ngx_completion_secret_t **secret, ngx_file_info_t *info, ngx_err_t *err)
{
    ngx_fd_t                  fd;
    const char               *fault;
    ngx_completion_secret_t  *read;

    *err = 0;

    /* whoever opens a pipe must not wait for its other end */

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        *err = ngx_errno;
        return "cannot be opened";
    }

    read = ngx_completion_secret_create(NGX_COMPLETION_SECRET_FILE_MAX + 1,
                                        log);

    if (read) {
        fault = ngx_completion_secret_fill(fd, read, info, err);

    } else {
        *err = NGX_ENOMEM;
        fault = "cannot be read";
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    if (fault) {
        ngx_completion_secret_destroy(read);
        return fault;
    }

    *secret = read;

    return NULL;
}


static const char *
ngx_completion_secret_fill(ngx_fd_t fd, ngx_completion_secret_t *secret,
    ngx_file_info_t *info, ngx_err_t *err)
{
    size_t           len;
    ssize_t          n;
    ngx_file_info_t  after;

    if (ngx_fd_info(fd, info) == NGX_FILE_ERROR) {
        *err = ngx_errno;
        return "cannot be looked at";
    }

    if (!ngx_is_file(info)) {
        return "is not a regular file";
    }

    for (len = 0; len < secret->value.len; len += n) {

        n = ngx_read_fd(fd, secret->value.data + len, secret->value.len - len);

        if (n == -1) {
            *err = ngx_errno;
            return "cannot be read";
        }

        if (n == 0) {
            break;
        }
    }

    if (len == 0) {
        return "is empty";
    }

    if (len > NGX_COMPLETION_SECRET_FILE_MAX) {
        return "is longer than 64k";
    }

    if (ngx_fd_info(fd, &after) == NGX_FILE_ERROR
        || !ngx_completion_secret_same(info, &after))
    {
        return "is being written";
    }

    secret->value.len = len;

    return NULL;
}


ngx_uint_t
ngx_completion_secret_same(ngx_file_info_t *a, ngx_file_info_t *b)
{
    return a->st_dev == b->st_dev
           && a->st_ino == b->st_ino
           && a->st_size == b->st_size
           && a->st_mtim.tv_sec == b->st_mtim.tv_sec
           && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
           && a->st_ctim.tv_sec == b->st_ctim.tv_sec
           && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}
