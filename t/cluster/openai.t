# An SDK of OpenAI in front of two nodes: a stream that breaks off goes on over the other one, and a
# key leads both of them to one Response, over a restart too.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Nodes;
use CompletionAsync::Sdk;
use Test::More;

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 600 },
    parameters => 'timeout=30s',
    http       => 'completion_async_owner $http_authorization;',
    server     => 'location /v1 { completion_async_openai yandex; completion_async_wait 20s;'
        . ' completion_async_model yandexgpt-lite; }',
);
my ($one, $other) = $nodes->all;
my $e = $nodes->emulator;

my ($here, $there) = map { { baseURL => 'http://127.0.0.1:' . $_->port . '/v1' } } $one, $other;
my $sdk = CompletionAsync::Sdk->new(%$here, apiKey => 'alice');

if (!$sdk) {
    fail 'npm\'s openai is there: run "make deps"';
    $nodes->done;
    exit;
}

my %key = (headers => { 'Idempotency-Key' => 'a-key' });
my %ask = (model => 'm', input => 'text', background => \1);


# What is made of it under the key, by that node.
sub created ($on) {
    my $r = $sdk->start('responses.create', [ \%ask, \%key ], client => $on)->();
    return $r->{value} // $r->{error};
}


# The numbers of the events behind that one, from that node.
sub behind ($on, $id, $after) {
    return $sdk->start('responses.retrieve', [ $id, { stream => \1, starting_after => $after } ],
        client => $on);
}


sub numbers ($r) { [ map { $_->{sequence_number} } @{ $r->{value} // [] } ] }


my $r = $sdk->start('responses.create', [ { %ask, stream => \1 }, \%key ], cut => 2)->();
is_deeply numbers($r), [ 0, 1 ], 'a stream, left behind after two events';
my $id = $r->{value}[0]{response}{id};

is created($_)->{id}, $id, 'its key leads there' for $here, $there;

my @rest = map { behind($_, $id, 1) } $here, $there;
$_->until_waiting(1) for $one, $other;
$e->finish;
is_deeply numbers($_->()), [ 2 .. 9 ], 'it goes on, from either node' for @rest;

for my $node ($one, $other) {
    ok $node->stop, 'nginx stops';
    $node->run($nodes->conf);
}
for my $on ($there, $here) {
    is created($on)->{id}, $id, 'a new nginx: the key leads there';
    is_deeply numbers(behind($on, $id, 4)->()), [ 5 .. 9 ], '... and its stream goes on';
}
is $e->submits, 1, 'paid once';

undef $sdk;
$nodes->done;
