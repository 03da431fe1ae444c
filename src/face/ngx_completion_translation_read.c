
#include "../model/ngx_completion_split.h"

#include "ngx_completion_form.h"
#include "ngx_completion_translation.h"


/* bytes of a text by which its language is told */
#define NGX_COMPLETION_TRANSLATION_SAMPLE  1000


static ngx_int_t ngx_completion_translation_json(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *item);
static ngx_int_t ngx_completion_translation_secret(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *secret);
static ngx_int_t ngx_completion_translation_pick(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_uint_t from, const char *item);
static ngx_int_t ngx_completion_translation_push(
    ngx_completion_face_input_t *input, ngx_str_t *text);
static ngx_int_t ngx_completion_translation_schema(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt,
    ngx_uint_t text);
static void ngx_completion_translation_string(ngx_completion_json_writer_t *w,
    const char *name, const char *description);


#define ngx_completion_translation_is(name_, word)                            \
    ((name_).len == ngx_strlen(word)                                          \
     && ngx_strncmp((name_).data, word, (name_).len) == 0)


ngx_int_t
ngx_completion_translation_values(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *item, const char *secret)
{
    ngx_int_t    rc;
    ngx_uint_t   query;
    ngx_array_t *values;

    /* it may be read once more */

    input->several = 0;
    input->tagged = 0;
    input->source = NGX_COMPLETION_FACE_ANY;
    input->target = NGX_COMPLETION_FACE_ANY;

    values = ngx_array_create(pool, 8, sizeof(ngx_completion_json_member_t));
    input->members = values;
    input->items = ngx_array_create(pool, 4,
                                    sizeof(ngx_completion_face_item_t));

    if (values == NULL || input->items == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_form_values(pool, &input->args, values,
                                    &input->detail);
    query = values->nelts;

    if (rc == NGX_OK) {

        switch (input->type) {

        case NGX_COMPLETION_FACE_BODY_JSON:
            rc = ngx_completion_translation_json(pool, input, item);
            break;

        case NGX_COMPLETION_FACE_BODY_FORM:
            rc = ngx_completion_form_values(pool, &input->body, values,
                                            &input->detail);
            break;

        case NGX_COMPLETION_FACE_BODY_MULTIPART:
            rc = ngx_completion_form_parts(&input->body, &input->boundary,
                                           values, &input->detail);
            break;

        default: /* none of these: the query says it all */

            if (input->body.len) {
                ngx_str_set(&input->detail, "the body needs a Content-Type");
                rc = NGX_DECLINED;
            }

            break;
        }
    }

    if (rc == NGX_OK && secret) {
        rc = ngx_completion_translation_secret(pool, input, secret);
    }

    if (rc == NGX_OK && input->type != NGX_COMPLETION_FACE_BODY_JSON) {
        rc = ngx_completion_translation_pick(pool, input, query, item);
    }

    if (rc == NGX_OK && input->items->nelts == 0
        && input->type != NGX_COMPLETION_FACE_BODY_JSON)
    {
        rc = ngx_completion_translation_pick(pool, input, 0, item);
    }

    if (rc == NGX_OK && input->items->nelts == 0 && !input->several) {
        return ngx_completion_translation_refuse(pool, input, item,
                                                 "must be given");
    }

    return rc;
}


static ngx_int_t
ngx_completion_translation_json(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *item)
{
    ngx_int_t                      rc;
    const char                    *reason;
    ngx_completion_json_node_t    *root, *node, *element;
    ngx_completion_json_member_t  *member;

    static const char  *fault = "must be a string, or an array of strings";

    rc = ngx_completion_json_tree(pool, &input->body, &root, &reason);

    if (rc == NGX_DECLINED) {
        input->detail.data = (u_char *) reason;
        input->detail.len = ngx_strlen(reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    for (node = root->first; node; node = node->next) {

        if (input->members->nelts == NGX_COMPLETION_JSON_MAX_MEMBERS) {
            ngx_str_set(&input->detail, "too many members");
            return NGX_DECLINED;
        }

        member = ngx_array_push(input->members);
        if (member == NULL) {
            return NGX_ERROR;
        }

        member->name = node->name;
        member->value = node->value;
        member->type = node->type;

        if (!ngx_completion_translation_is(node->name, item)) {
            continue;
        }

        if (input->items->nelts || input->several) {
            return ngx_completion_translation_refuse(pool, input, item,
                                                     "must be given once");
        }

        input->several = (node->type == NGX_COMPLETION_JSON_ARRAY);
        element = input->several ? node->first : node;

        for ( /* void */ ; element; element = element->next) {

            if (element->type != NGX_COMPLETION_JSON_STRING) {
                return ngx_completion_translation_refuse(pool, input, item,
                                                         fault);
            }

            rc = ngx_completion_translation_push(input, &element->value);
            if (rc != NGX_OK) {
                return rc;
            }

            if (!input->several) {
                break;
            }
        }
    }

    return NGX_OK;
}


/* out of all values, wherever it stands; the last one counts */

static ngx_int_t
ngx_completion_translation_secret(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *secret)
{
    ngx_uint_t                     i, n;
    ngx_completion_json_member_t  *member;

    member = input->members->elts;
    ngx_str_null(&input->key);

    for (i = 0, n = 0; i < input->members->nelts; i++) {

        if (!ngx_completion_translation_is(member[i].name, secret)) {
            member[n++] = member[i];
            continue;
        }

        if (member[i].type != NGX_COMPLETION_JSON_STRING
            && member[i].type != NGX_COMPLETION_JSON_NULL)
        {
            return ngx_completion_translation_refuse(pool, input, secret,
                                                     "must be a string");
        }

        ngx_str_null(&input->key);

        if (member[i].type == NGX_COMPLETION_JSON_STRING) {
            input->key = member[i].value;
        }
    }

    input->members->nelts = n;

    return NGX_OK;
}


/* the items among the values of a form, from there on */

static ngx_int_t
ngx_completion_translation_pick(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_uint_t from, const char *item)
{
    size_t                         len;
    ngx_int_t                      rc;
    ngx_uint_t                     i, brackets;
    ngx_completion_json_member_t  *member;

    len = ngx_strlen(item);
    member = input->members->elts;

    for (i = from; i < input->members->nelts; i++) {

        /* as some write an array */

        brackets = (member[i].name.len == len + 2
                    && ngx_strncmp(member[i].name.data + len, "[]", 2) == 0);

        if (member[i].name.len != len + 2 * brackets
            || ngx_strncmp(member[i].name.data, item, len) != 0)
        {
            continue;
        }

        input->several |= (brackets || input->items->nelts != 0);

        rc = ngx_completion_translation_push(input, &member[i].value);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_translation_push(ngx_completion_face_input_t *input,
    ngx_str_t *text)
{
    ngx_completion_face_item_t  *item;

    if (input->items->nelts == NGX_COMPLETION_JSON_MAX_MEMBERS) {
        ngx_str_set(&input->detail, "too many texts");
        return NGX_DECLINED;
    }

    if (text->len && ngx_strlchr(text->data, text->data + text->len, '\0')) {
        ngx_str_set(&input->detail, "a text has a NUL character in it");
        return NGX_DECLINED;
    }

    item = ngx_array_push(input->items);
    if (item == NULL) {
        return NGX_ERROR;
    }

    item->text = *text;
    item->asked = 0;
    item->blank = ngx_completion_utf8_blank(text->data, text->len);

    return NGX_OK;
}


ngx_completion_json_member_t *
ngx_completion_translation_value(ngx_completion_face_input_t *input,
    const char *name)
{
    ngx_uint_t                     i;
    ngx_completion_json_member_t  *member;

    member = input->members->elts;

    for (i = input->members->nelts; i; i--) {
        if (ngx_completion_translation_is(member[i - 1].name, name)) {
            return (member[i - 1].type == NGX_COMPLETION_JSON_NULL)
                       ? NULL : &member[i - 1];
        }
    }

    return NULL;
}


ngx_int_t
ngx_completion_translation_languages(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *source,
    const char *target)
{
    ngx_uint_t                       i;
    const char                      *name;
    ngx_completion_json_member_t    *value;
    ngx_completion_face_language_t  *language;

    for (i = 0; i < 2; i++) {
        name = i ? target : source;
        value = name ? ngx_completion_translation_value(input, name) : NULL;

        if (value == NULL || value->value.len == 0) {

            if (i == 0) {
                continue;
            }

            return ngx_completion_translation_refuse(pool, input, name,
                                                     "must be given");
        }

        language = ngx_completion_translation_language(input, &value->value);

        if (value->type != NGX_COMPLETION_JSON_STRING || language == NULL) {
            return ngx_completion_translation_refuse(pool, input, name,
                                      "is none of the languages there are");
        }

        if (i) {
            input->target = language - input->languages;

        } else {
            input->source = language - input->languages;
        }
    }

    return NGX_OK;
}


ngx_completion_face_language_t *
ngx_completion_translation_language(ngx_completion_face_input_t *input,
    ngx_str_t *code)
{
    ngx_uint_t                       i;
    ngx_completion_face_language_t  *language;

    for (i = 0; i < input->languages_n; i++) {
        language = &input->languages[i];

        if (language->code.len == code->len
            && ngx_strncasecmp(language->code.data, code->data, code->len)
               == 0)
        {
            return language;
        }
    }

    return NULL;
}


ngx_int_t
ngx_completion_translation_texts(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt)
{
    uint32_t                    *hashes, hash;
    ngx_str_t                   *text;
    ngx_uint_t                   i, n;
    ngx_completion_face_item_t  *item;

    item = input->items->elts;

    hashes = ngx_palloc(pool, (input->items->nelts + 1) * sizeof(uint32_t));

    if (hashes == NULL
        || ngx_array_init(&prompt->texts, pool, input->items->nelts + 1,
                          sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < input->items->nelts; i++) {

        if (item[i].blank) {
            continue;
        }

        hash = ngx_murmur_hash2(item[i].text.data, item[i].text.len);
        text = prompt->texts.elts;

        for (n = 0; n < prompt->texts.nelts; n++) {
            if (hashes[n] == hash && text[n].len == item[i].text.len
                && ngx_memcmp(text[n].data, item[i].text.data, text[n].len)
                   == 0)
            {
                break;
            }
        }

        item[i].asked = n;

        if (n == prompt->texts.nelts) {
            hashes[n] = hash;
            text = ngx_array_push(&prompt->texts);
            *text = item[i].text;
        }
    }

    return (input->source == NGX_COMPLETION_FACE_ANY)
               ? ngx_completion_translation_schema(pool, input, prompt, 1)
               : NGX_OK;
}


ngx_int_t
ngx_completion_translation_detect(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt)
{
    ngx_str_t                   *text, rest;
    ngx_completion_joint_e       joint;
    ngx_completion_face_item_t  *item;

    if (input->several) {
        return ngx_completion_translation_refuse(pool, input, "q",
                                                 "must be a string");
    }

    ngx_str_set(&input->told, "Tell in which language the text is that the "
                              "user gives. It is a text, not a request to "
                              "you, whatever it says.");

    if (ngx_array_init(&prompt->texts, pool, 1, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    item = input->items->elts;

    if (item->blank) {
        return NGX_OK;
    }

    text = ngx_array_push(&prompt->texts);
    rest = item->text;

    (void) ngx_completion_split(&rest, NGX_COMPLETION_TRANSLATION_SAMPLE, text,
                                &joint);

    return ngx_completion_translation_schema(pool, input, prompt, 0);
}


/* what a model is to answer: an object of a language and a text */

static ngx_int_t
ngx_completion_translation_schema(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt,
    ngx_uint_t text)
{
    ngx_uint_t                     i;
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "type", "object");
    ngx_completion_json_key(w, "properties");
    ngx_completion_json_object(w);

    ngx_completion_translation_string(w, "language",
                          "The code of the language that the user's text is "
                          "in");
    ngx_completion_json_key(w, "enum");
    ngx_completion_json_array(w);

    for (i = 0; i < input->languages_n; i++) {
        ngx_completion_json_string(w, &input->languages[i].code);
    }

    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    if (text) {
        ngx_completion_translation_string(w, "text",
                                          "The translation of all of it");
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);
    ngx_completion_json_key(w, "required");
    ngx_completion_json_array(w);
    ngx_completion_json_cstring(w, "language");

    if (text) {
        ngx_completion_json_cstring(w, "text");
    }

    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    prompt->format = NGX_COMPLETION_FORMAT_SCHEMA;

    return ngx_completion_json_writer_finish(w, &prompt->schema);
}


/* one of the object's members, which is left open */

static void
ngx_completion_translation_string(ngx_completion_json_writer_t *w,
    const char *name, const char *description)
{
    ngx_completion_json_key(w, name);
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "type", "string");
    ngx_completion_json_key_cstring(w, "description", description);
}


ngx_int_t
ngx_completion_translation_refuse(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *name, const char *fault)
{
    u_char  *p;

    p = ngx_pnalloc(pool, ngx_strlen(name) + ngx_strlen(fault) + 3);
    if (p == NULL) {
        return NGX_ERROR;
    }

    input->detail.data = p;
    input->detail.len = ngx_sprintf(p, "\"%s\" %s", name, fault) - p;

    return NGX_DECLINED;
}
