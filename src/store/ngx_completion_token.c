
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


/* behind a token, and behind a failure, doubled with each of them, ms */
#define NGX_COMPLETION_TOKEN_PAUSE      500
#define NGX_COMPLETION_TOKEN_PAUSE_MAX  60000

/* between two renewals for tokens that upstream refuses, the same way */
#define NGX_COMPLETION_TOKEN_REFUSED    1000


static ngx_uint_t ngx_completion_token_due(ngx_completion_token_sh_t *sh,
    ngx_completion_zone_token_t *token);
static ngx_msec_t ngx_completion_token_gap(ngx_msec_t first, uint32_t times);


ngx_int_t
ngx_completion_zone_token(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token)
{
    ngx_uint_t                  good;
    ngx_completion_token_sh_t  *sh;

    token->lease = 0;
    token->wait = 0;

    ngx_completion_zone_lock(zone);

    sh = &zone->sh->token;

    good = sh->generation
           && sh->length <= token->size
           && ngx_memcmp(sh->source, token->source,
                         NGX_COMPLETION_TOKEN_DIGEST)
              == 0
           && ngx_completion_left(sh->expires) > 0;

    if (good && sh->generation != token->generation) {
        (void) ngx_completion_chunks_read(sh->chunks, token->buffer,
                                          sh->length);

        if (token->len > sh->length) {
            ngx_explicit_memzero(token->buffer + sh->length,
                                 token->len - sh->length);
        }

        token->len = sh->length;
        token->generation = sh->generation;
    }

    if (token->lease_time
        && (!good || ngx_completion_left(sh->renew) <= 0)
        && ngx_completion_token_due(sh, token))
    {
        token->lease = ++zone->sh->sequence;
        token->untried = 0;

        sh->lease = token->lease;
        sh->lease_end = ngx_current_msec + token->lease_time;
    }

    if (!good && sh->lease == 0) {
        token->wait = ngx_max(ngx_completion_left(sh->not_before), 0);
    }

    ngx_completion_zone_unlock(zone);

    return good ? NGX_OK : NGX_AGAIN;
}


/*
 * Workers that hold different keys must not drive each other, be it with
 * failures or by dropping each other's tokens.  But the first try with a new
 * key need not wait for what the old one failed in.
 */

static ngx_uint_t
ngx_completion_token_due(ngx_completion_token_sh_t *sh,
    ngx_completion_zone_token_t *token)
{
    if (sh->lease && ngx_completion_left(sh->lease_end) > 0) {
        return 0;
    }

    sh->lease = 0;

    return (sh->generation == 0 && sh->failures == 0)
           || ngx_completion_left(sh->not_before) <= 0
           || (token->untried
               && ngx_memcmp(sh->tried, token->key,
                             NGX_COMPLETION_TOKEN_DIGEST)
                  != 0);
}


ngx_int_t
ngx_completion_zone_token_store(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token, ngx_str_t *value, ngx_msec_t life,
    ngx_msec_t renew)
{
    ngx_int_t                   rc;
    ngx_completion_chunk_sh_t  *chunks;
    ngx_completion_token_sh_t  *sh;

    ngx_completion_zone_lock(zone);

    sh = &zone->sh->token;

    if (sh->lease == 0 || sh->lease != token->lease) {
        rc = NGX_DECLINED;
        goto done;
    }

    if (ngx_completion_room_take(zone, ngx_completion_chunks(value->len),
                                 &chunks)
        != NGX_OK)
    {
        ngx_completion_zone_unlock(zone);
        return NGX_ERROR;
    }

    rc = sh->failures ? NGX_DONE : NGX_OK;

    ngx_completion_chunks_wipe(zone, &sh->chunks);
    ngx_completion_chunks_write(chunks, value->data, value->len);

    sh->chunks = chunks;
    sh->length = value->len;
    sh->generation = ++zone->sh->sequence;
    ngx_memcpy(sh->source, token->source, NGX_COMPLETION_TOKEN_DIGEST);
    sh->expires = ngx_current_msec + life;
    sh->renew = ngx_current_msec + renew;
    sh->not_before = ngx_current_msec + NGX_COMPLETION_TOKEN_PAUSE;
    sh->lease = 0;
    sh->failures = 0;
    sh->fault = 0;

    ngx_completion_zone_note(zone, NGX_COMPLETION_TOKEN_HASH);

done:

    token->lease = 0;

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_token_failed(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token, uint32_t fault, ngx_msec_t *pause)
{
    ngx_int_t                   rc;
    ngx_completion_token_sh_t  *sh;

    rc = NGX_DONE;

    ngx_completion_zone_lock(zone);

    sh = &zone->sh->token;

    if (sh->lease && sh->lease == token->lease) {

        if (sh->failures == 0 || sh->fault != fault) {
            rc = NGX_OK;
        }

        *pause = ngx_completion_token_gap(NGX_COMPLETION_TOKEN_PAUSE,
                                          sh->failures);
        *pause = *pause / 2 + ngx_random() % (*pause / 2);

        sh->failures++;
        sh->fault = fault;
        sh->not_before = ngx_current_msec + *pause;
        sh->lease = 0;
        ngx_memcpy(sh->tried, token->key, NGX_COMPLETION_TOKEN_DIGEST);

        ngx_completion_zone_note(zone, NGX_COMPLETION_TOKEN_HASH);
    }

    token->lease = 0;

    ngx_completion_zone_unlock(zone);

    return rc;
}


void
ngx_completion_zone_token_yield(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token)
{
    ngx_completion_token_sh_t  *sh;

    ngx_completion_zone_lock(zone);

    sh = &zone->sh->token;

    if (sh->lease == token->lease) {
        sh->lease = 0;
        ngx_completion_zone_note(zone, NGX_COMPLETION_TOKEN_HASH);
    }

    token->lease = 0;

    ngx_completion_zone_unlock(zone);
}


ngx_int_t
ngx_completion_zone_token_refused(ngx_completion_zone_t *zone,
    ngx_completion_zone_token_t *token, uint64_t generation)
{
    ngx_int_t                   rc;
    ngx_msec_int_t              passed;
    ngx_completion_token_sh_t  *sh;

    rc = NGX_OK;

    ngx_completion_zone_lock(zone);

    sh = &zone->sh->token;

    if (sh->generation != generation) {
        goto done;
    }

    passed = ngx_current_msec - sh->refused;

    if (passed >= NGX_COMPLETION_TOKEN_PAUSE_MAX) {
        sh->refusals = 0;
    }

    if (sh->refusals
        && passed < (ngx_msec_int_t) ngx_completion_token_gap(
                          NGX_COMPLETION_TOKEN_REFUSED, sh->refusals - 1))
    {
        rc = NGX_DECLINED;
        goto done;
    }

    sh->refusals++;
    sh->refused = ngx_current_msec;

    /* what is being got may have been given out before the revocation */

    sh->lease = 0;

    ngx_completion_chunks_wipe(zone, &sh->chunks);
    sh->length = 0;
    sh->generation = 0;

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


static ngx_msec_t
ngx_completion_token_gap(ngx_msec_t first, uint32_t times)
{
    return ngx_min(first << ngx_min(times, 10),
                   NGX_COMPLETION_TOKEN_PAUSE_MAX);
}
