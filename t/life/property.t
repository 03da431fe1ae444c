# Random interleavings over two workers, a reload among them: whatever comes
# together, nothing is paid for twice, nobody gets at what is somebody else's,
# and what has ended stays as it ended.
# The seed is rolled, and printed: TEST_SEED repeats a run.  TEST_ROUNDS and
# TEST_SECONDS make it longer.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Test;

my $seed = $ENV{TEST_SEED} // int rand 2 ** 31;
my $rounds = $ENV{TEST_ROUNDS} // 60;
my $end = time + ($ENV{TEST_SECONDS} // 14);
srand $seed;
diag "TEST_SEED=$seed";

my $t = CompletionAsync::Test->new(emulator => { delay => 0.2 });
my $upstream = $t->emulator;

# "tight" has room for some forty operations
$t->run(<<'EOC');
%%TEST_GLOBALS%%
worker_processes 2;
events { worker_connections 1024; }
http {
    %%TEST_GLOBALS_HTTP%%
    completion_async_provider roomy {
        zone           roomy 4m;
        poll_interval  100ms 1s;
        %%PROVIDER%%
    }
    completion_async_provider tight {
        zone           tight 64k;
        poll_interval  100ms 1s;
        %%PROVIDER%%
    }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;

        completion_async_model yandexgpt-lite;
        completion_async_owner $http_x_user;
        add_header X-Source $completion_async_source always;

        location /keyed  { completion_async roomy; }
        location /brief  { completion_async roomy; completion_async_idempotency 3s; }
        location /shared { completion_async roomy; completion_async_cache 1h shared; }
        location /own    { completion_async roomy; completion_async_cache 1h owner; }
        location /tight  { completion_async tight; completion_async_cache 1h owner; }
    }
}
EOC

my @owners = qw(anna boris);
my @keyed = qw(keyed brief tight);
my (%broken, %key, %id, %done, %ended, %seen, %cancelled);
my $round = 0;


sub any_of (@list) { return $list[rand @list] }

# What memory lost, and a worker that quits was asking upstream for, is a 503.
sub reloading () { $round % 20 == 10 }

sub broken ($what, @detail) { diag("$what: @detail") if !$broken{$what}++ }

sub another ($owner) { return $owner eq 'anna' ? 'boris' : 'anna' }


sub headers ($owner, %more) {
    return (headers => { 'Content-Type' => 'text/plain', 'X-User' => $owner, %more });
}


# Actions: each returns a started client and what to do with its response.

# keys come and go slowly, so that several requests of a round share one
sub submit_keyed ($hang_up = 0) {
    my ($place, $owner) = (any_of(@keyed), any_of(@owners));
    my $key = $place . '-' . int($round / 3 + rand 3);
    my $text = "$place $owner $key";
    my @request = (POST => "/$place", headers($owner, 'Idempotency-Key' => $key),
        body => $text, timeout => 15);

    return $t->hang_up(@request, reset => any_of(0, 1)) && () if $hang_up;

    return [$t->start(@request), sub ($r) {
        submitted($r, $place, $owner, $text) or return;
        my $known = $key{$text} //= $r->header('Location');
        broken('a key has two ids', $text, $known, $r->header('Location'))
            if $place ne 'brief' && $known ne $r->header('Location');
    }];
}


sub submit_cached () {
    my ($place, $owner) = (any_of(qw(shared own)), any_of(@owners));
    my $text = ($place eq 'own' ? "$owner " : '') . "$place " . int($round / 4 + rand 2);

    return [$t->start(POST => "/$place", headers($owner), body => $text, timeout => 15),
        sub ($r) { submitted($r, $place, $owner, $text) }];
}


# what makes the small zone drop results and records
sub fill () {
    state $n = 0;
    my $owner = any_of(@owners);
    my $text = 'tight fill ' . ++$n . ' [size=3000]';

    return [$t->start(POST => '/tight', headers($owner), body => $text, timeout => 15),
        sub ($r) { submitted($r, 'tight', $owner, $text) }];
}


sub submitted ($r, $place, $owner, $text) {
    my $status = $r->{status} // 'none';

    if ($status !~ /^20[02]$/) {
        my $code = ($r->json // {})->{code} // '';
        my $expected = $code =~ /^(invalid_request|outcome_unknown)$/
            || ($place eq 'tight' && $code eq 'zone_full')
            || ($place eq 'tight' && $code eq 'upstream_unavailable' && reloading());
        broken('an unexpected answer to a submit', $text, $status, $code) if !$expected;
        $seen{$code}++;
        return 0;
    }

    my $location = $r->header('Location') // '';
    my ($id) = $location =~ m{^/$place/operations/([\w-]+)$}
        or broken('a strange id', $location);
    my $known = $id{$location} //= { owner => $owner, text => $text, place => $place };

    broken('an id for two owners', $location) if $known->{owner} ne $owner;
    broken('an id for two requests', $location, $text) if $known->{text} ne $text;
    $seen{$r->header('X-Source') // ''}++;
    return 1;
}


sub poll ($method = 'GET') {
    my $location = any_of(sort keys %id) // return;
    my $owner = $id{$location}{owner};
    my $began = $done{$location};

    if ($method eq 'DELETE' && $id{$location}{place} ne 'tight') {
        $cancelled{$location} = 1;
    }

    return [$t->start($method => $location, headers($owner), timeout => 15), sub ($r) {
        my $place = $id{$location}{place};
        my $status = $r->{status} // 'none';

        if ($method eq 'DELETE' && $place eq 'shared') {
            broken('a shared operation was cancelled', $location, $status) if $status != 409;
            return;
        }
        if ($status ne '200') {
            broken('an unexpected answer to a poll', $location, $status, $r->{body})
                if $place ne 'tight' || $status ne '503';
            return;
        }

        my $json = $r->json;
        my $now = !$json->{done} ? 'pending'
            : $json->{error}     ? "error $json->{error}{code}"
            :                      $json->{response}{alternatives}[0]{message}{text};

        # our own word for it goes with its record
        return if $place eq 'tight' && $now eq 'error 1';

        broken('a state went back', $location, $began, $now) if $began && $began ne $now;
        broken('cancelled, and not', $location, $now)
            if $method eq 'DELETE' && $place ne 'tight' && $now eq 'pending';
        broken('the result of something else', $id{$location}{text}, $now)
            if index($now, 'echo: ') == 0 && index($now, "echo: $id{$location}{text}") != 0;
        $done{$location} = $now if $now ne 'pending' && ($place ne 'tight' || $now =~ /^echo/);
        $ended{$location} //= time if $now ne 'pending';
        $seen{$now =~ s/ .*//rs}++;
    }];
}


sub intrude () {
    my $location = any_of(sort keys %id) // return;
    my $method = any_of(qw(GET GET DELETE));

    return [$t->start($method => $location, headers(another($id{$location}{owner}))), sub ($r) {
        broken('a foreign id was served', $location, $r->{status}) if $r->{status} != 404;
        $seen{foreign}++;
    }];
}


sub disturb () {
    my $fault = any_of([status => 400], [status => 503], [reset => 'request'],
        [delay => 0.3, reset => 'answer'], [delay => 0.5], [delay => 0.3]);
    $upstream->fault(submit => 1, @$fault);
}


my @actions = (
    (\&submit_keyed) x 8,
    (\&submit_cached) x 6,
    (\&poll) x 6,
    (\&fill) x 2,
    sub { poll('DELETE') },
    (\&intrude) x 2,
    sub { submit_keyed(1) },
    sub { $upstream->finish; return },
);

my $reloads = 0;

while ($round < $rounds && time < $end) {
    $round++;
    disturb() if rand() < 0.5;

    my @started = map { any_of(@actions)->() } 1 .. 6 + int rand 20;

    if (reloading()) {
        $t->reload or broken('no reload');
        $reloads++;
    }

    CompletionAsync::Client->gather([map { $_->[0] } @started], 15);
    $_->[1]->($_->[0]->response) for @started;
    $upstream->clear_faults;
}


# What upstream says.

my (%paid, %at, %text_of);

for my $entry ($upstream->submits) {
    my $text = $entry->{json}{messages}[-1]{text};
    $text_of{$entry->{operation}} = $text if $entry->{operation};

    # a 400 or a 503 was not accepted; all else may have been
    next if ($entry->{status} // 0) =~ /^(400|503)$/;
    push @{ $at{$text} }, $entry->{time};
    $paid{$text}++;
}

for my $text (sort keys %paid) {
    if ($text =~ /^brief/) {
        my @at = sort { $a <=> $b } @{ $at{$text} };
        for (1 .. $#at) {
            broken('paid twice within the time of a key', $text, @at) if $at[$_] - $at[$_ - 1] < 1.9;
        }
    }
    elsif ($text =~ /^(keyed|tight)/) {
        broken('a key was paid for twice', $text, $paid{$text}) if $paid{$text} > 1;
    }
}

for my $location (sort keys %id) {
    my ($operation) = grep { index($location, "/operations/$_") > 0 } keys %text_of;
    broken('an id that upstream does not know', $location) if !defined $operation;
    broken('an id of something else', $location)
        if defined $operation && $text_of{$operation} ne $id{$location}{text};
}

# asked for again after its end: it was dropped meanwhile
for my $poll ($upstream->journal(kind => 'poll')) {
    my ($location) = grep { index($_, "/operations/$poll->{operation}") > 0 } keys %ended;
    $seen{dropped}++ if $location && $poll->{time} > $ended{$location};
}

# of the cached, those are paid for anew that were cancelled or are unknown
my %again;
$again{$id{$_}{text}}++ for keys %cancelled;
for my $entry ($upstream->submits) {
    $again{$entry->{json}{messages}[-1]{text}}++ if ($entry->{end} // '') eq 'reset';
}
for my $text (grep { /\b(shared|own) / } keys %paid) {
    broken('an equal request was paid for twice', $text, $paid{$text})
        if $paid{$text} > 1 + ($again{$text} // 0);
}

is_deeply \%broken, {}, "nothing was broken in $round rounds";

for (qw(upstream joined replayed cached pending echo: foreign dropped)) {
    cmp_ok $seen{$_} // 0, '>', 0, "there was: $_";
}
cmp_ok $reloads, '>', 0, 'there was a reload';
note join ', ', map { "$_ $seen{$_}" } sort keys %seen;

$t->done;
