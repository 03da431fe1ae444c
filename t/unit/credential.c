
#include "tap.h"
#include "ngx_shim.h"
#include "fetch_stub.h"
#include "key_file.h"

#include "../../src/base/ngx_completion_hash.h"
#include "../../src/dialect/yandex/ngx_completion_yandex.h"


typedef ngx_completion_credential_digest_t  digest_t;


static ngx_completion_credential_t  credential;
static char                        *pems[2];


static ngx_completion_secret_t *
secret(ngx_str_t *text)
{
    ngx_completion_secret_t  *s;

    s = ngx_completion_secret_create(text->len, &shim_log);
    memcpy(s->value.data, text->data, text->len);

    return s;
}


static void
is_checked(ngx_str_t *text, const char *expected, size_t len,
    const char *name)
{
    ngx_str_t                 got;
    const char               *fault;
    ngx_completion_secret_t  *s = secret(text);

    fault = ngx_completion_credential_check(&credential, s, &shim_log);

    got = str(fault ? fault : "");

    if (expected) {
        is_str(&got, expected, name);

    } else {
        ok(fault == NULL && s->value.len == len
           && memcmp(s->value.data, text->data, len) == 0, name);
    }

    ngx_completion_secret_destroy(s);
}


static void
test_lines(void)
{
    char       *big;
    size_t      i;
    ngx_str_t   text;

    static const char  line[] =
        "must hold one line of visible ASCII characters, the secret itself";
    static const char  empty[] =
        "is empty but for line ends, put the secret into it";

    static const struct {
        const char  *text;
        const char  *fault;     /* NULL: so many bytes are the secret */
        size_t       len;
    } t[] = {
        { "AQVN-1_2", NULL, 8 }, { "AQVN\n", NULL, 4 }, { "AQVN\r\n", NULL, 4 },
        { "AQVN\n\r\n\n", NULL, 4 }, { "!~", NULL, 2 },
        { "\n", empty, 0 }, { "\r\n\r\n", empty, 0 },
        { " AQVN", line, 0 }, { "AQVN ", line, 0 }, { "AQVN \n", line, 0 },
        { "AQ\tVN", line, 0 }, { "AQ\nVN", line, 0 }, { "AQ\r\nX: 1", line, 0 },
        { "AQ\x7f", line, 0 }, { "\xef\xbb\xbf" "AQVN", line, 0 }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        credential.kind = (i & 1) ? &ngx_completion_yandex_iam_token
                                  : &ngx_completion_yandex_api_key;
        text = str(t[i].text);
        is_checked(&text, t[i].fault, t[i].len,
                   t[i].fault ? "no secret" : "a secret");
    }

    text.data = (u_char *) "AQ\0VN";
    text.len = 5;
    is_checked(&text, line, 0, "a NUL");

    big = malloc(NGX_COMPLETION_TOKEN_MAX + 2);
    memset(big, 'a', NGX_COMPLETION_TOKEN_MAX + 2);
    big[NGX_COMPLETION_TOKEN_MAX] = '\n';

    text.data = (u_char *) big;
    text.len = NGX_COMPLETION_TOKEN_MAX + 1;
    is_checked(&text, NULL, NGX_COMPLETION_TOKEN_MAX, "16k and a line end");

    big[NGX_COMPLETION_TOKEN_MAX] = 'a';
    is_checked(&text, "is longer than a secret may be, 16k", 0, "one more");

    free(big);
}


static void
test_key_files(void)
{
    char       *file = key_file("ajekey", "ajesa", pems[0]);
    ngx_str_t   text = str(file);

    credential.kind = &ngx_completion_yandex_service_key;
    is_checked(&text, NULL, text.len, "a key file stays as it is");

    shim_allocations = 0;
    shim_fail_at = 1;
    is_checked(&text, "cannot be read for lack of memory", 0,
               "which takes memory");
    shim_fail_at = 0;

    credential.kind = &ngx_completion_yandex_api_key;
    is_checked(&text, "must hold one line of visible ASCII characters, the "
               "secret itself", 0, "and is no API key");

    credential.kind = &ngx_completion_yandex_service_key;
    text = str("AQVN");
    is_checked(&text, "is not the JSON of an authorized key", 0,
               "nor is an API key one");

    free(file);
}


static ngx_int_t
digest(const char *url, const char *file, digest_t *d)
{
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_completion_secret_t  *s = NULL;

    credential.service.url = str(url);

    if (file) {
        text = str(file);
        s = secret(&text);
    }

    memset(d, 0xff, sizeof(digest_t));
    rc = ngx_completion_credential_digest(&credential, s, d, &shim_log);

    ngx_completion_secret_destroy(s);

    return rc;
}


static int
same(u_char *a, u_char *b)
{
    return memcmp(a, b, NGX_COMPLETION_CREDENTIAL_DIGEST) == 0;
}


static void
test_digests(void)
{
    char           *file, *other;
    u_char          md[NGX_COMPLETION_SHA256], zeros[sizeof(digest_t)] = { 0 };
    digest_t        a, b;
    ngx_int_t       rc = NGX_ERROR;
    ngx_str_t       source[2];
    shim_hunger_t   hunger = { 0 };

    static const char  url[] = "https://iam/tokens";

    file = key_file("ajekey", "ajesa", pems[0]);

    credential.kind = &ngx_completion_yandex_metadata_token;
    is_int(digest("http://169.254.169.254/token", NULL, &a), NGX_OK,
           "the machine's token");
    ok(same(a.key, zeros), "for no key");

    source[0] = str("http://169.254.169.254/token");
    source[1] = str("");
    ngx_completion_sha256_parts(source, 2, md);
    ok(same(a.source, md), "from that URL");

    credential.kind = &ngx_completion_yandex_service_key;
    is_int(digest(url, file, &a), NGX_OK, "an account's token");

    source[0] = str(url);
    source[1] = str("ajesa");
    ngx_completion_sha256_parts(source, 2, md);
    ok(same(a.source, md), "from a URL, for an account");

    ngx_completion_sha256((u_char *) file, strlen(file), md);
    ok(same(a.key, md), "for that file");

    other = key_file("ajekey2", "ajesa", pems[1]);
    digest(url, other, &b);
    ok(same(a.source, b.source) && !same(a.key, b.key),
       "a new key of the account gets tokens that serve as well");
    free(other);

    other = key_file("ajekey", "ajeother", pems[0]);
    digest(url, other, &b);
    ok(!same(a.source, b.source), "another account's do not");
    free(other);

    digest("https://iam.test/tokens", file, &b);
    ok(!same(a.source, b.source) && same(a.key, b.key),
       "nor do another service's");

    is_int(digest(url, "{}", &b), NGX_ERROR, "no key, no digest");
    ok(same(b.key, zeros) && same(b.source, zeros), "nothing is left in it");

    while (shim_starves(&hunger)) {
        rc = digest(url, file, &b);
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(rc == NGX_OK && hunger.tries > 3 && !hunger.bad,
       "without memory there is none");

    free(file);
}


static void
test_header(void)
{
    ngx_str_t                token = ngx_string("t1.9"), got;
    ngx_completion_fetch_t  *f;

    static const struct {
        ngx_completion_credential_kind_t  *kind;
        const char                        *header;
    } t[] = {
        { &ngx_completion_yandex_api_key, "Authorization: Api-Key t1.9\n" },
        { &ngx_completion_yandex_iam_token, "Authorization: Bearer t1.9\n" },
        { &ngx_completion_yandex_service_key,
          "Authorization: Bearer t1.9\n" },
        { &ngx_completion_yandex_metadata_token,
          "Authorization: Bearer t1.9\n" }
    };
    size_t  i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        credential.kind = t[i].kind;
        f = ngx_completion_fetch_create(&credential.service, &shim_log);

        (void) ngx_completion_fetch_authorization(f, credential.kind->scheme,
                                                  &token);
        got = str(stub_headers);
        is_str(&got, t[i].header, "what upstream is shown");
        is_int(ngx_completion_credential_renewed(&credential), i > 1,
               i > 1 ? "a service gives it out" : "it is in the file");

        ngx_completion_fetch_destroy(f);
    }
}


int
main(void)
{
    int        i;
    EVP_PKEY  *pkey;

    for (i = 0; i < 2; i++) {
        pkey = EVP_RSA_gen(2048);
        pems[i] = key_pem(pkey, NULL);
        EVP_PKEY_free(pkey);
    }

    test_lines();
    test_key_files();
    test_digests();
    test_header();

    free(pems[0]);
    free(pems[1]);

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
