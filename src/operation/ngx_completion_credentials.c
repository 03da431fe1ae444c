
/*
 * Each worker holds a copy of its own: of the file's content, which is read
 * anew when the file changes, or of the zone's token, which is copied when
 * its generation does.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_credentials.h"


/* a file that changed is read when it has been left alone for so long, ms */
#define NGX_COMPLETION_CREDENTIAL_REST  200


struct ngx_completion_held_s {
    ngx_completion_service_t     *service;
    ngx_completion_credential_t  *credential;

    ngx_completion_secret_t      *secret;      /* of the file */
    ngx_file_info_t               info;        /* of the file looked at */
    uint64_t                      generation;  /* of the secret */
    const char                   *fault;       /* logged; NULL: none */

    ngx_completion_secret_t      *copy;        /* of the token */
    ngx_completion_zone_token_t   token;

    unsigned                      owned:1;     /* the secret, by the worker */
    unsigned                      blind:1;     /* the file is out of sight */
};


static ngx_int_t ngx_completion_credential_name(ngx_completion_held_t *held,
    ngx_completion_secret_t *secret);
static ngx_int_t ngx_completion_credential_look(ngx_completion_held_t *held,
    ngx_uint_t at_once);
static ngx_uint_t ngx_completion_credential_rests(ngx_file_info_t *info);
static ngx_int_t ngx_completion_credential_changed(ngx_completion_held_t *held,
    ngx_completion_secret_t *secret);
static ngx_int_t ngx_completion_credential_fault(ngx_completion_held_t *held,
    const char *fault, ngx_err_t err);


ngx_int_t
ngx_completion_credentials_init(ngx_completion_service_t *service)
{
    ngx_file_info_t               info;
    ngx_completion_held_t        *held;
    ngx_completion_credential_t  *c;

    held = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_held_t));
    if (held == NULL) {
        return NGX_ERROR;
    }

    c = &service->provider.credential;

    service->held = held;
    held->service = service;
    held->credential = c;
    held->secret = c->secret;
    held->info = c->info;
    held->generation = 1;

    /* a file that cannot even be seen was warned of when nginx started */

    held->blind = (c->file.len
                   && ngx_file_info(c->file.data, &info) == NGX_FILE_ERROR
                   && ngx_errno == NGX_EACCES);

    if (!ngx_completion_credential_renewed(c)) {
        return NGX_OK;
    }

    if (ngx_completion_credential_name(held, c->secret) != NGX_OK) {
        return NGX_ERROR;
    }

    held->copy = ngx_completion_secret_create(NGX_COMPLETION_TOKEN_MAX,
                                              service->log);
    if (held->copy == NULL) {
        return NGX_ERROR;
    }

    held->token.buffer = held->copy->value.data;
    held->token.size = NGX_COMPLETION_TOKEN_MAX;

    return NGX_OK;
}


/* by what its tokens tell from those of other keys */

static ngx_int_t
ngx_completion_credential_name(ngx_completion_held_t *held,
    ngx_completion_secret_t *secret)
{
    ngx_completion_credential_digest_t  digest;

    if (ngx_completion_credential_digest(held->credential, secret, &digest,
                                         held->service->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(held->token.source, digest.source,
               NGX_COMPLETION_TOKEN_DIGEST);
    ngx_memcpy(held->token.key, digest.key, NGX_COMPLETION_TOKEN_DIGEST);

    held->token.untried = 1;

    return NGX_OK;
}


void
ngx_completion_credentials_exit(ngx_completion_service_t *service)
{
    ngx_completion_held_t  *held;

    held = service->held;

    ngx_completion_secret_destroy(held->copy);

    if (held->owned) {
        ngx_completion_secret_destroy(held->secret);
    }
}


ngx_int_t
ngx_completion_credentials_get(ngx_completion_service_t *service,
    ngx_completion_shown_t *shown)
{
    ngx_int_t               rc;
    ngx_completion_held_t  *held;

    held = service->held;

    if (!ngx_completion_credential_renewed(held->credential)) {
        shown->secret = held->secret->value;
        shown->generation = held->generation;
        return NGX_OK;
    }

    rc = ngx_completion_zone_token(service->zone, &held->token);

    shown->secret.data = held->token.buffer;
    shown->secret.len = held->token.len;
    shown->generation = held->token.generation;
    shown->wait = held->token.wait;

    return rc;
}


ngx_int_t
ngx_completion_credentials_due(ngx_completion_service_t *service,
    ngx_msec_t ms, ngx_completion_zone_token_t *lease,
    ngx_completion_secret_t **key)
{
    ngx_completion_held_t  *held;

    held = service->held;

    if (!ngx_completion_credential_renewed(held->credential)) {
        return NGX_DECLINED;
    }

    held->token.lease_time = ms;
    (void) ngx_completion_zone_token(service->zone, &held->token);
    held->token.lease_time = 0;

    if (held->token.lease == 0) {
        return NGX_DECLINED;
    }

    *lease = held->token;
    *key = held->secret;

    return NGX_OK;
}


ngx_int_t
ngx_completion_credentials_refused(ngx_completion_service_t *service,
    uint64_t generation)
{
    ngx_completion_held_t  *held;

    held = service->held;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion credential: %uL of \"%V\" is refused",
                   generation, &service->name);

    if (ngx_completion_credential_renewed(held->credential)) {
        return ngx_completion_zone_token_refused(service->zone, &held->token,
                                                 generation);
    }

    if (generation != held->generation) {
        return NGX_OK;
    }

    return held->blind ? NGX_DECLINED
                       : ngx_completion_credential_look(held, 1);
}


ngx_int_t
ngx_completion_credentials_follow(ngx_completion_service_t *service)
{
    ngx_completion_held_t  *held;

    held = service->held;

    if (held->credential->file.len == 0 || held->blind) {
        return NGX_DECLINED;
    }

    return (ngx_completion_credential_look(held, 0) == NGX_AGAIN) ? NGX_AGAIN
                                                                  : NGX_OK;
}


/*
 * NGX_OK: there is another secret; NGX_DECLINED: there is not; NGX_AGAIN: the
 * file has just changed, look at it again.
 */

static ngx_int_t
ngx_completion_credential_look(ngx_completion_held_t *held,
    ngx_uint_t at_once)
{
    ngx_int_t                 rc;
    ngx_err_t                 err;
    const char               *fault;
    ngx_file_info_t           info;
    ngx_completion_secret_t  *secret;

    if (ngx_file_info(held->credential->file.data, &info) == NGX_FILE_ERROR)
    {
        err = ngx_errno;
        ngx_memzero(&held->info, sizeof(ngx_file_info_t));
        return ngx_completion_credential_fault(held, "cannot be found", err);
    }

    if (ngx_completion_secret_same(&info, &held->info)) {
        return NGX_DECLINED;
    }

    if (!at_once && !ngx_completion_credential_rests(&info)) {
        return NGX_AGAIN;
    }

    fault = ngx_completion_secret_read(&held->credential->file,
                                       held->service->log, &secret,
                                       &info, &err);

    /*
     * The next change, of its mode as well, brings us back here.  What is
     * wrong with the system, not with the file, goes without one.
     */

    held->info = info;

    if (fault) {
        if (err && err != NGX_EACCES) {
            ngx_memzero(&held->info, sizeof(ngx_file_info_t));
        }

        return ngx_completion_credential_fault(held, fault, err);
    }

    fault = ngx_completion_credential_check(held->credential, secret,
                                            held->service->log);

    rc = fault ? ngx_completion_credential_fault(held, fault, 0)
               : ngx_completion_credential_changed(held, secret);

    if (rc != NGX_OK) {
        ngx_completion_secret_destroy(secret);
    }

    return rc;
}


/* whoever rewrites a file in place may be in the middle of it */

static ngx_uint_t
ngx_completion_credential_rests(ngx_file_info_t *info)
{
    int64_t         age;
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    age = ((int64_t) tv.tv_sec - info->st_mtim.tv_sec) * 1000
          + tv.tv_usec / 1000 - info->st_mtim.tv_nsec / 1000000;

    return age < 0 || age >= NGX_COMPLETION_CREDENTIAL_REST;
}


static ngx_int_t
ngx_completion_credential_changed(ngx_completion_held_t *held,
    ngx_completion_secret_t *secret)
{
    ngx_uint_t                 level;
    ngx_completion_service_t  *service;

    service = held->service;
    held->fault = NULL;

    if (secret->value.len == held->secret->value.len
        && ngx_memcmp(secret->value.data, held->secret->value.data,
                      secret->value.len)
           == 0)
    {
        return NGX_DECLINED;
    }

    if (ngx_completion_credential_renewed(held->credential)
        && ngx_completion_credential_name(held, secret) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (held->owned) {
        ngx_completion_secret_destroy(held->secret);
    }

    held->secret = secret;
    held->owned = 1;
    held->generation++;

    level = ngx_worker ? NGX_LOG_INFO : NGX_LOG_NOTICE;

    ngx_log_error(level, service->log, 0,
                  "\"%V\" has changed, provider \"%V\" goes on with what it "
                  "holds now", &held->credential->file, &service->name);

    return NGX_OK;
}


/* every worker sees it, the first one tells */

static ngx_int_t
ngx_completion_credential_fault(ngx_completion_held_t *held,
    const char *fault, ngx_err_t err)
{
    ngx_uint_t  level;

    if (held->fault != fault) {
        held->fault = fault;
        level = ngx_worker ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, held->service->log, err,
                      "\"%V\" %s, provider \"%V\" goes on with what it held "
                      "before", &held->credential->file, fault,
                      &held->service->name);
    }

    return NGX_DECLINED;
}
