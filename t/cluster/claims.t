use strict;
use warnings;
use v5.36;

# One key, or one text, at several nodes: it is paid once.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use List::Util qw(uniq);
use Test::More;

my $ROUNDS = $ENV{TEST_NGINX_ROUNDS} // 50;

my $nodes = CompletionAsync::Nodes->new(
    n          => 3,
    emulator   => { delay => 600 },
    parameters => 'timeout=30s',
    provider => 'request_timeout 2s;',
    server   => <<'EOC',
        location /cached {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
            completion_async_cache 1h shared;
        }
EOC
);
my ($redis, $emulator) = ($nodes->redis, $nodes->emulator);
my @all = $nodes->all;
my ($one, $two, $three) = @all;


sub keyed ($key, @more) {
    return (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key }, @more);
}


# The same at all nodes at once: their responses.
sub at_once ($text, $path, %headers) {
    my @clients = map {
        $_->start(POST => $path, headers => { 'Content-Type' => 'text/plain', %headers }, body => $text)
    } @all;
    CompletionAsync::Client->gather(\@clients, 60);
    return map { $_->response } @clients;
}


sub paid ($text) { scalar $emulator->submits($text) }


# Names of the server's keys, behind what all begin with.
sub names ($what) {
    return grep { /:$what:[0-9a-f]{32}$/ } @{ $redis->cli(KEYS => '*') };
}


subtest 'one key at three nodes at once' => sub {
    my (@wrong, @paid);

    for my $round (1 .. $ROUNDS) {
        my @r   = at_once("round $round", '/translate', 'Idempotency-Key' => "round-$round");
        my @ids = uniq map { $_->{status} == 202 ? $_->json->{id} : "status $_->{status}" } @r;

        push @wrong, "round $round: @ids" if @ids != 1 || $ids[0] =~ /status/;
        push @paid, $round if paid("round $round") != 1;
    }
    is_deeply \@wrong, [], "in $ROUNDS rounds all three have one id";
    is_deeply \@paid,  [], '... of one submit that was paid';
};

subtest 'a key comes back elsewhere' => sub {
    my $first = $one->post('a text', keyed('again'));
    is $first->{status}, 202, 'a submit';

    my $r = $two->post('a text', keyed('again'));
    is $r->{status}, 202, 'the same at another node';
    is $r->json->{id}, $first->json->{id}, '... has the same id';
    is $r->header('Idempotency-Replayed'), 'true', '... and says that it is a replay';
    ok !$r->json->{done}, '... that may be pending';
    is $r->header('Location'), $first->header('Location'), '... at the same place';
    is paid('a text'), 1, 'it is paid once';

    for my $node (@all) {
        $node->refused($node->post('another text', keyed('again')), 422, 'idempotency_mismatch',
            'another text under the key');
    }
    is paid('another text'), 0, '... is paid nowhere';

    $emulator->finish;
    my $done = $three->post('a text', 
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => 'again', Prefer => 'wait=20' });
    is $done->{status}, 200, 'who waits at the third node has the result';
    is $done->json->{response}{alternatives}[0]{message}{text}, 'echo: a text', '... that one';
};

subtest 'a key of what a node has by its id' => sub {
    my $first = $one->post('known', keyed('known'));
    is $two->poll($first->header('Location'))->{status}, 200, 'the other node is asked for it';
    my $r = $two->post('known', keyed('known'));
    is $r->{status}, 202, '... and then for its key' or diag $r->{error};
    is $r->json->{id}, $first->json->{id}, '... which is the same';
    is paid('known'), 1, '... and paid once';
};


subtest 'equal texts' => sub {
    my @r = at_once('equal', '/cached');
    is join(' ', uniq map { $_->{status} } @r), 202, 'at three nodes';
    is scalar(uniq map { $_->json->{id} } @r), 1, 'have one id';
    is paid('equal'), 1, '... and are paid once';

    my $later = $two->post('equal', path => '/cached', keyed('a-key'));
    is $later->json->{id}, $r[0]->json->{id}, 'so is a later one, by its text';
    is $three->post('equal', path => '/cached', keyed('a-key'))->json->{id}, $r[0]->json->{id},
        '... and one by the key of that, elsewhere';
    is paid('equal'), 1, '... for nothing';
};

subtest 'a refused one' => sub {
    $emulator->fault(submit => 'every', status => 400);
    $one->refused($one->post('refused', keyed('refused')), 400, 'invalid_request', 'a refusal');
    $emulator->clear_faults;
    is $two->post('refused', keyed('refused'))->{status}, 202, 'and may be sent by another node';
};

subtest 'by the way' => sub {
    $emulator->fault(submit => 1, hold => 'held');
    my $first = $one->start(POST => '/translate', keyed('held'), body => 'held');
    ok wait_until(sub { paid('held') == 1 }, 30), 'one node sends';

    my $second = $two->start(POST => '/translate', keyed('held'), body => 'held');
    ok wait_until(sub { $two->metrics->sum('waiters') == 1 }, 30), 'another one waits for that';
    $emulator->release('held');
    CompletionAsync::Client->gather([ $first, $second ], 30);
    is $_->response->{status}, 202, 'both have an answer' for $first, $second;
    is $second->response->json->{id}, $first->response->json->{id}, '... which is one';
    is paid('held'), 1, '... paid once';
};

subtest 'what stands there' => sub {
    my $r     = $one->post('a secret text', keyed('a-secret-key'));
    my @keys  = @{ $redis->cli(KEYS => '*') };
    my $all   = join "\n", map { "$_ " . ($redis->cli(TYPE => $_) eq 'string' ? $redis->cli(GET => $_) : '') } @keys;

    for my $secret ('secret text', 'secret-key', $one->folder, $one->api_key, 'echo', 'yandexgpt') {
        is index($all, $secret), -1, 'the server holds no text, key, or credential';
    }
    is_deeply [ grep { $redis->cli(PTTL => $_) == -1 } @keys ], [], 'all of it has a time';
    cmp_ok length($redis->cli(GET => $_)), '<', 256, 'and is short' for (names('k'))[0];
};

subtest 'a value of somebody else\'s' => sub {
    my %before = map { $_ => 1 } names('k');
    $one->post('moved', keyed('moved'));
    my ($key) = grep { !$before{$_} } names('k');
    my $value;

    # how it ended is told when the client has its answer: behind the tag and the token stands "a"
    ok wait_until(sub { $value = $redis->cli(GET => $key); 'a' eq substr $value, 56, 1 }, 30), 'it is accepted';

    # upstream's id is the last part of it
    my $changed = $value;
    substr($changed, -1) = substr($value, -1) eq 'x' ? 'y' : 'x';
    $redis->cli(SET => $key, $changed, PX => 600_000);
    my $r = $two->post('moved', keyed('moved'));
    is $r->{status}, 202, 'a value that was changed is as none';
    is paid('moved'), 2, '... and it is paid again';

    my ($other) = grep { $before{$_} } names('k');
    $redis->cli(SET => $key, $redis->cli(GET => $other), PX => 600_000);
    is $three->post('moved', keyed('moved'))->{status}, 202, 'so is one that stood under another key';
    is paid('moved'), 3, '... which leads nowhere';

    for my $node ($two, $three) {
        my @lines = grep { /\[error\].*counts as absent/ } split /\n/, $node->log;
        is scalar @lines, 1, 'it is logged once';
    }
};

subtest 'a node that dies' => sub {
    $emulator->fault(submit => 1, hold => 'dies');
    my $client = $three->start(POST => '/translate', keyed('dies'), body => 'dies');
    ok wait_until(sub { paid('dies') == 1 }, 30), 'it has sent';
    $three->allow_killed_workers;
    kill KILL => $three->master_pid, $three->worker_pids;

    my $r = $one->post('dies', keyed('dies'), timeout => 60);
    $one->refused($r, 424, 'outcome_unknown', 'nobody knows what came of it');
    is paid('dies'), 1, '... so that nobody sends it again';
    $emulator->release;
};

$nodes->done;
