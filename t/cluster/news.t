use strict;
use warnings;
use v5.36;

# What one node does, or hears of upstream, the others know, though they have the operation already
# and ask upstream so rarely that they would not find out themselves.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use Test::More;
use Time::HiRes qw(time);

my $nodes = CompletionAsync::Nodes->new(
    n          => 3,
    emulator   => { delay => 600, cancel => 'ignore' },
    parameters => 'timeout=2s',
    provider   => 'poll_interval 600s 600s;',
    server     => <<'EOC',
        location /v1 {
            completion_async_openai yandex;
            completion_async_model  yandexgpt-lite;
            completion_async_owner  all;
        }
        location /own {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
            completion_async_cache 1h owner;
            completion_async_owner all;
        }
EOC
);
my ($one, $two, $three) = $nodes->all;
my ($redis, $emulator) = ($nodes->redis, $nodes->emulator);


# What a node says of an operation: pending, cancelled, done, or a status.
sub said ($node, $at) {
    my $r = $node->poll($at);
    return $r->{status} if $r->{status} != 200;
    my $op = $r->json;
    return !$op->{done} ? 'pending' : ($op->{error}{code} // 0) == 1 ? 'cancelled' : 'done';
}


# One that all three know to be pending.
sub known ($text) {
    my $op = $one->submit($text);
    is said($_, $op->{location}), 'pending', 'an operation that all know' for $one, $two, $three;
    return @$op{qw(location upstream)};
}


sub becomes ($node, $at, $what) { wait_until(sub { said($node, $at) eq $what }, 60) }

sub up ($node)   { $node->metrics->value('redis_up') }
sub read_by ($node) { $node->metrics->value('redis_news_total') }


subtest 'cancelled' => sub {
    my ($at) = known('cancelled');
    my $since = time;
    is $one->request(DELETE => $at)->{status}, 200, 'by way of one node';
    ok becomes($_, $at, 'cancelled'), '... it is on another one' for $two, $three;
    note sprintf 'after %.2f s', time - $since;
};

subtest 'deleted' => sub {
    my $id = $one->request(POST => '/v1/responses', headers => { 'Content-Type' => 'application/json' },
        body => '{"model":"yandexgpt-lite","input":"deleted","background":true}')->json->{id};
    is said($two, "/v1/responses/$id"), 'pending', 'a Response that another node knows';
    is $one->request(DELETE => "/v1/responses/$id")->json->{deleted}, 1, 'is deleted by way of one';
    ok becomes($two, "/v1/responses/$id", 404), '... and gone on the other';
};

subtest 'cancelled where nobody knows what it asks' => sub {
    my $claims = sub { scalar grep { /:c:[0-9a-f]{32}$/ } @{ $redis->cli(KEYS => '*') } };
    my $r = $one->post('claimed', path => '/own');
    my $at = $r->header('Location');
    ok wait_until(sub { $claims->() }, 60), 'an operation that equal texts share, and its claim';
    is said($two, $at), 'pending', 'another node has its id alone';
    is $two->request(DELETE => $at)->json->{error}{code}, 1, '... and cancels it';
    ok wait_until(sub { !$claims->() }, 60), 'who has the text takes the claim along';
    isnt $three->post('claimed', path => '/own')->json->{id}, $r->json->{id}, 'an equal text is another operation';
};

subtest 'an end' => sub {
    my ($at, $id) = known('ends');
    my @waits = map { $_->start(GET => $at, headers => { Prefer => 'wait=50' }) } $two, $three;
    $_->until_waiting(1) for $two, $three;

    # who has forgotten it asks upstream
    $emulator->finish($id);
    $one->stop;
    $one->run($nodes->conf);
    is said($one, $at), 'done', 'which one node hears of';
    my $since = time;
    CompletionAsync::Client->gather(\@waits, 60);
    note sprintf 'after %.2f s', time - $since;
    is $_->response->json->{response}{alternatives}[0]{message}{text}, 'echo: ends',
        'who waits for it at another one has the result' for @waits;
    is scalar $emulator->polls($id), 2 + 3, 'each has asked for it, who had known it once more';
};

subtest 'the server was away' => sub {
    my ($at) = known('away');
    $redis->pause;
    is $one->request(DELETE => $at)->{status}, 200, 'by way of one node';
    ok wait_until(sub { !up($one) && !up($two) }, 60), 'the server counts as away';
    is said($two, $at), 'pending', '... and the other one does not know';
    $redis->continue;
    ok becomes($_, $at, 'cancelled'), 'when it is back, it does' for $two, $three;
};

subtest 'the server has forgotten all' => sub {
    my ($at) = known('forgotten');
    $redis->restart;
    is $one->request(DELETE => $at)->{status}, 200, 'by way of one node';
    ok becomes($_, $at, 'cancelled'), 'others know all the same' for $two, $three;
};

subtest 'a node that was away' => sub {
    my ($at) = known('stands');
    my ($other) = known('killed');
    my @workers = $two->worker_pids;
    kill STOP => @workers;
    is $one->request(DELETE => $at)->{status}, 200, 'while another node stands still';
    ok becomes($three, $at, 'cancelled'), '... a third one knows';
    kill CONT => @workers;
    ok becomes($two, $at, 'cancelled'), '... and that one, when it goes on';

    $two->allow_killed_workers;
    $two->kill_worker($_) for $two->worker_pids;
    is $one->request(DELETE => $other)->{status}, 200, 'while another worker begins';
    ok becomes($two, $other, 'cancelled'), '... it reads on';
};

subtest 'a node that begins while the server is away' => sub {
    $one->stop;
    $redis->pause;
    $one->run($nodes->conf);
    my $at = $one->submit('begins')->{location};
    is said($two, $at), 'pending', 'an operation of its own, which another node knows';
    is $two->request(DELETE => $at)->{status}, 200, '... and cancels';
    ok wait_until(sub { !up($two) && !up($one) }, 60), 'the server counts as away';

    # whose turn comes last
    my @workers = $one->worker_pids;
    kill STOP => @workers;
    $redis->continue;
    ok wait_until(sub { $two->metrics->value('redis_outbox') == 0 }, 60), 'it is back, and hears of it first';
    kill CONT => @workers;
    ok becomes($one, $at, 'cancelled'), 'the node that began meanwhile knows, too';
};

subtest 'an entry of somebody else\'s' => sub {
    my ($at, $id) = known('forged');
    my ($key) = grep { /:news$/ } @{ $redis->cli(KEYS => '*') };
    my $n = read_by($two);
    $redis->cli(XADD => $key, '*', 'e', ('x' x 24) . "c$id");
    ok wait_until(sub { read_by($two) > $n }, 60), 'is read';
    is said($two, $at), 'pending', '... as none';
    is $redis->cli(TTL => $key) > 0, 1, 'the stream has an end';
};

$nodes->done;
