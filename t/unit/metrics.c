
#include "tap.h"
#include "zone_shim.h"

#include "../../src/store/ngx_completion_metrics.h"

#include <stdlib.h>
#include <sys/wait.h>


#define BOUNDS   NGX_COMPLETION_METRICS_BOUNDS
#define WORKERS  NGX_COMPLETION_METRICS_WORKERS


static ngx_completion_metrics_sh_t  metrics;


static void
test_bounds(void)
{
    size_t       i, n;
    ngx_uint_t   bad = 0;

    static const ngx_uint_t  *bounds[] = {
        ngx_completion_metrics_operation, ngx_completion_metrics_upstream,
        ngx_completion_metrics_overhead
    };

    for (i = 0; i < 3; i++) {
        for (n = 1; n < BOUNDS; n++) {
            bad += (bounds[i][n] <= bounds[i][n - 1]);
        }
    }

    is_int(bad, 0, "the bounds go up");
}


static void
test_observe(void)
{
    size_t                          i;
    ngx_uint_t                      bad = 0;
    const ngx_uint_t               *bounds = ngx_completion_metrics_upstream;
    ngx_completion_histogram_sh_t  *h = &metrics.upstream[0];

    memset(&metrics, 0, sizeof(metrics));

    ngx_completion_metrics_observe(h, bounds, 0);
    ngx_completion_metrics_observe(h, bounds, 5);
    is_int(h->buckets[0], 2, "a bound is in its bucket");

    ngx_completion_metrics_observe(h, bounds, 6);
    is_int(h->buckets[1], 1, "what is above it is in the next one");

    ngx_completion_metrics_observe(h, bounds, 120000);
    is_int(h->buckets[BOUNDS - 1], 1, "the last bound");
    ngx_completion_metrics_observe(h, bounds, 120001);
    is_int(h->buckets[BOUNDS], 1, "beyond it");

    is_int(h->sum, 5 + 6 + 120000 + 120001, "the sum of all");

    memset(&metrics, 0, sizeof(metrics));

    for (i = 0; i < BOUNDS; i++) {
        ngx_completion_metrics_observe(h, bounds, bounds[i]);
        bad += (h->buckets[i] != 1);
    }

    ok(!bad && h->buckets[BOUNDS] == 0, "each bound in a bucket of its own");
}


/* that of a process that was */

static uint32_t
dead(void)
{
    pid_t  pid = fork();

    if (pid == 0) {
        _exit(0);
    }

    waitpid(pid, NULL, 0);

    return pid;
}


static void
test_workers(void)
{
    size_t                               i;
    uint32_t                             former = dead();
    ngx_completion_metrics_sh_t          copy;
    ngx_completion_metrics_worker_sh_t   sum, *worker, *other;

    memset(&metrics, 0, sizeof(metrics));
    ngx_pid = getpid();

    worker = ngx_completion_metrics_enter(&metrics);
    ok(worker == &metrics.workers[0] && worker->pid == (uint32_t) getpid(),
       "a worker has a place");

    worker->waiters = 3;
    worker->streams = 2;
    ngx_completion_metrics_workers(&metrics, &sum);
    ok(sum.waiters == 3 && sum.streams == 2, "its counts");

    ok(ngx_completion_metrics_enter(&metrics) == worker
       && worker->waiters == 0 && worker->streams == 0,
       "one that comes again counts anew");

    worker->waiters = 3;
    ngx_pid = getppid();
    other = ngx_completion_metrics_enter(&metrics);
    ok(other == &metrics.workers[1], "another one has another");
    other->waiters = 4;
    other->streams = 1;
    ngx_completion_metrics_workers(&metrics, &sum);
    ok(sum.waiters == 7 && sum.streams == 1, "they are summed up");

    other->pid = former;
    ngx_completion_metrics_workers(&metrics, &sum);
    ok(sum.waiters == 3 && sum.streams == 0, "a dead one counts for nothing");

    ok(ngx_completion_metrics_enter(&metrics) == other && other->waiters == 0
       && other->pid == (uint32_t) getppid(), "and its place is taken");

    for (i = 0; i < WORKERS; i++) {
        metrics.workers[i].pid = getpid();
        metrics.workers[i].waiters = 1;
    }

    other = ngx_completion_metrics_enter(&metrics);
    ok(other < metrics.workers || other >= metrics.workers + WORKERS,
       "no place is left");
    other->waiters = 100;
    ngx_completion_metrics_workers(&metrics, &sum);
    is_int(sum.waiters, WORKERS, "who has none is not counted");

    metrics.tokens[0] = 11;
    metrics.overhead[1].sum = 12;
    memset(&copy, 0, sizeof(copy));
    ngx_completion_metrics_read(&metrics, &copy);
    ok(copy.tokens[0] == 11 && copy.overhead[1].sum == 12,
       "a copy, from the first to the last");
    is_int(copy.workers[0].pid, 0, "without the workers");
}


int
main(void)
{
    test_bounds();
    test_observe();
    test_workers();

    return tap_done();
}
