# The programs in the documentation of npm's openai that generate text, as they stand there: told by the
# SDK's own variables of the environment where to go, and with which key.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Example;
use CompletionAsync::Test;

my $package = "$FindBin::Bin/../../build/clients/node_modules/openai";

if (!-e "$package/README.md") {
    fail 'npm\'s openai is there: run "make deps"';
    done_testing;
    exit;
}

my $t = CompletionAsync::Test->new(emulator => { delay => 0.1 });

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 4m; %%PROVIDER%% poll_interval 50ms 1s; }
server {
    listen 127.0.0.1:%%PORT%%;
    location /v1 {
        completion_async_openai  yandex;
        completion_async_model   yandexgpt-lite;
        completion_async_owner   $completion_async_client_key;
    }
}
EOC

my @programs = grep { /\.responses\.create|\.chat\.completions/ }
    grep { !/Azure|fetch|logger|fineTuning|undocumented|\@ts-|webhook/ }
    CompletionAsync::Example::slurp("$package/README.md") =~ /^```(?:ts|js)\n(.*?)^```$/msg;
cmp_ok scalar @programs, '>=', 6, 'there are programs';

local @ENV{qw(OPENAI_BASE_URL OPENAI_API_KEY)} = ('http://127.0.0.1:' . $t->port . '/v1', 'a key');

my $n = 0;
for my $program (@programs) {
    my ($does) = $program =~ /^(.*(?:responses|completions).*)$/m;

    # parts of one go on with what an earlier one has
    my $head = $program =~ /^import OpenAI/m ? '' : "import OpenAI from 'openai';\n";
    $head .= "const client = new OpenAI();\n" if $program !~ /^const client/m;
    $head .= "const openai = new OpenAI();\n" if $program =~ /await openai\./;

    my $since = $t->emulator->submits;
    my $file  = $t->write_file('program-' . $n++ . '.mjs',
        ($head . $program) =~ s{'openai'}{'$package/index.mjs'}gr);
    my $said = qx(node '$file' 2>&1);
    is $?, 0, $does =~ s/^\s+|\s+$//gr or diag($said);
    cmp_ok $t->emulator->submits - $since, '>=', 1, '... generated a text';
    unlike $said, qr/undefined/, '... and found all that it looks at';
}

$t->done;
