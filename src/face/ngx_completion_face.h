
/*
 * How a client spells it.  A face is a table: where its requests go below a
 * location, how a body reads as a prompt, and how an operation, its news and
 * a problem are written.  Each has a file here, the only place that knows its
 * shapes; HTTP around them (headers, what is negotiated, sending) is the
 * caller's.
 *
 *     path -> routes -> action        body -> read -> prompt -> a dialect
 *     operation -> write, event -> body        outcome -> error -> body
 *
 * Pure functions over strings, of any origin: what is handed out is in the
 * given pool or points into the argument; nothing is kept or logged.
 */


#ifndef _NGX_COMPLETION_FACE_H_INCLUDED_
#define _NGX_COMPLETION_FACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_json.h"
#include "../model/ngx_completion_model.h"


typedef struct ngx_completion_face_s  ngx_completion_face_t;


typedef enum {
    NGX_COMPLETION_FACE_NOTHING = 0,
    NGX_COMPLETION_FACE_SUBMIT,
    NGX_COMPLETION_FACE_READ,
    NGX_COMPLETION_FACE_CANCEL
} ngx_completion_face_action_e;


/* A path, where "*" is an id, and what its methods do, 0: not allowed. */
typedef struct {
    ngx_str_t                            path;
    ngx_completion_face_action_e         get;     /* and HEAD */
    ngx_completion_face_action_e         post;
    ngx_completion_face_action_e         delete;
} ngx_completion_face_route_t;


/* what a body is, by its Content-Type */
typedef enum {
    NGX_COMPLETION_FACE_BODY_TEXT = 0,
    NGX_COMPLETION_FACE_BODY_JSON,
    NGX_COMPLETION_FACE_BODY_FORM,
    NGX_COMPLETION_FACE_BODY_OTHER
} ngx_completion_face_body_e;


/* A request's body, but of an OTHER type, and what is read in it. */
typedef struct {
    ngx_completion_face_body_e           type;
    ngx_str_t                            native;   /* the member that makes it
                                                      one of upstream's */
    ngx_str_t                            body;

    ngx_array_t                         *members;  /* out: json_member_t, of
                                                      the top level, or fields;
                                                      NULL: there are none */
    ngx_str_t                            detail;   /* out: what is wrong */
} ngx_completion_face_input_t;


/* as what an operation is shown */
typedef enum {
    NGX_COMPLETION_FACE_JSON = 0,
    NGX_COMPLETION_FACE_TEXT,
    NGX_COMPLETION_FACE_STREAM
} ngx_completion_face_format_e;


/* An operation, as the client that asks is to see it. */
typedef struct {
    ngx_str_t                            id;       /* the client's */
    ngx_completion_state_e               state;
    ngx_str_t                            document; /* the id is left out */
    size_t                               id_offset;
    ngx_completion_result_t             *result;   /* for a text, of one that
                                                      has ended */
    unsigned                             accepted:1;  /* just now, and its end
                                                         is not waited for */
} ngx_completion_face_view_t;


/* What is sent; zeroed for who writes it. */
typedef struct {
    ngx_uint_t                           status;   /* of HTTP */
    ngx_str_t                            type;
    ngx_str_t                            charset;  /* or empty */
    ngx_str_t                            body;
} ngx_completion_face_answer_t;


struct ngx_completion_face_s {

    /* Of a location that submits, and of one for operations alone; the first
       path that fits counts, and one without data ends them. */

    const ngx_completion_face_route_t   *routes;
    const ngx_completion_face_route_t   *operations;

    ngx_str_t                            types;    /* that are read, in words */

    /* NGX_OK; NGX_DECLINED: the detail says what is wrong; NGX_ERROR. */
    ngx_int_t                          (*read)(ngx_pool_t *pool,
                                            ngx_completion_face_input_t *input,
                                            ngx_completion_prompt_t *prompt);

    /* NGX_OK, or NGX_ERROR: no memory; STREAM: as JSON. */
    ngx_int_t                          (*write)(ngx_pool_t *pool,
                                            ngx_completion_face_format_e format,
                                            ngx_completion_face_view_t *view,
                                            ngx_completion_face_answer_t *to);

    /* The same of a problem; detail: empty: there is no more to say. */
    ngx_int_t                          (*error)(ngx_pool_t *pool,
                                            ngx_completion_face_format_e format,
                                            ngx_completion_outcome_e outcome,
                                            ngx_str_t *detail,
                                            ngx_completion_face_answer_t *to);

    /* An event of a stream, and the id of the one that ends it. */
    ngx_int_t                          (*event)(ngx_pool_t *pool,
                                            ngx_completion_face_view_t *view,
                                            ngx_str_t *event);
    ngx_str_t                            last_event;
};


extern const ngx_completion_face_t  ngx_completion_native;


#endif /* _NGX_COMPLETION_FACE_H_INCLUDED_ */
