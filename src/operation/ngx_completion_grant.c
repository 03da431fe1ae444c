
/*
 * What upstream is shown now: the content of a file, looked at twice a
 * second, or a token in the zone, which one worker renews for all.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_operation.h"


/* how often a file, or the age of a token, is looked at, ms */
#define NGX_COMPLETION_GRANT_LOOK     500

/* a file that changed is read when it has been left alone for so long, ms */
#define NGX_COMPLETION_GRANT_REST     200

/* the most that a token service is given, ms */
#define NGX_COMPLETION_GRANT_TIMEOUT  10000

/* how often a long-lived token is renewed, ms */
#define NGX_COMPLETION_GRANT_RENEW    3600000


/* one per service in every worker */
typedef struct {
    ngx_completion_service_t     *service;
    ngx_completion_credential_t  *credential;

    ngx_completion_secret_t      *secret;      /* of the file */
    ngx_file_info_t               info;        /* of the file looked at */
    uint64_t                      generation;  /* of the secret */
    const char                   *fault;       /* logged; NULL: none */

    ngx_completion_secret_t      *copy;        /* of the token */
    ngx_completion_zone_token_t   token;
    ngx_queue_t                   renewals;

    unsigned                      owned:1;     /* the secret, by the worker */
    unsigned                      blind:1;     /* the file is out of sight */
} ngx_completion_holder_t;


typedef struct {
    ngx_queue_t                   queue;
    ngx_completion_holder_t      *holder;
    ngx_completion_fetch_t       *fetch;
    ngx_completion_zone_token_t   token;       /* its lease */
} ngx_completion_renewal_t;


static ngx_int_t ngx_completion_holder_init(ngx_completion_holder_t *holder,
    ngx_log_t *log);
static ngx_int_t ngx_completion_holder_key(ngx_completion_holder_t *holder,
    ngx_completion_secret_t *secret, ngx_log_t *log);
static void ngx_completion_grants_timer(ngx_event_t *ev);

static ngx_int_t ngx_completion_holder_look(ngx_completion_holder_t *holder,
    ngx_uint_t at_once);
static ngx_uint_t ngx_completion_holder_rests(ngx_file_info_t *info);
static ngx_int_t ngx_completion_holder_read(ngx_completion_holder_t *holder,
    ngx_completion_secret_t *secret);
static void ngx_completion_holder_fault(ngx_completion_holder_t *holder,
    const char *fault, ngx_err_t err);

static void ngx_completion_renewal_start(ngx_completion_holder_t *holder);
static void ngx_completion_renewal_answered(ngx_completion_fetch_t *f);
static ngx_msec_t ngx_completion_renewal_time(ngx_msec_t life);
static void ngx_completion_renewal_done(ngx_completion_renewal_t *renewal,
    ngx_uint_t recovered, time_t life);
static void ngx_completion_renewal_failed(ngx_completion_holder_t *holder,
    ngx_completion_zone_token_t *token, ngx_completion_fetch_t *f,
    const char *fault);


static ngx_completion_holder_t  *ngx_completion_holders;
static ngx_uint_t                ngx_completion_nholders;
static ngx_event_t               ngx_completion_grants_event;


ngx_int_t
ngx_completion_grants_init(ngx_cycle_t *cycle, ngx_array_t *services)
{
    ngx_uint_t                  i;
    ngx_event_t                *ev;
    ngx_completion_service_t  **service;

    service = services->elts;

    ngx_completion_holders = ngx_calloc(services->nelts
                                        * sizeof(ngx_completion_holder_t),
                                        cycle->log);
    if (ngx_completion_holders == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_nholders = services->nelts;

    for (i = 0; i < services->nelts; i++) {
        ngx_completion_holders[i].service = service[i];

        if (ngx_completion_holder_init(&ngx_completion_holders[i],
                                       cycle->log)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ev = &ngx_completion_grants_event;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ngx_completion_timer_init(ev, ngx_completion_grants_timer, cycle->log);
    ev->cancelable = 1;

    ngx_add_timer(ev, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_holder_init(ngx_completion_holder_t *holder, ngx_log_t *log)
{
    ngx_msec_t                    timeout;
    ngx_file_info_t               info;
    ngx_completion_credential_t  *c;

    c = &holder->service->provider.credential;

    holder->credential = c;
    holder->secret = c->secret;
    holder->info = c->info;
    holder->generation = 1;

    ngx_queue_init(&holder->renewals);

    /* a file that cannot even be seen was warned of when nginx started */

    holder->blind = (c->file.len
                     && ngx_file_info(c->file.data, &info) == NGX_FILE_ERROR
                     && ngx_errno == NGX_EACCES);

    if (!ngx_completion_credential_renewed(c)) {
        return NGX_OK;
    }

    if (ngx_completion_holder_key(holder, c->secret, log) != NGX_OK) {
        return NGX_ERROR;
    }

    holder->copy = ngx_completion_secret_create(NGX_COMPLETION_TOKEN_MAX, log);
    if (holder->copy == NULL) {
        return NGX_ERROR;
    }

    timeout = ngx_min(holder->service->provider.request_timeout,
                      NGX_COMPLETION_GRANT_TIMEOUT);

    holder->token.buffer = holder->copy->value.data;
    holder->token.size = NGX_COMPLETION_TOKEN_MAX;
    holder->token.lease_time = timeout + 1000;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_holder_key(ngx_completion_holder_t *holder,
    ngx_completion_secret_t *secret, ngx_log_t *log)
{
    ngx_completion_credential_digest_t  digest;

    if (ngx_completion_credential_digest(holder->credential, secret, &digest,
                                         log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(holder->token.source, digest.source,
               NGX_COMPLETION_TOKEN_DIGEST);
    ngx_memcpy(holder->token.key, digest.key, NGX_COMPLETION_TOKEN_DIGEST);

    holder->token.untried = 1;

    return NGX_OK;
}


void
ngx_completion_grants_exit(void)
{
    ngx_uint_t                i;
    ngx_completion_holder_t  *holder;

    ngx_completion_timer_stop(&ngx_completion_grants_event);

    ngx_completion_grants_yield();

    for (i = 0; i < ngx_completion_nholders; i++) {
        holder = &ngx_completion_holders[i];

        ngx_completion_secret_destroy(holder->copy);

        if (holder->owned) {
            ngx_completion_secret_destroy(holder->secret);
        }
    }

    ngx_completion_nholders = 0;
}


void
ngx_completion_grants_yield(void)
{
    ngx_uint_t                 i;
    ngx_queue_t               *q;
    ngx_completion_holder_t   *holder;
    ngx_completion_renewal_t  *renewal;

    for (i = 0; i < ngx_completion_nholders; i++) {
        holder = &ngx_completion_holders[i];

        while (holder->renewals.next && !ngx_queue_empty(&holder->renewals)) {
            q = ngx_queue_head(&holder->renewals);
            renewal = ngx_queue_data(q, ngx_completion_renewal_t, queue);

            ngx_queue_remove(q);

            ngx_completion_zone_token_yield(holder->service->zone,
                                            &renewal->token);
            ngx_completion_fetch_destroy(renewal->fetch);
        }
    }
}


static void
ngx_completion_grants_timer(ngx_event_t *ev)
{
    ngx_msec_t                next;
    ngx_uint_t                i, used;
    ngx_completion_grant_t    grant;
    ngx_completion_holder_t  *holder;

    if (ngx_exiting) {
        return;
    }

    next = NGX_COMPLETION_GRANT_LOOK;
    used = 0;

    for (i = 0; i < ngx_completion_nholders; i++) {
        holder = &ngx_completion_holders[i];

        if (holder->credential->file.len && !holder->blind) {
            used = 1;

            if (ngx_completion_holder_look(holder, 0) == NGX_AGAIN) {
                next = NGX_COMPLETION_GRANT_REST;
            }
        }

        /* so that no request has to wait for a token */

        if (ngx_completion_credential_renewed(holder->credential)) {
            used = 1;
            (void) ngx_completion_grant(holder->service, &grant);
        }
    }

    if (used) {
        ngx_add_timer(ev, next);
    }
}


ngx_int_t
ngx_completion_grant(ngx_completion_service_t *service,
    ngx_completion_grant_t *grant)
{
    ngx_int_t                 rc;
    ngx_completion_holder_t  *holder;

    holder = &ngx_completion_holders[service->index];

    if (!ngx_completion_credential_renewed(holder->credential)) {
        grant->secret = holder->secret->value;
        grant->generation = holder->generation;
        return NGX_OK;
    }

    rc = ngx_completion_zone_token(service->zone, &holder->token);

    if (holder->token.lease) {
        ngx_completion_renewal_start(holder);
    }

    grant->secret.data = holder->token.buffer;
    grant->secret.len = holder->token.len;
    grant->generation = holder->token.generation;
    grant->wait = holder->token.wait;

    return rc;
}


ngx_int_t
ngx_completion_grant_refused(ngx_completion_service_t *service,
    uint64_t generation)
{
    ngx_completion_holder_t  *holder;

    holder = &ngx_completion_holders[service->index];

    if (ngx_completion_credential_renewed(holder->credential)) {
        return ngx_completion_zone_token_refused(service->zone,
                                                 &holder->token, generation);
    }

    if (generation != holder->generation) {
        return NGX_OK;
    }

    return holder->blind ? NGX_DECLINED
                         : ngx_completion_holder_look(holder, 1);
}


/*
 * NGX_OK: there is another secret; NGX_DECLINED: there is not; NGX_AGAIN: the
 * file has just changed, look at it again.
 */

static ngx_int_t
ngx_completion_holder_look(ngx_completion_holder_t *holder,
    ngx_uint_t at_once)
{
    ngx_int_t                 rc;
    ngx_err_t                 err;
    const char               *fault;
    ngx_file_info_t           info;
    ngx_completion_secret_t  *secret;

    if (ngx_file_info(holder->credential->file.data, &info) == NGX_FILE_ERROR)
    {
        err = ngx_errno;
        ngx_memzero(&holder->info, sizeof(ngx_file_info_t));
        ngx_completion_holder_fault(holder, "cannot be found", err);
        return NGX_DECLINED;
    }

    if (ngx_completion_secret_same(&info, &holder->info)) {
        return NGX_DECLINED;
    }

    if (!at_once && !ngx_completion_holder_rests(&info)) {
        return NGX_AGAIN;
    }

    fault = ngx_completion_secret_read(&holder->credential->file,
                                       holder->service->log, &secret,
                                       &info, &err);
    if (fault) {

        /*
         * The next change, of its mode as well, brings us back here.  What is
         * wrong with the system, not with the file, goes without one.
         */

        if (err && err != NGX_EACCES) {
            ngx_memzero(&holder->info, sizeof(ngx_file_info_t));

        } else {
            holder->info = info;
        }

        ngx_completion_holder_fault(holder, fault, err);
        return NGX_DECLINED;
    }

    holder->info = info;

    fault = ngx_completion_credential_check(holder->credential, secret,
                                            holder->service->log);
    if (fault) {
        ngx_completion_secret_destroy(secret);
        ngx_completion_holder_fault(holder, fault, 0);
        return NGX_DECLINED;
    }

    rc = ngx_completion_holder_read(holder, secret);

    if (rc != NGX_OK) {
        ngx_completion_secret_destroy(secret);
    }

    return rc;
}


/* whoever rewrites a file in place may be in the middle of it */

static ngx_uint_t
ngx_completion_holder_rests(ngx_file_info_t *info)
{
    int64_t         age;
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    age = ((int64_t) tv.tv_sec - info->st_mtim.tv_sec) * 1000
          + tv.tv_usec / 1000 - info->st_mtim.tv_nsec / 1000000;

    return age < 0 || age >= NGX_COMPLETION_GRANT_REST;
}


static ngx_int_t
ngx_completion_holder_read(ngx_completion_holder_t *holder,
    ngx_completion_secret_t *secret)
{
    ngx_uint_t                 level;
    ngx_completion_service_t  *service;

    service = holder->service;
    holder->fault = NULL;

    if (secret->value.len == holder->secret->value.len
        && ngx_memcmp(secret->value.data, holder->secret->value.data,
                      secret->value.len)
           == 0)
    {
        return NGX_DECLINED;
    }

    if (ngx_completion_credential_renewed(holder->credential)
        && ngx_completion_holder_key(holder, secret, service->log) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (holder->owned) {
        ngx_completion_secret_destroy(holder->secret);
    }

    holder->secret = secret;
    holder->owned = 1;
    holder->generation++;

    level = ngx_worker ? NGX_LOG_INFO : NGX_LOG_NOTICE;

    ngx_log_error(level, service->log, 0,
                  "\"%V\" has changed, provider \"%V\" goes on with what it "
                  "holds now", &holder->credential->file, &service->name);

    return NGX_OK;
}


/* every worker sees it, the first one tells */

static void
ngx_completion_holder_fault(ngx_completion_holder_t *holder,
    const char *fault, ngx_err_t err)
{
    ngx_uint_t  level;

    if (holder->fault == fault) {
        return;
    }

    holder->fault = fault;
    level = ngx_worker ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, holder->service->log, err,
                  "\"%V\" %s, provider \"%V\" goes on with what it held "
                  "before", &holder->credential->file, fault,
                  &holder->service->name);
}


/* under the lease that the holder was just given */

static void
ngx_completion_renewal_start(ngx_completion_holder_t *holder)
{
    ngx_completion_fetch_t    *f;
    ngx_completion_renewal_t  *renewal;

    f = ngx_completion_token_fetch(holder->credential, holder->secret,
                                   holder->service->log);

    renewal = f ? ngx_palloc(f->pool, sizeof(ngx_completion_renewal_t)) : NULL;

    if (renewal == NULL) {
        if (f) {
            ngx_completion_fetch_destroy(f);
        }

        ngx_completion_renewal_failed(holder, &holder->token, NULL,
                                      "no memory");
        return;
    }

    renewal->holder = holder;
    renewal->fetch = f;
    renewal->token = holder->token;

    ngx_queue_insert_tail(&holder->renewals, &renewal->queue);

    f->handler = ngx_completion_renewal_answered;
    f->data = renewal;
    f->timeout = holder->token.lease_time - 1000;

    ngx_completion_fetch_start(f);
}


static void
ngx_completion_renewal_answered(ngx_completion_fetch_t *f)
{
    time_t                     life;
    ngx_int_t                  rc;
    ngx_str_t                  value;
    ngx_msec_t                 ms;
    const char                *fault;
    ngx_completion_holder_t   *holder;
    ngx_completion_service_t  *service;
    ngx_completion_renewal_t  *renewal;

    renewal = f->data;
    holder = renewal->holder;
    service = holder->service;

    ngx_queue_remove(&renewal->queue);

    fault = ngx_completion_token_read(holder->credential, f, &value, &life);

    if (fault == NULL) {
        ms = (ngx_msec_t) life * 1000;

        rc = ngx_completion_zone_token_store(service->zone, &renewal->token,
                                             &value, ms,
                                             ngx_completion_renewal_time(ms));
        if (rc == NGX_ERROR) {
            fault = "there is no room in the zone";

        } else if (rc != NGX_DECLINED) {
            ngx_completion_renewal_done(renewal, rc == NGX_DONE, life);
        }
    }

    if (fault) {
        ngx_completion_renewal_failed(holder, &renewal->token, f, fault);
    }

    ngx_completion_fetch_destroy(f);

    ngx_completion_watcher_changed(service);
}


/* hourly, or with a tenth of a short life left; never all at once */

static ngx_msec_t
ngx_completion_renewal_time(ngx_msec_t life)
{
    ngx_msec_t  jitter;

    jitter = ngx_random() % (ngx_min(life, NGX_COMPLETION_GRANT_RENEW) / 10);

    return ngx_min(NGX_COMPLETION_GRANT_RENEW + jitter,
                   life / 10 * 9 - jitter);
}


static void
ngx_completion_renewal_done(ngx_completion_renewal_t *renewal,
    ngx_uint_t recovered, time_t life)
{
    ngx_uint_t                    level;
    ngx_completion_service_t     *service;
    ngx_completion_metrics_sh_t  *metrics;

    service = renewal->holder->service;
    metrics = service->zone->metrics;
    level = recovered ? NGX_LOG_NOTICE : NGX_LOG_INFO;

    ngx_completion_metrics_add(&metrics->renewals[0], 1);
    metrics->expiry = ngx_time() + life;

    ngx_log_error(level, service->log, 0,
                  "provider \"%V\" got a token for %T s%s", &service->name,
                  life, recovered ? ", after tries that failed" : "");
}


static void
ngx_completion_renewal_failed(ngx_completion_holder_t *holder,
    ngx_completion_zone_token_t *token, ngx_completion_fetch_t *f,
    const char *fault)
{
    uint32_t                   kind;
    ngx_msec_t                 pause;
    ngx_completion_service_t  *service;

    service = holder->service;

    ngx_completion_metrics_add(&service->zone->metrics->renewals[1], 1);

    /* of no answer, a text may tell the time that it took */

    if (f && f->outcome != NGX_COMPLETION_FETCH_ANSWERED) {
        kind = f->outcome;

    } else {
        kind = ngx_crc32_short((u_char *) fault, ngx_strlen(fault))
               ^ (f ? (uint32_t) f->status : 0);
    }

    if (ngx_completion_zone_token_failed(service->zone, token, kind, &pause)
        != NGX_OK)
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, service->log, 0,
                  "no new token for provider \"%V\": %s (status %ui), tries "
                  "go on, the next one in %M ms", &service->name, fault,
                  f ? f->status : 0, pause);
}
