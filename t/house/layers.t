use strict;
use warnings;
use v5.36;

# Who may know whom: what the files include and name, and what the module exports.

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Spec;
use FindBin;
use Test::More;

my $ROOT = "$FindBin::Bin/../..";

# Dialect and store stand side by side; what stands below a folder is its own.
my %BELOW = (
    model            => [],
    base             => ['model'],
    dialect          => [ 'model', 'base' ],
    'dialect/yandex' => [ 'model', 'base', 'dialect' ],
    store            => [ 'model', 'base' ],
    cluster          => [ 'model', 'base', 'store' ],
    face             => [ 'model', 'base' ],
    operation        => [ 'model', 'base', 'dialect', 'store', 'cluster' ],
    http             => [ 'model', 'base', 'dialect', 'store', 'cluster', 'face', 'operation' ],
);

# The model's words know nobody; what checks and signs them may hash.
my %CODE_BELOW = (model => ['base']);

# What only these layers may name, in code.
my @KNOWN_IN = (
    [ qr/\bngx_http_(?!completion_)\w+|<ngx_http\.h>/, 'HTTP', 'http' ],
    [ qr/\bngx_http_completion_\w+/,           'the HTTP layer', 'http' ],
    [ qr/\bcurl_\w+|\bCURL\w*|<curl\//,        'curl', 'base' ],
    [ qr/\byajl_\w+|<yajl\//,                  'yajl', 'base' ],
    [ qr/\bngx_slab_\w+/,                      'the slab', 'store' ],
    [ qr{\bredis(?:Reader|Reply|Format|Free)\w*|<hiredis/}, 'hiredis', 'cluster' ],
);

# Words of one upstream, which nobody but its dialect may know, in comments neither.
my $WORDS = qr/
    yandex | gpt:\/ | \b(?:grpc|iam|jwt)(?=\b|_) | \bfolder[ "_]?(?:id\b|"|,|;|\)) | Api-Key
    | (?:model|folder|internal|request)[_]?(?-i:Uri|Id)\b | completion_?Options | reasoning_?Options
    | json_?Schema | (?-i:jsonObject) | ALTERNATIVE_ | enabled_hidden | Async[ ]GPT | modelVersion
    | data.logging | x-server-trace | x-operation | Metadata-Flavor | service_account | "messages"
    | \b72(?:h\b|[ ]?\*[ ]?3600|[ ]hours)
/xi;
my $DIALECT = 'dialect/yandex';

# Shapes that clients see, of which only a face knows how they are spelled.
my $SHAPES = qr{
    problem\+json | urn:nginx
    | "(?:type|title|status|detail|code|done|error|text|id|pending)\\?"
    | (?:event|data|id):[ ] | :cancel\b | /operations/\*
}x;

# what names all dialects, and the directives of a message
my %WORDS_IN = (
    'dialect/ngx_completion_dialects.c' => qr/\bngx_completion_yandex\b/,

    # OpenAI has some of the same words, and clients the same scheme
    'face/ngx_completion_openai_read.c'  => qr/"messages"|json_schema/,
    'face/ngx_completion_openai_input.c' => qr/"messages"/,
    'http/ngx_http_completion_client.c'  => qr/"Api-Key"/,
    'store/ngx_completion_zone.c'       => qr/\\"folder\\"/,
);


sub code_of ($text) {
    return $text =~ s{/\*.*?\*/|("(?:\\.|[^"\\\n])*")}{$1 // ' '}gesr;
}


sub prefix_of ($layer) { $layer eq 'http' ? 'ngx_http_completion_' : 'ngx_completion_' }


# A file's path is relative to src.
sub faults ($path, $text) {
    my ($layer, $name) = $path =~ m{^(\w+(?:/\w+)?)/(\w+)\.[ch]$} or return 'is in no layer';
    my $prefix = prefix_of($layer);
    my $code   = code_of($text);
    my @fault;

    return "$layer is no layer" if !$BELOW{$layer};
    push @fault, "is not named $prefix..." if index("${name}_", $prefix) != 0;

    for my $header ($code =~ /^\s*#\s*include\s+"([^"]+)"/mg) {
        my $target = "$layer/$header" =~ s{/\.(?=/)}{}gr;
        1 while $target =~ s{[^/]+/\.\./}{};
        my ($of) = $target =~ m{^(\w+(?:/\w+)?)/[^/]+$};
        push @fault, "includes $header"
            if !defined $of || !grep { $_ eq $of } $layer, @{ $BELOW{$layer} },
                $path =~ /c$/ ? @{ $CODE_BELOW{$layer} // [] } : ();
    }
    $code =~ s/^\s*#\s*include\s+".*//mg;

    if ($layer ne $DIALECT) {
        my $known = $WORDS_IN{$path};
        my $said  = $text =~ s/^\s*#\s*include\s.*//mgr;
        $said =~ s/$known//g if $known;
        my ($word) = $said =~ /($WORDS)/;
        push @fault, "knows a word of an upstream: $word" if defined $word;
    }

    if ($layer eq 'http') {
        my ($shape) = $code =~ /($SHAPES)/;
        push @fault, "knows a client's shape: $shape" if defined $shape;
    }

    for my $rule (@KNOWN_IN) {
        my ($pattern, $what, $where) = @$rule;
        my ($found) = $code =~ /($pattern)/;
        push @fault, "knows $what: $found" if defined $found && $layer ne $where;
    }

    # functions and macros; what begins a line may also use a macro of ours, or assert
    push @fault, map { "defines $_" }
        grep { index($_, $prefix) != 0 && !/^\U$prefix\E/ && $_ ne '_Static_assert' }
        $code =~ /^(\w+)\(/mg;
    push @fault, map { "defines $_" } grep { !/^_?\U$prefix\E|^_\U$prefix\E/ && !/^\Q$prefix\E/ }
        $code =~ /^\s*#\s*define\s+(\w+)/mg;
    return @fault;
}


# The checker itself

is_deeply [ faults('store/ngx_completion_zone.c', <<'EOC') ], [], 'what is right has no fault';
#include <ngx_config.h>
#include "ngx_completion_zone.h"
#include "./ngx_completion_id.h"
#include "../base/ngx_completion_buf.h"
#define NGX_COMPLETION_SIZE  1
#define ngx_completion_size(x)  1
NGX_COMPLETION_LIST(a)
_Static_assert(1, "one");
/* curl_easy_init() */
int
ngx_completion_zone(void)
{
    ngx_slab_free(p);
}
EOC
is_deeply [ faults('model/ngx_completion_id.c', "#include \"../base/ngx_completion_hash.h\"\n") ], [],
    '... nor has a hash in the code of the model';
is_deeply [ faults('base/ngx_completion_fetch.h', "#include \"../model/ngx_completion_model.h\"\n") ],
    [], '... and everybody knows its words';
is_deeply [ faults('http/ngx_http_completion.h', "#ifndef _NGX_HTTP_COMPLETION_H_INCLUDED_\n"
    . "#define _NGX_HTTP_COMPLETION_H_INCLUDED_\n#include \"../store/ngx_completion_zone.h\"\n"
    . "#include \"../operation/x.h\"\nngx_http_request_t *r;\n") ], [], '... in http neither';

is_deeply [ faults('face/ngx_completion_native.c', "#include \"../base/ngx_completion_json.h\"\n"
    . "int\nngx_completion_f(void)\n{\n    \"application/problem+json\";\n}\n") ], [],
    '... and a face knows its shapes';

is_deeply [ faults('dialect/yandex/ngx_completion_a.c', "#include \"../ngx_completion_dialect.h\"\n"
    . "/* gRPC */\nint\nngx_completion_f(void)\n{\n    \"gpt://\";\n}\n") ], [], '... in a dialect neither';
is_deeply [ faults('dialect/ngx_completion_dialects.c', "    &ngx_completion_yandex,\n") ], [],
    '... nor in the list of all';

for my $case (
    [ 'store/ngx_completion_a.c',     '#include "../dialect/ngx_completion_dialect.h"' ],
    [ 'dialect/ngx_completion_a.c',   '#include "../store/ngx_completion_zone.h"' ],
    [ 'model/ngx_completion_a.h',     '#include "../base/ngx_completion_hash.h"' ],
    [ 'model/ngx_completion_a.c',     '#include "../store/ngx_completion_zone.h"' ],
    [ 'base/ngx_completion_a.c',      '#include "../store/ngx_completion_zone.h"' ],
    [ 'operation/ngx_completion_a.c', '#include "../http/ngx_http_completion.h"' ],
    [ 'operation/ngx_completion_a.c', '  #  include "../http/x.h"' ],
    [ 'http/ngx_http_completion_a.c', '#include "../../x.h"' ],
    [ 'http/ngx_http_completion_a.c', '#include "../other/x.h"' ],
    [ 'store/ngx_completion_a.c',     '#include <ngx_http.h>' ],
    [ 'operation/ngx_completion_a.c', 'ngx_http_request_t *r;' ],
    [ 'store/ngx_completion_a.c',     'extern int ngx_http_completion_x;' ],
    [ 'dialect/ngx_completion_a.c',   '#include "yandex/ngx_completion_yandex.h"' ],
    [ 'operation/ngx_completion_a.c', '#include "../dialect/yandex/ngx_completion_yandex.h"' ],
    [ 'dialect/yandex/ngx_completion_a.c', '#include "../../store/ngx_completion_zone.h"' ],
    [ 'dialect/other/ngx_completion_a.c', '' ],
    [ 'dialect/ngx_completion_a.c',   'CURL *easy;' ],
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
    [ 'http/ngx_http_completion_a.c', '"gpt://%V/%V"' ],
    [ 'http/ngx_http_completion_a.c', '"{\"jsonSchema\":{\"schema\":%V}}"' ],
    [ 'http/ngx_http_completion_a.c', '    ngx_strncmp(p, "messages", 8);' ],
    [ 'http/ngx_http_completion_a.c', 'case 3: /* gRPC: the request */' ],
    [ 'http/ngx_http_completion_a.c', '"must not be above 72h"' ],
    [ 'http/ngx_http_completion_a.c', '{ ngx_string("folder"),' ],
    [ 'http/ngx_http_completion_a.c', '{ ngx_string("iam_url"),' ],
    [ 'store/ngx_completion_a.c',     '#define NGX_COMPLETION_LIFETIME  (72 * 3600)' ],
    [ 'operation/ngx_completion_a.c', 'ngx_completion_json_cstring(w, "Async GPT Completion");' ],
    [ 'dialect/ngx_completion_a.c',   '/* as Yandex says */' ],
    [ 'dialect/ngx_completion_a.c',   'ngx_completion_yandex_answer(f);' ],
    [ 'dialect/ngx_completion_dialects.c', '&ngx_completion_yandex, "Api-Key"' ],
    [ 'http/ngx_http_completion_a.c', '    ngx_str_set(&type, "application/problem+json");' ],
    [ 'http/ngx_http_completion_a.c', '    ngx_completion_json_key(w, "title");' ],
    [ 'http/ngx_http_completion_a.c', '"{\"done\":true}"' ],
    [ 'http/ngx_http_completion_a.c', '"event: operation\n"' ],
    [ 'http/ngx_http_completion_a.c', 'static ngx_str_t  cancel = ngx_string(":cancel");' ],
    [ 'face/ngx_completion_a.c',      '#include "../dialect/ngx_completion_dialect.h"' ],
    [ 'face/ngx_completion_a.c',      '#include "../http/ngx_http_completion.h"' ],
    [ 'operation/ngx_completion_a.c', '#include "../face/ngx_completion_face.h"' ],
    [ 'store/ngx_completion_a.c',     '#include "../cluster/ngx_completion_redis.h"' ],
    [ 'cluster/ngx_completion_a.c',   '#include "../operation/ngx_completion_call.h"' ],
    [ 'operation/ngx_completion_a.c', 'redisReader *reader;' ],
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
    skip 'the module is linked in', 2 if $ENV{TEST_NGINX_STATIC};

    my @symbols = map { (split)[-1] } qx(nm -D --defined-only '$module' 2>&1);
    ok scalar(grep { $_ eq 'ngx_http_completion_async_module' } @symbols),
        'the module exports itself' or diag(@symbols);
    is_deeply [
        grep {
            !/^ngx_completion_|^ngx_http_completion_|^ngx_modules$|^ngx_module_(?:names|order)$/
                && !/^__(?:wrap|(?:odr_)?(?:asan|ubsan|sanitizer|gcov))_?/
        } @symbols
    ], [], '... and nothing under a foreign name';
}
done_testing;
