
/*
 * A text that is too long for one answer, cut into parts.
 *
 *     white | part | white | part | white
 *             ^ at most size bytes; cut where a paragraph ends, or else a
 *               sentence, a word, or a character
 *
 * A paragraph ends with an empty line, or where a sentence ends with its line.
 * A tag ("<" and a letter, "/" or "!", up to its ">") and an entity are as one
 * character each, unless they are longer than a part or than tags are; so are
 * a letter and the marks that combine with it, up to a point.  What looks like
 * the end of a sentence behind an abbreviation or an initial is none, and the
 * last place for a cut.
 *
 * Of the white space between two parts a joint is kept: none, a space, a line
 * end or an empty line.  That before the first and behind the last is dropped.
 * Parts, joined, are the text again, but for that.
 *
 * A pure function, in time linear in the text: nothing is allocated.
 */


#ifndef _NGX_COMPLETION_SPLIT_H_INCLUDED_
#define _NGX_COMPLETION_SPLIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_model.h"


/* bytes of a part, at the least that may be asked for */
#define NGX_COMPLETION_SPLIT_MIN     16

/* bytes of a tag that is not cut */
#define NGX_COMPLETION_SPLIT_TAG     256


/*
 * The next part of valid UTF-8, of so many bytes at most, and what stands
 * behind it; the rest moves on.  NGX_OK, or NGX_DONE: there was white space at
 * most.
 */
ngx_int_t ngx_completion_split(ngx_str_t *rest, size_t size, ngx_str_t *part,
    ngx_completion_joint_e *joint);


#endif /* _NGX_COMPLETION_SPLIT_H_INCLUDED_ */
