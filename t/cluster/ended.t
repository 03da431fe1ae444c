# What has ended is not shared any more, and who leaves is no node any more.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use Test::More;

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 0 },
    parameters => 'timeout=30s',
    provider   => 'poll_interval 50ms 200ms; submit_rate 100r/s;',
    http       => 'completion_async_cache 1h shared; completion_async_split 100;',
    server     => <<'EOC',
        location /own {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
            completion_async_cache 1h owner;
            completion_async_owner $remote_addr;
        }
        location /short {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
            completion_async_cache 1s shared;
        }
EOC
);
my ($one, $other) = $nodes->all;
my $e = $nodes->emulator;


# Names of the server's claims, of one kind.
sub claims ($kind) {
    return grep { /:$kind:[0-9a-f]{32}$/ } @{ $nodes->redis->cli(KEYS => '*') };
}


# Those that have come since.
sub since ($kind, @before) {
    my %known = map { $_ => 1 } @before;
    return grep { !$known{$_} } claims($kind);
}


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


subtest 'a failed operation, seen from the other node' => sub {
    my @before = claims('c');
    my $text = '[outcome=failed:13:no]another text';
    my $r = $one->post($text);
    is $r->{status}, 202, 'a submit';
    $one->poll_until_done($r->header('Location'));
    ok wait_until(sub { !since('c', @before) }, 30), 'its claim has gone with its end';

    my $again = $other->post($text);
    is $again->{status}, 202, 'the same text there';
    isnt $again->json->{id}, $r->json->{id}, 'is another operation';
    is scalar $e->submits($text), 2, 'two submits';
};


subtest 'one that succeeds' => sub {
    my @before = claims('c');
    my $text = '[delay=600]a longer one';
    my $r = $one->post($text);
    is $r->{status}, 202, 'a submit';
    ok wait_until(sub { since('c', @before) }, 30), 'its claim';
    my ($key) = since('c', @before);
    ok wait_until(sub { $nodes->redis->cli(PTTL => $key) > 24 * 3600 * 1000 }, 30),
        'stands as long as its end may be waited for, and as an equal text shares it';

    $e->finish;
    $one->poll_until_done($r->header('Location'));
    ok wait_until(sub { $nodes->redis->cli(PTTL => $key) <= 3600 * 1000 }, 30), '... and no longer than that from the end on';

    is $other->post($text)->json->{id}, $r->json->{id}, 'it is shared';
    cmp_ok $nodes->redis->cli(PTTL => $key), '<=', 3600 * 1000, '... which makes it no younger';

    ok wait_until(sub { $nodes->redis->cli(PTTL => $key) < 3600 * 1000 - 1100 }, 30), 'more than a second later';
    isnt $other->post($text, path => '/short')->json->{id}, $r->json->{id},
        '... it is none for whom a second is too old';
    is scalar $e->submits($text), 2, 'two submits';
};


subtest 'one that is cancelled' => sub {
    my @before = claims('c');
    my $text = '[delay=600]to be cancelled';
    my $r = $one->post($text, path => '/own');
    is $r->{status}, 202, 'a submit';
    ok wait_until(sub { since('c', @before) }, 30), 'its claim';
    is $one->request(DELETE => $r->header('Location'))->{status}, 200, 'a cancel';
    ok wait_until(sub { !since('c', @before) }, 30), '... takes its claim along';
    isnt $other->post($text, path => '/own')->json->{id}, $r->json->{id}, 'the same there is another operation';
};


subtest 'parts of a text that is refused' => sub {
    my @cached = claims('c');
    my @keyed  = claims('k');
    my ($first, $second) = map { "The $_ sentence is long enough to be a part, as it has more than half of one." } 1, 2;
    my %key = (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => 'parts' }, path => '/own');

    $e->fault(submit => 2, status => 400, hold => 'second');
    my $client = $one->start(POST => '/own', headers => $key{headers}, body => "$first $second");
    ok wait_until(sub { grep { $nodes->redis->cli(PTTL => $_) > 600 * 1000 } since('c', @cached) }, 30),
        'the first part is accepted';
    $e->release('second');
    CompletionAsync::Client->gather([$client], 30);
    is $client->response->{status}, 400, 'the second one is refused';
    ok wait_until(sub { !since('c', @cached) && !since('k', @keyed) }, 30), 'the claims of the first one go, too';

    $e->clear_faults;
    is $other->post("$first $second", %key)->{status}, 202, 'the text is taken there';
    is scalar $e->submits($first), 2, '... and the first part is paid for again';
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
