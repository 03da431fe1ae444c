
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/base/ngx_completion_json.h"

#include <stdlib.h>


typedef struct {
    char    text[4096];
    size_t  len;
} trace_t;


static ngx_pool_t  *pool;


static ngx_int_t
trace(void *data, ngx_completion_json_event_t *event)
{
    trace_t            *t = data;
    static const char   types[] = "ntNSoaKE";

    t->len += snprintf(t->text + t->len, sizeof(t->text) - t->len,
                       "%c%zu:%zu<%zu %.*s|", types[event->type],
                       (size_t) event->depth, (size_t) event->node,
                       (size_t) event->parent, (int) event->value.len,
                       event->value.data ? (char *) event->value.data : "");
    return NGX_OK;
}


static ngx_int_t
copy(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_json_event(data, event);

    return NGX_OK;
}


static const char *
refused(const char *text, size_t len)
{
    ngx_int_t     rc;
    ngx_str_t     s;
    const char   *reason;

    /* at the very end of an allocation, so that a read beyond it is seen */

    s.data = malloc(len ? len : 1);
    s.len = len;
    memcpy(s.data, text, len);

    reason = "no reason";
    rc = ngx_completion_json_read(pool, &s, NULL, NULL, NULL, &reason);

    free(s.data);

    return (rc == NGX_OK) ? NULL : (rc == NGX_DECLINED) ? reason : "error";
}


static void
is_refused(const char *text, const char *why, const char *name)
{
    const char  *reason = refused(text, strlen(text));

    if (!ok(reason && strcmp(reason, why) == 0, name)) {
        printf("# got '%s', expected '%s'\n", reason ? reason : "accepted",
               why);
    }
}


static void
is_accepted(const char *text, const char *name)
{
    const char  *reason = refused(text, strlen(text));

    if (!ok(reason == NULL, name)) {
        printf("# %s\n", reason);
    }
}


static void
test_utf8(void)
{
    size_t      i;
    ngx_int_t   rc;

    static const struct {
        const char  *text;
        ngx_int_t    rc;
        const char  *name;
    } t[] = {
        { "", NGX_OK, "utf8: empty" },
        { "ascii", NGX_OK, "utf8: ascii" },
        { "\x7f", NGX_OK, "utf8: 7F" },
        { "\xc2\x80", NGX_OK, "utf8: U+0080" },
        { "\xdf\xbf", NGX_OK, "utf8: U+07FF" },
        { "\xe0\xa0\x80", NGX_OK, "utf8: U+0800" },
        { "\xed\x9f\xbf", NGX_OK, "utf8: U+D7FF" },
        { "\xee\x80\x80", NGX_OK, "utf8: U+E000" },
        { "\xef\xbf\xbf", NGX_OK, "utf8: U+FFFF" },
        { "\xf0\x90\x80\x80", NGX_OK, "utf8: U+10000" },
        { "\xf4\x8f\xbf\xbf", NGX_OK, "utf8: U+10FFFF" },
        { "\x80", NGX_DECLINED, "utf8: a continuation alone" },
        { "a\xbf", NGX_DECLINED, "utf8: a continuation after ascii" },
        { "\xc0\x80", NGX_DECLINED, "utf8: overlong NUL" },
        { "\xc1\xbf", NGX_DECLINED, "utf8: overlong 7F" },
        { "\xe0\x9f\xbf", NGX_DECLINED, "utf8: overlong U+07FF" },
        { "\xf0\x8f\xbf\xbf", NGX_DECLINED, "utf8: overlong U+FFFF" },
        { "\xed\xa0\x80", NGX_DECLINED, "utf8: U+D800" },
        { "\xed\xbf\xbf", NGX_DECLINED, "utf8: U+DFFF" },
        { "\xf4\x90\x80\x80", NGX_DECLINED, "utf8: U+110000" },
        { "\xf5\x80\x80\x80", NGX_DECLINED, "utf8: F5" },
        { "\xff", NGX_DECLINED, "utf8: FF" },
        { "\xc3", NGX_DECLINED, "utf8: cut off, one of two" },
        { "\xe2\x82", NGX_DECLINED, "utf8: cut off, two of three" },
        { "\xf0\x9f\x98", NGX_DECLINED, "utf8: cut off, three of four" },
        { "\xc3(", NGX_DECLINED, "utf8: no continuation" },
        { "\xe2\x82(", NGX_DECLINED, "utf8: no second continuation" },
        { "\xf0\x9f\x98(", NGX_DECLINED, "utf8: no third continuation" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        u_char  *p = (u_char *) strdup(t[i].text);

        p = realloc(p, ngx_max(strlen(t[i].text), 1));
        rc = ngx_completion_utf8_check(p, strlen(t[i].text));
        free(p);

        is_int(rc, t[i].rc, t[i].name);
    }
}


static void
test_blank(void)
{
    size_t  i;

    static const struct {
        const char  *text;
        ngx_uint_t   blank;
    } t[] = {
        { "", 1 },
        { " \t\r\n\v\f", 1 },
        { "\xc2\x85\xc2\xa0", 1 },
        { "\xe1\x9a\x80\xe2\x80\x80\xe2\x80\x8a", 1 },
        { "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\x9f", 1 },
        { "\xe3\x80\x80\xef\xbb\xbf", 1 },
        { " a ", 0 },
        { "\x08", 0 },
        { "\xc2\xa1", 0 },
        { "\xe2\x80\x8b", 0 },          /* a zero-width one is none */
        { " \xe3\x80\x81", 0 },
        { " \xf0\x9f\x98\x80", 0 }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        is_int(ngx_completion_utf8_blank((u_char *) t[i].text,
                                         strlen(t[i].text)),
               t[i].blank, "blank, or not");
    }
}


static void
test_limits(void)
{
    char    *text;
    size_t   i, n;

    is_refused("", "not a JSON object", "empty");
    is_refused(" \n", "not a JSON object", "blank");
    is_refused("[]", "not a JSON object", "an array");
    is_refused("\"{}\"", "not a JSON object", "a string");
    is_refused("1", "not a JSON object", "a number");
    is_refused("\xef\xbb\xbf{}", "not a JSON object", "a byte-order mark");
    is_refused("{", "not a JSON object", "one brace");
    is_refused("{}x", "not a JSON object", "garbage behind");
    is_refused("{}{}", "not valid JSON", "two values");
    is_refused("{} [] {}", "not valid JSON", "values between braces");
    is_accepted(" \t\r\n{} \t\r\n", "white space around");

    is_refused("{\"a\":\"\xc0\x80\"}", "not valid UTF-8", "overlong inside");
    is_refused("{\"\xed\xa0\x80\":1}", "not valid UTF-8", "a raw surrogate");

    is_refused("{\"a\":\"\\ud83d\\u0041\"}", "a lone surrogate in a string",
               "a high surrogate and a letter");
    is_refused("{\"a\":\"\\ud83d\"}", "a lone surrogate in a string",
               "a high surrogate at the end");
    is_refused("{\"a\":\"\\ud83dx\"}", "a lone surrogate in a string",
               "a high surrogate and a character");
    is_refused("{\"a\":\"\\ude00\"}", "a lone surrogate in a string",
               "a low surrogate alone");
    is_refused("{\"a\":\"\\ud83d\\ud83d\"}", "a lone surrogate in a string",
               "two high surrogates");
    is_refused("{\"a\":\"\\ude00\\ude00\"}", "a lone surrogate in a string",
               "two low surrogates");
    is_refused("{\"\\uDE00\":1}", "a lone surrogate in a string",
               "a lone surrogate in a name");
    is_accepted("{\"a\":\"\\u0000\"}", "an escaped NUL");
    is_accepted("{\"a\":\"\\ud83d\\ude00\\uD83D\\uDE00\"}", "pairs");
    is_accepted("{\"a\":\"\\\\ud83d\"}", "an escaped backslash before a u");
    is_accepted("{\"a\":\"\\u0001\\ud7ff\\ue000\\uffff\"}",
                "neighbours of surrogates");

    is_refused("{\"a\":\"\\u00g0\"}", "not valid JSON", "a wrong escape");
    is_refused("{\"a\":\"\\x\"}", "not valid JSON", "an unknown escape");
    is_refused("{\"a\":\"\\u12}", "not valid JSON", "an escape cut off");
    is_refused("{\"a\":\"b}", "not valid JSON", "a string cut off");
    is_refused("{\"a\":\"\\}", "not valid JSON", "cut off after a backslash");
    is_refused("{\"a\":\"\n\"}", "not valid JSON", "a raw control character");
    is_refused("{\"a\":\"\\", "not a JSON object", "cut off in an escape");
    is_refused("{\"a\":\"\\}", "not valid JSON", "whose brace is escaped");
    is_refused("{\"a\":01}", "not valid JSON", "a leading zero");
    is_refused("{\"a\":+1}", "not valid JSON", "a plus sign");
    is_refused("{\"a\":NaN}", "not valid JSON", "NaN");
    is_refused("{\"a\":1,}", "not valid JSON", "a trailing comma");
    is_refused("{'a':1}", "not valid JSON", "single quotes");
    is_refused("{\"a\":1/*c*/}", "not valid JSON", "a comment");
    is_refused("{\"a\":{}", "not valid JSON", "an object cut off");
    is_refused("{\"a\":[}", "not valid JSON", "brackets that do not match");

    /* depth: the object itself and 63 arrays in it, and one more */

    for (n = 63; n <= 64; n++) {
        text = calloc(1, 256);
        strcpy(text, "{\"a\":");

        for (i = 0; i < n; i++) {
            text[5 + i] = '[';
            text[5 + n + i] = ']';
        }

        text[5 + 2 * n] = '}';

        if (n == 63) {
            is_accepted(text, "64 levels");

        } else {
            is_refused(text, "nested too deeply", "65 levels");
        }

        free(text);
    }

    n = 1000000;
    text = malloc(n + 8);
    memset(text, '[', n + 8);
    memcpy(text, "{\"a\":", 5);
    text[n + 7] = '}';
    ok(strcmp(refused(text, n + 8), "nested too deeply") == 0,
       "a million levels");

    memset(text + 5, '7', n);
    memcpy(text + 5 + n, "  }", 3);
    ok(refused(text, n + 8) == NULL, "a number of a million digits");

    memset(text, 'k', n + 8);
    memcpy(text, "{\"", 2);
    memcpy(text + n, "\":1}    ", 8);
    ok(refused(text, n + 8) == NULL, "a name of a million bytes");

    for (i = 2; i + 6 < n; i += 6) {
        memcpy(text + i, "\\u0436", 6);
    }

    ok(refused(text, n + 8) == NULL, "a name of escapes only");
    free(text);
}


static void
test_events(void)
{
    trace_t       t;
    ngx_int_t     rc;
    ngx_str_t     text;
    const char   *reason;

    static const ngx_completion_json_path_t  paths[] = {
        { NGX_COMPLETION_JSON_ROOT, 2, ngx_string("a") },
        { 2, 3, ngx_null_string },
        { 3, 4, ngx_string("b") },
        { NGX_COMPLETION_JSON_ROOT, 5, ngx_string("c") },
        { 0, 0, ngx_null_string }
    };

    static const ngx_completion_json_path_t  twice[] = {
        { NGX_COMPLETION_JSON_ROOT, 2, ngx_string("a") },
        { NGX_COMPLETION_JSON_ROOT, 2, ngx_string("A") },
        { 0, 0, ngx_null_string }
    };

    memset(&t, 0, sizeof(t));

    text = str("{\"a\":[{\"b\":1.50e+1},{\"b\":2}],\"x\":{\"b\":null},"
               "\"c\":true}");

    rc = ngx_completion_json_read(pool, &text, paths, trace, &t, &reason);

    is_int(rc, NGX_OK, "events: read");
    text = str(t.text);
    is_str(&text, "o0:1<0 |K1:2<1 a|a1:2<1 |o2:3<2 |K3:4<3 b|N3:4<3 1.50e+1|"
           "E2:3<2 |o2:3<2 |K3:4<3 b|N3:4<3 2|E2:3<2 |E1:2<1 |"
           "K1:0<1 x|o1:0<1 |K2:0<0 b|n2:0<0 null|E1:0<1 |"
           "K1:5<1 c|t1:5<1 true|E0:1<0 |", "events: types, depths, places");

    memset(&t, 0, sizeof(t));
    text = str("{\"c\":1,\"\\u0063\":2}");
    rc = ngx_completion_json_read(pool, &text, paths, trace, &t, &reason);
    ok(rc == NGX_DECLINED && strcmp(reason, "a member is given twice") == 0,
       "events: a place given twice, once by an escape");

    memset(&t, 0, sizeof(t));
    text = str("{\"a\":[[{\"b\":1}],0,{\"d\":[{\"b\":1}],\"b\":2}]}");
    rc = ngx_completion_json_read(pool, &text, paths, trace, &t, &reason);
    text = str(t.text);
    is_str(&text, "o0:1<0 |K1:2<1 a|a1:2<1 |a2:3<2 |o3:0<3 |K4:0<0 b|"
           "N4:0<0 1|E3:0<3 |E2:3<2 |N2:3<2 0|o2:3<2 |K3:0<3 d|a3:0<3 |"
           "o4:0<0 |K5:0<0 b|N5:0<0 1|E4:0<0 |E3:0<3 |K3:4<3 b|N3:4<3 2|"
           "E2:3<2 |E1:2<1 |E0:1<0 |", "events: elements of every type");

    memset(&t, 0, sizeof(t));
    text = str("{\"a\":[{\"b\":1},{\"b\":1,\"b\":2}]}");
    rc = ngx_completion_json_read(pool, &text, paths, trace, &t, &reason);
    ok(rc == NGX_DECLINED && strcmp(reason, "a member is given twice") == 0,
       "events: a place given twice in one element");

    memset(&t, 0, sizeof(t));
    text = str("{\"a\":1,\"A\":2}");
    rc = ngx_completion_json_read(pool, &text, twice, trace, &t, &reason);
    ok(rc == NGX_DECLINED && strcmp(reason, "a member is given twice") == 0,
       "events: a place given by both of its names");

    memset(&t, 0, sizeof(t));
    text = str("{\"x\":1,\"x\":2}");
    rc = ngx_completion_json_read(pool, &text, paths, trace, &t, &reason);
    is_int(rc, NGX_OK, "events: what is in no table may be given twice");
}


static void
test_members(void)
{
    char                          *many, *p;
    size_t                         i;
    ngx_int_t                      rc;
    ngx_str_t                      text;
    ngx_array_t                   *a;
    const char                    *reason;
    ngx_completion_json_member_t  *m;

    text = str("{\"text\":\"\\u0416\\n\\\"x\\\"\",\"n\":1e3,\"o\":{\"text\":1},"
               "\"a\":[{\"text\":\"in\"}],\"b\":false,\"z\":null,\"\":\"\","
               "\"t\\u0065xt\":\"again\"}");

    rc = ngx_completion_json_members(pool, &text, &a, &reason);
    is_int(rc, NGX_OK, "members: read");
    is_int(a->nelts, 8, "members: those of the top level only");

    m = a->elts;
    is_str(&m[0].name, "text", "members: a name");
    is_str(&m[0].value, "\xd0\x96\n\"x\"", "members: a string unescaped");
    is_int(m[0].type, NGX_COMPLETION_JSON_STRING, "members: a string");
    is_int(m[1].type, NGX_COMPLETION_JSON_NUMBER, "members: a number");
    is_int(m[2].type, NGX_COMPLETION_JSON_OBJECT, "members: an object");
    is_int(m[3].type, NGX_COMPLETION_JSON_ARRAY, "members: an array");
    is_int(m[4].type, NGX_COMPLETION_JSON_BOOLEAN, "members: a boolean");
    is_int(m[5].type, NGX_COMPLETION_JSON_NULL, "members: a null");
    ok(m[6].name.len == 0 && m[6].value.len == 0, "members: empty strings");
    is_str(&m[7].name, "text", "members: a name unescaped, and given twice");
    is_str(&m[7].value, "again", "members: the second of its name");

    text = str("[{\"text\":1}]");
    rc = ngx_completion_json_members(pool, &text, &a, &reason);
    ok(rc == NGX_DECLINED && strcmp(reason, "not a JSON object") == 0,
       "members: of an array");

    many = malloc(16 * 1030);

    for (i = 0, p = many; i < 1025; i++) {
        p += sprintf(p, "%c\"m%zu\":1", i ? ',' : '{', i);

        if (i == 1023) {
            strcpy(p, "}");
            text = str(many);
            rc = ngx_completion_json_members(pool, &text, &a, &reason);
            ok(rc == NGX_OK && a->nelts == 1024, "members: 1024");
        }
    }

    strcpy(p, "}");
    text = str(many);
    rc = ngx_completion_json_members(pool, &text, &a, &reason);
    ok(rc == NGX_DECLINED && strcmp(reason, "too many members") == 0,
       "members: 1025");
    free(many);
}


static void
test_writer(void)
{
    size_t                         i;
    ngx_int_t                      rc;
    ngx_str_t                      s, out;
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "s");
    s = str("\xd0\x96 \"\\\n\x01/");
    ngx_completion_json_string(w, &s);
    ngx_completion_json_key(w, "i");
    ngx_completion_json_integer(w, INT64_MIN);
    ngx_completion_json_key(w, "a");
    ngx_completion_json_array(w);
    ngx_completion_json_boolean(w, 1);
    ngx_completion_json_boolean(w, 0);
    s = str("null");
    ngx_completion_json_raw(w, &s);
    s = str("{\"raw\": 1.0}");
    ngx_completion_json_raw(w, &s);
    ngx_completion_json_end(w);
    ngx_completion_json_key(w, "e");
    ngx_str_null(&s);
    ngx_completion_json_string(w, &s);
    ngx_completion_json_end(w);

    rc = ngx_completion_json_writer_finish(w, &out);
    is_int(rc, NGX_OK, "writer: finished");
    is_str(&out, "{\"s\":\"\xd0\x96 \\\"\\\\\\n\\u0001/\","
           "\"i\":-9223372036854775808,"
           "\"a\":[true,false,null,{\"raw\": 1.0}],\"e\":\"\"}",
           "writer: every kind of value");

    w = ngx_completion_json_writer_sized(pool, 0);
    ngx_completion_json_array(w);

    for (i = 0; i < 10000; i++) {
        ngx_completion_json_cstring(w, "0123456789");
    }

    ngx_completion_json_end(w);
    rc = ngx_completion_json_writer_finish(w, &out);
    ok(rc == NGX_OK && out.len == 10000 * 13 + 1, "writer: grows");

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_array(w);
    ngx_completion_json_raw(w, &s);
    ngx_completion_json_end(w);
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: nothing is no value");

    s.len = 5000;
    s.data = ngx_pcalloc(pool, s.len);
    memset(s.data, 'x', s.len);
    w = ngx_completion_json_writer_sized(pool, 100);
    ngx_completion_json_array(w);
    ngx_completion_json_string(w, &s);
    ngx_completion_json_end(w);
    rc = ngx_completion_json_writer_finish(w, &out);
    ok(rc == NGX_OK && out.len == 5000 + 4, "writer: grows by more than twice");

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_array(w);
    s = str("\xed\xa0\x80");
    ngx_completion_json_string(w, &s);
    ngx_completion_json_cstring(w, "after");
    ngx_completion_json_end(w);
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: a string that is not UTF-8");

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_end(w);
    ngx_completion_json_end(w);
    ngx_completion_json_boolean(w, 0);
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: an end without a beginning");

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_object(w);
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: a beginning without an end");

    w = ngx_completion_json_writer_create(pool);
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: nothing");

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_object(w);
    ngx_completion_json_boolean(w, 0);
    ngx_completion_json_end(w);
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: a name that is no string");

    w = ngx_completion_json_writer_create(pool);

    for (i = 0; i < 200; i++) {
        ngx_completion_json_array(w);
    }

    is_int(ngx_completion_json_writer_finish(w, &out), NGX_ERROR,
           "writer: too deep");

    ngx_completion_json_object(NULL);
    ngx_completion_json_key(NULL, "k");
    ngx_completion_json_end(NULL);
    is_int(ngx_completion_json_writer_finish(NULL, &out), NGX_ERROR,
           "writer: none");
}


static void
test_copy(void)
{
    ngx_int_t                      rc;
    ngx_str_t                      text, out;
    const char                    *reason;
    ngx_completion_json_writer_t  *w;

    text = str(" { \"a\" : [ 1.0 , 1e400 , -0 , 12345678901234567890 ] ,"
               " \"\\u0436\" : \"\\ud83d\\ude00\\/\" , \"n\" : null } ");

    w = ngx_completion_json_writer_create(pool);
    rc = ngx_completion_json_read(pool, &text, NULL, copy, w, &reason);
    is_int(rc, NGX_OK, "copy: read");
    is_int(ngx_completion_json_writer_finish(w, &out), NGX_OK,
           "copy: finished");
    is_str(&out, "{\"a\":[1.0,1e400,-0,12345678901234567890],"
           "\"\xd0\xb6\":\"\xf0\x9f\x98\x80/\",\"n\":null}",
           "copy: numbers as spelled, strings unescaped, no white space");
}


static void
test_memory(void)
{
    ngx_int_t                      rc;
    ngx_str_t                      text, out;
    ngx_pool_t                    *main_pool = pool;
    ngx_array_t                   *a;
    const char                    *reason;
    shim_hunger_t                  hunger = { 0 };
    ngx_completion_json_writer_t  *w;

    text = str("{\"text\":\"\\u0416\",\"k\\u0416\":[[[\"\\n\"]]],\"1\":1,"
               "\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7}");

    while (shim_starves(&hunger)) {
        rc = ngx_completion_json_members(hunger.pool, &text, &a, &reason);
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries > 3 && !hunger.bad, "memory: members without it");

    while (shim_starves(&hunger)) {
        pool = hunger.pool;
        w = ngx_completion_json_writer_sized(pool, 0);
        rc = ngx_completion_json_read(pool, &text, NULL, copy, w, &reason);

        if (rc == NGX_OK) {
            rc = ngx_completion_json_writer_finish(w, &out);
        }

        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries > 3 && !hunger.bad, "memory: a copy without it");

    /* three: the writer, the 64 bytes, and what takes their place */

    while (shim_starves(&hunger)) {
        w = ngx_completion_json_writer_sized(hunger.pool, 0);
        ngx_completion_json_cstring(w, "sixty-four bytes are what a writer "
                                    "begins with, however few it is told, "
                                    "and these are more than that");
        rc = ngx_completion_json_writer_finish(w, &out);
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries == 4 && !hunger.bad, "memory: a longer text without it");

    pool = main_pool;
}


static void
test_reserve(void)
{
    char         *text;
    size_t        i, n;
    ngx_str_t     s;
    ngx_uint_t    most;
    const char   *reason;

    /* one block for yajl, whatever the text: it checks none of its own */

    most = 0;
    text = malloc(300000);

    for (n = 1; n < 280000; n = n * 3 + 1) {
        s.data = (u_char *) text;
        s.len = sprintf(text, "{\"\\n");
        memset(text + s.len, 'k', n);
        s.len += n;
        s.len += sprintf(text + s.len, "\":[[[[");

        for (i = 0; i < 50; i++) {
            s.len += sprintf(text + s.len, "{\"\\t\":[");
            if (i == 25) {
                break;
            }
        }

        while (i--) {
            s.len += sprintf(text + s.len, "]}");
        }

        s.len += sprintf(text + s.len, "]}]]]]}");

        shim_allocations = 0;
        if (ngx_completion_json_read(pool, &s, NULL, NULL, NULL, &reason)
            != NGX_OK)
        {
            most = 99;
            break;
        }

        most = ngx_max(most, shim_allocations);
    }

    free(text);

    is_int(most, 1, "memory: one block is enough for yajl");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    test_utf8();
    test_blank();
    test_limits();
    test_events();
    test_members();
    test_writer();
    test_copy();
    test_memory();
    test_reserve();

    ngx_destroy_pool(pool);

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
