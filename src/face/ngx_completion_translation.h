
/*
 * Translation: what the interfaces that clients know it by have in common.
 *
 *     libretranslate.c, deepl.c     the tables: routes, names, shapes
 *     translation_read.c            values, texts and languages of a request
 *     translation_write.c           what came of each of its texts
 *     translation_tags.c            whether tags were kept
 *
 * The first two call the others, and write_ calls tags_.  Nobody outside of
 * them includes this.
 */


#ifndef _NGX_COMPLETION_TRANSLATION_H_INCLUDED_
#define _NGX_COMPLETION_TRANSLATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_face.h"


/* seconds that equal requests share one operation, and of a wait no more */
#define NGX_COMPLETION_TRANSLATION_REMEMBERS  600


/* the status of a translation that failed: it was paid for */
#define NGX_COMPLETION_TRANSLATION_FAILED  424


/* what an item came to */
typedef struct {
    ngx_str_t                        text;
    ngx_completion_face_language_t  *language;  /* of the text; or, where it
                                                   was to be found out, */
    unsigned                         found:1;   /* whether it was */
} ngx_completion_translation_t;


/* read: all of them return NGX_OK, NGX_DECLINED or NGX_ERROR */

/*
 * Values of the query, and behind them those of the body, to the input's
 * members; the items are those of this name, of the body if it has any.
 * Secret: a value that is no member, but the client's key; or NULL.
 */
ngx_int_t ngx_completion_translation_values(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *item, const char *secret);

/* The last one of this name; NULL: there is none, or it is null. */
ngx_completion_json_member_t *ngx_completion_translation_value(
    ngx_completion_face_input_t *input, const char *name);

/*
 * The languages that these values name; a source that is not said, or for
 * which there is no name, is to be found out.
 */
ngx_int_t ngx_completion_translation_languages(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *source,
    const char *target);

/*
 * The items as texts of the prompt: equal ones once, blank ones not at all,
 * and, where the language is to be found out, how that is to be said.
 */
ngx_int_t ngx_completion_translation_texts(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt);

/* The beginning of the one item, for no more than its language. */
ngx_int_t ngx_completion_translation_detect(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, ngx_completion_prompt_t *prompt);

/* A refusal that is about a value: NGX_DECLINED, or NGX_ERROR. */
ngx_int_t ngx_completion_translation_refuse(ngx_pool_t *pool,
    ngx_completion_face_input_t *input, const char *name, const char *fault);

ngx_completion_face_language_t *ngx_completion_translation_language(
    ngx_completion_face_input_t *input, ngx_str_t *code);


/*
 * write.  One for each item, in order: NGX_OK; NGX_DECLINED: there is no
 * translation, the fault says why, and the status how; NGX_ERROR.
 */
ngx_int_t ngx_completion_translation_items(ngx_pool_t *pool,
    ngx_completion_face_view_t *view, ngx_completion_translation_t **items,
    ngx_completion_face_answer_t *to, ngx_completion_face_fault_t *fault);

/*
 * An answer that says what is wrong, in a member of this name; its status is
 * the problem's unless there is one already.
 */
ngx_int_t ngx_completion_translation_fault(ngx_pool_t *pool,
    const char *member, ngx_completion_face_fault_t *fault,
    ngx_completion_face_answer_t *to);


/* tags: whether both texts have the same ones, NGX_ERROR: no memory */

ngx_int_t ngx_completion_translation_tags(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *translation, ngx_uint_t *kept);


#endif /* _NGX_COMPLETION_TRANSLATION_H_INCLUDED_ */
