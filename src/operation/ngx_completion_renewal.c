
/*
 * The next token, got by one worker for all that share the zone:
 *
 *     tend --> lease --> fetch --> stored --> news to all
 *      | ^               |
 *      | +-- a pause <---+--> failed
 *      +--> not due, or another worker's
 *
 * Tokens are tended twice a second, so that no request has to wait for one,
 * and by whoever finds none.  Files are looked at while calls are made, and
 * seldom in a worker that makes none, which looks before its next one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"

#include "ngx_completion_news.h"
#include "ngx_completion_renewal.h"


/* how often the age of tokens is looked at, ms */
#define NGX_COMPLETION_RENEWAL_LOOK     500

/* and files, where that is all: a 401 has them looked at at once */
#define NGX_COMPLETION_RENEWAL_FILE     2000
#define NGX_COMPLETION_RENEWAL_REST     5000

/* the same of a file that has just changed */
#define NGX_COMPLETION_RENEWAL_SOON     200

/* the most that a token service is given, ms; its lease is longer */
#define NGX_COMPLETION_RENEWAL_TIMEOUT  10000
#define NGX_COMPLETION_RENEWAL_GRACE    1000

/* how often a long-lived token is renewed, ms */
#define NGX_COMPLETION_RENEWAL_AGE      3600000


typedef struct {
    ngx_queue_t                   queue;
    ngx_completion_service_t     *service;
    ngx_completion_fetch_t       *fetch;
    ngx_completion_zone_token_t   lease;
} ngx_completion_renewal_t;


static void ngx_completion_renewals_timer(ngx_event_t *ev);
static void ngx_completion_renewals_look(ngx_event_t *ev);
static void ngx_completion_renewal_tend(ngx_completion_service_t *service);
static void ngx_completion_renewal_answered(ngx_completion_fetch_t *f);
static void ngx_completion_renewal_failed(ngx_completion_service_t *service,
    ngx_completion_zone_token_t *lease, ngx_completion_fetch_t *f,
    const char *fault);


static ngx_array_t  *ngx_completion_renewal_services;
static ngx_event_t   ngx_completion_renewal_event;
static ngx_uint_t    ngx_completion_renewal_used;   /* since the last look */
static ngx_uint_t    ngx_completion_renewal_rests;

/* under way in this worker */
static ngx_queue_t   ngx_completion_renewals = {
    &ngx_completion_renewals, &ngx_completion_renewals
};


void
ngx_completion_renewals_init(ngx_cycle_t *cycle, ngx_array_t *services)
{
    ngx_event_t  *ev;

    ngx_completion_renewal_services = services;

    ev = &ngx_completion_renewal_event;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ngx_completion_timer_init(ev, ngx_completion_renewals_timer, cycle->log);
    ev->cancelable = 1;

    ngx_add_timer(ev, 1);
}


void
ngx_completion_renewals_exit(void)
{
    ngx_completion_timer_stop(&ngx_completion_renewal_event);
    ngx_completion_renewals_yield();
}


void
ngx_completion_renewals_yield(void)
{
    ngx_queue_t               *q;
    ngx_completion_renewal_t  *renewal;

    while (!ngx_queue_empty(&ngx_completion_renewals)) {
        q = ngx_queue_head(&ngx_completion_renewals);
        renewal = ngx_queue_data(q, ngx_completion_renewal_t, queue);

        ngx_queue_remove(q);

        ngx_log_debug1(NGX_LOG_DEBUG_EVENT, renewal->service->log, 0,
                       "completion renewal: of \"%V\" is given up",
                       &renewal->service->name);

        ngx_completion_zone_token_yield(renewal->service->zone,
                                        &renewal->lease);
        ngx_completion_fetch_destroy(renewal->fetch);
    }
}


static void
ngx_completion_renewals_timer(ngx_event_t *ev)
{
    ngx_completion_renewal_rests = !ngx_completion_renewal_used;
    ngx_completion_renewal_used = 0;

    ngx_completion_renewals_look(ev);
}


static void
ngx_completion_renewals_look(ngx_event_t *ev)
{
    ngx_int_t                   rc;
    ngx_msec_t                  next;
    ngx_uint_t                  i, used;
    ngx_completion_service_t  **service;

    if (ngx_exiting) {
        return;
    }

    service = ngx_completion_renewal_services->elts;
    next = ngx_completion_renewal_rests ? NGX_COMPLETION_RENEWAL_REST
                                        : NGX_COMPLETION_RENEWAL_FILE;
    used = 0;

    for (i = 0; i < ngx_completion_renewal_services->nelts; i++) {
        rc = ngx_completion_credentials_follow(service[i]);

        if (rc == NGX_AGAIN) {
            next = NGX_COMPLETION_RENEWAL_SOON;
        }

        if (ngx_completion_credential_renewed(
                                         &service[i]->provider.credential))
        {
            next = ngx_min(next, NGX_COMPLETION_RENEWAL_LOOK);
            used = 1;

        } else if (rc != NGX_DECLINED) {
            used = 1;
        }

        ngx_completion_renewal_tend(service[i]);
    }

    if (used) {
        ngx_completion_timer_stop(ev);
        ngx_add_timer(ev, next);
    }
}


void
ngx_completion_renewals_use(void)
{
    ngx_completion_renewal_used = 1;

    if (ngx_completion_renewal_rests) {
        ngx_completion_renewal_rests = 0;
        ngx_completion_renewals_look(&ngx_completion_renewal_event);
    }
}


ngx_int_t
ngx_completion_renewal_get(ngx_completion_service_t *service,
    ngx_completion_shown_t *shown)
{
    if (ngx_completion_credentials_get(service, shown) == NGX_OK) {
        return NGX_OK;
    }

    ngx_completion_renewal_tend(service);

    return ngx_completion_credentials_get(service, shown);
}


/* begins to get a token, if one is due and nobody else gets it */

static void
ngx_completion_renewal_tend(ngx_completion_service_t *service)
{
    ngx_msec_t                    timeout;
    ngx_completion_fetch_t       *f;
    ngx_completion_secret_t      *key;
    ngx_completion_renewal_t     *renewal;
    ngx_completion_zone_token_t   lease;

    timeout = ngx_min(service->provider.request_timeout,
                      NGX_COMPLETION_RENEWAL_TIMEOUT);

    if (ngx_completion_credentials_due(service,
                                       timeout + NGX_COMPLETION_RENEWAL_GRACE,
                                       &lease, &key)
        != NGX_OK)
    {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion renewal: of \"%V\" begins", &service->name);

    f = ngx_completion_token_fetch(&service->provider.credential, key,
                                   service->log);

    renewal = f ? ngx_palloc(f->pool, sizeof(ngx_completion_renewal_t)) : NULL;

    if (renewal == NULL) {
        if (f) {
            ngx_completion_fetch_destroy(f);
        }

        ngx_completion_renewal_failed(service, &lease, NULL, "no memory");
        return;
    }

    renewal->service = service;
    renewal->fetch = f;
    renewal->lease = lease;

    ngx_queue_insert_tail(&ngx_completion_renewals, &renewal->queue);

    f->handler = ngx_completion_renewal_answered;
    f->data = renewal;
    f->timeout = timeout;

    ngx_completion_fetch_start(f);
}


static void
ngx_completion_renewal_answered(ngx_completion_fetch_t *f)
{
    time_t                        life;
    ngx_int_t                     rc;
    ngx_str_t                     value;
    ngx_uint_t                    level;
    ngx_msec_t                    ms, jitter;
    const char                   *fault;
    ngx_completion_service_t     *service;
    ngx_completion_renewal_t     *renewal;
    ngx_completion_metrics_sh_t  *metrics;

    renewal = f->data;
    service = renewal->service;

    ngx_queue_remove(&renewal->queue);

    fault = ngx_completion_token_read(&service->provider.credential, f,
                                      &value, &life);

    if (fault == NULL) {
        ms = (ngx_msec_t) life * 1000;

        /* hourly, or with a tenth of a short life left; never all at once */

        jitter = ngx_random() % (ngx_min(ms, NGX_COMPLETION_RENEWAL_AGE) / 10);

        rc = ngx_completion_zone_token_store(service->zone, &renewal->lease,
                                   &value, ms,
                                   ngx_min(NGX_COMPLETION_RENEWAL_AGE + jitter,
                                           ms / 10 * 9 - jitter));
        if (rc == NGX_ERROR) {
            fault = "there is no room in the zone";

        } else if (rc != NGX_DECLINED) {
            metrics = service->zone->metrics;
            metrics->expiry = ngx_time() + life;
            ngx_completion_metrics_add(
                     &metrics->renewals[NGX_COMPLETION_METRICS_RENEWED], 1);

            level = (rc == NGX_DONE) ? NGX_LOG_NOTICE : NGX_LOG_INFO;

            ngx_log_error(level, service->log, 0,
                          "provider \"%V\" got a token for %T s%s",
                          &service->name, life,
                          rc == NGX_DONE ? ", after tries that failed" : "");
        }
    }

    ngx_log_debug4(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion renewal: of \"%V\", outcome %s, status %ui: %s",
                   &service->name, ngx_completion_outcomes[f->outcome].code,
                   f->status, fault ? fault : "ok");

    if (fault) {
        ngx_completion_renewal_failed(service, &renewal->lease, f, fault);
    }

    ngx_completion_fetch_destroy(f);

    ngx_completion_news_changed(service);
}


static void
ngx_completion_renewal_failed(ngx_completion_service_t *service,
    ngx_completion_zone_token_t *lease, ngx_completion_fetch_t *f,
    const char *fault)
{
    uint32_t    kind;
    ngx_msec_t  pause;

    ngx_completion_metrics_add(
          &service->zone->metrics->renewals[NGX_COMPLETION_METRICS_NOT_RENEWED],
                               1);

    /* of no answer, a text may tell the time that it took */

    if (f && f->outcome != NGX_COMPLETION_OK) {
        kind = f->outcome;

    } else {
        kind = ngx_crc32_short((u_char *) fault, ngx_strlen(fault))
               ^ (f ? (uint32_t) f->status : 0);
    }

    if (ngx_completion_zone_token_failed(service->zone, lease, kind, &pause)
        != NGX_OK)
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, service->log, 0,
                  "no new token for provider \"%V\": %s (status %ui), tries "
                  "go on, the next one in %M ms", &service->name, fault,
                  f ? f->status : 0, pause);
}
