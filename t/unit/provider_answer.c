
#include "tap.h"
#include "ngx_shim.h"
#include "fetch_stub.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"
#include "../../src/base/ngx_completion_json.h"

#include <stdlib.h>


#define FOLDER  "b1gexample0000000000"

/* recorded answers, ids shortened */

#define RECORDED_PENDING                                                      \
    "{\"id\":\"d7q1\",\"description\":\"Async GPT Completion\","              \
    "\"createdAt\":\"2023-11-30T18:31:32Z\",\"createdBy\":\"aje2\","          \
    "\"modifiedAt\":\"2023-11-30T18:31:33Z\",\"done\":false,"                 \
    "\"metadata\":null}"

#define RECORDED_RESPONSE                                                     \
    "\"response\":{\"@type\":\"type.googleapis.com/yandex.cloud.ai."          \
    "foundation_models.v1.CompletionResponse\",\"alternatives\":[{"           \
    "\"message\":{\"role\":\"assistant\",\"text\":\"\xd0\x91\xd1\x8b\"},"     \
    "\"status\":\"ALTERNATIVE_STATUS_FINAL\"}],\"usage\":{"                   \
    "\"inputTextTokens\":\"31\",\"completionTokens\":\"10\","                 \
    "\"totalTokens\":\"41\"},\"modelVersion\":\"18.01.2024\"}"

#define RECORDED_DONE                                                         \
    "{\"done\":true," RECORDED_RESPONSE ",\"id\":\"d7q1\","                   \
    "\"description\":\"Async GPT Completion\","                               \
    "\"createdAt\":\"2024-05-12T18:46:54Z\",\"createdBy\":\"aje2\","          \
    "\"modifiedAt\":\"2024-05-12T18:46:55Z\"}"


static ngx_pool_t                  *pool;
static ngx_completion_kind_e        call;
static ngx_completion_provider_t    provider = {
    .dialect = &ngx_completion_yandex
};
static ngx_completion_fetch_t       fetch;
static ngx_completion_answer_t      answer;


/* what the owner of a call has logged of one that failed */

static void
reports(void)
{
    ngx_str_t  behind = ngx_string(", behind");

    shim_log_lines = 0;
    shim_log_text[0] = '\0';

    if (answer.outcome != NGX_COMPLETION_OK) {
        ngx_completion_provider_report(&provider, &answer, NGX_LOG_ERR,
                                       &shim_log, &behind);
    }
}


static void
respond(ngx_uint_t status, const char *body, const char *id)
{
    ngx_str_t  wanted;

    fetch.log = &shim_log;
    fetch.outcome = NGX_COMPLETION_OK;
    fetch.status = status;
    call = id ? NGX_COMPLETION_KIND_POLL : NGX_COMPLETION_KIND_SUBMIT;

    /* at the very end of an allocation */

    fetch.response.len = strlen(body);
    fetch.response.data = malloc(ngx_max(fetch.response.len, 1));
    memcpy(fetch.response.data, body, fetch.response.len);

    if (id) {
        wanted = str(id);
    }

    memset(&answer, 0xa5, sizeof(answer));
    ngx_completion_provider_answer(&provider, call, &fetch, pool,
                                   id ? &wanted : NULL, &answer);
    reports();

    free(fetch.response.data);
    ngx_str_null(&fetch.response);
}


static void
is_document(const char *expected, ngx_completion_state_e state,
    const char *name)
{
    if (!ok(answer.outcome == NGX_COMPLETION_OK, name)) {
        printf("# outcome %d, %s\n", answer.outcome, shim_log_text);
        return;
    }

    is_str(&answer.operation.document, expected, "its document");
    is_int(answer.operation.state, state, "its state");

    ok(answer.operation.id_offset > 0
       && answer.operation.id_offset < answer.operation.document.len
       && memcmp(answer.operation.document.data + answer.operation.id_offset
                 - 6, "\"id\":\"\"", 7) == 0, "its id_offset");
}


static void
test_recorded(void)
{
    respond(200, RECORDED_PENDING, NULL);
    is_document("{\"id\":\"\",\"description\":\"Async GPT Completion\","
                "\"createdAt\":\"2023-11-30T18:31:32Z\",\"createdBy\":\"\","
                "\"modifiedAt\":\"2023-11-30T18:31:33Z\",\"done\":false,"
                "\"metadata\":null}", NGX_COMPLETION_PENDING,
                "a recorded submit");
    is_str(&answer.operation.id, "d7q1", "upstream's id");
    is_int(answer.operation.usage.input, -1, "pending: no input tokens");
    is_int(answer.operation.usage.total, -1, "pending: no total");
    is_int(answer.retry_after, -1, "no Retry-After");
    is_int(answer.poll_interval, -1, "no poll interval");
    is_int(answer.status, 200, "the status");
    is_int(shim_log_lines, 0, "an operation is not logged");

    respond(200, RECORDED_DONE, "d7q1");
    is_document("{\"done\":true," RECORDED_RESPONSE ",\"id\":\"\","
                "\"description\":\"Async GPT Completion\","
                "\"createdAt\":\"2024-05-12T18:46:54Z\",\"createdBy\":\"\","
                "\"modifiedAt\":\"2024-05-12T18:46:55Z\"}",
                NGX_COMPLETION_COMPLETED, "a recorded result, done first");
    is_int(answer.operation.usage.input, 31, "input tokens");
    is_int(answer.operation.usage.completion, 10, "completion tokens");
    is_int(answer.operation.usage.total, 41, "total tokens");

    respond(202, RECORDED_DONE, "d7q1");
    is_int(answer.outcome, NGX_COMPLETION_OK, "any 2xx will do");
}


static void
test_documents(void)
{
    /* synthetic, all of them */

    respond(200, " {\"x\" : 1.50E+2 , \"id\" : \"a-_Z\", \"u\":{\"v\":[1,{}]},"
                 "\"createdBy\":null } ", NULL);
    is_document("{\"x\":1.50E+2,\"id\":\"\",\"u\":{\"v\":[1,{}]},"
                "\"createdBy\":null,\"done\":false}", NGX_COMPLETION_PENDING,
                "unknown members, no done");

    respond(200, "{\"done\":null,\"id\":\"a\"}", NULL);
    is_document("{\"done\":false,\"id\":\"\"}", NGX_COMPLETION_PENDING,
                "done null");

    respond(200, "{\"id\":\"a\",\"createdBy\":7,\"x\":{\"id\":5,\"done\":1}}",
            NULL);
    is_document("{\"id\":\"\",\"createdBy\":\"\",\"x\":{\"id\":5,\"done\":1},"
                "\"done\":false}", NGX_COMPLETION_PENDING,
                "createdBy a number, the same names deeper down");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":3,"
                 "\"message\":\"bad\",\"details\":[{\"x\":1}]}}", NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":{\"code\":3,"
                "\"message\":\"bad\",\"details\":[{\"x\":1}]}}",
                NGX_COMPLETION_FAILED, "failed");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":0,"
                 "\"message\":\"\"}," RECORDED_RESPONSE "}", NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":{\"code\":0,"
                "\"message\":\"\"}," RECORDED_RESPONSE "}",
                NGX_COMPLETION_COMPLETED, "an error of code 0 is none");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":null,"
                 RECORDED_RESPONSE "}", NULL);
    is_int(answer.operation.state, NGX_COMPLETION_COMPLETED,
           "an error that is null");

    respond(200, "{\"id\":\"a\",\"done\":false,\"error\":{\"code\":14,"
                 "\"message\":\"folder " FOLDER " is busy\"}}", NULL);
    is_document("{\"id\":\"\",\"done\":false,\"error\":{\"code\":14,"
                "\"message\":\"folder * is busy\"}}", NGX_COMPLETION_PENDING,
                "an error before the end is not terminal, and cleaned");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":{\"grpcCode\":8,"
                 "\"message\":\"Error in session internal_id=1&request_id=2"
                 "&folder_id=3: slow down\"}}", NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":{\"grpcCode\":8,"
                "\"message\":\"slow down\"}}", NGX_COMPLETION_FAILED,
                "an error of another dialect");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":\"in " FOLDER "\"}",
            NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":\"in *\"}",
                NGX_COMPLETION_FAILED, "an error that is a string");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":5,"
                 "\"details\":[{\"d\":\"folder_id=x\"},{\"e\":{\"error\":"
                 "{\"message\":\"at " FOLDER "!\"}}}]}}", NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":{\"code\":5,"
                "\"details\":[{\"d\":\"\"},{\"e\":{\"error\":"
                "{\"message\":\"at *!\"}}}]}}",
                NGX_COMPLETION_FAILED, "details are cleaned as well");

    respond(200, "{\"id\":\"a\",\"description\":\"of " FOLDER "\","
                 "\"metadata\":{\"m\":\"gpt://" FOLDER "/x\","
                 "\"n\":\"folder_id\"}}", NULL);
    is_document("{\"id\":\"\",\"description\":\"of *\","
                "\"metadata\":{\"m\":\"gpt://*/x\",\"n\":\"folder_id\"},"
                "\"done\":false}", NGX_COMPLETION_PENDING,
                "our folder is nowhere, other strings are left alone");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":\"Error in session "
                 "x=1: why\"}", NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":\"why\"}",
                NGX_COMPLETION_FAILED, "an error that is a string, cleaned");

    respond(200, "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":5},"
                 "\"description\":\"folder_id\"}", NULL);
    is_document("{\"id\":\"\",\"done\":true,\"error\":{\"code\":5},"
                "\"description\":\"folder_id\"}",
                NGX_COMPLETION_FAILED, "what follows an error is left alone");

    respond(200, "{\"id\":\"a\",\"done\":true,\"response\":{\"alternatives\":"
                 "[{\"message\":{\"text\":\"folder_id " FOLDER "\"}}]}}",
            NULL);
    is_document("{\"id\":\"\",\"done\":true,\"response\":{\"alternatives\":"
                "[{\"message\":{\"text\":\"folder_id " FOLDER "\"}}]}}",
                NGX_COMPLETION_COMPLETED, "a model's words are left alone");
}


#define ALTERNATIVES(s)                                                       \
    "{\"id\":\"a\",\"done\":true,\"response\":{\"alternatives\":[" s "]}}"
#define STATUS(s)  "{\"status\":\"ALTERNATIVE_STATUS_" s "\"}"


static void
test_states(void)
{
    size_t  i;

    static const struct {
        const char              *body;
        ngx_completion_state_e   state;
        const char              *name;
    } t[] = {
        { ALTERNATIVES(STATUS("FINAL")), NGX_COMPLETION_COMPLETED,
          "state: final" },
        { ALTERNATIVES(STATUS("TRUNCATED_FINAL")), NGX_COMPLETION_INCOMPLETE,
          "state: truncated" },
        { ALTERNATIVES(STATUS("PARTIAL")), NGX_COMPLETION_INCOMPLETE,
          "state: partial" },
        { ALTERNATIVES(STATUS("CONTENT_FILTER")), NGX_COMPLETION_INCOMPLETE,
          "state: filtered" },
        { ALTERNATIVES(STATUS("TOOL_CALLS")), NGX_COMPLETION_TOOL_CALLS,
          "state: tool calls" },
        { ALTERNATIVES(STATUS("FINAL") "," STATUS("TOOL_CALLS")),
          NGX_COMPLETION_COMPLETED, "state: tool calls of a second one" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":13},\"response\":"
          "{\"alternatives\":[" STATUS("TOOL_CALLS") "]}}",
          NGX_COMPLETION_FAILED, "state: tool calls beside an error" },
        { ALTERNATIVES(STATUS("OF_TOMORROW")), NGX_COMPLETION_COMPLETED,
          "state: an unknown status" },
        { ALTERNATIVES("{\"status\":3}"), NGX_COMPLETION_COMPLETED,
          "state: a status that is a number" },
        { ALTERNATIVES(""), NGX_COMPLETION_COMPLETED,
          "state: no alternatives" },
        { ALTERNATIVES(STATUS("FINAL") "," STATUS("PARTIAL")),
          NGX_COMPLETION_COMPLETED, "state: the first alternative's counts" },
        { "{\"id\":\"a\",\"done\":false,\"response\":{\"alternatives\":["
          STATUS("PARTIAL") "]}}", NGX_COMPLETION_PENDING,
          "state: a response before the end" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":\"8\"}}",
          NGX_COMPLETION_FAILED, "state: a code that is a string" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":-1}}",
          NGX_COMPLETION_FAILED, "state: a negative code" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":1e1}}",
          NGX_COMPLETION_FAILED, "state: a code that is no integer" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{}," RECORDED_RESPONSE "}",
          NGX_COMPLETION_COMPLETED, "state: an empty error beside a response" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"message\":\"m\"}}",
          NGX_COMPLETION_FAILED, "state: a message without a code" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"message\":\"m\"},"
          RECORDED_RESPONSE "}",
          NGX_COMPLETION_COMPLETED, "state: a message without a code, and "
          "a response" },
        { "{\"id\":\"a\",\"done\":true,\"error\":{\"code\":13},"
          RECORDED_RESPONSE "}",
          NGX_COMPLETION_FAILED, "state: an error and a response" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        respond(200, t[i].body, NULL);
        ok(answer.outcome == NGX_COMPLETION_OK
           && answer.operation.state == t[i].state, t[i].name);
    }
}


static void
test_tokens(void)
{
    size_t  i;
    char    body[512];

    static const struct {
        const char  *spelled;
        int64_t      tokens;
        const char  *name;
    } t[] = {
        { "\"12\"", 12, "tokens: a string" },
        { "12", 12, "tokens: a number" },
        { "\"9223372036854775807\"", INT64_MAX, "tokens: the most" },
        { "\"9223372036854775808\"", -1, "tokens: one more" },
        { "99999999999999999999999999", -1, "tokens: a huge number" },
        { "-5", -1, "tokens: a negative number" },
        { "\"-5\"", -1, "tokens: a negative string" },
        { "1.5", -1, "tokens: a fraction" },
        { "\"\"", -1, "tokens: an empty string" },
        { "null", -1, "tokens: null" },
        { "{}", -1, "tokens: an object" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        snprintf(body, sizeof(body), "{\"id\":\"a\",\"done\":true,"
                 "\"response\":{\"usage\":{\"totalTokens\":%s}}}",
                 t[i].spelled);
        respond(200, body, NULL);
        is_int(answer.operation.usage.total, t[i].tokens, t[i].name);
    }
}


static void
test_unreadable(void)
{
    size_t  i;

    static const struct {
        const char  *body;
        const char  *name;
    } t[] = {
        { "", "unreadable: nothing" },
        { "<html>502</html>", "unreadable: a balancer's page" },
        { "[]", "unreadable: an array" },
        { "{\"id\":\"a\"", "unreadable: cut off" },
        { "{\"id\":\"a\"}{\"id\":\"a\"}", "unreadable: two objects" },
        { "{}", "unreadable: no id" },
        { "{\"done\":true}", "unreadable: done without an id" },
        { "{\"id\":1}", "unreadable: an id that is a number" },
        { "{\"id\":null}", "unreadable: an id that is null" },
        { "{\"id\":{}}", "unreadable: an id that is an object" },
        { "{\"id\":\"\"}", "unreadable: an empty id" },
        { "{\"id\":\"a/b\"}", "unreadable: an id with a slash" },
        { "{\"id\":\"a\\u002e\"}", "unreadable: an id with a dot" },
        { "{\"id\":\"0123456789012345678901234567890123456789"
          "0123456789012345678901234\"}", "unreadable: an id of 65" },
        { "{\"id\":\"a\",\"id\":\"b\"}", "unreadable: two ids" },
        { "{\"id\":\"a\",\"done\":false,\"done\":true}",
          "unreadable: done twice" },
        { "{\"id\":\"a\",\"error\":null,\"error\":null}",
          "unreadable: two errors" },
        { "{\"id\":\"a\",\"response\":{},\"respons\\u0065\":{}}",
          "unreadable: two responses" },
        { "{\"id\":\"a\",\"done\":\"true\"}", "unreadable: done a string" },
        { "{\"id\":\"a\",\"done\":1}", "unreadable: done a number" },
        { "{\"id\":\"a\",\"createdBy\":{\"x\":1}}",
          "unreadable: createdBy an object" },
        { "{\"id\":\"a\",\"x\":\"\xed\xa0\x80\"}",
          "unreadable: not UTF-8" },
        { "{\"id\":\"a\",\"x\":\"\\ud800\"}",
          "unreadable: a lone surrogate" },
        { "{\"code\":16,\"message\":\"m\"}",
          "unreadable: an error under a 200" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        respond(200, t[i].body, NULL);
        ok(answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN
           && answer.operation.state == NGX_COMPLETION_UNREADABLE, t[i].name);
    }

    ok(shim_log_lines == 1 && shim_log_level == NGX_LOG_ERR
       && strcmp(shim_log_text, "upstream gave no readable answer: an "
                 "operation without an id, status 200, request id \"\", "
                 "behind") == 0,
       "unreadable: one line in the log");

    respond(200, "{\"id\":\"a\"}", "b");
    ok(answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN, "another operation");
    ok(strstr(shim_log_text, ": another operation,") != NULL,
       "another operation is logged as such");

    respond(200, "{\"id\":\"ab\"}", "a");
    ok(answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN, "a longer id");
    respond(200, "{\"id\":\"a\"}", "ab");
    ok(answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN, "a shorter id");

    respond(200, "{\"id\":\"a\"}", "a");
    ok(answer.outcome == NGX_COMPLETION_OK, "the same operation");
}


static void
test_statuses(void)
{
    size_t  i;
    char    name[64];

    static const struct {
        ngx_uint_t                status;
        ngx_completion_outcome_e  outcome;
        const char               *hint;
    } t[] = {
        { 100, NGX_COMPLETION_UPSTREAM_REJECTED, NULL },
        { 301, NGX_COMPLETION_UPSTREAM_REJECTED, NULL },
        { 400, NGX_COMPLETION_INVALID_REQUEST, NULL },
        { 401, NGX_COMPLETION_UPSTREAM_REJECTED, "the credential" },
        { 403, NGX_COMPLETION_UPSTREAM_REJECTED, "role" },
        { 404, NGX_COMPLETION_OPERATION_NOT_FOUND, "the model" },
        { 408, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
        { 409, NGX_COMPLETION_UPSTREAM_REJECTED, NULL },
        { 413, NGX_COMPLETION_INVALID_REQUEST, NULL },
        { 421, NGX_COMPLETION_UPSTREAM_REJECTED, NULL },
        { 422, NGX_COMPLETION_INVALID_REQUEST, NULL },
        { 425, NGX_COMPLETION_UPSTREAM_REJECTED, NULL },
        { 429, NGX_COMPLETION_QUOTA_EXCEEDED, NULL },
        { 499, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
        { 500, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
        { 501, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
        { 502, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
        { 503, NGX_COMPLETION_UPSTREAM_UNAVAILABLE, NULL },
        { 504, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
        { 599, NGX_COMPLETION_OUTCOME_UNKNOWN, NULL },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        respond(t[i].status, "{\"code\":1,\"message\":\"why\"}", "a");

        snprintf(name, sizeof(name), "status %d", (int) t[i].status);
        ok(answer.outcome == t[i].outcome && answer.status == t[i].status
           && answer.unauthorized == (t[i].status == 401)
           && answer.operation.state == NGX_COMPLETION_PENDING, name);

        snprintf(name, sizeof(name), "status %d: the log", (int) t[i].status);
        ok(shim_log_lines == 1
           && strstr(shim_log_text, "why") == NULL
           && (strstr(shim_log_text, ", check ") != NULL)
              == (t[i].hint != NULL)
           && (t[i].hint == NULL
               || strstr(shim_log_text, t[i].hint) != NULL), name);
    }

    respond(404, "", NULL);
    ok(answer.outcome == NGX_COMPLETION_UPSTREAM_REJECTED,
       "a submit's 404 is a refusal");
}


static void
test_outcomes(void)
{
    size_t  i;

    static const struct {
        ngx_completion_outcome_e   outcome;
        ngx_uint_t                 fenced;
        const char                *line;
        const char                *name;
    } t[] = {
        { NGX_COMPLETION_UPSTREAM_UNAVAILABLE, 0,
          "upstream was not reached: because, behind", "outcome: unreached" },
        { NGX_COMPLETION_UPSTREAM_TIMEOUT, 0,
          "upstream was not reached: because, behind",
          "outcome: connect timeout" },
        { NGX_COMPLETION_UPSTREAM_UNAVAILABLE, 1,
          "upstream was not reached: because, behind", "outcome: fenced" },
        { NGX_COMPLETION_OUTCOME_UNKNOWN, 0,
          "upstream gave no readable answer: because, behind",
          "outcome: broken" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        memset(&answer, 0xa5, sizeof(answer));
        fetch.outcome = t[i].outcome;
        fetch.fenced = t[i].fenced;
        fetch.fault = "because";
        fetch.status = 200;
        ngx_completion_provider_answer(&provider, call, &fetch, pool, NULL,
                                       &answer);
        reports();

        ok(answer.outcome == t[i].outcome && answer.status == 0
           && answer.retry_after == -1 && answer.poll_interval == -1
           && answer.reason.len == 0 && answer.request_id.len == 0
           && strcmp(shim_log_text, t[i].line) == 0
           && shim_log_lines == 1, t[i].name);
    }

    fetch.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    fetch.fault = NULL;
    ngx_completion_provider_answer(&provider, call, &fetch, pool, NULL,
                                       &answer);
    reports();
    ok(strcmp(shim_log_text, "upstream gave no readable answer: unknown, "
              "behind") == 0, "outcome: without a fault");
    ok(answer.operation.state == NGX_COMPLETION_PENDING,
       "outcome: what broke off is no result");

    fetch.excess = 1;
    ngx_completion_provider_answer(&provider, call, &fetch, pool, NULL,
                                   &answer);
    ok(answer.operation.state == NGX_COMPLETION_TOO_LARGE,
       "outcome: a result that is too large");

    fetch.excess = 0;
    fetch.garbled = 1;
    ngx_completion_provider_answer(&provider, call, &fetch, pool, NULL,
                                   &answer);
    ok(answer.operation.state == NGX_COMPLETION_UNREADABLE,
       "outcome: one that cannot be decoded");

    fetch.status = 502;
    ngx_completion_provider_answer(&provider, call, &fetch, pool, NULL,
                                   &answer);
    ok(answer.operation.state == NGX_COMPLETION_PENDING,
       "outcome: an error that cannot be decoded");
    fetch.garbled = 0;
}


static void
test_headers(void)
{
    size_t  i;
    char    long_id[130];

    static const struct {
        const char  *value;
        ngx_int_t    seconds;
        const char  *name;
    } retry[] = {
        { "0", 0, "Retry-After: 0" },
        { "17", 17, "Retry-After: 17" },
        { "86400", 86400, "Retry-After: a day" },
        { "86401", 86400, "Retry-After: more than a day" },
        { "99999999999999999999999", 86400, "Retry-After: huge" },
        { "-1", -1, "Retry-After: negative" },
        { "1.5", -1, "Retry-After: a fraction" },
        { "soon", -1, "Retry-After: a word" },
        { "", -1, "Retry-After: empty" },
        { "Sun, 06 Nov 1994 08:50:07 GMT", 30, "Retry-After: a date" },
        { "Sun, 06 Nov 1994 08:49:36 GMT", 0, "Retry-After: a past date" },
        { "Sun, 06 Nov 2094 08:49:36 GMT", 86400, "Retry-After: a far date" },
    };

    shim_time(784111777);     /* Sun, 06 Nov 1994 08:49:37 GMT */

    for (i = 0; i < sizeof(retry) / sizeof(retry[0]); i++) {
        stub_reset();
        stub_answer("retry-after", retry[i].value);
        respond(429, "", "a");
        is_int(answer.retry_after, retry[i].seconds, retry[i].name);
    }

    stub_reset();
    stub_answer("x-operation-poll-interval", "5");
    respond(200, RECORDED_PENDING, "d7q1");
    is_int(answer.poll_interval, 5, "poll interval");

    stub_reset();
    stub_answer("x-operation-poll-interval", "Sun, 06 Nov 1994 08:50:07 GMT");
    respond(200, RECORDED_PENDING, "d7q1");
    is_int(answer.poll_interval, -1, "poll interval: seconds only");

    stub_reset();
    stub_answer("x-request-id", "r-1");
    stub_answer("x-server-trace-id", "t-1");
    respond(429, "", "a");
    is_str(&answer.request_id, "r-1", "request id");
    ok(strcmp(shim_log_text, "upstream answered 429, request id \"r-1\", "
              "behind") == 0,
       "request id in the log");

    stub_reset();
    stub_answer("x-server-trace-id", "t-1");
    respond(200, RECORDED_PENDING, "d7q1");
    is_str(&answer.request_id, "t-1", "trace id in its place");

    stub_reset();
    stub_answer("x-request-id", "r\"1");
    stub_answer("x-server-trace-id", "t-1");
    respond(503, "", "a");
    is_str(&answer.request_id, "t-1", "trace id if the other has a quote");

    stub_reset();
    stub_answer("x-request-id", "r\x1b[1m");
    stub_answer("x-server-trace-id", "\xd0\x96");
    respond(503, "", "a");
    is_str(&answer.request_id, "", "neither is printable");

    memset(long_id, 'r', 129);
    long_id[129] = '\0';
    stub_reset();
    stub_answer("x-request-id", long_id);
    respond(503, "", "a");
    is_str(&answer.request_id, "", "request id of 129 bytes");
    stub_reset();
    stub_answer("x-request-id", long_id + 1);
    respond(503, "", "a");
    is_int(answer.request_id.len, 128, "request id of 128 bytes");

    stub_reset();
}


static void
test_reasons(void)
{
    size_t      i;
    char        body[4096];
    ngx_str_t   s;

    static const struct {
        const char  *body;
        const char  *reason;
        const char  *name;
    } t[] = {
        { "{\"code\":16,\"message\":\"no\",\"details\":[]}", "no",
          "reason: the first shape" },
        { "{\"error\":\"text\",\"code\":16,\"message\":\"no\"}", "no",
          "reason: the second shape" },
        { "{\"error\":\"text\",\"code\":16}", "text",
          "reason: the second shape without a message" },
        { "{\"error\":{\"grpcCode\":8,\"httpCode\":429,\"message\":\"slow\","
          "\"httpStatus\":\"Too Many Requests\",\"details\":[]}}", "slow",
          "reason: the third shape" },
        { "{\"error\":{\"message\":\"other\",\"type\":\"x\"}}", "other",
          "reason: the fourth shape" },
        { "", "", "reason: no body" },
        { "<html><body>Bad Gateway</body></html>", "", "reason: no JSON" },
        { "[{\"message\":\"no\"}]", "", "reason: an array" },
        { "{\"message\":{\"message\":\"no\"}}", "",
          "reason: a message that is an object" },
        { "{\"error\":[\"x\"]}", "", "reason: an error that is an array" },
    };

    static const struct {
        const char  *message;
        const char  *reason;
        const char  *name;
    } m[] = {
        { "Error in session internal_id=f2b&request_id=1-2-3&folder_id="
          FOLDER ": Number of input tokens must be no more than 32768",
          "Number of input tokens must be no more than 32768",
          "clean: a session prefix" },
        { "Error in session internal_id=f2b&folder_id=" FOLDER, "",
          "clean: a session prefix and no reason" },
        { "Failed: Error in session internal_id=x: why", "Failed: why",
          "clean: a session prefix further on" },
        { "Error\\u0085in session\\u0000 internal_id=x: why", "why",
          "clean: a session prefix with other white space" },
        { "b1gexampleError in session internal_id=x: 0000000000",
          "b1gexample 0000000000",
          "clean: a folder that comes together around a prefix" },
        { "Permission to [resource-manager.folder " FOLDER ", resource-"
          "manager.cloud b1gcloud000000000000] denied", "Permission denied",
          "clean: a permission" },
        { "Permission to [resource-manager.folder " FOLDER, "Permission",
          "clean: a permission cut off" },
        { "Specified folder ID '" FOLDER "' does not match with service "
          "account folder ID 'b1gother0000000000000'",
          "Specified folder ID '*' does not match with service account "
          "folder ID 'b1gother0000000000000'",
          "clean: our folder; 21 letters are no id" },
        { "folder ID 'b1gother000000000000'", "folder ID '*'",
          "clean: somebody else's folder" },
        { "model gpt://" FOLDER "/x is unknown", "model gpt://*/x is unknown",
          "clean: a model's URI" },
        { "key AQVNsecret is bad", "key * is bad", "clean: our credential" },
        { "see internal_id=5", "", "clean: an internal id" },
        { "see INTERNAL_ID 5", "", "clean: an internal id in capitals" },
        { "(request_id: 5)", "", "clean: a request id" },
        { "requestId 5", "", "clean: a request id in camel case" },
        { "folderId 5", "", "clean: a folder's name" },
        { "internationalization of it", "internationalization of it",
          "clean: 20 letters without a digit" },
        { "12345678901234567890", "12345678901234567890",
          "clean: 20 digits" },
        { "1b1gother000000000000", "1b1gother000000000000",
          "clean: 20 at the end of 21" },
        { "\\n why", "why", "clean: a blank ahead" },
        { "a\\nb\\tc\\u007fd\\u0085e\\u001b[1m ", "a b c d e [1m",
          "clean: control characters" },
        { "  \\n ", "", "clean: blanks" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        respond(400, t[i].body, NULL);
        is_str(&answer.reason, t[i].reason, t[i].name);
    }

    for (i = 0; i < sizeof(m) / sizeof(m[0]); i++) {
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\"}}",
                 m[i].message);
        respond(400, body, NULL);
        is_str(&answer.reason, m[i].reason, m[i].name);

        snprintf(body, sizeof(body), "{\"id\":\"a\",\"error\":{\"message\":"
                 "\"%s\"}}", m[i].message);
        respond(200, body, NULL);
        s = answer.operation.document;
        ok(answer.outcome == NGX_COMPLETION_OK
           && !holds(&s, FOLDER) && !holds(&s, "internal_id")
           && !holds(&s, "AQVNsecret") && holds(&s, m[i].reason),
           "the same in an operation");
    }

    respond(200, "{\"id\":\"a\",\"done\":true,"
                 "\"error\":{\"message\":\"see internal_id=5\"}}", NULL);
    is_document("{\"id\":\"\",\"done\":true,"
                "\"error\":{\"message\":\"the reason is withheld\"}}",
                NGX_COMPLETION_FAILED,
                "a failure that only its message tells of stays one");

    respond(200, "{\"id\":\"a\",\"x" FOLDER "\":{\"AQVNsecret\":1},"
                 "\"response\":{\"" FOLDER "\":1}}", NULL);
    is_document("{\"id\":\"\",\"x*\":{\"*\":1},\"response\":{\"" FOLDER
                "\":1},\"done\":false}", NGX_COMPLETION_PENDING,
                "names are masked too, but for those of a result");

    provider.tenant = str("test");
    fetch.credential = str("key");

    respond(400, "{\"message\":\"the latest monkey, gpt://test/a keyless key: "
                 "\xd0\x96key\"}", NULL);
    is_str(&answer.reason, "the latest monkey, gpt://*/a keyless *: \xd0\x96*",
           "clean: what is short is masked as a whole word");

    respond(200, "{\"id\":\"a\",\"latest\":\"tests\",\"test\":\"key\"}", NULL);
    is_document("{\"id\":\"\",\"latest\":\"tests\",\"*\":\"*\","
                "\"done\":false}", NGX_COMPLETION_PENDING,
                "and no part of a name");

    provider.tenant = str(FOLDER);
    fetch.credential = str("AQVNsecret");

    strcpy(body, "{\"message\":\"");
    for (i = 0; i < 300; i++) {
        strcat(body, "\xd0\x96");
    }
    strcat(body, "\"}");
    respond(400, body, NULL);
    is_int(answer.reason.len, 512, "reason: 512 bytes of two-byte characters");

    memmove(body + 13, body + 12, strlen(body + 12) + 1);
    body[12] = 'x';
    respond(400, body, NULL);
    ok(answer.reason.len == 511
       && ngx_completion_utf8_check(answer.reason.data, 511) == NGX_OK,
       "reason: cut at a character's border");
}


static void
test_result(void)
{
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_completion_result_t   r;

    text = str("{\"done\":true," RECORDED_RESPONSE ",\"id\":"
               "\"capability.of-any_form~and+more/than/64/bytes/of/it/as/you/"
               "can/see/here/in/this/one\"}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    is_int(rc, NGX_OK, "result: read, whatever the id");
    is_int(r.state, NGX_COMPLETION_COMPLETED, "result: its state");
    is_str(&r.text, "\xd0\x91\xd1\x8b", "result: its text");
    is_str(&r.model_version, "18.01.2024", "result: its model");
    is_int(r.usage.input, 31, "result: its input tokens");
    is_int(r.usage.completion, 10, "result: its completion tokens");
    is_int(r.usage.total, 41, "result: its total");
    ok(r.failure == NGX_COMPLETION_FAILURE_NONE, "result: no error");

    text = str("{\"id\":\"\",\"done\":true,\"response\":{\"alternatives\":["
               "{\"status\":\"ALTERNATIVE_STATUS_CONTENT_FILTER\","
               "\"message\":{\"text\":\"one\"}},"
               "{\"message\":{\"text\":\"two\"},\"status\":\"x\"}]}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.failure == NGX_COMPLETION_FAILURE_FILTERED
       && r.state == NGX_COMPLETION_INCOMPLETE,
       "result: filtered");
    is_str(&r.text, "one", "result: the first alternative's text");
    is_int(r.usage.total, -1, "result: no usage");
    is_int(r.usage.reasoning, -1, "result: no reasoning");

    text = str("{\"id\":\"\",\"done\":true,\"response\":{\"alternatives\":["
               "{\"message\":{\"toolCallList\":{\"text\":\"no\"}},"
               "\"status\":\"ALTERNATIVE_STATUS_TOOL_CALLS\"}]}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.text.len == 0 && r.calls == NULL
       && r.failure == NGX_COMPLETION_FAILURE_TOOL_CALLS
       && r.state == NGX_COMPLETION_TOOL_CALLS, "result: tool calls, no text");

    text = str("{\"id\":\"\",\"done\":true,\"error\":{\"code\":3},"
               "\"response\":{\"alternatives\":["
               "{\"status\":\"ALTERNATIVE_STATUS_TOOL_CALLS\"}]}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.failure == NGX_COMPLETION_FAILURE_INVALID
       && r.state == NGX_COMPLETION_FAILED,
       "result: tool calls beside an error");

    text = str("{\"id\":\"\",\"done\":true,\"error\":{\"code\":8,"
               "\"message\":\"slow\"}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.state == NGX_COMPLETION_FAILED
       && r.failure == NGX_COMPLETION_FAILURE_OTHER,
       "result: failed");
    is_str(&r.message, "slow", "result: its message");

    text = str("{\"id\":\"\",\"done\":true,\"error\":{\"grpcCode\":8,"
               "\"message\":\"slow\"}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.failure == NGX_COMPLETION_FAILURE_OTHER, "result: a code of the dialect");

    text = str("{\"id\":\"\",\"done\":true,\"error\":{\"code\":-8}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.failure == NGX_COMPLETION_FAILURE_OTHER, "result: a code that is none");

    text = str("{\"id\":\"\",\"done\":false,\"error\":{\"code\":8,"
               "\"message\":\"slow\"}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);
    ok(rc == NGX_OK && r.state == NGX_COMPLETION_PENDING
       && r.failure == NGX_COMPLETION_FAILURE_NONE && r.message.len == 0,
       "result: pending, an error before the end is none");

    text = str("{\"id\":");
    is_int(ngx_completion_yandex_result(pool, &text, &r), NGX_ERROR,
           "result: broken");
}


/* the shapes are the reference's; what is in them is synthetic */

static void
test_calls(void)
{
    ngx_int_t                    rc;
    ngx_str_t                    text;
    ngx_completion_result_t      r;
    ngx_completion_function_t   *call;

    text = str("{\"id\":\"\",\"done\":true,\"response\":{\"alternatives\":["
               "{\"message\":{\"role\":\"assistant\",\"toolCallList\":{"
               "\"toolCalls\":[{\"functionCall\":{\"name\":\"wea\\u0074her\","
               "\"arguments\":{\"city\":\"\\u0416\",\"name\":[1.50,{\"n\":null}],"
               "\"arguments\":{}}}},{\"functionCall\":{\"arguments\":{},"
               "\"name\":\"time\"}},{\"functionCall\":{\"name\":\"none\"}},"
               "{\"functionCall\":{\"name\":{},\"arguments\":\"x\"}}]}},"
               "\"status\":\"ALTERNATIVE_STATUS_TOOL_CALLS\"},"
               "{\"message\":{\"toolCallList\":{\"toolCalls\":["
               "{\"functionCall\":{\"name\":\"second\"}}]}},"
               "\"status\":\"ALTERNATIVE_STATUS_FINAL\"}],"
               "\"usage\":{\"totalTokens\":\"9\","
               "\"completionTokensDetails\":{\"reasoningTokens\":\"4\"}},"
               "\"modelVersion\":\"v\"}}");
    rc = ngx_completion_yandex_result(pool, &text, &r);

    ok(rc == NGX_OK && r.state == NGX_COMPLETION_TOOL_CALLS,
       "calls: the first alternative's status");
    is_int(r.usage.total, 9, "calls: tokens behind them");
    is_int(r.usage.reasoning, 4, "calls: those of reasoning");
    is_str(&r.model_version, "v", "calls: the model");

    if (!ok(r.calls && r.calls->nelts == 4, "calls: all of them")) {
        return;
    }

    call = r.calls->elts;

    is_str(&call[0].name, "weather", "calls: a name");
    is_str(&call[0].value, "{\"city\":\"\xd0\x96\",\"name\":[1.50,{\"n\":null}],"
           "\"arguments\":{}}", "calls: arguments, whatever is in them");
    is_str(&call[1].name, "time", "calls: a name behind the arguments");
    is_str(&call[1].value, "{}", "calls: no arguments");
    is_str(&call[2].value, "{}", "calls: none at all");
    is_str(&call[3].name, "", "calls: a name that is none");
    is_str(&call[3].value, "{}", "calls: arguments that are none");
}


/* an end that says nothing */

static void
test_nothing(void)
{
    size_t                   i;
    ngx_completion_result_t  r;

    static const struct {
        const char  *more;
        const char  *created;
    } t[] = {
        { "", "" },
        { ",\"error\":{}", "" },
        { ",\"error\":null,\"response\":null", "" },
        { ",\"error\":\"\"", "" },
        { ",\"error\":{\"code\":0,\"message\":\"m\"}", "" },
        { ",\"createdAt\":\"2023-11-30T18:31:32.123456789Z\"",
          "2023-11-30T18:31:32.123456789Z" },
        { ",\"createdAt\":\"2023\\u0022\"", "" },
        { ",\"createdAt\":\"a time that nobody would write, as it is long\"",
          "" }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char  body[512], start[512];

        snprintf(body, sizeof(body), "{\"id\":\"a\",\"done\":true%s}",
                 t[i].more);
        snprintf(start, sizeof(start), "{\"id\":\"\",\"description\":"
                 "\"Async GPT Completion\",\"createdAt\":\"%s\","
                 "\"createdBy\":\"\",\"modifiedAt\":\"", t[i].created);

        respond(200, body, NULL);
        ok(answer.outcome == NGX_COMPLETION_OK
           && answer.operation.state == NGX_COMPLETION_FAILED
           && answer.operation.id_offset == 7, t[i].more);
        ok(holds(&answer.operation.document, start)
           && holds(&answer.operation.document, "\"done\":true,"
                    "\"metadata\":null,\"error\":{\"code\":13,"
                    "\"message\":\"The operation ended without a result\""),
           "its document is ours");
        ok(ngx_completion_yandex_result(pool, &answer.operation.document, &r)
           == NGX_OK
           && r.state == NGX_COMPLETION_FAILED
           && r.failure == NGX_COMPLETION_FAILURE_OTHER, "... and a failure");
    }
}


static void
test_decided(void)
{
    ngx_int_t                    rc;
    ngx_completion_result_t      r;
    ngx_completion_operation_t   o;

    rc = ngx_completion_yandex_decided(pool, NGX_COMPLETION_CANCELLED,
                                         784111777, 951782400, &o);
    is_int(rc, NGX_OK, "cancelled: made");
    is_str(&o.document, "{\"id\":\"\","
           "\"description\":\"Async GPT Completion\","
           "\"createdAt\":\"1994-11-06T08:49:37Z\",\"createdBy\":\"\","
           "\"modifiedAt\":\"2000-02-29T00:00:00Z\",\"done\":true,"
           "\"metadata\":null,\"error\":{\"code\":1,"
           "\"message\":\"The operation was cancelled\",\"details\":[]}}",
           "cancelled: its document");
    is_int(o.id_offset, 7, "cancelled: its id_offset");
    ok(o.state == NGX_COMPLETION_CANCELLED && o.id.len == 0
       && o.usage.input == -1 && o.usage.completion == -1
       && o.usage.total == -1, "cancelled: its state");

    rc = ngx_completion_yandex_result(pool, &o.document, &r);
    ok(rc == NGX_OK && r.failure == NGX_COMPLETION_FAILURE_CANCELLED
       && r.state == NGX_COMPLETION_FAILED,
       "cancelled: as a result");

    rc = ngx_completion_yandex_decided(pool, NGX_COMPLETION_LOST, 0, 0, &o);
    is_int(rc, NGX_OK, "lost: made");
    is_str(&o.document, "{\"id\":\"\","
           "\"description\":\"Async GPT Completion\","
           "\"createdAt\":\"1970-01-01T00:00:00Z\",\"createdBy\":\"\","
           "\"modifiedAt\":\"1970-01-01T00:00:00Z\",\"done\":true,"
           "\"metadata\":null,\"error\":{\"code\":5,"
           "\"message\":\"The operation was lost: the upstream knows it no "
           "more\",\"details\":[]}}", "lost: its document");
    is_int(o.state, NGX_COMPLETION_LOST, "lost: its state");

    rc = ngx_completion_yandex_decided(pool, NGX_COMPLETION_PENDING,
                                         784111777, 951782400, &o);
    is_int(rc, NGX_OK, "pending: made");
    is_str(&o.document, "{\"id\":\"\","
           "\"description\":\"Async GPT Completion\","
           "\"createdAt\":\"1994-11-06T08:49:37Z\",\"createdBy\":\"\","
           "\"modifiedAt\":\"2000-02-29T00:00:00Z\",\"done\":false,"
           "\"metadata\":null}", "pending: its document, without an end");
    is_int(o.state, NGX_COMPLETION_PENDING, "pending: its state");
}


static void
test_memory(void)
{
    ngx_int_t                    rc;
    ngx_pool_t                  *main_pool = pool;
    shim_hunger_t                hunger = { 0 };
    ngx_completion_operation_t   o;

    stub_reset();
    stub_answer("x-request-id", "r-1");

    while (shim_starves(&hunger)) {
        pool = hunger.pool;
        respond(200, "{\"id\":\"a\",\"description\":\"" FOLDER "\","
                     "\"in " FOLDER "\":1,\"error\":{\"message\":\"\\n\"}}", "a");
        shim_starved(&hunger,
                     answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN);
    }

    ok(hunger.tries > 5 && !hunger.bad, "memory: an operation without it");

    while (shim_starves(&hunger)) {
        pool = hunger.pool;
        respond(429, "{\"error\":{\"message\":\"\\n\"}}", "a");
        shim_starved(&hunger,
                     answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN);
    }

    ok(hunger.tries > 3 && !hunger.bad, "memory: a refusal without it");

    while (shim_starves(&hunger)) {
        pool = hunger.pool;
        rc = ngx_completion_yandex_decided(pool, NGX_COMPLETION_LOST, 0, 0,
                                             &o);
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries > 1 && !hunger.bad, "memory: a decision without it");

    pool = main_pool;
    stub_reset();
}


static void
test_large(void)
{
    char    *body;
    size_t   n, len;

    /* an image of 1.5 MB, as base64 */

    n = 1500000;
    body = malloc(n + 200);
    len = sprintf(body, "{\"id\":\"a\",\"done\":true,\"response\":{"
                  "\"image\":\"");
    memset(body + len, 'A', n);
    strcpy(body + len + n, "\"}}");

    respond(200, body, "a");
    ok(answer.outcome == NGX_COMPLETION_OK
       && answer.operation.document.len == len + n + 3 - 1
       && answer.operation.state == NGX_COMPLETION_COMPLETED,
       "an answer of 1.5 MB");

    /* deep, and with names and numbers of a megabyte */

    memset(body, '[', n);
    memcpy(body, "{\"id\":", 6);
    strcpy(body + n, "}");
    respond(200, body, "a");
    ok(answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN, "an answer too deep");

    memset(body, '9', n);
    memcpy(body, "{\"id\":\"a\",\"error\":{\"code\":", 26);
    strcpy(body + n, "}}");
    respond(200, body, "a");
    ok(answer.outcome == NGX_COMPLETION_OK, "a code too large");

    memset(body, 'm', n);
    memcpy(body, "{\"message\":\"", 12);
    strcpy(body + n, "\"}");
    respond(400, body, "a");
    is_int(answer.reason.len, 512, "a reason of 1.5 MB");

    strcpy(body + n, "\",\"id\":\"a\"}");
    respond(200, body, "a");
    is_int(answer.operation.document.len,
           512 + sizeof("{\"message\":\"\",\"id\":\"\",\"done\":false}") - 1,
           "an operation's message of 1.5 MB");

    memset(body, 'm', n);
    memcpy(body, "{\"error\":{\"message\":\"", 21);
    strcpy(body + n, "\"},\"id\":\"a\"}");
    respond(200, body, "a");
    is_int(answer.operation.document.len,
           512 + sizeof("{\"error\":{\"message\":\"\"},\"id\":\"\","
                        "\"done\":false}") - 1,
           "an operation's error of 1.5 MB");

    free(body);
}


static void
test_mangled(void)
{
    int                       bad;
    char                     *copy;
    size_t                    i, len;
    uint32_t                  r;
    ngx_uint_t                n;
    ngx_pool_t               *main_pool = pool;
    ngx_completion_result_t   result;

    static const char  full[] =
        "{\"done\":true,\"error\":{\"code\":0,\"message\":\"in \\u0416 "
        FOLDER "\",\"details\":[{\"a\":[1.5]}]}," RECORDED_RESPONSE ","
        "\"id\":\"d7q1\",\"createdBy\":\"aje2\",\"x\":\"\\ud83d\\ude00\"}";

    len = sizeof(full) - 1;
    r = 7;
    bad = 0;

    for (n = 0; n < 20000; n++) {
        pool = ngx_create_pool(1024, &shim_log);
        copy = strdup(full);

        for (i = 0; i < 1 + n % 3; i++) {
            r = r * 1664525 + 1013904223;
            copy[(r >> 8) % len] = (n % 2) ? full[(r >> 16) % len]
                                           : (char) (r >> 24);
        }

        respond((n % 5) ? 200 : 400, copy, NULL);

        if (answer.outcome == NGX_COMPLETION_OK) {
            bad += ngx_completion_yandex_result(pool,
                                   &answer.operation.document, &result)
                   != NGX_OK
                   || result.state != answer.operation.state
                   || answer.operation.document.data[
                                               answer.operation.id_offset]
                      != '"'
                   || holds(&answer.operation.document, "d7q1");
        }

        free(copy);
        ngx_destroy_pool(pool);
    }

    pool = main_pool;

    is_int(bad, 0, "mangled answers are unreadable, or make documents");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    provider.tenant = str(FOLDER);
    fetch.credential = str("AQVNsecret");

    shim_log.log_level = NGX_LOG_INFO;
    shim_time(1000000000);

    test_recorded();
    test_documents();
    test_states();
    test_tokens();
    test_unreadable();
    test_statuses();
    test_outcomes();
    test_headers();
    test_reasons();
    test_result();
    test_calls();
    test_nothing();
    test_decided();
    test_memory();
    test_large();
    test_mangled();

    ngx_destroy_pool(pool);

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
