
/*
 * What the targets share.  A target is one function that takes bytes, calls
 * the units with them and aborts when an invariant does not hold; sanitizers
 * see the rest.  Everything handed to a unit is an allocation of its own, so
 * that a read beyond the end is seen.
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include "../unit/ngx_shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <yajl/yajl_tree.h>


#define HOLDS(invariant)                                                      \
    if (!(invariant)) {                                                       \
        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,     \
                #invariant);                                                  \
        abort();                                                              \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static inline ngx_str_t
fuzz_string(const char *text)
{
    return (ngx_str_t) { strlen(text), (u_char *) text };
}


static inline ngx_str_t
fuzz_copy(ngx_pool_t *pool, const void *data, size_t len)
{
    ngx_str_t  s = { len, ngx_pnalloc(pool, len ? len : 1) };

    if (len) {
        memcpy(s.data, data, len);
    }

    return s;
}


/* the input's first byte; 0: there is none */

static inline u_char
fuzz_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0) {
        return 0;
    }

    (*size)--;

    return *(*data)++;
}


/* the input up to the next line end, or all that is left */

static inline ngx_str_t
fuzz_line(ngx_pool_t *pool, const uint8_t **data, size_t *size)
{
    size_t          len;
    ngx_str_t       line;
    const uint8_t  *end;

    end = *size ? memchr(*data, '\n', *size) : NULL;
    len = end ? (size_t) (end - *data) : *size;

    line = fuzz_copy(pool, *data, len);

    len += (end != NULL);
    *data += len;
    *size -= len;

    return line;
}


static inline ngx_uint_t
fuzz_equal(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && (a->len == 0
                                || memcmp(a->data, b->data, a->len) == 0);
}


/* in any case of letters */

static inline ngx_uint_t
fuzz_contains(const void *text, size_t len, const char *part)
{
    size_t  i, n = strlen(part);

    for (i = 0; i + n <= len; i++) {
        if (strncasecmp((const char *) text + i, part, n) == 0) {
            return 1;
        }
    }

    return 0;
}


/* A second reader of JSON; the first one, the unit, is under test. */

static inline yajl_val
fuzz_json(ngx_str_t *text)
{
    char      *copy;
    yajl_val   tree;

    copy = malloc(text->len + 1);
    memcpy(copy, text->data, text->len);
    copy[text->len] = '\0';

    tree = yajl_tree_parse(copy, NULL, 0);
    free(copy);

    return tree;
}


/* the member of an object, NULL: none; given twice: aborts */

static inline yajl_val
fuzz_member(yajl_val object, const char *name)
{
    size_t    i;
    yajl_val  found = NULL;

    HOLDS(YAJL_IS_OBJECT(object));

    for (i = 0; i < object->u.object.len; i++) {
        if (strcmp(object->u.object.keys[i], name) == 0) {
            HOLDS(found == NULL);
            found = object->u.object.values[i];
        }
    }

    return found;
}


static inline ngx_uint_t
fuzz_is(yajl_val string, const char *text, size_t len)
{
    return string && YAJL_IS_STRING(string)
           && strlen(string->u.string) == len
           && memcmp(string->u.string, text, len) == 0;
}


#endif /* _FUZZ_H_INCLUDED_ */
