# completion_async_metrics against what upstream saw and what the clients got.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Credentials;
use CompletionAsync::Metrics;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.3 }, timeout => 200);
$t->allow_killed_workers;

$t->define(
    CLOSED => 'http://127.0.0.1:' . $t->closed_port,
    HOLE   => 'http://127.0.0.1:' . $t->black_hole,
);
$t->conf($t->expand(<<'EOC'));
worker_processes 2;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    log_format metrics '$request_method|$status|$completion_async_source|$completion_async_state';
    access_log %%TESTDIR%%/metrics.log metrics;

    completion_async_provider yandex {
        zone yandex 4m; %%PROVIDER%%
        poll_interval 50ms 500ms; request_timeout 2s;
        id_key file:%%API_KEY_FILE%%;
    }
    completion_async_provider limited {
        zone limited 1m; %%PROVIDER%%
        submit_rate 1r/s; submit_queue 1 5s; poll_interval 50ms 500ms;
    }
    completion_async_provider tight {
        zone tight 64k; %%PROVIDER%%
    }
    completion_async_provider closed {
        zone closed 1m; api_key file:%%API_KEY_FILE%%; request_timeout 1s;
        submit_url %%CLOSED%%/; operations_url %%CLOSED%%/;
    }
    completion_async_provider "a\\\"b" {
        zone odd 1m; api_key file:%%API_KEY_FILE%%; connect_timeout 200ms; request_timeout 1s;
        submit_url %%HOLE%%/; operations_url %%HOLE%%/;
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;
        completion_async_model gpt://%%FOLDER%%/yandexgpt-lite;

        location /translate { completion_async yandex; }
        location /cached    { completion_async yandex; completion_async_cache 1h shared; }
        location /limited   { completion_async limited; }
        location /tight     { completion_async tight; }
        location /closed    { completion_async closed; }
        location /odd       { completion_async "a\\\"b"; }
        location /first {
            completion_async closed;
            completion_async_intercept_errors on;
            error_page 503 = @second;
        }
        location @second {
            completion_async yandex;
            completion_async_operations_uri /translate/operations/;
        }
        location /metrics   { completion_async_metrics; access_log off; }
    }
}
EOC
$t->run;

my $emulator = $t->emulator;


sub scrape () { CompletionAsync::Metrics->scrape($t, '/metrics') }


# Each of what is expected, by its name, labels and value; what is not named is not looked at.
sub says ($metrics, $name, @expected) {
    my @bad;
    for my $expected (@expected) {
        my ($sample, $labels, $value) = @$expected;
        my $got = eval { $metrics->sum($sample, %$labels) } // $@;
        my $text = join ',', map { "$_=$labels->{$_}" } sort keys %$labels;
        push @bad, "$sample\{$text}: $got, not $value" if abs($got - $value) > 1e-9;
    }
    is scalar @bad, 0, $name or diag(join "\n", @bad);
}


subtest 'the text' => sub {
    my $r = $t->request(GET => '/metrics');
    is $r->{status}, 200, 'GET';
    is $r->header('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8', 'its type';
    is $r->header('Cache-Control'), 'no-store', 'is not kept';
    is $r->header('Content-Length'), length $r->{body}, 'its length is known';

    my ($status, $output) = CompletionAsync::Metrics->promtool($r->{body}, 'check', 'metrics');
    is $status, 0, 'promtool check metrics' or diag($output);
    is $output, '', 'has nothing to say';
    ($status) = CompletionAsync::Metrics->promtool("# TYPE a_total counter\na_total{b} 1\n",
        'check', 'metrics');
    isnt $status, 0, 'as it has of another text';

    my $metrics = CompletionAsync::Metrics->parse($r->{body});
    is_deeply [ sort keys %{ $metrics->{type} } ], [ sort keys %{ $metrics->{help} } ],
        'each family has a type and a help';
    is scalar(grep { /_total$/ xor $metrics->{type}{$_} eq 'counter' } keys %{ $metrics->{type} }),
        0, 'counters, and they alone, end in _total';
    my %provider = map { $_->[1]{provider} // '' => 1 } @{ $metrics->{samples} };
    is_deeply [ sort keys %provider ], [ '', 'a\\\\\\"b', 'closed', 'limited', 'tight', 'yandex' ],
        'every provider, escaped';
    is scalar(grep { $_->[2] != 0 && ($metrics->{type}{ $_->[0] } // '') eq 'counter' }
        @{ $metrics->{samples} }), 0, 'nothing is counted yet';
    is $metrics->value('zone_size_bytes', provider => 'yandex'), 4 * 1024 * 1024, 'a zone\'s size';
    my $used = $metrics->value('zone_used_bytes', provider => 'yandex');
    cmp_ok $used, '>', 0, 'some of it is used';
    cmp_ok $used, '<', 1024 * 1024, 'most is not';
    is $metrics->value('submit_queue_limit', provider => 'limited'), 1, 'a limit of a queue';
    is scalar($metrics->matching('token_expiry_timestamp_seconds')), 0,
        'a token that does not expire has no time';

    $r = $t->request(HEAD => '/metrics');
    is $r->{status}, 200, 'HEAD';
    is $r->{body}, '', 'has no body';
    $r = $t->request(POST => '/metrics', body => 'a');
    is $r->{status}, 405, 'POST is not allowed';
    is $r->header('Allow'), 'GET, HEAD', 'these are';
};


subtest 'the configuration' => sub {
    my $other = CompletionAsync::Test->new(emulator => { delay => 60 });
    for my $case (
        [ 'completion_async_metrics on;', qr/invalid number of arguments/ ],
        [ 'completion_async_metrics; completion_async_metrics;', qr/is duplicate/ ],
        [ 'completion_async yandex; completion_async_metrics;',
            qr/"completion_async_metrics" directive needs a location of its own/ ],
        [ 'completion_async_metrics; completion_async yandex;',
            qr/"completion_async" directive needs a location of its own/ ],
    ) {
        my ($directives, $expected) = @$case;
        my ($status, $output) = $other->nginx_t($other->http_conf(<<"EOC"));
completion_async_provider yandex { zone yandex 1m; %%PROVIDER%% }
server { location / { $directives } }
EOC
        isnt $status, 0, $directives;
        like $output, $expected, 'says why';
    }
    $other->run($other->http_conf(<<'EOC'));
server {
    listen 127.0.0.1:%%PORT%%;
    location / { completion_async_metrics; }
    location /guarded { completion_async_metrics; limit_except GET { deny all; } }
    location /within  { completion_async_metrics; limit_except POST { allow all; } }
}
EOC
    is_deeply [ CompletionAsync::Metrics->scrape($other, '/')->names ],
        ['nginx_completion_async_build_info'], 'there may be no provider at all';
    is $other->request(GET => $_)->{status}, 200, "$_: limit_except lets them through"
        for '/guarded', '/within';
    is $other->request(POST => '/guarded')->{status}, 403, 'or not';
    $other->done;
};


# What upstream saw, as the counters have it.  A fault named "broken" leaves no answer to read.
sub journal () {
    my %count;
    for my $entry ($emulator->journal) {
        next if $entry->{kind} !~ /^(?:submit|poll|cancel)$/;
        my $status = $entry->{status};
        my $code = ($entry->{fault} // '') eq 'broken' ? 'broken'
            : ($entry->{end} // '') eq 'client' || !defined $status ? 'aborted'
            : $status =~ /^(?:200|40[0134]|429|50[0234])$/ ? $status
            : substr($status, 0, 1) . 'xx';
        $count{"$entry->{kind} $code"}++;
    }
    return \%count;
}


sub requests ($metrics) {
    my %count;
    for my $sample ($metrics->matching('upstream_requests_total')) {
        my ($labels, $value) = @$sample[1, 2];
        next if !$value || $labels->{code} =~ /^(?:unreached|connect_timeout)$/;
        $count{"$labels->{kind} $labels->{code}"} += $value;
    }
    return \%count;
}


sub settled () {
    return wait_until(sub {
        my $metrics = scrape();
        return !$metrics->sum('operations', state => 'submitting')
            && !$metrics->sum('operations', state => 'pending')
            && !$metrics->sum('waiters');
    }, 20);
}


my (%ended, @final, $cancels);

my %SUBMITS = (
    accepted => 0, joined => 0, cached => 0, replayed => 0, invalid_request => 0,
    quota_exceeded => 0, upstream_rejected => 0, outcome_unknown => 0, upstream_unavailable => 0,
    upstream_timeout => 0, zone_full => 0, overloaded => 0, idempotency_mismatch => 0,
);


# Until it is done; its tokens are remembered.
sub finished ($location) {
    my $r = $t->poll_until_done($location);
    push @final, $r->json;
    return $r;
}


subtest 'submits' => sub {
    for my $case (
        [ final         => 'completed' ],
        [ truncated     => 'incomplete' ],
        [ filter        => 'incomplete' ],
        [ tool_calls    => 'tool_calls' ],
        [ no_usage      => 'completed' ],
        [ 'failed:8:no' => 'failed' ],
    ) {
        my ($outcome, $state) = @$case;
        finished($t->submit("text [outcome=$outcome]")->{location});
        $SUBMITS{accepted}++;
        $ended{$state}++;
    }
    finished($t->submit('done at once [delay=0]')->{location});
    $SUBMITS{accepted}++;
    $ended{completed}++;

    for my $case (
        [ 400, invalid_request      => 400 ], [ 401, upstream_rejected => 502 ],
        [ 403, upstream_rejected    => 502 ], [ 404, upstream_rejected => 502 ],
        [ 301, upstream_rejected    => 502 ], [ 418, upstream_rejected => 502 ],
        [ 500, outcome_unknown      => 424 ], [ 507, outcome_unknown   => 424 ],
        [ 429, quota_exceeded       => 429 ],
        [ 503, upstream_unavailable => 503 ],
    ) {
        my ($status, $result, $ours) = @$case;
        $emulator->fault(submit => 1, status => $status,
            $status =~ /^(?:429|503)$/ ? (retry_after => 60) : ());
        is $t->post->{status}, $ours, "a $status of upstream";
        $SUBMITS{$result}++;
    }
    $emulator->fault(submit => 1, reset => 'request', name => 'broken');
    is $t->post->{status}, 424, 'no answer';
    $emulator->fault(submit => 1, close => 'answer', name => 'broken');
    is $t->post->{status}, 424, 'half an answer';
    $emulator->fault(submit => 1, hang => 'request', name => 'broken');
    is $t->post->{status}, 424, 'no answer in time';
    $emulator->fault(submit => 1, mangle => 'bad_json');
    is $t->post->{status}, 424, 'an answer that is none';
    $SUBMITS{outcome_unknown} += 4;

    $emulator->fault(submit => '1-2', status => 429);
    finished($t->submit('refused twice')->{location});
    $SUBMITS{accepted}++;
    $ended{completed}++;

    is $t->post('')->{status}, 400, 'one that is refused here';
    ok settled(), 'all is done';
    my $metrics = scrape();

    says($metrics, 'submits by their results',
        map { [ 'submits_total', { provider => 'yandex', result => $_ }, $SUBMITS{$_} ] }
        keys %SUBMITS);
    says($metrics, 'what else was counted',
        [ 'retries_total',             { provider => 'yandex', kind => 'submit' }, 2 ],
        [ 'upstream_unreadable_total', { provider => 'yandex' }, 1 ],
        [ 'problems_total', { provider => 'yandex', code => 'invalid_request' }, 2 ],
        [ 'problems_total', { provider => 'yandex' }, 15 ]);
    is_deeply requests($metrics), journal(), 'upstream saw the same';
};


subtest 'joined, cached and replayed' => sub {
    my @with = (headers => { 'Idempotency-Key' => 'key' });
    $emulator->fault(submit => 1, delay => 0.5);
    my @r = $t->concurrent(map { [ POST => '/translate', @with, body => 'key' ] } 1 .. 5);
    is scalar(grep { $_->{status} == 202 } @r), 5, 'five by one key';
    $SUBMITS{accepted}++;
    $SUBMITS{joined} += 4;
    finished($r[0]->header('Location'));
    $ended{completed}++;

    $t->submit('key', @with) for 1 .. 2;
    $SUBMITS{replayed} += 2;
    is $t->post('another', @with)->{status}, 422, 'another request under the key';
    $SUBMITS{idempotency_mismatch}++;

    finished($t->submit('cached', path => '/cached')->{location});
    $ended{completed}++;
    $t->submit('cached', path => '/cached') for 1 .. 3;
    $SUBMITS{accepted}++;
    $SUBMITS{cached} += 3;

    my @unknown = (headers => { 'Idempotency-Key' => 'unknown' });
    $emulator->fault(submit => 1, reset => 'request', name => 'broken');
    is $t->post('unknown', @unknown)->{status}, 424, 'an unknown outcome' for 1 .. 3;
    $SUBMITS{outcome_unknown} += 3;

    my $metrics = scrape();
    says($metrics, 'submits by their results',
        map { [ 'submits_total', { provider => 'yandex', result => $_ }, $SUBMITS{$_} ] }
        keys %SUBMITS);
    says($metrics, 'keys',
        [ 'keys', { provider => 'yandex', kind => 'idempotency' }, 2 ],
        [ 'keys', { provider => 'yandex', kind => 'cache' }, 1 ]);
    is_deeply requests($metrics), journal(), 'upstream saw the same';
};


subtest 'quotas, and no room' => sub {
    my @r = $t->concurrent(map { [ POST => '/limited', body => "limited $_" ] } 1 .. 4);
    is join(' ', sort map { $_->{status} } @r), '202 202 429 429', 'one at once, one later';
    finished($_->header('Location')) for grep { $_->{status} == 202 } @r;
    my $metrics = scrape();
    says($metrics, 'the queue',
        [ 'submits_total', { provider => 'limited', result => 'accepted' }, 2 ],
        [ 'submits_total', { provider => 'limited', result => 'quota_exceeded' }, 2 ],
        [ 'submit_queue_waits_total', { provider => 'limited' }, 1 ],
        [ 'operations_finished_total', { provider => 'limited', state => 'completed' }, 2 ]);
    my $waited = $metrics->value('submit_queue_wait_seconds_total', provider => 'limited');
    ok 0.1 < $waited && $waited < 1.5, 'the time it waited is that of the window' or diag $waited;

    my ($full, $sent) = (0, 0);
    while (!$full && $sent < 1000) {
        my $r = $t->post('text [delay=60]', path => '/tight',
            headers => { 'Idempotency-Key' => "key-$sent" });
        $r->{status} == 503 ? $full++ : $sent++;
    }
    ok $full, "a zone is full after $sent";
    $metrics = scrape();
    says($metrics, 'the tight zone',
        [ 'submits_total',  { provider => 'tight', result => 'zone_full' }, 1 ],
        [ 'submits_total',  { provider => 'tight', result => 'accepted' }, $sent ],
        [ 'problems_total', { provider => 'tight', code => 'zone_full' }, 1 ],
        [ 'keys',           { provider => 'tight', kind => 'idempotency' }, $sent ],
        [ 'operations',     { provider => 'tight' },
            $sent - $metrics->sum('zone_evictions_total', provider => 'tight', kind => 'pending') ]);
    cmp_ok $metrics->sum('zone_used_bytes', provider => 'tight'), '>', 40_000, 'is used up';
};


subtest 'upstream out of reach' => sub {
    is $t->post('text', path => '/closed')->{status}, 503, 'no connection';
    is $t->post('text', path => '/odd')->{status}, 504, 'none in time';
    my $metrics = scrape();
    my $odd = 'a\\\\\\"b';
    says($metrics, 'results',
        [ 'submits_total', { provider => 'closed', result => 'upstream_unavailable' }, 1 ],
        [ 'submits_total', { provider => $odd, result => 'upstream_timeout' }, 1 ]);
    for my $case ([ closed => 'unreached' ], [ $odd => 'connect_timeout' ]) {
        my ($provider, $code) = @$case;
        my $tries = $metrics->value('upstream_requests_total', provider => $provider,
            kind => 'submit', code => $code);
        cmp_ok $tries, '>=', 1, "$code: $tries";
        says($metrics, "the others are $code, too",
            [ 'upstream_requests_total', { provider => $provider }, $tries ],
            [ 'retries_total', { provider => $provider, kind => 'submit' }, $tries - 1 ]);
    }
};


subtest 'polls, waits, streams, cancels' => sub {
    my $location = $t->submit('pending [delay=60]')->{location};
    my $id = ($emulator->submits)[-1]{operation};
    $SUBMITS{accepted}++;

    my @wait = map { $t->start(GET => $location, headers => { Prefer => 'wait=30' }) } 1 .. 5;
    my @stream = map { $t->stream($location) } 1 .. 3;
    $_->event(5) for @stream;
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 8 }),
        'those who wait are counted';
    says(scrape(), 'as what they are', [ 'streams', { provider => 'yandex' }, 3 ],
        [ 'operations', { provider => 'yandex', state => 'pending' }, 1 ]);
    (shift @wait)->close;
    (shift @stream)->close;
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 6 }),
        'until they go';
    is scrape()->value('streams', provider => 'yandex'), 2, 'streams, too';

    $emulator->finish($id);
    $_->response(10) for @wait;
    $_->response(10) for @stream;
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 0 }),
        'or have their answer';
    finished($location);
    $ended{completed}++;

    $location = $t->submit('cancelled [delay=60]')->{location};
    $SUBMITS{accepted}++;
    is $t->request(DELETE => $location)->{status}, 200, 'a cancel' for 1 .. 2;
    $cancels = 2;
    $ended{cancelled}++;

    $emulator->fault(submit => 1, delay => 1);
    my $client = $t->start(POST => '/translate', body => 'client gone [delay=0] [outcome=no_usage]');
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 1 }), 'a submit waits';
    $client->close;
    $SUBMITS{accepted}++;
    $ended{completed}++;
    ok wait_until(sub { ($emulator->submits)[-1]{end} }), 'it is submitted all the same';

    # Whoever is led to another provider waits there, and no longer at the first.
    $client = $t->start(POST => '/first', body => 'led on [delay=60]',
        headers => { Prefer => 'wait=30' });
    $SUBMITS{accepted}++;
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 1 }),
        'a submit that was led on';
    is scrape()->sum('waiters'), 1, 'is one client';
    $emulator->finish(($emulator->submits)[-1]{operation});
    my $r = $client->response;
    is $r->{status}, 200, 'with one answer';
    finished($r->header('Location'));
    $ended{completed}++;

    is $t->request(GET => '/translate/operations/nothing')->{status}, 404, 'a bad id';
    ok settled(), 'all is done';
};


sub polls () {
    my %count;
    for (split /\n/, $t->read_file('metrics.log')) {
        my ($method, $status, $source, $state) = split /\|/;
        $count{$source}++ if $method eq 'GET' && $source ne '';
    }
    return \%count;
}


# An answer that a worker no longer read as it ended is one for upstream, and given up for nginx.
sub unread ($requests, $journal) {
    my %count  = %$requests;
    my $unread = ($count{'poll aborted'} // 0) - ($journal->{'poll aborted'} // 0);
    return \%count if $unread <= 0;

    $count{'poll 200'} += $unread;
    $count{'poll aborted'} -= $unread;
    delete $count{'poll aborted'} if !$count{'poll aborted'};
    return \%count;
}


# Everything that was counted for "yandex".
sub balanced ($name, %arg) {
    my ($metrics, $journal, $requests);

    # The access log is written, and the last poll is over, a moment later.
    ok wait_until(sub {
        $metrics = scrape();
        $journal = journal();
        $requests = requests($metrics);
        $requests = unread($requests, $journal) if $arg{worker_ended};
        return join(',', map { "$_=$requests->{$_}" } sort keys %$requests)
            eq join(',', map { "$_=$journal->{$_}" } sort keys %$journal)
            && (polls()->{zone} // 0) == $metrics->sum('polls_total', source => 'zone');
    }), "$name: upstream and clients saw what was counted"
        or is_deeply $requests, $journal;

    my @of = (provider => 'yandex');
    says($metrics, "$name: the rest",
        map({ [ 'submits_total', { @of, result => $_ }, $SUBMITS{$_} ] } keys %SUBMITS),
        map({ [ 'operations_finished_total', { @of, state => $_ }, $ended{$_} // 0 ] }
<<<<<<< HEAD:t/operate/metrics.t
            qw(completed incomplete tool_calls failed cancelled lost)),
=======
            qw(completed incomplete failed cancelled lost too_large unreadable)),
>>>>>>> w/users:t/metrics.t
        [ 'operation_duration_seconds_count', {@of},
            sum0 @ended{qw(completed incomplete tool_calls failed)} ],
        [ 'cancels_total', {@of}, $cancels ],
        [ 'polls_total', { source => 'zone' },     polls()->{zone} // 0 ],
        [ 'polls_total', { source => 'upstream' }, polls()->{upstream} // 0 ],
        map({
            my $kind = $_;
            [ 'upstream_request_duration_seconds_count', { @of, kind => $kind },
                $metrics->sum('upstream_requests_total', @of, kind => $kind)
                - $metrics->sum('upstream_requests_total', @of, kind => $kind,
                    code => 'aborted') ]
        } qw(submit poll cancel)),
    );
    return $metrics;
}


sub tokens ($metrics, $name) {
    my %sum = (input => 0, completion => 0);
    for my $usage (map { $_->{response}{usage} // {} } @final) {
        $sum{input}      += $usage->{inputTextTokens}  // 0;
        $sum{completion} += $usage->{completionTokens} // 0;
    }
    says($metrics, "$name: tokens, once for each operation",
        map { [ 'tokens_total', { kind => $_ }, $sum{$_} ] } keys %sum);
}


subtest 'the sum of it' => sub {
    tokens(balanced('a run'), 'a run');
};


subtest 'a reload' => sub {
    my $before = scrape();

    # Polls and a submit are on their way, clients wait, when the workers are told to go.
    my @location = map { $t->submit("reload $_ [delay=4]")->{location} } 1 .. 10;
    $SUBMITS{accepted} += @location;
    my @wait = map { $t->start(GET => $_, headers => { Prefer => 'wait=30' }) } @location;
    $emulator->fault(submit => 1, delay => 1);
    my $late = $t->start(POST => '/translate', body => 'reload late [delay=0]');
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 11 }), 'they wait';
    $emulator->fault(poll => '1-4', delay => 1.5, name => 'slow');
    ok wait_until(sub { grep { ($_->{fault} // '') eq 'slow' && !$_->{end} } $emulator->polls }),
        'so do polls';
    ok $t->reload(wait_old => 1), 'a reload';
    $_->response(10) for @wait;
    my $r = $late->response(10);
    is $r->{status}, 202, 'a submit that was on its way';
    finished($r->header('Location'));
    finished($_) for @location;
    $SUBMITS{accepted}++;
    $ended{completed} += 11;
    ok settled(), 'all is done';

    my $metrics = balanced('over a reload', worker_ended => 1);
    cmp_ok $metrics->sum('upstream_requests_total', kind => 'poll', code => 'aborted'), '>', 0,
        'polls were given up';
    tokens($metrics, 'over a reload');
    cmp_ok $metrics->sum($_), '>=', $before->sum($_), "$_ does not go backwards"
        for qw(submits_total polls_total upstream_requests_total);
};


subtest 'a worker is killed' => sub {
    my @location = map { $t->submit("kill $_ [delay=1]")->{location} } 1 .. 10;
    $SUBMITS{accepted} += @location;
    my @wait = map { $t->start(GET => $_, headers => { Prefer => 'wait=30' }) } @location;
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 10 }), 'ten wait';
    $t->kill_worker;
    my @r = map { $_->response(10) } @wait;
    my $lost = grep { ($_->{status} // 0) != 200 } @r;
    ok wait_until(sub { scrape()->value('waiters', provider => 'yandex') == 0 }),
        "those who waited in the dead worker ($lost) are not counted any more";
    finished($_) for @location;
    $ended{completed} += 10;
    ok settled(), 'all is done';

    my $metrics = scrape();
    my ($requests, $journal) = (requests($metrics), journal());
    my $off = sum0(values %$journal) - sum0(values %$requests);
    cmp_ok $off, '>=', 0, 'nothing is counted that upstream did not see';
    cmp_ok $off, '<=', 10, "off by what the dead worker had on its way: $off";
    says($metrics, 'what had ended is not touched',
        map({ [ 'submits_total', { provider => 'yandex', result => $_ }, $SUBMITS{$_} ] }
            keys %SUBMITS),
        [ 'operations_finished_total', { provider => 'yandex', state => 'completed' },
            $ended{completed} ]);
    tokens($metrics, 'over a kill');
};


subtest 'the zone is made anew' => sub {
    my ($gdb) = grep { -x } map { "$_/gdb" } split /:/, $ENV{PATH};
    plan skip_all => 'there is no gdb' if !defined $gdb;

    $t->submit('rebuild [delay=60]');
    $SUBMITS{accepted}++;
    my $before = scrape();
    my ($pid) = $t->worker_pids;
    my $output = `timeout 30 $gdb -nx -q -batch -p $pid -ex 'break ngx_completion_zone_unlock' \\
        -ex continue -ex kill </dev/null 2>&1`;
    like $output, qr/Breakpoint 1[.,]/, 'a worker dies in the lock' or return;
    ok wait_until(sub { $t->worker_pids == 2 && scrape()->sum('zone_rebuilds_total') == 1 }),
        'a zone is made anew';

    my $metrics = scrape();
    my @back = grep {
        $metrics->{type}{$_} eq 'counter' && $metrics->sum($_) < $before->sum($_)
    } keys %{ $metrics->{type} };
    is_deeply \@back, [], 'no counter goes backwards';
    my ($made) = map { $_->[1]{provider} } grep { $_->[2] } $metrics->matching('zone_rebuilds_total');
    is $metrics->sum('operations', provider => $made), 0, "$made holds nothing";
};


subtest 'a restart' => sub {
    my $location = $t->submit('restart [delay=0]')->{location};
    finished($location);
    ok $t->stop, 'nginx stops';
    $t->run;
    my $r = $t->poll($location);
    ok $r->json->{done}, 'an operation of an earlier life';
    says(scrape(), 'is not counted for the second time',
        [ 'polls_total', { provider => 'yandex', source => 'upstream' }, 1 ],
        [ 'upstream_requests_total', { provider => 'yandex', kind => 'poll', code => 200 }, 1 ],
        [ 'operations', { provider => 'yandex', state => 'completed' }, 1 ],
        [ 'operations_finished_total', {}, 0 ],
        [ 'tokens_total', {}, 0 ]);
};


subtest 'gateway overhead' => sub {
    my $before = scrape();
    $emulator->fault(submit => 1, delay => 0.6);
    my $location = $t->submit('overhead [delay=0]')->{location};
    $t->poll($location) for 1 .. 20;
    my $metrics = scrape();
    my @of = (provider => 'yandex');
    for my $case ([ submit => 1 ], [ operation => 20 ]) {
        my ($kind, $n) = @$case;
        my ($count, $sum) = map {
            my $name = "gateway_overhead_seconds_$_";
            $metrics->value($name, @of, kind => $kind) - $before->value($name, @of, kind => $kind)
        } qw(count sum);
        is $count, $n, "$kind: once for each";
        cmp_ok $sum, '>', 0, "$kind: and measured";
        cmp_ok $sum / $n, '<', 0.3, "$kind: without upstream's: " . $sum / $n;
    }
    my $upstream = $metrics->value('upstream_request_duration_seconds_sum', @of, kind => 'submit')
        - $before->value('upstream_request_duration_seconds_sum', @of, kind => 'submit');
    cmp_ok $upstream, '>=', 0.59, 'upstream\'s time';
};


subtest 'when the token expires' => sub {
    my $own = CompletionAsync::Credentials->new(token_ttl => 3600);
    my $conf = $own->http_conf(<<'EOC');
completion_async_provider yandex {
    zone yandex 1m; folder %%FOLDER%%; %%CREDENTIAL%%
    submit_url %%UPSTREAM%%/foundationModels/v1/completionAsync;
    operations_url %%UPSTREAM%%/operations;
}
server {
    listen 127.0.0.1:%%PORT%%;
    location /metrics { completion_async_metrics; }
}
EOC
    my $expiry = sub {
        CompletionAsync::Metrics->scrape($own, '/metrics')
            ->matching('token_expiry_timestamp_seconds');
    };
    $own->define(CREDENTIAL => 'metadata_token ' . $own->metadata_url . ';');
    my $before = time;
    $own->run($conf);
    ok wait_until($expiry), 'a token that is renewed has a time';
    my ($sample) = $expiry->();
    my @moments = map { int } $before + 3600, $sample->[2], time + 3600;
    is_deeply [ sort { $a <=> $b } @moments ], \@moments, 'which is upstream\'s';

    # The zone, and what it counts, outlives the reload.
    $own->define(CREDENTIAL => 'api_key file:' . $own->testdir . '/api.key;');
    $own->conf($conf);
    ok $own->reload(wait_old => 1), 'a reload with an api_key in its place';
    is scalar($expiry->()), 0, 'which has none';
    my $metrics = CompletionAsync::Metrics->scrape($own, '/metrics');
    cmp_ok $metrics->sum('token_renewals_total', result => 'ok'), '>', 0, 'counters go on';
    $own->done;
};


$t->done;
