
/*
 * What upstream is shown: a secret from a file, or a token that a service
 * gives out, for a key from a file or to the machine itself.
 *
 * A credential is made while the configuration is read and is read-only
 * afterwards; newer contents of its file are the callers'.
 */


#ifndef _NGX_COMPLETION_CREDENTIAL_H_INCLUDED_
#define _NGX_COMPLETION_CREDENTIAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_fetch.h"
#include "../base/ngx_completion_secret.h"


#define NGX_COMPLETION_IAM_URL                                                \
    "https://iam.api.cloud.yandex.net/iam/v1/tokens"
#define NGX_COMPLETION_METADATA_URL                                           \
    "http://169.254.169.254/computeMetadata/v1/instance/"                     \
    "service-accounts/default/token"

/* bytes; Yandex says 4096 */
#define NGX_COMPLETION_TOKEN_MAX         16384

/* of what a token service answers, bytes */
#define NGX_COMPLETION_TOKEN_ANSWER_MAX  65536

/* bytes of the digests below */
#define NGX_COMPLETION_CREDENTIAL_DIGEST  16


typedef enum {
    NGX_COMPLETION_CREDENTIAL_NONE = 0,
    NGX_COMPLETION_CREDENTIAL_API_KEY,
    NGX_COMPLETION_CREDENTIAL_IAM_TOKEN,
    NGX_COMPLETION_CREDENTIAL_SERVICE_ACCOUNT_KEY,
    NGX_COMPLETION_CREDENTIAL_METADATA_TOKEN
} ngx_completion_credential_e;


typedef struct {
    ngx_completion_credential_e   kind;

    ngx_str_t                     file;      /* NUL-terminated; len 0: none */
    ngx_completion_secret_t      *secret;    /* what it held at the start */
    ngx_file_info_t               info;      /* of the file, then */

    ngx_completion_origin_t       service;   /* of tokens */
} ngx_completion_credential_t;


/* Tokens tell from one another by these; neither says anything of a secret. */
typedef struct {
    u_char   source[NGX_COMPLETION_CREDENTIAL_DIGEST];  /* who gives to whom */
    u_char   key[NGX_COMPLETION_CREDENTIAL_DIGEST];     /* for what */
} ngx_completion_credential_digest_t;


/* Whether a service gives the credential out. */
#define ngx_completion_credential_renewed(c)                                  \
    ((c)->kind >= NGX_COMPLETION_CREDENTIAL_SERVICE_ACCOUNT_KEY)


/*
 * Checks what a file held, and drops the line ends behind it.  NULL, or what
 * is wrong, to be put behind the file's name.  In any context.
 */
const char *ngx_completion_credential_check(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_log_t *log);

/* For a checked secret, NULL where there is no file: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_completion_credential_digest(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_completion_credential_digest_t *digest,
    ngx_log_t *log);

/* A request's header; the secret is the token, where there are tokens. */
ngx_int_t ngx_completion_credential_show(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f, ngx_str_t *secret);

/*
 * The transfer that asks for a token, to be given a handler, data and a
 * timeout; NULL: no memory.
 */
ngx_completion_fetch_t *ngx_completion_token_fetch(
    ngx_completion_credential_t *c, ngx_completion_secret_t *secret,
    ngx_log_t *log);

/*
 * What it brought: NULL and the token, in the transfer's pool and wiped with
 * it, good for life seconds; or what is wrong, for the log, quoting nothing.
 */
const char *ngx_completion_token_read(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f, ngx_str_t *token, time_t *life);


#endif /* _NGX_COMPLETION_CREDENTIAL_H_INCLUDED_ */
