use strict;
use warnings;
use v5.36;
use utf8;

# Which configurations are taken, and what they make of a request.

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
my ($certificate) = $t->certificate('bundle');

$t->write_file('one.id', 'k' x 32, 0600);
$t->write_file('two.id', join('', map { chr } 0 .. 63), 0600);
$t->write_file('iam.token', "t1.token\r\n\n", 0600);
$t->write_file('schema.json', <<'EOS');
{
    "type": "object", "required": ["перевод"],
    "properties": {"перевод": {"type": "string"}}
}
EOS


sub accepted ($name, $http) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = $t->nginx_t($t->http_conf($http));
    return is($status, 0, $name) || diag($output);
}


# A resolver spares nginx -t the names of the real service.
my $sample = <<'EOC';
    resolver 127.0.0.1:1;
    completion_async_provider yandex {
        zone      operations 32m;
        folder    b1g00000000000000000;
        api_key   file:%%API_KEY_FILE%%;
    }

    server {
        location /translate {
            completion_async              yandex;
            completion_async_model        yandexgpt-lite;
            completion_async_message      system "Переведи текст";
            completion_async_temperature  0.1;
            completion_async_max_tokens   2000;
        }
    }
EOC
accepted('the smallest complete configuration', $sample);

for my $line (
    'submit_url http://127.0.0.1:8080/foundationModels/v1/completionAsync',
    'submit_url https://[::1]:8443/v1/completionAsync', 'submit_url HTTPS://127.0.0.1',
    'operations_url https://operation.example.test/operations',
    'operations_url http://127.0.0.1/operations/',
    'id_key file:%%TESTDIR%%/one.id', 'id_key file:%%TESTDIR%%/one.id file:%%TESTDIR%%/two.id',
    'id_key file:one.id', 'data_logging on', 'data_logging off', 'tls_verify on', 'tls_verify off',
    "trusted_certificate $certificate", 'trusted_certificate bundle.crt',
    'proxy http://127.0.0.1:3128', 'proxy http://proxy.example.test:3128', 'proxy off',
    'connect_timeout 5s', 'request_timeout 500ms', 'max_response_size 64k',
    'poll_interval 500ms 30s', 'poll_interval 1s 1s',
    'submit_rate off', 'submit_rate 10r/s', 'submit_rate 10r/s 5000r/h', 'submit_rate 600r/m', 'poll_rate 50r/s',
    'submit_queue 0', 'submit_queue 100', 'submit_queue 100 10s', 'deadline 24h', 'deadline 72h',
    'retention 24h', 'retention 1s',
) {
    accepted($line, $sample =~ s/(zone .*;)/$1 $line;/r);
}
accepted('iam_token', $sample =~ s/api_key .*;/iam_token file:%%TESTDIR%%\/iam.token;/r);
accepted("metadata_token$_", $sample =~ s/api_key .*;/metadata_token$_;/r)
    for '', ' http://127.0.0.1:1/token', ' https://[::1]/';
accepted('a zone of sixteen pages', $sample =~ s/32m/64k/r)
    if POSIX::sysconf(POSIX::_SC_PAGESIZE()) == 4096;

for my $line (
    'completion_async_model gpt://b1gother/yandexgpt/latest', 'completion_async_model $arg_model',
    'completion_async_message user "a $arg_b"', 'completion_async_message assistant ""',
    'completion_async_temperature 0', 'completion_async_temperature 1',
    'completion_async_temperature 0.35', 'completion_async_temperature 1.0',
    'completion_async_max_tokens 1', 'completion_async_reasoning disabled',
    'completion_async_reasoning enabled_hidden', 'completion_async_response_format json',
    'completion_async_response_format %%TESTDIR%%/schema.json',
    'completion_async_response_format schema.json',
    'completion_async_owner $remote_user', 'completion_async_wait 0', 'completion_async_wait 55s',
    'completion_async_wait 30s default=30s', 'completion_async_wait 5s default=0',
    'completion_async_idempotency 72h', 'completion_async_idempotency 0',
    'completion_async_cache 1h shared', 'completion_async_cache off',
    'completion_async_split 3k', 'completion_async_split 16 max=157', 'completion_async_split off',
    'completion_async_operations_uri /operations/',
    'completion_async_operations_uri https://api.example.test/operations/',
    'completion_async_intercept_errors on', 'completion_async_intercept_errors off',
) {
    my $plain = $sample =~ s/^ +completion_async_(?!provider)\w+ .*;\n//gmr;
    accepted("$line in http", "$line;\n$plain");
    accepted("$line in a server", $plain =~ s/(server \{)/$1 $line;/r);
    accepted("$line in a location", $plain =~ s/(location.*\{)/$1 $line;/r);
    accepted("$line in an if block", $plain =~ s/(location.*\{)/$1 if (\$arg_x) { $line; }/r);
}
accepted('a cache for the owner', $sample =~ s/(location.*\{)/$1
    completion_async_owner \$remote_user; completion_async_cache 1h owner;/r);
accepted('a cache for the owner of the server', $sample =~ s/(location.*\{)/
    completion_async_owner \$remote_user; $1 completion_async_cache 1h owner;/r);
accepted('operations', $sample =~ s/(?=location)/
    location \/o\/ { completion_async_operations yandex; }/r);
accepted('two providers', $sample . <<'EOC');
    completion_async_provider second { zone second 1m; api_key file:%%API_KEY_FILE%%; }
EOC


# What reaches upstream

$t->write_file('part.conf', $t->expand(<<'EOC'));
    folder         %%FOLDER%%;
    api_key        file:%%API_KEY_FILE%%;
    include        %%TESTDIR%%/urls*.conf;
EOC
$t->write_file('urls.conf', $t->expand(<<'EOC'));
    submit_url     %%UPSTREAM%%/foundationModels/v1/completionAsync;
    operations_url %%UPSTREAM%%/operations;
EOC
$t->write_file('plain.key', $t->api_key . "\r\n\n", 0600);

my $conf = <<'EOC';
completion_async_model           of-http;
completion_async_message         system "http, first";
completion_async_message         user "http, $arg_name";
completion_async_temperature     0.5;
completion_async_max_tokens      500;
completion_async_reasoning       disabled;
completion_async_response_format json;
completion_async_operations_uri  /of-http/;
completion_async_wait            0;

server {
    listen 127.0.0.1:%%PORT%%;

    location = /inherits {
        completion_async yandex;
    }

    location /overrides {
        completion_async                 yandex;
        completion_async_model           gpt://%%FOLDER%%/of-location/latest;
        completion_async_message         assistant "location, only";
        completion_async_temperature     0;
        completion_async_max_tokens      50;
        completion_async_reasoning       enabled_hidden;
        completion_async_response_format %%TESTDIR%%/schema.json;
        completion_async_operations_uri  https://api.example.test/of-location/;

        location /overrides/nested {
            completion_async             yandex;
            completion_async_temperature 0.25;
        }

        if ($arg_if) {
            completion_async_message     system "if, only";
            completion_async_max_tokens  5;
        }
    }

    location /logged/ {
        completion_async logged;
    }
}

server {
    listen 127.0.0.1:%%PORT_1%%;

    completion_async_model            of-server;
    completion_async_message          system "server, only";
    completion_async_temperature      1.0;
    completion_async_response_format  %%TESTDIR%%/schema.json;
    completion_async_operations_uri   /of-server/;
    completion_async_owner            $http_x_user;
    completion_async_intercept_errors on;
    completion_async_wait             5s default=5s;
    error_page 403 415 = @refused;

    location @refused {
        return 418 "intercepted";
    }

    location ~ ^/inherits {
        completion_async yandex;
    }

    location /overrides {
        completion_async                  yandex;
        completion_async_response_format  json;
        completion_async_owner            $http_x_other;
        completion_async_intercept_errors off;
        completion_async_wait             2s;
    }
}

completion_async_provider yandex {
    zone           operations 1m;
    include        part.conf;
    id_key         %%ID_KEY%%;
}

completion_async_provider logged {
    zone           logged 1m;
    api_key        file:%%TESTDIR%%/plain.key;
    folder         %%FOLDER%%;
    submit_url     %%UPSTREAM%%/foundationModels/v1/completionAsync;
    operations_url %%UPSTREAM%%/operations/;
    data_logging   on;
}
EOC
$t->define(ID_KEY => 'file:two.id');
$t->run($t->http_conf($conf));

my $e = $t->emulator;
my $seen = 0;


# A submit, and what upstream got of it.
sub submit ($path, %arg) {
    my $r = $t->request(POST => $path, body => 'the text', %arg);
    my ($entry) = $e->journal(kind => 'submit', since => $seen);
    $seen = $entry->{n} if $entry;
    return ($r, $entry && $entry->{json}, $entry && $entry->{headers});
}


sub model ($name) { 'gpt://' . $t->folder . "/$name" }
sub messages ($json) { [ map { "$_->{role}: $_->{text}" } @{ $json->{messages} } ] }

my $schema = { type => 'object', required => ['перевод'],
    properties => { 'перевод' => { type => 'string' } } };

my ($r, $json, $headers) = submit('/inherits?name=n');
is $r->{status}, 202, 'everything is inherited from http';
is $json->{modelUri}, model('of-http'), '... the model';
is_deeply messages($json), [ 'system: http, first', 'user: http, n', 'user: the text' ],
    '... the messages';
cmp_ok $json->{completionOptions}{temperature}, '==', 0.5, '... the temperature';
cmp_ok $json->{completionOptions}{maxTokens}, '==', 500, '... the number of tokens';
is $json->{completionOptions}{reasoningOptions}{mode}, 'DISABLED', '... the reasoning';
ok $json->{jsonObject}, '... the format';
ok !exists $json->{jsonSchema}, '... and one format only';
like $r->header('Location'), qr{^/of-http/[A-Za-z0-9_-]+$}, '... the URI of operations';
is $headers->{'x-folder-id'}, $t->folder, 'upstream gets the folder';
is $headers->{authorization}, 'Api-Key ' . $t->api_key, '... the key';
is $headers->{'x-data-logging-enabled'}, 'false', '... and shall not log the prompt';
is $headers->{'content-type'}, 'application/json', '... JSON';

($r, $json) = submit('/overrides');
is $r->{status}, 202, 'a location overrides all of http';
is $json->{modelUri}, model('of-location/latest'), '... the model, as a URI';
is_deeply messages($json), [ 'assistant: location, only', 'user: the text' ], '... the messages';
cmp_ok $json->{completionOptions}{temperature}, '==', 0, '... the temperature';
cmp_ok $json->{completionOptions}{maxTokens}, '==', 50, '... the number of tokens';
is $json->{completionOptions}{reasoningOptions}{mode}, 'ENABLED_HIDDEN', '... the reasoning';
is_deeply $json->{jsonSchema}{schema}, $schema, '... the format';
ok !exists $json->{jsonObject}, '... and one format only';
like $r->header('Location'), qr{^https://api\.example\.test/of-location/[A-Za-z0-9_-]+$},
    '... the URI of operations';

($r, $json) = submit('/overrides/nested');
is $r->{status}, 202, 'a nested location inherits from its location';
is $json->{modelUri}, model('of-location/latest'), '... the model';
is_deeply messages($json), [ 'assistant: location, only', 'user: the text' ], '... the messages';
cmp_ok $json->{completionOptions}{temperature}, '==', 0.25, '... but for what it sets';
is_deeply $json->{jsonSchema}{schema}, $schema, '... the format';
like $r->header('Location'), qr{^https://api\.example\.test/of-location/},
    '... the URI of operations';

($r, $json) = submit('/overrides?if=1');
is $r->{status}, 202, 'an if block inherits from its location';
is $json->{modelUri}, model('of-location/latest'), '... the model';
is_deeply messages($json), [ 'system: if, only', 'user: the text' ], '... but not the messages';
cmp_ok $json->{completionOptions}{maxTokens}, '==', 5, '... nor what else it sets';
like $r->header('Location'), qr{^https://api\.example\.test/of-location/},
    '... the URI of operations';

($r, $json) = submit('/inherits', port => $t->port(1), headers => { 'X-User' => 'a' });
is $r->{status}, 200, 'a server overrides http: its wait';
ok $r->json->{done}, '... is long enough';
is $json->{modelUri}, model('of-server'), '... its model';
is_deeply messages($json), [ 'system: server, only', 'user: the text' ], '... its messages';
cmp_ok $json->{completionOptions}{temperature}, '==', 1, '... its temperature';
cmp_ok $json->{completionOptions}{maxTokens}, '==', 500, '... the rest is of http';
is_deeply $json->{jsonSchema}{schema}, $schema, '... its format';
ok !exists $json->{jsonObject}, '... and one format only';

($r, $json) = submit('/inherits', port => $t->port(1));
is $r->{status}, 418, '... its owner is needed, and its error_page intercepts';
is $json, undef, '... nothing is submitted';

($r, $json) = submit('/overrides', port => $t->port(1), headers => { 'X-Other' => 'a' });
is $r->{status}, 202, 'a location overrides its server: the wait';
ok $json->{jsonObject}, '... the format, by one of another kind';
ok !exists $json->{jsonSchema}, '... and one format only';
like $r->header('Location'), qr{^/of-server/}, '... the rest is of the server';

$r = $t->request(GET => '/overrides/operations/' . ($r->header('Location') =~ s{.*/}{}r),
    port => $t->port(1), headers => { 'X-Other' => 'a', Prefer => 'wait=2' });
is $r->{status}, 200, '... and its own limit holds';
ok $r->json->{done}, '... for a wait that is asked for';

($r, $json) = submit('/overrides', port => $t->port(1), headers => { 'X-User' => 'a' });
is $r->{status}, 403, '... the owner is another';
is $r->header('Content-Type'), 'application/problem+json', '... and errors are not intercepted';

$e->set(delay => 30);
($r, $json) = submit('/inherits', headers => { Prefer => 'wait=50' });
is $r->{status}, 202, 'a wait of 0, inherited, holds nobody';
$e->set(delay => 0.05);

($r, $json, $headers) = submit('/logged/');
is $r->{status}, 202, 'line ends behind a secret are dropped';
ok !exists $headers->{'x-data-logging-enabled'}, 'data_logging on leaves the header out';
$t->poll_until_done('/logged/operations/' . ($r->header('Location') =~ s{.*/}{}r));
my ($poll) = reverse $e->journal(kind => 'poll');
like $poll->{path}, qr{^/operations/[a-z0-9]+$}, 'an id is one segment behind operations_url';


# The first id_key signs, all verify.

my $id = (submit('/inherits'))[0]->header('Location') =~ s{.*/}{}r;
my $get = sub { $t->request(GET => "/overrides/operations/$id")->{status} };

$t->define(ID_KEY => 'file:one.id file:two.id');
$t->conf($t->http_conf($conf));
ok $t->reload(wait_old => 1), 'a new id_key goes before the old one';
is $get->(), 200, '... which still verifies';
my $new = (submit('/inherits'))[0]->header('Location') =~ s{.*/}{}r;

$t->define(ID_KEY => 'file:one.id');
$t->conf($t->http_conf($conf));
ok $t->reload(wait_old => 1), '... and the old one goes';
is $get->(), 404, '... with its ids';
$id = $new;
is $get->(), 200, '... but not those of the new one';
$t->done;
