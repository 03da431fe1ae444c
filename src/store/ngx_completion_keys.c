
/*
 * What makes the same request cost once: records that lead from the digest of
 * an idempotency key, or of a whole request, to the submit on its way or to
 * the operation that came of it.  Digests only; the keys of clients are not
 * kept.
 *
 * A record takes as much as an operation's, so that either can make room for
 * the other.  One of an idempotency key with a submit of its own is never
 * evicted while it lives; one of the cache goes when room is needed.
 *
 * A request whose client may give up and ask again holds a key of its own, as
 * if of the cache: when it ends undelivered that is an orphan, which one equal
 * request takes over.  So is one whose outcome is not known, until somebody
 * has been told: it may have been paid for.  Of parts it is not: whoever asks
 * for all of them once more asks for that one.
 *
 * An idempotency key that came to what another request pays for, by the
 * cache, is a follower: it costs nothing, so it displaces nothing.  Followers
 * take room that nothing else has taken, a quarter of the zone at most, and
 * are the first to go; for a new one only other followers go, its owner's
 * oldest before anybody else's.  So are those of a submit that was refused,
 * for as long as others who joined may not have heard of it: nobody paid, and
 * who does not hear of it may as well ask anew.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* how long those who joined a submit may take to learn of its end, ms */
#define NGX_COMPLETION_KEY_NEWS   10000

#define NGX_COMPLETION_KEY_SWEEP  2


static void ngx_completion_keys_orphan(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found);
static void ngx_completion_keys_bereave(ngx_completion_zone_t *zone,
    ngx_completion_key_t *name);
static ngx_uint_t ngx_completion_key_bereaved(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key);
static ngx_uint_t ngx_completion_orphan_lives(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, time_t ttl);
static ngx_completion_key_sh_t *ngx_completion_key_find(
    ngx_completion_zone_t *zone, ngx_completion_key_t *key, uint64_t lease);
static ngx_completion_key_sh_t *ngx_completion_key_match(
    ngx_completion_zone_t *zone, ngx_completion_key_t *key, uint64_t lease);
static void ngx_completion_key_add(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *k, ngx_completion_key_t *key, ngx_uint_t flags,
    ngx_completion_submit_sh_t *submit);
static void ngx_completion_key_follows(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, uint32_t owner);
static void ngx_completion_key_reconsider(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, ngx_completion_keys_t *keys);
static void ngx_completion_key_unlink(ngx_completion_key_sh_t *key);
static void ngx_completion_key_lead(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, ngx_completion_id_t *id);
static ngx_completion_key_sh_t *ngx_completion_key_doubted(
    ngx_completion_zone_t *zone, ngx_completion_key_t *name, uint64_t lease);
static ngx_uint_t ngx_completion_key_refused(ngx_completion_key_sh_t *key);
static ngx_uint_t ngx_completion_key_forgotten(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key);
static void ngx_completion_key_tell(ngx_completion_key_sh_t *key,
    ngx_completion_found_t *found);
static ngx_uint_t ngx_completion_key_fresh(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, time_t ttl);


#define ngx_completion_key_expired(key)                                       \
    ((key)->state != NGX_COMPLETION_KEY_UNDERWAY                              \
     && ngx_completion_left((key)->expires) <= 0)

/* the end of its operation is not known yet */
#define ngx_completion_key_pends(key)                                         \
    ((key)->outcome == NGX_COMPLETION_OK                                      \
     && (key)->verdict == NGX_COMPLETION_PENDING)

#define ngx_completion_key_bucket(zone, name)                                 \
    (&(zone)->sh->keys[ngx_completion_key_hash(name) & (zone)->sh->mask])


ngx_completion_key_sh_t *
ngx_completion_keys_look(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found)
{
    ngx_queue_t              *cached;
    ngx_completion_key_sh_t  *key;

    ngx_memzero(found, sizeof(ngx_completion_found_t));

    key = ngx_completion_key_find(zone, &keys->idempotency, joined);

    if (key) {
        if (ngx_memcmp(key->request, keys->idempotency.request,
                       NGX_COMPLETION_KEY_DIGEST)
            == 0)
        {
            ngx_completion_key_reconsider(zone, key, keys);
            ngx_completion_key_tell(key, found);
            found->replayed = 1;

        } else {
            found->state = NGX_COMPLETION_KEY_ENDED;
            found->outcome = NGX_COMPLETION_IDEMPOTENCY_MISMATCH;
        }

        return NULL;
    }

    key = ngx_completion_key_find(zone, &keys->cache, joined);

    if (key == NULL) {
        ngx_completion_keys_orphan(zone, keys, joined, found);
        return NULL;
    }

    /* who has joined it shares it, however soon and however it ended */

    if (joined == 0 && !ngx_completion_key_fresh(zone, key, keys->cache.ttl)) {

        if (!ngx_completion_key_awaited(key)) {
            ngx_completion_key_delete(zone, key);

        } else if (ngx_completion_left(key->expires)
                   > NGX_COMPLETION_KEY_NEWS)
        {
            key->expires = ngx_current_msec + NGX_COMPLETION_KEY_NEWS;
        }

        return NULL;
    }

    if (!(key->flags & NGX_COMPLETION_KEY_FOLLOWER)) {
        cached = &zone->sh->lists[NGX_COMPLETION_METRICS_CACHED];

        ngx_queue_remove(&key->queue);
        ngx_queue_insert_tail(cached, &key->queue);
    }

    ngx_completion_key_tell(key, found);

    /* who has joined it had its key follow then, if there was room */

    if (keys->idempotency.ttl == 0
        || ngx_completion_key_refused(key)
        || (joined && key->lease == (uint32_t) joined))
    {
        return NULL;
    }

    return key;
}


/*
 * The oldest one whose answer nobody got is this request's from now on; or, if
 * it repeats one, that of another which still waits is for both.
 */

static void
ngx_completion_keys_orphan(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t joined,
    ngx_completion_found_t *found)
{
    ngx_completion_key_sh_t  *k, *key, *held;

    if (keys->orphan.ttl == 0) {
        return;
    }

    key = NULL;
    held = NULL;

    ngx_completion_keys_bereave(zone, &keys->orphan);

    /* the oldest stands last */

    for (k = *ngx_completion_key_bucket(zone, keys->orphan.name);
         k;
         k = k->next)
    {
        if (ngx_memcmp(k->name, keys->orphan.name, NGX_COMPLETION_KEY_DIGEST)
            != 0)
        {
            continue;
        }

        if (joined) {
            key = (k->lease == (uint32_t) joined) ? k : key;

        } else if (!ngx_completion_orphan_lives(zone, k, keys->orphan.ttl)) {
            continue;

        } else if (k->holders == 0) {
            key = k;

        } else if (keys->repeated) {
            held = k;
        }
    }

    key = key ? key : held;

    if (key == NULL) {
        return;
    }

    key->holders += (joined == 0);

    ngx_completion_key_tell(key, found);

    found->held = key->lease;
    found->pending = (key->state == NGX_COMPLETION_KEY_UNDERWAY
                      || ngx_completion_key_pends(key));
}


/* those of the name whose senders have died have ended */

static void
ngx_completion_keys_bereave(ngx_completion_zone_t *zone,
    ngx_completion_key_t *name)
{
    ngx_completion_key_sh_t  *key;

    key = *ngx_completion_key_bucket(zone, name->name);

    while (key) {

        if (ngx_memcmp(key->name, name->name, NGX_COMPLETION_KEY_DIGEST) == 0
            && ngx_completion_key_bereaved(zone, key))
        {
            key = *ngx_completion_key_bucket(zone, name->name);

        } else {
            key = key->next;
        }
    }
}


/* whether its sender has died: it has ended then, or is gone */

static ngx_uint_t
ngx_completion_key_bereaved(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_submit_sh_t  *submit;

    if (key->state != NGX_COMPLETION_KEY_UNDERWAY) {
        return 0;
    }

    submit = ngx_completion_line_find(zone, key->u.lease);

    if (submit == NULL || ngx_completion_line_leased(submit)) {
        return 0;
    }

    ngx_completion_keys_orphaned(zone, submit);

    return 1;
}


static ngx_uint_t
ngx_completion_orphan_lives(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, time_t ttl)
{
    if (key->state == NGX_COMPLETION_KEY_UNDERWAY) {
        return 1;
    }

    if (ngx_completion_key_refused(key)
        || ngx_completion_left(key->expires) <= 0
        || ngx_completion_key_forgotten(zone, key))
    {
        return 0;
    }

    return ngx_completion_key_pends(key)
           || ngx_completion_since(key->ended)
           <= (ngx_msec_int_t) ngx_completion_ms(ttl);
}


void
ngx_completion_zone_unhold(ngx_completion_zone_t *zone,
    ngx_completion_hold_t *hold, ngx_uint_t delivered)
{
    ngx_completion_key_sh_t  *key;

    ngx_completion_zone_lock(zone);

    key = *ngx_completion_key_bucket(zone, hold->name);

    while (key && (key->lease != hold->lease
                   || ngx_memcmp(key->name, hold->name,
                                 NGX_COMPLETION_KEY_DIGEST)
                      != 0))
    {
        key = key->next;
    }

    if (key) {
        key->holders -= (key->holders != 0);
        key->flags |= delivered ? NGX_COMPLETION_KEY_DELIVERED : 0;

        /* the last one: whoever shares it may not have heard of its end yet */

        if (key->holders == 0 && key->state == NGX_COMPLETION_KEY_ENDED
            && (key->flags & NGX_COMPLETION_KEY_DELIVERED
                || ngx_completion_key_refused(key)))
        {
            ngx_completion_key_delete(zone, key);
        }
    }

    ngx_completion_zone_unlock(zone);
}


void
ngx_completion_keys_follow(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_key_sh_t *cached, void *chunk)
{
    ngx_uint_t                   flags;
    ngx_completion_key_sh_t     *key;
    ngx_completion_submit_sh_t  *submit;

    flags = cached->flags & NGX_COMPLETION_KEY_SHARED;
    submit = NULL;

    if (cached->state == NGX_COMPLETION_KEY_UNDERWAY) {
        flags |= NGX_COMPLETION_KEY_JOINED;
        submit = ngx_completion_line_find(zone, cached->u.lease);
    }

    key = chunk;

    *key = *cached;
    ngx_completion_key_add(zone, key, &keys->idempotency, flags, submit);
    ngx_completion_key_follows(zone, key, keys->owner);
}


/* it is one of those that anything else may displace */

static void
ngx_completion_key_follows(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, uint32_t owner)
{
    key->flags |= NGX_COMPLETION_KEY_FOLLOWER;

    ngx_queue_remove(&key->queue);
    ngx_queue_insert_tail(&zone->sh->followers, &key->queue);

    key->node.key = owner;
    ngx_rbtree_insert(&zone->sh->owners, &key->node);

    zone->sh->nfollowers++;
}


void
ngx_completion_keys_link(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_submit_sh_t *submit,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_uint_t                i, flags, kinds[3];
    ngx_completion_key_t     *asked[3];
    ngx_completion_key_sh_t  *key;

    kinds[0] = 0;
    kinds[1] = NGX_COMPLETION_KEY_CACHE;
    kinds[2] = NGX_COMPLETION_KEY_CACHE|NGX_COMPLETION_KEY_ORPHAN;

    if (keys->doubted) {
        kinds[2] |= NGX_COMPLETION_KEY_DOUBTED;
    }

    asked[0] = &keys->idempotency;
    asked[1] = &keys->cache;
    asked[2] = &keys->orphan;
    flags = keys->shared ? NGX_COMPLETION_KEY_SHARED : 0;

    for (i = 0; i < 3; i++) {

        if (asked[i]->ttl == 0) {
            continue;
        }

        key = ngx_completion_chunks_pop(chunks);

        key->state = NGX_COMPLETION_KEY_UNDERWAY;
        key->u.lease = submit->lease;
        key->lease = (uint32_t) submit->lease;

        ngx_completion_key_add(zone, key, asked[i], flags|kinds[i], submit);

        if (i) {

            /* the end of its operation is not known yet */

            key->expires = ngx_current_msec
                           + ngx_completion_ms(zone->lifetime);
            key->holders = (asked[i] == &keys->orphan);
        }
    }
}


void
ngx_completion_keys_settle(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_completion_found_t *end)
{
    ngx_msec_t                news;
    ngx_uint_t                joined;
    ngx_completion_key_sh_t  *key;

    news = ngx_current_msec + NGX_COMPLETION_KEY_NEWS;

    while ((key = submit->keys) != NULL) {
        ngx_completion_key_unlink(key);
        ngx_completion_zone_note(zone, ngx_completion_key_hash(key->name));

        key->state = end->state;
        key->outcome = end->outcome;
        key->known = ngx_current_msec;
        joined = key->flags & NGX_COMPLETION_KEY_JOINED;

        if (end->outcome == NGX_COMPLETION_OK
            && end->state != NGX_COMPLETION_KEY_NONE)
        {
            ngx_completion_key_lead(zone, key, &end->id);

        } else {
            key->submitted = end->retry_after;
            key->ended = ngx_current_msec;
        }

        if (end->state == NGX_COMPLETION_KEY_NONE
            || (ngx_completion_key_refused(key) && !joined))
        {
            ngx_completion_key_delete(zone, key);

        } else if (ngx_completion_key_refused(key)) {
            key->expires = news;

            if (key->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN
                && !(key->flags & NGX_COMPLETION_KEY_FOLLOWER))
            {
                ngx_completion_key_follows(zone, key, 0);
            }

        } else if (joined) {

            /* it may have taken longer than the key was to live */

            key->expires = ngx_completion_later(key->expires, news);
        }
    }
}


void
ngx_completion_keys_late(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, uint64_t lease, ngx_completion_found_t *end,
    void *chunk)
{
    ngx_completion_key_sh_t  *key, *cached, *orphan;

    key = ngx_completion_key_doubted(zone, &keys->idempotency, lease);
    cached = ngx_completion_key_doubted(zone, &keys->cache, lease);
    orphan = ngx_completion_key_doubted(zone, &keys->orphan, lease);

    if (end->outcome != NGX_COMPLETION_OK) {

        /* it was not accepted: whoever comes next may send it */

        if (key) {
            ngx_completion_key_delete(zone, key);
        }

        if (cached) {
            ngx_completion_key_delete(zone, cached);
        }

        if (orphan) {
            ngx_completion_key_delete(zone, orphan);
        }

        return;
    }

    if (key) {
        ngx_completion_key_lead(zone, key, &end->id);
    }

    if (orphan) {
        ngx_completion_key_lead(zone, orphan, &end->id);
    }

    if (cached == NULL && chunk
        && ngx_completion_key_match(zone, &keys->cache, 0) == NULL)
    {
        cached = chunk;
        chunk = NULL;

        cached->lease = (uint32_t) lease;
        ngx_completion_key_add(zone, cached, &keys->cache,
                               keys->shared ? NGX_COMPLETION_KEY_CACHE
                                              |NGX_COMPLETION_KEY_SHARED
                                            : NGX_COMPLETION_KEY_CACHE,
                               NULL);
    }

    if (cached) {
        cached->expires = ngx_current_msec + ngx_completion_ms(zone->lifetime);
        ngx_completion_key_lead(zone, cached, &end->id);
    }

    if (chunk) {
        ngx_slab_free_locked(zone->shpool, chunk);
    }
}


void
ngx_completion_keys_forget(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys)
{
    ngx_completion_key_sh_t  *key;

    key = ngx_completion_key_match(zone, &keys->idempotency, 0);

    if (key && key->state == NGX_COMPLETION_KEY_ENDED
        && key->outcome == NGX_COMPLETION_OK)
    {
        ngx_completion_key_delete(zone, key);
    }
}


/* that of a submit whose sender was thought to be dead */

static ngx_completion_key_sh_t *
ngx_completion_key_doubted(ngx_completion_zone_t *zone,
    ngx_completion_key_t *name, uint64_t lease)
{
    ngx_completion_key_sh_t  *key;

    key = name->ttl ? ngx_completion_key_match(zone, name, lease) : NULL;

    return (key && key->lease == (uint32_t) lease
            && key->state == NGX_COMPLETION_KEY_ENDED
            && key->outcome == NGX_COMPLETION_OUTCOME_UNKNOWN)
               ? key : NULL;
}


/* of a follower, whose sender does not know its name */

static void
ngx_completion_key_reconsider(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, ngx_completion_keys_t *keys)
{
    ngx_completion_found_t    found;
    ngx_completion_key_sh_t  *cached;

    if (!(key->flags & NGX_COMPLETION_KEY_FOLLOWER)
        || key->state != NGX_COMPLETION_KEY_ENDED
        || key->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN
        || keys->cache.ttl == 0)
    {
        return;
    }

    cached = ngx_completion_key_match(zone, &keys->cache, key->lease);

    if (cached && cached->lease == key->lease
        && cached->state == NGX_COMPLETION_KEY_ENDED
        && cached->outcome == NGX_COMPLETION_OK)
    {
        ngx_completion_key_tell(cached, &found);
        ngx_completion_key_lead(zone, key, &found.id);
    }
}


static void
ngx_completion_key_lead(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, ngx_completion_id_t *id)
{
    key->state = NGX_COMPLETION_KEY_ENDED;
    key->outcome = NGX_COMPLETION_OK;
    key->known = ngx_current_msec;
    key->submitted = id->submitted;
    key->len = id->upstream.len;
    ngx_memcpy(key->u.id, id->upstream.data, key->len);

    if (key->flags & NGX_COMPLETION_KEY_CACHE) {
        key->flags &= ~NGX_COMPLETION_KEY_TOLD;
        key->flags |= NGX_COMPLETION_KEY_LED;
        key->verdict = NGX_COMPLETION_PENDING;
        key->node.key = ngx_completion_zone_hash(&id->upstream);
        ngx_rbtree_insert(&zone->sh->led, &key->node);
    }
}


void
ngx_completion_keys_ended(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict)
{
    ngx_rbtree_t             *led;
    ngx_rbtree_node_t        *node;
    ngx_completion_key_sh_t  *key;

    led = &zone->sh->led;

    for (node = ngx_completion_keys_first(led, record->hash);
         node && node->key == record->hash;
         node = ngx_rbtree_next(led, node))
    {
        key = ngx_rbtree_data(node, ngx_completion_key_sh_t, node);

        if (key->len != record->len
            || ngx_memcmp(key->u.id, record->id, key->len) != 0)
        {
            continue;
        }

        /* a result that was fetched again is as old as it was */

        if (key->verdict == NGX_COMPLETION_PENDING) {
            key->ended = ngx_current_msec;
        }

        key->verdict = verdict;
    }
}


/* equals stand to the right of each other, in the order of insertion */

ngx_rbtree_node_t *
ngx_completion_keys_first(ngx_rbtree_t *tree, ngx_rbtree_key_t key)
{
    ngx_rbtree_node_t  *node, *first;

    node = tree->root;
    first = NULL;

    while (node != tree->sentinel) {

        if (node->key == key) {
            first = node;
        }

        node = (node->key < key) ? node->right : node->left;
    }

    return first;
}


/* what it may have sent is never sent again */

void
ngx_completion_keys_orphaned(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    ngx_completion_found_t  end;

    ngx_memzero(&end, sizeof(ngx_completion_found_t));

    if (submit->turn == NGX_COMPLETION_TURN_SENT) {
        end.state = NGX_COMPLETION_KEY_ENDED;
        end.outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    }

    ngx_completion_keys_settle(zone, submit, &end);
    ngx_completion_line_drop(zone, submit);
}


void
ngx_completion_keys_sweep(ngx_completion_zone_t *zone)
{
    ngx_uint_t                n;
    ngx_queue_t              *kept;
    ngx_completion_key_sh_t  *key, *next;

    kept = &zone->sh->kept;

    for (n = 0; n < NGX_COMPLETION_KEY_SWEEP && !ngx_queue_empty(kept); n++) {
        key = ngx_queue_data(ngx_queue_head(kept), ngx_completion_key_sh_t,
                             queue);

        if (!ngx_completion_key_expired(key)) {
            break;
        }

        ngx_completion_key_delete(zone, key);
    }

    for (n = 0; n < NGX_COMPLETION_KEY_SWEEP; n++) {

        key = zone->sh->keys[zone->sh->sweep++ & zone->sh->mask];

        for ( /* void */ ; key; key = next) {
            next = key->next;

            if (ngx_completion_key_expired(key)) {
                ngx_completion_key_delete(zone, key);
            }
        }
    }
}


/* whether its end is for those who joined alone, and others may pay anew */

static ngx_uint_t
ngx_completion_key_refused(ngx_completion_key_sh_t *key)
{
    if (key->state != NGX_COMPLETION_KEY_ENDED
        || key->outcome == NGX_COMPLETION_OK)
    {
        return 0;
    }

    /*
     * What may have been accepted under a key is never sent again under it,
     * nor by whoever has not heard of it.
     */

    return key->outcome != NGX_COMPLETION_OUTCOME_UNKNOWN
           || (key->flags
               & (NGX_COMPLETION_KEY_CACHE|NGX_COMPLETION_KEY_DOUBTED))
              == NGX_COMPLETION_KEY_CACHE;
}


ngx_uint_t
ngx_completion_key_awaited(ngx_completion_key_sh_t *key)
{
    if (key->state == NGX_COMPLETION_KEY_UNDERWAY) {
        return 1;
    }

    if (ngx_completion_key_refused(key)) {
        return ngx_completion_left(key->expires) > 0;
    }

    return (key->flags & NGX_COMPLETION_KEY_JOINED)
           && ngx_completion_since(key->known) <= NGX_COMPLETION_KEY_NEWS;
}


/*
 * A lease is given by those who joined: what became of that submit, though
 * the name may stand for another one meanwhile.  A refusal is for them only.
 */

static ngx_completion_key_sh_t *
ngx_completion_key_find(ngx_completion_zone_t *zone,
    ngx_completion_key_t *key, uint64_t lease)
{
    ngx_completion_key_sh_t  *found;

    if (key->ttl == 0) {
        return NULL;
    }

    for ( ;; ) {
        found = ngx_completion_key_match(zone, key, lease);

        if (found == NULL) {
            return NULL;
        }

        if (ngx_completion_key_bereaved(zone, found)) {
            continue;
        }

        if (found->state == NGX_COMPLETION_KEY_UNDERWAY) {
            return found;
        }

        if (ngx_completion_left(found->expires) > 0
            && !ngx_completion_key_forgotten(zone, found))
        {
            return found;
        }

        ngx_completion_key_delete(zone, found);

        if (lease == 0) {
            return NULL;
        }

        /* too late for news of that submit: another one may have followed */

        lease = 0;
    }
}


static ngx_completion_key_sh_t *
ngx_completion_key_match(ngx_completion_zone_t *zone,
    ngx_completion_key_t *key, uint64_t lease)
{
    ngx_completion_key_sh_t  *k, *found;

    found = NULL;

    for (k = *ngx_completion_key_bucket(zone, key->name); k; k = k->next) {

        if (ngx_memcmp(k->name, key->name, NGX_COMPLETION_KEY_DIGEST) != 0) {
            continue;
        }

        if (lease && k->lease == (uint32_t) lease) {
            return k;
        }

        /* the latest stands first */

        if (found == NULL && !ngx_completion_key_refused(k)) {
            found = k;
        }
    }

    return found;
}


/* names are digests already */

uint32_t
ngx_completion_key_hash(u_char *name)
{
    uint32_t  hash;

    ngx_memcpy(&hash, name, sizeof(uint32_t));

    return hash;
}


static void
ngx_completion_key_add(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *k, ngx_completion_key_t *key, ngx_uint_t flags,
    ngx_completion_submit_sh_t *submit)
{
    ngx_queue_t               *queue;
    ngx_completion_key_sh_t  **bucket;

    queue = (flags & NGX_COMPLETION_KEY_CACHE)
                ? &zone->sh->lists[NGX_COMPLETION_METRICS_CACHED]
                : &zone->sh->kept;

    ngx_queue_insert_tail(queue, &k->queue);

    ngx_memcpy(k->name, key->name, NGX_COMPLETION_KEY_DIGEST);
    ngx_memcpy(k->request, key->request, NGX_COMPLETION_KEY_DIGEST);

    k->expires = ngx_current_msec + ngx_completion_ms(key->ttl);
    k->known = ngx_current_msec;
    k->flags = flags;

    bucket = ngx_completion_key_bucket(zone, k->name);
    k->next = *bucket;
    *bucket = k;

    zone->sh->nkeys[flags & NGX_COMPLETION_KEY_CACHE]++;

    k->sibling = NULL;
    k->link = NULL;

    if (submit) {
        k->sibling = submit->keys;
        k->link = &submit->keys;

        if (k->sibling) {
            k->sibling->link = &k->sibling;
        }

        submit->keys = k;
    }
}


void
ngx_completion_key_delete(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_key_sh_t  **p;

    p = ngx_completion_key_bucket(zone, key->name);

    while (*p != key) {
        p = &(*p)->next;
    }

    *p = key->next;

    zone->sh->nkeys[key->flags & NGX_COMPLETION_KEY_CACHE]--;

    ngx_queue_remove(&key->queue);

    if (key->flags & NGX_COMPLETION_KEY_FOLLOWER) {
        ngx_rbtree_delete(&zone->sh->owners, &key->node);
        zone->sh->nfollowers--;
    }

    if (key->flags & NGX_COMPLETION_KEY_LED) {
        ngx_rbtree_delete(&zone->sh->led, &key->node);
    }

    ngx_completion_key_unlink(key);
    ngx_slab_free_locked(zone->shpool, key);
}


/* from the others of its submit, if that is under way */

static void
ngx_completion_key_unlink(ngx_completion_key_sh_t *key)
{
    if (key->link == NULL) {
        return;
    }

    *key->link = key->sibling;

    if (key->sibling) {
        key->sibling->link = key->link;
    }

    key->link = NULL;
    key->sibling = NULL;
}


/* its operation was deleted; the mark of that outlives every key */

static ngx_uint_t
ngx_completion_key_forgotten(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_str_t  id;

    if (key->outcome != NGX_COMPLETION_OK) {
        return 0;
    }

    id.data = key->u.id;
    id.len = key->len;

    return ngx_completion_record_deleted(zone, &id);
}


static void
ngx_completion_key_tell(ngx_completion_key_sh_t *key,
    ngx_completion_found_t *found)
{
    found->state = key->state;

    if (key->state == NGX_COMPLETION_KEY_UNDERWAY) {
        found->lease = key->u.lease;
        key->flags |= NGX_COMPLETION_KEY_JOINED;
        return;
    }

    found->outcome = key->outcome;

    if (key->outcome != NGX_COMPLETION_OK) {
        found->retry_after = key->submitted;
        return;
    }

    ngx_memcpy(found->buf, key->u.id, key->len);

    found->id.upstream.data = found->buf;
    found->id.upstream.len = key->len;
    found->id.submitted = key->submitted;
    found->id.shared = (key->flags & NGX_COMPLETION_KEY_SHARED) != 0;
}


/*
 * Whether an equal request may still share the operation: by what the entry
 * knows, which costs nothing if the record has gone.  One that nobody has
 * heard the end of for so long is not asked for any more.
 */

static ngx_uint_t
ngx_completion_key_fresh(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, time_t ttl)
{
    ngx_msec_int_t  since;

    since = ngx_completion_since(key->known);

    if (key->state == NGX_COMPLETION_KEY_UNDERWAY) {
        return since < (ngx_msec_int_t) zone->deadline;
    }

    if (key->outcome != NGX_COMPLETION_OK) {
        return 1;
    }

    if (key->verdict == NGX_COMPLETION_PENDING) {
        return since < (ngx_msec_int_t) zone->deadline;
    }

    return ngx_completion_state_is_shared(key->verdict)
           && ngx_completion_since(key->ended)
           <= (ngx_msec_int_t) ngx_completion_ms(ttl);
}
