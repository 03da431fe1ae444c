# DELETE and POST :cancel.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
my $emulator = $t->emulator;

$t->write_file('id.key', 'k' x 32, 0600);
my $conf = <<'EOC';
worker_processes 4;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    completion_async_provider yandex {
        zone            operations 1m;
        id_key          file:%%TESTDIR%%/id.key;
        poll_interval   100ms 500ms;
        request_timeout 3s;
        %%PROVIDER%%
    }
    completion_async_provider alone {
        zone          alone 1m;
        poll_interval 10s 20s;
        %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;

        add_header X-Worker $pid always;
        completion_async_model yandexgpt-lite;

        location /translate {
            completion_async yandex;
        }
        location /alone {
            completion_async alone;
        }
        location /alice {
            completion_async       yandex;
            completion_async_owner alice;
        }
        location /bob {
            completion_async       yandex;
            completion_async_owner bob;
        }
    }
}
EOC
$t->run($conf);


sub is_cancelled ($r, $id, $name) {
    my $json = $r->json // {};
    is $r->{status}, 200, "$name: 200";
    is $json->{id}, $id, "$name: the operation";
    ok $json->{done}, "$name: done";
    is $json->{error}{code}, 1, "$name: cancelled";
    ok !exists $json->{response}, "$name: no response";
    is $r->header('Cache-Control'), 'no-store', "$name: no-store";
    is $r->header('ETag'), undef, "$name: no ETag";
    is $r->header('Retry-After'), undef, "$name: nothing to come back for";
}


subtest 'DELETE and POST :cancel' => sub {
    for my $way ([ 'DELETE', '' ], [ 'POST', ':cancel' ]) {
        my ($method, $suffix) = @$way;
        my ($location, $id, $upstream) = $t->submit->@{qw(location id upstream)};

        my $r = $t->request($method => "$location$suffix");
        is_cancelled($r, $id, $method);
        is_cancelled($t->poll($location), $id, "GET after $method");
        is_cancelled($t->request(DELETE => $location), $id, 'DELETE again');
        is_cancelled($t->request(POST => "$location:cancel", body => 'ignored'), $id,
            'POST again');
        for my $again ([ DELETE => $location ], [ POST => "$location:cancel" ]) {
            is_cancelled($t->request(@$again, headers => { Accept => 'text/plain' }), $id,
                "$$again[0], whatever is preferred");
        }

        ok $emulator->wait_for(cancel => 1), 'upstream is told';
        my @cancels = $emulator->cancels($upstream);
        is scalar @cancels, 1, 'once';
        is $cancels[0]{method}, 'GET', 'by GET';
        is $cancels[0]{path}, "/operations/$upstream:cancel", 'of this operation';
        is $cancels[0]{headers}{authorization}, 'Api-Key ' . $t->api_key, 'authorized';

        $r = $t->poll($location, headers => { Accept => 'text/plain' });
        is $r->{status}, 410, 'as text: gone';
    }
};


subtest 'other methods' => sub {
    my $location = $t->submit->{location};
    my $r = $t->request(GET => "$location:cancel");
    is $r->{status}, 405, 'a GET cancels nothing';
    like $r->header('Allow'), qr/\bPOST\b/, 'Allow';
    ok !$t->poll($location)->json->{done}, 'it goes on';
};


# As long as a new operation is asked about three times: what was to come is there by then.
sub a_while () {
    my $upstream = $t->submit('a while')->{upstream};
    wait_until(sub { $emulator->polls($upstream) >= 3 }) or die "an operation is not watched\n";
}


subtest 'what upstream makes of it does not matter' => sub {
    my ($location, $id, $upstream) = $t->submit('[cancel=ignore]')->@{qw(location id upstream)};

    is_cancelled($t->request(DELETE => $location), $id, 'ignored upstream');
    $emulator->finish($upstream);
    my $polls = $emulator->polls($upstream);
    a_while();
    is_cancelled($t->poll($location), $id, 'finished upstream');
    # one may have been on its way
    cmp_ok scalar $emulator->polls($upstream), '<=', $polls + 1, 'nobody asks any more';
    is scalar $emulator->cancels($upstream), 1, 'upstream was asked once';

    for my $fault ({ status => 500 }, { status => 404 }, { reset => 'request' }, { silent => 1 }) {
        ($location, $id, $upstream) = $t->submit->@{qw(location id upstream)};
        $emulator->fault(cancel => 'every', operation => $upstream, %$fault);
        is_cancelled($t->request(DELETE => $location), $id, join ' ', %$fault);
    }
    wait_until(sub { scalar $emulator->cancels($upstream) });
    cmp_ok scalar(grep { !$_->{fault} } $emulator->cancels($upstream)), '==', 0, 'all at fault';
    $emulator->clear_faults;
};


subtest 'a late result is dropped' => sub {
    my ($location, $id, $upstream) = $t->submit('[cancel=ignore]')->@{qw(location id upstream)};

    my $n = $emulator->polls($upstream);
    $emulator->fault(poll => 'every', operation => $upstream, delay => 1);
    $emulator->finish($upstream);
    wait_until(sub { $emulator->polls($upstream) > $n });

    is_cancelled($t->request(DELETE => $location), $id, 'while the result is on its way');
    wait_until(sub { defined(($emulator->polls($upstream))[-1]{end}) });
    is(($emulator->polls($upstream))[-1]{status}, 200, 'it has come');
    is_cancelled($t->poll($location), $id, 'after it');
    $emulator->clear_faults;
};


subtest 'a finished one is returned unchanged' => sub {
    for my $outcome ('final', 'failed:8:no') {
        my ($location, $upstream) = $t->submit("[outcome=$outcome]")->@{qw(location upstream)};
        $emulator->finish($upstream);
        my $known = $t->poll_until_done($location);

        for my $way ([ DELETE => $location ], [ POST => "$location:cancel" ]) {
            my $r = $t->request(@$way);
            is $r->{status}, 200, "$way->[0]: 200";
            is $r->{body}, $known->{body}, 'the same';
        }
        is $t->poll($location)->{body}, $known->{body}, 'and stays so';
        is scalar $emulator->cancels($upstream), 0, 'upstream is not asked';
    }
};


subtest 'all at once: upstream is asked once' => sub {
    my ($location, $id, $upstream) = $t->submit->@{qw(location id upstream)};
    my @r = $t->concurrent(([ DELETE => $location ]) x 30);

    is_cancelled($_, $id, 'each') for @r;
    cmp_ok scalar(uniq map { $_->header('X-Worker') } @r), '>', 1, 'by several workers';
    a_while();
    is scalar $emulator->cancels($upstream), 1, 'asked once';
};


subtest 'those who wait are woken, whichever worker they are in' => sub {
    # Nothing else gives those workers a reason to look after their clients.
    my ($location, $id) = $t->submit('text', path => '/alone')->@{qw(location id)};
    my @waits = map { $t->start(GET => $location, headers => { Prefer => 'wait=20' }) } 1 .. 30;
    my @streams = map { $t->stream($location) } 1 .. 10;

    $t->until_waiting(40);
    my $told = time;
    my $r = $t->request(DELETE => $location);
    CompletionAsync::Client->gather([ @waits, @streams ]);
    # Without edges one worker takes the event for all, and the others look every second.
    my $edges = ($ENV{TEST_NGINX_EVENTS} // 'epoll') eq 'epoll';
    cmp_ok time - $told, '<', $edges ? 0.7 : 1.7, 'by the event, not by a timer of a second';
    is_cancelled($r, $id, 'DELETE');

    my @r = map { $_->response } @waits;
    is scalar(grep { $_->json && ($_->json->{error}{code} // 0) == 1 } @r), 30, 'all of them';
    cmp_ok scalar(uniq map { $_->header('X-Worker') } @r), '>', 1, 'in several workers';
    is scalar(grep { $_->{response}{body} =~ /^id: done\ndata: .*"code": ?1\b/m } @streams), 10,
        'streams as well';
};


subtest 'an id of somebody else' => sub {
    my ($location, $id) = $t->submit('text', path => '/alice')->@{qw(location id)};
    my $forged = $location =~ s/(.)$/$1 eq 'A' ? 'B' : 'A'/er;
    my $journal = $emulator->journal;

    for my $path ("/bob/operations/$id", "/translate/operations/$id", $forged) {
        is $t->request(DELETE => $path)->{status}, 404, 'DELETE';
        is $t->request(POST => "$path:cancel")->{status}, 404, 'POST :cancel';
    }
    a_while();
    is scalar $emulator->cancels, scalar(grep { $_->{kind} eq 'cancel' }
        ($emulator->journal)[0 .. $journal - 1]), 'upstream is not asked';
    ok !$t->poll($location)->json->{done}, 'and it goes on';
    is_cancelled($t->request(DELETE => $location), $id, 'its owner may');
};


subtest 'adopted: of another life of nginx' => sub {
    my %op = map { $_ => $t->submit("[cancel=ignore] $_") } qw(pending finished unknown raced);

    ok $t->stop, 'nginx ends';
    $emulator->finish($op{finished}{upstream});
    $emulator->forget($op{unknown}{upstream});
    $t->run($conf);

    my ($location, $id, $upstream) = $op{pending}->@{qw(location id upstream)};
    is_cancelled($t->request(DELETE => $location), $id, 'pending');
    $emulator->finish($upstream);
    a_while();
    is_cancelled($t->poll($location), $id, 'for good');
    is scalar $emulator->cancels($upstream), 1, 'upstream was asked once';

    ($location, $id, $upstream) = $op{finished}->@{qw(location id upstream)};
    my $r = $t->request(DELETE => $location);
    is $r->{status}, 200, 'finished: 200';
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: [cancel=ignore] finished',
        'with its result';
    is scalar $emulator->cancels($upstream), 0, 'upstream is not asked to cancel';

    ($location, $id, $upstream) = $op{unknown}->@{qw(location id upstream)};
    is $t->request(DELETE => $location)->{status}, 404, 'unknown: 404';
    is scalar $emulator->cancels($upstream), 0, 'upstream is not asked to cancel';

    ($location, $id, $upstream) = $op{raced}->@{qw(location id upstream)};
    my @r = $t->concurrent(([ DELETE => $location ]) x 10);
    is_cancelled($_, $id, 'all at once') for @r;
    a_while();
    is scalar $emulator->cancels($upstream), 1, 'upstream was asked once';
};


subtest 'upstream is away' => sub {
    my ($location, $id) = $t->submit->@{qw(location id)};
    $emulator->stop;
    is_cancelled($t->request(DELETE => $location), $id, 'decided here');
    $emulator->resume;
};


ok $t->stop, 'nginx ends by itself';
$t->done;
