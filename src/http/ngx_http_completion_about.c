
/*
 * What an interface says of itself, which costs nothing and is nobody's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


ngx_int_t
ngx_http_completion_about(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_completion_face_input_t  *input;
    ngx_completion_face_answer_t  answer;

    static ngx_str_t  refused = ngx_string("this is not served here");

    if (ctx->action == NGX_COMPLETION_FACE_REFUSE) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_FORBIDDEN,
                                           &refused, 0);
    }

    input = &ctx->input;
    input->args = r->args;
    input->languages = ctx->conf->languages->elts;
    input->languages_n = ctx->conf->languages->nelts;

    ngx_memzero(&answer, sizeof(ngx_completion_face_answer_t));

    rc = ctx->conf->face->about(r->pool, input, &answer);

    if (rc == NGX_DECLINED) {
        return ngx_http_completion_problem(r, NGX_COMPLETION_INVALID_REQUEST,
                                           &input->detail, 0);
    }

    if (rc != NGX_OK
        || ngx_http_completion_cache_control(r,
               ngx_http_completion_add_text(r, "Cache-Control", "no-store"))
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_send(r, &answer, 0, 0);
}
