
/* Transfers that go nowhere: what was asked for, and the answers to it. */


#ifndef _FETCH_STUB_H_INCLUDED_
#define _FETCH_STUB_H_INCLUDED_


#include "../../src/base/ngx_completion_fetch.h"


/* "name: value\n" of each header, in order */
extern char  stub_headers[4096];

/* transfers made and not destroyed */
extern int   stub_transfers;


/* those that are under way, the oldest first; NULL behind the last */
extern ngx_completion_fetch_t  *stub_started[17];


void stub_reset(void);
void stub_answer(const char *name, const char *value);

/* Asks the fence, as if the first byte were to be sent: what it said. */
ngx_int_t stub_sends(ngx_completion_fetch_t *f);

/* Ends one, with a status and a body, or an outcome, or by its fence. */
void stub_answers(ngx_completion_fetch_t *f, ngx_uint_t status,
    const char *body);
void stub_ends(ngx_completion_fetch_t *f, ngx_completion_outcome_e outcome);
void stub_fences(ngx_completion_fetch_t *f);


#endif /* _FETCH_STUB_H_INCLUDED_ */
