
/*
 * The dialect of Yandex's completionAsync: what the files of this folder
 * share.  Nobody outside of it includes this.
 */


#ifndef _NGX_COMPLETION_YANDEX_H_INCLUDED_
#define _NGX_COMPLETION_YANDEX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>

#include "../ngx_completion_dialect.h"
#include "../../base/ngx_completion_json.h"


#define NGX_COMPLETION_YANDEX_SUBMIT_URL                                      \
    "https://llm.api.cloud.yandex.net/foundationModels/v1/completionAsync"
#define NGX_COMPLETION_YANDEX_OPERATIONS_URL                                  \
    "https://operation.api.cloud.yandex.net/operations"
#define NGX_COMPLETION_YANDEX_IAM_URL                                         \
    "https://iam.api.cloud.yandex.net/iam/v1/tokens"

/* whatever URL a JWT is exchanged at */
#define NGX_COMPLETION_JWT_AUDIENCE  NGX_COMPLETION_YANDEX_IAM_URL

#define NGX_COMPLETION_YANDEX_METADATA_URL                                    \
    "http://169.254.169.254/computeMetadata/v1/instance/"                     \
    "service-accounts/default/token"


typedef struct {
    ngx_flag_t    data_logging;
    ngx_str_t     iam_url;
} ngx_completion_yandex_conf_t;


/* the authorized key of a service account, as the console gives it out */
typedef struct {
    ngx_str_t     id;
    ngx_str_t     account;       /* the service account's id */
    EVP_PKEY     *pkey;
} ngx_completion_jwt_key_t;


/* The functions of the table, see ngx_completion_dialect_s. */

ngx_int_t ngx_completion_yandex_body(ngx_completion_provider_t *p,
    ngx_pool_t *pool, ngx_completion_prompt_t *prompt, ngx_str_t *body,
    ngx_str_t *reason);
ngx_int_t ngx_completion_yandex_headers(ngx_completion_provider_t *p,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f,
    u_char *request_id);

ngx_int_t ngx_completion_yandex_answer(ngx_completion_kind_e kind,
    ngx_completion_masks_t *masks, ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_operation_t *operation, const char **fault);
ngx_int_t ngx_completion_yandex_reason(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *reason);
ngx_int_t ngx_completion_yandex_result(ngx_pool_t *pool, ngx_str_t *document,
    ngx_completion_result_t *result);
ngx_int_t ngx_completion_yandex_joined(ngx_pool_t *pool,
    ngx_completion_joined_t *joined, ngx_completion_operation_t *operation);

/* Of a time in seconds: its text, and what stands behind it. */
u_char *ngx_completion_yandex_time(u_char *p, time_t time);

/* The word for how a text ends. */
const ngx_str_t *ngx_completion_yandex_status_of(
    ngx_completion_result_t *result);

ngx_int_t ngx_completion_yandex_decided(ngx_pool_t *pool,
    ngx_completion_state_e state, time_t submitted, time_t decided,
    ngx_completion_operation_t *operation);

/* Upstream's word for one of ours, as JSON; NULL: it has none. */
ngx_str_t *ngx_completion_yandex_reasoning(ngx_str_t *word);


/*
 * Reads a key file; the strings are in the pool.  NULL, or what is wrong,
 * quoting nothing; there is nothing to free then.
 */
const char *ngx_completion_jwt_key(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_jwt_key_t *key);
void ngx_completion_jwt_key_free(ngx_completion_jwt_key_t *key);

/*
 * A JSON Web Token (PS256) that can be exchanged for an hour from now
 * (seconds), in the pool and wiped with it.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_completion_jwt_sign(ngx_pool_t *pool,
    ngx_completion_jwt_key_t *key, time_t now, ngx_str_t *jwt);


extern ngx_completion_credential_kind_t  ngx_completion_yandex_api_key;
extern ngx_completion_credential_kind_t  ngx_completion_yandex_iam_token;
extern ngx_completion_credential_kind_t  ngx_completion_yandex_service_key;
extern ngx_completion_credential_kind_t  ngx_completion_yandex_metadata_token;

extern const ngx_completion_dialect_t  ngx_completion_yandex;


#endif /* _NGX_COMPLETION_YANDEX_H_INCLUDED_ */
