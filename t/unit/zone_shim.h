
/*
 * A zone's memory on malloc(), so that a sanitizer sees every touch of what
 * was freed; its lock aborts when taken twice, or given back without having
 * been taken, and so does an allocation without it.
 */


#ifndef _ZONE_SHIM_H_INCLUDED_
#define _ZONE_SHIM_H_INCLUDED_


#include "ngx_shim.h"


/* bytes in use, and how many there may be */
extern size_t           shim_slab_used;
extern size_t           shim_slab_limit;

extern ngx_uint_t       shim_locked;

/* called with what is about to be freed, and where the lock was given back */
extern void           (*shim_on_free)(u_char *data, size_t size);
extern void           (*shim_on_unlock)(void);

/* called where a worker looks at the clock once more */
extern void           (*shim_on_time)(void);

/* what a zone that is added has been given before, by another directive */
extern void            *shim_zone_data;

/* the shared memory: a pool's header, and what zones put at the end */
extern u_char           shim_memory[1 << 18];

#define shim_slab       (*(ngx_slab_pool_t *) shim_memory)


/* Frees whatever is allocated, and starts anew with so many bytes. */
void shim_slab_reset(size_t limit);


#endif /* _ZONE_SHIM_H_INCLUDED_ */
