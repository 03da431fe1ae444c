# completion_async_cache: equal requests share one paid operation, and nobody
# sees through it what is somebody else's.
# TEST_CONCURRENT sets how many submits race for one operation (300).

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.3 });
my $upstream = $t->emulator;
my $racers = $ENV{TEST_CONCURRENT} // 300;


subtest 'configuration' => sub {
    my $conf = sub ($location, $server = '') {
        return $t->nginx_t($t->http_conf("completion_async_provider yandex "
            . "{ zone operations 1m; %%PROVIDER%% } server { listen 127.0.0.1:%%PORT%%; "
            . "$server location /t { completion_async yandex; "
            . "completion_async_model yandexgpt-lite; $location } }"));
    };
    my $owner = 'completion_async_owner $remote_user;';
    my %refused = (
        'completion_async_cache 1h owner;'                  => qr/completion_async_owner/,
        'completion_async_cache 1h;'                        => qr/1h owner/,
        'completion_async_cache 0 shared;'                  => qr/above zero/,
        'completion_async_cache soon shared;'               => qr/time/,
        'completion_async_cache 1h everybody;'              => qr/"owner" or "shared"/,
        'completion_async_cache 1h shared; completion_async_cache off;' => qr/duplicate/,
    );

    for (sort keys %refused) {
        my ($status, $output) = $conf->($_);
        isnt $status, 0, "refused: $_";
        like $output, qr/\[emerg\].*$refused{$_}.* in \S+:\d+/, 'says why and where';
    }

    for (['completion_async_cache 1h owner;', $owner], ["$owner completion_async_cache 1h owner;"],
        ['completion_async_cache 1h shared;'], ['', 'completion_async_cache 1h shared;'],
        ['completion_async_cache off;', 'completion_async_cache 1h owner;'])
    {
        my ($status, $output) = $conf->(@$_);
        is $status, 0, "accepted: @$_" or diag $output;
    }

    my ($status, $output) = $conf->('', 'completion_async_cache 1h owner;');
    isnt $status, 0, 'inherited, and without an owner';
};


$t->run(<<'EOC');
%%TEST_GLOBALS%%
worker_processes 2;
events { worker_connections 4096; }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    completion_async_provider yandex { zone operations 1m; %%PROVIDER%% }
    completion_async_provider tight { zone tight 64k; %%PROVIDER%% }
    completion_async_provider flooded { zone flooded 256k; %%PROVIDER%% }
    completion_async_provider oblivious { zone oblivious 1m; retention 1s; %%PROVIDER%% }
    server {
        # the kernel spreads connections over the workers
        listen 127.0.0.1:%%PORT%% reuseport backlog=2048;

        add_header X-Source $completion_async_source always;
        add_header X-Worker $pid always;
        completion_async_model yandexgpt-lite;
        completion_async_owner $http_x_user;

        location /owner     { completion_async yandex; completion_async_cache 1h owner; }
        location /shared    { completion_async yandex; completion_async_cache 1h shared; }
        location /short     { completion_async yandex; completion_async_cache 1s owner; }
        location /forgets   { completion_async oblivious; completion_async_cache 1h owner; }
        location /model {
            completion_async       yandex;
            completion_async_model yandexgpt;
            completion_async_cache 1h owner;
        }
        location /same {
            completion_async       yandex;
            completion_async_cache 1h owner;
        }
        location /tight     { completion_async tight; completion_async_cache 1h owner; }
        location /flooded   { completion_async flooded; completion_async_cache 1h owner; }
        location /none      { completion_async yandex; }
    }
}
EOC


sub arguments ($location, $text, %headers) {
    $headers{'Content-Type'} //= 'text/plain';
    $headers{'X-User'} //= 'anna';
    return (POST => $location, headers => \%headers, body => $text, timeout => 20);
}


sub submit (@arguments) { $t->request(arguments(@arguments)) }


sub get ($location, $user = 'anna') {
    return $t->request(GET => $location, headers => { 'X-User' => $user });
}


sub finished ($location, $user = 'anna') {
    my $r = $t->poll_until_done($location, headers => { 'X-User' => $user });
    ok +($r->json // {})->{done}, 'it has ended' or diag $r->{body};
    return $r;
}


sub is_accepted ($r, $name, $source = undef) {
    is $r->{status}, 202, "$name: accepted" or diag $r->{body};
    like $r->header('Location') // '', qr{/operations/[\w-]+$}, "$name: with an id";
    is $r->header('X-Source'), $source, "$name: $source" if defined $source;
    return $r->header('Location');
}


# the kinds of headers, for comparison
sub kinds ($r) { return join ' ', sort grep { !/^x-/ } keys %{ $r->{headers} } }


subtest 'an equal request shares the operation' => sub {
    my $first = submit('/owner', 'equal [delay=1]');
    my $location = is_accepted($first, 'first', 'upstream');
    my $second = submit('/owner', 'equal [delay=1]');

    is is_accepted($second, 'while it runs', 'cached'), $location, 'the same id';
    is kinds($second), kinds($first), 'headers of the same kinds';
    is $second->header('Idempotency-Replayed'), undef, 'no replay of a key';

    finished($location);
    is is_accepted(submit('/owner', 'equal [delay=1]'), 'when it is done', 'cached'), $location,
        'the same id';
    is scalar $upstream->submits('equal [delay=1]'), 1, 'one submit';

    is is_accepted(submit('/same', 'equal [delay=1]'), 'another location', 'cached')
        =~ s/same/owner/r, $location, 'the same id';
    is scalar $upstream->submits('equal [delay=1]'), 1, 'one submit';

    isnt is_accepted(submit('/none', 'equal [delay=1]'), 'without a cache', 'upstream')
        =~ s/none/owner/r, $location, 'another id';
};


subtest 'what is equal' => sub {
    my @json = ('Content-Type' => 'application/json');
    my $location = is_accepted(submit('/owner',
        '{"messages":[{"role":"user","text":"say"}],"completionOptions":'
        . '{"temperature":0.5,"maxTokens":"7"}}', @json), 'first', 'upstream');

    is is_accepted(submit('/owner', qq({\n"completionOptions" : {"maxTokens":"7", )
        . '"temperature":0.5}, "messages":[ {"role":"user","text":"s\u0061y"}]}', @json),
        'other order, white space, escapes', 'cached'), $location, 'the same id';

    my %other = (
        temperature => '{"messages":[{"role":"user","text":"say"}],"completionOptions":'
            . '{"temperature":0.4,"maxTokens":"7"}}',
        'no option' => '{"messages":[{"role":"user","text":"say"}],"completionOptions":'
            . '{"maxTokens":"7"}}',
        role => '{"messages":[{"role":"assistant","text":"say"}],"completionOptions":'
            . '{"temperature":0.5,"maxTokens":"7"}}',
        format => '{"messages":[{"role":"user","text":"say"}],"jsonObject":true,'
            . '"completionOptions":{"temperature":0.5,"maxTokens":"7"}}',
        'order inside of a message' => '{"messages":[{"text":"say","role":"user"}],'
            . '"completionOptions":{"temperature":0.5,"maxTokens":"7"}}',
        'two messages' => '{"messages":[{"role":"user","text":"say"},'
            . '{"role":"user","text":"say"}],"completionOptions":'
            . '{"temperature":0.5,"maxTokens":"7"}}',
    );

    for (sort keys %other) {
        isnt is_accepted(submit('/owner', $other{$_}, @json), $_, 'upstream'), $location,
            'another id';
    }

    my $order = '{"messages":[{"role":"user","text":"%s"},{"role":"user","text":"%s"}]}';
    isnt is_accepted(submit('/owner', sprintf($order, qw(a b)), @json), 'a b', 'upstream'),
        is_accepted(submit('/owner', sprintf($order, qw(b a)), @json), 'b a', 'upstream'),
        'the order of messages matters';

    $location = is_accepted(submit('/owner', 'simple'), 'text', 'upstream');
    is is_accepted(submit('/owner', '{"text":"simple"}', @json), 'JSON', 'cached'), $location,
        'the same id';
    is is_accepted(submit('/owner', 'text=simple',
        'Content-Type' => 'application/x-www-form-urlencoded'), 'a form', 'cached'), $location,
        'the same id';
    is_accepted(submit('/model', 'simple'), 'another model', 'upstream');
};


subtest 'while it runs, and for a time after' => sub {
    my $text = 'time [delay=60]';
    my $location = is_accepted(submit('/short', $text), 'first', 'upstream');
    my ($first) = $upstream->submits($text);

    ok wait_until(sub {
        grep { $_->{time} >= $first->{time} + 2.2 } $upstream->polls($first->{operation});
    }), 'its time is over';
    is is_accepted(submit('/short', $text), 'it runs for longer', 'cached'), $location,
        'the same id';
    $upstream->finish($first->{operation});
    finished($location);
    is is_accepted(submit('/short', $text), 'just done', 'cached'), $location, 'the same id';
    my $r;
    wait_until(sub { ($r = submit('/short', $text))->header('X-Source') ne 'cached' });
    isnt is_accepted($r, 'after its time', 'upstream'), $location, 'another id';
    is scalar $upstream->submits($text), 2, 'two submits';
};


subtest 'what has no good end is not shared' => sub {
    for my $outcome (qw(failed:8:no truncated filter partial)) {
        my $text = "bad [delay=0.1] [outcome=$outcome]";
        my $location = is_accepted(submit('/owner', $text), $outcome, 'upstream');
        finished($location);
        isnt is_accepted(submit('/owner', $text), "$outcome again", 'upstream'), $location,
            'another id';
        is scalar $upstream->submits($text), 2, 'two submits';
    }

    my $location = is_accepted(submit('/owner', 'cancel [delay=5]'), 'cancelled', 'upstream');
    my $r = $t->request(DELETE => $location, headers => { 'X-User' => 'anna' });
    is +($r->json // {})->{error}{code}, 1, 'its owner may cancel it';
    isnt is_accepted(submit('/owner', 'cancel [delay=5]'), 'cancelled, again', 'upstream'),
        $location, 'another id';

    # nor is one whose end is known no more
    my $text = 'forgotten [delay=0.1] [outcome=failed:8:no]';
    $location = is_accepted(submit('/forgets', $text), 'failed and forgotten', 'upstream');
    finished($location);
    wait_until(sub { !$t->metrics->sum('operations', provider => 'oblivious') });
    isnt is_accepted(submit('/forgets', $text), 'again', 'upstream'), $location, 'another id';
};


subtest 'owners do not see each other' => sub {
    my %location = map {
        $_ => is_accepted(submit('/owner', 'two', 'X-User' => $_), $_, 'upstream')
    } qw(anna boris);

    isnt $location{anna}, $location{boris}, 'two ids';
    is scalar $upstream->submits('two'), 2, 'two submits';
    is get($location{anna}, 'boris')->{status}, 404, 'a foreign id';
    is is_accepted(submit('/owner', 'two', 'X-User' => 'boris'), 'boris again', 'cached'),
        $location{boris}, 'his own';
};


subtest 'shared among all, each with an id of its own' => sub {
    my $text = 'shared [delay=1]';
    my $cancels = $upstream->journal(kind => 'cancel');
    my %first = (anna => submit('/shared', $text), boris => submit('/shared', $text,
        'X-User' => 'boris'));
    my %location = (anna => is_accepted($first{anna}, 'a miss', 'upstream'),
        boris => is_accepted($first{boris}, 'a foreign hit', 'cached'));

    is kinds($first{boris}), kinds($first{anna}), 'headers of the same kinds';
    isnt $location{anna}, $location{boris}, 'two ids';
    is scalar $upstream->submits($text), 1, 'one submit';

    for (['anna', 'boris'], ['boris', 'anna']) {
        my ($owner, $other) = @$_;
        is get($location{$owner}, $other)->{status}, 404, "${owner}'s id is foreign to $other";

        for (['DELETE', $location{$owner}], ['POST', "$location{$owner}:cancel"]) {
            my $r = $t->request(@$_, headers => { 'X-User' => $owner });
            is $r->{status}, 409, "$owner cannot cancel it: $_->[0]";
            is +($r->json // {})->{code}, 'request_conflict', 'the code';
        }
    }

    my $result = finished($location{anna})->json;
    ok $result->{response}, 'it was not cancelled';
    is_deeply get($location{boris}, 'boris')->json->{response}, $result->{response},
        'one result for both';
    is scalar $upstream->journal(kind => 'cancel'), $cancels, 'upstream heard of no cancel';

    my $late = submit('/shared', $text, 'X-User' => 'clara');
    is_accepted($late, 'a foreign hit when it is done', 'cached');
    is kinds($late), kinds($first{anna}), 'headers of the same kinds';
    is get($late->header('Location'), 'clara')->json->{done}, JSON::PP::true(), 'with the result';
    is $t->request(DELETE => $late->header('Location'), headers => { 'X-User' => 'clara' })
        ->{status}, 409, 'nor can the third cancel it';
};


subtest 'with keys' => sub {
    my $text = 'key [delay=1]';
    my %anna = ('Idempotency-Key' => 'one');
    my %boris = ('X-User' => 'boris', 'Idempotency-Key' => 'one');
    my $anna = is_accepted(submit('/shared', $text, %anna), 'anna', 'upstream');

    my $r = submit('/shared', $text, %boris);
    my $boris = is_accepted($r, 'boris, the same key', 'cached');
    isnt $boris, $anna, 'another id';
    is $r->header('Idempotency-Replayed'), undef, 'his first';

    $r = submit('/shared', $text, %boris);
    is is_accepted($r, 'boris again', 'replayed'), $boris, 'his own id';
    is $r->header('Idempotency-Replayed'), 'true', 'a replay';

    is submit('/shared', 'else', %boris)->{status}, 422, 'a mismatch of his own';
    is_accepted(submit('/shared', 'else', 'X-User' => 'clara', 'Idempotency-Key' => 'one'),
        'not of anybody else', 'upstream');

    # a key that is used for the first time, and joins by the cache
    $upstream->fault(submit => 1, delay => 0.7);
    my @r = $t->concurrent(map {
        [arguments('/shared', 'first of all', 'X-User' => "u$_", 'Idempotency-Key' => 'two')]
    } 1 .. 6);
    is_accepted($_, 'one of six') for @r;
    is scalar(grep { $_->header('Idempotency-Replayed') } @r), 0, 'no replays';
    is scalar(uniq map { $_->header('Location') // '' } @r), 6, 'six ids';

    for (1 .. 6) {
        my $again = submit('/shared', 'first of all', 'X-User' => "u$_",
            'Idempotency-Key' => 'two');
        is is_accepted($again, "u$_ again", 'replayed'), $r[$_ - 1]->header('Location'),
            'the same id';
    }
    is scalar $upstream->submits('first of all'), 1, 'one submit';
};


# A key that came to what is paid already costs nothing: as many as there can be
# displace each other, nothing else, and nobody else's.
subtest 'a flood of keys' => sub {
    my @boris = ('X-User' => 'boris');
    my @operations = map { is_accepted(submit('/flooded', "of boris $_", @boris), "boris $_") }
        1 .. 20;
    finished($_, 'boris') for @operations;
    is_accepted(submit('/flooded', 'of boris 1', @boris, 'Idempotency-Key' => "boris-$_"),
        "and a key $_", 'cached') for 1 .. 5;

    # while it is on its way, and then
    my $paid;
    for my $round (1 .. 5) {
        $upstream->fault(submit => 1, delay => 0.7) if $round == 1;
        my @r = $t->concurrent(map {
            [arguments('/flooded', 'flood', 'Idempotency-Key' => "flood-$round-$_")]
        } 1 .. 300);
        my %seen;
        $seen{ join ' ', $_->{status}, $_->header('X-Source') // '' }++ for @r;
        $paid //= $r[0]->header('Location');
        is scalar(grep { $_->{status} == 202 && $_->header('Location') eq $paid } @r), 300,
            "round $round: one operation for 300 keys" or diag explain \%seen;
    }
    is scalar $upstream->submits('flood'), 1, 'paid once';

    my %source;
    $source{ get($_, 'boris')->header('X-Source') // '' }++ for @operations;
    is_deeply \%source, { zone => 20 }, 'operations of another owner are there';
    is_accepted(submit('/flooded', 'of boris 1', @boris, 'Idempotency-Key' => "boris-$_"),
        "and the key $_", 'replayed') for 1 .. 5;
    is_accepted(submit('/flooded', 'flood', 'Idempotency-Key' => 'last'),
        'a key behind the flood', $_) for 'cached', 'replayed';
    is scalar(grep { submit('/flooded', "then $_", @boris)->{status} == 202 } 1 .. 20), 20,
        'and there is room for submits';
};


subtest 'requests that race' => sub {
    for my $owners (1, 7) {
        my $text = "race of $owners";
        $upstream->fault(submit => 1, delay => 0.7);
        my @r = $t->concurrent(map {
            [arguments('/shared', $text, 'X-User' => 'owner' . $_ % $owners)]
        } 1 .. $racers);

        is scalar(grep { $_->{status} == 202 } @r), $racers, 'all accepted';
        is scalar(uniq map { $_->header('Location') // '' } @r), $owners, 'an id per owner';
        is scalar $upstream->submits($text), 1, 'one submit';
        cmp_ok scalar(uniq map { $_->header('X-Worker') // '' } @r), '>=', 2, 'over two workers';
        is scalar(grep { ($_->header('X-Source') // '') eq 'upstream' } @r), 1, 'one paid';
        cmp_ok scalar(grep { ($_->header('X-Source') // '') eq 'joined' } @r), '>', 0,
            'some have joined';
        is scalar(grep { ($_->header('X-Source') // '') !~ /^(upstream|joined|cached)$/ } @r), 0,
            'all know where they come from';
    }
};


subtest 'who joined shares the end, whatever it is' => sub {
    $upstream->fault(submit => 1, delay => 0.7,
        body => '{"id":"joined0failure000000","done":true,"error":{"code":8,"message":"no"}}');
    my @r = $t->concurrent(map { [arguments('/owner', 'fails at once')] } 1 .. 20);

    is scalar(grep { $_->{status} == 202 } @r), 20, 'all accepted';
    is scalar(uniq map { $_->header('Location') // '' } @r), 1, 'one id';
    is scalar $upstream->submits('fails at once'), 1, 'one submit';
    is_accepted(submit('/owner', 'fails at once'), 'who comes later', 'upstream');

    for (['refused', 400, status => 400], ['unknown', 424, reset => 'request']) {
        my ($text, $status, @fault) = @$_;
        $upstream->fault(submit => 1, delay => 0.7, @fault);
        @r = $t->concurrent(map { [arguments('/owner', $text)] } 1 .. 20);
        is scalar(grep { $_->{status} == $status } @r), 20, "all $text";
        is scalar $upstream->submits($text), 1, 'one submit';
    }
    is_accepted(submit('/owner', 'refused'), 'a refusal is not kept', 'upstream');
};


subtest 'who joined shares the end, though others come first' => sub {
    $t->reload(wait_old => 1);

    my $text = 'late news';
    $upstream->fault(submit => 1, delay => 1.5,
        body => '{"id":"late0failure00000000","done":true,"error":{"code":8,"message":"no"}}');
    my @joined = map { $t->start(arguments('/owner', $text)) } 1 .. 16;
    $t->until_waiting(16);

    my $sender = $t->sender;
    ok $sender, 'one worker is sending' or return;
    my ($other) = grep { $_ != $sender } $t->worker_pids;

    kill STOP => $other;
    wait_until(sub { grep { $_->is_over } @joined });
    my @late = map { $t->start(arguments('/owner', $text)) } 1 .. 12;
    wait_until(sub { grep { $_->is_over } @late });
    kill CONT => $other;
    CompletionAsync::Client->gather([@joined, @late], 10);

    my @r = map { $_->response } @joined;
    is scalar(grep { ($_->header('Location') // '') =~ /late0failure/ } @r), 16,
        'the failed one, for all who joined';
    cmp_ok scalar(uniq map { $_->header('X-Worker') } @r), '>=', 2, 'in two workers';
    @r = map { $_->response } @late;
    is scalar(uniq map { $_->header('Location') // '' } @r), 1, 'another one for the others';
    is scalar $upstream->submits($text), 2, 'two submits';
};


subtest 'who joined shares it, though its memory is wanted' => sub {
    $t->reload(wait_old => 1);

    my $text = 'crowded';
    $upstream->fault(submit => 1, delay => 1.5);
    my @joined = map { $t->start(arguments('/tight', $text)) } 1 .. 16;
    $t->until_waiting(16);

    my $sender = $t->sender;
    ok $sender, 'one worker is sending' or return;
    my ($other) = grep { $_ != $sender } $t->worker_pids;

    kill STOP => $other;
    wait_until(sub { grep { $_->is_over } @joined });
    my @crowd = map { $t->start(arguments('/tight', "one of a crowd: $_ [delay=0]")) } 1 .. 200;

    # The worker that is there has answered, and only those of the other still wait.
    wait_until(sub {
        grep({ $_->is_over } @crowd)
            && $t->metrics->sum('waiters') == grep { !$_->is_over } @joined;
    });
    kill CONT => $other;
    CompletionAsync::Client->gather([@joined, @crowd], 15);

    my @r = map { $_->response } @joined;
    is scalar(grep { $_->{status} == 202 } @r), 16, 'all accepted';
    cmp_ok scalar(uniq map { $_->header('X-Worker') // '' } @r), '>=', 2, 'in two workers';
    is scalar $upstream->submits($text), 1, 'one submit';
};


subtest 'a client that hangs up leaves an operation behind' => sub {
    for my $reset (0, 1) {
        my $text = "hang up $reset";
        my @arguments = arguments('/owner', $text);

        $upstream->fault(submit => 1, hold => 'answer');
        $t->hang_up(@arguments, reset => $reset);
        wait_until(sub { scalar $upstream->submits($text) });
        $t->until_waiting(0);

        my $equal = $t->start(@arguments);
        $t->until_waiting(1);
        $upstream->release('answer');
        is_accepted($equal->response, 'an equal request', 'joined');
        is scalar $upstream->submits($text), 1, 'one submit';
    }
};


subtest 'from memory' => sub {
    my $text = 'memory';
    my $location = is_accepted(submit('/owner', $text), 'first', 'upstream');
    finished($location);

    $upstream->stop;
    my $r = submit('/owner', $text, Prefer => 'wait=5');
    is $r->{status}, 200, 'answered at once' or diag $r->{body};
    is +($r->json // {})->{response}{alternatives}[0]{message}{text}, "echo: $text",
        'with the result';
    is $r->header('Location'), $location, 'and the id';
    is $r->header('X-Source'), 'cached', 'cached';

    $r = submit('/owner', $text, Prefer => 'wait=5', Accept => 'text/plain');
    is $r->{status}, 200, 'as text';
    is $r->text, "echo: $text", 'the text';
    $upstream->resume;
};


$t->done;
