
/*
 * The server by which several nodes share: how the configuration names it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_conf.h"


/* of a chain, certificates between the server's and a trusted one */
#define NGX_HTTP_COMPLETION_REDIS_DEPTH    9

#define NGX_HTTP_COMPLETION_REDIS_NODES    1000
#define NGX_HTTP_COMPLETION_REDIS_TIMEOUT  250
#define NGX_HTTP_COMPLETION_REDIS_LONGEST  60000


typedef struct {
    ngx_str_t   name;
    char     *(*set)(ngx_conf_t *cf, ngx_http_completion_block_t *block,
                    ngx_str_t *value);
} ngx_http_completion_redis_option_t;


static char *ngx_http_completion_redis_user(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static char *ngx_http_completion_redis_password(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static char *ngx_http_completion_redis_prefix(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static char *ngx_http_completion_redis_timeout(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static char *ngx_http_completion_redis_nodes(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static char *ngx_http_completion_redis_keys(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static char *ngx_http_completion_redis_certificate(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value);
static ngx_int_t ngx_http_completion_redis_ssl(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);


static const ngx_http_completion_redis_option_t
ngx_http_completion_redis_options[] = {
    { ngx_string("user="), ngx_http_completion_redis_user },
    { ngx_string("password="), ngx_http_completion_redis_password },
    { ngx_string("prefix="), ngx_http_completion_redis_prefix },
    { ngx_string("timeout="), ngx_http_completion_redis_timeout },
    { ngx_string("nodes="), ngx_http_completion_redis_nodes },
    { ngx_string("keys="), ngx_http_completion_redis_keys },
    { ngx_string("trusted_certificate="),
      ngx_http_completion_redis_certificate },
    { ngx_null_string, NULL }
};


char *
ngx_http_completion_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    char                                      *fault;
    ngx_str_t                                 *value;
    ngx_uint_t                                 i;
    ngx_completion_redis_conf_t               *shared;
    const ngx_http_completion_redis_option_t  *option;

    value = cf->args->elts;

    if (!NGX_COMPLETION_HIREDIS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"redis\" needs hiredis, which this module was "
                           "built without: install libhiredis-dev and build "
                           "it again");
        return NGX_CONF_ERROR;
    }

    shared = ngx_pcalloc(cf->pool, sizeof(ngx_completion_redis_conf_t));
    if (shared == NULL) {
        return NGX_CONF_ERROR;
    }

    shared->url = value[1];
    shared->timeout = NGX_HTTP_COMPLETION_REDIS_TIMEOUT;
    shared->nodes = 1;
    ngx_str_set(&shared->prefix, "completion");

    block->service->shared = shared;

    fault = ngx_completion_redis_url(cf, &value[1], shared);
    if (fault) {
        return fault;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        for (option = ngx_http_completion_redis_options;
             option->name.len;
             option++)
        {
            if (ngx_strncmp(value[i].data, option->name.data,
                            option->name.len)
                == 0)
            {
                break;
            }
        }

        if (option->name.len == 0 || value[i].len == option->name.len) {

            /* it may be a password */

            return "takes, behind its URL, \"user=NAME\", "
                   "\"password=file:PATH\", \"prefix=TEXT\", \"timeout=T\", "
                   "\"nodes=N\", \"keys=local|strict\" and "
                   "\"trusted_certificate=FILE\"";
        }

        value[i].data += option->name.len;
        value[i].len -= option->name.len;

        fault = option->set(cf, block, &value[i]);
        if (fault) {
            return fault;
        }
    }

    if (shared->user.len && shared->password.len == 0) {
        return "needs \"password=file:PATH\" for its \"user\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_redis_user(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    block->service->shared->user = *value;

    return NULL;
}


static char *
ngx_http_completion_redis_password(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    char                         *rv;
    const char                   *fault;
    ngx_completion_redis_conf_t  *shared;

    shared = block->service->shared;

    rv = ngx_completion_credential_file(cf, value, &shared->password,
                                        &shared->secret, &shared->info);

    if (rv == NGX_CONF_ERROR) {
        return rv;
    }

    if (rv != NGX_CONF_OK) {
        return "takes \"password=file:PATH\" only: a secret must not stand in "
               "the configuration";
    }

    fault = ngx_completion_redis_password_line(&shared->secret->value);

    if (fault) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the password of \"redis\", \"%V\", %s",
                           &shared->password, fault);
        return NGX_CONF_ERROR;
    }

    return NULL;
}


static char *
ngx_http_completion_redis_prefix(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    ngx_uint_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= ' ' || value->data[i] >= 0x7f) {
            return "takes a \"prefix\" of visible ASCII characters";
        }
    }

    block->service->shared->prefix = *value;

    return NULL;
}


static char *
ngx_http_completion_redis_timeout(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0 || n > NGX_HTTP_COMPLETION_REDIS_LONGEST) {
        return "takes a \"timeout\" from 1ms to 1m, for example "
               "\"timeout=250ms\"";
    }

    block->service->shared->timeout = n;

    return NULL;
}


static char *
ngx_http_completion_redis_nodes(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_COMPLETION_REDIS_NODES) {
        return "takes a number of \"nodes\" from 1 to 1000, for example "
               "\"nodes=3\"";
    }

    block->service->shared->nodes = n;

    return NULL;
}


static char *
ngx_http_completion_redis_keys(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "strict") == 0) {
        block->service->shared->strict = 1;

    } else if (ngx_strcmp(value->data, "local") != 0) {
        return "takes \"keys=local\" or \"keys=strict\"";
    }

    return NULL;
}


static char *
ngx_http_completion_redis_certificate(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *value)
{
    if (!block->service->shared->origin.tls) {
        return "takes a \"trusted_certificate\" with \"rediss://\" only";
    }

    block->redis_certificate = *value;

    return NULL;
}


ngx_int_t
ngx_http_completion_redis_done(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
    u_char                       *p;
    ngx_str_t                    *name;
    ngx_completion_redis_conf_t  *shared;

    shared = block->service->shared;

    if (shared == NULL) {
        return NGX_OK;
    }

    name = &block->service->name;

    if (block->service->id_keys == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "provider \"%V\" has \"redis\", and no \"id_key\": "
                           "add \"id_key file:PATH;\" with the same key on "
                           "every node", name);
        return NGX_ERROR;
    }

    p = ngx_pnalloc(cf->pool, shared->prefix.len + name->len
                              + sizeof(":{}:1:01234567:") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    shared->names.data = p;

    /* of one slot, should the server be one of a cluster */

    p = ngx_sprintf(p, "%V:{%V}:1:", &shared->prefix, name);
    p = ngx_hex_dump(p, block->service->zone->identity, 4);
    *p++ = ':';

    shared->names.len = p - shared->names.data;

    return shared->origin.tls ? ngx_http_completion_redis_ssl(cf, block)
                              : NGX_OK;
}


static ngx_int_t
ngx_http_completion_redis_ssl(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
#if (NGX_HTTP_SSL)

    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (ssl == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    block->service->shared->ssl = ssl;

    if (block->redis_certificate.len) {
        return ngx_ssl_trusted_certificate(cf, ssl, &block->redis_certificate,
                                           NGX_HTTP_COMPLETION_REDIS_DEPTH);
    }

    if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_ERROR;
    }

    return NGX_OK;

#else

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" needs TLS, which this nginx was built without: "
                       "build it with \"--with-http_ssl_module\"",
                       &block->service->shared->url);
    return NGX_ERROR;

#endif
}
