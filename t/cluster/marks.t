use strict;
use warnings;
use v5.36;

# What a client has cancelled or deleted by way of one node, it has on all of them, also where a
# node, or the server between them, was away at that moment.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use Test::More;

my $DAYS = 72 * 3600;

my $nodes = CompletionAsync::Nodes->new(emulator => { delay => 600, cancel => 'ignore' },
    parameters => 'timeout=2s', server => <<'EOC');
        location /v1 {
            completion_async_openai yandex;
            completion_async_model  yandexgpt-lite;
            completion_async_owner  all;
        }
EOC
my ($one, $two) = $nodes->all;
my ($redis, $emulator) = ($nodes->redis, $nodes->emulator);


sub submitted ($text) {
    my $op = $one->submit($text);
    return wantarray ? ($op->{location}, $op->{upstream}) : $op->{location};
}


# What a node says of an operation: pending, cancelled, done, or a status.
sub said ($node, $at) {
    my $r = $node->poll($at);
    return $r->{status} if $r->{status} != 200;
    my $op = $r->json;
    return !$op->{done} ? 'pending' : ($op->{error}{code} // 0) == 1 ? 'cancelled' : 'done';
}


sub marks { grep { /:m:/ } @{ $redis->cli(KEYS => '*') } }

sub up ($node)     { $node->metrics->value('redis_up') }
sub outbox ($node) { $node->metrics->value('redis_outbox') }


subtest 'cancelled' => sub {
    my ($at, $id) = submitted('cancelled');
    is $one->request(DELETE => $at)->{status}, 200, 'by way of one node';
    ok wait_until(sub { outbox($one) == 0 }, 30), '... which is told';
    is_deeply [ map { s/.*:m://r } marks() ], [$id], '... by a mark of its id';
    is said($two, $at), 'cancelled', 'it is on the other one, which has never heard of it';
    is said($two, $at), 'cancelled', '... and stays so';

    my $ttl = $redis->cli(TTL => (marks())[0]);
    ok $ttl > $DAYS - 600 && $ttl < $DAYS + 600, 'the mark stands as long as the id is good';
    is scalar $emulator->cancels($id), 1, 'upstream was asked once to stop it';
};

subtest 'deleted' => sub {
    my $id = $one->request(POST => '/v1/responses', headers => { 'Content-Type' => 'application/json' },
        body => '{"model":"yandexgpt-lite","input":"deleted","background":true}')->json->{id};
    is $one->request(DELETE => "/v1/responses/$id")->json->{deleted}, 1, 'by way of one node';
    ok wait_until(sub { outbox($one) == 0 }, 30), '... which is told';
    is said($two, "/v1/responses/$id"), 404, 'it is not there on the other one';
    $one->stop;
    $one->run($nodes->conf);
    is said($one, "/v1/responses/$id"), 404, '... nor after a restart';
};

subtest 'a result that another node has heard' => sub {
    my $at = submitted('[delay=0.1]both');
    is $two->poll_until_done($at)->json->{done}, 1, 'an end that the other node knows';
    is $one->poll_until_done($at)->json->{done}, 1, '... and this one';
    $one->request(DELETE => $at);
    is said($one, $at), 'done', 'is not cancelled any more';
    is said($two, $at), 'done', '... anywhere';
};

subtest 'a value of somebody else\'s' => sub {
    my ($at, $id) = submitted('forged');
    my $moved = $redis->cli(GET => (marks())[0]);
    $redis->cli(SET => (marks())[0] =~ s/:m:.*/:m:$id/r, $moved, PX => 60_000);
    is said($two, $at), 'pending', 'is as none';
};

subtest 'a node that was down' => sub {
    my $at = submitted('down');
    is said($two, $at), 'pending', 'an operation that both know';
    $two->stop;
    is $one->request(DELETE => $at)->{status}, 200, 'it is cancelled while the other one is down';
    $two->run($nodes->conf);
    is said($two, $at), 'cancelled', '... which knows it from its start on';

    $_->stop for $one, $two;
    $_->run($nodes->conf) for $one, $two;
    is said($one, $at), 'cancelled', 'after a restart of all nodes it is';
};

subtest 'the server was away' => sub {
    my ($before, $while) = map { scalar submitted($_) } qw(before while);
    is $one->request(DELETE => $before)->{status}, 200, 'one is cancelled while it is there';
    ok wait_until(sub { outbox($one) == 0 }, 30), '... and told';

    $redis->pause;
    is $one->request(DELETE => $while)->{status}, 200, 'one while it is not';
    is said($two, $before), 'pending', 'which the other node goes on without';
    ok wait_until(sub { !up($one) && !up($two) }, 30), 'the server counts as away';
    cmp_ok outbox($_), '>', 0, 'what it is to hear, or to say, is kept' for $one, $two;

    $one->allow_killed_workers;
    $one->kill_worker($_) for $one->worker_pids;
    cmp_ok outbox($one), '>', 0, '... also where who kept it is killed';

    $redis->continue;
    ok wait_until(sub { said($two, $before) eq 'cancelled' }, 30), 'it is back, and asked for what it had';
    ok wait_until(sub { outbox($one) == 0 }, 30), '... and told what it had not';
    is said($two, $while), 'cancelled', '... which the other node finds';
};

$nodes->done;
