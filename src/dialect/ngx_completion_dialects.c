
/*
 * Which dialects there are: the one place above their folders that names one.
 */


#include "ngx_completion_dialect.h"


extern const ngx_completion_dialect_t  ngx_completion_yandex;


const ngx_completion_dialect_t  *ngx_completion_dialects[] = {
    &ngx_completion_yandex,
    NULL
};
