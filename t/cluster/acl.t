use strict;
use warnings;
use v5.36;

# The user of its own that OPERATING.md shows: all that is done is allowed to it, and no more.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);
use File::Temp qw(tempdir);
use Test::More;

my $dir = tempdir(CLEANUP => 1);
my $key = "$dir/redis.key";

open my $out, '>', $key or die "$key: $!\n";
chmod 0600, $key;
print $out "a-password\n";
close $out;

open my $in, '<', "$FindBin::Bin/../../OPERATING.md" or die "OPERATING.md: $!\n";
my ($line) = grep { /^user completion on / } <$in>;
close $in;
ok $line, 'OPERATING.md has the line of a user' or BAIL_OUT('no line');
chomp $line;
$line =~ s/>PASSWORD/>a-password/;

# it is there before the nodes, who read their news from the start on
my $nodes = CompletionAsync::Nodes->new(
    redis      => { acl => [$line] },
    emulator   => { delay => 0.1 },
    parameters => "timeout=30s user=completion password=file:$key",
    provider   => 'submit_rate 100r/s; poll_interval 50ms 200ms;',
    http       => 'completion_async_cache 1h shared;',
);
my ($one, $two) = $nodes->all;
my $redis = $nodes->redis;

isnt $redis->cli(ACL => GETUSER => 'completion'), undef, 'a server takes it';

for my $case ([ one => 'a text' ], [ two => '[outcome=failed:13:no]another' ]) {
    my ($name, $text) = @$case;
    my @key = (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $name });
    my $r   = $one->post($text, @key);
    is $r->{status}, 202, 'a submit with a key';
    is $two->post($text, @key)->json->{id}, $r->json->{id}, '... is known to the other node';
    $one->poll_until_done($r->header('Location'));
}
ok wait_until(sub { 1 == grep { /:c:/ } @{ $redis->cli(KEYS => '*') } }, 30), 'what failed goes';
ok $two->stop, 'a node leaves';
ok wait_until(sub {
    my ($nodes) = grep { /:nodes$/ } @{ $redis->cli(KEYS => '*') };
    !$nodes || $redis->cli(ZCARD => $nodes) <= 1;
}, 30), '... the others';

is $one->metrics->value('redis_up'), 1, 'the server is reachable';
is $one->metrics->sum('redis_errors_total'), 0, '... and has refused nothing';
unlike $_->log, qr/NOPERM|not reachable/, 'nobody tells of it' for $one, $two;

like $redis->cli(ACL => DRYRUN => 'completion', GET => 'somebody-elses'),
    qr/ has no permissions to access the 'somebody-elses' key/, 'other names are not its own';

$nodes->done;
