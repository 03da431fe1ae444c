
/*
 * The words that all layers share: what an operation is, what became of a
 * request, where an answer came from.  Each stands in one list, of which its
 * enumeration and its names are made.
 *
 * This header includes none of another folder's, and all may include it.
 */


#ifndef _NGX_COMPLETION_MODEL_H_INCLUDED_
#define _NGX_COMPLETION_MODEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* characters of an upstream id, at most; see ngx_completion_id_check() */
#define NGX_COMPLETION_ID_UPSTREAM  64

/* how far the clocks of those who share an id may be apart, seconds */
#define NGX_COMPLETION_ID_SKEW      60


/* The state of an operation: its name, and what a client is told. */

#define NGX_COMPLETION_STATE_LIST(X)                                          \
    X(PENDING,    "pending",    "pending")                                    \
    NGX_COMPLETION_END_LIST(X)

#define NGX_COMPLETION_END_LIST(X)                                            \
    X(COMPLETED,  "completed",  "completed")                                  \
    /* truncated, partial or filtered */                                      \
    X(INCOMPLETE, "incomplete", "incomplete")                                 \
    /* functions are to be called, and there is no text */                    \
    X(TOOL_CALLS, "tool_calls", "tool_calls")                                 \
    X(FAILED,     "failed",     "failed")                                     \
    /* decided here, or upstream's last word where a cancel is final */       \
    X(CANCELLED,  "cancelled",  "cancelled")                                  \
    /* decided here: upstream knows it no more */                             \
    X(LOST,       "lost",       "failed")                                     \
    /* decided here, until upstream says what can be read */                  \
    X(TOO_LARGE,  "too_large",  "failed")                                     \
    X(UNREADABLE, "unreadable", "failed")


/* Where an operation, or a word on a submit, came from. */

#define NGX_COMPLETION_SOURCE_LIST(X)                                         \
    X(NONE,     "")                                                           \
    /* it was asked for this request */                                       \
    X(UPSTREAM, "upstream")                                                   \
    /* known, or refused, here */                                             \
    X(ZONE,     "zone")                                                       \
    /* by a submit that was on its way */                                     \
    X(JOINED,   "joined")                                                     \
    /* by an equal one, earlier */                                            \
    X(CACHED,   "cached")                                                     \
    /* by one of the same key, earlier */                                     \
    X(REPLAYED, "replayed")


/* What is asked of upstream. */

#define NGX_COMPLETION_KIND_LIST(X)                                           \
    X(SUBMIT, "submit")                                                       \
    X(POLL,   "poll")                                                         \
    X(CANCEL, "cancel")


/*
 * What stands behind a part of a text that was cut: in the text, and in the id
 * of the whole, see ngx_completion_id.h.
 */

#define NGX_COMPLETION_JOINT_LIST(X)                                          \
    X(NOTHING, "",     ".")                                                   \
    X(SPACE,   " ",    "~")                                                   \
    X(LINE,    "\n",   "..")                                                  \
    /* an empty one */                                                        \
    X(BREAK,   "\n\n", "~~")


/*
 * Why an operation has no text, or less of it than was asked for, and the HTTP
 * status that says so: it was paid for, so none that is repeated unasked.
 */

#define NGX_COMPLETION_FAILURE_LIST(X)                                        \
    X(NONE,       200)                                                        \
    X(CANCELLED,  410)                                                        \
    X(INVALID,    400)                                                        \
    X(FILTERED,   422)                                                        \
    X(TOOL_CALLS, 422)                                                        \
    X(OTHER,      424)


/* Whether a translation has the tags of its text. */

#define NGX_COMPLETION_TAGS_LIST(X)                                           \
    /* nobody asked */                                                        \
    X(UNTOLD,  "")                                                            \
    X(KEPT,    "kept")                                                        \
    X(CHANGED, "changed")


#define NGX_COMPLETION_STATE(name, label, said)  NGX_COMPLETION_##name,
#define NGX_COMPLETION_SOURCE(name, label)  NGX_COMPLETION_SOURCE_##name,
#define NGX_COMPLETION_KIND(name, label)  NGX_COMPLETION_KIND_##name,
#define NGX_COMPLETION_FAILURE(name, status)  NGX_COMPLETION_FAILURE_##name,
#define NGX_COMPLETION_JOINT(name, text, id)  NGX_COMPLETION_JOINT_##name,
#define NGX_COMPLETION_TAG(name, label)  NGX_COMPLETION_TAGS_##name,


typedef enum {
    NGX_COMPLETION_STATE_LIST(NGX_COMPLETION_STATE)
    NGX_COMPLETION_STATES
} ngx_completion_state_e;


/* Whether an equal request shares what has ended so. */
#define ngx_completion_state_is_shared(state)                                 \
    ((state) == NGX_COMPLETION_COMPLETED                                      \
     || (state) == NGX_COMPLETION_TOOL_CALLS)

/* Whether an end stands in for one that could not be read, and may change. */
#define ngx_completion_state_is_makeshift(state)                              \
    ((state) == NGX_COMPLETION_TOO_LARGE                                      \
     || (state) == NGX_COMPLETION_UNREADABLE)


typedef enum {
    NGX_COMPLETION_SOURCE_LIST(NGX_COMPLETION_SOURCE)
    NGX_COMPLETION_SOURCES
} ngx_completion_source_e;


typedef enum {
    NGX_COMPLETION_KIND_LIST(NGX_COMPLETION_KIND)
    NGX_COMPLETION_KINDS
} ngx_completion_kind_e;


typedef enum {
    NGX_COMPLETION_FAILURE_LIST(NGX_COMPLETION_FAILURE)
    NGX_COMPLETION_FAILURES
} ngx_completion_failure_e;


typedef enum {
    NGX_COMPLETION_JOINT_LIST(NGX_COMPLETION_JOINT)
    NGX_COMPLETION_JOINTS
} ngx_completion_joint_e;


typedef enum {
    NGX_COMPLETION_TAGS_LIST(NGX_COMPLETION_TAG)
    NGX_COMPLETION_TAGS
} ngx_completion_tags_e;


/* a call of a function, or what one came to */
typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  value;        /* the arguments, a JSON object;
                                                of a result: its text */
} ngx_completion_function_t;


/* one of the three; functions by ngx_completion_function_t */
typedef struct {
    ngx_str_t                  role;
    ngx_str_t                  text;
    ngx_array_t               *calls;        /* NULL: none */
    ngx_array_t               *results;      /* NULL: none */
} ngx_completion_message_t;


/* a function that may be called */
typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  description;  /* or empty */
    ngx_str_t                  parameters;   /* a JSON schema, or empty */
    unsigned                   strict:1;
} ngx_completion_tool_t;


typedef enum {
    NGX_COMPLETION_CHOICE_UNSET = 0,
    NGX_COMPLETION_CHOICE_NONE,
    NGX_COMPLETION_CHOICE_AUTO,
    NGX_COMPLETION_CHOICE_REQUIRED,
    NGX_COMPLETION_CHOICE_FUNCTION           /* this one */
} ngx_completion_choice_e;


typedef enum {
    NGX_COMPLETION_SWITCH_UNSET = 0,
    NGX_COMPLETION_SWITCH_OFF,
    NGX_COMPLETION_SWITCH_ON
} ngx_completion_switch_e;


typedef enum {
    NGX_COMPLETION_FORMAT_UNSET = 0,
    NGX_COMPLETION_FORMAT_JSON,              /* any object */
    NGX_COMPLETION_FORMAT_SCHEMA
} ngx_completion_format_e;


/*
 * What is asked: options, the location's messages, and what the client says
 * behind them, which is a text, a conversation, or a native request (an object
 * in upstream's own spelling, with options and tools of its own).  A face
 * leaves what is not said zeroed; what the location sets wins.  All strings
 * but the location's messages are UTF-8, checked, and so is JSON.
 */
typedef struct {
    ngx_str_t                  model;        /* or empty */
    ngx_str_t                  temperature;  /* as spelled, or empty */
    ngx_str_t                  max_tokens;   /* digits, or empty */
    ngx_str_t                  reasoning;    /* as configured, or empty */
    ngx_completion_switch_e    thinking;     /* without such a word */
    ngx_completion_format_e    format;
    ngx_str_t                  schema;       /* a JSON object */
    ngx_array_t                messages;     /* of message_t: the location's */

    ngx_str_t                  text;
    ngx_array_t                texts;        /* of ngx_str_t: several in its
                                                place, each asked for by
                                                itself; nelts 0: none */
    ngx_str_t                  native;       /* JSON, or empty */
    ngx_array_t               *inputs;       /* of ngx_str_t: what else may
                                                stand in it, in any case of
                                                letters, for others to read */
    ngx_array_t                turns;        /* of message_t; nelts 0: none */

    /* beside a text or turns */

    ngx_array_t                tools;        /* of tool_t; nelts 0: none */
    ngx_completion_choice_e    choice;
    ngx_str_t                  function;     /* that is chosen */
    ngx_completion_switch_e    parallel;     /* several calls at a time */
} ngx_completion_prompt_t;


/* tokens; -1: not said */
typedef struct {
    int64_t                    input;
    int64_t                    completion;
    int64_t                    reasoning;    /* of the completion's */
    int64_t                    total;
} ngx_completion_usage_t;


/* What a finished or pending document says, for texts and variables. */
typedef struct {
    ngx_completion_state_e     state;
    ngx_completion_failure_e   failure;
    ngx_str_t                  text;
    ngx_array_t               *calls;        /* of function_t; NULL: none */
    ngx_str_t                  message;      /* of a failed one */
    ngx_str_t                  model_version;
    ngx_completion_usage_t     usage;
} ngx_completion_result_t;


/* What became of a request, to whichever layer the question is put. */

typedef enum {
    NGX_COMPLETION_OK = 0,
#define NGX_COMPLETION_OUTCOME(name, status, code, title, again, of)          \
    NGX_COMPLETION_##name,
#include "ngx_completion_outcomes.def"
#undef NGX_COMPLETION_OUTCOME
    NGX_COMPLETION_OUTCOMES
} ngx_completion_outcome_e;


typedef struct {
    ngx_uint_t   status;       /* of HTTP */
    const char  *code;
    const char  *title;
    ngx_uint_t   repeatable;   /* as it is, and it may succeed later */
} ngx_completion_outcome_t;


/* By the enumerations above. */
extern const ngx_completion_outcome_t
    ngx_completion_outcomes[NGX_COMPLETION_OUTCOMES];
extern ngx_str_t ngx_completion_states[NGX_COMPLETION_STATES];
extern ngx_str_t ngx_completion_sources[NGX_COMPLETION_SOURCES];
extern ngx_str_t ngx_completion_tags[NGX_COMPLETION_TAGS];
extern const ngx_uint_t ngx_completion_failures[NGX_COMPLETION_FAILURES];
extern const ngx_str_t ngx_completion_joints[NGX_COMPLETION_JOINTS];
extern const ngx_str_t ngx_completion_joints_of_ids[NGX_COMPLETION_JOINTS];


#endif /* _NGX_COMPLETION_MODEL_H_INCLUDED_ */
