
/*
 * A service: one provider with its zone and the keys of its ids.  It is made
 * while the configuration is read and is read-only afterwards.
 */


#ifndef _NGX_COMPLETION_SERVICE_H_INCLUDED_
#define _NGX_COMPLETION_SERVICE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../dialect/ngx_completion_dialect.h"
#include "../store/ngx_completion_zone.h"


/* in the configuration */
typedef struct {
    ngx_str_t                    file;
    ngx_uint_t                   line;
} ngx_completion_place_t;


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   index;      /* among the services */
    ngx_completion_place_t       place;      /* where its block begins */
    ngx_completion_provider_t    provider;
    ngx_completion_zone_t       *zone;
    ngx_array_t                 *id_keys;    /* of ngx_str_t */
    ngx_log_t                   *log;
} ngx_completion_service_t;


#endif /* _NGX_COMPLETION_SERVICE_H_INCLUDED_ */
