
/*
 * Texts in the zone: chunks of the one size that everything has, in a list.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


void *
ngx_completion_chunks_pop(ngx_completion_chunk_sh_t **chunks)
{
    ngx_completion_chunk_sh_t  *chunk;

    chunk = *chunks;
    *chunks = chunk->next;
    chunk->next = NULL;

    return chunk;
}


ngx_completion_chunk_sh_t *
ngx_completion_chunks_write(ngx_completion_chunk_sh_t *chunk, u_char *p,
    size_t size)
{
    size_t  n;

    for ( ;; ) {
        n = ngx_min(size, NGX_COMPLETION_CHUNK_DATA);
        ngx_memcpy(chunk->data, p, n);
        p += n;
        size -= n;

        if (size == 0) {
            return chunk;
        }

        chunk = chunk->next;
    }
}


ngx_completion_chunk_sh_t *
ngx_completion_chunks_read(ngx_completion_chunk_sh_t *chunk, u_char *p,
    size_t size)
{
    size_t  n;

    while (size) {
        n = ngx_min(size, NGX_COMPLETION_CHUNK_DATA);
        p = ngx_cpymem(p, chunk->data, n);
        size -= n;
        chunk = chunk->next;
    }

    return chunk;
}


void
ngx_completion_chunks_free(ngx_completion_zone_t *zone,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_uint_t                  n;
    ngx_completion_chunk_sh_t  *chunk, *next;

    chunk = *chunks;
    *chunks = NULL;

    for (n = 0; chunk && n < NGX_COMPLETION_CHUNKS_MAX; n++) {
        next = chunk->next;
        ngx_slab_free_locked(zone->shpool, chunk);
        chunk = next;
    }

    if (chunk) {
        ngx_memcpy(chunk->data, &zone->sh->waste, sizeof(chunk));
        zone->sh->waste = chunk;
    }
}


ngx_int_t
ngx_completion_chunks_collect(ngx_completion_zone_t *zone)
{
    ngx_completion_chunk_sh_t  *chunks;

    chunks = zone->sh->waste;

    if (chunks == NULL) {
        return NGX_DONE;
    }

    ngx_memcpy(&zone->sh->waste, chunks->data, sizeof(chunks));
    ngx_completion_chunks_free(zone, &chunks);

    return NGX_OK;
}


void
ngx_completion_chunks_wipe(ngx_completion_zone_t *zone,
    ngx_completion_chunk_sh_t **chunks)
{
    ngx_completion_chunk_sh_t  *chunk;

    for (chunk = *chunks; chunk; chunk = chunk->next) {
        ngx_explicit_memzero(chunk->data, NGX_COMPLETION_CHUNK_DATA);
    }

    ngx_completion_chunks_free(zone, chunks);
}
