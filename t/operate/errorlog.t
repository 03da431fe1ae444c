# One line for each request that fails, and for polls that fail in a row: who, what, which status and
# request, and no prompt.

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
    zone yandex 1m; %%PROVIDER%% poll_interval 50ms 100ms; request_timeout 2s;
}
completion_async_provider patient {
    zone patient 1m; %%PROVIDER%% request_timeout 20s;
}
completion_async_provider limited {
    zone limited 1m; %%PROVIDER%% submit_rate 1r/h;
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
    zone tls 1m; api_key file:%%API_KEY_FILE%%; request_timeout 20s;
    submit_url %%TLS%%/foundationModels/v1/completionAsync; operations_url %%TLS%%/operations;
}
%%METRICS%%
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model gpt://%%FOLDER%%/yandexgpt-lite;
    location /yandex { completion_async yandex; }
    location /patient { completion_async patient; }
    location /limited { completion_async limited; }
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
    like $lines[0] // '', qr/\[$level\] [0-9]+#[0-9]+: (?:\*[0-9]+ )?$what$who$/,
        'which says all of it';
}


# nginx's own words on whose request it is, as behind its proxy's lines.
sub client ($request) {
    return qr{, client: 127\.0\.0\.1, server: , request: "\Q$request\E HTTP/1\.1", host: "[^"]+"};
}


my $ID = qr/"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"/;

my %HINT = (
    401 => ', check the credential',
    403 => ', check the account\'s role "ai.languageModels.user" and the folder',
    404 => ', check the model and the folder',
);

# The level of a poll's line; a submit that fails is always an error.
my @ANSWERS = (
    [ 400, 'warn'  ], [ 413, 'warn'  ], [ 422, 'warn'  ], [ 429, 'warn'  ], [ 503, 'warn'  ],
    [ 301, 'error' ], [ 401, 'error' ], [ 403, 'error' ], [ 408, 'error' ], [ 409, 'error' ],
    [ 500, 'error' ], [ 502, 'error' ], [ 504, 'error' ],
);

sub answered ($status) {
    my $hint = quotemeta($HINT{$status} // '');
    return qr/upstream answered $status, request id $ID$hint/;
}

my @BROKEN = (
    [ 'no answer',         { reset => 'request' },     'upstream gave no readable answer: [^,]+' ],
    [ 'half an answer',    { close => 'answer' },      'upstream gave no readable answer: [^,]+' ],
    [ 'none in time',      { hang  => 'request' },     'upstream gave no readable answer: [^,]+' ],
    [ 'one that is none',  { mangle => 'bad_json' },
        "upstream gave no readable answer: [^,]+, status 200, request id $ID" ],
);


subtest 'submits' => sub {
    my $who = ' while submitting to provider "yandex", try: 1' . client('POST /yandex');

    for my $status (404, map { $_->[0] } @ANSWERS) {
        $emulator->fault(submit => 1, status => $status, retry_after => 60,
            message => "no: $PROMPT");
        $t->request(POST => '/yandex', body => $PROMPT);
        says("a $status", 'error', answered($status), $who);
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
        my @lines = grep { /\[error\]/ } news();
        my $client = client("POST /$provider");
        is scalar @lines, 1, "$provider: one line" or diag(join "\n", @lines);
        like $lines[0] // '',
            qr/ upstream was not reached: $why while submitting to provider "$provider", try: [1-4]$client$/,
            'which says all of it';
    }
};


# Debian's level is "error": there each request that fails has one line, however often it was tried.
subtest 'tries' => sub {
    $emulator->fault(submit => '1-4', status => 503, message => "no: $PROMPT");
    is $t->request(POST => '/patient', body => $PROMPT)->{status}, 503, 'in vain';
    my @lines = news();
    is scalar(grep { /\[warn\] .*: upstream answered 503.* try: [123]$/ } @lines), 3,
        'a warning for each try that is followed by another';
    my @errors = grep { /\[error\]/ } @lines;
    is scalar @errors, 1, 'and one error';
    my $client = client('POST /patient');
    like $errors[0] // '', qr/ upstream answered 503, .* try: 4$client$/,
        'of the last';

    $emulator->fault(submit => 1, status => 429, message => "no: $PROMPT");
    my $r = $t->request(POST => '/patient', body => $PROMPT);
    is $r->{status}, 202, 'in vain at first';
    is_deeply [ map { /\[(\w+)\]/ } news() ], ['warn'], 'no error';
    $t->request(DELETE => $r->header('Location'));
};


subtest 'the line for the quota' => sub {
    is $t->request(POST => '/limited', body => $PROMPT)->{status}, 202, 'one has it';
    is $t->request(POST => '/limited', body => $PROMPT)->{status}, 429, 'and the next one not';
    says('a place in line', 'error', 'no place in the line for the quota, provider "limited"',
        client('POST /limited'));
};


subtest 'who goes by another' => sub {
    my @key = (headers => { 'Idempotency-Key' => 'k' }, body => $PROMPT);
    $emulator->fault(submit => 1, reset => 'request');
    is $t->request(POST => '/yandex', @key)->{status}, 424, 'nobody knows';
    says('the first', 'error', qr/upstream gave no readable answer: .*/,
        ' try: 1' . client('POST /yandex'));
    is $t->request(POST => '/yandex', @key)->{status}, 424, 'a replay';
    says('the second', 'error', 'the submit that this one goes by has failed, provider "yandex"',
        client('POST /yandex'));
    is $t->request(POST => '/yandex', @key, body => 'another')->{status}, 422, 'a mistake';
    is scalar(grep { /\[(?:warn|error)\]/ } split /\n/, $t->log), $seen, 'is no failure of ours';
};


# Whoever has hung up is not named; the operator is told all the same.
subtest 'a client that is gone' => sub {
    $emulator->fault(submit => 1, hold => 'gone', status => 403);
    my $c = $t->client->start(POST => '/patient', body => $PROMPT);
    $t->until_waiting(1);
    $c->close;
    $t->until_waiting(0);
    $emulator->release('gone');
    says('its submit', 'error', answered(403), ' while submitting to provider "patient", try: 1');
};


subtest 'polls' => sub {
    my $r = $t->request(POST => '/yandex', body => $PROMPT);
    is $r->{status}, 202, 'an operation';
    my ($submit) = ($emulator->submits)[-1];
    my @of = (operation => $submit->{operation});
    my $who = " while polling provider \"yandex\", operation: \"$submit->{operation}\"";

    # What fails in a row is told once: a good answer comes in between.
    my $good = sub {
        my $polls = () = $emulator->polls($submit->{operation});
        ok wait_until(sub { $emulator->polls($submit->{operation}) > $polls + 2 }), 'it goes on';
    };

    for my $case (@ANSWERS) {
        my ($status, $level) = @$case;
        $emulator->fault(poll => 1, @of, status => $status, message => "no: $PROMPT");
        says("a $status", $level, answered($status), $who);
        $good->();
    }
    for my $case (@BROKEN, [ 'another operation', { lie_id => 'd7qanother' },
        "upstream gave no readable answer: another operation, status 200, request id $ID" ])
    {
        my ($name, $fault, $what) = @$case;
        $emulator->fault(poll => 1, @of, %$fault);
        says($name, $what =~ /200/ ? 'warn' : 'error', $what, $who);
        $good->();
    }

    # Each fault is one poll: all of them are over when the next one is answered.
    $emulator->fault(poll => '1-5', @of, status => 500);
    says('five in a row', 'error', answered(500), $who);
    $good->() for 1 .. 3;
    is scalar(grep { /\[(?:warn|error)\]/ } split /\n/, $t->log), $seen, 'no more of them';
    $emulator->stop;
    # Operations of the other providers are polled too: which of them is first is not said.
    my $unreached = qr/\[error\] .*: upstream was not reached: Failed to connect .*\Q$who\E$/m;
    ok wait_until(sub { $t->log =~ $unreached }), 'no connection';
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
        says("a $status", $level, answered($status),
            " while cancelling at provider \"yandex\", operation: \"$submit->{operation}\"");
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
