
/* Which counter an end of a submit, or of a request to upstream, adds to. */


#include "tap.h"
#include "ngx_shim.h"

#include "../../src/operation/ngx_completion_operation.h"


static ngx_completion_zone_t         zone;
static ngx_completion_service_t      service = { .zone = &zone };
static ngx_completion_metrics_sh_t   metrics;


/* the label of the one counter that has counted one, or NULL */

static const char *
counted(ngx_atomic_t *counters, const char **labels, ngx_uint_t n)
{
    ngx_uint_t   i;
    const char  *label = NULL;

    for (i = 0; i < n; i++) {
        if (counters[i] == 0) {
            continue;
        }

        if (counters[i] != 1 || label) {
            return "more than one";
        }

        label = labels[i];
    }

    return label;
}


static void
is_code(ngx_completion_fetch_outcome_e outcome, ngx_uint_t status,
    const char *expected)
{
    char                      name[64];
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
    answer.kind = NGX_COMPLETION_ANSWER_OPERATION;
    answer.status = status;

    ngx_completion_meter_fetch(&service, NGX_COMPLETION_METRICS_POLL, &f,
                               &answer);

    label = counted(metrics.requests[NGX_COMPLETION_METRICS_POLL],
                    ngx_completion_meter_codes, NGX_COMPLETION_METRICS_CODES);
    got = str(label ? label : "none");
    snprintf(name, sizeof(name), "outcome %d, status %d", outcome,
             (int) status);
    is_str(&got, expected, name);

    is_int(metrics.upstream[NGX_COMPLETION_METRICS_POLL].sum, label ? 7 : 0,
           "its time");
    is_int(metrics.unreadable[NGX_COMPLETION_METRICS_POLL], 0, "readable");
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
        is_code(NGX_COMPLETION_FETCH_ANSWERED, t[i].status, t[i].label);
    }

    is_code(NGX_COMPLETION_FETCH_UNREACHED, 0, "unreached");
    is_code(NGX_COMPLETION_FETCH_CONNECT_TIMEOUT, 0, "connect_timeout");
    is_code(NGX_COMPLETION_FETCH_BROKEN, 200, "broken");
    is_code(NGX_COMPLETION_FETCH_FENCED, 0, "none");
}


static void
test_unreadable(void)
{
    ngx_completion_fetch_t   f;
    ngx_completion_answer_t  answer;

    memset(&metrics, 0, sizeof(metrics));
    memset(&f, 0, sizeof(f));
    memset(&answer, 0, sizeof(answer));
    answer.kind = NGX_COMPLETION_ANSWER_UNKNOWN;

    f.status = 500;
    answer.status = 500;
    ngx_completion_meter_fetch(&service, NGX_COMPLETION_METRICS_SUBMIT, &f,
                               &answer);
    is_int(metrics.unreadable[0], 0, "an error need not be read");

    f.status = 200;
    answer.status = 200;
    ngx_completion_meter_fetch(&service, NGX_COMPLETION_METRICS_SUBMIT, &f,
                               &answer);
    is_int(metrics.unreadable[0], 1, "a success has to be");

    memset(&metrics, 0, sizeof(metrics));
    ngx_completion_meter_aborted(&service, NGX_COMPLETION_METRICS_CANCEL, &f);
    is_int(metrics.requests[NGX_COMPLETION_METRICS_CANCEL][3], 0,
           "given up, and never sent");

    f.sent = 1;
    ngx_completion_meter_aborted(&service, NGX_COMPLETION_METRICS_CANCEL, &f);
    ok(strcmp(counted(metrics.requests[NGX_COMPLETION_METRICS_CANCEL],
                      ngx_completion_meter_codes,
                      NGX_COMPLETION_METRICS_CODES), "aborted") == 0,
       "given up, and sent");
}


static void
test_submits(void)
{
    size_t                    i;
    ngx_str_t                 got;
    const char               *label;
    ngx_completion_submit_t   submit;

    static const struct {
        ngx_completion_submit_outcome_e   outcome;
        ngx_completion_submit_source_e    source;
        const char                       *label;
    } t[] = {
        { NGX_COMPLETION_SUBMIT_ACCEPTED, NGX_COMPLETION_SUBMIT_SENT,
          "accepted" },
        { NGX_COMPLETION_SUBMIT_ACCEPTED, NGX_COMPLETION_SUBMIT_JOINED,
          "joined" },
        { NGX_COMPLETION_SUBMIT_ACCEPTED, NGX_COMPLETION_SUBMIT_CACHED,
          "cached" },
        { NGX_COMPLETION_SUBMIT_ACCEPTED, NGX_COMPLETION_SUBMIT_REPLAYED,
          "replayed" },
        { NGX_COMPLETION_SUBMIT_INVALID, 0, "invalid_request" },
        { NGX_COMPLETION_SUBMIT_QUOTA, 0, "quota_exceeded" },
        { NGX_COMPLETION_SUBMIT_REJECTED, 0, "upstream_rejected" },
        { NGX_COMPLETION_SUBMIT_UNKNOWN, 0, "outcome_unknown" },
        { NGX_COMPLETION_SUBMIT_UNAVAILABLE, 0, "upstream_unavailable" },
        { NGX_COMPLETION_SUBMIT_TIMEOUT, 0, "upstream_timeout" },
        { NGX_COMPLETION_SUBMIT_FULL, 0, "zone_full" },
        { NGX_COMPLETION_SUBMIT_MISMATCH, 0, "idempotency_mismatch" }
    };

    memset(&submit, 0, sizeof(submit));
    submit.service = &service;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        memset(&metrics, 0, sizeof(metrics));
        submit.outcome = t[i].outcome;
        submit.source = t[i].source;

        ngx_completion_meter_submit(&submit);

        label = counted(metrics.submits, ngx_completion_meter_submits,
                        NGX_COMPLETION_METRICS_SUBMITS);
        got = str(label ? label : "none");
        is_str(&got, t[i].label, t[i].label);
    }

    is_int(i, NGX_COMPLETION_METRICS_SUBMITS, "all of them");

    ngx_completion_meter_queued(&submit, 250);
    ngx_completion_meter_queued(&submit, 500);
    ok(metrics.queued == 2 && metrics.queued_time == 750, "waits in line");
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
    test_unreadable();
    test_submits();
    test_tokens();

    return tap_done();
}
