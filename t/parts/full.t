# A long text in a zone that is full: before its parts stand in line, and while they are under way.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 600 });
my $e = $t->emulator;

$t->write_file('ids.key', join('', map { chr 32 + rand 90 } 1 .. 64), 0644);
run('64k');

sub run ($size) {
    $t->run_location(
        zone     => $size,
        provider => '%%PROVIDER%% id_key file:%%TESTDIR%%/ids.key; request_timeout 10m;',
        location => 'completion_async_split 32;',
    );
}

my @TYPE = ('Content-Type' => 'text/plain');
my @PARTS = map { "It is part number $_ of all." } 1 .. 8;

sub sent () { map { $e->submits($_) } @PARTS }


# Until there is room for nothing that comes: keys, of which none may go.
my $keys = 0;
sub fill () {
    return wait_until(sub {
        my $r = $t->post('A key.', headers => { @TYPE, 'Idempotency-Key' => 'key-' . ++$keys });
        return $r->{status} == 503 && $r->header('Retry-After') > 60;
    }, 60);
}


my $accepted;

subtest 'filled while the last part is on its way' => sub {
    $e->fault(submit => 8, hold => 'last');
    my $client = $t->start(POST => '/translate', headers => {@TYPE}, body => join "\n\n", @PARTS);
    ok wait_until(sub { sent() == 8 && 7 == grep { $_->{end} } sent() }), "seven are accepted";
    ok fill(), 'the zone is full';
    $e->release;

    $accepted = $client->response(60);
    is $accepted->{status}, 202, 'all were accepted, which is told' or diag $accepted->{body};
    is_deeply $accepted->json->{metadata}, { parts => 8, done => 0 }, "... of eight";
    is $accepted->json->{done}, Mojo::JSON::false(), '... that are pending';
    like $accepted->header('Retry-After'), qr/^[1-9]/, '... and when to ask';

    my %id = map { $_->{operation} => 1 } sent();
    is scalar(grep { $id{$_} } split /[.~]+/, $accepted->json->{id}), 8, "the id has all of them";
};


subtest 'full before' => sub {
    my $before = () = $e->submits;
    my $text = join "\n\n", map { "Another text's part $_." } 1 .. 3;
    my $r = $t->refused($t->post($text), 503, 'zone_full', 'there is no room');
    like $r->header('Retry-After'), qr/^[1-9]/, '... and when there is';
    is scalar(() = $e->submits), $before, '... nothing is sent';
    is $t->metrics->sum("operations", state => "submitting"), 0, "... and nothing left in line";
};


subtest 'a zone that is larger' => sub {
    ok $t->stop, 'nginx stops';
    run('1m');
    $e->finish;
    my $r = $t->poll_until_done($accepted->header('Location'));
    is $r->json->{response}{alternatives}[0]{message}{text},
        join("\n\n", map { "echo: $_" } @PARTS), 'the id leads to the text';
    is scalar(sent()), 8, '... of parts that were paid once';
};

$t->done;
