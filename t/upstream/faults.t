# What upstream does wrong, and what the client, the log and upstream itself see of it.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json);
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 }, timeout => 600);
my $e = $t->emulator;
my @answers;

# [what, seconds, at least so many, at most]: how long it took; t/unit has it to the millisecond
my @took;

$t->secret('internal_id=', '&folder_id=', 'Api-Key ');
$t->write_file('id.key', 'k' x 48, 0600);
$t->define(CLOSED => $t->closed_port, HOLE => $t->black_hole);

my $credential = 'folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%;';
my $ours       = 'submit_url %%UPSTREAM%%/foundationModels/v1/completionAsync; '
    . 'operations_url %%UPSTREAM%%/operations;';
my $conf = $t->http_conf(<<"EOC");
completion_async_provider steady {
    zone steady 1m; $credential $ours id_key file:%%TESTDIR%%/id.key;
    request_timeout 6s; poll_interval 100ms 400ms; poll_rate 2000r/s; max_response_size 64k;
}
completion_async_provider brief {
    zone brief 1m; $credential $ours id_key file:%%TESTDIR%%/id.key;
    request_timeout 1s; poll_interval 100ms 400ms;
}
completion_async_provider absent {
    zone absent 1m; $credential id_key file:%%TESTDIR%%/id.key; request_timeout 1500ms;
    submit_url http://127.0.0.1:%%CLOSED%%/submit;
    operations_url http://127.0.0.1:%%CLOSED%%/operations;
}
completion_async_provider hole {
    zone hole 1m; $credential id_key file:%%TESTDIR%%/id.key;
    connect_timeout 300ms; request_timeout 1500ms;
    submit_url http://127.0.0.1:%%HOLE%%/submit;
    operations_url http://127.0.0.1:%%HOLE%%/operations;
}
completion_async_model yandexgpt-lite;
%%METRICS%%
server {
    listen 127.0.0.1:%%PORT%%;
    location /steady { completion_async steady; }
    location /brief  { completion_async brief; }
    location /absent { completion_async absent; }
    location /hole   { completion_async hole; }
}
EOC
$t->run($conf);


sub submit ($location = '/steady', %arg) {
    my $r = $t->request(POST => $location, body => $arg{text} // 'To be', timeout => 20);
    push @answers, $r;
    return $r;
}


sub latest () { ($e->journal(kind => 'submit', last => 1))[0] }


sub poll ($location, %arg) {
    my $r = $t->request(GET => $location, timeout => 20, %arg);
    push @answers, $r;
    return $r;
}


sub code ($r) {
    my $json = $r->json;
    return ref $json eq 'HASH' && defined $json->{code} ? $json->{code}
        : ref $json eq 'HASH' && exists $json->{id}      ? 'operation'
        : '-';
}


sub verdict ($r) { join ' ', $r->{status} // $r->{error}, code($r) }


# How often upstream was asked, and the answer, under these faults: [N, {...}], ...
sub under ($faults, $location = '/steady') {
    my $before = $e->count;
    $e->fault(submit => $_->[0], %{ $_->[1] }) for @$faults;
    my $r = submit($location);
    $e->clear_faults;
    return ($r, grep { $_->{kind} eq 'submit' } $e->journal(since => $before));
}


my %CODES = (
    accepted => '202 operation',
    invalid  => '400 invalid_request',
    busy     => '429 quota_exceeded',
    rejected => '502 upstream_rejected',
    unknown  => '424 outcome_unknown',
    away     => '503 upstream_unavailable',
    late     => '504 upstream_timeout',
);

# Those that break an answer, and mean the same to a submit, a poll and an adoption.
my @broken = (
    [ 'closed before the body is read',    { close => 'head' } ],
    [ 'reset before the body is read',     { reset => 'head' } ],
    [ 'closed without an answer',          { close => 'request' } ],
    [ 'reset without an answer',           { reset => 'request' } ],
    [ 'closed in the middle of a body',    { close => 'answer' } ],
    [ 'reset in the middle of a body',     { reset => 'answer' } ],
    [ 'no byte of a body',                 { truncate => 0 } ],
    [ 'a status line cut off',             { raw => 'HTTP/1.1 2' } ],
    [ 'a head cut off',                    { raw => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" } ],
    [ 'a chunk cut off', { raw => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{" } ],
    [ 'chunks without their end',
        { raw => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" } ],
    [ 'a chunk of no size',
        { raw => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" } ],
    [ 'nothing but an interim answer',     { raw => "HTTP/1.1 103 Early Hints\r\n\r\n" } ],
    [ 'another protocol',                  { raw => "SSH-2.0-OpenSSH_9.2\r\n" } ],
    [ 'a body without a head',             { raw => '{"id":"d7q00000000000000000"}' } ],
    [ 'Content-Length too large',          { length_offset => 9, connection_close => 1 } ],
    [ 'Content-Length too small',          { length_offset => -9 } ],
    [ 'Content-Length of a terabyte',      { length_offset => 1e12, connection_close => 1 } ],
    [ 'HTML with a 200',                   { mangle => 'html' } ],
    [ 'broken JSON',                       { mangle => 'bad_json' } ],
    [ 'garbage behind the JSON',           { mangle => 'trailing' } ],
    [ 'JSON of 5,000 levels',              { mangle => 'deep', size => 5000 } ],
    [ 'a body beyond max_response_size',   { mangle => 'huge', size => 70_000 } ],
    [ 'the same in chunks',                { mangle => 'huge', size => 70_000, chunked => 1000 } ],
    [ 'a header line of a megabyte',       { header_bytes => 1_000_000 } ],
    [ 'a flood of header lines',           { headers => { 'x-flood' => [ ('y') x 3000 ] } } ],
    [ 'invalid UTF-8',                     { mangle => 'invalid_utf8' } ],
    [ 'an overlong NUL',                   { mangle => 'overlong' } ],
    [ 'a surrogate in UTF-8',              { mangle => 'raw_surrogate' } ],
    [ 'half a pair of surrogates',         { mangle => 'lone_surrogate' } ],
    [ 'contradicting members',             { mangle => 'duplicate' } ],
    [ 'an array',                          { mangle => 'array' } ],
    [ 'a string',                          { mangle => 'string' } ],
    [ 'a number',                          { mangle => 'number' } ],
    [ 'an empty body',                     { mangle => 'empty' } ],
    [ 'an empty object',                   { body => '{}' } ],
    [ 'an id that is missing',             { drop_id => 1 } ],
    [ 'an empty id',                       { lie_id_json => '""' } ],
    [ 'an id that is null',                { lie_id_json => 'null' } ],
    [ 'an id that is a number',            { lie_id_json => '42' } ],
    [ 'an id that is an object',           { lie_id_json => '{"id":"x"}' } ],
    [ 'an id of 65 characters',            { lie_id_json => '"' . 'a' x 65 . '"' } ],
    [ 'an id of another alphabet',         { lie_id_json => '"../d7q"' } ],
    [ 'an id with a NUL',                  { lie_id_json => '"d7q\u0000"' } ],
    [ 'an id with a line end',             { lie_id_json => '"d7q\r\nx: y"' } ],
    [ 'an id in Cyrillic',                 { lie_id_json => '"д7q"' } ],
    [ 'an error without an id',            { body => '{"error":{"code":8,"message":"no"}}' } ],
    [ 'a 204',                             { status => 204, process => 0 } ],
    map { [ "a $_", { status => $_ } ] } 408, 499, 500, 501, 502, 504, 505, 507, 520, 599,
);

my @answered = (
    map({ [ invalid  => "a $_", { status => $_ } ] } 400, 413, 422),
    map({ [ rejected => "a $_", { status => $_ } ] } 401 .. 407, 409 .. 412, 414 .. 421,
        423 .. 428, 431),
    map({ [ rejected => "a $_", { status => $_, headers => { Location => '/operations/x' } } ] }
        300 .. 308),
);


subtest 'an answer that cannot be read leaves the outcome unknown' => sub {
    for (@broken) {
        my ($name, $fault) = @$_;
        my ($r, @submits) = under([ [ every => $fault ] ]);
        is verdict($r) . ' after ' . @submits, "$CODES{unknown} after 1", $name;
    }
    is verdict(submit()), $CODES{accepted}, 'the next one is accepted';
};

subtest 'what upstream refuses is not repeated either' => sub {
    for (@answered) {
        my ($meaning, $name, $fault) = @$_;
        my $before = $e->count;
        my ($r) = under([ [ every => $fault ] ]);
        my @asked = grep { $_->{kind} eq 'submit' || $_->{path} =~ m{/x$} }
            $e->journal(since => $before);
        is verdict($r) . ' after ' . @asked, "$CODES{$meaning} after 1", $name;
    }
};

subtest 'an accepted connection that ends at once' => sub {
    # A reset may come so early that the connection never was.
    for ([ close => qr/^424 outcome_unknown$/ ],
        [ reset => qr/^(?:424 outcome_unknown|503 upstream_unavailable)$/ ])
    {
        my ($verb, $expected) = @$_;
        $e->restart;
        my $before = $e->count(kind => 'submit');
        $e->fault(connect => 'every', $verb => 'accept');
        like verdict(submit('/brief')), $expected, $verb;
        $e->clear_faults;
        is $e->count(kind => 'submit') - $before, 0, 'nothing was taken';
    }
};

subtest 'odd, and good' => sub {
    for (
        [ 'a 201',                      { status => 201, process => 1 } ],
        [ 'interim answers',            { interim => [ 100, 102, 103 ] } ],
        [ 'chunks of a byte',           { chunked => 1 } ],
        [ 'HTTP/1.0',                   { version => '1.0', connection_close => 1 } ],
        [ 'no reason phrase',           { reason => '' } ],
        [ 'bytes that drip',            { drip => 0.01, drip_bytes => 20 } ],
        [ 'an announced close',         { connection_close => 1 } ],
        [ 'JSON of 40 levels',          { mangle => 'deep', size => 40 } ],
        [ 'a body below the limit',     { mangle => 'huge', size => 60_000 } ],
        [ 'a long header line',         { header_bytes => 8000 } ],
        [ 'JSON called text',           { type => 'text/plain' } ],
        [ 'a NUL, escaped',             { mangle => 'nul' } ],
    ) {
        my ($name, $fault) = @$_;
        my ($r, @submits) = under([ [ every => $fault ] ]);
        is verdict($r) . ' after ' . @submits, "$CODES{accepted} after 1", $name;
        my $done = $t->poll_until_done($r->header('Location') // '/', timeout => 5);
        is code($done) . ' ' . ($done->json->{done} // ''), 'operation 1', "$name: polled";
    }
};

subtest 'surplus bytes are nobody\'s answer' => sub {
    # Done at once, so that no poll comes in between.
    my $body    = '{"id":"good0000000000000000","done":true}';
    my $evil    = '{"id":"evil0000000000000000","done":true}';
    my $surplus = join "\r\n", 'HTTP/1.1 200 OK', 'Content-Length: ' . length $evil, '', $evil;

    for my $drip ({}, { drip => 0.05, drip_bytes => 60 }) {
        my $name = %$drip ? 'later' : 'at once';
        my ($r) = under([
            [ every => {
                body          => $body . $surplus,
                length_offset => -length $surplus,
                %$drip,
            } ]
        ]);
        is verdict($r), $CODES{accepted}, "$name: accepted";

        # All of it is there before the connection could be used again.
        wait_until(sub { defined latest()->{end} });
        my $text = "mine, $name";
        $r = submit('/steady', text => $text);
        is verdict($r), $CODES{accepted}, "$name: so is the next";
        my $done = $t->poll_until_done($r->header('Location') // '/', timeout => 5);
        is ref $done->json && $done->json->{response}{alternatives}[0]{message}{text},
            "echo: $text", "$name: it is its own";
        $e->restart;
    }
    is scalar(() = $t->log =~ /not reached: the connection was/g), 0, 'and none takes a try';
};

subtest 'the reason of a 400 is cleaned' => sub {
    for my $dialect (qw(grpc grpc_text rest openai)) {
        for my $status (400, 413, 422) {
            my ($r) = under([
                [ every => {
                    status  => $status,
                    dialect => $dialect,
                    leak    => 1,
                    message => 'temperature must be in [0, 1]',
                } ]
            ]);
            is verdict($r), $CODES{invalid}, "$dialect, $status";
            is $r->json->{detail}, 'temperature must be in [0, 1]', 'with the reason';
            like $r->header('Content-Type'), qr{^application/problem\+json}, 'as a problem';
        }
        my ($r) = under([
            [ every => {
                status  => 403,
                dialect => $dialect,
                message => 'Permission to [resource-manager.folder ' . $t->folder . '] denied',
            } ]
        ]);
        is verdict($r), $CODES{rejected}, "$dialect, 403";
        unlike $r->{raw}, qr/Permission|resource-manager/, 'and no word of it';
    }
    my ($r) = under([
        [ every => {
            status  => 400,
            message => 'gpt://' . $t->folder . '/x of key ' . $t->api_key,
        } ]
    ]);
    is verdict($r), $CODES{invalid}, 'a folder and a key inside of a reason';
};

subtest 'nobody there' => sub {
    my $r = submit('/absent');
    is verdict($r), $CODES{away}, 'a closed port';
    like $r->header('Retry-After') // '', qr/^[1-9][0-9]*$/, 'Retry-After';

    $r = submit('/hole');
    is verdict($r), $CODES{late}, 'a black hole';
    push @took, [ 'a black hole', $r->{time}, 0.25, 5 ];
    cmp_ok $t->metrics->sum('retries_total', provider => 'hole', kind => 'submit'), '>=', 1,
        'by connect_timeout, and so more than once';

    # The connection never came up: that may be tried again, and only that.
    $e->stop;
    my $before = $e->count(kind => 'submit');
    my $client = $t->start(POST => '/steady', body => 'late', timeout => 20);
    $t->until_waiting(1);
    $e->resume;
    push @answers, $r = $client->response;
    is verdict($r), $CODES{accepted}, 'upstream comes back within request_timeout';
    is $e->count(kind => 'submit') - $before, 1, 'and is asked once';
};

subtest 'too slow' => sub {
    my @case = (
        [ 'silent',            { silent => 1 } ],
        [ 'silent after half', { hang => 'answer' } ],
        [ 'slow',              { hold => 'slow' } ],
        [ 'dripping',          { drip => 0.2 } ],
        [ 'short of a length', { length_offset => 9 } ],
    );
    # Which of them meets which fault does not matter: all have to end in the same way.
    my $before = $e->count(kind => 'submit');
    $e->fault(submit => $_ + 1, %{ $case[$_][1] }) for 0 .. $#case;
    my @r = $t->concurrent(map { [ POST => '/brief', body => $_->[0] ] } @case);
    push @answers, @r;
    for my $r (@r) {
        is verdict($r), $CODES{unknown}, 'unknown';
        push @took, [ 'request_timeout', $r->{time}, 0.9, 4 ];
    }
    is $e->count(kind => 'submit') - $before, @case, 'each of them was asked once';
    $e->clear_faults;
};

subtest 'what upstream did not accept is sent again' => sub {
    my ($r, @submits);

    for my $status (429, 503) {
        my $meaning = $status == 429 ? 'busy' : 'away';

        ($r, @submits) = under([ [ 1 => { status => $status } ] ]);
        is verdict($r) . ' after ' . @submits, "$CODES{accepted} after 2", "one $status";
        push @took, [ "$status: a pause", $submits[1]{time} - $submits[0]{time}, 0.2, 5 ];

        ($r, @submits) = under([ [ every => { status => $status } ] ], '/brief');
        is verdict($r), $CODES{$meaning}, "nothing but $status";
        cmp_ok scalar @submits, '>=', 2, 'after several tries';
        push @took, [ 'all tries', $submits[-1]{time} - $submits[0]{time}, 0.2, 1.2 ];
        like $r->header('Retry-After') // '', qr/^[1-9][0-9]*$/, 'and Retry-After';
        is scalar(grep { $_->{body} ne $submits[0]{body} } @submits), 0, 'all of them the same';

        ($r, @submits) = under([ [ 1 => { status => $status, retry_after => 1 } ] ]);
        is verdict($r) . ' after ' . @submits, "$CODES{accepted} after 2", "$status for 1 s";
        push @took, [ 'Retry-After: 1', $submits[1]{time} - $submits[0]{time}, 0.98, 5 ];

        ($r, @submits) = under([ [ every => { status => $status, retry_after => 40 } ] ]);
        is verdict($r) . ' after ' . @submits, "$CODES{$meaning} after 1",
            "$status for longer than request_timeout";
        push @took, [ "$status, at once", $r->{time}, 0, 4 ];
        cmp_ok $r->header('Retry-After'), '>=', 38, 'is what the client is told';
        cmp_ok $r->header('Retry-After'), '<=', 40, 'as it is';
    }

    ($r, @submits) = under([ [ every => { status => 429 } ] ]);
    is verdict($r), $CODES{busy}, 'the tries come to an end';
    my @pause = map { $submits[$_]{time} - $submits[ $_ - 1 ]{time} } 1 .. $#submits;
    cmp_ok scalar @pause, '>=', 2, 'after some pauses';
    push @took, [ 'another pause', $pause[-1], $pause[0], 5 ];

    my $date = strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime int(time) + 3);
    ($r, @submits) = under([ [ 1 => { status => 429, retry_after => $date } ] ]);
    is verdict($r) . ' after ' . @submits, "$CODES{accepted} after 2", '429 until a date';
    push @took, [ "Retry-After: $date", $submits[1]{time} - $submits[0]{time}, 1.5, 5 ];

    # What may have been accepted ends the tries.
    for (
        [ 429, { reset  => 'request' }, 'unknown' ],
        [ 503, { close  => 'answer' },  'unknown' ],
        [ 503, { status => 500 },       'unknown' ],
        [ 429, { status => 401 },       'rejected' ],
    ) {
        my ($status, $last, $meaning) = @$_;
        ($r, @submits) = under([ [ 1 => { status => $status } ], [ '2-' => $last ] ]);
        is verdict($r) . ' after ' . @submits, "$CODES{$meaning} after 2",
            "$status, then " . encode_json($last);
    }
    for my $value ('soon', '99999999999999999999') {
        ($r) = under([ [ every => { status => 503, retry_after => $value } ] ], '/brief');
        is verdict($r), $CODES{away}, "Retry-After: $value";
        like $r->header('Retry-After') // '', qr/^[1-9][0-9]{0,5}$/, 'is bounded';
    }
};

# Each operation is its own case; those of a batch are asked for at the same time.  What cannot be
# read for a minute is believed, and no batch is to take that long on a slow machine.
my $BATCH = 12;
my $large = qr/terabyte|max_response_size|same in chunks/;
my @failing = (
    grep({ $_->[0] !~ $large } @broken),
    map({ [ $_->[1], $_->[2] ] } @answered),
    [ 'a 429',              { status => 429 } ],
    [ 'a 503',              { status => 503 } ],
    [ 'another operation',  { lie_id => 'd7qanother0000000000' } ],
);

subtest 'a poll that fails changes nothing' => sub {
    fails_in_polls(splice @failing, 0, $BATCH) while @failing;
};


sub fails_in_polls (@failing) {
    my @case = map { { name => $_->[0], fault => $_->[1], text => "[delay=0.5]<$_->[0]>" } } @failing;
    my @new  = (kind => 'poll', since => $e->count);

    for my $case (@case) {
        # One that upstream denies for a minute is lost: not for longer than it takes.
        my $n = $case->{name} eq 'a 404' ? '1-2' : 'every';
        $case->{text} =~ s/delay=0.5/delay=3600/ if $n eq '1-2';
        $e->fault(poll => $n, text => $case->{text}, %{ $case->{fault} });
        $case->{r} = submit('/steady', text => $case->{text});
        $case->{id} = latest()->{operation};
    }
    my %asked;
    wait_until(sub {
        %asked = ();
        $asked{ $_->{operation} }++
            for grep { defined $_->{end} && defined $_->{fault} } $e->journal(@new);
        return !grep { ($asked{ $_->{id} } // 0) < 2 } @case;
    }, 20, 0.2);
    for my $case (@case) {
        my $r = poll($case->{r}->header('Location'));
        cmp_ok $asked{ $case->{id} } // 0, '>=', 2, "$case->{name}: asked";
        is verdict($r) . ' ' . ($r->json->{done} ? 'done' : 'pending'),
            '200 operation pending', "$case->{name}: pending";
        my ($then, $now) = map { $_->json } $case->{r}, $r;
        is_deeply $now, $then, "$case->{name}: as before";
    }
    $e->clear_faults;
    $e->finish;
    for my $case (@case) {
        my $r = $t->poll_until_done($case->{r}->header('Location'), timeout => 20);
        my $json = $r->json;
        is ref $json && $json->{response}{alternatives}[0]{message}{text},
            "echo: $case->{text}", "$case->{name}: done after all";
    }
}


subtest 'a result that is too long is the end' => sub {
    my %location;
    for my $case (grep { $_->[0] =~ $large } @broken) {
        my ($name, $fault) = @$case;
        my $text = "[delay=0.5]<long: $name>";
        $e->fault(poll => 'every', text => $text, %$fault);
        $location{$name} = submit('/steady', text => $text)->header('Location');
    }
    is $t->poll_until_done($location{$_}, timeout => 20)->json->{error}{code}, 8, $_
        for sort keys %location;
    $e->clear_faults;
    for my $name (sort keys %location) {
        ok wait_until(sub { poll($location{$name})->json->{response} }), "$name: found in the end";
    }
};

subtest 'upstream says when to ask again' => sub {
    my $pause = 3;
    my %fault = (
        'Retry-After'               => { status => 429, retry_after => $pause },
        'x-operation-poll-interval' => { poll_interval => $pause },
    );
    my %of;
    for my $name (sort keys %fault) {

        # There before the submit, for the first poll to meet it.
        $e->fault(poll => 1, text => $name, %{ $fault{$name} });
        my $location = submit('/steady', text => "[delay=60]$name")->header('Location');
        $of{$name} = [ $location, latest()->{operation} ];
    }
    for my $name (sort keys %fault) {
        my ($location, $id) = @{ $of{$name} };
        my $first = wait_until(sub { (grep { defined $_->{end} } $e->polls($id))[0] });

        # The answer may not have been read yet: without it, it is a second.
        my ($r, $now);
        wait_until(sub {
            $r   = poll($location);
            $now = time;
            return ($r->header('Retry-After') // 0) > 1;
        }, $pause);
        is verdict($r), '200 operation', "$name: pending";

        # Told in whole seconds, of what is left since it was answered.
        my $told = $r->header('Retry-After') // 0;
        my $left = $first->{time} + $pause - $now;
        ok $told >= $left && $told <= $pause, "$name: told to the client"
            or diag("$told s, and $left s are left");

    }
    $e->clear_faults;
    for my $name (sort keys %fault) {
        my ($location, $id) = @{ $of{$name} };
        $e->finish($id);
        $t->poll_until_done($location);
        my @polls = $e->polls($id);
        push @took, [ $name, $polls[1]{time} - $polls[0]{time}, 0.95 * $pause, 10 ];
    }
};

subtest 'the limits of an id' => sub {
    for my $id ('aZ0_-' . 'b' x 59, 'a') {
        my ($r) = under([ [ every => { lie_id => $id } ] ]);
        is verdict($r), $CODES{accepted}, 'an id of ' . length($id) . ' characters';
        ok wait_until(sub { scalar grep { $_->{path} eq "/operations/$id" } $e->polls }),
            'it is polled under that id';
    }
};

# Without its zone an operation is adopted by its id.
subtest 'an adoption without an answer' => sub {
    my @case = map { { name => $_->[0], fault => $_->[1] } } grep { $_->[0] ne 'a 404' } @failing;

    push @case, { name => 'silence', fault => { silent => 1 }, at => '/brief' };
    $e->set(delay => 0);
    for my $case (@case) {
        my $r = submit($case->{at} // '/steady', text => $case->{name});
        $case->{location} = $r->header('Location');
        $case->{id} = latest()->{operation};
        $t->poll_until_done($case->{location}, timeout => 5);
    }
    my $gone = submit('/steady', text => 'gone')->header('Location');
    $e->forget(latest()->{operation});
    my $reason = submit('/steady', text => '[outcome=leak:3:no such luck]')->header('Location');

    $t->stop;
    $e->fault(poll => 'every', operation => $_->{id}, %{ $_->{fault} }) for @case;
    $t->run($conf);

    my @r = $t->concurrent(map { [ GET => $_->{location}, timeout => 30 ] } @case);
    push @answers, @r;
    for my $n (0 .. $#case) {
        my $name = $case[$n]{name};
        is verdict($r[$n]), $CODES{away}, $name;
        like $r[$n]->header('Retry-After') // '', qr/^[1-9][0-9]*$/, "$name: Retry-After";
    }
    is verdict(poll($gone)), '404 operation_not_found', 'an operation upstream does not know';

    $e->clear_faults;
    for my $case (@case) {
        my $r = $t->poll_until_done($case->{location}, timeout => 40);
        is ref $r->json && $r->json->{response}{alternatives}[0]{message}{text},
            "echo: $case->{name}", "$case->{name}: found in the end";
    }
    is $t->poll_until_done($reason)->json->{error}{message}, 'no such luck',
        'the error of an operation is cleaned';

    # The port that answered the submits is not there any more.
    my $lost = submit('/steady', text => 'lost')->header('Location');
    $t->stop;
    $e->stop;
    $t->run($conf);
    my $r = poll($lost);
    is verdict($r), $CODES{away}, 'upstream is gone';
    like $r->header('Retry-After') // '', qr/^[1-9][0-9]*$/, 'Retry-After';
    $e->resume;
    is code($t->poll_until_done($lost, timeout => 30)), 'operation', 'and comes back';
};

subtest 'how long it took' => sub {
    for my $case (@took) {
        my ($name, $seconds, $least, $most) = @$case;
        ok $least <= $seconds && $seconds <= $most, "$name: took $least to $most s"
            or diag "$seconds s";
    }
};

# What SDKs obey: a word on each error, and which word is a matter of its code alone.
my %REPEAT = map { $_ => 1 } $CODES{busy}, $CODES{away}, $CODES{late};
my %word;
$word{ verdict($_) }{ $_->header('x-should-retry') // 'none' } = 1
    for grep { ($_->{status} // 0) >= 400 } @answers;
is_deeply \%word, { map { $_ => { $REPEAT{$_} ? 'true' : 'false', 1 } } keys %word },
    'x-should-retry' or diag explain \%word;
is scalar(grep { !$word{$_} } @CODES{qw(invalid busy rejected unknown away late)}), 0,
    'on each code that upstream causes';

my $secrets = join '|', map { quotemeta } $t->folder, $t->api_key;
is_deeply [ grep { /$secrets|internal_id|folder_id|Api-Key/ } map { $_->{raw} } @answers ], [],
    'no answer tells what is not the client\'s';
is scalar(grep { ($_->{status} // 0) == 500 } @answers), 0, 'none of them is a 500';

$t->done;
