#!/usr/bin/perl

# The emulator of the upstream alone: what the other tests lean on must do what it says.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp qw(tempdir);
use MIME::Base64 qw(encode_base64url);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use CompletionAsync::Test qw(wait_until);
use Time::HiRes qw(time);

use CompletionAsync::Client;
use CompletionAsync::Emulator;
use CompletionAsync::Upstream;

use constant SUBMIT   => '/foundationModels/v1/completionAsync';
use constant METADATA => '/computeMetadata/v1/instance/service-accounts/default/token';

my $FOLDER = 'b1gemulatorstestfolder';
my $KEY    = 'AQVNemulatorstestkey';
my $DIR    = tempdir(CLEANUP => 1);

local $SIG{ALRM} = sub (@) { die "the test takes too long\n" };
alarm 120;

my $e = CompletionAsync::Upstream->start(
    delay        => 0.2,
    folder       => $FOLDER,
    api_key      => $KEY,
    journal_file => "$DIR/journal",
);


sub start ($method, $path, %arg) {
    my $client = CompletionAsync::Client->new(port => $e->port, timeout => 5, %{ $arg{on} // {} });
    my %headers = (Authorization => "Api-Key $KEY", %{ delete $arg{headers} // {} });
    return $client->start($method, $path, close => 1, headers => \%headers, %arg);
}


sub ask ($method, $path, %arg) { start($method, $path, %arg)->response($arg{timeout}) }


sub prompt ($text, %more) {
    return {
        modelUri => "gpt://$FOLDER/yandexgpt-lite",
        messages => [ { role => 'user', text => $text } ],
        %more,
    };
}


sub start_submit ($text, %arg) {
    my $body = encode_json($arg{json} // prompt($text));
    my %headers = ('Content-Type' => 'application/json', %{ delete $arg{headers} // {} });
    return start(POST => SUBMIT, body => $body, headers => \%headers, %arg);
}


sub submit ($text, %arg) { start_submit($text, %arg)->response($arg{timeout}) }


sub poll ($id, %arg) { ask(GET => "/operations/$id", %arg) }


# An operation of this text, and whatever else is asked, when it is done.
sub result ($text, %more) {
    my $id = submit($text, json => prompt($text, %more))->json->{id};
    $e->finish($id);
    return poll($id)->json;
}


# Sets a fault for the next request of a kind, so that none is left over from before.
sub next_fault ($kind, %what) {
    $e->clear_faults;
    $e->fault($kind, 1, %what);
}


subtest 'the main job' => sub {
    my $r = submit('', json => prompt('', messages => [
        { role => 'system', text => 'Переведи текст' },
        { role => 'user', text => 'To be, or not to be: that is the question.' },
    ]));
    my $start = time;

    is $r->{status}, 200, 'a submit is answered 200';
    like $r->{body}, qr/^\{"id":"[a-z0-9]{20}","description":"Async\ GPT\ Completion",
        "createdAt":"[0-9T:-]{19}Z","createdBy":"\w+","modifiedAt":"[0-9T:-]{19}Z",
        "done":false,"metadata":null\}$/x, 'a bare operation, keys as recorded';

    my $id = $r->json->{id};
    is poll($id)->json->{done}, Mojo::JSON::false, 'pending at first';
    wait_until(sub { ($r = poll($id))->json->{done} });
    like $r->{body}, qr/^\{"done":true,"response":\{"\@type":/, 'done comes first when it is';
    is_deeply $r->json->{response}{alternatives},
        [ {
            message => { role => 'assistant', text => 'Быть или не быть: вот в чём вопрос.' },
            status  => 'ALTERNATIVE_STATUS_FINAL',
        } ],
        'translated';
    like $r->{body}, qr/"usage":\{"inputTextTokens":"31","completionTokens":"10",
        "totalTokens":"41"\},"modelVersion":"18.01.2024"\}/x, 'tokens are strings';
    is result('mine')->{response}{alternatives}[0]{message}{text}, 'echo: mine', 'others: an echo';
};


subtest 'what a request must show' => sub {
    my $r = submit('x', headers => { Authorization => 'Api-Key wrong' });
    is $r->{status}, 401, 'a wrong key is a 401';
    is $r->json->{code}, 16, 'in gRPC\'s words';
    is poll('x', headers => { Authorization => '' })->{status}, 401, 'a poll needs it, too';

    $r = submit('x', json => prompt('x', modelUri => 'gpt://b1gother/yandexgpt-lite'));
    is $r->{status}, 403, 'a foreign folder is a 403';
    is $r->json->{message}, 'Permission to [resource-manager.folder b1gother] denied', 'and named';
    is submit('x', headers => { 'x-folder-id' => 'b1gother' })->{status}, 403, 'by header as well';

    my %bad = (
        'no model'       => prompt('x', modelUri => ''),
        'no messages'    => prompt('x', messages => []),
        'no role'        => prompt('x', messages => [ { text => 'x' } ]),
        'no text'        => prompt('x', messages => [ { role => 'user' } ]),
        'an empty text'  => prompt(''),
        'temperature'    => prompt('x', completionOptions => { temperature => 1.5 }),
        'tokens'         => prompt('x', completionOptions => { maxTokens => '0' }),
        'reasoning'      => prompt('x', completionOptions =>
            { reasoningOptions => { mode => 'A' } }),
        'not an object'  => [1],
    );
    for my $name (sort keys %bad) {
        is submit('x', json => $bad{$name})->{status}, 400, "400: $name";
    }
    $r = submit('x', json => prompt('x', messages => []));
    like $r->json->{error}{message},
        qr/^Error in session internal_id=\S+&request_id=\S+&folder_id=$FOLDER: messages are/,
        'a 400 leaks';
    is submit('x', json => prompt('x', completionOptions =>
        { stream => Mojo::JSON::false, temperature => 0.1, maxTokens => '2000' }))->{status}, 200,
        'options are taken';
    is submit('x', headers => { 'Content-Type' => 'text/plain' })->{status}, 415, 'JSON only';
    is poll('d7qunknown')->{status}, 404, 'an unknown operation';
    is poll('d7qunknown')->json->{code}, 5, 'is code 5';
    is ask(GET => '/else')->{status}, 404, 'and so is anything else';
};


subtest 'outcomes' => sub {
    my %status = (
        truncated   => 'TRUNCATED_FINAL',
        filter      => 'CONTENT_FILTER',
        partial     => 'PARTIAL',
        unspecified => 'UNSPECIFIED',
        tool_calls  => 'TOOL_CALLS',
        final       => 'FINAL',
    );
    for my $outcome (sort keys %status) {
        is result("[outcome=$outcome]")->{response}{alternatives}[0]{status},
            "ALTERNATIVE_STATUS_$status{$outcome}", $outcome;
    }
    ok !exists result('[outcome=tool_calls]')->{response}{alternatives}[0]{message}{text},
        'tool calls have no text';
    is result('[outcome=status:NEW]')->{response}{alternatives}[0]{status}, 'NEW', 'any status';

    is result('[outcome=says:{"a": 1}]')->{response}{alternatives}[0]{message}{text}, '{"a": 1}',
        'any text';

    my $op = result('[outcome=failed:8:no luck]');
    is_deeply $op->{error}, { code => 8, message => 'no luck', details => [] }, 'failed';
    ok $op->{done} && !exists $op->{response}, 'that is done, without a response';
    like result('[outcome=leak:3:why]')->{error}{message},
        qr/^Error in session internal_id=.*&folder_id=$FOLDER: why$/, 'leak';

    $op = result('[outcome=error0]');
    ok $op->{error}{code} == 0 && $op->{response}, 'error0';
    $op = result('[outcome=empty]');
    ok $op->{done} && !exists $op->{error} && !exists $op->{response}, 'empty';

    my $id = submit('[outcome=early_error]')->json->{id};
    $op = poll($id)->json;
    ok !$op->{done} && $op->{error}{code} == 14, 'early_error while pending';
    $e->finish($id);
    ok poll($id)->json->{response}, 'and fine in the end';

    cmp_ok length result('[outcome=huge]')->{response}{alternatives}[0]{message}{text}, '>=',
        1_500_000, 'huge';
    is length result('[size=5000]')->{response}{alternatives}[0]{message}{text}, 5000, 'size';

    $op = result('[outcome=null_dates]');
    ok exists $op->{createdAt} && !defined $op->{createdAt}, 'null_dates';
    like result('[outcome=fraction]')->{createdAt}, qr/\.[0-9]{9}Z$/, 'fraction';
    is @{ result('[outcome=alternatives]')->{response}{alternatives} }, 2, 'alternatives';
    is result('[outcome=reasoning]')->{response}{usage}{completionTokensDetails}{reasoningTokens},
        '7', 'reasoning';
    ok !exists result('[outcome=no_usage]')->{response}{usage}, 'no_usage';

    $id = submit('[outcome=exotic]')->json->{id};
    $e->finish($id);
    my $r = poll($id);
    like $r->{body}, qr/"n":1\.50e\+2,"big":12345678901234567890/, 'exotic numbers';
    like $r->{body}, qr/"text":"\\u0041 \\ud83d\\ude00 /, 'and escapes';
    ok $r->json, 'still JSON';
    is eval { $e->set(outcome => 'nonsense'); 1 }, undef, 'an unknown outcome is refused';
};


subtest 'a schema that asks for a language' => sub {
    my %has = map { $_ => { type => 'string' } } qw(language text other);
    my $said = sub ($text, @members) {
        my $schema = { type => 'object', properties => { map { $_ => $has{$_} } @members } };
        return result($text, jsonSchema => { schema => $schema })
            ->{response}{alternatives}[0]{message}{text};
    };
    is_deeply decode_json($said->('a', qw(language text other))), { language => 'en',
        text => 'echo: a' }, 'gets it, and the text';
    is_deeply decode_json($said->('[language=de] a', 'language')), { language => 'de' },
        '... or it alone';
    is $said->('a', 'text'), 'echo: a', 'another one does not matter';
    is $said->('[outcome=says:no]', 'language'), 'no', '... nor one that is not kept to';
};

subtest 'pending, early 404, cancel' => sub {
    my $id = submit('[done_absent=1]')->json->{id};
    ok !exists poll($id)->json->{done}, 'done may be absent';

    $id = submit('[early404=2]')->json->{id};
    is join(' ', map { poll($id)->{status} } 1 .. 3), '404 404 200', 'early 404s';

    $id = submit('[delay=30]')->json->{id};
    is ask(GET => "/operations/$id:cancel")->json->{error}{code}, 1, 'cancelled';
    ok poll($id)->json->{done}, 'for good';

    $id = submit('[delay=30] [cancel=ignore]')->json->{id};
    ok !ask(GET => "/operations/$id:cancel")->json->{done}, 'or not';
    is scalar $e->cancels($id), 1, 'the journal knows';

    $id = submit('[delay=30]')->json->{id};
    is $e->finish($id, 'failed:4:late'), 1, 'finished by hand';
    is poll($id)->json->{error}{message}, 'late', 'with another outcome';
    $e->forget($id);
    is poll($id)->{status}, 404, 'forgotten';
};


subtest 'quotas' => sub {
    my $quota = CompletionAsync::Emulator->new(submit_quota => 2);
    is join(' ', map { $quota->within_quota('submit', 1000 + $_) } 0, 0.6, 0.7, 1.1, 1.2),
        '1 1 0 1 0', 'a sliding window';

    $e->set(submit_quota => 2, poll_quota => [ [ 3, 60 ] ]);
    is join(' ', map { submit('x')->{status} } 1 .. 3), '200 200 429', 'of a second';
    is join(' ', map { poll('x')->{status} } 1 .. 4), '404 404 404 429', 'polls have their own';
    my $r = poll('x');
    is_deeply [ @{ $r->json->{error} }{qw(grpcCode httpCode httpStatus)} ],
        [ 8, 429, 'Too Many Requests' ], 'the 429 in its dialect';
    is((($e->submits)[-1])->{fault}, 'quota', 'and in the journal');
    $e->set(submit_quota => undef, poll_quota => undef);
};


subtest 'status faults' => sub {
    next_fault('submit', status => 429, retry_after => 7, n => 2);
    is join(' ', map { submit('x')->{status} } 1 .. 3), '200 429 200', 'the second only';

    $e->clear_faults;
    $e->fault('poll', 'every', status => 503);
    is join(' ', map { poll('x')->{status} } 1 .. 2), '503 503', 'every';
    is submit('x')->{status}, 200, 'of this kind';

    $e->clear_faults;
    $e->fault('any', '2-3', status => 500);
    is join(' ', map { poll('x')->{status} } 1 .. 4), '404 500 500 404', 'a range';

    next_fault('submit', status => 429, retry_after => 7);
    my $r = submit('x');
    is $r->{headers}{'retry-after'}, 7, 'with Retry-After';
    next_fault('submit', status => 503);
    is submit('x')->{headers}{'retry-after'}, undef, 'and without';

    for my $dialect (
        [ grpc      => sub ($j) { $j->{code} == 9 && $j->{message} eq 'm' } ],
        [ grpc_text => sub ($j) { $j->{code} == 9 && $j->{error} eq 'm' } ],
        [ rest      => sub ($j) { $j->{error}{grpcCode} == 9 && $j->{error}{httpCode} == 400 } ],
        [ openai    => sub ($j) { $j->{error}{message} eq 'm' && $j->{error}{type} } ],
    ) {
        my ($name, $check) = @$dialect;
        next_fault('submit', status => 400, dialect => $name, grpc => 9, message => 'm');
        ok $check->(submit('x')->json), "dialect $name";
    }
    next_fault('submit', status => 400, leak => 1, message => 'why');
    like submit('x')->json->{message}, qr/^Error in session .*folder_id=$FOLDER: why$/, 'leaking';

    next_fault('submit', status => 302, headers => { Location => 'http://localhost/' });
    $r = submit('x');
    is "$r->{status} $r->{headers}{location}", '302 http://localhost/', 'a redirect';
    next_fault('submit', status => 200, reason => 'Fine', headers => { 'x-a' => [ 1, 2 ] });
    $r = submit('x');
    is $r->{reason}, 'Fine', 'a reason phrase';
    is_deeply $r->{headers}{'x-a'}, [ 1, 2 ], 'repeated headers';

    next_fault('submit', status => 502, process => 1);
    is submit('[x502]')->{status}, 502, 'refused by name';
    ok((grep { $_->{text} eq '[x502]' } $e->operations), 'but accepted');
    next_fault('submit', status => 502);
    submit('[y502]');
    ok !(grep { $_->{text} eq '[y502]' } $e->operations), 'or refused';
};


subtest 'bodies' => sub {
    my $mangled = sub ($name, %more) {
        next_fault('submit', mangle => $name, %more);
        my $r = submit('x');
        is $r->{error}, undef, "$name arrives whole";
        return $r;
    };

    my $r = $mangled->('html', status => 502);
    is $r->{headers}{'content-type'}, 'text/html', 'html, as a balancer';
    like $r->{body}, qr/<h1>502 Bad Gateway/, 'says it';
    is $mangled->('bad_json')->json, undef, 'is none';
    like $mangled->('trailing')->{body}, qr/\}\}\{"id":"x"\}$/, 'garbage';
    like $mangled->('deep', size => 3)->{body}, qr/^\{"deep":\[\[\[\]\]\],"id"/, 'brackets';
    cmp_ok length $mangled->('deep')->{body}, '>', 200_000, 'deep indeed';
    cmp_ok length $mangled->('huge')->{body}, '>', 5_000_000, 'huge indeed';
    ok $mangled->('huge', size => 100)->json, 'and JSON';
    like $mangled->('invalid_utf8')->{body}, qr/"\xff\xfe"/, 'bytes';
    like $mangled->('overlong')->{body}, qr/"\xc0\x80"/, 'bytes';
    like $mangled->('raw_surrogate')->{body}, qr/"\xed\xa0\x80"/, 'bytes';
    like $mangled->('lone_surrogate')->{body}, qr/"\\ud83d!"/, 'an escape';
    like $mangled->('nul')->{body}, qr/"a\\u0000b"/, 'an escape';
    like $mangled->('duplicate')->{body}, qr/"done":true,"done":false,.*"done":false/, 'keys';
    is ref $mangled->('array')->json, 'ARRAY', 'an array';
    is $mangled->('string')->{body}, '"operation"', 'a string';
    is $mangled->('number')->{body}, '42', 'a number';
    is $mangled->('empty')->{body}, '', 'nothing';

    next_fault('submit', body => "\xff{}", type => 'text/plain');
    $r = submit('x');
    is $r->{body}, "\xff{}", 'any bytes';
    is $r->{headers}{'content-type'}, 'text/plain', 'any type';
    next_fault('submit', body => 'Быть');
    is submit('x')->text, 'Быть', 'characters';
};


subtest 'lying ids' => sub {
    next_fault('submit', lie_id => 'constant');
    is submit('[lie]')->json->{id}, 'constant', 'a constant one';
    is poll('constant')->{status}, 200, 'by which it is known';
    next_fault('submit', lie_id => "no/good\r\n");
    is submit('x')->json->{id}, "no/good\r\n", 'a bad alphabet';
    next_fault('submit', lie_id => 'x' x 300);
    is length submit('x')->json->{id}, 300, 'a long one';
    next_fault('submit', lie_id_json => '42');
    like submit('x')->{body}, qr/^\{"id":42,/, 'a number';
    next_fault('submit', drop_id => 1);
    my $json = submit('x')->json;
    ok $json && !exists $json->{id}, 'none';

    my $id = submit('x')->json->{id};
    next_fault('poll', lie_id => 'other');
    is poll($id)->json->{id}, 'other', 'a poll lies, too';

    next_fault('poll', text => 'liar', lie_id => 'other');
    my ($honest, $liar) = map { submit($_)->json->{id} } 'honest', 'a liar';
    is poll($honest)->json->{id}, $honest, 'one of another text does not';
    is poll($liar)->json->{id}, 'other', 'only that of the text';
};


subtest 'framing' => sub {
    next_fault('submit', chunked => 7);
    my $r = submit('x');
    is $r->{headers}{'transfer-encoding'}, 'chunked', 'chunked';
    is $r->{headers}{'content-length'}, undef, 'without a length';
    like $r->{raw}, qr/\r\n7\r\n\{"id":"\r\n/, 'in pieces of that size';
    ok $r->json, 'and whole';

    next_fault('submit', truncate => 10);
    $r = submit('x');
    is "$r->{error} " . length $r->{body}, 'closed 10', 'truncated';
    next_fault('submit', truncate => 'half', chunked => 1);
    is submit('x')->{error}, 'closed', 'truncated chunks';

    next_fault('submit', length_offset => 5);
    $r = submit('x', timeout => 0.3, close => 0);
    is $r->{error}, 'timeout', 'a length too long';
    is $r->{headers}{'content-length'} - length $r->{body}, 5, 'by five';
    next_fault('submit', length_offset => -5);
    $r = submit('x', close => 0);
    ok $r->{complete} && $r->{body} !~ /\}$/, 'a length too short';

    next_fault('submit', interim => [ 103, 102 ]);
    $r = submit('x');
    is "@{ $r->{interim} } $r->{status}", '103 102 200', 'interim answers';
    next_fault('submit', header_bytes => 70_000);
    is length submit('x')->{headers}{'x-long'}, 70_000, 'a long header';
    next_fault('poll', poll_interval => 3);
    is poll('x')->{headers}{'x-operation-poll-interval'}, 3, 'a poll interval';
    $e->set(poll_interval => 4);
    is poll(submit('x')->json->{id})->{headers}{'x-operation-poll-interval'}, 4, 'for everybody';
    $e->set(poll_interval => undef);
    next_fault('submit', version => '1.0', raw => undef);
    like submit('x')->{raw}, qr{^HTTP/1\.0 200}, 'an old version';
    next_fault('submit', raw => "HTTP/1.1 200 OK\r\nX\x00: \xff\r\n\r\n");
    is submit('x')->{raw}, "HTTP/1.1 200 OK\r\nX\x00: \xff\r\n\r\n", 'raw bytes';
};


subtest 'time' => sub {
    my $drip = sub ($r) { 0.01 * int(length($r->{raw}) / 20) };
    for my $case (
        [ submit  => sub ($r) { 0.3 },  delay => 0.3 ],
        [ submit  => $drip,             drip => 0.01, drip_bytes => 20 ],
        [ connect => sub ($r) { 0.29 }, delay => 0.3 ],
    ) {
        my ($kind, $least, @fault) = @$case;
        next_fault($kind, @fault);
        my $r = submit('x');
        ok $r->{complete}, "$kind: $fault[0]";
        cmp_ok $r->{time}, '>=', $least->($r), 'so long';
    }

    $e->clear_faults;
    $e->fault(submit => $_, hold => $_ < 3 ? 'one' : 'other') for 1 .. 3;
    my @held;
    for my $n (1 .. 3) {
        push @held, start_submit("[held $n]");
        ok wait_until(sub { grep { index($_->{body}, "[held $n]") > 0 } $e->submits }),
            "$n is held";
    }
    is submit('x')->{status}, 200, 'the next one is not';
    is $e->release('other'), 1, 'one is released';
    is $held[2]->response->{status}, 200, 'and answered';
    is scalar(grep { $_->is_over } @held), 1, 'as no other';
    is $e->release, 2, 'as are all';
    is join(' ', map { $_->response->{status} } @held), '200 200 200', 'in the end';
    is $e->release, 0, 'once';

    next_fault('submit', silent => 1);
    my $client = CompletionAsync::Client->new(port => $e->port)->start(GET => '/operations/x');
    is $client->response->{status}, 401, 'only submits are silent';
    my $r = submit('x', timeout => 0.5);
    is "$r->{error} $r->{raw}", 'timeout ', 'silent';
    $e->clear_faults;
    ok $e->wait_over(submit => scalar $e->submits), 'over when the client goes';
    my $entry = ($e->submits)[-1];
    is $entry->{status}, undef, 'without a status';

    next_fault('submit', hang => 'answer', truncate => 5);
    $r = submit('x', timeout => 0.3);
    is "$r->{error} " . length $r->{body}, 'timeout 5', 'silent in the middle';
};


subtest 'resets and closes' => sub {
    my $reset = qr/^Connection reset/;

    for my $case ([ head => 0 ], [ request => 0 ], [ answer => 1 ]) {
        my ($stage, $answered) = @$case;
        next_fault('submit', reset => $stage);
        my $r = submit("[reset-$stage]");
        like $r->{error}, $reset, "reset: $stage";
        is length($r->{raw}) > 0, !!$answered, 'as far as it goes';
        next_fault('submit', close => $stage);
        $r = submit("[close-$stage]");
        # Bytes that nobody read turn a close into a reset.
        like $r->{error}, $stage eq 'head' ? qr/^closed|reset/ : qr/^closed$/, "close: $stage";
        is length($r->{raw}) > 0, !!$answered, 'as far as it goes';
    }
    my @text = map { $_->{text} } $e->operations;
    ok !(grep { /-head\]/ } @text), 'what was not read has no effect';
    is scalar(grep { /(reset|close)-(request|answer)\]/ } @text), 4, 'what was read has';

    $e->clear_faults;
    $e->fault('connect', 1, reset => 'accept');
    like poll('x')->{error}, $reset, 'reset: accept';
    next_fault('connect', close => 'accept');
    like poll('x')->{error}, qr/^closed|reset|Broken/, 'close: accept';
    next_fault('connect', hang => 'accept');
    is poll('x', timeout => 0.3)->{error}, 'timeout', 'hang: accept';
    $e->clear_faults;
    is poll('x')->{status}, 404, 'and all is well again';
};


subtest 'keep-alive' => sub {
    my $open = sub { CompletionAsync::Client->new(port => $e->port, timeout => 5) };
    my $get  = sub ($c) {
        $c->request(GET => '/operations/x', headers => { Authorization => "Api-Key $KEY" });
    };
    my $client = $open->();
    is join(' ', map { $get->($client)->{status} } 1 .. 3), '404 404 404', 'one connection';
    my @entry = ($e->polls)[ -3 .. -1 ];
    is join(' ', map { $_->{connection} == $entry[0]{connection} } @entry), '1 1 1',
        'says the journal';
    is join(' ', map { $_->{nth} } @entry), '1 2 3', 'and counts';

    next_fault('poll', connection_close => 1);
    my $r = $get->($client);
    is $r->{headers}{connection}, 'close', 'Connection: close';
    ok wait_until(sub { $client->is_closed }), 'and closed';

    $client = $open->();
    next_fault('poll', close_idle => 0.2);
    $get->($client);
    ok !$client->is_closed, 'idle';
    ok wait_until(sub { $client->is_closed }), 'closed when idle';

    $client = $open->();
    $get->($client);
    $e->disconnect(idle => 1);
    ok wait_until(sub { $client->is_closed }), 'disconnected';

    $client = $open->();
    $get->($client);
    next_fault('submit', close => 'request');
    my $before = $e->submits;
    $r = $client->request(
        POST    => SUBMIT,
        headers => { Authorization => "Api-Key $KEY", 'Content-Type' => 'application/json' },
        body    => encode_json(prompt('[read whole]')),
    );
    is "$r->{error} $r->{raw}", 'closed ', 'a whole POST is read, and the connection closed';
    is $e->submits - $before, 1, 'journalled once';
    my $entry = ($e->submits)[-1];
    ok $entry->{body_complete} && $entry->{nth} == 2 && $entry->{operation}, 'as it was';

    $client = $open->();
    my $two = $client->format(GET => '/operations/x', headers => { Authorization => 'none' }) x 2;
    is $client->raw($two)->response->{status}, 401, 'the first of two at once';
    is $client->raw('')->response->{status}, 401, 'the second';

    $client = $open->();
    $r = $client->request(
        POST    => SUBMIT,
        headers => { Authorization => "Api-Key $KEY", 'Content-Type' => 'application/json' },
        chunked => [ unpack '(a9)*', encode_json(prompt('in chunks')) ],
    );
    is $r->{status}, 200, 'a chunked request';
    $r = $client->request(
        POST    => SUBMIT,
        headers => {
            Authorization  => "Api-Key $KEY",
            'Content-Type' => 'application/json',
            Expect         => '100-continue',
        },
        body    => encode_json(prompt('go on')),
    );
    is "@{ $r->{interim} } $r->{status}", '100 200', '100-continue';
};


subtest 'stop and resume' => sub {
    my $id = submit('[delay=30]')->json->{id};
    $e->stop;
    is poll($id)->{error}, 'Connection refused', 'refused';
    $e->resume;
    is poll($id)->{status}, 200, 'back on its port, and knows all';
    $e->restart;
    is poll($id)->{status}, 200, 'restarted';

    my ($port, $keep) = CompletionAsync::Upstream->closed_port;
    is poll('x', on => { port => $port })->{error}, 'Connection refused', 'a closed port';
    ($port, $keep) = CompletionAsync::Upstream->black_hole;
    my $client = CompletionAsync::Client->new(port => $port)->start(GET => '/');
    $client->response(1.5);
    ok !defined getpeername $client->{socket}, 'a black hole never completes a connection';
};


subtest 'tokens' => sub {
    my $part = sub ($json) { encode_base64url(encode_json($json)) };
    my $now  = int time;
    my $jwt  = sub (%claim) {
        join '.', $part->({ typ => 'JWT', alg => 'PS256', kid => 'k' }),
            $part->({ iss => 'aje', iat => $now, exp => $now + 3600, %claim }), 'c2ln';
    };
    my $exchange = sub ($jwt) {
        ask(POST => '/iam/v1/tokens', body => encode_json({ jwt => $jwt }));
    };
    my $bearer = sub ($token) {
        poll('x', headers => { Authorization => "Bearer $token" })->{status};
    };

    $e->set(issue_tokens => 1, token_ttl => 100);
    my $r = $exchange->($jwt->());
    is $r->{status}, 200, 'a JWT is exchanged';
    my $token = $r->json->{iamToken};
    like $r->json->{expiresAt}, qr/^[0-9T:-]{19}\.[0-9]{9}Z$/, 'until then';
    is $bearer->($token), 404, 'and accepted';
    is $bearer->('t1.other'), 401, 'another is not';
    $e->revoke($token);
    is $bearer->($token), 401, 'nor is a revoked one';
    is $exchange->($jwt->(exp => $now + 3700))->{status}, 400, 'an hour at most';
    is $exchange->($jwt->(exp => $now - 1))->{status}, 400, 'not after its time';
    is $exchange->('x')->{status}, 400, 'not any string';

    is ask(GET => METADATA)->{status}, 403, 'the metadata service wants its header';
    $r = ask(GET => METADATA, headers => { 'Metadata-Flavor' => 'Google' });
    is "$r->{status} " . $r->json->{expires_in}, '200 100', 'and gives a token';
    is $bearer->($r->json->{access_token}), 404, 'that is accepted';
    $e->set(metadata => 0);
    is ask(GET => METADATA, headers => { 'Metadata-Flavor' => 'Google' })->{status}, 404,
        'no service account';
    $e->set(token_ttl => 0.1);
    $token = $exchange->($jwt->())->json->{iamToken};
    is wait_until(sub { my $status = $bearer->($token); $status == 401 && $status }), 401,
        'tokens expire';

    my $sign = sub ($key) {
        my $data = join '.', (split /\./, $jwt->())[ 0, 1 ];
        open my $file, '>', "$DIR/data" or die;
        print {$file} $data;
        close $file;
        system "openssl dgst -sha256 -sign $DIR/$key.pem -sigopt rsa_padding_mode:pss"
            . " -sigopt rsa_pss_saltlen:32 -out $DIR/signature $DIR/data";
        open $file, '<:raw', "$DIR/signature" or die;
        local $/;
        return "$data." . encode_base64url(<$file>);
    };
    for my $key (qw(right wrong)) {
        system "openssl genrsa -out $DIR/$key.pem 2048 2>/dev/null";
    }
    system "openssl rsa -in $DIR/right.pem -pubout -out $DIR/public.pem 2>/dev/null";
    $e->set(jwt_public_key => "$DIR/public.pem");
    is $exchange->($sign->('right'))->{status}, 200, 'a signature is verified';
    is $exchange->($sign->('wrong'))->{status}, 400, 'a wrong one is refused';
};


subtest 'the journal' => sub {
    $e->reset;
    $e->set(folder => $FOLDER, api_key => $KEY);
    is scalar $e->journal, 0, 'empty after a reset';

    my $before = time;
    my $id = submit('Быть')->json->{id};
    poll($id);
    my ($submit, $poll) = $e->journal;

    is "$submit->{n} $submit->{kind} $submit->{method} $submit->{path} $submit->{status}",
        '1 submit POST ' . SUBMIT . ' 200', 'a submit';
    is $submit->{json}{messages}[0]{text}, 'Быть', 'its body';
    is $submit->{headers}{authorization}, "Api-Key $KEY", 'its headers';
    is_deeply [ @{ $submit->{lines} }[ 0, 1 ] ], [ 'Host: localhost', 'Connection: close' ],
        'as sent';
    is $submit->{operation}, $id, 'its operation';
    my @moment = ($before, @$submit{qw(time end_time)});
    is_deeply [ sort { $a <=> $b } @moment ], \@moment, 'its times';
    is "$poll->{kind} $poll->{operation} $poll->{end}", "poll $id close", 'a poll';
    is scalar $e->journal(since => 1), 1, 'since';
    is scalar $e->polls('other'), 0, 'by operation';

    my $client = CompletionAsync::Client->new(port => $e->port);
    my $bytes = $client->format(POST => SUBMIT, body => 'x' x 1000);
    $client->hang_up(substr $bytes, 0, length($bytes) - 900);
    ok $e->wait_over(submit => 2), 'a client that hangs up';
    my $entry = ($e->submits)[-1];
    ok !$entry->{body_complete}, 'has not sent all';
    is "$entry->{end} " . length $entry->{body}, 'client 100', 'but so much';

    next_fault('submit', name => 'mine', silent => 1);
    $client = CompletionAsync::Client->new(port => $e->port)->start(
        POST    => SUBMIT,
        body    => encode_json(prompt('x')),
        headers => { Authorization => "Api-Key $KEY", 'Content-Type' => 'application/json' },
    );
    ok $e->wait_for(submit => 3), 'a request that gets no answer';
    is +($e->submits)[-1]{fault}, 'mine', 'with its fault';

    open my $file, '<', "$DIR/journal" or die;
    my @line = map { decode_json($_) } <$file>;
    my @last = grep { ($_->{fault} // '') eq 'mine' } @line;
    is scalar @last, 1, 'is in the file while it waits';
};


subtest 'a stream' => sub {
    my $stream = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
        "event: operation\nid: pending\ndata: 1\n", "\n: still here\n\nevent: oper",
        "ation\nid: done\ndata: 2\ndata: 3\n\n", '';
    next_fault('poll', raw => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n$stream",
        drip => 0.001);
    my $client = CompletionAsync::Client->new(port => $e->port)->start(GET => '/operations/x');

    is_deeply [ map { $client->event(2) } 1 .. 4 ],
        [
            { event => 'operation', id => 'pending', data => 1 },
            { comment => 'still here' },
            { event => 'operation', id => 'done', data => "2\n3" },
            undef,
        ],
        'is read event by event';
    ok $client->response->{complete}, 'to its end';
};


subtest 'TLS' => sub {
    my ($cert, $key) = ("$DIR/tls.crt", "$DIR/tls.key");
    system "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        . " -subj /CN=localhost -keyout $key -out $cert 2>/dev/null";
    my $tls = CompletionAsync::Upstream->start(tls_cert => $cert, tls_key => $key);
    my %on  = (on => { port => $tls->port, tls => 1 });

    like $tls->url, qr{^https://}, 'has another URL';
    is poll('x', %on)->{status}, 404, 'is spoken';
    my $id = submit('[outcome=huge]', %on)->json->{id};
    $tls->finish($id);
    cmp_ok length poll($id, %on)->{body}, '>', 1_500_000, 'at length';
    $tls->fault(poll => 1, reset => 'request');
    ok poll('x', %on)->{error}, 'faults and all';
    ok poll('x', on => { port => $tls->port })->{error}, 'and nothing else is';
    ok $tls->quit, 'ends';
};


subtest 'by hand' => sub {
    my $program = "$FindBin::Bin/../lib/emulator.pl";

    like qx($^X $program --help), qr/--port.*--delay/s, 'helps';
    for my $signal (qw(TERM INT)) {
        my @option = qw(--port 0 --delay 2 --folder b1gx --api-key k);
        my $pid = open my $pipe, '-|', $^X, $program, @option or die;
        my ($port) = (<$pipe> // '') =~ /^listening on 127\.0\.0\.1:([0-9]+)$/;
        ok $port, 'says where it listens';
        is poll('x', on => { port => $port })->{status}, 401, 'and does';
        kill $signal => $pid;
        close $pipe;
        is $?, 0, "ends on SIG$signal";
    }
};


ok $e->quit, 'the emulator ends well';
done_testing;
