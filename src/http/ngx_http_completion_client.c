
/*
 * Who asks, by the credential that the request shows: its digest is a name
 * that can be written into a configuration and into logs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../base/ngx_completion_hash.h"

#include "ngx_http_completion_request.h"


static ngx_int_t ngx_http_completion_client_shows(ngx_http_request_t *r,
    ngx_str_t *credential);
static ngx_int_t ngx_http_completion_client_credential(ngx_str_t *field,
    ngx_str_t *credential);
static void ngx_http_completion_client_anew(ngx_http_request_t *r);


static ngx_str_t  ngx_http_completion_client_schemes[] = {
    ngx_string("Bearer"),
    ngx_string("Api-Key"),
    ngx_string("DeepL-Auth-Key"),
    ngx_null_string
};


ngx_int_t
ngx_http_completion_client_key(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                      md[NGX_COMPLETION_SHA256], *p;
    ngx_str_t                   credential;
    ngx_http_completion_ctx_t  *ctx;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = 0;
    v->data = (u_char *) "";

    ctx = ngx_http_get_module_ctx(r, ngx_http_completion_async_module);

    if (ctx && ctx->input.key.len) {
        credential = ctx->input.key;

    } else if (ngx_http_completion_client_shows(r, &credential) != NGX_OK) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 2 * NGX_COMPLETION_SHA256);

    if (p == NULL
        || ngx_completion_sha256(credential.data, credential.len, md)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(p, md, NGX_COMPLETION_SHA256);

    v->data = p;
    v->len = 2 * NGX_COMPLETION_SHA256;

    return NGX_OK;
}


ngx_int_t
ngx_http_completion_who(ngx_http_request_t *r, ngx_http_completion_ctx_t *ctx)
{
    ngx_str_t                  *key, credential;
    ngx_http_complex_value_t   *owner;

    key = &ctx->input.key;
    owner = ctx->conf->owner;

    if (key->len) {

        if (ngx_http_completion_client_shows(r, &credential) == NGX_OK
            && (credential.len != key->len
                || ngx_memcmp(credential.data, key->data, key->len) != 0))
        {
            ngx_str_set(&ctx->input.detail, "the key in the body is another "
                                            "one than that of the header");
            return NGX_DECLINED;
        }

        ngx_http_completion_client_anew(r);
    }

    if (owner == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, owner, &ctx->owner) != NGX_OK) {
        return NGX_ERROR;
    }

    return ctx->owner.len ? NGX_OK : NGX_DECLINED;
}


/* what it was without the body may be kept already */

static void
ngx_http_completion_client_anew(ngx_http_request_t *r)
{
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {
        if (v[i].get_handler == ngx_http_completion_client_key) {
            r->variables[i].valid = 0;
            r->variables[i].not_found = 0;
        }
    }
}


/* of the header that has one */

static ngx_int_t
ngx_http_completion_client_shows(ngx_http_request_t *r, ngx_str_t *credential)
{
    if (r->headers_in.authorization == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_completion_client_credential(
                                         &r->headers_in.authorization->value,
                                         credential);
}


/* what stands behind a scheme that has one, without the space around it */

static ngx_int_t
ngx_http_completion_client_credential(ngx_str_t *field, ngx_str_t *credential)
{
    ngx_str_t  *scheme, value;

    value = *field;

    while (value.len && value.data[value.len - 1] == ' ') {
        value.len--;
    }

    for (scheme = ngx_http_completion_client_schemes; scheme->len; scheme++) {

        if (value.len <= scheme->len
            || ngx_strncasecmp(value.data, scheme->data, scheme->len) != 0
            || value.data[scheme->len] != ' ')
        {
            continue;
        }

        value.data += scheme->len;
        value.len -= scheme->len;

        while (*value.data == ' ') {
            value.data++;
            value.len--;
        }

        *credential = value;

        return NGX_OK;
    }

    return NGX_DECLINED;
}
