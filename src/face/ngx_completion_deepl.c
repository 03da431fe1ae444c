
/*
 * DeepL's interface, version 2: texts, languages, and as much of what else its
 * clients ask as they need to get there.
 */


#include "ngx_completion_form.h"
#include "ngx_completion_translation.h"


/* what goes by a route */
#define NGX_COMPLETION_DEEPL_TRANSLATE   1
#define NGX_COMPLETION_DEEPL_LANGUAGES   2
#define NGX_COMPLETION_DEEPL_GLOSSARIES  3
#define NGX_COMPLETION_DEEPL_USAGE       4

#define NGX_COMPLETION_DEEPL_LIMIT       1000000000000


static ngx_int_t ngx_completion_deepl_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_deepl_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_deepl_fault(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_deepl_about(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_deepl_languages(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_json_writer_t *w);
static ngx_int_t ngx_completion_deepl_code(ngx_pool_t *pool,
    ngx_completion_json_writer_t *w, const char *name,
    ngx_completion_face_language_t *language);


#define ngx_completion_deepl_is(s, word)                                      \
    ((s)->len == sizeof(word) - 1                                             \
     && ngx_strncmp((s)->data, word, sizeof(word) - 1) == 0)


/* GET, POST, DELETE */

static const ngx_completion_face_route_t  ngx_completion_deepl_routes[] = {
    { ngx_string("/v2/translate"), 0, NGX_COMPLETION_FACE_SUBMIT, 0,
      NGX_COMPLETION_DEEPL_TRANSLATE },
    { ngx_string("/v2/languages"), NGX_COMPLETION_FACE_ABOUT, 0, 0,
      NGX_COMPLETION_DEEPL_LANGUAGES },
    { ngx_string("/v2/glossary-language-pairs"), NGX_COMPLETION_FACE_ABOUT, 0,
      0, NGX_COMPLETION_DEEPL_GLOSSARIES },
    { ngx_string("/v2/usage"), NGX_COMPLETION_FACE_ABOUT, 0, 0,
      NGX_COMPLETION_DEEPL_USAGE },
    { ngx_null_string, 0, 0, 0, 0 }
};


const ngx_completion_face_t  ngx_completion_deepl = {
    .directive = "completion_async_deepl",
    .routes = ngx_completion_deepl_routes,
    .bodies = 1 << NGX_COMPLETION_FACE_BODY_JSON
              |1 << NGX_COMPLETION_FACE_BODY_FORM,
    .types = ngx_string("application/json and "
                        "application/x-www-form-urlencoded are supported"),
    .results = 1,
    .items = 1,
    .remembers = NGX_COMPLETION_TRANSLATION_REMEMBERS,
    .options = ngx_string("{}"),
    .read = ngx_completion_deepl_read,
    .write = ngx_completion_deepl_write,
    .error = ngx_completion_deepl_fault,
    .about = ngx_completion_deepl_about
};


static ngx_int_t
ngx_completion_deepl_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt)
{
    ngx_int_t                      rc;
    ngx_completion_json_member_t  *value;

    rc = ngx_completion_translation_values(pool, input, "text", NULL);
    if (rc != NGX_OK) {
        return rc;
    }

    value = ngx_completion_translation_value(input, "glossary_id");

    if (value && (value->value.len
                  || value->type != NGX_COMPLETION_JSON_STRING))
    {
        return ngx_completion_translation_refuse(pool, input, "glossary_id",
                                            "is not supported, there are no "
                                            "glossaries here");
    }

    rc = ngx_completion_translation_languages(pool, input, "source_lang",
                                              "target_lang");
    if (rc != NGX_OK) {
        return rc;
    }

    value = ngx_completion_translation_value(input, "tag_handling");

    input->tagged = (value && (ngx_completion_deepl_is(&value->value, "xml")
                               || ngx_completion_deepl_is(&value->value,
                                                          "html")));

    return ngx_completion_translation_texts(pool, input, prompt);
}


static ngx_int_t
ngx_completion_deepl_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_completion_face_fault_t    fault;
    ngx_completion_json_writer_t  *w;
    ngx_completion_translation_t  *items;

    ngx_memzero(&fault, sizeof(ngx_completion_face_fault_t));

    rc = ngx_completion_translation_items(pool, view, &items, to, &fault);

    if (rc == NGX_DECLINED) {
        return ngx_completion_deepl_fault(pool, format, &fault, to);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&to->type, "application/json");

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "translations");
    ngx_completion_json_array(w);

    for (i = 0; i < view->input->items->nelts; i++) {
        ngx_completion_json_object(w);

        if (ngx_completion_deepl_code(pool, w, "detected_source_language",
                                      items[i].language)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_completion_json_key_string(w, "text", &items[i].text);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &to->body);
}


static ngx_int_t
ngx_completion_deepl_fault(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to)
{
    return ngx_completion_translation_fault(pool, "message", fault, to);
}


static ngx_int_t
ngx_completion_deepl_about(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_face_answer_t *to)
{
    ngx_int_t                      rc;
    ngx_completion_json_writer_t  *w;

    to->status = 200;
    ngx_str_set(&to->type, "application/json");

    w = ngx_completion_json_writer_create(pool);

    switch (input->shape) {

    case NGX_COMPLETION_DEEPL_LANGUAGES:
        rc = ngx_completion_deepl_languages(pool, input, w);

        if (rc != NGX_OK) {
            return rc;
        }

        break;

    case NGX_COMPLETION_DEEPL_GLOSSARIES:
        ngx_completion_json_object(w);
        ngx_completion_json_key(w, "supported_languages");
        ngx_completion_json_array(w);
        ngx_completion_json_end(w);
        ngx_completion_json_end(w);
        break;

    default: /* NGX_COMPLETION_DEEPL_USAGE: others count, and in tokens */
        ngx_completion_json_object(w);
        ngx_completion_json_key_integer(w, "character_count", 0);
        ngx_completion_json_key_integer(w, "character_limit",
                                        NGX_COMPLETION_DEEPL_LIMIT);
        ngx_completion_json_end(w);
        break;
    }

    return ngx_completion_json_writer_finish(w, &to->body);
}


/* the same ones both ways, for whom the client says, or not */

static ngx_int_t
ngx_completion_deepl_languages(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_json_writer_t *w)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, target;
    ngx_completion_json_member_t  *type;

    input->members = ngx_array_create(pool, 2,
                                      sizeof(ngx_completion_json_member_t));
    if (input->members == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_form_values(pool, &input->args, input->members,
                                    &input->detail);
    if (rc != NGX_OK) {
        return rc;
    }

    type = ngx_completion_translation_value(input, "type");
    target = (type && ngx_completion_deepl_is(&type->value, "target"));

    if (type && !target && !ngx_completion_deepl_is(&type->value, "source")) {
        return ngx_completion_translation_refuse(pool, input, "type",
                                       "must be \"source\" or \"target\"");
    }

    ngx_completion_json_array(w);

    for (i = 0; i < input->languages_n; i++) {
        ngx_completion_json_object(w);

        if (ngx_completion_deepl_code(pool, w, "language",
                                      &input->languages[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_completion_json_key_string(w, "name", &input->languages[i].name);

        if (target) {
            ngx_completion_json_key_boolean(w, "supports_formality", 0);
        }

        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);

    return NGX_OK;
}


/* in capitals */

static ngx_int_t
ngx_completion_deepl_code(ngx_pool_t *pool, ngx_completion_json_writer_t *w,
    const char *name, ngx_completion_face_language_t *language)
{
    ngx_str_t   code;
    ngx_uint_t  i;

    code.len = language->code.len;
    code.data = ngx_pstrdup(pool, &language->code);

    if (code.data == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < code.len; i++) {
        code.data[i] = ngx_toupper(code.data[i]);
    }

    ngx_completion_json_key_string(w, name, &code);

    return NGX_OK;
}
