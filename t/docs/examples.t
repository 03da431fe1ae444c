#!/usr/bin/perl

# Each configuration that users are given does what it is given for.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Example;
use CompletionAsync::Metrics;
use CompletionAsync::Redis;
use CompletionAsync::Test qw(wait_until);
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(encode_json);

my $root = "$FindBin::Bin/../..";

# Those without a test of their own do the main job.
my %test = (
    'application.conf'   => \&application,
    'balanced.conf'      => \&balanced,
    'behind-proxy.conf'  => \&behind_proxy,
    'cluster.conf'       => \&cluster,
    'cors.conf'          => \&cors,
    'deepl.conf'         => \&deepl,
    'languages.conf'     => \&languages,
    'libretranslate.conf' => \&libretranslate,
    'limit.conf'         => \&limit,
    'long-texts.conf'    => \&long_texts,
    'models.conf'        => \&models,
    'native.conf'        => \&native,
    'openai.conf'        => \&openai,
    'server.conf'        => \&server,
    'tenants.conf'       => \&tenants,
    'users-basic.conf'   => \&users_basic,
    'users-jwt.conf'     => \&users_jwt,
    'users-request.conf' => \&users_request,
    'yandex-vm.conf'     => \&yandex_vm,
);

my @examples = map { s{^\Q$root/}{}r } sort glob "$root/conf-examples/*.conf";

for my $path (@examples) {
    my $test = delete $test{ $path =~ s{^conf-examples/}{}r } // \&main_job;
    my $conf = CompletionAsync::Example::slurp("$root/$path");

    like $conf, qr/^    resolver /m, "$path starts while DNS is away";
    subtest $path => sub { $test->($conf) };
}

is join(' ', sort keys %test), '', 'each test has its example';
subtest 'on a Debian' => \&on_debian;
done_testing;


# Each of them serves its metrics, to its own machine.
sub start ($conf, %arg) {
    my $t = CompletionAsync::Test->new(emulator => { delay => 0.2, %{ $arg{emulator} // {} } });
    $t->run(CompletionAsync::Example::render($t, $conf, %arg));

    my $r = $t->request(GET => '/metrics');
    is $r->{status}, 200, 'there are metrics';
    like $r->{body}, qr/^nginx_completion_async_build_info\{/m, '... of the module';
    is $t->request(GET => '/metrics', from => '127.0.0.2')->{status}, 403, '... not for others';
    return $t;
}


# The command of conf-examples/README.md makes a file for conf.d of each: what stands in the http
# block, and nothing that Debian's nginx.conf has in its own.
sub on_debian () {
    my $debian = join '|', qw(sendfile tcp_nopush types_hash_max_size server_tokens
        server_names_hash_bucket_size include\s+\S*mime.types default_type ssl_protocols
        ssl_prefer_server_ciphers access_log error_log gzip);
    my ($command) = CompletionAsync::Example::slurp("$root/conf-examples/README.md")
        =~ /^(sed .*?) minimal\.conf/m or die "no command\n";

    for my $path (@examples) {
        my $part = qx($command '$root/$path');
        is $?, 0, "$path: the command";
        utf8::decode($part);
        is index(CompletionAsync::Example::slurp("$root/$path"), "http {\n$part}\n") >= 0, 1,
            '... all of its http block';
        unlike $part, qr/^(?:load_module|events|http|user|pid)\b/m, '... and no more';
        unlike $part, qr/^    (?:$debian)\s/m, '... nothing is there twice';
    }
}


sub submit ($t, $path, %arg) {
    return $t->request(POST => $path, body => 'text', %arg);
}


sub json (%object) {
    return (headers => { 'Content-Type' => 'application/json' }, body => encode_json(\%object));
}


sub asked ($t) {
    my ($last) = reverse $t->emulator->submits;
    my $json = $last->{json};
    return { model => $json->{modelUri} =~ s{.*/}{}r, system => $json->{messages}[0]{text} };
}


sub main_job ($conf) {
    my $t = start($conf);

    CompletionAsync::Example::main_job($t, '/translate');
    $t->done;
}


sub languages ($conf) {
    my $t = start($conf);

    my $location = CompletionAsync::Example::main_job($t, '/translate/ru/');
    like $location, qr{^/translate/operations/}, '... its operation is not of a language';
    is asked($t)->{system}, 'Переведи текст на русский язык', '... in its language';

    is submit($t, '/translate/en')->{status}, 202, 'the slash may be missing';
    is asked($t)->{system}, 'Переведи текст на английский язык', '... in another language';

    my $count = () = $t->emulator->submits;
    for my $path ('/translate/xx/', '/translate/operations/', '/translate/', '/translate/ru/x') {
        is submit($t, $path)->{status}, 404, "$path is no language";
    }
    is scalar(() = $t->emulator->submits), $count, '... and submits nothing';
    $t->done;
}


sub models ($conf) {
    my $t = start($conf);
    my $e = $t->emulator;
    my %best = json(text => 'text', quality => 'best');
    my $statuses = sub { join ' ', map { $_->{status} } $e->submits };

    CompletionAsync::Example::main_job($t, '/translate');
    is asked($t)->{model}, 'yandexgpt-lite', 'the default model';

    is submit($t, '/translate', %best)->{status}, 202, 'a model is chosen';
    is asked($t)->{model}, 'rc', '... by what the request names';

    submit($t, '/translate', json(text => 'text', quality => 'gpt://elsewhere/dear'));
    is asked($t)->{model}, 'yandexgpt-lite', '... among those of the list';

    for my $status (429, 503) {
        $e->clear_faults;
        $e->fault(submit => 1, status => $status, retry_after => 60);
        my $r = submit($t, '/translate', %best);
        is $r->{status}, 202, "upstream's $status: the fallback's answer";
        is asked($t)->{model}, 'yandexgpt-lite', '... of another model';
        is ref $r->{headers}{'retry-after'} || $r->header('Retry-After') < 60, 1,
            '... with its own Retry-After';
        is $t->poll_until_done($r->header('Location'))->json->{done}, 1, '... polled';
    }

    $e->clear_faults;
    $e->fault(submit => 1, reset => 'request', process => 1);
    my $count = () = $e->submits;
    my $r = submit($t, '/translate', %best);
    $t->refused($r, 424, 'outcome_unknown', 'an unknown outcome');
    is scalar(() = $e->submits), $count + 1, '... and goes to no fallback';

    $e->clear_faults;
    $e->fault(submit => 1, status => 429, retry_after => 60);
    my %key = (%best, headers => { %{ $best{headers} }, 'Idempotency-Key' => 'one' });
    my $first = submit($t, '/translate', %key);
    my $again = submit($t, '/translate', %key);
    is $again->{status}, 202, 'a key that the fallback knows';
    is $again->header('Location'), $first->header('Location'), '... brings its operation';

    my %other = (%key, body => encode_json({ text => 'another', quality => 'best' }));
    is submit($t, '/translate', %other)->{status}, 422, '... and another request nothing';

    # As text, what met the content filter is a 422, too.
    $e->clear_faults;
    $count = () = $e->submits;
    $r = submit($t, '/translate', json(text => '[outcome=filter]', quality => 'best'));
    my $location = $r->header('Location');
    $t->poll_until_done($location);
    $r = $t->request(GET => $location, headers => { Accept => 'text/plain', Prefer => 'wait=5' });
    is $r->{status}, 422, 'an operation that failed';
    is scalar(() = $e->submits), $count + 1, '... is not submitted again';

    my %wait = json(text => '[outcome=filter]', quality => 'best');
    @{ $wait{headers} }{qw(Accept Prefer)} = ('text/plain', 'wait=5');
    is submit($t, '/translate', %wait)->{status}, 202, 'nor if its client would wait';
    is scalar(() = $e->submits), $count + 2, '... for its end';
    $t->done;
}


sub users_basic ($conf) {
    my $t = start($conf, files => { users => "alice:{PLAIN}a\nbob:{PLAIN}b\n" });
    my %alice = (headers => { Authorization => 'Basic YWxpY2U6YQ==' });
    my %bob   = (headers => { Authorization => 'Basic Ym9iOmI=' });

    isolated($t, \%alice, \%bob, 401);
    $t->done;
}


sub users_request ($conf) {
    my $t = start(
        $conf,
        replace => { '127.0.0.1:9000' => '127.0.0.1:%%PORT_7%%' },
        http    => <<~'EOC',
            map $http_authorization $known { default ""; "Bearer a" alice; "Bearer b" bob; }
            server {
                listen 127.0.0.1:%%PORT_7%%;
                location /session {
                    if ($http_authorization = "Bearer nobody") { return 204; }
                    if ($known = "") { return 401; }
                    add_header X-User $known;
                    return 204;
                }
            }
            EOC
    );
    my %alice = (headers => { Authorization => 'Bearer a' });
    my %bob   = (headers => { Authorization => 'Bearer b' });

    isolated($t, \%alice, \%bob, 401);
    is submit($t, '/translate', headers => { Authorization => 'Bearer nobody' })->{status}, 403,
        'a session without a user is nobody';
    is $t->request(GET => '/session', %alice)->{status}, 404, 'sessions are not asked for here';
    $t->done;
}


# The service says whom a token is of, and counts what it is asked.
sub users_jwt ($conf) {
    my $t = start(
        $conf,
        replace => { '127.0.0.1:9000' => '127.0.0.1:%%PORT_7%%',
            '/var/cache/nginx-verified' => '%%TESTDIR%%/verified' },
        http    => <<~'EOC',
            map $http_authorization $subject {
                default ""; "Bearer a" alice; "Bearer new-a" alice; "Bearer b" bob;
            }
            log_format verified '$status $http_authorization';
            server {
                listen 127.0.0.1:%%PORT_7%%;
                access_log %%TESTDIR%%/verified.log verified;
                location /verify {
                    if ($subject = "") { return 401; }
                    add_header X-Subject $subject;
                    return 204;
                }
            }
            EOC
    );
    my %alice = (headers => { Authorization => 'Bearer a' });
    my %bob   = (headers => { Authorization => 'Bearer b' });

    isolated($t, \%alice, \%bob, 401);
    my $location = submit($t, '/translate', %alice)->header('Location');
    my %renewed  = (headers => { Authorization => 'Bearer new-a' });
    is $t->request(GET => $location, %renewed)->{status}, 200, 'a new token is of the same user';

    is submit($t, '/translate', headers => { Authorization => 'Bearer forged' })->{status}, 401,
        'a token that is not good' for 1 .. 2;
    my %asked;
    $asked{$_}++ for split /\n/, $t->read_file('verified.log');
    is $asked{'204 Bearer a'}, 1, 'a good one is verified once';
    is $asked{'401 Bearer forged'}, 2, '... another one each time';
    is $t->request(GET => '/verify', %alice)->{status}, 404, 'clients verify nothing';
    $t->done;
}


sub tenants ($conf) {
    my $t = start($conf, files => { 'tenants.map' => qq{"Bearer a" acme;\n"Bearer b" globex;\n} });
    my %acme   = (headers => { Authorization => 'Bearer a' });
    my %globex = (headers => { Authorization => 'Bearer b' });

    isolated($t, \%acme, \%globex, 401);
    is $t->request(GET => $_, %acme)->{status}, 404, "$_ is not for clients"
        for '/acme', '/globex/operations/x';

    # the smaller quota is the other one's
    my @answers = $t->concurrent(([ POST => '/translate', body => 'text', %globex ]) x 23);
    ok scalar(grep { $_->{status} == 429 } @answers), 'a tenant uses up its quota and its line';
    is submit($t, '/translate', %acme)->{status}, 202, '... which nobody else feels';

    my $metrics = $t->request(GET => '/metrics')->{body};
    like $metrics, qr/^nginx_completion_async_submits_total\{provider="$_",/m, "metrics of $_"
        for qw(acme globex);
    $t->done;
}


sub application ($conf) {
    my $t = start(
        $conf,
        replace => { '127.0.0.1:9000' => '127.0.0.1:%%PORT_7%%' },
        http    => <<~'EOC',
            map $cookie_session $known { default ""; a alice; b bob; }
            server {
                listen 127.0.0.1:%%PORT_7%%;
                location / { return 200 "the application"; }
                location /session {
                    if ($known = "") { return 401; }
                    add_header X-User $known;
                    return 204;
                }
            }
            EOC
    );
    my %alice = (headers => { Cookie => 'session=a', 'Sec-Fetch-Site' => 'same-origin' });
    my %bob   = (headers => { Cookie => 'session=b' });

    is $t->request(GET => '/api/other')->{body}, 'the application', 'what is not ours';
    my $location = CompletionAsync::Example::main_job($t, '/api/translate', %alice);
    is $t->request(GET => $location, %bob)->{status}, 404, 'an operation is its user\'s';
    is submit($t, '/api/translate')->{status}, 401, 'without a session there is none';

    my $count = () = $t->emulator->submits;
    for my $site (qw(cross-site same-site)) {
        my %headers = (%{ $alice{headers} }, 'Sec-Fetch-Site' => $site);
        is submit($t, '/api/translate', headers => \%headers)->{status}, 403, "nor from a $site page";
    }
    is scalar(() = $t->emulator->submits), $count, '... which costs nothing';

    my @same = map { submit($t, '/api/translate', %alice) } 1 .. 2;
    is $same[1]->header('Location'), $same[0]->header('Location'), 'one text is paid once';
    $t->done;
}


sub behind_proxy ($conf) {
    my $uri = 'https://translate.example.com/translate/operations/';
    my $t = start($conf, replace => { '10.0.0.0/8' => '127.0.0.3' });
    my $from = sub ($client, %more) {
        return (headers => { 'X-Forwarded-For' => "10.9.9.9, $client" }, from => '127.0.0.3', %more);
    };

    my $r = submit($t, '/translate', $from->('192.0.2.1'));
    like $r->header('Location'), qr{^\Q$uri\E\w}, 'a Location that any client can follow';
    my $path = $r->header('Location') =~ s{^https://[^/]+}{}r;
    is $t->poll_until_done($path)->json->{done}, 1, '... through the proxy';

    my @refused = grep { $_->{status} == 429 }
        map { submit($t, '/translate', $from->('192.0.2.1')) } 1 .. 12;
    ok scalar @refused, 'a client that asks too often';
    is submit($t, '/translate', $from->('192.0.2.2'))->{status}, 202, '... is not all of them';
    is submit($t, '/translate', $from->('192.0.2.1', from => '127.0.0.4'))->{status}, 202,
        'nobody else says who a client is';
    $t->done;
}


sub server ($conf) {
    my $t = start($conf);
    my %key = (headers => { 'Idempotency-Key' => 'order-17' });

    my $r = submit($t, '/translate', %key);
    is $r->{status}, 200, 'a submit that waits by itself';
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: text', '... has the result';

    my $again = submit($t, '/translate', %key);
    is $again->{body}, $r->{body}, '... again under its key';
    is scalar(() = $t->emulator->submits), 1, '... for one submit';

    $r = submit($t, '/translate', body => '[delay=1]', headers => { Prefer => 'wait=0' });
    is $r->{status}, 202, 'one that does not wait';
    my $location = $r->header('Location');
    $r = $t->request(GET => $location, headers => { Prefer => 'wait=300' });
    is $r->header('Preference-Applied'), 'wait=300', 'minutes may be waited for';
    is $r->json->{done}, 1, '... if they are needed';
    is $t->stream($location)->event(5)->{id}, 'done', 'or a stream is read';

    my @answers = $t->concurrent(([ POST => '/translate', body => 'text' ]) x 25);
    is join(' ', sort map { $_->{status} } @answers), join(' ', (200) x 25),
        'a batch stands in line';
    $t->done;
}


sub isolated ($t, $alice, $bob, $refused) {
    my $location = CompletionAsync::Example::main_job($t, '/translate', %$alice);

    is $t->request(GET => $location, %$bob)->{status}, 404, "another user's operation is not there";
    is $t->request(DELETE => $location, %$bob)->{status}, 404, '... and cannot be cancelled';
    is $t->request(GET => $location)->{status}, $refused, '... nor read by nobody';
    is submit($t, '/translate')->{status}, $refused, '... who cannot submit';

    my @of = map {
        submit($t, '/translate', headers => { %{ $_->{headers} }, 'Idempotency-Key' => 'same' })
    } $alice, $alice, $bob;
    is $of[1]->header('Idempotency-Replayed'), 'true', 'a key is a user\'s own';
    is $of[2]->header('Idempotency-Replayed'), undef, '... and nothing to another one';
    isnt $of[2]->header('Location'), $of[0]->header('Location'), '... who gets an operation';
}


sub long_texts ($conf) {
    my $t = start($conf);

    CompletionAsync::Example::main_job($t, '/translate');

    my $before = () = $t->emulator->submits;
    my $text = join "\n\n", map { "Paragraph $_. " . 'word ' x 200 . 'end.' } 1 .. 12;
    my $r = $t->request(POST => '/translate', body => $text,
        headers => { Prefer => 'wait=60', Accept => 'text/plain' }, timeout => 70);
    my @parts = $t->emulator->submits;

    is $r->{status}, 200, 'a long text is waited for';
    is scalar(@parts) - $before, 4, '... in parts';
    is $r->{body} =~ s/echo: //gr, $text, '... and joined again';
    $t->done;
}


sub limit ($conf) {
    my $t = start($conf);

    my $location = CompletionAsync::Example::main_job($t, '/translate');
    my @answers = $t->concurrent(([ POST => '/translate', body => 'text' ]) x 6);
    is join(' ', sort map { $_->{status} } @answers), '202 202 202 202 202 429',
        'the burst is used up';

    my ($refused) = grep { $_->{status} == 429 } @answers;
    is $refused->header('Retry-After'), 10, '... and says when to come again';
    is scalar(() = $t->emulator->submits), 6, '... nothing of it went upstream';

    my @polls = $t->concurrent(([ GET => $location ]) x 20);
    is scalar(grep { $_->{status} == 200 && !$_->header('Retry-After') } @polls), 20,
        'polls are not limited';
    is submit($t, '/translate', from => '127.0.0.2')->{status}, 202, 'nor another client';
    is submit($t, '/translate', headers => { 'X-Forwarded-For' => '192.0.2.1' })->{status}, 202,
        '... of a proxy on this machine';
    submit($t, '/translate', from => '127.0.0.2') for 1 .. 6;
    is submit($t, '/translate', from => '127.0.0.2', headers => { 'X-Forwarded-For' => '192.0.2.2' })
        ->{status}, 429, '... which nobody else can be';
    $t->done;
}


sub native ($conf) {
    my $t = start($conf);
    my $path = '/foundationModels/v1/completionAsync';
    my %native = json(
        modelUri          => 'gpt://' . $t->folder . '/yandexgpt/latest',
        completionOptions => { stream => Mojo::JSON->false, temperature => 0.6, maxTokens => '2000' },
        messages          => [ { role => 'system', text => 'Переведи' },
            { role => 'user', text => 'text' } ],
    );

    my $r = submit($t, $path, %native);
    is $r->{status}, 202, 'a native request';
    is asked($t)->{model}, 'latest', '... of the model it names';
    is asked($t)->{system}, 'Переведи', '... with its own messages';

    my $id = $r->json->{id};
    is $r->header('Location'), "/operations/$id", '... is found by its id';
    $r = $t->poll_until_done("/operations/$id");
    is $r->json->{response}{alternatives}[0]{message}{text}, 'echo: text', '... and its result';
    is $r->json->{response}{usage}{totalTokens} =~ /^[0-9]+$/, 1, '... is as upstream spells it';

    $r = submit($t, $path, %native);
    $r = $t->request(POST => '/operations/' . $r->json->{id} . ':cancel');
    is $r->json->{error}{code}, 1, 'another one is cancelled';
    $t->done;
}


# A file of clients that knows these two.
sub clients () {
    return (files => { 'clients.map' => join '', map { sha256_hex("$_-key") . " $_;\n" } qw(alice bob) });
}


# README's program for Node.js with that package, as it is but for where it is and whom it asks.
sub readme_says ($t, $package, $entry, $expected) {
    my $folder = "$root/build/clients/node_modules/$package";
    return fail "npm's $package is there: run \"make deps\"" if !-e "$folder/package.json";

    my ($program) = grep { /from "$package"/ } CompletionAsync::Example::slurp("$root/README.md")
        =~ /^```js\n(.*?)^```$/gms;
    $program =~ s{(?<=from ")$package(?=")}{$folder/$entry};
    $program =~ s{127\.0\.0\.1:8080}{'127.0.0.1:' . $t->port}e;
    my $file = $t->write_file("$package.mjs", $program);

    local $ENV{KEY} = 'alice-key';
    open my $node, '-|:encoding(UTF-8)', 'node', $file or die "node: $!\n";
    is join('', <$node>), $expected, "the program of README, $package";
    close $node;
    is $?, 0, '... its status';
}


sub openai ($conf) {
    my $t = start($conf, clients());
    my %as  = map { $_ => { headers => { Authorization => "Bearer $_-key",
        'Content-Type' => 'application/json' } } } qw(alice bob eve);
    my %ask = (model => 'gpt-4o-mini', instructions => 'Переведи', input => 'text');

    my $r = $t->request(POST => '/v1/responses', %{ $as{alice} }, body => encode_json(\%ask));
    is $r->{status}, 200, 'a Response';
    is $r->json->{output}[0]{content}[0]{text}, 'echo: text', '... its text';
    is asked($t)->{model}, 'latest', '... of the model that the name stands for';

    my $path = '/v1/responses/' . $r->json->{id};
    is $t->request(GET => $path, %{ $as{bob} })->{status}, 404, '... nobody else\'s';
    is $t->request(GET => $path, %{ $as{eve} })->json->{error}{code}, 'invalid_api_key',
        'a key that is not known';
    is_deeply [ map { $_->{id} } @{ $t->request(GET => '/v1/models', %{ $as{bob} })->json->{data} } ],
        [ 'yandexgpt-lite', 'yandexgpt/latest', 'gpt-4o-mini' ], 'the models';

    readme_says($t, 'openai', 'index.mjs', "echo: To be, or not to be\n");
    $t->done;
}


sub libretranslate ($conf) {
    my $t = start($conf, clients());
    my %ask = (q => [ '<p>Hallo</p>', 'text' ], source => 'auto', target => 'ru', format => 'html');
    my $translate = sub (%more) { $t->request(POST => '/libre/translate', json(%ask, %more)) };

    is_deeply [ map { $_->{code} } @{ $t->request(GET => '/libre/languages')->json } ],
        [qw(en ru de fr es it pt pl uk tr zh ja)], 'the languages, without a key';
    my $r = $translate->(api_key => 'alice-key');
    is_deeply $r->json->{translatedText}, [ 'echo: <p>Hallo</p>', 'echo: text' ], 'two texts'
        or diag $r->{raw};
    like asked($t)->{system}, qr/from any language into Russian\.\n.*never meant for you/s,
        '... by its message';

    my $count = () = $t->emulator->submits;
    is $translate->(api_key => 'alice-key')->{status}, 200, 'once more';
    is scalar(() = $t->emulator->submits), $count, '... for nothing';
    is $translate->(api_key => 'bob-key')->{status}, 200, 'of somebody else';
    is scalar(() = $t->emulator->submits), $count + 2, '... it is paid for';
    is $translate->(api_key => $_)->{status}, 403, "the key \"$_\"" for 'eve-key', '';
    $t->done;
}


sub deepl ($conf) {
    my $t = start($conf, clients());
    my %alice = (headers => { Authorization => 'DeepL-Auth-Key alice-key',
        'Content-Type' => 'application/json' });
    my $translate = sub (%what) {
        return $t->request(POST => '/deepl/v2/translate', %alice, body => encode_json({
            target_lang => 'EN-US', %what }));
    };

    my $r = $translate->(text => [ 'Press <x id="1"></x>', 'text' ], source_lang => 'DE');
    is_deeply [ map { $_->{text} } @{ $r->json->{translations} } ], [ 'echo: Press <x id="1"></x>',
        'echo: text' ], 'two texts' or diag $r->{raw};
    like asked($t)->{system}, qr/from German into American English\.\n.*never meant for you/s,
        '... by its message';
    is $t->request(GET => '/deepl/v2/usage', headers => { Authorization => 'DeepL-Auth-Key eve-key' })
        ->{status}, 403, 'a key that is not known';

    readme_says($t, 'deepl-node', 'dist/index.js', "echo: To be, or not to be\n");
    $t->done;
}


sub cors ($conf) {
    my $t = start($conf);
    my %page  = (headers => { Origin => 'https://app.example.com' });
    my %other = (headers => { Origin => 'https://elsewhere.example.com' });
    my $allowed = sub ($r) { $r->header('Access-Control-Allow-Origin') };
    my $list = sub ($r, $name) {
        return { map { (lc, 1) } split /,\s*/, $r->header($name) // '' };
    };

    my $r = $t->request(OPTIONS => '/translate', headers => { %{ $page{headers} },
        'Access-Control-Request-Method'  => 'POST',
        'Access-Control-Request-Headers' => 'content-type,idempotency-key,prefer' });
    is $r->{status}, 204, 'a preflight';
    is $allowed->($r), 'https://app.example.com', '... is answered';
    ok $list->($r, 'Access-Control-Allow-Headers')->{$_}, "... $_ may be sent"
        for qw(content-type idempotency-key prefer if-none-match last-event-id);
    ok $list->($r, 'Access-Control-Allow-Methods')->{$_}, "... by \U$_" for qw(get post delete);

    my $location = CompletionAsync::Example::main_job($t, '/translate', %page);
    my %expected = (
        'a submit'    => [ 202, POST => '/translate', body => 'text' ],
        'a poll'      => [ 200, GET => $location ],
        'an error'    => [ 404, GET => '/translate/operations/none' ],
        'nothing new' => [ 304, GET => $location, 'If-None-Match' =>
            $t->request(GET => $location)->header('ETag') ],
    );
    for my $what (sort keys %expected) {
        my ($status, $method, $path, %more) = @{ $expected{$what} };
        my $body = delete $more{body};
        my @body = defined $body ? (body => $body) : ();

        $r = $t->request($method => $path, headers => { %{ $page{headers} }, %more }, @body);
        is $r->{status}, $status, $what;
        is $allowed->($r), 'https://app.example.com', '... may be read';
        ok $list->($r, 'Access-Control-Expose-Headers')->{$_}, "... with $_"
            for qw(location retry-after preference-applied etag idempotency-replayed
                x-should-retry);
        like $r->{raw}, qr/^Vary: Origin\r$/m, '... and varies with the origin';
        is $allowed->($t->request($method => $path, %other, @body)), undef,
            '... but not by another origin';
    }
    $t->done;
}


sub yandex_vm ($conf) {
    my $t = start($conf, emulator => { issue_tokens => 1 });

    CompletionAsync::Example::main_job($t, '/translate');
    submit($t, '/translate');

    my @asked = $t->emulator->journal(kind => 'metadata');
    is scalar @asked, 1, 'a token was asked for once';
    is $asked[0]{headers}{'metadata-flavor'}, 'Google', '... as the service demands';
    is scalar(grep { $_->{headers}{authorization} =~ /^Bearer \S+$/ } $t->emulator->submits), 2,
        '... and shown upstream';
    $t->done;
}


sub cluster ($conf) {
    my @node  = (CompletionAsync::Test->new(emulator => { delay => 0.2 }), CompletionAsync::Test->new(emulator => 0));
    my $redis = CompletionAsync::Redis->start(dir => $node[0]->testdir,
        acl => ['user nginx on >the-password ~* +@all']);
    my %same = (
        files => { 'ids.key' => join('', map { chr 32 + rand 90 } 1 .. 64), 'redis.key' => "the-password\n" },
        replace => { '10.0.0.5:6379' => '127.0.0.1:' . $redis->port },
    );

    $node[1]->secret($node[0]->folder, $node[0]->api_key, 'the-password');
    $node[1]->define(PROVIDER => $node[0]->expand('%%PROVIDER%%'));
    $_->run(CompletionAsync::Example::render($_, $conf, %same)) for @node;

    my $location = CompletionAsync::Example::main_job($node[0], '/translate');
    my @answers = map { $_->request(GET => $location) } @node;
    is join(' ', map { $_->{status} } @answers), '200 200', 'each node serves the id';
    is $answers[0]{body}, $answers[1]{body}, '... with the same result';

    is submit($node[1], '/translate', body => 'Another text')->{status}, 202, 'each node takes submits';
    ok wait_until(sub { $redis->clients >= 2 }), '... and both have found the server';
    is CompletionAsync::Metrics->scrape($_, '/metrics')->sum('redis_up'), 1, '... as a scrape says' for @node;

    subtest 'the other node' => sub { $node[1]->done };
    $node[0]->done;
}


sub balanced ($conf) {
    my $t    = CompletionAsync::Test->new(emulator => { delay => 0.2 });
    my $node = CompletionAsync::Test->new(emulator => 0);
    my %same = (
        files   => { 'ids.key' => join '', map { chr 32 + rand 90 } 1 .. 64 },
        replace => {
            '10.0.0.0/8'    => '127.0.0.1',
            '10.0.0.1:8081' => '127.0.0.1:' . $t->port(1),
            '10.0.0.2:8081' => '127.0.0.1:' . $node->port(1),
        },
    );

    $node->secret($t->folder, $t->api_key);
    $node->define(PROVIDER => $t->expand('%%PROVIDER%%'));
    $_->run(CompletionAsync::Example::render($_, $conf, %same)) for $t, $node;

    my $location = CompletionAsync::Example::main_job($t, '/translate');
    my @answers = map { $_->request(GET => $location, port => $_->port(1)) } $t, $node;
    is join(' ', map { $_->{status} } @answers), '200 200', 'each node serves the id';
    is $answers[0]{body}, $answers[1]{body}, '... with the same result';

    # A load balancer before them: one client is on one node, many are on both.
    my $polls = sub {
        map { CompletionAsync::Metrics->scrape($_, '/metrics', port => $_->port(1))->sum('polls_total') }
            $t, $node;
    };
    my $poll = sub ($n) { $t->request(GET => $location, headers => { 'X-Forwarded-For' => "192.0.2.$n" }) };
    my @before = $polls->();
    $poll->(1) for 1 .. 4;
    my @one = $polls->();
    is join(' ', sort map { $one[$_] - $before[$_] } 0, 1), '0 4', 'a client stays with a node';
    $poll->($_) for 2 .. 33;
    my @many = $polls->();
    ok $many[0] > $one[0] && $many[1] > $one[1], '... and clients are on both';

    my $r = submit($node, '/translate', body => '[delay=2]');
    $location = $r->header('Location');
    $r = $t->request(GET => $location, headers => { Prefer => 'wait=5' });
    is $r->json->{done}, 1, 'a long poll passes the balancer';

    $r = submit($t, '/translate', body => '[delay=1]');
    $location = $r->header('Location');
    $node->stop;
    $r = $t->request(GET => $location, headers => { Prefer => 'wait=5' });
    is $r->{status}, 200, 'with one node gone, the other goes on';
    is $r->json->{done}, 1, '... with what is on its way';
    is $t->stream($location)->event(5)->{id}, 'done', '... as a stream, too';

    subtest 'the other node' => sub { $node->done };
    $t->done;
}
