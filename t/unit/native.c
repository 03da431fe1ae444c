
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/face/ngx_completion_face.h"

#include <stdlib.h>


#define TEXT  NGX_COMPLETION_FACE_BODY_TEXT
#define JSON  NGX_COMPLETION_FACE_BODY_JSON
#define FORM  NGX_COMPLETION_FACE_BODY_FORM


static ngx_pool_t                   *pool;
static ngx_completion_prompt_t       prompt;
static ngx_completion_face_input_t   input;


static ngx_int_t
parse(ngx_completion_face_body_e type, ngx_str_t *body)
{
    memset(&prompt, 0, sizeof(prompt));
    memset(&input, 0, sizeof(input));

    input.type = type;
    input.native = str("messages");
    input.body = *body;

    return ngx_completion_native.read(pool, &input, &prompt);
}


static void
is_prompt(ngx_completion_face_body_e type, const char *text,
    const char *expected, const char *name)
{
    ngx_str_t  body = str(text);

    if (parse(type, &body) != NGX_OK) {
        ok(0, name);
        printf("# %.*s\n", (int) input.detail.len, input.detail.data);
        return;
    }

    is_str(prompt.native.len ? &prompt.native : &prompt.text, expected, name);
}


static void
is_refused(ngx_completion_face_body_e type, const char *text,
    const char *expected, const char *name)
{
    ngx_str_t  body = str(text);

    if (parse(type, &body) != NGX_DECLINED) {
        ok(0, name);
        return;
    }

    is_str(&input.detail, expected, name);
}


static void
test_text(void)
{
    ngx_str_t  nul = { 3, (u_char *) "a\0b" };

    is_prompt(TEXT, "Hi\n\xd0\x96", "Hi\n\xd0\x96", "a text as it is");
    ok(input.members == NULL, "which has no members");
    is_prompt(TEXT, "\xef\xbb\xbfHi", "Hi", "without a byte-order mark");
    is_prompt(TEXT, "\xef\xbb\xbf\xef\xbb\xbfHi", "\xef\xbb\xbfHi",
              "the second one is text");
    is_refused(TEXT, " \n\xc2\xa0", "the text is empty", "white space");
    is_refused(TEXT, "", "the text is empty", "no text");
    is_refused(TEXT, "\xef\xbb\xbf", "the text is empty", "a mark only");
    is_refused(TEXT, "\xd0", "the text is not valid UTF-8", "half a letter");

    is_int(parse(TEXT, &nul), NGX_DECLINED, "a NUL");
}


static void
test_json(void)
{
    ngx_completion_json_member_t  *member;

    is_prompt(JSON, "{\"to\":\"ru\",\"text\":\"\\u0416\\n\"}", "\xd0\x96\n",
              "a text in JSON");
    member = input.members->elts;
    is_int(input.members->nelts, 2, "with its members");
    is_str(&member[0].name, "to", "the first one's name");
    is_str(&member[0].value, "ru", "and value");

    is_prompt(JSON, "\xef\xbb\xbf{\"messages\":[{}]}", "{\"messages\":[{}]}",
              "a native request, without the mark");

    is_refused(JSON, "{\"text\":1}", "\"text\" must be a string", "a number");
    is_refused(JSON, "{\"text\":\"\"}", "the text is empty", "an empty text");
    is_refused(JSON, "{\"text\":\"\\u0000\"}",
               "the text has a NUL character in it",
               "an escaped NUL");
    is_refused(JSON, "{}", "either \"text\" or \"messages\" must be given, "
               "once", "neither");
    is_refused(JSON, "{\"text\":\"a\",\"text\":\"b\"}",
               "either \"text\" or \"messages\" must be given, once", "twice");
    is_refused(JSON, "{\"text\":\"a\",\"messages\":[]}",
               "either \"text\" or \"messages\" must be given, once", "both");
    is_refused(JSON, "[]", "not a JSON object", "an array");
}


static void
test_form(void)
{
    char                           many[2 * NGX_COMPLETION_JSON_MAX_MEMBERS
                                        + sizeof("text=x&b")], *p;
    ngx_uint_t                     n;
    ngx_completion_json_member_t  *member;

    is_prompt(FORM, "text=a+b%20c%2B", "a b c+", "a form");
    is_prompt(FORM, "&&to=ru&t%65xt=%D0%96=&", "\xd0\x96=",
              "escapes in a name, empty fields, an equals sign");
    member = input.members->elts;
    is_int(input.members->nelts, 2, "its fields");
    is_str(&member[0].value, "ru", "the other one");

    is_prompt(FORM, "text=%zz%4%", "%zz%4%", "what is no escape");
    is_prompt(FORM, "a=1&b=2&c=3&d=4&e=5&f&text=x", "x", "many fields");
    is_int(input.members->nelts, 7, "all of them");

    for (n = 0, p = many; n < NGX_COMPLETION_JSON_MAX_MEMBERS - 1; n++) {
        p += sprintf(p, "a&");
    }

    strcpy(p, "text=x");
    is_prompt(FORM, many, "x", "as many as may be");
    strcpy(p, "text=x&b");
    is_refused(FORM, many, "too many fields", "one more");

    is_refused(FORM, "", "the field \"text\" must be given, once", "nothing");
    is_refused(FORM, "to=ru", "the field \"text\" must be given, once",
               "no text");
    is_refused(FORM, "text=a&text=b", "the field \"text\" must be given, once",
               "two");
    is_refused(FORM, "text", "the text is empty", "a name only");
    is_refused(FORM, "text=a&to=%d0", "a field of the form is not valid UTF-8",
               "half a letter");
    is_refused(FORM, "text=%00", "the text has a NUL character in it",
               "a NUL");
}


static ngx_completion_face_view_t    view;
static ngx_completion_face_answer_t  answer;


static ngx_int_t
shown(ngx_completion_face_format_e format)
{
    memset(&answer, 0, sizeof(answer));

    return ngx_completion_native.write(pool, format, &view, &answer);
}


static void
is_answer(ngx_uint_t status, const char *type, const char *charset,
    const char *body, const char *name)
{
    is_int(answer.status, status, name);
    is_str(&answer.type, type, "... its type");
    is_str(&answer.charset, charset, "... charset");
    is_str(&answer.body, body, "... and body");
}


static void
test_operation(void)
{
    ngx_completion_result_t  result;

    memset(&view, 0, sizeof(view));
    memset(&result, 0, sizeof(result));

    view.id = str("abc");
    view.document = str("{\"id\":\"\",\"done\":false}");
    view.id_offset = 7;
    view.accepted = 1;

    shown(NGX_COMPLETION_FACE_JSON);
    is_answer(202, "application/json", "", "{\"id\":\"abc\",\"done\":false}",
              "an operation that was accepted");
    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(202, "text/plain", "utf-8", "", "which has no text yet");

    view.accepted = 0;

    shown(NGX_COMPLETION_FACE_JSON);
    is_answer(200, "application/json", "", "{\"id\":\"abc\",\"done\":false}",
              "a pending one");
    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(202, "text/plain", "utf-8", "", "which has no text either");

    view.state = NGX_COMPLETION_COMPLETED;
    view.result = &result;
    result.state = NGX_COMPLETION_COMPLETED;
    result.text = str("Hi");

    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(200, "text/plain", "utf-8", "Hi", "a text");

    view.accepted = 1;

    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(200, "text/plain", "utf-8", "Hi", "that is there at once");
    shown(NGX_COMPLETION_FACE_JSON);
    is_int(answer.status, 202, "is accepted no more in JSON");

    result.failure = NGX_COMPLETION_FAILURE_FILTERED;

    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(422, "text/plain", "utf-8", "Hi", "a filtered one");

    view.state = NGX_COMPLETION_TOOL_CALLS;
    result.state = NGX_COMPLETION_TOOL_CALLS;
    result.failure = NGX_COMPLETION_FAILURE_TOOL_CALLS;

    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(422, "text/plain", "utf-8", "tool_calls: functions are to be "
              "called, see the operation as JSON\n", "one of tool calls");

    view.state = NGX_COMPLETION_CANCELLED;
    result.state = NGX_COMPLETION_FAILED;
    result.failure = NGX_COMPLETION_FAILURE_CANCELLED;
    result.message = str("cancelled");

    shown(NGX_COMPLETION_FACE_TEXT);
    is_answer(410, "text/plain", "utf-8", "cancelled", "one without a text");
}


static void
test_event(void)
{
    ngx_int_t  last = -1;
    ngx_str_t  event;

    memset(&view, 0, sizeof(view));

    view.id = str("abc");
    view.document = str("{\"id\":\"\"}");
    view.id_offset = 7;

    ngx_completion_native.event(pool, &view, &last, &event);
    is_str(&event, "event: operation\nid: pending\n"
                   "data: {\"id\":\"abc\"}\n\n", "an event");

    view.state = NGX_COMPLETION_LOST;

    ngx_completion_native.event(pool, &view, &last, &event);
    is_str(&event, "event: operation\nid: done\n"
                   "data: {\"id\":\"abc\"}\n\n", "the last one");
    event = ngx_completion_native.last_event;
    is_str(&event, "done", "by whose id it is known");
}


static ngx_int_t
problem(ngx_completion_face_format_e format, const char *text)
{
    ngx_completion_face_fault_t  fault;

    memset(&answer, 0, sizeof(answer));
    memset(&fault, 0, sizeof(fault));

    fault.outcome = NGX_COMPLETION_INVALID_REQUEST;
    fault.detail = str(text);

    return ngx_completion_native.error(pool, format, &fault, &answer);
}


static void
test_problem(void)
{
    problem(NGX_COMPLETION_FACE_JSON, "not \"so\"");
    is_answer(400, "application/problem+json", "",
              "{\"type\":\"urn:nginx-completion-async:problem:invalid_request"
              "\",\"title\":\"The request is not valid\",\"status\":400,"
              "\"detail\":\"not \\\"so\\\"\",\"code\":\"invalid_request\"}",
              "a problem");
    problem(NGX_COMPLETION_FACE_STREAM, "");
    is_answer(400, "application/problem+json", "",
              "{\"type\":\"urn:nginx-completion-async:problem:invalid_request"
              "\",\"title\":\"The request is not valid\",\"status\":400,"
              "\"detail\":\"The request is not valid\","
              "\"code\":\"invalid_request\"}", "of which no more is known");
    problem(NGX_COMPLETION_FACE_TEXT, "not so");
    is_answer(400, "text/plain", "utf-8", "invalid_request: not so\n",
              "as a text");
    problem(NGX_COMPLETION_FACE_TEXT, "");
    is_answer(400, "text/plain", "utf-8",
              "invalid_request: The request is not valid\n", "likewise");
}


static ngx_int_t
spelled(ngx_uint_t what)
{
    ngx_int_t  last = -1;
    ngx_str_t  event;

    switch (what) {

    case 0:
        return shown(NGX_COMPLETION_FACE_JSON);

    case 1:
        return problem(NGX_COMPLETION_FACE_JSON, "no");

    case 2:
        return problem(NGX_COMPLETION_FACE_TEXT, "no");

    default:
        return ngx_completion_native.event(pool, &view, &last, &event);
    }
}


static void
test_memory(void)
{
    size_t          i;
    ngx_str_t       body;
    ngx_pool_t     *main_pool = pool;
    shim_hunger_t   hunger = { 0 };

    static const struct {
        ngx_completion_face_body_e   type;
        const char                  *body;
    } t[] = {
        { FORM, "text=a&b=1&c=2&d=3&e=4&f=5" },
        { JSON, "{\"text\":\"\\u0416\",\"to\":\"ru\"}" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        while (shim_starves(&hunger)) {
            pool = hunger.pool;
            body = str(t[i].body);
            shim_starved(&hunger, parse(t[i].type, &body) == NGX_ERROR);
        }

        ok(hunger.tries > 1 && !hunger.bad, "without memory");
    }

    for (i = 0; i < 4; i++) {
        while (shim_starves(&hunger)) {
            pool = hunger.pool;
            shim_starved(&hunger, spelled(i) == NGX_ERROR);
        }

        ok(hunger.tries > 1 && !hunger.bad, "nothing is spelled without it");
    }

    pool = main_pool;
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    test_text();
    test_json();
    test_form();
    test_operation();
    test_event();
    test_problem();
    test_memory();

    ngx_destroy_pool(pool);
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
