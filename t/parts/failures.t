# What goes wrong with one part of a long text, and what a repeat then costs.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
my $e = $t->emulator;

$t->run_location(
    http => 'completion_async_provider slow { zone slow 1m; %%PROVIDER%% submit_rate 2r/m; }'
        . 'log_format parts "$completion_async_source"; access_log %%TESTDIR%%/parts.log parts;',
    location => 'completion_async_split 32;',
    server   => <<'EOC');
completion_async_model m;
location /slow   { completion_async slow; completion_async_split 32; }
location /shared { completion_async yandex; completion_async_split 32;
                   completion_async_cache 1h shared; }
EOC

# Each subtest has a text of its own, so that none finds another's parts.
my $number = 0;
sub text ($n = 3) { $number++; join "\n\n", map { "Text $number has part $_ of it." } 1 .. $n }

sub sent ($text) { map { $e->submits($_) } split /\n\n/, $text }

sub keyed ($key) { $key ? (headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => $key }) : () }


# Posts a text whose parts have all come, and whose first to come then ends so.
sub ends ($text, $key, %fault) {
    my $n = split /\n\n/, $text;
    $e->fault(submit => 1, hold => 'first', %fault);
    my $client = $t->start(POST => '/translate',
        headers => { 'Content-Type' => 'text/plain', $key ? ('Idempotency-Key' => $key) : () },
        body => $text);
    wait_until(sub { sent($text) == $n && 1 == grep { !defined $_->{end} } sent($text) });
    is scalar(sent($text)), $n, 'all parts are sent';
    $e->release;
    my $r = $client->response(20);
    $e->clear_faults;
    return $r;
}


for my $key ('', 'refused') {
    subtest 'one is refused' . ($key && ', under a key') => sub {
        my $text = text();
        my $r = ends($text, $key, status => 400, grpc => 3, message => 'the text is bad');
        $t->refused($r, 400, 'invalid_request', 'it is the answer');
        like $r->json->{detail}, qr/the text is bad/, '... with its reason';
        wait_until(sub { $e->cancels >= 2 });
        is scalar $e->cancels, 2, 'the others are cancelled';

        $r = $t->post($text, keyed($key));
        is $r->{status}, 202, 'a repeat';
        is $r->header('Idempotency-Replayed'), undef, '... is none';
        is scalar(sent($text)), 6, '... and sends all of it';
        $e->reset;
        $e->set(delay => 60);
    };
}


for my $case (
    [ 'of which nobody knows' => 424, 'outcome_unknown', reset => 'request' ],
    [ 'that upstream is too busy for' => 429, 'quota_exceeded', status => 429, retry_after => 300 ],
) {
    my ($name, $status, $code, %fault) = @$case;
    subtest "one $name" => sub {
        my $text = text();
        my $r = ends($text, '', %fault);
        $t->refused($r, $status, $code, 'it is the answer');
        is scalar $e->cancels, 0, 'nothing is cancelled';

        $r = $t->post($text);
        is $r->{status}, 202, 'a repeat is accepted' or diag $r->{body};
        is scalar(sent($text)), 4, '... and sends what is missing';
        is $r->json->{metadata}{parts}, 3, '... of three';

        is $t->post($text)->{status}, 202, 'once that was delivered';
        is scalar(sent($text)), 7, '... another one is another text';
        $e->reset;
        $e->set(delay => 60);
    };
}


subtest 'one of which nobody knows, under a key' => sub {
    my $text = text();
    my $r = ends($text, 'unknown', reset => 'request');
    $t->refused($r, 424, 'outcome_unknown', 'it is the answer');
    $t->refused($t->post($text, keyed('unknown')), 424, 'outcome_unknown', 'and stays it');
    is scalar(sent($text)), 3, 'nothing is sent for that';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'a client that hangs up' => sub {
    my $text = text();
    $e->fault(submit => 2, hold => 'second');
    my $client = $t->start(POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
        body => $text);
    wait_until(sub { sent($text) == 3 });
    my $before = $t->metrics->sum('waiters');
    $client->close;
    wait_until(sub { $t->metrics->sum('waiters') < $before });
    $e->release;
    $e->clear_faults;

    my $r = $t->post($text);
    is $r->{status}, 202, 'a repeat';
    is scalar(sent($text)), 3, '... has the same parts';
    my %id = map { $_->{operation} => 1 } sent($text);
    is scalar(grep { $id{$_} } split /[.~]+/, $r->json->{id}), 3, '... by their ids';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'a key' => sub {
    my $text = text();
    my $r = $t->post($text, keyed('replay'));
    my $again = $t->post($text, keyed('replay'));
    is $again->json->{id}, $r->json->{id}, 'has the same id';
    is $again->header('Idempotency-Replayed'), 'true', '... is replayed';
    is scalar(sent($text)), 3, '... and paid once';

    $t->refused($t->post(text(), keyed('replay')), 422, 'idempotency_mismatch', 'for another text');
    $t->refused($t->post('Short.', keyed('replay')), 422, 'idempotency_mismatch', 'for a short one');
    is $t->post('Short.', keyed('short'))->{status}, 202, 'of a short one';
    $t->refused($t->post($text, keyed('short')), 422, 'idempotency_mismatch', 'for a long one');
    is scalar(sent($text)), 3, 'nothing is sent for those';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'a line' => sub {
    my $text = text(3);
    $t->refused($t->post($text, path => '/slow'), 413, 'request_too_large',
        'what it can never take');

    is $t->post('One.', path => '/slow')->{status}, 202, 'half of its room is taken';
    $text = text(2);
    my $r = $t->refused($t->post($text, path => '/slow'), 429, 'quota_exceeded', 'two parts');
    like $r->header('Retry-After'), qr/^\d+$/, '... may come later';
    is scalar(sent($text)), 0, '... and none is sent';
    is $t->post('Two.', path => '/slow')->{status}, 202, 'the room is there for others';
    $e->reset;
    $e->set(delay => 60);
};


subtest 'a shared cache' => sub {
    my $text = text(3);
    my $r = $t->post($text, path => '/shared');
    is $t->post($text, path => '/shared')->json->{id}, $r->json->{id}, 'leads to the same parts';
    is scalar(sent($text)), 3, '... which are paid once';
    like $r->json->{id}, qr/\.d[0-9a-f]{8}[\w-]{24}$/, '... and shared';
    $t->refused($t->request(DELETE => $r->header('Location')), 409, 'request_conflict',
        'so that none of its clients cancels them');
    $e->reset;
};

$t->done;
