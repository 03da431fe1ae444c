
/*
 * URLs and rates of the configuration: a byte that picks, then the value.
 * A URL that we take is one to libcurl, who is to use it, and means the same
 * host and port; a rate is a number from 1 to 100000 and a unit.
 */


#include "fuzz.h"

#include "../../src/base/ngx_completion_fetch.h"
#include "../../src/store/ngx_completion_quota.h"

#include <ctype.h>
#include <curl/curl.h>


static void
check_part(CURLU *url, CURLUPart part, const char *expected, size_t len)
{
    char  *value;

    HOLDS(curl_url_get(url, part, &value, CURLU_DEFAULT_PORT) == CURLUE_OK);
    HOLDS(strlen(value) == len && strncasecmp(value, expected, len) == 0);
    curl_free(value);
}


static void
check_curl(const char *text, ngx_str_t *host, in_port_t port, ngx_uint_t tls)
{
    int      len;
    char    *value, expected[512];
    CURLU   *url;
    u_char   ours[16], theirs[16];

    url = curl_url();
    HOLDS(curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK);

    check_part(url, CURLUPART_SCHEME, tls ? "https" : "http", 4 + tls);

    len = sprintf(expected, "%d", port);
    check_part(url, CURLUPART_PORT, expected, len);

    /* libcurl spells an IPv6 address anew */

    if (memchr(host->data, ':', host->len)) {
        HOLDS(curl_url_get(url, CURLUPART_HOST, &value, 0) == CURLUE_OK);
        HOLDS(ngx_inet6_addr((u_char *) value + 1, strlen(value) - 2, theirs)
              == NGX_OK);
        HOLDS(ngx_inet6_addr(host->data, host->len, ours) == NGX_OK);
        HOLDS(memcmp(ours, theirs, 16) == 0);
        curl_free(value);

    } else {
        check_part(url, CURLUPART_HOST, (char *) host->data, host->len);
    }

    HOLDS(curl_url_get(url, CURLUPART_USER, (char **) expected, 0)
          == CURLUE_NO_USER);
    HOLDS(curl_url_get(url, CURLUPART_QUERY, (char **) expected, 0)
          == CURLUE_NO_QUERY);
    HOLDS(curl_url_get(url, CURLUPART_FRAGMENT, (char **) expected, 0)
          == CURLUE_NO_FRAGMENT);

    curl_url_cleanup(url);
}


static void
check_url(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_completion_origin_t  o;

    memset(&o, 0, sizeof(ngx_completion_origin_t));

    if (ngx_completion_origin_parse(cf, value, &o) == NULL) {
        HOLDS(fuzz_equal(&o.url, value) && o.url.data[o.url.len] == '\0');
        HOLDS(o.host.data[o.host.len] == '\0');
        check_curl((char *) o.url.data, &o.host, o.port, o.tls);
    }

    if (ngx_completion_origin_proxy(cf, value, &o) == NULL) {
        HOLDS(o.proxy.data[o.proxy.len] == '\0');
        check_curl((char *) o.proxy.data, &o.peer, o.peer_port, 0);
    }
}


static void
check_rate(ngx_conf_t *cf, ngx_str_t *value)
{
    char                   *end, *err, text[32];
    long                    n = 0;
    ngx_uint_t              good;
    ngx_completion_rate_t   rate;

    (void) cf;

    memset(&rate, 0, sizeof(ngx_completion_rate_t));
    err = ngx_completion_rate_parse(value, &rate);

    good = value->len < sizeof(text) && memchr(value->data, '\0', value->len)
                                        == NULL;

    if (good) {
        sprintf(text, "%.*s", (int) value->len, value->data);
        n = strtol(text, &end, 10);
        good = isdigit(text[0]) && n >= 1 && n <= 100000
               && (strcmp(end, "r/s") == 0 || strcmp(end, "r/m") == 0
                   || strcmp(end, "r/h") == 0);
    }

    /* leading zeros make it as long as one likes */

    HOLDS(!good || err == NULL);
    HOLDS(err || good || value->len >= sizeof(text));
    HOLDS(err || (rate.n >= 1 && rate.n <= 100000
                  && (!good || rate.n == (ngx_uint_t) n)
                  && (rate.unit == 1000 || rate.unit == 60000
                      || rate.unit == 3600000)));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char      first;
    ngx_str_t   value;
    ngx_conf_t  cf;

    memset(&cf, 0, sizeof(ngx_conf_t));
    cf.pool = ngx_create_pool(1024, &shim_log);

    first = fuzz_byte(&data, &size);
    value = fuzz_copy(cf.pool, data, size);

    if (first & 1) {
        check_rate(&cf, &value);

    } else {
        check_url(&cf, &value);
    }

    ngx_destroy_pool(cf.pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
