
#include "../ngx_completion_dialect.h"
#include "ngx_completion_yandex.h"
#include "../../base/ngx_completion_json.h"


#define NGX_COMPLETION_GRPC_CANCELLED  1
#define NGX_COMPLETION_GRPC_NOT_FOUND  5


typedef struct {
    ngx_completion_facts_t         facts;
    ngx_completion_masks_t        *masks;
    ngx_completion_json_writer_t  *writer;
    size_t                         id_offset;
    ngx_uint_t                     within;         /* an error, a response */
    const char                    *fault;
    unsigned                       done_given:1;
} ngx_completion_document_t;


static ngx_int_t ngx_completion_document_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_document_name(
    ngx_completion_document_t *document, ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_document_value(
    ngx_completion_document_t *document, ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_document_id(
    ngx_completion_document_t *document, ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_document_done(
    ngx_completion_document_t *document, ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_document_created_by(
    ngx_completion_document_t *document, ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_document_string(
    ngx_completion_document_t *document, ngx_completion_json_event_t *event);
static void ngx_completion_document_time(ngx_completion_json_writer_t *w,
    const char *name, time_t time);


ngx_int_t
ngx_completion_provider_document(ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *text, ngx_completion_operation_t *operation,
    const char **fault)
{
    ngx_int_t                  rc;
    ngx_completion_facts_t    *facts;
    ngx_completion_document_t  document;

    ngx_memzero(&document, sizeof(ngx_completion_document_t));

    facts = &document.facts;
    ngx_completion_facts_init(facts, pool);

    document.masks = masks;

    /* all that is ever added is a "done" */

    document.writer = ngx_completion_json_writer_sized(pool, text->len + 64);
    if (document.writer == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_json_read(pool, text, ngx_completion_facts_paths,
                                  ngx_completion_document_event, &document,
                                  &document.fault);
    if (rc == NGX_DECLINED) {
        *fault = document.fault;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (facts->id.len == 0) {
        *fault = "an operation without an id";
        return NGX_DECLINED;
    }

    operation->id = facts->id;
    operation->state = ngx_completion_facts_state(facts);
    operation->id_offset = document.id_offset;
    operation->input_tokens = facts->input_tokens;
    operation->completion_tokens = facts->completion_tokens;
    operation->total_tokens = facts->total_tokens;

    return ngx_completion_json_writer_finish(document.writer,
                                             &operation->document);
}


ngx_int_t
ngx_completion_provider_decided(ngx_pool_t *pool,
    ngx_completion_state_e state, time_t submitted, time_t decided,
    ngx_completion_operation_t *operation)
{
    const char                    *message;
    ngx_uint_t                     code;
    ngx_completion_json_writer_t  *w;

    if (state == NGX_COMPLETION_CANCELLED) {
        code = NGX_COMPLETION_GRPC_CANCELLED;
        message = "The operation was cancelled";

    } else {
        code = NGX_COMPLETION_GRPC_NOT_FOUND;
        message = "The operation was lost: the upstream knows it no more";
    }

    ngx_memzero(operation, sizeof(ngx_completion_operation_t));

    operation->state = state;
    operation->input_tokens = -1;
    operation->completion_tokens = -1;
    operation->total_tokens = -1;

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);

    ngx_completion_json_key(w, "id");
    ngx_completion_json_cstring(w, "");
    operation->id_offset = ngx_completion_json_written(w) - 1;

    ngx_completion_json_key(w, "description");
    ngx_completion_json_cstring(w, "Async GPT Completion");
    ngx_completion_document_time(w, "createdAt", submitted);
    ngx_completion_json_key(w, "createdBy");
    ngx_completion_json_cstring(w, "");
    ngx_completion_document_time(w, "modifiedAt", decided);
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
ngx_completion_document_time(ngx_completion_json_writer_t *w,
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


static ngx_int_t
ngx_completion_document_event(void *data, ngx_completion_json_event_t *event)
{
    ngx_int_t                   rc;
    ngx_completion_document_t  *document = data;

    rc = ngx_completion_facts_event(&document->facts, event);
    if (rc != NGX_OK) {
        return rc;
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
        return ngx_completion_document_name(document, event);

    case NGX_COMPLETION_JSON_OBJECT_END:
    case NGX_COMPLETION_JSON_ARRAY_END:

        if (event->depth == 1) {
            document->within = 0;
        }

        if (event->depth == 0 && !document->done_given) {
            ngx_completion_json_key(document->writer, "done");
            ngx_completion_json_boolean(document->writer, 0);
        }

        break;

    default:
        return ngx_completion_document_value(document, event);
    }

    ngx_completion_json_event(document->writer, event);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_document_name(ngx_completion_document_t *document,
    ngx_completion_json_event_t *event)
{
    ngx_int_t                    rc;
    ngx_completion_json_event_t  name;

    name = *event;

    /* the "*" of a mask is in none of the names that we know */

    if (document->within != NGX_COMPLETION_FACT_RESPONSE) {
        rc = ngx_completion_provider_mask(document->masks,
                                          document->facts.pool, &name.value);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_completion_json_event(document->writer, &name);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_document_value(ngx_completion_document_t *document,
    ngx_completion_json_event_t *event)
{
    switch (event->node) {

    case NGX_COMPLETION_FACT_ID:
        return ngx_completion_document_id(document, event);

    case NGX_COMPLETION_FACT_DONE:
        return ngx_completion_document_done(document, event);

    case NGX_COMPLETION_FACT_CREATED_BY:
        return ngx_completion_document_created_by(document, event);
    }

    if (event->type == NGX_COMPLETION_JSON_STRING) {
        return ngx_completion_document_string(document, event);
    }

    if (event->depth == 1
        && (event->type == NGX_COMPLETION_JSON_OBJECT
            || event->type == NGX_COMPLETION_JSON_ARRAY))
    {
        document->within = event->node;
    }

    ngx_completion_json_event(document->writer, event);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_document_id(ngx_completion_document_t *document,
    ngx_completion_json_event_t *event)
{
    if (event->type != NGX_COMPLETION_JSON_STRING
        || !ngx_completion_provider_id(&event->value))
    {
        document->fault = "an operation's id of a wrong form";
        return NGX_DECLINED;
    }

    ngx_completion_json_cstring(document->writer, "");

    document->id_offset = ngx_completion_json_written(document->writer) - 1;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_document_done(ngx_completion_document_t *document,
    ngx_completion_json_event_t *event)
{
    if (event->type != NGX_COMPLETION_JSON_BOOLEAN
        && event->type != NGX_COMPLETION_JSON_NULL)
    {
        document->fault = "an operation's \"done\" of a wrong type";
        return NGX_DECLINED;
    }

    document->done_given = 1;

    ngx_completion_json_boolean(document->writer, event->boolean);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_document_created_by(ngx_completion_document_t *document,
    ngx_completion_json_event_t *event)
{
    switch (event->type) {

    case NGX_COMPLETION_JSON_NULL:
        ngx_completion_json_null(document->writer);
        return NGX_OK;

    case NGX_COMPLETION_JSON_OBJECT:
    case NGX_COMPLETION_JSON_ARRAY:
        document->fault = "an operation's \"createdBy\" of a wrong type";
        return NGX_DECLINED;

    default:
        ngx_completion_json_cstring(document->writer, "");
        return NGX_OK;
    }
}


static ngx_int_t
ngx_completion_document_string(ngx_completion_document_t *document,
    ngx_completion_json_event_t *event)
{
    size_t      limit;
    ngx_int_t   rc;
    ngx_str_t   text;

    text = event->value;
    limit = 0;

    if (document->within == NGX_COMPLETION_FACT_ERROR
        || event->node == NGX_COMPLETION_FACT_ERROR
        || event->node == NGX_COMPLETION_FACT_MESSAGE)
    {
        limit = (event->parent == NGX_COMPLETION_FACT_ERROR
                 || event->depth == 1) ? NGX_COMPLETION_REASON_MAX : 0;

        rc = ngx_completion_provider_clean(document->masks,
                                           document->facts.pool, &text, limit);

    } else if (document->within == NGX_COMPLETION_FACT_RESPONSE) {

        /* a model's words are the client's, whatever they are */

        rc = NGX_OK;

    } else {
        rc = ngx_completion_provider_mask(document->masks,
                                          document->facts.pool, &text);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* an error without a code is known by its message */

    if (limit && text.len == 0 && event->value.len) {
        ngx_str_set(&text, "the reason is withheld");
    }

    ngx_completion_json_string(document->writer, &text);

    return NGX_OK;
}
