
/* Submits on their way, and those that wait for a start. */


#include "model.h"


/* submits */

ngx_uint_t
waits_n(ngx_completion_turn_e turn)
{
    ngx_uint_t  i, n = 0;

    for (i = 0; i < ref.nsubmits; i++) {
        n += (ref.submits[i].real && ref.submits[i].turn == turn);
    }

    return n;
}


ngx_uint_t
submit_leased(submit_t *s)
{
    return LEFT(s->end) > 0;
}


ngx_uint_t
submit_lives(submit_t *s)
{
    return submit_leased(s)
           && (s->turn == NGX_COMPLETION_TURN_SENT
               || (workers[s->worker].lives && !workers[s->worker].quits));
}


void
turn(submit_t *s, ngx_completion_turn_e to)
{
    s->turn = to;

    if (to == NGX_COMPLETION_TURN_CALLED) {
        s->called = ngx_current_msec;
        s->place = ++ref.place;
    }
}


static submit_t *
head(ngx_completion_turn_e in)
{
    submit_t    *s, *first = NULL;
    ngx_uint_t   i;

    for (i = 0; i < ref.nsubmits; i++) {
        s = &ref.submits[i];

        if (s->real && s->turn == in
            && (first == NULL
                || (in == NGX_COMPLETION_TURN_WAITS
                        ? s->ticket < first->ticket
                        : s->called == first->called
                        ? s->place < first->place
                        : LATER(s->called, first->called) == first->called)))
        {
            first = s;
        }
    }

    return first;
}


/* the line */

static ngx_uint_t
goes(void *real)
{
    ngx_uint_t  i;

    for (i = seen_freed; i < nfreed; i++) {
        if (freed[i] == real) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
call(void)
{
    submit_t                    *s;
    ngx_int_t                    rc = NGX_DONE;
    ngx_uint_t                   looks, called = 0, n;
    ngx_completion_submit_sh_t  *real;

    for (looks = 0; looks < CALLS; looks++) {
        s = head(NGX_COMPLETION_TURN_CALLED);

        if (s == NULL || LEFT(s->called + CALL_TIME) > 0) {
            break;
        }

        turn(s, NGX_COMPLETION_TURN_AWAY);
    }

    for (looks = 0; looks < CALLS; looks++) {
        s = head(NGX_COMPLETION_TURN_WAITS);

        if (s == NULL) {
            break;
        }

        if (goes(s->real)) {
            AGREE(!submit_lives(s))
            orphaned(s);
            continue;
        }

        real = s->real;

        if (real->turn == NGX_COMPLETION_TURN_WAITS) {
            break;
        }

        AGREE(submit_lives(s))

        if ((ngx_msec_int_t) (ngx_current_msec - workers[s->worker].seen)
            > GONE_TIME)
        {
            turn(s, NGX_COMPLETION_TURN_AWAY);

        } else {
            turn(s, NGX_COMPLETION_TURN_CALLED);
            called++;
        }

        AGREE(real->turn == s->turn)
        tell(ngx_completion_lease_hash(s->lease));
        rc = NGX_OK;
    }

    n = waits_n(NGX_COMPLETION_TURN_CALLED);
    AGREE(!called || n <= submit_starts(1))
    AGREE(looks == CALLS || waits_n(NGX_COMPLETION_TURN_WAITS) == 0
          || n >= submit_starts(0))

    return rc;
}


void
seen(void)
{
    workers[acting].seen = ngx_current_msec;
}
