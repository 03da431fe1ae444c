
/* What a request is after, by its path and method. */


#include "tap.h"
#include "http_shim.h"


#define SUBMIT  NGX_COMPLETION_FACE_SUBMIT
#define READ    NGX_COMPLETION_FACE_READ
#define CANCEL  NGX_COMPLETION_FACE_CANCEL

#define NOT_FOUND    NGX_COMPLETION_OPERATION_NOT_FOUND
#define NOT_ALLOWED  NGX_COMPLETION_METHOD_NOT_ALLOWED


static ngx_pool_t                      *pool;
static ngx_str_t                        id;
static ngx_uint_t                       shape;
static ngx_http_request_t               r;
static ngx_completion_outcome_e         outcome;
static ngx_completion_face_action_e     action;
static ngx_http_completion_loc_conf_t   conf;


static ngx_int_t
routed(ngx_uint_t method, const char *uri)
{
    shim_http_request(&r, pool);

    r.method = method;
    r.uri = str(uri);
    id = str("");

    return ngx_http_completion_route(&r, &conf, &action, &shape, &id,
                                     &outcome);
}


static void
leads(ngx_uint_t method, const char *uri, ngx_completion_face_action_e to,
    const char *expected)
{
    ok(routed(method, uri) == NGX_OK && action == to, uri);
    is_str(&id, expected, "... its id");
}


static void
fails(ngx_uint_t method, const char *uri, ngx_completion_outcome_e expected,
    const char *headers)
{
    ngx_str_t  got;

    ok(routed(method, uri) == NGX_DECLINED && outcome == expected, uri);
    got = str(shim_http_headers);
    is_str(&got, headers, "... its headers");
}


static void
test_location(void)
{
    conf.prefix = str("/t");
    conf.prefixed = 1;
    conf.submits = 1;

    leads(NGX_HTTP_POST, "/t", SUBMIT, "");
    leads(NGX_HTTP_POST, "/t/", SUBMIT, "");
    leads(NGX_HTTP_GET, "/t/operations/abc", READ, "abc");
    leads(NGX_HTTP_HEAD, "/t/operations/abc", READ, "abc");
    leads(NGX_HTTP_DELETE, "/t/operations/abc", CANCEL, "abc");
    leads(NGX_HTTP_POST, "/t/operations/abc:cancel", CANCEL, "abc");
    leads(NGX_HTTP_GET, "/t/operations/:cancel", READ, ":cancel");

    fails(NGX_HTTP_GET, "/t", NOT_ALLOWED, "Allow: POST, OPTIONS\n");
    fails(NGX_HTTP_POST, "/t/operations/abc", NOT_ALLOWED,
          "Allow: GET, HEAD, DELETE, OPTIONS\n");
    fails(NGX_HTTP_GET, "/t/operations/abc:cancel", NOT_ALLOWED,
          "Allow: POST, OPTIONS\n");
    fails(NGX_HTTP_PUT, "/t/", NOT_ALLOWED, "Allow: POST, OPTIONS\n");

    fails(NGX_HTTP_GET, "/t/operations/", NOT_FOUND, "");
    fails(NGX_HTTP_GET, "/t/operations", NOT_FOUND, "");
    fails(NGX_HTTP_GET, "/t/operationsabc", NOT_FOUND, "");
    fails(NGX_HTTP_POST, "/t/x", NOT_FOUND, "");
    fails(NGX_HTTP_POST, "/", NOT_FOUND, "");
    fails(NGX_HTTP_POST, "/u/", NOT_FOUND, "");

    is_int(routed(NGX_HTTP_OPTIONS, "/t"), NGX_DONE, "OPTIONS");
    id = str(shim_http_headers);
    is_str(&id, "Allow: POST, OPTIONS\n", "says what is allowed");
}


static void
test_operations(void)
{
    conf.submits = 0;
    conf.prefix = str("/o");

    leads(NGX_HTTP_GET, "/o/abc", READ, "abc");
    leads(NGX_HTTP_POST, "/o/abc:cancel", CANCEL, "abc");
    fails(NGX_HTTP_POST, "/o", NOT_FOUND, "");
    fails(NGX_HTTP_POST, "/o/", NOT_FOUND, "");
    fails(NGX_HTTP_POST, "/o/abc", NOT_ALLOWED,
          "Allow: GET, HEAD, DELETE, OPTIONS\n");
}


static void
test_elsewhere(void)
{
    conf.submits = 1;
    conf.prefixed = 0;

    leads(NGX_HTTP_POST, "/anything", SUBMIT, "");
    fails(NGX_HTTP_GET, "/t/operations/abc", NOT_ALLOWED,
          "Allow: POST, OPTIONS\n");
}


/* "Allow" of another location, from where an "error_page" led here */

static void
test_anew(void)
{
    ngx_table_elt_t  header[2];

    memset(header, 0, sizeof(header));
    header[0].key = str("allow");
    header[0].hash = 1;
    header[1].key = str("Vary");
    header[1].hash = 1;

    shim_http_request(&r, pool);
    r.method = NGX_HTTP_POST;
    r.uri = str("/");
    r.headers_out.headers.part.elts = header;
    r.headers_out.headers.part.nelts = 2;

    ngx_http_completion_route(&r, &conf, &action, &shape, &id, &outcome);
    is_int(header[0].hash, 1, "a request's own stays");

    r.internal = 1;

    ngx_http_completion_route(&r, &conf, &action, &shape, &id, &outcome);
    is_int(header[0].hash, 0, "of one led here it goes");
    is_int(header[1].hash, 1, "and nothing else");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);
    conf.face = &ngx_completion_native;

    test_location();
    test_operations();
    test_elsewhere();
    test_anew();

    ngx_destroy_pool(pool);
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
