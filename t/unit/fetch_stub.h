
/* Transfers that go nowhere: what was asked for, and the answers to it. */


#ifndef _FETCH_STUB_H_INCLUDED_
#define _FETCH_STUB_H_INCLUDED_


#include "../../src/base/ngx_completion_fetch.h"


/* "name: value\n" of each header, in order */
extern char  stub_headers[4096];

/* transfers made and not destroyed */
extern int   stub_transfers;


void stub_reset(void);
void stub_answer(const char *name, const char *value);


#endif /* _FETCH_STUB_H_INCLUDED_ */
