
/* Key files of service accounts, each key made for the program that asks. */


#ifndef _KEY_FILE_H_INCLUDED_
#define _KEY_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <stdlib.h>


/* The key's PEM as a string of JSON; encrypted where there is a password. */

static inline char *
key_pem(EVP_PKEY *pkey, const char *password)
{
    BIO   *bio = BIO_new(BIO_s_mem());
    char  *data, *text, *p;
    long   i, len;

    if (PEM_write_bio_PKCS8PrivateKey(bio, pkey,
                                      password ? EVP_aes_128_cbc() : NULL,
                                      password, password ? strlen(password) : 0,
                                      NULL, NULL)
        != 1)
    {
        abort();
    }

    len = BIO_get_mem_data(bio, &data);
    text = malloc(2 * len + 1);

    for (i = 0, p = text; i < len; i++) {
        if (data[i] == '\n') {
            *p++ = '\\';
            *p++ = 'n';

        } else {
            *p++ = data[i];
        }
    }

    *p = '\0';
    BIO_free(bio);

    return text;
}


/* As the console gives it out: a line ahead of the PEM, more members. */

static inline char *
key_file(const char *id, const char *account, const char *pem)
{
    char  *text;

    if (asprintf(&text, "{\n  \"id\": \"%s\",\n  \"service_account_id\": \"%s\","
                 "\n  \"created_at\": \"2026-01-01T00:00:00Z\",\n"
                 "  \"key_algorithm\": \"RSA_2048\",\n"
                 "  \"public_key\": \"-----BEGIN PUBLIC KEY-----\\n\",\n"
                 "  \"private_key\": \"PLEASE DO NOT REMOVE THIS LINE! Key ID "
                 "<%s>\\n%s\"\n}\n", id, account, id, pem)
        == -1)
    {
        abort();
    }

    return text;
}


#endif /* _KEY_FILE_H_INCLUDED_ */
