# What submits that wait hold of a worker's memory: it is bounded, counted and given back.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 600 });

$t->run(<<'EOC');
%%TEST_GLOBALS%%
worker_processes 1;
events { worker_connections 64; }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    client_max_body_size 8m;
    completion_async_provider small {
        zone small 1m; submit_memory 200k; %%PROVIDER%%
    }
    completion_async_provider line {
        zone line 1m; submit_memory 200k; submit_rate 1r/m; submit_queue 100 1h; %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%%;
        completion_async_model yandexgpt-lite;

        location /small { completion_async small; }
        location /line  { completion_async line; }
        location /buffer {
            completion_async        line;
            client_body_buffer_size 64k;
        }
    }
}
EOC

my $e = $t->emulator;
my $key = 'a';


sub memory ($provider) { $t->metrics->sum('submit_memory_bytes', provider => $provider) }

sub waiters ($provider) { $t->metrics->sum('waiters', provider => $provider) }


# The arguments of a submit, under a key of its own unless told.
sub arguments ($location, $text, %headers) {
    return (POST => $location, body => $text,
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key++, %headers });
}


sub is_overloaded ($r, $name) {
    is $r->{status}, 503, "$name: 503";
    is +(eval { $r->json } // {})->{code}, 'overloaded', "$name: its code";
    is $r->header('Retry-After'), 1, "$name: Retry-After";
    is $r->header('x-should-retry'), 'true', "$name: may be repeated";
}


# Submits of a text that begins so, as upstream has seen them.
sub submits ($begin) {
    return grep { (($_->{json}{messages} // [])->[-1]{text} // '') =~ /^\Q$begin\E/ } $e->submits;
}


# It takes the quota of a minute; what comes behind it waits.
is $t->request(arguments('/line', 'first'))->{status}, 202, 'the first one';


subtest 'in the line for the quota' => sub {
    my $before = $e->submits;
    my @waits = map { $t->start(arguments('/line', "wait $_ " . 'x' x 40_000)) } 1 .. 3;
    ok wait_until(sub { waiters('line') == 3 }), 'three wait';

    # each with its JSON once, and nginx's buffer of 16 KB
    my $held = memory('line');
    cmp_ok $held, '>', 3 * (40_000 + 4096), 'and are counted';
    cmp_ok $held, '<', 3 * (40_000 + 16_384 + 8192), 'with one copy of their texts';

    is_overloaded($t->request(arguments('/line', 'y' x 40_000)), 'a fourth one');
    is scalar $e->submits, $before, 'nothing was sent';
    is $t->metrics->sum('submits_total', provider => 'line', result => 'overloaded'), 1, 'counted';
    like $t->log, qr/\[error\] .* no room for a submit, submit_memory is used up/, 'and told';

    # who joins holds less, and what is known nothing
    my $joined = $t->start(arguments('/line', 'wait 1 ' . 'x' x 40_000, 'Idempotency-Key' => 'b'));
    ok wait_until(sub { waiters('line') == 4 }), 'one that joins has room';
    cmp_ok memory('line') - $held, '<', 16_384 + 8192, 'for it holds no text';

    # a client that leaves takes its buffer along, not the text
    $_->close for @waits, $joined;
    ok wait_until(sub { waiters('line') == 0 }), 'all clients leave';
    my $left = memory('line');
    cmp_ok $left, '>', 3 * 40_000, 'the submits go on';
    cmp_ok $left, '<', 3 * (40_000 + 8192), 'without them';
    is_overloaded($t->request(arguments('/line', 'z' x 80_000)), 'and count');
};


subtest 'what nginx has of a body counts as well' => sub {
    my $before = memory('line');
    my $wait = $t->start(arguments('/buffer', 'x' x 20_000));
    ok wait_until(sub { waiters('line') == 1 }), 'a body in a buffer';
    my $held = memory('line') - $before;
    cmp_ok $held, '>', 2 * 20_000, 'is there, and its JSON';
    $wait->close;
    ok wait_until(sub { waiters('line') == 0 }), 'its client leaves';
    is memory('line') - $before, $held - 20_000, 'and takes the buffer along';
};


subtest 'a reload lets go of it' => sub {
    ok memory('line'), 'some is held';
    ok $t->reload(wait_old => 1), 'reload';
    is memory('line'), 0, 'it went with the worker';
};


subtest 'in line for a connection' => sub {
    $e->fault(submit => 'every', hold => 'answers');

    # a quarter of the connections, three quarters of that: 12 are on their way
    my @waits;
    for my $n (1 .. 12) {
        push @waits, $t->start(arguments('/small', "sent $n " . 'x' x 40_000));
        wait_until(sub { submits('sent') == $n });
    }
    is scalar submits('sent'), 12, 'twelve are sent';
    is memory('small'), 0, 'what was sent does not count';

    push @waits, map { $t->start(arguments('/small', "wait $_ " . 'x' x 40_000)) } 1 .. 3;
    ok wait_until(sub { waiters('small') == 15 }), 'three wait';
    cmp_ok memory('small'), '>', 3 * 40_000, 'and count';
    is_overloaded($t->request(arguments('/small', 'y' x 40_000)), 'a fourth one');

    $_->close for splice @waits, 12;
    ok wait_until(sub { waiters('small') == 12 }), 'those who wait leave';
    cmp_ok memory('small'), '>', 3 * 40_000, 'theirs goes on to count';

    $e->clear_faults;
    $e->release('answers');
    ok wait_until(sub { submits('wait') == 3 }), 'and is sent';
    ok wait_until(sub { memory('small') == 0 }), 'nothing is held any more';
    is $t->request(arguments('/small', 'y' x 40_000))->{status}, 202, 'the next one has room';
    is_deeply [ map { $_->response->{status} } @waits ], [ (202) x 12 ], 'and all are accepted';
};


ok $t->stop, 'nginx ends by itself';
$t->done;
