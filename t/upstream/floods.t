# What upstream, or a proxy before it, sends without end: the transfer ends, the worker goes on.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Compress::Zlib qw(Z_FINISH Z_FULL_FLUSH);
use IO::Select;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Server qw(serve_each);
use CompletionAsync::Test;


# Reads a request, writes the first bytes, and the others for as long as they are taken.
sub upstream ($first, $again) {
    return serve_each(sub ($connection) {
        my $request = '';
        until ($request =~ /\r\n\r\n(\{.*\})?$/s) {
            sysread $connection, $request, 65_536, length $request or return;
        }
        print {$connection} $first;
        my $many = $again x (1 + 100_000 / length $again);
        1 while syswrite $connection, $many;
    });
}


# Compressed, an empty block that leads to nothing.
my ($deflate) = Compress::Zlib::deflateInit(-WindowBits => 31);
my $begin = $deflate->flush(Z_FULL_FLUSH);
my $empty = "\0\0\0\xff\xff";

my $ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

# [through a proxy, first bytes, the others, expected]
my %flood = (
    refusal          => [ 1, "HTTP/1.1 407 No\r\nContent-Length: 1000000000000\r\n\r\n", 'x',
        '503 upstream_unavailable' ],
    chunked_refusal  => [ 1, "HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        "1\r\nx\r\n", '503 upstream_unavailable' ],
    connect_headers  => [ 1, "HTTP/1.1 200 OK\r\n", "X: y\r\n", '503 upstream_unavailable' ],
    connect_line     => [ 1, 'HTTP/1.1 200 ', 'O', '503 upstream_unavailable' ],
    connect_interim  => [ 1, '', "HTTP/1.1 100 Continue\r\n\r\n", '503 upstream_unavailable' ],
    extension        => [ 0, "${ok}Transfer-Encoding: chunked\r\n\r\n2;", 'y', 'unknown' ],
    extensions       => [ 0, "${ok}Transfer-Encoding: chunked\r\n\r\n",
        '1;' . 'y' x 10_000 . "\r\n \r\n", 'unknown' ],
    trailers         => [ 0, "${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", 'unknown' ],
    interim          => [ 0, '', "HTTP/1.1 102 Wait\r\n\r\n", 'unknown' ],
    headers          => [ 0, $ok, "X: y\r\n", 'unknown' ],
    line             => [ 0, "${ok}X: ", 'y', 'unknown' ],
    body             => [ 0, "$ok\r\n", ' ', 'unknown' ],
    encoded_nothing  => [ 0, "${ok}Content-Encoding: gzip\r\n\r\n$begin", $empty, 'unknown' ],
    encoded_twice    => [ 0, "${ok}Content-Encoding: gzip, gzip\r\n\r\n", "\0", 'unknown' ],
    encoded_thrice   => [ 0, "${ok}Content-Encoding: gzip\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "\0", 'unknown' ],
);

my $t = CompletionAsync::Test->new(emulator => 0);
my ($providers, $locations) = ('', '');
for my $name (sort keys %flood) {
    my ($proxied, $first, $again) = @{ $flood{$name} };
    my $port = upstream($first, $again);
    my $url  = $proxied ? 'https://127.0.0.1:1/' : "http://127.0.0.1:$port/";
    my $more = $proxied ? "proxy http://127.0.0.1:$port;" : '';
    $providers .= "completion_async_provider $name { zone $name 128k; folder %%FOLDER%%;"
        . " api_key file:%%API_KEY_FILE%%; submit_url $url; operations_url $url; $more"
        . " connect_timeout 2s; request_timeout 8s; }\n";
    $locations .= "location /$name { completion_async $name; }\n";
}
$t->run(<<"EOC");
%%TEST_GLOBALS%%
events { }
worker_processes 1;
http {
    %%TEST_GLOBALS_HTTP%%
    $providers
    completion_async_model yandexgpt-lite;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /beside { return 200; }
        $locations
    }
}
EOC
my ($worker) = $t->worker_pids;


# Seconds of a processor that the worker has had.
sub cpu () {
    open my $stat, '<', "/proc/$worker/stat" or return 0;
    my @field = split / /, <$stat> =~ s/^.*\) //sr;
    return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK);
}


for my $name (sort keys %flood) {
    my $expected = $flood{$name}[3] eq 'unknown' ? '424 outcome_unknown' : $flood{$name}[3];
    subtest $name => sub {
        my $before = cpu();
        my $client = $t->start(POST => "/$name", body => 'text', timeout => 20);
        my $worst  = 0;
        my $beside = $t->client;
        my $answer = IO::Select->new($client->{socket});
        until ($answer->can_read(0.01) || $worst > 15) {
            my $r = $beside->request(GET => '/beside', timeout => 15);
            $worst = $r->{time} if $r->{time} > $worst;
        }
        my $r = $client->response;
        is join(' ', $r->{status} // $r->{error}, $r->json ? $r->json->{code} : '-'), $expected,
            'the client is told';
        my $used = cpu() - $before;
        cmp_ok $used, '<', 1, "$used s of a processor";
        note sprintf 'others waited %.0f ms at most', $worst * 1000;
    };
}

$t->done;
