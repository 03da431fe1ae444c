
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


/* of a secret that is shown, bytes */
#define NGX_COMPLETION_TOKEN_MAX         16384

/* of what a token service answers, bytes */
#define NGX_COMPLETION_TOKEN_ANSWER_MAX  65536

/* bytes of the digests below */
#define NGX_COMPLETION_CREDENTIAL_DIGEST  16


/*
 * What a dialect knows of a credential.  Without fetch the secret of its file
 * is what upstream is shown; with it a service gives out tokens, for a key
 * where there is a file.
 */
typedef struct {
    const char      *scheme;         /* of "Authorization" */
    ngx_uint_t       file;           /* has one */

    /* of a service */

    const char      *url;            /* unless the configuration says */
    const char      *directive;      /* where it says so */
    ngx_uint_t       local;          /* this machine's, behind no proxy */

    /* The account a key is for; NULL, or what is wrong, quoting nothing. */
    const char    *(*account)(ngx_pool_t *pool, ngx_str_t *key,
                        ngx_str_t *account);

    /* Makes a request for a token: NGX_OK or NGX_ERROR. */
    ngx_int_t      (*fetch)(ngx_completion_fetch_t *f, ngx_str_t *key);

    /* Reads a token, as ngx_completion_token_read() does, of any life. */
    const char    *(*read)(ngx_completion_fetch_t *f, ngx_str_t *token,
                        time_t *life);
} ngx_completion_credential_kind_t;


typedef struct {
    const ngx_completion_credential_kind_t  *kind;      /* NULL: none */

    ngx_str_t                  file;      /* NUL-terminated; len 0: none */
    ngx_completion_secret_t   *secret;    /* what it held at the start */
    ngx_file_info_t            info;      /* of the file, then */

    ngx_str_t                  url;       /* of the service; data NULL: its
                                             preset */
    ngx_completion_origin_t    service;   /* of tokens */
} ngx_completion_credential_t;


/* Tokens tell from one another by these; neither says anything of a secret. */
typedef struct {
    u_char   source[NGX_COMPLETION_CREDENTIAL_DIGEST];  /* who gives to whom */
    u_char   key[NGX_COMPLETION_CREDENTIAL_DIGEST];     /* for what */
} ngx_completion_credential_digest_t;


/* Whether a service gives the credential out. */
#define ngx_completion_credential_renewed(c)                                  \
    ((c)->kind->fetch != NULL)


/*
 * A directive of a dialect that is a credential: its post is the kind, the
 * argument "file:PATH", or where there is no file the service's URL.
 */
char *ngx_completion_credential_slot(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Reads the file that a directive names by "file:PATH": NGX_CONF_OK, or what
 * is wrong; the secret goes with the configuration.
 */
char *ngx_completion_credential_file(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *path, ngx_completion_secret_t **secret, ngx_file_info_t *info);

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

/*
 * The transfer that asks for a token, to be given a handler, data and a
 * timeout; NULL: no memory.
 */
ngx_completion_fetch_t *ngx_completion_token_fetch(
    ngx_completion_credential_t *c, ngx_completion_secret_t *secret,
    ngx_log_t *log);

/* A token's text, into the transfer's pool: NULL, or what is wrong. */
const char *ngx_completion_token_keep(ngx_completion_fetch_t *f,
    ngx_str_t *text, ngx_str_t *token);

/*
 * What it brought: NULL and the token, in the transfer's pool and wiped with
 * it, good for life seconds; or what is wrong, for the log, quoting nothing.
 */
const char *ngx_completion_token_read(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f, ngx_str_t *token, time_t *life);


#endif /* _NGX_COMPLETION_CREDENTIAL_H_INCLUDED_ */
