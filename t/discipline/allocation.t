use strict;
use warnings;
use v5.36;

# Memory that is not there: each allocation of a walk through what the module does fails, one at a
# time. Every request is answered with a status all the same, the worker lives, and what failed
# leaves nothing behind. With TEST_NGINX_EVERY=1 it is every one of them; by default every seventh
# fails, for the sake of time.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);

use CompletionAsync::Linked;
use CompletionAsync::Scenario;

plan skip_all => 'the module is linked in already' if $ENV{TEST_NGINX_STATIC};

my $module = CompletionAsync::Linked->module('fail', 't/discipline/fail.c');
open my $control, '+>', "$module.control" or die "$module.control: $!\n";
print {$control} "\0" x 76;
$control->autoflush(1);
chmod 0666, "$module.control";

$ENV{TEST_NGINX_MODULE} = $module;
my $t = CompletionAsync::Scenario->start(timeout => 600);
my ($worker) = $t->worker_pids;
my (%failed, @odd);

my $every = $ENV{TEST_NGINX_EVERY} // 7;

walk('first');
my $fds = descriptors(0);
my @step = CompletionAsync::Scenario->steps($t, 'counted');

for my $number (0 .. $#step) {
    my ($what, $n, $calls) = ('', 1, 0);

    # What the walk lets fail is another one in each step.
    $n += $number % $every;
    while (1) {
        ($what, $calls) = step_failing($number, $n);
        last if $calls < $n;
        $n += $every;
    }
    note "$what: $calls allocations";
}
is scalar @odd, 0, 'every request is answered' or diag join "\n", @odd;
note "$_: $failed{$_}" for sort keys %failed;

is_deeply [ $t->worker_pids ], [$worker], 'the worker lives';
walk('last');
cmp_ok descriptors($fds + 2), '<=', $fds + 2, 'no descriptor is left';
$t->allow_alarms(qr/failed \(12: Cannot allocate memory\)/);
$t->done;


# Of the worker. Connections to upstream that nobody uses are closed before; one more may be there
# for a poll at this moment.
sub descriptors ($expected) {
    my $count;
    for (1 .. 3) {
        $t->emulator->disconnect(idle => 1);
        sleep 1.1;
        $t->request(POST => '/translate', body => 'once more');
        $count = $t->fd_count($worker);
        last if $count <= $expected;
    }
    return $count;
}


# The n-th allocation fails from the moment on that this step begins.
sub step_failing ($number, $n) {
    my $step = (CompletionAsync::Scenario->steps($t, "$number-$n"))[$number];

    control(1, $n);
    my ($what, @responses) = $step->();
    my ($calls, $failed) = controlled();
    control(0, 0);

    $failed{$failed}++ if length $failed;
    push @odd, map { "$what, call $n, $failed: $_" } alarms();
    push @odd, map { "$what, call $n, $failed: " . ($_->{error} // '') . " $_->{raw}" }
        grep { !answered($_) } @responses;
    return ($what, $calls);
}


# A stream that has begun can only be cut off, and its client comes again.
sub answered ($r) {
    return $r->{status} && (!$r->{error} || $r->{error} eq 'closed'
        && $r->header('Content-Type') eq 'text/event-stream');
}


# Alerts of this moment. That memory is missing is not one of them.
sub alarms () {
    state $log;
    open $log, '<', $t->testdir . '/error.log' or die "error.log: $!\n" if !$log;
    seek $log, 0, 1;
    return grep { /\[(?:alert|crit|emerg)\]/ && !/failed \(12: Cannot allocate memory\)/ } <$log>;
}


sub walk ($name) {
    for my $step (CompletionAsync::Scenario->steps($t, $name)) {
        my ($what, @responses) = $step->();
        is scalar(grep { $_->{status} && $_->{status} < 500 } @responses), scalar @responses,
            "$name: $what";
    }
}


sub control ($count, $fail) {
    seek $control, 0, 0;
    print {$control} pack 'L3 a64', $count, $fail, 0, '';
}


sub controlled () {
    seek $control, 0, 0;
    read $control, my $page, 76;
    my (undef, undef, $calls, $name) = unpack 'L3 Z64', $page;
    return ($calls, $name);
}
