
/*
 * What this folder's files share: the reader of an answer's JSON, whatever
 * its shape, and the cleaning of texts that upstream did not mean for end
 * users.
 */


#ifndef _NGX_COMPLETION_YANDEX_H_INCLUDED_
#define _NGX_COMPLETION_YANDEX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../ngx_completion_dialect.h"
#include "../../base/ngx_completion_json.h"


#define NGX_COMPLETION_REASON_MAX  512


/* what upstream may echo, and nobody is to see; len 0: none */
typedef struct {
    ngx_str_t                      folder;
    ngx_str_t                      credential;     /* as sent this time */
} ngx_completion_masks_t;


/* what an answer may hold: an Operation, or an error in one of its shapes */

enum {
    NGX_COMPLETION_FACT_ID = NGX_COMPLETION_JSON_ROOT + 1,
    NGX_COMPLETION_FACT_DONE,
    NGX_COMPLETION_FACT_CREATED_BY,
    NGX_COMPLETION_FACT_ERROR,
    NGX_COMPLETION_FACT_ERROR_CODE,
    NGX_COMPLETION_FACT_ERROR_GRPC_CODE,
    NGX_COMPLETION_FACT_ERROR_MESSAGE,
    NGX_COMPLETION_FACT_MESSAGE,
    NGX_COMPLETION_FACT_RESPONSE,
    NGX_COMPLETION_FACT_ALTERNATIVES,
    NGX_COMPLETION_FACT_ALTERNATIVE,
    NGX_COMPLETION_FACT_STATUS,
    NGX_COMPLETION_FACT_ALTERNATIVE_MESSAGE,
    NGX_COMPLETION_FACT_TEXT,
    NGX_COMPLETION_FACT_USAGE,
    NGX_COMPLETION_FACT_INPUT_TOKENS,
    NGX_COMPLETION_FACT_COMPLETION_TOKENS,
    NGX_COMPLETION_FACT_TOTAL_TOKENS,
    NGX_COMPLETION_FACT_MODEL_VERSION
};


typedef struct {
    ngx_pool_t                    *pool;

    ngx_str_t                      id;
    ngx_str_t                      message;        /* of the top level */
    ngx_str_t                      error;          /* a string */
    ngx_str_t                      error_message;
    ngx_str_t                      text;
    ngx_str_t                      model_version;

    int64_t                        error_code;
    int64_t                        error_grpc_code;
    int64_t                        input_tokens;
    int64_t                        completion_tokens;
    int64_t                        total_tokens;

    unsigned                       texts:1;        /* wanted, to be copied */
    unsigned                       done:1;
    unsigned                       response:1;
    unsigned                       error_coded:1;
    unsigned                       error_grpc_coded:1;
    unsigned                       incomplete:1;
    unsigned                       filtered:1;
} ngx_completion_facts_t;


/* The places above, for ngx_completion_json_read(). */
extern const ngx_completion_json_path_t  ngx_completion_facts_paths[];


void ngx_completion_facts_init(ngx_completion_facts_t *facts,
    ngx_pool_t *pool);

/* A handler for ngx_completion_json_read(): data is the facts. */
ngx_int_t ngx_completion_facts_event(void *data,
    ngx_completion_json_event_t *event);

/* What upstream says: PENDING to FAILED. */
ngx_completion_state_e ngx_completion_facts_state(
    ngx_completion_facts_t *facts);

/* [A-Za-z0-9_-]{1,64} */
ngx_uint_t ngx_completion_provider_id(ngx_str_t *id);

/*
 * Reads an Operation and makes a document of it.  NGX_OK; NGX_DECLINED: not
 * readable, and *fault says how, fit for a log; NGX_ERROR: no memory.
 */
ngx_int_t ngx_completion_provider_document(ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *text, ngx_completion_operation_t *operation,
    const char **fault);

/* The cleaned reason of an error answer, empty if there is none to be had. */
ngx_int_t ngx_completion_provider_reason(ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *body, ngx_str_t *reason);

/*
 * Cleans a text in place of the caller's ngx_str_t, copying it: of our folder
 * and credential, of control characters, of anything that looks like one of
 * Yandex's resource ids, of session prefixes; a text that names an internal
 * id in any other way becomes empty.  limit: bytes, 0: none.
 */
ngx_int_t ngx_completion_provider_clean(ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *text, size_t limit);

/* The first part only: our folder and credential. */
ngx_int_t ngx_completion_provider_mask(ngx_completion_masks_t *masks,
    ngx_pool_t *pool, ngx_str_t *text);


#endif /* _NGX_COMPLETION_YANDEX_H_INCLUDED_ */
