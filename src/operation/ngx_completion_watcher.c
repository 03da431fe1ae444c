
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_timer.h"
#include "../store/ngx_completion_wake.h"

#include "ngx_completion_operation.h"


/* how long a lost wake-up may go unnoticed, ms */
#define NGX_COMPLETION_WATCHER_NET    1000

/* how long a result without a room is spared, ms */
#define NGX_COMPLETION_WATCHER_SPARE  5000

/* how many waits are ended in one turn of the event loop */
#define NGX_COMPLETION_WATCHER_BATCH  256


/* those in this worker who wait for the same operation */
typedef struct {
    ngx_rbtree_node_t          node;      /* the key: the id's hash */
    ngx_rbtree_t              *tree;
    ngx_queue_t                waits;
} ngx_completion_wait_group_t;


/* one per service in every worker */
typedef struct {
    ngx_completion_service_t  *service;
    ngx_event_t                timer;
    ngx_event_t                kick;
    ngx_event_t                rest;      /* waits still to be ended */
    uint64_t                   seen;      /* of the zone's changes */
    ngx_uint_t                 npolls;

    ngx_rbtree_t               groups;
    ngx_rbtree_node_t          sentinel;
    ngx_queue_t                woken;
    ngx_queue_t                polls;

    ngx_pool_t                *spare;     /* of a result without a room */
    ngx_str_t                  spare_id;
    ngx_str_t                  spare_document;
    size_t                     spare_offset;
    uint64_t                   spare_digest;
    ngx_msec_t                 spare_until;
} ngx_completion_watcher_t;


typedef struct {
    ngx_queue_t                queue;
    ngx_completion_watcher_t  *watcher;
    ngx_completion_fetch_t    *fetch;
    uint64_t                   generation;  /* of the secret sent */
    ngx_completion_due_t       due;
} ngx_completion_poll_t;


static void ngx_completion_watcher_woken(ngx_uint_t cut);
static void ngx_completion_watcher_timer(ngx_event_t *ev);
static void ngx_completion_watcher_kicked(ngx_event_t *ev);
static void ngx_completion_watcher_look(ngx_completion_watcher_t *watcher);
static void ngx_completion_watcher_poll(ngx_completion_watcher_t *watcher);
static void ngx_completion_watcher_spare_drop(
    ngx_completion_watcher_t *watcher);
static void ngx_completion_watcher_quit(ngx_completion_watcher_t *watcher);
static ngx_int_t ngx_completion_poll_start(ngx_completion_watcher_t *watcher,
    ngx_completion_due_t *due, ngx_completion_grant_t *grant);
static void ngx_completion_poll_answered(ngx_completion_fetch_t *f);
static void ngx_completion_polls_yield(ngx_completion_watcher_t *watcher);
static ngx_int_t ngx_completion_wait_join(ngx_completion_service_t *service,
    uint32_t hash, ngx_completion_wait_t *wait);
static void ngx_completion_wait_wake(ngx_completion_watcher_t *watcher,
    ngx_completion_wait_group_t *group);
static void ngx_completion_wait_wake_all(ngx_completion_watcher_t *watcher);
static void ngx_completion_wait_rest(ngx_event_t *ev);
static ngx_completion_wait_group_t *ngx_completion_wait_group(
    ngx_completion_watcher_t *watcher, uint32_t hash);
static u_char *ngx_completion_poll_log(ngx_log_t *log, u_char *buf,
    size_t len);


static ngx_completion_watcher_t  *ngx_completion_watchers;
static ngx_uint_t                 ngx_completion_nwatchers;

/* stands for the group of those that are being woken */
static ngx_completion_wait_group_t  ngx_completion_wait_woken;


ngx_int_t
ngx_completion_watcher_init(ngx_cycle_t *cycle, ngx_array_t *services)
{
    ngx_uint_t                  i;
    ngx_completion_service_t  **service;
    ngx_completion_watcher_t   *watcher;

    service = services->elts;

    watcher = ngx_calloc(services->nelts * sizeof(ngx_completion_watcher_t),
                         cycle->log);
    if (watcher == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_watchers = watcher;
    ngx_completion_nwatchers = services->nelts;

    for (i = 0; i < services->nelts; i++) {
        watcher[i].service = service[i];

        ngx_completion_zone_enter(service[i]->zone);

        ngx_rbtree_init(&watcher[i].groups, &watcher[i].sentinel,
                        ngx_rbtree_insert_value);
        ngx_queue_init(&watcher[i].woken);
        ngx_queue_init(&watcher[i].polls);

        ngx_completion_timer_init(&watcher[i].timer,
                                  ngx_completion_watcher_timer,
                                  service[i]->log);
        watcher[i].timer.cancelable = 1;

        ngx_completion_timer_init(&watcher[i].kick,
                                  ngx_completion_watcher_kicked,
                                  service[i]->log);
        ngx_completion_timer_init(&watcher[i].rest, ngx_completion_wait_rest,
                                  service[i]->log);

        ngx_add_timer(&watcher[i].timer, 1);
    }

    return ngx_completion_wake_listen(cycle, ngx_completion_watcher_woken);
}


void
ngx_completion_watcher_exit(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_completion_nwatchers; i++) {
        ngx_completion_polls_yield(&ngx_completion_watchers[i]);
        ngx_completion_zone_leave(ngx_completion_watchers[i].service->zone);

        ngx_completion_timer_stop(&ngx_completion_watchers[i].timer);
        ngx_completion_watcher_spare_drop(&ngx_completion_watchers[i]);
    }

    ngx_completion_wake_close();
}


void
ngx_completion_watcher_kick(ngx_completion_service_t *service)
{
    ngx_completion_watcher_t  *watcher;

    watcher = &ngx_completion_watchers[service->index];

    if (!watcher->kick.posted) {
        ngx_post_event(&watcher->kick, &ngx_posted_events);
    }
}


void
ngx_completion_watcher_changed(ngx_completion_service_t *service)
{
    ngx_completion_watcher_kick(service);
    ngx_completion_wake_all();
}


static void
ngx_completion_watcher_woken(ngx_uint_t cut)
{
    ngx_uint_t  i;

    if (cut) {
        ngx_completion_grants_yield();
        ngx_completion_fetch_close();
        ngx_completion_submits_cut();

    } else if (ngx_exiting) {
        ngx_completion_submits_quit();
    }

    for (i = 0; i < ngx_completion_nwatchers; i++) {

        if (ngx_exiting) {
            ngx_completion_watcher_quit(&ngx_completion_watchers[i]);

        } else {
            ngx_completion_watcher_look(&ngx_completion_watchers[i]);
        }
    }
}


static void
ngx_completion_watcher_timer(ngx_event_t *ev)
{
    ngx_completion_watcher_look(ngx_completion_timer_owner(ev,
                                           ngx_completion_watcher_t, timer));
}


static void
ngx_completion_watcher_kicked(ngx_event_t *ev)
{
    ngx_completion_watcher_look(ngx_completion_timer_owner(ev,
                                            ngx_completion_watcher_t, kick));
}


static void
ngx_completion_watcher_look(ngx_completion_watcher_t *watcher)
{
    uint32_t                      hashes[64];
    ngx_int_t                     rc;
    ngx_uint_t                    i, n;
    ngx_completion_wait_group_t  *group;

    do {
        n = 64;
        rc = ngx_completion_zone_changes(watcher->service->zone,
                                         &watcher->seen, hashes, &n);
        if (rc != NGX_OK) {
            ngx_completion_wait_wake_all(watcher);
        }

        for (i = 0; i < n; i++) {
            group = ngx_completion_wait_group(watcher, hashes[i]);

            if (group) {
                ngx_completion_wait_wake(watcher, group);
            }
        }

    } while (n == 64);

    if (watcher->spare
        && (ngx_msec_int_t) (watcher->spare_until - ngx_current_msec) <= 0)
    {
        ngx_completion_watcher_spare_drop(watcher);
    }

    if (!ngx_exiting) {
        ngx_completion_watcher_poll(watcher);
    }
}


/* takes what is due, and sleeps until more is */

static void
ngx_completion_watcher_poll(ngx_completion_watcher_t *watcher)
{
    ngx_msec_t              wait;
    ngx_completion_due_t    due;
    ngx_completion_zone_t  *zone;
    ngx_completion_grant_t  grant;

    zone = watcher->service->zone;
    wait = NGX_COMPLETION_WATCHER_NET;

    /* the rest of the connections is for submits and other workers */

    while (watcher->npolls < ngx_max(ngx_cycle->connection_n / 8, 1)) {

        /* nothing is asked before there is a token: that would wake us */

        if (ngx_completion_grant(watcher->service, &grant) != NGX_OK
            || ngx_completion_zone_take(zone, &due, &wait) != NGX_OK)
        {
            break;
        }

        if (ngx_completion_poll_start(watcher, &due, &grant) != NGX_OK) {
            break;
        }
    }

    wait = ngx_max(ngx_min(wait, NGX_COMPLETION_WATCHER_NET), 1);

    ngx_completion_timer_stop(&watcher->timer);

    ngx_add_timer(&watcher->timer, wait);
}


static void
ngx_completion_watcher_quit(ngx_completion_watcher_t *watcher)
{
    ngx_completion_timer_stop(&watcher->timer);

    ngx_completion_polls_yield(watcher);
    ngx_completion_wait_wake_all(watcher);
}


void
ngx_completion_watcher_spare_set(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_completion_update_t *update)
{
    ngx_pool_t                *pool;
    ngx_completion_watcher_t  *watcher;

    watcher = &ngx_completion_watchers[service->index];

    ngx_log_error(NGX_LOG_ERR, service->log, 0,
                  "a result of %uz bytes has no room in the zone of provider "
                  "\"%V\", give it more memory", update->document.len,
                  &service->name);

    ngx_completion_watcher_spare_drop(watcher);

    pool = ngx_create_pool(512, service->log);
    if (pool == NULL) {
        return;
    }

    watcher->spare_id = *id;
    watcher->spare_id.data = ngx_pstrdup(pool, id);
    watcher->spare_document = update->document;
    watcher->spare_document.data = ngx_pstrdup(pool, &update->document);

    if (watcher->spare_id.data == NULL
        || watcher->spare_document.data == NULL)
    {
        ngx_destroy_pool(pool);
        return;
    }

    watcher->spare = pool;
    watcher->spare_offset = update->id_offset;
    watcher->spare_digest = update->digest;
    watcher->spare_until = ngx_current_msec + NGX_COMPLETION_WATCHER_SPARE;
}


ngx_int_t
ngx_completion_watcher_spare(ngx_completion_service_t *service,
    ngx_str_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_completion_watcher_t  *watcher;

    watcher = &ngx_completion_watchers[service->index];

    if (watcher->spare == NULL
        || view->state != NGX_COMPLETION_RECORD_FINAL
        || view->digest != watcher->spare_digest
        || id->len != watcher->spare_id.len
        || ngx_memcmp(id->data, watcher->spare_id.data, id->len) != 0)
    {
        return NGX_DECLINED;
    }

    view->document = watcher->spare_document;
    view->document.data = ngx_pstrdup(pool, &watcher->spare_document);
    view->id_offset = watcher->spare_offset;

    return view->document.data ? NGX_OK : NGX_DECLINED;
}


static void
ngx_completion_watcher_spare_drop(ngx_completion_watcher_t *watcher)
{
    if (watcher->spare) {
        ngx_destroy_pool(watcher->spare);
        watcher->spare = NULL;
    }
}


static ngx_int_t
ngx_completion_poll_start(ngx_completion_watcher_t *watcher,
    ngx_completion_due_t *due, ngx_completion_grant_t *grant)
{
    ngx_completion_poll_t     *poll;
    ngx_completion_fetch_t    *f;
    ngx_completion_service_t  *service;

    service = watcher->service;

    f = ngx_completion_provider_poll(&service->provider, &grant->secret,
                                     &due->id, service->log);
    if (f == NULL) {
        ngx_completion_zone_yield(service->zone, &due->id, due->lease);
        return NGX_ERROR;
    }

    poll = ngx_pcalloc(f->pool, sizeof(ngx_completion_poll_t));
    if (poll == NULL) {
        ngx_completion_fetch_destroy(f);
        ngx_completion_zone_yield(service->zone, &due->id, due->lease);
        return NGX_ERROR;
    }

    poll->watcher = watcher;
    poll->fetch = f;
    poll->generation = grant->generation;
    poll->due = *due;
    poll->due.id.data = poll->due.buf;

    ngx_queue_insert_tail(&watcher->polls, &poll->queue);
    watcher->npolls++;

    f->timeout = service->provider.request_timeout;
    f->handler = ngx_completion_poll_answered;
    f->data = poll;

    f->log->handler = ngx_completion_poll_log;
    f->log->data = poll;

    ngx_completion_fetch_start(f);

    return NGX_OK;
}


static void
ngx_completion_poll_answered(ngx_completion_fetch_t *f)
{
    ngx_completion_poll_t     *poll;
    ngx_completion_answer_t    answer;
    ngx_completion_service_t  *service;

    poll = f->data;
    service = poll->watcher->service;

    ngx_queue_remove(&poll->queue);
    poll->watcher->npolls--;

    ngx_completion_provider_answer(f, f->pool, &poll->due.id, &answer);
    ngx_completion_meter_fetch(poll->watcher->service,
                               NGX_COMPLETION_METRICS_POLL, f, &answer);

    if (answer.kind == NGX_COMPLETION_ANSWER_UNAUTHORIZED
        && ngx_completion_grant_refused(service, poll->generation) == NGX_OK)
    {
        ngx_completion_zone_yield(service->zone, &poll->due.id,
                                  poll->due.lease);
        ngx_completion_watcher_kick(service);

    } else {

        if (answer.kind == NGX_COMPLETION_ANSWER_UNAUTHORIZED) {
            ngx_log_error(NGX_LOG_ERR, f->log, 0,
                          "upstream answered 401, request id \"%V\"",
                          &answer.request_id);
        }

        ngx_completion_operation_told(service, &poll->due.id, poll->due.lease,
                                      &answer);
    }

    ngx_completion_fetch_destroy(f);
}


static void
ngx_completion_polls_yield(ngx_completion_watcher_t *watcher)
{
    ngx_queue_t            *q;
    ngx_completion_poll_t  *poll;

    while (!ngx_queue_empty(&watcher->polls)) {
        q = ngx_queue_head(&watcher->polls);
        poll = ngx_queue_data(q, ngx_completion_poll_t, queue);

        ngx_queue_remove(q);
        watcher->npolls--;

        ngx_completion_meter_aborted(watcher->service,
                                     NGX_COMPLETION_METRICS_POLL, poll->fetch);
        ngx_completion_zone_yield(watcher->service->zone, &poll->due.id,
                                  poll->due.lease);
        ngx_completion_fetch_destroy(poll->fetch);
    }
}


ngx_int_t
ngx_completion_wait_begin(ngx_completion_service_t *service, ngx_str_t *id,
    ngx_msec_t ms, ngx_completion_wait_t *wait)
{
    if (ngx_completion_wait_join(service, ngx_completion_zone_hash(id), wait)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a while longer, so that who renews a wait is not passed over */

    (void) ngx_completion_zone_want(service->zone, id,
                                    ms + NGX_COMPLETION_WATCHER_NET);
    ngx_completion_watcher_kick(service);

    return NGX_OK;
}


ngx_int_t
ngx_completion_wait_key(ngx_completion_service_t *service,
    ngx_completion_key_t *key, ngx_completion_wait_t *wait)
{
    return ngx_completion_wait_join(service,
                                    ngx_completion_key_hash(key->name), wait);
}


ngx_int_t
ngx_completion_wait_grant(ngx_completion_service_t *service,
    ngx_completion_wait_t *wait)
{
    return ngx_completion_wait_join(service, NGX_COMPLETION_TOKEN_HASH, wait);
}


static ngx_int_t
ngx_completion_wait_join(ngx_completion_service_t *service, uint32_t hash,
    ngx_completion_wait_t *wait)
{
    ngx_completion_watcher_t     *watcher;
    ngx_completion_wait_group_t  *group;

    watcher = &ngx_completion_watchers[service->index];
    group = ngx_completion_wait_group(watcher, hash);

    if (group == NULL) {
        group = ngx_alloc(sizeof(ngx_completion_wait_group_t), service->log);
        if (group == NULL) {
            return NGX_ERROR;
        }

        group->node.key = hash;
        group->tree = &watcher->groups;
        ngx_queue_init(&group->waits);
        ngx_rbtree_insert(&watcher->groups, &group->node);
    }

    ngx_queue_insert_tail(&group->waits, &wait->queue);
    wait->group = group;

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


static void
ngx_completion_wait_wake(ngx_completion_watcher_t *watcher,
    ngx_completion_wait_group_t *group)
{
    ngx_queue_t            *q;
    ngx_completion_wait_t  *wait;

    while (!ngx_queue_empty(&group->waits)) {
        q = ngx_queue_head(&group->waits);
        wait = ngx_queue_data(q, ngx_completion_wait_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&watcher->woken, q);
        wait->group = &ngx_completion_wait_woken;
    }

    ngx_rbtree_delete(&watcher->groups, &group->node);
    ngx_free(group);

    /*
     * A quitting worker comes here from outside of the event loop's turn, and
     * other posted events would then wait for the next thing to happen.
     */

    if (!watcher->rest.posted) {
        ngx_post_event(&watcher->rest, &ngx_posted_next_events);
    }
}


static void
ngx_completion_wait_wake_all(ngx_completion_watcher_t *watcher)
{
    ngx_rbtree_node_t  *node;

    while (watcher->groups.root != watcher->groups.sentinel) {
        node = ngx_rbtree_min(watcher->groups.root, watcher->groups.sentinel);
        ngx_completion_wait_wake(watcher,
                                 (ngx_completion_wait_group_t *) node);
    }
}


static void
ngx_completion_wait_rest(ngx_event_t *ev)
{
    ngx_uint_t                 n;
    ngx_queue_t               *q;
    ngx_completion_wait_t     *wait;
    ngx_completion_watcher_t  *watcher;

    watcher = ngx_completion_timer_owner(ev, ngx_completion_watcher_t, rest);

    for (n = 0; n < NGX_COMPLETION_WATCHER_BATCH; n++) {

        if (ngx_queue_empty(&watcher->woken)) {
            return;
        }

        q = ngx_queue_head(&watcher->woken);
        wait = ngx_queue_data(q, ngx_completion_wait_t, queue);

        ngx_queue_remove(q);
        wait->group = NULL;
        wait->handler(wait);
    }

    ngx_post_event(&watcher->rest, &ngx_posted_next_events);
}


static ngx_completion_wait_group_t *
ngx_completion_wait_group(ngx_completion_watcher_t *watcher, uint32_t hash)
{
    ngx_rbtree_node_t  *node, *sentinel;

    node = watcher->groups.root;
    sentinel = watcher->groups.sentinel;

    while (node != sentinel) {

        if (hash == node->key) {
            return (ngx_completion_wait_group_t *) node;
        }

        node = (hash < node->key) ? node->left : node->right;
    }

    return NULL;
}


static u_char *
ngx_completion_poll_log(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_completion_poll_t  *poll;

    poll = log->data;

    return ngx_snprintf(buf, len,
                        " while polling provider \"%V\", operation: \"%V\"",
                        &poll->watcher->service->name, &poll->due.id);
}
