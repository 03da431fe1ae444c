package CompletionAsync::Emulator;

=encoding utf8

=head1 NAME

CompletionAsync::Emulator - an emulator of the upstream, faults included

=head1 SYNOPSIS

    my $emulator = CompletionAsync::Emulator->new(port => 0, delay => 2);
    $emulator->listen;
    say $emulator->port;
    Mojo::IOLoop->start;

=head1 DESCRIPTION

One process, driven by events, speaking HTTP/1.1 with keep-alive on raw streams. Options of
C<new>: C<address> (127.0.0.1), C<port> (0), C<control_port> (none; 0 picks one), C<tls_cert>,
C<tls_key>, C<journal_file>, and every setting below.

=head2 Settings

    delay          seconds until an operation is done (0.3)
    outcome        see below (final)
    early404       so many polls of a new operation are answered 404
    done_absent    leave "done" out while pending
    cancel         obey | ignore
    language       what a text is said to be in, where a schema asks for that (en)
    folder, api_key, iam_token     what a request must show; unset: not checked
    issue_tokens   accept tokens that the two token services gave out (0)
    token_ttl, token_length        of those tokens, in seconds and characters
    jwt_public_key PEM file that the JWT's signature must match (not checked)
    metadata       0: this machine has no service account
    dialect        of all errors: grpc | grpc_text | rest | openai (as recorded for each)
    leak           400s leak a session's ids, as upstream does (1)
    poll_interval  x-operation-poll-interval of every poll
    submit_quota, poll_quota       [[N, SECONDS], ...], or N for a second; sliding windows
    quota_slack    seconds by which those windows are shorter (0)

=head2 Outcomes

final, truncated, filter, partial, unspecified, alternatives, reasoning, no_usage, tool_calls (of
the request's first tool, or the one it chooses; C<tool_calls:N> are N calls, of one tool after the
other), C<status:NAME>, C<says:TEXT> (the answer, whatever was asked), C<failed:CODE:MESSAGE>,
C<leak:CODE:MESSAGE> (failed, with leaking ids), error0 (code 0 beside a response), empty (neither),
early_error (while pending), huge (1.5 MB), null_dates, fraction (of seconds), exotic (unknown
members, odd numbers and escapes).

Markers in the user's text set them for one operation: C<[delay=3]>, C<[outcome=failed:8:no]>,
C<[early404=2]>, C<[done_absent=1]>, C<[cancel=ignore]>, C<[size=5000]>, C<[language=de]>.
The result is "echo: TEXT", and Hamlet's line is translated. Where the last message holds what
functions came to, that is the text. Of a C<jsonSchema> with a property "language" it is the JSON of
that and, if there is such a property, "text".

=head2 Control

JSON over HTTP below C</_control/>, on the same port and on C<control_port>, never journalled
and never at fault (connect faults strike the main port only):

    GET  journal?since=N&kind=K&over=1&last=N             GET  count?..., how many they are
    POST fault {...}              DELETE fault
    POST set {...}                POST finish {id, outcome}, {} for all
    POST forget {id}              POST revoke {token}, {} for all
    POST listen {on: 0|1}         POST disconnect {idle: 0|1}
    POST release {name}, {} for all held answers
    POST reset                    GET  state

Faults: L<CompletionAsync::Emulator::Fault>. C<listen {on: 0}> refuses connections and drops
the open ones, while everything known stays known.

=head2 Journal

A list of requests in order of their heads: n, kind, time (when its bytes arrived), read_time
(when they were read, which may be later), method, path, version, headers (lower
case), lines (as sent), body, body_complete, operation, status, fault, connection, connected (when
that was), nth (on that connection), end (keep, close, reset, hang, client: hung up by the client), end_time. With
C<journal_file> each is a line of JSON when its head was read, and again when it is over.

=cut

use strict;
use warnings;
use v5.36;

use Mojo::IOLoop;
use Mojo::IOLoop::Server;
use Mojo::IOLoop::TLS;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Parameters;
use Socket qw(SOL_SOCKET SO_LINGER SO_REUSEADDR PF_INET SOCK_STREAM inet_aton
    sockaddr_in unpack_sockaddr_in);
use Time::HiRes qw(time);

use CompletionAsync::Emulator::Api;
use CompletionAsync::Emulator::Connection;
use CompletionAsync::Emulator::Fault;


sub new ($class, %arg) {
    my $self = bless { address => '127.0.0.1', port => 0 }, $class;

    @$self{qw(connections accepted)} = ({}, 0);

    for my $name (qw(address port control_port tls_cert tls_key journal_file)) {
        $self->{$name} = delete $arg{$name} if defined $arg{$name};
    }
    $self->{api} = CompletionAsync::Emulator::Api->new;
    $self->reset;
    $self->set(%arg);

    if (defined $self->{journal_file}) {
        open $self->{file}, '>>', $self->{journal_file} or die "$self->{journal_file}: $!\n";
        $self->{file}->autoflush(1);
    }
    return $self;
}


sub port ($self)         { $self->{port} }
sub control_port ($self) { $self->{control_port} }


sub reset ($self) {
    $self->{api}->reset;
    $self->{faults}  = [];
    $self->{journal} = [];
    $self->{quota}   = {};
    $self->{slack}   = 0;
    $self->{waiting} = {};
}


sub set ($self, %setting) {
    for my $kind (qw(submit poll)) {
        next if !exists $setting{"${kind}_quota"};
        my $quota = delete $setting{"${kind}_quota"};
        $self->{quota}{$kind} = { windows => _windows($quota), times => [] };
    }
    $self->{slack} = delete $setting{quota_slack} if defined $setting{quota_slack};
    $self->{api}->set(%setting);
}


sub listen ($self) {
    if (!$self->{reserved}) {
        ($self->{reserved}, $self->{port}) = _reserve($self->{address}, $self->{port});
    }
    $self->{server} = $self->_server($self->{port}, 1);

    if (defined $self->{control_port} && !$self->{control}) {
        $self->{control} = $self->_server($self->{control_port}, 0);
        $self->{control_port} = $self->{control}->port;
    }
}


sub unlisten ($self) {
    my $server = delete $self->{server} or return;
    $server->stop;
    $self->disconnect(0);
}


sub disconnect ($self, $idle_only) {
    for my $connection (values %{ $self->{connections} }) {
        next if !$connection->{main} || $connection->{spared};
        $connection->close if !$idle_only || $connection->is_idle;
    }
}


# A bound socket that never listens keeps the port ours while the listener is away.
sub _reserve ($address, $port) {
    socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1 if $port;
    bind $socket, sockaddr_in($port, inet_aton($address)) or die "bind to port $port: $!\n";
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1;
    return ($socket, (unpack_sockaddr_in(getsockname $socket))[0]);
}


# An answer waits to be released by this name.
sub hold ($self, $name, $answer) { push @{ $self->{waiting}{$name} }, $answer }


# How many answers that was.
sub release ($self, $name) {
    my @names   = defined $name ? $name : keys %{ $self->{waiting} };
    my @answers = map { @{ delete $self->{waiting}{$_} // [] } } @names;
    $_->() for @answers;
    return scalar @answers;
}


# One for all connections: each of its own would read the machine's authorities anew, which takes
# longer than everything else of a handshake.
sub _tls_context ($self) {
    return $self->{tls} //= IO::Socket::SSL::SSL_Context->new(
        SSL_server      => 1,
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
        SSL_cert_file   => $self->{tls_cert},
        SSL_key_file    => $self->{tls_key},
    ) || die "TLS: $IO::Socket::SSL::SSL_ERROR\n";
}


sub _server ($self, $port, $main) {
    my $server = Mojo::IOLoop::Server->new;

    # Mojo passes listeners on to its children by this variable; a second listen on the
    # same port would revive a closed descriptor.
    delete $ENV{MOJO_REUSE};
    $server->listen(address => $self->{address}, port => $port);
    $server->on(accept => sub ($, $handle) { $self->_accept($handle, $main) });
    $server->start;
    return $server;
}


sub _accept ($self, $handle, $main) {
    my $number = ++$self->{accepted};
    my $time   = time;
    my $fault  = $main ? $self->_fault('connect') : undef;
    my $go     = sub (@) {
        my $verb = $fault && $fault->action('accept');
        return $self->_refuse($handle, $verb) if $verb;
        return $self->_connect($handle, $number, $time, $main) if !$main || !defined $self->{tls_cert};

        my $tls = $self->{handshakes}{$number} = Mojo::IOLoop::TLS->new($handle);
        $tls->on(upgrade => sub ($, $secure) {
            delete $self->{handshakes}{$number};
            $self->_connect($secure, $number, $time, $main);
        });
        $tls->on(error => sub { delete $self->{handshakes}{$number} });
        $tls->negotiate(server => 1, tls_options => { SSL_reuse_ctx => $self->_tls_context });
    };
    my $delay = $fault && $fault->get('delay');
    $delay ? Mojo::IOLoop->timer($delay => $go) : $go->();
}


sub _refuse ($self, $handle, $verb) {
    return push @{ $self->{held} }, $handle if $verb eq 'hang';

    setsockopt $handle, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $verb eq 'reset';
    $handle->close;
}


sub _connect ($self, $handle, $number, $time, $main) {
    my $connection = $self->{connections}{$number} = CompletionAsync::Emulator::Connection->new(
        server => $self,
        handle => $handle,
        number => $number,
        time   => $time,
        main   => $main,
    );
    $connection->start;
}


sub disconnected ($self, $connection) { delete $self->{connections}{ $connection->{number} } }


# A request's head was read: it is journalled, and its fault and quota are decided.
sub begin ($self, $request) {
    return $request->{control} = 1 if $request->{path} =~ m{^/_control/};

    my ($kind, $id) = CompletionAsync::Emulator::Api->classify(@$request{qw(method path)});
    my $entry = $request->{entry} = {
        n             => 1 + @{ $self->{journal} },
        kind          => $kind,
        time          => $request->{arrived},
        read_time     => time,
        body          => '',
        body_complete => \0,
        operation     => $id,
        status        => undef,
        fault         => undef,
        map { $_ => $request->{$_} } qw(method path version headers lines connection connected nth),
    };
    @$request{qw(kind id)} = ($kind, $id);
    push @{ $self->{journal} }, $entry;

    $request->{fault} = $self->_fault($kind, $id);
    $entry->{fault} = $request->{fault}->label if $request->{fault};
    $request->{over_quota} = !$self->within_quota($kind, $entry->{time});
    $self->_log($entry);
}


# The whole request was read: says what is to be answered.
sub complete ($self, $request) {
    return $self->_control($request) if $request->{control};

    my $fault  = $request->{fault};
    my $entry  = $request->{entry};
    my $answer = $self->_answer($request, $fault);

    @$entry{qw(body body_complete)} = (_text($request->{body}), \1);
    $entry->{operation} = $answer->{operation} if defined $answer->{operation};
    $fault->shape($answer) if $fault;

    my $lie = $fault && $request->{kind} eq 'submit' ? $fault->get('lie_id') : undef;
    if (defined $lie && defined $answer->{operation}) {
        $self->{api}->alias($answer->{operation}, $lie);
    }
    return $answer;
}


# The request is over, one way or another.
sub over ($self, $request, $end) {
    my $entry = $request->{entry} or return;

    $entry->{body} = _text($request->{body}) if !$request->{complete};
    $entry->{status} = $request->{status};
    @$entry{qw(end end_time)} = ($end, $end eq 'keep' ? $request->{written} // time : time);
    $self->_log($entry);
}


sub _answer ($self, $request, $fault) {
    my $api = $self->{api};

    my $effect = !$fault || $fault->processes ? undef : {};
    my $status = $fault && $fault->get('status');

    if (defined $status) {
        $effect //= $api->answer($request);
        return { %$effect, status => $status } if $status < 300 && defined $effect->{body};

        my $answer = $api->error(
            $status,
            request => $request,
            map { $_ => $fault->get($_) } qw(grpc message dialect leak),
        );
        return { %$answer, operation => $effect->{operation} };
    }
    return $api->error(503, request => $request) if $effect;

    if ($request->{over_quota}) {
        $request->{entry}{fault} //= 'quota';
        return $api->error(
            429,
            usual   => 'rest',
            message => "ai.textGeneration$request->{kind}.rate quota limit exceed",
        );
    }
    return $api->answer($request);
}


sub _fault ($self, $kind, $id = undef) {
    # Every fault counts the request, and the first that means it strikes.
    my $operation = defined $id ? $self->{api}->operation($id) : undef;
    my $text = $operation ? $operation->{text} : undef;
    my @struck = grep { $_->matches($kind, $id, $text) } @{ $self->{faults} };
    return $struck[0];
}


sub within_quota ($self, $kind, $now) {
    my $quota = $self->{quota}{$kind} or return 1;
    my $times = $quota->{times};

    for my $window (@{ $quota->{windows} }) {
        my ($max, $seconds) = @$window;
        my $start = $now - $seconds + $self->{slack};
        return 0 if grep({ $_ > $start && $_ <= $now } @$times) >= $max;
    }
    push @$times, $now;
    return 1;
}


sub _windows ($quota) {
    return [] if !defined $quota;
    return [ [ $quota, 1 ] ] if !ref $quota;
    return ref $quota->[0] ? $quota : [$quota];
}


sub _log ($self, $entry) {
    say { $self->{file} } encode_json($entry) if $self->{file};
}


# A body as characters if it is UTF-8, else byte by byte.
sub _text ($bytes) {
    my $text = $bytes;
    utf8::decode($text);
    return $text;
}


sub _control ($self, $request) {
    my ($path, $query) = $request->{path} =~ m{^/_control/([^?]*)\??(.*)$};
    my $verb = "$request->{method} $path";
    my $arg  = eval {
        $verb =~ /^POST/ && $request->{body} ne '' ? decode_json($request->{body}) : {};
    };
    my $handler = {
        'GET journal'     => sub { $self->_entries(Mojo::Parameters->new($query)->to_hash) },
        'GET count'       => sub {
            return { count => scalar @{ $self->_entries(Mojo::Parameters->new($query)->to_hash) } };
        },
        'GET state'       => sub { $self->_state },
        'POST fault'      => sub {
            push @{ $self->{faults} }, CompletionAsync::Emulator::Fault->new(%$arg);
            return {};
        },
        'DELETE fault'    => sub { $self->{faults} = []; return {} },
        'POST set'        => sub { $self->set(%$arg); return {} },
        'POST finish'     => sub {
            return { finished => $self->{api}->finish(@$arg{qw(id outcome)}) };
        },
        'POST forget'     => sub { $self->{api}->forget($arg->{id}); return {} },
        'POST revoke'     => sub { $self->{api}->revoke($arg->{token}); return {} },
        'POST listen'     => sub {
            # The connection that asks shall see its answer.
            local $self->{connections}{ $request->{connection} }{spared} = 1;
            $arg->{on} ? $self->{server} || $self->listen : $self->unlisten;
            return {};
        },
        'POST disconnect' => sub {
            local $self->{connections}{ $request->{connection} }{spared} = 1;
            $self->disconnect($arg->{idle});
            return {};
        },
        'POST release'    => sub { return { released => $self->release($arg->{name}) } },
        'POST reset'      => sub { $self->reset; return {} },
    }->{$verb};

    my $result = ref $arg ne 'HASH' ? undef : $handler ? eval { $handler->() } : undef;
    my $status = $result ? 200 : $handler ? 400 : 404;
    $result //= { error => $handler ? $@ || 'bad JSON' : "no such control: $verb" };
    return {
        status  => $status,
        headers => [ [ 'Content-Type' => 'application/json' ] ],
        body    => encode_json($result),
    };
}


sub _entries ($self, $query) {
    my $journal = $self->{journal};
    my ($kind, $over, $last) = @$query{qw(kind over last)};
    my @entries = grep { (!defined $kind || $_->{kind} eq $kind) && (!$over || defined $_->{end}) }
        @$journal[ $query->{since} // 0 .. $#$journal ];
    splice @entries, 0, -$last if $last;
    return \@entries;
}


sub _state ($self) {
    my @operations = map {
        +{ %$_, text => substr($_->{text}, 0, 200) }
    } $self->{api}->operations;

    return {
        settings    => $self->{api}->settings,
        operations  => \@operations,
        connections => scalar(grep { $_->{main} } values %{ $self->{connections} }),
        accepted    => $self->{accepted},
        requests    => scalar @{ $self->{journal} },
    };
}


1;
