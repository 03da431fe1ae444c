#!/usr/bin/perl

# Compiles the unit tests of t/unit and runs them: a program each, printing
# TAP.  Needs nginx's headers and a configured build folder, not nginx.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Unit;

my $unit = CompletionAsync::Unit->new(kind => 'unit')
    or plan skip_all => 'no ngx_auto_config.h in the build folder, run make';

diag('no sanitizers') if $unit->plain;

for my $name (CompletionAsync::Unit::tests()) {
    is($unit->program($name, glob "t/unit/{$name.c,$name/*.c}"), '', "$name compiles") or next;

    open my $pipe, '-|', $unit->path($name) . ' 2>&1' or die "$name: $!";
    my ($seen, $plan) = (0);

    while (my $line = <$pipe>) {
        chomp $line;

        if ($line =~ /^(not )?ok \d+ - (.*)$/) {
            ok(!$1, "$name: $2");
            $seen++;

        } elsif ($line =~ /^1\.\.(\d+)$/) {
            $plan = $1;

        } else {
            diag($line);
        }
    }
    close $pipe;

    is($plan, $seen, "$name: ran to its end");
    is($?, 0, "$name: its status");
}

done_testing();
