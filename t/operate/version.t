# The version that an operator sees is the newest one of CHANGELOG.md.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Example;
use CompletionAsync::Test;

my ($version) = CompletionAsync::Example::slurp("$FindBin::Bin/../../CHANGELOG.md")
    =~ /^## \[([0-9]+\.[0-9]+\.[0-9]+)\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$/m;
ok defined $version, 'the changelog has a release' or BAIL_OUT('no version');

for my $readme (qw(README.md README.ru.md)) {
    like CompletionAsync::Example::slurp("$FindBin::Bin/../../$readme"), qr/\b\Q$version\E; nginx/,
        "$readme names it";
}

my $t = CompletionAsync::Test->new;
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone yandex 1m; %%PROVIDER%% }
%%METRICS%%
server {
    listen 127.0.0.1:%%PORT%%;
    location / { return 200 "$completion_async_version"; }
}
EOC

sub notices () { scalar(() = $t->log =~ m{\[notice\] [^\n]* nginx-completion-async/\Q$version\E$}mg) }

is $t->request(GET => '/')->{body}, $version, 'the variable, wherever it is asked for';
is scalar(() = $t->metrics->matching('build_info', version => $version)), 1, 'the metric';
is notices(), 1, 'a notice at the start';
ok $t->reload(wait_old => 1), 'a reload';
is notices(), 1, '... brings no other code, and has none';
unlike +($t->nginx_t($t->read_file('nginx.conf')))[1], qr{completion-async/}, 'nor has nginx -t';
$t->done;
