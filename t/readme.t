#!/usr/bin/perl

# README's reference against the tables of the code, and its configurations
# against nginx.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use CompletionAsync::Example;
use CompletionAsync::Test;

my $root   = "$FindBin::Bin/..";
my $readme = CompletionAsync::Example::slurp("$root/README.md");

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output);


sub source ($name) { CompletionAsync::Example::slurp("$root/src/http/ngx_http_completion_$name.c") }


# { name => "http, server, ..." } of a table of ngx_command_t
sub commands ($source, $table, $default = undef) {
    my ($body) = $source =~ /^(?:static )?ngx_command_t\s+\Q$table\E\[\] = \{\n(.*?)^\};/ms
        or die "no table $table\n";
    my ($locations) = $source =~ /#define NGX_HTTP_COMPLETION_LOCATIONS[\s\\]*\(([\w|]+)\)/;

    my @context = (
        [ MAIN => 'http' ], [ SRV => 'server' ], [ LOC => 'location' ],
        [ LIF => 'if in location' ], [ LMT => 'limit_except' ], [ SIF => 'if' ],
    );
    my %command;

    while ($body =~ /\{ ngx_string\("(\w+)"\),\s*([^,]+),/g) {
        my ($name, $flags) = ($1, $2);
        $flags =~ s/NGX_HTTP_COMPLETION_LOCATIONS/$locations/;
        my @in = map { $$_[1] } grep { $flags =~ /NGX_HTTP_$$_[0]_CONF/ } @context;
        $command{$name} = $default // join ', ', @in;
    }
    return \%command;
}


sub documented ($text) {
    my %directive;

    while ($text =~ /^### (\w+)\n\n((?:    .*\n)+)\n(?=\S)/mg) {
        my ($name, $head) = ($1, $2);
        my %field = $head =~ /^    (\w+):\s+(.*)$/mg;
        like $field{Syntax}, qr/^\Q$name\E(?: [^;]+)?(?:;|\{ \.\.\. \})$/, "$name: a syntax";
        like $field{Default}, qr/^(?:—(?: \(.+\))?|\Q$name\E .+;)$/, "$name: a default";
        is $directive{$name}, undef, "$name: described once";
        $directive{$name} = $field{Context};
    }
    return \%directive;
}


# "| `code` | ... |"
sub column ($section) {
    my ($text) = $readme =~ /^#+ \Q$section\E\n(.*?)(?=^# |^## |\z)/ms or die "no $section\n";
    return map { [ split /\s*\|\s*/, s/^\| //r ] } grep { /^\| `/ } split /\n/, $text;
}


my ($directives) = $readme =~ /^# Directives\n(.*?)^# /ms;

is_deeply documented($directives), {
    %{ commands(source('conf'), 'ngx_http_completion_commands') },
    %{ commands(source('provider'), 'ngx_http_completion_provider_commands',
        'completion_async_provider') },
}, 'the directives and their contexts are those of the code';


my ($vars) = source('variables') =~ /ngx_http_completion_vars\[\] = \{\n(.*?)^\};/ms;
my %variable = map { $_ => 1 } $vars =~ /ngx_string\("(\w+)"\)/g;
$variable{completion_async_input_NAME} = 1 if $vars =~ /ngx_string\(NGX_HTTP_COMPLETION_INPUT\)/;

is_deeply [ sort map { $$_[0] =~ /^`\$(\w+)`$/ } column('Variables') ], [ sort keys %variable ],
    'the variables are those of the code';


my ($problems) = source('reply') =~ /ngx_http_completion_problems\[\] = \{\n(.*?)^\};/ms;
my %problem = map { reverse /([0-9]+), "(\w+)"/ } split /\n/, $problems;

is_deeply { map { $$_[0] =~ tr/`//dr => $$_[1] } column('Errors') }, \%problem,
    'the errors and their statuses are those of the code';


my ($families) = source('metrics') =~ /ngx_http_completion_families\[\] = \{\n(.*?)^\};/ms;
my %family = $families =~ /\{ "(\w+)", "(\w+)",/g;

is_deeply { map { $$_[0] =~ tr/`//dr => $$_[1] } column('Metrics') },
    { %family, build_info => 'gauge' }, 'the metrics and their types are those of the code';


my @conf = grep { /^events \{/m } $readme =~ /^```nginx\n(.*?)^```$/msg;
my $minimal = CompletionAsync::Example::slurp("$root/conf-examples/minimal.conf");

is $conf[0], $minimal, 'the first configuration is that of conf-examples/minimal.conf';

my $t = CompletionAsync::Test->new;

for my $i (0 .. $#conf) {
    my ($status, $output) = $t->nginx_t(CompletionAsync::Example::render($t, $conf[$i]));
    is $status, 0, 'configuration ' . ($i + 1) . ' is valid' or diag($output);
    unlike $output, qr/\[(?:warn|emerg)\]/, 'and nothing speaks against it' or diag($output);
}

$t->done;
