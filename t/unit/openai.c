
/* OpenAI's words as a prompt, and an operation in them. */


#include "tap.h"
#include "ngx_shim.h"

#include "../../src/face/ngx_completion_face.h"

#include <stdlib.h>


/* as the routes say */
#define RESPONSE  1
#define CHAT      2


static ngx_pool_t                    *pool;
static ngx_completion_prompt_t        prompt;
static ngx_completion_face_view_t     view;
static ngx_completion_result_t        result;
static ngx_completion_face_input_t    input;
static ngx_completion_face_answer_t   answer;


static ngx_int_t
reads(ngx_uint_t shape, const char *text)
{
    memset(&prompt, 0, sizeof(prompt));
    memset(&input, 0, sizeof(input));

    input.shape = shape;
    input.type = NGX_COMPLETION_FACE_BODY_JSON;
    input.body = str(text);

    return ngx_completion_openai.read(pool, &input, &prompt);
}


/* the conversation as "role: text|role: calls name value|..." */

static void
is_told(ngx_uint_t shape, const char *text, const char *expected,
    const char *name)
{
    u_char                      *p, buf[4096];
    ngx_str_t                    got;
    ngx_uint_t                   i, n;
    ngx_array_t                 *functions;
    ngx_completion_message_t    *turn;
    ngx_completion_function_t   *function;

    if (!is_int(reads(shape, text), NGX_OK, name)) {
        printf("# %.*s\n", (int) input.detail.len, input.detail.data);
        return;
    }

    p = buf;
    turn = prompt.turns.elts;

    for (i = 0; i < prompt.turns.nelts; i++) {
        p = ngx_sprintf(p, "%V:", &turn[i].role);
        functions = turn[i].calls ? turn[i].calls : turn[i].results;

        for (n = 0; functions && n < functions->nelts; n++) {
            function = functions->elts;
            p = ngx_sprintf(p, " %s %V %V", turn[i].calls ? "calls" : "gets",
                            &function[n].name, &function[n].value);
        }

        p = functions ? ngx_sprintf(p, "|")
                      : ngx_sprintf(p, " %V|", &turn[i].text);
    }

    got.data = buf;
    got.len = p - buf;

    is_str(&got, expected, "... what is told");
}


static void
is_refused(ngx_uint_t shape, const char *text, const char *code,
    const char *param)
{
    ngx_str_t  said;

    if (!is_int(reads(shape, text), NGX_DECLINED, text)) {
        return;
    }

    said = str(input.code ? input.code : "");
    is_str(&said, code, "... its code");
    is_str(&input.param, param, "... what is at fault");
    ok(input.detail.len, "... and why");
}


#define M  "{\"model\":\"m\","


static void
test_response(void)
{
    is_told(RESPONSE, M "\"input\":\"Hi\",\"instructions\":\"Be\"}",
            "system: Be|user: Hi|", "a text");
    is_told(RESPONSE, M "\"input\":[{\"role\":\"developer\",\"content\":\"a\"},"
            "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
            "\"text\":\"b\"},{\"type\":\"input_text\",\"text\":\"c\"}]},"
            "{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\","
            "\"status\":\"completed\",\"content\":[{\"type\":\"output_text\","
            "\"text\":\"d\",\"annotations\":[],\"logprobs\":[]}]}]}",
            "system: a|user: b\nc|assistant: d|", "items");
    is_told(RESPONSE, M "\"input\":["
            "{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\","
            "\"arguments\":\"{\\\"a\\\":1}\"},"
            "{\"type\":\"function_call\",\"call_id\":\"2\",\"name\":\"g\","
            "\"arguments\":\"\"},"
            "{\"type\":\"function_call_output\",\"call_id\":\"2\","
            "\"output\":\"x\"},"
            "{\"type\":\"function_call_output\",\"call_id\":\"1\","
            "\"output\":\"y\"}]}",
            "assistant: calls f {\"a\":1} calls g {}|"
            "assistant: gets g x gets f y|", "calls and what they came to");

    reads(RESPONSE, M "\"input\":\"x\",\"temperature\":0.50,"
          "\"max_output_tokens\":7,\"reasoning\":{\"effort\":\"minimal\"},"
          "\"background\":true,\"stream\":true,"
          "\"metadata\":{ \"a\" : \"b\" },"
          "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\","
          "\"schema\":{\"type\":\"object\"}}}}");
    is_str(&prompt.temperature, "0.50", "a temperature as it is spelled");
    is_str(&prompt.max_tokens, "7", "a limit");
    is_int(prompt.thinking, NGX_COMPLETION_SWITCH_OFF, "an effort");
    is_int(prompt.format, NGX_COMPLETION_FORMAT_SCHEMA, "a format");
    is_str(&prompt.schema, "{\"type\":\"object\"}", "... its schema");
    is_str(&input.model, "m", "the model");
    is_str(&input.echo, "{\"a\":\"b\"}", "what is shown again");
    ok(input.background && input.stream, "how it is to be answered");
    is_int(input.after, -1, "from the first event on");

    reads(RESPONSE, M "\"input\":\"x\",\"tools\":[{\"type\":\"function\","
          "\"name\":\"f\",\"parameters\":{\"a\":[1,{}]},\"strict\":true}],"
          "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},"
          "\"parallel_tool_calls\":false,\"reasoning\":{\"effort\":\"xhigh\"},"
          "\"top_p\":1,\"store\":false,\"include\":[],\"user\":null}");
    is_int(prompt.tools.nelts, 1, "a tool");
    is_str(&((ngx_completion_tool_t *) prompt.tools.elts)->parameters,
           "{\"a\":[1,{}]}", "... its parameters");
    is_int(prompt.choice, NGX_COMPLETION_CHOICE_FUNCTION, "... is chosen");
    is_int(prompt.parallel, NGX_COMPLETION_SWITCH_OFF, "... by itself");
    is_int(prompt.thinking, NGX_COMPLETION_SWITCH_ON, "another effort");
}


static void
test_chat(void)
{
    is_told(CHAT, M "\"messages\":[{\"role\":\"developer\",\"content\":\"a\"},"
            "{\"role\":\"user\",\"content\":\"b\"},"
            "{\"role\":\"assistant\",\"content\":\"c\",\"refusal\":null,"
            "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\","
            "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
            "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"d\"}]}",
            "system: a|user: b|assistant: c|assistant: calls f {}|"
            "assistant: gets f d|", "a chat");

    reads(CHAT, M "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
          "\"max_tokens\":1,\"max_completion_tokens\":2,\"n\":1,"
          "\"modalities\":[\"text\"],\"stream\":true,"
          "\"stream_options\":{\"include_usage\":true},"
          "\"response_format\":{\"type\":\"json_object\"}}");
    is_str(&prompt.max_tokens, "2", "the newer name of two");
    is_int(prompt.format, NGX_COMPLETION_FORMAT_JSON, "any object");
    ok(input.stream && input.usage, "a stream with its usage");
}


static void
test_refused(void)
{
    is_refused(RESPONSE, "{", "", "");
    is_refused(RESPONSE, "{\"input\":\"x\"}", "", "model");
    is_refused(RESPONSE, M "\"input\":\" \"}", "", "input");
    is_refused(RESPONSE, M "\"input\":[]}", "", "input");
    is_refused(RESPONSE, M "\"input\":\"a\\u0000b\"}", "", "input");
    is_refused(RESPONSE, M "\"input\":\"x\",\"input\":\"y\"}", "", "input");
    is_refused(RESPONSE, M "\"input\":7}", "", "input");
    is_refused(RESPONSE, M "\"input\":\"x\",\"max_output_tokens\":1.5}", "",
               "max_output_tokens");
    is_refused(RESPONSE, M "\"input\":\"x\",\"top_p\":0.5}",
               "unsupported_parameter", "top_p");
    is_refused(RESPONSE, M "\"input\":\"x\",\"include\":[\"a\"]}",
               "unsupported_parameter", "include");
    is_refused(RESPONSE, M "\"input\":\"x\",\"messages\":[]}",
               "unknown_parameter", "messages");
    is_refused(RESPONSE, M "\"input\":\"x\",\"reasoning\":{\"summary\":\"a\"}}",
               "unknown_parameter", "reasoning.summary");
    is_refused(RESPONSE, M "\"input\":\"x\",\"tools\":[{\"type\":\"web\"}]}",
               "unsupported_parameter", "tools[0].type");
    is_refused(RESPONSE, M "\"input\":[{\"role\":\"user\",\"content\":"
               "[{\"type\":\"input_image\"}]}]}", "unsupported_parameter",
               "input[0].content[0].type");
    is_refused(RESPONSE, M "\"input\":[{\"type\":\"reasoning\"}]}",
               "unsupported_parameter", "input[0].type");
    is_refused(RESPONSE, M "\"input\":[{\"type\":\"function_call_output\","
               "\"call_id\":\"1\",\"output\":\"x\"}]}", "",
               "input[0].call_id");
    is_refused(RESPONSE, M "\"input\":[{\"type\":\"function_call\","
               "\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"[]\"}]}", "",
               "input[0].arguments");
    is_refused(RESPONSE, M "\"input\":\"x\",\"metadata\":{\"a\":1}}", "",
               "metadata");
    is_refused(CHAT, M "\"messages\":[{\"role\":\"robot\",\"content\":\"x\"}]}",
               "", "messages[0].role");
    is_refused(CHAT, M "\"messages\":[{\"role\":\"user\",\"content\":\"x\","
               "\"a\":1}]}", "unknown_parameter", "messages[0].a");
    is_refused(CHAT, M "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
               "\"n\":2}", "unsupported_parameter", "n");
}


static void
is_answer(ngx_uint_t status, const char *expected, const char *name)
{
    memset(&answer, 0, sizeof(answer));

    view.input = &input;
    view.result = &result;

    (void) ngx_completion_openai.write(pool, NGX_COMPLETION_FACE_JSON, &view,
                                       &answer);
    is_int(answer.status, status, name);

    if (!ok(ngx_strnstr(answer.body.data, (char *) expected, answer.body.len)
            != NULL, "... what it says"))
    {
        printf("# %.*s\n", (int) answer.body.len, answer.body.data);
    }
}


static void
test_shown(void)
{
    ngx_int_t  last;
    ngx_str_t  text;

    memset(&view, 0, sizeof(view));
    memset(&result, 0, sizeof(result));
    memset(&input, 0, sizeof(input));

    input.shape = RESPONSE;
    view.id = str("abc");
    view.submitted = 7;
    view.accepted = 1;

    is_answer(200, "\"id\":\"resp_abc\",\"object\":\"response\","
              "\"created_at\":7,\"status\":\"queued\"", "a new one");
    view.accepted = 0;
    is_answer(200, "\"status\":\"in_progress\"", "a pending one");

    last = -1;
    (void) ngx_completion_openai.event(pool, &view, &last, &text);
    is_int(last, 2, "three events of it");

    view.state = NGX_COMPLETION_COMPLETED;
    result.text = str("a \"b\"");
    result.model_version = str("v");
    result.usage.input = 1;
    result.usage.completion = 2;
    result.usage.reasoning = -1;
    result.usage.total = 3;
    is_answer(200, "\"text\":\"a \\\"b\\\"\",\"annotations\":[],"
              "\"logprobs\":[]", "a completed one");
    is_answer(200, "\"model\":\"v\"", "... of this version");
    is_answer(200, "\"output_tokens\":2,\"output_tokens_details\":"
              "{\"reasoning_tokens\":0},\"total_tokens\":3", "... its usage");

    (void) ngx_completion_openai.event(pool, &view, &last, &text);
    is_int(last, 9, "all its events");
    last = 8;
    (void) ngx_completion_openai.event(pool, &view, &last, &text);
    ok(ngx_strncmp(text.data, "event: response.completed\ndata: ", 31) == 0,
       "the last one alone");
    (void) ngx_completion_openai.event(pool, &view, &last, &text);
    is_int(text.len, 0, "and no more");

    view.state = NGX_COMPLETION_INCOMPLETE;
    is_answer(200, "{\"reason\":\"max_output_tokens\"}", "a cut one");
    result.failure = NGX_COMPLETION_FAILURE_FILTERED;
    is_answer(200, "{\"reason\":\"content_filter\"}", "a filtered one");
    view.state = NGX_COMPLETION_CANCELLED;
    is_answer(200, "\"status\":\"cancelled\"", "a cancelled one");
    view.state = NGX_COMPLETION_LOST;
    result.failure = NGX_COMPLETION_FAILURE_OTHER;
    result.message = str("lost");
    is_answer(200, "\"error\":{\"code\":\"server_error\","
              "\"message\":\"lost\"}", "a lost one");

    input.shape = CHAT;
    is_answer(424, "\"message\":\"lost\",\"type\":\"invalid_request_error\","
              "\"param\":null,\"code\":\"operation_failed\"", "... in a chat");

    last = -1;
    view.state = NGX_COMPLETION_PENDING;
    (void) ngx_completion_openai.event(pool, &view, &last, &text);
    is_int(last, 0, "a chat begins at once");
    view.state = NGX_COMPLETION_COMPLETED;
    (void) ngx_completion_openai.event(pool, &view, &last, &text);
    ok(text.len > 14 && ngx_strncmp(text.data + text.len - 14,
                                    "data: [DONE]\n\n", 14) == 0,
       "and is done at its end");

    view.deleted = 1;
    is_answer(200, "{\"id\":\"resp_abc\",\"object\":\"response\","
              "\"deleted\":true}", "a deleted one");
}


static void
test_query(void)
{
    ngx_str_t  id = str("chatcmpl-abc");

    memset(&input, 0, sizeof(input));
    input.body = str("stream=true&starting_after=4&include[]=x");
    is_int(ngx_completion_openai.query(pool, &input), NGX_OK, "a query");
    ok(input.stream && input.after == 4, "... of the rest of a stream");
    input.body = str("starting_after=x");
    is_int(ngx_completion_openai.query(pool, &input), NGX_DECLINED,
           "... of a wrong event");

    is_int(ngx_completion_face_bare(&id), NGX_OK, "a prefix");
    is_str(&id, "abc", "... is taken off");
    is_int(ngx_completion_face_bare(&id), NGX_DECLINED, "... once");
}


/* wherever memory ends, it is told */

static void
test_memory(void)
{
    ngx_int_t       rc;
    ngx_pool_t     *main_pool = pool;
    shim_hunger_t   hunger = { 0 };

    while (shim_starves(&hunger)) {
        pool = hunger.pool;
        rc = reads(RESPONSE, M "\"input\":[{\"type\":\"function_call\","
                   "\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},"
                   "{\"type\":\"function_call_output\",\"call_id\":\"1\","
                   "\"output\":\"x\"}],\"metadata\":{\"a\":\"b\"},"
                   "\"tools\":[{\"type\":\"function\",\"name\":\"f\","
                   "\"parameters\":{}}]}");
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries > 1 && !hunger.bad, "nothing is read without memory");
    pool = main_pool;
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    test_response();
    test_chat();
    test_refused();
    test_shown();
    test_query();
    test_memory();

    ngx_destroy_pool(pool);
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
