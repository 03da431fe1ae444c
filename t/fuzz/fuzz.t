use strict;
use warnings;
use v5.36;

# Runs the fuzzers' targets over their seeds, and what they once found.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Unit;

my $unit = CompletionAsync::Unit->new(kind => 'unit')
    or plan skip_all => 'no ngx_auto_config.h in the build folder, run make';

my @targets = CompletionAsync::Unit::targets();
cmp_ok scalar @targets, '>=', 6, 'there are targets';

for my $target (@targets) {
    my @inputs = glob "t/fuzz/corpus/$target/*";
    cmp_ok scalar @inputs, '>=', 10, "$target: there are seeds";

    my $fault = $unit->program("fuzz_$target", "t/fuzz/$target.c", 't/fuzz/replay.c');
    is $fault, '', '... it compiles' or next;

    is $unit->said($unit->path("fuzz_$target"), @inputs), '', '... and they hold';
}
done_testing;
