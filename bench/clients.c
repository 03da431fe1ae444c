
/*
 * Many HTTP clients in one process, on epoll.
 *
 *     clients PORT CONNECTIONS SECONDS [RATE [HEADERS]] < requests
 *
 * A request is a line of standard input: METHOD PATH PREFER TEXT, "-" for a
 * part that is missing.  Every connection takes the next line when its last
 * one is answered.  With a rate, in requests a second (0: none), a line is
 * not taken before its time, and that time counts as the one it was sent at,
 * however late a connection was free for it.  Headers are lines that every
 * request has.  Prints a line when every request is on
 * its way, and one per answer, times in seconds of the wall clock:
 *
 *     sent
 *     NUMBER STATUS SENT RECEIVED done|pending SOURCE LOCATION
 *
 * The status is 0 where no answer came; then the program ends with 1.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define ANSWER_SIZE   8192
#define CONNECTING    256    /* well below what listen() lets wait */
#define NONE          ((size_t) -1)


typedef struct client_s  client_t;

struct client_s {
    int        fd;
    int        connecting;   /* nothing was sent yet */
    size_t     number;       /* of the request under way */
    char      *out;
    size_t     out_len;
    size_t     out_sent;
    char      *in;
    size_t     in_len;
    double     sent;
    client_t  *idle;         /* the next one that waits for its time */
};


static void client_connect(client_t *c);
static void client_next(client_t *c);
static void clients_due(void);
static int until_due(void);
static void client_event(client_t *c, unsigned events);
static void client_write(client_t *c);
static void client_read(client_t *c);
static int client_answer(client_t *c);
static void client_end(client_t *c, int status);
static void client_close(client_t *c);
static int header(const char *in, const char *name, char *value, size_t size);
static void requests_read(void);
static double now(void);
static void die(const char *what);


static char    **requests;
static size_t    nrequests, taken, on_their_way, answered, unanswered;
static size_t    connecting;
static int       ep, port;
static double    rate, first;     /* the time of the first request */
static char     *headers;
static client_t *idle;


int
main(int argc, char **argv)
{
    int                 i, n;
    size_t              j, opened, nclients;
    double              end;
    client_t           *clients;
    struct rlimit       rlmt;
    struct epoll_event  events[512];

    if (argc < 4 || argc > 6) {
        fprintf(stderr, "usage: clients PORT CONNECTIONS SECONDS "
                "[RATE [HEADERS]]\n");
        return 2;
    }

    port = atoi(argv[1]);
    nclients = atoi(argv[2]);
    end = now() + atof(argv[3]);
    rate = (argc > 4) ? atof(argv[4]) : 0;
    headers = (argc > 5) ? argv[5] : "";
    first = now() + 0.1;

    requests_read();

    if (nclients > nrequests) {
        nclients = nrequests;
    }

    rlmt.rlim_cur = rlmt.rlim_max = nclients + 64;

    if (setrlimit(RLIMIT_NOFILE, &rlmt) == -1) {
        die("setrlimit()");
    }

    clients = calloc(nclients, sizeof(client_t));
    ep = epoll_create1(0);

    if (clients == NULL || ep == -1) {
        die("epoll_create1()");
    }

    opened = 0;

    while (answered + unanswered < nrequests && now() < end) {

        while (opened < nclients && connecting < CONNECTING) {
            clients[opened].in = malloc(ANSWER_SIZE);
            if (clients[opened].in == NULL) {
                die("malloc()");
            }

            client_connect(&clients[opened++]);
        }

        clients_due();
        n = epoll_wait(ep, events, 512, until_due());

        for (i = 0; i < n; i++) {
            client_event(events[i].data.ptr, events[i].events);
        }
    }

    for (j = 0; j < opened; j++) {
        if (clients[j].number != NONE) {
            client_end(&clients[j], 0);
        }
    }

    return (answered == nrequests) ? 0 : 1;
}


static void
client_connect(client_t *c)
{
    int                 one;
    struct epoll_event  ee;
    struct sockaddr_in  sin;

    c->fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0);
    if (c->fd == -1) {
        die("socket()");
    }

    one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        && errno != EINPROGRESS)
    {
        die("connect()");
    }

    ee.events = EPOLLIN|EPOLLOUT|EPOLLET;
    ee.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        die("epoll_ctl()");
    }

    c->connecting = 1;
    connecting++;
    client_next(c);
}


/* takes the next request; the write event, or the caller, sends it */

static void
client_next(client_t *c)
{
    int   n;
    char  method[16], path[512], prefer[64], text[1024], head[128];

    c->number = NONE;
    c->in_len = 0;

    if (taken == nrequests) {
        return;
    }

    if (rate && now() < first + taken / rate) {
        c->idle = idle;
        idle = c;
        return;
    }

    c->number = taken++;

    n = sscanf(requests[c->number], "%15s %511s %63s %1023[^\n]",
               method, path, prefer, text);
    if (n != 4) {
        fprintf(stderr, "bad request: %s\n", requests[c->number]);
        exit(2);
    }

    head[0] = '\0';

    if (strcmp(prefer, "-") != 0) {
        snprintf(head, sizeof(head), "Prefer: %s\r\n", prefer);
    }

    if (strcmp(text, "-") == 0) {
        text[0] = '\0';
    }

    n = asprintf(&c->out, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s"
                 "Content-Length: %zu\r\n\r\n%s",
                 method, path, head, headers, strlen(text), text);
    if (n == -1) {
        die("asprintf()");
    }

    c->out_len = n;
    c->out_sent = 0;
}


/* sends what is due on connections that have nothing to do */

static void
clients_due(void)
{
    client_t  *c;

    while (idle && taken < nrequests && now() >= first + taken / rate) {
        c = idle;
        idle = c->idle;
        client_next(c);
        client_write(c);
    }
}


/* ms; the last one is spent looking, as epoll_wait() is not as exact */

static int
until_due(void)
{
    double  ms;

    if (idle == NULL || taken == nrequests) {
        return 100;
    }

    ms = (first + taken / rate - now()) * 1000 - 1;

    return (ms <= 0) ? 0 : (ms >= 100) ? 100 : (int) ms;
}


static void
client_event(client_t *c, unsigned events)
{
    if (events & EPOLLOUT) {
        client_write(c);
    }

    if (c->fd != -1 && (events & (EPOLLIN|EPOLLERR|EPOLLHUP))) {
        client_read(c);
    }
}


static void
client_write(client_t *c)
{
    ssize_t  n;

    while (c->out) {
        n = write(c->fd, c->out + c->out_sent, c->out_len - c->out_sent);

        if (n == -1) {
            return;
        }

        c->out_sent += n;

        if (c->out_sent < c->out_len) {
            continue;
        }

        connecting -= c->connecting;
        c->connecting = 0;

        free(c->out);
        c->out = NULL;
        c->sent = rate ? first + c->number / rate : now();

        if (++on_their_way == nrequests) {
            printf("sent\n");
            fflush(stdout);
        }
    }
}


static void
client_read(client_t *c)
{
    ssize_t  n;

    for ( ;; ) {
        n = read(c->fd, c->in + c->in_len, ANSWER_SIZE - 1 - c->in_len);

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        if (n <= 0) {
            if (rate && c->number == NONE) {
                fprintf(stderr, "a connection that waits was closed\n");
                exit(2);
            }

            client_end(c, 0);
            client_close(c);
            return;
        }

        c->in_len += n;
        c->in[c->in_len] = '\0';

        if (client_answer(c)) {
            client_next(c);
            client_write(c);
        }
    }
}


/* whether the answer is complete */

static int
client_answer(client_t *c)
{
    char  *body, value[32];

    body = strstr(c->in, "\r\n\r\n");

    if (body == NULL) {
        return 0;
    }

    body += 4;

    if (strncmp(c->in, "HTTP/1.1 304 ", sizeof("HTTP/1.1 304 ") - 1) == 0) {
        strcpy(value, "0");

    } else if (!header(c->in, "Content-Length", value, sizeof(value))) {
        fprintf(stderr, "an answer without a length:\n%s\n", c->in);
        exit(2);
    }

    if ((size_t) (c->in + c->in_len - body) < (size_t) atol(value)) {
        return 0;
    }

    client_end(c, atoi(c->in + sizeof("HTTP/1.1 ") - 1));

    return 1;
}


static void
client_end(client_t *c, int status)
{
    char  source[64], location[512];

    if (c->number == NONE) {
        return;
    }

    if (status == 0) {
        unanswered++;
        c->in[0] = '\0';

    } else {
        answered++;
    }

    if (!header(c->in, "X-Source", source, sizeof(source))) {
        strcpy(source, "-");
    }

    if (!header(c->in, "Location", location, sizeof(location))) {
        strcpy(location, "-");
    }

    printf("%zu %d %.6f %.6f %s %s %s\n", c->number, status, c->sent, now(),
           strstr(c->in, "\"done\":true") ? "done" : "pending",
           source, location);

    c->number = NONE;
}


static void
client_close(client_t *c)
{
    close(c->fd);
    c->fd = -1;

    connecting -= c->connecting;
    c->connecting = 0;

    free(c->out);
    c->out = NULL;

    if (taken < nrequests) {
        client_connect(c);
    }
}


static int
header(const char *in, const char *name, char *value, size_t size)
{
    size_t       len;
    const char  *line, *end;

    len = strlen(name);

    for (line = strstr(in, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;

        if (strncasecmp(line, name, len) != 0 || line[len] != ':') {
            continue;
        }

        line += len + 1 + strspn(line + len + 1, " ");
        end = strstr(line, "\r\n");

        if (end == NULL || end == line || (size_t) (end - line) >= size) {
            return 0;
        }

        memcpy(value, line, end - line);
        value[end - line] = '\0';

        return 1;
    }

    return 0;
}


static void
requests_read(void)
{
    char    *line;
    size_t   size, room;

    line = NULL;
    size = 0;
    room = 0;

    while (getline(&line, &size, stdin) > 0) {

        if (nrequests == room) {
            room = room ? 2 * room : 1024;
            requests = realloc(requests, room * sizeof(char *));
        }

        if (requests == NULL || (requests[nrequests++] = strdup(line)) == NULL)
        {
            die("malloc()");
        }
    }

    free(line);
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static void
die(const char *what)
{
    perror(what);
    exit(2);
}
