
/*
 * Calls of a provider, whatever its dialect: a transfer with a credential, of
 * which the dialect makes a submit, a poll or a cancel.
 */


#include "ngx_completion_dialect.h"


static ngx_int_t ngx_completion_provider_suffix(ngx_completion_fetch_t *f,
    ngx_str_t *id, const char *verb);


ngx_completion_fetch_t *
ngx_completion_provider_call(ngx_completion_provider_t *p,
    ngx_completion_kind_e kind, ngx_str_t *secret, ngx_str_t *text,
    u_char *request_id, ngx_log_t *log)
{
    ngx_uint_t               submit;
    ngx_completion_fetch_t  *f;

    submit = (kind == NGX_COMPLETION_KIND_SUBMIT);

    if (!submit && p->dialect->id(text) != NGX_OK) {
        return NULL;
    }

    f = ngx_completion_fetch_create(submit ? &p->submit : &p->operations, log);
    if (f == NULL) {
        return NULL;
    }

    if (submit) {
        f->post = 1;
        f->hold = 1;
        f->body = *text;

    } else if (kind == NGX_COMPLETION_KIND_CANCEL) {
        f->post = p->dialect->cancel_post;
    }

    if ((!submit
         && ngx_completion_provider_suffix(f, text,
                                           kind == NGX_COMPLETION_KIND_CANCEL
                                               ? p->dialect->cancel : "")
            != NGX_OK)
        || ngx_completion_fetch_authorization(f, p->credential.kind->scheme,
                                              secret)
           != NGX_OK
        || p->dialect->headers(p, kind, f, request_id) != NGX_OK)
    {
        ngx_completion_fetch_destroy(f);
        return NULL;
    }

    return f;
}


/* behind the origin's target: "/", the id and the verb */

static ngx_int_t
ngx_completion_provider_suffix(ngx_completion_fetch_t *f, ngx_str_t *id,
    const char *verb)
{
    u_char     *last;
    ngx_str_t  *target;

    last = ngx_pnalloc(f->pool, id->len + ngx_strlen(verb) + 2);
    if (last == NULL) {
        return NGX_ERROR;
    }

    f->suffix.data = last;
    target = &f->origin->target;

    if (target->len == 0 || target->data[target->len - 1] != '/') {
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
    usage->reasoning = -1;
    usage->total = -1;
}
