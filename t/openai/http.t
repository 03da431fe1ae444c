# OpenAI's interface without an SDK: paths, methods, headers, errors, who asks, configurations.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(encode_json);
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
my $e = $t->emulator;

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 4m; %%PROVIDER%% }
completion_async_model yandexgpt-lite;
server {
    listen 127.0.0.1:%%PORT%%;
    client_max_body_size 0;
    location /v1/   { completion_async_openai yandex; completion_async_models a b=c; }
    location /any   { completion_async_openai yandex; completion_async_wait 0; }
    location /named {
        completion_async_openai  yandex;
        completion_async_models  a;
        completion_async_owner   $completion_async_client_key;
    }
    location /shared { completion_async_openai yandex; completion_async_cache 1h shared; }
    location /own {
        completion_async_openai       yandex;
        completion_async_model        yandexgpt/latest;
        completion_async_message      system "First";
        completion_async_temperature  0.5;
        completion_async_max_tokens   7;
    }
    location /key { add_header X-Key "<$completion_async_client_key>" always; return 200; }
}
EOC

my %ask = (model => 'a', input => 'text', background => Mojo::JSON::true);


sub ask ($path, $body, %headers) {
    return $t->request(POST => $path, body => ref $body ? encode_json($body) : $body,
        headers => { 'Content-Type' => 'application/json', %headers });
}


# [METHOD, path, ...] gets an error of that status and code, in the envelope.
sub is_error ($r, $status, $code, $param, $name) {
    my $error = $r->json->{error};
    is $r->{status}, $status, $name;
    is $r->header('Content-Type'), 'application/json', '... in JSON';
    is_deeply [ sort keys %$error ], [qw(code message param type)], '... of the one shape';
    is $error->{code}, $code, '... its code';
    is $error->{param}, $param, '... its param';
    is $error->{type}, $status == 401 ? 'authentication_error' : $status == 429
        ? 'rate_limit_error' : $status < 500 ? 'invalid_request_error' : 'server_error',
        '... its type';
    is $r->header('x-should-retry'), $code =~ /^(?:not_ready|zone_full)$/ ? 'true' : 'false',
        '... whether to repeat it';
    like $r->header('X-Request-Id'), qr/^[0-9a-f]{32}$/, '... and of which request';
}


subtest 'paths and methods' => sub {
    my @case = (
        [ GET => '', 404 ], [ GET => '/', 404 ], [ POST => '/responses/', 404 ],
        [ POST => '/nothing', 404 ], [ GET => '/responses', 405 ], [ PUT => '/responses', 405 ],
        [ DELETE => '/chat/completions', 405 ], [ POST => '/models', 405 ],
        [ PATCH => '/responses/x', 405 ], [ GET => '/responses/x/cancel', 405 ],
        [ GET => '/responses/x/input_items', 404 ], [ GET => '/responses/x', 404 ],
        [ DELETE => '/responses/x', 404 ], [ POST => '/responses/resp_x/cancel', 404 ],
        [ GET => '/operations/x', 404 ],
    );
    for my $case (@case) {
        my ($method, $path, $status) = @$case;
        my $r = $t->request($method => "/any$path");
        is_error($r, $status, $status == 405 ? 'method_not_allowed' : 'operation_not_found', undef,
            "$method $path");
        ok $r->header('Allow'), '... what is allowed' if $status == 405;
    }
    is_error($t->request(POST => '/any/responses', body => 'x', headers => { 'Content-Type' => $_ }),
        415, 'unsupported_media_type', undef, $_) for 'text/plain', 'multipart/form-data';
    is_error($t->request(POST => '/any/responses', body => 'x' x (4 << 20 | 1),
        headers => { 'Content-Type' => 'application/json' }), 413, 'request_too_large', undef,
        'a body that is too long');

    my $r = $t->request(OPTIONS => '/any/responses');
    is $r->{status}, 200, 'OPTIONS';
    is $r->header('Allow'), 'POST, OPTIONS', '... what is allowed';
    is_deeply $r->json, {}, '... in JSON';
};

subtest 'bodies' => sub {
    my @broken = ('', '{', '[]', 'null', '{}', '{"model":"a"}', "{\"model\":\"a\",\"input\":\"\xff\"}",
        '{"model":"a","input":"x"}}', '{"model":{},"input":"x"}', '[' x 100, '{"a":' x 100,
        '{"model":"a","input":"a\u0000b"}', '{"model":"a","input":[null]}');
    for my $body (@broken) {
        my $r = ask('/v1/responses', $body);
        is $r->{status}, 400, substr $body, 0, 40;
        is_deeply [ sort keys %{ $r->json->{error} } ], [qw(code message param type)], '... refused';
    }
    is scalar $e->submits, 0, 'nothing was sent';
};

subtest 'headers' => sub {
    for my $accept ('application/json', 'text/plain', 'text/event-stream', 'image/png') {
        my $r = ask('/v1/responses', \%ask, Accept => $accept, Prefer => 'wait=1');
        is $r->{status}, 200, "Accept: $accept";
        is $r->header('Content-Type'), 'application/json', '... is not asked';
        is $r->header($_), undef, "... no $_" for qw(Location ETag Preference-Applied);
        is $r->header('Cache-Control'), 'no-store', '... not kept';
        cmp_ok $r->header('openai-poll-after-ms'), '>', 0, '... when to ask again';
        cmp_ok $r->header('Retry-After'), '<=', 60, '... in a minute at most';
        is $r->json->{status}, 'queued', '... queued';
    }
    my $stream = $t->start(POST => '/v1/responses', body => encode_json({ %ask,
        stream => Mojo::JSON::true }), headers => { 'Content-Type' => 'application/json',
        Accept => 'application/json' });
    my $id = ask('/v1/responses', \%ask)->json->{id};
    is $t->request(HEAD => "/v1/responses/$id")->{status}, 200, 'HEAD';
    $e->finish;
    my $r = $stream->response;
    is $r->header('Content-Type'), 'text/event-stream', 'a stream by the body';
    is $r->header('X-Accel-Buffering'), 'no', '... for proxies';
    like $r->header('X-Request-Id'), qr/^[0-9a-f]{32}$/, '... and of which request';
};

subtest 'the location wins' => sub {
    my $r = ask('/own/responses', { %ask, model => 'whatever', instructions => 'Second',
        temperature => 0.9, max_output_tokens => 100 });
    is $r->json->{model}, 'whatever', 'the name asked for';
    my $sent = ($e->submits)[-1]{json};
    is $sent->{modelUri}, 'gpt://' . $t->folder . '/yandexgpt/latest', 'the model';
    is_deeply $sent->{completionOptions}, { temperature => 0.5, maxTokens => '7' }, 'the options';
    is_deeply [ map { $_->{text} } @{ $sent->{messages} } ], [qw(First Second text)],
        'the messages, its own first';
    is_deeply [ map { $_->{id} } @{ $t->request(GET => '/own/models')->json->{data} } ], ['default'],
        'one model';
    is $t->request(GET => '/own/models/whatever')->{status}, 200, '... by every name';
    is_error(ask('/v1/responses', { %ask, model => 'c' }), 404, 'model_not_found', 'model',
        'what a name stands for is none');
};

subtest 'a wait' => sub {
    my $r = ask('/any/responses', { model => 'x', input => '[delay=60] text' });
    is_error($r, 504, 'not_ready', undef, 'that is over at once');
    cmp_ok $r->header('Retry-After'), '>', 0, '... when to come back';
    $r = ask('/any/chat/completions', { model => 'x', messages => [ { role => 'user',
        content => '[delay=60] text' } ] });
    is_error($r, 504, 'not_ready', undef, '... of a chat');
};

subtest 'what is shared' => sub {
    my $id = ask('/shared/responses', \%ask)->json->{id};
    is_error($t->request(POST => "/shared/responses/$id/cancel"), 409, 'request_conflict', undef,
        'is not cancelled');
    is_error($t->request(DELETE => "/shared/responses/$id"), 409, 'request_conflict', undef,
        '... nor deleted');
};

subtest 'who asks' => sub {
    my %digest = (
        'Bearer secret'          => sha256_hex('secret'),
        'bearer  secret '        => sha256_hex('secret'),
        'Api-Key secret'         => sha256_hex('secret'),
        'DeepL-Auth-Key other:x' => sha256_hex('other:x'),
        'Basic c2VjcmV0'         => '',
        'Bearer'                 => '',
        'Bearer '                => '',
        'Bearersecret'           => '',
        'secret'                 => '',
    );
    is $t->request(GET => '/key', headers => { Authorization => $_ })->header('X-Key'),
        "<$digest{$_}>", "'$_'" for sort keys %digest;
    is $t->request(GET => '/key')->header('X-Key'), '<>', 'nobody';

    my $r = $t->request(GET => '/named/models');
    is_error($r, 401, 'invalid_api_key', undef, 'no key');
    is $r->header('WWW-Authenticate'), 'Bearer', '... which one is asked for';
    is $t->request(GET => '/named/models', headers => { Authorization => 'Bearer x' })->{status},
        200, 'a key';
};

subtest 'configurations' => sub {
    my $provider = 'completion_async_provider yandex { zone z 1m; %%PROVIDER%% }';
    my %refused = (
        'location = /v1 { completion_async_openai yandex; completion_async_models a; }'
            => qr/needs a prefix location/,
        'location ~ /v1 { completion_async_openai yandex; completion_async_models a; }'
            => qr/needs a prefix location/,
        'location /v1 { completion_async_openai yandex; }' => qr/needs "completion_async_models"/,
        'location /v1 { completion_async_openai nobody; completion_async_models a; }'
            => qr/unknown provider "nobody"/,
        'location /v1 { completion_async_openai yandex; completion_async yandex; }'
            => qr/one handler in a location/,
        'location /v1 { completion_async_openai yandex; completion_async_openai yandex; }'
            => qr/is duplicate/,
        'location /v1 { proxy_pass http://127.0.0.1:1; completion_async_openai yandex; }'
            => qr/one handler in a location/,
        'location /v1 { completion_async_openai yandex; completion_async_models a;
            proxy_pass http://127.0.0.1:1; }' => qr/two handlers/,
        'location /v1 { completion_async yandex; completion_async_model a;
            proxy_pass http://127.0.0.1:1; }' => qr/two handlers/,
        'location /v1 { completion_async_metrics; completion_async_openai yandex; }'
            => qr/needs a location of its own/,
        'location /v1 { completion_async_models a a; }' => qr/"a" is named twice/,
        'location /v1 { completion_async_models a=; }' => qr/takes names of models/,
        'location /v1 { completion_async_models gpt://f/a; }' => qr/takes names of models/,
        'location /v1 { completion_async_models a; completion_async_models b; }' => qr/is duplicate/,
        'location /v1 { if ($arg_a) { completion_async_openai yandex; } }' => qr/not allowed here/,
    );
    for my $location (sort keys %refused) {
        my ($status, $output) = $t->nginx_t($t->http_conf(
            "$provider server { listen 127.0.0.1:%%PORT%%; $location }"));
        is $status, 1, $location =~ s/\s+/ /gr;
        like $output, $refused{$location}, '... and why';
    }
};

$t->done;
