
/* A request with headers of its own, and what was made its answer. */


#ifndef _HTTP_SHIM_H_INCLUDED_
#define _HTTP_SHIM_H_INCLUDED_


#include "ngx_shim.h"

#include "../../src/http/ngx_http_completion_request.h"


/* "name: value\n" of each header that was added to the answer */
extern char       shim_http_headers[1024];

/* the body, and how often nginx was given one */
extern ngx_str_t  shim_http_body;
extern int        shim_http_bodies;


/* A GET without headers; what stands in the pool goes with it. */
void shim_http_request(ngx_http_request_t *r, ngx_pool_t *pool);

/* One more header of it, as the client spells it. */
void shim_http_header(ngx_http_request_t *r, const char *name,
    const char *value);


#endif /* _HTTP_SHIM_H_INCLUDED_ */
