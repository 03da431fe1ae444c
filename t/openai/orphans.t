# What npm's openai repeats by itself is paid once: what it gave up, or was told to ask for again, is
# taken over by its next request. What upstream breaks is not repeated at all.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Sdk;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });
my $e = $t->emulator;

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex {
    zone operations 4m; %%PROVIDER%% poll_interval 50ms 100ms; request_timeout 2s;
}
completion_async_model yandexgpt-lite;
completion_async_owner $http_authorization;
log_format taken '$completion_async_source';
access_log %%TESTDIR%%/taken.log taken;
server {
    listen 127.0.0.1:%%PORT%%;
    location /v1   { completion_async_openai yandex; completion_async_wait 1s; }
    location /long { completion_async_openai yandex; completion_async_wait 30s; }
}
EOC

my $base = 'http://127.0.0.1:' . $t->port;
my $sdk = CompletionAsync::Sdk->new(baseURL => "$base/v1", apiKey => 'alice');

if (!$sdk) {
    fail 'npm\'s openai is there: run "make deps"';
    $t->done;
    exit;
}

my %long = (client => { baseURL => "$base/long" });


# What it came to, and how often upstream may have been paid for that text.
sub asks ($text, %opt) {
    return says('responses.create', { input => $text }, $text, %opt);
}


sub says ($call, $what, $text, %opt) {
    my $r = $sdk->start($call, [ { model => 'm', %$what } ], %opt)->();
    return ($r, paid($text));
}


sub paid ($text) {
    return scalar grep { $_->{json}{messages}[-1]{text} eq $text
        && (defined $_->{operation} || defined $_->{fault}) } $e->submits;
}


sub is_over ($r, $paid, $requests, $name) {
    is $r->{value}{status}, 'completed', "$name: completed" or diag explain $r;
    is $paid, 1, "$name: paid once";
    ok $r->{requests} >= $requests, "$name: asked for $r->{requests} times";
}


subtest 'a wait that ends is asked for again' => sub {
    my ($r, $paid) = asks('[delay=2] ends', client => { maxRetries => 9 });
    is_over($r, $paid, 2, 'a Response');
    my ($id) = $r->{value}{id} =~ /^resp_(.*)/;

    $r = $sdk->start('chat.completions.create', [ { model => 'm', messages => [ { role => 'user',
        content => '[delay=2] chat' } ] } ], client => { maxRetries => 9 })->();
    is $r->{value}{choices}[0]{finish_reason}, 'stop', 'a chat';
    is paid('[delay=2] chat'), 1, '... paid once';

    ($r, $paid) = asks('[delay=60] none', client => { maxRetries => 1 });
    is $r->{error}{code}, 'not_ready', 'or given up';
    is $r->{error}{class}, 'InternalServerError', '... as the SDK\'s error';
    is $r->{error}{status}, 504, '... with its status';
    is $paid, 1, '... paid once';
    my ($named) = $r->{error}{message} =~ /"([\w-]+)"/;
    is $sdk->call('responses.retrieve', $named)->{value}{status}, 'in_progress',
        '... its message names the id';
    ok !$sdk->call('responses.delete', $named)->{error}, '... which can be deleted';

    ($r, $paid) = asks('[delay=60] none', client => { maxRetries => 0 });
    is $paid, 2, '... and is not taken over then';
};

subtest 'a client that gives up' => sub {
    my ($r, $paid) = asks('[delay=2] impatient', client => { maxRetries => 9, timeout => 700,
        baseURL => "$base/long" });
    is_over($r, $paid, 2, 'while it waits for the model');
};

subtest 'upstream' => sub {
    my %fault = (
        'a 500'      => { status => 500, process => 1 },
        'hangs'      => { silent => 1 },
        'breaks off' => { close => 'answer' },
        'resets'     => { reset => 'request' },
    );
    for my $name (sort keys %fault) {
        $e->fault(submit => 'every', %{ $fault{$name} });
        my ($r, $paid) = asks($name, %long);
        is $r->{error}{code}, 'outcome_unknown', "$name: unknown" or diag explain $r;
        is $paid, 1, "$name: paid once";
        is $r->{requests}, 1, "$name: not repeated";

        my @said = (messages => [ { role => 'user', content => "$name, said" } ]);
        my %as = (
            'a chat'          => [ 'chat.completions.create', {@said} ],
            'its stream'      => [ 'chat.completions.create', { @said, stream => \1 } ],
            'a stream'        => [ 'responses.create', { input => "$name, said", stream => \1 } ],
            'the background'  => [ 'responses.create', { input => "$name, said", background => \1 } ],
        );
        my $before = 0;
        for my $kind (sort keys %as) {
            ($r, $paid) = says($as{$kind}->@*, "$name, said", %long);
            is $r->{error}{code}, 'outcome_unknown', "$name, $kind: unknown" or diag explain $r;
            is $paid - $before, 1, "$name, $kind: paid once";
            is $r->{requests}, 1, "$name, $kind: not repeated";
            $before = $paid;
        }

        ($r, $paid) = asks("$name, and the client gives up", client => { baseURL => "$base/long",
            timeout => 800, maxRetries => 9 });
        is $r->{error}{code}, 'outcome_unknown', "$name: unknown";
        is $paid, 1, "$name: paid once";
        $e->clear_faults;
    }
};

subtest 'upstream breaks while nobody waits' => sub {
    my $text = 'nobody waits';
    my $broken = sub { () = $t->read_file('error.log') =~ /gave no readable answer/g };
    my $before = $broken->();

    $e->fault(submit => 'every', silent => 1);
    my ($r) = asks($text, client => { baseURL => "$base/long", timeout => 500, maxRetries => 0 });
    is $r->{error}{name}, 'Error', 'given up';
    ok wait_until(sub { $broken->() > $before }), '... before upstream broke';
    $e->clear_faults;

    ($r, my $paid) = asks($text, client => { baseURL => "$base/long", maxRetries => 9 });
    is $r->{error}{code}, 'outcome_unknown', 'the next one is told' or diag explain $r;
    is $r->{requests}, 1, '... once';
    is $paid, 1, '... and has nothing paid';

    ($r, $paid) = asks($text, %long);
    is $r->{value}{status}, 'completed', 'who asks all the same';
    is $paid, 2, '... pays anew';
};

subtest 'whose it is' => sub {
    my @requests = map { { model => 'm', input => '[delay=60] orphan' } } 1 .. 3;
    my $since = $e->submits;
    my %impatient = (client => { baseURL => "$base/long", timeout => 500, maxRetries => 0 });

    is $sdk->start('responses.create', [$_], %impatient)->()->{error}{name}, 'Error', 'given up'
        for @requests[ 0, 1 ];
    is $e->submits - $since, 1, 'the second took over the first';
    ok wait_until(sub { $t->read_file('taken.log') =~ /^joined\n/m }), '... joined';

    $sdk->start('responses.create', [ $requests[2] ], client => { %{ $impatient{client} },
        apiKey => 'boris' })->();
    is $e->submits - $since, 2, 'another client has its own';
    $e->finish;

    my $r = $sdk->start('responses.create', [ $requests[2] ], %long)->();
    is $r->{value}{status}, 'completed', 'the end';
    is $e->submits - $since, 2, '... of the one there was';
    $sdk->start('responses.create', [ { model => 'm', input => 'orphan' } ], %long)->() for 1, 2;
    is $e->submits - $since, 4, 'what was delivered is none';
};

undef $sdk;
$t->done;
