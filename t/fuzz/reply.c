
/*
 * What a server replies, in pieces: a byte for their length, then the bytes.
 * What is read stays within what was sent, in number, length and depth; a
 * reply that is an array of texts goes out as a command and comes back the
 * same.
 */


#include "fuzz.h"

#include "../../src/cluster/ngx_completion_redis_wire.h"


/* as deep as hiredis reads, and one for what is no array */
#define DEPTH  10


/* how many replies there are in it */

static size_t
check(ngx_completion_reply_t *reply, ngx_uint_t depth, size_t size)
{
    size_t      n;
    ngx_uint_t  i;

    HOLDS(depth < DEPTH);

    n = 1;

    switch (reply->type) {

    case NGX_COMPLETION_REPLY_ARRAY:

        for (i = 0; i < reply->n; i++) {
            HOLDS(reply->elements[i] != NULL);
            n += check(reply->elements[i], depth + 1, size);
        }

        break;

    case NGX_COMPLETION_REPLY_TEXT:
    case NGX_COMPLETION_REPLY_STATUS:
    case NGX_COMPLETION_REPLY_ERROR:
        HOLDS(reply->text.len <= size);
        HOLDS(reply->text.data[reply->text.len] == '\0');

        if (reply->type == NGX_COMPLETION_REPLY_ERROR) {
            HOLDS(ngx_completion_redis_fault(&reply->text)
                  < NGX_COMPLETION_METRICS_REDIS_FAULTS);
        }

        break;

    default:
        HOLDS(reply->type == NGX_COMPLETION_REPLY_NIL
              || reply->type == NGX_COMPLETION_REPLY_INTEGER);
        break;
    }

    return n;
}


static void
check_command(ngx_completion_reply_t *reply)
{
    ngx_str_t                       args[NGX_COMPLETION_REDIS_ARGS], command;
    ngx_uint_t                      i;
    ngx_completion_reply_t         *again;
    ngx_completion_redis_reader_t  *reader;

    if (reply->type != NGX_COMPLETION_REPLY_ARRAY || reply->n == 0
        || reply->n > NGX_COMPLETION_REDIS_ARGS)
    {
        return;
    }

    for (i = 0; i < reply->n; i++) {
        if (reply->elements[i]->type != NGX_COMPLETION_REPLY_TEXT) {
            return;
        }

        args[i] = reply->elements[i]->text;
    }

    HOLDS(ngx_completion_redis_format(reply->n, args, &command, &shim_log)
          == NGX_OK);

    reader = ngx_completion_redis_reader_create(&shim_log);

    HOLDS(ngx_completion_redis_reader_feed(reader, command.data, command.len)
          == NGX_OK);
    HOLDS(ngx_completion_redis_reader_next(reader, &again) == NGX_OK);
    HOLDS(again->n == reply->n);

    for (i = 0; i < again->n; i++) {
        HOLDS(fuzz_equal(&again->elements[i]->text, &args[i]));
    }

    ngx_completion_redis_reader_destroy(reader);
    ngx_free(command.data);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                          piece, len;
    ngx_int_t                       rc;
    ngx_str_t                       part;
    ngx_pool_t                     *pool;
    ngx_completion_reply_t         *reply;
    ngx_completion_redis_reader_t  *reader;

    pool = ngx_create_pool(1024, &shim_log);
    reader = ngx_completion_redis_reader_create(&shim_log);

    piece = fuzz_byte(&data, &size) + 1;
    rc = NGX_AGAIN;

    for (len = 0; len < size && rc == NGX_AGAIN; len += piece) {
        part = fuzz_copy(pool, data + len, ngx_min(piece, size - len));

        rc = ngx_completion_redis_reader_feed(reader, part.data, part.len);

        while (rc == NGX_OK) {
            rc = ngx_completion_redis_reader_next(reader, &reply);

            if (rc == NGX_OK) {
                HOLDS(check(reply, 0, size) <= size);
                check_command(reply);
            }
        }
    }

    HOLDS(rc == NGX_AGAIN || rc == NGX_ERROR);

    ngx_completion_redis_reader_destroy(reader);
    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
