# Two nodes behind a balancer, which share by a Redis server: a client that gave up at one finds at
# the other what was paid for.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json);
use Test::More;
use CompletionAsync::Client;
use CompletionAsync::Nodes;
use CompletionAsync::Test qw(wait_until);

my $nodes = CompletionAsync::Nodes->new(
    emulator   => { delay => 600 },
    parameters => 'timeout=30s',
    provider   => 'poll_interval 50ms 100ms;',
    server     => <<'EOC',
        completion_async_model      yandexgpt-lite;
        completion_async_languages  en ru;
        completion_async_wait       60s;
        location /libre { completion_async_libretranslate yandex; }
        location /deepl { completion_async_deepl yandex; }
EOC
);
my $e = $nodes->emulator;
my ($one, $two) = $nodes->all;


sub ask ($texts, %more) {
    return (POST => '/libre/translate', timeout => 60, body => encode_json({ q => $texts,
        source => 'en', target => 'ru', %more }), headers => { 'Content-Type' => 'application/json' });
}


subtest 'a client that gives up' => sub {
    my @texts = map { "Given up $_" } 1 .. 5;
    my $client = $one->start(ask(\@texts));
    ok wait_until(sub { $e->paid('Given up') == 5 && $one->metrics->sum('waiters') > 0 }), 'waits';
    $client->close;
    $client = $two->start(ask(\@texts));
    ok wait_until(sub { $two->metrics->sum('waiters') > 0 }), '... and comes back elsewhere';
    $e->finish;
    my $r = $client->response;
    is_deeply $r->json->{translatedText}, [ map { "echo: $_" } @texts ], 'it has its texts'
        or diag $r->{raw};
    is $e->paid('Given up'), 5, '... paid once';

    $r = $one->request(ask([ reverse @texts ]));
    is_deeply $r->json->{translatedText}, [ map { "echo: $_" } reverse @texts ],
        'and so has who asks where it was given up' or diag $r->{raw};
    is $e->paid('Given up'), 5, '... for nothing';
};

subtest 'a batch at both, at once' => sub {
    my @texts = map { "Both $_" } 1 .. 20;
    my @clients = map { $_->start(ask(\@texts)) } $one, $two, $one, $two;
    ok wait_until(sub { 20 == $e->paid('Both') && $one->metrics->sum('waiters') > 1
        && $two->metrics->sum('waiters') > 1 }), 'wait';
    $e->finish;
    CompletionAsync::Client->gather(\@clients, 60);
    for my $client (@clients) {
        my $r = $client->response;
        is_deeply $r->json->{translatedText}, [ map { "echo: $_" } @texts ], 'each has it'
            or diag $r->{raw};
    }
    is $e->paid('Both'), 20, 'and it is paid once';
};

$nodes->done;
