package CompletionAsync::Test;

=encoding utf8

=head1 NAME

CompletionAsync::Test - nginx with the module, and an emulated upstream, for one test

=head1 SYNOPSIS

    use FindBin;
    use lib "$FindBin::Bin/../lib";
    use Test::More;
    use CompletionAsync::Test;

    my $t = CompletionAsync::Test->new(emulator => { delay => 0.2 });
    $t->run(<<'EOF');
    %%TEST_GLOBALS%%
    events { }
    http {
        %%TEST_GLOBALS_HTTP%%
        completion_async_provider yandex { zone operations 1m; %%PROVIDER%% }
        server { listen 127.0.0.1:%%PORT%%; ... }
    }
    EOF
    my $r = $t->request(POST => '/translate', body => 'text');
    is $r->{status}, 202;
    $t->done;

=head1 CONFIGURATION

C<%%PORT%%>, C<%%PORT_1%%>, ... ports of ours; C<%%TESTDIR%%>; C<%%UPSTREAM%%> the emulator's
URL; C<%%FOLDER%%>, C<%%API_KEY_FILE%%>; C<%%TEST_GLOBALS%%> ahead of everything and
C<%%TEST_GLOBALS_HTTP%%> in the http block; C<%%PROVIDER%%>: folder, api_key, submit_url and
operations_url of the emulator; C<%%METRICS%%> a server that C<metrics> asks. Any other name dies, unless given to C<define(NAME =E<gt> VALUE)>.

=head1 ENVIRONMENT

    TEST_NGINX_BINARY         nginx, from PATH and /usr/sbin
    TEST_NGINX_MODULE         build/ngx_http_completion_async_module.so
    TEST_NGINX_STATIC         the module is linked in: no load_module
    TEST_NGINX_GLOBALS        added to the main context
    TEST_NGINX_GLOBALS_HTTP   added to the http block
    TEST_NGINX_EVENTS         "use" of the events block: epoll, poll, select
    TEST_NGINX_WORKERS        worker_processes, whatever the test says
    TEST_NGINX_MASTER         master_process, "off" for a single process
    TEST_NGINX_LD_PRELOAD     LD_PRELOAD of nginx only, for sanitizers
    TEST_NGINX_LEAVE          keep the directory, and say where it is
    ASAN_OPTIONS, UBSAN_OPTIONS, LSAN_OPTIONS   kept, with a log_path added

=head1 FUNCTIONS

=head2 Setting up

    new(%opt)               timeout (120, of the whole test), user (root | www-data, if we are
                            root; www-data), emulator ({settings}, or 0 for none),
                            path (/translate): of submits
    testdir, port($n), folder, api_key, emulator, master_pid
    write_file($name, $content, $mode)          returns the path; expands nothing
    secret_file($name, $content)                the same, for the workers alone to read
    read_file($name), log (error.log), access_log
    define(NAME => VALUE), expand($template)
    secret(@strings)        none of them may appear in any log, or output of nginx
    certificate($name)      (cert, key): a self-signed one for localhost and 127.0.0.1
    closed_port, black_hole                     ports that refuse, or never complete, connections

=head2 nginx

    conf($template)         writes nginx.conf
    run($template)          starts nginx, with that configuration or the one written
    nginx_t($template)      (exit status, output) of nginx -t; 128 + N for a signal
    nginx_v                 what nginx -V says
    module($name)           the path of one of nginx's dynamic modules, or undef
    http_conf($http)        a template: globals and events around this http block
    location_conf(%opt)     a template: one provider, "yandex", and /translate of it; lines of each
                            block: main, events, http, provider (%%PROVIDER%%), server, location;
                            zone (2m), its size; listen, parameters
    run_location(%opt)      starts nginx with that
    stop(cut => 0)          SIGQUIT, then harder; true if it ended by itself within 10 s.
                            With cut, upstream goes away after 2 s, if a transfer still waits
    reload(wait_old => 0, timeout => 10)        true when the new workers serve, and with
                            wait_old the old ones are gone
    reload_refused          the reload must fail: returns its [emerg] lines, which are allowed
    usr2(quit => 1)         binary upgrade; returns the new master's pid
    worker_pids(all => 0)   those that serve; with "all" those that shut down, too
    sender                  the worker whose transfer to the emulator lasts
    kill_worker($pid, $signal)                  KILL; waits for the new one, returns its pid
    allow_killed_workers    "exited on signal 9" and "was locked by" are then no failure
    allow_alarms($pattern)  lines of the error log that are then no failure
    fd_count($pid), fds($pid)
    connections             how many of clients, whoever closed them, nginx has not closed
    slab($bytes)            the zone of that size: { size of a slot => how many are in use }; undef
                            where a process's memory cannot be read

=head2 Clients

    request(METHOD, $path, %opt)                a response; see CompletionAsync::Client
    http($bytes, %opt)      the same for raw bytes
    client(%opt)            a connection; start(METHOD, $path, %opt) one with a request sent
    concurrent([METHOD, $path, %opt], ...)      all at once; their responses, in order
    stream($path, %opt)     a client whose event($timeout) gives one event after the other
    hang_up(METHOD, $path, at => N, reset => 0, %opt)
                            sends the first N bytes (all, if N is missing) and hangs up
    metrics                 what the server of %%METRICS%% says: a L<CompletionAsync::Metrics>
    until_waiting($n)       until so many requests wait, streams and submits under way included;
                            dies if they do not
    wait_until($condition, $seconds, $interval) a function, to be imported: what the condition
                            returns, when it is true or the time (10 s) is over; asked every
                            0.01 s

C<port> (that of %%PORT%%), C<timeout> (10), C<tls> and C<from> may be among the options of each.

=head2 Operations

    post($text, path => ..., %opt)              a response: to that text ("text"), as text/plain
    submit($text, path => ..., %opt)            the same, which must be accepted: { location, id,
                            upstream, response }, with upstream's own id of it
    poll($location, %opt)   a response to GET
    poll_until_done($location, timeout => 10, interval => 0.05, %opt)
                            the first response that is done; the last one, if none was
    refused($response, $status, $code, $name)   asserts both, by two tests, and returns
                            the response

=head2 The end

    done                    stops everything (upstream goes away if nginx waits for it: use stop
                            to see that it ends by itself), asserts that the logs are clean,
                            done_testing

=cut

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Handle;
use List::Util qw(any);
use POSIX qw(WNOHANG);
use Scalar::Util qw(weaken);
use Test::More;
use Time::HiRes qw(sleep);

use CompletionAsync::Client qw(wait_until);
use CompletionAsync::Metrics;
use CompletionAsync::Upstream;

our @EXPORT_OK = qw(wait_until);

my $ROOT    = abs_path(dirname(__FILE__) . '/../../..');
my $METRICS = 90;    # of our ports
my %LIVE;


END {
    local $?;
    $_->_tear_down for grep { defined && $_->{owner} == $$ } values %LIVE;
}


sub new ($class, %arg) {
    my $self = bless {
        owner    => $$,
        user     => 'www-data',
        path     => '/translate',
        ports    => [],
        secrets  => [],
        defined  => {},
        exits    => [],
        expected => {},
        output   => '',
        kept     => [],
        %arg,
    }, $class;

    weaken($LIVE{$self} = $self);
    $self->{dir} = tempdir('nginx-completion-XXXXXX', TMPDIR => 1);
    # The workers may be another user's: they read what stands here, whatever the caller's mask,
    # and their sanitizer reports would vanish otherwise.
    umask 0022;
    chmod 0755, $self->{dir};
    mkdir "$self->{dir}/sanitizer";
    chmod 01777, "$self->{dir}/sanitizer";

    $self->_watch($self->{timeout} // 120);
    $self->{folder}  = 'b1g' . _random(17);
    $self->{api_key} = 'AQVN' . _random(36);
    $self->secret(@$self{qw(folder api_key)});
    $self->secret_file('api.key', "$self->{api_key}\n");

    my $setting = delete $self->{emulator};
    if (!defined $setting || $setting) {
        my %setting = (folder => $self->{folder}, api_key => $self->{api_key}, %{ $setting // {} });
        $self->{emulator} = CompletionAsync::Upstream->start(%setting);
        $self->_guard('+', $self->{emulator}->pid);
    }
    return $self;
}


sub DESTROY ($self) {
    $self->_tear_down if $self->{owner} == $$ && ${^GLOBAL_PHASE} ne 'DESTRUCT';
}


sub testdir ($self)    { $self->{dir} }
sub folder ($self)     { $self->{folder} }
sub api_key ($self)    { $self->{api_key} }
sub emulator ($self)   { $self->{emulator} }
sub master_pid ($self) { $self->{master} }
sub secret ($self, @strings) { push @{ $self->{secrets} }, @strings }
sub define ($self, %value)   { $self->{defined}{$_} = $value{$_} for keys %value }
sub log ($self)              { $self->read_file('error.log') }
sub access_log ($self)       { $self->read_file('access.log') }
sub allow_alarms ($self, $pattern) { $self->{allowed} = $pattern }
sub allow_killed_workers ($self) { $self->{killed_allowed} = 1 }


sub port ($self, $n = 0) {
    if (!$self->{ports}[$n]) {
        my ($port, $keep) = CompletionAsync::Upstream->closed_port;
        $self->{ports}[$n] = $port;
        push @{ $self->{kept} }, $keep;
    }
    return $self->{ports}[$n];
}


sub closed_port ($self) {
    my ($port, $keep) = CompletionAsync::Upstream->closed_port;
    push @{ $self->{kept} }, $keep;
    return $port;
}


sub black_hole ($self) {
    my ($port, $keep) = CompletionAsync::Upstream->black_hole;
    push @{ $self->{kept} }, $keep;
    return $port;
}


sub write_file ($self, $name, $content, $mode = undef) {
    my $path = "$self->{dir}/$name";

    utf8::encode($content) if !utf8::downgrade($content, 1);
    open my $file, '>', $path or die "$path: $!\n";
    chmod $mode, $path if defined $mode;
    print {$file} $content;
    close $file or die "$path: $!\n";
    return $path;
}


sub module ($self, $name) {
    my ($path) = $self->nginx_v =~ /--modules-path=(\S+)/ or return;
    my $file = "$path/ngx_http_${name}_module.so";
    return -e $file ? $file : undef;
}


sub secret_file ($self, $name, $content) {
    my $path = $self->write_file($name, $content, 0600);
    chown((getpwnam($self->{user}))[ 2, 3 ], $path) if $> == 0;
    return $path;
}


sub read_file ($self, $name) {
    open my $file, '<', "$self->{dir}/$name" or return '';
    local $/;
    return <$file> // '';
}


sub certificate ($self, $name) {
    my ($cert, $key) = map { "$self->{dir}/$name.$_" } qw(crt key);
    my @command = (
        qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2),
        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', $key, '-out', $cert,
    );
    my $pid = $self->_spawn('openssl.log', {}, @command);
    waitpid $pid, 0;
    die "openssl: " . $self->read_file('openssl.log') if $?;
    return ($cert, $key);
}


# Configuration

sub expand ($self, $template) {
    my $replace = sub ($name) {
        return $self->{defined}{$name} if defined $self->{defined}{$name};
        return $self->port($1 // 0) if $name =~ /^PORT(?:_([0-9]+))?$/;
        return $self->{dir} if $name eq 'TESTDIR';
        return $self->{emulator}->url if $name eq 'UPSTREAM';
        return $self->{folder} if $name eq 'FOLDER';
        return "$self->{dir}/api.key" if $name eq 'API_KEY_FILE';
        return $self->_globals if $name eq 'TEST_GLOBALS';
        return $self->_globals_http if $name eq 'TEST_GLOBALS_HTTP';
        return $self->_provider if $name eq 'PROVIDER';
        return $self->_metrics if $name eq 'METRICS';
        die "unknown %%$name%% in a configuration\n";
    };
    return $template =~ s/%%(\w+)%%/$replace->($1)/ger;
}


sub _globals ($self) {
    my @line = ("pid $self->{dir}/nginx.pid;", "error_log $self->{dir}/error.log debug;");
    my $module = $ENV{TEST_NGINX_MODULE} // "$ROOT/build/ngx_http_completion_async_module.so";

    $module = "$ROOT/$module" if $module !~ m{^/};
    push @line, "load_module $module;" if !$ENV{TEST_NGINX_STATIC};
    push @line, "user $self->{user};" if $> == 0;

    # A new binary gets only the environment that is named.
    push @line, map { "env $_;" } sort keys %{ $self->_environment };
    return join "\n", @line, $ENV{TEST_NGINX_GLOBALS} // ();
}


sub _globals_http ($self) {
    my $built = $self->nginx_v;
    my @temp  = grep { $built !~ /--without-http_$_\_module/ } qw(proxy fastcgi uwsgi scgi);

    return join "\n",
        "root $self->{dir};",
        "access_log $self->{dir}/access.log;",
        map({ "${_}_temp_path $self->{dir}/${_}_temp;" } 'client_body', @temp),
        $ENV{TEST_NGINX_GLOBALS_HTTP} // ();
}


sub _provider ($self) {
    my $url = $self->{emulator}->url;
    return "folder $self->{folder}; api_key file:$self->{dir}/api.key; "
        . "submit_url $url/foundationModels/v1/completionAsync; operations_url $url/operations;";
}


# All workers share its socket: one that is stopped does not hold up who asks.
sub _metrics ($self) {
    return 'server { listen 127.0.0.1:' . $self->port($METRICS) . '; access_log off; '
        . 'location / { completion_async_metrics; } }';
}


sub http_conf ($self, $http) {
    return "%%TEST_GLOBALS%%\nevents { }\nhttp {\n%%TEST_GLOBALS_HTTP%%\n$http\n}\n";
}


sub location_conf ($class, %arg) {
    my %of = (map({ $_ => '' } qw(main events http server listen location)),
        zone => '2m', provider => '%%PROVIDER%%', %arg);
    return <<"EOC";
$of{main}
%%TEST_GLOBALS%%
events { $of{events} }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    $of{http}
    completion_async_provider yandex {
        zone operations $of{zone};
        $of{provider}
    }
    server {
        listen 127.0.0.1:%%PORT%% $of{listen};
        $of{server}
        location /translate {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
            $of{location}
        }
    }
}
EOC
}


sub run_location ($self, %arg) { $self->run($self->location_conf(%arg)) }


sub conf ($self, $template) {
    my $conf = $self->expand($template);
    my %main = (
        worker_processes => $ENV{TEST_NGINX_WORKERS},
        master_process   => $ENV{TEST_NGINX_MASTER},
    );
    # A single process would leave the sockets of the others' "reuseport" alone.
    $main{worker_processes} = 1 if ($main{master_process} // '') eq 'off';

    for my $directive (grep { defined $main{$_} } sort keys %main) {
        $conf =~ s/^\s*\Q$directive\E\s[^;]*;//m;
        $conf = "$directive $main{$directive};\n$conf";
    }
    my $use = $ENV{TEST_NGINX_EVENTS};
    $conf =~ s/^events\s*\{\K(?!\s*use\s)/ use $use;/m if defined $use;
    # all that select() can tell apart
    $conf =~ s/worker_connections\s+\K([0-9]+)/$1 > 1024 ? 1024 : $1/e
        if ($use // '') eq 'select';
    $self->{single} = $conf =~ /^\s*master_process\s+off/m;
    return $self->write_file('nginx.conf', $conf);
}


sub _binary ($self) {
    return $self->{binary} //= $ENV{TEST_NGINX_BINARY} // do {
        my ($found) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';
        $found // die "there is no nginx; TEST_NGINX_BINARY says which one\n";
    };
}


sub nginx_v ($self) {
    return $self->{built} //= do {
        my $pid = $self->_spawn('version.log', {}, $self->_binary, '-V');
        waitpid $pid, 0;
        $self->read_file('version.log');
    };
}


# "nginx -t" and "nginx -T" leave what they read to the end of the process.
sub _environment ($self, %arg) {
    my $preload = $ENV{TEST_NGINX_LD_PRELOAD};
    my %environment = defined $preload && $preload ne '' ? (LD_PRELOAD => $preload) : ();

    for my $name (qw(ASAN UBSAN LSAN)) {
        my $options = $ENV{"${name}_OPTIONS"};
        next if !%environment && !defined $options;
        my @path = $name eq 'LSAN' ? () : 'log_path=' . "$self->{dir}/sanitizer/" . lc $name;
        my $value = join ':', grep { defined && $_ ne '' } $options, @path;
        $environment{"${name}_OPTIONS"} = $value if $value ne '';
    }
    $environment{ASAN_OPTIONS} .= ':detect_leaks=0'
        if $environment{ASAN_OPTIONS} && !($arg{leaks} // 1);
    return \%environment;
}


# nginx

sub nginx_t ($self, $template) {
    my $log = 'nginx_t.log';
    $self->write_file('nginx_t.conf', $self->expand($template));

    my $pid = $self->_spawn(
        $log, $self->_environment(leaks => 0), $self->_binary, '-t', '-p', "$self->{dir}/",
        '-c', "$self->{dir}/nginx_t.conf", '-e', 'stderr',
    );
    $self->_guard('+', $pid);
    waitpid $pid, 0;
    my $status = _exit_status($?);
    $self->_guard('-', $pid);

    my $output = $self->read_file($log);
    $self->{output} .= $output;
    return ($status, $output);
}


sub run ($self, $template = undef) {
    $self->conf($template) if defined $template;
    unlink "$self->{dir}/nginx.pid";
    my $logged = length $self->log;

    my $started = $self->_spawn(
        'stderr.log', $self->_environment, $self->_binary, '-p', "$self->{dir}/",
        '-c', "$self->{dir}/nginx.conf", '-e', "$self->{dir}/error.log",
    );
    # It becomes a daemon, since a binary upgrade is refused while the parent is the one of
    # the start; being a subreaper makes it our child again.
    waitpid $started, 0;
    my $status = _exit_status($?);
    my $ready  = $status == 0 && wait_until(sub {
        my $pid = $self->_pid_file // return 0;
        $self->_guard('+', $self->{master} = $pid) if !defined $self->{master};
        return -1 if substr($self->log, $logged) =~ /exited on signal/;
        return $self->{single} || $self->worker_pids && !$self->_newborn;
    }, 20);
    if (!$ready || $ready < 0) {
        diag($self->read_file('stderr.log'), $self->_loud);
        die $status ? "nginx does not start (exit status $status)\n" : "no worker serves\n";
    }
    return $self;
}


sub stop ($self, %arg) {
    my $pid = $self->{master} // return 1;
    my $good = 1;

    if ($arg{cut} && $self->{emulator}) {
        kill QUIT => $pid;
        return 1 if wait_until(sub { $self->_gone($pid) }, 2);
        $self->{emulator}->stop;
    }
    for my $step ([ QUIT => 10 ], [ TERM => 5 ], [ KILL => 5 ]) {
        my ($signal, $seconds) = @$step;
        my @workers = $signal eq 'KILL' ? $self->worker_pids(all => 1) : ();

        $good = 0 if $signal ne 'QUIT';
        kill $signal => $pid, @workers;
        last if wait_until(sub { $self->_gone($pid) }, $seconds);
    }
    return $good;
}


sub reload ($self, %arg) {
    my @old   = $self->worker_pids(all => 1);
    my $start = length $self->log;

    kill HUP => $self->{master} or return 0;
    my $done = wait_until(sub {
        my $news = substr $self->log, $start;
        return -1 if $news =~ /\[emerg\]/;

        my %serves = map { $_ => 1 } $self->worker_pids;
        my %exists = map { $_ => 1 } $self->worker_pids(all => 1);
        return 0 if $self->_newborn || any { $serves{$_} } @old;
        return 0 if $arg{wait_old} && any { $exists{$_} } @old;
        return scalar %serves;
    }, $arg{timeout} // 10);
    return $done > 0;
}


sub reload_refused ($self) {
    my $start = length $self->log;
    my $emerg = sub { grep { /\[emerg\]/ } split /\n/, substr $self->log, $start };

    kill HUP => $self->{master};
    wait_until(sub { scalar(() = $emerg->()) });
    my @lines = $emerg->();
    $self->{expected}{$_} = 1 for @lines;
    return @lines;
}


sub usr2 ($self, %arg) {
    my $old = $self->{master};
    my $new;

    kill USR2 => $old;
    wait_until(sub {
        $new = $self->_pid_file;
        return defined $new && $new != $old && $self->_workers_of($new);
    }, 15) or return;
    $self->_guard('+', $new);
    $self->{master} = $new;

    if ($arg{quit} // 1) {
        kill QUIT => $old;
        wait_until(sub { $self->_gone($old) }, 30);
    }
    return $new;
}


sub _pid_file ($self) { ($self->read_file('nginx.pid') =~ /^([0-9]+)$/m)[0] }


sub worker_pids ($self, %arg) {
    return if !defined $self->{master};
    return $self->{master} if $self->{single};
    return $self->_workers_of($self->{master}, %arg);
}


sub _workers_of ($self, $master, %arg) {
    return grep {
        my $title = _title($_);
        $title =~ /^nginx: worker process/ && ($arg{all} || $title !~ /is shutting down/);
    } _children($master);
}


# A child whose title is still the master's has not begun to serve.
sub _newborn ($self) {
    my $known = $self->_pid_file // 0;
    return any { $_ != $known && _title($_) !~ /^nginx: (worker|cache)/ }
        _children($self->{master});
}


# Seen several times: a poll of another worker may come by.
sub sender ($self) {
    my $port = sprintf '%04X', $self->{emulator}->port;
    my %seen;

    for (1 .. 6) {
        my %to;
        $self->{emulator}->disconnect(idle => 1);
        sleep 0.03;

        open my $tcp, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
        while (<$tcp>) {
            my ($remote, $state, $inode) = (split ' ')[2, 3, 9];
            $to{"socket:[$inode]"} = 1 if $remote =~ /:$port$/ && $state eq '01';
        }

        for my $pid ($self->worker_pids) {
            $seen{$pid}++ if grep { $to{$_ // ''} } $self->fds($pid);
        }
    }

    my ($sender) = sort { $seen{$b} <=> $seen{$a} } keys %seen;
    return $sender;
}


sub kill_worker ($self, $pid = ($self->worker_pids)[0], $signal = 'KILL') {
    my %old = map { $_ => 1 } $self->worker_pids;

    kill $signal => $pid or return;
    wait_until(sub { _state($pid) =~ /^[Z-]/ && $self->worker_pids >= %old && !$self->_newborn });
    my ($new) = grep { !$old{$_} } $self->worker_pids;
    return $new;
}


sub fds ($self, $pid) {
    opendir my $dir, "/proc/$pid/fd" or return;
    return map { readlink "/proc/$pid/fd/$_" } grep { /^[0-9]+$/ } readdir $dir;
}


# From a worker's memory; the slab's head is the first in a zone.
sub slab ($self, $bytes) {
    my ($pid) = $self->worker_pids or return;
    open my $maps, '<', "/proc/$pid/maps" or return;
    open my $memory, '<:raw', "/proc/$pid/mem" or return;

    no warnings 'portable';
    my @areas  = map { /^(\w+)-(\w+) (?:rw|--)-s / ? [ hex $1, hex $2 ] : () } <$maps>;
    my ($area) = grep { $_->[1] - $_->[0] == $bytes } @areas;
    return if !$area;

    my $read = sub ($at, $length) {
        sysseek $memory, $at, 0;
        sysread $memory, my ($copy), $length;
        return $copy;
    };
    my ($shift, $stats) = unpack 'x24 Q x40 Q', $read->($area->[0], 80);
    my @used = unpack '(x8 Q x16)*', $read->($stats, 32 * (12 - $shift));
    return { map { 1 << $shift + $_ => $used[$_] } 0 .. $#used };
}


sub fd_count ($self, $pid) { scalar(() = $self->fds($pid)) }


# A socket whose process has closed it has no inode, whatever the kernel still has to send on it.
sub connections ($self) {
    my ($port, $listen) = (sprintf('%04X', $self->port), '0A');
    open my $tcp, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    my @fields = map { [split] } <$tcp>;
    return scalar grep { $_->[1] =~ /:$port$/ && $_->[3] ne $listen && $_->[9] } @fields;
}


# Clients

sub client ($self, %arg) {
    my %own = map { $_ => $arg{$_} } grep { defined $arg{$_} } qw(port timeout tls from);
    return CompletionAsync::Client->new(port => $self->port, %own);
}


sub start ($self, $method, $path, %arg) { $self->client(%arg)->start($method, $path, %arg) }


sub request ($self, $method, $path, %arg) {
    return $self->start($method, $path, close => 1, %arg)->response;
}


sub http ($self, $bytes, %arg) { $self->client(%arg)->raw($bytes)->response }


sub concurrent ($self, @requests) {
    my $timeout = 10;
    my @clients = map {
        my ($method, $path, %arg) = @$_;
        $timeout = $arg{timeout} if ($arg{timeout} // 0) > $timeout;
        $self->start($method, $path, close => 1, %arg);
    } @requests;

    CompletionAsync::Client->gather(\@clients, $timeout);
    return map { $_->response } @clients;
}


sub stream ($self, $path, %arg) {
    my $method = delete $arg{method} // 'GET';
    my %headers = (Accept => 'text/event-stream', %{ delete $arg{headers} // {} });
    return $self->start($method, $path, headers => \%headers, %arg);
}


sub hang_up ($self, $method, $path, %arg) {
    my $client = $self->client(%arg);
    my $bytes  = $client->format($method, $path, %arg);
    $client->hang_up(substr($bytes, 0, $arg{at} // length $bytes), $arg{reset} // 0);
}


sub metrics ($self) {
    return CompletionAsync::Metrics->scrape($self, '/', port => $self->port($METRICS));
}


sub until_waiting ($self, $n) {
    my $waiting;
    wait_until(sub { ($waiting = $self->metrics->sum('waiters')) == $n })
        or die "$waiting requests wait, and not $n\n";
}


# Operations

sub post ($self, $text = 'text', %arg) {
    my %headers = ('Content-Type' => 'text/plain', %{ delete $arg{headers} // {} });
    my $path = delete $arg{path} // $self->{path};
    return $self->request(POST => $path, headers => \%headers, body => $text, %arg);
}


sub submit ($self, @arg) {
    my $r = $self->post(@arg);
    my ($location, $id) = ($r->header('Location') // '') =~ m{^(.*/([^/]+))$};
    die 'not accepted: ', $r->{error} // "$r->{status} $r->{body}", "\n" if !defined $id;

    my ($upstream) = map { $_->{operation} } $self->{emulator}->journal(kind => 'submit', last => 1);
    return { location => $location, id => $id, upstream => $upstream, response => $r };
}


sub poll ($self, $location, %arg) { $self->request(GET => $location, %arg) }


sub poll_until_done ($self, $location, %arg) {
    my ($timeout, $interval) = (delete $arg{timeout} // 10, delete $arg{interval} // 0.05);
    my $r;

    wait_until(sub {
        $r = $self->poll($location, %arg);
        my $json = $r->json;
        return ref $json eq 'HASH' && $json->{done};
    }, $timeout, $interval);
    return $r;
}


sub refused ($self, $r, $status, $code, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->{status}, $status, $name or diag($r->{error} // $r->{raw});
    is eval { $r->json->{code} }, $code, "... as $code";
    return $r;
}


# The end

sub done ($self) {
    my $graceful = $self->stop(cut => 1);
    my ($exit)   = (grep({ $_ } @{ $self->{exits} }), 0);
    my $lived    = $self->_quit_emulator;

    ok $graceful && $exit == 0 && $lived, 'nginx and the emulator ended as told'
        or diag("nginx: graceful $graceful, exit $exit; emulator: $lived");
    is join("\n", $self->_alarms), '', 'nothing alarming in the error log';
    is join("\n", $self->_reports), '', 'no sanitizer report';
    is join("\n", $self->_leaks), '', 'no secret in a log';

    diag($self->_loud) if !Test::More->builder->is_passing;
    $self->_tear_down;
    done_testing if !Test::More->builder->has_plan;
}


sub _alarms ($self) {
    return grep {
        /^\S+ \S+ \[(?:alert|emerg|crit)\]/ || /exited on signal|exited with (?:fatal )?code [^0]/
    } grep {
        !$self->{expected}{$_}
            && !($self->{allowed} && /$self->{allowed}/)
            && !($self->{killed_allowed} && /exited on signal 9|was locked by/)
    } split /\n/, $self->log;
}


sub _reports ($self) {
    my @report;
    for my $name (map { s{.*/}{}r } glob "$self->{dir}/sanitizer/*") {
        push @report, "$name:\n" . $self->read_file("sanitizer/$name");
    }
    my $text = $self->read_file('stderr.log') . $self->log . $self->{output};
    push @report, $text =~ /^(.*(?:Sanitizer|runtime error:|==[0-9]+== ).*)$/mg;
    return @report;
}


sub _leaks ($self) {
    my @leak;
    for my $secret (grep { length } @{ $self->{secrets} }) {
        for my $name (qw(error.log access.log stderr.log)) {
            my ($line) = grep { index($_, $secret) >= 0 } split /\n/, $self->read_file($name);
            push @leak, "$name: $line" if defined $line;
        }
        push @leak, 'nginx -t' if index($self->{output}, $secret) >= 0;
    }
    return @leak;
}


# What the error log says above debug and info, as far as a reader wants it.
sub _loud ($self) {
    my @line = grep { /\[(?:warn|error|crit|alert|emerg)\]/ } split /\n/, $self->log;
    splice @line, 0, -30 if @line > 30;
    return join "\n", @line, '';
}


sub _quit_emulator ($self) {
    my $emulator = $self->{emulator};
    return 1 if !$emulator || !defined $emulator->pid;

    $self->_guard('-', $emulator->pid);
    return $emulator->quit;
}


sub _tear_down ($self) {
    return if $self->{torn}++;

    $self->stop;
    $self->_quit_emulator;
    if ($self->{guard}) {
        local $?;
        print { $self->{guard} } "done\n";
        waitpid $self->{guard_pid}, 0;
    }
    delete $LIVE{$self};
    alarm 0 if !%LIVE;

    return diag("left: $self->{dir}") if $ENV{TEST_NGINX_LEAVE};
    remove_tree($self->{dir});
}


# Processes

sub _spawn ($self, $output, $environment, @command) {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;

    $ENV{$_} = $environment->{$_} for keys %$environment;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', "$self->{dir}/$output" or POSIX::_exit(1);
    open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
    exec { $command[0] } @command or POSIX::_exit(127);
}


# As a shell has it.
sub _exit_status ($status) { $status & 127 ? 128 + ($status & 127) : $status >> 8 }


sub _gone ($self, $pid) {
    local $?;
    my $reaped = waitpid $pid, WNOHANG;
    return 0 if $reaped == 0 || $reaped < 0 && _state($pid) !~ /^[Z-]/;

    push @{ $self->{exits} }, $? if $reaped == $pid;
    $self->_guard('-', $pid);
    delete $self->{master} if $pid == ($self->{master} // 0);
    return 1;
}


sub _stat ($pid) {
    open my $file, '<', "/proc/$pid/stat" or return ('-', 0);
    my $stat = <$file> // return ('-', 0);
    # The name in parentheses may hold anything.
    my ($state, $parent) = $stat =~ /.*\) (\S) ([0-9]+)/s;
    return ($state, $parent);
}


sub _state ($pid) { (_stat($pid))[0] }


sub _children ($parent) {
    my @pids = map { m{([0-9]+)$} } glob '/proc/[0-9]*';
    return grep { my ($state, $of) = _stat($_); $of == $parent && $state ne 'Z' } @pids;
}


sub _title ($pid) {
    open my $file, '<', "/proc/$pid/cmdline" or return '';
    return <$file> // '';
}


# A child that ends our processes should the test itself be killed; what it may end is told
# it by pid, and the end of the pipe is the end of the test.
sub _watch ($self, $timeout) {
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        close $write;
        close $_->{guard} for grep { $_ && $_->{guard} } values %LIVE;
        $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
        open $_, '+<', '/dev/null' for (\*STDIN, \*STDOUT, \*STDERR);
        my %pid;
        while (my $line = <$read>) {
            my ($sign, $of) = $line =~ /^([+-])([0-9]+)$/ or POSIX::_exit(0);
            $sign eq '+' ? $pid{$of} = 1 : delete $pid{$of};
        }
        kill TERM => keys %pid;
        wait_until(sub { !any { _state($_) !~ /^[Z-]/ } keys %pid }, 2);
        kill KILL => grep { _state($_) !~ /^[Z-]/ } keys %pid;
        remove_tree($self->{dir}) if %pid && !$ENV{TEST_NGINX_LEAVE};
        POSIX::_exit(0);
    }
    close $read;
    _become_subreaper();
    $write->autoflush(1);
    @$self{qw(guard guard_pid)} = ($write, $pid);

    $SIG{PIPE} = 'IGNORE';
    $SIG{INT} = $SIG{TERM} = sub ($name) {
        diag("SIG$name");
        exit 1;
    };
    $SIG{ALRM} = sub (@) {
        diag("the test takes longer than $timeout s");
        diag($self->_loud);
        exit 1;
    };
    alarm $timeout;
}


# Elsewhere, how nginx ended is not known, and the rest works the same.
sub _become_subreaper () {
    my %prctl = (x86_64 => 157, aarch64 => 167, riscv64 => 167, i686 => 172);
    my $prctl = $prctl{ (POSIX::uname)[4] };
    syscall $prctl, 36, 1, 0, 0, 0 if defined $prctl;
}


sub _guard ($self, $sign, $pid) { print { $self->{guard} } "$sign$pid\n" }


sub _random ($count) { join '', map { ('a' .. 'z', 0 .. 9)[ rand 36 ] } 1 .. $count }


1;
