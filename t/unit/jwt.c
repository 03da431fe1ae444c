
#include "tap.h"
#include "ngx_shim.h"
#include "key_file.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"


#define NOW   1000000000


static ngx_pool_t  *pool;
static EVP_PKEY    *rsa;
static char        *pem;


static void
is_refused(const char *text, const char *expected, const char *name)
{
    ngx_str_t                  file = str(text), got;
    const char                *fault;
    ngx_completion_jwt_key_t   key;

    fault = ngx_completion_jwt_key(pool, &file, &key);

    got = str(fault ? fault : "");
    is_str(&got, expected, name);

    if (key.pkey) {
        ok(0, "nothing is left of it");
        ngx_completion_jwt_key_free(&key);
    }
}


static void
is_refused_pem(const char *pem, const char *expected, const char *name)
{
    char  *text = key_file("ajekey", "ajesa", pem);

    is_refused(text, expected, name);

    free(text);
}


/* as many bits, and no RSA */

static EVP_PKEY *
diffie_hellman(void)
{
    EVP_PKEY      *pkey = NULL;
    EVP_PKEY_CTX  *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);

    EVP_PKEY_keygen_init(ctx);
    EVP_PKEY_CTX_set_group_name(ctx, "ffdhe2048");
    EVP_PKEY_generate(ctx, &pkey);
    EVP_PKEY_CTX_free(ctx);

    return pkey;
}


static void
test_keys(void)
{
    char                      *text, *other, id[300];
    EVP_PKEY                  *pkey;
    ngx_str_t                  file;
    ngx_completion_jwt_key_t   key;

    static const char  no_pem[] =
        "has a \"private_key\" that is no private key in PEM";
    static const char  no_rsa[] =
        "has a \"private_key\" that is no RSA key of 2048 bits or more";

    text = key_file("ajekey", "ajesa", pem);
    file = str(text);

    ok(ngx_completion_jwt_key(pool, &file, &key) == NULL, "a key file");
    is_str(&key.id, "ajekey", "its key's id");
    is_str(&key.account, "ajesa", "its account's");
    is_int(EVP_PKEY_eq(key.pkey, rsa), 1, "its key");

    ngx_completion_jwt_key_free(&key);
    ok(key.pkey == NULL, "which is freed");

    file.len = file.len / 2;
    ok(ngx_completion_jwt_key(pool, &file, &key) != NULL && key.pkey == NULL,
       "half a file");
    free(text);

    is_refused("", "is not the JSON of an authorized key", "an empty file");
    is_refused("AQVNsecret", "is not the JSON of an authorized key",
               "an API key");
    is_refused("[]", "is not the JSON of an authorized key", "an array");
    is_refused("{}", "is no authorized key: it has no \"id\"", "an object");
    is_refused("{\"id\":7}", "is no authorized key: it has no \"id\"",
               "a number for an id");
    is_refused("{\"id\":\"ajekey\"}",
               "is no authorized key: it has no \"service_account_id\"",
               "no account");
    is_refused("{\"id\":\"ajekey\",\"service_account_id\":\"ajesa\","
               "\"private_key\":null}",
               "is no authorized key: it has no \"private_key\"",
               "no private key");

    is_refused_pem("", no_pem, "a line and no PEM");
    is_refused_pem("-----BEGIN PRIVATE KEY-----\\nMIIE\\n"
                   "-----END PRIVATE KEY-----\\n", no_pem, "a broken PEM");
    is_refused("{\"id\":\"ajekey\",\"service_account_id\":\"ajesa\","
               "\"private_key\":\"\"}", no_pem, "an empty private key");

    other = key_pem(rsa, "secret");
    is_refused_pem(other, no_pem, "one with a password, without a question");
    free(other);

    pkey = EVP_RSA_gen(1024);
    other = key_pem(pkey, NULL);
    is_refused_pem(other, no_rsa, "1024 bits");
    EVP_PKEY_free(pkey);
    free(other);

    pkey = EVP_EC_gen("P-256");
    other = key_pem(pkey, NULL);
    is_refused_pem(other, no_rsa, "an elliptic curve");
    EVP_PKEY_free(pkey);
    free(other);

    pkey = diffie_hellman();
    other = key_pem(pkey, NULL);
    is_refused_pem(other, no_rsa, "2048 bits of another kind");
    EVP_PKEY_free(pkey);
    free(other);

    memset(id, 'a', sizeof(id));

    id[256] = '\0';
    text = key_file(id, id, pem);
    file = str(text);
    ok(ngx_completion_jwt_key(pool, &file, &key) == NULL
       && key.id.len == 256 && key.account.len == 256, "ids of 256 bytes");
    ngx_completion_jwt_key_free(&key);
    free(text);

    id[256] = 'a';
    id[257] = '\0';
    text = key_file(id, "ajesa", pem);
    is_refused(text, "is no authorized key: an id is too long", "257 bytes");
    free(text);

    text = key_file("ajekey", id, pem);
    is_refused(text, "is no authorized key: an id is too long",
               "of the account, too");
    free(text);
}


/* The part that ends at the next dot: its bytes, in the pool. */

static ngx_str_t
decode(u_char **p, u_char *last)
{
    char       *text;
    size_t      len, i;
    u_char     *start = *p;
    ngx_str_t   part;

    while (*p < last && **p != '.') {
        (*p)++;
    }

    len = *p - start;
    text = malloc(len + 4);

    for (i = 0; i < len; i++) {
        text[i] = (start[i] == '-') ? '+' : (start[i] == '_') ? '/' : start[i];
    }

    while (i % 4) {
        text[i++] = '=';
    }

    part.data = ngx_pnalloc(pool, i + 1);
    part.len = EVP_DecodeBlock(part.data, (u_char *) text, i);
    part.len -= i - len;
    free(text);

    if (*p < last) {
        (*p)++;
    }

    return part;
}


/* PS256, RFC 7518: PSS with SHA-256, MGF1 with it, and a salt as long */

static int
verifies(ngx_str_t *text, ngx_str_t *signature)
{
    int            rc;
    EVP_MD_CTX    *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX  *pctx;

    rc = EVP_DigestVerifyInit(ctx, &pctx, EVP_sha256(), NULL, rsa) == 1
         && EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1
         && EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, EVP_sha256()) == 1
         && EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, 32) == 1
         && EVP_DigestVerify(ctx, signature->data, signature->len, text->data,
                             text->len) == 1;

    EVP_MD_CTX_free(ctx);

    return rc;
}


static void
test_signature(void)
{
    u_char                    *p, *last;
    ngx_str_t                  jwt, again, text, part, signature;
    ngx_pool_t                *own;
    ngx_pool_cleanup_t        *cln;
    ngx_completion_jwt_key_t   key = { str("aje\"key"), str("ajesa"), rsa };

    own = ngx_create_pool(1024, &shim_log);

    is_int(ngx_completion_jwt_sign(own, &key, NOW, &jwt), NGX_OK, "a token");

    p = jwt.data;
    last = p + jwt.len;

    part = decode(&p, last);
    is_str(&part, "{\"typ\":\"JWT\",\"alg\":\"PS256\",\"kid\":\"aje\\\"key\"}",
           "its header");

    part = decode(&p, last);
    is_str(&part, "{\"iss\":\"ajesa\","
           "\"aud\":\"https://iam.api.cloud.yandex.net/iam/v1/tokens\","
           "\"iat\":1000000000,\"exp\":1000003600}", "its claims");

    text.data = jwt.data;
    text.len = p - 1 - jwt.data;

    signature = decode(&p, last);
    ok(p == last, "its signature, and nothing else");
    is_int(signature.len, 256, "as long as the key");
    ok(verifies(&text, &signature), "which verifies");

    jwt.data[0] ^= 1;
    ok(!verifies(&text, &signature), "unless the text is another");
    jwt.data[0] ^= 1;

    ngx_completion_jwt_sign(own, &key, NOW, &again);
    ok(again.len == jwt.len
       && memcmp(again.data, jwt.data, text.len) == 0
       && memcmp(again.data, jwt.data, jwt.len) != 0,
       "the same text is never signed the same");

    ok(holds(&jwt, ".") && !holds(&jwt, "=") && !holds(&jwt, "+")
       && !holds(&jwt, "/"), "it can stand in a URL");

    /* what the pool does before it goes */

    for (cln = own->cleanup; cln; cln = cln->next) {
        cln->handler(cln->data);
        cln->handler = NULL;
    }

    for (p = jwt.data; p < last && *p == 0; p++) { /* void */ }
    ok(p == last, "and it is wiped with its pool");

    ngx_destroy_pool(own);

    /* padding and salt do not fit in */

    key.pkey = EVP_RSA_gen(512);
    is_int(ngx_completion_jwt_sign(pool, &key, NOW, &jwt), NGX_ERROR,
           "a key that cannot sign so");
    EVP_PKEY_free(key.pkey);
}


static void
test_memory(void)
{
    char                      *text;
    ngx_int_t                  rc;
    ngx_str_t                  file, jwt;
    const char                *fault;
    shim_hunger_t              hunger = { 0 };
    ngx_completion_jwt_key_t   key = { str("ajekey"), str("ajesa"), rsa };

    while (shim_starves(&hunger)) {
        rc = ngx_completion_jwt_sign(hunger.pool, &key, NOW, &jwt);
        shim_starved(&hunger, rc == NGX_ERROR);
    }

    ok(hunger.tries > 5 && !hunger.bad, "without memory there is no token");

    text = key_file("ajekey", "ajesa", pem);
    file = str(text);

    while (shim_starves(&hunger)) {
        fault = ngx_completion_jwt_key(hunger.pool, &file, &key);
        shim_starved(&hunger, fault && strcmp(fault, "cannot be read for lack "
                                                     "of memory")
                                       == 0);
    }

    ngx_completion_jwt_key_free(&key);
    free(text);

    ok(hunger.tries > 2 && !hunger.bad, "and no key");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);
    rsa = EVP_RSA_gen(2048);
    pem = key_pem(rsa, NULL);

    test_keys();
    test_signature();
    test_memory();

    free(pem);
    EVP_PKEY_free(rsa);
    ngx_destroy_pool(pool);

    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
