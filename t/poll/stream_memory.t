# What a stream holds does not grow with what it has told, nor with how often it had nothing to tell.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

plan skip_all => 'a sanitizer keeps what is freed'
    if ($ENV{ASAN_OPTIONS} // $ENV{TEST_NGINX_LD_PRELOAD} // '') ne '';

my $STREAMS = 8;
my $SIZE    = 200_000;
my $ROUNDS  = 40;

# All that was told, of which a stream may hold the last.
my $TOLD = $STREAMS * $SIZE * $ROUNDS / 1024;


sub start () {
    my $t = CompletionAsync::Test->new(emulator => { delay => 3600 });
    my $globals = $t->expand('%%TEST_GLOBALS%%') =~ s/(error\.log) debug;/$1 notice;/r;
    $t->run(<<"EOC");
$globals
worker_processes 1;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider yandex {
        zone operations 4m; %%PROVIDER%%
        poll_interval 20ms 50ms; poll_rate 1000r/s;
    }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
        }
    }
}
EOC
    return $t;
}


# Memory of its own, in kilobytes.
sub memory ($t) {
    my ($pid) = $t->worker_pids;
    open my $status, '<', "/proc/$pid/status" or die "/proc/$pid/status: $!\n";
    my ($anonymous) = map { /^RssAnon:\s+([0-9]+)/ } <$status>;
    return $anonymous;
}


# From now on upstream says so much of it.
sub pending ($t, $operation, $letter) {
    $t->emulator->clear_faults;
    $t->emulator->fault(
        poll      => 'every',
        operation => $operation,
        status    => 200,
        body      => qq({"id":"$operation","done":false,"metadata":"@{[ $letter x $SIZE ]}"}),
    );
}


# Streams of one operation, once they have told as much of it.
sub streams ($t) {
    my $location = $t->request(POST => '/', body => 'text')->header('Location');
    my $operation = ($t->emulator->submits)[-1]{operation};
    my @streams = map { $t->stream($location, timeout => 60) } 1 .. $STREAMS;
    $_->event for @streams;
    return ($operation, @streams);
}


sub told ($operation, $t, $letter, @streams) {
    pending($t, $operation, $letter);
    my $expected = $letter x $SIZE;
    my $told = 0;
    for my $stream (@streams) {
        while (defined(my $event = $stream->event(60))) {
            next if index($event->{data} // '', $expected) < 0;
            $told++;
            last;
        }
    }
    return $told;
}


subtest 'news' => sub {
    my $t = start();
    my ($operation, @streams) = streams($t);

    told($operation, $t, $_, @streams) for qw(a b c);
    my $before = memory($t);
    my $told = 0;
    $told += told($operation, $t, $_ % 2 ? 'd' : 'e', @streams) for 1 .. $ROUNDS;

    is $told, $STREAMS * $ROUNDS, 'everybody is told everything';
    cmp_ok memory($t) - $before, '<', $TOLD / 4, "$TOLD kB of it";
    $_->close for @streams;
    $t->done;
};


subtest 'comments, in fast motion' => sub {
    my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
    plan skip_all => 'there is no libfaketime' if !defined $library;

    local $ENV{TEST_NGINX_LD_PRELOAD} = $library;
    local $ENV{FAKETIME} = '+0 x200';
    local $ENV{FAKETIME_DONT_RESET} = 1;
    my $t = start();
    delete $ENV{FAKETIME};
    my ($operation, @streams) = streams($t);
    told($operation, $t, 'a', @streams);

    my $before = memory($t);
    my $comments = 0;
    for (1 .. $ROUNDS) {
        $comments += grep { defined $_->event(60)->{comment} } @streams;
    }
    is $comments, $STREAMS * $ROUNDS, 'nothing but comments';
    cmp_ok memory($t) - $before, '<', $TOLD / 4, "that could have held $TOLD kB";
    $_->close for @streams;
    $t->done;
};


done_testing;
