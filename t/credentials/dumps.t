# Nothing shows a credential: no log, no answer, no environment, and no core of a worker or of
# the master.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

my $CONF = CompletionAsync::Test->location_conf(
    main     => 'worker_processes 1;',
    http     => <<'EOC',
log_format all '$request $status $completion_async_operation $completion_async_state '
    '$completion_async_upstream_status $completion_async_upstream_request_id';
access_log %%TESTDIR%%/access.log all;
EOC
    provider => <<'EOC',
folder          %%FOLDER%%;
submit_url      %%UPSTREAM%%/foundationModels/v1/completionAsync;
operations_url  %%UPSTREAM%%/operations;
%%CREDENTIAL%%
id_key          file:%%TESTDIR%%/id.key;
poll_interval   100ms 300ms;
EOC
);

# Longer than a register: those stand in a core as well.  The key of the ids is in a worker's
# heap, in OpenSSL's context of the HMAC.
my $ID_KEY = 'idkeyidkeyidkeyidkeyidkeyidkeyidkey0';


# What of the strings a core of the process holds.
sub core ($t, $pid, $excluded, @strings) {
    my $path = $t->testdir . '/core';
    open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2> /dev/null', '-', 'gdb', '-p', $pid, '-batch', '-nx',
        '-ex', "set use-coredump-filter " . ($excluded ? 'off' : 'on'),
        '-ex', "set dump-excluded-mappings " . ($excluded ? 'on' : 'off'),
        '-ex', "generate-core-file $path" or die "gdb: $!\n";
    my $said = do { local $/; <$pipe> };
    close $pipe;
    $said =~ /Saved corefile/ or return "no core: $said";

    open my $file, '<:raw', $path or die "$path: $!\n";
    my $core = do { local $/; <$file> };
    unlink $path;
    return join ' ', grep { index($core, $strings[$_]) >= 0 } 0 .. $#strings;
}


# Bytes of the process that cores leave out.
sub left_out ($pid) {
    open my $file, '<', "/proc/$pid/smaps" or die "process $pid: $!\n";
    my ($kb, $size) = (0, 0);
    while (my $line = <$file>) {
        $size = $1 if $line =~ /^Size:\s+(\d+)/;
        $kb += $size if $line =~ /^VmFlags:.* dd\b/;
    }
    return $kb * 1024;
}


for my $kind (qw(api_key iam_token service_account_key metadata_token)) {
    subtest $kind => sub {
        plan skip_all => 'a sanitizer keeps what was freed'
            if ($ENV{ASAN_OPTIONS} // $ENV{TEST_NGINX_LD_PRELOAD} // '') ne '';
        my $file = $kind =~ /^(api_key|iam_token)$/;
        my $t = CompletionAsync::Credentials->new(issue_tokens => !$file || 0);
        my $url = $t->emulator->url;
        my @secrets = ($ID_KEY);
        my @unsent;

        $t->write_file('id.key', $ID_KEY, 0600);
        if ($file) {
            push @secrets, 'AQVN' . 'secret' x 20;
            my $path = $t->write_file('it.key', "$secrets[1]\n", 0600);
            $t->define(CREDENTIAL => "$kind file:$path;");

        } elsif ($kind eq 'service_account_key') {
            my $path = $t->write_file('sa.json', $t->account_key('one'), 0600);
            push @secrets, @unsent = (split /\n/, $t->read_file('one.pem'))[ 8, 15 ];
            $t->define(CREDENTIAL => "$kind file:$path; iam_url $url/iam/v1/tokens;");

        } else {
            $t->define(CREDENTIAL => "$kind " . $t->metadata_url . ';');
        }
        $t->run($CONF);
        my ($worker) = $t->worker_pids;

        my @answers;
        my $work = sub {
            for (1 .. 3) {
                my $r = $t->post("text $_");
                push @answers, $r, $t->poll_until_done($r->header('Location'));
            }
        };
        $work->();

        # Tokens that were given up are looked for as well.
        if ($file) {
            $t->secret_file('it.key', 'AQVN' . 'other' x 20 . "\n");
            push @secrets, 'AQVN' . 'other' x 20;
            $t->until_told(1);

        } else {
            $t->emulator->revoke;
        }
        $work->();
        my $r = $t->post('[delay=60]');
        push @answers, $r, $t->request(DELETE => $r->header('Location'));
        $t->emulator->wait_over(cancel => 1);
        $t->emulator->fault(submit => 'every', status => 401);
        push @answers, $t->post;

        my %shown = map { $_ => 1 } grep { defined } map {
            ($_->{headers}{authorization} // '') =~ / (.*)/
        } $t->emulator->journal;
        push @secrets, grep { !/^AQVN/ } sort keys %shown;
        push @secrets, map { (split /\./, $_->{json}{jwt})[2] }
            $t->emulator->journal(kind => 'token');
        $t->secret(@secrets);
        cmp_ok scalar @secrets, '>=', 3, scalar @secrets . ' secrets';

        my $any = join '|', map { quotemeta } @secrets;
        is scalar(grep { $_->{raw} =~ /$any/ } @answers), 0, 'no answer shows one';
        for my $pid ($worker, $t->master_pid) {
            open my $environment, '<', "/proc/$pid/environ" or next;
            unlike do { local $/; <$environment> // '' }, qr/$any/, 'nor the environment';
        }

        # What was sent stands in libcurl's memory as well, which is not ours to wipe.
        $t->emulator->clear_faults;
        $t->emulator->set(delay => 0);
        wait_until(sub { !$t->metrics->sum('operations', state => 'pending') });
        is core($t, $worker, 0, @unsent), '', 'a core of the worker holds none that was not sent'
            if @unsent;
        is core($t, $t->master_pid, 0, @secrets), '', 'nor does one of the master';
        like core($t, $worker, 1, @secrets), qr/\b0\b.*\d/,
            'control: with what is left out of cores, they are found';

        # But a worker that crashes is one that has something to do.
        $t->emulator->fault(submit => 'every', hold => 'submit');
        my $submits = $t->emulator->submits;
        my (@open, @left_out);
        for my $n (1, 4) {
            push @open, map { $t->start(POST => '/translate', body => "open $_") } @open + 1 .. $n;
            ok $t->emulator->wait_for(submit => $submits + $n), "$n under way";
            push @left_out, left_out($worker);
        }
        is $left_out[1], $left_out[0], 'which have one credential in one place';
        is core($t, $worker, 0, @unsent), '', 'nor does a core then' if @unsent;
        $t->emulator->release;
        CompletionAsync::Client->gather(\@open);
        is scalar(grep { $_->response->{status} == 202 } @open), 4, 'all are accepted';
        $t->done;
    };
}

done_testing;
