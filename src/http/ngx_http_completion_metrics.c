
/*
 * The Prometheus text of every provider, made of the table of the metrics.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


#define NGX_HTTP_COMPLETION_METRICS_PREFIX   "nginx_completion_async_"
#define NGX_HTTP_COMPLETION_METRICS_BUFFER   16384

/* of a line, without the provider's name */
#define NGX_HTTP_COMPLETION_METRICS_LINE     512


/* of one provider, at the time of the scrape */
typedef struct {
    ngx_str_t                           provider;   /* escaped */
    ngx_completion_sample_t             values;
} ngx_http_completion_sample_t;


typedef struct {
    ngx_pool_t                         *pool;
    ngx_chain_t                        *first;
    ngx_chain_t                        *last;
    size_t                              size;       /* of what is complete */
} ngx_http_completion_page_t;


/* one line, or one histogram */
typedef struct {
    const ngx_completion_metric_t      *family;
    const ngx_completion_metric_t      *metric;
    ngx_http_completion_sample_t       *sample;
    ngx_uint_t                          index;      /* in the member */
    const char                         *values[2];  /* of the labels */
} ngx_http_completion_series_t;


#define ngx_http_completion_metrics_member(series)                            \
    ((void *) ((u_char *) &(series)->sample->values                           \
               + (series)->metric->offset))


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
    ngx_http_completion_page_t *page, const ngx_completion_metric_t *family,
    ngx_http_completion_sample_t *sample);
static ngx_int_t ngx_http_completion_metrics_value(
    ngx_http_completion_page_t *page, ngx_http_completion_series_t *series);
static ngx_int_t ngx_http_completion_metrics_histogram(
    ngx_http_completion_page_t *page, ngx_http_completion_series_t *series);
static u_char *ngx_http_completion_metrics_name(u_char *p,
    ngx_http_completion_series_t *series, const char *suffix);
static u_char *ngx_http_completion_metrics_number(u_char *p, ngx_uint_t value,
    ngx_uint_t scale);
static ngx_buf_t *ngx_http_completion_metrics_room(
    ngx_http_completion_page_t *page, size_t size);


ngx_int_t
ngx_http_completion_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_completion_page_t        page;
    ngx_http_completion_sample_t     *samples;
    ngx_http_completion_main_conf_t  *cmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_completion_add_header(r, "Allow", "GET, HEAD")
                   ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_INTERNAL_SERVER_ERROR;
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
        || ngx_http_completion_add_header(r, "Cache-Control", "no-store")
           == NULL)
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
    ngx_completion_metrics_read(service->zone->metrics,
                                &sample->values.counters);
    ngx_completion_zone_census(service->zone, &sample->values.census);

    /* the zone outlives a reload to a credential that does not expire */

    if (!ngx_completion_credential_renewed(&service->provider.credential)) {
        sample->values.counters.expiry = 0;
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
    ngx_buf_t                      *b;
    ngx_uint_t                      i, j;
    const ngx_completion_metric_t  *table;

    table = ngx_completion_metrics_table;

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

    for (i = 0; i < ngx_completion_metrics_table_n; i++) {

        if (table[i].name == NULL) {
            continue;
        }

        b = ngx_http_completion_metrics_room(page, 0);
        if (b == NULL) {
            return NGX_ERROR;
        }

        b->last = ngx_sprintf(b->last,
                       "# HELP " NGX_HTTP_COMPLETION_METRICS_PREFIX "%s %s\n"
                       "# TYPE " NGX_HTTP_COMPLETION_METRICS_PREFIX "%s %s\n",
                       table[i].name, table[i].help, table[i].name,
                       table[i].type);

        for (j = 0; j < n; j++) {
            if (ngx_http_completion_metrics_family(page, &table[i],
                                                   &samples[j])
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
    const ngx_completion_metric_t *family,
    ngx_http_completion_sample_t *sample)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i, k;
    ngx_http_completion_series_t    series;
    const ngx_completion_metric_t  *m, *end;
    const ngx_completion_labels_t  *first, *second;

    series.family = family;
    series.sample = sample;

    end = ngx_completion_metrics_table + ngx_completion_metrics_table_n;

    for (m = family + 1; m < end && m->name == NULL; m++) {

        series.metric = m;
        first = m->labels[0];
        second = m->labels[1];

        for (i = 0; i < first->n; i++) {
            for (k = 0; k < second->n; k++) {

                series.values[0] = first->labels[i].value;
                series.values[1] = second->labels[k].value;
                series.index = first->labels[i].index * second->size
                               + second->labels[k].index;

                rc = m->bounds ? ngx_http_completion_metrics_histogram(page,
                                                                     &series)
                               : ngx_http_completion_metrics_value(page,
                                                                   &series);
                if (rc != NGX_OK) {
                    return NGX_ERROR;
                }
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_metrics_value(ngx_http_completion_page_t *page,
    ngx_http_completion_series_t *series)
{
    u_char      *p;
    ngx_buf_t   *b;
    ngx_uint_t   value, *values;

    values = ngx_http_completion_metrics_member(series);
    value = values[series->index];

    if (value == 0 && series->metric->moment) {
        return NGX_OK;
    }

    b = ngx_http_completion_metrics_room(page, series->sample->provider.len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_completion_metrics_name(b->last, series, "");
    p = ngx_cpymem(p, "} ", 2);
    p = ngx_http_completion_metrics_number(p, value, series->metric->scale);
    *p++ = '\n';

    b->last = p;

    return NGX_OK;
}


/* the count is the sum of what was read, so that it fits the last bucket */

static ngx_int_t
ngx_http_completion_metrics_histogram(ngx_http_completion_page_t *page,
    ngx_http_completion_series_t *series)
{
    u_char                         *p;
    size_t                          len;
    ngx_buf_t                      *b;
    ngx_uint_t                      n, count, scale;
    ngx_completion_histogram_sh_t  *histogram;

    histogram = ngx_http_completion_metrics_member(series);
    histogram += series->index;
    scale = series->metric->scale;
    len = series->sample->provider.len;
    count = 0;

    for (n = 0; n <= NGX_COMPLETION_METRICS_BOUNDS; n++) {
        b = ngx_http_completion_metrics_room(page, len);
        if (b == NULL) {
            return NGX_ERROR;
        }

        count += histogram->buckets[n];

        p = ngx_http_completion_metrics_name(b->last, series, "_bucket");
        p = ngx_cpymem(p, ",le=\"", 5);
        p = (n < NGX_COMPLETION_METRICS_BOUNDS)
                ? ngx_http_completion_metrics_number(p,
                                            series->metric->bounds[n], scale)
                : ngx_cpymem(p, "+Inf", 4);
        b->last = ngx_sprintf(p, "\"} %ui\n", count);
    }

    b = ngx_http_completion_metrics_room(page, 2 * len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_completion_metrics_name(b->last, series, "_sum");
    p = ngx_cpymem(p, "} ", 2);
    p = ngx_http_completion_metrics_number(p, histogram->sum, scale);
    *p++ = '\n';

    p = ngx_http_completion_metrics_name(p, series, "_count");
    b->last = ngx_sprintf(p, "} %ui\n", count);

    return NGX_OK;
}


/* up to the brace that ends the labels */

static u_char *
ngx_http_completion_metrics_name(u_char *p,
    ngx_http_completion_series_t *series, const char *suffix)
{
    ngx_uint_t  i;

    p = ngx_sprintf(p, NGX_HTTP_COMPLETION_METRICS_PREFIX "%s%s"
                    "{provider=\"%V\"", series->family->name, suffix,
                    &series->sample->provider);

    for (i = 0; i < 2; i++) {
        if (series->values[i]) {
            p = ngx_sprintf(p, ",%s=\"%s\"", series->metric->labels[i]->name,
                            series->values[i]);
        }
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
