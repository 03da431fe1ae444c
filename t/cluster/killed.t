# A node, or a worker of it, is killed at each step of a submit: another node takes it over, or says that
# nobody knows what came of it; a key is never paid twice.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Test::More;

use CompletionAsync::Client;
use CompletionAsync::Linked;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);

plan skip_all => 'the module is linked in already' if $ENV{TEST_NGINX_STATIC};
plan skip_all => 'there is no master to kill' if ($ENV{TEST_NGINX_MASTER} // '') eq 'off';

# By step: whether it is sent anew, its id is known, or nobody knows; and whether it was paid for.
# Where a worker and its node differ, the worker's word is the second one.
my @STEPS = (
    [ claim    => 'anew',    0 ],               # before anything is asked
    [ claimed  => 'anew',    0 ],               # it is this node's, as the server has said
    [ line     => 'anew',    0 ],               # it waits for a start
    [ called   => 'anew',    0 ],               # one is due
    [ sending  => 'unknown', 0 ],               # it is to be sent, as the server has said
    [ call     => 'unknown', 0 ],               # before there is a connection
    [ fence    => 'unknown', 0 ],               # before its first byte
    [ answer   => 'unknown', 1 ],               # upstream has it, nobody else knows
    [ accepted => 'unknown', 1 ],               # this worker knows
    [ kept     => 'unknown', 1, 'known' ],      # this node knows
    [ told     => 'known',   1 ],               # the server knows
);

local $ENV{TEST_NGINX_MODULE} = CompletionAsync::Linked->module('killed', 't/cluster/killed.c');

my $nodes = CompletionAsync::Nodes->new(
    n          => 1,
    emulator   => { delay => 600 },
    parameters => 'timeout=5s keys=strict',
    main       => 'env TEST_DIES=%%TESTDIR%%/dies;',
    provider   => 'submit_rate 1000r/s; submit_queue 100 3s; request_timeout 60s; poll_interval 30s 60s;',
);
my ($survivor) = $nodes->all;
my $emulator   = $nodes->emulator;

# how long those who die may have taken it decides when others go on: later than another worker says what
# a dead one had to, which is after twice the server's timeout
my $conf = $nodes->conf =~ s/request_timeout 60s/request_timeout 8s/r;


sub submit ($node, $key) {
    return $node->start(POST => '/translate', body => $key,
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key =~ tr{ }{-}r });
}


sub paid ($key) { scalar $emulator->submits($key) }


# Who is killed there is, when this returns.
sub killed ($step, $who) {
    my $node = $nodes->more($conf);
    $node->allow_killed_workers;
    chmod 0777, $node->testdir;
    $node->write_file('dies', "$step $who\n");
    my $client = submit($node, "$step $who");
    ok wait_until(sub { !-e $node->testdir . '/dies' }, 30), "$step: a $who dies";
    $client->close;
    $node->stop if $who eq 'node';
    return $node;
}


my @cases;
for my $step (@STEPS) {
    my ($name, $then, $paid, $of_worker) = @$step;
    push @cases, { name => "$name $_", node => killed($name, $_), paid => $paid,
        then => $_ eq 'worker' ? $of_worker // $then : $then } for qw(node worker);
}

for my $case (@cases) {
    is paid($case->{name}), $case->{paid}, "$case->{name}: paid, or not";
    my @at = ($survivor, $case->{name} =~ /worker/ ? $case->{node} : ());
    $case->{clients} = [ map { submit($_, $case->{name}) } @at ];
}
CompletionAsync::Client->gather([ map { @{ $_->{clients} } } @cases ], 90);

for my $case (@cases) {
    my ($name, $then) = @$case{qw(name then)};
    my @r = map { $_->response } @{ $case->{clients} };

    is join(' ', uniq map { $_->{status} // $_->{error} } @r), $then eq 'unknown' ? 424 : 202, "$name: $then";
    if ($then eq 'unknown') {
        is $_->json->{code}, 'outcome_unknown', '... as such' for @r;
    }
    else {
        is scalar(uniq map { $_->json->{id} } @r), 1, '... as one operation';
    }
    is paid($name), $then eq 'anew' ? 1 : $case->{paid}, '... and is not paid twice';
}

$nodes->done;
