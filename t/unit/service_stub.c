
#include "service_stub.h"

#include "../../src/dialect/yandex/ngx_completion_yandex.h"

#include <stdio.h>
#include <stdlib.h>
#include <utime.h>


ngx_completion_service_t             service;
ngx_completion_zone_t               *zone;

static ngx_conf_t                    cf;
static ngx_cycle_t                   cycle;
static ngx_array_t                   services;
static ngx_array_t                   id_keys;
static ngx_str_t                     id_key =
                         ngx_string("the key of ids, of thirty-two bytes");
static ngx_completion_service_t     *pointer = &service;
static ngx_completion_yandex_conf_t  conf;

static char                          path[64];
static ngx_completion_secret_t      *secret;


void
service_file(const char *content)
{
    FILE            *f;
    struct utimbuf   old = { 1, 1 };

    if (content == NULL) {
        unlink(path);
        return;
    }

    /* another file each time, and one that has been left alone */

    unlink(path);

    f = fopen(path, "w");
    fputs(content, f);
    fclose(f);

    utime(path, &old);
}


void
service_begins(ngx_uint_t token, ngx_msec_t per)
{
    ngx_err_t                      err;
    static ngx_str_t               name = ngx_string("operations");
    ngx_completion_provider_t     *p;
    ngx_completion_credential_t   *c;

    stub_reset();
    shim_worker();

    memset(&service, 0, sizeof(service));

    service.name = (ngx_str_t) ngx_string("yandex");
    service.log = &shim_log;
    service.id_keys = &id_keys;

    id_keys.elts = &id_key;
    id_keys.nelts = 1;
    service.submit_memory = 64 * 1024 * 1024;

    p = &service.provider;
    p->request_timeout = 10000;
    p->submit.connect_timeout = 1000;
    p->submit.url = (ngx_str_t) ngx_string("http://submit/");
    p->operations.url = (ngx_str_t) ngx_string("http://operations/");
    p->operations.target = (ngx_str_t) ngx_string("/");
    p->tenant = (ngx_str_t) ngx_string("b1gexample0000000000");
    p->dialect = &ngx_completion_yandex;
    p->conf = &conf;

    c = &p->credential;
    c->kind = token ? &ngx_completion_yandex_metadata_token
                    : &ngx_completion_yandex_api_key;
    c->service.url = (ngx_str_t) ngx_string("http://metadata/");

    if (!token) {
        snprintf(path, sizeof(path), "/tmp/service.%d", (int) getpid());
        service_file("first");

        c->file.data = (u_char *) path;
        c->file.len = strlen(path);

        if (ngx_completion_secret_read(&c->file, &shim_log, &secret, &c->info,
                                       &err)
            != NULL)
        {
            abort();
        }

        c->secret = secret;
    }

    cf.pool = ngx_create_pool(1024, &shim_log);
    zone = ngx_completion_zone_add(&cf, &name, 131072, &service);
    zone->poll_rate.n = 50;
    zone->poll_rate.unit = 1000;
    zone->poll_min = 1000;
    zone->poll_max = 10000;
    zone->poll_lease = 11000;
    zone->deadline = 3600000;
    zone->retention = 3600;
    zone->lifetime = 72 * 3600;
    zone->submit_queue = 2;
    zone->submit_queue_time = 60000;

    if (per) {
        zone->submit_rates[0].n = 1;
        zone->submit_rates[0].unit = per;
    }

    zone->shm_zone->init(zone->shm_zone, NULL);
    service.zone = zone;

    cycle.log = &shim_log;
    cycle.pool = cf.pool;
    cycle.connection_n = 64;
    ngx_cycle = &cycle;

    services.elts = &pointer;
    services.nelts = 1;

    if (ngx_completion_worker_start(&cycle, &services) != NGX_OK) {
        abort();
    }
}


ngx_completion_fetch_t *
service_get(const char *suffix)
{
    int  i;

    for (i = 0; stub_started[i]; i++) {
        if (stub_started[i]->origin == &service.provider.operations
            && stub_started[i]->suffix.len == strlen(suffix)
            && memcmp(stub_started[i]->suffix.data, suffix, strlen(suffix))
               == 0)
        {
            return stub_started[i];
        }
    }

    return NULL;
}


int
service_ended(void)
{
    int  left;

    ngx_completion_worker_exit();

    ngx_destroy_pool(cf.pool);

    left = stub_transfers + (shim_bytes != 0) + (shim_next() != -1);

    if (secret) {
        ngx_completion_secret_destroy(secret);
        secret = NULL;
        unlink(path);
    }

    shim_worker();

    return left == 0;
}


ngx_completion_fetch_t *
service_token(void)
{
    int  i;

    for (i = 0; stub_started[i]; i++) {
        if (stub_started[i]->origin == &service.provider.credential.service) {
            return stub_started[i];
        }
    }

    return NULL;
}
