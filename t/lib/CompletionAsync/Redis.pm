package CompletionAsync::Redis;

=head1 NAME

CompletionAsync::Redis - a redis-server for one test

=head1 SYNOPSIS

    use CompletionAsync::Redis;

    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    my $url   = $redis->url;                        # redis://127.0.0.1:PORT
    $redis->cli(SET => 'key', 'value');             # OK
    $redis->cli(LRANGE => 'list', 0, -1);           # [ ... ]
    $redis->pause;  $redis->continue;
    $redis->stop;   $redis->restart;

=head1 METHODS

    start(%opt)             a server that answers:
        dir                 where a folder of its own is made
        unix => 1           the URL is that of its unix socket
        tls => [CERT, KEY]  files; the port speaks TLS
        password => TEXT    of the user "default"
        acl => [LINE, ...]  of its configuration: "user NAME on >PASSWORD ~* +@all"
        aof => 1            what it acknowledged is in a file, and outlives restart()
        config => [LINE, ...]
    url(%opt)               for the directive; host (127.0.0.1, with tls localhost), db
    port, socket, pid
    cli(COMMAND, @args)     the reply: text, number, undef or a reference to an array; dies with an
                            error's text. By the unix socket, as a user who may do everything;
                            a reply is waited for for 10 s
    info($name)             what INFO says of it
    ops                     { command => how many of them it has carried out }
    clients                 how many connections others have to it
    pause, continue         it stands still: SIGSTOP, SIGCONT
    stop(kill => 1)         SIGTERM, or SIGKILL; waits for its end
    restart                 the same server once more: port, socket, what it has kept
    log                     what it wrote

It ends with its object, or with the test.

=cut

use strict;
use warnings;
use v5.36;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);

use CompletionAsync::Test qw(wait_until);

my $ADMIN = 'test-admin';
my $WAIT  = 10;                 # s, for a reply
my $START = 60;                 # s, for a server that begins

my ($OWNER, $COUNT) = ($$, 0);


sub start ($class, %opt) {
    my $self = bless { %opt, name => 'redis' . $COUNT++ }, $class;
    $self->{at} = "$opt{dir}/$self->{name}";
    mkdir $self->{at} or die "$self->{at}: $!\n";
    chmod 0755, $self->{at};
    $self->{socket} = "$self->{at}/socket";

    # a port that was free may be somebody's by now
    for my $try (1 .. 5) {
        $self->{port} = _free_port();
        return $self if $self->_begin;
    }
    die 'redis-server does not start: ' . $self->log . "\n";
}


sub url ($self, %opt) {
    my $db = defined $opt{db} ? $opt{db} : '';
    return "unix:$self->{socket}" . ($db ne '' ? ":$db" : '') if $self->{unix};

    my $host = $opt{host} // ($self->{tls} ? 'localhost' : '127.0.0.1');
    return ($self->{tls} ? 'rediss' : 'redis') . "://$host:$self->{port}" . ($db ne '' ? "/$db" : '');
}


sub port ($self)   { $self->{port} }
sub socket ($self) { $self->{socket} }
sub pid ($self)    { $self->{pid} }


sub log ($self) {
    open my $in, '<', "$self->{at}/log" or return '';
    local $/;
    return <$in> // '';
}


sub cli ($self, @command) {
    $self->_connect if !$self->{connection};

    my $reply = eval { $self->_ask(@command) };
    my $error = $@;
    return $reply if $error eq '';

    delete $self->{connection} if ref $error;
    die ref $error ? "$$error\n" : $error;
}


sub info ($self, $name) {
    return $self->cli('INFO') =~ /^\Q$name\E:(.*?)\r?$/m ? $1 : undef;
}


sub ops ($self) {
    return { $self->cli(INFO => 'commandstats') =~ /^cmdstat_([^:]+):calls=(\d+)/mg };
}


sub clients ($self) {
    return scalar grep { !/\buser=\Q$ADMIN\E\b/ } split /\n/, $self->cli(CLIENT => 'LIST');
}


sub pause ($self)    { kill STOP => $self->{pid}; return $self }
sub continue ($self) { kill CONT => $self->{pid}; return $self }


sub stop ($self, %opt) {
    my $pid = delete $self->{pid} or return;

    delete $self->{connection};
    kill $opt{kill} ? 'KILL' : 'TERM', $pid;
    kill CONT => $pid;
    waitpid $pid, 0;
    unlink $self->{socket};
    return;
}


sub restart ($self) {
    $self->stop;
    $self->_begin or die 'redis-server does not start: ' . $self->log . "\n";
    return $self;
}


sub DESTROY ($self) {
    local ($?, $@);
    $self->stop(kill => 1) if $$ == $OWNER;
}


sub _free_port () {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!\n";
    return $listener->sockport;
}


# True: it answers.
sub _begin ($self) {
    my @tls = $self->{tls} ? ("port 0", "tls-port $self->{port}", "tls-cert-file $self->{tls}[0]",
        "tls-key-file $self->{tls}[1]", 'tls-auth-clients no') : ("port $self->{port}");
    my @acl = @{ $self->{acl} // [] };
    push @acl, "user default on >$self->{password} ~* &* +\@all" if defined $self->{password};

    open my $conf, '>', "$self->{at}/conf" or die "$self->{at}/conf: $!\n";
    print {$conf} "$_\n" for 'bind 127.0.0.1', @tls, "unixsocket $self->{socket}", 'unixsocketperm 777',
        "dir $self->{at}", "logfile $self->{at}/log", 'save ""', 'daemonize no', 'maxmemory 256mb',
        'maxmemory-policy noeviction', 'appendonly ' . ($self->{aof} ? 'yes' : 'no'),
        'appendfsync always', "user $ADMIN on nopass ~* &* +\@all", @acl, @{ $self->{config} // [] };
    close $conf;

    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{at}/log";
        open STDERR, '>&', \*STDOUT;
        exec 'redis-server', "$self->{at}/conf" or POSIX::_exit(127);
    }
    $self->{pid} = $pid;

    my $ended;
    return 1 if wait_until(sub {
        $ended ||= waitpid($pid, WNOHANG) == $pid;
        return $ended || eval { $self->cli('PING') eq 'PONG' };
    }, $START) && !$ended;

    delete $self->{pid} if $ended;
    $self->stop(kill => 1);
    return 0;
}


sub _connect ($self) {
    my $connection = IO::Socket::UNIX->new(Peer => $self->{socket}) or die "redis: $!\n";
    $self->{connection} = $connection;
    $self->{read} = '';
    $self->_ask(AUTH => $ADMIN, '');
    return;
}


# What ends the connection dies with a reference to its text.
sub _ask ($self, @command) {
    local $SIG{PIPE} = 'IGNORE';
    my $bytes = join '', map { '$' . length($_) . "\r\n$_\r\n" } @command;
    my $text  = '*' . @command . "\r\n$bytes";

    while ($text ne '') {
        my $n = syswrite($self->{connection}, $text) // die \"redis: $!";
        substr $text, 0, $n, '';
    }
    return $self->_reply;
}


sub _reply ($self) {
    my ($type, $text) = $self->_line =~ /^(.)(.*)/s;

    if ($type eq '$') {
        return undef if $text < 0;
        my $value = $self->_bytes($text + 2);
        return substr $value, 0, $text;
    }
    if ($type eq '*') {
        return undef if $text < 0;

        # an error inside is an element of it
        return [ map { my $one = eval { $self->_reply }; die $@ if ref $@; $@ eq '' ? $one : $@ } 1 .. $text ];
    }
    die "$text\n" if $type eq '-';
    return $text;
}


sub _line ($self) {
    $self->_more while index($self->{read}, "\r\n") < 0;
    my $line = substr $self->{read}, 0, index($self->{read}, "\r\n") + 2, '';
    return substr $line, 0, -2;
}


sub _bytes ($self, $n) {
    $self->_more while length $self->{read} < $n;
    return substr $self->{read}, 0, $n, '';
}


sub _more ($self) {
    IO::Select->new($self->{connection})->can_read($WAIT) or die \'redis: no reply';
    sysread($self->{connection}, $self->{read}, 65536, length $self->{read})
        or die \'redis: the connection is closed';
    return;
}


1;
