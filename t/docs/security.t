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
my $conf = $t->http_conf(<<'EOC');
completion_async_provider yandex { zone operations 1m; poll_interval 100ms 200ms; %%PROVIDER%% }
server {
    listen 127.0.0.1:%%PORT%%;
    location /translate {
        completion_async       yandex;
        completion_async_model yandexgpt-lite;
    }
}
EOC
$t->run($conf);

for my $status (301, 302, 303, 307, 308) {
    my %away = (status => $status, headers => {
        Location => $other->url . '/foundationModels/v1/completionAsync' });

    $t->emulator->fault(submit => 1, %away);
    my $r = $t->request(POST => '/translate', body => "text $status");
    is $r->{status}, 502, "a submit led away by $status: 502";
    is $r->json->{code}, 'upstream_rejected', 'which is a refusal';

    $r = $t->request(POST => '/translate', body => "text $status [delay=0]");
    $t->emulator->fault(poll => '1', %away);
    is $t->poll_until_done($r->header('Location'))->json->{done}, 1, 'a poll is asked again';
}
is scalar $other->journal, 0, 'nothing went there';
ok $other->quit, 'where it would have been seen';
$t->done;
