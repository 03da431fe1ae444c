
/*
 * What a client of LibreTranslate or DeepL sends, and a model says: the first
 * byte tells which interface, how the body is to be read, and whether the
 * language is said, a line what the query is, another one what the model says.
 * What is refused is a 400 of their shape; what is taken are texts, each of
 * them once and none of them blank, and is answered with as many, in JSON to
 * another reader, in configured languages.
 */


#include "fuzz.h"

#include "../../src/face/ngx_completion_face.h"


static ngx_completion_face_language_t  languages[] = {
    { ngx_string("en"), ngx_string("English") },
    { ngx_string("ru"), ngx_string("Russian") }
};


static void
is_fault(ngx_str_t *body, ngx_uint_t deepl)
{
    yajl_val  tree;

    tree = fuzz_json(body);
    HOLDS(tree && tree->u.object.len == 1);
    HOLDS(YAJL_IS_STRING(fuzz_member(tree, deepl ? "message" : "error")));
    yajl_tree_free(tree);
}


static void
is_json(ngx_str_t *body, ngx_uint_t deepl, ngx_uint_t detect,
    ngx_completion_face_input_t *input)
{
    size_t    i, n;
    yajl_val  tree, list, one;

    tree = fuzz_json(body);
    HOLDS(tree);
    n = input->items->nelts;

    if (deepl) {
        list = fuzz_member(tree, "translations");
        HOLDS(YAJL_IS_ARRAY(list) && list->u.array.len == n);

        for (i = 0; i < n; i++) {
            one = list->u.array.values[i];
            HOLDS(YAJL_IS_STRING(fuzz_member(one, "text")));
            one = fuzz_member(one, "detected_source_language");
            HOLDS(fuzz_is(one, "EN", 2) || fuzz_is(one, "RU", 2));
        }

    } else if (detect) {
        HOLDS(YAJL_IS_ARRAY(tree) && tree->u.array.len == 1);

    } else {
        list = fuzz_member(tree, "translatedText");
        HOLDS(input->several ? YAJL_IS_ARRAY(list) && list->u.array.len == n
                             : YAJL_IS_STRING(list));
        HOLDS((fuzz_member(tree, "detectedLanguage") != NULL)
              == (input->source == NGX_COMPLETION_FACE_ANY));
    }

    yajl_tree_free(tree);
}


static void
is_texts(ngx_completion_prompt_t *prompt, ngx_completion_face_input_t *input)
{
    size_t                       i, k;
    ngx_str_t                   *text = prompt->texts.elts;
    ngx_completion_face_item_t  *item = input->items->elts;

    for (i = 0; i < prompt->texts.nelts; i++) {
        HOLDS(ngx_completion_utf8_check(text[i].data, text[i].len) == NGX_OK);
        HOLDS(!ngx_completion_utf8_blank(text[i].data, text[i].len));
        HOLDS(memchr(text[i].data, '\0', text[i].len) == NULL);

        for (k = 0; k < i; k++) {
            HOLDS(!fuzz_equal(&text[i], &text[k]));
        }
    }

    for (i = 0; i < input->items->nelts; i++) {
        HOLDS(item[i].blank
              || (item[i].asked < prompt->texts.nelts
                  && (input->told.len
                      || fuzz_equal(&item[i].text, &text[item[i].asked]))));
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                         how;
    size_t                         i;
    ngx_int_t                      rc;
    ngx_str_t                      said;
    ngx_pool_t                    *pool;
    ngx_completion_prompt_t        prompt;
    ngx_completion_result_t        result;
    ngx_completion_face_part_t    *parts;
    ngx_completion_face_view_t     view;
    ngx_completion_face_fault_t    fault;
    ngx_completion_face_input_t    input;
    const ngx_completion_face_t   *face;
    ngx_completion_face_answer_t   answer;

    pool = ngx_create_pool(4096, &shim_log);

    memset(&input, 0, sizeof(input));
    memset(&prompt, 0, sizeof(prompt));
    memset(&answer, 0, sizeof(answer));
    memset(&fault, 0, sizeof(fault));
    memset(&view, 0, sizeof(view));
    memset(&result, 0, sizeof(result));

    how = fuzz_byte(&data, &size);

    face = (how & 1) ? &ngx_completion_deepl : &ngx_completion_libretranslate;
    input.type = (ngx_completion_face_body_e [])
        { NGX_COMPLETION_FACE_BODY_JSON, NGX_COMPLETION_FACE_BODY_FORM,
          NGX_COMPLETION_FACE_BODY_MULTIPART, NGX_COMPLETION_FACE_BODY_TEXT }
        [how >> 1 & 3];
    input.shape = (how & 8) ? 2 : 1;
    input.boundary = fuzz_string("x");
    input.languages = languages;
    input.languages_n = 2;
    input.args = fuzz_line(pool, &data, &size);
    said = fuzz_line(pool, &data, &size);
    input.body = fuzz_copy(pool, data, size);

    rc = face->read(pool, &input, &prompt);
    HOLDS(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_DECLINED) {
        HOLDS(input.detail.len);
        fault.outcome = NGX_COMPLETION_INVALID_REQUEST;
        fault.detail = input.detail;
        HOLDS(face->error(pool, NGX_COMPLETION_FACE_JSON, &fault, &answer)
              == NGX_OK && answer.status == 400);
        is_fault(&answer.body, how & 1);
        ngx_destroy_pool(pool);
        return 0;
    }

    is_texts(&prompt, &input);

    if (ngx_completion_utf8_check(said.data, said.len) == NGX_OK) {
        result.text = said;
    }

    /* each text in two parts */

    result.state = NGX_COMPLETION_COMPLETED;
    view.state = result.state;
    view.input = &input;
    view.n = 2 * prompt.texts.nelts;
    view.parts = parts = ngx_pcalloc(pool, (view.n + 1)
                                           * sizeof(ngx_completion_face_part_t));

    for (i = 0; i < view.n; i++) {
        parts[i].asked = i / 2;
        parts[i].joint = NGX_COMPLETION_JOINT_SPACE;
        parts[i].result = &result;
    }

    HOLDS(face->write(pool, NGX_COMPLETION_FACE_JSON, &view, &answer)
          == NGX_OK);
    HOLDS(answer.status == 200);
    HOLDS((answer.tags != NGX_COMPLETION_TAGS_UNTOLD) == input.tagged);

    is_json(&answer.body, how & 1, input.told.len != 0, &input);

    ngx_destroy_pool(pool);

    return 0;
}
