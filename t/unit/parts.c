
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


/* one, or several, one of which is as long */

static ngx_int_t
tells(ngx_completion_prompt_t *prompt, const char *text, ngx_uint_t several,
    ngx_pool_t *pool)
{
    ngx_str_t  *texts;

    prompt->model = str("lite");

    if (!several) {
        prompt->text = str(text);
        return NGX_OK;
    }

    if (ngx_array_init(&prompt->texts, pool, 3, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    texts = ngx_array_push_n(&prompt->texts, 3);

    texts[0] = str(" one ");
    texts[1] = str(text);
    texts[2] = str("three");

    return NGX_OK;
}


static ngx_int_t
prompt(void *data, ngx_completion_ask_t *ask)
{
    return tells(&ask->prompt, TEXT, data != NULL, ask->pool);
}


static const ngx_completion_parts_client_t  waits = {
    handler, request_id, prompt
};


static ngx_int_t
start(const char *text, size_t size, ngx_uint_t max, ngx_uint_t several)
{
    ngx_int_t             rc;
    ngx_completion_ask_t  ask;

    memset(&ask, 0, sizeof(ask));

    ask.pool = ngx_create_pool(4096, &shim_log);
    ask.cache = several ? 600 : 0;
    ask.shared = several;

    parts = NULL;
    told = 0;
    ids[0] = '\0';

    if (ask.pool == NULL) {
        return NGX_ERROR;
    }

    rc = tells(&ask.prompt, text, several, ask.pool);

    if (rc == NGX_OK) {
        rc = ngx_completion_parts_start(&service, &ask, size, max, &waits,
                                        several ? ask.pool : NULL, &parts);
    }

    ngx_destroy_pool(ask.pool);

    if (rc == NGX_DONE) {
        tell();
    }

    return rc;
}


#define starts(text, max)  start(text, 16, max, 0)


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


static ngx_uint_t
is_part(ngx_uint_t i, ngx_uint_t text, size_t offset, size_t len,
    ngx_completion_joint_e joint)
{
    ngx_completion_part_t  *part = &parts->part[i];

    return part->text == text && part->offset == offset && part->len == len
           && part->joint == joint;
}


static void
test_several(void)
{
    service_begins(0, 0);
    is_int(start(TEXT, 16, 5, 1), NGX_OK, "several texts");
    ok(parts->n == 5 && is_part(0, 0, 0, 5, NGX_COMPLETION_JOINT_NOTHING)
       && is_part(1, 1, 0, 14, NGX_COMPLETION_JOINT_BREAK)
       && is_part(2, 1, 16, 14, NGX_COMPLETION_JOINT_LINE)
       && is_part(3, 1, 31, 15, NGX_COMPLETION_JOINT_NOTHING)
       && is_part(4, 2, 0, 5, NGX_COMPLETION_JOINT_NOTHING),
       "each by itself, and cut where it is long");

    stub_answers(post(4), 200, PENDING("d7q5"));
    stub_sends(post(0));
    stub_answers(post(0), 400, "{}");
    ok(told == 1 && outcome == NGX_COMPLETION_INVALID_REQUEST,
       "one is refused");
    ok(cancel(0) == NULL, "who was accepted is not cancelled");
    leaves(0);

    is_int(start(TEXT, 0, 3, 1), NGX_OK, "of any length");
    ok(parts->n == 3 && is_part(1, 1, 0, 46, NGX_COMPLETION_JOINT_NOTHING),
       "they are not cut");
    ok(post(1) && !post(2), "and the one that goes on is shared");
    stub_answers(post(0), 200, PENDING("d7q1"));
    stub_answers(post(0), 200, PENDING("d7q2"));
    shim_turn();
    ok(told == 1 && outcome == NGX_COMPLETION_OK
       && strcmp(ids, "d7q1.d7q2.d7q5.") == 0, "all of them are accepted");
    leaves(1);

    is_int(start(TEXT, 16, 4, 1), NGX_DONE, "too many parts");
    is_str(&parts->reason, "the text has more than 4 parts of 16 bytes",
           "... what is said");
    leaves(1);
    is_int(start(TEXT, 0, 2, 1), NGX_DONE, "too many texts");
    is_str(&parts->reason, "there are more than 2 texts", "... what is said");
    leaves(1);

    is_int(start("plain", 16, 1, 0), NGX_OK, "one that is one part");
    stub_answers(post(0), 200, PENDING("d7q9"));
    ok(strcmp(ids, "d7q9") == 0, "has its own id");
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
    test_several();
    test_memory();

    return tap_done();
}
