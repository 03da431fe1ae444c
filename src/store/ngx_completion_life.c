
/*
 * The life of a record, as it is drawn where the record is declared: an id is
 * accepted or adopted, polls bring what they bring, or we decide.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_zone_sh.h"


#define NGX_COMPLETION_BACKOFF        500


static uint64_t ngx_completion_document_digest(ngx_str_t *document);
static ngx_int_t ngx_completion_record_publish(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static ngx_int_t ngx_completion_record_pending(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static ngx_int_t ngx_completion_record_final(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static ngx_int_t ngx_completion_record_not_found(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static ngx_int_t ngx_completion_record_unusable(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static ngx_uint_t ngx_completion_record_doubted(
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict);
static ngx_int_t ngx_completion_record_failed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static void ngx_completion_record_begin(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static void ngx_completion_record_refused(ngx_completion_zone_t *zone,
    ngx_completion_update_t *update);
static void ngx_completion_record_replace(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update);
static ngx_completion_record_sh_t *ngx_completion_record_errand(
    ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_record_state_e last, ngx_completion_errand_t *errand,
    void **room);
static ngx_int_t ngx_completion_record_erase(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static ngx_int_t ngx_completion_record_decide(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict);
static ngx_int_t ngx_completion_record_settle(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record);
static ngx_uint_t ngx_completion_record_end(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict);


ngx_int_t
ngx_completion_zone_accept(ngx_completion_zone_t *zone, uint64_t lease,
    ngx_completion_keys_t *keys, ngx_completion_id_t *id, ngx_uint_t model)
{
    uint32_t                     hash;
    ngx_int_t                    rc;
    ngx_completion_found_t       end;
    ngx_completion_chunk_sh_t   *chunks;
    ngx_completion_submit_sh_t  *submit;
    ngx_completion_record_sh_t  *record;

    rc = NGX_OK;
    chunks = NULL;
    hash = ngx_completion_zone_hash(&id->upstream);

    ngx_memzero(&end, sizeof(ngx_completion_found_t));
    end.state = NGX_COMPLETION_KEY_ENDED;
    end.id = *id;

    ngx_completion_zone_lock(zone);

    submit = ngx_completion_line_find(zone, lease);

    if (submit == NULL && keys) {

        if (keys->cache.ttl) {
            (void) ngx_completion_room_take(zone, 1, &chunks);
        }

        ngx_completion_keys_late(zone, keys, lease, &end, chunks);
        chunks = NULL;
    }

    record = ngx_completion_record_find(zone, &id->upstream, hash);

    /* without a submit: its lease has ended, or the zone was made anew */

    if (submit == NULL && record == NULL
        && ngx_completion_room_take(zone, 1, &chunks) != NGX_OK)
    {
        rc = NGX_DECLINED;
        goto done;
    }

    if (submit) {
        ngx_completion_keys_settle(zone, submit, &end);
        ngx_completion_line_leave(zone, submit);

        ngx_memzero(submit, NGX_COMPLETION_CHUNK);
        chunks = (ngx_completion_chunk_sh_t *) submit;
    }

    if (record == NULL) {
        record = ngx_completion_record_add(zone, chunks, id, hash,
                                           NGX_COMPLETION_RECORD_PENDING);

    } else {
        if (submit) {
            ngx_slab_free_locked(zone->shpool, submit);
        }

        if (record->state == NGX_COMPLETION_RECORD_FINAL) {
            ngx_completion_keys_ended(zone, record, record->verdict);
        }

        if (record->state == NGX_COMPLETION_RECORD_FINAL
            || ngx_completion_record_leased(record))
        {
            rc = NGX_BUSY;
            goto done;
        }

        record->state = NGX_COMPLETION_RECORD_PENDING;
        ngx_completion_record_place(zone, record);
    }

    record->flags |= NGX_COMPLETION_RECORD_OURS;
    record->submitted = id->submitted;
    record->model = model % NGX_COMPLETION_PACE_MODELS;

    ngx_completion_record_lend(zone, record, lease);
    ngx_completion_record_schedule(zone, record, record->lease_end);

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_adopt(ngx_completion_zone_t *zone,
    ngx_completion_id_t *id, ngx_completion_errand_t *errand)
{
    void                        *room;
    uint32_t                     hash;
    ngx_completion_chunk_sh_t   *chunk;
    ngx_completion_record_sh_t  *record;

    hash = ngx_completion_zone_hash(&id->upstream);

    ngx_completion_zone_lock(zone);

    ngx_completion_room_expire(zone);

    record = ngx_completion_record_find(zone, &id->upstream, hash);

    if (record == NULL) {
        room = errand ? ngx_completion_outbox_room(zone, errand) : NULL;
        chunk = ngx_completion_room_asked(zone);

        if (chunk) {
            record = ngx_completion_record_add(zone, chunk, id, hash,
                                               NGX_COMPLETION_RECORD_UNKNOWN);
            record->version = ++zone->sh->sequence;
        }

        if (record && errand) {
            record->not_before = ngx_current_msec + errand->ms;
            ngx_completion_outbox_add(zone, errand, room);

        } else {
            ngx_completion_outbox_free(zone, room);
        }
    }

    ngx_completion_zone_unlock(zone);

    return record ? NGX_OK : NGX_DECLINED;
}


ngx_msec_t
ngx_completion_zone_room(ngx_completion_zone_t *zone)
{
    ngx_msec_t  ms;

    ngx_completion_zone_lock(zone);

    ms = ngx_completion_room_comes(zone);

    ngx_completion_zone_unlock(zone);

    return ms;
}


/*
 * By the word, with the finalizer of MurmurHash3 behind each: whoever could
 * find two documents of one digest is upstream, which says what each of them
 * is.
 */

static uint64_t
ngx_completion_document_digest(ngx_str_t *document)
{
    size_t    n, left;
    uint64_t  word, digest;

    digest = document->len;

    for (n = 0; n < document->len; n += sizeof(uint64_t)) {
        left = document->len - n;
        word = 0;

        if (left >= sizeof(uint64_t)) {
            ngx_memcpy(&word, document->data + n, sizeof(uint64_t));

        } else {
            ngx_memcpy(&word, document->data + n, left);
        }

        digest ^= word;
        digest ^= digest >> 33;
        digest *= 0xff51afd7ed558ccdULL;
        digest ^= digest >> 33;
        digest *= 0xc4ceb9fe1a85ec53ULL;
        digest ^= digest >> 33;
    }

    return digest;
}


/*
 * A document that is longer than what one lock may copy is written piece by
 * piece into a draft beside the old one, the last piece first, so that each
 * stands before the rest.  For lack of room none is kept: the operation's end
 * is recorded all the same, and a reader has it fetched again.
 */

ngx_int_t
ngx_completion_zone_store(ngx_completion_zone_t *zone, ngx_str_t *id,
    uint64_t lease, ngx_completion_update_t *update)
{
    size_t                       left, size;
    uint32_t                     hash;
    ngx_int_t                    rc;
    ngx_str_t                   *document;
    ngx_completion_chunk_sh_t   *chunks, *last;
    ngx_completion_record_sh_t  *record;

    hash = ngx_completion_zone_hash(id);
    document = &update->document;

    update->digest = ngx_completion_document_digest(document);
    update->kept = 0;
    update->ended = 0;
    update->heard = 0;
    update->failures = 0;
    update->refusals = 0;
    left = document->len;

    do {
        ngx_completion_zone_lock(zone);

        record = ngx_completion_record_leased_by(zone, id, hash, lease);
        chunks = NULL;
        size = 0;

        /*
         * Somebody else's piece, or an earlier one without room, ends it; and
         * what can never fit must not cost the others their place.
         */

        if (record
            && left && document->len <= zone->sh->capacity
            && record->draft_length == document->len - left
            && (record->chunks == NULL
                || record->digest != update->digest
                || record->length != document->len))
        {
            size = left % NGX_COMPLETION_COPY_MAX;
            size = size ? size : NGX_COMPLETION_COPY_MAX;

            if (ngx_completion_room_take(zone, ngx_completion_chunks(size),
                                         &chunks)
                != NGX_OK)
            {
                size = 0;
            }

            /* a record whose lease had run out may have made the room */

            record = ngx_completion_record_leased_by(zone, id, hash, lease);
        }

        if (record == NULL) {
            ngx_completion_chunks_free(zone, &chunks);
            rc = NGX_DECLINED;

        } else {
            if (size) {
                left -= size;

                last = ngx_completion_chunks_write(chunks,
                                                   document->data + left,
                                                   size);
                last->next = record->draft;
                record->draft = chunks;
                record->draft_length += size;
            }

            if (size && left) {
                rc = NGX_AGAIN;

            } else {
                rc = ngx_completion_record_publish(zone, record, update);
                update->kept = (record->chunks != NULL);
            }
        }

        ngx_completion_zone_unlock(zone);

    } while (rc == NGX_AGAIN);

    return rc;
}


static ngx_int_t
ngx_completion_record_publish(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_int_t  rc;

    record->lease = 0;

    ngx_completion_record_refused(zone, update);

    if (update->outcome == NGX_COMPLETION_OK
        && ngx_completion_record_is_makeshift(record))
    {
        /* what can be read goes ahead: it is known anew, as if adopted */

        record->state = NGX_COMPLETION_RECORD_UNKNOWN;
        record->flags &= ~NGX_COMPLETION_RECORD_DECIDED;
    }

    if (update->outcome == NGX_COMPLETION_OPERATION_NOT_FOUND) {
        rc = ngx_completion_record_not_found(zone, record, update);

    } else if (update->outcome != NGX_COMPLETION_OK
               && update->state != NGX_COMPLETION_PENDING)
    {
        rc = ngx_completion_record_unusable(zone, record, update);

    } else if (update->outcome != NGX_COMPLETION_OK) {
        rc = ngx_completion_record_failed(zone, record, update);

    } else if (update->state != NGX_COMPLETION_PENDING) {
        rc = ngx_completion_record_final(zone, record, update);

    } else if (record->state != NGX_COMPLETION_RECORD_FINAL) {
        rc = ngx_completion_record_pending(zone, record, update);

    } else {

        /* states only go forward */

        rc = ngx_completion_record_failed(zone, record, update);
    }

    ngx_completion_chunks_free(zone, &record->draft);
    record->draft_length = 0;

    return rc;
}


static ngx_int_t
ngx_completion_record_pending(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_uint_t  news;

    news = (record->state != NGX_COMPLETION_RECORD_PENDING
            || record->version == 0
            || record->chunks == NULL
            || record->digest != update->digest
            || record->length != update->document.len);

    ngx_completion_record_begin(zone, record);
    ngx_completion_record_replace(zone, record, update);

    record->asked = record->sent;
    record->not_before = ngx_current_msec + update->gap;
    record->doubts = 0;
    record->failures = 0;

    ngx_completion_record_plan(zone, record, ngx_current_msec);

    /* but once, as this answer may be older than what another node heard */

    record->flags &= ~NGX_COMPLETION_RECORD_TOLD;

    return news ? ngx_completion_record_changed(zone, record) : NGX_DONE;
}


static ngx_int_t
ngx_completion_record_final(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_int_t  rc;

    rc = ngx_completion_record_answered(zone, record);

    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_pace_learn(&zone->sh->paces, record->model,
                                  ngx_completion_record_age(record,
                                                            record->asked),
                                  ngx_completion_record_age(record,
                                                            record->sent));

        if (record->flags & NGX_COMPLETION_RECORD_OURS) {
            ngx_completion_metrics_observe(&zone->metrics->operation,
                                         ngx_completion_metrics_operation,
                                         ngx_completion_record_age(record,
                                                           ngx_current_msec));
        }
    }

    if (record->state != NGX_COMPLETION_RECORD_FINAL) {
        update->heard = !(record->flags & NGX_COMPLETION_RECORD_TOLD);
        update->ended = ngx_completion_record_end(zone, record, update->state);
    }

    record->digest = update->digest;

    ngx_completion_record_replace(zone, record, update);
    ngx_completion_record_unschedule(zone, record);
    ngx_completion_record_place(zone, record);

    record->not_before = ngx_current_msec;
    record->doubts = 0;
    record->failures = 0;

    if (record->chunks == NULL) {

        /* no room for it: whoever fetches it again does so after a pause */

        record->not_before += NGX_COMPLETION_BACKOFF;
    }

    return rc;
}


static ngx_int_t
ngx_completion_record_not_found(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_int_t  rc;

    /* what is here needs no word of upstream's */

    if (ngx_completion_record_is_complete(record)
        || ngx_completion_record_is_makeshift(record))
    {
        return ngx_completion_record_failed(zone, record, update);
    }

    if (record->state == NGX_COMPLETION_RECORD_UNKNOWN) {
        rc = ngx_completion_record_answered(zone, record);

        record->state = NGX_COMPLETION_RECORD_MISSING;
        record->created = ngx_current_msec;

        ngx_completion_keys_ended(zone, record, NGX_COMPLETION_LOST);

        ngx_completion_record_unschedule(zone, record);
        ngx_completion_record_place(zone, record);

        return rc;
    }

    if (ngx_completion_record_doubted(record, NGX_COMPLETION_LOST)) {
        update->ended = 1;
        return ngx_completion_record_decide(zone, record, NGX_COMPLETION_LOST);
    }

    if (record->state == NGX_COMPLETION_RECORD_FINAL) {
        return ngx_completion_record_failed(zone, record, update);
    }

    /* what was told of its end is not known to be so */

    record->flags &= ~NGX_COMPLETION_RECORD_TOLD;
    record->asked = record->sent;
    record->not_before = ngx_current_msec + update->gap;
    ngx_completion_record_plan(zone, record, ngx_current_msec);

    return NGX_DONE;
}


/* upstream has the operation, and says of it what cannot be read */

static ngx_int_t
ngx_completion_record_unusable(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_int_t  rc;

    /* one that is longer than may be does not become shorter */

    if (record->state == NGX_COMPLETION_RECORD_FINAL
        || (!ngx_completion_record_doubted(record, update->state)
            && update->state != NGX_COMPLETION_TOO_LARGE))
    {
        return ngx_completion_record_failed(zone, record, update);
    }

    update->ended = 1;
    rc = ngx_completion_record_decide(zone, record, update->state);

    /* it is counted, and may end once more; who wants it sooner is too early */

    record->flags &= ~NGX_COMPLETION_RECORD_OURS;
    record->failures = NGX_COMPLETION_FAILURES;
    record->not_before = ngx_current_msec + zone->poll_max;

    return rc;
}


/* of one without a document: whether this is the end of it */

static ngx_uint_t
ngx_completion_record_doubted(ngx_completion_record_sh_t *record,
    ngx_completion_state_e verdict)
{
    if (record->state != NGX_COMPLETION_RECORD_FINAL
        && record->verdict != verdict)
    {
        record->verdict = verdict;
        record->doubts = 0;
    }

    if (record->doubts == 0) {
        record->doubted = ngx_current_msec;
    }

    if (record->doubts < NGX_COMPLETION_DOUBTS) {
        record->doubts++;
    }

    return record->doubts == NGX_COMPLETION_DOUBTS
           && ngx_completion_since(record->doubted)
              >= NGX_COMPLETION_DOUBT_TIME;
}


static ngx_int_t
ngx_completion_record_failed(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    ngx_msec_t  backoff;

    if (record->failures < 16) {
        record->failures++;
    }

    update->failures = record->failures;

    if (ngx_completion_record_is_makeshift(record)) {
        record->not_before = ngx_current_msec + zone->poll_max;
        ngx_completion_record_unschedule(zone, record);
        return NGX_DONE;
    }

    backoff = ngx_max(zone->poll_min, NGX_COMPLETION_BACKOFF);
    backoff = ngx_min(backoff << (record->failures - 1), zone->poll_max);
    backoff = backoff / 2 + ngx_random() % (backoff / 2 + 1);
    backoff = ngx_max(backoff, update->gap);

    record->not_before = ngx_current_msec + backoff;

    if (record->state == NGX_COMPLETION_RECORD_PENDING) {
        ngx_completion_record_plan(zone, record, ngx_current_msec);
        return NGX_DONE;
    }

    if (record->failures < NGX_COMPLETION_FAILURES) {
        ngx_completion_record_schedule(zone, record, record->not_before);
        return NGX_DONE;
    }

    ngx_completion_record_unschedule(zone, record);

    return ngx_completion_record_changed(zone, record);
}


/* it is known to be pending */

static void
ngx_completion_record_begin(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    time_t  age;

    if (record->state != NGX_COMPLETION_RECORD_PENDING) {
        record->state = NGX_COMPLETION_RECORD_PENDING;
        age = ngx_time() - (time_t) record->submitted;
        record->created = record->sent - ngx_max(age, 0) * 1000;
        ngx_completion_record_place(zone, record);
    }
}


/* whether polls are refused is a matter of the credential, hence of all */

static void
ngx_completion_record_refused(ngx_completion_zone_t *zone,
    ngx_completion_update_t *update)
{
    if (update->refused) {

        if (zone->sh->refusals++ == 0) {
            zone->sh->refused = ngx_current_msec;
        }

        update->refusals = zone->sh->refusals;

    } else if (update->outcome == NGX_COMPLETION_OK
               || update->outcome == NGX_COMPLETION_OPERATION_NOT_FOUND)
    {
        update->refusals = ngx_completion_zone_is_refused(zone);
        zone->sh->refusals = 0;
    }
}


static void
ngx_completion_record_replace(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_update_t *update)
{
    if (record->draft && record->draft_length == update->document.len) {
        ngx_completion_chunks_free(zone, &record->chunks);

        record->chunks = record->draft;
        record->draft = NULL;
        record->length = update->document.len;
        record->id_offset = update->id_offset;
        record->digest = update->digest;
    }
}


ngx_int_t
ngx_completion_zone_decide(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_state_e verdict, ngx_completion_errand_t *errand)
{
    void                        *room;
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_errand(zone, id,
                                          NGX_COMPLETION_RECORD_PENDING,
                                          errand, &room);

    if (record && record->state == NGX_COMPLETION_RECORD_FINAL) {
        rc = NGX_DONE;

    } else if (record && record->state == NGX_COMPLETION_RECORD_PENDING) {
        (void) ngx_completion_record_decide(zone, record, verdict);
        rc = NGX_OK;
    }

    if (errand && rc == NGX_OK) {
        ngx_completion_outbox_add(zone, errand, room);

    } else {
        ngx_completion_outbox_free(zone, room);
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_delete(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_errand_t *errand)
{
    void                        *room;
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    rc = NGX_DECLINED;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_errand(zone, id,
                                          NGX_COMPLETION_RECORD_FINAL,
                                          errand, &room);

    if (record && record->state >= NGX_COMPLETION_RECORD_PENDING
        && !(record->flags & NGX_COMPLETION_RECORD_DELETED))
    {
        rc = ngx_completion_record_erase(zone, record);
    }

    if (errand && rc != NGX_DECLINED) {
        ngx_completion_outbox_add(zone, errand, room);

    } else {
        ngx_completion_outbox_free(zone, room);
    }

    ngx_completion_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_completion_zone_mark(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_mark_e mark)
{
    ngx_int_t                    rc;
    ngx_completion_record_sh_t  *record;

    rc = NGX_DONE;

    ngx_completion_zone_lock(zone);

    record = ngx_completion_record_find(zone, id,
                                        ngx_completion_zone_hash(id));

    if (record == NULL || (record->flags & NGX_COMPLETION_RECORD_DELETED)) {
        goto done;
    }

    switch (mark) {

    case NGX_COMPLETION_MARK_DELETED:
        (void) ngx_completion_record_erase(zone, record);
        rc = NGX_OK;
        break;

    case NGX_COMPLETION_MARK_CANCELLED:

        if (record->state != NGX_COMPLETION_RECORD_FINAL
            || record->verdict != NGX_COMPLETION_CANCELLED)
        {
            (void) ngx_completion_record_decide(zone, record,
                                                NGX_COMPLETION_CANCELLED);
            rc = NGX_OK;
        }

        break;

    case NGX_COMPLETION_MARK_ENDED:

        if (record->state == NGX_COMPLETION_RECORD_PENDING) {
            record->flags |= NGX_COMPLETION_RECORD_TOLD;

            if (!ngx_completion_record_leased(record)) {
                ngx_completion_record_plan(zone, record, record->asked);
            }

            rc = NGX_OK;
        }

        break;

    default: /* NGX_COMPLETION_MARK_NONE */

        if (record->state == NGX_COMPLETION_RECORD_UNKNOWN
            && record->failures == 0
            && !ngx_completion_record_leased(record))
        {
            record->not_before = ngx_current_msec;

            if (record->flags & NGX_COMPLETION_RECORD_SCHEDULED) {
                ngx_completion_record_schedule(zone, record,
                                               ngx_current_msec);
            }

            rc = NGX_OK;
        }
    }

done:

    ngx_completion_zone_unlock(zone);

    return rc;
}


/* room for the errand of one in such a state is made before it changes */

static ngx_completion_record_sh_t *
ngx_completion_record_errand(ngx_completion_zone_t *zone, ngx_str_t *id,
    ngx_completion_record_state_e last, ngx_completion_errand_t *errand,
    void **room)
{
    uint32_t                     hash;
    ngx_completion_record_sh_t  *record;

    *room = NULL;
    hash = ngx_completion_zone_hash(id);

    record = ngx_completion_record_find(zone, id, hash);

    if (errand && record
        && record->state >= NGX_COMPLETION_RECORD_PENDING
        && record->state <= last
        && !(record->flags & NGX_COMPLETION_RECORD_DELETED))
    {
        *room = ngx_completion_outbox_room(zone, errand);
        record = ngx_completion_record_find(zone, id, hash);
    }

    return record;
}


/* NGX_OK: it had not ended, or NGX_DONE */

static ngx_int_t
ngx_completion_record_erase(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    /* how old it is may have been told by a wall clock that was wrong */

    record->created = ngx_current_msec;
    record->flags |= NGX_COMPLETION_RECORD_DELETED;

    if (record->state != NGX_COMPLETION_RECORD_FINAL) {
        (void) ngx_completion_record_decide(zone, record,
                                            NGX_COMPLETION_CANCELLED);
        return NGX_OK;
    }

    record->verdict = NGX_COMPLETION_CANCELLED;
    ngx_completion_chunks_free(zone, &record->chunks);
    ngx_completion_record_settle(zone, record);

    return NGX_DONE;
}


static ngx_int_t
ngx_completion_record_decide(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict)
{
    (void) ngx_completion_record_end(zone, record, verdict);

    return ngx_completion_record_settle(zone, record);
}


/* our word is the last one */

static ngx_int_t
ngx_completion_record_settle(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record)
{
    record->lease = 0;
    record->flags |= NGX_COMPLETION_RECORD_DECIDED;

    ngx_completion_chunks_free(zone, &record->draft);
    record->draft_length = 0;

    ngx_completion_record_unschedule(zone, record);
    ngx_completion_record_place(zone, record);

    return ngx_completion_record_answered(zone, record);
}


/*
 * Operations are counted where they were submitted: others may be known to
 * several nodes, or to this one for the second time; and they end once.
 */

static ngx_uint_t
ngx_completion_record_end(ngx_completion_zone_t *zone,
    ngx_completion_record_sh_t *record, ngx_completion_state_e verdict)
{
    ngx_uint_t  first;

    first = (record->state != NGX_COMPLETION_RECORD_FINAL);

    record->state = NGX_COMPLETION_RECORD_FINAL;
    record->verdict = verdict;
    record->finished = ngx_time();
    record->ended = ngx_current_msec;

    ngx_completion_keys_ended(zone, record, verdict);
    ngx_completion_chunks_free(zone, &record->chunks);

    if (!first || !(record->flags & NGX_COMPLETION_RECORD_OURS)) {
        return 0;
    }

    ngx_completion_metrics_add(&zone->metrics->finished[verdict], 1);

    return 1;
}
