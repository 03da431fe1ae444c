# Each path, method, type and body that is wrong, in the shape of the interface that was asked: one
# "error" of LibreTranslate's, one "message" of DeepL's.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(encode_json);
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });
my $e = $t->emulator;

$t->define(HASH => sha256_hex('key-of-alice'));
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 4m; %%PROVIDER%% poll_interval 50ms 100ms; }
map_hash_bucket_size 128;
map $completion_async_client_key $owner { default ""; %%HASH%% alice; }
completion_async_model      yandexgpt/latest;
completion_async_message    system "Into $completion_async_target_language.";
completion_async_languages  en=English ru=Russian;
completion_async_wait       60s;
client_max_body_size        100k;
server {
    listen 127.0.0.1:%%PORT%%;
    location /libre       { completion_async_libretranslate yandex; client_max_body_size 0; }
    location /deepl       { completion_async_deepl yandex; client_max_body_size 0; }
    location /named/libre { completion_async_libretranslate yandex; completion_async_owner $owner; }
    location /named/deepl { completion_async_deepl yandex; completion_async_owner $owner; }
    location /gone/libre  { completion_async_libretranslate yandex; completion_async_intercept_errors on;
                            error_page 400 = /page; }
    location = /page      { return 200 "a page"; }
}
EOC

my %JSON = ('Content-Type' => 'application/json');
my %FORM = ('Content-Type' => 'application/x-www-form-urlencoded');


sub ask ($method, $path, $body = undef, %headers) {
    return $t->request($method => $path, timeout => 60, headers => \%headers,
        defined $body ? (body => ref $body ? encode_json($body) : $body) : ());
}


# An error of that status in the shape of the interface whose path that is.
sub is_error ($r, $path, $status, $name = $path) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $name =~ s/[^ -~]/?/g;
    my $member = $path =~ m{/libre} ? 'error' : 'message';
    is $r->{status}, $status, "$name: $status" or diag $r->{raw};
    is $r->header('Content-Type'), 'application/json', '... in JSON';
    my $said = $r->json;
    is ref $said, 'HASH', '... an object' or return diag $r->{raw};
    is_deeply [ grep { $_ ne 'detail' } sort keys %$said ], [$member], '... of the one shape';
    ok !ref $said->{$member} && length $said->{$member}, '... which says why';
    is $r->header('x-should-retry'), 'false', '... not to be repeated by itself' if $status < 500;
    unlike $r->{raw}, qr/\Q@{[ $t->folder ]}/, '... and nothing of ours';
}


subtest 'paths and methods' => sub {
    my @case = (
        # LibreTranslate's
        [ GET => '/libre', 404 ], [ GET => '/libre/', 404 ], [ POST => '/libre', 404 ],
        [ GET => '/libre/nothing', 404 ], [ POST => '/libre/translate/', 404 ],
        [ POST => '/libre/translate/x', 404 ], [ GET => '/libre/translate', 405, 'POST' ],
        [ PUT => '/libre/translate', 405, 'POST' ], [ DELETE => '/libre/detect', 405, 'POST' ],
        [ GET => '/libre/detect', 405, 'POST' ], [ POST => '/libre/languages', 405, 'GET' ],
        [ POST => '/libre/health', 405, 'GET' ], [ PATCH => '/libre/frontend/settings', 405, 'GET' ],
        [ POST => '/libre/translate_file', 403 ], [ GET => '/libre/operations/x', 404 ],
        [ GET => '/libre/frontend', 404 ],
        # DeepL's
        [ GET => '/deepl', 404 ], [ GET => '/deepl/', 404 ], [ GET => '/deepl/v2', 404 ],
        [ POST => '/deepl/translate', 404 ], [ POST => '/deepl/v1/translate', 404 ],
        [ POST => '/deepl/v2/translate/x', 404 ], [ GET => '/deepl/v2/translate', 405, 'POST' ],
        [ POST => '/deepl/v2/usage', 405, 'GET' ], [ DELETE => '/deepl/v2/languages', 405, 'GET' ],
        [ POST => '/deepl/v2/document', 404 ], [ POST => '/deepl/v2/document/x', 404 ],
        [ POST => '/deepl/v2/document/x/result', 404 ], [ GET => '/deepl/v2/glossaries', 404 ],
        [ POST => '/deepl/v2/write/rephrase', 404 ], [ GET => '/deepl/v2/operations/x', 404 ],
    );
    for my $case (@case) {
        my ($method, $path, $status, $allowed) = @$case;
        my $r = ask($method, $path, $method eq 'POST' ? ('{}', %JSON) : ());
        is_error($r, $path, $status, "$method $path");
        like $r->header('Allow') // '', qr/\b$allowed\b/, '... what is allowed' if $allowed;
    }
    is ask(HEAD => $_)->{status}, 200, "HEAD $_" for qw(/libre/languages /libre/health
        /libre/frontend/settings /deepl/v2/languages /deepl/v2/usage);
    for my $path (qw(/libre/translate /deepl/v2/translate)) {
        my $r = ask(OPTIONS => $path);
        cmp_ok $r->{status}, '<', 300, "OPTIONS $path";
        like $r->header('Allow'), qr/\bPOST\b/, '... what is allowed';
    }
};

subtest 'bodies' => sub {
    my %type = (libre => '/libre/translate', deepl => '/deepl/v2/translate');
    my @broken = ('', '{', '[]', 'null', '"x"', '{}', '{"q":"x"}', "{\"q\":\"\xff\"}", '[' x 100,
        '{"a":' x 100, '{"q":"a","target":"ru","source":"en"}}', '{"target":"ru"}', "\xef\xbb\xbf",
        '{"text":["x"]}', '{"target_lang":"RU"}', '{"text":"x","target_lang":"RU",}',
        '{"text":["x"],"target_lang":7}', '{"q":"x","source":"en","target":["ru"]}');
    for my $path (sort values %type) {
        is_error(ask(POST => $path, $_, %JSON), $path, 400, "$path: " . substr $_, 0, 30) for @broken;
        is_error(ask(POST => $path, $_, %FORM), $path, 400, "$path: $_")
            for '', 'a=b', 'q=x', 'text=x', 'q=%ff&source=en&target=ru',
            'text=%ff&target_lang=RU';
    }
    is_error(ask(POST => '/libre/detect', $_, %JSON), '/libre/detect', 400, "detect: $_")
        for '', '{', '{}', '{"q":1}';

    for my $path (sort(values %type), '/libre/detect') {
        is_error(ask(POST => $path, 'text', 'Content-Type' => $_), $path, 415, "$path: $_")
            for 'text/plain', 'application/octet-stream', 'application/json; charset=koi8-r';
        is_error(ask(POST => $path, '{}', %JSON, 'Content-Encoding' => 'gzip'), $path, 415,
            "$path: gzip");
        is_error(ask(POST => $path, 'x' x (4 << 20 | 1), %JSON), $path, 413, "$path: too long");
    }
};

subtest 'languages' => sub {
    for my $code (qw(fr auto e english ru-), "r\0u", 'x' x 5000) {
        my $name = substr $code, 0, 8;
        is_error(ask(POST => '/libre/translate', { q => 'x', source => 'en', target => $code }, %JSON),
            '/libre/translate', 400, "into \"$name\"");
        is_error(ask(POST => '/deepl/v2/translate', { text => ['x'], target_lang => $code }, %JSON),
            '/deepl/v2/translate', 400, "into \"$name\"");
        next if $code eq 'auto';
        is_error(ask(POST => '/libre/translate', { q => 'x', source => $code, target => 'ru' }, %JSON),
            '/libre/translate', 400, "from \"$name\"");
        is_error(ask(POST => '/deepl/v2/translate', { text => ['x'], source_lang => $code,
            target_lang => 'RU' }, %JSON), '/deepl/v2/translate', 400, "from \"$name\"");
    }
    is_error(ask(POST => '/deepl/v2/translate', { text => ['x'], target_lang => 'RU',
        source_lang => 'EN', glossary_id => 'a' }, %JSON), '/deepl/v2/translate', 400, 'a glossary');
};

subtest 'who asks' => sub {
    my %ask = (libre => [ '/named/libre/translate', { q => 'x', source => 'en', target => 'ru' } ],
        deepl => [ '/named/deepl/v2/translate', { text => ['x'], target_lang => 'RU' } ]);
    for my $name (sort keys %ask) {
        my ($path, $what) = @{ $ask{$name} };
        is_error(ask(POST => $path, $what, %JSON), $path, 403, "$name: nobody");
        is_error(ask(POST => $path, $what, %JSON, Authorization => "$_ nobody"), $path, 403,
            "$name: $_") for 'DeepL-Auth-Key', 'Bearer';
        is ask(POST => $path, $what, %JSON, Authorization => 'DeepL-Auth-Key key-of-alice')->{status},
            200, "$name: somebody";
    }
    is_error(ask(GET => "/named/deepl/v2/$_"), '/deepl', 403, $_) for qw(usage languages);

    # which its clients ask for without a key
    is ask(GET => "/named/libre/$_")->{status}, 200, $_ for qw(languages health frontend/settings);
};

subtest 'upstream' => sub {
    my %case = (
        'refuses the text'   => [ 400, status => 400, message => 'the text is bad' ],
        'refuses us'         => [ 502, status => 403 ],
        'breaks'             => [ 424, status => 500, process => 1 ],
        'hangs up'           => [ 424, reset => 'request' ],
    );
    for my $name (sort keys %case) {
        my ($status, %fault) = @{ $case{$name} };
        my %ask = ('/libre/translate' => { q => $name, source => 'en', target => 'ru' },
            '/deepl/v2/translate' => { text => ["$name: deepl"], target_lang => 'RU' });
        for my $path (sort keys %ask) {
            $e->fault(submit => 1, %fault);
            my $r = ask(POST => $path, $ask{$path}, %JSON);
            is_error($r, $path, $status, "$name: $path");
            is $r->header('x-should-retry'), 'false', '... not to be repeated by itself';
            $e->clear_faults;
        }
    }
};

subtest 'whatever is accepted' => sub {
    for my $accept ('text/plain', 'text/event-stream', 'image/png', 'text/html;q=0.5') {
        my %headers = (%JSON, Accept => $accept, Prefer => 'wait=1', 'Idempotency-Key' => $accept);
        my $r = ask(POST => '/libre/translate', { q => "For $accept", source => 'en', target => 'ru' },
            %headers);
        is_deeply $r->json, { translatedText => "echo: For $accept" }, "$accept: JSON" or diag $r->{raw};
        is $r->header('Content-Type'), 'application/json', '... as its type says';
        is $r->header($_), undef, "... no $_" for qw(Preference-Applied Idempotency-Replayed);
        is_error(ask(POST => '/deepl/v2/translate', '{', %headers), '/deepl/v2/translate', 400, $accept);
    }
};

subtest 'a page of the operator' => sub {
    my $r = ask(POST => '/gone/libre/translate', '{}', %JSON);
    is $r->{body}, 'a page', 'takes an error where it is told to';
};

$t->done;
