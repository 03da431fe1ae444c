
/* Who waits for what, and in how many turns of the loop they are told. */


#include "tap.h"
#include "service_stub.h"


#define N  600


static ngx_completion_wait_t   waits[N];
static int                     told, other;


static void
handler(ngx_completion_wait_t *wait)
{
    (void) wait;
    told++;
}


/* one that ends another one's wait */

static void
ends_other(ngx_completion_wait_t *wait)
{
    other++;
    ngx_completion_wait_end(wait->data);
}


/* one that waits again */

static void
again(ngx_completion_wait_t *wait)
{
    told++;
    ngx_completion_news_wait(&service, 7, wait);
}


static void
wait_for(ngx_uint_t i, uint32_t hash, void (*h)(ngx_completion_wait_t *))
{
    memset(&waits[i], 0, sizeof(waits[i]));
    waits[i].handler = h;

    ngx_completion_news_wait(&service, hash, &waits[i]);
}


/* an operation changes in the zone: the hash of its id */

static uint32_t
changes(const char *name, ngx_uint_t now)
{
    ngx_str_t             text = str(name);
    ngx_completion_id_t   id;

    memset(&id, 0, sizeof(id));
    id.upstream = text;
    id.submitted = ngx_time();

    if (now) {
        ngx_completion_zone_decide(zone, &text, NGX_COMPLETION_CANCELLED, NULL);

    } else {
        ngx_completion_zone_accept(zone, 999, NULL, &id, 1);
    }

    return ngx_completion_zone_hash(&text);
}


static void
test_waits(void)
{
    uint32_t  one, two;

    service_begins(0, 0);
    told = 0;

    one = changes("one", 0);
    two = changes("two", 0);
    shim_woken();

    wait_for(0, one, handler);
    wait_for(1, one, handler);
    wait_for(2, two, handler);

    /* another thing, in the same slot */

    wait_for(3, one + 256, handler);

    changes("one", 1);
    is_int(told, 0, "nobody is told from inside of a change");
    shim_woken();
    is_int(told, 2, "who waits for it is told, and nobody else");
    ok(!waits[0].waiting && waits[2].waiting, "and waits no more");

    ok(waits[3].waiting, "nor does who waits for a hash like it");

    ngx_completion_wait_end(&waits[3]);
    ngx_completion_wait_end(&waits[2]);
    ngx_completion_wait_end(&waits[2]);
    changes("two", 1);
    shim_woken();
    is_int(told, 2, "whose wait has ended is not");

    wait_for(0, one, handler);
    ngx_completion_news_kick(&service);
    shim_turn();
    is_int(told, 2, "without news a look wakes nobody");

    shim_wakes = 0;
    ngx_completion_news_changed(&service);
    is_int(shim_wakes, 1, "a change wakes the other workers");

    ngx_completion_wait_end(&waits[0]);
    ok(service_ended(), "nothing is left");
}


static void
test_lost(void)
{
    char        name[32];
    ngx_uint_t  i;

    service_begins(0, 0);
    told = 0;

    changes("here", 0);
    shim_woken();
    wait_for(0, 4711, handler);

    for (i = 0; i < 400; i++) {
        snprintf(name, sizeof(name), "op%d", (int) i);
        changes(name, 0);
        changes(name, 1);
    }

    shim_woken();
    is_int(told, 1, "more news than are remembered: everybody is told");

    wait_for(0, changes("here", 0), handler);
    changes("here", 1);
    shim_passes(1000);
    is_int(told, 2, "a wake-up that got lost is made up for in a second");

    ok(service_ended(), "nothing is left");
}


static void
test_batches(void)
{
    ngx_uint_t    i;
    ngx_queue_t   next;

    service_begins(0, 0);
    told = 0;

    for (i = 0; i < N; i++) {
        wait_for(i, 7, handler);
    }

    ngx_completion_news_wake_all(&service);
    is_int(told, 0, "no handler is called from inside");

    ngx_queue_init(&next);
    ngx_queue_add(&next, &ngx_posted_next_events);
    ngx_queue_init(&ngx_posted_next_events);
    {
        ngx_event_t  *ev = ngx_queue_data(ngx_queue_head(&next), ngx_event_t,
                                          queue);

        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }

    is_int(told, 256, "256 in a turn");

    for (i = 500; i < N; i++) {
        ngx_completion_wait_end(&waits[i]);
    }

    shim_turn();
    is_int(told, 500, "and the rest later, but for those that left");
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    told = 0;
    other = 0;
    wait_for(0, 7, ends_other);
    wait_for(1, 7, handler);
    waits[0].data = &waits[1];
    ngx_completion_news_wake_all(&service);
    shim_turn();
    ok(other == 1 && told == 0, "one that is told may end another's wait");

    wait_for(0, 7, again);
    ngx_completion_news_wake_all(&service);
    shim_turn();
    is_int(told, 1, "or wait again");
    ok(waits[0].waiting, "for the next news");
    ngx_completion_wait_end(&waits[0]);
    ok(service_ended(), "nothing is left");

    service_begins(0, 0);
    told = 0;
    wait_for(0, 7, handler);
    shim_quits();
    is_int(told, 1, "quit: everybody is told");
    ok(service_ended(), "nothing is left");
}


int
main(void)
{
    test_waits();
    test_lost();
    test_batches();

    return tap_done();
}
