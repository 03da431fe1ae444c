
#include "../ngx_completion_dialect.h"
#include "ngx_completion_yandex.h"


#define NGX_COMPLETION_GRPC_UNKNOWN  2

#define ngx_completion_equal(s, text)                                         \
    ((s)->len == sizeof(text) - 1                                             \
     && ngx_memcmp((s)->data, text, sizeof(text) - 1) == 0)


static ngx_int_t ngx_completion_facts_string(ngx_completion_facts_t *facts,
    ngx_completion_json_event_t *event);
static void ngx_completion_facts_status(ngx_completion_facts_t *facts,
    ngx_str_t *status);
static void ngx_completion_facts_number(ngx_completion_facts_t *facts,
    ngx_completion_json_event_t *event);
static int64_t ngx_completion_facts_integer(ngx_str_t *value);
static ngx_uint_t ngx_completion_facts_error(ngx_completion_facts_t *facts);


const ngx_completion_json_path_t  ngx_completion_facts_paths[] = {

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
ngx_completion_provider_reason(ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *body, ngx_str_t *reason)
{
    ngx_int_t               rc;
    const char             *fault;
    ngx_completion_facts_t  facts;

    ngx_str_null(reason);
    ngx_completion_facts_init(&facts, pool);

    rc = ngx_completion_json_read(pool, body, ngx_completion_facts_paths,
                                  ngx_completion_facts_event, &facts, &fault);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    if (facts.error_message.len) {
        *reason = facts.error_message;

    } else if (facts.message.len) {
        *reason = facts.message;

    } else {
        *reason = facts.error;
    }

    return ngx_completion_provider_clean(masks, pool, reason,
                                         NGX_COMPLETION_REASON_MAX);
}


ngx_int_t
ngx_completion_provider_result(ngx_pool_t *pool, ngx_str_t *document,
    ngx_completion_result_t *result)
{
    const char             *fault;
    ngx_completion_facts_t  facts;

    ngx_memzero(result, sizeof(ngx_completion_result_t));

    ngx_completion_facts_init(&facts, pool);
    facts.texts = 1;

    if (ngx_completion_json_read(pool, document, ngx_completion_facts_paths,
                                 ngx_completion_facts_event, &facts, &fault)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    result->state = ngx_completion_facts_state(&facts);
    result->text = facts.text;
    result->model_version = facts.model_version;
    result->filtered = facts.filtered;

    result->input_tokens = facts.input_tokens;
    result->completion_tokens = facts.completion_tokens;
    result->total_tokens = facts.total_tokens;

    if (result->state == NGX_COMPLETION_FAILED) {
        result->error_code = ngx_completion_facts_error(&facts);
        result->error_message = facts.error_message.len ? facts.error_message
                                                        : facts.error;
    }

    return NGX_OK;
}


void
ngx_completion_facts_init(ngx_completion_facts_t *facts, ngx_pool_t *pool)
{
    ngx_memzero(facts, sizeof(ngx_completion_facts_t));

    facts->pool = pool;
    facts->input_tokens = -1;
    facts->completion_tokens = -1;
    facts->total_tokens = -1;
}


ngx_int_t
ngx_completion_facts_event(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_facts_t *facts = data;

    if (event->node <= NGX_COMPLETION_JSON_ROOT) {
        return NGX_OK;
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_BOOLEAN:

        if (event->node == NGX_COMPLETION_FACT_DONE) {
            facts->done = event->boolean;
        }

        return NGX_OK;

    case NGX_COMPLETION_JSON_OBJECT:

        if (event->node == NGX_COMPLETION_FACT_RESPONSE) {
            facts->response = 1;
        }

        return NGX_OK;

    case NGX_COMPLETION_JSON_NUMBER:
        ngx_completion_facts_number(facts, event);
        return NGX_OK;

    case NGX_COMPLETION_JSON_STRING:

        /* int64 is a string in proto JSON */
        ngx_completion_facts_number(facts, event);

        return ngx_completion_facts_string(facts, event);

    default:
        return NGX_OK;
    }
}


static void
ngx_completion_facts_number(ngx_completion_facts_t *facts,
    ngx_completion_json_event_t *event)
{
    switch (event->node) {

    case NGX_COMPLETION_FACT_ERROR_CODE:
        facts->error_coded = 1;
        facts->error_code = ngx_completion_facts_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_ERROR_GRPC_CODE:
        facts->error_grpc_coded = 1;
        facts->error_grpc_code = ngx_completion_facts_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_INPUT_TOKENS:
        facts->input_tokens = ngx_completion_facts_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_COMPLETION_TOKENS:
        facts->completion_tokens = ngx_completion_facts_integer(&event->value);
        break;

    case NGX_COMPLETION_FACT_TOTAL_TOKENS:
        facts->total_tokens = ngx_completion_facts_integer(&event->value);
        break;
    }
}


/* -1: no number, a negative one, or none that an int64 holds */

static int64_t
ngx_completion_facts_integer(ngx_str_t *value)
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
ngx_completion_facts_string(ngx_completion_facts_t *facts,
    ngx_completion_json_event_t *event)
{
    ngx_str_t  *fact;

    fact = NULL;

    switch (event->node) {

    case NGX_COMPLETION_FACT_ID:
        fact = &facts->id;
        break;

    case NGX_COMPLETION_FACT_MESSAGE:
        fact = &facts->message;
        break;

    case NGX_COMPLETION_FACT_ERROR:
        fact = &facts->error;
        break;

    case NGX_COMPLETION_FACT_ERROR_MESSAGE:
        fact = &facts->error_message;
        break;

    case NGX_COMPLETION_FACT_TEXT:
        fact = facts->texts ? &facts->text : NULL;
        break;

    case NGX_COMPLETION_FACT_MODEL_VERSION:
        fact = facts->texts ? &facts->model_version : NULL;
        break;

    case NGX_COMPLETION_FACT_STATUS:
        ngx_completion_facts_status(facts, &event->value);
        break;
    }

    if (fact == NULL) {
        return NGX_OK;
    }

    fact->len = event->value.len;
    fact->data = ngx_pstrdup(facts->pool, &event->value);

    return fact->data ? NGX_OK : NGX_ERROR;
}


static void
ngx_completion_facts_status(ngx_completion_facts_t *facts, ngx_str_t *status)
{
    if (ngx_completion_equal(status, "ALTERNATIVE_STATUS_CONTENT_FILTER")) {
        facts->filtered = 1;
        facts->incomplete = 1;

    } else if (ngx_completion_equal(status,
                                    "ALTERNATIVE_STATUS_TRUNCATED_FINAL")
               || ngx_completion_equal(status, "ALTERNATIVE_STATUS_PARTIAL"))
    {
        facts->incomplete = 1;
    }
}


/* The gRPC code of an error, 0 if there is none. */

static ngx_uint_t
ngx_completion_facts_error(ngx_completion_facts_t *facts)
{
    int64_t  code;

    if (facts->error_coded) {
        code = facts->error_code;

    } else if (facts->error_grpc_coded) {
        code = facts->error_grpc_code;

    } else {

        /* without a code it takes a message, and nothing that contradicts */

        code = (facts->error.len || facts->error_message.len)
               && !facts->response ? NGX_COMPLETION_GRPC_UNKNOWN : 0;
    }

    if (code < 0 || code > NGX_MAX_INT32_VALUE) {
        code = NGX_COMPLETION_GRPC_UNKNOWN;
    }

    return code;
}


ngx_completion_state_e
ngx_completion_facts_state(ngx_completion_facts_t *facts)
{
    if (!facts->done) {
        return NGX_COMPLETION_PENDING;
    }

    if (ngx_completion_facts_error(facts)) {
        return NGX_COMPLETION_FAILED;
    }

    if (facts->incomplete) {
        return NGX_COMPLETION_INCOMPLETE;
    }

    return NGX_COMPLETION_COMPLETED;
}
