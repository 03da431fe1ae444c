# The head of a request as upstream sees it: each line once, and what a proxy is told.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0.1 });
my $e = $t->emulator;
my $proxied = 'http://upstream.example:8080';

$t->run(<<"EOC");
%%TEST_GLOBALS%%
events {}
http {
%%TEST_GLOBALS_HTTP%%
    completion_async_provider direct {
        zone direct 4m; %%PROVIDER%% poll_interval 50ms 100ms;
    }
    completion_async_provider proxied {
        zone proxied 4m; folder %%FOLDER%%; api_key file:%%API_KEY_FILE%%; poll_interval 50ms 100ms;
        submit_url $proxied/foundationModels/v1/completionAsync; operations_url $proxied/operations;
        proxy http://127.0.0.1:@{[ $e->port ]};
    }
    server {
        listen 127.0.0.1:%%PORT%%;
        completion_async_model yandexgpt-lite;
        location /direct  { completion_async direct; }
        location /proxied { completion_async proxied; }
    }
}
EOC

my %common = (
    accept            => '*/*',
    'accept-encoding' => 'identity',
    'user-agent'      => 'nginx-completion-async HTTP/1.1',
    'x-folder-id'     => $t->expand('%%FOLDER%%'),
);

my %submit = (body => 'text', headers => { 'Content-Type' => 'text/plain' });

subtest 'a submit and a poll' => sub {
    my $r = $t->request(POST => '/direct', %submit);
    is $r->{status}, 202, 'accepted';
    is $t->poll_until_done($r->header('Location') // '/')->{status}, 200, 'polled';

    my ($submit) = $e->journal(kind => 'submit');
    my ($poll)   = $e->journal(kind => 'poll');
    is $submit->{path}, '/foundationModels/v1/completionAsync', 'the path of a submit';
    like $poll->{path}, qr{^/operations/[^/]+$}, 'and of a poll';
    is_deeply own($submit), {
        host => '127.0.0.1:' . $e->port, 'content-type' => 'application/json',
        'content-length' => length $submit->{body},
    }, 'what a submit says';
    is_deeply own($poll), { host => '127.0.0.1:' . $e->port }, 'and a poll';
};

# The emulator does not serve such a target.
subtest 'through a proxy' => sub {
    $e->reset;
    $t->request(POST => '/proxied', %submit);
    my ($submit) = $e->journal;
    is $submit->{path}, "$proxied/foundationModels/v1/completionAsync", 'the whole URL';
    is_deeply own($submit), {
        host => 'upstream.example:8080', 'content-type' => 'application/json',
        'content-length' => length $submit->{body}, 'proxy-connection' => 'Keep-Alive',
    }, 'what a submit says';
};

$t->done;


# What only this request says; all say the rest, and no line twice.
sub own ($request) {
    my %sent = %{ $request->{headers} };
    is $request->{version}, '1.1', 'the version';
    is_deeply { map { $_ => $sent{$_} } keys %common }, \%common, 'what all say';
    like $sent{authorization}, qr/^Api-Key \S+$/, 'the credential';
    delete @sent{ keys %common, qw(authorization x-data-logging-enabled x-client-request-id) };
    return \%sent;
}
