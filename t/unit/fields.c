
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/http/ngx_http_completion_parse.h"


#define NONE  (-1)


static void
test_accept(void)
{
    size_t                        i;
    ngx_int_t                     rc;
    ngx_str_t                     field;
    ngx_completion_face_format_e  format;

    static const struct {
        const char  *field;
        int          format;
    } t[] = {
        { "", NGX_COMPLETION_FACE_JSON },
        { " \t", NGX_COMPLETION_FACE_JSON },
        { "*/*", NGX_COMPLETION_FACE_JSON },
        { "application/json", NGX_COMPLETION_FACE_JSON },
        { "text/plain", NGX_COMPLETION_FACE_TEXT },
        { "TEXT/Plain", NGX_COMPLETION_FACE_TEXT },
        { "text/event-stream", NGX_COMPLETION_FACE_STREAM },
        { "text/*", NGX_COMPLETION_FACE_TEXT },
        { "application/*", NGX_COMPLETION_FACE_JSON },
        { "text/html", NONE },
        { "text/plain2", NONE },
        { "te/*", NONE },
        { "/*", NONE },
        { "text", NONE },
        { "*/*;q=0", NONE },
        { "text/html, */*;q=0.1", NGX_COMPLETION_FACE_JSON },
        { "text/plain;q=0.5, text/event-stream", NGX_COMPLETION_FACE_STREAM },
        { "text/plain;q=0.5, application/json;q=0.4",
          NGX_COMPLETION_FACE_TEXT },
        { "text/plain, application/json", NGX_COMPLETION_FACE_JSON },
        { "*/*, application/json;q=0", NGX_COMPLETION_FACE_TEXT },
        { "application/json;q=0, */*", NGX_COMPLETION_FACE_TEXT },
        { "text/*;q=0, */*;q=0.3, application/json;q=0", NONE },
        { "text/plain ; Q=1.000", NGX_COMPLETION_FACE_TEXT },
        { "text/plain;x=\"a,b;q=0\"", NGX_COMPLETION_FACE_TEXT },
        { "text/plain;x=\"\\\",text/html\";q=0", NONE },
        { "text/plain;q=7, application/json;q=0.9", NGX_COMPLETION_FACE_TEXT },
        { "text/plain;q=, application/json;q=0.9", NGX_COMPLETION_FACE_TEXT },
        { "text/plain;q=0.1, text/plain;q=0.8, application/json;q=0.5",
          NGX_COMPLETION_FACE_TEXT },
        { ",,text/plain,", NGX_COMPLETION_FACE_TEXT },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        field = str(t[i].field);
        rc = ngx_http_completion_parse_accept(&field, &format);

        is_int(rc == NGX_OK ? (int) format : NONE, t[i].format, t[i].field);
    }
}


static void
test_prefer(void)
{
    size_t                        i;
    ngx_str_t                     field;
    ngx_http_completion_prefer_t  prefer;

    static const struct {
        const char  *field;
        long long    seconds;      /* -1: no "wait" */
        int          async;
    } t[] = {
        { "", -1, 0 },
        { "wait=10", 10, 0 },
        { "WAIT = 10", 10, 0 },
        { "wait=\"7\"", 7, 0 },
        { "wait=0", 0, 0 },
        { "wait=007", 7, 0 },
        { "respond-async", -1, 1 },
        { "Respond-Async, wait=5", 5, 1 },
        { "wait=5,respond-async;x=y", 5, 1 },
        { "wait=3;x=y", 3, 0 },
        { "wait=1, wait=2", 1, 0 },
        { "wait=x, wait=2", 2, 0 },
        { "wait=, wait=2", 2, 0 },
        { "wait=\"\", wait=2", 2, 0 },
        { "wait=-1", -1, 0 },
        { "wait=1.5", -1, 0 },
        { "wait", -1, 0 },
        { "waiting=1", -1, 0 },
        { "handling=lenient;wait=9", -1, 0 },
        { "foo=\"a,wait=9\", wait=2", 2, 0 },
        { "wait=2147483648", 2147483648, 0 },
        { "wait=99999999999999999999", NGX_MAX_INT32_VALUE, 0 },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        field = str(t[i].field);
        ngx_http_completion_parse_prefer(&field, &prefer);

        ok((prefer.wait ? (long long) prefer.seconds : -1) == t[i].seconds
           && prefer.respond_async == (unsigned) t[i].async, t[i].field);
    }
}


static void
test_key(void)
{
    char       longest[258];
    ngx_str_t  key;

    key = str("8e03978e-40d5-43e8-bc93-6894a57f9324");
    is_int(ngx_http_completion_parse_key(&key), NGX_OK, "a key");
    key = str("\"8e03978e\"");
    is_int(ngx_http_completion_parse_key(&key), NGX_OK, "a quoted one");
    is_str(&key, "8e03978e", "is the same without its quotes");

    memset(longest, 'k', sizeof(longest));
    longest[0] = '"';
    longest[256] = '"';
    longest[257] = '\0';
    key = str(longest);
    ok(ngx_http_completion_parse_key(&key) == NGX_OK && key.len == 255,
       "255 characters");
    longest[0] = 'k';
    key.data = (u_char *) longest;
    key.len = 256;
    is_int(ngx_http_completion_parse_key(&key), NGX_DECLINED, "256");

    key = str("");
    is_int(ngx_http_completion_parse_key(&key), NGX_DECLINED, "none");
    key = str("\"\"");
    is_int(ngx_http_completion_parse_key(&key), NGX_DECLINED, "quotes only");
    key = str("\"");
    is_int(ngx_http_completion_parse_key(&key), NGX_OK, "one quote");
    key = str("a b");
    is_int(ngx_http_completion_parse_key(&key), NGX_DECLINED, "a space");
    key = str("a\x7f");
    is_int(ngx_http_completion_parse_key(&key), NGX_DECLINED, "a control");
    key = str("\xd0\x96");
    is_int(ngx_http_completion_parse_key(&key), NGX_DECLINED, "not ASCII");
}


static void
test_type(void)
{
    size_t                      i;
    ngx_str_t                   field, charset;
    ngx_completion_face_body_e  type;

    static const struct {
        const char                  *field;
        ngx_completion_face_body_e   type;
        const char                  *charset;
    } t[] = {
        { "", NGX_COMPLETION_FACE_BODY_TEXT, "" },
        { "text/plain", NGX_COMPLETION_FACE_BODY_TEXT, "" },
        { "Text/Markdown; charset=UTF-8", NGX_COMPLETION_FACE_BODY_TEXT,
          "UTF-8" },
        { "text/", NGX_COMPLETION_FACE_BODY_OTHER, "" },
        { "application/json", NGX_COMPLETION_FACE_BODY_JSON, "" },
        { "Application/JSON \t; charset=\"utf-8\"",
          NGX_COMPLETION_FACE_BODY_JSON, "utf-8" },
        { "application/jsonx", NGX_COMPLETION_FACE_BODY_OTHER, "" },
        { "application/x-www-form-urlencoded; charset=koi8-r; x=y",
          NGX_COMPLETION_FACE_BODY_FORM, "koi8-r" },
        { "multipart/form-data; boundary=x",
          NGX_COMPLETION_FACE_BODY_MULTIPART, "" },
        { "multipart/mixed; boundary=x", NGX_COMPLETION_FACE_BODY_OTHER, "" },
        { "text/plain; charset=", NGX_COMPLETION_FACE_BODY_TEXT, "?" },
        { "text/plain; CHARSET=\"", NGX_COMPLETION_FACE_BODY_TEXT, "?" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        field = str(t[i].field);
        type = ngx_http_completion_parse_type(&field, &charset);

        is_int(type, t[i].type, t[i].field);
        is_str(&charset, t[i].charset, "... its charset");
    }
}


static void
test_boundary(void)
{
    size_t     i;
    ngx_str_t  field, boundary;

    static const char  *t[][2] = {
        { "multipart/form-data; boundary=a-b", "a-b" },
        { "multipart/form-data; charset=utf-8; Boundary=\"a b;c\"; x", "a b;c" },
        { "multipart/form-data;boundary=a;x=y", "a" },
        { "multipart/form-data; boundary=", "" },
        { "multipart/form-data", "" }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        field = str(t[i][0]);
        ngx_http_completion_parse_boundary(&field, &boundary);
        is_str(&boundary, t[i][1], t[i][0]);
    }
}


int
main(void)
{
    test_accept();
    test_prefer();
    test_key();
    test_type();
    test_boundary();

    return tap_done();
}
