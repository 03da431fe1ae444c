# A worker quits while what it is to send is another node's, or while the server is asked for it: what
# was not paid is refused and may be repeated, nothing that was is lost.

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

plan skip_all => 'no worker quits without a master' if ($ENV{TEST_NGINX_MASTER} // '') eq 'off';

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 600 },
    parameters => 'timeout=30s keys=strict',
    main       => 'worker_processes 2;',
    provider   => 'submit_rate 1000r/s; submit_queue 100; poll_interval 30s 60s;',
);
my ($one, $two) = $nodes->all;
my ($redis, $emulator) = ($nodes->redis, $nodes->emulator);


sub submit ($node, $key) {
    return $node->start(POST => '/translate', body => $key,
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key =~ tr{ }{-}r });
}


sub paid ($key) { scalar $emulator->submits($key) }


subtest 'it waits for another node' => sub {
    $emulator->fault(submit => 1, hold => 'held');
    my $first = submit($one, 'held');
    ok wait_until(sub { paid('held') == 1 }, 30), 'one node sends';

    # one of the node's workers asks the server, whoever joins it does not
    my @clients = map { submit($two, 'held') } 1 .. 6;
    $two->until_waiting(6);
    ok $two->reload(wait_old => 1), 'another one is loaded anew';

    CompletionAsync::Client->gather(\@clients, 30);
    for my $r (map { $_->response } @clients) {
        $two->refused($r, 503, 'upstream_unavailable', 'who waits there');
        ok $r->header('Retry-After'), '... may try again';
        is $r->header('x-should-retry'), 'true', '... which is said to SDKs, too';
    }

    my @again = map { submit($two, 'held') } 1 .. 2;
    $two->until_waiting(2);
    $emulator->release('held');
    $emulator->clear_faults;
    CompletionAsync::Client->gather([ $first, @again ], 60);
    my @r = map { $_->response } $first, @again;
    is join(' ', uniq map { $_->{status} } @r), 202, 'who does has the answer';
    is scalar(uniq map { $_->json->{id} } @r), 1, '... of the one';
    is paid('held'), 1, '... that was paid';
};

subtest 'the server is asked' => sub {
    my $n = $two->metrics->sum('waiters');
    $redis->pause;
    my @clients = map { submit($two, "asked $_") } 1, 2;
    $two->until_waiting($n + 2);
    kill HUP => $two->master_pid;
    ok wait_until(sub { grep { /is shutting down/ } map { title($_) } $two->worker_pids(all => 1) }, 30),
        'the node is loaded anew';
    $redis->continue;

    CompletionAsync::Client->gather(\@clients, 60);
    is join(' ', map { $_->response->{status} // $_->response->{error} } @clients), '202 202',
        'who had asked is answered';
    is paid("asked $_"), 1, '... and it is paid once' for 1, 2;
};

subtest 'the server is asked, and the rate is spent' => sub {
    $two->conf($nodes->conf =~ s{submit_rate [^;]+; submit_queue [^;]+;}
                                {submit_rate 1r/m; submit_queue 100 90s; request_timeout 2s;}r);
    ok $two->reload(wait_old => 1), 'with one start in a minute';
    is $two->post('spent')->{status}, 202, 'it is taken';

    my $n = $two->metrics->sum('waiters');
    $redis->pause;
    my $client = submit($two, 'too late');
    $two->until_waiting($n + 1);
    kill HUP => $two->master_pid;
    ok wait_until(sub { grep { /is shutting down/ } map { title($_) } $two->worker_pids(all => 1) }, 30),
        'the node is loaded anew';
    $redis->continue;
    CompletionAsync::Client->gather([$client], 120);
    $two->refused($client->response, 429, 'quota_exceeded', 'a quitting worker waits for no start');
};

$nodes->done;


sub title ($pid) {
    open my $file, '<', "/proc/$pid/cmdline" or return '';
    return <$file> // '';
}
