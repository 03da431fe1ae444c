# Arrays of texts: equal ones are one operation, empty ones none, the order is kept, long ones are
# split; one that fails is told in the interface's shape, and a repeat pays for that one only.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json false true);
use Mojo::Parameters;
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.1 });
my $e = $t->emulator;

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 8m; %%PROVIDER%% poll_interval 50ms 100ms; }
completion_async_model      yandexgpt/latest;
completion_async_message    system "Into $completion_async_target_language.";
completion_async_languages  en=English ru=Russian de=German;
completion_async_wait       60s;
log_format seen '$http_x_number $status "$completion_async_source" $completion_async_parts $uri';
access_log %%TESTDIR%%/seen.log seen;
server {
    listen 127.0.0.1:%%PORT%%;
    client_max_body_size 1m;
    location /libre { completion_async_libretranslate yandex; }
    location /deepl { completion_async_deepl yandex; }
    location /few   { completion_async_libretranslate yandex; completion_async_split 100 max=4; }
    location /whole { completion_async_libretranslate yandex; completion_async_split off; }
    location /owned { completion_async_libretranslate yandex;
                      completion_async_owner $completion_async_client_key; }
}
EOC


# What the log says of the last request.
my $number = 0;
sub seen () { wait_until(sub { $t->read_file('seen.log') =~ /^$number (.*)$/m && $1 }) }


sub ask ($path, $what, %headers) {
    return $t->request(POST => $path, timeout => 60, body => encode_json($what),
        headers => { 'Content-Type' => 'application/json', 'X-Number' => ++$number, %headers });
}


# Both interfaces with a function for each: the answer to texts, and what it says that they are.
my %FACE = (
    libre => {
        ask   => sub ($q, %more) { ask('/libre/translate', { q => $q, source => 'en',
            target => 'ru', %more }) },
        texts => sub ($r) { $r->json->{translatedText} },
        error => sub ($r) { $r->json->{error} },
    },
    deepl => {
        ask   => sub ($text, %more) { ask('/deepl/v2/translate', { text => $text,
            source_lang => 'EN', target_lang => 'RU', %more }) },
        texts => sub ($r) { [ map { $_->{text} } @{ $r->json->{translations} } ] },
        error => sub ($r) { $r->json->{message} },
    },
);


for my $name (sort keys %FACE) {
    my %face = %{ $FACE{$name} };

    subtest "fifty, $name" => sub {
        my @texts = map { "$name: text $_" } 1 .. 37;
        splice @texts, $_, 0, "$name: equal" for map { 4 * $_ } 0 .. 9;
        splice @texts, $_, 0, '' for 3, 20, 41;
        is @texts, 50, 'fifty texts';

        my ($cost, $r) = $e->costs(sub { $face{ask}->(\@texts) });
        is $r->{status}, 200, '... are translated' or diag $r->{raw};
        is_deeply $face{texts}->($r), [ map { $_ eq '' ? '' : "echo: $_" } @texts ], '... in order';
        is $cost, 38, '... by 38 operations';

        ($cost, $r) = $e->costs(sub { $face{ask}->([ reverse @texts ]) });
        is_deeply $face{texts}->($r), [ map { $_ eq '' ? '' : "echo: $_" } reverse @texts ],
            'in another order';
        is $cost, 0, '... for nothing';
    };

    subtest "one that fails, $name" => sub {
        my @texts = map { "$name: fails $_" } 1 .. 5;
        $texts[2] .= ' [outcome=failed:3:it is broken]';
        my ($cost, $r) = $e->costs(sub { $face{ask}->(\@texts) });
        is $r->{status}, 424, 'fails all of them' or diag $r->{raw};
        like $face{error}->($r), qr/\w/, '... and says why';
        is $r->header('x-should-retry'), 'false', '... not to be repeated by itself';
        is $cost, 5, '... paid once each';

        ($cost, $r) = $e->costs(sub { $face{ask}->(\@texts) });
        is $r->{status}, 424, 'a repeat fails, too' or diag $r->{raw};
        is $cost, 1, '... and pays for that one only';
    };

    for my $case (
        [ 'nobody knows of',        424, 'false', reset => 'request' ],
        [ 'upstream is too busy for', 504, 'true',  status => 429, retry_after => 300 ],
    ) {
        my ($what, $status, $retry, %fault) = @$case;
        subtest "one that $what, $name" => sub {
            my @texts = map { "$name: $what $_" } 1 .. 5;
            $e->fault(submit => 3, %fault);
            my $r = $face{ask}->(\@texts);
            is $r->{status}, $status, 'is told' or diag $r->{raw};
            like $face{error}->($r), qr/\w/, '... and says why';
            is $r->header('x-should-retry'), $retry, '... and whether to repeat it';
            $e->clear_faults;

            my $cost;
            ($cost, $r) = $e->costs(sub { $face{ask}->(\@texts) });
            is $r->{status}, 200, 'a repeat' or diag $r->{raw};
            is_deeply $face{texts}->($r), [ map { "echo: $_" } @texts ], '... has all of them';
            cmp_ok $cost, '<', 5, '... and pays for what is missing';
            $e->reset;
            $e->set(delay => 0.1);
        };
    }

    subtest "one that is too long for an answer, $name" => sub {
        my $long = join "\n\n", map { "$name paragraph $_ " . ('word ' x 400) . 'end.' } 1 .. 4;
        my ($cost, $r) = $e->costs(sub { $face{ask}->([ "$name: short", $long ]) });
        is $r->{status}, 200, 'is translated' or diag $r->{raw};
        my $texts = $face{texts}->($r);
        is $texts->[0], "echo: $name: short", '... as the one beside it';
        is $texts->[1] =~ s/echo: //gr, $long, '... and joined';
        cmp_ok $cost, '>', 3, '... of parts';
        like seen(), qr/^200 "\w*" $cost /, '... which the log counts';
    };
}

subtest 'what is no text' => sub {
    my @wrong = (1, true, undef, { a => 'b' }, [1], [ ['a'] ], [undef], [ 'a', {} ]);
    my $before = $e->submits;
    for my $wrong (@wrong) {
        my $r = $FACE{libre}{ask}->($wrong);
        is $r->{status}, 400, 'q: ' . encode_json([$wrong]);
        is ref \($r->json->{error} // \1), 'SCALAR', '... in its shape' or diag $r->{raw};
        $r = $FACE{deepl}{ask}->($wrong);
        is $r->{status}, 400, 'text: ' . encode_json([$wrong]);
        is ref \($r->json->{message} // \1), 'SCALAR', '... in its shape' or diag $r->{raw};
    }
    is $e->submits - $before, 0, 'nothing is sent';
};

subtest 'what is empty' => sub {
    my ($cost, $r) = $e->costs(sub { $FACE{libre}{ask}->('') });
    is $r->json->{translatedText}, '', 'a text' or diag $r->{raw};
    is $cost, 0, '... costs nothing';
    ($cost, $r) = $e->costs(sub { $FACE{libre}{ask}->([ '', '' ]) });
    is_deeply $r->json->{translatedText}, [ '', '' ], 'two of them' or diag $r->{raw};
    is $cost, 0, '... cost nothing';
    ($cost, $r) = $e->costs(sub { $FACE{libre}{ask}->([ '', '' ], source => 'auto') });
    is_deeply [ map { $_->{language} } @{ $r->json->{detectedLanguage} } ], [qw(en en)],
        '... in some language' or diag $r->{raw};
    ($cost, $r) = $e->costs(sub { $FACE{deepl}{ask}->([ '', 'Not empty' ]) });
    is_deeply [ map { $_->{text} } @{ $r->json->{translations} } ], [ '', 'echo: Not empty' ],
        'one beside a text' or diag $r->{raw};
};

subtest 'a form of several texts' => sub {
    my @texts = map { "Of a form: $_ & é" } 1 .. 3;
    my $form = Mojo::Parameters->new(map({ (text => $_) } @texts), target_lang => 'RU',
        source_lang => 'EN', tag_handling => 'html')->to_string;
    my $r = $t->request(POST => '/deepl/v2/translate', body => $form, timeout => 60,
        headers => { 'Content-Type' => 'application/x-www-form-urlencoded; charset=utf-8' });
    is_deeply $FACE{deepl}{texts}->($r), [ map { "echo: $_" } @texts ], 'is answered in order'
        or diag $r->{raw};
};

subtest 'more than may be' => sub {
    my %ask = (source => 'en', target => 'ru');
    my $error = sub ($r) { ref \($r->json->{error} // \1) };

    my ($cost, $r) = $e->costs(sub { ask('/few/translate', { %ask, q => [ map { "few $_" } 1 .. 5 ] }) });
    is $r->{status}, 413, 'items' or diag $r->{raw};
    is $error->($r), 'SCALAR', '... in its shape';
    is $cost, 0, '... send nothing';
    ($cost, $r) = $e->costs(sub { ask('/few/translate', { %ask, q => [ 'few', 'long ' x 80 ] }) });
    is $r->{status}, 413, 'parts of items' or diag $r->{raw};
    is $cost, 0, '... send nothing';
    is ask('/few/translate', { %ask, q => [ map { "few $_" } 1 .. 4 ] })->{status}, 200,
        'as many as may be';
    is ask('/libre/translate', { %ask, q => [ map { "many $_" } 1 .. 65 ] })->{status}, 413,
        '64 where nothing is said';
    is ask('/libre/translate', { %ask, q => [ ('equal') x 65 ] })->{status}, 200,
        '... of different ones';

    my $long = 'word ' x 1000;
    ($cost, $r) = $e->costs(sub { ask('/whole/translate', { %ask, q => $long }) });
    is $cost, 1, 'where nothing is split, one of any length';
    is $r->json->{translatedText}, "echo: $long", '... as it is' or diag $r->{raw};
};

subtest 'whose it is' => sub {
    my %ask = (q => 'Of somebody', source => 'en', target => 'ru');
    my %as = map { $_ => [ Authorization => "Bearer $_" ] } qw(alice boris);
    my $cost = sub ($who) { ($e->costs(sub { ask('/owned/translate', \%ask, @{ $as{$who} }) }))[0] };

    is $cost->('alice'), 1, 'one pays';
    is $cost->('alice'), 0, '... once';
    is $cost->('boris'), 1, 'another one pays';
    is $cost->('boris'), 0, '... once';
    is ask('/owned/translate', \%ask)->{status}, 403, 'nobody does not';
};

subtest 'another language is another text' => sub {
    my %ask = (q => 'Into two', source => 'en');
    my ($cost, $r) = $e->costs(sub { ask('/libre/translate', { %ask, target => 'ru' }) });
    is $cost, 1, 'one pays';
    ($cost, $r) = $e->costs(sub { ask('/libre/translate', { %ask, target => 'de' }) });
    is $cost, 1, '... for each';
};

subtest 'no id is given out' => sub {
    my $r = $FACE{libre}{ask}->('An id');
    is $r->header($_), undef, "no $_" for qw(Location ETag Idempotency-Replayed);
    is $r->header('Cache-Control'), 'no-store', 'not kept by others';
    unlike $r->{raw}, qr/d7q[a-z0-9]{17}/, '... nowhere in the answer';
};

$t->done;
