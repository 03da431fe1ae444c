
/*
 * Another upstream, for a test: tickets at a desk, of ids with underscores, 64
 * characters long, that are stopped by a POST for good, with an answer of its
 * own, and kept ten minutes.
 */


#include "../../src/dialect/ngx_completion_dialect.h"
#include "../../src/base/ngx_completion_json.h"


#define is(s, text)                                                           \
    ((s)->len == sizeof(text) - 1                                             \
     && ngx_memcmp((s)->data, text, sizeof(text) - 1) == 0)


static ngx_str_t  members[] = {
    ngx_string("ticket"), ngx_string("status"), ngx_string("output"),
    ngx_string("why"), ngx_string("stopped")
};

enum { TICKET = 0, STATUS, OUTPUT, WHY, STOPPED, MEMBERS };


/* those members that are strings; NGX_DECLINED: no object */

static ngx_int_t
tickets_read(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *found,
    const char **fault)
{
    ngx_int_t                      rc;
    ngx_str_t                      copy;
    ngx_uint_t                     i, n;
    ngx_array_t                   *list;
    ngx_completion_json_member_t  *member;

    ngx_memzero(found, MEMBERS * sizeof(ngx_str_t));

    /* members may point into the text, which goes with its transfer */

    copy.len = text->len;
    copy.data = ngx_pstrdup(pool, text);

    rc = ngx_completion_json_members(pool, &copy, &list, fault);
    if (rc != NGX_OK) {
        return rc;
    }

    member = list->elts;

    for (i = 0; i < list->nelts; i++) {
        for (n = 0; n < MEMBERS; n++) {
            if (member[i].type == NGX_COMPLETION_JSON_STRING
                && member[i].name.len == members[n].len
                && ngx_memcmp(member[i].name.data, members[n].data,
                              members[n].len) == 0)
            {
                found[n] = member[i].value;
            }
        }
    }

    return NGX_OK;
}


static ngx_completion_state_e
tickets_state(ngx_str_t *found)
{
    return is(&found[STATUS], "done") ? NGX_COMPLETION_COMPLETED
           : is(&found[STATUS], "broken") ? NGX_COMPLETION_FAILED
           : is(&found[STATUS], "stopped") ? NGX_COMPLETION_CANCELLED
           : NGX_COMPLETION_PENDING;
}


static ngx_int_t
tickets_write(ngx_pool_t *pool, ngx_str_t *found,
    ngx_completion_operation_t *operation)
{
    ngx_uint_t                     n;
    ngx_completion_json_writer_t  *w;

    operation->state = tickets_state(found);
    ngx_completion_usage_init(&operation->usage);

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "ticket");
    ngx_completion_json_cstring(w, "");
    operation->id_offset = ngx_completion_json_written(w) - 1;

    for (n = STATUS; n < STOPPED; n++) {
        if (found[n].len) {
            ngx_completion_json_key(w, (char *) members[n].data);
            ngx_completion_json_string(w, &found[n]);
        }
    }

    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, &operation->document);
}


static ngx_int_t
tickets_answer(ngx_completion_kind_e kind, ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *text, ngx_completion_operation_t *operation,
    const char **fault)
{
    ngx_int_t  rc;
    ngx_str_t  found[MEMBERS];

    rc = tickets_read(pool, text, found, fault);

    if (rc != NGX_OK
        || ngx_completion_clean(masks, pool, &found[WHY], 100) != NGX_OK)
    {
        return (rc == NGX_DECLINED) ? NGX_DECLINED : NGX_ERROR;
    }

    operation->id = found[(kind == NGX_COMPLETION_KIND_CANCEL) ? STOPPED
                                                               : TICKET];

    return tickets_write(pool, found, operation);
}


static ngx_int_t
tickets_reason(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *reason)
{
    ngx_int_t    rc;
    ngx_str_t    found[MEMBERS];
    const char  *fault;

    rc = tickets_read(pool, text, found, &fault);
    *reason = found[WHY];

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
tickets_result(ngx_pool_t *pool, ngx_str_t *document,
    ngx_completion_result_t *result)
{
    ngx_str_t    found[MEMBERS];
    const char  *fault;

    ngx_memzero(result, sizeof(ngx_completion_result_t));
    ngx_completion_usage_init(&result->usage);

    if (tickets_read(pool, document, found, &fault) != NGX_OK) {
        return NGX_ERROR;
    }

    result->state = tickets_state(found);
    result->text = found[OUTPUT];

    if (result->state >= NGX_COMPLETION_FAILED) {
        result->failure = (result->state == NGX_COMPLETION_CANCELLED)
                              ? NGX_COMPLETION_FAILURE_CANCELLED
                              : NGX_COMPLETION_FAILURE_OTHER;
        result->state = NGX_COMPLETION_FAILED;
        result->message = found[WHY];
    }

    return NGX_OK;
}


static ngx_int_t
tickets_decided(ngx_pool_t *pool, ngx_completion_state_e state,
    time_t submitted, time_t decided, ngx_completion_operation_t *operation)
{
    ngx_str_t  found[MEMBERS];

    ngx_memzero(operation, sizeof(ngx_completion_operation_t));
    ngx_memzero(found, sizeof(found));

    if (state == NGX_COMPLETION_CANCELLED) {
        ngx_str_set(&found[STATUS], "stopped");
        ngx_str_set(&found[WHY], "by you");

    } else if (state == NGX_COMPLETION_LOST) {
        ngx_str_set(&found[STATUS], "broken");

    } else {
        ngx_str_set(&found[STATUS], "queued");
    }

    return tickets_write(pool, found, operation);
}


static ngx_int_t
tickets_body(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_str_t *body, ngx_str_t *reason)
{
    ngx_completion_json_writer_t  *w;

    if (prompt->native.len) {
        *body = prompt->native;
        return NGX_OK;
    }

    w = ngx_completion_json_writer_create(pool);
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "engine");
    ngx_completion_json_string(w, &prompt->model);
    ngx_completion_json_key(w, "input");
    ngx_completion_json_string(w, &prompt->text);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, body);
}


static ngx_int_t
tickets_call(ngx_completion_provider_t *p, ngx_completion_kind_e kind,
    ngx_completion_fetch_t *f, ngx_str_t *text, u_char *request_id)
{
    ngx_str_t  desk = ngx_string("desk");

    switch (kind) {

    case NGX_COMPLETION_KIND_SUBMIT:
        return ngx_completion_fetch_header(f, "X-To", &desk);

    case NGX_COMPLETION_KIND_POLL:
        return ngx_completion_provider_suffix(f, text, "");

    default: /* NGX_COMPLETION_KIND_CANCEL */
        f->post = 1;
        return ngx_completion_provider_suffix(f, text, "/stop");
    }
}


static ngx_int_t
tickets_id(ngx_str_t *id)
{
    return (id->len == 64) ? ngx_completion_id_check(id) : NGX_DECLINED;
}


static void *
tickets_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, 1);
}


static const char *
tickets_init_conf(ngx_completion_provider_t *p)
{
    return NULL;
}


static const char *
tickets_setting(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_completion_setting_e setting, ngx_str_t *value)
{
    return (setting == NGX_COMPLETION_SETTING_MODEL)
               ? NULL : "is nothing that a desk could do";
}


static ngx_completion_credential_kind_t  tickets_badge = {
    "Bearer", 1, NULL, NULL, 0, NULL, NULL, NULL
};


static ngx_command_t  tickets_commands[] = {
    { ngx_string("badge"), NGX_CONF_TAKE1, ngx_completion_credential_slot,
      0, 0, &tickets_badge },

      ngx_null_command
};


static const char  *tickets_request_ids[] = { "x-ticket-request", NULL };

static const ngx_completion_hint_t  tickets_hints[] = {
    { 401, "the badge" },
    { 0, NULL }
};

static const ngx_completion_pattern_t  tickets_patterns[] = {
    { ngx_string("(desk "), ")", "" },
    { ngx_null_string, NULL, NULL }
};


static const ngx_completion_dialect_t  tickets = {
    "http://127.0.0.1/tickets", "http://127.0.0.1/tickets",
    tickets_commands, "\"badge file:PATH;\"",
    tickets_create_conf, tickets_init_conf, tickets_setting,
    600, ngx_string("turns"),
    tickets_body, tickets_call,
    NULL, tickets_request_ids, tickets_hints,
    tickets_id, tickets_answer, tickets_reason, tickets_patterns, 0,
    tickets_result, tickets_decided
};


/* in place of the module's own list */

extern const ngx_completion_dialect_t
    *__wrap_ngx_completion_dialects[];

const ngx_completion_dialect_t  *__wrap_ngx_completion_dialects[] = {
    &tickets,
    NULL
};
