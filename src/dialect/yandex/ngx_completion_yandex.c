
/*
 * The table of the dialect, and what it asks of a configuration.
 */


#include "ngx_completion_yandex.h"


static void *ngx_completion_yandex_create_conf(ngx_conf_t *cf);
static const char *ngx_completion_yandex_init_conf(
    ngx_completion_provider_t *p);
static char *ngx_completion_yandex_folder(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static const char *ngx_completion_yandex_setting(ngx_completion_provider_t *p,
    ngx_pool_t *pool, ngx_completion_setting_e setting, ngx_str_t *value);


#define NGX_COMPLETION_YANDEX_SCHEMA  "{\"jsonSchema\":{\"schema\":%V}}"


static ngx_command_t  ngx_completion_yandex_commands[] = {

    { ngx_string("folder"),
      NGX_CONF_TAKE1,
      ngx_completion_yandex_folder,
      0,
      0,
      NULL },

    { ngx_string("api_key"),
      NGX_CONF_TAKE1,
      ngx_completion_credential_slot,
      0,
      0,
      &ngx_completion_yandex_api_key },

    { ngx_string("iam_token"),
      NGX_CONF_TAKE1,
      ngx_completion_credential_slot,
      0,
      0,
      &ngx_completion_yandex_iam_token },

    { ngx_string("service_account_key"),
      NGX_CONF_TAKE1,
      ngx_completion_credential_slot,
      0,
      0,
      &ngx_completion_yandex_service_key },

    { ngx_string("metadata_token"),
      NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_completion_credential_slot,
      0,
      0,
      &ngx_completion_yandex_metadata_token },

    { ngx_string("iam_url"),
      NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_COMPLETION_DIALECT_CONF,
      offsetof(ngx_completion_yandex_conf_t, iam_url),
      NULL },

    { ngx_string("data_logging"),
      NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_COMPLETION_DIALECT_CONF,
      offsetof(ngx_completion_yandex_conf_t, data_logging),
      NULL },

      ngx_null_command
};


static const ngx_completion_hint_t  ngx_completion_yandex_hints[] = {
    { 401, "the credential" },
    { 403, "the account's role \"ai.languageModels.user\" and the folder" },
    { 404, "the model and the folder" },
    { 0, NULL }
};


static const char  *ngx_completion_yandex_request_ids[] = {
    "x-request-id",
    "x-server-trace-id",
    NULL
};


static const ngx_completion_pattern_t  ngx_completion_yandex_patterns[] = {

    /* "... internal_id=...&request_id=...&folder_id=...: reason" */
    { ngx_string("Error in session "), ": ", "" },

    /* "Permission to [resource-manager.folder ...] denied" */
    { ngx_string("Permission to ["), "]", "Permission" },

    /* whatever else tells of these is beyond repair */
    { ngx_string("internal_id"), NULL, NULL },
    { ngx_string("internalId"), NULL, NULL },
    { ngx_string("request_id"), NULL, NULL },
    { ngx_string("requestId"), NULL, NULL },
    { ngx_string("folder_id"), NULL, NULL },
    { ngx_string("folderId"), NULL, NULL },

    { ngx_null_string, NULL, NULL }
};


const ngx_completion_dialect_t  ngx_completion_yandex = {

    NGX_COMPLETION_YANDEX_SUBMIT_URL,      /* submit_url */
    NGX_COMPLETION_YANDEX_OPERATIONS_URL,  /* operations_url */
    ngx_completion_yandex_commands,        /* commands */

    "\"api_key file:PATH;\", \"iam_token file:PATH;\", "
    "\"service_account_key file:PATH;\" or \"metadata_token;\"",

    ngx_completion_yandex_create_conf,     /* create_conf */
    ngx_completion_yandex_init_conf,       /* init_conf */
    ngx_completion_yandex_setting,         /* setting */

    72 * 3600,                             /* lifetime */
    ngx_string("messages"),                /* native */

    ngx_completion_yandex_body,            /* body */
    ":cancel",                             /* cancel */
    0,                                     /* cancel_post */
    ngx_completion_yandex_headers,         /* headers */

    "x-operation-poll-interval",           /* poll_interval */
    ngx_completion_yandex_request_ids,     /* request_ids */
    ngx_completion_yandex_hints,           /* hints */

    ngx_completion_id_check,               /* id */
    ngx_completion_yandex_answer,          /* answer */
    ngx_completion_yandex_reason,          /* reason */
    ngx_completion_yandex_patterns,        /* patterns */
    20,                                    /* resource_id */
    ngx_completion_yandex_result,          /* result */
    ngx_completion_yandex_decided,         /* decided */
    ngx_completion_yandex_joined           /* joined */
};


static void *
ngx_completion_yandex_create_conf(ngx_conf_t *cf)
{
    ngx_completion_yandex_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_completion_yandex_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->data_logging = NGX_CONF_UNSET;

    return conf;
}


static const char *
ngx_completion_yandex_init_conf(ngx_completion_provider_t *p)
{
    ngx_completion_yandex_conf_t  *conf;

    conf = p->conf;

    ngx_conf_init_value(conf->data_logging, 0);

    if (conf->iam_url.data == NULL) {
        return NULL;
    }

    if (p->credential.kind != &ngx_completion_yandex_service_key) {
        return "\"iam_url\" is for a \"service_account_key\" only, add one or "
               "remove \"iam_url\"";
    }

    p->credential.url = conf->iam_url;

    return NULL;
}


static char *
ngx_completion_yandex_folder(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_completion_provider_t *p = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_completion_id_check(&value[1]) != NGX_OK) {
        return "must be an id of letters, digits, \"-\" and \"_\"";
    }

    p->tenant = value[1];

    return NGX_CONF_OK;
}


static const char *
ngx_completion_yandex_setting(ngx_completion_provider_t *p, ngx_pool_t *pool,
    ngx_completion_setting_e setting, ngx_str_t *value)
{
    ngx_str_t    request;
    const char  *fault;

    switch (setting) {

    case NGX_COMPLETION_SETTING_MODEL:

        return (p->tenant.len
                || ngx_strnstr(value->data, "://", value->len))
                   ? NULL
                   : "needs the \"folder\" of its provider, or must be a full "
                     "URI like \"gpt://FOLDER/MODEL\"";

    case NGX_COMPLETION_SETTING_TEMPERATURE:

        return (ngx_atofp(value->data, value->len, 4) > 10000)
                   ? "must be a number from 0 to 1, for example \"0.1\"" : NULL;

    case NGX_COMPLETION_SETTING_REASONING:

        return ngx_completion_yandex_reasoning(value)->len
                   ? NULL : "must be \"disabled\" or \"enabled_hidden\"";

    default: /* NGX_COMPLETION_SETTING_SCHEMA */

        /* as deep as it lies in a request, which has limits as well */

        request.data = ngx_pnalloc(pool, sizeof(NGX_COMPLETION_YANDEX_SCHEMA)
                                         + value->len);
        if (request.data == NULL) {
            return "no memory";
        }

        request.len = ngx_sprintf(request.data, NGX_COMPLETION_YANDEX_SCHEMA,
                                  value)
                      - request.data;

        fault = "no memory";

        return (ngx_completion_json_read(pool, &request, NULL, NULL, NULL,
                                         &fault)
                == NGX_OK)
                   ? NULL : fault;
    }
}
