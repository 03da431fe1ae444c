# A worker stands still while the server answers it, for longer than "timeout": each time what it has
# been told is read before the server counts as away.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);

my $TIME = 5;

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 600 },
    parameters => "timeout=${TIME}s keys=strict",
    main       => 'worker_processes 1;',
    provider   => 'poll_interval 30s 60s;',
);
my ($one, $two) = $nodes->all;
ok $two->stop, 'there is one node';

my ($worker) = $one->worker_pids;
for my $n (1 .. 3) {
    my $waiters = $one->metrics->sum('waiters');
    $nodes->redis->pause;
    my $client = $one->start(POST => '/translate', body => "text $n", timeout => 60,
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => "key-$n" });
    $one->until_waiting($waiters + 1);
    kill STOP => $worker;
    $nodes->redis->continue;
    my $over = time + $TIME + 1;
    wait_until(sub { time > $over }, 60);
    kill CONT => $worker;
    is $client->response->{status}, 202, "a claim that is answered meanwhile, $n";
}
is $one->metrics->sum('redis_errors_total'), 0, 'nothing has failed';

$nodes->done;
