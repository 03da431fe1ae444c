# A worker that dies between the first part's place in the line and the last part's acceptance:
# a repeat under the key pays for nothing twice, and loses nothing.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(timeout => 400, emulator => { delay => 60 });
my $e = $t->emulator;

$t->run_location(
    main     => 'worker_processes 2;',
    provider => '%%PROVIDER%% submit_rate 1r/s; submit_queue 20 60s; request_timeout 8s;',
    location => 'completion_async_split 32;',
);
$t->allow_killed_workers;

my @PARTS = map { "Part $_ of this text," } 1 .. 3;


# Posts the text, and kills the worker that has it when so many parts are accepted and the next
# one is on its way, or is not. Returns what the repeats come to.
sub killed ($key, $accepted, $held) {
    my @parts = map { "$_ $key" } @PARTS;
    my %request = (
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key },
        body    => join("\n\n", @parts),
    );
    my $sent = sub { map { $e->submits($_) } @parts };

    $e->fault(submit => $accepted + 1, hold => 'it') if $held;
    my $client = $t->start(POST => '/translate', %request);

    ok wait_until(sub {
        my @sent = $sent->();
        return @sent == $accepted + $held && $accepted == grep { $_->{end} } @sent;
    }, 60), "$accepted accepted" . ($held && ', one on its way') or diag scalar $sent->();

    my ($worker) = grep { has_client($_, $client) } $t->worker_pids;
    ok $worker, 'there is the worker' or return;
    $t->kill_worker($worker);
    $client->close;
    $e->release;
    $e->clear_faults;

    my $r;
    wait_until(sub {
        $r = $t->request(POST => '/translate', %request, timeout => 60);
        return ($r->{status} // 0) =~ /^(?:202|424)$/;
    }, 60, 0.2);

    my %times;
    $times{ $_->{json}{messages}[-1]{text} }++ for $sent->();
    is scalar(grep { $_ > 1 } values %times), 0, 'nothing was paid twice' or diag explain \%times;
    return ($r, $sent->());
}


# Whether the connection's other end is that process's.
sub has_client ($pid, $client) {
    my %inode = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () }
        glob "/proc/$pid/fd/*";
    my $port = sprintf '%04X', $client->{socket}->sockport;

    open my $in, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
    return scalar grep { (split)[2] =~ /:$port$/ && $inode{ (split)[9] } } <$in>;
}


for my $accepted (0 .. 2) {
    subtest "$accepted accepted, one on its way" => sub {
        my ($r) = killed("held$accepted", $accepted, 1) or return;
        $t->refused($r, 424, 'outcome_unknown', 'nobody knows');
    };
}

for my $accepted (1 .. 2) {
    subtest "$accepted accepted, the next one in line" => sub {
        my ($r, @sent) = killed("line$accepted", $accepted, 0) or return;

        if ($r->{status} == 202) {
            is scalar @sent, 3, 'the rest is sent';
            my %id = map { $_->{operation} => 1 } @sent;
            is scalar(grep { $id{$_} } split /[.~]+/, $r->json->{id}), 3, '... and none is lost';

        } else {
            $t->refused($r, 424, 'outcome_unknown', 'one had left the line meanwhile');
        }
    };
}

$t->done;
