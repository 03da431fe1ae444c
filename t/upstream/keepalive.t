# Connections to upstream: kept, lost, closed at the wrong moment, and capped.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use POSIX ();
use Socket qw(IPPROTO_TCP);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(path => '/quiet', emulator => { delay => 0.05 });
my $e = $t->emulator;

# An upstream that counts the segments a request came in.
my $reader = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!\n";
my $port   = $reader->sockport;

# Upstreams that never answer.
my @dumb = map {
    IO::Socket::INET->new(Listen => 512, LocalAddr => '127.0.0.1', Blocking => 0)
        or die "listen: $!\n"
} 1 .. 2;
my ($silent, $mute) = map { $_->sockport } @dumb;

# With the long interval no poll comes in between; the other one polls at once.
$t->run(<<"EOC");
%%TEST_GLOBALS%%
events { worker_connections 512; }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider quiet {
        zone quiet 1m; %%PROVIDER%% poll_interval 30s 30s; request_timeout 5s;
    }
    completion_async_provider eager {
        zone eager 1m; %%PROVIDER%% poll_interval 100ms 200ms; poll_rate 1000r/s;
    }
    completion_async_provider reader {
        zone reader 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; poll_interval 30s 30s;
        submit_url http://127.0.0.1:$port/; operations_url http://127.0.0.1:$port/;
    }
    completion_async_provider silent {
        zone silent 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; request_timeout 60s;
        submit_url http://127.0.0.1:$silent/; operations_url http://127.0.0.1:$silent/;
    }
    completion_async_provider mute {
        zone mute 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; request_timeout 60s;
        submit_url http://127.0.0.1:$mute/; operations_url http://127.0.0.1:$mute/;
    }
    completion_async_model yandexgpt-lite;
    server {
        listen 127.0.0.1:%%PORT%% backlog=512;
        location /silent { completion_async silent; }
        location /mute { completion_async mute; }
        location /reader { completion_async reader; }
        location /quiet { completion_async quiet; }
        location /eager { completion_async eager; }
    }
}
EOC


sub submits_since ($n) { grep { $_->{kind} eq 'submit' } $e->journal(since => $n) }


sub connections (@entries) { scalar keys %{ { map { $_->{connection} => 1 } @entries } } }


sub code ($r) { ref $r->json eq 'HASH' ? $r->json->{code} // 'operation' : '-' }


subtest 'a connection is used again' => sub {
    my $before = $e->journal;
    is $t->post("one of ten: $_")->{status}, 202, "submit $_" for 1 .. 10;
    my @submits = submits_since($before);
    is scalar @submits, 10, 'ten submits';
    is connections(@submits), 1, 'over one connection';

    my $many = 'x' x 200_000;
    is $t->post($many)->{status}, 202, 'a long one';
    is $t->post('short')->{status}, 202, 'a short one';
    @submits = submits_since($before);
    is length $submits[-2]{json}{messages}[0]{text}, length $many, 'arrives whole';
    is connections(@submits), 1, 'over the same connection';
};

subtest 'a submit comes in one piece' => sub {
    pipe my $out, my $in or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        alarm 30;
        my $connection = $reader->accept or POSIX::_exit(1);

        my $before = 0;
        for my $id (1 .. 5) {
            my $request = '';
            until ($request =~ /\r\n\r\n\{.*\}$/s) {
                sysread $connection, $request, 65536, length $request or POSIX::_exit(1);
            }
            # tcpi_data_segs_in of TCP_INFO
            my $segments = unpack 'x152 L', getsockopt $connection, IPPROTO_TCP, 11;
            syswrite $in, $segments - $before . "\n";
            $before = $segments;
            my $answer = qq({"id":"one$id","done":false});
            syswrite $connection, "HTTP/1.1 200 OK\r\nContent-Length: " . length($answer)
                . "\r\n\r\n$answer";
        }
        POSIX::_exit(0);
    }
    close $in;

    is $t->post("whole $_", path => '/reader')->{status}, 202, "submit $_" for 1 .. 5;
    my @read = <$out>;
    waitpid $pid, 0;

    is scalar @read, 5, 'upstream saw them';
    is join('', @read), "1\n" x 5, 'head and body in one segment each';
};

subtest 'polls are kept alive, too' => sub {
    my $before = $e->journal;
    for my $n (1 .. 5) {
        my $r = $t->poll_until_done($t->submit("[delay=0.1]$n", path => '/eager')->{location});
        is $r->json->{response}{alternatives}[0]{message}{text}, "echo: [delay=0.1]$n", "number $n";
    }
    my @entries = $e->journal(since => $before);
    cmp_ok scalar @entries, '>=', 10, 'submits and polls';
    cmp_ok connections(@entries), '<=', 2, 'over the connections that are there';
};

# Upstream has read the POST whole: libcurl would send it once more by itself.
subtest 'a submit on a connection that dies is not repeated' => sub {
    my $start = $e->journal;
    for my $verb (qw(close reset)) {
        for my $stage (qw(head request answer)) {
            # Two: a repeat would find the other one, and need none of its own.
            my $before = $e->journal;
            $e->fault(submit => '1-2', hold => 'warm');
            my @warm = map { $t->start(POST => $t->{path}, body => 'warm') } 1, 2;
            wait_until(sub { submits_since($before) == 2 });
            $e->release('warm');
            is $_->response->{status}, 202, 'a connection is there' for @warm;
            $before = $e->journal;
            $e->clear_faults;
            $e->fault(submit => 1, $verb => $stage);
            my $r = $t->post("once, $verb at $stage");
            $e->clear_faults;
            is "$r->{status} " . code($r), '424 outcome_unknown', "$verb at $stage";
            my @submits = submits_since($before);
            is scalar @submits, 1, 'upstream saw it once';
            cmp_ok $submits[0]{nth}, '>', 1, 'on a connection used before';
        }
    }
    is scalar(submits_since($start)), 18, 'nor was one sent later';
};

subtest 'a poll on a connection that dies is repeated' => sub {
    $e->fault(poll => 1, text => '[delay=0.2]again', close => 'request');
    my $location = $t->submit('[delay=0.2]again', path => '/eager')->{location};
    my ($id) = map { $_->{operation} } ($e->submits)[-1];
    my $r = $t->poll_until_done($location);
    $e->clear_faults;
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: [delay=0.2]again', 'done';
    cmp_ok scalar($e->polls($id)), '>=', 2, 'polled more than once';
};

subtest 'upstream may close what is idle' => sub {
    my $before = $e->journal;
    $e->fault(submit => 'every', close_idle => 0.02);
    for (1 .. 5) {
        is $t->post("idle $_")->{status}, 202, "closed by a timer, $_";
        wait_until(sub { !$e->state->{connections} });
    }
    $e->clear_faults;
    for (1 .. 5) {
        $e->disconnect(idle => 1);
        is $t->post("gone $_")->{status}, 202, "closed just before, $_";
    }
    $e->fault(submit => 'every', connection_close => 1);
    is $t->post("announced $_")->{status}, 202, "closed as announced, $_" for 1 .. 3;
    $e->clear_faults;
    $e->restart;
    is $t->post('restarted')->{status}, 202, 'all of upstream restarted';
    is scalar(submits_since($before)), 14, 'and every submit went out once';
};

subtest 'connections are capped at a quarter of worker_connections' => sub {
    $e->restart;
    my $before = $e->journal;
    $e->fault(submit => 'every', hold => 'crowd');
    my @clients = map { $t->start(POST => '/quiet', body => "crowd $_", timeout => 60) } 1 .. 200;

    # none more comes for a while
    my ($held, $quiet) = (0, 0);
    ok wait_until(sub {
        my $n = submits_since($before);
        ($held, $quiet) = ($n, time + 1) if $n > $held;
        return $held >= 96 && time > $quiet;
    }, 30), 'three quarters of the cap are under way at once';
    $e->clear_faults;
    $e->release('crowd');
    CompletionAsync::Client->gather(\@clients, 60);
    my @r = map { $_->response } @clients;
    is scalar(grep { ($_->{status} // 0) == 202 } @r), 200, 'all are accepted';

    my @submits = submits_since($before);
    is scalar @submits, 200, 'each is sent once';
    my %text = map { $_->{json}{messages}[0]{text} => 1 } @submits;
    is scalar keys %text, 200, 'none is mixed up';

    my ($most, $now) = (0, 0);
    for (sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] }
        map { ([ $_->{read_time}, 1 ], [ $_->{end_time}, -1 ]) } @submits)
    {
        $now += $_->[1];
        $most = $now if $now > $most;
    }
    cmp_ok $most, '<=', 96, '... and never more';
    cmp_ok $most, '>=', 64, '... but many';
    cmp_ok connections(@submits), '<=', 128, 'over no more connections than the cap';
    cmp_ok $e->state->{connections}, '<=', 128, 'of which no more are kept';
};

# What is in line is not seen from outside: the connections are, all that will come have come when
# a while brings no other one.
sub accepted ($listener, $n) {
    my @accepted;
    my $quiet = time + 1;
    wait_until(sub {
        while (my $connection = $listener->accept) {
            push @accepted, $connection;
            $quiet = time + 1;
        }
        return @accepted >= $n && time >= $quiet;
    }, 20);
    return @accepted;
}

subtest 'silent upstreams leave connections to others' => sub {
    my (@clients, @held);

    for (['/silent', $dumb[0], 96], ['/mute', $dumb[1], 24]) {
        my ($location, $listener, $share) = @$_;
        push @clients, map { $t->start(POST => $location, body => "none $_", timeout => 60) } 1 .. 110;
        my @accepted = accepted($listener, $share);
        is scalar @accepted, $share, "$location has its share";
        push @held, @accepted;

        my $r = $t->post("beside $location");
        is $r->{status}, 202, 'a submit to another one does not wait for those';
    }

    close $_ for @dumb, @held;
    CompletionAsync::Client->gather(\@clients, 60);
    my %status;
    $status{ $_->response->{status} // '-' }++ for @clients;
    is_deeply \%status, { 424 => 120, 503 => 100 }, 'what was in line was not sent'
        or diag explain \%status;
};

$t->done;
