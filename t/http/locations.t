use strict;
use warnings;
use v5.36;
use utf8;

# The shapes of locations, and what below them is whose.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
my $e = $t->emulator;

$t->write_file('id.key', 'k' x 64, 0600);
$t->write_file('public.txt', 'public');
mkdir $t->testdir . '/outer';
$t->write_file('outer/file', 'static');

$t->define(ZONE => '1m', LITERAL_PERCENT => '%');
my $conf = <<'EOC';
completion_async_provider yandex {
    zone operations %%ZONE%%; poll_interval 50ms 1s;
    id_key file:%%TESTDIR%%/id.key; %%PROVIDER%%
}
completion_async_provider second {
    zone others 1m; poll_interval 50ms 1s;
    id_key file:%%TESTDIR%%/id.key; %%PROVIDER%%
}
completion_async_model yandexgpt-lite;

server {
    listen 127.0.0.1:%%PORT%%;

    location /translate            { completion_async yandex; }
    location /slash/               { completion_async yandex; }
    location ^~ /caret             { completion_async yandex; }
    location /second               { completion_async second; }
    location /owned                { completion_async yandex; completion_async_owner $arg_owner; }
    location "/Ж b#c?d%%LITERAL_PERCENT%%e" { completion_async yandex; }

    location = /exact {
        completion_async                yandex;
        completion_async_operations_uri /ops/;
    }
    location ~ ^/regex/[0-9]+$ {
        completion_async                yandex;
        completion_async_operations_uri /opslash/;
    }
    location /named                { try_files /missing @named; }
    location @named {
        completion_async                yandex;
        completion_async_operations_uri https://api.example.test:8443/ops/;
    }
    location /rewritten            { rewrite ^/rewritten(.*)$ /translate$1 last; }

    location /ops                  { completion_async_operations yandex; }
    location /opslash/             { completion_async_operations yandex; }

    location = /foundationModels/v1/completionAsync {
        completion_async                yandex;
        completion_async_operations_uri /operations/;
    }
    location /operations/          { completion_async_operations yandex; }

    location /if {
        completion_async yandex;
        if ($arg_model) {
            completion_async_model $arg_model;
        }
        if ($arg_second) {
            completion_async                second;
            completion_async_operations_uri /second/operations/;
        }
    }
    location /only-if {
        completion_async_operations_uri /ops/;
        if ($arg_on) {
            completion_async yandex;
        }
    }

    location /outer {
        completion_async yandex;
        location /outer/file   { }
        location /outer/nested { completion_async yandex; }
    }

    location /limited {
        completion_async yandex;
        limit_except GET {
            allow 127.0.0.1;
            deny  all;
        }
    }
    location /read-only {
        completion_async yandex;
        limit_except GET {
            deny all;
        }
    }

    location = /public.txt         { auth_request /auth; }
    location = /auth               { rewrite ^ /translate/operations/$http_x_id last; }
    location = /submit.txt         { auth_request /translate; }
    location /page {
        ssi          on;
        default_type text/html;
    }
    location = /mirrored {
        mirror     /translate;
        proxy_pass http://127.0.0.1:%%PORT%%/fine;
    }
    location = /fine               { return 200 "fine"; }
}

server {
    listen 127.0.0.1:%%PORT_1%%;
    location / { completion_async yandex; }
}
EOC
$t->run($t->http_conf($conf));


sub submits { scalar(() = $e->submits) }


# Submits, and follows the Location; returns the id.
sub works ($path, $prefix, %arg) {
    my $name  = delete $arg{name} // "POST $path";
    my %other = map { $_ => $arg{$_} } grep { exists $arg{$_} } 'port';
    my $count = submits();
    my $r = $t->request(POST => $path, body => 'text', %arg);
    my $location = $r->header('Location') // '';

    is $r->{status}, 202, "$name submits";
    is submits(), $count + 1, '... once';
    like $location, qr/^\Q$prefix\E[A-Za-z0-9_-]+$/, '... its Location is relative, as it is';
    my ($id) = $location =~ m{([A-Za-z0-9_-]+)$};

    if ($location =~ m{^/}) {
        $r = $t->poll_until_done($location, %other);
        is $r->{status}, 200, '... polled';
        is $r->json && $r->json->{id}, $id, '... by its id';
    }
    return $id;
}


sub not_found ($method, $path, %arg) {
    my $count = submits();
    my $r = $t->request($method => $path, $method eq 'POST' ? (body => 'text') : (), %arg);

    is $r->{status}, 404, "$method $path is not found";
    is $r->header('Content-Type'), 'application/problem+json', '... and says so itself';
    is $r->json && $r->json->{code}, 'operation_not_found', '... with its code';
    is submits(), $count, '... and submits nothing';
}


sub allow ($r) { join ' ', sort split /\s*,\s*/, $r->header('Allow') // '' }


# Submits

my $id = works('/translate', '/translate/operations/');
works('/translate/', '/translate/operations/');
works('/translate?a=b', '/translate/operations/');
works('/slash/', '/slash/operations/');
works('/caret', '/caret/operations/');
works('/exact', '/ops/');
works('/regex/17', '/opslash/');
works('/named', 'https://api.example.test:8443/ops/');
works('/rewritten', '/translate/operations/');
works('/outer', '/outer/operations/');
works('/outer/nested', '/outer/nested/operations/');
works('/if', '/if/operations/');
works('/if?second=1', '/second/operations/');
works('/only-if?on=1', '/ops/');
works('/limited', '/limited/operations/');
works('/', '/operations/', port => $t->port(1));
works('/%D0%96%20b%23c%3Fd%25e', '/%D0%96%20b%23c%3Fd%25e/operations/');

works('/foundationModels/v1/completionAsync', '/operations/', name => 'a native request',
    headers => { 'Content-Type' => 'application/json' },
    body => '{"modelUri":"gpt://' . $t->folder . '/x","messages":[{"role":"user","text":"a"}]}');

my $model = sub { (reverse $e->submits)[0]{json}{modelUri} =~ s{.*/}{}r };
works('/if?model=other', '/if/operations/');
is $model->(), 'other', 'an if block has a model of its own';
works('/if', '/if/operations/');
is $model->(), 'yandexgpt-lite', '... which is not that of its location';


is $t->request(POST => '/slash', body => 'text')->{status}, 404,
    'a location with a slash does not get what comes without';


# Ids belong to a provider.

for my $path ("/translate/operations/$id", "/slash/operations/$id", "/if/operations/$id",
    "/if/operations/$id?model=other", "/ops/$id", "/opslash/$id", "/operations/$id",
    "/rewritten/operations/$id", "/limited/operations/$id", "/read-only/operations/$id",
    "/outer/operations/$id", "/outer/nested/operations/$id",
    "/%D0%96%20b%23c%3Fd%25e/operations/$id")
{
    my $r = $t->request(GET => $path);
    is $r->{status}, 200, "GET $path";
    is $r->json && $r->json->{id}, $id, '... is that operation';
}
is $t->request(GET => "/operations/$id", port => $t->port(1))->{status}, 200, '... in any server';
not_found(GET => "/second/operations/$id");
not_found(GET => "/if/operations/$id?second=1");
not_found(GET => "/owned/operations/$id?owner=me");


# What lies below

for my $path ('/translate/foo', '/translatefoo', '/translate/foo/operations/x',
    '/translate/operations', '/translate/operations/', "/translate/operationsx/$id",
    "/translate/operations/$id/", "/translate/operations/$id/x", "/translate/operations$id",
    '/translate/operations/:cancel', "/translate/$id", '/slash/foo', '/slash//operations',
    '/ops', '/ops/', "/ops$id", "/ops/$id/", "/ops/operations/$id", '/opslash/', '/caretx')
{
    not_found(GET => $path);
    # A malformed id stands where an operation would: its methods come first.
    not_found(POST => $path) if $path !~ m{^/(?:translate/operations|ops)/.};
}
not_found(OPTIONS => '/translate/foo');
not_found(DELETE => '/translate/foo');
not_found(GET => $_, port => $t->port(1)) for '/foo', '/operations/', '/operationsfoo', "/$id";


# Handlers that are not inherited

my $count = submits();
my $r = $t->request(GET => '/outer/file');
is $r->{status}, 200, 'a nested location does not inherit the handler';
is $r->{body}, 'static', '... it serves files';
isnt $t->request(POST => '/outer/file', body => 'text')->{status}, 202, '... and no submit';
isnt $t->request(POST => '/only-if', body => 'text')->{status}, 202,
    'a location does not have the handler of its if block';
is $t->request(POST => '/read-only', body => 'text')->{status}, 403,
    'limit_except guards the submit';
is $t->request(DELETE => "/read-only/operations/$id")->{status}, 403, '... and the cancel';
is submits(), $count, '... nothing is submitted';
is $t->request(DELETE => "/limited/operations/$id")->{status}, 200,
    '... and lets through what it allows';


# Methods

for my $case (
    [ 'POST OPTIONS' => [ qw(GET HEAD PUT DELETE PATCH PROPFIND FOO) ],
        '/translate', '/translate/', '/exact', '/regex/1', '/named', '/if?model=x',
        "/translate/operations/$id:cancel", "/ops/$id:cancel" ],
    [ 'GET HEAD DELETE OPTIONS' => [ qw(POST PUT PATCH FOO) ],
        "/translate/operations/$id", "/ops/$id", "/opslash/$id", "/if/operations/$id?model=x" ],
) {
    my ($allowed, $methods, @paths) = @$case;
    $allowed = join ' ', sort split / /, $allowed;

    for my $path (@paths) {
        $r = $t->request(OPTIONS => $path);
        is $r->{status}, 204, "OPTIONS $path";
        is allow($r), $allowed, '... says what is allowed';
        is $r->{body}, '', '... and nothing else';
    }
    for my $path (@paths[ 0, -1 ]) {
        for my $method (@$methods) {
            $r = $t->request($method => $path, $method =~ /^P/ ? (body => 'text') : ());
            is $r->{status}, 405, "$method $path is not allowed";
            is allow($r), $allowed, '... says what is';
            is $r->json && $r->json->{code}, 'method_not_allowed', '... with its code'
                if $method ne 'HEAD';
        }
    }
}
is submits(), $count, '... nothing is submitted';
is $t->request(POST => "/ops/$id:cancel")->{status}, 200, 'POST to cancel';


# Subrequests

# They neither wait nor stream, whatever the client prefers.
$e->set(delay => 30);
my $pending = $t->submit('slow')->{id};
$e->set(delay => 0.05);

sub quickly ($status, $name, @request) {
    my $got = $t->request(@request, timeout => 10);
    is $got->{status}, $status, "$name: without a wait";
    return $got;
}

my %prefers = (Prefer => 'wait=50');
my %streams = (Accept => 'text/event-stream');
for my $case (
    [ 'an operation' => {} ],
    [ 'a wait'       => \%prefers ],
    [ 'a stream'     => \%streams ],
) {
    my ($name, $headers) = @$case;
    $r = quickly(200, "auth_request of $name", GET => '/public.txt',
        headers => { 'X-Id' => $pending, %$headers });
    is $r->{body}, 'public', '... lets through';

    $t->write_file('page', "a<!--# include virtual=\"/ops/$pending\" -->z");
    $r = quickly(200, "an include of $name", GET => '/page', headers => $headers);
    like $r->{body}, qr/^a\{.*"\Q$pending\E".*\}z$/s, '... has the Operation';
}
quickly(500, 'auth_request of an unknown operation', GET => '/public.txt',
    headers => { 'X-Id' => 'nothing' });
quickly(500, 'auth_request of a submit, which has no body', GET => '/submit.txt');

$t->write_file('page', 'a<!--# include virtual="/translate" -->z');
$r = quickly(200, 'an include of a submit', GET => '/page');
$t->write_file('page', 'a<!--# include virtual="/translate" -->'
    . "<!--# include virtual=\"/ops/$id\" --><!--# include virtual=\"/ops/$pending\" -->z");
$r = quickly(200, 'an include of several', GET => '/page');
like $r->{body}, qr/^a.*"\Q$id\E".*"\Q$pending\E".*z$/s, '... in their order';

$count = submits();
$r = quickly(200, 'a mirrored submit', POST => '/mirrored', body => 'mirrored',
    headers => \%prefers);
is $r->{body}, 'fine', '... does not change the answer';
ok $e->wait_for(submit => $count + 1, 5), '... arrives';
is submits(), $count + 1, '... once';
is +(reverse $e->submits)[0]{json}{messages}[0]{text}, 'mirrored', '... with its body';

# In an empty zone each of them is adopted, which takes a request to upstream.
$t->define(ZONE => '2m');
$t->conf($t->http_conf($conf));
ok $t->reload(wait_old => 1), 'a new zone';
$t->write_file('page', "a<!--# include virtual=\"/ops/$pending\" -->"
    . "<!--# include virtual=\"/ops/$id\" -->z");
$r = quickly(200, 'an include of two adopted operations', GET => '/page', headers => \%prefers);
like $r->{body}, qr/^a\{.*"\Q$pending\E".*\}\{.*"\Q$id\E".*\}z$/s, '... has them';

$id = $t->submit('more')->{id};
$t->define(ZONE => '1m');
$t->conf($t->http_conf($conf));
ok $t->reload(wait_old => 1), 'one more';
$r = quickly(200, 'auth_request of an adopted operation', GET => '/public.txt',
    headers => { 'X-Id' => $id, %streams });
is $r->{body}, 'public', '... lets through';
$e->finish;
$t->done;
