
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/http/ngx_http_completion_parse.h"

#include <stdlib.h>


#define TEXT  NGX_HTTP_COMPLETION_BODY_TEXT
#define JSON  NGX_HTTP_COMPLETION_BODY_JSON
#define FORM  NGX_HTTP_COMPLETION_BODY_FORM


static ngx_pool_t               *pool;
static ngx_array_t              *inputs;
static ngx_completion_prompt_t   prompt;
static const char               *detail;


static ngx_int_t
parse(ngx_http_completion_body_e type, ngx_str_t *body)
{
    static ngx_str_t  native = ngx_string("messages");

    memset(&prompt, 0, sizeof(prompt));
    detail = NULL;

    return ngx_http_completion_parse_body(pool, type, &native, body, &inputs,
                                          &prompt, &detail);
}


static void
is_prompt(ngx_http_completion_body_e type, const char *text,
    const char *expected, const char *name)
{
    ngx_str_t  body = str(text);

    if (parse(type, &body) != NGX_OK) {
        ok(0, name);
        printf("# %s\n", detail ? detail : "no detail");
        return;
    }

    is_str(prompt.native.len ? &prompt.native : &prompt.text, expected, name);
}


static void
is_refused(ngx_http_completion_body_e type, const char *text,
    const char *expected, const char *name)
{
    ngx_str_t  body = str(text), got;

    if (parse(type, &body) != NGX_DECLINED) {
        ok(0, name);
        return;
    }

    got = str(detail);
    is_str(&got, expected, name);
}


static void
test_text(void)
{
    ngx_str_t  nul = { 3, (u_char *) "a\0b" };

    is_prompt(TEXT, "Hi\n\xd0\x96", "Hi\n\xd0\x96", "a text as it is");
    ok(inputs == NULL, "which has no members");
    is_prompt(TEXT, "\xef\xbb\xbfHi", "Hi", "without a byte-order mark");
    is_prompt(TEXT, "\xef\xbb\xbf\xef\xbb\xbf", "\xef\xbb\xbf",
              "the second one is text");
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
    member = inputs->elts;
    is_int(inputs->nelts, 2, "with its members");
    is_str(&member[0].name, "to", "the first one's name");
    is_str(&member[0].value, "ru", "and value");

    is_prompt(JSON, "\xef\xbb\xbf{\"messages\":[{}]}", "{\"messages\":[{}]}",
              "a native request, without the mark");

    is_refused(JSON, "{\"text\":1}", "\"text\" must be a string", "a number");
    is_refused(JSON, "{\"text\":\"\"}", "the text is empty", "an empty text");
    is_refused(JSON, "{\"text\":\"\\u0000\"}", "the text is not valid UTF-8",
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
    member = inputs->elts;
    is_int(inputs->nelts, 2, "its fields");
    is_str(&member[0].value, "ru", "the other one");

    is_prompt(FORM, "text=%zz%4%", "%zz%4%", "what is no escape");
    is_prompt(FORM, "a=1&b=2&c=3&d=4&e=5&f&text=x", "x", "many fields");
    is_int(inputs->nelts, 7, "all of them");

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
    is_refused(FORM, "text=%00", "the text is not valid UTF-8", "a NUL");
}


static void
test_memory(void)
{
    size_t       i;
    ngx_int_t    rc;
    ngx_str_t    body;
    ngx_uint_t   n, bad = 0;
    ngx_pool_t  *main_pool = pool;

    static const struct {
        ngx_http_completion_body_e   type;
        const char                  *body;
    } t[] = {
        { FORM, "text=a&b=1&c=2&d=3&e=4&f=5" },
        { JSON, "{\"text\":\"\\u0416\",\"to\":\"ru\"}" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        for (n = 1; n < 100; n++) {
            pool = ngx_create_pool(1024, &shim_log);
            body = str(t[i].body);
            shim_allocations = 0;
            shim_fail_at = n;
            rc = parse(t[i].type, &body);
            shim_fail_at = 0;
            ngx_destroy_pool(pool);

            if (shim_allocations < n) {
                break;
            }

            bad += (rc != NGX_ERROR);
        }

        ok(n > 1 && n < 100 && !bad, "without memory");
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
    test_memory();

    ngx_destroy_pool(pool);
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
