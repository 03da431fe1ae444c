# A new id_key is brought in over two nodes, one behind the other: ids, keys, equal texts and cancels are
# theirs together at each step; the last one forgets keys.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Test::More;

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);

plan skip_all => 'without a master nothing is loaded anew' if ($ENV{TEST_NGINX_MASTER} // '') eq 'off';

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 600 },
    parameters => 'timeout=30s keys=strict',
    provider   => 'poll_interval 30s 60s;',
    server     => <<'EOC',
        location /cached {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
            completion_async_cache 1h shared;
        }
EOC
);
my ($one, $two) = my @all = $nodes->all;
my $emulator = $nodes->emulator;
my $dir      = $one->testdir;

for my $name ('A', 'B') {
    $one->secret_file($name, $name x 40);
    $_->secret($name x 40) for @all;
}


sub keys_of (@keys) {
    my $files = join ' ', map { "file:$dir/$_" } @keys;
    return $nodes->conf =~ s/id_key [^;]+;/id_key $files;/r;
}


# The node has these from now on.
sub rolls ($node, @keys) {
    $node->conf(keys_of(@keys));
    return $node->reload(wait_old => 1);
}


sub at_once ($text, $path, %headers) {
    my @clients = map {
        $_->start(POST => $path, headers => { 'Content-Type' => 'text/plain', %headers }, body => $text)
    } @all;
    CompletionAsync::Client->gather(\@clients, 60);
    return map { $_->response } @clients;
}


# Both nodes have one operation of it, which was paid once; its place. What an id ends with is by the
# first key, of which each node has its own meanwhile.
sub shared ($name, @r) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is join(' ', uniq map { $_->{status} // $_->{error} } @r), 202, "$name: taken by all";
    is scalar(uniq map { substr eval { $_->json->{id} } // '', 0, 20 } @r), 1, '... as one operation';
    is scalar $emulator->submits($name), 1, '... that is paid once';
    return $r[0]->header('Location');
}


sub keyed ($key) { ('Idempotency-Key' => $key =~ tr{ }{-}r) }

sub replays ($name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return shared($name, map { $_->post($name, headers => { keyed($name) }) } @all);
}


ok rolls($_, 'A'), 'it begins with A' for @all;
my $first = shared('first', at_once('first', '/translate', keyed('first')));

for my $step ([ [qw(A B A)], [qw(A)] ], [ [qw(A B A)], [qw(A B A)] ], [ [qw(B A)], [qw(A B A)] ],
    [ [qw(B A)], [qw(B A)] ])
{
    my @keys = map { join '', @$_ } @$step;

    subtest "@keys" => sub {
        ok rolls($all[$_], @{ $step->[$_] }), "a node has $keys[$_]" for 0, 1;

        replays('first');
        is $_->poll($first)->{status}, 200, 'the first id is good' for @all;

        my $key = shared("key @keys", at_once("key @keys", '/translate', keyed("key @keys")));
        is $_->poll($key)->{status}, 200, '... at each node' for @all;
        shared("text @keys", at_once("text @keys", '/cached'));

        # only one has sent it
        shared("sent @keys", map { $_->post("sent @keys", headers => { keyed("sent @keys") }) } @$_)
            for [ $keys[0] =~ /^B/ ? ($two, $one) : ($one, $two) ];

        is $one->request(DELETE => $key)->{status}, 200, 'a cancel by way of one';
        ok wait_until(sub { ($two->poll($key)->json->{error}{code} // 0) == 1 }, 30), '... is one on the other';
    };
}

# What was cancelled under the keys of before is so for who hears of it with the last one alone.
my $cancelled = shared('cancelled', at_once('cancelled', '/translate', keyed('cancelled')));
my ($id) = map { $_->{operation} } $emulator->submits('cancelled');
ok $two->stop, 'a node is down';
is $one->request(DELETE => $cancelled)->{status}, 200, '... while one is cancelled';
ok wait_until(sub { $one->metrics->value('redis_outbox') == 0 }, 30), '... which is told';
ok rolls($one, 'B'), 'it ends with B on one';
is scalar(grep { /counts as absent/ } map { split /\n/, $_->log } @all), 0, '... no value was foreign to anybody';

# which reads the news of A's time, too
$two->run(keys_of('B'));
my $polls = () = $emulator->polls($id);
is $two->poll($cancelled)->json->{error}{code}, 1, '... and the other one hears of it with B';
is scalar $emulator->polls($id), $polls, '... from the server';

is $one->post('first', headers => { keyed('first') })->{status}, 202, 'a key of before';
is scalar $emulator->submits('first'), 2, '... is forgotten';
is $_->poll($first)->{status}, 404, '... and so are ids of A' for @all;
$nodes->done;
