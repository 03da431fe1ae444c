# DeepL's interface, request by request; its clients are in other tests.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json false);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
my $e = $t->emulator;

$t->run_location(
    http   => 'completion_async_provider slow { zone slow 1m; %%PROVIDER%% submit_rate 1r/m;'
        . ' submit_queue 4 90s; } log_format tags "$status $completion_async_parts $completion_async_tags";',
    server => <<'EOS');
completion_async_model      yandexgpt-lite;
completion_async_languages  en-US=English ru=Russian de=German;
completion_async_message    system "To $completion_async_target_language, $completion_async_input_formality";
client_max_body_size        0;
access_log %%TESTDIR%%/tags.log tags;
location /deepl { completion_async_deepl yandex; }
location /short { completion_async_deepl yandex; completion_async_wait 300ms; }
location /queued { completion_async_deepl slow; completion_async_wait 500ms; }
location /owned { completion_async_deepl yandex; completion_async_owner $arg_who; }
EOS


sub ask ($path, $body, $type = 'application/json') {
    return $t->request(POST => $path, body => ref $body ? encode_json($body) : $body,
        headers => { 'Content-Type' => $type });
}

sub form ($body) { ask('/deepl/v2/translate', $body, 'application/x-www-form-urlencoded') }

sub is_error ($r, $status, $message, $name) {
    is $r->{status}, $status, $name or diag $r->{body};
    is_deeply [ keys %{ $r->json } ], ['message'], '... in the shape of the interface';
    like $r->json->{message}, $message, '... what it says';
}


subtest 'texts' => sub {
    my $r = form('text=One&text=Two&text=One&text=&target_lang=ru&source_lang=EN-us&formality=less'
        . '&show_billed_characters=1');
    is $r->{status}, 200, 'of a form' or diag $r->{body};
    is_deeply $r->json, { translations => [
        map { { text => $_, detected_source_language => 'EN-US' } } 'echo: One', 'echo: Two', 'echo: One', '',
    ] }, 'in order';
    my @asked = $e->asked;
    is_deeply [ sort map { $_->{messages}[-1]{text} } @asked ], [qw(One Two)], 'each once';
    is $asked[0]{messages}[0]{text}, 'To Russian, less', 'with what the client says';
    ok !exists $asked[0]{jsonSchema}, 'nothing is to be found out';

    $r = ask('/deepl/v2/translate', { text => [ '[language=de] Eins', 'One' ], target_lang => 'RU' });
    is_deeply [ map { $_->{detected_source_language} } @{ $r->json->{translations} } ], [qw(DE EN-US)],
        'of JSON, with the languages found' or diag $r->{body};
    is scalar $e->asked, 2, 'another question than before';
    is form('text%5B%5D=One&formality=less&target_lang=ru&source_lang=EN-US')->json->{translations}[0]{text}, 'echo: One',
        'as some spell it';
    is scalar $e->asked, 0, '... and known';
};

subtest 'tags' => sub {
    my %ask = (text => [ 'A <x id="1"></x>', 'B' ], target_lang => 'de', source_lang => 'ru');
    ask('/deepl/v2/translate', { %ask, tag_handling => 'xml' });
    ask('/deepl/v2/translate', {%ask});
    $e->set(outcome => 'says:no tags');
    ask('/deepl/v2/translate', { %ask, tag_handling => 'html', target_lang => 'ru' });
    $e->set(outcome => 'final');
    my @log;
    wait_until(sub { (@log = $t->read_file('tags.log') =~ /^(200 2 \S+)$/mg) >= 5 });
    is_deeply [ @log[ -3 .. -1 ] ], [ '200 2 kept', '200 2 -', '200 2 changed' ], 'compared';
    $e->asked;
};

subtest 'what fails' => sub {
    my %ask = (target_lang => 'ru', source_lang => 'de');
    is_error ask('/deepl/v2/translate', { %ask, text => [ 'Good', '[outcome=filter] bad' ] }), 424, qr/\S/,
        'one of two';
    is_error ask('/short/v2/translate', { %ask, text => ['[delay=2] slow'] }), 504, qr/not ended/,
        'a wait that ends';
    is_error ask('/owned/v2/translate', { %ask, text => ['x'] }), 403, qr/name/, 'nobody';
    is_error $t->request(GET => '/owned/v2/usage'), 403, qr/name/, '... in all of it';
    is $t->request(GET => '/owned/v2/usage?who=me')->{status}, 200, 'somebody';
    $e->asked;
};

subtest 'a line' => sub {
    my $body = { text => [ 'First', 'Second' ], target_lang => 'ru', source_lang => 'de' };
    is_error ask('/queued/v2/translate', $body), 504, qr/not ended/, 'a wait ends there as well';
    is scalar $e->asked, 1, 'one of two was sent';
};

subtest 'a name of the request' => sub {
    my %ask = (target_lang => 'ru', source_lang => 'de');
    my $named = sub (@text) {
        return $t->request(POST => '/deepl/v2/translate', body => encode_json({ %ask, text => \@text }),
            headers => { 'Content-Type' => 'application/json', 'Idempotency-Key' => 'a' });
    };
    my $r = $named->('Named', 'Other');
    is $r->{status}, 200, 'is taken' or diag $r->{body};
    is $named->('Named', 'Other')->header('Idempotency-Replayed'), 'true', 'and known';
    is_error $named->('Named', 'Others'), 422, qr/another/, 'for these texts alone';
    is scalar $e->asked, 2, 'paid for once';
};

subtest 'about' => sub {
    my @languages = map { { language => $_->[0], name => $_->[1] } }
        [ 'EN-US', 'English' ], [ 'RU', 'Russian' ], [ 'DE', 'German' ];
    is_deeply $t->request(GET => '/deepl/v2/languages')->json, \@languages, 'languages';
    is_deeply $t->request(GET => '/deepl/v2/languages?type=target')->json,
        [ map { { %$_, supports_formality => false } } @languages ], '... as targets';
    is_error $t->request(GET => '/deepl/v2/languages?type=x'), 400, qr/"type"/, '... as neither';
    is_deeply $t->request(GET => '/deepl/v2/usage')->json,
        { character_count => 0, character_limit => 1e12 }, 'usage';
    is_deeply $t->request(GET => '/deepl/v2/glossary-language-pairs')->json,
        { supported_languages => [] }, 'glossaries';

    my %ask = (text => ['x'], target_lang => 'ru');
    my $path = '/deepl/v2/translate';
    is_error ask($path, { %ask, glossary_id => 'a' }), 400, qr/glossary_id/, 'a glossary';
    is_error ask($path, { %ask, target_lang => 'en' }), 400, qr/"target_lang"/, 'a language';
    is_error ask($path, { text => ['x'] }), 400, qr/"target_lang"/, 'none';
    is_error ask($path, { %ask, text => [ 'x', 1 ] }), 400, qr/"text"/, 'a number';
    is_error ask($path, { target_lang => 'ru' }), 400, qr/"text"/, 'no text';
    is_error ask($path, 'x', 'text/plain'), 415, qr/supported/, 'a type';
    is_error ask($path, 'x' x (4 << 20 | 1)), 413, qr/large/, 'a long body';
    is_error $t->request(GET => $path), 405, qr/./, 'a method';
    is_error ask('/deepl/v2/document', 'x'), 404, qr/./, 'documents';
    is_error $t->request(GET => '/deepl/'), 404, qr/./, 'another path';
    is scalar $e->asked, 0, 'nothing was paid for';
};

$t->done;
