# How often a user pays for one wish, when whoever stands between them and this module repeats by
# itself what it takes for safe.  Upstream accepts, and answers badly, or not at all.
#
# Clients: curl --retry, with --retry-all-errors too, an nginx in front with two edges, npm's
# openai, and a browser.  A browser repeats no POST by itself, whatever the status: what is counted
# here is the user who reloads each page that is an error, once.  That is another wish in so many
# words, as the page says that the first may have been accepted; with a key it costs nothing.
#
# What no status can mend is an answer that does not arrive: %PAID names each such cell.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha1_hex);
use Fcntl qw(O_CREAT O_EXCL O_WRONLY);
use IO::Handle;
use IO::Socket::INET;
use Mojo::JSON qw(encode_json);
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Sdk;
use CompletionAsync::Test;

my $sdk = CompletionAsync::Sdk->new(apiKey => 'none');

if (!$sdk) {
    fail 'npm\'s openai is there: run "make deps"';
    done_testing;
    exit;
}

# Seconds: of a client that does not wait for ever, and of what makes it lose patience.
my $PATIENCE = 1.5;
my $SILENCE  = 4;

# Seconds until upstream is well again, later than the first answer of ours, ahead of a repeat.
my $ILLNESS = 1.2;

my $t = CompletionAsync::Test->new(emulator => { delay => 0 }, timeout => 170);
my $e = $t->emulator;

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64) or die "listen: $!\n";
$t->define(HOLE => $t->black_hole, LOSSY => $listener->sockport, PATIENCE => $PATIENCE * 1000);

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex {
    zone yandex 4m; %%PROVIDER%% request_timeout 1s; poll_interval 50ms 100ms;
}
completion_async_provider hole {
    zone hole 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%;
    connect_timeout 300ms; request_timeout 1s;
    submit_url http://127.0.0.1:%%HOLE%%/; operations_url http://127.0.0.1:%%HOLE%%/;
}
completion_async_model yandexgpt-lite;

upstream edges {
    server 127.0.0.1:%%PORT_1%% max_fails=0;
    server 127.0.0.1:%%PORT_2%% max_fails=0;
}
upstream lossy {
    server 127.0.0.1:%%LOSSY%% max_fails=0;
    server 127.0.0.1:%%PORT_2%% max_fails=0 backup;
}
server {
    listen 127.0.0.1:%%PORT_1%%;
    listen 127.0.0.1:%%PORT_2%%;
    location /t    { completion_async yandex; }
    location /hole { completion_async hole; }
}
server {
    listen 127.0.0.1:%%PORT%%;
    proxy_next_upstream error timeout http_502 http_503 http_504 non_idempotent;
    proxy_read_timeout 10s;
    location /      { proxy_pass http://edges; }
    location /lossy { proxy_pass http://lossy/t; proxy_read_timeout %%PATIENCE%%ms; }
}
EOC

my @USERS = ('curl', 'curl, all', 'nginx', 'openai', 'reload');

# What one wish costs without a key, user by user; with a key it is never more than once.
my %PAID = (
    free    => [ 0, 0, 0, 0, 0 ],
    later   => [ 1, 1, qr/^[01]$/, 1, qr/^[01]$/ ],    # as upstream is well again in time or not
    once    => [ 1, 1, 1, 1, 1 ],
    told    => [ 1, 1, 1, 1, 2 ],    # a user who was told, and asks again
    reset   => [ 1, 2, 2, 2, 2 ],    # lost between the edge and whoever asked it
    silence => [ 2, 2, 2, 2, 2 ],    # the same, and curl --retry repeats what takes too long
    cut     => [ 1, 2, 1, 1, 2 ],    # of half an answer the others think no more
);

my ($proxy, @table);

defined($proxy = fork) or die "fork: $!\n";
lossy_proxy() if !$proxy;
close $listener;

END {
    local $?;
    kill TERM => $proxy if $proxy;
    waitpid $proxy, 0 if $proxy;
}


# A request goes on to the edge, and the first answer to each text is lost, in the way that its
# first word names.
sub lossy_proxy () {
    local $SIG{CHLD} = 'IGNORE';
    local $SIG{TERM} = sub { POSIX::_exit(0) };

    while (1) {
        my $client = $listener->accept or next;
        next if fork;
        alarm 20;

        my ($request, $answer) = ('', '');
        until ($request =~ /\r\n\r\n\{.*\}\z/s) {
            sysread $client, $request, 65536, length $request or POSIX::_exit(1);
        }
        my ($text) = $request =~ /"text": *"([^"]+)"/;
        my $first = sysopen my $mark, $t->testdir . '/lost-' . sha1_hex($text),
            O_CREAT | O_EXCL | O_WRONLY;

        $request =~ s/^Connection:.*\r\n//mgi;
        $request =~ s/\r\n/\r\nConnection: close\r\n/;
        my $edge = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port(1));
        syswrite $edge, $request;
        1 while sysread $edge, $answer, 65536, length $answer;

        my $how = $first ? ($text =~ /^(\w+)/)[0] : 'none';
        if ($how eq 'silence') {
            sleep $SILENCE;

        } elsif ($how eq 'reset') {
            setsockopt $client, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;

        } else {
            my $end = $how eq 'cut' ? index($answer, "\r\n\r\n") + 20 : length $answer;
            syswrite $client, substr $answer, 0, $end;
        }
        close $client;
        POSIX::_exit(0);
    }
}


# Begins to ask as that user does, and returns what ends it: a function.
sub ask ($user, $text, %arg) {
    my $lossy   = $arg{lossy};
    my $path    = $arg{path} // '/t';
    my $port    = $lossy ? $t->expand('%%LOSSY%%') : $t->port(1);
    my $limit   = $arg{impatient} ? $PATIENCE : 20;
    my $body    = encode_json({ text => $text });
    my %headers = ('Content-Type' => 'application/json', %{ $arg{headers} // {} });

    if ($user =~ /^curl/) {
        # not "-o /dev/null", which it could not truncate ahead of a repeat
        my @command = ('curl', '-s', '--retry', 5, '--retry-delay', 1,
            '--retry-max-time', $arg{recovers} ? 8 : 2, '--max-time', $limit,
            $user =~ /all/ ? '--retry-all-errors' : (), '--data-binary', $body,
            map({ (-H => "$_: $headers{$_}") } sort keys %headers), "http://127.0.0.1:$port$path");
        my $pid = open(my $curl, '-|', @command) // die "curl: $!\n";
        return sub { () = <$curl>; close $curl };
    }

    if ($user eq 'openai') {
        return $sdk->start('post', [ $path, { body => { text => $text }, headers => \%headers } ],
            client => { baseURL => "http://127.0.0.1:$port", timeout => $limit * 1000,
                maxRetries => $arg{retries} // 5 });
    }

    my @request = (POST => $user eq 'nginx' && $lossy ? '/lossy' : $path, headers => \%headers,
        body => $body);
    if ($user eq 'nginx') {
        my $client = $t->start(@request, timeout => 20);
        return sub { $client->response };
    }

    my $client = $t->start(@request, port => $port, timeout => $limit);
    return sub {
        my $r = $client->response;
        $client->close if $r->{error};
        $t->request(@request, port => $port, timeout => 20)
            if $r->{error} || !$r->{complete} || $r->{status} >= 400;
        return $r;
    };
}


# Text by text, what upstream accepted, or may have, as far as its answer goes.
sub paid ($since, $unknown) {
    my %paid;
    for my $submit ($e->journal(kind => 'submit', since => $since)) {
        $paid{ $submit->{json}{messages}[-1]{text} }++
            if defined $submit->{operation} || $unknown && defined $submit->{fault};
    }
    return \%paid;
}


# Rows of the table that share their circumstances: [name, words of the text], and all else.
sub rows ($names, $expected, %arg) {
    my $since = $e->journal;
    my @wish;

    for my $row (@$names) {
        my ($name, $words) = @$row;
        for my $user (@USERS) {
            for my $key (0, 1) {
                my $text = join ', ', $words // (), $name, $user, $key ? 'with a key' : 'without';
                my %headers = (%{ $arg{headers} // {} },
                    $key ? ('Idempotency-Key' => sha1_hex($text)) : ());
                push @wish, { row => $name, user => $user, key => $key, text => $text,
                    end => ask($user, $text, %arg, headers => \%headers) };
            }
        }
    }
    if (my $recovers = $arg{recovers}) {
        sleep $ILLNESS;
        $recovers->();
    }
    $_->{answer} = $_->{end}->() for @wish;
    my $paid = paid($since, $arg{unknown});

    for my $row (@$names) {
        my ($name) = @$row;
        my @own = grep { $_->{row} eq $name } @wish;
        my (%paid, %said);
        for my $wish (@own) {
            $paid{ $wish->{key} }{ $wish->{user} } = $paid->{ $wish->{text} } // 0;
            $said{ $wish->{user} } //= $wish->{answer} if !$wish->{key};
        }
        push @table, [ $name, $said{reload}{status} // $said{reload}{error},
            map { "$paid{0}{$_} $paid{1}{$_}" } @USERS ];

        for my $n (0 .. $#USERS) {
            my $once = $PAID{$expected}[$n];
            is $paid{0}{ $USERS[$n] }, $once, "$name: $USERS[$n]" if !ref $once;
            like $paid{0}{ $USERS[$n] }, $once, "$name: $USERS[$n]" if ref $once;
            my $keyed = ref $once ? $once : $once > 1 ? 1 : $once;
            like $paid{1}{ $USERS[$n] }, qr/^$keyed$/, "$name: $USERS[$n], with a key";
        }
        if (my $should = $arg{should}) {
            is $said{reload}->header('x-should-retry'), $should, "$name: x-should-retry";
            my $requests = $said{openai}{requests};
            $should eq 'true' ? cmp_ok($requests, '>', 1, "$name: openai repeats")
                : is($requests, 1, "$name: openai does not repeat");
        }
    }
}


sub faulty ($name, $expected, $fault, %arg) {
    $e->fault(submit => 'every', %$fault);
    rows([ [$name] ], $expected, %arg);
    $e->clear_faults;
}


subtest 'accepted, and answered badly' => sub {
    my @case = (
        map({ [ "a $_", { status => $_, process => 1 } ] } 408, 499, 500, 502, 504, 507, 520),
        [ 'closed without an answer',    { close => 'request' } ],
        [ 'reset without an answer',     { reset => 'request' } ],
        [ 'half a head',                 { raw => "HTTP/1.1 200 OK\r\nContent-Le" } ],
        [ 'half a body',                 { close => 'answer' } ],
        [ 'broken JSON',                 { mangle => 'bad_json' } ],
        [ 'HTML with a 200',             { mangle => 'html' } ],
        [ 'no id',                       { drop_id => 1 } ],
        [ 'silence',                     { silent => 1 } ],
    );
    faulty(@$_[0], 'told', @$_[1], unknown => 1, should => 'false') for @case;
};

subtest 'refused for good' => sub {
    faulty("a $_", 'free', { status => $_ }, should => 'false') for 400, 403, 421, 425;
};

subtest 'refused for now' => sub {
    my $well = sub { $e->clear_faults };
    faulty("a $_ for a while", 'later', { status => $_ }, recovers => $well, should => 'true')
        for 429, 503;

    $e->stop;
    rows([ ['nobody there for a while'] ], 'later', recovers => sub { $e->resume },
        should => 'true');

    # without Retry-After five repeats of openai take a quarter of a minute
    rows([ ['a black hole'] ], 'free', path => '/hole', retries => 1, should => 'true');
};

subtest 'accepted, and failed: as text' => sub {
    my %headers = (Prefer => 'wait=10', Accept => 'text/plain');
    my @codes   = (1, 3, 4, 5, 8, 9, 10, 13, 14);
    rows([ map { [ "failed, gRPC $_", "[outcome=failed:$_:no] $_" ] } @codes ], 'told',
        headers => \%headers, should => 'false');
    rows([ [ 'filtered', '[outcome=filter]' ] ], 'told', headers => \%headers, should => 'false');
    rows([ [ 'finished', 'all is well' ] ], 'once', headers => \%headers);
};

subtest 'accepted, and the answer is lost behind us' => sub {
    rows([ [ 'reset behind us', 'reset' ] ], 'reset', lossy => 1);
    rows([ [ 'half an answer behind us', 'cut' ] ], 'cut', lossy => 1);
    rows([ [ 'silence behind us', 'silence' ] ], 'silence', lossy => 1, impatient => 1);
};

note 'Paid, without a key and with one:';
note sprintf '%-26s %-8s' . ' %-10s' x @USERS, @$_ for [ '', 'answer', @USERS ], @table;

undef $sdk;
$t->done;
