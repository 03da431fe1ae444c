package CompletionAsync::Server;

=head1 NAME

CompletionAsync::Server - servers of a few lines, each in a process of its own

=head1 SYNOPSIS

    use CompletionAsync::Server qw(listener serve serve_each);

    my $port = serve_each(sub ($connection) {       # a process for each connection
        syswrite $connection, "HTTP/1.1 400 Bad Request\r\n\r\n";
    });
    my $port = serve(sub ($listener) {              # one for all of them
        while (my $connection = $listener->accept) { ... }
    });
    my $listener = listener();                      # that nobody accepts from

=head1 DESCRIPTION

For what is simpler, or does worse, than the emulator. They listen on loopback. A server ends when its
function returns, with the test, or after two minutes, that of a connection after twenty seconds.

=cut

use strict;
use warnings;
use v5.36;

use Exporter qw(import);
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOMAXCONN);

our @EXPORT_OK = qw(listener serve serve_each);

my ($OWNER, @PIDS) = $$;


END {
    local $?;
    if ($$ == $OWNER) {
        kill KILL => @PIDS;
        waitpid $_, 0 for @PIDS;
    }
}


sub listener () {
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => SOMAXCONN)
        // die "listen: $!\n";
}


sub serve ($do) {
    my $listener = listener();
    my $pid = fork // die "fork: $!\n";
    if ($pid) {
        push @PIDS, $pid;
        return $listener->sockport;
    }
    _alone(120, $do, $listener);
}


sub serve_each ($do) {
    return serve(sub ($listener) {
        $SIG{CHLD} = 'IGNORE';
        while (my $connection = $listener->accept) {
            _alone(20, $do, $connection) if !(fork // 1);
            close $connection;
        }
    });
}


# Nothing of the test's own happens in this process, its end least of all.
sub _alone ($seconds, $do, @arg) {
    @SIG{qw(TERM INT ALRM)} = ('DEFAULT') x 3;
    $SIG{PIPE} = 'IGNORE';
    alarm $seconds;
    eval { $do->(@arg); 1 } or warn $@;
    POSIX::_exit(0);
}


1;
