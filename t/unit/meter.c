
/* Which counter an end of a submit, or of a request to upstream, adds to. */


#include "tap.h"
#include "ngx_shim.h"

#include "../../src/operation/ngx_completion_meter.h"


static ngx_completion_zone_t         zone;
static ngx_completion_service_t      service = { .zone = &zone };
static ngx_completion_metrics_sh_t   metrics;


/* the labels of a family of counters that has counted one, or NULL */

static const char *
counted(const char *family)
{
    size_t                          i, k;
    const char                     *label = NULL;
    const ngx_atomic_t             *values;
    const ngx_completion_metric_t  *m = ngx_completion_metrics_table;
    const ngx_completion_labels_t  *first, *second;

    static char                     text[64];
    static ngx_completion_sample_t  sample;

    memcpy(&sample.counters, &metrics, sizeof(metrics));

    while (m->name == NULL || strcmp(m->name, family) != 0) {
        m++;
    }

    for (m++; m->name == NULL; m++) {
        values = (ngx_atomic_t *) ((u_char *) &sample + m->offset);
        first = m->labels[0];
        second = m->labels[1];

        for (i = 0; i < first->n; i++) {
            for (k = 0; k < second->n; k++) {

                switch (values[first->labels[i].index * second->size
                               + second->labels[k].index])
                {
                case 0:
                    break;

                case 1:
                    if (label == NULL) {
                        snprintf(text, sizeof(text), "%s%s%s",
                                 first->labels[i].value,
                                 second->name ? " " : "",
                                 second->name ? second->labels[k].value : "");
                        label = text;
                        break;
                    }

                    /* fall through */

                default:
                    return "more than one";
                }
            }
        }
    }

    return label;
}


static size_t
labels(const char *family)
{
    size_t                          n = 0;
    const ngx_completion_metric_t  *m = ngx_completion_metrics_table;

    while (m->name == NULL || strcmp(m->name, family) != 0) {
        m++;
    }

    for (m++; m->name == NULL; m++) {
        n += m->labels[0]->n;
    }

    return n;
}


static void
is_code(ngx_completion_outcome_e outcome, ngx_uint_t status,
    const char *expected)
{
    char                      name[64], labels[64];
    ngx_str_t                 got;
    const char               *label;
    ngx_completion_fetch_t    f;
    ngx_completion_answer_t   answer;

    memset(&metrics, 0, sizeof(metrics));
    memset(&f, 0, sizeof(f));
    memset(&answer, 0, sizeof(answer));

    f.outcome = outcome;
    f.status = status;
    f.elapsed = 7;
    answer.outcome = NGX_COMPLETION_OK;
    answer.status = status;

    ngx_completion_meter_fetch(&service, NGX_COMPLETION_KIND_POLL, &f,
                               &answer);

    label = counted("upstream_requests_total");
    got = str(label ? label : "none");
    snprintf(name, sizeof(name), "outcome %d, status %d", outcome,
             (int) status);
    snprintf(labels, sizeof(labels), "poll %s", expected);
    is_str(&got, label ? labels : expected, name);

    is_int(metrics.upstream[NGX_COMPLETION_KIND_POLL].sum, label ? 7 : 0,
           "its time");
    is_int(metrics.unreadable[NGX_COMPLETION_KIND_POLL], 0, "readable");
}


static void
test_codes(void)
{
    size_t  i;

    static const struct {
        ngx_uint_t   status;
        const char  *label;
    } t[] = {
        { 200, "200" }, { 400, "400" }, { 401, "401" }, { 403, "403" },
        { 404, "404" }, { 429, "429" }, { 500, "500" }, { 502, "502" },
        { 503, "503" }, { 504, "504" }, { 201, "2xx" }, { 299, "2xx" },
        { 302, "3xx" }, { 399, "3xx" }, { 402, "4xx" }, { 499, "4xx" },
        { 501, "5xx" }, { 599, "5xx" }, { 199, "other" }, { 100, "other" },
        { 600, "other" }, { 0, "other" }, { 999, "other" }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        is_code(NGX_COMPLETION_OK, t[i].status, t[i].label);
    }

    is_code(NGX_COMPLETION_UPSTREAM_UNAVAILABLE, 0, "unreached");
    is_code(NGX_COMPLETION_UPSTREAM_TIMEOUT, 0, "connect_timeout");
    is_code(NGX_COMPLETION_OUTCOME_UNKNOWN, 200, "broken");
}


static void
test_fenced(void)
{
    ngx_completion_fetch_t   f;
    ngx_completion_answer_t  answer;

    memset(&metrics, 0, sizeof(metrics));
    memset(&f, 0, sizeof(f));
    memset(&answer, 0, sizeof(answer));

    f.outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
    f.fenced = 1;
    f.elapsed = 7;

    ngx_completion_meter_fetch(&service, NGX_COMPLETION_KIND_POLL, &f,
                               &answer);
    ok(counted("upstream_requests_total") == NULL
       && metrics.upstream[NGX_COMPLETION_KIND_POLL].sum == 0,
       "one that its fence declined was none");
}


static void
test_unreadable(void)
{
    ngx_completion_fetch_t   f;
    ngx_completion_answer_t  answer;

    memset(&metrics, 0, sizeof(metrics));
    memset(&f, 0, sizeof(f));
    memset(&answer, 0, sizeof(answer));
    answer.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;

    f.status = 500;
    answer.status = 500;
    ngx_completion_meter_fetch(&service, NGX_COMPLETION_KIND_SUBMIT, &f,
                               &answer);
    is_int(metrics.unreadable[0], 0, "an error need not be read");

    f.status = 200;
    answer.status = 200;
    ngx_completion_meter_fetch(&service, NGX_COMPLETION_KIND_SUBMIT, &f,
                               &answer);
    is_int(metrics.unreadable[0], 1, "a success has to be");

    memset(&metrics, 0, sizeof(metrics));
    ngx_completion_meter_aborted(&service, NGX_COMPLETION_KIND_CANCEL, &f);
    is_int(metrics.requests[NGX_COMPLETION_KIND_CANCEL][3], 0,
           "given up, and never sent");

    f.sent = 1;
    ngx_completion_meter_aborted(&service, NGX_COMPLETION_KIND_CANCEL, &f);
    ok(strcmp(counted("upstream_requests_total"), "cancel aborted") == 0,
       "given up, and sent");
}


static void
test_submits(void)
{
    size_t                    i;
    ngx_str_t                 got;
    const char               *label;

    static const struct {
        ngx_completion_outcome_e   outcome;
        ngx_completion_source_e    source;
        const char                *label;
    } t[] = {
        { NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_UPSTREAM,
          "accepted" },
        { NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_JOINED,
          "joined" },
        { NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_CACHED,
          "cached" },
        { NGX_COMPLETION_OK, NGX_COMPLETION_SOURCE_REPLAYED,
          "replayed" },
        { NGX_COMPLETION_INVALID_REQUEST, 0, "invalid_request" },
        { NGX_COMPLETION_QUOTA_EXCEEDED, 0, "quota_exceeded" },
        { NGX_COMPLETION_UPSTREAM_REJECTED, 0, "upstream_rejected" },
        { NGX_COMPLETION_OUTCOME_UNKNOWN, 0, "outcome_unknown" },
        { NGX_COMPLETION_UPSTREAM_UNAVAILABLE, 0, "upstream_unavailable" },
        { NGX_COMPLETION_UPSTREAM_TIMEOUT, 0, "upstream_timeout" },
        { NGX_COMPLETION_ZONE_FULL, 0, "zone_full" },
        { NGX_COMPLETION_OVERLOADED, 0, "overloaded" },
        { NGX_COMPLETION_REDIS_UNAVAILABLE, 0, "redis_unavailable" },
        { NGX_COMPLETION_IDEMPOTENCY_MISMATCH, 0, "idempotency_mismatch" }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        memset(&metrics, 0, sizeof(metrics));

        if (t[i].outcome == NGX_COMPLETION_OK) {
            metrics.accepted[t[i].source]++;

        } else {
            metrics.refused[t[i].outcome]++;
        }

        label = counted("submits_total");
        got = str(label ? label : "none");
        is_str(&got, t[i].label, t[i].label);
    }

    is_int(i, labels("submits_total"), "all of them");
}


static void
test_tokens(void)
{
    ngx_completion_operation_t  operation;

    memset(&metrics, 0, sizeof(metrics));
    memset(&operation, 0, sizeof(operation));

    operation.usage.input = 11;
    operation.usage.completion = 3;
    ngx_completion_meter_tokens(&service, &operation);

    operation.usage.input = -1;
    operation.usage.completion = -1;
    ngx_completion_meter_tokens(&service, &operation);

    ok(metrics.tokens[0] == 11 && metrics.tokens[1] == 3,
       "tokens, unless upstream does not say");
}


int
main(void)
{
    zone.metrics = &metrics;

    test_codes();
    test_fenced();
    test_unreadable();
    test_submits();
    test_tokens();

    return tap_done();
}
