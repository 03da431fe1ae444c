# A submit: what upstream gets to see of it, and what the client gets back.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.5 });
my $token = 't1.' . join '', map { ('A' .. 'Z', 'a' .. 'z', 0 .. 9)[rand 62] } 1 .. 200;

$t->secret($token);
$t->write_file('iam.token', "$token\r\n", 0600);
$t->emulator->set(iam_token => $token);

$t->run($t->http_conf(<<'EOC'));
log_format ids '$request_id $completion_async_operation';
completion_async_provider yandex { zone yandex 1m; %%PROVIDER%% poll_interval 100ms 300ms; }
completion_async_provider token {
    zone            token 1m;
    folder          %%FOLDER%%;
    iam_token       file:%%TESTDIR%%/iam.token;
    submit_url      %%UPSTREAM%%/foundationModels/v1/completionAsync;
    operations_url  %%UPSTREAM%%/operations;
    data_logging    on;
}
completion_async_provider nowhere {
    zone            nowhere 1m;
    api_key         file:%%API_KEY_FILE%%;
    submit_url      %%UPSTREAM%%/foundationModels/v1/completionAsync;
    operations_url  %%UPSTREAM%%/operations;
}
server {
    listen 127.0.0.1:%%PORT%%;
    access_log %%TESTDIR%%/ids.log ids;

    completion_async_message     system "Найди ошибки в тексте и исправь их";
    completion_async_temperature 0.1;
    completion_async_max_tokens  2000;

    location /fix {
        client_max_body_size   2m;
        completion_async       yandex;
        completion_async_model yandexgpt-lite;
    }
    location /slash/ {
        completion_async       yandex;
        completion_async_model yandexgpt-lite;
    }
    location /token {
        completion_async       token;
        completion_async_model yandexgpt-lite;
    }
    location /uri {
        completion_async       nowhere;
        completion_async_model gpt://%%FOLDER%%/yandexgpt/latest@abc;
    }
    location = /exact {
        completion_async                yandex;
        completion_async_model          yandexgpt-lite;
        completion_async_operations_uri https://api.example.com/operations/;
    }
}
EOC

my $emulator = $t->emulator;
my $text = 'Ламинат подойдет для укладке на кухне или в детской комнате.';
my $bytes = $text;
utf8::encode($bytes);

my %seed = (
    modelUri          => 'gpt://' . $t->folder . '/yandexgpt-lite',
    completionOptions => { temperature => 0.1, maxTokens => '2000' },
    messages          => [
        { role => 'system', text => 'Найди ошибки в тексте и исправь их' },
        { role => 'user',   text => $text },
    ],
);

# Connection, Accept and User-Agent belong to whoever speaks HTTP; nothing else may be there.
my @may = qw(accept accept-encoding connection content-length content-type host user-agent);
my @own = qw(x-client-request-id x-data-logging-enabled x-folder-id);


sub last_submit () { ($emulator->submits)[-1] }


# The line of the submit of this operation, which is written after the answer.
sub logged ($operation) {
    return wait_until(sub {
        (grep { / $operation$/ } split /\n/, $t->read_file('ids.log'))[0]
    }) // '';
}


subtest 'what upstream sees' => sub {
    my $r = $t->request(
        POST    => '/fix?debug=1',
        body    => $bytes,
        headers => [
            'Content-Type'           => 'text/plain; charset=utf-8',
            'Authorization'          => 'Basic dXNlcjpwYXNz',
            'Cookie'                 => 'session=private',
            'User-Agent'             => 'client/1.0',
            'Accept'                 => 'application/json;q=0.9',
            'Accept-Language'        => 'ru',
            'Referer'                => 'https://client.example/',
            'X-Forwarded-For'        => '192.0.2.7',
            'X-Folder-Id'            => 'b1gclient',
            'X-Data-Logging-Enabled' => 'true',
            'X-Client-Request-Id'    => 'client',
            'X-Request-Id'           => 'client',
            'X-Api-Key'              => 'client',
            'Idempotency-Key'        => 'client-key',
            'Prefer'                 => 'respond-async',
            'Traceparent'            => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        ],
    );
    is $r->{status}, 202, 'accepted';

    my $submit  = last_submit();
    my $headers = $submit->{headers};

    is $submit->{method}, 'POST', 'method';
    is $submit->{path}, '/foundationModels/v1/completionAsync', 'path, without a query';
    is_deeply $submit->{json}, \%seed, 'the body is the request and nothing more'
        or diag($submit->{body});
    like $submit->{body}, qr/"temperature":0\.1[,}]/, 'temperature as it was written';
    ok $submit->{body_complete}, 'the whole body was read';

    is $headers->{'content-type'}, 'application/json', 'Content-Type';
    is $headers->{'content-length'}, do { utf8::encode(my $b = $submit->{body}); length $b },
        'Content-Length';
    is $headers->{authorization}, 'Api-Key ' . $t->api_key, 'Authorization';
    is $headers->{'x-folder-id'}, $t->folder, 'x-folder-id';
    is $headers->{'x-data-logging-enabled'}, 'false', 'x-data-logging-enabled';
    is $headers->{host}, $emulator->url =~ s{^http://}{}r, 'Host';

    my ($request_id) = logged($submit->{operation}) =~ /^([0-9a-f]{32}) /;
    $request_id //= 'not logged';
    is $headers->{'x-client-request-id'},
        $request_id =~ s/^(.{8})(.{4})(.{4})(.{4})(.{12})$/$1-$2-$3-$4-$5/r,
        'x-client-request-id is the UUID made of $request_id';

    my %allowed = map { $_ => 1 } @may, @own, 'authorization';
    is_deeply [ grep { !$allowed{$_} } sort keys %$headers ], [], 'no other header';
    unlike join("\n", values %$headers), qr/client|private|dXNlcjpwYXNz|192\.0\.2\.7|b7ad6b71/,
        'nothing of the client\'s';
    unlike $submit->{body}, qr/debug|client|private/, 'nor in the body';
};


subtest 'the upstream connection' => sub {
    my @before = $emulator->submits;
    for (1 .. 3) {
        is $t->request(POST => '/fix', body => "again $_")->{status}, 202, "submit $_";
    }
    my @submits = ($emulator->submits)[-3 .. -1];

    is scalar $emulator->submits, @before + 3, 'one upstream request for each';
    is $_->{version}, '1.1', 'HTTP/1.1' for @submits;
    # Polls use connections, too, so that a submit may find none that is idle.
    ok((grep { $_->{nth} > 1 } @submits) > 0, 'connections are used again')
        or diag(encode_json([ map { [ @$_{qw(connection nth)} ] } @submits ]));
    ok !exists $_->{headers}{expect}, 'no Expect' for @submits;

    $t->request(POST => '/fix', body => 'long ' x 300_000);
    my $long = last_submit();
    is length $long->{json}{messages}[1]{text}, 1_500_000, 'a long body arrives whole';
    ok !exists $long->{headers}{expect}, 'without Expect';
    ok !exists $long->{headers}{'transfer-encoding'}, 'and not in chunks';
};


subtest 'what the client gets' => sub {
    my $before = $emulator->submits;
    my $r = $t->request(POST => '/fix', body => $bytes);
    my ($id, $json) = ($r->json->{id}, $r->json);
    my $submit = last_submit();

    is $r->{status}, 202, 'accepted';
    is $r->header('Content-Type'), 'application/json', 'Content-Type';
    is $r->header('Cache-Control'), 'no-store', 'Cache-Control';
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'Retry-After';
    is $r->header('Location'), "/fix/operations/$id", 'a relative Location';
    like $id, qr/^[A-Za-z0-9_-]+$/, 'the id';
    is $json->{done}, Mojo::JSON->false, 'not done';
    is $json->{createdBy}, '', 'createdBy is blanked';
    is $json->{description}, 'Async GPT Completion', 'description';
    ok exists $json->{metadata}, 'metadata';
    is $json->{metadata}, undef, 'is null';
    unlike $r->{raw}, qr/ajee6cl1ls1tvrh2mtab/, 'the account is nowhere';
    unlike $r->{raw}, qr/@{[ $t->folder ]}/, 'nor is the folder';
    ok !defined $r->header('ETag'), 'no ETag';
    ok !defined $r->header('Preference-Applied'), 'no preference was there';
    is scalar $emulator->submits, $before + 1, 'submitted once';

    isnt $id, $submit->{operation}, 'the id is not upstream\'s';
    isnt logged($submit->{operation}), '', 'upstream\'s is in the log';
    is $t->request(GET => $r->header('Location'))->json->{id}, $id, 'the location answers';
};


subtest 'forms of the location' => sub {
    for my $path ('/fix', '/fix/') {
        my $r = $t->request(POST => $path, body => 'x');
        is $r->{status}, 202, "POST $path";
        like $r->header('Location'), qr{^/fix/operations/[\w-]+$}, 'its operations';
    }
    my $r = $t->request(POST => '/slash/', body => 'x');
    is $r->{status}, 202, 'a location with a slash at its end';
    like $r->header('Location'), qr{^/slash/operations/[\w-]+$}, 'one slash is dropped';
    is $t->request(GET => $r->header('Location'))->{status}, 200, 'polled';

    $r = $t->request(POST => '/exact', body => 'x');
    is $r->{status}, 202, 'an exact location';
    is $r->header('Location'), 'https://api.example.com/operations/' . $r->json->{id},
        'completion_async_operations_uri, as it is';

    my @before = $emulator->submits;
    for my $path ('/fix/other', '/fixed', '/fix/operations', '/fix/operations/') {
        my $r = $t->request(POST => $path, body => 'x');
        is $r->{status}, 404, "POST $path is not found";
    }
    is scalar $emulator->submits, @before, 'nothing was submitted';
};


subtest 'credentials and other providers' => sub {
    my $r = $t->request(POST => '/token', body => 'x');
    is $r->{status}, 202, 'an IAM token';
    my $headers = last_submit()->{headers};
    is $headers->{authorization}, "Bearer $token", 'as Bearer, line ends dropped';
    is $headers->{'x-folder-id'}, $t->folder, 'x-folder-id';
    isnt $headers->{'x-data-logging-enabled'} // '', 'false', 'data_logging on';

    $r = $t->request(POST => '/uri', body => 'x');
    is $r->{status}, 202, 'a model as URI, without a folder';
    is last_submit()->{json}{modelUri}, 'gpt://' . $t->folder . '/yandexgpt/latest@abc', 'modelUri';
    ok !exists last_submit()->{headers}{'x-folder-id'}, 'no folder, no x-folder-id';
};


subtest 'a client that hangs up' => sub {
    for my $how ([ 'closes' => 0 ], [ 'resets' => 1 ]) {
        my ($name, $reset) = @$how;
        my @before = $emulator->submits;

        # Upstream is slow to answer, so that the client is gone by then.
        $emulator->fault(submit => 1, delay => 0.3);
        $t->hang_up(POST => '/fix', body => "from one who $name", reset => $reset);

        ok $emulator->wait_for(submit => @before + 1, 5), "$name: submitted all the same";
        ok $emulator->wait_over(submit => @before + 1, 5), 'and the answer was awaited';

        my $submit = last_submit();
        is $submit->{json}{messages}[1]{text}, "from one who $name", 'its text';
        is $submit->{end}, 'keep', 'upstream did not see a hang-up';

        ok wait_until(sub { scalar $emulator->polls($submit->{operation}) }),
            'its operation is watched';
    }

    my @before = $emulator->submits;
    my $length = length $t->client->format(POST => '/fix', body => 'half a request');
    $t->hang_up(POST => '/fix', body => 'half a request', at => $length - 5);
    is $t->request(POST => '/fix', body => 'a whole one')->{status}, 202, 'one that is whole is';
    is scalar $emulator->submits, @before + 1, 'half a request is not submitted';
};


$t->done;
