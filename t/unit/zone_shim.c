
#include "zone_shim.h"

#include <ngx_md5.h>

#include <stdlib.h>


/* ahead of what was allocated, as much as keeps it aligned */

typedef struct {
    ngx_queue_t   queue;
    size_t        size;
    size_t        padding;
} shim_slab_block_t;


size_t                 shim_slab_used;
size_t                 shim_slab_limit;
ngx_uint_t             shim_locked;
void                 (*shim_on_free)(u_char *data, size_t size);
void                 (*shim_on_unlock)(void);
void                 (*shim_on_time)(void);
void                  *shim_zone_data;
u_char                 shim_memory[1 << 18]
                           __attribute__((aligned(4096)));

ngx_pid_t              ngx_pid = 1;
ngx_uint_t             ngx_pagesize = 4096;
ngx_uint_t             ngx_pagesize_shift = 12;

static ngx_queue_t     shim_slab_blocks;
static ngx_shm_zone_t  shim_shm_zone;


void
shim_slab_reset(size_t limit)
{
    ngx_queue_t  *q;

    while (shim_slab_blocks.next && !ngx_queue_empty(&shim_slab_blocks)) {
        q = ngx_queue_head(&shim_slab_blocks);
        ngx_queue_remove(q);
        free(ngx_queue_data(q, shim_slab_block_t, queue));
    }

    if (limit > sizeof(shim_memory)) {
        abort();
    }

    ngx_queue_init(&shim_slab_blocks);
    memset(&shim_slab, 0, sizeof(ngx_slab_pool_t));

    shim_slab.end = (u_char *) &shim_slab + limit;
    shim_slab.pfree = limit / ngx_pagesize;
    shim_slab_limit = limit;
    shim_slab_used = 0;
}


void
ngx_slab_init(ngx_slab_pool_t *pool)
{
    shim_slab_reset(pool->end - (u_char *) pool);
}


void *
ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size)
{
    shim_slab_block_t  *b;

    if (!shim_locked || pool != &shim_slab) {
        abort();
    }

    if (++shim_allocations == shim_fail_at
        || size > shim_slab_limit - shim_slab_used)
    {
        return NULL;
    }

    b = malloc(sizeof(shim_slab_block_t) + size);
    b->size = size;
    ngx_queue_insert_tail(&shim_slab_blocks, &b->queue);
    shim_slab_used += size;

    return b + 1;
}


void *
ngx_slab_calloc_locked(ngx_slab_pool_t *pool, size_t size)
{
    void  *p = ngx_slab_alloc_locked(pool, size);

    return p ? memset(p, 0, size) : NULL;
}


void
ngx_slab_free_locked(ngx_slab_pool_t *pool, void *p)
{
    shim_slab_block_t  *b = (shim_slab_block_t *) p - 1;

    if (!shim_locked || pool != &shim_slab) {
        abort();
    }

    if (shim_on_free) {
        shim_on_free(p, b->size);
    }

    ngx_queue_remove(&b->queue);
    shim_slab_used -= b->size;
    free(b);
}


void
ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    if (mtx != &shim_slab.mutex || shim_locked++) {
        abort();
    }
}


void
ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    if (mtx != &shim_slab.mutex || shim_locked-- != 1) {
        abort();
    }

    if (shim_on_unlock) {
        shim_on_unlock();
    }
}


ngx_shm_zone_t *
ngx_shared_memory_add(ngx_conf_t *cf, ngx_str_t *name, size_t size, void *tag)
{
    (void) cf;

    if (++shim_allocations == shim_fail_at) {
        return NULL;
    }

    memset(&shim_shm_zone, 0, sizeof(ngx_shm_zone_t));

    shim_slab_reset(size);

    shim_shm_zone.shm.addr = (u_char *) &shim_slab;
    shim_shm_zone.shm.size = size;
    shim_shm_zone.shm.name = *name;
    shim_shm_zone.shm.log = &shim_log;
    shim_shm_zone.tag = tag;
    shim_shm_zone.data = shim_zone_data;

    return &shim_shm_zone;
}


/* not cryptographic: as good as any to tell documents apart */

void
ngx_md5_init(ngx_md5_t *ctx)
{
    ctx->bytes = 14695981039346656037u;
}


void
ngx_md5_update(ngx_md5_t *ctx, const void *data, size_t size)
{
    const u_char  *p;

    for (p = data; size--; p++) {
        ctx->bytes = (ctx->bytes ^ *p) * 1099511628211u;
    }
}


void
ngx_md5_final(u_char result[16], ngx_md5_t *ctx)
{
    memcpy(result, &ctx->bytes, 8);
    memcpy(result + 8, &ctx->bytes, 8);
}


uint32_t
ngx_murmur_hash2(u_char *data, size_t len)
{
    ngx_md5_t  ctx;

    ngx_md5_init(&ctx);
    ngx_md5_update(&ctx, data, len);

    return (uint32_t) (ctx.bytes ^ ctx.bytes >> 32);
}


/* an ordinary tree of the order that the insertion knows, without balance */

void
ngx_rbtree_insert_timer_value(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t  **p;

    for ( ;; ) {
        p = ((ngx_rbtree_key_int_t) (node->key - temp->key) < 0)
            ? &temp->left : &temp->right;

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
}


/* the same of keys that are no times, which do not come round */

void
ngx_rbtree_insert_value(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_insert_timer_value(temp, node, sentinel);
}


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    if (tree->root != tree->sentinel) {
        tree->insert(tree->root, node, tree->sentinel);
        return;
    }

    node->parent = NULL;
    node->left = tree->sentinel;
    node->right = tree->sentinel;
    tree->root = node;
}


static void
shim_rbtree_replace(ngx_rbtree_t *tree, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *by)
{
    if (node->parent == NULL) {
        tree->root = by;

    } else if (node->parent->left == node) {
        node->parent->left = by;

    } else {
        node->parent->right = by;
    }

    if (by != tree->sentinel) {
        by->parent = node->parent;
    }
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    ngx_rbtree_node_t  *next;

    if (node->left == tree->sentinel) {
        shim_rbtree_replace(tree, node, node->right);

    } else if (node->right == tree->sentinel) {
        shim_rbtree_replace(tree, node, node->left);

    } else {
        next = ngx_rbtree_min(node->right, tree->sentinel);

        if (next->parent != node) {
            shim_rbtree_replace(tree, next, next->right);
            next->right = node->right;
            next->right->parent = next;
        }

        shim_rbtree_replace(tree, node, next);
        next->left = node->left;
        next->left->parent = next;
    }

    node->left = NULL;
    node->right = NULL;
    node->parent = NULL;
    node->key = 0;
}


ngx_rbtree_node_t *
ngx_rbtree_next(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    if (node->right != tree->sentinel) {
        return ngx_rbtree_min(node->right, tree->sentinel);
    }

    while (node->parent && node == node->parent->right) {
        node = node->parent;
    }

    return node->parent;
}


/* the test moves the clock */

void
ngx_time_update(void)
{
    if (shim_on_time) {
        shim_on_time();
    }
}
