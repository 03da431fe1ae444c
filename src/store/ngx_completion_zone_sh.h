
/*
 * The layout of the zone, private to the store.  Everything here lives in
 * shared memory and is touched under the zone's lock only; functions declared
 * here expect it held.
 *
 * Each file calls those below it:
 *
 *     reserve.c       a submit on its way: its keys, its record
 *     turn.c          its turn, its fence
 *     life.c          what becomes of a record
 *     view.c          a copy of one
 *     schedule.c      when it is asked for next
 *     token.c   metrics.c
 *         zone.c      the lock; makes the zone, and makes it anew
 *         room.c      what goes for what, and in time
 *         outbox.c    what the nodes' server is still to be told; up to where
 *                     its news were read
 *         keys.c      what makes the same request cost once
 *         line.c   record.c   chunks.c
 *     quota.c   pace.c   wake.c                       know nothing of the zone
 *
 * Those down to metrics.c take the lock themselves.
 *
 * What lives and dies with the memory lives by ngx_current_msec, which no step
 * of the wall clock moves; seconds of that are for ids and documents alone.
 */


#ifndef _NGX_COMPLETION_ZONE_SH_H_INCLUDED_
#define _NGX_COMPLETION_ZONE_SH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_pace.h"
#include "ngx_completion_zone.h"


#define NGX_COMPLETION_CHUNK         256
#define NGX_COMPLETION_CHUNK_DATA                                             \
    (NGX_COMPLETION_CHUNK - sizeof(ngx_completion_chunk_sh_t *))

/* of them, copied or freed under one lock at most */
#define NGX_COMPLETION_CHUNKS_MAX    256

#define NGX_COMPLETION_COPY_MAX                                               \
    (NGX_COMPLETION_CHUNKS_MAX * NGX_COMPLETION_CHUNK_DATA)

/* polls in a row without an answer before those who wait are told */
#define NGX_COMPLETION_FAILURES      3

/* how often in a row, and for how many ms, before it is believed */
#define NGX_COMPLETION_DOUBTS        3
#define NGX_COMPLETION_DOUBT_TIME    60000

#define NGX_COMPLETION_CHANGES       256


typedef struct ngx_completion_chunk_sh_s   ngx_completion_chunk_sh_t;
typedef struct ngx_completion_record_sh_s  ngx_completion_record_sh_t;
typedef struct ngx_completion_submit_sh_s  ngx_completion_submit_sh_t;
typedef struct ngx_completion_key_sh_s     ngx_completion_key_sh_t;
typedef struct ngx_completion_errand_sh_s  ngx_completion_errand_sh_t;


struct ngx_completion_chunk_sh_s {
    ngx_completion_chunk_sh_t   *next;
    u_char                       data[1];
};


/*
 * The life of an operation's record:
 *
 *     its id is asked for --> UNKNOWN -- 404 --> MISSING -- a minute --> gone
 *                                |  |
 *                        pending |  | final
 *                                V  '---------------.
 *     its submit is accepted --> PENDING            |
 *                                |                  V
 *         final, decided or lost '----------------> FINAL -- retention --> gone
 *
 * PENDING is asked for until it ends, or until the deadline; by a client's
 * wish for as long as its id is good.  FINAL has a document, or has none, as
 * it found no room or made some, and has it fetched again when wanted, or is
 * lost, if upstream has it no more; what we decided needs none, and is not
 * asked for again, unless upstream's result could not be used: once in the
 * longest gap, if it is wanted, and what comes then counts.  Any of them may be
 * evicted, unless it is leased or somebody waits for it, and is adopted again
 * when it is asked for; but one that a client has deleted, which is FINAL, is
 * as none, and stays as long as its id is good.
 */
struct ngx_completion_record_sh_s {
    ngx_rbtree_node_t            due;       /* the key: next poll, ms */
    ngx_queue_t                  queue;     /* of one of the lists */
    ngx_completion_record_sh_t  *next;      /* in the same bucket */

    ngx_completion_chunk_sh_t   *chunks;
    ngx_completion_chunk_sh_t   *draft;     /* the end of the text that the
                                               lease is writing */
    uint32_t                     length;
    uint32_t                     draft_length;
    uint32_t                     id_offset;
    uint32_t                     hash;
    uint64_t                     digest;

    uint64_t                     version;
    uint64_t                     lease;     /* 0: nobody's */
    ngx_msec_t                   lease_end;

    uint32_t                     submitted; /* seconds of the wall clock, */
    uint32_t                     finished;  /* for ids and documents */
    ngx_msec_t                   created;
    ngx_msec_t                   sent;      /* the poll under way */
    union {
        ngx_msec_t               asked;     /* when the last poll that was
                                               answered had been sent */
        ngx_msec_t               ended;     /* of a final one */
    };
    ngx_msec_t                   doubted;   /* when the first doubt came */
    ngx_msec_t                   wanted;    /* until when somebody waits */
    ngx_msec_t                   not_before;  /* of the next poll */

    u_char                       state;
    u_char                       verdict;   /* an ngx_completion_state_e */
    u_char                       model;
    u_char                       doubts;    /* polls in a row that spoke for
                                               the verdict of a pending one */
    u_char                       failures;  /* polls without answer in a row */
    u_char                       flags;
    u_char                       counted;   /* as, one more; 0: not */
    u_char                       len;
    u_char                       id[NGX_COMPLETION_ID_UPSTREAM];
};


#define NGX_COMPLETION_RECORD_SCHEDULED  0x01
#define NGX_COMPLETION_RECORD_URGENT     0x02   /* in the waited-for tree */
#define NGX_COMPLETION_RECORD_DECIDED    0x04
#define NGX_COMPLETION_RECORD_OURS       0x08   /* submitted by way of here */
#define NGX_COMPLETION_RECORD_DELETED    0x10   /* by a client, for all */
#define NGX_COMPLETION_RECORD_CALLED     0x20   /* leased, not yet sent */
#define NGX_COMPLETION_RECORD_TOLD       0x40   /* by another node: it ended */


/*
 * A submit on its way:
 *
 *              a start is due              the fence
 *     WAITS ------------------> CALLED ------------------> SENT
 *       ^                         |                          |
 *       |                         | not used in time         | to be sent
 *       |     its worker asks     V                          | once more
 *       '----------------------- AWAY <----------------------'
 *
 * The fence takes a start that is free at that moment, of whoever comes, AWAY
 * or CALLED, and where there is none the submit waits again.  Who waits stands
 * where its ticket has its place, and so ahead of all that came later.
 */
typedef enum {
    NGX_COMPLETION_TURN_WAITS = 0,
    NGX_COMPLETION_TURN_CALLED,
    NGX_COMPLETION_TURN_AWAY,
    NGX_COMPLETION_TURN_SENT           /* upstream may have it */
} ngx_completion_turn_e;


/* for which a call is good: a connection is opened meanwhile, ms */
#define NGX_COMPLETION_TURN_CALL     1000

/* looked at under one lock */
#define NGX_COMPLETION_TURN_LOOKS    64

/* what a lease may outlive its submit, ms */
#define NGX_COMPLETION_SUBMIT_GRACE  5000

/* those of them that stand in a line each */
#define NGX_COMPLETION_TURN_LINES  (NGX_COMPLETION_TURN_CALLED + 1)


/* its chunk becomes the record of the operation that is accepted */
struct ngx_completion_submit_sh_s {
    ngx_rbtree_node_t            node;      /* the key: its lease */
    ngx_rbtree_node_t            place;     /* in a line, the key: its ticket,
                                               or when it was called */

    ngx_completion_key_sh_t     *keys;      /* that go by it */
    uint64_t                     lease;
    ngx_msec_t                   lease_end;
    uint64_t                     ticket;
    ngx_completion_metrics_worker_sh_t
                                *worker;    /* NULL: not counted */
    uint32_t                     pid;       /* of it */
    ngx_completion_turn_e        turn;
};


struct ngx_completion_key_sh_s {
    ngx_completion_key_sh_t     *next;      /* in the same bucket */
    ngx_completion_key_sh_t     *sibling;   /* of the same submit */
    ngx_completion_key_sh_t    **link;      /* what points to it, as such */
    u_char                       name[NGX_COMPLETION_KEY_DIGEST];
    u_char                       request[NGX_COMPLETION_KEY_DIGEST];
    ngx_queue_t                  queue;     /* of the cache: the least recently
                                               used first; of followers, and
                                               of those that are kept: the
                                               oldest first */
    ngx_rbtree_node_t            node;      /* of a follower, the key: its
                                               owner; of the cache, of one
                                               that has led to an operation:
                                               the hash of its id */
    ngx_msec_t                   expires;
    ngx_msec_t                   known;     /* since when its state is */
    ngx_msec_t                   ended;     /* of the cache: its operation */
    uint32_t                     submitted; /* seconds of the wall clock;
                                               refused: retry after, ms */
    uint32_t                     lease;     /* its end, for who joined */

    u_char                       state;
    u_char                       outcome;   /* an ngx_completion_outcome_e */
    u_char                       len;
    u_char                       verdict;   /* of the cache, of its operation:
                                               an ngx_completion_state_e */
    uint16_t                     flags;
    uint16_t                     holders;   /* of an orphan that is none yet:
                                               requests that wait */

    union {
        uint64_t                 lease;     /* of the submit under way */
        u_char                   id[NGX_COMPLETION_ID_UPSTREAM];
    } u;
};


#define NGX_COMPLETION_KEY_CACHE         0x01   /* and an index of counts */
#define NGX_COMPLETION_KEY_SHARED        0x02
#define NGX_COMPLETION_KEY_JOINED        0x04   /* somebody is to be told */
#define NGX_COMPLETION_KEY_FOLLOWER      0x08   /* another request pays, or
                                                   nobody does */
#define NGX_COMPLETION_KEY_LED           0x10   /* to an operation, whose end
                                                   it is to know */
#define NGX_COMPLETION_KEY_DELIVERED     0x20   /* to one of its holders */
#define NGX_COMPLETION_KEY_ORPHAN        0x40   /* of the cache, but for one
                                                   request alone */
#define NGX_COMPLETION_KEY_DOUBTED       0x100 /* which is to be told, too, if
                                                   nobody knows its outcome */
#define NGX_COMPLETION_KEY_TOLD          0x80   /* to the other nodes: that its
                                                   operation has ended */


/* a document may take three quarters, these the fourth */
#define ngx_completion_followers_max(sh)                                      \
    ((sh)->capacity / 3 / NGX_COMPLETION_CHUNK)


/*
 * Of a subject the newest stands in its bucket, and the oldest, as what has
 * none, in one of the trees; each knows the one behind it.
 */
struct ngx_completion_errand_sh_s {
    ngx_rbtree_node_t            node;      /* the key: its number, or its
                                               lease */
    uint64_t                     number;
    ngx_completion_errand_sh_t  *next;      /* of its subject; of the newest
                                               one, in the same bucket */
    ngx_completion_errand_sh_t **link;      /* what points to the newest one;
                                               NULL: it is another one */
    uint32_t                     subject;
    uint16_t                     len;
    u_char                       light;
    u_char                       data[NGX_COMPLETION_ERRAND_DATA];
};


/* those that go last where room is short: marks; claims; and the others */
#define NGX_COMPLETION_OUTBOXES  3

/* buckets by their subjects, for as many as there may be */
#define ngx_completion_subjects(mask)  (((mask) >> 2) + 1)

/* a sixteenth of the zone */
#define ngx_completion_outbox_max(sh)                                         \
    ((sh)->capacity / 12 / NGX_COMPLETION_CHUNK)


/* wiped whenever it is replaced */
typedef struct {
    ngx_completion_chunk_sh_t   *chunks;
    uint32_t                     length;
    uint64_t                     generation;  /* 0: none */
    u_char                       source[NGX_COMPLETION_TOKEN_DIGEST];
    ngx_msec_t                   expires;
    ngx_msec_t                   renew;

    uint64_t                     lease;       /* of who gets a new one */
    ngx_msec_t                   lease_end;

    uint32_t                     failures;    /* in a row */
    uint32_t                     fault;       /* of the last one */
    ngx_msec_t                   not_before;  /* of the next try, but a new
                                                 key's first */
    u_char                       tried[NGX_COMPLETION_TOKEN_DIGEST];
                                              /* the key of the last one */

    uint32_t                     refusals;    /* in a row */
    ngx_msec_t                   refused;     /* the last one */
} ngx_completion_token_sh_t;


/* the trees of the schedule */
#define NGX_COMPLETION_TREE_DUE     0
#define NGX_COMPLETION_TREE_URGENT  1       /* somebody waits */
#define NGX_COMPLETION_TREE_CALLED  2       /* until the call is void */
#define NGX_COMPLETION_TREES        3

/* That which a record is in, if it is in one. */
#define ngx_completion_record_tree(zone, record)                              \
    (&(zone)->sh->trees[((record)->flags & NGX_COMPLETION_RECORD_CALLED)      \
                        ? NGX_COMPLETION_TREE_CALLED                          \
                        : ((record)->flags & NGX_COMPLETION_RECORD_URGENT)    \
                        ? NGX_COMPLETION_TREE_URGENT                          \
                        : NGX_COMPLETION_TREE_DUE])

/* ms since then: below 0 if another worker's clock was ahead of this one's. */
#define ngx_completion_since(at)       (-ngx_completion_left(at))

/* Of a record at a time, which another worker's clock may have told. */
#define ngx_completion_record_age(record, at)                                 \
    ngx_max((ngx_msec_int_t) ((at) - (record)->created), 0)

/* A lifetime as directives have it. */
#define ngx_completion_ms(seconds)     ((ngx_msec_t) (seconds) * 1000)

/* Whether a lease holds, or somebody waits: not to be evicted. */
#define ngx_completion_record_leased(record)                                  \
    ((record)->lease && ngx_completion_left((record)->lease_end) > 0)
#define ngx_completion_record_wanted(record)                                  \
    (ngx_completion_left((record)->wanted) > 0)
#define ngx_completion_line_leased(submit)                                    \
    (ngx_completion_left((submit)->lease_end) > 0)


/*
 * A start of this node's, as the nodes' server has given it:
 *
 *     FREE -- given --> OURS -- the fence --> FREE
 *      ^                  |
 *      | given back       | its time has gone by
 *      '----- UNUSED <----'
 */
typedef enum {
    NGX_COMPLETION_START_FREE = 0,
    NGX_COMPLETION_START_OURS,
    NGX_COMPLETION_START_UNUSED
} ngx_completion_start_e;


typedef struct {
    uint64_t                     token;     /* it was given under */
    ngx_msec_t                   from;
    ngx_msec_t                   to;
    uint32_t                     n;         /* which of those */
    ngx_completion_start_e       state;
} ngx_completion_start_sh_t;


/* what nodes share of a quota */
typedef struct {
    uint64_t                     token;     /* of the next question, or of one
                                               that has no answer yet */
    ngx_msec_t                   asking;    /* until then one may come */
    ngx_msec_t                   due;       /* the next start of anybody's */
    uint32_t                     turn;      /* who asked for it last, by the
                                               number of it */
    uint32_t                     wants;     /* polls that are due or called */
    uint32_t                     lag;       /* of the last answer, ms */
    uint32_t                     late;      /* of the last start at the fence,
                                               ms */
    uint32_t                     asker;     /* the worker that asks */
    uint32_t                     away;      /* the server is not reachable */
    ngx_completion_start_sh_t    starts[NGX_COMPLETION_POOL];
} ngx_completion_pool_sh_t;


/* this node, and how many there are */
typedef struct {
    uint64_t                     name;      /* 0: it has none yet */
    uint32_t                     most;      /* seen at one time, at most: this
                                               half hour and the last one */
    uint32_t                     before;
    uint32_t                     now;
    ngx_msec_t                   since;
} ngx_completion_nodes_sh_t;


/* behind the slab pool, where a zone that is made anew finds it again */
struct ngx_completion_lasting_sh_s {
    ngx_completion_metrics_sh_t  metrics;
    ngx_completion_quota_sh_t    quotas[NGX_COMPLETION_QUOTAS];
    ngx_completion_pool_sh_t     pools[NGX_COMPLETION_QUOTAS];
    ngx_completion_nodes_sh_t    nodes;
};


struct ngx_completion_zone_sh_s {
    ngx_uint_t                   busy;
    u_char                       context[128];  /* of log lines */
    u_char                       identity[16];
    uint64_t                     sequence;  /* of leases and versions */
    uint64_t                     changes;   /* counts what was woken for */
    uint32_t                     changed[NGX_COMPLETION_CHANGES];

    ngx_rbtree_t                 trees[NGX_COMPLETION_TREES];
    ngx_rbtree_node_t            sentinels[NGX_COMPLETION_TREES];
    ngx_uint_t                   ncalled;   /* in the tree of these */
    ngx_queue_t                  lists[NGX_COMPLETION_METRICS_EVICTIONS];
                                            /* in the order in which room is
                                               made, the first to go first */

    ngx_rbtree_t                 submits;
    ngx_rbtree_node_t            submits_sentinel;
    uint64_t                     swept;     /* the lease of the last one */
    uint64_t                     tickets;   /* given out */
    ngx_rbtree_t                 lines[NGX_COMPLETION_TURN_LINES];
    ngx_rbtree_node_t            line_sentinels[NGX_COMPLETION_TURN_LINES];
    ngx_uint_t                   nlines[NGX_COMPLETION_TURN_LINES];

    ngx_completion_record_sh_t **buckets;
    ngx_completion_key_sh_t    **keys;
    uint32_t                     mask;      /* of both */
    uint32_t                     sweep;     /* the bucket of keys to sweep */
    ngx_queue_t                  deleted;   /* records; they never make room */
    ngx_queue_t                  kept;      /* keys that were paid for */
    ngx_queue_t                  followers; /* these before all lists */
    ngx_rbtree_t                 owners;    /* of followers; an owner's
                                               oldest stands first */
    ngx_rbtree_node_t            owners_sentinel;
    ngx_uint_t                   nfollowers;
    ngx_rbtree_t                 led;       /* entries of the cache */
    ngx_rbtree_node_t            led_sentinel;

    ngx_rbtree_t                 outboxes[NGX_COMPLETION_OUTBOXES];
    ngx_rbtree_node_t            outbox_sentinels[NGX_COMPLETION_OUTBOXES];
    ngx_rbtree_t                 underway[NGX_COMPLETION_OUTBOXES];
    ngx_rbtree_node_t            underway_sentinels[NGX_COMPLETION_OUTBOXES];
    ngx_completion_errand_sh_t **subjects;
    ngx_uint_t                   nerrands;

    ngx_msec_t                   made;      /* when it was, as news count */
    u_char                       news[NGX_COMPLETION_NEWS_POSITION];
    ngx_uint_t                   nnews;     /* bytes of it */
    uint32_t                     reader;    /* the worker that reads */
    ngx_msec_t                   reader_end;

    ngx_completion_chunk_sh_t   *waste;     /* lists of chunks that are still
                                               to be freed; the next one in
                                               the data of the first chunk */

    ngx_completion_paces_sh_t    paces;

    ngx_completion_token_sh_t    token;

    ngx_uint_t                   refusals;  /* of polls in a row */
    ngx_msec_t                   refused;   /* the first of them */

    size_t                       capacity;  /* bytes of one document */

    ngx_uint_t                   counts[NGX_COMPLETION_CENSUS_STATES];
    ngx_uint_t                   nkeys[NGX_COMPLETION_METRICS_KEYS];
};


/* zone.c */

void ngx_completion_zone_lock(ngx_completion_zone_t *zone);
void ngx_completion_zone_unlock(ngx_completion_zone_t *zone);


/* schedule.c */

void ngx_completion_record_want(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t ms,
    ngx_completion_view_t *view);
void ngx_completion_record_plan(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t from);


/*
 * room.c: here, and only here, something goes for something else, which no
 * pointer to what is not leased survives: who needs room takes it first and
 * changes the zone afterwards.  Chunks are zeroed, and of one size: all that
 * may go has it, another would need a page, and many to go for it.
 */

/* So many of them as a list: NGX_OK, or NGX_DECLINED, nothing more may go. */
ngx_int_t ngx_completion_room_take(ngx_completion_zone_t *zone, ngx_uint_t n,
    ngx_completion_chunk_sh_t **chunks);

/* One, at the cost of a pending one that a client has asked about. */
void *ngx_completion_room_asked(ngx_completion_zone_t *zone);

/* One for a follower of this owner: free, or another follower's. */
void *ngx_completion_room_follower(ngx_completion_zone_t *zone,
    uint32_t owner);

/* In how many ms there may be some, where there is none. */
ngx_msec_t ngx_completion_room_comes(ngx_completion_zone_t *zone);

/* Drops what has outlived its time, a few records a call. */
void ngx_completion_room_expire(ngx_completion_zone_t *zone);

/* Of submits those whose worker is gone; so many are looked at. */
void ngx_completion_room_sweep(ngx_completion_zone_t *zone, ngx_uint_t n);


/*
 * outbox.c: room for an errand, which may cost others; NULL: there is none.
 * It is then due with it, or without; or the room is given back.
 */
void *ngx_completion_outbox_room(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand);
void ngx_completion_outbox_add(ngx_completion_zone_t *zone,
    ngx_completion_errand_t *errand, void *room);
void ngx_completion_outbox_free(ngx_completion_zone_t *zone, void *room);


/* keys.c */

/*
 * What is known of a request, joined being the lease of the submit that it has
 * joined, or 0.  Returns the entry of the cache that the idempotency key is to
 * follow if it finds room, or NULL.
 */
ngx_completion_key_sh_t *ngx_completion_keys_look(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found);
void ngx_completion_keys_follow(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_key_sh_t *cached, void *chunk);

/* Those of a submit that begins; a chunk for each that is asked for. */
void ngx_completion_keys_link(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_submit_sh_t *submit,
    ngx_completion_chunk_sh_t **chunks);

/* How it ended, for all that go by it; NGX_COMPLETION_KEY_NONE forgets them. */
void ngx_completion_keys_settle(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_completion_found_t *end);

/*
 * The same of one that was given up, as its sender was thought to be dead, and
 * now knows better: those that are in doubt.  The chunk, or NULL, is for an
 * entry of the cache that is gone.
 */
void ngx_completion_keys_forget(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys);
void ngx_completion_keys_late(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t lease, ngx_completion_found_t *end,
    void *chunk);

/*
 * How the operation of a record ended: entries of the cache that lead to it
 * know that, though the record should go before them.
 */
void ngx_completion_keys_ended(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict);

/* Its sender is gone: they are told, and the submit goes. */
void ngx_completion_keys_orphaned(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit);

/* The first node of this key, or NULL. */
ngx_rbtree_node_t *ngx_completion_keys_first(ngx_rbtree_t *tree,
    ngx_rbtree_key_t key);

void ngx_completion_keys_sweep(ngx_completion_zone_t *zone);
void ngx_completion_key_delete(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key);

/* Whether those who joined could pay once more, were it to go now. */
ngx_uint_t ngx_completion_key_awaited(ngx_completion_key_sh_t *key);


/* line.c: submits on their way */

/* Behind all who wait already, or called at once. */
void ngx_completion_line_join(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_uint_t waits);
void ngx_completion_line_leave(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit);
void ngx_completion_line_drop(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit);
void ngx_completion_line_turn(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_completion_turn_e turn);
ngx_completion_submit_sh_t *ngx_completion_line_find(
    ngx_completion_zone_t *zone, uint64_t lease);

/* The next one by its lease, in a circle; NULL: there is none at all. */
ngx_completion_submit_sh_t *ngx_completion_line_after(
    ngx_completion_zone_t *zone, uint64_t lease);

/* The first of a line, or NULL. */
ngx_completion_submit_sh_t *ngx_completion_line_first(
    ngx_completion_zone_t *zone, ngx_completion_turn_e turn);

/* How many of those who wait stand ahead of it, or a few more than that. */
ngx_uint_t ngx_completion_line_place(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit);

/* Whether it may still be sent: its lease and its worker live. */
ngx_uint_t ngx_completion_line_lives(ngx_completion_submit_sh_t *submit);

ngx_uint_t ngx_completion_pid_lives(uint32_t pid);


/*
 * pool.c: starts of calls of a kind, by those that nodes share if its quota is
 * all nodes', and by the node's own quota if not, or without the server
 */

/* how long one is good for at most, ms */
#define NGX_COMPLETION_POOL_WIDEST  1000

/* Whether those that are shared count now. */
ngx_uint_t ngx_completion_pool_rules(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind);

/* How many may be used now. */
ngx_uint_t ngx_completion_pool_free(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind);

/* When the next one but so many may be, as far as can be told. */
ngx_msec_t ngx_completion_pool_next(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t ahead);

/* The same of looking at it once more: not while the server is asked. */
ngx_msec_t ngx_completion_pool_look(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_uint_t ahead);

/* Whether more may be expected at once than are known to be there. */
ngx_uint_t ngx_completion_pool_promises(ngx_completion_zone_t *zone);

/* One that was called then uses one: NGX_OK, or NGX_DECLINED: there is none. */
ngx_int_t ngx_completion_pool_take(ngx_completion_zone_t *zone,
    ngx_completion_kind_e kind, ngx_msec_t called);


/* turn.c */

/* How many starts are free but those of whoever is called. */
ngx_uint_t ngx_completion_turn_free(ngx_completion_zone_t *zone);

/* Calls who can be, a few a call: NGX_OK: somebody was, or NGX_DONE. */
ngx_int_t ngx_completion_turn_call(ngx_completion_zone_t *zone);

/* When the next one but so many is called, ms. */
ngx_msec_t ngx_completion_turn_wait(ngx_completion_zone_t *zone,
    ngx_uint_t ahead);


/* record.c */

ngx_completion_record_sh_t *ngx_completion_record_find(
    ngx_completion_zone_t *zone, ngx_str_t *id, uint32_t hash);
ngx_completion_record_sh_t *ngx_completion_record_leased_by(
    ngx_completion_zone_t *zone, ngx_str_t *id, uint32_t hash, uint64_t lease);

/* A new one in a chunk. */
ngx_completion_record_sh_t *ngx_completion_record_add(
    ngx_completion_zone_t *zone, ngx_completion_chunk_sh_t *chunk,
    ngx_completion_id_t *id, uint32_t hash,
    ngx_completion_record_state_e state);
void ngx_completion_record_delete(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);

/* Whether a client has deleted the operation of this id. */
ngx_uint_t ngx_completion_record_deleted(ngx_completion_zone_t *zone,
    ngx_str_t *id);

/* To the end of the list that it belongs in now, and counted as what it is. */
void ngx_completion_record_place(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);

/* Whether its end stands in for one that could not be read. */
#define ngx_completion_record_is_makeshift(record)                            \
    ((record)->state == NGX_COMPLETION_RECORD_FINAL                           \
     && ngx_completion_state_is_makeshift((record)->verdict))

/* Whether polls have been refused for so long that clients are told. */
#define ngx_completion_zone_is_refused(zone)                                  \
    ((zone)->sh->refusals                                                     \
     && ngx_completion_since((zone)->sh->refused)                             \
        >= NGX_COMPLETION_DOUBT_TIME)

/* Whether nothing more is to be learned from upstream. */
ngx_uint_t ngx_completion_record_is_complete(
    ngx_completion_record_sh_t *record);

/* From the tree that it is in to the one that it belongs in now. */
void ngx_completion_record_schedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_msec_t at);
void ngx_completion_record_unschedule(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);

/* To whoever may store next; what another one began to write goes. */
void ngx_completion_record_lend(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, uint64_t lease);

/* It is leased, and counts among those who are to take a start. */
void ngx_completion_record_call(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);

/* Gives it a new version; NGX_OK: somebody is to be woken, NGX_DONE: nobody. */
ngx_int_t ngx_completion_record_changed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);

/* The same of what nobody need wait for any more. */
ngx_int_t ngx_completion_record_answered(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);

/* Whoever waits for what this is the hash of is to look. */
void ngx_completion_zone_note(ngx_completion_zone_t *zone, uint32_t hash);


/* chunks.c */

/* How many a text takes. */
#define ngx_completion_chunks(len)                                            \
    (((len) + NGX_COMPLETION_CHUNK_DATA - 1) / NGX_COMPLETION_CHUNK_DATA)

/* The first of a list, by itself; there is one. */
void *ngx_completion_chunks_pop(ngx_completion_chunk_sh_t **chunks);

/* Into a list that is long enough; returns its last one written. */
ngx_completion_chunk_sh_t *ngx_completion_chunks_write(
    ngx_completion_chunk_sh_t *chunk, u_char *p, size_t size);

/* Returns the chunk behind those that were copied. */
ngx_completion_chunk_sh_t *ngx_completion_chunks_read(
    ngx_completion_chunk_sh_t *chunk, u_char *p, size_t size);

/* Of a long list the rest is waste, which goes bit by bit. */
void ngx_completion_chunks_free(ngx_completion_zone_t *zone,
    ngx_completion_chunk_sh_t **chunks);

/* Some of the waste: NGX_OK, or NGX_DONE, there is none. */
ngx_int_t ngx_completion_chunks_collect(ngx_completion_zone_t *zone);

void ngx_completion_chunks_wipe(ngx_completion_zone_t *zone,
    ngx_completion_chunk_sh_t **chunks);


#endif /* _NGX_COMPLETION_ZONE_SH_H_INCLUDED_ */
