
/*
 * Who asks, by the credential that the request shows: its digest is a name
 * that can be written into a configuration and into logs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../base/ngx_completion_hash.h"

#include "ngx_http_completion.h"


static ngx_int_t ngx_http_completion_client_credential(ngx_str_t *field,
    ngx_str_t *credential);


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
    u_char     md[NGX_COMPLETION_SHA256], *p;
    ngx_str_t  credential;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = 0;
    v->data = (u_char *) "";

    if (r->headers_in.authorization == NULL
        || ngx_http_completion_client_credential(
                                         &r->headers_in.authorization->value,
                                         &credential)
           != NGX_OK)
    {
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
