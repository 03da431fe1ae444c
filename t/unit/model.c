
/*
 * The zone against a model of it: several workers call it in a random order on
 * clocks that go apart, are killed between any two calls, stand still, quit
 * and are replaced; rates change, the wall clock jumps, the zone is full. What
 * each call comes to, and after it all that the zone holds, is as the reference
 * says, see model/model.h; and what the contract says of money and rates holds.
 *
 * MODEL_SEED and MODEL_STEPS, or two arguments, say what is done.
 */


#include "model/model.h"

#include <errno.h>
#include <time.h>


#define LIVE       4
#define NOBODY     ((ngx_uint_t) -1)
#define LIFE       20000       /* steps of one zone */
#define AUDIT      1000

#define DAY        86400


ngx_completion_zone_t  *zone;       /* as the acting worker has it */
ngx_msec_t              truth;      /* the clock of all */
worker_t                workers[WORKERS];
ngx_uint_t              acting;
request_t               requests[REQUESTS];
poll_t                  polled[POLLED];
paid_t                  paid[2][NAMES];
ngx_uint_t              nops, jumps;
op_t                    ops[OPS];

reference_t             ref;
starts_t                starts, polls;
ngx_uint_t              evicted[LISTS];
ngx_uint_t              finished[NGX_COMPLETION_STATES];

unsigned long           seed;
unsigned long long      steps;
const char             *doing = "";

/* whether the worker is killed where it gives the lock back */
ngx_uint_t              killing;
jmp_buf                 killed;

/* what the real zone gave back, and whom it told, in this step */
void                   *freed[4 * THINGS];
ngx_uint_t              nfreed, seen_freed;
uint32_t                told[4 * THINGS];
ngx_uint_t              ntold;
uint64_t                changes;

static ngx_completion_zone_t  *master;     /* as it was configured last */
static ngx_conf_t              cf;
static ngx_cycle_t             cycle;
static ngx_uint_t              nworkers, live[LIVE];
static ngx_uint_t              hurry;      /* so much more in the time */
static time_t                  jumped;     /* of the wall */
static uint64_t                dice;


/* chance */

ngx_uint_t
below(ngx_uint_t n)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;

    return (dice >> 11) % n;
}


ngx_uint_t
chance(ngx_uint_t percent)
{
    return below(100) < percent;
}


/* processes live by our word */

int
kill(pid_t pid, int sig)
{
    ngx_uint_t  i;

    (void) sig;

    for (i = nworkers; i-- > 0; /* void */ ) {
        if (workers[i].pid == pid && workers[i].lives) {
            return 0;
        }
    }

    errno = ESRCH;

    return -1;
}


static void
on_free(u_char *data, size_t size)
{
    (void) size;

    freed[nfreed++] = data;
}


static void
on_unlock(void)
{
    if (killing) {
        killing = 0;
        longjmp(killed, 1);
    }
}


static void
on_time(void)
{
    workers[acting].now = truth;
    ngx_current_msec = truth;
}


static void
wall(void)
{
    shim_time(1700000000 + jumped + (time_t) (truth / 1000));
}


/* a step of one worker, and the look at all that it did */

void
acts(ngx_uint_t n, const char *what)
{
    acting = n;
    doing = what;
    zone = &workers[n].view;

    if (chance(90)) {
        workers[n].now = truth;
    }

    ngx_current_msec = workers[n].now;
    ngx_pid = workers[n].pid;

    nfreed = 0;
    seen_freed = 0;
    ntold = 0;
    changes = ((ngx_completion_zone_sh_t *) zone->shpool->data)->changes;
}


/* workers */

static void
enters(ngx_uint_t i)
{
    worker_t    *w;
    ngx_uint_t   n, k, all;

    n = nworkers++;
    live[i] = n;
    w = &workers[n];

    memset(w, 0, sizeof(*w));
    w->view = *master;
    w->pid = 100 + n;
    w->lives = 1;
    w->now = truth;

    acts(n, "enter");
    ngx_completion_zone_enter(zone);

    for (k = 0, all = 0; k < ref.nsubmits; k++) {
        all += (ref.submits[k].real != NULL);
    }

    for (k = 0; k < all; k += 64) {
        sweep_submits(64);
    }

    done();
}


static ngx_uint_t
living(void)
{
    ngx_uint_t  i, n = 0;

    for (i = 0; i < LIVE; i++) {
        n += (live[i] != NOBODY);
    }

    return n;
}


ngx_uint_t
someone(void)
{
    ngx_uint_t  i;

    do {
        i = below(LIVE);
    } while (live[i] == NOBODY);

    return live[i];
}


/* what it had under way stays as it is */

static void
leaves(ngx_uint_t i, ngx_uint_t quits)
{
    entry_t     *e;
    request_t   *q;
    ngx_uint_t   k, n = live[i];

    live[i] = NOBODY;

    if (quits) {
        acts(n, "leave");
        ngx_completion_zone_leave(zone);
        workers[n].quits = 1;
        done();

    } else {
        workers[n].lives = 0;
    }

    for (k = 0; k < REQUESTS; k++) {
        q = &requests[k];

        if (q->worker != n || q->phase == FREE) {
            continue;
        }

        for (e = latest(ORPHAN, q->names[ORPHAN], -1);
             e && q->hold.lease;
             e = latest(ORPHAN, q->names[ORPHAN], e->added))
        {
            e->lost += ((uint32_t) e->lease == q->hold.lease);
        }

        q->phase = FREE;
    }

    for (k = 0; k < POLLED; k++) {
        if (polled[k].worker == n) {
            polled[k].op = 0;
        }
    }
}


void
dies(ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; live[i] != n; i++) { /* void */ }

    leaves(i, 0);

    /* not that none is left */

    if (chance(50) || living() == 0) {
        enters(i);
    }
}


static void
rates(void)
{
    ngx_uint_t              i;
    ngx_completion_rate_t  *r = master->submit_rates;

    static const ngx_msec_t  units[] = { 1000, 60000, 3600000 };
    static const ngx_uint_t  most[] = { 8, 100, 1500 };

    memset(r, 0, sizeof(master->submit_rates));

    for (i = 0; i < 3; i++) {
        if (chance(50)) {
            r[i].n = 1 + below(most[i] * (hurry > 1 ? 40 : 1));
            r[i].unit = units[i];
        }
    }

    i = below(2);
    master->poll_rate.n = chance(90) ? 1 + below(i ? 600 : 15) : 0;
    master->poll_rate.unit = units[i];

    master->submit_queue = below(3) * 6;
    master->submit_queue_time = chance(50) ? 1500 : 10000;
    master->poll_min = 200;
    master->poll_max = 5000;
    master->poll_lease = 5000;
    master->deadline = chance(50) ? DEADLINE : 120000;
    master->retention = chance(50) ? 5 : 60;
}


/* a reload: workers of before go on by what they knew, but for the rates */

static void
reloads(void)
{
    rates();

    acts(someone(), "apply");
    ngx_completion_zone_apply(master);
    zone->sh = master->sh;
    done();
}


/* a worker dies inside the lock: nothing is left but what was started */

static void
breaks(void)
{
    ngx_uint_t  i;

    acts(someone(), "a zone that is made anew");

    zone->sh = zone->shpool->data;
    zone->sh->busy = 1;
    shim_log_lines = 0;

    ngx_completion_zone_lock(zone);
    ngx_completion_zone_unlock(zone);
    AGREE(shim_log_lines == 1)

    memset(&ref, 0, sizeof(ref));
    memset(requests, 0, sizeof(requests));
    memset(polled, 0, sizeof(polled));
    memset(paid, 0, sizeof(paid));

    for (i = 0; i < OPS; i++) {
        ops[i].deleted = 0;
    }

    ref.base = shim_slab_used;
    ref.sequence = zone->sh->sequence;
    changes = zone->sh->changes;
    nfreed = 0;

    for (i = 0; i < LISTS; i++) {
        evicted[i] = zone->metrics->evictions[i];
    }

    done();
}


static void
begins(unsigned long s)
{
    ngx_uint_t           i;

    static ngx_str_t     zone_name = ngx_string("operations");

    seed = s;
    dice = s * 2654435769u + 88172645463325252u;
    srandom(s);

    for (i = 0; i < 10; i++) {
        (void) below(2);
    }

    if (cf.pool) {
        ngx_destroy_pool(cf.pool);
    }

    cf.pool = ngx_create_pool(1024, &shim_log);
    cycle.log = &shim_log;
    ngx_cycle = &cycle;

    truth = chance(10) ? (ngx_msec_t) 0xfffff000 + below(100000)
                       : 1000000 + below(100000);
    jumped = 0;
    wall();
    ngx_current_msec = truth;

    memset(workers, 0, sizeof(worker_t) * nworkers);
    memset(ops, 0, sizeof(ops));
    nworkers = 0;
    nops = 0;
    jumps = 0;
    starts.n = 0;
    polls.n = 0;
    shim_on_free = NULL;

    master = ngx_completion_zone_add(&cf, &zone_name,
                                     chance(10) ? 1 << 18
                                                : 30720 + below(60) * 512,
                                     &cycle);
    hurry = chance(20) ? 60 : 1;
    rates();
    master->lifetime = chance(50) ? 100 : 600;

    AGREE(master->shm_zone->init(master->shm_zone, NULL) == NGX_OK)

    shim_on_free = on_free;
    shim_on_time = on_time;
    shim_on_unlock = on_unlock;

    memset(&ref, 0, sizeof(ref));
    memset(requests, 0, sizeof(requests));
    memset(polled, 0, sizeof(polled));
    memset(paid, 0, sizeof(paid));
    memset(evicted, 0, sizeof(evicted));
    memset(finished, 0, sizeof(finished));

    ref.base = shim_slab_used;
    ref.sequence = master->sh->sequence;

    for (i = 0; i < LIVE; i++) {
        enters(i);
    }
}


static void
passes(void)
{
    ngx_uint_t  i, what = below(1000);

    truth += ((what < 900) ? below(60)
              : (what < 970) ? below(3000)
              : (what < 995) ? below(15000)
              : (what < 999) ? below(90000) : below(1000000))
             / hurry;

    if (what < 5) {
        jumped += (ngx_int_t) (below(3) - 1) * DAY;
        jumps++;
    }

    wall();

    for (i = 0; i < LIVE; i++) {
        if (live[i] != NOBODY && truth - workers[live[i]].now > 50000) {
            workers[live[i]].now = truth;
        }
    }
}


static void
calls(ngx_uint_t worker)
{
    ngx_int_t    rc;
    ngx_msec_t   wait;

    acts(worker, "call");

    rc = ngx_completion_zone_call(zone, &wait);

    seen();
    expire();
    AGREE(rc == call())
    AGREE((wait != 0) == (waits_n(NGX_COMPLETION_TURN_WAITS) != 0))

    done();

    AGREE(ngx_completion_zone_room(zone) - 1 < 3600000)
}


static void
step(void)
{
    poll_t      *p;
    ngx_uint_t   what = below(1000), i;

    if (what < 420) {
        request();

    } else if (what < 520) {
        take_due(someone());

    } else if (what < 650) {
        p = &polled[below(POLLED)];

        if (p->op == 0) {
            take_due(someone());

        } else if (chance(40)) {
            asks(p);

        } else if (chance(90)) {
            store(p);

        } else {
            yield(p);
        }

    } else if (what < 800) {
        client();

    } else if (what < 860) {
        calls(someone());

    } else if (what < 995) {
        passes();

    } else if (what < 998) {

        i = below(LIVE);

        if (live[i] == NOBODY) {
            enters(i);

        } else if (nworkers < WORKERS - LIVE && living() > 1) {
            leaves(i, chance(30));

            if (chance(50)) {
                enters(i);
            }
        }

    } else if (what < 999) {
        reloads();

    } else if (below(100) == 0) {
        breaks();
    }
}


int
main(int argc, char **argv)
{
    unsigned long        first;
    unsigned long long   n, i, all;

    first = getenv("MODEL_SEED") ? strtoul(getenv("MODEL_SEED"), NULL, 10)
                                 : (unsigned long) time(NULL);
    all = getenv("MODEL_STEPS") ? strtoull(getenv("MODEL_STEPS"), NULL, 10)
                                : 200000;

    if (argc > 2) {
        first = strtoul(argv[1], NULL, 10);
        all = strtoull(argv[2], NULL, 10);
    }

    printf("# MODEL_SEED=%lu MODEL_STEPS=%llu\n", first, all);
    fflush(stdout);

    /* each zone by a seed of its own, which repeats it alone */

    for (n = 0, i = 0; n < all; i++) {
        begins(first + i);

        for (steps = 0; steps < LIFE && n < all; steps++, n++) {
            step();

            if (steps % AUDIT == AUDIT - 1) {
                audit();
            }
        }

        audit();
    }

    ok(1, "the zone is as its model");

    shim_slab_reset(0);
    ngx_destroy_pool(cf.pool);

    return tap_done();
}
