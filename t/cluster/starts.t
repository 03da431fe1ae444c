use strict;
use warnings;
use v5.36;

# Three nodes in front of one upstream that takes ten submits a second of all of them.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use List::Util qw(max sum);
use Test::More;

my $N = $ENV{TEST_NGINX_SUBMITS} // 60;


# By node of each submit: the answers, and what upstream saw.
sub drained ($nodes, $name, @to) {
    my $emulator = $nodes->emulator;
    my $since    = max(0, map { $_->{n} } $emulator->journal(kind => 'submit'));
    my $number   = 0;

    my @clients = map {
        $_->start(POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
            body => "$name " . $number++)
    } @to;
    CompletionAsync::Client->gather(\@clients, 100);

    my @seen    = grep { $_->{n} > $since } $emulator->journal(kind => 'submit');
    my @times   = sort { $a <=> $b } map { $_->{time} } grep { $_->{status} == 200 } @seen;
    my $refused = grep { $_->{status} == 429 } @seen;

    is scalar(grep { ($_->response->{status} // 0) == 202 } @clients), scalar @to, "$name: all are accepted";
    is scalar @times, scalar @to, '... each once';
    cmp_ok $refused, '<=', 0.02 * @to, "... upstream refused no more than two of a hundred: $refused";

    # what a burst of ten begins with is no part of the rate
    my $rate = (@times - 10) / ($times[-1] - $times[0]);
    note sprintf '%s: %.2f a second, %d refused', $name, $rate, $refused;
    return $rate;
}


my $nodes = CompletionAsync::Nodes->new(
    n          => 3,
    emulator   => { delay => 600, submit_quota => 10, quota_slack => 0.1 },
    parameters => 'timeout=30s',
    main       => 'worker_processes 2;',
    provider => 'submit_rate 10r/s; submit_queue 300 90s; poll_interval 30s 60s;',
);
my @all = $nodes->all;

drained($nodes, 'spread', map { $all[ $_ % 3 ] } 1 .. $N);
drained($nodes, 'on one node', ($all[0]) x $N);

is $all[0]->metrics->value('redis_nodes'), 3, 'a node knows how many there are';

my @keys = @{ $nodes->redis->cli(KEYS => '*') };
is_deeply [ grep { !/^completion:\{yandex\}:1:[0-9a-f]{8}:(?:nodes|submits:1000)$/ } @keys ], [],
    'what stands on the server are the nodes and the starts of a rate';
is_deeply [ grep { $nodes->redis->cli(PTTL => $_) == -1 } @keys ], [], '... and has a time';

$nodes->done;
