
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/base/ngx_completion_secret.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>


static char                      dir[] = "/tmp/secret.XXXXXX";
static char                      path[64];
static ngx_completion_secret_t  *secret;
static ngx_err_t                 err;

/* the look at the file, from 1 on, that finds it just written, or fails; or
   finds its descriptor gone */
static int                       looks, written_at, fails_at, gone_at;

/* pages that go: seen, and not wiped */
static int                       gone, dirty;


int
fstat(int fd, struct stat *st)
{
    looks++;

    if (looks == written_at) {
        ngx_fd_t  w = open(path, O_WRONLY|O_APPEND);

        if (write(w, "x", 1) != 1) {
            abort();
        }

        close(w);
    }

    if (looks == fails_at) {
        errno = EIO;
        return -1;
    }

    if (looks == gone_at) {
        close(fd);
    }

    return fstatat(fd, "", st, AT_EMPTY_PATH);
}


int
munmap(void *data, size_t size)
{
    u_char  *p;
    size_t   i;

    for (p = data, i = 0; i < size && p[i] == 0; i++) { /* void */ }

    gone++;
    dirty += (i != size);

    return syscall(SYS_munmap, data, size);
}


static void
put(const char *data, size_t len)
{
    ngx_fd_t  fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0600);

    if (write(fd, data, len) != (ssize_t) len) {
        abort();
    }

    close(fd);
}


static const char *
get(const char *name)
{
    ngx_str_t        file = str(name);
    const char      *fault;
    ngx_file_info_t  info;

    looks = 0;
    secret = NULL;

    fault = ngx_completion_secret_read(&file, &shim_log, &secret, &info, &err);

    written_at = 0;
    fails_at = 0;
    gone_at = 0;

    return fault;
}


static void
is_refused(const char *name, const char *expected, ngx_err_t code,
    const char *what)
{
    int          before = gone;
    ngx_str_t    got;
    const char  *fault = get(name);

    got = str(fault ? fault : "");
    is_str(&got, expected, what);
    is_int(err, code, "its error");
    ok(secret == NULL, "and no secret");

    if (code != ENOENT && code != ENOMEM) {
        is_int(gone - before, 1, "the pages went");
    }
}


static void
test_files(void)
{
    char           *big;
    struct rlimit   limit, none;

    put("AQ\0VN\r\n", 7);
    ok(get(path) == NULL, "a file");
    ok(secret->value.len == 7
       && memcmp(secret->value.data, "AQ\0VN\r\n", 7) == 0, "as it is");
    ngx_completion_secret_destroy(secret);

    big = malloc(65537);
    memset(big, 'a', 65537);

    put(big, 65536);
    ok(get(path) == NULL && secret->value.len == 65536
       && memcmp(secret->value.data, big, 65536) == 0, "64k");
    ngx_completion_secret_destroy(secret);

    put(big, 65537);
    is_refused(path, "is longer than 64k", 0, "one more");
    free(big);

    put("", 0);
    is_refused(path, "is empty", 0, "an empty one");

    put("AQVN", 4);
    written_at = 2;
    is_refused(path, "is being written", 0, "one that grows meanwhile");

    fails_at = 1;
    is_refused(path, "cannot be looked at", EIO, "a disk that fails");

    gone_at = 2;
    is_refused(path, "is being written", 0, "one that is lost");
    ok(shim_log_level == NGX_LOG_ALERT && strstr(shim_log_text, path),
       "an invariant is broken");

    unlink(path);
    is_refused(path, "cannot be opened", ENOENT, "none");
    is_refused(dir, "is not a regular file", 0, "a directory");

    /* a file that the kernel makes, of which nothing can be read at 0 */

    is_refused("/proc/self/mem", "cannot be read", EIO, "one that fails");

    if (mkfifo(path, 0600) != 0) {
        abort();
    }

    is_refused(path, "is not a regular file", 0,
               "a pipe, without waiting for its other end");
    unlink(path);

    put("AQVN", 4);
    getrlimit(RLIMIT_AS, &limit);
    none = limit;
    none.rlim_cur = 4096;
    shim_log_lines = 0;

    setrlimit(RLIMIT_AS, &none);
    get(path);
    setrlimit(RLIMIT_AS, &limit);

    ok(secret == NULL && shim_log_lines == 1
       && shim_log_level == NGX_LOG_EMERG, "no memory is logged");
    unlink(path);
}


static void
test_same(void)
{
    size_t           i;
    ngx_file_info_t  a, b;

    static const struct {
        size_t       offset;
        const char  *name;
    } t[] = {
        { offsetof(ngx_file_info_t, st_dev), "another device" },
        { offsetof(ngx_file_info_t, st_ino), "another file" },
        { offsetof(ngx_file_info_t, st_size), "another size" },
        { offsetof(ngx_file_info_t, st_mtim.tv_sec), "written since" },
        { offsetof(ngx_file_info_t, st_mtim.tv_nsec), "written just now" },
        { offsetof(ngx_file_info_t, st_ctim.tv_sec), "changed since" },
        { offsetof(ngx_file_info_t, st_ctim.tv_nsec), "changed just now" }
    };

    memset(&a, 0, sizeof(a));
    b = a;
    b.st_atim.tv_sec = 1;
    ok(ngx_completion_secret_same(&a, &b), "read meanwhile: the same");

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        b = a;
        ((u_char *) &b)[t[i].offset] = 1;
        ok(!ngx_completion_secret_same(&a, &b), t[i].name);
    }
}


static void
test_pools(void)
{
    int          before;
    u_char      *bytes;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, &shim_log);
    secret = ngx_completion_secret_create(5000, &shim_log);
    is_int(secret->value.len, 5000, "room for a secret");
    memset(secret->value.data, 'a', 5000);

    before = gone;
    is_int(ngx_completion_secret_attach(pool, secret), NGX_OK, "in a pool");
    is_int(gone, before, "where it stays");
    ngx_destroy_pool(pool);
    is_int(gone, before + 1, "and with which it goes");

    pool = ngx_create_pool(1024, &shim_log);
    secret = ngx_completion_secret_create(5000, &shim_log);
    shim_allocations = 0;
    shim_fail_at = 1;
    is_int(ngx_completion_secret_attach(pool, secret), NGX_ERROR, "no memory");
    shim_fail_at = 0;
    is_int(gone, before + 2, "and it is gone");

    bytes = ngx_completion_secret_alloc(pool, 4);
    memcpy(bytes, "AQVN", 4);
    ok(pool->cleanup != NULL, "bytes of a pool");
    pool->cleanup->handler(pool->cleanup->data);
    ok(memcmp(bytes, "\0\0\0\0", 4) == 0, "are wiped as it goes");
    pool->cleanup = NULL;

    shim_allocations = 0;
    shim_fail_at = 1;
    ok(ngx_completion_secret_alloc(pool, 4) == NULL, "no memory");
    shim_fail_at = 0;
    ngx_destroy_pool(pool);

    ngx_completion_secret_destroy(NULL);
    is_int(gone, before + 2, "no secret, nothing goes");

    shim_log_lines = 0;
    ok(ngx_completion_secret_create((size_t) 1 << 62, &shim_log) == NULL
       && shim_log_level == NGX_LOG_EMERG && shim_log_lines == 1,
       "more than there is");

    ngx_completion_secret_undumped(dir + 1, 1, &shim_log);
    ok(shim_log_level == NGX_LOG_WARN
       && strstr(shim_log_text, "a core dump would hold secrets") != NULL,
       "what would be in a core dump is logged");
}


/* a page is kept for the next one, as many as a burst may need are not */

static void
test_spares(void)
{
    int                       i, j, before, bad = 0;
    ngx_completion_secret_t  *last, *many[100];

    secret = ngx_completion_secret_create(100, &shim_log);
    memset(secret->value.data, 'a', 100);
    ngx_completion_secret_destroy(secret);

    last = secret;
    secret = ngx_completion_secret_create(200, &shim_log);
    ok(secret == last && secret->value.len == 200, "the same page");

    for (i = 0; i < 200; i++) {
        bad += (secret->value.data[i] != 0);
    }

    is_int(bad, 0, "was wiped");
    ngx_completion_secret_destroy(secret);

    secret = ngx_completion_secret_create(5000, &shim_log);
    ok(secret != last, "two pages are others");
    ngx_completion_secret_destroy(secret);

    for (i = 0; i < 100; i++) {
        many[i] = ngx_completion_secret_create(8, &shim_log);
        for (j = 0; j < i; j++) {
            bad += (many[j] == many[i]);
        }
    }

    is_int(bad, 0, "each has its own");

    for (i = 0, before = gone; i < 100; i++) {
        ngx_completion_secret_destroy(many[i]);
    }

    is_int(gone - before, 68, "a few stay");
}


int
main(void)
{
    if (mkdtemp(dir) == NULL) {
        abort();
    }

    snprintf(path, sizeof(path), "%s/key", dir);

    test_files();
    test_same();
    test_pools();
    test_spares();

    rmdir(dir);

    is_int(dirty, 0, "no pages went that were not wiped");
    is_int(shim_bytes, 0, "nothing is left of the pools");

    return tap_done();
}
