
/*
 * The model.  A histogram over ages, sixteen buckets to an octave, forgets by
 * letting each operation weigh 1/128 more than the one before.  A bucket's
 * weight over the weight still pending there, mixed with half an imagined
 * operation of a heavy tail, is its hazard, and the hazards give the chance
 * to be alive at every age ahead.  A poll costs COST; an end at the age d that
 * a poll at t notices costs the relative lag (t - d) / d; the plan is the
 * sequence of polls with the least expected sum, found backwards from the last
 * age, and so for every age at once: it stands until a sixteenth of what was
 * known is new, later an eighth of what is remembered.  What an operation
 * teaches is an interval: its weight goes to the buckets in between as the
 * model would have it, a step of EM, so that the estimate does not follow the
 * times of our own polls.
 */


#include "ngx_completion_pace.h"


#define NGX_COMPLETION_PACE_SHIFT   8                 /* bucket 1 at 272 ms */
#define NGX_COMPLETION_PACE_END     (1 << 23)         /* 2 h 20 min */

#define NGX_COMPLETION_PACE_FEW     8                 /* operations */
#define NGX_COMPLETION_PACE_UNIT    512
#define NGX_COMPLETION_PACE_MEMORY  7                 /* 2 ^ 7 operations */

#define NGX_COMPLETION_PACE_PRIOR   0.5               /* operations */
#define NGX_COMPLETION_PACE_SCALE   5000.0            /* its median, ms */
#define NGX_COMPLETION_PACE_TILT    0.125
#define NGX_COMPLETION_PACE_COST    0.012             /* of a duration */
#define NGX_COMPLETION_PACE_STALE   16                /* a part of them, */
#define NGX_COMPLETION_PACE_FRESH   256               /* of so many at most */


typedef struct {
    ngx_uint_t  n;
    double      age[NGX_COMPLETION_PACE_BUCKETS + 1];
    double      alive[NGX_COMPLETION_PACE_BUCKETS + 1];
} ngx_completion_pace_curve_t;


typedef struct {
    ngx_uint_t  point;
    double      age;
    double      cost;
} ngx_completion_pace_line_t;


static ngx_uint_t ngx_completion_pace_bucket(ngx_msec_t age);
static ngx_msec_t ngx_completion_pace_edge(ngx_uint_t n);
static void ngx_completion_pace_curve(ngx_completion_pace_sh_t *pace,
    ngx_msec_t from, ngx_msec_t to, ngx_completion_pace_curve_t *curve);
static ngx_completion_pace_plan_sh_t *ngx_completion_pace_plan_get(
    ngx_completion_paces_sh_t *paces, ngx_uint_t model, ngx_msec_t min,
    ngx_uint_t waited);
static void ngx_completion_pace_plan(ngx_completion_pace_curve_t *curve,
    double min, double cost, u_char *plan);


void
ngx_completion_pace_learn(ngx_completion_paces_sh_t *paces, ngx_uint_t model,
    ngx_msec_t from, ngx_msec_t to)
{
    double                          part;
    uint32_t                        given, sum;
    ngx_uint_t                      i, n;
    ngx_completion_pace_sh_t       *pace;
    ngx_completion_pace_curve_t     curve;
    ngx_completion_pace_plan_sh_t  *plan;

    pace = &paces->models[model];

    if (pace->unit == 0) {
        pace->unit = NGX_COMPLETION_PACE_UNIT;
    }

    from = ngx_min(from, NGX_COMPLETION_PACE_END - 1);
    to = ngx_min(to, NGX_COMPLETION_PACE_END);
    to = ngx_max(to, from + 1);

    ngx_completion_pace_curve(pace, from, to, &curve);

    n = ngx_completion_pace_bucket(from);
    given = 0;

    for (i = 1; i <= curve.n; i++, n++) {
        part = (1 - curve.alive[i]) / (1 - curve.alive[curve.n]);

        /*
         * A bit earlier than the model says: too late a belief would never
         * be contradicted, too early a one is, by a poll that finds pending.
         */
        part += NGX_COMPLETION_PACE_TILT * part * (1 - part);

        sum = (uint32_t) (part * pace->unit + 0.5);
        pace->weights[n] = ngx_min(pace->weights[n] + sum - given, 65535);
        given = sum;
    }

    if (pace->count < NGX_MAX_UINT32_VALUE) {
        pace->count++;
    }

    for (i = 0; i < NGX_COMPLETION_PACE_PLANS; i++) {
        plan = &paces->plans[i];

        if (plan->left && plan->model == model) {
            plan->left--;
        }
    }

    pace->unit += pace->unit >> NGX_COMPLETION_PACE_MEMORY;

    if (pace->unit >= 2 * NGX_COMPLETION_PACE_UNIT) {
        pace->unit /= 2;

        for (n = 0; n < NGX_COMPLETION_PACE_BUCKETS; n++) {
            pace->weights[n] /= 2;
        }
    }
}


ngx_msec_t
ngx_completion_pace_gap(ngx_completion_paces_sh_t *paces, ngx_uint_t model,
    ngx_msec_t age, ngx_msec_t min, ngx_msec_t max, ngx_uint_t waited)
{
    uint32_t                        count;
    ngx_uint_t                      n;
    ngx_msec_t                      gap;
    ngx_completion_pace_plan_sh_t  *plan;

    count = paces ? paces->models[model].count : 0;

    if (paces == NULL || age >= NGX_COMPLETION_PACE_END) {
        gap = age / (waited ? 10 : 5);

    } else if (count < NGX_COMPLETION_PACE_FEW) {

        /* gaps that differ from one operation to the next teach the most */

        gap = age / (waited ? 12 : 6);
        gap = ngx_max(gap, min);
        gap += gap * (count * 5 % 8) / 16;

    } else {

        plan = ngx_completion_pace_plan_get(paces, model, min, waited);

        /* the nearer one of the bucket's ends */

        n = ngx_completion_pace_bucket(age);

        if (2 * age > ngx_completion_pace_edge(n)
                      + ngx_completion_pace_edge(n + 1))
        {
            n++;
        }

        gap = ngx_completion_pace_edge(plan->next[n]) - age;
    }

    gap = ngx_max(gap, min);

    return ngx_min(gap, max);
}


static ngx_completion_pace_plan_sh_t *
ngx_completion_pace_plan_get(ngx_completion_paces_sh_t *paces,
    ngx_uint_t model, ngx_msec_t min, ngx_uint_t waited)
{
    double                          cost;
    ngx_uint_t                      i;
    ngx_completion_pace_sh_t       *pace;
    ngx_completion_pace_curve_t     curve;
    ngx_completion_pace_plan_sh_t  *plan, *old;

    old = NULL;

    for (i = 0; i < NGX_COMPLETION_PACE_PLANS; i++) {
        plan = &paces->plans[i];

        if (plan->model == model && plan->waited == waited
            && plan->min == min)
        {
            if (plan->left) {
                return plan;
            }

            old = plan;
        }
    }

    plan = old ? old
               : &paces->plans[paces->turn++ % NGX_COMPLETION_PACE_PLANS];

    pace = &paces->models[model];

    plan->min = min;
    plan->left = ngx_min(pace->count, NGX_COMPLETION_PACE_FRESH)
                 / NGX_COMPLETION_PACE_STALE + 1;
    plan->model = model;
    plan->waited = waited;

    /* the lag goes with the root of the cost: a quarter halves it */

    cost = NGX_COMPLETION_PACE_COST / (waited ? 4 : 1);

    ngx_completion_pace_curve(pace, 0, NGX_COMPLETION_PACE_END, &curve);
    ngx_completion_pace_plan(&curve, min, cost, plan->next);

    return plan;
}


static ngx_uint_t
ngx_completion_pace_bucket(ngx_msec_t age)
{
    ngx_uint_t  octave;

    octave = 0;
    age >>= NGX_COMPLETION_PACE_SHIFT - 4;

    if (age < 16) {
        return 0;
    }

    while (age >= 32) {
        age >>= 1;
        octave++;
    }

    return octave * 16 + age - 16;
}


static ngx_msec_t
ngx_completion_pace_edge(ngx_uint_t n)
{
    if (n == 0) {
        return 0;
    }

    return (ngx_msec_t) (16 + n % 16)
           << (NGX_COMPLETION_PACE_SHIFT - 4 + n / 16);
}


/*
 * The chance to be alive at the end of every bucket, given that it was so at
 * the age "from"; ends at the age "to".
 */

static void
ngx_completion_pace_curve(ngx_completion_pace_sh_t *pace, ngx_msec_t from,
    ngx_msec_t to, ngx_completion_pace_curve_t *curve)
{
    double      left, right, width, scale, weight, risk, prior, hazard, alive;
    uint32_t    sum;
    ngx_uint_t  i, n;

    n = ngx_completion_pace_bucket(from);

    sum = 0;
    for (i = n + 1; i < NGX_COMPLETION_PACE_BUCKETS; i++) {
        sum += pace->weights[i];
    }

    left = from;
    right = ngx_completion_pace_edge(n + 1);
    width = right - ngx_completion_pace_edge(n);

    weight = pace->weights[n] * (right - left) / width;
    risk = sum + weight;
    prior = pace->unit * NGX_COMPLETION_PACE_PRIOR;

    alive = 1;
    curve->age[0] = left;
    curve->alive[0] = alive;

    for (i = 1; left < to; i++) {
        width = right - left;
        scale = right + NGX_COMPLETION_PACE_SCALE;
        hazard = (weight * scale + prior * width) / ((risk + prior) * scale);

        if (right > to) {
            hazard *= (to - left) / width;
            right = to;
        }

        alive *= 1 - hazard;
        curve->age[i] = right;
        curve->alive[i] = alive;

        risk -= weight;
        left = right;

        if (++n < NGX_COMPLETION_PACE_BUCKETS) {
            weight = pace->weights[n];
            right = ngx_completion_pace_edge(n + 1);
        }
    }

    curve->n = i - 1;
}


/*
 * With A(i) the sum of chance / age up to the point i, the expected lag of
 * the next poll at j is age(j) * (A(j) - A(i)) less the chance to end between:
 * for every j a line over A(i).  Both go one way as i goes down, so that the
 * lowest line is found by a window over their envelope, in linear time.
 */

static void
ngx_completion_pace_plan(ngx_completion_pace_curve_t *curve, double min,
    double cost, u_char *plan)
{
    double                       x, ended;
    double                       sum[NGX_COMPLETION_PACE_BUCKETS + 1];
    double                       rest[NGX_COMPLETION_PACE_BUCKETS + 1];
    ngx_uint_t                   i, next;
    ngx_completion_pace_line_t   line, *first, *last;
    ngx_completion_pace_line_t   lines[NGX_COMPLETION_PACE_BUCKETS + 1];

    sum[0] = 0;
    for (i = 0; i < curve->n; i++) {
        ended = curve->alive[i] - curve->alive[i + 1];
        sum[i + 1] = sum[i] + ended * 2 / (curve->age[i] + curve->age[i + 1]);
    }

    next = curve->n;
    rest[next] = 0;
    plan[next] = next;

    first = lines;
    last = lines;
    last->point = next;
    last->age = curve->age[next];
    last->cost = last->age * sum[next] + curve->alive[next];

    next--;

    for (i = curve->n; i-- > 0; /* void */ ) {

        while (next > i && curve->age[next] >= curve->age[i] + min) {
            line.point = next;
            line.age = curve->age[next];
            line.cost = line.age * sum[next] + curve->alive[next] + rest[next];

            /* lines that are nowhere the lowest any more go */

            while (first < last
                   && (line.cost - last[-1].cost) * (last[-1].age - last->age)
                      <= (last->cost - last[-1].cost)
                         * (last[-1].age - line.age))
            {
                last--;
            }

            *++last = line;
            next--;
        }

        x = sum[i];

        while (first < last
               && first[1].cost - first[1].age * x
                  <= first->cost - first->age * x)
        {
            first++;
        }

        plan[i] = first->point;
        rest[i] = first->cost - first->age * x - curve->alive[i] * (1 - cost);
    }
}
