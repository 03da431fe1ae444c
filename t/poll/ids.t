# Ids are capabilities: who holds the key can verify them, and nobody else can make one.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64url);
use Test::More;
use CompletionAsync::Metrics;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(path => '/a', emulator => { delay => 60 });

# Taken as they are, line ends and NUL included.
my $first  = "first key\n\0" . join('', map { chr rand 256 } 1 .. 40) . "\n";
my $second = join '', map { chr rand 256 } 1 .. 32;

$t->write_file('first.key', $first, 0600);
$t->write_file('second.key', $second, 0600);

my $http = <<'EOC';
completion_async_provider yandex {
    zone yandex 1m; %%PROVIDER%% id_key %%KEYS%%; poll_interval 100ms 200ms; request_timeout 3s;
}
completion_async_provider other {
    zone other 1m; %%PROVIDER%% id_key %%KEYS%%;
}
completion_async_provider random {
    zone random 1m; %%PROVIDER%% poll_interval 100ms 200ms;
}
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;

    location /a      { completion_async yandex; }
    location /b/     { completion_async yandex; }
    location /other  { completion_async other; }
    location /owned  { completion_async yandex; completion_async_owner $http_x_user; }
    location /mine   { completion_async yandex; completion_async_owner $http_x_user; }
    location /alice  { completion_async yandex; completion_async_owner alice; }
    location /random { completion_async random; }
    location /poll/  { completion_async_operations yandex; }
    location /metrics { completion_async_metrics; }
}
EOC

my $emulator = $t->emulator;
my %ALICE = (path => '/owned', headers => { 'X-User' => 'alice' });

sub keys_are (@names) {
    $t->define(KEYS => join ' ', map { 'file:' . $t->testdir . "/$_.key" } @names);
    return $t->http_conf($http);
}

$t->run(keys_are('first'));


# The layout of an id, made independently.
sub sign ($key, $provider, $owner, $claim) {
    my $text = pack 'C N/a* N/a* N/a*', 1, $provider, $owner, $claim;
    return $claim . encode_base64url(substr hmac_sha256($text, $key), 0, 18);
}


sub forge ($upstream, %arg) {
    my $time = $arg{time} // time;
    my $hex  = $arg{hex} // sprintf '%08x', $time;
    return sign($arg{key} // $first, $arg{provider} // 'yandex', $arg{owner} // '',
        $upstream . ($arg{kind} // 'p') . $hex);
}


sub get ($path, %arg) { $t->request(GET => $path, %arg) }
sub status ($path, %arg) { get($path, %arg)->{status} }


# Upstream's word for an operation that no nginx has submitted.
sub born_elsewhere ($text = 'a') {
    my $client = CompletionAsync::Client->new(port => $emulator->port);
    my $body = '{"modelUri":"gpt://' . $t->folder . '/yandexgpt-lite",'
        . "\"messages\":[{\"role\":\"user\",\"text\":\"$text\"}]}";
    return $client->request(
        POST    => '/foundationModels/v1/completionAsync',
        body    => $body,
        close   => 1,
        headers => {
            'Content-Type' => 'application/json',
            Authorization  => 'Api-Key ' . $t->api_key,
        },
    )->json->{id};
}


sub journal_length () { $emulator->state->{requests} }


# Everything of an answer that could tell one refusal from another.
sub face ($r) {
    my %header = %{ $r->{headers} };
    delete @header{qw(date connection)};
    return join "\n", $r->{status}, map({ "$_: $header{$_}" } sort keys %header), $r->{body};
}


my $refusal = get('/a/operations/nothing');

$t->refused($refusal, 404, 'operation_not_found', 'a refusal');


# Upstream's part of an id may be anything, if it is signed.
sub uri ($id) { $id =~ s/([^\w.:;%\/=-])/sprintf '%%%02X', ord $1/gear }


# All is done, and the zones know it: nobody asks upstream any more.
sub quiet () {
    $emulator->finish;
    wait_until(sub {
        my $metrics = CompletionAsync::Metrics->scrape($t, '/metrics');
        return !grep { $metrics->sum('operations', state => $_) } qw(submitting adopted pending);
    }) or die "upstream is never left alone\n";
}


# None of these ids may be told from another, nor reach upstream.
sub refused ($name, $ids, $path = '/a/operations/', %arg) {
    my $before = journal_length();
    my $client = $t->client(timeout => 20);
    my @bad;

    for my $id (@$ids) {
        for my $method ($arg{methods} ? @{ $arg{methods} } : qw(GET DELETE)) {
            my $r = $client->request($method => $path . uri($id), %arg);
            push @bad, "$method $id: $r->{raw}" if face($r) ne face($refusal);
        }
    }
    is scalar @bad, 0, "$name: one and the same 404" or diag($bad[0]);
    is journal_length(), $before, "$name: upstream is not asked";
}


subtest 'the id' => sub {
    my $before = time;
    my ($id, $upstream) = $t->submit->@{qw(id upstream)};
    my ($claim, $hex) = $id =~ /^(\Q$upstream\Ep([0-9a-f]{8}))[\w-]{24}$/;

    ok defined $claim, 'upstream\'s id, a time, a tag' or diag($id);
    is $id, sign($first, 'yandex', '', $claim), 'the tag is the HMAC';
    my @moments = map { int } $before, hex $hex, time;
    is_deeply [ sort { $a <=> $b } @moments ], \@moments, 'the time is that of the submit'
        or diag($hex);

    my ($owned, $name) = $t->submit('text', %ALICE)->@{qw(id upstream)};
    ($claim) = $owned =~ /^(.*)[\w-]{24}$/;
    is $owned, sign($first, 'yandex', 'alice', $claim), 'with an owner: over the owner, too';
};


subtest 'every location of the provider' => sub {
    my $id = $t->submit->{id};
    is status("/a/operations/$id"), 200, 'where it was submitted';
    is status("/b/operations/$id"), 200, 'another location';
    is status("/poll/$id"), 200, 'completion_async_operations';
    is status("/other/operations/$id"), 404, 'another provider has none of it';

    my $owned = $t->submit('text', %ALICE)->{id};
    is status("/mine/operations/$owned", headers => { 'X-User' => 'alice' }), 200,
        'an equal owner';
    is status("/alice/operations/$owned"), 200, 'spelled otherwise';
    is status("/mine/operations/$owned", headers => { 'X-User' => 'bob' }), 404, 'another owner';
    is status("/poll/$owned"), 404, 'no owner';
    is status("/owned/operations/$id", headers => { 'X-User' => 'alice' }), 404,
        'nobody\'s operation is not alice\'s';
};


subtest 'no owner' => sub {
    # Signed for nobody, and unknown here: were it not for the owner, upstream would be asked.
    my $id = forge(born_elsewhere());
    quiet();
    my $before = journal_length();

    for my $case ([ POST => '/owned' ], [ GET => "/owned/operations/$id" ],
        [ DELETE => "/owned/operations/$id" ], [ POST => "/owned/operations/$id:cancel" ],
        [ GET => '/owned/operations/nothing' ])
    {
        my ($method, $path) = @$case;
        for my $headers ({}, { 'X-User' => '' }) {
            my $r = $t->request($method => $path, headers => $headers, body => 'x');
            $t->refused($r, 403, 'forbidden', "$method $path");
        }
    }
    is journal_length(), $before, 'nothing goes upstream';
};


subtest 'forgeries' => sub {
    my ($id, $upstream) = $t->submit->@{qw(id upstream)};
    my $known = born_elsewhere();
    my @other = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '_', '-');

    is status("/a/operations/$id"), 200, 'the id itself';
    is status('/a/operations/' . forge($known)), 200, 'one made with the key';
    quiet();

    my (@flipped, @case, @bit);
    for my $at (0 .. length($id) - 1) {
        my $char = substr $id, $at, 1;
        substr(my $flipped = $id, $at, 1) = (grep { $_ ne $char } @other)[rand @other - 1];
        push @flipped, $flipped;

        next if $char !~ /[A-Za-z]/;
        substr(my $case = $id, $at, 1) = $char =~ /[a-z]/ ? uc $char : lc $char;
        push @case, $case;
    }
    refused('a character changed, at every position', \@flipped);
    refused('a letter\'s case changed', \@case);
    refused('the last character, all of them',
        [ map { substr($id, 0, -1) . $_ } grep { $_ ne substr $id, -1 } @other ]);
    refused('truncated', [ map { substr $id, 0, $_ } 1 .. length($id) - 1 ]);
    refused('cut at its beginning', [ map { substr $id, $_ } 1 .. length($id) - 1 ]);
    refused('something added', [ map({ ("$id$_", "$_$id") } qw(a A - _ 0 =)), "$id$id" ]);
    refused('too long', [ 'a' x 200, "$id" . 'a' x 500, 'a' x 4000 ]);
    refused('malformed', [ 'x', '-', '%ff',  "$id%20", "$id%2F", "$id/",
            "$id/x", "$id%0d%0aX:y", '%E2%98%83', "$id;a", 'a' x 33, 'a' x 57 ]);
    refused('cancelled through POST', [ map { "$_:cancel" } @flipped[0, 5, -1], 'nothing' ],
        '/a/operations/', methods => ['POST']);

    refused('without a tag', [ $upstream, "${upstream}p" . sprintf('%08x', time) ]);
    refused('another key', [ map { forge($known, key => $_) } $second, '',
            substr($first, 0, 32), $first =~ s/\n\z//r ]);
    refused('another provider', [ forge($known, provider => 'other'),
            forge($known, provider => ''), forge($known, provider => 'Yandex') ]);
    refused('another owner', [ forge($known, owner => 'alice') ]);
    refused('nobody\'s id for an owner', [ forge($known), forge($known, owner => 'bob') ],
        '/owned/operations/', headers => { 'X-User' => 'alice' });

    # Parts are told apart by their lengths: they cannot lend each other characters.
    refused('parts that shifted', [ forge($known, provider => 'yandexa', owner => 'lice'),
            forge($known, provider => 'yande', owner => 'xalice'),
            sign($first, 'yandex', 'alice' . substr($known, 0, 1),
                substr($known, 1) . 'p' . sprintf '%08x', time) ],
        '/owned/operations/', headers => { 'X-User' => 'alice' });

    # With a tag that is right, and nonsense under it.
    refused('an upstream id that is none', [ map { forge($_) } '', 'a.b', 'a b', 'a:cancel',
            'a?b', '..', "\xe9", 'a' x 65, 'a%2Fb', 'a/b', '%25' ]);
    refused('a time that is none', [ map { forge($known, hex => $_) } 'ffffffgf', '        ' ]);

    is status("/a/operations/$id"), 200, 'the id still answers';
    is status('/a/operations/' . forge('a' x 64)), 404,
        'an id of 64 characters is asked for upstream';
    is scalar $emulator->polls('a' x 64), 1, 'and unknown there';
};


subtest 'expiry' => sub {
    my ($young, $old) = (72 * 3600 - 300, 72 * 3600 + 300);
    my $known = born_elsewhere();

    is status('/a/operations/' . forge($known, time => time - $young)), 200, 'just below 72 hours';
    quiet();
    refused('expired', [ map { forge($known, time => time - $_) }
            $old, 100 * 3600, 2 * 365 * 86400 ]);

    # Even where the zone still knows it.
    refused('expired, although known', [ forge($known, time => time - $old) ]);
    is status('/a/operations/' . forge($known, time => time + 30)), 200, 'clocks may differ';

    my $r = $t->poll_until_done('/a/operations/' . forge($known, time => time - $young));
    my ($age) = $r->header('Cache-Control') =~ /^private, max-age=([0-9]+), immutable$/;
    ok defined $age && $age <= 300 && $age >= 200, 'what is left of 72 hours'
        or diag($r->header('Cache-Control'));
};


subtest 'adoption' => sub {
    my $known = born_elsewhere();
    my $path = '/a/operations/' . forge($known);
    my $r = get($path);

    is $r->{status}, 200, 'an operation of another nginx';
    is $r->json->{id}, $path =~ s{.*/}{}r, 'under its id';
    is $r->json->{done}, Mojo::JSON->false, 'pending';
    is $r->header('Cache-Control'), 'no-store', 'not kept';

    my $before = $emulator->polls($known);
    ok wait_until(sub { $emulator->polls($known) > $before }), 'is watched from now on';
    $emulator->finish($known);
    is $t->poll_until_done($path)->json->{done}, Mojo::JSON->true, 'until it is done';

    $known = born_elsewhere('[delay=0]');
    $path = '/a/operations/' . forge($known);
    $emulator->fault(poll => 'every', operation => $known, delay => 0.3);
    my @answers = $t->concurrent(map { [ GET => $path ] } 1 .. 10);
    is scalar(grep { eval { $_->json->{done} } } @answers), 10, 'a finished one, for ten at once';
    is scalar $emulator->polls($known), 1, 'upstream is asked once';
    is get($path)->json->{done}, Mojo::JSON->true, 'and again';
    is scalar $emulator->polls($known), 1, 'it is kept';
    $emulator->clear_faults;

    is status('/a/operations/' . forge($known, kind => 's')), 200, 'one of a shared cache';
    $r = $t->request(DELETE => '/a/operations/' . forge($known, kind => 's'));
    $t->refused($r, 409, 'request_conflict', 'which is not one client\'s to cancel');
    is scalar $emulator->cancels, 0, 'and nothing is cancelled';
};


subtest 'what upstream does not know' => sub {
    my $path = '/a/operations/' . forge('d7qunknown0000000000');
    my @answers = $t->concurrent(map { [ GET => $path ] } 1 .. 5);

    is scalar(grep { face($_) eq face($refusal) } @answers), 5, 'the same 404 for all';
    my $watched = $t->submit->{upstream};
    for my $n (1 .. 10) {
        is status($path), 404, 'and again';
        wait_until(sub { $emulator->polls($watched) >= $n / 3 });
    }
    is scalar $emulator->polls('d7qunknown0000000000'), 1, 'upstream was asked once';

    # The fault of an upstream that gives no answer is nobody's proof.
    my $known = born_elsewhere('[delay=0]');
    $path = '/a/operations/' . forge($known);
    $emulator->fault(poll => 'every', operation => $known, status => 500);
    my $r = get($path);
    $t->refused($r, 503, 'upstream_unavailable', 'no answer is no 404');
    like $r->header('Retry-After') // '', qr/^[1-9][0-9]*$/, 'Retry-After';
    $emulator->clear_faults;
    is $t->poll_until_done($path)->json->{done}, Mojo::JSON->true, 'later it answers';
};


subtest 'a restart' => sub {
    my ($pending, $id) = $t->submit->@{qw(id upstream)};
    my ($final, $done) = $t->submit->@{qw(id upstream)};
    my $owned = $t->submit('text', %ALICE)->{id};
    my $random = $t->submit('text', path => '/random')->{id};
    is status("/random/operations/$random"), 200, 'a random key';

    $emulator->finish($done);
    $t->poll_until_done("/a/operations/$final");
    ok $t->stop, 'nginx stops';
    $t->run(keys_are('first'));
    my $before = $emulator->polls($done);

    is get("/a/operations/$final")->json->{done}, Mojo::JSON->true, 'a finished one answers';
    is get("/a/operations/$final")->json->{done}, Mojo::JSON->true, 'and again';
    is $emulator->polls($done) - $before, 1, 'upstream was asked once';
    is get("/a/operations/$pending")->json->{done}, Mojo::JSON->false, 'a pending one answers';
    is status("/owned/operations/$owned", headers => { 'X-User' => 'alice' }), 200, 'an owner\'s';
    is status("/owned/operations/$owned", headers => { 'X-User' => 'bob' }), 404,
        'is still the owner\'s';
    quiet();
    refused('a random key ends with its nginx', [$random], '/random/operations/');
    like $t->log, qr/\[notice\][^\n]*\bid_key\b[^\n]*random|\[notice\][^\n]*random[^\n]*\bid_key\b/,
        'which the start says';
};


subtest 'a reload without id_key' => sub {
    my $pending = $t->submit('text', path => '/random')->{id};
    ok $t->reload(wait_old => 1), 'reloaded';
    is status("/random/operations/$pending"), 200, 'the id answers';
    my $id = $t->submit('text', path => '/random')->{id};
    ok $t->reload(wait_old => 1), 'reloaded again';
    is status("/random/operations/$_"), 200, 'ids of all times answer' for $pending, $id;

    my $conf = keys_are('first') =~ s/(zone random 1m;)/$1 id_key file:@{[ $t->testdir ]}\/first.key;/r;
    my @keyed = ('text', path => '/random', headers => { 'Idempotency-Key' => 'kept' });
    my $kept = $t->submit(@keyed)->{upstream};
    $t->conf($conf);
    ok $t->reload(wait_old => 1), 'one is added';
    is status("/random/operations/$_"), 200, 'the random key still verifies' for $pending, $id;
    is $t->submit(@keyed)->{upstream}, $kept, 'a key is still known';
    my ($claim) = $t->submit('text', path => '/random')->{id} =~ /^(.*)[\w-]{24}$/;
    is status('/random/operations/' . sign($first, 'random', '', $claim)), 200, 'the added one signs';

    $t->conf(keys_are('first'));
    ok $t->reload(wait_old => 1), 'and taken back';
    is status("/random/operations/$_"), 200, 'it is the random key of before' for $pending, $id;
};


subtest 'another nginx' => sub {
    my ($here, $id) = $t->submit('text', %ALICE)->@{qw(id upstream)};
    $emulator->finish($id);
    $t->poll_until_done("/owned/operations/$here", headers => { 'X-User' => 'alice' });
    my $random = $t->submit('text', path => '/random')->{id};

    my $node = CompletionAsync::Test->new(emulator => 0);
    my $url = $emulator->url;
    $node->secret($t->folder, $t->api_key);
    $node->define(
        PROVIDER => 'folder ' . $t->folder . '; api_key file:' . $t->testdir . '/api.key; '
            . "submit_url $url/foundationModels/v1/completionAsync; "
            . "operations_url $url/operations;",
        KEYS => 'file:' . $t->testdir . '/first.key',
    );
    $node->run($node->http_conf($http));

    my %alice = (headers => { 'X-User' => 'alice' });
    my $before = $emulator->polls($id);
    for (1 .. 3) {
        my $r = $node->request(GET => "/mine/operations/$here", %alice);
        is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: text', 'the same id answers';
        is $r->json->{id}, $here, 'as the same';
    }
    is $emulator->polls($id) - $before, 1, 'upstream was asked once';
    is $node->request(GET => "/mine/operations/$here", headers => { 'X-User' => 'bob' })->{status},
        404, 'not to another owner';
    is $node->request(GET => "/random/operations/$random")->{status}, 404,
        'random keys are not shared';

    my $there = $node->request(POST => '/mine', body => 'b', %alice);
    is $there->{status}, 202, 'a submit there';
    is status('/owned/operations/' . $there->json->{id}, %alice), 200, 'answers here';
    $node->done;
};


subtest 'rotation' => sub {
    my $old = $t->submit->{id};

    $t->conf(keys_are('second', 'first'));
    ok $t->reload(wait_old => 1), 'a new key ahead of the old one';
    is status("/a/operations/$old"), 200, 'the old key verifies';

    my $new = $t->submit->{id};
    my ($claim) = $new =~ /^(.*)[\w-]{24}$/;
    is $new, sign($second, 'yandex', '', $claim), 'the new one signs';
    is status("/a/operations/$new"), 200, 'and verifies';

    $t->conf(keys_are('second'));
    ok $t->reload(wait_old => 1), 'without the old key';
    is status("/a/operations/$new"), 200, 'the new id answers';
    quiet();
    refused('the old id', [$old]);

    # The file is read with the configuration only.
    $t->write_file('second.key', 'x' x 40, 0600);
    is status("/a/operations/$new"), 200, 'a file that changes means nothing yet';
    ok $t->reload(wait_old => 1), 'until a reload';
    refused('the id of the key that is gone', [$new]);
};


$t->done;
