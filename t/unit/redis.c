
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/cluster/ngx_completion_redis_wire.h"


static ngx_pool_t  *pool;
static ngx_conf_t   cf;


/* an allocation of its own, so that a read beyond its end is seen */

static ngx_str_t
copied(const char *text)
{
    ngx_str_t  s;

    s.len = strlen(text);
    s.data = ngx_pnalloc(pool, s.len + !s.len);
    memcpy(s.data, text, s.len);

    return s;
}


/* what a URL says, in one line */

static const char *
url(const char *text)
{
    char                         *fault;
    static char                   said[512];
    ngx_str_t                     s;
    ngx_completion_redis_conf_t   conf;

    memset(&conf, 0, sizeof(conf));
    s = str(text);

    fault = ngx_completion_redis_url(&cf, &s, &conf);

    if (fault) {
        snprintf(said, sizeof(said), "fault: %s", fault);

    } else if (conf.path.len) {
        snprintf(said, sizeof(said), "path %.*s db %d", (int) conf.path.len,
                 conf.path.data, (int) conf.db);

    } else {
        snprintf(said, sizeof(said), "host %s port %d db %d%s",
                 conf.origin.host.data, conf.origin.port, (int) conf.db,
                 conf.origin.tls ? " tls" : "");
    }

    return said;
}


static void
test_url(void)
{
    size_t  i;
    char    text[256], longest[200];

    static const struct {
        const char  *url;
        const char  *is;
    } cases[] = {
        { "redis://localhost", "host localhost port 6379 db 0" },
        { "redis://10.0.0.1:6380/3", "host 10.0.0.1 port 6380 db 3" },
        { "redis://h/", "host h port 6379 db 0" },
        { "REDISS://h.example:1/15", "host h.example port 1 db 15 tls" },
        { "valkey://h", "host h port 6379 db 0" },
        { "valkeys://[::1]:7", "host ::1 port 7 db 0 tls" },
        { "unix:/run/redis.sock", "path /run/redis.sock db 0" },
        { "unix:/run/redis.sock:2", "path /run/redis.sock db 2" },
        { "", "fault: the URL must be" },
        { "redis://", "fault: the URL must be" },
        { "http://h", "fault: the URL must be" },
        { "h:6379", "fault: the URL must be" },
        { "redis:///1", "fault: the URL has an invalid host" },
        { "redis://h:0", "fault: the URL has an invalid port" },
        { "redis://h:x", "fault: the URL has an invalid port" },
        { "redis://h h", "fault: the URL has an invalid character" },
        { "redis://h?db=1", "fault: the URL has an invalid character" },
        { "redis://u:p@h", "fault: the URL must not have credentials" },
        { "redis://h/x", "fault: the database of the URL" },
        { "redis://h/-1", "fault: the database of the URL" },
        { "redis://h/65536", "fault: the database of the URL" },
        { "unix:", "fault: the URL must be" },
        { "unix:redis.sock", "fault: the path of the socket must begin" },
        { "unix:/r:", "fault: the database of the URL" },
        { "unix:/r:x", "fault: the database of the URL" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(strncmp(url(cases[i].url), cases[i].is, strlen(cases[i].is)) == 0,
           cases[i].url);
    }

    memset(longest, 'x', sizeof(longest));
    snprintf(text, sizeof(text), "unix:/%.*s", 107, longest);
    ok(strncmp(url(text), "fault: the path of the socket is too long", 41)
       == 0, "a path that no socket has");
    snprintf(text, sizeof(text), "unix:/%.*s", 106, longest);
    ok(strncmp(url(text), "path /x", 7) == 0, "... and the longest");
}


static void
test_faults(void)
{
    size_t     i;
    ngx_str_t  text;

    static const struct {
        const char                    *text;
        ngx_completion_redis_fault_e   fault;
    } cases[] = {
        { "LOADING Redis is loading the dataset in memory",
          NGX_COMPLETION_METRICS_REDIS_LOADING },
        { "READONLY You can't write against a read only replica.",
          NGX_COMPLETION_METRICS_REDIS_READONLY },
        { "OOM command not allowed when used memory > 'maxmemory'. script: "
          "1234, on @user_script:1.", NGX_COMPLETION_METRICS_REDIS_OOM },
        { "ERR Error running script (call to f_12): @user_script:1: "
          "@user_script: 1: -OOM command not allowed",
          NGX_COMPLETION_METRICS_REDIS_OOM },
        { "NOAUTH", NGX_COMPLETION_METRICS_REDIS_NOAUTH },
        { "MOVED 3999 127.0.0.1:6381", NGX_COMPLETION_METRICS_REDIS_MOVED },
        { "NOSCRIPT No matching script. Please use EVAL.",
          NGX_COMPLETION_METRICS_REDIS_NOSCRIPT },
        { "ERR unknown command", NGX_COMPLETION_METRICS_REDIS_COMMAND },
        { "WRONGTYPE Operation", NGX_COMPLETION_METRICS_REDIS_COMMAND },
        { "ERR it is -OOM", NGX_COMPLETION_METRICS_REDIS_COMMAND },
        { "OOMs", NGX_COMPLETION_METRICS_REDIS_COMMAND },
        { "ASKING", NGX_COMPLETION_METRICS_REDIS_COMMAND },
        { "", NGX_COMPLETION_METRICS_REDIS_COMMAND },
        { ": -", NGX_COMPLETION_METRICS_REDIS_COMMAND },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = copied(cases[i].text);
        is_int(ngx_completion_redis_fault(&text), cases[i].fault,
               cases[i].text);
    }
}


/* NGX_OK with the reply, whatever pieces it comes in */

static ngx_int_t
take(ngx_completion_redis_reader_t *reader, const char *text, size_t piece,
    ngx_completion_reply_t **reply)
{
    size_t     n, len;
    ngx_int_t  rc;

    rc = NGX_AGAIN;
    len = strlen(text);

    for (n = 0; n < len && rc == NGX_AGAIN; n += piece) {
        rc = ngx_completion_redis_reader_feed(reader, (u_char *) text + n,
                                              ngx_min(piece, len - n));
        if (rc == NGX_OK) {
            rc = ngx_completion_redis_reader_next(reader, reply);
        }
    }

    return rc;
}


static void
test_replies(void)
{
    size_t                          piece;
    ngx_completion_reply_t         *r;
    ngx_completion_redis_reader_t  *reader;

    reader = ngx_completion_redis_reader_create(&shim_log);

    for (piece = 1; piece < 40; piece += 6) {
        ok(take(reader, "+OK\r\n", piece, &r) == NGX_OK
           && r->type == NGX_COMPLETION_REPLY_STATUS
           && strcmp((char *) r->text.data, "OK") == 0, "a status");
        ok(take(reader, "-ERR no\r\n", piece, &r) == NGX_OK
           && r->type == NGX_COMPLETION_REPLY_ERROR
           && strcmp((char *) r->text.data, "ERR no") == 0, "an error");
        ok(take(reader, ":-42\r\n", piece, &r) == NGX_OK
           && r->type == NGX_COMPLETION_REPLY_INTEGER && r->integer == -42,
           "a number");
        ok(take(reader, "$-1\r\n", piece, &r) == NGX_OK
           && r->type == NGX_COMPLETION_REPLY_NIL, "nothing");
        ok(take(reader, "$5\r\na\r\nbc\r\n", piece, &r) == NGX_OK
           && r->type == NGX_COMPLETION_REPLY_TEXT && r->text.len == 5
           && memcmp(r->text.data, "a\r\nbc", 6) == 0, "a text");
        ok(take(reader, "*0\r\n", piece, &r) == NGX_OK
           && r->type == NGX_COMPLETION_REPLY_ARRAY && r->n == 0,
           "an empty array");
        ok(take(reader, "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*-1\r\n$0\r\n\r\n", piece,
                &r)
           == NGX_OK
           && r->n == 3 && r->elements[0]->integer == 1
           && r->elements[1]->n == 2
           && r->elements[1]->elements[0]->text.data[0] == 'x'
           && r->elements[1]->elements[1]->type == NGX_COMPLETION_REPLY_NIL
           && r->elements[2]->text.len == 0, "arrays in arrays");
    }

    ngx_completion_redis_reader_destroy(reader);
}


static void
refused(const char *text, const char *name)
{
    ngx_completion_reply_t         *r;
    ngx_completion_redis_reader_t  *reader;

    reader = ngx_completion_redis_reader_create(&shim_log);

    is_int(take(reader, text, strlen(text), &r), NGX_ERROR, name);

    ngx_completion_redis_reader_destroy(reader);
}


static void
test_refused(void)
{
    char                           *big;
    size_t                          n;
    ngx_int_t                       rc;
    ngx_completion_reply_t         *r;
    ngx_completion_redis_reader_t  *reader;

    refused("HTTP/1.1 400 Bad Request\r\n", "no reply");
    refused("*2147483647\r\n", "an array that nobody has room for");
    refused("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
            "arrays in arrays without an end");

    /* announced, and on its way */

    big = malloc(300000);
    memset(big, 'x', 300000);
    reader = ngx_completion_redis_reader_create(&shim_log);

    rc = take(reader, "$290000\r\n", 100, &r);

    for (n = 0; rc == NGX_AGAIN && n < 290000; n += 1000) {
        rc = ngx_completion_redis_reader_feed(reader, (u_char *) big, 1000);
        if (rc == NGX_OK) {
            rc = ngx_completion_redis_reader_next(reader, &r);
        }
    }

    ok(rc == NGX_ERROR && n <= 263000, "a text beyond 256 KB");
    ngx_completion_redis_reader_destroy(reader);

    /* one that fits comes, again and again */

    reader = ngx_completion_redis_reader_create(&shim_log);

    for (n = 0; n < 4; n++) {
        rc = take(reader, "*2\r\n$250000\r\n", 100, &r);
        (void) ngx_completion_redis_reader_feed(reader, (u_char *) big,
                                                250000);
        rc = take(reader, "\r\n:1\r\n", 100, &r);

        ok(rc == NGX_OK && r->n == 2 && r->elements[0]->text.len == 250000,
           "... and what is less");
    }

    ngx_completion_redis_reader_destroy(reader);
    free(big);
}


/* whether a command reads as the words that it was made of */

static int
reads(ngx_str_t *args, ngx_uint_t n)
{
    int                             same;
    ngx_str_t                       command;
    ngx_uint_t                      i;
    ngx_completion_reply_t         *r;
    ngx_completion_redis_reader_t  *reader;

    if (ngx_completion_redis_format(n, args, &command, &shim_log) != NGX_OK) {
        return 0;
    }

    reader = ngx_completion_redis_reader_create(&shim_log);

    same = ngx_completion_redis_reader_feed(reader, command.data, command.len)
           == NGX_OK
           && ngx_completion_redis_reader_next(reader, &r) == NGX_OK
           && r->n == n;

    for (i = 0; same && i < n; i++) {
        same = r->elements[i]->text.len == args[i].len
               && (args[i].len == 0
                   || memcmp(r->elements[i]->text.data, args[i].data,
                             args[i].len)
                      == 0);
    }

    ngx_completion_redis_reader_destroy(reader);
    ngx_free(command.data);

    return same;
}


static void
test_format(void)
{
    int         same;
    char        text[64];
    ngx_str_t   args[3], command;
    ngx_uint_t  i, round;

    ngx_str_t   many[NGX_COMPLETION_REDIS_ARGS + 1];

    args[0] = str("SET");
    args[1] = str("a b\r\n");
    args[2].data = (u_char *) "x\0y";
    args[2].len = 3;

    ok(reads(args, 3), "a command reads as a reply with the same words");

    args[1] = str("$1\r\nc");
    args[2] = str("$\r\n");

    ok(reads(args, 3), "... and one whose words are as long");

    args[1] = str("$1\r\n");
    args[2] = str("$\r\nd");

    ok(reads(args, 3), "... and one as long whose words are not");

    ok(reads(args, 2), "... and one with a word less");

    args[1].len = 0;
    args[1].data = NULL;

    ok(reads(args, 3), "a word may be empty");

    same = 1;

    for (round = 0; round < 3; round++) {

        for (i = 0; i < sizeof(text); i++) {
            memset(text, 'a' + (int) round, sizeof(text));
            args[1].data = (u_char *) text;
            args[1].len = i;
            same = same && reads(args, 3);
        }
    }

    ok(same, "and commands of more lengths than are remembered");

    for (i = 0; i <= NGX_COMPLETION_REDIS_ARGS; i++) {
        many[i] = str("x");
    }

    ok(reads(many, NGX_COMPLETION_REDIS_ARGS), "as many words as there may be");
    ok(ngx_completion_redis_format(NGX_COMPLETION_REDIS_ARGS + 1, many,
                                   &command, &shim_log)
       == NGX_ERROR, "and no more");
}


static const char *
line(const char *text, ngx_str_t *value)
{
    const char  *fault;

    *value = copied(text);
    fault = ngx_completion_redis_password_line(value);

    return fault ? fault : "";
}


static void
test_password(void)
{
    ngx_str_t  value;

    ok(*line("secret", &value) == '\0' && value.len == 6, "a password");
    ok(*line("secret\n", &value) == '\0' && value.len == 6, "... in a line");
    ok(*line("secret\r\n", &value) == '\0' && value.len == 6, "... of DOS");
    ok(*line(" a b ", &value) == '\0' && value.len == 5, "... as it is");
    ok(strcmp(line("\n", &value), "is empty") == 0, "none");
    ok(strcmp(line("a\nb\n", &value), "has more than one line") == 0, "two");
}


static void
test_memory(void)
{
    ngx_uint_t                      i;
    ngx_completion_reply_t         *r;
    ngx_completion_redis_reader_t  *reader;

    for (i = 1; i <= 2; i++) {
        shim_allocations = 0;
        shim_fail_at = i;
        ok(ngx_completion_redis_reader_create(&shim_log) == NULL,
           "a reader without memory");
    }

    for (i = 1; i <= 4; i++) {
        shim_fail_at = 0;
        reader = ngx_completion_redis_reader_create(&shim_log);

        shim_allocations = 0;
        shim_fail_at = i;
        is_int(take(reader, "*1\r\n$1\r\nx\r\n", 100, &r), NGX_ERROR,
               "a reply without memory");

        ngx_completion_redis_reader_destroy(reader);
    }

    shim_fail_at = 0;
}


static void
test_seal(void)
{
    u_char                  sealed[NGX_COMPLETION_REDIS_TAG + 5];
    size_t                  i;
    ngx_str_t               key, other, text, value, all[3];
    ngx_array_t             keys, after, rolled, foreign;
    ngx_completion_redis_t  redis;

    all[0] = str("0123456789abcdef0123456789abcdef");
    all[1] = str("fedcba9876543210fedcba9876543210");
    all[2] = all[0];
    keys.elts = all;
    keys.nelts = 2;
    after.elts = all;
    after.nelts = 1;
    rolled.elts = all + 1;
    rolled.nelts = 2;
    foreign.elts = all + 1;
    foreign.nelts = 1;

    memset(&redis, 0, sizeof(redis));
    redis.id_keys = &keys;

    key = str("completion:yandex:1:01234567:key");
    other = str("completion:yandex:1:01234567:kez");
    value = str("value");

    ok(ngx_completion_redis_seal(&redis, &key, &value, sealed) == NGX_OK
       && memcmp(sealed + NGX_COMPLETION_REDIS_TAG, "value", 5) == 0,
       "a value with its tag ahead");

    text.data = sealed;
    text.len = sizeof(sealed);

    ok(ngx_completion_redis_check(&redis, &key, &text, &value) == NGX_OK
       && value.len == 5 && value.data == sealed + NGX_COMPLETION_REDIS_TAG,
       "... opens");
    is_int(ngx_completion_redis_check(&redis, &other, &text, &value),
           NGX_DECLINED, "... under no other key");

    for (i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 1;
        is_int(ngx_completion_redis_check(&redis, &key, &text, &value),
               NGX_DECLINED, "... nor changed");
        sealed[i] ^= 1;
    }

    for (i = 0; i < sizeof(sealed); i++) {
        text.len = i;
        is_int(ngx_completion_redis_check(&redis, &key, &text, &value),
               NGX_DECLINED, "... nor cut");
    }

    text.len = sizeof(sealed);
    redis.id_keys = &after;
    is_int(ngx_completion_redis_check(&redis, &key, &text, &value), NGX_OK,
           "the first key seals");
    redis.id_keys = &rolled;
    is_int(ngx_completion_redis_check(&redis, &key, &text, &value), NGX_OK,
           "all of them open");
    redis.id_keys = &foreign;
    is_int(ngx_completion_redis_check(&redis, &key, &text, &value),
           NGX_DECLINED, "another one does not");
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    cf.pool = pool;
    cf.log = &shim_log;

    test_url();
    test_faults();
    test_replies();
    test_refused();
    test_format();
    test_password();
    test_memory();
    test_seal();

    ngx_destroy_pool(pool);

    return tap_done();
}
