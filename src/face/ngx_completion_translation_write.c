
#include "ngx_completion_translation.h"


/* a part as it is to be joined with those around it */
typedef struct {
    ngx_str_t                        text;
    ngx_completion_face_language_t  *language;   /* NULL: none that is known */
} ngx_completion_translation_part_t;


static ngx_int_t ngx_completion_translation_parts(ngx_pool_t *pool,
    ngx_completion_face_view_t *view,
    ngx_completion_translation_part_t *parts);
static ngx_int_t ngx_completion_translation_part(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_result_t *result,
    ngx_completion_translation_part_t *part);
static ngx_str_t ngx_completion_translation_object(ngx_str_t *text);
static ngx_int_t ngx_completion_translation_join(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_uint_t asked,
    ngx_completion_translation_part_t *parts,
    ngx_completion_translation_t *joined);
static ngx_int_t ngx_completion_translation_compared(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_translation_t *items,
    ngx_completion_tags_e *tags);
static ngx_uint_t ngx_completion_translation_status(
    ngx_completion_outcome_e outcome);


ngx_int_t
ngx_completion_translation_items(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_completion_translation_t **items,
    ngx_completion_face_answer_t *to, ngx_completion_face_fault_t *fault)
{
    ngx_int_t                           rc;
    ngx_uint_t                          i, n, asked;
    ngx_completion_face_item_t         *item;
    ngx_completion_face_input_t        *input;
    ngx_completion_translation_t       *joined;
    ngx_completion_translation_part_t  *parts;

    static ngx_str_t  failed = ngx_string("there is no translation");

    input = view->input;

    if (view->state == NGX_COMPLETION_PENDING) {
        fault->outcome = NGX_COMPLETION_NOT_READY;
        to->status = ngx_completion_translation_status(fault->outcome);
        return NGX_DECLINED;
    }

    if (view->state >= NGX_COMPLETION_TOOL_CALLS
        || (view->result
            && view->result->failure == NGX_COMPLETION_FAILURE_FILTERED))
    {
        to->status = NGX_COMPLETION_TRANSLATION_FAILED;
        fault->detail = failed;

        if (view->result && view->result->message.len) {
            fault->detail = view->result->message;
        }

        return NGX_DECLINED;
    }

    to->status = 200;

    parts = ngx_palloc(pool, (view->n + 1)
                             * sizeof(ngx_completion_translation_part_t));
    if (parts == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_translation_parts(pool, view, parts);

    if (rc == NGX_DECLINED) {
        to->status = NGX_COMPLETION_TRANSLATION_FAILED;
        fault->detail = failed;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* each text once, and those of the items behind them */

    asked = view->n ? view->parts[view->n - 1].asked + 1 : 0;
    n = input->items->nelts;
    item = input->items->elts;

    joined = ngx_pcalloc(pool, (asked + n + 1)
                               * sizeof(ngx_completion_translation_t));
    if (joined == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < asked; i++) {
        if (ngx_completion_translation_join(pool, view, i, parts, &joined[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    *items = joined + asked;

    for (i = 0; i < n; i++) {

        if (!item[i].blank) {
            (*items)[i] = joined[item[i].asked];
            continue;
        }

        (*items)[i].text = item[i].text;
        (*items)[i].language = (input->source == NGX_COMPLETION_FACE_ANY)
                                   ? input->languages
                                   : &input->languages[input->source];
    }

    return input->tagged ? ngx_completion_translation_compared(pool, input,
                                                               *items,
                                                               &to->tags)
                         : NGX_OK;
}


/* NGX_DECLINED: one of them says nothing */

static ngx_int_t
ngx_completion_translation_parts(ngx_pool_t *pool,
    ngx_completion_face_view_t *view,
    ngx_completion_translation_part_t *parts)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < view->n; i++) {
        parts[i].text = view->parts[i].result->text;
        parts[i].language = NULL;

        if (parts[i].text.len == 0) {
            ngx_str_set(&parts[i].text, "");
            continue;
        }

        if (view->input->source != NGX_COMPLETION_FACE_ANY) {
            continue;
        }

        rc = ngx_completion_translation_part(pool, view->input,
                                             view->parts[i].result, &parts[i]);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* what was asked for as an object, and may be prose all the same */

static ngx_int_t
ngx_completion_translation_part(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_result_t *result,
    ngx_completion_translation_part_t *part)
{
    ngx_int_t                      rc;
    ngx_str_t                      object;
    ngx_uint_t                     i;
    const char                    *reason;
    ngx_array_t                   *members;
    ngx_completion_json_member_t  *member;

    static ngx_str_t  language = ngx_string("language");
    static ngx_str_t  text = ngx_string("text");

    object = ngx_completion_translation_object(&result->text);

    if (object.len == 0) {
        return NGX_OK;
    }

    rc = ngx_completion_json_members(pool, &object, &members, &reason);

    if (rc == NGX_DECLINED) {

        /* the half of an object is nothing to read; else it is prose */

        return (result->state == NGX_COMPLETION_INCOMPLETE) ? NGX_DECLINED
                                                            : NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    member = members->elts;

    for (i = 0; i < members->nelts; i++) {

        if (member[i].type != NGX_COMPLETION_JSON_STRING) {
            continue;
        }

        if (member[i].name.len == language.len
            && ngx_strncmp(member[i].name.data, language.data, language.len)
               == 0)
        {
            part->language = ngx_completion_translation_language(input,
                                                            &member[i].value);

        } else if (member[i].name.len == text.len
                   && ngx_strncmp(member[i].name.data, text.data, text.len)
                      == 0)
        {
            part->text = member[i].value;
        }
    }

    return NGX_OK;
}


/* without what stands around it, which may be a fence of Markdown's */

static ngx_str_t
ngx_completion_translation_object(ngx_str_t *text)
{
    u_char     *p, *last;
    ngx_str_t   object;

    p = text->data;
    last = p + text->len;

    ngx_str_null(&object);

    while (last > p && (last[-1] <= ' ' || last[-1] == '`')) {
        last--;
    }

    while (p < last && *p <= ' ') {
        p++;
    }

    if (p + 3 < last && ngx_strncmp(p, "```", 3) == 0) {
        p = ngx_strlchr(p, last, '\n');

        while (p && p < last && *p <= ' ') {
            p++;
        }
    }

    if (p && p < last && *p == '{') {
        object.data = p;
        object.len = last - p;
    }

    return object;
}


/* the parts of one text; its language is that of the first that has one */

static ngx_int_t
ngx_completion_translation_join(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_uint_t asked,
    ngx_completion_translation_part_t *parts,
    ngx_completion_translation_t *joined)
{
    u_char                       *p;
    size_t                        len;
    ngx_uint_t                    i, first, last;
    const ngx_str_t              *joint;
    ngx_completion_face_input_t  *input;

    input = view->input;

    for (first = 0; view->parts[first].asked < asked; first++) { /* void */ }

    len = 0;

    for (last = first; last < view->n && view->parts[last].asked == asked;
         last++)
    {
        len += parts[last].text.len
               + ngx_completion_joints[view->parts[last].joint].len;

        if (joined->language == NULL) {
            joined->language = parts[last].language;
        }
    }

    p = ngx_pnalloc(pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    joined->text.data = p;

    for (i = first; i < last; i++) {
        joint = &ngx_completion_joints[view->parts[i].joint];

        p = ngx_cpymem(p, parts[i].text.data, parts[i].text.len);
        p = ngx_cpymem(p, joint->data, joint->len);
    }

    joined->text.len = p - joined->text.data;
    joined->found = (joined->language != NULL);

    if (input->source != NGX_COMPLETION_FACE_ANY) {
        joined->language = &input->languages[input->source];

    } else if (!joined->found) {
        joined->language = input->languages;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_translation_compared(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_translation_t *items,
    ngx_completion_tags_e *tags)
{
    ngx_uint_t                   i, next, kept;
    ngx_completion_face_item_t  *item;

    item = input->items->elts;
    *tags = NGX_COMPLETION_TAGS_KEPT;

    for (i = 0, next = 0; i < input->items->nelts; i++) {

        /* equal ones once, and blank ones are as they were */

        if (item[i].blank || item[i].asked != next) {
            continue;
        }

        next++;

        if (ngx_completion_translation_tags(pool, &item[i].text,
                                            &items[i].text, &kept)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (!kept) {
            *tags = NGX_COMPLETION_TAGS_CHANGED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_completion_translation_fault(ngx_pool_t *pool, const char *member,
    ngx_completion_face_fault_t *fault, ngx_completion_face_answer_t *to)
{
    ngx_str_t                      said;
    ngx_completion_json_writer_t  *w;

    if (to->status == 0) {
        to->status = ngx_completion_translation_status(fault->outcome);
    }

    ngx_str_set(&to->type, "application/json");
    said = fault->detail;

    if (said.len == 0) {
        said.data = (u_char *) ngx_completion_outcomes[fault->outcome].title;
        said.len = ngx_strlen(said.data);
    }

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key_string(w, member, &said);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &to->body);
}


/* none that is taken for "not for half an hour" */

static ngx_uint_t
ngx_completion_translation_status(ngx_completion_outcome_e outcome)
{
    switch (outcome) {

    case NGX_COMPLETION_QUOTA_EXCEEDED:
    case NGX_COMPLETION_ZONE_FULL:
    case NGX_COMPLETION_OVERLOADED:
    case NGX_COMPLETION_UPSTREAM_UNAVAILABLE:
    case NGX_COMPLETION_REDIS_UNAVAILABLE:
        return 504;

    default:
        return ngx_completion_outcomes[outcome].status;
    }
}
