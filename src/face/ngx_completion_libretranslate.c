
/*
 * LibreTranslate's interface: texts, languages, what language a text is in.
 */


#include "ngx_completion_translation.h"


/* what goes by a route */
#define NGX_COMPLETION_LIBRE_TRANSLATE  1
#define NGX_COMPLETION_LIBRE_DETECT     2
#define NGX_COMPLETION_LIBRE_LANGUAGES  3
#define NGX_COMPLETION_LIBRE_HEALTH     4
#define NGX_COMPLETION_LIBRE_SETTINGS   5

/* how sure a model is: it does not tell */
#define NGX_COMPLETION_LIBRE_SURE       100


static ngx_int_t ngx_completion_libre_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_libre_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to);
static void ngx_completion_libre_detected(ngx_completion_json_writer_t *w,
    ngx_completion_translation_t *item);
static ngx_int_t ngx_completion_libre_fault(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_libre_about(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_face_answer_t *to);
static void ngx_completion_libre_languages(ngx_completion_json_writer_t *w,
    ngx_completion_face_input_t *input);
static void ngx_completion_libre_settings(ngx_completion_json_writer_t *w,
    ngx_completion_face_input_t *input);


/* GET, POST, DELETE */

static const ngx_completion_face_route_t  ngx_completion_libre_routes[] = {
    { ngx_string("/translate"), 0, NGX_COMPLETION_FACE_SUBMIT, 0,
      NGX_COMPLETION_LIBRE_TRANSLATE },
    { ngx_string("/detect"), 0, NGX_COMPLETION_FACE_SUBMIT, 0,
      NGX_COMPLETION_LIBRE_DETECT },
    { ngx_string("/languages"), NGX_COMPLETION_FACE_ABOUT, 0, 0,
      NGX_COMPLETION_LIBRE_LANGUAGES },
    { ngx_string("/health"), NGX_COMPLETION_FACE_ABOUT, 0, 0,
      NGX_COMPLETION_LIBRE_HEALTH },
    { ngx_string("/frontend/settings"), NGX_COMPLETION_FACE_ABOUT, 0, 0,
      NGX_COMPLETION_LIBRE_SETTINGS },
    { ngx_string("/translate_file"), 0, NGX_COMPLETION_FACE_REFUSE, 0, 0 },
    { ngx_null_string, 0, 0, 0, 0 }
};


const ngx_completion_face_t  ngx_completion_libretranslate = {
    .directive = "completion_async_libretranslate",
    .routes = ngx_completion_libre_routes,
    .bodies = 1 << NGX_COMPLETION_FACE_BODY_JSON
              |1 << NGX_COMPLETION_FACE_BODY_FORM
              |1 << NGX_COMPLETION_FACE_BODY_MULTIPART,
    .types = ngx_string("application/json, application/x-www-form-urlencoded "
                        "and multipart/form-data are supported"),
    .results = 1,
    .items = 1,
    .keyed = 1,
    .remembers = NGX_COMPLETION_TRANSLATION_REMEMBERS,
    .options = ngx_string("{}"),
    .read = ngx_completion_libre_read,
    .write = ngx_completion_libre_write,
    .error = ngx_completion_libre_fault,
    .about = ngx_completion_libre_about
};


static ngx_int_t
ngx_completion_libre_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt)
{
    ngx_int_t                      rc;
    const char                    *source;
    ngx_completion_json_member_t  *value;

    rc = ngx_completion_translation_values(pool, input, "q", "api_key");
    if (rc != NGX_OK) {
        return rc;
    }

    if (input->shape == NGX_COMPLETION_LIBRE_DETECT) {
        return ngx_completion_translation_detect(pool, input, prompt);
    }

    source = "source";
    value = ngx_completion_translation_value(input, source);

    if (value == NULL || value->value.len == 0) {
        return ngx_completion_translation_refuse(pool, input, source,
                                                 "must be given");
    }

    if (value->type == NGX_COMPLETION_JSON_STRING && value->value.len == 4
        && ngx_strncasecmp(value->value.data, (u_char *) "auto", 4) == 0)
    {
        source = NULL;
    }

    rc = ngx_completion_translation_languages(pool, input, source, "target");
    if (rc != NGX_OK) {
        return rc;
    }

    value = ngx_completion_translation_value(input, "format");

    input->tagged = (value && value->value.len == 4
                     && ngx_strncmp(value->value.data, "html", 4) == 0);

    return ngx_completion_translation_texts(pool, input, prompt);
}


static ngx_int_t
ngx_completion_libre_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, n;
    ngx_completion_face_fault_t    fault;
    ngx_completion_face_input_t   *input;
    ngx_completion_json_writer_t  *w;
    ngx_completion_translation_t  *items;

    ngx_memzero(&fault, sizeof(ngx_completion_face_fault_t));

    rc = ngx_completion_translation_items(pool, view, &items, to, &fault);

    if (rc == NGX_DECLINED) {
        return ngx_completion_libre_fault(pool, format, &fault, to);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    input = view->input;
    n = input->items->nelts;
    ngx_str_set(&to->type, "application/json");

    w = ngx_completion_json_writer_create(pool);

    if (input->shape == NGX_COMPLETION_LIBRE_DETECT) {
        ngx_completion_json_array(w);
        ngx_completion_libre_detected(w, items);
        ngx_completion_json_end(w);

        return ngx_completion_json_writer_finish(w, &to->body);
    }

    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "translatedText");

    if (input->several) {
        ngx_completion_json_array(w);
    }

    for (i = 0; i < n; i++) {
        ngx_completion_json_string(w, &items[i].text);
    }

    if (input->several) {
        ngx_completion_json_end(w);
    }

    if (input->source == NGX_COMPLETION_FACE_ANY) {
        ngx_completion_json_key(w, "detectedLanguage");

        if (input->several) {
            ngx_completion_json_array(w);
        }

        for (i = 0; i < n; i++) {
            ngx_completion_libre_detected(w, &items[i]);
        }

        if (input->several) {
            ngx_completion_json_end(w);
        }
    }

    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &to->body);
}


static void
ngx_completion_libre_detected(ngx_completion_json_writer_t *w,
    ngx_completion_translation_t *item)
{
    ngx_completion_json_object(w);
    ngx_completion_json_key_integer(w, "confidence",
                                    item->found ? NGX_COMPLETION_LIBRE_SURE
                                                : 0);
    ngx_completion_json_key_string(w, "language", &item->language->code);
    ngx_completion_json_end(w);
}


static ngx_int_t
ngx_completion_libre_fault(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to)
{
    return ngx_completion_translation_fault(pool, "error", fault, to);
}


static ngx_int_t
ngx_completion_libre_about(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_face_answer_t *to)
{
    ngx_completion_json_writer_t  *w;

    to->status = 200;
    ngx_str_set(&to->type, "application/json");

    w = ngx_completion_json_writer_create(pool);

    switch (input->shape) {

    case NGX_COMPLETION_LIBRE_LANGUAGES:
        ngx_completion_libre_languages(w, input);
        break;

    case NGX_COMPLETION_LIBRE_SETTINGS:
        ngx_completion_libre_settings(w, input);
        break;

    default: /* NGX_COMPLETION_LIBRE_HEALTH */
        ngx_completion_json_object(w);
        ngx_completion_json_key_cstring(w, "status", "ok");
        ngx_completion_json_end(w);
        break;
    }

    return ngx_completion_json_writer_finish(w, &to->body);
}


static void
ngx_completion_libre_languages(ngx_completion_json_writer_t *w,
    ngx_completion_face_input_t *input)
{
    ngx_uint_t  i, n;

    ngx_completion_json_array(w);

    for (i = 0; i < input->languages_n; i++) {
        ngx_completion_json_object(w);
        ngx_completion_json_key_string(w, "code", &input->languages[i].code);
        ngx_completion_json_key_string(w, "name", &input->languages[i].name);
        ngx_completion_json_key(w, "targets");
        ngx_completion_json_array(w);

        for (n = 0; n < input->languages_n; n++) {
            ngx_completion_json_string(w, &input->languages[n].code);
        }

        ngx_completion_json_end(w);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
}


/* what a page that translates wants to know */

static void
ngx_completion_libre_settings(ngx_completion_json_writer_t *w,
    ngx_completion_face_input_t *input)
{
    ngx_completion_json_object(w);
    ngx_completion_json_key_boolean(w, "apiKeys", 1);
    ngx_completion_json_key_integer(w, "charLimit", -1);
    ngx_completion_json_key_boolean(w, "filesTranslation", 0);
    ngx_completion_json_key_integer(w, "frontendTimeout", 1000);
    ngx_completion_json_key_boolean(w, "keyRequired", 0);

    ngx_completion_json_key(w, "language");
    ngx_completion_json_object(w);

    ngx_completion_json_key(w, "source");
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "code", "auto");
    ngx_completion_json_key_cstring(w, "name", "Auto Detect");
    ngx_completion_json_end(w);

    ngx_completion_json_key(w, "target");
    ngx_completion_json_object(w);
    ngx_completion_json_key_string(w, "code", &input->languages[0].code);
    ngx_completion_json_key_string(w, "name", &input->languages[0].name);
    ngx_completion_json_end(w);

    ngx_completion_json_end(w);

    ngx_completion_json_key_boolean(w, "suggestions", 0);
    ngx_completion_json_key(w, "supportedFilesFormat");
    ngx_completion_json_array(w);
    ngx_completion_json_end(w);
    ngx_completion_json_end(w);
}
