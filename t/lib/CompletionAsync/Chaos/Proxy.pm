package CompletionAsync::Chaos::Proxy;

=head1 NAME

CompletionAsync::Chaos::Proxy - what stands between nodes and their Redis, and does worse than pass on

=head1 SYNOPSIS

    my $proxy = CompletionAsync::Chaos::Proxy->start($redis->port);
    $proxy->port;
    $proxy->tell(slow => 0.4);      # s, for each reply
    $proxy->tell(cut => 1);         # replies end in their middle, and so do their connections
    $proxy->tell(fine => 0);
    $proxy->tell(to => $other);     # another server from now on, whoever is connected

=head1 DESCRIPTION

One process, on loopback. It ends with its object, or with the test.

=cut

use strict;
use warnings;
use v5.36;

use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time);

use CompletionAsync::Server qw(listener);


sub start ($class, $to) {
    my $listener = listener();
    pipe my $out, my $in or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        close $in;
        alarm 0;
        @SIG{qw(ALRM TERM INT PIPE)} = (('DEFAULT') x 3, 'IGNORE');
        _serve($listener, $out, { to => $to, slow => 0, cut => 0, fine => 0 });
        POSIX::_exit(0);
    }
    $in->autoflush(1);
    return bless { pid => $pid, owner => $$, in => $in, port => $listener->sockport }, $class;
}


sub port ($self) { $self->{port} }
sub tell ($self, $what, $how) { print { $self->{in} } "$what $how\n" }


sub DESTROY ($self) {
    return if $$ != $self->{owner};
    local ($?, $!);
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}


# Of a connection: [client, server, replies that are due later: [when, bytes]]
sub _serve ($listener, $control, $how) {
    my ($said, @open) = '';

    while (1) {
        my $select = IO::Select->new($listener, $control, map { $_->@[0, 1] } @open);
        my %ready = map { fileno($_) => 1 } $select->can_read((grep { $_->[2]->@* } @open) ? 0.01 : 1);

        if ($ready{ fileno $control }) {
            sysread $control, $said, 4096, length $said or return;
            while ($said =~ s/^(\w+) (\S+)\n//) {
                my ($what, $value) = ($1, $2);
                @$how{qw(slow cut)} = (0, 0);
                $how->{$what} = $value;
                _close(@open) if $what eq 'to';
            }
            @open = grep { $_->[0] } @open;
            next;
        }
        if ($ready{ fileno $listener }) {
            my $client = $listener->accept or next;
            my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $how->{to});
            push @open, [ $client, $server, [] ] if $server;
        }
        for my $one (@open) {
            my ($client, $server, $later) = @$one;
            my $bytes;

            if ($ready{ fileno $client }) {
                sysread($client, $bytes, 65536)
                    ? _send($server, $bytes) : _close($one);
            }
            if ($one->[0] && $ready{ fileno $server }) {
                sysread($server, $bytes, 65536)
                    ? push(@$later, [ time + $how->{slow}, $bytes ]) : _close($one);
            }
            while ($one->[0] && @$later && $later->[0][0] <= time) {
                $bytes = (shift @$later)->[1];
                _send($client, $how->{cut} ? substr $bytes, 0, length($bytes) / 2 : $bytes);
                _close($one) if $how->{cut};
            }
        }
        @open = grep { $_->[0] } @open;
    }
}


sub _send ($to, $bytes) {
    while (length $bytes) {
        my $n = syswrite($to, $bytes) // return;
        substr $bytes, 0, $n, '';
    }
}


sub _close (@closed) {
    for my $one (@closed) {
        close $_ for grep { $_ } $one->@[0, 1];
        $one->@[0, 1, 2] = (undef, undef, []);
    }
}


1;
