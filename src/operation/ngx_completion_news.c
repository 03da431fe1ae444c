
/*
 *     zone, eventfd --> look --> groups --> woken --> handlers, in batches
 *                        |        by hash    queue     one a turn of the loop
 *                        +--> whoever asked to be told of every look
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


/* those in this worker who wait for the same thing */
typedef struct {
    ngx_rbtree_node_t          node;      /* the key: the hash */
    ngx_rbtree_t              *tree;
    ngx_queue_t                waits;
} ngx_completion_wait_group_t;


/* one per service in every worker */
typedef struct {
    ngx_completion_service_t  *service;
    uint64_t                   seen;      /* of the zone's changes */

    ngx_rbtree_t               groups;
    ngx_rbtree_node_t          sentinel;
    ngx_queue_t                woken;

    ngx_event_t                kick;
    ngx_event_t                batch;
} ngx_completion_news_t;


static void ngx_completion_news_woken(ngx_uint_t cut);
static void ngx_completion_news_kicked(ngx_event_t *ev);
static ngx_completion_wait_group_t *ngx_completion_news_group(
    ngx_completion_news_t *news, uint32_t hash);
static void ngx_completion_news_wake(ngx_completion_news_t *news,
    ngx_completion_wait_group_t *group);
static void ngx_completion_news_wake_groups(ngx_completion_news_t *news);
static void ngx_completion_news_batch(ngx_event_t *ev);


static ngx_completion_news_t  *ngx_completion_news;
static ngx_uint_t              ngx_completion_nnews;

static void                  (*ngx_completion_news_looker)(
                                           ngx_completion_service_t *service);
static void                  (*ngx_completion_news_quitter)(ngx_uint_t cut);

/* stands for the group of those that are being woken */
static ngx_completion_wait_group_t  ngx_completion_news_leaving;


ngx_int_t
ngx_completion_news_init(ngx_cycle_t *cycle, ngx_array_t *services,
    void (*look)(ngx_completion_service_t *service),
    void (*quit)(ngx_uint_t cut))
{
    ngx_uint_t                  i;
    ngx_completion_news_t      *news;
    ngx_completion_service_t  **service;

    service = services->elts;

    news = ngx_calloc(services->nelts * sizeof(ngx_completion_news_t),
                      cycle->log);
    if (news == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_news = news;
    ngx_completion_nnews = services->nelts;
    ngx_completion_news_looker = look;
    ngx_completion_news_quitter = quit;

    for (i = 0; i < services->nelts; i++) {
        news[i].service = service[i];

        ngx_rbtree_init(&news[i].groups, &news[i].sentinel,
                        ngx_rbtree_insert_value);
        ngx_queue_init(&news[i].woken);

        ngx_completion_timer_init(&news[i].kick, ngx_completion_news_kicked,
                                  service[i]->log);
        ngx_completion_timer_init(&news[i].batch, ngx_completion_news_batch,
                                  service[i]->log);
    }

    return ngx_completion_wake_listen(cycle, ngx_completion_news_woken);
}


void
ngx_completion_news_exit(void)
{
    ngx_completion_wake_close();
}


static void
ngx_completion_news_woken(ngx_uint_t cut)
{
    ngx_uint_t  i;

    if (ngx_exiting || cut) {
        ngx_completion_news_quitter(cut);
        return;
    }

    for (i = 0; i < ngx_completion_nnews; i++) {
        ngx_completion_news_look(ngx_completion_news[i].service);
    }
}


void
ngx_completion_news_kick(ngx_completion_service_t *service)
{
    ngx_completion_news_t  *news;

    news = &ngx_completion_news[service->index];

    if (!news->kick.posted) {
        ngx_post_event(&news->kick, &ngx_posted_events);
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
    uint32_t                      hashes[64];
    ngx_int_t                     rc;
    ngx_uint_t                    i, n;
    ngx_completion_news_t        *news;
    ngx_completion_wait_group_t  *group;

    news = &ngx_completion_news[service->index];

    do {
        n = 64;
        rc = ngx_completion_zone_changes(service->zone, &news->seen, hashes,
                                         &n);
        if (rc != NGX_OK) {
            ngx_completion_news_wake_groups(news);
        }

        for (i = 0; i < n; i++) {
            group = ngx_completion_news_group(news, hashes[i]);

            if (group) {
                ngx_completion_news_wake(news, group);
            }
        }

    } while (n == 64);

    ngx_completion_news_looker(service);
}


ngx_int_t
ngx_completion_news_wait(ngx_completion_service_t *service, uint32_t hash,
    ngx_completion_wait_t *wait)
{
    ngx_completion_news_t        *news;
    ngx_completion_wait_group_t  *group;

    news = &ngx_completion_news[service->index];
    group = ngx_completion_news_group(news, hash);

    if (group == NULL) {
        group = ngx_alloc(sizeof(ngx_completion_wait_group_t), service->log);
        if (group == NULL) {
            return NGX_ERROR;
        }

        group->node.key = hash;
        group->tree = &news->groups;
        ngx_queue_init(&group->waits);
        ngx_rbtree_insert(&news->groups, &group->node);
    }

    ngx_queue_insert_tail(&group->waits, &wait->queue);
    wait->group = group;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion news: %p waits for %xD", wait, hash);

    return NGX_OK;
}


void
ngx_completion_wait_end(ngx_completion_wait_t *wait)
{
    ngx_completion_wait_group_t  *group;

    group = wait->group;

    if (group == NULL) {
        return;
    }

    wait->group = NULL;
    ngx_queue_remove(&wait->queue);

    /* those being woken are not in their group any more */

    if (group->tree && ngx_queue_empty(&group->waits)) {
        ngx_rbtree_delete(group->tree, &group->node);
        ngx_free(group);
    }
}


static ngx_completion_wait_group_t *
ngx_completion_news_group(ngx_completion_news_t *news, uint32_t hash)
{
    ngx_rbtree_node_t  *node, *sentinel;

    node = news->groups.root;
    sentinel = news->groups.sentinel;

    while (node != sentinel) {

        if (hash == node->key) {
            return (ngx_completion_wait_group_t *) node;
        }

        node = (hash < node->key) ? node->left : node->right;
    }

    return NULL;
}


static void
ngx_completion_news_wake(ngx_completion_news_t *news,
    ngx_completion_wait_group_t *group)
{
    ngx_queue_t            *q;
    ngx_completion_wait_t  *wait;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, news->service->log, 0,
                   "completion news: of %xD",
                   (uint32_t) group->node.key);

    while (!ngx_queue_empty(&group->waits)) {
        q = ngx_queue_head(&group->waits);
        wait = ngx_queue_data(q, ngx_completion_wait_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&news->woken, q);
        wait->group = &ngx_completion_news_leaving;
    }

    ngx_rbtree_delete(&news->groups, &group->node);
    ngx_free(group);

    /*
     * A quitting worker comes here from outside of the event loop's turn, and
     * other posted events would then wait for the next thing to happen.
     */

    if (!news->batch.posted) {
        ngx_post_event(&news->batch, &ngx_posted_next_events);
    }
}


static void
ngx_completion_news_wake_groups(ngx_completion_news_t *news)
{
    ngx_rbtree_node_t  *node;

    while (news->groups.root != news->groups.sentinel) {
        node = ngx_rbtree_min(news->groups.root, news->groups.sentinel);
        ngx_completion_news_wake(news, (ngx_completion_wait_group_t *) node);
    }
}


void
ngx_completion_news_wake_all(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_completion_nnews; i++) {
        ngx_completion_news_wake_groups(&ngx_completion_news[i]);
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

        ngx_queue_remove(q);
        wait->group = NULL;

        ngx_log_debug1(NGX_LOG_DEBUG_EVENT, news->service->log, 0,
                       "completion news: %p is told", wait);

        wait->handler(wait);
    }

    ngx_post_event(&news->batch, &ngx_posted_next_events);
}
