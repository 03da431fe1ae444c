# Clients that wait for 5 or 10 seconds and a model that takes longer: the repeat finds what was paid
# for, and no client is ever told a 429 or a 503, which some take for "come back in half an hour".
#
# Each client gives up a given number of times, or is told that it is not ready, before upstream
# answers: how long that takes is then the client's affair, and shortened where it lets us.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json);
use Mojo::Parameters;
use Test::More;
use CompletionAsync::Sdk;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 600 }, timeout => 170);
my $e = $t->emulator;

$t->define(CLOSED => $t->closed_port, HOLE => $t->black_hole);
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 8m; %%PROVIDER%% poll_interval 50ms 100ms; }
completion_async_provider slow   { zone slow 1m; %%PROVIDER%% submit_rate 1r/h; }
completion_async_provider small  {
    zone small 1m; %%PROVIDER%% submit_memory 200k; submit_rate 1r/m; submit_queue 10 1h;
}
completion_async_provider full   { zone full 64k; %%PROVIDER%% }
completion_async_provider gone   {
    zone gone 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; request_timeout 1s;
    submit_url http://127.0.0.1:%%CLOSED%%/; operations_url http://127.0.0.1:%%CLOSED%%/;
}
completion_async_provider hole   {
    zone hole 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; connect_timeout 200ms;
    submit_url http://127.0.0.1:%%HOLE%%/; operations_url http://127.0.0.1:%%HOLE%%/;
}
completion_async_provider busy   { zone busy 1m; %%PROVIDER%% request_timeout 1s; }
completion_async_model      yandexgpt/latest;
completion_async_message    system "Into $completion_async_target_language.";
completion_async_languages  en=English ru=Russian de=German;
completion_async_wait       60s;
log_format seen '$status $uri';
access_log %%TESTDIR%%/seen.log seen;
%%METRICS%%
server {
    listen 127.0.0.1:%%PORT%%;
    client_max_body_size 1m;
    location /libre       { completion_async_libretranslate yandex; }
    location /deepl       { completion_async_deepl yandex; }
    location /soon/libre  { completion_async_libretranslate yandex; completion_async_wait 1s; }
    location /soon/deepl  { completion_async_deepl yandex; completion_async_wait 1s; }
    location /slow/libre  { completion_async_libretranslate slow; }
    location /slow/deepl  { completion_async_deepl slow; }
    location /small/libre { completion_async_libretranslate small; completion_async_split off; }
    location /small/deepl { completion_async_deepl small; completion_async_split off; }
    location /full/libre  { completion_async_libretranslate full; }
    location /full/deepl  { completion_async_deepl full; }
    location /gone/libre  { completion_async_libretranslate gone; }
    location /gone/deepl  { completion_async_deepl gone; }
    location /hole/libre  { completion_async_libretranslate hole; }
    location /hole/deepl  { completion_async_deepl hole; }
    location /busy/libre  { completion_async_libretranslate busy; }
    location /busy/deepl  { completion_async_deepl busy; }
}
EOC

my $base = 'http://127.0.0.1:' . $t->port;
my $deepl = CompletionAsync::Sdk->of('deepl-node', serverUrl => "$base/deepl", authKey => 'k',
    minTimeout => 100);

if (!$deepl) {
    fail 'npm\'s deepl-node is there: run "make deps"';
    $t->done;
    exit;
}


# How often that status was answered there, 499 being that of a client that gave up.
sub seen ($status, $path) {
    return scalar(() = $t->read_file('seen.log') =~ /^$status \Q$path\E$/mg);
}


sub until_seen ($status, $path, $n) {
    ok wait_until(sub { seen($status, $path) >= $n }, 60), "$status is answered $n times";
}


# A request of a client that waits so long and no longer, and then hangs up.
sub gives_up (@request) {
    my $client = $t->start(@request);
    my $path = $request[1];
    my $before = seen(499, $path);

    ok wait_until(sub { $t->metrics->sum('waiters') > 0 }), 'a client waits';
    $client->close;
    ok wait_until(sub { seen(499, $path) > $before }), '... and gives up';
}


sub json ($path, $what, %headers) {
    return (POST => $path, timeout => 60, body => encode_json($what),
        headers => { 'Content-Type' => 'application/json', %headers });
}


# Its five tries take 1, 1.6, 2.6 s and so on with this option, and 5 s each without.
subtest 'deepl-node' => sub {
    my $begun = $deepl->start('translateText', [ 'Five tries', 'en', 'ru' ]);
    until_seen(499, '/deepl/v2/translate', 4);
    $e->finish;
    my $r = $begun->();
    is $r->{value}{text}, 'echo: Five tries', 'the fifth try ends with the translation'
        or diag explain $r;
    is $e->paid('Five tries'), 1, '... which is paid once';

    my @texts = map { "Of three: $_" } 1 .. 3;
    my $before = seen(499, '/deepl/v2/translate');
    $begun = $deepl->start('translateText', [ \@texts, undef, 'ru' ]);
    until_seen(499, '/deepl/v2/translate', $before + 1);
    $e->finish;
    $r = $begun->();
    is_deeply [ map { $_->{text} } @{ $r->{value} } ], [ map { "echo: $_" } @texts ],
        'an array, and no language' or diag explain $r;
    is $e->paid('Of three'), 3, '... paid once each';
};

subtest 'deepl-node, when it is told before it gives up' => sub {
    my $begun = $deepl->start('translateText', [ 'Told', 'en', 'ru' ],
        client => { serverUrl => "$base/soon/deepl", minTimeout => 20000 });
    until_seen(504, '/soon/deepl/v2/translate', 2);
    $e->finish;
    my $r = $begun->();
    is $r->{value}{text}, 'echo: Told', 'a later try ends with the translation'
        or diag explain $r;
    is $e->paid('Told'), 1, '... which is paid once';
};

# It waits for 5 s, or 20 s for LibreTranslate, and asks again for the units that it still lacks.
subtest 'Weblate' => sub {
    my %headers = (Accept => 'application/json; charset=utf-8', 'User-Agent' => 'Weblate/5.9');
    my @texts = map { qq(Weblate's <x id="$_"></x>) } 1 .. 20;
    my %as = (
        deepl => [ json('/deepl/v2/translate', { text => \@texts, source_lang => 'EN',
            target_lang => 'RU', formality => 'default', tag_handling => 'xml',
            ignore_tags => ['x'] }, %headers, Authorization => 'DeepL-Auth-Key k') ],
        libre => [ json('/libre/translate', { api_key => '', q => \@texts, source => 'en',
            target => 'ru' }, %headers) ],
    );

    # Both ask for the same: what one has paid for, the other finds.
    gives_up(@{ $as{deepl} });
    ok wait_until(sub { $e->paid('Weblate') == 20 }), 'a batch is sent';
    gives_up(@{ $as{libre} });
    $e->finish;
    ok wait_until(sub { $t->metrics->sum('operations', state => 'pending') == 0 }), '... and done';

    my $r = $t->request(@{ $as{deepl} });
    is_deeply [ map { $_->{text} } @{ $r->json->{translations} } ], [ map { "echo: $_" } @texts ],
        'the second try has it' or diag $r->{raw};
    $r = $t->request(@{ $as{libre} });
    is_deeply $r->json->{translatedText}, [ map { "echo: $_" } @texts ], '... in both interfaces';
    is $e->paid('Weblate'), 20, '... from memory';
};

# It waits for 10 s, says that it does not work, and its user asks again.
subtest 'Mastodon' => sub {
    my @ask = json('/libre/translate', { q => [ '<p>Mastodon\'s</p>', 'a warning' ],
        source => 'auto', target => 'en', format => 'html', api_key => '' });
    gives_up(@ask) for 1, 2;
    $e->finish;
    my $r = $t->request(@ask);
    is $r->json->{translatedText}[0], 'echo: <p>Mastodon\'s</p>', 'has it then' or diag $r->{raw};
    is $r->json->{detectedLanguage}[1]{language}, 'en', '... with its languages';
    is $e->paid('Mastodon'), 1, '... paid once';
};

subtest 'Discourse' => sub {
    my @ask = (POST => '/libre/translate', timeout => 60, headers => {
        'Content-Type' => 'application/x-www-form-urlencoded' }, body => Mojo::Parameters->new(
        q => 'Discourse\'s', source => 'en', target => 'ru', format => 'html',
        api_key => '')->to_string);
    gives_up(@ask);
    $e->finish;
    my $r = $t->request(@ask);
    is $r->json->{translatedText}, 'echo: Discourse\'s', 'has it then' or diag $r->{raw};
    is $e->paid('Discourse'), 1, '... paid once';
};

# The workers change while a client waits: it is told to come again, and not that nobody is there.
subtest 'a reload' => sub {
    my @ask = json('/libre/translate', { q => [ 'Reloaded 1', 'Reloaded 2' ], source => 'en',
        target => 'ru' });
    my $client = $t->start(@ask);
    ok wait_until(sub { $e->paid('Reloaded') == 2 && $t->metrics->sum('waiters') > 0 }), 'a client waits';
    ok $t->reload(wait_old => 1), '... the workers change';
    is_504($client->response, 'it is answered');

    $e->finish;
    my $r = $t->request(@ask);
    is_deeply $r->json->{translatedText}, [ 'echo: Reloaded 1', 'echo: Reloaded 2' ],
        'the next one has it' or diag $r->{raw};
    is $e->paid('Reloaded'), 2, '... paid once';
};

# [METHOD, path, ...] of both interfaces
sub both ($where, $text) {
    return (
        [ json("$where/libre/translate", { q => $text, source => 'en', target => 'ru' }) ],
        [ json("$where/deepl/v2/translate", { text => [$text], source_lang => 'EN',
            target_lang => 'RU' }) ],
    );
}


sub is_504 ($r, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->{status}, 504, $name or diag $r->{raw};
    my $said = $r->json;
    ok length($said->{error} // $said->{message} // ''), '... says why';
    is $r->header('x-should-retry'), 'true', '... and that it may come again';
}


subtest 'what it comes to when there is no answer yet' => sub {
    is_504($t->request(@$_), "a wait that ends: $_->[1]") for both('/soon', 'A wait');
    is $e->paid('A wait'), 1, '... of one operation';

    gives_up(@$_) for (both('/slow', 'The first of the hour'))[0];
    is_504($t->request(@$_), "a quota that is used up: $_->[1]") for both('/slow', 'A quota');
    is $e->paid('A quota'), 0, '... and nothing is sent';

    my $memory = sub { $t->metrics->sum('submit_memory_bytes', provider => 'small') };
    my @held = $t->start(@{ (both('/small', 'a' x 150_000))[0] });
    ok wait_until(sub { $e->paid('aaa') && !$memory->() }), 'a quota is used up';
    push @held, $t->start(@{ (both('/small', 'b' x 150_000))[0] });
    ok wait_until(sub { $memory->() >= 150_000 }), '... and a text waits for it';
    is_504($t->request(@$_), "too much that waits: $_->[1]") for both('/small', 'c' x 150_000);
    $_->close for @held;

    # Until there is no room, none of these is answered.
    for my $face (0, 1) {
        my $path = (both('/full', ''))[$face][1];
        my @some;
        wait_until(sub {
            push @some, map { $t->start(@{ (both('/full', "$face: $_ of " . @some))[$face] }) } 1 .. 20;
            return wait_until(sub { seen(504, $path) }, 1);
        }, 30);
        ok seen(504, $path), "a zone that is full: $path";
        $_->close for @some;
    }

    is_504($t->request(@$_), "nobody upstream: $_->[1]") for both('/gone', 'Gone');
    is_504($t->request(@$_), "no connection: $_->[1]") for both('/hole', 'A hole');

    for my $status (429, 503) {
        $e->fault(submit => 'every', status => $status);
        is_504($t->request(@$_), "upstream's $status: $_->[1]") for both('/busy', "A $status");
        $e->clear_faults;
    }
};

subtest 'what is never said' => sub {
    is scalar(() = $t->read_file('seen.log') =~ /^(?:429|503) /mg), 0, 'no 429, and no 503';
};

undef $deepl;
$t->done;
