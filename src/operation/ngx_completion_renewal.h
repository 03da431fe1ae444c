
/*
 * Getting the next token of a service, before the one that all workers share
 * is too old.
 */


#ifndef _NGX_COMPLETION_RENEWAL_H_INCLUDED_
#define _NGX_COMPLETION_RENEWAL_H_INCLUDED_


#include "ngx_completion_credentials.h"


/* As _credentials_get(); where there is none, it begins to be got. */
ngx_int_t ngx_completion_renewal_get(ngx_completion_service_t *service,
    ngx_completion_shown_t *shown);

/* A call is about to be made. */
void ngx_completion_renewals_use(void);

/* Credentials come first. */
void ngx_completion_renewals_init(ngx_cycle_t *cycle, ngx_array_t *services);
void ngx_completion_renewals_exit(void);

/* Whoever else needs a token that is on its way here may ask for it. */
void ngx_completion_renewals_yield(void);


#endif /* _NGX_COMPLETION_RENEWAL_H_INCLUDED_ */
