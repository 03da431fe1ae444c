use strict;
use warnings;
use v5.36;

# nginx's style, as far as a machine can tell.

use FindBin;
use Test::More;

my $ROOT = "$FindBin::Bin/../..";

my $MAX_COLUMNS = 80;
my $MAX_LINES   = 1200;


# Comments, strings and character constants become blanks; columns and lines stay.
sub code_of ($text) {
    my $blank = sub ($part) { $part =~ s/[^\n]/ /gr };
    my $quote = sub ($part) { substr($part, 0, 1) . $blank->(substr $part, 1, -1)
        . substr $part, -1 };

    return $text =~ s{(/\*.*?\*/)|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}
        {defined $1 ? $blank->($1) : $quote->($2)}gesr;
}


sub line_at ($text, $offset) { 1 + (substr($text, 0, $offset) =~ tr/\n//) }


# Each fault as "LINE: WHAT".
sub faults ($text) {
    my $code = code_of($text);
    return (
        of_lines($text),
        of_file($text),
        of_comments($code),
        of_braces($code),
        of_else($text, $code),
        of_functions($text, $code),
    );
}


sub of_lines ($text) {
    my ($n, @fault) = 0;
    for my $line (split /\n/, $text) {
        $n++;
        push @fault, "$n: a tab" if $line =~ /\t/;
        push @fault, "$n: a space at the end" if $line =~ /[ \r]$/;
        push @fault, "$n: more than $MAX_COLUMNS columns" if length $line > $MAX_COLUMNS;
    }
    return @fault;
}


sub of_file ($text) {
    my $lines = $text =~ tr/\n//;
    return (
        $text !~ /[^\n]\n\z/ ? "$lines: not one line end at the end" : (),
        $lines > $MAX_LINES ? "$lines: more than $MAX_LINES lines" : (),
    );
}


sub of_comments ($code) {
    my @fault;
    push @fault, line_at($code, $-[0]) . ': a comment of two slashes' while $code =~ m{//}g;
    return @fault;
}


# What follows if, for, while and else, in macros too.
sub of_braces ($code) {
    my @fault;
    my $plain = $code =~ s/^[ ]*#[ ]*(?:if|ifdef|ifndef|elif|else|endif|include)\b.*$/
        ' ' x length $&/gemr;
    $plain =~ s/\\\n/ \n/g;

    while ($plain =~ /\b(if|for|while|else)\b/g) {
        my ($word, $at, $from) = ($1, $-[0], $+[0]);
        my $rest = substr $plain, $from;

        if ($word eq 'else') {
            next if $rest =~ /^\s*(?:\{|if\b)/;

        } else {
            # While a do block ends, its semicolon does.
            next if $rest !~ /^\s*(\((?:[^()]++|(?1))*\))\s*/;
            my $next = substr $rest, $+[0], 1;
            my $do   = $word eq 'while' && substr($plain, 0, $at) =~ /\}\s*\z/;
            next if $next eq '{' || $do && $next eq ';';
        }
        push @fault, line_at($plain, $at) . ": no brace after $word";
    }
    return @fault;
}


sub of_else ($text, $code) {
    my @line = split /\n/, $text;
    my @code = split /\n/, $code;
    my @fault;
    for my $n (1 .. $#line) {
        push @fault, $n + 1 . ': else without a brace before it' if $code[$n] =~ /^\s*else\b/;
        push @fault, $n + 1 . ': no blank line before else'
            if $code[$n] =~ /^\s*\} else\b/ && $line[ $n - 1 ] ne '';
    }
    return @fault;
}


sub of_functions ($text, $code) {
    my @line = split /\n/, $text;
    my @code = split /\n/, $code;
    my @fault;

    for my $n (0 .. $#line) {

        # two blank lines behind each, one before a directive of the preprocessor
        if ($line[$n] eq '}') {
            my ($blank) = join("\n", @line[ $n + 1 .. $#line ], '') =~ /^(\n*)/;
            my $follows = $line[ $n + 1 + length $blank ] // next;
            push @fault, $n + 1 . ': not two blank lines behind a function'
                if length $blank != 2 && !(length $blank == 1 && $follows =~ /^#/);
        }

        # a body, and the name above it
        next if $line[$n] ne '{' || $n == 0;
        my $name = $n - 1;
        $name-- while $name > 0 && $code[$name] =~ /^\s/;
        next if $code[$name] !~ /^(\S.*?)?\b(\w+)\(/;

        push(@fault, $name + 1 . ': the type is not on its own line'), next
            if defined $1 && $1 ne '';
        push(@fault, $name + 1 . ': no type above the name'), next
            if $name == 0 || $code[ $name - 1 ] !~ /^(?:\w+ )*\w+(?: \**)?$/;

        # a comment belongs to the function, with or without a blank line between
        my $top = $name - 1;
        my $above = $top - 1;
        $above-- while $above >= 0 && $code[$above] =~ /^\s*$/ && $line[$above] ne '';
        if ($above == $top - 1 && $above > 0 && $line[$above] eq ''
            && $line[ $above - 1 ] =~ m{\*/$})
        {
            $above--;
            $above-- while $above >= 0 && $code[$above] =~ /^\s*$/ && $line[$above] ne '';
        }
        my $blank = 0;
        $blank++, $above-- while $above >= 0 && $line[$above] eq '';
        push @fault, $top + 1 . ': not two blank lines before a function'
            if $above >= 0 && $blank != 2 && $line[$above] !~ /^#/;
    }
    return @fault;
}


# The checker itself: it takes what is right, and sees each single fault.

my $good = <<'EOC';

/*
 * What it is for.
 */


#include <ngx_config.h>


typedef struct {
    int  a;
} ngx_completion_t;


#define ngx_completion_macro(x)                                               \
    if (x) {                                                                  \
        x = 0;                                                                \
    }


static int ngx_completion_other(int a,
    int b);


/* why, not "what" */

int
ngx_completion_one(int a)
{
    const char  *url = "http://host/*not a comment*/", quote = '"';

    if (a) {
        a = 1;

    } else if (a == 2) {
        do {
            a--;
        } while (a > 0);

    } else {
        for ( /* void */ ; a; a--) {
            while (a) { a--; }
        }
    }

    return a;   /* if (a) b; */
}


#if (NGX_DEBUG)

static const char *
ngx_completion_other(int a,
    int b)
{
    return NULL;
}

#endif


static struct ngx_completion_s **
ngx_completion_last(void)
{
    return 0;
}
EOC
is_deeply [ faults($good) ], [], 'what is right has no fault';

for my $case (
    [ 'a tab'                    => qr/^    const/m,  "\tconst" ],
    [ 'a tab'                    => qr/not a/,        "not\ta" ],
    [ 'a space at the end'       => qr/a = 1;$/m,     'a = 1; ' ],
    [ 'a space at the end'       => qr/^$/m,          ' ' ],
    [ 'a space at the end'       => qr/a = 1;$/m,     "a = 1;\r" ],
    [ 'more than 80 columns'     => qr/a = 1;/,       'a = ' . '1' x 68 . ';' ],
    [ 'a comment of two slashes' => qr/a = 1;/,       'a = 1; // one' ],
    [ 'no brace after if'        => qr/if \(a\) \{\n\s+a = 1;\n\n    \} else if/,
        "if (f(a))\n        a = 1;\n\n    if" ],
    [ 'no brace after if'        => qr/if \(x\) \{ +\\\n( +x = 0;) +\\\n +\}/,
        "if (x) " . ' ' x 67 . "\\\n        x = 0;" ],
    [ 'no brace after for'       => qr/for \(.*?\) \{\n(.*\n)\s+\}/, "for (;;)\n        { a--; }"
        =~ s/\{ (.*) \}/$1/r ],
    [ 'no brace after while'     => qr/while \(a\) \{ a--; \}/, 'while (a) a--;' ],
    [ 'no brace after while'     => qr/while \(a\) \{ a--; \}/, 'while (a);' ],
    [ 'no brace after else'      => qr/else \{\n.*\n.*\n.*\n    \}/, "else\n        a = 3;" ],
    [ 'no blank line before else' => qr/\n\n    \} else if/, "\n    } else if" ],
    [ 'else without a brace before it' => qr/\} else \{/, "}\n    else {" ],
    [ 'not two blank lines behind a function' => qr/^\}\n\n\n/m, "}\n\n\n\n" ],
    [ 'not two blank lines behind a function' => qr/^\}\n\n\n#if.*?\n/m, "}\n" ],
    [ 'not two blank lines before a function' => qr/b\);\n\n\n/, "b);\n\n" ],
    [ 'not two blank lines before a function' => qr/(?<=b\);)\n\n\n.*\n/, "\n" ],
    [ 'the type is not on its own line' => qr/int\nngx/,  'int ngx' ],
    [ 'the type is not on its own line' => qr/static const char \*\nngx/,
        'static const char *ngx' ],
    [ 'no type above the name'   => qr/^int\n(?=ngx)/m, '' ],
    [ 'not one line end at the end' => qr/\}\n\z/,     '}' ],
    [ 'not one line end at the end' => qr/\}\n\z/,     "}\n\n" ],
    [ 'more than 1200 lines'     => qr/(?<=\*\/\n)/,   "\n" x 1200 ],
) {
    my ($fault, $from, $to) = @$case;
    my $bad = $good =~ s/$from/$to/r;
    isnt $bad, $good, "a snippet with $fault";
    my %seen = map { s/^\d+: //r => 1 } faults($bad);
    ok $seen{$fault}, '... is seen' or diag(join "\n", faults($bad));
    ok !grep({ $_ ne $fault && $_ !~ /^(?:not two blank|no type)/ } keys %seen),
        '... and nothing else' or diag(join "\n", faults($bad));
}


# The sources

my @files;
for my $file (sort glob "$ROOT/src/*.[ch] $ROOT/src/*/*.[ch] $ROOT/src/*/*/*.[ch]") {
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my $name = $file =~ s{^\Q$ROOT\E/}{}r;

    push @files, $name;
    like $text, qr{\A\n/\*\n \* \S}, "$name says what it is for" if $name =~ /\.h$/;
    is join("\n", map { "$name:$_" } faults($text)), '', $name;
}
cmp_ok scalar @files, '>=', 20, 'there are sources';
done_testing;
