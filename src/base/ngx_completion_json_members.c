
#include "ngx_completion_json.h"


typedef struct {
    ngx_pool_t                    *pool;
    ngx_str_t                     *text;
    ngx_array_t                   *members;
    ngx_completion_json_member_t  *member;
    const char                   **reason;
} ngx_completion_json_members_t;


static ngx_int_t ngx_completion_json_member(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_json_member_text(
    ngx_completion_json_members_t *ctx, ngx_str_t *value, ngx_str_t *text);


ngx_int_t
ngx_completion_json_members(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t **members, const char **reason)
{
    ngx_completion_json_members_t  ctx;

    ctx.pool = pool;
    ctx.text = text;
    ctx.member = NULL;
    ctx.reason = reason;

    ctx.members = ngx_array_create(pool, 8,
                                   sizeof(ngx_completion_json_member_t));
    if (ctx.members == NULL) {
        return NGX_ERROR;
    }

    *members = ctx.members;

    return ngx_completion_json_read(pool, text, NULL,
                                    ngx_completion_json_member, &ctx, reason);
}


static ngx_int_t
ngx_completion_json_member(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_json_members_t *ctx = data;

    if (event->depth != 1) {
        return NGX_OK;
    }

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:

        if (ctx->members->nelts == NGX_COMPLETION_JSON_MAX_MEMBERS) {
            *ctx->reason = "too many members";
            return NGX_DECLINED;
        }

        ctx->member = ngx_array_push(ctx->members);
        if (ctx->member == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(ctx->member, sizeof(ngx_completion_json_member_t));

        return ngx_completion_json_member_text(ctx, &event->value,
                                               &ctx->member->name);

    case NGX_COMPLETION_JSON_END:
        return NGX_OK;

    case NGX_COMPLETION_JSON_STRING:
        ctx->member->type = event->type;

        return ngx_completion_json_member_text(ctx, &event->value,
                                               &ctx->member->value);

    default:
        ctx->member->type = event->type;
        return NGX_OK;
    }
}


static ngx_int_t
ngx_completion_json_member_text(ngx_completion_json_members_t *ctx,
    ngx_str_t *value, ngx_str_t *text)
{
    u_char  *start;

    start = ctx->text->data;

    /* strings without escapes are told in place */

    if (value->data >= start && value->data <= start + ctx->text->len) {
        *text = *value;
        return NGX_OK;
    }

    return ngx_completion_json_keep(ctx->pool, value, text);
}
