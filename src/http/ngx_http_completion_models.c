
/*
 * The models that clients may name, and what each stands for.  Without a list
 * the location's own answers to every name, and is called "default".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


ngx_http_completion_model_t *
ngx_http_completion_find_model(ngx_array_t *models, ngx_uint_t n,
    ngx_str_t *name)
{
    ngx_uint_t                    i;
    ngx_http_completion_model_t  *model;

    model = models->elts;

    for (i = 0; i < n; i++) {
        if (model[i].name.len == name->len
            && ngx_memcmp(model[i].name.data, name->data, name->len) == 0)
        {
            return &model[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_completion_model(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *name, ngx_str_t *model)
{
    ngx_http_completion_model_t  *found;

    if (ctx->conf->models == NULL) {
        return NGX_OK;
    }

    found = ngx_http_completion_find_model(ctx->conf->models,
                                           ctx->conf->models->nelts, name);
    if (found == NULL) {
        ngx_str_set(&ctx->input.param, "model");
        ngx_str_set(&ctx->input.detail, "the model is none of those that are "
                                        "served here");
        return NGX_DECLINED;
    }

    *model = found->model;

    return NGX_OK;
}


ngx_int_t
ngx_http_completion_models(ngx_http_request_t *r,
    ngx_http_completion_ctx_t *ctx, ngx_str_t *name)
{
    ngx_str_t                     *names, model;
    ngx_uint_t                     i, n;
    ngx_completion_face_answer_t   answer;
    ngx_http_completion_model_t   *models;

    static ngx_str_t  one = ngx_string("default");

    if (name->len
        && ngx_http_completion_model(r, ctx, name, &model) != NGX_OK)
    {
        return ngx_http_completion_problem(r, NGX_COMPLETION_MODEL_NOT_FOUND,
                                           &ctx->input.detail, 0);
    }

    names = &one;
    n = 1;

    if (ctx->conf->models) {
        models = ctx->conf->models->elts;
        n = ctx->conf->models->nelts;

        names = ngx_palloc(r->pool, n * sizeof(ngx_str_t));
        if (names == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        for (i = 0; i < n; i++) {
            names[i] = models[i].name;
        }
    }

    ngx_memzero(&answer, sizeof(ngx_completion_face_answer_t));

    if (ctx->conf->face->models(r->pool, names, n, name, &answer) != NGX_OK
        || ngx_http_completion_cache_control(r,
               ngx_http_completion_add_text(r, "Cache-Control", "no-store"))
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_completion_send(r, &answer, 0, 0);
}
