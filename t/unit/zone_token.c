
/* Who may try to get a token, and when, of several workers. */


#include "tap.h"
#include "store_shim.h"

#include "../../src/store/ngx_completion_zone.h"


#define WORKERS  3


static ngx_completion_zone_t       *zone;
static ngx_completion_zone_token_t  workers[WORKERS];
static u_char                       buffers[WORKERS][16];


static void
make(void)
{
    ngx_uint_t        i;
    zone = shim_zone(65536);
    zone->poll_rate.n = 50;
    zone->poll_rate.unit = 1000;
    zone->shm_zone->init(zone->shm_zone, NULL);

    memset(workers, 0, sizeof(workers));

    for (i = 0; i < WORKERS; i++) {
        workers[i].lease_time = 4000;
        workers[i].buffer = buffers[i];
        workers[i].size = sizeof(buffers[i]);
    }
}


static void
learn(ngx_uint_t i, u_char key)
{
    memset(workers[i].key, key, NGX_COMPLETION_TOKEN_DIGEST);
    workers[i].untried = 1;
}


/* Whether the worker was to try now, which then fails. */

static int
fails(ngx_uint_t i, ngx_msec_t *pause)
{
    ngx_completion_zone_token(zone, &workers[i]);

    if (workers[i].lease == 0) {
        return 0;
    }

    ngx_completion_zone_token_failed(zone, &workers[i], 1, pause);

    return 1;
}


static void
test_new_key(void)
{
    ngx_msec_t  pause;
    ngx_uint_t  i;

    make();

    for (i = 0; i < WORKERS; i++) {
        learn(i, 1);
    }

    for (i = 0; i < 8; i++) {
        is_int(fails(0, &pause), 1, "a try that fails");
        is_int(fails(0, &pause), 0, "a pause");
        is_int(fails(1, &pause), 0, "for all workers that hold this key");
        ngx_current_msec += pause;
    }

    ok(pause >= 30000, "which has become long");

    is_int(fails(0, &pause), 1, "the last try");
    learn(1, 2);
    is_int(fails(0, &pause), 0, "the old key goes on waiting");
    is_int(fails(1, &pause), 1, "a new key is tried at once");
    is_int(fails(1, &pause), 0, "once");
    learn(2, 2);
    is_int(fails(2, &pause), 0, "whoever sees it next waits with the first");
    learn(2, 3);
    is_int(fails(2, &pause), 1, "and the key after that is tried at once");
}


static void
test_two_keys(void)
{
    ngx_uint_t  i, tries;
    ngx_msec_t  pause, end;

    make();

    for (i = 0; i < WORKERS; i++) {
        learn(i, i + 1);
    }

    tries = 0;
    end = ngx_current_msec + 60000;

    while ((ngx_msec_int_t) (end - ngx_current_msec) > 0) {

        for (i = 0; i < WORKERS; i++) {
            tries += fails(i, &pause);
        }

        ngx_current_msec += 50;
    }

    ok(tries >= WORKERS, "workers with different keys try each");
    ok(tries <= WORKERS + 8, "and then wait as if there were one");
}


/* of another account, of which each worker's token drops the other's */

static void
test_two_sources(void)
{
    ngx_uint_t  i, renewals;
    ngx_str_t   value = ngx_string("t1.token");
    ngx_msec_t  end;

    make();

    for (i = 0; i < WORKERS; i++) {
        learn(i, i + 1);
        memset(workers[i].source, i + 1, NGX_COMPLETION_TOKEN_DIGEST);
    }

    renewals = 0;
    end = ngx_current_msec + 10000;

    while ((ngx_msec_int_t) (end - ngx_current_msec) > 0) {

        for (i = 0; i < WORKERS; i++) {
            ngx_completion_zone_token(zone, &workers[i]);

            if (workers[i].lease) {
                renewals++;
                ngx_completion_zone_token_store(zone, &workers[i], &value,
                                                60000, 30000);
            }
        }

        ngx_current_msec += 50;
    }

    ok(renewals >= WORKERS, "workers with different accounts get tokens each");
    ok(renewals <= WORKERS + 20, "twice a second, all of them together");

    ngx_completion_zone_token(zone, &workers[0]);
    ok(workers[0].wait <= 500, "who has to wait learns for how long");
}


static void
test_store(void)
{
    ngx_str_t   value = ngx_string("t1.token");
    ngx_msec_t  pause;

    make();
    learn(0, 1);
    learn(1, 1);

    is_int(fails(0, &pause), 1, "a try that fails");
    ngx_current_msec += pause;

    is_int(ngx_completion_zone_token(zone, &workers[1]), NGX_AGAIN, "no token");
    ok(workers[1].lease != 0, "one is to get it");
    is_int(ngx_completion_zone_token(zone, &workers[0]), NGX_AGAIN, "no token");
    ok(workers[0].lease == 0 && workers[0].wait == 0, "which is under way");
    is_int(ngx_completion_zone_token_store(zone, &workers[1], &value, 60000,
                                           30000),
           NGX_DONE, "it comes, after tries that failed");
    is_int(ngx_completion_zone_token(zone, &workers[0]), NGX_OK, "for all");
    ok(workers[0].len == value.len && workers[0].lease == 0, "who get a copy");

    is_int(ngx_completion_zone_token_refused(zone, &workers[0],
                                             workers[0].generation),
           NGX_OK, "refused at once");
    ngx_completion_zone_token(zone, &workers[0]);
    ok(workers[0].lease != 0, "it is got anew at once");
    ngx_completion_zone_token_store(zone, &workers[0], &value, 60000, 30000);

    ngx_current_msec += 30000;
    is_int(fails(0, &pause), 1, "a renewal that fails");
    is_int(ngx_completion_zone_token(zone, &workers[1]), NGX_OK, "the old serves");
    ok(workers[1].lease == 0, "during the pause");
}


int
main(void)
{
    shim_begins();

    test_new_key();
    test_two_keys();
    test_two_sources();
    test_store();

    shim_ends();

    return tap_done();
}
