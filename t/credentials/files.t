# Files that hold a credential, and change: by rewriting, by replacing, by a flip of a link.

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


# A directory as Kubernetes mounts a Secret: key -> ..data/key, ..data -> a directory.
sub mount ($t, $name, $secret) {
    my $dir = $t->testdir . '/mount';
    mkdir $dir;
    mkdir "$dir/$name";
    $t->secret_file("mount/$name/key", "$secret\n");
    unlink "$dir/..tmp";
    symlink $name, "$dir/..tmp" or die "symlink: $!\n";
    rename "$dir/..tmp", "$dir/..data" or die "rename: $!\n";
    symlink '..data/key', "$dir/key" if !-l "$dir/key";
    return "$dir/key";
}


sub rewrite ($t, $secret) { $t->secret_file('it.key', "$secret\n") }


sub replace ($t, $secret) {
    my $path = $t->secret_file('it.key.new', "$secret\n");
    rename $path, $t->testdir . '/it.key' or die "rename: $!\n";
}


# What the last submit of each worker's showed.
sub shown ($t) {
    my @r = $t->concurrent(map { [ POST => '/translate', body => 'text' ] } 1 .. 8);
    my %seen = map { $_->{headers}{authorization} => 1 } ($t->emulator->submits)[ -8 .. -1 ];
    return join ' ', sort keys %seen;
}


# Whether all workers show it, within so many seconds.
sub soon ($t, $value, $seconds) { wait_until(sub { shown($t) eq $value }, $seconds) }


for my $case (
    [ rewrite => api_key => 'Api-Key', \&rewrite ],
    [ replace => iam_token => 'Bearer', \&replace ],
    [ flip => api_key => 'Api-Key', undef ],
) {
    my ($name, $directive, $scheme, $change) = @$case;
    subtest "$name, under load" => sub {
        my @secrets = map { "AQVN$name$_" . 'x' x 20 } 0 .. 4;
        my $t = CompletionAsync::Credentials->new(issue_tokens => 0);
        $t->secret(@secrets);
        my $path = $change ? rewrite($t, $secrets[0]) : mount($t, '..0', $secrets[0]);
        $t->define(CREDENTIAL => "$directive file:$path;");
        $t->run($CONF);

        # Upstream takes the old and the new one, as it does while keys are changed.
        my ($sent, $failed) = $t->under_load(1, sub {
            for my $n (1 .. 4) {
                $change ? $change->($t, $secrets[$n]) : mount($t, "..$n", $secrets[$n]);
                ok soon($t, "$scheme $secrets[$n]", 15), "change $n is noticed";
            }
        });
        cmp_ok $sent, '>', 20, 'of many submits';
        is $failed, 0, 'none fails';
        is scalar(() = $t->log =~ /\[notice\].*has changed/g), 4, 'a notice each, of one worker';
        is scalar($t->errors), 0, 'no error';
        $t->done;
    };
}


subtest 'what is no secret is not taken' => sub {
    my $t = CompletionAsync::Credentials->new(issue_tokens => 0);
    my ($first, $second) = ('AQVNkept0kept0kept0', 'AQVNthen0then0then0');
    $t->secret($first, $second);
    $t->define(CREDENTIAL => 'api_key file:' . rewrite($t, $first) . ';');
    $t->run($CONF);
    my $path = $t->testdir . '/it.key';
    my $errors = 0;
    for my $case (
        [ 'an empty file'   => sub { $t->secret_file('it.key', '') } ],
        [ 'two lines'       => sub { $t->secret_file('it.key', "$second\n$second\n") } ],
        [ 'no file'         => sub { unlink $path } ],
        [ 'a directory'     => sub { mkdir $path } ],
        [ 'a file of 70 kB' => sub { rmdir $path; $t->secret_file('it.key', 'x' x 70_000) } ],
        [ 'line ends only'  => sub { $t->secret_file('it.key', "\r\n\n") } ],
        [ 'a closed file'   => sub { rewrite($t, $second); chmod 0, $path } ],
    ) {
        my ($name, $do) = @$case;
        $do->();
        $errors++;
        ok $t->until_told($errors), "$name: told of";
        is shown($t), "Api-Key $first", "$name: the old value stays";
        is scalar($t->errors(qr/it\.key/)), $errors, "$name: one error";
    }
    chmod 0600, $path;
    ok soon($t, "Api-Key $second", 15), 'opened, it is read';
    is scalar($t->errors), $errors, 'without more errors';
    $t->done;
};


# Sets how many descriptors a worker may have, as its own user: root need not have the right to.
sub descriptors ($pid, $n) {
    open my $status, '<', "/proc/$pid/status" or die "worker $pid: $!\n";
    my %id = map { /^([UG])id:\s+([0-9]+)/ ? ($1 => $2) : () } <$status>;
    my @as = $> ? () : ('setpriv', "--reuid=$id{U}", "--regid=$id{G}", '--clear-groups');
    system(@as, 'prlimit', "--pid=$pid", "--nofile=$n:") == 0 or die "prlimit: $?\n";
}


subtest 'a change while there are no descriptors' => sub {
    my $t = CompletionAsync::Credentials->new(issue_tokens => 0);
    my ($first, $second) = ('AQVNkept0kept0kept0', 'AQVNthen0then0then0');
    $t->secret($first, $second);
    $t->define(CREDENTIAL => 'api_key file:' . rewrite($t, $first) . ';');
    $t->run($CONF);
    my @workers = $t->worker_pids;

    descriptors($_, 4) for @workers;
    rewrite($t, $second);
    ok wait_until(sub { $t->errors(qr/it\.key.*cannot be opened.*Too many open files/) }), 'an error';
    sleep 0.7;
    descriptors($_, 1024) for @workers;
    ok soon($t, "Api-Key $second", 15), 'it is taken when there are some again';
    is scalar($t->errors), 1, 'and no other error';
    $t->done;
};


subtest 'a key of a service account' => sub {
    my $t = CompletionAsync::Credentials->new;
    my $key = sub ($name, $account) { $t->account_key($name, service_account_id => $account) };
    my $path = rewrite($t, $key->('one', 'ajeaccount1'));
    my $url = $t->emulator->url;
    $t->define(CREDENTIAL => "service_account_key file:$path; iam_url $url/iam/v1/tokens;");
    $t->run($CONF);
    ok $t->emulator->wait_for(token => 1), 'a token';

    replace($t, $key->('two', 'ajeaccount1'));
    ok $t->until_told(1), 'another key';
    is scalar $t->emulator->journal(kind => 'token'), 1, 'of the same account: it goes on';
    replace($t, $key->('three', 'ajeaccount2'));
    ok $t->emulator->wait_for(token => 2), 'of another account: another token';
    is $t->post->{status}, 202, 'with which it goes on';

    # Refused keys make pauses long, of 4 s at least here; a new key does not wait for them.
    my $tokens = $t->emulator->journal(kind => 'token');
    $t->emulator->fault(token => 'every', status => 401);
    $t->emulator->revoke;
    is $t->post->{status}, 503, 'a key that is refused';
    ok $t->emulator->wait_for(token => $tokens + 5, 30), 'again and again';
    $t->emulator->clear_faults;
    replace($t, $key->('four', 'ajeaccount2'));
    ok $t->emulator->wait_for(token => $tokens + 6, 2.5), 'and replaced: it is tried at once';
    is $t->post->{status}, 202, 'and good';
    $t->done;
};


subtest 'who may read a file' => sub {
    plan skip_all => 'only root starts workers of another user' if $> != 0;
    my $t = CompletionAsync::Credentials->new(issue_tokens => 0);
    my $warned = sub ($path) {
        $t->define(CREDENTIAL => "api_key file:$path;");
        my ($status, $output) = $t->nginx_t($CONF);
        is $status, 0, "$path: no error";
        my (undef, $quiet) = $t->nginx_t($t->expand($CONF)
            =~ s{^error_log \K\S+ debug;}{%%TESTDIR%%/quiet.log error;}mr);
        my ($said, $said_all_the_same) = map { /cannot be read by the workers/ ? 1 : 0 } $output, $quiet;
        is $said_all_the_same, $said, '... whatever the level of the log';
        my @lines = grep { /\[warn\].*cannot be read by the workers' user "www-data"/ }
            split /\n/, $output;
        like $_, qr/\Q$path\E.*need a reload, in \S+:[0-9]+/, '... with file and line' for @lines;
        return scalar @lines;
    };
    my $path = rewrite($t, 'AQVNlate0late0late0');
    is $warned->($path), 0, 'its owner: no warning';
    chown 0, 0, $path;
    is $warned->($path), 1, 'root only: a warning';
    chown 0, (getpwnam('www-data'))[3], $path;
    chmod 0640, $path;
    is $warned->($path), 0, 'its group: no warning';
    chmod 0644, $path;
    chown 0, 0, $path;
    is $warned->($path), 0, 'everybody: another warning';

    mkdir $t->testdir . '/closed', 0700;
    $t->secret_file('closed/it.key', "AQVNlate0late0late0\n");
    symlink 'closed/it.key', $t->testdir . '/link.key';
    is $warned->($t->testdir . '/closed/it.key'), 1, 'behind a closed directory: a warning';
    is $warned->($t->testdir . '/link.key'), 1, 'and by a link: a warning';

    # Other than the secret, this one is of no use if workers cannot read it.
    rewrite($t, 'AQVNlate0late0late0');
    my ($certificate) = $t->certificate('closed/authority');
    $t->define(CREDENTIAL => "api_key file:$path; trusted_certificate $certificate;");
    my $told = sub { scalar grep { /\[warn\].*\Q$certificate\E" cannot be read .*"www-data".*verified/ }
        split /\n/, ($t->nginx_t($CONF))[1] };
    is $told->(), 1, 'trusted_certificate behind a closed directory: a warning';
    chmod 0755, $t->testdir . '/closed';
    is $told->(), 0, 'opened: none';
    chmod 0700, $t->testdir . '/closed';

    # The value of the start serves, and a reload takes the new one.
    $t->secret('AQVNlate0late0late0', 'AQVNnext0next0next0');
    $t->define(CREDENTIAL => 'api_key file:' . $t->testdir . '/closed/it.key;');
    $t->run($CONF);
    $t->write_file('closed/it.key', "AQVNnext0next0next0\n");
    sleep 1.5;
    is shown($t), 'Api-Key AQVNlate0late0late0', 'the value of the start serves';
    is scalar($t->errors), 0, 'without an error';
    ok $t->reload(wait_old => 1), 'a reload';
    is shown($t), 'Api-Key AQVNnext0next0next0', 'takes the new value';
    $t->done;
};

done_testing;
