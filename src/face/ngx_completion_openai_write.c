
/*
 * An operation as OpenAI's objects: a Response, or a completion of a chat.
 * Prompts are not kept: what the other side echoes of them is null or empty,
 * but for what the request that asks has just said.
 */


#include "../base/ngx_completion_hash.h"

#include "ngx_completion_openai.h"


static void ngx_completion_openai_completion(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view);
static ngx_int_t ngx_completion_openai_failed(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_completion_face_answer_t *to);
static const char *ngx_completion_openai_status(
    ngx_completion_face_view_t *view);
static void ngx_completion_openai_error(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view);
static void ngx_completion_openai_null(ngx_completion_json_writer_t *w,
    const char *name);
static void ngx_completion_openai_count(ngx_completion_json_writer_t *w,
    const char *name, int64_t tokens);


ngx_int_t
ngx_completion_openai_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to)
{
    ngx_completion_json_writer_t  *w;

    to->status = 200;
    ngx_str_set(&to->type, "application/json");

    w = ngx_completion_json_writer_sized(pool, 1024 + (view->result
                                                 ? view->result->text.len
                                                 : 0));

    if (view->deleted) {
        ngx_completion_json_object(w);
        ngx_completion_openai_id(w, "resp_", &view->id);
        ngx_completion_json_key_cstring(w, "object", "response");
        ngx_completion_json_key_boolean(w, "deleted", 1);
        ngx_completion_json_end(w);

    } else if (view->input->shape != NGX_COMPLETION_OPENAI_CHAT) {
        ngx_completion_openai_response(w, view, NULL);

    } else if (ngx_completion_openai_reason(view)) {
        ngx_completion_openai_completion(w, view);

    } else {
        return ngx_completion_openai_failed(pool, view, to);
    }

    return ngx_completion_json_writer_finish(w, &to->body);
}


/* for a chat, which has no such thing as a failed completion */

static ngx_int_t
ngx_completion_openai_failed(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_completion_face_answer_t *to)
{
    static ngx_str_t  none = ngx_null_string;

    to->status = 424;

    return ngx_completion_openai_problem(pool, 424, "operation_failed", &none,
                                         &view->result->message, &to->body);
}


void
ngx_completion_openai_response(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view, const char *status)
{
    ngx_uint_t  i, n, ended;
    ngx_str_t  *echo;

    ended = (status == NULL && view->state != NGX_COMPLETION_PENDING);
    echo = &view->input->echo;

    ngx_completion_json_object(w);

    ngx_completion_openai_id(w, "resp_", &view->id);
    ngx_completion_json_key_cstring(w, "object", "response");
    ngx_completion_json_key_integer(w, "created_at", view->submitted);
    ngx_completion_json_key(w, "status");
    ngx_completion_json_cstring(w, status ? status
                                          : ngx_completion_openai_status(view));

    if (view->input->model.len) {
        ngx_completion_json_key_boolean(w, "background",
                                        view->input->background);

    } else {
        ngx_completion_openai_null(w, "background");
    }

    if (ended && view->state != NGX_COMPLETION_CANCELLED
        && ngx_completion_openai_reason(view) == NULL)
    {
        ngx_completion_openai_error(w, view);

    } else {
        ngx_completion_openai_null(w, "error");
    }

    if (ended && view->state == NGX_COMPLETION_INCOMPLETE) {
        ngx_completion_json_key(w, "incomplete_details");
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, "reason");
        ngx_completion_json_cstring(w, view->result->failure
                                       == NGX_COMPLETION_FAILURE_FILTERED
                                           ? "content_filter"
                                           : "max_output_tokens");
        ngx_completion_json_end(w);

    } else {
        ngx_completion_openai_null(w, "incomplete_details");
    }

    ngx_completion_openai_null(w, "instructions");
    ngx_completion_openai_null(w, "max_output_tokens");

    ngx_completion_json_key(w, "metadata");

    if (echo->len) {
        ngx_completion_json_raw(w, echo);

    } else {
        ngx_completion_json_object(w);
        ngx_completion_json_end(w);
    }

    ngx_completion_openai_model(w, view);

    ngx_completion_json_key(w, "output");
    ngx_completion_json_array(w);

    n = ended ? ngx_completion_openai_outputs(view) : 0;

    for (i = 0; i < n; i++) {
        ngx_completion_openai_output(w, view, i, 0);
    }

    ngx_completion_json_end(w);

    ngx_completion_json_key_boolean(w, "parallel_tool_calls", 1);
    ngx_completion_openai_null(w, "previous_response_id");
    ngx_completion_json_key(w, "reasoning");
    ngx_completion_json_object(w);
    ngx_completion_openai_null(w, "effort");
    ngx_completion_openai_null(w, "summary");
    ngx_completion_json_end(w);
    ngx_completion_json_key_boolean(w, "store", 1);
    ngx_completion_openai_null(w, "temperature");
    ngx_completion_json_key(w, "text");
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "format");
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "type", "text");
    ngx_completion_json_end(w);
    ngx_completion_json_end(w);
    ngx_completion_json_key_cstring(w, "tool_choice", "auto");
    ngx_completion_openai_empty(w, "tools");
    ngx_completion_openai_null(w, "top_p");
    ngx_completion_json_key_cstring(w, "truncation", "disabled");

    if (ended) {
        ngx_completion_openai_usage(w, view);

    } else {
        ngx_completion_openai_null(w, "usage");
    }

    ngx_completion_openai_null(w, "user");

    ngx_completion_json_end(w);
}


static const char *
ngx_completion_openai_status(ngx_completion_face_view_t *view)
{
    switch (view->state) {

    case NGX_COMPLETION_PENDING:
        return view->accepted ? "queued" : "in_progress";

    case NGX_COMPLETION_COMPLETED:
    case NGX_COMPLETION_TOOL_CALLS:
        return "completed";

    case NGX_COMPLETION_INCOMPLETE:
        return "incomplete";

    case NGX_COMPLETION_CANCELLED:
        return "cancelled";

    default:
        return "failed";
    }
}


static void
ngx_completion_openai_error(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view)
{
    ngx_completion_json_key(w, "error");
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "code");
    ngx_completion_json_cstring(w, (view->result->failure
                                    == NGX_COMPLETION_FAILURE_INVALID
                                    || view->result->failure
                                       == NGX_COMPLETION_FAILURE_FILTERED)
                                       ? "invalid_prompt" : "server_error");
    ngx_completion_json_key_string(w, "message", &view->result->message);
    ngx_completion_json_end(w);
}


/* a message, where there is a text or nothing else, and the calls behind it */

ngx_uint_t
ngx_completion_openai_outputs(ngx_completion_face_view_t *view)
{
    ngx_uint_t  calls;

    if (ngx_completion_openai_reason(view) == NULL) {
        return 0;
    }

    calls = view->result->calls ? view->result->calls->nelts : 0;

    return ngx_completion_openai_said(view) + calls;
}


ngx_uint_t
ngx_completion_openai_said(ngx_completion_face_view_t *view)
{
    return view->result->text.len || view->result->calls == NULL;
}


void
ngx_completion_openai_output(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view, ngx_uint_t index, ngx_uint_t begins)
{
    u_char                      id[NGX_COMPLETION_OPENAI_ITEM];
    ngx_str_t                   value;
    ngx_uint_t                  said;
    ngx_completion_function_t  *call;

    said = ngx_completion_openai_said(view);
    value.data = id;

    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "id");
    value.len = ngx_completion_openai_item_id(id, view, index) - id;
    ngx_completion_json_string(w, &value);
    ngx_completion_json_key(w, "type");

    if (index < said) {
        ngx_completion_json_cstring(w, "message");
        ngx_completion_json_key_cstring(w, "role", "assistant");
        ngx_completion_json_key(w, "content");
        ngx_completion_json_array(w);

        if (!begins) {
            ngx_completion_openai_part(w, &view->result->text);
        }

        ngx_completion_json_end(w);

    } else {
        call = view->result->calls->elts;
        call += index - said;

        ngx_completion_json_cstring(w, "function_call");
        ngx_completion_json_key(w, "call_id");
        ngx_memcpy(id, "call", 4);
        ngx_completion_json_string(w, &value);
        ngx_completion_json_key_string(w, "name", &call->name);
        ngx_completion_json_key(w, "arguments");

        if (begins) {
            ngx_completion_json_cstring(w, "");

        } else {
            ngx_completion_json_string(w, &call->value);
        }
    }

    ngx_completion_json_key(w, "status");
    ngx_completion_json_cstring(w, begins ? "in_progress"
                                          : view->state
                                            == NGX_COMPLETION_INCOMPLETE
                                                ? "incomplete" : "completed");
    ngx_completion_json_end(w);
}


/* of a message "msg_", of a call "func", which "call" is as long as */

u_char *
ngx_completion_openai_item_id(u_char *p, ngx_completion_face_view_t *view,
    ngx_uint_t index)
{
    u_char      md[NGX_COMPLETION_SHA256];
    ngx_uint_t  said;

    said = ngx_completion_openai_said(view);

    ngx_memzero(md, sizeof(md));
    (void) ngx_completion_sha256(view->id.data, view->id.len, md);

    p = ngx_cpymem(p, index < said ? "msg_" : "func_",
                   index < said ? 4 : 5);
    p = ngx_hex_dump(p, md, 16);

    return (index < said) ? p : ngx_sprintf(p, "_%ui", index - said);
}


void
ngx_completion_openai_part(ngx_completion_json_writer_t *w, ngx_str_t *text)
{
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "type", "output_text");
    ngx_completion_json_key_string(w, "text", text);
    ngx_completion_openai_empty(w, "annotations");
    ngx_completion_openai_empty(w, "logprobs");
    ngx_completion_json_end(w);
}


/* the one asked for, or what upstream says it was */

void
ngx_completion_openai_model(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view)
{
    ngx_completion_json_key(w, "model");

    if (view->input->model.len) {
        ngx_completion_json_string(w, &view->input->model);

    } else if (view->result && view->result->model_version.len) {
        ngx_completion_json_string(w, &view->result->model_version);

    } else {
        ngx_completion_json_cstring(w, "unknown");
    }
}


void
ngx_completion_openai_id(ngx_completion_json_writer_t *w, const char *prefix,
    ngx_str_t *id)
{
    u_char     text[NGX_COMPLETION_OPENAI_ID];
    ngx_str_t  value;

    value.data = text;
    value.len = ngx_snprintf(text, sizeof(text), "%s%V", prefix, id) - text;

    ngx_completion_json_key_string(w, "id", &value);
}


static void
ngx_completion_openai_completion(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view)
{
    ngx_completion_json_object(w);

    ngx_completion_openai_id(w, "chatcmpl-", &view->id);
    ngx_completion_json_key_cstring(w, "object", "chat.completion");
    ngx_completion_json_key_integer(w, "created", view->submitted);
    ngx_completion_openai_model(w, view);

    ngx_completion_json_key(w, "choices");
    ngx_completion_json_array(w);
    ngx_completion_json_object(w);
    ngx_completion_json_key_integer(w, "index", 0);

    ngx_completion_json_key(w, "message");
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "role", "assistant");

    if (ngx_completion_openai_said(view)) {
        ngx_completion_json_key_string(w, "content", &view->result->text);

    } else {
        ngx_completion_openai_null(w, "content");
    }

    ngx_completion_openai_null(w, "refusal");
    ngx_completion_openai_calls(w, view, 0);
    ngx_completion_json_end(w);

    ngx_completion_openai_null(w, "logprobs");
    ngx_completion_json_key_cstring(w, "finish_reason",
                                    ngx_completion_openai_reason(view));
    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    ngx_completion_openai_usage(w, view);

    ngx_completion_json_end(w);
}


/* of a chat; those of a stream are numbered; nothing where there are none */

void
ngx_completion_openai_calls(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view, ngx_uint_t streamed)
{
    u_char                      id[NGX_COMPLETION_OPENAI_ITEM];
    ngx_str_t                   value;
    ngx_uint_t                  i, said;
    ngx_array_t                *calls;
    ngx_completion_function_t  *call;

    calls = view->result->calls;

    if (calls == NULL) {
        return;
    }

    said = ngx_completion_openai_said(view);
    call = calls->elts;
    value.data = id;

    ngx_completion_json_key(w, "tool_calls");
    ngx_completion_json_array(w);

    for (i = 0; i < calls->nelts; i++) {
        ngx_completion_json_object(w);

        if (streamed) {
            ngx_completion_json_key_integer(w, "index", i);
        }

        ngx_completion_json_key(w, "id");
        value.len = ngx_completion_openai_item_id(id, view, said + i) - id;
        ngx_memcpy(id, "call", 4);
        ngx_completion_json_string(w, &value);
        ngx_completion_json_key_cstring(w, "type", "function");
        ngx_completion_json_key(w, "function");
        ngx_completion_json_object(w);
        ngx_completion_json_key_string(w, "name", &call[i].name);
        ngx_completion_json_key_string(w, "arguments", &call[i].value);
        ngx_completion_json_end(w);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
}


/* why a choice has ended; NULL: it has failed */

const char *
ngx_completion_openai_reason(ngx_completion_face_view_t *view)
{
    switch (view->state) {

    case NGX_COMPLETION_COMPLETED:
        return "stop";

    case NGX_COMPLETION_TOOL_CALLS:
        return "tool_calls";

    case NGX_COMPLETION_INCOMPLETE:
        return (view->result->failure == NGX_COMPLETION_FAILURE_FILTERED)
                   ? "content_filter" : "length";

    default:
        return NULL;
    }
}


/* in the words of either; null where upstream did not count */

void
ngx_completion_openai_usage(ngx_completion_json_writer_t *w,
    ngx_completion_face_view_t *view)
{
    ngx_uint_t               chat;
    ngx_completion_usage_t  *usage;

    chat = (view->input->shape == NGX_COMPLETION_OPENAI_CHAT);
    usage = &view->result->usage;

    if (usage->input < 0 && usage->completion < 0 && usage->total < 0) {
        ngx_completion_openai_null(w, "usage");
        return;
    }

    ngx_completion_json_key(w, "usage");
    ngx_completion_json_object(w);

    ngx_completion_openai_count(w, chat ? "prompt_tokens" : "input_tokens",
                                usage->input);
    ngx_completion_json_key(w, chat ? "prompt_tokens_details"
                                    : "input_tokens_details");
    ngx_completion_json_object(w);
    ngx_completion_openai_count(w, "cached_tokens", 0);

    if (!chat) {
        ngx_completion_openai_count(w, "cache_write_tokens", 0);
    }

    ngx_completion_json_end(w);

    ngx_completion_openai_count(w, chat ? "completion_tokens"
                                        : "output_tokens", usage->completion);
    ngx_completion_json_key(w, chat ? "completion_tokens_details"
                                    : "output_tokens_details");
    ngx_completion_json_object(w);
    ngx_completion_openai_count(w, "reasoning_tokens", usage->reasoning);
    ngx_completion_json_end(w);

    ngx_completion_openai_count(w, "total_tokens", usage->total);

    ngx_completion_json_end(w);
}


ngx_int_t
ngx_completion_openai_problem(ngx_pool_t *pool, ngx_uint_t status,
    const char *code, ngx_str_t *param, ngx_str_t *message, ngx_str_t *body)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "error");
    ngx_completion_json_object(w);
    ngx_completion_json_key_string(w, "message", message);
    ngx_completion_json_key(w, "type");
    ngx_completion_json_cstring(w, status == 401 ? "authentication_error"
                                   : status == 429 ? "rate_limit_error"
                                   : status < 500 ? "invalid_request_error"
                                                  : "server_error");

    if (param->len) {
        ngx_completion_json_key_string(w, "param", param);

    } else {
        ngx_completion_openai_null(w, "param");
    }

    ngx_completion_json_key_cstring(w, "code", code);
    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, body);
}


static void
ngx_completion_openai_null(ngx_completion_json_writer_t *w, const char *name)
{
    static ngx_str_t  null = ngx_string("null");

    ngx_completion_json_key(w, name);
    ngx_completion_json_raw(w, &null);
}


void
ngx_completion_openai_empty(ngx_completion_json_writer_t *w, const char *name)
{
    ngx_completion_json_key(w, name);
    ngx_completion_json_array(w);
    ngx_completion_json_end(w);
}


static void
ngx_completion_openai_count(ngx_completion_json_writer_t *w, const char *name,
    int64_t tokens)
{
    ngx_completion_json_key_integer(w, name, ngx_max(tokens, 0));
}
