use strict;
use warnings;
use v5.36;

# nginx begins anew, and its zone is empty: what stands on the server is not.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Nodes;
use Test::More;

sub keyed ($key) { (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key }) }

my $nodes = CompletionAsync::Nodes->new(
    n          => 1,
    redis      => { aof => 1 },
    emulator   => { delay => 600 },
    parameters => 'timeout=30s',
    provider   => 'submit_rate 2r/h;',
);
my ($t) = $nodes->all;
my %key = keyed('a-key');

my $first = $t->post('text', %key);
is $first->{status}, 202, 'a submit';

$t->stop;
$nodes->redis->restart;
$t->run($nodes->conf);

my $again = $t->post('text', %key);
is $again->{status}, 202, 'the same after a restart of both';
is $again->json->{id}, $first->json->{id}, '... has the same id';
is $again->header('Idempotency-Replayed'), 'true', '... as a replay';
is scalar $nodes->emulator->submits, 1, '... and is not paid again';
$t->refused($t->post('another', %key), 422, 'idempotency_mismatch', 'another text under its key');

is $t->poll($again->header('Location'))->{status}, 200, 'it can be polled';

is $t->post('second')->{status}, 202, 'the second submit of the hour';
$t->refused($t->post('third'), 429, 'quota_exceeded', 'there is no third one');

$t->stop;
$t->run($nodes->conf);
$t->refused($t->post('third'), 429, 'quota_exceeded', '... after a restart neither');
is scalar $nodes->emulator->submits, 2, 'upstream had two';

# a reload

my $without = $nodes->conf =~ s/ redis [^;]+;//r =~ s/2r\/h/100r\/s/r;
my $with    = $nodes->conf =~ s/2r\/h/100r\/s/r;
$t->conf($without);
$t->reload(wait_old => 1);
is $t->post('alone', keyed('alone'))->{status}, 202, 'without the server nginx goes on alone';

$t->conf($with);
$t->reload(wait_old => 1);
is $t->post('alone', keyed('alone'))->header('Idempotency-Replayed'), 'true', 'with it once more, too';
is $t->post('shared', keyed('shared'))->{status}, 202, '... and shares what comes from then on';

$t->stop;
$t->run($with);
is $t->post('shared', keyed('shared'))->header('Idempotency-Replayed'), 'true', '... over a restart';
is scalar $nodes->emulator->submits, 4, 'nothing was paid twice';

$nodes->done;
