package CompletionAsync::Client;

=head1 NAME

CompletionAsync::Client - HTTP clients for tests, on sockets of core Perl

=head1 SYNOPSIS

    use CompletionAsync::Client qw(wait_until);

    my $client = CompletionAsync::Client->new(port => $port, timeout => 5);
    my $r = $client->request(POST => '/translate', headers => {...}, body => $bytes);
    $r->{status}; $r->{headers}{location}; $r->{body}; $r->json; $r->{raw}; $r->{time};

    $client->start(GET => $path, headers => { Prefer => 'wait=5' });    # returns at once
    my $later = $client->response(10);

    my @clients = map { CompletionAsync::Client->new(...)->start(...) } 1 .. 100;
    CompletionAsync::Client->gather(\@clients, 10);
    my @responses = map { $_->response } @clients;

    $client->start(GET => $path, headers => { Accept => 'text/event-stream' });
    while (my $event = $client->event(5)) { $event->{event}; $event->{data}; $event->{id} }

=head1 DESCRIPTION

A client is one connection, kept alive from request to request; one that the server has closed
stays closed. Options of C<new>: C<port>, C<host> (127.0.0.1), C<from> (the client's own address),
C<timeout> (10), C<tls> (0 or 1).

Of C<start> and C<request>: C<headers> (a hash, or a list of pairs; a value may be a list),
C<body> (bytes; Content-Length is added), C<host>, C<close> (sends Connection: close), C<version>,
C<chunked> (the body's chunks, as a list). C<raw($bytes)> sends what it is given instead.

A response holds status, reason, headers (lower case; a list if repeated), body (bytes, decoded),
raw, time (seconds), interim (statuses of 1xx), complete, error (undef, "timeout", "closed", ...).
C<header($name)> gives the first value, C<json> the decoded body or undef, C<text> characters.

C<hang_up($bytes, $reset)> sends these bytes, and closes or resets at once; C<format>, which takes
what C<start> takes, makes the bytes of a request.
C<is_closed> tells whether the server has closed the connection, C<is_over> whether the response is
complete; neither waits. C<wait_until($condition, $seconds)> returns what the condition, a
function, returns: when that is true, or the time (10 s) is over. It is asked every 0.01 s, or
every C<$interval> with C<wait_until($condition, $seconds, $interval)>.

=cut

use strict;
use warnings;
use v5.36;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Exporter qw(import);
use IO::Poll qw(POLLERR POLLHUP POLLIN POLLOUT);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(wait_until);


sub wait_until ($condition, $seconds = 10, $interval = 0.01) {
    my $deadline = time + $seconds;
    while (1) {
        my $result = $condition->();
        return $result if $result || time > $deadline;
        sleep $interval;
    }
}


sub new ($class, %arg) {
    my $self = bless { host => '127.0.0.1', timeout => 10, out => '', %arg }, $class;

    my $socket = $self->{socket} = IO::Socket::INET->new(
        PeerHost => $self->{host},
        PeerPort => $self->{port},
        $self->{from} ? (LocalHost => $self->{from}) : (),
        Proto    => 'tcp',
        Blocking => $self->{tls} ? 1 : 0,
        Timeout  => $self->{tls} ? $self->{timeout} : undef,
    );
    if (!$socket) {
        $self->{error} = "connect: $!";
        return $self;
    }
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $self->_secure if $self->{tls};
    return $self;
}


sub _secure ($self) {
    require IO::Socket::SSL;

    my $secure = IO::Socket::SSL->start_SSL(
        $self->{socket},
        SSL_verify_mode => 0,
        Timeout         => $self->{timeout},
    );
    if (!$secure) {
        $self->{error} = 'TLS: ' . IO::Socket::SSL::errstr();
        return $self->close;
    }
    $secure->blocking(0);
}


sub request ($self, $method, $path, %arg) {
    return $self->start($method, $path, %arg)->response($arg{timeout});
}


sub start ($self, $method, $path, %arg) {
    $self->raw($self->format($method, $path, %arg));
    $self->{response}{head_only} = $method eq 'HEAD';
    return $self;
}


# Sends the bytes as they are; the answer is read by response().
sub raw ($self, $bytes) {
    $self->{out} .= $bytes;
    $self->{response} = CompletionAsync::Client::Response->new;
    $self->{response}->feed(delete $self->{rest}) if defined $self->{rest};
    $self->{response}->end($self->{error}) if !$self->{socket};
    $self->_write if $self->{socket};
    return $self;
}


sub format ($self, $method, $path, %arg) {
    my $headers = $arg{headers} // {};
    my @pair = ref $headers eq 'ARRAY' ? @$headers
        : map { $_ => $headers->{$_} } sort keys %$headers;
    my @line = ("$method $path HTTP/" . ($arg{version} // '1.1'));
    my $body = $arg{body};

    push @line, 'Host: ' . ($arg{host} // 'localhost');
    push @line, 'Connection: close' if $arg{close};
    while (my ($name, $value) = splice @pair, 0, 2) {
        push @line, map { "$name: $_" } ref $value ? @$value : $value;
    }
    if ($arg{chunked}) {
        push @line, 'Transfer-Encoding: chunked';
        $body = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } @{ $arg{chunked} }, '';

    } elsif (defined $body) {
        push @line, 'Content-Length: ' . length $body;
    }

    my $bytes = join("\r\n", @line, '', '') . ($body // '');
    utf8::encode($bytes) if !utf8::downgrade($bytes, 1);
    return $bytes;
}


# Reads until the answer is complete, the connection has ended, or the time is over.
sub response ($self, $timeout = undef) {
    my $response = $self->{response};

    ref($self)->gather([$self], $timeout // $self->{timeout}) if !$response->{over};
    return $response;
}


sub gather ($class, $clients, $timeout = 10) {
    my $deadline = time + $timeout;
    my $poll     = IO::Poll->new;
    my %waiting;

    for my $client (grep { !$_->{response}{over} } @$clients) {
        $waiting{ fileno $client->{socket} } = $client;
    }
    while (%waiting) {
        for my $client (values %waiting) {
            $poll->mask($client->{socket} => POLLIN | ($client->{out} ne '' ? POLLOUT : 0));
        }
        my $left = $deadline - time;
        last if $left <= 0 || $poll->poll($left) < 0 && $! != EINTR;

        for my $fd (keys %waiting) {
            my $client = $waiting{$fd};
            my $events = $poll->events($client->{socket});

            $client->_write if $events & POLLOUT;
            $client->_read if $events & (POLLIN | POLLERR | POLLHUP);
            next if !$client->{response}{over};
            $poll->remove($client->{socket}) if $client->{socket};
            delete $waiting{$fd};
        }
    }
    $_->{response}->end('timeout') for values %waiting;
}


sub _write ($self) {
    local $SIG{PIPE} = 'IGNORE';
    while ($self->{out} ne '') {
        my $sent = syswrite $self->{socket}, $self->{out};
        if (!defined $sent) {
            # The kernel tells only once why a connection failed; reading then sees an end.
            $self->{failure} = "$!" if !$!{EAGAIN} && !$!{EINTR} && !$!{EPIPE};
            return;
        }
        substr $self->{out}, 0, $sent, '';
    }
}


sub _read ($self) {
    my $response = $self->{response};

    while (!$response->{over}) {
        my $got = sysread $self->{socket}, my $bytes, 131_072;
        if ($got) {
            $response->feed($bytes);
            next;
        }
        return if !defined $got && ($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR);

        my $reason = defined $got ? $self->{failure} // 'closed' : "$!";
        $self->{eof} = 1;
        $response->end($response->{to_end} ? undef : $reason);
    }
    # Answers to pipelined requests, or garbage.
    my $rest = delete $response->{rest};
    $self->{rest} = $rest if defined $rest && $rest ne '';
}


# The next event of a stream, or undef when it has ended or the time is over.
sub event ($self, $timeout = $self->{timeout}) {
    my $response = $self->{response};
    my $deadline = time + $timeout;

    while ($response->{body} !~ /\n\n/) {
        my $left = $deadline - time;
        return undef if $response->{over} || $left <= 0;

        my $poll = IO::Poll->new;
        $poll->mask($self->{socket} => POLLIN);
        $self->_read if $poll->poll($left) > 0;
    }
    $response->{body} =~ s/^(.*?)\n\n//s;

    my %event;
    for my $line (split /\n/, $1) {
        my ($field, $value) = $line =~ /^([^:]*):? ?(.*)$/s;
        $field = 'comment' if $field eq '';
        $event{$field} = exists $event{$field} ? "$event{$field}\n$value" : $value;
    }
    return \%event;
}


sub is_over ($self) {
    $self->_write if $self->{out} ne '';
    $self->_read if !$self->{response}{over};
    return $self->{response}{over};
}


sub is_closed ($self) {
    return 1 if !$self->{socket} || $self->{eof};
    my $got = sysread $self->{socket}, my $bytes, 131_072;
    return 0 if !defined $got && ($! == EAGAIN || $! == EWOULDBLOCK);
    $self->{rest} .= $bytes if $got;
    return $self->{eof} = $got ? 0 : 1;
}


sub close ($self) {
    my $socket = delete $self->{socket} or return;
    $self->{error} //= 'closed';
    $self->{response}->end('closed') if $self->{response};
    $socket->close;
}


sub reset ($self) {
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $self->{socket};
    $self->close;
}


sub hang_up ($self, $bytes, $reset = 0) {
    my $poll = IO::Poll->new;
    $poll->mask($self->{socket} => POLLOUT);
    $poll->poll($self->{timeout});

    local $SIG{PIPE} = 'IGNORE';
    while ($bytes ne '') {
        my $sent = syswrite $self->{socket}, $bytes;
        last if !defined $sent && $! != EAGAIN && $! != EINTR;
        defined $sent ? substr $bytes, 0, $sent, '' : $poll->poll($self->{timeout});
    }
    $reset ? $self->reset : $self->close;
}


package CompletionAsync::Client::Response;

use Mojo::JSON ();


sub new ($class) {
    return bless {
        status  => undef,
        headers => {},
        body    => '',
        raw     => '',
        rest    => '',
        interim => [],
        started => Time::HiRes::time,
    }, $class;
}


sub header ($self, $name) {
    my $value = $self->{headers}{ lc $name };
    return ref $value ? $value->[0] : $value;
}


sub json ($self) { eval { Mojo::JSON::decode_json($self->{body}) } }


sub text ($self) {
    my $text = $self->{body};
    utf8::decode($text);
    return $text;
}


sub end ($self, $error) {
    return if $self->{over}++;
    $self->{error}    = $error;
    $self->{complete} = !defined $error;
    $self->{time}     = Time::HiRes::time - $self->{started};
}


sub feed ($self, $bytes) {
    $self->{raw} .= $bytes;
    $self->{rest} .= $bytes;

    while (!defined $self->{status}) {
        return if $self->{rest} !~ s/^(.*?)\r\n\r\n//s;
        $self->_head($1);
    }
    return if $self->{over};
    $self->{chunked} ? $self->_chunks : $self->_plain;
}


sub _head ($self, $head) {
    my ($line, @lines) = split /\r\n/, $head;
    my ($status, $reason) = $line =~ m{^HTTP/1\.[01] ([0-9]{3}) ?(.*)$};

    return $self->end('malformed') if !defined($self->{status} = $status);
    if ($status < 200) {
        push @{ $self->{interim} }, $status;
        $self->{status} = undef;
        return;
    }

    my %headers;
    for (@lines) {
        my ($name, $value) = /^([^:]+):[ \t]*(.*?)[ \t]*$/ or next;
        push @{ $headers{ lc $name } }, $value;
    }
    $self->{reason}  = $reason;
    $self->{headers} = { map { $_ => @{ $headers{$_} } > 1 ? $headers{$_} : $headers{$_}[0] }
        keys %headers };
    $self->{chunked} = ($self->header('transfer-encoding') // '') =~ /chunked/i;
    $self->{length}  = $self->header('content-length');
    $self->{length}  = 0 if $self->{head_only} || $status == 204 || $status == 304;
    $self->{chunked} = 0 if defined $self->{length} && $self->{length} == 0;
    $self->{to_end}  = !$self->{chunked} && !defined $self->{length};
}


sub _plain ($self) {
    my $missing = $self->{to_end} ? length $self->{rest} : $self->{length} - length $self->{body};

    $self->{body} .= substr $self->{rest}, 0, $missing, '';
    $self->end(undef) if !$self->{to_end} && length $self->{body} == $self->{length};
}


sub _chunks ($self) {
    while ($self->{rest} =~ /^([0-9A-Fa-f]+)[^\r\n]*\r\n/) {
        my ($size, $start) = (hex $1, $+[0]);
        return if length $self->{rest} < $start + $size + 2;

        $self->{body} .= substr $self->{rest}, $start, $size;
        substr $self->{rest}, 0, $start + $size + 2, '';
        return $self->end(undef) if !$size;
    }
}


1;
