
/*
 * Requests to the upstream: libcurl's multi-socket interface on nginx's own
 * event loop.  One CURLM per worker process, made by its first transfer.
 *
 * An origin (where to connect, and how) is made while the configuration is
 * read and is read-only afterwards.  A transfer belongs to whoever created
 * it, has a pool and a log of its own, and lives until its owner destroys it.
 * Everything but the origin's functions is called in worker processes only.
 *
 *     create -> fill -> start -> handler (exactly once) -> destroy
 *
 * The handler is called from the event loop, never from inside start().
 * destroy() is allowed at any time but from inside the fence; a transfer
 * destroyed before it has reported never reports.  There are no retries
 * here, and libcurl's own silent repeat of a request is prevented: where it
 * would repeat, a GET ends as BROKEN too.  Of several addresses a transfer
 * tries one; when that one fails, the origin's next transfer takes another.
 */


#ifndef _NGX_COMPLETION_FETCH_H_INCLUDED_
#define _NGX_COMPLETION_FETCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../model/ngx_completion_model.h"


typedef struct ngx_completion_fetch_s  ngx_completion_fetch_t;


typedef struct {
    ngx_str_t            url;           /* NUL-terminated, no credentials */
    void                *parts;         /* the same as libcurl has parsed it */
    ngx_str_t            host;          /* NUL-terminated, no brackets */
    in_port_t            port;
    ngx_str_t            target;        /* of a request, as it is sent */
    ngx_str_t            head;          /* behind it; of all requests */

    ngx_str_t            proxy;         /* URL, NUL-terminated; empty: none */
    ngx_str_t            trusted_certificate;  /* empty: the system's */
    ngx_flag_t           tls_verify;

    ngx_msec_t           connect_timeout;
    size_t               max_response_size;

    /* of the host, or of the proxy where there is one */
    ngx_str_t            peer;          /* name to resolve */
    in_port_t            peer_port;
    ngx_str_t           *addresses;     /* numeric, NUL-terminated; made at */
    ngx_uint_t           naddresses;    /* start; 0: asked of the resolver */
    ngx_resolver_t      *resolver;
    ngx_msec_t           resolver_timeout;

    ngx_uint_t           id;            /* by init; never used twice */

    unsigned             tls:1;
    unsigned             literal:1;     /* the peer is a numeric address */
} ngx_completion_origin_t;


typedef void (*ngx_completion_fetch_handler_pt)(ngx_completion_fetch_t *f);
typedef ngx_int_t (*ngx_completion_fetch_fence_pt)(ngx_completion_fetch_t *f);


struct ngx_completion_fetch_s {
    ngx_pool_t                      *pool;
    ngx_log_t                       *log;
    ngx_completion_origin_t         *origin;

    /* to fill in before start */

    unsigned                         post:1;
    unsigned                         hold:1;   /* a quitting worker waits,
                                                  else it ends unreported */
    unsigned                         secret:1; /* the answer is one, and is
                                                  wiped with the transfer */
    ngx_str_t                        suffix;   /* appended to the URL, and
                                                  sent as it is */
    ngx_str_t                        body;     /* the owner's, not copied */
    ngx_msec_t                       timeout;  /* of all, the line included */

    ngx_completion_fetch_handler_pt  handler;
    ngx_completion_fetch_fence_pt    fence;    /* right before the first byte
                                                  is sent: NGX_OK, or
                                                  NGX_DECLINED; may lock,
                                                  must not touch transfers */
    void                            *data;

    ngx_str_t                        credential;  /* as sent, in a header;
                                                  empty: none */

    /*
     * to read in the handler; status and response may be there in part when
     * the answer broke off.  The outcome is OK: status, headers and the whole
     * body; UPSTREAM_UNAVAILABLE: no connection, or fenced, nothing was sent;
     * UPSTREAM_TIMEOUT: the same, for lack of time; OUTCOME_UNKNOWN: sent, and
     * no readable answer.
     */

    ngx_completion_outcome_e         outcome;
    unsigned                         fenced:1; /* the fence declined */
    unsigned                         sent:1;   /* upstream may have seen it;
                                                  at any time */
    unsigned                         excess:1; /* the body is longer than
                                                  max_response_size */
    unsigned                         garbled:1;  /* it cannot be decoded */
    ngx_uint_t                       status;
    ngx_str_t                        response;
    ngx_msec_t                       elapsed;  /* since start, ms */
    const char                      *fault;    /* for the log; no secrets */
};


/*
 * Reads an upstream URL: http or https, a host, no credentials, no query, no
 * fragment.  Returns NULL, or what is wrong as a text for an [emerg].
 */
char *ngx_completion_origin_parse(ngx_conf_t *cf, ngx_str_t *url,
    ngx_completion_origin_t *o);

/* The same for the URL of an HTTP proxy ("http://host:port"). */
char *ngx_completion_origin_proxy(ngx_conf_t *cf, ngx_str_t *url,
    ngx_completion_origin_t *o);

/* The same for "host[:port]" alone, where o->port is set to what it is else. */
char *ngx_completion_origin_host(ngx_conf_t *cf, ngx_str_t *text,
    ngx_completion_origin_t *o);

/*
 * To be called once all of the configuration is known: takes the resolver
 * (may be NULL) or resolves the name now, and checks trusted_certificate.
 * Logs an [emerg] and returns NGX_ERROR when the host is not found.
 */
ngx_int_t ngx_completion_origin_init(ngx_conf_t *cf,
    ngx_completion_origin_t *o, ngx_resolver_t *resolver,
    ngx_msec_t resolver_timeout);

/*
 * The log is copied; its handler and data, where set, are kept.  NULL: out of
 * memory.
 */
ngx_completion_fetch_t *ngx_completion_fetch_create(
    ngx_completion_origin_t *o, ngx_log_t *log);

/* Adds a request header; NGX_ERROR: no memory, or CR, LF or NUL inside. */
ngx_int_t ngx_completion_fetch_header(ngx_completion_fetch_t *f,
    const char *name, ngx_str_t *value);

/* "Authorization: SCHEME CREDENTIAL", wiped when the transfer goes. */
ngx_int_t ngx_completion_fetch_authorization(ngx_completion_fetch_t *f,
    const char *scheme, ngx_str_t *credential);

/* Never fails at once: what goes wrong is reported as an outcome. */
void ngx_completion_fetch_start(ngx_completion_fetch_t *f);

/*
 * A header of the answer by its lower-case name, the last one if repeated:
 * NGX_OK, or NGX_DECLINED.  The value is in the transfer's pool.
 */
ngx_int_t ngx_completion_fetch_answer_header(ngx_completion_fetch_t *f,
    const char *name, ngx_str_t *value);

void ngx_completion_fetch_destroy(ngx_completion_fetch_t *f);

/*
 * From an event: worker_shutdown_timeout has passed.  Every transfer is ended
 * and has reported when this returns; those started later end as UNREACHED.
 */
void ngx_completion_fetch_close(void);
ngx_uint_t ngx_completion_fetch_closed(void);

/*
 * For the module's exit_process: ends everything, reports nothing.  The
 * transfers stay their owners', who may destroy them before or after.
 */
void ngx_completion_fetch_exit(void);


#endif /* _NGX_COMPLETION_FETCH_H_INCLUDED_ */
