# The checker of the chaos: each invariant holds of a plain journal, and each way to break it is
# seen.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json);
use POSIX qw(strftime);
use Test::More;

use CompletionAsync::Chaos;
use CompletionAsync::Chaos::Checker;
use CompletionAsync::Emulator::Fault;

my $TEXT = 'tok_0one [delay=0.1]';
my $OPERATION = '/roomy/operations/one';


sub document ($text = $TEXT, %more) {
    return encode_json({ id => 'one', done => \1,
        response => { alternatives => [ { message => { text => "echo: $text" } } ] }, %more });
}


sub answer ($status, $body, %more) {
    return (status => $status, body => $body,
        headers => { 'content-type' => $status < 400 ? 'application/json'
            : 'application/problem+json' }, %more);
}


# Submitted, polled while pending, asked for by another owner, ended; a fault may be planted.
sub journal ($plant = sub ($journal) { }) {
    my $journal = {
        clients => [
            {
                client => 1, n => 1, phase => 'storm', action => 'submit', provider => 'roomy',
                owner => 'anna', text => $TEXT, key => 'k', location => $OPERATION, start => 100,
                end => 101, answer(202, '{"id":"one","done":false}'),
            }, {
                client => 1, n => 2, phase => 'storm', action => 'ask', provider => 'roomy',
                owner => 'anna', location => $OPERATION, start => 102, end => 102.1,
                answer(200, '{"id":"one","done":false}'),
            }, {
                client => 1, n => 3, phase => 'storm', action => 'foreign', provider => 'roomy',
                owner => 'boris', location => $OPERATION, start => 103, end => 103.1,
                answer(404, '{"code":"operation_not_found","status":404}'),
            }, {
                client => 1, n => 4, phase => 'calm', action => 'ask', provider => 'roomy',
                owner => 'anna', location => $OPERATION, start => 104, end => 104.1,
                answer(200, document()),
            }, {
                client => 1, n => 5, phase => 'calm', action => 'ask', provider => 'roomy',
                owner => 'anna', location => $OPERATION, start => 105, end => 105.1,
                answer(200, document()),
            },
        ],
        upstream => [
            submit(100.5),
            { kind => 'poll', operation => 'up1', time => 101.5, status => 200, end => 'keep',
                nth => 2, connected => 99 },
        ],
        strikes  => [ { what => 'kill', time => 50, end => 50 } ],
        states   => [
            { when => 'before', used => { roomy => { 128 => 0, 256 => 3 } },
                descriptors => { 'worker 1' => 9, 'worker 2' => 8 } },
            { when => 'after', used => { roomy => { 128 => 0, 256 => 4 } },
                descriptors => { 'worker 5' => 9 } },
        ],
        log      => [
            '2026/11/24 16:00:00 [alert] 1#1: worker process 7 exited on signal 9',
            '2026/11/24 16:00:00 [error] 1#1: upstream answered 500',
        ],
        rules    => { roomy => { submit => [ [ 2, 1 ] ], poll => [ [ 2, 1 ] ], keep => 8 } },
        secrets  => ['SeCrEt'],
    };
    $plant->($journal);
    return %$journal;
}


sub submit ($time, $text = $TEXT, %more) {
    return { kind => 'submit', operation => 'up1', time => $time, status => 200, end => 'keep',
        nth => 2, connected => 99, json => { messages => [ { text => $text } ] }, %more };
}


sub broken (%journal) {
    my $broken = CompletionAsync::Chaos::Checker->check(%journal);
    return { map { $_ => $broken->{$_} } grep { @{ $broken->{$_} } } keys %$broken };
}


sub entry ($journal, $n) { (grep { $_->{n} == $n } @{ $journal->{clients} })[0] }
sub set ($n, %value) { sub ($journal) { my $e = entry($journal, $n); @$e{ keys %value } = values %value } }
sub upstream (@entries) { sub ($journal) { push @{ $journal->{upstream} }, @entries } }
sub strike ($what, $time) { { what => $what, time => $time, end => $time + 0.1 } }


# A cancel at 105, kept for eight seconds, is seen, and is gone: both in seconds from 100 on.
sub cancelled ($seen, $gone) {
    return sub ($journal) {
        my %ask = %{ entry($journal, 5) };
        my $error = '{"id":"one","done":true,"error":{"code":1}}';
        splice @{ $journal->{clients} }, 3, 2,
            { %ask, n => 4, client => 2, action => 'cancel', answer(200, $error) },
            { %ask, n => 5, start => 100 + $seen, end => 100.1 + $seen, answer(200, $error) },
            { %ask, n => 6, start => 100 + $gone, end => 100.1 + $gone };
    };
}


# A translation at 107, paid for once, and what is otherwise.
sub translated ($status, $said, %more) {
    my $text = 'tok_0translated';
    return sub ($journal) {
        push @{ $journal->{clients} }, { client => 1, n => 8, phase => 'storm', action => 'translate',
            path => '/libre/translate', provider => 'roomy', owner => 'anna', text => $text,
            start => 107, end => 108, answer($status, encode_json($said)), %more };
        push @{ $journal->{upstream} }, submit(107.5, $text, operation => 'up2');
    };
}


my $SPOILT = '{"id":"one","done":true,"error":{"code":8,'
    . '"message":"The result is longer than this server takes"}}';

is_deeply broken(journal()), {}, 'a plain journal has no fault';

# [invariant, what is planted, how]
my @PLANTED = (
    [ lost => 'an operation without an end', sub ($j) { splice @{ $j->{clients} }, 3 } ],
    [ lost => 'a failure that upstream did not say', sub ($j) {
        $_->{body} = '{"id":"one","done":true,"error":{"code":13}}'
            for entry($j, 4), entry($j, 5);
    } ],
    [ lost => 'a cancel that nobody asked for', sub ($j) {
        $_->{body} = '{"id":"one","done":true,"error":{"code":1}}' for entry($j, 4), entry($j, 5);
    } ],
    [ lost => 'a result that upstream did not spoil', sub ($j) {
        $_->{body} = $SPOILT for entry($j, 4), entry($j, 5);
    } ],
    [ backwards => 'a failure that becomes a result', sub ($j) {
        entry($j, 4)->{body} = '{"id":"one","done":true,"error":{"code":8}}';
    } ],
    [ crossed => "another's text", set(2, body => '{"id":"one","done":false,"x":"tok_0two"}') ],
    [ crossed => "another's text in a stream", set(2, body => undef, events =>
        [ { id => 'pending', data => '{"id":"one","done":false,"x":"tok_0two"}' } ],
        headers => { 'content-type' => 'text/event-stream' }) ],
    [ crossed => "an answer to another owner", set(3, answer(200, '{"id":"one","done":false}')) ],
    [ crossed => 'a text in a refusal', set(3, answer(404,
        '{"code":"operation_not_found","detail":"tok_0one"}')) ],
    [ crossed => "another operation's id", set(2, body => '{"id":"two","done":false}') ],
    [ crossed => 'one id for two owners', sub ($j) {
        push @{ $j->{clients} }, { %{ entry($j, 1) }, n => 6, owner => 'boris' };
    } ],
    [ twice => 'a text twice upstream', upstream(submit(101)) ],
    [ twice => 'again after an answer that was none', sub ($j) {
        @{ $j->{upstream} }[0] = submit(100.4, $TEXT, status => undef, end => 'reset');
        push @{ $j->{upstream} }, submit(100.9);
    } ],
    [ twice => 'again after a refusal for good', sub ($j) {
        $j->{upstream}[0]{status} = 400;
        push @{ $j->{upstream} }, submit(100.9);
    } ],
    [ unasked => 'a text nobody sent', upstream(submit(101, 'tok_0two')) ],
    [ unasked => 'a request that was not complete', set(1, partial => 1, vanished => 1) ],
    [ keys => 'two operations under one key', sub ($j) {
        push @{ $j->{clients} }, map { { %{ entry($j, $_) }, n => $_ + 5, start => $_ + 110,
            end => $_ + 111, location => '/roomy/operations/two',
            body => entry($j, $_)->{body} =~ s/"one"/"two"/r } } 1, 4;
    } ],
    [ quota => 'three submits in a second', sub ($j) {
        $j->{clients}[0]{partial} = 0;
        push @{ $j->{upstream} }, submit(100.6, $TEXT, status => 503),
            submit(100.7, $TEXT, status => 503);
    } ],
    [ quota => 'three polls in a second', upstream(map { { kind => 'poll', operation => 'up1',
        time => $_, status => 200, nth => 2, connected => 99 } } 101.6, 101.7) ],
    [ backwards => 'pending after the end', set(5, body => '{"id":"one","done":false}') ],
    [ backwards => 'another end', set(5, body => document($TEXT, response => { alternatives =>
        [ { message => { text => "echo: $TEXT, otherwise" } } ] })) ],
    [ backwards => 'a cancel forgotten before its time', cancelled(5, 12) ],
    [ backwards => 'a stream that goes on after its end', set(4, body => undef, events => [
        { id => 'done', data => document() }, { id => 'done', data => document() } ],
        headers => { 'content-type' => 'text/event-stream' }) ],
    [ status => 'one that is not of the contract', set(2, answer(500, '<html>')) ],
    [ status => 'a 404 that upstream did not say', set(2, answer(404,
        '{"code":"operation_not_found"}')) ],
    [ status => 'an error without a document', set(2, answer(503, '<html>')) ],
    [ status => 'a code that is not its own', set(2, answer(503, '{"code":"outcome_unknown"}')) ],
    [ status => 'no operation in a 200', set(2, body => 'text') ],
    [ status => 'a refusal when all is calm', sub ($j) {
        my $entry = entry($j, 1);
        @$entry{qw(phase action n)} = qw(after submit 1);
        push @{ $j->{clients} }, { %$entry, n => 7, location => undef, answer(503,
            '{"code":"zone_full"}') };
    } ],
    [ status => 'a cut without a kill', set(2, status => undef, error => 'closed', body => '') ],
    [ status => 'no answer, whatever was killed', sub ($j) {
        set(2, status => undef, error => 'timeout', body => '')->($j);
        push @{ $j->{strikes} }, strike(kill => 102);
    } ],
    map({ [ status => "a translator's $_", translated($_, { error => 'later' }) ] } 429, 503),
    [ status => "another interface's error", translated(504, { message => 'later' }) ],
    [ crossed => "another's translation", translated(200, { translatedText => 'echo: tok_0two' }) ],
    [ twice => 'a translation', sub ($j) {
        translated(200, { translatedText => 'echo: tok_0translated' })->($j);
        push @{ $j->{upstream} }, submit(109, 'tok_0translated', operation => 'up3');
    } ],
    [ left => 'a piece of the zone', sub ($j) { $j->{states}[1]{used}{roomy}{256} = 5 } ],
    [ left => 'a descriptor', sub ($j) { $j->{states}[1]{descriptors}{'worker 5'} = 10 } ],
    [ left => 'nobody looked', sub ($j) { pop @{ $j->{states} } } ],
    [ log => 'an alert', sub ($j) {
        push @{ $j->{log} }, '2026/11/24 16:00:00 [alert] 1#1: open socket #3 left in connection 5';
    } ],
    [ log => 'a crash', sub ($j) {
        push @{ $j->{log} },
            '2026/11/24 16:00:00 [alert] 1#1: worker process 7 exited on signal 11';
    } ],
    [ log => 'a kill that was not ours', sub ($j) { $j->{strikes} = [] } ],
    [ log => 'a full disk that was none', sub ($j) {
        push @{ $j->{log} },
            '2026/11/24 16:00:00 [crit] 1#1: *1 pwrite() "x" failed (27: File too large)';
    } ],
    [ log => 'a secret', sub ($j) { push @{ $j->{log} }, 'key "SeCrEt"' } ],
);

for my $case (@PLANTED) {
    my ($invariant, $what, $plant) = @$case;
    my $broken = broken(journal($plant));
    ok $broken->{$invariant}, "$invariant: $what" or diag explain $broken;
}
my %planted = map { $_->[0] => 1 } @PLANTED;
is_deeply [ sort keys %planted ], [ sort @CompletionAsync::Chaos::Checker::INVARIANTS ],
    'each invariant was seen to fail';


# What is no fault, as something explains it.
my @EXPLAINED = (
    [ 'a text again after a refusal', sub ($j) {
        $j->{upstream}[0]{status} = 503;
        push @{ $j->{upstream} }, submit(100.9);
    } ],
    [ 'a key again in another life', sub ($j) {
        push @{ $j->{upstream} }, submit(106);
        push @{ $j->{strikes} }, strike(usr2 => 105.5);
        push @{ $j->{clients} }, { %{ entry($j, 1) }, n => 6, client => 2,
            start => 105.8, end => 106.1 };
    } ],
    [ 'a cut by a kill', sub ($j) {
        set(2, status => undef, error => 'closed', body => '')->($j);
        push @{ $j->{strikes} }, strike(kill => 102.05);
    } ],
    [ 'a 404 that upstream said', sub ($j) {
        set(2, answer(404, '{"code":"operation_not_found"}'))->($j);
        $j->{upstream}[1]{status} = 404;
    } ],
    [ 'a translation', translated(200, { translatedText => 'echo: tok_0translated' }) ],
    [ '... that is not ready', translated(504, { message => 'later' }, path => '/deepl/v2/translate') ],
    [ 'a result that upstream had spoilt', sub ($j) {
        entry($j, 4)->{body} = $SPOILT;
        $j->{upstream}[1]{fault} = 'flood';
    } ],
    [ 'a cancel forgotten in its time', cancelled(5, 14) ],
    [ '... which another client saw late', cancelled(9, 14) ],
    [ 'quotas of two lives', sub ($j) {
        push @{ $j->{upstream} }, map { submit($_, $TEXT, status => 503) } 100.6, 100.7;
        push @{ $j->{strikes} }, strike(zone => 100.55);
    } ],
    [ 'a full disk', sub ($j) {
        push @{ $j->{strikes} }, strike(disk => 102);
        set(1, answer(500, '<html>'), large => 1, start => 101.9, end => 102)->($j);
        push @{ $j->{log} },
            '2026/11/24 16:00:00 [crit] 1#1: *1 pwrite() "x" failed (27: File too large)';
    } ],
);

for my $case (@EXPLAINED) {
    my ($what, $plant) = @$case;
    is_deeply broken(journal($plant)), {}, "no fault: $what";
}


# Of several nodes and their server.

sub several ($plant) {
    return sub ($j) {
        $j->{nodes} = 3;
        $plant->($j);
    };
}

sub away ($time, %more) { +{ %{ strike(still => $time) }, away => 1, %more } }


# Twice under a key: paid, and shown by another node.
sub paid_twice ($strike) {
    return several(sub ($j) {
        push @{ $j->{strikes} }, $strike;
        push @{ $j->{upstream} }, submit(106);
        push @{ $j->{clients} }, { %{ entry($j, 1) }, n => 6, client => 2, start => 105.8, end => 106.1 };
    });
}

# Four times without a key, while each of three nodes is by itself.
sub shared_by_each (@strikes) {
    return several(sub ($j) {
        push @{ $j->{strikes} }, away(103), @strikes;
        push @{ $j->{upstream} }, map { submit($_) } 102.5, 104.6, 106.7;
        delete entry($j, 1)->{key};
        entry($j, 1)->{cached} = 1;
        push @{ $j->{clients} }, map { { %{ entry($j, 1) }, n => 5 + $_, client => 1 + $_ } } 1 .. 3;
    });
}

# A cancel on one node, and a result on another so many seconds later.
sub uncancelled ($late, @strikes) {
    return several(sub ($j) {
        cancelled(5, 5.2 + $late)->($j);
        push @{ $j->{strikes} }, @strikes;
    });
}

for my $case (
    [ twice => 'a key paid on two nodes', paid_twice(strike(kill => 105.5)) ],
    [ twice => '... while the server was away', paid_twice(away(105.5)) ],
    [ twice => 'a text paid by more than each node', shared_by_each(strike(kill => 101.5)) ],
    [ backwards => 'a cancel that is lost on the way', uncancelled(2.8) ],
    [ backwards => 'an end that another node never hears of', several(sub ($j) {
        my $e = entry($j, 5);
        @$e{qw(start end body)} = (107, 107.1, '{"id":"one","done":false}');
    }) ],
    [ quota => 'more than a rate, with the server there', several(sub ($j) {
        push @{ $j->{upstream} }, map { submit($_, $TEXT, status => 503) } 100.6, 100.7;
    }) ],
    [ quota => 'more than a rate of each', several(sub ($j) {
        push @{ $j->{strikes} }, away(100.5);
        push @{ $j->{upstream} }, map { submit(100.6 + $_ / 100, $TEXT, status => 503) } 1 .. 8;
    }) ],
) {
    my ($invariant, $what, $plant) = @$case;
    ok broken(journal($plant))->{$invariant}, "$invariant, of nodes: $what";
}

for my $case (
    [ 'a key that the server forgot', paid_twice(away(105.5, forgot => 1)) ],
    [ 'a text paid by each node, and by one that was killed', shared_by_each({ %{ strike(kill => 101.5) }, node => 1 }) ],
    [ 'a cancel that is still on the way', uncancelled(2) ],
    [ 'an end that another node has yet to hear of', several(sub ($j) {
        $_->{body} = '{"id":"one","done":false}' for entry($j, 5);
    }) ],
    [ '... or is told at the return', uncancelled(2.8, away(106)) ],
    [ '... to a node that had lost the server', several(sub ($j) {
        cancelled(5, 8)->($j);
        push @{ $j->{log} }, strftime('%Y/%m/%d %H:%M:%S', localtime 106)
            . ' [error] 1#1: redis "redis://127.0.0.1" of provider "roomy" is not reachable: no answer within "timeout"';
    }) ],
    [ 'a rate of each', several(sub ($j) {
        push @{ $j->{strikes} }, away(100.5);
        push @{ $j->{upstream} }, map { submit(100.6 + $_ / 100, $TEXT, status => 503) } 1 .. 6;
    }) ],
    [ 'nobody who can tell of a key', several(sub ($j) {
        push @{ $j->{strikes} }, away(101);
        push @{ $j->{clients} }, { %{ entry($j, 1) }, n => 8, location => undef, expect => [422],
            answer(503, '{"code":"redis_unavailable"}') };
    }) ],
) {
    my ($what, $plant) = @$case;
    my $broken = broken(journal($plant));
    delete $broken->{twice} if $what =~ /rate/;
    is_deeply $broken, {}, "no fault, of nodes: $what";
}


# The plan of a run, without the run.

my ($chaos, $again, $other) = map { bless { seconds => 30, seed => $_ }, 'CompletionAsync::Chaos' }
    1, 1, 2;

is_deeply [ $chaos->plan, $chaos->weather ], [ $again->plan, $again->weather ],
    'the same seed strikes the same way';
isnt encode_json([ $chaos->plan ]), encode_json([ $other->plan ]), 'another one otherwise';

my %struck = map { $_->[1] => 1 } $chaos->plan;
is_deeply [ sort keys %struck ], [qw(disconnect disk hup kill refuse storm usr2)],
    'half a minute has a strike of each kind';

my %word = map { $_ => 1 } map { keys %{ $_->[1] } } $chaos->weather;
my @rest = grep { !/^(?:operation|text|name|hold)$/ } CompletionAsync::Emulator::Fault->words;
is_deeply [ grep { !$word{$_} } @rest ], [], 'and all the words for what may go wrong upstream';

done_testing;
