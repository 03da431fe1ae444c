
#include "../ngx_completion_credential.h"
#include "ngx_completion_yandex_jwt.h"
#include "../../base/ngx_completion_json.h"


/* Yandex's live half a day; far more than that is a clock gone wrong */
#define NGX_COMPLETION_TOKEN_LIFE_MAX  (30 * 24 * 3600)


enum {
    NGX_COMPLETION_TOKEN_IAM = NGX_COMPLETION_JSON_ROOT + 1,
    NGX_COMPLETION_TOKEN_EXPIRES_AT,
    NGX_COMPLETION_TOKEN_ACCESS,
    NGX_COMPLETION_TOKEN_EXPIRES_IN
};


typedef struct {
    ngx_pool_t                   *pool;
    ngx_completion_credential_e   kind;
    ngx_str_t                     token;
    time_t                        life;
    const char                   *fault;
    unsigned                      expires:1;
} ngx_completion_token_reader_t;


static ngx_int_t ngx_completion_token_body(ngx_completion_fetch_t *f,
    ngx_completion_secret_t *secret);
static const char *ngx_completion_token_status(
    ngx_completion_credential_t *c, ngx_completion_fetch_t *f);
static ngx_int_t ngx_completion_token_event(void *data,
    ngx_completion_json_event_t *event);
static ngx_int_t ngx_completion_token_value(
    ngx_completion_token_reader_t *reader, ngx_str_t *value);
static ngx_int_t ngx_completion_token_time(ngx_str_t *value, time_t *time);
static ngx_int_t ngx_completion_token_seconds(ngx_str_t *value,
    time_t *seconds);


static const ngx_completion_json_path_t  ngx_completion_token_paths[] = {
    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_TOKEN_IAM,
      ngx_string("iamToken") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_TOKEN_EXPIRES_AT,
      ngx_string("expiresAt") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_TOKEN_ACCESS,
      ngx_string("access_token") },

    { NGX_COMPLETION_JSON_ROOT, NGX_COMPLETION_TOKEN_EXPIRES_IN,
      ngx_string("expires_in") },

    { 0, 0, ngx_null_string }
};


ngx_completion_fetch_t *
ngx_completion_token_fetch(ngx_completion_credential_t *c,
    ngx_completion_secret_t *secret, ngx_log_t *log)
{
    ngx_int_t                rc;
    ngx_str_t                value;
    ngx_completion_fetch_t  *f;

    f = ngx_completion_fetch_create(&c->service, log);
    if (f == NULL) {
        return NULL;
    }

    f->secret = 1;

    if (c->kind == NGX_COMPLETION_CREDENTIAL_METADATA_TOKEN) {
        ngx_str_set(&value, "Google");
        rc = ngx_completion_fetch_header(f, "Metadata-Flavor", &value);

    } else {
        ngx_str_set(&value, "application/json");
        rc = ngx_completion_fetch_header(f, "Content-Type", &value);

        if (rc == NGX_OK) {
            rc = ngx_completion_token_body(f, secret);
        }
    }

    if (rc != NGX_OK) {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


/* a JWT needs no escapes: the body is written by hand, and wiped */

static ngx_int_t
ngx_completion_token_body(ngx_completion_fetch_t *f,
    ngx_completion_secret_t *secret)
{
    size_t                     size;
    ngx_int_t                  rc;
    ngx_str_t                  jwt;
    ngx_completion_jwt_key_t   key;

    if (ngx_completion_jwt_key(f->pool, &secret->value, &key)) {
        return NGX_ERROR;
    }

    rc = ngx_completion_jwt_sign(f->pool, &key, ngx_time(), &jwt);

    ngx_completion_jwt_key_free(&key);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    size = sizeof("{\"jwt\":\"\"}") - 1 + jwt.len;

    f->body.data = ngx_pnalloc(f->pool, size);

    if (f->body.data == NULL
        || ngx_completion_secret_wipe_with(f->pool, f->body.data, size)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(f->body.data, "{\"jwt\":\"%V\"}", &jwt);

    f->body.len = size;
    f->post = 1;

    return NGX_OK;
}


const char *
ngx_completion_token_read(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f, ngx_str_t *token, time_t *life)
{
    ngx_int_t                      rc;
    const char                    *fault;
    ngx_completion_token_reader_t  reader;

    fault = ngx_completion_token_status(c, f);

    if (fault) {
        return fault;
    }

    ngx_memzero(&reader, sizeof(ngx_completion_token_reader_t));

    reader.pool = f->pool;
    reader.kind = c->kind;

    rc = ngx_completion_json_read(f->pool, &f->response,
                                  ngx_completion_token_paths,
                                  ngx_completion_token_event, &reader, &fault);

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

    if (reader.life <= 0) {
        return "the token has expired already, or the clock is wrong";
    }

    if (reader.life > NGX_COMPLETION_TOKEN_LIFE_MAX) {
        return "the token lives longer than can be, or the clock is wrong";
    }

    *token = reader.token;
    *life = reader.life;

    return NULL;
}


static const char *
ngx_completion_token_status(ngx_completion_credential_t *c,
    ngx_completion_fetch_t *f)
{
    if (f->outcome != NGX_COMPLETION_FETCH_ANSWERED) {
        return f->fault ? f->fault : "no answer";
    }

    if (f->status >= 200 && f->status < 300) {
        return NULL;
    }

    if (c->kind == NGX_COMPLETION_CREDENTIAL_METADATA_TOKEN) {
        return (f->status == 404) ? "no service account on this VM, attach one"
                                  : "the metadata service refuses";
    }

    switch (f->status) {

    case 400:
    case 401:
    case 403:
    case 404:
        return "the authorized key is refused: deleted, of another account, "
               "or the clock is wrong";

    default:
        return "the token service refuses";
    }
}


static ngx_int_t
ngx_completion_token_event(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_token_reader_t *reader = data;

    time_t      time;
    ngx_uint_t  iam;

    iam = (reader->kind == NGX_COMPLETION_CREDENTIAL_SERVICE_ACCOUNT_KEY);

    if (event->node == (iam ? NGX_COMPLETION_TOKEN_IAM
                            : NGX_COMPLETION_TOKEN_ACCESS)
        && event->type == NGX_COMPLETION_JSON_STRING)
    {
        return ngx_completion_token_value(reader, &event->value);
    }

    if (iam && event->node == NGX_COMPLETION_TOKEN_EXPIRES_AT
        && event->type == NGX_COMPLETION_JSON_STRING
        && ngx_completion_token_time(&event->value, &time) == NGX_OK)
    {
        reader->life = time - ngx_time();
        reader->expires = 1;
    }

    if (!iam && event->node == NGX_COMPLETION_TOKEN_EXPIRES_IN
        && (event->type == NGX_COMPLETION_JSON_NUMBER
            || event->type == NGX_COMPLETION_JSON_STRING)
        && ngx_completion_token_seconds(&event->value, &time) == NGX_OK)
    {
        reader->life = time;
        reader->expires = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_token_value(ngx_completion_token_reader_t *reader,
    ngx_str_t *value)
{
    ngx_uint_t  i;

    if (value->len > NGX_COMPLETION_TOKEN_MAX) {
        reader->fault = "the token is longer than 16k";
        return NGX_DECLINED;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= 0x20 || value->data[i] >= 0x7f) {
            reader->fault = "the token holds characters it may not";
            return NGX_DECLINED;
        }
    }

    reader->token.data = ngx_pstrdup(reader->pool, value);
    if (reader->token.data == NULL) {
        return NGX_ERROR;
    }

    reader->token.len = value->len;

    return ngx_completion_secret_wipe_with(reader->pool, reader->token.data,
                                           reader->token.len);
}


/* RFC 3339 */

static ngx_int_t
ngx_completion_token_time(ngx_str_t *value, time_t *time)
{
    u_char      *p, *last;
    char         text[20];
    ngx_int_t    hours, minutes;
    struct tm    tm;

    if (value->len < sizeof("2026-01-01T00:00:00Z") - 1) {
        return NGX_ERROR;
    }

    ngx_memcpy(text, value->data, 19);
    text[10] = ' ';
    text[19] = '\0';

    ngx_memzero(&tm, sizeof(struct tm));

    if ((value->data[10] != 'T' && value->data[10] != 't')
        || strptime(text, "%Y-%m-%d %H:%M:%S", &tm) != &text[19])
    {
        return NGX_ERROR;
    }

    *time = timegm(&tm);

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

    *time -= (*p == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);

    return NGX_OK;
}


/* a number as it is spelled; a fraction is cut off */

static ngx_int_t
ngx_completion_token_seconds(ngx_str_t *value, time_t *seconds)
{
    u_char     *p, *last;
    ngx_int_t   n;

    p = value->data;
    last = p + value->len;

    if (p < last && *p == '-') {
        *seconds = -1;
        return NGX_OK;
    }

    while (p < last && *p != '.') {
        p++;
    }

    n = ngx_atoi(value->data, p - value->data);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *seconds = n;

    return NGX_OK;
}
