
#include "tap.h"
#include "ngx_shim.h"
#include "fetch_stub.h"

#include "../../src/provider/ngx_completion_credential.h"

#include <stdlib.h>


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

    credential.kind = iam ? NGX_COMPLETION_CREDENTIAL_SERVICE_ACCOUNT_KEY
                          : NGX_COMPLETION_CREDENTIAL_METADATA_TOKEN;

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

    text = str("{\"access_token\":\"t1.9\",\"expires_in\":43200}");

    ok(answer(0, 500, &text) != NULL, "an error that looks like a token");
    ok(strstr(answer(0, 404, &text), "no service account on this VM") != NULL,
       "a 404 of the metadata service is explained");
}


int
main(void)
{
    shim_time(NOW);
    shim_log.log_level = NGX_LOG_INFO;

    test_times();
    test_hostile();

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
