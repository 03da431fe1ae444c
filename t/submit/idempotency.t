# Idempotency-Key: what is asked for twice under the same key is paid for
# once, over workers, reloads, hang-ups and the death of a worker.
# TEST_CONCURRENT sets how many submits race for one key (300).

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Test::More;
use CompletionAsync::Metrics;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.3 });
my $upstream = $t->emulator;
my $racers = $ENV{TEST_CONCURRENT} // 300;

$t->run(<<'EOC');
%%TEST_GLOBALS%%
worker_processes 2;
events { worker_connections 4096; }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider yandex { zone operations 1m; %%PROVIDER%% }
    completion_async_provider brief { zone brief 1m; request_timeout 1s; %%PROVIDER%% }
    completion_async_provider patient { zone patient 1m; request_timeout 3s; %%PROVIDER%% }
    completion_async_provider measured { zone measured 1200k; %%PROVIDER%% }
    completion_async_provider tight { zone tight 128k; poll_rate 500r/s; %%PROVIDER%% }
    completion_async_provider keys {
        zone keys 64k; poll_interval 100ms 1s; poll_rate 500r/s;
        %%PROVIDER%%
    }
    completion_async_provider paced {
        zone          paced 1m;
        submit_rate   1r/s;
        submit_queue  10 20s;
        request_timeout 1s;
        %%PROVIDER%%
    }
    %%METRICS%%
    server {
        # the kernel spreads connections over the workers
        listen 127.0.0.1:%%PORT%% reuseport backlog=2048;

        add_header X-Source $completion_async_source always;
        add_header X-Worker $pid always;
        completion_async_model yandexgpt-lite;

        location /t     { completion_async yandex; }
        location /same  { completion_async yandex; }
        location /model { completion_async yandex; completion_async_model yandexgpt; }
        location /owned { completion_async yandex; completion_async_owner $http_x_user; }
        location /off   { completion_async yandex; completion_async_idempotency 0; }
        location /short { completion_async yandex; completion_async_idempotency 1s; }
        location /brief { completion_async brief; }
        location /measured { completion_async measured; }
        location /tight { completion_async tight; }
        location /keys  { completion_async keys; }
        location /paced { completion_async paced; }
        location /patient { completion_async patient; }
    }
}
EOC

my $number = 0;


sub arguments ($location, $key, $text, %headers) {
    $headers{'Content-Type'} //= 'text/plain';
    $headers{'Idempotency-Key'} = $key if defined $key;
    return (POST => $location, headers => \%headers, body => $text, timeout => 20);
}


sub submit (@arguments) { $t->request(arguments(@arguments)) }


sub is_accepted ($r, $name) {
    is $r->{status}, 202, "$name: accepted" or diag $r->{body};
    like $r->header('Location') // '', qr{/operations/[\w-]+$}, "$name: with an id";
    return $r->header('Location');
}


sub is_problem ($r, $status, $code, $name) {
    is $r->{status}, $status, "$name: $status";
    is +($r->json // {})->{code}, $code, "$name: $code" or diag $r->{body};
}


sub is_replay ($r, $location, $name) {
    is is_accepted($r, $name), $location, "$name: the same id";
    is $r->header('Idempotency-Replayed'), 'true', "$name: says so";
}


sub fresh { return sprintf 'key-%04d', ++$number }


subtest 'the same key gives the same operation' => sub {
    my $key = fresh();
    my $r = submit('/t', $key, 'first');
    my $location = is_accepted($r, 'first');

    is $r->header('Idempotency-Replayed'), undef, 'the first is no replay';
    is $r->header('X-Source'), 'upstream', 'the first comes from upstream';

    for my $spelling ($key, qq{"$key"}) {
        $r = submit('/t', $spelling, 'first');
        is_replay($r, $location, "again as $spelling");
        is $r->header('X-Source'), 'replayed', 'from memory';
        is +($r->json // {})->{id}, $location =~ s{.*/}{}r, 'the id in the body as well';
    }

    is_replay(submit('/same', $key, 'first'), $location =~ s{^/t}{/same}r,
        'another location that asks the same');

    $t->poll_until_done($location);
    is_replay(submit('/t', $key, 'first'), $location, 'when it is done');
    is scalar $upstream->submits('first'), 1, 'submitted once';

    isnt is_accepted(submit('/t', fresh(), 'first'), 'another key'), $location, 'another id';
    isnt is_accepted(submit('/t', undef, 'first'), 'no key'), $location, 'another id';
    is scalar $upstream->submits('first'), 3, 'each of them submitted';
};


subtest 'another request under the same key is refused' => sub {
    my $key = fresh();
    my $location = is_accepted(submit('/t', $key, 'right'), 'first');

    is_problem(submit('/t', $key, 'wrong'), 422, 'idempotency_mismatch', 'another text');
    is_problem(submit('/model', $key, 'right'), 422, 'idempotency_mismatch', 'another model');
    is_replay(submit('/t', $key, 'right'), $location, 'the right one all the same');
    is scalar $upstream->submits('wrong'), 0, 'nothing was sent';
    is scalar $upstream->submits('right'), 1, 'one was';
};


subtest 'the fingerprint is that of what is asked, not of its spelling' => sub {
    my $key = fresh();
    my @json = ('Content-Type' => 'application/json');
    my $location = is_accepted(submit('/t', $key,
        '{"messages":[{"role":"user","text":"native"}],"completionOptions":'
        . '{"temperature":0.5,"maxTokens":"7"}}', @json), 'first');

    is_replay(submit('/t', $key, qq({ "completionOptions" : { "maxTokens":"7",\n)
        . '"temperature":0.5 }, "messages" : [ { "role":"user", "text": "n\u0061tive" } ] }',
        @json), $location, 'other white space, order and escapes');
    is_problem(submit('/t', $key,
        '{"messages":[{"text":"native","role":"user"}],"completionOptions":'
        . '{"temperature":0.5,"maxTokens":"7"}}', @json), 422, 'idempotency_mismatch',
        'another order inside of a message');
    is_problem(submit('/t', $key,
        '{"messages":[{"role":"user","text":"native"}],"completionOptions":'
        . '{"temperature":0.5,"maxTokens":"8"}}', @json), 422, 'idempotency_mismatch',
        'another option');
};


subtest 'a malformed key is refused' => sub {
    my %keys = (
        'an empty one'       => '',
        'empty in quotes'    => '""',
        'a space'            => 'a b',
        'not ASCII'          => "caf\xc3\xa9",
        'a control'          => "a\tb",
        '256 characters'     => 'k' x 256,
    );

    for my $name (sort keys %keys) {
        is_problem(submit('/t', $keys{$name}, 'malformed'), 400, 'invalid_request', $name);
    }
    is_problem(submit('/t', [ @$_ ], 'malformed'), 400, 'invalid_request', "two keys: @$_")
        for [ 'a', 'b' ], [ 'a', 'a' ], [ '"a"', '"b"' ], [ '', 'a' ];
    is scalar $upstream->submits('malformed'), 0, 'nothing was sent';

    my $long = join '', map { chr(0x21 + $_ % 94) } 1 .. 255;
    my $location = is_accepted(submit('/t', $long, 'long'), '255 characters');
    is_replay(submit('/t', qq{"$long"}, 'long'), $location, 'quoted');
};


subtest 'it can be switched off' => sub {
    my @r = map { submit('/off', 'off', 'off') } 1 .. 2;

    isnt is_accepted($r[0], 'one'), is_accepted($r[1], 'two'), 'two ids';
    is $r[1]->header('Idempotency-Replayed'), undef, 'no replay';
    is scalar $upstream->submits('off'), 2, 'two submits';
};


subtest 'a key belongs to its owner' => sub {
    my $key = fresh();
    my %location = map {
        $_ => is_accepted(submit('/owned', $key, 'owned', 'X-User' => $_), $_)
    } qw(anna boris);

    isnt $location{anna}, $location{boris}, 'two ids';
    is scalar $upstream->submits('owned'), 2, 'two submits';
    is_problem(submit('/owned', $key, 'mine', 'X-User' => 'anna'), 422,
        'idempotency_mismatch', 'another request of the same owner');

    for (qw(anna boris)) {
        is_replay(submit('/owned', $key, 'owned', 'X-User' => $_), $location{$_}, $_);
    }
    is $t->request(GET => $location{anna}, headers => { 'X-User' => 'boris' })->{status}, 404,
        'a foreign id';
};


subtest 'a key is forgotten in time, not while it is needed' => sub {
    my $key = fresh();
    my $location = is_accepted(submit('/short', $key, 'short'), 'first');
    my $r;
    wait_until(sub {
        ($r = submit('/short', $key, 'short'))->header('Idempotency-Replayed') ? 0 : 1;
    });

    isnt is_accepted($r, 'after its time'), $location, 'another id';
    is $r->header('Idempotency-Replayed'), undef, 'no replay';
    is scalar $upstream->submits('short'), 2, 'two submits';

    # upstream takes longer to answer than the key is to live
    $upstream->fault(submit => 1, delay => 2.2);
    my @r = $t->concurrent(map { [arguments('/short', 'slow', 'slow')] } 1 .. 8);

    is scalar(grep { $_->{status} == 202 } @r), 8, 'all accepted';
    is scalar(uniq map { $_->header('Location') // '' } @r), 1, 'who joined has the same id';
    is scalar $upstream->submits('slow'), 1, 'one submit';
};


subtest 'requests that race for a key' => sub {
    $upstream->fault(submit => 1, delay => 0.7);
    my @r = $t->concurrent(map { [arguments('/t', 'race', 'race')] } 1 .. $racers);

    is scalar(grep { $_->{status} == 202 } @r), $racers, 'all accepted';
    is scalar(uniq map { $_->header('Location') // '' } @r), 1, 'one id';
    is scalar $upstream->submits('race'), 1, 'one submit';
    cmp_ok scalar(uniq map { $_->header('X-Worker') // '' } @r), '>=', 2, 'over two workers';

    my @first = grep { ($_->header('X-Source') // '') eq 'upstream' } @r;
    is scalar @first, 1, 'one of them paid';
    is $first[0] && $first[0]->header('Idempotency-Replayed'), undef, 'and was the first';
    is scalar(grep { ($_->header('Idempotency-Replayed') // '') eq 'true' } @r), $racers - 1,
        'all others say that they are replays';
    is scalar(grep { ($_->header('X-Source') // '') !~ /^(upstream|joined|replayed)$/ } @r), 0,
        'all know where they come from';
    cmp_ok scalar(grep { ($_->header('X-Source') // '') eq 'joined' } @r), '>', 0,
        'some have joined';
};


subtest 'a refusal is for all who joined, and forgets the key' => sub {
    my $key = fresh();
    $upstream->fault(submit => 1, status => 400, delay => 1);
    my @r = $t->concurrent(map { [arguments('/t', $key, 'refused')] } 1 .. 12);

    is scalar(grep { $_->{status} == 400 } @r), 12, 'all refused';
    is scalar $upstream->submits('refused'), 1, 'one submit';

    my $r = submit('/t', $key, 'another');
    is_accepted($r, 'the key may be used again');
    is $r->header('Idempotency-Replayed'), undef, 'no replay';
    is scalar $upstream->submits('another'), 1, 'submitted';
};


subtest 'a refusal is for those who joined, though others come first' => sub {
    $t->reload(wait_old => 1);

    my $key = fresh();
    $upstream->fault(submit => 1, status => 400, delay => 1.5);
    my @joined = map { $t->start(arguments('/t', $key, 'late news')) } 1 .. 16;
    $t->until_waiting(16);

    my $sender = $t->sender;
    ok $sender, 'one worker is sending' or return;
    my ($other) = grep { $_ != $sender } $t->worker_pids;

    kill STOP => $other;
    wait_until(sub { grep { $_->is_over } @joined });
    my @late = map { $t->start(arguments('/t', $key, 'late news')) } 1 .. 12;
    wait_until(sub { grep { $_->is_over } @late });
    kill CONT => $other;
    CompletionAsync::Client->gather([@joined, @late], 10);

    my @statuses = map { $_->response->{status} } @joined;
    is_deeply [uniq @statuses], [400], 'refused, all who joined' or diag "@statuses";
    my @r = map { $_->response } @late;
    is scalar(grep { $_->{status} == 202 } @r), 12, 'accepted, all who came later';
    is scalar(uniq map { $_->header('Location') } @r), 1, 'with one id';
    cmp_ok scalar(uniq map { $_->response->header('X-Worker') } @joined), '>=', 2, 'in two workers';
    is scalar $upstream->submits('late news'), 2, 'one submit for each';
};


subtest 'an unknown outcome is kept' => sub {
    my $key = fresh();
    $upstream->fault(submit => 1, reset => 'request', delay => 0.5);
    my @r = $t->concurrent(map { [arguments('/t', $key, 'unknown')] } 1 .. 5);

    is_problem($_, 424, 'outcome_unknown', 'one of five') for @r;
    is_problem(submit('/t', $key, 'unknown'), 424, 'outcome_unknown', 'later');
    is_problem(submit('/t', $key, 'else'), 422, 'idempotency_mismatch', 'another request');
    is scalar $upstream->submits('unknown'), 1, 'never repeated';
    is_accepted(submit('/t', fresh(), 'unknown'), 'a new key');
};


subtest 'the truth that comes late is taken' => sub {
    my (%of, @workers);
    wait_until(sub {
        my $client = $t->client;
        push @{ $of{ $client->request(OPTIONS => '/patient')->header('X-Worker') } }, $client;
        @workers = sort { @{ $of{$b} } <=> @{ $of{$a} } } keys %of;
        return @workers == 2 && @{ $of{ $workers[0] } } == 2;
    });
    my ($still, $other) = @workers;
    my ($accepted, $refused) = @{ $of{$still} };
    my %key = map { $_ => fresh() } qw(accepted refused);

    # The worker that has sent both hears nothing of them until nobody believes that it will.
    my $before = $upstream->submits;
    $upstream->fault(submit => 1, hold => 'late');
    $accepted->start(arguments('/patient', $key{accepted}, 'late: accepted'));
    ok $upstream->wait_for(submit => $before + 1), 'one is sent';
    $upstream->fault(submit => 1, hold => 'late', status => 503);
    $refused->start(arguments('/patient', $key{refused}, 'late: refused'));
    ok $upstream->wait_for(submit => $before + 2), 'and another';
    kill STOP => $still;

    for my $name (qw(accepted refused)) {
        my $r;
        wait_until(sub {
            $r = $of{$other}[0]->request(arguments('/patient', $key{$name}, "late: $name"));
            return ($r->{status} // 0) == 424;
        }, 30);
        is_problem($r, 424, 'outcome_unknown', 'when the lease is over');
    }

    $upstream->release('late');
    ok $upstream->wait_over(submit => $before + 2), 'upstream has answered';
    kill CONT => $still;

    my $location = is_accepted($accepted->response(20), 'who asked first');
    is $refused->response(20)->{status}, 503, 'who was refused';

    is_replay(submit('/patient', $key{accepted}, 'late: accepted'), $location, 'who asks again');
    is_accepted(submit('/patient', $key{refused}, 'late: refused'), 'who was refused');
    is scalar $upstream->submits('late: accepted'), 1, 'one is paid once';
    is scalar $upstream->submits('late: refused'), 2, 'the other is sent again';
};


subtest 'a client that hangs up leaves an operation behind' => sub {
    for my $reset (0, 1) {
        for my $cut (undef, -1, -7) {
            my $key = fresh();
            my @arguments = arguments('/t', $key, "hang up $key");
            my $bytes = $t->client->format(@arguments);

            $upstream->fault(submit => 1, delay => 0.4) if !defined $cut;
            $t->hang_up(@arguments, reset => $reset,
                defined $cut ? (at => length($bytes) + $cut) : ());
            $upstream->wait_for(submit => scalar($upstream->submits) + 1, 0.2)
                if !defined $cut && !$upstream->submits("hang up $key");

            my $name = ($reset ? 'reset' : 'closed') . ' at ' . ($cut // 'the end');
            my $location = is_accepted($t->request(@arguments), $name);
            is scalar $upstream->submits("hang up $key"), 1, "$name: one submit";
            is_replay($t->request(@arguments), $location, "$name: again");
            $upstream->clear_faults;
        }
    }
};


subtest 'of the key a hash is kept only' => sub {
    my $key = 'a-very-secret-key-0123456789';
    my $location = is_accepted(submit('/t', $key, 'hashed'), 'first');
    my ($id) = map { $_->{operation} } $upstream->submits('hashed');
    my ($pid) = $t->worker_pids;
    my $shared = '';

    open my $maps, '<', "/proc/$pid/maps" or plan skip_all => 'the maps cannot be read';
    open my $mem, '<:raw', "/proc/$pid/mem" or plan skip_all => 'the memory cannot be read';

    while (<$maps>) {
        no warnings 'portable';
        my ($from, $to) = map { hex } /^([0-9a-f]+)-([0-9a-f]+) (?:rw|--)-s/ or next;
        seek $mem, $from, 0;
        read $mem, my $piece, $to - $from;
        $shared .= $piece // '';
    }

    cmp_ok index($shared, $id), '>', 0, 'the operation is in the zone';
    is index($shared, $key), -1, 'the key is not';
};


subtest 'a reload between first and replay' => sub {
    my $key = fresh();
    my $location = is_accepted(submit('/t', $key, 'reload'), 'first');

    ok $t->reload(wait_old => 1), 'reloaded';
    is_replay(submit('/t', $key, 'reload'), $location, 'after the reload');
    is scalar $upstream->submits('reload'), 1, 'one submit';

    # and while it is on its way: those who wait in the old workers and in the new
    $key = fresh();
    $upstream->fault(submit => 1, delay => 2);
    my @clients = map { $t->start(arguments('/t', $key, 'underway')) } 1 .. 6;
    wait_until(sub { scalar $upstream->submits('underway') });
    ok $t->reload, 'reloaded again';
    push @clients, map { $t->start(arguments('/t', $key, 'underway')) } 1 .. 4;

    CompletionAsync::Client->gather(\@clients, 10);
    my @r = map { $_->response } @clients;
    is_accepted($_, 'around a reload') for @r;
    is scalar(uniq map { $_->header('Location') // '' } @r), 1, 'one id';
    is scalar $upstream->submits('underway'), 1, 'one submit';
};


subtest 'a key in a full zone' => sub {
    my $evicted = sub {
        $t->metrics->sum('zone_evictions_total', provider => 'tight');
    };

    my ($n, @r) = (0);
    while ($n < 1000 && !$evicted->()) {
        @r = $t->concurrent(map {
            [ arguments('/tight', undef, "[delay=0.01] tight $n-$_", Prefer => 'wait=5') ]
        } 1 .. 10);
        $n += @r;
    }
    is scalar(grep { $_->{status} == 200 } @r), 10, "it is full after $n";

    # its record, itself, and what upstream answers, a result for each at most
    my $before = $evicted->();
    is_accepted(submit('/tight', 'tight', '[delay=20] tight'), 'a submit with a key');
    my $gone = $evicted->() - $before;
    cmp_ok $gone, '<=', 4, 'few have to go for it';
};


subtest 'the death of the sender' => sub {
    $t->allow_killed_workers;
    $t->reload(wait_old => 1);

    # refused, and to be sent again
    $upstream->fault(submit => 1, status => 503, retry_after => 2);
    my @waits = $t->start(arguments('/patient', 'refused', 'pause'));
    wait_until(sub { grep { defined $_->{end} } $upstream->submits('pause') });

    # on its way: upstream has it, and does not answer
    $upstream->fault(submit => 1, hang => 'request');
    my $sent = $t->start(arguments('/brief', 'sent', 'sent'));
    wait_until(sub { scalar $upstream->submits('sent') });

    # Surely not sent: it stands in the quota's line behind two others.  Who stands still sends
    # nothing more; where that came too late, there is another one.
    my $unsent;
    for my $n (1 .. 10) {
        $unsent = "unsent-$n";
        my @line = map { $t->start(arguments('/paced', $_, $_ // 'ahead')) } undef, undef, $unsent;
        wait_until(sub {
            my $over = grep { $_->is_over } @line[ 0, 1 ];
            $upstream->submits($unsent)
                || $over + $t->metrics->sum('waiters', provider => 'paced') == 3;
        });
        push @waits, @line;
        kill STOP => $t->worker_pids;
        last if !$upstream->submits($unsent);
        kill CONT => $t->worker_pids;
    }
    kill KILL => $_ for $t->worker_pids;
    is scalar $upstream->submits($unsent), 0, 'one was not sent yet';

    $sent->response;
    wait_until(sub { $t->request(GET => '/none')->{status} });

    my @r = $t->concurrent(
        [arguments('/brief', 'sent', 'sent')],
        [arguments('/paced', $unsent, $unsent)],
        [arguments('/patient', 'refused', 'pause')],
    );

    is_problem($r[0], 424, 'outcome_unknown', 'it was sent');
    is scalar $upstream->submits('sent'), 1, 'never repeated';
    is_problem(submit('/brief', 'sent', 'sent'), 424, 'outcome_unknown', 'again');
    is_accepted(submit('/brief', fresh(), 'sent'), 'a new key');

    my $location = is_accepted($r[1], 'it was not sent');
    is $r[1]->header('Idempotency-Replayed'), undef, 'taken over, no replay';
    is scalar $upstream->submits($unsent), 1, 'sent once';
    is_replay(submit('/paced', $unsent, $unsent), $location, 'and kept');

    is_accepted($r[2], 'it was refused');
    is scalar $upstream->submits('pause'), 2, 'sent once more';
};


# What no key keeps out: the answer to whoever asks for an operation.
subtest 'a zone full of keys' => sub {
    my @accepted;
    my $r;
    for my $n (1 .. 500) {
        $r = submit('/keys', "full-$n", "[delay=60] full $n");
        last if $r->{status} != 202;
        push @accepted, $r->header('Location');
    }
    is_problem($r, 503, 'zone_full', 'another submit');
    cmp_ok scalar @accepted, '>', 50, 'keys are remembered';

    my (%poll, %replay);
    for my $n (1 .. @accepted) {
        $poll{ $t->request(GET => $accepted[ $n - 1 ])->{status} }++;
        $r = submit('/keys', "full-$n", "[delay=60] full $n");
        $replay{ join ' ', $r->{status}, $r->header('Idempotency-Replayed') // 'new' }++;
    }
    is_deeply \%poll, { 200 => scalar @accepted }, 'each id is answered';
    is_deeply \%replay, { '202 true' => scalar @accepted }, 'and each key';
};


subtest 'what a key takes' => sub {
    my $before = $t->slab(1200 * 1024) or plan skip_all => 'memory of a worker cannot be read';
    my @r = map { $t->request(arguments('/measured', "key-$_", "measured $_")) } 1 .. 5;
    is_deeply [ map { $_->{status} } @r ], [ (202) x 5 ], 'accepted';
    is $t->slab(1200 * 1024)->{256} - $before->{256}, 15,
        '256 bytes for each, beside the 512 of its operation';
};


$t->done;
