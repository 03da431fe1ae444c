# The key of a service account: the token it is exchanged for, and when that is renewed.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(decode_base64url);
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

my $CONF = CompletionAsync::Credentials->provider_conf(<<'EOC');
service_account_key  file:%%TESTDIR%%/sa.json;
iam_url              %%UPSTREAM%%/iam/v1/tokens;
request_timeout      3s;
EOC


sub command (@command) {
    open my $pipe, '-|', @command or die "$command[0]: $!\n";
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    return $output;
}


sub start (%setting) {
    my $t = CompletionAsync::Credentials->new(%setting);
    $t->secret_file('sa.json', $t->account_key('one'));
    $t->emulator->set(jwt_public_key => $t->testdir . '/one.pub');
    return $t;
}


sub tokens ($t) { scalar $t->emulator->journal(kind => 'token') }


subtest 'the JWT, verified by OpenSSL\'s command line' => sub {
    my $t = start();
    my $before = time;
    $t->run($CONF);
    my $r = $t->post;
    is $r->{status}, 202, 'a submit is accepted';
    is $t->poll_until_done($r->header('Location'))->{status}, 200, 'and polled';

    my ($exchange, @more) = $t->emulator->journal(kind => 'token');
    is scalar @more, 0, 'one exchange for both';
    is $exchange->{headers}{authorization}, undef, 'without a credential in its headers';
    is $exchange->{headers}{'content-type'}, 'application/json', 'as JSON';
    is_deeply [ keys %{ $exchange->{json} } ], ['jwt'], 'of one member';

    my ($header, $claims, $signature) = split /\./, $exchange->{json}{jwt};
    is_deeply decode_json(decode_base64url($header)),
        { typ => 'JWT', alg => 'PS256', kid => 'ajeone' . 'k' x 13 }, 'the header';
    my $said = decode_json(decode_base64url($claims));
    is $said->{iss}, 'ajeaccount0000000000', 'the issuer';
    is $said->{aud}, 'https://iam.api.cloud.yandex.net/iam/v1/tokens', 'the audience';
    my @moments = (int $before, $said->{iat}, time, $said->{exp});
    is_deeply [ sort { $a <=> $b } @moments ], \@moments, 'issued now, and not over yet';
    cmp_ok $said->{exp} - $said->{iat}, '<=', 3600, 'for an hour at most';

    my $dir = $t->testdir;
    $t->write_file('signed', "$header.$claims");
    my $verify = sub ($bytes, $salt, $key) {
        $t->write_file('signature', $bytes);
        return command(
            'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', qw(openssl dgst -sha256
            -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha256 -sigopt),
            "rsa_pss_saltlen:$salt", '-verify', $key, '-signature', "$dir/signature",
            "$dir/signed",
        );
    };
    my $bytes = decode_base64url($signature);
    like $verify->($bytes, 32, "$dir/one.pub"), qr/^Verified OK/, 'the signature, with a salt of 32';
    unlike $verify->($bytes, 20, "$dir/one.pub"), qr/^Verified OK/, 'control: not with one of 20';
    substr($bytes, 5, 1) ^.= "\1";
    unlike $verify->($bytes, 32, "$dir/one.pub"), qr/^Verified OK/, 'control: not with another bit';
    $t->secret($signature);

    my ($submit) = $t->emulator->submits;
    like $submit->{headers}{authorization}, qr/^Bearer t1\.\w{197}$/, 'the token is shown upstream';
    $t->secret($submit->{headers}{authorization} =~ /(t1\S+)/);
    is_deeply [ grep { ($_->{headers}{authorization} // '') ne $submit->{headers}{authorization} }
        $t->emulator->polls ], [], 'by polls as well';
    $t->done;
};


subtest 'a cold start' => sub {
    my $t = start();
    $t->emulator->fault(token => 'every', delay => 1);
    $t->run($CONF);
    $t->hang_up(POST => '/translate', body => 'gone') for 1 .. 2;
    my @r = $t->concurrent(map { [ POST => '/translate', body => "text $_" ] } 1 .. 50);
    is_deeply [ map { $_->{status} } @r ], [ (202) x 50 ], '50 submits are accepted';
    is tokens($t), 1, 'one token was asked for';
    ok $t->emulator->wait_over(submit => 52), 'and two whose client has gone';
    is scalar $t->emulator->submits, 52, 'each was sent once';
    $t->done;
};


subtest 'a worker that is to quit' => sub {
    my $t = start();
    $t->emulator->fault(token => 1, delay => 1.5);
    $t->run($CONF);
    ok $t->emulator->wait_for(token => 1), 'a token is asked for';
    my @clients = map { $t->start(POST => '/translate', body => "text $_") } 1 .. 4;
    $t->until_waiting(4);
    ok $t->reload(wait_old => 1), 'a reload';
    # Without edges a worker that quits does not hear of another's token.
    my @expected = ($ENV{TEST_NGINX_EVENTS} // 'epoll') eq 'epoll' ? 202 : (202, 503);
    my @odd = grep { my $status = $_->response->{status}; !grep { $_ == $status } @expected }
        @clients;
    is scalar @odd, 0, 'whoever waits for the token is served';
    # A worker without clients goes at once, and gives the right to get a token back.
    cmp_ok tokens($t), '<=', 2, 'with one token, or another';
    $t->done;
};


subtest 'a token service that does not answer' => sub {
    my $t = start();
    $t->emulator->fault(token => 'every', silent => 1);
    $t->run($CONF);
    my $r = $t->post;
    is $r->{status}, 503, 'a 503, within request_timeout';
    ok $r->header('Retry-After'), 'with Retry-After';
    is scalar $t->emulator->submits, 0, 'nothing was sent';

    $t->emulator->clear_faults;
    ok $t->reload, 'a reload';
    is $t->post->{status}, 202, 'once it answers';
    $t->done;
};


subtest 'renewal' => sub {
    my $t = start(token_ttl => 10);
    $t->run($CONF);
    my ($failed, %token) = (0);
    ok wait_until(sub {
        my $r = $t->post;
        $failed++ if $r->{status} != 202;
        return tokens($t) >= 2;
    }, 15), 'it is renewed';
    is $t->post->{status}, 202, 'and serves';
    is $failed, 0, 'no submit meets a token that has expired';
    my @times = map { $_->{time} } $t->emulator->journal(kind => 'token');
    my @lives = map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times;
    is_deeply [ grep { $_ < 7 || $_ > 9.6 } @lives ], [], 'with a tenth of its life left, and a bit';
    is scalar(grep { $_->{status} == 401 } $t->emulator->submits), 0, 'upstream refused none';
    $t->done;
};


subtest 'the old one serves while the new one is long in coming, or does not come' => sub {
    my $t = start(token_ttl => 12);
    $t->run($CONF);
    ok $t->emulator->wait_over(token => 1), 'the first token';
    $t->emulator->fault(token => 'every', status => 500);
    ok $t->emulator->wait_for(token => 3, 15), 'renewing fails';
    is $t->post->{status}, 202, 'a submit is accepted';
    $t->emulator->clear_faults;
    ok $t->emulator->wait_for(token => 4, 15), 'it is tried again';
    wait_until(sub { $t->log =~ /\[notice\].*got a token/ });
    is $t->post->{status}, 202, 'all is well';
    is scalar($t->errors(qr/no new token/)), 1, 'one error';
    is scalar(() = $t->log =~ /\[notice\].*got a token/g), 1, 'one notice that it is over';
    $t->done;
};


subtest 'no token' => sub {
    my $t = start();
    $t->emulator->fault(token => 'every', status => 500);
    $t->run($CONF);
    my @r = $t->concurrent(map { [ POST => '/translate', body => "text $_" ] } 1 .. 10);
    is_deeply [ map { $_->{status} } @r ], [ (503) x 10 ], 'a 503 each, within request_timeout';
    is $r[0]->json->{code}, 'upstream_unavailable', 'of a code that fits';
    ok $r[0]->header('Retry-After'), 'with Retry-After';
    is scalar $t->emulator->submits, 0, 'nothing was sent';
    cmp_ok tokens($t), '<', 15, 'few tries';
    is scalar($t->errors(qr/no new token/)), 1, 'one line in the log';

    $t->emulator->clear_faults;
    $t->emulator->fault(token => 'every', mangle => 'html');
    my $seen = tokens($t);
    ok $t->emulator->wait_for(token => $seen + 1, 30), 'it is tried again';
    $t->emulator->wait_over(token => $seen + 1);
    wait_until(sub { $t->errors(qr/no new token/) >= 2 }, 40);
    is scalar($t->errors(qr/no new token/)), 2, 'one for another reason';
    $t->done;
};


subtest 'a key file that is none' => sub {
    my $t = start();
    my %file = (
        'no JSON'            => 'AQVNliteral0literal0literal',
        'an array'           => '[]',
        'no id'              => $t->account_key('a', id => ''),
        'no account'         => $t->account_key('b', service_account_id => undef),
        'no private key'     => $t->account_key('c', private_key => undef),
        'no PEM'             => $t->account_key('d', private_key => 'AQVNliteral0literal0'),
        'a key of 1024 bits' => $t->account_key('e', bits => 1024),
    );
    for my $name (sort keys %file) {
        $t->write_file('bad.json', $file{$name}, 0600);
        my ($status, $output) = $t->nginx_t($CONF =~ s/sa\.json/bad.json/r);
        is $status, 1, "$name: refused";
        like $output, qr/\[emerg\] .*service_account_key.*bad\.json.* in \S+:[0-9]+/,
            "$name: with directive, file and line";
        unlike $output, qr/literal0/, "$name: nothing of it is repeated";
    }
    my ($status, $output) = $t->nginx_t(
        $CONF =~ s/service_account_key .*;/api_key file:%%API_KEY_FILE%%;/r);
    is $status, 1, 'iam_url without service_account_key: refused';
    like $output, qr/\[emerg\] .*iam_url.*service_account_key.* in \S+:[0-9]+/, '... and told why';

    ($status, $output) = $t->nginx_t($CONF =~ s/iam_url .*;/iam_url https:\/\/u:p\@localhost\/;/r);
    is $status, 1, 'credentials in iam_url: refused';
    ($status, $output) = $t->nginx_t($CONF =~ s/iam_url .*;/metadata_token;/r);
    is $status, 1, 'a second credential: refused';
    $t->done;
};


subtest 'the zone is made anew' => sub {
    my $t = start();
    $t->allow_killed_workers;
    $t->run($CONF);
    is $t->post->{status}, 202, 'accepted';

    # A worker that dies inside of the lock leaves the busy word set.
    my ($pid) = $t->worker_pids;
    my $gdb = command('gdb', '-p', $pid, '-batch', '-nx', '-ex',
        'break ngx_completion_zone_unlock', '-ex', 'continue', '-ex', 'kill');
    like $gdb, qr/Breakpoint 1[.,]/, 'a worker dies inside of the lock';
    my $r;
    wait_until(sub { ($r = $t->post)->{status} == 202 });
    is $r->{status}, 202, 'a submit is accepted';
    like $t->log, qr/it was made anew/, 'by a zone that was made anew';
    is tokens($t), 2, 'with a second token';
    $t->done;
};

done_testing;
