
/*
 * The tags of a translation against those of its text: the same ones, as often
 * and as spelled, in whatever order, as another language may have another.
 */


#include "ngx_completion_translation.h"


#define ngx_completion_translation_is_tag(c)                                  \
    ((((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'z') || (c) == '/' || (c) == '!')


static ngx_int_t ngx_completion_translation_find_tags(ngx_pool_t *pool,
    ngx_str_t *text, ngx_array_t *tags);
static int ngx_libc_cdecl ngx_completion_translation_compare(const void *one,
    const void *two);


ngx_int_t
ngx_completion_translation_tags(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *translation, ngx_uint_t *kept)
{
    ngx_str_t    *tag, *other;
    ngx_uint_t    i;
    ngx_array_t   tags, others;

    if (ngx_completion_translation_find_tags(pool, text, &tags) != NGX_OK
        || ngx_completion_translation_find_tags(pool, translation, &others)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    *kept = (tags.nelts == others.nelts);
    tag = tags.elts;
    other = others.elts;

    for (i = 0; *kept && i < tags.nelts; i++) {
        *kept = (ngx_completion_translation_compare(&tag[i], &other[i]) == 0);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_completion_translation_find_tags(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t *tags)
{
    u_char     *p, *last, *end;
    ngx_str_t  *tag;

    if (ngx_array_init(tags, pool, 8, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    last = text->data + text->len;

    for (p = text->data; p < last; p = end + 1) {
        p = ngx_strlchr(p, last, '<');

        if (p == NULL) {
            break;
        }

        end = p;

        if (last - p < 3 || !ngx_completion_translation_is_tag(p[1])) {
            continue;
        }

        end = ngx_strlchr(p, last, '>');

        if (end == NULL) {
            break;
        }

        tag = ngx_array_push(tags);
        if (tag == NULL) {
            return NGX_ERROR;
        }

        tag->data = p;
        tag->len = end + 1 - p;
    }

    if (tags->nelts) {
        ngx_qsort(tags->elts, tags->nelts, sizeof(ngx_str_t),
                  ngx_completion_translation_compare);
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_completion_translation_compare(const void *one, const void *two)
{
    int               order;
    const ngx_str_t  *a, *b;

    a = one;
    b = two;

    order = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));

    return order ? order : (a->len > b->len) - (a->len < b->len);
}
