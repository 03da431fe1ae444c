
/*
 * Texts that upstream did not write for end users, read from left to right
 * and copied without what a dialect's patterns and our own secrets match.
 */


#include "ngx_completion_dialect.h"


/* what is shorter may be a part of any word, and is masked as a whole one */
#define NGX_COMPLETION_MASKED_ANYWHERE  8

#define ngx_completion_cleaning_digit(c)   ((c) >= '0' && (c) <= '9')
#define ngx_completion_cleaning_letter(c)  ((c) >= 'a' && (c) <= 'z')
#define ngx_completion_cleaning_word(c)                                       \
    (ngx_completion_cleaning_digit(c)                                         \
     || ngx_completion_cleaning_letter(ngx_tolower(c)))

/* the same for both cases of a letter, and for a few that are none */
#define ngx_completion_cleaning_folded(c)  ((c) | 0x20)

#define ngx_completion_cleaning_secret(c, i)                                  \
    ((i) ? &(c)->masks->credential : &(c)->masks->tenant)


typedef struct {
    ngx_completion_masks_t  *masks;
    u_char                  *begin;
    u_char                  *p;         /* what is left to read */
    u_char                  *last;
    u_char                  *start;     /* the copy */
    u_char                  *out;
    unsigned                 strict:1;
    unsigned                 dropped:1;
} ngx_completion_cleaning_t;


static ngx_uint_t ngx_completion_cleaning_find(ngx_completion_cleaning_t *c);
static void ngx_completion_cleaning_step(ngx_completion_cleaning_t *c);
static ngx_uint_t ngx_completion_cleaning_strict(
    ngx_completion_cleaning_t *c);
static size_t ngx_completion_cleaning_masked(ngx_completion_cleaning_t *c);
static ngx_uint_t ngx_completion_cleaning_starts(
    ngx_completion_cleaning_t *c, const ngx_str_t *with);
static ngx_uint_t ngx_completion_cleaning_resource(
    ngx_completion_cleaning_t *c);
static void ngx_completion_cleaning_controls(ngx_completion_cleaning_t *c,
    ngx_str_t *text);


ngx_int_t
ngx_completion_clean(ngx_completion_masks_t *masks, ngx_pool_t *pool,
    ngx_str_t *text, size_t limit)
{
    ngx_completion_cleaning_t  c;

    if (text->len == 0) {
        return NGX_OK;
    }

    ngx_memzero(&c, sizeof(ngx_completion_cleaning_t));

    c.masks = masks;
    c.strict = 1;

    /* two copies, as nothing of it makes a text longer */

    c.begin = ngx_pnalloc(pool, 2 * text->len);
    if (c.begin == NULL) {
        return NGX_ERROR;
    }

    c.p = c.begin;
    c.last = c.begin;
    c.start = c.begin + text->len;
    c.out = c.start;

    ngx_completion_cleaning_controls(&c, text);

    while (c.p < c.last && !c.dropped) {
        ngx_completion_cleaning_step(&c);
    }

    if (c.dropped) {
        ngx_str_null(text);
        return NGX_OK;
    }

    while (c.start < c.out && *c.start == ' ') {
        c.start++;
    }

    if (limit && (size_t) (c.out - c.start) > limit) {
        c.out = c.start + limit;

        while (c.out > c.start && (*c.out & 0xc0) == 0x80) {
            c.out--;
        }
    }

    while (c.out > c.start && c.out[-1] == ' ') {
        c.out--;
    }

    text->data = c.start;
    text->len = c.out - c.start;

    return NGX_OK;
}


ngx_int_t
ngx_completion_mask(ngx_completion_masks_t *masks, ngx_pool_t *pool,
    ngx_str_t *text)
{
    ngx_completion_cleaning_t  c;

    ngx_memzero(&c, sizeof(ngx_completion_cleaning_t));

    c.masks = masks;
    c.begin = text->data;
    c.p = text->data;
    c.last = text->data + text->len;

    if (!ngx_completion_cleaning_find(&c)) {
        return NGX_OK;
    }

    c.start = ngx_pnalloc(pool, text->len);
    if (c.start == NULL) {
        return NGX_ERROR;
    }

    c.out = ngx_cpymem(c.start, text->data, c.p - text->data);

    while (c.p < c.last) {
        ngx_completion_cleaning_step(&c);
    }

    text->data = c.start;
    text->len = c.out - c.start;

    return NGX_OK;
}


/* Goes to the first secret, if there is one: few texts are to be copied. */

static ngx_uint_t
ngx_completion_cleaning_find(ngx_completion_cleaning_t *c)
{
    u_char      first[2];
    size_t      least;
    ngx_str_t  *secret;
    ngx_uint_t  i;

    least = (size_t) -1;

    for (i = 0; i < 2; i++) {
        secret = ngx_completion_cleaning_secret(c, i);

        /* with no secret of this kind, there is none but the other's */

        if (secret->len == 0) {
            secret = ngx_completion_cleaning_secret(c, !i);
        }

        if (secret->len == 0) {
            return 0;
        }

        first[i] = ngx_completion_cleaning_folded(*secret->data);
        least = ngx_min(least, secret->len);
    }

    for ( /* void */ ; (size_t) (c->last - c->p) >= least; c->p++) {

        if ((ngx_completion_cleaning_folded(*c->p) == first[0]
             || ngx_completion_cleaning_folded(*c->p) == first[1])
            && ngx_completion_cleaning_masked(c))
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_completion_cleaning_step(ngx_completion_cleaning_t *c)
{
    size_t  len;

    len = ngx_completion_cleaning_masked(c);

    if (len) {
        *c->out++ = '*';
        c->p += len;
        return;
    }

    if (!c->strict || !ngx_completion_cleaning_strict(c)) {
        *c->out++ = *c->p++;
    }
}


static ngx_uint_t
ngx_completion_cleaning_strict(ngx_completion_cleaning_t *c)
{
    u_char                          *end;
    size_t                           len;
    const ngx_completion_pattern_t  *pattern;

    pattern = c->masks->dialect->patterns;

    while (pattern->starts.len
           && !ngx_completion_cleaning_starts(c, &pattern->starts))
    {
        pattern++;
    }

    if (pattern->starts.len == 0) {

        if (!ngx_completion_cleaning_resource(c)) {
            return 0;
        }

        *c->out++ = '*';
        c->p += c->masks->dialect->resource_id;

        return 1;
    }

    if (pattern->ends == NULL) {
        c->dropped = 1;
        return 1;
    }

    len = ngx_strlen(pattern->instead);

    c->out = ngx_cpymem(c->out, pattern->instead, len);
    c->p += pattern->starts.len;

    end = ngx_strnstr(c->p, (char *) pattern->ends, c->last - c->p);
    c->p = end ? end + ngx_strlen(pattern->ends) : c->last;

    /* what stood on both sides must not make a secret together */

    if (len == 0 && c->out > c->start && c->out[-1] != ' ') {
        *c->out++ = ' ';
    }

    return 1;
}


/* The length of a secret that stands here, or 0. */

static size_t
ngx_completion_cleaning_masked(ngx_completion_cleaning_t *c)
{
    u_char      *end;
    ngx_str_t   *secret;
    ngx_uint_t   i;

    for (i = 0; i < 2; i++) {
        secret = ngx_completion_cleaning_secret(c, i);

        if (!ngx_completion_cleaning_starts(c, secret)) {
            continue;
        }

        end = c->p + secret->len;

        if (secret->len >= NGX_COMPLETION_MASKED_ANYWHERE
            || ((c->p == c->begin || !ngx_completion_cleaning_word(c->p[-1]))
                && (end == c->last || !ngx_completion_cleaning_word(*end))))
        {
            return secret->len;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_completion_cleaning_starts(ngx_completion_cleaning_t *c,
    const ngx_str_t *with)
{
    if (with->len == 0 || (size_t) (c->last - c->p) < with->len
        || ngx_tolower(*c->p) != ngx_tolower(*with->data))
    {
        return 0;
    }

    return (ngx_strncasecmp(c->p, with->data, with->len) == 0);
}


static ngx_uint_t
ngx_completion_cleaning_resource(ngx_completion_cleaning_t *c)
{
    u_char      *p;
    ngx_uint_t   digits, letters;

    /* a run of such characters counts as a whole only */

    if (c->p > c->begin
        && (ngx_completion_cleaning_digit(c->p[-1])
            || ngx_completion_cleaning_letter(c->p[-1])))
    {
        return 0;
    }

    digits = 0;
    letters = 0;

    for (p = c->p; p < c->last; p++) {

        if (ngx_completion_cleaning_digit(*p)) {
            digits++;

        } else if (ngx_completion_cleaning_letter(*p)) {
            letters++;

        } else {
            break;
        }
    }

    return digits && letters
           && digits + letters == c->masks->dialect->resource_id;
}


/* before all else, as a space may complete what is looked for */

static void
ngx_completion_cleaning_controls(ngx_completion_cleaning_t *c, ngx_str_t *text)
{
    u_char  ch, *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last) {
        ch = *p++;

        /* U+0080 to U+009F are controls as well */

        if (ch == 0xc2 && p < last && *p < 0xa0) {
            p++;
            ch = ' ';

        } else if (ch < ' ' || ch == 0x7f) {
            ch = ' ';
        }

        *c->last++ = ch;
    }
}
