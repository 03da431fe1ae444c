# Many submits and polls through two workers: everybody gets their own answer, nothing is left
# behind. TEST_NGINX_SOAK says how many (1,000).

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(any max min sum);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Test;

my $TOTAL   = $ENV{TEST_NGINX_SOAK} || 1000;
my $CLIENTS = 64;
my $SLOW    = ($ENV{ASAN_OPTIONS} // $ENV{TEST_NGINX_LD_PRELOAD} // '') ne '';

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 }, timeout => 120 + $TOTAL / 10);
my $e = $t->emulator;

# Log lines of debug for every byte would fill the disk: this log is for what goes wrong.
my $globals = $t->expand('%%TEST_GLOBALS%%') =~ s/(error\.log) debug;/$1 notice;/r;
$t->run(<<"EOC");
$globals
worker_processes 2;
events { worker_connections 1024; }
http {
    %%TEST_GLOBALS_HTTP%%
    access_log off;
    keepalive_requests 1000000;
    completion_async_provider yandex {
        zone operations 8m; %%PROVIDER%%
        poll_interval 100ms 1s; poll_rate 5000r/s;
    }
    completion_async_model yandexgpt-lite;
    server {
        listen 127.0.0.1:%%PORT%% reuseport backlog=512;
        location / { completion_async yandex; }
    }
}
EOC

my @workers = $t->worker_pids;
is scalar @workers, 2, 'two workers';


# Sockets to upstream, which are kept, and all the rest.
sub descriptors ($pid) {
    open my $table, '<', "/proc/$pid/net/tcp" or die "/proc/$pid/net/tcp: $!\n";
    my $port = sprintf ':%04X', $e->port;
    my %upstream = map { $_->[9] => 1 } grep { $_->[2] =~ /\Q$port\E$/ }
        map { [ split ' ' ] } <$table>;
    my @fds = $t->fds($pid);
    my $kept = grep { /^socket:\[([0-9]+)\]$/ && $upstream{$1} } @fds;
    return { upstream => $kept, others => @fds - $kept };
}


# Memory of its own, in kilobytes.
sub memory ($pid) {
    open my $status, '<', "/proc/$pid/status" or return 0;
    my ($anonymous) = map { /^RssAnon:\s+([0-9]+)/ } <$status>;
    return $anonymous // 0;
}


# Every client has a connection to the one worker or the other for submits, and its
# neighbour's for polls. What goes wrong is kept, not each thing that goes well.
my (@clients, @wrong, %code);

sub connect_all () {
    $_->close for @clients;
    @clients = map { $t->client(timeout => 60) } 1 .. $CLIENTS;
}


sub requests (@request) {
    my @used = map {
        my ($n, $method, $path, %arg) = @{ $request[$_] };
        $clients[ $n % $CLIENTS ]->start($method, $path, %arg);
    } 0 .. $#request;
    CompletionAsync::Client->gather(\@used, 60);
    my @r = map { $_->response } @used;
    $code{ "$request[$_][1] " . ($r[$_]{status} // $r[$_]{error}) }++ for 0 .. $#r;
    return @r;
}


sub round ($first, $count) {
    my %left;
    my @n = 0 .. $count - 1;
    my @text = map { sprintf 'number %d, %s', $first + $_, 'y' x (($first + $_) * 37 % 900) } @n;
    my @r = requests(map { [ $_, POST => '/', body => $text[$_] ] } @n);

    for my $n (@n) {
        my $location = $r[$n]->header('Location');
        if (!defined $location) {
            push @wrong, "submit: $r[$n]{status} $r[$n]{body}" if @wrong < 5;
            next;
        }
        $left{$n} = $location;
    }
    # Some wait, some ask again and again.
    my $deadline = time + 60;
    while (%left && time < $deadline) {
        my @ask = sort { $a <=> $b } keys %left;
        my @answer = requests(map {
            my $headers = $_ % 3 ? { Prefer => 'wait=5' } : {};
            [ $_ + $CLIENTS / 2 + 1, GET => $left{$_}, headers => $headers ];
        } @ask);

        for my $n (@ask) {
            my $r = shift @answer;
            my $json = $r->json;
            next if ref $json eq 'HASH' && !$json->{done} && $r->{status} == 200;

            my $got = ref $json eq 'HASH'
                && eval { $json->{response}{alternatives}[0]{message}{text} } // '';
            if ($got ne "echo: $text[$n]" || "/operations/$json->{id}" ne $left{$n}) {
                push @wrong, "$text[$n]: $r->{status} $r->{body}" if @wrong < 5;
            }
            delete $left{$n};
        }
        sleep 0.05 if %left;
    }
    push @wrong, "unanswered: $_" for values %left;
    return $count - keys %left;
}


sub settle () {
    $_->close for @clients;
    $e->disconnect(idle => 1);
    sleep 0.5;
}


# Warm: what is made once is there, and the pools are as large as they get.
my $warm = min(400, max(200, $TOTAL / 10));
connect_all();
round(-$_ * $CLIENTS, $CLIENTS) for reverse 1 .. 1 + $warm / $CLIENTS;
is "@wrong", '', 'warm';
settle();
my %before = map { $_ => descriptors($_) } @workers;
my %memory = map { $_ => memory($_) } @workers;
my $submits = $e->state->{operations}->@*;

connect_all();
my ($done, $start) = (0, time);
while ($done < $TOTAL) {
    my $count = min($CLIENTS, $TOTAL - $done);
    my $answered = round($done, $count);
    last if @wrong;
    $done += $answered;
}
my $seconds = time - $start;

is join("\n", @wrong), '', 'everybody got their own answer';
is $done, $TOTAL, 'and everybody got one';
is $e->state->{operations}->@* - $submits, $TOTAL, 'each was submitted once';
is_deeply [ grep { !/^(?:POST 202|GET 200)$/ } keys %code ], [], 'no other status';

settle();
is_deeply [ sort $t->worker_pids ], [ sort @workers ], 'the workers are the same';
for my $pid (@workers) {
    my $now = descriptors($pid);
    is $now->{others}, $before{$pid}{others}, 'no descriptor is left behind';
    cmp_ok $now->{upstream}, '<=', 256, 'and no more connections are kept than may be';
    my $growth = memory($pid) - $memory{$pid};
    cmp_ok $growth, '<', 8192, 'no memory, either' if !$SLOW;
    note sprintf 'worker %d: %+d kB', $pid, $growth;
}
note sprintf '%d in %.1f s, %s', $done, $seconds,
    join ', ', map { "$_: $code{$_}" } sort keys %code;

is join("\n", grep { /\[(?:warn|error|crit|alert|emerg)\]/ && !/while starting|id_key/ }
    split /\n/, $t->log), '', 'the error log is clean';
$t->done;
