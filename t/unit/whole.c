
/* A text in parts, read as one operation. */


#include "tap.h"
#include "service_stub.h"

#include "../../src/operation/ngx_completion_whole.h"


#define WHOLE  "d7q1~~d7q2..d7q3."
#define FAILED(id, code)                                                      \
    "{\"id\":\"" id "\",\"done\":true,\"error\":{\"code\":" code              \
    ",\"message\":\"m\",\"details\":[]}}"


static ngx_completion_id_t     id;
static ngx_completion_view_t   view;
static ngx_pool_t             *pool;
static ngx_completion_wait_t   waits[3];
static int                     told;


static void
handler(ngx_completion_wait_t *w)
{
    told++;
    ngx_completion_whole_wait_end(waits, 3);
}


static ngx_int_t
reads(ngx_uint_t how)
{
    return ngx_completion_whole_read(&service, &id, how, NULL, pool, &view);
}


static void
begins(void)
{
    service_begins(0, 0);

    memset(&id, 0, sizeof(id));
    id.upstream = str(WHOLE);
    id.submitted = ngx_time();

    pool = ngx_create_pool(1024, &shim_log);
    told = 0;

    is_int(reads(0), NGX_AGAIN, "from elsewhere: upstream is asked");
    waits[0].handler = handler;
    ngx_completion_whole_wait(&service, &id, 60000, waits);
    shim_turn();
    ok(service_get("d7q1") && service_get("d7q2") && service_get("d7q3"), "for each part");
}


static void
ends(void)
{
    ngx_completion_whole_wait_end(waits, 3);
    ngx_destroy_pool(pool);
    ok(service_ended(), "nothing is left");
}


static void
answers(const char *part, ngx_uint_t status, const char *text)
{
    stub_answers(service_get(part), status, text);
    shim_turn();
}


static void
test_joined(void)
{
    ngx_completion_view_t    before;
    ngx_completion_result_t  result;

    begins();
    is_int(ngx_completion_whole_parts(&id), 3, "it is three");

    answers("d7q2", 200, FINISHED("d7q2"));
    is_int(told, 1, "who waits is told");
    is_int(reads(0), NGX_AGAIN, "one is known");
    is_int(reads(NGX_COMPLETION_WHOLE_LATE), NGX_OK, "when it is late");
    ok(view.verdict == NGX_COMPLETION_PENDING
       && holds(&view.document, "\"metadata\":{\"parts\":3,\"done\":1}"),
       "the others are pending");

    answers("d7q1", 200, FINISHED("d7q1"));
    answers("d7q3", 200, PENDING("d7q3"));
    is_int(reads(NGX_COMPLETION_WHOLE_TEXT), NGX_OK, "all are known");
    ok(holds(&view.document, "\"done\":2,\"text\":\"t\\n\\nt\""),
       "with the text so far");
    ok(holds(&view.document, "\"done\":false"), "which is not all");

    before = view;
    is_int(ngx_completion_whole_read(&service, &id, 0, &before, pool, &view),
           NGX_DONE, "nothing has changed");

    ngx_completion_whole_wait(&service, &id, 60000, waits);
    shim_passes(10000);
    answers("d7q3", 200, FINISHED("d7q3"));
    is_int(ngx_completion_whole_read(&service, &id, 0, &before, pool, &view),
           NGX_OK, "the last one has ended");
    is_int(view.verdict, NGX_COMPLETION_COMPLETED, "and so has the whole");
    is_int(service.provider.dialect->result(pool, &view.document, &result),
           NGX_OK, "its document is one");
    is_str(&result.text, "t\n\nt\nt", "of the text, joined");
    ends();
}


static void
test_failed(void)
{
    begins();
    answers("d7q1", 200, PENDING("d7q1"));
    answers("d7q2", 200, FAILED("d7q2", "13"));
    answers("d7q3", 200, FAILED("d7q3", "8"));
    is_int(reads(0), NGX_OK, "two have failed");
    ok(view.verdict == NGX_COMPLETION_FAILED
       && holds(&view.document, "\"error\":{\"code\":13,"), "the first tells");
    ok(service_get("d7q1:cancel") != NULL, "the others are cancelled");
    answers("d7q1:cancel", 200, PENDING("d7q1"));
    is_int(reads(0), NGX_OK, "once more");
    ok(holds(&view.document, "\"error\":{\"code\":13,")
       && holds(&view.document, "\"parts\":3,\"done\":3"),
       "it has not failed of that");
    ok(view.decided, "nobody is to keep it");
    ends();

    begins();
    id.shared = 1;
    answers("d7q1", 200, PENDING("d7q1"));
    answers("d7q2", 200, FAILED("d7q2", "13"));
    answers("d7q3", 200, PENDING("d7q3"));
    is_int(reads(0), NGX_OK, "one of a shared text has failed");
    ok(view.verdict == NGX_COMPLETION_FAILED && service_get("d7q1:cancel") == NULL,
       "nobody's is cancelled");
    ends();
}


static void
test_missing(void)
{
    begins();
    answers("d7q1", 404, "{}");
    answers("d7q2", 404, "{}");
    is_int(reads(0), NGX_AGAIN, "two of three are unknown");
    answers("d7q3", 404, "{}");
    is_int(reads(0), NGX_DECLINED, "all of them: it is none");
    ends();

    begins();
    answers("d7q1", 404, "{}");
    answers("d7q2", 200, FINISHED("d7q2"));
    answers("d7q3", 200, FINISHED("d7q3"));
    is_int(reads(0), NGX_OK, "one of them");
    ok(view.verdict == NGX_COMPLETION_LOST
       && holds(&view.document, "\"code\":5,"), "is lost");
    ends();

    begins();
    is_int(reads(NGX_COMPLETION_WHOLE_LATE), NGX_BUSY,
           "no answer at all, and it is late");
    ends();
}


static void
test_apart(void)
{
    begins();
    answers("d7q1", 200, FAILED("d7q1", "8"));
    answers("d7q2", 200, PENDING("d7q2"));
    answers("d7q3", 200, FINISHED("d7q3"));
    is_int(reads(NGX_COMPLETION_WHOLE_APART), NGX_OK,
           "several texts, one of which has failed");
    is_int(view.verdict, NGX_COMPLETION_FAILED, "is what is told");
    ok(!service_get("d7q2:cancel"), "and the others go on");
    ends();
}


static void
test_cancel(void)
{
    begins();
    answers("d7q1", 200, PENDING("d7q1"));
    answers("d7q2", 200, FINISHED("d7q2"));
    answers("d7q3", 200, PENDING("d7q3"));
    is_int(ngx_completion_whole_cancel(&service, &id, 0, pool, &view), NGX_OK,
           "a cancel");
    ok(view.verdict == NGX_COMPLETION_CANCELLED
       && holds(&view.document, "\"code\":1,"), "is one of the whole");
    ok(service_get("d7q1:cancel") && !service_get("d7q2:cancel") && service_get("d7q3:cancel"),
       "of what was pending");
    answers("d7q1:cancel", 200, PENDING("d7q1"));
    answers("d7q3:cancel", 200, PENDING("d7q3"));

    is_int(ngx_completion_whole_delete(&service, &id, pool, &view), NGX_OK,
           "a delete");
    ok(view.deleted && reads(0) == NGX_DECLINED && view.deleted,
       "it is none any more");
    is_int(ngx_completion_whole_delete(&service, &id, pool, &view),
           NGX_DECLINED, "nor to be deleted");
    ends();
}


static void
test_memory(void)
{
    int         wrong = 0;
    ngx_int_t   rc;
    ngx_uint_t  n;

    begins();
    answers("d7q1", 200, FINISHED("d7q1"));
    answers("d7q2", 200, FINISHED("d7q2"));
    answers("d7q3", 200, FINISHED("d7q3"));

    for (n = 1; n < 500; n++) {
        shim_allocations = 0;
        shim_fail_at = n;
        rc = reads(NGX_COMPLETION_WHOLE_TEXT);
        shim_fail_at = 0;

        if (rc == NGX_OK && shim_allocations < n) {
            break;
        }

        wrong += (rc != NGX_ERROR && rc != NGX_OK);
    }

    ok(n > 10 && n < 500 && wrong == 0, "memory fails anywhere");
    ends();
}


int
main(void)
{
    test_joined();
    test_failed();
    test_missing();
    test_apart();
    test_cancel();
    test_memory();

    return tap_done();
}
