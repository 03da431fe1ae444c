
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_json.h"

#include "ngx_completion_split.h"


/* bytes of an entity, and of marks that stay with their letter */
#define NGX_COMPLETION_SPLIT_ENTITY  32
#define NGX_COMPLETION_SPLIT_MARKS   64

/* bytes of what may be an abbreviation */
#define NGX_COMPLETION_SPLIT_SHORT   24


/* where a cut may be, the best place first */
typedef enum {
    NGX_COMPLETION_SPLIT_PARAGRAPH = 0,
    NGX_COMPLETION_SPLIT_SENTENCE,
    NGX_COMPLETION_SPLIT_WORD,
    NGX_COMPLETION_SPLIT_TIED,           /* a word that wants the next one */
    NGX_COMPLETION_SPLIT_LETTER,
    NGX_COMPLETION_SPLIT_PLACES
} ngx_completion_split_place_e;


/* what is read at once */
typedef enum {
    NGX_COMPLETION_SPLIT_PLAIN = 0,
    NGX_COMPLETION_SPLIT_WHITE,
    NGX_COMPLETION_SPLIT_COMBINING,      /* with what stands before it */
    NGX_COMPLETION_SPLIT_TAGGED,
    NGX_COMPLETION_SPLIT_STOP,           /* ends a sentence before a space */
    NGX_COMPLETION_SPLIT_FULL_STOP,      /* ends it, whatever follows */
    NGX_COMPLETION_SPLIT_CLOSER          /* a quote, a bracket behind it */
} ngx_completion_split_kind_e;


typedef struct {
    u_char                        *start;
    u_char                        *last;     /* of the text */
    size_t                         size;
    u_char                        *word;     /* the one being read */
    u_char                        *stop;     /* the first one behind it */
    u_char                        *untagged; /* no ">" is before this */
    ngx_completion_split_kind_e    stopped;  /* STOP, FULL_STOP or PLAIN */
    u_char                        *places[NGX_COMPLETION_SPLIT_PLACES];
} ngx_completion_split_t;


static void ngx_completion_split_scan(ngx_completion_split_t *s);
static ngx_completion_split_place_e ngx_completion_split_place(
    ngx_completion_split_t *s, u_char *p, u_char *next, ngx_uint_t lines);
static ngx_uint_t ngx_completion_split_is_short(u_char *word, u_char *stop);
static u_char *ngx_completion_split_white(u_char *p, u_char *last,
    ngx_uint_t *lines);
static ngx_completion_split_kind_e ngx_completion_split_read(
    ngx_completion_split_t *s, u_char *p, size_t *len);
static ngx_completion_split_kind_e ngx_completion_split_letter(u_char *p,
    size_t *len);
static size_t ngx_completion_split_tag(ngx_completion_split_t *s, u_char *p);
static size_t ngx_completion_split_entity(ngx_completion_split_t *s,
    u_char *p);


/* letters that are most of most texts, and never more than that */
#define ngx_completion_split_is_letter(c)                                     \
    (((c) >= 'a' && (c) <= 'z') || (c) == 0xd0 || (c) == 0xd1)


#define ngx_completion_split_is_digit(c)  ((c) >= '0' && (c) <= '9')
#define ngx_completion_split_is_alpha(c)                                      \
    (((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'z')
#define ngx_completion_split_is_alnum(c)                                      \
    (ngx_completion_split_is_digit(c) || ngx_completion_split_is_alpha(c))


/* before a full stop; of Cyrillic in lower case */

static const ngx_str_t  ngx_completion_split_short[] = {
    ngx_string("dr"), ngx_string("mr"), ngx_string("mrs"), ngx_string("ms"),
    ngx_string("st"), ngx_string("jr"), ngx_string("sr"), ngx_string("vs"),
    ngx_string("prof"), ngx_string("fig"), ngx_string("etc"),
    ngx_string("cf"), ngx_string("vol"), ngx_string("gen"),
    ngx_string("\xd0\xb8\xd0\xbc"),                              /* im */
    ngx_string("\xd1\x83\xd0\xbb"),                              /* ul */
    ngx_string("\xd1\x81\xd0\xbc"),                              /* sm */
    ngx_string("\xd1\x81\xd1\x80"),                              /* sr */
    ngx_string("\xd0\xb3\xd0\xbb"),                              /* gl */
    ngx_string("\xd1\x80\xd0\xb8\xd1\x81"),                      /* ris */
    ngx_string("\xd1\x81\xd1\x82\xd1\x80"),                      /* str */
    ngx_string("\xd1\x82\xd1\x8b\xd1\x81"),                      /* tys */
    ngx_string("\xd0\xbc\xd0\xbb\xd0\xbd"),                      /* mln */
    ngx_string("\xd0\xbf\xd1\x80\xd0\xbe\xd1\x84"),              /* prof */
    ngx_string("\xd0\xbd\xd0\xb0\xd0\xbf\xd1\x80"),              /* napr */
    ngx_null_string
};


ngx_int_t
ngx_completion_split(ngx_str_t *rest, size_t size, ngx_str_t *part,
    ngx_completion_joint_e *joint)
{
    u_char                  *p, *end;
    ngx_uint_t               i, lines;
    ngx_completion_split_t   s;

    ngx_memzero(&s, sizeof(ngx_completion_split_t));

    s.last = rest->data + rest->len;
    s.size = size;
    s.start = ngx_completion_split_white(rest->data, s.last, &lines);

    if (s.start == s.last) {
        rest->data = s.last;
        rest->len = 0;

        return NGX_DONE;
    }

    ngx_completion_split_scan(&s);

    for (i = 0; s.places[i] == NULL; i++) { /* void */ }

    end = s.places[i];
    p = ngx_completion_split_white(end, s.last, &lines);

    *joint = (p == end || p == s.last) ? NGX_COMPLETION_JOINT_NOTHING
             : (lines == 0) ? NGX_COMPLETION_JOINT_SPACE
             : (lines == 1) ? NGX_COMPLETION_JOINT_LINE
                            : NGX_COMPLETION_JOINT_BREAK;

    part->data = s.start;
    part->len = end - s.start;

    rest->data = p;
    rest->len = s.last - p;

    return NGX_OK;
}


/* the places there are in as much as fits; the end, if all does */

static void
ngx_completion_split_scan(ngx_completion_split_t *s)
{
    size_t                        len;
    u_char                       *p, *next, *letter;
    ngx_uint_t                    lines;
    ngx_completion_split_kind_e   kind;
    ngx_completion_split_place_e  place;

    s->word = s->start;
    s->untagged = s->start;
    letter = s->start;

    for (p = s->start; p < s->last; p += len) {

        if (s->stopped == NGX_COMPLETION_SPLIT_PLAIN
            && ngx_completion_split_is_letter(*p))
        {
            kind = NGX_COMPLETION_SPLIT_PLAIN;
            len = 1 + (*p >> 7);

        } else {
            kind = ngx_completion_split_read(s, p, &len);
        }

        if (kind == NGX_COMPLETION_SPLIT_WHITE) {
            next = ngx_completion_split_white(p, s->last, &lines);

            if (next == s->last) {
                s->places[NGX_COMPLETION_SPLIT_PARAGRAPH] = p;
                return;
            }

            place = ngx_completion_split_place(s, p, next, lines);
            s->places[place] = p;

            s->word = next;
            s->stopped = NGX_COMPLETION_SPLIT_PLAIN;
            len = next - p;
            letter = next;

            continue;
        }

        if (kind != NGX_COMPLETION_SPLIT_COMBINING
            || p - letter > NGX_COMPLETION_SPLIT_MARKS)
        {
            letter = p;
        }

        if (kind >= NGX_COMPLETION_SPLIT_STOP) {

            if (kind != NGX_COMPLETION_SPLIT_CLOSER
                && s->stopped != NGX_COMPLETION_SPLIT_FULL_STOP)
            {
                s->stop = (s->stopped == NGX_COMPLETION_SPLIT_PLAIN) ? p
                                                                   : s->stop;
                s->stopped = kind;
            }

        } else if (kind != NGX_COMPLETION_SPLIT_COMBINING
                   && s->stopped != NGX_COMPLETION_SPLIT_PLAIN)
        {
            if (s->stopped == NGX_COMPLETION_SPLIT_FULL_STOP
                || kind == NGX_COMPLETION_SPLIT_TAGGED)
            {
                place = ngx_completion_split_place(s, p, p, 0);
                s->places[place] = p;
            }

            s->stopped = NGX_COMPLETION_SPLIT_PLAIN;
        }

        if (p + len > s->start + s->size) {
            break;
        }

        if (*p == '<' && s->stopped == NGX_COMPLETION_SPLIT_PLAIN) {
            s->word = p + len;
        }
    }

    if (p == s->last) {
        s->places[NGX_COMPLETION_SPLIT_PARAGRAPH] = p;

    } else {
        s->places[NGX_COMPLETION_SPLIT_LETTER] = (letter > s->start) ? letter
                                                                     : p;
    }
}


/* what ends here, before white space with so many line ends */

static ngx_completion_split_place_e
ngx_completion_split_place(ngx_completion_split_t *s, u_char *p, u_char *next,
    ngx_uint_t lines)
{
    ngx_uint_t  ends;

    if (lines > 1) {
        return NGX_COMPLETION_SPLIT_PARAGRAPH;
    }

    ends = (s->stopped == NGX_COMPLETION_SPLIT_FULL_STOP);

    if (s->stopped == NGX_COMPLETION_SPLIT_STOP) {

        if (*s->stop == '.' && ngx_completion_split_is_short(s->word, s->stop))
        {
            return NGX_COMPLETION_SPLIT_TIED;
        }

        /* a sentence that goes on with a small letter has not ended */

        ends = !((*next >= 'a' && *next <= 'z')
                 || (*next == 0xd0 && next[1] >= 0xb0)
                 || (*next == 0xd1 && next[1] <= 0x9f));
    }

    if (ends) {
        return lines ? NGX_COMPLETION_SPLIT_PARAGRAPH
                     : NGX_COMPLETION_SPLIT_SENTENCE;
    }

    return NGX_COMPLETION_SPLIT_WORD;
}


/* an initial, a number of a list, "i.e", or a word that is always shortened */

static ngx_uint_t
ngx_completion_split_is_short(u_char *word, u_char *stop)
{
    size_t            len;
    u_char           *p;
    ngx_uint_t        letters;
    const ngx_str_t  *known;

    while (word < stop && *word < 0x80
           && !ngx_completion_split_is_alnum(*word))
    {
        word++;
    }

    len = stop - word;

    if (word == stop || len > NGX_COMPLETION_SPLIT_SHORT) {
        return 0;
    }

    letters = 0;

    for (p = word; p < stop; p++) {

        if (*p == '.' && !ngx_completion_split_is_digit(word[0])) {
            return 1;
        }

        letters += ((*p & 0xc0) != 0x80);
    }

    if (letters <= 1 + (ngx_uint_t) ngx_completion_split_is_digit(word[0])) {
        return 1;
    }

    for (known = ngx_completion_split_short; known->len; known++) {
        if (known->len == len
            && ngx_strncasecmp(known->data, word, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* what stands behind it, and how many lines end in it */

static u_char *
ngx_completion_split_white(u_char *p, u_char *last, ngx_uint_t *lines)
{
    ngx_uint_t  n;

    for (*lines = 0; p < last; p += n) {
        n = ngx_completion_utf8_white(p);

        if (n == 0) {
            break;
        }

        /* NEL, and the separators of lines and paragraphs */

        *lines += (*p == '\n'
                   || (*p == '\r' && (p + 1 == last || p[1] != '\n'))
                   || (n == 2 && p[1] == 0x85)
                   || (n == 3 && p[1] == 0x80
                       && (p[2] == 0xa8 || p[2] == 0xa9)));
    }

    return p;
}


static ngx_completion_split_kind_e
ngx_completion_split_read(ngx_completion_split_t *s, u_char *p, size_t *len)
{
    u_char  c;

    c = *p;
    *len = 1;

    if (c >= 0x80) {
        return ngx_completion_split_letter(p, len);
    }

    if (c == ' ' || (c >= '\t' && c <= '\r')) {
        return NGX_COMPLETION_SPLIT_WHITE;
    }

    switch (c) {

    case '.':
    case '!':
    case '?':
        return NGX_COMPLETION_SPLIT_STOP;

    case '"':
    case '\'':
    case ')':
    case ']':
    case '}':
        return NGX_COMPLETION_SPLIT_CLOSER;

    case '<':
        *len = ngx_completion_split_tag(s, p);

        return (*len == 1) ? NGX_COMPLETION_SPLIT_PLAIN
               : (p[1] == '/') ? NGX_COMPLETION_SPLIT_CLOSER
                               : NGX_COMPLETION_SPLIT_TAGGED;

    case '&':
        *len = ngx_completion_split_entity(s, p);

        return (*len == 1) ? NGX_COMPLETION_SPLIT_PLAIN
                           : NGX_COMPLETION_SPLIT_CLOSER;

    default:
        return NGX_COMPLETION_SPLIT_PLAIN;
    }
}


static ngx_completion_split_kind_e
ngx_completion_split_letter(u_char *p, size_t *len)
{
    uint32_t  c;

    if (*p >= 0xf0) {
        *len = 4;
        return NGX_COMPLETION_SPLIT_PLAIN;
    }

    if (ngx_completion_utf8_white(p)) {
        return NGX_COMPLETION_SPLIT_WHITE;
    }

    if (*p < 0xe0) {
        *len = 2;
        c = (*p & 0x1f) << 6 | (p[1] & 0x3f);

    } else {
        *len = 3;
        c = (*p & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    }

    if ((c >= 0x0300 && c <= 0x036f) || (c >= 0x1ab0 && c <= 0x1aff)
        || (c >= 0x1dc0 && c <= 0x1dff) || (c >= 0x20d0 && c <= 0x20ff)
        || (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfe20 && c <= 0xfe2f)
        || c == 0x200d)
    {
        return NGX_COMPLETION_SPLIT_COMBINING;
    }

    switch (c) {

    case 0x2026:    /* three dots */
        return NGX_COMPLETION_SPLIT_STOP;

    case 0x3002:    /* those of full width */
    case 0xff01:
    case 0xff0e:
    case 0xff1f:
    case 0xff61:
        return NGX_COMPLETION_SPLIT_FULL_STOP;

    case 0x00bb:    /* the ends of pairs */
    case 0x2019:
    case 0x201d:
    case 0x203a:
    case 0x3009:
    case 0x300b:
    case 0x300d:
    case 0x300f:
    case 0x3011:
    case 0x3015:
    case 0xff09:
        return NGX_COMPLETION_SPLIT_CLOSER;

    default:
        return NGX_COMPLETION_SPLIT_PLAIN;
    }
}


/* 1: it is none; each byte is looked at once */

static size_t
ngx_completion_split_tag(ngx_completion_split_t *s, u_char *p)
{
    size_t   limit;
    u_char  *end, *last;

    limit = ngx_min(s->size, NGX_COMPLETION_SPLIT_TAG);
    limit = ngx_min(limit, (size_t) (s->last - p));

    if (limit < 3) {
        return 1;
    }

    if (!ngx_completion_split_is_alpha(p[1]) && p[1] != '/' && p[1] != '!') {
        return 1;
    }

    last = p + limit;

    for (end = ngx_max(s->untagged, p); end < last; end++) {
        if (*end == '>') {
            s->untagged = end;
            return end + 1 - p;
        }
    }

    s->untagged = end;

    return 1;
}


static size_t
ngx_completion_split_entity(ngx_completion_split_t *s, u_char *p)
{
    size_t   limit;
    u_char  *end, *last;

    limit = ngx_min(s->size, NGX_COMPLETION_SPLIT_ENTITY);
    limit = ngx_min(limit, (size_t) (s->last - p));
    last = p + limit;

    for (end = p + 1; end < last; end++) {

        if (*end == ';') {
            return (end == p + 1) ? 1 : end + 1 - p;
        }

        if (!(ngx_completion_split_is_alnum(*end)
              || (*end == '#' && end == p + 1))) {
            break;
        }
    }

    return 1;
}
