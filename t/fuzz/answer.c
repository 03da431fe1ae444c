
/*
 * What upstream answers, by a hostile upstream: a byte that picks the status,
 * a line for each header, then the body.  No secret of ours comes through,
 * whatever is echoed; an operation ends only where "done" is true; and a
 * document reads the same when it is read again.
 */


#include "fuzz.h"
#include "../unit/fetch_stub.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"


#define FOLDER      "b1gfolder"
#define CREDENTIAL  "AQVNsecret"


static ngx_completion_provider_t  provider = {
    .dialect = &ngx_completion_yandex,
    .tenant = ngx_string(FOLDER)
};

static ngx_completion_masks_t  masks = {
    .dialect = &ngx_completion_yandex,
    .tenant = ngx_string(FOLDER),
    .credential = ngx_string(CREDENTIAL)
};

static const ngx_uint_t  statuses[] = {
    200, 400, 429, 503, 404, 401, 500, 302
};


static void
is_clean(const void *text, size_t len)
{
    HOLDS(!fuzz_contains(text, len, FOLDER));
    HOLDS(!fuzz_contains(text, len, CREDENTIAL));
}


/* a text of an error, as well */

static void
is_message(const void *text, size_t len)
{
    size_t         i;
    const u_char  *p = text;

    is_clean(text, len);

    HOLDS(len <= NGX_COMPLETION_REASON_MAX);
    HOLDS(ngx_completion_utf8_check((u_char *) text, len) == NGX_OK);
    HOLDS(!fuzz_contains(text, len, "internal_id"));
    HOLDS(!fuzz_contains(text, len, "folder_id"));
    HOLDS(!fuzz_contains(text, len, "request_id"));

    for (i = 0; i < len; i++) {
        HOLDS(p[i] >= ' ' && p[i] != 0x7f);
    }
}


/* names and strings, at any depth */

static void
walk(yajl_val value)
{
    size_t  i;

    if (YAJL_IS_STRING(value)) {
        is_clean(value->u.string, strlen(value->u.string));

    } else if (YAJL_IS_ARRAY(value)) {
        for (i = 0; i < value->u.array.len; i++) {
            walk(value->u.array.values[i]);
        }

    } else if (YAJL_IS_OBJECT(value)) {
        for (i = 0; i < value->u.object.len; i++) {
            is_clean(value->u.object.keys[i],
                     strlen(value->u.object.keys[i]));
            walk(value->u.object.values[i]);
        }
    }
}


static void
check_document(ngx_completion_operation_t *operation)
{
    size_t    i;
    yajl_val  document, done, error, message;

    document = fuzz_json(&operation->document);
    HOLDS(document && YAJL_IS_OBJECT(document));

    /* the other reader ends a name at a NUL, and takes it for a known one */

    if (fuzz_contains(operation->document.data, operation->document.len,
                      "\\u0000"))
    {
        yajl_tree_free(document);
        return;
    }

    HOLDS(fuzz_is(fuzz_member(document, "id"), "", 0));
    HOLDS(operation->id_offset > 5
          && operation->id_offset < operation->document.len
          && memcmp(operation->document.data + operation->id_offset - 6,
                    "\"id\":\"\"", 7) == 0);
    HOLDS(ngx_completion_id_check(&operation->id) == NGX_OK);

    done = fuzz_member(document, "done");
    HOLDS(YAJL_IS_TRUE(done) || YAJL_IS_FALSE(done));
    HOLDS((operation->state == NGX_COMPLETION_PENDING) == YAJL_IS_FALSE(done));

    message = fuzz_member(document, "createdBy");
    HOLDS(message == NULL || YAJL_IS_NULL(message)
          || fuzz_is(message, "", 0));

    /* a model's words are the client's */

    for (i = 0; i < document->u.object.len; i++) {
        if (strcmp(document->u.object.keys[i], "response") != 0) {
            is_clean(document->u.object.keys[i],
                     strlen(document->u.object.keys[i]));
            walk(document->u.object.values[i]);
        }
    }

    error = fuzz_member(document, "error");
    message = (error && YAJL_IS_OBJECT(error)) ? fuzz_member(error, "message")
                                               : error;

    if (message && YAJL_IS_STRING(message)) {
        is_message(message->u.string, strlen(message->u.string));
    }

    yajl_tree_free(document);
}


/* with the client's id in it, as it is sent */

static void
check_again(ngx_pool_t *pool, ngx_completion_operation_t *operation)
{
    u_char                      *p;
    yajl_val                     arguments;
    ngx_str_t                    text, *document;
    ngx_uint_t                   i;
    const char                  *fault;
    ngx_completion_result_t      result;
    ngx_completion_function_t   *call;
    ngx_completion_operation_t   again;

    document = &operation->document;

    text.len = document->len + operation->id.len;
    text.data = ngx_pnalloc(pool, text.len);

    p = ngx_cpymem(text.data, document->data, operation->id_offset);
    p = ngx_cpymem(p, operation->id.data, operation->id.len);
    memcpy(p, document->data + operation->id_offset,
           document->len - operation->id_offset);

    HOLDS(ngx_completion_yandex_result(pool, &text, &result) == NGX_OK);
    HOLDS(result.state == operation->state);
    HOLDS(result.usage.total == operation->usage.total);
    HOLDS(result.state != NGX_COMPLETION_FAILED
          || result.failure != NGX_COMPLETION_FAILURE_NONE);

    for (i = 0; result.calls && i < result.calls->nelts; i++) {
        call = (ngx_completion_function_t *) result.calls->elts + i;
        arguments = fuzz_json(&call->value);

        HOLDS(arguments && YAJL_IS_OBJECT(arguments));
        yajl_tree_free(arguments);
    }

    HOLDS(ngx_completion_yandex_answer(NGX_COMPLETION_KIND_POLL, &masks, pool,
                                       &text, &again, &fault)
          == NGX_OK);
    HOLDS(again.state == operation->state);
    HOLDS(fuzz_equal(&again.id, &operation->id));
    HOLDS(again.id_offset == operation->id_offset);

    /* what stands beside a mask may look like an id of its own now */

    HOLDS(memchr(document->data, '*', document->len)
          || fuzz_equal(&again.document, document));
}


static char *
header(ngx_pool_t *pool, const uint8_t **data, size_t *size)
{
    ngx_str_t  line = fuzz_line(pool, data, size);
    char      *value = ngx_pcalloc(pool, line.len + 1);

    memcpy(value, line.data, line.len);

    return value;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                    first;
    ngx_str_t                 id;
    ngx_pool_t               *pool;
    ngx_completion_fetch_t    fetch;
    ngx_completion_answer_t   answer;

    pool = ngx_create_pool(1024, &shim_log);
    memset(&fetch, 0, sizeof(ngx_completion_fetch_t));
    memset(&answer, 0xa5, sizeof(ngx_completion_answer_t));

    first = fuzz_byte(&data, &size);

    fetch.log = &shim_log;
    fetch.credential = fuzz_string(CREDENTIAL);
    fetch.status = statuses[first & 0x07];

    stub_reset();
    stub_answer("retry-after", header(pool, &data, &size));
    stub_answer("x-operation-poll-interval", header(pool, &data, &size));
    stub_answer("x-request-id", header(pool, &data, &size));

    fetch.response = fuzz_copy(pool, data, size);
    id = fuzz_string((first & 0x10) ? "d7q1" : "");
    shim_log_text[0] = '\0';

    ngx_completion_provider_answer(&provider,
                                   (first & 0x08) ? NGX_COMPLETION_KIND_SUBMIT
                                                  : NGX_COMPLETION_KIND_POLL,
                                   &fetch, pool, &id, &answer);

    HOLDS(answer.retry_after >= -1 && answer.retry_after <= 86400);
    HOLDS(answer.poll_interval >= -1 && answer.poll_interval <= 86400);
    is_clean(answer.request_id.data, answer.request_id.len);
    is_message(answer.reason.data, answer.reason.len);
    is_clean(shim_log_text, strlen(shim_log_text));

    if (answer.outcome == NGX_COMPLETION_OK) {
        HOLDS(fetch.status == 200);
        HOLDS(id.len == 0 || fuzz_equal(&id, &answer.operation.id));

        check_document(&answer.operation);
        check_again(pool, &answer.operation);
    }

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
