# Polls: what they say, how long it may be kept, and what they cost upstream.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(path => '/yandex', emulator => { delay => 60 });

$t->run($t->http_conf(<<'EOC'));
keepalive_requests 10000;
completion_async_provider yandex {
    zone yandex 4m; %%PROVIDER%% poll_interval 100ms 200ms;
}
completion_async_provider calm {
    zone calm 1m; %%PROVIDER%% poll_interval 500ms 1s;
}
completion_async_provider small {
    zone small 256k; %%PROVIDER%% poll_interval 50ms 100ms; poll_rate 2000r/s;
}
completion_async_provider tiny {
    zone tiny 256k; %%PROVIDER%% poll_interval 50ms 100ms; request_timeout 2s;
}
completion_async_provider brief {
    zone brief 1m; %%PROVIDER%% poll_interval 100ms 200ms; retention 1s;
}
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;

    location /yandex { completion_async yandex; }
    location /calm   { completion_async calm; }
    location /small  { completion_async small; }
    location /tiny   { completion_async tiny; }
    location /brief  { completion_async brief; }
    location /owned  { completion_async yandex; completion_async_owner $http_x_user; }
}
EOC

my $emulator = $t->emulator;


sub finished ($text, %arg) {
    my ($location, $id) = $t->submit("$text [delay=0]", %arg)->@{qw(location upstream)};
    my $r = $t->poll_until_done($location, headers => $arg{headers} // {});
    return wantarray ? ($location, $r, $id) : $location;
}


# The last operation as upstream says it, byte for byte.
sub upstream_says ($id) {
    my $client = CompletionAsync::Client->new(port => $emulator->port);
    return $client->request(
        GET     => "/operations/$id",
        headers => { Authorization => 'Api-Key ' . $t->api_key },
        close   => 1,
    )->{body};
}


# Documents differ in the id and in createdBy only, and in how characters are escaped.
sub same ($body, $capability, $document, $id) {
    my $expected = $document =~ s/"id":"$id"/"id":"$capability"/r
        =~ s/"createdBy":"[^"]*"/"createdBy":""/r;
    $expected =~ s{\\u0041 \\ud83d\\ude00 \\/}{A \xf0\x9f\x98\x80 /} if $body !~ /\\u0041/;
    return $body eq $expected;
}


subtest 'pending' => sub {
    my ($location, $id) = $t->submit('a')->@{qw(location upstream)};
    my $capability = $location =~ s{.*/}{}r;
    my $r = $t->poll($location);
    my $json = $r->json;

    is $r->{status}, 200, 'status';
    is $r->header('Content-Type'), 'application/json', 'Content-Type';
    is $r->header('Cache-Control'), 'no-store', 'Cache-Control';
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'Retry-After';
    is $r->header('ETag'), undef, 'no ETag';
    is $json->{id}, $capability, 'id';
    ok exists $json->{done} && !$json->{done}, 'done is false';
    ok !exists $json->{response} && !exists $json->{error}, 'neither response nor error';
    is $json->{createdBy}, '', 'createdBy is blanked';
    ok same($r->{body}, $capability, upstream_says($id), $id), 'spelled as upstream spells it'
        or diag("$r->{body}\n", upstream_says($id));

    for my $tag ('*', '"x"', '"j-0000000000000000"', 'W/"x", *') {
        $r = $t->poll($location, headers => { 'If-None-Match' => $tag });
        is $r->{status}, 200, "If-None-Match: $tag is no 304";
        is $r->json->{done}, Mojo::JSON->false, 'but the pending answer';
    }
    $r = $t->poll($location,
        headers => { 'If-Modified-Since' => 'Fri, 31 Dec 2060 23:59:59 GMT' });
    is $r->{status}, 200, 'nor is If-Modified-Since';

    $r = $t->request(HEAD => $location);
    is $r->{status}, 200, 'HEAD';
    is $r->{body}, '', 'has no body';
    is $r->header('Cache-Control'), 'no-store', 'Cache-Control of HEAD';
    like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'Retry-After of HEAD';

    # Upstream may leave "done" out.
    my ($absent, $absent_id) = $t->submit('b [done_absent=1]')->@{qw(location upstream)};
    wait_until(sub { $emulator->polls($absent_id) >= 2 });
    $json = $t->poll($absent)->json;
    ok exists $json->{done} && !$json->{done}, 'done that is absent is false';

    $emulator->finish($id);
    is $t->poll_until_done($location)->json->{done}, Mojo::JSON->true, 'in the end it is done';
};


subtest 'an early error' => sub {
    my ($location, $id) = $t->submit('a [outcome=early_error]')->@{qw(location upstream)};
    # The second comes when the answer to the first was read.
    wait_until(sub { $emulator->polls($id) >= 2 });
    my $r = $t->poll($location);
    is $r->json->{done}, Mojo::JSON->false, 'an error while done is false is not the end';
    is $r->header('Cache-Control'), 'no-store', 'and is not kept';
    $emulator->finish($id, 'final');
    is $t->poll_until_done($location)->json->{response}{alternatives}[0]{message}{text},
        'echo: a [outcome=early_error]', 'the end comes later';
};


subtest 'finished' => sub {
    for my $outcome (qw(final truncated filter partial unspecified tool_calls alternatives no_usage
        reasoning null_dates fraction exotic status:ALTERNATIVE_STATUS_NEW))
    {
        my ($location, $r, $id) = finished("a [outcome=$outcome]");
        my $capability = $location =~ s{.*/}{}r;

        is $r->{status}, 200, "$outcome: 200";
        is $r->json->{id}, $capability, 'our id';
        ok same($r->{body}, $capability, upstream_says($id), $id), 'else as upstream spells it'
            or diag("$r->{body}\n", upstream_says($id));
    }

    my ($location, $r) = finished('a [outcome=exotic]');
    my $future = '"futureMember":{"n":1.50e+2,"big":12345678901234567890,"list":[null,true,-0.0]}';
    ok index($r->{body}, $future) > 0, 'unknown members and the spelling of numbers are kept';

    my $error = finished('a [outcome=error0]');
    my $json = $t->request(GET => $error)->json;
    is $json->{response}{alternatives}[0]{status}, 'ALTERNATIVE_STATUS_FINAL',
        'an error of code 0 is none';

    $r = $t->request(GET => finished('a [outcome=huge]'));
    is length $r->json->{response}{alternatives}[0]{message}{text}, 1_500_000, 'a large result';
};


subtest 'an end that says nothing' => sub {
    my ($location, $r) = finished('a [outcome=empty]');
    is $r->json->{done}, Mojo::JSON->true, 'is an end';
    is $r->json->{error}{code}, 13, '... and a failure, not an empty text';
    $r = $t->poll($location, headers => { Accept => 'text/plain' });
    is $r->{status}, 424, '... as text, too';
};


subtest 'failed' => sub {
    my ($location, $r) = finished('a [outcome=failed:8:no luck]');
    my $error = $r->json->{error};

    is $r->{status}, 200, 'failed is 200';
    is $r->json->{done}, Mojo::JSON->true, 'and done';
    is $error->{code}, 8, 'with the code';
    is $error->{message}, 'no luck', 'and the message';
    is_deeply $error->{details}, [], 'and details';
    ok defined $r->header('ETag'), 'what upstream says is final has an ETag';
    like $r->header('Cache-Control'), qr/immutable/, 'and is kept';

    ($location, $r) = finished('a [outcome=leak:3:the reason: why]');
    is $r->json->{error}{message}, 'the reason: why', 'the session is cut off, the reason stays';
    unlike $r->{body}, qr/internal_id|request_id|folder_id/, 'nothing leaks';

    my ($pending, $id) = $t->submit('a')->@{qw(location upstream)};
    $emulator->finish($id, 'failed:7:Permission to [resource-manager.folder ' . $t->folder
        . '] denied');
    $r = $t->poll_until_done($pending);
    is $r->json->{error}{code}, 7, 'a permission that is missing';
    unlike $r->{body}, qr/@{[ $t->folder ]}/, 'the folder is not told';
    like $r->json->{error}{message}, qr/^Permission.*denied/, 'but what it is about';

    ($pending, $id) = $t->submit('a')->@{qw(location upstream)};
    $emulator->finish($id, 'failed:13:folder ' . $t->folder . ' key ' . $t->api_key . ' end');
    $r = $t->poll_until_done($pending);
    unlike $r->{body}, qr/@{[ $t->folder ]}|@{[ $t->api_key ]}/, 'nor anywhere else in a message';
    like $r->json->{error}{message}, qr/end$/, 'whose rest is kept';
};


subtest 'caches' => sub {
    my ($location, $r) = finished('a');
    my $age = 72 * 3600;

    is $r->header('Vary'), 'Accept', 'Vary';
    my ($max) = ($r->header('Cache-Control') // '') =~ /^private, max-age=([0-9]+), immutable$/;
    ok defined $max && $max <= $age && $max > $age - 60, 'kept for the rest of 72 hours'
        or diag($r->header('Cache-Control'));
    is $r->header('Retry-After'), undef, 'nothing is to be awaited';
    my $etag = $r->header('ETag');
    like $etag, qr/^"[\x21\x23-\x7e]+"$/, 'a strong ETag';
    is $t->poll($location)->header('ETag'), $etag, 'that stays';

    my $text = $t->poll($location, headers => { Accept => 'text/plain' });
    isnt $text->header('ETag'), $etag, 'each representation has its own';
    like $text->header('ETag'), qr/^"[\x21\x23-\x7e]+"$/, 'that of the text';
    is $text->header('Vary'), 'Accept', 'Vary of the text';
    like $text->header('Cache-Control'), qr/^private, max-age=[0-9]+, immutable$/,
        'Cache-Control of the text';

    my %match = ($etag => 304, "W/$etag" => 304, '*' => 304, "\"x\", $etag" => 304,
        '"x"' => 200, $text->header('ETag') => 200, $etag =~ s/"//gr => 200);
    for my $tag (sort keys %match) {
        $r = $t->poll($location, headers => { 'If-None-Match' => $tag });
        is $r->{status}, $match{$tag}, "If-None-Match: $tag is $match{$tag}";
        next if $match{$tag} != 304;
        is $r->{body}, '', 'without a body';
        is $r->header('ETag'), $etag, 'with its ETag';
        is $r->header('Vary'), 'Accept', 'Vary';
        like $r->header('Cache-Control') // '', qr/immutable/, 'and Cache-Control';
    }
    $r = $t->poll($location,
        headers => { 'If-None-Match' => $text->header('ETag'), Accept => 'text/plain' });
    is $r->{status}, 304, 'the text is matched by its own';

    my $get  = $t->poll($location);
    my $head = $t->request(HEAD => $location);
    is $head->{status}, 200, 'HEAD';
    is $head->{body}, '', 'has no body';
    is $head->header($_), $get->header($_), "$_ of HEAD is that of GET"
        for qw(ETag Vary Content-Type Content-Length);
    is $t->request(HEAD => $location, headers => { 'If-None-Match' => $etag })->{status}, 304,
        'HEAD and If-None-Match';

    my $other = $t->request(GET => scalar finished('b'));
    isnt $other->header('ETag'), $etag, 'another operation has another ETag';

    ($location, $r) = finished('a', path => '/owned', headers => { 'X-User' => 'alice' });
    is $r->header('Cache-Control'), 'private, no-cache', 'with an owner: asked every time';
    $etag = $r->header('ETag');
    is $t->poll($location,
        headers => { 'X-User' => 'alice', 'If-None-Match' => $etag })->{status}, 304,
        'and answered 304';
    is $t->poll($location,
        headers => { 'X-User' => 'mallory', 'If-None-Match' => $etag })->{status}, 404,
        'but not to others';
};


subtest 'a submit that is done at once' => sub {
    $emulator->set(delay => 0);
    my $r = $t->request(POST => '/yandex', body => 'a');
    $emulator->set(delay => 60);
    is $r->{status}, 202, 'is 202 all the same';
    is $r->header('Cache-Control'), 'no-store', 'and not kept';
    is $r->json->{done}, Mojo::JSON->true, 'though done';
    is $t->request(GET => $r->header('Location'))->json->{done}, Mojo::JSON->true, 'as a poll says';
};


subtest 'clients do not reach upstream' => sub {
    $emulator->fault(poll => 1, text => 'a calm one', hold => 'poll');
    my ($location, $id) = $t->submit('a calm one', path => '/calm')->@{qw(location upstream)};
    my $client = $t->client;

    # before the first poll, which comes after half a second, and while it is on its way
    for my $n (1 .. 100) {
        my $r = $client->request(GET => $location);
        die "poll $n: ", $r->{status} // $r->{error} if ($r->{status} // 0) != 200;
        ok wait_until(sub { $emulator->polls($id) }), 'upstream is asked' if $n == 50;
    }
    is scalar $emulator->polls($id), 1, '100 polls of clients, one of upstream';
    $emulator->release('poll');

    my ($done, $r, $finished) = finished('b');
    my $before = $emulator->polls($finished);
    $client->request(GET => $done) for 1 .. 50;
    is scalar $emulator->polls($finished), $before, 'a finished one is not asked for again';
};


subtest 'states only go forward' => sub {
    my ($location, $id) = $t->submit('a')->@{qw(location upstream)};
    ok $emulator->wait_for(poll => 1), 'watched';

    for my $fault ([ status => 500 ], [ status => 503 ], [ reset => 'request' ],
        [ mangle => 'bad_json' ], [ status => 401 ])
    {
        my $before = $emulator->polls($id);
        $emulator->fault(poll => 'every', operation => $id, @$fault);
        wait_until(sub { $emulator->polls($id) > $before });
        my $r = $t->poll($location);
        is $r->{status}, 200, "@$fault: what was known is told";
        is $r->json->{done}, Mojo::JSON->false, 'still pending';
        $emulator->clear_faults;
    }
    $emulator->finish($id);
    my $r = $t->poll_until_done($location, timeout => 15);
    is $r->json->{done}, Mojo::JSON->true, 'done when upstream says so';

    $emulator->forget($id);
    is $t->poll($location)->json->{done}, Mojo::JSON->true,
        'and it stays so whatever upstream knows';
};


subtest 'evicted results' => sub {
    my $count = 1200;
    my $client = $t->client(timeout => 20);
    my (@locations, $refused);

    # Operations of other zones are still pending, and watched.
    my $since = $emulator->journal;
    my $polls_of_ours = sub {
        my @journal = $emulator->journal(since => $since);
        my %ours = map { ($_->{operation} => 1) } grep { $_->{kind} eq 'submit' } @journal;
        return scalar grep { $_->{kind} eq 'poll' && $ours{ $_->{operation} } } @journal;
    };

    $emulator->set(delay => 0);
    for my $n (1 .. $count) {
        my $r = $client->request(POST => '/small', body => "text $n");
        push @locations, $r->header('Location') if ($r->{status} // 0) == 202;
        $refused //= ($r->{status} // $r->{error}) . " at $n: $r->{body}" if $r->{status} != 202;
    }
    is scalar @locations, $count, "$count operations through a small zone" or diag($refused);

    my $polls = $polls_of_ours->();
    my @bad;
    for my $n (0 .. 19, map({ $_ * 50 } 1 .. 22), $#locations) {
        my $r = $client->request(GET => $locations[$n]);
        my $json = $r->json // {};
        my $text = eval { $json->{response}{alternatives}[0]{message}{text} } // '';
        push @bad, "$n: $r->{status} $r->{body}" if $text ne 'echo: text ' . ($n + 1);
    }
    is scalar @bad, 0, 'evicted ones still answer' or diag($bad[0]);
    cmp_ok $polls_of_ours->(), '>', $polls, 'for which upstream was asked again';

    # What was fetched again is kept for those who come next.
    my $again = $polls_of_ours->();
    $client->request(GET => $locations[-1]) for 1 .. 5;
    is $polls_of_ours->(), $again, 'and only once';
    $emulator->set(delay => 60);
};


subtest 'one fetch for many' => sub {
    # The oldest of the small zone is long gone from it.
    $emulator->set(delay => 0);
    my ($location, $id) = $t->submit('first', path => '/small')->@{qw(location upstream)};
    my $client = $t->client(timeout => 20);
    $client->request(POST => '/small', body => "filler $_") for 1 .. 400;
    my $before = $emulator->polls($id);
    $emulator->fault(poll => 'every', operation => $id, delay => 0.3);

    my @answers = $t->concurrent(map { [ GET => $location ] } 1 .. 20);
    is scalar(grep { eval { $_->json->{done} } } @answers), 20, 'all get the result';
    is $emulator->polls($id) - $before, 1, 'upstream is asked once';
    $emulator->clear_faults;
    $emulator->set(delay => 60);
};


subtest 'a result larger than the zone' => sub {
    my ($location, $id)
        = $t->submit('a [size=400000] [delay=0]', path => '/tiny')->@{qw(location upstream)};
    my $r = $t->poll($location);
    my $text = eval { $r->json->{response}{alternatives}[0]{message}{text} } // '';

    is length $text, 400_000, 'is an answer all the same' or diag($r->{status}, $r->{body});
    cmp_ok scalar $emulator->polls($id), '<=', 3, 'that costs a poll, not a storm of them';
};


subtest 'retention' => sub {
    my ($location, $r, $id) = finished('a', path => '/brief');
    my $before = $emulator->polls($id);
    my ($born) = map { $_->{time} } grep { $_->{operation} eq $id } $emulator->submits;

    $t->poll($location);
    is scalar(grep { $_->{time} < $born + 1 } $emulator->polls($id)), $before,
        'within its time it is in the zone';

    wait_until(sub {
        $r = $t->poll($location);
        return $emulator->polls($id) > $before;
    });
    cmp_ok scalar $emulator->polls($id), '>', $before, 'later upstream is asked again';
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: a [delay=0]',
        'and the answer is the same';
};


$t->done;
