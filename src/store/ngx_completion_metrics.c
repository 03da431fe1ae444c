
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_metrics.h"


static ngx_uint_t ngx_completion_metrics_lives(uint32_t pid);


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


ngx_completion_metrics_worker_sh_t *
ngx_completion_metrics_enter(ngx_completion_metrics_sh_t *metrics)
{
    ngx_uint_t                           i;
    ngx_completion_metrics_worker_sh_t  *worker;

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS; i++) {
        worker = &metrics->workers[i];

        if (worker->pid == (uint32_t) ngx_pid
            || !ngx_completion_metrics_lives(worker->pid))
        {
            worker->waiters = 0;
            worker->streams = 0;
            worker->pid = (uint32_t) ngx_pid;

            return worker;
        }
    }

    return &ngx_completion_metrics_nowhere;
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
ngx_completion_metrics_workers(ngx_completion_metrics_sh_t *metrics,
    ngx_completion_metrics_worker_sh_t *sum)
{
    ngx_uint_t                           i;
    ngx_completion_metrics_worker_sh_t  *worker;

    ngx_memzero(sum, sizeof(ngx_completion_metrics_worker_sh_t));

    for (i = 0; i < NGX_COMPLETION_METRICS_WORKERS; i++) {
        worker = &metrics->workers[i];

        if ((worker->waiters || worker->streams)
            && ngx_completion_metrics_lives(worker->pid))
        {
            sum->waiters += worker->waiters;
            sum->streams += worker->streams;
        }
    }
}


static ngx_uint_t
ngx_completion_metrics_lives(uint32_t pid)
{
    return pid && (kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH);
}
