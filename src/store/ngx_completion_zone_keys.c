
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
static ngx_completion_key_sh_t *ngx_completion_key_create(
    ngx_completion_zone_t *zone, ngx_completion_key_t *key, ngx_uint_t flags);
static void ngx_completion_key_delete(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key);
static ngx_completion_record_sh_t *ngx_completion_key_submit(
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
    ngx_completion_key_sh_t     *cached, *key;
    ngx_completion_record_sh_t  *submit;

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

    if (keys->idempotency.ttl
        && cached->state != NGX_COMPLETION_KEY_REFUSED)
    {
        /* for lack of room the key is not kept, and the request paid */

        ngx_queue_remove(&((ngx_completion_cached_sh_t *) cached)->queue);

        key = ngx_completion_key_create(zone, &keys->idempotency, 0);

        ngx_queue_insert_tail(&zone->sh->cached,
                              &((ngx_completion_cached_sh_t *) cached)->queue);
        if (key == NULL) {
            return;
        }

        key->state = cached->state;
        key->submitted = cached->submitted;
        key->u = cached->u;
        key->lease = cached->lease;
        key->len = cached->len;
        key->flags |= cached->flags & NGX_COMPLETION_KEY_SHARED;

        if (submit) {
            key->sibling = submit->work.keys;
            key->flags |= NGX_COMPLETION_KEY_JOINED;
            submit->work.keys = key;
        }
    }

    ngx_completion_key_tell(cached, found);
}


/* NGX_DECLINED: no room; the caller deletes the submit, which forgets them */

ngx_int_t
ngx_completion_keys_link(ngx_completion_zone_t *zone,
    ngx_completion_keys_t *keys, ngx_completion_record_sh_t *submit)
{
    ngx_uint_t                i, flags;
    ngx_completion_key_t     *asked[2];
    ngx_completion_key_sh_t  *key;

    asked[0] = &keys->idempotency;
    asked[1] = &keys->cache;
    flags = keys->shared ? NGX_COMPLETION_KEY_SHARED : 0;

    for (i = 0; i < 2; i++) {

        if (asked[i]->ttl == 0) {
            continue;
        }

        key = ngx_completion_key_create(zone, asked[i],
                                   i ? flags|NGX_COMPLETION_KEY_CACHE : flags);
        if (key == NULL) {
            return NGX_DECLINED;
        }

        key->state = NGX_COMPLETION_KEY_UNDERWAY;
        key->u.lease = submit->lease;
        key->lease = (uint32_t) submit->lease;
        key->sibling = submit->work.keys;
        submit->work.keys = key;
    }

    return NGX_OK;
}


void
ngx_completion_keys_settle(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *submit, ngx_completion_found_t *end)
{
    ngx_completion_key_sh_t  *key, *next;

    for (key = submit->work.keys; key; key = next) {
        next = key->sibling;
        key->sibling = NULL;

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

    submit->work.keys = NULL;
}


/* the sender is gone: what it may have sent is never sent again */

void
ngx_completion_keys_orphaned(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *submit)
{
    ngx_completion_found_t  end;

    ngx_memzero(&end, sizeof(ngx_completion_found_t));

    if (submit->flags & NGX_COMPLETION_RECORD_SENT) {
        end.state = NGX_COMPLETION_KEY_UNKNOWN;
        end.outcome = zone->unknown;
    }

    ngx_completion_keys_settle(zone, submit, &end);
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


static ngx_completion_key_sh_t *
ngx_completion_key_create(ngx_completion_zone_t *zone,
    ngx_completion_key_t *key, ngx_uint_t flags)
{
    ngx_completion_key_sh_t      *k, **bucket;
    ngx_completion_cached_sh_t   *entry;

    k = ngx_completion_zone_alloc(zone);
    if (k == NULL) {
        return NULL;
    }

    ngx_memcpy(k->name, key->name, NGX_COMPLETION_KEY_DIGEST);
    ngx_memcpy(k->request, key->request, NGX_COMPLETION_KEY_DIGEST);

    k->expires = ngx_time() + key->ttl;
    k->flags = flags;

    if (flags & NGX_COMPLETION_KEY_CACHE) {

        /* the end of its operation is not known yet */

        k->expires = ngx_time() + zone->lifetime;

        entry = (ngx_completion_cached_sh_t *) k;
        ngx_queue_insert_tail(&zone->sh->cached, &entry->queue);
    }

    bucket = ngx_completion_key_bucket(zone, k->name);
    k->next = *bucket;
    *bucket = k;

    zone->sh->nkeys[flags & NGX_COMPLETION_KEY_CACHE]++;

    return k;
}


static void
ngx_completion_key_delete(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_key_sh_t  **p;

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

    ngx_slab_free_locked(zone->shpool, key);
}


/* NULL: its sender is gone, and the key has been told */

static ngx_completion_record_sh_t *
ngx_completion_key_submit(ngx_completion_zone_t *zone,
    ngx_completion_key_sh_t *key)
{
    ngx_completion_record_sh_t  *submit;

    submit = ngx_completion_record_submit(zone, key->u.lease);

    if (submit && ngx_completion_record_leased(submit)) {
        return submit;
    }

    if (submit) {
        ngx_completion_record_delete(zone, submit);
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
