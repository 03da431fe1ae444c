use strict;
use warnings;
use v5.36;

# Two nodes in front of one upstream that takes so many reads of both of them.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use List::Util qw(max);
use Test::More;


# So many operations of each node.
sub submitted ($nodes, $n) {
    my @of;
    for my $node ($nodes->all) {
        push @of, map { [ $node, $node->post(join ' ', $node->port, $_)->header('Location') ] } 1 .. $n;
    }
    return @of;
}


# Somebody waits for each of them.
sub waited (@of) {
    return map { $_->[0]->start(GET => $_->[1], headers => { Prefer => 'wait=90' }) } @of;
}


sub reads ($nodes) { $nodes->emulator->count(kind => 'poll') }


# How far ahead the next read is for each of them, by what a poll is told.
sub ahead (@of) {
    return map { $_->[0]->request(GET => $_->[1])->header('Retry-After') } @of;
}


# A rate by the hour: the test's speed makes no difference.
for my $case ([ 'by the server', 8, 8 ], [ 'without it', 8, 4 ]) {
    my ($name, $rate, $each) = @$case;
    my $away = $each < $rate;

    subtest "two nodes, $name" => sub {
        my $nodes = CompletionAsync::Nodes->new(
            emulator   => { delay => 600 },
            parameters => $away ? 'nodes=2' : 'timeout=30s',
            provider   => "poll_rate ${rate}r/h; poll_interval 100ms 200ms;",
        );

        $nodes->redis->pause if $away;
        my @of      = submitted($nodes, 10);
        my @clients = waited(@of);
        my $most    = $away ? 2 * $each : $rate;

        ok wait_until(sub { reads($nodes) >= $most }, 60), "the hour's $most reads go out";
        ok wait_until(sub { !grep { $_ < 60 } ahead(@of) }, 60), 'everybody is told that the next one is far';
        is reads($nodes), $most, '... and there were no more';

        if (!$away) {
            my ($key) = grep { /:polls:3600000$/ } @{ $nodes->redis->cli(KEYS => '*') };
            is $nodes->redis->cli(ZCARD => $key), $rate, 'all of them stand on the server';
            is max(map { $_->metrics->value('redis_nodes') } $nodes->all), 2, 'a node knows of the other';
        }

        $_->close for @clients;
        $nodes->redis->continue if $away;
        $nodes->done;
    };
}


subtest 'by the second' => sub {
    my $rate  = 10;
    my $nodes = CompletionAsync::Nodes->new(
        emulator   => { delay => 600, poll_quota => $rate, quota_slack => 0.1 },
        parameters => 'timeout=30s',
        provider   => "poll_rate ${rate}r/s; poll_interval 100ms 200ms;",
    );
    my @of      = submitted($nodes, 20);
    my @clients = waited(@of);

    ok wait_until(sub { reads($nodes) >= 60 }, 100), 'reads go on';
    my @seen = $nodes->emulator->journal(kind => 'poll');
    my $over = grep { $_->{status} == 429 } @seen;
    cmp_ok $over, '<=', 0.02 * @seen, "in no second are there more than $rate, but for the wire: $over of " . @seen;

    my %read = map { $_->{operation} => 1 } @seen;
    cmp_ok scalar keys %read, '>', 20, 'those of both nodes are read';

    $nodes->emulator->finish;
    CompletionAsync::Client->gather(\@clients, 100);
    is scalar(grep { ($_->response->{status} // 0) == 200 } @clients), scalar @of, 'all who wait have their ends';
    $nodes->done;
};

done_testing;
