# A reload between the parts of a long text: the old worker finishes what it began; what it has
# no time for is told, and then a repeat sends what is missing, and no more.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(timeout => 300, emulator => { delay => 60 });
my $e = $t->emulator;

sub template ($rate) {
    return $t->location_conf(
        main     => 'worker_processes 1;',
        provider => "%%PROVIDER%% submit_rate $rate; submit_queue 20 120s; request_timeout 4s;",
        location => 'completion_async_split 32;',
    );
}

sub reload ($rate, %opt) {
    $t->conf(template($rate));
    ok $t->reload(%opt), "a reload to $rate";
}

$t->run(template('100r/s'));

# Each has a text of its own, so that none finds another's parts.
my $number = 0;
sub parts ($n) { $number++; map { "Text $number has part $_ of it." } 1 .. $n }

sub sent (@parts) { map { $e->submits($_) } @parts }

sub request ($key, @parts) {
    return (POST => '/translate', timeout => 60, body => join("\n\n", @parts),
        headers => { 'Content-Type' => 'text/plain', $key ? ('Idempotency-Key' => $key) : () });
}

sub has_all ($r, @parts) {
    my %id = map { $_->{operation} => 1 } sent(@parts);
    is scalar(grep { $id{$_} } split /[.~]+/, $r->json->{id} // ''), scalar @parts,
        '... its id has all of them';
}


for my $key ('', 'finished') {
    my $under = $key && ', under a key';

    subtest "one is on its way$under" => sub {
        my @parts = parts(3);
        $e->fault(submit => 2, hold => 'it');
        my $client = $t->start(request($key, @parts));
        ok wait_until(sub { sent(@parts) == 3 && 2 == grep { $_->{end} } sent(@parts) }),
            'two are accepted';
        reload('100r/s');
        $e->release;
        $e->clear_faults;

        my $r = $client->response(20);
        is $r->{status}, 202, 'the old worker answers' or diag $r->{body};
        has_all($r, @parts);
        is $t->poll($r->header('Location'))->json->{metadata}{parts}, 3, 'the new one knows it';

        if ($key) {
            my $again = $t->request(request($key, @parts));
            is $again->json->{id}, $r->json->{id}, 'a repeat is the same one';
            is $again->header('Idempotency-Replayed'), 'true', '... replayed';
        }
        is scalar(sent(@parts)), 3, 'nothing was paid twice';
        $client->close;
        $e->reset;
        $e->set(delay => 60);
    };
}


for my $key ('', 'missing') {
    my $under = $key && ', under a key';

    subtest "one is in line, for longer than there is time$under" => sub {
        my @parts = parts(3);
        ok $t->stop, 'nginx stops';
        $t->run(template('2r/m'));
        my $client = $t->start(request($key, @parts));
        ok wait_until(sub { 2 == grep { $_->{end} } sent(@parts) }), 'two are accepted';
        is $t->metrics->sum('submit_queue_length'), 1, 'one is in line';

        reload('2r/m', wait_old => 1);
        my $r = $t->refused($client->response(20), 429, 'quota_exceeded', 'the old worker says so');
        like $r->header('Retry-After'), qr/^[1-9]/, '... and when to come back';
        is scalar(sent(@parts)), 2, '... and has not sent it';
        is $t->metrics->sum('submit_queue_length'), 0, '... and has it in line no more';
        $client->close;

        reload('100r/s', wait_old => 1);
        $r = $t->request(request($key, @parts));
        is $r->{status}, 202, 'a repeat' or diag $r->{body};
        has_all($r, @parts);
        is scalar(sent(@parts)), 3, '... sends what is missing';
    };
}

$t->done;
