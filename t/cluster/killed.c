
/*
 * Linked into the module by killed.t: at the point of a submit that the file
 * named by TEST_DIES says, its worker dies, and its master too, if it is to be
 * the "node".  The file goes first, so that nobody dies of it twice.
 *
 * No worker reads news: what the server answers is the submit's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../../src/operation/ngx_completion_call.h"
#include "../../src/operation/ngx_completion_keep.h"
#include "../../src/operation/ngx_completion_queue.h"


ngx_int_t __real_ngx_completion_claim_start(ngx_completion_claim_t *claim);
ngx_int_t __real_ngx_completion_claim_send(ngx_completion_claim_t *claim);
void __real_ngx_completion_claim_end(ngx_completion_claim_t *claim,
    ngx_completion_outcome_e outcome, ngx_completion_id_t *id);
ngx_int_t __real_ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args);
void __real_ngx_completion_queue_enter(ngx_completion_service_t *service,
    uint64_t lease, ngx_completion_wait_t *wait);
ngx_int_t __real_ngx_completion_zone_turn(ngx_completion_zone_t *zone,
    uint64_t lease, ngx_msec_t timeout, ngx_msec_t limit, ngx_msec_t *delay);
ngx_int_t __real_ngx_completion_call_start(ngx_completion_call_t *call);
ngx_int_t __real_ngx_completion_zone_fence(ngx_completion_zone_t *zone,
    uint64_t lease);
void __real_ngx_completion_provider_answer(
    ngx_completion_provider_t *p, ngx_completion_kind_e kind,
    ngx_completion_fetch_t *f, ngx_pool_t *pool, ngx_str_t *id,
    ngx_completion_answer_t *answer);
void __real_ngx_completion_keep_accepted(ngx_completion_service_t *service,
    ngx_completion_id_t *id, uint64_t lease, ngx_completion_keys_t *keys,
    ngx_uint_t model, ngx_completion_answer_t *answer, ngx_log_t *log);

static ngx_uint_t is(const char *point, char *whom);
static void dies(const char *point);
static void answered(ngx_completion_redis_call_t *call);


/* of the one call of a claim that is under way while somebody is to die */
static const char                      *asked;
static ngx_completion_redis_handler_pt  handler;


ngx_int_t
__wrap_ngx_completion_zone_news_take(ngx_completion_zone_t *zone,
    ngx_msec_t ms)
{
    return NGX_DECLINED;
}


ngx_int_t
__wrap_ngx_completion_claim_start(ngx_completion_claim_t *claim)
{
    dies("claim");

    return __real_ngx_completion_claim_start(claim);
}


ngx_int_t
__wrap_ngx_completion_claim_send(ngx_completion_claim_t *claim)
{
    dies("called");

    return __real_ngx_completion_claim_send(claim);
}


void
__wrap_ngx_completion_claim_end(ngx_completion_claim_t *claim,
    ngx_completion_outcome_e outcome, ngx_completion_id_t *id)
{
    dies("accepted");

    __real_ngx_completion_claim_end(claim, outcome, id);
}


ngx_int_t
__wrap_ngx_completion_redis_script(ngx_completion_redis_t *redis,
    ngx_completion_redis_call_t *call, ngx_completion_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t n, ngx_str_t *args)
{
    ngx_str_t  *what;

    what = &args[nkeys];

    if (call->kind == NGX_COMPLETION_METRICS_REDIS_CLAIM
        && access(getenv("TEST_DIES"), F_OK) == 0)
    {
        asked = (what->len == 5) ? "claimed"
                : (what->data[1] == 'u') ? "sending" : "told";
        handler = call->handler;
        call->handler = answered;
    }

    return __real_ngx_completion_redis_script(redis, call, script, nkeys, n,
                                              args);
}


static void
answered(ngx_completion_redis_call_t *call)
{
    dies(asked);

    call->handler = handler;
    call->handler(call);
}


void
__wrap_ngx_completion_queue_enter(ngx_completion_service_t *service,
    uint64_t lease, ngx_completion_wait_t *wait)
{
    __real_ngx_completion_queue_enter(service, lease, wait);

    dies("line");
}


/* a start may be there already */

ngx_int_t
__wrap_ngx_completion_zone_turn(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t timeout, ngx_msec_t limit, ngx_msec_t *delay)
{
    char  who[16];

    if (is("line", who)) {
        *delay = 1;
        return NGX_AGAIN;
    }

    return __real_ngx_completion_zone_turn(zone, lease, timeout, limit, delay);
}


ngx_int_t
__wrap_ngx_completion_call_start(ngx_completion_call_t *call)
{
    dies("call");

    return __real_ngx_completion_call_start(call);
}


ngx_int_t
__wrap_ngx_completion_zone_fence(ngx_completion_zone_t *zone, uint64_t lease)
{
    ngx_int_t  rc;

    rc = __real_ngx_completion_zone_fence(zone, lease);

    dies("fence");

    return rc;
}


void
__wrap_ngx_completion_provider_answer(
    ngx_completion_provider_t *p, ngx_completion_kind_e kind,
    ngx_completion_fetch_t *f, ngx_pool_t *pool, ngx_str_t *id,
    ngx_completion_answer_t *answer)
{
    dies("answer");

    __real_ngx_completion_provider_answer(p, kind, f, pool, id, answer);
}


void
__wrap_ngx_completion_keep_accepted(ngx_completion_service_t *service,
    ngx_completion_id_t *id, uint64_t lease, ngx_completion_keys_t *keys,
    ngx_uint_t model, ngx_completion_answer_t *answer, ngx_log_t *log)
{
    __real_ngx_completion_keep_accepted(service, id, lease, keys, model,
                                        answer, log);
    dies("kept");
}


static ngx_uint_t
is(const char *point, char *whom)
{
    int    n;
    char   at[16];
    FILE  *file;

    file = fopen(getenv("TEST_DIES"), "r");

    if (file == NULL) {
        return 0;
    }

    n = fscanf(file, "%15s %15s", at, whom);
    fclose(file);

    return n == 2 && strcmp(at, point) == 0;
}


static void
dies(const char *point)
{
    char  who[16];

    if (!is(point, who) || unlink(getenv("TEST_DIES")) != 0) {
        return;
    }

    if (strcmp(who, "node") == 0) {
        (void) kill(getppid(), SIGKILL);
    }

    (void) kill(getpid(), SIGKILL);
}
