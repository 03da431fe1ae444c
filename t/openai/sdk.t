# npm's openai with nothing but its base URL and key changed: Responses, chats, models, errors.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::JSON ();
use Test::More;
use CompletionAsync::Sdk;
use CompletionAsync::Test;

my $t = CompletionAsync::Test->new(emulator => { delay => 0.3 });
my $e = $t->emulator;

$t->define(map { uc "hash_$_" => sha256_hex("key-of-$_") } qw(alice boris));
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone operations 4m; %%PROVIDER%% poll_interval 50ms 1s; }
map_hash_bucket_size 128;
map $completion_async_client_key $owner {
    default         "";
    %%HASH_ALICE%%  alice;
    %%HASH_BORIS%%  boris;
}
server {
    listen 127.0.0.1:%%PORT%%;
    location /v1 {
        completion_async_openai  yandex;
        completion_async_models  yandexgpt-lite gpt-4o-mini=yandexgpt/latest;
        completion_async_owner   $owner;
        completion_async_wait    20s;
    }
    location /translate {
        completion_async         yandex;
        completion_async_model   yandexgpt-lite;
        completion_async_owner   $owner;
    }
}
EOC

my $sdk = CompletionAsync::Sdk->new(baseURL => 'http://127.0.0.1:' . $t->port . '/v1',
    apiKey => 'key-of-alice');

if (!$sdk) {
    fail 'npm\'s openai is there: run "make deps"';
    $t->done;
    exit;
}

my @asked = (model => 'yandexgpt-lite');
my %boris = (client => { apiKey => 'key-of-boris' });
my $hamlet = 'To be, or not to be: that is the question.';


sub error_is ($r, $class, %expected) {
    my $name = join ' ', $class, map { $expected{$_} // 'null' } qw(code param);
    my $error = $r->{error};
    is $error->{class}, $class, $name or return diag explain $r;
    is_deeply { map { $_ => $error->{$_} } keys %expected }, \%expected, '... its members';
    ok length $error->{message}, '... says why';
    like $error->{requestID}, qr/^[0-9a-f]{32}$/, '... and of which request';
}


subtest 'create and wait' => sub {
    my $r = $sdk->call('responses.create', { @asked, input => $hamlet,
        instructions => 'Переведи текст', metadata => { from => 'en' } });
    my $v = $r->{value};
    like $v->{id}, qr/^resp_[\w-]+$/, 'an id';
    is $v->{status}, 'completed', 'completed';
    is $v->{output_text}, 'Быть или не быть: вот в чём вопрос.', 'the text';
    is $v->{model}, 'yandexgpt-lite', 'the model asked for';
    is_deeply $v->{metadata}, { from => 'en' }, 'the metadata';
    is $v->{usage}{total_tokens}, $v->{usage}{input_tokens} + $v->{usage}{output_tokens},
        'the usage adds up';
    like $v->{created_at}, qr/^[1-9][0-9]{9}$/, 'created, in seconds';
    is_deeply [ map { "$_->{role}: $_->{text}" } @{ $e->sent->{messages} } ],
        [ 'system: Переведи текст', "user: $hamlet" ], 'what went upstream';
    is $e->sent->{modelUri}, 'gpt://' . $t->folder . '/yandexgpt-lite', '... and the model';

    my $again = $sdk->call('responses.retrieve', $v->{id})->{value};
    is $again->{output_text}, $v->{output_text}, 'retrieved';
    is_deeply $again->{metadata}, {}, 'without what is not kept';
    is $again->{output}[0]{id}, $v->{output}[0]{id}, 'the item has the same id';
};

subtest 'in the background' => sub {
    my $r = $sdk->call('responses.create', { @asked, input => '[delay=1] slowly',
        background => \1 });
    my $v = $r->{value};
    is $v->{status}, 'queued', 'queued';
    is $v->{output_text}, '', 'nothing yet';
    cmp_ok $v->{poll_after}, '>', 0, 'when to ask again';

    my $now = $sdk->call('responses.retrieve', $v->{id})->{value};
    is $now->{status}, 'in_progress', 'in progress';

    my $end;
    CompletionAsync::Test::wait_until(sub {
        $end = $sdk->call('responses.retrieve', $v->{id})->{value};
        return $end->{status} eq 'completed';
    }, 10, 0.1);
    is $end->{output_text}, 'echo: [delay=1] slowly', 'the end';
    is $end->{created_at}, $v->{created_at}, 'created at the same time';
    is $end->{poll_after}, undef, 'nothing to wait for';
};

subtest 'cancel' => sub {
    my $v = $sdk->call('responses.create', { @asked, input => '[delay=60] a', background => \1 })
        ->{value};
    is $sdk->call('responses.cancel', $v->{id})->{value}{status}, 'cancelled', "cancelled, $_"
        for 1, 2;
    is $sdk->call('responses.retrieve', $v->{id})->{value}{status}, 'cancelled', 'for good';
};

subtest 'delete' => sub {
    for my $delay (0, 60) {
        my $v = $sdk->call('responses.create', { @asked, input => "[delay=$delay] d",
            background => \1 })->{value};
        my $id = $v->{id};
        error_is($sdk->start('responses.delete', [$id], %boris)->(), 'NotFoundError',
            status => 404, code => 'operation_not_found');
        my $r = $sdk->call('responses.delete', $id);
        ok !$r->{error}, 'deleted';
        error_is($sdk->call("responses.$_", $id), 'NotFoundError', status => 404,
            code => 'operation_not_found', param => undef, type => 'invalid_request_error')
            for qw(retrieve cancel delete);
    }
};

subtest 'streams' => sub {
    my @script = map { "response.$_" } qw(created queued in_progress output_item.added
        content_part.added output_text.delta output_text.done content_part.done
        output_item.done completed);
    my $r = $sdk->call('responses.create', { @asked, input => $hamlet, stream => \1,
        instructions => 'Переведи' });
    my @events = @{ $r->{value} // diag explain $r };
    is_deeply [ map { $_->{type} } @events ], \@script, 'the script';
    is_deeply [ map { $_->{sequence_number} } @events ], [ 0 .. 9 ], '... numbered';
    is $events[5]{delta}, 'Быть или не быть: вот в чём вопрос.', '... the text';
    my $id = $events[0]{response}{id};

    for my $after (0, 4, 8) {
        my $rest = $sdk->call('responses.retrieve', $id, { stream => \1,
            starting_after => $after });
        is_deeply [ map { $_->{sequence_number} } @{ $rest->{value} } ], [ $after + 1 .. 9 ],
            "behind $after";
    }
    $r = $sdk->call('responses.stream', { @asked, input => $hamlet,
        instructions => 'Переведи' });
    is $r->{value}{final}{output}[0]{content}[0]{text}, 'Быть или не быть: вот в чём вопрос.', 'the helper';
    $r = $sdk->call('responses.stream', { response_id => $id });
    is $r->{value}{final}{output}[0]{content}[0]{text}, 'Быть или не быть: вот в чём вопрос.',
        '... of one that there is';
};

subtest 'chats' => sub {
    my @messages = (messages => [ { role => 'developer', content => 'Переведи' },
        { role => 'user', content => [ { type => 'text', text => $hamlet } ] } ]);
    my $r = $sdk->call('chat.completions.create', { model => 'gpt-4o-mini', @messages });
    my $v = $r->{value} // diag explain $r;
    like $v->{id}, qr/^chatcmpl-/, 'an id';
    is $v->{choices}[0]{message}{content}, 'Быть или не быть: вот в чём вопрос.', 'the text';
    is $v->{choices}[0]{finish_reason}, 'stop', 'the reason';
    is $e->sent->{modelUri}, 'gpt://' . $t->folder . '/yandexgpt/latest', 'the model';

    $r = $sdk->call('chat.completions.create', { model => 'gpt-4o-mini', @messages,
        stream => \1, stream_options => { include_usage => \1 } });
    my @chunks = @{ $r->{value} // diag explain $r };
    is join('', map { $_->{delta}{content} // '' } map { @{ $_->{choices} } } @chunks),
        'Быть или не быть: вот в чём вопрос.', 'the stream';
    is $chunks[-2]{choices}[0]{finish_reason}, 'stop', '... its end';
    is_deeply $chunks[-1]{choices}, [], '... and the usage' or diag explain \@chunks;
    ok $chunks[-1]{usage}{total_tokens}, '... behind it';

    $r = $sdk->call('chat.completions.stream', { model => 'gpt-4o-mini', @messages });
    is $r->{value}{final}{choices}[0]{message}{content}, 'Быть или не быть: вот в чём вопрос.',
        'the helper';

    $r = $sdk->call('chat.completions.create', { @asked, messages => [ { role => 'user',
        content => '[outcome=failed:13:broken] x' } ] });
    error_is($r, 'APIError', status => 424, code => 'operation_failed');
    is $r->{requests}, 1, '... not repeated';
};

subtest 'tools' => sub {
    my %tool = (name => 'weather', description => 'Weather in a city', parameters => {
        type => 'object', properties => { city => { type => 'string' } } });
    my @tools = (tools => [ { type => 'function', %tool } ], tool_choice => 'required');
    my $said = { role => 'user', content => '[outcome=tool_calls] Weather?' };

    my $v = $sdk->call('responses.create', { @asked, input => [$said], @tools })->{value};
    is $v->{status}, 'completed', 'completed';
    my $call = $v->{output}[0];
    is $call->{type}, 'function_call', 'a call';
    is $call->{name}, 'weather', '... its name';
    like $call->{arguments}, qr/^\{"city":/, '... its arguments';
    is_deeply $e->sent->{tools}, [ { function => \%tool } ], 'the tool upstream';
    is_deeply $e->sent->{toolChoice}, { mode => 'REQUIRED' }, '... and that it is to be used';

    $v = $sdk->call('responses.create', { @asked, input => [ $said, @{ $v->{output} },
        { type => 'function_call_output', call_id => $call->{call_id}, output => 'Rain' },
        { role => 'user', content => 'And?' } ], @tools })->{value};
    is $v->{output_text}, 'echo: And?', 'the round trip';
    is_deeply $e->sent->{messages}[2], { role => 'assistant', toolResultList => { toolResults => [
        { functionResult => { name => 'weather', content => 'Rain' } } ] } }, 'the result upstream';

    my %chat = (tools => [ { type => 'function', function => \%tool } ]);
    my $r = $sdk->call('chat.completions.create', { @asked, messages => [$said], %chat });
    my $choice = $r->{value}{choices}[0];
    is $choice->{finish_reason}, 'tool_calls', 'a chat calls';
    $call = $choice->{message}{tool_calls}[0];
    is $call->{function}{name}, 'weather', '... by name';
    $r = $sdk->call('chat.completions.create', { @asked, %chat, messages => [ $said,
        $choice->{message}, { role => 'tool', tool_call_id => $call->{id}, content => 'Rain' },
        { role => 'user', content => 'And?' } ] });
    is $r->{value}{choices}[0]{message}{content}, 'echo: And?', '... and back'
        or diag explain $r;
};

subtest 'calls in streams' => sub {
    my %tool = (name => 'weather', parameters => { type => 'object' });
    my @said = ({ role => 'user', content => '[outcome=tool_calls:2] Weather?' });
    my @ask  = (@asked, input => \@said, tools => [ { type => 'function', %tool } ]);
    my @item = map { "response.$_" } qw(output_item.added function_call_arguments.delta
        function_call_arguments.done output_item.done);
    my @script = ((map { "response.$_" } qw(created queued in_progress)), @item, @item,
        'response.completed');

    my @events = @{ $sdk->call('responses.create', { @ask, stream => \1 })->{value} };
    is_deeply [ map { $_->{type} } @events ], \@script, 'the script of two calls';
    is_deeply [ map { $_->{sequence_number} } @events ], [ 0 .. $#script ], '... numbered';
    my @calls = map { $_->{item} } grep { $_->{type} eq 'response.output_item.done' } @events;
    is_deeply $events[-1]{response}{output}, \@calls, '... which the Response has';
    is_deeply [ map { $_->{delta} } grep { $_->{type} =~ /arguments.delta$/ } @events ],
        [ map { $_->{arguments} } @calls ], '... with their arguments';
    my $id = $events[0]{response}{id};

    @events = @{ $sdk->call('responses.retrieve', $id, { stream => \1 })->{value} };
    for my $after (3, 6, 10) {
        my $rest = $sdk->call('responses.retrieve', $id, { stream => \1, starting_after => $after });
        is_deeply $rest->{value}, [ @events[ $after + 1 .. $#events ] ], "the same behind $after";
    }
    my $final = $sdk->call('responses.stream', { @ask })->{value}{final};
    is_deeply [ map { $_->{name} } @{ $final->{output} } ], [qw(weather weather)], 'the helper';

    my %chat = (@asked, messages => \@said, tools => [ { type => 'function', function => \%tool } ]);
    my @chunks = map { @{ $_->{choices} } }
        @{ $sdk->call('chat.completions.create', { %chat, stream => \1 })->{value} };
    is_deeply [ map { [ $_->{index}, $_->{function}{name} ] } map { @{ $_->{delta}{tool_calls} // [] } }
        @chunks ], [ [ 0, 'weather' ], [ 1, 'weather' ] ], 'a chat streams them';
    is $chunks[-1]{finish_reason}, 'tool_calls', '... and says so';
    $final = $sdk->call('chat.completions.stream', \%chat)->{value}{final};
    is_deeply [ map { $_->{function}{arguments} } @{ $final->{choices}[0]{message}{tool_calls} } ],
        [ map { $_->{arguments} } @calls ], '... which its helper puts together';
};

subtest 'structured outputs' => sub {
    my $schema = { type => 'object', properties => { a => { type => 'string' } },
        required => ['a'], additionalProperties => Mojo::JSON::false };
    $sdk->call('responses.create', { @asked, input => 'x', text => { format => {
        type => 'json_schema', name => 'n', strict => \1, schema => $schema } } });
    is_deeply $e->sent->{jsonSchema}, { schema => $schema }, 'of a Response';
    $sdk->call('chat.completions.create', { @asked, messages => [ { role => 'user',
        content => 'x' } ], response_format => { type => 'json_schema', json_schema => {
        name => 'n', schema => $schema } } });
    is_deeply $e->sent->{jsonSchema}, { schema => $schema }, 'of a chat';
};

subtest 'how it may end' => sub {
    my %incomplete = (truncated => 'max_output_tokens', filter => 'content_filter');
    for my $outcome (sort keys %incomplete) {
        my $v = $sdk->call('responses.create', { @asked, input => "[outcome=$outcome] x" })
            ->{value};
        is $v->{status}, 'incomplete', $outcome;
        is $v->{incomplete_details}{reason}, $incomplete{$outcome}, '... why';
        $v = $sdk->call('chat.completions.create', { @asked, messages => [ { role => 'user',
            content => "[outcome=$outcome] x" } ] })->{value};
        is $v->{choices}[0]{finish_reason}, $outcome eq 'filter' ? 'content_filter' : 'length',
            '... in a chat';
    }
    my $v = $sdk->call('responses.create', { @asked, input => '[outcome=failed:13:broken] x' })
        ->{value};
    is $v->{status}, 'failed', 'failed';
    is_deeply $v->{error}, { code => 'server_error', message => 'broken' }, '... why';
    $v = $sdk->call('responses.create', { @asked, input => '[outcome=reasoning] x' })->{value};
    cmp_ok $v->{usage}{output_tokens_details}{reasoning_tokens}, '>', 0, 'reasoning tokens';
};

subtest 'how a stream may end' => sub {
    my %end = (truncated => 'incomplete', filter => 'incomplete', 'failed:13:broken' => 'failed');
    for my $outcome (sort keys %end) {
        my $said = "[outcome=$outcome] x";
        my $last = $sdk->call('responses.create', { @asked, input => $said, stream => \1 })
            ->{value}[-1];
        is $last->{type}, "response.$end{$outcome}", $outcome;
        is $last->{response}{status}, $end{$outcome}, '... as the Response says';

        my $r = $sdk->call('chat.completions.create', { @asked, stream => \1,
            messages => [ { role => 'user', content => $said } ] });
        if ($end{$outcome} eq 'failed') {
            is $r->{error}{code}, 'operation_failed', '... an error of a chat';
            is $r->{error}{message} =~ /broken/, 1, '... which says why';
            is $r->{requests}, 1, '... not repeated';
            next;
        }
        is $r->{value}[-1]{choices}[0]{finish_reason}, $outcome eq 'filter' ? 'content_filter'
            : 'length', '... of a chat';
    }
    my $id = $sdk->call('responses.create', { @asked, input => '[delay=60] x', background => \1 })
        ->{value}{id};
    $sdk->call('responses.cancel', $id);
    is $sdk->call('responses.retrieve', $id, { stream => \1 })->{value}[-1]{type},
        'response.failed', 'one that was cancelled';
};

subtest 'models' => sub {
    my $r = $sdk->call('models.list');
    is_deeply [ map { $_->{id} } @{ $r->{value}{list} } ], [ 'yandexgpt-lite', 'gpt-4o-mini' ],
        'listed' or diag explain $r;
    is $sdk->call('models.retrieve', 'gpt-4o-mini')->{value}{object}, 'model', 'one';
    error_is($sdk->call('models.retrieve', 'gpt-5'), 'NotFoundError', status => 404,
        code => 'model_not_found', param => 'model');
    error_is($sdk->call('responses.create', { model => 'gpt-5', input => 'x' }), 'NotFoundError',
        status => 404, code => 'model_not_found', param => 'model');
};

subtest 'errors' => sub {
    error_is($sdk->start('models.list', [], client => { apiKey => 'nobody' })->(),
        'AuthenticationError', status => 401, code => 'invalid_api_key',
        type => 'authentication_error');
    error_is($sdk->call('responses.create', { @asked }), 'BadRequestError', status => 400,
        code => 'invalid_request', param => 'input');
    error_is($sdk->call('responses.create', { input => 'x' }), 'BadRequestError', status => 400,
        param => 'model');
    error_is($sdk->call('responses.create', { @asked, input => 'x',
        previous_response_id => 'resp_1' }), 'BadRequestError', status => 400,
        code => 'unsupported_parameter', param => 'previous_response_id');
    error_is($sdk->call('responses.create', { @asked, input => 'x', nonsense => 1 }),
        'BadRequestError', status => 400, code => 'unknown_parameter', param => 'nonsense');
    error_is($sdk->call('responses.retrieve', 'resp_nonsense'), 'NotFoundError', status => 404,
        code => 'operation_not_found');
};

subtest 'an id is one in every interface' => sub {
    my $v = $sdk->call('responses.create', { @asked, input => 'x' })->{value};
    my ($bare) = $v->{id} =~ /^resp_(.*)/;
    my %alice = (headers => { Authorization => 'Bearer key-of-alice' });

    is $t->request(GET => "/translate/operations/$_", %alice)->{status}, 200, $_
        for $bare, $v->{id};
    is $sdk->call('responses.retrieve', $_)->{value}{output_text}, 'echo: x', $_
        for $bare, "chatcmpl-$bare";
    error_is($sdk->start('responses.retrieve', [ $v->{id} ], %boris)->(), 'NotFoundError',
        status => 404);
};

subtest 'as many as asked for' => sub {
    my $since = $e->submits;
    my @begun = map { $sdk->start('responses.create', [ { @asked, input => 'five' } ]) } 1 .. 5;
    my %id = map { $_->()->{value}{id} => 1 } @begun;
    is keys %id, 5, 'five';
    is $e->submits - $since, 5, '... paid';
};

subtest 'another key' => sub {
    my $v = $sdk->call('responses.create', { @asked, input => '[delay=60] x', background => \1 })
        ->{value};
    my ($bare) = $v->{id} =~ /^resp_(.*)/;
    my $end = $sdk->call('responses.create', { @asked, input => 'x' })->{value}{id};

    for my $id ($v->{id}, $bare, "chatcmpl-$bare", $end) {
        error_is($sdk->start("responses.$_", [$id], %boris)->(), 'NotFoundError', status => 404,
            code => 'operation_not_found', param => undef) for qw(retrieve cancel delete);
        error_is($sdk->start('responses.retrieve', [ $id, { stream => \1 } ], %boris)->(),
            'NotFoundError', status => 404, code => 'operation_not_found', param => undef);
    }
    is $sdk->call('responses.retrieve', $v->{id})->{value}{status}, 'in_progress',
        'what nobody else could touch goes on';
};

# The zone as its workers see it.
sub zone () {
    my ($pid) = $t->worker_pids;
    open my $maps, '<', "/proc/$pid/maps" or return;
    open my $mem, '<:raw', "/proc/$pid/mem" or return;

    no warnings 'portable';
    my $all = '';
    for (<$maps>) {
        my ($from, $to) = map { hex } /^([0-9a-f]+)-([0-9a-f]+) (?:rw|--)-s/ or next;
        seek $mem, $from, 0;
        read $mem, $all, $to - $from, length $all;
    }
    return $all;
}

subtest 'what was asked is nowhere' => sub {
    my @secret = map { "the-words-of-$_" } qw(instructions input metadata arguments result tool);
    my %tool = (type => 'function', name => 'f', description => $secret[5], parameters => {});
    my @input = (
        { type => 'function_call', call_id => 'c', name => 'f', arguments => qq({"a":"$secret[3]"}) },
        { type => 'function_call_output', call_id => 'c', output => $secret[4] },
        { role => 'user', content => "[delay=60] $secret[1]" });
    my %ask = (@asked, instructions => $secret[0], metadata => { a => $secret[2] },
        input => \@input, tools => [ \%tool ]);

    $t->secret(@secret);
    my $v = $sdk->call('responses.create', { %ask, background => \1 })->{value};
    my $given_up = $sdk->start('responses.create', [ \%ask ], client => { timeout => 500,
        maxRetries => 0 })->();
    is $given_up->{error}{name}, 'Error', 'one gives up, and leaves an orphan';
    my ($upstream) = map { $_->{operation} } ($e->submits)[-1];

    my $zone = zone() // return pass 'the memory of a worker cannot be read';
    cmp_ok index($zone, $upstream), '>', 0, 'the operation is in the zone';
    is_deeply [ grep { index($zone, $_) >= 0 } @secret ], [], 'no word of its prompt is';
};

undef $sdk;
$t->done;
