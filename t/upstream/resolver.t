# Names of upstream: asked of the resolver, or looked up at start; the worker never waits.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use POSIX ();
use Socket qw(inet_aton);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0.05 });
my $e = $t->emulator;
my $kid;

END { local $?; if ($kid) { kill KILL => $kid; waitpid $kid, 0 } }


# Upstream listens on 127.0.0.1 only; other loopback addresses refuse.
my %ZONE = (
    'one.test'   => ['127.0.0.1'],
    'two.test'   => [ '127.0.0.2', '127.0.0.1' ],
    'owt.test'   => [ '127.0.0.1', '127.0.0.2' ],
    'four.test'  => [ map { "127.0.0.$_" } 4, 3, 2, 1 ],
    'away.test'  => ['127.0.0.2'],
    'moved.test' => [ ['127.0.0.2'], ['127.0.0.1'] ],
    'empty.test' => [],
    'fail.test'  => 'SERVFAIL',
    'mute.test'  => 'silence',
    'deaf.test'  => 'silence',
    'late.test'  => ['127.0.0.1'],
);


# A name server that notes each question; names it does not know do not exist.
sub name_server () {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
        // die "UDP: $!\n";
    $kid = fork // die "fork: $!\n";
    return $socket->sockport if $kid;

    open my $log, '>>', $t->testdir . '/dns.log' or POSIX::_exit(1);
    $log->autoflush(1);
    my %seen;
    $SIG{CHLD} = 'IGNORE';
    while (my $peer = recv $socket, my $query, 512, 0) {
        my ($id, $flags, $n) = unpack 'n3', $query;
        my ($at, @label) = (12);
        while (my $length = ord substr $query, $at, 1) {
            push @label, substr $query, $at + 1, $length;
            $at += 1 + $length;
        }
        my $question = substr $query, 12, $at + 5 - 12;
        my $type = unpack 'n', substr $query, $at + 1, 2;
        my $name = lc join '.', @label;
        say {$log} "$name $type";

        my $known = $ZONE{$name};
        next if defined $known && $known eq 'silence';

        my $code = !defined $known ? 3 : ref $known ? 0 : 2;
        my @address = $type == 1 && ref $known ? @$known : ();
        my $ttl = $name eq 'moved.test' ? 0 : 1;
        if (@address && ref $address[0]) {
            my $turn = $seen{$name}++;
            @address = @{ $address[ $turn < @address ? $turn : -1 ] };
        }
        my $records = join '', map { pack 'n n n N n a4', 0xc00c, 1, 1, $ttl, 4, inet_aton($_) }
            @address;
        if ($name eq 'late.test') {
            next if fork;
            select undef, undef, undef, 0.7;
        }
        send $socket, pack('n6', $id, 0x8180 | $code, 1, scalar @address, 0, 0) . $question
            . $records, 0, $peer;
        POSIX::_exit(0) if $name eq 'late.test';
    }
    POSIX::_exit(0);
}


my $dns = name_server();
my $providers = '';
my $locations = '';
for my $name (sort(keys %ZONE), 'nowhere.test', 'localhost', '127.0.0.1') {
    my $url = "http://$name:" . $e->port;
    my $timeout = $name eq 'moved.test' ? '6s' : '2500ms';
    $providers .= <<"EOC";
completion_async_provider $name {
    zone $name 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%;
    connect_timeout 1s; request_timeout $timeout; poll_interval 100ms 300ms;
    submit_url $url/foundationModels/v1/completionAsync; operations_url $url/operations;
}
EOC
    $locations .= "location /$name { completion_async $name; }\n";
}

# Two that never get a connection; the time for the first one includes its name.
my $hole = $t->black_hole;
for my $origin ([ 'hole.test' => "late.test:$hole", 1000, 1200 ], [ 'abyss.test' => "127.0.0.1:$hole", 1350, 1600 ]) {
    my ($name, $host, $connect, $request) = @$origin;
    $providers .= <<"EOC";
completion_async_provider $name {
    zone $name 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%;
    connect_timeout ${connect}ms; request_timeout ${request}ms;
    submit_url http://$host/; operations_url http://$host/;
}
EOC
    $locations .= "location /$name { completion_async $name; }\n";
}
my $http = <<"EOC";
    $providers
    completion_async_model yandexgpt-lite;
    server {
        listen 127.0.0.1:%%PORT%%;
        $locations
    }
EOC


sub verdict ($r) {
    my $json = $r->json;
    return join ' ', $r->{status} // $r->{error},
        ref $json eq 'HASH' ? $json->{code} // 'operation' : '-';
}


sub questions ($name) { scalar grep { /^\Q$name\E / } split /\n/, $t->read_file('dns.log') }


sub works ($name) {
    my $r = $t->post("by $name", path => "/$name");
    is verdict($r), '202 operation', "$name: accepted";
    my $done = $t->poll_until_done($r->header('Location') // '/', timeout => 5);
    is ref $done->json && $done->json->{response}{alternatives}[0]{message}{text}, "echo: by $name",
        "$name: polled";
}


$t->run($t->http_conf("resolver 127.0.0.1:$dns; resolver_timeout 1s;\n$http"));

subtest 'the resolver is asked' => sub {
    is questions('one.test'), 0, 'not at start';
    works('one.test');
    cmp_ok questions('one.test'), '>=', 1, 'but when there is a submit';
    my ($submit) = ($e->submits)[-1];
    is $submit->{headers}{host}, 'one.test:' . $e->port, 'upstream sees the name';
};

subtest 'what needs no resolver' => sub {
    works($_) for 'localhost', '127.0.0.1';
    is questions($_), 0, "$_ is not asked for" for 'localhost', '127.0.0.1';
};

subtest 'several addresses' => sub {
    for my $name (qw(two.test owt.test four.test)) {
        my $before = $e->submits;
        is verdict($t->post("$name $_", path => "/$name")), '202 operation', "$name: submit $_"
            for 1 .. 3;
        is $e->submits - $before, 3, "$name: each was sent once";
        works($name);
    }
};

subtest 'an address that changes' => sub {
    my $r = $t->post('by moved.test', path => '/moved.test');
    is verdict($r), '202 operation', 'the next try has the new one';
    cmp_ok questions('moved.test'), '>=', 2, 'which the resolver was asked for again';
};

subtest 'names that lead nowhere' => sub {
    my %why = (
        'nowhere.test' => '"nowhere\.test" could not be resolved \(3: Host not found\)',
        'empty.test'   => '"empty\.test" could not be resolved \(\d+: [^)]+\)',
        'fail.test'    => '"fail\.test" could not be resolved \(2: Server failure\)',
        'away.test'    => 'Failed to connect to [^"]+',
    );
    my @name = sort keys %why;
    my @r = $t->concurrent(map { [ POST => "/$_", body => 'x' ] } @name);
    for my $name (@name) {
        my $r = shift @r;
        is verdict($r), '503 upstream_unavailable', $name;
        like $r->header('Retry-After') // '', qr/^[1-9][0-9]*$/, "$name: Retry-After";
        like $t->log, qr/\[error\] .*not reached: $why{$name} while /, "$name: the log tells";
    }
};

subtest 'a name server that says nothing' => sub {
    my @silent = map { $t->start(POST => '/mute.test', body => "x $_") } 1 .. 3;
    works('127.0.0.1');
    my @r = map { $t->post("meanwhile $_", path => '/one.test') } 1 .. 5;
    is scalar(grep { verdict($_) eq '202 operation' } @r), 5, 'other submits go on';
    ok !$_->is_over, 'before resolver_timeout, which the silent ones wait for' for @silent;

    CompletionAsync::Client->gather(\@silent, 10);
    for my $r (map { $_->response } @silent) {
        like verdict($r), qr/^(?:504 upstream_timeout|503 upstream_unavailable)$/, verdict($r);
        ok 0.9 <= $r->{time} && $r->{time} < 5,
            'after resolver_timeout, within request_timeout' or diag $r->{time};
    }
    like $t->log, qr/\[error\] .*"mute\.test" could not be resolved \(110: Operation timed out\)/,
        'the log names it';
};

subtest 'a name that comes late' => sub {
    my @end = map { $t->start(POST => $_, body => 'x') } '/hole.test', '/abyss.test';
    CompletionAsync::Client->gather(\@end, 10);
    is verdict($_->response), '504 upstream_timeout', 'no connection' for @end;
    my ($first) = $t->log =~ /\[error\] .*no connection to "([^"]+)" in time/;
    is $first, 'late.test', 'within connect_timeout, the name included';
};

subtest 'a worker ends while it waits for a name' => sub {
    my $client = $t->start(POST => '/deaf.test', body => 'x');
    wait_until(sub { questions('deaf.test') });
    kill QUIT => $t->master_pid;
    like verdict($client->response), qr/^50[34] /, 'its client gets an answer';
    $client->close;
    ok $t->stop, 'it ends by itself';
};

# Names are looked up by the system, once, and errors of that are errors of the configuration.
subtest 'without a resolver' => sub {
    my $asked = length $t->read_file('dns.log');
    my $only  = $http =~ s/^\s*completion_async_provider \S+\.test \{.*?^\}\n//gmsr
        =~ s/^\s*location \S+\.test .*\n//gmr;
    $t->run($t->http_conf($only));
    works($_) for 'localhost', '127.0.0.1';
    is length $t->read_file('dns.log'), $asked, 'nobody is asked';

    my ($status, $output) = $t->nginx_t($t->http_conf(
        'completion_async_provider x { zone x 1m; folder f; api_key file:%%API_KEY_FILE%%; '
            . 'submit_url http://nowhere.invalid/; }'));
    isnt $status, 0, 'a name that is not found ends the start';
    like $output, qr/\[emerg\] .*host not found "nowhere\.invalid", with a "resolver"/,
        'which says how it would not';
};

$t->done;
