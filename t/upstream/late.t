#!/usr/bin/perl

# A worker that stood still until its requests' time was over: it reads what upstream has answered
# meanwhile, and sends nothing any more.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $TIME = 5;

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
my $upstream = $t->emulator;

# three quarters of a quarter of the connections
$t->run_location(
    main     => 'worker_processes 1;',
    events   => 'worker_connections 32;',
    provider => "%%PROVIDER%% request_timeout ${TIME}s;",
);

my $n = 6;
$upstream->fault(submit => 'every', hold => 'late');
my @sent = map { $t->start(POST => '/translate', body => "sent $_", timeout => 60) } 1 .. $n;
ok $upstream->wait_for(submit => $n), 'so many are sent';
my $line = $t->start(POST => '/translate', body => 'in line', timeout => 60);
$t->until_waiting($n + 1);
my $over = time + $TIME + 1;
my ($worker) = $t->worker_pids;
kill STOP => $worker;
$upstream->clear_faults;
$upstream->release('late');
ok $upstream->wait_over(submit => $n), 'upstream answers them';
wait_until(sub { time > $over }, 30);
kill CONT => $worker;

is $_->response->{status}, 202, 'what was answered is accepted' for @sent;
$t->refused($line->response, 503, 'upstream_unavailable', 'what was in line is not sent');
is scalar $upstream->submits('in line'), 0, '... nor was it';

$t->done;
