# 20,000 bodies of OpenAI's interface, made of valid ones and of nothing: each is refused with a 4xx of
# the one shape, or accepted. "prove t/openai/broken.t :: SEED BODIES" has others.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use Mojo::JSON qw(decode_json);
use Test::More;
use CompletionAsync::Example;
use CompletionAsync::Test;

my ($seed, $count) = (shift // 22, shift // 20_000);

# The other end answers at once, so that most of the time is the interface's.
my $text     = '"message":{"role":"assistant","text":"Rain"},"status":"ALTERNATIVE_STATUS_FINAL"';
my $usage    = '"usage":{"inputTextTokens":"3","completionTokens":"1","totalTokens":"4"}';
my $answer   = '"done":true,"response":{"alternatives":[{' . "$text}],$usage," . '"modelVersion":"1"}';
my $upstream = "{\"id\":\"\$id\",$answer}";

my $t = CompletionAsync::Test->new(emulator => 0, timeout => 600);

$t->run($t->http_conf(<<"EOC"));
map \$request_id \$id { "~^(?<short>.{20})" \$short; }
completion_async_provider yandex {
    zone            operations 4m;
    folder          %%FOLDER%%;
    api_key         file:%%API_KEY_FILE%%;
    submit_url      http://127.0.0.1:%%PORT%%/upstream;
    operations_url  http://127.0.0.1:%%PORT%%/operations;
}
completion_async_model yandexgpt-lite;
keepalive_requests 1000000;
error_log %%TESTDIR%%/error.log notice;
server {
    listen 127.0.0.1:%%PORT%%;
    location /upstream { return 200 '$upstream'; }
    location /v1       { completion_async_openai yandex; completion_async_owner \$http_host; }
}
EOC

my @workers = $t->worker_pids;
my %path    = (c => '/v1/chat/completions', r => '/v1/responses');
my @valid   = map { CompletionAsync::Example::slurp($_) }
    sort glob "$FindBin::Bin/../fuzz/corpus/openai/*";
my @words   = grep { /^"/ } map { tokens($_) } @valid;
my @odd     = (qw(null true false 0 -1 1 2 0.5 1e400 -0 99999999999999999999 "" [] {} [[]] [null]),
    '"\u0000"', '"\ud800"', '"\ud83d\ude00"', "\"\xff\"", "\"\xd0\xbf\"", '"x', '{"a":1,"a":2}',
    '"' . 'x' x 5000 . '"', '[' x 200, '{"a":' x 200, '[' . '0,' x 500 . '0]', '//', "\0", "\n");


# Strings, with their quotes, numbers, words, and each other character.
sub tokens ($json) {
    return $json =~ /("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[a-z]+|.)/gs;
}


sub one_of (@list) { $list[ rand @list ] }


# Where the value ends that begins there.
sub value_end ($tokens, $at) {
    my $depth = 0;
    for my $i ($at .. $#$tokens) {
        $depth += $tokens->[$i] =~ /^[\[{]$/ ? 1 : $tokens->[$i] =~ /^[\]}]$/ ? -1 : 0;
        return $i if $depth <= 0;
    }
    return $#$tokens;
}


# Letters, escapes and halves of both, for within a string.
my @letters = ('x', ' ', '\\n', '\\"', '\\u0000', '\\u0416', '\\ud83d\\ude00', '\\ud83d', '\\x', "\xd0\xb6",
    "\xd0", "\n");

my @tokens = (
    (sub ($t, $at) { splice @$t, $at, 0, one_of(' ', "\t", "\r\n") }) x 2,
    (sub ($t, $at) { $t->[$at] =~ s/^"/'"' . one_of(@letters)/e }) x 4,
    sub ($t, $at) { splice @$t, $at, 1 },
    sub ($t, $at) { splice @$t, $at, 0, $t->[$at] },
    sub ($t, $at) { $t->[$at] = one_of(@words, @odd) },
    sub ($t, $at) { splice @$t, $at, 0, one_of(@words, @odd) },
    sub ($t, $at) { my $to = int rand @$t; @$t[ $at, $to ] = @$t[ $to, $at ] },
    sub ($t, $at) { splice @$t, $at, value_end($t, $at) - $at + 1, one_of(@words, @odd) },
    sub ($t, $at) { splice @$t, $at, value_end($t, $at) - $at + 1 },
    sub ($t, $at) { splice @$t, int rand @$t, 0, @$t[ $at .. value_end($t, $at) ] },
    sub ($t, $at) { splice @$t, 1, 0, one_of(@words), ':', one_of(@words, @odd), ',' },
);

my @bytes = (
    sub ($at, $body) { substr($$body, $at, 1) = chr int rand 256 },
    sub ($at, $body) { substr($$body, $at, 0) = chr int rand 256 },
    sub ($at, $body) { substr($$body, $at) = '' },
    sub ($at, $body) { substr($$body, $at, 1 + rand 8) = '' },
    sub ($at, $body) { $$body .= substr $$body, $at },
    sub ($at, $body) { substr($$body, $at, 1) = one_of(split //, "{}[]:,\"\\0ue\n ") },
);


# A body, behind the letter that says of what.
sub body () {
    my $kind = rand;
    return one_of(qw(c r)) . join '', map { chr int rand 256 } 0 .. rand 200 if $kind < 0.02;
    return one_of(qw(c r)) . join '', map { one_of(@words, @odd, split //, '{}[]:,') } 0 .. rand 30
        if $kind < 0.05;

    my ($what, $body) = one_of(@valid) =~ /^(.)(.*)/s;
    for (1 .. 1 + 3 * rand() ** 2) {
        my @in = tokens($body);
        if ($kind < 0.75 && @in) {
            one_of(@tokens)->(\@in, int rand @in);
            $body = join '', @in;

        } elsif (length $body) {
            one_of(@bytes)->(int rand length $body, \$body);
        }
    }
    return "$what$body";
}


my $client;


# [status, the head, the body]
sub post ($path, $body) {
    $client //= IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port)
        // die "connect: $!\n";

    my $request = "POST $path HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    syswrite($client, $request) == length $request or die "write: $!\n";

    my ($got, $head, $rest) = ('');
    until ($head) {
        sysread $client, $got, 65536, length $got or return [ 0, $got, '' ];
        ($head, $rest) = $got =~ /\A(.*?\r\n)\r\n(.*)\z/s;
    }
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    while (defined $length ? length $rest < $length : $rest !~ /(?:\A|\r\n)0\r\n\r\n\z/) {
        sysread $client, $rest, 65536, length $rest or return [ 0, $head, $rest ];
    }
    undef $client if $head =~ /^Connection: close/mi;
    $rest =~ s/\r\n(?:0\r\n\r\n\z|[0-9a-f]+\r\n)|\A[0-9a-f]+\r\n//g if !defined $length;
    return [ $head =~ /^HTTP\/1.1 (\d+)/, $head, $rest ];
}


# What is wrong with an answer, or nothing.
sub wrong ($what, $status, $head, $body) {
    my ($type) = $head =~ /^Content-Type: (.*)\r$/mi;
    return 'no X-Request-Id' if $head !~ /^X-Request-Id: [0-9a-f]{32}\r$/mi;

    if ($status == 200 && $type eq 'text/event-stream') {
        return 'a stream without its end'
            if $body !~ ($what eq 'c' ? qr/^data: \[DONE\]\n\n\z/m : qr/^event: response\.completed$/m);
        for ($body =~ /^data: (\{.*)$/mg) {
            return "an event: $_" if !eval { decode_json($_) };
        }
        return;
    }

    my $json = $type eq 'application/json' && eval { decode_json($body) };
    return 'no JSON' if ref $json ne 'HASH';

    if ($status == 200) {
        return $json->{object} eq ($what eq 'c' ? 'chat.completion' : 'response') ? undef : 'object';
    }

    my $e = $json->{error};
    return 'status' if $status < 400 || $status > 499;
    return 'shape' if keys %$json != 1 || ref $e ne 'HASH'
        || "@{[ sort keys %$e ]}" ne 'code message param type';
    return 'members' if grep { !defined || ref || !length } @$e{qw(code message type)};
    return 'param' if defined $e->{param} && (ref $e->{param} || !length $e->{param});
    return 'type' if $e->{type} ne 'invalid_request_error';
    return 'x-should-retry' if $head !~ /^x-should-retry: false\r$/mi;
    return;
}


srand $seed;
diag("seed $seed, $count bodies");

my (%status, @wrong);
for my $n (1 .. $count) {
    my ($what, $body) = body() =~ /^(.)(.*)/s;
    my $got   = post($path{$what}, $body);
    my $fault = wrong($what, @$got);

    $status{ $got->[0] }++;
    next if !defined $fault;
    push @wrong, "$n, $fault: $what " . substr($body, 0, 500) . "\n$got->[1]" . substr($got->[2], 0, 500);
    last if @wrong == 3;
}

is_deeply \@wrong, [], 'each is accepted, or refused in the one shape' or diag join "\n\n", @wrong;
note join ', ', map { "$_: $status{$_}" } sort keys %status;
cmp_ok $status{200} // 0, '>', $count / 20, 'some of them are accepted';
cmp_ok $status{400} // 0, '>', $count / 2, 'most are refused';
is_deeply [ $t->worker_pids ], \@workers, 'by workers that live';
is post($path{c}, substr CompletionAsync::Example::slurp("$FindBin::Bin/../fuzz/corpus/openai/chat"), 1)
    ->[0], 200, 'and go on';
undef $client;
$t->done;
