
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


typedef struct {
    ngx_str_node_t     node;           /* the first member */
    ngx_socket_t       fd;
    ngx_connection_t  *idle;           /* no transfer, still registered */
    unsigned           ended:1;        /* by upstream, while idle */
} ngx_completion_fetch_socket_t;


static ngx_completion_fetch_socket_t *ngx_completion_fetch_socket_get(
    ngx_socket_t s);
static void ngx_completion_fetch_socket_forget(ngx_socket_t s);


/* by descriptor; NULL: carried no request */
static ngx_completion_fetch_socket_t  **ngx_completion_fetch_sockets;
static ngx_uint_t                       ngx_completion_fetch_nsockets;

/* by both ends */
static ngx_rbtree_t                     ngx_completion_fetch_tree;
static ngx_rbtree_node_t                ngx_completion_fetch_sentinel;

static ngx_uint_t                       ngx_completion_fetch_nidle;
static ngx_uint_t                       ngx_completion_fetch_nended;


void
ngx_completion_fetch_socket_keep(ngx_socket_t s, ngx_str_t *ends)
{
    ngx_uint_t                       n;
    ngx_completion_fetch_socket_t   *socket, **sockets;

    ngx_completion_fetch_socket_forget(s);

    n = ngx_completion_fetch_nsockets;

    if (n == 0) {
        ngx_rbtree_init(&ngx_completion_fetch_tree,
                        &ngx_completion_fetch_sentinel,
                        ngx_str_rbtree_insert_value);
    }

    if ((ngx_uint_t) s >= n) {
        sockets = realloc(ngx_completion_fetch_sockets,
                          2 * (s + 1) * sizeof(void *));
        if (sockets == NULL) {
            return;
        }

        ngx_completion_fetch_sockets = sockets;
        ngx_completion_fetch_nsockets = 2 * (s + 1);

        ngx_memzero(sockets + n,
                    (ngx_completion_fetch_nsockets - n) * sizeof(void *));
    }

    socket = ngx_calloc(sizeof(ngx_completion_fetch_socket_t) + ends->len,
                        ngx_cycle->log);
    if (socket == NULL) {
        return;
    }

    socket->fd = s;
    socket->node.str.data = (u_char *) (socket + 1);
    socket->node.str.len = ends->len;
    socket->node.node.key = ngx_crc32_short(ends->data, ends->len);
    ngx_memcpy(socket->node.str.data, ends->data, ends->len);

    ngx_rbtree_insert(&ngx_completion_fetch_tree, &socket->node.node);

    ngx_completion_fetch_sockets[s] = socket;
}


ngx_socket_t
ngx_completion_fetch_socket_find(ngx_str_t *ends)
{
    ngx_str_node_t  *node;

    if (ngx_completion_fetch_sockets == NULL) {
        return (ngx_socket_t) -1;
    }

    node = ngx_str_rbtree_lookup(&ngx_completion_fetch_tree, ends,
                                 ngx_crc32_short(ends->data, ends->len));

    return node ? ((ngx_completion_fetch_socket_t *) node)->fd
                : (ngx_socket_t) -1;
}


int
ngx_completion_fetch_socket_close(void *data, curl_socket_t s)
{
    (void) ngx_completion_fetch_socket_drop(s);
    ngx_completion_fetch_socket_forget(s);

    return close(s);
}


ngx_int_t
ngx_completion_fetch_socket_drop(ngx_socket_t s)
{
    ngx_connection_t  *c;

    c = ngx_completion_fetch_socket_wake(s);

    if (c == NULL) {
        return NGX_DECLINED;
    }

    ngx_completion_fetch_socket_release(c, 0);

    return NGX_OK;
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

    (void) ngx_completion_fetch_socket_off(c->write, NGX_WRITE_EVENT, 0);

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
    ngx_uint_t  s;

    for (s = 0; s < ngx_completion_fetch_nsockets; s++) {
        if (ngx_completion_fetch_socket_drop((ngx_socket_t) s) == NGX_OK) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_completion_fetch_socket_release(ngx_connection_t *c, ngx_uint_t flags)
{
    (void) ngx_completion_fetch_socket_off(c->read, NGX_READ_EVENT, flags);
    (void) ngx_completion_fetch_socket_off(c->write, NGX_WRITE_EVENT, flags);

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}


ngx_int_t
ngx_completion_fetch_socket_off(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t flags)
{
    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    return ev->active ? ngx_del_event(ev, event, flags) : NGX_OK;
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
