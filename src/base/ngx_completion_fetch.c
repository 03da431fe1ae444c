
/*
 * A transfer's life: the lines before the connection cap, one an origin, the
 * name, the connection's address, and the report.
 */


#include "ngx_completion_fetch_job.h"
#include "ngx_completion_timer.h"


#define NGX_COMPLETION_FETCH_POOL   2048
#define NGX_COMPLETION_FETCH_LINES  64


/* of an origin */

typedef struct {
    ngx_queue_t                  queue;      /* while a transfer waits */
    ngx_queue_t                  jobs;
    ngx_uint_t                   nadmitted;
    ngx_uint_t                   turn;       /* which of its addresses */
} ngx_completion_fetch_line_t;


typedef struct {
    ngx_queue_t                  waiting;    /* lines, round robin */
    ngx_queue_t                  admitted;
    ngx_queue_t                  done;
    ngx_uint_t                   nadmitted;
    ngx_event_t                  report;

    /* by the origin's id; more of them than lines share one */
    ngx_completion_fetch_line_t  lines[NGX_COMPLETION_FETCH_LINES];

    unsigned                     ready:1;
    unsigned                     closed:1;
} ngx_completion_fetch_transfers_t;


static void ngx_completion_fetch_settle(ngx_completion_fetch_job_t *job,
    CURLcode code);
static void ngx_completion_fetch_turn(void);
static void ngx_completion_fetch_abort(const char *fault);
static void ngx_completion_fetch_cut(ngx_completion_fetch_job_t *job);
static void ngx_completion_fetch_unwatched(CURL *easy);
static void ngx_completion_fetch_free_buffer(void *data);
static ngx_uint_t ngx_completion_fetch_cap(void);
static void ngx_completion_fetch_admit(void);
static ngx_completion_fetch_job_t *ngx_completion_fetch_next(void);
static ngx_uint_t ngx_completion_fetch_room(void);
static void ngx_completion_fetch_begin(ngx_completion_fetch_job_t *job);
static void ngx_completion_fetch_resolved(ngx_resolver_ctx_t *ctx);
static void ngx_completion_fetch_unresolved(ngx_completion_fetch_job_t *job,
    ngx_int_t state);
static const char *ngx_completion_fetch_pick(ngx_completion_fetch_job_t *job,
    ngx_str_t *address);
static ngx_uint_t ngx_completion_fetch_rank(ngx_resolver_ctx_t *ctx,
    ngx_uint_t n);
static void ngx_completion_fetch_connect(ngx_completion_fetch_job_t *job);
static ngx_completion_fetch_line_t *ngx_completion_fetch_line(
    ngx_completion_fetch_job_t *job);
static void ngx_completion_fetch_timeout_handler(ngx_event_t *ev);
static void ngx_completion_fetch_unreached(ngx_completion_fetch_job_t *job,
    const char *fault);
static void ngx_completion_fetch_finish(ngx_completion_fetch_job_t *job,
    ngx_completion_outcome_e outcome, const char *fault);
static void ngx_completion_fetch_release(ngx_completion_fetch_job_t *job);
static void ngx_completion_fetch_dequeue(ngx_completion_fetch_job_t *job);
static void ngx_completion_fetch_post(void);
static void ngx_completion_fetch_report_handler(ngx_event_t *ev);
static void ngx_completion_fetch_report(void);
static void ngx_completion_fetch_clear(ngx_queue_t *queue);


static ngx_completion_fetch_transfers_t  ngx_completion_fetch_transfers;

static const ngx_completion_fetch_owner_t  ngx_completion_fetch_owner = {
    ngx_completion_fetch_settle,
    ngx_completion_fetch_turn,
    ngx_completion_fetch_abort,
    ngx_completion_fetch_close,
    ngx_completion_fetch_unwatched
};


ngx_completion_fetch_t *
ngx_completion_fetch_create(ngx_completion_origin_t *o, ngx_log_t *log)
{
    ngx_log_t                   *copy;
    ngx_pool_t                  *pool;
    ngx_pool_cleanup_t          *cln;
    ngx_completion_fetch_job_t  *job;

    pool = ngx_create_pool(NGX_COMPLETION_FETCH_POOL, log);
    if (pool == NULL) {
        return NULL;
    }

    copy = ngx_palloc(pool, sizeof(ngx_log_t));
    job = ngx_pcalloc(pool, sizeof(ngx_completion_fetch_job_t));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (copy == NULL || job == NULL || cln == NULL
        || ngx_array_init(&job->answer, pool, 8, sizeof(ngx_keyval_t))
           != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    *copy = *log;
    pool->log = copy;

    cln->handler = ngx_completion_fetch_free_buffer;
    cln->data = job;

    job->fd = (ngx_socket_t) -1;

    job->fetch.pool = pool;
    job->fetch.log = copy;
    job->fetch.origin = o;
    ngx_str_set(&job->fetch.suffix, "");
    ngx_str_set(&job->fetch.response, "");
    ngx_str_set(&job->lines, "");

    ngx_completion_timer_init(&job->timer,
                              ngx_completion_fetch_timeout_handler, copy);

    return &job->fetch;
}


void
ngx_completion_fetch_start(ngx_completion_fetch_t *f)
{
    ngx_uint_t                         i;
    ngx_completion_fetch_job_t        *job;
    ngx_completion_fetch_line_t       *line;
    ngx_completion_fetch_transfers_t  *transfers;

    job = (ngx_completion_fetch_job_t *) f;
    transfers = &ngx_completion_fetch_transfers;

    if (job->state != NGX_COMPLETION_FETCH_NEW) {
        ngx_log_error(NGX_LOG_ALERT, f->log, 0, "transfer started twice");
        return;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, f->log, 0,
                   "completion fetch: %s \"%V\", %uz bytes",
                   f->post ? "POST" : "GET", &f->origin->url, f->body.len);

    job->started = ngx_current_msec;
    job->timer.cancelable = !f->hold;
    ngx_add_timer(&job->timer, f->timeout);

    if (!transfers->ready) {
        ngx_queue_init(&transfers->waiting);
        ngx_queue_init(&transfers->admitted);
        ngx_queue_init(&transfers->done);

        for (i = 0; i < NGX_COMPLETION_FETCH_LINES; i++) {
            ngx_queue_init(&transfers->lines[i].jobs);
        }

        ngx_completion_timer_init(&transfers->report,
                                  ngx_completion_fetch_report_handler,
                                  ngx_cycle->log);
        transfers->ready = 1;
    }

    if (transfers->closed) {
        ngx_completion_fetch_unreached(job, "the worker is shutting down");
        return;
    }

    if ((ngx_process != NGX_PROCESS_WORKER
         && ngx_process != NGX_PROCESS_SINGLE)
        || ngx_completion_fetch_event_init(&ngx_completion_fetch_owner,
                                           ngx_completion_fetch_cap(), f->log)
           != NGX_OK)
    {
        ngx_completion_fetch_unreached(job, "libcurl cannot be used");
        return;
    }

    job->state = NGX_COMPLETION_FETCH_IN_LINE;

    line = ngx_completion_fetch_line(job);

    if (ngx_queue_empty(&line->jobs)) {
        ngx_queue_insert_tail(&transfers->waiting, &line->queue);
    }

    ngx_queue_insert_tail(&line->jobs, &job->queue);

    ngx_completion_fetch_admit();
}


/* May come from a foreign callback, so that the lines go on by an event. */

void
ngx_completion_fetch_destroy(ngx_completion_fetch_t *f)
{
    ngx_completion_fetch_job_t  *job;

    job = (ngx_completion_fetch_job_t *) f;

    if (job->state != NGX_COMPLETION_FETCH_NEW
        && job->state != NGX_COMPLETION_FETCH_ENDED)
    {
        ngx_log_debug0(NGX_LOG_DEBUG_EVENT, f->log, 0,
                       "completion fetch: destroyed while running");

        ngx_completion_fetch_release(job);
        ngx_completion_fetch_post();
    }

    ngx_completion_timer_stop(&job->timer);

    ngx_destroy_pool(f->pool);
}


void
ngx_completion_fetch_close(void)
{
    ngx_completion_fetch_transfers.closed = 1;

    if (ngx_completion_fetch_transfers.ready) {
        ngx_completion_fetch_abort("worker_shutdown_timeout");
        ngx_completion_fetch_turn();
    }
}


ngx_uint_t
ngx_completion_fetch_closed(void)
{
    return ngx_completion_fetch_transfers.closed;
}


void
ngx_completion_fetch_exit(void)
{
    ngx_uint_t                    i;
    ngx_completion_fetch_line_t  *lines;

    if (!ngx_completion_fetch_transfers.ready) {
        return;
    }

    ngx_completion_fetch_transfers.closed = 1;

    lines = ngx_completion_fetch_transfers.lines;

    for (i = 0; i < NGX_COMPLETION_FETCH_LINES; i++) {
        ngx_completion_fetch_clear(&lines[i].jobs);
    }

    ngx_completion_fetch_clear(&ngx_completion_fetch_transfers.admitted);
    ngx_completion_fetch_clear(&ngx_completion_fetch_transfers.done);

    ngx_completion_timer_stop(&ngx_completion_fetch_transfers.report);

    ngx_completion_fetch_easy_exit();
    ngx_completion_fetch_event_exit();
}


/* The transfers stay their owners', who may still destroy them. */

static void
ngx_completion_fetch_clear(ngx_queue_t *queue)
{
    ngx_queue_t                 *q;
    ngx_completion_fetch_job_t  *job;

    while (!ngx_queue_empty(queue)) {
        q = ngx_queue_head(queue);
        job = ngx_queue_data(q, ngx_completion_fetch_job_t, queue);

        ngx_completion_fetch_release(job);
        job->state = NGX_COMPLETION_FETCH_ENDED;

        ngx_completion_timer_stop(&job->timer);
    }
}


static void
ngx_completion_fetch_settle(ngx_completion_fetch_job_t *job, CURLcode code)
{
    ngx_completion_fetch_t       *f;
    ngx_completion_fetch_line_t  *line;

    f = &job->fetch;

    ngx_completion_fetch_easy_result(job, code);
    ngx_completion_fetch_easy_close(job, code == CURLE_OK);

    /* the next transfer, perhaps this one's repeat, tries another address */

    if (job->picked && !f->fenced
        && (f->outcome == NGX_COMPLETION_UPSTREAM_UNAVAILABLE
            || f->outcome == NGX_COMPLETION_UPSTREAM_TIMEOUT))
    {
        line = ngx_completion_fetch_line(job);

        if (line->turn == job->turn) {
            line->turn++;
        }
    }

    ngx_completion_fetch_finish(job, f->outcome, f->fault);
}


static void
ngx_completion_fetch_turn(void)
{
    ngx_completion_fetch_report();
    ngx_completion_fetch_admit();
}


static void
ngx_completion_fetch_abort(const char *fault)
{
    ngx_uint_t                   i;
    ngx_queue_t                 *q, *jobs;
    ngx_completion_fetch_job_t  *job;

    for (i = 0; i < NGX_COMPLETION_FETCH_LINES; i++) {
        jobs = &ngx_completion_fetch_transfers.lines[i].jobs;

        while (!ngx_queue_empty(jobs)) {
            q = ngx_queue_head(jobs);
            job = ngx_queue_data(q, ngx_completion_fetch_job_t, queue);

            ngx_completion_fetch_unreached(job, fault);
        }
    }

    jobs = &ngx_completion_fetch_transfers.admitted;

    while (!ngx_queue_empty(jobs)) {
        q = ngx_queue_head(jobs);
        job = ngx_queue_data(q, ngx_completion_fetch_job_t, queue);

        job->fault = fault;
        ngx_completion_fetch_cut(job);
    }
}


/* An admitted one ends: for its fault, or else for lack of time. */

static void
ngx_completion_fetch_cut(ngx_completion_fetch_job_t *job)
{
    if (job->easy) {
        ngx_completion_fetch_event_remove(job);
        ngx_completion_fetch_settle(job, job->fault
                                             ? CURLE_ABORTED_BY_CALLBACK
                                             : CURLE_OPERATION_TIMEDOUT);

    } else if (job->fault) {
        ngx_completion_fetch_unreached(job, job->fault);

    } else {
        ngx_completion_fetch_unresolved(job, NGX_RESOLVE_TIMEDOUT);
    }
}


/* It would wait for ever; it cannot be ended from inside of libcurl. */

static void
ngx_completion_fetch_unwatched(CURL *easy)
{
    ngx_queue_t                 *q, *admitted;
    ngx_completion_fetch_job_t  *job;

    admitted = &ngx_completion_fetch_transfers.admitted;

    for (q = ngx_queue_head(admitted);
         q != ngx_queue_sentinel(admitted);
         q = ngx_queue_next(q))
    {
        job = ngx_queue_data(q, ngx_completion_fetch_job_t, queue);

        if (job->easy == easy) {
            job->fault = "the socket cannot be watched";
            ngx_post_event(&job->timer, &ngx_posted_next_events);
            return;
        }
    }
}


static void
ngx_completion_fetch_free_buffer(void *data)
{
    ngx_completion_fetch_job_t  *job = data;

    if (job->buffer) {

        if (job->fetch.secret) {
            ngx_explicit_memzero(job->buffer, job->size);
        }

        ngx_free(job->buffer);
    }
}


static ngx_uint_t
ngx_completion_fetch_cap(void)
{
    return ngx_max(ngx_cycle->connection_n / 4, 1);
}


static void
ngx_completion_fetch_admit(void)
{
    ngx_completion_fetch_job_t        *job;
    ngx_completion_fetch_transfers_t  *transfers;

    transfers = &ngx_completion_fetch_transfers;

    for ( ;; ) {

        /* whoever stays in line is woken by the end of an admitted one */

        if (transfers->nadmitted && !ngx_completion_fetch_room()) {
            return;
        }

        job = ngx_completion_fetch_next();

        if (job == NULL) {
            return;
        }

        if (!ngx_completion_fetch_room()) {
            ngx_completion_fetch_unreached(job, "worker_connections are not "
                                           "enough");
            continue;
        }

        if ((ngx_msec_int_t) (job->timer.timer.key - ngx_current_msec) <= 0) {
            ngx_completion_fetch_unreached(job, "timed out in line");
            continue;
        }

        ngx_completion_fetch_dequeue(job);

        ngx_queue_insert_tail(&transfers->admitted, &job->queue);
        transfers->nadmitted++;
        ngx_completion_fetch_line(job)->nadmitted++;
        job->state = NGX_COMPLETION_FETCH_ADMITTED;

        ngx_completion_fetch_begin(job);
    }
}


/*
 * A line may have three times as many as are free: an origin gets three
 * quarters of the cap, and one that comes later three quarters of the rest,
 * until they are even.
 */

static ngx_completion_fetch_job_t *
ngx_completion_fetch_next(void)
{
    ngx_uint_t                    cap, share;
    ngx_queue_t                  *q, *waiting;
    ngx_completion_fetch_line_t  *line;

    cap = ngx_completion_fetch_cap();
    share = 3 * (cap - ngx_min(cap, ngx_completion_fetch_transfers.nadmitted));

    waiting = &ngx_completion_fetch_transfers.waiting;

    for (q = ngx_queue_head(waiting);
         q != ngx_queue_sentinel(waiting);
         q = ngx_queue_next(q))
    {
        line = ngx_queue_data(q, ngx_completion_fetch_line_t, queue);

        if (line->nadmitted < share) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(waiting, q);

            return ngx_queue_data(ngx_queue_head(&line->jobs),
                                  ngx_completion_fetch_job_t, queue);
        }
    }

    return NULL;
}


/* The admitted ones that have no socket yet will want one. */

static ngx_uint_t
ngx_completion_fetch_room(void)
{
    ngx_uint_t  available, sockets, wanted;

    available = ngx_cycle->free_connection_n
                + ngx_cycle->reusable_connections_n
                + ngx_completion_fetch_socket_nidle();

    sockets = ngx_completion_fetch_event_sockets();

    wanted = ngx_completion_fetch_transfers.nadmitted;
    wanted -= ngx_min(wanted, sockets);

    return available > wanted;
}


static void
ngx_completion_fetch_begin(ngx_completion_fetch_job_t *job)
{
    ngx_resolver_ctx_t       *ctx;
    ngx_completion_origin_t  *o;

    o = job->fetch.origin;
    job->begun = ngx_current_msec;

    if (o->resolver == NULL) {
        ngx_completion_fetch_connect(job);
        return;
    }

    ctx = ngx_resolve_start(o->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_completion_fetch_unreached(job, ctx ? "no resolver" : "no memory");
        return;
    }

    ctx->name = o->peer;
    ctx->handler = ngx_completion_fetch_resolved;
    ctx->data = job;
    ctx->timeout = ngx_min(o->resolver_timeout, o->connect_timeout);
    ctx->cancelable = 1;

    job->ctx = ctx;

    /* a cached name calls the handler from here */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        job->ctx = NULL;
        ngx_completion_fetch_unreached(job, "no memory");
    }
}


static void
ngx_completion_fetch_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_completion_fetch_job_t  *job;

    job = ctx->data;

    if (ctx->state == NGX_OK) {
        ngx_completion_fetch_connect(job);

    } else {
        ngx_completion_fetch_unresolved(job, ctx->state);
    }

    if (job->ctx) {
        ngx_resolve_name_done(ctx);
        job->ctx = NULL;
    }
}


static void
ngx_completion_fetch_unresolved(ngx_completion_fetch_job_t *job,
    ngx_int_t state)
{
    u_char  *p;

    p = ngx_snprintf((u_char *) job->error, sizeof(job->error) - 1,
                     "\"%V\" could not be resolved (%i: %s)",
                     &job->fetch.origin->peer, state,
                     ngx_resolver_strerror(state));
    *p = '\0';

    ngx_completion_fetch_finish(job, state == NGX_RESOLVE_TIMEDOUT
                                         ? NGX_COMPLETION_UPSTREAM_TIMEOUT
                                         : NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                                job->error);
}


/*
 * One address of many, the same as the last time unless that one failed.  The
 * resolver shuffles its answers: there the turn counts in sorted order.
 */

static const char *
ngx_completion_fetch_pick(ngx_completion_fetch_job_t *job, ngx_str_t *address)
{
    u_char                   *p;
    ngx_uint_t                i, j, n;
    ngx_resolver_ctx_t       *ctx;
    ngx_completion_origin_t  *o;

    o = job->fetch.origin;
    ctx = job->ctx;
    n = ctx ? ctx->naddrs : o->naddresses;

    if (n == 0) {
        return "no address";
    }

    job->picked = 1;
    job->turn = ngx_completion_fetch_line(job)->turn;

    i = (job->turn + ngx_worker) % n;

    if (ctx == NULL) {
        *address = o->addresses[i];
        return NULL;
    }

    for (j = 0; j < n - 1; j++) {
        if (ngx_completion_fetch_rank(ctx, j) == i) {
            break;
        }
    }

    p = ngx_pnalloc(job->fetch.pool, NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return "no memory";
    }

    address->data = p;
    address->len = ngx_sock_ntop(ctx->addrs[j].sockaddr,
                                 ctx->addrs[j].socklen, p,
                                 NGX_SOCKADDR_STRLEN, 0);

    return NULL;
}


static ngx_uint_t
ngx_completion_fetch_rank(ngx_resolver_ctx_t *ctx, ngx_uint_t n)
{
    ngx_int_t             rc;
    ngx_uint_t            i, rank;
    ngx_resolver_addr_t  *a, *b;

    b = &ctx->addrs[n];

    for (i = 0, rank = 0; i < ctx->naddrs; i++) {
        a = &ctx->addrs[i];

        rc = ngx_memn2cmp((u_char *) a->sockaddr, (u_char *) b->sockaddr,
                          a->socklen, b->socklen);

        if (rc < 0 || (rc == 0 && i < n)) {
            rank++;
        }
    }

    return rank;
}


static void
ngx_completion_fetch_connect(ngx_completion_fetch_job_t *job)
{
    ngx_str_t    address;
    const char  *fault;

    ngx_str_null(&address);

    if (!job->fetch.origin->literal) {
        fault = ngx_completion_fetch_pick(job, &address);

        if (fault) {
            ngx_completion_fetch_unreached(job, fault);
            return;
        }
    }

    if (ngx_completion_fetch_easy_open(job, &address) != NGX_OK
        || ngx_completion_fetch_event_add(job) != NGX_OK)
    {
        ngx_completion_fetch_easy_close(job, 0);
        ngx_completion_fetch_unreached(job, "no memory");
    }
}


static ngx_completion_fetch_line_t *
ngx_completion_fetch_line(ngx_completion_fetch_job_t *job)
{
    ngx_uint_t  n;

    n = job->fetch.origin->id % NGX_COMPLETION_FETCH_LINES;

    return &ngx_completion_fetch_transfers.lines[n];
}


static void
ngx_completion_fetch_timeout_handler(ngx_event_t *ev)
{
    ngx_completion_fetch_job_t  *job;

    job = ngx_completion_timer_owner(ev, ngx_completion_fetch_job_t, timer);

    /*
     * A worker that stood still hears of its timers before it hears of its
     * sockets: what has come meanwhile is read first.  By a timer, as it holds
     * a quitting worker.  What was not sent is not sent in that time either.
     */

    if (job->fetch.sent && !job->late) {
        job->late = 1;
        ngx_add_timer(ev, 1);
        return;
    }

    if (job->state == NGX_COMPLETION_FETCH_IN_LINE) {
        ngx_completion_fetch_unreached(job, "timed out in line");

    } else if (job->state == NGX_COMPLETION_FETCH_ADMITTED) {
        ngx_completion_fetch_cut(job);
    }

    /* reported at once: nothing holds a quitting worker any more */

    ngx_completion_fetch_turn();
}


/* No connection, and nothing was sent. */

static void
ngx_completion_fetch_unreached(ngx_completion_fetch_job_t *job,
    const char *fault)
{
    ngx_completion_fetch_finish(job, NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
                                fault);
}


static void
ngx_completion_fetch_finish(ngx_completion_fetch_job_t *job,
    ngx_completion_outcome_e outcome, const char *fault)
{
    ngx_completion_fetch_t  *f;

    ngx_completion_fetch_release(job);

    f = &job->fetch;
    f->outcome = outcome;
    f->fault = fault;
    f->elapsed = ngx_current_msec - job->started;

    job->state = NGX_COMPLETION_FETCH_DONE;
    ngx_queue_insert_tail(&ngx_completion_fetch_transfers.done, &job->queue);

    ngx_completion_fetch_post();
}


static void
ngx_completion_fetch_release(ngx_completion_fetch_job_t *job)
{
    if (job->ctx) {
        ngx_resolve_name_done(job->ctx);
        job->ctx = NULL;
    }

    if (job->easy) {
        ngx_completion_fetch_event_remove(job);
        ngx_completion_fetch_easy_close(job, 0);
    }

    if (job->state != NGX_COMPLETION_FETCH_NEW) {
        ngx_completion_fetch_dequeue(job);
    }
}


static void
ngx_completion_fetch_dequeue(ngx_completion_fetch_job_t *job)
{
    ngx_completion_fetch_line_t  *line;

    ngx_queue_remove(&job->queue);

    line = ngx_completion_fetch_line(job);

    if (job->state == NGX_COMPLETION_FETCH_ADMITTED) {
        ngx_completion_fetch_transfers.nadmitted--;
        line->nadmitted--;

    } else if (job->state == NGX_COMPLETION_FETCH_IN_LINE
               && ngx_queue_empty(&line->jobs))
    {
        ngx_queue_remove(&line->queue);
    }
}


/* By the next turn of the loop: a start that fails again cannot starve it. */

static void
ngx_completion_fetch_post(void)
{
    ngx_post_event(&ngx_completion_fetch_transfers.report,
                   &ngx_posted_next_events);
}


static void
ngx_completion_fetch_report_handler(ngx_event_t *ev)
{
    ngx_completion_fetch_turn();
}


/*
 * A handler may destroy any transfer and start new ones: the batch is walked
 * by its head, and what fails meanwhile waits for the next turn.
 */

static void
ngx_completion_fetch_report(void)
{
    ngx_queue_t                        batch, *q;
    ngx_completion_fetch_t            *f;
    ngx_completion_fetch_job_t        *job;
    ngx_completion_fetch_transfers_t  *transfers;

    transfers = &ngx_completion_fetch_transfers;

    if (ngx_queue_empty(&transfers->done)) {
        return;
    }

    ngx_queue_init(&batch);
    ngx_queue_add(&batch, &transfers->done);
    ngx_queue_init(&transfers->done);

    while (!ngx_queue_empty(&batch)) {
        q = ngx_queue_head(&batch);
        ngx_queue_remove(q);

        job = ngx_queue_data(q, ngx_completion_fetch_job_t, queue);
        job->state = NGX_COMPLETION_FETCH_ENDED;

        ngx_completion_timer_stop(&job->timer);

        f = &job->fetch;

        ngx_log_debug5(NGX_LOG_DEBUG_EVENT, f->log, 0,
                       "completion fetch: %s, status %ui, %uz bytes, %M ms: "
                       "%s",
                       ngx_completion_outcomes[f->outcome].code, f->status,
                       f->response.len, f->elapsed,
                       f->fault ? f->fault : "ok");

        f->handler(f);
    }
}
