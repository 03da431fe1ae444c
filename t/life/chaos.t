# Everything at once: workers killed, reloads, upgrades, a full disk, jumps of the clock, upstream's
# faults, clients that hang up. Then the journals of both sides are compared.
#
# TEST_NGINX_CHAOS is the number of seconds, TEST_NGINX_CHAOS_SEED says what strikes when;
# TEST_NGINX_LEAVE=1 keeps the journals.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Chaos;
use CompletionAsync::Chaos::Checker;

my $seconds = $ENV{TEST_NGINX_CHAOS} || 40;
my $seed    = $ENV{TEST_NGINX_CHAOS_SEED} // 1;

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output);


sub holds ($chaos, $accepted) {
    my %journal = $chaos->run;
    my $broken  = CompletionAsync::Chaos::Checker->check(%journal);
    my @given   = grep { $_->{action} eq 'submit' && defined $_->{location} }
        @{ $journal{clients} };

    note $chaos->figures(\%journal);
    cmp_ok scalar @given, '>=', $accepted, 'there was a load';

    for my $invariant (@CompletionAsync::Chaos::Checker::INVARIANTS) {
        my @violation = @{ $broken->{$invariant} };
        is scalar @violation, 0, $invariant
            or diag join "\n", "seed $seed", map { substr $_, 0, 600 } grep { defined } @violation[ 0 .. 9 ];
    }
}


subtest 'a storm' => sub {
    my $chaos = CompletionAsync::Chaos->new(seconds => $seconds * 0.75, seed => $seed);
    holds($chaos, $seconds);
    $chaos->test->done;
};


subtest 'a clock that jumps' => sub {
    plan skip_all => 'there is no libfaketime' if !CompletionAsync::Chaos->clock_library;
    plan skip_all => 'another library is preloaded' if $ENV{TEST_NGINX_LD_PRELOAD};

    my $chaos = CompletionAsync::Chaos->new(seconds => $seconds * 0.25, seed => $seed, clock => 1);
    holds($chaos, $seconds / 4);
    $chaos->test->done;
};


done_testing;
