# The directive changes, comes and goes by a reload while submits are under way; two providers share one
# server, and nothing else; nginx begins while the server is away.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Nodes;
use CompletionAsync::Redis;
use CompletionAsync::Test qw(wait_until);

plan skip_all => 'without a master nothing is loaded anew' if ($ENV{TEST_NGINX_MASTER} // '') eq 'off';

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 600 },
    parameters => 'timeout=30s keys=strict',
    provider   => 'submit_rate 1000r/s; submit_queue 100; poll_interval 30s 60s;',
);
my ($one, $two) = $nodes->all;
my ($redis, $emulator) = ($nodes->redis, $nodes->emulator);
my $other = CompletionAsync::Redis->start(dir => $one->testdir);

my $conf    = $nodes->conf;
my $without = $conf =~ s/ redis [^;]+;//r;
my $moved   = $conf =~ s/ redis \S+/ redis @{[ $other->url ]}/r;


sub headers ($key) { { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key =~ tr{ }{-}r } }

sub keyed ($node, $key, %more) { $node->post($key, headers => headers($key), %more) }

sub paid ($key) { scalar $emulator->submits($key) }

sub replayed ($r) { $r->{status} == 202 && ($r->header('Idempotency-Replayed') // '') eq 'true' }


# The node gets that configuration while upstream is at work on a submit; what comes of it.
sub meanwhile ($key, $conf) {
    $emulator->fault(submit => 1, hold => $key);
    my $client = $one->start(POST => '/translate', body => $key, headers => headers($key));
    ok wait_until(sub { paid($key) == 1 }, 30), "$key: a submit is under way";

    $one->conf($conf);
    ok $one->reload, '... and the node is loaded anew';
    $emulator->release($key);
    $emulator->clear_faults;
    my $r = $client->response(30);
    is $r->{status}, 202, 'it is accepted';
    ok wait_until(sub { $one->worker_pids(all => 1) == $one->worker_pids }, 30), '... and its worker goes';

    my $again = keyed($one, $key);
    ok replayed($again), 'its key is known to the node';
    is $again->json->{id}, $r->json->{id}, '... as its own';
    return $r;
}


subtest 'another server' => sub {
    my $r = meanwhile('moved', $moved);
    is keyed($two, 'moved')->json->{id}, $r->json->{id}, 'who has stayed with the first one knows it';
    is paid('moved'), 1, '... and it is paid once';

    is keyed($one, 'new')->{status}, 202, 'what comes from then on';
    ok wait_until(sub { grep { /:k:/ } @{ $other->cli(KEYS => '*') } }, 30), '... stands on the other server';
    $two->conf($moved);
    ok $two->reload(wait_old => 1), 'the other node follows';
    ok replayed(keyed($two, 'new')), '... and shares it';
    is paid('new'), 1, '... paid once';
};

subtest 'none' => sub {
    my $r = meanwhile('dropped', $without);
    is keyed($two, 'dropped')->json->{id}, $r->json->{id}, 'who still shares knows it';
    is keyed($one, 'alone')->{status}, 202, 'the node goes on alone';
    is paid('dropped') + paid('alone'), 2, 'each is paid once';
};

subtest 'one that comes' => sub {
    my $r = meanwhile('added', $moved);
    is keyed($one, 'shared')->{status}, 202, 'what comes from then on';
    ok replayed(keyed($two, 'shared')), '... is shared';
    is paid('added') + paid('shared'), 2, 'each is paid once';
};

subtest 'two providers' => sub {
    my $lines = $one->expand('%%PROVIDER%% id_key file:%%TESTDIR%%/id.key; poll_interval 30s 60s;');
    my $url   = $redis->url;

    my $second = sub ($name, $options) {
        return "completion_async_provider $name { zone $name 1m; $lines redis $url timeout=30s $options; }";
    };
    my $node = $nodes->more(CompletionAsync::Test->location_conf(
        provider => "$lines submit_rate 2r/h; redis $url timeout=30s keys=strict;",
        http     => $second->('named', '') . $second->('prefixed', 'prefix=mine'),
        server   => join '', map {
            "location /$_ { completion_async $_; completion_async_model yandexgpt-lite; }\n"
        } qw(named prefixed),
    ));

    my %id;
    for my $path (qw(/translate /named /prefixed)) {
        my $r = keyed($node, 'one key', path => $path);
        is $r->{status}, 202, "$path takes a key";
        ok replayed(keyed($node, 'one key', path => $path)), '... once';
        $id{ $r->json->{id} } = 1;
    }
    is scalar keys %id, 3, 'which is another one for each of them';
    is paid('one key'), 3, '... and paid by each';

    is $node->post("$_", path => '/named')->{status}, 202, 'one has no rate' for 1 .. 3;
    is $node->post('second')->{status}, 202, 'the other one has its own';
    $node->refused($node->post('third'), 429, 'quota_exceeded', '... and no more than that');

    my %of;
    ok wait_until(sub {
        %of = ();
        $of{$_}++ for map { /^(.*?):1:[0-9a-f]{8}:k:/ } @{ $redis->cli(KEYS => '*') };
        return keys %of >= 3;
    }, 30), 'each has names of its own';
    is_deeply [ sort keys %of ], [ 'completion:{named}', 'completion:{yandex}', 'mine:{prefixed}' ],
        '... by its own and its prefix';
};

subtest 'a start while the server is away' => sub {
    $redis->stop;
    my $node = $nodes->more($conf);
    $node->refused(keyed($node, 'early'), 503, 'redis_unavailable', 'a key');
    is $node->post('no key')->{status}, 202, 'what has none is taken';
    is paid('early'), 0, '... and nothing else is sent';

    my $local = $nodes->more($conf =~ s/keys=strict/keys=local/r);
    is keyed($local, 'local')->{status}, 202, 'with keys=local a key is';

    $redis->restart;
    for my $at ($node, $local) {
        ok wait_until(sub { $at->metrics->value('redis_up') }, 30), 'it comes';
    }
    is keyed($node, 'early')->{status}, 202, 'and keys are taken';
    ok replayed(keyed($local, 'early')), '... by all nodes';
    ok wait_until(sub { $local->metrics->value('redis_outbox') == 0 }, 30), 'what it was to hear it has heard';
    ok replayed(keyed($node, 'local')), '... a key of the time before, too';
    is paid('early') + paid('local'), 2, 'each is paid once';
};

$nodes->done;
