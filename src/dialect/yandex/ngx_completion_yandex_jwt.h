
/*
 * The authorized key of a service account, as Yandex's console gives it out,
 * and the JSON Web Token that it signs (PS256).
 */


#ifndef _NGX_COMPLETION_YANDEX_JWT_H_INCLUDED_
#define _NGX_COMPLETION_YANDEX_JWT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>


/* whatever URL it is exchanged at */
#define NGX_COMPLETION_JWT_AUDIENCE                                           \
    "https://iam.api.cloud.yandex.net/iam/v1/tokens"


typedef struct {
    ngx_str_t    id;
    ngx_str_t    account;        /* the service account's id */
    EVP_PKEY    *pkey;
} ngx_completion_jwt_key_t;


/*
 * Reads a key file; the strings are in the pool.  NULL, or what is wrong,
 * quoting nothing; there is nothing to free then.
 */
const char *ngx_completion_jwt_key(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_jwt_key_t *key);
void ngx_completion_jwt_key_free(ngx_completion_jwt_key_t *key);

/*
 * A token that can be exchanged for an hour from now (seconds), in the pool
 * and wiped with it.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_completion_jwt_sign(ngx_pool_t *pool,
    ngx_completion_jwt_key_t *key, time_t now, ngx_str_t *jwt);


#endif /* _NGX_COMPLETION_YANDEX_JWT_H_INCLUDED_ */
