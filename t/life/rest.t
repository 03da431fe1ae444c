# A worker that has nothing to do sleeps: with a key file, nothing scheduled and nobody there, it wakes
# no more than once in two seconds.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $SECONDS = 10;

my $t = CompletionAsync::Test->new;
$t->run_location(main => 'worker_processes 1;');
my ($worker) = $t->worker_pids;


# How often it has gone to sleep.
sub slept () {
    open my $file, '<', "/proc/$worker/status" or die "process $worker: $!\n";
    my ($n) = do { local $/; <$file> } =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
    return $n;
}


# Whether it is not woken more often; a busy machine wakes it later, and no more often.
sub rests () {
    my $before = slept();
    return !wait_until(sub { slept() - $before > $SECONDS / 2 }, $SECONDS, 0.1);
}

ok wait_until(sub { rests() }, 60), 'it rests';

my $r = $t->post('text');
is $t->poll_until_done($r->header('Location'))->{status}, 200, 'until it is asked for something';
ok wait_until(sub { rests() }, 60), 'and then it rests again';

$t->done;
