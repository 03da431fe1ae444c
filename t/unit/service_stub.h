
/*
 * One service in one worker: the real provider and the real zone, transfers
 * that the test answers, and a clock that it moves.
 */


#ifndef _SERVICE_STUB_H_INCLUDED_
#define _SERVICE_STUB_H_INCLUDED_


#include "event_shim.h"
#include "fetch_stub.h"
#include "zone_shim.h"

#include "../../src/operation/ngx_completion_operation.h"


/* what upstream answers */
#define PENDING(id)                                                           \
    "{\"id\":\"" id "\",\"description\":\"d\",\"done\":false}"
#define FINISHED(id)                                                          \
    "{\"id\":\"" id "\",\"done\":true,\"response\":{\"alternatives\":[{"      \
    "\"message\":{\"role\":\"assistant\",\"text\":\"t\"},"                    \
    "\"status\":\"ALTERNATIVE_STATUS_FINAL\"}]}}"
#define TOKEN(token)                                                          \
    "{\"access_token\":\"" token "\",\"expires_in\":43200,"                   \
    "\"token_type\":\"Bearer\"}"


extern ngx_completion_service_t   service;
extern ngx_completion_zone_t     *zone;


/*
 * A worker with a service whose credential is in a file, or is a token of the
 * machine's; per: at most one submit in so many ms, 0 for no quota.
 */
void service_begins(ngx_uint_t token, ngx_msec_t per);

/* Another content of the file; NULL: it is gone. */
void service_file(const char *secret);

/* The transfer that gets a token, or NULL. */
ngx_completion_fetch_t *service_token(void);

/* What is asked of such an operation, "ID" or "ID:cancel"; NULL: nothing. */
ngx_completion_fetch_t *service_get(const char *suffix);

/* The worker exits: what is left of it. */
int service_ended(void);


#endif /* _SERVICE_STUB_H_INCLUDED_ */
