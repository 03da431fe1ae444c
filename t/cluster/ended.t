# What has ended is not shared any more, and who leaves is no node any more.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use Test::More;

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 0 },
    parameters => 'timeout=30s',
    provider   => 'poll_interval 50ms 200ms; submit_rate 100r/s;',
    http       => 'completion_async_cache 1h shared; completion_async_split 100;',
);
my ($one, $other) = $nodes->all;
my $e = $nodes->emulator;


subtest 'a failed operation' => sub {
    my $text = '[outcome=failed:13:no]text';
    my $r = $one->post($text);
    is $r->{status}, 202, 'a submit';
    my $done = $one->poll_until_done($r->header('Location'));
    is $done->json->{error}{code}, 13, 'it fails';

    my $again = $one->post($text);
    is $again->{status}, 202, 'the same text';
    isnt $again->json->{id}, $r->json->{id}, 'is another operation';
    is scalar $e->submits($text), 2, 'two submits';
};


subtest 'a part that is a text of its own' => sub {
    my $part = 'A sentence that is long enough to be a part, as it has more than half of the bytes of one.';
    my $r = $one->post("$part $part-", headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => 'k' });
    is $r->{status}, 202, 'a text in parts, under a key';
    is scalar $e->submits($part), 1, 'of which this is one';

    $r = $other->post($part);
    is $r->{status}, 202, 'the same on the other node, without a key';
    is scalar $e->submits($part), 1, 'is that operation';
};


subtest 'a node leaves' => sub {
    my ($key) = grep { /nodes/ } @{ $nodes->redis->cli(KEYS => '*') };
    is $nodes->redis->cli(ZCARD => $key), 2, 'two nodes';
    ok $other->stop, 'one of them stops';
    is $nodes->redis->cli(ZCARD => $key), 1, 'one is left';
    unlike $other->log, qr/not reachable/, 'and has lost nothing';
};

$nodes->done;
