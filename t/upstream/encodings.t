# Upstream, or a proxy before it, that compresses unasked, or begins with a byte-order mark.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });
my $e = $t->emulator;

$t->run_location(zone => '4m', provider => '%%PROVIDER%% poll_interval 50ms 100ms; '
    . 'poll_rate 1000r/s; max_response_size 64k;');

for my $encode ('gzip', 'deflate', 'bom', 'bom,gzip') {
    subtest $encode => sub {
        $e->fault($_ => 'every', encode => $encode) for qw(submit poll);
        my $r = $t->post("text $encode");
        is $r->{status}, 202, 'accepted';
        $r = $t->poll_until_done($r->header('Location') // '/');
        is ref $r->json && $r->json->{response}{alternatives}[0]{message}{text},
            "echo: text $encode", 'polled';
        is $r->header('Content-Encoding'), undef, 'and plain for the client';
        is_deeply [ map { $_->{headers}{'accept-encoding'} } $e->journal ],
            [ map { 'identity' } $e->journal ], 'nothing of it was asked for';
        $e->clear_faults;
    };
}

subtest 'an error is read as well' => sub {
    $e->fault(submit => 1, status => 400, message => 'no such thing', encode => 'gzip');
    my $r = $t->post;
    is $r->{status}, 400, 'refused';
    like $r->json->{detail}, qr/no such thing/, 'with its reason';
};

subtest 'what is too large once it is inflated' => sub {
    $e->fault(submit => 1, mangle => 'huge', size => 5_000_000, encode => 'gzip');
    my $r = $t->post;
    is $r->json->{code}, 'outcome_unknown', 'is not read';
    like $t->log, qr/upstream gave no readable answer: too large/, 'the log says why';
};

$e->fault(submit => 1, encode => 'gzip,gzip');
my $r = $t->post;
is $r->json->{code}, 'outcome_unknown', 'two encodings are one too many';
like $t->log, qr/upstream gave no readable answer: encoded more than once/, 'the log says why';

$e->fault(submit => 1, truncate => 20, encode => 'gzip');
$r = $t->post;
is $r->json->{code}, 'outcome_unknown', 'and a part of one too little';

$t->done;
