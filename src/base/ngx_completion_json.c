
#include "ngx_completion_json.h"

#include <yajl/yajl_parse.h>


/* yajl's handles and stack, and two buffers that begin with 2 KB each */
#define NGX_COMPLETION_JSON_YAJL_SIZE  8192

/* containers, the text itself included */
#define NGX_COMPLETION_JSON_LEVELS     (NGX_COMPLETION_JSON_MAX_DEPTH + 1)

/* numbers of places, and lines of a table */
#define NGX_COMPLETION_JSON_NODES      64
#define NGX_COMPLETION_JSON_PATHS      128


typedef struct {
    u_char                            *start;
    u_char                            *pos;
    u_char                            *end;
    u_char                            *last;    /* handed out last */
    ngx_log_t                         *log;
} ngx_completion_json_memory_t;


typedef struct {
    /* the paths of a node, by their numbers from 1: the last, those before */
    const ngx_completion_json_path_t  *paths;
    u_char                             last[NGX_COMPLETION_JSON_NODES];
    u_char                             before[NGX_COMPLETION_JSON_PATHS + 1];

    ngx_completion_json_handler_pt     handler;
    void                              *data;

    ngx_int_t                          rc;
    const char                        *reason;

    ngx_uint_t                         next;    /* node of the next value */

    /* of the open containers, from 1; the text itself is in 0 */
    ngx_uint_t                         depth;
    u_char                             nodes[NGX_COMPLETION_JSON_LEVELS];
    u_char                             elements[NGX_COMPLETION_JSON_LEVELS];
    uint64_t                           seen[NGX_COMPLETION_JSON_LEVELS];
} ngx_completion_json_reader_t;


static const char *ngx_completion_json_scan(ngx_str_t *text, size_t *longest);
static ngx_uint_t ngx_completion_json_odd(u_char *p, u_char *last);
static const char *ngx_completion_json_scan_escape(u_char **pos,
    u_char *last);

static int ngx_completion_json_on_null(void *data);
static int ngx_completion_json_on_boolean(void *data, int value);
static int ngx_completion_json_on_number(void *data, const char *value,
    size_t len);
static int ngx_completion_json_on_string(void *data,
    const unsigned char *value, size_t len);
static int ngx_completion_json_on_object(void *data);
static int ngx_completion_json_on_key(void *data, const unsigned char *value,
    size_t len);
static int ngx_completion_json_on_array(void *data);
static int ngx_completion_json_on_end(void *data);

static int ngx_completion_json_enter(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type);
static int ngx_completion_json_value(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type, const void *value, size_t len);
static int ngx_completion_json_tell(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type, ngx_uint_t node, const void *value,
    size_t len);
static void ngx_completion_json_index(ngx_completion_json_reader_t *reader);
static ngx_uint_t ngx_completion_json_find(
    ngx_completion_json_reader_t *reader, const void *name, size_t len);

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
    ngx_completion_json_on_end,
    ngx_completion_json_on_array,
    ngx_completion_json_on_end
};


ngx_int_t
ngx_completion_json_read(ngx_pool_t *pool, ngx_str_t *text,
    const ngx_completion_json_path_t *paths,
    ngx_completion_json_handler_pt handler, void *data, const char **reason)
{
    u_char                         block[NGX_COMPLETION_JSON_YAJL_SIZE];
    size_t                         size, longest;
    const char                    *fault;
    yajl_handle                    handle;
    yajl_status                    status;
    yajl_alloc_funcs               funcs;
    ngx_completion_json_memory_t   memory;
    ngx_completion_json_reader_t   reader;

    fault = ngx_completion_json_scan(text, &longest);

    if (fault) {
        *reason = fault;
        return NGX_DECLINED;
    }

    memory.start = block;
    size = sizeof(block);

    if (longest) {

        /* what strings are unescaped into is doubled when it is full */

        size += 2 * longest;

        memory.start = ngx_alloc(size, pool->log);
        if (memory.start == NULL) {
            return NGX_ERROR;
        }
    }

    memory.pos = memory.start;
    memory.end = memory.start + size;
    memory.last = NULL;
    memory.log = pool->log;

    funcs.malloc = ngx_completion_json_malloc;
    funcs.realloc = ngx_completion_json_realloc;
    funcs.free = ngx_completion_json_free;
    funcs.ctx = &memory;

    ngx_memzero(&reader, sizeof(ngx_completion_json_reader_t));

    reader.paths = paths;
    reader.handler = handler;
    reader.data = data;
    reader.rc = NGX_ERROR;
    reader.next = NGX_COMPLETION_JSON_ROOT;

    if (paths) {
        ngx_completion_json_index(&reader);
    }

    status = yajl_status_client_canceled;

    handle = yajl_alloc(&ngx_completion_json_callbacks, &funcs, &reader);

    if (handle) {

        /* the scan has seen to it, and to more */

        (void) yajl_config(handle, yajl_dont_validate_strings, 1);

        status = yajl_parse(handle, text->data, text->len);

        if (status == yajl_status_ok) {
            status = yajl_complete_parse(handle);
        }

        yajl_free(handle);
    }

    /* strings with escapes were unescaped here, secrets among them */

    if (longest) {
        ngx_explicit_memzero(memory.start, memory.pos - memory.start);
        ngx_free(memory.start);
    }

    if (status == yajl_status_ok) {
        return NGX_OK;
    }

    if (status == yajl_status_client_canceled) {

        if (reader.reason) {
            *reason = reader.reason;
        }

        return reader.rc;
    }

    *reason = "not valid JSON";
    return NGX_DECLINED;
}


/*
 * What yajl is lax about: UTF-8, surrogates, NUL.  That the text begins and
 * ends with a brace also means that no token is cut off at its end, which
 * yajl would copy.  longest: of the strings with escapes.
 */

static const char *
ngx_completion_json_scan(ngx_str_t *text, size_t *longest)
{
    u_char      *p, *last, *string;
    ngx_uint_t   escaped;
    const char  *reason;

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
    escaped = 0;
    string = NULL;

    /* where nothing is escaped, the number of quotes tells it all */

    if (memchr(p, '\\', last - p) == NULL) {
        return ngx_completion_json_odd(p, last) ? "not valid JSON" : NULL;
    }

    while (p < last) {

        switch (*p++) {

        case '"':

            if (string == NULL) {
                string = p;
                escaped = 0;
                break;
            }

            if (escaped) {
                *longest = ngx_max(*longest, (size_t) (p - string));
            }

            string = NULL;
            break;

        case '\\':

            if (string) {
                escaped = 1;

                reason = ngx_completion_json_scan_escape(&p, last);
                if (reason) {
                    return reason;
                }
            }
        }
    }

    return string ? "not valid JSON" : NULL;
}


/* Whether it has an odd number of quotes, which are counted by the word. */

static ngx_uint_t
ngx_completion_json_odd(u_char *p, u_char *last)
{
    uint64_t    word, rest, odd;
    ngx_uint_t  n;

    odd = 0;
    n = 0;

    for ( /* void */ ; last - p >= (ssize_t) sizeof(uint64_t);
         p += sizeof(uint64_t))
    {
        ngx_memcpy(&word, p, sizeof(uint64_t));

        /* a byte's highest bit stays unset where the byte is a quote */

        word ^= 0x2222222222222222ULL;
        rest = (word & 0x7f7f7f7f7f7f7f7fULL) + 0x7f7f7f7f7f7f7f7fULL;
        odd ^= ~(rest | word) & 0x8080808080808080ULL;
    }

    while (p < last) {
        n += (*p++ == '"');
    }

    for ( /* void */ ; odd; odd &= odd - 1) {
        n++;
    }

    return n & 1;
}


/* Something follows the backslash: the text ends with a brace. */

static const char *
ngx_completion_json_scan_escape(u_char **pos, u_char *last)
{
    u_char     *p;
    ngx_int_t   code;

    p = *pos;

    if (*p++ == 'u') {
        code = (last - p < 4) ? NGX_ERROR : ngx_hextoi(p, 4);

        if (code == NGX_ERROR) {
            return "not valid JSON";
        }

        p += 4;

        if (code >= 0xd800 && code <= 0xdfff) {

            if (code > 0xdbff || last - p < 6 || p[0] != '\\' || p[1] != 'u') {
                return "a lone surrogate in a string";
            }

            code = ngx_hextoi(p + 2, 4);

            if (code < 0xdc00 || code > 0xdfff) {
                return "a lone surrogate in a string";
            }

            p += 6;
        }
    }

    *pos = p;

    return NULL;
}


static int
ngx_completion_json_on_null(void *data)
{
    return ngx_completion_json_value(data, NGX_COMPLETION_JSON_NULL, "null",
                                     4);
}


static int
ngx_completion_json_on_boolean(void *data, int value)
{
    return ngx_completion_json_value(data, NGX_COMPLETION_JSON_BOOLEAN,
                                     value ? "true" : "false",
                                     value ? 4 : 5);
}


static int
ngx_completion_json_on_number(void *data, const char *value, size_t len)
{
    return ngx_completion_json_value(data, NGX_COMPLETION_JSON_NUMBER, value,
                                     len);
}


static int
ngx_completion_json_on_string(void *data, const unsigned char *value,
    size_t len)
{
    return ngx_completion_json_value(data, NGX_COMPLETION_JSON_STRING, value,
                                     len);
}


static int
ngx_completion_json_on_key(void *data, const unsigned char *value, size_t len)
{
    uint64_t                       seen;
    ngx_completion_json_reader_t  *reader = data;

    reader->next = ngx_completion_json_find(reader, value, len);

    if (reader->next) {
        seen = (uint64_t) 1 << reader->next;

        if (reader->seen[reader->depth] & seen) {
            reader->rc = NGX_DECLINED;
            reader->reason = "a member is given twice";
            return 0;
        }

        reader->seen[reader->depth] |= seen;
    }

    return ngx_completion_json_tell(reader, NGX_COMPLETION_JSON_KEY,
                                    reader->next, value, len);
}


static int
ngx_completion_json_on_object(void *data)
{
    return ngx_completion_json_enter(data, NGX_COMPLETION_JSON_OBJECT);
}


static int
ngx_completion_json_on_array(void *data)
{
    ngx_completion_json_reader_t  *reader = data;

    if (!ngx_completion_json_enter(reader, NGX_COMPLETION_JSON_ARRAY)) {
        return 0;
    }

    reader->next = ngx_completion_json_find(reader, NULL, 0);
    reader->elements[reader->depth] = reader->next;

    return 1;
}


static int
ngx_completion_json_on_end(void *data)
{
    ngx_completion_json_reader_t  *reader = data;

    reader->depth--;
    reader->next = reader->elements[reader->depth];

    return ngx_completion_json_tell(reader, NGX_COMPLETION_JSON_END,
                                    reader->nodes[reader->depth + 1], NULL, 0);
}


static int
ngx_completion_json_enter(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type)
{
    ngx_uint_t  node;

    if (reader->depth == NGX_COMPLETION_JSON_MAX_DEPTH) {
        reader->rc = NGX_DECLINED;
        reader->reason = "nested too deeply";
        return 0;
    }

    node = reader->next;

    if (!ngx_completion_json_value(reader, type, NULL, 0)) {
        return 0;
    }

    reader->depth++;
    reader->next = 0;
    reader->nodes[reader->depth] = node;
    reader->elements[reader->depth] = 0;
    reader->seen[reader->depth] = 0;

    return 1;
}


static int
ngx_completion_json_value(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type, const void *value, size_t len)
{
    ngx_uint_t  node;

    node = reader->next;
    reader->next = reader->elements[reader->depth];

    return ngx_completion_json_tell(reader, type, node, value, len);
}


static int
ngx_completion_json_tell(ngx_completion_json_reader_t *reader,
    ngx_completion_json_type_e type, ngx_uint_t node, const void *value,
    size_t len)
{
    ngx_completion_json_event_t  event;

    if (reader->handler == NULL) {
        return 1;
    }

    event.type = type;
    event.value.data = (u_char *) value;
    event.value.len = len;
    event.depth = reader->depth;
    event.node = node;
    event.parent = reader->nodes[reader->depth];
    event.boolean = (type == NGX_COMPLETION_JSON_BOOLEAN && len == 4);

    reader->rc = reader->handler(reader->data, &event);

    return (reader->rc == NGX_OK);
}


static void
ngx_completion_json_index(ngx_completion_json_reader_t *reader)
{
    u_char                            *last;
    ngx_uint_t                         i;
    const ngx_completion_json_path_t  *path;

    path = reader->paths;

    for (i = 1; path->node && i <= NGX_COMPLETION_JSON_PATHS; i++, path++) {
        last = &reader->last[path->parent];
        reader->before[i] = *last;
        *last = i;
    }
}


static ngx_uint_t
ngx_completion_json_find(ngx_completion_json_reader_t *reader,
    const void *name, size_t len)
{
    ngx_uint_t                         i;
    const ngx_completion_json_path_t  *path;

    /* nothing lies in a node of no number */

    for (i = reader->last[reader->nodes[reader->depth]];
         i;
         i = reader->before[i])
    {
        path = &reader->paths[i - 1];

        if (path->name.len == len
            && (len == 0 || ngx_memcmp(path->name.data, name, len) == 0))
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


ngx_int_t
ngx_completion_json_keep(ngx_pool_t *pool, ngx_str_t *value, ngx_str_t *kept)
{
    kept->len = value->len;
    kept->data = ngx_pstrdup(pool, value);

    return kept->data ? NGX_OK : NGX_ERROR;
}
