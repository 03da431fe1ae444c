#!/usr/bin/perl

# The main job through every configuration that users are given.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use CompletionAsync::Example;
use CompletionAsync::Test;

my $text     = 'To be, or not to be: that is the question.';
my $expected = 'Быть или не быть: вот в чём вопрос.';

my @examples = (sort(glob "$FindBin::Bin/../conf-examples/*.conf"),
    glob "$FindBin::Bin/../docker/*.conf");

ok scalar @examples, 'there are examples';

for my $path (@examples) {
    subtest $path =~ s{.*/\.\./}{}r => sub { main_job($path) };
}

done_testing;


sub main_job ($path) {
    my $t = CompletionAsync::Test->new(emulator => { delay => 0.2 });

    $t->run(CompletionAsync::Example::render($t, CompletionAsync::Example::slurp($path)));

    my %type = (headers => { 'Content-Type' => 'text/plain' });
    my $r = $t->request(POST => '/translate', %type, body => $text);
    is $r->{status}, 202, 'accepted' or diag($r->{raw});

    my $location = $r->header('Location') // return fail('a Location');
    $r = $t->poll_until_done($location);
    is $r->json->{response}{alternatives}[0]{message}{text}, $expected, 'translated';

    $r = $t->request(GET => $location, headers => { Accept => 'text/plain' });
    is $r->text, $expected, 'and as text';

    my ($submit) = $t->emulator->submits;
    is $submit->{json}{messages}[-1]{text}, $text, 'what was asked';
    is scalar $t->emulator->submits, 1, 'submitted once';
    $t->done;
}
