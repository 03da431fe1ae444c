
/* From a request's headers to what it is answered with, and when. */


#include "tap.h"
#include "http_shim.h"


#define NOW  ((ngx_msec_t) 100000)


static ngx_pool_t                      *pool;
static ngx_http_request_t               r;
static ngx_http_completion_ctx_t        ctx;
static ngx_http_completion_loc_conf_t   clcf;


static ngx_int_t
negotiate(const char *accept, const char *prefer)
{
    shim_http_request(&r, pool);
    memset(&ctx, 0, sizeof(ctx));

    shim_http_header(&r, "Host", "localhost");

    if (accept) {
        shim_http_header(&r, "aCCept", accept);
    }

    if (prefer) {
        shim_http_header(&r, "prefer", prefer);
    }

    ctx.conf = &clcf;

    return ngx_http_completion_negotiate(&r, &ctx);
}


static void
is_held(const char *prefer, ngx_msec_t ms, const char *name)
{
    ok(negotiate(NULL, prefer) == NGX_OK
       && ctx.wait_until == (ms ? NOW + ms : 0), name);
}


static void
test_format(void)
{
    is_int(negotiate(NULL, NULL), NGX_OK, "no Accept");
    is_int(ctx.format, NGX_COMPLETION_FACE_JSON, "is JSON");
    negotiate("text/plain", NULL);
    is_int(ctx.format, NGX_COMPLETION_FACE_TEXT, "text");
    negotiate("text/event-stream", NULL);
    is_int(ctx.format, NGX_COMPLETION_FACE_STREAM, "a stream");
    is_int(negotiate("image/png", NULL), NGX_DECLINED, "nothing acceptable");
}


static void
test_wait(void)
{
    clcf.wait_max = 55000;
    clcf.wait_default = 0;

    is_held(NULL, 0, "no Prefer: at once");
    is_held("wait=10", 10000, "ten seconds");
    is_held("wait=100", 55000, "as long as may be");
    is_int(ctx.prefer.seconds, 55, "which the answer says");
    is_held("wait=0", 0, "none");
    is_held("respond-async", 0, "at once");
    is_held("respond-async, wait=10", 10000, "that after ten seconds");

    clcf.wait_default = 5000;

    is_held(NULL, 5000, "the default");
    is_held("respond-async", 0, "is not for who says so");
    is_held("wait=0", 0, "nor for who says otherwise");
    is_held("wait=10", 10000, "whichever is longer");
    is_held("return=minimal", 5000, "but for who speaks of something else");

    clcf.wait_max = 0;
    is_held("wait=10", 0, "no waiting here");
}


static void
test_subrequest(void)
{
    ngx_http_request_t  main;

    clcf.wait_max = 55000;

    negotiate("text/event-stream", "wait=10");
    r.main = &main;
    memset(&ctx, 0, sizeof(ctx));
    ctx.conf = &clcf;

    is_int(ngx_http_completion_negotiate(&r, &ctx), NGX_OK,
           "a subrequest");
    is_int(ctx.format, NGX_COMPLETION_FACE_JSON, "has no stream");
    ok(ctx.wait_until == 0 && !ctx.prefer.wait, "and no wait");
}


static void
test_headers(void)
{
    char           text[301] = "";
    ngx_int_t      rc;
    ngx_str_t      value;
    shim_hunger_t  hunger = { 0 };

    shim_http_request(&r, pool);
    is_int(ngx_http_completion_header(&r, "accept", &value), NGX_OK,
           "of no header");
    ok(value.len == 0, "nothing");

    shim_http_header(&r, "Accept", "text/plain;q=0.5");
    shim_http_header(&r, "Accept-Language", "ru");
    shim_http_header(&r, "X-Accept", "no");
    ngx_http_completion_header(&r, "accept", &value);
    is_str(&value, "text/plain;q=0.5", "one");

    shim_http_header(&r, "ACCEPT", "application/json");
    shim_http_header(&r, "accept", "");
    ngx_http_completion_header(&r, "accept", &value);
    is_str(&value, "text/plain;q=0.5, application/json, ", "three in a list");

    is_int(ngx_http_completion_negotiate(&r, &ctx), NGX_OK,
           "which is read");
    is_int(ctx.format, NGX_COMPLETION_FACE_JSON, "as one");

    memset(text, 'a', sizeof(text) - 1);
    shim_http_header(&r, "accept", text);
    ngx_http_completion_header(&r, "accept", &value);
    is_int(value.len, 36 + 2 + 300, "a long one behind");

    while (shim_starves(&hunger)) {
        rc = ngx_http_completion_negotiate(&r, &ctx);
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries > 2 && !hunger.bad, "without memory they are not read");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);
    ngx_current_msec = NOW;

    test_format();
    test_wait();
    test_subrequest();
    test_headers();

    ngx_destroy_pool(pool);
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
