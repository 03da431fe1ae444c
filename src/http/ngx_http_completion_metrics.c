
/*
 * The Prometheus text of every provider, and the clock that tells how long a
 * request took of nginx itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion.h"


#define NGX_HTTP_COMPLETION_METRICS_PREFIX   "nginx_completion_async_"
#define NGX_HTTP_COMPLETION_METRICS_BUFFER   16384

/* of a line, without the provider's name */
#define NGX_HTTP_COMPLETION_METRICS_LINE     512


/* of one provider, at the time of the scrape */
typedef struct {
    ngx_str_t                           provider;   /* escaped */
    ngx_completion_metrics_sh_t         counters;
    ngx_completion_census_t             census;
    ngx_uint_t                          waiters;
    ngx_uint_t                          streams;
    ngx_uint_t                          queue_limit;
} ngx_http_completion_sample_t;


typedef struct {
    const char                         *name;       /* NULL: no label */
    const char                        **values;     /* NULL: left out */
    ngx_uint_t                          n;
} ngx_http_completion_label_t;


typedef struct {
    const char                         *name;
    const char                         *type;
    const char                         *help;
    size_t                              offset;     /* in the sample */
    ngx_uint_t                          scale;      /* units of a value in 1 */
    ngx_http_completion_label_t         labels[2];
    const ngx_uint_t                   *bounds;     /* of a histogram */
    ngx_uint_t                          absent;     /* where it is 0 */
} ngx_http_completion_family_t;


typedef struct {
    ngx_pool_t                         *pool;
    ngx_chain_t                        *first;
    ngx_chain_t                        *last;
    size_t                              size;       /* of what is complete */
} ngx_http_completion_page_t;


static ngx_http_completion_sample_t *ngx_http_completion_samples(
    ngx_http_request_t *r, ngx_array_t *services);
static ngx_int_t ngx_http_completion_sample(ngx_pool_t *pool,
    ngx_completion_service_t *service, ngx_http_completion_sample_t *sample);
static ngx_int_t ngx_http_completion_metrics_escape(ngx_pool_t *pool,
    ngx_str_t *name, ngx_str_t *escaped);
static ngx_int_t ngx_http_completion_metrics_page(
    ngx_http_completion_page_t *page, ngx_http_completion_sample_t *samples,
    ngx_uint_t n);
static ngx_int_t ngx_http_completion_metrics_family(
    ngx_http_completion_page_t *page, ngx_http_completion_family_t *family,
    ngx_http_completion_sample_t *sample);
static ngx_int_t ngx_http_completion_metrics_histogram(
    ngx_http_completion_page_t *page, ngx_http_completion_family_t *family,
    ngx_http_completion_sample_t *sample, ngx_uint_t i);
static u_char *ngx_http_completion_metrics_name(u_char *p,
    ngx_http_completion_family_t *family, const char *suffix,
    ngx_http_completion_sample_t *sample, ngx_uint_t i);
static u_char *ngx_http_completion_metrics_number(u_char *p, ngx_uint_t value,
    ngx_uint_t scale);
static ngx_buf_t *ngx_http_completion_metrics_room(
    ngx_http_completion_page_t *page, size_t size);
static uint64_t ngx_http_completion_clock(void);


static const char  *ngx_http_completion_metrics_retries[] = {
    "submit", "poll"
};

static const char  *ngx_http_completion_metrics_requests[] = {
    "submit", "poll", "cancel"
};

static const char  *ngx_http_completion_metrics_sources[] = {
    "zone", "upstream"
};

static const char  *ngx_http_completion_metrics_kinds[] = {
    "submit", "operation"
};

static const char  *ngx_http_completion_metrics_tokens[] = {
    "input", "completion"
};

static const char  *ngx_http_completion_metrics_evictions[] = {
    "result", "finished", "missing", "cache", "pending"
};

static const char  *ngx_http_completion_metrics_keys[] = {
    "idempotency", "cache"
};

static const char  *ngx_http_completion_metrics_renewals[] = {
    "ok", "failed"
};

/* the states of records, then those of ngx_completion_state_e */

static const char  *ngx_http_completion_metrics_states[] = {
    "submitting", "adopted", "missing", "pending",
    NULL, "completed", "incomplete", "failed", "cancelled", "lost"
};

static const char
    *ngx_http_completion_metrics_problems[NGX_COMPLETION_METRICS_PROBLEMS];


#define ngx_http_completion_label(name, values)                               \
    { name, values, sizeof(values) / sizeof((values)[0]) }
#define ngx_http_completion_no_label    { NULL, NULL, 1 }
#define ngx_http_completion_counter(member)                                   \
    offsetof(ngx_http_completion_sample_t, counters)                          \
    + offsetof(ngx_completion_metrics_sh_t, member)
#define ngx_http_completion_held(member)                                      \
    offsetof(ngx_http_completion_sample_t, census)                            \
    + offsetof(ngx_completion_census_t, member)


static ngx_http_completion_family_t  ngx_http_completion_families[] = {

    { "submits_total", "counter",
      "Submits of clients by how they ended.",
      ngx_http_completion_counter(submits), 1,
      { { "result", ngx_completion_meter_submits,
          NGX_COMPLETION_METRICS_SUBMITS },
        ngx_http_completion_no_label }, NULL, 0 },

    { "polls_total", "counter",
      "Polls of clients by where the answer came from.",
      ngx_http_completion_counter(polls), 1,
      { ngx_http_completion_label("source",
                                  ngx_http_completion_metrics_sources),
        ngx_http_completion_no_label }, NULL, 0 },

    { "cancels_total", "counter",
      "Cancels of clients that were answered with an operation.",
      ngx_http_completion_counter(cancels), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "problems_total", "counter",
      "Problem documents by their code.",
      ngx_http_completion_counter(problems), 1,
      { ngx_http_completion_label("code",
                                  ngx_http_completion_metrics_problems),
        ngx_http_completion_no_label }, NULL, 0 },

    { "gateway_overhead_seconds", "histogram",
      "Time of nginx's own on a request, without any waiting.",
      ngx_http_completion_counter(overhead), 1000000,
      { ngx_http_completion_label("kind", ngx_http_completion_metrics_kinds),
        ngx_http_completion_no_label }, ngx_completion_metrics_overhead, 0 },

    { "waiters", "gauge",
      "Requests of clients that are held now, streams included.",
      offsetof(ngx_http_completion_sample_t, waiters), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "streams", "gauge",
      "Streams of events that are open now.",
      offsetof(ngx_http_completion_sample_t, streams), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "upstream_requests_total", "counter",
      "Requests to upstream by what they are and what came of them.",
      ngx_http_completion_counter(requests), 1,
      { ngx_http_completion_label("kind",
                                  ngx_http_completion_metrics_requests),
        { "code", ngx_completion_meter_codes,
          NGX_COMPLETION_METRICS_CODES } }, NULL, 0 },

    { "upstream_unreadable_total", "counter",
      "Answers of upstream with a status of success and no readable body.",
      ngx_http_completion_counter(unreadable), 1,
      { ngx_http_completion_label("kind",
                                  ngx_http_completion_metrics_requests),
        ngx_http_completion_no_label }, NULL, 0 },

    { "upstream_request_duration_seconds", "histogram",
      "Time from the start of a request to upstream to its end.",
      ngx_http_completion_counter(upstream), 1000,
      { ngx_http_completion_label("kind",
                                  ngx_http_completion_metrics_requests),
        ngx_http_completion_no_label }, ngx_completion_metrics_upstream, 0 },

    { "retries_total", "counter",
      "Requests to upstream that repeat one that failed.",
      ngx_http_completion_counter(retries), 1,
      { ngx_http_completion_label("kind",
                                  ngx_http_completion_metrics_retries),
        ngx_http_completion_no_label }, NULL, 0 },

    { "submit_queue_length", "gauge",
      "Submits that wait for their quota now.",
      ngx_http_completion_held(queue), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "submit_queue_limit", "gauge",
      "How many submits may wait for their quota.",
      offsetof(ngx_http_completion_sample_t, queue_limit), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "submit_queue_waits_total", "counter",
      "Times that a submit had to wait for its quota.",
      ngx_http_completion_counter(queued), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "submit_queue_wait_seconds_total", "counter",
      "How long submits had to wait for their quota, taken together.",
      ngx_http_completion_counter(queued_time), 1000,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "operations", "gauge",
      "Operations in the zone by their state.",
      ngx_http_completion_held(operations), 1,
      { ngx_http_completion_label("state",
                                  ngx_http_completion_metrics_states),
        ngx_http_completion_no_label }, NULL, 0 },

    { "operations_finished_total", "counter",
      "Operations submitted here whose end became known, by that end.",
      ngx_http_completion_counter(finished), 1,
      { { "state", ngx_http_completion_metrics_states
                   + NGX_COMPLETION_RECORD_FINAL,
          NGX_COMPLETION_METRICS_VERDICTS },
        ngx_http_completion_no_label }, NULL, 0 },

    { "operation_duration_seconds", "histogram",
      "Time from the acceptance of an operation to the news of its end.",
      ngx_http_completion_counter(operation), 1000,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      ngx_completion_metrics_operation, 0 },

    { "tokens_total", "counter",
      "Tokens of operations submitted here, as upstream counts them.",
      ngx_http_completion_counter(tokens), 1,
      { ngx_http_completion_label("kind", ngx_http_completion_metrics_tokens),
        ngx_http_completion_no_label }, NULL, 0 },

    { "poll_lag_seconds", "gauge",
      "How long the poll that is due next has been due.",
      ngx_http_completion_held(late), 1000,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "keys", "gauge",
      "Keys that lead an equal request to its operation.",
      ngx_http_completion_held(keys), 1,
      { ngx_http_completion_label("kind", ngx_http_completion_metrics_keys),
        ngx_http_completion_no_label }, NULL, 0 },

    { "zone_size_bytes", "gauge",
      "Size of the zone.",
      ngx_http_completion_held(size), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "zone_used_bytes", "gauge",
      "What of the zone is in use.",
      ngx_http_completion_held(used), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "zone_evictions_total", "counter",
      "What had to go from the zone before its time.",
      ngx_http_completion_counter(evictions), 1,
      { ngx_http_completion_label("kind",
                                  ngx_http_completion_metrics_evictions),
        ngx_http_completion_no_label }, NULL, 0 },

    { "zone_rebuilds_total", "counter",
      "Times that the zone was made anew after a worker died inside it.",
      ngx_http_completion_counter(rebuilds), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 0 },

    { "token_renewals_total", "counter",
      "Renewals of the credential.",
      ngx_http_completion_counter(renewals), 1,
      { ngx_http_completion_label("result",
                                  ngx_http_completion_metrics_renewals),
        ngx_http_completion_no_label }, NULL, 0 },

    { "token_expiry_timestamp_seconds", "gauge",
      "When the credential in use expires.",
      ngx_http_completion_counter(expiry), 1,
      { ngx_http_completion_no_label, ngx_http_completion_no_label },
      NULL, 1 },
};


ngx_int_t
ngx_http_completion_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_completion_page_t        page;
    ngx_http_completion_sample_t     *samples;
    ngx_http_completion_main_conf_t  *cmcf;

    static ngx_str_t  allow = ngx_string("GET, HEAD");
    static ngx_str_t  no_store = ngx_string("no-store");

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        rc = ngx_http_completion_add_header(r, "Allow", &allow);

        return (rc == NGX_OK) ? NGX_HTTP_NOT_ALLOWED
                              : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_completion_async_module);

    samples = ngx_http_completion_samples(r, &cmcf->services);
    if (samples == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&page, sizeof(ngx_http_completion_page_t));
    page.pool = r->pool;

    if (ngx_http_completion_metrics_page(&page, samples, cmcf->services.nelts)
        != NGX_OK
        || ngx_http_completion_add_header(r, "Cache-Control", &no_store)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = page.size;
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    page.last->buf->last_buf = (r == r->main) ? 1 : 0;
    page.last->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, page.first);
}


static ngx_http_completion_sample_t *
ngx_http_completion_samples(ngx_http_request_t *r, ngx_array_t *services)
{
    ngx_uint_t                      i;
    ngx_completion_service_t      **service;
    ngx_http_completion_sample_t   *samples;

    service = services->elts;

    samples = ngx_palloc(r->pool, ngx_max(services->nelts, 1)
                                  * sizeof(ngx_http_completion_sample_t));
    if (samples == NULL) {
        return NULL;
    }

    for (i = 0; i < services->nelts; i++) {
        if (ngx_http_completion_sample(r->pool, service[i], &samples[i])
            != NGX_OK)
        {
            return NULL;
        }
    }

    return samples;
}


static ngx_int_t
ngx_http_completion_sample(ngx_pool_t *pool,
    ngx_completion_service_t *service, ngx_http_completion_sample_t *sample)
{
    ngx_completion_zone_t               *zone;
    ngx_completion_metrics_worker_sh_t   workers;

    zone = service->zone;

    ngx_completion_metrics_read(zone->metrics, &sample->counters);
    ngx_completion_metrics_workers(zone->metrics, &workers);
    ngx_completion_zone_census(zone, &sample->census);

    sample->waiters = workers.waiters;
    sample->streams = workers.streams;
    sample->queue_limit = zone->submit_queue;

    /* the zone outlives a reload to a credential that does not expire */

    if (!ngx_completion_credential_renewed(&service->provider.credential)) {
        sample->counters.expiry = 0;
    }

    return ngx_http_completion_metrics_escape(pool, &service->name,
                                              &sample->provider);
}


static ngx_int_t
ngx_http_completion_metrics_escape(ngx_pool_t *pool, ngx_str_t *name,
    ngx_str_t *escaped)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_pnalloc(pool, 2 * name->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    escaped->data = p;

    for (i = 0; i < name->len; i++) {

        switch (name->data[i]) {

        case '\n':
            *p++ = '\\';
            *p++ = 'n';
            break;

        case '\\':
        case '"':
            *p++ = '\\';
            /* fall through */

        default:
            *p++ = name->data[i];
            break;
        }
    }

    escaped->len = p - escaped->data;

    return NGX_OK;
}


/* all samples of a family stand together */

static ngx_int_t
ngx_http_completion_metrics_page(ngx_http_completion_page_t *page,
    ngx_http_completion_sample_t *samples, ngx_uint_t n)
{
    ngx_buf_t                     *b;
    ngx_uint_t                     i, j;
    ngx_http_completion_family_t  *family;

    for (i = 0; i < NGX_COMPLETION_METRICS_PROBLEMS; i++) {
        ngx_http_completion_metrics_problems[i] =
                                          ngx_http_completion_problem_code(i);
    }

    b = ngx_http_completion_metrics_room(page, 0);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_sprintf(b->last,
                "# HELP " NGX_HTTP_COMPLETION_METRICS_PREFIX "build_info "
                "The version of nginx that the module was built for.\n"
                "# TYPE " NGX_HTTP_COMPLETION_METRICS_PREFIX "build_info "
                "gauge\n"
                NGX_HTTP_COMPLETION_METRICS_PREFIX "build_info"
                "{nginx=\"" NGINX_VERSION "\"} 1\n");

    for (i = 0;
         i < sizeof(ngx_http_completion_families)
             / sizeof(ngx_http_completion_families[0]);
         i++)
    {
        family = &ngx_http_completion_families[i];

        b = ngx_http_completion_metrics_room(page, 0);
        if (b == NULL) {
            return NGX_ERROR;
        }

        b->last = ngx_sprintf(b->last,
                       "# HELP " NGX_HTTP_COMPLETION_METRICS_PREFIX "%s %s\n"
                       "# TYPE " NGX_HTTP_COMPLETION_METRICS_PREFIX "%s %s\n",
                       family->name, family->help, family->name,
                       family->type);

        for (j = 0; j < n; j++) {
            if (ngx_http_completion_metrics_family(page, family, &samples[j])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    page->size += page->last->buf->last - page->last->buf->pos;

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_metrics_family(ngx_http_completion_page_t *page,
    ngx_http_completion_family_t *family,
    ngx_http_completion_sample_t *sample)
{
    u_char      *p;
    ngx_buf_t   *b;
    ngx_uint_t   i, n, value, *values;

    values = (ngx_uint_t *) ((u_char *) sample + family->offset);
    n = family->labels[0].n * family->labels[1].n;

    for (i = 0; i < n; i++) {

        if (family->labels[0].values
            && family->labels[0].values[i / family->labels[1].n] == NULL)
        {
            continue;
        }

        if (family->bounds) {
            if (ngx_http_completion_metrics_histogram(page, family, sample, i)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        value = values[i];

        if (value == 0 && family->absent) {
            continue;
        }

        b = ngx_http_completion_metrics_room(page, sample->provider.len);
        if (b == NULL) {
            return NGX_ERROR;
        }

        p = ngx_http_completion_metrics_name(b->last, family, "", sample, i);
        p = ngx_cpymem(p, "} ", 2);
        p = ngx_http_completion_metrics_number(p, value, family->scale);
        *p++ = '\n';

        b->last = p;
    }

    return NGX_OK;
}


/* the count is the sum of what was read, so that it fits the last bucket */

static ngx_int_t
ngx_http_completion_metrics_histogram(ngx_http_completion_page_t *page,
    ngx_http_completion_family_t *family,
    ngx_http_completion_sample_t *sample, ngx_uint_t i)
{
    u_char                         *p;
    ngx_buf_t                      *b;
    ngx_uint_t                      n, count;
    ngx_completion_histogram_sh_t  *histogram;

    histogram = (ngx_completion_histogram_sh_t *)
                    ((u_char *) sample + family->offset) + i;
    count = 0;

    for (n = 0; n <= NGX_COMPLETION_METRICS_BOUNDS; n++) {
        b = ngx_http_completion_metrics_room(page, sample->provider.len);
        if (b == NULL) {
            return NGX_ERROR;
        }

        count += histogram->buckets[n];

        p = ngx_http_completion_metrics_name(b->last, family, "_bucket",
                                             sample, i);
        p = ngx_cpymem(p, ",le=\"", 5);
        p = (n < NGX_COMPLETION_METRICS_BOUNDS)
                ? ngx_http_completion_metrics_number(p, family->bounds[n],
                                                     family->scale)
                : ngx_cpymem(p, "+Inf", 4);
        b->last = ngx_sprintf(p, "\"} %ui\n", count);
    }

    b = ngx_http_completion_metrics_room(page, 2 * sample->provider.len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_completion_metrics_name(b->last, family, "_sum", sample, i);
    p = ngx_cpymem(p, "} ", 2);
    p = ngx_http_completion_metrics_number(p, histogram->sum, family->scale);
    *p++ = '\n';

    p = ngx_http_completion_metrics_name(p, family, "_count", sample, i);
    b->last = ngx_sprintf(p, "} %ui\n", count);

    return NGX_OK;
}


/* up to the brace that ends the labels */

static u_char *
ngx_http_completion_metrics_name(u_char *p,
    ngx_http_completion_family_t *family, const char *suffix,
    ngx_http_completion_sample_t *sample, ngx_uint_t i)
{
    ngx_http_completion_label_t  *label;

    label = family->labels;

    p = ngx_sprintf(p, NGX_HTTP_COMPLETION_METRICS_PREFIX "%s%s"
                    "{provider=\"%V\"", family->name, suffix,
                    &sample->provider);

    if (label[0].name) {
        p = ngx_sprintf(p, ",%s=\"%s\"", label[0].name,
                        label[0].values[i / label[1].n]);
    }

    if (label[1].name) {
        p = ngx_sprintf(p, ",%s=\"%s\"", label[1].name,
                        label[1].values[i % label[1].n]);
    }

    return p;
}


static u_char *
ngx_http_completion_metrics_number(u_char *p, ngx_uint_t value,
    ngx_uint_t scale)
{
    ngx_uint_t  rest;

    p = ngx_sprintf(p, "%ui", value / scale);
    rest = value % scale;

    if (rest == 0) {
        return p;
    }

    p = (scale == 1000) ? ngx_sprintf(p, ".%03ui", rest)
                        : ngx_sprintf(p, ".%06ui", rest);

    while (p[-1] == '0') {
        p--;
    }

    return p;
}


/* for a line or two, and so many bytes more */

static ngx_buf_t *
ngx_http_completion_metrics_room(ngx_http_completion_page_t *page,
    size_t size)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    size += NGX_HTTP_COMPLETION_METRICS_LINE;

    if (page->last) {
        b = page->last->buf;

        if ((size_t) (b->end - b->last) >= size) {
            return b;
        }

        page->size += b->last - b->pos;
    }

    b = ngx_create_temp_buf(page->pool,
                       ngx_max(size, NGX_HTTP_COMPLETION_METRICS_BUFFER));
    cl = ngx_alloc_chain_link(page->pool);

    if (b == NULL || cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    if (page->last) {
        page->last->next = cl;

    } else {
        page->first = cl;
    }

    page->last = cl;

    return b;
}


void
ngx_http_completion_clock_start(ngx_http_completion_ctx_t *ctx)
{
    ctx->clock = ngx_http_completion_clock();
}


void
ngx_http_completion_clock_stop(ngx_http_completion_ctx_t *ctx)
{
    if (ctx->clock) {
        ctx->spent += ngx_http_completion_clock() - ctx->clock;
        ctx->clock = 0;
    }
}


void
ngx_http_completion_clock_end(ngx_http_completion_ctx_t *ctx)
{
    ngx_http_completion_clock_stop(ctx);

    ngx_completion_metrics_observe(
                  &ctx->service->zone->metrics->overhead[ctx->submits ? 0 : 1],
                  ngx_completion_metrics_overhead, ctx->spent);
}


/* us */

static uint64_t
ngx_http_completion_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
