
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../base/ngx_completion_secret.h"
#include "../model/ngx_completion_split.h"

#include "ngx_http_completion_conf.h"


/* of a text that is one of several, unless another size is asked for */
#define NGX_HTTP_COMPLETION_SPLIT_ITEM  3072

/* parts of a text at most, unless more or less are asked for */
#define NGX_HTTP_COMPLETION_SPLIT_MAX  64


static ngx_int_t ngx_http_completion_merge_handler(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *prev,
    ngx_http_completion_loc_conf_t *conf);
static char *ngx_http_completion_check(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *conf);
static char *ngx_http_completion_check_settings(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *conf);
static char *ngx_http_completion_async(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_models_names(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_completion_message(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_response_format(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_completion_owner(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_wait_time(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_split(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_completion_check_split(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *conf);
static char *ngx_http_completion_check_uri(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_completion_check_temperature(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_completion_check_max_tokens(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_completion_check_reasoning(ngx_conf_t *cf, void *post,
    void *data);


#define NGX_HTTP_COMPLETION_LOCATIONS                                         \
    (NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF)


static ngx_conf_post_t  ngx_http_completion_uri =
    { ngx_http_completion_check_uri };

static ngx_conf_post_t  ngx_http_completion_temperature =
    { ngx_http_completion_check_temperature };

static ngx_conf_post_t  ngx_http_completion_max_tokens =
    { ngx_http_completion_check_max_tokens };

static ngx_conf_post_t  ngx_http_completion_reasoning =
    { ngx_http_completion_check_reasoning };


ngx_command_t  ngx_http_completion_commands[] = {

    { ngx_string("completion_async_provider"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_completion_provider,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_HTTP_LMT_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_async,
      NGX_HTTP_LOC_CONF_OFFSET,
      1,
      (void *) &ngx_completion_native },

    { ngx_string("completion_async_operations"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_HTTP_LMT_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_async,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      (void *) &ngx_completion_native },

    { ngx_string("completion_async_openai"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_async,
      NGX_HTTP_LOC_CONF_OFFSET,
      1,
      (void *) &ngx_completion_openai },

    { ngx_string("completion_async_libretranslate"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_async,
      NGX_HTTP_LOC_CONF_OFFSET,
      1,
      (void *) &ngx_completion_libretranslate },

    { ngx_string("completion_async_deepl"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_async,
      NGX_HTTP_LOC_CONF_OFFSET,
      1,
      (void *) &ngx_completion_deepl },

    { ngx_string("completion_async_languages"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_1MORE,
      ngx_http_completion_languages_names,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_operations_uri"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, operations_uri),
      &ngx_http_completion_uri },

    { ngx_string("completion_async_model"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, model),
      NULL },

    { ngx_string("completion_async_models"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_1MORE,
      ngx_http_completion_models_names,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_message"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE2,
      ngx_http_completion_message,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_temperature"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, temperature),
      &ngx_http_completion_temperature },

    { ngx_string("completion_async_max_tokens"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, max_tokens),
      &ngx_http_completion_max_tokens },

    { ngx_string("completion_async_reasoning"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, reasoning),
      &ngx_http_completion_reasoning },

    { ngx_string("completion_async_response_format"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_response_format,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_owner"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_http_completion_owner,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, owner),
      NULL },

    { ngx_string("completion_async_wait"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE12,
      ngx_http_completion_wait_time,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_idempotency"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, idempotency),
      NULL },

    { ngx_string("completion_async_cache"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE12,
      ngx_http_completion_cache,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_split"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE12,
      ngx_http_completion_split,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("completion_async_intercept_errors"),
      NGX_HTTP_COMPLETION_LOCATIONS|NGX_HTTP_LIF_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_completion_loc_conf_t, intercept_errors),
      NULL },

    { ngx_string("completion_async_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_completion_async,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


void *
ngx_http_completion_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_completion_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_completion_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->service, face = NULL;
     *     conf->prefixed, metrics = 0;
     *     conf->provider, prefix, operations_uri, uri = { 0 };
     *     conf->temperature, max_tokens, reasoning, schema = { 0 };
     */

    conf->submits = NGX_CONF_UNSET;
    conf->format = NGX_CONF_UNSET_UINT;
    conf->model = NGX_CONF_UNSET_PTR;
    conf->models = NGX_CONF_UNSET_PTR;
    conf->languages = NGX_CONF_UNSET_PTR;
    conf->messages = NGX_CONF_UNSET_PTR;
    conf->owner = NGX_CONF_UNSET_PTR;
    conf->wait_max = NGX_CONF_UNSET_MSEC;
    conf->wait_default = NGX_CONF_UNSET_MSEC;
    conf->intercept_errors = NGX_CONF_UNSET;
    conf->idempotency = NGX_CONF_UNSET;
    conf->cache = NGX_CONF_UNSET;
    conf->cache_shared = NGX_CONF_UNSET;
    conf->split = NGX_CONF_UNSET_SIZE;
    conf->split_max = NGX_CONF_UNSET_UINT;

    return conf;
}


char *
ngx_http_completion_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_completion_loc_conf_t *prev = parent;
    ngx_http_completion_loc_conf_t *conf = child;

    char  *rv;

    ngx_conf_merge_str_value(conf->operations_uri, prev->operations_uri, "");

    /* the nearer of the two says which models there are */

    if (conf->model != NGX_CONF_UNSET_PTR && conf->models == NGX_CONF_UNSET_PTR)
    {
        conf->models = NULL;
    }

    ngx_conf_merge_ptr_value(conf->model, prev->model, NULL);
    ngx_conf_merge_ptr_value(conf->models, prev->models, NULL);
    ngx_conf_merge_ptr_value(conf->languages, prev->languages, NULL);
    ngx_conf_merge_ptr_value(conf->messages, prev->messages, NULL);
    ngx_conf_merge_str_value(conf->temperature, prev->temperature, "");
    ngx_conf_merge_str_value(conf->max_tokens, prev->max_tokens, "");
    ngx_conf_merge_str_value(conf->reasoning, prev->reasoning, "");

    if (conf->format == NGX_CONF_UNSET_UINT) {
        conf->schema = prev->schema;
        conf->schema_file = prev->schema_file;
    }

    ngx_conf_merge_uint_value(conf->format, prev->format,
                              NGX_COMPLETION_FORMAT_UNSET);
    ngx_conf_merge_ptr_value(conf->owner, prev->owner, NULL);
    ngx_conf_merge_msec_value(conf->wait_max, prev->wait_max, 55000);
    ngx_conf_merge_msec_value(conf->wait_default, prev->wait_default, 0);
    ngx_conf_merge_sec_value(conf->idempotency, prev->idempotency,
                             NGX_CONF_UNSET);
    ngx_conf_merge_sec_value(conf->cache, prev->cache, 0);
    ngx_conf_merge_value(conf->cache_shared, prev->cache_shared, 0);
    ngx_conf_merge_size_value(conf->split, prev->split, NGX_CONF_UNSET_SIZE);
    ngx_conf_merge_uint_value(conf->split_max, prev->split_max,
                              NGX_HTTP_COMPLETION_SPLIT_MAX);
    ngx_conf_merge_value(conf->intercept_errors, prev->intercept_errors, 0);

    if (ngx_http_completion_merge_handler(cf, prev, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->provider.data == NULL) {
        return NGX_CONF_OK;
    }

    ngx_http_completion_conf_place(cf, &conf->place);
    rv = ngx_http_completion_check(cf, conf);
    ngx_http_completion_conf_place(cf, &conf->place);

    return rv;
}


/* which URIs are ours, and who inherits the handler */

static ngx_int_t
ngx_http_completion_merge_handler(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *prev,
    ngx_http_completion_loc_conf_t *conf)
{
    u_char                    *p;
    size_t                     len;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if ((conf->face && clcf->handler != ngx_http_completion_handler)
        || (conf->metrics
            && clcf->handler != ngx_http_completion_metrics_handler))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" has two handlers, one of them "
                           "ours, give each a location of its own",
                           &clcf->name);
        return NGX_ERROR;
    }

    conf->uri = conf->operations_uri;

    /* an "if" or a "limit_except" has the name of its location */

    if (clcf->noname) {
        conf->prefixed = prev->prefixed;
        conf->prefix = prev->prefix;

        if (conf->provider.data == NULL) {
            conf->provider = prev->provider;
            conf->face = prev->face;
            conf->place = prev->place;
            conf->submits = prev->submits;

            if (conf->uri.len == 0) {
                conf->uri = prev->uri;
            }
        }

        if (clcf->lmt_excpt && clcf->handler == NULL) {

            if (prev->metrics) {
                clcf->handler = ngx_http_completion_metrics_handler;

            } else if (conf->provider.data) {
                clcf->handler = ngx_http_completion_handler;
            }
        }

        return NGX_OK;
    }

    conf->prefix = clcf->name;
    conf->prefixed = clcf->name.len && !clcf->exact_match && !clcf->named;
#if (NGX_PCRE)
    if (clcf->regex) {
        conf->prefixed = 0;
    }
#endif

    if (conf->prefix.len && conf->prefix.data[conf->prefix.len - 1] == '/') {
        conf->prefix.len--;
    }

    if (conf->submits != 1 || conf->uri.len || !conf->prefixed) {
        return NGX_OK;
    }

    len = conf->prefix.len + 2 * ngx_escape_uri(NULL, conf->prefix.data,
                                                conf->prefix.len,
                                                NGX_ESCAPE_URI);

    conf->uri.len = len + sizeof("/operations/") - 1;
    conf->uri.data = ngx_pnalloc(cf->pool, conf->uri.len);

    if (conf->uri.data == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) ngx_escape_uri(conf->uri.data, conf->prefix.data,
                                  conf->prefix.len, NGX_ESCAPE_URI);
    ngx_memcpy(p, "/operations/", sizeof("/operations/") - 1);

    return NGX_OK;
}


/* what its provider's upstream can do is known only now */

static char *
ngx_http_completion_check(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *conf)
{
    time_t                            lifetime;
    const char                       *fault, *own;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_completion_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf,
                                            ngx_http_completion_async_module);

    conf->service = ngx_http_completion_find_service(cmcf, &conf->provider);

    if (conf->service == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown provider \"%V\", define it in the http "
                           "block: \"completion_async_provider %V { ... }\"",
                           &conf->provider, &conf->provider);
        return NGX_CONF_ERROR;
    }

    fault = NULL;
    own = ngx_http_completion_check_languages(conf);

    if (!conf->submits && !conf->prefixed) {
        fault = "\"completion_async_operations\" needs a prefix location, "
                "for example \"location /operations/\"";

    } else if (conf->face != &ngx_completion_native && !conf->prefixed) {
        own = "needs a prefix location, for example \"location /v1 { ... }\"";

    } else if (conf->face->models && conf->models == NULL
               && conf->model == NULL)
    {
        fault = "\"completion_async_openai\" needs "
                "\"completion_async_models\", the names that clients may "
                "ask for, or \"completion_async_model\"";

    } else if (conf->submits && conf->uri.len == 0) {
        fault = "\"completion_async\" in an exact, regex or named location "
                "or an \"if\" block needs "
                "\"completion_async_operations_uri\", for example "
                "\"completion_async_operations_uri /operations/;\"";

    } else if (conf->submits && conf->cache && !conf->cache_shared
               && conf->owner == NULL)
    {
        fault = "\"completion_async_cache\" of scope \"owner\" needs "
                "\"completion_async_owner\", or write \"shared\"";
    }

    if (fault) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", fault);
        return NGX_CONF_ERROR;
    }

    if (own) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s\" %s",
                           conf->face->directive, own);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->submits && clcf->internal && conf->operations_uri.len == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "location \"%V\" is internal: the Location of its "
                           "operations is a 404 for clients, unless "
                           "\"completion_async_operations_uri\" names one "
                           "that they can reach", &clcf->name);
    }

    /* a key that outlives its operation would lead to nothing */

    lifetime = conf->service->provider.dialect->lifetime;

    if (conf->idempotency != NGX_CONF_UNSET && conf->idempotency > lifetime) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"completion_async_idempotency\" must not be "
                           "above %T%s, as long as upstream keeps results",
                           lifetime % 3600 ? lifetime / 60 : lifetime / 3600,
                           lifetime % 3600 ? "m" : "h");
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_size_value(conf->split, conf->face->items
                                              ? NGX_HTTP_COMPLETION_SPLIT_ITEM
                                              : 0);
    ngx_conf_init_value(conf->idempotency, 24 * 3600);
    conf->idempotency = ngx_min(conf->idempotency, lifetime);

    if (!conf->submits) {
        return NGX_CONF_OK;
    }

    if (ngx_http_completion_check_split(cf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_completion_check_settings(cf, conf);
}


static char *
ngx_http_completion_check_settings(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *conf)
{
    ngx_str_t                     model;
    ngx_uint_t                    i;
    const char                   *fault;
    ngx_completion_provider_t    *p;
    ngx_http_completion_model_t  *models;

    struct {
        const char  *directive;
        ngx_str_t   *shown;
        ngx_str_t   *value;
    } setting[] = {
        { "model", &model, &model },
        { "temperature", &conf->temperature, &conf->temperature },
        { "reasoning", &conf->reasoning, &conf->reasoning },
        { "response_format", &conf->schema_file, &conf->schema }
    };

    ngx_str_null(&model);

    if (conf->model && conf->model->lengths == NULL) {
        model = conf->model->value;
    }

    p = &conf->service->provider;

    for (i = 0; i < sizeof(setting) / sizeof(setting[0]); i++) {

        if (setting[i].value->len == 0) {
            continue;
        }

        fault = p->dialect->setting
                    ? p->dialect->setting(p, cf->pool, i, setting[i].value)
              : i ? "is nothing that this upstream can do" : NULL;

        if (fault) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"completion_async_%s %V\" %s",
                               setting[i].directive, setting[i].shown, fault);
            return NGX_CONF_ERROR;
        }
    }

    if (conf->models == NULL || conf->face->models == NULL) {
        return NGX_CONF_OK;
    }

    models = conf->models->elts;

    for (i = 0; i < conf->models->nelts; i++) {
        fault = p->dialect->setting(p, cf->pool, NGX_COMPLETION_SETTING_MODEL,
                                    &models[i].model);
        if (fault) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"completion_async_models %V\" %s",
                               &models[i].model, fault);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* the directives that make a location one of ours; of metrics, no argument */

static char *
ngx_http_completion_async(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 metrics;
    ngx_http_core_loc_conf_t  *clcf;

    value = cf->args->elts;
    metrics = (cf->args->nelts == 1);

    if (metrics ? ccf->face != NULL : ccf->metrics) {
        return "needs a location of its own: metrics and operations do not "
               "share one";
    }

    if (ccf->metrics) {
        return "is duplicate";
    }

    if (ccf->face && ccf->face == cmd->post) {
        return (ccf->submits == (ngx_flag_t) cmd->offset)
                   ? "is duplicate"
                   : "is duplicate: a location either submits or serves "
                     "operations only";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (ccf->face || clcf->handler) {
        return "is duplicate: there is one handler in a location, give this "
               "one a location of its own";
    }

    if (metrics) {
        ccf->metrics = 1;
        clcf->handler = ngx_http_completion_metrics_handler;

        return NGX_CONF_OK;
    }

    ccf->face = cmd->post;
    ccf->submits = cmd->offset;
    ccf->provider = value[1];
    ccf->place.file = cf->conf_file->file.name;
    ccf->place.line = cf->conf_file->line;

    clcf->handler = ngx_http_completion_handler;

    return NGX_CONF_OK;
}


/* "NAME" or "NAME=URI" */

static char *
ngx_http_completion_models_names(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    u_char                       *equals;
    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_completion_model_t  *model;

    if (ccf->models != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    ccf->models = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                   sizeof(ngx_http_completion_model_t));
    if (ccf->models == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        model = ngx_array_push(ccf->models);

        model->name = value[i];
        model->model = value[i];

        equals = ngx_strlchr(value[i].data, value[i].data + value[i].len, '=');

        if (equals) {
            model->name.len = equals - value[i].data;
            model->model.data = equals + 1;
            model->model.len = value[i].len - model->name.len - 1;
        }

        if (model->name.len == 0 || model->model.len == 0
            || ngx_strnstr(model->name.data, "://", model->name.len))
        {
            return "takes names of models, or a name and what it stands for, "
                   "NAME=MODEL or NAME=URI";
        }

        if (ngx_completion_utf8_check(model->name.data, model->name.len)
            != NGX_OK)
        {
            return "takes names in UTF-8";
        }

        if (ngx_http_completion_find_model(ccf->models, i - 1, &model->name))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "the model \"%V\" is named twice",
                               &model->name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_message(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ngx_str_t                         *value;
    ngx_http_completion_message_t     *message;
    ngx_http_compile_complex_value_t   ccv;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "system") != 0
        && ngx_strcmp(value[1].data, "user") != 0
        && ngx_strcmp(value[1].data, "assistant") != 0)
    {
        return "takes the role \"system\", \"user\" or \"assistant\"";
    }

    if (ngx_completion_utf8_check(value[2].data, value[2].len) != NGX_OK) {
        return "takes a text in UTF-8";
    }

    if (ccf->messages == NGX_CONF_UNSET_PTR) {
        ccf->messages = ngx_array_create(cf->pool, 2,
                                       sizeof(ngx_http_completion_message_t));
        if (ccf->messages == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    message = ngx_array_push(ccf->messages);
    if (message == NULL) {
        return NGX_CONF_ERROR;
    }

    message->role = value[1];

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[2];
    ccv.complex_value = &message->text;

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


static char *
ngx_http_completion_response_format(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ngx_err_t                 err;
    ngx_str_t                *value;
    const char               *fault;
    ngx_array_t              *members;
    ngx_file_info_t           info;
    ngx_completion_secret_t  *content;

    value = cf->args->elts;

    if (ccf->format != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_strcmp(value[1].data, "json") == 0) {
        ccf->format = NGX_COMPLETION_FORMAT_JSON;
        return NGX_CONF_OK;
    }

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* read as a secret is, though it is none */

    fault = ngx_completion_secret_read(&value[1], cf->log, &content, &info,
                                       &err);
    if (fault) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err, "\"%V\" %s", &value[1],
                           fault);
        return NGX_CONF_ERROR;
    }

    if (ngx_completion_secret_attach(cf->pool, content) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fault = "no memory";

    if (ngx_completion_json_members(cf->pool, &content->value, &members,
                                    &fault)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must hold a JSON schema, an object: %s",
                           &value[1], fault);
        return NGX_CONF_ERROR;
    }

    ccf->schema = content->value;
    ccf->schema_file = value[1];
    ccf->format = NGX_COMPLETION_FORMAT_SCHEMA;

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_owner(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "must not be empty, use for example \"$remote_user\"";
    }

    if (ngx_strlcasestrn(value[1].data, value[1].data + value[1].len,
                         (u_char *) NGX_HTTP_COMPLETION_INPUT,
                         sizeof(NGX_HTTP_COMPLETION_INPUT) - 2)
        != NULL)
    {
        return "must not depend on the request's body, use what "
               "authentication sets, for example \"$remote_user\"";
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


static char *
ngx_http_completion_wait_time(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ngx_int_t   ms;
    ngx_str_t  *value, text;

    value = cf->args->elts;

    if (ccf->wait_max != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR) {
        return "must be a time, for example \"55s default=0\"";
    }

    ccf->wait_max = ms;
    ccf->wait_default = 0;

    if (cf->args->nelts == 3) {
        text.data = value[2].data + 8;
        text.len = value[2].len - 8;

        if (value[2].len <= 8
            || ngx_strncmp(value[2].data, "default=", 8) != 0
            || (ms = ngx_parse_time(&text, 0)) == NGX_ERROR
            || (ngx_msec_t) ms > ccf->wait_max)
        {
            return "takes \"default=TIME\" not above the maximum, "
                   "for example \"55s default=10s\"";
        }

        ccf->wait_default = ms;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ccf->cache != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    ccf->cache = 0;
    ccf->cache_shared = 0;

    if (cf->args->nelts == 2) {
        return (ngx_strcmp(value[1].data, "off") == 0)
                   ? NGX_CONF_OK
                   : "takes \"off\", or a time and a scope, "
                     "for example \"1h owner\"";
    }

    ccf->cache = ngx_parse_time(&value[1], 1);

    if (ccf->cache == (time_t) NGX_ERROR || ccf->cache == 0) {
        return "takes a time above zero, for example \"1h owner\"";
    }

    if (ngx_strcmp(value[2].data, "shared") == 0) {
        ccf->cache_shared = 1;

    } else if (ngx_strcmp(value[2].data, "owner") != 0) {
        return "takes the scope \"owner\" or \"shared\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_split(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ssize_t     size;
    ngx_int_t   max;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ccf->split != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    ccf->split = 0;
    ccf->split_max = NGX_HTTP_COMPLETION_SPLIT_MAX;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    size = ngx_parse_size(&value[1]);

    if (size < NGX_COMPLETION_SPLIT_MIN) {
        return "takes \"off\", or a size of 16 bytes or more, "
               "for example \"3k max=64\"";
    }

    ccf->split = size;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    max = (ngx_strncmp(value[2].data, "max=", 4) == 0)
              ? ngx_atoi(value[2].data + 4, value[2].len - 4) : NGX_ERROR;

    if (max <= 0) {
        return "takes \"max=\" and a number of parts above zero";
    }

    ccf->split_max = max;

    return NGX_CONF_OK;
}


/* the id of as many parts, if one is given out, has to fit into a URL */

static char *
ngx_http_completion_check_split(ngx_conf_t *cf,
    ngx_http_completion_loc_conf_t *conf)
{
    size_t                           len;
    ngx_uint_t                       most;
    const ngx_completion_dialect_t  *dialect;

    dialect = conf->service->provider.dialect;

    if (conf->split == 0) {
        return NGX_CONF_OK;
    }

    if (dialect->joined == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"completion_async_split\" cannot be had of the "
                           "upstream of provider \"%V\", write \"off\"",
                           &conf->provider);
        return NGX_CONF_ERROR;
    }

    len = dialect->resource_id ? dialect->resource_id
                               : NGX_COMPLETION_ID_UPSTREAM;
    most = (NGX_COMPLETION_ID_WHOLE_MAX - NGX_COMPLETION_ID_TAIL)
           / (len + NGX_COMPLETION_ID_JOINT);

    if (conf->split_max > most && !conf->face->items) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the id of %ui parts would be longer than %d "
                           "characters, write \"max=%ui\" or less in "
                           "\"completion_async_split\"",
                           conf->split_max, NGX_COMPLETION_ID_WHOLE_MAX, most);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_check_uri(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *uri = data;

    ngx_uint_t  i;

    if (uri->data[0] != '/'
        && ngx_strncmp(uri->data, "http://", 7) != 0
        && ngx_strncmp(uri->data, "https://", 8) != 0)
    {
        return "must begin with \"/\", \"http://\" or \"https://\"";
    }

    for (i = 0; i < uri->len; i++) {
        if (uri->data[i] <= 0x20 || uri->data[i] >= 0x7f) {
            return "must be made of visible ASCII characters, "
                   "others percent-encoded";
        }
    }

    if (uri->data[uri->len - 1] != '/') {
        return "must end with \"/\", as ids follow it";
    }

    return NGX_CONF_OK;
}


/* numbers are kept as they are spelled: so upstream gets them */

static char *
ngx_http_completion_check_temperature(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *value = data;

    if (ngx_atofp(value->data, value->len, 4) == NGX_ERROR
        || value->data[0] == '.'
        || value->data[value->len - 1] == '.'
        || (value->len > 1 && value->data[0] == '0' && value->data[1] != '.'))
    {
        return "must be a number, zero or above, for example \"0.1\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_completion_check_max_tokens(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *value = data;

    if (ngx_atoi(value->data, value->len) == NGX_ERROR
        || value->data[0] == '0')
    {
        return "must be a whole number above zero, for example \"2000\"";
    }

    return NGX_CONF_OK;
}


/* the words are the dialect's */

static char *
ngx_http_completion_check_reasoning(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *value = data;

    return value->len ? NGX_CONF_OK : "must not be empty";
}
