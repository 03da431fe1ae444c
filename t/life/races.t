# What may happen while an upstream answer is on its way: a cancel, the deadline, the end of
# retention, an adoption, eviction, and the death of the worker that asked.
#
# The emulator makes up its answer when a poll arrives and holds it, so that what is raced against
# comes in between.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Mojo::JSON qw(encode_json);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $CONF = <<'EOC';
worker_processes 2;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider plain {
        zone          plain 1m;
        poll_interval 200ms 500ms;
        %%PROVIDER%%
    }
    completion_async_provider short {
        zone          short 1m;
        poll_interval 300ms 600ms;
        deadline      1s;
        %%PROVIDER%%
    }
    completion_async_provider brief {
        zone          brief 1m;
        poll_interval 100ms 500ms;
        retention     1s;
        %%PROVIDER%%
    }
    completion_async_provider tight {
        zone            tight 64k;
        poll_interval   100ms 500ms;
        request_timeout 4s;
        retention       2s;
        %%PROVIDER%%
    }
    completion_async_provider small {
        zone          small 64k;
        poll_interval 100ms 500ms;
        %%PROVIDER%%
    }
    completion_async_provider full {
        zone          full 64k;
        poll_interval 1s 10s;
        %%PROVIDER%%
    }
    completion_async_provider large {
        zone          large 1m;
        poll_interval 100ms 500ms;
        %%PROVIDER%%
    }
    completion_async_provider mortal {
        zone            mortal 1m;
        poll_interval   200ms 400ms;
        request_timeout 3s;
        %%PROVIDER%%
    }
    %%METRICS%%
    server {
        listen 127.0.0.1:%%PORT%%%%REUSEPORT%%;

        completion_async_model yandexgpt-lite;

        location /plain  { completion_async plain; }
        location /short  { completion_async short; }
        location /brief  { completion_async brief; }
        location /tight  { completion_async tight; }
        location /small  { completion_async small; }
        location /full   { completion_async full; }
        location /large  { completion_async large; }
        location /mortal { completion_async mortal; }
    }
}
EOC

# Done upstream before its first poll comes.
my $DONE = '[delay=0.02]';

my ($t, $emulator);


sub start ($reuseport) {
    $t = CompletionAsync::Test->new(emulator => { delay => 60 });
    $t->define(REUSEPORT => $reuseport);
    $t->run($CONF);
    $emulator = $t->emulator;
}


# Location, and the upstream's id.
sub submit ($path, $text) {
    my $location = $t->submit($text, path => $path)->{location};
    return ($location, ($emulator->submits($text))[-1]{operation});
}


# Those that are done and known here to be.
sub finished ($path, @texts) {
    my @op = map { [ submit($path, "$DONE $_") ] } @texts;
    my @r = $t->concurrent(map { [ GET => $_->[0], headers => { Prefer => 'wait=8' } ] } @op);
    is scalar(grep { $_->json && $_->json->{done} } @r), scalar @op, "$path: finished";
    return @op;
}


sub until_true ($what, $check, $timeout = 10) {
    ok wait_until($check, $timeout), $what;
}


sub until_polled ($id, $n = 1) {
    until_true("poll $n has come", sub { $emulator->polls($id) >= $n });
}


sub until_answered ($id, $n = 1) {
    until_true("poll $n is answered", sub {
        grep({ defined $_->{end} } $emulator->polls($id)) >= $n && all_read();
    });
}


# Until another operation has been polled so many seconds after this.
sub until_others_go_on ($seconds) {
    my $begin = time;
    my ($location, $id) = submit('/plain', "other $begin");
    until_true("$seconds s later others are polled",
        sub { grep { $_->{time} >= $begin + $seconds } $emulator->polls($id) });
    $emulator->finish($id);
    $t->poll_until_done($location);
}


# What upstream has answered, nginx has read: each transfer is counted at its end.
sub all_read () {
    my $answered = grep { ($_->{end} // 'client') ne 'client' } $emulator->polls;
    return $t->metrics->sum('upstream_requests_total', kind => 'poll') >= $answered;
}


sub text ($r) { eval { $r->json->{response}{alternatives}[0]{message}{text} } // '' }

sub is_result ($r, $text, $name) {
    is $r->{status}, 200, "$name: 200" or diag($r->{body});
    is text($r), "echo: $text", "$name: its result";
}

sub is_cancelled ($r, $name) {
    my $json = $r->json // {};
    ok $json->{done}, "$name: done";
    is eval { $json->{error}{code} }, 1, "$name: cancelled";
    ok !exists $json->{response}, "$name: no response";
}


start(' reuseport');

# Their retention is over when their turn comes: a second of it, two for its being counted in
# whole ones, one until somebody looks.
my %old;
@old{qw(many missing cancel)} = finished('/brief', qw(many missing cancel));
my $old = time + 4.5;


subtest 'cancelled while an answer is on its way' => sub {
    my %answer = (done => {}, pending => {}, failing => { status => 500 },
        missing => { status => 404 });
    my %op;

    for my $answer (sort keys %answer) {
        $emulator->fault(poll => 1, hold => 'poll', %{ $answer{$answer} });
        $op{$answer} = [ submit('/plain', ($answer eq 'done' ? $DONE : '') . " $answer") ];
        until_polled($op{$answer}[1]);

        my $waiting = $t->start(GET => $op{$answer}[0], headers => { Prefer => 'wait=5' });
        $t->until_waiting(1);
        is_cancelled($t->request(DELETE => $op{$answer}[0]), "DELETE, $answer");
        my $r = $waiting->response(5);
        is_cancelled($r, "who waits, $answer");
        ok !defined(($emulator->polls($op{$answer}[1]))[0]{end}), 'the answer is still on its way';
    }

    is $emulator->release('poll'), 4, 'and now comes';
    until_answered($op{$_}[1]) for sort keys %op;
    my ($other, $other_id) = submit('/plain', 'other');
    until_polled($other_id, 3);
    $t->request(DELETE => $other);
    for my $answer (sort keys %op) {
        my ($location, $id) = @{ $op{$answer} };
        is_cancelled($t->request(GET => $location), "after it, $answer");
        is scalar $emulator->polls($id), 1, 'nobody asks any more';
        is scalar $emulator->cancels($id), 1, 'upstream was told once';
    }
    $emulator->clear_faults;
};


subtest 'the deadline passes while an answer is on its way' => sub {
    $emulator->fault(poll => [ 1, 2 ], hold => 'poll');
    my ($done, $done_id) = submit('/short', "$DONE a");
    my ($pending, $pending_id) = submit('/short', 'b');
    until_polled($_) for $done_id, $pending_id;

    until_others_go_on(1);
    ok !$t->request(GET => $pending)->json->{done}, 'pending' for 1 .. 3;
    until_others_go_on(0.2);
    is scalar $emulator->polls($pending_id), 1, 'nobody else asks meanwhile';
    $emulator->release('poll');
    until_answered($_) for $done_id, $pending_id;

    is_result($t->request(GET => $done), "$DONE a", 'done');
    is scalar $emulator->polls($done_id), 1, 'from the zone';

    until_others_go_on(1);
    is scalar $emulator->polls($pending_id), 1, 'pending: not asked again';
    $emulator->finish($pending_id);
    is_result($t->request(GET => $pending, headers => { Prefer => 'wait=5' }), 'b',
        'for a client it is');
    is scalar $emulator->polls($pending_id), 2, 'once';
    $emulator->clear_faults;
};


# Results enough to take the place of all that came before.
sub push_out ($path) { finished($path, map { "[size=7000] $_" } 1 .. 9) }

sub lie ($id) {
    return encode_json({ id => $id, description => '', createdAt => '2024-05-12T18:46:54Z',
        createdBy => '', modifiedAt => '2024-05-12T18:46:54Z', done => \0, metadata => undef });
}


subtest 'retention ends while a result is fetched again' => sub {
    my ($waited, $leased) = finished('/tight', qw(waited leased));
    push_out('/tight');
    my ($first, $second) = map { scalar $emulator->polls($_->[1]) } $waited, $leased;

    # Of the one, somebody waits between two polls, none being under way.  Of the other, a poll
    # is under way that nobody waits for any more, until the next client joins it.
    $emulator->fault(poll => 1, operation => $_->[1], delay => 2.2, status => 500)
        for $waited, $leased;
    $emulator->fault(poll => 2, operation => $leased->[1], hold => 'poll');
    my @client = map { $t->start(GET => $_->[0]) } $waited, $leased;

    is_result($client[0]->response(10), "$DONE waited", 'who waits');
    is $emulator->polls($waited->[1]) - $first, 2, 'asked once more';

    is $client[1]->response(10)->{status}, 503, 'no answer in time';
    until_others_go_on(1.2);
    ok !defined(($emulator->polls($leased->[1]))[-1]{end}), 'it is still on its way';
    my $later = $t->start(GET => $leased->[0]);
    $t->until_waiting(1);
    is $emulator->release('poll'), 1, 'until then';
    is_result($later->response, "$DONE leased", 'who comes later');
    is $emulator->polls($leased->[1]) - $second, 2, 'joins the poll under way';
    $emulator->clear_faults;
};


subtest 'states only go forward' => sub {
    my @op = finished('/small', qw(pending missing));
    push_out('/small');

    for my $name (qw(pending missing)) {
        my ($location, $id) = @{ shift @op };
        my $polls = $emulator->polls($id);
        my %lie = $name eq 'pending' ? (body => lie($id), type => 'application/json')
                                     : (status => 404);

        $emulator->fault(poll => 'every', operation => $id, %lie);
        my @r = map { $t->request($_ => $location) } qw(GET DELETE GET);
        is join(' ', map { $_->{status} // $_->{error} } @r), '503 503 503',
            "upstream says $name: nothing is known for the moment";
        cmp_ok scalar $emulator->polls($id), '>', $polls, 'it was asked';
        is scalar $emulator->cancels($id), 0, 'a finished one is not cancelled';

        $emulator->clear_faults;
        my $r;
        until_true('an answer', sub { ($r = $t->request(GET => $location))->{status} == 200 });
        is_result($r, "$DONE $name", 'the truth again');
    }
};


subtest 'adopted by many at once' => sub {
    until_true('their retention is over', sub { time >= $old });
    my ($location, $id) = @{ $old{many} };
    my $polls = $emulator->polls($id);
    $emulator->fault(poll => 1, operation => $id, delay => 0.7);
    my @r = $t->concurrent(([ GET => $location ]) x 24);
    is scalar(grep { text($_) eq "echo: $DONE many" } @r), 24, 'all get the result';
    is $emulator->polls($id) - $polls, 1, 'upstream is asked once';

    ($location, $id) = @{ $old{missing} };
    $polls = $emulator->polls($id);
    $emulator->fault(poll => 1, operation => $id, delay => 0.7, status => 404);
    @r = $t->concurrent(([ GET => $location ], [ DELETE => $location ]) x 8);
    is scalar(grep { $_->{status} == 404 } @r), 16, 'not there: 404 for all';
    @r = $t->concurrent(([ GET => $location ]) x 8);
    is scalar(grep { $_->{status} == 404 } @r), 8, 'upstream knows it by now: 404 for a minute';
    is $emulator->polls($id) - $polls, 1, 'upstream is asked once';
    is scalar $emulator->cancels($id), 0, 'and told nothing';

    ($location, $id) = @{ $old{cancel} };
    $polls = $emulator->polls($id);
    $emulator->fault(poll => 1, operation => $id, delay => 0.7);
    @r = $t->concurrent(([ DELETE => $location ], [ GET => $location ]) x 8);
    is scalar(grep { text($_) eq "echo: $DONE cancel" } @r), 16,
        'cancelled before anything is known: finished, and unchanged';
    is $emulator->polls($id) - $polls, 1, 'upstream is asked once';
    is scalar $emulator->cancels($id), 0, 'and told nothing';
    $emulator->clear_faults;
};


subtest 'eviction passes by what is asked for' => sub {
    $emulator->fault(poll => 1, hold => 'poll');
    my ($leased, $leased_id) = submit('/full', "$DONE leased");
    until_polled($leased_id);
    my ($waited, $waited_id) = submit('/full', 'waited');
    my $waiting = $t->start(GET => $waited, headers => { Prefer => 'wait=10' });
    $t->until_waiting(1);

    # A record and its document take three quarters of a kilobyte.
    my @r = map { my $n = $_; $t->concurrent(map { [ POST => '/full', body => "$n $_" ] } 1 .. 40) }
        1 .. 4;
    is scalar(grep { $_->{status} == 202 } @r), 160, 'twice what the zone has room for';
    ok !defined(($emulator->polls($leased_id))[0]{end}), 'an answer is still on its way';
    $emulator->finish($waited_id);

    is_result($waiting->response(12), 'waited', 'who waits');
    $emulator->release('poll');
    until_answered($leased_id);
    is_result($t->request(GET => $leased), "$DONE leased", 'the answer found its record');
    is scalar $emulator->polls($leased_id), 1, 'upstream is not asked again';
    $emulator->finish;
    $emulator->clear_faults;
};


subtest 'two results where one has room' => sub {
    my @text = map { "$DONE [size=500000] $_" } qw(a b);
    my @op = map { [ submit('/large', $_) ] } @text;
    my @result = map { text($t->poll_until_done($_->[0])) } @op;
    is scalar(uniq @result), 2, 'two results';

    my ($good, @bad) = (0);
    my $deadline = time + 1;
    while (time < $deadline) {
        my @r = $t->concurrent(map { [ GET => $_->[0] ] } (@op) x 4);
        for my $n (0 .. $#r) {
            text($r[$n]) eq $result[ $n % 2 ] ? $good++ : push @bad, $r[$n];
        }
    }
    is scalar @bad, 0, 'each reader gets the whole of its own'
        or diag(map { ($_->{status} // $_->{error}) . "\n" } @bad);
    cmp_ok $good, '>', 0, 'there were some';
    cmp_ok $emulator->polls($op[0][1]) + $emulator->polls($op[1][1]), '>', 2, 'and evictions';
};


ok $t->stop, 'nginx ends by itself';


# The worker that has the only busy connection to upstream.
sub asking () {
    $emulator->disconnect(idle => 1);
    open my $file, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    my $port = sprintf ':%04X', $emulator->port;
    my %inode;
    while (<$file>) {
        my @field = split;
        $inode{"socket:[$field[9]]"} = 1 if $field[2] =~ /\Q$port\E$/ && $field[3] eq '01';
    }
    my @pids = grep { grep { $inode{$_} } $t->fds($_) } $t->worker_pids;
    is scalar @pids, 1, 'one worker asks';
    return $pids[0];
}


subtest 'a worker goes away while its answer is on its way' => sub {
    # One accepts for the other.
    start('');
    $t->allow_killed_workers;

    $emulator->fault(poll => 1, delay => 60, text => 'killed');
    my ($killed, $killed_id) = submit('/mortal', "$DONE killed");
    until_polled($killed_id);
    $t->kill_worker(asking());
    ok !$t->request(GET => $killed)->json->{done}, 'pending' for 1 .. 3;

    # Long enough for it to be stopped, which is when the answer comes.
    $emulator->fault(poll => 1, delay => 2, text => 'stopped');
    my ($stopped, $stopped_id) = submit('/mortal', 'stopped');
    until_polled($stopped_id);
    my $worker = asking();
    kill STOP => $worker;
    $emulator->finish($stopped_id);

    for my $op ([ $killed, $killed_id, "$DONE killed" ], [ $stopped, $stopped_id, 'stopped' ]) {
        my ($location, $id, $text) = @$op;
        is_result($t->request(GET => $location, headers => { Prefer => 'wait=15' }, timeout => 20),
            $text, 'another takes over');
        my @polls = $emulator->polls($id);
        is scalar @polls, 2, 'asked again once';
        # request_timeout, and a second
        cmp_ok $polls[1]{time} - $polls[0]{time}, '>=', 3.8, 'when the lease has run out';
    }

    until_true('the first answer has been sent',
        sub { defined(($emulator->polls($stopped_id))[0]{end}) });
    kill CONT => $worker;
    until_true('and is read', sub { all_read() });
    is_result($t->request(GET => $stopped), 'stopped', 'a late answer changes nothing');
    is scalar $emulator->polls($stopped_id), 2, 'and has nobody ask again';
    $t->done;
};


done_testing;
