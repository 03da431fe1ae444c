
/*
 * A body of OpenAI's as a prompt.  What is documented there stands in one
 * table: what is taken, what has no effect, and what may only say what would
 * hold without it.
 */


#include "ngx_completion_openai.h"


#define NGX_COMPLETION_OPENAI_METADATA  16

#define ngx_completion_openai_bit(type)                                       \
    (1 << NGX_COMPLETION_JSON_##type)

#define NGX_COMPLETION_OPENAI_BOTH                                            \
    (NGX_COMPLETION_OPENAI_RESPONSE|NGX_COMPLETION_OPENAI_CHAT)

/* of any type, without effect */
#define NGX_COMPLETION_OPENAI_ANY       ~0u


typedef struct {
    const char  *name;
    ngx_uint_t   shapes;
    ngx_uint_t   types;       /* by bit; 0: only what is the same as nothing */
    const char  *same;        /* in JSON, each between spaces */
} ngx_completion_openai_member_t;


static ngx_int_t ngx_completion_openai_check(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_uint_t ngx_completion_openai_same(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *node,
    const char *same);
static ngx_int_t ngx_completion_openai_asked(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_int_t ngx_completion_openai_metadata(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_int_t ngx_completion_openai_streamed(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_int_t ngx_completion_openai_options(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_int_t ngx_completion_openai_effort(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_int_t ngx_completion_openai_conversation(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);
static ngx_int_t ngx_completion_openai_format(
    ngx_completion_openai_reader_t *reader, ngx_completion_json_node_t *root);


static const ngx_completion_openai_member_t  ngx_completion_openai_members[] =
{
    { "model", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(STRING), NULL },
    { "input", NGX_COMPLETION_OPENAI_RESPONSE,
      ngx_completion_openai_bit(STRING)
          |ngx_completion_openai_bit(ARRAY), NULL },
    { "instructions", NGX_COMPLETION_OPENAI_RESPONSE,
      ngx_completion_openai_bit(STRING), NULL },
    { "max_output_tokens", NGX_COMPLETION_OPENAI_RESPONSE,
      ngx_completion_openai_bit(NUMBER), NULL },
    { "text", NGX_COMPLETION_OPENAI_RESPONSE,
      ngx_completion_openai_bit(OBJECT), NULL },
    { "reasoning", NGX_COMPLETION_OPENAI_RESPONSE,
      ngx_completion_openai_bit(OBJECT), NULL },
    { "background", NGX_COMPLETION_OPENAI_RESPONSE,
      ngx_completion_openai_bit(BOOLEAN), NULL },
    { "messages", NGX_COMPLETION_OPENAI_CHAT,
      ngx_completion_openai_bit(ARRAY), NULL },
    { "max_tokens", NGX_COMPLETION_OPENAI_CHAT,
      ngx_completion_openai_bit(NUMBER), NULL },
    { "max_completion_tokens", NGX_COMPLETION_OPENAI_CHAT,
      ngx_completion_openai_bit(NUMBER), NULL },
    { "response_format", NGX_COMPLETION_OPENAI_CHAT,
      ngx_completion_openai_bit(OBJECT), NULL },
    { "reasoning_effort", NGX_COMPLETION_OPENAI_CHAT,
      ngx_completion_openai_bit(STRING), NULL },
    { "temperature", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(NUMBER), NULL },
    { "tools", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(ARRAY), NULL },
    { "tool_choice", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(STRING)
          |ngx_completion_openai_bit(OBJECT), NULL },
    { "parallel_tool_calls", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(BOOLEAN), NULL },
    { "metadata", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(OBJECT), NULL },
    { "stream", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(BOOLEAN), NULL },
    { "stream_options", NGX_COMPLETION_OPENAI_BOTH,
      ngx_completion_openai_bit(OBJECT), NULL },

    { "store", NGX_COMPLETION_OPENAI_BOTH, NGX_COMPLETION_OPENAI_ANY, NULL },
    { "user", NGX_COMPLETION_OPENAI_BOTH, NGX_COMPLETION_OPENAI_ANY, NULL },
    { "safety_identifier", NGX_COMPLETION_OPENAI_BOTH,
      NGX_COMPLETION_OPENAI_ANY, NULL },
    { "prompt_cache_key", NGX_COMPLETION_OPENAI_BOTH,
      NGX_COMPLETION_OPENAI_ANY, NULL },
    { "prompt_cache_retention", NGX_COMPLETION_OPENAI_BOTH,
      NGX_COMPLETION_OPENAI_ANY, NULL },
    { "service_tier", NGX_COMPLETION_OPENAI_BOTH,
      NGX_COMPLETION_OPENAI_ANY, NULL },
    { "truncation", NGX_COMPLETION_OPENAI_RESPONSE,
      NGX_COMPLETION_OPENAI_ANY, NULL },
    { "verbosity", NGX_COMPLETION_OPENAI_BOTH,
      NGX_COMPLETION_OPENAI_ANY, NULL },

    { "include", NGX_COMPLETION_OPENAI_RESPONSE, 0, " [] " },
    { "top_p", NGX_COMPLETION_OPENAI_BOTH, 0, " 1 1.0 " },
    { "top_logprobs", NGX_COMPLETION_OPENAI_BOTH, 0, " 0 " },
    { "max_tool_calls", NGX_COMPLETION_OPENAI_RESPONSE, 0, "" },
    { "previous_response_id", NGX_COMPLETION_OPENAI_RESPONSE, 0, "" },
    { "conversation", NGX_COMPLETION_OPENAI_RESPONSE, 0, "" },
    { "context_management", NGX_COMPLETION_OPENAI_RESPONSE, 0, " [] " },
    { "prompt", NGX_COMPLETION_OPENAI_RESPONSE, 0, "" },
    { "moderation", NGX_COMPLETION_OPENAI_BOTH, 0, "" },
    { "prompt_cache_options", NGX_COMPLETION_OPENAI_BOTH, 0, "" },
    { "audio", NGX_COMPLETION_OPENAI_CHAT, 0, "" },
    { "frequency_penalty", NGX_COMPLETION_OPENAI_CHAT, 0, " 0 0.0 " },
    { "function_call", NGX_COMPLETION_OPENAI_CHAT, 0, "" },
    { "functions", NGX_COMPLETION_OPENAI_CHAT, 0, " [] " },
    { "logit_bias", NGX_COMPLETION_OPENAI_CHAT, 0, " {} " },
    { "logprobs", NGX_COMPLETION_OPENAI_CHAT, 0, " false " },
    { "modalities", NGX_COMPLETION_OPENAI_CHAT, 0, " [\"text\"] " },
    { "n", NGX_COMPLETION_OPENAI_CHAT, 0, " 1 " },
    { "prediction", NGX_COMPLETION_OPENAI_CHAT, 0, "" },
    { "presence_penalty", NGX_COMPLETION_OPENAI_CHAT, 0, " 0 0.0 " },
    { "seed", NGX_COMPLETION_OPENAI_CHAT, 0, "" },
    { "stop", NGX_COMPLETION_OPENAI_CHAT, 0, " [] " },
    { "web_search_options", NGX_COMPLETION_OPENAI_CHAT, 0, "" },
    { NULL, 0, 0, NULL }
};


ngx_int_t
ngx_completion_openai_read(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt)
{
    ngx_int_t                        rc;
    const char                      *reason;
    ngx_completion_json_node_t      *root;
    ngx_completion_openai_reader_t   reader;

    ngx_memzero(&reader, sizeof(ngx_completion_openai_reader_t));

    reader.pool = pool;
    reader.input = input;
    reader.prompt = prompt;
    input->after = -1;

    rc = ngx_completion_json_tree(pool, &input->body, &root, &reason);

    if (rc == NGX_DECLINED) {
        input->detail.data = (u_char *) reason;
        input->detail.len = ngx_strlen(reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_array_init(&reader.calls, pool, 4,
                       sizeof(ngx_completion_openai_call_t))
        != NGX_OK
        || ngx_array_init(&prompt->turns, pool, 8,
                          sizeof(ngx_completion_message_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if ((rc = ngx_completion_openai_check(&reader, root)) != NGX_OK
        || (rc = ngx_completion_openai_asked(&reader, root)) != NGX_OK
        || (rc = ngx_completion_openai_options(&reader, root)) != NGX_OK
        || (rc = ngx_completion_openai_conversation(&reader, root)) != NGX_OK
        || (rc = ngx_completion_openai_format(&reader, root)) != NGX_OK)
    {
        return rc;
    }

    return ngx_completion_openai_tools(&reader, root);
}


/* what is there at all, and of which type */

static ngx_int_t
ngx_completion_openai_check(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    uint64_t                               seen;
    ngx_array_t                           *members;
    ngx_completion_json_node_t            *node;
    ngx_completion_json_member_t          *found;
    const ngx_completion_openai_member_t  *member;

    members = ngx_array_create(reader->pool, 8,
                               sizeof(ngx_completion_json_member_t));
    if (members == NULL) {
        return NGX_ERROR;
    }

    reader->input->members = members;
    seen = 0;

    for (node = root->first; node; node = node->next) {

        for (member = ngx_completion_openai_members; member->name; member++) {
            if ((member->shapes & reader->input->shape)
                && ngx_strlen(member->name) == node->name.len
                && ngx_strncmp(member->name, node->name.data, node->name.len)
                   == 0)
            {
                break;
            }
        }

        if (member->name == NULL) {
            return ngx_completion_openai_refuse(reader,
                                                NGX_COMPLETION_OPENAI_UNKNOWN,
                                                "%V", &node->name);
        }

        if (seen & ((uint64_t) 1 << (member - ngx_completion_openai_members)))
        {
            return ngx_completion_openai_refuse(reader, NULL,
                                                "is given twice", "%s",
                                                member->name);
        }

        seen |= (uint64_t) 1 << (member - ngx_completion_openai_members);

        found = ngx_array_push(members);
        if (found == NULL) {
            return NGX_ERROR;
        }

        found->name = node->name;
        found->type = node->type;
        ngx_str_null(&found->value);

        if (node->type == NGX_COMPLETION_JSON_STRING) {
            found->value = node->value;
        }

        if (node->type == NGX_COMPLETION_JSON_NULL) {
            continue;
        }

        if (member->types == 0) {

            if (!ngx_completion_openai_same(reader, node, member->same)) {
                return ngx_completion_openai_refuse(reader,
                                            NGX_COMPLETION_OPENAI_UNSUPPORTED,
                                            "%s", member->name);
            }

        } else if (!(member->types & (1u << node->type))) {
            return ngx_completion_openai_refuse(reader, NULL,
                                                "is of a wrong type", "%s",
                                                member->name);
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_completion_openai_same(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *node, const char *same)
{
    u_char     *p;
    ngx_str_t   text;

    if (ngx_completion_openai_text(reader, node, &text) != NGX_OK) {
        return 0;
    }

    for (p = (u_char *) same; *p; p++) {
        if (*p == ' ' && ngx_strncmp(p + 1, text.data, text.len) == 0
            && p[text.len + 1] == ' ')
        {
            return 1;
        }
    }

    return 0;
}


/* what does not go upstream as it is */

static ngx_int_t
ngx_completion_openai_asked(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_int_t                     rc;
    ngx_completion_face_input_t  *input;
    ngx_completion_json_node_t   *node;

    input = reader->input;
    node = ngx_completion_openai_member(root, "model");

    if (node == NULL || node->value.len == 0) {
        return ngx_completion_openai_refuse(reader, NULL, "is missing",
                                            "model");
    }

    input->model = node->value;

    node = ngx_completion_openai_member(root, "background");
    input->background = (node && node->boolean);

    rc = ngx_completion_openai_metadata(reader, root);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_completion_openai_streamed(reader, root);
}


static ngx_int_t
ngx_completion_openai_metadata(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_uint_t                   n;
    ngx_completion_json_node_t  *node, *member;

    node = ngx_completion_openai_member(root, "metadata");

    if (node == NULL) {
        return NGX_OK;
    }

    n = 0;

    for (member = node->first; member; member = member->next) {

        if (member->type != NGX_COMPLETION_JSON_STRING
            || ++n > NGX_COMPLETION_OPENAI_METADATA)
        {
            return ngx_completion_openai_refuse(reader, NULL,
                                            "must have 16 strings at most",
                                            "metadata");
        }
    }

    return ngx_completion_openai_text(reader, node, &reader->input->echo);
}


static ngx_int_t
ngx_completion_openai_streamed(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_int_t                    rc;
    ngx_completion_json_node_t  *node, *usage;

    node = ngx_completion_openai_member(root, "stream");
    reader->input->stream = (node && node->boolean);

    node = ngx_completion_openai_member(root, "stream_options");

    if (node == NULL) {
        return NGX_OK;
    }

    rc = ngx_completion_openai_known(reader, node,
               reader->input->shape == NGX_COMPLETION_OPENAI_CHAT
                   ? "include_usage include_obfuscation "
                   : "include_obfuscation ",
               "stream_options");
    if (rc != NGX_OK) {
        return rc;
    }

    usage = ngx_completion_openai_member(node, "include_usage");
    reader->input->usage = (usage && usage->boolean);

    return NGX_OK;
}


static ngx_int_t
ngx_completion_openai_options(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_uint_t                   i;
    ngx_completion_json_node_t  *node;

    /* of two, that with the newer name */

    static const char  *names[] = {
        "max_tokens", "max_completion_tokens", "max_output_tokens"
    };

    node = ngx_completion_openai_member(root, "temperature");

    if (node) {
        reader->prompt->temperature = node->value;
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        node = ngx_completion_openai_member(root, names[i]);

        if (node == NULL) {
            continue;
        }

        if (ngx_atoof(node->value.data, node->value.len) <= 0) {
            return ngx_completion_openai_refuse(reader, NULL,
                                       "must be a whole number above zero",
                                       "%s", names[i]);
        }

        reader->prompt->max_tokens = node->value;
    }

    return ngx_completion_openai_effort(reader, root);
}


static ngx_int_t
ngx_completion_openai_effort(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_int_t                    rc;
    ngx_str_t                   *effort;
    const char                  *path;
    ngx_completion_json_node_t  *node;

    path = "reasoning_effort";
    node = ngx_completion_openai_member(root, "reasoning_effort");

    if (node == NULL) {
        path = "reasoning.effort";
        node = ngx_completion_openai_member(root, "reasoning");

        if (node) {
            rc = ngx_completion_openai_known(reader, node, "effort ",
                                             "reasoning");
            if (rc != NGX_OK) {
                return rc;
            }

            node = ngx_completion_openai_member(node, "effort");
        }
    }

    if (node == NULL) {
        return NGX_OK;
    }

    effort = &node->value;

    if (node->type == NGX_COMPLETION_JSON_STRING
        && (ngx_completion_openai_is(effort, "none")
            || ngx_completion_openai_is(effort, "minimal")))
    {
        reader->prompt->thinking = NGX_COMPLETION_SWITCH_OFF;
        return NGX_OK;
    }

    if (node->type == NGX_COMPLETION_JSON_STRING
        && (ngx_completion_openai_is(effort, "low")
            || ngx_completion_openai_is(effort, "medium")
            || ngx_completion_openai_is(effort, "high")
            || ngx_completion_openai_is(effort, "xhigh")
            || ngx_completion_openai_is(effort, "max")))
    {
        reader->prompt->thinking = NGX_COMPLETION_SWITCH_ON;
        return NGX_OK;
    }

    return ngx_completion_openai_refuse(reader, NULL,
                               "must be none, minimal, low, medium, high or "
                               "xhigh", "%s", path);
}


static ngx_int_t
ngx_completion_openai_conversation(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_int_t                    rc;
    const char                  *name;
    ngx_completion_json_node_t  *node;

    name = (reader->input->shape == NGX_COMPLETION_OPENAI_CHAT) ? "messages"
                                                                : "input";
    node = ngx_completion_openai_member(root, name);

    if (node == NULL) {
        return ngx_completion_openai_refuse(reader, NULL, "is missing", "%s",
                                            name);
    }

    if (node->type == NGX_COMPLETION_JSON_STRING
            ? ngx_completion_utf8_blank(node->value.data, node->value.len)
            : node->first == NULL)
    {
        return ngx_completion_openai_refuse(reader, NULL, "is empty", "%s",
                                            name);
    }

    if (reader->input->shape == NGX_COMPLETION_OPENAI_CHAT) {
        return ngx_completion_openai_messages(reader, node);
    }

    root = ngx_completion_openai_member(root, "instructions");

    if (root && root->value.len) {
        rc = ngx_completion_openai_message(reader, "system", &root->value);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_completion_openai_items(reader, node);
}


/* a format of a Response has what lies in "json_schema" of the other */

static ngx_int_t
ngx_completion_openai_format(ngx_completion_openai_reader_t *reader,
    ngx_completion_json_node_t *root)
{
    ngx_int_t                    rc;
    const char                  *path, *inner, *words;
    ngx_completion_json_node_t  *node, *type, *schema;

    if (reader->input->shape == NGX_COMPLETION_OPENAI_CHAT) {
        node = ngx_completion_openai_member(root, "response_format");
        path = "response_format";
        words = "type json_schema ";

    } else {
        node = ngx_completion_openai_member(root, "text");
        path = "text.format";
        words = "type name schema strict description ";

        if (node) {
            rc = ngx_completion_openai_known(reader, node, "format verbosity ",
                                             "text");
            if (rc != NGX_OK) {
                return rc;
            }

            node = ngx_completion_openai_member(node, "format");
        }
    }

    if (node == NULL) {
        return NGX_OK;
    }

    if (node->type != NGX_COMPLETION_JSON_OBJECT) {
        return ngx_completion_openai_refuse(reader, NULL, "must be an object",
                                            "%s", path);
    }

    rc = ngx_completion_openai_known(reader, node, words, path);
    if (rc != NGX_OK) {
        return rc;
    }

    type = ngx_completion_openai_member(node, "type");

    if (type && ngx_completion_openai_is(&type->value, "text")) {
        return NGX_OK;
    }

    if (type && ngx_completion_openai_is(&type->value, "json_object")) {
        reader->prompt->format = NGX_COMPLETION_FORMAT_JSON;
        return NGX_OK;
    }

    if (type == NULL || !ngx_completion_openai_is(&type->value, "json_schema"))
    {
        return ngx_completion_openai_refuse(reader, NULL,
                               "must be text, json_object or json_schema",
                               "%s.type", path);
    }

    inner = "";

    if (reader->input->shape == NGX_COMPLETION_OPENAI_CHAT) {
        node = ngx_completion_openai_member(node, "json_schema");
        inner = ".json_schema";

        if (node == NULL || node->type != NGX_COMPLETION_JSON_OBJECT) {
            return ngx_completion_openai_refuse(reader, NULL,
                                   "must be an object", "%s%s", path, inner);
        }

        rc = ngx_completion_openai_known(reader, node,
                                         "name schema strict description ",
                                         "response_format.json_schema");
        if (rc != NGX_OK) {
            return rc;
        }
    }

    schema = ngx_completion_openai_member(node, "schema");

    if (schema == NULL || schema->type != NGX_COMPLETION_JSON_OBJECT) {
        return ngx_completion_openai_refuse(reader, NULL, "must be an object",
                                            "%s%s.schema", path, inner);
    }

    reader->prompt->format = NGX_COMPLETION_FORMAT_SCHEMA;

    return ngx_completion_openai_text(reader, schema, &reader->prompt->schema);
}
