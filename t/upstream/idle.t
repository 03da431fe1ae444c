# Connections to upstream that idle: whatever upstream does to them meanwhile is nobody's answer,
# and what it closed is closed here as well.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use Test::More;
use CompletionAsync::Server qw(serve);
use CompletionAsync::Test qw(wait_until);


# An upstream that holds its answers until so many requests are there. Commands: "hold N",
# "forge" (an answer on each connection), "close" (each of them), "count"; all are answered.
sub upstream () {
    socketpair my $near, my $far, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";

    my $port = serve(sub ($listener) {
        close $near;
        obey($listener, $far);
    });
    close $far;
    return { port => $port, control => $near };
}


sub obey ($listener, $far) {
    my ($select, $hold, %input, @held) = (IO::Select->new($listener, $far), 1);
    while (1) {
        for my $ready ($select->can_read) {
            if ($ready == $listener) {
                my $connection = $listener->accept or next;
                $select->add($connection);
                $input{$connection} = '';
                next;
            }
            if ($ready == $far) {
                sysread $far, my $command, 100 or return;
                my @open = grep { $_ != $far && $_ != $listener } $select->handles;
                $hold = $1 if $command =~ /^hold (\d+)/;
                if ($command =~ /^forge/) {
                    syswrite $_, answer('forged00000000000000') for @open;
                }
                if ($command =~ /^close/) {
                    $select->remove($_), close $_ for @open;
                }
                syswrite $far, @open . "\n";
                next;
            }
            if (!sysread $ready, $input{$ready}, 65_536, length $input{$ready}) {
                $select->remove($ready);
                close $ready;
                next;
            }
            push @held, [ $ready, sprintf 'id%018d', $1 ]
                if $input{$ready} =~ s/^POST .*?"number (\d+)".*\}$//s;
        }
        next if @held < $hold;
        syswrite $_->[0], answer($_->[1]) for grep { $select->exists($_->[0]) } @held;
        @held = ();
    }
}


sub answer ($id) {
    my $json = qq({"id":"$id","description":"","createdAt":null,"done":false});
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        . length($json) . "\r\n\r\n$json";
}


sub order ($upstream, $command) {
    syswrite $upstream->{control}, "$command\n";
    return readline($upstream->{control}) + 0;
}


my ($one, $other) = map { upstream() } 1 .. 2;

my $t = CompletionAsync::Test->new(emulator => 0);
$t->run(<<"EOC");
%%TEST_GLOBALS%%
events { worker_connections 8192; }
worker_processes 1;
worker_rlimit_nofile 16384;
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider one {
        zone one 4m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; poll_interval 1h 1h;
        submit_url http://127.0.0.1:$one->{port}/; operations_url http://127.0.0.1:$one->{port}/;
    }
    completion_async_provider other {
        zone other 4m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; poll_interval 1h 1h;
        submit_url http://127.0.0.1:$other->{port}/;
        operations_url http://127.0.0.1:$other->{port}/;
    }
    completion_async_model yandexgpt-lite;
    add_header X-Operation \$completion_async_operation always;
    server {
        listen 127.0.0.1:%%PORT%% backlog=2048;
        location /one { completion_async one; }
        location /other { completion_async other; }
    }
}
EOC
my ($worker) = $t->worker_pids;
my $number = 0;


# What became of so many submits at once: own, forged, another's, or a status.
sub submits ($upstream, $location, $n) {
    order($upstream, "hold $n");
    my @number = map { $number++ } 1 .. $n;
    my @r = $t->concurrent(
        map { [ POST => $location, body => "number $_", timeout => 30 ] } @number
    );
    my %fate;
    for my $r (@r) {
        my $id   = $r->header('X-Operation') // '';
        my $own  = sprintf 'id%018d', shift @number;
        my $fate = ($r->{status} // 0) != 202 ? $r->{status} // $r->{error}
            : $id eq $own ? 'own' : $id =~ /^forged/ ? 'forged' : "another's";
        $fate{$fate}++;
    }
    return \%fate;
}


sub sockets () { grep { /^socket:/ } map { readlink // '' } glob "/proc/$worker/fd/*" }


# libcurl has some of its own.
is_deeply submits($one, '/one', 1), { own => 1 }, 'a first one';
my %before = map { $_ => 1 } sockets();

subtest 'an answer that nobody asked for, on 700 connections' => sub {
    is_deeply submits($one, '/one', 700), { own => 700 }, 'so many connections are there';
    is order($one, 'forge'), 700, 'upstream speaks unasked on each of them';
    is_deeply submits($one, '/one', 700), { own => 700 }, 'and nobody gets what it said';
};

subtest 'the same with connections to another origin' => sub {
    is_deeply submits($other, '/other', 350), { own => 350 }, 'to one origin';
    is_deeply submits($one, '/one', 350), { own => 350 }, 'to the other one';
    cmp_ok order($other, 'forge'), '>=', 350, 'upstream speaks unasked';
    is_deeply submits($other, '/other', 350), { own => 350 }, 'and nobody gets what it said';
};

subtest 'what upstream closed is closed here' => sub {
    my $open = sub { scalar grep { !$before{$_} } sockets() };
    cmp_ok $open->(), '>=', 700, 'many are open';
    cmp_ok order($_, 'close'), '>', 0, 'upstream closes what it has' for $one, $other;
    ok wait_until(sub { $open->() <= 1 }, 10), 'they go by themselves' or diag $open->();
    is_deeply submits($one, '/one', 3), { own => 3 }, 'and new ones come';
};

$t->done;
