
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "ngx_http_completion_conf.h"


static ngx_http_completion_block_t *ngx_http_completion_block_init(
    ngx_conf_t *cf, ngx_str_t *name);
static char *ngx_http_completion_directive(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static ngx_command_t *ngx_http_completion_find_command(
    ngx_command_t *commands, ngx_str_t *name);
static char *ngx_http_completion_block_done(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);
static char *ngx_http_completion_block_credential(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);
static char *ngx_http_completion_block_origin(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *url, const char *preset,
    const char *directive, ngx_completion_origin_t *origin);
static char *ngx_http_completion_block_zone(ngx_conf_t *cf,
    ngx_http_completion_block_t *block);
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


static ngx_conf_post_t  ngx_http_completion_not_zero =
    { ngx_http_completion_check_zero };


/*
 * with those of the dialect; their reader is below, not nginx's own.  Not
 * static, so that t/docs can print them
 */

ngx_command_t  ngx_http_completion_provider_commands[] = {

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
      offsetof(ngx_http_completion_block_t, origin.tls_verify),
      NULL },

    { ngx_string("trusted_certificate"),
      NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      0,
      offsetof(ngx_http_completion_block_t, origin.trusted_certificate),
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
      offsetof(ngx_http_completion_block_t, origin.connect_timeout),
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
      offsetof(ngx_http_completion_block_t, origin.max_response_size),
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
      offsetof(ngx_http_completion_block_t, params.submit_rates),
      NULL },

    { ngx_string("poll_rate"),
      NGX_CONF_TAKE1,
      ngx_http_completion_rates,
      0,
      offsetof(ngx_http_completion_block_t, params.poll_rate),
      NULL },

    { ngx_string("submit_memory"),
      NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_http_completion_block_t, submit_memory),
      &ngx_http_completion_not_zero },

    { ngx_string("submit_queue"),
      NGX_CONF_TAKE1|NGX_CONF_TAKE2,
      ngx_http_completion_submit_queue,
      0,
      0,
      NULL },

    { ngx_string("redis"),
      NGX_CONF_1MORE,
      ngx_http_completion_redis,
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


void *
ngx_http_completion_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_completion_main_conf_t  *cmcf;

    cmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_completion_main_conf_t));

    if (cmcf == NULL
        || ngx_array_init(&cmcf->services, cf->pool, 2,
                          sizeof(ngx_completion_service_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return cmcf;
}


char *
ngx_http_completion_provider(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_main_conf_t *cmcf = conf;

    char                         *rv;
    ngx_str_t                    *value;
    ngx_conf_t                    save;
    ngx_completion_place_t       *place;
    ngx_completion_service_t    **service;
    ngx_http_completion_block_t  *block;

    value = cf->args->elts;

    /* one that is not would cost a scrape the metrics of all others */

    if (ngx_completion_utf8_check(value[1].data, value[1].len) != NGX_OK) {
        return "takes a name in UTF-8";
    }

    if (ngx_http_completion_find_service(cmcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate completion_async_provider \"%V\", "
                           "give it another name", &value[1]);
        return NGX_CONF_ERROR;
    }

    block = ngx_http_completion_block_init(cf, &value[1]);
    service = ngx_array_push(&cmcf->services);

    if (block == NULL || service == NULL) {
        return NGX_CONF_ERROR;
    }

    *service = block->service;

    place = &block->service->place;
    place->file = cf->conf_file->file.name;
    place->line = cf->conf_file->line;

    save = *cf;
    cf->handler = ngx_http_completion_directive;
    cf->handler_conf = (char *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* what is missing from a block is reported where it begins */

    ngx_http_completion_conf_place(cf, place);
    rv = ngx_http_completion_block_done(cf, block);
    ngx_http_completion_conf_place(cf, place);

    return rv;
}


static ngx_http_completion_block_t *
ngx_http_completion_block_init(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_completion_service_t     *service;
    ngx_completion_provider_t    *provider;
    ngx_http_completion_block_t  *block;

    block = ngx_pcalloc(cf->temp_pool, sizeof(ngx_http_completion_block_t));
    service = ngx_pcalloc(cf->pool, sizeof(ngx_completion_service_t));

    if (block == NULL || service == NULL) {
        return NULL;
    }

    service->name = *name;

    provider = &service->provider;
    provider->name = *name;
    provider->dialect = ngx_completion_dialects[0];

    if (provider->dialect->create_conf) {
        provider->conf = provider->dialect->create_conf(cf);

        if (provider->conf == NULL) {
            return NULL;
        }
    }

    block->service = service;
    block->deadline = NGX_CONF_UNSET;
    block->request_timeout = NGX_CONF_UNSET_MSEC;
    block->submit_memory = NGX_CONF_UNSET_SIZE;
    block->origin.tls_verify = NGX_CONF_UNSET;
    block->origin.connect_timeout = NGX_CONF_UNSET_MSEC;
    block->origin.max_response_size = NGX_CONF_UNSET_SIZE;

    block->params.poll_min = 500;
    block->params.poll_max = 30000;
    block->params.retention = NGX_CONF_UNSET;
    block->params.poll_rate.n = 50;
    block->params.poll_rate.unit = 1000;
    block->params.submit_queue_time = 10000;

    return block;
}


static char *
ngx_http_completion_directive(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    char                       *rv;
    void                       *dest;
    uint64_t                    bit;
    ngx_str_t                  *name;
    ngx_uint_t                  n;
    ngx_command_t              *cmd, *own;
    ngx_completion_provider_t  *p;

    name = cf->args->elts;
    n = cf->args->nelts;

    if (ngx_strcmp(name->data, "include") == 0) {
        return ngx_conf_include(cf, dummy, conf);
    }

    p = &block->service->provider;

    cmd = ngx_http_completion_find_command(
                                 ngx_http_completion_provider_commands, name);
    if (cmd) {
        dest = block;
        bit = (uint64_t) 1 << (cmd - ngx_http_completion_provider_commands);

    } else {
        own = p->dialect->commands;
        cmd = ngx_http_completion_find_command(own, name);

        if (cmd == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown directive \"%V\" in "
                               "completion_async_provider", name);
            return NGX_CONF_ERROR;
        }

        dest = (cmd->conf == NGX_COMPLETION_DIALECT_CONF) ? p->conf
                                                          : (void *) p;
        bit = (uint64_t) 1 << (32 + (cmd - own));
    }

    if ((cmd->type & NGX_CONF_FLAG && n != 2)
        || (cmd->type & NGX_CONF_1MORE && n < 2)
        || (!(cmd->type & (NGX_CONF_FLAG|NGX_CONF_1MORE))
            && (n > NGX_CONF_MAX_ARGS || !(cmd->type & (1 << (n - 1))))))
    {
        rv = "has an invalid number of arguments";

    } else if (block->seen & bit) {
        rv = "is duplicate";

    } else {
        block->seen |= bit;
        rv = cmd->set(cf, cmd, dest);
    }

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" directive %s", name, rv);

    return NGX_CONF_ERROR;
}


static ngx_command_t *
ngx_http_completion_find_command(ngx_command_t *commands, ngx_str_t *name)
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


static char *
ngx_http_completion_block_done(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
    ngx_completion_service_t   *service;
    ngx_completion_provider_t  *p;

    service = block->service;
    p = &service->provider;

    ngx_conf_init_value(block->deadline, 24 * 3600);
    ngx_conf_init_msec_value(block->request_timeout, 30000);
    ngx_conf_init_value(block->params.retention, 24 * 3600);
    ngx_conf_init_value(block->origin.tls_verify, 1);
    ngx_conf_init_msec_value(block->origin.connect_timeout, 5000);
    ngx_conf_init_size_value(block->origin.max_response_size, 4 * 1024 * 1024);
    ngx_conf_init_size_value(block->submit_memory, 64 * 1024 * 1024);

    if (block->zone.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "provider \"%V\" has no zone, add for example "
                           "\"zone %V 32m;\"", &service->name, &service->name);
        return NGX_CONF_ERROR;
    }

    if (block->origin.trusted_certificate.len
        && ngx_conf_full_name(cf->cycle, &block->origin.trusted_certificate, 1)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    p->request_timeout = block->request_timeout;
    service->submit_memory = block->submit_memory;

    if (ngx_http_completion_block_origin(cf, block, &block->submit_url,
                                         p->dialect->submit_url, "submit_url",
                                         &p->submit)
        != NGX_CONF_OK
        || ngx_http_completion_block_origin(cf, block, &block->operations_url,
                                            p->dialect->operations_url,
                                            "operations_url", &p->operations)
           != NGX_CONF_OK
        || ngx_http_completion_block_credential(cf, block) != NGX_CONF_OK
        || ngx_http_completion_block_zone(cf, block) != NGX_CONF_OK
        || ngx_http_completion_redis_done(cf, block) != NGX_OK
        || ngx_http_completion_id_keys(cf, service) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* the last of the origins: it changes what the block says of them */

static char *
ngx_http_completion_block_credential(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
    const char                   *fault;
    ngx_completion_provider_t    *p;
    ngx_completion_credential_t  *c;

    p = &block->service->provider;
    c = &p->credential;

    if (c->kind == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "provider \"%V\" has no credential, add %s",
                           &p->name, p->dialect->credentials);
        return NGX_CONF_ERROR;
    }

    fault = p->dialect->init_conf ? p->dialect->init_conf(p) : NULL;

    if (fault) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "provider \"%V\": %s",
                           &p->name, fault);
        return NGX_CONF_ERROR;
    }

    if (!ngx_completion_credential_renewed(c)) {
        return NGX_CONF_OK;
    }

    /* what is this machine's is no proxy's */

    if (c->kind->local) {
        ngx_str_null(&block->proxy);
    }

    block->origin.max_response_size = NGX_COMPLETION_TOKEN_ANSWER_MAX;

    return ngx_http_completion_block_origin(cf, block, &c->url, c->kind->url,
                                            c->kind->directive, &c->service);
}


/* of a URL, or of what stands for none */

static char *
ngx_http_completion_block_origin(ngx_conf_t *cf,
    ngx_http_completion_block_t *block, ngx_str_t *url, const char *preset,
    const char *directive, ngx_completion_origin_t *origin)
{
    char  *text;

    *origin = block->origin;

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

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_block_zone(ngx_conf_t *cf,
    ngx_http_completion_block_t *block)
{
    ngx_md5_t                   md5;
    ngx_completion_zone_t      *zone;
    ngx_completion_provider_t  *p;

    zone = ngx_completion_zone_add(cf, &block->zone, block->zone_size,
                                   &ngx_http_completion_async_module);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    p = &block->service->provider;

    block->params.shm_zone = zone->shm_zone;
    *zone = block->params;

    zone->deadline = (ngx_msec_t) block->deadline * 1000;
    zone->poll_lease = block->request_timeout + 1000;
    zone->lifetime = p->dialect->lifetime;

    /* stored operations mean something with these only */

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, p->operations.url.data, p->operations.url.len);
    ngx_md5_update(&md5, "\n", 1);
    ngx_md5_update(&md5, p->tenant.data, p->tenant.len);
    ngx_md5_final(zone->identity, &md5);

    block->service->zone = zone;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_completion_init_providers(ngx_conf_t *cf,
    ngx_http_completion_main_conf_t *cmcf)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, n, norigins;
    ngx_resolver_t             *resolver;
    ngx_completion_origin_t    *origin[4];
    ngx_completion_service_t  **service;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_completion_provider_t  *p;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* without a "resolver" there is a dummy one */

    resolver = clcf->resolver;

    if (resolver && resolver->connections.nelts == 0) {
        resolver = NULL;
    }

    service = cmcf->services.elts;
    rc = NGX_OK;

    for (i = 0; i < cmcf->services.nelts && rc == NGX_OK; i++) {

        service[i]->log = clcf->error_log ? clcf->error_log
                                          : &cf->cycle->new_log;

        p = &service[i]->provider;

        origin[0] = &p->submit;
        origin[1] = &p->operations;
        n = 2;

        if (ngx_completion_credential_renewed(&p->credential)) {
            origin[n++] = &p->credential.service;
        }

        if (service[i]->shared && service[i]->shared->path.len == 0) {
            origin[n++] = &service[i]->shared->origin;
        }

        norigins = n;

        /* what is wrong is wrong in the provider's block */

        ngx_http_completion_conf_place(cf, &service[i]->place);

        for (n = 0; n < norigins && rc == NGX_OK; n++) {
            rc = ngx_completion_origin_init(cf, origin[n], resolver,
                                            clcf->resolver_timeout);
        }

        ngx_http_completion_conf_place(cf, &service[i]->place);
    }

    return rc;
}


ngx_completion_service_t *
ngx_http_completion_find_service(ngx_http_completion_main_conf_t *cmcf,
    ngx_str_t *name)
{
    ngx_uint_t                  i;
    ngx_completion_service_t  **service;

    service = cmcf->services.elts;

    for (i = 0; i < cmcf->services.nelts; i++) {

        if (service[i]->name.len == name->len
            && ngx_strncmp(service[i]->name.data, name->data, name->len) == 0)
        {
            return service[i];
        }
    }

    return NULL;
}


void
ngx_http_completion_conf_place(ngx_conf_t *cf,
    ngx_completion_place_t *place)
{
    ngx_completion_place_t  other;

    other.file = cf->conf_file->file.name;
    other.line = cf->conf_file->line;

    cf->conf_file->file.name = place->file;
    cf->conf_file->line = place->line;

    *place = other;
}


static char *
ngx_http_completion_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    ssize_t     size, min;
    ngx_str_t  *value;

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    /* what it needs for itself is half of that, and will not be less */

    min = 16 * ngx_pagesize;

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
    rate = (ngx_completion_rate_t *) ((u_char *) block + cmd->offset);

    if (cf->args->nelts - 1 > NGX_COMPLETION_SUBMIT_RATES) {
        return "takes four rates at most";
    }

    if (rate == block->params.submit_rates && cf->args->nelts == 2
        && ngx_strcmp(value[1].data, "off") == 0)
    {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        text = ngx_completion_rate_parse(&value[i], rate++);

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
