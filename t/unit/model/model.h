
/*
 * The reference of t/unit/model.c: what the zone is to do, in plain arrays that
 * are searched from end to end, without a list, a tree, a bucket or a slab.
 *
 * Two things cannot be told from outside: how many starts the quota counts as
 * free, as it remembers them in groups, and when a poll is planned.  There the
 * real zone is followed, and what it did must lie within what it may do.  All
 * the rest is told ahead, what goes for something else included.
 *
 *     submits.c   operations.c     calls, by all that clients and workers do
 *         check.c                  the real zone, held against the reference
 *         room.c                   what goes by itself, and for what
 *         keys.c  records.c  line.c
 *             reference.c          names, things, starts
 */


#ifndef _MODEL_H_INCLUDED_
#define _MODEL_H_INCLUDED_


#include "../tap.h"
#include "../zone_shim.h"

#include "../../../src/store/ngx_completion_zone_sh.h"

#include <setjmp.h>
#include <stdlib.h>


#define THINGS     1024
#define OPS        65536
#define STARTS     8192
#define RATES      NGX_COMPLETION_SUBMIT_RATES

/* what the contract says, ms */
#define CALL_TIME    1000
#define GONE_TIME    2500
#define NEWS_TIME    10000
#define DOUBT_TIME   60000
#define MINUTE       60000
#define READING      1000
#define BACKOFF      500
#define GRACE        5000
#define SKEW         60000

/* the shortest that a worker may have been configured with */
#define DEADLINE     20000

#define LOOKS        256
#define CALLS        64

#define MISSING      NGX_COMPLETION_METRICS_MISSING
#define RESULT       NGX_COMPLETION_METRICS_RESULT
#define FINISHED     NGX_COMPLETION_METRICS_FINISHED
#define CACHED       NGX_COMPLETION_METRICS_CACHED
#define PENDING      NGX_COMPLETION_METRICS_PENDING
#define LISTS        NGX_COMPLETION_METRICS_EVICTIONS
#define DELETED      LISTS

/* kinds of names */
#define KEY          0
#define CACHE        1
#define ORPHAN       2
#define KINDS        3


typedef struct {
    void                          *real;       /* NULL: none */
    uint64_t                       lease;
    ngx_msec_t                     end;
    uint64_t                       ticket;
    ngx_msec_t                     called;
    ngx_uint_t                     place;      /* among those called */
    ngx_uint_t                     worker;
    ngx_completion_turn_e          turn;
} submit_t;


typedef struct {
    void                          *real;
    ngx_uint_t                     kind, name, ask;
    ngx_uint_t                     added;      /* the later, the more */
    ngx_uint_t                     place;      /* in its list */
    uint64_t                       lease;
    ngx_completion_key_state_e     state;
    ngx_completion_outcome_e       outcome;
    ngx_msec_t                     retry_after;
    ngx_uint_t                     op;
    time_t                         submitted;
    ngx_uint_t                     follower, owner;
    ngx_uint_t                     joined, shared, delivered, led, holders;
    ngx_uint_t                     doubted;    /* told, if it is unknown */
    ngx_uint_t                     lost;       /* holders that have died */
    ngx_msec_t                     expires, known, ended;
    ngx_completion_state_e         verdict;
} entry_t;


typedef struct {
    void                          *real;
    ngx_uint_t                     op;
    time_t                         submitted;
    ngx_completion_record_state_e  state;
    ngx_completion_state_e         verdict;
    ngx_uint_t                     decided, ours, deleted;
    size_t                         length;
    ngx_uint_t                     kept;       /* the document is there */
    size_t                         draft;      /* what a killed one left */
    uint64_t                       digest;
    uint64_t                       version;
    uint64_t                       lease;
    ngx_msec_t                     end;
    ngx_msec_t                     created, sent, asked, ended, doubted;
    ngx_msec_t                     wanted, not_before;
    ngx_uint_t                     doubts, failures, model;
    ngx_uint_t                     scheduled, urgent;
    ngx_uint_t                     called;     /* for a poll, not yet sent */
    ngx_msec_t                     due, due_max;
    ngx_uint_t                     place;
} record_t;


/* the time of each, and the latest time noted before it */
typedef struct {
    ngx_msec_t                     at[STARTS], latest[STARTS];
    ngx_uint_t                     n;
} starts_t;


typedef struct {
    ngx_completion_zone_t          view;
    ngx_pid_t                      pid;
    ngx_uint_t                     lives, quits;
    ngx_msec_t                     now;
    ngx_msec_t                     seen;
} worker_t;


#define WORKERS  4096


typedef struct {
    submit_t                       submits[THINGS];
    entry_t                        entries[THINGS];
    record_t                       records[THINGS];
    ngx_uint_t                     nsubmits, nentries, nrecords;

    uint64_t                       sequence, tickets, swept;
    ngx_uint_t                     sweep, place, added;
    size_t                         base, used;
    size_t                         waste[THINGS];  /* texts still to be freed */
    ngx_uint_t                     nwaste;
    ngx_uint_t                     refusals;
    ngx_msec_t                     refused;
} reference_t;


#define REQUESTS   24
#define POLLED     12
#define NAMES      12


typedef enum {
    FREE = 0,
    JOINED,
    RESERVED,
    SENT,
    HELD
} phase_e;


typedef struct {
    phase_e                 phase;
    ngx_uint_t              worker;
    ngx_completion_keys_t   keys;
    ngx_uint_t              names[KINDS], ask, keyed;
    uint64_t                joined;
    uint64_t                lease;
    ngx_msec_t              began;
    ngx_completion_hold_t   hold;
} request_t;


typedef struct {
    ngx_uint_t              worker;
    ngx_uint_t              op;        /* 0: none */
    uint64_t                lease;
} poll_t;


/* an id, as its holder has it */
typedef struct {
    ngx_uint_t              owner;     /* 0: several */
    time_t                  submitted;
    ngx_uint_t              deleted;
    ngx_uint_t              jumps;     /* of the wall clock, until then */
} op_t;


/* what a client's money went into */
typedef struct {
    uint64_t                lease;     /* 0: nothing */
    ngx_uint_t              op;        /* 0: not known */
    ngx_msec_t              began, until;
} paid_t;


extern ngx_completion_zone_t  *zone;       /* as the acting worker has it */
extern ngx_msec_t              truth;      /* the clock of all */
extern worker_t                workers[WORKERS];
extern ngx_uint_t              acting;
extern request_t               requests[REQUESTS];
extern poll_t                  polled[POLLED];
extern paid_t                  paid[2][NAMES];
extern ngx_uint_t              nops, jumps;
extern op_t                    ops[OPS];

extern reference_t             ref;
extern starts_t                starts, polls;
extern ngx_uint_t              evicted[LISTS];
extern ngx_uint_t              finished[NGX_COMPLETION_STATES];

extern unsigned long           seed;
extern unsigned long long      steps;
extern const char             *doing;

/* whether the worker is killed where it gives the lock back */
extern ngx_uint_t              killing;
extern jmp_buf                 killed;

/* what the real zone gave back, and whom it told, in this step */
extern void                   *freed[4 * THINGS];
extern ngx_uint_t              nfreed, seen_freed;
extern uint32_t                told[4 * THINGS];
extern ngx_uint_t              ntold;
extern uint64_t                changes;


#define AGREE(what)                                                           \
    if (!(what)) {                                                            \
        differs(__LINE__, #what);                                             \
    }

#define LEFT(at)     ((ngx_msec_int_t) ((at) - ngx_current_msec))
#define SINCE(at)    (-LEFT(at))
#define LATER(a, b)  (((ngx_msec_int_t) ((a) - (b)) > 0) ? (a) : (b))
#define MS(seconds)  ((ngx_msec_int_t) (seconds) * 1000)


/* things, and the room that they take */

#define FIND(things, n, i, what)                                              \
    for (i = 0; i < n; i++) {                                                 \
        if (things[i].real && (what)) {                                       \
            return &things[i];                                                \
        }                                                                     \
    }

#define NEW(things, n, i)                                                     \
    for (i = 0; i < n && things[i].real; i++) { /* void */ }                  \
                                                                              \
    n += (i == n);                                                            \
    memset(&things[i], 0, sizeof(things[i]));


#define WINDOW(unit)  ((unit) + NGX_COMPLETION_QUOTA_SLACK)
#define LATE(unit)    (WINDOW(unit) / (NGX_COMPLETION_QUOTA_GROUPS - 2) + 1)


#define submit_starts(most)                                                   \
    free_starts(&starts, zone->quotas[NGX_COMPLETION_KIND_SUBMIT].rates,      \
                RATES, most)
#define poll_starts(most)                                                     \
    free_starts(&polls, zone->quotas[NGX_COMPLETION_KIND_POLL].rates, 1, most)


#define HAS_ROOM(n)                                                           \
    (ref.base + ref.used + (n) * NGX_COMPLETION_CHUNK <= shim_slab_limit)


/* reference.c */

void differs(int line, const char *what);
void digest(u_char *md, ngx_uint_t kind, ngx_uint_t n);
ngx_str_t id_of(ngx_uint_t op);
ngx_uint_t op_of(ngx_str_t *id);
uint32_t hash_of(ngx_uint_t op);
submit_t *submit_of(uint64_t lease);
record_t *record_of(ngx_uint_t op);
ngx_uint_t is_thing(void *real);
void gone(void **real);
void tell(uint32_t hash);
size_t text_size(size_t length);
void free_text(size_t size);
ngx_uint_t collect(void);
ngx_uint_t counted(starts_t *s, ngx_msec_t window, ngx_uint_t most);
void start(starts_t *s);
ngx_uint_t free_starts(starts_t *s, ngx_completion_rate_t *rates, ngx_uint_t n,
    ngx_uint_t most);


/* keys.c */

entry_t *latest(ngx_uint_t kind, ngx_uint_t name, ngx_uint_t before);
ngx_uint_t is_refused(entry_t *e);
ngx_uint_t is_awaited(entry_t *e);
entry_t *match(ngx_uint_t kind, ngx_uint_t name, uint64_t lease);
ngx_uint_t followers(entry_t **oldest, ngx_uint_t owner);
void unfollow(ngx_uint_t owner);
void lead(entry_t *e, ngx_uint_t op, time_t submitted);
entry_t *add_entry(ngx_uint_t kind, ngx_uint_t name, ngx_completion_key_t *key,
    ngx_uint_t ask);
void settle(submit_t *s, ngx_completion_found_t *end, ngx_uint_t op);
void orphaned(submit_t *s);
void look(request_t *q, ngx_completion_found_t *found, ngx_uint_t *op);
entry_t *doubted(request_t *q, ngx_uint_t kind, time_t ttl);


/* records.c */

ngx_uint_t is_leased(record_t *r);
ngx_uint_t is_wanted(record_t *r);
ngx_uint_t is_complete(record_t *r);
ngx_uint_t list_of(record_t *r);
void place(record_t *r);
record_t *first_in(ngx_uint_t list);
void forget_text(record_t *r);
void forget_draft(record_t *r);
void remove_record(record_t *r);
record_t *add_record(ngx_uint_t op, time_t submitted,
    ngx_completion_record_state_e state);
void schedule(record_t *r, ngx_msec_t from, ngx_msec_t to);
void unschedule(record_t *r);
void call_record(record_t *r);
ngx_uint_t lapse(record_t **first);
void want(record_t *r, ngx_msec_t ms);
void ended(record_t *r, ngx_completion_state_e verdict);
ngx_int_t settle_record(record_t *r);
ngx_int_t decide(record_t *r, ngx_completion_state_e verdict);
ngx_int_t publish(record_t *r, ngx_completion_update_t *u, ngx_uint_t drafted);
ngx_uint_t due(ngx_uint_t urgent, record_t **first);
ngx_uint_t held_up(ngx_uint_t urgent, ngx_uint_t may);


/* line.c */

ngx_uint_t waits_n(ngx_completion_turn_e turn);
ngx_uint_t submit_leased(submit_t *s);
ngx_uint_t submit_lives(submit_t *s);
void turn(submit_t *s, ngx_completion_turn_e to);
ngx_int_t call(void);
void seen(void);


/* room.c */

void sweep_submits(ngx_uint_t n);
void expire(void);
ngx_uint_t take(ngx_uint_t n);
ngx_uint_t take_asked(void);
ngx_uint_t take_follower(ngx_uint_t owner);


/* check.c */

void same(record_t *r);
void done(void);
void audit(void);


/* submits.c */

void pays_not(uint64_t lease, ngx_uint_t op);
ngx_uint_t recent(void);
op_t *op_at(ngx_uint_t op);
void request(void);


/* operations.c */

void take_due(ngx_uint_t worker);
void store(poll_t *p);
void asks(poll_t *p);
void yield(poll_t *p);
void client(void);


/* model.c */

ngx_uint_t below(ngx_uint_t n);
ngx_uint_t chance(ngx_uint_t percent);
void acts(ngx_uint_t n, const char *what);
ngx_uint_t someone(void);
void dies(ngx_uint_t n);


#endif /* _MODEL_H_INCLUDED_ */
