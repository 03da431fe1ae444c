
/*
 * What Yandex says: an Operation, or an error in one of its shapes.  One
 * reader goes through the JSON text and notes what it finds; where a document
 * is to be made of it, it writes along: in upstream's order and spelling, with
 * an empty "id" and "createdBy", a "done" in any case, and cleaned errors.
 */


#include "ngx_completion_yandex.h"


/* gRPC's codes */
#define NGX_COMPLETION_YANDEX_CANCELLED            1
#define NGX_COMPLETION_YANDEX_UNKNOWN              2
#define NGX_COMPLETION_YANDEX_INVALID_ARGUMENT     3
#define NGX_COMPLETION_YANDEX_NOT_FOUND            5
#define NGX_COMPLETION_YANDEX_RESOURCE_EXHAUSTED   8
#define NGX_COMPLETION_YANDEX_FAILED_PRECONDITION  9
#define NGX_COMPLETION_YANDEX_OUT_OF_RANGE         11
#define NGX_COMPLETION_YANDEX_INTERNAL             13

/* of a number: not said */
#define NGX_COMPLETION_YANDEX_UNSAID               -2

/* the longest document that we make ourselves, and more */
#define NGX_COMPLETION_YANDEX_DECIDED_SIZE         512

/* a time with nanoseconds and an offset, and more */
#define NGX_COMPLETION_YANDEX_TIME_MAX             40

/*
 * What is looked for, a line each: what it lies in, its name, and where in the
 * reader it is kept, if it is a number, which may be a string as proto JSON
 * says, or a string.
 */

#define NGX_COMPLETION_FACT_LIST(X)                                           \
    X(ID, ROOT, "id", STRING, id)                                             \
    X(DONE, ROOT, "done", OTHER, pool)                                        \
    X(CREATED_AT, ROOT, "createdAt", STRING, created)                         \
    X(CREATED_BY, ROOT, "createdBy", OTHER, pool)                             \
    X(ERROR, ROOT, "error", STRING, error)                                    \
    X(ERROR_CODE, ERROR, "code", NUMBER, error_code)                          \
    X(ERROR_GRPC_CODE, ERROR, "grpcCode", NUMBER, error_grpc_code)            \
    X(ERROR_MESSAGE, ERROR, "message", STRING, result.message)                \
    X(MESSAGE, ROOT, "message", STRING, message)                              \
    X(RESPONSE, ROOT, "response", OTHER, pool)                                \
    X(ALTERNATIVES, RESPONSE, "alternatives", OTHER, pool)                    \
    X(ALTERNATIVE, ALTERNATIVES, "", OTHER, pool)                             \
    X(STATUS, ALTERNATIVE, "status", OTHER, pool)                             \
    X(ALTERNATIVE_MESSAGE, ALTERNATIVE, "message", OTHER, pool)               \
    X(TEXT, ALTERNATIVE_MESSAGE, "text", STRING, result.text)                 \
    X(CALL_LIST, ALTERNATIVE_MESSAGE, "toolCallList", OTHER, pool)            \
    X(CALLS, CALL_LIST, "toolCalls", OTHER, pool)                             \
    X(CALL, CALLS, "", OTHER, pool)                                           \
    X(FUNCTION, CALL, "functionCall", OTHER, pool)                            \
    X(NAME, FUNCTION, "name", OTHER, pool)                                    \
    X(ARGUMENTS, FUNCTION, "arguments", OTHER, pool)                          \
    X(USAGE, RESPONSE, "usage", OTHER, pool)                                  \
    X(INPUT_TOKENS, USAGE, "inputTextTokens", NUMBER, result.usage.input)     \
    X(COMPLETION_TOKENS, USAGE, "completionTokens", NUMBER,                   \
      result.usage.completion)                                                \
    X(COMPLETION_DETAILS, USAGE, "completionTokensDetails", OTHER, pool)      \
    X(REASONING_TOKENS, COMPLETION_DETAILS, "reasoningTokens", NUMBER,        \
      result.usage.reasoning)                                                 \
    X(TOTAL_TOKENS, USAGE, "totalTokens", NUMBER, result.usage.total)         \
    X(MODEL_VERSION, RESPONSE, "modelVersion", STRING, result.model_version)

#define NGX_COMPLETION_FACT_NODE(fact, parent, name, type, member)            \
    NGX_COMPLETION_FACT_##fact,
#define NGX_COMPLETION_FACT_PATH(fact, parent, name, type, member)            \
    { NGX_COMPLETION_FACT_##parent, NGX_COMPLETION_FACT_##fact,               \
      ngx_string(name) },
#define NGX_COMPLETION_FACT_PLACE(fact, parent, name, type, member)           \
    { NGX_COMPLETION_FACT_IS_##type,                                          \
      offsetof(ngx_completion_yandex_reader_t, member) },


enum {
    NGX_COMPLETION_FACT_ROOT = NGX_COMPLETION_JSON_ROOT,
    NGX_COMPLETION_FACT_LIST(NGX_COMPLETION_FACT_NODE)
    NGX_COMPLETION_FACTS
};


typedef enum {
    NGX_COMPLETION_FACT_IS_OTHER = 0,
    NGX_COMPLETION_FACT_IS_NUMBER,
    NGX_COMPLETION_FACT_IS_STRING
} ngx_completion_yandex_type_e;


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_result_t        result;         /* state, failure: by its
                                                      status */

    ngx_str_t                      id;
    ngx_str_t                      created;
    ngx_str_t                      message;        /* of the top level */
    ngx_str_t                      error;          /* a string */

    int64_t                        error_code;
    int64_t                        error_grpc_code;

    ngx_uint_t                     alternatives;   /* so far, while in them */
    ngx_completion_json_writer_t  *arguments;      /* of a call, under way */

    unsigned                       texts:1;        /* wanted, to be copied */
    unsigned                       done:1;
    unsigned                       response:1;

    /* of a document that is made */

    unsigned                       done_given:1;
    ngx_completion_masks_t        *masks;
    ngx_completion_json_writer_t  *writer;
    size_t                         id_offset;
    ngx_uint_t                     within;         /* an error, a response */
    const char                    *fault;
} ngx_completion_yandex_reader_t;


typedef struct {
    ngx_completion_yandex_type_e   type;
    size_t                         offset;
} ngx_completion_yandex_place_t;


/* how an alternative ends; any other word: it is complete */
typedef struct {
    ngx_str_t                      word;
    ngx_completion_state_e         state;
    ngx_completion_failure_e       failure;
} ngx_completion_yandex_status_t;


static void ngx_completion_yandex_reader(
    ngx_completion_yandex_reader_t *reader, ngx_pool_t *pool);
static ngx_completion_state_e ngx_completion_yandex_state(
    ngx_completion_yandex_reader_t *reader);
static ngx_uint_t ngx_completion_yandex_error(
    ngx_completion_yandex_reader_t *reader);
static ngx_int_t ngx_completion_yandex_made(ngx_pool_t *pool,
    ngx_str_t *created, time_t modified, ngx_uint_t code,
    const char *message, ngx_completion_operation_t *operation);

static ngx_int_t ngx_completion_yandex_read(void *data,
    ngx_completion_json_event_t *event);
static void ngx_completion_yandex_status(
    ngx_completion_yandex_reader_t *reader, ngx_str_t *word);
static ngx_int_t ngx_completion_yandex_read_call(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_read_arguments(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_write(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_write_value(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_write_text(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);


static const ngx_completion_json_path_t  ngx_completion_yandex_paths[] = {
    NGX_COMPLETION_FACT_LIST(NGX_COMPLETION_FACT_PATH)
    { 0, 0, ngx_null_string }
};


/* by node; of the first two there is nothing to keep */

static const ngx_completion_yandex_place_t
    ngx_completion_yandex_places[NGX_COMPLETION_FACTS] =
{
    { NGX_COMPLETION_FACT_IS_OTHER, 0 },
    { NGX_COMPLETION_FACT_IS_OTHER, 0 },
    NGX_COMPLETION_FACT_LIST(NGX_COMPLETION_FACT_PLACE)
};


static const ngx_completion_yandex_status_t
    ngx_completion_yandex_statuses[] =
{
    { ngx_string("ALTERNATIVE_STATUS_CONTENT_FILTER"),
      NGX_COMPLETION_INCOMPLETE, NGX_COMPLETION_FAILURE_FILTERED },
    { ngx_string("ALTERNATIVE_STATUS_TRUNCATED_FINAL"),
      NGX_COMPLETION_INCOMPLETE, NGX_COMPLETION_FAILURE_NONE },
    { ngx_string("ALTERNATIVE_STATUS_PARTIAL"),
      NGX_COMPLETION_INCOMPLETE, NGX_COMPLETION_FAILURE_NONE },
    { ngx_string("ALTERNATIVE_STATUS_TOOL_CALLS"),
      NGX_COMPLETION_TOOL_CALLS, NGX_COMPLETION_FAILURE_TOOL_CALLS },
    { ngx_null_string, 0, 0 }
};


ngx_int_t
ngx_completion_yandex_answer(ngx_completion_kind_e kind,
    ngx_completion_masks_t *masks, ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_operation_t *operation, const char **fault)
{
    ngx_int_t                       rc;
    ngx_completion_yandex_reader_t  reader;

    ngx_completion_yandex_reader(&reader, pool);

    reader.masks = masks;

    /* all that is ever added is a "done" */

    reader.writer = ngx_completion_json_writer_sized(pool, text->len + 64);
    if (reader.writer == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_json_read(pool, text, ngx_completion_yandex_paths,
                                  ngx_completion_yandex_write, &reader,
                                  &reader.fault);
    if (rc == NGX_DECLINED) {
        *fault = reader.fault;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (reader.id.len == 0) {
        *fault = "an operation without an id";
        return NGX_DECLINED;
    }

    operation->id = reader.id;
    operation->state = ngx_completion_yandex_state(&reader);

    if (reader.done && !reader.response
        && !ngx_completion_yandex_error(&reader))
    {
        /* it has ended, with nothing to show for it and no reason */

        operation->state = NGX_COMPLETION_FAILED;

        return ngx_completion_yandex_made(pool, &reader.created, ngx_time(),
                                   NGX_COMPLETION_YANDEX_INTERNAL,
                                   "The operation ended without a result",
                                   operation);
    }

    operation->id_offset = reader.id_offset;
    operation->usage = reader.result.usage;

    return ngx_completion_json_writer_finish(reader.writer,
                                             &operation->document);
}


ngx_int_t
ngx_completion_yandex_reason(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *reason)
{
    ngx_int_t                       rc;
    const char                     *fault;
    ngx_completion_yandex_reader_t  reader;

    ngx_str_null(reason);
    ngx_completion_yandex_reader(&reader, pool);

    rc = ngx_completion_json_read(pool, text, ngx_completion_yandex_paths,
                                  ngx_completion_yandex_read, &reader, &fault);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    if (reader.result.message.len) {
        *reason = reader.result.message;

    } else if (reader.message.len) {
        *reason = reader.message;

    } else {
        *reason = reader.error;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_yandex_result(ngx_pool_t *pool, ngx_str_t *document,
    ngx_completion_result_t *result)
{
    const char                      *fault;
    ngx_completion_yandex_reader_t   reader;

    ngx_completion_yandex_reader(&reader, pool);
    reader.texts = 1;

    if (ngx_completion_json_read(pool, document, ngx_completion_yandex_paths,
                                 ngx_completion_yandex_read, &reader, &fault)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    *result = reader.result;
    result->state = ngx_completion_yandex_state(&reader);

    if (result->state != NGX_COMPLETION_FAILED) {
        ngx_str_null(&result->message);
        return NGX_OK;
    }

    if (result->message.len == 0) {
        result->message = reader.error;
    }

    if (result->failure == NGX_COMPLETION_FAILURE_FILTERED) {
        return NGX_OK;
    }

    switch (ngx_completion_yandex_error(&reader)) {

    case NGX_COMPLETION_YANDEX_CANCELLED:
        result->failure = NGX_COMPLETION_FAILURE_CANCELLED;
        break;

    case NGX_COMPLETION_YANDEX_INVALID_ARGUMENT:
    case NGX_COMPLETION_YANDEX_FAILED_PRECONDITION:
    case NGX_COMPLETION_YANDEX_OUT_OF_RANGE:
        result->failure = NGX_COMPLETION_FAILURE_INVALID;
        break;

    default:
        result->failure = NGX_COMPLETION_FAILURE_OTHER;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_yandex_decided(ngx_pool_t *pool,
    ngx_completion_state_e state, time_t submitted, time_t decided,
    ngx_completion_operation_t *operation)
{
    u_char       text[sizeof("2026-11-30T12:00:00Z")];
    ngx_str_t    created;
    ngx_uint_t   code;
    const char  *message;

    switch (state) {

    case NGX_COMPLETION_CANCELLED:
        code = NGX_COMPLETION_YANDEX_CANCELLED;
        message = "The operation was cancelled";
        break;

    case NGX_COMPLETION_LOST:
        code = NGX_COMPLETION_YANDEX_NOT_FOUND;
        message = "The operation was lost: the upstream knows it no more";
        break;

    case NGX_COMPLETION_TOO_LARGE:
        code = NGX_COMPLETION_YANDEX_RESOURCE_EXHAUSTED;
        message = "The result is longer than this server takes";
        break;

    case NGX_COMPLETION_UNREADABLE:
        code = NGX_COMPLETION_YANDEX_INTERNAL;
        message = "The upstream's result cannot be read";
        break;

    default: /* NGX_COMPLETION_PENDING */
        code = 0;
        message = NULL;
        break;
    }

    ngx_memzero(operation, sizeof(ngx_completion_operation_t));

    operation->state = state;

    created.data = text;
    created.len = ngx_completion_yandex_time(text, submitted) - text;

    return ngx_completion_yandex_made(pool, &created, decided, code, message,
                                      operation);
}


/* a document of our own; code: 0: pending */

static ngx_int_t
ngx_completion_yandex_made(ngx_pool_t *pool, ngx_str_t *created,
    time_t modified, ngx_uint_t code, const char *message,
    ngx_completion_operation_t *operation)
{
    u_char  *p;

    operation->id_offset = sizeof("{\"id\":\"") - 1;
    ngx_completion_usage_init(&operation->usage);

    p = ngx_pnalloc(pool, NGX_COMPLETION_YANDEX_DECIDED_SIZE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    operation->document.data = p;

    p = ngx_sprintf(p, "{\"id\":\"\",\"description\":\"Async GPT Completion\","
                    "\"createdAt\":\"");

    /* what is longer, or has to be escaped, is no time */

    if (created->len && created->len <= NGX_COMPLETION_YANDEX_TIME_MAX
        && ngx_escape_json(NULL, created->data, created->len) == 0)
    {
        p = ngx_cpymem(p, created->data, created->len);
    }

    p = ngx_sprintf(p, "\",\"createdBy\":\"\",\"modifiedAt\":\"");
    p = ngx_completion_yandex_time(p, modified);
    p = ngx_sprintf(p, "\",\"done\":%s,\"metadata\":null",
                    code ? "true" : "false");

    if (code) {
        p = ngx_sprintf(p, ",\"error\":{\"code\":%ui,\"message\":\"%s\","
                        "\"details\":[]}",
                        code, message);
    }

    *p++ = '}';

    operation->document.len = p - operation->document.data;

    return NGX_OK;
}


u_char *
ngx_completion_yandex_time(u_char *p, time_t time)
{
    ngx_tm_t  tm;

    ngx_gmtime(time, &tm);

    return ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02dZ",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);
}


static void
ngx_completion_yandex_reader(ngx_completion_yandex_reader_t *reader,
    ngx_pool_t *pool)
{
    ngx_memzero(reader, sizeof(ngx_completion_yandex_reader_t));

    reader->pool = pool;
    reader->result.state = NGX_COMPLETION_COMPLETED;
    reader->error_code = NGX_COMPLETION_YANDEX_UNSAID;
    reader->error_grpc_code = NGX_COMPLETION_YANDEX_UNSAID;
    ngx_completion_usage_init(&reader->result.usage);
}


static ngx_completion_state_e
ngx_completion_yandex_state(ngx_completion_yandex_reader_t *reader)
{
    if (!reader->done) {
        return NGX_COMPLETION_PENDING;
    }

    if (ngx_completion_yandex_error(reader)) {
        return NGX_COMPLETION_FAILED;
    }

    return reader->result.state;
}


/* The gRPC code of an error, 0 if there is none. */

static ngx_uint_t
ngx_completion_yandex_error(ngx_completion_yandex_reader_t *reader)
{
    int64_t  code;

    code = reader->error_code;

    if (code == NGX_COMPLETION_YANDEX_UNSAID) {
        code = reader->error_grpc_code;
    }

    if (code == NGX_COMPLETION_YANDEX_UNSAID) {

        /* then it takes a message, and nothing that contradicts */

        code = (reader->error.len || reader->result.message.len)
               && !reader->response ? NGX_COMPLETION_YANDEX_UNKNOWN : 0;
    }

    if (code < 0 || code > NGX_MAX_INT32_VALUE) {
        code = NGX_COMPLETION_YANDEX_UNKNOWN;
    }

    return code;
}


static ngx_int_t
ngx_completion_yandex_read(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_yandex_reader_t *reader = data;

    void                                 *kept;
    const ngx_completion_yandex_place_t  *place;

    if (reader->arguments) {
        return ngx_completion_yandex_read_arguments(reader, event);
    }

    /* the first alternative is the one that counts */

    if (event->node == NGX_COMPLETION_FACT_ALTERNATIVE
        && event->type != NGX_COMPLETION_JSON_END)
    {
        reader->alternatives++;

    } else if (event->node == NGX_COMPLETION_FACT_ALTERNATIVES) {
        reader->alternatives = 0;
    }

    if (reader->alternatives > 1) {
        return NGX_OK;
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_BOOLEAN:

        if (event->node == NGX_COMPLETION_FACT_DONE) {
            reader->done = event->boolean;
        }

        return NGX_OK;

    case NGX_COMPLETION_JSON_OBJECT:

        if (event->node == NGX_COMPLETION_FACT_RESPONSE) {
            reader->response = 1;
        }

        return reader->texts ? ngx_completion_yandex_read_call(reader, event)
                             : NGX_OK;

    case NGX_COMPLETION_JSON_NUMBER:
    case NGX_COMPLETION_JSON_STRING:
        break;

    default:
        return NGX_OK;
    }

    place = &ngx_completion_yandex_places[event->node];
    kept = (u_char *) reader + place->offset;

    if (place->type == NGX_COMPLETION_FACT_IS_NUMBER) {
        *(int64_t *) kept = ngx_atoof(event->value.data, event->value.len);
        return NGX_OK;
    }

    if (event->type == NGX_COMPLETION_JSON_NUMBER) {
        return NGX_OK;
    }

    switch (event->node) {

    case NGX_COMPLETION_FACT_STATUS:
        ngx_completion_yandex_status(reader, &event->value);
        return NGX_OK;

    case NGX_COMPLETION_FACT_NAME:
        return reader->texts ? ngx_completion_yandex_read_call(reader, event)
                             : NGX_OK;

    case NGX_COMPLETION_FACT_TEXT:
    case NGX_COMPLETION_FACT_MODEL_VERSION:

        if (!reader->texts) {
            return NGX_OK;
        }
    }

    return (place->type == NGX_COMPLETION_FACT_IS_STRING)
               ? ngx_completion_json_keep(reader->pool, &event->value, kept)
               : NGX_OK;
}


static void
ngx_completion_yandex_status(ngx_completion_yandex_reader_t *reader,
    ngx_str_t *word)
{
    const ngx_completion_yandex_status_t  *status;

    for (status = ngx_completion_yandex_statuses; status->word.len; status++) {
        if (status->word.len == word->len
            && ngx_memcmp(status->word.data, word->data, word->len) == 0)
        {
            reader->result.state = status->state;
            reader->result.failure = status->failure;
        }
    }
}


const ngx_str_t *
ngx_completion_yandex_status_of(ngx_completion_result_t *result)
{
    const ngx_completion_yandex_status_t  *status;

    static const ngx_str_t  complete = ngx_string("ALTERNATIVE_STATUS_FINAL");

    for (status = ngx_completion_yandex_statuses; status->word.len; status++) {
        if (status->state == result->state
            && status->failure == result->failure)
        {
            return &status->word;
        }
    }

    return &complete;
}


/* a call begins, has a name, or arguments, which are an object */

static ngx_int_t
ngx_completion_yandex_read_call(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    ngx_array_t                 *calls;
    ngx_completion_function_t   *call;

    calls = reader->result.calls;

    switch (event->node) {

    case NGX_COMPLETION_FACT_CALL:

        if (calls == NULL) {
            calls = ngx_array_create(reader->pool, 4,
                                     sizeof(ngx_completion_function_t));
            if (calls == NULL) {
                return NGX_ERROR;
            }

            reader->result.calls = calls;
        }

        call = ngx_array_push(calls);
        if (call == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(call, sizeof(ngx_completion_function_t));
        ngx_str_set(&call->value, "{}");

        return NGX_OK;

    case NGX_COMPLETION_FACT_NAME:

        if (event->type != NGX_COMPLETION_JSON_STRING) {
            return NGX_OK;
        }

        call = calls->elts;

        return ngx_completion_json_keep(reader->pool, &event->value,
                                        &call[calls->nelts - 1].name);

    case NGX_COMPLETION_FACT_ARGUMENTS:
        reader->arguments = ngx_completion_json_writer_create(reader->pool);
        if (reader->arguments == NULL) {
            return NGX_ERROR;
        }

        return ngx_completion_yandex_read_arguments(reader, event);

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_completion_yandex_read_arguments(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    ngx_array_t                *calls;
    ngx_completion_function_t  *call;

    ngx_completion_json_event(reader->arguments, event);

    if (event->node != NGX_COMPLETION_FACT_ARGUMENTS
        || event->type != NGX_COMPLETION_JSON_END)
    {
        return NGX_OK;
    }

    calls = reader->result.calls;
    call = calls->elts;

    if (ngx_completion_json_writer_finish(reader->arguments,
                                          &call[calls->nelts - 1].value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    reader->arguments = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_yandex_write(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_yandex_reader_t *reader = data;

    ngx_int_t  rc;

    rc = ngx_completion_yandex_read(reader, event);
    if (rc != NGX_OK) {
        return rc;
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
        return ngx_completion_yandex_write_text(reader, event);

    case NGX_COMPLETION_JSON_END:

        if (event->depth == 1) {
            reader->within = 0;
        }

        if (event->depth == 0 && !reader->done_given) {
            ngx_completion_json_key(reader->writer, "done");
            ngx_completion_json_boolean(reader->writer, 0);
        }

        ngx_completion_json_event(reader->writer, event);

        return NGX_OK;

    default:
        return ngx_completion_yandex_write_value(reader, event);
    }
}


static ngx_int_t
ngx_completion_yandex_write_value(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    ngx_uint_t                     container;
    ngx_completion_json_writer_t  *w;

    w = reader->writer;
    container = (event->type == NGX_COMPLETION_JSON_OBJECT
                 || event->type == NGX_COMPLETION_JSON_ARRAY);

    switch (event->node) {

    case NGX_COMPLETION_FACT_ID:

        if (event->type != NGX_COMPLETION_JSON_STRING
            || event->value.len == 0)
        {
            reader->fault = "an operation's id of a wrong form";
            return NGX_DECLINED;
        }

        ngx_completion_json_cstring(w, "");
        reader->id_offset = ngx_completion_json_written(w) - 1;

        return NGX_OK;

    case NGX_COMPLETION_FACT_DONE:

        if (event->type != NGX_COMPLETION_JSON_BOOLEAN
            && event->type != NGX_COMPLETION_JSON_NULL)
        {
            reader->fault = "an operation's \"done\" of a wrong type";
            return NGX_DECLINED;
        }

        reader->done_given = 1;
        ngx_completion_json_boolean(w, event->boolean);

        return NGX_OK;

    case NGX_COMPLETION_FACT_CREATED_BY:

        if (container) {
            reader->fault = "an operation's \"createdBy\" of a wrong type";
            return NGX_DECLINED;
        }

        if (event->type != NGX_COMPLETION_JSON_NULL) {
            ngx_completion_json_cstring(w, "");
            return NGX_OK;
        }

        break;

    default:

        if (event->type == NGX_COMPLETION_JSON_STRING) {
            return ngx_completion_yandex_write_text(reader, event);
        }

        if (event->depth == 1 && container) {
            reader->within = event->node;
        }
    }

    ngx_completion_json_event(w, event);

    return NGX_OK;
}


/* A key or a string, as clients may see it. */

static ngx_int_t
ngx_completion_yandex_write_text(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    size_t                       limit;
    ngx_int_t                    rc;
    ngx_completion_json_event_t  seen;

    seen = *event;
    limit = 0;
    rc = NGX_OK;

    if (event->type == NGX_COMPLETION_JSON_STRING
        && (reader->within == NGX_COMPLETION_FACT_ERROR
            || event->node == NGX_COMPLETION_FACT_ERROR
            || event->node == NGX_COMPLETION_FACT_MESSAGE))
    {
        limit = (event->parent == NGX_COMPLETION_FACT_ERROR
                 || event->depth == 1) ? NGX_COMPLETION_REASON_MAX : 0;

        rc = ngx_completion_clean(reader->masks, reader->pool, &seen.value,
                                  limit);

    } else if (reader->within != NGX_COMPLETION_FACT_RESPONSE) {

        /* the words of a model are the client's, whatever they are */

        rc = ngx_completion_mask(reader->masks, reader->pool, &seen.value);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /*
     * The "*" of a mask is in none of the names that we know; and the reader
     * has checked the whole text, of which this is a part.
     */

    if (event->type == NGX_COMPLETION_JSON_KEY
        || seen.value.data == event->value.data)
    {
        ngx_completion_json_event(reader->writer, &seen);
        return NGX_OK;
    }

    /* an error without a code is known by its message */

    if (limit && seen.value.len == 0 && event->value.len) {
        ngx_str_set(&seen.value, "the reason is withheld");
    }

    ngx_completion_json_string(reader->writer, &seen.value);

    return NGX_OK;
}
