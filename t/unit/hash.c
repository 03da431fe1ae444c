
#include "tap.h"
#include "ngx_shim.h"

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


/* FIPS 180-4's and RFC 4231's examples */

static void
test_digests(void)
{
    u_char     md[NGX_COMPLETION_SHA256];
    ngx_str_t  key;

    ngx_completion_sha256((u_char *) "abc", 3, md);
    is_hex(md, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f200"
           "15ad", "SHA-256 of three bytes");

    ngx_completion_sha256((u_char *) "", 0, md);
    is_hex(md, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852"
           "b855", "SHA-256 of nothing");

    key = str("Jefe");
    ngx_completion_hmac(&key, (u_char *) "what do ya want for nothing?", 28,
                        md);
    is_hex(md, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec"
           "3843", "HMAC, case 2");

    key = str("\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
              "\xaa\xaa\xaa\xaa\xaa");
    ngx_completion_hmac(&key, (u_char *)
                        "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
                        "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
                        "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
                        "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
                        "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd", 50, md);
    is_hex(md, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced5"
           "65fe", "HMAC, case 3");
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
        return ngx_completion_hmac(&key,
                         (u_char *) "what do ya want for nothing?", 28, md);
    }
}


/* from the first call on, which makes what later ones use */

static void
test_failures(void)
{
    u_char       md[NGX_COMPLETION_SHA256];
    ngx_int_t    rc;
    ngx_str_t    other = ngx_string("other");
    ngx_uint_t   kind, n, round, bad;

    /* the second by Python's hashlib: lengths of 32 bits go ahead of parts */

    static const char  *right[] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "82855ff5fb6d951bd67b6e9ec18701b95abd48583e26b2541e522574a119af8a",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    };

    for (kind = 0; kind < 3; kind++) {
        for (round = 0, bad = 0; round < 2; round++) {
            for (n = 1; n < 100; n++) {
                shim_allocations = 0;
                shim_fail_at = n;
                rc = digest(kind, md);
                shim_fail_at = 0;

                if (shim_allocations < n) {
                    break;
                }

                bad += (rc != NGX_ERROR);
            }
        }

        ok(n > 3 && n < 100 && !bad, "OpenSSL fails, and so does a digest");
        is_hex(md, right[kind], "the next one is right");
    }

    /* the context has another key by then */

    shim_allocations = 0;
    shim_fail_at = 2;
    is_int(ngx_completion_hmac(&other, (u_char *) "abc", 3, md), NGX_ERROR,
           "with another key it fails half way");
    shim_fail_at = 0;

    digest(2, md);
    is_hex(md, right[2], "which the next one does not take for its own");
}


int
main(void)
{
    test_failures();
    test_digests();

    return tap_done();
}
