# One line for each failure of upstream: who, what, which status and request, and no prompt.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);
use CompletionAsync::Upstream;

my $t = CompletionAsync::Test->new(emulator => { delay => 60 }, timeout => 180);
my $emulator = $t->emulator;
my $PROMPT = 'the-prompt-of-nobody-else';
$t->secret($PROMPT);

my ($cert, $key) = $t->certificate('localhost');
my $tls = CompletionAsync::Upstream->start(tls_cert => $cert, tls_key => $key);

$t->define(
    CLOSED => 'http://127.0.0.1:' . $t->closed_port,
    HOLE   => 'http://127.0.0.1:' . $t->black_hole,
    TLS    => 'https://127.0.0.1:' . $tls->port,
);
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex {
    zone yandex 1m; %%PROVIDER%% poll_interval 50ms 100ms; request_timeout 1s;
}
completion_async_provider closed {
    zone closed 1m; api_key file:%%API_KEY_FILE%%; request_timeout 300ms;
    submit_url %%CLOSED%%/; operations_url %%CLOSED%%/;
}
completion_async_provider hole {
    zone hole 1m; api_key file:%%API_KEY_FILE%%; connect_timeout 200ms; request_timeout 300ms;
    submit_url %%HOLE%%/; operations_url %%HOLE%%/;
}
completion_async_provider tls {
    zone tls 1m; api_key file:%%API_KEY_FILE%%; request_timeout 300ms;
    submit_url %%TLS%%/foundationModels/v1/completionAsync; operations_url %%TLS%%/operations;
}
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model gpt://%%FOLDER%%/yandexgpt-lite;
    location /yandex { completion_async yandex; }
    location /closed { completion_async closed; }
    location /hole   { completion_async hole; }
    location /tls    { completion_async tls; }
}
EOC

# What the configuration is warned of is not of here.
my $seen = grep { /\[(?:warn|error)\]/ } split /\n/, $t->log;


# What came into the error log since the last call, once there is something; nginx's own at
# levels below "warn" is not looked at.
sub news () {
    wait_until(sub { $seen < grep { /\[(?:warn|error)\]/ } split /\n/, $t->log });

    # What should not come, and is late, is found by the next call.
    my @all = grep { /\[(?:warn|error)\]/ } split /\n/, $t->log;
    my @lines = @all[ $seen .. $#all ];
    $seen = @all;
    return @lines;
}


sub says ($name, $level, $what, $who) {
    my @lines = news();
    is scalar @lines, 1, "$name: one line" or diag(join "\n", @lines);
    like $lines[0] // '', qr/\[$level\] [0-9]+#[0-9]+: $what $who$/, 'which says all of it';
}


my $ID = qr/"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"/;

my @ANSWERS = (
    [ 400, 'warn'  ], [ 413, 'warn'  ], [ 422, 'warn'  ], [ 429, 'warn'  ], [ 503, 'warn'  ],
    [ 301, 'error' ], [ 401, 'error' ], [ 403, 'error' ], [ 408, 'error' ], [ 409, 'error' ],
    [ 500, 'error' ], [ 502, 'error' ], [ 504, 'error' ],
);

my @BROKEN = (
    [ 'no answer',         { reset => 'request' },     'upstream gave no readable answer: [^,]+' ],
    [ 'half an answer',    { close => 'answer' },      'upstream gave no readable answer: [^,]+' ],
    [ 'none in time',      { hang  => 'request' },     'upstream gave no readable answer: [^,]+' ],
    [ 'one that is none',  { mangle => 'bad_json' },
        "upstream gave no readable answer: [^,]+, status 200, request id $ID" ],
);


subtest 'submits' => sub {
    my $who = 'while submitting to provider "yandex", try: 1';

    for my $case ([ 404, 'error' ], @ANSWERS) {
        my ($status, $level) = @$case;
        $emulator->fault(submit => 1, status => $status, retry_after => 60,
            message => "no: $PROMPT");
        $t->request(POST => '/yandex', body => $PROMPT);
        says("a $status", $level, "upstream answered $status, request id $ID", $who);
    }
    for my $case (@BROKEN) {
        my ($name, $fault, $what) = @$case;
        $emulator->fault(submit => 1, %$fault);
        $t->request(POST => '/yandex', body => $PROMPT);
        says($name, 'error', $what, $who);
    }
    for my $case (
        [ closed => qr/Failed to connect .*/ ], [ hole => qr/.+/ ], [ tls => qr/SSL .*/ ],
    ) {
        my ($provider, $why) = @$case;
        $t->request(POST => "/$provider", body => $PROMPT);
        says($provider, 'error', "upstream was not reached: $why",
            "while submitting to provider \"$provider\", try: 1");
    }
};


subtest 'polls' => sub {
    my $r = $t->request(POST => '/yandex', body => $PROMPT);
    is $r->{status}, 202, 'an operation';
    my ($submit) = ($emulator->submits)[-1];
    my $who = "while polling provider \"yandex\", operation: \"$submit->{operation}\"";

    for my $case (@ANSWERS) {
        my ($status, $level) = @$case;
        $emulator->fault(poll => 1, status => $status, message => "no: $PROMPT");
        says("a $status", $level, "upstream answered $status, request id $ID", $who);
    }
    for my $case (@BROKEN, [ 'another operation', { lie_id => 'd7qanother' },
        "upstream gave no readable answer: another operation, status 200, request id $ID" ])
    {
        my ($name, $fault, $what) = @$case;
        $emulator->fault(poll => 1, %$fault);
        says($name, 'error', $what, $who);
    }
    $emulator->stop;
    my @lines = news();
    like $lines[0], qr/\[error\] .*: upstream was not reached: Failed to connect .* \Q$who\E$/,
        'no connection';
    $emulator->resume;
    $emulator->finish;
    is $t->poll_until_done($r->header('Location'))->{status}, 200, 'it is polled all the same';
    news();
};


subtest 'cancels' => sub {
    for my $case ([ 401, 'error' ], [ 501, 'error' ]) {
        my ($status, $level) = @$case;
        my $r = $t->request(POST => '/yandex', body => $PROMPT);
        my ($submit) = ($emulator->submits)[-1];
        $emulator->fault(cancel => 1, status => $status, message => "no: $PROMPT");
        $t->request(DELETE => $r->header('Location'));
        says("a $status", $level, "upstream answered $status, request id $ID",
            "while cancelling at provider \"yandex\", operation: \"$submit->{operation}\"");
    }
};


subtest 'what is no failure' => sub {
    my $before = grep { /\[(?:warn|error)\]/ } split /\n/, $t->log;
    $emulator->set(delay => 0.2);
    my $r = $t->request(POST => '/yandex', body => "$PROMPT [early404=2]");
    is $t->poll_until_done($r->header('Location'))->{status}, 200, 'an operation';
    $r = $t->request(POST => '/yandex', body => "$PROMPT [outcome=failed:8:no]");
    is $t->poll_until_done($r->header('Location'))->{status}, 200, 'one that failed';
    $r = $t->request(POST => '/yandex', body => "$PROMPT [delay=60]");
    is $t->request(DELETE => $r->header('Location'))->{status}, 200, 'one that is cancelled';
    $t->request(POST => '/yandex', body => '');
    $t->request(GET => '/yandex/operations/nothing');
    is scalar(grep { /\[(?:warn|error)\]/ } split /\n/, $t->log), $before, 'has no line';
};


$tls->quit;
$t->done;
