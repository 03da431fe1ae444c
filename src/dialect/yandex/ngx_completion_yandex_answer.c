
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
#define NGX_COMPLETION_YANDEX_FAILED_PRECONDITION  9
#define NGX_COMPLETION_YANDEX_OUT_OF_RANGE         11

#define ngx_completion_yandex_equal(s, text)                                  \
    ((s)->len == sizeof(text) - 1                                             \
     && ngx_memcmp((s)->data, text, sizeof(text) - 1) == 0)


enum {
    NGX_COMPLETION_FACT_ID = NGX_COMPLETION_JSON_ROOT + 1,
    NGX_COMPLETION_FACT_DONE,
    NGX_COMPLETION_FACT_CREATED_BY,
    NGX_COMPLETION_FACT_ERROR,
    NGX_COMPLETION_FACT_ERROR_CODE,
    NGX_COMPLETION_FACT_ERROR_GRPC_CODE,
    NGX_COMPLETION_FACT_ERROR_MESSAGE,
    NGX_COMPLETION_FACT_MESSAGE,
    NGX_COMPLETION_FACT_RESPONSE,
    NGX_COMPLETION_FACT_ALTERNATIVES,
    NGX_COMPLETION_FACT_ALTERNATIVE,
    NGX_COMPLETION_FACT_STATUS,
    NGX_COMPLETION_FACT_ALTERNATIVE_MESSAGE,
    NGX_COMPLETION_FACT_TEXT,
    NGX_COMPLETION_FACT_USAGE,
    NGX_COMPLETION_FACT_INPUT_TOKENS,
    NGX_COMPLETION_FACT_COMPLETION_TOKENS,
    NGX_COMPLETION_FACT_TOTAL_TOKENS,
    NGX_COMPLETION_FACT_MODEL_VERSION
};


typedef struct {
    ngx_pool_t                    *pool;
    ngx_completion_result_t        result;         /* but its failure */

    ngx_str_t                      id;
    ngx_str_t                      message;        /* of the top level */
    ngx_str_t                      error;          /* a string */

    int64_t                        error_code;
    int64_t                        error_grpc_code;

    unsigned                       texts:1;        /* wanted, to be copied */
    unsigned                       done:1;
    unsigned                       response:1;
    unsigned                       error_coded:1;
    unsigned                       error_grpc_coded:1;
    unsigned                       incomplete:1;
    unsigned                       filtered:1;

    /* of a document that is made */

    unsigned                       done_given:1;
    ngx_completion_masks_t        *masks;
    ngx_completion_json_writer_t  *writer;
    size_t                         id_offset;
    ngx_uint_t                     within;         /* an error, a response */
    const char                    *fault;
} ngx_completion_yandex_reader_t;


static void ngx_completion_yandex_reader(
    ngx_completion_yandex_reader_t *reader, ngx_pool_t *pool);
static ngx_completion_state_e ngx_completion_yandex_state(
    ngx_completion_yandex_reader_t *reader);
static ngx_uint_t ngx_completion_yandex_error(
    ngx_completion_yandex_reader_t *reader);
static ngx_completion_failure_e ngx_completion_yandex_failure(
    ngx_uint_t code);
static void ngx_completion_yandex_time(ngx_completion_json_writer_t *w,
    const char *name, time_t time);

static ngx_int_t ngx_completion_yandex_read(void *data,
    ngx_completion_json_event_t *event);
static void ngx_completion_yandex_read_number(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static int64_t ngx_completion_yandex_integer(ngx_str_t *value);
static ngx_int_t ngx_completion_yandex_read_string(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static void ngx_completion_yandex_read_status(
    ngx_completion_yandex_reader_t *reader, ngx_str_t *status);

static ngx_int_t ngx_completion_yandex_write(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_write_name(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_write_value(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_write_string(
    ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event);


static const ngx_completion_json_path_t  ngx_completion_yandex_paths[] = {

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_FACT_ID,
      ngx_string("id") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_FACT_DONE,
      ngx_string("done") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_FACT_CREATED_BY,
      ngx_string("createdBy") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_FACT_ERROR,
      ngx_string("error") },

    { NGX_COMPLETION_FACT_ERROR, NGX_COMPLETION_FACT_ERROR_CODE,
      ngx_string("code") },

    { NGX_COMPLETION_FACT_ERROR, NGX_COMPLETION_FACT_ERROR_GRPC_CODE,
      ngx_string("grpcCode") },

    { NGX_COMPLETION_FACT_ERROR, NGX_COMPLETION_FACT_ERROR_MESSAGE,
      ngx_string("message") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_FACT_MESSAGE,
      ngx_string("message") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_FACT_RESPONSE,
      ngx_string("response") },

    { NGX_COMPLETION_FACT_RESPONSE, NGX_COMPLETION_FACT_ALTERNATIVES,
      ngx_string("alternatives") },

    { NGX_COMPLETION_FACT_ALTERNATIVES, NGX_COMPLETION_FACT_ALTERNATIVE,
      ngx_null_string },

    { NGX_COMPLETION_FACT_ALTERNATIVE, NGX_COMPLETION_FACT_STATUS,
      ngx_string("status") },

    { NGX_COMPLETION_FACT_ALTERNATIVE,
      NGX_COMPLETION_FACT_ALTERNATIVE_MESSAGE,
      ngx_string("message") },

    { NGX_COMPLETION_FACT_ALTERNATIVE_MESSAGE, NGX_COMPLETION_FACT_TEXT,
      ngx_string("text") },

    { NGX_COMPLETION_FACT_RESPONSE, NGX_COMPLETION_FACT_USAGE,
      ngx_string("usage") },

    { NGX_COMPLETION_FACT_USAGE, NGX_COMPLETION_FACT_INPUT_TOKENS,
      ngx_string("inputTextTokens") },

    { NGX_COMPLETION_FACT_USAGE, NGX_COMPLETION_FACT_COMPLETION_TOKENS,
      ngx_string("completionTokens") },

    { NGX_COMPLETION_FACT_USAGE, NGX_COMPLETION_FACT_TOTAL_TOKENS,
      ngx_string("totalTokens") },

    { NGX_COMPLETION_FACT_RESPONSE, NGX_COMPLETION_FACT_MODEL_VERSION,
      ngx_string("modelVersion") },

    { 0, 0, ngx_null_string }
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

    } else {
        result->failure = ngx_completion_yandex_failure(
                                         ngx_completion_yandex_error(&reader));

        if (result->message.len == 0) {
            result->message = reader.error;
        }
    }

    if (reader.filtered) {
        result->failure = NGX_COMPLETION_FAILURE_FILTERED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_yandex_decided(ngx_pool_t *pool,
    ngx_completion_state_e state, time_t submitted, time_t decided,
    ngx_completion_operation_t *operation)
{
    const char                    *message;
    ngx_uint_t                     code;
    ngx_completion_json_writer_t  *w;

    if (state == NGX_COMPLETION_CANCELLED) {
        code = NGX_COMPLETION_YANDEX_CANCELLED;
        message = "The operation was cancelled";

    } else {
        code = NGX_COMPLETION_YANDEX_NOT_FOUND;
        message = "The operation was lost: the upstream knows it no more";
    }

    ngx_memzero(operation, sizeof(ngx_completion_operation_t));

    operation->state = state;
    ngx_completion_usage_init(&operation->usage);

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);

    ngx_completion_json_key(w, "id");
    ngx_completion_json_cstring(w, "");
    operation->id_offset = ngx_completion_json_written(w) - 1;

    ngx_completion_json_key(w, "description");
    ngx_completion_json_cstring(w, "Async GPT Completion");
    ngx_completion_yandex_time(w, "createdAt", submitted);
    ngx_completion_json_key(w, "createdBy");
    ngx_completion_json_cstring(w, "");
    ngx_completion_yandex_time(w, "modifiedAt", decided);
    ngx_completion_json_key(w, "done");
    ngx_completion_json_boolean(w, state != NGX_COMPLETION_PENDING);
    ngx_completion_json_key(w, "metadata");
    ngx_completion_json_null(w);

    if (state == NGX_COMPLETION_PENDING) {
        ngx_completion_json_object_end(w);
        return ngx_completion_json_writer_finish(w, &operation->document);
    }

    ngx_completion_json_key(w, "error");
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "code");
    ngx_completion_json_integer(w, code);
    ngx_completion_json_key(w, "message");
    ngx_completion_json_cstring(w, message);
    ngx_completion_json_key(w, "details");
    ngx_completion_json_array(w);
    ngx_completion_json_array_end(w);
    ngx_completion_json_object_end(w);

    ngx_completion_json_object_end(w);

    return ngx_completion_json_writer_finish(w, &operation->document);
}


static void
ngx_completion_yandex_time(ngx_completion_json_writer_t *w,
    const char *name, time_t time)
{
    u_char     buf[sizeof("-9223372036854775808-01-01T00:00:00Z")], *last;
    ngx_tm_t   tm;
    ngx_str_t  text;

    ngx_gmtime(time, &tm);

    last = ngx_snprintf(buf, sizeof(buf), "%4d-%02d-%02dT%02d:%02d:%02dZ",
                        tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                        tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);

    text.data = buf;
    text.len = last - buf;

    ngx_completion_json_key(w, name);
    ngx_completion_json_string(w, &text);
}


static void
ngx_completion_yandex_reader(ngx_completion_yandex_reader_t *reader,
    ngx_pool_t *pool)
{
    ngx_memzero(reader, sizeof(ngx_completion_yandex_reader_t));

    reader->pool = pool;
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

    if (reader->incomplete) {
        return NGX_COMPLETION_INCOMPLETE;
    }

    return NGX_COMPLETION_COMPLETED;
}


/* The gRPC code of an error, 0 if there is none. */

static ngx_uint_t
ngx_completion_yandex_error(ngx_completion_yandex_reader_t *reader)
{
    int64_t  code;

    if (reader->error_coded) {
        code = reader->error_code;

    } else if (reader->error_grpc_coded) {
        code = reader->error_grpc_code;

    } else {

        /* without a code it takes a message, and nothing that contradicts */

        code = (reader->error.len || reader->result.message.len)
               && !reader->response ? NGX_COMPLETION_YANDEX_UNKNOWN : 0;
    }

    if (code < 0 || code > NGX_MAX_INT32_VALUE) {
        code = NGX_COMPLETION_YANDEX_UNKNOWN;
    }

    return code;
}


static ngx_completion_failure_e
ngx_completion_yandex_failure(ngx_uint_t code)
{
    switch (code) {

    case 0:
        return NGX_COMPLETION_FAILURE_NONE;

    case NGX_COMPLETION_YANDEX_CANCELLED:
        return NGX_COMPLETION_FAILURE_CANCELLED;

    case NGX_COMPLETION_YANDEX_INVALID_ARGUMENT:
    case NGX_COMPLETION_YANDEX_FAILED_PRECONDITION:
    case NGX_COMPLETION_YANDEX_OUT_OF_RANGE:
        return NGX_COMPLETION_FAILURE_INVALID;

    default:
        return NGX_COMPLETION_FAILURE_OTHER;
    }
}


ngx_int_t
ngx_completion_yandex_read(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_yandex_reader_t *reader = data;

    if (event->node <= NGX_COMPLETION_JSON_ROOT) {
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

        return NGX_OK;

    case NGX_COMPLETION_JSON_NUMBER:
        ngx_completion_yandex_read_number(reader, event);
        return NGX_OK;

    case NGX_COMPLETION_JSON_STRING:

        /* int64 is a string in proto JSON */
        ngx_completion_yandex_read_number(reader, event);

        return ngx_completion_yandex_read_string(reader, event);

    default:
        return NGX_OK;
    }
}


static void
ngx_completion_yandex_read_number(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    ngx_completion_usage_t  *usage;

    usage = &reader->result.usage;

    switch (event->node) {

    case NGX_COMPLETION_FACT_ERROR_CODE:
        reader->error_coded = 1;
        reader->error_code = ngx_completion_yandex_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_ERROR_GRPC_CODE:
        reader->error_grpc_coded = 1;
        reader->error_grpc_code = ngx_completion_yandex_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_INPUT_TOKENS:
        usage->input = ngx_completion_yandex_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_COMPLETION_TOKENS:
        usage->completion = ngx_completion_yandex_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_TOTAL_TOKENS:
        usage->total = ngx_completion_yandex_integer(&event->value);
        break;
    }
}


/* -1: no number, a negative one, or none that an int64 holds */

static int64_t
ngx_completion_yandex_integer(ngx_str_t *value)
{
    int64_t     n;
    ngx_uint_t  i, digit;

    if (value->len == 0) {
        return -1;
    }

    n = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            return -1;
        }

        digit = value->data[i] - '0';

        if (n > (INT64_MAX - (int64_t) digit) / 10) {
            return -1;
        }

        n = n * 10 + digit;
    }

    return n;
}


static ngx_int_t
ngx_completion_yandex_read_string(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    ngx_str_t  *fact;

    fact = NULL;

    switch (event->node) {

    case NGX_COMPLETION_FACT_ID:
        fact = &reader->id;
        break;

    case NGX_COMPLETION_FACT_MESSAGE:
        fact = &reader->message;
        break;

    case NGX_COMPLETION_FACT_ERROR:
        fact = &reader->error;
        break;

    case NGX_COMPLETION_FACT_ERROR_MESSAGE:
        fact = &reader->result.message;
        break;

    case NGX_COMPLETION_FACT_TEXT:
        fact = reader->texts ? &reader->result.text : NULL;
        break;

    case NGX_COMPLETION_FACT_MODEL_VERSION:
        fact = reader->texts ? &reader->result.model_version : NULL;
        break;

    case NGX_COMPLETION_FACT_STATUS:
        ngx_completion_yandex_read_status(reader, &event->value);
        break;
    }

    if (fact == NULL) {
        return NGX_OK;
    }

    fact->len = event->value.len;
    fact->data = ngx_pstrdup(reader->pool, &event->value);

    return fact->data ? NGX_OK : NGX_ERROR;
}


static void
ngx_completion_yandex_read_status(ngx_completion_yandex_reader_t *reader,
    ngx_str_t *status)
{
    if (ngx_completion_yandex_equal(status,
                                    "ALTERNATIVE_STATUS_CONTENT_FILTER"))
    {
        reader->filtered = 1;
        reader->incomplete = 1;

    } else if (ngx_completion_yandex_equal(status,
                                           "ALTERNATIVE_STATUS_TRUNCATED_FINAL")
               || ngx_completion_yandex_equal(status,
                                              "ALTERNATIVE_STATUS_PARTIAL"))
    {
        reader->incomplete = 1;
    }
}


static ngx_int_t
ngx_completion_yandex_write(void *data, ngx_completion_json_event_t *event)
{
    ngx_int_t                   rc;
    ngx_completion_yandex_reader_t  *reader = data;

    rc = ngx_completion_yandex_read(reader, event);
    if (rc != NGX_OK) {
        return rc;
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
        return ngx_completion_yandex_write_name(reader, event);

    case NGX_COMPLETION_JSON_OBJECT_END:
    case NGX_COMPLETION_JSON_ARRAY_END:

        if (event->depth == 1) {
            reader->within = 0;
        }

        if (event->depth == 0 && !reader->done_given) {
            ngx_completion_json_key(reader->writer, "done");
            ngx_completion_json_boolean(reader->writer, 0);
        }

        break;

    default:
        return ngx_completion_yandex_write_value(reader, event);
    }

    ngx_completion_json_event(reader->writer, event);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_yandex_write_name(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    ngx_int_t                    rc;
    ngx_completion_json_event_t  name;

    name = *event;

    /* the "*" of a mask is in none of the names that we know */

    if (reader->within != NGX_COMPLETION_FACT_RESPONSE) {
        rc = ngx_completion_mask(reader->masks,
                                          reader->pool, &name.value);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_completion_json_event(reader->writer, &name);

    return NGX_OK;
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
            return ngx_completion_yandex_write_string(reader, event);
        }

        if (event->depth == 1 && container) {
            reader->within = event->node;
        }
    }

    ngx_completion_json_event(w, event);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_yandex_write_string(ngx_completion_yandex_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    size_t      limit;
    ngx_int_t   rc;
    ngx_str_t   text;

    text = event->value;
    limit = 0;

    if (reader->within == NGX_COMPLETION_FACT_ERROR
        || event->node == NGX_COMPLETION_FACT_ERROR
        || event->node == NGX_COMPLETION_FACT_MESSAGE)
    {
        limit = (event->parent == NGX_COMPLETION_FACT_ERROR
                 || event->depth == 1) ? NGX_COMPLETION_REASON_MAX : 0;

        rc = ngx_completion_clean(reader->masks,
                                           reader->pool, &text, limit);

    } else if (reader->within == NGX_COMPLETION_FACT_RESPONSE) {

        /* a model's words are the client's, whatever they are */

        rc = NGX_OK;

    } else {
        rc = ngx_completion_mask(reader->masks,
                                          reader->pool, &text);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* an error without a code is known by its message */

    if (limit && text.len == 0 && event->value.len) {
        ngx_str_set(&text, "the reason is withheld");
    }

    ngx_completion_json_string(reader->writer, &text);

    return NGX_OK;
}
