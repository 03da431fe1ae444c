
/*
 * Private to the connection to a Redis server:
 *
 *     redis.c           calls, and whether the server counts as reachable
 *     redis_link.c      one connection: its name, its socket, TLS
 *     redis_password.c  what a file holds that may change
 *     redis_reply.c     replies read and commands written, by hiredis; which
 *                       errors mean that the server is not reachable
 *     redis_url.c       what a URL says
 *
 * Each calls those below it alone.
 */


#ifndef _NGX_COMPLETION_REDIS_WIRE_H_INCLUDED_
#define _NGX_COMPLETION_REDIS_WIRE_H_INCLUDED_


#include <ngx_event_connect.h>

#include "../base/ngx_completion_secret.h"
#include "../base/ngx_completion_timer.h"

#include "ngx_completion_redis.h"


typedef struct ngx_completion_redis_link_s    ngx_completion_redis_link_t;
typedef struct ngx_completion_redis_reader_s  ngx_completion_redis_reader_t;

typedef ngx_completion_metrics_redis_fault_e  ngx_completion_redis_fault_e;


/* redis_reply.c */

/* NULL: no memory, or built without hiredis. */
ngx_completion_redis_reader_t *ngx_completion_redis_reader_create(
    ngx_log_t *log);
void ngx_completion_redis_reader_destroy(
    ngx_completion_redis_reader_t *reader);

/* NGX_OK, or NGX_ERROR: no memory. */
ngx_int_t ngx_completion_redis_reader_feed(
    ngx_completion_redis_reader_t *reader, u_char *p, size_t len);

/*
 * The next reply, valid until the next call of this kind: NGX_OK; NGX_AGAIN:
 * it is not complete; NGX_ERROR: no reply, one that is too long, no memory.
 */
ngx_int_t ngx_completion_redis_reader_next(
    ngx_completion_redis_reader_t *reader, ngx_completion_reply_t **reply);

/* For _format_free(); NGX_OK, or NGX_ERROR: no memory. */
ngx_int_t ngx_completion_redis_format(ngx_uint_t n, ngx_str_t *args,
    ngx_str_t *command);
void ngx_completion_redis_format_free(ngx_str_t *command);

/* What an error says of the server; COMMAND: nothing. */
ngx_completion_redis_fault_e ngx_completion_redis_fault(ngx_str_t *text);


/* redis_link.c */

struct ngx_completion_redis_link_s {
    ngx_completion_redis_conf_t  *conf;
    ngx_log_t                    *log;
    ngx_log_t                     quiet;      /* nginx's own words on what we
                                                 tell once ourselves */

    ngx_peer_connection_t         peer;
    ngx_resolver_ctx_t           *ctx;
    ngx_sockaddr_t                sockaddr;
    ngx_str_t                     name;       /* of the address */
    u_char                        buf[NGX_SOCKADDR_STRLEN];
    ngx_uint_t                    turn;       /* of several addresses */

    /* the owner's, called from events, or from within _open() */

    void                         *data;
    void                        (*opened)(void *data);
    void                        (*readable)(void *data);
    void                        (*writable)(void *data);
    void                        (*failed)(void *data,
                                    ngx_completion_redis_fault_e fault,
                                    ngx_err_t err, const char *text);
};


/* From an event; what goes wrong is told by failed(), which finds it closed. */
void ngx_completion_redis_link_open(ngx_completion_redis_link_t *link);

/* Whatever it is doing; nothing is told. */
void ngx_completion_redis_link_close(ngx_completion_redis_link_t *link);

/* NULL: it is not open. */
#define ngx_completion_redis_link_connection(link)  (link)->peer.connection


/* redis_password.c */

typedef struct {
    ngx_str_t                    *file;
    ngx_completion_secret_t      *secret;     /* its line */
    ngx_file_info_t               info;
    const char                   *fault;      /* logged; NULL: none */
    unsigned                      owned:1;    /* the secret, by the worker */
} ngx_completion_redis_password_t;


/* What the file holds now, or held before where it cannot be read. */
ngx_str_t *ngx_completion_redis_password(
    ngx_completion_redis_password_t *password, ngx_log_t *log);
void ngx_completion_redis_password_exit(
    ngx_completion_redis_password_t *password);


#endif /* _NGX_COMPLETION_REDIS_WIRE_H_INCLUDED_ */
