
/*
 * libcurl's easy handle: its options, and the request that goes in by
 * callbacks.
 */


#include "ngx_completion_fetch_job.h"
#include "ngx_completion_secret.h"


#define NGX_COMPLETION_FETCH_SPARE          64
#define NGX_COMPLETION_FETCH_LONG_BODY      65536

/* those of most requests */
#define NGX_COMPLETION_FETCH_LINES_SIZE     256

#define NGX_COMPLETION_FETCH_AUTHORIZATION  CRLF "Authorization: "
#define NGX_COMPLETION_FETCH_LENGTH  CRLF "Content-Length: "

/* what libcurl puts behind a target, " HTTP/1.1", ends this line */
#define NGX_COMPLETION_FETCH_LAST  CRLF "User-Agent: nginx-completion-async"

/* two addresses as libcurl writes them, and two ports */
#define NGX_COMPLETION_FETCH_ENDS                                             \
    (2 * (NGX_INET6_ADDRSTRLEN + 1 + sizeof(int)))

#define NGX_COMPLETION_FETCH_BUNDLE  "/etc/ssl/certs/ca-certificates.crt"


typedef struct {
    CURL        *easy;
    ngx_uint_t   origin;
} ngx_completion_fetch_spare_t;


/*
 * A header line with a credential, in pages of its own, for all transfers that
 * show the same one at once; the last of them takes it along.
 */

typedef struct ngx_completion_fetch_line_s  ngx_completion_fetch_line_t;

struct ngx_completion_fetch_line_s {
    ngx_completion_fetch_line_t  *next;
    ngx_completion_secret_t      *secret;
    ngx_uint_t                    transfers;
    size_t                        len;
    u_char                        text[1];
};


static ngx_completion_fetch_line_t *ngx_completion_fetch_line_get(
    const char *scheme, ngx_str_t *credential, ngx_log_t *log);
static void ngx_completion_fetch_line_release(void *data);
static CURL *ngx_completion_fetch_easy_get(ngx_completion_origin_t *o);
static CURL *ngx_completion_fetch_easy_create(ngx_completion_origin_t *o);
static CURL *ngx_completion_fetch_easy_init(void);
static struct curl_slist *ngx_completion_fetch_easy_headers(
    ngx_completion_fetch_job_t *job);
static ngx_int_t ngx_completion_fetch_easy_head(
    ngx_completion_fetch_job_t *job);
static u_char *ngx_completion_fetch_easy_page(size_t size, ngx_log_t *log);
static ngx_int_t ngx_completion_fetch_easy_address(
    ngx_completion_fetch_job_t *job, ngx_str_t *address);
static const char *ngx_completion_fetch_fault(ngx_completion_fetch_job_t *job,
    CURLcode code);
static ngx_uint_t ngx_completion_fetch_one_line(ngx_str_t *value);
static u_char *ngx_completion_fetch_room(ngx_completion_fetch_job_t *job,
    size_t len);
static void ngx_completion_fetch_ends(ngx_str_t *ends, const char *address,
    int port);
static int ngx_completion_fetch_prereq(void *data, char *remote, char *local,
    int remote_port, int local_port);
static curl_socket_t ngx_completion_fetch_open(void *data,
    curlsocktype purpose, struct curl_sockaddr *addr);
static curl_socket_t ngx_completion_fetch_open_nowhere(void *data,
    curlsocktype purpose, struct curl_sockaddr *addr);


/* the newest at the end; their options are those of their origin */
static ngx_completion_fetch_spare_t
    ngx_completion_fetch_spares[NGX_COMPLETION_FETCH_SPARE];
static ngx_uint_t  ngx_completion_fetch_nspares;

static ngx_completion_fetch_line_t  *ngx_completion_fetch_lines;

/* where a head is put together */
static ngx_completion_secret_t      *ngx_completion_fetch_page;

/* those whose head libcurl has got in this turn */
static ngx_completion_fetch_job_t   *ngx_completion_fetch_headed;


/* of every handle */

static const struct {
    CURLoption  option;
    long        value;
} ngx_completion_fetch_options[] = {
    { CURLOPT_NOSIGNAL, 1 },
    { CURLOPT_QUICK_EXIT, 1 },
    { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
    { CURLOPT_HTTP09_ALLOWED, 0 },
    { CURLOPT_FOLLOWLOCATION, 0 },
    { CURLOPT_NETRC, CURL_NETRC_IGNORED },
    { CURLOPT_TCP_KEEPALIVE, 1 },
    { CURLOPT_SUPPRESS_CONNECT_HEADERS, 1 },
    { CURLOPT_NOPROGRESS, 0 },

    /* a name's address is told anew for each transfer */
    { CURLOPT_DNS_CACHE_TIMEOUT, -1 },

    /* seconds: below the idle timeout of servers */
    { CURLOPT_MAXAGE_CONN, 30 },

    /* seconds: the name's address may have changed */
    { CURLOPT_MAXLIFETIME_CONN, 300 },

    /* bytes; it takes no less to send from */
    { CURLOPT_BUFFERSIZE, 4096 },
    { CURLOPT_UPLOAD_BUFFERSIZE, 16384 }
};


/*
 * libcurl prints what it adds to a head a character at a time.  All of the
 * head is ours, and stands behind the request's target.  These libcurl is told
 * to leave out; what it does before a long body, and those of a body, are the
 * first.
 */

static struct curl_slist  ngx_completion_fetch_headers[] = {
    { (char *) "Expect:", &ngx_completion_fetch_headers[1] },
    { (char *) "Content-Type:", &ngx_completion_fetch_headers[2] },
    { (char *) "Content-Length:", &ngx_completion_fetch_headers[3] },
    { (char *) "Host:", &ngx_completion_fetch_headers[4] },
    { (char *) "Accept:", &ngx_completion_fetch_headers[5] },
    { (char *) "Accept-Encoding:", NULL }
};


ngx_int_t
ngx_completion_fetch_header(ngx_completion_fetch_t *f, const char *name,
    ngx_str_t *value)
{
    size_t   len;
    u_char  *p;

    if (!ngx_completion_fetch_one_line(value)) {
        return NGX_ERROR;
    }

    len = ngx_strlen(name);

    p = ngx_completion_fetch_room((ngx_completion_fetch_job_t *) f,
                                  sizeof(CRLF ": ") - 1 + len + value->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *p++ = CR;
    *p++ = LF;

    p = ngx_cpymem(p, name, len);

    *p++ = ':';
    *p++ = ' ';

    if (value->len) {
        ngx_memcpy(p, value->data, value->len);
    }

    return NGX_OK;
}


static u_char *
ngx_completion_fetch_room(ngx_completion_fetch_job_t *job, size_t len)
{
    u_char     *p;
    ngx_str_t  *lines;

    lines = &job->lines;

    if (lines->len + len > job->lines_size) {
        job->lines_size = ngx_max(2 * (lines->len + len),
                                  NGX_COMPLETION_FETCH_LINES_SIZE);

        p = ngx_pnalloc(job->fetch.pool, job->lines_size);
        if (p == NULL) {
            return NULL;
        }

        if (lines->len) {
            ngx_memcpy(p, lines->data, lines->len);
        }

        lines->data = p;
    }

    p = lines->data + lines->len;
    lines->len += len;

    return p;
}


ngx_int_t
ngx_completion_fetch_authorization(ngx_completion_fetch_t *f,
    const char *scheme, ngx_str_t *credential)
{
    ngx_pool_cleanup_t           *cln;
    ngx_completion_fetch_job_t   *job;
    ngx_completion_fetch_line_t  *line;

    job = (ngx_completion_fetch_job_t *) f;

    if (!ngx_completion_fetch_one_line(credential)) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(f->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    line = ngx_completion_fetch_line_get(scheme, credential, f->log);
    if (line == NULL) {
        return NGX_ERROR;
    }

    line->transfers++;

    cln->handler = ngx_completion_fetch_line_release;
    cln->data = line;

    f->credential.data = line->text + line->len - credential->len;
    f->credential.len = credential->len;

    job->authorization.data = line->text;
    job->authorization.len = line->len;

    return NGX_OK;
}


/* it stands there while upstream is at work, and a worker may crash */

static ngx_completion_fetch_line_t *
ngx_completion_fetch_line_get(const char *scheme, ngx_str_t *credential,
    ngx_log_t *log)
{
    size_t                        len;
    ngx_completion_secret_t      *secret;
    ngx_completion_fetch_line_t  *line;

    len = sizeof(NGX_COMPLETION_FETCH_AUTHORIZATION " ") - 1
          + ngx_strlen(scheme) + credential->len;

    for (line = ngx_completion_fetch_lines; line; line = line->next) {
        if (line->len == len
            && ngx_memcmp(line->text + len - credential->len,
                          credential->data, credential->len)
               == 0
            && ngx_strncmp(line->text
                           + sizeof(NGX_COMPLETION_FETCH_AUTHORIZATION) - 1,
                           scheme, ngx_strlen(scheme))
               == 0)
        {
            return line;
        }
    }

    secret = ngx_completion_secret_create(sizeof(ngx_completion_fetch_line_t)
                                          + len, log);
    if (secret == NULL) {
        return NULL;
    }

    line = (ngx_completion_fetch_line_t *) secret->value.data;

    line->secret = secret;
    line->transfers = 0;
    line->len = len;
    (void) ngx_sprintf(line->text, NGX_COMPLETION_FETCH_AUTHORIZATION "%s %V",
                       scheme, credential);

    line->next = ngx_completion_fetch_lines;
    ngx_completion_fetch_lines = line;

    return line;
}


static void
ngx_completion_fetch_line_release(void *data)
{
    ngx_completion_fetch_line_t *line = data;

    ngx_completion_fetch_line_t  **p;

    if (--line->transfers) {
        return;
    }

    for (p = &ngx_completion_fetch_lines; *p != line; p = &(*p)->next) {
        /* void */
    }

    *p = line->next;

    ngx_completion_secret_destroy(line->secret);
}


static ngx_uint_t
ngx_completion_fetch_one_line(ngx_str_t *value)
{
    return value->len == 0
           || (memchr(value->data, CR, value->len) == NULL
               && memchr(value->data, LF, value->len) == NULL
               && memchr(value->data, '\0', value->len) == NULL);
}


ngx_int_t
ngx_completion_fetch_easy_open(ngx_completion_fetch_job_t *job,
    ngx_str_t *address)
{
    CURL                    *easy;
    ngx_uint_t               rc;
    ngx_msec_int_t           left;
    ngx_completion_fetch_t  *f;

    f = &job->fetch;

    easy = ngx_completion_fetch_easy_get(f->origin);
    if (easy == NULL) {
        return NGX_ERROR;
    }

    job->easy = easy;

    rc = curl_easy_setopt(easy, CURLOPT_HTTPHEADER,
                          ngx_completion_fetch_easy_headers(job));
    rc |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 0L);

    if (f->post) {
        /* behind the head, in one piece with it where both are short */

        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t) f->body.len);
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                               f->body.len ? (char *) f->body.data : "");

    } else {
        rc |= curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }

    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, job);
    rc |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, job);
    rc |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, job);
    rc |= curl_easy_setopt(easy, CURLOPT_XFERINFODATA, job);
    rc |= curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job->error);

    /* the name is a part of it */

    left = f->origin->connect_timeout - (ngx_current_msec - job->begun);

    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long) ngx_max(left, 1));

    if (rc != CURLE_OK) {
        return NGX_ERROR;
    }

    return ngx_completion_fetch_easy_address(job, address);
}


static struct curl_slist *
ngx_completion_fetch_easy_headers(ngx_completion_fetch_job_t *job)
{
    ngx_uint_t               first;
    ngx_completion_fetch_t  *f;

    f = &job->fetch;
    first = 3;

    if (f->post) {
        first = (f->body.len < NGX_COMPLETION_FETCH_LONG_BODY) ? 1 : 0;
    }

    return &ngx_completion_fetch_headers[first];
}


/*
 * libcurl sends a target as it is, which its manual promises.  It keeps a copy
 * of it, with the credential: it is given it right before the first byte, and
 * loses it in the same turn.
 */

static ngx_int_t
ngx_completion_fetch_easy_head(ngx_completion_fetch_job_t *job)
{
    size_t                    size;
    u_char                   *p, *target;
    CURLcode                  rc;
    ngx_completion_fetch_t   *f;
    ngx_completion_origin_t  *o;

    f = &job->fetch;
    o = f->origin;

    size = o->target.len + f->suffix.len + o->head.len + job->lines.len
           + job->authorization.len
           + sizeof(NGX_COMPLETION_FETCH_LENGTH NGX_COMPLETION_FETCH_LAST)
           + NGX_SIZE_T_LEN;

    target = ngx_completion_fetch_easy_page(size, f->log);
    if (target == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(target, o->target.data, o->target.len);
    p = ngx_cpymem(p, f->suffix.data, f->suffix.len);
    p = ngx_cpymem(p, o->head.data, o->head.len);
    p = ngx_cpymem(p, job->lines.data, job->lines.len);
    p = ngx_cpymem(p, job->authorization.data, job->authorization.len);

    if (f->post) {
        p = ngx_sprintf(p, NGX_COMPLETION_FETCH_LENGTH "%uz", f->body.len);
    }

    ngx_memcpy(p, NGX_COMPLETION_FETCH_LAST,
               sizeof(NGX_COMPLETION_FETCH_LAST));

    rc = curl_easy_setopt(job->easy, CURLOPT_REQUEST_TARGET, (char *) target);

    ngx_explicit_memzero(target, size);

    if (rc != CURLE_OK) {
        return NGX_ERROR;
    }

    job->headed = ngx_completion_fetch_headed;
    ngx_completion_fetch_headed = job;

    return NGX_OK;
}


static u_char *
ngx_completion_fetch_easy_page(size_t size, ngx_log_t *log)
{
    ngx_completion_secret_t  *page;

    page = ngx_completion_fetch_page;

    if (page == NULL || page->value.len < size) {
        ngx_completion_secret_destroy(page);

        page = ngx_completion_secret_create(size, log);
        ngx_completion_fetch_page = page;
    }

    return page ? page->value.data : NULL;
}


void
ngx_completion_fetch_easy_headed(void)
{
    ngx_completion_fetch_job_t  *job;

    while (ngx_completion_fetch_headed) {
        job = ngx_completion_fetch_headed;
        ngx_completion_fetch_headed = job->headed;

        (void) curl_easy_setopt(job->easy, CURLOPT_REQUEST_TARGET, NULL);
    }
}


ngx_int_t
ngx_completion_fetch_easy_again(ngx_completion_fetch_job_t *job)
{
    job->fd = (ngx_socket_t) -1;
    job->opened = 0;
    job->stale = 0;
    job->fault = NULL;
    job->error[0] = '\0';

    return curl_easy_setopt(job->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK
           ? NGX_OK : NGX_ERROR;
}


void
ngx_completion_fetch_easy_result(ngx_completion_fetch_job_t *job,
    CURLcode code)
{
    long                     status;
    u_char                  *p;
    ngx_completion_fetch_t  *f;

    f = &job->fetch;

    /* too long a Content-Length ends it before the head does */

    if ((job->final || code == CURLE_FILESIZE_EXCEEDED)
        && curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status)
           == CURLE_OK)
    {
        f->status = status;
    }

    if (f->fenced) {
        f->outcome = NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
        f->fault = "fenced";
        return;
    }

    if (job->attempts == 0) {
        f->outcome = (code == CURLE_OPERATION_TIMEDOUT)
                     ? NGX_COMPLETION_UPSTREAM_TIMEOUT
                     : NGX_COMPLETION_UPSTREAM_UNAVAILABLE;
        f->fault = ngx_completion_fetch_fault(job, code);

        if (code == CURLE_OPERATION_TIMEDOUT && job->fault == NULL) {
            p = ngx_snprintf((u_char *) job->error, sizeof(job->error) - 1,
                             "no connection to \"%V\" in time",
                             &f->origin->peer);
            *p = '\0';
            f->fault = job->error;
        }

        return;
    }

    /* a complete answer stands, even if not all of the request was taken */

    if (job->final && job->fault == NULL
        && (code == CURLE_OK || ngx_completion_fetch_answer_whole(job)))
    {
        /* no answer of upstream's is anything but text */

        if (f->response.len >= 3
            && ngx_memcmp(f->response.data, "\xEF\xBB\xBF", 3) == 0)
        {
            f->response.data += 3;
            f->response.len -= 3;
        }

        f->outcome = NGX_COMPLETION_OK;
        f->fault = NULL;
        return;
    }

    f->outcome = NGX_COMPLETION_OUTCOME_UNKNOWN;
    f->fault = ngx_completion_fetch_fault(job, code);

    if (code == CURLE_FILESIZE_EXCEEDED) {
        f->excess = 1;

    } else if (code == CURLE_BAD_CONTENT_ENCODING) {
        f->garbled = 1;
    }
}


void
ngx_completion_fetch_easy_close(ngx_completion_fetch_job_t *job,
    ngx_uint_t keep)
{
    CURL                          *easy;
    ngx_completion_fetch_spare_t  *spare;

    easy = job->easy;
    job->easy = NULL;

    if (!keep) {
        curl_easy_cleanup(easy);
        return;
    }

    /* libcurl keeps these pointers into pools; the rest it has copied */

    (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
    (void) curl_easy_setopt(easy, CURLOPT_RESOLVE, NULL);
    (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);

    spare = ngx_completion_fetch_spares;

    if (ngx_completion_fetch_nspares == NGX_COMPLETION_FETCH_SPARE) {
        curl_easy_cleanup(spare[0].easy);
        ngx_completion_fetch_nspares--;
        ngx_memmove(spare, spare + 1, ngx_completion_fetch_nspares
                                      * sizeof(ngx_completion_fetch_spare_t));
    }

    spare += ngx_completion_fetch_nspares++;
    spare->easy = easy;
    spare->origin = job->fetch.origin->id;
}


void
ngx_completion_fetch_easy_exit(void)
{
    while (ngx_completion_fetch_nspares) {
        ngx_completion_fetch_nspares--;
        curl_easy_cleanup(
            ngx_completion_fetch_spares[ngx_completion_fetch_nspares].easy);
    }

    ngx_completion_secret_destroy(ngx_completion_fetch_page);
    ngx_completion_fetch_page = NULL;
}


static CURL *
ngx_completion_fetch_easy_get(ngx_completion_origin_t *o)
{
    CURL                          *easy;
    ngx_uint_t                     i;
    ngx_completion_fetch_spare_t  *spare;

    for (i = ngx_completion_fetch_nspares; i > 0; i--) {
        spare = &ngx_completion_fetch_spares[i - 1];

        if (spare->origin == o->id) {
            easy = spare->easy;
            ngx_memmove(spare, spare + 1,
                        (ngx_completion_fetch_nspares - i)
                        * sizeof(ngx_completion_fetch_spare_t));
            ngx_completion_fetch_nspares--;
            return easy;
        }
    }

    return ngx_completion_fetch_easy_create(o);
}


static CURL *
ngx_completion_fetch_easy_create(ngx_completion_origin_t *o)
{
    CURL        *easy;
    char        *file;
    ngx_uint_t   rc;

    easy = ngx_completion_fetch_easy_init();
    if (easy == NULL) {
        return NULL;
    }

    /* that of the origin is parsed once, with the configuration */

    rc = curl_easy_setopt(easy, CURLOPT_CURLU, o->parts);
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");

    /* what is encoded all the same is decoded, and counted after that */

    rc |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");

    /* empty strings keep libcurl from asking the environment */

    rc |= curl_easy_setopt(easy, CURLOPT_PROXY,
                           o->proxy.len ? (char *) o->proxy.data : "");
    rc |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "");

    rc |= curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
                           (curl_off_t) o->max_response_size);

    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION,
                           ngx_completion_fetch_answer_body);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
                           ngx_completion_fetch_answer_line);
    rc |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION,
                           ngx_completion_fetch_prereq);
    rc |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
                           ngx_completion_fetch_open);
    rc |= curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION,
                           ngx_completion_fetch_socket_close);
    rc |= curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION,
                           ngx_completion_fetch_answer_progress);

    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER,
                           o->tls_verify ? 1L : 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST,
                           o->tls_verify ? 2L : 0L);

    file = NULL;

    if (o->trusted_certificate.len) {
        file = (char *) o->trusted_certificate.data;

    } else if (access(NGX_COMPLETION_FETCH_BUNDLE, R_OK) == 0) {
        file = NGX_COMPLETION_FETCH_BUNDLE;
    }

    if (file) {

        /* the parsed store is kept only where there is no directory */

        rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, file);
        rc |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }

    /* only OpenSSL's builds know this one */

    (void) curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 3600L);

    if (rc != CURLE_OK) {
        curl_easy_cleanup(easy);
        return NULL;
    }

    return easy;
}


static CURL *
ngx_completion_fetch_easy_init(void)
{
    CURL        *easy;
    ngx_uint_t   i;

    easy = curl_easy_init();
    if (easy == NULL) {
        return NULL;
    }

    for (i = 0; i < sizeof(ngx_completion_fetch_options)
                    / sizeof(ngx_completion_fetch_options[0]); i++)
    {
        if (curl_easy_setopt(easy, ngx_completion_fetch_options[i].option,
                             ngx_completion_fetch_options[i].value)
            != CURLE_OK)
        {
            curl_easy_cleanup(easy);
            return NULL;
        }
    }

    return easy;
}


/* The one address that libcurl may know of this name. */

static ngx_int_t
ngx_completion_fetch_easy_address(ngx_completion_fetch_job_t *job,
    ngx_str_t *address)
{
    u_char                   *p;
    ngx_uint_t                in6;
    ngx_completion_origin_t  *o;

    if (address->len == 0) {
        return NGX_OK;
    }

    o = job->fetch.origin;

    p = ngx_pnalloc(job->fetch.pool, o->peer.len + address->len
                                     + sizeof("+:65535:[]"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    in6 = (ngx_strlchr(address->data, address->data + address->len, ':')
           != NULL);

    (void) ngx_sprintf(p, "+%V:%d:%s%V%s%Z", &o->peer, (int) o->peer_port,
                       in6 ? "[" : "", address, in6 ? "]" : "");

    job->resolve.data = (char *) p;

    return curl_easy_setopt(job->easy, CURLOPT_RESOLVE, &job->resolve)
           == CURLE_OK ? NGX_OK : NGX_ERROR;
}


static const char *
ngx_completion_fetch_fault(ngx_completion_fetch_job_t *job, CURLcode code)
{
    char  *p;

    if (job->fault) {
        return job->fault;
    }

    if (code == CURLE_OK) {
        return "no final answer";
    }

    if (code == CURLE_FILESIZE_EXCEEDED) {
        return "too large";
    }

    if (job->error[0] == '\0' || code == CURLE_OPERATION_TIMEDOUT) {
        return curl_easy_strerror(code);
    }

    /* it may quote the server */

    for (p = job->error; *p; p++) {
        if ((u_char) *p < ' ' || *p == 0x7f) {
            *p = ' ';
        }
    }

    return job->error;
}


/*
 * Called by libcurl on a connection that is up, before the first byte.  Its
 * second call is libcurl's repeat on a connection that died.
 */

static int
ngx_completion_fetch_prereq(void *data, char *remote, char *local,
    int remote_port, int local_port)
{
    ngx_completion_fetch_job_t  *job = data;

    u_char                   byte, buf[NGX_COMPLETION_FETCH_ENDS];
    ngx_str_t                ends;
    ngx_completion_fetch_t  *f;

    f = &job->fetch;

    if (job->attempts++) {
        job->fault = "the connection was closed before an answer";
        return CURL_PREREQFUNC_ABORT;
    }

    ends.data = buf;
    ends.len = 0;

    ngx_completion_fetch_ends(&ends, remote, remote_port);
    ngx_completion_fetch_ends(&ends, local, local_port);

    if (job->opened == 0) {
        job->fd = ngx_completion_fetch_socket_find(&ends);

        /*
         * Nothing may stand there to be read although nothing is asked, nor
         * may its end.  libcurl before 8.0 would take the first for the
         * answer, 8.23 does not look for the second.
         */

        if (job->fd == (ngx_socket_t) -1
            || recv(job->fd, &byte, 1, MSG_PEEK|MSG_DONTWAIT) != -1
            || ngx_socket_errno != NGX_EAGAIN)
        {
            job->fault = "the connection was closed while idle";
            job->attempts = 0;
            job->stale = 1;
            return CURL_PREREQFUNC_ABORT;
        }
    }

    if (ngx_completion_fetch_easy_head(job) != NGX_OK) {
        job->fault = "no memory";
        job->attempts = 0;
        return CURL_PREREQFUNC_ABORT;
    }

    if (f->fence && f->fence(f) != NGX_OK) {
        f->fenced = 1;
        return CURL_PREREQFUNC_ABORT;
    }

    f->sent = 1;

    /* of several, it is not known which one this is */

    if (job->opened == 1) {
        ngx_completion_fetch_socket_keep(job->fd, &ends);
    }

    return CURL_PREREQFUNC_OK;
}


static void
ngx_completion_fetch_ends(ngx_str_t *ends, const char *address, int port)
{
    size_t   len;
    u_char  *p;

    len = ngx_min(ngx_strlen(address), NGX_INET6_ADDRSTRLEN) + 1;
    p = ends->data + ends->len;

    p = ngx_cpymem(p, &port, sizeof(int));
    (void) ngx_cpystrn(p, (u_char *) address, len);

    ends->len += sizeof(int) + len;
}


static curl_socket_t
ngx_completion_fetch_open(void *data, curlsocktype purpose,
    struct curl_sockaddr *addr)
{
    ngx_completion_fetch_job_t  *job = data;

    /* nobody needs a connection for a repeat that is not going to be */

    if (job->attempts) {
        job->fault = "the connection was closed before an answer";
        return CURL_SOCKET_BAD;
    }

    job->fd = socket(addr->family, addr->socktype, addr->protocol);
    job->opened++;

    return job->fd;
}


CURL *
ngx_completion_fetch_easy_nowhere(void)
{
    CURL        *easy;
    ngx_uint_t   rc;

    /* a name that no connection is kept for, so that libcurl looks at all */

    static struct curl_slist  resolve = {
        (char *) "nowhere.invalid:80:127.0.0.1", NULL
    };

    easy = ngx_completion_fetch_easy_init();
    if (easy == NULL) {
        return NULL;
    }

    rc = curl_easy_setopt(easy, CURLOPT_URL, "http://nowhere.invalid/");
    rc |= curl_easy_setopt(easy, CURLOPT_RESOLVE, &resolve);
    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
                           ngx_completion_fetch_open_nowhere);

    if (rc != CURLE_OK) {
        curl_easy_cleanup(easy);
        return NULL;
    }

    return easy;
}


static curl_socket_t
ngx_completion_fetch_open_nowhere(void *data, curlsocktype purpose,
    struct curl_sockaddr *addr)
{
    return CURL_SOCKET_BAD;
}
