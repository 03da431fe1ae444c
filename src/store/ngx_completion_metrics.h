
/*
 * What is counted of a provider, for those who scrape it.
 *
 * The counters stand at the end of the zone's shared memory, behind the slab
 * pool.  Any worker adds to them at any time, without the lock; a reload and
 * a zone that is made anew leave them as they are, so that they never go
 * backwards in the life of a zone.  What a zone holds at this moment is
 * counted in it, see ngx_completion_zone_census().
 *
 * Which counters there are says ngx_completion_counters.def.
 */


#ifndef _NGX_COMPLETION_METRICS_H_INCLUDED_
#define _NGX_COMPLETION_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../model/ngx_completion_model.h"


#define NGX_COMPLETION_METRICS_BOUNDS    15
#define NGX_COMPLETION_METRICS_WORKERS   128


/* Lists of labels of our own: an enumerator, and how a scrape spells it. */

/* what had to go to make room */
#define NGX_COMPLETION_EVICTION_LIST(X)                                       \
    X(MISSING,  "missing")                                                    \
    X(RESULT,   "result")                                                     \
    X(FINISHED, "finished")                                                   \
    X(CACHED,   "cache")                                                      \
    X(PENDING,  "pending")

#define NGX_COMPLETION_TOKEN_LIST(X)                                          \
    X(INPUT,      "input")                                                    \
    X(COMPLETION, "completion")

#define NGX_COMPLETION_KEY_LIST(X)                                            \
    X(KEY,       "idempotency")                                               \
    X(CACHE_KEY, "cache")

#define NGX_COMPLETION_RENEWAL_LIST(X)                                        \
    X(RENEWED,     "ok")                                                      \
    X(NOT_RENEWED, "failed")

#define NGX_COMPLETION_OVERHEAD_LIST(X)                                       \
    X(OF_SUBMIT,    "submit")                                                 \
    X(OF_OPERATION, "operation")

/* calls of the server that several nodes share */
#define NGX_COMPLETION_REDIS_CALL_LIST(X)                                     \
    X(REDIS_CONNECT, "connect")                                               \
    X(REDIS_STARTS,  "starts")                                                \
    X(REDIS_CLAIM,   "claim")                                                 \
    X(REDIS_MARK,    "mark")                                                  \
    X(REDIS_TELL,    "tell")                                                  \
    X(REDIS_NEWS,    "news")

/* Why it is not reachable: what errors begin with, and what else. */
#define NGX_COMPLETION_REDIS_WORD_LIST(X)                                     \
    X(REDIS_LOADING,     "LOADING")                                           \
    X(REDIS_READONLY,    "READONLY")                                          \
    X(REDIS_MASTERDOWN,  "MASTERDOWN")                                        \
    X(REDIS_NOREPLICAS,  "NOREPLICAS")                                        \
    X(REDIS_OOM,         "OOM")                                               \
    X(REDIS_MISCONF,     "MISCONF")                                           \
    X(REDIS_BUSY,        "BUSY")                                              \
    X(REDIS_NOPERM,      "NOPERM")                                            \
    X(REDIS_NOAUTH,      "NOAUTH")                                            \
    X(REDIS_WRONGPASS,   "WRONGPASS")                                         \
    X(REDIS_NOSCRIPT,    "NOSCRIPT")                                          \
    X(REDIS_MOVED,       "MOVED")                                             \
    X(REDIS_ASK,         "ASK")                                               \
    X(REDIS_TRYAGAIN,    "TRYAGAIN")                                          \
    X(REDIS_CROSSSLOT,   "CROSSSLOT")                                         \
    X(REDIS_CLUSTERDOWN, "CLUSTERDOWN")

#define NGX_COMPLETION_REDIS_FAULT_LIST(X)                                    \
    NGX_COMPLETION_REDIS_WORD_LIST(X)                                         \
    X(REDIS_REFUSED,     "refused")                                           \
    X(REDIS_NAME,        "name")                                              \
    X(REDIS_SOCKET,      "socket")                                            \
    X(REDIS_TLS,         "tls")                                               \
    X(REDIS_TIMEOUT,     "timeout")                                           \
    X(REDIS_CLOSED,      "closed")                                            \
    X(REDIS_UNREADABLE,  "unreadable")                                        \
    X(REDIS_MEMORY,      "memory")                                            \
    /* of the command's own, which do not make it so */                       \
    X(REDIS_COMMAND,     "command")                                           \
    /* a value without a tag of ours */                                       \
    X(REDIS_FORGED,      "forged")

/*
 * What came of a request to upstream: of which outcome of a transfer, and
 * between which statuses; the first that fits.
 */
#define NGX_COMPLETION_CODE_LIST(X)                                           \
    X(UNREACHED,       "unreached",       UPSTREAM_UNAVAILABLE, 0,   999)     \
    X(CONNECT_TIMEOUT, "connect_timeout", UPSTREAM_TIMEOUT,     0,   999)     \
    X(BROKEN,          "broken",          OUTCOME_UNKNOWN,      0,   999)     \
    /* by a worker that quits, without an outcome */                          \
    X(ABORTED,         "aborted",         OUTCOMES,             0,   0)       \
    X(200,             "200",             OK,                   200, 200)     \
    X(400,             "400",             OK,                   400, 400)     \
    X(401,             "401",             OK,                   401, 401)     \
    X(403,             "403",             OK,                   403, 403)     \
    X(404,             "404",             OK,                   404, 404)     \
    X(429,             "429",             OK,                   429, 429)     \
    X(500,             "500",             OK,                   500, 500)     \
    X(502,             "502",             OK,                   502, 502)     \
    X(503,             "503",             OK,                   503, 503)     \
    X(504,             "504",             OK,                   504, 504)     \
    X(2XX,             "2xx",             OK,                   200, 299)     \
    X(3XX,             "3xx",             OK,                   300, 399)     \
    X(4XX,             "4xx",             OK,                   400, 499)     \
    X(5XX,             "5xx",             OK,                   500, 599)     \
    X(OTHER,           "other",           OK,                   0,   999)


/* What one worker tells in the log for all of the node. */
typedef enum {
    NGX_COMPLETION_TOLD_LOSS = 0,
    NGX_COMPLETION_TOLD_POLICY,
    NGX_COMPLETION_TOLD_FORGED,
    NGX_COMPLETION_TOLDS
} ngx_completion_told_e;


#define NGX_COMPLETION_LISTED(name, ...)  NGX_COMPLETION_METRICS_##name,
#define NGX_COMPLETION_LIST(list, name)                                       \
    typedef enum {                                                            \
        NGX_COMPLETION_##list##_LIST(NGX_COMPLETION_LISTED)                   \
        NGX_COMPLETION_METRICS_##list##S                                      \
    } ngx_completion_metrics_##name##_e;


NGX_COMPLETION_LIST(EVICTION, eviction)
NGX_COMPLETION_LIST(TOKEN, token)
NGX_COMPLETION_LIST(KEY, key)
NGX_COMPLETION_LIST(RENEWAL, renewal)
NGX_COMPLETION_LIST(OVERHEAD, overhead)
NGX_COMPLETION_LIST(CODE, code)
NGX_COMPLETION_LIST(REDIS_CALL, redis_call)
NGX_COMPLETION_LIST(REDIS_FAULT, redis_fault)


/* What a member of the table is an array of, by its list of labels. */

#define NGX_COMPLETION_BY_NONE
#define NGX_COMPLETION_BY_ACCEPTED  [NGX_COMPLETION_SOURCES]
#define NGX_COMPLETION_BY_REFUSED   [NGX_COMPLETION_OUTCOMES]
#define NGX_COMPLETION_BY_SOURCE    [NGX_COMPLETION_SOURCES]
#define NGX_COMPLETION_BY_PROBLEM   [NGX_COMPLETION_OUTCOMES]
#define NGX_COMPLETION_BY_OVERHEAD  [NGX_COMPLETION_METRICS_OVERHEADS]
#define NGX_COMPLETION_BY_REQUEST   [NGX_COMPLETION_KINDS]
#define NGX_COMPLETION_BY_CODE      [NGX_COMPLETION_METRICS_CODES]
#define NGX_COMPLETION_BY_RETRY     [NGX_COMPLETION_KINDS]
#define NGX_COMPLETION_BY_STATE     [NGX_COMPLETION_CENSUS_STATES]
#define NGX_COMPLETION_BY_END       [NGX_COMPLETION_STATES]
#define NGX_COMPLETION_BY_TOKEN     [NGX_COMPLETION_METRICS_TOKENS]
#define NGX_COMPLETION_BY_KEY       [NGX_COMPLETION_METRICS_KEYS]
#define NGX_COMPLETION_BY_EVICTION  [NGX_COMPLETION_METRICS_EVICTIONS]
#define NGX_COMPLETION_BY_RENEWAL   [NGX_COMPLETION_METRICS_RENEWALS]
#define NGX_COMPLETION_BY_TAGS      [NGX_COMPLETION_TAGS]
#define NGX_COMPLETION_BY_REDIS_CALL                                          \
    [NGX_COMPLETION_METRICS_REDIS_CALLS]
#define NGX_COMPLETION_BY_REDIS_FAULT                                         \
    [NGX_COMPLETION_METRICS_REDIS_FAULTS]


typedef struct {
    ngx_atomic_t               buckets[NGX_COMPLETION_METRICS_BOUNDS + 1];
    ngx_atomic_t               sum;       /* in the unit of the bounds */
} ngx_completion_histogram_sh_t;


/* written by one worker only; a dead worker's counts for nothing */
typedef struct {
    uint32_t                   pid;
    uint32_t                   waiters;   /* requests held */
    uint32_t                   streams;
    uint32_t                   seen;      /* ms, when it asked for a start */
    uint32_t                   away;      /* it does not reach the server that
                                             nodes share */
    size_t                     submits;   /* bytes that waiting ones hold */
} ngx_completion_metrics_worker_sh_t;


typedef struct {
#define NGX_COMPLETION_COUNTER(member, first, second, scale)                  \
    ngx_atomic_t  member NGX_COMPLETION_BY_##first NGX_COMPLETION_BY_##second;
#define NGX_COMPLETION_MOMENT(member)                                         \
    ngx_atomic_t  member;
#define NGX_COMPLETION_HISTOGRAM(member, first, scale)                        \
    ngx_completion_histogram_sh_t  member NGX_COMPLETION_BY_##first;
#include "ngx_completion_counters.def"

    ngx_atomic_t               told[NGX_COMPLETION_TOLDS];  /* ms; 0: not */

    ngx_completion_metrics_worker_sh_t
                               workers[NGX_COMPLETION_METRICS_WORKERS];
} ngx_completion_metrics_sh_t;


#define ngx_completion_metrics_add(counter, n)                                \
    (void) ngx_atomic_fetch_add(counter, (ngx_atomic_int_t) (n))


/* The upper bounds of the histograms, by their members, in their unit. */
extern const ngx_uint_t
    ngx_completion_metrics_operation[NGX_COMPLETION_METRICS_BOUNDS];
extern const ngx_uint_t
    ngx_completion_metrics_upstream[NGX_COMPLETION_METRICS_BOUNDS];
extern const ngx_uint_t
    ngx_completion_metrics_overhead[NGX_COMPLETION_METRICS_BOUNDS];
extern const ngx_uint_t
    ngx_completion_metrics_redis[NGX_COMPLETION_METRICS_BOUNDS];

void ngx_completion_metrics_observe(ngx_completion_histogram_sh_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t value);

/* A copy without the workers; each counter by itself is right. */
void ngx_completion_metrics_read(ngx_completion_metrics_sh_t *metrics,
    ngx_completion_metrics_sh_t *copy);


#endif /* _NGX_COMPLETION_METRICS_H_INCLUDED_ */
