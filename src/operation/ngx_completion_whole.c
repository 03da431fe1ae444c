
/*
 *     each part's view --> what they come to --> one document, one view
 *
 *     some have no answer yet ----> AGAIN, until it is late; none has: BUSY
 *     all are unknown, or deleted > DECLINED
 *     the zone has no room -------> ABORT; of one just accepted: PENDING
 *     one has failed -------------> FINAL, the others are cancelled
 *     all have ended -------------> FINAL, and their texts are joined
 *     else -----------------------> PENDING
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_operation.h"
#include "ngx_completion_whole.h"


#define NGX_COMPLETION_WHOLE_POOL  4096


typedef struct {
    ngx_completion_id_t         id;
    ngx_completion_joint_e      joint;
    ngx_int_t                   rc;        /* as read */
    unsigned                    missing:1; /* upstream denies it, for now */
    ngx_completion_view_t       view;
} ngx_completion_whole_part_t;


typedef struct {
    ngx_completion_service_t     *service;
    ngx_pool_t                   *pool;    /* as long as it is looked at */
    ngx_completion_whole_part_t  *parts;
    ngx_uint_t                    n;

    ngx_uint_t                    asked;   /* by what reading them came to */
    ngx_uint_t                    missing;
    ngx_uint_t                    pending;
    ngx_uint_t                    deleted;
    ngx_completion_whole_part_t  *failed;  /* the one that tells why; NULL:
                                              none has */
    ngx_completion_result_t      *result;  /* joined, once it was asked for */
} ngx_completion_whole_t;


static ngx_int_t ngx_completion_whole_create(
    ngx_completion_service_t *service, ngx_completion_id_t *id,
    ngx_completion_whole_t *whole);
static ngx_int_t ngx_completion_whole_look(ngx_completion_whole_t *whole,
    ngx_uint_t how, ngx_completion_view_t *view);
static ngx_int_t ngx_completion_whole_failed(ngx_completion_whole_t *whole);
static ngx_int_t ngx_completion_whole_view(ngx_completion_whole_t *whole,
    ngx_completion_id_t *id, ngx_uint_t how, ngx_completion_view_t *view);
static ngx_int_t ngx_completion_whole_document(ngx_completion_whole_t *whole,
    ngx_uint_t how, ngx_pool_t *pool, ngx_completion_view_t *view);
static ngx_completion_result_t *ngx_completion_whole_result(
    ngx_completion_whole_t *whole);
static void ngx_completion_whole_add(ngx_completion_result_t *result,
    ngx_completion_result_t *part);
static ngx_uint_t ngx_completion_whole_rank(ngx_completion_result_t *result);


#define ngx_completion_whole_is_failed(state)                                 \
    ((state) >= NGX_COMPLETION_FAILED)

/* tokens that are not said add nothing */
#define ngx_completion_whole_sum(to, of)                                      \
    if ((of) >= 0) {                                                          \
        (to) = (of) + (((to) >= 0) ? (to) : 0);                               \
    }


ngx_uint_t
ngx_completion_whole_parts(ngx_completion_id_t *id)
{
    ngx_str_t               rest, one;
    ngx_uint_t              n;
    ngx_completion_joint_e  joint;

    if (!ngx_completion_id_is_whole(&id->upstream)) {
        return 1;
    }

    rest = id->upstream;

    for (n = 0; ngx_completion_id_next(&rest, &one, &joint) == NGX_OK; n++) {
        /* void */
    }

    return n;
}


ngx_str_t
ngx_completion_whole_first(ngx_completion_id_t *id)
{
    ngx_str_t               rest, one;
    ngx_completion_joint_e  joint;

    if (!ngx_completion_id_is_whole(&id->upstream)) {
        return id->upstream;
    }

    rest = id->upstream;
    (void) ngx_completion_id_next(&rest, &one, &joint);

    return one;
}


ngx_int_t
ngx_completion_whole_read(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_uint_t how, ngx_completion_view_t *known,
    ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_int_t               rc;
    ngx_completion_whole_t  whole;

    if (!ngx_completion_id_is_whole(&id->upstream)) {
        return ngx_completion_operation_read(service, id, known, pool, view);
    }

    if (ngx_completion_whole_create(service, id, &whole) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_completion_whole_look(&whole, how, view);

    if (rc == NGX_OK) {
        rc = ngx_completion_whole_view(&whole, id, how, view);
    }

    if (rc == NGX_OK) {
        rc = (known && known->version == view->version)
                 ? NGX_DONE
                 : ngx_completion_whole_document(&whole, how, pool, view);
    }

    ngx_log_debug6(NGX_LOG_DEBUG_EVENT, service->log, 0,
                   "completion whole: %ui parts, %ui asked for, %ui missing, "
                   "%ui pending, failed %d: %i", whole.n, whole.asked,
                   whole.missing, whole.pending, whole.failed != NULL, rc);

    ngx_destroy_pool(whole.pool);

    return rc;
}


ngx_int_t
ngx_completion_whole_cancel(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_uint_t how, ngx_pool_t *pool,
    ngx_completion_view_t *view)
{
    ngx_uint_t              i;
    ngx_completion_whole_t  whole;

    if (!ngx_completion_id_is_whole(&id->upstream)) {
        return ngx_completion_operation_cancel(service, id, pool, view);
    }

    if (ngx_completion_whole_create(service, id, &whole) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < whole.n; i++) {
        (void) ngx_completion_operation_cancel(service, &whole.parts[i].id,
                                               whole.pool,
                                               &whole.parts[i].view);
    }

    ngx_destroy_pool(whole.pool);

    return ngx_completion_whole_read(service, id, how, NULL, pool, view);
}


ngx_int_t
ngx_completion_whole_delete(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_int_t               rc, one;
    ngx_uint_t              i;
    ngx_completion_whole_t  whole;

    if (!ngx_completion_id_is_whole(&id->upstream)) {
        return ngx_completion_operation_delete(service, id, pool, view);
    }

    if (ngx_completion_whole_create(service, id, &whole) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(view, sizeof(ngx_completion_view_t));
    rc = NGX_DECLINED;

    for (i = 0; i < whole.n; i++) {
        one = ngx_completion_operation_delete(service, &whole.parts[i].id,
                                              whole.pool,
                                              &whole.parts[i].view);

        /* it is one when none of them is left to be asked for */

        if (one != NGX_DECLINED && (rc == NGX_DECLINED || rc == NGX_OK)) {
            rc = one;
            view->next = whole.parts[i].view.next;
            view->refused = whole.parts[i].view.refused;
        }
    }

    if (rc == NGX_OK || rc == NGX_DECLINED) {
        ngx_memzero(view, sizeof(ngx_completion_view_t));
        view->deleted = 1;
    }

    ngx_destroy_pool(whole.pool);

    return rc;
}


void
ngx_completion_whole_wait(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_msec_t ms, ngx_completion_wait_t *waits)
{
    ngx_str_t               rest, one;
    ngx_completion_wait_t  *wait;
    ngx_completion_joint_e  joint;

    if (!ngx_completion_id_is_whole(&id->upstream)) {
        ngx_completion_operation_wait(service, &id->upstream, ms, waits);
        return;
    }

    rest = id->upstream;

    for (wait = waits;
         ngx_completion_id_next(&rest, &one, &joint) == NGX_OK;
         wait++)
    {
        wait->handler = waits->handler;
        wait->data = waits->data;

        ngx_completion_operation_wait(service, &one, ms, wait);
    }
}


void
ngx_completion_whole_wait_end(ngx_completion_wait_t *waits, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        ngx_completion_wait_end(&waits[i]);
    }
}


static ngx_int_t
ngx_completion_whole_create(ngx_completion_service_t *service,
    ngx_completion_id_t *id, ngx_completion_whole_t *whole)
{
    ngx_str_t                     rest;
    ngx_completion_whole_part_t  *part;

    ngx_memzero(whole, sizeof(ngx_completion_whole_t));

    whole->service = service;
    whole->n = ngx_completion_whole_parts(id);

    whole->pool = ngx_create_pool(NGX_COMPLETION_WHOLE_POOL, service->log);
    if (whole->pool == NULL) {
        return NGX_ERROR;
    }

    whole->parts = ngx_pcalloc(whole->pool,
                               whole->n * sizeof(ngx_completion_whole_part_t));
    if (whole->parts == NULL) {
        ngx_destroy_pool(whole->pool);
        return NGX_ERROR;
    }

    rest = id->upstream;

    for (part = whole->parts; part < whole->parts + whole->n; part++) {
        (void) ngx_completion_id_next(&rest, &part->id.upstream, &part->joint);
        part->id.submitted = id->submitted;
        part->id.shared = id->shared;
    }

    return NGX_OK;
}


/* what is known of each; NGX_OK: enough, or what that comes to */

static ngx_int_t
ngx_completion_whole_look(ngx_completion_whole_t *whole, ngx_uint_t how,
    ngx_completion_view_t *view)
{
    ngx_uint_t                    full;
    ngx_completion_whole_part_t  *part;

    ngx_memzero(view, sizeof(ngx_completion_view_t));
    full = 0;

    for (part = whole->parts; part < whole->parts + whole->n; part++) {
        part->rc = ngx_completion_operation_read(whole->service, &part->id,
                                                 NULL, whole->pool,
                                                 &part->view);
        switch (part->rc) {

        case NGX_OK:
            whole->pending += (part->view.verdict == NGX_COMPLETION_PENDING);
            view->refused |= part->view.refused;
            break;

        case NGX_DECLINED:
            whole->deleted += part->view.deleted;
            whole->missing++;
            continue;

        case NGX_AGAIN:
        case NGX_BUSY:
            whole->asked++;
            view->refused |= part->view.refused;
            break;

        case NGX_ABORT:
            whole->asked++;
            full = 1;
            break;

        default:
            return NGX_ERROR;
        }

        /* what is known last is what all of it waits for */

        view->next = ngx_max(view->next, part->view.next);
    }

    if (whole->deleted || whole->missing == whole->n) {
        view->deleted = (whole->deleted != 0);
        return NGX_DECLINED;
    }

    /* the id needs no room, and must not be lost with what was paid for */

    if (full) {
        return (how & NGX_COMPLETION_WHOLE_NEW) ? NGX_OK : NGX_ABORT;
    }

    if (whole->asked == 0 || (how & NGX_COMPLETION_WHOLE_LATE
                              && whole->asked + whole->missing < whole->n))
    {
        return NGX_OK;
    }

    return (how & NGX_COMPLETION_WHOLE_LATE) ? NGX_BUSY : NGX_AGAIN;
}


/* what they come to: its state, and all but the document */

static ngx_int_t
ngx_completion_whole_view(ngx_completion_whole_t *whole,
    ngx_completion_id_t *id, ngx_uint_t how, ngx_completion_view_t *view)
{
    ngx_completion_view_t         cancelled;
    ngx_completion_result_t      *result;
    ngx_completion_whole_part_t  *part;

    view->submitted = id->submitted;
    view->finished = id->submitted;

    if (ngx_completion_whole_failed(whole) != NGX_OK) {
        return NGX_ERROR;
    }

    for (part = whole->parts; part < whole->parts + whole->n; part++) {

        if (part->rc != NGX_OK) {
            view->decided |= (whole->failed != NULL);
            continue;
        }

        if (part->view.verdict == NGX_COMPLETION_PENDING) {

            if (whole->failed) {
                view->decided = 1;
            }

            /* one that is missing may be there again in a minute */

            if (whole->failed && !whole->failed->missing && !id->shared
                && !(how & NGX_COMPLETION_WHOLE_APART))
            {
                (void) ngx_completion_operation_cancel(whole->service,
                                                       &part->id, whole->pool,
                                                       &cancelled);
                whole->pending--;
            }

            continue;
        }

        view->digest = view->digest * 31 + part->view.digest;
        view->decided |= part->view.decided;
        view->finished = ngx_max(view->finished, part->view.finished);
    }

    view->state = NGX_COMPLETION_RECORD_FINAL;

    /* of those that have ended, which is all that there is to see */

    view->version = 1 + whole->n - whole->pending - whole->asked;

    if (whole->failed) {
        view->version += whole->n + 1;
        view->verdict = whole->failed->view.verdict;

    } else if (whole->pending + whole->asked) {
        view->state = NGX_COMPLETION_RECORD_PENDING;
        view->verdict = NGX_COMPLETION_PENDING;

    } else {

        result = ngx_completion_whole_result(whole);
        if (result == NULL) {
            return NGX_ERROR;
        }

        view->verdict = result->state;
    }

    return NGX_OK;
}


/*
 * The first that has failed by itself, or else the first that was cancelled:
 * others were when it failed.
 */

static ngx_int_t
ngx_completion_whole_failed(ngx_completion_whole_t *whole)
{
    ngx_completion_result_t         result;
    const ngx_completion_dialect_t *dialect;
    ngx_completion_operation_t      operation;
    ngx_completion_whole_part_t    *part, *cancelled;

    dialect = whole->service->provider.dialect;
    cancelled = NULL;

    for (part = whole->parts; part < whole->parts + whole->n; part++) {

        if (part->rc == NGX_DECLINED) {

            /* one that upstream knows no more */

            if (dialect->decided(whole->pool, NGX_COMPLETION_LOST,
                                 part->id.submitted, ngx_time(), &operation)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            part->rc = NGX_OK;
            part->missing = 1;
            part->view.verdict = NGX_COMPLETION_LOST;
            part->view.decided = 1;
            part->view.document = operation.document;
        }

        if (part->rc != NGX_OK
            || !ngx_completion_whole_is_failed(part->view.verdict))
        {
            continue;
        }

        if (dialect->result(whole->pool, &part->view.document, &result)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (result.failure != NGX_COMPLETION_FAILURE_CANCELLED) {
            whole->failed = part;
            return NGX_OK;
        }

        if (cancelled == NULL) {
            cancelled = part;
        }
    }

    whole->failed = cancelled;

    return NGX_OK;
}


static ngx_int_t
ngx_completion_whole_document(ngx_completion_whole_t *whole, ngx_uint_t how,
    ngx_pool_t *pool, ngx_completion_view_t *view)
{
    ngx_completion_joined_t     joined;
    ngx_completion_result_t    *result;
    ngx_completion_operation_t  operation;

    ngx_memzero(&joined, sizeof(ngx_completion_joined_t));

    joined.submitted = view->submitted;
    joined.modified = view->finished;
    joined.parts = whole->n;
    joined.done = whole->n - whole->pending - whole->asked;

    if (whole->failed) {
        joined.failed = &whole->failed->view.document;

    } else if (view->verdict != NGX_COMPLETION_PENDING) {
        joined.result = whole->result;
    }

    if (how & NGX_COMPLETION_WHOLE_TEXT) {
        result = ngx_completion_whole_result(whole);
        if (result == NULL) {
            return NGX_ERROR;
        }

        joined.text = &result->text;
    }

    if (whole->service->provider.dialect->joined(pool, &joined, &operation)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    view->document = operation.document;
    view->id_offset = operation.id_offset;

    return NGX_OK;
}


/* of those that have ended well without a gap from the first */

static ngx_completion_result_t *
ngx_completion_whole_result(ngx_completion_whole_t *whole)
{
    u_char                       *p;
    size_t                        len;
    ngx_uint_t                    i, n;
    const ngx_str_t              *joint;
    ngx_completion_result_t      *result, *results;
    ngx_completion_whole_part_t  *part;

    if (whole->result) {
        return whole->result;
    }

    results = ngx_pcalloc(whole->pool, (whole->n + 1)
                                       * sizeof(ngx_completion_result_t));
    if (results == NULL) {
        return NULL;
    }

    result = &results[whole->n];
    result->state = NGX_COMPLETION_COMPLETED;
    result->usage.input = -1;
    result->usage.completion = -1;
    result->usage.reasoning = -1;
    result->usage.total = -1;

    len = 0;

    for (n = 0; n < whole->n; n++) {
        part = &whole->parts[n];

        if (part->rc != NGX_OK
            || part->view.verdict == NGX_COMPLETION_PENDING
            || ngx_completion_whole_is_failed(part->view.verdict))
        {
            break;
        }

        if (whole->service->provider.dialect->result(whole->pool,
                                                     &part->view.document,
                                                     &results[n])
            != NGX_OK)
        {
            return NULL;
        }

        ngx_completion_whole_add(result, &results[n]);

        len += results[n].text.len + ngx_completion_joints[part->joint].len;
    }

    result->text.data = ngx_pnalloc(whole->pool, len + 1);
    if (result->text.data == NULL) {
        return NULL;
    }

    p = result->text.data;

    for (i = 0; i < n; i++) {
        p = ngx_cpymem(p, results[i].text.data, results[i].text.len);

        if (i + 1 < n) {
            joint = &ngx_completion_joints[whole->parts[i].joint];
            p = ngx_cpymem(p, joint->data, joint->len);
        }
    }

    result->text.len = p - result->text.data;
    whole->result = result;

    return result;
}


static void
ngx_completion_whole_add(ngx_completion_result_t *result,
    ngx_completion_result_t *part)
{
    ngx_completion_whole_sum(result->usage.input, part->usage.input);
    ngx_completion_whole_sum(result->usage.completion, part->usage.completion);
    ngx_completion_whole_sum(result->usage.reasoning, part->usage.reasoning);
    ngx_completion_whole_sum(result->usage.total, part->usage.total);

    if (result->model_version.len == 0) {
        result->model_version = part->model_version;
    }

    if (ngx_completion_whole_rank(part) > ngx_completion_whole_rank(result)) {
        result->state = part->state;
        result->failure = part->failure;
    }
}


/* the worst of all is what is told */

static ngx_uint_t
ngx_completion_whole_rank(ngx_completion_result_t *result)
{
    if (result->failure == NGX_COMPLETION_FAILURE_FILTERED) {
        return 3;
    }

    return (result->state == NGX_COMPLETION_TOOL_CALLS) ? 2
           : (result->state == NGX_COMPLETION_INCOMPLETE) ? 1 : 0;
}
