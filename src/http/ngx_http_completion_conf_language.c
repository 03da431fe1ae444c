
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_conf.h"


/* characters of a code, "zh-Hant-HK" and the like */
#define NGX_HTTP_COMPLETION_LANGUAGE_CODE  32


#define ngx_http_completion_language_takes(c)                                 \
    (((c) >= '0' && (c) <= '9') || (((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'z')\
     || (c) == '-' || (c) == '_')


static const char *ngx_http_completion_language(ngx_array_t *languages,
    ngx_str_t *value);


char *
ngx_http_completion_languages_names(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_completion_loc_conf_t *ccf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;
    const char  *fault;

    if (ccf->languages != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    ccf->languages = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                      sizeof(ngx_completion_face_language_t));
    if (ccf->languages == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        fault = ngx_http_completion_language(ccf->languages, &value[i]);

        if (fault) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the language \"%V\" %s",
                               &value[i], fault);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* "CODE" or "CODE=NAME" */

static const char *
ngx_http_completion_language(ngx_array_t *languages, ngx_str_t *value)
{
    u_char                          *equals;
    ngx_uint_t                       i;
    ngx_completion_face_language_t  *language, *other;

    other = languages->elts;
    language = ngx_array_push(languages);

    language->code = *value;
    language->name = *value;

    equals = ngx_strlchr(value->data, value->data + value->len, '=');

    if (equals) {
        language->code.len = equals - value->data;
        language->name.data = equals + 1;
        language->name.len = value->len - language->code.len - 1;
    }

    if (language->code.len == 0 || language->name.len == 0
        || language->code.len > NGX_HTTP_COMPLETION_LANGUAGE_CODE)
    {
        return "must be written as a code, or a code and a name, for example "
               "\"en\" or \"en=English\"";
    }

    for (i = 0; i < language->code.len; i++) {
        if (!ngx_http_completion_language_takes(language->code.data[i])) {
            return "must have a code of letters, digits, \"-\" and \"_\"";
        }
    }

    if (ngx_completion_utf8_check(language->name.data, language->name.len)
        != NGX_OK)
    {
        return "must have a name in UTF-8";
    }

    if (language->code.len == 4
        && ngx_strncasecmp(language->code.data, (u_char *) "auto", 4) == 0)
    {
        return "cannot be listed: clients ask by it for a language to be "
               "found out";
    }

    for (i = 0; i + 1 < languages->nelts; i++) {
        if (other[i].code.len == language->code.len
            && ngx_strncasecmp(other[i].code.data, language->code.data,
                               language->code.len)
               == 0)
        {
            return "is listed twice";
        }
    }

    return NULL;
}


const char *
ngx_http_completion_check_languages(ngx_http_completion_loc_conf_t *conf)
{
    if (!conf->face->items) {
        return NULL;
    }

    if (conf->languages == NULL) {
        return "needs \"completion_async_languages\", for example "
               "\"completion_async_languages en=English ru=Russian\"";
    }

    if (conf->format != NGX_COMPLETION_FORMAT_UNSET) {
        return "asks for a format of its own where a language is to be found "
               "out, and cannot have \"completion_async_response_format\"";
    }

    if (conf->model == NULL) {
        return "needs \"completion_async_model\"";
    }

    if (conf->service->provider.dialect->joined == NULL) {
        return "cannot be had of the upstream of this provider";
    }

    return NULL;
}
