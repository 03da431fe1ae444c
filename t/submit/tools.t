use strict;
use warnings;
use v5.36;
use utf8;

# Functions: what a client may offer upstream to call, what it gets when they are to be called, and
# how it goes on.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use CompletionAsync::Metrics;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Test->new(emulator => { delay => 0 });

$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone yandex 4m; %%PROVIDER%% poll_interval 50ms 100ms; }

log_format state "$uri $completion_async_state $completion_async_reasoning_tokens";
error_page 422 =299 /instead;

server {
    listen 127.0.0.1:%%PORT%%;
    access_log %%TESTDIR%%/state.log state;
    completion_async_model yandexgpt-lite;

    location /ask     { completion_async yandex; }
    location /cached  { completion_async yandex; completion_async_cache 1h shared; }
    location /page    { completion_async yandex; completion_async_intercept_errors on; }
    location /instead { return 200 "instead\n"; }
    location /metrics { completion_async_metrics; }
}
EOC

my @TOOLS = map { { function => { name => $_, description => "of $_",
    parameters => { type => 'object' }, strict => Mojo::JSON->true } } } qw(weather time);

sub ask ($path, $request, %header) {
    return $t->request(POST => $path, body => encode_json($request),
        headers => { 'Content-Type' => 'application/json', %header });
}

sub user ($text) { { role => 'user', text => $text } }

sub as_text ($location) { $t->request(GET => $location, headers => { Accept => 'text/plain' }) }

sub logged ($uri) {
    my $line;
    wait_until(sub { ($line) = $t->read_file('state.log') =~ /^\Q$uri\E (?!pending)(.*)$/m });
    return $line;
}


subtest 'a turn with tools' => sub {
    my @turn = user('How is it there? [outcome=tool_calls:2]');
    my $r = ask('/ask', { messages => \@turn, tools => \@TOOLS,
        toolChoice => { mode => 'AUTO' }, parallelToolCalls => Mojo::JSON->true });
    is $r->{status}, 202, 'is accepted';

    my $location = $r->header('Location');
    my $alternative = $t->poll_until_done($location)->json->{response}{alternatives}[0];
    is $alternative->{status}, 'ALTERNATIVE_STATUS_TOOL_CALLS', 'functions are to be called';
    my $calls = $alternative->{message}{toolCallList};
    is_deeply [ map { $_->{functionCall}{name} } @{ $calls->{toolCalls} } ], [qw(weather time)],
        'these, with everything that upstream said';
    is_deeply $calls->{toolCalls}[0]{functionCall}{arguments}, { city => 'Москва' },
        'and their arguments';
    is logged($location), 'tool_calls -', 'a state of its own';

    $r = as_text($location);
    is $r->{status}, 422, 'a text there is none';
    like $r->header('Content-Type'), qr{^text/plain}, '... says a text';
    like $r->{body}, qr/^tool_calls: .+\n$/, '... by the code';
    is $r->header('x-should-retry'), 'false', '... and a repeat would not help';

    push @turn, { role => 'assistant', tool_call_list => $calls },
        { role => 'user', tool_result_list => { tool_results => [ map { {
            function_result => { name => $_, content => "$_ is fine" } } } qw(weather time) ] } };
    $r = ask('/ask', { messages => \@turn, tools => \@TOOLS });
    $r = $t->poll_until_done($r->header('Location'));
    is $r->json->{response}{alternatives}[0]{message}{text},
        'echo: weather is fine time is fine', 'what they came to is answered with a text';
    is_deeply [ map { [ sort keys %$_ ] } @{ ($t->emulator->submits)[-1]{json}{messages} } ],
        [ [qw(role text)], [qw(role toolCallList)], [qw(role toolResultList)] ],
        '... and was told in one spelling';
};


subtest 'as a text at once' => sub {
    my $r = ask('/ask', { messages => [ user('a [outcome=tool_calls]') ], tools => \@TOOLS,
        tool_choice => { function_name => 'time' } },
        Accept => 'text/plain', Prefer => 'wait=20');
    is $r->{status}, 422, 'none here either';
    like $r->{body}, qr/^tool_calls: /, '... which is told';
    my $json = $t->request(GET => $r->header('Location'))->json;
    is $json->{response}{alternatives}[0]{message}{toolCallList}{toolCalls}[0]{functionCall}{name},
        'time', 'its Location leads to the calls';

    $r = $t->request(POST => '/page', body => 'a [outcome=tool_calls]',
        headers => { Accept => 'text/plain', Prefer => 'wait=20' });
    is_deeply [ @$r{qw(status body)} ], [ 299, "instead\n" ], 'error_page takes it';
};


subtest 'equal requests' => sub {
    my $r = $t->request(POST => '/cached', body => 'b [outcome=tool_calls]');
    $t->poll_until_done($r->header('Location'));
    my $again = $t->request(POST => '/cached', body => 'b [outcome=tool_calls]');
    is $again->header('Location'), $r->header('Location'), 'share calls as they share texts';
};


subtest 'what is counted' => sub {
    my $metrics = CompletionAsync::Metrics->scrape($t, '/metrics');
    is $metrics->sum('operations_finished_total', state => 'tool_calls'), 4, 'ends';
    is $metrics->sum('operations_finished_total', state => 'completed'), 1, '... beside the others';
    is $metrics->sum('operations', state => 'tool_calls'), 4, 'operations by their state';
    is $metrics->sum('operation_duration_seconds_count'), 5, 'durations';
};


subtest 'tokens of reasoning' => sub {
    my $r = $t->request(POST => '/ask', body => 'c [outcome=reasoning]');
    my $location = $r->header('Location');
    $t->poll_until_done($location);
    is logged($location), 'completed 7', 'stand in their variable';
};


$t->done;
