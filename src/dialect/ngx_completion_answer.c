
/*
 * What a call brought, whatever the dialect: the status says what became of
 * it, the dialect reads the body.
 */


#include "ngx_completion_dialect.h"


#define NGX_COMPLETION_SECONDS_MAX     86400
#define NGX_COMPLETION_REQUEST_ID_MAX  128


static ngx_completion_outcome_e ngx_completion_provider_status(
    ngx_completion_kind_e kind, ngx_uint_t status);
static ngx_int_t ngx_completion_provider_read(ngx_completion_masks_t *masks,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f, ngx_pool_t *pool,
    ngx_str_t *id, ngx_completion_answer_t *answer, const char **fault);
static ngx_int_t ngx_completion_provider_answer_headers(
    ngx_completion_masks_t *masks, ngx_completion_fetch_t *f,
    ngx_pool_t *pool, ngx_completion_answer_t *answer);
static ngx_int_t ngx_completion_provider_seconds(ngx_str_t *value);
static ngx_int_t ngx_completion_provider_retry_after(ngx_str_t *value);
static void ngx_completion_provider_fault(ngx_pool_t *pool,
    ngx_completion_answer_t *answer, const char *fault);


static const struct {
    ngx_uint_t                status;
    ngx_completion_outcome_e  outcome;
} ngx_completion_provider_statuses[] = {
    { 400, NGX_COMPLETION_INVALID_REQUEST },
    { 413, NGX_COMPLETION_INVALID_REQUEST },
    { 422, NGX_COMPLETION_INVALID_REQUEST },
    { 429, NGX_COMPLETION_QUOTA_EXCEEDED },
    { 503, NGX_COMPLETION_UPSTREAM_UNAVAILABLE },

    /* somebody gave up waiting: what was sent may be under way */
    { 408, NGX_COMPLETION_OUTCOME_UNKNOWN },
    { 499, NGX_COMPLETION_OUTCOME_UNKNOWN },

    { 0, 0 }
};


void
ngx_completion_provider_answer(ngx_completion_provider_t *p,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f, ngx_pool_t *pool,
    ngx_str_t *id, ngx_completion_answer_t *answer)
{
    ngx_int_t                rc;
    const char              *fault;
    ngx_completion_masks_t   masks;

    ngx_memzero(answer, sizeof(ngx_completion_answer_t));

    answer->retry_after = -1;
    answer->poll_interval = -1;
    ngx_completion_usage_init(&answer->operation.usage);

    answer->outcome = f->outcome;

    if (f->outcome != NGX_COMPLETION_OK) {
        ngx_completion_provider_fault(pool, answer,
                                      f->fault ? f->fault : "unknown");

        if (f->status >= 200 && f->status < 300) {
            answer->operation.state = f->excess ? NGX_COMPLETION_TOO_LARGE
                                    : f->garbled ? NGX_COMPLETION_UNREADABLE
                                                 : NGX_COMPLETION_PENDING;
        }

        return;
    }

    masks.dialect = p->dialect;
    masks.tenant = p->tenant;
    masks.credential = f->credential;

    answer->status = f->status;
    answer->outcome = ngx_completion_provider_status(kind, f->status);
    answer->unauthorized = (f->status == 401);

    rc = ngx_completion_provider_read(&masks, kind, f, pool, id, answer,
                                      &fault);
    if (rc == NGX_OK) {
        return;
    }

    answer->outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    answer->unauthorized = 0;
    answer->operation.state = (rc == NGX_DECLINED) ? NGX_COMPLETION_UNREADABLE
                                                   : NGX_COMPLETION_PENDING;

    ngx_completion_provider_fault(pool, answer, fault);
}


static void
ngx_completion_provider_fault(ngx_pool_t *pool,
    ngx_completion_answer_t *answer, const char *fault)
{
    answer->fault.len = ngx_strlen(fault);
    answer->fault.data = ngx_pnalloc(pool, answer->fault.len);

    if (answer->fault.data == NULL) {
        ngx_str_set(&answer->fault, "no memory");
        return;
    }

    ngx_memcpy(answer->fault.data, fault, answer->fault.len);
}


static ngx_completion_outcome_e
ngx_completion_provider_status(ngx_completion_kind_e kind, ngx_uint_t status)
{
    ngx_uint_t  i;

    for (i = 0; ngx_completion_provider_statuses[i].status; i++) {
        if (ngx_completion_provider_statuses[i].status == status) {
            return ngx_completion_provider_statuses[i].outcome;
        }
    }

    /* of a submit it means that the model has no asynchronous mode */

    if (status == 404 && kind != NGX_COMPLETION_KIND_SUBMIT) {
        return NGX_COMPLETION_OPERATION_NOT_FOUND;
    }

    return (status >= 500) ? NGX_COMPLETION_OUTCOME_UNKNOWN
         : (status >= 200 && status < 300) ? NGX_COMPLETION_OK
                                           : NGX_COMPLETION_UPSTREAM_REJECTED;
}


static ngx_int_t
ngx_completion_provider_read(ngx_completion_masks_t *masks,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f, ngx_pool_t *pool,
    ngx_str_t *id, ngx_completion_answer_t *answer, const char **fault)
{
    ngx_int_t   rc;
    ngx_str_t  *told;

    *fault = "no memory";

    if (ngx_completion_provider_answer_headers(masks, f, pool, answer)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (answer->outcome != NGX_COMPLETION_OK) {

        if (masks->dialect->reason(pool, &f->response, &answer->reason)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_completion_clean(masks, pool, &answer->reason,
                                    NGX_COMPLETION_REASON_MAX);
    }

    rc = masks->dialect->answer(kind, masks, pool, &f->response,
                                &answer->operation, fault);
    if (rc != NGX_OK) {
        return rc;
    }

    told = &answer->operation.id;

    if (masks->dialect->id(told) != NGX_OK) {
        *fault = "an operation's id of a wrong form";
        return NGX_DECLINED;
    }

    if (id && id->len
        && (id->len != told->len
            || ngx_memcmp(id->data, told->data, id->len) != 0))
    {
        *fault = "another operation";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_provider_answer_headers(ngx_completion_masks_t *masks,
    ngx_completion_fetch_t *f, ngx_pool_t *pool,
    ngx_completion_answer_t *answer)
{
    ngx_str_t    value;
    ngx_uint_t   i;
    const char  *name, **ids;

    if (ngx_completion_fetch_answer_header(f, "retry-after", &value)
        == NGX_OK)
    {
        answer->retry_after = ngx_completion_provider_retry_after(&value);
    }

    name = masks->dialect->poll_interval;

    if (name
        && ngx_completion_fetch_answer_header(f, name, &value) == NGX_OK)
    {
        answer->poll_interval = ngx_completion_provider_seconds(&value);
    }

    for (ids = masks->dialect->request_ids; *ids; ids++) {

        if (ngx_completion_fetch_answer_header(f, *ids, &value) != NGX_OK
            || value.len == 0 || value.len > NGX_COMPLETION_REQUEST_ID_MAX)
        {
            continue;
        }

        /* a quote would end the value in a log line */

        for (i = 0; i < value.len; i++) {
            if (value.data[i] < ' ' || value.data[i] >= 0x7f
                || value.data[i] == '"')
            {
                break;
            }
        }

        if (i < value.len) {
            continue;
        }

        answer->request_id.data = ngx_pstrdup(pool, &value);
        if (answer->request_id.data == NULL) {
            return NGX_ERROR;
        }

        answer->request_id.len = value.len;

        /* what upstream echoes must not end up in a log */

        return ngx_completion_mask(masks, pool, &answer->request_id);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_provider_retry_after(ngx_str_t *value)
{
    time_t     date;
    ngx_int_t  seconds;

    seconds = ngx_completion_provider_seconds(value);

    if (seconds != -1) {
        return seconds;
    }

    date = ngx_parse_http_time(value->data, value->len);

    if (date == (time_t) NGX_ERROR) {
        return -1;
    }

    if (date <= ngx_time()) {
        return 0;
    }

    return ngx_min(date - ngx_time(), NGX_COMPLETION_SECONDS_MAX);
}


static ngx_int_t
ngx_completion_provider_seconds(ngx_str_t *value)
{
    ngx_int_t   seconds;
    ngx_uint_t  i;

    if (value->len == 0) {
        return -1;
    }

    seconds = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            return -1;
        }

        seconds = seconds * 10 + (value->data[i] - '0');
        seconds = ngx_min(seconds, NGX_COMPLETION_SECONDS_MAX);
    }

    return seconds;
}


/* The reason is not logged: it may quote the prompt. */

void
ngx_completion_provider_report(ngx_completion_provider_t *p,
    ngx_completion_answer_t *answer, ngx_uint_t level, ngx_log_t *log,
    ngx_str_t *behind)
{
    const ngx_completion_hint_t  *hint;

    if (answer->status == 0) {
        ngx_log_error(level, log, 0, "upstream %s: %V%V",
                      (answer->outcome == NGX_COMPLETION_OUTCOME_UNKNOWN)
                          ? "gave no readable answer" : "was not reached",
                      &answer->fault, behind);
        return;
    }

    if (answer->fault.len) {
        ngx_log_error(level, log, 0,
                      "upstream gave no readable answer: %V, status %ui, "
                      "request id \"%V\"%V", &answer->fault, answer->status,
                      &answer->request_id, behind);
        return;
    }

    for (hint = p->dialect->hints; hint->status; hint++) {
        if (hint->status == answer->status) {
            break;
        }
    }

    ngx_log_error(level, log, 0,
                  "upstream answered %ui, request id \"%V\"%s%s%V",
                  answer->status, &answer->request_id,
                  hint->status ? ", check " : "",
                  hint->status ? hint->check : "", behind);
}
