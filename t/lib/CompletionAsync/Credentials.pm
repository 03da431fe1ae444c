package CompletionAsync::Credentials;

=head1 NAME

CompletionAsync::Credentials - a test of one credential, with an upstream that gives out tokens

=head1 SYNOPSIS

    my $t = CompletionAsync::Credentials->new(token_ttl => 10);
    $t->run($t->provider_conf('metadata_token ' . $t->metadata_url . ';'));
    is $t->post->{status}, 202;
    is scalar($t->errors), 0;
    $t->done;

=head1 DESCRIPTION

A L<CompletionAsync::Test>. C<new> takes settings of the emulator, which accepts the tokens that it
gives out and nothing else, or with C<issue_tokens =E<gt> 0> any credential.

    provider_conf($lines)   a template, of the class as well: two workers, a provider with these
                            lines, its credential among them, and /translate
    under_load($n, $meanwhile)
                            n processes submit one text after the other until $meanwhile returns:
                            (how many were sent, how many of them not accepted)
    errors($pattern)        lines of the error log at that level, of this pattern
    until_told($n)          until each worker has told of $n changes or faults of its file: the
                            first one loudly, all others as information; true if they have
    metadata_url($upstream) the emulator's, or another one's
    account_key($name, %more)
                            a service account's key, as the console gives it out, with %more in
                            place of its members and "bits" (2048); NAME.pem, NAME.pub are its
                            halves. A line of it may not appear in any log

=cut

use strict;
use warnings;
use v5.36;

use parent 'CompletionAsync::Test';

use Mojo::JSON qw(encode_json);
use POSIX ();
use Time::HiRes qw(time);

use CompletionAsync::Client qw(wait_until);


sub new ($class, %setting) {
    return $class->SUPER::new(
        emulator => { delay => 0.2, api_key => undef, issue_tokens => 1, %setting });
}


sub provider_conf ($class, $lines) {
    return $class->location_conf(main => 'worker_processes 2;', provider => <<"EOC");
folder          %%FOLDER%%;
submit_url      %%UPSTREAM%%/foundationModels/v1/completionAsync;
operations_url  %%UPSTREAM%%/operations;
poll_interval   100ms 300ms;
$lines
EOC
}


sub under_load ($self, $n, $meanwhile) {
    my ($sent, $failed) = (0, 0);
    my @pids;

    pipe my $read, my $write or die "pipe: $!\n";
    for (1 .. $n) {
        my $pid = fork // die "fork: $!\n";
        push(@pids, $pid), next if $pid;
        my $until = time + 60;
        while (time < $until && !-e $self->testdir . '/enough') {
            my $r = $self->post;
            $sent++;
            $failed++ if $r->{status} != 202;
        }
        syswrite $write, "$sent $failed\n";
        POSIX::_exit(0);
    }
    close $write;
    $meanwhile->();
    $self->write_file('enough', '');
    waitpid $_, 0 for @pids;

    while (my $line = <$read>) {
        my ($s, $f) = split ' ', $line;
        $sent += $s;
        $failed += $f;
    }
    return ($sent, $failed);
}


sub errors ($self, $pattern = qr//) {
    return grep { /\[error\].*$pattern/ } split /\n/, $self->log;
}


sub until_told ($self, $n) {
    return wait_until(sub {
        my $told = () = $self->log =~ /provider "\w+" goes on with what it/g;
        return $told >= $n * $self->worker_pids;
    });
}


sub metadata_url ($self, $upstream = $self->emulator) {
    return $upstream->url . '/computeMetadata/v1/instance/service-accounts/default/token';
}


sub account_key ($self, $name, %more) {
    my $dir = $self->testdir;
    my $bits = delete $more{bits} // 2048;
    system(qw(openssl genpkey -quiet -algorithm RSA -pkeyopt), "rsa_keygen_bits:$bits",
        '-out', "$dir/$name.pem");
    system(qw(openssl pkey -pubout -in), "$dir/$name.pem", '-out', "$dir/$name.pub");
    my $pem = $self->read_file("$name.pem");
    # A line from the middle of the key is what must not be found anywhere.
    $self->secret((split /\n/, $pem)[10]);
    return encode_json({
        id                 => "aje$name" . 'k' x 13,
        service_account_id => 'ajeaccount0000000000',
        created_at         => '2026-01-01T00:00:00Z',
        key_algorithm      => 'RSA_2048',
        public_key         => $self->read_file("$name.pub"),
        private_key        => "PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <x>\n$pem",
        %more,
    });
}


1;
