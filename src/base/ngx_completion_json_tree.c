
/*
 * An object as a tree, for who has to look back and forth in it.  A node is a
 * hundred bytes where its text may be two: their number has a bound.
 */


#include "ngx_completion_json.h"


#define NGX_COMPLETION_JSON_MAX_NODES  65536


typedef struct {
    ngx_pool_t                   *pool;
    ngx_uint_t                    left;
    ngx_completion_json_node_t   *root;
    ngx_completion_json_node_t  **next;    /* where the next one goes */
    ngx_completion_json_node_t   *parent;
    ngx_str_t                     name;
    const char                  **reason;
} ngx_completion_json_tree_t;


static ngx_int_t ngx_completion_json_tree_event(void *data,
    ngx_completion_json_event_t *event);


ngx_int_t
ngx_completion_json_tree(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_json_node_t **root, const char **reason)
{
    ngx_int_t                   rc;
    ngx_completion_json_tree_t  tree;

    ngx_memzero(&tree, sizeof(ngx_completion_json_tree_t));

    tree.pool = pool;
    tree.left = NGX_COMPLETION_JSON_MAX_NODES;
    tree.next = &tree.root;
    tree.reason = reason;

    rc = ngx_completion_json_read(pool, text, NULL,
                                  ngx_completion_json_tree_event, &tree,
                                  reason);
    *root = tree.root;

    return rc;
}


static ngx_int_t
ngx_completion_json_tree_event(void *data, ngx_completion_json_event_t *event)
{
    ngx_completion_json_tree_t *tree = data;

    ngx_completion_json_node_t  *node;

    switch (event->type) {

    case NGX_COMPLETION_JSON_KEY:
        return ngx_completion_json_keep(tree->pool, &event->value,
                                        &tree->name);

    case NGX_COMPLETION_JSON_END:
        tree->next = &tree->parent->next;
        tree->parent = tree->parent->parent;
        return NGX_OK;

    default:
        break;
    }

    if (tree->left == 0) {
        *tree->reason = "too many values";
        return NGX_DECLINED;
    }

    tree->left--;

    node = ngx_pcalloc(tree->pool, sizeof(ngx_completion_json_node_t));
    if (node == NULL) {
        return NGX_ERROR;
    }

    node->type = event->type;
    node->boolean = event->boolean;
    node->name = tree->name;
    node->parent = tree->parent;

    ngx_str_null(&tree->name);

    *tree->next = node;
    tree->next = &node->next;

    if (event->type == NGX_COMPLETION_JSON_OBJECT
        || event->type == NGX_COMPLETION_JSON_ARRAY)
    {
        tree->parent = node;
        tree->next = &node->first;
        return NGX_OK;
    }

    return ngx_completion_json_keep(tree->pool, &event->value, &node->value);
}


ngx_completion_json_node_t *
ngx_completion_json_child(ngx_completion_json_node_t *object, const char *name)
{
    size_t                       len;
    ngx_completion_json_node_t  *node;

    len = ngx_strlen(name);

    for (node = object->first; node; node = node->next) {
        if (node->name.len == len
            && ngx_strncmp(node->name.data, name, len) == 0)
        {
            break;
        }
    }

    return node;
}


void
ngx_completion_json_copy(ngx_completion_json_writer_t *w,
    ngx_completion_json_node_t *node)
{
    ngx_completion_json_event_t   event;
    ngx_completion_json_node_t   *top;

    top = node;

    for ( ;; ) {
        ngx_memzero(&event, sizeof(ngx_completion_json_event_t));

        if (node != top && node->parent->type == NGX_COMPLETION_JSON_OBJECT) {
            event.type = NGX_COMPLETION_JSON_KEY;
            event.value = node->name;
            ngx_completion_json_event(w, &event);
        }

        event.type = node->type;
        event.value = node->value;
        ngx_completion_json_event(w, &event);

        if (node->first) {
            node = node->first;
            continue;
        }

        if (node->type == NGX_COMPLETION_JSON_OBJECT
            || node->type == NGX_COMPLETION_JSON_ARRAY)
        {
            ngx_completion_json_end(w);
        }

        while (node != top && node->next == NULL) {
            node = node->parent;
            ngx_completion_json_end(w);
        }

        if (node == top) {
            return;
        }

        node = node->next;
    }
}
