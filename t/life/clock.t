# A wall clock that is set by a day ends no key, and shares nothing for longer.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan skip_all => 'there is no libfaketime' if !defined $library;
plan skip_all => 'another library is preloaded' if $ENV{TEST_NGINX_LD_PRELOAD};

local $ENV{TEST_NGINX_LD_PRELOAD} = $library;
local @ENV{qw(FAKETIME_NO_CACHE FAKETIME_DISABLE_SHM DONT_FAKE_MONOTONIC
    FAKETIME_DONT_FAKE_MONOTONIC)} = (1) x 4;

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });
my $upstream = $t->emulator;
my $clock = $t->write_file('clock', "+0\n", 0644);
local $ENV{FAKETIME_TIMESTAMP_FILE} = $clock;

$t->define(GLOBALS => join "\n", $t->expand('%%TEST_GLOBALS%%'),
    map { "env $_;" } grep { /^FAKETIME|^DONT_FAKE/ } sort keys %ENV);
$t->run(<<'EOC');
%%GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider yandex { zone operations 1m; poll_interval 100ms 200ms; %%PROVIDER%% }
    server {
        listen 127.0.0.1:%%PORT%%;
        completion_async_model yandexgpt-lite;
        location /key   { completion_async yandex; completion_async_idempotency 1h; }
        location /cache { completion_async yandex; completion_async_cache 2s shared; }
    }
}
EOC


sub submit ($path) {
    return $t->request(POST => $path, body => "by $path",
        headers => { 'Content-Type' => 'text/plain', ($path eq '/key' ? ('Idempotency-Key' => 'key') : ()) });
}


my ($key, $cache) = map { submit($_) } '/key', '/cache';
is $_->{status}, 202, 'accepted' or diag $_->{body} for $key, $cache;
$t->poll_until_done($cache->header('Location'));

my ($day) = $t->request(GET => '/none')->header('Date') =~ /, (\d+)/;
$t->write_file('clock', "+1d\n", 0644);
ok wait_until(sub { ($t->request(GET => '/none')->header('Date') =~ /, (\d+)/)[0] != $day }),
    'the clock is a day ahead';
is submit('/key')->header('Location'), $key->header('Location'), 'a key has not ended';

$t->write_file('clock', "-1d\n", 0644);
ok wait_until(sub { submit('/cache')->header('Location') ne $cache->header('Location') }),
    'a day back, what is shared ends in its time';
is submit('/key')->header('Location'), $key->header('Location'), 'and a key does not';
is scalar $upstream->submits, 3, 'paid for';

$t->done;
