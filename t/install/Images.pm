package Images;

=head1 NAME

Images - what docker/Dockerfile says, built by buildah from a bare Debian

=head1 SYNOPSIS

    my $images = Images->new($dir);
    $images->import_base('docker.io/library/debian:bookworm-slim', $tar);
    $images->build('edge', target => 'edge');
    my $config = $images->config('edge');    # as Docker's "config"
    my $root   = $images->mount('edge');     # of a container made of it

=head1 DESCRIPTION

Everything lives in one folder and goes when the object does. C<build> takes C<target>, C<args>
(build arguments), C<file> and C<context>; names are local. HOST_NET is the network namespace
in which buildah runs. Every call dies, with what buildah said, if it fails.

=cut

use strict;
use warnings;
use v5.36;

use File::Temp;
use FindBin;
use JSON::PP qw(decode_json);

my $ROOT = "$FindBin::Bin/../..";


sub new ($class, $dir) {
    return bless { dir => $dir, containers => [] }, $class;
}


sub import_base ($self, $name, $tar) {
    my $base = "$self->{dir}/base";

    if (!$tar) {
        _run('timeout', 400, _host(), 'debootstrap', '--variant=minbase', 'bookworm', $base);

    } else {
        _run('mkdir', '-p', $base);
        _run('tar', '-C', $base, '-xf', $tar);
    }

    # what the slim images leave out
    _run('sh', '-euc', <<~'END', 'slim', $base);
        cd "$1"
        rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale \
            var/lib/apt/lists/* var/cache/apt/* var/log/* dev
        printf 'path-exclude /usr/share/%s/*\n' doc man info locale \
            > etc/dpkg/dpkg.cfg.d/docker
        printf '%s;\n' 'Acquire::Languages "none"' 'Dir::Cache::pkgcache ""' \
            'Dir::Cache::srcpkgcache ""' 'APT::Keep-Downloaded-Packages "false"' \
            'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb" }' \
            > etc/apt/apt.conf.d/docker
        END

    my $container = $self->_buildah('from', 'scratch');
    $self->_buildah('add', '--quiet', $container, $base, '/');
    $self->_buildah('commit', '--quiet', $container, $name);
    $self->_buildah('rm', $container);
    _run('rm', '-rf', '--one-file-system', $base);
}


sub build ($self, $name, %how) {
    my $file    = $how{file} // "$ROOT/docker/Dockerfile";
    my $context = $how{context} // $ROOT;
    my %arg     = %{ $how{args} // {} };

    $self->_buildah('build', '--pull-never', '--layers', '--format', 'docker', '--file', $file,
        (-e "$file.dockerignore" ? ('--ignorefile', "$file.dockerignore") : ()),
        ($how{target} ? ('--target', $how{target}) : ()),
        (map { ('--build-arg', "$_=$arg{$_}") } sort keys %arg), '--tag', $name, $context);
}


sub config ($self, $name) { $self->_inspect($name)->{config} }

sub history ($self, $name) { $self->_inspect($name)->{history} }

# as "76.8 MB"
sub size ($self, $name) {
    return decode_json($self->_buildah('images', '--json', $name))->[0]{size};
}


sub mount ($self, $name) {
    my $container = $self->_buildah('from', '--pull-never', $name);
    push @{ $self->{containers} }, $container;
    return $self->_buildah('mount', $container);
}


sub _inspect ($self, $name) {
    my $image = decode_json($self->_buildah('inspect', '--type', 'image', $name));
    return $image->{Docker} if $image->{Docker};
    return decode_json($image->{Config});
}


sub _host () { $ENV{HOST_NET} ? ('nsenter', "--net=$ENV{HOST_NET}") : () }


sub _buildah ($self, @command) {
    local $ENV{BUILDAH_ISOLATION} = 'chroot';
    my $out = _run('timeout', 900, _host(), 'buildah', '--root', "$self->{dir}/images",
        '--runroot', "$self->{dir}/run", @command);
    return $out =~ s/\s+\z//r;
}


sub _run (@command) {
    my $errors = File::Temp->new;
    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>', $errors->filename;
        exec @command or die "$command[0]: $!\n";
    }

    my $said = do { local $/; <$out> } // '';
    close $out and return $said;

    my @last = split /^/, $said . do { local (@ARGV, $/) = $errors->filename; <> };
    die join('', splice @last, @last > 60 ? -60 : 0), "\"@command\" failed\n";
}


sub DESTROY ($self) {
    local ($?, $@);
    eval {
        $self->_buildah('umount', '--all');
        $self->_buildah('rm', '--all');
        _run('rm', '-rf', '--one-file-system', "$self->{dir}/images", "$self->{dir}/run");
    };
    warn $@ if $@;
}


1;
