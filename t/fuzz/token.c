
/*
 * Key files, and what the services of tokens answer: a byte that picks which,
 * and a status, then the text.  What is taken can be a header's value, and
 * lives as long as a token can.
 */


#include "fuzz.h"
#include "../unit/fetch_stub.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"
#include "../../src/dialect/yandex/ngx_completion_yandex.h"


static ngx_completion_credential_kind_t  *kinds[] = {
    &ngx_completion_yandex_api_key,
    &ngx_completion_yandex_iam_token,
    &ngx_completion_yandex_service_key,
    &ngx_completion_yandex_metadata_token
};


#define NOW        1000000000      /* 2001-09-09T01:46:40Z */
#define LIFE_MAX   (30 * 24 * 3600)
#define FAULT_MAX  128


static void
is_shown(ngx_str_t *secret)
{
    size_t  i;

    HOLDS(secret->len > 0 && secret->len <= NGX_COMPLETION_SECRET_FILE_MAX);

    for (i = 0; i < secret->len; i++) {
        HOLDS(secret->data[i] > ' ' && secret->data[i] < 0x7f);
    }
}


static void
read_key(ngx_pool_t *pool, const uint8_t *data, size_t size)
{
    ngx_str_t                  text = fuzz_copy(pool, data, size);
    const char                *fault;
    ngx_completion_jwt_key_t   key;

    fault = ngx_completion_jwt_key(pool, &text, &key);
    HOLDS(fault == NULL || strlen(fault) < FAULT_MAX);

    if (fault == NULL) {
        HOLDS(key.id.len && key.account.len && key.pkey);
        ngx_completion_jwt_key_free(&key);
    }
}


static void
read_file(ngx_completion_credential_t *credential, const uint8_t *data,
    size_t size)
{
    const char               *fault;
    ngx_completion_secret_t  *secret;

    secret = size ? ngx_completion_secret_create(size, &shim_log) : NULL;

    if (secret == NULL) {
        return;
    }

    memcpy(secret->value.data, data, size);

    fault = ngx_completion_credential_check(credential, secret, &shim_log);
    HOLDS(fault == NULL || strlen(fault) < FAULT_MAX);

    if (fault == NULL && !ngx_completion_credential_renewed(credential)) {
        HOLDS(secret->value.len <= size);
        is_shown(&secret->value);
    }

    ngx_completion_secret_destroy(secret);
}


static void
read_answer(ngx_completion_credential_t *credential, ngx_uint_t status,
    const uint8_t *data, size_t size)
{
    time_t                   life = 0;
    ngx_str_t                token = ngx_null_string;
    const char              *fault;
    ngx_completion_fetch_t   fetch;

    memset(&fetch, 0, sizeof(ngx_completion_fetch_t));

    fetch.pool = ngx_create_pool(1024, &shim_log);
    fetch.log = &shim_log;
    fetch.status = status;
    fetch.response = fuzz_copy(fetch.pool, data, size);

    fault = ngx_completion_token_read(credential, &fetch, &token, &life);
    HOLDS(fault == NULL || strlen(fault) < FAULT_MAX);

    if (fault == NULL) {
        HOLDS(status == 200);
        HOLDS(life > 0 && life <= LIFE_MAX);
        HOLDS(token.len <= NGX_COMPLETION_TOKEN_MAX);
        is_shown(&token);
    }

    ngx_destroy_pool(fetch.pool);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                       first;
    ngx_pool_t                  *pool;
    ngx_completion_credential_t  credential;

    shim_time(NOW);

    first = fuzz_byte(&data, &size);
    pool = ngx_create_pool(1024, &shim_log);
    memset(&credential, 0, sizeof(ngx_completion_credential_t));

    credential.kind = kinds[first & 0x03];

    switch (first >> 2 & 0x03) {

    case 0:
        read_key(pool, data, size);
        break;

    case 1:
        if (credential.kind != &ngx_completion_yandex_metadata_token) {
            read_file(&credential, data, size);
        }

        break;

    default:
        if (ngx_completion_credential_renewed(&credential)) {
            read_answer(&credential, (first & 0x10) ? 404 : 200, data, size);
        }

        break;
    }

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
