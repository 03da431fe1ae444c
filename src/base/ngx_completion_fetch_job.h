
/*
 * Private to the units behind ngx_completion_fetch.h: what a transfer is made
 * of, and who calls whom.
 *
 *     fetch.c         a transfer's life: line, name, report
 *     fetch_event.c   libcurl's multi handle on nginx's event loop
 *     fetch_easy.c    libcurl's easy handle: options, request
 *     fetch_answer.c  what comes out of it
 *     fetch_socket.c  the sockets that libcurl keeps
 *
 * Each knows those below it.  fetch_event.c speaks to the first by a table of
 * functions that it is given.
 *
 * A job is "admitted" while it is counted against the connection cap.  Its
 * easy handle is in the multi from event_add() to event_remove(), never while
 * libcurl is on the stack except in the callbacks named so.
 */


#ifndef _NGX_COMPLETION_FETCH_JOB_H_INCLUDED_
#define _NGX_COMPLETION_FETCH_JOB_H_INCLUDED_


#include "ngx_completion_fetch.h"

#include <curl/curl.h>


typedef enum {
    NGX_COMPLETION_FETCH_NEW = 0,
    NGX_COMPLETION_FETCH_IN_LINE,
    NGX_COMPLETION_FETCH_ADMITTED,
    NGX_COMPLETION_FETCH_DONE,          /* its outcome is not yet reported */
    NGX_COMPLETION_FETCH_ENDED
} ngx_completion_fetch_state_e;


typedef struct ngx_completion_fetch_job_s  ngx_completion_fetch_job_t;

struct ngx_completion_fetch_job_s {
    ngx_completion_fetch_t          fetch;      /* the first member */

    ngx_queue_t                     queue;
    ngx_event_t                     timer;      /* armed until the report */
    ngx_msec_t                      started;
    ngx_msec_t                      begun;      /* asking for the name */
    ngx_completion_fetch_state_e    state;

    ngx_resolver_ctx_t             *ctx;        /* while resolving */
    ngx_uint_t                      turn;

    CURL                           *easy;
    ngx_str_t                       lines;      /* of the request's head */
    size_t                          lines_size;
    ngx_str_t                       authorization;  /* one more, a secret */
    ngx_completion_fetch_job_t     *headed;     /* the next of those */
    struct curl_slist               resolve;
    ngx_uint_t                      attempts;
    ngx_socket_t                    fd;         /* -1: not known */
    ngx_uint_t                      opened;     /* connections of its own */

    /* of libcurl's work, see its progress function */
    ngx_uint_t                      looks;
    ngx_uint_t                      act;        /* the turn of the last look */
    ngx_msec_t                      cpu;        /* when that turn began */
    uint64_t                        received;   /* by the first look */
    uint64_t                        unwrapped;  /* of it, header and body */

    ngx_array_t                     answer;     /* of ngx_keyval_t */
    size_t                          header_size;
    ngx_uint_t                      header_lines;
    ngx_uint_t                      encodings;  /* of the answer's body */
    u_char                         *buffer;     /* malloc, with a cleanup */
    size_t                          size;

    unsigned                        picked:1;   /* one of many addresses */
    unsigned                        final:1;    /* all headers, not a 1xx */
    unsigned                        stale:1;    /* an old one, of no use */
    unsigned                        late:1;     /* its time has passed */

    const char                     *fault;      /* found in a callback */
    char                            error[CURL_ERROR_SIZE];
};


/* of fetch.c, for fetch_event.c */

typedef struct {

    /* The job has left the multi; from outside of libcurl. */
    void  (*settle)(ngx_completion_fetch_job_t *job, CURLcode code);

    /* Reports, then lets the line go on; from outside of libcurl. */
    void  (*turn)(void);

    /* Ends every transfer; from outside of libcurl. */
    void  (*abort)(const char *fault);

    /* worker_shutdown_timeout has passed. */
    void  (*close)(void);

    /* From libcurl's socket callback: this handle's makes no events. */
    void  (*unwatched)(CURL *easy);
} ngx_completion_fetch_owner_t;


/* fetch_easy.c */

/* The address to connect to; empty: the origin's host is one. */
ngx_int_t ngx_completion_fetch_easy_open(ngx_completion_fetch_job_t *job,
    ngx_str_t *address);

/* For a repeat on a connection of its own: of the last, nothing was sent. */
ngx_int_t ngx_completion_fetch_easy_again(ngx_completion_fetch_job_t *job);

/* After libcurl has acted: no head stays with it, but on its way. */
void ngx_completion_fetch_easy_headed(void);

void ngx_completion_fetch_easy_result(ngx_completion_fetch_job_t *job,
    CURLcode code);

/* The handle, if any, is kept for another transfer when "keep" is set. */
void ngx_completion_fetch_easy_close(ngx_completion_fetch_job_t *job,
    ngx_uint_t keep);

void ngx_completion_fetch_easy_exit(void);


/* A handle whose transfer ends before it connects; NULL: no memory. */
CURL *ngx_completion_fetch_easy_nowhere(void);


/* fetch_answer.c: libcurl's callbacks, each with the job as its data */

size_t ngx_completion_fetch_answer_line(char *p, size_t size, size_t n,
    void *data);
size_t ngx_completion_fetch_answer_body(char *p, size_t size, size_t n,
    void *data);
int ngx_completion_fetch_answer_progress(void *data, curl_off_t download,
    curl_off_t downloaded, curl_off_t upload, curl_off_t uploaded);

/* Before libcurl is called to act: what it does until it returns is a turn. */
void ngx_completion_fetch_answer_turn(void);

/* The body is as long as was announced. */
ngx_uint_t ngx_completion_fetch_answer_whole(ngx_completion_fetch_job_t *job);


/* fetch_event.c */

ngx_int_t ngx_completion_fetch_event_init(
    const ngx_completion_fetch_owner_t *owner, ngx_uint_t connections,
    ngx_log_t *log);
ngx_int_t ngx_completion_fetch_event_add(ngx_completion_fetch_job_t *job);
void ngx_completion_fetch_event_remove(ngx_completion_fetch_job_t *job);

/* Sockets that hold an nginx connection for a transfer now. */
ngx_uint_t ngx_completion_fetch_event_sockets(void);

void ngx_completion_fetch_event_exit(void);


/* fetch_socket.c */

/*
 * The socket, of both these ends, carries a request now, and will only be
 * closed by _close().  What finds no memory is not kept: _find() gives -1.
 */
void ngx_completion_fetch_socket_keep(ngx_socket_t s, ngx_str_t *ends);
ngx_socket_t ngx_completion_fetch_socket_find(ngx_str_t *ends);
int ngx_completion_fetch_socket_close(void *data, curl_socket_t s);

/*
 * From the end of a transfer to _wake(), _drop() or _close() a kept socket's
 * connection is idle, and the handler hears of whatever upstream does to it;
 * NGX_DECLINED: it is not one of those.  NULL: it was not idle.
 */
ngx_int_t ngx_completion_fetch_socket_idle(ngx_connection_t *c,
    ngx_event_handler_pt handler);
ngx_connection_t *ngx_completion_fetch_socket_wake(ngx_socket_t s);

/* Give up the connection of this one or any that idles, or NGX_DECLINED. */
ngx_int_t ngx_completion_fetch_socket_drop(ngx_socket_t s);
ngx_int_t ngx_completion_fetch_socket_evict(void);

/* Upstream did: it is of no use, and libcurl is to close it. */
void ngx_completion_fetch_socket_ended(ngx_socket_t s);

void ngx_completion_fetch_socket_release(ngx_connection_t *c,
    ngx_uint_t flags);

/* Neither posted nor asked for any more: NGX_OK, or NGX_ERROR. */
ngx_int_t ngx_completion_fetch_socket_off(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t flags);

ngx_uint_t ngx_completion_fetch_socket_nidle(void);
ngx_uint_t ngx_completion_fetch_socket_nended(void);

void ngx_completion_fetch_socket_exit(void);


#endif /* _NGX_COMPLETION_FETCH_JOB_H_INCLUDED_ */
