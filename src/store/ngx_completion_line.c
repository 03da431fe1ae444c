
/*
 * The records of submits on their way: found by their leases, and in the lines
 * that their declaration draws.  None is evicted; one whose lease has ended,
 * or whose worker has and which was not sent, is nobody's any more.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* of one that is not empty */
#define ngx_completion_line_head(line)                                        \
    ngx_rbtree_data(ngx_rbtree_min((line)->root, (line)->sentinel),           \
                    ngx_completion_submit_sh_t, place)


void
ngx_completion_line_join(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_uint_t waits)
{
    ngx_completion_zone_sh_t            *sh;
    ngx_completion_metrics_worker_sh_t  *worker;

    sh = zone->sh;
    worker = zone->worker;

    submit->node.key = (ngx_rbtree_key_t) submit->lease;
    submit->ticket = sh->tickets++;
    submit->pid = (uint32_t) ngx_pid;
    submit->worker = (worker->pid == submit->pid) ? worker : NULL;
    submit->turn = NGX_COMPLETION_TURN_AWAY;

    worker->seen = (uint32_t) ngx_current_msec;

    ngx_rbtree_insert(&sh->submits, &submit->node);
    sh->counts[NGX_COMPLETION_RECORD_SUBMIT]++;

    ngx_completion_line_turn(zone, submit,
                             waits ? NGX_COMPLETION_TURN_WAITS
                                   : NGX_COMPLETION_TURN_CALLED);
}


void
ngx_completion_line_leave(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    ngx_completion_line_turn(zone, submit, NGX_COMPLETION_TURN_AWAY);

    ngx_rbtree_delete(&zone->sh->submits, &submit->node);
    zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT]--;
}


void
ngx_completion_line_drop(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    ngx_completion_line_leave(zone, submit);
    ngx_slab_free_locked(zone->shpool, submit);
}


void
ngx_completion_line_turn(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_completion_turn_e turn)
{
    ngx_completion_zone_sh_t  *sh;

    sh = zone->sh;

    if (submit->turn < NGX_COMPLETION_TURN_LINES) {
        ngx_rbtree_delete(&sh->lines[submit->turn], &submit->place);
        sh->nlines[submit->turn]--;
    }

    submit->turn = turn;

    if (turn >= NGX_COMPLETION_TURN_LINES) {
        return;
    }

    submit->place.key = (turn == NGX_COMPLETION_TURN_CALLED)
                            ? ngx_current_msec
                            : (ngx_rbtree_key_t) submit->ticket;

    ngx_rbtree_insert(&sh->lines[turn], &submit->place);
    sh->nlines[turn]++;
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


ngx_completion_submit_sh_t *
ngx_completion_line_after(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_rbtree_node_t  *node, *sentinel, *after;

    node = zone->sh->submits.root;
    sentinel = zone->sh->submits.sentinel;

    if (node == sentinel) {
        return NULL;
    }

    after = NULL;

    while (node != sentinel) {

        if (node->key > (ngx_rbtree_key_t) lease) {
            after = node;
            node = node->left;

        } else {
            node = node->right;
        }
    }

    if (after == NULL) {
        after = ngx_rbtree_min(zone->sh->submits.root, sentinel);
    }

    return ngx_rbtree_data(after, ngx_completion_submit_sh_t, node);
}


ngx_completion_submit_sh_t *
ngx_completion_line_first(ngx_completion_zone_t *zone,
    ngx_completion_turn_e turn)
{
    ngx_rbtree_t  *line;

    line = &zone->sh->lines[turn];

    if (line->root == line->sentinel) {
        return NULL;
    }

    return ngx_completion_line_head(line);
}


ngx_uint_t
ngx_completion_line_place(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    uint64_t                     ahead;
    ngx_rbtree_t                *line;
    ngx_completion_submit_sh_t  *first;

    /* it stands there itself */

    line = &zone->sh->lines[NGX_COMPLETION_TURN_WAITS];
    first = ngx_completion_line_head(line);
    ahead = submit->ticket - first->ticket;

    return ngx_min(ahead, zone->sh->nlines[NGX_COMPLETION_TURN_WAITS] - 1);
}


ngx_uint_t
ngx_completion_line_lives(ngx_completion_submit_sh_t *submit)
{
    if (!ngx_completion_line_leased(submit)) {
        return 0;
    }

    /* what may have been sent is not sent again for as long as its lease */

    if (submit->turn == NGX_COMPLETION_TURN_SENT) {
        return 1;
    }

    if (submit->worker && submit->worker->pid != submit->pid) {
        return 0;
    }

    return ngx_completion_pid_lives(submit->pid);
}


ngx_uint_t
ngx_completion_pid_lives(uint32_t pid)
{
    if (pid == (uint32_t) ngx_pid) {
        return 1;
    }

    return pid && (kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH);
}
