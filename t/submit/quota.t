# submit_rate, submit_queue and poll_rate, over all workers.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max min sum uniq);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);
use CompletionAsync::Upstream;

my $CONF = CompletionAsync::Test->location_conf(
    main     => 'worker_processes %%WORKERS%%;',
    provider => '%%PROVIDER%% %%QUOTAS%%',
    listen   => 'reuseport',
    server   => 'add_header X-Worker $pid always;',
);


# Each of them waits, or has an answer.
sub until_there ($t, @clients) {
    wait_until(sub { @clients == $t->metrics->sum('waiters') + grep { $_->is_over } @clients });
}


# Its windows are shorter by a tenth, since nobody here keeps a packet's delay constant.
sub start ($quotas, %emulator) {
    my $workers = delete $emulator{workers} // 2;
    my $t = CompletionAsync::Test->new(
        emulator => { delay => 60, quota_slack => 0.1, %emulator },
    );
    $t->define(WORKERS => $workers, QUOTAS => $quotas);
    $t->run($CONF);
    return $t;
}


sub submit ($t, $text = 'text') {
    return $t->start(POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
        body => $text);
}


# Comes back when it was told to, or some seconds later.
sub obey ($r, $more = 0) { sleep $r->header('Retry-After') + $more }


sub statuses (@r) { join ' ', map { $_->{status} // '-' } @r }


sub refused ($emulator) { scalar grep { ($_->{status} // 0) == 429 } $emulator->journal }


# The most that began within a second's window.
sub densest ($seconds, @times) {
    my $most = 0;
    for my $from (0 .. $#times) {
        my $n = grep { $_ >= $times[$from] && $_ < $times[$from] + $seconds } @times;
        $most = max $most, $n;
    }
    return $most;
}


subtest 'a burst waits in line' => sub {
    my $t = start('submit_rate 10r/s; submit_queue 100 30s;', submit_quota => 10);
    my $emulator = $t->emulator;

    my @clients;
    for my $tens (0 .. 5) {
        push @clients, map { submit($t, "number ${tens}$_.") } 0 .. 9;
        until_there($t, @clients);
    }
    CompletionAsync::Client->gather(\@clients, 30);
    my @r = map { $_->response } @clients;
    my @submits = $emulator->submits;

    is scalar(grep { ($_->{status} // 0) == 202 } @r), 60, 'all are accepted'
        or diag statuses(@r);
    cmp_ok scalar(uniq map { $_->header('X-Worker') // '' } @r), '==', 2, 'by two workers';
    is refused($emulator), 0, 'upstream has nothing to refuse';
    is scalar @submits, 60, 'each was sent once';

    my @order = map { $_->{json}{messages}[-1]{text} =~ /(\d+)/ } @submits;
    my $far = max map { abs $order[$_] - $_ } 0 .. $#order;
    cmp_ok $far, '<=', 12, 'who comes first is served first' or diag "@order";

    my @times = map { $_->{time} } @submits;
    my @rates = sort { $a <=> $b } map { 40 / ($times[ $_ + 40 ] - $times[$_]) } 0 .. 19;
    cmp_ok $rates[10], '>=', 9.5, 'at 95 % of the rate at least';
    cmp_ok densest(0.9, @times), '<=', 10, 'in every window';
    $t->done;
};


subtest 'the line is full' => sub {
    my $t = start('submit_rate 2r/s; submit_queue 3 30s;', submit_quota => 2);
    my @clients = map { submit($t, "number $_.") } 1 .. 9;

    until_there($t, @clients);
    cmp_ok scalar(grep { !$_->is_over } @clients), '>=', 1, 'some wait when others have answers';
    CompletionAsync::Client->gather(\@clients);
    my @r = map { $_->response } @clients;
    is scalar(grep { $_->{status} == 202 } @r), 5, 'two at once, three in line'
        or diag statuses(@r);

    my @busy = grep { $_->{status} == 429 } @r;
    is scalar @busy, 4, 'the others are told';
    for my $r (@busy) {
        is $r->header('Content-Type'), 'application/problem+json', 'in a problem document';
        is $r->json->{code}, 'quota_exceeded', 'why';
        like $r->header('Retry-After'), qr/^[1-9][0-9]*$/, 'when to come back';
    }
    is scalar $t->emulator->submits, 5, 'nothing of it was sent';

    # There is no better moment than the one that is told.
    my @fill = map { submit($t) } 1 .. 9;
    wait_until(sub { $t->metrics->sum('submit_queue_length') == 3 });
    my $last = submit($t)->response;
    is $last->{status}, 429, 'full again';
    obey($last);
    is submit($t)->response->{status}, 202, 'who comes back when told succeeds';
    CompletionAsync::Client->gather(\@fill);
    is refused($t->emulator), 0, 'upstream has nothing to refuse';
    $t->done;
};


subtest 'no line' => sub {
    my $t = start('submit_rate 5r/s;', submit_quota => 5);

    for my $round (1 .. 2) {
        my $began = time;
        my @r = map { submit($t)->response } 1 .. 8;
        is statuses(@r), '202 202 202 202 202 429 429 429', 'five at once';
        # It says when the first of them is a second ago; so must be the fifth.
        obey($r[-1], time - $began) if $round == 1;
    }
    is refused($t->emulator), 0, 'upstream has nothing to refuse';
    $t->done;
};


subtest 'the line is too long' => sub {
    my $t = start('submit_rate 2r/s; submit_queue 100 1600ms;', submit_quota => 2);
    my @clients = map { submit($t) } 1 .. 7;

    CompletionAsync::Client->gather(\@clients);
    my @r = map { $_->response } @clients;
    is scalar(grep { $_->{status} == 202 } @r), 4, 'two at once, two within a second'
        or diag statuses(@r);
    my ($busy) = grep { $_->{status} == 429 } @r;
    is $busy->json->{code}, 'quota_exceeded', 'the others would wait too long';

    my @fill = map { submit($t) } 1 .. 6;
    until_there($t, @fill);
    my $last = submit($t)->response;
    is $last->{status}, 429, 'too long again';
    obey($last);
    is submit($t)->response->{status}, 202, 'who comes back when told succeeds';
    is refused($t->emulator), 0, 'upstream has nothing to refuse';
    $t->done;
};


subtest 'several rates together' => sub {
    my $t = start('submit_rate 10r/s 15r/m 5000r/h;',
        submit_quota => [ [ 10, 1 ], [ 15, 60 ], [ 5000, 3600 ] ]);

    my $began = time;
    my @r = map { submit($t)->response } 1 .. 12;
    my $took = time - $began;
    is statuses(@r), join(' ', (202) x 10, (429) x 2), 'ten in this second';
    is $r[-1]->header('Retry-After') =~ /^[12]$/, 1, 'for some of the next one'
        or diag $r[-1]->header('Retry-After');

    obey($r[-1], $took);
    @r = map { submit($t)->response } 1 .. 7;
    is statuses(@r), join(' ', (202) x 5, (429) x 2), 'fifteen in this minute';
    my $seconds = $r[-1]->header('Retry-After');
    cmp_ok $seconds, '>=', 50, 'for the next one';
    cmp_ok $seconds, '<=', 61, 'no later';
    is refused($t->emulator), 0, 'upstream has nothing to refuse';
    $t->done;
};


subtest 'who leaves the line is submitted all the same' => sub {
    my $t = start('submit_rate 2r/s; submit_queue 10;', submit_quota => 2);
    my @clients = map { submit($t, "number $_.") } 1 .. 5;

    wait_until(sub { $t->metrics->sum('submit_queue_length') == 3 });
    $clients[$_]->close for 2, 4;
    ok $t->emulator->wait_for(submit => 5, 6), 'all five come';
    CompletionAsync::Client->gather([ @clients[ 0, 1, 3 ] ]);
    is statuses(map { $_->response } @clients[ 0, 1, 3 ]), '202 202 202', 'the others have answers';
    my @texts = sort map { $_->{json}{messages}[-1]{text} } $t->emulator->submits;
    is_deeply \@texts, [ map { "number $_." } 1 .. 5 ], 'each once';
    $t->done;
};


subtest 'polls' => sub {
    my $t = start('poll_rate 20r/s; poll_interval 100ms 400ms;', poll_quota => 20);
    my $emulator = $t->emulator;

    my @locations = map { $_->header('Location') }
        $t->concurrent(([ POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
            body => 'text' ]) x 99);
    my $waited = submit($t, 'waited for')->response;
    my $id = ($emulator->submits)[-1]{operation};

    my $from = time;
    my $client = $t->start(GET => $waited->header('Location'), headers => { Prefer => 'wait=20' });
    my $since = $emulator->polls;
    $emulator->wait_for(poll => $since + 75, 20);
    my $to = time;
    $emulator->finish($id);
    my $finished = $emulator->polls;
    my $r = $client->response;
    my $more = $emulator->polls - $finished;

    my @polls = grep { $_->{time} >= $from && $_->{time} < $to } $emulator->polls;
    my @times = map { $_->{time} } $emulator->polls;
    is refused($emulator), 0, 'upstream has nothing to refuse';
    cmp_ok densest(0.9, @times), '<=', 20, 'in every window';
    cmp_ok @polls / ($to - $from), '>=', 17, 'the rate is used';

    my %polls;
    $polls{ $_->{operation} }++ for @polls;
    my $mine = delete $polls{$id} // 0;
    my @others = values %polls;
    cmp_ok $mine, '>=', 6, 'the one with a client is asked about as if it were alone';
    cmp_ok max(@others), '<=', 2, 'the others in turn';
    ok $r->json->{done}, 'it is known to be done';
    cmp_ok $more, '<=', 30, 'when few others were asked about';
    $t->done;
};


# The first connections take so long that polls of the next ones come with theirs.
subtest 'polls on slow connections' => sub {
    my $t = CompletionAsync::Test->new(emulator => 0);
    my ($cert, $key) = $t->certificate('upstream');
    my $emulator = CompletionAsync::Upstream->start(delay => 60, tls_cert => $cert,
        tls_key => $key);
    my $url = $emulator->url;
    $t->run_location(main => 'worker_processes 2;', provider => "tls_verify off; poll_rate 20r/s;"
            . "poll_interval 100ms 400ms; folder b1g; api_key file:" . $t->testdir . '/api.key;'
            . "submit_url $url/foundationModels/v1/completionAsync; operations_url $url/operations;");

    my @r = $t->concurrent(([ POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
        body => 'text' ]) x 80);
    is scalar(grep { $_->{status} == 202 } @r), 80, 'operations';

    $emulator->fault(poll => 'every', connection_close => 1);
    $emulator->fault(connect => '1-20', delay => 1.5);
    $emulator->fault(connect => '21-', delay => 0.5);
    my $before = $emulator->polls;
    $emulator->disconnect;
    ok $emulator->wait_for(poll => $before + 80, 60), 'they are asked for';

    my @times = map { $_->{time} } $emulator->polls;
    cmp_ok densest(0.9, splice @times, $before), '<=', 20, 'no more of them come at once';
    $t->done;
};


subtest 'Retry-After counts the line of polls' => sub {
    my $t = start('poll_rate 10r/s; poll_interval 100ms 1s;', poll_quota => 10, workers => 4);
    my $emulator = $t->emulator;
    my @locations;

    for my $r ($t->concurrent(([ POST => '/translate',
        headers => { 'Content-Type' => 'text/plain' }, body => 'text' ]) x 40))
    {
        push @locations, $r->header('Location');
    }
    my %upstream;
    for my $location (@locations) {
        my $json = $t->request(GET => $location)->json;
        ($upstream{$location}) = grep { index($json->{id}, $_) >= 0 }
            map { $_->{operation} } $emulator->submits;
    }

    # Forty clients that obey: what they are told leaves upstream time to be asked.
    my %due = map { $_ => 0 } @locations;
    my %seen;
    my ($idle, $asked) = (0, 0);
    my @told;
    wait_until(sub {
        for my $location (grep { $due{$_} <= time } @locations) {
            my $r = $t->request(GET => $location);
            my $polls = grep { $_->{operation} eq $upstream{$location} && $_->{end} }
                $emulator->polls;
            my $now = time;
            if ($due{$location} && $polls == $seen{$location}) {
                $idle++;
            }
            $asked++ if $due{$location};
            $seen{$location} = $polls;
            $due{$location} = $now + $r->header('Retry-After') + 0.4;
            push @told, $r->header('Retry-After');
        }
        return $asked >= 40;
    }, 20);
    note "asked $asked, idle $idle, told ", join ' ', sort { $a <=> $b } uniq @told;
    cmp_ok $asked, '>=', 20, 'asked again';
    # If the line did not count, three of five would come in vain.
    cmp_ok $idle, '<=', $asked / 2, 'upstream was asked between, mostly';
    is refused($emulator), 0, 'upstream has nothing to refuse';
    $t->done;
};


done_testing;
