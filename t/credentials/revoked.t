# A credential that upstream refuses: renewed once, the request repeated once, and no storm.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

my $CONF = CompletionAsync::Credentials->provider_conf('%%CREDENTIAL%% request_timeout 5s;');


sub start (%setting) {
    my $t = CompletionAsync::Credentials->new(%setting);
    $t->define(CREDENTIAL => 'metadata_token ' . $t->metadata_url . ';');
    return $t;
}


sub renewals ($t) { scalar $t->emulator->journal(kind => 'metadata') }


subtest 'revoked under load' => sub {
    my $t = start(delay => 3);
    $t->run($CONF);
    my @polled = map { $t->start(GET => $_, headers => { Prefer => 'wait=8' }) }
        map { $t->submit->{location} } 1 .. 5;
    is renewals($t), 1, 'one token';
    my ($sent, $failed) = $t->under_load(3, sub {
        for my $n (1, 2) {
            $t->emulator->wait_for(submit => 30 * $n + $t->emulator->submits);
            $t->emulator->revoke if $n == 1;
        }
    });
    cmp_ok $sent, '>', 20, 'of many submits';
    is $failed, 0, 'none fails';
    cmp_ok renewals($t), '<=', 3, 'two renewals at most';
    cmp_ok renewals($t), '>=', 2, 'and one at least';
    cmp_ok scalar(grep { ($_->{status} // 0) == 401 } $t->emulator->journal), '>', 0,
        'upstream had refused';
    my @r = map { $_->response } @polled;
    is_deeply [ map { $_->{status} } @r ], [ (200) x 5 ], 'clients that wait get their answer';
    is_deeply [ map { $_->json->{done} ? 1 : 0 } @r ], [ (1) x 5 ], 'which is the result';
    is scalar($t->errors), 0, 'nothing of it in the error log';
    $t->done;
};


subtest 'a poll and a cancel are repeated, too' => sub {
    my $t = start(delay => 60);
    $t->run($CONF);
    my ($one, $two) = map {
        $t->submit("text $_")->{location}
    } 1, 2;
    my ($id) = ($t->emulator->submits)[0]{operation};

    $t->emulator->revoke;
    my $polls = $t->emulator->polls;
    ok $t->emulator->wait_for(poll => $polls + 4), 'polls go on';
    is renewals($t), 2, 'with a second token';
    is scalar($t->errors), 0, 'without an error';

    sleep 2;
    $t->emulator->revoke;
    $t->emulator->fault(poll => 'every', hold => 'poll');
    is $t->request(DELETE => $one)->{status}, 200, 'a cancel';
    ok $t->emulator->wait_for(cancel => 2), 'is sent twice';
    my @cancels = $t->emulator->cancels($id);
    $t->emulator->wait_over(cancel => 2);
    @cancels = $t->emulator->cancels($id);
    is_deeply [ map { $_->{status} } @cancels ], [ 401, 200 ], 'refused, and accepted';
    $t->done;
};


subtest 'refused for good' => sub {
    my $t = start();
    $t->run($CONF);
    ok $t->emulator->wait_for(metadata => 1), 'a token';
    $t->emulator->fault(submit => 'every', status => 401);
    my $r = $t->post;
    $t->refused($r, 502, 'upstream_rejected', 'a second 401 is a 502');
    is scalar $t->emulator->submits, 2, 'after two tries';
    is renewals($t), 2, 'with two tokens';
    like $t->log, qr/\[error\] .*upstream answered 401, request id "[0-9a-f-]+"/, 'which is logged';

    my $tokens = renewals($t);
    my $n = 0;
    wait_until(sub { $t->post; $n++; renewals($t) > $tokens + 1 });
    cmp_ok $n, '>', 10, 'many more make few renewals';
    $t->emulator->clear_faults;
    is $t->post->{status}, 202, 'and the first that upstream accepts is accepted';
    $t->done;
};


subtest 'refused slowly' => sub {
    my $t = start();
    $t->run($CONF);
    ok $t->emulator->wait_for(metadata => 1), 'a token';

    # Longer than the pause between two renewals, which alone would end the repeating.
    $t->emulator->fault(submit => 'every', status => 401, delay => 1.4);
    is $t->post->{status}, 502, 'a 502';
    is scalar $t->emulator->submits, 2, 'after two tries';
    $t->done;
};


subtest 'a file' => sub {
    my $t = start(issue_tokens => 0, api_key => 'AQVNfirst0first0first0');
    $t->secret(qw(AQVNfirst0first0first0 AQVNsecond0second0));
    my $path = $t->secret_file('it.key', "AQVNfirst0first0first0\n");
    $t->define(CREDENTIAL => "api_key file:$path;");
    $t->run($CONF);
    is $t->post->{status}, 202, 'accepted';

    # Read at once, before anybody looks at it by the clock.
    $t->write_file('it.key', "AQVNsecond0second0\n", 0600);
    $t->emulator->set(api_key => 'AQVNsecond0second0');
    is $t->post->{status}, 202, 'changed and refused: it is read at once';

    # The other worker looks at it by the clock.
    $t->until_told(1);
    $t->emulator->set(api_key => 'AQVNthird0third0');
    my $before = $t->emulator->submits;
    my $r = $t->post;
    $t->refused($r, 502, 'upstream_rejected', 'unchanged and refused: a 502');
    is scalar($t->emulator->submits) - $before, 1, 'after one try';
    $t->done;
};

done_testing;
