# Prefer: wait on submits and polls (RFC 7240), and who is woken when.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(min uniq);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.4 });

$t->run(<<'EOC');
worker_processes 4;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    completion_async_provider yandex {
        zone          operations 1m;
        poll_interval 100ms 1s;
        %%PROVIDER%%
    }
    completion_async_provider alone {
        zone          alone 1m;
        poll_interval 100ms 1s;
        %%PROVIDER%%
    }
    server {
        # by itself the kernel would give most connections to one worker
        listen 127.0.0.1:%%PORT%% reuseport;

        add_header X-Worker $pid always;
        completion_async_model yandexgpt-lite;

        location /translate {
            completion_async yandex;
        }
        location /short {
            completion_async      yandex;
            completion_async_wait 1s;
        }
        location /held {
            completion_async      yandex;
            completion_async_wait 60s default=50s;
        }
        location /alone {
            completion_async alone;
        }
        location /late {
            completion_async  yandex;
            lingering_timeout 4s;
        }
        location /page/ {
            ssi on;
        }
    }
}
EOC

my $emulator = $t->emulator;

# [who, for how many seconds it was to wait, how long it did]. Who was not to wait has an answer
# before the client's patience of ten seconds ends, or has none.
my @waited;


sub submit ($prefer, %opt) {
    my $path = $opt{path} // '/translate';
    return $t->start(
        POST    => $path,
        headers => [
            'Content-Type' => 'text/plain',
            defined $prefer ? (Prefer => $prefer) : (),
            %{ $opt{headers} // {} },
        ],
        body => $opt{text} // 'text',
    );
}


sub poll ($location, $prefer, %headers) {
    return $t->start(
        GET     => $location,
        headers => [ defined $prefer ? (Prefer => $prefer) : (), %headers ],
    );
}


# What had happened to their connections before, they have seen.
sub every_worker_came_by () {
    my %seen;
    wait_until(sub {
        $seen{ $t->request(GET => '/translate')->header('X-Worker') } = 1;
        return !grep { !$seen{$_} } $t->worker_pids;
    });
}


sub slow (%opt) {
    return submit(undef, text => '[delay=60]', %opt)->response->header('Location');
}


subtest 'a submit is held until its operation is done' => sub {
    my $client = submit('wait=50', text => '[delay=60]');
    $t->until_waiting(1);
    ok !$client->is_over, 'no answer while it is pending';
    $emulator->finish;
    my $r = $client->response;

    is $r->{status}, 200, 'the end, not the acceptance';
    ok $r->json->{done}, 'done';
    like $r->header('Location'), qr{^/translate/operations/[\w-]+$}, 'Location';
    is "/translate/operations/" . $r->json->{id}, $r->header('Location'), 'of the same id';
    is $r->header('Preference-Applied'), 'wait=50', 'Preference-Applied';
    is $r->header('Retry-After'), undef, 'nothing to come back for';

    $r = submit('wait=50', text => '[outcome=failed:8:no]')->response;
    is $r->{status}, 200, 'a failed operation is an answer, too';
    is $r->json->{error}{code}, 8, 'with its error';
};


subtest 'whose time is over gets what a client gets that does not wait' => sub {
    my $submit = submit('wait=1', text => '[delay=60]');
    my $text = submit('wait=1', text => '[delay=60]', headers => { Accept => 'text/plain' });
    my $location = slow();
    my $poll = poll($location, 'wait=1');
    my $head = $t->start(HEAD => $location, headers => { Prefer => 'wait=1' });

    my $r = $submit->response;
    is $r->{status}, 202, 'submit: 202';
    ok !$r->json->{done}, 'pending';
    push @waited, [ submit => 1, $r->{time} ];
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'Retry-After';
    is $r->header('Cache-Control'), 'no-store', 'no-store';
    is $r->header('Preference-Applied'), 'wait=1', 'Preference-Applied';
    like $r->header('Location'), qr{^/translate/operations/[\w-]+$}, 'Location';

    $r = $text->response;
    is $r->{status}, 202, 'text: 202';
    is $r->{body}, '', 'and empty';

    $r = $poll->response;
    is $r->{status}, 200, 'poll: 200';
    ok !$r->json->{done}, 'pending';
    push @waited, [ poll => 1, $r->{time} ];
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'Retry-After';
    is $r->header('Cache-Control'), 'no-store', 'no-store';
    is $r->header('Preference-Applied'), 'wait=1', 'Preference-Applied';

    $r = $head->response;
    is $r->{status}, 200, 'HEAD: 200';
    push @waited, [ HEAD => 1, $r->{time} ];
};


subtest 'the time runs from the request on' => sub {
    my $location = slow();
    $emulator->fault(submit => 1, hold => 'submit');
    my $client = submit('wait=2', text => '[delay=60]');
    $t->until_waiting(1);
    is poll($location, 'wait=2')->response->{status}, 200, 'its time is over';
    ok !$client->is_over, 'the submit is waited for';

    my $other = poll($location, 'wait=2');
    $t->until_waiting(2);
    is $emulator->release('submit'), 1, 'it was longer than that';
    is $client->response->{status}, 202, '202 all the same';
    ok !$other->is_over, 'and no seconds of grace after it';
};


subtest 'no more than the configured maximum' => sub {
    my @clients = map { submit($_, path => '/short', text => '[delay=60]') }
        'wait=30', 'wait=99999999999999999999';

    for my $client (@clients) {
        my $r = $client->response;
        is $r->{status}, 202, 'pending';
        push @waited, [ 'the maximum' => 1, $r->{time} ];
        is $r->header('Preference-Applied'), 'wait=1', 'says how long';
    }
};


subtest 'a default for clients that send none' => sub {
    my $r = submit(undef, path => '/held')->response;
    is $r->{status}, 200, 'held';
    ok $r->json->{done}, 'until done';
    is $r->header('Preference-Applied'), undef, 'no preference was applied';

    my $location = submit('respond-async', path => '/held', text => '[delay=0.5]')->response
        ->header('Location');
    $r = poll($location, undef)->response;
    ok $r->json->{done}, 'a poll is held, too';

    for my $prefer ('respond-async', 'wait=0') {
        $r = submit($prefer, path => '/held', text => '[delay=60]')->response;
        is $r->{status}, 202, "$prefer: 202, at once";
        is $r->header('Preference-Applied'), $prefer, 'Preference-Applied';
    }

    $r = submit('respond-async, wait=1', path => '/held', text => '[delay=60]')->response;
    push @waited, [ 'both' => 1, $r->{time} ];
    like $r->header('Preference-Applied'), qr/\bwait=1\b/, 'both: the wait counts';

    $r = submit('wait=soon', path => '/held')->response;
    is $r->{status}, 200, 'a malformed one is none';
};


subtest 'what is malformed is ignored' => sub {
    for my $prefer (
        'wait', 'wait=', 'wait=""', 'wait=-50', 'wait=+50', 'wait=50.5', 'wait=50s', 'wait=abc',
        'wait=0x50', 'waits=50', 'wait50', '=50', 'wait==50', '"wait=50"', 'wait="50', ',;=,',
        'x="wait=50', 'x=", wait=50"', 'x; wait=50', 'wait=50 50', '',
        )
    {
        my $r = submit($prefer, text => '[delay=60]')->response;
        is $r->{status}, 202, "202, at once: <$prefer>";
        is $r->header('Preference-Applied'), undef, 'no Preference-Applied';
    }
};


subtest 'what is well formed is understood' => sub {
    my @prefer = (
        'WAIT=1', 'wait="1"', 'wait = 1', "wait\t=\t1", 'return=minimal, wait=1; foo=bar',
        ',,wait=1,', 'x="a, \" wait=50", wait=1', 'wait=01', [ 'foo=bar', 'wait=1' ],
        [ 'wait=1', 'wait=50' ], 'wait=1, wait=50', 'handling=lenient;q=1 , wait=1',
    );
    my @clients = map { submit($_, text => '[delay=60]') } @prefer;

    CompletionAsync::Client->gather(\@clients);
    for my $prefer (@prefer) {
        my $r = shift(@clients)->response;
        my $name = ref $prefer ? join ' | ', @$prefer : $prefer;

        is $r->header('Preference-Applied'), 'wait=1', "one second: <$name>";
        push @waited, [ $name => 1, $r->{time} ];
    }
};


subtest 'many clients, in every worker, are woken by the end' => sub {
    my @late;

    for my $round (1 .. 3) {
        # Nothing else gives those workers a reason to look after their clients, and they have
        # just done so: the next time would be a second later.
        my $location = slow(path => '/alone');
        my $id = ($emulator->submits)[-1]{operation};
        my @clients = map { poll($location, 'wait=20') } 1 .. 60;

        $t->until_waiting(60);
        is scalar(grep { $_->is_over } @clients), 0, 'all of them wait';

        $emulator->finish($id);
        CompletionAsync::Client->gather(\@clients, 10);
        my $woken = time;

        my @r = map { $_->response } @clients;
        is scalar(grep { $_->json && $_->json->{done} } @r), 60, 'all have the result';
        cmp_ok scalar(uniq map { $_->header('X-Worker') } @r), '>=', 3, 'from several workers';

        push @late, $woken - ($emulator->polls($id))[-1]{end_time};
    }
    # poll and select wake one worker, the others look every second
    my $soon = ($ENV{TEST_NGINX_EVENTS} // 'epoll') eq 'epoll' ? 0.45 : 1.5;
    cmp_ok min(@late), '<', $soon, 'soon after the poll that saw it' or diag "@late";
};


subtest 'a client that hangs up leaves nothing, and the others waiting' => sub {
    my $location = slow();
    my @clients = map { poll($location, 'wait=20') } 1 .. 3;

    my @gone = map { poll($location, 'wait=20') } 1 .. 20;
    my @posts = map { submit('wait=20', text => '[delay=60]') } 1 .. 5;
    $t->until_waiting(28);
    my $before = $t->connections;
    $_->reset for splice @gone, 0, 10;
    $_->close for @gone, @posts;

    ok wait_until(sub { $t->connections <= $before - 25 }), 'their connections are closed'
        or diag "$before before, ", $t->connections;

    $emulator->finish;
    CompletionAsync::Client->gather(\@clients);
    is scalar(grep { $_->response->json && $_->response->json->{done} } @clients), 3,
        'those who stayed have the result';
};


subtest 'one connection, one request after the other' => sub {
    my $client = $t->client;
    my $post = { headers => { 'Content-Type' => 'text/plain', Prefer => 'wait=8' }, body => 'x' };

    my $r = $client->request(POST => '/translate', %$post);
    is $r->{status}, 200, 'held';
    $r = $client->request(POST => '/translate', %$post);
    is $r->{status}, 200, 'and again';

    # The second request comes while the first one is held.
    my $bytes = $client->format(POST => '/translate', %$post);
    $client->raw($bytes);
    $t->until_waiting(1);
    my $more = $client->format(GET => '/translate/operations/none');
    syswrite $client->{socket}, $more;
    is $client->response->{status}, 200, 'a pipelined request does not end the wait';
    is $client->raw('')->response->{status}, 404, 'and is answered after it';
};


# A body that nobody needs says nothing of how long the client stays; nginx waits for the rest of it
# from the answer on, and no longer than lingering_timeout.
subtest 'a poll whose body is late' => sub {
    my $location = slow(path => '/late');
    my $late = sub ($prefer) {
        return $t->client->raw("GET $location HTTP/1.1\r\nHost: a\r\nPrefer: $prefer\r\n"
            . "Content-Length: 5\r\n\r\n");
    };
    my $send = sub ($client, $bytes) { syswrite $client->{socket}, $bytes };

    my ($whole, $part, $none) = map { $late->('wait=5') } 1 .. 3;
    my @gone = map { $late->('wait=30') } 1 .. 20;
    $t->until_waiting(23);
    $send->($_, 'whole') for $whole, @gone;
    $send->($part, 'pa');
    every_worker_came_by();
    my $before = $t->connections;
    $_->close for @gone;
    # poll and select do not tell it from the bytes before it
    ok wait_until(sub { $t->connections <= $before - 20 }, 2), 'one that hangs up is noticed'
        or diag "$before before, ", $t->connections
        if ($ENV{TEST_NGINX_EVENTS} // 'epoll') eq 'epoll';

    my @case = ([ 'there by now', $whole, '' ], [ 'half there', $part, 'rt!' ],
        [ 'missing', $none, 'empty' ]);
    for (@case) {
        my ($name, $client, $rest) = @$_;
        my $r = $client->response;
        $send->($client, $rest);
        is $r->{status}, 200, "$name: answered" or diag $r->{error};
        push @waited, [ $name => 5, $r->{time} ];
    }
    is $_->[1]->request(GET => $location)->{status}, 200, "$_->[0]: and so is the next request"
        for @case;
};


subtest 'a subrequest does not wait' => sub {
    my $location = slow();
    mkdir $t->testdir . '/page';
    $t->write_file('page/index.html', qq(<!--#include virtual="$location" -->));

    my $r = $t->request(GET => '/page/index.html', headers => { Prefer => 'wait=50' });
    is $r->{status}, 200, 'answered at once';
    like $r->{body}, qr/"done":\s*false/, 'with the pending state';

    $r = $t->request(GET => '/page/index.html', headers => { Accept => 'text/event-stream' });
    like $r->{body}, qr/^\{.*"done":\s*false.*\}\s*$/s, 'nor does it stream';
};


subtest 'whoever waits does so for its time' => sub {
    for my $case (@waited) {
        my ($name, $seconds, $time) = @$case;
        cmp_ok $time, '>', $seconds - 0.1, "$name: not shorter";
        cmp_ok $time, '<', $seconds + 4, '... nor much longer';
    }
};


ok $t->stop, 'nginx ends by itself';
$t->done;
