# LibreTranslate's interface as its clients use it: npm's libretranslate, and the requests of
# Weblate, Mastodon and Discourse.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(encode_json);
use Mojo::Parameters;
use Test::More;
use CompletionAsync::Sdk;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.1 });
my $e = $t->emulator;

$t->define(map { uc "hash_$_" => sha256_hex("key-of-$_") } qw(alice boris wera));
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 8m; %%PROVIDER%% poll_interval 50ms 200ms; }
map_hash_bucket_size 128;
map $completion_async_client_key $owner {
    default         "";
    %%HASH_ALICE%%  alice;
    %%HASH_BORIS%%  boris;
    %%HASH_WERA%%   wera;
}
completion_async_model    yandexgpt/latest;
completion_async_message  system
    "From $completion_async_source_language into $completion_async_target_language.";
log_format seen '$http_x_number $status $completion_async_tags $completion_async_parts $uri';
access_log %%TESTDIR%%/seen.log seen;
server {
    listen 127.0.0.1:%%PORT%%;
    location /libre {
        completion_async_libretranslate  yandex;
        completion_async_languages       en=English ru=Russian de=German zh-Hans=Chinese;
        completion_async_wait            30s;
    }
    location /named {
        completion_async_libretranslate  yandex;
        completion_async_languages       en ru;
        completion_async_wait            30s;
        completion_async_owner           $owner;
    }
}
EOC

my $base = 'http://127.0.0.1:' . $t->port;
my $libre = CompletionAsync::Sdk->of('libretranslate', apiurl => "$base/libre");

if (!$libre) {
    fail 'npm\'s libretranslate is there: run "make deps"';
    $t->done;
    exit;
}


# What the log says of the last request that had a number.
my $number = 0;
sub seen () { wait_until(sub { $t->read_file('seen.log') =~ /^$number (.*)$/m && $1 }) }


sub ask ($path, $what, %headers) {
    return $t->request(POST => $path, body => encode_json($what), timeout => 40,
        headers => { 'Content-Type' => 'application/json', 'X-Number' => ++$number, %headers });
}


sub form (@fields) { Mojo::Parameters->new(@fields)->to_string }


subtest 'npm\'s client' => sub {
    my $translate = sub (%what) { $libre->call('translate', \%what) };

    my $r = $translate->(query => 'Hello', source => 'en', target => 'ru');
    is $r->{value}, 'echo: Hello', 'a text' or diag explain $r;
    like $e->said, qr/From English into Russian\./, '... upstream is told its languages';
    is $e->sent->{jsonSchema}, undef, '... and not asked for one';

    $r = $translate->(query => '[language=de] Hallo', target => 'ru');
    is $r->{value}, 'echo: [language=de] Hallo', 'detection' or diag explain $r;
    ok $e->sent->{jsonSchema}{schema}{properties}{$_}, "... asks for the $_" for qw(language text);

    my @texts = map { "Text $_ of twenty" } 1 .. 20;
    is $e->costs(sub { $r = $translate->(query => \@texts, source => 'en', target => 'de') }), 20,
        'an array of twenty is twenty operations';
    is_deeply $r->{value}, [ map { "echo: $_" } @texts ], '... in order' or diag explain $r;

    $r = $translate->(query => '<p>Hi, <b>you</b></p>', source => 'en', target => 'zh-Hans',
        format => 'html', apiKey => 'anything');
    is $r->{value}, 'echo: <p>Hi, <b>you</b></p>', 'HTML, and a key that goes nowhere'
        or diag explain $r;
    like $e->said, qr/into Chinese\./, '... a language with a script';

    is $translate->(query => 'x', target => 'fr')->{error}{class}, 'TypeError',
        'a language that is not listed is an error of its own';
    $r = $translate->(query => '[outcome=failed:3:broken] x', source => 'en', target => 'ru');
    is $r->{error}, undef, 'of an error it reads JSON';
    is $r->{value}, undef, '... that has no translation';
};

subtest 'a body of each kind' => sub {
    my @fields = (q => 'Hello & bye, 100% + é', source => 'en', target => 'de');
    my $said = { translatedText => 'echo: Hello & bye, 100% + é' };
    my $query = form(@fields);
    my %field = @fields;
    my $multipart = join '', map {
        "--sep\r\nContent-Disposition: form-data; name=\"$_\"\r\n\r\n$field{$_}\r\n"
    } sort keys %field;
    utf8::encode($multipart);

    my %body = (
        JSON        => [ 'application/json', encode_json(\%field) ],
        'JSON, UTF-8' => [ 'application/json; charset=utf-8', encode_json(\%field) ],
        'a form'    => [ 'application/x-www-form-urlencoded', $query ],
        'multipart' => [ 'multipart/form-data; boundary=sep', "$multipart--sep--\r\n" ],
        'multipart, quoted' => [ 'multipart/form-data; boundary="sep"', "$multipart--sep--\r\n" ],
    );
    for my $kind (sort keys %body) {
        my ($type, $body) = @{ $body{$kind} };
        my $r = $t->request(POST => '/libre/translate', body => $body, timeout => 40,
            headers => { 'Content-Type' => $type });
        is $r->{status}, 200, $kind or diag $r->{raw};
        is_deeply $r->json, $said, '... translated';
    }
    my $r = $t->request(POST => "/libre/translate?$query", timeout => 40);
    is_deeply $r->json, $said, 'the query' or diag $r->{raw};
    is $e->submits('Hello & bye, 100% + é'), 1, 'all of them are one text';

    # what nginx keeps in a file
    my $long = join ' ', map { "Long text $_ & é." } 1 .. 4000;
    my @long = (q => $long, source => 'en', target => 'de');
    my $part = join '', map { "--sep\r\nContent-Disposition: form-data; name=\"$_->[0]\"\r\n\r\n$_->[1]\r\n" }
        [ target => 'de' ], [ q => $long ], [ source => 'en' ];
    utf8::encode($part);
    my %long = (
        'JSON'      => [ 'application/json', encode_json({@long}) ],
        'a form'    => [ 'application/x-www-form-urlencoded', form(@long) ],
        'multipart' => [ 'multipart/form-data; boundary=sep', "$part--sep--\r\n" ],
    );
    for my $kind (sort keys %long) {
        $r = $t->request(POST => '/libre/translate', body => $long{$kind}[1], timeout => 40,
            headers => { 'Content-Type' => $long{$kind}[0] });
        is $r->{status}, 200, "a long one, $kind" or diag $r->{raw};
        is $r->json->{translatedText} =~ s/echo: //gr, $long, '... all of it';
    }
};

subtest 'detection' => sub {
    my $r = ask('/libre/translate', { q => '[language=ru] Привет', source => 'auto',
        target => 'en' });
    is $r->json->{detectedLanguage}{language}, 'ru', 'of a text' or diag $r->{raw};
    cmp_ok $r->json->{detectedLanguage}{confidence}, '>', 0, '... with some confidence';
    is $r->json->{translatedText}, 'echo: [language=ru] Привет', '... which is translated';

    $r = ask('/libre/translate', { q => [ map { "[language=$_] x" } qw(de ru) ], source => 'auto',
        target => 'en' });
    is_deeply [ map { $_->{language} } @{ $r->json->{detectedLanguage} } ], [qw(de ru)],
        'of each of an array' or diag $r->{raw};

    $r = ask('/libre/translate', { q => 'x', source => 'en', target => 'ru' });
    is $r->json->{detectedLanguage}, undef, 'none where it is known';

    is $e->costs(sub { $r = ask('/libre/detect', { q => '[language=de] Was?' }) }), 1,
        'alone it is an operation';
    is $r->{status}, 200, '... answered' or diag $r->{raw};
    is $r->json->[0]{language}, 'de', '... with the language';
    cmp_ok $r->json->[0]{confidence}, '>', 0, '... and some confidence';
};

subtest 'what a client may ask first' => sub {
    my $r = $t->request(GET => '/libre/languages');
    is $r->header('Content-Type'), 'application/json', 'the languages';
    is_deeply [ map { "$_->{code} $_->{name}" } @{ $r->json } ], [ 'en English', 'ru Russian',
        'de German', 'zh-Hans Chinese' ], '... as configured';
    is_deeply [ sort @{ $_->{targets} } ], [ sort qw(en ru de zh-Hans) ], "... $_->{code} into each"
        for @{ $r->json };
    is_deeply $t->request(GET => '/libre/health')->json, { status => 'ok' }, 'its health';
    $r = $t->request(GET => '/libre/frontend/settings');
    is $r->{status}, 200, 'the settings of a page';
    is ref $r->json, 'HASH', '... in JSON';
};

subtest 'a language in any case' => sub {
    for my $code (qw(EN En en)) {
        my $r = ask('/libre/translate', { q => "Code $code", source => $code, target => 'ZH-HANS' });
        is $r->json->{translatedText}, "echo: Code $code", $code or diag $r->{raw};
    }
    my $r = ask('/libre/translate', { q => '[language=ZH-hans] x', source => 'auto', target => 'en' });
    is $r->json->{detectedLanguage}{language}, 'zh-Hans', 'is answered as configured';
};

subtest 'the key' => sub {
    my %text = (q => 'The same text', source => 'en', target => 'ru');
    my $named = sub ($key, %headers) { ask('/named/translate', { %text, defined $key
        ? (api_key => $key) : () }, %headers) };

    my %bearer = map { $_ => "Bearer key-of-$_" } qw(alice boris);
    is $e->costs(sub { is $named->('key-of-alice')->{status}, 200, 'a member of the body' }), 1, '... pays';
    is $e->costs(sub { is $named->(undef, Authorization => $bearer{alice})->{status}, 200, 'a header' }), 0,
        '... of the same client does not';
    is $e->costs(sub { is $named->('key-of-alice', Authorization => $bearer{alice})->{status}, 200,
        'both' }), 0, '... neither';
    is $e->costs(sub { is $named->('key-of-boris')->{status}, 200, 'another client' }), 1, '... pays';

    is $e->costs(sub {
        my $r = $named->('key-of-alice', Authorization => $bearer{boris});
        is $r->{status}, 403, 'two that differ';
        is ref \$r->json->{error}, 'SCALAR', '... in its shape';
        is $named->('nobody')->{status}, 403, 'one that is not known';
        is $named->(undef)->{status}, 403, 'none';
    }), 0, '... send nothing';

    # nginx's own log has the headers, and no body
    $t->secret('key-of-wera');
    is $named->('key-of-wera')->{status}, 200, 'one that is in bodies alone';

    my $r = $t->request(POST => '/named/translate', body => form(%text, api_key => 'key-of-alice'),
        headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
    is $r->{status}, 200, 'of a form' or diag $r->{raw};
    is ask('/named/detect', { q => 'x', api_key => 'key-of-boris' })->{status}, 200, '... to detect';
    is ask('/named/detect', { q => 'x' })->{status}, 403, '... which needs one, too';
};

# As their sources send them: weblate/machinery/libretranslate.py.
subtest 'Weblate' => sub {
    my %headers = (Accept => 'application/json; charset=utf-8', 'Accept-Encoding' => 'gzip, deflate',
        'User-Agent' => 'Weblate/5.9', Referer => 'https://weblate.example.com/');
    my $r = $t->request(GET => '/libre/languages', headers => \%headers);
    is_deeply [ map { $_->{code} } @{ $r->json } ], [qw(en ru de zh-Hans)], 'the languages';

    my @texts = map { "Press [X${_}X] and wait" } 1 .. 20;
    $r = ask('/libre/translate', { api_key => '', q => \@texts, source => 'en', target => 'ru' },
        %headers);
    is_deeply $r->json->{translatedText}, [ map { "echo: $_" } @texts ], 'a batch' or diag $r->{raw};
    is seen(), '200 - 20 /libre/translate', '... as plain text';
};

# app/lib/translation_service/libre_translate.rb: it reads the n-th of both members.
subtest 'Mastodon' => sub {
    my $html = '<p>Guten Morgen, <span class="h-card"><a href="https://social.example/@a?b=1&amp;c"'
        . ' class="u-url mention">@<span>a</span></a></span>!<br />'
        . '<span translate="no">:wave:</span> 💐</p>';
    my %ask = (source => 'auto', target => 'en', format => 'html', api_key => '');
    my %headers = ('User-Agent' => 'Mastodon/4.5 (http.rb/5.3; +https://social.example/)',
        'Accept-Encoding' => 'gzip');

    my $r = ask('/libre/translate', { %ask, q => [ "[language=de] $html", '[language=de] CW' ] },
        %headers);
    is_deeply $r->json->{translatedText}, [ "echo: [language=de] $html", 'echo: [language=de] CW' ],
        'a post and its warning' or diag $r->{raw};
    is_deeply [ map { $r->json->{detectedLanguage}[$_]{language} } 0, 1 ], [qw(de de)],
        '... each with its language';
    is seen(), '200 kept 2 /libre/translate', '... with all of its tags';

    $r = ask('/libre/translate', { %ask, source => 'de', q => [$html] }, %headers);
    is_deeply $r->json, { translatedText => ["echo: $html"] }, 'one whose language it knows';
};

# app/services/discourse_translator/provider/libre_translate.rb: forms, and a status of 200 only.
subtest 'Discourse' => sub {
    my $post = sub ($path, $body) {
        return $t->request(POST => $path, body => $body, timeout => 40, headers => {
            'Content-Type' => 'application/x-www-form-urlencoded', 'User-Agent' => 'excon/0.112' });
    };
    for my $key ('api_key=', 'api_key') {
        my $r = $post->('/libre/detect', form(q => "[language=ru] Привет, $key") . "&$key");
        is $r->json->[0]{language}, 'ru', "detects, $key" or diag $r->{raw};

        $r = $post->('/libre/translate', form(q => "<p>Привет,\n$key</p>", source => 'ru',
            target => 'en', format => 'html') . "&$key");
        is $r->json->{translatedText}, "echo: <p>Привет,\n$key</p>", '... and translates'
            or diag $r->{raw};
    }
    is $t->request(GET => '/libre/languages')->{status}, 200, 'and asks for the languages';
};

undef $libre;
$t->done;
