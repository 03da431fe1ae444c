use strict;
use warnings;
use v5.36;
use utf8;

# Clients that speak HTTP/2: submit, poll, wait, stream and cancel, many on one connection.

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use List::Util qw(max);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);
use CompletionAsync::Test qw(wait_until);

plan skip_all => 'curl without HTTP/2' if `curl --version 2>&1` !~ /\bHTTP2\b/;

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });

my ($status, $output) = $t->nginx_t($t->http_conf("server { listen 127.0.0.1:0 http2; }"));
if ($output =~ /ngx_http_v2_module|invalid parameter "http2"/) {
    plan skip_all => 'nginx without HTTP/2';
}

my ($cert, $key) = $t->certificate('server');
$t->define(CERT => $cert, KEY => $key);
$t->run_location(
    provider => '%%PROVIDER%% poll_interval 100ms 300ms;',
    http     => 'log_format protocol "$connection $server_protocol";',
    listen   => 'ssl http2',
    server   => 'ssl_certificate %%CERT%%; ssl_certificate_key %%KEY%%; '
        . 'access_log %%TESTDIR%%/protocol.log protocol;',
);

my $url = 'https://127.0.0.1:' . $t->port;
my @curl = (qw(curl -s --max-time 20 --http2 --cacert), $cert);


sub curl (@arg) {
    my $pid = open my $pipe, '-|' // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>', '/dev/null';
        exec @curl, @arg or POSIX::_exit(127);
    }
    return wantarray ? ($pipe, $pid) : $pipe;
}


sub answers ($pipe) {
    local $/;
    my $text = <$pipe> // '';
    close $pipe;
    return map {
        my ($head, $body) = split /\r\n\r\n/, $_, 2;
        my %header = map { /^([\w-]+): (.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
        { status => $head =~ /^([0-9]+)/, header => \%header, body => $body };
    } grep { length } split m{^HTTP/2 }m, $text;
}


sub ask (@arg) { (answers(scalar curl('-i', @arg)))[0] }


sub submit ($text, @arg) {
    my $r = ask('-H', 'Content-Type: text/plain', '-d', $text, @arg, "$url/translate");
    return ($url . ($r->{header}{location} // '/'), $r);
}


my ($location, $r) = submit('one');
is $r->{status}, 202, 'a submit';
like $r->{header}{location}, qr{^/translate/operations/[\w-]+$}, 'its place';
my $id = ($t->emulator->submits)[-1]{operation};

$r = ask($location);
is $r->{status}, 200, 'a poll';
ok !decode_json($r->{body})->{done}, 'pending';

my $waits  = curl('-Z', '-w', '\n', '-H', 'Prefer: wait=15', ($location) x 20);
my $stream = curl('-N', '-H', 'Accept: text/event-stream', $location);
my $first  = '';
while (my $line = <$stream>) {
    $first .= $line;
    last if $line eq "\n";
}
like $first, qr/^id: pending$/m, 'a stream begins';

$t->emulator->finish($id);
{
    local $/;
    is scalar(() = <$waits> =~ /"done": ?true/g), 20, 'those who wait have the result';
    local $/;
    like <$stream>, qr/^id: done$/m, 'the stream ends with it';
}
ok close $stream, 'by itself';

$r = ask($location);
ok $r->{header}{etag}, 'a finished one has an ETag';
is ask('-H', "If-None-Match: $r->{header}{etag}", $location)->{status}, 304, 'not modified';

($location, $r) = submit('two');
$waits = curl('-i', '-H', 'Prefer: wait=15', $location);
$r = ask('-X', 'DELETE', $location);
is $r->{status}, 200, 'a cancel';
is decode_json($r->{body})->{error}{code}, 1, 'cancelled';
($r) = answers($waits);
is decode_json($r->{body})->{error}{code}, 1, 'whoever waited learns of it';

# A client that goes away takes its streams with it, and nothing else.
($location) = submit('three');
$id = ($t->emulator->submits)[-1]{operation};
my ($pipe, $gone) = curl('-Z', '-H', 'Prefer: wait=15', ($location) x 5);
$t->until_waiting(5);
kill KILL => $gone;
close $pipe;
$t->emulator->finish($id);
$r = ask('-H', 'Prefer: wait=15', $location);
ok decode_json($r->{body})->{done}, 'another client has the result';

my @line = split /\n/, $t->read_file('protocol.log');
is scalar(grep { !/ HTTP\/2\.0$/ } @line), 0, 'all of it was HTTP/2';
my %streams;
$streams{$_}++ for @line;
cmp_ok max(values %streams), '>=', 20, 'many on one connection';
$t->done;
