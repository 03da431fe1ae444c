
/*
 * The records of submits on their way: found by their leases, and in the order
 * in which they are sent, so that those who wait for their quota stand at the
 * end.  None is evicted; one whose lease has ended is a dead worker's.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


void
ngx_completion_line_join(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    submit->node.key = (ngx_rbtree_key_t) submit->lease;

    ngx_rbtree_insert(&zone->sh->submits, &submit->node);
    ngx_queue_insert_tail(&zone->sh->line, &submit->queue);

    zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT]++;
}


void
ngx_completion_line_leave(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    ngx_rbtree_delete(&zone->sh->submits, &submit->node);
    ngx_queue_remove(&submit->queue);

    zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT]--;
}


void
ngx_completion_line_drop(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    ngx_completion_line_leave(zone, submit);
    ngx_slab_free_locked(zone->shpool, submit);
}


ngx_completion_submit_sh_t *
ngx_completion_line_find(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_rbtree_key_t             key;
    ngx_rbtree_node_t           *node, *sentinel;
    ngx_completion_submit_sh_t  *submit;

    key = (ngx_rbtree_key_t) lease;
    node = zone->sh->submits.root;
    sentinel = zone->sh->submits.sentinel;

    while (node != sentinel) {

        if (node->key == key) {
            submit = ngx_rbtree_data(node, ngx_completion_submit_sh_t, node);

            return (submit->lease == lease) ? submit : NULL;
        }

        node = (key < node->key) ? node->left : node->right;
    }

    return NULL;
}


ngx_uint_t
ngx_completion_line_length(ngx_completion_zone_t *zone, ngx_msec_t *wait)
{
    ngx_uint_t                   n;
    ngx_queue_t                 *q, *line;
    ngx_msec_int_t               left;
    ngx_completion_submit_sh_t  *submit;

    n = 0;
    *wait = 0;
    line = &zone->sh->line;

    for (q = ngx_queue_last(line); q != line; q = ngx_queue_prev(q)) {
        submit = ngx_queue_data(q, ngx_completion_submit_sh_t, queue);
        left = ngx_completion_left(submit->at);

        if (left <= 0) {
            break;
        }

        *wait = left;
        n++;
    }

    return n;
}
