use strict;
use warnings;
use v5.36;

# Who may know whom: what the files include and name, and what the module exports.

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Spec;
use FindBin;
use Test::More;

my $ROOT = "$FindBin::Bin/..";

# Provider and store stand side by side.
my %BELOW = (
    base      => [],
    provider  => ['base'],
    store     => ['base'],
    operation => [ 'base', 'provider', 'store' ],
    http      => [ 'base', 'provider', 'store', 'operation' ],
);

# What only these layers may name, in code.
my @KNOWN_IN = (
    [ qr/\bngx_http_(?!completion_)\w+|<ngx_http\.h>/, 'HTTP', 'http' ],
    [ qr/\bngx_http_completion_\w+/,           'the HTTP layer', 'http' ],
    [ qr/\bcurl_\w+|\bCURL\w*|<curl\//,        'curl', 'base' ],
    [ qr/\byajl_\w+|<yajl\//,                  'yajl', 'base' ],
    [ qr/\bngx_slab_\w+/,                      'the slab', 'store' ],
);


sub code_of ($text) {
    return $text =~ s{/\*.*?\*/|("(?:\\.|[^"\\\n])*")}{$1 // ' '}gesr;
}


sub prefix_of ($layer) { $layer eq 'http' ? 'ngx_http_completion_' : 'ngx_completion_' }


# A file's path is relative to src.
sub faults ($path, $text) {
    my ($layer, $name) = $path =~ m{^(\w+)/(\w+)\.[ch]$} or return 'is in no layer';
    my $prefix = prefix_of($layer);
    my $code   = code_of($text);
    my @fault;

    return "$layer is no layer" if !$BELOW{$layer};
    push @fault, "is not named $prefix..." if index("${name}_", $prefix) != 0;

    for my $header ($code =~ /^\s*#\s*include\s+"([^"]+)"/mg) {
        my $target = "$layer/$header" =~ s{/\.(?=/)}{}gr;
        1 while $target =~ s{[^/]+/\.\./}{};
        my ($of) = $target =~ m{^(\w+)/[^/]+$};
        push @fault, "includes $header"
            if !defined $of || !grep { $_ eq $of } $layer, @{ $BELOW{$layer} };
    }
    $code =~ s/^\s*#\s*include\s+".*//mg;

    for my $rule (@KNOWN_IN) {
        my ($pattern, $what, $where) = @$rule;
        my ($found) = $code =~ /($pattern)/;
        push @fault, "knows $what: $found" if defined $found && $layer ne $where;
    }

    # functions and macros
    push @fault, map { "defines $_" } grep { index($_, $prefix) != 0 } $code =~ /^(\w+)\(/mg;
    push @fault, map { "defines $_" } grep { !/^_?\U$prefix\E|^_\U$prefix\E/ && !/^\Q$prefix\E/ }
        $code =~ /^\s*#\s*define\s+(\w+)/mg;
    return @fault;
}


# Layers whose .c files call each other in one direction only.
my @ONE_WAY = ('operation');


# A circle of calls, "a b a", or an empty string: a file => { defines => [...], calls => [...] }.
sub circle (%file) {
    my %of = map { my $name = $_; map { $_ => $name } @{ $file{$name}{defines} } } keys %file;
    my (%done, @path, $visit);

    $visit = sub ($name) {
        return join ' ', @path, $name if grep { $_ eq $name } @path;
        return '' if $done{$name};

        push @path, $name;
        for my $next (sort grep { defined && $_ ne $name } map { $of{$_} } @{ $file{$name}{calls} }) {
            my $found = $visit->($next);
            return $found if $found;
        }
        pop @path;
        $done{$name} = 1;
        return '';
    };
    for my $name (sort keys %file) {
        my $found = $visit->($name);
        return $found if $found;
    }
    return '';
}


sub symbols ($object) {
    my %of = (defines => [], calls => []);
    for (qx(nm '$object' 2>&1)) {
        push @{ $of{ $1 eq 'U' ? 'calls' : 'defines' } }, $2 if /([A-TV-Z]|U) (\w+)$/;
    }
    return \%of;
}


# The checker itself

is circle(
    a => { defines => ['f'], calls => [ 'g', 'h', 'printf' ] },
    b => { defines => ['g'], calls => ['h'] },
    c => { defines => ['h'], calls => [] },
), '', 'calls in one direction are no circle';
like circle(
    a => { defines => ['f'], calls => ['g'] },
    b => { defines => ['g'], calls => ['h'] },
    c => { defines => ['h'], calls => [ 'f', 'h' ] },
), qr/^a b c a$/, 'a circle is seen';
like circle(
    a => { defines => ['f'], calls => ['g'] },
    b => { defines => ['g'], calls => ['h'] },
    c => { defines => ['h'], calls => ['g'] },
), qr/b c b$/, '... beside what leads to it';

is_deeply [ faults('store/ngx_completion_zone.c', <<'EOC') ], [], 'what is right has no fault';
#include <ngx_config.h>
#include "ngx_completion_zone.h"
#include "./ngx_completion_id.h"
#include "../base/ngx_completion_buf.h"
#define NGX_COMPLETION_SIZE  1
#define ngx_completion_size(x)  1
/* curl_easy_init() */
int
ngx_completion_zone(void)
{
    ngx_slab_free(p);
}
EOC
is_deeply [ faults('http/ngx_http_completion.h', "#ifndef _NGX_HTTP_COMPLETION_H_INCLUDED_\n"
    . "#define _NGX_HTTP_COMPLETION_H_INCLUDED_\n#include \"../store/ngx_completion_zone.h\"\n"
    . "#include \"../operation/x.h\"\nngx_http_request_t *r;\n") ], [], '... in http neither';

for my $case (
    [ 'store/ngx_completion_a.c',     '#include "../provider/ngx_completion_provider.h"' ],
    [ 'provider/ngx_completion_a.c',  '#include "../store/ngx_completion_zone.h"' ],
    [ 'base/ngx_completion_a.c',      '#include "../store/ngx_completion_zone.h"' ],
    [ 'operation/ngx_completion_a.c', '#include "../http/ngx_http_completion.h"' ],
    [ 'operation/ngx_completion_a.c', '  #  include "../http/x.h"' ],
    [ 'http/ngx_http_completion_a.c', '#include "../../x.h"' ],
    [ 'http/ngx_http_completion_a.c', '#include "../other/x.h"' ],
    [ 'store/ngx_completion_a.c',     '#include <ngx_http.h>' ],
    [ 'operation/ngx_completion_a.c', 'ngx_http_request_t *r;' ],
    [ 'store/ngx_completion_a.c',     'extern int ngx_http_completion_x;' ],
    [ 'provider/ngx_completion_a.c',  'CURL *easy;' ],
    [ 'http/ngx_http_completion_a.c', '#include <curl/curl.h>' ],
    [ 'operation/ngx_completion_a.c', 'yajl_handle h;' ],
    [ 'http/ngx_http_completion_a.c', 'p = ngx_slab_alloc(pool, 1);' ],
    [ 'http/ngx_http_completion_a.c', "int\nngx_completion_f(void)" ],
    [ 'store/ngx_completion_a.c',     "int\nf(void)" ],
    [ 'store/ngx_completion_a.c',     '#define SIZE 1' ],
    [ 'http/ngx_http_completion_a.c', '#define NGX_COMPLETION_SIZE 1' ],
    [ 'http/ngx_completion_a.c',      '' ],
    [ 'store/ngx_http_completion_a.c', '' ],
    [ 'other/ngx_completion_a.c',     '' ],
    [ 'ngx_completion_a.c',           '' ],
) {
    my ($path, $text) = @$case;
    is scalar(() = faults($path, "$text\n")), 1, "$path: " . ($text =~ s/\n/ /gr || 'its name');
}


# The sources

my @sources = map { s{^\Q$ROOT\E/src/}{}r } sort glob join ' ',
    map { "$ROOT/src/$_" } '*.[ch]', '*/*.[ch]', '*/*/*.[ch]';
cmp_ok scalar @sources, '>=', 20, 'there are sources';

for my $path (@sources) {
    open my $in, '<', "$ROOT/src/$path" or die "$path: $!\n";
    my $text = do { local $/; <$in> };
    is join("\n", faults($path, $text)), '', $path;

    my @headers = grep { !-f "$ROOT/src/" . dirname($path) . "/$_" }
        $text =~ /^\s*#\s*include\s+"([^"]+)"/mg;
    is "@headers", '', '... and what it includes is ours';
}


# The module

SKIP: {
    my $module = $ENV{TEST_NGINX_MODULE} // 'build/ngx_http_completion_async_module.so';
    $module = "$ROOT/$module" if $module !~ m{^/};
    skip 'the module is linked in', 2 + 2 * @ONE_WAY if $ENV{TEST_NGINX_STATIC};

    my @symbols = map { (split)[-1] } qx(nm -D --defined-only '$module' 2>&1);
    ok scalar(grep { $_ eq 'ngx_http_completion_async_module' } @symbols),
        'the module exports itself' or diag(@symbols);
    is_deeply [
        grep {
            !/^ngx_completion_|^ngx_http_completion_|^ngx_modules$|^ngx_module_(?:names|order)$/
                && !/^__(?:wrap|(?:odr_)?(?:asan|ubsan|sanitizer|gcov))_?/
        } @symbols
    ], [], '... and nothing under a foreign name';

    for my $layer (@ONE_WAY) {
        my $objects = dirname($module) . "/addon/$layer";
        my %file = map { $_ => symbols("$objects/$_.o") }
            grep { -f "$objects/$_.o" } map { m{^$layer/(\w+)\.c$} } @sources;

        cmp_ok scalar(grep { @{ $_->{calls} } } values %file), '>', 1, "$layer has objects";
        is circle(%file), '', '... that do not call in circles';
    }
}
done_testing;
