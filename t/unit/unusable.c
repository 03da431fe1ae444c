
/*
 * Results that cannot be used, and polls that are refused: what is shown, what
 * is asked for again, and what is logged of it.
 */


#include "tap.h"
#include "service_stub.h"


/* the longest gap between two polls, see service_stub.c */
#define LONGEST  10000
#define MINUTE   60000


static ngx_completion_id_t     id;
static ngx_completion_view_t   view;
static ngx_pool_t             *pool;


static ngx_completion_fetch_t *
poll_of(const char *name)
{
    int  i;

    for (i = 0; stub_started[i]; i++) {
        if (stub_started[i]->suffix.len == strlen(name)
            && memcmp(stub_started[i]->suffix.data, name, strlen(name)) == 0)
        {
            return stub_started[i];
        }
    }

    return NULL;
}


static ngx_int_t
reads(void)
{
    return ngx_completion_operation_read(&service, &id, NULL, pool, &view);
}


/* the ms until the next poll, or more than ms */

static ngx_msec_t
gap(ngx_msec_t most)
{
    ngx_msec_t  ms;

    for (ms = 0; ms <= most && poll_of("d7q1") == NULL; ms += 10) {
        shim_passes(10);
    }

    return ms;
}


/* one that was submitted here, or one that is adopted */

static void
begins(ngx_uint_t adopted)
{
    service_begins(0, 0);

    memset(&id, 0, sizeof(id));
    id.upstream = str("d7q1");
    id.submitted = ngx_time();

    pool = ngx_create_pool(1024, &shim_log);

    if (!adopted) {
        ngx_completion_zone_accept(zone, 999, NULL, &id, 1);
        ngx_completion_zone_yield(zone, &id.upstream, 999);
    }

    reads();
    gap(2 * LONGEST);
    shim_log_lines = 0;
}


static void
ends(void)
{
    ngx_destroy_pool(pool);
    ok(service_ended(), "nothing is left");
}


/* after MAX a client's poll has it asked for */

static void
again(void)
{
    shim_passes(LONGEST + 100);
    reads();
    shim_turn();
}


static ngx_uint_t
finished(ngx_completion_state_e state)
{
    return zone->metrics->finished[state];
}


static int
shows(const char *text)
{
    return view.document.len
           && memmem(view.document.data, view.document.len, text, strlen(text));
}


static void
test_unreadable(ngx_uint_t adopted)
{
    int         polls, told, pending;
    ngx_int_t   rc;
    ngx_msec_t  ms;

    begins(adopted);
    told = 0;
    pending = 0;
    polls = 0;

    for (ms = 0; ms < 3 * MINUTE; ms += gap(2 * LONGEST)) {

        if (poll_of("d7q1") == NULL) {

            /* one that is adopted is asked for by who wants it */

            reads();
            shim_turn();
        }

        shim_log_level = NGX_LOG_INFO;
        stub_answers(poll_of("d7q1"), 200, "{\"id\":\"d7q1\",\"id\":\"d7q1\"}");
        polls++;

        rc = reads();

        if (rc == NGX_OK && view.verdict != NGX_COMPLETION_PENDING) {
            break;
        }

        pending += (rc == NGX_OK);
        told += (shim_log_level <= NGX_LOG_ERR);
    }

    ok(polls >= 3 && ms >= MINUTE, "three polls, and a minute");
    ok(ms < MINUTE + 3 * LONGEST, "and not much longer");
    is_int(told, 0, "before it there is no [error]");
    ok(adopted ? pending == 0 : pending == polls - 1,
       "and what is not known to be pending is not said to be");
    is_int(view.verdict, NGX_COMPLETION_UNREADABLE, "then it is shown");
    ok(view.decided && shows("\"done\":true") && shows("\"code\":13"),
       "as done, with the code 13");
    is_int(finished(NGX_COMPLETION_UNREADABLE), !adopted,
           "it is counted where it was submitted");

    is_int(gap(10 * LONGEST) > 10 * LONGEST, 1, "the watcher asks no more");

    reads();
    shim_turn();
    ok(poll_of("d7q1") != NULL, "a client has it asked for once more");
    stub_answers(poll_of("d7q1"), 200, "[]");
    is_int(shim_log_level, NGX_LOG_INFO, "which is no news");

    reads();
    shim_passes(LONGEST - 100);
    reads();
    shim_turn();
    ok(poll_of("d7q1") == NULL, "and then for MAX nobody has");

    shim_passes(200);
    reads();
    is_int(view.verdict, NGX_COMPLETION_UNREADABLE, "it stays as it is");
    shim_turn();
    ok(poll_of("d7q1") != NULL, "after MAX the next one");
    stub_answers(poll_of("d7q1"), 500, "");

    again();
    stub_answers(poll_of("d7q1"), 404, "{}");
    reads();
    is_int(view.verdict, NGX_COMPLETION_UNREADABLE, "a 404 changes nothing");

    is_int(ngx_completion_operation_cancel(&service, &id, pool, &view), NGX_OK,
           "a cancel");
    is_int(view.verdict, NGX_COMPLETION_UNREADABLE, "finds it finished");
    ok(poll_of("d7q1:cancel") == NULL, "and asks nobody");

    again();
    stub_answers(poll_of("d7q1"), 200, FINISHED("d7q1"));
    ok(reads() == NGX_OK && view.verdict == NGX_COMPLETION_COMPLETED
       && !view.decided, "what can be read in the end is shown");
    is_int(finished(NGX_COMPLETION_COMPLETED), 0, "and not counted twice");
    is_int(gap(10 * LONGEST) > 10 * LONGEST, 1, "and final");
    ends();
}


static void
test_too_large(void)
{
    ngx_completion_fetch_t  *f;

    begins(1);

    f = poll_of("d7q1");
    f->status = 200;
    f->fault = "too large";
    f->excess = 1;
    stub_ends(f, NGX_COMPLETION_OUTCOME_UNKNOWN);

    ok(reads() == NGX_OK && view.verdict == NGX_COMPLETION_TOO_LARGE,
       "one that is too long does not become shorter");
    ok(shows("\"done\":true") && shows("\"code\":8"), "the code is 8");
    ok(strstr(shim_log_text, "too large") != NULL, "the log says why");
    is_int(shim_log_level, NGX_LOG_INFO, "and the poll itself no more");
    is_int(shim_log_lines, 2, "once");

    again();
    stub_answers(poll_of("d7q1"), 200, PENDING("d7q1"));
    ok(reads() == NGX_OK && view.verdict == NGX_COMPLETION_PENDING,
       "what is pending after all is");
    ok(gap(2 * LONGEST) <= 2 * LONGEST, "and is watched again");
    ends();

    /* of another status it is no result */

    begins(0);
    f = poll_of("d7q1");
    f->status = 502;
    f->fault = "too large";
    f->excess = 1;
    stub_ends(f, NGX_COMPLETION_OUTCOME_UNKNOWN);
    ok(reads() == NGX_OK && view.verdict == NGX_COMPLETION_PENDING,
       "an error that is too long is none");
    ends();
}


/* doubts of two kinds are no row */

static void
test_doubts(void)
{
    int  i, n;

    begins(0);

    for (i = 0, n = 0; i < 12; i++) {

        if (i % 2) {
            stub_answers(poll_of("d7q1"), 404, "{}");

        } else {
            stub_answers(poll_of("d7q1"), 200, "{}");
        }

        n += (reads() == NGX_OK && view.verdict == NGX_COMPLETION_PENDING);
        gap(2 * LONGEST);
    }

    is_int(n, 12, "by turns unknown and unreadable: neither");
    ends();

    begins(0);

    for (i = 0, n = 0; i < 12; i++) {
        stub_answers(poll_of("d7q1"), 500, "{}");
        n += (reads() == NGX_OK && view.verdict == NGX_COMPLETION_PENDING);
        gap(2 * LONGEST);
    }

    is_int(n, 12, "what fails otherwise changes nothing, however long");
    ends();
}


static void
test_refused(ngx_uint_t status)
{
    int         lines;
    ngx_msec_t  ms;

    begins(0);
    lines = 0;

    for (ms = 0; ms < MINUTE; ms += gap(2 * LONGEST)) {
        reads();

        if (view.refused) {
            break;
        }

        shim_log_level = NGX_LOG_INFO;
        stub_answers(poll_of("d7q1"), status, "{}");
        lines += (shim_log_level <= NGX_LOG_ERR);
    }

    ok(ms >= MINUTE - 2 * LONGEST && lines == 1,
       "polls are refused for a minute: one line");
    shim_passes(2 * LONGEST);
    ok(reads() == NGX_OK && view.verdict == NGX_COMPLETION_PENDING
       && view.refused, "then clients are told");

    shim_log_text[0] = '\0';
    stub_answers(poll_of("d7q1"), 500, "{}");
    reads();
    ok(view.refused, "another failure is no end of it");
    gap(2 * LONGEST);
    stub_answers(poll_of("d7q1"), 200, PENDING("d7q1"));
    reads();
    ok(!view.refused, "a success is");
    ok(strstr(shim_log_text, "answers the polls of provider \"yandex\" again")
       && shim_log_level == NGX_LOG_NOTICE, "which is told");
    ends();
}


int
main(void)
{
    test_unreadable(0);
    test_unreadable(1);
    test_too_large();
    test_doubts();
    test_refused(403);
    test_refused(401);

    return tap_done();
}
