
/*
 * What the module has, for reference.t, on standard error: its directives,
 * variables and outcomes, and the configuration that it makes of a text, word
 * by word.  A line each, of fields with tabs between them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../../src/http/ngx_http_completion_conf.h"
#include "../../src/dialect/yandex/ngx_completion_yandex.h"


extern ngx_command_t  ngx_http_completion_provider_commands[];


typedef struct {
    ngx_uint_t   flag;
    const char  *name;
} named_t;


ngx_http_variable_t *__real_ngx_http_add_variable(ngx_conf_t *cf,
    ngx_str_t *name, ngx_uint_t flags);
char *__real_ngx_http_completion_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
ngx_int_t __real_ngx_http_completion_init_providers(ngx_conf_t *cf,
    ngx_http_completion_main_conf_t *cmcf);


static const named_t  contexts[] = {
    { NGX_HTTP_MAIN_CONF, "http" },
    { NGX_HTTP_SRV_CONF, "server" },
    { NGX_HTTP_LOC_CONF, "location" },
    { NGX_HTTP_LIF_CONF, "if in location" },
    { NGX_HTTP_LMT_CONF, "limit_except" },
    { NGX_HTTP_SIF_CONF, "if" },
    { 0, NULL }
};


static void
commands(ngx_command_t *cmd, ngx_uint_t block)
{
    ngx_uint_t      n;
    const named_t  *context;

    for ( /* void */ ; cmd->name.len; cmd++) {

        fprintf(stderr, "directive\t%s\t%s", cmd->name.data,
                block ? "completion_async_provider" : "");

        for (context = contexts; context->name; context++) {
            if (!block && (cmd->type & context->flag)) {
                fprintf(stderr, ", %s", context->name);
            }
        }

        fprintf(stderr, "\t");

        for (n = 0; n < NGX_CONF_MAX_ARGS; n++) {
            if ((cmd->type & (NGX_CONF_NOARGS << n))
                || (n == 1 && (cmd->type & NGX_CONF_FLAG))
                || (n >= 1 && (cmd->type & NGX_CONF_1MORE))
                || (n >= 2 && (cmd->type & NGX_CONF_2MORE)))
            {
                fprintf(stderr, " %d", (int) n);
            }
        }

        fprintf(stderr, "\t%s\n", cmd->type & NGX_CONF_FLAG ? "flag" : "");
    }
}


static void
words(void *data, size_t size)
{
    size_t  n;

    for (n = 0; n < size / sizeof(uintptr_t); n++) {
        fprintf(stderr, " %lx", ((unsigned long *) data)[n]);
    }
}


static void
url(ngx_completion_origin_t *origin)
{
    if (origin) {
        fprintf(stderr, " %.*s", (int) origin->url.len, origin->url.data);
    }
}


static void
provider(ngx_completion_service_t *service)
{
    ngx_completion_yandex_conf_t  *conf;

    conf = service->provider.conf;

    fprintf(stderr, "conf\t%.*s\t", (int) service->name.len,
            service->name.data);

    words(service->zone, sizeof(ngx_completion_zone_t));
    words(&service->provider, sizeof(ngx_completion_provider_t));
    words(&service->submit_memory, sizeof(size_t));
    words(&conf->data_logging, sizeof(ngx_flag_t));

    /* an address of a string says nothing of it */

    url(&service->provider.submit);
    url(&service->provider.operations);
    url(&service->provider.credential.service);

    fprintf(stderr, "\n");
}


ngx_http_variable_t *
__wrap_ngx_http_add_variable(ngx_conf_t *cf, ngx_str_t *name, ngx_uint_t flags)
{
    fprintf(stderr, "variable\t%.*s%s\n", (int) name->len, name->data,
            flags & NGX_HTTP_VAR_PREFIX ? "NAME" : "");

    return __real_ngx_http_add_variable(cf, name, flags);
}


char *
__wrap_ngx_http_completion_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    char                      *rv;
    ngx_http_core_loc_conf_t  *clcf;

    rv = __real_ngx_http_completion_merge_loc_conf(cf, parent, child);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    fprintf(stderr, "conf\t%.*s\t", (int) clcf->name.len, clcf->name.data);
    words(child, sizeof(ngx_http_completion_loc_conf_t));
    fprintf(stderr, "\n");

    return rv;
}


ngx_int_t
__wrap_ngx_http_completion_init_providers(ngx_conf_t *cf,
    ngx_http_completion_main_conf_t *cmcf)
{
    ngx_int_t                         rc;
    ngx_uint_t                        i;
    ngx_completion_service_t        **service;
    const ngx_completion_outcome_t   *outcome;

    rc = __real_ngx_http_completion_init_providers(cf, cmcf);

    commands(ngx_http_completion_commands, 0);
    commands(ngx_http_completion_provider_commands, 1);
    commands(ngx_completion_dialects[0]->commands, 1);

    for (i = NGX_COMPLETION_OK + 1; i < NGX_COMPLETION_OUTCOMES; i++) {
        outcome = &ngx_completion_outcomes[i];
        fprintf(stderr, "outcome\t%s\t%d\t%s\n", outcome->code,
                (int) outcome->status, outcome->repeatable ? "true" : "false");
    }

    service = cmcf->services.elts;

    for (i = 0; i < cmcf->services.nelts; i++) {
        provider(service[i]);
    }

    return rc;
}
