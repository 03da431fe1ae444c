
/*
 * How a client spells it.  A face is a table: where its requests go below a
 * location, how a body reads as a prompt, and how an operation, its news and
 * a problem are written.  Each has files of its name here, the only ones that
 * know its shapes, and a line in the list of all; HTTP around them (headers,
 * what is negotiated, sending) is the caller's.
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
    NGX_COMPLETION_FACE_CANCEL,
    NGX_COMPLETION_FACE_DELETE,
    NGX_COMPLETION_FACE_MODELS,                   /* all, or the one named */
    NGX_COMPLETION_FACE_ABOUT,                    /* what it says of itself */
    NGX_COMPLETION_FACE_REFUSE                    /* what is not had here */
} ngx_completion_face_action_e;


/* A path, where "*" is an id, and what its methods do, 0: not allowed. */
typedef struct {
    ngx_str_t                            path;
    ngx_completion_face_action_e         get;     /* and HEAD */
    ngx_completion_face_action_e         post;
    ngx_completion_face_action_e         delete;
    ngx_uint_t                           shape;   /* of what goes by it, in
                                                     the face's own words */
} ngx_completion_face_route_t;


/* what a body is, by its Content-Type */
typedef enum {
    NGX_COMPLETION_FACE_BODY_TEXT = 0,
    NGX_COMPLETION_FACE_BODY_JSON,
    NGX_COMPLETION_FACE_BODY_FORM,
    NGX_COMPLETION_FACE_BODY_MULTIPART,
    NGX_COMPLETION_FACE_BODY_OTHER
} ngx_completion_face_body_e;


/* one that may be translated from and into */
typedef struct {
    ngx_str_t                            code;     /* as configured */
    ngx_str_t                            name;
} ngx_completion_face_language_t;


/* no language of the list: it is to be found out */
#define NGX_COMPLETION_FACE_ANY          ((ngx_uint_t) -1)


/* one of several texts, each of which is answered */
typedef struct {
    ngx_str_t                            text;
    ngx_uint_t                           asked;    /* which of the prompt's; */
    unsigned                             blank:1;  /* or there is nothing to
                                                      ask */
} ngx_completion_face_item_t;


/*
 * A request's body, but of a type that the face does not take, or the query of
 * one without a body, and what is read in it.
 */
typedef struct {
    ngx_uint_t                           shape;    /* of its route */
    ngx_completion_face_body_e           type;
    ngx_str_t                            native;   /* the member that makes it
                                                      one of upstream's */
    ngx_str_t                            boundary; /* of parts of the body */
    ngx_str_t                            args;     /* the query beside it */
    ngx_str_t                            body;

    ngx_completion_face_language_t      *languages;  /* NULL: none */
    ngx_uint_t                           languages_n;

    /* out */

    ngx_array_t                         *members;  /* json_member_t, of the
                                                      top level, or fields;
                                                      NULL: there are none */
    ngx_str_t                            detail;   /* what is wrong, */
    const char                          *code;     /* in a word; NULL: the
                                                      outcome's, */
    ngx_str_t                            param;    /* and where; or empty */

    /* out, of a face that does not negotiate */

    ngx_str_t                            model;    /* as asked for */
    ngx_str_t                            echo;     /* JSON; or empty */
    ngx_int_t                            after;    /* the event seen last;
                                                      -1: none */
    unsigned                             background:1;  /* its end is not
                                                           waited for */
    unsigned                             stream:1;
    unsigned                             usage:1;  /* at a stream's end */

    /* out, of a face whose prompts are several texts */

    ngx_array_t                         *items;    /* of item_t */
    ngx_str_t                            key;      /* the client's; or empty */
    ngx_str_t                            told;     /* instead of the location's
                                                      messages; or empty */
    ngx_uint_t                           source;   /* languages, by index, or */
    ngx_uint_t                           target;   /* ANY */
    unsigned                             several:1;  /* as an array */
    unsigned                             tagged:1;   /* tags are compared */
} ngx_completion_face_input_t;


/* as what an operation is shown */
typedef enum {
    NGX_COMPLETION_FACE_JSON = 0,
    NGX_COMPLETION_FACE_TEXT,
    NGX_COMPLETION_FACE_STREAM
} ngx_completion_face_format_e;


/* what came of a part of one of the prompt's texts */
typedef struct {
    ngx_uint_t                           asked;    /* which of them */
    ngx_completion_joint_e               joint;    /* behind it */
    ngx_completion_result_t             *result;
} ngx_completion_face_part_t;


/* An operation, as the client that asks is to see it. */
typedef struct {
    ngx_str_t                            id;       /* the client's */
    time_t                               submitted;
    ngx_completion_state_e               state;
    ngx_str_t                            document; /* the id is left out */
    size_t                               id_offset;
    ngx_completion_result_t             *result;   /* of one that has ended,
                                                      for a text, or a face
                                                      that needs it */
    ngx_completion_face_input_t         *input;    /* what was asked */
    ngx_completion_face_part_t          *parts;    /* of one that ended well,
                                                      where there are items */
    ngx_uint_t                           n;
    unsigned                             accepted:1;  /* just now, and its end
                                                         is not waited for */
    unsigned                             deleted:1;   /* just now */
} ngx_completion_face_view_t;


/* Why a request has no operation to show. */
typedef struct {
    ngx_completion_outcome_e             outcome;
    ngx_str_t                            detail;   /* or empty */
    const char                          *code;     /* NULL: the outcome's */
    ngx_str_t                            param;    /* or empty */
} ngx_completion_face_fault_t;


/* What is sent; zeroed for who writes it. */
typedef struct {
    ngx_uint_t                           status;   /* of HTTP */
    ngx_str_t                            type;
    ngx_str_t                            charset;  /* or empty */
    ngx_str_t                            body;
    ngx_completion_tags_e                tags;     /* against the text's */
} ngx_completion_face_answer_t;


struct ngx_completion_face_s {
    const char                          *directive;

    /* Of a location that submits, and of one for operations alone; the first
       path that fits counts, and one without data ends them. */

    const ngx_completion_face_route_t   *routes;
    const ngx_completion_face_route_t   *operations;

    ngx_str_t                            native;   /* its prompts are a native
                                                      request, known by this
                                                      member; or empty */
    ngx_uint_t                           bodies;   /* that are read, by bit, */
    ngx_str_t                            types;    /* and in words */
    const ngx_str_t                     *prefixes; /* of ids; data NULL: the
                                                      last one */

    unsigned                             negotiates:1;  /* headers say how to
                                                           answer and wait, not
                                                           the body */
    time_t                               orphans;       /* seconds that what was
                                                           not delivered waits
                                                           for an equal
                                                           request; 0: not */
    unsigned                             parts:1;       /* of long texts, whose
                                                           events tell the text
                                                           so far */
    unsigned                             results:1;     /* its views of what
                                                           has ended have the
                                                           result */
    unsigned                             items:1;       /* its prompts are texts
                                                           in languages, whose
                                                           operations have no
                                                           id for a client */
    unsigned                             keyed:1;       /* who asks may be told
                                                           in a body: others
                                                           need no name */
    time_t                               remembers;     /* seconds that equal
                                                           requests share one,
                                                           whatever is
                                                           configured; 0: not */

    /* of its answers: names of headers, or NULL */

    const char                          *request_id;
    const char                          *poll_after;    /* ms */
    ngx_msec_t                           retry_max;     /* ms; 0: no bound */
    ngx_str_t                            options;       /* to OPTIONS */

    /* NGX_OK; NGX_DECLINED: the detail says what is wrong; NGX_ERROR. */
    ngx_int_t                          (*read)(ngx_pool_t *pool,
                                            ngx_completion_face_input_t *input,
                                            ngx_completion_prompt_t *prompt);

    /* The same of a query, the input's body; NULL: it says nothing. */
    ngx_int_t                          (*query)(ngx_pool_t *pool,
                                            ngx_completion_face_input_t *input);

    /* NGX_OK, or NGX_ERROR: no memory; STREAM: as JSON. */
    ngx_int_t                          (*write)(ngx_pool_t *pool,
                                            ngx_completion_face_format_e format,
                                            ngx_completion_face_view_t *view,
                                            ngx_completion_face_answer_t *to);

    /* The same of a problem. */
    ngx_int_t                          (*error)(ngx_pool_t *pool,
                                            ngx_completion_face_format_e format,
                                            ngx_completion_face_fault_t *fault,
                                            ngx_completion_face_answer_t *to);

    /* The models there are, or the one of this name. */
    ngx_int_t                          (*models)(ngx_pool_t *pool,
                                            ngx_str_t *names, ngx_uint_t n,
                                            ngx_str_t *name,
                                            ngx_completion_face_answer_t *to);

    /* What it says of itself; NGX_DECLINED: the input is at fault. */
    ngx_int_t                          (*about)(ngx_pool_t *pool,
                                            ngx_completion_face_input_t *input,
                                            ngx_completion_face_answer_t *to);

    /*
     * The events of a stream behind those up to *last, which moves on; none:
     * an empty text.  The id is that of the one that ends it.
     */
    ngx_int_t                          (*event)(ngx_pool_t *pool,
                                            ngx_completion_face_view_t *view,
                                            ngx_int_t *last, ngx_str_t *text);
    ngx_str_t                            last_event;

    /* What is said where a stream has to end before its operation; or NULL. */
    ngx_int_t                          (*cut)(ngx_pool_t *pool,
                                            ngx_completion_face_view_t *view,
                                            ngx_str_t *text);
};


extern const ngx_completion_face_t  ngx_completion_native;
extern const ngx_completion_face_t  ngx_completion_openai;
extern const ngx_completion_face_t  ngx_completion_libretranslate;
extern const ngx_completion_face_t  ngx_completion_deepl;

/* Those there are; the last one is NULL. */
extern const ngx_completion_face_t  *ngx_completion_faces[];


/* Takes the prefix of any face off an id: NGX_OK, or NGX_DECLINED: no such. */
ngx_int_t ngx_completion_face_bare(ngx_str_t *id);


#endif /* _NGX_COMPLETION_FACE_H_INCLUDED_ */
