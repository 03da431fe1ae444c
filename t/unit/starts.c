
/* A worker's questions for starts, to a server that says what the test wants. */


#include "tap.h"
#include "store_shim.h"

#include "../../src/cluster/ngx_completion_starts.h"
#include "../../src/store/ngx_completion_zone_sh.h"


#define TTL  30000


static ngx_completion_redis_conf_t   conf;
static ngx_completion_redis_call_t  *call;
static ngx_completion_starts_t      *starts;
static ngx_completion_zone_t        *zone;
static ngx_uint_t                    ncalled, nhandled;
static char                          wanted[32];


ngx_completion_redis_conf_t *
ngx_completion_redis_conf(ngx_completion_redis_t *redis)
{
    return &conf;
}


ngx_uint_t
ngx_completion_redis_away(ngx_completion_redis_t *redis)
{
    return 0;
}


ngx_int_t
ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *c, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args)
{
    memset(wanted, 0, sizeof(wanted));
    memcpy(wanted, args[nkeys + 2].data, args[nkeys + 2].len);

    c->slot = (ngx_completion_redis_slot_t *) &wanted;
    call = c;
    ncalled++;

    return NGX_AGAIN;
}


void
ngx_completion_redis_script_init(ngx_completion_redis_script_t *script)
{
}


void
ngx_completion_redis_cancel(ngx_completion_redis_call_t *c)
{
    c->slot = NULL;
}


static void
handler(void *data, ngx_uint_t called)
{
    nhandled++;
    ngx_completion_starts_look(starts);
}


/* no start is due for an hour */

static void
answers(void)
{
    ngx_uint_t               i;
    ngx_completion_reply_t   reply, one[3], *elements[3];

    memset(one, 0, sizeof(one));

    for (i = 0; i < 3; i++) {
        one[i].type = NGX_COMPLETION_REPLY_INTEGER;
        one[i].integer = 1000000;
        elements[i] = &one[i];
    }

    one[1].integer = 1;
    one[2].integer += 3600000;

    reply.type = NGX_COMPLETION_REPLY_ARRAY;
    reply.n = 3;
    reply.elements = elements;

    call->reply = &reply;
    call->sent = 1;
    call->slot = NULL;
    call->handler(call);
}


static uint64_t
enters(void)
{
    uint64_t                lease;
    ngx_msec_t              delay;
    ngx_completion_found_t  found;

    (void) ngx_completion_zone_reserve(zone, TTL, NULL, 0, &lease, &delay,
                                       &found);
    return lease;
}


static void
leaves(uint64_t lease)
{
    ngx_completion_found_t  end;

    memset(&end, 0, sizeof(end));
    (void) ngx_completion_zone_release(zone, lease, NULL, &end);
}


int
main(void)
{
    uint64_t  a;

    shim_begins();
    ngx_current_msec = 1000000;

    zone = shim_zone(1 << 18);
    zone->submit_rates[0].n = 2;
    zone->submit_rates[0].unit = 3600000;
    zone->submit_queue = 10;
    zone->submit_queue_time = 7200000;
    zone->shm_zone->init(zone->shm_zone, NULL);

    ngx_pid = getpid();
    ngx_completion_zone_enter(zone);

    ngx_str_set(&conf.names, "completion:");
    conf.timeout = 250;
    starts = ngx_completion_starts_create(NULL, zone,
                                          NGX_COMPLETION_KIND_SUBMIT, handler,
                                          NULL, &shim_log);

    a = enters();
    ngx_completion_starts_look(starts);
    is_int(ncalled, 1, "who waits has the server asked");
    is_int(atoi(wanted), 1, "for a start");

    leaves(a);
    ngx_completion_starts_quit(starts);
    is_int(ncalled, 1, "the worker quits while that is under way");
    answers();
    is_int(ncalled, 2, "when it is answered");
    is_int(atoi(wanted), -1, "the node leaves");
    ngx_completion_starts_quit(starts);
    answers();
    ngx_completion_starts_quit(starts);
    is_int(ncalled, 2, "once");

    /* a connection that was kept alive had a request on its way */

    ngx_current_msec += 3600000;
    a = enters();
    ngx_completion_starts_look(starts);
    is_int(ncalled, 3, "a submit that comes all the same");
    is_int(atoi(wanted), 1, "has a start asked for");
    answers();
    leaves(a);
    ngx_completion_starts_quit(starts);
    is_int(atoi(wanted), -1, "and the node leaves again");
    is_int(ncalled, 4, "once more");

    /* one that comes while the server is told */

    ngx_current_msec += 3600000;
    a = enters();
    ngx_completion_starts_look(starts);
    is_int(ncalled, 4, "one that comes while that is told");
    answers();
    is_int(ncalled, 5, "waits for it");
    is_int(atoi(wanted), 1, "and has one asked for");
    answers();

    ngx_completion_starts_exit(starts);
    shim_ends();

    return tap_done();
}
