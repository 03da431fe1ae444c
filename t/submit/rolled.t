# A new id_key is brought in: no id breaks, and keys of clients are known until
# the last step, as they go by the last key.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });
my $upstream = $t->emulator;

$t->write_file($_, $_ x 32, 0600) for 'A', 'B';
$t->secret(map { $_ x 32 } 'A', 'B');

my $conf = sub (@keys) {
    $t->define(KEYS => join ' ', map { "file:%%TESTDIR%%/$_" =~ s/%%TESTDIR%%/$t->testdir/er } @keys);
    return $t->http_conf(<<'EOC');
completion_async_provider yandex { zone operations 1m; id_key %%KEYS%%; %%PROVIDER%% }
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;
    location /t { completion_async yandex; }
}
EOC
};


sub submit () {
    return $t->request(POST => '/t', body => 'text',
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => 'key' });
}


$t->run($conf->('A'));
my $first = submit();
is $first->{status}, 202, 'accepted' or diag $first->{body};

for (['A', 'B', 'A'], ['B', 'A']) {
    $t->conf($conf->(@$_));
    ok $t->reload(wait_old => 1), "id_key @$_";
    my $r = submit();
    is $r->header('Idempotency-Replayed'), 'true', 'the key is known';
    is $t->request(GET => $first->header('Location'))->{status}, 200, 'the first id is good';
    is $t->request(GET => $r->header('Location'))->{status}, 200, 'and so is that of the replay';
}
is scalar $upstream->submits, 1, 'paid once';

$t->conf($conf->('B'));
ok $t->reload(wait_old => 1), 'id_key B';
is submit()->header('Idempotency-Replayed'), undef, 'the last step forgets keys';
is $t->request(GET => $first->header('Location'))->{status}, 404, 'and ids of the old one';

$t->done;
