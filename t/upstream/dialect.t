use strict;
use warnings;
use v5.36;

# Another upstream is another dialect and nothing else: the module is linked with that of
# t/upstream/tickets.c alone in its list, and does the main job at an upstream that speaks it.

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use Mojo::JSON qw(decode_json encode_json);
use POSIX ();
use Test::More;

use CompletionAsync::Linked;
use CompletionAsync::Test qw(wait_until);

plan skip_all => 'the module is linked in already' if $ENV{TEST_NGINX_STATIC};

local $ENV{TEST_NGINX_MODULE} = CompletionAsync::Linked->module('dialect', 't/upstream/tickets.c');

my $t = CompletionAsync::Test->new(emulator => 0);
my ($port, $pid) = desk($t->testdir . '/desk.log');
END { local $?; kill TERM => $pid and waitpid $pid, 0 if $pid }

$t->secret('badge0number0seven');
$t->write_file('badge.key', "badge0number0seven\n", 0600);
$t->define(DESK => "http://127.0.0.1:$port/tickets");

# The block has the directives of this dialect, and of no other.

my $BLOCK = 'zone tickets 1m; badge file:%%TESTDIR%%/badge.key;
    submit_url %%DESK%%; operations_url %%DESK%%;';

sub provider ($block) { "completion_async_provider desk { $block }\n" }

sub server ($setting = '') {
    return "log_format state '\$uri \$completion_async_state';
        server { listen 127.0.0.1:%%PORT%%; access_log %%TESTDIR%%/state.log state;
            location /ask { completion_async desk; completion_async_model counter; $setting } }\n";
}

for my $case (
    [ provider("$BLOCK folder b1gfolder;") . server, qr/unknown directive "folder"/ ],
    [ provider('zone tickets 1m;') . server, qr/has no credential, add "badge file:PATH;"/ ],
    [ provider($BLOCK) . server('completion_async_temperature 0.1;'),
        qr/"completion_async_temperature 0.1" is nothing that this upstream can do in \S+:[0-9]+$/m ],
    [ provider($BLOCK) . server('completion_async_idempotency 11m;'),
        qr/"completion_async_idempotency" must not be above 10m/ ],
) {
    my ($http, $says) = @$case;
    my ($status, $output) = $t->nginx_t($t->http_conf($http));
    is $status, 1, "refused: $says";
    like $output, $says, '... and says so';
}

$t->run($t->http_conf(provider("$BLOCK poll_interval 50ms 100ms;") . server));

sub ask ($body, %header) {
    return $t->request(POST => '/ask', body => $body,
        headers => { 'Content-Type' => 'text/plain', %header });
}

sub journal ($match) { grep { $_->{line} =~ $match } map { decode_json($_) }
    split /\n/, $t->read_file('desk.log') }


# Submit, poll, the result

my $r = ask('done: to be');
is $r->{status}, 202, 'a submit is accepted';
is $r->json->{status}, 'queued', '... as upstream spells it';

my ($submit) = journal(qr/^POST/);
is_deeply decode_json($submit->{body}), { engine => 'counter', input => 'done: to be' },
    'upstream was asked in its own words';
is $submit->{line}, 'POST /tickets HTTP/1.1', '... at its own place';
is $submit->{header}{authorization}, 'Bearer badge0number0seven', '... with our credential';
is $submit->{header}{'x-to'}, 'desk', '... and its own header';

my $location = $r->header('Location');
my ($id) = $location =~ m{^/ask/operations/(\w{64})[ps][0-9a-f]{8}\S{24}$};
is $id, sprintf('ticket_%057d', 1), 'the id is made of all 64 characters';

ok wait_until(sub { $r = $t->request(GET => $location); $r->json->{status} eq 'done' }),
    'a poll brings the end';
is $r->json->{output}, 'DONE: TO BE', '... and the result';
is $r->json->{ticket}, $location =~ s{.*/}{}r, '... with the client\'s id in it';
like $r->header('Cache-Control'), qr/^private, max-age=(?:59\d|600), immutable$/,
    '... that upstream keeps for ten minutes';
my ($poll) = journal(qr/^GET/);
is $poll->{line}, "GET /tickets/$id HTTP/1.1", 'it was asked for by its id';

$r = $t->request(GET => $location, headers => { Accept => 'text/plain' });
is_deeply [ @$r{qw(status body)} ], [ 200, 'DONE: TO BE' ], 'the text alone';


# What fails

$r = ask('broken: x', Accept => 'text/plain', Prefer => 'wait=10');
is_deeply [ @$r{qw(status body)} ], [ 424, 'no more' ], 'a failure has its status and its reason';

$r = ask('no: x');
is $r->{status}, 400, 'what upstream does not take';
is $r->json->{detail}, 'not this', '... is told, and cleaned by the dialect\'s own patterns';


# Native requests

$r = ask('{"turns":["done: a"]}', 'Content-Type' => 'application/json');
is $r->{status}, 202, 'a native request is known by the dialect\'s member';
is +(journal(qr/^POST/))[-1]{body}, '{"turns":["done: a"]}', '... and goes as it is';

$r = ask('{"messages":[]}', 'Content-Type' => 'application/json');
is $r->{status}, 400, 'that of another dialect is none';
like $r->json->{detail}, qr/either "text" or "turns" must be given/, '... and says which';


# Cancels

$r = ask('slow: x');
$location = $r->header('Location');
($id) = $location =~ m{/(\w{64})};
$r = $t->request(DELETE => $location);
is $r->json->{status}, 'stopped', 'a cancel is told in upstream\'s words';
ok wait_until(sub { journal(qr{^POST /tickets/$id/stop }) }), '... and asked for by a POST';
my ($cancel) = journal(qr{/stop });
is_deeply [ $cancel->{body}, $cancel->{header}{authorization} ], [ '', 'Bearer badge0number0seven' ],
    '... that goes by its id alone';
is $t->request(GET => $location)->json->{status}, 'stopped', 'it stays cancelled';

# by somebody else, for good
$r = ask('stopped: x', Accept => 'text/plain', Prefer => 'wait=10');
is_deeply [ @$r{qw(status body)} ], [ 410, 'by them' ], 'one that upstream stopped';
my $uri = $r->header('Location');
is $t->request(GET => $uri)->json->{status}, 'stopped', '... is found so';
unlike $t->log, qr/while cancelling/, 'the answer to a cancel is read as one';
like $t->read_file('state.log'), qr/^\Q$uri\E cancelled$/m, '... and is cancelled, not failed';

$t->done;


# The upstream: tickets that end at the third look, as their first word says.
sub desk ($log) {
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16, ReuseAddr => 1)
        or die "listen: $!\n";
    open my $journal, '>', $log or die "$log: $!\n";
    $journal->autoflush(1);

    my $pid = fork // die "fork: $!\n";
    return ($listen->sockport, $pid) if $pid;

    local $SIG{TERM} = 'DEFAULT';
    alarm 120;
    my (%ticket, $n);
    while (my $client = $listen->accept) {
        serve($client, $journal, \%ticket, \$n);
        close $client;
    }
    POSIX::_exit(0);
}


sub serve ($client, $journal, $ticket, $n) {
    my $text = '';
    while ($text !~ /\r\n\r\n/) { sysread $client, $text, 65536, length $text or return }
    my ($line, $fields) = $text =~ /^(.*?)\r\n(.*?\r\n)\r\n/s;
    my %header = map { lc($1) => $2 if /^([^:]+): (.*)/ } split /\r\n/, $fields;
    my $body = $text =~ s/^.*?\r\n\r\n//sr;
    while (length $body < ($header{'content-length'} // 0)) {
        sysread $client, $body, 65536, length $body or return;
    }
    print $journal encode_json({ line => $line, header => \%header, body => $body }), "\n";

    my ($status, $answer) = (200);
    if ($line =~ m{^POST /tickets }) {
        my $input = $body =~ /"(?:input":|turns":\[)"(.*?)"/ ? $1 : '';
        my $id = sprintf 'ticket_%057d', ++$$n;
        $ticket->{$id} = { ticket => $id, status => 'queued', input => $input, looks => 0 };
        ($status, $answer) = $input =~ /^no:/ ? (400, { why => 'not (desk seven)this' })
            : (200, shown($ticket->{$id}));

    } elsif (my ($id, $stop) = $line =~ m{^(?:GET|POST) /tickets/(\w+)(/stop)? }) {
        my $one = $ticket->{$id};
        my ($end) = $one->{input} =~ /^(\w+):/;
        $one->{status} = $stop ? 'stopped' : $end if $stop || ++$one->{looks} > 2 && $end ne 'slow';
        $answer = $stop ? { stopped => $id } : shown($one);
    }
    $answer = encode_json($answer // {});
    syswrite $client, "HTTP/1.1 $status X\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($answer) . "\r\nConnection: close\r\n\r\n$answer";
}


sub shown ($one) {
    my %end = (done => { output => uc $one->{input} }, broken => { why => 'no more' },
        stopped => { why => 'by them' });
    return { %$one{qw(ticket status)}, %{ $end{ $one->{status} } // {} } };
}
