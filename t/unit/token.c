
#include "tap.h"
#include "ngx_shim.h"
#include "fetch_stub.h"
#include "key_file.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"


#define NOW  1000000000      /* 2001-09-09T01:46:40Z */


static ngx_completion_credential_t  credential;
static ngx_str_t                    token;
static time_t                       life;


/* What is made of an answer: NULL, or the fault. */

static const char *
answer(ngx_uint_t iam, ngx_uint_t status, ngx_str_t *body)
{
    const char              *fault;
    ngx_completion_fetch_t   f;

    memset(&f, 0, sizeof(f));
    memset(&token, 0, sizeof(token));
    life = 0;

    credential.kind = iam ? &ngx_completion_yandex_service_key
                          : &ngx_completion_yandex_metadata_token;

    f.pool = ngx_create_pool(1024, &shim_log);
    f.log = &shim_log;
    f.status = status;
    f.response.len = body->len;
    f.response.data = malloc(body->len + 1);
    memcpy(f.response.data, body->data, body->len);

    fault = ngx_completion_token_read(&credential, &f, &token, &life);

    /* the token goes with the transfer */

    token.data = NULL;

    free(f.response.data);
    ngx_destroy_pool(f.pool);

    return fault;
}


static void
lives(ngx_uint_t iam, const char *expires, time_t expected)
{
    char         name[256], body[512];
    ngx_str_t    text;
    const char  *fault;

    snprintf(body, sizeof(body),
             iam ? "{\"iamToken\":\"t1.9\",\"expiresAt\":%s}"
                 : "{\"access_token\":\"t1.9\",\"expires_in\":%s,"
                   "\"token_type\":\"Bearer\"}", expires);

    text = str(body);
    fault = answer(iam, 200, &text);

    snprintf(name, sizeof(name), "%s %s", iam ? "expiresAt" : "expires_in",
             expires);

    if (expected) {
        ok(fault == NULL && token.len == 4 && life == expected, name);

    } else {
        ok(fault != NULL && token.len == 0, name);
    }
}


static void
test_times(void)
{
    lives(1, "\"2001-09-09T13:46:40Z\"", 12 * 3600);
    lives(1, "\"2001-09-09T13:46:40.123456789Z\"", 12 * 3600);
    lives(1, "\"2001-09-09T01:46:41Z\"", 1);
    lives(1, "\"2001-09-09T04:46:41+03:00\"", 1);
    lives(1, "\"2001-09-09T00:46:41-01:00\"", 1);
    lives(1, "\"2001-09-09T01:46:40Z\"", 0);
    lives(1, "\"2001-09-09T00:46:40Z\"", 0);
    lives(1, "\"9999-12-31T23:59:59Z\"", 0);
    lives(1, "\"0000-00-00T00:00:00Z\"", 0);
    lives(1, "\"2001-13-09T13:46:40Z\"", 0);
    lives(1, "\"2001-09-09 13:46:40Z\"", 0);
    lives(1, "\"2001-09-09T13:46:40\"", 0);
    lives(1, "\"2001-09-09T13:46:40+0300\"", 0);
    lives(1, "\"2001-09-09T13:46:40+0a:00\"", 0);
    lives(1, "\"2001-09-09T13:46:40+00:a0\"", 0);
    lives(1, "\"2001-09-09T13:46:40Zzzz\"", 0);
    lives(1, "\"tomorrow\"", 0);
    lives(1, "\"\"", 0);
    lives(1, "1000043200", 0);
    lives(1, "null", 0);

    lives(0, "43200", 43200);
    lives(0, "\"43200\"", 43200);
    lives(0, "1.9", 1);
    lives(0, "0", 0);
    lives(0, "-1", 0);
    lives(0, "-43200", 0);
    lives(0, "1e9", 0);
    lives(0, "99999999", 0);
    lives(0, "99999999999999999999", 0);
    lives(0, "\"\"", 0);
    lives(0, "\"soon\"", 0);
    lives(0, "null", 0);
    lives(0, "{}", 0);
    lives(0, "true", 0);
}


static void
test_hostile(void)
{
    char        *big;
    size_t       i, n;
    ngx_str_t    text;

    static const char  *bodies[] = {
        "", "{", "[]", "null", "\"t1.9\"", "<html>", "{}",
        "{\"access_token\":\"t1.9\"}",
        "{\"expires_in\":43200}",
        "{\"access_token\":\"\",\"expires_in\":43200}",
        "{\"access_token\":null,\"expires_in\":43200}",
        "{\"access_token\":7,\"expires_in\":43200}",
        "{\"access_token\":[\"t1.9\"],\"expires_in\":43200}",
        "{\"iamToken\":\"t1.9\",\"expires_in\":43200}",
        "{\"access_token\":\"t1 9\",\"expires_in\":43200}",
        "{\"access_token\":\"t1\\r\\nX: 9\",\"expires_in\":43200}",
        "{\"access_token\":\"t1\\n\",\"expires_in\":43200}",
        "{\"access_token\":\"t1\\u0000\",\"expires_in\":43200}",
        "{\"access_token\":\"t1\\u007f\",\"expires_in\":43200}",
        "{\"access_token\":\"t1\\u00e9\",\"expires_in\":43200}",
        "{\"access_token\":\"a\",\"access_token\":\"b\",\"expires_in\":9}",
        "{\"access_token\":\"t1.9\",\"expires_in\":43200}}",
    };

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        text = str(bodies[i]);
        ok(answer(0, 200, &text) != NULL && token.len == 0, bodies[i][0]
           ? bodies[i] : "an empty answer");
    }

    big = malloc(65536);

    for (n = NGX_COMPLETION_TOKEN_MAX; n < NGX_COMPLETION_TOKEN_MAX + 2; n++) {
        i = sprintf(big, "{\"expires_in\":43200,\"access_token\":\"");
        memset(big + i, 'a', n);
        strcpy(big + i + n, "\"}");

        text = str(big);

        if (n == NGX_COMPLETION_TOKEN_MAX) {
            ok(answer(0, 200, &text) == NULL && token.len == n,
               "a token of 16k");

        } else {
            ok(answer(0, 200, &text) != NULL, "one that is longer");
        }
    }

    free(big);
}


static void
is_fault(ngx_uint_t iam, ngx_uint_t status, const char *expected)
{
    char       name[64];
    ngx_str_t  got, text;

    text = str("{\"access_token\":\"t1.9\",\"expires_in\":43200,"
               "\"iamToken\":\"t1.9\",\"expiresAt\":"
               "\"2001-09-09T13:46:40Z\"}");

    got = str(answer(iam, status, &text));
    snprintf(name, sizeof(name), "%s %d", iam ? "IAM" : "metadata",
             (int) status);
    is_str(&got, expected, name);
}


static void
test_refusals(void)
{
    ngx_uint_t               i;
    ngx_str_t                got;
    ngx_completion_fetch_t   f;

    static const ngx_uint_t  codes[] = { 400, 401, 403, 404 };

    static const char  refused[] =
        "the authorized key is refused: deleted, of another account, or the "
        "clock is wrong";

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        is_fault(1, codes[i], refused);
    }

    is_fault(1, 302, "the token service refuses");
    is_fault(1, 429, "the token service refuses");
    is_fault(1, 500, "the token service refuses");

    is_fault(0, 404, "no service account on this VM, attach one");
    is_fault(0, 403, "the metadata service refuses");
    is_fault(0, 500, "the metadata service refuses");

    memset(&f, 0, sizeof(f));
    f.outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;

    got = str(ngx_completion_token_read(&credential, &f, &token, &life));
    is_str(&got, "no answer", "no answer");

    f.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    f.status = 200;
    f.fault = "connection reset";

    got = str(ngx_completion_token_read(&credential, &f, &token, &life));
    is_str(&got, "connection reset", "half an answer is none");
}


/* a key file that is read when the token is asked for */

static ngx_completion_secret_t *
key(char **text)
{
    char                     *pem;
    EVP_PKEY                 *pkey = EVP_RSA_gen(2048);
    ngx_completion_secret_t  *secret;

    pem = key_pem(pkey, NULL);
    *text = key_file("ajekey", "ajesa", pem);
    free(pem);
    EVP_PKEY_free(pkey);

    secret = ngx_completion_secret_create(strlen(*text), &shim_log);
    memcpy(secret->value.data, *text, strlen(*text));

    return secret;
}


static void
test_requests(void)
{
    char                     *text;
    size_t                    i;
    ngx_str_t                 got;
    ngx_uint_t                dots = 0;
    shim_hunger_t             hunger = { 0 };
    ngx_pool_cleanup_t       *cln;
    ngx_completion_fetch_t   *f;
    ngx_completion_secret_t  *secret = key(&text);

    static ngx_completion_credential_kind_t  *kinds[] = {
        &ngx_completion_yandex_metadata_token,
        &ngx_completion_yandex_service_key
    };

    credential.kind = kinds[0];
    f = ngx_completion_token_fetch(&credential, NULL, &shim_log);
    got = str(stub_headers);
    is_str(&got, "Metadata-Flavor: Google\n", "the machine's token");
    ok(f->origin == &credential.service && !f->post && f->body.len == 0
       && f->secret, "a GET whose answer is secret");
    ngx_completion_fetch_destroy(f);

    credential.kind = kinds[1];
    f = ngx_completion_token_fetch(&credential, secret, &shim_log);
    got = str(stub_headers);
    is_str(&got, "Content-Type: application/json\n", "an account's token");
    ok(f->origin == &credential.service && f->post && f->secret,
       "a POST whose answer is secret");

    for (i = 0; i < f->body.len; i++) {
        dots += (f->body.data[i] == '.');
    }

    ok(f->body.len > 10 && memcmp(f->body.data, "{\"jwt\":\"ey", 10) == 0
       && memcmp(f->body.data + f->body.len - 2, "\"}", 2) == 0 && dots == 2,
       "with a JWT");

    for (cln = f->pool->cleanup; cln; cln = cln->next) {
        cln->handler(cln->data);
        cln->handler = NULL;
    }

    for (i = 0; i < f->body.len && f->body.data[i] == 0; i++) { /* void */ }
    is_int(i, f->body.len, "which is wiped with the transfer");
    ngx_completion_fetch_destroy(f);

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        credential.kind = kinds[i];

        while (shim_starves(&hunger)) {
            f = ngx_completion_token_fetch(&credential, secret, &shim_log);
            shim_starved(&hunger, f == NULL);
        }

        ok(f && hunger.tries > 2 && !hunger.bad,
           "without memory there is none");
        ngx_completion_fetch_destroy(f);
    }

    secret->value.len /= 2;
    ok(ngx_completion_token_fetch(&credential, secret, &shim_log) == NULL,
       "nor without a key");

    is_int(stub_transfers, 0, "no transfer is left");

    ngx_completion_secret_destroy(secret);
    free(text);
}


static void
test_memory(void)
{
    ngx_str_t       body;
    const char     *fault;
    shim_hunger_t   hunger = { 0 };

    body = str("{\"access_token\":\"t1.9\",\"expires_in\":43200}");

    /* answer()'s pool is the first of them */

    hunger.tries = 1;

    while (shim_starves(&hunger)) {
        fault = answer(0, 200, &body);
        shim_starved(&hunger, fault && strcmp(fault, "no memory") == 0
                              && token.len == 0);
    }

    ok(hunger.tries > 3 && !hunger.bad, "without memory a token is not read");
}


int
main(void)
{
    shim_time(NOW);
    shim_log.log_level = NGX_LOG_INFO;

    test_times();
    test_hostile();
    test_refusals();
    test_requests();
    test_memory();

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
