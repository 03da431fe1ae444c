# Among nginx's other modules: what they set, include, redirect and intercept.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Encode qw(encode_utf8);
use Test::More;
use CompletionAsync::Client qw(wait_until);
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(path => '/plain', emulator => { delay => 0.1 });
my $more = $t->module('headers_more_filter');
$t->write_file('ids.key', 'k' x 48, 0600);
$t->define(
    LOAD  => $more ? "load_module $more;" : '',
    SET   => $more ? 'more_set_headers "Cache-Control: public"' : 'expires 1h',
    CLEAR => $more ? 'more_clear_headers Cache-Control ETag Retry-After' : 'expires 1h',
);

$t->run(<<'EOC');
%%TEST_GLOBALS%%
%%LOAD%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider yandex {
        zone yandex 4m; %%PROVIDER%% id_key file:%%TESTDIR%%/ids.key; poll_interval 50ms 100ms;
    }
    completion_async_provider few { zone few 1m; %%PROVIDER%% submit_rate 1r/h; }
    completion_async_model yandexgpt-lite;
    %%METRICS%%
    charset_types application/json text/event-stream application/problem+json;

    server {
        listen 127.0.0.1:%%PORT%%;

        location /plain   { completion_async yandex; }
        location /expires { completion_async yandex; expires 1h; }
        location /set     { completion_async yandex; %%SET%%; }
        location /clear   { completion_async yandex; %%CLEAR%%; }
        location /page    { root %%TESTDIR%%; ssi on; default_type text/html; }

        location /few {
            completion_async few;
            completion_async_intercept_errors on;
            error_page 429 = /instead;
        }
        location /instead { return 200 "instead\n"; }

        location /application { proxy_pass http://127.0.0.1:%%PORT_1%%; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        location ~ ^/application(.*)$ {
            add_header X-Accel-Redirect /plain$1;
            default_type "text/html; charset=koi8-r";
            return 200 "";
        }
    }
}
EOC


sub headers ($r, $name) { return $r->{raw} =~ m{^(\Q$name\E:.*)\r$}img }
sub ask ($path, %headers) { $t->request(GET => $path, headers => \%headers) }
sub typed ($type, $body = 'text') {
    return $t->post($body, headers => { 'Content-Type' => $type });
}


sub code ($r) { ($r->json // {})->{code} // $r->{status} }


my $location = $t->submit->{location};
my $result   = $t->poll_until_done($location);
my $path     = $location =~ s{^/plain}{}r;


subtest 'headers that others set' => sub {
    is_deeply [ headers(ask("/expires$path"), 'Cache-Control') ],
        ['Cache-Control: max-age=3600'], 'expires rules a result';
    my $r = $t->post('text', path => '/expires');
    is_deeply [ headers($r, 'Cache-Control') ], ['Cache-Control: no-store'],
        '... and not a status it does not speak of';

    plan skip_all => 'nginx has no headers-more module' if !$more;
    is_deeply [ headers($_, 'Cache-Control') ], ['Cache-Control: public'], 'one header is replaced'
        for ask("/set$path"), $t->post('text', path => '/set'), ask('/set/operations/none');
    for my $name ('Cache-Control', 'ETag', 'Retry-After') {
        is_deeply [ headers($_, $name) ], [], "$name is cleared"
            for ask("/clear$path"), $t->post('text', path => '/clear');
    }
};


subtest 'an include' => sub {
    mkdir $t->testdir . '/page';
    $t->write_file('page/done.html', qq(<!--#include virtual="$location" -->.\n), 0644);
    my $r = ask('/page/done.html');
    is $r->{status}, 200, 'a page';
    like $r->{body}, qr/"done":\s*true.*\}\s*\.\n/s, '... has the operation in it';

    my $unknown = $t->submit('[delay=60]')->{location};
    $t->stop;
    $t->emulator->fault(poll => 'every', silent => 1);
    $t->run;
    $t->write_file('page/held.html', qq(<!--#include virtual="$unknown" -->.\n), 0644);
    my $client = $t->start(GET => '/page/held.html');
    $t->until_waiting(1);
    $client->close;
    ok wait_until(sub { $t->metrics->sum('waiters') == 0 }, 5), 'a client that hangs up is gone';
    $t->emulator->clear_faults;
};


subtest 'X-Accel-Redirect' => sub {
    my %type = (
        'application/json'  => 'application/json',
        'text/plain'        => 'text/plain; charset=utf-8',
        'text/event-stream' => 'text/event-stream',
    );
    for my $accept (sort keys %type) {
        my $r = ask("/application$path", Accept => $accept);
        is $r->{status}, 200, "an application's redirect, $accept";
        like $r->header('Content-Type'), qr/^\Q$type{$accept}\E(?:; charset=utf-8)?$/i,
            '... is not of its charset';
        is $r->{body}, ask($location, Accept => $accept)->{body}, '... and the same';
    }
    my $r = ask('/application/operations/none');
    is $r->{status}, 404, 'a problem';
    like $r->header('Content-Type'), qr{^application/problem\+json(?:; charset=utf-8)?$}i, '... neither';
};


subtest 'a fallback' => sub {
    $t->post('text', path => '/few');
    my $r = $t->post('text', path => '/few');
    is $r->{status}, 200, 'answers instead of a 429';
    is $r->{body}, "instead\n", '... what it wants';
    is_deeply [ headers($r, $_) ], [], "... without our $_" for 'Retry-After', 'x-should-retry';
};


subtest 'spellings' => sub {
    for my $charset ('utf-8', 'UTF8', '"utf-8"', q('utf-8'), 'us-ascii', '"US-ASCII"') {
        is typed("text/plain; charset=$charset")->{status}, 202, "charset=$charset";
    }
    is typed("text/plain; charset=$_")->{status}, 415, "charset=$_ is another one"
        for 'latin1', "'utf-8", 'utf-16';
    is typed('text/plain; charset=us-ascii', encode_utf8('ж'))->{status}, 202,
        'UTF-8 that is called ASCII is read all the same';

    is $t->post('text', headers => { 'Content-Encoding' => $_ })->{status}, 202,
        "Content-Encoding: $_" for 'identity', 'Identity';
    is $t->post('text', headers => { 'Content-Encoding' => 'gzip' })->{status}, 415, '... not gzip';

    is ask($location, Accept => 'text/plain;q=0.1000, application/json;q=0.4')
        ->header('Content-Type'), 'application/json', 'a q with too many digits';
};


subtest 'texts that are none' => sub {
    my $count = () = $t->emulator->submits;
    my $native = sub ($text) { qq({"messages":[{"role":"user","text":"$text"}]}) };
    my $empty  = encode_utf8(" \t\r\n\x{a0}\x{2003}\x{3000}\x{feff}");

    for my $case (
        [ 'text/plain',                        $empty,                 qr/text is empty/ ],
        [ 'application/json',                  '{"text":" \n\u00a0"}', qr/text is empty/ ],
        [ 'application/x-www-form-urlencoded', 'text=%20+%0a',         qr/text is empty/ ],
        [ 'text/plain',                        "a\0b",                 qr/NUL/ ],
        [ 'application/json',                  '{"text":"a\u0000b"}',  qr/NUL/ ],
        [ 'application/x-www-form-urlencoded', 'text=a%00b',           qr/NUL/ ],
        [ 'application/json',                  $native->('a\u0000b'),  qr/NUL/ ],
    ) {
        my ($type, $body, $detail) = @$case;
        my $r = typed($type, $body);
        is code($r), 'invalid_request', "$type: " . $body =~ s/[^!-~]/?/gr;
        like $r->json->{detail} // '', $detail, '... and is told';
    }
    is scalar(() = $t->emulator->submits), $count, 'nothing is sent';
};


$t->done;

