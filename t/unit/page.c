
/* The Prometheus text, and the clock of a request. */


#include "tap.h"
#include "http_shim.h"
#include "zone_shim.h"

#include <regex.h>
#include <stdlib.h>
#include "../../src/dialect/yandex/ngx_completion_yandex.h"


#define PREFIX  "nginx_completion_async_"


static ngx_pool_t                       *pool;
static ngx_http_request_t                r;
static ngx_http_completion_main_conf_t   cmcf;
static void                             *confs[1] = { &cmcf };
static ngx_completion_zone_t            *zone;
static ngx_completion_metrics_sh_t      *metrics;
static ngx_completion_service_t          services[40];
static ngx_completion_service_t         *pointers[40];


/* n providers, all of one zone */

static void
providers(ngx_uint_t n, const char *name)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        services[i].name = str(name);
        services[i].zone = zone;
        services[i].provider.credential.kind = &ngx_completion_yandex_api_key;
        pointers[i] = &services[i];
    }

    cmcf.services.elts = pointers;
    cmcf.services.nelts = n;
}


static ngx_int_t
scrape(void)
{
    shim_http_request(&r, pool);
    r.main_conf = confs;

    return ngx_http_completion_metrics_handler(&r);
}


/* that the text has the line, or nothing like it */

static void
has(const char *line, const char *name)
{
    char  text[1024];

    snprintf(text, sizeof(text), "\n" PREFIX "%s\n", line);
    ok(holds(&shim_http_body, text), name);
}


static void
has_not(const char *part, const char *name)
{
    ok(!holds(&shim_http_body, part), name);
}


static void
test_values(void)
{
    ngx_str_t  text;

    providers(1, "yandex");
    metrics->tokens[0] = 11;
    metrics->queued_time = 1050;
    metrics->accepted[NGX_COMPLETION_SOURCE_UPSTREAM] = 3;
    metrics->requests[NGX_COMPLETION_KIND_CANCEL]
                     [NGX_COMPLETION_METRICS_404] = 2;
    metrics->problems[NGX_COMPLETION_FORBIDDEN] = 5;
    metrics->finished[NGX_COMPLETION_COMPLETED] = 4;

    is_int(scrape(), NGX_OK, "a scrape");
    is_int(r.headers_out.status, 200, "its status");
    is_str(&r.headers_out.content_type,
           "text/plain; version=0.0.4; charset=utf-8", "its type");
    is_int(r.headers_out.content_length_n, shim_http_body.len, "its length");
    text = str(shim_http_headers);
    is_str(&text, "Cache-Control: no-store\n", "it is not kept");

    has("tokens_total{provider=\"yandex\",kind=\"input\"} 11", "a counter");
    has("tokens_total{provider=\"yandex\",kind=\"completion\"} 0",
        "one that is 0");
    has("cancels_total{provider=\"yandex\"} 0", "without a label");
    has("submits_total{provider=\"yandex\",result=\"accepted\"} 3",
        "of an operation's labels");
    has("upstream_requests_total{provider=\"yandex\",kind=\"cancel\","
        "code=\"404\"} 2", "with two labels");
    has("submit_queue_wait_seconds_total{provider=\"yandex\"} 1.05",
        "ms as seconds, without zeros behind");
    has("problems_total{provider=\"yandex\",code=\"forbidden\"} 5",
        "by a problem's code");
    has("operations_finished_total{provider=\"yandex\",state=\"completed\"} 4",
        "an end");
    has("submit_queue_limit{provider=\"yandex\"} 7", "what is configured");
    has("zone_size_bytes{provider=\"yandex\"} 65536", "bytes");
    has("build_info{version=\"" NGX_HTTP_COMPLETION_VERSION "\",nginx=\""
        NGINX_VERSION "\"} 1", "of which version, for which nginx");

    has_not("(null)", "problems that there are not are left out");
    has_not("code=\"\"", "nor have they an empty name");
    has_not("operations_finished_total{provider=\"yandex\",state=\"pending\"",
            "no operation ends as pending");
    has_not("\n" PREFIX "token_expiry_timestamp_seconds{",
            "without a token it does not expire");

    metrics->expiry = 1700000000;
    scrape();
    has_not("\n" PREFIX "token_expiry_timestamp_seconds{",
            "nor does a credential of now, whatever there was before");

    services[0].provider.credential.kind =
                                        &ngx_completion_yandex_metadata_token;
    scrape();
    has("token_expiry_timestamp_seconds{provider=\"yandex\"} 1700000000",
        "with one it does");
}


static void
test_histogram(void)
{
    ngx_completion_histogram_sh_t  *h;

    h = &metrics->upstream[NGX_COMPLETION_KIND_POLL];
    h->buckets[0] = 1;
    h->buckets[1] = 2;
    h->buckets[NGX_COMPLETION_METRICS_BOUNDS] = 4;
    h->sum = 480123;
    metrics->overhead[0].buckets[0] = 1;
    metrics->overhead[0].sum = 10;

    scrape();

#define POLLS  "upstream_request_duration_seconds"
#define POLL   "{provider=\"yandex\",kind=\"poll\""

    has(POLLS "_bucket" POLL ",le=\"0.005\"} 1", "a bucket");
    has(POLLS "_bucket" POLL ",le=\"0.01\"} 3", "holds those before");
    has(POLLS "_bucket" POLL ",le=\"120\"} 3", "to the last bound");
    has(POLLS "_bucket" POLL ",le=\"+Inf\"} 7", "all");
    has(POLLS "_count" POLL "} 7", "are counted");
    has(POLLS "_sum" POLL "} 480.123", "and summed up");

    has("gateway_overhead_seconds_bucket{provider=\"yandex\",kind=\"submit\","
        "le=\"0.00001\"} 1", "us as seconds");
    has("gateway_overhead_seconds_sum{provider=\"yandex\",kind=\"submit\"} "
        "0.00001", "as a sum");
}


/* each line is what the format allows, each family stands together */

static void
test_format(void)
{
    char        *p, *end, *text, family[128] = "";
    regex_t      comment, sample;
    ngx_uint_t   bad = 0, families = 0, samples = 0, foreign = 0;

    regcomp(&comment, "^# (HELP " PREFIX "[a-z_]+ [^ ].*|"
            "TYPE " PREFIX "[a-z_]+ (counter|gauge|histogram))$",
            REG_EXTENDED|REG_NOSUB);
    regcomp(&sample, "^" PREFIX "[a-z_]+\\{[a-z]+=\"([^\"\\\\]|\\\\[\"n\\\\])*\""
            "(,[a-z]+=\"[^\"\\\\]*\")*\\} [0-9]+(\\.[0-9]*[1-9])?$",
            REG_EXTENDED|REG_NOSUB);

    providers(40, "a \"b\" \\c\nd");
    is_int(scrape(), NGX_OK, "many providers of an odd name");
    is_int(r.headers_out.content_length_n, shim_http_body.len,
           "the length of all buffers");

    text = strndup((char *) shim_http_body.data, shim_http_body.len);

    for (p = text; *p; p = end + 1) {
        end = strchr(p, '\n');
        *end = '\0';

        if (*p == '#') {
            bad += (regexec(&comment, p, 0, NULL, 0) != 0);

            if (strncmp(p, "# TYPE ", 7) == 0) {
                snprintf(family, sizeof(family), "%.*s",
                         (int) (strrchr(p, ' ') - p - 7), p + 7);
                families++;
            }

        } else {
            bad += (regexec(&sample, p, 0, NULL, 0) != 0);
            foreign += (strncmp(p, family, strlen(family)) != 0);
            samples++;
        }
    }

    is_int(bad, 0, "each line is well formed");
    is_int(foreign, 0, "and stands with its family");
    ok(families > 20 && samples > 40 * families, "there are many");

    free(text);
    regfree(&comment);
    regfree(&sample);

    has("cancels_total{provider=\"a \\\"b\\\" \\\\c\\nd\"} 0",
        "the name is escaped");
}


static void
test_names(void)
{
    char  *name;

    /* longer than a line's room, and than half a buffer */

    name = malloc(10001);
    memset(name, '"', 10000);
    name[10000] = '\0';

    providers(1, name);
    is_int(scrape(), NGX_OK, "a long name");
    is_int(r.headers_out.content_length_n, shim_http_body.len, "fits in");
    free(name);

    providers(0, NULL);
    is_int(scrape(), NGX_OK, "no provider");
    is_int(r.headers_out.content_length_n, shim_http_body.len,
           "has families without samples");
    has_not("provider=", "all of them");
}


static void
test_requests(void)
{
    ngx_str_t           text;
    ngx_http_request_t  main;

    providers(1, "yandex");

    shim_http_request(&r, pool);
    r.main_conf = confs;
    r.method = NGX_HTTP_POST;
    is_int(ngx_http_completion_metrics_handler(&r), NGX_HTTP_NOT_ALLOWED,
           "a POST");
    text = str(shim_http_headers);
    is_str(&text, "Allow: GET, HEAD\n", "is told what is allowed");

    shim_http_request(&r, pool);
    r.main_conf = confs;
    r.method = NGX_HTTP_HEAD;
    is_int(ngx_http_completion_metrics_handler(&r), NGX_OK, "a HEAD");
    ok(shim_http_bodies == 0 && r.headers_out.content_length_n > 1000,
       "has the length, and no body");

    shim_http_request(&r, pool);
    r.main_conf = confs;
    r.headers_in.content_length_n = 1;
    is_int(ngx_http_completion_metrics_handler(&r), NGX_HTTP_BAD_REQUEST,
           "a body that cannot be discarded");

    shim_http_request(&r, pool);
    r.main_conf = confs;
    r.main = &main;
    is_int(ngx_http_completion_metrics_handler(&r), NGX_OK, "a subrequest");
    is_int(shim_http_bodies, 1, "whose last buffer is not the last");
}


static void
test_memory(void)
{
    char         name[129];
    size_t       len;
    ngx_int_t    rc;
    ngx_uint_t   n, bad = 0;
    ngx_pool_t  *main_pool = pool;

    /* buffers end wherever in the text a name's length makes them end */

    for (len = 1; len < sizeof(name); len++) {
        memset(name, 'a', len);
        name[len] = '\0';
        providers(1, name);

        for (n = 1; n < 100; n++) {
            pool = ngx_create_pool(1024, &shim_log);
            shim_http_request(&r, pool);
            r.main_conf = confs;

            shim_allocations = 0;
            shim_fail_at = n;
            rc = ngx_http_completion_metrics_handler(&r);
            shim_fail_at = 0;

            ngx_destroy_pool(pool);

            if (shim_allocations < n) {
                break;
            }

            bad += (rc != NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        bad += (rc != NGX_OK || n < 6 || n == 100);
    }

    is_int(bad, 0, "without memory there is no page");

    pool = ngx_create_pool(1024, &shim_log);
    shim_http_request(&r, pool);
    r.method = NGX_HTTP_DELETE;
    shim_allocations = 0;
    shim_fail_at = 1;
    is_int(ngx_http_completion_metrics_handler(&r),
           NGX_HTTP_INTERNAL_SERVER_ERROR, "nor a word on methods");
    shim_fail_at = 0;
    ngx_destroy_pool(pool);

    pool = main_pool;
}


static void
test_clock(void)
{
    ngx_uint_t                       before, spent;
    ngx_http_completion_ctx_t        ctx;
    ngx_http_completion_loc_conf_t   conf;

    memset(&ctx, 0, sizeof(ctx));
    memset(&conf, 0, sizeof(conf));
    conf.service = &services[0];
    ctx.conf = &conf;
    ctx.action = NGX_COMPLETION_FACE_SUBMIT;

    ngx_http_completion_clock_stop(&ctx);
    is_int(ctx.spent, 0, "a clock that stands does not stop");

    ngx_http_completion_clock_start(&ctx);
    usleep(2000);
    ngx_http_completion_clock_stop(&ctx);
    spent = ctx.spent;
    ok(spent >= 2000 && spent < 60000000, "what it ran, in us");

    usleep(2000);
    ngx_http_completion_clock_stop(&ctx);
    is_int(ctx.spent, spent, "while it stands no time is spent");

    before = metrics->overhead[0].sum;
    ngx_http_completion_clock_start(&ctx);
    ngx_http_completion_clock_end(&ctx);
    ok(ctx.spent >= spent && metrics->overhead[0].sum - before == ctx.spent,
       "its end is a submit's");

    ctx.action = NGX_COMPLETION_FACE_READ;
    before = metrics->overhead[1].sum;
    ngx_http_completion_clock_end(&ctx);
    is_int(metrics->overhead[1].sum - before, ctx.spent, "or another's");
}


int
main(void)
{
    static ngx_str_t        name = ngx_string("operations");
    static ngx_conf_t       cf;
    static ngx_cycle_t      cycle;
    static ngx_slab_stat_t  stats[9];

    pool = ngx_create_pool(1024, &shim_log);
    cf.pool = pool;
    cycle.log = &shim_log;
    ngx_cycle = &cycle;

    zone = ngx_completion_zone_add(&cf, &name, 65536, &cycle);
    zone->poll_rate.n = 50;
    zone->poll_rate.unit = 1000;
    zone->submit_queue = 7;
    zone->shm_zone->init(zone->shm_zone, NULL);
    shim_slab.min_shift = 3;
    shim_slab.stats = stats;
    metrics = zone->metrics;

    test_values();
    test_histogram();
    test_format();
    test_names();
    test_requests();
    test_memory();
    test_clock();

    shim_slab_reset(0);
    ngx_destroy_pool(pool);
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
