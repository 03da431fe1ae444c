
/*
 * The Prometheus text of every provider, made of the table of the metrics.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


#define NGX_HTTP_COMPLETION_METRICS_PREFIX   "nginx_completion_async_"

/* of a line, without the provider's name, or of the head of a family */
#define NGX_HTTP_COMPLETION_METRICS_LINE     512


/* of one provider, at the time of the scrape */
typedef struct {
    ngx_str_t                           provider;   /* escaped */
    ngx_uint_t                          shared;     /* with other nodes */
    ngx_completion_sample_t             values;
} ngx_http_completion_sample_t;


/* one line, or one histogram */
typedef struct {
    const ngx_completion_metric_t      *family;
    const ngx_completion_metric_t      *metric;
    ngx_http_completion_sample_t       *sample;
    const char                         *values[2];  /* of the labels */
} ngx_http_completion_series_t;


static ngx_int_t ngx_http_completion_metrics_sample(ngx_pool_t *pool,
    ngx_completion_service_t *service, ngx_http_completion_sample_t *sample);
static ngx_uint_t ngx_http_completion_metrics_any(ngx_array_t *samples);
static ngx_int_t ngx_http_completion_metrics_page(ngx_array_t *page,
    ngx_array_t *samples);
static ngx_int_t ngx_http_completion_metrics_family(ngx_array_t *page,
    const ngx_completion_metric_t *family,
    ngx_http_completion_sample_t *sample);
static ngx_int_t ngx_http_completion_metrics_histogram(ngx_array_t *page,
    ngx_http_completion_series_t *series,
    ngx_completion_histogram_sh_t *histogram);
static ngx_int_t ngx_http_completion_metrics_line(ngx_array_t *page,
    ngx_http_completion_series_t *series, const char *suffix,
    ngx_str_t *bound, ngx_uint_t value, ngx_uint_t scale);
static u_char *ngx_http_completion_metrics_number(u_char *p, ngx_uint_t value,
    ngx_uint_t scale);


ngx_int_t
ngx_http_completion_metrics_handler(ngx_http_request_t *r)
{
    ngx_buf_t                        *b;
    ngx_int_t                         rc;
    ngx_uint_t                        i;
    ngx_chain_t                       out;
    ngx_array_t                       page, samples;
    ngx_completion_service_t        **service;
    ngx_http_completion_main_conf_t  *cmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_completion_add_text(r, "Allow", "GET, HEAD")
                   ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_completion_async_module);
    service = cmcf->services.elts;

    if (ngx_array_init(&samples, r->pool, ngx_max(cmcf->services.nelts, 1),
                       sizeof(ngx_http_completion_sample_t))
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < cmcf->services.nelts; i++) {
        if (ngx_http_completion_metrics_sample(r->pool, service[i],
                                               ngx_array_push(&samples))
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    b = ngx_calloc_buf(r->pool);

    if (b == NULL
        || ngx_array_init(&page, r->pool, 16384, 1) != NGX_OK
        || ngx_http_completion_metrics_page(&page, &samples) != NGX_OK
        || ngx_http_completion_cache_control(r,
               ngx_http_completion_add_text(r, "Cache-Control", "no-store"))
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = page.nelts;
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = page.elts;
    b->last = b->pos + page.nelts;
    b->temporary = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_completion_metrics_sample(ngx_pool_t *pool,
    ngx_completion_service_t *service, ngx_http_completion_sample_t *sample)
{
    u_char      *p;
    ngx_str_t   *name;
    ngx_uint_t   i;

    ngx_completion_metrics_read(service->zone->metrics,
                                &sample->values.counters);
    ngx_completion_zone_census(service->zone, &sample->values.census);

    /* the zone outlives a reload to a credential that does not expire */

    if (!ngx_completion_credential_renewed(&service->provider.credential)) {
        sample->values.counters.expiry = 0;
    }

    sample->shared = 0;

    if (service->shared) {
        sample->shared = 1;

        if (sample->values.counters.redis_nodes == 0) {
            sample->values.counters.redis_nodes = service->shared->nodes;
        }
    }

    name = &service->name;

    p = ngx_pnalloc(pool, 2 * name->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    sample->provider.data = p;

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

    sample->provider.len = p - sample->provider.data;

    return NGX_OK;
}


/* whether one of them shares with other nodes */

static ngx_uint_t
ngx_http_completion_metrics_any(ngx_array_t *samples)
{
    ngx_uint_t                     i;
    ngx_http_completion_sample_t  *sample;

    sample = samples->elts;

    for (i = 0; i < samples->nelts; i++) {
        if (sample[i].shared) {
            return 1;
        }
    }

    return 0;
}


/* all samples of a family stand together */

static ngx_int_t
ngx_http_completion_metrics_page(ngx_array_t *page, ngx_array_t *samples)
{
    u_char                         *p;
    ngx_uint_t                      i, n;
    const ngx_completion_metric_t  *family;
    ngx_http_completion_sample_t   *sample;

    sample = samples->elts;
    family = ngx_completion_metrics_table;

    page->nelts = ngx_sprintf(page->elts,
                "# HELP " NGX_HTTP_COMPLETION_METRICS_PREFIX "build_info "
                "The module's version, and nginx's it was built for.\n"
                "# TYPE " NGX_HTTP_COMPLETION_METRICS_PREFIX "build_info "
                "gauge\n"
                NGX_HTTP_COMPLETION_METRICS_PREFIX "build_info"
                "{version=\"" NGX_HTTP_COMPLETION_VERSION "\","
                "nginx=\"" NGINX_VERSION "\"} 1\n")
                  - (u_char *) page->elts;

    for (n = 0; n < ngx_completion_metrics_table_n; n++, family++) {

        if (family->name == NULL
            || (family->shared && !ngx_http_completion_metrics_any(samples)))
        {
            continue;
        }

        p = ngx_array_push_n(page, NGX_HTTP_COMPLETION_METRICS_LINE);
        if (p == NULL) {
            return NGX_ERROR;
        }

        p = ngx_sprintf(p, "# HELP " NGX_HTTP_COMPLETION_METRICS_PREFIX
                        "%s %s\n# TYPE " NGX_HTTP_COMPLETION_METRICS_PREFIX
                        "%s %s\n", family->name, family->help, family->name,
                        family->type);

        page->nelts = p - (u_char *) page->elts;

        for (i = 0; i < samples->nelts; i++) {
            if (family->shared && !sample[i].shared) {
                continue;
            }

            if (ngx_http_completion_metrics_family(page, family, &sample[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_metrics_family(ngx_array_t *page,
    const ngx_completion_metric_t *family,
    ngx_http_completion_sample_t *sample)
{
    void                           *member;
    ngx_int_t                       rc;
    ngx_uint_t                      i, k, index, value;
    const ngx_completion_metric_t  *m, *end;
    const ngx_completion_labels_t  *first, *second;
    ngx_http_completion_series_t    series;

    series.family = family;
    series.sample = sample;

    end = ngx_completion_metrics_table + ngx_completion_metrics_table_n;

    for (m = family + 1; m < end && m->name == NULL; m++) {

        series.metric = m;
        member = (u_char *) &sample->values + m->offset;
        first = m->labels[0];
        second = m->labels[1];

        for (i = 0; i < first->n; i++) {
            for (k = 0; k < second->n; k++) {

                series.values[0] = first->labels[i].value;
                series.values[1] = second->labels[k].value;
                index = first->labels[i].index * second->size
                        + second->labels[k].index;

                if (m->bounds) {
                    rc = ngx_http_completion_metrics_histogram(page, &series,
                                (ngx_completion_histogram_sh_t *) member
                                + index);

                } else {
                    value = ((ngx_uint_t *) member)[index];

                    if (value == 0 && m->moment) {
                        continue;
                    }

                    rc = ngx_http_completion_metrics_line(page, &series, "",
                                                     NULL, value, m->scale);
                }

                if (rc != NGX_OK) {
                    return NGX_ERROR;
                }
            }
        }
    }

    return NGX_OK;
}


/* the count is the sum of what was read, so that it fits the last bucket */

static ngx_int_t
ngx_http_completion_metrics_histogram(ngx_array_t *page,
    ngx_http_completion_series_t *series,
    ngx_completion_histogram_sh_t *histogram)
{
    u_char      text[NGX_INT64_LEN + sizeof(".000000")];
    ngx_str_t   bound;
    ngx_uint_t  n, count;

    count = 0;

    for (n = 0; n <= NGX_COMPLETION_METRICS_BOUNDS; n++) {

        if (n < NGX_COMPLETION_METRICS_BOUNDS) {
            bound.data = text;
            bound.len = ngx_http_completion_metrics_number(text,
                                                     series->metric->bounds[n],
                                                     series->metric->scale)
                        - text;

        } else {
            ngx_str_set(&bound, "+Inf");
        }

        count += histogram->buckets[n];

        if (ngx_http_completion_metrics_line(page, series, "_bucket", &bound,
                                             count, 1)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_completion_metrics_line(page, series, "_sum", NULL,
                                         histogram->sum,
                                         series->metric->scale)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_completion_metrics_line(page, series, "_count", NULL,
                                            count, 1);
}


static ngx_int_t
ngx_http_completion_metrics_line(ngx_array_t *page,
    ngx_http_completion_series_t *series, const char *suffix,
    ngx_str_t *bound, ngx_uint_t value, ngx_uint_t scale)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_array_push_n(page, NGX_HTTP_COMPLETION_METRICS_LINE
                               + series->sample->provider.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(p, NGX_HTTP_COMPLETION_METRICS_PREFIX "%s%s"
                    "{provider=\"%V\"", series->family->name, suffix,
                    &series->sample->provider);

    for (i = 0; i < 2; i++) {
        if (series->values[i]) {
            p = ngx_sprintf(p, ",%s=\"%s\"", series->metric->labels[i]->name,
                            series->values[i]);
        }
    }

    if (bound) {
        p = ngx_sprintf(p, ",le=\"%V\"", bound);
    }

    p = ngx_cpymem(p, "} ", 2);
    p = ngx_http_completion_metrics_number(p, value, scale);
    *p++ = '\n';

    page->nelts = p - (u_char *) page->elts;

    return NGX_OK;
}


static u_char *
ngx_http_completion_metrics_number(u_char *p, ngx_uint_t value,
    ngx_uint_t scale)
{
    p = ngx_sprintf(p, "%ui.%06ui", value / scale,
                    value % scale * (1000000 / scale));

    while (p[-1] == '0') {
        p--;
    }

    return (p[-1] == '.') ? p - 1 : p;
}
