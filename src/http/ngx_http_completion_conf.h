
/*
 * Private to the units that read the configuration:
 *
 *     conf_location.c   a location's directives, and what it inherits
 *     conf_language.c   the languages of its translations
 *     conf_provider.c   the block of a provider
 *     conf_redis.c      the server by which several nodes share
 *     conf_secret.c     the provider's secrets, and whether their files can
 *                       be read
 *
 * Each may call those below it.  What they make is in
 * ngx_http_completion.h, and read-only once the configuration is read.
 */


#ifndef _NGX_HTTP_COMPLETION_CONF_H_INCLUDED_
#define _NGX_HTTP_COMPLETION_CONF_H_INCLUDED_


#include "ngx_http_completion.h"


/* a provider's block, until it ends */
typedef struct {
    ngx_completion_service_t   *service;
    uint64_t                    seen;          /* a bit per directive, the
                                                  dialect's from 32 on */

    ngx_str_t                   zone;
    size_t                      zone_size;
    ngx_completion_zone_t       params;        /* of the zone to be */
    time_t                      deadline;
    ngx_msec_t                  request_timeout;
    size_t                      submit_memory;

    ngx_str_t                   submit_url;
    ngx_str_t                   operations_url;
    ngx_str_t                   proxy;
    ngx_str_t                   redis_certificate;
    ngx_completion_origin_t     origin;        /* what all of them share */
} ngx_http_completion_block_t;


/* location */

extern ngx_command_t  ngx_http_completion_commands[];

void *ngx_http_completion_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_completion_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);


/* language */

char *ngx_http_completion_languages_names(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* What translations need of a location: NULL, or what is wrong. */
const char *ngx_http_completion_check_languages(
    ngx_http_completion_loc_conf_t *conf);


/* provider */

void *ngx_http_completion_create_main_conf(ngx_conf_t *cf);
char *ngx_http_completion_provider(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* What is left to do once all of the http block is known. */
ngx_int_t ngx_http_completion_init_providers(ngx_conf_t *cf,
    ngx_http_completion_main_conf_t *cmcf);

/* NULL: there is none of this name. */
ngx_completion_service_t *ngx_http_completion_find_service(
    ngx_http_completion_main_conf_t *cmcf, ngx_str_t *name);

/* Errors are of this place from now on, until it is called once more. */
void ngx_http_completion_conf_place(ngx_conf_t *cf,
    ngx_completion_place_t *place);


/* redis */

char *ngx_http_completion_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Once the block, its keys and its zone are known: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_completion_redis_done(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);


/* secret */

char *ngx_http_completion_id_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Keys for ids for want of configured ones: NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_completion_id_keys(ngx_conf_t *cf,
    ngx_completion_service_t *service);

/* Warns of files that workers cannot read; the user is known by then. */
void ngx_http_completion_check_files(ngx_cycle_t *cycle,
    ngx_http_completion_main_conf_t *cmcf);


#endif /* _NGX_HTTP_COMPLETION_CONF_H_INCLUDED_ */
