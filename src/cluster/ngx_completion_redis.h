
/*
 * What several nodes share stands on a Redis or Valkey server.  Here is how a
 * worker talks to it: one connection a provider, made by its first call, on
 * which calls are sent one behind the other without waiting for each other's
 * replies.
 *
 *     call --> queued ---> sent ---> handler, with a reply
 *       |         |          |
 *       |         '----------'-----> handler, without: not reachable
 *       '--> declined: not reachable
 *
 * Nothing here blocks, and nothing is repeated: a call that was sent and got
 * no reply may have been carried out.
 */


#ifndef _NGX_COMPLETION_REDIS_H_INCLUDED_
#define _NGX_COMPLETION_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_fetch.h"
#include "../base/ngx_completion_secret.h"
#include "../store/ngx_completion_zone.h"


/* configure defines it where it is found */
#ifndef NGX_COMPLETION_HIREDIS
#define NGX_COMPLETION_HIREDIS     0
#endif

/* of a value that is sealed: ahead of the value */
#define NGX_COMPLETION_REDIS_TAG   NGX_COMPLETION_ID_TAG

/* of a call, the command's name and all else included */
#define NGX_COMPLETION_REDIS_ARGS  64


typedef struct ngx_completion_redis_s       ngx_completion_redis_t;
typedef struct ngx_completion_redis_call_s  ngx_completion_redis_call_t;
typedef struct ngx_completion_redis_slot_s  ngx_completion_redis_slot_t;
typedef struct ngx_completion_reply_s       ngx_completion_reply_t;


typedef struct {
    ngx_str_t                         url;       /* as configured */
    ngx_str_t                         path;      /* of a unix socket; or */
    ngx_completion_origin_t           origin;    /* host, port and names */
    ngx_uint_t                        db;

    ngx_str_t                         user;
    ngx_str_t                         password;  /* its file; empty: none */
    ngx_completion_secret_t          *secret;    /* what it held, and when */
    ngx_file_info_t                   info;
    ngx_str_t                         prefix;    /* ahead of the provider */
    ngx_str_t                         names;     /* ahead of every key: up to
                                                    and with the last colon */
    ngx_msec_t                        timeout;
    ngx_uint_t                        nodes;

    ngx_ssl_t                        *ssl;       /* NULL: without TLS */

    unsigned                          strict:1;
} ngx_completion_redis_conf_t;


typedef enum {
    NGX_COMPLETION_REPLY_NIL = 0,
    NGX_COMPLETION_REPLY_INTEGER,
    NGX_COMPLETION_REPLY_TEXT,
    NGX_COMPLETION_REPLY_STATUS,           /* "OK" */
    NGX_COMPLETION_REPLY_ERROR,            /* of the command, not the server */
    NGX_COMPLETION_REPLY_ARRAY
} ngx_completion_reply_type_e;


struct ngx_completion_reply_s {
    ngx_completion_reply_type_e       type;
    int64_t                           integer;
    ngx_str_t                         text;      /* NUL-terminated */
    ngx_uint_t                        n;         /* of an array */
    ngx_completion_reply_t          **elements;
};


typedef void (*ngx_completion_redis_handler_pt)(
    ngx_completion_redis_call_t *call);


/* The caller's, and to stay where it is until its handler or _cancel(). */
struct ngx_completion_redis_call_s {
    ngx_completion_redis_handler_pt   handler;
    void                             *data;
    ngx_completion_metrics_redis_call_e  kind;
    unsigned                          ahead:1;   /* of all that wait for
                                                    _behind(), see there */

    /* to read in the handler, and valid in there only */

    ngx_completion_reply_t           *reply;     /* NULL: not reachable */
    unsigned                          sent:1;    /* then: it may have been
                                                    carried out */

    /* private */

    ngx_completion_redis_slot_t      *slot;
};


/* A script, and how the server knows it: 40 hex digits, by _script_init(). */
typedef struct {
    ngx_str_t                         text;
    u_char                            sha[40];
} ngx_completion_redis_script_t;


/*
 * While the configuration is read: what a URL says, NULL or what is wrong with
 * it, as a text for an [emerg].
 */
char *ngx_completion_redis_url(ngx_conf_t *cf, ngx_str_t *url,
    ngx_completion_redis_conf_t *conf);

/* A password is its file's one line: NULL, or what is wrong with it. */
const char *ngx_completion_redis_password_line(ngx_str_t *value);

/* A worker's; NULL: no memory.  The name is the provider's. */
ngx_completion_redis_t *ngx_completion_redis_create(
    ngx_completion_redis_conf_t *conf, ngx_str_t *name,
    ngx_completion_zone_t *zone, ngx_array_t *id_keys, ngx_log_t *log);

ngx_completion_redis_conf_t *ngx_completion_redis_conf(
    ngx_completion_redis_t *redis);

/*
 * Called whenever the server is reached, for the first time and after a loss,
 * ahead of all calls that wait: what is called from in there goes first.
 */
void ngx_completion_redis_on_reach(ngx_completion_redis_t *redis,
    void (*handler)(void *data), void *data);

/*
 * What the server has not heard yet goes ahead of all else: until then, or a
 * loss, other calls are declined.
 */
void ngx_completion_redis_behind(ngx_completion_redis_t *redis,
    ngx_uint_t behind);

/*
 * One command: its name and what it takes.  NGX_AGAIN: the handler is called
 * once, from the event loop, timeout from now at the latest; NGX_DECLINED: the
 * server is not reachable, as it was not the last time, and the handler is
 * not called.  The arguments are copied.
 */
ngx_int_t ngx_completion_redis_call(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_uint_t n, ngx_str_t *args);

/* The same of a script: its keys, then what else it takes; n of both. */
ngx_int_t ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args);

/* To be called once a script, in a worker. */
void ngx_completion_redis_script_init(ngx_completion_redis_script_t *script);

/*
 * The caller goes: its handler is not called.  What was sent may be carried
 * out all the same.  Of a call that is not under way it does nothing, if
 * call->slot is NULL, as it is in a zeroed one and behind the handler.
 */
void ngx_completion_redis_cancel(ngx_completion_redis_call_t *call);

/* Makes the connection if there is none: somebody is about to call. */
void ngx_completion_redis_reach(ngx_completion_redis_t *redis);

/* Whether a call would be declined now. */
ngx_uint_t ngx_completion_redis_away(ngx_completion_redis_t *redis);

/*
 * A value with the tag ahead of it, which is over the key's name and the
 * value: sealed has room for NGX_COMPLETION_REDIS_TAG bytes more than the
 * value.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_completion_redis_seal(ngx_completion_redis_t *redis,
    ngx_str_t *key, ngx_str_t *value, u_char *sealed);

/*
 * NGX_OK with the value, which points into what was sealed; NGX_DECLINED: as
 * absent, and told in the log once a while; NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_redis_open(ngx_completion_redis_t *redis,
    ngx_str_t *key, ngx_str_t *sealed, ngx_str_t *value);


/* A number in so many hex digits; returns the end of them. */
static ngx_inline u_char *
ngx_completion_redis_hex(u_char *p, uint64_t number, ngx_uint_t digits)
{
    static const u_char  hex[] = "0123456789abcdef";

    for ( ; digits; digits--) {
        *p++ = hex[number >> 4 * (digits - 1) & 0xf];
    }

    return p;
}


/* The worker quits: what is under way ends, nothing is kept open for more. */
void ngx_completion_redis_quit(ngx_completion_redis_t *redis);

/* No handler is called any more. */
void ngx_completion_redis_exit(ngx_completion_redis_t *redis);


#endif /* _NGX_COMPLETION_REDIS_H_INCLUDED_ */
