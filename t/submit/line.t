# The line of submits: starts are used whoever dies, quits, is slow or stands still, and never more
# of them than the rates allow, whatever a reload makes of these.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max);
use Test::More;
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $CONF = <<'EOC';
worker_processes %%WORKERS%%;
%%TEST_GLOBALS%%
events { worker_connections %%CONNECTIONS%%; }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    completion_async_provider yandex {
        zone operations %%SIZE%%;
        %%QUOTAS%%
        %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;

        add_header X-Worker $pid always;
        add_header X-Queue  $completion_async_queue_time always;

        location /translate {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
        }
    }
}
EOC

my $T = 60;

my $t;


sub start ($quotas, %define) {
    my $emulator = delete $define{emulator} // {};
    $t = CompletionAsync::Test->new(emulator => { delay => 60, %$emulator });
    $t->define(WORKERS => 1, CONNECTIONS => 1024, SIZE => '2m', QUOTAS => $quotas, %define);
    $t->run($CONF);
}


sub reload ($quotas) {
    $t->define(QUOTAS => $quotas);
    $t->conf($CONF);
    ok $t->reload, "a reload to \"$quotas\"";
}


sub submit ($text = 'text', $timeout = $T) {
    return $t->start(POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
        body => $text, timeout => $timeout);
}


sub statuses (@r) { join ' ', map { $_->{status} // '-' } @r }

sub in_line () { $t->metrics->sum('submit_queue_length') }

sub until_in_line ($n, $seconds = 20) {
    ok wait_until(sub { in_line() == $n }, $seconds), "$n in line" or diag in_line();
}


# The most that reached upstream within a window, a tenth shorter as packets may be late.
sub densest () {
    my @times = map { $_->{time} } $t->emulator->submits;
    return max map { my $from = $_; scalar grep { $_ >= $from && $_ < $from + 0.9 } @times } @times;
}


subtest 'the line of a worker that was killed' => sub {
    start('submit_rate 2r/s; submit_queue 60 60s;');
    $t->allow_killed_workers;

    my @lost = map { submit("lost $_") } 1 .. 62;
    ok wait_until(sub { in_line() > 50 }, 20), 'a long line';

    ok $t->kill_worker, 'its worker dies';
    until_in_line(0);

    my $before = $t->emulator->submits;
    my @clients = map { submit("next $_") } 1 .. 6;
    my @r = map { $_->response($T) } @clients;
    is statuses(@r), join(' ', (202) x 6), 'others go on';
    cmp_ok max(map { $_->header('X-Queue') } @r), '<', 20, 'at once, not when those would have';
    is $t->emulator->submits - $before, 6, 'and nobody else is sent';
    $_->close for @lost;
    $t->done;
};


subtest 'the line of a worker that quits' => sub {
    start('submit_rate 2r/s; submit_queue 60 60s; request_timeout 4s;');

    my @old = map { submit("old $_") } 1 .. 62;
    ok wait_until(sub { in_line() > 50 }, 20), 'a long line';

    ok $t->reload, 'a reload';
    my $r = submit('new')->response($T);
    is $r->{status}, 202, 'a new one is sent';
    cmp_ok $r->header('X-Queue'), '<', 20, 'when the old worker is through with what it can send';

    my @r = map { $_->response($T) } @old;
    my @busy = grep { $_->{status} == 429 } @r;
    is @busy + grep({ $_->{status} == 202 } @r), 62, 'of the others each is told';
    cmp_ok scalar @busy, '>', 40, 'most that they are to come again';
    is scalar(grep { $_->header('Retry-After') > 0 } @busy), @busy, 'and when';
    $t->done;
};


# Connections are taken by submits that upstream keeps, and then they are free all at once.
for my $connections (256, 64) {
    subtest "few of $connections connections" => sub {
        start('submit_rate 20r/s; submit_queue 200 60s;', CONNECTIONS => $connections,
            emulator => { submit_quota => 20, quota_slack => 0.1 });
        my $emulator = $t->emulator;
        my $kept = int(int($connections / 4) * 3 / 4);

        $emulator->fault(submit => 'every', hold => 'kept');
        my @clients = map { submit("text $_") } 1 .. $kept;
        ok $emulator->wait_for(submit => $kept - 2, $T), 'upstream keeps what it gets';

        push @clients, map { submit("text $_") } $kept + 1 .. $kept + ($connections > 64 ? 60 : 30);
        until_in_line(0, $T);
        cmp_ok scalar($emulator->submits), '<=', $kept, 'the others wait for connections';

        $emulator->clear_faults;
        $emulator->release('kept');
        CompletionAsync::Client->gather(\@clients, $T);
        my @r = map { $_->response } @clients;
        is scalar(grep { $_->{status} == 202 } @r), @clients, 'all are sent' or diag statuses(@r);
        cmp_ok densest(), '<=', 20, 'and none too many at once';
        is scalar(grep { ($_->{status} // 0) == 429 } $emulator->journal), 0, 'for upstream, too';
        $t->done;
    };
}


subtest 'a worker stands still' => sub {
    start('submit_rate 10r/s; submit_queue 200 60s;', WORKERS => 2,
        emulator => { submit_quota => 10, quota_slack => 0.1 });
    my $emulator = $t->emulator;

    my @clients = map { submit("text $_") } 1 .. 80;
    ok $emulator->wait_for(submit => 15, $T), 'some are sent';

    my ($still) = $t->worker_pids;
    kill STOP => $still;
    my $before = $emulator->submits;
    ok $emulator->wait_for(submit => $before + 20, $T), 'the other worker goes on';
    kill CONT => $still;

    CompletionAsync::Client->gather(\@clients, $T);
    my @r = map { $_->response } @clients;
    is scalar(grep { $_->{status} == 202 } @r), 80, 'all are sent' or diag statuses(@r);
    my %by = map { $_->header('X-Worker') => 1 } @r;
    is scalar(keys %by), 2, 'by both';
    cmp_ok densest(), '<=', 10, 'and none too many at once';
    is scalar(grep { ($_->{status} // 0) == 429 } $emulator->journal), 0, 'for upstream, too';
    $t->done;
};


# How many of so many are accepted.
sub accepted ($n) {
    return scalar grep { submit()->response($T)->{status} == 202 } 1 .. $n;
}


subtest 'rates that change and come back' => sub {
    start('submit_rate 20r/h;');
    is accepted(22), 20, 'the hour is used up';

    for my $other ('submit_rate 1000r/s;', 'submit_rate off;', '', 'submit_rate 1000r/s 20r/h;',
        'submit_rate 20r/h; poll_rate 40r/s;')
    {
        reload($other);
        is accepted(2), ($other =~ /20r/ ? 0 : 2), 'so many are accepted';
        reload('submit_rate 20r/h;');
        is accepted(2), 0, 'and none when the rate is back';
    }

    $t->done;
};


subtest 'a new rate in a full zone' => sub {
    start('', SIZE => '128k');
    my $emulator = $t->emulator;

    # Texts that have ended make room, what is pending does not make room for a rate.
    my $n = 0;
    wait_until(sub {
        $t->concurrent(map { [ POST => '/translate', body => '[delay=0.01][size=2000] ' . $n++,
            headers => { 'Content-Type' => 'text/plain', Prefer => 'wait=5' } ] } 1 .. 20);
        return $t->metrics->sum('zone_evictions_total') > 0;
    }, $T);
    my $m = $t->metrics;
    cmp_ok $m->sum('zone_evictions_total'), '>', 0, 'the zone is full';

    for my $rate ('submit_rate 100000r/h;', 'submit_rate 100000r/h 50000r/m; poll_rate 100000r/h;') {
        reload($rate);
        my $now = $t->metrics;
        is $now->sum($_), $m->sum($_), "nothing of it changes: $_"
            for qw(zone_evictions_total operations zone_used_bytes);
    }

    unlike $t->log, qr/quota/, 'nor is anything said of it';
    $t->done;
};


done_testing;
