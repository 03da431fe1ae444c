package CompletionAsync::Upstream;

=head1 NAME

CompletionAsync::Upstream - a test's hold on an emulator in a process of its own

=head1 SYNOPSIS

    my $e = CompletionAsync::Upstream->start(delay => 0.2, folder => $id, api_key => $key);

    $e->url;  $e->port;  $e->pid;
    $e->set(outcome => 'truncated');          # see CompletionAsync::Emulator
    $e->fault(submit => 1, status => 429, retry_after => 2);
    $e->fault(poll => 'every', reset => 'request');
    $e->clear_faults;
    $e->fault(submit => 1, hold => 'mine');   # answered when we say so
    $e->release('mine');  $e->release;        # all that are held; how many they were
    $e->finish($id);  $e->finish($id, 'failed:8:no');  $e->finish;       # all of them
    $e->forget($id);  $e->revoke($token);
    $e->journal(kind => 'submit', since => 3);  $e->journal(last => 1);
    $e->submits;  $e->submits($text);         # those of that text, which it has read
    $e->polls($id);  $e->cancels($id);
    $e->sent;  $e->said;                      # JSON of the last submit, and its system's messages
    $e->asked;                                # JSON of the submits since it was asked last
    $e->paid($part);                          # how many submits have this in their texts
    $e->costs(sub { ... });                   # how many that makes; and in a list, what it returns
    $e->count(kind => 'submit', over => 1);   # how many, without reading all of them
    $e->wait_for(poll => 3, 5);               # until the third poll came, five seconds at most
    $e->wait_over(submit => 1, 5);            # until the first submit is over
    $e->operations;  $e->state;
    $e->stop;  $e->resume;  $e->restart;      # connections refused; state and port are kept
    $e->disconnect(idle => 1);                # closes the connections that are kept alive
    $e->reset;                                # settings, faults, journal, operations
    $e->quit;                                 # ends the process

    my ($port, $keep) = CompletionAsync::Upstream->closed_port;   # refuses connections
    my ($port, $keep) = CompletionAsync::Upstream->black_hole;    # never completes one

A journal entry's C<json> is the decoded body.

=cut

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Handle;
use IO::Select;
use Mojo::JSON qw(decode_json encode_json);
use POSIX ();
use Scalar::Util qw(weaken);
use Socket qw(PF_INET SOCK_STREAM SOL_SOCKET SO_REUSEADDR inet_aton sockaddr_in
    unpack_sockaddr_in);

use CompletionAsync::Client qw(wait_until);

my %LIVE;
my $PROGRAM = abs_path(dirname(__FILE__) . '/../emulator.pl');


END {
    local $?;
    $_->quit for grep { defined && $_->{owner} == $$ } values %LIVE;
}


sub start ($class, %setting) {
    my $self = bless { owner => $$ }, $class;
    my $delay  = delete $setting{delay} // 0.3;
    my @option = ('--control-port', 0, '--parent', $$, '--delay', $delay);

    weaken($LIVE{$self} = $self);

    for my $name (qw(port tls_cert tls_key journal_file)) {
        my $value = delete $setting{$name};
        push @option, '--' . $name =~ tr/_/-/r, $value if defined $value;
        $self->{tls} = 1 if $name eq 'tls_cert' && defined $value;
    }

    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>&', $write or POSIX::_exit(1);
        exec $^X, $PROGRAM, @option or POSIX::_exit(1);
    }
    close $write;
    $self->{pid} = $pid;

    while (!$self->{port}) {
        die "the emulator does not start\n" if !IO::Select->new($read)->can_read(60);
        # Line by line, and no further: what select() says is not about a buffer.
        my $line = '';
        while ($line !~ /\n/) {
            sysread $read, my $byte, 1 or die "the emulator ended at its start\n";
            $line .= $byte;
        }
        $self->{control_port} = $1 if $line =~ /^control on \S+:([0-9]+)$/;
        $self->{port} = $1 if $line =~ /^listening on \S+:([0-9]+)$/;
    }
    $self->{pipe} = $read;
    $self->set(%setting) if %setting;
    return $self;
}


sub DESTROY ($self) {
    return if $self->{owner} != $$ || ${^GLOBAL_PHASE} eq 'DESTRUCT';
    $self->quit;
    delete $LIVE{$self};
}


sub pid ($self)  { $self->{pid} }
sub port ($self) { $self->{port} }
sub url ($self)  { ($self->{tls} ? 'https' : 'http') . "://127.0.0.1:$self->{port}" }


sub call ($self, $method, $path, $data = undef) {
    my $client = CompletionAsync::Client->new(port => $self->{control_port}, timeout => 20);
    my $r = $client->request(
        $method => "/_control/$path",
        close => 1,
        defined $data ? (body => encode_json($data)) : (),
    );
    my $json = $r->json;

    die "emulator: $method $path: ", $r->{error} // $json->{error} // $r->{status}, "\n"
        if $r->{error} || $r->{status} != 200;
    return $json;
}


sub set ($self, %setting)   { $self->call(POST => 'set', \%setting) }
sub clear_faults ($self)    { $self->call(DELETE => 'fault') }
sub forget ($self, $id)     { $self->call(POST => 'forget', { id => $id }) }
sub state ($self)           { $self->call(GET => 'state') }
sub operations ($self)      { @{ $self->state->{operations} } }
sub reset ($self)           { $self->call(POST => 'reset') }
sub stop ($self)            { $self->call(POST => 'listen', { on => 0 }) }
sub resume ($self)          { $self->call(POST => 'listen', { on => 1 }) }
sub disconnect ($self, %arg) { $self->call(POST => 'disconnect', \%arg) }


sub restart ($self) {
    $self->stop;
    $self->resume;
}


sub revoke ($self, $token = undef) {
    $self->call(POST => 'revoke', defined $token ? { token => $token } : {});
}


sub fault ($self, $kind, $n, %what) {
    $self->call(POST => 'fault', { on => $kind, n => $n, %what });
}


sub finish ($self, $id = undef, $outcome = undef) {
    $self->call(
        POST => 'finish',
        {
            defined $id      ? (id      => $id)      : (),
            defined $outcome ? (outcome => $outcome) : (),
        }
    )->{finished};
}


sub release ($self, $name = undef) {
    return $self->call(POST => 'release', defined $name ? { name => $name } : {})->{released};
}


sub journal ($self, %filter) {
    my $query = join '&', map { "$_=$filter{$_}" } sort keys %filter;
    my $entries = $self->call(GET => "journal?$query");

    for my $entry (@$entries) {
        my $bytes = $entry->{body};
        utf8::encode($bytes);
        $entry->{json} = $bytes eq '' ? undef : eval { decode_json($bytes) };
    }
    return @$entries;
}


sub count ($self, %filter) {
    my $query = join '&', map { "$_=$filter{$_}" } sort keys %filter;
    return $self->call(GET => "count?$query")->{count};
}


sub submits ($self, $text = undef) {
    my @submits = $self->journal(kind => 'submit');
    return @submits if !defined $text;
    return grep {
        my ($message) = reverse @{ ($_->{json} // {})->{messages} // [] };
        ($message->{text} // '') eq $text;
    } @submits;
}


sub sent ($self) { ($self->submits)[-1]{json} }


sub said ($self) {
    return join ' ', map { $_->{text} } grep { $_->{role} eq 'system' } @{ $self->sent->{messages} };
}


sub asked ($self) {
    my @all = $self->submits;
    my @new = splice @all, $self->{asked} // 0;

    $self->{asked} += @new;
    return map { $_->{json} } @new;
}


sub paid ($self, $part) {
    return scalar grep { $_->{json} && index($_->{json}{messages}[-1]{text}, $part) >= 0 } $self->submits;
}


sub costs ($self, $do) {
    my $before = $self->count(kind => 'submit');
    my $result = $do->();
    my $count  = $self->count(kind => 'submit') - $before;

    return wantarray ? ($count, $result) : $count;
}


sub polls ($self, $id = undef) {
    return grep { !defined $id || $_->{operation} eq $id } $self->journal(kind => 'poll');
}


sub cancels ($self, $id = undef) {
    return grep { !defined $id || $_->{operation} eq $id } $self->journal(kind => 'cancel');
}


sub wait_for ($self, $kind, $count, $timeout = 10) {
    return wait_until(sub { $self->count(kind => $kind) >= $count }, $timeout);
}


sub wait_over ($self, $kind, $count, $timeout = 10) {
    return wait_until(sub { $self->count(kind => $kind, over => 1) >= $count }, $timeout);
}


# True if the emulator lived until now, and ended as it should.
sub quit ($self) {
    my $pid = delete $self->{pid} or return 1;

    local ($?, $!);
    kill TERM => $pid;
    if (!wait_until(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 5)) {
        kill KILL => $pid;
        waitpid $pid, 0;
    }
    return $? == 0;
}


sub closed_port ($class) {
    my ($socket, $port) = _bound();
    return ($port, $socket);
}


sub black_hole ($class) {
    my ($socket, $port) = _bound();
    my @keep = $socket;

    listen $socket, 0 or die "listen: $!\n";

    # A full queue of connections drops every further SYN.
    for (1 .. 8) {
        socket my $client, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
        $client->blocking(0);
        connect $client, sockaddr_in($port, inet_aton('127.0.0.1'));
        push @keep, $client;
        return ($port, \@keep) if !IO::Select->new($client)->can_write(0.1);
    }
    die "the queue of connections does not fill\n";
}


# The port stays ours, since nobody else may bind it; with SO_REUSEADDR set afterwards a
# server that is given the port can listen on it all the same.
sub _bound () {
    socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    bind $socket, sockaddr_in(0, inet_aton('127.0.0.1')) or die "bind: $!\n";
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1;
    return ($socket, (unpack_sockaddr_in(getsockname $socket))[0]);
}


1;
