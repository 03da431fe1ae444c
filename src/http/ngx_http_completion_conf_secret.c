
/*
 * The secrets of a provider: how the configuration names them, and what can
 * be wrong with their files.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <grp.h>
#include <openssl/rand.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "ngx_http_completion_conf.h"


/* an id key made for want of a configured one; the master remembers it */
typedef struct ngx_http_completion_random_s  ngx_http_completion_random_t;

struct ngx_http_completion_random_s {
    ngx_http_completion_random_t  *next;
    ngx_completion_secret_t       *key;
    ngx_str_t                      name;
};


static ngx_http_completion_random_t *ngx_http_completion_random_find(
    ngx_str_t *name);
static ngx_http_completion_random_t *ngx_http_completion_random_create(
    ngx_conf_t *cf, ngx_str_t *name);
static void ngx_http_completion_check_file(ngx_cycle_t *cycle,
    ngx_completion_place_t *place, ngx_str_t *path, const char *follows);


static ngx_http_completion_random_t  *ngx_http_completion_random_keys;


char *
ngx_http_completion_id_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_completion_block_t *block = conf;

    char                     *rv;
    ngx_str_t                *value, *key, path;
    ngx_uint_t                i;
    ngx_array_t              *keys;
    ngx_file_info_t           info;
    ngx_completion_secret_t  *secret;

    value = cf->args->elts;

    keys = ngx_array_create(cf->pool, cf->args->nelts - 1, sizeof(ngx_str_t));
    if (keys == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        key = ngx_array_push(keys);

        rv = ngx_completion_credential_file(cf, &value[i], &path, &secret,
                                            &info);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        *key = secret->value;

        if (key->len < NGX_COMPLETION_ID_KEY_MIN) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"id_key\" \"%V\" has %uz bytes, at least %d "
                               "are needed, for example from "
                               "\"openssl rand 64\"", &value[i], key->len,
                               NGX_COMPLETION_ID_KEY_MIN);
            return NGX_CONF_ERROR;
        }
    }

    block->service->id_keys = keys;

    return NGX_CONF_OK;
}


/*
 * Ids that were given out before there was an "id_key" stay good while the
 * master lives: the random key verifies them.  As the last one it still finds
 * keys and equal requests; other nodes find them by the last configured one.
 */

ngx_int_t
ngx_http_completion_id_keys(ngx_conf_t *cf, ngx_completion_service_t *service)
{
    ngx_str_t                     *key;
    ngx_uint_t                     n;
    ngx_http_completion_random_t  *random;

    random = ngx_http_completion_random_find(&service->name);

    if (service->id_keys == NULL) {

        if (random == NULL) {
            random = ngx_http_completion_random_create(cf, &service->name);
        }

        if (random == NULL) {
            return NGX_ERROR;
        }

        service->id_keys = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
        if (service->id_keys == NULL) {
            return NGX_ERROR;
        }

        key = ngx_array_push(service->id_keys);
        *key = random->key->value;

        return NGX_OK;
    }

    if (random == NULL) {
        return NGX_OK;
    }

    n = service->shared ? 2 : 1;

    key = ngx_array_push_n(service->id_keys, n);
    if (key == NULL) {
        return NGX_ERROR;
    }

    key[0] = random->key->value;

    if (n == 2) {
        key[1] = key[-1];
    }

    return NGX_OK;
}


static ngx_http_completion_random_t *
ngx_http_completion_random_find(ngx_str_t *name)
{
    ngx_http_completion_random_t  *random;

    for (random = ngx_http_completion_random_keys;
         random;
         random = random->next)
    {
        if (random->name.len == name->len
            && ngx_strncmp(random->name.data, name->data, name->len) == 0)
        {
            return random;
        }
    }

    return NULL;
}


/* it survives reloads, as the master that read the configuration does */

static ngx_http_completion_random_t *
ngx_http_completion_random_create(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_completion_secret_t       *secret;
    ngx_http_completion_random_t  *random;

    random = ngx_alloc(sizeof(ngx_http_completion_random_t) + name->len,
                       cf->log);
    secret = ngx_completion_secret_create(NGX_COMPLETION_ID_KEY_MIN, cf->log);

    if (random == NULL || secret == NULL
        || RAND_bytes(secret->value.data, secret->value.len) != 1)
    {
        ngx_free(random);
        ngx_completion_secret_destroy(secret);
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no random bytes for the ids of provider \"%V\", "
                           "use \"id_key\"", name);
        return NULL;
    }

    random->key = secret;
    random->name.len = name->len;
    random->name.data = (u_char *) (random + 1);
    ngx_memcpy(random->name.data, name->data, name->len);

    random->next = ngx_http_completion_random_keys;
    ngx_http_completion_random_keys = random;

    ngx_conf_log_error(NGX_LOG_NOTICE, cf, 0,
                       "provider \"%V\" has no \"id_key\": the ids given out "
                       "survive reloads, but not a restart", name);

    return random;
}


void
ngx_http_completion_check_files(ngx_cycle_t *cycle,
    ngx_http_completion_main_conf_t *cmcf)
{
    ngx_uint_t                  i;
    ngx_core_conf_t            *ccf;
    ngx_completion_service_t  **service;
    ngx_completion_provider_t  *p;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    /* without root's rights, workers run as ourselves, who have read it */

    if (geteuid() != 0 || ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT
        || ccf->user == 0)
    {
        return;
    }

    service = cmcf->services.elts;

    for (i = 0; i < cmcf->services.nelts; i++) {
        p = &service[i]->provider;

        ngx_http_completion_check_file(cycle, &service[i]->place,
                                       &p->credential.file,
                                       "changes of it need a reload");

        if (service[i]->shared) {
            ngx_http_completion_check_file(cycle, &service[i]->place,
                                           &service[i]->shared->password,
                                           "changes of it need a reload");
        }

        /* libcurl reads it, in a worker */

        ngx_http_completion_check_file(cycle, &service[i]->place,
                                       &p->submit.trusted_certificate,
                                       "no upstream can be verified with it");
    }
}


/*
 * The kernel is asked, as it would be by a worker: only it knows of links,
 * of every directory on the way and of access control lists.
 */

static void
ngx_http_completion_check_file(ngx_cycle_t *cycle,
    ngx_completion_place_t *place, ngx_str_t *path, const char *follows)
{
    int               n, dumpable;
    gid_t            *groups;
    ngx_fd_t          fd;
    ngx_core_conf_t  *ccf;

    if (path->len == 0) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    n = getgroups(0, NULL);
    groups = ngx_alloc((n + 1) * sizeof(gid_t), cycle->log);

    if (n == -1 || groups == NULL || getgroups(n, groups) != n) {
        goto done;
    }

    dumpable = prctl(PR_GET_DUMPABLE);

    if (initgroups(ccf->username, ccf->group) == -1) {
        goto done;
    }

    (void) setfsgid(ccf->group);
    (void) setfsuid(ccf->user);

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    (void) setfsuid(geteuid());
    (void) setfsgid(getegid());

    if (setgroups(n, groups) == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "setgroups() failed");
    }

    if (dumpable == 1) {
        (void) prctl(PR_SET_DUMPABLE, 1);
    }

    if (fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(fd);

    } else {
        /*
         * A warning of the configuration belongs to whoever types "nginx -t",
         * too, whatever the level of the log, which is open already: unlike
         * the macro, the function leaves the levels to each of its outputs.
         */

        ngx_log_error_core(NGX_LOG_WARN, cycle->log, 0,
                           "\"%V\" cannot be read by the workers' user "
                           "\"%s\": %s, in %V:%ui", path, ccf->username,
                           follows, &place->file, place->line);
    }

done:

    ngx_free(groups);
}
