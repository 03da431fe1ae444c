# The token of the metadata service: how it is asked for, and answers that are none.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

my $CONF = CompletionAsync::Credentials->provider_conf(
    'metadata_token %%METADATA%%; request_timeout %%REQUEST_TIMEOUT%%; %%MORE%%');


sub start (%setting) {
    my $t = CompletionAsync::Credentials->new(%setting);
    $t->define(METADATA => $t->metadata_url, MORE => '', REQUEST_TIMEOUT => '3s');
    return $t;
}


sub asked ($t) { $t->emulator->journal(kind => 'metadata') }


subtest 'a token' => sub {
    my $t = start(token_length => 8192);
    $t->run($CONF);
    my $r = $t->post;
    is $r->{status}, 202, 'a submit';
    is $t->poll_until_done($r->header('Location'))->{status}, 200, 'and polls';
    my ($asked, @more) = asked($t);
    is scalar @more, 0, 'asked for once';
    is $asked->{headers}{'metadata-flavor'}, 'Google', 'with the header it wants';
    is $asked->{headers}{authorization}, undef, 'and no other secret';
    my ($submit) = $t->emulator->submits;
    like $submit->{headers}{authorization}, qr/^Bearer t1\.\w{8189}$/, 'of 8 KB';
    $t->secret(substr $submit->{headers}{authorization}, 100, 60);

    ok $t->reload(wait_old => 1), 'a reload';
    is $t->post->{status}, 202, 'a submit';
    is scalar(asked($t)), 1, 'with the token of before';
    $t->allow_killed_workers;
    $t->kill_worker($_) for $t->worker_pids;
    is $t->post->{status}, 202, 'workers killed';
    is scalar(asked($t)), 1, 'the token lives on';
    $t->done;
};


subtest 'no proxy' => sub {
    my $t = start();
    $t->define(MORE => 'proxy http://127.0.0.1:' . $t->closed_port . ';');
    $t->run($CONF);
    ok $t->emulator->wait_for(metadata => 1), 'the metadata service is asked directly';
    is $t->post->{status}, 503, 'while the rest goes through the proxy, which is away';
    is scalar $t->emulator->submits, 0, 'and nowhere else';
    $t->done;
};


subtest 'no service account' => sub {
    my $t = start(metadata => 0);
    $t->run($CONF);
    my @r = $t->concurrent(map { [ POST => '/translate', body => 'text' ] } 1 .. 5);
    is_deeply [ map { $_->{status} } @r ], [ (503) x 5 ], 'a 503';
    my ($why, @others) = sort { ($b =~ /new token/) <=> ($a =~ /new token/) } $t->errors;
    like $why, qr/no service account on this VM.*404/, 'an error explains the 404';
    is scalar(grep { /not reached: there is no token .*"POST \/translate/ } @others), 5,
        'and each request has its own';
    is scalar @others, 5, 'but no more';
    $t->emulator->set(metadata => 1);
    ok wait_until(sub { $t->post->{status} == 202 }, 20),
        'once there is one, all is well without a reload';
    like $t->log, qr/\[notice\].*got a token.*after tries that failed/, 'and said to be';
    $t->done;
};


subtest 'a poll without a token' => sub {
    my $t = start();
    $t->write_file('id.key', 'k' x 32, 0600);
    $t->define(MORE => 'id_key file:' . $t->testdir . '/id.key;');
    $t->run($CONF);
    my $location = $t->submit('[delay=60]')->{location};
    $t->stop;

    # The id is good after the restart, and nothing is known of the operation.
    $t->emulator->fault(metadata => 'every', status => 500);
    $t->define(REQUEST_TIMEOUT => '1s');
    $t->run($CONF);
    is $t->poll($location)->{status}, 503, 'waits, and is a 503';
    $t->stop;

    # Longer than the pause between two tries may have become.
    $t->define(REQUEST_TIMEOUT => '20s');
    $t->run($CONF);
    my ($polls, $tries) = (scalar $t->emulator->polls, scalar asked($t));
    my $r = $t->start(GET => $location, timeout => 25);
    ok $t->emulator->wait_for(metadata => $tries + 1), 'it waits for a token';
    $t->emulator->clear_faults;
    is $r->response(25)->{status}, 200, 'and goes on as soon as there is one';
    cmp_ok scalar($t->emulator->polls), '>', $polls, 'by asking upstream';
    is scalar(grep { $_->{status} == 401 } $t->emulator->polls), 0, 'never without a token';
    $t->done;
};


subtest 'answers that are no token' => sub {
    my $t = start();
    my $e = $t->emulator;
    my $body = sub ($token, $expires) {
        return (body => qq({"access_token":"$token","expires_in":$expires,"token_type":"Bearer"}));
    };
    my @cases = (
        [ 'no JSON'             => mangle => 'html' ],
        [ 'nothing'             => mangle => 'empty' ],
        [ 'an array'            => mangle => 'array' ],
        [ 'half of it'          => truncate => 'half' ],
        [ 'CR and LF'           => $body->('t1.a\r\nX-More: b', 43200) ],
        [ 'NUL'                 => $body->('t1.a\u0000b', 43200) ],
        [ 'a space'             => $body->('t1.a b', 43200) ],
        [ 'an empty token'      => $body->('', 43200) ],
        [ 'a negative expiry'   => $body->('t1.hostile', -1) ],
        [ 'an absurd expiry'    => $body->('t1.hostile', '1' . '0' x 17) ],
        [ 'no expiry'           => $body->('t1.hostile', 'null') ],
        [ 'a token of 20 KB'    => $body->('t' x 20_000, 43200) ],
        [ 'an answer of 100 KB' => mangle => 'huge', size => 100_000 ],
        [ 'a redirect'          => status => 302, headers => { Location => $t->emulator->url } ],
        [ 'silence'             => hang => 'request' ],
        [ 'a reset'             => reset => 'request' ],
    );
    $t->define(REQUEST_TIMEOUT => '1s');
    for my $case (@cases) {
        my ($name, %fault) = @$case;
        my $logged = length $t->log;
        $e->fault(metadata => 'every', %fault);
        $t->run($CONF);
        is $t->post->{status}, 503, "$name: a 503";
        wait_until(sub { substr($t->log, $logged) =~ /\[error\].*no new token/ });
        my $news = substr $t->log, $logged;
        is scalar(() = $news =~ /\[error\].*no new token/g), 1, "$name: one error";
        unlike $news, qr/hostile|X-More/, "$name: nothing of it is logged";
        $e->clear_faults;
        ok wait_until(sub { $t->post->{status} == 202 }), "$name: and over";
        $t->stop;
    }
    is scalar(grep { ($_->{headers}{authorization} // '') !~ /^Bearer t1\.\w{197}$/ }
        $e->submits), 0, 'upstream saw none of it';
    $t->done;
};


subtest 'who was to renew it dies' => sub {
    my $t = start();
    $t->allow_killed_workers;
    $t->emulator->fault(metadata => 1, hang => 'request');
    $t->run($CONF);
    ok $t->emulator->wait_for(metadata => 1), 'a token is asked for';
    my @r = map { $t->start(POST => '/translate', body => 'text') } 1 .. 4;
    $t->until_waiting(4);
    # Which worker has the lease is not known: those of the clients that live on go on.
    $t->kill_worker($_) for $t->worker_pids;
    ok wait_until(sub { $t->post->{status} == 202 }),
        'its lease ends, and another worker gets one';
    is scalar(asked($t)), 2, 'once';
    $_->close for @r;
    $t->done;
};


subtest 'providers do not share' => sub {
    my $t = start();
    my $other = CompletionAsync::Upstream->start(delay => 0.2, issue_tokens => 1);
    my $two = <<'EOC';
    completion_async_provider two {
        zone            two 1m;
        folder          %%FOLDER%%;
        submit_url      %%OTHER%%/foundationModels/v1/completionAsync;
        operations_url  %%OTHER%%/operations;
        metadata_token  %%OTHER_METADATA%%;
    }
EOC
    $t->define(OTHER => $other->url, OTHER_METADATA => $t->metadata_url($other));
    my $both = $CONF =~ s/    server \{/$two    server {/r;
    $both =~ s/location \/translate/location \/two { completion_async two; completion_async_model m; }
        location \/translate/;
    $t->run($both);
    for (1 .. 5) {
        is $t->request(POST => $_, body => 'text')->{status}, 202, $_ for '/two', '/translate';
    }
    my ($a, $b) = map { my %seen = map { $_->{headers}{authorization} => 1 } $_->submits;
        join ' ', keys %seen } $t->emulator, $other;
    isnt $a, $b, 'each has its own token';

    # The same zone, the tokens of another service: a reload does not mix them up.
    $t->define(METADATA => $t->metadata_url($other));
    $t->emulator->set(issue_tokens => 0);
    my $before = $t->emulator->submits;
    $t->conf($CONF);
    ok $t->reload(wait_old => 1), 'a reload with another service';
    is $t->post->{status}, 202, 'a submit';
    isnt(($t->emulator->submits)[-1]{headers}{authorization}, $a, 'shows a token of that one');
    $t->done;
};

done_testing;
