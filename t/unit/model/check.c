
/* The real zone, held against the reference. */


#include "model.h"


static ngx_uint_t
state_of(record_t *r)
{
    return r->state + (r->state == NGX_COMPLETION_RECORD_FINAL ? r->verdict
                                                                 : 0);
}


/* one record, and where it had a choice */

void
same(record_t *r)
{
    ngx_completion_record_sh_t  *real = r->real;

    AGREE(real->state == r->state)
    AGREE(r->state != NGX_COMPLETION_RECORD_FINAL
          || real->verdict == r->verdict)
    AGREE(!(real->flags & NGX_COMPLETION_RECORD_DECIDED) == !r->decided)
    AGREE(!(real->flags & NGX_COMPLETION_RECORD_OURS) == !r->ours)
    AGREE(!(real->flags & NGX_COMPLETION_RECORD_DELETED) == !r->deleted)
    AGREE(!real->chunks == !r->kept)
    AGREE(!r->kept || real->length == r->length)
    AGREE(!real->draft == !r->draft)
    AGREE(real->draft_length <= r->draft)
    AGREE(real->version == r->version)
    AGREE(real->lease == r->lease)
    AGREE(r->lease == 0 || real->lease_end == r->end)
    AGREE(real->created == r->created)
    AGREE(real->wanted == r->wanted)
    AGREE(real->doubts == r->doubts)
    AGREE(real->failures == r->failures)
    AGREE(real->not_before == r->not_before)
    AGREE((time_t) real->submitted == r->submitted)
    AGREE(r->state != NGX_COMPLETION_RECORD_FINAL || real->ended == r->ended)
    AGREE(!(real->flags & NGX_COMPLETION_RECORD_SCHEDULED) == !r->scheduled)
    AGREE(!(real->flags & NGX_COMPLETION_RECORD_URGENT) == !r->urgent)
    AGREE(!(real->flags & NGX_COMPLETION_RECORD_CALLED) == !r->called)
    AGREE(!r->scheduled || !is_complete(r))

    if (r->scheduled) {
        AGREE((ngx_msec_int_t) (real->due.key - r->due) >= 0)
        AGREE((ngx_msec_int_t) (real->due.key - r->due_max) <= 0)
        r->due = real->due.key;
        r->due_max = r->due;
    }
}


static void
find_records(void)
{
    ngx_str_t    id;
    record_t    *r;
    ngx_uint_t   i;

    for (i = 0; i < ref.nrecords; i++) {
        r = &ref.records[i];

        if (r->real == r) {
            id = id_of(r->op);
            r->real = ngx_completion_record_find(zone, &id, hash_of(r->op));
            AGREE(r->real != NULL)
        }
    }
}


static void
find_submits(void)
{
    submit_t    *s;
    ngx_uint_t   i;

    for (i = 0; i < ref.nsubmits; i++) {
        s = &ref.submits[i];

        if (s->real == s) {
            s->real = ngx_completion_line_find(zone, s->lease);
            AGREE(s->real != NULL)
        }
    }
}


static ngx_completion_key_sh_t *
real_entry(entry_t *e)
{
    u_char                    md[NGX_COMPLETION_KEY_DIGEST];
    ngx_uint_t                later = 0;
    entry_t                  *other;
    ngx_completion_key_sh_t  *k;

    digest(md, e->kind, e->name);

    /* the latest stands first */

    for (other = latest(e->kind, e->name, -1); other != e;
         other = latest(e->kind, e->name, other->added))
    {
        later++;
    }

    for (k = zone->sh->keys[ngx_completion_key_hash(md) & zone->sh->mask];
         k;
         k = k->next)
    {
        if (memcmp(k->name, md, NGX_COMPLETION_KEY_DIGEST) == 0
            && later-- == 0)
        {
            return k;
        }
    }

    return NULL;
}


static void
find_entries(void)
{
    entry_t     *e;
    ngx_uint_t   i;

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real == e) {
            e->real = real_entry(e);
            AGREE(e->real != NULL)
        }
    }
}


void
done(void)
{
    ngx_uint_t                 i, n, follower, counts[2];
    entry_t                   *e, *oldest;
    ngx_completion_zone_sh_t  *sh;

    ngx_current_msec = workers[acting].now;
    sh = zone->sh;

    /* all that went was to go, and nothing is left of it */

    while (seen_freed < nfreed) {
        AGREE(!is_thing(freed[seen_freed]))
        seen_freed++;
    }

    find_records();
    find_submits();
    find_entries();

    AGREE(shim_locked == 0)
    AGREE(shim_slab_used == ref.base + ref.used)

    AGREE(sh->changes - changes == ntold)

    for (i = 0; i < ntold; i++) {
        if (ntold - i <= NGX_COMPLETION_CHANGES) {
            AGREE(sh->changed[(changes + i) % NGX_COMPLETION_CHANGES]
                  == told[i])
        }
    }

    AGREE(sh->sequence == ref.sequence)
    AGREE(sh->nlines[NGX_COMPLETION_TURN_WAITS]
          == waits_n(NGX_COMPLETION_TURN_WAITS))
    AGREE(sh->nlines[NGX_COMPLETION_TURN_CALLED]
          == waits_n(NGX_COMPLETION_TURN_CALLED))

    follower = followers(&oldest, 0);
    AGREE(sh->nfollowers == follower)

    memset(counts, 0, sizeof(counts));

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real) {
            counts[e->kind != KEY]++;
        }
    }

    AGREE(sh->nkeys[0] == counts[0] && sh->nkeys[1] == counts[1])

    for (n = 0, i = 0; i < ref.nrecords; i++) {
        n += (ref.records[i].real != NULL);
    }

    for (i = NGX_COMPLETION_RECORD_UNKNOWN; i < NGX_COMPLETION_CENSUS_STATES;
         i++)
    {
        n -= sh->counts[i];
    }

    AGREE(n == 0)

    for (i = 0; i < LISTS; i++) {
        AGREE(zone->metrics->evictions[i] == evicted[i])
    }

    for (i = 0; i < NGX_COMPLETION_STATES; i++) {
        AGREE(zone->metrics->finished[i] == finished[i])
    }
}


/* all of it */

static ngx_uint_t
queued(ngx_queue_t *head)
{
    ngx_uint_t    n = 0;
    ngx_queue_t  *q;

    for (q = ngx_queue_head(head); q != head; q = ngx_queue_next(q)) {
        AGREE(ngx_queue_next(ngx_queue_prev(q)) == q)
        n++;
    }

    return n;
}


static ngx_uint_t
in_tree(ngx_rbtree_t *tree)
{
    ngx_uint_t          n = 0;
    ngx_rbtree_node_t  *node;

    if (tree->root == tree->sentinel) {
        return 0;
    }

    for (node = ngx_rbtree_min(tree->root, tree->sentinel);
         node;
         node = ngx_rbtree_next(tree, node))
    {
        n++;
    }

    return n;
}


static void
audit_entry(entry_t *e)
{
    ngx_str_t                 id;
    ngx_uint_t                i, n;
    ngx_completion_key_sh_t  *real = e->real;

    AGREE(real == real_entry(e))
    AGREE(real->state == e->state)
    AGREE((real->flags & NGX_COMPLETION_KEY_CACHE ? 1 : 0) == (e->kind != KEY))
    AGREE(!(real->flags & NGX_COMPLETION_KEY_SHARED) == !e->shared)
    AGREE(!(real->flags & NGX_COMPLETION_KEY_JOINED) == !e->joined)
    AGREE(!(real->flags & NGX_COMPLETION_KEY_FOLLOWER) == !e->follower)
    AGREE(!(real->flags & NGX_COMPLETION_KEY_LED) == !e->led)
    AGREE(!(real->flags & NGX_COMPLETION_KEY_DELIVERED) == !e->delivered)
    AGREE(real->holders == e->holders)
    AGREE(real->expires == e->expires)
    AGREE(real->known == e->known)
    AGREE(real->lease == (uint32_t) e->lease)

    /* who holds what may become an orphan */

    for (n = e->lost, i = 0; i < REQUESTS; i++) {
        n += (requests[i].phase != FREE
              && requests[i].hold.lease == (uint32_t) e->lease
              && requests[i].names[ORPHAN] == e->name);
    }

    AGREE(e->kind != ORPHAN || e->holders == n)

    if (e->state == NGX_COMPLETION_KEY_UNDERWAY) {
        AGREE(submit_of(e->lease) && real->u.lease == e->lease && real->link)
        return;
    }

    AGREE(real->link == NULL)
    AGREE(real->outcome == e->outcome)

    if (e->outcome == NGX_COMPLETION_OK) {
        id.data = real->u.id;
        id.len = real->len;
        AGREE(op_of(&id) == e->op)
        AGREE(!e->led || real->verdict == e->verdict)
        AGREE(!e->led || e->verdict == NGX_COMPLETION_PENDING
              || real->ended == e->ended)
    }
}


void
audit(void)
{
    entry_t                      *e;
    record_t                     *r;
    submit_t                     *s;
    ngx_uint_t                    i, n, lists[LISTS + 1], kept, led;
    ngx_uint_t                    trees[NGX_COMPLETION_TREES];
    ngx_uint_t                    counts[NGX_COMPLETION_CENSUS_STATES];
    ngx_completion_census_t       census;
    ngx_completion_zone_sh_t     *sh;
    ngx_completion_submit_sh_t   *real;

    static ngx_slab_stat_t        stats[9];

    doing = "the audit";
    sh = zone->sh;
    memset(lists, 0, sizeof(lists));
    memset(trees, 0, sizeof(trees));
    memset(counts, 0, sizeof(counts));
    kept = 0;
    led = 0;

    for (i = 0; i < ref.nrecords; i++) {
        r = &ref.records[i];

        if (r->real == NULL) {
            continue;
        }

        same(r);

        /* it is asked for until it ends, or the deadline has passed */

        AGREE(r->state != NGX_COMPLETION_RECORD_PENDING || r->scheduled
              || (ngx_msec_int_t) (truth - r->created) >= DEADLINE)

        lists[list_of(r)]++;
        counts[state_of(r)]++;

        if (r->scheduled) {
            trees[r->called ? NGX_COMPLETION_TREE_CALLED : r->urgent]++;
        }
    }

    for (i = 0; i < ref.nentries; i++) {
        e = &ref.entries[i];

        if (e->real == NULL) {
            continue;
        }

        audit_entry(e);
        led += e->led;

        if (!e->follower) {
            *(e->kind == KEY ? &kept : &lists[CACHED]) += 1;
        }
    }

    for (i = 0; i < ref.nsubmits; i++) {
        s = &ref.submits[i];

        if (s->real == NULL) {
            continue;
        }

        real = ngx_completion_line_find(zone, s->lease);
        AGREE(real == s->real)
        AGREE(real->turn == s->turn && real->lease_end == s->end)
        AGREE(real->ticket == s->ticket)
        counts[NGX_COMPLETION_RECORD_SUBMIT]++;
    }

    for (i = 0; i < LISTS; i++) {
        AGREE(queued(&sh->lists[i]) == lists[i])
    }

    AGREE(queued(&sh->deleted) == lists[DELETED])
    AGREE(queued(&sh->kept) == kept)
    AGREE(queued(&sh->followers) == sh->nfollowers)
    AGREE(in_tree(&sh->owners) == sh->nfollowers)
    AGREE(in_tree(&sh->led) == led)
    AGREE(in_tree(&sh->trees[NGX_COMPLETION_TREE_DUE]) == trees[0])
    AGREE(in_tree(&sh->trees[NGX_COMPLETION_TREE_URGENT]) == trees[1])
    AGREE(in_tree(&sh->trees[NGX_COMPLETION_TREE_CALLED])
          == trees[NGX_COMPLETION_TREE_CALLED])
    AGREE(sh->ncalled == trees[NGX_COMPLETION_TREE_CALLED])
    AGREE(in_tree(&sh->submits) == counts[NGX_COMPLETION_RECORD_SUBMIT])

    shim_slab.min_shift = 3;
    shim_slab.stats = stats;
    ngx_completion_zone_census(zone, &census);

    for (i = 0, n = 0; i < NGX_COMPLETION_CENSUS_STATES; i++) {
        AGREE(census.operations[i] == counts[i])
        n += counts[i];
    }

    AGREE(census.queue == waits_n(NGX_COMPLETION_TURN_WAITS))
}
