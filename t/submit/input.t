# What a submit takes, and what of it goes upstream.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });

$t->write_file('deep.json', '{"a":' x 61 . '{}' . '}' x 61);
$t->write_file('schema.json', <<'EOS');
{
  "type": "object",
  "properties": {"n": {"maximum": 1.50e+2, "const": 12345678901234567890}}
}
EOS

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone yandex 4m; %%PROVIDER%% poll_interval 30s 30s; }

map $completion_async_input_to $language {
    ""       "русский";
    de       "немецкий";
    default  "язык $completion_async_input_to";
}

map $completion_async_input_to $early {
    volatile;
    ""       "nothing";
    default  "$completion_async_input_to";
}
log_format text "<$completion_async_input_text><$completion_async_input_a>";

server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;
    client_body_temp_path %%TESTDIR%%/body;

    location /plain { completion_async yandex; }

    location /set {
        completion_async             yandex;
        completion_async_message     system "Ответь";
        completion_async_message     assistant "Слушаю";
        completion_async_temperature 0.1;
        completion_async_max_tokens  2000;
        completion_async_reasoning   disabled;
    }
    location /json   { completion_async yandex; completion_async_response_format json; }
    location /schema { completion_async yandex;
                       completion_async_response_format %%TESTDIR%%/schema.json; }
    location /deep   { completion_async yandex;
                       completion_async_response_format %%TESTDIR%%/deep.json; }

    location /map {
        completion_async         yandex;
        completion_async_message system "Переведи на $language: $completion_async_input_STYLE";
    }
    location /early {
        if ($early = de) { return 204; }
        set                      $before $early;
        completion_async         yandex;
        completion_async_message system "$early, $before before";
    }
    location /logged { completion_async yandex; access_log %%TESTDIR%%/text.log text; }
    location /model  { completion_async yandex;
                       completion_async_model $completion_async_input_model; }

    location /file   { completion_async yandex; client_body_in_file_only clean; }
    location /small  { completion_async yandex; client_body_buffer_size 100; }
    location /max    { completion_async yandex; client_max_body_size 100; }
    location /zero   { completion_async yandex; client_max_body_size 0; }
    location /large  { completion_async yandex; client_max_body_size 6m; }
}
server {
    listen 127.0.0.1:%%PORT_1%%;
    location /open { completion_async yandex; }
}
EOC

my $emulator = $t->emulator;
my $URI      = 'gpt://' . $t->folder . '/yandexgpt-lite';
my $seen     = 0;


# The request that reached upstream since the last look, or undef; two of them are none.
sub upstream () {
    my @new = $emulator->journal(kind => 'submit', since => $seen);
    $seen = $new[-1]{n} if @new;
    return @new == 1 ? $new[0] : undef;
}


sub post ($type, $body, %arg) {
    my %header = %{ delete $arg{headers} // {} };
    $header{'Content-Type'} = $type if defined $type;
    return $t->request(POST => delete $arg{path} // '/plain', headers => \%header, body => $body,
        %arg);
}


sub takes ($name, $expected, @post) {
    my $r = post(@post);
    my $submit = upstream();
    my $text = $submit ? $submit->{json}{messages}[-1]{text} : undef;

    ok $r->{status} == 202 && defined $text && $text eq $expected, $name
        or diag("$r->{status} $r->{body}\n", explain $submit && $submit->{body});
}


sub refuses ($status, $code, $name, @post) {
    my $r = post(@post);
    my $json = $r->json;

    is $r->{status}, $status, $name or diag($r->{body});
    is ref $json eq 'HASH' ? $json->{code} : 'no JSON', $code, "$name: $code";
    is upstream(), undef, "$name: nothing goes upstream";
}

sub invalid ($name, @post) { refuses(400, 'invalid_request', $name, @post) }


my $hello = 'Привет, "мир" \\ 😀' . "\n\t!";
utf8::encode(my $bytes = $hello);
my $quoted = encode_json($hello);


subtest 'text' => sub {
    takes 'text/plain', $hello, 'text/plain', $bytes;
    takes 'with a charset', $hello, 'text/plain; charset=utf-8', $bytes;
    takes 'in capitals and quotes', $hello, 'Text/Plain; Charset="UTF-8"', $bytes;
    takes 'another parameter', $hello, 'text/plain; format=flowed', $bytes;
    takes 'text/markdown', $hello, 'text/markdown', $bytes;
    takes 'no Content-Type', $hello, undef, $bytes;
    takes 'an empty Content-Type', $hello, '', $bytes;
    takes 'a byte-order mark', $hello, 'text/plain', "\xef\xbb\xbf$bytes";
    takes 'only the first mark', "\x{feff}x", 'text/plain', "\xef\xbb\xbf\xef\xbb\xbfx";
    takes 'JSON as text', '{"text":"x"}', 'text/plain', '{"text":"x"}';
    takes 'a form as text', 'text=x', 'text/plain', 'text=x';
    takes 'spaces stay', "  x \r\n", 'text/plain', "  x \r\n";
};


subtest 'JSON' => sub {
    takes 'an object with a text', $hello, 'application/json', "{\"text\":$quoted}";
    takes 'with a charset', $hello, 'application/json; charset=UTF-8', "{\"text\":$quoted}";
    takes 'in capitals', $hello, 'Application/JSON', "{\"text\":$quoted}";
    takes 'a byte-order mark', $hello, 'application/json', "\xef\xbb\xbf{\"text\":$quoted}";
    takes 'white space', 'x', 'application/json', " \r\n\t{ \"text\" : \"x\" } \r\n";
    takes 'escapes', "A\x{1f600}/\x{e9}\n", 'application/json',
        '{"text":"\u0041\ud83d\ude00\/\u00e9\n"}';
    takes 'an escaped name', 'x', 'application/json', '{"t\u0065xt":"x"}';
    takes 'other members', 'x', 'application/json',
        '{"a":1,"text":"x","b":{"text":"y"},"c":[{"text":"z"}],"d":null}';

    post('application/json', '{"text":"x","modelUri":"gpt://evil/other","completionOptions":'
            . '{"temperature":1},"tools":[],"jsonObject":true}');
    is_deeply upstream()->{json},
        { modelUri => $URI, messages => [ { role => 'user', text => 'x' } ] },
        'members beside a text mean nothing upstream';
};


subtest 'a native request' => sub {
    my $native = {
        messages => [ { role => 'system', text => 'Кратко' }, { role => 'user', text => $hello } ],
    };
    takes 'with messages', $hello, 'application/json', encode_json($native);

    post('application/json', encode_json($native));
    is_deeply upstream()->{json}, { modelUri => $URI, %$native }, 'messages as they are';

    is post('application/json', "\xef\xbb\xbf" . encode_json($native))->{status}, 202,
        'a byte-order mark';
    is_deeply upstream()->{json}{messages}, $native->{messages}, 'is dropped';
};


subtest 'forms' => sub {
    my $form = 'application/x-www-form-urlencoded';
    my $escaped = $bytes =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;

    takes 'a field', $hello, $form, "text=$escaped";
    takes 'lower-case escapes', $hello, $form, 'text=' . $escaped =~ s/(%..)/lc $1/ger;
    takes 'a plus is a space', 'a b+c', $form, 'text=a+b%2Bc';
    takes 'among other fields', 'x', $form, 'a=1&text=x&b=2&&c&=d';
    takes 'an equals sign', 'a=b', $form, 'text=a=b';
    takes 'an escaped name', 'x', $form, 't%65xt=x';
    takes 'a charset', $hello, "$form; charset=utf-8", "text=$escaped";

    invalid 'no text', $form, 'a=1';
    invalid 'an empty text', $form, 'text=';
    invalid 'two texts', $form, 'text=a&text=b';
    invalid 'bad UTF-8', $form, 'text=%ff';
    invalid 'an overlong character', $form, 'text=%c0%af';
    invalid 'an encoded surrogate', $form, 'text=%ed%a0%80';
    invalid 'bad UTF-8 in another field', $form, 'text=x&a=%ff';

    takes '1024 fields', 'x', $form, join '&', 'text=x', ('a') x 1023;
    my $r = post($form, join('&', 'text=x', ('a') x 1024));
    is $r->{status}, 400, 'one more';
    is $r->json && $r->json->{detail}, 'too many fields', 'says what is wrong';
    is upstream(), undef, 'and goes nowhere';

    # What a log sees of a form that fails: the field at fault, and those before it.
    my @logged = (
        [ 'text=x&a=1&b=%ff&a=2'                    => '<x><1>' ],
        [ 'a=%00&text=x&text=y&c'                   => '<y><\x00>' ],
        [ 'text=x&a=%ff'                            => '<x><\xFF>' ],
        [ join('&', 'a=1', 'text=x', ('b') x 1_500) => '<x><1>' ],
        [ 'a=1'                                     => '<-><1>' ],
    );
    is post($form, $_->[0], path => '/logged')->{status}, 400, 'one that fails' for @logged;
    my @line;
    wait_until(sub { (@line = split /\n/, $t->read_file('text.log')) >= @logged });
    is_deeply \@line, [ map { $_->[1] } @logged ], 'is logged as far as it was read';
};


subtest 'types that are not taken' => sub {
    my $unsupported = sub ($name, $type, %header) {
        refuses(415, 'unsupported_media_type', $name, $type, 'x', headers => \%header);
    };
    $unsupported->($_, $_) for qw(application/octet-stream multipart/form-data image/png text
        application/jsonp text/ application/json-seq);
    $unsupported->('gzip', 'text/plain', 'Content-Encoding' => 'gzip');
    $unsupported->('br on JSON', 'application/json', 'Content-Encoding' => 'br');
    $unsupported->('a Content-Encoding without a type', undef, 'Content-Encoding' => 'deflate');
    for my $charset (qw(windows-1251 koi8-r utf-16 iso-8859-1 utf-88 utf-)) {
        $unsupported->("charset $charset", "text/plain; charset=$charset");
    }
    $unsupported->('a charset in quotes', 'text/plain; charset="windows-1251"');
    $unsupported->('a charset of JSON', 'application/json;charset=utf-16');
    $unsupported->('a charset of a form', 'application/x-www-form-urlencoded; charset=cp1251');
    $unsupported->('a charset behind another parameter', 'text/plain; a=b; charset=cp1251');

    for my $case ([ 415 => '/plain', 'Content-Type: a/b', 5 ], [ 413 => '/zero', 'X: y', 5e9 ]) {
        my ($status, $path, $header, $length) = @$case;
        my $r = $t->http("POST $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n$header\r\n"
            . "Expect: 100-continue\r\nContent-Length: $length\r\n\r\n");
        is $r->{status}, $status, "Expect: 100-continue: $status";
        is "@{ $r->{interim} }", '', 'the body is not asked for';
    }
};


subtest 'empty and broken texts' => sub {
    invalid 'no body', 'text/plain', '';
    invalid 'no body and no type', undef, '';
    invalid 'only a byte-order mark', 'text/plain', "\xef\xbb\xbf";
    is $t->request(POST => '/plain')->{status}, 400, 'neither a body nor a length';
    is upstream(), undef, 'nothing goes upstream';

    my %broken = (
        'a continuation byte'      => "\x80",
        'a byte that never occurs' => "a\xff",
        'an end that is missing'   => "a\xd0",
        'an overlong slash'        => "\xc0\xaf",
        'an overlong of three'     => "\xe0\x80\xaf",
        'an overlong of four'      => "\xf0\x80\x80\xaf",
        'a surrogate'              => "\xed\xa0\x80",
        'a pair of surrogates'     => "\xed\xa0\xbd\xed\xb8\x80",
        'beyond Unicode'           => "\xf4\x90\x80\x80",
        'another encoding'         => "\xcf\xf0\xe8\xe2\xe5\xf2",
    );
    for my $name (sort keys %broken) {
        invalid "text: $name", 'text/plain', $broken{$name};
        invalid "JSON: $name", 'application/json', "{\"text\":\"$broken{$name}\"}";
        invalid "native: $name", 'application/json',
            "{\"messages\":[{\"role\":\"user\",\"text\":\"$broken{$name}\"}]}";
    }
    invalid 'broken UTF-8 beside the text', 'application/json', "{\"text\":\"x\",\"a\":\"\xff\"}";
    invalid 'broken UTF-8 in a name', 'application/json', "{\"text\":\"x\",\"\xff\":1}";

    takes 'the last character', "\x{10ffff}", 'text/plain', "\xf4\x8f\xbf\xbf";
    takes 'around the surrogates', "\x{d7ff}\x{e000}", 'text/plain', "\xed\x9f\xbf\xee\x80\x80";
};


subtest 'broken JSON' => sub {
    my $json = sub ($name, $body) { invalid $name, 'application/json', $body };

    $json->('an empty body', '');
    $json->('a high surrogate alone', '{"text":"a\ud83d"}');
    $json->('a low surrogate alone', '{"text":"\ude00a"}');
    $json->('surrogates in the wrong order', '{"text":"\ude00\ud83d"}');
    $json->('a high surrogate before another escape', '{"text":"\ud83d\u0041"}');
    $json->('a lone surrogate in a native text', '{"messages":[{"role":"user","text":"\ud83d"}]}');
    $json->('text twice', '{"text":"a","text":"b"}');
    $json->('text twice, once escaped', '{"text":"a","t\u0065xt":"b"}');
    $json->('text and messages', '{"text":"a","messages":[{"role":"user","text":"b"}]}');
    $json->('messages twice', '{"messages":[{"role":"user","text":"a"}],'
            . '"messages":[{"role":"user","text":"b"}]}');
    $json->('neither', '{"prompt":"a"}');
    $json->('an empty object', '{}');
    $json->('an empty text', '{"text":""}');
    $json->("a text that is $_", "{\"text\":$_}") for qw(1 true null [] {} ["a"] {"text":"a"});
    $json->("messages that are $_", "{\"messages\":$_}") for qw(1 null "a" {} [] ["a"] [null]);
    $json->('trailing garbage', '{"text":"a"} x');
    $json->('a second object', '{"text":"a"}{"text":"b"}');
    $json->('a trailing comma', '{"text":"a",}');
    $json->('a missing end', '{"text":"a"');
    $json->('an unfinished string', '{"text":"a');
    $json->('single quotes', "{'text':'a'}");
    $json->('a comment', '{"text":"a"/* b */}');
    $json->('a raw control character', "{\"text\":\"a\nb\"}");
    $json->('a bad escape', '{"text":"\x"}');
    $json->("not an object: $_", $_) for '"a"', '1', 'null', 'true', '["text"]', '[{"text":"a"}]';
    $json->('deep arrays', '{"text":"a","b":' . '[' x 20_000 . ']' x 20_000 . '}');
    $json->('deep objects', '{"text":"a","b":' . '{"c":' x 20_000 . '1' . '}' x 20_000 . '}');
    $json->('deep messages', '{"messages":' . '[' x 20_000 . ']' x 20_000 . '}');
    $json->('a byte-order mark in the middle', "{\xef\xbb\xbf\"text\":\"a\"}");

    like post('application/json', '{"text":1}')->json->{detail}, qr/text/, 'the reason is told';
    upstream();
};


subtest 'NUL characters' => sub {
    # A refusal or the very same text: both are true to the client, a shorter text is not.
    for my $case ([ 'text/plain', "a\0b" ], [ 'application/json', '{"text":"a\u0000b"}' ],
        [ 'application/x-www-form-urlencoded', 'text=a%00b' ])
    {
        my $r = post(@$case);
        my $submit = upstream();
        ok $r->{status} == 400 && !$submit
            || $r->{status} == 202 && $submit->{json}{messages}[0]{text} eq "a\0b",
            "$case->[0] with a NUL" or diag("$r->{status} ", $r->{body});
    }
};


subtest 'where bodies come from' => sub {
    my $long = 'Слово ' x 20_000;
    utf8::encode(my $raw = $long);
    my @parts = unpack '(a7001)*', $raw;

    for my $path (qw(/plain /file /small)) {
        takes "$path: short", $hello, undef, $bytes, path => $path;
        takes "$path: long", $long, undef, $raw, path => $path;
        takes "$path: long JSON", $long, 'application/json', encode_json({ text => $long }),
            path => $path;
        takes "$path: in chunks", $long, undef, undef, path => $path, chunked => \@parts;
        takes "$path: in one chunk", $hello, undef, undef, path => $path, chunked => [$bytes];
        invalid "$path: no chunk", undef, undef, path => $path, chunked => [];
    }
    takes '/file: a mark', $hello, undef, "\xef\xbb\xbf$bytes", path => '/file';
    # nginx takes one away behind the answer
    my $left = sub { scalar grep { -f } glob $t->testdir . "/body/*" };
    for (1 .. 50) { last if !$left->(); select undef, undef, undef, 0.1 }
    is $left->(), 0, 'no temporary file is left';

    # Slowly, in pieces that end within characters.
    my $client = $t->client;
    my $request = $client->format(POST => '/plain', close => 1, body => $bytes);
    $client->raw(substr $request, 0, length($request) - 30, '');
    for my $byte (split //, $request) {
        $client->{out} .= $byte;
        $client->_write;
        select undef, undef, undef, 0.002;
    }
    is $client->response->{status}, 202, 'byte by byte';
    is upstream()->{json}{messages}[0]{text}, $hello, 'the text is whole';

    my $r = $t->http("POST /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue"
            . "\r\nContent-Length: 1\r\n\r\nx");
    is $r->{status}, 202, 'Expect: 100-continue';
    is upstream()->{json}{messages}[0]{text}, 'x', 'its text';
};


subtest 'how long a body may be' => sub {
    is post(undef, 'x' x 100, path => '/max')->{status}, 202, 'as long as client_max_body_size';
    upstream();

    my $r = post(undef, 'x' x 101, path => '/max');
    is $r->{status}, 413, 'longer';
    is $r->header('Content-Type'), 'text/html', 'which nginx says';
    is post(undef, undef, path => '/max', chunked => [ 'x' x 60, 'x' x 60 ])->{status}, 413,
        'longer, in chunks';
    is upstream(), undef, 'nothing goes upstream';

    my $four = 4 * 1024 * 1024;
    $r = post(undef, 'x' x $four, path => '/zero');
    is $r->{status}, 202, 'without a limit, 4m is taken';
    is length upstream()->{json}{messages}[0]{text}, $four, 'whole';
    refuses(413, 'request_too_large', 'and no byte more', undef, 'x' x ($four + 1),
        path => '/zero', timeout => 10);
    refuses(413, 'request_too_large', 'in chunks', undef, undef, path => '/zero',
        chunked => [ 'x' x $four, 'x' ]);

    $r = post(undef, 'x' x (5 * 1024 * 1024), path => '/large');
    is $r->{status}, 202, 'client_max_body_size beyond 4m holds';
    is length upstream()->{json}{messages}[0]{text}, 5 * 1024 * 1024, 'whole';
};


subtest 'variables of the input' => sub {
    my $system = sub ($type, $body) {
        my $r = post($type, $body, path => '/map');
        my $submit = upstream();
        return $submit ? $submit->{json}{messages}[0]{text} : "$r->{status} $r->{body}";
    };
    my $form = 'application/x-www-form-urlencoded';

    is $system->('application/json', encode_json({ text => 'a', to => 'de', style => 'строго' })),
        'Переведи на немецкий: строго', 'of JSON';
    is $system->('application/json', '{"TO":"de","text":"a","StYle":"b"}'),
        'Переведи на немецкий: b', 'in any case';
    is $system->($form, 'to=de&text=a&style=b+c%21'), 'Переведи на немецкий: b c!', 'of a form';
    is $system->($form, 'TO=de&text=a&STYLE=b'), 'Переведи на немецкий: b', 'in any case';
    is $system->('application/json', '{"to":"fr \ud83d\ude00","text":"a"}'),
        "Переведи на язык fr \x{1f600}: ", 'escapes are resolved';
    is $system->('application/json', '{"text":"a"}'), 'Переведи на русский: ', 'missing';
    is $system->('application/json', '{"text":"a","to":1,"style":null}'), 'Переведи на русский: ',
        'not a string';
    is $system->('application/json', '{"text":"a","x":{"to":"de"}}'), 'Переведи на русский: ',
        'not at the top';
    is $system->('text/plain', 'to=de'), 'Переведи на русский: ', 'of a text there are none';
    is $system->('application/json', '{"to":"$uri ${host}","text":"a"}'),
        'Переведи на язык $uri ${host}: ', 'a value is no template';
    is $system->('application/json',
        '{"messages":[{"role":"user","text":"a"}],"to":"de","style":"b"}'),
        'Переведи на немецкий: b', 'of a native request';
    is upstream(), undef, 'and that was all';

    post('application/json', '{"text":"a","to":"de"}', path => '/early');
    is upstream()->{json}{messages}[0]{text}, 'de, nothing before',
        'a volatile map that was asked before';
};


subtest 'the model' => sub {
    my $uri = sub ($body) {
        my $r = post('application/json', $body, path => '/model');
        my $submit = upstream();
        return $submit ? $submit->{json}{modelUri} : $r->{status};
    };
    is $uri->('{"text":"a","model":"yandexgpt"}'), 'gpt://' . $t->folder . '/yandexgpt', 'a name';
    is $uri->('{"text":"a","model":"yandexgpt-lite/latest@x"}'),
        'gpt://' . $t->folder . '/yandexgpt-lite/latest@x', 'with a branch and a suffix';
    is $uri->('{"text":"a","model":"gpt://b1gother/m"}'), 'gpt://b1gother/m', 'a full URI';
    is $uri->('{"text":"a","model":""}'), 400, 'empty';
    is $uri->('{"text":"a"}'), 400, 'missing';

    invalid 'an empty model', 'application/json', '{"text":"a","model":""}', path => '/model';

    # The location sets a model, if only to nothing: the client's own does not step in.
    invalid 'a native model under an empty one', 'application/json', encode_json({
        modelUri => 'gpt://' . $t->folder . '/expensive',
        messages => [ { role => 'user', text => 'a' } ],
    }), path => '/model';

    for my $model ("a b", "a\nb", "a\"b", "a\x{e9}") {
        is post('application/json', encode_json({ text => 'a', model => $model }),
            path => '/model')->{status}, 400, 'a model may not be ' . encode_json($model);
    }
    is upstream(), undef, 'nothing went upstream';
};


subtest 'what a location sets' => sub {
    my %native = (
        modelUri          => 'gpt://' . $t->folder . '/expensive',
        completionOptions => {
            stream           => Mojo::JSON->true,
            temperature      => 0.9,
            maxTokens        => '7000',
            reasoningOptions => { mode => 'ENABLED_HIDDEN' },
        },
        messages => [ { role => 'system', text => 'Иначе' }, { role => 'user', text => 'a' } ],
    );
    my @ahead = ({ role => 'system', text => 'Ответь' }, { role => 'assistant', text => 'Слушаю' });

    post('application/json', encode_json(\%native), path => '/set');
    is_deeply upstream()->{json}, {
        modelUri          => $URI,
        completionOptions => {
            temperature      => 0.1,
            maxTokens        => 2000,
            reasoningOptions => { mode => 'DISABLED' },
        },
        messages => [ @ahead, @{ $native{messages} } ],
    }, 'outranks a native request';

    post('text/plain', 'a', path => '/set');
    is_deeply upstream()->{json}{messages}, [ @ahead, { role => 'user', text => 'a' } ],
        'messages in front of a text, in order';

    post('application/json', encode_json(\%native), path => '/open', port => $t->port(1));
    my $open = upstream()->{json};
    is $open->{modelUri}, $native{modelUri}, 'the model is open';
    is $open->{completionOptions}{temperature}, 0.9, 'the temperature';
    is $open->{completionOptions}{maxTokens}, '7000', 'the tokens';
    is_deeply $open->{completionOptions}{reasoningOptions}, { mode => 'ENABLED_HIDDEN' },
        'the reasoning';
    is_deeply $open->{messages}, $native{messages}, 'the messages';

    is post('text/plain', 'a', path => '/open', port => $t->port(1))->{status}, 400,
        'a model is still needed';
    is upstream(), undef, 'without one nothing goes upstream';
};


subtest 'the response format' => sub {
    my $messages = '"messages":[{"role":"user","text":"a"}]';
    my $body = sub ($path, $own) {
        post('application/json', "{$messages$own}", path => $path);
        my $submit = upstream();
        return $submit ? $submit->{json} : {};
    };
    my $own = ',"jsonObject":false,"jsonSchema":{"schema":{"type":"string"}}';

    my $json = $body->('/json', $own);
    is $json->{jsonObject}, Mojo::JSON->true, 'json';
    ok !exists $json->{jsonSchema}, 'and the client has no say';

    post('text/plain', 'a', path => '/schema');
    like upstream()->{body}, qr/"const":\s*12345678901234567890\b/, 'a schema, as in its file';

    is post('text/plain', 'a', path => '/deep', headers => { 'Idempotency-Key' => 'deep' })
        ->{status}, 202, 'as deep as a schema may be, under a key';
    upstream();

    $json = $body->('/schema', $own);
    is_deeply $json->{jsonSchema}{schema}{type}, 'object', 'a schema';
    ok !exists $json->{jsonObject}, 'and the client has no say';

    is_deeply $body->('/plain', ',"jsonSchema":{"schema":{"type":"string"}}')->{jsonSchema},
        { schema => { type => 'string' } }, 'where it is open the client may set one';
    is $body->('/plain', ',"jsonObject":true')->{jsonObject}, Mojo::JSON->true, 'or the other';
};


subtest 'other spellings' => sub {
    # protobuf's JSON takes the original names of fields, too, which must not pass by a location.
    my $body = '{"model_uri":"gpt://evil/model","completion_options":{"temperature":0.9,'
        . '"max_tokens":"9000","reasoning_options":{"mode":"ENABLED_HIDDEN"},"stream":true},'
        . '"json_schema":{"schema":{"own_member":1}},"stream":true,'
        . '"messages":[{"role":"user","text":"a_b"}]}';

    is post('application/json', $body, path => '/set')->{status}, 202, 'snake_case is taken';
    is_deeply upstream()->{json}, {
        modelUri          => $URI,
        completionOptions => {
            temperature      => 0.1,
            maxTokens        => 2000,
            reasoningOptions => { mode => 'DISABLED' },
        },
        messages => [
            { role => 'system', text => 'Ответь' }, { role => 'assistant', text => 'Слушаю' },
            { role => 'user', text => 'a_b' },
        ],
        jsonSchema => { schema => { own_member => 1 } },
    }, 'what the location sets outranks it, and the rest goes in camelCase';

    post('application/json', $body, path => '/json');
    my $json = upstream()->{json};
    is_deeply [ @$json{qw(jsonObject jsonSchema)} ], [ Mojo::JSON->true, undef ], 'its format, too';
    is $json->{completionOptions}{maxTokens}, '9000', 'what it leaves open the client may set';

    my $refused = sub ($name, $member, $detail) {
        my $r = post('application/json', qq({"messages":[{"role":"user","text":"a"}],$member}),
            path => '/set');
        is_deeply [ $r->{status}, $r->json->{code}, $r->json->{detail} ],
            [ 400, 'invalid_request', $detail ], $name;
    };
    $refused->('an unknown member', '"topK":1', 'unknown member "topK"');
    $refused->('another case of letters', '"MODELURI":"x"', 'unknown member "MODELURI"');
    $refused->('an unknown option', '"completion_options":{"seed":1}',
        'unknown member "seed" in "completionOptions"');
    $refused->('a name that is none of JSON', '"a\n\"\u0416":1',
        "unknown member \"a\\n\\\"\x{416}\"");
    $refused->('both spellings', '"model_uri":"a","modelUri":"a"', 'a member is given twice');
    $refused->('both of an option', '"completionOptions":{"max_tokens":1,"maxTokens":1}',
        'a member is given twice');
    $refused->('a member twice', '"completionOptions":{},"completionOptions":{"maxTokens":"9"}',
        'a member is given twice');
    is upstream(), undef, 'none of them goes upstream';

    # What the configuration reads somewhere is known, and no more than read.
    is post('application/json', '{"messages":[{"role":"user","text":"a"}],"To":{"x":[1]}}',
        path => '/set')->{status}, 202, 'a member that a variable names';
    unlike upstream()->{body}, qr/"To"|"x"/, 'stays here';
};


subtest 'tools' => sub {
    my $tools = '[{"function":{"name":"weather","description":"Погода","parameters":'
        . '{"type":"object","properties":{"n":{"maximum":1.50e+2,"minimum":-0.0,'
        . '"const":12345678901234567890,"enum":[null,true,1E5]}}}}}]';
    my $messages = '[{"role":"assistant","toolCallList":{"toolCalls":[{"functionCall":'
        . '{"name":"weather","arguments":{"city":"Москва","days":3.0}}}]}},'
        . '{"role":"user","toolResultList":{"toolResults":[{"functionResult":'
        . '{"name":"weather","content":"снег"}}]}}]';
    my $body = "{\"messages\":$messages,\"tools\":$tools,\"toolChoice\":{\"mode\":\"AUTO\"},"
        . '"parallelToolCalls":false,"completionOptions":{"temperature":0.30,"maxTokens":100}}';

    utf8::encode(my $raw = $body);
    is post('application/json', $raw, path => '/plain')->{status}, 202, 'accepted';

    my $sent = upstream();
    is index($sent->{body}, $tools) >= 0, 1, 'tools pass through, numbers as they are spelled'
        or diag($sent->{body});
    is index($sent->{body}, '"messages":' . $messages) >= 0, 1, 'calls and results, too';
    is_deeply $sent->{json}{toolChoice}, { mode => 'AUTO' }, 'toolChoice';
    is $sent->{json}{parallelToolCalls}, Mojo::JSON->false, 'parallelToolCalls';
    like $sent->{body}, qr/"temperature":0\.30[,}]/, 'a temperature as it is spelled';
    like $sent->{body}, qr/"maxTokens":100[,}]/, 'a number of tokens, too';

    my @bad = (
        '"completionOptions":[]', '"completionOptions":"a"', '"modelUri":1', '"modelUri":{}',
        '"completionOptions":{"temperature":"hot"}', '"completionOptions":{"maxTokens":{}}',
        '"completionOptions":{"reasoningOptions":1}', '"jsonObject":1', '"jsonSchema":"{}"',
        '"tools":{}', '"tools":["weather"]', '"tools":[{"function":{"parameters":"{}"}}]',
        '"toolChoice":"auto"', '"parallelToolCalls":"false"',
    );
    for my $bad (@bad) {
        my $r = post('application/json', '{"messages":[{"role":"user","text":"a"}],' . "$bad}");
        is $r->{status}, 400, "$bad is invalid";
    }
    upstream();
};


$t->done;
