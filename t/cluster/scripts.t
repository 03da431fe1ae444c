use strict;
use warnings;
use v5.36;

# The scripts that run on the Redis server, against a real one: every branch, and no other clock
# than the server's own.

use FindBin;
use lib "$FindBin::Bin/../lib";

use CompletionAsync::Client qw(wait_until);
use CompletionAsync::Redis;
use File::Temp qw(tempdir);
use List::Util qw(max);
use Test::More;

my $SRC = "$FindBin::Bin/../../src/cluster";

plan skip_all => 'no redis-server' if !grep { -x "$_/redis-server" } split /:/, $ENV{PATH};

my $redis = CompletionAsync::Redis->start(dir => tempdir(CLEANUP => 1));
my %sha   = map { $_ => load($_) } qw(starts claims bulletin);

my $P = 'completion:{yandex}:1:0a1b2c3d';


sub load ($name) {
    open my $in, '<', "$SRC/ngx_completion_$name.lua" or die "$name: $!\n";
    local $/;
    return $redis->cli(SCRIPT => 'LOAD', scalar <$in>);
}


# One that is asked under a name of its own each time: { now, nodes, due, given }.
my $asked = 0;

sub starts (%opt) {
    my @rates = @{ $opt{rates} // [ [ 3, 1000 ] ] };
    my $name  = $opt{name} // 'r';
    my $token = $opt{token} // 't' . $asked++;
    my @reply = @{ $redis->cli(EVALSHA => $sha{starts}, 1 + @rates, "$P:nodes",
        map({ "$P:$name:$_->[1]" } @rates),
        $opt{node} // 'a', $token, $opt{want} // 8, $opt{width} // 30, map({ @$_ } @rates), @{ $opt{back} // [] }) };
    my ($now, $nodes, $due, @given) = @reply;
    return { now => $now, nodes => $nodes, due => $due, given => \@given, token => $token };
}


# Until the server's clock says so, ms.
sub until_time ($at) {
    wait_until(sub { my ($s, $us) = @{ $redis->cli('TIME') }; $s * 1000 + int $us / 1000 >= $at }, 30);
}


sub ends ($key) {
    return map { 0 + $_ } grep { state $i; $i++ % 2 } @{ $redis->cli(ZRANGE => $key, 0, -1, 'WITHSCORES') };
}


# Starts

{
    my $one = starts(want => 2, name => 'first');
    is_deeply $one->{given}, [ ($one->{now}) x 2 ], 'what is free is given at once';
    is $one->{due}, $one->{now}, '... and the next is due now';
    is $one->{nodes}, 1, '... to one node';

    my $two = starts(want => 0, name => 'first');
    is_deeply $two->{given}, [], 'who wants none has none';

    my $ttl = $redis->cli(PTTL => "$P:first:1000");
    cmp_ok $ttl, '>', 0, 'the list has an end';
    cmp_ok $ttl, '<=', 4000, '... not far behind the window';
}

{
    # a unit that no load of the machine outlasts
    my $rates = [ [ 3, 3_600_000 ] ];
    my $one   = starts(name => 'hour', rates => $rates);
    is_deeply $one->{given}, [ ($one->{now}) x 3 ], 'no more than the rate allows are given';
    is $one->{due}, $one->{now} + 30 + 3_600_000, '... and the next is due a unit behind the first one\'s end';

    my $two = starts(name => 'hour', rates => $rates, node => 'b');
    is_deeply $two->{given}, [], 'another node has none of them';
    is $two->{due}, $one->{due}, '... and is told when one is due';
    is $two->{nodes}, 2, '... of two nodes';

    my $back = starts(name => 'hour', rates => $rates, back => ["$one->{token}:2"], want => 0);
    is $back->{due}, $back->{now}, 'what is given back is due at once';

    my $next = starts(name => 'hour', rates => $rates, node => 'b');
    is scalar @{ $next->{given} }, 1, '... for another node, once';

    my $again = starts(name => 'hour', rates => $rates, node => 'b', token => $next->{token});
    is scalar @{ $again->{given} }, 1, 'who asks again under the same name has the same';
    is $redis->cli(ZCARD => "$P:hour:3600000"), 3, '... and none is lost';

    my $none = starts(name => 'hour', rates => $rates, node => 'b', token => $next->{token}, want => 0);
    is $redis->cli(ZCARD => "$P:hour:3600000"), 2, 'who wants none under that name gives all of them back';
    is $none->{due}, $none->{now}, '... for anybody';
}

{
    my $one = starts(name => 'second', want => 3);
    is scalar @{ $one->{given} }, 3, 'all of this second';

    my $two = starts(name => 'second', want => 8, rates => [ [ 3, 1000 ] ]);
    my $due = $one->{given}[0] + 30 + 1000;

  SKIP: {
        skip 'the second has gone by', 2 if $two->{now} >= $one->{now} + 30;
        is_deeply $two->{given}, [], 'none is given that is further ahead than a second';
        is $two->{due}, $due, '... but it is told';
    }

    until_time($one->{now} + 40);
    my $three = starts(name => 'second', want => 8);

  SKIP: {
        skip 'the second has gone by', 2 if @{ $two->{given} } || $three->{now} > $due;
        is_deeply $three->{given}, [ ($due) x 3 ], 'those of the next second are given ahead of it';
        is $three->{due}, $due + 30 + 1000, '... and no more of them';
    }
}

{
    # a window slides: whatever is asked, and when, no more than the rate is in one
    my ($n, $unit, $width) = (4, 200, 20);
    my (@given, $end, $last);

    do {
        my $one = starts(name => 'slides', rates => [ [ $n, $unit ] ], width => $width,
            want => 1 + $asked % 8, node => substr 'abc', $asked % 3, 1);
        push @given, @{ $one->{given} };
        $end //= $one->{now} + 1500;
        until_time($one->{now} + $asked % 60);
        $last = $one->{now};
    } while $last < $end;

    my @sorted = sort { $a <=> $b } @given;
    my @close  = grep { $sorted[ $_ + $n ] < $sorted[$_] + $unit + $width } 0 .. $#sorted - $n;
    is scalar @close, 0, 'in no window are more than the rate, widths counted';
    cmp_ok scalar @sorted, '>=', $n * 2, '... and they go on';
}

{
    my @rates = ([ 5, 1000 ], [ 2, 3_600_000 ]);
    my $one   = starts(name => 'both', rates => \@rates);
    is scalar @{ $one->{given} }, 2, 'of several rates all must fit';
    is $redis->cli(ZCARD => "$P:both:$_"), 2, "... and it is in the list of $_" for map { $_->[1] } @rates;

    my $turned = starts(name => 'turned', rates => [ [ 1, 3_600_000 ], [ 1, 500 ] ]);
    is $turned->{due}, $turned->{now} + 30 + 3_600_000, '... the longest wait of all of them, in any order';

    starts(name => 'both', rates => \@rates, want => 0, back => ["$one->{token}:1"]);
    is $redis->cli(ZCARD => "$P:both:$_"), 1, "given back, it is out of that of $_" for map { $_->[1] } @rates;
}

{
    my $rates = [ [ 100, 3_600_000 ] ];
    is scalar @{ starts(name => 'most', rates => $rates, want => 1000)->{given} }, 8, 'eight at most are given';

    my $one = starts(name => 'most', rates => $rates, want => 1, width => 60_000);
    is max(ends("$P:most:3600000")), $one->{now} + 2000, 'a start is two seconds wide at most';
}

{
    my $rates = [ [ 1, 3_600_000 ] ];
    my $key   = "$P:wrong:3600000";
    my $one   = starts(name => 'wrong', rates => $rates, want => 0);

    $redis->cli(ZADD => $key, $one->{now} + 3_000_000, 'ahead');
    is scalar @{ starts(name => 'wrong', rates => $rates)->{given} }, 1,
        'what is further ahead than any start is not counted: the clock went back';
    is $redis->cli(ZSCORE => $key, 'ahead'), undef, '... and is gone';

    $redis->cli(DEL => $key);
    $redis->cli(ZADD => $key, $one->{now} - 3_600_001, 'old');
    is scalar @{ starts(name => 'wrong', rates => $rates)->{given} }, 1, 'what has left the window is not counted';
    is $redis->cli(ZSCORE => $key, 'old'), undef, '... and is gone';

    $redis->cli(SET => $_, 'x') for $key, "$P:nodes";
    my $next = starts(name => 'wrong', rates => $rates);
    is scalar @{ $next->{given} }, 1, 'a key of another type is as none';
    is $next->{nodes}, 1, '... that of the nodes too';
}

{
    $redis->cli(DEL => "$P:nodes");
    starts(name => 'nodes', node => $_, want => 0) for qw(a b c);
    is starts(name => 'nodes', node => 'a', want => 0)->{nodes}, 3, 'three nodes are counted once each';
    is starts(name => 'nodes', node => 'b', want => -1)->{nodes}, 2, 'one leaves';

    my $now = starts(name => 'nodes', node => 'a', want => 0)->{now};
    $redis->cli(ZADD => "$P:nodes", $now - 10_001, 'c');
    is starts(name => 'nodes', node => 'a', want => 0)->{nodes}, 1, 'one that has not called for ten seconds is gone';
    $redis->cli(ZADD => "$P:nodes", $now + 1_000_000, 'c');
    is starts(name => 'nodes', node => 'a', want => 0)->{nodes}, 1, '... as is one of the future';

    my $ttl = $redis->cli(PTTL => "$P:nodes");
    ok $ttl > 0 && $ttl <= 10_000, 'the nodes have an end';
}


# Claims: a value as this reads it is a seal, a token of three characters, and whatever follows

my $SEAL = '-' x 24;

sub claims ($what, $token, @claims) {
    my $reply = $redis->cli(EVALSHA => $sha{claims}, scalar @claims, map({ "$P:$_->[0]" } @claims), $what, $token,
        map { ($SEAL . ($_->[1] // ''), $_->[2] // 60_000, defined $_->[3] ? "$SEAL$_->[3]" : '') } @claims);
    return [ map { defined ? s/^$SEAL//r : undef } @$reply ];
}


sub value ($name) {
    my $value = $redis->cli(GET => "$P:$name") // return undef;
    return $value =~ s/^$SEAL//r;
}


sub ttl ($name) { $redis->cli(PTTL => "$P:$name") }

{
    is_deeply claims(claim => 'aaa', [ 'k', 'aaa queued', 5000 ]), [1], 'what nobody has is claimed';
    is value('k'), 'aaa queued', '... with the value';
    ok ttl('k') > 0 && ttl('k') <= 5000, '... for its lifetime';

    my $other = claims(claim => 'bbb', [ 'k', 'bbb queued' ]);
    is_deeply [ @$other[ 0, 1 ] ], [ 0, 'aaa queued' ], 'another one is told what stands there';
    ok $other->[2] > 0 && $other->[2] <= 5000, '... and how long it will';
    is value('k'), 'aaa queued', '... and has not changed it';

    is_deeply claims(claim => 'aaa', [ 'k', 'aaa queued', 9000 ]), [1], 'who has it may claim it again';
    cmp_ok ttl('k'), '>', 5000, '... for longer';

    is_deeply claims(turn => 'aaa', [ 'k', 'aaa sending' ]), [1], 'who holds it may go on';
    is value('k'), 'aaa sending', '... sending';
    is claims(turn => 'bbb', [ 'k', 'bbb sending' ])->[0], 0, 'who does not may not';
    is value('k'), 'aaa sending', '... and changes nothing';
    is_deeply claims(turn => 'aaa', [ 'k', 'aaa queued' ]), [1], 'and back into the line, under the same token';

    is_deeply claims(tell => 'bbb', [ 'k', 'bbb accepted' ]), [1], 'what another one says of its own';
    is value('k'), 'aaa queued', '... is not written over this';
    is_deeply claims(tell => 'aaa', [ 'k', 'aaa accepted', 7000 ]), [1], 'the holder says how it ended';
    is value('k'), 'aaa accepted', '... accepted';
    ok ttl('k') > 5000 && ttl('k') <= 7000, '... for as long as that holds';

    is_deeply claims(drop => 'bbb', ['k']), [1], 'another token withdraws nothing';
    is value('k'), 'aaa accepted', '... of this one';
    is_deeply claims(drop => 'aaa', ['k']), [1], 'the token of it does';
    is value('k'), undef, '... and it is gone';

    is_deeply claims(turn => 'aaa', [ 'k', 'aaa sending' ]), [ 0, undef, 0 ], 'what is gone is nobody\'s to send';
    is value('k'), undef, '... nor written';
    is_deeply claims(tell => 'aaa', [ 'k', 'aaa unknown' ]), [1], 'but the truth of it is';
    is value('k'), 'aaa unknown', '... unknown';
}

{
    $redis->cli(SET => "$P:c", "${SEAL}xxx queued", PX => 60_000);

    my $other = claims(claim => 'aaa', [ 'k2', 'aaa queued' ], [ 'c', 'aaa queued' ]);
    is_deeply [ @$other[ 0 .. 3 ] ], [ 0, undef, 0, 'xxx queued' ], 'of two claims one is somebody else\'s';
    is value('k2'), undef, '... and neither is made';

    is_deeply claims(claim => 'aaa', [ 'k2', 'aaa queued' ], [ 'c', 'aaa queued', 60_000, 'xxx queued' ]), [1],
        'a value that counts as none is written over';
    is value('c'), 'aaa queued', '... by this one';
    is claims(claim => 'bbb', [ 'c', 'bbb queued', 60_000, 'xxx queued' ])->[0], 0, '... and not if it is another by now';

    $redis->cli(SET => "$P:c", "${SEAL}yyy queued", PX => 60_000);
    is claims(turn => 'aaa', [ 'k2', 'aaa sending' ], [ 'c', 'aaa sending' ])->[0], 0,
        'of two claims one is lost: none goes on';
    is value('k2'), 'aaa queued', '... not the other one either';

    is_deeply claims(tell => 'aaa', [ 'k2', 'aaa accepted' ], [ 'c', 'aaa accepted' ]), [1], 'what ended is told';
    is value('k2'), 'aaa accepted', '... in what is held';
    is value('c'), 'yyy queued',    '... alone';

    is_deeply claims(drop => 'aaa', ['k2'], ['c']), [1], 'and withdrawn';
    is value('k2'), undef,        '... where it is held';
    is value('c'),  'yyy queued', '... alone';
}

{
    $redis->cli(LPUSH => "$P:list", 'x');
    is_deeply claims(claim => 'aaa', [ 'list', 'aaa queued' ]), [1], 'a key of another type is as none';

    $redis->cli(SET => "$P:lasts", "${SEAL}xxx queued");
    is_deeply claims(claim => 'aaa', [ 'lasts', 'aaa queued' ]), [ 0, 'xxx queued', -1 ],
        'one without an end is told to have none';

    claims(claim => 'aaa', [ 'ends', 'aaa queued', 50 ]);
    wait_until(sub { ttl('ends') == -2 }, 30);
    is_deeply claims(claim => 'bbb', [ 'ends', 'bbb queued' ]), [1], 'what has ended is anybody\'s';
    is claims(turn => 'aaa', [ 'ends', 'aaa sending' ])->[0], 0, '... and its old holder\'s no more';
}

{
    is_deeply claims(claim => 'aaa', [ 'w', 'aaaq' ]), [1], 'one that waits';
    is_deeply claims(undo => 'bbb', ['w']), [1], 'is not undone by another token';
    is value('w'), 'aaaq', '... at all';
    is_deeply claims(undo => 'aaa', ['w']), [1], 'but by its own';
    is value('w'), undef, '... which is late, perhaps';

    for my $ended (qw(a u)) {
        claims(tell => 'aaa', [ 'w', "aaa$ended" ]);
        is_deeply claims(undo => 'aaa', ['w']), [1], 'what has ended';
        is value('w'), "aaa$ended", '... is not undone';
        claims(drop => 'aaa', ['w']);
    }
}


# News, and marks: a seal and a letter, and more

my $NEWS = "$P:news";

sub told ($entry, @mark) {
    return $redis->cli(EVALSHA => $sha{bulletin}, 1 + !!@mark, $NEWS, map({ "$P:$_->[0]" } @mark), 'tell', "$SEAL$entry",
        259_200_000, map({ ($SEAL . $_->[1], $_->[2] // 60_000) } @mark));
}


# From a position on, or of so many ms: the next position, and entries.
sub news ($from, $n = 100, $ms = 0) {
    my ($position, @entries) = @{ $redis->cli(EVALSHA => $sha{bulletin}, 1, $NEWS, 'read', $from, $n, $ms) };
    return ($position, join ' ', map { s/^$SEAL//r } @entries);
}

{
    is_deeply [ news('') ], [ '0-0', '' ], 'news of nobody: who is new begins there';
    told("e$_") for 1 .. 3;

    my ($s, $us) = @{ $redis->cli('TIME') };
    until_time($s * 1000 + $us / 1000 + 50);
    my ($end, $none) = news('');
    is $none, '', 'who is new begins at the end';
    is_deeply [ news('', 100, 60_000) ], [ $end, 'e1 e2 e3' ], '... and who is there for a minute before that';
    is +(news('', 100, 1e15))[1], 'e1 e2 e3', '... or for ever';
    my ($at, $first) = news('0-0', 2);
    is $first, 'e1 e2', 'others read on from where they were, some at a time';
    my ($then, $rest) = news($at, 2);
    is $rest, 'e3', '... and the rest';
    is $then, $end, '... to the end';
    is_deeply [ news($end) ], [ $end, '' ], 'where there is nothing more';

    my $ttl = $redis->cli(PTTL => $NEWS);
    ok $ttl > 259_000_000 && $ttl <= 259_200_000, 'the stream has an end';

    $redis->cli(DEL => $NEWS);
    is_deeply [ news($end) ], [ '0-0', '' ], 'a stream that is gone is read anew';
    $redis->cli(XADD => $NEWS, '1-1', 'e', "${SEAL}e4");
    is_deeply [ news($end) ], [ '1-1', 'e4' ], '... and one whose clock went back';

    # trimmed by whole nodes of a stream, of a hundred entries
    $redis->cli(DEL => $NEWS);
    $redis->cli(XADD => $NEWS, "1-$_", 'e', 'old') for 1 .. 250;
    told('e5');
    cmp_ok $redis->cli(XLEN => $NEWS), '<', 200, 'what is older than it stands goes';
    like +(news('0-0', 1000))[1], qr/e5$/, '... and what is not, does not';

    $redis->cli(DEL => $NEWS);
    $redis->cli(SET => $NEWS, 'x', PX => 60_000);
    is_deeply [ news('') ], [ '0-0', '' ], 'a key of another type is as none';
    $redis->cli(SET => $NEWS, 'x', PX => 60_000);
    is told('e6'), 1, '... and written over';
    is +(news('0-0'))[1], 'e6', '... by the entry';
}

{
    is told('cone', [ 'm:one', 'c', 5000 ]), 1, 'a mark';
    is value('m:one'), 'c', '... stands there';
    ok ttl('m:one') > 0 && ttl('m:one') <= 5000, '... for as long as it is to';
    is +(news('0-0'))[1], 'e6 cone', '... and is news';
    told('done', [ 'm:one', 'd' ]);
    is value('m:one'), 'd', 'what was cancelled may be deleted';
    told('cone', [ 'm:one', 'c' ]);
    is value('m:one'), 'd', 'what was deleted is not cancelled any more';
    told('done', [ 'm:one', 'd', 90_000 ]);
    cmp_ok ttl('m:one'), '>', 60_000, '... but may be told so twice';

    $redis->cli(LPUSH => "$P:m:list", 'x');
    told('clist', [ 'm:list', 'c' ]);
    is value('m:list'), 'c', 'a key of another type is as none, and written over';
}


# Together

{
    $redis->cli(DEL => "$P:lasts");
    my @keys = @{ $redis->cli(KEYS => '*') };
    is_deeply [ grep { $redis->cli(PTTL => $_) < 0 } @keys ], [], 'every key has a time';
    is_deeply [ grep { !/^completion:\{yandex\}:1:/ } @keys ], [], 'and was named by the caller';
}

done_testing;
