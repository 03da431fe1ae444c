
/*
 * What a model is told, in OpenAI's words, and the tools it may call.  There a
 * call has an id, by which its result refers to it; upstream knows a result by
 * the name of its tool, which is looked up among the calls ahead of it.
 */


#include "ngx_completion_openai.h"


/* calls, and results; each result goes through all of the calls */
#define NGX_COMPLETION_OPENAI_CALLS  1024

#define NGX_COMPLETION_OPENAI_PARAM  128


/* where in the body a fault may be: "input", its index, "content" */
typedef struct {
    const char                    *list;
    ngx_uint_t                     index;
} ngx_completion_openai_place_t;


static ngx_int_t ngx_completion_openai_item(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *item,
    ngx_completion_openai_place_t *place);
static ngx_uint_t ngx_completion_openai_type(ngx_completion_json_node_t *item,
    const char *word);
static const char *ngx_completion_openai_role(
    ngx_completion_json_node_t *item);
static ngx_int_t ngx_completion_openai_object(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *item,
    const char *words, ngx_completion_openai_place_t *place);
static ngx_int_t ngx_completion_openai_content(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *item,
    const char *member, ngx_completion_openai_place_t *place, ngx_str_t *text);
static ngx_int_t ngx_completion_openai_parts(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *parts,
    const char *member, ngx_completion_openai_place_t *place, ngx_str_t *text);
static ngx_int_t ngx_completion_openai_answer(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *item,
    ngx_completion_openai_place_t *place);
static ngx_int_t ngx_completion_openai_call(
    ngx_completion_openai_reader_t *reader, ngx_array_t *calls,
    ngx_completion_json_node_t *call, const char *id,
    ngx_completion_openai_place_t *place);
static ngx_int_t ngx_completion_openai_result(
    ngx_completion_openai_reader_t *reader, ngx_array_t *results,
    ngx_completion_json_node_t *item, const char *id, const char *output,
    ngx_completion_openai_place_t *place);
static ngx_int_t ngx_completion_openai_readable(
    ngx_completion_openai_reader_t *reader, ngx_str_t *text);
static ngx_completion_message_t *ngx_completion_openai_turn(
    ngx_completion_openai_reader_t *reader, const char *role);
static ngx_array_t *ngx_completion_openai_functions(
    ngx_completion_openai_reader_t *reader, ngx_uint_t results);
static ngx_int_t ngx_completion_openai_tool(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *tool,
    ngx_completion_openai_place_t *place);
static ngx_int_t ngx_completion_openai_choice(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *node);


/* Calls that follow each other are one message, and so are results. */

ngx_int_t
ngx_completion_openai_items(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *items)
{
    ngx_int_t                       rc;
    ngx_array_t                    *functions;
    ngx_completion_json_node_t     *item;
    ngx_completion_openai_place_t   place;

    if (items->type == NGX_COMPLETION_JSON_STRING) {
        return ngx_completion_openai_message(reader, "user", &items->value);
    }

    place.list = "input";
    place.index = 0;

    item = items->first;

    while (item) {

        if (ngx_completion_openai_type(item, "function_call")) {
            functions = ngx_completion_openai_functions(reader, 0);

            if (functions == NULL) {
                return NGX_ERROR;
            }

            do {
                rc = ngx_completion_openai_object(reader, item,
                            "type id call_id name arguments status ", &place);

                if (rc == NGX_OK) {
                    rc = ngx_completion_openai_call(reader, functions, item,
                                                    "call_id", &place);
                }

                if (rc != NGX_OK) {
                    return rc;
                }

                item = item->next;
                place.index++;

            } while (item
                     && ngx_completion_openai_type(item, "function_call"));

            continue;
        }

        if (ngx_completion_openai_type(item, "function_call_output")) {
            functions = ngx_completion_openai_functions(reader, 1);

            if (functions == NULL) {
                return NGX_ERROR;
            }

            do {
                rc = ngx_completion_openai_object(reader, item,
                                   "type id call_id output status ", &place);

                if (rc == NGX_OK) {
                    rc = ngx_completion_openai_result(reader, functions, item,
                                                      "call_id", "output",
                                                      &place);
                }

                if (rc != NGX_OK) {
                    return rc;
                }

                item = item->next;
                place.index++;

            } while (item && ngx_completion_openai_type(item,
                                                     "function_call_output"));

            continue;
        }

        rc = ngx_completion_openai_item(reader, item, &place);
        if (rc != NGX_OK) {
            return rc;
        }

        item = item->next;
        place.index++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_openai_item(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *item, ngx_completion_openai_place_t *place)
{
    ngx_int_t    rc;
    ngx_str_t    text;
    const char  *role;

    if (item->type == NGX_COMPLETION_JSON_OBJECT
        && ngx_completion_openai_member(item, "type")
        && !ngx_completion_openai_type(item, "message"))
    {
        return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "%s[%ui].type", place->list,
                                            place->index);
    }

    rc = ngx_completion_openai_object(reader, item,
                                      "type id role content status phase ",
                                      place);
    if (rc != NGX_OK) {
        return rc;
    }

    role = ngx_completion_openai_role(item);

    if (role == NULL) {
        return ngx_completion_openai_refuse(reader, NULL,
                               "must be user, assistant, system or developer",
                               "%s[%ui].role", place->list, place->index);
    }

    rc = ngx_completion_openai_content(reader, item, "content", place, &text);

    return (rc == NGX_OK) ? ngx_completion_openai_message(reader, role, &text)
                          : rc;
}


ngx_int_t
ngx_completion_openai_messages(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *messages)
{
    ngx_int_t                       rc;
    ngx_str_t                       text, *role;
    const char                     *word;
    ngx_array_t                    *functions;
    ngx_completion_json_node_t     *message, *node;
    ngx_completion_openai_place_t   place;

    place.list = "messages";
    place.index = 0;

    message = messages->first;

    while (message) {

        rc = ngx_completion_openai_object(reader, message,
                  "role content refusal tool_calls tool_call_id annotations ",
                  &place);
        if (rc != NGX_OK) {
            return rc;
        }

        node = ngx_completion_openai_member(message, "role");
        role = node ? &node->value : &message->value;

        if (ngx_completion_openai_is(role, "tool")) {
            functions = ngx_completion_openai_functions(reader, 1);

            if (functions == NULL) {
                return NGX_ERROR;
            }

            do {
                rc = ngx_completion_openai_object(reader, message,
                                      "role content tool_call_id ", &place);

                if (rc == NGX_OK) {
                    rc = ngx_completion_openai_result(reader, functions,
                                                      message, "tool_call_id",
                                                      "content", &place);
                }

                if (rc != NGX_OK) {
                    return rc;
                }

                message = message->next;
                place.index++;

                node = (message
                        && message->type == NGX_COMPLETION_JSON_OBJECT)
                           ? ngx_completion_openai_member(message, "role")
                           : NULL;

            } while (node && ngx_completion_openai_is(&node->value, "tool"));

            continue;
        }

        word = ngx_completion_openai_role(message);

        if (word == NULL) {
            return ngx_completion_openai_refuse(reader, NULL,
                         "must be user, assistant, tool, system or developer",
                         "%s[%ui].role", place.list, place.index);
        }

        if (ngx_completion_openai_is(role, "assistant")) {
            rc = ngx_completion_openai_answer(reader, message, &place);

        } else {
            rc = ngx_completion_openai_object(reader, message,
                                              "role content ", &place);

            if (rc == NGX_OK) {
                rc = ngx_completion_openai_content(reader, message, "content",
                                                &place, &text);
            }

            if (rc == NGX_OK) {
                rc = ngx_completion_openai_message(reader, word, &text);
            }
        }

        if (rc != NGX_OK) {
            return rc;
        }

        message = message->next;
        place.index++;
    }

    return NGX_OK;
}


/* an assistant's, which may have a text, or calls, or both */

static ngx_int_t
ngx_completion_openai_answer(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *item, ngx_completion_openai_place_t *place)
{
    ngx_int_t                    rc;
    ngx_str_t                    text;
    ngx_array_t                 *functions;
    ngx_completion_json_node_t  *calls, *call;

    calls = ngx_completion_openai_member(item, "tool_calls");

    if (calls && (calls->type != NGX_COMPLETION_JSON_ARRAY
                  || calls->first == NULL))
    {
        return ngx_completion_openai_refuse(reader, NULL,
                                            "must be an array of calls",
                                            "%s[%ui].tool_calls", place->list,
                                            place->index);
    }

    if (ngx_completion_openai_member(item, "refusal")) {
        return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "%s[%ui].refusal", place->list,
                                            place->index);
    }

    if (calls == NULL || ngx_completion_openai_member(item, "content")) {
        rc = ngx_completion_openai_content(reader, item, "content", place,
                                           &text);
        if (rc != NGX_OK) {
            return rc;
        }

        if (text.len || calls == NULL) {
            rc = ngx_completion_openai_message(reader, "assistant", &text);
            if (rc != NGX_OK) {
                return rc;
            }
        }
    }

    if (calls == NULL) {
        return NGX_OK;
    }

    functions = ngx_completion_openai_functions(reader, 0);

    if (functions == NULL) {
        return NGX_ERROR;
    }

    for (call = calls->first; call; call = call->next) {

        if (call->type != NGX_COMPLETION_JSON_OBJECT
            || !ngx_completion_openai_type(call, "function"))
        {
            return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "%s[%ui].tool_calls", place->list,
                                            place->index);
        }

        rc = ngx_completion_openai_call(reader, functions, call, "id", place);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* in native words; NULL: another one */

static const char *
ngx_completion_openai_role(ngx_completion_json_node_t *item)
{
    ngx_uint_t                   i;
    ngx_completion_json_node_t  *role;

    static const struct {
        ngx_str_t    word;
        const char  *native;
    } roles[] = {
        { ngx_string("user"), "user" },
        { ngx_string("assistant"), "assistant" },
        { ngx_string("system"), "system" },
        { ngx_string("developer"), "system" }
    };

    role = ngx_completion_openai_member(item, "role");

    if (role == NULL || role->type != NGX_COMPLETION_JSON_STRING) {
        return NULL;
    }

    for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (role->value.len == roles[i].word.len
            && ngx_strncmp(role->value.data, roles[i].word.data,
                           roles[i].word.len)
               == 0)
        {
            return roles[i].native;
        }
    }

    return NULL;
}


/* what stands in a list, with nothing unknown in it */

static ngx_int_t
ngx_completion_openai_object(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *item, const char *words,
    ngx_completion_openai_place_t *place)
{
    u_char  path[NGX_COMPLETION_OPENAI_PARAM], *p;

    p = ngx_snprintf(path, sizeof(path) - 1, "%s[%ui]", place->list,
                     place->index);
    *p = '\0';

    if (item->type != NGX_COMPLETION_JSON_OBJECT) {
        return ngx_completion_openai_refuse(reader, NULL, "must be an object",
                                            "%s", path);
    }

    return ngx_completion_openai_known(reader, item, words, (char *) path);
}


static ngx_int_t
ngx_completion_openai_content(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *item, const char *member,
    ngx_completion_openai_place_t *place, ngx_str_t *text)
{
    ngx_completion_json_node_t  *node;

    node = ngx_completion_openai_member(item, member);

    if (node && node->type == NGX_COMPLETION_JSON_STRING) {
        *text = node->value;
        return NGX_OK;
    }

    if (node && node->type == NGX_COMPLETION_JSON_ARRAY) {
        return ngx_completion_openai_parts(reader, node, member, place, text);
    }

    return ngx_completion_openai_refuse(reader, NULL,
                                        "must be a string or an array of "
                                        "parts", "%s[%ui].%s", place->list,
                                        place->index, member);
}


/* a line for each */

static ngx_int_t
ngx_completion_openai_parts(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *parts, const char *member,
    ngx_completion_openai_place_t *place, ngx_str_t *text)
{
    size_t                       len;
    u_char                      *p, path[NGX_COMPLETION_OPENAI_PARAM];
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_completion_json_node_t  *part, *node;

    len = 0;
    i = 0;

    for (part = parts->first; part; part = part->next) {

        if (part->type != NGX_COMPLETION_JSON_OBJECT
            || (!ngx_completion_openai_type(part, "input_text")
                && !ngx_completion_openai_type(part, "output_text")
                && !ngx_completion_openai_type(part, "text")))
        {
            return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "%s[%ui].%s[%ui].type",
                                            place->list, place->index, member,
                                            i);
        }

        p = ngx_snprintf(path, sizeof(path) - 1, "%s[%ui].%s[%ui]",
                         place->list, place->index, member, i);
        *p = '\0';

        rc = ngx_completion_openai_known(reader, part,
                                         "type text annotations logprobs ",
                                         (char *) path);
        if (rc != NGX_OK) {
            return rc;
        }

        node = ngx_completion_openai_member(part, "text");

        if (node == NULL || node->type != NGX_COMPLETION_JSON_STRING) {
            return ngx_completion_openai_refuse(reader, NULL,
                                                "must be a string", "%s.text",
                                                path);
        }

        len += node->value.len + 1;
        i++;
    }

    p = ngx_pnalloc(reader->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (part = parts->first; part; part = part->next) {
        node = ngx_completion_openai_member(part, "text");

        p = ngx_cpymem(p, node->value.data, node->value.len);

        if (part->next) {
            *p++ = LF;
        }
    }

    text->len = p - text->data;

    return NGX_OK;
}


ngx_int_t
ngx_completion_openai_message(ngx_completion_openai_reader_t *reader,
    const char *role, ngx_str_t *text)
{
    ngx_completion_message_t  *message;

    message = ngx_completion_openai_turn(reader, role);
    if (message == NULL) {
        return NGX_ERROR;
    }

    message->text = *text;

    return ngx_completion_openai_readable(reader, text);
}


static ngx_int_t
ngx_completion_openai_readable(ngx_completion_openai_reader_t *reader,
    ngx_str_t *text)
{
    if (ngx_strlchr(text->data, text->data + text->len, '\0') == NULL) {
        return NGX_OK;
    }

    return ngx_completion_openai_refuse(reader, NULL,
                                        "has a NUL character in it", "%s",
                                        reader->input->shape
                                        == NGX_COMPLETION_OPENAI_CHAT
                                            ? "messages" : "input");
}


static ngx_completion_message_t *
ngx_completion_openai_turn(ngx_completion_openai_reader_t *reader,
    const char *role)
{
    ngx_completion_message_t  *message;

    message = ngx_array_push(&reader->prompt->turns);

    if (message) {
        ngx_memzero(message, sizeof(ngx_completion_message_t));
        message->role.data = (u_char *) role;
        message->role.len = ngx_strlen(role);
    }

    return message;
}


/* a turn of calls, or of results */

static ngx_array_t *
ngx_completion_openai_functions(ngx_completion_openai_reader_t *reader,
    ngx_uint_t results)
{
    ngx_array_t               *functions;
    ngx_completion_message_t  *message;

    message = ngx_completion_openai_turn(reader, "assistant");
    functions = ngx_array_create(reader->pool, 2,
                                 sizeof(ngx_completion_function_t));

    if (message == NULL || functions == NULL) {
        return NULL;
    }

    if (results) {
        message->results = functions;

    } else {
        message->calls = functions;
    }

    return functions;
}


/* its id and, in the object itself or in its "function", name and arguments */

static ngx_int_t
ngx_completion_openai_call(ngx_completion_openai_reader_t *reader,
    ngx_array_t *calls, ngx_completion_json_node_t *call, const char *id,
    ngx_completion_openai_place_t *place)
{
    ngx_int_t                      rc;
    const char                    *reason;
    ngx_completion_function_t     *function;
    ngx_completion_json_node_t    *node, *name, *within;
    ngx_completion_openai_call_t  *known;

    within = ngx_completion_openai_member(call, "function");

    if (within == NULL) {
        within = call;
    }

    name = ngx_completion_openai_member(within, "name");
    node = ngx_completion_openai_member(call, id);

    if (name == NULL || name->type != NGX_COMPLETION_JSON_STRING
        || name->value.len == 0
        || node == NULL || node->type != NGX_COMPLETION_JSON_STRING
        || node->value.len == 0)
    {
        return ngx_completion_openai_refuse(reader, NULL,
                                            "needs a name and an id",
                                            "%s[%ui]", place->list,
                                            place->index);
    }

    if (reader->calls.nelts == NGX_COMPLETION_OPENAI_CALLS) {
        return ngx_completion_openai_refuse(reader, NULL,
                                            "is one call too many", "%s[%ui]",
                                            place->list, place->index);
    }

    known = ngx_array_push(&reader->calls);
    function = ngx_array_push(calls);

    if (known == NULL || function == NULL) {
        return NGX_ERROR;
    }

    known->id = &node->value;
    known->name = &name->value;

    function->name = name->value;
    ngx_str_set(&function->value, "{}");

    node = ngx_completion_openai_member(within, "arguments");

    if (node == NULL || (node->type == NGX_COMPLETION_JSON_STRING
                         && node->value.len == 0))
    {
        return NGX_OK;
    }

    function->value = node->value;
    rc = NGX_DECLINED;

    if (node->type == NGX_COMPLETION_JSON_STRING) {
        rc = ngx_completion_json_read(reader->pool, &node->value, NULL, NULL,
                                      NULL, &reason);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_completion_openai_refuse(reader, NULL,
                                        "must be a JSON object in a string",
                                        "%s[%ui].%sarguments", place->list,
                                        place->index,
                                        (within == call)
                                            ? "" : "tool_calls[].function.");
}


static ngx_int_t
ngx_completion_openai_result(ngx_completion_openai_reader_t *reader,
    ngx_array_t *results, ngx_completion_json_node_t *item, const char *id,
    const char *output, ngx_completion_openai_place_t *place)
{
    ngx_int_t                      rc;
    ngx_str_t                     *name;
    ngx_uint_t                     i;
    ngx_completion_function_t     *function;
    ngx_completion_json_node_t    *node;
    ngx_completion_openai_call_t  *call;

    node = ngx_completion_openai_member(item, id);
    call = reader->calls.elts;
    name = NULL;

    if (node && node->type == NGX_COMPLETION_JSON_STRING
        && reader->results++ < NGX_COMPLETION_OPENAI_CALLS)
    {
        /* the last one: an id may come again in another turn */

        for (i = reader->calls.nelts; i-- && name == NULL; /* void */ ) {
            if (call[i].id->len == node->value.len
                && ngx_memcmp(call[i].id->data, node->value.data,
                              node->value.len)
                   == 0)
            {
                name = call[i].name;
            }
        }
    }

    if (name == NULL) {
        return ngx_completion_openai_refuse(reader, NULL,
                                            "is of no call ahead of it",
                                            "%s[%ui].%s", place->list,
                                            place->index, id);
    }

    function = ngx_array_push(results);
    if (function == NULL) {
        return NGX_ERROR;
    }

    function->name = *name;

    rc = ngx_completion_openai_content(reader, item, output, place,
                                       &function->value);

    return (rc == NGX_OK) ? ngx_completion_openai_readable(reader,
                                                           &function->value)
                          : rc;
}


ngx_int_t
ngx_completion_openai_tools(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_int_t                       rc;
    ngx_completion_json_node_t     *tools, *tool, *node;
    ngx_completion_openai_place_t   place;

    tools = ngx_completion_openai_member(root, "tools");

    if (tools == NULL || tools->first == NULL) {
        return NGX_OK;
    }

    if (ngx_array_init(&reader->prompt->tools, reader->pool, 4,
                       sizeof(ngx_completion_tool_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    place.list = "tools";
    place.index = 0;

    for (tool = tools->first; tool; tool = tool->next) {
        rc = ngx_completion_openai_tool(reader, tool, &place);
        if (rc != NGX_OK) {
            return rc;
        }

        place.index++;
    }

    node = ngx_completion_openai_member(root, "parallel_tool_calls");

    if (node) {
        reader->prompt->parallel = node->boolean ? NGX_COMPLETION_SWITCH_ON
                                                 : NGX_COMPLETION_SWITCH_OFF;
    }

    node = ngx_completion_openai_member(root, "tool_choice");

    return node ? ngx_completion_openai_choice(reader, node) : NGX_OK;
}


/* what stands in its "function" for a chat stands in itself else */

static ngx_int_t
ngx_completion_openai_tool(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *node, ngx_completion_openai_place_t *place)
{
    u_char                       path[NGX_COMPLETION_OPENAI_PARAM], *p;
    ngx_int_t                    rc;
    ngx_uint_t                   chat;
    ngx_completion_tool_t       *tool;
    ngx_completion_json_node_t  *name, *parameters, *member;

    chat = (reader->input->shape == NGX_COMPLETION_OPENAI_CHAT);

    if (node->type != NGX_COMPLETION_JSON_OBJECT
        || !ngx_completion_openai_type(node, "function"))
    {
        return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "tools[%ui].type", place->index);
    }

    if (chat) {
        rc = ngx_completion_openai_object(reader, node, "type function ",
                                          place);
        if (rc != NGX_OK) {
            return rc;
        }

        node = ngx_completion_openai_member(node, "function");

        if (node == NULL || node->type != NGX_COMPLETION_JSON_OBJECT) {
            return ngx_completion_openai_refuse(reader, NULL,
                                                "must be an object",
                                                "tools[%ui].function",
                                                place->index);
        }
    }

    p = ngx_snprintf(path, sizeof(path) - 1, "tools[%ui]%s", place->index,
                     chat ? ".function" : "");
    *p = '\0';

    rc = ngx_completion_openai_known(reader, node,
                                chat ? "name description parameters strict "
                                     : "type name description parameters "
                                       "strict ", (char *) path);
    if (rc != NGX_OK) {
        return rc;
    }

    name = ngx_completion_openai_member(node, "name");
    parameters = ngx_completion_openai_member(node, "parameters");

    if (name == NULL || name->type != NGX_COMPLETION_JSON_STRING
        || name->value.len == 0)
    {
        return ngx_completion_openai_refuse(reader, NULL, "is missing",
                                            "%s.name", path);
    }

    if (parameters && parameters->type != NGX_COMPLETION_JSON_OBJECT) {
        return ngx_completion_openai_refuse(reader, NULL, "must be an object",
                                            "%s.parameters", path);
    }

    tool = ngx_array_push(&reader->prompt->tools);
    if (tool == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(tool, sizeof(ngx_completion_tool_t));
    tool->name = name->value;

    member = ngx_completion_openai_member(node, "description");

    if (member && member->type == NGX_COMPLETION_JSON_STRING) {
        tool->description = member->value;
    }

    member = ngx_completion_openai_member(node, "strict");
    tool->strict = (member && member->boolean);

    return parameters ? ngx_completion_openai_text(reader, parameters,
                                                   &tool->parameters)
                      : NGX_OK;
}


static ngx_int_t
ngx_completion_openai_choice(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *node)
{
    ngx_completion_prompt_t     *prompt;
    ngx_completion_json_node_t  *name, *within;

    prompt = reader->prompt;

    if (ngx_completion_openai_is(&node->value, "none")) {
        prompt->choice = NGX_COMPLETION_CHOICE_NONE;
        return NGX_OK;
    }

    if (ngx_completion_openai_is(&node->value, "auto")) {
        prompt->choice = NGX_COMPLETION_CHOICE_AUTO;
        return NGX_OK;
    }

    if (ngx_completion_openai_is(&node->value, "required")) {
        prompt->choice = NGX_COMPLETION_CHOICE_REQUIRED;
        return NGX_OK;
    }

    name = NULL;

    if (node->type == NGX_COMPLETION_JSON_OBJECT
        && ngx_completion_openai_type(node, "function"))
    {
        within = ngx_completion_openai_member(node, "function");
        name = ngx_completion_openai_member(within ? within : node, "name");
    }

    if (name == NULL || name->type != NGX_COMPLETION_JSON_STRING) {
        return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "tool_choice");
    }

    prompt->choice = NGX_COMPLETION_CHOICE_FUNCTION;
    prompt->function = name->value;

    return NGX_OK;
}


ngx_int_t
ngx_completion_openai_text(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *node, ngx_str_t *text)
{
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_json_writer_sized(reader->pool, 256);

    ngx_completion_json_copy(w, node);

    return ngx_completion_json_writer_finish(w, text);
}


static ngx_uint_t
ngx_completion_openai_type(ngx_completion_json_node_t *item, const char *word)
{
    size_t                       len;
    ngx_completion_json_node_t  *type;

    type = ngx_completion_openai_member(item, "type");
    len = ngx_strlen(word);

    return type && type->type == NGX_COMPLETION_JSON_STRING
           && type->value.len == len
           && ngx_strncmp(type->value.data, word, len) == 0;
}


ngx_completion_json_node_t *
ngx_completion_openai_member(ngx_completion_json_node_t *object,
    const char *name)
{
    ngx_completion_json_node_t  *node;

    node = ngx_completion_json_child(object, name);

    return (node && node->type != NGX_COMPLETION_JSON_NULL) ? node : NULL;
}


ngx_int_t
ngx_completion_openai_known(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *object, const char *words, const char *path)
{
    size_t                       len;
    const char                  *word, *end;
    ngx_completion_json_node_t  *node;

    for (node = object->first; node; node = node->next) {

        if (node->type == NGX_COMPLETION_JSON_NULL) {
            continue;
        }

        for (word = words; *word; word = end + 1) {
            end = strchr(word, ' ');
            len = end - word;

            if (node->name.len == len
                && ngx_strncmp(node->name.data, word, len) == 0)
            {
                break;
            }
        }

        if (*word == '\0') {
            return ngx_completion_openai_refuse(reader,
                                                NGX_COMPLETION_OPENAI_UNKNOWN,
                                                "%s.%V", path, &node->name);
        }
    }

    return NGX_OK;
}


/* a name of the client's may be of any length: then none is given */

ngx_int_t
ngx_completion_openai_refuse(ngx_completion_openai_reader_t *reader,
    const char *code, const char *fault, const char *fmt, ...)
{
    u_char                       *p, *last;
    va_list                       args;
    ngx_completion_face_input_t  *input;

    input = reader->input;

    p = ngx_pnalloc(reader->pool, 2 * NGX_COMPLETION_OPENAI_PARAM
                                  + ngx_strlen(fault) + 4);
    if (p == NULL) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(p, p + NGX_COMPLETION_OPENAI_PARAM, fmt, args);
    va_end(args);

    input->code = code;

    if (last - p < NGX_COMPLETION_OPENAI_PARAM) {
        input->param.data = p;
        input->param.len = last - p;
        input->detail.data = last;
        input->detail.len = ngx_sprintf(last, "\"%V\" %s", &input->param,
                                        fault)
                            - last;

    } else {
        input->detail.data = p;
        input->detail.len = ngx_sprintf(p, "a member %s", fault) - p;
    }

    return NGX_DECLINED;
}
