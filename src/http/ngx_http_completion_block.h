
/*
 * Private to the units that read a provider's block: what is known of it
 * until it ends.
 */


#ifndef _NGX_HTTP_COMPLETION_BLOCK_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_BLOCK_H_INCLUDED_


#include "ngx_http_completion.h"


typedef struct {
    ngx_completion_service_t   *service;
    uint64_t                    seen;          /* a bit per directive, the
                                                  dialect's from 32 on */

    ngx_str_t                   zone;
    size_t                      zone_size;
    ngx_completion_zone_t       params;        /* of the zone to be */
    time_t                      deadline;

    ngx_str_t                   submit_url;
    ngx_str_t                   operations_url;
    ngx_str_t                   proxy;
    ngx_str_t                   trusted_certificate;
    ngx_flag_t                  tls_verify;
    ngx_msec_t                  connect_timeout;
    ngx_msec_t                  request_timeout;
    size_t                      max_response_size;
} ngx_http_completion_block_t;


/* A URL, or what stands for none, with what the block says of connections. */
char *ngx_http_completion_block_origin(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *url, const char *preset,
    const char *directive, ngx_completion_origin_t *origin);


/* credential: a directive, and what the whole block says of secrets */

char *ngx_http_completion_id_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

char *ngx_http_completion_block_credential(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);

/* Keys for ids for want of configured ones: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_completion_random_key(ngx_conf_t *cf,
    ngx_completion_service_t *service);


#endif /* _NGX_HTTP_COMPLETION_BLOCK_H_INCLUDED_ */
