package Compose;

=head1 NAME

Compose - what docker/compose.yaml says, run by runc

=head1 SYNOPSIS

    my $compose = Compose->new($images, $dir, "$root/docker/compose.yaml");
    $compose->up('edge', 'nginx-completion-async-edge');
    my ($status, $out) = $compose->exec('edge', 'id');
    $compose->kill('edge', 'QUIT');
    my $status = $compose->wait('edge', 10);

=head1 DESCRIPTION

A service gets the command, environment, user, mounts, secrets, tmpfs, capabilities, privileges
and health check that the file and its image say, as Docker would give them. All share the
network of this process, and each name is 127.0.0.1. An unknown key of a service is an error: it
would be ignored.

=cut

use strict;
use warnings;
use v5.36;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use JSON::PP;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);
use YAML::XS;

my %KNOWN = map { $_ => 1 } qw(
    build cap_drop command depends_on environment healthcheck image init ports profiles read_only
    secrets security_opt tmpfs user volumes
);

# what Docker leaves to a container that drops nothing
my @CAPABILITIES = map { "CAP_$_" } qw(
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
);


sub new ($class, $images, $dir, $path) {
    local $YAML::XS::Boolean = 'JSON::PP';
    my $self = bless {
        images => $images,
        dir    => $dir,
        base   => dirname(realpath($path)),
        file   => _interpolated(YAML::XS::LoadFile($path)),
        pids   => {},
    }, $class;

    _write("$dir/hosts", join '', map { "127.0.0.1 $_\n" } 'localhost', $self->services);
    return $self;
}


sub services ($self) { sort keys %{ $self->{file}{services} } }

sub service ($self, $name) { $self->{file}{services}{$name} }


# ${NAME}, ${NAME:-default} and ${NAME:+other} of this process's environment
sub _interpolated ($value) {
    return { map { $_ => _interpolated($value->{$_}) } keys %$value } if ref $value eq 'HASH';
    return [ map { _interpolated($_) } @$value ] if ref $value eq 'ARRAY';
    return $value if !defined $value || ref $value;

    return $value =~ s/\$\{(\w+)(?::([-+])([^}]*))?\}/
        my ($is, $how, $word) = ($ENV{$1} \/\/ '', $2 \/\/ '', $3 \/\/ '');
        $how eq '-' && $is eq '' ? $word : $how eq '+' && $is ne '' ? $word : $is/gerx;
}


sub up ($self, $name, $image) {
    my $service = $self->service($name) // die "no service $name\n";
    my @unknown = grep { !$KNOWN{$_} } keys %$service;
    die "$name: unknown here: @unknown\n" if @unknown;

    my $bundle = "$self->{dir}/$name";
    mkdir $bundle or die "$bundle: $!\n";
    my $config = $self->{images}->config($image);
    my $spec   = $self->_spec($service, $config, $self->{images}->mount($image));
    _write("$bundle/config.json", encode_json($spec));

    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$bundle/log";
        open STDERR, '>&', \*STDOUT;
        exec 'runc', '--root', "$self->{dir}/runc", 'run', '--bundle', $bundle, $name;
    }
    $self->{pids}{$name} = $pid;

    my $check = $service->{healthcheck}{test} // ($config->{Healthcheck} // {})->{Test};
    $self->_healthy($name, @$check) if $check;
}


sub _spec ($self, $service, $config, $root) {
    my %env = map { split /=/, $_, 2 } @{ $config->{Env} // [] };
    %env = (%env, %{ $service->{environment} // {} });

    my ($uid, $gid) = split /:/, $config->{User} || '0:0';
    my @args = (@{ $config->{Entrypoint} // [] },
        @{ $service->{command} // $config->{Cmd} // [] });
    my %drop = map { $_ => 1 } @{ $service->{cap_drop} // [] };
    my @capabilities = $drop{ALL} || $uid ? () : @CAPABILITIES;
    my %privilege = map { $_ => 1 } @{ $service->{security_opt} // [] };

    return {
        ociVersion => '1.0.2',
        root       => { path => $root, readonly => _true($service->{read_only}) },
        process    => {
            args            => \@args,
            cwd             => $config->{WorkingDir} || '/',
            env             => [ map { "$_=$env{$_}" } sort keys %env ],
            user            => { uid => $uid + 0, gid => ($gid // $uid) + 0 },
            noNewPrivileges => _true($privilege{'no-new-privileges:true'}),
            capabilities    => { map { $_ => \@capabilities } qw(bounding effective permitted) },
        },
        mounts => [ _system(), $self->_mounts($service) ],
        linux  => {
            namespaces    => [ map { { type => $_ } } qw(pid ipc uts mount) ],
            maskedPaths   => [ '/proc/kcore', '/proc/keys', '/sys/firmware' ],
            readonlyPaths => [ '/proc/sys', '/proc/sysrq-trigger' ],
        },
    };
}


sub _true ($value) { $value ? JSON::PP::true : JSON::PP::false }


sub _system () {
    return (
        { destination => '/proc', type => 'proc', source => 'proc' },
        { destination => '/dev', type => 'tmpfs', source => 'tmpfs',
            options => [qw(nosuid strictatime mode=755 size=65536k)] },
        { destination => '/dev/shm', type => 'tmpfs', source => 'shm',
            options => [qw(nosuid noexec nodev mode=1777 size=65536k)] },
    );
}


sub _mounts ($self, $service) {
    my @mount = (_bind("$self->{dir}/hosts", '/etc/hosts', 'ro'));

    for my $volume (@{ $service->{volumes} // [] }) {
        my ($from, $to, $mode) = split /:/, $volume;
        my $path = $from =~ m{^[./]} ? realpath("$self->{base}/$from") : $self->_volume($from);
        push @mount, _bind($path // die("no $from\n"), $to, $mode // 'rw');
    }

    for my $secret (@{ $service->{secrets} // [] }) {
        my $file = $self->{file}{secrets}{$secret}{file} // die "no secret $secret\n";
        $file = realpath($file =~ m{^/} ? $file : "$self->{base}/$file") // die "no $file\n";
        push @mount, _bind($file, "/run/secrets/$secret", 'ro');
    }

    push @mount, map { _tmpfs(split /:/, $_, 2) } @{ $service->{tmpfs} // [] };
    return @mount;
}


sub _volume ($self, $name) {
    my $path = "$self->{dir}/volume-$name";
    mkdir $path;
    chmod 01777, $path;
    return $path;
}


sub _bind ($from, $to, $mode) {
    return { destination => $to, type => 'bind', source => $from,
        options => [ 'rbind', $mode, 'nosuid', 'nodev' ] };
}


sub _tmpfs ($to, $options = 'mode=1777') {
    return { destination => $to, type => 'tmpfs', source => 'tmpfs',
        options => [ qw(nosuid nodev noexec), split /,/, $options ] };
}


sub _healthy ($self, $name, $kind, @command) {
    @command = ('/bin/sh', '-c', @command) if $kind eq 'CMD-SHELL';
    my $end = time + 30;

    while (time < $end) {
        my ($status) = $self->exec($name, @command);
        return if $status == 0;
        die "$name has ended:\n" . $self->log($name) if defined $self->wait($name, 0);
        sleep 0.2;
    }
    die "$name is not healthy:\n" . $self->log($name);
}


# as "docker exec"
sub exec ($self, $name, @command) {
    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN,  '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec 'timeout', 10, 'runc', '--root', "$self->{dir}/runc", 'exec', $name, @command;
    }

    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $said);
}


# the process as this side sees it
sub pid ($self, $name) {
    my $state = qx{runc --root '$self->{dir}/runc' state '$name'};
    return decode_json($state)->{pid};
}


sub log ($self, $name) {
    local (@ARGV, $/) = "$self->{dir}/$name/log";
    return scalar <>;
}


sub kill ($self, $name, $signal) {
    system('runc', '--root', "$self->{dir}/runc", 'kill', $name, $signal) == 0
        or die "runc kill $name\n";
}


# its status, or nothing if it has not ended by then
sub wait ($self, $name, $seconds) {
    my $pid = $self->{pids}{$name} // return $self->{status}{$name};
    my $end = time + $seconds;

    while (1) {
        if (waitpid($pid, WNOHANG) == $pid) {
            delete $self->{pids}{$name};
            return $self->{status}{$name} = $? >> 8;
        }
        return if time >= $end;
        sleep 0.05;
    }
}


sub _write ($path, $text) {
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}


sub DESTROY ($self) {
    local ($?, $@);

    for my $name (keys %{ $self->{pids} }) {
        eval { $self->kill($name, 'KILL') };
        $self->wait($name, 10);
    }
}


1;
