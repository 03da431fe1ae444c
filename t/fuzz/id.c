
/*
 * Capabilities: lines of a provider, an owner, an upstream id and a
 * capability, then two bytes that change one.  Nothing verifies but what was
 * signed with the key, for this provider and this owner, unchanged.
 */


#include "fuzz.h"

#include "../../src/model/ngx_completion_id.h"


#define NOW       1700000000
#define LIFETIME  (72 * 3600)


static ngx_str_t    all[] = {
    ngx_string("another key, of 32 bytes or more"),
    ngx_string("the first key, of 32 bytes too..")
};

static ngx_array_t  keys = { .elts = &all[1], .nelts = 1 };
static ngx_array_t  rotated = { .elts = all, .nelts = 2 };
static ngx_array_t  others = { .elts = all, .nelts = 1 };


/* one, or several with their joints, which written anew are the same */

static ngx_uint_t
is_id(ngx_str_t *upstream)
{
    u_char                  *p, buf[4096 + 4];
    ngx_int_t                rc;
    ngx_str_t                rest, one, again;
    ngx_completion_joint_e   joint;

    if (!ngx_completion_id_is_whole(upstream)) {
        return ngx_completion_id_check(upstream) == NGX_OK;
    }

    if (upstream->len > NGX_COMPLETION_ID_WHOLE_MAX - NGX_COMPLETION_ID_TAIL) {
        return 0;
    }

    rest = *upstream;
    p = buf;

    while ((rc = ngx_completion_id_next(&rest, &one, &joint)) == NGX_OK) {
        p = ngx_completion_id_add(p, &one, joint);
    }

    again.data = buf;
    again.len = p - buf;

    HOLDS(rc == NGX_DECLINED || fuzz_equal(&again, upstream));

    return rc == NGX_DONE;
}


static void
check_round_trip(ngx_pool_t *pool, ngx_str_t *provider, ngx_str_t *owner,
    ngx_completion_id_t *id, const uint8_t *data, size_t size)
{
    u_char               at, by;
    ngx_str_t            capability, other, longer;
    ngx_completion_id_t  got;

    HOLDS(ngx_completion_id_sign(pool, &keys, provider, owner, id,
                                 &capability)
          == NGX_OK);
    HOLDS(capability.len == id->upstream.len + NGX_COMPLETION_ID_TAIL);
    HOLDS(ngx_completion_id_verify(&keys, provider, owner, LIFETIME,
                                   &capability, &got)
          == NGX_OK);
    HOLDS(fuzz_equal(&got.upstream, &id->upstream));
    HOLDS(got.submitted == id->submitted && got.shared == id->shared);

    HOLDS(ngx_completion_id_verify(&rotated, provider, owner, LIFETIME,
                                   &capability, &got)
          == NGX_OK);
    HOLDS(ngx_completion_id_verify(&others, provider, owner, LIFETIME,
                                   &capability, &got)
          == NGX_DECLINED);

    if (owner->len) {
        other = fuzz_copy(pool, owner->data, owner->len);
        other.data[0] ^= 1;
        HOLDS(ngx_completion_id_verify(&keys, provider, &other, LIFETIME,
                                       &capability, &got)
              == NGX_DECLINED);
    }

    /* the parts do not run into each other */

    longer.len = owner->len + 1;
    longer.data = ngx_pcalloc(pool, longer.len);
    memcpy(longer.data, owner->data, owner->len);
    HOLDS(ngx_completion_id_verify(&keys, provider, &longer, LIFETIME,
                                   &capability, &got)
          == NGX_DECLINED);

    if (!fuzz_equal(provider, owner)) {
        HOLDS(ngx_completion_id_verify(&keys, owner, provider, LIFETIME,
                                       &capability, &got)
              == NGX_DECLINED);
    }

    at = fuzz_byte(&data, &size);
    by = fuzz_byte(&data, &size);

    capability.data[at % capability.len] ^= by ? by : 1;
    HOLDS(ngx_completion_id_verify(&keys, provider, owner, LIFETIME,
                                   &capability, &got)
          == NGX_DECLINED);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t             rc;
    ngx_str_t             provider, owner, capability, again;
    ngx_pool_t           *pool;
    ngx_completion_id_t   id, got;

    pool = ngx_create_pool(1024, &shim_log);
    shim_time(NOW);

    provider = fuzz_line(pool, &data, &size);
    owner = fuzz_line(pool, &data, &size);
    id.upstream = fuzz_line(pool, &data, &size);
    capability = fuzz_line(pool, &data, &size);

    id.shared = fuzz_byte(&data, &size) & 1;
    id.submitted = NOW - 100 * (time_t) fuzz_byte(&data, &size);

    rc = ngx_completion_id_verify(&keys, &provider, &owner, LIFETIME,
                                  &capability, &got);
    HOLDS(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        HOLDS(is_id(&got.upstream));
        HOLDS(ngx_completion_id_sign(pool, &keys, &provider, &owner, &got,
                                     &again)
              == NGX_OK);
        HOLDS(fuzz_equal(&again, &capability));
    }

    if (is_id(&id.upstream)) {
        check_round_trip(pool, &provider, &owner, &id, data, size);
    }

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
