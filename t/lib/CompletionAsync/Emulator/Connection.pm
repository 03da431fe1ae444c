package CompletionAsync::Emulator::Connection;

=head1 NAME

CompletionAsync::Emulator::Connection - one client's connection: bytes in, bytes out

=head1 DESCRIPTION

Reads HTTP/1.1 requests one after the other from a raw stream, hands each to the server
(C<begin> when its head was read, C<complete> when its body was), and plays the answer's
bytes with whatever the fault makes of them. Requests that are pipelined wait.

=cut

use strict;
use warnings;
use v5.36;

use Mojo::IOLoop::Stream;
use Scalar::Util qw(weaken);
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_INFO);
use Time::HiRes qw(time);

use CompletionAsync::Emulator::Fault;

use constant MAX_HEAD => 1_048_576;
use constant NO_FAULT => CompletionAsync::Emulator::Fault->new;


sub new ($class, %arg) {
    my $self = bless { %arg, buffer => '', requests => 0 }, $class;
    weaken $self->{server};
    return $self;
}


sub start ($self) {
    my $stream = $self->{stream} = Mojo::IOLoop::Stream->new($self->{handle});

    $stream->timeout(0);
    weaken(my $weak = $self);
    $stream->on(read => sub ($, $bytes) {
        $weak->{arrived} = _arrived($weak->{handle});
        $weak->{buffer} .= $bytes;
        $weak->_read;
    });
    $stream->on(error => sub { });
    $stream->on(close => sub { $weak->_closed if $weak });
    $stream->start;
}


# When the kernel got what was read: on a busy machine this process comes by later. Linux counts
# in ticks, of ten milliseconds at most, and what it says may be one too early.
sub _arrived ($handle) {
    my $info = eval { getsockopt $handle, IPPROTO_TCP, TCP_INFO } // '';
    my $ago  = length $info >= 56 ? unpack 'x52 L', $info : 0;
    return time - ($ago > 10 ? ($ago - 10) / 1000 : 0);
}


sub is_idle ($self) { !$self->{request} && $self->{buffer} eq '' }


sub close ($self) { $self->{stream}->close if $self->{stream} }


sub reset ($self) {
    my $stream = $self->{stream} or return;
    my $handle = $stream->steal_handle;

    setsockopt $handle, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $handle->isa('IO::Socket::SSL') ? $handle->close(SSL_no_shutdown => 1) : $handle->close;
    $self->_closed;
}


sub _closed ($self) {
    return if $self->{closed}++;

    my $request = delete $self->{request};
    $self->{server}->over($request, $self->{ending} // 'client') if $request;
    $self->{server}->disconnected($self);
}


sub _read ($self) {
    return if $self->{closed} || $self->{answering};

    if (!$self->{request}) {
        $self->{buffer} =~ s/^(?:\r\n)+//;
        if ($self->{buffer} !~ /\r\n\r\n/) {
            $self->close if length $self->{buffer} > MAX_HEAD;
            return;
        }
        $self->_head or return;
    }
    $self->_body;
}


# Parses the head; false when the connection ended over it.
sub _head ($self) {
    my ($head, $rest) = split /\r\n\r\n/, $self->{buffer}, 2;
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $path, $version) = $line =~ m{^([A-Z]+) (\S+) HTTP/(1\.[01])$};

    $self->{buffer} = $rest;
    if (!defined $method) {
        $self->{ending} = 'malformed';
        $self->close;
        return 0;
    }

    my %header;
    for (@lines) {
        my ($name, $value) = /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or next;
        $name = lc $name;
        $header{$name} = exists $header{$name} ? "$header{$name}, $value" : $value;
    }

    my $request = $self->{request} = {
        method     => $method,
        path       => $path,
        version    => $version,
        headers    => \%header,
        lines      => \@lines,
        body       => '',
        connection => $self->{number},
        connected  => $self->{time},
        arrived    => $self->{arrived},
        nth        => ++$self->{requests},
        length     => $header{'content-length'} // 0,
        chunked    => scalar(($header{'transfer-encoding'} // '') =~ /chunked/i),
    };
    my $close = ($header{connection} // '') =~ /\bclose\b/i;
    $request->{keep} = $version eq '1.1' && !$close;

    $self->{server}->begin($request);

    my $verb = $request->{fault} && $request->{fault}->action('head');
    if ($verb) {
        $self->_after(sub { $self->_end($verb) });
        return 0;
    }
    if (($header{expect} // '') =~ /100-continue/i) {
        $self->{stream}->write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    return 1;
}


sub _body ($self) {
    my $request = $self->{request};

    if ($request->{chunked}) {
        while ($self->{buffer} =~ /^([0-9A-Fa-f]+)[^\r\n]*\r\n/) {
            my ($size, $start) = (hex $1, $+[0]);
            return if length $self->{buffer} < $start + $size + 2;
            $request->{body} .= substr $self->{buffer}, $start, $size;
            substr $self->{buffer}, 0, $start + $size + 2, '';
            return $self->_complete if !$size;
        }
        return;
    }

    my $missing = $request->{length} - length $request->{body};
    $request->{body} .= substr $self->{buffer}, 0, $missing, '';
    $self->_complete if length $request->{body} == $request->{length};
}


sub _complete ($self) {
    my $request = $self->{request};
    my $fault   = $request->{fault};

    $self->{answering} = 1;
    $request->{complete} = 1;
    my $answer = $self->{server}->complete($request);

    $self->_after(sub {
        my $verb = $fault && $fault->action('request');
        return $self->_end($verb) if $verb;

        $request->{status} = $answer->{status} if !$fault || !defined $fault->get('raw');
        my ($steps, $end) = ($fault // NO_FAULT)->wire($answer, $request->{keep});
        $self->_play($steps, $end);
    });
}


# Does what is to be done after the fault's delay, or when it is released.
sub _after ($self, $do) {
    my $fault = $self->{request}{fault} // NO_FAULT;
    my ($delay, $hold) = map { $fault->get($_) } qw(delay hold);
    my $later = sub (@) { $do->() if !$self->{closed} };

    $self->{answering} = 1;
    return $self->{server}->hold($hold, $later) if defined $hold;
    return $do->() if !$delay;
    Mojo::IOLoop->timer($delay => $later);
}


sub _play ($self, $steps, $end) {
    return if $self->{closed};

    my $step = shift @$steps;
    return $self->_end($end) if !$step;

    my ($delay, $bytes) = @$step;
    my $write = sub (@) {
        return if $self->{closed};
        # Before the client can have read it, and gone on to something else.
        $self->{request}{written} = time;
        $self->{stream}->write($bytes => sub { $self->_play($steps, $end) });
    };
    $delay ? Mojo::IOLoop->timer($delay => $write) : $write->();
}


sub _end ($self, $end) {
    $self->{ending} = $end;

    return if $end eq 'hang';
    if ($end eq 'reset') {
        # What was written shall arrive before the reset takes it away.
        my $sent = $self->{stream}{written} ? 0.05 : 0;
        Mojo::IOLoop->timer($sent => sub { $self->reset if !$self->{closed} });
        return;
    }
    return $self->close if $end eq 'close';

    my $request = delete $self->{request};
    delete $self->{ending};
    $self->{answering} = 0;
    $self->{server}->over($request, 'keep');

    my $fault = $request->{fault};
    my $idle  = $fault && $fault->get('close_idle');
    if (defined $idle && $idle) {
        weaken(my $weak = $self);
        Mojo::IOLoop->timer($idle => sub { $weak->close if $weak && $weak->is_idle });
    }
    $self->_read if $self->{buffer} ne '';
}


1;
