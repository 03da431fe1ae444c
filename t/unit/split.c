
#include "tap.h"
#include "ngx_shim.h"

#include <time.h>

#include "../../src/base/ngx_completion_json.h"
#include "../../src/model/ngx_completion_split.h"


#define MEGABYTE  (1024 * 1024)


/* the parts of a text, with "|" and the joint's number between them */

static ngx_str_t
parts(const char *text, size_t size)
{
    u_char                  *p;
    ngx_str_t                rest = str(text), part, said;
    ngx_completion_joint_e   joint;

    static u_char            buf[8192];

    p = buf;

    while (ngx_completion_split(&rest, size, &part, &joint) == NGX_OK) {
        memcpy(p, part.data, part.len);
        p += part.len;
        *p++ = '|';

        if (rest.len) {
            *p++ = (u_char) ('0' + joint);
        }
    }

    said.data = buf;
    said.len = p - buf;

    return said;
}


static void
is_parts(const char *text, size_t size, const char *expected,
    const char *name)
{
    ngx_str_t  got = parts(text, size);

    is_str(&got, expected, name);
}


static void
test_places(void)
{
    is_parts("short", 16, "short|", "what fits is one part");
    is_parts(" \n a b \n", 16, "a b|", "without the white space around it");
    is_parts("", 16, "", "nothing");
    is_parts(" \r\n\t\xc2\xa0\xe3\x80\x80", 16, "", "white space alone");

    is_parts("One. Two.\n\nThree four", 16, "One. Two.|3Three four|",
             "a paragraph is better than what fits");
    is_parts("One. Two.\r\n\r\nThree four", 16, "One. Two.|3Three four|",
             "of any kind of lines");
    is_parts("One.\n \n\n \nThree four five", 16, "One.|3Three four five|",
             "many empty lines are one");
    is_parts("One two.\nThree. Four", 16, "One two.|2Three. Four|",
             "a sentence that ends its line");
    is_parts("A\n\nB\n\nC\n\nD\n\nE\n\nF\n\nG", 16,
             "A\n\nB\n\nC\n\nD\n\nE\n\nF|3G|", "the last one that fits");

    is_parts("One two. Three four", 16, "One two.|1Three four|", "a sentence");
    is_parts("One \"two!\" Three four", 16, "One \"two!\"|1Three four|",
             "with what closes it");
    is_parts("One two?! Three four", 16, "One two?!|1Three four|",
             "two marks");
    is_parts("One two\xe2\x80\xa6 Three four", 16,
             "One two\xe2\x80\xa6|1Three four|", "three dots");

    is_parts("one two three four five", 16, "one two three|1four five|",
             "a word");
    is_parts("one two\nthree four five", 16, "one two\nthree|1four five|",
             "a line's end is one of a word");
    is_parts("one two three\nfour", 16, "one two three|2four|",
             "and stays one");
    is_parts("one\xc2\xa0two three four", 16, "one\xc2\xa0two three|1four|",
             "spaces of other kinds");
    is_parts("0123456789abcdef one", 16, "0123456789abcdef|1one|",
             "a word of just so many bytes");
    is_parts("0123456789abcdefghij", 16, "0123456789abcdef|0ghij|",
             "a longer one");
}


static void
test_sentences(void)
{
    is_parts("To Dr. Watson himself", 16, "To Dr. Watson|1himself|",
             "no sentence ends with Dr.");
    is_parts("So far. To Dr. Who it is", 16, "So far.|1To Dr. Who it is|",
             "but one before it");
    is_parts("Abc defghij Dr. Watson", 16, "Abc defghij|1Dr. Watson|",
             "nor does a word");
    is_parts("Abcdefghi_Dr. Watson", 16, "Abcdefghi_Dr.|1Watson|",
             "a word that is not known");
    is_parts("Abcdefghi.Dr. Watsonville", 16, "Abcdefghi.Dr.|1Watsonville|",
             "where there is nothing better");

    /* "to yest", "t.e. Eto" */

    is_parts("\xd0\x90\xd0\xb1 \xd1\x82.\xd0\xb5. \xd0\x92\xd0\xb3\xd0\xb4"
             "\xd0\xb5", 16,
             "\xd0\x90\xd0\xb1|1\xd1\x82.\xd0\xb5. \xd0\x92\xd0\xb3\xd0\xb4"
             "\xd0\xb5|", "an abbreviation in Cyrillic stays with its word");
    is_parts("\xd0\x94\xd0\xb0. \xd0\x9d\xd0\xb5\xd1\x82 \xd0\x96\xd0\xb0",
             16,
             "\xd0\x94\xd0\xb0.|1\xd0\x9d\xd0\xb5\xd1\x82 \xd0\x96\xd0\xb0|",
             "a sentence in Cyrillic");

    is_parts("Pi is 3.14 times it", 16, "Pi is 3.14 times|1it|",
             "a number is none");
    is_parts("It is 3.14. So it is", 16, "It is 3.14.|1So it is|",
             "but may end one");
    is_parts("By A. S. Pushkin he", 16, "By A. S. Pushkin|1he|", "initials");
    is_parts("\"Why?\" he said again", 16, "\"Why?\" he said|1again|",
             "what goes on in small letters");

    is_parts("\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82\xe4\xbd\xa0\xe5\xa5\xbd"
             "\xe5\x90\x97", 16,
             "\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82|0\xe4\xbd\xa0\xe5\xa5\xbd"
             "\xe5\x90\x97|", "a sentence in Chinese, without a space");
    is_parts("\xe4\xbd\xa0\xef\xbc\x81\xe3\x80\x8d\xe4\xbd\xa0\xe5\xa5\xbd"
             "\xe5\x90\x97", 16,
             "\xe4\xbd\xa0\xef\xbc\x81\xe3\x80\x8d|0\xe4\xbd\xa0\xe5\xa5\xbd"
             "\xe5\x90\x97|", "with what closes it");
    is_parts("\xe4\xbd\xa0\xe5\xa5\xbd\xe5\x90\x97\xe4\xbd\xa0\xe5\xa5\xbd"
             "\xe4\xbd\xa0", 16,
             "\xe4\xbd\xa0\xe5\xa5\xbd\xe5\x90\x97\xe4\xbd\xa0\xe5\xa5\xbd"
             "|0\xe4\xbd\xa0|", "no character is cut");
}


static void
test_whole(void)
{
    is_parts("one <a href='x'>two", 16, "one|1<a href='x'>two|",
             "no tag is cut");
    is_parts("onetwo<a href='x'>two", 16, "onetwo|0<a href='x'>two|",
             "before it, if need be");
    is_parts("onetwothree</a></b></c>", 16, "onetwothree</a>|0</b></c>|",
             "or behind it");
    is_parts("a < b one < c two > d", 16, "a < b one < c|1two > d|",
             "what is no tag");
    is_parts("<a href='0123456789'>", 16, "<a|1href='0123456789|0'>|",
             "what is longer than a part is none");
    is_parts("0123456789ab&nbsp;cd", 16, "0123456789ab|0&nbsp;cd|",
             "no entity is cut");
    is_parts("0123456789ab&#x2014;cd", 16, "0123456789ab|0&#x2014;cd|",
             "nor one by its number");
    is_parts("0123456789ab& b;cdef", 16, "0123456789ab&|1b;cdef|",
             "what is no entity");
    is_parts("Two.</p><p>Three four", 16, "Two.</p>|0<p>Three four|",
             "a sentence ends with its tag");
    is_parts("0123456789abcd" "e\xcc\x81" "fg", 16,
             "0123456789abcd|0" "e\xcc\x81" "fg|", "a letter keeps its mark");
}


/* What holds of any text's parts; returns how many, or -1. */

static int
holds_of(u_char *data, size_t len, size_t size)
{
    int                     n = 0;
    u_char                 *p = data, *q;
    ngx_str_t               rest = { len, data }, part;
    ngx_uint_t              lines, w;
    ngx_completion_joint_e  joint, seen = NGX_COMPLETION_JOINT_NOTHING;

    for ( ;; ) {

        for (q = p, lines = 0; q < data + len; q += w) {
            w = ngx_completion_utf8_white(q);

            if (w == 0) {
                break;
            }

            lines += (*q == '\n'
                      || (*q == '\r' && (q + 1 == data + len
                                         || q[1] != '\n'))
                      || (w == 2 && q[1] == 0x85)
                      || (w == 3 && q[1] == 0x80 && (q[2] == 0xa8
                                                     || q[2] == 0xa9)));
        }

        if (ngx_completion_split(&rest, size, &part, &joint) != NGX_OK) {
            return (q == data + len && rest.len == 0
                    && seen == NGX_COMPLETION_JOINT_NOTHING) ? n : -1;
        }

        /* all that is left out is what the joint tells */

        if (part.data != q || part.len == 0 || part.len > size
            || ngx_completion_utf8_white(part.data)
            || ngx_completion_utf8_blank(part.data, part.len)
            || ngx_completion_utf8_check(part.data, part.len) != NGX_OK
            || rest.data + rest.len != data + len
            || (n && seen != (p == q ? NGX_COMPLETION_JOINT_NOTHING
                              : lines == 0 ? NGX_COMPLETION_JOINT_SPACE
                              : lines == 1 ? NGX_COMPLETION_JOINT_LINE
                                           : NGX_COMPLETION_JOINT_BREAK)))
        {
            return -1;
        }

        p = part.data + part.len;
        seen = joint;
        n++;
    }
}


static void
test_random(void)
{
    int         n, bad = 0;
    size_t      size;
    u_char      text[400], *p;
    ngx_uint_t  i, j, pick;

    static const char  *pieces[] = {
        "a", "Bc", "word", ".", "!", "? ", ". ", " ", "  ", "\n", "\r\n",
        "\n\n", "\t", "\xc2\xa0", "\xe2\x80\xa8", "\xe3\x80\x80", "<b>", "</b>",
        "<a href=\"http://example.com/\">", "<", ">", "&amp;", "&", ";",
        "\xd0\x94", "\xd0\xb0", "\xd1\x82.\xd0\xb5. ", "Dr. ", "3.14",
        "\xe4\xbd\xa0", "\xe3\x80\x82", "\xef\xbc\x9f", "\xe3\x80\x8d", "\"",
        ")", "\xcc\x81", "\xe2\x80\x8d", "\xf0\x9f\x91\xa9", "1", "\xe2\x80\xa6"
    };

    srandom(7);

    for (i = 0; i < 20000; i++) {
        p = text;

        for (j = random() % 60; j; j--) {
            pick = random() % (sizeof(pieces) / sizeof(pieces[0]));
            p = ngx_cpymem(p, pieces[pick], strlen(pieces[pick]));

            if (p > text + sizeof(text) - 32) {
                break;
            }
        }

        size = NGX_COMPLETION_SPLIT_MIN + random() % 60;
        n = holds_of(text, p - text, size);

        if (n < 0) {
            bad++;
            printf("# size %zu: '%.*s'\n", size, (int) (p - text), text);
        }
    }

    is_int(bad, 0, "20,000 texts are what their parts tell");
}


/* a megabyte of it, in parts; the time is that of a machine under load */

static void
hostile(const char *piece, size_t size, const char *name)
{
    int       n;
    size_t    len;
    u_char   *text, *p;
    clock_t   began;

    len = strlen(piece);
    text = malloc(MEGABYTE + len);

    for (p = text; p < text + MEGABYTE; p += len) {
        memcpy(p, piece, len);
    }

    began = clock();
    n = holds_of(text, p - text, size);

    ok(n >= 0 && clock() - began < 5 * CLOCKS_PER_SEC, name);
    printf("# %d parts\n", n);

    free(text);
}


static void
test_hostile(void)
{
    hostile("a", 3072, "one word");
    hostile("a", 16, "one word, in small parts");
    hostile("a", 2 * MEGABYTE, "one word that fits");
    hostile("\n", 3072, "new lines alone");
    hostile("\n\na", 3072, "paragraphs of a letter");
    hostile("<a>", 3072, "tags alone");
    hostile("<a", 3072, "tags that do not end");
    hostile("<!-", 3072, "and comments");
    hostile("&a", 3072, "entities that do not end");
    hostile("&amp;", 3072, "entities alone");
    hostile("\xcc\x81", 3072, "combining characters");
    hostile("\xcc\x81", 16, "combining characters, in small parts");
    hostile("\xe3\x80\x82", 3072, "full stops in Chinese");
    hostile(".", 3072, "full stops");
    hostile("a. ", 3072, "initials");
    hostile("a.", 3072, "an abbreviation");
    hostile("\xf0\x9f\x91\xa9\xe2\x80\x8d", 3072, "a family");
}


int
main(void)
{
    test_places();
    test_sentences();
    test_whole();
    test_random();
    test_hostile();

    return tap_done();
}
