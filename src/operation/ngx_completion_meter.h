
/*
 * Metrics: what a request to upstream brought, or that a quitting worker gave
 * it up; what an operation cost.
 */


#ifndef _NGX_COMPLETION_METER_H_INCLUDED_
#define _NGX_COMPLETION_METER_H_INCLUDED_


#include "ngx_completion_service.h"


void ngx_completion_meter_fetch(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f,
    ngx_completion_answer_t *answer);
void ngx_completion_meter_aborted(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f);
void ngx_completion_meter_tokens(ngx_completion_service_t *service,
    ngx_completion_operation_t *operation);


#endif /* _NGX_COMPLETION_METER_H_INCLUDED_ */
