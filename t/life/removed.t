# A provider that one reload takes away and the next puts back: its zone is a
# new one, and the log says what that costs.

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

my $without = <<'EOC';
completion_async_provider stays { zone stays 1m; %%PROVIDER%% }
server {
    listen 127.0.0.1:%%PORT%%;
    completion_async_model yandexgpt-lite;
    location /stays { completion_async stays; }
}
EOC

my $with = $without =~ s/^}/    location \/t { completion_async goes; }\n}/mr
    . "completion_async_provider goes { zone goes 1m; %%PROVIDER%% }\n";
my $said = qr/\[warn\].* zone "goes" starts empty because an earlier reload took its provider away/;


sub submit () {
    return $t->request(POST => '/t', body => 'text',
        headers => { 'Content-Type' => 'text/plain', 'Idempotency-Key' => 'key' });
}


$t->run($t->http_conf($with));
my $first = submit();
is $first->{status}, 202, 'accepted' or diag $first->{body};

ok $t->reload(wait_old => 1), 'the same again';
is submit()->header('Idempotency-Replayed'), 'true', 'forgets no key';
unlike $t->log, qr/starts empty/, 'and says nothing';

$t->conf($t->http_conf($without));
ok $t->reload(wait_old => 1), 'it is taken away';
unlike $t->log, qr/starts empty/, 'which is no zone anew';

$t->conf($t->http_conf($with));
ok $t->reload(wait_old => 1), 'and put back';
like $t->log, $said, 'the log tells';
is submit()->header('Idempotency-Replayed'), undef, 'the key is paid again';
is $t->request(GET => $first->header('Location'))->{status}, 200, 'the id is good';
is scalar $upstream->submits, 2, 'twice in all';

$t->done;
