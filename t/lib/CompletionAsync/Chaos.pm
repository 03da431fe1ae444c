package CompletionAsync::Chaos;

=head1 NAME

CompletionAsync::Chaos - nginx under everything that may go wrong, at once

=head1 SYNOPSIS

    my $chaos = CompletionAsync::Chaos->new(seconds => 30, seed => 1);
    my %journal = $chaos->run;              # as CompletionAsync::Chaos::Checker takes it
    note $chaos->figures(\%journal);
    $chaos->test->done;

=head1 DESCRIPTION

Two kinds of run. The B<storm> kills workers, reloads and upgrades, one by one and several in a
row, fills the disk, closes upstream's port. The B<clock> (C<clock =E<gt> 1>) has the wall clock
jump back and forth by minutes and hours, under libfaketime, among reloads and kills.

In both, clients (L<CompletionAsync::Chaos::Client>) do what they want from the first second to the
last, and upstream has bad weather: one fault after the other, all the vocabulary of
L<CompletionAsync::Emulator::Fault>. Strikes end after two thirds of the time, so that the last
workers see some of the rest. Then all is calm, and clients ask for what they were promised.

What strikes, when and whom follows from the seed (C<plan>, C<weather>); what it meets does not.

In the directory of the test stand the journals as lines of JSON: upstream, clients, strikes.

=cut

use strict;
use warnings;
use v5.36;

use List::Util qw(max min sum0);
use Mojo::JSON qw(decode_json encode_json);
use POSIX ();
use Time::HiRes qw(sleep time);

use CompletionAsync::Chaos::Checker;
use CompletionAsync::Chaos::Client;
use CompletionAsync::Test qw(wait_until);

use constant CLIENTS => 12;

# bytes of a file, once the disk is full; the log and a large body are below and above
use constant DISK => 1_000_000;

# each zone is found by its size
my %SIZE = (roomy => 4 << 20, tight => 64 << 10, quota => 1 << 20, cache => 2 << 20);

my $CONF = <<'EOC';
%%GLOBALS%%
worker_processes 3;
worker_shutdown_timeout 20s;
events { worker_connections 512; }
http {
    %%TEST_GLOBALS_HTTP%%
    log_format chaos '$status $request $completion_async_operation $completion_async_source '
                     '$completion_async_state $completion_async_upstream_status';
    access_log %%TESTDIR%%/operations.log chaos;

    completion_async_provider roomy { zone roomy 4m;  %%SAME%% }
    completion_async_provider tight { zone tight 64k; %%SAME%% }
    completion_async_provider cache { zone cache 2m;  %%SAME%% }
    completion_async_provider quota {
        zone         quota 1m;
        submit_rate  4r/s 100r/m;
        submit_queue 6 2s;
        poll_rate    20r/s;
        %%SAME%%
    }
    completion_async_model       yandexgpt-lite;
    completion_async_message     system "Repeat";
    completion_async_owner       $http_x_owner;
    completion_async_wait        3s;
    completion_async_idempotency 24h;
    client_body_buffer_size      8k;
    client_max_body_size         2m;

    server {
        listen 127.0.0.1:%%PORT%% backlog=1024;

        location /roomy  { completion_async roomy; }
        location /tight  { completion_async tight; }
        location /quota  { completion_async quota; }
        location /cached { completion_async cache; completion_async_cache %%KEEP%%s owner; }
        location /shared { completion_async cache; completion_async_cache %%KEEP%%s shared; }

        completion_async_languages  en ru;
        location /libre  { completion_async_libretranslate cache; completion_async_cache %%KEEP%%s owner; }
        location /deepl  { completion_async_deepl cache; completion_async_cache %%KEEP%%s owner; }
    }
}
EOC

my $SAME = <<'EOC';
id_key file:%%TESTDIR%%/id.key; connect_timeout 1s; request_timeout 3s; poll_interval 100ms 1s;
retention %%KEEP%%s; %%PROVIDER%%
EOC

# What may befall one request, as Fault.pm spells it; "on" is any of the kinds, if it is missing.
my @WEATHER = (
    map({ { reset => $_ } } qw(head request answer)),
    map({ { close => $_ } } qw(head request answer)),
    { on => 'connect', reset => 'accept' },
    { on => 'connect', close => 'accept' },
    { on => 'connect', delay => 0.5 },
    { hang => 'answer' },
    { hang => 'head', process => 1 },
    { silent => 1 },
    { truncate => 10 },
    { truncate => 'half', reset => 'answer' },
    { delay => 0.3 },
    { delay => 1.5 },
    map({ { status => $_ } } qw(204 301 304 307 400 401 403 409 413 422 429 499 500 502 503 504)),
    { status => 500, process => 1, reason => 'Strange' },
    { status => 429, retry_after => 1 },
    { status => 503, retry_after => 2 },
    map({ { status => 400, dialect => $_, leak => 1 } } qw(grpc grpc_text rest openai)),
    { status => 429, grpc => 8, message => 'no' },
    { on => 'submit', status => 404 },
    map({ { mangle => $_ } } qw(html bad_json trailing invalid_utf8 overlong raw_surrogate
        lone_surrogate nul duplicate array string number empty)),
    { mangle => 'deep', size => 20_000 },
    { mangle => 'huge' },
    { body => '{"code":13}', type => 'text/plain' },
    { headers => { 'x-request-id' => 'weather', 'x-more' => [ 'one', 'two' ] } },
    { header_bytes => 20_000 },
    { header_bytes => 400_000 },
    { poll_interval => 1 },
    map({ { length_offset => $_ } } -5, 5),
    { chunked => 1 },
    { encode => 'gzip' },
    { encode => 'bom' },
    { chunked => 7, drip => 0.01, drip_bytes => 50 },
    { connection_close => 1 },
    { close_idle => 0.05 },
    { interim => [ 102, 103 ] },
    { drip => 0.3, drip_bytes => 20 },
    { version => '1.0' },
    { raw => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}" },
    { raw => "\x00\xff\r\n\r\n" },
    { on => 'poll', lie_id => 'lie' },
    map({ { lie_id_json => $_ } } '12345', 'null', '"a/b"', '""'),
    { drop_id => 1 },
);

my @STRIKES = qw(kill kill kill kill kill hup hup usr2 storm disk refuse disconnect);
my @JUMPS   = (60, -60, 900, -900, 3600, -3600, 7200, -10_800);


sub new ($class, %arg) {
    my $self = bless { seconds => 30, seed => 1, strikes => [], keep => $arg{clock} ? 86_400 : 8, %arg }, $class;
    my $clock = $self->{clock} ? $class->clock_library // die "there is no libfaketime\n" : undef;

    local $ENV{TEST_NGINX_LD_PRELOAD} = $clock // $ENV{TEST_NGINX_LD_PRELOAD};
    local @ENV{qw(FAKETIME_NO_CACHE FAKETIME_DISABLE_SHM DONT_FAKE_MONOTONIC
        FAKETIME_DONT_FAKE_MONOTONIC)} = (1) x 4 if $clock;

    # a write beyond the limit shall fail, not kill
    local $SIG{XFSZ} = 'IGNORE';

    my $t = $self->{test} = CompletionAsync::Test->new(
        timeout => 3 * $self->{seconds} + 120, emulator => { delay => 0.5 });
    $self->{jumps} = $t->write_file('clock', "+0\n", 0644);
    local $ENV{FAKETIME_TIMESTAMP_FILE} = $self->{jumps} if $clock;

    $t->allow_killed_workers;
    $t->allow_alarms($CompletionAsync::Chaos::Checker::FULL_DISK) if !$clock;
    $t->write_file('id.key', 'k' x 48, 0600);
    $t->secret('k' x 48);
    $t->define(KEEP => $self->{keep});
    $t->define(SAME => $t->expand($SAME), GLOBALS => join "\n",
        $t->expand('%%TEST_GLOBALS%%') =~ s/ debug;$/ notice;/mr,
        $clock ? map({ "env $_;" } grep { /^FAKETIME|^DONT_FAKE/ } sort keys %ENV) : ());
    $t->run($CONF);
    return $self;
}


sub clock_library ($class) { (glob '/usr/lib/*/faketime/libfaketime.so.1')[0] }
sub test ($self)           { $self->{test} }


sub rules ($self) {
    my %same = (poll => [ [ 50, 1 ] ], keep => $self->{keep});
    return {
        roomy => \%same,
        cache => \%same,
        tight => { %same, keep => 0 },
        quota => { %same, poll => [ [ 20, 1 ] ], submit => [ [ 4, 1 ], [ 100, 60 ] ] },
    };
}


sub configuration ($class) { $CONF }
sub strikes ($self)        { $self->{clock} ? qw(jump jump jump hup kill) : @STRIKES }


# [second, what, a number from 0 to 1 that says whom, or how far]
sub plan ($self) {
    srand $self->{seed};
    my @kinds = $self->strikes;
    my (@plan, @deck);

    for (my $at = 2; $at < $self->{seconds} * 2 / 3; $at += 0.3 + rand 0.8) {
        @deck = sort { $a->[1] <=> $b->[1] } map { [ $_, rand ] } @kinds if !@deck;
        push @plan, [ $at, (shift @deck)->[0], rand ];
    }
    return @plan;
}


# [second, a fault]
sub weather ($self) {
    srand $self->{seed} + 1;
    my (@weather, @deck);

    for (my $at = 1; $at < $self->{seconds}; $at += 0.1 + rand 0.3) {
        @deck = map { $_->[0] } sort { $a->[1] <=> $b->[1] } map { [ $_, rand ] } @WEATHER
            if !@deck;
        my %fault = %{ shift @deck };
        my @kinds = qw(submit submit poll poll cancel any);

        $fault{on} //= $kinds[ rand @kinds ];
        $fault{n} = [ 1, 2 + int rand 4 ];
        if (defined $fault{lie_id}) {
            $fault{lie_id} .= int rand 1e9;
            $fault{n} = 1;
        }
        push @weather, [ $at, \%fault ];
    }
    return @weather;
}


sub run ($self) {
    my $t = $self->{test};
    my %before = (when => 'before', used => $self->_used);

    # what a worker opens once, it has opened
    $self->{start} = time;
    $self->{end} = $self->{start} + $self->{seconds};
    _ended($self->_fork(sub { $self->_client(0, sub ($client) { $client->after }) }));
    $before{descriptors} = $self->_descriptors;

    my @clients = map {
        my $number = $_;
        $self->_fork(sub { $self->_client($number, sub ($client) { $self->_life($client) }) });
    } 1 .. CLIENTS;
    my $weather = $self->_fork(sub { $self->_have_weather });

    for my $strike ($self->plan) {
        my ($at, $what, $whom) = @$strike;
        $self->_wait($at);
        my $method = "_$what";
        $self->$method($whom);
    }
    $self->_wait($self->{seconds});
    my $fine = _ended($weather);
    $t->emulator->clear_faults;
    $t->emulator->resume;
    $t->write_file('calm', '');
    $fine &= _ended($_) for @clients;
    die "a client or the weather died\n" if !$fine;
    # what is kept for a day is still there afterwards
    delete $before{used} if $self->{clock};
    return $self->_journals(\%before);
}


sub figures ($self, $journal) {
    my (%strike, %answer, %fault);
    $strike{ $_->{what} }++ for @{ $journal->{strikes} };
    for my $entry (@{ $journal->{clients} }) {
        my $what = $entry->{vanished} ? 'hung up' : $entry->{status} // "cut ($entry->{error})";
        $answer{"$entry->{action}: $what"}++;
    }
    my @submits = grep { $_->{kind} eq 'submit' } @{ $journal->{upstream} };
    my @faults  = grep { defined $_->{fault} } @{ $journal->{upstream} };
    my @accepted = grep { $_->{action} eq 'submit' && defined $_->{location} }
        @{ $journal->{clients} };

    return "seed $self->{seed}, $self->{seconds} s\n"
        . 'strikes: ' . _table(\%strike)
        . sprintf("upstream: %d requests, %d submits, %d faults\n",
            scalar @{ $journal->{upstream} }, scalar @submits, scalar @faults)
        . sprintf("clients: %d requests, %d answers with an operation\n",
            scalar @{ $journal->{clients} }, scalar @accepted)
        . _table(\%answer);
}


sub _table ($count) { join(', ', map { "$_ x $count->{$_}" } sort keys %$count) . "\n" }


# Processes

sub _fork ($self, $do) {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;

    alarm 0;
    @SIG{qw(ALRM TERM INT)} = ('DEFAULT') x 3;
    my $good = eval { $do->(); 1 };
    warn $@ if !$good;
    POSIX::_exit($good ? 0 : 1);
}


sub _ended ($pid) { waitpid($pid, 0) == $pid && $? == 0 }


sub _client ($self, $number, $do) {
    open my $file, '>>', $self->{test}->testdir . "/client.$number" or die "client.$number: $!\n";
    $do->(CompletionAsync::Chaos::Client->new(
        number => $number,
        file   => $file,
        map { $_ => $self->{$_} } qw(test seed start),
    ));
    close $file or die "client.$number: $!\n";
}


# until so many seconds of the run have passed
sub _wait ($self, $at) { sleep max(0, $self->{start} + $at - time) }


sub _life ($self, $client) {
    $client->storm($self->{end});
    wait_until(sub { $self->_told('calm') }, 3600, 0.1);
    $client->calm(25 + $self->{seconds} / 4);
    $client->after;
}


# Whoever is told by a file does not outlive those who would write it.
sub _told ($self, $name) {
    die "the test has ended\n" if getppid != $self->{test}{owner};
    return -e $self->{test}->testdir . "/$name";
}


sub _have_weather ($self) {
    for my $weather ($self->weather) {
        my ($at, $fault) = @$weather;
        my %fault = %$fault;
        $self->_wait($at);
        $self->{test}->emulator->fault(delete @fault{qw(on n)}, %fault);
    }
}


# Strikes

sub _struck ($self, $what, $do) {
    my $time = time;
    $do->();
    push @{ $self->{strikes} }, { what => $what, time => $time, end => time };
}


sub _kill ($self, $whom) {
    my @pids = $self->{test}->worker_pids(all => 1) or return;
    $self->_struck(kill => sub { kill KILL => $pids[ $whom * @pids ] });
}


sub _hup ($self, $) {
    $self->_struck(hup => sub { kill HUP => $self->{test}->master_pid });
}


sub _usr2 ($self, $) {
    $self->_struck(usr2 => sub { $self->{test}->usr2 or die "no binary upgrade\n" });
}


# Reloads faster than workers come and go, with an upgrade among them for some.
sub _storm ($self, $whom) {
    for my $n (1 .. 6) {
        $self->_hup(0);
        sleep 0.05;
        $self->_usr2(0) if $n == 3 && $whom > 0.5;
    }
}


# Temporary files find no room; what else is written is shorter.
sub _disk ($self, $whom) {
    my $t = $self->{test};
    return if -s $t->testdir . '/error.log' > DISK / 2;

    my $limit = sub ($soft) {
        # one may die meanwhile
        system 'sh', '-c', 'exec prlimit "$@" 2>/dev/null', 'sh', "--fsize=$soft:", '--pid', $_
            for $t->worker_pids;
    };
    $self->_struck(disk => sub {
        $limit->(DISK);
        sleep 1 + $whom;
        $limit->('unlimited');
    });
}


sub _refuse ($self, $whom) {
    $self->_struck(refuse => sub {
        $self->{test}->emulator->stop;
        sleep 0.2 + $whom;
        $self->{test}->emulator->resume;
    });
}


sub _disconnect ($self, $whom) {
    $self->_struck(disconnect => sub {
        $self->{test}->emulator->disconnect(idle => $whom < 0.5 ? 1 : 0);
    });
}


sub _jump ($self, $whom) {
    my $by = $JUMPS[ $whom * @JUMPS ];
    $self->_struck(jump => sub {
        open my $file, '+<', $self->{jumps} or die "$self->{jumps}: $!\n";
        syswrite $file, sprintf "%+07d\n", $by;
    });
}


# What nginx holds

sub _used ($self) { return { map { $_ => scalar $self->{test}->slab($SIZE{$_}) } keys %SIZE } }


# Of each process, without the connections to upstream that are kept.
sub _descriptors ($self) {
    my $t = $self->{test};
    my %count;

    for my $pid ($t->worker_pids) {
        open my $table, '<', "/proc/$pid/net/tcp" or next;
        my $port = sprintf ':%04X', $t->emulator->port;
        my %upstream = map { $_->[9] => 1 } grep { $_->[2] =~ /\Q$port\E$/ }
            map { [ split ' ' ] } <$table>;
        $count{"worker $pid"} = grep { !/^socket:\[([0-9]+)\]$/ || !$upstream{$1} }
            grep { defined } $t->fds($pid);
    }
    return \%count;
}


# What is left, once the checker has nothing to say against it, or after half a minute.
sub _settled ($self, $before) {
    my $t = $self->{test};
    my @clients = map { $self->_lines("client.$_") } 0 .. CLIENTS;
    my $settles = sub ($seconds) {
        my $state;
        wait_until(sub {
            $state = { when => 'after', used => $self->_used,
                descriptors => $self->_descriptors };
            my @left = @{ CompletionAsync::Chaos::Checker->check(
                clients => \@clients, states => [ $before, $state ])->{left} };
            return !grep { $seconds < 10 || /pieces/ } @left;
        }, $seconds, 0.2);
        return $state;
    };

    if (!$self->{clock}) {
        my $pid = $self->_fork(sub {
            $self->_client(1 + CLIENTS, sub ($client) {
                $client->again(sub { $self->_told('settled') });
            });
        });
        $settles->(30);
        $t->write_file('settled', '');
        _ended($pid) or die "the last client died\n";
    }
    return $settles->(5);
}


sub _journals ($self, $before) {
    my $t = $self->{test};
    my $settled = $self->_settled($before);
    my @log = split /\n/, $t->log;

    # made anew, a zone is another life
    for (grep { /it was made anew/ } @log) {
        my ($h, $m, $s) = m{^\S+ (\d+):(\d+):(\d+) } or next;
        my @day = localtime;
        my $at  = POSIX::mktime($s, $m, $h, @day[ 3 .. 5 ]);
        push @{ $self->{strikes} }, { what => 'zone', time => $at - 1, end => $at + 2 };
    }
    my %journal = (
        upstream => [ $t->emulator->journal ],
        clients  => [ map { $self->_lines("client.$_") } 0 .. 1 + CLIENTS ],
        strikes  => $self->{strikes},
        states   => [ $before, $settled ],
    );
    for my $name (sort keys %journal) {
        $t->write_file($name, join '', map { encode_json($_) . "\n" } @{ $journal{$name} });
    }
    return (
        %journal,
        log     => [ @log, map({ split /\n/, $t->read_file("$_.log") } qw(access operations)) ],
        rules   => $self->rules,
        secrets => [ @{ $t->{secrets} } ],
    );
}


sub _lines ($self, $name) { map { decode_json($_) } split /\n/, $self->{test}->read_file($name) }


1;
