# Who joins a submit keeps no text, and tells it once more, as it was, when the one it joined dies
# before it was sent.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

# No token yet, so that nothing is sent.
my $t = CompletionAsync::Credentials->new(delay => 600, metadata => 0);
my $e = $t->emulator;

$t->define(METADATA => $t->metadata_url);
$t->run(<<'EOC');
%%TEST_GLOBALS%%
worker_processes 2;
events { worker_connections 256; }
http {
    %%TEST_GLOBALS_HTTP%%
    %%METRICS%%
    log_format fields '$status to=$completion_async_input_to';

    completion_async_provider yandex {
        zone operations 1m;
        folder %%FOLDER%%;
        submit_url %%UPSTREAM%%/foundationModels/v1/completionAsync;
        operations_url %%UPSTREAM%%/operations;
        metadata_token %%METADATA%%;
        request_timeout 10s;
    }
    server {
        # the kernel spreads connections over the workers
        listen 127.0.0.1:%%PORT%% reuseport;
        add_header X-Worker $pid always;

        completion_async_model   yandexgpt-lite;
        completion_async_message system "to $completion_async_input_to";

        location / {
            completion_async yandex;
            access_log       %%TESTDIR%%/fields.log fields;
        }
        location /file {
            completion_async         yandex;
            client_body_in_file_only clean;
        }
        location /none { return 404; }
    }
}
EOC


sub waiters () { $t->metrics->sum('waiters') }


# So many clients of each worker, by the header that names it.
sub clients_of_two ($number) {
    my %of;
    for (1 .. 200) {
        my $client = $t->client(timeout => 60);
        push @{ $of{ $client->request(GET => '/none')->header('X-Worker') } }, $client;
        return map { [ $_, $of{$_} ] } keys %of if 2 == grep { @$_ >= $number } values %of;
    }
    die "one worker only\n";
}


my $LETTERS = 'я' x 10_000;
my $LINES   = "of a file\n" x 10_000;

# [location, type, body, the text that is asked]
my @request = (
    [ '/',     'text/plain', 'in a buffer', 'in a buffer' ],
    [ '/',     'text/plain', $LINES, $LINES ],
    [ '/file', 'text/plain', 'always a file', 'always a file' ],
    [ '/',     'application/json', '{"to":"en","text":"' . '\\u044f' x 10_000 . '"}', $LETTERS ],
    [ '/',     'application/x-www-form-urlencoded', 'to=de&text=a+form+%41', 'a form A' ],
);


subtest 'who joined is sent when the one it joined dies unsent' => sub {
    $t->allow_killed_workers;
    my ($dies, $lives) = clients_of_two(scalar @request);

    my @waits;
    for my $clients ($dies, $lives) {
        for my $n (0 .. $#request) {
            my ($location, $type, $body) = @{ $request[$n] };
            push @waits, $clients->[1][$n]->start(POST => $location, body => $body,
                headers => { 'Content-Type' => $type, 'Idempotency-Key' => "key-$n" });
        }
        ok wait_until(sub { waiters() == @waits }), scalar(@waits) . ' wait';
    }
    my @joined = splice @waits, scalar @request;
    is scalar $e->submits, 0, 'nothing is sent';
    kill KILL => $dies->[0];
    $e->set(metadata => 1);

    for my $n (0 .. $#request) {
        my $r = $joined[$n]->response(60);
        is $r->{status}, 202, "$n: accepted";
        is $r->header('Idempotency-Replayed'), undef, "$n: as its own";
        is $r->header('X-Worker'), $lives->[0], "$n: by the worker that lives";
    }
    my @messages = map { $_->{json}{messages} } $e->submits;
    is_deeply [ sort map { $_->[-1]{text} } @messages ], [ sort map { $_->[3] } @request ],
        'each is sent once, as it was';
    is_deeply [ sort map { $_->[0]{text} } @messages ], [ 'to ', 'to ', 'to ', 'to de', 'to en' ],
        "with the location's part";
    ok wait_until(sub { $t->metrics->sum('submit_memory_bytes') == 0 }), 'nothing is held any more';

    # of the worker that lives, the others had no end
    my $log = sub () { [ sort split /^/, $t->read_file('fields.log') ] };
    wait_until(sub { @{ $log->() } >= 4 });
    is_deeply $log->(), [ ("202 to=-\n") x 2, "202 to=de\n", "202 to=en\n" ],
        'and its log knows the fields to the end';
};


ok $t->stop, 'nginx ends by itself';
$t->done;
