
#include "ngx_completion_yandex_native.h"


#define ngx_completion_native_bit(type)                                       \
    (1 << NGX_COMPLETION_JSON_##type)


typedef struct {
    ngx_uint_t                     types;    /* allowed, by bit; 0: any */
    char                          *reason;
} ngx_completion_native_rule_t;


static ngx_int_t ngx_completion_provider_native_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_provider_native_part(
    ngx_completion_native_t *native, ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_provider_native_value(
    ngx_completion_native_t *native, ngx_completion_json_event_t *event);


static const ngx_completion_json_path_t  ngx_completion_native_paths[] = {

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_MODEL,
      ngx_string("modelUri") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_OPTIONS,
      ngx_string("completionOptions") },

    { NGX_COMPLETION_NATIVE_OPTIONS, NGX_COMPLETION_NATIVE_TEMPERATURE,
      ngx_string("temperature") },

    { NGX_COMPLETION_NATIVE_OPTIONS, NGX_COMPLETION_NATIVE_MAX_TOKENS,
      ngx_string("maxTokens") },

    { NGX_COMPLETION_NATIVE_OPTIONS, NGX_COMPLETION_NATIVE_REASONING,
      ngx_string("reasoningOptions") },

    { NGX_COMPLETION_NATIVE_REASONING, NGX_COMPLETION_NATIVE_MODE,
      ngx_string("mode") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_MESSAGES,
      ngx_string("messages") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_JSON_OBJECT,
      ngx_string("jsonObject") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_JSON_SCHEMA,
      ngx_string("jsonSchema") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_TOOLS,
      ngx_string("tools") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_TOOL_CHOICE,
      ngx_string("toolChoice") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_NATIVE_PARALLEL,
      ngx_string("parallelToolCalls") },

    { 0, 0, ngx_null_string }
};


/* by node; int64 may be a number or a string, as upstream's proto JSON says */

static const ngx_completion_native_rule_t  ngx_completion_native_rules[] = {
    { 0, NULL },
    { 0, NULL },

    { ngx_completion_native_bit(STRING),
      "\"modelUri\" must be a string" },

    { ngx_completion_native_bit(OBJECT),
      "\"completionOptions\" must be an object" },

    { ngx_completion_native_bit(NUMBER),
      "\"temperature\" must be a number" },

    { ngx_completion_native_bit(NUMBER)|ngx_completion_native_bit(STRING),
      "\"maxTokens\" must be a number or a string" },

    { ngx_completion_native_bit(OBJECT),
      "\"reasoningOptions\" must be an object" },

    { ngx_completion_native_bit(STRING),
      "\"mode\" must be a string" },

    { ngx_completion_native_bit(ARRAY),
      "\"messages\" must be an array of objects" },

    { 0, NULL },
    { 0, NULL },
    { 0, NULL },
    { 0, NULL },
    { 0, NULL }
};


/*
 * The parts of a native request that go upstream, as JSON texts, in whatever
 * order they came: copied into one array, of which each knows its piece.
 */

ngx_int_t
ngx_completion_provider_native(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_native_t *native)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    native->pool = pool;

    native->writer = ngx_completion_json_writer_sized(pool, text->len + 64);
    if (native->writer == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_json_array(native->writer);

    rc = ngx_completion_json_read(pool, text, ngx_completion_native_paths,
                                  ngx_completion_provider_native_event,
                                  native, &native->reason);
    if (rc != NGX_OK) {
        return rc;
    }

    if (native->messages == 0) {
        native->reason = "\"messages\" are missing";
        return NGX_DECLINED;
    }

    ngx_completion_json_array_end(native->writer);

    if (ngx_completion_json_writer_finish(native->writer, &native->text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_COMPLETION_NATIVE_LAST; i++) {
        native->parts[i].data = native->text.data + native->start[i];
        native->parts[i].len = native->end[i] - native->start[i];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_provider_native_event(void *data,
    ngx_completion_json_event_t *event)
{
    ngx_completion_native_t *native = data;

    if (native->part) {
        return ngx_completion_provider_native_part(native, event);
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
    case NGX_COMPLETION_JSON_OBJECT_END:
    case NGX_COMPLETION_JSON_ARRAY_END:
    case NGX_COMPLETION_JSON_NULL:
        return NGX_OK;

    default:
        return ngx_completion_provider_native_value(native, event);
    }
}


static ngx_int_t
ngx_completion_provider_native_value(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event)
{
    const ngx_completion_native_rule_t  *rule;

    if (event->node <= NGX_COMPLETION_JSON_ROOT) {
        return NGX_OK;
    }

    rule = &ngx_completion_native_rules[event->node];

    if (rule->types && !(rule->types & (1 << event->type))) {
        native->reason = rule->reason;
        return NGX_DECLINED;
    }

    switch (event->node) {

    case NGX_COMPLETION_NATIVE_OPTIONS:
    case NGX_COMPLETION_NATIVE_REASONING:
        return NGX_OK;

    case NGX_COMPLETION_NATIVE_MODEL:
        native->model.len = event->value.len;
        native->model.data = ngx_pstrdup(native->pool, &event->value);

        return native->model.data ? NGX_OK : NGX_ERROR;
    }

    native->part = event->node;
    native->depth = event->depth;

    native->start[native->part] =
                               ngx_completion_json_written(native->writer);

    if (native->start[native->part] > 1) {
        /* a comma */
        native->start[native->part]++;
    }

    return ngx_completion_provider_native_part(native, event);
}


static ngx_int_t
ngx_completion_provider_native_part(ngx_completion_native_t *native,
    ngx_completion_json_event_t *event)
{
    if (event->parent == NGX_COMPLETION_NATIVE_MESSAGES) {

        if (event->type == NGX_COMPLETION_JSON_OBJECT) {
            native->messages++;

        } else if (event->type != NGX_COMPLETION_JSON_OBJECT_END) {
            native->reason =
                ngx_completion_native_rules[NGX_COMPLETION_NATIVE_MESSAGES]
                .reason;
            return NGX_DECLINED;
        }
    }

    ngx_completion_json_event(native->writer, event);

    if (event->depth == native->depth
        && event->type != NGX_COMPLETION_JSON_OBJECT
        && event->type != NGX_COMPLETION_JSON_ARRAY)
    {
        native->end[native->part] =
                               ngx_completion_json_written(native->writer);
        native->part = 0;
    }

    return NGX_OK;
}
