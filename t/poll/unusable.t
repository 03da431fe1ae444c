# What clients are told of a result that cannot be used, and of polls that upstream refuses.
#
# Both take a minute to be believed.  With libfaketime it is a few seconds; without,
# TEST_NGINX_SLOW=1 has it waited for.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Compress::Raw::Zlib qw(WANT_GZIP Z_OK);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
my $fast = defined $library && !$ENV{TEST_NGINX_LD_PRELOAD};

plan skip_all => 'without libfaketime TEST_NGINX_SLOW=1 runs it' if !$fast && !$ENV{TEST_NGINX_SLOW};

my $t = CompletionAsync::Test->new(emulator => { delay => 0.02 }, timeout => 300);
my $emulator = $t->emulator;
my $MINUTE = $fast ? 3 : 60;

{
    local $ENV{TEST_NGINX_LD_PRELOAD} = $library if $fast;
    local @ENV{qw(FAKETIME FAKETIME_DONT_RESET)} = ('+0 x20', 1) if $fast;

    $t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex {
    zone yandex 2m; %%PROVIDER%% poll_interval 1s 5s;
}
completion_async_provider short {
    zone short 1m; %%PROVIDER%% poll_interval 1s 5s; max_response_size 2k;
}
%%METRICS%%
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;
    location /yandex { completion_async yandex; completion_async_wait 600s; }
    location /short  { completion_async short; }
}
EOC
}


sub submit ($path, $text) {
    my $r = $t->request(POST => $path, body => $text);
    is $r->{status}, 202, "$text is accepted";
    return ($r->header('Location'), ($emulator->submits)[-1]{operation});
}


sub errors ($what) { scalar grep { /\[error\]/ && /$what/ } split /\n/, $t->log }


sub done ($location, $times = 1) {
    my $r = $t->poll_until_done($location, timeout => $times * 2 * $MINUTE + 10);
    is $r->{status}, 200, 'an answer';
    ok $r->json->{done}, 'it is done';
    return $r;
}


my ($deflate, $status) = Compress::Raw::Zlib::Deflate->new(-WindowBits => WANT_GZIP, -AppendOutput => 1);
$status == Z_OK or die "gzip: $status\n";
$deflate->deflate('{"id":"d7q","done":false}', my $gzip);
$deflate->flush($gzip);
substr $gzip, 12, 8, "\xff" x 8;

my %unreadable = (
    duplicate      => { mangle => 'duplicate' },
    lone_surrogate => { mangle => 'lone_surrogate' },
    deep           => { mangle => 'deep' },
    gzip           => { body => $gzip, headers => { 'Content-Encoding' => 'gzip' } },
);
my (%location, %upstream);

for my $name (sort keys %unreadable) {
    $emulator->fault(poll => 'every', text => "as $name.", %{ $unreadable{$name} });
    ($location{$name}, $upstream{$name}) = submit('/yandex', "as $name.");
}

subtest $_ => \&unreadable, $_ for sort keys %unreadable;


sub unreadable ($name) {
    my ($location, $upstream) = ($location{$name}, $upstream{$name});
    my $r = done($location);
    my @polls = $emulator->polls($upstream);

    cmp_ok scalar @polls, '>=', 3, 'after three polls; t/unit/unusable.c has the minute'
        or diag explain({ location => $location, operation => $upstream, answer => $r->json,
            map { $_ => [ map { "$_->{method} $_->{path} $_->{body}" } $emulator->$_ ] }
                qw(submits polls) });
    is $r->json->{error}{code}, 13, 'the code';
    is $r->json->{response}, undef, 'no result';
    is $r->header('Cache-Control'), 'no-store', 'no-store';
    is $r->header('ETag'), undef, 'no ETag';
    is errors(qr/operation "\Q$upstream\E"/), 1, 'one line';

    my $text = $t->request(GET => $location, headers => { Accept => 'text/plain' });
    is $text->{status}, 424, 'as text: 424';
    ok length $text->{body}, 'which says something';
    is $text->header('x-should-retry'), 'false', 'and is not to be repeated';
}

$emulator->clear_faults;

subtest 'one that can be read after all' => sub {
    my $location = $location{duplicate};
    ok wait_until(sub { !$t->request(GET => $location)->json->{error} }, 20 + $MINUTE),
        'a client has it asked for again';
    my $r = $t->request(GET => $location);
    ok $r->json->{response}, 'the result';
    like $r->header('Cache-Control'), qr/immutable/, 'final';
    is $t->request(DELETE => $location)->json->{error}, undef, 'a cancel does not change it';
};


subtest 'too large' => sub {
    my ($location, $upstream) = submit('/short', 'long ' x 500);
    my $r = done($location);
    is $r->json->{error}{code}, 8, 'the code';
    is $r->header('Cache-Control'), 'no-store', 'no-store';
    is errors(qr/operation "\Q$upstream\E"/), 1, 'one line';
    like $t->log, qr/\Q$upstream\E.*its result cannot be used: too large/, 'which says why';

    my $metrics = $t->metrics;
    is $metrics->value('operations_finished_total', provider => 'short', state => 'too_large'), 1,
        'counted';

    # Nobody asks while nobody wants it; that polls go on shows that time has passed.
    my $polls = () = $emulator->polls($upstream);
    my (undef, $other) = submit('/short', 'another [delay=600]');
    ok wait_until(sub { $emulator->polls($other) >= 4 }, 60), 'others are polled';
    is scalar(() = $emulator->polls($upstream)), $polls, 'the watcher does not ask again';
};


subtest 'polls that are refused' => sub {
    my ($finished) = submit('/yandex', 'before');
    done($finished);

    for my $status (403, 401) {
        my $lines = errors(qr/upstream answered $status/);
        my ($location, $upstream) = submit('/yandex', "refused with $status [delay=600]");
        $emulator->fault(poll => 'every', operation => $upstream, status => $status);

        my $held = $t->stream($location, timeout => 2 * $MINUTE + 20);
        is $held->event->{id}, 'pending', 'a stream';

        my ($r, $before);
        ok wait_until(sub {
            $r = $t->request(GET => $location, headers => { Accept => 'text/plain' });
            $before ||= $r->{status} == 202;
            return $r->{status} == 502;
        }, 2 * $MINUTE + 10), "after a minute of $status polls are refused";
        ok $before, 'not before';
        ok length $r->{body}, 'a text';
        is $r->header('x-should-retry'), 'false', 'and is not to be repeated';
        $r = $t->request(GET => $location);
        is $r->{status}, 502, 'as JSON';
        is $r->json->{code}, 'upstream_rejected', 'by its code';
        is $t->request(GET => $location, headers => { Accept => 'text/event-stream' })->{status}, 502,
            'as a stream';
        ok wait_until(sub { $held->is_over }, 60), 'one that was open ends';

        is $t->request(GET => $finished)->{status}, 200, 'what is known is answered';
        is errors(qr/upstream answered $status/), $lines + 1, 'one line for all of it';
        like $t->log, qr/upstream answered 403.*check the account's role/, 'which says what to do';

        $emulator->clear_faults;
        ok wait_until(sub { $t->request(GET => $location)->{status} == 200 }, 60), 'until one succeeds';
        like $t->log, qr/\[notice\] .*upstream answers the polls of provider "yandex" again/,
            'which is told';
        $t->request(DELETE => $location);
    }
};

$t->done;
