
/*
 * A service: one provider with its zone and the keys of its ids.  It is made
 * while the configuration is read and is read-only afterwards, but for what
 * each worker hangs on its own copy when it starts.
 */


#ifndef _NGX_COMPLETION_SERVICE_H_INCLUDED_
#define _NGX_COMPLETION_SERVICE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../cluster/ngx_completion_cluster.h"
#include "../dialect/ngx_completion_dialect.h"
#include "../store/ngx_completion_zone.h"


typedef struct ngx_completion_held_s      ngx_completion_held_t;
typedef struct ngx_completion_news_s      ngx_completion_news_t;
typedef struct ngx_completion_overflow_s  ngx_completion_overflow_t;
typedef struct ngx_completion_queue_s     ngx_completion_queue_t;
typedef struct ngx_completion_watch_s     ngx_completion_watch_t;


/* in the configuration */
typedef struct {
    ngx_str_t                    file;
    ngx_uint_t                   line;
} ngx_completion_place_t;


typedef struct {
    ngx_str_t                    name;
    ngx_completion_place_t       place;      /* where its block begins */
    ngx_completion_provider_t    provider;
    ngx_completion_zone_t       *zone;
    ngx_array_t                 *id_keys;    /* of ngx_str_t */
    size_t                       submit_memory;  /* of those that wait, in
                                                    one worker */
    ngx_completion_redis_conf_t *shared;     /* with other nodes; NULL: not */
    ngx_log_t                   *log;

    /* a worker's, each of the file of its name */

    ngx_completion_cluster_t    *cluster;    /* NULL: it is alone */
    ngx_completion_held_t       *held;       /* its credential */
    ngx_completion_news_t       *news;
    ngx_completion_overflow_t   *overflow;   /* of what was to be kept */
    ngx_completion_queue_t      *queue;      /* for starts of submits */
    ngx_completion_redis_t      *redis;      /* NULL: nothing is shared */
    ngx_completion_watch_t      *watch;
} ngx_completion_service_t;


#endif /* _NGX_COMPLETION_SERVICE_H_INCLUDED_ */
