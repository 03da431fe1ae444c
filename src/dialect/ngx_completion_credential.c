
#include "ngx_completion_credential.h"
#include "yandex/ngx_completion_yandex_jwt.h"
#include "../base/ngx_completion_hash.h"


static const char *ngx_completion_credential_line(ngx_str_t *value);


const char *
ngx_completion_credential_check(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_log_t *log)
{
    ngx_pool_t                *pool;
    const char                *fault;
    ngx_completion_jwt_key_t   key;

    if (c->kind != NGX_COMPLETION_CREDENTIAL_SERVICE_ACCOUNT_KEY) {
        return ngx_completion_credential_line(&secret->value);
    }

    pool = ngx_create_pool(1024, log);
    if (pool == NULL) {
        return "cannot be read for lack of memory";
    }

    fault = ngx_completion_jwt_key(pool, &secret->value, &key);

    if (fault == NULL) {
        ngx_completion_jwt_key_free(&key);
    }

    ngx_destroy_pool(pool);

    return fault;
}


static const char *
ngx_completion_credential_line(ngx_str_t *value)
{
    ngx_uint_t  i;

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

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= 0x20 || value->data[i] >= 0x7f) {
            return "must hold one line of visible ASCII characters, the "
                   "secret itself";
        }
    }

    return NULL;
}


ngx_int_t
ngx_completion_credential_digest(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_completion_credential_digest_t *digest,
    ngx_log_t *log)
{
    u_char                    *p, *text, md[NGX_COMPLETION_SHA256];
    ngx_int_t                  rc;
    ngx_pool_t                *pool;
    ngx_completion_jwt_key_t   key;

    ngx_memzero(digest, sizeof(ngx_completion_credential_digest_t));
    ngx_memzero(&key, sizeof(ngx_completion_jwt_key_t));

    pool = ngx_create_pool(1024, log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (secret) {
        if (ngx_completion_jwt_key(pool, &secret->value, &key)
            || ngx_completion_sha256(secret->value.data, secret->value.len, md)
               != NGX_OK)
        {
            goto done;
        }

        ngx_memcpy(digest->key, md, NGX_COMPLETION_CREDENTIAL_DIGEST);
    }

    text = ngx_pnalloc(pool, c->service.url.len + 1 + key.account.len);
    if (text == NULL) {
        goto done;
    }

    p = ngx_sprintf(text, "%V\n%V", &c->service.url, &key.account);

    rc = ngx_completion_sha256(text, p - text, md);

    if (rc == NGX_OK) {
        ngx_memcpy(digest->source, md, NGX_COMPLETION_CREDENTIAL_DIGEST);
    }

done:

    ngx_completion_jwt_key_free(&key);
    ngx_destroy_pool(pool);

    return rc;
}


ngx_int_t
ngx_completion_credential_show(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f, ngx_str_t *secret)
{
    return ngx_completion_fetch_authorization(f,
                               c->kind == NGX_COMPLETION_CREDENTIAL_API_KEY
                                   ? "Api-Key" : "Bearer", secret);
}
