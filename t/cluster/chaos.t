# Three nodes and their Redis, everything at once: nodes that are killed, a server that stands still, is
# killed, forgets, has another password. Then the journals of clients and of upstream are compared.
#
# TEST_NGINX_CHAOS is the number of seconds, TEST_NGINX_CHAOS_SEED says what strikes when,
# TEST_NGINX_CHAOS_NODES how many nodes there are.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Chaos::Checker;
use CompletionAsync::Chaos::Nodes;

my $seconds = $ENV{TEST_NGINX_CHAOS} || 20;
my $seed    = $ENV{TEST_NGINX_CHAOS_SEED} // 1;
my $chaos   = CompletionAsync::Chaos::Nodes->new(seconds => $seconds, seed => $seed,
    nodes => $ENV{TEST_NGINX_CHAOS_NODES} || 3);

my %journal = $chaos->run;
my $broken  = CompletionAsync::Chaos::Checker->check(%journal);
my @given   = grep { $_->{action} eq 'submit' && defined $_->{location} } @{ $journal{clients} };

note $chaos->figures(\%journal);
note sprintf "%.2f to %.2f: %s%s", @$_{qw(time end what)}, $_->{forgot} ? ", and it forgot" : "" for @{ $journal{strikes} };
cmp_ok scalar @given, '>=', $seconds, 'there was a load';

# what a zone holds is looked at where there is one
for my $invariant (grep { $_ ne 'left' } @CompletionAsync::Chaos::Checker::INVARIANTS) {
    my @violation = @{ $broken->{$invariant} };
    is scalar @violation, 0, $invariant
        or diag join "\n", "seed $seed", map { substr $_, 0, 900 } grep { defined } @violation[ 0 .. 5 ];
}

$chaos->done;
