
/*
 * What the nodes' server is to be told: kept in a zone, and done by a worker,
 * for a server that says what the test wants.
 */


#include "tap.h"
#include "event_shim.h"
#include "sealed.h"
#include "store_shim.h"

#include "../../src/cluster/ngx_completion_marks.h"
#include "../../src/store/ngx_completion_zone_sh.h"


#define CALLS    128
#define TIMEOUT  250


static ngx_completion_zone_t        *zone;

static ngx_completion_redis_conf_t   conf;
static ngx_completion_errands_t     *errands;
static ngx_completion_bulletin_t    *bulletin;
static ngx_completion_marks_t       *marks;

/* what was called, the first one first */
static struct {
    ngx_completion_redis_call_t     *call;
    ngx_uint_t                       n;
    char                             args[8][128];
} called[CALLS];

static ngx_uint_t                    ncalled, nchanged, nended, nheard, behind;

/* the last one that a mark has ended */
static u_char                        ended_id[NGX_COMPLETION_ID_UPSTREAM];
static ngx_str_t                     ended = { 0, ended_id };
static ngx_int_t                     rc = NGX_AGAIN;


ngx_completion_redis_conf_t *
ngx_completion_redis_conf(ngx_completion_redis_t *redis)
{
    return &conf;
}


ngx_uint_t
ngx_completion_redis_away(ngx_completion_redis_t *redis)
{
    return rc != NGX_AGAIN;
}


void
ngx_completion_redis_behind(ngx_completion_redis_t *redis, ngx_uint_t on)
{
    behind = on;
}


ngx_int_t
ngx_completion_redis_call(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_uint_t n, ngx_str_t *args)
{
    ngx_uint_t  i;

    if (rc != NGX_AGAIN) {
        return rc;
    }

    memset(&called[ncalled], 0, sizeof(called[0]));

    called[ncalled].call = call;
    called[ncalled].n = n;

    for (i = 0; i < n; i++) {
        memcpy(called[ncalled].args[i], args[i].data, args[i].len);
    }

    ncalled++;

    return NGX_AGAIN;
}


ngx_int_t
ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args)
{
    return ngx_completion_redis_call(redis, call, n, args);
}


void
ngx_completion_redis_cancel(ngx_completion_redis_call_t *call)
{
}


static void
changed(void *data, ngx_str_t *id)
{
    if (id == NULL) {
        nchanged++;
        return;
    }

    nended++;
    ended.len = ngx_cpymem(ended.data, id->data, id->len) - ended.data;
}


static void
heard(void *data)
{
    nheard++;
}


static void
is_text(const char *got, const char *expected, const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) got;
    s.len = strlen(got);

    is_str(&s, expected, text);
}


static void
make(void)
{
    zone = shim_zone(1 << 18);


    zone->shm_zone->init(zone->shm_zone, NULL);

    shim_worker();

    rc = NGX_AGAIN;
    ncalled = 0;
    nchanged = 0;

    errands = ngx_completion_errands_create(NULL, zone, &shim_log);
    bulletin = ngx_completion_bulletin_create(NULL, zone, errands, changed,
                                              NULL, &shim_log);
    marks = ngx_completion_marks_create(NULL, zone, errands, bulletin, changed,
                                        NULL);
}


static ngx_completion_id_t *
id_of(const char *upstream)
{
    static ngx_completion_id_t  id;

    id.upstream.data = (u_char *) upstream;
    id.upstream.len = strlen(upstream);
    id.submitted = ngx_time();

    return &id;
}


static void
pending(const char *upstream)
{
    (void) ngx_completion_zone_accept(zone, 7, NULL, id_of(upstream), 0);
}


/* a client of this node */

static ngx_int_t
cancels(const char *upstream)
{
    ngx_int_t                rv;
    ngx_completion_errand_t  errand;

    ngx_completion_mark_errand(marks, id_of(upstream),
                               NGX_COMPLETION_MARK_CANCELLED, &errand);
    rv = ngx_completion_zone_decide(zone, &id_of(upstream)->upstream,
                                    NGX_COMPLETION_CANCELLED, &errand);
    ngx_completion_errands_do(errands, &errand);

    return rv;
}


static ngx_int_t
deletes(const char *upstream)
{
    ngx_int_t                rv;
    ngx_completion_errand_t  errand;

    ngx_completion_mark_errand(marks, id_of(upstream),
                               NGX_COMPLETION_MARK_DELETED, &errand);
    rv = ngx_completion_zone_delete(zone, &id_of(upstream)->upstream,
                                    &errand);
    ngx_completion_errands_do(errands, &errand);

    return rv;
}


static ngx_int_t
adopts(const char *upstream)
{
    ngx_int_t                rv;
    ngx_completion_errand_t  errand;

    ngx_completion_mark_errand(marks, id_of(upstream),
                               NGX_COMPLETION_MARK_NONE, &errand);
    rv = ngx_completion_zone_adopt(zone, id_of(upstream), &errand);
    ngx_completion_errands_do(errands, &errand);

    return rv;
}


static void
answers(ngx_uint_t i, const char *text)
{
    ngx_completion_reply_t  reply;

    memset(&reply, 0, sizeof(reply));

    reply.type = text ? NGX_COMPLETION_REPLY_TEXT : NGX_COMPLETION_REPLY_NIL;
    reply.text.data = (u_char *) text;
    reply.text.len = text ? strlen(text) : 0;

    called[i].call->reply = &reply;
    called[i].call->handler(called[i].call);
}


static void
lost(ngx_uint_t i)
{
    called[i].call->reply = NULL;
    called[i].call->handler(called[i].call);
}


static ngx_completion_view_t *
seen(const char *upstream)
{
    static ngx_completion_view_t  view;

    memset(&view, 0, sizeof(view));
    (void) ngx_completion_zone_read(zone, &id_of(upstream)->upstream, 0, NULL,
                                    &view);
    return &view;
}


static ngx_int_t
due(const char *upstream)
{
    ngx_msec_t            wait;
    ngx_completion_due_t  one;

    (void) ngx_completion_zone_want(zone, &id_of(upstream)->upstream, 60000);

    return ngx_completion_zone_take(zone, &one, &wait);
}


static ngx_uint_t
kept(void)
{
    return zone->sh->nerrands;
}


static void
test_told(void)
{
    make();
    pending("one");

    is_int(cancels("one"), NGX_OK, "a cancel");
    is_int(ncalled, 1, "is told");
    is_text(called[0].args[0], "completion:news", "as news");
    is_text(called[0].args[2], "tell", "of this node");
    is_text(called[0].args[3], TAG "cone", "what and of which id");
    is_text(called[0].args[4], "259200000", "that stands for three days");
    is_text(called[0].args[1], "completion:m:one", "and as a mark");
    is_text(called[0].args[5], TAG "c", "of a cancel");
    is_text(called[0].args[6], "259320000", "for as long as the id is good");
    is_int(called[0].call->kind, NGX_COMPLETION_METRICS_REDIS_TELL,
           "and counted as what it is");
    ok(called[0].call->ahead, "ahead of what else is asked");
    is_int(kept(), 1, "it is kept until there is an answer");
    answers(0, "1");
    is_int(kept(), 0, "and not longer");

    is_int(cancels("one"), NGX_DONE, "one that has ended");
    is_int(cancels("none"), NGX_DECLINED, "or is not known here");
    is_int(ncalled, 1, "is not told");

    is_int(deletes("one"), NGX_DONE, "a delete");
    is_text(called[1].args[5], TAG "d", "is told as one");
    answers(1, "1");
    is_int(deletes("one"), NGX_DECLINED, "once");
    is_int(ncalled, 2, "that is all");
}


static void
test_adopted(void)
{
    make();

    is_int(adopts("one"), NGX_OK, "an id is adopted");
    is_text(called[0].args[0], "GET", "the server is asked for its mark");
    is_text(called[0].args[1], "completion:m:one", "by its name");
    is_int(due("one"), NGX_AGAIN, "and upstream is not, as yet");
    is_int(adopts("one"), NGX_OK, "once more");
    is_int(ncalled, 1, "is as before");

    answers(0, NULL);
    is_int(nchanged, 1, "without a mark");
    is_int(due("one"), NGX_OK, "upstream is asked at once");

    is_int(nended, 0, "and nothing has ended");

    (void) adopts("two");
    answers(1, TAG "c");
    is_str(&ended, "two", "an end by a mark is heard of");
    is_int(seen("two")->state, NGX_COMPLETION_RECORD_FINAL, "by its mark");
    is_int(seen("two")->verdict, NGX_COMPLETION_CANCELLED, "it is cancelled");
    ok(seen("two")->decided, "by our word");
    is_int(due("two"), NGX_AGAIN, "and upstream is not asked");

    (void) adopts("three");
    answers(2, TAG "d");
    is_int(seen("three")->deleted, 1, "or deleted");

    (void) adopts("four");
    answers(3, "++++++++++++++++++++++++c");
    is_int(due("four"), NGX_OK, "a mark of nobody's is none");

    (void) adopts("five");
    lost(4);
    is_int(due("five"), NGX_OK, "without an answer upstream is asked");
    is_int(kept(), 1, "and the server at its return");

    ngx_completion_errands_reached(errands, heard, NULL);
    is_text(called[5].args[1], "completion:m:five", "which is now");
    answers(5, TAG "c");
    is_int(seen("five")->verdict, NGX_COMPLETION_CANCELLED,
           "and what it says then is so, too");

    rc = NGX_DECLINED;
    (void) adopts("six");
    is_int(due("six"), NGX_OK, "where it is away nothing waits for it");

    rc = NGX_AGAIN;
    (void) adopts("seven");
    ngx_current_msec += 2 * TIMEOUT + 1;
    is_int(due("seven"), NGX_OK, "nor where its worker is gone");
}


static void
test_mark(void)
{
    ngx_str_t  *id = &id_of("one")->upstream;

    make();
    is_int(ngx_completion_zone_mark(zone, id, NGX_COMPLETION_MARK_CANCELLED),
           NGX_DONE, "what is not known here is not marked");

    pending("one");
    is_int(ngx_completion_zone_mark(zone, id, NGX_COMPLETION_MARK_NONE),
           NGX_DONE, "no mark says nothing");
    is_int(ngx_completion_zone_mark(zone, id, NGX_COMPLETION_MARK_CANCELLED),
           NGX_OK, "a cancel");
    is_int(ngx_completion_zone_mark(zone, id, NGX_COMPLETION_MARK_CANCELLED),
           NGX_DONE, "is news once");
    is_int(ngx_completion_zone_mark(zone, id, NGX_COMPLETION_MARK_DELETED),
           NGX_OK, "a delete goes ahead of it");
    is_int(ngx_completion_zone_mark(zone, id, NGX_COMPLETION_MARK_CANCELLED),
           NGX_DONE, "and nothing of that");
}


/* what the server says there is, n entries of so many */

static void
reads(ngx_uint_t i, const char *position, ngx_uint_t n, char **entries)
{
    ngx_uint_t              k;
    ngx_completion_reply_t  reply, all[129], *elements[129];

    memset(all, 0, sizeof(all));
    memset(&reply, 0, sizeof(reply));

    for (k = 0; k <= n; k++) {
        all[k].type = NGX_COMPLETION_REPLY_TEXT;
        all[k].text.data = (u_char *) (k ? entries[(k - 1) % 4] : position);
        all[k].text.len = strlen((char *) all[k].text.data);
        elements[k] = &all[k];
    }

    reply.type = NGX_COMPLETION_REPLY_ARRAY;
    reply.n = n + 1;
    reply.elements = elements;

    called[i].call->reply = &reply;
    called[i].call->slot = NULL;
    called[i].call->handler(called[i].call);
}


static void
test_news(void)
{
    ngx_completion_errand_t   errand;
    ngx_completion_update_t   update;

    static char  *entries[] = {
        TAG "cone", TAG "dtwo", TAG "ethree", "++++++++++++++++++++++++cfour"
    };

    make();
    pending("one");
    pending("two");
    pending("four");

    /* its lease is nobody's any more */

    (void) ngx_completion_zone_accept(zone, 8, NULL, id_of("three"), 0);
    ngx_completion_zone_yield(zone, &id_of("three")->upstream, 8);
    memset(&update, 0, sizeof(update));

    ngx_current_msec += 7000;
    ngx_completion_bulletin_look(bulletin);
    is_text(called[0].args[1], "read", "news are read");
    is_text(called[0].args[2], "", "at first from no entry on");
    is_text(called[0].args[4], "67000",
            "but from when the zone was made, and a minute before");
    reads(0, "5-0", 0, NULL);

    ngx_completion_bulletin_look(bulletin);
    is_text(called[1].args[2], "5-0", "and from there on then");
    nchanged = 0;
    nended = 0;
    reads(1, "9-0", 4, entries);
    is_int(nchanged, 1, "readers are told once");
    is_int(nended, 2, "and of each that a client has ended");
    is_str(&ended, "two", "by its id");
    is_int(seen("one")->verdict, NGX_COMPLETION_CANCELLED, "of a cancel");
    is_int(seen("two")->deleted, 1, "of a delete");
    is_int(due("three"), NGX_OK, "what has ended is asked for at once");
    is_int(seen("four")->state, NGX_COMPLETION_RECORD_PENDING,
           "and what nobody has written is not read");
    is_int(zone->metrics->redis_news, 4, "all are counted");

    ngx_completion_bulletin_look(bulletin);
    reads(2, "10-0", 128, entries);
    is_int(ncalled, 4, "where there is more it is read at once");
    is_text(called[3].args[2], "10-0", "from there on");
    lost(3);

    ngx_pid++;
    is_int(ngx_completion_zone_news_take(zone, 1000), NGX_OK,
           "who has no answer lets another one read");
    ngx_pid--;
    ngx_completion_bulletin_look(bulletin);
    is_int(ncalled, 4, "and does not meanwhile");
    ngx_current_msec += 1001;
    ngx_completion_bulletin_look(bulletin);
    is_int(ncalled, 5, "but when that one has gone");
    ngx_completion_zone_news_yield(zone);

    /* the end that upstream tells of */

    ngx_completion_bulletin_errand(bulletin, &id_of("five")->upstream,
                                   &errand);
    ngx_completion_errands_post(errands, &errand);
    is_text(called[5].args[1], "tell", "an end is told");
    is_text(called[5].args[2], TAG "efive", "by its id alone");
    is_int(called[5].n, 4, "without a mark");

    update.outcome = NGX_COMPLETION_OK;
    update.state = NGX_COMPLETION_COMPLETED;
    pending("six");
    (void) ngx_completion_zone_store(zone, &id_of("six")->upstream, 7,
                                     &update);
    is_int(update.heard, 1, "it is news where nobody has told it");
    pending("seven");
    (void) ngx_completion_zone_mark(zone, &id_of("seven")->upstream,
                                    NGX_COMPLETION_MARK_ENDED);
    (void) ngx_completion_zone_store(zone, &id_of("seven")->upstream, 7,
                                     &update);
    is_int(update.heard, 0, "and else it is not");
}


static void
test_away(void)
{
    char        text[16];
    ngx_uint_t  i;

    make();
    rc = NGX_DECLINED;

    for (i = 0; i < 100; i++) {
        sprintf(text, "op%d", (int) i);
        pending(text);
        (void) cancels(text);
    }

    is_int(kept(), ngx_completion_outbox_max(zone->sh),
           "what is kept has a bound");
    is_int(zone->metrics->redis_lost, 100 - kept(), "and what goes is counted");

    (void) adopts("light");
    is_int(kept(), ngx_completion_outbox_max(zone->sh), "at it");
    is_int(zone->metrics->redis_lost, 101 - kept(),
           "a question makes no room for itself");

    rc = NGX_AGAIN;
    nheard = 0;
    ncalled = 0;
    ngx_completion_errands_reached(errands, heard, NULL);
    is_int(ncalled, kept() < 64 ? kept() : 64, "so many go at once at most");
    sprintf(text, "op%d", (int) (100 - kept()));
    is_text(called[0].args[1] + strlen("completion:m:"), text,
            "the oldest that is left goes first");

    if (kept() <= 64) {
        is_int(nheard, 1, "what waits for that goes behind them");
        is_int(behind, 0, "and goes");
    }

    lost(1);
    answers(0, "1");
    is_int(ncalled, kept() + 2, "what is not answered is told again");
    is_text(called[ncalled - 1].args[1], called[1].args[1], "that one");
}


static void
test_many(void)
{
    char        text[16];
    ngx_uint_t  i, n;

    make();
    n = 70;

    for (i = 0; i < n; i++) {
        sprintf(text, "op%d", (int) i);
        pending(text);
        (void) cancels(text);
    }

    n = ngx_min(n, ngx_completion_outbox_max(zone->sh));
    is_int(ncalled, ngx_min(i, 64), "so many are under way at most");

    for (i = 0; i < ncalled; i++) {
        answers(i, "1");
    }

    is_int(kept(), 0, "the others follow");
}


static void
test_worker(void)
{
    ngx_completion_errand_t  errand;

    make();
    pending("one");
    (void) cancels("one");

    is_int(ngx_completion_zone_errand_take(zone, 500, &errand), NGX_DONE,
           "what a worker has begun is no other one's");
    ngx_current_msec += 2 * TIMEOUT + 1;
    is_int(ngx_completion_zone_errand_take(zone, 500, &errand), NGX_OK,
           "before it has not ended it for long");
    is_int(errand.data[0], NGX_COMPLETION_ERRAND_TELL, "then it is");
    ngx_completion_zone_errand_yield(zone, &errand);
    is_int(ngx_completion_zone_errand_take(zone, 500, &errand), NGX_OK,
           "given back it is anybody's");
    ngx_completion_zone_errand_done(zone, &errand);
    is_int(kept(), 0, "and done");
    ngx_completion_zone_errand_done(zone, &errand);
    ngx_completion_zone_errand_yield(zone, &errand);
    is_int(kept(), 0, "once");
}


/* an errand of a subject is posted */

static void
posts(const char *upstream, uint32_t subject)
{
    ngx_completion_errand_t  errand;

    ngx_completion_bulletin_errand(bulletin, &id_of(upstream)->upstream,
                                   &errand);
    errand.subject = subject;
    ngx_completion_errands_post(errands, &errand);
}


/* one is taken, which is that of this id; NULL: there is none */

static ngx_completion_errand_t
takes(const char *upstream, const char *text)
{
    ngx_str_t                id;
    ngx_completion_errand_t  errand;

    if (ngx_completion_zone_errand_take(zone, 500, &errand) != NGX_OK) {
        errand.number = 0;
        errand.len = 0;
    }

    id.len = upstream ? strlen(upstream) : 0;
    id.data = errand.data + errand.len - id.len;

    if (upstream == NULL) {
        is_int(errand.number, 0, text);

    } else if (errand.len < id.len) {
        ok(0, text);

    } else {
        is_str(&id, upstream, text);
    }

    return errand;
}


static void
does(ngx_completion_errand_t errand)
{
    ngx_completion_zone_errand_done(zone, &errand);
}


static void
yields(ngx_completion_errand_t errand)
{
    ngx_completion_zone_errand_yield(zone, &errand);
}


/* of a worker that stood still another one has taken it */

static void
test_late(void)
{
    ngx_completion_errand_t  one, late;

    make();
    rc = NGX_DECLINED;
    posts("one", 0);

    late = takes("one", "a worker takes one");
    ngx_current_msec += 501;
    one = takes("one", "when that one's time is over it is the next one's");
    yields(late);
    (void) takes(NULL, "whatever the first one comes to");
    does(late);
    is_int(kept(), 1, "at last");
    does(one);
    is_int(kept(), 0, "until it is done");
}


/* in a full outbox what is being told is not what goes */

static void
test_underway(void)
{
    ngx_uint_t               i;
    ngx_completion_errand_t  one;

    make();
    rc = NGX_DECLINED;

    posts("first", 0);
    one = takes("first", "the first one is being told");

    for (i = 1; i < ngx_completion_outbox_max(zone->sh); i++) {
        posts("other", 7);
    }

    posts("last", 0);
    is_int(kept(), ngx_completion_outbox_max(zone->sh), "they are too many");
    does(one);
    is_int(kept(), ngx_completion_outbox_max(zone->sh) - 1,
           "the first one has not gone for the last one");

    for (i = 2; i < ngx_completion_outbox_max(zone->sh); i++) {
        does(takes("other", "all others go on in their order"));
    }

    one = takes("last", "until it is the last one's turn");
    does(one);
    is_int(kept(), 0, "and then there is none");
}


static void
test_order(void)
{
    uint32_t                 beside;
    ngx_completion_errand_t  one, other;

    make();
    rc = NGX_DECLINED;

    beside = 7 + ngx_completion_subjects(zone->sh->mask);

    posts("first", 7);
    posts("second", 7);
    posts("other", beside);
    posts("third", 7);
    posts("another", beside);

    one = takes("first", "of a subject the first one is done");
    other = takes("other", "and what is of another one");
    (void) takes(NULL, "but none that came behind it");
    does(other);
    other = takes("another", "whatever else is done");
    does(one);
    (void) takes("second", "then the second one");
    does(other);
    (void) takes(NULL, "and none behind that");
    ngx_current_msec += 501;
    one = takes("second", "if its worker is gone it is the next one's");
    does(one);
    posts("fourth", 7);
    does(takes("third", "then the third one"));
    does(takes("fourth", "and what has come since"));
    is_int(kept(), 0, "and they are done");

    rc = NGX_AGAIN;
    ncalled = 0;
    posts("first", 7);
    posts("second", 7);
    is_int(ncalled, 1, "while one is under way the next one is not");
    posts("none", 0);
    posts("none", 0);
    is_int(ncalled, 3, "and what is of no subject goes at once");
    lost(0);
    is_int(kept(), 4, "without an answer");
    posts("third", 7);
    is_int(ncalled, 3, "it is still ahead");
    ngx_completion_errands_reached(errands, heard, NULL);
    is_text(called[3].args[2], TAG "efirst", "is told once more");
    is_int(ncalled, 4, "and alone");
    answers(3, "1");
    is_text(called[4].args[2], TAG "esecond", "with its answer the next one");
    answers(4, "1");
    is_text(called[5].args[2], TAG "ethird", "and the next one");
    answers(5, "1");
    answers(1, "1");
    answers(2, "1");
    is_int(kept(), 0, "until all are done");
}


int
main(void)
{
    conf.timeout = TIMEOUT;
    ngx_str_set(&conf.names, "completion:");

    shim_begins();

    test_told();
    test_adopted();
    test_mark();
    test_news();
    test_away();
    test_many();
    test_worker();
    test_order();
    test_late();
    test_underway();

    ngx_completion_bulletin_exit(bulletin);
    ngx_completion_errands_exit(errands);
    shim_worker();
    shim_ends();

    return tap_done();
}
