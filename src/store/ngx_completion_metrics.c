
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* how many submits a worker that begins looks at under one lock */
#define NGX_COMPLETION_METRICS_SWEEP  64


/* what was told of once is told of again, ms */
#define NGX_COMPLETION_METRICS_TOLD   3600000

#define ngx_completion_zone_is_away(worker)                                   \
    ((worker)->away && ngx_completion_pid_lives((worker)->pid))


/* what a record keeps in a byte each */
_Static_assert(NGX_COMPLETION_STATES <= 255
               && NGX_COMPLETION_OUTCOMES <= 255
               && NGX_COMPLETION_CENSUS_STATES < 255,
               "a byte is too small");


const ngx_uint_t
ngx_completion_metrics_operation[NGX_COMPLETION_METRICS_BOUNDS] = {
    500, 1000, 2000, 5000, 10000, 20000, 30000, 60000, 120000, 300000,
    600000, 1800000, 3600000, 10800000, 43200000
};

const ngx_uint_t
ngx_completion_metrics_upstream[NGX_COMPLETION_METRICS_BOUNDS] = {
    5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 30000,
    60000, 120000
};

const ngx_uint_t
ngx_completion_metrics_overhead[NGX_COMPLETION_METRICS_BOUNDS] = {
    10, 20, 30, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000,
    100000, 1000000
};

const ngx_uint_t
ngx_completion_metrics_redis[NGX_COMPLETION_METRICS_BOUNDS] = {
    50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000,
    500000, 1000000, 5000000
};


/* the lists of labels, by their names in the table */

#define NGX_COMPLETION_LABEL(name, value, ...)                                \
    { NGX_COMPLETION_METRICS_##name, value },
#define NGX_COMPLETION_LABEL_CALL(name, value)                                \
    { NGX_COMPLETION_KIND_##name, value },
#define NGX_COMPLETION_LABEL_END(name, value, said)                           \
    { NGX_COMPLETION_##name, value },
#define NGX_COMPLETION_LABEL_FINAL(name, value, said)                         \
    { NGX_COMPLETION_RECORD_FINAL + NGX_COMPLETION_##name, value },
#define NGX_COMPLETION_LABEL_SUBMIT(name, code)                               \
    { NGX_COMPLETION_##name, code },
#define NGX_COMPLETION_LABEL_CLIENT(name, code)

#define NGX_COMPLETION_LABELS(list, name)                                     \
    static const ngx_completion_labels_t  ngx_completion_labels_##list = {    \
        name, ngx_completion_label_##list,                                    \
        sizeof(ngx_completion_label_##list)                                   \
        / sizeof(ngx_completion_label_t),                                     \
        sizeof(char NGX_COMPLETION_BY_##list)                                 \
    };

#define NGX_COMPLETION_LABELED(list, name, ...)                               \
    static const ngx_completion_label_t  ngx_completion_label_##list[] = {    \
        __VA_ARGS__                                                           \
    };                                                                        \
    NGX_COMPLETION_LABELS(list, name)


static const ngx_completion_label_t  ngx_completion_label_REFUSED[] = {
#define NGX_COMPLETION_OUTCOME(name, status, code, title, again, of)          \
    NGX_COMPLETION_LABEL_##of(name, code)
#include "../model/ngx_completion_outcomes.def"
#undef NGX_COMPLETION_OUTCOME
};

static const ngx_completion_label_t  ngx_completion_label_PROBLEM[] = {
#define NGX_COMPLETION_OUTCOME(name, status, code, title, again, of)          \
    { NGX_COMPLETION_##name, code },
#include "../model/ngx_completion_outcomes.def"
#undef NGX_COMPLETION_OUTCOME
};


NGX_COMPLETION_LABELED(NONE, NULL, { 0, NULL })

NGX_COMPLETION_LABELED(ACCEPTED, "result",
                       { NGX_COMPLETION_SOURCE_UPSTREAM, "accepted" },
                       { NGX_COMPLETION_SOURCE_JOINED, "joined" },
                       { NGX_COMPLETION_SOURCE_CACHED, "cached" },
                       { NGX_COMPLETION_SOURCE_REPLAYED, "replayed" })
NGX_COMPLETION_LABELS(REFUSED, "result")
NGX_COMPLETION_LABELS(PROBLEM, "code")
NGX_COMPLETION_LABELED(SOURCE, "source",
                       { NGX_COMPLETION_SOURCE_ZONE, "zone" },
                       { NGX_COMPLETION_SOURCE_UPSTREAM, "upstream" })

NGX_COMPLETION_LABELED(RETRY, "kind",
                       { NGX_COMPLETION_KIND_SUBMIT, "submit" },
                       { NGX_COMPLETION_KIND_POLL, "poll" })

NGX_COMPLETION_LABELED(STATE, "state",
                       { NGX_COMPLETION_RECORD_SUBMIT, "submitting" },
                       { NGX_COMPLETION_RECORD_UNKNOWN, "adopted" },
                       { NGX_COMPLETION_RECORD_MISSING, "missing" },
                       { NGX_COMPLETION_RECORD_PENDING, "pending" },
                       NGX_COMPLETION_END_LIST(NGX_COMPLETION_LABEL_FINAL))
NGX_COMPLETION_LABELED(END, "state",
                       NGX_COMPLETION_END_LIST(NGX_COMPLETION_LABEL_END))

NGX_COMPLETION_LABELED(OVERHEAD, "kind",
                       NGX_COMPLETION_OVERHEAD_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(REQUEST, "kind",
                       NGX_COMPLETION_KIND_LIST(NGX_COMPLETION_LABEL_CALL))
NGX_COMPLETION_LABELED(CODE, "code",
                       NGX_COMPLETION_CODE_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(TOKEN, "kind",
                       NGX_COMPLETION_TOKEN_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(KEY, "kind",
                       NGX_COMPLETION_KEY_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(EVICTION, "kind",
                       NGX_COMPLETION_EVICTION_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(RENEWAL, "result",
                       NGX_COMPLETION_RENEWAL_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(TAGS, "result",
                       { NGX_COMPLETION_TAGS_KEPT, "kept" },
                       { NGX_COMPLETION_TAGS_CHANGED, "changed" })
NGX_COMPLETION_LABELED(REDIS_CALL, "call",
                       NGX_COMPLETION_REDIS_CALL_LIST(NGX_COMPLETION_LABEL))
NGX_COMPLETION_LABELED(REDIS_FAULT, "reason",
                       NGX_COMPLETION_REDIS_FAULT_LIST(NGX_COMPLETION_LABEL))


#define NGX_COMPLETION_VALUES(member, first, second, scale, bounds, moment)   \
    { NULL, NULL, NULL, offsetof(ngx_completion_sample_t, member), scale,     \
      { &ngx_completion_labels_##first, &ngx_completion_labels_##second },    \
      bounds, moment, 0 },

#define NGX_COMPLETION_FAMILY(name, type, help)                               \
    { name, type, help, 0, 0, { NULL, NULL }, NULL, 0, 0 },
#define NGX_COMPLETION_SHARED(name, type, help)                               \
    { name, type, help, 0, 0, { NULL, NULL }, NULL, 0, 1 },
#define NGX_COMPLETION_COUNTER(member, first, second, scale)                  \
    NGX_COMPLETION_VALUES(counters.member, first, second, scale, NULL, 0)
#define NGX_COMPLETION_MOMENT(member)                                         \
    NGX_COMPLETION_VALUES(counters.member, NONE, NONE, 1, NULL, 1)
#define NGX_COMPLETION_HISTOGRAM(member, first, scale)                        \
    NGX_COMPLETION_VALUES(counters.member, first, NONE, scale,                \
                          ngx_completion_metrics_##member, 0)
#define NGX_COMPLETION_GAUGE(member, first, scale)                            \
    NGX_COMPLETION_VALUES(census.member, first, NONE, scale, NULL, 0)

const ngx_completion_metric_t  ngx_completion_metrics_table[] = {
#include "ngx_completion_counters.def"
};

const ngx_uint_t  ngx_completion_metrics_table_n =
    sizeof(ngx_completion_metrics_table) / sizeof(ngx_completion_metric_t);


/* all that stands before the workers is copied as if it were one array */
_Static_assert(offsetof(ngx_completion_metrics_sh_t, workers)
               % sizeof(ngx_atomic_t) == 0
               && sizeof(ngx_completion_histogram_sh_t)
                  == (NGX_COMPLETION_METRICS_BOUNDS + 2)
                     * sizeof(ngx_atomic_t),
               "a counter is not atomic");


/* for a worker that found no place of its own */
static ngx_completion_metrics_worker_sh_t  ngx_completion_metrics_nowhere;


void
ngx_completion_metrics_observe(ngx_completion_histogram_sh_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t value)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMPLETION_METRICS_BOUNDS; i++) {
        if (value <= bounds[i]) {
            break;
        }
    }

    ngx_completion_metrics_add(&histogram->buckets[i], 1);
    ngx_completion_metrics_add(&histogram->sum, value);
}


void
ngx_completion_metrics_read(ngx_completion_metrics_sh_t *metrics,
    ngx_completion_metrics_sh_t *copy)
{
    ngx_uint_t     i;
    ngx_atomic_t  *from, *to;

    from = (ngx_atomic_t *) metrics;
    to = (ngx_atomic_t *) copy;

    for (i = 0;
         i < offsetof(ngx_completion_metrics_sh_t, workers)
             / sizeof(ngx_atomic_t);
         i++)
    {
        to[i] = from[i];
    }
}


void
ngx_completion_zone_enter(ngx_completion_zone_t *zone)
{
    ngx_uint_t                           i, n;
    ngx_completion_metrics_worker_sh_t  *worker;

    zone->worker = &ngx_completion_metrics_nowhere;

    ngx_completion_zone_lock(zone);

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS; i++) {
        worker = &zone->metrics->workers[i];

        if (worker->pid == (uint32_t) ngx_pid
            || !ngx_completion_pid_lives(worker->pid))
        {
            worker->waiters = 0;
            worker->streams = 0;
            worker->submits = 0;
            worker->away = 0;
            worker->pid = (uint32_t) ngx_pid;

            zone->worker = worker;
            break;
        }
    }

    n = zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT];

    ngx_completion_zone_unlock(zone);

    /* it may have come for one that has died */

    for (i = 0; i < n; i += NGX_COMPLETION_METRICS_SWEEP) {
        ngx_completion_zone_lock(zone);
        ngx_completion_room_sweep(zone, NGX_COMPLETION_METRICS_SWEEP);
        ngx_completion_zone_unlock(zone);
    }
}


void
ngx_completion_zone_leave(ngx_completion_zone_t *zone)
{
    zone->worker->pid = 0;
}


ngx_uint_t
ngx_completion_zone_away(ngx_completion_zone_t *zone, ngx_uint_t away)
{
    ngx_uint_t     i, news;
    ngx_atomic_t  *told;

    told = &zone->metrics->told[NGX_COMPLETION_TOLD_LOSS];

    ngx_completion_zone_lock(zone);

    zone->worker->away = (uint32_t) away;

    news = (*told != away);

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS && news && !away; i++) {
        news = !ngx_completion_zone_is_away(&zone->metrics->workers[i]);
    }

    if (news) {
        *told = away;
    }

    ngx_completion_zone_unlock(zone);

    return news;
}


ngx_uint_t
ngx_completion_zone_tell(ngx_completion_zone_t *zone,
    ngx_completion_told_e what)
{
    ngx_uint_t     news;
    ngx_atomic_t  *told;

    told = &zone->metrics->told[what];

    ngx_completion_zone_lock(zone);

    news = (*told == 0
            || ngx_completion_since(*told) >= NGX_COMPLETION_METRICS_TOLD);

    if (news) {
        *told = ngx_max(ngx_current_msec, 1);
    }

    ngx_completion_zone_unlock(zone);

    return news;
}


/*
 * The numbers are kept while records come, change and go, so that a scrape's
 * time does not depend on how many there are.
 */

void
ngx_completion_zone_census(ngx_completion_zone_t *zone,
    ngx_completion_census_t *census)
{
    ngx_uint_t                           i, shift;
    ngx_rbtree_t                        *tree;
    ngx_msec_int_t                       left;
    ngx_slab_pool_t                     *shpool;
    ngx_completion_zone_sh_t            *sh;
    ngx_completion_metrics_worker_sh_t  *worker;

    ngx_memzero(census, sizeof(ngx_completion_census_t));

    census->queue_limit = zone->submit_queue;
    census->redis_up = 1;

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS; i++) {
        worker = &zone->metrics->workers[i];

        if ((worker->waiters || worker->streams || worker->submits)
            && ngx_completion_pid_lives(worker->pid))
        {
            census->waiters += worker->waiters;
            census->streams += worker->streams;
            census->submit_memory += worker->submits;
        }

        if (ngx_completion_zone_is_away(worker)) {
            census->redis_up = 0;
        }
    }

    ngx_completion_zone_lock(zone);

    sh = zone->sh;
    census->redis_outbox = sh->nerrands;
    shpool = zone->shpool;

    ngx_memcpy(census->operations, sh->counts, sizeof(sh->counts));
    ngx_memcpy(census->keys, sh->nkeys, sizeof(sh->nkeys));

    census->queue = sh->nlines[NGX_COMPLETION_TURN_WAITS];

    for (i = 0; i < NGX_COMPLETION_TREES; i++) {
        tree = &sh->trees[i];

        if (tree->root != tree->sentinel) {
            left = ngx_completion_left(ngx_rbtree_min(tree->root,
                                                      tree->sentinel)->key);
            census->late = ngx_max((ngx_msec_int_t) census->late, -left);
        }
    }

    /* but for whole pages, and for room in those that are cut up */

    census->size = zone->shm_zone->shm.size;
    census->used = census->size - shpool->pfree * ngx_pagesize;

    for (i = 0; i < ngx_pagesize_shift - shpool->min_shift; i++) {
        shift = shpool->min_shift + i;
        census->used -= (shpool->stats[i].total - shpool->stats[i].used)
                        << shift;
    }

    ngx_completion_zone_unlock(zone);
}
