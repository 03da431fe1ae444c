# Credentials: how they are read from files, and that nothing ever shows them.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05, api_key => undef });
my $e = $t->emulator;


sub provider ($credential) {
    return "completion_async_provider it { zone it 1m; folder %%FOLDER%%; "
        . "submit_url %%UPSTREAM%%/foundationModels/v1/completionAsync; "
        . "operations_url %%UPSTREAM%%/operations; poll_interval 100ms 300ms; $credential }";
}


sub checked ($credential) { $t->nginx_t($t->http_conf(provider($credential))) }


# name, content of the file, what upstream shall get of it
my @good = (
    [ 'plain',        'AQVNplain0plain0plain',           'AQVNplain0plain0plain' ],
    [ 'LF',           "AQVNlf0lf0lf0lf0\n",              'AQVNlf0lf0lf0lf0' ],
    [ 'CRLF',         "AQVNcrlf0crlf0crlf\r\n",          'AQVNcrlf0crlf0crlf' ],
    [ 'many',         "AQVNmany0many0many\r\n\n\r\n\n",  'AQVNmany0many0many' ],
    [ 'punctuation',  "AQVN\$host%20\$;{}\"'\\#!~:,\n",  "AQVN\$host%20\$;{}\"'\\#!~:," ],
    [ 'long',         't1.' . 'Lo9g' x 1000 . "\n",      't1.' . 'Lo9g' x 1000 ],
);
$t->secret(map { $_->[2] } @good);

my $http = "completion_async_model yandexgpt-lite;\n";
my $locations = '';
for my $n (0 .. $#good) {
    my ($name, $content) = @{ $good[$n] };
    $t->write_file("$name.key", $content, 0600);
    for (qw(api_key iam_token)) {
        $http .= provider("$_ file:%%TESTDIR%%/$name.key;") =~ s/\bit\b/$_$n/gr . "\n";
        $locations .= "location /$_/$name { completion_async $_$n; }\n";
    }
}
my $conf = $t->http_conf(<<"EOC");
$http
server {
    listen 127.0.0.1:%%PORT%%;
    $locations
    location /operations/ {
        completion_async_operations api_key0;
        add_header X-Operation "\$completion_async_operation,\$completion_async_state" always;
    }
}
EOC
$t->run($conf);

my @answers;
subtest 'a file is taken without the line ends behind it' => sub {
    for (@good) {
        my ($name, undef, $key) = @$_;
        for ([ api_key => 'Api-Key' ], [ iam_token => 'Bearer' ]) {
            my ($kind, $scheme) = @$_;
            my $r = $t->request(POST => "/$kind/$name", body => 'To be');
            is $r->{status}, 202, "$kind, $name: accepted";
            is(($e->submits)[-1]{headers}{authorization}, "$scheme $key", "$kind, $name: as it is");
            my $done = $t->poll_until_done($r->header('Location'));
            is $done->{status}, 200, "$kind, $name: polled";
            is(($e->polls)[-1]{headers}{authorization}, "$scheme $key", "$kind, $name: with it");
            push @answers, $r, $done;
        }
    }
};

# Upstream that tells all it knows about the request.
subtest 'an answer that quotes the request' => sub {
    my $key = $good[0][2];
    my $words = "key $key of " . $t->folder . " in gpt://" . $t->folder . "/yandexgpt-lite";
    for my $status (400, 401, 403, 404, 429, 500, 503) {
        $e->fault(submit => 'every', status => $status, message => $words, reason => $key,
            headers => { 'x-request-id' => $key, 'x-server-trace-id' => $t->folder },
            retry_after => 90);
        push @answers, $t->request(POST => '/api_key/plain', body => 'x',
            headers => { Accept => $_ }) for 'application/json', 'text/plain';
        $e->clear_faults;
        is $answers[-1]{status}, { 400 => 400, 429 => 429, 500 => 424, 503 => 503 }->{$status} // 502,
            "a $status";
    }

    # The same in an operation that fails, for all that take it.
    my $r = $t->request(POST => '/api_key/plain', body => "[outcome=failed:3:$words]");
    push @answers, $r, $t->poll_until_done($r->header('Location'));
    is $answers[-1]->json->{error}{code}, 3, 'an operation that failed';
    for my $accept ('text/plain', 'text/event-stream') {
        push @answers,
            $t->request(GET => $r->header('Location'), headers => { Accept => $accept });
    }
    ok length $answers[-1]{body}, 'as a stream, too';
};

subtest 'no answer shows them' => sub {
    my $any = join '|', map { quotemeta } $t->folder, map { $_->[2] } @good;
    cmp_ok scalar @answers, '>', 40, 'of all these answers';
    is_deeply [ grep { /$any/ } map { $_->{raw} } @answers ], [], 'none does';
};

subtest 'nginx -T dumps none' => sub {
    my $any = join '|', map { quotemeta $_->[2] } @good;
    $t->conf($conf);
    my $pid = $t->_spawn(
        'dump.out', $t->_environment(leaks => 0), $t->_binary, '-T', '-p', $t->testdir . '/',
        '-c', $t->testdir . '/nginx.conf', '-e', $t->testdir . '/dump.log',
    );
    waitpid $pid, 0;
    my $dump = $t->read_file('dump.out');
    like $dump, qr/completion_async_provider api_key0/, 'the configuration is there';
    unlike $dump, qr/$any/, 'the credentials are not';
    unlike $t->read_file('dump.log'), qr/$any/, 'nor are they in its log';
};

subtest 'nginx -t refuses without repeating' => sub {
    my $secret = 'AQVNliteral0literal0literal';
    $t->write_file('empty.key', '');
    $t->write_file('blank.key', "\r\n\n");
    $t->write_file('inner.key', "$secret\nX-More: $secret\n", 0600);
    $t->write_file('cr.key',    "$secret\r$secret\n", 0600);
    $t->write_file('nul.key',   "$secret\0$secret\n", 0600);
    mkdir $t->testdir . '/directory.key';

    for my $kind (qw(api_key iam_token)) {
        for (
            [ 'a literal',               $secret ],
            [ 'a quoted literal',        qq("$secret") ],
            [ 'a literal with a scheme', "data:$secret" ],
            [ 'a variable',              "\$$secret" ],
            [ 'two literals',            "$secret $secret" ],
            [ 'a missing file',          'file:%%TESTDIR%%/missing.key' ],
            [ 'an empty file',           'file:%%TESTDIR%%/empty.key' ],
            [ 'an empty line',           'file:%%TESTDIR%%/blank.key' ],
            [ 'a directory',             'file:%%TESTDIR%%/directory.key' ],
            [ 'a second line',           'file:%%TESTDIR%%/inner.key' ],
            [ 'a CR inside',             'file:%%TESTDIR%%/cr.key' ],
            [ 'a NUL inside',            'file:%%TESTDIR%%/nul.key' ],
            [ 'no file name',            'file:' ],
        ) {
            my ($name, $value) = @$_;
            my ($status, $output) = checked("$kind $value;");
            is $status, 1, "$kind, $name: refused";
            like $output, qr/\[emerg\] .*nginx_t\.conf:[0-9]+/, "$kind, $name: with its line";
            unlike $output, qr/literal0/, "$kind, $name: not repeated";
        }
    }
    for (
        [ 'submit_url',     'https://user:AQVNliteral0@localhost/submit' ],
        [ 'operations_url', 'https://AQVNliteral0@localhost/operations' ],
        [ 'proxy',          'http://user:AQVNliteral0@localhost:3128' ],
    ) {
        my ($directive, $url) = @$_;
        my %other = (
            submit_url     => 'http://127.0.0.1/submit',
            operations_url => 'http://127.0.0.1/operations',
        );
        delete $other{$directive};
        my ($status, $output) = $t->nginx_t($t->http_conf(
            'completion_async_provider it { zone it 1m; folder %%FOLDER%%; '
                . "api_key file:%%API_KEY_FILE%%; $directive $url; "
                . join(' ', map { "$_ $other{$_};" } sort keys %other) . ' }'
        ));
        is $status, 1, "$directive with credentials: refused";
        like $output, qr/\[emerg\] .*nginx_t\.conf:[0-9]+/, "$directive: with its line";
        unlike $output, qr/literal0/, "$directive: not repeated";
    }
};

subtest 'nginx -t warns of a file that others may read' => sub {
    $t->write_file('open.key',  "$good[0][2]\n", 0604);
    $t->write_file('group.key', "$good[0][2]\n", 0640);

    my ($status, $output) = checked('api_key file:%%TESTDIR%%/open.key;');
    is $status, 0, 'o+r is no error';
    like $output, qr/\[warn\] .*open\.key/, 'but a warning';
    ($status, $output) = checked('api_key file:%%TESTDIR%%/group.key;');
    is $status, 0, 'g+r is no error';
    unlike $output, qr/\[warn\] .*others/, 'nor that warning';
};

$t->done;
