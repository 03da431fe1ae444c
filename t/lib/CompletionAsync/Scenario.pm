package CompletionAsync::Scenario;

=head1 NAME

CompletionAsync::Scenario - a walk through what the module does, for tests of how it does it

=head1 SYNOPSIS

    my $t = CompletionAsync::Scenario->start;
    for my $step (CompletionAsync::Scenario->steps($t, 'one')) {
        my ($what, @responses) = $step->();
    }

=head1 DESCRIPTION

C<start> is a running L<CompletionAsync::Test> with one worker, whose configuration serves all steps;
options are those of its C<new>.

C<steps($t, $name)> gives functions, each of which does one thing a client can do, with texts and keys
that hold this name, so that none meets what another walk has left. They may be called in any
order. Each returns what it does, and its responses.

=cut

use strict;
use warnings;
use v5.36;
use utf8;

use CompletionAsync::Client;
use CompletionAsync::Test;

my $HTTP = <<'EOC';
completion_async_provider yandex {
    zone          operations 4m;
    poll_interval 50ms 200ms;
    submit_rate   1000r/s;
    submit_queue  10 5s;
    %%PROVIDER%%
}
server {
    listen 127.0.0.1:%%PORT%%;

    completion_async_model   yandexgpt-lite;
    completion_async_message system "Translate to $completion_async_input_to";

    location /translate { completion_async yandex; }

    location /owned {
        completion_async       yandex;
        completion_async_owner $http_x_user;
        completion_async_cache 1m owner;
    }

    location /shared {
        completion_async       yandex;
        completion_async_cache 1m shared;
    }
}
EOC


sub start ($class, %arg) {
    my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 }, %arg);
    $t->run("worker_processes 1;\n" . $t->http_conf($HTTP));

    my $r = $t->request(POST => '/translate', body => 'done', headers => { Prefer => 'wait=5' });
    $t->{done} = $r->header('Location');
    $r = $t->request(POST => '/translate', body => '[delay=600] pending');
    $t->{pending} = $r->header('Location');
    return $t;
}


sub steps ($class, $t, $name) {
    my $ask = sub ($method, $path, %arg) {
        my $client = CompletionAsync::Client->new(port => $t->port, timeout => 8);
        return $client->request($method, $path, close => 1, %arg);
    };
    my $submit = sub ($path, $text, %headers) {
        return $ask->(POST => $path, body => "$text $name",
            headers => { 'Content-Type' => 'text/plain', %headers });
    };
    my ($done, $pending) = @$t{qw(done pending)};

    return (
        sub { ('a text', $submit->('/translate', 'plain')) },
        sub { ('a text, waited for', $submit->('/translate', 'waited', Prefer => 'wait=5')) },
        sub { ('a poll of what is done', $ask->(GET => $done)) },
        sub { ('a poll of what is pending', $ask->(GET => $pending)) },
        sub {
            my $r = $submit->('/translate', '[delay=0.1] polled');
            return ('a long poll', $r, $ask->(GET => $r->header('Location') // $done,
                headers => { Prefer => 'wait=5' }));
        },
        sub {
            my $tag = $ask->(GET => $done)->header('ETag') // '"none"';
            return ('a conditional poll', $ask->(GET => $done, headers => { 'If-None-Match' => $tag }));
        },
        sub { ('the text', $ask->(GET => $done, headers => { Accept => 'text/plain' })) },
        sub { ('a HEAD', $ask->(HEAD => $done)) },
        sub { ('a cancel of what is done', $ask->(DELETE => $done)) },
        sub {
            return ('JSON', $ask->(POST => '/translate',
                body    => qq({"text": "json $name", "to": "en"}),
                headers => { 'Content-Type' => 'application/json' }));
        },
        sub {
            return ('a native request', $ask->(POST => '/translate',
                body    => qq({"messages": [{"role": "user", "text": "native $name"}],
                              "completionOptions": {"temperature": 0.5, "maxTokens": "7"}}),
                headers => { 'Content-Type' => 'application/json' }));
        },
        sub {
            return ('a form', $ask->(POST => '/translate', body => "text=form+$name&to=ru",
                headers => { 'Content-Type' => 'application/x-www-form-urlencoded' }));
        },
        sub { ('a stream', $submit->('/translate', 'streamed', Accept => 'text/event-stream')) },
        sub {
            my $r = $submit->('/translate', '[delay=600] cancelled');
            return ('a cancel', $r, $ask->(DELETE => $r->header('Location') // $pending));
        },
        sub {
            my %key = ('Idempotency-Key' => "key-$name");
            return ('a key, twice', map { $submit->('/translate', 'keyed', %key) } 1, 2);
        },
        sub {
            my %user = ('X-User' => "user-$name");
            return ('a cache, twice', map { $submit->('/owned', 'cached', %user) } 1, 2);
        },
        sub {
            my @clients = map {
                CompletionAsync::Client->new(port => $t->port, timeout => 8)->start(POST => '/shared',
                    body => "joined $name", headers => { Prefer => 'wait=5' }, close => 1)
            } 1 .. 3;
            return ('equal ones at once', map { $_->response(8) } @clients);
        },
        sub {
            $t->emulator->fault('submit', 1, status => 400, message => "no $name");
            return ('a refusal of upstream', $submit->('/translate', 'refused'));
        },
        sub {
            $t->emulator->fault('submit', 1, status => 503);
            return ('a second try', $submit->('/translate', 'tried twice'));
        },
        sub { ('an id that is none', $ask->(GET => '/translate/operations/none')) },
        sub { ('no owner', $submit->('/owned', 'nobody')) },
        sub { ('no text', $ask->(POST => '/translate')) },
        sub { ('OPTIONS', $ask->(OPTIONS => '/translate')) },
        sub { ('a method that is not allowed', $ask->(PUT => '/translate')) },
    );
}


1;
