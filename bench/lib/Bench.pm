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
C<emulator>, C<files> (names and contents), C<timeout> of the whole program.

C<clients> runs clients.c: so many connections, so many seconds at most, and the requests, each
"METHOD PATH PREFER TEXT". It gives a hash per answer, in the order of the requests: status, sent,
received, done, source, location. C<clients_start> and C<clients_end> are its two halves; the
first returns when every request is on its way.

C<cpu> and C<memory> are the seconds run by, and the bytes of anonymous memory of, these processes.

=cut

use strict;
use warnings;
use v5.36;

use Exporter qw(import);
use File::Basename qw(dirname);
use Test::More;

use CompletionAsync::Test;

our @EXPORT = qw(figure cpu memory);

my $SOURCE = dirname(__FILE__) . '/../clients.c';


sub start ($class, $http, %arg) {
    my %own = map { $_ => delete $arg{$_} } grep { exists $arg{$_} } qw(workers connections);
    my $file = delete $arg{files} // {};
    my $t    = CompletionAsync::Test->new(timeout => 300, %arg);
    my $files = 256 + ($own{connections} // 1024);

    $t->write_file($_, $file->{$_}, 0600) for keys %$file;

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

    if (!-x $program) {
        system($ENV{CC} // 'cc', qw(-O2 -Wall -Wextra -D_GNU_SOURCE -o), $program, $SOURCE) == 0
            or die "clients.c does not compile\n";
    }
    my $file = $t->write_file('requests', join('', map { "$_\n" } @requests));

    open my $pipe, '-|', 'sh', '-c', 'exec "$@" < "$0"',
        $file, $program, $t->port, $connections, $seconds or die "clients: $!\n";

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


sub figure ($name, $format, @value) { note sprintf "%-48s $format", $name, @value }


sub cpu (@pids) {
    my $ns = 0;
    for my $pid (@pids) {
        open my $file, '<', "/proc/$pid/schedstat" or die "process $pid: $!\n";
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
