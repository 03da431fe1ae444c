
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../store/ngx_completion_wake.h"

#include "ngx_http_completion_conf.h"


static ngx_int_t ngx_http_completion_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_completion_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_completion_init_process(ngx_cycle_t *cycle);
static void ngx_http_completion_exit_process(ngx_cycle_t *cycle);


/* a process that runs our event handlers, and has been started */
static ngx_uint_t  ngx_http_completion_running;


static ngx_http_module_t  ngx_http_completion_async_module_ctx = {
    ngx_http_completion_add_variables,     /* preconfiguration */
    ngx_http_completion_init,              /* postconfiguration */

    ngx_http_completion_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_completion_create_loc_conf,   /* create location configuration */
    ngx_http_completion_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_completion_async_module = {
    NGX_MODULE_V1,
    &ngx_http_completion_async_module_ctx, /* module context */
    ngx_http_completion_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_completion_init_module,       /* init module */
    ngx_http_completion_init_process,      /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_completion_exit_process,      /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_completion_init(ngx_conf_t *cf)
{
    ngx_http_completion_main_conf_t  *cmcf;

    static ngx_str_t  request_id = ngx_string("request_id");

    cmcf = ngx_http_conf_get_module_main_conf(cf,
                                            ngx_http_completion_async_module);

    cmcf->request_id = ngx_http_get_variable_index(cf, &request_id);

    if (cmcf->request_id == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (ngx_http_completion_inputs(cf, &cmcf->inputs) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_completion_init_providers(cf, cmcf);
}


static ngx_int_t
ngx_http_completion_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_completion_service_t        **service;
    ngx_http_completion_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_completion_async_module);

    if (cmcf == NULL || cmcf->services.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_completion_check_files(cycle, cmcf);

    if (ngx_test_config) {
        return NGX_OK;
    }

    /* a reload brings no new code */

    if (ngx_is_init_cycle(cycle->old_cycle)) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "nginx-completion-async/" NGX_HTTP_COMPLETION_VERSION);
    }

    if (ngx_completion_wake_open(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    service = cmcf->services.elts;

    for (i = 0; i < cmcf->services.nelts; i++) {
        ngx_completion_zone_apply(service[i]->zone);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_completion_init_process(ngx_cycle_t *cycle)
{
    ngx_http_completion_main_conf_t  *cmcf;

    /* cache managers and loaders call this, too */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    cmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_completion_async_module);

    if (cmcf == NULL || cmcf->services.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_completion_running = 1;

    return ngx_completion_worker_start(cycle, &cmcf->services);
}


static void
ngx_http_completion_exit_process(ngx_cycle_t *cycle)
{
    if (!ngx_http_completion_running) {
        return;
    }

    ngx_http_completion_running = 0;

    ngx_completion_worker_exit();
}
