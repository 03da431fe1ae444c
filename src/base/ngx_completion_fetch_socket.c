
/*
 * Sockets that libcurl keeps.
 *
 * What carried a request is known by its descriptor and by both of its ends,
 * which is all that libcurl tells of the connection it is about to use.  No
 * entry makes way for another one: it goes when its descriptor is closed.
 *
 * Such a socket idles between two transfers, its nginx connection armed for
 * reading.  Only these do: libcurl 7.88 to 8.1 closes one that never connected
 * behind our back, and the descriptor is soon another's.
 */


#include "ngx_completion_fetch_job.h"


/* two addresses as libcurl writes them, two ports */
#define NGX_COMPLETION_FETCH_ENDS  (2 * (NGX_INET6_ADDRSTRLEN                 \
                                         + sizeof(in_port_t)))


typedef struct {
    ngx_str_node_t     node;           /* the first member */
    ngx_socket_t       fd;
    ngx_connection_t  *idle;           /* no transfer, still registered */
    unsigned           ended:1;        /* by upstream, while idle */
    u_char             ends[NGX_COMPLETION_FETCH_ENDS];
} ngx_completion_fetch_socket_t;


static ngx_completion_fetch_socket_t *ngx_completion_fetch_socket_get(
    ngx_socket_t s);
static ngx_int_t ngx_completion_fetch_socket_grow(ngx_socket_t s);
static void ngx_completion_fetch_socket_forget(ngx_socket_t s);
static size_t ngx_completion_fetch_socket_ends(
    ngx_completion_fetch_ends_t *ends, u_char *buf);
static u_char *ngx_completion_fetch_socket_end(u_char *p, const char *address,
    int port);


/* by descriptor; NULL: carried no request */
static ngx_completion_fetch_socket_t  **ngx_completion_fetch_sockets;
static ngx_uint_t                       ngx_completion_fetch_nsockets;

/* by both ends */
static ngx_rbtree_t                     ngx_completion_fetch_tree;
static ngx_rbtree_node_t                ngx_completion_fetch_sentinel;

static ngx_uint_t                       ngx_completion_fetch_nidle;
static ngx_uint_t                       ngx_completion_fetch_nended;

/* whose writes are being gathered */
static ngx_socket_t  ngx_completion_fetch_gathered = (ngx_socket_t) -1;


void
ngx_completion_fetch_socket_keep(ngx_socket_t s,
    ngx_completion_fetch_ends_t *ends)
{
    ngx_completion_fetch_socket_t  *socket;

    ngx_completion_fetch_socket_forget(s);

    if (ngx_completion_fetch_socket_grow(s) != NGX_OK) {
        return;
    }

    socket = ngx_alloc(sizeof(ngx_completion_fetch_socket_t), ngx_cycle->log);
    if (socket == NULL) {
        return;
    }

    socket->fd = s;
    socket->idle = NULL;
    socket->ended = 0;
    socket->node.str.data = socket->ends;
    socket->node.str.len = ngx_completion_fetch_socket_ends(ends,
                                                            socket->ends);
    socket->node.node.key = ngx_crc32_short(socket->ends,
                                            socket->node.str.len);

    ngx_rbtree_insert(&ngx_completion_fetch_tree, &socket->node.node);

    ngx_completion_fetch_sockets[s] = socket;
}


ngx_socket_t
ngx_completion_fetch_socket_find(ngx_completion_fetch_ends_t *ends)
{
    u_char           buf[NGX_COMPLETION_FETCH_ENDS];
    ngx_str_t        name;
    ngx_str_node_t  *node;

    if (ngx_completion_fetch_sockets == NULL) {
        return (ngx_socket_t) -1;
    }

    name.data = buf;
    name.len = ngx_completion_fetch_socket_ends(ends, buf);

    node = ngx_str_rbtree_lookup(&ngx_completion_fetch_tree, &name,
                                 ngx_crc32_short(name.data, name.len));

    return node ? ((ngx_completion_fetch_socket_t *) node)->fd
                : (ngx_socket_t) -1;
}


int
ngx_completion_fetch_socket_close(void *data, curl_socket_t s)
{
    ngx_connection_t  *c;

    c = ngx_completion_fetch_socket_wake(s);

    if (c) {
        ngx_completion_fetch_socket_release(c, 0);
    }

    ngx_completion_fetch_socket_forget(s);

    return close(s);
}


ngx_int_t
ngx_completion_fetch_socket_idle(ngx_connection_t *c,
    ngx_event_handler_pt handler)
{
    ngx_completion_fetch_socket_t  *socket;

    socket = ngx_completion_fetch_socket_get(c->fd);

    if (socket == NULL || !c->read->active) {
        return NGX_DECLINED;
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    c->read->handler = handler;
    c->idle = 1;

    socket->idle = c;
    ngx_completion_fetch_nidle++;

    return NGX_OK;
}


ngx_connection_t *
ngx_completion_fetch_socket_wake(ngx_socket_t s)
{
    ngx_connection_t               *c;
    ngx_completion_fetch_socket_t  *socket;

    socket = ngx_completion_fetch_socket_get(s);

    if (socket == NULL || socket->idle == NULL) {
        return NULL;
    }

    c = socket->idle;
    socket->idle = NULL;

    c->idle = 0;
    ngx_completion_fetch_nidle--;

    return c;
}


void
ngx_completion_fetch_socket_ended(ngx_socket_t s)
{
    ngx_completion_fetch_socket_t  *socket;

    socket = ngx_completion_fetch_socket_get(s);

    if (socket && !socket->ended) {
        socket->ended = 1;
        ngx_completion_fetch_nended++;
    }
}


ngx_int_t
ngx_completion_fetch_socket_evict(void)
{
    ngx_uint_t         s;
    ngx_connection_t  *c;

    for (s = 0; s < ngx_completion_fetch_nsockets; s++) {
        c = ngx_completion_fetch_socket_wake((ngx_socket_t) s);

        if (c) {
            ngx_completion_fetch_socket_release(c, 0);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_completion_fetch_socket_release(ngx_connection_t *c, ngx_uint_t flags)
{
    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, flags);
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, flags);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}


/* A push to a descriptor that was closed meanwhile does no harm. */

void
ngx_completion_fetch_socket_gather(ngx_socket_t s)
{
    if (ngx_completion_fetch_gathered != (ngx_socket_t) -1) {
        (void) ngx_tcp_push(ngx_completion_fetch_gathered);
    }

    ngx_completion_fetch_gathered = s;

    if (s != (ngx_socket_t) -1) {
        (void) ngx_tcp_nopush(s);
    }
}


ngx_uint_t
ngx_completion_fetch_socket_nidle(void)
{
    return ngx_completion_fetch_nidle;
}


ngx_uint_t
ngx_completion_fetch_socket_nended(void)
{
    return ngx_completion_fetch_nended;
}


void
ngx_completion_fetch_socket_exit(void)
{
    ngx_uint_t  s;

    for (s = 0; s < ngx_completion_fetch_nsockets; s++) {
        ngx_completion_fetch_socket_forget((ngx_socket_t) s);
    }

    ngx_free(ngx_completion_fetch_sockets);
    ngx_completion_fetch_sockets = NULL;
    ngx_completion_fetch_nsockets = 0;
}


static ngx_completion_fetch_socket_t *
ngx_completion_fetch_socket_get(ngx_socket_t s)
{
    return ((ngx_uint_t) s < ngx_completion_fetch_nsockets)
               ? ngx_completion_fetch_sockets[s] : NULL;
}


static ngx_int_t
ngx_completion_fetch_socket_grow(ngx_socket_t s)
{
    ngx_uint_t                       n;
    ngx_completion_fetch_socket_t  **sockets;

    if ((ngx_uint_t) s < ngx_completion_fetch_nsockets) {
        return NGX_OK;
    }

    n = 2 * (s + 1);

    sockets = realloc(ngx_completion_fetch_sockets, n * sizeof(void *));
    if (sockets == NULL) {
        return NGX_ERROR;
    }

    if (ngx_completion_fetch_nsockets == 0) {
        ngx_rbtree_init(&ngx_completion_fetch_tree,
                        &ngx_completion_fetch_sentinel,
                        ngx_str_rbtree_insert_value);
    }

    ngx_memzero(sockets + ngx_completion_fetch_nsockets,
                (n - ngx_completion_fetch_nsockets) * sizeof(void *));

    ngx_completion_fetch_sockets = sockets;
    ngx_completion_fetch_nsockets = n;

    return NGX_OK;
}


static void
ngx_completion_fetch_socket_forget(ngx_socket_t s)
{
    ngx_completion_fetch_socket_t  *socket;

    socket = ngx_completion_fetch_socket_get(s);

    if (socket == NULL) {
        return;
    }

    if (socket->ended) {
        ngx_completion_fetch_nended--;
    }

    ngx_rbtree_delete(&ngx_completion_fetch_tree, &socket->node.node);
    ngx_completion_fetch_sockets[s] = NULL;

    ngx_free(socket);
}


static size_t
ngx_completion_fetch_socket_ends(ngx_completion_fetch_ends_t *ends,
    u_char *buf)
{
    u_char  *p;

    p = ngx_completion_fetch_socket_end(buf, ends->remote, ends->remote_port);
    p = ngx_completion_fetch_socket_end(p, ends->local, ends->local_port);

    return p - buf;
}


static u_char *
ngx_completion_fetch_socket_end(u_char *p, const char *address, int port)
{
    in_port_t  n;

    n = (in_port_t) port;
    p = ngx_cpymem(p, &n, sizeof(in_port_t));

    /* its NUL parts one end from the other */

    return ngx_cpystrn(p, (u_char *) address, NGX_INET6_ADDRSTRLEN) + 1;
}
