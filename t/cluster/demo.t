# "make cluster": two nodes and a Redis server, by one command, until Ctrl-C.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use CompletionAsync::Client;
use CompletionAsync::Test qw(wait_until);

my $root = "$FindBin::Bin/../..";
my $BUILD = 1800;               # s: of what is not built yet, however slow the machine is
my $WAIT  = 120;

pipe my $out, my $in or die "pipe: $!\n";
my $pid = fork // die "fork: $!\n";
if (!$pid) {
    # as a terminal does: Ctrl-C is for all of them
    POSIX::setpgid(0, 0);
    # Whoever started the tests may ignore them, as what a script starts by "&" does.
    @SIG{qw(INT TERM HUP PIPE)} = ('DEFAULT') x 4;
    delete @ENV{qw(YC_FOLDER_ID YC_API_KEY)};
    open STDOUT, '>&', $in;
    open STDERR, '>&', $in;
    open STDIN, '<', '/dev/null';
    exec "$root/conf-examples/demo", '--cluster' or POSIX::_exit(127);
}
close $in;

my ($said, $ended, $owner) = ('', 0, $$);

END {
    local $?;
    kill TERM => $pid if defined $pid && $$ == $owner;
}


# Until it has said that, behind what is known already, or has ended.
sub says ($pattern, $from = 0, $wait = $WAIT) {
    wait_until(sub {
        my $ready = '';
        vec($ready, fileno $out, 1) = 1;
        $ended = !sysread $out, $said, 4096, length $said
            while !$ended && select(my $can = $ready, undef, undef, 0);
        return $ended || substr($said, $from) =~ $pattern;
    }, $wait);
    return substr($said, $from) =~ $pattern;
}

# Of the lines that come from now on.
sub line ($pattern) { says($pattern, length $said) }

sub url_request ($url, $method, $path, %opt) {
    my ($port) = $url =~ /:(\d+)/;
    return CompletionAsync::Client->new(port => $port, timeout => 20)->request($method, $path, %opt);
}


ok says(qr/^== nginx$/m, 0, $BUILD), 'it builds the module' or die $said;
ok says(qr/^node 1: .*Redis: .*\n/m), 'it tells what they count' or die $said;
my ($page, $other) = $said =~ m{http://127\.0\.0\.1:\d+}g;
my ($redis) = $said =~ /kill -STOP (\d+)/;
my ($node)  = $said =~ /kill (\d+)$/m;
my ($upstream) = $said =~ m{^Behind them is http://127\.0\.0\.1:(\d+)}m;
ok $page && $other && $redis && $node && $upstream, 'and where they are' or diag $said;

like url_request($page, GET => '/')->{body}, qr/<title>Translate</, 'there is the page';

my %ask = (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => 'one' }, body => 'Hi');
my @r = map { url_request($_, POST => '/translate', %ask) } $page, $other;
is_deeply [ map { $_->{status} } @r ], [ 202, 202 ], 'both take a key';
is $r[0]->json->{id}, $r[1]->json->{id}, '... which is one for both';
ok line(qr/^node 1: 1 paid, .*node 2: 0 paid, 1 other.*Redis: [1-9]\d* keys/m), 'that is counted';

kill STOP => $redis;
ok line(qr/Redis: does not answer/), 'Redis may be taken away';
kill CONT => $redis;
ok line(qr/Redis: \d+ keys/), '... and comes back';

kill TERM => $node;
ok line(qr/^node 1: \d.*node 2: does not answer/m), 'so may a node';

kill INT => -$pid;
close $out;
waitpid $pid, 0;
is $? >> 8, 130, 'Ctrl-C ends it, also where nobody reads it any more' or diag $?, $said;
undef $pid;
ok wait_until(sub { !kill 0 => $redis }), '... and Redis';
ok wait_until(sub { !kill 0 => $node }), '... and the nodes';
ok !IO::Socket::INET->new("127.0.0.1:$_"), "... nobody listens at $_"
    for $upstream, map { /(\d+)$/ } $page, $other;

done_testing;
