# A node that was by itself, without an id_key, joins the others by a reload: its new ids are good on
# all of them, and those of before on itself.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);

plan skip_all => 'without a master nothing is loaded anew' if ($ENV{TEST_NGINX_MASTER} // '') eq 'off';

my $nodes = CompletionAsync::Nodes->new(
    n          => 1,
    emulator   => { delay => 600 },
    parameters => 'timeout=30s keys=strict',
    provider   => 'poll_interval 30s 60s;',
);
my ($one) = $nodes->all;
my $two = $nodes->more($nodes->conf =~ s/ redis [^;]+;//r =~ s/ id_key [^;]+;//r);

sub keyed ($node, $key) {
    my $r = $node->post($key, headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key });
    is $r->{status}, 202, "$key: accepted";
    return $r->header('Location');
}

my $before = keyed($two, 'before');
$two->conf($nodes->conf);
ok $two->reload(wait_old => 1), 'the node joins';
is $two->poll($before)->{status}, 200, 'an id of before is good there';

my $since = keyed($two, 'since');
is $_->poll($since)->{status}, 200, 'and one since then on each' for $one, $two;
is keyed($one, 'since'), $since, 'and its key is known to all';
is $one->request(DELETE => $since)->{status}, 200, 'what one cancels';
ok wait_until(sub { ($two->poll($since)->json->{error}{code} // 0) == 1 }, 30), 'is cancelled for the other one';

$nodes->done;
