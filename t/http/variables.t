# $completion_async_* in logs and headers.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my @NAMES = qw(operation state source upstream_status upstream_time queue_time upstream_request_id
    input_tokens completion_tokens reasoning_tokens total_tokens model_version);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });

$t->define(
    FORMAT  => join('|', '$status', '$arg_n', map { "$_=\$completion_async_$_" } @NAMES),
    HEADERS => join(' ', map { "add_header X-Var-$_ \$completion_async_$_ always;" } @NAMES),
    CLOSED  => 'http://127.0.0.1:' . $t->closed_port,
);
$t->run($t->http_conf(<<'EOC'));
log_format variables escape=none '%%FORMAT%%';
access_log %%TESTDIR%%/variables.log variables;

completion_async_provider yandex {
    zone yandex 1m; %%PROVIDER%% poll_interval 100ms 200ms;
    id_key file:%%API_KEY_FILE%%;
}
completion_async_provider closed {
    zone closed 1m; api_key file:%%API_KEY_FILE%%; request_timeout 1s;
    submit_url %%CLOSED%%/; operations_url %%CLOSED%%/;
}
completion_async_provider limited {
    zone limited 1m; %%PROVIDER%% submit_rate 1r/h;
}
completion_async_provider queued {
    zone queued 1m; %%PROVIDER%% submit_rate 1r/s; submit_queue 5;
}
%%METRICS%%
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_message system "Переведи текст";
    completion_async_model gpt://%%FOLDER%%/yandexgpt-lite;
    location /translate { completion_async yandex; }
    location /closed    { completion_async closed; }
    location /limited   { completion_async limited; }
    location /queued    { completion_async queued; }
    location /cached    { completion_async yandex; completion_async_cache 1h shared; }
    location /headers   { completion_async yandex; %%HEADERS%% }
    location /static    { return 200 "static\n"; }
}
EOC

my $emulator = $t->emulator;
my $number = 0;


# What was logged for the request with this number, as a hash; its line comes after the answer.
sub logged ($n) {
    # the last one may still be written
    my $line = wait_until(sub {
        (grep { /^[0-9]+\|$n\|/ } $t->read_file('variables.log') =~ /^(.*)\n/mg)[0]
    }) // '';
    my ($status, undef, @pair) = split /\|/, $line;
    return { defined $status ? (status => $status) : (), map { /^(\w+)=(.*)$/ } @pair };
}


sub request ($method, $path, %arg) {
    my $n = ++$number;
    my $r = $t->request($method => "$path?n=$n", %arg);
    return ($r, logged($n));
}


# Every variable that is not named must be empty.
sub says ($got, $name, %expected) {
    my @bad;

    for my $variable ('status', @NAMES) {
        my $value = $got->{$variable} // 'not logged';
        my $expected = $expected{$variable} // '';
        my $good = ref $expected ? $value =~ $expected : $value eq $expected;
        push @bad, "$variable: \"$value\", not \"$expected\"" if !$good;
    }
    is scalar @bad, 0, $name or diag(join "\n", @bad);
}


my $TIME = qr/^[0-9]+\.[0-9]{3}$/;
my $ID   = qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;


sub submit ($text, %arg) {
    my ($r, $got) = request(POST => '/translate', body => $text, %arg);
    die "submit: $r->{status} $r->{body}\n" if $r->{status} != 202;
    return ($r->header('Location'), ($emulator->submits)[-1]{operation}, $got);
}


subtest 'a submit' => sub {
    my ($location, $id, $got) = submit('a');
    my %accepted = (
        status => 202, operation => $id, source => 'upstream', upstream_status => 200,
        upstream_time => $TIME, queue_time => '0.000', upstream_request_id => $ID, state => 'pending',
    );
    says($got, 'that is pending', %accepted);

    $emulator->set(delay => 0);
    ($location, $id, $got) = submit('To be, or not to be: that is the question.');
    $emulator->set(delay => 60);
    says($got, 'that is done at once', %accepted, operation => $id, state => 'completed',
        input_tokens => 31, completion_tokens => 10, total_tokens => 41,
        model_version => '18.01.2024');

    $emulator->fault(submit => 1, delay => 0.3);
    (undef, undef, $got) = submit('a');
    my $took = $got->{upstream_time} || 0;
    ok 0.25 <= $took && $took < 8, 'the time that upstream took, in seconds' or diag $took;
};


subtest 'a submit in the line' => sub {
    my @got = map { (request(POST => '/queued', body => 'a'))[1] } 1 .. 2;
    is $got[0]{queue_time}, '0.000', 'the first goes at once';
    like $got[1]{queue_time}, qr/^(?:1\.0|0\.[1-9])[0-9]+$/, 'the second waits for its second';
};


subtest 'a poll' => sub {
    my ($location, $id) = submit('To be, or not to be: that is the question.');

    says((request(GET => $location))[1], 'of a pending one', status => 200, operation => $id,
        state => 'pending', source => 'zone');

    $emulator->finish($id);
    $t->poll_until_done("$location?n=none");
    my %final = (
        operation => $id, state => 'completed', source => 'zone', input_tokens => 31,
        completion_tokens => 10, total_tokens => 41, model_version => '18.01.2024',
    );
    my ($r, $got) = request(GET => $location);
    says($got, 'of a finished one', status => 200, %final);

    says((request(HEAD => $location))[1], 'by HEAD', status => 200, %final);
    says((request(GET => $location, headers => { 'If-None-Match' => $r->header('ETag') }))[1],
        'that is answered 304', status => 304, %final);
    says((request(GET => $location, headers => { Accept => 'text/plain' }))[1], 'as text',
        status => 200, %final);
    says((request(GET => $location, headers => { Accept => 'text/event-stream' }))[1],
        'as a stream', status => 200, %final);
};


subtest 'waiting' => sub {
    my %final = (
        status => 200, state => 'completed', input_tokens => 31, completion_tokens => 10,
        total_tokens => 41, model_version => '18.01.2024',
    );
    my $text = 'To be, or not to be: that is the question.';
    my %wait = (headers => { Prefer => 'wait=1' });

    my ($n, @before) = (++$number, $emulator->submits);
    my $client = $t->start(POST => "/translate?n=$n", body => $text, headers =>
        { Prefer => 'wait=20' });
    $emulator->wait_over(submit => @before + 1, 5);
    my $id = ($emulator->submits)[-1]{operation};
    $emulator->finish($id);
    $client->response(10);
    says(logged($n), 'a submit, to the end', %final, operation => $id, source => 'upstream',
        upstream_status => 200, upstream_time => $TIME, queue_time => '0.000', upstream_request_id => $ID);

    my (undef, $got) = request(POST => '/translate', body => 'a', %wait);
    says($got, 'a submit, in vain', status => 202, state => 'pending', source => 'upstream',
        operation => ($emulator->submits)[-1]{operation}, upstream_status => 200,
        upstream_time => $TIME, queue_time => '0.000', upstream_request_id => $ID);

    my $location;
    ($location, $id) = submit($text);
    says((request(GET => $location, %wait))[1], 'a poll, in vain', status => 200,
        state => 'pending', source => 'zone', operation => $id);
    $n = ++$number;
    $client = $t->start(GET => "$location?n=$n", headers => { Prefer => 'wait=20' });
    $t->until_waiting(1);
    $emulator->finish($id);
    $client->response(10);
    says(logged($n), 'a poll, to the end', %final, operation => $id, source => 'zone');
};


subtest 'what others have paid for' => sub {
    my %key = (headers => { 'Idempotency-Key' => 'a-key' });
    my (undef, $id) = submit('a', %key);
    my %known = (status => 202, operation => $id, state => 'pending');
    says((submit('a', %key))[2], 'replayed', %known, source => 'replayed');

    my ($r, $got) = request(POST => '/translate', body => 'b', %key);
    says($got, 'another request under the key', status => 422, source => 'zone');

    request(POST => '/cached', body => 'cached');
    $known{operation} = ($emulator->submits)[-1]{operation};
    says((request(POST => '/cached', body => 'cached'))[1], 'cached', %known, source => 'cached');

    $emulator->fault(submit => 1, delay => 1);
    $number += 2;
    my @n = ($number - 1, $number);
    my @client = map { $t->start(POST => "/cached?n=$_", body => 'joined') } @n;
    $_->response(10) for @client;
    $known{operation} = ($emulator->submits)[-1]{operation};
    my ($sent, $joined) = sort { $a->{source} eq 'joined' ? 1 : -1 } map { logged($_) } @n;
    says($joined, 'joined', %known, source => 'joined');
    says($sent, 'by whom', %known, source => 'upstream', upstream_status => 200,
        upstream_time => $TIME, queue_time => '0.000', upstream_request_id => $ID);

    $emulator->fault(submit => 1, reset => 'request');
    $key{headers}{'Idempotency-Key'} = 'unknown';
    request(POST => '/translate', body => 'a', %key);
    says((request(POST => '/translate', body => 'a', %key))[1], 'an unknown outcome',
        status => 424, source => 'replayed');

    request(POST => '/limited', body => 'a');
    says((request(POST => '/limited', body => 'a'))[1], 'a quota that is used up', status => 429,
        source => 'zone');
};


subtest 'a cancel' => sub {
    my ($location, $id) = submit('a');
    my %cancelled = (status => 200, operation => $id, state => 'cancelled', source => 'zone');
    says((request(DELETE => $location))[1], 'of a pending one', %cancelled);
    says((request(DELETE => $location))[1], 'once more', %cancelled);

    ($location, $id) = submit('To be, or not to be: that is the question. [delay=0]');
    $t->poll_until_done("$location?n=none");
    my $got = (request(DELETE => $location))[1];
    is $got->{state}, 'completed', 'of a finished one';
    is $got->{operation}, $id, 'its operation';
};


subtest 'how it ended' => sub {
    my %usage = map { $_ => qr/^[0-9]+$/ } qw(input_tokens completion_tokens total_tokens);
    my %answer = (%usage, model_version => '18.01.2024');
    my @case = (
        [ final                => 'completed',  %answer ],
        [ tool_calls           => 'tool_calls', %answer ],
        [ reasoning            => 'completed',  %answer, reasoning_tokens => 7 ],
        [ error0               => 'completed',  %answer ],
        [ no_usage             => 'completed',  model_version => '18.01.2024' ],
        [ truncated            => 'incomplete', %answer ],
        [ partial              => 'incomplete', %answer ],
        [ filter               => 'incomplete', %answer ],
        [ 'failed:8:no'        => 'failed' ],
        [ 'failed:13:no'       => 'failed' ],
    );
    for my $case (@case) {
        my ($outcome, $state, %expected) = @$case;
        my ($location, $id) = submit("a [outcome=$outcome] [delay=0]");

        $t->poll_until_done("$location?n=none");
        says((request(GET => $location))[1], "$outcome: $state", status => 200, source => 'zone',
            operation => $id, state => $state, %expected);
    }

    my ($location, $id) = submit('a');
    my $got = (request(DELETE => $location))[1];
    is $got->{state}, 'cancelled', 'a cancel';
    is $got->{operation}, $id, 'its operation';
    says((request(GET => $location))[1], 'a poll of what was cancelled', status => 200,
        source => 'zone', operation => $id, state => 'cancelled');
};


subtest 'an operation that upstream is asked for' => sub {
    my ($location, $id) = submit('a [delay=0]');
    $t->poll_until_done("$location?n=none");
    ok $t->stop, 'nginx stops';
    $t->run;

    my $got = (request(GET => $location))[1];
    is $got->{operation}, $id, 'the operation';
    is $got->{state}, 'completed', 'its state';
    is $got->{source}, 'upstream', 'from upstream';
    is $got->{model_version}, '18.01.2024', 'the model';
    is ((request(GET => $location))[1]{source}, 'zone', 'then from the zone');
};


subtest 'errors' => sub {
    my ($location) = submit('a');

    says((request(POST => '/translate', body => ''))[1], 'a bad request', status => 400);
    says((request(PUT => '/translate'))[1], 'a bad method', status => 405);
    says((request(GET => '/translate/operations/nothing'))[1], 'a bad id', status => 404);
    substr($location, -1) = substr($location, -1) eq 'A' ? 'B' : 'A';
    says((request(GET => $location))[1], 'a forged id', status => 404);
    says((request(GET => '/static'))[1], 'a location that is not ours', status => 200);

    my %asked = (upstream_time => $TIME, queue_time => '0.000', upstream_request_id => $ID, source => 'upstream');
    for my $case ([ 400 => 400 ], [ 401 => 502 ], [ 403 => 502 ], [ 500 => 424 ]) {
        my ($theirs, $ours) = @$case;
        $emulator->fault(submit => 1, status => $theirs);
        says((request(POST => '/translate', body => 'a'))[1], "a $theirs of upstream",
            status => $ours, upstream_status => $theirs, %asked);
    }

    $emulator->fault(submit => 1, reset => 'request');
    my $got = (request(POST => '/translate', body => 'a'))[1];
    is $got->{status}, 424, 'no answer';
    is $got->{upstream_status}, '', 'has no status';
    is $got->{upstream_request_id}, '', 'and no id';
    is $got->{operation}, '', 'no operation is known';
    like $got->{upstream_time}, $TIME, 'but the time it took';

    $got = (request(POST => '/closed', body => 'a'))[1];
    like $got->{status}, qr/^50[34]$/, 'no connection';
    is $got->{$_}, '', "$_ is empty" for qw(operation state upstream_status upstream_request_id);
};


subtest 'what upstream calls a request' => sub {
    for my $case ([ 'abc-123' => 'abc-123' ], [ "a\tb" => '' ], [ 'x' x 5000 => '' ]) {
        my ($theirs, $ours) = @$case;
        $emulator->fault(submit => 1, headers => { 'x-request-id' => $theirs,
            'x-server-trace-id' => '' });
        my $n = ++$number;
        my $r = $t->request(POST => "/headers?n=$n", body => 'a');
        is $r->{status}, 202, 'accepted';
        my $id = logged($n)->{upstream_request_id};
        $ours ne '' ? is($id, $ours, 'x-request-id')
            : isnt($id, $theirs, 'one that is no id is not taken');
    }
};


subtest 'a client that goes away' => sub {
    $emulator->fault(submit => 1, delay => 1);
    my $n = ++$number;
    my $client = $t->start(POST => "/translate?n=$n", body => 'a');
    $t->until_waiting(1);
    $client->close;
    my $got = logged($n);
    is $got->{status}, 499, 'during a submit';
    is $got->{$_}, '', "$_ is empty" for @NAMES;

    my ($location, $id) = submit('b');
    $n = ++$number;
    $client = $t->start(GET => "$location?n=$n", headers => { Prefer => 'wait=30' });
    $t->until_waiting(1);
    $client->close;
    says(logged($n), 'during a long poll', status => 499, operation => $id, state => 'pending',
        source => 'zone');

    # The request and its client's end come in one event, after which there is no other.
    my ($worker) = $t->worker_pids;
    $n = ++$number;
    kill STOP => $worker;
    $t->hang_up(GET => "$location?n=$n", headers => { Prefer => 'wait=3' });
    kill CONT => $worker;
    is logged($n)->{status}, 499, 'at once';

    my $stream = $t->stream("$location?n=" . ++$number);
    $stream->event(5);
    $stream->close;
    says(logged($number), 'during a stream', status => 200, operation => $id,
        state => 'pending', source => 'zone');
};


subtest 'headers' => sub {
    my $r = $t->request(POST => '/headers', body => 'a [delay=0]');
    my $id = ($emulator->submits)[-1]{operation};
    is $r->header('X-Var-Operation'), $id, 'of a submit';
    is $r->header('X-Var-State'), 'pending', 'its state' if !$r->json->{done};
    is $r->header('X-Var-Upstream_status'), 200, 'upstream\'s status';

    $r = $t->poll_until_done($r->header('Location'));
    is $r->header('X-Var-Operation'), $id, 'of a poll';
    is $r->header('X-Var-State'), 'completed', 'its state';
    is $r->header('X-Var-Model_version'), '18.01.2024', 'the model';
    ok !defined $r->header('X-Var-Upstream_status'), 'none of what says nothing';

    $r = $t->request(GET => '/headers/operations/nothing');
    is_deeply [ grep { /^x-var/ } keys %{ $r->{headers} } ], [], 'of a 404: none at all';
};


$t->done;
