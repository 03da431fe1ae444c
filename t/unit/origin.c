
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/base/ngx_completion_fetch.h"

#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>


static ngx_conf_t               cf;
static ngx_completion_origin_t  origin;


static char *
parse(const char *text)
{
    ngx_str_t  url = str(text);

    memset(&origin, 0, sizeof(origin));

    return ngx_completion_origin_parse(&cf, &url, &origin);
}


static char *
proxy(const char *text)
{
    ngx_str_t  url = str(text);

    return ngx_completion_origin_proxy(&cf, &url, &origin);
}


static void
test_good(void)
{
    size_t  i;

    static const struct {
        const char  *url;
        const char  *host;
        int          port;
        unsigned     tls;
    } t[] = {
        { "http://host", "host", 80, 0 },
        { "https://host/a/b", "host", 443, 1 },
        { "HTTPS://Ho-s_t.x:8443/", "Ho-s_t.x", 8443, 1 },
        { "http://127.0.0.1:8099/operations", "127.0.0.1", 8099, 0 },
        { "http://0.0.0.0/", "0.0.0.0", 80, 0 },
        { "http://[::1]", "::1", 80, 0 },
        { "http://[2001:db8::1]:65535/", "2001:db8::1", 65535, 0 },
        { "http://[::ffff:1.2.3.4]/", "::ffff:1.2.3.4", 80, 0 },
        { "http://1.2.3.4x/", "1.2.3.4x", 80, 0 },
        { "http://7up.example/", "7up.example", 80, 0 },
        { "http://10gw/", "10gw", 80, 0 },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ok(parse(t[i].url) == NULL && origin.port == t[i].port
           && origin.tls == t[i].tls, t[i].url);
        is_str(&origin.host, t[i].host, "... its host");
    }
}


static void
test_bad(void)
{
    char        text[300];
    char       *err;
    size_t      i;
    ngx_str_t   got;

    static const struct {
        const char  *url;
        const char  *err;
    } t[] = {
        { "", "the URL must start with \"http://\" or \"https://\" "
              "and name a host" },
        { "http://", "the URL must start with \"http://\" or \"https://\" "
                     "and name a host" },
        { "ftp://host", "the URL must start with \"http://\" or \"https://\" "
                        "and name a host" },
        { "http://ho st", "the URL has an invalid character" },
        { "http://host\\x", "the URL has an invalid character" },
        { "http://\xd0\x96", "the URL has an invalid character" },
        { "http://host/?q", "the URL must not have a query" },
        { "http://host/#f", "the URL must not have a fragment" },
        { "http://u:p@host/", "the URL must not have credentials" },
        { "http://[::1", "the URL has an invalid IPv6 address" },
        { "http://[x]", "the URL has an invalid IPv6 address" },
        { "http://[::1]x", "the URL has an invalid port" },
        { "http:///x", "the URL has an invalid host" },
        { "http://:80/", "the URL has an invalid host" },
        { "http://ho%73t/", "the URL has an invalid host" },
        { "http://host./", "the host of the URL must not end with a dot" },
        { "http://host:/", "the URL has an invalid port" },
        { "http://host:0/", "the URL has an invalid port" },
        { "http://host:65536/", "the URL has an invalid port" },
        { "http://host:8x/", "the URL has an invalid port" },
        { "http://127.1/", "the URL has an invalid IPv4 address" },
        { "http://2130706433/", "the URL has an invalid IPv4 address" },
        { "http://0x7f.0x1/", "the URL has an invalid IPv4 address" },
        { "http://010.0.0.1/", "the URL has an invalid IPv4 address" },
        { "http://1.2.3.256/", "the URL has an invalid IPv4 address" },
        { "http://host.1/", "the URL has an invalid IPv4 address" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        err = parse(t[i].url);
        got = str(err ? err : "no error");
        is_str(&got, t[i].err, t[i].url);
    }

    memset(text, 'h', sizeof(text));
    memcpy(text, "http://", 7);
    text[7 + 253] = '\0';
    ok(parse(text) == NULL, "a host of 253 characters");
    text[7 + 253] = 'h';
    text[7 + 254] = '\0';
    ok(parse(text) != NULL, "and of 254");
}


static void
test_proxy(void)
{
    parse("https://host/");

    ok(proxy("http://proxy") == NULL && origin.peer_port == 80, "a proxy");
    is_str(&origin.proxy, "http://proxy:80", "its port spelt out");
    ok(proxy("http://[::1]:3128/") == NULL, "a proxy of IPv6");
    is_str(&origin.proxy, "http://[::1]:3128", "in its brackets");

    ok(proxy("https://proxy") != NULL, "a proxy of https");
    ok(proxy("http://proxy/x") != NULL, "a proxy with a path");
    ok(proxy("proxy:3128") != NULL, "a proxy without a scheme");
}


static ngx_int_t
init(const char *url, const char *through, ngx_resolver_t *resolver)
{
    parse(url);

    if (through) {
        proxy(through);
    }

    return ngx_completion_origin_init(&cf, &origin, resolver, 5000);
}


static void
test_init(void)
{
    ngx_uint_t      id;
    ngx_resolver_t  resolver;

    memset(&resolver, 0, sizeof(resolver));

    is_int(init("http://127.0.0.1/", NULL, NULL), NGX_OK, "an address");
    ok(origin.literal && origin.peer_port == 80, "needs no look-up");
    id = origin.id;

    is_int(init("http://[::1]:81/", NULL, NULL), NGX_OK, "an IPv6 address");
    ok(origin.literal && origin.peer_port == 81, "neither");
    ok(origin.id != id, "each has a number of its own");

    is_int(init("http://localhost/", NULL, NULL), NGX_OK, "a name");
    ok(!origin.literal && origin.naddresses == 1, "looked up now");
    is_str(&origin.addresses[0], "127.0.0.1", "its address");

    is_int(init("http://absent.invalid/", NULL, NULL), NGX_ERROR,
           "an unknown name");
    ok(strcmp(shim_log_text, "host not found \"absent.invalid\", with a "
              "\"resolver\" in the http block it is looked up when it is "
              "needed") == 0,
       "is logged");

    is_int(init("http://x.example/", NULL, &resolver), NGX_ERROR,
           "a resolver without name servers is none");
    resolver.connections.nelts = 1;
    is_int(init("http://x.example/", NULL, &resolver), NGX_OK,
           "a name for the resolver");
    ok(origin.resolver == &resolver && origin.resolver_timeout == 5000,
       "is looked up later");
    is_int(init("http://LocalHost/", NULL, &resolver), NGX_OK, "localhost");
    ok(origin.resolver == NULL, "is not the resolver's");

    is_int(init("http://absent.invalid/", "http://127.0.0.1:3128", NULL),
           NGX_OK, "behind a proxy only that one's address counts");
    ok(origin.literal && origin.peer_port == 3128, "the proxy's");
}


static void
test_head(void)
{
    size_t  i;

    static const struct {
        const char  *url;
        const char  *through;
        const char  *target;
        const char  *host;
    } t[] = {
        { "http://127.0.0.1", NULL, "/", "127.0.0.1" },
        { "https://127.0.0.1:443/a/../b", NULL, "/b", "127.0.0.1" },
        { "http://127.0.0.1:443/b/", NULL, "/b/", "127.0.0.1:443" },
        { "https://[::1]/", NULL, "/", "[::1]" },
        { "http://[::1]:81/", NULL, "/", "[::1]:81" },
        { "http://host:80/b", "http://127.0.0.1:3128", "http://host/b",
          "host" },
        { "http://host:81/", "http://127.0.0.1:3128", "http://host:81/",
          "host:81" },
        { "https://host/b", "http://127.0.0.1:3128", "/b", "host" }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char  head[200];

        memset(&origin, 0, sizeof(origin));
        is_int(init(t[i].url, t[i].through, NULL), NGX_OK, t[i].url);
        is_str(&origin.target, t[i].target, "its target");

        snprintf(head, sizeof(head), " HTTP/1.1\r\nHost: %s\r\n"
                 "Accept: */*\r\nAccept-Encoding: identity", t[i].host);
        is_str(&origin.head, head, "its head");
    }
}


static void
write_certificate(const char *name)
{
    FILE      *file;
    X509      *x509 = X509_new();
    EVP_PKEY  *key = EVP_RSA_gen(1024);

    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 60);
    X509_set_pubkey(x509, key);
    X509_sign(x509, key, EVP_sha256());

    file = fopen(name, "w");
    PEM_write_X509(file, x509);
    fclose(file);

    X509_free(x509);
    EVP_PKEY_free(key);
}


static void
test_certificate(void)
{
    int    fd;
    char   name[] = "/tmp/completion-origin-XXXXXX";

    fd = mkstemp(name);

    parse("https://127.0.0.1/");
    origin.trusted_certificate = str(name);
    is_int(ngx_completion_origin_init(&cf, &origin, NULL, 0), NGX_ERROR,
           "an empty file");
    ok(strstr(shim_log_text, "no PEM certificate in") != NULL, "is logged");

    write_certificate(name);
    is_int(ngx_completion_origin_init(&cf, &origin, NULL, 0), NGX_OK,
           "a certificate");

    close(fd);
    unlink(name);
    is_int(ngx_completion_origin_init(&cf, &origin, NULL, 0), NGX_ERROR,
           "no such file");
    ok(strstr(shim_log_text, "cannot open trusted certificate") != NULL,
       "is logged");
}


static void
test_memory(void)
{
    ngx_uint_t  n, bad = 0;

    for (n = 1; n < 10; n++) {
        shim_allocations = 0;
        shim_fail_at = n;
        bad += (parse("http://host/") == NULL) != (n > shim_allocations);

        shim_allocations = 0;
        bad += (proxy("http://host/") == NULL) != (n > shim_allocations);

        shim_fail_at = 0;
        parse("http://localhost/");
        shim_allocations = 0;
        shim_fail_at = n;
        bad += (ngx_completion_origin_init(&cf, &origin, NULL, 0) == NGX_OK)
               != (n > shim_allocations);
    }

    shim_fail_at = 0;
    ok(!bad, "without memory");

    parse("http://127.0.0.1/");
    origin.trusted_certificate = str("/none.pem");
    shim_log_lines = 0;
    shim_allocations = 0;
    shim_fail_at = 1;
    is_int(ngx_completion_origin_init(&cf, &origin, NULL, 0), NGX_ERROR,
           "without memory for a file's name");
    shim_fail_at = 0;
    is_int(shim_log_lines, 0, "it is not opened");
}


int
main(void)
{
    cf.pool = ngx_create_pool(1024, &shim_log);

    test_good();
    test_bad();
    test_proxy();
    test_init();
    test_head();
    test_certificate();
    test_memory();

    ngx_destroy_pool(cf.pool);

    return tap_done();
}
