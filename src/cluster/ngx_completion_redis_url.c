
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_completion_redis_wire.h"


#define NGX_COMPLETION_REDIS_PORT  6379

/* servers have 16 unless they are told otherwise */
#define NGX_COMPLETION_REDIS_DBS   65536


static char *ngx_completion_redis_url_path(ngx_conf_t *cf, u_char *p,
    u_char *last, ngx_completion_redis_conf_t *conf);
static char *ngx_completion_redis_url_host(ngx_conf_t *cf, u_char *p,
    u_char *last, ngx_completion_redis_conf_t *conf);
static char *ngx_completion_redis_url_db(u_char *p, u_char *last,
    ngx_completion_redis_conf_t *conf);


char *
ngx_completion_redis_url(ngx_conf_t *cf, ngx_str_t *url,
    ngx_completion_redis_conf_t *conf)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    static const struct {
        ngx_str_t   scheme;
        ngx_uint_t  tls;
    } schemes[] = {
        { ngx_string("redis://"), 0 },
        { ngx_string("rediss://"), 1 },
        { ngx_string("valkey://"), 0 },
        { ngx_string("valkeys://"), 1 }
    };

    p = url->data;
    last = p + url->len;

    if (url->len > 5 && ngx_strncasecmp(p, (u_char *) "unix:", 5) == 0) {
        return ngx_completion_redis_url_path(cf, p + 5, last, conf);
    }

    for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {

        if (url->len > schemes[i].scheme.len
            && ngx_strncasecmp(p, schemes[i].scheme.data,
                               schemes[i].scheme.len)
               == 0)
        {
            conf->origin.tls = schemes[i].tls;

            return ngx_completion_redis_url_host(cf,
                                                 p + schemes[i].scheme.len,
                                                 last, conf);
        }
    }

    return "the URL must be \"redis://host[:port][/db]\", \"rediss://\" with "
           "TLS, or \"unix:/path[:db]\"";
}


static char *
ngx_completion_redis_url_path(ngx_conf_t *cf, u_char *p, u_char *last,
    ngx_completion_redis_conf_t *conf)
{
    char    *err;
    u_char  *end;

    if (*p != '/') {
        return "the path of the socket must begin with \"/\", write "
               "\"unix:/path[:db]\"";
    }

    end = ngx_strlchr(p, last, ':');

    if (end) {
        err = ngx_completion_redis_url_db(end + 1, last, conf);
        if (err) {
            return err;
        }

    } else {
        end = last;
    }

    if ((size_t) (end - p) >= sizeof(((struct sockaddr_un *) 0)->sun_path)) {
        return "the path of the socket is too long";
    }

    conf->path.data = p;
    conf->path.len = end - p;

    return NULL;
}


static char *
ngx_completion_redis_url_host(ngx_conf_t *cf, u_char *p, u_char *last,
    ngx_completion_redis_conf_t *conf)
{
    char       *err;
    u_char     *end;
    ngx_str_t   host;

    for (end = p; end < last; end++) {
        if (*end <= ' ' || *end >= 0x7f || *end == '\\' || *end == '?'
            || *end == '#')
        {
            return "the URL has an invalid character";
        }
    }

    if (ngx_strlchr(p, last, '@')) {
        return "the URL must not have credentials, use \"user=NAME\" and "
               "\"password=file:PATH\"";
    }

    end = ngx_strlchr(p, last, '/');

    if (end == NULL) {
        end = last;

    } else if (end + 1 < last) {
        err = ngx_completion_redis_url_db(end + 1, last, conf);
        if (err) {
            return err;
        }
    }

    host.data = p;
    host.len = end - p;

    conf->origin.port = NGX_COMPLETION_REDIS_PORT;

    return ngx_completion_origin_host(cf, &host, &conf->origin);
}


static char *
ngx_completion_redis_url_db(u_char *p, u_char *last,
    ngx_completion_redis_conf_t *conf)
{
    ngx_int_t  n;

    n = ngx_atoi(p, last - p);

    if (n == NGX_ERROR || n >= NGX_COMPLETION_REDIS_DBS) {
        return "the database of the URL is a number, for example \"/1\", "
               "behind a socket's path \":1\"";
    }

    conf->db = n;

    return NULL;
}
