
/*
 * Values as forms and queries have them.  Names and values are decoded into
 * the pool, values checked to be UTF-8, and pushed behind what the array of
 * ngx_completion_json_member_t has.
 */


#ifndef _NGX_COMPLETION_FORM_H_INCLUDED_
#define _NGX_COMPLETION_FORM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_completion_json.h"


/* NGX_OK; NGX_DECLINED: *detail says what is wrong; NGX_ERROR: no memory. */
ngx_int_t ngx_completion_form_values(ngx_pool_t *pool, ngx_str_t *form,
    ngx_array_t *values, ngx_str_t *detail);

/*
 * The same of "multipart/form-data", whose parts point into the form; one that
 * is a file is a value as any other.
 */
ngx_int_t ngx_completion_form_parts(ngx_str_t *form, ngx_str_t *boundary,
    ngx_array_t *values, ngx_str_t *detail);


#endif /* _NGX_COMPLETION_FORM_H_INCLUDED_ */
