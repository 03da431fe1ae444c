
/*
 * Tokens of Identity and Access Management: for the key of a service account,
 * or from the metadata of the virtual machine we run on.
 */


#include "ngx_completion_yandex.h"


enum {
    NGX_COMPLETION_YANDEX_TOKEN = NGX_COMPLETION_JSON_ROOT + 1,
    NGX_COMPLETION_YANDEX_EXPIRES_AT,
    NGX_COMPLETION_YANDEX_EXPIRES_IN
};


typedef struct {
    ngx_completion_fetch_t         *fetch;
    ngx_str_t                       token;
    time_t                          life;
    const char                     *fault;
    unsigned                        expires:1;
} ngx_completion_yandex_token_t;


static const char *ngx_completion_yandex_account(ngx_pool_t *pool,
    ngx_str_t *key, ngx_str_t *account);
static ngx_int_t ngx_completion_yandex_exchange(ngx_completion_fetch_t *f,
    ngx_str_t *key);
static const char *ngx_completion_yandex_exchanged(ngx_completion_fetch_t *f,
    ngx_str_t *token, time_t *life);
static ngx_int_t ngx_completion_yandex_metadata(ngx_completion_fetch_t *f,
    ngx_str_t *key);
static const char *ngx_completion_yandex_metadata_read(
    ngx_completion_fetch_t *f, ngx_str_t *token, time_t *life);

static const char *ngx_completion_yandex_token(ngx_completion_fetch_t *f,
    const ngx_completion_json_path_t *paths, ngx_str_t *token, time_t *life);
static ngx_int_t ngx_completion_yandex_token_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_yandex_expires_at(ngx_str_t *value,
    time_t *life);
static ngx_int_t ngx_completion_yandex_expires_in(ngx_str_t *value,
    time_t *life);


ngx_completion_credential_kind_t  ngx_completion_yandex_api_key = {
    "Api-Key", 1, NULL, NULL, 0, NULL, NULL, NULL
};


ngx_completion_credential_kind_t  ngx_completion_yandex_iam_token = {
    "Bearer", 1, NULL, NULL, 0, NULL, NULL, NULL
};


ngx_completion_credential_kind_t  ngx_completion_yandex_service_key = {
    "Bearer", 1,
    NGX_COMPLETION_YANDEX_IAM_URL,         /* iam_url */
    "iam_url",
    0,
    ngx_completion_yandex_account,
    ngx_completion_yandex_exchange,
    ngx_completion_yandex_exchanged
};


ngx_completion_credential_kind_t  ngx_completion_yandex_metadata_token = {
    "Bearer", 0,
    NGX_COMPLETION_YANDEX_METADATA_URL,
    "metadata_token",
    1,
    NULL,
    ngx_completion_yandex_metadata,
    ngx_completion_yandex_metadata_read
};


static const ngx_completion_json_path_t  ngx_completion_yandex_exchanges[] = {
    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_YANDEX_TOKEN,
      ngx_string("iamToken") },
    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_YANDEX_EXPIRES_AT,
      ngx_string("expiresAt") },
    { 0, 0, ngx_null_string }
};


static const ngx_completion_json_path_t  ngx_completion_yandex_metadatas[] = {
    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_YANDEX_TOKEN,
      ngx_string("access_token") },
    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_YANDEX_EXPIRES_IN,
      ngx_string("expires_in") },
    { 0, 0, ngx_null_string }
};


static const char *
ngx_completion_yandex_account(ngx_pool_t *pool, ngx_str_t *key,
    ngx_str_t *account)
{
    const char                *fault;
    ngx_completion_jwt_key_t   jwt;

    fault = ngx_completion_jwt_key(pool, key, &jwt);

    if (fault == NULL) {
        *account = jwt.account;
        ngx_completion_jwt_key_free(&jwt);
    }

    return fault;
}


/* a JWT needs no escapes: the body is written by hand, and wiped */

static ngx_int_t
ngx_completion_yandex_exchange(ngx_completion_fetch_t *f, ngx_str_t *key)
{
    size_t                     size;
    ngx_int_t                  rc;
    ngx_str_t                  type, jwt;
    ngx_completion_jwt_key_t   parsed;

    ngx_str_set(&type, "application/json");

    if (ngx_completion_fetch_header(f, "Content-Type", &type) != NGX_OK
        || ngx_completion_jwt_key(f->pool, key, &parsed))
    {
        return NGX_ERROR;
    }

    rc = ngx_completion_jwt_sign(f->pool, &parsed, ngx_time(), &jwt);

    ngx_completion_jwt_key_free(&parsed);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    size = sizeof("{\"jwt\":\"\"}") - 1 + jwt.len;

    f->body.data = ngx_completion_secret_alloc(f->pool, size);
    if (f->body.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(f->body.data, "{\"jwt\":\"%V\"}", &jwt);

    f->body.len = size;
    f->post = 1;

    return NGX_OK;
}


static const char *
ngx_completion_yandex_exchanged(ngx_completion_fetch_t *f, ngx_str_t *token,
    time_t *life)
{
    switch (f->status) {

    case 400:
    case 401:
    case 403:
    case 404:
        return "the authorized key is refused: deleted, of another account, "
               "or the clock is wrong";
    }

    if (f->status < 200 || f->status >= 300) {
        return "the token service refuses";
    }

    return ngx_completion_yandex_token(f, ngx_completion_yandex_exchanges,
                                       token, life);
}


static ngx_int_t
ngx_completion_yandex_metadata(ngx_completion_fetch_t *f, ngx_str_t *key)
{
    ngx_str_t  value;

    ngx_str_set(&value, "Google");

    return ngx_completion_fetch_header(f, "Metadata-Flavor", &value);
}


static const char *
ngx_completion_yandex_metadata_read(ngx_completion_fetch_t *f,
    ngx_str_t *token, time_t *life)
{
    if (f->status < 200 || f->status >= 300) {
        return (f->status == 404) ? "no service account on this VM, attach one"
                                  : "the metadata service refuses";
    }

    return ngx_completion_yandex_token(f, ngx_completion_yandex_metadatas,
                                       token, life);
}


static const char *
ngx_completion_yandex_token(ngx_completion_fetch_t *f,
    const ngx_completion_json_path_t *paths, ngx_str_t *token, time_t *life)
{
    ngx_int_t                      rc;
    const char                    *fault;
    ngx_completion_yandex_token_t  reader;

    ngx_memzero(&reader, sizeof(ngx_completion_yandex_token_t));

    reader.fetch = f;

    rc = ngx_completion_json_read(f->pool, &f->response, paths,
                                  ngx_completion_yandex_token_event, &reader,
                                  &fault);

    if (reader.fault) {
        return reader.fault;
    }

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? fault : "no memory";
    }

    if (reader.token.len == 0) {
        return "the answer has no token";
    }

    if (!reader.expires) {
        return "the answer does not say when the token expires";
    }

    *token = reader.token;
    *life = reader.life;

    return NULL;
}


static ngx_int_t
ngx_completion_yandex_token_event(void *data,
    ngx_completion_json_event_t *event)
{
    ngx_completion_yandex_token_t *reader = data;

    ngx_uint_t  string, number;

    string = (event->type == NGX_COMPLETION_JSON_STRING);
    number = (event->type == NGX_COMPLETION_JSON_NUMBER);

    if (event->node == NGX_COMPLETION_YANDEX_TOKEN && string) {
        reader->fault = ngx_completion_token_keep(reader->fetch, &event->value,
                                                  &reader->token);

        return reader->fault ? NGX_DECLINED : NGX_OK;
    }

    if ((event->node == NGX_COMPLETION_YANDEX_EXPIRES_AT && string
         && ngx_completion_yandex_expires_at(&event->value, &reader->life)
            == NGX_OK)
        || (event->node == NGX_COMPLETION_YANDEX_EXPIRES_IN
            && (string || number)
            && ngx_completion_yandex_expires_in(&event->value, &reader->life)
               == NGX_OK))
    {
        reader->expires = 1;
    }

    return NGX_OK;
}


/* RFC 3339; NGX_ERROR: it does not say */

static ngx_int_t
ngx_completion_yandex_expires_at(ngx_str_t *value, time_t *life)
{
    u_char      *p, *last;
    char         text[20];
    ngx_int_t    hours, minutes;
    struct tm    tm;

    if (value->len < sizeof("2026-01-01T00:00:00Z") - 1) {
        return NGX_ERROR;
    }

    ngx_memcpy(text, value->data, 19);
    text[10] = ngx_toupper(text[10]);
    text[19] = '\0';

    ngx_memzero(&tm, sizeof(struct tm));

    if (strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) != &text[19]) {
        return NGX_ERROR;
    }

    *life = timegm(&tm) - ngx_time();

    p = value->data + 19;
    last = value->data + value->len;

    if (*p == '.') {
        for (p++; p < last && *p >= '0' && *p <= '9'; p++) { /* void */ }
    }

    if (last - p == 1 && (*p == 'Z' || *p == 'z')) {
        return NGX_OK;
    }

    if (last - p != 6 || (*p != '+' && *p != '-') || p[3] != ':') {
        return NGX_ERROR;
    }

    hours = ngx_atoi(p + 1, 2);
    minutes = ngx_atoi(p + 4, 2);

    if (hours == NGX_ERROR || minutes == NGX_ERROR) {
        return NGX_ERROR;
    }

    *life -= (*p == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);

    return NGX_OK;
}


/* the same of a number as it is spelled; a fraction is cut off */

static ngx_int_t
ngx_completion_yandex_expires_in(ngx_str_t *value, time_t *life)
{
    u_char     *p, *last;
    ngx_int_t   n;

    p = value->data;
    last = p + value->len;

    if (p < last && *p == '-') {
        *life = -1;
        return NGX_OK;
    }

    while (p < last && *p != '.') {
        p++;
    }

    n = ngx_atoi(value->data, p - value->data);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *life = n;

    return NGX_OK;
}
