#!/usr/bin/perl

# README's reference, in both languages, against the tables of the code; its
# configurations do the main job.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use CompletionAsync::Example;
use CompletionAsync::Test;

my $root = "$FindBin::Bin/..";

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output);

# What the headings and labels are called in each language.
my %language = (
    'README.md' => {
        map { $_ => $_ } qw(Directives Syntax Default Context Variables Errors Metrics),
    },
    'README.ru.md' => {
        Directives => 'Директивы',
        Syntax     => 'Синтаксис',
        Default    => 'Умолчание',
        Context    => 'Контекст',
        Variables  => 'Переменные',
        Errors     => 'Ошибки',
        Metrics    => 'Метрики',
    },
);
my %readme = map { $_ => CompletionAsync::Example::slurp("$root/$_") } keys %language;
my $source = join '', map { CompletionAsync::Example::slurp($_) }
    glob "$root/src/http/*.c $root/src/dialect/*/*.c";

# The fields of the configuration that a directive with a reader of its own sets.
my %fields = (
    poll_interval             => [ qw(poll_min poll_max) ],
    poll_rate                 => [ qw(poll_rate.n poll_rate.unit) ],
    submit_queue              => [ qw(submit_queue submit_queue_time) ],
    completion_async_cache    => [ 'cache' ],
    completion_async_wait     => [ qw(wait_max wait_default) ],
);

my %directives = (
    %{ commands('ngx_http_completion_commands') },
    %{ commands('ngx_http_completion_provider_commands', 'completion_async_provider') },
    %{ commands('ngx_completion_yandex_commands', 'completion_async_provider') },
);

my %described;

for my $file (sort keys %readme) {
    subtest $file => sub { reference($file) };
}

subtest 'README.ru.md and README.md' => sub { same_reference() };
subtest 'configurations' => sub { configurations() };
done_testing;


# The code's side

# { name => { context, takes, set, field } } of a table of ngx_command_t
sub commands ($table, $context = undef) {
    my ($body) = $source =~ /^(?:static )?ngx_command_t\s+\Q$table\E\[\] = \{\n(.*?)^\};/ms
        or die "no table $table\n";
    my ($locations) = $source =~ /#define NGX_HTTP_COMPLETION_LOCATIONS[\s\\]*\(([\w|]+)\)/;
    my %command;

    while ($body =~ /\{ ngx_string\("(\w+)"\),\s*([^,]+),\s*(\w+),(.*?)\}/gs) {
        my ($name, $flags, $set, $rest) = ($1, $2, $3, $4);
        $flags =~ s/NGX_HTTP_COMPLETION_LOCATIONS/$locations/;
        my ($field) = $rest =~ /offsetof\(\w+,\s*([\w.]+)\)/;

        $command{$name} = {
            context => $context // contexts($flags),
            takes   => join(' ', arguments_of_flags($flags)),
            flag    => $flags =~ /NGX_CONF_FLAG/ ? 1 : 0,
            set     => $set,
            fields  => $fields{$name} // [ $field // () ],
        };
    }
    return \%command;
}


sub contexts ($flags) {
    my @context = (
        [ MAIN => 'http' ], [ SRV => 'server' ], [ LOC => 'location' ],
        [ LIF => 'if in location' ], [ LMT => 'limit_except' ], [ SIF => 'if' ],
    );
    return join ', ', map { $$_[1] } grep { $flags =~ /NGX_HTTP_$$_[0]_CONF/ } @context;
}


# How many arguments, as far as nginx's flags count them.
sub arguments_of_flags ($flags) {
    my %takes;

    $takes{0} = 1 if $flags =~ /NGX_CONF_NOARGS/;
    $takes{1} = 1 if $flags =~ /NGX_CONF_FLAG/;
    $takes{$_} = 1 for map { split // } $flags =~ /NGX_CONF_TAKE([0-9]+)/g;
    $takes{$_} = 1 for map { $_ .. 7 } $flags =~ /NGX_CONF_([12])MORE/g;
    return sort keys %takes;
}


# What a field is without its directive: C's expression, or undef.
sub initial ($field) {
    my @value = $source =~ /(?:merge|init)(?:_\w+)?_value\(\w+->(?:\w+\.)*\Q$field\E,\s*
        (?:[\w>-]+,\s*)?([^;]+?)\);/gx;
    return (grep({ !/UNSET/ } @value), @value)[0] if @value;

    my ($begin) = $source =~ /^ngx_http_completion_block_init\((.*?)^\}/ms;
    return $begin =~ /^    \w+->(?:\w+\.)*\Q$field\E = ([^;]+);/m ? $1 : undef;
}


# The default as the code has it: numbers, times in ms; empty: none.
sub default_of_code ($command) {
    my @value = map { initial($_) } @{ $command->{fields} };

    return [] if !grep { defined } @value;
    $_ //= 0 for @value;
    return [] if grep { /^(?:NULL|""|\w*UNSET\w*)$/ } @value;
    die "cannot read \"$_\"\n" for grep { !/^[0-9 *]+$/ } @value;

    my $unit = $command->{set} =~ /_sec_slot$/ ? 1000 : 1;
    return [ map { eval($_) * $unit } @value ];
}


sub url_of_code ($name) {
    my ($define) = $source =~ m{(NGX_COMPLETION_\w+_URL),\s*/\* \Q$name\E \*/} or return;
    my @text = map { CompletionAsync::Example::slurp($_) } glob "$root/src/*/*.h $root/src/*/*/*.h";
    my ($url) = join('', @text) =~ /#define \Q$define\E((?:[\s\\]+"[^"]*")+)\n/
        or die "no $define\n";
    return join '', $url =~ /"([^"]*)"/g;
}


# What a table of src says, two words a line.
sub pairs_of ($table, $line) {
    my $text = CompletionAsync::Example::slurp("$root/src/$table");
    my @pair;
    push @pair, [ $1, $2 ] while $text =~ /$line/g;
    return @pair;
}


# README's side

# [ name, { Syntax, Default, Context, text } ], ...
sub documented ($file) {
    my $label = $language{$file};
    my ($text) = $readme{$file} =~ /^# $label->{Directives}\n(.*?)^# /ms or die "no directives\n";
    my @directive;

    while ($text =~ /^### (\w+)\n\n((?:    .*\n)+)\n(?=\S)/mg) {
        my ($name, $head) = ($1, $2);
        my %field = (name => $name);

        for my $what (qw(Syntax Default Context)) {
            $head =~ s/^    \Q$label->{$what}\E:\s+(.*\n(?:     .*\n)*)//m or next;
            $field{$what} = $1 =~ s/^\s+|\s+$//gr =~ s/\s*\n\s*/\n/gr;
        }
        is $head, '', "$name: a syntax, a default, a context, and nothing else";
        push @directive, \%field;
    }
    my @headings = $text =~ /^### (\w+)$/mg;
    is_deeply [ map { $_->{name} } @directive ], \@headings, 'each is in nginx.org\'s form';
    return @directive;
}


# How many arguments a syntax allows; alternatives count once.
sub arguments_of_syntax ($name, $syntax) {
    my %takes;

    for my $line (split /\n/, $syntax) {
        like $line, qr/^\Q$name\E(?: [^;{]+)?(?:;| \{ \.\.\. \})$/, "$name: a syntax";
        my $rest = $line =~ s/^\w+//r =~ s/\s*(?:;|\{ \.\.\. \})$//r =~ s/\s*\|\s*/|/gr;

        my $more = $rest =~ s/\[[^]]*\.\.\.\]|\.\.\.//g;
        my $optional = () = $rest =~ s/\[[^]]*\]//g;
        $optional = 0 + ($line =~ tr/[//) if !$more;
        my $least = () = $rest =~ /\S+/g;
        $takes{$_} = 1 for $least .. ($more ? 7 : $least + $optional);
    }
    return sort keys %takes;
}


# As default_of_code() has it.
sub default_of_text ($name, $text) {
    return [] if $text =~ /^—(?: \(.+\))?$/;

    my ($args) = $text =~ /^\Q$name\E (.+);$/ or return [ $text ];
    return [ map { number(s/^default=//r) } split / /, $args ];
}


sub number ($word) {
    my %word = (on => 1, off => 0);
    my %unit = (ms => 1, s => 1e3, m => 60e3, h => 3600e3, d => 86400e3);

    return $word{$word} if exists $word{$word};
    return ($1, $unit{$2}) if $word =~ m{^([0-9]+)r/([smh])$};
    return $1 * $unit{$2} if $word =~ /^([0-9]+)(ms|s|h|d)$/;
    return $1 * { k => 1024, m => 1024 ** 2 }->{$2} if $word =~ /^([0-9]+)([km])$/;
    return $word;
}


# "| `code` | ... |"
sub column ($file, $section) {
    my $heading = $language{$file}{$section};
    my ($text) = $readme{$file} =~ /^#+ \Q$heading\E\n(.*?)(?=^# |^## |\z)/ms or die "no $heading\n";
    return map { [ split /\s*\|\s*/, s/^\| //r ] } grep { /^\| `/ } split /\n/, $text;
}


# As GitHub makes it of a heading.
sub anchor ($heading) { lc $heading =~ s/[^\w\s-]//gr =~ s/\s/-/gr }


# Both of them

sub reference ($file) {
    my @documented = documented($file);
    $described{$file} = \@documented;
    my %documented = map { $_->{name} => $_ } @documented;

    is scalar @documented, keys %documented, 'each directive is described once';
    is_deeply [ sort keys %documented ], [ sort keys %directives ],
        'the directives are those of the code';

    for my $directive (@documented) {
        my $name = $directive->{name};
        my $command = $directives{$name} // next;

        is $directive->{Context}, $command->{context}, "$name: its contexts";
        is join(' ', arguments_of_syntax($name, $directive->{Syntax})), $command->{takes},
            "$name: as many arguments";
        like $directive->{Syntax}, qr/^\w+ on \| off;$/, "$name: a flag" if $command->{flag};

        if (my $url = url_of_code($name)) {
            is $directive->{Default}, "$name $url;", "$name: its default";

        } elsif ($name ne 'proxy') {    # off, for want of any
            is_deeply default_of_text($name, $directive->{Default}), default_of_code($command),
                "$name: its default";
        }
    }

    my ($vars) = $source =~ /ngx_http_completion_vars\[\] = \{\n(.*?)^\};/ms;
    my %variable = map { $_ => 1 } $vars =~ /ngx_string\("(\w+)"\)/g;
    $variable{completion_async_input_NAME} = 1 if $vars =~ /ngx_string\(NGX_HTTP_COMPLETION_INPUT\)/;

    is_deeply [ sort map { $$_[0] =~ /^`\$(\w+)`$/ } column($file, 'Variables') ],
        [ sort keys %variable ], 'the variables are those of the code';

    my $table = 'model/ngx_completion_outcomes.def';
    my %problem = map { reverse @$_ }
        pairs_of($table, qr/^NGX_COMPLETION_OUTCOME\(\w+, ([0-9]+), "(\w+)"/m);
    my @repeated = map { $_->[0] }
        pairs_of($table, qr/^NGX_COMPLETION_OUTCOME\(\w+, [0-9]+, "(\w+)",\s+"[^"]*", (REPEAT), /m);

    is_deeply { map { $$_[0] =~ tr/`//dr => $$_[1] } column($file, 'Errors') }, \%problem,
        'the errors and their statuses are those of the code';

    my ($true) = $readme{$file} =~ /^`x-should-retry` .*?`true`(.*?)`false`/ms;
    is_deeply [ sort $true =~ /`(\w+)`/g ], [ sort @repeated ], 'so are those to be repeated';

    my %family = map { @$_ } pairs_of('store/ngx_completion_counters.def',
        qr/^NGX_COMPLETION_FAMILY\("(\w+)", "(\w+)"/m);

    is_deeply { map { $$_[0] =~ tr/`//dr => $$_[1] } column($file, 'Metrics') },
        { %family, build_info => 'gauge' }, 'the metrics and their types are those of the code';

    my @named = grep { !/^completion_async_input_/ }
        $readme{$file} =~ /(?<![\w-])(completion_async(?:_[a-z]+)*)\b(?!_|\*)/g;
    is_deeply [ grep { !$directives{$_} && !$variable{$_} } @named ], [],
        'every name that is mentioned exists';

    my %anchor = map { anchor($_) => 1 } $readme{$file} =~ /^#+ (.+)$/mg;
    my @links  = $readme{$file} =~ /\]\(([^)\s]+)\)/g;
    is_deeply [ grep { /^#(.*)/ && !$anchor{$1} } @links ], [], 'every link leads to a heading';
    is_deeply [ grep { !/^(?:#|https:)/ && !-e "$root/" . s/#.*//r } @links ], [],
        '... or to a file';
}


sub same_reference () {
    my ($english, $russian) = @described{qw(README.md README.ru.md)};
    my $plain = sub ($directive) {
        return { %$directive, Default => $directive->{Default} =~ s/ \(.*//r };
    };

    is_deeply [ map { $plain->($_) } @$russian ], [ map { $plain->($_) } @$english ],
        'the same directives in the same order, of the same syntax, default and context';
    is_deeply [ blocks('README.ru.md') ], [ blocks('README.md') ], 'the same configurations';
    is quick_start('README.ru.md'), quick_start('README.md'), '... and quick start';
}


sub blocks ($file) { $readme{$file} =~ /^```nginx\n(.*?)^```$/msg }


# What the quick start writes into conf.d, as Debian's nginx.conf includes it.
sub quick_start ($file) {
    my ($conf) = $readme{$file} =~ /^cat > \S+ <<END\n(.*?)^END$/ms or die "no quick start\n";
    return "load_module modules/ngx_http_completion_async_module.so;\n\n"
        . "events {\n}\n\nhttp {\n" . $conf =~ s/\$FOLDER;/b1g00000000000000000;/r . "}\n";
}


sub configurations () {
    my ($complete, $part) = ([ quick_start('README.md') ], []);
    push @{ /^events \{/m ? $complete : $part }, $_ for blocks('README.md');

    is $complete->[1], CompletionAsync::Example::slurp("$root/conf-examples/minimal.conf"),
        'the first one is that of conf-examples/minimal.conf';

    for my $conf (@$complete) {
        my $t = CompletionAsync::Test->new(emulator => { delay => 0.2 });
        $t->run(CompletionAsync::Example::render($t, $conf,
            files => { users => "alice:{PLAIN}a\n" }));
        unlike $t->log, qr/\[(?:warn|error)\]/, 'nothing speaks against it';

        CompletionAsync::Example::main_job($t, '/translate',
            headers => { Authorization => 'Basic YWxpY2U6YQ==', Prefer => 'respond-async' });
        subtest 'the end' => sub { $t->done };
    }

    my $t = CompletionAsync::Test->new;
    for my $http (@$part) {
        $http = "server { listen 127.0.0.1:%%PORT%%; $http }" if $http =~ /^location/;
        my ($status, $output) = $t->nginx_t($t->http_conf($http));
        is $status, 0, 'a part of one is valid' or diag($output);
    }
    subtest 'the end' => sub { $t->done };
}
