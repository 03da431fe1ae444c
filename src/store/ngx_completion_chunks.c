
/*
 * Texts in the zone: chunks of the one size that everything has, in a list.
 * A text that is longer than what one lock may copy is written piece by piece
 * into a draft, which is a ring: it is known by its last chunk, so that a
 * piece is added without a walk, and the first stands behind that one.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


static ngx_completion_chunk_sh_t *ngx_completion_draft_open(
    ngx_completion_chunk_sh_t **draft);


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


u_char *
ngx_completion_chunks_read(ngx_completion_chunk_sh_t *chunk, size_t offset,
    u_char *p, size_t size)
{
    size_t  n;

    while (offset >= NGX_COMPLETION_CHUNK_DATA) {
        offset -= NGX_COMPLETION_CHUNK_DATA;
        chunk = chunk->next;
    }

    while (size) {
        n = ngx_min(size, NGX_COMPLETION_CHUNK_DATA - offset);
        p = ngx_cpymem(p, chunk->data + offset, n);
        size -= n;
        offset = 0;
        chunk = chunk->next;
    }

    return p;
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


void
ngx_completion_draft_write(ngx_completion_record_sh_t *record,
    ngx_completion_chunk_sh_t *chunks, u_char *p, size_t size)
{
    ngx_completion_chunk_sh_t  *last;

    last = ngx_completion_chunks_write(chunks, p, size);

    if (record->draft) {
        last->next = record->draft->next;
        record->draft->next = chunks;

    } else {
        last->next = chunks;
    }

    record->draft = last;
    record->draft_length += size;
}


void
ngx_completion_draft_publish(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_chunks_free(zone, &record->chunks);

    record->chunks = ngx_completion_draft_open(&record->draft);
    record->length = record->draft_length;
    record->draft_length = 0;
}


void
ngx_completion_draft_drop(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    ngx_completion_chunk_sh_t  *chunks;

    if (record->draft) {
        chunks = ngx_completion_draft_open(&record->draft);
        ngx_completion_chunks_free(zone, &chunks);
    }

    record->draft_length = 0;
}


static ngx_completion_chunk_sh_t *
ngx_completion_draft_open(ngx_completion_chunk_sh_t **draft)
{
    ngx_completion_chunk_sh_t  *first;

    first = (*draft)->next;
    (*draft)->next = NULL;
    *draft = NULL;

    return first;
}
