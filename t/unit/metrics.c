
#include "tap.h"
#include "zone_shim.h"

#include "../../src/store/ngx_completion_zone.h"

#include <stdlib.h>
#include <sys/wait.h>


#define BOUNDS   NGX_COMPLETION_METRICS_BOUNDS
#define WORKERS  NGX_COMPLETION_METRICS_WORKERS


static ngx_completion_metrics_sh_t  metrics;

static ngx_conf_t                   cf;
static ngx_cycle_t                  cycle;
static ngx_completion_zone_t       *zone;


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


static ngx_completion_metrics_worker_sh_t *
enter(ngx_pid_t pid)
{
    ngx_pid = pid;
    ngx_completion_zone_enter(zone);

    return zone->worker;
}


static void
test_workers(void)
{
    size_t                               i;
    uint32_t                             former = dead();
    ngx_completion_census_t              sum;
    ngx_completion_metrics_sh_t          copy;
    ngx_completion_metrics_worker_sh_t  *places, *worker, *other;

    static ngx_str_t  name = ngx_string("operations");

    zone = ngx_completion_zone_add(&cf, &name, 65536, &cycle);
    zone->shm_zone->init(zone->shm_zone, NULL);
    zone->shpool->min_shift = ngx_pagesize_shift;
    places = zone->metrics->workers;

    worker = enter(getpid());
    ok(worker == &places[0] && worker->pid == (uint32_t) getpid(),
       "a worker has a place");

    worker->waiters = 3;
    worker->streams = 2;
    ngx_completion_zone_census(zone, &sum);
    ok(sum.waiters == 3 && sum.streams == 2, "its counts");

    ok(enter(getpid()) == worker
       && worker->waiters == 0 && worker->streams == 0,
       "one that comes again counts anew");

    worker->waiters = 3;
    other = enter(getppid());
    ok(other == &places[1], "another one has another");
    other->waiters = 4;
    other->streams = 1;
    ngx_completion_zone_census(zone, &sum);
    ok(sum.waiters == 7 && sum.streams == 1, "they are summed up");

    other->pid = former;
    ngx_completion_zone_census(zone, &sum);
    ok(sum.waiters == 3 && sum.streams == 0, "a dead one counts for nothing");

    ok(enter(getppid()) == other && other->waiters == 0
       && other->pid == (uint32_t) getppid(), "and its place is taken");

    for (i = 0; i < WORKERS; i++) {
        places[i].pid = getpid();
        places[i].waiters = 1;
    }

    other = enter(getppid());
    ok(other < places || other >= places + WORKERS, "no place is left");
    other->waiters = 100;
    ngx_completion_zone_census(zone, &sum);
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
    cf.pool = ngx_create_pool(1024, &shim_log);
    cycle.log = &shim_log;
    ngx_cycle = &cycle;

    test_bounds();
    test_observe();
    test_workers();

    ngx_destroy_pool(cf.pool);

    return tap_done();
}
