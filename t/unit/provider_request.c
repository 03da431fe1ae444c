
#include "tap.h"
#include "ngx_shim.h"
#include "fetch_stub.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"
#include "../../src/base/ngx_completion_json.h"

#include <stdlib.h>


#define FOLDER  "b1gexample0000000000"


static ngx_pool_t                 *pool;
static ngx_completion_provider_t   provider;
static ngx_str_t                    secret;
static ngx_completion_yandex_conf_t  conf;
static ngx_completion_prompt_t     prompt;
static ngx_completion_message_t    messages[2];


/* a prompt of a text, or of a native request, with a model of the location */

static void
ask(const char *text, const char *native)
{
    memset(&prompt, 0, sizeof(prompt));

    prompt.model = str("yandexgpt-lite");
    prompt.text = text ? str(text) : str("");
    prompt.native = native ? str(native) : str("");
}


static void
with_messages(void)
{
    messages[0].role = str("system");
    messages[0].text = str("Be \"brief\"");
    messages[1].role = str("assistant");
    messages[1].text = str("Yes");

    prompt.messages.elts = messages;
    prompt.messages.nelts = 2;
}


static void
is_body(const char *expected, const char *name)
{
    ngx_int_t  rc;
    ngx_str_t  body, reason;

    rc = ngx_completion_yandex_body(&provider, pool, &prompt, &body, &reason);

    if (rc != NGX_OK) {
        ok(0, name);
        printf("# rc %d: %.*s\n", (int) rc, (int) reason.len,
               reason.data ? (char *) reason.data : "");
        return;
    }

    is_str(&body, expected, name);
}


static void
is_declined(const char *expected, const char *name)
{
    ngx_int_t  rc;
    ngx_str_t  body, reason;

    rc = ngx_completion_yandex_body(&provider, pool, &prompt, &body, &reason);

    if (rc != NGX_DECLINED) {
        ok(0, name);
        printf("# rc %d\n", (int) rc);
        return;
    }

    is_str(&reason, expected, name);
}


#define MODEL     "\"modelUri\":\"gpt://" FOLDER "/yandexgpt-lite\""
#define USER(t)   "{\"role\":\"user\",\"text\":\"" t "\"}"
#define LOCATION                                                              \
    "{\"role\":\"system\",\"text\":\"Be \\\"brief\\\"\"},"                    \
    "{\"role\":\"assistant\",\"text\":\"Yes\"}"


static void
test_text(void)
{
    ask("Hi\n\xd0\x96", NULL);
    is_body("{" MODEL ",\"messages\":[" USER("Hi\\n\xd0\x96") "]}",
            "text: a model and a message, and nothing more");

    with_messages();
    is_body("{" MODEL ",\"messages\":[" LOCATION ","
            USER("Hi\\n\xd0\x96") "]}", "text: behind the location's");

    ask("Hi", NULL);
    prompt.temperature = str("0.10");
    is_body("{" MODEL ",\"completionOptions\":{\"temperature\":0.10},"
            "\"messages\":[" USER("Hi") "]}", "text: temperature as spelled");

    ask("Hi", NULL);
    prompt.max_tokens = str("2000");
    is_body("{" MODEL ",\"completionOptions\":{\"maxTokens\":\"2000\"},"
            "\"messages\":[" USER("Hi") "]}", "text: int64 as a string");

    ask("Hi", NULL);
    prompt.reasoning = str("enabled_hidden");
    prompt.max_tokens = str("7");
    prompt.temperature = str("1");
    is_body("{" MODEL ",\"completionOptions\":{\"temperature\":1,"
            "\"maxTokens\":\"7\","
            "\"reasoningOptions\":{\"mode\":\"ENABLED_HIDDEN\"}},"
            "\"messages\":[" USER("Hi") "]}", "text: all options");

    ask("Hi", NULL);
    prompt.format = NGX_COMPLETION_FORMAT_JSON;
    is_body("{" MODEL ",\"messages\":[" USER("Hi") "],\"jsonObject\":true}",
            "text: a JSON object");

    ask("Hi", NULL);
    prompt.format = NGX_COMPLETION_FORMAT_SCHEMA;
    prompt.schema = str("{\"type\": \"object\"}");
    is_body("{" MODEL ",\"messages\":[" USER("Hi") "],"
            "\"jsonSchema\":{\"schema\":{\"type\": \"object\"}}}",
            "text: a schema");

    ask("", NULL);
    is_declined("the text is empty", "text: empty");

    ask("\xc3(", NULL);
    is_declined("the text is not valid UTF-8", "text: not UTF-8");

    ask("Hi", NULL);
    with_messages();
    messages[1].text = str("\xed\xa0\x80");
    is_declined("a message is not valid UTF-8",
                "text: a location's variable that is not UTF-8");
}


static void
test_model(void)
{
    char  *name;

    ask("Hi", NULL);
    prompt.model = str("gpt://b1gother/yandexgpt/latest@suffix");
    is_body("{\"modelUri\":\"gpt://b1gother/yandexgpt/latest@suffix\","
            "\"messages\":[" USER("Hi") "]}", "model: a URI as it is");

    prompt.model = str("yandexgpt-5.1/latest");
    is_body("{\"modelUri\":\"gpt://" FOLDER "/yandexgpt-5.1/latest\","
            "\"messages\":[" USER("Hi") "]}", "model: a name with a branch");

    prompt.model = str("");
    is_declined("the model is missing", "model: missing");

    prompt.model = str("yandex gpt");
    is_declined("the model's name holds a character it may not",
                "model: a space");
    prompt.model = str("a\"b");
    is_declined("the model's name holds a character it may not",
                "model: a quote");
    prompt.model = str("a\x7f");
    is_declined("the model's name holds a character it may not",
                "model: a control character");
    prompt.model = str("\xd0\x96");
    is_declined("the model's name holds a character it may not",
                "model: beyond ASCII");

    name = malloc(514);
    memset(name, 'm', 513);
    name[513] = '\0';
    prompt.model = str(name);
    is_declined("the model's name is too long", "model: 513 bytes");
    free(name);

    provider.tenant = str("");
    prompt.model = str("yandexgpt-lite");
    is_declined("the model must be given as a URI",
                "model: a name without a folder");
    prompt.model = str("gpt://f/m");
    is_body("{\"modelUri\":\"gpt://f/m\",\"messages\":[" USER("Hi") "]}",
            "model: a URI without a folder");
    provider.tenant = str(FOLDER);
}


/* everything that the API documents, and what is the client's own in it */

#define TOOLS                                                                 \
    "[{\"function\":{\"name\":\"f\",\"description\":\"d\","                   \
    "\"parameters\":{\"max_tokens\":1.0,\"x\":[{\"tool_calls\":null}]},"      \
    "\"strict\":true}},{\"function\":{\"name\":\"g\"}}]"
#define SCHEMA  "{\"schema\":{\"json_schema\":[1],\"stream\":1E2}}"
#define ARGUMENTS  "{\"function_call\":{\"name\":1},\"a_b\":[{}]}"
#define TURNS                                                                 \
    "{\"role\":\"user\",\"text\":\"\xd0\x96\"},"                              \
    "{\"role\":\"assistant\",\"toolCallList\":{\"toolCalls\":["               \
    "{\"functionCall\":{\"name\":\"f\",\"arguments\":" ARGUMENTS "}},"        \
    "{\"functionCall\":{\"arguments\":{},\"name\":\"g\"}}]}},"                \
    "{\"toolResultList\":{\"toolResults\":[{\"functionResult\":"              \
    "{\"name\":\"f\",\"content\":\"a_b\"}}]}}"
#define CHOICE  "\"toolChoice\":{\"mode\":\"AUTO\",\"functionName\":\"f\"},"  \
    "\"parallelToolCalls\":false"


static void
test_native(void)
{
    size_t  i;

    static const char  *full[] = {
        "{ \"stream\":true, \"tools\" : " TOOLS ","
        "\"messages\":[" TURNS "]," CHOICE ","
        "\"completionOptions\":{\"stream\":{\"a\":[1]},\"temperature\":0.30,"
        "\"maxTokens\":100,\"reasoningOptions\":{\"mode\":\"DISABLED\"}},"
        "\"jsonObject\":true,\"jsonSchema\":" SCHEMA ","
        "\"modelUri\":\"gpt:\\/\\/own\\/m\"}",

        "{ \"model_uri\":\"gpt:\\/\\/own\\/m\", \"stream\":[{\"x\":null}],"
        "\"completion_options\":{\"reasoning_options\":{\"mode\":\"DISABLED\"},"
        "\"max_tokens\":100,\"stream\":1,\"temperature\":0.30},"
        "\"messages\":[{\"role\":\"user\",\"text\":\"\\u0416\"},"
        "{\"role\":\"assistant\",\"tool_call_list\":{\"tool_calls\":["
        "{\"function_call\":{\"name\":\"f\",\"arguments\":" ARGUMENTS "}},"
        "{\"function_call\":{\"arguments\":{},\"name\":\"g\"}}]}},"
        "{\"tool_result_list\":{\"tool_results\":[{\"function_result\":"
        "{\"name\":\"f\",\"content\":\"a_b\"}}]}}],"
        "\"json_object\":true,\"json_schema\":" SCHEMA ",\"tools\":" TOOLS ","
        "\"tool_choice\":{\"mode\":\"AUTO\",\"function_name\":\"f\"},"
        "\"parallel_tool_calls\":false}"
    };

    for (i = 0; i < 2; i++) {
        ask(NULL, full[i]);
        prompt.model = str("");
        is_body("{\"modelUri\":\"gpt://own/m\","
                "\"completionOptions\":{\"temperature\":0.30,"
                "\"maxTokens\":100,\"reasoningOptions\":"
                "{\"mode\":\"DISABLED\"}},"
                "\"messages\":[" TURNS "],"
                "\"jsonObject\":true,\"jsonSchema\":" SCHEMA ","
                "\"tools\":" TOOLS "," CHOICE "}",
                i ? "native: all it may set, in snake_case"
                  : "native: all it may set");
    }

    for (i = 0; i < 2; i++) {
        ask(NULL, full[i]);
        with_messages();
        prompt.temperature = str("0");
        prompt.max_tokens = str("5");
        prompt.reasoning = str("enabled_hidden");
        prompt.format = NGX_COMPLETION_FORMAT_JSON;
        is_body("{" MODEL ",\"completionOptions\":{\"temperature\":0,"
                "\"maxTokens\":\"5\","
                "\"reasoningOptions\":{\"mode\":\"ENABLED_HIDDEN\"}},"
                "\"messages\":[" LOCATION "," TURNS "],\"jsonObject\":true,"
                "\"tools\":" TOOLS "," CHOICE "}",
                "native: what the location sets wins, both formats included");

        ask(NULL, full[i]);
        prompt.format = NGX_COMPLETION_FORMAT_SCHEMA;
        prompt.schema = str("{}");
        is_body("{" MODEL ",\"completionOptions\":{\"temperature\":0.30,"
                "\"maxTokens\":100,\"reasoningOptions\":"
                "{\"mode\":\"DISABLED\"}},\"messages\":[" TURNS "],"
                "\"jsonSchema\":{\"schema\":{}},"
                "\"tools\":" TOOLS "," CHOICE "}",
                "native: a schema of the location");
    }

    ask(NULL, "{\"messages\":[{}],\"modelUri\":\"yandexgpt\","
              "\"completionOptions\":{\"maxTokens\":\"100\"}}");
    prompt.model = str("");
    is_body("{\"modelUri\":\"gpt://" FOLDER "/yandexgpt\","
            "\"completionOptions\":{\"maxTokens\":\"100\"},"
            "\"messages\":[{}]}",
            "native: a bare model is completed, a string stays a string");

    ask(NULL, "{\"messages\":[{\"role\":null,\"toolCallList\":null}],"
              "\"modelUri\":null,\"completionOptions\":{\"temperature\":null,"
              "\"reasoningOptions\":{\"mode\":null}},\"tools\":null,"
              "\"jsonObject\":null,\"jsonSchema\":null,\"toolChoice\":null}");
    is_body("{" MODEL ",\"messages\":[{\"role\":null,"
            "\"toolCallList\":null}]}", "native: null is not given");

    ask(NULL, "{\"messages\":[{}],\"completionOptions\":null}");
    is_body("{" MODEL ",\"messages\":[{}]}", "native: options that are null");

    ask(NULL, "{\"messages\":[{\"toolCallList\":{\"toolCalls\":["
              "{\"functionCall\":{\"arguments\":{\"messages\":[1],"
              "\"modelUri\":1,\"modelUri\":2}}}]}}]}");
    is_body("{" MODEL ",\"messages\":[{\"toolCallList\":{\"toolCalls\":["
            "{\"functionCall\":{\"arguments\":{\"messages\":[1],"
            "\"modelUri\":1,\"modelUri\":2}}}]}}]}",
            "native: the same names in what is the client's own");

    ask(NULL, "{\"messages\":[{}]}");
    prompt.model = str("");
    is_declined("the model is missing", "native: no model");

    ask(NULL, "{\"messages\":[{}],\"modelUri\":\"a b\"}");
    prompt.model = str("");
    is_declined("the model's name holds a character it may not",
                "native: a model with a space");
}


/* by a face that knows nothing of upstream's spelling */

static void
test_turns(void)
{
    ngx_completion_function_t  calls[2], result;
    ngx_completion_message_t   turns[3];
    ngx_completion_tool_t      tools[2];
    ngx_array_t                called, results;

    memset(calls, 0, sizeof(calls));
    memset(turns, 0, sizeof(turns));
    memset(tools, 0, sizeof(tools));

    calls[0].name = str("f");
    calls[0].value = str("{\"a\": 1.0}");
    calls[1].name = str("\"g");
    calls[1].value = str("{}");
    called.elts = calls;
    called.nelts = 2;

    result.name = str("f");
    result.value = str("snow\n");
    results.elts = &result;
    results.nelts = 1;

    turns[0].role = str("user");
    turns[0].text = str("Hi");
    turns[1].role = str("assistant");
    turns[1].calls = &called;
    turns[2].role = str("user");
    turns[2].results = &results;

    ask("", NULL);
    with_messages();
    prompt.turns.elts = turns;
    prompt.turns.nelts = 3;
    is_body("{" MODEL ",\"messages\":[" LOCATION "," USER("Hi") ","
            "{\"role\":\"assistant\",\"toolCallList\":{\"toolCalls\":["
            "{\"functionCall\":{\"name\":\"f\",\"arguments\":{\"a\": 1.0}}},"
            "{\"functionCall\":{\"name\":\"\\\"g\",\"arguments\":{}}}]}},"
            "{\"role\":\"user\",\"toolResultList\":{\"toolResults\":["
            "{\"functionResult\":{\"name\":\"f\","
            "\"content\":\"snow\\n\"}}]}}]}",
            "turns: a text, calls, and what they came to");

    tools[0].name = str("f");
    tools[0].description = str("of \"f\"");
    tools[0].parameters = str("{\"type\": \"object\"}");
    tools[0].strict = 1;
    tools[1].name = str("g");

    ask("Hi", NULL);
    prompt.tools.elts = tools;
    prompt.tools.nelts = 2;
    prompt.choice = NGX_COMPLETION_CHOICE_REQUIRED;
    prompt.parallel = NGX_COMPLETION_SWITCH_OFF;
    prompt.thinking = NGX_COMPLETION_SWITCH_ON;
    is_body("{" MODEL ",\"completionOptions\":{\"reasoningOptions\":"
            "{\"mode\":\"ENABLED_HIDDEN\"}},\"messages\":[" USER("Hi") "],"
            "\"tools\":[{\"function\":{\"name\":\"f\","
            "\"description\":\"of \\\"f\\\"\","
            "\"parameters\":{\"type\": \"object\"},\"strict\":true}},"
            "{\"function\":{\"name\":\"g\"}}],"
            "\"toolChoice\":{\"mode\":\"REQUIRED\"},"
            "\"parallelToolCalls\":false}", "turns: tools beside a text");

    ask("Hi", NULL);
    prompt.choice = NGX_COMPLETION_CHOICE_FUNCTION;
    prompt.function = str("f");
    prompt.parallel = NGX_COMPLETION_SWITCH_ON;
    prompt.thinking = NGX_COMPLETION_SWITCH_OFF;
    is_body("{" MODEL ",\"completionOptions\":{\"reasoningOptions\":"
            "{\"mode\":\"DISABLED\"}},\"messages\":[" USER("Hi") "],"
            "\"toolChoice\":{\"functionName\":\"f\"},"
            "\"parallelToolCalls\":true}", "turns: one function is chosen");

    prompt.reasoning = str("enabled_hidden");
    prompt.choice = NGX_COMPLETION_CHOICE_NONE;
    prompt.parallel = NGX_COMPLETION_SWITCH_UNSET;
    is_body("{" MODEL ",\"completionOptions\":{\"reasoningOptions\":"
            "{\"mode\":\"ENABLED_HIDDEN\"}},\"messages\":[" USER("Hi") "],"
            "\"toolChoice\":{\"mode\":\"NONE\"}}",
            "turns: the location's word outranks the client's");
}


#define WITH(m)  "{\"messages\":[{\"text\":\"a\"},{" m "}]}"
#define CALL(m)  WITH("\"toolCallList\":{\"toolCalls\":[{" m "}]}")
#define MORE(m)  "{\"messages\":[{}]," m "}"


static void
test_native_refused(void)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *reason;
        const char  *name;
    } t[] = {
        { "[]", "not a JSON object", "native: an array" },
        { "{", "not a JSON object", "native: broken" },
        { "{\"messages\":[{}}", "not valid JSON", "native: brackets" },
        { "{}", "\"messages\" are missing", "native: no messages" },
        { "{\"messages\":null}", "\"messages\" are missing",
          "native: messages null" },
        { "{\"messages\":[]}", "\"messages\" are missing",
          "native: messages empty" },
        { "{\"messages\":{}}", "\"messages\" must be an array of objects",
          "native: messages an object" },
        { "{\"messages\":\"x\"}", "\"messages\" must be an array of objects",
          "native: messages a string" },
        { "{\"messages\":[{},null]}",
          "\"messages\" must be an array of objects",
          "native: a message that is null" },
        { "{\"messages\":[\"x\"]}",
          "\"messages\" must be an array of objects",
          "native: a message that is a string" },
        { "{\"messages\":[[{}]]}",
          "\"messages\" must be an array of objects",
          "native: a message that is an array" },
        { "{\"messages\":[{}],\"messages\":[{}]}",
          "a member is given twice", "native: messages twice" },
        { "{\"messages\":[{}],\"modelUri\":\"a\",\"model\\u0055ri\":\"b\"}",
          "a member is given twice", "native: a model twice" },
        { "{\"messages\":[{}],\"completionOptions\":{\"temperature\":1,"
          "\"temperature\":2}}",
          "a member is given twice", "native: a temperature twice" },
        { "{\"messages\":[{}],\"tools\":null,\"tools\":[]}",
          "a member is given twice", "native: tools twice, once null" },
        { "{\"messages\":[{}],\"modelUri\":1}",
          "\"modelUri\" must be a string", "native: a model's type" },
        { "{\"messages\":[{}],\"completionOptions\":[]}",
          "\"completionOptions\" must be an object",
          "native: the options' type" },
        { "{\"messages\":[{}],\"completionOptions\":{\"temperature\":\"1\"}}",
          "\"temperature\" must be a number",
          "native: a temperature's type" },
        { "{\"messages\":[{}],\"completionOptions\":{\"maxTokens\":{}}}",
          "\"maxTokens\" must be a number or a string",
          "native: the tokens' type" },
        { "{\"messages\":[{}],\"completionOptions\":"
          "{\"reasoningOptions\":\"x\"}}",
          "\"reasoningOptions\" must be an object",
          "native: the reasoning options' type" },
        { "{\"messages\":[{}],\"completionOptions\":"
          "{\"reasoningOptions\":{\"mode\":1}}}",
          "\"mode\" must be a string", "native: the mode's type" },
        { WITH("\"role\":[]"), "\"role\" must be a string",
          "native: a role's type" },
        { WITH("\"text\":1"), "\"text\" must be a string",
          "native: a text's type" },
        { WITH("\"toolCallList\":[]"), "\"toolCallList\" must be an object",
          "native: the type of a list of calls" },
        { WITH("\"tool_call_list\":{\"toolCalls\":{}}"),
          "\"toolCalls\" must be an array of objects",
          "native: the type of calls" },
        { WITH("\"toolCallList\":{\"tool_calls\":[null]}"),
          "\"toolCalls\" must be an array of objects",
          "native: a call that is null" },
        { CALL("\"functionCall\":1"), "\"functionCall\" must be an object",
          "native: a call's type" },
        { CALL("\"functionCall\":{\"name\":1}"), "\"name\" must be a string",
          "native: the type of its name" },
        { CALL("\"functionCall\":{\"arguments\":\"{}\"}"),
          "\"arguments\" must be an object",
          "native: arguments in a string" },
        { WITH("\"toolResultList\":{\"toolResults\":[{\"functionResult\":"
               "{\"content\":{}}}]}"), "\"content\" must be a string",
          "native: the type of what a call came to" },
        { MORE("\"jsonObject\":\"true\""),
          "\"jsonObject\" must be true or false", "native: a flag's type" },
        { MORE("\"parallel_tool_calls\":0"),
          "\"parallelToolCalls\" must be true or false",
          "native: the type of another flag" },
        { MORE("\"jsonSchema\":\"{}\""), "\"jsonSchema\" must be an object",
          "native: a schema in a string" },
        { MORE("\"jsonSchema\":{\"schema\":[]}"),
          "\"schema\" must be an object", "native: a schema's type" },
        { MORE("\"tools\":{}"), "\"tools\" must be an array of objects",
          "native: the tools' type" },
        { MORE("\"tools\":[1]"), "\"tools\" must be an array of objects",
          "native: a tool's type" },
        { MORE("\"tools\":[{\"function\":\"f\"}]"),
          "\"function\" must be an object", "native: a function's type" },
        { MORE("\"tools\":[{\"function\":{\"parameters\":true}}]"),
          "\"parameters\" must be an object",
          "native: the type of parameters" },
        { MORE("\"tools\":[{\"function\":{\"strict\":1}}]"),
          "\"strict\" must be true or false", "native: a strict's type" },
        { MORE("\"toolChoice\":\"auto\""), "\"toolChoice\" must be an object",
          "native: the type of the choice" },
        { MORE("\"toolChoice\":{\"function_name\":{}}"),
          "\"functionName\" must be a string",
          "native: the type of what is chosen" },

        { MORE("\"folderId\":\"x\""), "unknown member \"folderId\"",
          "native: an unknown member" },
        { MORE("\"ModelUri\":\"x\""), "unknown member \"ModelUri\"",
          "native: another case of letters" },
        { MORE("\"modelURI\":\"x\""), "unknown member \"modelURI\"",
          "native: another one" },
        { MORE("\"tool_Choice\":{}"), "unknown member \"tool_Choice\"",
          "native: half of each spelling" },
        { MORE("\"text_\":null"), "unknown member \"text_\"",
          "native: an unknown member that is null" },
        { MORE("\"\":1"), "unknown member \"\"",
          "native: a member without a name" },
        { MORE("\"a\\n\\\"\":1"), "unknown member \"a\\n\\\"\"",
          "native: one with controls and quotes in it" },
        { MORE("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
               "aaaaaa\xd0\x96" "b\":1"),
          "unknown member \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaa\"",
          "native: a long one is cut, between characters" },
        { MORE("\"completionOptions\":{\"topP\":1}"),
          "unknown member \"topP\" in \"completionOptions\"",
          "native: an unknown option" },
        { MORE("\"completion_options\":{\"reasoning_options\":{\"b\":1}}"),
          "unknown member \"b\" in \"reasoningOptions\"",
          "native: an unknown option of reasoning" },
        { WITH("\"n\":1e2"), "unknown member \"n\" in \"messages\"",
          "native: an unknown member of a message" },
        { CALL("\"id\":\"x\""), "unknown member \"id\" in \"toolCalls\"",
          "native: one of a call" },
        { MORE("\"tools\":[{\"function\":{}},{\"type\":\"function\"}]"),
          "unknown member \"type\" in \"tools\"", "native: one of a tool" },
        { MORE("\"tools\":[{\"function\":{\"Parameters\":{}}}]"),
          "unknown member \"Parameters\" in \"function\"",
          "native: one of a function" },
        { MORE("\"jsonSchema\":{\"name\":\"x\"}"),
          "unknown member \"name\" in \"jsonSchema\"",
          "native: one beside a schema" },

        { MORE("\"model_uri\":\"a\",\"modelUri\":\"b\""),
          "a member is given twice", "native: a model in both spellings" },
        { MORE("\"completion_options\":{},\"completionOptions\":{}"),
          "a member is given twice", "native: options in both spellings" },
        { MORE("\"completionOptions\":{\"max_tokens\":1,\"maxTokens\":1}"),
          "a member is given twice", "native: an option in both spellings" },
        { WITH("\"toolCallList\":{},\"tool_call_list\":{}"),
          "a member is given twice", "native: calls in both spellings" },
        { WITH("\"text\":\"a\",\"text\":\"b\""),
          "a member is given twice", "native: a text twice" },
        { "{\"messages\":[{\"text\":\"a\\u0000\"}]}",
          "a message has a NUL character in it", "native: a NUL" },
        { CALL("\"functionCall\":{\"arguments\":{\"a\":\"\\u0000\"}}"),
          "a message has a NUL character in it",
          "native: a NUL in arguments" },
        { "{\"messages\":[{\"text\":\"\\ud83d\\u0041\"}]}",
          "a lone surrogate in a string", "native: a lone surrogate" },
        { "{\"messages\":[{\"text\":\"\xc0\x80\"}]}",
          "not valid UTF-8", "native: not UTF-8" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ask(NULL, t[i].text);
        is_declined(t[i].reason, t[i].name);
    }
}


static void
is_headers(const char *expected, const char *name)
{
    ngx_str_t  got = str(stub_headers);

    is_str(&got, expected, name);
}


static ngx_completion_fetch_t *
submit(ngx_str_t *body)
{
    return ngx_completion_provider_call(&provider, NGX_COMPLETION_KIND_SUBMIT,
                                        &secret, body, (u_char *)
                                        "0123456789abcdef0123456789abcdef",
                                        &shim_log);
}


static ngx_completion_fetch_t *
poll(ngx_str_t *id)
{
    return ngx_completion_provider_call(&provider, NGX_COMPLETION_KIND_POLL,
                                        &secret, id, NULL, &shim_log);
}


static ngx_completion_fetch_t *
cancel(ngx_str_t *id)
{
    return ngx_completion_provider_call(&provider, NGX_COMPLETION_KIND_CANCEL,
                                        &secret, id, NULL, &shim_log);
}


static void
test_transfers(void)
{
    ngx_str_t                body, id;
    ngx_completion_fetch_t  *f;

    body = str("{}");

    f = submit(&body);

    ok(f && f->post && f->hold && f->origin == &provider.submit,
       "submit: a POST that a quitting worker waits for");
    is_str(&f->body, "{}", "submit: the body");
    is_str(&f->suffix, "", "submit: the URL as it is");
    is_headers("Authorization: Api-Key AQVNsecret\n"
               "Content-Type: application/json\n"
               "x-folder-id: " FOLDER "\n"
               "x-data-logging-enabled: false\n"
               "x-client-request-id: 01234567-89ab-cdef-0123-456789abcdef\n",
               "submit: headers");
    ngx_completion_fetch_destroy(f);

    id = str("d7qAZ_-09");

    f = poll(&id);
    ok(f && !f->post && !f->hold && f->origin == &provider.operations,
       "poll: a GET that nobody waits for");
    is_str(&f->suffix, "/d7qAZ_-09", "poll: the id as a path segment");
    is_headers("Authorization: Api-Key AQVNsecret\n"
               "x-folder-id: " FOLDER "\n"
               "x-data-logging-enabled: false\n", "poll: headers");
    ngx_completion_fetch_destroy(f);

    f = cancel(&id);
    ok(f && !f->post && !f->hold && f->origin == &provider.operations,
       "cancel: a GET");
    is_str(&f->suffix, "/d7qAZ_-09:cancel", "cancel: the verb");
    ngx_completion_fetch_destroy(f);

    provider.operations.target = str("/operations/");
    f = poll(&id);
    is_str(&f->suffix, "d7qAZ_-09", "poll: one slash only");
    ngx_completion_fetch_destroy(f);
    provider.operations.target = str("/operations");

    provider.tenant = str("");
    conf.data_logging = 1;
    f = poll(&id);
    is_headers("Authorization: Api-Key AQVNsecret\n",
               "poll: no folder, data logging on");
    ngx_completion_fetch_destroy(f);
    provider.tenant = str(FOLDER);
    conf.data_logging = 0;

    id = str("../tokens");
    ok(poll(&id) == NULL,
       "poll: an id with dots and slashes");
    id = str("");
    ok(cancel(&id) == NULL,
       "cancel: an empty id");
    id = str("0123456789012345678901234567890123456789"
             "0123456789012345678901234");
    ok(poll(&id) == NULL,
       "poll: an id of 65 bytes");
    id.len = 64;
    f = poll(&id);
    ok(f && f->suffix.len == 65, "poll: an id of 64 bytes");
    ngx_completion_fetch_destroy(f);

    is_int(stub_transfers, 0, "transfers: none is left");
}


static void
test_memory(void)
{
    int                      bad;
    ngx_int_t                rc;
    ngx_str_t                body, reason, id;
    ngx_uint_t               n, at;
    ngx_pool_t              *main_pool = pool;
    ngx_completion_fetch_t  *f;

    for (n = 1, bad = 0; n < 100; n++) {
        ask(NULL, "{\"messages\":[{\"text\":\"\\u0416\"}],"
                  "\"modelUri\":\"m\",\"tools\":[{}]}");
        prompt.model = str("");
        pool = ngx_create_pool(1024, &shim_log);
        shim_allocations = 0;
        shim_fail_at = n;
        rc = ngx_completion_yandex_body(&provider, pool, &prompt, &body,
                                          &reason);
        at = shim_allocations;
        shim_fail_at = 0;
        ngx_destroy_pool(pool);

        if (at < n) {
            break;
        }

        bad += (rc != NGX_ERROR);
    }

    ok(n > 5 && n < 100 && !bad, "memory: a body without it");

    pool = main_pool;
    id = str("d7q");
    body = str("{}");

    for (n = 1, bad = 0; n < 100; n++) {
        shim_allocations = 0;
        shim_fail_at = (n + 2) / 3;

        switch (n % 3) {

        case 0:
            f = poll(&id);
            break;

        case 1:
            f = cancel(&id);
            break;

        default:
            f = submit(&body);
        }

        bad += ((f == NULL) != (shim_allocations >= shim_fail_at));
        shim_fail_at = 0;

        if (f) {
            ngx_completion_fetch_destroy(f);
        }
    }

    ok(!bad && stub_transfers == 0, "memory: transfers without it");
}


/* nothing of a mangled request is read beyond its end, and nothing leaks */

static void
test_mangled(void)
{
    int            bad;
    size_t         i, len;
    u_char        *copy;
    uint32_t       r;
    ngx_int_t      rc;
    ngx_str_t      body, reason, again;
    ngx_uint_t     n;
    ngx_pool_t    *main_pool = pool;
    const char    *fault;

    static const char  full[] =
        "{\"modelUri\":\"m\",\"completionOptions\":{\"temperature\":0.3,"
        "\"maxTokens\":\"5\",\"reasoningOptions\":{\"mode\":\"X\"}},"
        "\"messages\":[{\"role\":\"user\",\"text\":\"\\u0416\\ud83d\\ude00\"},"
        "{\"tool_call_list\":{\"toolCalls\":[{\"function_call\":{\"arguments\":"
        "{\"a\":[[1,2],{\"b\":null}]}}}]}}],\"tools\":[{}],\"stream\":[{}],"
        "\"json_object\":true}";

    len = sizeof(full) - 1;
    r = 1;
    bad = 0;

    for (n = 0; n < 20000; n++) {
        pool = ngx_create_pool(1024, &shim_log);

        copy = malloc(len);
        memcpy(copy, full, len);

        for (i = 0; i < 1 + n % 3; i++) {
            r = r * 1664525 + 1013904223;
            copy[(r >> 8) % len] = (n % 2) ? full[(r >> 16) % len]
                                           : (char) (r >> 24);
        }

        ask(NULL, "");
        prompt.native.data = copy;
        prompt.native.len = len;

        rc = ngx_completion_yandex_body(&provider, pool, &prompt, &body,
                                          &reason);

        if (rc == NGX_OK) {
            again = body;
            fault = "";
            bad += ngx_completion_json_read(pool, &again, NULL, NULL, NULL,
                                            &fault)
                   != NGX_OK;

        } else {
            bad += (rc != NGX_DECLINED || reason.len == 0);
        }

        free(copy);
        ngx_destroy_pool(pool);
    }

    pool = main_pool;

    is_int(bad, 0, "mangled requests are refused, or make valid JSON");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    provider.tenant = str(FOLDER);
    provider.dialect = &ngx_completion_yandex;
    provider.conf = &conf;
    provider.credential.kind = &ngx_completion_yandex_api_key;
    secret = str("AQVNsecret");
    provider.operations.target = str("/operations");

    test_text();
    test_model();
    test_native();
    test_turns();
    test_native_refused();
    test_transfers();
    test_memory();
    test_mangled();

    ngx_destroy_pool(pool);

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
