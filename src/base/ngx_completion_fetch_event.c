
/*
 * libcurl's multi handle on nginx's event loop.
 *
 * Sockets are registered level-triggered: libcurl reads a part and expects to
 * be called again.  A socket has an nginx connection from the first "watch
 * it" until CURL_POLL_REMOVE, and one that carried a request longer: it idles,
 * its read event armed for the next transfer.
 *
 * libcurl looks at what it keeps when a transfer begins.  So that what upstream
 * closed is not left open until then, a transfer to nowhere makes it look.
 */


#include "ngx_completion_fetch_job.h"
#include "ngx_completion_timer.h"


/* it looks once in a second at most */
#define NGX_COMPLETION_FETCH_LOOK  1100


static int ngx_completion_fetch_socket(CURL *easy, curl_socket_t s, int what,
    void *data, void *sockp);
static ngx_connection_t *ngx_completion_fetch_watch(curl_socket_t s);
static void ngx_completion_fetch_idle_handler(ngx_event_t *ev);
static void ngx_completion_fetch_look_handler(ngx_event_t *ev);
static void ngx_completion_fetch_looked(void);
static ngx_int_t ngx_completion_fetch_switch(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t on);
static int ngx_completion_fetch_timeout(CURLM *multi, long ms, void *data);
static void ngx_completion_fetch_socket_handler(ngx_event_t *ev);
static void ngx_completion_fetch_timer_handler(ngx_event_t *ev);
static void ngx_completion_fetch_act(curl_socket_t s, int mask);
static void ngx_completion_fetch_drain(void);


static const ngx_completion_fetch_owner_t  *ngx_completion_fetch_owner;

static CURLM       *ngx_completion_fetch_multi;
static ngx_event_t  ngx_completion_fetch_timer;
static ngx_uint_t   ngx_completion_fetch_nsockets;
static ngx_uint_t   ngx_completion_fetch_acting;

/* the transfer to nowhere, while there is one */
static CURL        *ngx_completion_fetch_nowhere;
static ngx_event_t  ngx_completion_fetch_look;


ngx_int_t
ngx_completion_fetch_event_init(const ngx_completion_fetch_owner_t *owner,
    ngx_uint_t connections, ngx_log_t *log)
{
    CURLM       *multi;
    ngx_uint_t   rc;

    if (ngx_completion_fetch_multi) {
        return NGX_OK;
    }

    /* not fork-safe: never before the worker is one */

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "libcurl cannot be initialized");
        return NGX_ERROR;
    }

    multi = curl_multi_init();
    if (multi == NULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "curl_multi_init() failed");
        return NGX_ERROR;
    }

    rc = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION,
                           ngx_completion_fetch_socket);
    rc |= curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION,
                            ngx_completion_fetch_timeout);
    rc |= curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    rc |= curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) connections);

    if (rc != CURLM_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "curl_multi_setopt() failed");
        (void) curl_multi_cleanup(multi);
        return NGX_ERROR;
    }

    ngx_completion_timer_init(&ngx_completion_fetch_timer,
                              ngx_completion_fetch_timer_handler,
                              ngx_cycle->log);
    ngx_completion_fetch_timer.cancelable = 1;

    ngx_completion_timer_init(&ngx_completion_fetch_look,
                              ngx_completion_fetch_look_handler,
                              ngx_cycle->log);
    ngx_completion_fetch_look.cancelable = 1;

    ngx_completion_fetch_owner = owner;
    ngx_completion_fetch_multi = multi;

    return NGX_OK;
}


ngx_int_t
ngx_completion_fetch_event_add(ngx_completion_fetch_job_t *job)
{
    /* nothing runs now: libcurl arms its timer with 0 ms */

    return curl_multi_add_handle(ngx_completion_fetch_multi, job->easy)
           == CURLM_OK ? NGX_OK : NGX_ERROR;
}


void
ngx_completion_fetch_event_remove(ngx_completion_fetch_job_t *job)
{
    CURLMcode  rc;

    rc = curl_multi_remove_handle(ngx_completion_fetch_multi, job->easy);

    if (rc != CURLM_OK) {
        ngx_log_error(NGX_LOG_ALERT, job->fetch.log, 0,
                      "curl_multi_remove_handle() failed: %s",
                      curl_multi_strerror(rc));
    }
}


ngx_uint_t
ngx_completion_fetch_event_sockets(void)
{
    return ngx_completion_fetch_nsockets;
}


void
ngx_completion_fetch_event_exit(void)
{
    if (ngx_completion_fetch_multi == NULL) {
        return;
    }

    ngx_completion_timer_stop(&ngx_completion_fetch_look);
    ngx_completion_fetch_looked();

    /* newer versions call back from here, and the sockets go with it */

    (void) curl_multi_cleanup(ngx_completion_fetch_multi);
    ngx_completion_fetch_multi = NULL;

    ngx_completion_timer_stop(&ngx_completion_fetch_timer);

    ngx_completion_fetch_socket_exit();

    if (ngx_completion_fetch_nsockets) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "%ui sockets of transfers left at exit",
                      ngx_completion_fetch_nsockets);
    }
}


/*
 * The easy handle may be one of libcurl's own: it is compared, never used.
 * The result is always 0: anything else kills the whole multi handle.
 */

static int
ngx_completion_fetch_socket(CURL *easy, curl_socket_t s, int what, void *data,
    void *sockp)
{
    ngx_connection_t *c = sockp;

    if (what == CURL_POLL_REMOVE) {

        if (c) {
            ngx_completion_fetch_nsockets--;

            /*
             * What does not idle is let go.  libcurl 7.88 to 8.1 closes a
             * socket that never connected before it tells: then the kernel
             * has forgotten the descriptor already.
             */

            if (ngx_completion_fetch_socket_idle(c,
                                            ngx_completion_fetch_idle_handler)
                != NGX_OK)
            {
                ngx_completion_fetch_socket_release(c,
                      fcntl(c->fd, F_GETFD) == -1 ? NGX_CLOSE_EVENT : 0);
            }
        }

        return 0;
    }

    if (c == NULL) {
        c = ngx_completion_fetch_watch(s);
    }

    if (c == NULL
        || ngx_completion_fetch_switch(c->read, NGX_READ_EVENT,
                                       what & CURL_POLL_IN)
           != NGX_OK
        || ngx_completion_fetch_switch(c->write, NGX_WRITE_EVENT,
                                       what & CURL_POLL_OUT)
           != NGX_OK)
    {
        ngx_completion_fetch_owner->unwatched(easy);
    }

    return 0;
}


static ngx_connection_t *
ngx_completion_fetch_watch(curl_socket_t s)
{
    ngx_connection_t  *c;

    c = ngx_completion_fetch_socket_wake(s);

    if (c == NULL) {
        if (ngx_cycle->free_connection_n == 0
            && ngx_cycle->reusable_connections_n == 0
            && ngx_completion_fetch_socket_evict() != NGX_OK)
        {
            return NULL;
        }

        c = ngx_get_connection(s, ngx_cycle->log);
        if (c == NULL) {
            return NULL;
        }
    }

    if (curl_multi_assign(ngx_completion_fetch_multi, s, c) != CURLM_OK) {
        ngx_completion_fetch_socket_release(c, 0);
        return NULL;
    }

    /* both: worker_shutdown_timeout calls the read handler in any case */

    c->read->handler = ngx_completion_fetch_socket_handler;
    c->write->handler = ngx_completion_fetch_socket_handler;
    c->read->log = c->log;
    c->write->log = c->log;

    ngx_completion_fetch_nsockets++;

    return c;
}


/* Upstream closed it or speaks unasked, or the worker quits. */

static void
ngx_completion_fetch_idle_handler(ngx_event_t *ev)
{
    ngx_uint_t         quitting;
    ngx_socket_t       s;
    ngx_connection_t  *c;

    c = ev->data;
    s = c->fd;
    quitting = c->close;

    (void) ngx_completion_fetch_socket_drop(s);

    if (quitting) {
        return;
    }

    ngx_completion_fetch_socket_ended(s);

    if (!ngx_completion_fetch_look.timer_set) {
        ngx_add_timer(&ngx_completion_fetch_look, NGX_COMPLETION_FETCH_LOOK);
    }
}


static void
ngx_completion_fetch_look_handler(ngx_event_t *ev)
{
    CURL  *easy;

    if (ngx_completion_fetch_nowhere
        || ngx_completion_fetch_socket_nended() == 0)
    {
        return;
    }

    easy = ngx_completion_fetch_easy_nowhere();

    if (curl_multi_add_handle(ngx_completion_fetch_multi, easy) != CURLM_OK) {
        curl_easy_cleanup(easy);
        return;
    }

    ngx_completion_fetch_nowhere = easy;
}


static void
ngx_completion_fetch_looked(void)
{
    if (ngx_completion_fetch_nowhere) {
        (void) curl_multi_remove_handle(ngx_completion_fetch_multi,
                                        ngx_completion_fetch_nowhere);
        curl_easy_cleanup(ngx_completion_fetch_nowhere);
        ngx_completion_fetch_nowhere = NULL;
    }
}


static ngx_int_t
ngx_completion_fetch_switch(ngx_event_t *ev, ngx_int_t event, ngx_uint_t on)
{
    if (!on) {
        return ngx_completion_fetch_socket_off(ev, event, 0);
    }

    return ev->active ? NGX_OK : ngx_add_event(ev, event, NGX_LEVEL_EVENT);
}


static int
ngx_completion_fetch_timeout(CURLM *multi, long ms, void *data)
{
    ngx_event_t  *ev;

    ev = &ngx_completion_fetch_timer;

    /* a timer that differs by less than 300 ms would stay as it was */

    ngx_completion_timer_stop(ev);

    /*
     * In this turn of the loop, once.  A quitting worker may come here from
     * outside of it, and would then wait for the next thing to happen.
     */

    if (ms == 0) {
        ngx_post_event(ev, (ngx_completion_fetch_acting || ngx_exiting)
                               ? &ngx_posted_next_events : &ngx_posted_events);

    } else if (ms > 0) {
        ngx_add_timer(ev, (ngx_msec_t) ms);
    }

    return 0;
}


static void
ngx_completion_fetch_socket_handler(ngx_event_t *ev)
{
    int                mask;
    ngx_connection_t  *c;

    c = ev->data;

    if (c->close) {

        /* set on every connection at once, by worker_shutdown_timeout */

        ngx_completion_fetch_owner->close();
        return;
    }

    mask = ev->write ? CURL_CSELECT_OUT : CURL_CSELECT_IN;

    /* an early answer is read before a failing write can hide it */

    if (c->read->active) {
        mask |= CURL_CSELECT_IN;
    }

    ngx_completion_fetch_act(c->fd, mask);
}


static void
ngx_completion_fetch_timer_handler(ngx_event_t *ev)
{
    ngx_completion_fetch_act(CURL_SOCKET_TIMEOUT, 0);
}


static void
ngx_completion_fetch_act(curl_socket_t s, int mask)
{
    int        running;
    CURLMcode  rc;

    ngx_completion_fetch_acting = 1;
    ngx_completion_fetch_answer_turn();

    rc = curl_multi_socket_action(ngx_completion_fetch_multi, s, mask,
                                  &running);

    ngx_completion_fetch_easy_headed();
    ngx_completion_fetch_drain();

    if (rc != CURLM_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "curl_multi_socket_action() failed: %s",
                      curl_multi_strerror(rc));

        ngx_completion_fetch_looked();
        ngx_completion_fetch_owner->abort("libcurl failed");
    }

    ngx_completion_fetch_owner->turn();

    ngx_completion_fetch_acting = 0;
}


static void
ngx_completion_fetch_drain(void)
{
    int                          left;
    CURL                        *easy;
    char                        *private;
    CURLMsg                     *msg;
    CURLcode                     code;
    ngx_completion_fetch_job_t  *job;

    for ( ;; ) {
        msg = curl_multi_info_read(ngx_completion_fetch_multi, &left);
        if (msg == NULL) {
            return;
        }

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        /* the message goes away with the handle */

        easy = msg->easy_handle;
        code = msg->data.result;

        if (easy == ngx_completion_fetch_nowhere) {
            ngx_completion_fetch_looked();

            if (ngx_completion_fetch_socket_nended()) {
                ngx_add_timer(&ngx_completion_fetch_look,
                              NGX_COMPLETION_FETCH_LOOK);
            }

            continue;
        }

        private = NULL;
        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        job = (ngx_completion_fetch_job_t *) private;

        ngx_completion_fetch_event_remove(job);

        if (job->stale
            && ngx_completion_fetch_easy_again(job) == NGX_OK
            && ngx_completion_fetch_event_add(job) == NGX_OK)
        {
            continue;
        }

        ngx_completion_fetch_owner->settle(job, code);
    }
}
