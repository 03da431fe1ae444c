
/*
 * Metrics: how a submit ended; what a request to upstream brought, or that a
 * quitting worker gave it up; what an operation cost.
 */


#ifndef _NGX_COMPLETION_METER_H_INCLUDED_
#define _NGX_COMPLETION_METER_H_INCLUDED_


#include "ngx_completion_submit.h"


void ngx_completion_meter_submit(ngx_completion_submit_t *submit);
void ngx_completion_meter_queued(ngx_completion_submit_t *submit,
    ngx_msec_t delay);
void ngx_completion_meter_fetch(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f,
    ngx_completion_answer_t *answer);
void ngx_completion_meter_aborted(ngx_completion_service_t *service,
    ngx_completion_kind_e kind, ngx_completion_fetch_t *f);
void ngx_completion_meter_tokens(ngx_completion_service_t *service,
    ngx_completion_operation_t *operation);


#endif /* _NGX_COMPLETION_METER_H_INCLUDED_ */
