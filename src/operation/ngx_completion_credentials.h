
/*
 * What upstream is to be shown now, one credential a service: the content of
 * a file, which is followed, or a token in the zone, which one worker renews
 * for all (see _renewal.c).
 */


#ifndef _NGX_COMPLETION_CREDENTIALS_H_INCLUDED_
#define _NGX_COMPLETION_CREDENTIALS_H_INCLUDED_


#include "ngx_completion_service.h"


typedef struct {
    ngx_str_t     secret;      /* until the next call for the service */
    uint64_t      generation;  /* of it */
    ngx_msec_t    wait;        /* of NGX_AGAIN: ms until the next try to
                                  get one; 0: it is under way */
} ngx_completion_shown_t;


/*
 * NGX_OK; NGX_AGAIN: there is no token, NGX_COMPLETION_TOKEN_HASH tells of
 * one.  Nothing is begun by asking: see _renewal_tend().
 */
ngx_int_t ngx_completion_credentials_get(ngx_completion_service_t *service,
    ngx_completion_shown_t *shown);

/*
 * Upstream answered 401 to a secret of this generation.  NGX_OK: there is, or
 * will be, another one to repeat the request with; NGX_DECLINED: there is not.
 */
ngx_int_t ngx_completion_credentials_refused(ngx_completion_service_t *service,
    uint64_t generation);

/*
 * Looks at the file.  NGX_AGAIN: it has just changed, look again soon;
 * NGX_DECLINED: there is none to be followed; NGX_OK.
 */
ngx_int_t ngx_completion_credentials_follow(ngx_completion_service_t *service);

/*
 * Of credentials that are renewed: NGX_OK with the lease to get a token, in
 * so many ms, for *key (NULL: the machine's own); NGX_DECLINED: not now.
 */
ngx_int_t ngx_completion_credentials_due(ngx_completion_service_t *service,
    ngx_msec_t ms, ngx_completion_zone_token_t *lease,
    ngx_completion_secret_t **key);


ngx_int_t ngx_completion_credentials_init(ngx_completion_service_t *service);
void ngx_completion_credentials_exit(ngx_completion_service_t *service);


#endif /* _NGX_COMPLETION_CREDENTIALS_H_INCLUDED_ */
