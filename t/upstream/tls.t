# TLS to upstream, and HTTP proxies on the way there.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use List::Util qw(max);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Server qw(listener serve_each);
use CompletionAsync::Test;
use CompletionAsync::Upstream;

BEGIN { eval { require IO::Socket::SSL } or plan skip_all => 'no IO::Socket::SSL' }

my $t    = CompletionAsync::Test->new(emulator => { delay => 0.05 });
my $e    = $t->emulator;
my $dir  = $t->testdir;
my $FAR  = POSIX::strftime('%Y%m%d%H%M%SZ', gmtime(time + 172_800));
my $AWAY = '503 upstream_unavailable';
my $LATE = '504 upstream_timeout';


sub openssl (@arg) {
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', "$dir/openssl.log";
        open STDERR, '>&', \*STDOUT;
        exec 'openssl', @arg or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    die "openssl @arg: " . $t->read_file('openssl.log') if $?;
}


sub authority ($name) {
    openssl(
        qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2),
        '-subj', "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.crt",
    );
    $t->write_file("$name.index", '');
    $t->write_file("$name.cnf", <<"EOC");
[ca]
default_ca = it
[it]
database = $dir/$name.index
new_certs_dir = $dir
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
EOC
    return "$dir/$name.crt";
}


# A server's certificate of that authority: its names, and when it ends.
sub issued ($authority, $name, $san, $end = $FAR) {
    openssl(
        qw(req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes),
        '-subj', "/CN=$name", '-addext', "subjectAltName=$san",
        '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr",
    );
    openssl(
        qw(ca -batch -notext -startdate 20200101000000Z -enddate), $end,
        '-config', "$dir/$authority.cnf", '-cert', "$dir/$authority.crt",
        '-keyfile', "$dir/$authority.key", '-in', "$dir/$name.csr", '-out', "$dir/$name.crt",
    );
    return (tls_cert => "$dir/$name.crt", tls_key => "$dir/$name.key");
}


sub upstream (%certificate) {
    return CompletionAsync::Upstream->start(
        delay   => 0.05,
        folder  => $t->folder,
        api_key => $t->api_key,
        %certificate,
    );
}


# Copies until both sides are at their ends.
sub splice_both ($one, $two) {
    my %other = ($one => $two, $two => $one);
    my $select = IO::Select->new($one, $two);

    while (my @ready = $select->can_read(20)) {
        for my $from (@ready) {
            if (sysread $from, my $bytes, 65_536) {
                my $to = $other{$from};
                while ($bytes ne '') {
                    my $sent = syswrite $to, $bytes or return;
                    substr $bytes, 0, $sent, '';
                }
                next;
            }
            return;
        }
    }
}


# A proxy that writes the heads it gets to a file; it may refuse every request.
sub proxy ($file, $refusal = undef) {
    open my $log, '>>', "$dir/$file" or die "$file: $!\n";
    $log->autoflush(1);

    return serve_each(sub ($client) {
        my ($head, $rest) = ('', '');
        while ($head !~ /\r\n\r\n/) {
            sysread $client, $head, 65_536, length $head or return;
        }
        ($head, $rest) = $head =~ /^(.*?\r\n\r\n)(.*)$/s;
        print {$log} $head;
        if (defined $refusal) {
            syswrite $client, "HTTP/1.1 $refusal\r\nContent-Length: 0\r\n\r\n";
            return;
        }
        my ($method, $host, $port, $path) =
            $head =~ m{^(\S+) (?:http://)?([^:/ ]+):([0-9]+)(\S*) HTTP/1\.1\r\n};
        my $upstream = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or return;
        if ($method eq 'CONNECT') {
            syswrite $client, "HTTP/1.1 200 Connection established\r\n\r\n";
        } else {
            $head =~ s{^\S+ \S+ (.*?)\r\n}{$method $path $1\r\nConnection: close\r\n};
            syswrite $upstream, $head;
        }
        syswrite $upstream, $rest if $rest ne '';
        splice_both($client, $upstream);
    });
}


# A server that speaks no TLS, and says so to whoever comes.
sub chatter () {
    return serve_each(sub ($client) {
        sysread $client, my $hello, 65_536;
        syswrite $client, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    });
}


authority($_) for qw(ours theirs);
my %up = (
    good    => upstream(issued('ours', 'good',    'DNS:localhost,IP:127.0.0.1')),
    other   => upstream(issued('ours', 'other',   'DNS:example.org')),
    expired => upstream(issued('ours', 'expired', 'DNS:localhost', '20210101000000Z')),
    tunnel  => upstream(issued('ours', 'tunnel',  'DNS:localhost')),
);
my $silent = listener();
my $proxy  = proxy('proxy.log');
my $unused = proxy('unused.log');
my $closed = $t->closed_port;

my $trusted = 'trusted_certificate %%TESTDIR%%/ours.crt;';
my %provider = (
    name      => [ good    => 'localhost', $trusted ],
    address   => [ good    => '127.0.0.1', $trusted ],
    stranger  => [ good    => 'localhost', 'trusted_certificate %%TESTDIR%%/theirs.crt;' ],
    system    => [ good    => 'localhost', '' ],
    host      => [ other   => 'localhost', $trusted ],
    expired   => [ expired => 'localhost', $trusted ],
    unchecked => [ expired => 'localhost', 'tls_verify off;' ],
    careless  => [ other   => 'localhost', 'tls_verify off;' ],
    tunnel    => [ tunnel  => 'localhost', "$trusted proxy http://localhost:$proxy;" ],
    spoofed   => [ other   => 'localhost', "$trusted proxy http://127.0.0.1:$proxy;" ],
);
my $providers = '';
my $locations = '';
my $add = sub ($name, $url, $more) {
    # Who says nothing is waited for to the end; others have time for a handshake.
    my $times = $name =~ /^(?:silent|mute)$/ ? 'request_timeout 1500ms; connect_timeout 1s;'
        : 'request_timeout 4s; connect_timeout 3s;';
    $providers .= <<"EOC";
completion_async_provider $name {
    zone $name 1m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%;
    $times poll_interval 100ms 300ms;
    submit_url $url/foundationModels/v1/completionAsync; operations_url $url/operations;
    $more
}
EOC
    $locations .= "location /$name { completion_async $name; }\n";
};

for my $name (sort keys %provider) {
    my ($which, $host, $more) = @{ $provider{$name} };
    $add->($name, "https://$host:" . $up{$which}->port, $more);
}
$add->(plain     => 'https://127.0.0.1:' . chatter(), 'tls_verify off;');
$add->(silent    => 'https://127.0.0.1:' . $silent->sockport, 'tls_verify off;');
$add->(forward   => '%%UPSTREAM%%', "proxy http://127.0.0.1:$proxy;");
$add->(direct    => '%%UPSTREAM%%', 'proxy off;');
$add->(untouched => '%%UPSTREAM%%', '');
$add->(no_proxy  => '%%UPSTREAM%%', "proxy http://127.0.0.1:$closed;");
$add->(refused   => 'https://localhost:' . $up{good}->port,
    'tls_verify off; proxy http://127.0.0.1:' . proxy('refused.log', '407 Who are you') . ';');
$add->(gateway   => 'https://localhost:' . $up{good}->port,
    'tls_verify off; proxy http://127.0.0.1:' . proxy('gateway.log', '502 Bad Gateway') . ';');
$add->(mute      => '%%UPSTREAM%%', 'proxy http://127.0.0.1:' . $silent->sockport . ';');

# None of these may be looked at, neither to use a proxy nor to go around one.
my @variables = qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY);
$ENV{$_} = "http://127.0.0.1:$unused" for @variables;
$ENV{$_} = 'localhost,127.0.0.1' for qw(no_proxy NO_PROXY);
my $environment = join '', map { "env $_;\n" } @variables, qw(no_proxy NO_PROXY);

$t->run(<<"EOC");
%%TEST_GLOBALS%%
$environment
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    $providers
    completion_async_model yandexgpt-lite;
    server {
        listen 127.0.0.1:%%PORT%%;
        $locations
    }
}
EOC


sub verdict ($r) {
    my $json = $r->json;
    return join ' ', $r->{status} // $r->{error},
        ref $json eq 'HASH' ? $json->{code} // 'operation' : '-';
}


sub works ($name) {
    my $r = $t->post("by $name", path => "/$name");
    is verdict($r), '202 operation', "$name: accepted";
    my $done = $t->poll_until_done($r->header('Location') // '/', timeout => 5);
    is ref $done->json && $done->json->{response}{alternatives}[0]{message}{text}, "echo: by $name",
        "$name: polled";
}


# All at once, since each of them tries as long as it may: [name, expected, why], ...
sub fail_all (@case) {
    my $start = length $t->log;
    my @r = $t->concurrent(map { [ POST => "/$_->[0]", body => "by $_->[0]" ] } @case);

    for my $case (@case) {
        my ($name, $expected, $why) = @$case;
        my $r = shift @r;
        my @lines = grep { /\[error\]/ && /"\Q$name\E"/ } split /\n/, substr $t->log, $start;

        # The last try may have had too little time for its end.
        my $cut = $expected eq $AWAY && $lines[-1] =~ /: no connection to "[^"]+" in time while/;
        is verdict($r), $cut ? $LATE : $expected, "$name: $expected";
        ok $cut || ($r->header('Retry-After') // '') =~ /^[1-9][0-9]*$/, "$name: Retry-After"
            if $expected eq $AWAY;
        next if !defined $why;

        # Any line: where localhost has two addresses, each of them has its own reason.
        like join("\n", @lines), $why, "$name: the log says why";
    }
}


subtest 'a certificate that is good' => sub {
    works('name');
    works('address');
    my $before = $up{good}->journal;
    is verdict($t->post("[delay=9]$_", path => '/name')), '202 operation', "again, $_" for 1 .. 5;
    my @requests = $up{good}->journal(since => $before);
    my %connection = map { $_->{connection} => 1 } @requests;
    my $together = max map { my $at = $_->{time};
        scalar grep { $_->{time} <= $at && ($_->{end_time} // time) >= $at } @requests } @requests;
    cmp_ok scalar keys %connection, '<=', max(2, $together), 'a connection is used again';
};

subtest 'a certificate that is not' => sub {
    my @before = map { scalar $_->submits } @up{qw(good other expired)};

    fail_all(
        [ stranger => $AWAY, qr/issuer|self.signed|unknown ca|authority/i ],
        [ system   => $AWAY, qr/issuer|self.signed|unknown ca|authority/i ],
        [ host     => $AWAY, qr/host ?name|name.*match/i ],
        [ expired  => $AWAY, qr/expired/i ],
    );
    is_deeply [ map { scalar $_->submits } @up{qw(good other expired)} ], \@before,
        'nothing is sent there';
    works('unchecked');
    works('careless');
};

subtest 'a handshake that fails' => sub {
    fail_all(
        [ plain  => $AWAY, qr/not reached/ ],
        [ silent => $LATE, qr/not reached/ ],
    );

    # Nothing was sent: that may be tried again.
    $up{good}->restart;
    my $before = $up{good}->submits;
    $up{good}->fault(connect => 1, close => 'accept');
    is verdict($t->post('by name', path => '/name')), '202 operation', 'the second try';
    $up{good}->clear_faults;
    is $up{good}->submits - $before, 1, 'is the first submit';
};

subtest 'through a proxy' => sub {
    works('forward');
    works('tunnel');
    my $heads = $t->read_file('proxy.log');
    my ($here, $there) = ($e->port, $up{tunnel}->port);

    like $heads, qr{^POST http://127\.0\.0\.1:$here/foundationModels/\S+ HTTP/1\.1\r$}m,
        'http is forwarded';
    like $heads, qr{^GET http://127\.0\.0\.1:$here/operations/\w+ HTTP/1\.1\r$}m, 'polls as well';
    my ($connect) = $heads =~ /^(CONNECT localhost:$there HTTP.*?\r\n\r\n)/ms;
    ok defined $connect, 'https is tunnelled';
    unlike $connect // 'none', qr/authorization|x-folder-id/i, 'and the proxy gets no credentials';
    unlike $heads, qr{https://|completionAsync.*:$there}, 'nor sees what is asked';

    fail_all(
        [ spoofed => $AWAY, qr/host ?name|name.*match/i ],
        [ no_proxy => $AWAY, qr/not reached/ ],
        [ refused => $AWAY, qr/not reached.*407/ ],
        [ gateway => $AWAY, qr/not reached.*502/ ],
        # Sent to a proxy that says nothing: upstream may have got it.
        [ mute => '424 outcome_unknown' ],
    );
    is scalar(grep { $_->{json}{messages}[0]{text} =~ /by (?:refused|gateway|no_proxy)/ }
        map { $_->submits } $e, $up{good}), 0, 'and nothing goes around it';
};

subtest 'the environment is no business of ours' => sub {
    works($_) for qw(direct untouched);
    is $t->read_file('unused.log'), '', 'nobody went through its proxy';
};

ok $_->quit, 'the emulator lived' for values %up;
$t->done;
