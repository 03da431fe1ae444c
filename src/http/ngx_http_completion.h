
/*
 * The module's face: nginx's configuration and requests.  What the units of
 * this folder share: configurations, the context of a request, and a
 * function or two of each.
 */


#ifndef _NGX_HTTP_COMPLETION_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_parse.h"
#include "../base/ngx_completion_json.h"
#include "../base/ngx_completion_timer.h"
#include "../operation/ngx_completion_operation.h"


/* as the changelog has it */
#define NGX_HTTP_COMPLETION_VERSION   "0.2.0"

/* of a body where client_max_body_size does not say */
#define NGX_HTTP_COMPLETION_BODY_MAX  (4 * 1024 * 1024)

#define NGX_HTTP_COMPLETION_INPUT     "completion_async_input_"


typedef struct {
    ngx_array_t                  services;   /* of service_t * */
    ngx_int_t                    request_id; /* index of $request_id */
} ngx_http_completion_main_conf_t;


typedef struct {
    ngx_str_t                    role;
    ngx_http_complex_value_t     text;
} ngx_http_completion_message_t;


typedef struct {
    ngx_str_t                    provider;   /* may be defined further down */
    ngx_completion_place_t       place;      /* of the handler's directive */
    ngx_completion_service_t    *service;    /* of the provider, once merged */
    ngx_flag_t                   submits;    /* not operations only */
    ngx_flag_t                   metrics;    /* nothing but metrics */

    ngx_str_t                    prefix;     /* without a trailing slash */
    ngx_flag_t                   prefixed;   /* a prefix location */
    ngx_str_t                    operations_uri;  /* as configured */
    ngx_str_t                    uri;        /* what "Location" is made of */

    ngx_http_complex_value_t    *model;
    ngx_array_t                 *messages;   /* of message_t */
    ngx_str_t                    temperature;
    ngx_str_t                    max_tokens;
    ngx_str_t                    reasoning;
    ngx_uint_t                   format;
    ngx_str_t                    schema;
    ngx_str_t                    schema_file;

    ngx_http_complex_value_t    *owner;
    ngx_msec_t                   wait_max;
    ngx_msec_t                   wait_default;
    ngx_flag_t                   intercept_errors;

    time_t                       idempotency;     /* seconds; 0: off */
    time_t                       cache;           /* seconds; 0: off */
    ngx_flag_t                   cache_shared;
} ngx_http_completion_loc_conf_t;


typedef struct {
    ngx_http_request_t            *request;
    ngx_completion_service_t      *service;
    ngx_completion_submit_t       *submit;   /* under way */

    ngx_http_completion_format_e   format;
    ngx_str_t                      owner;
    ngx_array_t                   *inputs;   /* of json_member_t */

    /* the operation, once it is known */

    ngx_completion_id_t            id;
    ngx_str_t                      capability;
    ngx_completion_view_t          view;
    ngx_completion_result_t       *result;   /* read from the document */
    ngx_completion_state_e         state;
    ngx_completion_source_e        source;
    ngx_uint_t                     upstream_status;
    ngx_msec_t                     upstream_time;
    ngx_str_t                      upstream_request_id;

    /* waiting */

    ngx_completion_wait_t          wait;
    ngx_event_t                    timer;
    ngx_msec_t                     asked_until;   /* for upstream's answer */
    ngx_msec_t                     wait_until;    /* for the end */
    ngx_http_completion_prefer_t   prefer;        /* as honoured */

    /* time of our own */

    uint64_t                       clock;         /* us; 0: it stands */
    ngx_uint_t                     spent;         /* us */

    /* a stream */

    ngx_chain_t                   *free;
    ngx_chain_t                   *busy;
    uint64_t                       streamed;      /* the version sent last */
    ngx_msec_t                     beat;          /* of the next comment */

    unsigned                       known:1;       /* the view holds */
    unsigned                       submits:1;     /* or tries to */
    unsigned                       submitted:1;   /* by this request */
    unsigned                       replayed:1;    /* by its key */
    unsigned                       sent:1;        /* to upstream */
    unsigned                       cancel:1;
    unsigned                       waits:1;       /* for the end, a while */
    unsigned                       held:1;        /* the request is ours */
    unsigned                       asked:1;       /* upstream, for this */
    unsigned                       streaming:1;   /* the header is sent */
} ngx_http_completion_ctx_t;


/* handler */

ngx_int_t ngx_http_completion_handler(ngx_http_request_t *r);

/*
 * Whether the request is still the context's: a "post_action" after the client
 * has left, or an "error_page", leads it elsewhere and takes our reference.
 */
#define ngx_http_completion_current(ctx)                                      \
    (ngx_http_get_module_ctx((ctx)->request,                                  \
                             ngx_http_completion_async_module) == (ctx))

/* Ends a request from an event that is not its own; NGX_DONE: not yet. */
void ngx_http_completion_finalize(ngx_http_completion_ctx_t *ctx,
    ngx_int_t rc);


/* negotiation: reads Accept and Prefer; NGX_DECLINED: nothing acceptable */

ngx_int_t ngx_http_completion_negotiate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_http_completion_loc_conf_t *clcf);

/* All values of a request header, joined with commas; len 0: none. */
ngx_int_t ngx_http_completion_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


/* submit */

ngx_int_t ngx_http_completion_submit(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/*
 * input: the body as a prompt.  NGX_OK; NGX_DECLINED: *outcome and *detail
 * say what is wrong; or an HTTP status.
 */
ngx_int_t ngx_http_completion_input_type(ngx_http_request_t *r,
    const char **detail);
ngx_int_t ngx_http_completion_input(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt,
    ngx_completion_outcome_e *outcome, const char **detail);


/*
 * wait: answers with the operation that the context names, now, or holds the
 * request and answers later (NGX_DONE).
 */
ngx_int_t ngx_http_completion_continue(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/* Notices a client that leaves: NGX_OK, or an HTTP status. */
ngx_int_t ngx_http_completion_hold(ngx_http_request_t *r);

/* Goes on in so many ms, or when the operation changes: NGX_DONE, or 500. */
ngx_int_t ngx_http_completion_wait(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_t ms);


/*
 * stream: sends the operation as an event where it has changed, and ends, or
 * waits (NGX_DONE).
 */
ngx_int_t ngx_http_completion_stream(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/* Whether the client has seen the end: NGX_OK, NGX_DECLINED or NGX_ERROR. */
ngx_int_t ngx_http_completion_stream_seen(ngx_http_request_t *r);


/* reply */

ngx_int_t ngx_http_completion_reply(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
ngx_int_t ngx_http_completion_reply_headers(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/* The document with the client's id in its place. */
ngx_int_t ngx_http_completion_document(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *document);

/* detail may be NULL; retry_after in ms, 0: none */
ngx_int_t ngx_http_completion_problem(ngx_http_request_t *r,
    ngx_completion_outcome_e outcome, const char *detail,
    ngx_msec_t retry_after);

/*
 * Once the answer is sure: while a request is held, nginx's discarding would
 * leave a timer on the connection, and take no notice of a client that leaves.
 */
void ngx_http_completion_discard_body(ngx_http_request_t *r);

ngx_int_t ngx_http_completion_empty(ngx_http_request_t *r, ngx_uint_t status);
ngx_int_t ngx_http_completion_add_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);

/* What the document says; NULL: nothing readable. */
ngx_completion_result_t *ngx_http_completion_result(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


/* metrics */

ngx_int_t ngx_http_completion_metrics_handler(ngx_http_request_t *r);


/*
 * clock: runs while nginx works on a request, stands while it waits for
 * anything, and ends once, with the answer.
 */
void ngx_http_completion_clock_start(ngx_http_completion_ctx_t *ctx);
void ngx_http_completion_clock_stop(ngx_http_completion_ctx_t *ctx);
void ngx_http_completion_clock_end(ngx_http_completion_ctx_t *ctx);


/* variables */

ngx_int_t ngx_http_completion_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_completion_async_module;


#endif /* _NGX_HTTP_COMPLETION_H_INCLUDED_ */
