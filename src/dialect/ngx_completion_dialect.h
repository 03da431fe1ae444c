
/*
 * How an upstream spells it.  A dialect is a table: what it adds to the block
 * of a provider, how a submit, a poll and a cancel are asked, and how their
 * answers read.  Each has a folder here, the only place that knows its words;
 * the layers above deal in the types of this header and call what stands at
 * its end, whatever is spoken below.
 *
 *     body, headers          -> a transfer -> upstream
 *     answer, reason, result <- what it brought <-
 *
 * A provider is made while the configuration is read and is read-only
 * afterwards.  Functions that take a pool allocate in it and keep nothing;
 * none of them takes a lock or blocks.
 */


#ifndef _NGX_COMPLETION_DIALECT_H_INCLUDED_
#define _NGX_COMPLETION_DIALECT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../model/ngx_completion_id.h"

#include "ngx_completion_credential.h"


typedef struct ngx_completion_dialect_s  ngx_completion_dialect_t;


typedef struct {
    const ngx_completion_dialect_t  *dialect;
    void                            *conf;         /* the dialect's own */
    ngx_str_t                        name;

    ngx_completion_origin_t          submit;
    ngx_completion_origin_t          operations;

    ngx_str_t                        tenant;       /* whose operations these
                                                      are, in upstream's
                                                      words; empty: none */
    ngx_msec_t                       request_timeout;

    ngx_completion_credential_t      credential;
} ngx_completion_provider_t;


/*
 * An operation as upstream told it, ready to be kept: one JSON text with an
 * empty id, where the client's belongs between the bytes before id_offset and
 * those after, and with its errors cleaned.
 */
typedef struct {
    ngx_str_t                        id;           /* upstream's */
    ngx_completion_state_e           state;
    ngx_str_t                        document;
    size_t                           id_offset;
    ngx_completion_usage_t           usage;
} ngx_completion_operation_t;


/*
 * The outcome is that of the transfer, where there was no answer to read, and
 * otherwise
 *
 *     OK                    an operation
 *     INVALID_REQUEST       400, 413, 422: the request's fault
 *     QUOTA_EXCEEDED        429: not accepted, may be repeated
 *     UPSTREAM_UNAVAILABLE  503: the same
 *     OPERATION_NOT_FOUND   404, but of a submit
 *     OUTCOME_UNKNOWN       408, 499, any other 5xx, or nothing readable
 *     UPSTREAM_REJECTED     401, and any other 3xx, 4xx
 */
typedef struct {
    ngx_completion_outcome_e         outcome;
    unsigned                         unauthorized:1;  /* 401 */
    ngx_completion_operation_t       operation;    /* of OK; the state, of an
                                                      answer that came whole
                                                      and cannot be used: which
                                                      end that would be */
    ngx_str_t                        reason;       /* cleaned; may be empty */
    ngx_str_t                        fault;        /* for the log; empty: the
                                                      status tells */
    ngx_uint_t                       status;       /* upstream's; 0: none */
    ngx_str_t                        request_id;   /* upstream's; printable */
    ngx_int_t                        retry_after;  /* seconds, -1: not said */
    ngx_int_t                        poll_interval;  /* seconds, -1: not said */
} ngx_completion_answer_t;


/* what a location may set and not every upstream can do */
typedef enum {
    NGX_COMPLETION_SETTING_MODEL = 0,
    NGX_COMPLETION_SETTING_TEMPERATURE,
    NGX_COMPLETION_SETTING_REASONING,
    NGX_COMPLETION_SETTING_SCHEMA
} ngx_completion_setting_e;


/*
 * A text that upstream did not mean for end users: from where it starts, in
 * any case of letters, up to and with where it ends, it is replaced, and does
 * not become longer; without an end, all of the text it stands in goes.
 * starts.len 0: the last one.
 */
typedef struct {
    ngx_str_t                        starts;
    const char                      *ends;
    const char                      *instead;
} ngx_completion_pattern_t;


/* what an operator is to check after an answer of this status; 0: the last */
typedef struct {
    ngx_uint_t                       status;
    const char                      *check;
} ngx_completion_hint_t;


/* what upstream may echo, and nobody is to see; len 0: none */
typedef struct {
    const ngx_completion_dialect_t  *dialect;
    ngx_str_t                        tenant;
    ngx_str_t                        credential;   /* as sent this time */
} ngx_completion_masks_t;


/* What is told of a text in parts. */
typedef struct {
    time_t                           submitted;    /* seconds */
    time_t                           modified;
    ngx_uint_t                       parts;
    ngx_uint_t                       done;         /* of them */
    ngx_str_t                       *text;         /* of those without a gap
                                                      from the first; NULL: is
                                                      not told */
    ngx_completion_result_t         *result;       /* joined, of all that have
                                                      ended; NULL: not yet */
    ngx_str_t                       *failed;       /* or the document of the
                                                      part that has failed */
} ngx_completion_joined_t;


struct ngx_completion_dialect_s {

    /* the block of a provider: presets, and what the dialect adds to it */

    const char                      *submit_url;
    const char                      *operations_url;
    ngx_command_t                   *commands;
    const char                      *credentials;  /* how to write one */

    /* NULL: it has no conf of its own. */
    void                          *(*create_conf)(ngx_conf_t *cf);

    /* Once the block is read: NULL, or what is wrong; NULL: nothing is. */
    const char                    *(*init_conf)(ngx_completion_provider_t *p);

    /*
     * Whether this may be a location's setting: NULL, or what is wrong.  A
     * schema is a JSON object, a temperature a number; nothing is empty.
     * NULL: a model alone may be set, of any name.
     */
    const char                    *(*setting)(ngx_completion_provider_t *p,
                                        ngx_pool_t *pool,
                                        ngx_completion_setting_e setting,
                                        ngx_str_t *value);

    time_t                           lifetime;     /* of results, seconds */
    ngx_str_t                        native;       /* the member that makes a
                                                      request a native one */

    /*
     * The body of a submit: what is set, and nothing more.  The prompt holds a
     * text, turns with calls of tools and their results, or a native request,
     * whose members the dialect knows and checks; tools, the choice of one and
     * options stand beside the first two.  NGX_OK; NGX_DECLINED: the request
     * is at fault, or asks what this upstream cannot do, and *reason says how,
     * fit for the client, in the pool; NGX_ERROR: no memory.  A model the
     * location sets must not be empty here: an empty one leaves the choice to
     * a native request.
     */
    ngx_int_t                      (*body)(ngx_completion_provider_t *p,
                                        ngx_pool_t *pool,
                                        ngx_completion_prompt_t *prompt,
                                        ngx_str_t *body, ngx_str_t *reason);

    /*
     * An operation is read by a GET of its id behind the origin's URL, and
     * cancelled with this behind the id, by a GET or a POST.
     */
    const char                      *cancel;
    ngx_uint_t                       cancel_post;

    /*
     * Adds the headers of a call, which has its credential already; the id is
     * that of ngx_completion_provider_call().  NGX_OK or NGX_ERROR.
     */
    ngx_int_t                      (*headers)(ngx_completion_provider_t *p,
                                        ngx_completion_kind_e kind,
                                        ngx_completion_fetch_t *f,
                                        u_char *request_id);

    /* headers of an answer: seconds until the next poll; NULL ends the ids */

    const char                      *poll_interval;
    const char                     **request_ids;

    const ngx_completion_hint_t     *hints;

    /*
     * Whether it may be one of upstream's: ngx_completion_id_check(), or one
     * that takes less.
     */
    ngx_int_t                      (*id)(ngx_str_t *id);

    /*
     * Reads an operation out of an answer to a call.  The text goes with its
     * transfer: what is read stands in the pool.  NGX_OK; NGX_DECLINED: not
     * readable, and *fault says how, fit for a log; NGX_ERROR: no memory.
     */
    ngx_int_t                      (*answer)(ngx_completion_kind_e kind,
                                        ngx_completion_masks_t *masks,
                                        ngx_pool_t *pool, ngx_str_t *text,
                                        ngx_completion_operation_t *operation,
                                        const char **fault);

    /* The reason that an error gives, not yet cleaned; empty: none. */
    ngx_int_t                      (*reason)(ngx_pool_t *pool, ngx_str_t *text,
                                        ngx_str_t *reason);

    const ngx_completion_pattern_t  *patterns;
    size_t                           resource_id;  /* so many lower-case
                                                      letters and digits are
                                                      one; 0: none is */

    /*
     * Reads a document made by this module, with or without the client's id
     * in it: the text or the calls of the first alternative, their arguments
     * as JSON, tokens, the model's version.  NGX_OK or NGX_ERROR.  What is
     * INCOMPLETE was filtered if its failure says so, and else cut.  One whose
     * end we declared ourselves reads as FAILED: only its record knows better.
     */
    ngx_int_t                      (*result)(ngx_pool_t *pool,
                                        ngx_str_t *document,
                                        ngx_completion_result_t *result);

    /*
     * The document of an operation whose end we declared: CANCELLED, LOST,
     * TOO_LARGE or UNREADABLE, or of a pending one whose own was not kept;
     * submitted is its time in seconds, decided when we said so.  The
     * operation's id stays empty.  NGX_OK or NGX_ERROR.
     */
    ngx_int_t                      (*decided)(ngx_pool_t *pool,
                                        ngx_completion_state_e state,
                                        time_t submitted, time_t decided,
                                        ngx_completion_operation_t *operation);

    /*
     * The document of a text in parts, which result() reads as any other; its
     * id stays empty, its state is the caller's.  NGX_OK or NGX_ERROR.
     */
    ngx_int_t                      (*joined)(ngx_pool_t *pool,
                                        ngx_completion_joined_t *joined,
                                        ngx_completion_operation_t *operation);
};


/* The dialects there are; a provider speaks the first one. */
extern const ngx_completion_dialect_t  *ngx_completion_dialects[];

/* In a command of a dialect: its setter gets provider->conf, else provider. */
#define NGX_COMPLETION_DIALECT_CONF  1


/*
 * A transfer, filled but for handler, fence, data and timeout, and not yet
 * started; NULL: no memory, or an id that is none.  secret: what the
 * credential shows now; text: the body of a submit, or else the operation's
 * id; request_id: of a submit, 32 hexadecimal digits.
 */
ngx_completion_fetch_t *ngx_completion_provider_call(
    ngx_completion_provider_t *p, ngx_completion_kind_e kind,
    ngx_str_t *secret, ngx_str_t *text, u_char *request_id, ngx_log_t *log);

/*
 * Reads what a transfer made above brought.  Allocates in the given pool, so
 * that the transfer may be destroyed afterwards.  Never fails: for lack of
 * memory the outcome is unknown.  With id set, an operation of another id is
 * OUTCOME_UNKNOWN.
 */
void ngx_completion_provider_answer(ngx_completion_provider_t *p,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f, ngx_pool_t *pool,
    ngx_str_t *id, ngx_completion_answer_t *answer);


/*
 * A line of what an operator needs to know about an answer that failed; behind
 * it stands what the log does not say by itself, or nothing.
 */
void ngx_completion_provider_report(ngx_completion_provider_t *p,
    ngx_completion_answer_t *answer, ngx_uint_t level, ngx_log_t *log,
    ngx_str_t *behind);


/* For dialects */

void ngx_completion_usage_init(ngx_completion_usage_t *usage);

/* of a text that is shown as the reason of an error, bytes */
#define NGX_COMPLETION_REASON_MAX  512

/*
 * Cleans a text in place of the caller's ngx_str_t, copying it: of tenant and
 * credential, of control characters, of the dialect's resource ids and
 * patterns; one that has to go becomes empty.  limit: bytes, 0: none.
 */
ngx_int_t ngx_completion_clean(ngx_completion_masks_t *masks, ngx_pool_t *pool,
    ngx_str_t *text, size_t limit);

/* The first part only: tenant and credential. */
ngx_int_t ngx_completion_mask(ngx_completion_masks_t *masks, ngx_pool_t *pool,
    ngx_str_t *text);


#endif /* _NGX_COMPLETION_DIALECT_H_INCLUDED_ */
