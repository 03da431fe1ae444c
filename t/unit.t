#!/usr/bin/perl

# Compiles the unit tests of t/unit and runs them: one program a folder of
# src, each printing TAP.  Needs nginx's headers and a configured build
# folder, not nginx.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use Test::More;

chdir("$FindBin::Bin/..") or die "$FindBin::Bin/..: $!";

my $nginx = $ENV{NGINX_SRC} || '/usr/share/nginx/src';
my $build = $ENV{BUILD} || 'build';
my $cc = $ENV{CC} || 'cc';
my $out = "$build/unit";

my @json = (glob('src/base/ngx_completion_json*.c'), 'src/base/ngx_completion_hash.c');
my @credential = (
    'src/base/ngx_completion_secret.c',
    map { "src/provider/ngx_completion_$_.c" } qw(credential jwt token)
);
my @provider = (@json, @credential, glob('src/provider/ngx_completion_provider*.c'),
    't/unit/fetch_stub.c');

my %programs = (
    json             => \@json,
    json_digest      => \@json,
    pace             => [ 'src/store/ngx_completion_pace.c' ],
    provider_request => \@provider,
    provider_answer  => \@provider,
    token            => \@provider,
);

my @flags = (
    qw(-g -O1 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter),
    (map { "-I$nginx/src/$_" } 'core', 'event', 'event/modules', 'os/unix'),
    "-I$build",
);

my @sanitize = ('-fsanitize=address,undefined', '-fno-sanitize-recover=all');

make_path($out);

unless (-f "$build/ngx_auto_config.h") {
    qx(make $build/Makefile 2>&1);
    plan(skip_all => "no $build/ngx_auto_config.h, run make")
        unless -f "$build/ngx_auto_config.h";
}

# a compiler may accept the option and lack the library

@sanitize = () if compile('probe', @sanitize, '-x', 'c', probe()) ne '';

diag('no sanitizers') unless @sanitize;

for my $name (sort keys %programs) {
    run($name, @{ $programs{$name} });
}

done_testing();


sub compile {
    my ($name, @args) = @_;

    my $pid = open(my $pipe, '-|') // die "fork: $!";

    if ($pid == 0) {
        open(STDERR, '>&', \*STDOUT);
        exec($cc, '-o', "$out/$name", @args, '-lyajl', '-lcrypto') or exit(127);
    }

    local $/;
    my $said = <$pipe> // '';
    close($pipe);

    return $? ? ($said || "failed") : '';
}


sub probe {
    open(my $file, '>', "$out/probe.c") or die "$out/probe.c: $!";
    print $file "int main(void) { return 0; }\n";
    close($file);

    return "$out/probe.c";
}


sub run {
    my ($name, @units) = @_;

    my $fault = compile($name, @flags, @sanitize, "t/unit/$name.c",
        't/unit/ngx_shim.c', @units);

    is($fault, '', "$name compiles") or return;

    my ($seen, $plan) = (0);

    open(my $pipe, '-|', "$out/$name 2>&1") or die "$out/$name: $!";

    while (my $line = <$pipe>) {
        chomp($line);

        if ($line =~ /^(not )?ok \d+ - (.*)$/) {
            ok(!$1, "$name: $2");
            $seen++;

        } elsif ($line =~ /^1\.\.(\d+)$/) {
            $plan = $1;

        } else {
            diag($line);
        }
    }

    close($pipe);

    is($plan, $seen, "$name: ran to its end");
    is($? & 127, 0, "$name: no signal");
}
