
/* A long text's parts, from the cut to one id, or to none. */


#include "tap.h"
#include "service_stub.h"

#include "../../src/operation/ngx_completion_operation.h"
#include "../../src/operation/ngx_completion_parts.h"
#include "../../src/operation/ngx_completion_whole.h"
#include "../../src/store/ngx_completion_zone_sh.h"


#define TEXT  "The first part\n\nThe second one\nThe third of it"


static ngx_completion_parts_t    *parts;
static int                        told;
static ngx_completion_outcome_e   outcome;
static char                       ids[256];


static void
tell(void)
{
    told++;
    outcome = parts->outcome;

    snprintf(ids, sizeof(ids), "%.*s", (int) parts->id.upstream.len,
             parts->id.upstream.data);
}


static void
handler(ngx_completion_parts_t *ended)
{
    tell();
}


static ngx_int_t
request_id(void *data, u_char *id)
{
    memcpy(id, "0123456789abcdef0123456789abcdef", 32);

    return NGX_OK;
}


static ngx_int_t
prompt(void *data, ngx_completion_ask_t *ask)
{
    ask->prompt.model = str("lite");
    ask->prompt.text = str(TEXT);

    return NGX_OK;
}


static const ngx_completion_parts_client_t  waits = {
    handler, request_id, prompt
};


static ngx_int_t
starts(const char *text, ngx_uint_t max)
{
    ngx_int_t             rc;
    ngx_completion_ask_t  ask;

    memset(&ask, 0, sizeof(ask));

    ask.prompt.model = str("lite");
    ask.prompt.text = str(text);
    ask.pool = ngx_create_pool(4096, &shim_log);

    parts = NULL;
    told = 0;
    ids[0] = '\0';

    if (ask.pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_completion_parts_start(&service, &ask, 16, max, &waits, NULL,
                                    &parts);
    ngx_destroy_pool(ask.pool);

    if (rc == NGX_DONE) {
        tell();
    }

    return rc;
}


/* those sent to an origin, in order */

static ngx_completion_fetch_t *
nth(ngx_completion_origin_t *origin, int n)
{
    int  i;

    for (i = 0; stub_started[i]; i++) {
        if (stub_started[i]->origin == origin && n-- == 0) {
            return stub_started[i];
        }
    }

    return NULL;
}


#define post(n)    nth(&service.provider.submit, n)
#define cancel(n)  nth(&service.provider.operations, n)
#define waiting()  zone->sh->counts[NGX_COMPLETION_RECORD_SUBMIT]


static void
leaves(ngx_uint_t delivered)
{
    ngx_completion_parts_leave(parts, delivered);
    parts = NULL;
}


static void
test_accepted(void)
{
    service_begins(0, 0);
    is_int(starts(TEXT, 64), NGX_OK, "under way");
    ok(post(0) && post(1) && post(2) && !post(3), "three are");

    stub_answers(post(1), 200, PENDING("d7q2"));
    stub_answers(post(1), 200, PENDING("d7q3"));
    is_int(told, 0, "two of three are not all");
    stub_answers(post(0), 200, PENDING("d7q1"));
    ok(told == 1 && outcome == NGX_COMPLETION_OK
       && parts->source == NGX_COMPLETION_SOURCE_UPSTREAM
       && !parts->replayed, "all are accepted");
    ok(strcmp(ids, "d7q1~~d7q2..d7q3.") == 0, "in the order of the text");
    leaves(1);

    is_int(starts(TEXT, 64), NGX_OK, "once that is delivered");
    ok(post(0) && post(1) && post(2), "an equal one is another");
    leaves(0);
    ok(service_ended(), "nothing is left");
}


static void
test_orphans(void)
{
    service_begins(0, 0);
    starts(TEXT, 64);
    stub_answers(post(0), 200, PENDING("d7q1"));
    stub_sends(post(0));
    stub_sends(post(1));
    leaves(0);
    stub_answers(post(1), 200, PENDING("d7q3"));
    ok(post(0) != NULL, "who has left has two parts, and one on its way");

    is_int(starts(TEXT, 64), NGX_OK, "an equal text");
    ok(post(0) && !post(1), "sends none of them again");
    stub_answers(post(0), 200, PENDING("d7q2"));
    shim_passes(1100);
    ok(told == 1 && strcmp(ids, "d7q1~~d7q2..d7q3.") == 0, "and has them all");
    leaves(1);
    ok(service_ended(), "nothing is left");
}


static void
test_refused(void)
{
    service_begins(0, 0);
    starts(TEXT, 64);
    stub_answers(post(0), 200, PENDING("d7q1"));
    stub_sends(post(0));
    stub_answers(post(0), 400, "{\"message\":\"bad\"}");
    ok(told == 1 && outcome == NGX_COMPLETION_INVALID_REQUEST,
       "one is refused");
    is_str(&parts->reason, "bad", "it says why");
    is_int(waiting(), 0, "who was not sent is gone");
    ok(cancel(0) && !post(0), "who was accepted is cancelled");
    stub_answers(cancel(0), 200, PENDING("d7q1"));
    leaves(1);

    starts(TEXT, 64);
    ok(post(0) && post(1) && post(2), "an equal one begins anew");
    stub_sends(post(0));
    stub_sends(post(1));
    stub_answers(post(0), 400, "{}");
    is_int(waiting(), 1, "who was sent goes on");
    stub_answers(post(0), 200, PENDING("d7q2"));
    ok(cancel(0) != NULL, "and is cancelled when it is accepted");
    stub_answers(cancel(0), 200, PENDING("d7q2"));
    leaves(1);
    ok(service_ended(), "nothing is left");
}


static void
test_line(void)
{
    service_begins(0, 3000);
    is_int(starts(TEXT, 64), NGX_OK, "one at once, two in line");
    is_int(waiting(), 3, "as many as it takes");
    leaves(0);
    shim_passes(9000);
    ok(service_ended(), "they go on without their client");

    service_begins(0, 3000);
    starts("A plain one", 64);
    leaves(0);
    is_int(starts(TEXT, 64), NGX_DONE, "two of three find a place");
    is_int(outcome, NGX_COMPLETION_QUOTA_EXCEEDED, "which is too few");
    is_int(waiting(), 1, "none of them keeps it");
    leaves(1);
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    is_int(starts(TEXT, 2), NGX_DONE, "more parts than may be");
    is_int(outcome, NGX_COMPLETION_REQUEST_TOO_LARGE, "are too many");
    is_str(&parts->reason, "the text has more than 2 parts of 16 bytes",
           "of what is said");
    leaves(1);
    ok(service_ended(), "nothing is left");
}


static void
test_memory(void)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    service_begins(0, 0);

    for (n = 1; n < 200; n++) {
        shim_allocations = 0;
        shim_fail_at = n;
        rc = starts(TEXT, 64);
        shim_fail_at = 0;

        if (parts) {
            leaves(0);
        }

        while (post(0)) {
            stub_answers(post(0), 400, "{}");
        }

        if (rc == NGX_OK && shim_allocations < n) {
            break;
        }
    }

    ok(n < 200, "memory fails anywhere, until it does not");
    ok(service_ended(), "nothing is left");
}


int
main(void)
{
    test_accepted();
    test_orphans();
    test_refused();
    test_line();
    test_memory();

    return tap_done();
}
