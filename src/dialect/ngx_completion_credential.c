
#include "ngx_completion_dialect.h"
#include "../base/ngx_completion_hash.h"


/* the longest live half a day; far more than that is a clock gone wrong */
#define NGX_COMPLETION_TOKEN_LIFE_MAX  (30 * 24 * 3600)


static const char *ngx_completion_credential_line(ngx_str_t *value);
static ngx_uint_t ngx_completion_credential_visible(ngx_str_t *value);


char *
ngx_completion_credential_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_completion_provider_t *p = conf;

    char                         *rv;
    ngx_str_t                    *value;
    const char                   *fault;
    ngx_completion_credential_t  *c;

    value = cf->args->elts;
    c = &p->credential;

    if (c->kind) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "provider \"%V\" has a second credential \"%V\", "
                           "keep one of them", &p->name, &value[0]);
        return NGX_CONF_ERROR;
    }

    c->kind = cmd->post;

    if (!c->kind->file) {

        if (cf->args->nelts == 2) {
            c->url = value[1];
        }

        return NGX_CONF_OK;
    }

    rv = ngx_completion_credential_file(cf, &value[1], &c->file, &c->secret,
                                        &c->info);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    fault = ngx_completion_credential_check(c, c->secret, cf->log);

    if (fault) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" file \"%V\" %s",
                           &value[0], &c->file, fault);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* what else is given than "file:PATH" may be a secret and is never printed */

char *
ngx_completion_credential_file(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *path, ngx_completion_secret_t **secret, ngx_file_info_t *info)
{
    ngx_err_t    err;
    const char  *fault;

    if (value->len < sizeof("file:")
        || ngx_strncmp(value->data, "file:", 5) != 0)
    {
        return "takes \"file:PATH\" only: a secret must not stand in the "
               "configuration";
    }

    path->data = value->data + 5;
    path->len = value->len - 5;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fault = ngx_completion_secret_read(path, cf->log, secret, info, &err);

    if (fault) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err, "\"%V\" %s", path, fault);
        return NGX_CONF_ERROR;
    }

    if (ngx_completion_secret_attach(cf->pool, *secret) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_file_access(info) & S_IROTH) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" may be read by everybody, use "
                           "\"chmod o-r\"", path);
    }

    return NGX_CONF_OK;
}


const char *
ngx_completion_credential_check(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_log_t *log)
{
    ngx_str_t    account;
    ngx_pool_t  *pool;
    const char  *fault;

    if (!ngx_completion_credential_renewed(c)) {
        return ngx_completion_credential_line(&secret->value);
    }

    pool = ngx_create_pool(1024, log);
    if (pool == NULL) {
        return "cannot be read for lack of memory";
    }

    fault = c->kind->account(pool, &secret->value, &account);

    ngx_destroy_pool(pool);

    return fault;
}


static const char *
ngx_completion_credential_line(ngx_str_t *value)
{
    while (value->len && (value->data[value->len - 1] == LF
                          || value->data[value->len - 1] == CR))
    {
        value->len--;
    }

    if (value->len == 0) {
        return "is empty but for line ends, put the secret into it";
    }

    if (value->len > NGX_COMPLETION_TOKEN_MAX) {
        return "is longer than a secret may be, 16k";
    }

    if (!ngx_completion_credential_visible(value)) {
        return "must hold one line of visible ASCII characters, the "
               "secret itself";
    }

    return NULL;
}


static ngx_uint_t
ngx_completion_credential_visible(ngx_str_t *value)
{
    ngx_uint_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= 0x20 || value->data[i] >= 0x7f) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_completion_credential_digest(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_completion_credential_digest_t *digest,
    ngx_log_t *log)
{
    u_char       md[NGX_COMPLETION_SHA256];
    ngx_int_t    rc;
    ngx_str_t    source[2], *value;
    ngx_pool_t  *pool;

    ngx_memzero(md, NGX_COMPLETION_SHA256);
    ngx_memzero(digest, sizeof(ngx_completion_credential_digest_t));

    pool = ngx_create_pool(1024, log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    source[0] = c->service.url;
    ngx_str_null(&source[1]);

    rc = NGX_OK;

    if (secret) {
        value = &secret->value;

        if (c->kind->account(pool, value, &source[1])
            || ngx_completion_sha256(value->data, value->len, md) != NGX_OK)
        {
            rc = NGX_ERROR;

        } else {
            ngx_memcpy(digest->key, md, NGX_COMPLETION_CREDENTIAL_DIGEST);
        }
    }

    if (rc == NGX_OK) {
        rc = ngx_completion_sha256_parts(source, 2, md);
        ngx_memcpy(digest->source, md, NGX_COMPLETION_CREDENTIAL_DIGEST);
    }

    ngx_destroy_pool(pool);

    return rc;
}


ngx_completion_fetch_t *
ngx_completion_token_fetch(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_log_t *log)
{
    ngx_completion_fetch_t  *f;

    f = ngx_completion_fetch_create(&c->service, log);
    if (f == NULL) {
        return NULL;
    }

    f->secret = 1;

    if (c->kind->fetch(f, secret ? &secret->value : NULL) != NGX_OK) {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


const char *
ngx_completion_token_read(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f, ngx_str_t *token, time_t *life)
{
    ngx_str_t    text;
    const char  *fault;

    if (f->outcome != NGX_COMPLETION_OK) {
        return f->fault ? f->fault : "no answer";
    }

    ngx_str_null(&text);

    fault = c->kind->read(f, &text, life);

    if (fault) {
        return fault;
    }

    if (*life <= 0) {
        return "the token has expired already, or the clock is wrong";
    }

    if (*life > NGX_COMPLETION_TOKEN_LIFE_MAX) {
        return "the token lives longer than can be, or the clock is wrong";
    }

    *token = text;

    return NULL;
}


const char *
ngx_completion_token_keep(ngx_completion_fetch_t *f, ngx_str_t *text,
    ngx_str_t *token)
{
    if (text->len > NGX_COMPLETION_TOKEN_MAX) {
        return "the token is longer than 16k";
    }

    if (!ngx_completion_credential_visible(text)) {
        return "the token holds characters it may not";
    }

    token->data = ngx_completion_secret_alloc(f->pool, text->len);
    if (token->data == NULL) {
        return "no memory";
    }

    ngx_memcpy(token->data, text->data, text->len);
    token->len = text->len;

    return NULL;
}
