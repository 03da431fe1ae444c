
/*
 * The face of this module's own: an Operation in upstream's JSON, its text
 * alone, or events of it; problem documents (RFC 9457).
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_face.h"
#include "ngx_completion_form.h"


#define NGX_COMPLETION_NATIVE_PROBLEM  "urn:nginx-completion-async:problem:"

#define ngx_completion_native_is(member, word)                                \
    ((member)->name.len == (word)->len                                        \
     && ngx_strncmp((member)->name.data, (word)->data, (word)->len) == 0)


static ngx_int_t ngx_completion_native_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_native_json(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_str_t *body,
    ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_native_form(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_str_t *body,
    ngx_completion_prompt_t *prompt);
static ngx_int_t ngx_completion_native_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_native_error(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_native_event(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_int_t *last, ngx_str_t *text);
static u_char *ngx_completion_native_document(u_char *p,
    ngx_completion_face_view_t *view);


/* GET, POST, DELETE */

static const ngx_completion_face_route_t  ngx_completion_native_routes[] = {
    { ngx_string(""), 0, NGX_COMPLETION_FACE_SUBMIT, 0, 0 },
    { ngx_string("/"), 0, NGX_COMPLETION_FACE_SUBMIT, 0, 0 },
    { ngx_string("/operations/*:cancel"), 0, NGX_COMPLETION_FACE_CANCEL, 0, 0 },
    { ngx_string("/operations/*"),
      NGX_COMPLETION_FACE_READ, 0, NGX_COMPLETION_FACE_CANCEL, 0 },
    { ngx_null_string, 0, 0, 0, 0 }
};

static const ngx_completion_face_route_t  ngx_completion_native_operations[] = {
    { ngx_string("/*:cancel"), 0, NGX_COMPLETION_FACE_CANCEL, 0, 0 },
    { ngx_string("/*"),
      NGX_COMPLETION_FACE_READ, 0, NGX_COMPLETION_FACE_CANCEL, 0 },
    { ngx_null_string, 0, 0, 0, 0 }
};


const ngx_completion_face_t  ngx_completion_native = {
    .directive = "completion_async",
    .routes = ngx_completion_native_routes,
    .operations = ngx_completion_native_operations,
    .bodies = 1 << NGX_COMPLETION_FACE_BODY_TEXT
              |1 << NGX_COMPLETION_FACE_BODY_JSON
              |1 << NGX_COMPLETION_FACE_BODY_FORM,
    .types = ngx_string("text/*, application/json and "
                        "application/x-www-form-urlencoded are supported"),
    .negotiates = 1,
    .parts = 1,
    .read = ngx_completion_native_read,
    .write = ngx_completion_native_write,
    .error = ngx_completion_native_error,
    .event = ngx_completion_native_event,
    .last_event = ngx_string("done")
};


static ngx_str_t  ngx_completion_native_text = ngx_string("text");


static ngx_int_t
ngx_completion_native_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    input->members = NULL;
    text = input->body;

    if (text.len >= 3 && ngx_strncmp(text.data, "\xef\xbb\xbf", 3) == 0) {
        text.data += 3;
        text.len -= 3;
    }

    switch (input->type) {

    case NGX_COMPLETION_FACE_BODY_JSON:
        rc = ngx_completion_native_json(pool, input, &text, prompt);
        break;

    case NGX_COMPLETION_FACE_BODY_FORM:
        rc = ngx_completion_native_form(pool, input, &text, prompt);
        break;

    default: /* NGX_COMPLETION_FACE_BODY_TEXT */
        prompt->text = text;
        rc = NGX_OK;
        break;
    }

    if (rc != NGX_OK || prompt->native.len) {
        return rc;
    }

    text = prompt->text;

    if (ngx_completion_utf8_check(text.data, text.len) != NGX_OK) {
        ngx_str_set(&input->detail, "the text is not valid UTF-8");
        return NGX_DECLINED;
    }

    if (ngx_completion_utf8_blank(text.data, text.len)) {
        ngx_str_set(&input->detail, "the text is empty");
        return NGX_DECLINED;
    }

    if (ngx_strlchr(text.data, text.data + text.len, '\0')) {
        ngx_str_set(&input->detail, "the text has a NUL character in it");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_native_json(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_str_t *body,
    ngx_completion_prompt_t *prompt)
{
    u_char                        *p;
    ngx_int_t                      rc;
    ngx_uint_t                     i, texts, natives;
    const char                    *reason;
    ngx_completion_json_member_t  *member;

    rc = ngx_completion_json_members(pool, body, &input->members, &reason);

    if (rc == NGX_DECLINED) {
        input->detail.data = (u_char *) reason;
        input->detail.len = ngx_strlen(reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    texts = 0;
    natives = 0;
    member = input->members->elts;

    for (i = 0; i < input->members->nelts; i++) {

        if (ngx_completion_native_is(&member[i], &ngx_completion_native_text))
        {
            texts++;

            if (member[i].type != NGX_COMPLETION_JSON_STRING) {
                ngx_str_set(&input->detail, "\"text\" must be a string");
                return NGX_DECLINED;
            }

            prompt->text = member[i].value;

        } else if (ngx_completion_native_is(&member[i], &input->native)) {
            natives++;
        }
    }

    if (texts + natives != 1) {
        p = ngx_pnalloc(pool, sizeof("either \"text\" or \"\" must be given, "
                                     "once") + input->native.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        input->detail.data = p;
        input->detail.len = ngx_sprintf(p, "either \"text\" or \"%V\" must be "
                                        "given, once", &input->native)
                            - p;

        return NGX_DECLINED;
    }

    if (natives) {
        prompt->native = *body;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_native_form(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_str_t *body,
    ngx_completion_prompt_t *prompt)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, texts;
    ngx_completion_json_member_t  *field;

    input->members = ngx_array_create(pool, 4,
                                      sizeof(ngx_completion_json_member_t));
    if (input->members == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_form_values(pool, body, input->members,
                                    &input->detail);
    if (rc != NGX_OK) {
        return rc;
    }

    texts = 0;
    field = input->members->elts;

    for (i = 0; i < input->members->nelts; i++) {
        if (ngx_completion_native_is(&field[i], &ngx_completion_native_text)) {
            texts++;
            prompt->text = field[i].value;
        }
    }

    if (texts != 1) {
        ngx_str_set(&input->detail, "the field \"text\" must be given, once");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* a text is that of a finished operation, or why there is none */

static ngx_int_t
ngx_completion_native_write(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_view_t *view,
    ngx_completion_face_answer_t *to)
{
    u_char  *p;

    if (format == NGX_COMPLETION_FACE_TEXT) {
        ngx_str_set(&to->type, "text/plain");
        ngx_str_set(&to->charset, "utf-8");

        if (view->state == NGX_COMPLETION_PENDING) {
            to->status = 202;
            return NGX_OK;
        }

        to->status = ngx_completion_failures[view->result->failure];

        if (view->state == NGX_COMPLETION_TOOL_CALLS) {
            ngx_str_set(&to->body, "tool_calls: functions are to be called, "
                                   "see the operation as JSON\n");
            return NGX_OK;
        }

        to->body = (view->result->state == NGX_COMPLETION_FAILED)
                       ? view->result->message : view->result->text;
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, view->document.len + view->id.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    to->status = view->accepted ? 202 : 200;
    ngx_str_set(&to->type, "application/json");
    to->body.data = p;
    to->body.len = ngx_completion_native_document(p, view) - p;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_native_error(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to)
{
    ngx_str_t                        type, said;
    ngx_completion_json_writer_t    *w;
    const ngx_completion_outcome_t  *problem;

    problem = &ngx_completion_outcomes[fault->outcome];

    said = fault->detail;

    if (said.len == 0) {
        said.data = (u_char *) problem->title;
        said.len = ngx_strlen(problem->title);
    }

    to->status = problem->status;

    type.data = ngx_pnalloc(pool, sizeof(NGX_COMPLETION_NATIVE_PROBLEM)
                                  + ngx_strlen(problem->code) + said.len + 3);
    if (type.data == NULL) {
        return NGX_ERROR;
    }

    if (format == NGX_COMPLETION_FACE_TEXT) {
        ngx_str_set(&to->type, "text/plain");
        ngx_str_set(&to->charset, "utf-8");
        to->body.data = type.data;
        to->body.len = ngx_sprintf(type.data, "%s: %V\n", problem->code, &said)
                       - type.data;
        return NGX_OK;
    }

    ngx_str_set(&to->type, "application/problem+json");

    type.len = ngx_sprintf(type.data, NGX_COMPLETION_NATIVE_PROBLEM "%s",
                           problem->code)
               - type.data;

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key_string(w, "type", &type);
    ngx_completion_json_key_cstring(w, "title", problem->title);
    ngx_completion_json_key_integer(w, "status", problem->status);
    ngx_completion_json_key_string(w, "detail", &said);
    ngx_completion_json_key_cstring(w, "code", problem->code);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &to->body);
}


static ngx_int_t
ngx_completion_native_event(ngx_pool_t *pool, ngx_completion_face_view_t *view,
    ngx_int_t *last, ngx_str_t *text)
{
    u_char  *p;

    p = ngx_pnalloc(pool, view->document.len + view->id.len
                          + sizeof("event: operation\nid: pending\n"
                                   "data: \n\n"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_sprintf(p, "event: operation\nid: %s\ndata: ",
                    view->state == NGX_COMPLETION_PENDING ? "pending"
                                                          : "done");
    p = ngx_completion_native_document(p, view);
    p = ngx_cpymem(p, "\n\n", 2);

    text->len = p - text->data;

    return NGX_OK;
}


/* with the client's id in its place */

static u_char *
ngx_completion_native_document(u_char *p, ngx_completion_face_view_t *view)
{
    u_char  *document;

    document = view->document.data;

    p = ngx_cpymem(p, document, view->id_offset);
    p = ngx_cpymem(p, view->id.data, view->id.len);

    return ngx_cpymem(p, document + view->id_offset,
                      view->document.len - view->id_offset);
}
