package CompletionAsync::Chaos::Client;

=head1 NAME

CompletionAsync::Chaos::Client - one client of a chaotic run, and its journal

=head1 SYNOPSIS

    my $client = CompletionAsync::Chaos::Client->new(
        test => $t, number => 3, seed => $seed, start => time, file => $handle);
    $client->storm($end);        # any request there is, at random, and hanging up in any state
    $client->calm($seconds);     # asks for what was accepted until all of it has ended
    $client->after;              # everything works again
    $client->again($until);      # requests that leave nothing behind, until it is true

=head1 DESCRIPTION

Its random numbers follow from the seed and its number. Each request becomes a line of JSON in the
file, as L<CompletionAsync::Chaos::Checker> reads them. A text has a token of its own, which
upstream echoes; texts that several clients send (under a key, or to be cached) are those of an
epoch of three seconds.

=cut

use strict;
use warnings;
use v5.36;

use Digest::MD5 qw(md5_hex);
use IO::Handle;
use List::Util qw(min shuffle);
use Mojo::JSON qw(encode_json);
use Time::HiRes qw(sleep time);

use CompletionAsync::Client qw(wait_until);

use constant EPOCH => 3;

my @OWNERS    = qw(anna boris wera);
my @PROVIDERS = qw(roomy roomy tight quota);

# what a client does, and how often
my @ACTIONS = (
    [ plain => 6 ], [ waiting => 3 ], [ streamed => 2 ], [ keyed => 4 ], [ cached => 2 ],
    [ shared => 1 ], [ translate => 4 ], [ mismatch => 1 ], [ large => 1 ], [ ask => 10 ], [ as_text => 2 ],
    [ stream => 3 ], [ cancel => 2 ], [ foreign => 3 ], [ forged => 1 ], [ invalid => 2 ],
    [ vanish => 6 ],
);
my @DECK = map { my ($name, $weight) = @$_; ($name) x $weight } @ACTIONS;

my @OUTCOMES = (
    ('') x 8, map { "[outcome=$_]" } qw(failed:8:no failed:3:bad failed:13 truncated null_dates
    fraction exotic reasoning no_usage early_error error0 status:ALTERNATIVE_STATUS_NEW),
);


sub new ($class, %arg) {
    srand $arg{seed} * 1000 + $arg{number};
    return bless { n => 0, known => [], %arg }, $class;
}


sub storm ($self, $end) {
    while (time < $end) {
        my $action = "_$DECK[ rand @DECK ]";
        $self->$action;
        sleep rand 0.1;
    }
}


sub calm ($self, $seconds) {
    my %open = map { $_->{location} => $_ } grep { !$_->{done} } @{ $self->{known} };

    wait_until(sub {
        my @some = grep { defined } (values %open)[ 0 .. 7 ];
        my @entries = $self->_requests(
            map { $self->_asking(ask => $_, phase => 'calm', prefer => 'wait=2') } @some);

        for my $entry (@entries) {
            my $json = $entry->{response}->json;
            delete $open{ $entry->{location} } if ref $json eq 'HASH' && $json->{done};
        }
        return !%open;
    }, $seconds, 0.1) if %open;
    $_->{done} = !$open{ $_->{location} } for @{ $self->{known} };
}


# All clients come at once, for which a quota and its line may be too short a few times.
sub after ($self) {
    for my $provider (qw(roomy tight quota)) {
        my $entry;
        my $tries = $provider eq 'quota' ? 5 : 1;
        wait_until(sub {
            my @busy = --$tries ? (expect => [ 200, 202, 429 ]) : ();
            ($entry) = $self->_requests($self->_submit($provider, phase => 'after', @busy));
            return !$tries || ($entry->{status} // 0) != 429;
        }, 30, 1);
        $self->calm(15) if defined $entry->{location};
    }
}


# A key used for another request makes a zone look for what has outlived its time, no more.
sub again ($self, $until) {
    my %first;

    for my $provider (qw(roomy tight quota cache)) {
        my %same = ($provider eq 'cache' ? (path => 'cached') : (), phase => 'after',
            key => 'again', owner => 'anna');
        my ($first) = $self->_requests($self->_submit($provider, %same, text => $self->_text('')));
        $first{$provider} = { %same, expect => [422], code => 'mismatch',
            first => $first->{start} };
    }
    $self->calm(15);

    wait_until(sub {
        for my $provider (sort keys %first) {
            $self->_requests(map { $self->_submit($provider, %{ $first{$provider} }) } 1 .. 8);
        }
        return $until->();
    }, 3600, 0.02);
}


# Texts and whom to ask about what

sub _any ($self, @list) { $list[ rand @list ] }
sub _owner ($self)      { $self->_any(@OWNERS) }
sub _epoch ($self)      { int((time - $self->{start}) / EPOCH) }


sub _marks ($self) {
    my $size = $self->_any((0) x 12, 3000, 3000, 20_000);
    return sprintf('[delay=%.1f]', rand 1.2) . $self->_any(@OUTCOMES)
        . ($size ? "[size=$size]" : '') . (rand() < 0.05 ? '[cancel=ignore]' : '');
}


# The same for all who give the same names; without names it is nobody else's.
sub _text ($self, $marks, @names) {
    @names = ($self->{number}, $self->{n}) if !@names;
    return 'tok_' . substr(md5_hex(join "\0", $self->{seed}, @names), 0, 14) . " $marks";
}


sub _submit ($self, $provider, %arg) {
    my $owner = delete $arg{owner} // $self->_owner;
    my $text  = delete $arg{text} // $self->_text($self->_marks);
    my %headers = ('X-Owner' => $owner, 'Content-Type' => 'text/plain');

    $headers{'Idempotency-Key'} = $arg{key} if defined $arg{key};
    $headers{Prefer} = delete $arg{prefer} if defined $arg{prefer};
    $headers{Accept} = delete $arg{accept} if defined $arg{accept};
    return {
        action   => 'submit',
        method   => 'POST',
        path     => '/' . (delete $arg{path} // $provider),
        provider => $provider,
        owner    => $owner,
        text     => $text,
        sent     => \%headers,
        bytes    => $text,
        phase    => 'storm',
        %arg,
    };
}


sub _asking ($self, $action, $known, %arg) {
    my %headers = ('X-Owner' => $arg{owner} // $known->{owner});

    $headers{Prefer} = delete $arg{prefer} if defined $arg{prefer};
    $headers{Accept} = delete $arg{accept} if defined $arg{accept};
    return {
        action   => $action,
        method   => 'GET',
        path     => $known->{location},
        location => $known->{location},
        provider => $known->{provider},
        owner    => $known->{owner},
        sent     => \%headers,
        phase    => 'storm',
        %arg,
    };
}


# Requests

sub _requests ($self, @entries) {
    my @clients = map { $self->_start($_) } @entries;

    CompletionAsync::Client->gather(\@clients, 20);
    $self->_end($entries[$_], $clients[$_]) for 0 .. $#entries;
    return @entries;
}


sub _start ($self, $entry) {
    @$entry{qw(client n start)} = ($self->{number}, ++$self->{n}, time);
    return $self->{test}->client(timeout => 20)->start(
        @$entry{qw(method path)},
        close   => 1,
        headers => $entry->{sent},
        defined $entry->{bytes} ? (body => $entry->{bytes}) : (),
    );
}


sub _end ($self, $entry, $client) {
    my $r = $entry->{response} = $client->response;

    $entry->{end} = $entry->{start} + ($r->{time} // 0);
    @$entry{qw(status error body)} = ($r->{status}, $r->{error}, $r->text);
    $entry->{headers} = { map { $_ => $r->header($_) } qw(content-type retry-after) };
    $entry->{location} //= $r->header('Location');
    $client->close;
    $self->_events($entry) if ($r->header('Content-Type') // '') =~ m{^text/event-stream};

    my %known = map { $_ => $entry->{$_} } qw(location provider owner shared cached);
    push @{ $self->{known} }, \%known if defined $known{location} && $entry->{action} eq 'submit';
    $self->_journal($entry);
}


sub _events ($self, $entry) {
    for my $event (split /\n\n/, delete $entry->{body}) {
        my %field = $event =~ /^(id|data): (.*)$/mg;
        push @{ $entry->{events} }, \%field if %field;
    }
}


sub _journal ($self, $entry) {
    my %line = map { $_ => $entry->{$_} } grep { defined $entry->{$_} && !/^(?:response|bytes)$/ }
        keys %$entry;
    print { $self->{file} } encode_json(\%line), "\n";
}


# What there is to do

sub _plain ($self)    { $self->_requests($self->_submit($self->_any(@PROVIDERS))) }
sub _waiting ($self)  { $self->_requests($self->_submit($self->_any(@PROVIDERS), prefer => 'wait=2')) }


sub _streamed ($self) {
    $self->_requests($self->_submit($self->_any(@PROVIDERS), accept => 'text/event-stream'));
}


sub _key ($self, $provider, $owner) {
    my $key = sprintf 'key-%d-%d', $self->_epoch, rand 4;
    return (key => $key, owner => $owner,
        text => $self->_text('[delay=0.4]', $provider, $owner, $key));
}


# The same several times at once; the key is also that of others, and of other owners.
sub _keyed ($self) {
    my $provider = $self->_any(qw(roomy quota));
    my %same = $self->_key($provider, $self->_owner);
    $self->_requests(map { $self->_submit($provider, %same) } 1 .. 1 + rand 3);
}


sub _mismatch ($self) {
    my %same = (key => "own-$self->{number}-$self->{n}", owner => $self->_owner);
    my ($first) = $self->_requests($self->_submit('roomy', %same));

    return if ($first->{status} // 0) != 202;
    $self->_requests($self->_submit('roomy', %same, code => 'mismatch', expect => [422],
        first => $first->{start}));
}


# Equal requests of all owners, each for itself.
sub _cached ($self, $path = 'cached', %arg) {
    my $text = $self->_text('[delay=0.4]', $path, $self->_epoch, int rand 3);
    $self->_requests(map { $self->_submit('cache', path => $path, text => $text, cached => 1, %arg) }
        1 .. 1 + rand 3);
}


sub _shared ($self) {
    $self->_cached('shared', shared => 1);

    my ($known) = grep { $_->{shared} } reverse @{ $self->{known} } or return;
    $self->_requests($self->_asking(invalid => $known, method => 'DELETE', expect => [409]));
}


# The same in both interfaces, which are one to upstream.
sub _translate ($self) {
    my $text = $self->_text('[delay=0.4]', 'translate', $self->_epoch, int rand 3);
    my %as = (
        'libre/translate'    => { q => $text, source => 'en', target => 'ru' },
        'deepl/v2/translate' => { text => [$text], source_lang => 'EN', target_lang => 'RU' },
    );
    my @paths = sort keys %as;

    $self->_requests(map {
        my $path  = $self->_any(@paths);
        my $entry = $self->_submit('cache', action => 'translate', path => $path, text => $text,
            cached => 1, bytes => encode_json($as{$path}));
        $entry->{sent}{'Content-Type'} = 'application/json';
        $entry;
    } 1 .. 1 + rand 3);
}


# nginx has to write its body into a file.
sub _large ($self) {
    my $text  = $self->_text('[delay=0.1]');
    my $entry = $self->_submit('roomy', text => $text, large => 1,
        bytes => encode_json({ text => $text }) . ' ' x 1_600_000);

    $entry->{sent}{'Content-Type'} = 'application/json';
    $self->_requests($entry);
}


sub _known ($self) {
    my @known = @{ $self->{known} };
    splice @known, 0, -12 if @known > 12;
    return @known ? $self->_any(@known) : ();
}


sub _ask ($self) {
    my $known = $self->_known or return;
    $self->_requests($self->_asking(ask => $known, rand() < 0.5 ? (prefer => 'wait=2') : ()));
}



sub _as_text ($self) {
    my $known = $self->_known or return;
    $self->_requests($self->_asking(text => $known, accept => 'text/plain'));
}


sub _stream ($self) {
    my $known = $self->_known or return;
    $self->_requests($self->_asking(stream => $known, accept => 'text/event-stream'));
}


sub _cancel ($self) {
    my $known = $self->_known or return;
    return if $known->{cached};
    my %how = rand() < 0.5 ? (method => 'DELETE') : (method => 'POST',
        path => "$known->{location}:cancel");
    $self->_requests($self->_asking(cancel => $known, %how));
}


# Another owner tries all there is.
sub _foreign ($self) {
    my $known = $self->_known or return;
    my ($other) = grep { $_ ne $known->{owner} } shuffle @OWNERS;
    my $how = $self->_any([ 'GET' ], [ 'HEAD' ], [ 'DELETE' ], [ GET => 'text/event-stream' ],
        [ GET => 'text/plain' ]);

    $self->_requests($self->_asking(foreign => $known, method => $how->[0], owner => $other,
        defined $how->[1] ? (accept => $how->[1]) : ()));
}


sub _forged ($self) {
    my $known = $self->_known or return;
    my $path = $known->{location} =~ s/(.)$/$1 eq 'A' ? 'B' : 'A'/er;
    $self->_requests($self->_asking(invalid => $known, path => $path, location => undef,
        expect => [404]));
}


sub _invalid ($self) {
    my ($what, $status) = @{ $self->_any(
        [ { 'Content-Type' => 'application/json' }, 400 ],
        [ { 'Content-Type' => 'image/png' }, 415 ],
        [ { Accept => 'image/png' }, 406 ],
        [ { 'X-Owner' => '' }, 403 ],
    ) };
    my $entry = $self->_submit('roomy', action => 'invalid', text => undef, bytes => 'none of it',
        expect => [$status]);

    $entry->{sent} = { %{ $entry->{sent} }, %$what };
    $self->_requests($entry);
}


# Hangs up in the head, in the body, at once, while waiting, in a stream.
sub _vanish ($self) {
    my $where = $self->_any(qw(head body sent waiting stream poll));
    my $known = $where eq 'poll' ? $self->_known : undef;
    my $entry = $known ? $self->_asking(ask => $known, prefer => 'wait=2')
        : $self->_submit($self->_any(@PROVIDERS),
            $where eq 'waiting' ? (prefer => 'wait=2')
            : $where eq 'stream' ? (accept => 'text/event-stream') : ());

    $entry->{vanished} = 1;
    @$entry{qw(client n start)} = ($self->{number}, ++$self->{n}, time);

    my $client = $self->{test}->client;
    my $bytes  = $client->format(@$entry{qw(method path)}, headers => $entry->{sent},
        defined $entry->{bytes} ? (body => $entry->{bytes}) : ());
    my $head = index($bytes, "\r\n\r\n") + 4;
    my $at = $where eq 'head' ? 1 + rand($head - 1)
        : $where eq 'body' ? $head + rand(length($bytes) - $head)
        : length $bytes;

    $entry->{partial} = 1 if int $at < length $bytes;
    if ($where =~ /^(?:head|body|sent)$/) {
        $client->hang_up(substr($bytes, 0, $at), rand() < 0.5);

    } else {
        $client->raw($bytes);
        CompletionAsync::Client->gather([$client], rand 0.5);
        rand() < 0.5 ? $client->reset : $client->close;
    }
    $entry->{end} = time;
    $self->_journal($entry);
}


1;
