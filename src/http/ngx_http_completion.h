
/*
 * The module as nginx sees it: its configurations, what is made of them, and
 * the handlers.
 */


#ifndef _NGX_HTTP_COMPLETION_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../face/ngx_completion_face.h"
#include "../operation/ngx_completion_operation.h"
#include "../operation/ngx_completion_parts.h"
#include "../operation/ngx_completion_whole.h"


/* as the changelog has it */
#define NGX_HTTP_COMPLETION_VERSION   "0.2.0"

#define NGX_HTTP_COMPLETION_INPUT     "completion_async_input_"


typedef struct {
    ngx_array_t                  services;   /* of service_t * */
    ngx_int_t                    request_id; /* index of $request_id */
    ngx_array_t                  inputs;     /* of ngx_str_t: members that the
                                                configuration reads */
} ngx_http_completion_main_conf_t;


typedef struct {
    ngx_str_t                    role;
    ngx_http_complex_value_t     text;
} ngx_http_completion_message_t;


/* a name that clients may ask for, and what it is upstream */
typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    model;
} ngx_http_completion_model_t;


typedef struct {
    ngx_str_t                    provider;   /* may be defined further down */
    ngx_completion_place_t       place;      /* of the handler's directive */
    ngx_completion_service_t    *service;    /* of the provider, once merged */
    const ngx_completion_face_t *face;
    ngx_flag_t                   submits;    /* not operations only */
    ngx_flag_t                   metrics;    /* nothing but metrics */

    ngx_str_t                    prefix;     /* without a trailing slash */
    ngx_flag_t                   prefixed;   /* a prefix location */
    ngx_str_t                    operations_uri;  /* as configured */
    ngx_str_t                    uri;        /* what "Location" is made of */

    ngx_http_complex_value_t    *model;
    ngx_array_t                 *models;     /* of model_t */
    ngx_array_t                 *languages;  /* of face_language_t */
    ngx_array_t                 *messages;   /* of message_t */
    ngx_str_t                    temperature;
    ngx_str_t                    max_tokens;
    ngx_str_t                    reasoning;
    ngx_uint_t                   format;
    ngx_str_t                    schema;
    ngx_str_t                    schema_file;

    ngx_http_complex_value_t    *owner;
    ngx_msec_t                   wait_max;
    ngx_msec_t                   wait_default;
    ngx_flag_t                   intercept_errors;

    time_t                       idempotency;     /* seconds; 0: off */
    time_t                       cache;           /* seconds; 0: off */
    ngx_flag_t                   cache_shared;

    size_t                       split;           /* bytes; 0: off */
    ngx_uint_t                   split_max;       /* parts */
} ngx_http_completion_loc_conf_t;




/* models: the one of this name among the first n, or NULL */

ngx_http_completion_model_t *ngx_http_completion_find_model(
    ngx_array_t *models, ngx_uint_t n, ngx_str_t *name);


/* handler */

ngx_int_t ngx_http_completion_handler(ngx_http_request_t *r);


/* metrics */

ngx_int_t ngx_http_completion_metrics_handler(ngx_http_request_t *r);


/* client: a variable's value, the digest of the request's credential */

ngx_int_t ngx_http_completion_client_key(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* variables */

ngx_int_t ngx_http_completion_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_completion_inputs(ngx_conf_t *cf, ngx_array_t *inputs);


extern ngx_module_t  ngx_http_completion_async_module;


#endif /* _NGX_HTTP_COMPLETION_H_INCLUDED_ */
