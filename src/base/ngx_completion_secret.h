
/*
 * Secrets: memory for them, and the files they come from.
 *
 * A secret has pages of its own, which core dumps leave out and which are
 * wiped when it goes.  It belongs to whoever made it.  Files are read
 * whole, without blocking, in the master and in workers alike.
 */


#ifndef _NGX_COMPLETION_SECRET_H_INCLUDED_
#define _NGX_COMPLETION_SECRET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_SECRET_FILE_MAX  65536      /* bytes */


typedef struct ngx_completion_secret_s  ngx_completion_secret_t;

struct ngx_completion_secret_s {
    ngx_str_t                 value;      /* may be shortened */

    /* private */

    size_t                    mapped;
    size_t                    used;       /* of it, at most */
    ngx_completion_secret_t  *spare;      /* the next one */
};


/* Room for so many bytes, the value being as long; NULL: no memory. */
ngx_completion_secret_t *ngx_completion_secret_create(size_t size,
    ngx_log_t *log);

/* Of a secret, or of NULL. */
void ngx_completion_secret_destroy(ngx_completion_secret_t *secret);

/* It goes with the pool; on NGX_ERROR it is gone already. */
ngx_int_t ngx_completion_secret_attach(ngx_pool_t *pool,
    ngx_completion_secret_t *secret);

/* Bytes of the pool, wiped before it frees them; NULL: no memory. */
u_char *ngx_completion_secret_alloc(ngx_pool_t *pool, size_t len);

/* Leaves whole pages, ours or shared ones, out of core dumps. */
void ngx_completion_secret_undumped(void *pages, size_t size,
    ngx_log_t *log);

/*
 * What a file holds.  NULL, or what is wrong with it, to be put behind its
 * name, and *err of the system, or 0.  The name ends with a NUL.
 */
const char *ngx_completion_secret_read(ngx_str_t *name, ngx_log_t *log,
    ngx_completion_secret_t **secret, ngx_file_info_t *info, ngx_err_t *err);

/* Whether two looks at a name saw the same file with the same content. */
ngx_uint_t ngx_completion_secret_same(ngx_file_info_t *a,
    ngx_file_info_t *b);


#endif /* _NGX_COMPLETION_SECRET_H_INCLUDED_ */
