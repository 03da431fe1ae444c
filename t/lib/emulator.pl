#!/usr/bin/perl

# Starts the emulator of the upstream by hand; see --help.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib $FindBin::Bin;

use Getopt::Long qw(GetOptionsFromArray);
use Mojo::IOLoop;
use Pod::Usage qw(pod2usage);

use CompletionAsync::Emulator;

STDOUT->autoflush(1);

my %option = (delay => 2);
my @option = qw(
    port=i control-port=i address=s delay=f outcome=s early404=i folder=s api-key=s iam-token=s
    issue-tokens! submit-quota=i poll-quota=i tls-cert=s tls-key=s journal-file=s
    parent=i
);
my @set;
GetOptionsFromArray(\@ARGV, \%option, @option, 'set=s' => \@set, 'help|h') or pod2usage(2);
pod2usage(-verbose => 1, -exitval => 0) if delete $option{help};
pod2usage(2) if @ARGV;

my $parent = delete $option{parent};
my %argument = map { (tr/-/_/r) => $option{$_} } keys %option;
%argument = (%argument, map { /^(\w+)=(.*)$/s ? ($1 => $2) : pod2usage(2) } @set);

my $emulator = CompletionAsync::Emulator->new(%argument);
$emulator->listen;

# The event library handles a signal only when it comes back to Perl.
Mojo::IOLoop->recurring(0.1 => sub (@) {
    Mojo::IOLoop->stop if defined $parent && getppid != $parent;
});
local $SIG{TERM} = local $SIG{INT} = sub { Mojo::IOLoop->stop };
local $SIG{PIPE} = 'IGNORE';

my $address = $argument{address} // '127.0.0.1';
say "control on $address:", $emulator->control_port if defined $emulator->control_port;
say "listening on $address:", $emulator->port;

Mojo::IOLoop->start;

__END__

=head1 SYNOPSIS

emulator.pl --port 8099 --delay 2 --folder b1g... --api-key ...

=head1 OPTIONS

    --port N             port to listen on; 0, the default, picks one
    --address A          127.0.0.1
    --control-port N     another port for /_control/ only, always without TLS
    --delay S            seconds until an operation is done (2)
    --outcome NAME       final, truncated, filter, failed:CODE:MESSAGE, ...
    --early404 N         so many 404s for a new operation
    --folder ID --api-key K --iam-token T --issue-tokens
                         what requests must show
    --submit-quota N --poll-quota N
                         so many a second
    --tls-cert F --tls-key F
    --journal-file F     every request as a line of JSON
    --set NAME=VALUE     any other setting
    --parent PID         end with this process, whose child the emulator must be

Prints "listening on ADDRESS:PORT", and ends on SIGTERM or SIGINT.
What it can do: pod2text t/lib/CompletionAsync/Emulator.pm

=cut
