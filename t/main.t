use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0.3 });

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 1m; %%PROVIDER%% }
server {
    listen 127.0.0.1:%%PORT%%;
    location /translate {
        completion_async         yandex;
        completion_async_model   yandexgpt-lite;
        completion_async_message system "Переведи текст";
    }
}
EOC

my $text = 'To be, or not to be: that is the question.';
my $r = $t->request(POST => '/translate', headers => { 'Content-Type' => 'text/plain' },
    body => $text);
is $r->{status}, 202, 'accepted';

$r = $t->poll_until_done($r->header('Location'));
is $r->json->{response}{alternatives}[0]{message}{text}, 'Быть или не быть: вот в чём вопрос.';
is scalar $t->emulator->submits, 1, 'submitted once';
$t->done;
