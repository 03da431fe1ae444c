
/*
 * What a worker asks for the node's pool of starts, and what became of that.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/rand.h>

#include "ngx_completion_zone_sh.h"


/* how long a start is good for at least, ms */
#define NGX_COMPLETION_POOL_WIDTH      30

/* how often the most nodes of a time are forgotten, ms */
#define NGX_COMPLETION_POOL_HALF_HOUR  (1800 * 1000)


static ngx_uint_t ngx_completion_pool_wanted(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t ours);
static void ngx_completion_pool_lapse(ngx_completion_pool_sh_t *pool);
static void ngx_completion_pool_nodes(ngx_completion_zone_t *zone,
    ngx_uint_t n);
static uint64_t ngx_completion_pool_name(void);


ngx_int_t
ngx_completion_zone_pool_ask(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_msec_t ms, ngx_completion_pool_ask_t *ask,
    ngx_msec_t *wait)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, ours;
    ngx_msec_t                  end;
    ngx_msec_int_t              left;
    ngx_completion_pool_sh_t   *pool;
    ngx_completion_nodes_sh_t  *nodes;
    ngx_completion_start_sh_t  *start;

    rc = NGX_DONE;
    *wait = 0;

    ngx_completion_zone_lock(zone);

    pool = &zone->lasting->pools[kind];
    nodes = &zone->lasting->nodes;

    left = ngx_completion_left(pool->asking);

    if (left > 0) {
        *wait = left;
        goto done;
    }

    ours = 0;
    end = 0;
    ask->nunused = 0;

    for (i = 0; i < NGX_COMPLETION_POOL; i++) {
        start = &pool->starts[i];

        if (start->state == NGX_COMPLETION_START_FREE) {
            continue;
        }

        if (start->state == NGX_COMPLETION_START_OURS) {
            left = ngx_completion_left(start->to) + 1;

            if (left > 0) {
                end = end ? ngx_min(end, (ngx_msec_t) left)
                          : (ngx_msec_t) left;
                ours++;
                continue;
            }

            start->state = NGX_COMPLETION_START_UNUSED;
        }

        ask->unused[ask->nunused].token = start->token;
        ask->unused[ask->nunused++].n = start->n;
    }

    ask->wanted = ngx_completion_pool_wanted(zone, kind, ours);

    /* those of a time that is too far ahead are not given */

    left = ngx_completion_left(pool->due) - NGX_COMPLETION_POOL_AHEAD;

    if (ask->wanted && left > 0 && !pool->away) {
        ask->wanted = 0;
        *wait = left;
    }

    if (ask->wanted == 0 && ask->nunused == 0 && !pool->away) {
        *wait = (*wait && end) ? ngx_min(*wait, end) : *wait + end;
        goto done;
    }

    /* what is lost on the way counts as used */

    for (i = 0; ask->nunused && i < NGX_COMPLETION_POOL; i++) {
        start = &pool->starts[i];

        if (start->state == NGX_COMPLETION_START_UNUSED) {
            start->state = NGX_COMPLETION_START_FREE;
        }
    }

    if (nodes->name == 0) {
        nodes->name = ngx_completion_pool_name();
    }

    if (pool->token == 0) {
        pool->token = ngx_completion_pool_name();
    }

    ask->node = nodes->name;
    ask->token = pool->token;
    ask->turn = ++pool->turn;
    ask->width = ngx_max(pool->late * 2, NGX_COMPLETION_POOL_WIDTH);
    ask->width = ngx_min(ask->width, NGX_COMPLETION_POOL_WIDEST) + pool->lag;

    pool->asking = ngx_current_msec + ms;
    pool->asker = (uint32_t) ngx_pid;
    pool->wants = 0;
    rc = NGX_OK;

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_pool_quit(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_completion_pool_ask_t *ask)
{
    ngx_int_t                            rc;
    ngx_uint_t                           i;
    ngx_completion_pool_sh_t            *pool;
    ngx_completion_start_sh_t           *start;
    ngx_completion_metrics_worker_sh_t  *worker;

    ngx_memzero(ask, sizeof(ngx_completion_pool_ask_t));

    ngx_completion_zone_lock(zone);

    rc = NGX_OK;
    pool = &zone->lasting->pools[kind];

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS; i++) {
        worker = &zone->metrics->workers[i];

        if (worker != zone->worker && ngx_completion_pid_lives(worker->pid)) {
            rc = NGX_DONE;
        }
    }

    if (zone->lasting->nodes.name == 0) {
        rc = NGX_DONE;
    }

    if (rc == NGX_OK) {
        ask->node = zone->lasting->nodes.name;
        ask->token = pool->token;

        for (i = 0; i < NGX_COMPLETION_POOL; i++) {
            start = &pool->starts[i];

            if (start->state != NGX_COMPLETION_START_FREE) {
                start->state = NGX_COMPLETION_START_FREE;
                ask->unused[ask->nunused].token = start->token;
                ask->unused[ask->nunused++].n = start->n;
            }
        }
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


/* a start for each who waits, or is called, and has none */

static ngx_uint_t
ngx_completion_pool_wanted(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t ours)
{
    ngx_uint_t  n;

    n = (kind == NGX_COMPLETION_KIND_SUBMIT)
            ? zone->sh->nlines[NGX_COMPLETION_TURN_WAITS]
              + zone->sh->nlines[NGX_COMPLETION_TURN_CALLED]
            : zone->lasting->pools[kind].wants;

    n -= ngx_min(n, ours);
    n = ngx_min(n, NGX_COMPLETION_POOL - ours);

    return ngx_min(n, NGX_COMPLETION_POOL_ASK);
}


static void
ngx_completion_pool_lapse(ngx_completion_pool_sh_t *pool)
{
    ngx_uint_t                  i;
    ngx_completion_start_sh_t  *start;

    start = pool->starts;

    for (i = 0; i < NGX_COMPLETION_POOL; i++) {

        if (start[i].state == NGX_COMPLETION_START_OURS
            && ngx_completion_left(start[i].to) < 0)
        {
            start[i].state = NGX_COMPLETION_START_UNUSED;
        }
    }
}


ngx_int_t
ngx_completion_zone_pool_answer(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_completion_pool_answer_t *answer)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, n;
    ngx_completion_pool_sh_t   *pool;
    ngx_completion_start_sh_t  *start;

    ngx_completion_zone_lock(zone);

    pool = &zone->lasting->pools[kind];
    start = pool->starts;

    ngx_completion_pool_lapse(pool);

    /* another worker has asked since, and may have been given other times */

    if (pool->token != answer->token || pool->turn != answer->turn) {
        ngx_completion_zone_unlock(zone);
        return NGX_DONE;
    }

    for (i = 0, n = 0; i < NGX_COMPLETION_POOL && n < answer->n; i++) {

        if (start[i].state != NGX_COMPLETION_START_FREE) {
            continue;
        }

        start[i].token = pool->token;
        start[i].n = n + 1;
        start[i].from = answer->from[n];
        start[i].to = answer->to[n];
        start[i].state = NGX_COMPLETION_START_OURS;
        n++;
    }

    /* the next one's: what is random is paid for once, and stays odd */

    pool->token += 2;
    pool->asking = ngx_current_msec;
    pool->due = answer->due;
    pool->lag = (uint32_t) ngx_min(answer->lag, NGX_COMPLETION_POOL_WIDEST);
    pool->away = 0;

    ngx_completion_pool_nodes(zone, answer->nodes);
    zone->quotas[kind].nodes = 0;

    rc = (kind == NGX_COMPLETION_KIND_SUBMIT) ? ngx_completion_turn_call(zone)
                                              : NGX_DONE;

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_pool_away(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t nodes)
{
    ngx_int_t                  rc;
    ngx_completion_pool_sh_t  *pool;

    ngx_completion_zone_lock(zone);

    pool = &zone->lasting->pools[kind];

    ngx_completion_pool_nodes(zone, 0);

    if (zone->lasting->nodes.most) {
        nodes = zone->lasting->nodes.most;
    }

    zone->quotas[kind].nodes = (uint32_t) nodes;

    /*
     * Whoever reaches the server first asks at once, but for what another
     * worker is asking: that one may reach it.
     */

    if (pool->asker == (uint32_t) ngx_pid) {
        pool->asking = ngx_current_msec;
    }

    rc = NGX_AGAIN;

    if (!pool->away) {
        pool->away = 1;

        rc = (kind == NGX_COMPLETION_KIND_SUBMIT)
                 ? ngx_completion_turn_call(zone) : NGX_DONE;
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


static void
ngx_completion_pool_nodes(ngx_completion_zone_t *zone, ngx_uint_t n)
{
    ngx_msec_int_t              since;
    ngx_completion_nodes_sh_t  *nodes;

    nodes = &zone->lasting->nodes;
    since = ngx_completion_since(nodes->since);

    if (since >= NGX_COMPLETION_POOL_HALF_HOUR) {
        nodes->before = (since < 2 * NGX_COMPLETION_POOL_HALF_HOUR)
                            ? nodes->now : 0;
        nodes->now = 0;
        nodes->since = ngx_current_msec;
    }

    nodes->now = ngx_max(nodes->now, (uint32_t) n);
    nodes->most = ngx_max(nodes->now, nodes->before);

    zone->metrics->redis_nodes = nodes->most;
}


/* no other node's: these may have begun in the same second, as process 7 */

static uint64_t
ngx_completion_pool_name(void)
{
    uint64_t  name;

    if (RAND_bytes((u_char *) &name, sizeof(uint64_t)) != 1) {
        name = ((uint64_t) ngx_random() << 32) ^ (uint64_t) ngx_random();
    }

    return name | 1;
}
