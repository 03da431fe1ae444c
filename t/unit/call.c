
/* A call's credential, its one repeat after a 401, and how it is given up. */


#include "tap.h"
#include "service_stub.h"

#include "../../src/operation/ngx_completion_call.h"
#include "../../src/operation/ngx_completion_credentials.h"


static ngx_completion_call_t         *call;
static int                            told, fenced;
static ngx_completion_call_state_e    seen;


static void
handler(ngx_completion_call_t *c)
{
    told++;
    seen = c->state;
}


static ngx_int_t
fence(ngx_completion_call_t *c)
{
    (void) c;

    return fenced ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
begins(ngx_completion_kind_e kind, ngx_uint_t paced)
{
    ngx_str_t  id = str("d7q1");

    told = 0;
    fenced = 0;
    shim_log_text[0] = '\0';

    call = ngx_completion_call_create(&service, kind, &id,
                                      sizeof(ngx_completion_call_t));
    call->body = str("{}");
    call->request_id = (u_char *) "0123456789abcdef0123456789abcdef";
    call->deadline = ngx_current_msec + 10000;
    call->latest = call->deadline - 1000;
    call->paced = paced;
    call->fence = fence;
    call->handler = handler;

    return ngx_completion_call_start(call);
}


static void
ends(const char *name)
{
    ngx_destroy_pool(call->pool);
    ok(service_ended(), name);
}


static void
test_kinds(void)
{
    service_begins(0, 0);

    is_int(begins(NGX_COMPLETION_KIND_SUBMIT, 0), NGX_OK, "a submit");
    ok(call->fetch->post && call->fetch->hold, "is a POST, and holds a worker");
    is_int(call->fetch->timeout, 10000, "until its deadline");
    stub_answers(call->fetch, 200, PENDING("d7q9"));
    ok(told == 1 && seen == NGX_COMPLETION_CALL_DONE
       && call->answer.outcome == NGX_COMPLETION_OK, "done");
    is_int(zone->metrics->requests[NGX_COMPLETION_KIND_SUBMIT][4], 1,
           "it is counted");
    ngx_destroy_pool(call->pool);

    is_int(begins(NGX_COMPLETION_KIND_POLL, 0), NGX_OK, "a poll");
    ok(!call->fetch->post && !call->fetch->hold, "is a GET, and holds nobody");
    is_str(&call->fetch->suffix, "d7q1", "of its id");
    stub_answers(call->fetch, 200, PENDING("d7q9"));
    is_int(call->answer.outcome, NGX_COMPLETION_OUTCOME_UNKNOWN,
           "another operation is no answer");
    ngx_destroy_pool(call->pool);

    is_int(begins(NGX_COMPLETION_KIND_CANCEL, 0), NGX_OK, "a cancel");
    is_str(&call->fetch->suffix, "d7q1:cancel", "of its id");
    stub_answers(call->fetch, 404, "{}");
    is_int(call->answer.outcome, NGX_COMPLETION_OPERATION_NOT_FOUND,
           "not found");
    ngx_destroy_pool(call->pool);

    begins(NGX_COMPLETION_KIND_SUBMIT, 0);
    fenced = 1;
    is_int(stub_sends(call->fetch), NGX_DECLINED, "the owner's fence is asked");
    is_int(call->state, NGX_COMPLETION_CALL_LINE, "and nothing is sent");
    stub_fences(call->fetch);
    is_int(call->answer.outcome, NGX_COMPLETION_UPSTREAM_UNAVAILABLE, "done");

    ends("nothing is left");
}


static void
test_refused(void)
{
    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    service_file("second");
    stub_answers(call->fetch, 401, "{}");
    ok(told == 0 && call->fetch && strstr(stub_headers, "second"),
       "401: repeated at once");
    service_file("third");
    stub_answers(call->fetch, 401, "{}");
    ok(told == 1 && seen == NGX_COMPLETION_CALL_DONE && call->tries == 2,
       "once");
    ok(strstr(shim_log_text, "answered 401") == NULL,
       "the log is left to its owner");
    ends("nothing is left");

    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_POLL, 1);
    service_file("second");
    stub_answers(call->fetch, 401, "{}");
    ok(told == 1 && seen == NGX_COMPLETION_CALL_TURN && !call->fetch,
       "a paced one is its owner's");
    ok(shim_log_text[0] == '\0'
       || strstr(shim_log_text, "answered 401") == NULL, "and not logged");
    is_int(ngx_completion_call_start(call), NGX_OK, "who goes on");
    stub_answers(call->fetch, 200, PENDING("d7q1"));
    ok(told == 2 && seen == NGX_COMPLETION_CALL_DONE, "to the end");
    ends("nothing is left");

    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    stub_answers(call->fetch, 401, "{}");
    ok(told == 1 && call->tries == 1, "the same secret would fare no better");
    ends("nothing is left");

    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    service_file(NULL);
    stub_answers(call->fetch, 401, "{}");
    ok(told == 1 && call->tries == 1, "a file that is gone neither");
    ends("nothing is left");

    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    service_file("second");
    ngx_current_msec += 9001;
    stub_answers(call->fetch, 401, "{}");
    ok(told == 1 && call->tries == 1, "nor is there time behind the last try");
    ends("nothing is left");

    service_begins(1, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    stub_answers(service_token(), 200, TOKEN("t1.first"));
    shim_turn();
    stub_answers(call->fetch, 401, "{}");
    is_int(call->state, NGX_COMPLETION_CALL_CREDENTIAL, "a token: another one");
    ok(service_token() != NULL, "is got");
    stub_answers(service_token(), 200, TOKEN("t1.second"));
    shim_turn();
    ok(call->fetch && strstr(stub_headers, "t1.second"), "and shown");
    stub_answers(call->fetch, 200, PENDING("d7q1"));
    is_int(told, 1, "done");
    ends("nothing is left");
}


static void
test_token(void)
{
    ngx_completion_shown_t  shown;

    service_begins(1, 0);
    is_int(ngx_completion_credentials_get(&service, &shown), NGX_AGAIN,
           "there is no token");
    ok(service_token() == NULL, "and asking for it begins nothing");

    is_int(begins(NGX_COMPLETION_KIND_CANCEL, 0), NGX_OK, "a call");
    is_int(call->state, NGX_COMPLETION_CALL_CREDENTIAL, "waits");
    ok(service_token() != NULL, "and begins to get one");

    stub_answers(service_token(), 500, "{}");
    shim_turn();
    is_int(call->state, NGX_COMPLETION_CALL_CREDENTIAL, "a failure: it waits");
    shim_passes(1000);
    ok(service_token() != NULL && told == 0, "and tries go on");
    stub_answers(service_token(), 200, TOKEN("t1.first"));
    shim_turn();
    ok(call->fetch != NULL, "news of a token: sent");
    stub_answers(call->fetch, 200, PENDING("d7q1"));
    ends("nothing is left");

    service_begins(1, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    shim_passes(9000);
    ok(told == 1 && call->failed && call->tries == 0
       && call->answer.outcome == NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
       "none in time: failed");
    ends("nothing is left");

    service_begins(1, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 1);
    stub_answers(service_token(), 200, TOKEN("t1.first"));
    shim_turn();
    ok(told == 1 && seen == NGX_COMPLETION_CALL_TURN,
       "a paced one that waited is its owner's");
    ends("nothing is left");
}


static void
test_abort(void)
{
    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_SUBMIT, 0);
    ngx_completion_call_abort(call);
    ok(call->answer.outcome == NGX_COMPLETION_UPSTREAM_UNAVAILABLE
       && stub_transfers == 0, "given up in the line");
    is_int(zone->metrics->requests[NGX_COMPLETION_KIND_SUBMIT][3], 0,
           "which is not counted");
    ngx_destroy_pool(call->pool);

    begins(NGX_COMPLETION_KIND_SUBMIT, 0);
    stub_sends(call->fetch);
    ngx_completion_call_abort(call);
    ok(call->answer.outcome == NGX_COMPLETION_OUTCOME_UNKNOWN
       && stub_transfers == 0, "given up behind the fence: nobody knows");
    is_int(zone->metrics->requests[NGX_COMPLETION_KIND_SUBMIT][3], 1,
           "which is");
    is_int(told, 0, "nobody is told");
    ends("nothing is left");

    service_begins(1, 0);
    begins(NGX_COMPLETION_KIND_SUBMIT, 0);
    ngx_completion_call_abort(call);
    shim_passes(5000);
    ok(told == 0 && call->state == NGX_COMPLETION_CALL_DONE,
       "given up while it waits");
    ends("nothing is left");

    service_begins(0, 0);
    begins(NGX_COMPLETION_KIND_CANCEL, 0);
    shim_cut();
    ok(told == 1 && call->answer.outcome == NGX_COMPLETION_UPSTREAM_UNAVAILABLE,
       "cut: done");
    ends("nothing is left");
}


int
main(void)
{
    test_kinds();
    test_refused();
    test_token();
    test_abort();

    return tap_done();
}
