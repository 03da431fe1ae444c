# A stream that breaks off is gone on with where it was, on another node and after a restart, as its
# events have the same numbers everywhere.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Sdk;
use CompletionAsync::Test qw(wait_until);
use Mojo::JSON qw(encode_json);

my $t    = CompletionAsync::Test->new(emulator => { delay => 60 });
my $node = CompletionAsync::Test->new(emulator => 0);
my $e    = $t->emulator;

my $http = <<'EOC';
completion_async_provider yandex {
    zone operations 4m; %%PROVIDER%% poll_interval 50ms 200ms; id_key file:%%TESTDIR%%/ids.key;
}
completion_async_model yandexgpt-lite;
completion_async_owner $http_authorization;
server {
    listen 127.0.0.1:%%PORT%%;
    location /v1        { completion_async_openai yandex; completion_async_wait 20s; }
    location /translate { completion_async yandex; }
}
%%METRICS%%
EOC

$node->secret($t->folder, $t->api_key);
$node->define(PROVIDER => $t->expand('%%PROVIDER%%'));

for ($t, $node) {
    $_->write_file('ids.key', 'one key for both of the nodes, and more', 0600);
    $_->run($_->http_conf($http));
}

my $base = sub ($of) { 'http://127.0.0.1:' . $of->port . '/v1' };
my $sdk = CompletionAsync::Sdk->new(baseURL => $base->($t), apiKey => 'alice');

if (!$sdk) {
    fail 'npm\'s openai is there: run "make deps"';
    $node->done;
    exit;
}

my @asked = ({ model => 'm', input => 'text', stream => \1, background => \1 });
my @over = ($base->($t), $base->($node));


sub numbers ($r) { [ map { $_->{sequence_number} } @{ $r->{value} // [] } ] }


# What is left of a stream behind that event, from that base.
sub rest ($base, $id, $after) {
    return $sdk->start('responses.retrieve', [ $id, { stream => \1, starting_after => $after } ],
        client => { baseURL => $base });
}


my $r = $sdk->start('responses.create', \@asked, cut => 2)->();
is_deeply numbers($r), [ 0, 1 ], 'a stream, left behind after two events';
my $id = $r->{value}[0]{response}{id};
my $whole;

subtest 'pending' => sub {
    my @rest = map { rest($_, $id, 1) } @over;
    $t->until_waiting(1);
    $node->until_waiting(1);
    $e->finish;

    my @events = map { $_->() } @rest;
    is_deeply numbers($_), [ 2 .. 9 ], 'the rest' for @events;
    $whole = $events[0]{value}[-1]{response};
    is_deeply $events[1]{value}[-1]{response}, $whole, 'the same on either node';
    is $whole->{output}[0]{content}[0]{text}, 'echo: text', '... the text';
};

subtest 'ended, and after a restart' => sub {
    for my $after (0 .. 8) {
        is_deeply numbers(rest($_, $id, $after)->()), [ $after + 1 .. 9 ], "behind $after" for @over;
    }
    is_deeply numbers(rest($over[0], $id, 9)->()), [], 'behind the last one';

    ok $t->stop, 'nginx stops';
    $t->run($t->http_conf($http));
    $r = rest($over[0], $id, 4)->();
    is_deeply numbers($r), [ 5 .. 9 ], 'nginx is new';
    is_deeply $r->{value}[-1]{response}, $whole, '... and the Response the same';
    is $e->submits, 1, 'paid once';
};

subtest 'a worker that is to quit' => sub {
    my @streams = ($sdk->start('responses.create', \@asked),
        $sdk->start('chat.completions.create', [ { model => 'm', stream => \1,
            messages => [ { role => 'user', content => 'x' } ] } ]));
    $t->until_waiting(2);
    ok $t->reload, 'a reload';
    for (@streams) {
        my $error = $_->()->{error};
        is $error->{code}, 'not_ready', 'ends a stream, and says so' or diag explain $error;
    }
};

subtest 'before upstream has accepted' => sub {
    $e->fault(submit => 'every', status => 400);
    $r = $sdk->start('responses.create', \@asked)->();
    is $r->{error}{status}, 400, 'an error has its status';
    is $r->{error}{class}, 'BadRequestError', '... and its class';
    $e->clear_faults;
};

subtest 'the other interface' => sub {
    $r = $sdk->start('responses.create', \@asked, cut => 1)->();
    my ($bare) = $r->{value}[0]{response}{id} =~ /^resp_(.*)/;
    my @alice = (headers => { Authorization => 'Bearer alice' });
    is $t->request(DELETE => "/translate/operations/$bare", @alice)->json->{error}{code}, 1,
        'cancels what this one has begun';
    is_deeply [ map { $_->{type} } @{ rest($over[0], $bare, 1)->()->{value} } ],
        [ 'response.in_progress', 'response.failed' ], '... which its stream tells';
    is $sdk->call('responses.retrieve', $bare)->{value}{status}, 'cancelled', '... as cancelled';

    $r = $t->request(POST => '/translate', body => 'text', @alice);
    ok !$sdk->call('responses.delete', $r->json->{id})->{error}, 'and this one deletes';
    is $t->request(GET => $r->header('Location'), @alice)->{status}, 404, '... what is then none';
};

subtest 'a waiting one that is deleted' => sub {
    my $waits = $sdk->start('responses.create', [ { model => 'm', input => 'waits' } ]);
    my $key = [ { model => 'm', input => 'keyed', background => \1 },
        { headers => { 'Idempotency-Key' => 'k' } } ];
    my $first = $sdk->start('responses.create', $key)->()->{value}{id};
    is $sdk->start('responses.create', $key)->()->{value}{id}, $first, 'a key';
    $sdk->call('responses.delete', $first);
    isnt $sdk->start('responses.create', $key)->()->{value}{id}, $first, '... leads there no more';

    ok wait_until(sub { grep { defined $_->{operation}
        && $_->{json}{messages}[0]{text} eq 'waits' } $e->submits }), 'one waits';
    $e->finish;
    is $waits->()->{value}{status}, 'completed', 'and is told';
};

undef $sdk;
$node->stop;
$t->done;
