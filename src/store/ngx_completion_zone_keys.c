
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* how long those who joined a submit may take to learn of its end */
#define NGX_COMPLETION_KEY_NEWS   10

#define NGX_COMPLETION_KEY_SWEEP  2


static ngx_completion_key_sh_t *ngx_completion_key_find(
    ngx_completion_zone_t *zone, ngx_completion_key_t *key, uint64_t lease);
static ngx_completion_key_sh_t *ngx_completion_key_match(
    ngx_completion_zone_t *zone, ngx_completion_key_t *key, uint64_t lease);
static ngx_completion_key_sh_t **ngx_completion_key_bucket(
    ngx_completion_zone_t *zone, u_char *name);
static void ngx_completion_key_init(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *k, ngx_completion_key_t *key, ngx_uint_t flags);
static ngx_completion_follower_sh_t *ngx_completion_follower_create(
    ngx_completion_zone_t *zone, ngx_completion_keys_t *keys);
static ngx_completion_follower_sh_t *ngx_completion_follower_of(
    ngx_completion_zone_t *zone, uint32_t owner);
static void ngx_completion_key_join(ngx_completion_key_sh_t *key,
    ngx_completion_submit_sh_t *submit);
static void ngx_completion_key_delete(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key);
static ngx_completion_submit_sh_t *ngx_completion_key_submit(
    ngx_completion_zone_t *zone, ngx_completion_key_sh_t *key);
static ngx_uint_t ngx_completion_key_awaited(ngx_completion_key_sh_t *key);
static void ngx_completion_key_accept(ngx_completion_key_sh_t *key,
    ngx_completion_id_t *id);
static void ngx_completion_key_tell(ngx_completion_key_sh_t *key,
    ngx_completion_found_t *found);
static ngx_uint_t ngx_completion_key_fresh(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, time_t ttl);
static void ngx_completion_keys_look_cached(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_found_t *found,
    uint64_t lease);


void
ngx_completion_keys_look(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_found_t *found)
{
    uint64_t                  lease;
    ngx_completion_key_sh_t  *key;

    lease = found->lease;

    ngx_memzero(found, sizeof(ngx_completion_found_t));

    key = ngx_completion_key_find(zone, &keys->idempotency, lease);

    if (key && key->state == NGX_COMPLETION_KEY_UNDERWAY
        && ngx_completion_key_submit(zone, key) == NULL)
    {
        key = ngx_completion_key_find(zone, &keys->idempotency, lease);
    }

    if (key) {
        if (ngx_memcmp(key->request, keys->idempotency.request,
                       NGX_COMPLETION_KEY_DIGEST)
            != 0)
        {
            found->state = NGX_COMPLETION_KEY_MISMATCH;
            return;
        }

        ngx_completion_key_tell(key, found);
        found->replayed = 1;
        return;
    }

    ngx_completion_keys_look_cached(zone, keys, found, lease);
}


static void
ngx_completion_keys_look_cached(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_found_t *found,
    uint64_t lease)
{
    ngx_queue_t                   *q;
    ngx_completion_key_sh_t       *cached, *key;
    ngx_completion_submit_sh_t    *submit;
    ngx_completion_follower_sh_t  *follower;

    cached = ngx_completion_key_find(zone, &keys->cache, lease);
    submit = NULL;

    if (cached && cached->state == NGX_COMPLETION_KEY_UNDERWAY) {
        submit = ngx_completion_key_submit(zone, cached);

        if (submit == NULL) {
            cached = ngx_completion_key_find(zone, &keys->cache, lease);
        }
    }

    if (cached == NULL) {
        return;
    }

    /* who has joined it shares it, however soon and however it ended */

    if (lease == 0
        && !ngx_completion_key_fresh(zone, cached, keys->cache.ttl))
    {
        if (ngx_completion_key_awaited(cached)) {
            cached->expires = ngx_min(cached->expires,
                                      ngx_time() + NGX_COMPLETION_KEY_NEWS);

        } else {
            ngx_completion_key_delete(zone, cached);
        }

        return;
    }

    q = &((ngx_completion_cached_sh_t *) cached)->queue;

    ngx_queue_remove(q);
    ngx_queue_insert_tail(&zone->sh->cached, q);

    ngx_completion_key_tell(cached, found);

    /* who has joined it had its key follow then, if there was room */

    if (keys->idempotency.ttl == 0
        || cached->state == NGX_COMPLETION_KEY_REFUSED
        || (lease && cached->lease == (uint32_t) lease))
    {
        return;
    }

    follower = ngx_completion_follower_create(zone, keys);

    if (follower) {
        key = &follower->key;

        key->state = cached->state;
        key->submitted = cached->submitted;
        key->u = cached->u;
        key->lease = cached->lease;
        key->len = cached->len;
        key->flags |= cached->flags & NGX_COMPLETION_KEY_SHARED;

        if (submit) {
            key->flags |= NGX_COMPLETION_KEY_JOINED;
            ngx_completion_key_join(key, submit);
        }
    }
}


void
ngx_completion_keys_link(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_submit_sh_t *submit,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_uint_t                   i, flags;
    ngx_completion_key_t        *asked[2];
    ngx_completion_key_sh_t     *key;
    ngx_completion_cached_sh_t  *entry;

    asked[0] = &keys->idempotency;
    asked[1] = &keys->cache;
    flags = keys->shared ? NGX_COMPLETION_KEY_SHARED : 0;

    for (i = 0; i < 2; i++) {

        if (asked[i]->ttl == 0) {
            continue;
        }

        key = ngx_completion_chunks_pop(chunks);
        ngx_completion_key_init(zone, key, asked[i],
                                i ? flags|NGX_COMPLETION_KEY_CACHE : flags);

        if (i) {

            /* the end of its operation is not known yet */

            key->expires = ngx_time() + NGX_COMPLETION_ID_LIFETIME;

            entry = (ngx_completion_cached_sh_t *) key;
            ngx_queue_insert_tail(&zone->sh->cached, &entry->queue);
        }

        key->state = NGX_COMPLETION_KEY_UNDERWAY;
        key->u.lease = submit->lease;
        key->lease = (uint32_t) submit->lease;
        ngx_completion_key_join(key, submit);
    }
}


void
ngx_completion_keys_settle(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit, ngx_completion_found_t *end)
{
    ngx_completion_key_sh_t  *key, *next;

    for (key = submit->keys; key; key = next) {
        next = key->sibling;
        key->sibling = NULL;
        key->link = NULL;

        ngx_completion_zone_note(zone, ngx_completion_key_hash(key->name));

        if (end->state == NGX_COMPLETION_KEY_NONE) {
            ngx_completion_key_delete(zone, key);
            continue;
        }

        /* it may have taken longer than the key was to live */

        if (key->flags & NGX_COMPLETION_KEY_JOINED) {
            key->expires = ngx_max(key->expires,
                                   ngx_time() + NGX_COMPLETION_KEY_NEWS);
        }

        if (end->state == NGX_COMPLETION_KEY_ACCEPTED) {
            ngx_completion_key_accept(key, &end->id);
            continue;
        }

        key->state = end->state;
        key->outcome = end->outcome;
        key->submitted = end->retry_after;

        /* an equal request of somebody else may be paid for anew */

        if (key->flags & NGX_COMPLETION_KEY_CACHE) {
            key->state = NGX_COMPLETION_KEY_REFUSED;
        }

        if (key->state != NGX_COMPLETION_KEY_REFUSED) {
            continue;
        }

        if (key->flags & NGX_COMPLETION_KEY_JOINED) {
            key->expires = ngx_time() + NGX_COMPLETION_KEY_NEWS;

        } else {
            ngx_completion_key_delete(zone, key);
        }
    }

    submit->keys = NULL;
}


/* what it may have sent is never sent again */

void
ngx_completion_keys_orphaned(ngx_completion_zone_t *zone,
    ngx_completion_submit_sh_t *submit)
{
    ngx_completion_found_t  end;

    ngx_memzero(&end, sizeof(ngx_completion_found_t));

    if (submit->sent) {
        end.state = NGX_COMPLETION_KEY_UNKNOWN;
        end.outcome = zone->unknown;
    }

    ngx_completion_keys_settle(zone, submit, &end);
    ngx_completion_line_drop(zone, submit);
}


void
ngx_completion_keys_sweep(ngx_completion_zone_t *zone)
{
    ngx_uint_t                n;
    ngx_completion_key_sh_t  *key, *next;

    for (n = 0; n < NGX_COMPLETION_KEY_SWEEP; n++) {

        key = zone->sh->keys[zone->sh->sweep++ & zone->sh->mask];

        for ( /* void */ ; key; key = next) {
            next = key->next;

            if (key->state != NGX_COMPLETION_KEY_UNDERWAY
                && (time_t) key->expires <= ngx_time())
            {
                ngx_completion_key_delete(zone, key);
            }
        }
    }
}


ngx_int_t
ngx_completion_keys_evict(ngx_completion_zone_t *zone)
{
    ngx_queue_t                 *q, *cached;
    ngx_completion_cached_sh_t  *entry;

    cached = &zone->sh->cached;

    for (q = ngx_queue_head(cached); q != cached; q = ngx_queue_next(q)) {
        entry = ngx_queue_data(q, ngx_completion_cached_sh_t, queue);

        if (!ngx_completion_key_awaited(&entry->key)) {
            ngx_completion_key_delete(zone, &entry->key);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * Whoever joined by one learns its fate from the entry of the cache, which is
 * not evicted while it is awaited.
 */

ngx_int_t
ngx_completion_keys_evict_follower(ngx_completion_zone_t *zone,
    uint32_t *owner)
{
    ngx_queue_t                   *followers;
    ngx_completion_follower_sh_t  *follower;

    followers = &zone->sh->followers;

    if (ngx_queue_empty(followers)) {
        return NGX_DECLINED;
    }

    follower = owner ? ngx_completion_follower_of(zone, *owner) : NULL;

    if (follower == NULL) {
        follower = ngx_queue_data(ngx_queue_head(followers),
                                  ngx_completion_follower_sh_t, queue);
    }

    ngx_completion_key_delete(zone, &follower->key);
    ngx_completion_metrics_add(
                     &zone->metrics->evictions[NGX_COMPLETION_METRICS_CACHED],
                     1);

    return NGX_OK;
}


/* the oldest of an owner */

static ngx_completion_follower_sh_t *
ngx_completion_follower_of(ngx_completion_zone_t *zone, uint32_t owner)
{
    ngx_rbtree_node_t  *node, *found, *sentinel;

    node = zone->sh->owners.root;
    sentinel = zone->sh->owners.sentinel;
    found = NULL;

    /* equals stand to the right of each other, in the order of insertion */

    while (node != sentinel) {

        if (node->key == owner) {
            found = node;
        }

        node = (node->key < owner) ? node->right : node->left;
    }

    if (found == NULL) {
        return NULL;
    }

    return (ngx_completion_follower_sh_t *)
               ((u_char *) found
                - offsetof(ngx_completion_follower_sh_t, node));
}


/* whether those who joined could pay once more, were it to go now */

static ngx_uint_t
ngx_completion_key_awaited(ngx_completion_key_sh_t *key)
{
    switch (key->state) {

    case NGX_COMPLETION_KEY_UNDERWAY:
        return 1;

    case NGX_COMPLETION_KEY_REFUSED:
        return (time_t) key->expires > ngx_time();

    default: /* NGX_COMPLETION_KEY_ACCEPTED */
        return (key->flags & NGX_COMPLETION_KEY_JOINED)
               && ngx_time() - (time_t) key->submitted
                  <= NGX_COMPLETION_KEY_NEWS;
    }
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

        if (found == NULL
            || found->state == NGX_COMPLETION_KEY_UNDERWAY
            || (time_t) found->expires > ngx_time())
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

        if (found == NULL && k->state != NGX_COMPLETION_KEY_REFUSED) {
            found = k;
        }
    }

    return found;
}


static ngx_completion_key_sh_t **
ngx_completion_key_bucket(ngx_completion_zone_t *zone, u_char *name)
{
    return &zone->sh->keys[ngx_completion_key_hash(name) & zone->sh->mask];
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
ngx_completion_key_init(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *k, ngx_completion_key_t *key, ngx_uint_t flags)
{
    ngx_completion_key_sh_t  **bucket;

    ngx_memcpy(k->name, key->name, NGX_COMPLETION_KEY_DIGEST);
    ngx_memcpy(k->request, key->request, NGX_COMPLETION_KEY_DIGEST);

    k->expires = ngx_time() + key->ttl;
    k->flags = flags;

    bucket = ngx_completion_key_bucket(zone, k->name);
    k->next = *bucket;
    *bucket = k;

    zone->sh->nkeys[flags & NGX_COMPLETION_KEY_CACHE]++;
}


/* NULL: there is no room that it may take */

static ngx_completion_follower_sh_t *
ngx_completion_follower_create(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys)
{
    ngx_completion_zone_sh_t      *sh;
    ngx_completion_follower_sh_t  *follower;

    sh = zone->sh;
    follower = NULL;

    if (sh->nfollowers < ngx_completion_followers_max(sh)) {
        follower = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);
    }

    if (follower == NULL
        && ngx_completion_keys_evict_follower(zone, &keys->owner) == NGX_OK)
    {
        follower = ngx_slab_calloc_locked(zone->shpool, NGX_COMPLETION_CHUNK);
    }

    if (follower == NULL) {
        return NULL;
    }

    ngx_completion_key_init(zone, &follower->key, &keys->idempotency,
                            NGX_COMPLETION_KEY_FOLLOWER);

    ngx_queue_insert_tail(&sh->followers, &follower->queue);

    follower->node.key = keys->owner;
    ngx_rbtree_insert(&sh->owners, &follower->node);

    sh->nfollowers++;

    return follower;
}


static void
ngx_completion_key_join(ngx_completion_key_sh_t *key,
    ngx_completion_submit_sh_t *submit)
{
    ngx_completion_key_sh_t  **keys;

    keys = &submit->keys;

    key->sibling = *keys;
    key->link = keys;

    if (*keys) {
        (*keys)->link = &key->sibling;
    }

    *keys = key;
}


static void
ngx_completion_key_delete(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_key_sh_t       **p;
    ngx_completion_follower_sh_t   *follower;

    for (p = ngx_completion_key_bucket(zone, key->name);
         *p != key;
         p = &(*p)->next)
    {
        /* void */
    }

    *p = key->next;

    zone->sh->nkeys[key->flags & NGX_COMPLETION_KEY_CACHE]--;

    if (key->flags & NGX_COMPLETION_KEY_CACHE) {
        ngx_queue_remove(&((ngx_completion_cached_sh_t *) key)->queue);
    }

    if (key->flags & NGX_COMPLETION_KEY_FOLLOWER) {
        follower = (ngx_completion_follower_sh_t *) key;

        ngx_queue_remove(&follower->queue);
        ngx_rbtree_delete(&zone->sh->owners, &follower->node);
        zone->sh->nfollowers--;
    }

    if (key->link) {
        *key->link = key->sibling;

        if (key->sibling) {
            key->sibling->link = key->link;
        }
    }

    ngx_slab_free_locked(zone->shpool, key);
}


/* NULL: its sender is gone, and the key has been told */

static ngx_completion_submit_sh_t *
ngx_completion_key_submit(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_submit_sh_t  *submit;

    submit = ngx_completion_line_find(zone, key->u.lease);

    if (submit && ngx_completion_line_leased(submit)) {
        return submit;
    }

    if (submit) {
        ngx_completion_keys_orphaned(zone, submit);
    }

    return NULL;
}


static void
ngx_completion_key_accept(ngx_completion_key_sh_t *key,
    ngx_completion_id_t *id)
{
    key->state = NGX_COMPLETION_KEY_ACCEPTED;
    key->submitted = id->submitted;
    key->len = id->upstream.len;
    ngx_memcpy(key->u.id, id->upstream.data, key->len);
}


static void
ngx_completion_key_tell(ngx_completion_key_sh_t *key,
    ngx_completion_found_t *found)
{
    found->state = key->state;

    switch (key->state) {

    case NGX_COMPLETION_KEY_ACCEPTED:
        ngx_memcpy(found->buf, key->u.id, key->len);

        found->id.upstream.data = found->buf;
        found->id.upstream.len = key->len;
        found->id.submitted = key->submitted;
        found->id.shared = (key->flags & NGX_COMPLETION_KEY_SHARED) ? 1 : 0;
        break;

    case NGX_COMPLETION_KEY_REFUSED:
    case NGX_COMPLETION_KEY_UNKNOWN:
        found->outcome = key->outcome;
        found->retry_after = key->submitted;
        break;

    default: /* NGX_COMPLETION_KEY_UNDERWAY */
        found->lease = key->u.lease;
        key->flags |= NGX_COMPLETION_KEY_JOINED;
        break;
    }
}


/* whether an equal request may still share the operation */

static ngx_uint_t
ngx_completion_key_fresh(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key, time_t ttl)
{
    ngx_str_t                    id;
    ngx_completion_record_sh_t  *record;

    if (key->state != NGX_COMPLETION_KEY_ACCEPTED) {
        return 1;
    }

    id.data = key->u.id;
    id.len = key->len;

    record = ngx_completion_record_find(zone, &id,
                                        ngx_completion_zone_hash(&id));

    if (record == NULL) {

        /* how it ended is not known any more */

        return 0;
    }

    switch (record->state) {

    case NGX_COMPLETION_RECORD_FINAL:
        return record->verdict == zone->reusable
               && ngx_time() - (time_t) record->finished <= ttl;

    case NGX_COMPLETION_RECORD_MISSING:
        return 0;

    default:
        return 1;
    }
}
