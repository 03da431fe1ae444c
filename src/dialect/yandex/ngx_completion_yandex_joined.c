
/*
 * A text in parts, as one Operation in upstream's spelling.
 */


#include "ngx_completion_yandex.h"


#define NGX_COMPLETION_YANDEX_RESPONSE                                        \
    "type.googleapis.com/yandex.cloud.ai.foundation_models.v1."               \
    "CompletionResponse"

/* what stands around a text */
#define NGX_COMPLETION_YANDEX_AROUND  1024


static void ngx_completion_yandex_joined_time(ngx_completion_json_writer_t *w,
    const char *name, time_t time);
static void ngx_completion_yandex_joined_response(
    ngx_completion_json_writer_t *w, ngx_completion_result_t *result);
static void ngx_completion_yandex_joined_tokens(
    ngx_completion_json_writer_t *w, const char *name, int64_t tokens);


ngx_int_t
ngx_completion_yandex_joined(ngx_pool_t *pool,
    ngx_completion_joined_t *joined, ngx_completion_operation_t *operation)
{
    size_t                         len;
    ngx_int_t                      rc;
    const char                    *reason;
    ngx_completion_json_node_t    *root, *error;
    ngx_completion_json_writer_t  *w;

    ngx_memzero(operation, sizeof(ngx_completion_operation_t));

    error = NULL;

    if (joined->failed) {
        rc = ngx_completion_json_tree(pool, joined->failed, &root, &reason);
        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        error = ngx_completion_json_child(root, "error");
    }

    len = NGX_COMPLETION_YANDEX_AROUND
          + (joined->text ? joined->text->len : 0)
          + (joined->result ? joined->result->text.len : 0);

    w = ngx_completion_json_writer_sized(pool, len);
    if (w == NULL) {
        return NGX_ERROR;
    }

    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "id", "");
    operation->id_offset = ngx_completion_json_written(w) - 1;

    ngx_completion_json_key_cstring(w, "description", "Async GPT Completion");
    ngx_completion_yandex_joined_time(w, "createdAt", joined->submitted);
    ngx_completion_json_key_cstring(w, "createdBy", "");
    ngx_completion_yandex_joined_time(w, "modifiedAt", joined->modified);
    ngx_completion_json_key_boolean(w, "done",
                                    joined->result || joined->failed);

    ngx_completion_json_key(w, "metadata");
    ngx_completion_json_object(w);
    ngx_completion_json_key_integer(w, "parts", joined->parts);
    ngx_completion_json_key_integer(w, "done", joined->done);

    if (joined->text) {
        ngx_completion_json_key_string(w, "text", joined->text);
    }

    ngx_completion_json_end(w);

    if (error) {
        ngx_completion_json_key(w, "error");
        ngx_completion_json_copy(w, error);

    } else if (joined->result) {
        ngx_completion_yandex_joined_response(w, joined->result);
    }

    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &operation->document);
}


static void
ngx_completion_yandex_joined_time(ngx_completion_json_writer_t *w,
    const char *name, time_t time)
{
    u_char     text[sizeof("2026-11-30T12:00:00Z")];
    ngx_str_t  value;

    value.data = text;
    value.len = ngx_completion_yandex_time(text, time) - text;

    ngx_completion_json_key_string(w, name, &value);
}


static void
ngx_completion_yandex_joined_response(ngx_completion_json_writer_t *w,
    ngx_completion_result_t *result)
{
    ngx_str_t                status;
    ngx_completion_usage_t  *usage;

    usage = &result->usage;
    status = *ngx_completion_yandex_status_of(result);

    ngx_completion_json_key(w, "response");
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "@type",
                                    NGX_COMPLETION_YANDEX_RESPONSE);

    ngx_completion_json_key(w, "alternatives");
    ngx_completion_json_array(w);
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "message");
    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "role", "assistant");
    ngx_completion_json_key_string(w, "text", &result->text);
    ngx_completion_json_end(w);
    ngx_completion_json_key_string(w, "status", &status);
    ngx_completion_json_end(w);
    ngx_completion_json_end(w);

    ngx_completion_json_key(w, "usage");
    ngx_completion_json_object(w);
    ngx_completion_yandex_joined_tokens(w, "inputTextTokens", usage->input);
    ngx_completion_yandex_joined_tokens(w, "completionTokens",
                                        usage->completion);
    ngx_completion_yandex_joined_tokens(w, "totalTokens", usage->total);

    if (usage->reasoning >= 0) {
        ngx_completion_json_key(w, "completionTokensDetails");
        ngx_completion_json_object(w);
        ngx_completion_yandex_joined_tokens(w, "reasoningTokens",
                                            usage->reasoning);
        ngx_completion_json_end(w);
    }

    ngx_completion_json_end(w);

    ngx_completion_json_key_string(w, "modelVersion", &result->model_version);
    ngx_completion_json_end(w);
}


/* a string, as upstream spells them */

static void
ngx_completion_yandex_joined_tokens(ngx_completion_json_writer_t *w,
    const char *name, int64_t tokens)
{
    u_char     text[NGX_INT64_LEN];
    ngx_str_t  value;

    if (tokens >= 0) {
        value.data = text;
        value.len = ngx_sprintf(text, "%L", tokens) - text;

        ngx_completion_json_key_string(w, name, &value);
    }
}
