
/*
 * The face of OpenAI's interface: what its files share.
 *
 *     openai.c          the table: routes, queries, models, errors
 *     openai_read.c     what a body may have, and its options
 *     openai_input.c    its conversation and tools
 *     openai_stream.c   a Response and a completion as events
 *     openai_write.c    the same as objects
 *
 * Each may call those below it.  Nobody outside of them includes this.
 */


#ifndef _NGX_COMPLETION_OPENAI_H_INCLUDED_
#define _NGX_COMPLETION_OPENAI_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_face.h"


/* what goes by a route */
#define NGX_COMPLETION_OPENAI_RESPONSE  1
#define NGX_COMPLETION_OPENAI_CHAT      2

/* of ids, with their prefixes, and of an item's */
#define NGX_COMPLETION_OPENAI_ID        4096
#define NGX_COMPLETION_OPENAI_ITEM      64

#define ngx_completion_openai_is(s, word)                                     \
    ((s)->len == sizeof(word) - 1                                             \
     && ngx_strncmp((s)->data, word, sizeof(word) - 1) == 0)


/* A call of a function, by its id. */
typedef struct {
    ngx_str_t                     *id;
    ngx_str_t                     *name;
} ngx_completion_openai_call_t;


/* A body that is being read. */
typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_face_input_t   *input;
    ngx_completion_prompt_t       *prompt;

    ngx_array_t                    calls;     /* of call_t, so far */
    ngx_uint_t                     results;   /* the same */
} ngx_completion_openai_reader_t;


/* read */

ngx_int_t ngx_completion_openai_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt);


/* input: all of them return NGX_OK, NGX_DECLINED or NGX_ERROR */

ngx_int_t ngx_completion_openai_items(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *items);
ngx_int_t ngx_completion_openai_messages(
    ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *messages);
ngx_int_t ngx_completion_openai_tools(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root);
ngx_int_t ngx_completion_openai_message(
    ngx_completion_openai_reader_t *reader, const char *role,
    ngx_str_t *text);


/* refusals, of the member that is printed as by ngx_sprintf(): NGX_DECLINED */

ngx_int_t ngx_completion_openai_refuse(ngx_completion_openai_reader_t *reader,
    const char *code, const char *fault, const char *fmt, ...);

#define NGX_COMPLETION_OPENAI_UNSUPPORTED                                     \
    "unsupported_parameter", "is not supported here"
#define NGX_COMPLETION_OPENAI_UNKNOWN                                         \
    "unknown_parameter", "is not known"


/* A value as JSON. */
ngx_int_t ngx_completion_openai_text(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *node, ngx_str_t *text);

/* NULL: not there, or null */
ngx_completion_json_node_t *ngx_completion_openai_member(
    ngx_completion_json_node_t *object, const char *name);

/* Refuses what an object has beside these words, each followed by a space. */
ngx_int_t ngx_completion_openai_known(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *object, const char *words, const char *path);


/* write */

ngx_int_t ngx_completion_openai_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to);

/* A Response as it is, or, with a status, as it was when it had no output. */
void ngx_completion_openai_response(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view, const char *status);

/*
 * The items of its output: how many, how many of them are messages (one or
 * none, the first), and the one with this index; begins: still empty.
 */
ngx_uint_t ngx_completion_openai_outputs(ngx_completion_face_view_t *view);
ngx_uint_t ngx_completion_openai_said(ngx_completion_face_view_t *view);
void ngx_completion_openai_output(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view, ngx_uint_t index, ngx_uint_t begins);
u_char *ngx_completion_openai_item_id(u_char *p,
    ngx_completion_face_view_t *view, ngx_uint_t index);

void ngx_completion_openai_empty(ngx_completion_json_writer_t *w,
    const char *name);
void ngx_completion_openai_part(ngx_completion_json_writer_t *w,
    ngx_str_t *text);
void ngx_completion_openai_model(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view);
void ngx_completion_openai_id(ngx_completion_json_writer_t *w,
    const char *prefix, ngx_str_t *id);
const char *ngx_completion_openai_reason(ngx_completion_face_view_t *view);
void ngx_completion_openai_usage(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view);
void ngx_completion_openai_calls(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view, ngx_uint_t streamed);

ngx_int_t ngx_completion_openai_problem(ngx_pool_t *pool, ngx_uint_t status,
    const char *code, ngx_str_t *param, ngx_str_t *message, ngx_str_t *body);


/* stream */

ngx_int_t ngx_completion_openai_event(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_int_t *last, ngx_str_t *text);
ngx_int_t ngx_completion_openai_cut(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_str_t *text);


#endif /* _NGX_COMPLETION_OPENAI_H_INCLUDED_ */
