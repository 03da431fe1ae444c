
/*
 * The shared memory of one provider: a record per upstream operation, found
 * by the upstream's id, with what is known of it and when to ask next.
 *
 * A zone is a cache and a meeting place of the workers, never the truth: any
 * record may vanish, and any worker may die at any instruction.  A busy word
 * is set with the lock and cleared with the unlock; who finds it set makes
 * the zone anew, empty.  No pointer into the zone leaves these units: callers
 * name a record by its id and prove their right to write by a lease.
 *
 * Functions take the zone's lock themselves, and are called in workers only,
 * unless the comment says otherwise.
 */


#ifndef _NGX_COMPLETION_ZONE_H_INCLUDED_
#define _NGX_COMPLETION_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../model/ngx_completion_id.h"

#include "ngx_completion_metrics.h"
#include "ngx_completion_quota.h"


#define NGX_COMPLETION_KEY_DIGEST  16


typedef struct ngx_completion_zone_sh_s     ngx_completion_zone_sh_t;
typedef struct ngx_completion_lasting_sh_s  ngx_completion_lasting_sh_t;

/* by the call that they are for: of submits, and of polls */
#define NGX_COMPLETION_QUOTAS      (NGX_COMPLETION_KIND_POLL + 1)

/* starts of a node that it has not used, of each quota */
#define NGX_COMPLETION_POOL        16

/* asked for at once, at most, and how far ahead, ms */
#define NGX_COMPLETION_POOL_ASK    8
#define NGX_COMPLETION_POOL_AHEAD  1000


typedef struct {
    ngx_shm_zone_t            *shm_zone;
    ngx_slab_pool_t           *shpool;
    ngx_completion_zone_sh_t  *sh;

    ngx_completion_metrics_sh_t         *metrics;
    ngx_completion_metrics_worker_sh_t  *worker;   /* this one's counts */
    ngx_completion_quota_sh_t           *quotas;   /* by kinds of calls */
    ngx_completion_lasting_sh_t         *lasting;
    ngx_uint_t                           shares[NGX_COMPLETION_QUOTAS];
                                                   /* with other nodes: a
                                                      worker's word */

    /* a digest of what the stored operations belong to */
    u_char                     identity[16];

    ngx_msec_t                 poll_min;       /* ms */
    ngx_msec_t                 poll_max;
    ngx_msec_t                 poll_lease;     /* how long a poll may take */
    ngx_msec_t                 deadline;
    time_t                     retention;      /* seconds */
    time_t                     lifetime;       /* of upstream's results */

    ngx_completion_rate_t      poll_rate;
    ngx_completion_rate_t      submit_rates[NGX_COMPLETION_SUBMIT_RATES];
    ngx_uint_t                 submit_queue;   /* submits */
    ngx_msec_t                 submit_queue_time;
} ngx_completion_zone_t;


typedef enum {
    NGX_COMPLETION_RECORD_SUBMIT = 0,  /* reserved for a submit on its way */
    NGX_COMPLETION_RECORD_UNKNOWN,     /* adopted, upstream not yet heard */
    NGX_COMPLETION_RECORD_MISSING,     /* adopted, upstream says 404 */
    NGX_COMPLETION_RECORD_PENDING,
    NGX_COMPLETION_RECORD_FINAL
} ngx_completion_record_state_e;


/* those states, and of final ones the verdict behind them */
#define NGX_COMPLETION_CENSUS_STATES                                          \
    (NGX_COMPLETION_RECORD_FINAL + NGX_COMPLETION_STATES)


/* What makes the same request cost once, see keys.c. */
typedef struct {
    u_char           name[NGX_COMPLETION_KEY_DIGEST];
    u_char           request[NGX_COMPLETION_KEY_DIGEST];
    time_t           ttl;              /* seconds; 0: not asked for */
} ngx_completion_key_t;


/*
 * What a submit goes by: either, both or none, or what an equal request may
 * take over whose answer was not delivered.
 */
typedef struct {
    ngx_completion_key_t     idempotency;
    ngx_completion_key_t     cache;
    ngx_completion_key_t     orphan;
    unsigned                 doubted:1;  /* an orphan is one, too, while its
                                            outcome is not known */
    unsigned                 repeated:1; /* by a client that says so: it may
                                            share one that is still held */
    uint32_t                 owner;      /* a hash of whose key it is */
    unsigned                 shared:1;   /* the cache is for all owners */
} ngx_completion_keys_t;


typedef enum {
    NGX_COMPLETION_KEY_NONE = 0,   /* nothing known: submit */
    NGX_COMPLETION_KEY_UNDERWAY,   /* a submit is: join it */
    NGX_COMPLETION_KEY_ENDED       /* its outcome is known */
} ngx_completion_key_state_e;


/* What the records say. */
typedef struct {
    ngx_completion_key_state_e  state;
    unsigned                    replayed:1;   /* by the idempotency key */
    unsigned                    pending:1;    /* an orphan: not ended yet */
    uint64_t                    lease;        /* of the submit joined */
    uint32_t                    held;         /* an orphan's hold; 0: none */
    ngx_completion_outcome_e    outcome;      /* of one that has ended; OK:
                                                 an operation came of it */
    ngx_msec_t                  retry_after;  /* of a refusal, ms */
    ngx_completion_id_t         id;           /* in the buffer below */
    u_char                      buf[NGX_COMPLETION_ID_UPSTREAM];
} ngx_completion_found_t;


/* A copy of a record; the document is in the reader's pool. */
typedef struct {
    ngx_completion_record_state_e  state;
    ngx_completion_state_e         verdict;    /* of a final one */
    unsigned                       decided:1;  /* by us, not by upstream */
    unsigned                       deleted:1;  /* by a client, for all */
    unsigned                       failing:1;  /* the last polls brought
                                                  nothing, none is due */
    unsigned                       refused:1;  /* so are all polls of the zone,
                                                  and were for a while */
    unsigned                       moved:1;    /* its next poll, by wanting */
    uint64_t                       version;    /* changes with the state */
    time_t                         submitted;  /* seconds */
    time_t                         finished;
    ngx_msec_t                     next;       /* ms until we know more, of
                                                  one that is wanted */
    uint64_t                       digest;     /* of the document */
    ngx_str_t                      document;   /* len 0: not kept */
    size_t                         id_offset;
} ngx_completion_view_t;


/* What a poll brought. */
typedef struct {
    ngx_completion_outcome_e   outcome;    /* but for OK and
                                              OPERATION_NOT_FOUND there was
                                              no answer to rely on */
    ngx_completion_state_e     state;      /* of OK; or how it is shown if no
                                              poll brings what can be used */
    unsigned                   refused:1;  /* with a 401 or a 403 */
    ngx_str_t                  document;
    size_t                     id_offset;
    ngx_msec_t                 gap;        /* upstream's wish, ms; 0: none */

    uint64_t                   digest;     /* out: of the document */
    ngx_uint_t                 kept;       /* out: it had room */
    ngx_uint_t                 ended;      /* out: by this; a final one only
                                              if it was submitted here */
    ngx_uint_t                 heard;      /* out: its end, before any other
                                              node that told */
    ngx_uint_t                 failures;   /* out: of its polls in a row */
    ngx_uint_t                 refusals;   /* out: of all polls in a row; of
                                              what ends it: were told */
} ngx_completion_update_t;


/* What a zone holds, and who waits for it: the gauges of the table. */
typedef struct {
#define NGX_COMPLETION_GAUGE(member, first, scale)                            \
    ngx_uint_t  member NGX_COMPLETION_BY_##first;
#include "ngx_completion_counters.def"
} ngx_completion_census_t;


/* Right to poll one operation, taken from the schedule. */
typedef struct {
    uint64_t                   lease;
    ngx_str_t                  id;         /* in the buffer below */
    u_char                     buf[NGX_COMPLETION_ID_UPSTREAM];
} ngx_completion_due_t;


/*
 * At configuration.  The zone's parameters may be filled in later, before
 * nginx creates shared memory.  NULL: logged.
 */
ngx_completion_zone_t *ngx_completion_zone_add(ngx_conf_t *cf,
    ngx_str_t *name, size_t size, void *tag);


/* In the master, the configuration being accepted: its quotas hold now. */
void ngx_completion_zone_apply(ngx_completion_zone_t *zone);


/* Submits */

/*
 * Reserves the record of a submit: NGX_OK, and *delay is 0 where a start is
 * due, else ms until one will be, as far as can be told: it waits in line.
 * NGX_AGAIN: so does this one, for whom there is no place but while the nodes'
 * server is asked whether a start is due.
 * NGX_DONE: not to be submitted, *found says what is known by the keys (may be
 * NULL), joined being the lease of the submit that this one has joined before,
 * or 0; NGX_DECLINED: no room; NGX_BUSY: the line is full or too long, *delay
 * says when to try again.  The lease ends by itself ttl ms after the longest
 * wait.
 */
ngx_int_t ngx_completion_zone_reserve(ngx_completion_zone_t *zone,
    ngx_msec_t ttl, ngx_completion_keys_t *keys, uint64_t joined,
    uint64_t *lease, ngx_msec_t *delay, ngx_completion_found_t *found);

/* How many may ever be sent or in line together. */
ngx_uint_t ngx_completion_zone_most(ngx_completion_zone_t *zone);

/* The same look at the keys alone: NGX_DONE with *found, or NGX_OK. */
ngx_int_t ngx_completion_zone_known(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found);

/*
 * Calls those whose start is due, whichever worker they are of: NGX_OK: news
 * of their leases' hashes are out, or NGX_DONE.  To be asked again in *wait
 * ms; 0: nobody waits.
 */
ngx_int_t ngx_completion_zone_call(ngx_completion_zone_t *zone,
    ngx_msec_t *wait);

/* What a call is announced as. */
#define ngx_completion_lease_hash(lease)  ((uint32_t) (lease))

/*
 * Asks for the start of a submit that is to be sent, or sent again.  NGX_OK:
 * it is called, and its lease ends ttl ms from now; NGX_AGAIN: it waits in the
 * place that it had before, for *delay ms or so, and for limit ms at most;
 * NGX_DECLINED: its lease has ended.
 */
ngx_int_t ngx_completion_zone_turn(ngx_completion_zone_t *zone,
    uint64_t lease, ngx_msec_t ttl, ngx_msec_t limit, ngx_msec_t *delay);

/*
 * The fence: from now on upstream may have the submit, and nobody sends it in
 * its place.  NGX_OK: it has taken a start; NGX_AGAIN: there is none, it waits
 * in line; NGX_DECLINED: its lease has ended.
 */
ngx_int_t ngx_completion_zone_fence(ngx_completion_zone_t *zone,
    uint64_t lease);

/*
 * Another node sends such a submit: it is in no line for the next ms, and
 * keeps its lease for that long.
 */
void ngx_completion_zone_aside(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_msec_t ms);

/* Upstream did not take it: it may be sent again, by whoever has the lease. */
void ngx_completion_zone_unsent(ngx_completion_zone_t *zone, uint64_t lease);

/* Entries of the cache that lead to an operation, at most. */
#define NGX_COMPLETION_ENDED  4

typedef struct {
    u_char                     name[NGX_COMPLETION_KEY_DIGEST];
    ngx_uint_t                 shared;     /* an equal request still shares */
} ngx_completion_ended_t;


/*
 * Of an operation that has ended: which of them there are that were not told
 * of yet, each once; of one that was deleted all.
 */
ngx_uint_t ngx_completion_zone_ended(ngx_completion_zone_t *zone,
    ngx_str_t *id, ngx_completion_ended_t *ended);

/* Starts that nodes share, of a quota that is all nodes', see pool.c */

/* A start, as the server knows it. */
typedef struct {
    uint64_t                   token;
    ngx_uint_t                 n;
} ngx_completion_start_t;


/* What the server is to be asked. */
typedef struct {
    uint64_t                   node;
    uint64_t                   token;
    uint32_t                   turn;       /* of asking, which others may */
    ngx_uint_t                 wanted;
    ngx_msec_t                 width;      /* that a start is good for, ms */
    ngx_uint_t                 nunused;    /* to be given back */
    ngx_completion_start_t     unused[NGX_COMPLETION_POOL];
} ngx_completion_pool_ask_t;


/* What it said: times by this worker's clock, as _current_msec. */
typedef struct {
    uint64_t                   token;      /* of the question */
    uint32_t                   turn;
    ngx_msec_t                 lag;        /* that it took, ms */
    ngx_msec_t                 due;        /* the next one, of anybody's */
    ngx_uint_t                 nodes;
    ngx_uint_t                 n;
    ngx_msec_t                 from[NGX_COMPLETION_POOL_ASK];
    ngx_msec_t                 to[NGX_COMPLETION_POOL_ASK];
} ngx_completion_pool_answer_t;


/*
 * NGX_OK with a question, which nobody else asks for ms from now, unless it is
 * answered; NGX_DONE: there is none, look again in *wait ms; 0: when there is
 * news.
 */
ngx_int_t ngx_completion_zone_pool_ask(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_msec_t ms, ngx_completion_pool_ask_t *ask,
    ngx_msec_t *wait);

/*
 * The same of a worker that quits: NGX_OK with what the server is to be told,
 * if it is the node's last one, as far as is known.
 */
ngx_int_t ngx_completion_zone_pool_quit(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_completion_pool_ask_t *ask);

/* NGX_OK: submits were called, as by _call(); or NGX_DONE. */
ngx_int_t ngx_completion_zone_pool_answer(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_completion_pool_answer_t *answer);

/*
 * There is no answer: until there is one this node takes its part of the
 * rates, among so many nodes if it has seen none.  As above; NGX_AGAIN: that
 * was known.
 */
ngx_int_t ngx_completion_zone_pool_away(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t nodes);

/*
 * Errands: what the nodes' server is to be told or asked, in the words of
 * whoever carries it out, see outbox.c.  Each is somebody's for a time, and
 * anybody's afterwards, until it is done.
 */

#define NGX_COMPLETION_ERRAND_DATA  184


typedef struct {
    ngx_msec_t                 ms;         /* it is its taker's for that */
    unsigned                   light:2;    /* the more, the sooner it goes where
                                              room is short, see zone_sh.h */
    uint32_t                   subject;    /* those of the same one are done
                                              in their order; 0: of none */
    size_t                     len;
    u_char                     data[NGX_COMPLETION_ERRAND_DATA];

    uint64_t                   number;     /* out: by which its taker gives it
                                              back; 0: it is not kept */
    unsigned                   due:1;      /* out: it is to be done now */
} ngx_completion_errand_t;


/* It is due, unless one of its subject is ahead, and kept if there is room. */
void ngx_completion_zone_errand(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand);

/* The oldest that is nobody's, for ms: NGX_OK, or NGX_DONE, there is none. */
ngx_int_t ngx_completion_zone_errand_take(ngx_completion_zone_t *zone,
    ngx_msec_t ms, ngx_completion_errand_t *errand);

/* Of one that is still the caller's, or is kept no more, or never was. */
void ngx_completion_zone_errand_done(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand);
void ngx_completion_zone_errand_yield(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand);

/*
 * Where there was no room: ms until the first of what must not go for another
 * may, as far as the heads of lists tell; an hour at most.
 */
ngx_msec_t ngx_completion_zone_room(ngx_completion_zone_t *zone);

/*
 * The submit was refused, or nobody knows: its record goes, and those who
 * joined it are told (found->state, outcome, retry_after).  The keys (may be
 * NULL) are those that it was reserved with: if its lease has ended meanwhile,
 * what they came to is not unknown any more.  NGX_OK: another one was called,
 * as by _call(); or NGX_DONE.
 */
ngx_int_t ngx_completion_zone_release(ngx_completion_zone_t *zone,
    uint64_t lease, ngx_completion_keys_t *keys,
    ngx_completion_found_t *found);

/*
 * The submit was accepted under this id: its record is found by it from now
 * on, pending, and leased to the caller who is to _store() what upstream
 * said.  If the id is known already, that record is the one.  NGX_OK;
 * NGX_DECLINED: no room; NGX_BUSY: leased to somebody else, all is well.
 * The keys are as above.
 */
ngx_int_t ngx_completion_zone_accept(ngx_completion_zone_t *zone,
    uint64_t lease, ngx_completion_keys_t *keys, ngx_completion_id_t *id,
    ngx_uint_t model);


/* An idempotency key that has led to an operation is forgotten. */
void ngx_completion_zone_forget(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys);


/* The hold of a request on what it may leave behind as an orphan. */
typedef struct {
    u_char                   name[NGX_COMPLETION_KEY_DIGEST];
    uint32_t                 lease;          /* 0: it has none */
} ngx_completion_hold_t;


/*
 * The request has ended: its answer was delivered, or it leaves an orphan,
 * unless another one has the same.
 */
void ngx_completion_zone_unhold(ngx_completion_zone_t *zone,
    ngx_completion_hold_t *hold, ngx_uint_t delivered);


/* Readers */

/*
 * A copy of what is known, a pending operation being wanted for the next ms
 * as _want() has it: NGX_OK, NGX_DECLINED: no such record, NGX_ERROR: no
 * memory; NGX_DONE: it is the one that the caller knows already, which may be
 * NULL.  Its document stays behind then, and without a pool.
 */
ngx_int_t ngx_completion_zone_reread(ngx_completion_zone_t *zone,
    ngx_str_t *id, ngx_completion_view_t *known, ngx_msec_t ms,
    ngx_pool_t *pool, ngx_completion_view_t *view);

#define ngx_completion_zone_read(zone, id, ms, pool, view)                    \
    ngx_completion_zone_reread(zone, id, NULL, ms, pool, view)

/*
 * Makes a record for a valid id that has none: NGX_OK, NGX_DECLINED: full.
 * The errand, which may be NULL, is due if it has made one, which is not asked
 * for before that is done, or its time is over.
 */
ngx_int_t ngx_completion_zone_adopt(ngx_completion_zone_t *zone,
    ngx_completion_id_t *id, ngx_completion_errand_t *errand);

/*
 * Somebody waits for the operation for the next so many ms, or just looked at
 * it; a poll that pays is planned.  Returns ms until the next poll is due.
 */
ngx_msec_t ngx_completion_zone_want(ngx_completion_zone_t *zone,
    ngx_str_t *id, ngx_msec_t ms);


/* The schedule */

/*
 * Takes the operation that is due next: NGX_OK with a lease; NGX_AGAIN:
 * nothing is due, or the quota says later, look again in *wait ms, which are
 * NGX_TIMER_INFINITE where nothing is scheduled.
 */
ngx_int_t ngx_completion_zone_take(ngx_completion_zone_t *zone,
    ngx_completion_due_t *due, ngx_msec_t *wait);

/*
 * The fence of a poll.  NGX_OK: it has taken a start; NGX_AGAIN: there is
 * none, or the lease is not ours any more.
 */
ngx_int_t ngx_completion_zone_ask(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint64_t lease);

/*
 * Keeps what a poll brought, and ends the lease.  NGX_OK: and readers are to
 * be woken; NGX_DONE: nothing new; NGX_DECLINED: the lease is not ours any
 * more, or what is known is final, nothing was changed.
 */
ngx_int_t ngx_completion_zone_store(ngx_completion_zone_t *zone,
    ngx_str_t *id, uint64_t lease, ngx_completion_update_t *update);

/* Gives a lease back; the operation is due at once. */
void ngx_completion_zone_yield(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint64_t lease);

/*
 * Declares a pending operation final by our own word, whoever has the lease:
 * NGX_OK; NGX_DONE: it is final already; NGX_DECLINED: unknown here.  The
 * errand, which may be NULL, is due where it is declared.
 */
ngx_int_t ngx_completion_zone_decide(ngx_completion_zone_t *zone,
    ngx_str_t *id, ngx_completion_state_e verdict,
    ngx_completion_errand_t *errand);

/*
 * Declares it deleted, of one that is pending as if it were cancelled: from
 * now on it is as one that upstream does not know, and keys that lead to it
 * lead nowhere.  NGX_OK: it was pending; NGX_DONE: it was not; NGX_DECLINED:
 * unknown here, or deleted already.  The errand is as above.
 */
ngx_int_t ngx_completion_zone_delete(ngx_completion_zone_t *zone,
    ngx_str_t *id, ngx_completion_errand_t *errand);


/* What a client of any node has done to an operation. */
typedef enum {
    NGX_COMPLETION_MARK_NONE = 0,      /* nothing that the server knows */
    NGX_COMPLETION_MARK_CANCELLED,
    NGX_COMPLETION_MARK_DELETED,
    NGX_COMPLETION_MARK_ENDED          /* nothing: upstream has ended it */
} ngx_completion_mark_e;


/*
 * The same on another node, which goes ahead of all that is known here: NGX_OK
 * if that was not known, or upstream is to be asked now; else NGX_DONE.
 */
ngx_int_t ngx_completion_zone_mark(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_mark_e mark);


/* News of all nodes, which one worker reads */

/* up to where, as the server has it */
#define NGX_COMPLETION_NEWS_POSITION  48

/* For the next ms it is this worker's to read: NGX_OK or NGX_DECLINED. */
ngx_int_t ngx_completion_zone_news_take(ngx_completion_zone_t *zone,
    ngx_msec_t ms);
void ngx_completion_zone_news_yield(ngx_completion_zone_t *zone);

/*
 * How long it is; 0: nothing was read, in the ms since the zone was made.  And
 * a new one, from who is to read.
 */
size_t ngx_completion_zone_news_position(ngx_completion_zone_t *zone,
    u_char *position, ngx_msec_t *age);
void ngx_completion_zone_news_read(ngx_completion_zone_t *zone,
    ngx_str_t *position);


/* The token that all workers share */

#define NGX_COMPLETION_TOKEN_DIGEST  16


/* A worker's hold on it; it is zeroed but for what is marked "in". */
typedef struct {
    u_char                     source[NGX_COMPLETION_TOKEN_DIGEST];  /* in */
    u_char                     key[NGX_COMPLETION_TOKEN_DIGEST];     /* in */
    unsigned                   untried:1;    /* in: set with a new key, whose
                                                first try need not wait */
    ngx_msec_t                 lease_time;   /* in: a renewal takes, ms;
                                                0: the caller renews nothing */

    u_char                    *buffer;       /* in */
    size_t                     size;         /* in */
    size_t                     len;
    uint64_t                   generation;   /* of the copy; 0: none */

    uint64_t                   lease;        /* get one, under this lease;
                                                0: not now */
    ngx_msec_t                 wait;         /* of NGX_AGAIN: ms until the
                                                next try; 0: under way */
} ngx_completion_zone_token_t;


/*
 * A token from the same source is copied into the buffer, unless it is there
 * already.  NGX_OK, or NGX_AGAIN: there is none.  In either case a caller with
 * a lease_time may be given the lease, and is then to get a new one.
 */
ngx_int_t ngx_completion_zone_token(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token);

/*
 * Ends a lease with a token, good for life ms and to be renewed in renew ms.
 * NGX_OK; NGX_DONE: the same, and tries before it had failed; NGX_DECLINED:
 * the lease is not ours any more; NGX_ERROR: no room, the lease goes on.
 */
ngx_int_t ngx_completion_zone_token_store(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token, ngx_str_t *value, ngx_msec_t life,
    ngx_msec_t renew);

/*
 * Ends a lease without one; fault tells one reason from another.  NGX_OK: to
 * be logged; NGX_DONE: as it failed before; *pause: ms until the next try.
 */
ngx_int_t ngx_completion_zone_token_failed(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token, uint32_t fault, ngx_msec_t *pause);

/* Gives a lease back. */
void ngx_completion_zone_token_yield(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token);

/*
 * Upstream refused the token of this generation.  NGX_OK: there is another
 * one, or this one is dropped and another to be got; NGX_DECLINED: it was
 * new, another one would fare no better.
 */
ngx_int_t ngx_completion_zone_token_refused(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token, uint64_t generation);


/* Metrics */

/* In a worker that begins, and in one that ends. */
void ngx_completion_zone_enter(ngx_completion_zone_t *zone);
void ngx_completion_zone_leave(ngx_completion_zone_t *zone);

/*
 * Whether this worker reaches the server that nodes share, which it says
 * whenever it has found that out.  Not 0: that is news of the node: it is lost
 * with the first worker that is away, and back with the last one.
 */
ngx_uint_t ngx_completion_zone_away(ngx_completion_zone_t *zone,
    ngx_uint_t away);

/* Whether this is to be told in the log, which a node does once an hour. */
ngx_uint_t ngx_completion_zone_tell(ngx_completion_zone_t *zone,
    ngx_completion_told_e what);

/* What the zone holds now. */
void ngx_completion_zone_census(ngx_completion_zone_t *zone,
    ngx_completion_census_t *census);


/* All that a scrape says of a zone, and how it says it. */

typedef struct {
    ngx_completion_metrics_sh_t    counters;
    ngx_completion_census_t        census;
} ngx_completion_sample_t;


typedef struct {
    ngx_uint_t                     index;      /* in the member */
    const char                    *value;
} ngx_completion_label_t;


typedef struct {
    const char                    *name;       /* NULL: no label */
    const ngx_completion_label_t  *labels;
    ngx_uint_t                     n;
    ngx_uint_t                     size;       /* of the member's dimension */
} ngx_completion_labels_t;


/* A family, or where some of the family's values are. */
typedef struct {
    const char                    *name;       /* of a family, or NULL */
    const char                    *type;
    const char                    *help;

    size_t                         offset;     /* in the sample */
    ngx_uint_t                     scale;
    const ngx_completion_labels_t *labels[2];
    const ngx_uint_t              *bounds;     /* of a histogram */
    ngx_uint_t                     moment;     /* left out while it is 0 */
    ngx_uint_t                     shared;     /* of a family: for who shares
                                                  with other nodes */
} ngx_completion_metric_t;


extern const ngx_completion_metric_t  ngx_completion_metrics_table[];
extern const ngx_uint_t               ngx_completion_metrics_table_n;


/* Wake-ups */

/* What a change of the token is announced as. */
#define NGX_COMPLETION_TOKEN_HASH  0x746f6b65

/*
 * Hashes of operations that changed since *seen, n at most; *seen moves on.
 * NGX_DECLINED: more changed than is remembered, look at all of them.
 */
ngx_int_t ngx_completion_zone_changes(ngx_completion_zone_t *zone,
    uint64_t *seen, uint32_t *hashes, ngx_uint_t *n);

uint32_t ngx_completion_zone_hash(ngx_str_t *id);

/* What a key's changes are known by. */
uint32_t ngx_completion_key_hash(u_char *name);


#endif /* _NGX_COMPLETION_ZONE_H_INCLUDED_ */
