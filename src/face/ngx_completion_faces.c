
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_face.h"


const ngx_completion_face_t  *ngx_completion_faces[] = {
    &ngx_completion_native,
    &ngx_completion_openai,
    &ngx_completion_libretranslate,
    &ngx_completion_deepl,
    NULL
};


ngx_int_t
ngx_completion_face_bare(ngx_str_t *id)
{
    ngx_uint_t        i;
    const ngx_str_t  *prefix;

    for (i = 0; ngx_completion_faces[i]; i++) {
        prefix = ngx_completion_faces[i]->prefixes;

        for ( /* void */ ; prefix && prefix->data; prefix++) {

            if (id->len > prefix->len
                && ngx_strncmp(id->data, prefix->data, prefix->len) == 0)
            {
                id->data += prefix->len;
                id->len -= prefix->len;
                return NGX_OK;
            }
        }
    }

    return NGX_DECLINED;
}
