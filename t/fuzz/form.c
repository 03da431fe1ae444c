
/*
 * A form.  Its fields, every byte of them escaped, make a form that reads the
 * same.
 */


#include "fuzz.h"

#include "../../src/face/ngx_completion_face.h"


static ngx_str_t  native = ngx_string("messages");


static u_char *
escape(u_char *p, ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        p += sprintf((char *) p, "%%%02x", s->data[i]);
    }

    return p;
}


static ngx_str_t
encode(ngx_pool_t *pool, ngx_array_t *fields)
{
    u_char                        *p;
    size_t                         i, size = 0;
    ngx_str_t                      form;
    ngx_completion_json_member_t  *field = fields->elts;

    for (i = 0; i < fields->nelts; i++) {
        size += 3 * (field[i].name.len + field[i].value.len) + 2;
    }

    form.data = ngx_pnalloc(pool, size + 1);
    p = form.data;

    for (i = 0; i < fields->nelts; i++) {
        p = escape(p, &field[i].name);
        *p++ = '=';
        p = escape(p, &field[i].value);
        *p++ = '&';
    }

    form.len = p - form.data;

    return form;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                         i;
    ngx_int_t                      rc;
    ngx_pool_t                    *pool;
    ngx_completion_prompt_t        prompt, second;
    ngx_completion_face_input_t    form, again;
    ngx_completion_json_member_t  *a, *b;

    memset(&prompt, 0, sizeof(ngx_completion_prompt_t));
    memset(&second, 0, sizeof(ngx_completion_prompt_t));
    memset(&form, 0, sizeof(ngx_completion_face_input_t));

    pool = ngx_create_pool(1024, &shim_log);

    form.type = NGX_COMPLETION_FACE_BODY_FORM;
    form.native = native;
    form.body = fuzz_copy(pool, data, size);

    rc = ngx_completion_native.read(pool, &form, &prompt);

    if (rc == NGX_DECLINED) {
        HOLDS(form.detail.len);
        goto done;
    }

    HOLDS(rc == NGX_OK && prompt.text.len && prompt.native.len == 0);
    HOLDS(ngx_completion_utf8_check(prompt.text.data, prompt.text.len)
          == NGX_OK);
    HOLDS(memchr(prompt.text.data, '\0', prompt.text.len) == NULL);

    again = form;
    again.body = encode(pool, form.members);

    HOLDS(ngx_completion_native.read(pool, &again, &second) == NGX_OK);
    HOLDS(fuzz_equal(&prompt.text, &second.text));
    HOLDS(form.members->nelts == again.members->nelts);

    a = form.members->elts;
    b = again.members->elts;

    for (i = 0; i < form.members->nelts; i++) {
        HOLDS(fuzz_equal(&a[i].name, &b[i].name));
        HOLDS(fuzz_equal(&a[i].value, &b[i].value));
    }

done:

    ngx_destroy_pool(pool);
    HOLDS(shim_bytes == 0);

    return 0;
}
