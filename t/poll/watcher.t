# Who asks upstream, how often, and what clients are told of it.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
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
    %%METRICS%%
    server {
        listen 127.0.0.1:%%PORT%% reuseport;

        access_log %%TESTDIR%%/polls.log source;
        add_header X-Source $completion_async_source always;
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


sub gaps (@polls) { map { $polls[$_]{time} - $polls[ $_ - 1 ]{time} } 1 .. $#polls }


sub show ($upstream) {
    my @polls = $emulator->polls($upstream);
    return join ' ', map { sprintf '%.2f:%s', $_->{time} - $polls[0]{time}, $_->{status} // '-' }
        @polls;
}


subtest 'an operation is watched without any client' => sub {
    my ($location, $upstream) = $t->submit('text', path => '/eager')->@{qw(location upstream)};
    $t->hang_up(POST => '/eager', headers => { 'Content-Type' => 'text/plain' }, body => 'text');
    ok $emulator->wait_for(submit => 2), 'one whose client is gone as well';
    my $gone = ($emulator->submits)[-1]{operation};

    for my $id ($upstream, $gone) {
        ok wait_until(sub { $emulator->polls($id) >= 2 }), 'upstream is asked, again and again';
        $emulator->finish($id);
    }
    my @ended = (provider => 'eager', state => 'completed');
    ok wait_until(sub { $t->metrics->sum('operations_finished_total', @ended) == 2 }),
        'until the end of both';
    my @before = map { $emulator->polls($_) } $upstream, $gone;
    my $r;
    wait_until(sub { ($r = $t->poll($location))->json->{done} });
    is $r->header('X-Source'), 'zone', 'the answer is there';

    my $other = $t->submit('other', path => '/eager')->{upstream};
    wait_until(sub { $emulator->polls($other) >= 3 });
    is scalar(map { $emulator->polls($_) } $upstream, $gone), scalar @before,
        'and upstream is not asked again';
};


subtest 'a thousand polls of clients cost a few of upstream' => sub {
    $emulator->fault(poll => 1, text => 'a thousand', hold => 'poll');
    my ($location, $upstream) = $t->submit('a thousand', path => '/usual')->@{qw(location upstream)};
    my @clients = map { $t->client } 1 .. 10;
    my $pending = 0;

    for my $round (1 .. 100) {
        # half of them when there is a poll on its way
        ok wait_until(sub { $emulator->polls($upstream) }), 'upstream is asked' if $round == 50;
        $_->start(GET => $location) for @clients;
        CompletionAsync::Client->gather(\@clients);
        $pending += grep { $_->response->{status} == 200 && !$_->response->json->{done} } @clients;
    }
    is $pending, 1000, 'all are answered: pending';
    is scalar $emulator->polls($upstream), 1, 'by one poll of upstream, which is not answered';
    is $emulator->release('poll'), 1, 'it is';
    ok wait_until(sub { $emulator->polls($upstream) >= 2 }), 'and there is another one';

    # what came from memory says so
    my $zone;
    wait_until(sub { ($zone = () = $t->read_file('polls.log') =~ /^GET zone$/mg) >= 1000 });
    cmp_ok $zone, '>=', 1000, 'they were answered by the zone';
};


# The rest looks at what upstream sees of several operations.
my %op;

# [what, a gap between polls, at least so many seconds, at most]; t/unit has them to the millisecond
my @gaps;

my $fault = sub ($name, $n, %what) { $emulator->fault(poll => $n, text => $name, %what) };
$fault->(interval => 'every', poll_interval => 2);
$fault->(retry    => 1, status => 429, retry_after => 3);
$fault->(busy     => 'every', status => 503);
$fault->(broken   => 1, reset => 'request');
$fault->(broken   => 2, status => 500);
$fault->(broken   => 3, mangle => 'html');
$fault->(garbled  => 1, mangle => 'bad_json');
$fault->(garbled  => 2, close => 'answer');
$fault->(garbled  => 3, status => 401);
$fault->(odd      => 1, status => 200, lie_id => 'd7qffffffffffffffff');

$op{$_} = $t->submit("$_ [early404=3]", path => '/eager') for qw(early);
$op{$_} = $t->submit($_, path => '/eager') for qw(interval retry busy broken garbled odd);
$op{bounded} = $t->submit('bounded', path => '/bounded');

# And what a client that obeys is told of one of them; first of all that it is pending.
my %enough = (
    early => 4, interval => 3, retry => 2, busy => 4, broken => 4, garbled => 4, odd => 2,
    bounded => 7,
);
my (%told, %wrong);
my @turn = sort keys %op;
wait_until(sub {
    push @turn, my $name = shift @turn;
    my $r = $t->poll($op{$name}{location});
    $wrong{$name} //= $r->{status} . $r->{body}
        if $r->{status} != 200 || !$r->json || $r->json->{done};
    push @{ $told{$name} }, [ time, $r->header('Retry-After') ];

    my %polls;
    $polls{ $_->{operation} }++ for grep { defined $_->{end} } $emulator->polls;
    return !grep { ($polls{ $op{$_}{upstream} } // 0) < $enough{$_} } keys %enough;
}, 30);
is_deeply \%wrong, {}, 'a poll of ours that fails changes nothing for clients';


subtest 'unknown right after its creation' => sub {
    my @polls = $emulator->polls($op{early}{upstream});
    is_deeply [ map { $_->{status} } @polls[ 0 .. 3 ] ], [ 404, 404, 404, 200 ],
        'asked again until it is known' or diag show($op{early}{upstream});
    push @gaps, [ 'three times 404', $polls[3]{time} - $polls[0]{time}, 0.2, 4 ];

    $emulator->finish($op{early}{upstream});
    my $r = $t->poll_until_done($op{early}{location});
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: early [early404=3]', 'done';
};


subtest 'x-operation-poll-interval' => sub {
    my @polls = $emulator->polls($op{interval}{upstream});
    cmp_ok scalar @polls, '>=', 2, 'goes on';
    push @gaps, map { [ 'upstream says two seconds', $_, 1.9, 4 ] } gaps(@polls);
};


subtest 'Retry-After' => sub {
    my @polls = $emulator->polls($op{retry}{upstream});
    my ($i) = grep { $polls[$_]{status} == 429 } 0 .. $#polls;
    ok defined $i && $i < $#polls, 'refused, and asked again' or diag show($op{retry}{upstream});
    push @gaps, [ 'Retry-After: 3', $polls[ $i + 1 ]{time} - $polls[$i]{time}, 2.9, 6 ];
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
    my @polls = grep { $_->{fault} } $emulator->polls($op{busy}{upstream});
    my @less = gaps(@polls);
    cmp_ok scalar @polls, '>=', 2, 'tried again';
    # half a second doubled each time, of which up to a half is left out
    push @gaps, map { [ "refused $_ times before", $less[$_], 0.24 * 2 ** $_, 20 ] } 0 .. $#less;

    $emulator->clear_faults;
    $emulator->finish($op{busy}{upstream});
    my $r = $t->poll($op{busy}{location}, headers => { Prefer => 'wait=30' }, timeout => 30);
    ok $r->json->{done}, 'and it ends well';
};


subtest 'broken answers are no answers' => sub {
    my @broken = qw(broken garbled odd);
    $emulator->clear_faults;
    $emulator->finish($op{$_}{upstream}) for @broken;
    for my $name (@broken) {
        my $r = $t->poll($op{$name}{location}, headers => { Prefer => 'wait=30' },
            timeout => 30);
        is $r->json->{response}{alternatives}[0]{message}{text}, "echo: $name", "$name: done";
        is $r->json->{id}, $op{$name}{location} =~ s{.*/}{}r, "$name: under its id";
    }
};


subtest 'poll_interval MIN MAX' => sub {
    my @sorted = sort { $a <=> $b } gaps($emulator->polls($op{bounded}{upstream}));

    cmp_ok scalar @sorted, '>=', 6, 'often enough';
    push @gaps, [ 'the least', $sorted[0], 0.25, 0.75 ],
        [ 'the median', $sorted[ @sorted / 2 ], 0.25, 0.75 ];
};


subtest 'gaps' => sub {
    for my $case (@gaps) {
        my ($name, $seconds, $least, $most) = @$case;
        ok $least <= $seconds && $seconds <= $most, "$name: a gap of $least to $most s"
            or diag "$seconds s";
    }
    diag map { "$_: " . show($op{$_}{upstream}) . "\n" } sort keys %op
        if !Test::More->builder->is_passing;
};


subtest 'who obeys Retry-After learns something new' => sub {
    my ($location, $upstream) = $t->submit('text', path => '/usual')->@{qw(location upstream)};
    my ($r, $idle, $seen) = (undef, 0, 0);

    for my $asked (1 .. 7) {
        $r = $t->poll($location);
        last if $r->json->{done};
        $emulator->finish($upstream) if $asked == 3;

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
};


ok $t->stop, 'nginx ends by itself';
$t->done;
