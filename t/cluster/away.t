use strict;
use warnings;
use v5.36;

# The server stands still: what goes on, and what does not.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use Test::More;


sub keyed ($key, @more) {
    return (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key }, @more);
}


sub up ($t) { $t->metrics->value('redis_up') }


subtest 'keys=strict' => sub {
    my $nodes = CompletionAsync::Nodes->new(
        emulator   => { delay => 600 },
        parameters => 'keys=strict',
        provider   => 'submit_rate 100r/s; submit_queue 100;',
    );
    my ($one, $two) = $nodes->all;
    my $emulator = $nodes->emulator;

    is $one->post('before', keyed('before'))->{status}, 202, 'a key, while the server answers';

    $nodes->redis->pause;
    my $r = $one->post('away', keyed('away'));
    $one->refused($r, 503, 'redis_unavailable', 'a key, while it does not');
    ok $r->header('Retry-After'), '... may be repeated';
    is scalar $emulator->submits('away'), 0, '... and was not sent';
    ok wait_until(sub { !up($one) }, 30), 'the server counts as away';
    $one->refused($one->post('away', keyed('away')), 503, 'redis_unavailable', 'a key from then on');
    is $one->post('no key')->{status}, 202, 'what has no key goes';
    is $one->post('before', keyed('before'))->{status}, 202, 'and what this node knows is answered';
    is scalar $emulator->submits('before'), 1, '... for nothing';

    $nodes->redis->continue;
    ok wait_until(sub { up($one) }, 30), 'it is back';
    is $one->post('away', keyed('away'))->{status}, 202, 'and the key goes';
    is $two->post('away', keyed('away'))->header('Idempotency-Replayed'), 'true', '... for all nodes';
    is scalar $emulator->submits('away'), 1, '... once';
    $nodes->done;
};

subtest 'keys=local' => sub {
    my $nodes = CompletionAsync::Nodes->new(
        emulator   => { delay => 600 },
        parameters => 'nodes=2',
        provider   => 'submit_rate 2r/h; submit_queue 10 1s;',
    );
    my ($one, $two) = $nodes->all;
    my $emulator = $nodes->emulator;

    $nodes->redis->pause;
    is $one->post('away', keyed('away'))->{status}, 202, 'a key goes by what this node knows';
    is $one->post('away', keyed('away'))->header('Idempotency-Replayed'), 'true', '... which is this one, now';
    $one->refused($one->post('second'), 429, 'quota_exceeded', 'of two nodes one has its part of the rate');

    $nodes->redis->continue;
    ok wait_until(sub { up($one) }, 30), 'it is back';
    ok wait_until(sub { ($two->post('away', keyed('away'))->header('Idempotency-Replayed') // '') eq 'true' }, 30),
        'and hears what came of the key';
    $nodes->done;
};

done_testing;
