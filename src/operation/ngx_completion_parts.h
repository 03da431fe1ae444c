
/*
 * A long text, or several: cut into parts, each of them a submit, and one
 * answer for all.
 */


#ifndef _NGX_COMPLETION_PARTS_H_INCLUDED_
#define _NGX_COMPLETION_PARTS_H_INCLUDED_


#include "ngx_completion_submit.h"


typedef struct ngx_completion_parts_s  ngx_completion_parts_t;

/* Who waits for them, as a client of a submit does. */
typedef struct {
    void                             (*handler)(ngx_completion_parts_t *parts);
    ngx_int_t                        (*request_id)(void *data, u_char *id);
    ngx_int_t                        (*prompt)(void *data,
                                           ngx_completion_ask_t *ask);
} ngx_completion_parts_client_t;


typedef struct {
    ngx_completion_parts_t            *parts;
    ngx_completion_submit_t           *submit;   /* under way, or NULL */
    ngx_uint_t                         text;     /* of several, by index */
    size_t                             offset;   /* in the text */
    size_t                             len;
    ngx_completion_joint_e             joint;

    /* of one that was accepted */

    ngx_completion_id_t                id;       /* in the pool */
    ngx_completion_keys_t              keys;
    ngx_completion_hold_t              hold;
    unsigned                           own:1;    /* nobody else has it */
} ngx_completion_part_t;


struct ngx_completion_parts_s {

    /* to read once all have ended, or one has failed */

    ngx_completion_outcome_e             outcome;   /* OK: all accepted */
    ngx_msec_t                           retry_after;
    ngx_str_t                            reason;    /* or empty */
    ngx_completion_id_t                  id;        /* of all of them */
    ngx_completion_source_e              source;
    unsigned                             replayed:1;

    ngx_uint_t                           status;    /* upstream's, and its */
    ngx_str_t                            request_id;  /* id, of the last; */
    ngx_msec_t                           elapsed;   /* the longest of all; */
    ngx_msec_t                           queued;
    ngx_uint_t                           tries;     /* together */

    /* private */

    ngx_completion_service_t            *service;
    ngx_pool_t                          *pool;
    const ngx_completion_parts_client_t *client;
    void                                *data;
    ngx_completion_part_t               *part;
    ngx_uint_t                           n;
    ngx_uint_t                           accepted;
    unsigned                             apart:1;   /* several texts */
    unsigned                             ended:1;
};


/*
 * The text of the prompt, or each of its texts, in parts of so many bytes (0:
 * of any length) and as many as that in all, at most.  When one of several
 * texts is refused, the others go on all the same.  As
 * ngx_completion_submit_start(), and in any case but NGX_DECLINED and
 * NGX_ERROR to be left once.
 */
ngx_int_t ngx_completion_parts_start(ngx_completion_service_t *service,
    ngx_completion_ask_t *ask, size_t size, ngx_uint_t max,
    const ngx_completion_parts_client_t *client, void *data,
    ngx_completion_parts_t **parts);

/*
 * Nobody waits for them any more, or reads what they came to; those under way
 * go on.  What was not delivered is there for an equal request.
 */
void ngx_completion_parts_leave(ngx_completion_parts_t *parts,
    ngx_uint_t delivered);


#endif /* _NGX_COMPLETION_PARTS_H_INCLUDED_ */
