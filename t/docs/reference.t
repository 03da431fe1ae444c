#!/usr/bin/perl

# DIRECTIVES.md against what the module says of itself: it is linked once more with
# t/docs/tables.c, which prints its tables and what it makes of a configuration.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Credentials;
use CompletionAsync::Example;
use CompletionAsync::Linked;
use CompletionAsync::Metrics;

plan skip_all => 'the module is linked in already' if $ENV{TEST_NGINX_STATIC};

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output);

my $root      = "$FindBin::Bin/../..";
my $reference = CompletionAsync::Example::slurp("$root/DIRECTIVES.md");

local $ENV{TEST_NGINX_MODULE} = CompletionAsync::Linked->module('tables', 't/docs/tables.c');
my $t = CompletionAsync::Credentials->new;
$t->secret_file('account.json', $t->account_key('account'));

my %provider = map { $_ => "completion_async_provider $_ { zone $_ 1m; folder f; " } 'a' .. 'd';
my $key      = 'api_key file:%%API_KEY_FILE%%; ';
my %is       = said("$provider{a} $key }");

my @documented = documented();
my %documented = map { $_->{name} => $_ } @documented;

subtest 'directives'  => \&directives;
subtest 'defaults'    => \&defaults;
subtest 'examples'    => \&examples;
subtest 'variables'   => \&variables;
subtest 'errors'      => \&errors;
subtest 'metrics'     => \&metrics;
subtest 'log lines'   => \&log_lines;
subtest 'names'       => \&names;
$t->done;


# What the module says with this in its http block, by kind: { name => [ fields ] }.  A resolver
# spares nginx -t the names of the real service.
sub said ($http) {
    my ($status, $output) = $t->nginx_t($t->http_conf("resolver 127.0.0.1:1;\n$http"));
    my %said = (status => $status, output => $output);

    $said{$1}{$2} = [ split /\t/, $3 ]
        while $output =~ /^(directive|variable|outcome|conf)\t([^\t\n]+)\t?(.*)$/mg;
    return %said;
}


# [ { name, Syntax, Default, Context, Since } ], ...
sub documented () {
    my @directive;

    while ($reference =~ /^### (\w+)\n\n((?:    .*\n)+)\n(?=\S)/mg) {
        my %field = (name => $1);
        my $head = $2;

        for my $what (qw(Syntax Default Context Since)) {
            $head =~ s/^    \Q$what\E:\s+(.*\n(?:     .*\n)*)//m or next;
            $field{$what} = $1 =~ s/^\s+|\s+$//gr =~ s/\s*\n\s*/\n/gr;
        }
        is $head, '', "$field{name}: these fields and nothing else";
        push @directive, \%field;
    }
    my @headings = $reference =~ /^### (\w+)$/mg;
    is_deeply [ map { $_->{name} } @directive ], \@headings, 'each is in nginx.org\'s form';
    return @directive;
}


# How many arguments a syntax allows; alternatives count once.
sub arguments ($name, $syntax) {
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
    return join ' ', sort keys %takes;
}


# The rows of the table below a heading, as their cells.
sub rows ($text, $heading) {
    my ($part) = $text =~ /^## \Q$heading\E\n(.*?)(?=^##? |\z)/ms or die "no $heading\n";
    return map { [ split /\s*\|\s*/, s/^\| //r ] } grep { /^\| `/ } split /\n/, $part;
}


sub ticked ($text) { $text =~ /`([^`]+)`/g }


sub directives () {
    is scalar @documented, keys %documented, 'each is described once';
    is_deeply [ sort keys %documented ], [ sort keys %{ $is{directive} } ], 'those of the module';

    my %release = map { $_ => 1 } CompletionAsync::Example::slurp("$root/CHANGELOG.md")
        =~ /^## \[([0-9.]+|Unreleased)\]/mg;

    for my $directive (@documented) {
        my $name = $directive->{name};
        my ($context, $takes, $flag) = @{ $is{directive}{$name} // next };

        is $directive->{Context}, $context =~ s/^, //r, "$name: its contexts";
        is arguments($name, $directive->{Syntax}), $takes =~ s/^ //r, "$name: as many arguments";
        like $directive->{Syntax}, qr/^\w+ on \| off;$/, "$name: a flag" if $flag;
        ok $release{ $directive->{Since} }, "$name: since a release";
    }
}


# A default that is written out changes nothing, and another value does.  What differs between
# two that are the same is an address, and says nothing.
sub defaults () {
    for my $directive (@documented) {
        my ($name, $default) = @$directive{qw(name Default)};
        next if $default =~ /^—(?: \(.+\))?$/;
        like $default, qr/^\Q$name\E [^;]+;$/, "$name: a default" or next;

        my $other = $default =~ s/=0;/=1;/r;
        $other =~ s{(https://\w+)}{$1-other} or $other =~ s/ off;/$name eq 'proxy'
            ? ' http:\/\/127.0.0.1:1;' : $name eq 'completion_async_cache' ? ' 1h shared;' : $name eq 'completion_async_split'
            ? ' 3k;' : ' on;'/e
            or $other =~ s/ on;/ off;/ or $other =~ s/([0-9]+)/$1 + 1/e;

        my %conf = conf($name, '', '', $default, $other);
        my @noise = grep { $conf{a}[$_] ne $conf{b}[$_] } 0 .. $#{ $conf{a} };
        my %noise = map { $_ => 1 } @noise;
        my $differ = sub ($one) {
            return scalar grep {
                !$noise{$_} && $conf{a}[$_] ne $conf{$one}[$_] && !pointers($conf{a}[$_],
                    $conf{$one}[$_])
            } 0 .. $#{ $conf{a} };
        };
        is $differ->('c'), 0, "$default is the default";
        isnt $differ->('d'), 0, "... and $other is not";
    }
}


sub pointers (@word) { !grep { !/^[0-9a-f]{11,12}$/ } @word }


# The words of four providers, or locations, a to d with these lines.
sub conf ($name, @line) {
    my $of_provider = $is{directive}{$name}[0] eq 'completion_async_provider';
    my $credential  = $name eq 'iam_url'
        ? 'service_account_key file:%%TESTDIR%%/account.json; ' : $key;
    my %line = map { $_ => shift @line } 'a' .. 'd';

    my $http = $of_provider
        ? join("\n", map { "$provider{$_} $credential $line{$_} }" } 'a' .. 'd')
        : "$provider{a} $key }\nserver { " . join(' ', map {
            "location /$_ { completion_async a; completion_async_model m; $line{$_} }"
        } 'a' .. 'd') . ' }';

    my %said = said($http);
    is $said{status}, 0, "$name: a configuration" or diag($said{output});
    return map { $_ => [ split ' ', $said{conf}{ $of_provider ? $_ : "/$_" }[0] ] } 'a' .. 'd';
}


sub examples () {
    my $scope = sub ($name) { $is{directive}{$name}[0] // '' };
    my @block = $reference =~ /^```nginx\n(.*?)^```$/msg;
    cmp_ok scalar @block, '>', 8, 'there are some';

    for my $block (@block) {
        my ($word) = $block =~ /^(\w+)/;
        my %place = (yandex => "completion_async_provider yandex { zone yandex 1m; folder f; $key }");
        my $id = 'file:%%API_KEY_FILE%%';

        $block =~ s{file:/etc/nginx/\w+\.key}{$id}g;
        if ($word eq 'completion_async_provider') {
            $place{yandex} = $block;
        } elsif ($scope->($word) eq 'completion_async_provider') {
            $place{yandex} =~ s/\}$/$block }/;
        } elsif ($word =~ /^map/) {
            $place{map} = $block;
        } else {
            $block = "location / { completion_async yandex; $block }" if $word ne 'location';
            $place{server} = "server { $block }";
        }

        $place{map} //= join "\n", map { "map \$arg_x $_ { default x; }" } qw($language $client);
        my %said = said(join "\n", map { $place{$_} }
            sort keys %place);
        is $said{status}, 0, $block =~ s/\s+/ /gr or diag($said{output});
    }
}


sub variables () {
    is_deeply [ sort map { $_->[0] =~ /^`\$(\w+)`$/ } rows($reference, 'Variables') ],
        [ sort keys %{ $is{variable} } ], 'those that are registered';
}


sub errors () {
    is_deeply { map { $_->[0] =~ tr/`//dr => [ @$_[1, 2] ] } rows($reference, 'Errors') },
        $is{outcome}, 'codes, statuses, and which may be repeated, are the module\'s';
}


sub metrics () {
    my $running = CompletionAsync::Test->new(emulator => { delay => 60 });
    $running->define(ID_KEY => $running->secret_file('id.key', 'k' x 64));
    $running->run($running->http_conf(<<'EOC'));
completion_async_provider yandex {
    zone yandex 1m; %%PROVIDER%%
    id_key file:%%ID_KEY%%; redis unix:%%TESTDIR%%/nobody;      # of which nobody asks anything
}
server { listen 127.0.0.1:%%PORT%%; location / { completion_async_metrics; } }
EOC
    my $metrics = CompletionAsync::Metrics->scrape($running, '/');
    my @row = rows($reference, 'Metrics');

    is_deeply { map { $_->[0] =~ tr/`//dr => $_->[1] } @row }, $metrics->{type},
        'those of a scrape, and their types';

    my (%label, %value);
    for my $sample (@{ $metrics->{samples} }) {
        my ($name, $of) = @$sample;
        my $family = exists $metrics->{type}{$name} ? $name : $name =~ s/_(?:bucket|sum|count)$//r;
        for my $label (grep { !/^(?:provider|le)$/ } keys %$of) {
            $label{$family}{$label} = 1;
            $value{$family}{ $of->{$label} } = 1;
        }
    }

    for my $row (@row) {
        my ($name, undef, $labels, $text) = @$row;
        $name =~ tr/`//d;
        # a moment is absent where there is none
        is_deeply [ sort(ticked($labels)) ], [ sort keys %{ $label{$name} } ], "$name: its labels";
        next if $name eq 'build_info';

        my %listed = map { $_ => 1 } ticked($text);
        $listed{$_} = 1 for $text =~ /\(#errors/ ? keys %{ $is{outcome} } : ();
        is_deeply [ grep { !$listed{$_} } sort keys %{ $value{$name} } ], [],
            '... of the values that are listed';
    }
    subtest 'the end' => sub { $running->done };
}


# What OPERATING.md explains is in the module, word for word; names and numbers stand between.
sub log_lines () {
    my $bytes = do {
        open my $file, '<:raw', $ENV{TEST_NGINX_MODULE} or die "the module: $!\n";
        local $/;
        <$file>;
    };
    my $text = CompletionAsync::Example::slurp("$root/OPERATING.md");
    my ($part) = $text =~ /^## Lines of the error log\n(.*?)^## What is promised/ms or die "no lines\n";
    my @line = map { ticked((split /\s*\|\s*/)[1] // '') } grep { /^\| / } split /\n/, $part;
    cmp_ok scalar @line, '>', 100, 'many lines';

    for my $line (@line) {
        my @piece = grep { /\w{3}/ } map { s/^\s+|[\s"]+$//gr }
            split /"?\b(?:FILE|ID|KEY|N|NAME|POLICY|URL|USER|WHY)\b"?|: |^upstream /, $line;
        is_deeply [ grep { index($bytes, $_) < 0 } @piece ], [], $line;
    }
}


# A name with the module's prefix that a page mentions exists.
sub names () {
    my %name = map { $_ => 1 } keys %{ $is{directive} }, keys %{ $is{variable} };
    my @page = (glob("$root/*.md"), glob("$root/*/README.md"));

    for my $page (@page) {
        my @named = grep { !/^completion_async_input_/ } CompletionAsync::Example::slurp($page)
            =~ /(?<![\w-])(completion_async(?:_[a-z]+)*)\b(?!_|\*)/g;
        is_deeply [ grep { !$name{$_} } @named ], [], 'every name in ' . $page =~ s{.*/\.\./}{}r;
    }
}
