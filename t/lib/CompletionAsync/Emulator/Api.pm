package CompletionAsync::Emulator::Api;

=encoding utf8

=head1 NAME

CompletionAsync::Emulator::Api - what the emulated upstream knows and says

=head1 DESCRIPTION

Operations, credentials and error bodies, free of sockets: a request goes in,
an answer C<< {status, headers => [[NAME, VALUE], ...], body, operation} >>
comes out. Shapes and key order are those of the recorded samples; what is
only inferred is marked "synthetic" where it stands.

    my $api    = CompletionAsync::Emulator::Api->new;
    my ($kind, $id) = $api->classify('GET', '/operations/d7q...');
    my $answer = $api->answer(\%request);   # kind, id, method, headers, body
    $api->set(delay => 2, outcome => 'failed:8:no luck');

The settings and the outcomes are listed in L<CompletionAsync::Emulator>.

=cut

use strict;
use warnings;
use v5.36;
use utf8;

use Encode qw(encode);
use File::Temp ();
use MIME::Base64 qw(decode_base64url encode_base64);
use Mojo::JSON qw(decode_json to_json);
use POSIX qw(strftime);
use Scalar::Util qw(looks_like_number);
use Time::HiRes qw(time);

use constant SUBMIT   => '/foundationModels/v1/completionAsync';
use constant IAM      => '/iam/v1/tokens';
use constant METADATA => '/computeMetadata/v1/instance/service-accounts/default/token';

use constant RESPONSE_TYPE =>
    'type.googleapis.com/yandex.cloud.ai.foundation_models.v1.CompletionResponse';

use constant QUESTION    => 'To be, or not to be: that is the question.';
use constant TRANSLATION => 'Быть или не быть: вот в чём вопрос.';

our @DIALECTS = qw(grpc grpc_text rest openai);

my %HTTP_OF_GRPC = (
    1 => 499, 2 => 500, 3 => 400, 4 => 504, 5 => 404, 6 => 409, 7 => 403, 8 => 429,
    9 => 400, 10 => 409, 11 => 400, 12 => 501, 13 => 500, 14 => 503, 15 => 500, 16 => 401,
);

my %GRPC_OF_HTTP = (
    400 => 3, 401 => 16, 403 => 7, 404 => 5, 409 => 6, 413 => 3, 415 => 3, 422 => 3,
    429 => 8, 499 => 1, 500 => 13, 501 => 12, 502 => 14, 503 => 14, 504 => 4,
);

our %REASON = (
    100 => 'Continue',         102 => 'Processing',           103 => 'Early Hints',
    200 => 'OK',               201 => 'Created',              204 => 'No Content',
    301 => 'Moved Permanently', 302 => 'Found',               304 => 'Not Modified',
    307 => 'Temporary Redirect', 308 => 'Permanent Redirect', 400 => 'Bad Request',
    401 => 'Unauthorized',     403 => 'Forbidden',            404 => 'Not Found',
    405 => 'Method Not Allowed', 409 => 'Conflict',
    413 => 'Payload Too Large', 415 => 'Unsupported Media Type',
    422 => 'Unprocessable Entity', 429 => 'Too Many Requests',
    499 => 'Client Closed Request', 500 => 'Internal Server Error',
    501 => 'Not Implemented',  502 => 'Bad Gateway',          503 => 'Service Unavailable',
    504 => 'Gateway Timeout',
);

my %DEFAULTS = (
    delay          => 0.3,
    outcome        => 'final',
    early404       => 0,
    done_absent    => 0,
    language       => 'en',
    cancel         => 'obey',
    dialect        => undef,
    leak           => 1,
    folder         => undef,
    api_key        => undef,
    iam_token      => undef,
    issue_tokens   => 0,
    token_ttl      => 43_200,
    token_length   => 200,
    jwt_public_key => undef,
    metadata       => 1,
    poll_interval  => undef,
);

my %OUTCOMES = map { $_ => 1 } qw(
    final truncated filter partial unspecified tool_calls failed leak error0 empty early_error
    huge null_dates fraction reasoning exotic status alternatives no_usage says
);


sub new ($class, %settings) {
    my $self = bless {}, $class;
    $self->reset;
    $self->set(%settings);
    return $self;
}


sub reset ($self) {
    %$self = (set => {%DEFAULTS}, operations => {}, tokens => {});
}


sub is_setting ($class, $name) { exists $DEFAULTS{$name} }


sub set ($self, %settings) {
    for my $name (sort keys %settings) {
        die "unknown setting \"$name\"\n" if !exists $DEFAULTS{$name};
    }
    _check_outcome($settings{outcome}) if defined $settings{outcome};
    $self->{set}{$_} = $settings{$_} for keys %settings;
}


sub settings ($self)        { return {%{ $self->{set} }} }
sub operation ($self, $id)  { $self->{operations}{$id} }
sub operations ($self)      { values %{ $self->{operations} } }
sub forget ($self, $id)     { delete $self->{operations}{$id} }


sub alias ($self, $id, $alias) {
    $self->{operations}{$alias} = $self->{operations}{$id};
}


sub finish ($self, $id, $outcome) {
    my @operations = defined $id ? $self->{operations}{$id} // () : $self->operations;

    _check_outcome($outcome) if defined $outcome;
    for my $op (@operations) {
        $op->{outcome} = $outcome if defined $outcome;
        $op->{due} = time if $op->{due} > time;
    }
    return scalar @operations;
}


sub revoke ($self, $token) {
    return $self->{tokens} = {} if !defined $token;
    delete $self->{tokens}{$token};
}


sub classify ($class, $method, $path) {
    $path =~ s/[?#].*//s;

    return ('submit', undef)   if $path eq SUBMIT && $method eq 'POST';
    return ('token', undef)    if $path eq IAM && $method eq 'POST';
    return ('metadata', undef) if $path eq METADATA && $method eq 'GET';

    if ($path =~ m{^/operations/([^/]+)$}) {
        my $id = $1 =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
        return ('cancel', $1) if $id =~ /^(.*):cancel$/s;
        return ('poll', $id) if $method eq 'GET';
    }
    return ('other', undef);
}


sub answer ($self, $request) {
    my $kind = $request->{kind};

    return $self->_token($request)    if $kind eq 'token';
    return $self->_metadata($request) if $kind eq 'metadata';
    return $self->error(404, message => 'Not found') if $kind eq 'other';

    my $refusal = $self->_refusal($request);
    return $refusal if $refusal;

    return $self->_submit($request) if $kind eq 'submit';
    return $self->_poll($request)   if $kind eq 'poll';
    return $self->_cancel($request);
}


# An error in one of the four dialects; options: grpc, message, dialect, leak.
sub error ($self, $status, %opt) {
    my $grpc    = $opt{grpc} // $GRPC_OF_HTTP{$status} // 2;
    my $message = $opt{message} // lc($REASON{$status} // 'error');
    my $dialect = $opt{dialect} // $self->{set}{dialect} // $opt{usual} // 'grpc';

    $message = $self->_session($opt{request}) . $message if $opt{leak};

    my $text = _quote($message);
    my $details = '[{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":'
        . _quote(_uuid()) . '}]';

    my %body = (
        grpc      => qq({"code":$grpc,"message":$text,"details":$details}),
        grpc_text => qq({"error":$text,"code":$grpc,"message":$text,"details":$details}),
        rest      => qq({"error":{"grpcCode":$grpc,"httpCode":$status,"message":$text,)
            . '"httpStatus":' . _quote($REASON{$status} // 'Error') . ',"details":[]}}',
        openai    => qq({"error":{"message":$text,"type":"invalid_request_error"}}),
    );
    return $self->_answer($status, $body{$dialect} // die qq(unknown dialect "$dialect"\n));
}


sub _answer ($self, $status, $body, @headers) {
    return {
        status  => $status,
        body    => $body,
        headers => [
            [ 'Content-Type'      => 'application/json' ],
            [ 'x-request-id'      => _uuid() ],
            [ 'x-server-trace-id' => _chars(16, 'a' .. 'f', 0 .. 9) . ':0:0:1' ],
            @headers,
        ],
    };
}


# Credentials and folder, as they are checked ahead of every operation.
sub _refusal ($self, $request) {
    my $set  = $self->{set};
    my $auth = $request->{headers}{authorization} // '';

    if (defined $set->{api_key} || defined $set->{iam_token} || $set->{issue_tokens}) {
        my ($scheme, $secret) = $auth =~ /^(Api-Key|Bearer) (\S+)$/;
        my $good =
              !defined $scheme     ? 0
            : $scheme eq 'Api-Key' ? defined $set->{api_key} && $secret eq $set->{api_key}
            : defined $set->{iam_token} && $secret eq $set->{iam_token}
              || ($self->{tokens}{$secret} // 0) > time;

        return $self->error(401, message => 'Unknown api key \'****\'') if !$good;
    }

    my $folder = $request->{headers}{'x-folder-id'};
    if (defined $set->{folder} && defined $folder && $folder ne $set->{folder}) {
        return $self->_denied($folder);
    }
    return;
}


sub _denied ($self, $folder) {
    return $self->error(403, message => "Permission to [resource-manager.folder $folder] denied");
}


sub _submit ($self, $request) {
    my $body = eval { decode_json($request->{body}) };
    my $bad  = sub ($reason) {
        # The wording of the reasons is synthetic.
        return $self->error(
            400,
            message => $reason,
            usual   => 'rest',
            leak    => $self->{set}{leak},
            request => $request,
        );
    };

    if (($request->{headers}{'content-type'} // '') !~ m{^application/json\s*(;|$)}i) {
        return $self->error(415, message => 'content type is not application/json');
    }
    return $bad->('request body is not a JSON object') if ref $body ne 'HASH';

    my $reason = _defect($body);
    return $bad->($reason) if defined $reason;

    my ($folder) = $body->{modelUri} =~ m{^gpt://([^/]+)/};
    if (defined $self->{set}{folder} && $folder ne $self->{set}{folder}) {
        return $self->_denied($folder);
    }

    my $op = $self->_create($body);
    my $answer = $self->_answer(200, $self->_render($op));
    $answer->{operation} = $op->{id};
    return $answer;
}


# What is wrong with a submit's body, or undef.
sub _defect ($body) {
    my $uri = $body->{modelUri};
    return 'model_uri is required' if !defined $uri || ref $uri || $uri eq '';
    return "invalid model_uri $uri" if $uri !~ m{^gpt://[^/\s]+/\S+$};

    my $messages = $body->{messages};
    return 'messages are required' if ref $messages ne 'ARRAY' || !@$messages;

    for my $message (@$messages) {
        return 'message is not an object' if ref $message ne 'HASH';
        return 'unknown message role' if ($message->{role} // '') !~ /^(system|user|assistant)$/;
        my @content = grep { exists $message->{$_} } qw(text toolCallList toolResultList);
        return 'message needs one of text, tool_call_list, tool_result_list' if @content != 1;
        if ($content[0] ne 'text') {
            my $reason = _functions_defect($message, $content[0]);
            return $reason if defined $reason;
            next;
        }
        return 'message text is empty' if ref $message->{text} || ($message->{text} // '') eq '';
    }

    for my $tool (@{ $body->{tools} // [] }) {
        return 'tool needs a function with a name' if ref $tool ne 'HASH'
            || !_named($tool->{function});
    }

    my $options = $body->{completionOptions};
    return if !defined $options;
    return 'completion_options is not an object' if ref $options ne 'HASH';

    my $t = $options->{temperature};
    return 'temperature must be in [0, 1]'
        if defined $t && !(looks_like_number($t) && $t >= 0 && $t <= 1);

    my $max = $options->{maxTokens};
    return 'max_tokens must be positive' if defined $max && $max !~ /^[1-9][0-9]*$/;

    my $mode = eval { $options->{reasoningOptions}{mode} };
    return 'unknown reasoning mode' if defined $mode && $mode !~ /^(DISABLED|ENABLED_HIDDEN)$/;
    return;
}


# Of calls of functions, or of what they came to.
sub _functions_defect ($message, $content) {
    my ($list, $one, $value, $type) = $content eq 'toolCallList'
        ? (qw(toolCalls functionCall arguments HASH)) : (qw(toolResults functionResult content), '');

    my $functions = eval { $message->{$content}{$list} };
    return "$list is empty" if ref $functions ne 'ARRAY' || !@$functions;

    for my $function (map { eval { $_->{$one} } } @$functions) {
        return "$one needs a name" if !_named($function);
        return "$one needs its $value" if ref($function->{$value} // []) ne $type;
    }
    return;
}


sub _named ($function) {
    return ref $function eq 'HASH' && !ref $function->{name} && ($function->{name} // '') ne '';
}


sub _create ($self, $body) {
    my @messages = grep { defined $_->{text} } @{ $body->{messages} };
    my ($user)   = grep { $_->{role} eq 'user' } reverse @messages;
    my ($system) = grep { $_->{role} eq 'system' } @messages;
    my $set      = $self->{set};
    my $text     = $user ? $user->{text} : '';

    # The answer to what functions came to is of that, as if it had been asked.
    my $results = $body->{messages}[-1]{toolResultList};
    $text = join ' ', map { $_->{functionResult}{content} } @{ $results->{toolResults} }
        if $results;

    my %own = $text =~ /\[(delay|outcome|early404|done_absent|cancel|size|language)=([^\]]*)\]/g;
    delete $own{outcome} if defined $own{outcome} && !eval { _check_outcome($own{outcome}) };

    my $now = time;
    my $op  = {
        id          => 'd7q' . _chars(17, 'a' .. 'z', 0 .. 9),
        created     => $now,
        due         => $now + ($own{delay} // $set->{delay}),
        outcome     => $own{outcome} // $set->{outcome},
        early404    => $own{early404} // $set->{early404},
        done_absent => $own{done_absent} // $set->{done_absent},
        cancel      => $own{cancel} // $set->{cancel},
        size        => $own{size},
        language    => $own{language} // $set->{language},
        members     => eval { $body->{jsonSchema}{schema}{properties} } // {},
        text        => $text,
        system      => $system ? $system->{text} : '',
        tools       => _called($body),
        polls       => 0,
    };
    $self->{operations}{ $op->{id} } = $op;
    return $op;
}


# The names of the functions that may be called, the chosen one first.
sub _called ($body) {
    my $choice = $body->{toolChoice} // {};
    my @name   = map { $_->{function}{name} } @{ $body->{tools} // [] };
    @name = $choice->{functionName} if defined $choice->{functionName};
    return @name ? \@name : ['weather'];
}


sub _poll ($self, $request) {
    my $op = $self->{operations}{ $request->{id} };

    if (!$op || $op->{polls}++ < $op->{early404}) {
        my $answer = $self->error(404, message => "Operation with id $request->{id} not found");
        $answer->{operation} = $request->{id};
        return $answer;
    }

    my $interval = $self->{set}{poll_interval};
    my $answer   = $self->_answer(
        200,
        $self->_render($op),
        defined $interval ? [ 'x-operation-poll-interval' => $interval ] : (),
    );
    $answer->{operation} = $op->{id};
    return $answer;
}


sub _cancel ($self, $request) {
    my $op = $self->{operations}{ $request->{id} };

    return $self->error(404, message => "Operation with id $request->{id} not found") if !$op;

    if ($op->{cancel} eq 'obey' && $op->{due} > time) {
        # Synthetic: how this service spells a cancelled operation is not recorded.
        $op->{outcome} = 'failed:1:Operation was cancelled';
        $op->{due} = time;
    }
    my $answer = $self->_answer(200, $self->_render($op));
    $answer->{operation} = $op->{id};
    return $answer;
}


sub _token ($self, $request) {
    my $body   = eval { decode_json($request->{body}) };
    my $jwt    = ref $body eq 'HASH' ? $body->{jwt} : undef;
    my $reason = defined $jwt && !ref $jwt ? $self->_jwt_defect($jwt) : 'jwt is required';

    return $self->error(400, message => $reason) if defined $reason;

    my ($token, $expires) = $self->_issue;
    return $self->_answer(
        200,
        '{"iamToken":' . _quote($token) . ',"expiresAt":' . _quote(_date($expires, 9)) . '}'
    );
}


sub _metadata ($self, $request) {
    if (($request->{headers}{'metadata-flavor'} // '') ne 'Google') {
        return $self->error(403, message => 'Missing required header "Metadata-Flavor"');
    }
    return $self->error(404, message => 'no service account') if !$self->{set}{metadata};

    my ($token) = $self->_issue;
    return $self->_answer(
        200,
        '{"access_token":' . _quote($token)
            . ',"expires_in":' . int($self->{set}{token_ttl}) . ',"token_type":"Bearer"}'
    );
}


sub _issue ($self) {
    my $token   = 't1.' . _chars($self->{set}{token_length} - 3, 'A' .. 'Z', 'a' .. 'z', 0 .. 9);
    my $expires = time + $self->{set}{token_ttl};

    $self->{tokens}{$token} = $expires;
    return ($token, $expires);
}


sub _jwt_defect ($self, $jwt) {
    my @part = split /\./, $jwt, -1;
    return 'jwt has not three parts' if @part != 3;

    my ($header, $claims) = map { eval { decode_json(decode_base64url($_)) } // {} } @part[0, 1];
    return 'jwt algorithm is not PS256' if ($header->{alg} // '') ne 'PS256';
    return 'jwt has no key id' if ($header->{kid} // '') eq '';
    return 'jwt has no issuer' if ($claims->{iss} // '') eq '';

    my ($iat, $exp) = @$claims{qw(iat exp)};
    return 'jwt has no times' if !looks_like_number($iat // '') || !looks_like_number($exp // '');
    return 'jwt lives too long' if $exp - $iat > 3600;
    return 'jwt is expired' if $exp < time;
    return 'jwt is from the future' if $iat > time + 60;

    my $key = $self->{set}{jwt_public_key};
    return if !defined $key;

    my $signature = File::Temp->new;
    print {$signature} decode_base64url($part[2]);
    $signature->flush;
    my $data = File::Temp->new;
    print {$data} "$part[0].$part[1]";
    $data->flush;

    my @command = (
        'sh', '-c', 'exec "$@" 2>/dev/null',
        qw(sh openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32),
        '-verify', $key, '-signature', "$signature", "$data",
    );
    open my $pipe, '-|', @command or return 'openssl is missing';
    my $verdict = do { local $/; <$pipe> } // '';
    close $pipe;
    return $verdict =~ /^Verified OK/ ? undef : 'jwt signature does not verify';
}


# An operation as the two samples spell it; a finished one has "done" first.
sub _render ($self, $op) {
    my ($outcome, $arg) = split /:/, $op->{outcome}, 2;
    my $done = $op->{due} <= time;

    my $date = sub ($time) {
        return 'null' if $outcome eq 'null_dates';
        return _quote(_date($time, $outcome eq 'fraction' ? 9 : 0));
    };
    my $id       = '"id":' . _quote($op->{id}) . ',"description":"Async GPT Completion"';
    my $created  = '"createdAt":' . $date->($op->{created}) . ',"createdBy":"ajee6cl1ls1tvrh2mtab"';
    my $modified = '"modifiedAt":' . $date->($done ? $op->{due} : $op->{created} + 1);

    if (!$done) {
        my $state = $op->{done_absent} ? '' : ',"done":false';
        my $error = $outcome eq 'early_error'
            ? ',"error":{"code":14,"message":"no worker yet","details":[]}' : '';
        return "{$id,$created,$modified$state$error,\"metadata\":null}";
    }

    my $result = $self->_result($op, $outcome, $arg);
    my $future = $outcome eq 'exotic'
        ? ',"futureMember":{"n":1.50e+2,"big":12345678901234567890,"list":[null,true,-0.0]}' : '';
    return "{\"done\":true$result,$id,$created,$modified$future}";
}


sub _result ($self, $op, $outcome, $arg) {
    return '' if $outcome eq 'empty';

    if ($outcome =~ /^(failed|leak)$/) {
        my ($code, $message) = split /:/, $arg // 13, 2;
        $message = $self->_session({}) . ($message // 'internal error') if $outcome eq 'leak';
        return ',"error":{"code":' . int($code) . ',"message":'
            . _quote($message // 'internal error') . ',"details":[]}';
    }

    my %status = (
        truncated => 'TRUNCATED_FINAL', filter => 'CONTENT_FILTER', partial => 'PARTIAL',
        unspecified => 'UNSPECIFIED', tool_calls => 'TOOL_CALLS',
    );
    my $status = $outcome eq 'status' ? $arg
        : 'ALTERNATIVE_STATUS_' . ($status{$outcome} // 'FINAL');

    my $text    = $outcome eq 'says' ? $arg : _text($op, $outcome);
    my $content = $outcome eq 'tool_calls'
        ? '"toolCallList":{"toolCalls":[' . join(',', _calls($op, $arg // 1)) . ']}'
        : '"text":' . ($outcome eq 'exotic' ? '"\u0041 \ud83d\ude00 \/ ' . substr(_quote($text), 1)
            : _quote($text));

    my $alternative = '{"message":{"role":"assistant",' . $content . '},"status":'
        . _quote($status) . '}';
    $alternative = join ',', $alternative, $alternative =~ s/"text":"/"text":"2nd /r
        if $outcome eq 'alternatives';

    my ($in, $out, $model) = $text eq TRANSLATION ? (31, 10, '18.01.2024')
        : (1 + int(length($op->{text}) / 4), 1 + int(length($text) / 4), '18.01.2024');
    my $details = $outcome eq 'reasoning' ? ',"completionTokensDetails":{"reasoningTokens":"7"}'
        : $outcome eq 'exotic' ? ',"completionTokensDetails":{}' : '';
    my $usage = $outcome eq 'no_usage' ? ''
        : qq("usage":{"inputTextTokens":"$in","completionTokens":"$out","totalTokens":")
            . ($in + $out) . qq("$details},);

    my $error = $outcome eq 'error0' ? ',"error":{"code":0,"message":"","details":[]}' : '';
    return $error . ',"response":{"@type":"' . RESPONSE_TYPE . '","alternatives":[' . $alternative
        . "],$usage\"modelVersion\":\"$model\"}";
}


# The shape is the reference's; the arguments are synthetic.
sub _calls ($op, $count) {
    my @name = @{ $op->{tools} };
    return map {
        '{"functionCall":{"name":' . _quote($name[ $_ % @name ]) . ',"arguments":{"city":'
            . _quote('Москва') . '}}}'
    } 0 .. $count - 1;
}


sub _text ($op, $outcome) {
    return TRANSLATION if $op->{text} eq QUESTION && $op->{system} =~ /Переведи/;
    return 'В интернете есть много сайтов с информацией на эту тему.' if $outcome eq 'filter';

    my $text = "echo: $op->{text}";
    my $size = $op->{size} // ($outcome eq 'huge' ? 1_500_000 : 0);
    if ($size > length $text) {
        my $pattern = encode_base64(join('', map { chr($_ * 7 % 256) } 0 .. 767), '');
        $text .= substr $pattern x (1 + $size / length $pattern), 0, $size - length $text;
    }
    return $op->{members}{language} ? _object($op, $text) : $text;
}


# What a schema asks for that has a language in it. How well a real model keeps to one is not
# recorded: this is synthetic.
sub _object ($op, $text) {
    my %value = (language => $op->{language}, text => $text);
    return to_json({ map { $_ => $value{$_} } grep { $op->{members}{$_} } keys %value });
}


# The prefix that leaks internals into error texts.
sub _session ($self, $request) {
    return sprintf 'Error in session internal_id=%s&request_id=%s&folder_id=%s: ',
        _uuid(), $request->{headers}{'x-client-request-id'} // _uuid(),
        $self->{set}{folder} // 'b1gsyntheticfolder00';
}


sub _check_outcome ($outcome) {
    my ($name) = split /:/, $outcome;
    die qq(unknown outcome "$outcome"\n) if !$OUTCOMES{ $name // '' };
    die qq(outcome "$outcome" needs an argument\n)
        if $name =~ /^(failed|leak|status|says)$/
        && $outcome !~ /^((status|says):.|\w+:[0-9]+(:|$))/;
    die qq(outcome "$outcome" needs a number\n) if $outcome =~ /^tool_calls:(?!0*[1-9][0-9]?$)/;
    return 1;
}


sub _quote ($text) {
    state %escape = ("\n" => '\n', "\r" => '\r', "\t" => '\t', '"' => '\"', '\\' => '\\\\');
    $text =~ s{(["\\\x00-\x1f])}{$escape{$1} // sprintf '\u%04x', ord $1}ge;
    return '"' . encode('UTF-8', $text) . '"';
}


sub _date ($time, $digits) {
    my $fraction = $digits ? sprintf('.%0*d', $digits, ($time - int $time) * 10**$digits) : '';
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime int $time) . $fraction . 'Z';
}


sub _chars ($count, @alphabet) { join '', map { $alphabet[ rand @alphabet ] } 1 .. $count }


sub _uuid () { join '-', map { _chars($_, 0 .. 9, 'a' .. 'f') } 8, 4, 4, 4, 12 }


1;
