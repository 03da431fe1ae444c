# The directive "redis": what it takes, what nginx -t says of what it does not, and that nothing of
# it waits for a server.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Test;

my $t    = CompletionAsync::Test->new(emulator => 0);
my $id   = $t->secret_file('id.key', 'k' x 64);
my $pass = $t->secret_file('redis.key', "a-password-of-redis\n");
my $none = $t->secret_file('none.key', "\n");
my $two  = $t->secret_file('two.key', "one-line\nanother-line\n");
my $cert = ($t->certificate('bundle'))[0];
my $text = $t->write_file('text.pem', "not a certificate\n");
$t->secret('a-password-of-redis', 'hunter2hunter2');


# What nginx -t says of a provider with this in it.
sub said ($lines, $http = '') {
    return $t->nginx_t($t->http_conf(<<"EOC"));
$http
completion_async_provider yandex {
    zone operations 1m; folder f; api_key file:$pass;
    submit_url http://127.0.0.1:1/s; operations_url http://127.0.0.1:1/o;
    $lines
}
EOC
}


for my $good (
    'redis://127.0.0.1', 'redis://127.0.0.1:1/15', 'rediss://localhost', 'valkey://[::1]:1', 'valkeys://localhost',
    'unix:/nowhere/redis.sock', 'unix:/nowhere/redis.sock:3', "redis://127.0.0.1 password=file:$pass",
    "redis://127.0.0.1 user=nginx password=file:$pass \"prefix={nodes}\" timeout=1s nodes=3 keys=strict",
    "rediss://127.0.0.1 user=nginx password=file:$pass prefix=p timeout=250ms nodes=1000 keys=local"
        . " trusted_certificate=$cert",
) {
    my ($status, $output) = said("id_key file:$id; redis $good;");
    is $status, 0, $good =~ s/file:\S+/file/r or diag($output);
    unlike $output, qr/\[(?:warn|emerg)\]/, '... without a word';
}

for my $case (
    [ 'http://127.0.0.1', 'the URL must be "redis://host[:port][/db]", "rediss://" with TLS, or "unix:/path[:db]"' ],
    [ 'unix:redis.sock', 'the path of the socket must begin with "/", write "unix:/path[:db]"' ],
    [ 'unix:/' . 'x' x 108, 'the path of the socket is too long' ],
    [ 'redis://nginx:hunter2hunter2@127.0.0.1',
        'the URL must not have credentials, use "user=NAME" and "password=file:PATH"' ],
    [ 'redis://127.0.0.1/x', 'the database of the URL is a number, for example "/1", behind a socket\'s path ":1"' ],
    [ 'redis://127.0.0.1:70000', 'the URL has an invalid port' ],
    (map { [ "redis://127.0.0.1 $_", 'takes, behind its URL, "user=NAME", "password=file:PATH", "prefix=TEXT",'
        . ' "timeout=T", "nodes=N", "keys=local|strict" and "trusted_certificate=FILE"' ] } 'hunter2hunter2',
        'pass=hunter2hunter2', 'user=', 'timeout'),
    [ 'redis://127.0.0.1 password=hunter2hunter2',
        'takes "password=file:PATH" only: a secret must not stand in the configuration' ],
    [ 'redis://127.0.0.1 user=nginx', 'needs "password=file:PATH" for its "user"' ],
    [ 'redis://127.0.0.1 prefix=ключ', 'takes a "prefix" of visible ASCII characters' ],
    (map { [ "redis://127.0.0.1 timeout=$_", 'takes a "timeout" from 1ms to 1m, for example "timeout=250ms"' ] } 0, 'x', '61s'),
    (map { [ "redis://127.0.0.1 nodes=$_", 'takes a number of "nodes" from 1 to 1000, for example "nodes=3"' ] }
        0, 1001, 'x'),
    [ 'redis://127.0.0.1 keys=none', 'takes "keys=local" or "keys=strict"' ],
    [ "redis://127.0.0.1 trusted_certificate=$cert", 'takes a "trusted_certificate" with "rediss://" only' ],
) {
    my ($redis, $fault) = @$case;
    my ($status, $output) = said("id_key file:$id; redis $redis;");
    is $status, 1, $redis =~ s/x{20,}/x.../r;
    like $output, qr/\[emerg\] [^"]*"redis" directive \Q$fault\E in /, '... is told of';
}

for my $case (
    [ "redis 'redis://127.0.0.1';", qr/provider "yandex" has "redis", and no "id_key": add "id_key file:PATH;"/ ],
    [ "id_key file:$id; redis unix:/a; redis unix:/b;", qr/"redis" directive is duplicate/ ],
    [ "id_key file:$id; redis unix:/a password=file:$none;", qr/the password of "redis", "\S+none.key", is empty/ ],
    [ "id_key file:$id; redis unix:/a password=file:$two;",
        qr/the password of "redis", "\S+two.key", has more than one line/ ],
    [ "id_key file:$id; redis unix:/a password=file:/nowhere/key;", qr{"/nowhere/key" cannot be opened} ],
    [ "id_key file:$id; redis rediss://127.0.0.1 trusted_certificate=/nowhere/ca;", qr{/nowhere/ca} ],
    [ "id_key file:$id; redis rediss://127.0.0.1 trusted_certificate=$text;", qr{text\.pem} ],
    [ "id_key file:$id; redis redis://no-such-host.invalid;",
        qr/host not found "no-such-host.invalid", with a "resolver" in the http block it is looked up when/ ],
) {
    my ($lines, $fault) = @$case;
    my ($status, $output) = said($lines);
    is $status, 1, $lines =~ s/file:\S+/file/gr;
    like $output, qr/\[emerg\] .*$fault/, '... is told of';
}

# whoever looks the name up does so when it is needed
my ($status, $output) = said("id_key file:$id; redis redis://no-such-host.invalid;", 'resolver 127.0.0.1:1;');
is $status, 0, 'a name that nobody knows yet' or diag($output);
$t->done;
