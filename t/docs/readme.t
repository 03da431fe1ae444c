#!/usr/bin/perl

# The documents for readers: links lead somewhere, configurations do the main job or are valid,
# commands exist, README stays short, and README.ru.md says what README.md says.  The reference is
# t/docs/reference.t's.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Basename qw(dirname);
use Test::More;

use CompletionAsync::Example;
use CompletionAsync::Test;

my $MOST_LINES = 350;
my $root       = "$FindBin::Bin/../..";

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output);

my @names = map { s{^\Q$root/}{}r } map { glob "$root/$_" } '*.md', '*/README.md', '{t,docker}/*/README.md',
    'bench/RESULTS.md';
@names = grep { !m{^build} } @names;
my %text = map { $_ => CompletionAsync::Example::slurp("$root/$_") } @names;

for my $name (qw(README.md README.ru.md DIRECTIVES.md OPERATING.md SECURITY.md CHANGELOG.md
    src/README.md t/README.md conf-examples/README.md docker/README.md docker/packaging/README.md))
{
    ok exists $text{$name}, "there is $name";
}
cmp_ok $text{$_} =~ tr/\n//, '<=', $MOST_LINES, "$_ is short" for qw(README.md README.ru.md);

subtest 'links'           => \&links;
subtest 'commands'        => \&commands;
subtest 'every example'   => \&every_example;
subtest 'questions'       => \&questions;
subtest 'in Russian'      => \&in_russian;
subtest 'configurations'  => \&configurations;
done_testing;


# As GitHub makes it of a heading.
sub anchor ($heading) { lc $heading =~ s/[^\w\s-]//gr =~ s/\s/-/gr }


sub anchors ($name) {
    my $plain = $text{$name} =~ s/^```.*?^```$//gmsr;
    return map { anchor($_) => 1 } $plain =~ /^#+ (.+)$/mg;
}


# A path below the root, without ".." in it.
sub below ($path) {
    1 while $path =~ s{(?:^|(?<=/))[^/]+/\.\./}{};
    return $path =~ s{^\./}{}r;
}


sub links () {
    for my $name (@names) {
        my $folder = dirname($name);
        my @bad;

        for my $link ($text{$name} =~ /\]\(([^)\s]+)\)/g) {
            next if $link =~ /^https:/;
            my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
            my $file = $path eq '' ? $name : below("$folder/$path");

            if (!-e "$root/$file") {
                push @bad, "$link: no file";

            } elsif (defined $anchor) {
                my %anchor = $text{$file} ? anchors($file) : ();
                push @bad, "$link: no heading" if !$anchor{$anchor};
            }
        }
        is_deeply \@bad, [], $name;
    }
}


# What a reader is told to type exists: scripts, and targets of make.
sub commands () {
    my $help = qx(make -C '$root' --no-print-directory help);
    cmp_ok $help =~ tr/\n//, '<=', 24, 'make help fits on a screen';
    is_deeply [ grep { length > 80 } split /\n/, $help ], [], '... in width, too';

    my %target = map { $_ => 1 }
        CompletionAsync::Example::slurp("$root/Makefile") =~ /^([\w-]+)(?=[\w %-]*:(?!=))/mg;
    for my $name (@names, 'make help') {
        my $text = $text{$name} // $help;
        my %typed = map { $_ => 1 } $text =~ /(?:`|^)make ([a-z][a-z-]*)\b/mg;
        is_deeply [ grep { !$target{$_} && !/^deps-/ } sort keys %typed ], [], "make, $name";

        my @script = $text =~ m{(?:`|^)((?:t|docker|conf-examples|bench)/[\w/.]+)(?=[` ])}mg;
        is_deeply [ grep { !-e "$root/$_" } @script ], [], "files, $name";
    }
    for my $script (qw(conf-examples/demo t/run t/promtool t/clients/install docker/packaging/packages
        docker/packaging/deb docker/packaging/sbom docker/test))
    {
        ok -x "$root/$script", "$script can be run";
    }
    is qx('$root/docker/packaging/packages' --missing nothing 2>&1), "packages: there is no list \"nothing\"\n",
        'a list of packages that there is not';
}


# conf-examples/README.md leads to each of its files.
sub every_example () {
    my %linked = map { $_ => 1 } $text{'conf-examples/README.md'} =~ /\]\(([\w.-]+)/g;
    my @file   = map { s{.*/}{}r } glob "$root/conf-examples/*";
    is_deeply [ grep { !$linked{$_} && $_ ne 'README.md' && $_ ne 'translate' } @file ], [],
        'each is chosen by a question';
}


# Who looks something up in OPERATING.md finds it among the questions at its top.
sub questions () {
    my ($top, $rest) = split /(?=^## )/m, $text{'OPERATING.md'}, 2;
    my %asked = map { $_ => 1 } map { /\]\(#([^)]+)\)/g } $top =~ /^\| .*\? \| (.*)$/mg;
    is_deeply [ grep { !$asked{ anchor($_) } } $rest =~ /^## (.+)$/mg ], [], 'each part answers one';
}


sub in_russian () {
    my ($english, $russian) = @text{qw(README.md README.ru.md)};
    my $code  = sub ($text) { [ map { s/\s+#[^\n]*//gr } $text =~ /^```\w+\n(.*?)^```$/msg ] };
    my $shape = sub ($text) { [ map { length } $text =~ /^(#+) /mg ] };
    my $rows  = sub ($text) { [ map { scalar(() = /\|/g) } $text =~ /^(\|.*)$/mg ] };
    my $links = sub ($text) { [ sort grep { !/^#|^README/ } $text =~ /\]\(([^)\s]+)\)/g ] };

    is_deeply $code->($russian), $code->($english), 'the same commands and configurations';
    is_deeply $shape->($russian), $shape->($english), 'as many headings';
    is_deeply $rows->($russian), $rows->($english), 'tables of the same form';
    is_deeply $links->($russian), $links->($english), 'the same links';
}


sub blocks ($name) { $text{$name} =~ /^```nginx\n(.*?)^```$/msg }


# What README's block for the real API writes into conf.d, as Debian's nginx.conf includes it.
sub real_api () {
    my ($conf) = $text{'README.md'} =~ /^cat > \S+ <<END\n(.*?)^END$/ms or die "no block\n";
    return "load_module modules/ngx_http_completion_async_module.so;\n\n"
        . "events {\n}\n\nhttp {\n"
        . $conf =~ s/\$FOLDER;/b1g00000000000000000;/r =~ s/\$DNS /127.0.0.53 /r . "}\n";
}


# Whole ones do the main job, others are valid; those of DIRECTIVES.md are t/docs/reference.t's.
sub configurations () {
    my (@whole, @part);
    push @{ /^events \{/m ? \@whole : \@part }, $_
        for map { blocks($_) } grep { $_ ne 'DIRECTIVES.md' && $_ ne 'README.ru.md' && !/lib/ } @names;
    my $words = sub ($conf) { join ' ', split ' ', $conf };
    is $words->(real_api()),
        $words->(CompletionAsync::Example::slurp("$root/conf-examples/minimal.conf")),
        'the real API has the configuration of minimal.conf';

    for my $conf (real_api(), @whole) {
        like $conf, qr/^ *resolver /m, 'it starts while DNS is away';
        my $t = CompletionAsync::Test->new(emulator => { delay => 0.2 });
        $t->run(CompletionAsync::Example::render($t, $conf,
            files => { users => "alice:{PLAIN}a\n" }));
        unlike $t->log, qr/\[(?:warn|error)\]/, 'nothing speaks against it';

        CompletionAsync::Example::main_job($t, '/translate',
            headers => { Authorization => 'Basic YWxpY2U6YQ==', Prefer => 'respond-async' });
        subtest 'the end' => sub { $t->done };
    }

    my $t = CompletionAsync::Test->new;
    for my $http (@part) {
        my ($status, $output) = $t->nginx_t($t->http_conf($http));
        is $status, 0, 'a part of one is valid' or diag($output);
    }
    subtest 'the end' => sub { $t->done };
}
