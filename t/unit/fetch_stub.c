
#include "fetch_stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


char  stub_headers[4096];
int   stub_transfers;

ngx_completion_fetch_t  *stub_started[17];

static int          stub_nstarted;
static ngx_uint_t   stub_closed;

static const char  *stub_names[8];
static const char  *stub_values[8];
static int          stub_nanswers;


void
stub_reset(void)
{
    stub_nanswers = 0;
    stub_closed = 0;
    stub_headers[0] = '\0';
}


void
stub_answer(const char *name, const char *value)
{
    stub_names[stub_nanswers] = name;
    stub_values[stub_nanswers++] = value;
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

    for (i = 0; i < stub_nanswers; i++) {
        if (strcmp(stub_names[i], name) == 0) {
            value->data = (u_char *) stub_values[i];
            value->len = strlen(stub_values[i]);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_completion_fetch_start(ngx_completion_fetch_t *f)
{
    if (stub_nstarted == 16) {
        abort();
    }

    stub_started[stub_nstarted++] = f;
}


static void
stub_forget(ngx_completion_fetch_t *f)
{
    int  i;

    for (i = 0; i < stub_nstarted; i++) {
        if (stub_started[i] == f) {
            stub_nstarted--;
            memmove(&stub_started[i], &stub_started[i + 1],
                    (stub_nstarted - i) * sizeof(stub_started[0]));
            stub_started[stub_nstarted] = NULL;
            return;
        }
    }
}


ngx_int_t
stub_sends(ngx_completion_fetch_t *f)
{
    if (f->fence && f->fence(f) != NGX_OK) {
        return NGX_DECLINED;
    }

    f->sent = 1;

    return NGX_OK;
}


void
stub_ends(ngx_completion_fetch_t *f, ngx_completion_outcome_e outcome)
{
    stub_forget(f);

    f->outcome = outcome;
    f->handler(f);
}


void
stub_fences(ngx_completion_fetch_t *f)
{
    f->fenced = 1;
    stub_ends(f, NGX_COMPLETION_UPSTREAM_UNAVAILABLE);
}


void
stub_answers(ngx_completion_fetch_t *f, ngx_uint_t status, const char *body)
{
    if (!f->sent && stub_sends(f) != NGX_OK) {
        stub_fences(f);
        return;
    }

    f->status = status;
    f->response.data = (u_char *) body;
    f->response.len = strlen(body);

    stub_ends(f, NGX_COMPLETION_OK);
}


void
ngx_completion_fetch_close(void)
{
    stub_closed = 1;

    while (stub_nstarted) {
        stub_ends(stub_started[0],
                  stub_started[0]->sent ? NGX_COMPLETION_OUTCOME_UNKNOWN
                                        : NGX_COMPLETION_UPSTREAM_UNAVAILABLE);
    }
}


ngx_uint_t
ngx_completion_fetch_closed(void)
{
    return stub_closed;
}


void
ngx_completion_fetch_exit(void)
{
    stub_closed = 0;
}


void
ngx_completion_fetch_destroy(ngx_completion_fetch_t *f)
{
    stub_forget(f);
    stub_transfers--;
    ngx_destroy_pool(f->pool);
}
