use strict;
use warnings;
use v5.36;
use utf8;

# What nginx -t refuses, and what it warns of.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => 0);

my %file = map { $_->[0] => $t->write_file(@$_) } (
    [ 'good.key',      "AQVNgoodgoodgood\n", 0600 ],
    [ 'empty.key',     '',                   0600 ],
    [ 'newlines.key',  "\n\r\n",             0600 ],
    [ 'lines.key',     "AQVNone\nAQVNtwo\n", 0600 ],
    [ 'control.key',   "AQVN\x01\n",         0600 ],
    [ 'closed.key',    "AQVNclosed\n",       0000 ],
    [ 'open.key',      "AQVNopen\n",         0644 ],
    [ 'group.key',     "AQVNgroup\n",        0640 ],
    [ 'short.id',      'k' x 31,             0600 ],
    [ 'long.id',       'k' x 32,             0600 ],
    [ 'long2.id',      'm' x 32,             0600 ],
    [ 'open.id',       'n' x 32,             0644 ],
    [ 'good.json',     '{"type":"object"}'    ],
    [ 'broken.json',   '{"type":'             ],
    [ 'trailing.json', '{"type":"object"} x'  ],
    [ 'array.json',    '["type"]'             ],
    [ 'string.json',   '"type"'               ],
    [ 'empty.json',    ''                     ],
    [ 'deep.json',     '{"a":' x 62 . '{}' . '}' x 62 ],
    [ 'no.pem',        "not a certificate\n"  ],
);
mkdir $t->testdir . '/directory';
$file{directory} = $t->testdir . '/directory';
$file{missing}   = $t->testdir . '/missing';
$file{bundle}    = ($t->certificate('bundle'))[0];

my @CREDENTIALS = qw(api_key iam_token);
my $LITERAL     = 'AQVNliteral0secret0value';
my $PASSWORD    = 'hunter2hunter2';
$t->secret($LITERAL, $PASSWORD, 'AQVNone', 'AQVNtwo', 'AQVNgoodgoodgood');

my %part = (
    zone           => 'zone operations 1m;',
    folder         => 'folder b1gfolder;',
    credential     => "api_key file:$file{'good.key'};",
    submit_url     => 'submit_url http://127.0.0.1:1/submit;',
    operations_url => 'operations_url http://127.0.0.1:1/operations;',
);


# The block, with parts of it changed or left out (''); "also" is added. A line that an error
# may name ends in "#!": the first of the block, and those that were changed.
sub provider (%change) {
    my $name  = delete $change{name} // 'yandex';
    my $also  = delete $change{also} // [];
    my @lines = map { exists $change{$_} ? "$change{$_} #!" : $part{$_} } sort keys %part;

    return join "\n", "completion_async_provider $name { #!", @lines,
        map({ "$_ #!" } ref $also ? @$also : $also), '}', '';
}


sub server (@lines) { join "\n", 'server {', 'listen 127.0.0.1:%%PORT%%;', @lines, '}', '' }
sub location ($name, @lines) { server("location $name {", @lines, '}') }


sub submits (@lines) { location('/translate', 'completion_async yandex; #!', @lines) }


# One [emerg], at a marked line, that names the directive and says all of it.
sub refused ($name, $http, $directive, @says) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = $t->nginx_t($t->http_conf($http));
    my @emerg = grep { /\[emerg\]/ } split /\n/, $output;
    my ($file, $line) = ($emerg[0] // '') =~ m{ in (\S+):([0-9]+)$};
    my @source = split /\n/, $t->read_file('nginx_t.conf');
    my @marked = grep { $source[ $_ - 1 ] =~ /#!$/ } 1 .. @source;

    my @fault;
    push @fault, "exit status $status" if $status != 1;
    push @fault, scalar(@emerg) . ' [emerg]' if @emerg != 1;
    push @fault, 'no file and line' if !defined $line;
    push @fault, "at line $line: $source[ $line - 1 ], not at @marked"
        if defined $line && !grep { $_ == $line } @marked;
    push @fault, "file $file" if defined $file && $file !~ m{/nginx_t\.conf$};
    push @fault, "\"$directive\" is not named"
        if @emerg && index($emerg[0], $directive) < 0;
    push @fault, "is not known"
        if ($emerg[0] // "") =~ /unknown directive/ && !grep { "$_" =~ /unknown/ } @says;
    push @fault, map { "does not say $_" } grep { ($emerg[0] // '') !~ $_ } @says;
    push @fault, 'prints a secret' if grep { index($output, $_) >= 0 } $LITERAL, $PASSWORD;
    return ok(!@fault, $name) || diag(join "\n", @fault, $output);
}


sub accepted ($name, $http) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = $t->nginx_t($t->http_conf($http));
    is $status, 0, $name or diag($output);
    return $output;
}


accepted('the configuration that the others change', provider() . submits());


# Providers

refused('an unknown provider',
    provider() . location('/x', 'completion_async nowhere; #!'),
    'nowhere', qr/unknown provider/, qr/completion_async_provider nowhere/);
refused('an unknown provider of operations',
    provider() . location('/x/', 'completion_async_operations nowhere; #!'),
    'nowhere', qr/unknown provider/, qr/completion_async_provider nowhere/);
refused('no provider at all', location('/x', 'completion_async yandex; #!'),
    'yandex', qr/unknown provider/);

refused('a provider without a zone', provider(zone => ''), 'yandex', qr/"zone yandex \d+\w;"/);
refused('a provider without a credential', provider(credential => ''), 'yandex', qr/credential/,
    qr/"api_key file:PATH;?"/);
refused('an empty provider', 'completion_async_provider yandex { } #!', 'yandex');
refused('two credentials', provider(also => "iam_token file:$file{'good.key'};"), 'iam_token',
    qr/credential/);
refused('two providers of one name', provider() . provider(zone => 'zone other 1m;'),
    'completion_async_provider', qr/duplicate/, qr/yandex/);
refused('a provider whose name is no UTF-8', provider(name => "a\xff") . ' #!',
    'completion_async_provider', qr/UTF-8/);
refused('two providers in one zone', provider() . provider(name => 'second'), 'operations',
    qr/another provider/);
refused('an unknown directive in the block', provider(also => 'folders b1g;'), 'folders',
    qr/unknown directive/);
refused('a directive of nginx in the block', provider(also => 'keepalive_timeout 5s;'),
    'keepalive_timeout', qr/unknown directive/);

for my $case (
    [ folder          => '' ],
    [ folder          => 'a b' ],
    [ zone            => 'operations' ],
    [ data_logging    => 'on off' ],
    [ connect_timeout => '' ],
    [ poll_interval   => '1s' ],
    [ submit_queue    => '1 2s 3' ],
    [ poll_rate       => '1r/s 2r/s' ],
    [ id_key          => '' ],
) {
    my ($directive, $arguments) = @$case;
    my @part = $directive =~ /^(?:zone|folder)$/
        ? ($directive => "$directive $arguments;") : (also => "$directive $arguments;");
    refused("the arguments of $directive: \"$arguments\"", provider(@part), $directive,
        qr/number of arguments/);
}

my %once = (
    zone                => 'operations 1m',
    submit_url          => 'http://127.0.0.1:1/submit',
    operations_url      => 'http://127.0.0.1:1/operations',
    folder              => 'b1gfolder',
    api_key             => "file:$file{'good.key'}",
    id_key              => "file:$file{'long.id'}",
    data_logging        => 'off',
    tls_verify          => 'on',
    trusted_certificate => $file{bundle},
    proxy               => 'off',
    connect_timeout     => '5s',
    request_timeout     => '30s',
    max_response_size   => '4m',
    poll_interval       => '500ms 30s',
    submit_rate         => '10r/s',
    poll_rate           => '50r/s',
    submit_queue        => '10',
    deadline            => '24h',
    retention           => '24h',
);
for my $directive (sort keys %once) {
    refused("$directive twice", provider(
        $directive =~ /^(?:zone|folder|.*(?<!iam)_url)$/ ? (also => "$directive $once{$directive};")
            : $directive eq 'api_key' ? (also => "$directive $once{$directive};")
            : (also => [ ("$directive $once{$directive};") x 2 ])
    ), $directive, qr/duplicate/);
}
refused('metadata_token twice', provider(
    credential => 'metadata_token;', also => 'metadata_token;'), 'metadata_token', qr/duplicate/);
refused('iam_url twice', provider(
    also => [ ('iam_url http://127.0.0.1/tokens;') x 2 ]), 'iam_url', qr/duplicate/);
refused('iam_url without its key', provider(also => 'iam_url http://127.0.0.1/tokens;'), 'yandex',
    qr/iam_url.*service_account_key/);
refused('a second service_account_key', provider(
    also => "service_account_key file:$file{'good.key'};"), 'service_account_key', qr/credential/);
refused('a second metadata_token', provider(also => 'metadata_token;'), 'metadata_token',
    qr/credential/);
refused('a literal service_account_key', provider(credential => "service_account_key $LITERAL;"),
    'service_account_key', qr/file:PATH/);
refused('a service_account_key that is none', provider(
    credential => "service_account_key file:$file{'good.key'};"), 'service_account_key',
    qr/good\.key.* JSON/);
refused("metadata_token $_", provider(credential => "metadata_token $_;"), 'yandex',
    qr/"metadata_token".* URL/) for 'ftp://127.0.0.1/', 'http://', "http://u:$PASSWORD\@127.0.0.1/";
refused('metadata_token of two', provider(
    credential => 'metadata_token http://127.0.0.1/ x;'), 'metadata_token', qr/arguments/);

for my $size ('0', '1', '8k', '-1m', '1x', 'many', '""') {
    refused("zone size $size", provider(zone => "zone operations $size;"), 'operations', qr/size/);
}
for my $case (
    [ connect_timeout   => '0', 'soon', '-1s' ],
    [ request_timeout   => '0', 'soon', '-1s' ],
    [ max_response_size => '0', 'much', '-1' ],
    [ deadline          => '0', 'never', '-1h' ],
    [ retention         => '0', 'never', '-1h' ],
    [ poll_interval     => '0 1s', '2s 1s', 'x 1s', '1s x', '-1s 1s' ],
    [ submit_rate       => 'off 10r/s', '0r/s', '10', '10r/d', '1.5r/s', '-1r/s', 'r/s', '10r/s 0r/h' ],
    [ poll_rate         => '0r/s', '10', '10r/d', '1.5r/s', '-1r/s', 'r/s' ],
    [ submit_queue      => 'x', '-1', '1.5', '10 0', '10 x', '10 -1s' ],
    [ data_logging      => 'maybe' ],
    [ tls_verify        => 'maybe' ],
    [ folder            => '""', 'b1g/x', '"b1g x"', 'b1g:x' ],
) {
    my ($directive, @values) = @$case;
    for my $value (@values) {
        refused("$directive $value", provider(
            $directive eq 'folder' ? (folder => "folder $value;") : (also => "$directive $value;")
        ), $directive);
    }
}


# Secrets

for my $directive (@CREDENTIALS) {
    my $with = sub ($value) { provider(credential => "$directive $value;") };

    refused("a literal $directive", $with->($LITERAL), $directive, qr/file:PATH/);
    refused("a literal $directive in quotes", $with->("\"$LITERAL\""), $directive, qr/file:PATH/);
    refused("a literal $directive with a wrong scheme", $with->("data:$LITERAL"), $directive,
        qr/file:PATH/);
    refused("$directive file:", $with->('file:'), $directive, qr/file:PATH/);
    refused("$directive, missing", $with->("file:$file{missing}"), $file{missing});
    refused("$directive, empty", $with->("file:$file{'empty.key'}"), 'empty');
    refused("$directive, a directory", $with->("file:$file{directory}"), $file{directory});

    SKIP: {
        skip 'root reads everything', 1 if $> == 0;
        refused("$directive, unreadable", $with->("file:$file{'closed.key'}"), $file{'closed.key'});
    }
}
for my $directive (@CREDENTIALS) {
    my $with = sub ($name) { provider(credential => "$directive file:$file{$name};") };

    refused("$directive, line ends only", $with->('newlines.key'), $directive, qr/empty/);
    refused("$directive, two lines", $with->('lines.key'), $directive, qr/one line/);
    refused("$directive, a control character", $with->('control.key'), $directive);
}
refused('a literal id_key', provider(also => "id_key $LITERAL;"), 'id_key', qr/file:PATH/);
refused('a literal second id_key', provider(
    also => "id_key file:$file{'long.id'} $LITERAL;"), 'id_key', qr/file:PATH/);
refused('id_key, missing', provider(also => "id_key file:$file{missing};"), $file{missing});
refused('id_key, empty', provider(also => "id_key file:$file{'empty.key'};"), 'empty');
refused('id_key of 31 bytes', provider(also => "id_key file:$file{'short.id'};"), 'id_key',
    qr/\b32\b/);
refused('a second id_key of 31 bytes', provider(
    also => "id_key file:$file{'long.id'} file:$file{'short.id'};"), 'id_key', qr/\b32\b/);
accepted('id_keys of 32 bytes', provider(
    also => "id_key file:$file{'long.id'} file:$file{'long2.id'};"));


# URLs

my @bad_urls = (
    'ftp://127.0.0.1/', '127.0.0.1/x', '/x', '""', 'http://', 'https:///x', 'http://127.0.0.1:0/x',
    'http://127.0.0.1:65536/x', 'http://127.0.0.1:http/x', 'http://127.0.0.1/x?a=b',
    'http://127.0.0.1/x#y', '"http://127.0.0.1/x y"', 'http://[::1/x',
);
for my $directive (qw(submit_url operations_url)) {
    refused("$directive $_", provider($directive => "$directive $_;"), $directive) for @bad_urls;
    refused("$directive with credentials", provider(
        $directive => "$directive http://user:$PASSWORD\@127.0.0.1/x;"), $directive,
        qr/credentials/);
}
for my $url ('ftp://127.0.0.1', '127.0.0.1:3128', '""', 'http://', 'http://127.0.0.1:0', 'on') {
    refused("proxy $url", provider(also => "proxy $url;"), 'proxy');
}
refused('proxy with credentials', provider(
    also => "proxy http://user:$PASSWORD\@127.0.0.1:3128;"), 'proxy', qr/credentials/);

# A label of 64 characters is asked of no name server.
my $nowhere = ('n' x 64) . '.invalid';
for my $directive (qw(submit_url operations_url)) {
    refused("$directive with an unknown host", provider(
        $directive => "$directive http://$nowhere/x;"), $nowhere, qr/host not found/);
}
refused('proxy with an unknown host', provider(also => "proxy http://$nowhere:3128;"), $nowhere,
    qr/host not found/);
accepted('a host that a resolver will look up', 'resolver 127.0.0.1:1;' . provider(
    submit_url => "submit_url http://$nowhere/x;"));
refused('trusted_certificate, missing', provider(also => "trusted_certificate $file{missing};"),
    $file{missing});
refused('trusted_certificate, no PEM', provider(also => "trusted_certificate $file{'no.pem'};"),
    $file{'no.pem'});


# Locations

my $uri = 'completion_async_operations_uri /operations/;';
for my $case (
    [ 'an exact location'       => [ '= /translate' ] ],
    [ 'a regex location'        => [ '~ ^/translate' ] ],
    [ 'a caseless regex'        => [ '~* ^/translate' ] ],
    [ 'a named location'        => [ '@translate' ] ],
    [ 'an if block'             => [ '/translate', 'if ($arg_a) { #!', '}' ] ],
    [ 'an if block in an exact' => [ '= /translate', 'if ($arg_a) { #!', '}' ] ],
) {
    my ($name, $lines) = @$case;
    my ($where, $open, $close) = @$lines;
    my @with = ($where, $open // (), 'completion_async yandex; #!', $close // ());

    refused("completion_async in $name", provider() . location(@with),
        'completion_async_operations_uri', qr/needs/);
    accepted("completion_async in $name with its URI", provider() . location(
        $where, $uri, @with[ 1 .. $#with ]));
    accepted("completion_async in $name with the URI of its server", provider() . server(
        $uri, "location $where {", @with[ 1 .. $#with ], '}'));
}
# Clients cannot come to an internal location by its name.
for my $case ([ 1, 'internal;' ], [ 0, 'internal;', $uri ], [ 0 ]) {
    my ($warnings, @lines) = @$case;
    my $output = accepted("completion_async in a location with \"@lines\"",
        provider() . location('/inner', @lines, 'completion_async yandex; #!'));
    is scalar(grep { /\[warn\].*"\/inner" is internal.*completion_async_operations_uri.* in \S+:\d+$/ }
        split /\n/, $output), $warnings, "... $warnings warnings";
}
for my $where ('= /operations', '~ ^/operations/', '@operations') {
    refused("completion_async_operations in location $where", provider() . location(
        $where, 'completion_async_operations yandex; #!'), 'completion_async_operations',
        qr/prefix/);
}

for my $where ('', 'http', 'server') {
    my $model = 'completion_async_model yandexgpt-lite; #!';
    refused('a bare model without a folder' . ($where && ", from the $where"),
        provider(folder => '') . ($where eq 'http' ? "$model\n" : '')
            . server($where eq 'server' ? $model : (), 'location /translate {',
                'completion_async yandex; #!', $where ? () : $model, '}'),
        'yandexgpt-lite', qr/folder/, qr{gpt://});
}
accepted('a URI as model without a folder', provider(folder => '') . submits(
    'completion_async_model gpt://b1gother/yandexgpt-lite;'));

for my $case (
    [ temperature       => '-0.1', '1.1', '2', 'hot', '""', '0.5x', '0,5', '.', 'nan' ],
    [ max_tokens        => '0', '-1', '1.5', 'many', '""', '9' x 30 ],
    [ reasoning         => 'on', 'off', '""', 'enabled' ],
    [ message           => 'tool x', 'System x', '"" x', 'user' ],
    [ wait              => 'long', '-1s', '5s default=6s', '5s default=x', '5s default=', '5s 3s',
        '5s default=1s x', '""' ],
    [ intercept_errors  => 'maybe' ],
    [ idempotency       => 'x', '-1h', '""' ],
    [ cache             => '1h', '1h everybody', 'x shared', '-1s shared', '1h shared owner' ],
    [ operations_uri    => 'operations/', '""', 'ftp://host/', '"/a b/"', '/ä/', '/operations',
        'https://host', 'https://host/operations',
        "\"/a\r\nX: y/\"" ],
    [ owner             => '""' ],
    [ response_format   => "$file{missing}", "$file{'broken.json'}", "$file{'trailing.json'}",
        "$file{'array.json'}", "$file{'string.json'}", "$file{'empty.json'}", "$file{'deep.json'}",
        '""' ],
) {
    my ($directive, @values) = @$case;
    for my $value (@values) {
        my $shown = $value =~ s/([^ -~])/sprintf '\x%x', ord $1/ger;
        my @says = $directive eq 'response_format' ? ($value =~ m{^/} ? $value : $t->testdir)
            : ("completion_async_$directive");
        refused("completion_async_$directive $shown", provider() . submits(
            "completion_async_$directive $value; #!"), @says);
    }
}
refused("keys for $_", provider() . submits("completion_async_idempotency $_; #!"),
    'completion_async_idempotency', qr/\b72h\b/) for '259201', '73h', '100y';
refused('a message that is no UTF-8', provider() . submits(
    "completion_async_message system \"\xff\xfe\"; #!"), 'completion_async_message', qr/UTF-8/);

for my $name ('$completion_async_input_x', '${completion_async_input_x}',
    'a-$completion_async_input_x', '$Completion_Async_Input_X')
{
    refused("owner $name", provider() . submits("completion_async_owner \"$name\"; #!"),
        'completion_async_owner', qr/body/);
}
refused('cache for the owner, without an owner', provider() . submits(
    'completion_async_cache 1h owner; #!'), 'completion_async_owner', qr/completion_async_cache/);

for my $value ('', '0', '15', '3x', '3k max', '3k max=0', '3k max=-1', '3k 64', 'off max=3', 'max=3') {
    refused("completion_async_split $value", provider() . submits(
        "completion_async_split $value; #!"), 'completion_async_split',
        $value eq '' ? qr/arguments/ : qr/for example|above zero/);
}
refused('parts whose id would be too long', provider() . submits(
    'completion_async_split 3k max=158;'), 'completion_async_split', qr/3500/, qr/max=157/);

for my $line (
    'completion_async yandex;', 'completion_async_model gpt://a/b;',
    'completion_async_temperature 0.1;', 'completion_async_max_tokens 1;',
    'completion_async_reasoning disabled;', 'completion_async_response_format json;',
    'completion_async_owner $remote_user;', 'completion_async_wait 1s;',
    'completion_async_idempotency 1h;', 'completion_async_cache 1h shared;',
    'completion_async_split 3k;',
    'completion_async_operations_uri /o/;', 'completion_async_intercept_errors on;',
) {
    my ($directive) = $line =~ /^(\w+)/;
    refused("$directive twice in a location", provider() . location('/translate',
        'completion_async yandex;' x ($directive ne 'completion_async'), "$line #!", "$line #!"),
        $directive, qr/duplicate/);
}
refused('completion_async and completion_async_operations in a location', provider() . submits(
    'completion_async_operations yandex; #!'), 'completion_async_operations', qr/duplicate/);

for my $line ('completion_async yandex;', 'completion_async_operations yandex;') {
    my ($directive) = $line =~ /^(\w+)/;
    refused("$directive in a server", provider() . server("$line #!"), $directive,
        qr/not allowed here/);
    refused("$directive in http", provider() . "$line #!\n", $directive, qr/not allowed here/);
}
refused('completion_async_provider in a server', server(
    'completion_async_provider x { #!', '}'), 'completion_async_provider', qr/not allowed here/);


# Interfaces that translate

for my $handler (qw(completion_async_libretranslate completion_async_deepl)) {
    my %line = (
        handler => "$handler yandex; #!",
        languages => 'completion_async_languages en=English "en-US=American English" ru;',
        also => 'completion_async_model m;',
    );
    my $in = sub ($where, %change) {
        my %is = (%line, %change);
        return provider() . location($where, map { "$is{$_}" } sort keys %is);
    };
    my $wrong = sub ($name, $directive, $says, $where = '/x', %change) {
        refused("$handler: $name", $in->($where, %change), $directive, $says);
    };

    accepted($handler, $in->('/x'));
    $wrong->('an unknown provider', 'nowhere', qr/unknown provider/, '/x',
        handler => "$handler nowhere; #!");
    $wrong->('without languages', $handler, qr/"completion_async_languages/, '/x', languages => '');
    $wrong->("in location $_", $handler, qr/prefix location/, $_) for '= /x', '~ /x', '@x';
    $wrong->('twice', $handler, qr/duplicate/, '/x', handler => "$handler yandex; $handler yandex; #!");
    $wrong->('as a second handler', 'completion_async', qr/one handler in a location|duplicate/, '/x',
        also => "completion_async_model m; $_ yandex; #!")
        for qw(completion_async completion_async_openai completion_async_operations);
    $wrong->('beside a format', 'completion_async_response_format', qr/auto|language/, '/x',
        also => "completion_async_model m; completion_async_response_format $_; #!")
        for 'json', $file{'good.json'};

    for my $languages ('', '=English', 'en=', '"en="', 'en en', 'en EN=English', 'auto=Any', 'e$n', '"e n"',
        'en/ru', 'e' x 300)
    {
        refused("$handler, completion_async_languages $languages", $in->('/x',
            languages => "completion_async_languages $languages; #!"), 'language',
            $languages eq '' ? qr/arguments/ : qr/twice|a code|"auto=Any"/);
    }
    refused("$handler in a server", provider() . server("$handler yandex; #!"), $handler,
        qr/not allowed here/);
}


# Warnings and notices

sub notes ($output, $level) { grep { /\[$level\]/ } split /\n/, $output }

for my $case (
    [ 'api_key' => 'credential', 'open.key' ],
    [ 'iam_token' => 'credential', 'open.key' ],
    [ 'id_key' => 'also', 'open.id' ],
) {
    my ($directive, $part, $name) = @$case;
    my @warned = grep { /o-r|everybody|others/ } notes(accepted(
        "$directive that others may read is accepted",
        provider($part => "$directive file:$file{$name};")), 'warn');
    is @warned, 1, '... and warned of, once';
    like $warned[0] // '', qr/\Q$file{$name}\E.* in \S+:[0-9]+$/,
        '... with its name, file and line';
}
is_deeply [ grep { /o-r|everybody|others/ } notes(accepted('a group may read',
    provider(credential => "api_key file:$file{'group.key'};")), 'warn') ], [],
    '... without a warning';

my @notices = grep { /id_key/ } notes(accepted('no id_key', provider()), 'notice');
is @notices, 1, '... is a notice';
like $notices[0] // '', qr/yandex.*restart/, '... that says what follows';
is_deeply [ grep { /id_key/ } notes(accepted('an id_key',
    provider(also => "id_key file:$file{'long.id'};")), 'notice') ], [], '... is none';


# Reloads: what is stored keeps its meaning, or the old configuration goes on.

sub block (%change) {
    my %is = (zone => 'operations 1m', folder => '%%FOLDER%%', operations_url => '/operations',
        also => '', %change);
    return <<~"EOC";
        completion_async_provider yandex {
            zone           $is{zone};
            folder         $is{folder};
            api_key        file:%%API_KEY_FILE%%;
            submit_url     %%UPSTREAM%%/foundationModels/v1/completionAsync;
            operations_url %%UPSTREAM%%$is{operations_url};
            $is{also}
        }
        server {
            listen 127.0.0.1:%%PORT%%;
            location /translate {
                completion_async       yandex;
                completion_async_model yandexgpt-lite;
            }
        }
        EOC
}


sub notices ($r, $pattern) { scalar grep { /\[notice\]/ && /$pattern/ } split /\n/, $r->log }

subtest 'reloads' => sub {
    my $r = CompletionAsync::Test->new(emulator => { delay => 0.05 });
    $r->run($r->http_conf(block()));
    is notices($r, qr/yandex.*id_key/), 1, 'the start logs a notice of the missing id_key';

    my $submitted = $r->request(POST => '/translate', body => 'kept');
    is $submitted->{status}, 202, 'submitted';
    my $location = $submitted->header('Location');
    my $first = $r->poll_until_done($location);
    ok $first->json->{done}, '... and done';

    my @workers = $r->worker_pids;
    my $another = qr/"operations".*another zone name/;
    for my $case (
        [ folder         => 'b1gotherfolder', $another ],
        [ operations_url => '/v2/operations', $another ],
    ) {
        my ($directive, $value, $says) = @$case;
        $r->conf($r->http_conf(block($directive => $value)));
        my @emerg = $r->reload_refused;

        is @emerg, 1, "a reload with $value is refused";
        like $emerg[0] // '', $says, '... and says what to do';
        is_deeply [ $r->worker_pids ], \@workers, '... the old workers go on';
        is $r->request(GET => $location)->{body}, $first->{body}, '... and know what they knew';
        is $r->request(POST => '/translate', body => $directive)->{status}, 202,
            '... and submit as before';
    }

    $r->conf($r->http_conf(block(also => 'poll_rate 40r/s; submit_rate 10r/s; retention 1h;')));
    ok $r->reload, 'a reload that changes something else is not';
    is $r->request(GET => $location)->{body}, $first->{body}, '... and the operation is known';
    is notices($r, qr/operations.*size/), 0, '... without a notice of a changed size';

    $r->conf($r->http_conf(block(zone => 'operations 2m')));
    ok $r->reload, 'a reload may change the size of the zone';
    is notices($r, qr/operations.*size/), 1, '... with a notice that it starts empty';
    is $r->poll_until_done($location)->{body}, $first->{body}, '... and the id is adopted';

    $r->conf($r->http_conf(block(zone => 'others 1m', operations_url => '/v2/operations')));
    ok $r->reload, 'another zone name goes with another operations_url';
    $r->done;
};
$t->done;
