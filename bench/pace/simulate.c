
/*
 * Operations with known durations, in a stream, watched by several paces: how
 * many polls each costs, and how late its end is noticed.  The pace is the
 * very file of src/; everything else is seeded, so the table never changes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>

#include "ngx_completion_pace.h"


#define SIM_OPS      6000
#define SIM_WARM     200
#define SIM_CHANGE   3000            /* the first operation after the change */

#define SIM_MIN      500
#define SIM_MAX      600000
#define SIM_ARRIVAL  400.0           /* mean gap between two submits, ms */
#define SIM_CAP      21600000.0

#define SIM_RULE_SHARE  0.1          /* of the operations end before it */
#define SIM_RULE_STEP   0.02


typedef enum {
    SIM_LEARN = 0,
    SIM_LEARN_WAITED,
    SIM_RULE,
    SIM_RULE_WAITED,
    SIM_AGE,
    SIM_AGE_WAITED,
    SIM_FIXED,
    SIM_DOUBLING,
    SIM_PACES
} sim_pace_e;


/* The rule that pace.c is held against. */
typedef struct {
    ngx_uint_t   count;
    double       quantile;           /* of the durations, ms */
} sim_rule_t;


typedef struct {
    double       submit;
    double       duration;
    double       due;                /* the next poll is sent */
    double       pending;            /* age of the last poll that said so */
    double       lag;
    ngx_uint_t   polls;
} sim_op_t;


typedef struct {
    const char  *name;
    double     (*duration)(ngx_uint_t i);
    ngx_uint_t   from;
    ngx_uint_t   to;
} sim_case_t;


static double  sim_constant(ngx_uint_t i);
static double  sim_jitter(ngx_uint_t i);
static double  sim_minutes(ngx_uint_t i);
static double  sim_exponential(ngx_uint_t i);
static double  sim_exponential_minutes(ngx_uint_t i);
static double  sim_normal_half(ngx_uint_t i);
static double  sim_normal_one(ngx_uint_t i);
static double  sim_normal_hour(ngx_uint_t i);
static double  sim_bimodal(ngx_uint_t i);
static double  sim_bimodal_hour(ngx_uint_t i);
static double  sim_tail(ngx_uint_t i);
static double  sim_long_tail(ngx_uint_t i);
static double  sim_slower(ngx_uint_t i);
static double  sim_faster(ngx_uint_t i);


static sim_case_t  sim_cases[] = {
    { "constant 2 s", sim_constant, SIM_WARM, SIM_OPS },
    { "constant 2 s, cold start", sim_constant, 0, SIM_WARM },
    { "2 s +- 5 ms", sim_jitter, SIM_WARM, SIM_OPS },
    { "20 min +- 1 %", sim_minutes, SIM_WARM, SIM_OPS },
    { "exponential, mean 10 s", sim_exponential, SIM_WARM, SIM_OPS },
    { "exponential, mean 5 min", sim_exponential_minutes, SIM_WARM, SIM_OPS },
    { "log-normal, median 10 s, sigma 0.5", sim_normal_half, SIM_WARM,
      SIM_OPS },
    { "the same, cold start", sim_normal_half, 0, SIM_WARM },
    { "log-normal, median 10 s, sigma 1.0", sim_normal_one, SIM_WARM,
      SIM_OPS },
    { "the same, cold start", sim_normal_one, 0, SIM_WARM },
    { "log-normal, median 1 h, sigma 0.5", sim_normal_hour, SIM_WARM,
      SIM_OPS },
    { "70 % 2 s, 30 % 5 min, each +- 5 %", sim_bimodal, SIM_WARM, SIM_OPS },
    { "the same, cold start", sim_bimodal, 0, SIM_WARM },
    { "50 % 1 min, 50 % 1 h, each +- 5 %", sim_bimodal_hour, SIM_WARM,
      SIM_OPS },
    { "Pareto 1, median 5 s, to 6 h", sim_tail, SIM_WARM, SIM_OPS },
    { "the same, cold start", sim_tail, 0, SIM_WARM },
    { "Pareto 0.6, median 5 s, to 6 h", sim_long_tail, SIM_WARM, SIM_OPS },
    { "2 s become 20 s: the next 50", sim_slower, SIM_CHANGE,
      SIM_CHANGE + 50 },
    { "2 s become 20 s: those after", sim_slower, SIM_CHANGE + 50, SIM_OPS },
    { "20 s become 2 s: the next 50", sim_faster, SIM_CHANGE,
      SIM_CHANGE + 50 },
    { "20 s become 2 s: those after", sim_faster, SIM_CHANGE + 50, SIM_OPS }
};


static const char  *sim_names[] = {
    "learning", "learning, waited", "quantile, age / 8",
    "quantile, age / 16", "age / 5", "age / 10, waited",
    "fixed 1 s", "1 s doubling to 30 s"
};


static uint64_t                   sim_seed;
static sim_rule_t                 sim_rule;
static sim_op_t                   sim_ops[SIM_OPS];
static ngx_uint_t                 sim_heap[SIM_OPS];
static ngx_uint_t                 sim_pending;
static ngx_completion_paces_sh_t  sim_estimates;


static double
sim_uniform(void)
{
    sim_seed ^= sim_seed << 13;
    sim_seed ^= sim_seed >> 7;
    sim_seed ^= sim_seed << 17;

    return ((double) (sim_seed >> 11) + 0.5) / 9007199254740992.0;
}


static double
sim_gauss(void)
{
    double  r;

    r = sqrt(-2 * log(sim_uniform()));

    return r * cos(6.283185307179586 * sim_uniform());
}


static double
sim_constant(ngx_uint_t i)
{
    return 2000;
}


static double
sim_jitter(ngx_uint_t i)
{
    return 2000 + 5 * sim_gauss();
}


static double
sim_minutes(ngx_uint_t i)
{
    return 1200000 * (1 + 0.01 * sim_gauss());
}


static double
sim_exponential(ngx_uint_t i)
{
    return -10000 * log(sim_uniform());
}


static double
sim_exponential_minutes(ngx_uint_t i)
{
    return -300000 * log(sim_uniform());
}


static double
sim_normal_half(ngx_uint_t i)
{
    return 10000 * exp(0.5 * sim_gauss());
}


static double
sim_normal_one(ngx_uint_t i)
{
    return 10000 * exp(sim_gauss());
}


static double
sim_normal_hour(ngx_uint_t i)
{
    return 3600000 * exp(0.5 * sim_gauss());
}


static double
sim_bimodal(ngx_uint_t i)
{
    return (sim_uniform() < 0.7 ? 2000 : 300000) * (1 + 0.05 * sim_gauss());
}


static double
sim_bimodal_hour(ngx_uint_t i)
{
    return (sim_uniform() < 0.5 ? 60000 : 3600000) * (1 + 0.05 * sim_gauss());
}


static double
sim_pareto(double exponent)
{
    double  duration;

    duration = 5000 * pow(2 * sim_uniform(), -1 / exponent);

    return ngx_min(duration, SIM_CAP);
}


static double
sim_tail(ngx_uint_t i)
{
    return sim_pareto(1);
}


static double
sim_long_tail(ngx_uint_t i)
{
    return sim_pareto(0.6);
}


static double
sim_slower(ngx_uint_t i)
{
    return (i < SIM_CHANGE ? 2000 : 20000) * (1 + 0.01 * sim_gauss());
}


static double
sim_faster(ngx_uint_t i)
{
    return (i < SIM_CHANGE ? 20000 : 2000) * (1 + 0.01 * sim_gauss());
}


/*
 * A quantile goes up by a step when an operation outlives it and down when one
 * does not, so that the shares balance; an end between two polls is both, as
 * the interval has it.  The first operations move it faster.
 */

static void
sim_rule_learn(double from, double to)
{
    double  q, step, below;

    if (sim_rule.count++ == 0) {
        sim_rule.quantile = to;
        return;
    }

    q = sim_rule.quantile;
    step = ngx_max(1.0 / sim_rule.count, SIM_RULE_STEP);

    if (to <= q) {
        below = 1;

    } else if (from >= q) {
        below = 0;

    } else {
        below = (q - from) / (to - from);
    }

    sim_rule.quantile = q * exp(2 * step * (SIM_RULE_SHARE - below));
}


static double
sim_rule_gap(double age, ngx_uint_t waited)
{
    double  gap;

    gap = age / (waited ? 16 : 8);

    if (sim_rule.count && age < sim_rule.quantile) {
        gap = sim_rule.quantile - age;
    }

    gap = ngx_max(gap, SIM_MIN);

    return ngx_min(gap, SIM_MAX);
}


static double
sim_gap(sim_pace_e pace, sim_op_t *op, double age)
{
    ngx_uint_t                 n, waited;
    ngx_completion_paces_sh_t  *estimates;

    switch (pace) {

    case SIM_RULE:
    case SIM_RULE_WAITED:
        return sim_rule_gap(age, pace == SIM_RULE_WAITED);

    case SIM_FIXED:
        return 1000;

    case SIM_DOUBLING:
        n = ngx_min(op->polls, 5);
        return ngx_min(1000 << n, 30000);

    default:
        estimates = pace <= SIM_LEARN_WAITED ? &sim_estimates : NULL;
        waited = (pace == SIM_LEARN_WAITED || pace == SIM_AGE_WAITED);

        return ngx_completion_pace_gap(estimates, 0, (ngx_msec_t) age, SIM_MIN,
                                       SIM_MAX, waited);
    }
}


static void
sim_sift(ngx_uint_t i)
{
    ngx_uint_t  child, swap;

    for ( ;; ) {
        child = 2 * i + 1;

        if (child >= sim_pending) {
            return;
        }

        if (child + 1 < sim_pending
            && sim_ops[sim_heap[child + 1]].due < sim_ops[sim_heap[child]].due)
        {
            child++;
        }

        if (sim_ops[sim_heap[i]].due <= sim_ops[sim_heap[child]].due) {
            return;
        }

        swap = sim_heap[i];
        sim_heap[i] = sim_heap[child];
        sim_heap[child] = swap;
        i = child;
    }
}


/*
 * The state is taken upstream half a round trip after the poll was sent.  An
 * operation that has not been submitted yet stands in the heap as well, so
 * that every gap is asked of the estimate as it was at that moment.
 */

static void
sim_event(sim_pace_e pace, sim_op_t *op)
{
    double  age, trip;

    if (op->due == op->submit) {
        op->due += sim_gap(pace, op, 0);
        sim_sift(0);
        return;
    }

    age = op->due - op->submit;
    trip = 45 + 10 * sim_uniform();
    op->polls++;

    if (age + trip / 2 >= op->duration) {
        op->lag = age + trip - op->duration;
        ngx_completion_pace_learn(&sim_estimates, 0, (ngx_msec_t) op->pending,
                                  (ngx_msec_t) age);
        sim_rule_learn(op->pending, age);
        sim_heap[0] = sim_heap[--sim_pending];
        sim_sift(0);
        return;
    }

    op->pending = age;
    op->due += trip + sim_gap(pace, op, age + trip);
    sim_sift(0);
}


static void
sim_run(sim_case_t *sc, sim_pace_e pace)
{
    double      now;
    ngx_uint_t  i;

    sim_seed = 0x9e3779b97f4a7c15;
    ngx_memzero(&sim_estimates, sizeof(ngx_completion_paces_sh_t));
    ngx_memzero(&sim_rule, sizeof(sim_rule_t));
    now = 0;

    for (i = 0; i < SIM_OPS; i++) {
        now -= SIM_ARRIVAL * log(sim_uniform());
        sim_ops[i].submit = now;
        sim_ops[i].due = now;
        sim_ops[i].duration = sc->duration(i);
        sim_ops[i].pending = 0;
        sim_ops[i].polls = 0;
        sim_heap[i] = i;
    }

    sim_pending = SIM_OPS;

    while (sim_pending) {
        sim_event(pace, &sim_ops[sim_heap[0]]);
    }
}


static int
sim_compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}


static double
sim_summary(double *values, ngx_uint_t n, const char *format)
{
    double      sum;
    ngx_uint_t  i;

    sum = 0;
    for (i = 0; i < n; i++) {
        sum += values[i];
    }

    qsort(values, n, sizeof(double), sim_compare);
    printf(format, values[n / 2], sum / n, values[n * 95 / 100]);

    return sum / n;
}


static void
sim_print(sim_case_t *sc, sim_pace_e pace)
{
    double         polls, lag, middle;
    sim_op_t      *op;
    ngx_uint_t     i, n;
    static double  values[3][SIM_OPS];

    n = 0;
    for (i = sc->from; i < sc->to; i++, n++) {
        op = &sim_ops[i];
        values[0][n] = op->polls;
        values[1][n] = op->lag / op->duration * 100;
        values[2][n] = op->lag / 1000;
    }

    printf("  %-20s", sim_names[pace]);

    polls = sim_summary(values[0], n, " %5.0f %7.2f %5.0f |");
    lag = sim_summary(values[1], n, " %6.1f %6.1f %6.1f |");
    (void) sim_summary(values[2], n, " %6.2f %6.2f %6.2f |");
    middle = values[0][n / 2] * values[1][n / 2];

    printf(" %6.2f %6.2f\n", polls * lag / 100, middle / 100);
}


int
main(void)
{
    ngx_uint_t  i, pace;

    printf("%-22s  polls                | lag, %% of duration    "
           "| lag, s               | polls x lag\n", "");
    printf("%-22s median    mean   p95 | median   mean    p95 "
           "| median   mean    p95 |  means medians\n", "");

    for (i = 0; i < sizeof(sim_cases) / sizeof(sim_cases[0]); i++) {
        printf("\n%s\n", sim_cases[i].name);

        for (pace = 0; pace < SIM_PACES; pace++) {
            sim_run(&sim_cases[i], pace);
            sim_print(&sim_cases[i], pace);
        }
    }

    return 0;
}
