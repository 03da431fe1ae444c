
/*
 * A body of a client to the body that goes upstream.  Two bytes of options,
 * then the body.  What is written is JSON to a second reader, sets what it
 * may and no more, and holds the client's words once, unchanged.
 */


#include "fuzz.h"

#include <ctype.h>

#include "../../src/dialect/yandex/ngx_completion_yandex.h"
#include "../../src/face/ngx_completion_face.h"


#define MODEL  "gpt://b1gexample/yandexgpt-lite"


static ngx_completion_provider_t  provider = {
    .dialect = &ngx_completion_yandex,
    .tenant = ngx_string("b1gexample")
};

static ngx_completion_message_t   messages[] = {
    { .role = ngx_string("system"), .text = ngx_string("Be \"brief\"\n") },
    { .role = ngx_string("assistant"), .text = ngx_string("\xd0\x94\xd0\xb0") }
};


static void
set(ngx_completion_prompt_t *prompt, u_char options, u_char more)
{
    if (options & 0x04) {
        ngx_str_set(&prompt->model, "yandexgpt-lite");
    }

    if (options & 0x08) {
        prompt->messages.elts = messages;
        prompt->messages.nelts = 2;
    }

    if (options & 0x10) {
        ngx_str_set(&prompt->temperature, "0.30");
    }

    if (options & 0x20) {
        ngx_str_set(&prompt->max_tokens, "2000");
    }

    if (options & 0x40) {
        ngx_str_set(&prompt->reasoning, "disabled");
    }

    if (options & 0x80) {
        prompt->format = NGX_COMPLETION_FORMAT_JSON;
    }

    if (more & 0x01) {
        prompt->format = NGX_COMPLETION_FORMAT_SCHEMA;
        ngx_str_set(&prompt->schema, "{\"type\": [\"object\"]}");
    }
}


/* sent as it was spelled, or in the first of upstream's two spellings */

static ngx_uint_t
named(const char *sent, const char *given)
{
    const char  *p, *q;

    if (strcmp(sent, given) == 0) {
        return 1;
    }

    for (p = sent, q = given; *p && *q; p++, q++) {
        if (*q == '_' ? *p != toupper(*++q) : *p != *q) {
            return 0;
        }
    }

    return *p == *q;
}


static ngx_uint_t
same(yajl_val a, yajl_val b)
{
    size_t  i;

    if (a->type != b->type) {
        return 0;
    }

    switch (a->type) {

    case yajl_t_string:
        return strcmp(a->u.string, b->u.string) == 0;

    case yajl_t_number:
        return strcmp(a->u.number.r, b->u.number.r) == 0;

    case yajl_t_object:

        if (a->u.object.len != b->u.object.len) {
            return 0;
        }

        for (i = 0; i < a->u.object.len; i++) {
            if (!named(a->u.object.keys[i], b->u.object.keys[i])
                || !same(a->u.object.values[i], b->u.object.values[i]))
            {
                return 0;
            }
        }

        return 1;

    case yajl_t_array:

        if (a->u.array.len != b->u.array.len) {
            return 0;
        }

        for (i = 0; i < a->u.array.len; i++) {
            if (!same(a->u.array.values[i], b->u.array.values[i])) {
                return 0;
            }
        }

        return 1;

    default:
        return 1;
    }
}


/* only these names, each once at most */

static void
only(yajl_val object, const char **names)
{
    size_t  i, n;

    for (i = 0; i < object->u.object.len; i++) {
        for (n = 0; names[n]; n++) {
            if (strcmp(object->u.object.keys[i], names[n]) == 0) {
                break;
            }
        }

        HOLDS(names[n]);
        (void) fuzz_member(object, names[n]);
    }
}


static void
check_options(yajl_val body, ngx_completion_prompt_t *prompt)
{
    yajl_val  options, value, mode;

    static const char  *names[] = {
        "temperature", "maxTokens", "reasoningOptions", NULL
    };

    options = fuzz_member(body, "completionOptions");

    if (options == NULL) {
        HOLDS(prompt->temperature.len + prompt->max_tokens.len
              + prompt->reasoning.len == 0);
        return;
    }

    only(options, names);

    value = fuzz_member(options, "temperature");
    HOLDS(value == NULL || YAJL_IS_NUMBER(value));
    HOLDS(prompt->temperature.len == 0
          || (value && strcmp(YAJL_GET_NUMBER(value), "0.30") == 0));

    value = fuzz_member(options, "maxTokens");
    HOLDS(value == NULL || YAJL_IS_NUMBER(value) || YAJL_IS_STRING(value));
    HOLDS(prompt->max_tokens.len == 0 || fuzz_is(value, "2000", 4));

    value = fuzz_member(options, "reasoningOptions");
    mode = value ? fuzz_member(value, "mode") : NULL;
    HOLDS(value == NULL || value->u.object.len == 1);
    HOLDS(prompt->reasoning.len == 0 || fuzz_is(mode, "DISABLED", 8));
}


static void
check_messages(yajl_val body, ngx_completion_prompt_t *prompt)
{
    size_t      i, n;
    yajl_val    list, native, theirs;
    ngx_uint_t  ours;

    static const char  *names[] = {
        "role", "text", "toolCallList", "toolResultList", NULL
    };

    list = fuzz_member(body, "messages");
    HOLDS(list && YAJL_IS_ARRAY(list));

    ours = prompt->messages.nelts;
    n = list->u.array.len;

    for (i = 0; i < ours; i++) {
        HOLDS(i < n);
        HOLDS(fuzz_is(fuzz_member(list->u.array.values[i], "text"),
                      (char *) messages[i].text.data, messages[i].text.len));
    }

    if (prompt->native.len == 0) {
        HOLDS(n == ours + 1);
        HOLDS(list->u.array.values[ours]->u.object.len == 2);
        HOLDS(fuzz_is(fuzz_member(list->u.array.values[ours], "role"), "user",
                      4));
        HOLDS(fuzz_is(fuzz_member(list->u.array.values[ours], "text"),
                      (char *) prompt->text.data, prompt->text.len));
        return;
    }

    native = fuzz_json(&prompt->native);
    HOLDS(native);

    theirs = fuzz_member(native, "messages");
    HOLDS(theirs && YAJL_IS_ARRAY(theirs));
    HOLDS(n == ours + theirs->u.array.len && n > ours);

    for (i = ours; i < n; i++) {
        HOLDS(YAJL_IS_OBJECT(list->u.array.values[i]));
        only(list->u.array.values[i], names);
        HOLDS(same(list->u.array.values[i],
                   theirs->u.array.values[i - ours]));
    }

    yajl_tree_free(native);
}


static void
check_body(ngx_pool_t *pool, ngx_str_t *text, ngx_completion_prompt_t *prompt)
{
    yajl_val  body, model, value;

    static const char  *names[] = {
        "modelUri", "completionOptions", "messages", "jsonObject",
        "jsonSchema", "tools", "toolChoice", "parallelToolCalls", NULL
    };

    HOLDS(ngx_completion_utf8_check(text->data, text->len) == NGX_OK);

    body = fuzz_json(text);
    HOLDS(body);
    only(body, names);

    model = fuzz_member(body, "modelUri");
    HOLDS(model && YAJL_IS_STRING(model) && strstr(model->u.string, "://"));
    HOLDS(prompt->model.len == 0
          || fuzz_is(model, MODEL, sizeof(MODEL) - 1));

    if (prompt->format != NGX_COMPLETION_FORMAT_UNSET) {
        value = fuzz_member(body, "jsonObject");
        HOLDS((value != NULL) == (prompt->format
                                  == NGX_COMPLETION_FORMAT_JSON));

        value = fuzz_member(body, "jsonSchema");
        HOLDS((value != NULL) == (prompt->format
                                  == NGX_COMPLETION_FORMAT_SCHEMA));
    }

    check_options(body, prompt);
    check_messages(body, prompt);

    yajl_tree_free(body);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                        options, more;
    ngx_int_t                     rc;
    ngx_str_t                     text, reason;
    ngx_pool_t                   *pool;
    ngx_completion_prompt_t       prompt;
    ngx_completion_face_input_t   input;

    options = fuzz_byte(&data, &size);
    more = fuzz_byte(&data, &size);

    memset(&prompt, 0, sizeof(ngx_completion_prompt_t));
    memset(&input, 0, sizeof(ngx_completion_face_input_t));
    pool = ngx_create_pool(1024, &shim_log);

    input.type = (options & 0x03) % 3;
    input.native = ngx_completion_yandex.native;
    input.body = fuzz_copy(pool, data, size);

    rc = ngx_completion_native.read(pool, &input, &prompt);

    if (rc == NGX_DECLINED) {
        HOLDS(input.detail.len);
        goto done;
    }

    HOLDS(rc == NGX_OK && (prompt.text.len == 0) == (prompt.native.len != 0));

    set(&prompt, options, more);

    rc = ngx_completion_yandex_body(&provider, pool, &prompt, &text, &reason);

    if (rc == NGX_DECLINED) {
        HOLDS(reason.len);
        HOLDS(prompt.native.len || prompt.model.len == 0);
        goto done;
    }

    HOLDS(rc == NGX_OK);
    check_body(pool, &text, &prompt);

done:

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
