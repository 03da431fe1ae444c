
/*
 * What clients write, read: header fields (fields.c) and bodies (prompt.c).
 * Pure functions over strings, of any origin; no request, no log.  Nothing
 * here blocks; what is handed out is in the given pool or points into the
 * argument.
 */


#ifndef _NGX_HTTP_COMPLETION_PARSE_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_json.h"
#include "../dialect/ngx_completion_dialect.h"


typedef enum {
    NGX_HTTP_COMPLETION_JSON = 0,
    NGX_HTTP_COMPLETION_TEXT,
    NGX_HTTP_COMPLETION_STREAM
} ngx_http_completion_format_e;


typedef enum {
    NGX_HTTP_COMPLETION_BODY_TEXT = 0,
    NGX_HTTP_COMPLETION_BODY_JSON,
    NGX_HTTP_COMPLETION_BODY_FORM,
    NGX_HTTP_COMPLETION_BODY_OTHER
} ngx_http_completion_body_e;


typedef struct {
    ngx_uint_t    seconds;             /* of "wait", INT32_MAX at most */
    unsigned      wait:1;
    unsigned      respond_async:1;
} ngx_http_completion_prefer_t;


/* The best of what we have: NGX_OK, or NGX_DECLINED: nothing acceptable. */
ngx_int_t ngx_http_completion_parse_accept(ngx_str_t *accept,
    ngx_http_completion_format_e *format);

/* RFC 7240; what is not understood is not there, and the first "wait" is. */
void ngx_http_completion_parse_prefer(ngx_str_t *field,
    ngx_http_completion_prefer_t *prefer);

/*
 * An Idempotency-Key, in place without its quotes: NGX_OK, or NGX_DECLINED:
 * not 1 to 255 visible ASCII characters.
 */
ngx_int_t ngx_http_completion_parse_key(ngx_str_t *key);

/* Of a Content-Type; charset: len 0: not given, "?": given and empty. */
ngx_http_completion_body_e ngx_http_completion_parse_type(ngx_str_t *type,
    ngx_str_t *charset);

/*
 * A body as the client's part of a prompt: its text, or a native request,
 * which is one that has this member.
 * inputs: an array of ngx_completion_json_member_t made here, the top-level
 * members or the fields; NULL where there are none.  NGX_OK; NGX_DECLINED:
 * *detail says what is wrong; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_completion_parse_body(ngx_pool_t *pool,
    ngx_http_completion_body_e type, const ngx_str_t *native, ngx_str_t *body,
    ngx_array_t **inputs, ngx_completion_prompt_t *prompt,
    const char **detail);


#endif /* _NGX_HTTP_COMPLETION_PARSE_H_INCLUDED_ */
