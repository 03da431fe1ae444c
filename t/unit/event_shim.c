
#include "event_shim.h"

#include "../../src/store/ngx_completion_wake.h"

#include <stdlib.h>


#define EPOCH  1000000000


ngx_uint_t               shim_wakes;
ngx_uint_t               shim_edges;

ngx_rbtree_t             ngx_event_timer_rbtree;
ngx_queue_t              ngx_posted_events;
ngx_queue_t              ngx_posted_next_events;
ngx_uint_t               ngx_exiting;
ngx_uint_t               ngx_worker;

/* of ngx_crc32_short(), which only has to tell texts apart here */
static uint32_t          shim_crc32_table[16] = {
    0x0, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c
};
uint32_t                *ngx_crc32_table_short = shim_crc32_table;

static ngx_rbtree_node_t   shim_timers_sentinel;
static void              (*shim_listener)(ngx_uint_t cut);

/* what a worker keeps until it exits */
static void               *shim_kept[32];
static ngx_uint_t          shim_nkept;


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p = ngx_alloc(size, log);

    if (p) {
        memset(p, 0, size);

        if (shim_nkept == sizeof(shim_kept) / sizeof(shim_kept[0])) {
            abort();
        }

        shim_kept[shim_nkept++] = p;
    }

    return p;
}


void
shim_worker(void)
{
    while (shim_nkept) {
        free(shim_kept[--shim_nkept]);
    }

    ngx_rbtree_init(&ngx_event_timer_rbtree, &shim_timers_sentinel,
                    ngx_rbtree_insert_timer_value);
    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);

    ngx_exiting = 0;
    shim_listener = NULL;
    shim_wakes = 0;
    shim_edges = 0;

    ngx_current_msec = 1000000;
    shim_time(EPOCH);
}


static void
shim_process(ngx_queue_t *posted)
{
    ngx_queue_t  *q;
    ngx_event_t  *ev;

    while (!ngx_queue_empty(posted)) {
        q = ngx_queue_head(posted);
        ev = ngx_queue_data(q, ngx_event_t, queue);

        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }
}


void
shim_turn(void)
{
    ngx_queue_t  next;

    do {
        ngx_queue_init(&next);

        if (!ngx_queue_empty(&ngx_posted_next_events)) {
            ngx_queue_add(&next, &ngx_posted_next_events);
            ngx_queue_init(&ngx_posted_next_events);
        }

        shim_process(&next);
        shim_process(&ngx_posted_events);

    } while (!ngx_queue_empty(&ngx_posted_next_events));
}


ngx_msec_int_t
shim_next(void)
{
    ngx_rbtree_node_t  *node;

    if (ngx_event_timer_rbtree.root == &shim_timers_sentinel) {
        return -1;
    }

    node = ngx_rbtree_min(ngx_event_timer_rbtree.root, &shim_timers_sentinel);

    return ngx_max((ngx_msec_int_t) (node->key - ngx_current_msec), 0);
}


void
shim_passes(ngx_msec_t ms)
{
    ngx_msec_t           end = ngx_current_msec + ms;
    ngx_event_t         *ev;
    ngx_msec_int_t       next;
    ngx_rbtree_node_t   *node;

    shim_turn();

    for ( ;; ) {
        next = shim_next();

        if (next == -1 || (ngx_msec_int_t) (end - ngx_current_msec) < next) {
            break;
        }

        ngx_current_msec += next;
        shim_time(EPOCH + (ngx_current_msec - 1000000) / 1000);

        node = ngx_rbtree_min(ngx_event_timer_rbtree.root,
                              &shim_timers_sentinel);
        ev = ngx_rbtree_data(node, ngx_event_t, timer);

        ngx_rbtree_delete(&ngx_event_timer_rbtree, node);
        ev->timer_set = 0;
        ev->timedout = 1;
        ev->handler(ev);

        shim_turn();
    }

    ngx_current_msec = end;
    shim_time(EPOCH + (ngx_current_msec - 1000000) / 1000);
}


ngx_int_t
ngx_completion_wake_listen(ngx_cycle_t *cycle,
    void (*handler)(ngx_uint_t cut))
{
    (void) cycle;

    if (++shim_allocations == shim_fail_at) {
        return NGX_ERROR;
    }

    shim_listener = handler;

    return NGX_OK;
}


void
ngx_completion_wake_all(void)
{
    shim_wakes++;
}


ngx_uint_t
ngx_completion_wake_edges(void)
{
    return shim_edges;
}


void
ngx_completion_wake_close(void)
{
    shim_listener = NULL;
}


void
shim_woken(void)
{
    shim_listener(0);
    shim_turn();
}


void
shim_quits(void)
{
    ngx_exiting = 1;
    shim_woken();
}


void
shim_cut(void)
{
    ngx_exiting = 1;
    shim_listener(1);
    shim_turn();
}
