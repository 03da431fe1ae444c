# How much the tests depend on the clock may get less, and not more.

use strict;
use warnings;
use v5.36;

use File::Temp qw(tempdir);
use FindBin;
use Test::More;

# What t/discipline/times counts in all; to fall below 60.
my $MOST = 39;

my $COUNTER = "$FindBin::Bin/times";


sub counted (@files) {
    open my $pipe, '-|', $COUNTER, @files or die "$COUNTER: $!\n";
    my @line = <$pipe>;
    close $pipe or die "$COUNTER: status $?\n";
    my ($sum) = $line[-1] =~ /^ *([0-9]+) in all$/ or die "no sum: $line[-1]";
    return $sum;
}


# The counter itself: [what it is, code, how many]
my $dir = tempdir('discipline.XXXXXX', TMPDIR => 1, CLEANUP => 1);

for my $case (
    [ 'a sleep',            "sleep 1;\n", 1 ],
    [ 'one in a loop',      "sleep 0.1 while !done();\n", 1 ],
    [ 'two of them',        "sleep 1;\nsleep(\$n);\n", 2 ],
    [ 'a time that is',     "cmp_ok \$r->{time}, '<', 2, 'soon';\n", 1 ],
    [ 'one over two lines', "cmp_ok time - \$start,\n    '>=', 2, 'late';\n", 1 ],
    [ 'another assertion',  "ok \$took < 2, 'quick';\n", 1 ],
    [ 'a gap',              "cmp_ok min(gaps(\@polls)), '>=', 1.9, 'not before';\n", 1 ],
    [ 'no duration',        "cmp_ok scalar \@polls, '>=', 2, 'several';\n", 0 ],
    [ 'no order',           "is \$time, 2, 'as told';\n", 0 ],
    [ 'no assertion',       "my \$late = time > \$end;\n", 0 ],
    [ 'a comment',          "# sleep 1;\nok 1; # sleep\n", 0 ],
    [ 'what is imported',   "use Time::HiRes qw(sleep time);\n", 0 ],
    [ 'a manual',           "=head1 NAME\n\nsleep 1;\n\n=cut\n\nok 1;\n", 0 ],
) {
    my ($name, $code, $expected) = @$case;
    open my $file, '>', "$dir/code" or die "$dir/code: $!\n";
    print {$file} $code;
    close $file;
    is counted("$dir/code"), $expected, "$name: $expected";
}

cmp_ok counted(), '<=', $MOST, 'sleeps and bounds of time' or diag(qx($COUNTER));
cmp_ok counted(), '>', 0, 'which are found';
done_testing;
