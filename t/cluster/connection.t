# A worker's connection to the server that nodes share: the module is linked once more with
# t/cluster/calls.c, which makes calls on it whenever a submit is about to be sent.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Linked;
use CompletionAsync::Metrics;
use CompletionAsync::Redis;
use CompletionAsync::Server qw(serve);
use CompletionAsync::Test qw(wait_until);
use IO::Select;
use IO::Socket::INET;

plan skip_all => 'the module is linked in already' if $ENV{TEST_NGINX_STATIC};

local $ENV{TEST_NGINX_MODULE} = CompletionAsync::Linked->module('calls', 't/cluster/calls.c');

subtest 'calls'                      => \&calls;
subtest 'scripts'                    => \&scripts;
subtest 'sockets, users, databases'  => \&ways;
subtest 'TLS'                        => \&tls;
subtest 'a server that stands still' => \&still;
subtest 'a server that goes'         => \&gone;
subtest 'what a server may say'      => \&said;
subtest 'a hundred losses'           => \&losses;
subtest 'reloads, and an end'        => \&reloads;
subtest 'passwords'                  => \&passwords;
subtest 'values'                     => \&values_sealed;
done_testing;


# nginx with that server, and what its workers are to call. A timeout is an answer that a machine
# with much to do may have, too: where none is meant, it is long.
sub start ($redis, %opt) {
    my $t = delete $opt{t} // CompletionAsync::Test->new(emulator => { delay => 0.05 });
    $t->{key} //= $t->secret_file('id.key', 'k' x 64);
    $redis .= ' timeout=20s' if $redis !~ /\btimeout=/;
    $t->run($t->location_conf(
        main     => "env TEST_CALLS=%%TESTDIR%%/calls; env TEST_REPLIES=%%TESTDIR%%/replies;",
        provider => "%%PROVIDER%% id_key file:$t->{key}; redis $redis;",
        http     => '%%METRICS%%',
        %opt,
    ));
    return $t;
}


# The replies to these calls, made by one submit.
sub replies ($t, @call) {
    to_call($t, @call);
    $t->submit('a text');

    my @reply;
    wait_until(sub { @reply = heard($t); @reply == grep { !/^cancel/ } @call });
    return @reply;
}


# Whoever the workers are: they write into it.
sub to_call ($t, @call) {
    $t->write_file('calls', join '', map { "$_\n" } @call);
    $t->write_file('replies', '', 0666);
    return;
}


# All calls have the same name but for what they are.
sub heard ($t) {
    return split /\n/, $t->read_file('replies');
}


sub lines ($t, $pattern) { scalar(() = $t->log =~ /$pattern/g) }

sub errors ($t) {
    my %reason;
    for my $sample (@{ $t->metrics->{samples} }) {
        my ($name, $label, $value) = @$sample;
        $reason{ $label->{reason} } = $value if $name eq 'redis_errors_total' && $value;
    }
    return \%reason;
}


sub up ($t) { $t->metrics->sum('redis_up') }


sub calls () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);

    start($redis->url, t => $t, main => "worker_processes 2; env TEST_CALLS=%%TESTDIR%%/calls;"
        . ' env TEST_REPLIES=%%TESTDIR%%/replies;');
    is $redis->clients, 0, 'without a submit there is no connection';
    is up($t), 1, '... and nothing is known against the server';

    is_deeply [ replies($t, 'call SET key a%20value', 'call GET key', 'call GET other', 'call INCR n',
        'call LRANGE key 0 -1', 'call RPUSH list a b', 'call LRANGE list 0 -1') ],
        [ 'call SET key a%20value: OK', 'call GET key: a value', 'call GET other: nil', 'call INCR n: 1',
            'call LRANGE key 0 -1: error WRONGTYPE Operation against a key holding the wrong kind of value',
            'call RPUSH list a b: 2', 'call LRANGE list 0 -1: [a,b]' ], 'replies come in order, each to its call';
    is_deeply errors($t), { command => 1 }, '... and an error of a command is one, not the server\'s';

    is_deeply [ replies($t, 'cancel INCR n', 'call GET key') ], [ 'call GET key: a value' ],
        'who has gone hears nothing';

    my $long = 'x' x 300;
    is_deeply [ replies($t, map { "call ECHO $long$_" } 1 .. 200) ],
        [ map { "call ECHO $long$_: $long$_" } 1 .. 200 ], 'many at once';

    replies($t, 'call PING') for 1 .. 5;
    cmp_ok $redis->clients, '<=', 2, 'one connection a worker';
    is lines($t, qr/redis "/), 0, 'nothing is told of what goes well';

    # beyond 256 KB
    $redis->cli(SET => 'big', 'x' x 250_000);
    like +(replies($t, 'call STRLEN big'))[0], qr/: 250000$/, 'a long value';
    is +(replies($t, 'call GET big'))[0] =~ /: x{1000}/, 1, '... is read';
    $redis->cli(SET => 'big', 'x' x 263_000);
    is +(replies($t, 'call GET big'))[0], 'call GET big: away', '... and a longer one is not';
    is errors($t)->{unreadable}, 1, '... which is counted';
    $t->done;
}


sub scripts () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    start($redis->url, t => $t);

    my $script = 'return%20{KEYS[1],ARGV[1],redis.call("INCR",KEYS[1])}';
    is +(replies($t, "script $script n more"))[0], "script $script n more: [n,more,1]",
        'a script that the server does not know';
    is +(replies($t, "script $script n again"))[0], "script $script n again: [n,again,2]", '... and knows';
    is_deeply { %{ $redis->ops }{qw(eval evalsha)} }, { eval => 1, evalsha => 2 },
        '... by its digest, but for once';

    is_deeply [ replies($t, 'call SCRIPT FLUSH', "script $script n after", 'call GET n') ],
        [ 'call SCRIPT FLUSH: OK', 'call GET n: 2', "script $script n after: [n,after,3]" ],
        'it is sent once more when it is forgotten';
    is errors($t)->{NOSCRIPT}, undef, '... which is no fault';

    my $wrong = 'return%20redis.call("INCR","list",1)';
    like +(replies($t, "script $wrong n x"))[0], qr/: error /, 'a script\'s error is the script\'s';
    is up($t), 1, '... and not the server\'s';
    $t->done;
}


sub ways () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir, unix => 1, password => 'unused',
        acl => ['user nginx on >the-password ~nodes:* +@all']);
    my $file  = $t->secret_file('redis.key', "the-password\n");
    $t->secret('the-password');

    start($redis->url(db => 3) . " user=nginx password=file:$file", t => $t);
    is +(replies($t, 'call SET nodes:a 1'))[0], 'call SET nodes:a 1: OK', 'a socket, a user, a database';
    $redis->cli(SELECT => 3);
    is $redis->cli(GET => 'nodes:a'), 1, '... of which each is meant';

    is +(replies($t, 'call GET foreign'))[0], 'call GET foreign: away', 'a key that the user may not have';
    ok wait_until(sub { lines($t, qr/is not reachable: NOPERM /) }), '... is told of by its word';
    $t->done;
}


sub tls () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my ($cert, $key) = $t->certificate('redis');
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir, tls => [ $cert, $key ]);

    my $way = "trusted_certificate=$cert";
    for my $host ('localhost', '127.0.0.1') {
        start($redis->url(host => $host) . " $way", t => $t);
        is +(replies($t, 'call SET a 1'))[0], 'call SET a 1: OK', "TLS with $host";
        $t->stop;
    }

    start($redis->url, t => $t);
    is +(replies($t, 'call SET a 1'))[0], 'call SET a 1: away', 'nobody is trusted unless told';
    ok wait_until(sub { lines($t, qr/is not reachable: self.signed certificate/) }), '... which is told';
    is errors($t)->{tls} >= 1, 1, '... and counted';
    $t->stop;

    my $plain = CompletionAsync::Redis->start(dir => $t->testdir);
    start('rediss://127.0.0.1:' . $plain->port . " timeout=500ms trusted_certificate=$cert", t => $t);
    is +(replies($t, 'call SET a 1'))[0], 'call SET a 1: away', 'a server without TLS';
    ok wait_until(sub { lines($t, qr/is not reachable: no connection within "timeout"/) }),
        '... does not answer, which is told';
    $t->done;
}


sub still () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    start($redis->url . ' timeout=2s', t => $t, main => "worker_processes 2; env TEST_CALLS=%%TESTDIR%%/calls;"
        . ' env TEST_REPLIES=%%TESTDIR%%/replies;');
    replies($t, 'call SET a 1');

    $redis->pause;
    my @reply = replies($t, ('call INCR a') x 3);
    is_deeply \@reply, [ ('call INCR a: away') x 3 ], 'who has called hears of it';
    ok wait_until(sub { (replies($t, 'call INCR a'))[0] =~ /declined/ }), '... who calls then at once';
    ok wait_until(sub { up($t) == 0 }), '... and a scrape says so';
    is lines($t, qr/\[error\].*redis "\S+" of provider "yandex" is not reachable: no answer within "timeout"/), 1,
        '... and the node, once';

    $redis->continue;
    ok wait_until(sub { lines($t, qr/\[notice\].*redis "\S+" of provider "yandex" is reachable again/) }),
        'its return is told';
    ok wait_until(sub { up($t) == 1 }), '... in a scrape, too';
    ok wait_until(sub { (replies($t, 'call GET a'))[0] =~ /: \d+$/ }), '... and calls are answered';
    is lines($t, qr/\[error\].*is not reachable/), 1, 'one loss is one line';
    is lines($t, qr/\[notice\].*is reachable again/), 1, '... and one return another one';
    $t->done;
}


sub gone () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    $redis->stop;
    start($redis->url, t => $t);
    ok $t->submit('a text'), 'nginx starts, and serves, without the server';

    is +(replies($t, 'call GET a'))[0] =~ /: (?:away|declined)$/, 1, 'who calls hears of it';
    ok wait_until(sub { lines($t, qr/is not reachable: connect\(\) failed \(111: /) }), '... and it is told';
    is errors($t)->{socket} >= 1, 1, '... and counted';

    $redis->restart;
    ok wait_until(sub { lines($t, qr/is reachable again/) }), 'it is found when it comes';
    is +(replies($t, 'call GET a'))[0], 'call GET a: nil', '... and answers';

    # what idles and is closed is no loss
    $redis->cli(CLIENT => KILL => TYPE => 'normal', SKIPME => 'yes');
    ok wait_until(sub { $redis->clients == 0 }), 'a connection that idles is closed by the server';
    is +(replies($t, 'call GET a'))[0], 'call GET a: nil', '... and made again';
    is lines($t, qr/is not reachable/), 1, '... without a word';
    $t->stop;

    start('redis://127.0.0.1:' . $redis->port . '/99', t => $t);
    is +(replies($t, 'call GET a'))[0], 'call GET a: away', 'a database that is not there';
    ok wait_until(sub { lines($t, qr/is not reachable: ERR DB index is out of range/) }), '... is told of';
    $t->stop;

    start("unix:" . $t->testdir . '/nobody', t => $t);
    is +(replies($t, 'call GET a'))[0], 'call GET a: away', 'a socket that is not there';
    ok wait_until(sub { lines($t, qr/is not reachable: connect\(\) failed \(2: /) }), '... is told of';
    $t->done;
}


# A server that greets, and answers GET with that; what it says may end the connection.
sub server ($answer, %opt) {
    return serve(sub ($listener) {
        my $select = IO::Select->new($listener);
        my %read;

        while (1) {
            for my $socket ($select->can_read) {
                if ($socket == $listener) {
                    $select->add(scalar $listener->accept);
                    next;
                }
                if (!sysread $socket, $read{$socket}, 65536, length($read{$socket} // '')) {
                    $select->remove($socket);
                    delete $read{$socket};
                    next;
                }
                while ($read{$socket} =~ s/^\*(\d+)\r\n((?:\$\d+\r\n[^\r]*\r\n)+?)(?=\*|\z)//) {
                    my ($command) = $2 =~ /^\$\d+\r\n(\w+)/;
                    my $say = $command eq 'INFO' ? $opt{info} // "+\r\n" : $command eq 'PING' ? "+PONG\r\n" : $answer;
                    if (!defined $say) {
                        $select->remove($socket);
                        delete $read{$socket};
                        last;
                    }
                    syswrite $socket, $say;
                }
            }
        }
    });
}


sub said () {
    my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my %is = (
        (map { $_ => [ "-$_ that is why\r\n", qr/$_ that is why/ ] } qw(LOADING READONLY MASTERDOWN NOREPLICAS
            OOM MISCONF BUSY NOPERM NOAUTH WRONGPASS NOSCRIPT MOVED ASK TRYAGAIN CROSSSLOT CLUSTERDOWN)),
        unreadable => [ "?\r\n", qr/its reply is not readable, or longer than 256k/ ],
        closed     => [ undef, qr/it closed the connection/ ],
    );

    for my $reason (sort keys %is) {
        my ($answer, $line) = @{ $is{$reason} };
        start('redis://127.0.0.1:' . server($answer), t => $t);

        is +(replies($t, 'call GET a'))[0], 'call GET a: away', "$reason: the call fails";
        ok wait_until(sub { lines($t, qr/is not reachable: $line/) }), '... the line says why';
        ok wait_until(sub { (errors($t)->{$reason} // 0) >= 1 }), '... and so does a scrape';
        # one that greets is back until it is asked for news
        my ($first) = split /is reachable again/, $t->log;
        is scalar(() = $first =~ /\[error\].*is not reachable/g), 1, '... once';
        $t->stop;
        unlink $t->testdir . '/error.log';
    }

    # as servers before 7.0 say it of a script
    my $old = '-ERR Error running script (call to f_0123): @user_script:1: @user_script: 1: -OOM command not '
        . "allowed when used memory > 'maxmemory'.\r\n";
    start('redis://127.0.0.1:' . server($old), t => $t);
    is +(replies($t, 'call GET a'))[0], 'call GET a: away', 'OOM of a script';
    is errors($t)->{OOM}, 1, '... is OOM';
    ok wait_until(sub { (replies($t, 'call GET a'))[0] =~ /away|declined/ && errors($t)->{OOM} > 1 }),
        '... also when PING was answered';
    is lines($t, qr/is reachable again/), 0, '... which is no return';
    $t->stop;
    unlink $t->testdir . '/error.log';

    my $evicts = "maxmemory_policy:allkeys-lru\r\n";
    start('redis://127.0.0.1:' . server("+fine\r\n",
        info => '$' . length($evicts) . "\r\n$evicts\r\n"), t => $t);
    is +(replies($t, 'call GET a'))[0], 'call GET a: fine', 'a server that evicts serves';
    is lines($t, qr/\[warn\].*evicts keys, by its "maxmemory-policy" "allkeys-lru"/), 1, '... and is told of';
    $t->done;
}


sub losses () {
    my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    start('redis://127.0.0.1:' . server(undef), t => $t);
    replies($t, 'again GET key');
    my ($pid) = $t->worker_pids;

    my $before;
    ok wait_until(sub {
        my $n = errors($t)->{closed} // 0;
        $before //= $t->fd_count($pid) if $n >= 5;
        return $n >= 100;
    }, 90), 'a hundred losses';
    cmp_ok $t->fd_count($pid), '<=', $before + 2, '... leave no descriptor';
    $t->done;
}


sub reloads () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    my $other = CompletionAsync::Redis->start(dir => $t->testdir);
    start($redis->url, t => $t);
    replies($t, 'call PING');
    is $redis->clients, 1, 'a connection';

    my $conf = $t->read_file('nginx.conf');
    my $now  = sub ($with) {
        $t->write_file('nginx.conf', $conf =~ s/redis \Q@{[ $redis->url ]}\E timeout=20s;/$with/r);
        ok $t->reload(wait_old => 1), 'a reload with ' . ($with =~ s/ .*//r || 'nothing');
    };
    $now->('redis ' . $redis->url . ' timeout=19s;');
    is $redis->clients, 0, 'old workers close theirs';
    replies($t, 'call PING');
    is $redis->clients, 1, '... and new ones make theirs';

    $now->('redis ' . $other->url . ' timeout=20s;');
    replies($t, 'call PING');
    is join(' ', map { $_->clients } $redis, $other), '0 1', 'another server';
    $now->('');
    $t->submit('a text');
    is $other->clients, 0, 'none';

    # what is under way keeps the worker until it is over
    $now->('redis ' . $redis->url . ' timeout=1s;');
    replies($t, 'call PING');
    $redis->pause;
    to_call($t, 'call GET a');
    $t->submit('a text');
    ok $t->stop, 'a worker that quits';
    is_deeply [ heard($t) ], ['call GET a: away'], '... has finished its calls';
    $redis->continue;
    $t->done;
}


sub passwords () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 }, user => 'root');
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir, password => 'the-first-one');
    my $file  = $t->secret_file('redis.key', "a-wrong-one\n");
    $t->secret(qw(the-first-one a-wrong-one the-second-one));

    start($redis->url . " password=file:$file", t => $t);
    is +(replies($t, 'call GET a'))[0], 'call GET a: away', 'a wrong password';
    ok wait_until(sub { lines($t, qr/is not reachable: WRONGPASS /) }), '... is told of by its word';

    $t->secret_file('redis.key', 'the-first-one');
    ok wait_until(sub { lines($t, qr/is reachable again/) }), 'the file is followed';
    is lines($t, qr/"\S+redis.key" has changed, what it holds is the password/), 1, '... which is told';
    is +(replies($t, 'call GET a'))[0], 'call GET a: nil', '... and calls are answered';

    $t->secret_file('redis.key', "two\nlines\n");
    $redis->stop;
    replies($t, 'call GET a');
    ok wait_until(sub { lines($t, qr/"\S+redis.key" has more than one line, the password for redis is what it held/)
        || $redis->restart && 0 }), 'what is no password is told of';
    # it was restarted as often as that took
    ok wait_until(sub { lines($t, qr/is reachable again/) >= 2 }), '... and the one before serves';
    $t->done;
}


sub values_sealed () {
    my $t     = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    start($redis->url, t => $t);

    is_deeply [ replies($t, 'sealed a a value') ], ['sealed: opens'], 'a value opens under its key';
    is_deeply [ replies($t, 'sealed b a value') ], ['sealed: as absent'], '... and under no other';
    is_deeply [ replies($t, ('sealed b a value') x 3) ], [ ('sealed: as absent') x 3 ], '... any time';
    is lines($t, qr/\[error\].*has a value that no node with this "id_key" wrote, "b" counts as absent/), 1,
        '... which is told once';
    is errors($t)->{forged}, 4, '... and counted';
    $t->done;
}
