
/*
 * JSON of untrusted origin, read by yajl.  This unit holds the limits: depth,
 * strict UTF-8, no lone surrogates, one object and nothing behind it.  No
 * recursion, no locale.
 *
 * What is handed out is in the given pool.  yajl checks no allocation of its
 * own, so the reader gives it one block of a size known beforehand: on the
 * stack or, where strings are to be unescaped, taken and freed within the call.
 *
 * All functions may be called in any context; none logs or blocks.
 */


#ifndef _NGX_COMPLETION_JSON_H_INCLUDED_
#define _NGX_COMPLETION_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_COMPLETION_JSON_MAX_DEPTH    64
#define NGX_COMPLETION_JSON_MAX_MEMBERS  1024

/* the node of a whole text in a table of paths, see below */
#define NGX_COMPLETION_JSON_ROOT         1


typedef enum {
    NGX_COMPLETION_JSON_NULL = 0,
    NGX_COMPLETION_JSON_BOOLEAN,
    NGX_COMPLETION_JSON_NUMBER,
    NGX_COMPLETION_JSON_STRING,
    NGX_COMPLETION_JSON_OBJECT,
    NGX_COMPLETION_JSON_ARRAY,

    /* of events only */
    NGX_COMPLETION_JSON_KEY,
    NGX_COMPLETION_JSON_END                /* of an object or an array */
} ngx_completion_json_type_e;


typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    value;   /* of a string, unescaped */
    ngx_completion_json_type_e   type;
} ngx_completion_json_member_t;


/*
 * Places in a text that its reader cares for, each with a number from 2 to 63:
 * the member "name" of the object "parent", which may have several names, or,
 * without a name, every element of the array "parent".  A table has no more
 * than 128 lines, and ends with a zero node.
 */
typedef struct {
    u_char                       parent;
    u_char                       node;
    ngx_str_t                    name;
} ngx_completion_json_path_t;


typedef struct {
    ngx_completion_json_type_e   type;
    ngx_str_t                    value;   /* of a string or key unescaped, of
                                             other scalars as spelled; valid
                                             in the handler only */
    ngx_uint_t                   depth;   /* containers around it */
    ngx_uint_t                   node;    /* of a key: its value's; 0: none */
    ngx_uint_t                   parent;  /* of the container around it */
    unsigned                     boolean:1;
} ngx_completion_json_event_t;


/* NGX_OK: go on; NGX_DECLINED, NGX_ERROR: stop and return that. */
typedef ngx_int_t (*ngx_completion_json_handler_pt)(void *data,
    ngx_completion_json_event_t *event);

typedef struct ngx_completion_json_writer_s  ngx_completion_json_writer_t;
typedef struct ngx_completion_json_node_s    ngx_completion_json_node_t;


/* A value, and those in it, in order. */
struct ngx_completion_json_node_s {
    ngx_completion_json_node_t  *parent;
    ngx_completion_json_node_t  *next;    /* in the same container */
    ngx_completion_json_node_t  *first;   /* of a container that has any */
    ngx_str_t                    name;    /* in an object */
    ngx_str_t                    value;   /* as of an event */
    ngx_completion_json_type_e   type;
    unsigned                     boolean:1;
};


/*
 * The members of a JSON object's top level, in order and as often as given;
 * members: an array of ngx_completion_json_member_t made here; names and
 * values may point into the text.  NGX_OK; NGX_DECLINED: not an object, or
 * broken, and *reason says how in a few words that quote nothing; NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_completion_json_members(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t **members, const char **reason);

/*
 * Reads an object, event by event; paths and handler may be NULL.  A place of
 * the table that occurs twice in its object is refused.  Returns as above, or
 * what the handler returned, and *reason is then left as it was.
 */
ngx_int_t ngx_completion_json_read(ngx_pool_t *pool, ngx_str_t *text,
    const ngx_completion_json_path_t *paths,
    ngx_completion_json_handler_pt handler, void *data, const char **reason);

/* A copy of what an event told, which goes with it: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_completion_json_keep(ngx_pool_t *pool, ngx_str_t *value,
    ngx_str_t *kept);

/* All of an object in the pool, 65536 values at most.  Returns as above. */
ngx_int_t ngx_completion_json_tree(ngx_pool_t *pool, ngx_str_t *text,
    ngx_completion_json_node_t **root, const char **reason);

/* The first member of this name, or NULL. */
ngx_completion_json_node_t *ngx_completion_json_child(
    ngx_completion_json_node_t *object, const char *name);

/* NGX_OK, or NGX_DECLINED: overlong forms, surrogates, beyond 10FFFF. */
ngx_int_t ngx_completion_utf8_check(u_char *p, size_t len);

/* Bytes of the white space that is this character of valid UTF-8, or 0. */
ngx_uint_t ngx_completion_utf8_white(u_char *p);

/* Whether valid UTF-8 is white space alone, or empty. */
ngx_uint_t ngx_completion_utf8_blank(u_char *p, size_t len);


/*
 * The writer, with a guess of the size to come.  An error (no memory, a string
 * that is not UTF-8, an end without a beginning) sticks: what follows does
 * nothing, and finish() returns NGX_ERROR.  A NULL writer stands for one that
 * has failed, for lack of memory.
 */
ngx_completion_json_writer_t *ngx_completion_json_writer_sized(
    ngx_pool_t *pool, size_t size);

#define ngx_completion_json_writer_create(pool)                               \
    ngx_completion_json_writer_sized(pool, 1024)

void ngx_completion_json_object(ngx_completion_json_writer_t *w);
void ngx_completion_json_array(ngx_completion_json_writer_t *w);
void ngx_completion_json_end(ngx_completion_json_writer_t *w);


void ngx_completion_json_key(ngx_completion_json_writer_t *w,
    const char *name);
void ngx_completion_json_string(ngx_completion_json_writer_t *w,
    ngx_str_t *value);
void ngx_completion_json_cstring(ngx_completion_json_writer_t *w,
    const char *value);
void ngx_completion_json_integer(ngx_completion_json_writer_t *w,
    int64_t value);
void ngx_completion_json_boolean(ngx_completion_json_writer_t *w,
    ngx_uint_t value);

/* A member: its key and its value. */
void ngx_completion_json_key_string(ngx_completion_json_writer_t *w,
    const char *name, ngx_str_t *value);
void ngx_completion_json_key_cstring(ngx_completion_json_writer_t *w,
    const char *name, const char *value);
void ngx_completion_json_key_integer(ngx_completion_json_writer_t *w,
    const char *name, int64_t value);
void ngx_completion_json_key_boolean(ngx_completion_json_writer_t *w,
    const char *name, ngx_uint_t value);

/* A value as it is: JSON that was checked before, or a number's spelling. */
void ngx_completion_json_raw(ngx_completion_json_writer_t *w,
    ngx_str_t *value);

/* What the reader told: copies a text when called for every event. */
void ngx_completion_json_event(ngx_completion_json_writer_t *w,
    ngx_completion_json_event_t *event);

/* A value of a tree, and all that is in it. */
void ngx_completion_json_copy(ngx_completion_json_writer_t *w,
    ngx_completion_json_node_t *node);

/* Bytes written so far. */
size_t ngx_completion_json_written(ngx_completion_json_writer_t *w);

/*
 * The text, in the pool, once its outermost value is complete; the writer is
 * not to be used afterwards.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_completion_json_writer_finish(ngx_completion_json_writer_t *w,
    ngx_str_t *out);


#endif /* _NGX_COMPLETION_JSON_H_INCLUDED_ */
