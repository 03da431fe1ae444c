package Bench;

=head1 NAME

Bench - what the measuring programs share

=head1 SYNOPSIS

    my $t = Bench->start(<<'EOC', connections => 16384, emulator => { delay => 2 });
    completion_async_provider yandex { zone operations 1m; %%PROVIDER%% }
    server { ... }
    EOC
    my @answers = Bench::clients($t, 100, 10, 'POST /translate - text', ...);
    figure('bytes per client', '%.0f', $bytes);

=head1 DESCRIPTION

C<start> gives a running L<CompletionAsync::Test>, whose configuration is that of a quiet
machine: two workers, an error log without debug lines. Options: C<workers>, C<connections>,
C<emulator>, C<files> (names and contents), C<define> (names and values of the configuration's
%%NAME%%), C<timeout> of the whole program.

C<clients> runs clients.c: so many connections, so many seconds at most, and the requests, each
"METHOD PATH PREFER TEXT". Ahead of them may stand a hash: C<rate>, requests a second, each at its
time; C<port>; C<headers>, lines that all requests have. It gives a hash per answer, in the order of the requests: status, sent,
received, done, source, location. C<clients_start> and C<clients_end> are its two halves; the
first returns when every request is on its way.

C<cpu> and C<memory> are the seconds run by, and the bytes of anonymous memory of, these processes,
all their threads together.

C<wrk> loads one URL in a closed loop: options C<port>, C<path>, C<method>, C<headers>, C<body>,
C<seconds>, C<connections> (16), and C<pids> of who serves it. It gives rate (requests a second), cpu
(seconds of these processes for a request), busy (cores they used) and bad: what was wrong with the
answers, by the C<size> of one, or the empty string.

C<figure> prints a line, C<table> a table: a title, names of columns, rows. Both also go as Markdown
to the file that C<BENCH_TABLES> names.

=cut

use strict;
use warnings;
use v5.36;

use Exporter qw(import);
use File::Basename qw(dirname);
use List::Util qw(max);
use Test::More;

use CompletionAsync::Test;

our @EXPORT = qw(figure table cpu memory median);

my $SOURCE = dirname(__FILE__) . '/../clients.c';


sub start ($class, $http, %arg) {
    my %own = map { $_ => delete $arg{$_} } grep { exists $arg{$_} } qw(workers connections);
    my $file = delete $arg{files} // {};
    my $define = delete $arg{define} // {};
    my $t    = CompletionAsync::Test->new(timeout => 300, %arg);
    my $files = 256 + ($own{connections} // 1024);

    $t->write_file($_, $file->{$_}, 0600) for keys %$file;
    $t->define(%$define);

    my $globals = $t->expand('%%TEST_GLOBALS%%') =~ s/ debug;$/ notice;/mr;
    $t->run(<<"EOC");
$globals
worker_processes @{[ $own{workers} // 2 ]};
worker_rlimit_nofile $files;
events { worker_connections @{[ $own{connections} // 1024 ]}; }
http {
%%TEST_GLOBALS_HTTP%%
access_log off;
keepalive_requests 100000000;
$http
}
EOC
    return $t;
}


sub clients_start ($t, $connections, $seconds, @requests) {
    my $program = $t->testdir . '/clients';
    my %option  = ref $requests[0] ? %{ shift @requests } : ();

    if (!-x $program) {
        system($ENV{CC} // 'cc', qw(-O2 -Wall -Wextra -D_GNU_SOURCE -o), $program, $SOURCE) == 0
            or die "clients.c does not compile\n";
    }
    my $file = $t->write_file('requests', join('', map { "$_\n" } @requests));

    open my $pipe, '-|', 'sh', '-c', 'exec "$@" < "$0"', $file, $program,
        $option{port} // $t->port, $connections, $seconds, $option{rate} // 0,
        $option{headers} // () or die "clients: $!\n";

    my @answers;
    while (defined(my $line = <$pipe>)) {
        last if $line eq "sent\n";
        push @answers, $line;
    }
    return { pipe => $pipe, answers => \@answers };
}


sub clients_end ($clients) {
    my $pipe = $clients->{pipe};
    my @answers;

    for my $line (@{ $clients->{answers} }, <$pipe>) {
        my ($number, @value) = split ' ', $line;
        my %answer;
        @answer{qw(status sent received done source location)} = @value;
        $answer{done} = $answer{done} eq 'done';
        $answers[$number] = \%answer;
    }
    close $pipe;
    return @answers;
}


sub clients ($t, @arg) { clients_end(clients_start($t, @arg)) }


# Of wrk's own counters: a response function would make it slower than what it measures.
sub wrk ($t, %arg) {
    my ($seconds, $connections) = ($arg{seconds}, $arg{connections} // 16);
    my $lua = qq{wrk.method = "@{[ $arg{method} // 'GET' ]}"\n};

    $lua .= sprintf "wrk.body = %s\n", _quoted($arg{body}) if defined $arg{body};
    $lua .= sprintf "wrk.headers[%s] = %s\n", map { _quoted($_) } $_, $arg{headers}{$_}
        for sort keys %{ $arg{headers} // {} };
    my $script = $t->write_file('wrk.lua', $lua . <<'EOL');
done = function(summary)
    local e = summary.errors
    io.write(string.format("\nsummary %d %d %d %d\n", summary.requests, summary.bytes,
        summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
EOL

    my $cpu = cpu(@{ $arg{pids} });
    open my $pipe, '-|', 'wrk', '-t1', "-c$connections", "-d${seconds}s", '-s', $script,
        "http://127.0.0.1:$arg{port}$arg{path}" or die "wrk: $!\n";
    my ($summary) = grep { /^summary / } <$pipe>;
    close $pipe or die "wrk failed\n";
    $cpu = cpu(@{ $arg{pids} }) - $cpu;

    my (undef, $requests, $bytes, $us, $errors) = split ' ', $summary // '';
    die "wrk got no answer from $arg{path}\n" if !$requests;

    # The last answer of each connection may be cut off.
    my $rest = $bytes - $requests * $arg{size};
    my $bad  = $errors || abs($rest) > $connections * $arg{size}
        ? "$errors errors, $requests answers of $arg{size} in $bytes bytes" : '';

    return { rate => $requests / $us * 1e6, cpu => $cpu / $requests, busy => $cpu / $us * 1e6,
        bad => $bad };
}


sub _quoted ($value) { '"' . $value =~ s/(["\\])/\\$1/gr . '"' }


sub median (@value) {
    @value = sort { $a <=> $b } @value;
    return ($value[ $#value / 2 ] + $value[ @value / 2 ]) / 2;
}


sub figure ($name, $format, @value) {
    my $value = sprintf $format, @value;

    note sprintf '%-48s %s', $name, $value;
    _markdown("| $name | $value |\n");
}


sub table ($title, $names, @rows) {
    my @width = map { my $n = $_; max map { length $_->[$n] } $names, @rows } 0 .. $#$names;
    my $format = join '  ', map { "%-${_}s" } @width;

    note $title;
    note sprintf $format, @$_ for $names, @rows;
    _markdown("\n**$title**\n\n", map { '| ' . join(' | ', @$_) . " |\n" } $names,
        [ map { '---' } @$names ], @rows);
}


sub _markdown (@text) {
    my $path = $ENV{BENCH_TABLES} // return;
    open my $file, '>>', $path or die "$path: $!\n";
    print {$file} @text;
    close $file or die "$path: $!\n";
}


sub cpu (@pids) {
    my $ns = 0;
    for my $task (map { glob "/proc/$_/task/*/schedstat" } @pids) {
        open my $file, '<', $task or next;
        $ns += (split ' ', <$file>)[0];
    }
    return $ns / 1e9;
}


sub memory (@pids) {
    my $kb = 0;
    for my $pid (@pids) {
        open my $file, '<', "/proc/$pid/status" or die "process $pid: $!\n";
        local $/;
        my ($anonymous) = <$file> =~ /^RssAnon:\s+([0-9]+) kB/m;
        $kb += $anonymous;
    }
    return $kb * 1024;
}


1;
