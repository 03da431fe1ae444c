# Reloads, ends, upgrades, and workers that die: what was accepted ends in its own result.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $CONF = CompletionAsync::Test->location_conf(
    main     => "worker_processes %%WORKERS%%;\n%%MAIN%%",
    events   => '%%EVENTS%%',
    provider => '%%PROVIDER%% poll_interval 100ms 500ms; request_timeout %%REQUEST_TIMEOUT%%; %%MORE%%',
);

my %TEXT = (headers => { 'Content-Type' => 'text/plain' });


sub start (%opt) {
    my $t = CompletionAsync::Test->new(
        emulator => { delay => 60, %{ delete $opt{emulator} // {} } },
    );
    $t->write_file('id.key', 'k' x 32, 0600);
    $t->define(WORKERS => 2, MAIN => '', EVENTS => '', REQUEST_TIMEOUT => '2s', MORE => '', %opt);
    $t->define(MORE => $t->expand($opt{MORE})) if $opt{MORE};
    $t->run($CONF);
    return $t;
}


# Location, and the upstream's id.
sub submit ($t, $text = 'text') {
    my $op = $t->submit($text);
    is $op->{response}{status}, 202, 'accepted';
    return $op->@{qw(location upstream)};
}


sub echoes ($r, $text, $name) {
    my $json = $r->json // {};
    is eval { $json->{response}{alternatives}[0]{message}{text} }, "echo: $text", $name
        or diag $r->{status} // '-', ' ', $r->{error} // '', ' ', $r->{body};
}


# Does what it is told, some times, from a process of its own: whenever so many more submits came.
sub storm ($t, $times, $submits, $what) {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    for my $n (1 .. $times) {
        $t->emulator->wait_for(submit => $n * $submits);
        $what->();
    }
    POSIX::_exit(0);
}


subtest 'a reload with pending operations' => sub {
    my $t = start();
    my $emulator = $t->emulator;
    my @ops = map { [ submit($t, "text $_"), "text $_" ] } 1 .. 5;
    my $location = $ops[0][0];

    my @polls = map { $t->start(GET => $location, headers => { Prefer => 'wait=50' }) } 1 .. 20;
    my @posts = map {
        $t->start(POST => '/translate', body => 'x',
            headers => { 'Content-Type' => 'text/plain', Prefer => 'wait=50' })
    } 1 .. 5;
    my @streams = map { $t->stream($location) } 1 .. 5;
    $_->event for @streams;
    $t->until_waiting(30);

    kill HUP => $t->master_pid;
    CompletionAsync::Client->gather([ @polls, @posts, @streams ], 10);
    is_deeply [ map { $_->response->{status} } @polls ], [ (200) x 20 ], 'polls: 200';
    is scalar(grep { $_->response->json && !$_->response->json->{done} } @polls), 20, 'pending';
    is scalar(grep { $_->response->header('Retry-After') } @polls), 20, 'with Retry-After';
    is_deeply [ map { $_->response->{status} } @posts ], [ (202) x 5 ], 'submits: 202';
    is scalar(grep { $_->response->{complete} } @streams), 5, 'streams end in order';
    is scalar(grep { $_->{response}{body} =~ /^id: done/m } @streams), 0, 'without an end';
    ok $t->reload(wait_old => 1), 'another reload: the old workers are gone';

    my $polls = $emulator->polls;
    ok wait_until(sub { $emulator->polls >= $polls + 5 }), 'the new ones go on';
    $emulator->finish;
    for my $op (@ops) {
        my $r = $t->request(GET => $op->[0], headers => { Prefer => 'wait=8' });
        echoes($r, $op->[2], 'its result');
    }
    is scalar $emulator->submits, 10, 'nothing was submitted twice';
    $t->done;
};


subtest 'a submit on its way' => sub {
    my $t = start();
    my $emulator = $t->emulator;
    $emulator->fault(submit => '1-2', hold => 'clients');
    $emulator->fault(submit => '3-4', hold => 'submit');
    my @clients = map { $t->start(POST => '/translate', %TEXT, body => "slow $_") } 1, 2;
    ok $emulator->wait_for(submit => 2), 'two clients';
    $t->hang_up(POST => '/translate', %TEXT, body => 'slow 3');
    ok $emulator->wait_for(submit => 3), 'they are on their way';

    ok $t->reload, 'a reload';
    # all three were sent by one of the two, or by both of them
    cmp_ok scalar $t->worker_pids(all => 1), '>=', 3, 'the old worker stays for them';
    is $emulator->release('clients'), 2, 'now they are answered';
    my @r = map { $_->response } @clients;
    $_->close for @clients;
    for my $n (1, 2) {
        my $r = $r[ $n - 1 ];
        is $r->{status}, 202, 'accepted';
        my ($submit) = grep { $_->{body} =~ /slow $n/ } $emulator->submits;
        $emulator->finish($submit->{operation});
        echoes($t->request(GET => $r->header('Location'), headers => { Prefer => 'wait=8' }),
            "slow $n", 'and known to the new worker');
    }
    cmp_ok scalar $t->worker_pids(all => 1), '>=', 3, 'it also stays for who has gone';
    is $emulator->release('submit'), 1, 'whose submit is answered';
    ok wait_until(sub { $t->worker_pids(all => 1) == 2 }), 'and then goes';
    my ($gone) = map { $_->{operation} } grep { $_->{body} =~ /slow 3/ } $emulator->submits;
    ok wait_until(sub { $emulator->polls($gone) >= 1 }), 'the one whose client has gone, too';

    my $client = $t->start(POST => '/translate', %TEXT, body => 'last');
    ok $emulator->wait_for(submit => 4), 'another one is on its way';
    kill QUIT => $t->master_pid;
    ok wait_until(sub { !$t->worker_pids }), 'nginx quits';
    cmp_ok scalar $t->worker_pids(all => 1), '>=', 1, 'not before it is accepted';
    is $emulator->release, 1, 'which it is';
    is $client->response->{status}, 202, 'and told to the client';
    $client->close;
    ok $t->stop, 'nginx quits by itself';
    is scalar $emulator->submits, 4, 'nothing was submitted twice';
    $t->done;
};


subtest 'an upstream that does not answer' => sub {
    my $t = start();
    $t->emulator->fault(submit => 1, silent => 1);
    my $client = $t->start(POST => '/translate', %TEXT, body => 'text');
    ok $t->emulator->wait_for(submit => 1), 'on its way';

    kill QUIT => $t->master_pid;
    my $r = $client->response;
    $client->close;
    ok $t->stop, 'nginx quits by itself, after request_timeout';
    $t->refused($r, 424, 'outcome_unknown', 'the client is told');
    $t->done;
};


subtest 'the line of the quota' => sub {
    my $t = start(MORE => 'submit_rate 2r/s; submit_queue 10;');
    my @clients = map { $t->start(POST => '/translate', %TEXT, body => "text $_") } 1 .. 4;
    wait_until(sub { (grep { $_->is_over } @clients) + $t->metrics->sum('waiters') == 4 });
    kill QUIT => $t->master_pid;
    is_deeply [ map { $_->response->{status} } @clients ], [ (202) x 4 ], 'those in the line';
    $_->close for @clients;
    ok $t->stop, 'nginx quits by itself after them';
    is scalar $t->emulator->submits, 4, 'each was sent';
    $t->done;
};


subtest 'a worker dies' => sub {
    my $t = start(WORKERS => 1);
    my $emulator = $t->emulator;
    $t->allow_killed_workers;
    my ($location, $upstream) = submit($t);
    $emulator->fault(poll => 1, silent => 1);
    my $polls = $emulator->polls;
    ok wait_until(sub { $emulator->polls > $polls }), 'a poll is on its way';
    $t->kill_worker;
    $emulator->finish;

    my $r = $t->poll($location, headers => { Prefer => 'wait=9' });
    echoes($r, 'text', 'its operation ends when the lease has run out');

    $emulator->fault(submit => 1, hold => 'lost');
    my $submits = $emulator->submits;
    my $client = $t->start(POST => '/translate', %TEXT, body => 'lost');
    ok $emulator->wait_for(submit => $submits + 1), 'a submit is on its way';
    $t->kill_worker;
    is $client->response->{status}, undef, 'its client has no answer';
    ($location, $upstream) = submit($t, 'next');
    $emulator->finish;
    echoes($t->poll($location, headers => { Prefer => 'wait=8' }), 'next', 'all is well');
    is scalar $emulator->submits, $submits + 2, 'it is not sent again';
    $t->done;
};


subtest 'a worker dies inside the lock' => sub {
    my ($gdb) = grep { -x } map { "$_/gdb" } split /:/, $ENV{PATH};
    plan skip_all => 'there is no gdb' if !defined $gdb;

    my $t = start(WORKERS => 2);
    my $emulator = $t->emulator;
    $t->allow_killed_workers;
    my ($pending, $upstream) = submit($t, 'pending');
    my ($done, $done_upstream) = submit($t, 'done');
    my ($cancelled) = submit($t, 'cancelled');
    $emulator->finish($done_upstream);
    $t->poll_until_done($done);
    $t->request(DELETE => $cancelled);
    my @waits = map { $t->start(GET => $pending, headers => { Prefer => 'wait=20' }) } 1 .. 10;
    my @streams = map { $t->stream($pending) } 1 .. 4;
    $_->event for @streams;
    $t->until_waiting(14);

    my ($pid) = $t->worker_pids;
    my $output = `timeout 30 $gdb -nx -q -batch -p $pid -ex 'break ngx_completion_zone_unlock' \\
        -ex continue -ex kill </dev/null 2>&1`;
    like $output, qr/Breakpoint 1[.,]/, 'gdb stops a worker there' or return $t->done;
    ok wait_until(sub { $t->log =~ /zone "operations", it was made anew/ }),
        'the zone is made anew';
    is scalar(() = $t->log =~ /it was made anew/g), 1, 'once';
    ok wait_until(sub { $t->worker_pids == 2 }), 'there are two workers again';

    my $r = $t->poll($pending);
    is $r->{status}, 200, 'ids are still good';
    ok !$r->json->{done}, 'pending';
    echoes($t->poll($done), 'done', 'what was finished is fetched again');
    is $t->poll($cancelled)->{status}, 200, 'a cancel is forgotten, its id is not';
    my ($new) = submit($t, 'new');

    $emulator->finish;
    echoes($t->poll($new, headers => { Prefer => 'wait=8' }), 'new', 'submits work');

    CompletionAsync::Client->gather([ @waits, @streams ]);
    my @r = map { $_->response } @waits;
    my @answered = grep { defined $_->{status} } @r;
    note scalar(@answered), ' waited in the other worker';
    is scalar(grep { $_->json && $_->json->{done} } @answered), scalar @answered,
        'who waited in the other worker has the result';
    my @ended = grep { $_->{response}{complete} } @streams;
    is scalar(grep { $_->{response}{body} =~ /^id: done/m } @ended), scalar @ended,
        'and the streams there';
    $t->done;
};


subtest 'a binary upgrade' => sub {
    my $t = start(MORE => 'id_key file:%%TESTDIR%%/id.key;');
    my $emulator = $t->emulator;
    my ($pending, $upstream) = submit($t, 'pending');
    my ($done, $done_upstream) = submit($t, 'done');
    $emulator->finish($done_upstream);
    $t->poll_until_done($done);
    my $held = $t->start(GET => $pending, headers => { Prefer => 'wait=50' });
    my $old = $t->master_pid;

    ok $t->usr2(quit => 0), 'upgraded';
    kill QUIT => $old;
    my $r = $held->response;
    is $r->{status}, 200, 'who waited has an answer, when the old worker is to go';
    ok !$r->json->{done}, 'pending';
    echoes($t->poll($done), 'done', 'the finished one');
    ok !$t->poll($pending)->json->{done}, 'the pending one';
    $emulator->finish;
    echoes($t->poll($pending, headers => { Prefer => 'wait=8' }), 'pending', 'its end');
    is scalar $emulator->submits, 2, 'nothing was submitted twice';
    $t->done;
};


for my $how (
    [ 'use poll'           => EVENTS => 'use poll;', WORKERS => 2 ],
    [ 'use select'         => EVENTS => 'use select;', WORKERS => 1 ],
    [ 'master_process off' => MAIN => 'master_process off;' ],
    [ 'one worker'         => WORKERS => 1 ],
    [ 'four workers'       => WORKERS => 4 ],
    )
{
    my ($name, @conf) = @$how;
    subtest $name => sub {
        if (my ($type) = $name =~ /^use (.*)/) {
            my $t = CompletionAsync::Test->new(emulator => 0);
            my ($status, $output) = $t->nginx_t(
                "%%TEST_GLOBALS%%\nevents { $name; }\nhttp { %%TEST_GLOBALS_HTTP%% }\n");
            plan skip_all => "this nginx has no $type" if $output =~ /invalid event type/;
        }
        my $t = start(@conf);
        my $emulator = $t->emulator;
        my ($location, $upstream) = submit($t, 'text');
        my ($cancelled) = submit($t, 'cancelled');
        my @waits = map { $t->start(GET => $location, headers => { Prefer => 'wait=50' }) } 1 .. 8;
        my $stream = $t->stream($location);
        my $ended = $t->stream($cancelled);
        is $stream->event->{id}, 'pending', 'pending';
        is $ended->event->{id}, 'pending', 'pending';
        $t->until_waiting(10);

        $t->request(DELETE => $cancelled);
        is $ended->event->{id}, 'done', 'cancelled';
        $emulator->finish;
        CompletionAsync::Client->gather(\@waits);
        is scalar(grep { $_->response->json && $_->response->json->{done} } @waits), 8, 'all';
        is $stream->event->{id}, 'done', 'the stream';

        my ($next, $next_upstream) = submit($t, 'after');
        # nginx itself serves no more after a reload without a master
        ok $t->reload(wait_old => 1), 'reloaded' if $name ne 'master_process off';
        echoes($t->poll($location), 'text', 'still known');
        $emulator->finish;
        echoes($t->poll($next, headers => { Prefer => 'wait=8' }), 'after', 'the end');
        ok $t->stop, 'nginx ends by itself';
        $t->done;
    };
}


# Submits and polls in rounds while this process lives; every 202 that was seen is polled until its
# end.
sub load ($t, $pid, $tag) {
    my (%location, %answer);
    my ($n, $failed, $over) = (0, 0);

    while (!$over || grep { !$answer{$_} } keys %location) {
        $over ||= waitpid($pid, POSIX::WNOHANG()) && time;
        my @texts = $over ? () : map { "$tag " . ++$n . '.' } 1 .. 8;
        my @open = grep { !$answer{$_} } keys %location;
        my @r = $t->concurrent(
            map({ [ POST => '/translate', %TEXT, body => $_ ] } @texts),
            map({ [ GET => $location{$_}, headers => { Prefer => 'wait=1' } ] } @open),
        );
        for my $text (@texts) {
            my $r = shift @r;
            $failed++, next if ($r->{status} // 0) != 202;
            $location{$text} = $r->header('Location');
        }
        for my $text (@open) {
            my $r = shift @r;
            $answer{$text} = $r if $r->json && $r->json->{done};
            $answer{$text} = $r if defined $r->{status} && $r->{status} != 200;
        }
        last if $over && time > $over + 15;
    }
    my @wrong = grep {
        my $json = $answer{$_} && $answer{$_}->json;
        ($json && eval { $json->{response}{alternatives}[0]{message}{text} } // '') ne "echo: $_";
    } keys %location;
    diag map { "$_ $location{$_}: " . ($answer{$_} ? $answer{$_}->{raw} : 'no end') . "\n" }
        @wrong[ 0 .. ($#wrong > 2 ? 2 : $#wrong) ] if @wrong;
    note "$n submits, $failed failed";
    return (scalar keys %location, scalar @wrong, $failed);
}


subtest 'reloads under load' => sub {
    my $t = start(emulator => { delay => 0.4 });
    my $master = $t->master_pid;
    my $pid = storm($t, 15, 8, sub { kill HUP => $master });
    my ($accepted, $wrong, $failed) = load($t, $pid, 'reload');

    cmp_ok $accepted, '>=', 100, 'submits were accepted';
    is $wrong, 0, 'each ends in its own result';
    is $failed, 0, 'none failed';
    is scalar $t->emulator->submits, $accepted, 'nothing was submitted twice';
    $t->done;
};


subtest 'deaths under load' => sub {
    my $t = start(emulator => { delay => 0.4 }, WORKERS => 3);
    $t->allow_killed_workers;
    my $pid = storm($t, 10, 8, sub {
        my @pids = $t->worker_pids;
        kill KILL => $pids[ rand @pids ] if @pids > 1;
    });
    my ($accepted, $wrong, $failed) = load($t, $pid, 'death');

    cmp_ok $accepted, '>=', 20, 'submits were accepted';
    is $wrong, 0, 'each ends in its own result';
    cmp_ok scalar $t->emulator->submits, '<=', $accepted + $failed, 'nothing was submitted twice';
    ok wait_until(sub { $t->worker_pids == 3 }), 'all workers are there';
    $t->done;
};


done_testing;
