# npm's deepl-node with nothing but its server's URL changed: texts, languages, usage, errors as its
# classes; and Weblate's requests to DeepL.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use CompletionAsync::Sdk;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.1 });
my $e = $t->emulator;

$t->define(map { uc "hash_$_" => sha256_hex("key-of-$_") } qw(alice boris));
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 8m; %%PROVIDER%% poll_interval 50ms 200ms; }
map_hash_bucket_size 128;
map $completion_async_client_key $owner {
    default         "";
    %%HASH_ALICE%%  alice;
    %%HASH_BORIS%%  boris;
}
completion_async_model    yandexgpt/latest;
completion_async_message  system
    "From $completion_async_source_language into $completion_async_target_language.";
log_format seen '$http_x_number $status $completion_async_tags $completion_async_parts $uri';
access_log %%TESTDIR%%/seen.log seen;
server {
    listen 127.0.0.1:%%PORT%%;
    location /deepl {
        completion_async_deepl      yandex;
        completion_async_languages  en=English "en-US=American English" ru=Russian de=German;
        completion_async_owner      $owner;
        completion_async_wait       30s;
    }
    location /soon {
        completion_async_deepl      yandex;
        completion_async_languages  en ru;
        completion_async_wait       0;
    }
}
EOC

my $base = 'http://127.0.0.1:' . $t->port;
my $deepl = CompletionAsync::Sdk->of('deepl-node', serverUrl => "$base/deepl",
    authKey => 'key-of-alice');

if (!$deepl) {
    fail 'npm\'s deepl-node is there: run "make deps"';
    $t->done;
    exit;
}


# What the log says of the last request that had a number.
my $number = 0;
sub seen () { wait_until(sub { $t->read_file('seen.log') =~ /^$number (.*)$/m && $1 }) }


subtest 'a text' => sub {
    my $r = $deepl->call('translateText', 'Hello', 'en', 'ru');
    is $r->{value}{text}, 'echo: Hello', 'translated' or diag explain $r;
    is $r->{value}{detectedSourceLang}, 'en', 'from the language it was said to be in';
    like $e->said, qr/From English into Russian\./, 'upstream is told both';
    is $e->sent->{jsonSchema}, undef, '... and not asked for one';
    is $e->sent->{messages}[-1]{text}, 'Hello', '... the text as it is';
};

subtest 'detection' => sub {
    my $r = $deepl->call('translateText', '[language=de] Hallo', undef, 'ru');
    is $r->{value}{text}, 'echo: [language=de] Hallo', 'translated' or diag explain $r;
    is $r->{value}{detectedSourceLang}, 'de', 'from the language it is in';
    like $e->said, qr/From any language into Russian\./, 'upstream is told what is known';
    ok $e->sent->{jsonSchema}{schema}{properties}{$_}, "... and asked for the $_" for qw(language text);
};

subtest 'an array' => sub {
    my @texts = map { "Text $_ of twenty" } 1 .. 20;
    my $r;
    is $e->costs(sub { $r = $deepl->call('translateText', \@texts, 'en', 'de') }), 20,
        'twenty texts are twenty operations';
    is_deeply [ map { $_->{text} } @{ $r->{value} } ], [ map { "echo: $_" } @texts ], '... in order'
        or diag explain $r;
    is_deeply [ map { $_->{detectedSourceLang} } @{ $r->{value} } ], [ ('en') x 20 ],
        '... each from its language';

    my @mixed = map { "[language=$_] of several" } qw(ru en de);
    $r = $deepl->call('translateText', \@mixed, undef, 'en-US');
    is_deeply [ map { $_->{detectedSourceLang} } @{ $r->{value} } ], [qw(ru en de)],
        'each of its own' or diag explain $r;
    like $e->said, qr/into American English\./, '... into the language of a region';
    is_deeply $deepl->call('translateText', [], 'en', 'de')->{error}{class}, 'DeepLError',
        'none is an error';
};

subtest 'what has no effect' => sub {
    my @text = ('A text, please', 'en', 'ru');
    my %option = (formality => 'prefer_more', context => 'a letter', splitSentences => 'off',
        preserveFormatting => \1, modelType => 'quality_optimized', tagHandling => 'xml',
        ignoreTags => ['x'], outlineDetection => \0);
    my $first = $deepl->call('translateText', @text);

    for my $name (sort keys %option) {
        my $r = $deepl->call('translateText', @text, { $name => $option{$name} });
        is $r->{value}{text}, $first->{value}{text}, $name or diag explain $r;
    }
    my $r;
    is $e->costs(sub { $r = $deepl->call('translateText', @text, { map { $_ => $option{$_} }
        qw(formality context) }) }), 0, 'and is the same text';
    is $r->{value}{text}, 'echo: A text, please', '... from memory';

    $r = $deepl->call('translateText', @text, { glossary => 'of-ours' });
    like $r->{error}{message}, qr/^(?:Bad request|Glossary)/, 'a glossary is refused'
        or diag explain $r;
};

subtest 'languages' => sub {
    for my $call (qw(getSourceLanguages getTargetLanguages)) {
        my $r = $deepl->call($call);
        is_deeply [ map { "$_->{code} $_->{name}" } @{ $r->{value} } ], [ 'en English',
            'en-US American English', 'ru Russian', 'de German' ], $call or diag explain $r;
        is scalar(grep { $_->{supportsFormality} } @{ $r->{value} }), 0, '... without formality';
    }
    my $r = $t->request(GET => '/deepl/v2/languages?type=source', headers => {
        Authorization => 'DeepL-Auth-Key key-of-alice' });
    is_deeply [ map { $_->{language} } @{ $r->json } ], [qw(EN EN-US RU DE)], 'in capitals';
    is_deeply $deepl->call('getGlossaryLanguagePairs')->{value}, [], 'none for glossaries';
};

subtest 'usage' => sub {
    my $r = $deepl->call('getUsage');
    is_deeply $r->{value}{character}, { count => 0, limit => 1e12 }, 'nothing of very much'
        or diag explain $r;
};

subtest 'errors as its classes' => sub {
    my @text = ('Hello, errors', 'en', 'ru');
    my $error = sub ($class, $message, $client, @call) {
        my $before = () = $t->read_file('seen.log') =~ /\n/g;
        my $r = $deepl->start(shift @call, \@call, client => $client)->();
        is $r->{error}{class}, $class, "$class: " . ($r->{error}{message} // '') =~ s/[^ -~]//gr
            or diag explain $r;
        like $r->{error}{message}, $message, '... says why';
        my @line = (split /\n/, $t->read_file('seen.log'))[ $before .. $before + 9 ];
        return grep { defined } @line;
    };

    is $error->('AuthorizationError', qr/message: ./, { authKey => 'nobody' }, 'translateText', @text),
        1, 'an unknown key is told once';
    $error->('AuthorizationError', qr/message: ./, { authKey => 'nobody' }, 'getUsage');
    $error->('DeepLError', qr/^Bad request, message: .*target_lang/, {}, 'translateText', 'x', 'en', 'fr');
    $error->('DeepLError', qr/^Bad request, message: .*source_lang/, {}, 'translateText', 'x', 'fr', 'ru');
    $error->('DeepLError', qr/^Not found, message: ./, {}, 'getDocumentStatus',
        { documentId => 'a', documentKey => 'b' });
    is $error->('DeepLError', qr/status code: 424 .*message: ./, {}, 'translateText',
        '[outcome=failed:3:broken] x', 'en', 'ru'), 1, 'a failed operation is told once';

    my @lines = $error->('DeepLError', qr/status code: 504 .*message: ./,
        { serverUrl => "$base/soon", maxRetries => 2 }, 'translateText', '[delay=60] x', 'en', 'ru');
    is_deeply [ map { (split)[1] } @lines ], [ 504, 504 ], 'one that is not ready is asked for again';
    is $e->submits('[delay=60] x'), 1, '... and paid once';
};

# As its machinery sends them: weblate/machinery/deepl.py.
subtest 'Weblate' => sub {
    my %headers = (Accept => 'application/json; charset=utf-8', 'Accept-Encoding' => 'gzip, deflate',
        Authorization => 'DeepL-Auth-Key key-of-alice', 'Content-Type' => 'application/json',
        'User-Agent' => 'Weblate/5.9', Referer => 'https://weblate.example.com/');
    my $ask = sub ($texts, %more) {
        return $t->request(POST => '/deepl/v2/translate', timeout => 40,
            headers => { %headers, 'X-Number' => ++$number },
            body => encode_json({ text => $texts, source_lang => 'EN', target_lang => 'RU',
                formality => 'default', tag_handling => 'xml', ignore_tags => ['x'], %more }));
    };

    for my $what ('languages?type=source', 'languages?type=target', 'glossary-language-pairs') {
        is $t->request(GET => "/deepl/v2/$what", headers => \%headers)->{status}, 200, $what;
    }
    my @texts = map { qq(Press <x id="$_"></x> &amp; wait: $_) } 1 .. 20;
    my $r = $ask->(\@texts);
    is $r->{status}, 200, 'a batch' or diag $r->{raw};
    is_deeply [ map { $_->{text} } @{ $r->json->{translations} } ], [ map { "echo: $_" } @texts ],
        '... in order, with what stands for its placeholders';
    is seen(), '200 kept 20 /deepl/v2/translate', '... all of which came back';

    $r = $ask->([ 'Press <x id="7"></x>' ], context => 'Buttons', formality => 'more',
        model_type => 'prefer_quality_optimized');
    is $r->json->{translations}[0]{text}, 'echo: Press <x id="7"></x>', 'all that it may add';
    is $ask->(['Hello'], glossary_id => 'a')->{status}, 400, '... but for a glossary';
    like $ask->(['Hello'], target_lang => 'FR')->json->{message}, qr/\w/,
        'it reads a message of an error';
};

undef $deepl;
$t->done;
