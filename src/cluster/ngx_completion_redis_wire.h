
/*
 * Private to the connection to a Redis server:
 *
 *     redis.c           calls, and whether the server counts as reachable
 *     redis_greet.c     what is said first
 *     redis_slot.c      commands until their replies
 *     redis_seal.c      values that carry a tag
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

/* For ngx_free(); NGX_OK, or NGX_ERROR: no memory. */
ngx_int_t ngx_completion_redis_format(ngx_uint_t n, ngx_str_t *args,
    ngx_str_t *command, ngx_log_t *log);

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
    ngx_uint_t                    left;       /* of them, to be tried */

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


/* all of it */

typedef enum {
    NGX_COMPLETION_REDIS_NOWHERE = 0,
    NGX_COMPLETION_REDIS_OPENING,
    NGX_COMPLETION_REDIS_GREETING,
    NGX_COMPLETION_REDIS_READY
} ngx_completion_redis_state_e;


struct ngx_completion_redis_slot_s {
    ngx_queue_t                          queue;
    ngx_completion_redis_call_t         *call;      /* NULL: it has gone */
    ngx_completion_redis_script_t       *script;    /* by its digest */
    ngx_completion_metrics_redis_call_e  kind;

    ngx_str_t                            command;
    ngx_buf_t                            buf;       /* what is not sent yet */
    ngx_chain_t                          link;

    ngx_msec_t                           end;
    uint64_t                             begun;     /* us */
};


/* no call's kind: what was lost was the connection */
#define NGX_COMPLETION_REDIS_ITSELF  NGX_COMPLETION_METRICS_REDIS_CALLS


/* what is said to a server first; the last one says that it is ready */
typedef enum {
    NGX_COMPLETION_REDIS_AUTH = 0,
    NGX_COMPLETION_REDIS_SELECT,
    NGX_COMPLETION_REDIS_INFO,
    NGX_COMPLETION_REDIS_PING,
    NGX_COMPLETION_REDIS_GREETINGS
} ngx_completion_redis_greeting_e;


struct ngx_completion_redis_s {
    ngx_completion_redis_conf_t         *conf;
    ngx_str_t                           *name;
    ngx_completion_zone_t               *zone;
    ngx_array_t                         *id_keys;
    ngx_log_t                           *log;

    ngx_completion_redis_link_t          link;
    ngx_completion_redis_reader_t       *reader;
    ngx_completion_redis_password_t      password;
    ngx_completion_redis_state_e         state;

    ngx_queue_t                          waiting;   /* slots, until READY */
    ngx_queue_t                          sent;      /* for their replies */
    ngx_chain_t                         *out;       /* not sent yet */
    ngx_chain_t                        **last;

    ngx_event_t                          work;      /* posted: there is some */
    ngx_event_t                          timer;     /* of calls */
    ngx_event_t                          attempt;   /* ends one, begins one */
    ngx_msec_t                           pause;     /* before the next one */

    ngx_completion_metrics_redis_call_e  doubted;   /* while told is set: what
                                                       has to go well */
    ngx_completion_redis_fault_e         fault;     /* the last one */
    unsigned                             away:1;
    unsigned                             told:1;
    unsigned                             behind:1;
    unsigned                             late:1;    /* a call's time is over */

    ngx_completion_redis_call_t      greetings[NGX_COMPLETION_REDIS_GREETINGS];

    void                               (*on_reach)(void *data);
    void                                *on_reach_data;
};


/* redis_slot.c */

/* In no list yet; NULL: no memory. */
ngx_completion_redis_slot_t *ngx_completion_redis_slot(
    ngx_completion_redis_t *redis, ngx_completion_redis_call_t *call,
    ngx_uint_t n, ngx_str_t *args);
void ngx_completion_redis_slot_free(ngx_completion_redis_slot_t *slot);

/* The next to go out, and to be replied to. */
void ngx_completion_redis_send(ngx_completion_redis_t *redis,
    ngx_completion_redis_slot_t *slot);

/*
 * Sends the script itself, once, as the server does not know it by its digest:
 * NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_redis_eval(ngx_completion_redis_t *redis,
    ngx_completion_redis_slot_t *slot);

/* Nothing waits, for the connection or for a reply. */
ngx_uint_t ngx_completion_redis_rests(ngx_completion_redis_t *redis);

void ngx_completion_redis_count(ngx_completion_redis_t *redis,
    ngx_completion_redis_fault_e fault);

/* In microseconds. */
uint64_t ngx_completion_redis_clock(void);


/* redis_seal.c */

/* As _open(), and nothing is counted or told. */
ngx_int_t ngx_completion_redis_check(ngx_completion_redis_t *redis,
    ngx_str_t *key, ngx_str_t *sealed, ngx_str_t *value);


/* redis_greet.c */

/* NGX_OK: it is to be sent; or NGX_ERROR: no memory. */
ngx_int_t ngx_completion_redis_greet(ngx_completion_redis_t *redis,
    ngx_completion_redis_handler_pt ready);


#endif /* _NGX_COMPLETION_REDIS_WIRE_H_INCLUDED_ */
