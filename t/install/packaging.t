#!/usr/bin/perl

# What "make install" and "make sbom" give, and that the same source gives the
# same bytes.  From nothing to the main job: t/install/, and docker/test.

use strict;
use warnings;
use v5.36;

use FindBin;
use Cwd qw(abs_path);
use Digest::SHA;
use File::Basename qw(basename dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;

my $root   = abs_path("$FindBin::Bin/../..");
my $name   = 'ngx_http_completion_async_module';
my $module = abs_path($ENV{TEST_NGINX_MODULE} // "$root/build/$name.so");
my $dir    = tempdir('packaging.XXXXXX', TMPDIR => 1, CLEANUP => 1);

plan skip_all => 'the module is a part of nginx' if $ENV{TEST_NGINX_STATIC};
plan skip_all => 'not the module that users get' if basename($module) ne "$name.so";


# (status, what it said)
sub tried (@args) {
    my ($where) = ref $args[0] ? @{ shift @args } : $root;
    local @ENV{qw(MAKEFLAGS MAKEOVERRIDES)};
    my $said = qx{cd '$where' && make --no-print-directory @args 2>&1};
    return ($?, $said);
}


sub make (@args) {
    my ($status, $said) = tried(@args);
    is $status, 0, "make @args" or diag($said);
}


sub below ($folder) {
    my %file;
    my $note = sub {
        $file{ s/^\Q$folder\E//r } = sprintf '%o', (stat)[2] & 07777 if -f;
    };
    find({ no_chdir => 1, wanted => $note }, $folder);
    return \%file;
}


sub spew ($path, $text) {
    open my $file, '>', $path or die "$path: $!\n";
    print {$file} $text;
    close $file or die "$path: $!\n";
}


sub slurp ($path) {
    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return <$file>;
}


sub sha256 ($path) { Digest::SHA->new(256)->addfile($path)->hexdigest }


subtest 'installed and removed' => sub {
    # the module under test stays as it is
    my @where = ("DESTDIR=$dir/root", 'BUILD=' . dirname($module), '-o', $module);
    mkdir "$dir/root";

    make('install', @where);
    my $files = below("$dir/root");
    my ($so) = grep { /\.so$/ } keys %$files;
    like $so, qr{/modules/$name\.so$}, 'the module, where nginx has its own';
    is sha256("$dir/root$so"), sha256($module), 'as it was built';
    my $snippet = '/usr/share/nginx/modules-available/mod-http-completion-async.conf';
    if (-d '/etc/nginx/modules-enabled') {
        is slurp("$dir/root$snippet"), "load_module modules/$name.so;\n", 'a line that loads it';
    }
    is_deeply [ grep { $_ ne $so && $_ ne $snippet } keys %$files ], [], 'nothing else';
    is_deeply [ grep { $_ ne '644' } values %$files ], [], 'for everybody to read';

    # Debian's way to turn it on, by a link, which would lead nowhere afterwards.
    mkdir "$dir/root/etc";
    mkdir "$dir/root/etc/nginx" . $_ for '', '/modules-enabled';
    my $enabled = "$dir/root/etc/nginx/modules-enabled";
    symlink "$dir/root$snippet", "$enabled/50-mod-http-completion-async.conf";
    spew("$enabled/50-mod-other.conf", "load_module modules/other.so;\n");
    spew("$dir/root/etc/nginx/nginx.conf", "load_module modules/$name.so;\n");
    my ($refused) = tried('uninstall', @where);
    isnt $refused, 0, 'what nginx.conf loads is not taken away';
    ok -e "$dir/root$so" && -e "$enabled/50-mod-http-completion-async.conf", '... nor a part of it';

    spew("$dir/root/etc/nginx/nginx.conf", "# load_module modules/$name.so;\n");
    mkdir "$dir/root/etc/nginx/conf.d";
    my $uses = "$dir/root/etc/nginx/conf.d/translate.conf";
    spew($uses, "location / { completion_async yandex; }\n");
    my ($status, $said) = tried('uninstall', @where);
    is $status, 0, 'uninstall';
    like $said, qr/^  \Q$uses\E still uses it/m, 'a configuration that nginx does not start with any more';
    unlike $said, qr/nginx\.conf still/, '... and no other';

    unlink $uses;
    is_deeply [ sort keys %{ below("$dir/root") } ],
        [ '/etc/nginx/modules-enabled/50-mod-other.conf', '/etc/nginx/nginx.conf' ],
        'nothing of it is left';
    ok !-l "$enabled/50-mod-http-completion-async.conf", '... no link either';
};

subtest 'the same bytes elsewhere' => sub {
    plan skip_all => 'not what users get' if $ENV{TEST_NGINX_LD_PRELOAD};

    my $other = "$dir/a-longer-name";
    mkdir $other;
    is system('cp', '-r', map({ "$root/$_" } qw(config src Makefile)), $other), 0, 'copied';
    make([$other], "BUILD=$dir/objects", '-j2');
    is sha256("$dir/objects/$name.so"), sha256($module), 'equal';
    unlike slurp($module), qr{\Q$root\E/(?:src|build)/|\Q$dir\E}, 'it names no folder of this machine';
};

subtest 'what it is made of' => sub {
    local $ENV{SOURCE_DATE_EPOCH} = 1_700_000_000;
    my $text = qx{'$root/docker/packaging/sbom' '$module' 1.2.3};
    is $?, 0, 'docker/packaging/sbom';
    is qx{'$root/docker/packaging/sbom' '$module' 1.2.3}, $text, 'twice the same';

    my $spdx = decode_json($text);
    is $spdx->{spdxVersion}, 'SPDX-2.3', 'SPDX';
    is $spdx->{creationInfo}{created}, '2023-11-14T22:13:20Z', 'its date';

    my ($module_is, @packages) = @{ $spdx->{packages} };
    is $module_is->{checksums}[0]{checksumValue}, sha256($module), 'this module';
    is $module_is->{versionInfo}, '1.2.3', 'its version';

    my %version = map { ($_->{name} => $_->{versionInfo}) } @packages;
    for my $wanted (qr/^nginx$/, qr/^libcurl/, qr/^libyajl/, qr/^libhiredis/, qr/^libssl/, qr/^libc6$/) {
        my ($package) = grep { /$wanted/ } keys %version;
        ok defined $package, "a package $wanted" or next;
        is $version{$package}, qx{dpkg-query -W -f '\${Version}' $package}, 'in its version';
    }

    my %known = map { ($_->{SPDXID} => 1) } $spdx, @packages, $module_is;
    my @loose = grep { !$known{ $_->{spdxElementId} } || !$known{ $_->{relatedSpdxElement} } }
        @{ $spdx->{relationships} };
    is_deeply \@loose, [], 'relationships of what it lists';
    is scalar @{ $spdx->{relationships} }, 1 + @packages, 'one for each';
};

done_testing;
