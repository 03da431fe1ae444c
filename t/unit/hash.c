
#include "tap.h"
#include "ngx_shim.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "../../src/base/ngx_completion_hash.h"


static void
is_hex(u_char *md, const char *expected, const char *name)
{
    char        text[2 * NGX_COMPLETION_SHA256 + 1];
    size_t      i;
    ngx_str_t   got;

    for (i = 0; i < NGX_COMPLETION_SHA256; i++) {
        sprintf(text + 2 * i, "%02x", md[i]);
    }

    got = str(text);
    is_str(&got, expected, name);
}


/* FIPS 180-4's examples */

static void
test_digests(void)
{
    u_char  md[NGX_COMPLETION_SHA256];

    ngx_completion_sha256((u_char *) "abc", 3, md);
    is_hex(md, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f200"
           "15ad", "SHA-256 of three bytes");

    ngx_completion_sha256((u_char *) "", 0, md);
    is_hex(md, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852"
           "b855", "SHA-256 of nothing");
}


/* what OpenSSL's own function says of a text that is put together here */

static void
is_hmac(ngx_str_t *key, u_char use, ngx_str_t *parts, ngx_uint_t n,
    const char *name)
{
    u_char      md[NGX_COMPLETION_SHA256], right[NGX_COMPLETION_SHA256];
    u_char      text[4096], *p = text;
    uint32_t    len;
    ngx_uint_t  i;

    *p++ = use;

    for (i = 0; i < n; i++) {
        len = htonl(parts[i].len);
        p = ngx_cpymem(p, &len, 4);

        if (parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);
        }
    }

    HMAC(EVP_sha256(), key->data, key->len, text, p - text, right, NULL);

    ok(ngx_completion_hmac(key, use, parts, n, md) == NGX_OK
       && memcmp(md, right, NGX_COMPLETION_SHA256) == 0, name);

    /* the name is new, and comes again */

    for (i = 0; n && i < 2; i++) {
        ok(ngx_completion_hmac_named(key, use, parts, n, md) == NGX_OK
           && memcmp(md, right, NGX_COMPLETION_SHA256) == 0,
           "... and by a name");
    }
}


/* names of all lengths, of many values and keys: each is its own */

static void
test_names(void)
{
    u_char      text[128], value[] = "value 0";
    ngx_str_t   parts[2], keys[2];
    ngx_uint_t  i, j, round;

    ngx_str_set(&keys[0], "a key");
    ngx_str_set(&keys[1], "another");

    memset(text, 'n', sizeof(text));
    parts[0].data = text;
    parts[1].data = value;
    parts[1].len = sizeof(value) - 1;

    for (round = 0; round < 2; round++) {
        value[6] = '0' + round;

        for (i = 50; i < 70; i++) {
            parts[0].len = i;
            is_hmac(&keys[round], 4, parts, 2, "an HMAC of a name");
        }

        parts[0].len = sizeof(text);

        for (j = 0; j < 80; j++) {
            text[58] = 'a' + j % 40;
            is_hmac(&keys[j & 1], 4, parts, 2, "an HMAC of one of many");
        }
    }
}


static void
test_hmac(void)
{
    char          text[32];
    u_char        large[1000];
    ngx_str_t     parts[3], keys[12];
    ngx_uint_t    i, round;
    static char   names[12][40];

    memset(large, 'x', sizeof(large));

    for (i = 0; i < 12; i++) {
        sprintf(names[i], "key %d, as long as a block of 32 bytes", (int) i);
        keys[i] = str(names[i]);
    }

    parts[0] = str("provider");
    parts[1] = str("");
    parts[2] = str("d7q1");
    is_hmac(&keys[0], 1, parts, 3, "an HMAC of three parts");
    is_hmac(&keys[0], 3, parts, 3, "for another use");
    is_hmac(&keys[0], 3, parts, 0, "of none");

    parts[1].len = 0;
    parts[1].data = NULL;
    is_hmac(&keys[0], 3, parts, 3, "of one that is nowhere");

    /* around what is put together ahead */

    for (i = 225; i < 262; i++) {
        parts[0].data = large;
        parts[0].len = i;
        sprintf(text, "behind a part of %d bytes", (int) i);
        is_hmac(&keys[1], 3, parts, 3, text);
    }

    parts[1].data = large;
    parts[1].len = 1000;
    parts[2].data = large;
    parts[2].len = 900;
    is_hmac(&keys[1], 3, parts, 3, "of long ones");

    /* more keys than are remembered, each again */

    for (round = 0; round < 2; round++) {
        for (i = 0; i < 12; i++) {
            is_hmac(&keys[i], 1, parts, 1, "each key has its own");
        }
    }

    /* two of them in turn are looked up once */

    is_hmac(&keys[0], 1, parts, 1, "a key");
    is_hmac(&keys[5], 1, parts, 1, "and another");
    shim_allocations = 0;
    ngx_completion_hmac(&keys[0], 1, parts, 1, large);
    i = shim_allocations;
    shim_allocations = 0;
    ngx_completion_hmac(&keys[5], 1, parts, 1, large);
    is_int(shim_allocations, i, "they cost the same in turn");
}


static ngx_int_t
digest(ngx_uint_t kind, u_char *md)
{
    ngx_str_t  key = ngx_string("Jefe"), parts[2] = {
        ngx_string("what do ya want "), ngx_string("for nothing?")
    };

    switch (kind) {

    case 0:
        return ngx_completion_sha256((u_char *) "abc", 3, md);

    case 1:
        return ngx_completion_sha256_parts(parts, 2, md);

    default:
        return ngx_completion_hmac(&key, 'u', parts, 2, md);
    }
}


/* from the first call on, which makes what later ones use */

static void
test_failures(void)
{
    u_char          md[NGX_COMPLETION_SHA256];
    ngx_int_t       rc;
    ngx_str_t       other = ngx_string("other");
    ngx_uint_t      kind, n, round, bad;
    shim_hunger_t   hunger = { 0 };

    /* by Python's hashlib and hmac: lengths of 32 bits go ahead of parts */

    static const char  *right[] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "82855ff5fb6d951bd67b6e9ec18701b95abd48583e26b2541e522574a119af8a",
        "9771f2ff4dcce58f7674dbfa31ad28806c844be44a34a8561feeb83ea94cec5b"
    };

    for (kind = 0; kind < 3; kind++) {
        for (round = 0, bad = 0; round < 2; round++) {
            while (shim_starves(&hunger)) {
                shim_starved(&hunger, digest(kind, md) == NGX_ERROR);
            }

            bad += hunger.bad;
        }

        ok(hunger.tries > 3 && !bad, "OpenSSL fails, and so does a digest");
        is_hex(md, right[kind], "the next one is right");
    }

    /* the context has another key by then */

    for (n = 0, rc = NGX_ERROR; rc == NGX_ERROR; n++) {
        shim_allocations = 0;
        shim_fail_at = n + 1;
        rc = ngx_completion_hmac(&other, 'u', &other, 1, md);
        shim_fail_at = 0;
    }

    ok(n > 3, "with another key it fails half way");

    digest(2, md);
    is_hex(md, right[2], "which the next one does not take for its own");
}


int
main(void)
{
    test_failures();
    test_digests();
    test_hmac();
    test_names();

    return tap_done();
}
