
/*
 * The events of a stream.  A result comes whole, so the script is fixed, and
 * whoever has the operation can go on behind any number:
 *
 *     0  response.created, queued           2  response.in_progress
 *     1  response.queued
 *
 * and once it has ended, for each item of the output
 *
 *     response.output_item.added
 *       of a message:  response.content_part.added, response.output_text.delta
 *                      and .done, response.content_part.done
 *       of a call:     response.function_call_arguments.delta and .done
 *     response.output_item.done
 *
 * and response.completed, incomplete or failed.  A chat has no numbers: a chunk
 * at first, and all others at the end.
 */


#include "ngx_completion_openai.h"


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_face_view_t    *view;
    ngx_array_t                   *text;
    ngx_int_t                      last;      /* that is known already */
    ngx_int_t                      number;    /* of the next one */
    ngx_uint_t                     failed;
} ngx_completion_openai_script_t;


static void ngx_completion_openai_script(
    ngx_completion_openai_script_t *script);
static void ngx_completion_openai_state(
    ngx_completion_openai_script_t *script, const char *type,
    const char *status);
static void ngx_completion_openai_told_message(
    ngx_completion_openai_script_t *script, ngx_uint_t index);
static void ngx_completion_openai_told_call(
    ngx_completion_openai_script_t *script, ngx_uint_t index);
static void ngx_completion_openai_told_item(
    ngx_completion_openai_script_t *script, const char *type,
    ngx_uint_t index, ngx_uint_t begins);
static void ngx_completion_openai_told_part(
    ngx_completion_openai_script_t *script, const char *type,
    ngx_uint_t index, ngx_str_t *text);
static void ngx_completion_openai_told_text(
    ngx_completion_openai_script_t *script, const char *type,
    ngx_uint_t index, const char *member);
static ngx_completion_json_writer_t *ngx_completion_openai_begin(
    ngx_completion_openai_script_t *script, const char *type);
static ngx_completion_json_writer_t *ngx_completion_openai_begin_item(
    ngx_completion_openai_script_t *script, const char *type,
    ngx_uint_t index);
static void ngx_completion_openai_end(ngx_completion_openai_script_t *script,
    ngx_completion_json_writer_t *w, const char *type);
static void ngx_completion_openai_append(
    ngx_completion_openai_script_t *script, const char *text, size_t len);

static void ngx_completion_openai_chunks(
    ngx_completion_openai_script_t *script);
static ngx_completion_json_writer_t *ngx_completion_openai_chunk(
    ngx_completion_openai_script_t *script, ngx_uint_t choices);
static void ngx_completion_openai_chunk_end(
    ngx_completion_openai_script_t *script, ngx_completion_json_writer_t *w,
    const char *reason);


ngx_int_t
ngx_completion_openai_event(ngx_pool_t *pool, ngx_completion_face_view_t *view,
    ngx_int_t *last, ngx_str_t *text)
{
    ngx_completion_openai_script_t  script;

    script.pool = pool;
    script.view = view;
    script.last = *last;
    script.number = 0;
    script.failed = 0;

    script.text = ngx_array_create(pool, 2048, 1);
    if (script.text == NULL) {
        return NGX_ERROR;
    }

    if (view->input->shape == NGX_COMPLETION_OPENAI_CHAT) {
        ngx_completion_openai_chunks(&script);

    } else {
        ngx_completion_openai_script(&script);
    }

    if (script.failed) {
        return NGX_ERROR;
    }

    *last = ngx_max(*last, script.number - 1);

    text->data = script.text->elts;
    text->len = script.text->nelts;

    return NGX_OK;
}


static void
ngx_completion_openai_script(ngx_completion_openai_script_t *script)
{
    ngx_uint_t  i, n, said;

    ngx_completion_openai_state(script, "response.created", "queued");
    ngx_completion_openai_state(script, "response.queued", "queued");
    ngx_completion_openai_state(script, "response.in_progress", "in_progress");

    if (script->view->state == NGX_COMPLETION_PENDING) {
        return;
    }

    n = ngx_completion_openai_outputs(script->view);
    said = n ? ngx_completion_openai_said(script->view) : 0;

    for (i = 0; i < n; i++) {
        ngx_completion_openai_told_item(script, "response.output_item.added",
                                        i, 1);
        if (i < said) {
            ngx_completion_openai_told_message(script, i);

        } else {
            ngx_completion_openai_told_call(script, i);
        }

        ngx_completion_openai_told_item(script, "response.output_item.done",
                                        i, 0);
    }

    ngx_completion_openai_state(script,
                   n == 0 ? "response.failed"
                   : script->view->state == NGX_COMPLETION_INCOMPLETE
                         ? "response.incomplete" : "response.completed", NULL);
}


static void
ngx_completion_openai_state(ngx_completion_openai_script_t *script,
    const char *type, const char *status)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_openai_begin(script, type);

    if (w) {
        ngx_completion_json_key(w, "response");
        ngx_completion_openai_response(w, script->view, status);
        ngx_completion_openai_end(script, w, type);
    }
}


static void
ngx_completion_openai_told_message(ngx_completion_openai_script_t *script,
    ngx_uint_t index)
{
    ngx_str_t  *text;

    static ngx_str_t  nothing = ngx_string("");

    text = &script->view->result->text;

    ngx_completion_openai_told_part(script, "response.content_part.added",
                                    index, &nothing);
    ngx_completion_openai_told_text(script, "response.output_text.delta",
                                    index, "delta");
    ngx_completion_openai_told_text(script, "response.output_text.done",
                                    index, "text");
    ngx_completion_openai_told_part(script, "response.content_part.done",
                                    index, text);
}


static void
ngx_completion_openai_told_call(ngx_completion_openai_script_t *script,
    ngx_uint_t index)
{
    const char                    *type;
    ngx_uint_t                     said;
    ngx_completion_function_t     *call;
    ngx_completion_json_writer_t  *w;

    said = ngx_completion_openai_said(script->view);
    call = script->view->result->calls->elts;
    call += index - said;

    type = "response.function_call_arguments.delta";
    w = ngx_completion_openai_begin_item(script, type, index);

    if (w) {
        ngx_completion_json_key_string(w, "delta", &call->value);
        ngx_completion_openai_end(script, w, type);
    }

    type = "response.function_call_arguments.done";
    w = ngx_completion_openai_begin_item(script, type, index);

    if (w) {
        ngx_completion_json_key_string(w, "name", &call->name);
        ngx_completion_json_key_string(w, "arguments", &call->value);
        ngx_completion_openai_end(script, w, type);
    }
}


static void
ngx_completion_openai_told_item(ngx_completion_openai_script_t *script,
    const char *type, ngx_uint_t index, ngx_uint_t begins)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_openai_begin(script, type);

    if (w) {
        ngx_completion_json_key_integer(w, "output_index", index);
        ngx_completion_json_key(w, "item");
        ngx_completion_openai_output(w, script->view, index, begins);
        ngx_completion_openai_end(script, w, type);
    }
}


static void
ngx_completion_openai_told_part(ngx_completion_openai_script_t *script,
    const char *type, ngx_uint_t index, ngx_str_t *text)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_openai_begin_item(script, type, index);

    if (w) {
        ngx_completion_json_key_integer(w, "content_index", 0);
        ngx_completion_json_key(w, "part");
        ngx_completion_openai_part(w, text);
        ngx_completion_openai_end(script, w, type);
    }
}


static void
ngx_completion_openai_told_text(ngx_completion_openai_script_t *script,
    const char *type, ngx_uint_t index, const char *member)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_openai_begin_item(script, type, index);

    if (w) {
        ngx_completion_json_key_integer(w, "content_index", 0);
        ngx_completion_json_key_string(w, member, &script->view->result->text);
        ngx_completion_openai_empty(w, "logprobs");
        ngx_completion_openai_end(script, w, type);
    }
}


/* NULL: this one is known already, or nothing goes any more */

static ngx_completion_json_writer_t *
ngx_completion_openai_begin(ngx_completion_openai_script_t *script,
    const char *type)
{
    ngx_int_t                      number;
    ngx_completion_json_writer_t  *w;

    number = script->number++;

    if (number <= script->last || script->failed) {
        return NULL;
    }

    w = ngx_completion_json_writer_create(script->pool);

    if (w == NULL) {
        script->failed = 1;
        return NULL;
    }

    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "type", type);
    ngx_completion_json_key_integer(w, "sequence_number", number);

    return w;
}


static ngx_completion_json_writer_t *
ngx_completion_openai_begin_item(ngx_completion_openai_script_t *script,
    const char *type, ngx_uint_t index)
{
    u_char                         id[NGX_COMPLETION_OPENAI_ITEM];
    ngx_str_t                      value;
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_openai_begin(script, type);

    if (w) {
        value.data = id;
        value.len = ngx_completion_openai_item_id(id, script->view, index)
                    - id;

        ngx_completion_json_key_string(w, "item_id", &value);
        ngx_completion_json_key_integer(w, "output_index", index);
    }

    return w;
}


/* type: NULL: a chunk, which has none */

static void
ngx_completion_openai_end(ngx_completion_openai_script_t *script,
    ngx_completion_json_writer_t *w, const char *type)
{
    ngx_str_t  text;

    ngx_completion_json_end(w);

    if (ngx_completion_json_writer_finish(w, &text) != NGX_OK) {
        script->failed = 1;
        return;
    }

    if (type) {
        ngx_completion_openai_append(script, "event: ", 7);
        ngx_completion_openai_append(script, type, ngx_strlen(type));
        ngx_completion_openai_append(script, "\n", 1);
    }

    ngx_completion_openai_append(script, "data: ", 6);
    ngx_completion_openai_append(script, (char *) text.data, text.len);
    ngx_completion_openai_append(script, "\n\n", 2);

    (void) ngx_pfree(script->pool, text.data);
}


static void
ngx_completion_openai_append(ngx_completion_openai_script_t *script,
    const char *text, size_t len)
{
    u_char  *p;

    p = ngx_array_push_n(script->text, len);

    if (p == NULL) {
        script->failed = 1;
        return;
    }

    ngx_memcpy(p, text, len);
}


/* of a chat: 0 is the first one, 1 all that comes at the end */

static void
ngx_completion_openai_chunks(ngx_completion_openai_script_t *script)
{
    ngx_str_t                      error;
    const char                    *reason;
    ngx_completion_face_view_t    *view;
    ngx_completion_json_writer_t  *w;

    static ngx_str_t  none = ngx_null_string;

    view = script->view;
    script->number = 1;

    if (script->last < 0) {
        w = ngx_completion_openai_chunk(script, 1);
        ngx_completion_json_key_cstring(w, "role", "assistant");
        ngx_completion_json_key_cstring(w, "content", "");
        ngx_completion_openai_chunk_end(script, w, NULL);
    }

    if (view->state == NGX_COMPLETION_PENDING || script->last > 0) {
        return;
    }

    script->number = 2;
    reason = ngx_completion_openai_reason(view);

    if (reason == NULL) {

        if (ngx_completion_openai_problem(script->pool, 424,
                                          "operation_failed", &none,
                                          &view->result->message, &error)
            != NGX_OK)
        {
            script->failed = 1;
            return;
        }

        ngx_completion_openai_append(script, "data: ", 6);
        ngx_completion_openai_append(script, (char *) error.data, error.len);
        ngx_completion_openai_append(script, "\n\n", 2);
        return;
    }

    w = ngx_completion_openai_chunk(script, 1);

    if (ngx_completion_openai_said(view)) {
        ngx_completion_json_key_string(w, "content", &view->result->text);
    }

    ngx_completion_openai_calls(w, view, 1);
    ngx_completion_openai_chunk_end(script, w, NULL);

    w = ngx_completion_openai_chunk(script, 1);
    ngx_completion_openai_chunk_end(script, w, reason);

    if (view->input->usage) {
        w = ngx_completion_openai_chunk(script, 0);
        ngx_completion_openai_usage(w, view);
        ngx_completion_openai_end(script, w, NULL);
    }

    ngx_completion_openai_append(script, "data: [DONE]\n\n", 14);
}


/* with a choice, up to what its delta has; or without one */

static ngx_completion_json_writer_t *
ngx_completion_openai_chunk(ngx_completion_openai_script_t *script,
    ngx_uint_t choices)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_json_writer_create(script->pool);

    ngx_completion_json_object(w);
    ngx_completion_openai_id(w, "chatcmpl-", &script->view->id);
    ngx_completion_json_key_cstring(w, "object", "chat.completion.chunk");
    ngx_completion_json_key_integer(w, "created", script->view->submitted);
    ngx_completion_openai_model(w, script->view);
    ngx_completion_json_key(w, "choices");
    ngx_completion_json_array(w);

    if (!choices) {
        ngx_completion_json_end(w);
        return w;
    }

    ngx_completion_json_object(w);
    ngx_completion_json_key_integer(w, "index", 0);
    ngx_completion_json_key(w, "delta");
    ngx_completion_json_object(w);

    return w;
}


static void
ngx_completion_openai_chunk_end(ngx_completion_openai_script_t *script,
    ngx_completion_json_writer_t *w, const char *reason)
{
    static ngx_str_t  null = ngx_string("null");

    ngx_completion_json_end(w);
    ngx_completion_json_key(w, "logprobs");
    ngx_completion_json_raw(w, &null);
    ngx_completion_json_key(w, "finish_reason");

    if (reason) {
        ngx_completion_json_cstring(w, reason);

    } else {
        ngx_completion_json_raw(w, &null);
    }

    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    if (script->view->input->usage) {
        ngx_completion_json_key(w, "usage");
        ngx_completion_json_raw(w, &null);
    }

    ngx_completion_openai_end(script, w, NULL);
}


ngx_int_t
ngx_completion_openai_cut(ngx_pool_t *pool, ngx_completion_face_view_t *view,
    ngx_str_t *text)
{
    u_char     *p;
    ngx_str_t   error;

    static ngx_str_t  none = ngx_null_string;
    static ngx_str_t  message = ngx_string("the stream ends here, and the "
                                           "operation goes on: ask again");

    if (ngx_completion_openai_problem(pool, 504, "not_ready", &none, &message,
                                      &error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, error.len + sizeof("data: \n\n"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = ngx_sprintf(p, "data: %V\n\n", &error) - p;

    return NGX_OK;
}
