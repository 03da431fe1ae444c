# The id of a long text on another node and after a restart: adopted part by part.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $KEY  = join '', map { chr 32 + rand 90 } 1 .. 64;
my $TEXT = join "\n\n", map { "It is part number $_ of all." } 1 .. 3;

my $t    = CompletionAsync::Test->new(emulator => { delay => 60 });
my $node = CompletionAsync::Test->new(emulator => 0);
my $e    = $t->emulator;

$node->secret($t->folder, $t->api_key);
$node->define(PROVIDER => $t->expand('%%PROVIDER%%'));

for my $one ($t, $node) {
    $one->write_file('ids.key', $KEY, 0644);
    run($one);
}

sub run ($one) {
    $one->run_location(
        provider => '%%PROVIDER%% id_key file:%%TESTDIR%%/ids.key; request_timeout 2s;'
            . ' poll_interval 100ms 200ms;',
        location => 'completion_async_split 32;',
    );
}


# Where it is, and upstream's ids in the order of the text.
sub submit () {
    my $r = $t->post($TEXT);
    return ($r->header('Location'), $r->json->{id} =~ /(d7q\w+)[.~]/g);
}


subtest 'a second node' => sub {
    my ($location, @id) = submit();
    my $r = $node->poll($location);
    is $r->{status}, 200, 'answers it';
    is_deeply $r->json->{metadata}, { parts => 3, done => 0 }, '... part by part';
    cmp_ok scalar(grep { $e->polls($_) } @id), '==', 3, '... having asked for each';

    my $stream = $node->stream($location);
    $stream->event(20);
    $e->finish($id[0]);
    my $data = Mojo::JSON::decode_json($stream->event(20)->{data});
    is $data->{metadata}{text}, 'echo: It is part number 1 of all.', 'its stream tells the text';
    $e->finish;

    my @r = map { $_->poll_until_done($location) } $node, $t;
    is $r[0]->json->{response}{alternatives}[0]{message}{text},
        join("\n\n", map { "echo: It is part number $_ of all." } 1 .. 3), 'it is joined there';
    is_deeply $r[0]->json->{response}, $r[1]->json->{response}, '... as here';
    is $r[0]->header('ETag'), $r[1]->header('ETag'), '... with the same ETag';
};


subtest 'a restart' => sub {
    my ($location, @id) = submit();
    $e->finish($id[1]);
    ok $t->stop, 'nginx stops';
    run($t);

    my $r = $t->poll($location);
    is_deeply $r->json->{metadata}, { parts => 3, done => 1 }, 'one of three has ended';
    $r = $t->request(DELETE => $location);
    is $r->json->{error}{code}, 1, 'it can be cancelled';
    wait_until(sub { $e->cancels >= 2 });
    is scalar(grep { $_->{operation} eq $id[1] } $e->cancels), 0, '... but for what had ended';
};


subtest 'one that upstream does not answer for' => sub {
    my ($location, @id) = submit();
    $e->finish($_) for @id;
    $e->fault(poll => 'every', operation => $id[2], hang => 'request');
    my $r = $node->poll($location, timeout => 30);
    is $r->{status}, 200, 'is pending';
    is_deeply $r->json->{metadata}, { parts => 3, done => 2 }, '... the others have ended';
    like $r->header('Retry-After'), qr/^[1-9]/, '... and when to ask again';
    $e->clear_faults;
    is $node->poll_until_done($location, timeout => 30)->json->{done}, Mojo::JSON->true, 'later it is';
};


subtest 'one that upstream does not know' => sub {
    my ($location, @id) = submit();
    $e->forget($id[1]);
    my $r = $node->poll($location, timeout => 30);
    is $r->{status}, 200, 'is lost';
    is $r->json->{error}{code}, 5, '... which is what the whole has failed of';
    is $r->header('Cache-Control'), 'no-store', '... as far as is known here';
    is $r->header('ETag'), undef, '... and not kept';

    # It may be there again in a minute: the cancel of another one is all that upstream gets.
    my $other = $node->post('other');
    my ($cancelled) = map { $_->{operation} } ($e->submits)[-1];
    $node->request(DELETE => $other->header('Location'));
    wait_until(sub { scalar $e->cancels($cancelled) });
    is scalar(map { $e->cancels($_) } @id), 0, '... and the others go on';
};


subtest 'none that upstream knows' => sub {
    my ($location, @id) = submit();
    $e->forget($_) for @id;
    $t->refused($node->poll($location, timeout => 30), 404, 'operation_not_found', 'is no text');
};

subtest 'the other node' => sub { $node->done };
$t->done;
