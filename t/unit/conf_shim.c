
/*
 * What origins and dialects need of nginx's configuration; of hosts it knows
 * one.
 */


#include "ngx_shim.h"

#include <stdio.h>


void
ngx_conf_log_error(ngx_uint_t level, ngx_conf_t *cf, ngx_err_t err,
    const char *fmt, ...)
{
    va_list  args;

    (void) cf;
    (void) err;

    va_start(args, fmt);
    shim_log_write(level, fmt, args);
    va_end(args);
}


ngx_int_t
ngx_conf_full_name(ngx_cycle_t *cycle, ngx_str_t *name, ngx_uint_t conf_prefix)
{
    (void) cycle;
    (void) name;
    (void) conf_prefix;

    /* nginx's allocates the name */

    return (++shim_allocations == shim_fail_at) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_inet_resolve_host(ngx_pool_t *pool, ngx_url_t *u)
{
    static struct sockaddr_in  sin;
    static ngx_addr_t          addr;

    (void) pool;

    if (u->host.len != 9 || strncasecmp((char *) u->host.data, "localhost", 9)
                             != 0) {
        u->err = "host not found";
        return NGX_ERROR;
    }

    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr.sockaddr = (struct sockaddr *) &sin;
    addr.socklen = sizeof(sin);

    u->addrs = &addr;
    u->naddrs = 1;

    return NGX_OK;
}


size_t
ngx_sock_ntop(struct sockaddr *sa, socklen_t socklen, u_char *text, size_t len,
    ngx_uint_t port)
{
    (void) socklen;
    (void) port;

    inet_ntop(AF_INET, &((struct sockaddr_in *) sa)->sin_addr, (char *) text,
              len);

    return strlen((char *) text);
}


/* what tables of directives point to: no test reads a configuration */

char *
ngx_conf_set_str_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    (void) cf;
    (void) cmd;
    (void) conf;

    return NGX_CONF_ERROR;
}


char *
ngx_conf_set_flag_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_conf_set_str_slot(cf, cmd, conf);
}
