
/*
 * Another upstream, for a test: tickets at a desk, of ids with underscores, 64
 * characters long, that are stopped by a POST for good, with an answer of its
 * own, and kept ten minutes.
 */


#include "../../src/dialect/ngx_completion_dialect.h"
#include "../../src/base/ngx_completion_json.h"


enum { TICKET = 2, STATUS, OUTPUT, WHY, STOPPED, MEMBERS };

static const ngx_completion_json_path_t  members[] = {
    { 1, TICKET, ngx_string("ticket") }, { 1, STATUS, ngx_string("status") },
    { 1, OUTPUT, ngx_string("output") }, { 1, WHY, ngx_string("why") },
    { 1, STOPPED, ngx_string("stopped") }, { 0, 0, ngx_null_string }
};

static const ngx_str_t  states[NGX_COMPLETION_STATES] = {
    [NGX_COMPLETION_PENDING] = ngx_string("queued"),
    [NGX_COMPLETION_COMPLETED] = ngx_string("done"),
    [NGX_COMPLETION_FAILED] = ngx_string("broken"),
    [NGX_COMPLETION_CANCELLED] = ngx_string("stopped"),
    [NGX_COMPLETION_LOST] = ngx_string("broken")
};

typedef struct {
    ngx_pool_t              *pool;
    ngx_str_t                of[MEMBERS];
    ngx_completion_state_e   state;
    const char              *fault;
} found_t;


static ngx_int_t
found_event(void *data, ngx_completion_json_event_t *event)
{
    found_t    *found = data;
    ngx_str_t  *to = &found->of[event->node];

    if (event->node && event->type == NGX_COMPLETION_JSON_STRING) {
        to->len = event->value.len;
        to->data = ngx_pstrdup(found->pool, &event->value);
    }

    return (to->len && to->data == NULL) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
tickets_read(ngx_pool_t *pool, ngx_str_t *text, found_t *found)
{
    ngx_int_t                rc;
    ngx_completion_state_e   state;

    ngx_memzero(found, sizeof(found_t));
    found->pool = pool;

    rc = ngx_completion_json_read(pool, text, members, found_event, found,
                                  &found->fault);

    for (state = 0; state < NGX_COMPLETION_LOST; state++) {
        if (states[state].len && found->of[STATUS].len == states[state].len
            && ngx_strncmp(found->of[STATUS].data, states[state].data,
                           states[state].len) == 0)
        {
            found->state = state;
        }
    }

    return rc;
}


static ngx_int_t
tickets_write(found_t *found, ngx_completion_operation_t *operation)
{
    ngx_uint_t                     n;
    ngx_completion_json_writer_t  *w;

    operation->state = found->state;
    ngx_completion_usage_init(&operation->usage);

    w = ngx_completion_json_writer_create(found->pool);
    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "ticket");
    ngx_completion_json_cstring(w, "");
    operation->id_offset = ngx_completion_json_written(w) - 1;

    for (n = STATUS; n < STOPPED; n++) {
        if (found->of[n].len) {
            ngx_completion_json_key(w, (char *) members[n - 2].name.data);
            ngx_completion_json_string(w, &found->of[n]);
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
    found_t    found;
    ngx_int_t  rc = tickets_read(pool, text, &found);

    *fault = found.fault;

    if (rc == NGX_OK) {
        rc = ngx_completion_clean(masks, pool, &found.of[WHY], 100);
    }

    operation->id = found.of[kind == NGX_COMPLETION_KIND_CANCEL ? STOPPED
                                                                : TICKET];

    return (rc == NGX_OK) ? tickets_write(&found, operation) : rc;
}


static ngx_int_t
tickets_reason(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *reason)
{
    found_t    found;
    ngx_int_t  rc = tickets_read(pool, text, &found);

    *reason = found.of[WHY];

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
tickets_result(ngx_pool_t *pool, ngx_str_t *document,
    ngx_completion_result_t *result)
{
    found_t    found;
    ngx_int_t  rc = tickets_read(pool, document, &found);

    ngx_memzero(result, sizeof(ngx_completion_result_t));
    ngx_completion_usage_init(&result->usage);

    result->state = ngx_min(found.state, NGX_COMPLETION_FAILED);
    result->text = found.of[OUTPUT];
    result->message = found.of[WHY];
    result->failure = found.state == NGX_COMPLETION_CANCELLED
                          ? NGX_COMPLETION_FAILURE_CANCELLED
                    : found.state == NGX_COMPLETION_FAILED
                          ? NGX_COMPLETION_FAILURE_OTHER : 0;

    return rc;
}


static ngx_int_t
tickets_decided(ngx_pool_t *pool, ngx_completion_state_e state,
    time_t submitted, time_t decided, ngx_completion_operation_t *operation)
{
    found_t  found = { .pool = pool, .state = state,
                       .of[STATUS] = states[state] };

    ngx_memzero(operation, sizeof(ngx_completion_operation_t));

    return tickets_write(&found, operation);
}


static ngx_int_t
tickets_body(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_completion_prompt_t *prompt, ngx_str_t *body, ngx_str_t *reason)
{
    ngx_completion_json_writer_t  *w = ngx_completion_json_writer_create(pool);

    if (prompt->native.len) {
        *body = prompt->native;
        return NGX_OK;
    }

    ngx_completion_json_object(w);
    ngx_completion_json_key(w, "engine");
    ngx_completion_json_string(w, &prompt->model);
    ngx_completion_json_key(w, "input");
    ngx_completion_json_string(w, &prompt->text);
    ngx_completion_json_end(w);

    return ngx_completion_json_writer_finish(w, body);
}


static ngx_int_t
tickets_headers(ngx_completion_provider_t *p, ngx_completion_kind_e kind,
    ngx_completion_fetch_t *f, u_char *request_id)
{
    ngx_str_t  desk = ngx_string("desk");

    return ngx_completion_fetch_header(f, "X-To", &desk);
}


static ngx_completion_credential_kind_t  tickets_badge = {
    .scheme = "Bearer", .file = 1
};

static ngx_command_t  tickets_commands[] = {
    { ngx_string("badge"), NGX_CONF_TAKE1, ngx_completion_credential_slot,
      0, 0, &tickets_badge },
      ngx_null_command
};

static const char  *tickets_request_ids[] = { "x-ticket-request", NULL };

static const ngx_completion_hint_t  tickets_hints[] = { { 0, NULL } };

static const ngx_completion_pattern_t  tickets_patterns[] = {
    { ngx_string("(desk "), ")", "" }, { ngx_null_string, NULL, NULL }
};

static const ngx_completion_dialect_t  tickets = {
    .submit_url = "http://127.0.0.1/tickets",
    .operations_url = "http://127.0.0.1/tickets",
    .commands = tickets_commands, .credentials = "\"badge file:PATH;\"",
    .lifetime = 600, .native = ngx_string("turns"), .body = tickets_body,
    .cancel = "/stop", .cancel_post = 1, .headers = tickets_headers,
    .request_ids = tickets_request_ids, .hints = tickets_hints,
    .id = ngx_completion_id_check,
    .answer = tickets_answer, .reason = tickets_reason,
    .patterns = tickets_patterns, .result = tickets_result,
    .decided = tickets_decided
};


/* in place of the module's own list */

extern const ngx_completion_dialect_t
    *__wrap_ngx_completion_dialects[];

const ngx_completion_dialect_t  *__wrap_ngx_completion_dialects[] = {
    &tickets, NULL
};
