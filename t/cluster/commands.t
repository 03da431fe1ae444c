# How often a submit asks the server, by the server's own log.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);


for my $case (
    # what, lines of the provider, questions ahead of the first byte, and in all
    [ 'without a submit rate', '', [qw(claim turn)], [qw(claim turn tell)] ],
    [ 'with a submit rate', 'submit_rate 100r/s; submit_queue 100;', [qw(claim starts turn)],
        [qw(claim starts turn tell)] ],
) {
    my ($what, $lines, $ahead, $all) = @$case;

    subtest $what => sub {
        my $nodes = CompletionAsync::Nodes->new(
            n          => 1,
            emulator   => { delay => 600 },
            redis      => { config => [ 'slowlog-log-slower-than 0', 'slowlog-max-len 10000' ] },
            parameters => 'timeout=30s',
            provider   => "$lines poll_interval 30s 60s;",
            http       => 'completion_async_cache 1h shared;',
        );
        my ($t) = $nodes->all;
        my $redis = $nodes->redis;

        # the connection, and the scripts
        is $t->post('first', headers => { 'Idempotency-Key' => 'first' })->{status}, 202, 'a first submit';
        ok wait_until(sub { grep { $_ eq 'tell' } asked($redis) }, 30), '... of which the server was told';

        for my $headers ({ 'Idempotency-Key' => 'a-key' }, {}) {
            my $name = %$headers ? 'with a key, and by its text' : 'by its text';

            $redis->cli(SLOWLOG => 'RESET');
            $nodes->emulator->fault(submit => 1, hold => 'held');
            my $client = $t->start(POST => '/translate', body => $name,
                headers => { 'Content-Type' => 'text/plain', %$headers });
            ok wait_until(sub { $nodes->emulator->submits($name) == 1 }, 30), "$name: upstream has it";
            is_deeply [ asked($redis) ], $ahead, '... and the server was asked so often';

            $nodes->emulator->release('held');
            $nodes->emulator->clear_faults;
            is $client->response(30)->{status}, 202, '... it is accepted';
            ok wait_until(sub { asked($redis) >= @$all }, 30), '... and the server told';
            is $t->post($name, headers => $headers)->{status}, 202, 'a repeat';
            is_deeply [ asked($redis) ], $all, '... asks for nothing';
        }
        $nodes->done;
    };
}

done_testing;


# What the server was asked of submits, in order: the first word behind the keys, of claims.
sub asked ($redis) {
    my @said;
    for my $entry (reverse @{ $redis->cli(SLOWLOG => GET => 10_000) }) {
        my ($name, undef, $keys, @rest) = @{ $entry->[3] };
        next if $name !~ /^EVAL/i || $rest[0] =~ /:news$/;
        push @said, $rest[0] =~ /:nodes$/ ? 'starts' : $rest[$keys];
    }
    return @said;
}
