# A debug log is a trace of what happened, line by line, and gives nothing away: no credential, no
# text of a client, none of a result, no folder.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(uniq);
use Test::More;
use CompletionAsync::Client;
use CompletionAsync::Credentials;
use CompletionAsync::Test qw(wait_until);

my $t = CompletionAsync::Credentials->new(delay => 60);
my $emulator = $t->emulator;

plan skip_all => 'this nginx is built without --with-debug'
    if $t->nginx_v !~ /--with-debug/;

# What nobody is to read in it.
my %HIDDEN = (
    text   => 'the-text-of-a-client',
    result => 'echo: ',
    owner  => 'the-owner-of-it',
    key    => 'the-key-of-a-client',
    prompt => 'the-prompt-of-the-location',
    folder => $t->folder,
);

$t->secret_file('sa.json', $t->account_key('one'));
$t->write_file('id.key', 'k' x 32, 0600);
$t->emulator->set(api_key => $t->api_key);
$t->define(OWNER => $HIDDEN{owner}, PROMPT => $HIDDEN{prompt});

# Each has a token of its own: where a credential has just been refused, the next one has to wait.
my $PROVIDER = <<'EOC';
    folder          %%FOLDER%%;
    id_key          file:%%TESTDIR%%/id.key;
    submit_url      %%UPSTREAM%%/foundationModels/v1/completionAsync;
    operations_url  %%UPSTREAM%%/operations;
EOC
my $TOKEN = <<'EOC';
    service_account_key  file:%%TESTDIR%%/sa.json;
    iam_url              %%UPSTREAM%%/iam/v1/tokens;
    request_timeout      60s;
EOC

my $conf = <<"EOC";
worker_processes 1;
worker_shutdown_timeout 1s;
%%TEST_GLOBALS%%
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider first {
        zone first 1m; $PROVIDER $TOKEN
        poll_interval 100ms 300ms;
    }
    completion_async_provider second {
        zone second 1m; $PROVIDER $TOKEN
        poll_interval 100ms 300ms;
    }
    completion_async_provider third {
        zone third 1m; $PROVIDER $TOKEN
        poll_interval 20s 30s;
    }
    completion_async_provider slow {
        zone slow 1m; $PROVIDER
        api_key          file:%%TESTDIR%%/api.key;
        submit_rate      1r/s;
        submit_queue     60;
        request_timeout  8s;
    }
    server {
        listen 127.0.0.1:%%PORT%%;

        completion_async_model        yandexgpt-lite;
        completion_async_message      system "%%PROMPT%%";
        completion_async_owner        %%OWNER%%;
        completion_async_idempotency  1h;

        location /first  { completion_async first; }
        location /second { completion_async second; }
        location /third  { completion_async third; }
        location /slow   { completion_async slow; }
    }
}
EOC


# What this module wrote: its debug lines, and everything at other levels.
my $DEBUG = qr/^\S+ \S+ \[debug\] [0-9]+#[0-9]+: (?:\*[0-9]+ )?(completion \w+: .*)$/;

# One that is not ours, or a piece of it, is nothing.
sub ours () {
    my $ours;
    return map {
        $ours = /$DEBUG/ || !/\[debug\]/ if m{^[0-9/]+ [0-9:]+ \[};
        $ours ? s/$DEBUG/$1/r : ();
    } split /\n/, $t->log;
}


my $read = 0;

# What came since the last call.
sub news () {
    my @lines = ours();
    my @new   = @lines[ $read .. $#lines ];
    $read = @lines;
    return @new;
}


# Each pattern has its line, sooner or later, among what came since the last call.
sub traced ($name, @patterns) {
    my @missing = @patterns;
    my @lines;
    wait_until(sub {
        push @lines, news();
        @missing = grep { my $what = $_; !grep { /$what/ } @lines } @missing;
        return !@missing;
    }, 10);
    is join("\n", @missing), '', "$name: each step has its line" or diag(join "\n", @lines);
}


# Lines by which a submit, or a call, goes from state to state.
sub submit ($from, $event, $to) { qr/^completion submit: \w+ $from, $event: $to, / }
sub call ($kind, @states) { map { qr/^completion call: \w+ $kind, $_, / } @states }


sub post ($path, %headers) {
    return $t->start(POST => $path, body => $HIDDEN{text},
        headers => { 'Content-Type' => 'text/plain', %headers });
}


# Whose submit the worker has read when this returns.
sub post_read (@what) {
    my $client = post(@what);
    is $t->request(GET => '/first')->{status}, 405, 'a submit is under way';
    return $client;
}


sub post_keyed ($key) { post_read('/first', 'Idempotency-Key' => $key) }


sub accepted ($client, $name = 'accepted') {
    my $r = $client->response;
    is $r->{status}, 202, $name or diag $r->{body};
    return ($r->header('Location'), ($emulator->submits)[-1]{operation});
}


my ($location, $id);

subtest 'the main job, its token first' => sub {
    $emulator->fault(token => '1-3', delay => 0.5);
    $t->run($conf);

    ($location, $id) = accepted(post('/first'));
    $emulator->finish($id);
    like $t->poll_until_done($location)->{body}, qr/$HIDDEN{text}/, 'the result repeats the text';

    traced('the main job',
        qr/^completion request: \w+, method [0-9]+: 0/,
        qr/^completion renewal: of "first" begins/,
        qr/^completion renewal: of "first", outcome ok, status 200: ok/,
        qr/^completion news: \w+ waits for /,
        qr/^completion news: \w+ is woken, by /,
        qr/^completion news: \w+ is told/,
        submit(qw(known starts call)), submit(qw(call called call)), submit(qw(call called ended)),
        call(submit => qw(credential turn line sent done)),
        qr/^completion watch: "$id" is due, /,
        call(poll => qw(line sent done)),
        qr/^completion keep: "$id", outcome ok, state pending: /,
        qr/^completion keep: "$id", outcome ok, state completed: /,
    );
};


subtest 'another token after a 401, which a first try does not bring' => sub {
    my ($polled)    = (accepted(post('/second')))[1];
    my ($cancelled) = accepted(post('/third'));
    my $told        = ($emulator->submits)[-1]{operation};

    $emulator->fault(token => '1-3', status => 503);
    $emulator->revoke;
    is $t->request(DELETE => $cancelled)->{status}, 200, 'a cancel';
    accepted(post('/first'));

    traced('a submit, a poll and a cancel',
        map({ my $of = $_; map { qr/$_/ }
            qq(^completion credential: [0-9]+ of "$of" is refused),
            qq(^completion renewal: of "$of", outcome [a-z_]+, status 503: ),
            qq(^completion renewal: of "$of", outcome ok, status 200: ok) } qw(first second third)),
        call(submit => qw(sent turn credential line done)),
        submit(qw(call called call)), submit(qw(call called ended)),
        call(poll => qw(sent turn)),
        qr/^completion watch: "$polled" goes back, /,
        qr/^completion cancel: "$told": 0/,
        call(cancel => qw(line sent turn credential done)),
    );
    is scalar(() = $emulator->cancels($told)), 2, 'upstream is told twice';
};


subtest 'refused at first' => sub {
    $emulator->fault(submit => 1, status => 503);
    accepted(post('/first'));
    traced('a repeat', submit(qw(call called pause)), submit(qw(pause time call)),
        qr/ while submitting to provider "first", try: 1/);
};


subtest 'one that joins another' => sub {
    $emulator->fault(submit => 1, delay => 1.5);
    my @clients = map { post_keyed("$HIDDEN{key}-1") } 1 .. 3;
    $clients[2]->close;
    accepted($_) for @clients[ 0, 1 ];
    traced('who joined', submit(qw(known starts joined)), submit(qw(joined time joined)),
        submit(qw(joined news ended)), submit(qw(joined left ended)));
    accepted(post_keyed("$HIDDEN{key}-1"));
    traced('who comes later', submit(qw(known starts ended)));
};


subtest 'a place in the line' => sub {
    accepted($_) for map { post_read('/slow') } 1, 2;
    traced('the second', submit(qw(known starts quota)), submit(qw(quota news call)));
};


subtest 'who waits, and a stream' => sub {
    ($location, $id) = accepted(post('/first'));
    my $client = $t->start(GET => $location, headers => { Prefer => 'wait=10' });
    my $stream = $t->stream($location);
    ok $stream->event(5), 'a stream begins';
    traced('those who wait', qr/^completion wait: \w+ for "$id", [0-9]+ ms/,
        qr/^completion stream: \w+, version [0-9]+, state pending: 0/);
    $emulator->finish($id);
    is $client->response->{status}, 200, 'who waited has the result';
    like $stream->event(5)->{data}, qr/$HIDDEN{text}/, 'and the stream';
    traced('the end of it', qr/^completion wait: \w+ is over, state completed: /,
        qr/^completion stream: \w+, version [0-9]+, state completed: 0/);
};


subtest 'an operation that is adopted' => sub {
    ($location, $id) = accepted(post('/first'));
    $t->stop;
    $t->run($conf);
    $emulator->finish($id);
    like $t->poll_until_done($location)->{body}, qr/$HIDDEN{text}/, 'its result is had';
    traced('adoption', qr/^completion read: "$id" is adopted: 0/,
        qr/^completion watch: "$id" is due/, qr/^completion keep: "$id", outcome ok, state completed: 0/);
};


subtest 'a reload, and a worker that may not stay' => sub {
    $emulator->fault(submit => 1, status => 503, retry_after => 40);
    my $paused = post_read('/first');
    traced('who pauses', submit(qw(call called pause)));

    $emulator->fault(token => 'every', hang => 'request');
    $emulator->revoke;
    my $waiting = post_read('/third');
    traced('who waits for a token', call(submit => qw(turn credential)));

    $emulator->fault(submit => 'every', hang => 'request');
    my ($called, $joined) = map { post_keyed("$HIDDEN{key}-2") } 1, 2;
    my @queued = map { post_read('/slow') } 1 .. 14;
    traced('those under way', submit(qw(known starts joined)), submit(qw(known starts quota)));

    $t->secret_file('sa.json', $t->account_key('two',
        service_account_id => 'ajeaccount1111111111'));
    traced('another key', qr/sa\.json" has changed, provider "first" goes on with what it holds now/,
        qr/^completion renewal: of "first" begins/);
    ok $t->reload(wait_old => 1, timeout => 20), 'a reload';
    $_->response for $paused, $waiting, $called, $joined, @queued;

    traced('the end of them', submit(qw(quota quit ended)), submit(qw(quota cut ended)),
        submit(qw(call cut ended)), submit(qw(pause cut ended)), submit(qw(joined cut ended)),
        submit(qw(joined quit joined)), qr/^completion renewal: of "first" begins/);

    # Unless it pauses just then, a worker that goes gives up a token it gets.
    ok wait_until(sub {
        $t->reload(wait_old => 1);
        return grep { /^completion renewal: of "\w+" is given up/ } news();
    }, 30), 'a token that is not waited for';
};


subtest 'what the lines of ours tell' => sub {
    my @lines = ours();

    # What was sent to upstream in place of a password, and what a client holds.
    my @journal = $emulator->journal;
    my @sent = uniq map { s/^\S+ //r } grep { defined } map { $_->{headers}{authorization} } @journal;
    my @jwt  = map { $_->{json}{jwt} // () } grep { $_->{kind} eq 'token' } @journal;
    my ($capability) = $location =~ m{([^/]+)$};

    cmp_ok scalar @lines, '>', 200, 'there are many';
    cmp_ok scalar @sent, '>=', 6, 'tokens were shown, and an API key';
    cmp_ok scalar @jwt, '>=', 6, 'and were got by JWT';

    my $shown = sub ($what) { scalar grep { index($_, $what) >= 0 } @lines };
    cmp_ok $shown->($id), '>', 0, 'control: an operation is named by upstream\'s id';
    is $shown->($HIDDEN{$_}), 0, "the $_ is in none" for sort keys %HIDDEN;
    is $shown->($capability), 0, 'nor what a client holds';
    is $shown->(substr $capability, -24), 0, 'nor its signature';
    is scalar(grep { $shown->($_) } @sent), 0, 'nor a credential';
    is scalar(grep { $shown->($_) } map { (split /\./)[ 1, 2 ] } @jwt), 0, 'nor a JWT';
    is $shown->('k' x 32), 0, 'nor the key of ids';
    is $shown->('PRIVATE KEY'), 0, 'nor a private key';
};

$t->done;
