
/*
 * Private to the units behind ngx_completion_fetch.h: what a transfer is made
 * of, and who calls whom.
 *
 *     fetch.c         a transfer's life: line, name, report
 *     fetch_easy.c    libcurl's easy handle: options, request, answer
 *     fetch_event.c   libcurl's multi handle on nginx's event loop
 *     fetch_memory.c  libcurl's memory, wiped before it is freed
 *
 * A job is "admitted" while it is counted against the connection cap.  Its
 * easy handle is in the multi from event_add() to event_remove(), never while
 * libcurl is on the stack except in the callbacks named so.
 */


#ifndef _NGX_COMPLETION_FETCH_JOB_H_INCLUDED_
#define _NGX_COMPLETION_FETCH_JOB_H_INCLUDED_


#include "ngx_completion_fetch.h"

#include <curl/curl.h>


/* what libcurl sends from, bytes; 16 KB is the least it takes */
#define NGX_COMPLETION_FETCH_UPLOAD_BUFFER  16384


typedef enum {
    NGX_COMPLETION_FETCH_NEW = 0,
    NGX_COMPLETION_FETCH_IN_LINE,
    NGX_COMPLETION_FETCH_ADMITTED,
    NGX_COMPLETION_FETCH_DONE,          /* its outcome is not yet reported */
    NGX_COMPLETION_FETCH_ENDED
} ngx_completion_fetch_state_e;


typedef struct {
    ngx_completion_fetch_t          fetch;      /* the first member */

    ngx_queue_t                     queue;
    ngx_event_t                     timer;      /* armed until the report */
    ngx_msec_t                      started;
    ngx_completion_fetch_state_e    state;

    ngx_resolver_ctx_t             *ctx;        /* while resolving */
    ngx_uint_t                      turn;

    CURL                           *easy;
    struct curl_slist              *headers;    /* in the pool */
    struct curl_slist              *last_header;
    struct curl_slist               resolve;
    size_t                          sent;       /* of the body */
    ngx_uint_t                      attempts;
    ngx_socket_t                    fd;         /* -1: not known */

    ngx_array_t                     answer;     /* of ngx_keyval_t */
    size_t                          header_size;
    ngx_uint_t                      header_lines;
    u_char                         *buffer;     /* malloc, with a cleanup */
    size_t                          size;

    unsigned                        picked:1;   /* one of many addresses */
    unsigned                        final:1;    /* all headers, not a 1xx */
    unsigned                        unwatched:1;
    unsigned                        opened:1;   /* a new connection */
    unsigned                        stale:1;    /* an old one, of no use */

    const char                     *fault;      /* found in a callback */
    char                            error[CURL_ERROR_SIZE];
} ngx_completion_fetch_job_t;


/* a connection for events that have none: debug logging reads its fd */
extern ngx_connection_t  ngx_completion_fetch_dumb;


/* fetch.c, for fetch_event.c */

/* The job has left the multi; from outside of libcurl. */
void ngx_completion_fetch_settle(ngx_completion_fetch_job_t *job,
    CURLcode code);

/* Reports, then lets the line go on; from outside of libcurl. */
void ngx_completion_fetch_turn(void);

/* Ends every transfer; from outside of libcurl. */
void ngx_completion_fetch_abort(const char *fault);

/* From libcurl's socket callback: this handle's socket makes no events. */
void ngx_completion_fetch_unwatched(CURL *easy);


/* fetch_easy.c */

ngx_int_t ngx_completion_fetch_easy_open(ngx_completion_fetch_job_t *job,
    ngx_str_t *address);

/* For a repeat on a connection of its own: of the last, nothing was sent. */
ngx_int_t ngx_completion_fetch_easy_again(ngx_completion_fetch_job_t *job);

void ngx_completion_fetch_easy_result(ngx_completion_fetch_job_t *job,
    CURLcode code);

/* The handle is kept for another transfer when "keep" is set. */
void ngx_completion_fetch_easy_close(ngx_completion_fetch_job_t *job,
    ngx_uint_t keep);

void ngx_completion_fetch_easy_exit(void);


/* fetch_memory.c */

CURLcode ngx_completion_fetch_global_init(void);


/* fetch_event.c */

ngx_int_t ngx_completion_fetch_event_init(ngx_uint_t connections,
    ngx_log_t *log);
ngx_int_t ngx_completion_fetch_event_add(ngx_completion_fetch_job_t *job);
void ngx_completion_fetch_event_remove(ngx_completion_fetch_job_t *job);

/*
 * From libcurl's callbacks: what is written to this socket until libcurl
 * returns goes out together; -1: nothing.
 */
void ngx_completion_fetch_event_gather(ngx_socket_t s);

/*
 * From libcurl's callbacks: the socket, if known, carries a request now, and
 * will only be closed by the third of these.  Until then the second tells its
 * local port; 0: it has none that is known.
 */
void ngx_completion_fetch_event_established(ngx_socket_t s, in_port_t port);
in_port_t ngx_completion_fetch_event_port(ngx_socket_t s);
int ngx_completion_fetch_event_close(void *data, curl_socket_t s);

/* Sockets that hold an nginx connection for a transfer now. */
ngx_uint_t ngx_completion_fetch_event_sockets(void);

/* Those that hold one, and would give it up for another socket. */
ngx_uint_t ngx_completion_fetch_event_idle(void);

void ngx_completion_fetch_event_exit(void);


#endif /* _NGX_COMPLETION_FETCH_JOB_H_INCLUDED_ */
