
/*
 * A password's file is looked at whenever a connection is made: those that
 * stand are not asked for it again.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_redis_wire.h"


static void ngx_completion_redis_password_read(
    ngx_completion_redis_password_t *password, ngx_log_t *log);
static void ngx_completion_redis_password_fault(
    ngx_completion_redis_password_t *password, ngx_log_t *log,
    const char *fault, ngx_err_t err);


const char *
ngx_completion_redis_password_line(ngx_str_t *value)
{
    if (value->len && value->data[value->len - 1] == '\n') {
        value->len--;
    }

    if (value->len && value->data[value->len - 1] == '\r') {
        value->len--;
    }

    if (value->len == 0) {
        return "is empty";
    }

    return ngx_strlchr(value->data, value->data + value->len, '\n')
               ? "has more than one line" : NULL;
}


ngx_str_t *
ngx_completion_redis_password(ngx_completion_redis_password_t *password,
    ngx_log_t *log)
{
    ngx_err_t        err;
    ngx_file_info_t  info;

    if (ngx_file_info(password->file->data, &info) == NGX_FILE_ERROR) {
        err = ngx_errno;

        /* nginx warned of it when it started */

        if (err != NGX_EACCES) {
            ngx_completion_redis_password_fault(password, log,
                                                "cannot be found", err);
        }

    } else if (!ngx_completion_secret_same(&info, &password->info)) {
        password->info = info;
        ngx_completion_redis_password_read(password, log);
    }

    return &password->secret->value;
}


static void
ngx_completion_redis_password_read(ngx_completion_redis_password_t *password,
    ngx_log_t *log)
{
    ngx_err_t                 err;
    const char               *fault;
    ngx_uint_t                level;
    ngx_file_info_t           info;
    ngx_completion_secret_t  *secret;

    fault = ngx_completion_secret_read(password->file, log, &secret, &info,
                                       &err);

    if (fault == NULL) {
        fault = ngx_completion_redis_password_line(&secret->value);

        if (fault) {
            ngx_completion_secret_destroy(secret);
        }
    }

    if (fault) {
        ngx_completion_redis_password_fault(password, log, fault, err);
        return;
    }

    ngx_completion_redis_password_exit(password);

    password->secret = secret;
    password->owned = 1;
    password->fault = NULL;

    level = ngx_worker ? NGX_LOG_INFO : NGX_LOG_NOTICE;

    ngx_log_error(level, log, 0,
                  "\"%V\" has changed, what it holds is the password for "
                  "redis from now on", password->file);
}


/* every worker sees it, the first one tells */

static void
ngx_completion_redis_password_fault(ngx_completion_redis_password_t *password,
    ngx_log_t *log, const char *fault, ngx_err_t err)
{
    ngx_uint_t  level;

    if (password->fault == fault) {
        return;
    }

    password->fault = fault;

    level = ngx_worker ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, log, err,
                  "\"%V\" %s, the password for redis is what it held before",
                  password->file, fault);
}


void
ngx_completion_redis_password_exit(ngx_completion_redis_password_t *password)
{
    if (password->owned) {
        ngx_completion_secret_destroy(password->secret);
        password->owned = 0;
    }
}
