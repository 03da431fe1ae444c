
/*
 *                        all accepted ---------------------------> ENDED, OK
 *                       |
 *     cut --> all start +-- one is refused for good: the others  > ENDED, its
 *                       |   are cancelled and forgotten            outcome
 *                       |
 *                        -- one fails: who was sent goes on and
 *                           is an orphan, who was not leaves ----> ENDED, the
 *                           the line                               same
 *
 * All start within one turn of the event loop, in which nothing is sent: if
 * one of them finds no place, none is left in the line.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../base/ngx_completion_hash.h"
#include "../model/ngx_completion_split.h"

#include "ngx_completion_parts.h"


#define NGX_COMPLETION_PARTS_POOL    4096

/* seconds that what was paid for waits for an equal request */
#define NGX_COMPLETION_PARTS_ORPHAN  600

/* what a digest is of, beside those of submit_keys.c */
#define NGX_COMPLETION_PARTS_CUT     "c"


static ngx_int_t ngx_completion_parts_cut(ngx_completion_parts_t *parts,
    ngx_completion_prompt_t *prompt, size_t size, ngx_uint_t max);
static ngx_int_t ngx_completion_parts_many(ngx_completion_parts_t *parts,
    size_t size, ngx_uint_t most);
static ngx_int_t ngx_completion_parts_next(ngx_str_t *rest, size_t size,
    ngx_str_t *cut, ngx_completion_joint_e *joint);
static ngx_str_t *ngx_completion_parts_texts(ngx_completion_prompt_t *prompt,
    ngx_uint_t *n);
static ngx_int_t ngx_completion_parts_name(ngx_completion_parts_t *parts,
    ngx_completion_ask_t *ask, u_char *digest);
static ngx_int_t ngx_completion_part_start(ngx_completion_part_t *part,
    ngx_completion_ask_t *ask);
static void ngx_completion_part_handler(ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_part_request_id(void *data, u_char *id);
static ngx_int_t ngx_completion_part_prompt(void *data,
    ngx_completion_ask_t *ask);
static ngx_int_t ngx_completion_part_ended(ngx_completion_part_t *part,
    ngx_completion_submit_t *submit);
static ngx_int_t ngx_completion_parts_accepted(ngx_completion_parts_t *parts);
static void ngx_completion_parts_failed(ngx_completion_parts_t *parts,
    ngx_completion_outcome_e outcome);
static void ngx_completion_part_detach(ngx_completion_part_t *part);
static ngx_int_t ngx_completion_parts_copy(ngx_completion_parts_t *parts,
    ngx_str_t *to, ngx_str_t *from);


static const ngx_completion_client_t  ngx_completion_part_client = {
    ngx_completion_part_handler,
    ngx_completion_part_request_id,
    ngx_completion_part_prompt
};


ngx_int_t
ngx_completion_parts_start(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, size_t size, ngx_uint_t max,
    const ngx_completion_parts_client_t *client, void *data,
    ngx_completion_parts_t **started)
{
    u_char                   digest[NGX_COMPLETION_SHA256];
    ngx_int_t                rc;
    ngx_str_t               *texts;
    ngx_uint_t               i;
    ngx_pool_t              *pool;
    ngx_completion_ask_t     one;
    ngx_completion_part_t   *part;
    ngx_completion_parts_t  *parts;

    pool = ngx_create_pool(NGX_COMPLETION_PARTS_POOL, service->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    parts = ngx_pcalloc(pool, sizeof(ngx_completion_parts_t));
    if (parts == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    parts->service = service;
    parts->pool = pool;
    parts->client = client;
    parts->data = data;

    rc = ngx_completion_parts_cut(parts, &ask->prompt, size, max);

    if (rc == NGX_DONE) {
        *started = parts;
        return NGX_DONE;
    }

    one = *ask;

    one.part = 1;
    one.orphan = NGX_COMPLETION_PARTS_ORPHAN;
    one.repeated = 0;
    one.held += parts->n * sizeof(ngx_completion_part_t);

    if (rc == NGX_OK && ask->key.len && ask->idempotency) {
        rc = ngx_completion_parts_name(parts, &one, digest);

        one.request.data = digest;
        one.request.len = sizeof(digest);
    }

    texts = ngx_completion_parts_texts(&ask->prompt, &i);

    for (i = 0; rc == NGX_OK && i < parts->n; i++) {
        part = &parts->part[i];

        one.prompt.text.data = texts[part->text].data + part->offset;
        one.prompt.text.len = part->len;

        rc = ngx_completion_part_start(part, &one);

        /* the request is held once */

        one.held = 0;
    }

    ask->reason = one.reason;

    if (rc == NGX_DECLINED || rc == NGX_ERROR) {
        ngx_completion_parts_failed(parts,
                                    NGX_COMPLETION_UPSTREAM_UNAVAILABLE);
        ngx_destroy_pool(pool);

        return rc;
    }

    *started = parts;

    return parts->ended ? NGX_DONE : NGX_OK;
}


/* NGX_DONE: into too many */

static ngx_int_t
ngx_completion_parts_cut(ngx_completion_parts_t *parts,
    ngx_completion_prompt_t *prompt, size_t size, ngx_uint_t max)
{
    ngx_str_t                rest, cut, *text;
    ngx_uint_t               i, n, most, texts;
    ngx_completion_part_t   *part;
    ngx_completion_joint_e   joint;

    most = ngx_completion_zone_most(parts->service->zone);
    most = ngx_min(most, max);

    text = ngx_completion_parts_texts(prompt, &texts);
    parts->apart = (prompt->texts.nelts != 0);

    for (i = 0, n = 0; i < texts; i++) {
        rest = text[i];

        while (ngx_completion_parts_next(&rest, text[i].len > size ? size : 0,
                                         &cut, &joint)
               == NGX_OK)
        {
            if (n++ == most) {
                return ngx_completion_parts_many(parts, size, most);
            }
        }
    }

    part = ngx_pcalloc(parts->pool, n * sizeof(ngx_completion_part_t));
    if (part == NULL) {
        return NGX_ERROR;
    }

    parts->part = part;
    parts->n = n;

    for (i = 0; i < texts; i++) {
        rest = text[i];

        while (ngx_completion_parts_next(&rest, text[i].len > size ? size : 0,
                                         &cut, &joint)
               == NGX_OK)
        {
            part->parts = parts;
            part->text = i;
            part->offset = cut.data - text[i].data;
            part->len = cut.len;
            part->joint = joint;
            part++;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_parts_many(ngx_completion_parts_t *parts, size_t size,
    ngx_uint_t most)
{
    u_char  *p;

    p = ngx_pnalloc(parts->pool, 2 * NGX_INT_T_LEN
                                 + sizeof("the text has more than  parts of  "
                                          "bytes"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    parts->outcome = NGX_COMPLETION_REQUEST_TOO_LARGE;
    parts->reason.data = p;
    parts->reason.len = (size ? ngx_sprintf(p, "the text has more than %ui "
                                            "parts of %uz bytes", most, size)
                              : ngx_sprintf(p, "there are more than %ui texts",
                                            most))
                        - p;
    parts->ended = 1;

    return NGX_DONE;
}


/* size 0: all of it, as it is */

static ngx_int_t
ngx_completion_parts_next(ngx_str_t *rest, size_t size, ngx_str_t *cut,
    ngx_completion_joint_e *joint)
{
    if (size) {
        return ngx_completion_split(rest, size, cut, joint);
    }

    *cut = *rest;
    *joint = NGX_COMPLETION_JOINT_NOTHING;

    rest->data += rest->len;
    rest->len = 0;

    return cut->len ? NGX_OK : NGX_DONE;
}


static ngx_str_t *
ngx_completion_parts_texts(ngx_completion_prompt_t *prompt, ngx_uint_t *n)
{
    *n = prompt->texts.nelts;

    if (*n) {
        return prompt->texts.elts;
    }

    *n = 1;

    return &prompt->text;
}


/* what the key stands for: all that is asked, and how it was cut */

static ngx_int_t
ngx_completion_parts_name(ngx_completion_parts_t *parts,
    ngx_completion_ask_t *ask, u_char *digest)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t   *of, *text;
    ngx_uint_t   i, n;

    static ngx_str_t  cut = ngx_string(NGX_COMPLETION_PARTS_CUT);

    text = ngx_completion_parts_texts(&ask->prompt, &n);
    ask->prompt.text = text[0];

    of = ngx_palloc(ask->pool, (n + 2) * sizeof(ngx_str_t));
    if (of == NULL) {
        return NGX_ERROR;
    }

    rc = parts->service->provider.dialect->body(&parts->service->provider,
                                                ask->pool, &ask->prompt,
                                                &of[1], &ask->reason);
    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(ask->pool, parts->n * (2 * NGX_SIZE_T_LEN + 2));
    if (p == NULL) {
        return NGX_ERROR;
    }

    of[0] = cut;
    of[2].data = p;

    for (i = 0; i < parts->n; i++) {
        p = ngx_sprintf(p, "%uz,%uz;", parts->part[i].offset,
                        parts->part[i].len);
    }

    of[2].len = p - of[2].data;

    for (i = 1; i < n; i++) {
        of[2 + i] = text[i];
    }

    return ngx_completion_id_digest(parts->service->id_keys, of, n + 2,
                                    digest);
}


/* NGX_OK: it is under way, or accepted; NGX_DONE: it has failed */

static ngx_int_t
ngx_completion_part_start(ngx_completion_part_t *part,
    ngx_completion_ask_t *ask)
{
    u_char                   *p;
    ngx_int_t                 rc;
    ngx_str_t                 key;
    ngx_uint_t                i;
    ngx_completion_parts_t   *parts;
    ngx_completion_submit_t  *submit;

    parts = part->parts;
    key = ask->key;
    i = part - parts->part;

    /* no key of a client's has a NUL; the first part has the client's own */

    if (key.len && i) {
        p = ngx_pnalloc(ask->pool, key.len + 1 + NGX_INT_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ask->key.data = p;
        ask->key.len = ngx_sprintf(p, "%V%Z%ui", &key, i) - p;
    }

    rc = ngx_completion_submit_start(parts->service, ask,
                                     &ngx_completion_part_client, part,
                                     &submit);
    ask->key = key;

    if (rc == NGX_OK) {
        part->submit = submit;

    } else if (rc == NGX_DONE) {
        rc = ngx_completion_part_ended(part, submit);
        ngx_completion_submit_destroy(submit);
    }

    return rc;
}


/* from the event loop; the submit goes when this returns */

static void
ngx_completion_part_handler(ngx_completion_submit_t *submit)
{
    ngx_completion_part_t   *part;
    ngx_completion_parts_t  *parts;

    part = submit->data;
    parts = part->parts;
    part->submit = NULL;

    if (ngx_completion_part_ended(part, submit) == NGX_ERROR) {
        ngx_completion_parts_failed(parts,
                                    NGX_COMPLETION_UPSTREAM_UNAVAILABLE);
    }

    if (parts->ended) {
        parts->client->handler(parts);
    }
}


static ngx_int_t
ngx_completion_part_request_id(void *data, u_char *id)
{
    ngx_completion_parts_t  *parts;

    parts = ((ngx_completion_part_t *) data)->parts;

    return parts->client->request_id(parts->data, id);
}


static ngx_int_t
ngx_completion_part_prompt(void *data, ngx_completion_ask_t *ask)
{
    ngx_str_t               *text;
    ngx_uint_t               n;
    ngx_completion_part_t   *part;
    ngx_completion_parts_t  *parts;

    part = data;
    parts = part->parts;

    if (parts->client->prompt(parts->data, ask) != NGX_OK) {
        return NGX_ERROR;
    }

    text = ngx_completion_parts_texts(&ask->prompt, &n);

    if (part->text >= n || text[part->text].len < part->offset + part->len) {
        return NGX_ERROR;
    }

    ask->prompt.text.data = text[part->text].data + part->offset;
    ask->prompt.text.len = part->len;

    return NGX_OK;
}


/* NGX_OK; NGX_DONE: all have ended by that, badly; or NGX_ERROR */

static ngx_int_t
ngx_completion_part_ended(ngx_completion_part_t *part,
    ngx_completion_submit_t *submit)
{
    ngx_completion_parts_t   *parts;
    ngx_completion_answer_t  *answer;

    parts = part->parts;
    answer = &submit->call.answer;

    ngx_completion_submit_hold(submit, &part->hold);

    parts->tries += submit->call.tries;
    parts->elapsed = ngx_max(parts->elapsed, submit->call.elapsed);
    parts->queued = ngx_max(parts->queued, submit->queued);

    if (answer->status) {
        parts->status = answer->status;

        if (ngx_completion_parts_copy(parts, &parts->request_id,
                                      &answer->request_id)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (submit->source == NGX_COMPLETION_SOURCE_UPSTREAM
        || parts->source == NGX_COMPLETION_SOURCE_NONE)
    {
        parts->source = submit->source;
    }

    if (submit->outcome != NGX_COMPLETION_OK) {
        parts->retry_after = submit->retry_after;

        if (ngx_completion_parts_copy(parts, &parts->reason, &answer->reason)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_completion_parts_failed(parts, submit->outcome);

        return NGX_DONE;
    }

    part->id = submit->id;
    part->keys = submit->keys;
    part->own = (submit->source == NGX_COMPLETION_SOURCE_UPSTREAM
                 || submit->found.held || submit->found.replayed);

    if (ngx_completion_parts_copy(parts, &part->id.upstream,
                                  &submit->id.upstream)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    parts->replayed = submit->found.replayed
                      && (parts->replayed || parts->accepted == 0);

    if (++parts->accepted < parts->n) {
        return NGX_OK;
    }

    return ngx_completion_parts_accepted(parts);
}


/* the id that stands for all of them; of one, its own */

static ngx_int_t
ngx_completion_parts_accepted(ngx_completion_parts_t *parts)
{
    u_char                  *p;
    size_t                   len;
    ngx_uint_t               i;
    ngx_completion_part_t   *part;

    part = parts->part;
    parts->outcome = NGX_COMPLETION_OK;
    parts->ended = 1;

    if (parts->n == 1) {
        parts->id = part[0].id;
        return NGX_OK;
    }

    len = 0;

    for (i = 0; i < parts->n; i++) {
        len += part[i].id.upstream.len + NGX_COMPLETION_ID_JOINT;
    }

    p = ngx_pnalloc(parts->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    parts->id.upstream.data = p;
    parts->id.submitted = part[0].id.submitted;

    for (i = 0; i < parts->n; i++) {
        p = ngx_completion_id_add(p, &part[i].id.upstream, part[i].joint);

        parts->id.submitted = ngx_min(parts->id.submitted,
                                      part[i].id.submitted);
        parts->id.shared |= part[i].id.shared;
    }

    parts->id.upstream.len = p - parts->id.upstream.data;

    return NGX_OK;
}


static void
ngx_completion_parts_failed(ngx_completion_parts_t *parts,
    ngx_completion_outcome_e outcome)
{
    ngx_uint_t              i, refused;
    ngx_completion_part_t  *part;

    refused = (outcome == NGX_COMPLETION_INVALID_REQUEST && !parts->apart);

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, parts->service->log, 0,
                   "completion parts: %p, %ui accepted, one ended: %s", parts,
                   parts->accepted, ngx_completion_outcomes[outcome].code);

    parts->outcome = outcome;
    parts->ended = 1;

    for (i = 0; i < parts->n; i++) {
        part = &parts->part[i];

        if (part->submit
            && part->submit->call.state != NGX_COMPLETION_CALL_SENT)
        {
            ngx_completion_submit_hold(part->submit, &part->hold);
            ngx_completion_submit_drop(part->submit, 0);
            part->submit = NULL;

        } else if (part->submit && refused) {
            ngx_completion_submit_drop(part->submit,
                                       !part->submit->keys.shared);
            part->submit = NULL;

        } else if (refused && part->own && !part->id.shared) {
            ngx_completion_submit_forget(parts->service, &part->id,
                                         &part->keys, &part->hold);
        }
    }

    /* what is left is for an equal request */

    for (i = 0; i < parts->n; i++) {
        ngx_completion_part_detach(&parts->part[i]);
    }
}


static void
ngx_completion_part_detach(ngx_completion_part_t *part)
{
    if (part->submit) {
        ngx_completion_submit_hold(part->submit, &part->hold);
        ngx_completion_submit_detach(part->submit);
        part->submit = NULL;
    }

    if (part->hold.lease) {
        ngx_completion_zone_unhold(part->parts->service->zone, &part->hold, 0);
        part->hold.lease = 0;
    }
}


void
ngx_completion_parts_leave(ngx_completion_parts_t *parts,
    ngx_uint_t delivered)
{
    ngx_uint_t              i;
    ngx_completion_part_t  *part;

    for (i = 0; i < parts->n; i++) {
        part = &parts->part[i];

        if (delivered && part->hold.lease) {
            ngx_completion_zone_unhold(parts->service->zone, &part->hold, 1);
            part->hold.lease = 0;
        }

        ngx_completion_part_detach(part);
    }

    ngx_destroy_pool(parts->pool);
}


static ngx_int_t
ngx_completion_parts_copy(ngx_completion_parts_t *parts, ngx_str_t *to,
    ngx_str_t *from)
{
    if (from->len == 0) {
        ngx_str_null(to);
        return NGX_OK;
    }

    to->len = from->len;
    to->data = ngx_pstrdup(parts->pool, from);

    return to->data ? NGX_OK : NGX_ERROR;
}
