# The time that a quitting worker has, and worker_shutdown_timeout: what does not fit ends, unsent.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

my $CONF = CompletionAsync::Test->location_conf(
    main     => "worker_processes 1;\n%%MAIN%%",
    events   => '%%EVENTS%%',
    http     => '%%HTTP%%',
    provider => 'poll_interval 100ms 500ms; %%LINES%%',
);


sub run ($t, $lines, %more) {
    $t->define(MAIN => 'worker_shutdown_timeout 1s;', EVENTS => '', HTTP => '',
        %more,
        LINES => $t->expand($lines));
    $t->run($CONF);
    return $t;
}


sub start ($lines, %more) {
    my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
    return run($t, "$lines %%PROVIDER%%", %more);
}


# A client whose submit the worker has read when this returns.
sub submit ($t, $text, $key = undef) {
    my %headers = ('Content-Type' => 'text/plain');
    $headers{'Idempotency-Key'} = $key if defined $key;
    my $client = $t->start(POST => '/translate', headers => \%headers, body => $text);
    is $t->request(GET => '/translate')->{status}, 405, "\"$text\" is under way";
    return $client;
}


# What is under way then would by itself last longer than this.
sub cut ($t) {
    ok $t->reload(wait_old => 1, timeout => 10), 'the old worker is gone';
}


sub accepted_anew ($t, $text, $key) {
    my $r = $t->post($text, headers => { 'Idempotency-Key' => $key });
    is $r->{status}, 202, 'its key is free again';
    is $r->header('Idempotency-Replayed'), undef, 'for a submit of its own';
}


subtest 'a promised submit with no time for its answer' => sub {
    my $t = start('submit_rate 1r/s; submit_queue 10; request_timeout 3s;', MAIN => '');
    $t->emulator->fault(submit => 'every', delay => 0.9);
    my @clients = map { submit($t, "text $_") } 1 .. 5;
    $t->emulator->wait_for(submit => 1);
    ok $t->reload(wait_old => 1), 'a reload';

    my @r = map { $_->response } @clients;
    my @accepted = grep { $_->{status} == 202 } @r;
    my @busy = grep { $_->{status} == 429 && $_->header('Retry-After') > 0 } @r;
    note scalar(@accepted), ' accepted';
    is @accepted + @busy, 5, 'each is accepted, or a 429 that says when';
    cmp_ok scalar @accepted, '>=', 1, 'some have their time';
    cmp_ok scalar @busy, '>=', 1, 'and some have not';
    is scalar $t->emulator->submits, scalar @accepted, 'only those were sent';
    $t->done;
};


subtest 'a repeat has the time that it had before' => sub {
    my $t = start('submit_rate 1r/s; submit_queue 10; request_timeout 6s;', MAIN => '');
    my $emulator = $t->emulator;
    $emulator->fault(submit => 1, status => 503, retry_after => 2);
    $emulator->fault(submit => 3, silent => 1);
    my $client = submit($t, 'first');
    ok $emulator->wait_for(submit => 1), 'the first one is sent';
    # Its repeat, while nginx quits, goes ahead of one of them.
    my @others = map { submit($t, "other $_") } 1, 2;
    ok $emulator->wait_for(submit => 2), 'and another';
    kill QUIT => $t->master_pid;

    # whichever comes third has no answer, of which t/unit says when it ends
    is_deeply [ sort map { $_->response->{status} } $client, @others ], [ 202, 202, 424 ],
        'all are sent, one has no answer';
    is scalar $emulator->submits, 4, 'the repeat, too';
    $_->close for $client, @others;
    $t->done;
};


for my $method (qw(epoll poll select)) {
    subtest "a quitting worker sleeps: $method" => sub {
        my $probe = CompletionAsync::Test->new(emulator => 0);
        my (undef, $output) = $probe->nginx_t(
            "%%TEST_GLOBALS%%\nevents { use $method; }\nhttp { %%TEST_GLOBALS_HTTP%% }\n");
        plan skip_all => "this nginx has no $method" if $output =~ /invalid event type/;

        my $t = start('', MAIN => '', EVENTS => "use $method;");
        $t->emulator->fault(submit => $_, hold => $_) for 1, 2;
        my $first = submit($t, 'first', 'one');
        ok $t->emulator->wait_for(submit => 1), 'one is on its way';
        my $second = submit($t, 'second', 'two');
        ok $t->emulator->wait_for(submit => 2), 'and another one';
        my ($worker) = $t->worker_pids;
        kill QUIT => $t->master_pid;
        ok wait_until(sub { !$t->worker_pids }), 'the worker quits';
        $t->emulator->release(1);
        # Its outcome is told to the other workers, of which there are none.
        is $first->response->{status}, 202, 'the first one is accepted';

        my $begin = cpu($worker);
        sleep 1;
        cmp_ok cpu($worker) - $begin, '<', 0.2, 'it does nothing but wait';
        $t->emulator->release(2);
        is $second->response->{status}, 202, 'and so is the second one';
        $_->close for $first, $second;
        ok $t->stop, 'nginx quits by itself';
        $t->done;
    };
}


# Seconds.
sub cpu ($pid) {
    open my $file, '<', "/proc/$pid/stat" or return 1e9;
    my @field = split ' ', (<$file> =~ s/.*\)//r);
    return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


subtest 'cut off on its way' => sub {
    my $t = start('request_timeout 20s;');
    $t->emulator->fault(submit => 2, silent => 1);
    $t->emulator->fault(poll => 'every', silent => 1);
    my $location = $t->submit->{location};
    my $client = submit($t, 'lost', 'key');
    my $joined = submit($t, 'lost', 'key');
    my $held = $t->start(GET => $location, headers => { Prefer => 'wait=30' });
    my $stream = $t->stream($location);
    ok $t->emulator->wait_for(submit => 2), 'a submit is on its way';
    ok $t->emulator->wait_for(poll => 1), 'and a poll';

    cut($t);
    is $held->response->{status}, 200, 'who waited has an answer';
    $t->refused($client->response, 424, 'outcome_unknown', 'the submit has one');
    $t->refused($joined->response, 424, 'outcome_unknown', 'and who joined it');
    my $r = submit($t, 'lost', 'key')->response;
    is $r->{status}, 424, 'what is not known is not sent again';
    is scalar $t->emulator->submits, 2, 'by nobody';
    $t->done;
};


subtest 'between two tries' => sub {
    my $t = start('request_timeout 30s;');
    my $emulator = $t->emulator;
    $emulator->fault(submit => '1-2', status => 503, retry_after => 15);
    $t->hang_up(POST => '/translate', body => 'gone');
    my $client = submit($t, 'text', 'key');
    ok wait_until(sub { 2 == grep { $_->{status} } $emulator->submits }), 'upstream refused two';
    my $joined = submit($t, 'text', 'key');

    cut($t);
    for ($client, $joined) {
        my $r = $t->refused($_->response, 503, 'upstream_unavailable',
            'the submit ends, or the joined one');
        is $r->header('Retry-After'), 15, 'when upstream wants to be asked again';
    }
    is scalar $emulator->submits, 2, 'nothing was sent again';
    accepted_anew($t, 'text', 'key');
    $t->done;
};


subtest 'in the line of the quota' => sub {
    my $t = start('submit_rate 1r/m; submit_queue 10 10m; request_timeout 90s;');
    is submit($t, 'text')->response->{status}, 202, 'one is accepted';
    my @clients = map { submit($t, "text $_") } 1, 2;

    cut($t);
    for (@clients) {
        my $r = $t->refused($_->response, 429, 'quota_exceeded', 'one in line ends');
        cmp_ok $r->header('Retry-After') // 0, '>', 40, 'and is told when to come back';
    }
    is scalar $t->emulator->submits, 1, 'neither was sent';
    $t->done;
};


# Its token has expired, and the next one does not come. With the location of an operation.
sub tokenless () {
    my $t = CompletionAsync::Credentials->new(delay => 60, token_ttl => 3);
    $t->emulator->fault(metadata => 2, silent => 1);
    run($t, 'request_timeout 20s; folder %%FOLDER%%; metadata_token ' . $t->metadata_url . ';'
        . 'submit_url %%UPSTREAM%%/foundationModels/v1/completionAsync;'
        . 'operations_url %%UPSTREAM%%/operations;');
    my $location = $t->submit('first')->{location};
    ok $t->emulator->wait_for(metadata => 2), 'a new token is asked for';
    my ($first) = $t->emulator->journal(kind => 'metadata');
    wait_until(sub { time > $first->{end_time} + 3.2 });
    return ($t, $location);
}


subtest 'without a token' => sub {
    my ($t) = tokenless();
    my $client = submit($t, 'text', 'key');

    cut($t);
    $t->refused($client->response, 503, 'upstream_unavailable', 'the submit ends');
    accepted_anew($t, 'text', 'key');
    is scalar $t->errors('no new token'), 0, 'no other worker had to pause before it asked';
    $t->done;
};


subtest 'a cancel without a token' => sub {
    my ($t, $location) = tokenless();
    is $t->request(DELETE => $location)->{status}, 200, 'cancelled, upstream is still to hear of it';

    ok $t->stop, 'nginx quits by itself';
    is scalar $t->emulator->cancels, 0, 'upstream was not told';
    $t->done;
};


subtest 'before it has a connection' => sub {
    my $mute = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') or die "udp: $@\n";
    my $t = CompletionAsync::Test->new(emulator => {});
    run($t, 'submit_url http://mute.test/; operations_url http://mute.test/; folder %%FOLDER%%;'
        . 'api_key file:%%API_KEY_FILE%%; connect_timeout 20s; request_timeout 40s;',
        HTTP => 'resolver 127.0.0.1:' . $mute->sockport . '; resolver_timeout 20s;');
    my $client = submit($t, 'text');

    cut($t);
    $t->refused($client->response, 503, 'upstream_unavailable', 'the submit ends');
    $t->done;
};


done_testing;
