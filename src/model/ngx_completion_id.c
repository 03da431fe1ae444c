
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>

#include "../base/ngx_completion_hash.h"

#include "ngx_completion_id.h"


/* what a key is used for: the first byte of what it signs */
#define NGX_COMPLETION_ID_USE_TAG     1
#define NGX_COMPLETION_ID_USE_DIGEST  3
#define NGX_COMPLETION_ID_USE_VALUE   4

#define NGX_COMPLETION_ID_TAG_RAW     18


static ngx_int_t ngx_completion_id_read(ngx_str_t *upstream,
    ngx_uint_t kind);
static ngx_int_t ngx_completion_id_tag(ngx_str_t *key, ngx_str_t *provider,
    ngx_str_t *owner, ngx_str_t *claim, u_char *tag);
static ngx_int_t ngx_completion_id_spell_value(ngx_str_t *key, ngx_str_t *name,
    ngx_str_t *value, u_char *tag);
static ngx_int_t ngx_completion_id_spell(ngx_str_t *key, u_char use,
    ngx_str_t *parts, ngx_uint_t n, u_char *tag);


#define ngx_completion_id_takes(c)                                            \
    (((c) >= '0' && (c) <= '9')                                               \
     || ((c) >= 'a' && (c) <= 'z')                                            \
     || ((c) >= 'A' && (c) <= 'Z')                                            \
     || (c) == '_' || (c) == '-')


ngx_int_t
ngx_completion_id_check(ngx_str_t *upstream)
{
    ngx_uint_t  i;

    if (upstream->len == 0 || upstream->len > NGX_COMPLETION_ID_UPSTREAM) {
        return NGX_DECLINED;
    }

    for (i = 0; i < upstream->len; i++) {
        if (!ngx_completion_id_takes(upstream->data[i])) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* the last one has a joint as well, which no id ends with */

ngx_uint_t
ngx_completion_id_is_whole(ngx_str_t *upstream)
{
    return upstream->len
           && !ngx_completion_id_takes(upstream->data[upstream->len - 1]);
}


u_char *
ngx_completion_id_add(u_char *p, ngx_str_t *upstream,
    ngx_completion_joint_e joint)
{
    const ngx_str_t  *written;

    written = &ngx_completion_joints_of_ids[joint];

    p = ngx_cpymem(p, upstream->data, upstream->len);

    return ngx_cpymem(p, written->data, written->len);
}


ngx_int_t
ngx_completion_id_next(ngx_str_t *rest, ngx_str_t *upstream,
    ngx_completion_joint_e *joint)
{
    size_t            len;
    u_char           *p, *last;
    ngx_uint_t        i;
    const ngx_str_t  *written;

    p = rest->data;
    last = p + rest->len;

    if (p == last) {
        return NGX_DONE;
    }

    /* no further than where it is too long */

    while (p < last && p - rest->data <= NGX_COMPLETION_ID_UPSTREAM
           && ngx_completion_id_takes(*p))
    {
        p++;
    }

    upstream->data = rest->data;
    upstream->len = p - rest->data;
    len = 0;

    /* the longest one that stands there */

    for (i = 0; i < NGX_COMPLETION_JOINTS; i++) {
        written = &ngx_completion_joints_of_ids[i];

        if (written->len > len && written->len <= (size_t) (last - p)
            && ngx_strncmp(p, written->data, written->len) == 0)
        {
            len = written->len;
            *joint = i;
        }
    }

    rest->data = p + len;
    rest->len = last - rest->data;

    return len ? ngx_completion_id_check(upstream) : NGX_DECLINED;
}


ngx_int_t
ngx_completion_id_sign(ngx_pool_t *pool, ngx_array_t *keys,
    ngx_str_t *provider, ngx_str_t *owner, ngx_completion_id_t *id,
    ngx_str_t *capability)
{
    u_char      *p;
    ngx_str_t    claim;
    const char  *kinds;

    if (id->upstream.len + NGX_COMPLETION_ID_TAIL
        > NGX_COMPLETION_ID_WHOLE_MAX)
    {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(pool, id->upstream.len + NGX_COMPLETION_ID_TAIL);
    if (p == NULL) {
        return NGX_ERROR;
    }

    claim.data = p;
    kinds = ngx_completion_id_is_whole(&id->upstream) ? "cd" : "ps";

    p = ngx_sprintf(p, "%V%c%08xD", &id->upstream, kinds[id->shared],
                    (uint32_t) id->submitted);

    claim.len = p - claim.data;

    if (ngx_completion_id_tag(keys->elts, provider, owner, &claim, p) != NGX_OK)
    {
        return NGX_ERROR;
    }

    capability->data = claim.data;
    capability->len = claim.len + NGX_COMPLETION_ID_TAG;

    return NGX_OK;
}


ngx_int_t
ngx_completion_id_verify(ngx_array_t *keys, ngx_str_t *provider,
    ngx_str_t *owner, time_t lifetime, ngx_str_t *capability,
    ngx_completion_id_t *id)
{
    u_char       tag[NGX_COMPLETION_ID_TAG], *p;
    ngx_int_t    seconds;
    ngx_str_t    upstream, claim, *key;
    ngx_uint_t   i, valid;

    if (capability->len <= NGX_COMPLETION_ID_TAIL
        || capability->len > NGX_COMPLETION_ID_WHOLE_MAX)
    {
        return NGX_DECLINED;
    }

    upstream.data = capability->data;
    upstream.len = capability->len - NGX_COMPLETION_ID_TAIL;

    p = capability->data + upstream.len;

    if (ngx_completion_id_read(&upstream, *p) != NGX_OK) {
        return NGX_DECLINED;
    }

    claim.data = capability->data;
    claim.len = capability->len - NGX_COMPLETION_ID_TAG;

    key = keys->elts;
    valid = 0;

    for (i = 0; i < keys->nelts; i++) {
        if (ngx_completion_id_tag(&key[i], provider, owner, &claim, tag)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* the encoded form is compared: it has no spare bits */

        if (CRYPTO_memcmp(tag, claim.data + claim.len, NGX_COMPLETION_ID_TAG)
            == 0)
        {
            valid = 1;
        }
    }

    if (!valid) {
        return NGX_DECLINED;
    }

    seconds = ngx_hextoi(p + 1, 8);

    if (seconds == NGX_ERROR) {
        return NGX_DECLINED;
    }

    id->upstream = upstream;
    id->shared = (*p == 's' || *p == 'd');
    id->submitted = seconds;

    if (ngx_time() - id->submitted > lifetime + NGX_COMPLETION_ID_SKEW) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* whether it is what a capability of this kind begins with */

static ngx_int_t
ngx_completion_id_read(ngx_str_t *upstream, ngx_uint_t kind)
{
    ngx_int_t               rc;
    ngx_str_t               rest, one;
    ngx_completion_joint_e  joint;

    if (kind == 'p' || kind == 's') {
        return ngx_completion_id_check(upstream);
    }

    if (kind != 'c' && kind != 'd') {
        return NGX_DECLINED;
    }

    rest = *upstream;

    do {
        rc = ngx_completion_id_next(&rest, &one, &joint);
    } while (rc == NGX_OK);

    return (rc == NGX_DONE) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_completion_id_tag(ngx_str_t *key, ngx_str_t *provider, ngx_str_t *owner,
    ngx_str_t *claim, u_char *tag)
{
    ngx_str_t  parts[3];

    parts[0] = *provider;
    parts[1] = *owner;
    parts[2] = *claim;

    return ngx_completion_id_spell(key, NGX_COMPLETION_ID_USE_TAG, parts, 3,
                                   tag);
}


static ngx_int_t
ngx_completion_id_spell(ngx_str_t *key, u_char use, ngx_str_t *parts,
    ngx_uint_t n, u_char *tag)
{
    u_char     md[NGX_COMPLETION_SHA256];
    ngx_int_t  rc;
    ngx_str_t  raw, encoded;

    /* a value's name comes again with each of its states */

    rc = (use == NGX_COMPLETION_ID_USE_VALUE)
             ? ngx_completion_hmac_named(key, use, parts, n, md)
             : ngx_completion_hmac(key, use, parts, n, md);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    raw.data = md;
    raw.len = NGX_COMPLETION_ID_TAG_RAW;
    encoded.data = tag;

    ngx_encode_base64url(&encoded, &raw);

    return NGX_OK;
}


ngx_int_t
ngx_completion_id_digest(ngx_array_t *keys, ngx_str_t *parts, ngx_uint_t n,
    u_char *md)
{
    ngx_str_t  *key;

    key = keys->elts;

    return ngx_completion_hmac(&key[keys->nelts - 1],
                               NGX_COMPLETION_ID_USE_DIGEST, parts, n, md);
}


ngx_int_t
ngx_completion_id_seal(ngx_array_t *keys, ngx_str_t *name, ngx_str_t *value,
    u_char *tag)
{
    return ngx_completion_id_spell_value(keys->elts, name, value, tag);
}


ngx_int_t
ngx_completion_id_sealed(ngx_array_t *keys, ngx_str_t *name,
    ngx_str_t *value, u_char *tag)
{
    u_char       made[NGX_COMPLETION_ID_TAG];
    ngx_str_t   *key;
    ngx_uint_t   i;

    key = keys->elts;

    for (i = 0; i < keys->nelts; i++) {
        if (ngx_completion_id_spell_value(&key[i], name, value, made)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (CRYPTO_memcmp(made, tag, NGX_COMPLETION_ID_TAG) == 0) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_completion_id_spell_value(ngx_str_t *key, ngx_str_t *name,
    ngx_str_t *value, u_char *tag)
{
    ngx_str_t  parts[2];

    parts[0] = *name;
    parts[1] = *value;

    return ngx_completion_id_spell(key, NGX_COMPLETION_ID_USE_VALUE, parts, 2,
                                   tag);
}
