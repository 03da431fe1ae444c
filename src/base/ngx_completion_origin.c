
/*
 * Origins: where to connect, and how.  All of it happens while the
 * configuration is read, in the master process.
 */


#include "ngx_completion_fetch.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/pem.h>


/* of a name, bytes */
#define NGX_COMPLETION_HOST_MAX  253

#define NGX_COMPLETION_ORIGIN_HEAD   " HTTP/1.1" CRLF "Host: "
#define NGX_COMPLETION_ORIGIN_LINES                                           \
    CRLF "Accept: */*" CRLF "Accept-Encoding: identity"


typedef struct {
    ngx_str_t   host;
    ngx_str_t   path;
    in_port_t   port;
    unsigned    tls:1;
} ngx_completion_origin_url_t;


static void ngx_completion_origin_cleanup(void *data);
static ngx_int_t ngx_completion_origin_request(ngx_conf_t *cf,
    ngx_completion_origin_t *o);
static char *ngx_completion_origin_split(ngx_str_t *url,
    ngx_completion_origin_url_t *u);
static char *ngx_completion_origin_authority(u_char *p, u_char *last,
    ngx_completion_origin_url_t *u);
static char *ngx_completion_origin_number(ngx_str_t *host);
static ngx_int_t ngx_completion_origin_copy(ngx_conf_t *cf, ngx_str_t *dst,
    ngx_str_t *src);
static ngx_int_t ngx_completion_origin_resolve(ngx_conf_t *cf,
    ngx_completion_origin_t *o);
static ngx_int_t ngx_completion_origin_certificate(ngx_conf_t *cf,
    ngx_completion_origin_t *o);


/* counts on over reloads, so that a worker never takes one for another */
static ngx_uint_t  ngx_completion_origin_count;


char *
ngx_completion_origin_parse(ngx_conf_t *cf, ngx_str_t *url,
    ngx_completion_origin_t *o)
{
    char                         *err;
    CURLU                        *parts;
    CURLUcode                     rc;
    ngx_pool_cleanup_t           *cln;
    ngx_completion_origin_url_t   u;

    err = ngx_completion_origin_split(url, &u);
    if (err) {
        return err;
    }

    if (ngx_completion_origin_copy(cf, &o->url, url) != NGX_OK
        || ngx_completion_origin_copy(cf, &o->host, &u.host) != NGX_OK)
    {
        return "no memory";
    }

    o->port = u.port;
    o->tls = u.tls;

    parts = curl_url();
    if (parts == NULL) {
        return "no memory";
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        curl_url_cleanup(parts);
        return "no memory";
    }

    cln->handler = ngx_completion_origin_cleanup;
    cln->data = parts;
    o->parts = parts;

    rc = curl_url_set(parts, CURLUPART_URL, (char *) o->url.data, 0);

    return (rc == CURLUE_OK) ? NULL : "libcurl does not accept the URL";
}


static void
ngx_completion_origin_cleanup(void *data)
{
    curl_url_cleanup(data);
}


char *
ngx_completion_origin_proxy(ngx_conf_t *cf, ngx_str_t *url,
    ngx_completion_origin_t *o)
{
    char                         *err;
    u_char                       *p;
    ngx_uint_t                    in6;
    ngx_completion_origin_url_t   u;

    err = ngx_completion_origin_split(url, &u);
    if (err) {
        return err;
    }

    if (u.tls) {
        return "a proxy is spoken to in http, write \"http://host:port\"";
    }

    if (u.path.len > 1) {
        return "the URL of a proxy has no path, write \"http://host:port\"";
    }

    if (ngx_completion_origin_copy(cf, &o->peer, &u.host) != NGX_OK) {
        return "no memory";
    }

    o->peer_port = u.port;

    p = ngx_pnalloc(cf->pool, u.host.len + sizeof("http://[]:65535"));
    if (p == NULL) {
        return "no memory";
    }

    /* libcurl's default port of a proxy is 1080: it is always spelt out */

    in6 = (ngx_strlchr(u.host.data, u.host.data + u.host.len, ':') != NULL);

    o->proxy.data = p;
    o->proxy.len = ngx_sprintf(p, "http://%s%V%s:%d%Z", in6 ? "[" : "",
                               &u.host, in6 ? "]" : "", (int) u.port)
                   - p - 1;

    return NULL;
}


char *
ngx_completion_origin_host(ngx_conf_t *cf, ngx_str_t *text,
    ngx_completion_origin_t *o)
{
    char                         *err;
    ngx_completion_origin_url_t   u;

    ngx_memzero(&u, sizeof(ngx_completion_origin_url_t));
    u.port = o->port;

    err = ngx_completion_origin_authority(text->data, text->data + text->len,
                                          &u);
    if (err) {
        return err;
    }

    o->port = u.port;

    return (ngx_completion_origin_copy(cf, &o->host, &u.host) == NGX_OK)
               ? NULL : "no memory";
}


ngx_int_t
ngx_completion_origin_init(ngx_conf_t *cf, ngx_completion_origin_t *o,
    ngx_resolver_t *resolver, ngx_msec_t resolver_timeout)
{
    u_char  in6[16];

    o->id = ++ngx_completion_origin_count;

    if (o->proxy.len == 0) {
        o->peer = o->host;
        o->peer_port = o->port;
    }

    if (ngx_completion_origin_certificate(cf, o) != NGX_OK
        || (o->parts && ngx_completion_origin_request(cf, o) != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (ngx_inet_addr(o->peer.data, o->peer.len) != INADDR_NONE
        || ngx_inet6_addr(o->peer.data, o->peer.len, in6) == NGX_OK)
    {
        o->literal = 1;
        return NGX_OK;
    }

    /* name servers need not know "localhost", /etc/hosts does */

    if (resolver && resolver->connections.nelts
        && !(o->peer.len == 9
             && ngx_strncasecmp(o->peer.data, (u_char *) "localhost", 9) == 0))
    {
        o->resolver = resolver;
        o->resolver_timeout = resolver_timeout;
        return NGX_OK;
    }

    return ngx_completion_origin_resolve(cf, o);
}


/* What all requests begin with; a proxy that is no tunnel needs the URL. */

static ngx_int_t
ngx_completion_origin_request(ngx_conf_t *cf, ngx_completion_origin_t *o)
{
    char        *target;
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    copy;
    ngx_uint_t   in6;

    if (curl_url_get(o->parts, (o->proxy.len && !o->tls) ? CURLUPART_URL
                                                         : CURLUPART_PATH,
                     &target, CURLU_NO_DEFAULT_PORT)
        != CURLUE_OK)
    {
        return NGX_ERROR;
    }

    copy.data = (u_char *) target;
    copy.len = ngx_strlen(target);

    rc = ngx_completion_origin_copy(cf, &o->target, &copy);

    curl_free(target);

    p = ngx_pnalloc(cf->pool, sizeof(NGX_COMPLETION_ORIGIN_HEAD
                                     NGX_COMPLETION_ORIGIN_LINES "[]:65535")
                              + o->host.len);

    if (rc != NGX_OK || p == NULL) {
        return NGX_ERROR;
    }

    o->head.data = p;

    in6 = (ngx_strlchr(o->host.data, o->host.data + o->host.len, ':') != NULL);

    p = ngx_sprintf(p, NGX_COMPLETION_ORIGIN_HEAD "%s%V%s", in6 ? "[" : "",
                    &o->host, in6 ? "]" : "");

    if (o->port != (o->tls ? 443 : 80)) {
        p = ngx_sprintf(p, ":%d", (int) o->port);
    }

    p = ngx_cpymem(p, NGX_COMPLETION_ORIGIN_LINES,
                   sizeof(NGX_COMPLETION_ORIGIN_LINES) - 1);

    o->head.len = p - o->head.data;

    return NGX_OK;
}


static char *
ngx_completion_origin_split(ngx_str_t *url, ngx_completion_origin_url_t *u)
{
    u_char  *p, *first, *last, *path;

    ngx_memzero(u, sizeof(ngx_completion_origin_url_t));

    first = url->data;
    last = first + url->len;

    if (url->len > 8 && ngx_strncasecmp(first, (u_char *) "https://", 8) == 0)
    {
        u->tls = 1;
        u->port = 443;
        first += 8;

    } else if (url->len > 7
               && ngx_strncasecmp(first, (u_char *) "http://", 7) == 0)
    {
        u->port = 80;
        first += 7;

    } else {
        return "the URL must start with \"http://\" or \"https://\" "
               "and name a host";
    }

    for (p = first; p < last; p++) {

        if (*p <= ' ' || *p >= 0x7f || *p == '\\') {
            return "the URL has an invalid character";
        }

        if (*p == '?') {
            return "the URL must not have a query";
        }

        if (*p == '#') {
            return "the URL must not have a fragment";
        }
    }

    path = ngx_strlchr(first, last, '/');
    if (path == NULL) {
        path = last;
    }

    u->path.data = path;
    u->path.len = last - path;

    return ngx_completion_origin_authority(first, path, u);
}


static char *
ngx_completion_origin_authority(u_char *p, u_char *last,
    ngx_completion_origin_url_t *u)
{
    char       *err;
    u_char     *end, *port, ch;
    u_char      in6[16];
    ngx_int_t   n;

    if (ngx_strlchr(p, last, '@')) {
        return "the URL must not have credentials";
    }

    if (p < last && *p == '[') {
        p++;
        end = ngx_strlchr(p, last, ']');

        if (end == NULL || ngx_inet6_addr(p, end - p, in6) != NGX_OK) {
            return "the URL has an invalid IPv6 address";
        }

        port = end + 1;

    } else {
        for (end = p; end < last && *end != ':'; end++) {
            ch = ngx_tolower(*end);

            if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9')
                && ch != '.' && ch != '-' && ch != '_')
            {
                return "the URL has an invalid host";
            }
        }

        port = end;
    }

    u->host.data = p;
    u->host.len = end - p;

    if (u->host.len == 0 || u->host.len > NGX_COMPLETION_HOST_MAX) {
        return "the URL has an invalid host";
    }

    /* versions of libcurl differ in how they look such a name up */

    if (u->host.data[u->host.len - 1] == '.') {
        return "the host of the URL must not end with a dot";
    }

    err = ngx_completion_origin_number(&u->host);
    if (err) {
        return err;
    }

    if (port == last) {
        return NULL;
    }

    n = (*port == ':') ? ngx_atoi(port + 1, last - port - 1) : NGX_ERROR;

    if (n < 1 || n > 65535) {
        return "the URL has an invalid port";
    }

    u->port = (in_port_t) n;

    return NULL;
}


/*
 * libcurl takes "127.1", "0x7f.1" and "010.0.0.1" for addresses, and the last
 * for another one than nginx does.
 */

static char *
ngx_completion_origin_number(ngx_str_t *host)
{
    char            *label, text[NGX_COMPLETION_HOST_MAX + 1];
    struct in_addr   in;

    (void) ngx_sprintf((u_char *) text, "%V%Z", host);

    label = strrchr(text, '.');
    label = label ? label + 1 : text;

    if (strchr(text, ':') == NULL
        && (label[strspn(label, "0123456789")] == '\0'
            || ngx_strncasecmp((u_char *) label, (u_char *) "0x", 2) == 0)
        && inet_pton(AF_INET, text, &in) != 1)
    {
        return "the URL has an invalid IPv4 address";
    }

    return NULL;
}


static ngx_int_t
ngx_completion_origin_copy(ngx_conf_t *cf, ngx_str_t *dst, ngx_str_t *src)
{
    dst->data = ngx_pnalloc(cf->pool, src->len + 1);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src->data, src->len);
    dst->data[src->len] = '\0';
    dst->len = src->len;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_origin_resolve(ngx_conf_t *cf, ngx_completion_origin_t *o)
{
    u_char      *p;
    ngx_url_t    u;
    ngx_uint_t   i;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.host = o->peer;
    u.port = o->peer_port;

    if (ngx_inet_resolve_host(cf->pool, &u) != NGX_OK || u.naddrs == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s \"%V\", with a \"resolver\" in the http block "
                           "it is looked up when it is needed",
                           u.err ? u.err : "host not found", &o->peer);
        return NGX_ERROR;
    }

    o->addresses = ngx_pcalloc(cf->pool, u.naddrs * sizeof(ngx_str_t));
    if (o->addresses == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < u.naddrs; i++) {
        p = ngx_pnalloc(cf->pool, NGX_SOCKADDR_STRLEN + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        o->addresses[i].data = p;
        o->addresses[i].len = ngx_sock_ntop(u.addrs[i].sockaddr,
                                            u.addrs[i].socklen, p,
                                            NGX_SOCKADDR_STRLEN, 0);
        p[o->addresses[i].len] = '\0';
    }

    o->naddresses = u.naddrs;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_origin_certificate(ngx_conf_t *cf, ngx_completion_origin_t *o)
{
    BIO   *bio;
    X509  *x509;

    if (o->trusted_certificate.len == 0) {
        return NGX_OK;
    }

    if (ngx_conf_full_name(cf->cycle, &o->trusted_certificate, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    bio = BIO_new_file((char *) o->trusted_certificate.data, "r");

    if (bio == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "cannot open trusted certificate \"%V\"",
                           &o->trusted_certificate);
        ERR_clear_error();
        return NGX_ERROR;
    }

    x509 = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);

    BIO_free(bio);
    ERR_clear_error();

    if (x509 == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no PEM certificate in \"%V\"",
                           &o->trusted_certificate);
        return NGX_ERROR;
    }

    X509_free(x509);

    return NGX_OK;
}
