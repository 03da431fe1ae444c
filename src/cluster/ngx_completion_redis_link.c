
/*
 *     open --> name looked up --> connected --> TLS --> opened()
 *        |            |               |          |
 *        '------------'-------+-------'----------'--> closed, failed()
 *
 * Until closed, readable() and writable() are told of.  What nginx would say
 * of a failed connection each time, and for each worker, is not said: whoever
 * owns the link tells it once.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_redis_wire.h"


static void ngx_completion_redis_link_resolve(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_resolved(ngx_resolver_ctx_t *ctx);
static void ngx_completion_redis_link_path(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_next(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_address(
    ngx_completion_redis_link_t *link, ngx_str_t *text);
static void ngx_completion_redis_link_connect(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_refused(
    ngx_completion_redis_link_t *link, ngx_err_t err);
static void ngx_completion_redis_link_event(ngx_event_t *ev);
static void ngx_completion_redis_link_connected(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_opened(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_read(ngx_event_t *ev);
static void ngx_completion_redis_link_write(ngx_event_t *ev);
static void ngx_completion_redis_link_fail(ngx_completion_redis_link_t *link,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text);
#if (NGX_SSL)
static void ngx_completion_redis_link_handshake(
    ngx_completion_redis_link_t *link);
static void ngx_completion_redis_link_handshaken(ngx_connection_t *c);
static ngx_int_t ngx_completion_redis_link_verify_host(ngx_connection_t *c,
    ngx_completion_origin_t *o);
#endif


void
ngx_completion_redis_link_open(ngx_completion_redis_link_t *link)
{
    ngx_completion_origin_t  *o;

    o = &link->conf->origin;

    link->quiet = *link->log;
    link->quiet.log_level = NGX_LOG_ALERT;
    link->left = 1;

    if (link->conf->path.len) {
        ngx_completion_redis_link_path(link);
        ngx_completion_redis_link_connect(link);

    } else if (o->resolver) {
        ngx_completion_redis_link_resolve(link);

    } else {
        link->left = o->literal ? 1 : o->naddresses;
        ngx_completion_redis_link_next(link);
    }
}


/* "localhost" has two addresses as a rule, of which a server may have one */

static void
ngx_completion_redis_link_next(ngx_completion_redis_link_t *link)
{
    ngx_completion_origin_t  *o;

    o = &link->conf->origin;

    ngx_completion_redis_link_address(link, o->literal
                               ? &o->peer
                               : &o->addresses[link->turn++ % o->naddresses]);
    ngx_completion_redis_link_connect(link);
}


static void
ngx_completion_redis_link_resolve(ngx_completion_redis_link_t *link)
{
    ngx_resolver_ctx_t       *ctx;
    ngx_completion_origin_t  *o;

    o = &link->conf->origin;

    ctx = ngx_resolve_start(o->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_completion_redis_link_fail(link,
                                       NGX_COMPLETION_METRICS_REDIS_MEMORY, 0,
                                       "no memory");
        return;
    }

    ctx->name = o->peer;
    ctx->handler = ngx_completion_redis_link_resolved;
    ctx->data = link;
    ctx->timeout = ngx_min(o->resolver_timeout, link->conf->timeout);
    ctx->cancelable = 1;

    link->ctx = ctx;

    /* a cached name calls the handler from here */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        link->ctx = NULL;
        ngx_completion_redis_link_fail(link,
                                       NGX_COMPLETION_METRICS_REDIS_MEMORY, 0,
                                       "no memory");
    }
}


/* one address of many, which the resolver shuffles */

static void
ngx_completion_redis_link_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_int_t                     state;
    ngx_resolver_addr_t          *addr;
    ngx_completion_redis_link_t  *link;

    link = ctx->data;
    link->ctx = NULL;

    state = ctx->state;

    if (state == NGX_OK) {
        addr = &ctx->addrs[0];

        ngx_memcpy(&link->sockaddr, addr->sockaddr, addr->socklen);
        link->peer.socklen = addr->socklen;
        ngx_inet_set_port(&link->sockaddr.sockaddr,
                          link->conf->origin.peer_port);
    }

    ngx_resolve_name_done(ctx);

    if (state != NGX_OK) {
        ngx_completion_redis_link_fail(link, NGX_COMPLETION_METRICS_REDIS_NAME,
                                       0, ngx_resolver_strerror(state));
        return;
    }

    ngx_completion_redis_link_connect(link);
}


static void
ngx_completion_redis_link_connect(ngx_completion_redis_link_t *link)
{
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *peer;

    peer = &link->peer;

    peer->sockaddr = &link->sockaddr.sockaddr;
    peer->name = &link->name;
    peer->get = ngx_event_get_peer;
    peer->log = &link->quiet;
    peer->log_error = NGX_ERROR_INFO;
    peer->so_keepalive = (link->conf->path.len == 0);

    link->name.data = link->buf;
    link->name.len = ngx_sock_ntop(peer->sockaddr, peer->socklen, link->buf,
                                   NGX_SOCKADDR_STRLEN, 1);

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, link->log, 0,
                   "completion redis: connect to %V", &link->name);

    ngx_set_socket_errno(0);
    rc = ngx_event_connect_peer(peer);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        ngx_completion_redis_link_refused(link, ngx_socket_errno);
        return;
    }

    c = peer->connection;
    c->data = link;
    c->read->handler = ngx_completion_redis_link_event;
    c->write->handler = ngx_completion_redis_link_event;

    c->pool = ngx_create_pool(256, &link->quiet);

    if (c->pool == NULL) {
        ngx_completion_redis_link_fail(link,
                                       NGX_COMPLETION_METRICS_REDIS_MEMORY, 0,
                                       "no memory");
        return;
    }

    if (rc == NGX_OK) {
        ngx_completion_redis_link_connected(link);
    }
}


static void
ngx_completion_redis_link_event(ngx_event_t *ev)
{
    int                           err;
    socklen_t                     len;
    ngx_connection_t             *c;
    ngx_completion_redis_link_t  *link;

    c = ev->data;
    link = c->data;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_completion_redis_link_refused(link, err);
        return;
    }

    if (c->write->ready) {
        ngx_completion_redis_link_connected(link);
    }
}


static void
ngx_completion_redis_link_refused(ngx_completion_redis_link_t *link,
    ngx_err_t err)
{
    if (--link->left) {
        ngx_completion_redis_link_close(link);
        ngx_completion_redis_link_next(link);
        return;
    }

    ngx_completion_redis_link_fail(link, NGX_COMPLETION_METRICS_REDIS_SOCKET,
                                   err, "connect() failed");
}


static void
ngx_completion_redis_link_connected(ngx_completion_redis_link_t *link)
{
    if (link->conf->path.len == 0) {
        (void) ngx_tcp_nodelay(link->peer.connection);
    }

#if (NGX_SSL)

    if (link->conf->ssl) {
        ngx_completion_redis_link_handshake(link);
        return;
    }

#endif

    ngx_completion_redis_link_opened(link);
}


static void
ngx_completion_redis_link_opened(ngx_completion_redis_link_t *link)
{
    ngx_connection_t  *c;

    c = link->peer.connection;

    c->read->handler = ngx_completion_redis_link_read;
    c->write->handler = ngx_completion_redis_link_write;

    link->opened(link->data);
}


static void
ngx_completion_redis_link_read(ngx_event_t *ev)
{
    ngx_connection_t             *c;
    ngx_completion_redis_link_t  *link;

    c = ev->data;
    link = c->data;

    link->readable(link->data);
}


static void
ngx_completion_redis_link_write(ngx_event_t *ev)
{
    ngx_connection_t             *c;
    ngx_completion_redis_link_t  *link;

    c = ev->data;
    link = c->data;

    link->writable(link->data);
}


#if (NGX_SSL)

static void
ngx_completion_redis_link_handshake(ngx_completion_redis_link_t *link)
{
    ngx_connection_t         *c;
    ngx_completion_origin_t  *o;

    c = link->peer.connection;
    o = &link->conf->origin;

    if (ngx_ssl_create_connection(link->conf->ssl, c, NGX_SSL_CLIENT) != NGX_OK
        || (!o->literal
            && SSL_set_tlsext_host_name(c->ssl->connection,
                                        (char *) o->host.data)
               == 0))
    {
        ngx_completion_redis_link_fail(link, NGX_COMPLETION_METRICS_REDIS_TLS,
                                       0, "no memory");
        return;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_completion_redis_link_handshaken;
        return;
    }

    ngx_completion_redis_link_handshaken(c);
}


static void
ngx_completion_redis_link_handshaken(ngx_connection_t *c)
{
    long                          verified;
    const char                   *fault;
    ngx_completion_redis_link_t  *link;

    link = c->data;
    fault = NULL;

    if (!c->ssl->handshaked) {
        fault = "the TLS handshake failed";

    } else {
        verified = SSL_get_verify_result(c->ssl->connection);

        if (verified != X509_V_OK) {
            fault = X509_verify_cert_error_string(verified);

        } else if (ngx_completion_redis_link_verify_host(c,
                                                       &link->conf->origin)
                   != NGX_OK)
        {
            fault = "the server's certificate is another host's";
        }
    }

    if (fault) {
        ngx_completion_redis_link_fail(link, NGX_COMPLETION_METRICS_REDIS_TLS,
                                       0, fault);
        return;
    }

    ngx_completion_redis_link_opened(link);
}


/* nginx's own looks at names alone */

static ngx_int_t
ngx_completion_redis_link_verify_host(ngx_connection_t *c,
    ngx_completion_origin_t *o)
{
    int    match;
    X509  *cert;

    if (!o->literal) {
        return ngx_ssl_check_host(c, &o->host);
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_ERROR;
    }

    match = X509_check_ip_asc(cert, (char *) o->host.data, 0);

    X509_free(cert);

    return (match == 1) ? NGX_OK : NGX_ERROR;
}

#endif


static void
ngx_completion_redis_link_path(ngx_completion_redis_link_t *link)
{
    struct sockaddr_un  *un;

    un = &link->sockaddr.sockaddr_un;

    ngx_memzero(un, sizeof(struct sockaddr_un));
    un->sun_family = AF_UNIX;
    ngx_memcpy(un->sun_path, link->conf->path.data, link->conf->path.len);

    link->peer.socklen = sizeof(struct sockaddr_un);
}


static void
ngx_completion_redis_link_address(ngx_completion_redis_link_t *link,
    ngx_str_t *text)
{
    struct sockaddr_in   *in;
    struct sockaddr_in6  *in6;

    ngx_memzero(&link->sockaddr, sizeof(ngx_sockaddr_t));

    in = &link->sockaddr.sockaddr_in;
    in6 = &link->sockaddr.sockaddr_in6;

    if (ngx_strlchr(text->data, text->data + text->len, ':') == NULL) {
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = ngx_inet_addr(text->data, text->len);
        link->peer.socklen = sizeof(struct sockaddr_in);

    } else {
        in6->sin6_family = AF_INET6;
        (void) ngx_inet6_addr(text->data, text->len, in6->sin6_addr.s6_addr);
        link->peer.socklen = sizeof(struct sockaddr_in6);
    }

    ngx_inet_set_port(&link->sockaddr.sockaddr, link->conf->origin.peer_port);
}


static void
ngx_completion_redis_link_fail(ngx_completion_redis_link_t *link,
    ngx_completion_redis_fault_e fault, ngx_err_t err, const char *text)
{
    ngx_completion_redis_link_close(link);

    link->failed(link->data, fault, err, text);
}


void
ngx_completion_redis_link_close(ngx_completion_redis_link_t *link)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    if (link->ctx) {
        ngx_resolve_name_done(link->ctx);
        link->ctx = NULL;
    }

    c = link->peer.connection;

    if (c == NULL) {
        return;
    }

    link->peer.connection = NULL;

#if (NGX_SSL)

    /* nothing is waited for: what was to be said has been said */

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

#endif

    pool = c->pool;

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}
