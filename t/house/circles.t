# No file of a layer reaches itself through others of the layer: what the objects define and
# want tells who calls whom.

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

# Every file asks it for its context.
my %SPARED = (ngx_http_completion_async_module => 1);

my $ROOT   = abs_path("$FindBin::Bin/../..");
my $MODULE = $ENV{TEST_NGINX_MODULE} // '';
my ($BUILD) = grep { -d "$_/addon" } dirname($MODULE), $ENV{BUILD} // (), "$ROOT/build";

plan skip_all => 'no objects in a build folder' if !defined $BUILD;


# The names of those objects that reach themselves.
sub circles (@objects) {
    my (%of, %wants);

    for my $object (@objects) {
        my $name = basename($object, '.o');
        for (qx(nm '$object')) {
            my ($type, $symbol) = /(\w) (\w+)$/ or next;
            next if $SPARED{$symbol};
            $of{$symbol} = $name if $type =~ /[A-TV-Z]/;
            push @{ $wants{$name} }, $symbol if $type eq 'U';
        }
    }

    my %next;
    for my $name (keys %wants) {
        $next{$name}{$_} = 1 for grep { defined && $_ ne $name } map { $of{$_} } @{ $wants{$name} };
    }
    return grep { reaches(\%next, $_) } sort map { basename($_, '.o') } @objects;
}


sub reaches ($next, $name) {
    my %seen;
    my @todo = keys %{ $next->{$name} };

    while (defined(my $at = shift @todo)) {
        return 1 if $at eq $name;
        push @todo, keys %{ $next->{$at} } if !$seen{$at}++;
    }
    return 0;
}


# The checker itself

my $dir = tempdir('circles.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my %text = (
    one   => 'void two(void); void one(void); void one(void) { two(); }',
    two   => 'void three(void); void two(void); void two(void) { three(); }',
    three => 'void one(void); void three(void); void three(void) { one(); }',
    first => 'int last(void); int one(void); int first(void); int first(void) { return last(); }',
    last  => 'extern int word; int last(void); int last(void) { return word; }',
    word  => 'int word = 1; static int own(void) { return 1; } int (*own_is)(void) = own;',
    knows => 'extern int own; int *a(void); int *a(void) { return &own; } int own = 2;',
    asks  => 'extern int ngx_http_completion_async_module; int *b(void);'
        . ' int *b(void) { return &ngx_http_completion_async_module; }',
    is    => 'int *b(void); int *(*ngx_http_completion_async_module)(void) = b;',
);

for my $name (sort keys %text) {
    open my $file, '>', "$dir/$name.c" or die "$dir/$name.c: $!\n";
    print {$file} "$text{$name}\n";
    close $file;
    is system(split(' ', $ENV{CC} // 'cc'), '-fPIC', '-c', '-o', "$dir/$name.o", "$dir/$name.c"), 0,
        "$name.c compiles";
}
my $planted = sub (@names) { join ' ', circles(map { "$dir/$_.o" } @names) };
is $planted->(sort keys %text), 'one three two', 'a circle is seen, and who only calls is not in it';
is $planted->(qw(one two first last word knows)), '', 'without a part of it there is none';
is $planted->(qw(asks is)), '', 'who asks the module for its context may be called by it';


# The module's

my %layer;
push @{ $layer{ (split m{/})[-2] } }, basename($_, '.c')
    for sort glob "$ROOT/src/*/*.c $ROOT/src/*/*/*.c";
cmp_ok scalar keys %layer, '>=', 7, 'there are layers';

for my $layer (sort keys %layer) {
    my @objects = map { "$BUILD/addon/$layer/$_.o" } @{ $layer{$layer} };
    my @missing = grep { !-f } @objects;
    is "@missing", '', "$layer: each source has its object" or next;

    is join(' ', circles(@objects)), '', "$layer: no circle";
}
done_testing;
