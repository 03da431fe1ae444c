
/*
 * News: what changed in a zone, by the hash of its name, and who in this
 * worker waits for it.  Workers wake each other through one eventfd; a
 * wake-up may get lost, so that whoever waits has a timer of its own.
 */


#ifndef _NGX_COMPLETION_NEWS_H_INCLUDED_
#define _NGX_COMPLETION_NEWS_H_INCLUDED_


#include "ngx_completion_service.h"


/* how long a lost wake-up may go unnoticed, ms */
#define NGX_COMPLETION_NEWS_NET  1000


typedef struct ngx_completion_wait_s  ngx_completion_wait_t;

struct ngx_completion_wait_s {
    ngx_queue_t    queue;
    void         (*handler)(ngx_completion_wait_t *wait);
    void          *data;

    /* private */

    uint32_t       hash;
    unsigned       waiting:1;
};


typedef void (*ngx_completion_news_looker_pt)(
    ngx_completion_service_t *service);


/* In a worker: looker() is called whenever there may be news. */
ngx_int_t ngx_completion_news_init(ngx_completion_service_t *service,
    ngx_completion_news_looker_pt looker);

/*
 * Calls the handler once, from the event loop, when what has this hash
 * changes, or the worker is to quit; the wait has then ended.
 */
void ngx_completion_news_wait(ngx_completion_service_t *service,
    uint32_t hash, ngx_completion_wait_t *wait);

/* Of one that waits or not. */
void ngx_completion_wait_end(ngx_completion_wait_t *wait);

/* Reads what changed, wakes those who wait for it, and calls looker(). */
void ngx_completion_news_look(ngx_completion_service_t *service);

/* The same, soon; and in the other workers, too. */
void ngx_completion_news_kick(ngx_completion_service_t *service);
void ngx_completion_news_changed(ngx_completion_service_t *service);

/* The worker is to quit: everybody is woken. */
void ngx_completion_news_wake_all(ngx_completion_service_t *service);


#endif /* _NGX_COMPLETION_NEWS_H_INCLUDED_ */
