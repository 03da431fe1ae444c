# Who asks upstream, how often, and what clients are told of it.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/lib";
use List::Util qw(max min sum);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
my $emulator = $t->emulator;

$t->run(<<'EOC');
worker_processes 2;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    log_format source '$request_method $completion_async_source';

    completion_async_provider usual {
        zone usual 1m;
        %%PROVIDER%%
    }
    completion_async_provider eager {
        zone            eager 1m;
        poll_interval   100ms 20s;
        request_timeout 1s;
        %%PROVIDER%%
    }
    completion_async_provider bounded {
        zone          bounded 1m;
        poll_interval 300ms 600ms;
        %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;

        access_log %%TESTDIR%%/polls.log source;
        completion_async_model yandexgpt-lite;

        location /usual {
            completion_async usual;
        }
        location /eager {
            completion_async eager;
        }
        location /bounded {
            completion_async bounded;
        }
    }
}
EOC


# Location, and the upstream's id.
sub submit ($path, $text = 'text') {
    my $r = $t->request(POST => $path, headers => { 'Content-Type' => 'text/plain' },
        body => $text);
    return ($r->header('Location'), ($emulator->submits)[-1]{operation}, $r);
}


sub gaps (@polls) { map { $polls[$_]{time} - $polls[ $_ - 1 ]{time} } 1 .. $#polls }


sub show ($upstream) {
    my @polls = $emulator->polls($upstream);
    return join ' ', map { sprintf '%.2f:%s', $_->{time} - $polls[0]{time}, $_->{status} // '-' }
        @polls;
}


subtest 'an operation is watched without any client' => sub {
    my ($location, $upstream) = submit('/eager', '[delay=0.5]');
    $t->hang_up(POST => '/eager', headers => { 'Content-Type' => 'text/plain' },
        body => '[delay=0.5]');
    ok $emulator->wait_for(submit => 2), 'one whose client is gone as well';
    my $gone = ($emulator->submits)[-1]{operation};

    my $born = ($emulator->submits)[-1]{time};
    for my $id ($upstream, $gone) {
        wait_until(sub { grep { $_->{time} >= $born + 0.5 && defined $_->{end} } $emulator->polls($id) });
        my @polls = $emulator->polls($id);
        cmp_ok scalar @polls, '>=', 1, 'upstream was asked';
        cmp_ok $polls[-1]{time} - ($emulator->submits)[0]{time}, '>=', 0.5, 'until the end';
    }
    my @before = map { $emulator->polls($_) } $upstream, $gone;
    my $r = $t->request(GET => $location);
    ok $r->json->{done}, 'the answer is there';
    cmp_ok $r->{time}, '<', 2, 'at once';

    my (undef, $other) = submit('/eager', 'other');
    wait_until(sub { $emulator->polls($other) >= 3 });
    is scalar(map { $emulator->polls($_) } $upstream, $gone), scalar @before,
        'and upstream is not asked again';
};


subtest 'a thousand polls of clients cost a few of upstream' => sub {
    my ($location, $upstream) = submit('/usual');
    my @clients = map { $t->client } 1 .. 10;
    my $started = time;
    my $pending = 0;

    for my $round (1 .. 100) {
        $_->start(GET => $location) for @clients;
        CompletionAsync::Client->gather(\@clients);
        $pending += grep { $_->response->{status} == 200 && !$_->response->json->{done} } @clients;
        my $left = $started + $round * 0.03 - time;
        sleep $left if $left > 0;
    }
    my $passed = time - $started;
    is $pending, 1000, 'all are answered: pending';

    # a slow machine takes longer than the three seconds; what it may ask grows with them
    my $allowed = 10 * max(1, $passed / 3);
    my $polls = $emulator->polls($upstream);
    cmp_ok $polls, '<=', $allowed, "$polls polls of upstream in $passed s";
    cmp_ok $polls, '>=', 1, 'one at least';

    # what came from memory says so
    my $zone;
    wait_until(sub { ($zone = () = $t->read_file('polls.log') =~ /^GET zone$/mg) >= 1000 });
    cmp_ok $zone, '>=', 1000, 'they were answered by the zone';
};


# The rest looks at what upstream sees of several operations in six seconds.
my %op;
my $fault = sub ($name, $n, %what) { $emulator->fault(poll => $n, text => $name, %what) };
$fault->(interval => 'every', poll_interval => 2);
$fault->(retry    => 1, status => 429, retry_after => 3);
$fault->(busy     => 'every', status => 503);
$fault->(broken   => 1, reset => 'request');
$fault->(broken   => 2, status => 500);
$fault->(broken   => 3, mangle => 'html');
$fault->(broken   => 4, mangle => 'bad_json');
$fault->(broken   => 5, close => 'answer');
$fault->(broken   => 6, status => 401);
$fault->(odd      => 1, status => 200, lie_id => 'd7qffffffffffffffff');

$op{$_} = [ submit('/eager', "$_ [early404=3]") ] for qw(early);
$op{$_} = [ submit('/eager', $_) ] for qw(interval retry busy broken odd);
$op{bounded} = [ submit('/bounded', 'bounded') ];
my $broken = time;

# And what a client that obeys is told of one of them; first of all that it is pending.
my (%told, %wrong);
while (time < $broken + 6) {
    for my $name (sort keys %op) {
        my $r = $t->request(GET => $op{$name}[0]);
        $wrong{$name} //= $r->{status} . $r->{body}
            if $r->{status} != 200 || !$r->json || $r->json->{done};
        push @{ $told{$name} }, [ time, $r->header('Retry-After') ];
    }
    sleep 0.2;
}
is_deeply \%wrong, {}, 'a poll of ours that fails changes nothing for clients';


subtest 'unknown right after its creation' => sub {
    my @polls = $emulator->polls($op{early}[1]);
    is_deeply [ map { $_->{status} } @polls[ 0 .. 3 ] ], [ 404, 404, 404, 200 ],
        'asked again until it is known' or diag show($op{early}[1]);
    cmp_ok $polls[3]{time} - $polls[0]{time}, '<', 4, 'soon';

    $emulator->finish($op{early}[1]);
    my $r = $t->poll_until_done($op{early}[0]);
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: early [early404=3]', 'done';
};


subtest 'x-operation-poll-interval' => sub {
    my @polls = $emulator->polls($op{interval}[1]);
    cmp_ok scalar @polls, '>=', 2, 'goes on';
    cmp_ok min(gaps(@polls)), '>=', 1.9, 'not before two seconds' or diag show($op{interval}[1]);
    cmp_ok max(gaps(@polls)), '<', 4, 'and soon after';
};


subtest 'Retry-After' => sub {
    my @polls = $emulator->polls($op{retry}[1]);
    my ($i) = grep { $polls[$_]{status} == 429 } 0 .. $#polls;
    ok defined $i && $i < $#polls, 'refused, and asked again' or diag show($op{retry}[1]);
    cmp_ok $polls[ $i + 1 ]{time} - $polls[$i]{time}, '>=', 2.9, 'after three seconds'
        or diag show($op{retry}[1]);
    is $polls[ $i + 1 ]{status}, 200, 'with success';

    # What clients are told covers it.
    my @during = grep {
        $_->[0] > $polls[$i]{time} + 0.2 && $_->[0] < $polls[ $i + 1 ]{time} - 1.2
    } @{ $told{retry} };
    cmp_ok scalar @during, '>=', 1, 'clients asked meanwhile';
    for my $told (@during) {
        my $next = $polls[ $i + 1 ]{time} - $told->[0];
        cmp_ok $told->[1], '>=', $next - 0.3, 'and were told to come after it';
        cmp_ok $told->[1], '<=', $next + 1.3, 'not long after';
    }
};


subtest 'refused polls back off' => sub {
    my @polls = grep { $_->{fault} } $emulator->polls($op{busy}[1]);
    my @gaps = gaps(@polls);
    cmp_ok scalar @polls, '>=', 2, 'tried again';
    cmp_ok scalar @polls, '<=', 12, 'not at its usual pace of 100 ms' or diag show($op{busy}[1]);
    # half a second doubled each time, of which up to a half is left out
    is scalar(grep { $gaps[$_] < 0.24 * 2 ** $_ } 0 .. $#gaps), 0, 'less and less'
        or diag show($op{busy}[1]);

    $emulator->clear_faults;
    $emulator->finish($op{busy}[1]);
    my $r = $t->request(GET => $op{busy}[0], headers => { Prefer => 'wait=30' }, timeout => 30);
    ok $r->json->{done}, 'and it ends well';
};


subtest 'broken answers are no answers' => sub {
    my @polls = $emulator->polls($op{broken}[1]);
    $emulator->clear_faults;
    $emulator->finish($op{$_}[1]) for qw(broken odd);
    for my $name (qw(broken odd)) {
        my $r = $t->request(GET => $op{$name}[0], headers => { Prefer => 'wait=30' },
            timeout => 30);
        is $r->json->{response}{alternatives}[0]{message}{text}, "echo: $name", "$name: done";
        is $r->json->{id}, $op{$name}[0] =~ s{.*/}{}r, "$name: under its id";
    }
};


subtest 'poll_interval MIN MAX' => sub {
    my @gaps = gaps($emulator->polls($op{bounded}[1]));
    my @sorted = sort { $a <=> $b } @gaps;
    my $median = $sorted[ @sorted / 2 ];

    cmp_ok scalar @gaps, '>=', 6, 'often enough';
    cmp_ok $sorted[0], '>=', 0.25, 'MIN';
    cmp_ok $median, '<=', 0.75, 'MAX' or diag show($op{bounded}[1]);
};


subtest 'who obeys Retry-After learns something new' => sub {
    my ($location, $upstream) = submit('/usual', '[delay=4]');
    my $started = time;
    my ($r, $asked, $idle, $seen) = (undef, 0, 0, 0);

    while (time < $started + 20) {
        $r = $t->request(GET => $location);
        $asked++;
        last if $r->json->{done};

        my $seconds = $r->header('Retry-After') // 0;
        like $seconds, qr/^[1-9][0-9]*$/, 'whole seconds' or last;
        cmp_ok $seconds, '<=', 4, 'not far beyond the plan';
        sleep $seconds + 0.1;

        my $polls = $emulator->polls($upstream);
        $idle++ if $polls == $seen;
        $seen = $polls;
    }
    ok $r->json->{done}, 'the end';
    is $idle, 0, 'upstream was asked between';
    cmp_ok $asked, '<=', 7, 'few questions';
    cmp_ok time - $started, '<', 9, 'soon';
};


ok $t->stop, 'nginx ends by itself';
$t->done;
