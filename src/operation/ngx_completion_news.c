
/*
 *     zone, eventfd --> look --> waits by hash --> woken --> handlers, in
 *                        |                         queue     batches, one a
 *                        +--> the looker                     turn of the loop
 *
 * No handler is called from inside of another one's: those to be woken are
 * queued, and the queue is worked off by an event of its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"
#include "../store/ngx_completion_wake.h"

#include "ngx_completion_news.h"


/* how many waits are ended in one turn of the event loop */
#define NGX_COMPLETION_NEWS_BATCH  256

#define NGX_COMPLETION_NEWS_SLOTS  256


struct ngx_completion_news_s {
    ngx_completion_service_t        *service;
    ngx_completion_news_looker_pt    looker;
    uint64_t                         seen;      /* of the zone's changes */

    ngx_queue_t                      waits[NGX_COMPLETION_NEWS_SLOTS];
    ngx_queue_t                      woken;

    ngx_event_t                      kick;
    ngx_event_t                      batch;
};


static void ngx_completion_news_kicked(ngx_event_t *ev);
static void ngx_completion_news_wake(ngx_completion_news_t *news,
    ngx_completion_wait_t *wait);
static void ngx_completion_news_batch(ngx_event_t *ev);


#define ngx_completion_news_slot(news, hash)                                  \
    (&(news)->waits[(hash) % NGX_COMPLETION_NEWS_SLOTS])


ngx_int_t
ngx_completion_news_init(ngx_completion_service_t *service,
    ngx_completion_news_looker_pt looker)
{
    ngx_uint_t              i;
    ngx_completion_news_t  *news;

    news = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_completion_news_t));
    if (news == NULL) {
        return NGX_ERROR;
    }

    service->news = news;
    news->service = service;
    news->looker = looker;

    for (i = 0; i < NGX_COMPLETION_NEWS_SLOTS; i++) {
        ngx_queue_init(&news->waits[i]);
    }

    ngx_queue_init(&news->woken);

    ngx_completion_timer_init(&news->kick, ngx_completion_news_kicked,
                              service->log);
    ngx_completion_timer_init(&news->batch, ngx_completion_news_batch,
                              service->log);

    return NGX_OK;
}


void
ngx_completion_news_kick(ngx_completion_service_t *service)
{
    if (!service->news->kick.posted) {
        ngx_post_event(&service->news->kick, &ngx_posted_events);
    }
}


static void
ngx_completion_news_kicked(ngx_event_t *ev)
{
    ngx_completion_news_t  *news;

    news = ngx_completion_timer_owner(ev, ngx_completion_news_t, kick);

    ngx_completion_news_look(news->service);
}


void
ngx_completion_news_changed(ngx_completion_service_t *service)
{
    ngx_completion_news_kick(service);
    ngx_completion_wake_all();
}


void
ngx_completion_news_look(ngx_completion_service_t *service)
{
    uint32_t                hashes[64];
    ngx_int_t               rc;
    ngx_uint_t              i, n;
    ngx_queue_t            *q, *next, *slot;
    ngx_completion_news_t  *news;
    ngx_completion_wait_t  *wait;

    news = service->news;

    do {
        n = 64;
        rc = ngx_completion_zone_changes(service->zone, &news->seen, hashes,
                                         &n);
        if (rc != NGX_OK) {
            ngx_completion_news_wake_all(service);
        }

        for (i = 0; i < n; i++) {
            slot = ngx_completion_news_slot(news, hashes[i]);

            for (q = ngx_queue_head(slot); q != slot; q = next) {
                next = ngx_queue_next(q);
                wait = ngx_queue_data(q, ngx_completion_wait_t, queue);

                if (wait->hash == hashes[i]) {
                    ngx_completion_news_wake(news, wait);
                }
            }
        }

    } while (n == 64);

    news->looker(service);
}


void
ngx_completion_news_wait(ngx_completion_service_t *service, uint32_t hash,
    ngx_completion_wait_t *wait)
{
    wait->hash = hash;
    wait->waiting = 1;

    ngx_queue_insert_tail(ngx_completion_news_slot(service->news, hash),
                          &wait->queue);

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion news: %p waits for %xD", wait, hash);
}


void
ngx_completion_wait_end(ngx_completion_wait_t *wait)
{
    if (wait->waiting) {
        wait->waiting = 0;
        ngx_queue_remove(&wait->queue);
    }
}


static void
ngx_completion_news_wake(ngx_completion_news_t *news,
    ngx_completion_wait_t *wait)
{
    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, news->service->log, 0,
                   "completion news: %p is woken, by %xD", wait, wait->hash);

    ngx_queue_remove(&wait->queue);
    ngx_queue_insert_tail(&news->woken, &wait->queue);

    /*
     * A quitting worker comes here from outside of the event loop's turn, and
     * other posted events would then wait for the next thing to happen.
     */

    if (!news->batch.posted) {
        ngx_post_event(&news->batch, &ngx_posted_next_events);
    }
}


void
ngx_completion_news_wake_all(ngx_completion_service_t *service)
{
    ngx_uint_t              i;
    ngx_queue_t            *slot;
    ngx_completion_news_t  *news;

    news = service->news;

    for (i = 0; i < NGX_COMPLETION_NEWS_SLOTS; i++) {
        slot = &news->waits[i];

        while (!ngx_queue_empty(slot)) {
            ngx_completion_news_wake(news, ngx_queue_data(ngx_queue_head(slot),
                                               ngx_completion_wait_t, queue));
        }
    }
}


static void
ngx_completion_news_batch(ngx_event_t *ev)
{
    ngx_uint_t              n;
    ngx_queue_t            *q;
    ngx_completion_wait_t  *wait;
    ngx_completion_news_t  *news;

    news = ngx_completion_timer_owner(ev, ngx_completion_news_t, batch);

    for (n = 0; n < NGX_COMPLETION_NEWS_BATCH; n++) {

        if (ngx_queue_empty(&news->woken)) {
            return;
        }

        q = ngx_queue_head(&news->woken);
        wait = ngx_queue_data(q, ngx_completion_wait_t, queue);

        ngx_completion_wait_end(wait);

        ngx_log_debug1(NGX_LOG_DEBUG_EVENT, news->service->log, 0,
                       "completion news: %p is told", wait);

        wait->handler(wait);
    }

    ngx_post_event(&news->batch, &ngx_posted_next_events);
}
