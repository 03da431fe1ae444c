
#include "fetch_stub.h"

#include <stdio.h>
#include <string.h>


char  stub_headers[4096];
int   stub_transfers;

static const char  *stub_names[8];
static const char  *stub_values[8];
static int          stub_answers;


void
stub_reset(void)
{
    stub_answers = 0;
    stub_headers[0] = '\0';
}


void
stub_answer(const char *name, const char *value)
{
    stub_names[stub_answers] = name;
    stub_values[stub_answers++] = value;
}


ngx_completion_fetch_t *
ngx_completion_fetch_create(ngx_completion_origin_t *o, ngx_log_t *log)
{
    ngx_pool_t              *pool;
    ngx_completion_fetch_t  *f;

    pool = ngx_create_pool(1024, log);
    if (pool == NULL) {
        return NULL;
    }

    f = ngx_pcalloc(pool, sizeof(ngx_completion_fetch_t));
    if (f == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    f->pool = pool;
    f->log = log;
    f->origin = o;

    stub_headers[0] = '\0';
    stub_transfers++;

    return f;
}


ngx_int_t
ngx_completion_fetch_header(ngx_completion_fetch_t *f, const char *name,
    ngx_str_t *value)
{
    size_t  len = strlen(stub_headers);

    /* as the real one, which copies */

    if (ngx_pnalloc(f->pool, value->len + 1) == NULL) {
        return NGX_ERROR;
    }

    snprintf(stub_headers + len, sizeof(stub_headers) - len, "%s: %.*s\n",
             name, (int) value->len, value->data);

    return NGX_OK;
}


ngx_int_t
ngx_completion_fetch_authorization(ngx_completion_fetch_t *f,
    const char *scheme, ngx_str_t *credential)
{
    ngx_int_t   rc;
    ngx_str_t   value;
    char        text[512];

    snprintf(text, sizeof(text), "%s %.*s", scheme, (int) credential->len,
             credential->data);

    value.data = (u_char *) text;
    value.len = strlen(text);

    rc = ngx_completion_fetch_header(f, "Authorization", &value);

    f->credential = *credential;

    return rc;
}


ngx_int_t
ngx_completion_fetch_answer_header(ngx_completion_fetch_t *f,
    const char *name, ngx_str_t *value)
{
    int  i;

    (void) f;

    for (i = 0; i < stub_answers; i++) {
        if (strcmp(stub_names[i], name) == 0) {
            value->data = (u_char *) stub_values[i];
            value->len = strlen(stub_values[i]);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_completion_fetch_destroy(ngx_completion_fetch_t *f)
{
    stub_transfers--;
    ngx_destroy_pool(f->pool);
}
