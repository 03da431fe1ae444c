
/*
 * OpenAI's interface: Responses, chat completions, models.
 */


#include "ngx_completion_openai.h"


static ngx_int_t ngx_completion_openai_query(ngx_pool_t *pool,
    ngx_completion_face_input_t *input);
static ngx_int_t ngx_completion_openai_fault(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to);
static ngx_int_t ngx_completion_openai_models(ngx_pool_t *pool,
    ngx_str_t *names, ngx_uint_t n, ngx_str_t *name,
    ngx_completion_face_answer_t *to);
static void ngx_completion_openai_listed(ngx_completion_json_writer_t *w,
    ngx_str_t *name);


/* GET, POST, DELETE */

static const ngx_completion_face_route_t  ngx_completion_openai_routes[] = {
    { ngx_string("/responses"), 0, NGX_COMPLETION_FACE_SUBMIT, 0,
      NGX_COMPLETION_OPENAI_RESPONSE },
    { ngx_string("/chat/completions"), 0, NGX_COMPLETION_FACE_SUBMIT, 0,
      NGX_COMPLETION_OPENAI_CHAT },
    { ngx_string("/responses/*/cancel"), 0, NGX_COMPLETION_FACE_CANCEL, 0,
      NGX_COMPLETION_OPENAI_RESPONSE },
    { ngx_string("/responses/*"), NGX_COMPLETION_FACE_READ, 0,
      NGX_COMPLETION_FACE_DELETE, NGX_COMPLETION_OPENAI_RESPONSE },
    { ngx_string("/models"), NGX_COMPLETION_FACE_MODELS, 0, 0, 0 },
    { ngx_string("/models/*"), NGX_COMPLETION_FACE_MODELS, 0, 0, 0 },
    { ngx_null_string, 0, 0, 0, 0 }
};


static const ngx_str_t  ngx_completion_openai_prefixes[] = {
    ngx_string("resp_"),
    ngx_string("chatcmpl-"),
    ngx_null_string
};


const ngx_completion_face_t  ngx_completion_openai = {
    .directive = "completion_async_openai",
    .routes = ngx_completion_openai_routes,
    .bodies = 1 << NGX_COMPLETION_FACE_BODY_JSON,
    .types = ngx_string("application/json is supported"),
    .prefixes = ngx_completion_openai_prefixes,
    .orphans = 600,
    .results = 1,
    .request_id = "X-Request-Id",
    .poll_after = "openai-poll-after-ms",
    .retry_max = 60000,
    .options = ngx_string("{}"),
    .read = ngx_completion_openai_read,
    .query = ngx_completion_openai_query,
    .write = ngx_completion_openai_write,
    .error = ngx_completion_openai_fault,
    .models = ngx_completion_openai_models,
    .event = ngx_completion_openai_event,
    .cut = ngx_completion_openai_cut
};


static ngx_int_t
ngx_completion_openai_query(ngx_pool_t *pool,
    ngx_completion_face_input_t *input)
{
    u_char     *p, *last, *end, *equals;
    ngx_str_t   name, value;

    input->after = -1;
    last = input->body.data + input->body.len;

    for (p = input->body.data; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, '&');
        end = end ? end : last;

        equals = ngx_strlchr(p, end, '=');
        equals = equals ? equals : end;

        name.data = p;
        name.len = equals - p;
        value.data = ngx_min(equals + 1, end);
        value.len = end - value.data;

        if (ngx_completion_openai_is(&name, "stream")) {
            input->stream = ngx_completion_openai_is(&value, "true");

        } else if (ngx_completion_openai_is(&name, "starting_after")) {
            input->after = ngx_atoi(value.data, value.len);

            if (input->after == NGX_ERROR) {
                ngx_str_set(&input->param, "starting_after");
                ngx_str_set(&input->detail, "\"starting_after\" must be the "
                                            "number of an event");
                return NGX_DECLINED;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_openai_fault(ngx_pool_t *pool,
    ngx_completion_face_format_e format, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to)
{
    ngx_str_t                        message;
    const char                      *code;
    const ngx_completion_outcome_t  *problem;

    problem = &ngx_completion_outcomes[fault->outcome];

    to->status = problem->status;
    ngx_str_set(&to->type, "application/json");

    code = fault->code ? fault->code : problem->code;
    message = fault->detail;

    if (message.len == 0) {
        message.data = (u_char *) problem->title;
        message.len = ngx_strlen(problem->title);
    }

    if (fault->outcome == NGX_COMPLETION_FORBIDDEN) {
        to->status = 401;
        code = "invalid_api_key";
        ngx_str_set(&message, "The API key is missing, or not known here");
    }

    return ngx_completion_openai_problem(pool, to->status, code, &fault->param,
                                         &message, &to->body);
}


static ngx_int_t
ngx_completion_openai_models(ngx_pool_t *pool, ngx_str_t *names, ngx_uint_t n,
    ngx_str_t *name, ngx_completion_face_answer_t *to)
{
    ngx_uint_t                     i;
    ngx_completion_json_writer_t  *w;

    to->status = 200;
    ngx_str_set(&to->type, "application/json");

    w = ngx_completion_json_writer_create(pool);

    if (name->len) {
        ngx_completion_openai_listed(w, name);
        return ngx_completion_json_writer_finish(w, &to->body);
    }

    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "object", "list");
    ngx_completion_json_key(w, "data");
    ngx_completion_json_array(w);

    for (i = 0; i < n; i++) {
        ngx_completion_openai_listed(w, &names[i]);
    }

    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &to->body);
}


/* when it was made is not known */

static void
ngx_completion_openai_listed(ngx_completion_json_writer_t *w, ngx_str_t *name)
{
    ngx_completion_json_object(w);
    ngx_completion_json_key_string(w, "id", name);
    ngx_completion_json_key_cstring(w, "object", "model");
    ngx_completion_json_key_integer(w, "created", 0);
    ngx_completion_json_key_cstring(w, "owned_by", "nginx");
    ngx_completion_json_end(w);
}
