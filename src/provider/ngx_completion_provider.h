
/*
 * The upstream's dialect: how it spells a submit, a poll, a cancel, a result
 * and an error.  Everything that knows member names of Yandex's API stands in
 * this folder; the layers above deal in the types of this header.
 *
 * A provider is made while the configuration is read and is read-only
 * afterwards.  Functions that take a pool allocate in it and keep nothing;
 * none of them takes a lock or blocks.
 */


#ifndef _NGX_COMPLETION_PROVIDER_H_INCLUDED_
#define _NGX_COMPLETION_PROVIDER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_credential.h"


#define NGX_COMPLETION_UPSTREAM_ID_MAX  64

#define NGX_COMPLETION_SUBMIT_URL                                             \
    "https://llm.api.cloud.yandex.net/foundationModels/v1/completionAsync"
#define NGX_COMPLETION_OPERATIONS_URL                                         \
    "https://operation.api.cloud.yandex.net/operations"


typedef struct {
    ngx_completion_origin_t          submit;
    ngx_completion_origin_t          operations;

    ngx_str_t                        folder;       /* empty: none */
    ngx_flag_t                       data_logging;
    ngx_msec_t                       request_timeout;

    ngx_completion_credential_t      credential;
} ngx_completion_provider_t;


typedef struct {
    ngx_str_t                        role;
    ngx_str_t                        text;
} ngx_completion_message_t;


typedef enum {
    NGX_COMPLETION_FORMAT_UNSET = 0,
    NGX_COMPLETION_FORMAT_JSON,                    /* "jsonObject": true */
    NGX_COMPLETION_FORMAT_SCHEMA                   /* "jsonSchema" */
} ngx_completion_format_e;


/*
 * What is asked: the location's part, which wins, and the client's, which is
 * either a text or a native request (an object in upstream's own spelling).
 */
typedef struct {
    ngx_str_t                        model;        /* bare, URI, or empty */
    ngx_str_t                        temperature;  /* as spelled, or empty */
    ngx_str_t                        max_tokens;   /* digits, or empty */
    ngx_str_t                        reasoning;    /* upstream's word */
    ngx_completion_format_e          format;
    ngx_str_t                        schema;       /* checked JSON text */
    ngx_array_t                      messages;     /* of message_t; nelts 0 */

    ngx_str_t                        text;         /* UTF-8, checked */
    ngx_str_t                        native;       /* JSON; empty: text */
} ngx_completion_prompt_t;


typedef enum {
    NGX_COMPLETION_PENDING = 0,
    NGX_COMPLETION_COMPLETED,
    NGX_COMPLETION_INCOMPLETE,     /* truncated, partial or filtered */
    NGX_COMPLETION_FAILED,
    NGX_COMPLETION_CANCELLED,      /* decided here */
    NGX_COMPLETION_LOST            /* decided here: upstream knows it no more */
} ngx_completion_state_e;


/*
 * An Operation as upstream told it, ready to be kept: one JSON text in
 * upstream's order and spelling, with an empty "id" and "createdBy", a "done"
 * in any case, and a cleaned "error.message".  The client's id belongs
 * between the bytes before id_offset and those after.
 */
typedef struct {
    ngx_str_t                        id;           /* upstream's */
    ngx_completion_state_e           state;
    ngx_str_t                        document;
    size_t                           id_offset;

    int64_t                          input_tokens;       /* -1: not said */
    int64_t                          completion_tokens;
    int64_t                          total_tokens;
} ngx_completion_operation_t;


typedef enum {
    NGX_COMPLETION_ANSWER_OPERATION = 0,
    NGX_COMPLETION_ANSWER_INVALID,      /* 400, 413, 422: the request's fault */
    NGX_COMPLETION_ANSWER_BUSY,         /* 429: not accepted, may be repeated */
    NGX_COMPLETION_ANSWER_UNAVAILABLE,  /* 503, no connection: the same */
    NGX_COMPLETION_ANSWER_TIMEOUT,      /* no connection in time: the same */
    NGX_COMPLETION_ANSWER_NOT_FOUND,    /* 404 */
    NGX_COMPLETION_ANSWER_UNAUTHORIZED, /* 401: not accepted; not logged */
    NGX_COMPLETION_ANSWER_REJECTED,     /* any other 3xx, 4xx */
    NGX_COMPLETION_ANSWER_FENCED,       /* our own fence declined */
    NGX_COMPLETION_ANSWER_UNKNOWN       /* sent, and no readable answer */
} ngx_completion_answer_e;


typedef struct {
    ngx_completion_answer_e          kind;
    ngx_completion_operation_t       operation;    /* of ANSWER_OPERATION */
    ngx_str_t                        reason;       /* cleaned; may be empty */
    ngx_uint_t                       status;       /* upstream's; 0: none */
    ngx_str_t                        request_id;   /* upstream's; printable */
    ngx_int_t                        retry_after;  /* seconds, -1: not said */
    ngx_int_t                        poll_interval;  /* seconds, -1: not said */
} ngx_completion_answer_t;


/* What a finished or pending document says, for texts and variables. */
typedef struct {
    ngx_completion_state_e           state;        /* up to FAILED */
    ngx_str_t                        text;         /* of alternative one */
    ngx_str_t                        model_version;
    ngx_uint_t                       error_code;   /* gRPC; 0: none */
    ngx_str_t                        error_message;
    unsigned                         filtered:1;   /* by the content filter */

    int64_t                          input_tokens;       /* -1: not said */
    int64_t                          completion_tokens;
    int64_t                          total_tokens;
} ngx_completion_result_t;


/*
 * The body of a submit: what is set, and nothing more.  NGX_OK; NGX_DECLINED:
 * the request is at fault, and *reason says how, fit for the client;
 * NGX_ERROR: no memory.  A model the location sets must not be empty here:
 * an empty one leaves the choice to a native request.
 */
ngx_int_t ngx_completion_provider_body(ngx_completion_provider_t *p,
    ngx_pool_t *pool, ngx_completion_prompt_t *prompt, ngx_str_t *body,
    ngx_str_t *reason);

/*
 * Transfers, filled but for handler, fence, data and timeout, and not yet
 * started; NULL: no memory, or an id that is none.  secret: what the
 * credential shows now; request_id: 32 hexadecimal digits.
 */
ngx_completion_fetch_t *ngx_completion_provider_submit(
    ngx_completion_provider_t *p, ngx_str_t *secret, ngx_str_t *body,
    u_char *request_id, ngx_log_t *log);
ngx_completion_fetch_t *ngx_completion_provider_poll(
    ngx_completion_provider_t *p, ngx_str_t *secret, ngx_str_t *id,
    ngx_log_t *log);
ngx_completion_fetch_t *ngx_completion_provider_cancel(
    ngx_completion_provider_t *p, ngx_str_t *secret, ngx_str_t *id,
    ngx_log_t *log);

/*
 * Reads what a transfer made above brought.  Logs what an operator needs to
 * know about a failure, once, to the transfer's log; a 404 only of a submit.
 * Allocates in the given pool, so that the transfer may be destroyed
 * afterwards.  Never fails: for lack of memory the kind is UNKNOWN.  With id
 * set, an Operation of another id is UNKNOWN.
 */
void ngx_completion_provider_answer(ngx_completion_fetch_t *f,
    ngx_pool_t *pool, ngx_str_t *id, ngx_completion_answer_t *answer);

/*
 * Reads a document made by this module, with or without the client's id in
 * it: NGX_OK or NGX_ERROR.  One that we declared cancelled or lost reads as
 * FAILED: only its record knows better.
 */
ngx_int_t ngx_completion_provider_result(ngx_pool_t *pool,
    ngx_str_t *document, ngx_completion_result_t *result);

/*
 * The document of an operation that we declared cancelled or lost, or of a
 * pending one whose own was not kept; submitted is its time in seconds,
 * decided when we said so.  The operation's id stays empty.  NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_completion_provider_decided(ngx_pool_t *pool,
    ngx_completion_state_e state, time_t submitted, time_t decided,
    ngx_completion_operation_t *operation);


#endif /* _NGX_COMPLETION_PROVIDER_H_INCLUDED_ */
