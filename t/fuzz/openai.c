
/*
 * A body of OpenAI's interface: the first byte says for what.  What is refused
 * is a 4xx of their shape; what is taken is a prompt that can be told upstream,
 * and what it comes to is told in JSON to another reader.
 */


#include "fuzz.h"

#include "../../src/face/ngx_completion_face.h"


/* as the routes say */
#define RESPONSE  1
#define CHAT      2


static ngx_pool_t                   *pool;
static ngx_completion_face_input_t   input;


static void
refused(void)
{
    yajl_val                      tree, error;
    ngx_completion_face_fault_t   fault;
    ngx_completion_face_answer_t  answer;

    memset(&fault, 0, sizeof(ngx_completion_face_fault_t));
    memset(&answer, 0, sizeof(ngx_completion_face_answer_t));

    HOLDS(input.detail.len);

    fault.outcome = NGX_COMPLETION_INVALID_REQUEST;
    fault.detail = input.detail;
    fault.code = input.code;
    fault.param = input.param;

    HOLDS(ngx_completion_openai.error(pool, NGX_COMPLETION_FACE_JSON, &fault,
                                      &answer)
          == NGX_OK);
    HOLDS(answer.status == 400);

    tree = fuzz_json(&answer.body);
    HOLDS(tree && tree->u.object.len == 1);

    error = fuzz_member(tree, "error");
    HOLDS(error->u.object.len == 4);
    HOLDS(YAJL_IS_STRING(fuzz_member(error, "message")));
    HOLDS(fuzz_is(fuzz_member(error, "type"), "invalid_request_error", 21));
    HOLDS(YAJL_IS_STRING(fuzz_member(error, "code")));
    HOLDS(YAJL_IS_STRING(fuzz_member(error, "param"))
          || YAJL_IS_NULL(fuzz_member(error, "param")));

    yajl_tree_free(tree);
}


static void
is_object(ngx_str_t *text)
{
    yajl_val  tree;

    tree = fuzz_json(text);
    HOLDS(tree && YAJL_IS_OBJECT(tree));
    yajl_tree_free(tree);
}


static void
is_told(ngx_completion_prompt_t *prompt)
{
    ngx_uint_t                  i, n;
    ngx_completion_tool_t      *tool = prompt->tools.elts;
    ngx_completion_message_t   *turn = prompt->turns.elts;
    ngx_completion_function_t  *call;

    HOLDS(prompt->turns.nelts && prompt->native.len == 0);
    HOLDS(input.model.len);

    for (i = 0; i < prompt->turns.nelts; i++) {
        HOLDS(turn[i].role.len);
        HOLDS(ngx_completion_utf8_check(turn[i].text.data, turn[i].text.len)
              == NGX_OK);
        HOLDS(turn[i].calls == NULL || turn[i].results == NULL);

        for (n = 0; turn[i].calls && n < turn[i].calls->nelts; n++) {
            call = turn[i].calls->elts;
            HOLDS(call[n].name.len);
            is_object(&call[n].value);
        }

        HOLDS(turn[i].calls == NULL || turn[i].calls->nelts);
        HOLDS(turn[i].results == NULL || turn[i].results->nelts);
    }

    for (i = 0; i < prompt->tools.nelts; i++) {
        HOLDS(tool[i].name.len);

        if (tool[i].parameters.len) {
            is_object(&tool[i].parameters);
        }
    }

    if (prompt->format == NGX_COMPLETION_FORMAT_SCHEMA) {
        is_object(&prompt->schema);
    }

    if (input.echo.len) {
        is_object(&input.echo);
    }
}


/* every event holds JSON, and they are the same from any point on */

static void
is_script(ngx_completion_face_view_t *view)
{
    u_char     *p, *end, *last;
    ngx_int_t   sent = -1;
    ngx_str_t   text, data;
    yajl_val    tree;

    HOLDS(ngx_completion_openai.event(pool, view, &sent, &text) == NGX_OK);
    HOLDS(text.len);

    last = text.data + text.len;

    for (p = text.data; p < last; p = end + 1) {
        end = memchr(p, '\n', last - p);
        HOLDS(end);

        data.data = p + 6;
        data.len = end - data.data;

        if (strncmp((char *) p, "data: {", 7) == 0) {
            tree = fuzz_json(&data);
            HOLDS(tree);
            yajl_tree_free(tree);

        } else {
            HOLDS(p == end || strncmp((char *) p, "event: response.", 16) == 0
                  || strncmp((char *) p, "data: [DONE]", 12) == 0);
        }
    }

    HOLDS(ngx_completion_openai.event(pool, view, &sent, &text) == NGX_OK);
    HOLDS(text.len == 0);
}


static void
is_shown(ngx_completion_prompt_t *prompt)
{
    ngx_str_t                      id = fuzz_string("d7qabcp00000000tag");
    ngx_uint_t                     state;
    ngx_completion_result_t        result;
    ngx_completion_message_t      *turn = prompt->turns.elts;
    ngx_completion_face_view_t     view;
    ngx_completion_face_answer_t   answer;

    for (state = 0; state < NGX_COMPLETION_STATES; state++) {
        memset(&result, 0, sizeof(ngx_completion_result_t));
        memset(&view, 0, sizeof(ngx_completion_face_view_t));
        memset(&answer, 0, sizeof(ngx_completion_face_answer_t));

        result.text = turn[0].text;
        result.message = input.model;
        result.calls = turn[prompt->turns.nelts - 1].calls;
        result.usage.reasoning = -1;

        view.id = id;
        view.state = state;
        view.result = state ? &result : NULL;
        view.input = &input;
        view.accepted = 1;

        is_script(&view);

        /* a chat is shown once it has ended */

        if (state == 0 && input.shape == CHAT) {
            continue;
        }

        HOLDS(ngx_completion_openai.write(pool, NGX_COMPLETION_FACE_JSON,
                                          &view, &answer)
              == NGX_OK);
        HOLDS(answer.status == 200 || answer.status == 424);
        is_object(&answer.body);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t                rc;
    ngx_completion_prompt_t  prompt;

    memset(&input, 0, sizeof(ngx_completion_face_input_t));
    memset(&prompt, 0, sizeof(ngx_completion_prompt_t));

    pool = ngx_create_pool(1024, &shim_log);

    input.shape = (fuzz_byte(&data, &size) == 'c') ? CHAT : RESPONSE;
    input.type = NGX_COMPLETION_FACE_BODY_JSON;
    input.body = fuzz_copy(pool, data, size);

    rc = ngx_completion_openai.read(pool, &input, &prompt);

    if (rc == NGX_DECLINED) {
        refused();

    } else {
        HOLDS(rc == NGX_OK);
        is_told(&prompt);
        is_shown(&prompt);
    }

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
