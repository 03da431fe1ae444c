
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_completion_request.h"


static ngx_uint_t ngx_http_completion_route_fits(
    const ngx_completion_face_route_t *route, ngx_str_t *path, ngx_str_t *id);
static void ngx_http_completion_route_anew(ngx_http_request_t *r);


ngx_int_t
ngx_http_completion_route(ngx_http_request_t *r,
    ngx_http_completion_loc_conf_t *ccf, ngx_completion_face_action_e *action,
    ngx_uint_t *shape, ngx_str_t *id, ngx_completion_outcome_e *outcome)
{
    ngx_str_t                           path;
    const ngx_completion_face_route_t  *route;

    if (r->internal) {
        ngx_http_completion_route_anew(r);
    }

    *outcome = NGX_COMPLETION_OPERATION_NOT_FOUND;

    ngx_str_set(&path, "");

    if (ccf->prefixed) {

        /* an internal redirect may have led here from anywhere */

        if (r->uri.len < ccf->prefix.len
            || ngx_filename_cmp(r->uri.data, ccf->prefix.data,
                                ccf->prefix.len)
               != 0)
        {
            return NGX_DECLINED;
        }

        path.data = r->uri.data + ccf->prefix.len;
        path.len = r->uri.len - ccf->prefix.len;
    }

    route = ccf->submits ? ccf->face->routes : ccf->face->operations;

    while (!ngx_http_completion_route_fits(route, &path, id)) {
        route++;

        if (route->path.data == NULL) {
            return NGX_DECLINED;
        }
    }

    *shape = route->shape;

    *action = (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) ? route->get
              : (r->method == NGX_HTTP_POST) ? route->post
              : (r->method == NGX_HTTP_DELETE) ? route->delete
              : NGX_COMPLETION_FACE_NOTHING;

    if (*action) {
        return NGX_OK;
    }

    *outcome = NGX_COMPLETION_METHOD_NOT_ALLOWED;

    if (ngx_http_completion_add_header(r, "Allow", "%s%s%sOPTIONS",
                                       route->get ? "GET, HEAD, " : "",
                                       route->post ? "POST, " : "",
                                       route->delete ? "DELETE, " : "")
        == NULL)
    {
        return NGX_DECLINED;
    }

    return (r->method == NGX_HTTP_OPTIONS) ? NGX_DONE : NGX_DECLINED;
}


static ngx_uint_t
ngx_http_completion_route_fits(const ngx_completion_face_route_t *route,
    ngx_str_t *path, ngx_str_t *id)
{
    u_char  *star, *last;
    size_t   before, after;

    last = route->path.data + route->path.len;
    star = ngx_strlchr(route->path.data, last, '*');

    if (star == NULL) {
        return path->len == route->path.len
               && ngx_strncmp(path->data, route->path.data, path->len) == 0;
    }

    before = star - route->path.data;
    after = last - (star + 1);

    if (path->len <= before + after
        || ngx_strncmp(path->data, route->path.data, before) != 0
        || ngx_strncmp(path->data + path->len - after, star + 1, after) != 0)
    {
        return 0;
    }

    id->data = path->data + before;
    id->len = path->len - before - after;

    return 1;
}


/* "error_page" may have led here: what was refused elsewhere is not now */

static void
ngx_http_completion_route_anew(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    static ngx_str_t  allow = ngx_string("Allow");

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (header[i].key.len == allow.len
                && ngx_strncasecmp(header[i].key.data, allow.data, allow.len)
                   == 0)
            {
                header[i].hash = 0;
            }
        }
    }
}
