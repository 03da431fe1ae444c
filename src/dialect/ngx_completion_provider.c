
/*
 * Calls of a provider, whatever its dialect: a transfer with a credential, of
 * which the dialect makes a submit, a poll or a cancel.
 */


#include "ngx_completion_dialect.h"


static ngx_completion_fetch_t *ngx_completion_provider_call(
    ngx_completion_provider_t *p, ngx_completion_origin_t *origin,
    ngx_str_t *secret, ngx_log_t *log);


ngx_completion_fetch_t *
ngx_completion_provider_submit(ngx_completion_provider_t *p,
    ngx_str_t *secret, ngx_str_t *body, u_char *request_id, ngx_log_t *log)
{
    ngx_completion_fetch_t  *f;

    f = ngx_completion_provider_call(p, &p->submit, secret, log);
    if (f == NULL) {
        return NULL;
    }

    f->post = 1;
    f->hold = 1;
    f->body = *body;

    if (p->dialect->submit(p, f, request_id) != NGX_OK) {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


ngx_completion_fetch_t *
ngx_completion_provider_poll(ngx_completion_provider_t *p, ngx_str_t *secret,
    ngx_str_t *id, ngx_log_t *log)
{
    ngx_completion_fetch_t  *f;

    if (p->dialect->id(id) != NGX_OK) {
        return NULL;
    }

    f = ngx_completion_provider_call(p, &p->operations, secret, log);

    if (f && p->dialect->poll(p, f, id) != NGX_OK) {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


ngx_completion_fetch_t *
ngx_completion_provider_cancel(ngx_completion_provider_t *p,
    ngx_str_t *secret, ngx_str_t *id, ngx_log_t *log)
{
    ngx_completion_fetch_t  *f;

    if (p->dialect->id(id) != NGX_OK) {
        return NULL;
    }

    f = ngx_completion_provider_call(p, &p->operations, secret, log);

    if (f && p->dialect->cancel(p, f, id) != NGX_OK) {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


static ngx_completion_fetch_t *
ngx_completion_provider_call(ngx_completion_provider_t *p,
    ngx_completion_origin_t *origin, ngx_str_t *secret, ngx_log_t *log)
{
    ngx_completion_fetch_t  *f;

    f = ngx_completion_fetch_create(origin, log);

    if (f && ngx_completion_credential_show(&p->credential, f, secret)
             != NGX_OK)
    {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


ngx_int_t
ngx_completion_provider_suffix(ngx_completion_fetch_t *f, ngx_str_t *id,
    const char *verb)
{
    u_char     *last;
    ngx_str_t  *url;

    last = ngx_pnalloc(f->pool, id->len + ngx_strlen(verb) + 2);
    if (last == NULL) {
        return NGX_ERROR;
    }

    f->suffix.data = last;
    url = &f->origin->url;

    if (url->len == 0 || url->data[url->len - 1] != '/') {
        *last++ = '/';
    }

    last = ngx_sprintf(last, "%V%s", id, verb);
    *last = '\0';

    f->suffix.len = last - f->suffix.data;

    return NGX_OK;
}


void
ngx_completion_usage_init(ngx_completion_usage_t *usage)
{
    usage->input = -1;
    usage->completion = -1;
    usage->total = -1;
}
