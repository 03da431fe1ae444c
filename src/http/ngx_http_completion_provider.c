
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "ngx_http_completion_block.h"


#define NGX_HTTP_COMPLETION_FILE_MAX  65536


static char *ngx_http_completion_directive(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static ngx_command_t *ngx_http_completion_find(ngx_command_t *commands,
    ngx_str_t *name);
static ngx_int_t ngx_http_completion_block_init(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *name);
static char *ngx_http_completion_block_done(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);
static char *ngx_http_completion_block_zone(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);
static void ngx_http_completion_identity(ngx_completion_service_t *service);
static char *ngx_http_completion_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_poll_interval(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_completion_rates(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_submit_queue(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_completion_check_zero(ngx_conf_t *cf, void *post,
    void *data);


static ngx_conf_post_t  ngx_http_completion_not_zero = {
    ngx_http_completion_check_zero
};


/*
 * the directives of the block, with those of its dialect; their reader is
 * below, not nginx's own
 */

static ngx_command_t  ngx_http_completion_provider_commands[] = {

    { ngx_string("zone"),
      NGX_CONF_TAKE2,
      ngx_http_completion_zone,
      0,
      0,
      NULL },

    { ngx_string("submit_url"),
      NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      0,
      offsetof(ngx_http_completion_block_t, submit_url),
      NULL },

    { ngx_string("operations_url"),
      NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      0,
      offsetof(ngx_http_completion_block_t, operations_url),
      NULL },

    { ngx_string("id_key"),
      NGX_CONF_1MORE,
      ngx_http_completion_id_key,
      0,
      0,
      NULL },

    { ngx_string("tls_verify"),
      NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      0,
      offsetof(ngx_http_completion_block_t, tls_verify),
      NULL },

    { ngx_string("trusted_certificate"),
      NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      0,
      offsetof(ngx_http_completion_block_t, trusted_certificate),
      NULL },

    { ngx_string("proxy"),
      NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      0,
      offsetof(ngx_http_completion_block_t, proxy),
      NULL },

    { ngx_string("connect_timeout"),
      NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_http_completion_block_t, connect_timeout),
      &ngx_http_completion_not_zero },

    { ngx_string("request_timeout"),
      NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_http_completion_block_t, request_timeout),
      &ngx_http_completion_not_zero },

    { ngx_string("max_response_size"),
      NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_http_completion_block_t, max_response_size),
      &ngx_http_completion_not_zero },

    { ngx_string("poll_interval"),
      NGX_CONF_TAKE2,
      ngx_http_completion_poll_interval,
      0,
      0,
      NULL },

    { ngx_string("submit_rate"),
      NGX_CONF_1MORE,
      ngx_http_completion_rates,
      0,
      0,
      NULL },

    { ngx_string("poll_rate"),
      NGX_CONF_TAKE1,
      ngx_http_completion_rates,
      1,
      0,
      NULL },

    { ngx_string("submit_queue"),
      NGX_CONF_TAKE1|NGX_CONF_TAKE2,
      ngx_http_completion_submit_queue,
      0,
      0,
      NULL },

    { ngx_string("deadline"),
      NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      0,
      offsetof(ngx_http_completion_block_t, deadline),
      &ngx_http_completion_not_zero },

    { ngx_string("retention"),
      NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      0,
      offsetof(ngx_http_completion_block_t, params.retention),
      &ngx_http_completion_not_zero },

      ngx_null_command
};


char *
ngx_http_completion_provider(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_main_conf_t *cmcf = conf;

    char                         *rv;
    ngx_str_t                    *value;
    ngx_conf_t                    save;
    ngx_uint_t                    i, first, last;
    ngx_completion_service_t    **service;
    ngx_http_completion_place_t  *place;
    ngx_http_completion_block_t   block;

    value = cf->args->elts;
    service = cmcf->services.elts;

    /* one that is not would cost a scrape the metrics of all others */

    if (ngx_completion_utf8_check(value[1].data, value[1].len) != NGX_OK) {
        return "takes a name in UTF-8";
    }

    for (i = 0; i < cmcf->services.nelts; i++) {
        if (service[i]->name.len == value[1].len
            && ngx_strncmp(service[i]->name.data, value[1].data, value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate completion_async_provider \"%V\", "
                               "give it another name", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    first = cf->conf_file->line;

    if (ngx_http_completion_block_init(cf, &block, &value[1]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    service = ngx_array_push(&cmcf->services);
    place = ngx_array_push(&cmcf->places);

    if (service == NULL || place == NULL) {
        return NGX_CONF_ERROR;
    }

    *service = block.service;

    place->file = cf->conf_file->file.name;
    place->line = first;

    save = *cf;
    cf->handler = ngx_http_completion_directive;
    cf->handler_conf = (char *) &block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* what is missing from a block is reported where it begins */

    last = cf->conf_file->line;
    cf->conf_file->line = first;

    rv = ngx_http_completion_block_done(cf, &block);

    cf->conf_file->line = last;

    return rv;
}


static char *
ngx_http_completion_directive(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    char                       *rv;
    void                       *dest;
    uint64_t                    bit;
    ngx_str_t                  *value;
    ngx_uint_t                  n;
    ngx_command_t              *cmd, *own;
    ngx_completion_provider_t  *p;

    value = cf->args->elts;
    n = cf->args->nelts;

    if (ngx_strcmp(value[0].data, "include") == 0) {
        return ngx_conf_include(cf, dummy, conf);
    }

    p = &block->service->provider;
    own = p->dialect->commands;

    cmd = ngx_http_completion_find(ngx_http_completion_provider_commands,
                                   &value[0]);
    if (cmd) {
        dest = block;
        bit = (uint64_t) 1 << (cmd - ngx_http_completion_provider_commands);

    } else {
        cmd = ngx_http_completion_find(own, &value[0]);
        dest = (cmd && cmd->conf == NGX_COMPLETION_DIALECT_CONF)
                   ? p->conf : (void *) p;
        bit = cmd ? (uint64_t) 1 << (32 + (cmd - own)) : 0;
    }

    if (cmd == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in "
                           "completion_async_provider", &value[0]);
        return NGX_CONF_ERROR;
    }

    if (n > NGX_CONF_MAX_ARGS
        || (cmd->type & NGX_CONF_FLAG && n != 2)
        || (cmd->type & NGX_CONF_1MORE && n < 2)
        || (!(cmd->type & (NGX_CONF_FLAG|NGX_CONF_1MORE))
            && !(cmd->type & (1 << (n - 1)))))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\" directive",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    if (block->seen & bit) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" directive is duplicate", &value[0]);
        return NGX_CONF_ERROR;
    }

    block->seen |= bit;

    rv = cmd->set(cf, cmd, dest);

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" directive %s",
                       &value[0], rv);

    return NGX_CONF_ERROR;
}


static ngx_command_t *
ngx_http_completion_find(ngx_command_t *commands, ngx_str_t *name)
{
    ngx_command_t  *cmd;

    for (cmd = commands; cmd->name.len; cmd++) {

        if (cmd->name.len == name->len
            && ngx_strcmp(cmd->name.data, name->data) == 0)
        {
            return cmd;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_completion_block_init(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *name)
{
    ngx_completion_service_t   *service;
    ngx_completion_provider_t  *provider;

    service = ngx_pcalloc(cf->pool, sizeof(ngx_completion_service_t));
    if (service == NULL) {
        return NGX_ERROR;
    }

    service->name = *name;

    provider = &service->provider;
    provider->name = *name;
    provider->dialect = ngx_completion_dialects[0];
    provider->conf = provider->dialect->create_conf(cf);

    if (provider->conf == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(block, sizeof(ngx_http_completion_block_t));

    block->service = service;
    block->deadline = NGX_CONF_UNSET;
    block->tls_verify = NGX_CONF_UNSET;
    block->connect_timeout = NGX_CONF_UNSET_MSEC;
    block->request_timeout = NGX_CONF_UNSET_MSEC;
    block->max_response_size = NGX_CONF_UNSET_SIZE;

    block->params.poll_min = 500;
    block->params.poll_max = 30000;
    block->params.retention = NGX_CONF_UNSET;
    block->params.poll_rate.n = 50;
    block->params.poll_rate.unit = 1000;
    block->params.submit_queue_time = 10000;

    return NGX_OK;
}


static char *
ngx_http_completion_block_done(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
    char                       *rv;
    ngx_completion_service_t   *service;
    ngx_completion_provider_t  *provider;

    service = block->service;
    provider = &service->provider;

    ngx_conf_init_value(block->deadline, 24 * 3600);
    ngx_conf_init_value(block->tls_verify, 1);
    ngx_conf_init_msec_value(block->connect_timeout, 5000);
    ngx_conf_init_msec_value(block->request_timeout, 30000);
    ngx_conf_init_size_value(block->max_response_size, 4 * 1024 * 1024);
    ngx_conf_init_value(block->params.retention, 24 * 3600);

    if (block->zone.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "provider \"%V\" has no zone, add for example "
                           "\"zone %V 32m;\"", &service->name, &service->name);
        return NGX_CONF_ERROR;
    }

    provider->request_timeout = block->request_timeout;

    rv = ngx_http_completion_block_origin(cf, block, &block->submit_url,
                                          provider->dialect->submit_url,
                                          "submit_url", &provider->submit);
    if (rv == NGX_CONF_OK) {
        rv = ngx_http_completion_block_origin(cf, block,
                                              &block->operations_url,
                                              provider->dialect->operations_url,
                                              "operations_url",
                                              &provider->operations);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_completion_block_credential(cf, block);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_completion_block_zone(cf, block);
    }

    if (rv == NGX_CONF_OK && service->id_keys == NULL
        && ngx_http_completion_random_key(cf, service) != NGX_OK)
    {
        rv = NGX_CONF_ERROR;
    }

    return rv;
}


char *
ngx_http_completion_block_origin(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *url, const char *preset,
    const char *directive, ngx_completion_origin_t *origin)
{
    char  *text;

    if (url->data == NULL) {
        url->data = (u_char *) preset;
        url->len = ngx_strlen(preset);
    }

    text = ngx_completion_origin_parse(cf, url, origin);

    if (text == NULL && block->proxy.data
        && ngx_strcmp(block->proxy.data, "off") != 0)
    {
        directive = "proxy";
        text = ngx_completion_origin_proxy(cf, &block->proxy, origin);
    }

    if (text) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%s\" of provider \"%V\": %s", directive,
                           &block->service->name, text);
        return NGX_CONF_ERROR;
    }

    if (block->trusted_certificate.len
        && ngx_conf_full_name(cf->cycle, &block->trusted_certificate, 1)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    origin->trusted_certificate = block->trusted_certificate;
    origin->tls_verify = block->tls_verify;
    origin->connect_timeout = block->connect_timeout;
    origin->max_response_size = block->max_response_size;

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_block_zone(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
    ngx_completion_zone_t     *zone;
    ngx_completion_service_t  *service;

    service = block->service;

    zone = ngx_completion_zone_add(cf, &block->zone, block->zone_size,
                                   &ngx_http_completion_async_module);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    block->params.shm_zone = zone->shm_zone;
    *zone = block->params;

    zone->deadline = (ngx_msec_t) block->deadline * 1000;
    zone->poll_lease = block->request_timeout + 1000;
    zone->lifetime = service->provider.dialect->lifetime;

    service->zone = zone;
    ngx_http_completion_identity(service);

    return NGX_CONF_OK;
}


/* stored operations mean something with these only */

static void
ngx_http_completion_identity(ngx_completion_service_t *service)
{
    ngx_md5_t                   md5;
    ngx_completion_provider_t  *provider;

    provider = &service->provider;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, provider->operations.url.data,
                   provider->operations.url.len);
    ngx_md5_update(&md5, "\n", 1);
    ngx_md5_update(&md5, provider->tenant.data, provider->tenant.len);
    ngx_md5_final(service->zone->identity, &md5);
}


/* once all of the http block is known */

ngx_int_t
ngx_http_completion_providers_init(ngx_conf_t *cf,
    ngx_http_completion_main_conf_t *cmcf)
{
    ngx_int_t                    rc;
    ngx_str_t                    name;
    ngx_uint_t                   i, line;
    ngx_resolver_t              *resolver;
    ngx_completion_service_t   **service;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_completion_provider_t   *provider;
    ngx_http_completion_place_t *place;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* without a "resolver" there is a dummy one */

    resolver = clcf->resolver;

    if (resolver && resolver->connections.nelts == 0) {
        resolver = NULL;
    }

    service = cmcf->services.elts;
    place = cmcf->places.elts;

    rc = NGX_OK;
    name = cf->conf_file->file.name;
    line = cf->conf_file->line;

    for (i = 0; i < cmcf->services.nelts && rc == NGX_OK; i++) {
        provider = &service[i]->provider;

        service[i]->log = clcf->error_log ? clcf->error_log
                                          : &cf->cycle->new_log;

        /* what is wrong is wrong in the provider's block */

        cf->conf_file->file.name = place[i].file;
        cf->conf_file->line = place[i].line;

        rc = ngx_completion_origin_init(cf, &provider->submit, resolver,
                                        clcf->resolver_timeout);
        if (rc == NGX_OK) {
            rc = ngx_completion_origin_init(cf, &provider->operations,
                                            resolver, clcf->resolver_timeout);
        }

        if (rc == NGX_OK
            && ngx_completion_credential_renewed(&provider->credential))
        {
            rc = ngx_completion_origin_init(cf, &provider->credential.service,
                                            resolver, clcf->resolver_timeout);
        }
    }

    cf->conf_file->file.name = name;
    cf->conf_file->line = line;

    return rc;
}


static char *
ngx_http_completion_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    ssize_t     size, min;
    ngx_str_t  *value;

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);
    min = 8 * ngx_pagesize;

    if (size == NGX_ERROR || size < min) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" of zone \"%V\", it must be "
                           "at least %z bytes, for example \"32m\"",
                           &value[2], &value[1], min);
        return NGX_CONF_ERROR;
    }

    block->zone = value[1];
    block->zone_size = size;

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_poll_interval(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_completion_block_t *block = conf;

    ngx_int_t   min, max;
    ngx_str_t  *value;

    value = cf->args->elts;

    min = ngx_parse_time(&value[1], 0);
    max = ngx_parse_time(&value[2], 0);

    if (min == NGX_ERROR || max == NGX_ERROR || min == 0 || min > max) {
        return "must be two times above zero, the shorter one first, "
               "for example \"500ms 30s\"";
    }

    block->params.poll_min = min;
    block->params.poll_max = max;

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_rates(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    char                   *text;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_completion_rate_t  *rate;

    value = cf->args->elts;

    if (cf->args->nelts - 1 > NGX_COMPLETION_SUBMIT_RATES) {
        return "takes four rates at most";
    }

    if (!cmd->conf && cf->args->nelts == 2
        && ngx_strcmp(value[1].data, "off") == 0)
    {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        rate = cmd->conf ? &block->params.poll_rate
                         : &block->params.submit_rates[i - 1];

        text = ngx_completion_rate_parse(&value[i], rate);

        if (text) {
            return text;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_submit_queue(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_completion_block_t *block = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR) {
        return "must be a number of submits, for example \"100 10s\"";
    }

    block->params.submit_queue = n;

    if (cf->args->nelts == 3) {
        n = ngx_parse_time(&value[2], 0);

        if (n == NGX_ERROR || n == 0) {
            return "must end in a time above zero, for example \"100 10s\"";
        }

        block->params.submit_queue_time = n;
    }

    return NGX_CONF_OK;
}


/* times and sizes are of one size, too */

static char *
ngx_http_completion_check_zero(ngx_conf_t *cf, void *post, void *data)
{
    return *(ngx_uint_t *) data ? NGX_CONF_OK : "must be above zero";
}


ngx_int_t
ngx_http_completion_read_file(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *content, ngx_file_info_t *info)
{
    ssize_t     n;
    ngx_int_t   rc;
    ngx_file_t  file;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    ngx_memzero(&file, sizeof(ngx_file_t));
    file.name = *name;
    file.log = cf->log;

    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(file.fd, info) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (!ngx_is_file(info)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a regular file", name);
        goto done;
    }

    content->len = ngx_min(ngx_file_size(info),
                           NGX_HTTP_COMPLETION_FILE_MAX + 1);
    content->data = ngx_pnalloc(cf->pool, content->len + 1);

    if (content->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, content->data, content->len, 0);

    if (n == NGX_ERROR) {
        goto done;
    }

    if (n == 0 || n > NGX_HTTP_COMPLETION_FILE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           n ? "\"%V\" is longer than 64k"
                             : "\"%V\" is empty", name);
        goto done;
    }

    content->len = n;
    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return rc;
}
