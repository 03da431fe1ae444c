
/* LibreTranslate's and DeepL's words as texts, and what they came to. */


#include "tap.h"
#include "ngx_shim.h"

#include "../../src/face/ngx_completion_face.h"


/* as the routes say */
#define TRANSLATE  1
#define DETECT     2


static ngx_pool_t                     *pool;
static ngx_completion_prompt_t         prompt;
static ngx_completion_face_view_t      view;
static ngx_completion_face_part_t      parts[8];
static ngx_completion_result_t         results[8];
static ngx_completion_face_input_t     input;
static ngx_completion_face_answer_t    answer;

static ngx_completion_face_language_t  languages[] = {
    { ngx_string("en-US"), ngx_string("English") },
    { ngx_string("ru"), ngx_string("Russian") },
    { ngx_string("de"), ngx_string("de") }
};


static ngx_int_t
reads(const ngx_completion_face_t *face, ngx_uint_t shape,
    ngx_completion_face_body_e type, const char *text)
{
    memset(&prompt, 0, sizeof(prompt));
    memset(&view, 0, sizeof(view));

    input.shape = shape;
    input.type = type;
    input.body = str(text);
    input.languages = languages;
    input.languages_n = 3;
    ngx_str_null(&input.detail);

    view.input = &input;
    view.state = NGX_COMPLETION_COMPLETED;
    view.parts = parts;

    return face->read(pool, &input, &prompt);
}


#define libre(text)                                                           \
    reads(&ngx_completion_libretranslate, TRANSLATE,                          \
          NGX_COMPLETION_FACE_BODY_JSON, text)
#define deepl(text)                                                           \
    reads(&ngx_completion_deepl, TRANSLATE, NGX_COMPLETION_FACE_BODY_JSON, text)


static void
is_texts(const char *expected, const char *name)
{
    u_char      *p, buf[4096];
    ngx_str_t    got, *text;
    ngx_uint_t   i;

    p = buf;
    text = prompt.texts.elts;

    for (i = 0; i < prompt.texts.nelts; i++) {
        p = ngx_sprintf(p, "%V|", &text[i]);
    }

    got.data = buf;
    got.len = p - buf;

    is_str(&got, expected, name);
}


static void
refused(ngx_int_t rc, const char *detail, const char *name)
{
    is_int(rc, NGX_DECLINED, name);
    is_str(&input.detail, detail, "... what is said");
}


/* a part of the text with this index came to that */

static void
said(ngx_uint_t asked, const char *text, ngx_completion_joint_e joint)
{
    ngx_completion_result_t  *result;

    result = &results[view.n];
    memset(result, 0, sizeof(ngx_completion_result_t));

    result->state = NGX_COMPLETION_COMPLETED;
    result->text = str(text);

    parts[view.n].asked = asked;
    parts[view.n].joint = joint;
    parts[view.n].result = result;
    view.n++;
}


static void
is_written(const ngx_completion_face_t *face, const char *expected,
    const char *name)
{
    memset(&answer, 0, sizeof(answer));

    is_int(face->write(pool, NGX_COMPLETION_FACE_JSON, &view, &answer), NGX_OK,
           name);
    is_str(&answer.body, expected, "... as what");
}


#define ASK  "\"source\":\"en-us\",\"target\":\"RU\"}"
#define ANY  "\"source\":\"Auto\",\"target\":\"RU\"}"


static void
test_read(void)
{
    is_int(libre("{\"q\":\"a\"," ASK), NGX_OK, "a text");
    is_texts("a|", "... and that alone");
    ok(input.source == 0 && input.target == 1 && !input.several
       && !input.tagged && prompt.format == NGX_COMPLETION_FORMAT_UNSET,
       "... in these languages");

    is_int(libre("{\"q\":[\"a\",\"\",\"b\",\"a\",\" \\n\"]," ANY), NGX_OK,
           "several");
    is_texts("a|b|", "... each once");
    ok(input.several && input.items->nelts == 5
       && input.source == NGX_COMPLETION_FACE_ANY
       && prompt.format == NGX_COMPLETION_FORMAT_SCHEMA,
       "... in a language that is to be found out");
    is_str(&prompt.schema,
           "{\"type\":\"object\",\"properties\":{\"language\":{\"type\":"
           "\"string\",\"description\":\"The code of the language that the "
           "user's text is in\",\"enum\":[\"en-US\",\"ru\",\"de\"]},\"text\":"
           "{\"type\":\"string\",\"description\":\"The translation of all of "
           "it\"}},\"required\":[\"language\",\"text\"]}", "... by a schema");

    is_int(libre("{\"q\":\"a\",\"format\":\"html\",\"api_key\":\"k\"," ASK),
           NGX_OK, "a key");
    is_str(&input.key, "k", "... is the client's");
    ok(input.tagged && input.members->nelts == 4, "... and no value");
    is_int(libre("{\"q\":\"a\",\"api_key\":null," ASK), NGX_OK, "none");
    is_str(&input.key, "", "... is none");

    refused(libre("{\"q\":[\"a\",1]," ASK),
            "\"q\" must be a string, or an array of strings", "a number");
    refused(libre("{\"q\":{}," ASK),
            "\"q\" must be a string, or an array of strings", "an object");
    refused(libre("{\"q\":\"a\",\"q\":\"b\"," ASK), "\"q\" must be given once",
            "two");
    refused(libre("{" ASK), "\"q\" must be given", "none");
    refused(libre("{\"q\":\"a\\u0000b\"," ASK),
            "a text has a NUL character in it", "a NUL");
    refused(libre("{\"q\":\"a\",\"target\":\"ru\"}"),
            "\"source\" must be given", "no source");
    refused(libre("{\"q\":\"a\",\"source\":\"ru\"}"),
            "\"target\" must be given", "no target");
    refused(libre("{\"q\":\"a\",\"source\":\"ru\",\"target\":\"auto\"}"),
            "\"target\" is none of the languages there are", "auto");
    refused(libre("{\"q\":\"a\",\"source\":1,\"target\":\"ru\"}"),
            "\"source\" is none of the languages there are", "a number");
    refused(libre("{\"q\":\"a\",\"api_key\":1," ASK),
            "\"api_key\" must be a string", "a key that is none");
    is_int(libre("[]"), NGX_DECLINED, "no object");

    is_int(deepl("{\"text\":[\"a\"],\"target_lang\":\"DE\","
                 "\"tag_handling\":\"xml\",\"glossary_id\":null}"), NGX_OK,
           "DeepL's");
    ok(input.tagged && input.several && input.target == 2
       && input.source == NGX_COMPLETION_FACE_ANY, "... in its words");
    refused(deepl("{\"text\":[\"a\"],\"target_lang\":\"DE\","
                  "\"glossary_id\":\"x\"}"),
            "\"glossary_id\" is not supported, there are no glossaries here",
            "a glossary");
    refused(deepl("{\"text\":[\"a\"]}"), "\"target_lang\" must be given",
            "no target");
    is_int(deepl("{\"text\":[],\"target_lang\":\"ru\"}"), NGX_OK, "no text");
    is_texts("", "... is none");
}


static void
test_forms(void)
{
    input.args = str("q=query&source=de&target=ru&x=%41");
    is_int(reads(&ngx_completion_libretranslate, TRANSLATE,
                 NGX_COMPLETION_FACE_BODY_TEXT, ""), NGX_OK, "a query");
    is_texts("query|", "... says it all");
    is_int(reads(&ngx_completion_libretranslate, TRANSLATE,
                 NGX_COMPLETION_FACE_BODY_FORM, "q=a+b&q=%c3%a4&source=ru&k"),
           NGX_OK, "a form beside one");
    is_texts("a b|\xc3\xa4|", "... comes first");
    ok(input.source == 1 && input.target == 1, "... in all it says");
    refused(reads(&ngx_completion_libretranslate, TRANSLATE,
                  NGX_COMPLETION_FACE_BODY_TEXT, "x"),
            "the body needs a Content-Type", "a body of no type");
    refused(reads(&ngx_completion_libretranslate, TRANSLATE,
                  NGX_COMPLETION_FACE_BODY_FORM, "q=%ff"),
            "a field of the form is not valid UTF-8", "no UTF-8");
    input.args = str("");

    is_int(reads(&ngx_completion_deepl, TRANSLATE,
                 NGX_COMPLETION_FACE_BODY_FORM,
                 "text%5B%5D=a&text[]=b&target_lang=ru"), NGX_OK, "brackets");
    is_texts("a|b|", "... are spelling");
}


#define PART(name)                                                            \
    "--x\r\ncontent-disposition: form-data; name=\"" name "\"\r\n\r\n"


static void
test_multipart(void)
{
    static const struct {
        const char  *body;
        const char  *texts;    /* NULL: broken */
    } t[] = {
        { PART("q") "a" "\r\n" PART("source") "ru\r\n"
          PART("target") "de\r\n--x--\r\n", "a|" },
        { "preamble\r\n" PART("q") "a--x\r\n" PART("source") "ru\r\n"
          PART("target") "de\r\n--x--", "a--x|" },
        { PART("source") "ru\r\n" PART("target") "de\r\n" PART("q")
          "\r\n--x--", "" },
        { PART("source") "ru\r\n" PART("target") "de\r\n" PART("q")
          "a\r\nb\r\n\r\n\r\n--x--", "a\r\nb\r\n\r\n|" },
        { "--x\r\nContent-Type: text/plain; name=\"no\"\r\n"
          "Content-Disposition: form-data; filename=\"f\";name=\"q\"\r\n\r\na"
          "\r\n" PART("source") "ru\r\n" PART("target") "de\r\n--x--", "a|" },
        { "", NULL },
        { "--x", NULL },
        { "--x\r\n", NULL },
        { "--y--\r\n", NULL },
        { PART("q") "a", NULL },
        { PART("q") "a\r\n--", NULL },
        { PART("q") "a\r\n--x", NULL },
        { "--x\r\ncontent-disposition: form-data; name=\"q\r\n\r\na\r\n--x--",
          NULL },
        { "--x--", NULL }
    };

    size_t     i;
    ngx_int_t  rc;

    input.boundary = str("x");

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        rc = reads(&ngx_completion_libretranslate, TRANSLATE,
                   NGX_COMPLETION_FACE_BODY_MULTIPART, t[i].body);

        if (t[i].texts) {
            is_int(rc, NGX_OK, "parts");
            is_texts(t[i].texts, "... what it says");

        } else {
            is_int(rc, NGX_DECLINED, "broken ones");
        }
    }

    input.boundary = str("");
    is_int(reads(&ngx_completion_libretranslate, TRANSLATE,
                 NGX_COMPLETION_FACE_BODY_MULTIPART, t[0].body),
           NGX_DECLINED, "no boundary");
}


static void
test_detect(void)
{
    char  text[3000];

    is_int(reads(&ngx_completion_libretranslate, DETECT,
                 NGX_COMPLETION_FACE_BODY_JSON, "{\"q\":\"a\"}"), NGX_OK,
           "a text whose language is asked for");
    ok(input.told.len && prompt.format == NGX_COMPLETION_FORMAT_SCHEMA
       && ngx_strnstr(prompt.schema.data, "\"text\"", prompt.schema.len)
          == NULL, "... and nothing else");
    said(0, "{\"language\":\"RU\"}", NGX_COMPLETION_JOINT_NOTHING);
    is_written(&ngx_completion_libretranslate,
               "[{\"confidence\":100,\"language\":\"ru\"}]", "an answer");

    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"q\":\"a", 7);
    memcpy(text + 2000, "b\"}", 4);
    is_int(reads(&ngx_completion_libretranslate, DETECT,
                 NGX_COMPLETION_FACE_BODY_JSON, text), NGX_OK, "a long one");
    is_texts("a|", "... is not read to its end");

    is_int(reads(&ngx_completion_libretranslate, DETECT,
                 NGX_COMPLETION_FACE_BODY_JSON, "{\"q\":\" \"}"), NGX_OK,
           "an empty one");
    is_texts("", "... is not asked for");
    is_written(&ngx_completion_libretranslate,
               "[{\"confidence\":0,\"language\":\"en-US\"}]", "... its answer");
    refused(reads(&ngx_completion_libretranslate, DETECT,
                  NGX_COMPLETION_FACE_BODY_JSON, "{\"q\":[\"a\"]}"),
            "\"q\" must be a string", "an array");
    ngx_str_null(&input.told);
}


static void
test_write(void)
{
    libre("{\"q\":[\"a\",\"\",\"b\",\"a\"]," ANY);
    said(0, "{\"language\":\"ru\",\"text\":\"A1\"}",
         NGX_COMPLETION_JOINT_SPACE);
    said(0, "{\"language\":\"de\",\"text\":\"A2\"}",
         NGX_COMPLETION_JOINT_NOTHING);
    said(1, "Prose", NGX_COMPLETION_JOINT_NOTHING);
    is_written(&ngx_completion_libretranslate,
               "{\"translatedText\":[\"A1 A2\",\"\",\"Prose\",\"A1 A2\"],"
               "\"detectedLanguage\":[{\"confidence\":100,\"language\":\"ru\"},"
               "{\"confidence\":0,\"language\":\"en-US\"},"
               "{\"confidence\":0,\"language\":\"en-US\"},"
               "{\"confidence\":100,\"language\":\"ru\"}]}", "several");
    is_int(answer.status, 200, "... its status");
    is_int(answer.tags, NGX_COMPLETION_TAGS_UNTOLD, "... of tags nothing");

    deepl("{\"text\":[\"a\"],\"target_lang\":\"DE\",\"source_lang\":\"ru\"}");
    said(0, "{\"language\":\"ru\",\"text\":\"A\"}",
         NGX_COMPLETION_JOINT_NOTHING);
    is_written(&ngx_completion_deepl,
               "{\"translations\":[{\"detected_source_language\":\"RU\","
               "\"text\":\"{\\\"language\\\":\\\"ru\\\",\\\"text\\\":"
               "\\\"A\\\"}\"}]}", "what was not asked for is a text");

    view.state = NGX_COMPLETION_FAILED;
    view.result = &results[0];
    results[0].message = str("no luck");
    is_written(&ngx_completion_deepl, "{\"message\":\"no luck\"}", "one failed");
    is_int(answer.status, 424, "... its status");

    view.state = NGX_COMPLETION_INCOMPLETE;
    results[0].message = str("");
    results[0].failure = NGX_COMPLETION_FAILURE_FILTERED;
    is_written(&ngx_completion_deepl,
               "{\"message\":\"there is no translation\"}", "or was filtered");
    is_int(answer.status, 424, "... its status");

    view.state = NGX_COMPLETION_PENDING;
    is_written(&ngx_completion_deepl,
               "{\"message\":\"The operation has not ended yet\"}",
               "or has not ended");
    is_int(answer.status, 504, "... its status");

    libre("{\"q\":\"a\"," ANY);
    view.state = NGX_COMPLETION_INCOMPLETE;
    said(0, "{\"language\":\"ru\",\"te", NGX_COMPLETION_JOINT_NOTHING);
    results[0].state = NGX_COMPLETION_INCOMPLETE;
    is_written(&ngx_completion_libretranslate,
               "{\"error\":\"there is no translation\"}", "half an object");
    is_int(answer.status, 424, "... its status");
}


static void
test_said(void)
{
    static const struct {
        const char  *said;
        const char  *written;
    } t[] = {
        { "{\"text\":\"A\"}", "{\"translatedText\":\"A\",\"detectedLanguage\":"
          "{\"confidence\":0,\"language\":\"en-US\"}}" },
        { "{\"text\":1,\"language\":\"de\"}", "{\"translatedText\":"
          "\"{\\\"text\\\":1,\\\"language\\\":\\\"de\\\"}\",\"detectedLanguage\":"
          "{\"confidence\":100,\"language\":\"de\"}}" },
        { " \n{\"language\":\"DE\",\"text\":\"A\"}\n",
          "{\"translatedText\":\"A\",\"detectedLanguage\":"
          "{\"confidence\":100,\"language\":\"de\"}}" },
        { "```\n{\"language\":\"de\",\"text\":\"A\"}```",
          "{\"translatedText\":\"A\",\"detectedLanguage\":"
          "{\"confidence\":100,\"language\":\"de\"}}" },
        { "``````", "{\"translatedText\":\"``````\",\"detectedLanguage\":"
          "{\"confidence\":0,\"language\":\"en-US\"}}" },
        { "", "{\"translatedText\":\"\",\"detectedLanguage\":"
          "{\"confidence\":0,\"language\":\"en-US\"}}" },
        { "{\"language\":[\"de\"],\"text\":\"A\"}",
          "{\"translatedText\":\"A\",\"detectedLanguage\":"
          "{\"confidence\":0,\"language\":\"en-US\"}}" }
    };

    size_t  i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        libre("{\"q\":\"a\"," ANY);
        said(0, t[i].said, NGX_COMPLETION_JOINT_NOTHING);
        is_written(&ngx_completion_libretranslate, t[i].written,
                   t[i].written);
    }
}


static void
test_tags(void)
{
    static const struct {
        const char             *text;
        const char             *said;
        ngx_completion_tags_e   tags;
    } t[] = {
        { "a", "b", NGX_COMPLETION_TAGS_KEPT },
        { "<b>a</b> <i>c</i>", "<i>C</i> <b>A</b>", NGX_COMPLETION_TAGS_KEPT },
        { "a < b > c", "a > b", NGX_COMPLETION_TAGS_KEPT },
        { "<b", "b", NGX_COMPLETION_TAGS_KEPT },
        { "<x id='1'></x>", "<x id='2'></x>", NGX_COMPLETION_TAGS_CHANGED },
        { "<b>a</b>", "<b>A", NGX_COMPLETION_TAGS_CHANGED },
        { "a", "<b>A", NGX_COMPLETION_TAGS_CHANGED },
        { "<b><b>", "<b><i>", NGX_COMPLETION_TAGS_CHANGED },
        { "<!-- a -->", "", NGX_COMPLETION_TAGS_CHANGED },
        { "<br>", "<br/>", NGX_COMPLETION_TAGS_CHANGED }
    };

    char    body[256];
    size_t  i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        snprintf(body, sizeof(body), "{\"text\":[\"%s\"],\"target_lang\":"
                 "\"de\",\"source_lang\":\"ru\",\"tag_handling\":\"html\"}",
                 t[i].text);
        deepl(body);
        said(0, t[i].said, NGX_COMPLETION_JOINT_NOTHING);

        memset(&answer, 0, sizeof(answer));
        ngx_completion_deepl.write(pool, NGX_COMPLETION_FACE_JSON, &view,
                                   &answer);
        is_int(answer.tags, t[i].tags, t[i].text);
    }
}


static void
test_problems(void)
{
    ngx_uint_t                   outcome;
    ngx_completion_face_fault_t  fault;

    memset(&fault, 0, sizeof(fault));

    for (outcome = 1; outcome < NGX_COMPLETION_OUTCOMES; outcome++) {
        fault.outcome = outcome;
        memset(&answer, 0, sizeof(answer));

        ok(ngx_completion_libretranslate.error(pool, NGX_COMPLETION_FACE_JSON,
                                               &fault, &answer)
           == NGX_OK && answer.status != 429 && answer.status != 503,
           ngx_completion_outcomes[outcome].code);
    }
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);

    test_read();
    test_forms();
    test_multipart();
    test_detect();
    test_write();
    test_said();
    test_tags();
    test_problems();

    ngx_destroy_pool(pool);

    return tap_done();
}
