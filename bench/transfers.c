
/*
 * What libcurl alone needs for a request on its way: so many POSTs to a port
 * that takes connections and never answers, with the options that matter for
 * memory as the module sets them.
 *
 *     transfers PORT NUMBER
 *
 * Prints the bytes of anonymous memory for each.
 */


#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static void start(CURLM *multi, const char *url);
static long memory(void);
static size_t body(char *p, size_t size, size_t n, void *data);
static void die(const char *what);


int
main(int argc, char **argv)
{
    int     i, n, running;
    char    url[64];
    long    before;
    CURLM  *multi;

    if (argc != 3) {
        fprintf(stderr, "usage: transfers PORT NUMBER\n");
        return 2;
    }

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", atoi(argv[1]));
    n = atoi(argv[2]);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();

    if (multi == NULL || n < 1) {
        die("curl_multi_init()");
    }

    /* the first of everything is not a transfer's */

    start(multi, url);

    for (i = 0; i < 20; i++) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 10, NULL);
    }

    before = memory();

    for (i = 0; i < n; i++) {
        start(multi, url);
        curl_multi_perform(multi, &running);
    }

    for (i = 0; i < 100; i++) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 10, NULL);
    }

    if (running != n + 1) {
        die("the transfers");
    }

    printf("%ld\n", (memory() - before) / n);

    return 0;
}


static void
start(CURLM *multi, const char *url)
{
    CURL  *easy;

    easy = curl_easy_init();
    if (easy == NULL) {
        die("curl_easy_init()");
    }

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 4096L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) 400);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, body);

    if (curl_multi_add_handle(multi, easy) != CURLM_OK) {
        die("curl_multi_add_handle()");
    }
}


static size_t
body(char *p, size_t size, size_t n, void *data)
{
    (void) data;

    n = (size * n < 400) ? size * n : 400;
    memset(p, 'x', n);

    return n;
}


static long
memory(void)
{
    long   kb;
    char   line[256];
    FILE  *status;

    kb = -1;
    status = fopen("/proc/self/status", "r");

    while (status && fgets(line, sizeof(line), status)) {
        if (sscanf(line, "RssAnon: %ld kB", &kb) == 1) {
            break;
        }
    }

    if (kb == -1) {
        die("/proc/self/status");
    }

    fclose(status);

    return kb * 1024;
}


static void
die(const char *what)
{
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}
