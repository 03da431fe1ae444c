
/*
 * What comes out of libcurl's easy handle: header lines, the body, and how
 * much of what upstream sends is neither.
 */


#include "ngx_completion_fetch_job.h"

#include <netinet/tcp.h>


#define NGX_COMPLETION_FETCH_HEADER_SIZE    65536
#define NGX_COMPLETION_FETCH_HEADER_LINES   100
#define NGX_COMPLETION_FETCH_FIRST_BUFFER   4096

/* of the calls of libcurl's progress function, one in so many takes a look */
#define NGX_COMPLETION_FETCH_LOOK           64

/* what one transfer may take of the worker before libcurl returns, ms */
#define NGX_COMPLETION_FETCH_TURN           25

/*
 * Bytes that arrive for one of header or body, and how many may come ahead:
 * single bytes in chunks and TLS records of their own are within it.
 */
#define NGX_COMPLETION_FETCH_WRAPPING       64
#define NGX_COMPLETION_FETCH_AHEAD          262144

/* where tcpi_bytes_received is for Linux; C libraries know less of it */
#define NGX_COMPLETION_FETCH_RECEIVED       128


static ngx_int_t ngx_completion_fetch_grow(ngx_completion_fetch_job_t *job,
    size_t need);
static ngx_int_t ngx_completion_fetch_field(ngx_completion_fetch_job_t *job,
    u_char *name, u_char *last);
static ngx_uint_t ngx_completion_fetch_encodings(u_char *p, u_char *last);
static ngx_uint_t ngx_completion_fetch_wrapped(
    ngx_completion_fetch_job_t *job);


/* counts libcurl's turns */
static ngx_uint_t  ngx_completion_fetch_act;


ngx_int_t
ngx_completion_fetch_answer_header(ngx_completion_fetch_t *f,
    const char *name, ngx_str_t *value)
{
    size_t                       len;
    ngx_uint_t                   i;
    ngx_keyval_t                *kv;
    ngx_completion_fetch_job_t  *job;

    job = (ngx_completion_fetch_job_t *) f;

    kv = job->answer.elts;
    len = ngx_strlen(name);

    for (i = job->answer.nelts; i > 0; i--) {
        if (kv[i - 1].key.len == len
            && ngx_memcmp(kv[i - 1].key.data, name, len) == 0)
        {
            *value = kv[i - 1].value;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_uint_t
ngx_completion_fetch_answer_whole(ngx_completion_fetch_job_t *job)
{
    curl_off_t  length;

    if (curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
                          &length)
        != CURLE_OK)
    {
        return 0;
    }

    return length >= 0 && (size_t) length == job->fetch.response.len;
}


size_t
ngx_completion_fetch_answer_body(char *p, size_t size, size_t n, void *data)
{
    ngx_completion_fetch_job_t  *job = data;

    size_t                   len;
    ngx_completion_fetch_t  *f;

    f = &job->fetch;
    len = size * n;

    if (len > f->origin->max_response_size - f->response.len) {
        job->fault = "too large";
        f->excess = 1;
        return CURL_WRITEFUNC_ERROR;
    }

    if (ngx_completion_fetch_grow(job, f->response.len + len + 1) != NGX_OK) {
        job->fault = "no memory";
        return CURL_WRITEFUNC_ERROR;
    }

    ngx_memcpy(job->buffer + f->response.len, p, len);

    f->response.data = job->buffer;
    f->response.len += len;
    f->response.data[f->response.len] = '\0';

    return len;
}


static ngx_int_t
ngx_completion_fetch_grow(ngx_completion_fetch_job_t *job, size_t need)
{
    u_char  *p;
    size_t   size;

    if (need <= job->size) {
        return NGX_OK;
    }

    size = ngx_max(job->size * 2, NGX_COMPLETION_FETCH_FIRST_BUFFER);
    size = ngx_max(size, need);

    /* a secret grows once, so that no copy of it stays behind */

    if (job->fetch.secret) {
        size = job->fetch.origin->max_response_size + 1;
    }

    p = realloc(job->buffer, size);
    if (p == NULL) {
        ngx_log_error(NGX_LOG_EMERG, job->fetch.log, ngx_errno,
                      "realloc(%uz) failed", size);
        return NGX_ERROR;
    }

    job->buffer = p;
    job->size = size;

    return NGX_OK;
}


/*
 * Lines of every response come by here, trailers too: those of the final one
 * are kept, but all of them count.
 */

size_t
ngx_completion_fetch_answer_line(char *p, size_t size, size_t n, void *data)
{
    ngx_completion_fetch_job_t  *job = data;

    long     status;
    size_t   len;
    u_char  *first, *last;

    len = size * n;
    job->header_size += len;
    job->header_lines++;

    if (job->header_size > NGX_COMPLETION_FETCH_HEADER_SIZE
        || job->header_lines > NGX_COMPLETION_FETCH_HEADER_LINES)
    {
        job->fault = "too many header lines";
        return CURL_WRITEFUNC_ERROR;
    }

    if (job->final) {
        return len;
    }

    first = (u_char *) p;
    last = first + len;

    while (last > first && (last[-1] == CR || last[-1] == LF)) {
        last--;
    }

    if (last == first) {
        if (curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status)
            == CURLE_OK
            && status >= 200)
        {
            job->final = 1;
        }

        return len;
    }

    /* a little of the outer one may be any amount of the inner one */

    job->encodings += ngx_completion_fetch_encodings(first, last);

    if (job->encodings > 1) {
        job->fault = "encoded more than once";
        job->fetch.garbled = 1;
        return CURL_WRITEFUNC_ERROR;
    }

    if (last - first > 5 && ngx_strncmp(first, "HTTP/", 5) == 0) {
        job->answer.nelts = 0;
        return len;
    }

    if (ngx_completion_fetch_field(job, first, last) != NGX_OK) {
        job->fault = "no memory";
        return CURL_WRITEFUNC_ERROR;
    }

    return len;
}


static ngx_int_t
ngx_completion_fetch_field(ngx_completion_fetch_job_t *job, u_char *name,
    u_char *last)
{
    u_char        *p, *colon, *data;
    ngx_keyval_t  *kv;

    colon = ngx_strlchr(name, last, ':');

    if (colon == NULL || colon == name || *name == ' ' || *name == '\t') {
        return NGX_OK;
    }

    data = colon + 1;

    while (data < last && (*data == ' ' || *data == '\t')) {
        data++;
    }

    while (last > data && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    for (p = data; p < last; p++) {
        if (*p < ' ' || *p == 0x7f) {
            return NGX_OK;
        }
    }

    p = ngx_pnalloc(job->fetch.pool, last - name);
    kv = ngx_array_push(&job->answer);

    if (p == NULL || kv == NULL) {
        return NGX_ERROR;
    }

    kv->key.len = colon - name;
    kv->key.data = p;
    ngx_strlow(p, name, kv->key.len);

    kv->value.len = last - data;
    kv->value.data = p + kv->key.len;
    ngx_memcpy(kv->value.data, data, kv->value.len);

    return NGX_OK;
}


/* How many a header line speaks of, "chunked" not counted when alone. */

static ngx_uint_t
ngx_completion_fetch_encodings(u_char *p, u_char *last)
{
    ngx_uint_t  i, n;

    static ngx_str_t  names[] = {
        ngx_string("transfer-encoding:"),
        ngx_string("content-encoding:")
    };

    for (i = 0; i < 2; i++) {

        if ((size_t) (last - p) < names[i].len
            || ngx_tolower(*p) != names[i].data[0]
            || ngx_strncasecmp(p, names[i].data, names[i].len) != 0)
        {
            continue;
        }

        for (n = i; p < last; p++) {
            n += (*p == ',');
        }

        return n;
    }

    return 0;
}


void
ngx_completion_fetch_answer_turn(void)
{
    ngx_completion_fetch_act++;
}


/*
 * Called by libcurl whenever it has read something, or might have.  Upstream
 * and a proxy may send without end what is neither header nor body: replies to
 * CONNECT, extensions of chunks, compressed nothing.
 */

int
ngx_completion_fetch_answer_progress(void *data, curl_off_t download,
    curl_off_t downloaded, curl_off_t upload, curl_off_t uploaded)
{
    ngx_completion_fetch_job_t  *job = data;

    ngx_msec_t       cpu;
    struct timespec  ts;

    if (++job->looks % NGX_COMPLETION_FETCH_LOOK) {
        return 0;
    }

    /*
     * The loop's time stands still while libcurl does not return to it, and a
     * worker that had to wait for a processor is not to be blamed.
     */

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    cpu = (ngx_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

    if (job->act != ngx_completion_fetch_act) {
        job->act = ngx_completion_fetch_act;
        job->cpu = cpu;
    }

    if (cpu - job->cpu > NGX_COMPLETION_FETCH_TURN) {
        job->fault = "bytes without a pause";
        return 1;
    }

    if (ngx_completion_fetch_wrapped(job)) {
        job->fault = "bytes that are no answer";
        return 1;
    }

    return 0;
}


static ngx_uint_t
ngx_completion_fetch_wrapped(ngx_completion_fetch_job_t *job)
{
    u_char     info[NGX_COMPLETION_FETCH_RECEIVED + sizeof(uint64_t)];
    uint64_t   received, unwrapped;
    socklen_t  len;

    len = sizeof(info);

    if (getsockopt(job->fd, IPPROTO_TCP, TCP_INFO, info, &len) == -1
        || len < sizeof(info))
    {
        return 0;
    }

    ngx_memcpy(&received, info + NGX_COMPLETION_FETCH_RECEIVED,
               sizeof(uint64_t));

    unwrapped = job->header_size + job->fetch.response.len;

    /* the first look is where a kept connection begins */

    if (job->looks == NGX_COMPLETION_FETCH_LOOK) {
        job->received = received;
        job->unwrapped = unwrapped;
    }

    return received - job->received
           > NGX_COMPLETION_FETCH_AHEAD
             + NGX_COMPLETION_FETCH_WRAPPING * (unwrapped - job->unwrapped);
}
