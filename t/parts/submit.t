# A long text: cut, asked for in parts, and answered as one operation.

use strict;
use warnings;
use v5.36;
use utf8;

use Encode qw(encode);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
my $e = $t->emulator;

$t->run_location(
    http     => 'log_format parts "$request_method $status $completion_async_operation '
        . '$completion_async_parts $completion_async_state $completion_async_source '
        . '$completion_async_total_tokens"; access_log %%TESTDIR%%/parts.log parts;',
    location => 'completion_async_split 32 max=8;',
    server   => 'location /plain { completion_async yandex; completion_async_model m; }'
        . ' location /v1 { completion_async_openai yandex; completion_async_models m;'
        . ' completion_async_split 32; completion_async_wait 1s; }',
);

my $TEXT = "First sentence here. Second one.\n\nA third paragraph. Fourth\nline and more words.";

# What upstream was asked for, part by part.
sub asked () { map { $_->{json}{messages}[-1]{text} } $e->submits }

sub ids () { map { $_->{operation} } $e->submits }


subtest 'a long text' => sub {
    my $r = $t->post($TEXT);
    is $r->{status}, 202, 'is accepted' or diag $r->{body};

    my @asked = asked();
    is_deeply [ sort @asked ],
        [ sort 'First sentence here. Second one.', 'A third paragraph.',
            "Fourth\nline and more words." ], 'in parts';

    my $op = $r->json;
    is $op->{done}, Mojo::JSON::false(), 'and not done';
    is_deeply $op->{metadata}, { parts => 3, done => 0 }, 'how many there are';
    is $r->header('Location'), "/translate/operations/$op->{id}", 'its place';
    like $r->header('Retry-After'), qr/^[1-9]\d*$/, 'when to come back';
    like $op->{createdAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'its time';

    my %id = map { $_->{json}{messages}[-1]{text} => $_->{operation} } $e->submits;
    my $all = "$id{'First sentence here. Second one.'}~~$id{'A third paragraph.'}~"
        . $id{"Fourth\nline and more words."};
    like $op->{id}, qr/^\Q$all\E\.c[0-9a-f]{8}[\w-]{24}$/, 'all of their ids in order';

    my $location = $r->header('Location');
    my $poll = $t->poll($location);
    is $poll->{status}, 200, 'a poll';
    is_deeply $poll->json->{metadata}, { parts => 3, done => 0 }, 'knows of none';

    $e->finish($id{'A third paragraph.'});
    $poll = $t->poll($location, headers => { Prefer => 'wait=1' });
    is $poll->json->{metadata}{parts}, 3, 'one of three';
    wait_until(
        sub { ($poll = $t->poll($location))->json->{metadata}{done} == 1 });
    is_deeply $poll->json->{metadata}, { parts => 3, done => 1 }, 'has ended';
    is $poll->json->{done}, Mojo::JSON::false(), 'which is not all of it';

    $e->finish;
    $poll = $t->poll_until_done($location);
    my $response = $poll->json->{response};
    is $response->{alternatives}[0]{message}{text},
        "echo: First sentence here. Second one.\n\necho: A third paragraph. "
        . "echo: Fourth\nline and more words.", 'the texts are joined';
    is $response->{alternatives}[0]{status}, 'ALTERNATIVE_STATUS_FINAL', 'and complete';
    is $response->{modelVersion}, '18.01.2024', 'by one model';
    is $response->{usage}{totalTokens},
        $response->{usage}{inputTextTokens} + $response->{usage}{completionTokens},
        'tokens are summed';
    is_deeply $poll->json->{metadata}, { parts => 3, done => 3 }, 'all have ended';
    ok $poll->header('ETag'), 'it has an ETag';

    is $t->poll($location, headers => { 'If-None-Match' => $poll->header('ETag') })->{status}, 304,
        'which holds';

    my $text = $t->poll($location, headers => { Accept => 'text/plain' });
    is $text->{status}, 200, 'as text';
    is $text->text, $response->{alternatives}[0]{message}{text}, 'the same';

    is $t->request(HEAD => $location)->{status}, 200, 'a HEAD';

    my $id = $op->{id};
    is $t->poll("/translate/operations/" . $id =~ s/~~/~/r)->{status}, 404, 'a changed joint';
    is $t->poll("/translate/operations/" . $id =~ s/^(\w+)~~(\w+)~/$2~~$1~/r)->{status}, 404,
        'another order';
    is $t->poll("/translate/operations/" . $id =~ s/^\w+~~//r)->{status}, 404, 'a part less';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'what is not split' => sub {
    $e->set(delay => 0);
    my $op = $t->submit('Thirty-two bytes, and no more.  ');
    unlike $op->{id}, qr/[.~]/, 'a text that fits';
    $op = $t->submit($TEXT, path => '/plain');
    unlike $op->{id}, qr/[.~]/, 'a location without the directive';
    is(($e->submits)[-1]{json}{messages}[-1]{text}, $TEXT, 'as it is');
    my $r = $t->request(
        POST    => '/translate',
        headers => { 'Content-Type' => 'application/json' },
        body    => encode('UTF-8', qq({"messages":[{"role":"user","text":"@{[ 'word ' x 20 ]}"}]}))
    );
    is $r->{status}, 202, 'a native request';
    unlike $r->json->{id}, qr/[.~]/, '... is one operation';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'any way that a text comes' => sub {
    $e->set(delay => 0);
    for my $as (
        [ 'application/json' => '{"text":"' . ('слово ' x 8) . '"}' ],
        [ 'application/x-www-form-urlencoded' => 'text=' . ('слово+' x 8) ],
        [ 'text/plain; charset=utf-8' => '  ' . ('слово ' x 8) . "\n" ],
    ) {
        my $r = $t->request(
            POST    => '/translate',
            headers => { 'Content-Type' => $as->[0], Prefer => 'wait=20', Accept => 'text/plain' },
            body    => encode('UTF-8', $as->[1])
        );
        is $r->{status}, 200, "$as->[0]" or diag $r->{body};
        is $r->text, join(' ', map { 'echo: ' . join ' ', ('слово') x $_ } 3, 3, 2),
            '... is cut, waited for and joined';
    }
    $e->reset;
    $e->set(delay => 60);
};


subtest 'too many parts' => sub {
    my $r = $t->post('word ' x 60);
    $t->refused($r, 413, 'request_too_large', 'more than eight');
    like $r->json->{detail}, qr/more than 8 parts of 32 bytes/, '... says what is too much';
    is scalar $e->submits, 0, 'and nothing is sent';
};


subtest 'cancel' => sub {
    my $r = $t->post($TEXT);
    my $location = $r->header('Location');
    my ($first) = $r->json->{id} =~ /^(\w+)/;
    $e->finish($first);
    $t->poll($location, headers => { Prefer => 'wait=1' });

    $r = $t->request(DELETE => $location);
    is $r->{status}, 200, 'is answered';
    ok $r->json->{done}, 'it is done';
    is $r->json->{error}{code}, 1, 'cancelled';
    wait_until(sub { $e->cancels >= 2 });
    is scalar(grep { $_->{operation} eq $first } $e->cancels), 0, 'what had ended is left alone';
    is $t->request(DELETE => $location)->json->{error}{code}, 1, 'once more';
    is $t->poll($location, headers => { Accept => 'text/plain' })->{status}, 410, 'as text';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'a stream' => sub {
    my $r = $t->post($TEXT);
    my $location = $r->header('Location');
    my %id = map { $_->{json}{messages}[-1]{text} => $_->{operation} } $e->submits;

    my $stream = $t->stream($location);
    my $event = $stream->event(20);
    is $event->{id}, 'pending', 'begins';
    my $data = Mojo::JSON::decode_json($event->{data});
    is_deeply $data->{metadata}, { parts => 3, done => 0, text => '' }, 'with nothing';

    $e->finish($id{'A third paragraph.'});
    $data = Mojo::JSON::decode_json($stream->event(20)->{data});
    is_deeply $data->{metadata}, { parts => 3, done => 1, text => '' }, 'a part behind a gap';

    $e->finish($id{'First sentence here. Second one.'});
    $data = Mojo::JSON::decode_json($stream->event(20)->{data});
    is_deeply $data->{metadata}, { parts => 3, done => 2,
        text => "echo: First sentence here. Second one.\n\necho: A third paragraph." },
        'the gap is filled';

    $e->finish;
    $event = $stream->event(20);
    is $event->{id}, 'done', 'its end';
    $data = Mojo::JSON::decode_json($event->{data});
    is $data->{response}{alternatives}[0]{message}{text}, $data->{metadata}{text}, 'all of it';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'how it ends' => sub {
    $e->set(delay => 0);
    for my $case (
        [ truncated => 'ALTERNATIVE_STATUS_TRUNCATED_FINAL', 'incomplete', 200 ],
        [ filter    => 'ALTERNATIVE_STATUS_CONTENT_FILTER',  'incomplete', 422 ],
    ) {
        my ($outcome, $status, $state, $as_text) = @$case;
        my $op = $t->submit("A part of it that ends well.\n\nOne [outcome=$outcome]");
        my $r = $t->poll_until_done($op->{location});
        is $r->json->{response}{alternatives}[0]{status}, $status, "$outcome is the worst";
        is $t->poll($op->{location}, headers => { Accept => 'text/plain' })->{status}, $as_text,
            '... as text';
    }

    my $op = $t->submit("A part that ends late. [delay=60]\n\nOne [outcome=failed:8:no]\n\n"
        . 'A third part of it');
    my $r = $t->poll_until_done($op->{location}, timeout => 30);
    is $r->json->{error}{code}, 8, 'one that failed';
    is $r->json->{error}{message}, 'no', '... says why';
    wait_until(sub { $e->cancels });
    is scalar $e->cancels, 1, 'the one that was pending is cancelled';
    $r = $t->poll($op->{location});
    is $r->json->{error}{code}, 8, 'which is not what it failed of';
    $e->reset;
};


subtest "OpenAI's interface" => sub {
    $e->set(delay => 60);
    my %json = (headers => { 'Content-Type' => 'application/json' });
    my $r = $t->request(POST => '/v1/responses', %json, body => encode('UTF-8',
        Mojo::JSON::encode_json({ model => 'm', input => 'word ' x 20, background => \1 })));
    is $r->{status}, 200, 'takes a long text';
    is scalar $e->submits, 1, '... as it is';

    my $id = $t->post($TEXT)->json->{id};
    $r = $t->request(GET => "/v1/responses/$id");
    is $r->{status}, 200, 'shows one in parts' or diag $r->{body};
    like $r->json->{status}, qr/^(?:queued|in_progress)$/, '... that is pending';
    $e->finish;
    wait_until(sub { ($r = $t->request(GET => "/v1/responses/resp_$id"))->json->{status} eq 'completed' });
    is $r->json->{output}[0]{content}[0]{text}, "echo: First sentence here. Second one.\n\n"
        . "echo: A third paragraph. echo: Fourth\nline and more words.", '... as one of its text';

    is $t->request(DELETE => "/v1/responses/$id")->json->{deleted}, Mojo::JSON::true(), 'deletes it';
    is $t->poll("/translate/operations/$id")->{status}, 404, '... for everybody';
    $e->reset;
};


subtest 'the log' => sub {
    my $log = $t->read_file('parts.log');
    like $log, qr/^POST 202 \w+\+2 3 pending upstream -?$/m, 'a submit of three parts';
    like $log, qr/^GET 200 \w+\+2 3 completed zone \d+$/m, 'a poll of them';
    is scalar(() = $log =~ /^GET 404 - - /mg), 3, 'no word of what was not verified';
    like $log, qr/^POST 202 \w+ 1 completed upstream \d+$/m, 'and of one';
};

$t->done;
