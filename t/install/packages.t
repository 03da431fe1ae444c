#!/usr/bin/perl

# What who may not install hears of docker/packaging/packages, which "t/run", the demo and "make deps"
# call: on a machine of a few tools, where no package is there.

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/../..");
my $bin  = tempdir('packages.XXXXXX', TMPDIR => 1, CLEANUP => 1);


sub tool ($name, $does) {
    open my $file, '>', "$bin/$name" or die "$name: $!\n";
    print {$file} "#!/bin/sh\n$does\n";
    close $file or die "$name: $!\n";
    chmod 0755, "$bin/$name";
}


symlink "/usr/bin/$_", "$bin/$_" for qw(bash echo env mktemp rm sort tail xargs);
tool(id           => '[ "$1" = -u ] && echo 1000 || echo somebody');
tool('dpkg-query' => 'exit 1');

for my $sudo ('', 'exit 1') {
    tool(sudo => $sudo) if $sudo ne '';
    my $said = qx{PATH='$bin' $bin/bash '$root/docker/packaging/packages' build 2>&1};

    isnt $?, 0, 'nothing can be done';
    like $said, qr/somebody may not install .* root run:\n +apt-get update && apt-get install .* nginx-dev/,
        '... and it says what to ask for';
    unlike $said, qr/not found/, '... and no more';
}
done_testing;
