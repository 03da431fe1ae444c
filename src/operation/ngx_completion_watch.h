
/*
 * Watching operations: those that are due are taken from the zone's schedule
 * and asked of upstream.
 */


#ifndef _NGX_COMPLETION_WATCH_H_INCLUDED_
#define _NGX_COMPLETION_WATCH_H_INCLUDED_


#include "ngx_completion_service.h"


/* Polls what is due, and sees to it that more will be. */
void ngx_completion_watch(ngx_completion_service_t *service);

/* The server has given starts to this service, or has not. */
void ngx_completion_watch_starts(void *data, ngx_uint_t called);

ngx_int_t ngx_completion_watch_init(ngx_completion_service_t *service);

/* No more polls, and those under way are given back. */
void ngx_completion_watch_quit(ngx_completion_service_t *service);


#endif /* _NGX_COMPLETION_WATCH_H_INCLUDED_ */
