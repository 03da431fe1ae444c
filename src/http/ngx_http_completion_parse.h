
/*
 * What clients write in header fields, read.  Pure functions over strings, of
 * any origin; no request, no log.  What is handed out points into the
 * argument.
 */


#ifndef _NGX_HTTP_COMPLETION_PARSE_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../face/ngx_completion_face.h"


/* whether it is this word, in any case of letters */
#define ngx_http_completion_is(s, word)                                       \
    ((s)->len == sizeof(word) - 1                                             \
     && ngx_strncasecmp((s)->data, (u_char *) word, sizeof(word) - 1) == 0)


typedef struct {
    ngx_uint_t    seconds;             /* of "wait", INT32_MAX at most */
    unsigned      wait:1;
    unsigned      respond_async:1;
} ngx_http_completion_prefer_t;


/* The best of what we have: NGX_OK, or NGX_DECLINED: nothing acceptable. */
ngx_int_t ngx_http_completion_parse_accept(ngx_str_t *accept,
    ngx_completion_face_format_e *format);

/* RFC 7240; what is not understood is not there, and the first "wait" is. */
void ngx_http_completion_parse_prefer(ngx_str_t *field,
    ngx_http_completion_prefer_t *prefer);

/*
 * An Idempotency-Key, in place without its quotes: NGX_OK, or NGX_DECLINED:
 * not 1 to 255 visible ASCII characters.
 */
ngx_int_t ngx_http_completion_parse_key(ngx_str_t *key);

/* Of a Content-Type; charset: len 0: not given, "?": given and empty. */
ngx_completion_face_body_e ngx_http_completion_parse_type(ngx_str_t *type,
    ngx_str_t *charset);

/* Of the same; empty: none. */
void ngx_http_completion_parse_boundary(ngx_str_t *type, ngx_str_t *boundary);


#endif /* _NGX_HTTP_COMPLETION_PARSE_H_INCLUDED_ */
