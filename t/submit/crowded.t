# A zone that is too small costs polls, not payments; and what nobody pays for
# takes no room from what somebody has.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Test::More;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });
my $upstream = $t->emulator;

$t->run($t->http_conf(<<'EOC'));
%%METRICS%%
completion_async_provider crowded {
    zone crowded 256k; poll_interval 100ms 200ms; poll_rate 1000r/s; %%PROVIDER%%
}
completion_async_provider full {
    zone full 64k; poll_interval 100ms 200ms; poll_rate 1000r/s; %%PROVIDER%%
}
completion_async_provider endless { zone endless 1m; deadline 1s; %%PROVIDER%% }
server {
    listen 127.0.0.1:%%PORT%%;
    add_header X-Source $completion_async_source always;
    completion_async_model yandexgpt-lite;
    completion_async_cache 1h shared;

    location /crowded { completion_async crowded; }
    location /full    { completion_async full; completion_async_cache off; }
    location /endless { completion_async endless; }
}
EOC


sub arguments ($location, $text) {
    return (POST => $location, headers => { 'Content-Type' => 'text/plain' }, body => $text,
        timeout => 20);
}


sub submit (@arguments) { $t->request(arguments(@arguments)) }


# each of them accepted; how many were paid for
sub paid ($location, @texts) {
    my $before = $upstream->submits;
    my $refused = 0;

    while (my @some = splice @texts, 0, 40) {
        $refused += grep { $_->{status} != 202 && $_->{status} != 200 }
            $t->concurrent(map { [arguments($location, $_)] } @some);
    }
    is $refused, 0, 'all accepted';
    return $upstream->submits - $before;
}


subtest 'the cache, in a full zone' => sub {
    my @texts = map { "text $_ " . 'x' x 1500 } 1 .. 40;

    is paid('/crowded', @texts), 40, 'paid once';
    is paid('/crowded', @texts), 0, 'equal ones are not';
    is paid('/crowded', map { "other $_ " . 'x' x 1500 } 1 .. 600), 600, 'then others';
    cmp_ok $t->metrics->sum('zone_evictions_total', provider => 'crowded', kind => 'finished'),
        '>', 40, 'for which there was no room';
    is paid('/crowded', @texts), 0, 'the first are not paid again';

    my $r = submit('/crowded', $texts[0]);
    $r = $t->poll_until_done($r->header('Location'));
    is $r->json->{response}{alternatives}[0]{message}{text}, "echo: $texts[0]",
        'and have their result, by a poll';
};


subtest 'a zone full of keys says for how long it is' => sub {
    my ($n, $r) = (0);
    my @headers = ('Content-Type' => 'text/plain', 'Idempotency-Key');

    # the last of what may go goes first
    ok wait_until(sub {
        $r = $t->request(POST => '/full', headers => { @headers, 'key-' . ++$n }, body => 'text');
        return $r->{status} != 202 && $r->header('Retry-After') > 60;
    }, 20), 'not for a second only';
    is $r->json->{code}, 'zone_full', 'there is no room';
    cmp_ok $r->header('Retry-After'), '<=', 3600, 'an hour at most';
};


subtest 'what upstream never ends' => sub {
    my $text = 'hangs [delay=600]';
    my $first = submit('/endless', $text);
    is $first->{status}, 202, 'accepted';

    my $r = submit('/endless', $text);
    is $r->header('Location'), $first->header('Location'), 'is shared';
    wait_until(sub { ($r = submit('/endless', $text))->header('X-Source') ne 'cached' });
    is $r->header('X-Source'), 'upstream', 'until its deadline';
    isnt $r->header('Location'), $first->header('Location'), 'and then another one is sent';
};


$t->done;
