
#include "tap.h"
#include "ngx_shim.h"

#include "../../src/base/ngx_completion_hash.h"
#include "../../src/model/ngx_completion_id.h"


#define NOW       1700000000
#define LIFETIME  (72 * 3600)


static ngx_pool_t   *pool;
static ngx_str_t     provider = ngx_string("yandex");
static ngx_str_t     owner = ngx_string("ann");
static ngx_str_t     all[] = {
    ngx_string("0123456789abcdef0123456789abcdef"),
    ngx_string("fedcba9876543210fedcba9876543210")
};
static ngx_array_t   keys = { .elts = all, .nelts = 1 };


static ngx_str_t
sign(const char *upstream, ngx_uint_t shared, time_t submitted)
{
    ngx_str_t            capability = ngx_null_string;
    ngx_completion_id_t  id;

    id.upstream = str(upstream);
    id.shared = shared;
    id.submitted = submitted;

    ngx_completion_id_sign(pool, &keys, &provider, &owner, &id, &capability);

    return capability;
}


static ngx_int_t
verify(ngx_str_t *capability)
{
    ngx_completion_id_t  id;

    return ngx_completion_id_verify(&keys, &provider, &owner, LIFETIME,
                                    capability, &id);
}


static void
test_round_trip(void)
{
    ngx_str_t            capability;
    ngx_completion_id_t  id;

    capability = sign("d7qAZ_-09", 1, NOW - 5);

    /* by another implementation: Python's hmac and base64 */

    is_str(&capability, "d7qAZ_-09s6553f0fb" "ow_QzM8WueAT1ZO5WI6VVbYo",
           "a capability, byte by byte");

    is_int(ngx_completion_id_verify(&keys, &provider, &owner, LIFETIME,
                                    &capability, &id),
           NGX_OK, "it verifies");
    is_str(&id.upstream, "d7qAZ_-09", "the upstream's id");
    ok(id.shared && id.submitted == NOW - 5, "its kind and time");

    capability = sign("d7q", 0, NOW);
    ok(ngx_completion_id_verify(&keys, &provider, &owner, LIFETIME,
                                &capability, &id)
       == NGX_OK && !id.shared, "a private one");
}


static void
test_forged(void)
{
    int        bad = 0;
    size_t     i, len;
    u_char     bit;
    ngx_str_t  capability, other, was;

    capability = sign("d7q1", 0, NOW);
    len = capability.len;

    for (i = 0; i < len; i++) {
        for (bit = 1; bit; bit <<= 1) {
            capability.data[i] ^= bit;
            bad += (verify(&capability) != NGX_DECLINED);
            capability.data[i] ^= bit;
        }
    }

    is_int(bad, 0, "no bit may change");

    for (i = 0; i < len; i++) {
        other.data = capability.data;
        other.len = i;
        bad += (verify(&other) != NGX_DECLINED);
    }

    is_int(bad, 0, "nor may it be shorter");

    was = owner;
    owner = str("bob");
    is_int(verify(&capability), NGX_DECLINED, "another owner");
    owner = str("");
    is_int(verify(&capability), NGX_DECLINED, "no owner");
    owner = was;

    was = provider;
    provider = str("yande");
    owner = str("xann");
    is_int(verify(&capability), NGX_DECLINED, "parts do not run together");
    provider = was;
    owner = str("ann");

    other = sign("a.b", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "signed, but no upstream id");
    other = sign("0123456789012345678901234567890123456789"
                 "012345678901234567890123", 0, NOW);
    is_int(verify(&other), NGX_OK, "an upstream id of 64 bytes");
    other = sign("0123456789012345678901234567890123456789"
                 "0123456789012345678901234", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "and of 65");
}


/* a capability of any kind, with a tag that is right */

static ngx_str_t
of_kind(char kind, u_char use)
{
    u_char      md[NGX_COMPLETION_SHA256];
    ngx_str_t   parts[3], raw, tag, capability;

    static u_char  buf[128];

    capability.data = buf;
    capability.len = sprintf((char *) buf, "d7q1%c%08x", kind, NOW);

    parts[0] = provider;
    parts[1] = owner;
    parts[2] = capability;

    ngx_completion_hmac(&all[0], use, parts, 3, md);

    raw.data = md;
    raw.len = 18;
    tag.data = buf + capability.len;
    ngx_encode_base64url(&tag, &raw);
    capability.len += tag.len;

    return capability;
}


static void
test_kinds(void)
{
    int        c, good = 0;
    ngx_str_t  capability;

    for (c = 1; c < 256; c++) {
        capability = of_kind(c, 1);
        good += (verify(&capability) == NGX_OK);
    }

    is_int(good, 2, "two kinds");

    capability = of_kind('p', 1);
    is_int(verify(&capability), NGX_OK, "a private one");
    capability = of_kind('s', 1);
    is_int(verify(&capability), NGX_OK, "and a shared one");

    capability = of_kind('p', 3);
    is_int(verify(&capability), NGX_DECLINED,
           "what the key was used for to another end is none");
}


/* those of a text in parts, with what stood between them */

static void
test_whole(void)
{
    int                     i, n = 0, bad = 0;
    size_t                  at;
    u_char                 *p, buf[8192];
    ngx_str_t               capability, other, rest, one;
    ngx_completion_id_t     id;
    ngx_completion_joint_e  joint, joints[5];

    capability = sign("d7q1.d7q2~d7q3..d7q4~~d7q5.", 0, NOW - 5);

    /* by another implementation: Python's hmac and base64 */

    is_str(&capability, "d7q1.d7q2~d7q3..d7q4~~d7q5.c6553f0fb"
           "PlduDO1kbwhqd6cri-RH1OTy", "a capability of parts, byte by byte");
    is_int(ngx_completion_id_verify(&keys, &provider, &owner, LIFETIME,
                                    &capability, &id),
           NGX_OK, "it verifies");
    is_str(&id.upstream, "d7q1.d7q2~d7q3..d7q4~~d7q5.", "all ids of it");
    ok(!id.shared && id.submitted == NOW - 5
       && ngx_completion_id_is_whole(&id.upstream), "its kind and time");

    for (rest = id.upstream; n < 5; n++) {
        bad += (ngx_completion_id_next(&rest, &one, &joints[n]) != NGX_OK
                || one.len != 4 || one.data[3] != '1' + n);
    }

    ok(!bad && ngx_completion_id_next(&rest, &one, &joint) == NGX_DONE,
       "five of them, in order");
    ok(joints[0] == NGX_COMPLETION_JOINT_NOTHING
       && joints[1] == NGX_COMPLETION_JOINT_SPACE
       && joints[2] == NGX_COMPLETION_JOINT_LINE
       && joints[3] == NGX_COMPLETION_JOINT_BREAK
       && joints[4] == NGX_COMPLETION_JOINT_NOTHING, "and their joints");

    for (p = buf, n = 0; n < 5; n++) {
        one.data[3] = '1' + n;
        p = ngx_completion_id_add(p, &one, joints[n]);
    }

    other.data = buf;
    other.len = p - buf;
    is_str(&other, "d7q1.d7q2~d7q3..d7q4~~d7q5.", "the same when written");

    capability = sign("d7q1~d7q2.", 1, NOW);
    ok(ngx_completion_id_verify(&keys, &provider, &owner, LIFETIME,
                                &capability, &id)
       == NGX_OK && id.shared, "one with a part that is shared");
    is_int(capability.data[10], 'd', "of a kind of its own");

    for (at = 0; at < capability.len; at++) {
        for (i = 1; i < 256; i <<= 1) {
            capability.data[at] ^= i;
            bad += (verify(&capability) != NGX_DECLINED);
            capability.data[at] ^= i;
        }

        other = capability;
        other.len = at;
        bad += (verify(&other) != NGX_DECLINED);
        other.data += at + 1;
        other.len = capability.len - at - 1;
        bad += (verify(&other) != NGX_DECLINED);
    }

    is_int(bad, 0, "no bit may change, and no end be cut");

    ngx_memcpy(buf, capability.data, capability.len);
    ngx_memcpy(buf, "d7q2~d7q1.", 10);
    other.data = buf;
    other.len = capability.len;
    is_int(verify(&other), NGX_DECLINED, "nor the order");

    /* signed, but none of ours */

    other = sign("d7q1~", 0, NOW);
    is_int(verify(&other), NGX_OK, "a single part");
    other = sign("~d7q1.", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "a joint ahead of an id");
    other = sign("d7q1...d7q2.", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "two joints");
    other = sign("d7q1~.d7q2.", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "two of different kinds");
    other = sign("d7q1,d7q2.", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "what is no joint");
    other = sign("d7q1~d7q2", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "a last part without its joint");
    other = sign("0123456789012345678901234567890123456789"
                 "0123456789012345678901234~d7q2.", 0, NOW);
    is_int(verify(&other), NGX_DECLINED, "an id of 65 bytes");

    ngx_memset(buf, 'a', 3500 - NGX_COMPLETION_ID_TAIL);

    for (at = 19; at < 3500 - NGX_COMPLETION_ID_TAIL; at += 20) {
        buf[at] = '.';
    }

    id.upstream.data = buf;
    id.upstream.len = 3500 - NGX_COMPLETION_ID_TAIL;
    buf[id.upstream.len - 1] = '.';
    id.shared = 0;
    id.submitted = NOW;

    is_int(ngx_completion_id_sign(pool, &keys, &provider, &owner, &id, &other),
           NGX_OK, "3,500 characters");
    is_int(verify(&other), NGX_OK, "... verify");

    buf[id.upstream.len++] = 'b';
    buf[id.upstream.len++] = '.';
    is_int(ngx_completion_id_sign(pool, &keys, &provider, &owner, &id, &other),
           NGX_DECLINED, "more are too many");
}


static void
test_keys(void)
{
    ngx_str_t  capability = sign("d7q1", 0, NOW);

    keys.elts = &all[1];
    is_int(verify(&capability), NGX_DECLINED, "another key");

    keys.elts = all;
    keys.nelts = 2;
    is_int(verify(&capability), NGX_OK, "the first of two keys");

    keys.elts = &all[1];
    keys.nelts = 1;
    capability = sign("d7q1", 0, NOW);
    keys.elts = all;
    keys.nelts = 2;
    is_int(verify(&capability), NGX_OK, "the second of two keys");
    keys.nelts = 1;
}


/* by the last key, which may be the first once more */

static void
test_digests(void)
{
    u_char     one[NGX_COMPLETION_SHA256], two[NGX_COMPLETION_SHA256];
    ngx_str_t  part = ngx_string("what a client chose"), rolled[3];

    rolled[0] = all[0];
    rolled[1] = all[1];
    rolled[2] = all[0];

    ngx_completion_id_digest(&keys, &part, 1, one);
    keys.elts = rolled;
    keys.nelts = 3;
    ngx_completion_id_digest(&keys, &part, 1, two);
    ok(memcmp(one, two, sizeof(one)) == 0, "a new key, the old one being last");

    keys.elts = &rolled[1];
    keys.nelts = 2;
    ngx_completion_id_digest(&keys, &part, 1, two);
    ok(memcmp(one, two, sizeof(one)) == 0, "a new key that signs");

    keys.nelts = 1;
    ngx_completion_id_digest(&keys, &part, 1, two);
    ok(memcmp(one, two, sizeof(one)) != 0, "the new key alone");

    ngx_completion_hmac(&all[1], 3, &part, 1, one);
    ok(memcmp(one, two, sizeof(one)) == 0, "by its third use");

    keys.elts = all;
}


static void
test_time(void)
{
    ngx_str_t  capability = sign("d7q1", 0, NOW);

    shim_time(NOW + 72 * 3600 + 60);
    is_int(verify(&capability), NGX_OK, "72 hours old, clocks apart");
    shim_time(NOW + 72 * 3600 + 61);
    is_int(verify(&capability), NGX_DECLINED, "a second later");
    shim_time(NOW - 3600);
    is_int(verify(&capability), NGX_OK, "of a clock that is ahead");
    shim_time(NOW);
}


static void
test_memory(void)
{
    ngx_str_t            capability = sign("d7q1", 0, NOW), again;
    ngx_completion_id_t  id = { str("d7q1"), NOW, 0 };

    /* or where OpenSSL fails */

    for (shim_fail_at = 1; shim_fail_at < 5; shim_fail_at++) {
        shim_allocations = 0;
        is_int(verify(&capability), NGX_ERROR, "verified without memory");
    }

    for (shim_fail_at = 1; shim_fail_at < 6; shim_fail_at++) {
        shim_allocations = 0;
        is_int(ngx_completion_id_sign(pool, &keys, &provider, &owner, &id,
                                      &again),
               NGX_ERROR, "signed without memory");
    }

    shim_fail_at = 0;
    is_int(verify(&capability), NGX_OK, "verified with it");
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);
    shim_time(NOW);

    test_round_trip();
    test_forged();
    test_kinds();
    test_whole();
    test_keys();
    test_digests();
    test_time();
    test_memory();

    ngx_destroy_pool(pool);

    return tap_done();
}
