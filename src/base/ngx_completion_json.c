
#include "ngx_completion_json.h"

#include <yajl/yajl_parse.h>


/* yajl's handles and stack, and two buffers that begin with 2 KB each */
#define NGX_COMPLETION_JSON_YAJL_SIZE  8192

/* containers, the text itself included */
#define NGX_COMPLETION_JSON_LEVELS     (NGX_COMPLETION_JSON_MAX_DEPTH + 1)

/* where in a container the next value stands */
#define NGX_COMPLETION_JSON_FIRST  0
#define NGX_COMPLETION_JSON_LATER  1
#define NGX_COMPLETION_JSON_NAMED  2


typedef struct {
    u_char                            *start;
    u_char                            *pos;
    u_char                            *end;
    u_char                            *last;    /* handed out last */
    ngx_log_t                         *log;
} ngx_completion_json_memory_t;


typedef struct {
    const ngx_completion_json_path_t  *paths;
    ngx_completion_json_handler_pt     handler;
    void                              *data;

    ngx_int_t                          rc;
    const char                        *reason;

    ngx_uint_t                         key;     /* node of a named value */
    uint64_t                           seen;    /* nodes, by bit */

    /* of the open containers, from 1; the text itself is in 0 */
    ngx_uint_t                         depth;
    u_char                             nodes[NGX_COMPLETION_JSON_LEVELS];
    u_char                             places[NGX_COMPLETION_JSON_LEVELS];
} ngx_completion_json_reader_t;


static const char *ngx_completion_json_scan(ngx_str_t *text, size_t *longest);
static u_char *ngx_completion_json_scan_string(u_char *p, u_char *last,
    ngx_uint_t *escaped, const char **reason);
static u_char *ngx_completion_json_scan_escape(u_char *p, u_char *last,
    const char **reason);
static ngx_int_t ngx_completion_json_hex(u_char *p, u_char *last);
static ngx_int_t ngx_completion_json_parse(
    ngx_completion_json_reader_t *reader, ngx_str_t *text,
    ngx_completion_json_memory_t *memory);

static int ngx_completion_json_on_null(void *data);
static int ngx_completion_json_on_boolean(void *data, int value);
static int ngx_completion_json_on_number(void *data, const char *value,
    size_t len);
static int ngx_completion_json_on_string(void *data,
    const unsigned char *value, size_t len);
static int ngx_completion_json_on_object(void *data);
static int ngx_completion_json_on_key(void *data, const unsigned char *value,
    size_t len);
static int ngx_completion_json_on_object_end(void *data);
static int ngx_completion_json_on_array(void *data);
static int ngx_completion_json_on_array_end(void *data);

static int ngx_completion_json_value(ngx_completion_json_reader_t *reader,
    ngx_completion_json_event_t *event);
static int ngx_completion_json_open(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type, u_char place);
static int ngx_completion_json_close(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type);
static int ngx_completion_json_tell(ngx_completion_json_reader_t *reader,
    ngx_completion_json_event_t *event);
static ngx_uint_t ngx_completion_json_find(
    ngx_completion_json_reader_t *reader, ngx_str_t *name);

static void *ngx_completion_json_malloc(void *data, size_t size);
static void *ngx_completion_json_realloc(void *data, void *p, size_t size);
static void ngx_completion_json_free(void *data, void *p);


static const yajl_callbacks  ngx_completion_json_callbacks = {
    ngx_completion_json_on_null,
    ngx_completion_json_on_boolean,
    NULL,
    NULL,
    ngx_completion_json_on_number,
    ngx_completion_json_on_string,
    ngx_completion_json_on_object,
    ngx_completion_json_on_key,
    ngx_completion_json_on_object_end,
    ngx_completion_json_on_array,
    ngx_completion_json_on_array_end
};


ngx_int_t
ngx_completion_json_read(ngx_pool_t *pool, ngx_str_t *text,
    const ngx_completion_json_path_t *paths,
    ngx_completion_json_handler_pt handler, void *data, const char **reason)
{
    size_t                         size, longest;
    const char                    *fault;
    ngx_int_t                      rc;
    ngx_completion_json_memory_t   memory;
    ngx_completion_json_reader_t   reader;

    fault = ngx_completion_json_scan(text, &longest);

    if (fault) {
        *reason = fault;
        return NGX_DECLINED;
    }

    /* the one that strings are unescaped into is doubled when it is full */

    size = NGX_COMPLETION_JSON_YAJL_SIZE + 2 * longest;

    memory.start = ngx_alloc(size, pool->log);
    if (memory.start == NULL) {
        return NGX_ERROR;
    }

    memory.pos = memory.start;
    memory.end = memory.start + size;
    memory.last = NULL;
    memory.log = pool->log;

    ngx_memzero(&reader, sizeof(ngx_completion_json_reader_t));

    reader.paths = paths;
    reader.handler = handler;
    reader.data = data;
    reader.rc = NGX_OK;

    rc = ngx_completion_json_parse(&reader, text, &memory);

    /* strings were unescaped here, secrets among them */

    ngx_explicit_memzero(memory.start, memory.pos - memory.start);
    ngx_free(memory.start);

    if (reader.reason) {
        *reason = reader.reason;
    }

    return rc;
}


static ngx_int_t
ngx_completion_json_parse(ngx_completion_json_reader_t *reader,
    ngx_str_t *text, ngx_completion_json_memory_t *memory)
{
    yajl_status       status;
    yajl_handle       handle;
    yajl_alloc_funcs  funcs;

    funcs.malloc = ngx_completion_json_malloc;
    funcs.realloc = ngx_completion_json_realloc;
    funcs.free = ngx_completion_json_free;
    funcs.ctx = memory;

    handle = yajl_alloc(&ngx_completion_json_callbacks, &funcs, reader);
    if (handle == NULL) {
        return NGX_ERROR;
    }

    status = yajl_parse(handle, text->data, text->len);

    if (status == yajl_status_ok) {
        status = yajl_complete_parse(handle);
    }

    yajl_free(handle);

    if (status == yajl_status_client_canceled) {
        return reader->rc;
    }

    if (status != yajl_status_ok) {
        reader->reason = "not valid JSON";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * What yajl is lax about: UTF-8, surrogates, NUL.  That the text begins and
 * ends with a brace also means that no token is cut off at its end, which
 * yajl would copy.  longest: of the strings with escapes.
 */

static const char *
ngx_completion_json_scan(ngx_str_t *text, size_t *longest)
{
    u_char      *p, *start, *last;
    const char  *reason;
    ngx_uint_t   escaped;

    p = text->data;
    last = p + text->len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == CR || *p == LF)) {
        p++;
    }

    while (p < last
           && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == CR
               || last[-1] == LF))
    {
        last--;
    }

    if (last - p < 2 || *p != '{' || last[-1] != '}') {
        return "not a JSON object";
    }

    if (ngx_completion_utf8_check(p, last - p) != NGX_OK) {
        return "not valid UTF-8";
    }

    *longest = 0;

    while (p < last) {

        if (*p++ != '"') {
            continue;
        }

        start = p;
        escaped = 0;
        reason = "not valid JSON";

        p = ngx_completion_json_scan_string(p, last, &escaped, &reason);
        if (p == NULL) {
            return reason;
        }

        if (escaped) {
            *longest = ngx_max(*longest, (size_t) (p - start));
        }
    }

    return NULL;
}


static u_char *
ngx_completion_json_scan_string(u_char *p, u_char *last, ngx_uint_t *escaped,
    const char **reason)
{
    while (p < last) {

        switch (*p++) {

        case '"':
            return p;

        case '\\':
            *escaped = 1;

            p = ngx_completion_json_scan_escape(p, last, reason);
            if (p == NULL) {
                return NULL;
            }

            break;
        }
    }

    return NULL;
}


static u_char *
ngx_completion_json_scan_escape(u_char *p, u_char *last, const char **reason)
{
    ngx_int_t  code;

    if (p == last) {
        return NULL;
    }

    if (*p++ != 'u') {
        return p;
    }

    code = ngx_completion_json_hex(p, last);
    if (code == NGX_ERROR) {
        return NULL;
    }

    p += 4;

    if (code < 0xd800 || code > 0xdfff) {
        return p;
    }

    *reason = "a lone surrogate in a string";

    if (code > 0xdbff || last - p < 2 || p[0] != '\\' || p[1] != 'u') {
        return NULL;
    }

    p += 2;

    code = ngx_completion_json_hex(p, last);
    if (code < 0xdc00 || code > 0xdfff) {
        return NULL;
    }

    return p + 4;
}


static ngx_int_t
ngx_completion_json_hex(u_char *p, u_char *last)
{
    if (last - p < 4) {
        return NGX_ERROR;
    }

    return ngx_hextoi(p, 4);
}


static int
ngx_completion_json_on_null(void *data)
{
    ngx_completion_json_event_t  event;

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = NGX_COMPLETION_JSON_NULL;

    return ngx_completion_json_value(data, &event);
}


static int
ngx_completion_json_on_boolean(void *data, int value)
{
    ngx_completion_json_event_t  event;

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = NGX_COMPLETION_JSON_BOOLEAN;
    event.boolean = (value != 0);

    return ngx_completion_json_value(data, &event);
}


static int
ngx_completion_json_on_number(void *data, const char *value, size_t len)
{
    ngx_completion_json_event_t  event;

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = NGX_COMPLETION_JSON_NUMBER;
    event.value.data = (u_char *) value;
    event.value.len = len;

    return ngx_completion_json_value(data, &event);
}


static int
ngx_completion_json_on_string(void *data, const unsigned char *value,
    size_t len)
{
    ngx_completion_json_event_t  event;

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = NGX_COMPLETION_JSON_STRING;
    event.value.data = (u_char *) value;
    event.value.len = len;

    return ngx_completion_json_value(data, &event);
}


static int
ngx_completion_json_on_key(void *data, const unsigned char *value, size_t len)
{
    ngx_completion_json_event_t    event;
    ngx_completion_json_reader_t  *reader = data;

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = NGX_COMPLETION_JSON_KEY;
    event.value.data = (u_char *) value;
    event.value.len = len;

    event.depth = reader->depth;
    event.parent = reader->nodes[reader->depth];
    event.node = ngx_completion_json_find(reader, &event.value);

    reader->key = event.node;

    if (event.node) {

        if (reader->seen & ((uint64_t) 1 << event.node)) {
            reader->rc = NGX_DECLINED;
            reader->reason = "a member is given twice";
            return 0;
        }

        reader->seen |= (uint64_t) 1 << event.node;
    }

    return ngx_completion_json_tell(reader, &event);
}


static int
ngx_completion_json_on_object(void *data)
{
    return ngx_completion_json_open(data, NGX_COMPLETION_JSON_OBJECT,
                                    NGX_COMPLETION_JSON_NAMED);
}


static int
ngx_completion_json_on_object_end(void *data)
{
    return ngx_completion_json_close(data, NGX_COMPLETION_JSON_OBJECT_END);
}


static int
ngx_completion_json_on_array(void *data)
{
    return ngx_completion_json_open(data, NGX_COMPLETION_JSON_ARRAY,
                                    NGX_COMPLETION_JSON_FIRST);
}


static int
ngx_completion_json_on_array_end(void *data)
{
    return ngx_completion_json_close(data, NGX_COMPLETION_JSON_ARRAY_END);
}


static int
ngx_completion_json_value(ngx_completion_json_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    u_char     *place;
    ngx_str_t   none;

    event->depth = reader->depth;
    event->parent = reader->nodes[reader->depth];

    if (reader->depth == 0) {
        event->node = NGX_COMPLETION_JSON_ROOT;
        return ngx_completion_json_tell(reader, event);
    }

    place = &reader->places[reader->depth];

    switch (*place) {

    case NGX_COMPLETION_JSON_NAMED:
        event->node = reader->key;
        break;

    case NGX_COMPLETION_JSON_FIRST:
        ngx_str_null(&none);
        event->node = ngx_completion_json_find(reader, &none);
        *place = NGX_COMPLETION_JSON_LATER;
        break;

    default:
        event->node = 0;
    }

    return ngx_completion_json_tell(reader, event);
}


static int
ngx_completion_json_open(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type, u_char place)
{
    ngx_completion_json_event_t  event;

    if (reader->depth == NGX_COMPLETION_JSON_MAX_DEPTH) {
        reader->rc = NGX_DECLINED;
        reader->reason = "nested too deeply";
        return 0;
    }

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = type;

    if (!ngx_completion_json_value(reader, &event)) {
        return 0;
    }

    reader->depth++;
    reader->nodes[reader->depth] = event.node;
    reader->places[reader->depth] = place;

    return 1;
}


static int
ngx_completion_json_close(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type)
{
    ngx_completion_json_event_t  event;

    ngx_memzero(&event, sizeof(ngx_completion_json_event_t));
    event.type = type;

    event.node = reader->nodes[reader->depth];
    event.depth = --reader->depth;
    event.parent = reader->nodes[reader->depth];

    return ngx_completion_json_tell(reader, &event);
}


static int
ngx_completion_json_tell(ngx_completion_json_reader_t *reader,
    ngx_completion_json_event_t *event)
{
    if (reader->handler == NULL) {
        return 1;
    }

    reader->rc = reader->handler(reader->data, event);

    return (reader->rc == NGX_OK);
}


static ngx_uint_t
ngx_completion_json_find(ngx_completion_json_reader_t *reader, ngx_str_t *name)
{
    ngx_uint_t                         parent;
    const ngx_completion_json_path_t  *path;

    parent = reader->nodes[reader->depth];

    if (parent == 0 || reader->paths == NULL) {
        return 0;
    }

    for (path = reader->paths; path->node; path++) {

        if (path->parent == parent
            && path->name.len == name->len
            && (name->len == 0
                || ngx_memcmp(path->name.data, name->data, name->len) == 0))
        {
            return path->node;
        }
    }

    return 0;
}


static void *
ngx_completion_json_malloc(void *data, size_t size)
{
    u_char                        *p;
    ngx_completion_json_memory_t  *memory = data;

    p = ngx_align_ptr(memory->pos, NGX_ALIGNMENT);

    if (p > memory->end || (size_t) (memory->end - p) < size) {
        return ngx_alloc(size, memory->log);
    }

    memory->last = p;
    memory->pos = p + size;

    return p;
}


static void *
ngx_completion_json_realloc(void *data, void *p, size_t size)
{
    u_char                        *new, *old = p;
    ngx_completion_json_memory_t  *memory = data;

    if (old == NULL) {
        return ngx_completion_json_malloc(data, size);
    }

    if (old < memory->start || old >= memory->end) {
        return realloc(old, size);
    }

    if (old == memory->last && (size_t) (memory->end - old) >= size) {
        memory->pos = old + size;
        return old;
    }

    new = ngx_completion_json_malloc(data, size);

    if (new) {
        ngx_memmove(new, old, ngx_min(size, (size_t) (memory->end - old)));
    }

    return new;
}


static void
ngx_completion_json_free(void *data, void *p)
{
    u_char                        *old = p;
    ngx_completion_json_memory_t  *memory = data;

    if (old && (old < memory->start || old >= memory->end)) {
        ngx_free(old);
    }
}
