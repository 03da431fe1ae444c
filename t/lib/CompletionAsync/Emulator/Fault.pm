package CompletionAsync::Emulator::Fault;

=head1 NAME

CompletionAsync::Emulator::Fault - which requests go wrong, and how that looks on the wire

=head1 DESCRIPTION

A fault is one flat hash. B<Which> requests: C<on> (submit, poll, cancel, token,
metadata, other, any; or connect, which is counted at accept), C<n> (a number, a list
of numbers, C<"3-">, C<"2-4"> or C<"every">; counted from the moment the fault is set,
default 1), C<operation> (only polls and cancels of this id), C<text> (only polls and cancels of
an operation whose text holds this: such a fault may be set before the submit).

B<What> happens:

    delay => S                wait before answering
    hold => NAME              wait until this name is released
    reset|close|hang => STAGE RST, FIN or silence at a stage: accept (with on => connect),
                              head (before the body is read), request (all read, nothing
                              answered), answer (half the body sent, or "truncate" bytes)
    silent => 1               hang => request
    truncate => N|half        close after N bytes of the body
    status => N               answer with this status, unprocessed, and an error body
    reason => TEXT            reason phrase
    retry_after => N|DATE     Retry-After
    dialect => NAME           grpc, grpc_text, rest, openai
    grpc => N, message => TEXT, leak => 1
    body => BYTES, type => T  this body and Content-Type
    mangle => NAME            html, bad_json, trailing, deep, huge, invalid_utf8, overlong,
                              raw_surrogate, lone_surrogate, nul, duplicate, array, string,
                              number, empty; "size" sets the depth or length
    encode => NAME            gzip or deflate, with its Content-Encoding; bom (a mark ahead of the
                              body); or several, "bom,gzip", one after the other
    headers => {NAME: VALUE or [VALUE, ...]}
    header_bytes => N         one header of N bytes more
    poll_interval => N        x-operation-poll-interval
    length_offset => N        Content-Length is wrong by N
    chunked => 1|SIZE         chunked transfer
    connection_close => 1     "Connection: close", and closes
    close_idle => S           closes S seconds after the answer, unannounced
    interim => [103, ...]     1xx answers ahead of the final one
    drip => S, drip_bytes=>N  N bytes (1) every S seconds
    version => '1.0'          HTTP version of the status line
    raw => BYTES              exactly these bytes instead of an answer, then closes
    lie_id => ID, lie_id_json => JSON, drop_id => 1
                              another id in the answer; a submit's operation is then
                              known under the lie, too
    process => 0|1            whether the request has its effect all the same; by default
                              it has unless "status" is set or it ends at accept or head
    name => TEXT              what the journal calls it

=cut

use strict;
use warnings;
use v5.36;

use Compress::Zlib ();

use CompletionAsync::Emulator::Api;

my @KEYS = qw(
    on n operation text delay hold reset close hang silent truncate status reason retry_after dialect
    grpc message leak body type mangle size encode headers header_bytes poll_interval
    length_offset chunked
    connection_close close_idle interim drip drip_bytes version raw lie_id lie_id_json drop_id
    process name
);

my %KINDS  = map { $_ => 1 } qw(submit poll cancel token metadata other any connect);
my %STAGES = map { $_ => 1 } qw(accept head request answer);

my %ENCODE = (
    gzip    => sub ($body) { Compress::Zlib::memGzip($body) },
    deflate => sub ($body) { Compress::Zlib::compress($body) },
    bom     => sub ($body) { "\xef\xbb\xbf$body" },
);

my %MANGLE = (
    html => sub ($body, $size) {
        return "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
            . "<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n";
    },
    bad_json       => sub ($body, $size) { substr $body, 0, length($body) * 2 / 3 },
    trailing       => sub ($body, $size) { $body . '}{"id":"x"}' },
    deep           => sub ($body, $size) {
        $size //= 100_000;
        return _inject($body, '"deep":' . '[' x $size . ']' x $size);
    },
    huge           => sub ($body, $size) {
        return _inject($body, '"huge":"' . 'x' x ($size // 5_000_000) . '"');
    },
    invalid_utf8   => sub ($body, $size) { _inject($body, qq("note":"\xff\xfe")) },
    overlong       => sub ($body, $size) { _inject($body, qq("note":"\xc0\x80")) },
    raw_surrogate  => sub ($body, $size) { _inject($body, qq("note":"\xed\xa0\x80")) },
    lone_surrogate => sub ($body, $size) { _inject($body, '"note":"\ud83d!"') },
    nul            => sub ($body, $size) { _inject($body, '"note":"a\u0000b"') },
    duplicate      => sub ($body, $size) { _inject($body, '"done":true,"done":false') },
    array          => sub ($body, $size) { "[$body]" },
    string         => sub ($body, $size) { '"operation"' },
    number         => sub ($body, $size) { '42' },
    empty          => sub ($body, $size) { '' },
);


sub new ($class, %spec) {
    my %known = map { $_ => 1 } @KEYS;
    for my $key (sort keys %spec) {
        die qq(unknown key "$key" in a fault\n) if !$known{$key};
    }

    $spec{on} //= 'any';
    $spec{n}  //= 1;
    $spec{hang}  //= 'request' if $spec{silent};
    $spec{close} //= 'answer' if defined $spec{truncate} && !$spec{reset} && !$spec{hang};

    die qq(unknown kind "$spec{on}" in a fault\n) if !$KINDS{ $spec{on} };
    die qq(unknown mangle "$spec{mangle}" in a fault\n)
        if defined $spec{mangle} && !$MANGLE{ $spec{mangle} };
    for my $name (grep { !$ENCODE{$_} } split /,/, $spec{encode} // '') {
        die qq(unknown encoding "$name" in a fault\n);
    }
    for my $verb (grep { defined $spec{$_} } qw(reset close hang)) {
        die qq(unknown stage "$spec{$verb}" in a fault\n) if !$STAGES{ $spec{$verb} };
    }
    for my $bytes (grep { defined } @spec{qw(raw body)}) {
        utf8::encode($bytes) if !utf8::downgrade($bytes, 1);
    }

    return bless { spec => \%spec, seen => 0 }, $class;
}


# Counts the request, and tells whether it is one of those meant.
sub matches ($self, $kind, $operation, $text) {
    my $spec = $self->{spec};

    return 0 if $spec->{on} eq 'any' ? $kind eq 'connect' : $spec->{on} ne $kind;
    return 0 if defined $spec->{operation} && $spec->{operation} ne ($operation // '');
    return 0 if defined $spec->{text} && index($text // '', $spec->{text}) < 0;

    my $seen = ++$self->{seen};
    my $n    = $spec->{n};
    return !!grep { $_ == $seen } @$n if ref $n;
    return 1 if $n eq 'every';
    return $seen >= $1 && ($2 eq '' || $seen <= $2) if $n =~ /^([0-9]+)-([0-9]*)$/;
    return $seen == $n;
}


sub words ($class) { @KEYS }


sub get ($self, $key) { $self->{spec}{$key} }


sub action ($self, $stage) {
    for my $verb (qw(reset close hang)) {
        return $verb if ($self->{spec}{$verb} // '') eq $stage;
    }
    return;
}


sub processes ($self) {
    my $spec = $self->{spec};
    return $spec->{process} if defined $spec->{process};
    return 0 if defined $spec->{status} || $self->action('head') || $self->action('accept');
    return 1;
}


sub label ($self) {
    my $spec = $self->{spec};
    return $spec->{name} // join ' ', map {
        my $value = $spec->{$_};
        $value = ref $value eq 'ARRAY' ? join ',', @$value : ref $value ? '{}' : $value;
        "$_=" . (length $value > 30 ? substr($value, 0, 30) . '...' : $value);
    } grep { defined $spec->{$_} } @KEYS;
}


# Turns an answer into what the fault makes of it, ahead of framing.
sub shape ($self, $answer) {
    my $spec = $self->{spec};

    $answer->{reason} = $spec->{reason} if defined $spec->{reason};

    my $body = \$answer->{body};
    if (defined $spec->{lie_id} || defined $spec->{lie_id_json}) {
        my $lie = $spec->{lie_id_json} // CompletionAsync::Emulator::Api::_quote($spec->{lie_id});
        $$body =~ s/"id":"[^"]*"/"id":$lie/;
    }
    $$body =~ s/"id":"[^"]*",?// if $spec->{drop_id};
    $$body = $spec->{body} if defined $spec->{body};
    $$body = $MANGLE{ $spec->{mangle} }->($$body, $spec->{size}) if defined $spec->{mangle};

    my @encode = split /,/, $spec->{encode} // '';
    $$body = $ENCODE{$_}->($$body) for @encode;

    my $type = $spec->{type} // (($spec->{mangle} // '') eq 'html' ? 'text/html' : undef);
    my $headers = $answer->{headers};
    if (defined $type) {
        @$headers = ([ 'Content-Type' => $type ], grep { lc $_->[0] ne 'content-type' } @$headers);
    }

    push @$headers, map { [ 'Content-Encoding' => $_ ] } grep { $_ ne 'bom' } @encode;
    my %more = %{ $spec->{headers} // {} };
    push @$headers, [ 'Retry-After' => $spec->{retry_after} ] if defined $spec->{retry_after};
    push @$headers, [ 'x-operation-poll-interval' => $spec->{poll_interval} ]
        if defined $spec->{poll_interval};
    push @$headers, [ 'x-long' => 'h' x $spec->{header_bytes} ] if $spec->{header_bytes};
    for my $name (sort keys %more) {
        push @$headers, map { [ $name => $_ ] } ref $more{$name} ? @{ $more{$name} } : $more{$name};
    }
}


# The answer as a list of [seconds to wait, bytes], and what comes after the last of them.
sub wire ($self, $answer, $keep) {
    my $spec = $self->{spec};

    return ([ [ 0, $spec->{raw} ] ], 'close') if defined $spec->{raw};

    my $status = $answer->{status};
    my $body   = $answer->{body};
    my $bare   = $status == 204 || $status == 304;
    my $end    = $keep ? 'keep' : 'close';
    my @line   = map { "$_->[0]: $_->[1]" } @{ $answer->{headers} };

    if ($spec->{connection_close} || !$keep) {
        push @line, 'Connection: close';
        $end = 'close';
    }

    if ($bare) {
        $body = '';

    } elsif ($spec->{chunked}) {
        my $size = $spec->{chunked} > 1 ? $spec->{chunked} : 100;
        push @line, 'Transfer-Encoding: chunked';
        $body = join '', map({ sprintf "%x\r\n%s\r\n", length $_, $_ } unpack "(a$size)*", $body),
            "0\r\n\r\n";

    } else {
        push @line, 'Content-Length: ' . (length($body) + ($spec->{length_offset} // 0));
    }

    my $reason = $answer->{reason} // $CompletionAsync::Emulator::Api::REASON{$status} // 'Status';
    my $head = 'HTTP/' . ($spec->{version} // '1.1') . " $status $reason";
    $head = join "\r\n", $head, @line, '', '';
    $head = join '', map({
        "HTTP/1.1 $_ " . ($CompletionAsync::Emulator::Api::REASON{$_} // 'Interim') . "\r\n\r\n"
    } @{ $spec->{interim} // [] }), $head;

    my $verb = $self->action('answer');
    if ($verb) {
        my $cut = $spec->{truncate} // 'half';
        $body = substr $body, 0, $cut eq 'half' ? length($body) / 2 : $cut;
        $end  = $verb;
    }

    my $bytes = $head . $body;
    utf8::downgrade($bytes, 1) or utf8::encode($bytes);
    return ([ [ 0, $bytes ] ], $end) if !$spec->{drip};

    my $size = $spec->{drip_bytes} // 1;
    return ([ map { [ $spec->{drip}, $_ ] } unpack "(a$size)*", $bytes ], $end);
}


sub _inject ($body, $member) {
    return $body =~ s/^\{(?=(.))/'{' . $member . ($1 eq '}' ? '' : ',')/er;
}


1;
