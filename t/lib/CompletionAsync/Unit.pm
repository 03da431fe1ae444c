package CompletionAsync::Unit;

use v5.36;

use Cwd qw(abs_path);
use Fcntl qw(:flock);
use File::Basename qw(dirname);
use File::Path qw(make_path);

=head1 NAME

CompletionAsync::Unit - the module's pure units, built without nginx

=head1 SYNOPSIS

    my $unit = CompletionAsync::Unit->new(kind => 'unit') or plan skip_all => '...';
    my $fault = $unit->program('json', 't/unit/json.c');
    system $unit->path('json');

=head1 DESCRIPTION

Compiles the units that need no nginx of their own into a library, together
with as much of nginx as they do need (F<t/unit/ngx_shim.c>), and links small
programs to it: a program gets the units it calls.  All of it stands in the
build folder (C<BUILD>), one folder a kind; the library is made anew when a
source, a header or the compiler's options are not those it was made of.

Kinds: C<unit> (C<CC>, with address and undefined behaviour sanitizers where
the compiler has them), C<fuzz> (clang and libFuzzer), C<coverage> (gcc).

=cut

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

my %KIND = (
    unit     => { flags => ['-O1'], sanitize => 'address,undefined' },
    fuzz     => {
        cc       => 'clang',
        flags    => ['-O1'],
        units    => ['-fsanitize=fuzzer-no-link'],
        programs => ['-fsanitize=fuzzer'],
        sanitize => 'address,undefined',
    },
    coverage => { cc => 'gcc', flags => [ '-O0', '--coverage' ] },
);

my @UNITS = qw(
    src/model/*.c  src/base/ngx_completion_[!f]*.c
    src/dialect/*.c  src/dialect/*/*.c
    src/store/ngx_completion_[!w]*.c
    src/cluster/ngx_completion_redis_[!l]*.c  src/cluster/ngx_completion_[!r]*.c
    src/operation/*.c  src/face/*.c
    src/http/ngx_http_completion_fields.c  src/http/ngx_http_completion_route.c
    src/http/ngx_http_completion_negotiate.c  src/http/ngx_http_completion_metrics.c
    src/http/ngx_http_completion_clock.c
    t/unit/*_shim.c  t/unit/*_stub.c
);

# what t/unit/openssl_stub.c lets fail
my @WRAPPED = qw(
    BIO_new_mem_buf  SHA256_Init  SHA256_Update  SHA256_Final
    EVP_MD_CTX_new  EVP_DigestSignInit  EVP_DigestSign
);

my @LIBRARIES = (qw(-lyajl -lcurl -lcrypto -lhiredis), map { "-Wl,--wrap=$_" } @WRAPPED);


=head2 new(kind => KIND)

Builds the library; undef without a configured build folder, and dies with
what the compiler says.

=cut

sub new ($class, %arg) {
    my $kind  = $KIND{ $arg{kind} } // die "no kind $arg{kind}";
    my $build = $ENV{BUILD} || 'build';
    my $self  = bless {
        %$kind,
        cc  => $kind->{cc} || $ENV{CC} || 'cc',
        out => "$build/$arg{kind}",
    }, $class;

    chdir $ROOT or die "$ROOT: $!" if !-f 'config';
    make_path($self->{out});

    qx(make $build/Makefile 2>&1) if !-f "$build/ngx_auto_config.h";
    return if !-f "$build/ngx_auto_config.h";

    my $nginx = $ENV{NGINX_SRC} || '/usr/share/nginx/src';
    push $self->{flags}->@*,
        qw(-g -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter),
        (map { "-I$nginx/src/$_" } qw(core event event/modules event/quic os/unix),
            qw(http http/modules http/v2 http/v3)),
        "-I$build";

    $self->sanitize;
    $self->library;
    return $self;
}


# A compiler may accept the option and lack the library.
sub sanitize ($self) {
    my $with = $self->{sanitize} or return;
    my @flag = ("-fsanitize=$with", '-fno-sanitize-recover=all', '-fno-omit-frame-pointer');

    open my $file, '>', "$self->{out}/probe.c" or die "$self->{out}: $!";
    print $file "int main(void) { return 0; }\n";
    close $file;

    if ($self->compile('-o', $self->path('probe'), @flag, "$self->{out}/probe.c") eq '') {
        push $self->{flags}->@*, @flag;

    } else {
        $self->{plain} = 1;
    }
}


=head2 plain

True where there are no sanitizers.

=cut

sub plain ($self) { $self->{plain} }


sub library ($self) {
    my (@object, %running, $fault);
    my $made = join ' ', $self->{cc}, $self->units, @UNITS;

    open my $lock, '+>>', $self->path('made') or die $self->path('made') . ": $!";
    flock $lock, LOCK_EX or die "flock: $!";
    seek $lock, 0, 0;
    return if (<$lock> // '') eq $made && !$self->outdated;

    for my $source (map { glob } @UNITS) {
        my $object = "$self->{out}/" . $source =~ s{.*/|\.c$}{}gr . '.o';
        push @object, $object;
        my $pid = fork // die "fork: $!";

        if ($pid == 0) {
            my $said = $self->compile(qw(-c -o), $object, $self->units, $source);
            print STDERR $said;
            exec $said eq '' ? 'true' : 'false';
        }

        # two at a time
        $running{$pid} = $source;
        $fault = $self->reap(\%running) // $fault if keys %running > 1;
    }
    $fault = $self->reap(\%running) // $fault while %running;
    die "$fault does not compile\n" if $fault;

    unlink $self->path('units.a');
    system('ar', 'rcs', $self->path('units.a'), @object) == 0 or die "ar: $?";

    truncate $lock, 0;
    print $lock $made;
    close $lock;
}


sub outdated ($self) {
    my $age = -M $self->path('units.a') // return 1;
    return grep { -M $_ < $age } map { glob } @UNITS, 'src/*/*.h', 'src/*/*/*.h', 'src/*/*.def',
        't/unit/*.h';
}


sub units ($self) { $self->{flags}->@*, ($self->{units} // [])->@* }


sub reap ($self, $running) {
    my $source = delete $running->{ wait() };
    return $? ? $source : undef;
}


=head2 program(NAME, SOURCE...)

Compiles the sources and links them to the library: an empty string, or what
the compiler says.

=cut

sub program ($self, $name, @source) {
    return $self->compile('-o', $self->path($name), $self->{flags}->@*,
        ($self->{programs} // [])->@*, @source, $self->path('units.a'), @LIBRARIES);
}


=head2 path(NAME)

Where a program is.

=cut

sub path ($self, $name) { "$self->{out}/$name" }


=head2 tests

The names of the unit tests.

=cut

sub tests () { grep { !/_(?:shim|stub)$/ } map { m{(\w+)\.c$} } glob 't/unit/*.c' }


=head2 targets

The names of the fuzzers' targets.

=cut

sub targets () { grep { $_ ne 'replay' } map { m{(\w+)\.c$} } glob 't/fuzz/*.c' }


sub compile ($self, @arg) { $self->said($self->{cc}, @arg) }


=head2 said(COMMAND...)

Runs a command: an empty string if all went well, or what it printed.

=cut

sub said ($self, @command) {
    my $pid = open(my $pipe, '-|') // die "fork: $!";

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or exit 127;
    }

    local $/;
    my $said = <$pipe> // '';
    close $pipe;
    return $? ? "$said\n$command[0]: status $?\n" : '';
}

1;
