# text/event-stream: what a stream says, when it ends, and clients that do not read it.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.5 });

$t->run(<<'EOC');
worker_processes 2;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    completion_async_provider yandex {
        zone          operations 16m;
        poll_interval 100ms 500ms;
        %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport sndbuf=16k;

        completion_async_model yandexgpt-lite;

        location /translate {
            completion_async yandex;
        }
        location /impatient {
            completion_async yandex;
            send_timeout     1s;
        }
        location /late {
            completion_async  yandex;
            lingering_timeout 1s;
        }
    }
}
EOC

my $emulator = $t->emulator;


# All that is left of a stream, up to its end.
sub events ($stream, $seconds = 8) {
    my $deadline = time + $seconds;
    my @events;
    while ($deadline > time && defined(my $event = $stream->event($deadline - time))) {
        push @events, $event;
    }
    return @events;
}


sub is_operation ($event, $id, $done, $name) {
    my $json = eval { decode_json($event->{data}) } // {};
    is $event->{event}, 'operation', "$name: its event";
    is $event->{id}, $done ? 'done' : 'pending', "$name: its id";
    is $json->{id}, $id, "$name: the operation";
    is !!$json->{done}, !!$done, "$name: its state";
    return $json;
}


# Looked at in the end.
my ($quiet_location, $quiet_id) = $t->submit('[delay=600]')->@{qw(location upstream)};
my $quiet = $t->stream($quiet_location);
my $quiet_started = time;


subtest 'a poll as a stream' => sub {
    my ($location, $upstream) = $t->submit('[delay=60]')->@{qw(location upstream)};
    my ($id) = $location =~ m{([^/]+)$};
    my $stream = $t->stream($location);

    is_operation($stream->event, $id, 0, 'at once');
    my $head = $stream->{response};
    is $head->{status}, 200, 'status';
    like $head->header('Content-Type'), qr{^text/event-stream(?:;|$)}, 'Content-Type';
    is $head->header('Cache-Control'), 'no-store', 'no-store';
    is $head->header('Content-Length'), undef, 'no length';
    is $stream->event(1.2), undef, 'nothing while nothing changes';
    cmp_ok scalar $emulator->polls($upstream), '>=', 2, 'although upstream was asked';

    $emulator->finish($upstream);
    my $json = is_operation($stream->event, $id, 1, 'done');
    is $json->{response}{alternatives}[0]{message}{text}, 'echo: [delay=60]', 'the result';
    is $stream->event(3), undef, 'nothing after it';
    ok $stream->{response}{complete}, 'the answer is complete';

    my ($only, @more) = events($t->stream($location));
    is_operation($only, $id, 1, 'a finished one');
    is scalar @more, 0, 'one event, and the end';
};


subtest 'a submit as a stream' => sub {
    my $stream = $t->stream('/translate', method => 'POST',
        headers => { 'Content-Type' => 'text/plain' }, body => 'text');
    my @events = events($stream);
    my $r = $stream->{response};

    is $r->{status}, 200, 'status';
    like $r->header('Content-Type'), qr{^text/event-stream(?:;|$)}, 'Content-Type';
    like $r->header('Location'), qr{^/translate/operations/[\w-]+$}, 'Location';
    is $r->header('Cache-Control'), 'no-store', 'no-store';

    my ($id) = $r->header('Location') =~ m{([^/]+)$};
    is scalar(grep { exists $_->{comment} } @events), 0, 'no comment before its time';
    @events = grep { !exists $_->{comment} } @events;
    is scalar @events, 2, 'two states';
    is_operation($events[0], $id, 0, 'first');
    is_operation($events[1], $id, 1, 'last');
    ok $r->{complete}, 'and the end';

    $stream = $t->stream('/translate', method => 'POST',
        headers => { 'Content-Type' => 'text/plain' }, body => '[outcome=failed:8:no]');
    my $json = decode_json((events($stream))[-1]{data});
    is $json->{error}{code}, 8, 'a failed operation ends its stream as well';

    $stream = $t->stream('/translate', method => 'POST',
        headers => { 'Content-Type' => 'text/plain' }, body => '[delay=0]');
    @events = events($stream);
    is $events[-1]{id}, 'done', 'one that is done at once';
};


subtest 'every change is told, in one line' => sub {
    my ($location, $upstream) = $t->submit('[delay=60]')->@{qw(location upstream)};
    my ($id) = $location =~ m{([^/]+)$};
    my $stream = $t->stream($location);

    is_operation($stream->event, $id, 0, 'first');
    $emulator->fault(
        poll      => 'every',
        operation => $upstream,
        status    => 200,
        body      => qq({\r\n\t"id": "$upstream",\n  "done": false,\r\n)
            . qq(  "metadata": {\n    "progress": [\n 1,\r 2\n ]\n  }\r\n}\n),
    );
    my $event = $stream->event;
    my $json = is_operation($event, $id, 0, 'a change');
    is_deeply $json->{metadata}, { progress => [ 1, 2 ] }, 'what has changed';
    is_deeply [ sort keys %$event ], [qw(data event id)], 'no line of JSON is another field';
    unlike $event->{data}, qr/[\r\n]/, 'one line';
    is $stream->event(0.8), undef, 'told once';

    $emulator->clear_faults;
    is_operation($stream->event, $id, 0, 'and back');
    $emulator->finish($upstream);
    is_operation($stream->event, $id, 1, 'done');
};


subtest 'Last-Event-ID' => sub {
    my ($location, $upstream) = $t->submit('[delay=60]')->@{qw(location upstream)};
    my $pending = $t->submit('[delay=60]')->{location};
    $emulator->finish($upstream);
    $t->poll_until_done($location);

    for my $path ($location, $pending) {
        my $r = $t->request(GET => $path,
            headers => { Accept => 'text/event-stream', 'Last-Event-ID' => 'done' });
        is $r->{status}, 204, 'done: nothing more will come';
        is $r->{body}, '', 'no body';
    }
    for my $seen ('pending', 'Done', 'done2', '', 'done, done') {
        my $stream = $t->stream($location, headers => { 'Last-Event-ID' => $seen });
        my @events = events($stream);
        is scalar @events, 1, "<$seen>: the current state";
        is $events[0]{id}, 'done', 'done';
    }
    my $stream = $t->stream($pending, headers => { 'Last-Event-ID' => 'pending' });
    is $stream->event->{id}, 'pending', 'pending: the current state, changed or not';

    my $r = $t->poll($location, headers => { 'Last-Event-ID' => 'done' });
    is $r->{status}, 200, 'not a stream: it means nothing';
};


subtest 'errors are no streams' => sub {
    my $r = $t->request(GET => '/translate/operations/none',
        headers => { Accept => 'text/event-stream' });
    is $r->{status}, 404, 'unknown: 404';
    is $r->header('Content-Type'), 'application/problem+json', 'a problem document';

    $r = $t->request(POST => '/translate', body => '',
        headers => { Accept => 'text/event-stream', 'Content-Type' => 'text/plain' });
    is $r->{status}, 400, 'empty: 400';
    is $r->header('Content-Type'), 'application/problem+json', 'a problem document';
};


subtest 'HEAD, HTTP/1.0 and keep-alive' => sub {
    my ($location, $upstream) = $t->submit('[delay=60]')->@{qw(location upstream)};
    my ($id) = $location =~ m{([^/]+)$};

    my $r = $t->request(HEAD => $location, headers => { Accept => 'text/event-stream' });
    is $r->{status}, 200, 'HEAD: 200';
    like $r->header('Content-Type'), qr{^text/event-stream(?:;|$)}, 'its type';

    my $old = $t->stream($location, version => '1.0');
    my $client = $t->stream($location);
    is_operation($old->event, $id, 0, 'HTTP/1.0');
    is_operation($client->event, $id, 0, 'HTTP/1.1');
    $emulator->finish($upstream);

    my ($event, @more) = events($old);
    is_operation($event, $id, 1, 'HTTP/1.0');
    is scalar @more, 0, 'ends';
    ok $old->is_closed, 'by closing';
    is_operation($client->event, $id, 1, 'HTTP/1.1');
    is $client->event(3), undef, 'ends';
    is $client->request(GET => $location)->{status}, 200, 'and the connection serves on';
};


subtest 'a body that comes late' => sub {
    my ($location, $upstream) = $t->submit('[delay=60]')->@{qw(location upstream)};
    $location =~ s{^/translate}{/late};
    my ($whole, $none) = map {
        $t->client->raw("GET $location HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n"
            . "Content-Length: 5\r\n\r\n")
    } 1 .. 2;

    is $_->event->{id}, 'pending', 'a stream begins' for $whole, $none;
    syswrite $whole->{socket}, 'whole';
    is $_->event(1.2), undef, 'goes on' for $whole, $none;
    $emulator->finish($upstream);

    for my $stream ($whole, $none) {
        is +(($stream->event // {})->{id}), 'done', 'to its end' or next;
        is $stream->event(3), undef, 'and no further';
        syswrite $none->{socket}, 'whole' if $stream == $none;
        is $stream->request(GET => $location)->{status}, 200, 'the connection serves on';
    }

    my $head = $t->start(HEAD => $location,
        headers => { Accept => 'text/event-stream', 'Content-Length' => 5 });
    is $head->response->{status}, 200, 'HEAD';
    syswrite $head->{socket}, 'whole';
    is $head->request(GET => $location)->{status}, 200, 'serves on as well';
};


subtest 'a cancel ends a stream' => sub {
    my $location = $t->submit('[delay=60]')->{location};
    my ($id) = $location =~ m{([^/]+)$};
    my @streams = map { $t->stream($location) } 1 .. 8;

    is_operation($_->event, $id, 0, 'pending') for @streams;
    $t->request(DELETE => $location);
    for my $stream (@streams) {
        my ($event, @more) = events($stream);
        my $json = is_operation($event, $id, 1, 'cancelled');
        is $json->{error}{code}, 1, 'as cancelled';
        is scalar @more, 0, 'and the end';
    }
};


subtest 'a slow reader gets all of it, and holds up nobody' => sub {
    my ($location, $upstream) = $t->submit('[delay=60][outcome=huge]')->@{qw(location upstream)};
    my ($id) = $location =~ m{([^/]+)$};

    # What is not read stays far below the size of the result.
    my $slow = $t->stream($location);
    my $stuck = $t->stream($location =~ s/translate/impatient/r);
    my $fast = $t->stream($location);

    is_operation($_->event, $id, 0, 'pending') for $slow, $stuck, $fast;
    my $before = $t->connections;
    $emulator->finish($upstream);

    my $json = is_operation($fast->event, $id, 1, 'fast');
    cmp_ok length $json->{response}{alternatives}[0]{message}{text}, '>', 1_000_000, 'all of it';
    is $fast->event(3), undef, 'ended';
    $fast->close;

    # the stuck one by send_timeout, the fast one by itself
    ok wait_until(sub { $t->connections <= $before - 2 }), 'who reads nothing is given up';

    $json = is_operation($slow->event, $id, 1, 'slow');
    cmp_ok length $json->{response}{alternatives}[0]{message}{text}, '>', 1_000_000, 'all of it';
    is $slow->event(3), undef, 'ended';
    ok $slow->{response}{complete}, 'whole';

    my @events = events($stuck, 3);
    ok !$stuck->{response}{complete}, 'the one given up has not all of it';
};


subtest 'clients that hang up leave nothing' => sub {
    my ($location, $upstream) = $t->submit('[delay=60]')->@{qw(location upstream)};
    my ($id) = $location =~ m{([^/]+)$};
    my @streams = map { $t->stream($location) } 1 .. 12;
    my $posted = $t->stream('/translate', method => 'POST',
        headers => { 'Content-Type' => 'text/plain' }, body => '[delay=60]');
    my $stays = $t->stream($location);

    $_->event for @streams, $posted, $stays;
    my $before = $t->connections;
    $_->reset for splice @streams, 0, 6;
    $_->close for @streams, $posted;

    ok wait_until(sub { $t->connections <= $before - 13 }), 'their connections are closed'
        or diag "$before before, ", $t->connections;
    $emulator->finish($upstream);
    is_operation($stays->event, $id, 1, 'who stayed');
};


subtest 'a comment every 15 seconds' => sub {
    my ($id) = $quiet_location =~ m{([^/]+)$};

    is_operation($quiet->event, $id, 0, 'the state');
    my @events = $quiet->event(20);
    while (defined(my $event = $quiet->event(0.1))) {
        push @events, $event;
    }
    my $passed = time - $quiet_started;
    ok 15 * @events - 1 < $passed && $passed < 15 * @events + 15, 'no sooner and no later'
        or diag scalar(@events), " in $passed s";
    is scalar(grep { join(' ', keys %$_) eq 'comment' } @events), scalar @events,
        'nothing but a comment';
    ok !$quiet->{response}{over}, 'and it goes on';
    $quiet->close;
};


ok $t->stop, 'nginx ends by itself';
$t->done;
