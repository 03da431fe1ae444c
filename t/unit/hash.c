
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


int
main(void)
{
    test_digests();

    return tap_done();
}
