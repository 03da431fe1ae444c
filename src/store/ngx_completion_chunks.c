
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
    ngx_completion_chunk_sh_t  *chunk, *next;

    for (chunk = *chunks; chunk; chunk = next) {
        next = chunk->next;
        ngx_slab_free_locked(zone->shpool, chunk);
    }

    *chunks = NULL;
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
