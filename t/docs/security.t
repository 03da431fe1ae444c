# SECURITY.md: each test that it names exists, each promise has one, and redirects are not followed.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Test;

my $root = "$FindBin::Bin/../..";

open my $file, '<', "$root/SECURITY.md" or die "SECURITY.md: $!\n";
my @line = <$file>;
my $heading = '';
my $promises = 0;

for my $line (@line) {
    $heading = $line if $line =~ /^\| promise \| test \|$/;
    $heading = '' if $line !~ /^\|/;
    next if $heading eq '' || $line =~ /^\|-/ || $line eq $heading;

    my ($promise, $tests) = $line =~ /^\| (.+) \| (.+) \|$/ or die "no row: $line";
    $promises++;
    like $tests, qr{^`t/\w+/\w+\.t`(?:, `t/\w+/\w+\.t`)*$}, "a test: $promise";
}
cmp_ok $promises, '>', 15, 'there are promises';

my %named = map { $_ => 1 } map { m{`(t/[\w/.]+)`}g } @line;
ok -f "$root/$_", "$_ exists" for sort keys %named;


# The emulator under another port, which no directive names, would see the credential.
my $t = CompletionAsync::Test->new;
my $other = CompletionAsync::Upstream->start;
$t->run_location(provider => '%%PROVIDER%% poll_interval 100ms 200ms;');

for my $status (301, 302, 303, 307, 308) {
    my %away = (status => $status, headers => {
        Location => $other->url . '/foundationModels/v1/completionAsync' });

    $t->emulator->fault(submit => 1, %away);
    $t->refused($t->post("text $status"), 502, 'upstream_rejected',
        "a submit led away by $status: 502");

    my $location = $t->submit("text $status [delay=0]")->{location};
    $t->emulator->fault(poll => '1', %away);
    is $t->poll_until_done($location)->json->{done}, 1, 'a poll is asked again';
}
is scalar $other->journal, 0, 'nothing went there';
ok $other->quit, 'where it would have been seen';
$t->done;
