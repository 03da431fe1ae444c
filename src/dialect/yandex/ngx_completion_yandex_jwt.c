
#include "ngx_completion_yandex.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>


#define NGX_COMPLETION_JWT_LIFETIME  3600       /* seconds, the most allowed */
#define NGX_COMPLETION_JWT_BITS      2048       /* of a key, at least */
#define NGX_COMPLETION_JWT_SALT      32
#define NGX_COMPLETION_JWT_ID_MAX    256


enum {
    NGX_COMPLETION_JWT_ID = NGX_COMPLETION_JSON_ROOT + 1,
    NGX_COMPLETION_JWT_ACCOUNT,
    NGX_COMPLETION_JWT_PRIVATE_KEY
};


typedef struct {
    ngx_pool_t                *pool;
    ngx_completion_jwt_key_t  *key;
    const char                *fault;
} ngx_completion_jwt_reader_t;


static ngx_int_t ngx_completion_jwt_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_jwt_id(ngx_completion_jwt_reader_t *reader,
    ngx_str_t *value, ngx_str_t *id);
static const char *ngx_completion_jwt_pem(ngx_str_t *pem,
    ngx_completion_jwt_key_t *key);
static int ngx_completion_jwt_no_password(char *buf, int size, int writing,
    void *data);
static u_char *ngx_completion_jwt_encode(u_char *p, ngx_str_t *part);
static ngx_int_t ngx_completion_jwt_signature(ngx_completion_jwt_key_t *key,
    ngx_str_t *text, ngx_str_t *signature);


static const ngx_completion_json_path_t  ngx_completion_jwt_paths[] = {
    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_JWT_ID, ngx_string("id") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_JWT_ACCOUNT,
      ngx_string("service_account_id") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_JWT_PRIVATE_KEY,
      ngx_string("private_key") },

    { 0, 0, ngx_null_string }
};


const char *
ngx_completion_jwt_key(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_jwt_key_t *key)
{
    ngx_int_t                    rc;
    const char                  *fault;
    ngx_completion_jwt_reader_t  reader;

    ngx_memzero(key, sizeof(ngx_completion_jwt_key_t));

    reader.pool = pool;
    reader.key = key;
    reader.fault = NULL;

    rc = ngx_completion_json_read(pool, text, ngx_completion_jwt_paths,
                                  ngx_completion_jwt_event, &reader, &fault);

    if (reader.fault) {
        fault = reader.fault;

    } else if (rc == NGX_DECLINED) {
        fault = "is not the JSON of an authorized key";

    } else if (rc != NGX_OK) {
        fault = "cannot be read for lack of memory";

    } else if (key->id.len == 0) {
        fault = "is no authorized key: it has no \"id\"";

    } else if (key->account.len == 0) {
        fault = "is no authorized key: it has no \"service_account_id\"";

    } else if (key->pkey == NULL) {
        fault = "is no authorized key: it has no \"private_key\"";

    } else {
        return NULL;
    }

    ngx_completion_jwt_key_free(key);

    return fault;
}


static ngx_int_t
ngx_completion_jwt_event(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_jwt_reader_t *reader = data;

    if (event->type != NGX_COMPLETION_JSON_STRING) {
        return NGX_OK;
    }

    switch (event->node) {

    case NGX_COMPLETION_JWT_ID:
        return ngx_completion_jwt_id(reader, &event->value, &reader->key->id);

    case NGX_COMPLETION_JWT_ACCOUNT:
        return ngx_completion_jwt_id(reader, &event->value,
                                     &reader->key->account);

    case NGX_COMPLETION_JWT_PRIVATE_KEY:
        reader->fault = ngx_completion_jwt_pem(&event->value, reader->key);
        return reader->fault ? NGX_DECLINED : NGX_OK;

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_completion_jwt_id(ngx_completion_jwt_reader_t *reader, ngx_str_t *value,
    ngx_str_t *id)
{
    if (value->len > NGX_COMPLETION_JWT_ID_MAX) {
        reader->fault = "is no authorized key: an id is too long";
        return NGX_DECLINED;
    }

    return ngx_completion_json_keep(reader->pool, value, id);
}


/* what stands ahead of the PEM's first line is passed over by OpenSSL */

static const char *
ngx_completion_jwt_pem(ngx_str_t *pem, ngx_completion_jwt_key_t *key)
{
    BIO  *bio;

    bio = BIO_new_mem_buf(pem->data, pem->len);
    if (bio == NULL) {
        return "cannot be read for lack of memory";
    }

    key->pkey = PEM_read_bio_PrivateKey(bio, NULL,
                                        ngx_completion_jwt_no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();

    if (key->pkey == NULL) {
        return "has a \"private_key\" that is no private key in PEM";
    }

    if (!EVP_PKEY_is_a(key->pkey, "RSA")
        || EVP_PKEY_get_bits(key->pkey) < NGX_COMPLETION_JWT_BITS)
    {
        return "has a \"private_key\" that is no RSA key of 2048 bits or more";
    }

    return NULL;
}


/* OpenSSL would ask on the terminal */

static int
ngx_completion_jwt_no_password(char *buf, int size, int writing, void *data)
{
    return -1;
}


void
ngx_completion_jwt_key_free(ngx_completion_jwt_key_t *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}


ngx_int_t
ngx_completion_jwt_sign(ngx_pool_t *pool, ngx_completion_jwt_key_t *key,
    time_t now, ngx_str_t *jwt)
{
    u_char                        *p;
    size_t                         size;
    ngx_str_t                      header, claims, signature;
    ngx_completion_json_writer_t  *w;

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key_cstring(w, "typ", "JWT");
    ngx_completion_json_key_cstring(w, "alg", "PS256");
    ngx_completion_json_key_string(w, "kid", &key->id);
    ngx_completion_json_end(w);

    if (ngx_completion_json_writer_finish(w, &header) != NGX_OK) {
        return NGX_ERROR;
    }

    w = ngx_completion_json_writer_create(pool);

    ngx_completion_json_object(w);
    ngx_completion_json_key_string(w, "iss", &key->account);
    ngx_completion_json_key_cstring(w, "aud", NGX_COMPLETION_JWT_AUDIENCE);
    ngx_completion_json_key_integer(w, "iat", now);
    ngx_completion_json_key_integer(w, "exp",
                                    now + NGX_COMPLETION_JWT_LIFETIME);
    ngx_completion_json_end(w);

    if (ngx_completion_json_writer_finish(w, &claims) != NGX_OK) {
        return NGX_ERROR;
    }

    signature.len = EVP_PKEY_get_size(key->pkey);
    signature.data = ngx_completion_secret_alloc(pool, signature.len);

    size = ngx_base64_encoded_length(header.len)
           + ngx_base64_encoded_length(claims.len)
           + ngx_base64_encoded_length(signature.len) + sizeof("..");

    jwt->data = ngx_completion_secret_alloc(pool, size);

    if (signature.data == NULL || jwt->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_completion_jwt_encode(jwt->data, &header);
    *p++ = '.';

    p = ngx_completion_jwt_encode(p, &claims);
    jwt->len = p - jwt->data;
    *p++ = '.';

    if (ngx_completion_jwt_signature(key, jwt, &signature) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_completion_jwt_encode(p, &signature);
    jwt->len = p - jwt->data;

    return NGX_OK;
}


static u_char *
ngx_completion_jwt_encode(u_char *p, ngx_str_t *part)
{
    ngx_str_t  encoded;

    encoded.data = p;
    ngx_encode_base64url(&encoded, part);

    return p + encoded.len;
}


static ngx_int_t
ngx_completion_jwt_signature(ngx_completion_jwt_key_t *key,
    ngx_str_t *text, ngx_str_t *signature)
{
    ngx_int_t      rc;
    EVP_MD_CTX    *ctx;
    EVP_PKEY_CTX  *pctx;

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, key->pkey) == 1
        && EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1
        && EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, EVP_sha256()) == 1
        && EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, NGX_COMPLETION_JWT_SALT) == 1
        && EVP_DigestSign(ctx, signature->data, &signature->len, text->data,
                          text->len)
           == 1)
    {
        rc = NGX_OK;
    }

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();

    return rc;
}
