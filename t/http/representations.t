# The forms of an answer: which one Accept asks for, errors, and methods.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });

$t->define(CLOSED => $t->closed_port, HOLE => $t->black_hole);

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone yandex 8m; %%PROVIDER%% poll_interval 50ms 100ms; }
completion_async_provider limited { zone limited 1m; %%PROVIDER%% submit_rate 1r/m; }
completion_async_provider full { zone full 64k; %%PROVIDER%% }
completion_async_provider closed {
    zone closed 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; request_timeout 500ms;
    submit_url http://127.0.0.1:%%CLOSED%%/; operations_url http://127.0.0.1:%%CLOSED%%/;
}
completion_async_provider hole {
    zone hole 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%;
    connect_timeout 200ms; request_timeout 500ms;
    submit_url http://127.0.0.1:%%HOLE%%/; operations_url http://127.0.0.1:%%HOLE%%/;
}
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;

    location /translate { completion_async yandex; }
    location /owned     { completion_async yandex; completion_async_owner $http_x_user; }

    location /shared    { completion_async yandex; completion_async_cache 1m shared; }
    location /boundless { completion_async yandex; client_max_body_size 0; }
    location /limited   { completion_async limited; }
    location /full      { completion_async full; }
    location /closed    { completion_async closed; }
    location /hole      { completion_async hole; }

    location /nginx {
        completion_async yandex;
        completion_async_intercept_errors on;
        error_page 400 404 406 415 422 /page;
        error_page 405 =418 /page;
    }
    location /off { completion_async yandex; error_page 400 404 405 406 415 422 502 /page; }
    location /few {
        completion_async yandex;
        completion_async_intercept_errors on;
        error_page 502 /page;
    }
    location /led {
        completion_async yandex;
        completion_async_intercept_errors on;
        error_page 404 405 = /translate;
    }
    location /back {
        completion_async yandex;
        completion_async_intercept_errors on;
        error_page 404 405 = /translate;
        recursive_error_pages on;
    }
    location /backed {
        completion_async yandex;
        completion_async_owner $http_x_user;
        completion_async_intercept_errors on;
        error_page 403 404 415 = @back;
    }
    location @back {
        rewrite ^ /translate break;
        proxy_set_header Content-Type text/plain;
        proxy_pass       http://127.0.0.1:%%PORT%%;
    }
    location /instead {
        completion_async limited;
        completion_async_intercept_errors on;
        error_page 429 = @translate;
    }
    location /paged {
        completion_async limited;
        completion_async_intercept_errors on;
        error_page 429 /page;
    }
    location /other {
        completion_async limited;
        completion_async_intercept_errors on;
        error_page 429 = @elsewhere;
    }
    location @elsewhere {
        completion_async closed;
        completion_async_operations_uri /closed/operations/;
        completion_async_intercept_errors on;
        error_page 503 /page;
    }
    location @translate {
        completion_async yandex;
        completion_async_operations_uri /translate/operations/;
    }
    location = /page { internal; default_type text/x-page; return 200 "page of $status\n"; }
}
EOC

my $emulator = $t->emulator;

# What costs nothing, and may succeed later.
my %REPEAT = map { $_ => 1 } qw(quota_exceeded zone_full overloaded upstream_unavailable
    upstream_timeout);


sub finished ($text, %arg) {
    my $location = $t->submit("$text [delay=0]", %arg)->{location};
    $t->poll_until_done($location);
    return $location;
}


sub get ($location, $accept, %arg) {
    return $t->poll($location,
        headers => { defined $accept ? (Accept => $accept) : (), %arg });
}


sub type ($r) { ($r->header('Content-Type') // '') =~ s/;.*//sr }


sub is_problem ($r, $status, $code, $name) {
    my $json = $r->json;

    is $r->{status}, $status, "$name: $status" or diag($r->{raw});
    is $r->header('Content-Type'), 'application/problem+json', "$name: its type";
    is ref $json, 'HASH', "$name: JSON" or return;
    is_deeply [ sort keys %$json ], [qw(code detail status title type)], "$name: its members";
    is $json->{code}, $code, "$name: $code";
    is $json->{status}, $status, "$name: the status again";
    like $json->{type}, qr/^\S+:\S*$code$/, "$name: a URI that names it";
    ok length $json->{title} && length $json->{detail}, "$name: words";
    like $r->header('Cache-Control') // '', qr/no-store/, "$name: not kept" if $status != 404;
    is $r->header('x-should-retry'), $REPEAT{$code} ? 'true' : 'false', "$name: to be repeated";
}


my $done = finished('a');
my $pending = $t->submit('b')->{location};

subtest 'negotiation' => sub {
    my $json = 'application/json';
    my $text = 'text/plain';
    my $none = 'application/problem+json';

    my @case = (
        [ undef,                                             $json ],
        [ '',                                                $json ],
        [ '*/*',                                             $json ],
        [ 'application/*',                                   $json ],
        [ 'application/json',                                $json ],
        [ 'Application/JSON',                                $json ],
        [ 'text/plain',                                      $text ],
        [ 'TEXT/Plain',                                      $text ],
        [ 'text/*',                                          $text ],
        [ 'text/plain; charset=utf-8',                       $text ],
        [ 'text/plain;q=0.5, application/json;q=0.4',        $text ],
        [ 'text/plain;q=0.4, application/json;q=0.5',        $json ],
        [ 'text/plain;q=0.4,application/json;q=0.5',         $json ],
        [ 'text/plain ; q=0.4 , application/json ; q=0.5',   $json ],
        [ 'text/plain;Q=0.4, application/json;Q=0.5',        $json ],
        [ 'application/json;q=0.001, text/plain;q=0',        $json ],
        [ '*/*;q=0.1, text/plain',                           $text ],
        [ 'text/plain;q=0.1, */*;q=0.2',                     $json ],
        [ 'application/json;q=0, */*',                       $text ],
        [ 'application/*;q=0.2, text/*;q=0.3',               $text ],
        [ 'text/html, application/xhtml+xml, */*;q=0.8',     $json ],
        [ 'text/html, text/*;q=0.5',                         $text ],
        [ 'text/plain, text/plain;q=0',                      undef ],
        [ 'text/html;level="a,b;q=0", application/json',     $json ],
        [ 'text/html',                                       $none ],
        [ 'application/xml;q=0.9, image/*',                  $none ],
        [ 'application/json;q=0',                            $none ],
        [ '*/*;q=0',                                         $none ],
        [ 'application/json;q=0, text/*;q=0.0, */*;q=0.000', $none ],
        [ 'application/jsonx',                               $none ],
        [ 'textt/*',                                         $none ],
    );
    for my $case (@case) {
        my ($accept, $type) = @$case;
        my $name = defined $accept ? "\"$accept\"" : 'no Accept';
        my $r = get($done, $accept);

        if (!defined $type) {
            ok $r->{status} == 200 || $r->{status} == 406, "$name: an answer";
            next;
        }
        is type($r), $type, "$name: $type" or diag($r->{raw});
        is $r->{status}, $type eq $none ? 406 : 200, "$name: status";
    }

    my $r = get($done, [ 'text/html', 'text/plain' ]);
    is type($r), $text, 'two headers make one list';

    is_problem(get($done, 'text/html'), 406, 'not_acceptable', 'nothing acceptable');
    my $before = $emulator->submits;
    $r = $t->post('x', headers => { Accept => 'text/html' });
    is_problem($r, 406, 'not_acceptable', 'a submit');
    is scalar $emulator->submits, $before, 'is refused before anything goes upstream';
};


subtest 'a header that is repeated' => sub {
    my ($worker) = $t->worker_pids;
    my $peak = sub {
        open my $file, '<', "/proc/$worker/status" or die "/proc/$worker/status: $!\n";
        return +(map { /^VmHWM:\s+([0-9]+) kB/ ? $1 : () } <$file>)[0];
    };
    my $before = $peak->();
    my @clients = map {
        $t->start(GET => $pending, headers =>
            { Prefer => 'wait=1', Accept => [ ('text/plain;q=0.1;a=bc') x 900, 'text/plain' ] })
    } 1 .. 10;

    is $_->response->{status}, 202, 'is read to its end' for @clients;
    is scalar(grep { $_->response->header('Preference-Applied') } @clients), 10, 'all were held';
    cmp_ok $peak->() - $before, '<', 20_000, 'and takes no more than its length (kB)';
};


subtest 'text' => sub {
    my $r = get($pending, 'text/plain');
    is $r->{status}, 202, 'pending: 202';
    is $r->{body}, '', 'and empty';
    is type($r), 'text/plain', 'text';
    is $r->header('Cache-Control'), 'no-store', 'not kept';
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'Retry-After';

    $r = $t->request(HEAD => $pending, headers => { Accept => 'text/plain' });
    is $r->{status}, 202, 'HEAD: 202';

    $r = $t->post('c', headers => { Accept => 'text/plain' });
    is $r->{status}, 202, 'a submit: 202';
    is $r->{body}, '', 'and empty';
    like $r->header('Location'), qr{^/translate/operations/[\w-]+$}, 'with a Location';
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'and Retry-After';

    my %again = ('Idempotency-Key' => 'text', 'Accept' => 'text/plain',
        'Prefer' => 'respond-async');
    my $location = $t->submit('again [delay=0]', headers => \%again)->{location};
    $t->poll_until_done($location);
    $r = $t->post('again [delay=0]', headers => \%again);
    is $r->{status}, 200, 'a submit again, once it is finished: 200';
    is $r->text, 'echo: again [delay=0]', 'the text';
    is $r->header('Location'), $location, 'with its Location';
    is $r->header($_), undef, "no $_" for 'Retry-After', 'Preference-Applied';
    $again{Accept} = 'application/json';
    is $t->post('again [delay=0]', headers => \%again)->{status}, 202, 'as JSON: 202';

    my $hello = 'Привет, "мир" \\ 😀' . "\n";
    utf8::encode(my $bytes = $hello);
    $r = get(finished($bytes), 'text/plain');
    is $r->{status}, 200, 'finished: 200';
    is $r->text, "echo: $hello [delay=0]", 'the text, and nothing but';
    like $r->header('Content-Type'), qr{^text/plain; ?charset=utf-8$}i, 'in UTF-8';
    is $r->header('Content-Length'), length $r->{body}, 'its length';

    my %text = (
        exotic       => "A \x{1f600} / echo: z [outcome=exotic] [delay=0]",
        alternatives => 'echo: z [outcome=alternatives] [delay=0]',
        truncated    => 'echo: z [outcome=truncated] [delay=0]',
        partial      => 'echo: z [outcome=partial] [delay=0]',
        error0       => 'echo: z [outcome=error0] [delay=0]',
        no_usage     => 'echo: z [outcome=no_usage] [delay=0]',
    );
    for my $outcome (sort keys %text) {
        $r = get(finished("z [outcome=$outcome]"), 'text/plain');
        is $r->{status}, 200, "$outcome: 200";
        is $r->text, $text{$outcome}, "$outcome: the first alternative's text";
    }

    $r = get(finished('z [outcome=huge]'), 'text/plain');
    is length $r->{body}, 1_500_000, 'a large one';
};


subtest 'text of a failed operation' => sub {
    my %status = (
        1 => 410, 2 => 424, 3 => 400, 4 => 424, 5 => 424, 6 => 424, 7 => 424, 8 => 424,
        9 => 400, 10 => 424, 11 => 400, 12 => 424, 13 => 424, 14 => 424, 15 => 424, 16 => 424,
        99 => 424,
    );
    for my $code (sort { $a <=> $b } keys %status) {
        my $r = get(finished("a [outcome=failed:$code:because of this]"), 'text/plain');
        is $r->{status}, $status{$code}, "gRPC $code: $status{$code}";
        is type($r), 'text/plain', 'as text';
        like $r->{body}, qr/because of this/, 'with the reason';
        is $r->header('x-should-retry'), 'false', 'and not to be repeated';
    }

    my $filtered = finished('a [outcome=filter]');
    my $r = get($filtered, 'text/plain');
    is $r->{status}, 422, 'content filter: 422';
    is $r->header('x-should-retry'), 'false', 'not to be repeated';
    $r = get($filtered, undef);
    is $r->{status}, 200, 'in JSON it is 200';
    is $r->header('x-should-retry'), undef, 'and a success';

    $r = get(finished('a [outcome=leak:13:why]'), 'text/plain');
    like $r->{body}, qr/why/, 'a reason';
    unlike $r->{body}, qr/internal_id|request_id|folder_id/, 'is cleaned';

    # An error is no 304, whatever the client holds.
    my $location = finished('a [outcome=failed:3:no]');
    $r = get($location, 'text/plain');
    is get($location, 'text/plain', 'If-None-Match' => $_)->{status}, 400, "If-None-Match: $_"
        for '*', $r->header('ETag') // '"x"';
};


subtest 'problems' => sub {
    is_problem($t->request(POST => '/translate', body => ''), 400, 'invalid_request', 'no text');
    is_problem($t->request(POST => '/owned', body => 'x'), 403, 'forbidden', 'no owner');
    is_problem($t->request(GET => "/owned/operations/x"), 403, 'forbidden', 'no owner to poll');
    is_problem($t->http("POST /translate/else HTTP/1.1\r\nHost: a\r\n"
        . "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 404, 'operation_not_found', 'a broken body');
    is_problem(get('/translate/operations/x', undef), 404, 'operation_not_found', 'a bad id');
    is_problem(get('/translate/else', undef), 404, 'operation_not_found', 'nowhere');
    is_problem($t->request(PUT => '/translate'), 405, 'method_not_allowed', 'PUT');
    is_problem($t->request(POST => '/translate', body => 'x',
        headers => { 'Content-Type' => 'image/png' }), 415, 'unsupported_media_type', 'an image');

    $emulator->fault(submit => 1, status => 400, grpc => 3, leak => 1,
        message => 'temperature is wrong');
    my $r = $t->post('x');
    is_problem($r, 400, 'invalid_request', 'refused by upstream');
    like $r->json->{detail}, qr/temperature is wrong/, 'its reason';
    unlike $r->{body}, qr/internal_id|request_id|folder_id/, 'cleaned';

    $emulator->fault(submit => 1, status => 401, message => 'Unknown api key');
    $r = $t->post('x');
    is_problem($r, 502, 'upstream_rejected', 'our credentials');
    unlike $r->{body}, qr/api key/i, 'the client learns no more';

    $emulator->fault(submit => 1, status => 500, message => 'inner');
    $r = $t->post('x');
    is_problem($r, 424, 'outcome_unknown', 'a broken upstream');
    unlike $r->{body}, qr/inner/, 'without its words';

    for my $case ([ POST => '/translate', 400, 'invalid_request' ],
        [ GET => '/translate/operations/x', 404, 'operation_not_found' ],
        [ PUT => '/translate', 405, 'method_not_allowed' ])
    {
        my ($method, $path, $status, $code) = @$case;
        $r = $t->request($method => $path, headers => { Accept => 'text/plain' });
        is $r->{status}, $status, "as text: $status";
        is type($r), 'text/plain', 'its type';
        like $r->{body}, qr/\b$code\b/, 'its code';
        unlike $r->{body}, qr/[{}]/, 'no JSON';
        is $r->header('x-should-retry'), 'false', 'not to be repeated';
    }

    is_problem(get('/translate', 'image/png'), 405, 'method_not_allowed', 'GET');
    is_problem($t->request(POST => '/translate', body => 'x', headers => { Accept => 'image/png' }),
        406, 'not_acceptable', 'an image of it');
    is_problem($t->request(POST => '/translate', body => 'x', headers => { 'Content-Encoding' =>
        'gzip' }), 415, 'unsupported_media_type', 'packed');

    my %key = (headers => { 'Idempotency-Key' => 'one' });
    is $t->post('x', %key)->{status}, 202, 'a key';
    is_problem($t->post('y', %key), 422, 'idempotency_mismatch', 'the key of another text');

    my $shared = $t->submit('x', path => '/shared')->{location};
    is_problem($t->request(DELETE => $shared), 409, 'request_conflict', 'what is shared');

    is_problem($t->request(POST => '/boundless', body => 'x' x (4 * 1024 * 1024 + 1)),
        413, 'request_too_large', 'too long');

    for my $case ([ '/limited', 429, 'quota_exceeded' ], [ '/full', 503, 'zone_full' ],
        [ '/closed', 503, 'upstream_unavailable' ], [ '/hole', 504, 'upstream_timeout' ])
    {
        my ($path, $status, $code) = @$case;
        my $n = 0;
        do {
            $r = $t->request(POST => $path, body => 'x',
                headers => { 'Idempotency-Key' => 'n' . ++$n });
        } until $r->{status} != 202 || $n == 1000;
        is_problem($r, $status, $code, $path);
        is +($r->header('Retry-After') // '') =~ /^[1-9][0-9]*$/, $status != 504,
            "$path: Retry-After";
    }

    $r = $t->request(HEAD => '/translate/operations/x');
    is $r->{status}, 404, 'HEAD';
    is $r->{body}, '', 'without a body';
    is $r->header('Content-Type'), 'application/problem+json', 'Content-Type';
};


subtest 'methods' => sub {
    my %allowed = ('/translate' => [qw(OPTIONS POST)], '/translate/' => [qw(OPTIONS POST)],
        $done => [qw(DELETE GET HEAD OPTIONS)], "$done:cancel" => [qw(OPTIONS POST)]);
    my $before = $emulator->submits;

    for my $path (sort keys %allowed) {
        my %may = map { $_ => 1 } @{ $allowed{$path} };

        for my $method (grep { !$may{$_} } qw(GET HEAD POST PUT PATCH DELETE PROPFIND BREW)) {
            my $r = $t->request($method => $path, $method =~ /^P/ ? (body => 'x') : ());
            is $r->{status}, 405, "$method $path: 405";
            is_deeply [ sort split /\s*,\s*/, $r->header('Allow') // '' ], $allowed{$path},
                'Allow';
            is $method eq 'HEAD' ? 'method_not_allowed' : $r->json->{code}, 'method_not_allowed',
                'its code';
        }

        my $r = $t->request(OPTIONS => $path);
        is $r->{status}, 204, "OPTIONS $path: 204";
        is $r->{body}, '', 'empty';
        is_deeply [ sort split /\s*,\s*/, $r->header('Allow') // '' ], $allowed{$path}, 'Allow';
    }
    is $t->request(OPTIONS => '/owned')->{status}, 204, 'OPTIONS needs no owner';
    is scalar $emulator->submits, $before, 'nothing was submitted';

    my $client = $t->client;
    is $client->request(PUT => '/translate', body => 'x' x 100_000)->{status}, 405,
        'a refused body';
    is $client->request(GET => $done)->{status}, 200, 'is read away';
};


subtest 'error pages' => sub {
    my $page = sub ($method, $path, %arg) {
        my $r = $t->request($method => $path, %arg);
        return "$r->{status} " . ($r->{body} =~ /^page of ([0-9]+)$/ ? $1
            : ($r->header('Content-Type') // ''));
    };
    is $page->(POST => '/nginx', body => ''), '400 400', 'on: error_page takes a 400';
    is $page->(GET => '/nginx/operations/x'), '404 404', 'a 404';
    is $page->(POST => '/nginx', body => 'x', headers => { Accept => 'text/html' }), '406 406',
        'a 406';
    is $page->(POST => '/nginx', body => 'x', headers => { 'Content-Type' => 'a/b' }), '415 415',
        'a 415';

    my $r;
    for my $path ('/led', '/back') {
        $r = $t->request(DELETE => $path);
        is $r->{status}, 405, 'another location of ours';
        is $r->header('Allow'), 'POST, OPTIONS', 'says so itself';
        is ref $r->{headers}{allow}, '', 'and once';
    }

    # A location that serves instead of ours has the body, too.
    my %user = ('X-User' => 'me');
    for my $case (
        [ 403 => '/backed', {} ],
        [ 415 => '/backed', { %user, 'Content-Type' => 'image/png' } ],
        [ 404 => '/backed/else', \%user ],
        [ 404 => '/backed/operations/x:cancel', \%user ],
    ) {
        my ($status, $path, $headers) = @$case;
        for my $body ('short', 'long' x 10_000) {
            $r = $t->request(POST => $path, headers => $headers, body => $body);
            is $r->{status}, 202, "$path: instead of a $status" or diag($r->{error} // $r->{body});
            ok +($emulator->submits)[-1]{json}{messages}[0]{text} eq $body, 'with its body';
        }
    }

    $r = $t->request(PUT => '/nginx');
    is $r->{status}, 418, 'another status';
    is $r->{body}, "page of 418\n", 'with its page';

    $emulator->fault(submit => 1, status => 401);
    is $page->(POST => '/few', body => 'x'), '502 502', 'an error that comes later';
    is $page->(POST => '/few', body => ''), '400 application/problem+json',
        'those that no error_page names stay ours';

    $emulator->fault(submit => 1, status => 401);
    is $page->(POST => '/off', body => 'x'), '502 application/problem+json', 'off: ours';
    is $page->(POST => '/off', body => ''), '400 application/problem+json', 'all of them';

    $r = $t->request(POST => '/nginx', body => 'x');
    is $r->{status}, 202, 'a success is no error';

    my $location = $t->request(POST => '/nginx', body => 'a [outcome=filter] [delay=0]')
        ->header('Location');
    $t->poll_until_done($location);
    is $page->(GET => $location, headers => { Accept => 'text/plain' }), '422 422',
        'the status of a failed text';
    is $page->(GET => $location), '200 application/json', 'but not its JSON';

    # What is said instead of an error must not be said to come again.
    $t->request(POST => '/limited', body => 'takes the quota');
    my @words = qw(Retry-After x-should-retry);
    $r = $t->request(POST => '/instead', body => 'x');
    is $r->{status}, 202, 'another location accepts';
    is $r->header('x-should-retry'), undef, 'a success says nothing of repeats';
    is ref $r->{headers}{'retry-after'}, '', 'and has one Retry-After, its own';
    $r = $t->request(POST => '/instead', body => 'x [delay=0]',
        headers => { Prefer => 'wait=5' });
    is $r->{status}, 200, 'or has the result';
    is $r->header($_), undef, "without $_" for @words;
    $r = $t->request(POST => '/paged', body => 'x');
    is $r->{body}, "page of 429\n", 'a page';
    is $r->header($_), undef, "without $_" for @words;
    is_problem($t->request(POST => '/other', body => 'x'), 503, 'upstream_unavailable',
        'an error that error_page led to, and takes no further');
};


$t->done;
