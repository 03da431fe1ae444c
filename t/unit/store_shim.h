
/*
 * What tests of the store begin with: a clock, a cycle, and a zone as mostly
 * configured, which a test changes before it starts.
 */


#ifndef _STORE_SHIM_H_INCLUDED_
#define _STORE_SHIM_H_INCLUDED_


#include "zone_shim.h"

#include "../../src/store/ngx_completion_zone.h"


extern ngx_str_t        shim_zone_name;
extern ngx_cycle_t      shim_cycle;


void shim_begins(void);
void shim_ends(void);

/* NULL: it is not taken. */
ngx_completion_zone_t *shim_zone(size_t size);


#endif /* _STORE_SHIM_H_INCLUDED_ */
