
/*
 * A request under way: its context, and what each unit of its path does.
 *
 *     handler -> route, negotiate -> input -> submit, poll -> stream -> reply
 *             -> models, about                     items -> problem -> send
 *
 * Each calls those behind it, and everybody request.c, which knows where the
 * request stands.  What ends elsewhere (a body that is read, a submit, news,
 * a timer) comes back through handlers that were given along.
 */


#ifndef _NGX_HTTP_COMPLETION_REQUEST_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_REQUEST_H_INCLUDED_


#include "../base/ngx_completion_timer.h"

#include "ngx_http_completion.h"
#include "ngx_http_completion_parse.h"


/*
 *     ARRIVED --> SUBMITS --> WAITS <--> news of the operation, or a timer
 *        |           |          |
 *        |           |          +------> STREAMS <--> the same
 *        v           v          v           |
 *      ENDED <------------------------------+
 *
 * ARRIVED: its headers and body are read.  A poll has no SUBMITS, a stream
 * no WAITS but for an operation that is to be looked up first.  From SUBMITS
 * to STREAMS nginx holds the request for us, with a reference of ours.
 */
typedef enum {
    NGX_HTTP_COMPLETION_ARRIVED = 0,
    NGX_HTTP_COMPLETION_SUBMITS,
    NGX_HTTP_COMPLETION_WAITS,
    NGX_HTTP_COMPLETION_STREAMS,          /* and the header is sent */
    NGX_HTTP_COMPLETION_ENDED             /* answered, or left by the client */
} ngx_http_completion_state_e;


typedef struct {
    ngx_http_request_t              *request;
    ngx_http_completion_loc_conf_t  *conf;
    ngx_http_completion_state_e      state;

    /* what is asked */

    ngx_completion_face_action_e     action;
    ngx_completion_face_format_e     format;
    ngx_http_completion_prefer_t     prefer;        /* as honoured */
    ngx_str_t                        owner;
    ngx_completion_face_input_t      input;         /* its body, or query */
    ngx_pool_t                      *input_pool;    /* of what is read in it */
    ngx_array_t                     *input_values;  /* variables that point
                                                       there; or NULL */
    unsigned                         held:1;        /* until it has ended */
    ngx_str_t                        model;         /* the location's part */
    ngx_array_t                      messages;

    /* what is known, once it is */

    ngx_completion_id_t              id;
    ngx_str_t                        capability;
    ngx_completion_view_t            view;
    ngx_pool_t                      *pool;          /* the view's, and its
                                                       event's; NULL: the
                                                       request's */
    ngx_completion_result_t         *result;        /* of its document */
    ngx_completion_source_e          source;
    unsigned                         replayed:1;    /* by its key */
    unsigned                         delivered:1;   /* as far as we can tell */
    ngx_completion_hold_t            hold;
    unsigned                         dropped:1;     /* what was read of the
                                                       input */
    ngx_completion_tags_e            tags;          /* of the answer */

    struct {                                        /* to a submit */
        ngx_uint_t                   status;
        ngx_msec_t                   time;
        ngx_msec_t                   queued;
        ngx_str_t                    request_id;
        ngx_uint_t                   tries;
    } upstream;

    /* how it waits */

    ngx_completion_submit_t         *submit;        /* in SUBMITS */
    ngx_completion_parts_t          *parts;         /* of a long text */
    ngx_completion_wait_t            wait;
    ngx_completion_wait_t           *waits;         /* for each part; NULL: it
                                                       is one */
    ngx_event_t                      timer;
    ngx_msec_t                       asked_until;   /* for upstream's answer;
                                                       0: it is not asked */
    ngx_msec_t                       wait_until;    /* for the end; 0: not */

    struct {
        ngx_chain_t                 *free;
        ngx_chain_t                 *busy;
        uint64_t                     version;       /* sent last */
        ngx_int_t                    event;         /* the same */
        ngx_msec_t                   beat;          /* of the next comment */
    } stream;

    /* time of our own */

    uint64_t                         clock;         /* us; 0: it stands */
    ngx_uint_t                       spent;         /* us */
} ngx_http_completion_ctx_t;


/* of a stream, ms */
#define NGX_HTTP_COMPLETION_HEARTBEAT  15000

#define ngx_http_completion_is_known(ctx)  ((ctx)->view.document.len != 0)


/* request */

ngx_http_completion_ctx_t *ngx_http_completion_create_ctx(
    ngx_http_request_t *r);

/* nginx's $request_id, made when it is first asked for: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_completion_request_id(ngx_http_request_t *r, ngx_str_t *id);

/*
 * Whether the request is still the context's: a "post_action" after the client
 * has left, or an "error_page", leads it elsewhere and takes our reference.
 */
#define ngx_http_completion_is_current(ctx)                                   \
    (ngx_http_get_module_ctx((ctx)->request,                                  \
                             ngx_http_completion_async_module) == (ctx))

/*
 * It is in this state until an event of ours: a client that leaves meanwhile
 * is noticed.  NGX_OK, or an HTTP status.
 */
ngx_int_t ngx_http_completion_hold(ngx_http_completion_ctx_t *ctx,
    ngx_http_completion_state_e state);

/* Ends a request from an event that is not its own; NGX_DONE: not yet. */
void ngx_http_completion_finalize(ngx_http_completion_ctx_t *ctx,
    ngx_int_t rc);


/*
 * route: what is to be done, in which shape, and with which id.  NGX_OK;
 * NGX_DONE: it is an OPTIONS; NGX_DECLINED: the problem's outcome is set.
 * "Allow" is added where it is due.
 */
ngx_int_t ngx_http_completion_route(ngx_http_request_t *r,
    ngx_http_completion_loc_conf_t *ccf, ngx_completion_face_action_e *action,
    ngx_uint_t *shape, ngx_str_t *id, ngx_completion_outcome_e *outcome);


/* negotiation: reads Accept and Prefer; NGX_DECLINED: nothing acceptable */

ngx_int_t ngx_http_completion_negotiate(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/* All values of a request header, joined with commas; len 0: none. */
ngx_int_t ngx_http_completion_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


/*
 * input: the body as a prompt, and what can be told of it before it is read.
 * NGX_OK; NGX_DECLINED: *outcome and the input's detail say what is wrong;
 * NGX_ERROR.
 */
ngx_int_t ngx_http_completion_input_type(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_outcome_e *outcome);
ngx_int_t ngx_http_completion_input(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_prompt_t *prompt,
    ngx_completion_outcome_e *outcome);

/*
 * While a request is held for its submit, it holds no more of the body than
 * nginx does: what was read is dropped, and read once more where it is needed,
 * for a prompt in a pool that goes again (NGX_OK or NGX_ERROR), to stay (the
 * same), or for the value of a variable, that may point to its members (NULL:
 * none).
 */
void ngx_http_completion_input_drop(ngx_http_completion_ctx_t *ctx);
size_t ngx_http_completion_input_held(ngx_http_request_t *r);
ngx_int_t ngx_http_completion_input_again(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt);
ngx_int_t ngx_http_completion_input_back(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);
ngx_array_t *ngx_http_completion_input_members(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_http_variable_value_t *v);


/*
 * What is asked of a face that does not negotiate says how it is answered:
 * as a stream, at once, or when it has ended.
 */
void ngx_http_completion_asked(ngx_http_completion_ctx_t *ctx);


/*
 * models: all, or the one of this name.  The model that a name stands for:
 * NGX_OK, or NGX_DECLINED.
 */
ngx_int_t ngx_http_completion_models(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *name);
ngx_int_t ngx_http_completion_model(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *name, ngx_str_t *model);


/* about: what the face says of itself, or that it has no such thing */

ngx_int_t ngx_http_completion_about(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


/*
 * client: whose the request is.  NGX_OK; NGX_DECLINED: nobody's, and the
 * input's detail may say why; NGX_ERROR.
 */
ngx_int_t ngx_http_completion_who(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


/*
 * items: what came of each of the texts that were asked for, for the face.
 * NGX_OK; NGX_DECLINED: some of it has just gone; NGX_ERROR.
 */
ngx_int_t ngx_http_completion_items(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_completion_face_view_t *view);


/* The wait that is under way, if one is. */
void ngx_http_completion_wait_end(ngx_http_completion_ctx_t *ctx);


/* submit, poll: answer now, or hold the request (NGX_DONE) */

ngx_int_t ngx_http_completion_submit(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/* Of the operation that the context names; or its cancel. */
ngx_int_t ngx_http_completion_poll(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


/*
 * stream: sends the operation as an event where it has changed.  NGX_DECLINED:
 * it goes on at the next change, or in so many ms; or how the request ends.
 */
ngx_int_t ngx_http_completion_stream(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_msec_int_t *ms);


/* problem: detail may be NULL; retry_after in ms, 0: not known */

ngx_int_t ngx_http_completion_problem(ngx_http_request_t *r,
    ngx_completion_outcome_e outcome, ngx_str_t *detail,
    ngx_msec_t retry_after);


/* reply */

ngx_int_t ngx_http_completion_reply(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

/* What every answer with an operation carries. */
ngx_int_t ngx_http_completion_reply_headers(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);

void ngx_http_completion_reply_view(ngx_http_completion_ctx_t *ctx,
    ngx_completion_face_view_t *view);

/*
 * send.  repeatable: the word on an error that SDKs obey ahead of the status;
 * retry_after in ms, 0: none.
 */
ngx_int_t ngx_http_completion_send(ngx_http_request_t *r,
    ngx_completion_face_answer_t *answer, ngx_uint_t repeatable,
    ngx_msec_t retry_after);
ngx_int_t ngx_http_completion_send_empty(ngx_http_request_t *r);

/* Of every answer: the request's id, and how long it is until the next poll. */
ngx_int_t ngx_http_completion_face_headers(ngx_http_request_t *r,
    ngx_msec_t *retry_after);

/* As proxy_intercept_errors: what error_page names, unless it led here. */
ngx_uint_t ngx_http_completion_intercepted(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_uint_t status);

/*
 * Once the answer is sure: while a request is held, nginx's discarding would
 * leave a timer on the connection, and take no notice of a client that leaves.
 */
void ngx_http_completion_discard_body(ngx_http_request_t *r);

/* The value is printed as by ngx_sprintf(); NULL: no memory. */
ngx_table_elt_t *ngx_http_completion_add_header(ngx_http_request_t *r,
    const char *name, const char *fmt, ...);

/* As they are, in memory that stays; and of literals. */
ngx_table_elt_t *ngx_http_completion_push_header(ngx_http_request_t *r,
    const char *name, size_t len, ngx_str_t *value);

#define ngx_http_completion_add_text(r, name, text)                           \
    ngx_http_completion_push_header(r, name, sizeof(name) - 1,                \
                                    &(ngx_str_t) ngx_string(text))

/* Of three parts that are put together; printing them costs more. */
extern ngx_str_t  ngx_http_completion_nothing;

ngx_table_elt_t *ngx_http_completion_add_joined(ngx_http_request_t *r,
    const char *name, ngx_str_t *before, ngx_str_t *text, ngx_str_t *after);
ngx_table_elt_t *ngx_http_completion_add_number(ngx_http_request_t *r,
    const char *name, ngx_str_t *before, ngx_uint_t n, ngx_str_t *after);

/*
 * Of a Cache-Control that was added, or NULL: nginx's other modules find it
 * where they look for one to replace; what led here may have left another.
 */
ngx_table_elt_t *ngx_http_completion_cache_control(ngx_http_request_t *r,
    ngx_table_elt_t *h);

/* What the document says; NULL: nothing readable. */
ngx_completion_result_t *ngx_http_completion_result(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx);


/*
 * clock: runs while nginx works on a request, stands while it waits for
 * anything, and ends once, with the answer.
 */
void ngx_http_completion_clock_start(ngx_http_completion_ctx_t *ctx);
void ngx_http_completion_clock_stop(ngx_http_completion_ctx_t *ctx);
void ngx_http_completion_clock_end(ngx_http_completion_ctx_t *ctx);


#endif /* _NGX_HTTP_COMPLETION_REQUEST_H_INCLUDED_ */
