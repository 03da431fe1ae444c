package CompletionAsync::Linked;

=head1 NAME

CompletionAsync::Linked - the module linked once more, with functions of ours in place of others

=head1 SYNOPSIS

    local $ENV{TEST_NGINX_MODULE} = CompletionAsync::Linked->module('lock', 't/discipline/lock.c');

=head1 DESCRIPTION

C<module($name, @sources)> compiles the sources, and links them with the objects of the module's
last build (BUILD, or "build"). Every C<__wrap_NAME> in them, a function or a table, stands for
NAME from then on, wherever the module uses it; C<__real_NAME> is what it was. It returns the path
of I<build>/linked/I<name>.so. C<CFLAGS> and C<LDFLAGS> are those of the environment, so that objects
that need a sanitizer find it.

=cut

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');


sub module ($class, $name, @sources) {
    my $build  = abs_path($ENV{BUILD} // "$ROOT/build");
    my $nginx  = $ENV{NGINX_SRC} // '/usr/share/nginx/src';
    my $out    = "$build/linked";
    my $module = 'ngx_http_completion_async_module';
    my @cc     = split ' ', $ENV{CC} // 'cc';

    # a build outlives its sources
    my @sourced = map { m{([^/]+/[^/]+)\.c$} ? "$build/addon/$1.o" : () }
        glob "$ROOT/src/*/*.c $ROOT/src/*/*/*.c";
    my @objects = (grep({ -f } @sourced), "$build/${module}_modules.o");
    die "there is no build in $build: run \"make\"\n" if @objects < 2 || !-f $objects[-1];

    make_path($out);
    my @include = map { "-I$_" } $build, map { "$nginx/src/$_" } 'core', 'event', 'event/modules',
        'event/quic', 'os/unix', 'http', 'http/modules', 'http/v2', 'http/v3';
    my (@own, @wrapped);

    for my $source (@sources) {
        my $object = "$out/$name-" . ($source =~ s{.*/|\.c$}{}gr) . '.o';
        _run(@cc, qw(-g -O1 -fPIC -Wall -Werror), split(' ', $ENV{CFLAGS} // ''), @include, '-c',
            "$ROOT/$source", '-o', $object);
        push @own, $object;
        push @wrapped, map { /\b[TDR] __wrap_(\w+)/ ? $1 : () } qx(nm '$object');
    }
    _run(@cc, '-shared', '-o', "$out/$name.so", @objects, @own, map({ "-Wl,--wrap=$_" } @wrapped),
        split(' ', $ENV{LDFLAGS} // ''), qw(-lcurl -lyajl -lcrypto -lhiredis));
    return "$out/$name.so";
}


sub _run (@command) {
    system(@command) == 0 or die "@command failed\n";
}


1;
