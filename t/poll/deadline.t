# deadline, retention, and when an operation is lost.
#
# Lost takes a minute.  With libfaketime it is a few seconds; without, TEST_NGINX_SLOW=1 has it
# waited for.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Test qw(wait_until);

my $CONF = <<'EOC';
worker_processes %%WORKERS%%;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    completion_async_provider short {
        zone          short 1m;
        id_key        file:%%TESTDIR%%/id.key;
        poll_interval 100ms 1s;
        deadline      1s;
        %%PROVIDER%%
    }
    completion_async_provider forgetful {
        zone          forgetful 1m;
        id_key        file:%%TESTDIR%%/id.key;
        poll_interval 100ms 1s;
        retention     1s;
        %%PROVIDER%%
    }
    completion_async_provider lasting {
        zone          lasting 1m;
        id_key        file:%%TESTDIR%%/id.key;
        poll_interval 100ms 2s;
        %%PATIENCE%%
        %%PROVIDER%%
    }
    completion_async_provider crowded {
        zone          crowded 64k;
        id_key        file:%%TESTDIR%%/id.key;
        poll_interval 100ms 2s;
        %%PATIENCE%%
        %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;

        completion_async_model yandexgpt-lite;

        location /crowded {
            completion_async crowded;
        }

        location /short {
            completion_async short;
        }
        location /forgetful {
            completion_async forgetful;
        }
        location /lasting {
            completion_async lasting;
        }
    }
}
EOC


# Patience is for a clock that runs faster than a slow machine.
sub start ($patience = '') {
    my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
    $t->write_file('id.key', 'k' x 32, 0600);
    $t->define(WORKERS => 2, PATIENCE => $patience);
    $t->run($CONF);
    return $t;
}


subtest 'deadline' => sub {
    my $t = start();
    my $emulator = $t->emulator;
    my ($location, $upstream) = $t->submit('text', path => '/short')->@{qw(location upstream)};
    my ($quiet, $quiet_upstream) = $t->submit('quiet', path => '/short')->@{qw(location upstream)};
    my $watched = $t->submit('watched', path => '/lasting')->{upstream};

    # As long as another one is watched beyond the deadline, and beyond MAX.
    my ($born) = map { $_->{end_time} } $emulator->submits;
    wait_until(sub { grep { $_->{time} >= $born + 2.5 } $emulator->polls($watched) });
    my @polls = $emulator->polls($upstream);
    cmp_ok scalar @polls, '>=', 1, 'watched until then';
    is scalar(grep { $_->{time} >= $born + 1.5 } @polls), 0, 'not any more';

    # clients ask, and upstream is asked for them: once per MAX of a second
    my $quiet_polls = $emulator->polls($quiet_upstream);
    my ($first, $odd, @asked) = scalar @polls;
    ok wait_until(sub {
        my $r = $t->poll($location);
        $odd //= $r->{raw} if $r->{status} != 200 || $r->json->{done}
            || ($r->header('Retry-After') // '') !~ /^[1-9][0-9]*$/;
        @asked = $emulator->polls($upstream);
        return @asked >= $first + 3;
    }), 'asked for clients';
    is $odd, undef, 'pending, and with Retry-After';
    my @gaps = map { $asked[$_]{time} - $asked[ $_ - 1 ]{time} } $first + 1 .. $#asked;
    cmp_ok min(@gaps), '>=', 0.9, 'once per MAX';
    is scalar $emulator->polls($quiet_upstream), $quiet_polls,
        'another operation is not asked about';

    $emulator->finish;
    my $r = $t->poll($location, headers => { Prefer => 'wait=50' });
    ok $r->json->{done}, 'who waits learns of the end';

    $r = $t->poll($quiet);
    $r = $t->poll_until_done($quiet, interval => 0.3) if !$r->json->{done};
    ok $r->json->{done}, 'who polls as well';
    $t->done;
};


subtest 'retention' => sub {
    my $t = start();
    my $emulator = $t->emulator;
    my ($location, $upstream) = $t->submit('text', path => '/forgetful')->@{qw(location upstream)};
    my ($kept, $kept_upstream) = $t->submit('text', path => '/lasting')->@{qw(location upstream)};

    $emulator->finish;
    my $r = $t->poll_until_done($location);
    my $body = $r->{body};
    $t->poll_until_done($kept);
    my $polls = $emulator->polls($upstream);
    is $t->poll($location)->{body}, $body, 'in the zone';
    is scalar $emulator->polls($upstream), $polls, 'upstream is not asked';

    wait_until(sub { !$t->metrics->sum('operations', provider => 'forgetful') });
    $r = $t->poll($location);
    is $r->{status}, 200, 'after its retention it is there all the same';
    is $r->{body}, $body, 'the same';
    is scalar $emulator->polls($upstream), $polls + 1, 'from upstream';

    $polls = $emulator->polls($kept_upstream);
    is $t->poll($kept)->{status}, 200, 'one that is retained';
    is scalar $emulator->polls($kept_upstream), $polls, 'comes from the zone';
    $t->done;
};


subtest 'what upstream denies' => sub {
    my $t = start();
    my $emulator = $t->emulator;
    my ($location, $upstream) = $t->submit('text', path => '/lasting')->@{qw(location upstream)};
    my ($other, $other_upstream) = $t->submit('text', path => '/lasting')->@{qw(location upstream)};

    $emulator->forget($upstream);
    my $denied = sub { scalar grep { ($_->{status} // 0) == 404 } $emulator->polls($upstream) };
    my $r;
    wait_until(sub {
        $r = $t->poll($location);
        return $denied->() >= 4;
    }, 20);
    cmp_ok $denied->(), '>=', 4, 'denied four times';
    is $r->{status}, 200, 'within the minute it is there';
    ok !$r->json->{done}, 'pending';

    # The next life of nginx adopts it, and believes the first denial.
    ok $t->stop, 'nginx ends';
    $t->define(WORKERS => 1);
    $t->run($CONF);
    my $polls = $emulator->polls($upstream);
    my @r = $t->concurrent(([ GET => $location ]) x 5);
    is join(' ', map { $_->{status} // '-' } @r), '404 404 404 404 404', 'adopted: unknown';
    is $r[0]->json->{code}, 'operation_not_found', 'as any other';
    is scalar $emulator->polls($upstream), $polls + 1, 'asked once';
    my $watched = $t->submit('watched', path => '/lasting')->{upstream};
    wait_until(sub { $emulator->polls($watched) >= 3 });
    is $t->poll($location)->{status}, 404, 'it stays unknown';
    is scalar $emulator->polls($upstream), $polls + 1, 'upstream is not asked again';

    $r = $t->poll($other);
    is $r->{status}, 200, 'another one is adopted';
    $t->done;
};


sub lost ($t, $minute) {
    my $emulator = $t->emulator;
    my ($location, $upstream) = $t->submit('text', path => '/lasting')->@{qw(location upstream)};
    my ($alive, $alive_upstream) = $t->submit('text', path => '/lasting')->@{qw(location upstream)};

    $emulator->forget($upstream);
    my $denied = sub { grep { ($_->{status} // 0) == 404 } $emulator->polls($upstream) };
    my $r;
    wait_until(sub {
        $r = $t->poll($location);
        return $r->json && $r->json->{done};
    }, 1.5 * $minute + 10);
    my @denied = $denied->();
    cmp_ok time - ($denied[0]{time} // 0), '>=', $minute * 0.95, 'not before a minute is over';
    cmp_ok scalar @denied, '>=', 3, 'denied three times';
    is $r->{status}, 200, 'an answer';
    ok $r->json->{done}, 'done';
    is $r->json->{error}{code}, 5, 'lost';
    my $line = qr/\[error\] .* operation "\Q$upstream\E" of provider "\w+" any more, it is lost, status 404/;
    is scalar(() = $t->log =~ /$line/g), 1, 'the error log says so, once';
    is $r->header('Cache-Control'), 'no-store', 'no-store';
    is $r->header('ETag'), undef, 'no ETag';

    my $polls = $emulator->polls($upstream);
    is $t->poll($location)->json->{error}{code}, 5, 'for good';
    my $others = $emulator->polls($alive_upstream);
    ok wait_until(sub { $emulator->polls($alive_upstream) >= $others + 3 }), 'another one is polled';
    is scalar $emulator->polls($upstream), $polls, 'upstream is not asked any more';
    is $t->poll($location, headers => { Accept => 'text/plain' })->{status}, 424,
        'as text: 424';
    ok !$t->poll($alive)->json->{done}, 'another one is not';
}


# One that had ended, whose result had to make room.
sub lost_result ($t, $minute) {
    my $emulator = $t->emulator;
    my $n   = 0;
    my $end = sub ($text) {
        my $op = $t->submit("[delay=0.01]$text", path => '/crowded');
        is $t->poll_until_done($op->{location})->{status}, 200, "has ended: $text";
        return $op;
    };
    my ($location, $upstream) = $end->('ours')->@{qw(location upstream)};
    ok wait_until(sub {
        $end->('[size=3000]' . ++$n);
        return $t->metrics->sum('zone_evictions_total', provider => 'crowded', kind => 'result');
    }, 30), 'the oldest result makes room';

    $emulator->forget($upstream);
    my ($r, @others);
    wait_until(sub {
        $r = $t->poll($location);
        push @others, $r if !($r->json // {})->{done};
        return $r->{status} == 200;
    }, 1.5 * $minute + 20);

    cmp_ok scalar(grep { ($_->{status} // 0) == 404 } $emulator->polls($upstream)), '>=', 3,
        'denied three times';
    is $r->{status}, 200, 'an answer';
    is $r->json->{error}{code}, 5, 'lost';
    is scalar(grep { $_->{status} == 503 && $_->header('Retry-After') } @others), @others,
        'and until then a 503 that is to be repeated';
    my $polls = $emulator->polls($upstream);
    is $t->poll($location)->json->{error}{code}, 5, 'for good';
    is scalar $emulator->polls($upstream), $polls, 'upstream is not asked any more';
}


my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';

subtest 'lost, in fast motion' => sub {
    plan skip_all => 'there is no libfaketime' if !defined $library;
    plan skip_all => 'another library is preloaded' if $ENV{TEST_NGINX_LD_PRELOAD};

    local $ENV{TEST_NGINX_LD_PRELOAD} = $library;
    local $ENV{FAKETIME} = '+0 x20';
    local $ENV{FAKETIME_DONT_RESET} = 1;
    my $t = start('connect_timeout 5m; request_timeout 10m;');
    delete $ENV{FAKETIME};
    lost($t, 3);
    lost_result($t, 3);
    $t->done;
};


subtest 'lost' => sub {
    plan skip_all => 'TEST_NGINX_SLOW=1 runs it' if !$ENV{TEST_NGINX_SLOW};
    my $t = start();
    lost($t, 60);
    lost_result($t, 60);
    $t->done;
};


done_testing;
