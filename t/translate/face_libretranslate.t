# LibreTranslate's interface, request by request; its clients are in other tests.

use strict;
use warnings;
use v5.36;
use utf8;

use Digest::SHA qw(sha256_hex);
use Encode qw(encode);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $KEY = 'a-key-of-a-client';

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
my $e = $t->emulator;
my $who = sha256_hex($KEY);

$t->run($t->http_conf(<<"EOC"));
map_hash_bucket_size 128;
map \$completion_async_client_key \$known { default ""; $who one; }
log_format tags "\$request_uri \$status \$completion_async_state \$completion_async_tags";
completion_async_provider yandex {
    zone operations 2m;
    poll_interval 20ms 100ms;
    %%PROVIDER%%
}
completion_async_model      yandexgpt-lite;
completion_async_languages  en=English ru=Russian de zh-Hant;
completion_async_message    system
    "From \$completion_async_source_language into \$completion_async_target_language";
server {
    listen 127.0.0.1:%%PORT%%;
    access_log %%TESTDIR%%/tags.log tags;
    location /libre { completion_async_libretranslate yandex; }
    location /short { completion_async_libretranslate yandex; completion_async_wait 300ms; }
    location /owned { completion_async_libretranslate yandex; completion_async_owner \$known; }
    location /parts { completion_async_libretranslate yandex; completion_async_split 16 max=8; }
    location /metrics { completion_async_metrics; }
}
EOC


sub ask ($path, $body, %headers) {
    return $t->request(POST => $path, body => ref $body ? encode_json($body) : $body,
        headers => { 'Content-Type' => 'application/json', %headers });
}

sub translate ($q, %more) {
    return ask('/libre/translate', { q => $q, source => 'en', target => 'ru', %more });
}

sub is_error ($r, $status, $error, $name) {
    is $r->{status}, $status, $name or diag $r->{body};
    is $r->header('Content-Type'), 'application/json', '... in JSON';
    my $json = $r->json;
    is_deeply [ keys %$json ], ['error'], '... in the shape of the interface';
    like $json->{error}, $error, '... what it says';
}


subtest 'a text' => sub {
    my $r = translate('Hello');
    is $r->{status}, 200, 'is answered' or diag $r->{body};
    is_deeply $r->json, { translatedText => 'echo: Hello' }, 'with its translation';
    is $r->header('Cache-Control'), 'no-store', 'for this client';
    ok !defined $r->header('Location'), 'and no id';

    my ($asked) = $e->asked;
    is_deeply $asked->{messages}, [
        { role => 'system', text => 'From English into Russian' }, { role => 'user', text => 'Hello' }
    ], 'the languages are in the messages by their names';
    ok !exists $asked->{jsonSchema}, 'and nothing is to be found out';

    is_deeply translate('Hello')->json, $r->json, 'it is remembered';
    is scalar $e->asked, 0, '... and not paid for again';
    translate('Hello', target => 'DE');
    is(($e->asked)[0]{messages}[0]{text}, 'From English into de', 'a code in capitals, without a name');
};

subtest 'as values' => sub {
    my %type = (form => 'application/x-www-form-urlencoded',
        multipart => 'multipart/form-data; boundary="x-y"');
    my $part = sub ($name, $value) {
        return "--x-y\r\nContent-Disposition: form-data; name=\"$name\"\r\n\r\n$value\r\n";
    };
    my $r = ask('/libre/translate', 'q=A+form%21&source=en&target=ru&format=html&api_key=',
        'Content-Type' => $type{form});
    is_deeply $r->json, { translatedText => 'echo: A form!' }, 'a form' or diag $r->{body};
    $r = ask('/libre/translate', $part->(q => "Of\r\nparts") . $part->(source => 'en')
        . $part->(api_key => '') . $part->(target => 'ru') . "--x-y--\r\n", 'Content-Type' => $type{multipart});
    is_deeply $r->json, { translatedText => "echo: Of\r\nparts" }, 'multipart' or diag $r->{body};
    $r = $t->request(POST => '/libre/translate?q=A%20query&source=en&target=ru');
    is_deeply $r->json, { translatedText => 'echo: A query' }, 'a query' or diag $r->{body};
    is scalar $e->asked, 3, 'all of them were asked for';
};

subtest 'several' => sub {
    my @q = ('One', '', 'Two', 'One', ' ', 'Three');
    my $r = translate(\@q, source => 'auto');
    is $r->{status}, 200, 'are answered' or diag $r->{body};
    is_deeply $r->json->{translatedText},
        [ 'echo: One', '', 'echo: Two', 'echo: One', ' ', 'echo: Three' ], 'in order';
    is_deeply $r->json->{detectedLanguage}, [ map { { language => 'en', confidence => /\S/ ? 100 : 0 } } @q ],
        'each with a language';
    my @asked = $e->asked;
    is_deeply [ sort map { $_->{messages}[-1]{text} } @asked ], [qw(One Three Two)], 'each once';
    is $asked[0]{messages}[0]{text}, 'From any language into Russian', 'from whichever it is';
    is_deeply $asked[0]{jsonSchema}{schema}{properties}{language}{enum}, [qw(en ru de zh-Hant)],
        'of those there are';
    is_deeply translate([])->json, { translatedText => [] }, 'none of them';
    is_deeply translate('', source => 'auto')->json,
        { translatedText => '', detectedLanguage => { language => 'en', confidence => 0 } }, 'an empty one';
    is scalar $e->asked, 0, '... costs nothing';
};

subtest 'what a model says' => sub {
    my %said = (
        '{"language":"RU","text":"a"}' => [ 'a', 'ru', 100 ],
        '{"language":"tlh","text":"b"}' => [ 'b', 'en', 0 ],
        'Just prose'                  => [ 'Just prose', 'en', 0 ],
        '{"language":"ru"'            => [ '{"language":"ru"', 'en', 0 ],
        "```json\n{\"text\":\"c\",\"language\":\"de\"}\n```" => [ 'c', 'de', 100 ],
    );
    for my $says (sort keys %said) {
        my ($text, $language, $confidence) = @{ $said{$says} };
        $e->set(outcome => "says:$says");
        is_deeply translate("What is $says", source => 'auto')->json, { translatedText => $text,
            detectedLanguage => { language => $language, confidence => $confidence } }, $says;
    }
    $e->set(outcome => 'final');
    my $r = ask('/libre/detect', { q => '[language=de] Guten Tag' });
    is_deeply $r->json, [ { language => 'de', confidence => 100 } ], 'detect' or diag $r->{body};
    my $asked = ($e->asked)[-1];
    unlike $asked->{messages}[0]{text}, qr/into/, '... is not told to translate';
    is_deeply $asked->{jsonSchema}{schema}{required}, ['language'], '... and asks for no text';
};

subtest 'tags' => sub {
    translate('A <b>bold</b> one', format => 'html');
    $e->set(outcome => 'says:A <b>bold one');
    translate('Another <b>bold</b> one', format => 'html');
    translate('Another <b>bold</b> one', format => 'text');
    $e->set(outcome => 'final');
    my @log;
    wait_until(sub { (@log = $t->read_file('tags.log') =~ /(completed.*)/g) >= 3 });
    is_deeply [ @log[ -3 .. -1 ] ], [ 'completed kept', 'completed changed', 'completed -' ], 'compared';
    my $page = $t->request(GET => '/metrics')->{body};
    like $page, qr/tags_total\{provider="yandex",result="kept"\} 2\n/, 'counted';
    like $page, qr/tags_total\{provider="yandex",result="changed"\} 1\n/, '... both';
    $e->asked;
};

subtest 'long ones' => sub {
    my $long = "First sentence. Second one.\n\nThird.";
    my $r = ask('/parts/translate', { q => [ 'short', $long ], source => 'auto', target => 'de' });
    is_deeply $r->json->{translatedText},
        [ 'echo: short', "echo: First sentence. echo: Second one.\n\necho: Third." ], 'joined' or diag $r->{body};
    is_deeply [ map { $_->{language} } @{ $r->json->{detectedLanguage} } ], [qw(en en)], 'one language each';
    is scalar $e->asked, 4, 'in parts';
    is_error ask('/parts/translate', { q => [ 1 .. 9 ], source => 'en', target => 'de' }), 400,
        qr/"q" must be a string/, 'numbers';
    is_error ask('/parts/translate', { q => [ 'a' .. 'i' ], source => 'en', target => 'de' }), 413,
        qr/more than 8 parts/, 'too many';
};

subtest 'what fails' => sub {
    my $r = translate([ 'Good', '[outcome=failed:8:no luck]' ]);
    is_error $r, 424, qr/no luck/, 'one of two';
    is scalar $e->asked, 2, 'were asked for';
    is_error translate([ 'Good', '[outcome=failed:8:no luck]' ]), 424, qr/no luck/, 'once more';
    is_deeply [ map { $_->{messages}[-1]{text} } $e->asked ], ['[outcome=failed:8:no luck]'],
        'no more than that one is paid for again';

    $r = ask('/short/translate', { q => '[delay=2] slow', source => 'en', target => 'ru' });
    is_error $r, 504, qr/not ended/, 'a wait that ends';
    $r = ask('/libre/translate', { q => '[delay=2] slow', source => 'en', target => 'ru' });
    is $r->{status}, 200, 'the repeat has it';
    is scalar $e->asked, 1, 'and it was paid for once';
};

subtest 'who it is' => sub {
    my %ask = (q => 'Mine', source => 'en', target => 'ru');
    is_error ask('/owned/translate', \%ask), 403, qr/name/, 'nobody';
    is_error ask('/owned/translate', { %ask, api_key => 'other' }), 403, qr/name/, 'an unknown key';
    is ask('/owned/translate', { %ask, api_key => $KEY })->{status}, 200, 'a known one';
    is ask('/owned/translate', \%ask, Authorization => "Bearer $KEY")->{status}, 200, 'in a header';
    is_error ask('/owned/translate', { %ask, api_key => 'other' }, Authorization => "Bearer $KEY"), 403,
        qr/another/, 'two keys';
    is $t->request(GET => '/owned/languages')->{status}, 200, 'the languages are everybody\'s';
    is scalar $e->asked, 1, 'one was paid for';
};

subtest 'about' => sub {
    my @codes = qw(en ru de zh-Hant);
    is_deeply $t->request(GET => '/libre/languages')->json, [
        map { { code => $_->[0], name => $_->[1], targets => \@codes } }
            [ 'en', 'English' ], [ 'ru', 'Russian' ], [ 'de', 'de' ], [ 'zh-Hant', 'zh-Hant' ]
    ], 'languages';
    is_deeply $t->request(GET => '/libre/health')->json, { status => 'ok' }, 'health';
    is $t->request(GET => '/libre/frontend/settings')->json->{language}{source}{code}, 'auto', 'settings';
    is_error $t->request(POST => '/libre/translate_file', body => 'x'), 403, qr/not served/, 'files';
    is_error $t->request(GET => '/libre/suggest'), 404, qr/./, 'another path';
    is_error $t->request(GET => '/libre/translate'), 405, qr/./, 'another method';
    is_error ask('/libre/translate', 'x', 'Content-Type' => 'text/plain'), 415, qr/supported/, 'a type';
    is_error translate('x', target => 'xx'), 400, qr/"target" is none/, 'a language';
    is_error translate('x', target => 'auto'), 400, qr/"target" is none/, 'auto as a target';
    is_error translate('x', source => undef), 400, qr/"source" must be given/, 'no source';
    is_error ask('/libre/translate', { source => 'en', target => 'ru' }), 400, qr/"q"/, 'no text';
};

$t->done;
