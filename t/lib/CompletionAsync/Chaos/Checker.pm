package CompletionAsync::Chaos::Checker;

=head1 NAME

CompletionAsync::Chaos::Checker - what must hold of a run, read off its journals

=head1 SYNOPSIS

    my $broken = CompletionAsync::Chaos::Checker->check(
        upstream => [...],      # entries of the emulator's journal
        clients  => [...],      # what the clients did and saw
        strikes  => [...],      # what was done to nginx
        states   => [...],      # what nginx held before and after
        log      => [...],      # lines of its error log
        rules    => { PROVIDER => { submit => [[4, 1]], poll => [[50, 1]], keep => 8 } },
        secrets  => [...],
    );
    is_deeply $broken->{lost}, [];

=head1 DESCRIPTION

Free of processes and sockets, so that journals with planted faults can be given to it. The
answer has a list of violations for each of the invariants:

    lost       a 202 with a Location ends in its own result, or in the failure upstream said
    crossed    whatever a client sees holds its own text only; another owner's id is a 404
    twice      a text is upstream once, but for refusals and what one life cannot know of another
    unasked    upstream gets only what a client sent, and sent completely
    keys       one Idempotency-Key is one operation in one life; of each owner their own
    quota      starts within any window, in one life
    backwards  what is done stays done, as it was
    status     each answer is one of the contract's, no translator's a 429 or a 503; only a kill
               cuts a connection
    left       zone and descriptors are what they were
    log        no [alert] but those of the kills, no [emerg], no [crit]; no secret

A B<life> is that of a zone: a binary upgrade begins another one while the old one ends, and so
does a zone that was made anew. Of several nodes (C<nodes>) one life is as long as their server remembers:
it ends with a strike that C<forgot>. While a strike has the server C<away>, or a node says that it lost it, each
node goes on by itself: equal requests may be paid by each, and a rate is one of each; what has a key is not sent. A
cancel on one is known to all, if the server is not away.

A client's entry: action (submit, translate, ask, text, stream, cancel, foreign, invalid), provider, owner,
start, end; text, key, cached (of a submit); location (asked for, or answered); status, headers
(lower case), body, error; events (of a stream: id, data); phase (storm, calm, after); vanished
and partial (hung up, before the request was complete); expect (the statuses, where the
action does not tell); large (the body is written to a file).

A strike: what (kill, hup, usr2, disk, ...), time, end. A state: when (before, after), used (by
zone and size of a slot of its slab, how many), descriptors (by process). Only keys may stay in a
zone until they are met.
C<keep> are the seconds that a zone keeps a cancel of ours.

=cut

use strict;
use warnings;
use v5.36;

use List::Util qw(any max min uniq);
use Mojo::JSON qw(encode_json from_json);
use POSIX qw(mktime);

# what a disk that is full leaves in the log
our $FULL_DISK = qr/\[crit\].*pwrite\(\) .*\(27: File too large\)/;

our @INVARIANTS = qw(lost crossed twice unasked keys quota backwards status left log);

# bytes of the slot that a key takes
use constant KEY => 256;

# of a window, in seconds: how late a machine under load may read what was sent in time
my $QUOTA_SLACK = 0.25;

# seconds that a client may take to see that its connection was cut
my $SEEN_LATE = 5;

# seconds from what strikes the server of several nodes until all of them know, and from its end on
my $AWAY_LATE = 3;

# seconds from a cancel on one node until all of them have it
my $NEWS_LATE = 1.5 + 1;

# seconds from a connection to its first request, beyond which upstream is at fault
my $CONNECT_SLACK = 0.1;

# upstream did not take it, and it may be sent again, or not but by a client
my %REFUSED = map { $_ => 1 } 401, 429, 503;

my %PROBLEM = (
    invalid_request => 400, forbidden => 403, operation_not_found => 404,
    method_not_allowed => 405, not_acceptable => 406, request_conflict => 409,
    request_too_large => 413, unsupported_media_type => 415, idempotency_mismatch => 422,
    quota_exceeded => 429, upstream_rejected => 502, outcome_unknown => 424,
    upstream_unavailable => 503, redis_unavailable => 503, zone_full => 503, overloaded => 503, upstream_timeout => 504,
);

my %STATUS = (
    submit    => [ 200, 202, 400, 424, 429, 502, 503, 504 ],
    translate => [ 200, 400, 424, 502, 504 ],
    ask       => [ 200, 503 ],
    stream    => [ 200, 503 ],
    text      => [ 200, 202, 400, 410, 422, 424, 503 ],
    cancel    => [ 200, 503 ],
    foreign   => [404],
);


sub check ($class, %journal) {
    my $self = bless { broken => { map { $_ => [] } @INVARIANTS }, %journal }, $class;

    $self->_lose if $self->{nodes};
    $self->_read;
    $self->_lost;
    $self->_crossed;
    $self->_submits;
    $self->_keys;
    $self->_quota;
    $self->_backwards;
    $self->_status;
    $self->_left;
    $self->_log;
    return $self->{broken};
}


sub _broken ($self, $invariant, @what) { push @{ $self->{broken}{$invariant} }, join ' ', @what }


sub _name ($entry) {
    return sprintf '%s/%s %s %s%s', $entry->{client} // '-', $entry->{n} // '-', $entry->{action},
        $entry->{location} // substr($entry->{text} // '', 0, 40),
        defined $entry->{status} ? " -> $entry->{status}" : " -> $entry->{error}";
}


sub _pays ($entry) { $entry->{action} =~ /^(?:submit|translate)$/ }


# A machine that is busy may be the server's loss to a node, as well as a strike.
sub _lose ($self) {
    my @lost;

    for my $line (@{ $self->{log} }) {
        my ($year, $month, $day, @time) = $line =~ m{^(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+) .*is not reachable:} or next;
        my $time = mktime(reverse(@time), $day, $month - 1, $year - 1900, 0, 0, -1);
        push @lost, { what => 'lost', time => $time, end => $time + 1, away => 1 };
    }
    $self->{strikes} = [ @{ $self->{strikes} }, @lost ];
}


# What the other checks look things up in.
sub _read ($self) {
    my @sent = grep { _pays($_) && defined $_->{text} } @{ $self->{clients} };

    for my $entry (@sent) {
        push @{ $self->{sent}{ $entry->{text} } }, $entry;
        $self->{submitted}{ $entry->{location} } //= $entry if defined $entry->{location};
    }
    for my $request (sort { $a->{time} <=> $b->{time} } @{ $self->{upstream} }) {
        my $text = $request->{kind} eq 'submit' ? _user_text($request)
            : $self->{text_of}{ $request->{operation} // '' };

        next if !defined $text;
        $self->{text_of}{ $request->{operation} } = $text if defined $request->{operation};
        push @{ $self->{seen}{ $request->{kind} }{$text} }, $request;
        my $sent = $self->{sent}{$text} or next;
        next if ($request->{nth} // 0) == 1
            && $request->{time} - $request->{connected} > $CONNECT_SLACK;
        push @{ $self->{starts}{ $sent->[0]{provider} }{ $request->{kind} } }, $request->{time};
    }
    for my $entry (@{ $self->{clients} }) {
        push @{ $self->{at}{ $entry->{location} } }, $entry if defined $entry->{location};
    }
    $self->{lives} = [
        map { [ $_->{time}, $_->{end} ] } grep { $_->{forgot} || $_->{what} =~ /^(?:usr2|zone)$/ }
            @{ $self->{strikes} }
    ];
}


sub _user_text ($request) {
    my $messages = ref $request->{json} eq 'HASH' ? $request->{json}{messages} : undef;
    return ref $messages eq 'ARRAY' ? $messages->[-1]{text} : undef;
}


# How many times a life may have ended, and another begun, in between.
sub _lives ($self, $from, $to) {
    return scalar grep { $_->[0] <= $to && $_->[1] >= $from } @{ $self->{lives} };
}


# Whether nodes may have been by themselves in between: some see that late, and see late that it is over.
sub _alone ($self, $from, $to) {
    return any { $_->{away} && $_->{time} - $AWAY_LATE <= $to && $_->{end} + $AWAY_LATE >= $from }
        @{ $self->{strikes} };
}


sub _strikes ($self, $what, $from, $to) {
    return grep { $_->{what} eq $what && $_->{time} <= $to && $_->{end} >= $from }
        @{ $self->{strikes} };
}


# All that an answer says of operations: documents in the order they came.
sub _documents ($entry) {
    my @json = map { $_->{data} } grep { defined $_->{data} } @{ $entry->{events} // [] };

    push @json, $entry->{body} if !@json && ($entry->{status} // 0) =~ /^20[02]$/
        && ($entry->{headers}{'content-type'} // '') =~ m{^application/json};
    return grep { ref $_ eq 'HASH' } map { ref $_ ? $_ : eval { from_json($_) } } @json;
}


sub _own ($json, $text) {
    my ($code) = $text =~ /\[outcome=failed:([0-9]+)/;
    my $error  = ref $json->{error} eq 'HASH' ? $json->{error}{code} : undef;
    my $result = eval { $json->{response}{alternatives}[0]{message}{text} };

    return 'failed' if defined $code && defined $error && $error == $code;
    return 'result' if !defined $code && defined $result && index($result, "echo: $text") >= 0;
    return 'cancelled' if defined $error && $error == 1;
    return 'unusable' if _unusable($json);
    return;
}


# Upstream gave what cannot be taken: it is asked again for the next client that asks.
sub _unusable ($json) {
    return ref $json->{error} eq 'HASH'
        && ($json->{error}{message} // '') =~ /^The (?:result is longer|upstream's result cannot)/;
}


sub _lost ($self) {
    for my $location (sort keys %{ $self->{submitted} }) {
        my $submit = $self->{submitted}{$location};
        my @entries = @{ $self->{at}{$location} };
        my @done = grep { $_->{done} } map { _documents($_) } grep { $_->{action} ne 'foreign' }
            @entries;

        if (!@done) {
            my ($last) = sort { $b->{end} <=> $a->{end} } @entries;
            $self->_broken(lost => $location, 'of', $submit->{text}, 'last', _name($last));
            next;
        }
        for my $json (@done) {
            my $end = _own($json, $submit->{text}) // 'strange';
            next if $end =~ /^(?:result|failed)$/;
            next if $end eq 'cancelled' && any { $_->{action} eq 'cancel' } @entries;
            next if $end eq 'unusable'
                && any { defined $_->{fault} } @{ $self->{seen}{poll}{ $submit->{text} } // [] };
            $self->_broken(lost => $location, 'of', $submit->{text}, 'ended', $end, _spelled($json));
            last;
        }
    }
}


sub _crossed ($self) {
    my %id;

    for my $entry (@{ $self->{clients} }) {
        my $own = $entry->{text} // (($self->{submitted}{ $entry->{location} // '' }) // {})->{text};
        my ($token) = ($own // '') =~ /(tok_[0-9a-z]+)/;
        my $seen = join ' ', $entry->{body} // '', map { $_->{data} // () }
            @{ $entry->{events} // [] };

        for my $other (uniq $seen =~ /tok_[0-9a-z]+/g) {
            next if defined $token && $other eq $token && $entry->{action} ne 'foreign';
            $self->_broken(crossed => _name($entry), 'shows', $other);
        }
        if ($entry->{action} eq 'foreign' && ($entry->{status} // 404) != 404) {
            $self->_broken(crossed => _name($entry), 'as', $entry->{owner});
        }
        next if !defined $entry->{location} || $entry->{action} eq 'foreign';

        my ($id) = $entry->{location} =~ m{([^/]+)$};
        for my $json (grep { defined $_->{id} && $_->{id} ne $id } _documents($entry)) {
            $self->_broken(crossed => _name($entry), 'has the id', $json->{id});
        }
        next if $entry->{action} ne 'submit';
        my $whose = "$entry->{provider}, $entry->{owner}, $entry->{text}";
        $self->_broken(crossed => _name($entry), "is also that of $id{$id}")
            if ($id{$id} //= $whose) ne $whose;
    }
}


sub _submits ($self) {
    my $seen = $self->{seen}{submit} // {};

    for my $text (sort keys %$seen) {
        my @requests = @{ $seen->{$text} };
        my $sent = $self->{sent}{$text};

        if (!$sent || !any { !$_->{partial} } @$sent) {
            $self->_broken(unasked => $text);
            next;
        }
        my @sent  = grep { !$REFUSED{ $_->{status} // 0 } } @requests;
        my @taken = grep { ($_->{status} // 0) !~ /^(?:3|4(?!08|99))/ } @sent;
        my $lives = $self->_lives(map { $_->{time} } @requests[ 0, -1 ]);
        my %owners = map { $_->{owner} => 1 } @$sent;
        my $once = $sent->[0]{shared} ? 1 : keys %owners;

        # an equal request is sent again after one whose end did not please
        my $failed = $sent->[0]{cached} ? grep { _unclear($_) } @taken : 0;
        my $reruns = $sent->[0]{cached} ? $self->_outlived($sent, \@taken) : 0;

        # each node that is by itself has a cache of its own
        $once *= $self->_by_themselves(map { $_->{time} } @requests[ 0, -1 ]) if $sent->[0]{cached};

        $self->_broken(twice => $text, scalar(@taken), 'times,', "$lives lives ended:",
            map({ sprintf '%.2f %s %s,', $_->{time}, $_->{status} // '-', $_->{fault} // 'kept' } @sent),
            'by', map { sprintf '%s at %.2f to %.2f', _name($_), $_->{start}, $_->{end} } @$sent)
            if @taken > $once * (1 + $lives) + $failed + $reruns || @sent > @$sent;
    }
}


# One that was killed has forgotten, and may be one by itself once more.
sub _by_themselves ($self, $from, $to) {
    return 1 if !$self->_alone($from, $to);
    return $self->{nodes} + grep { $_->{node} } $self->_strikes('kill', $from, $to);
}

sub _unclear ($request) { defined $request->{fault} || ($request->{end} // '') ne 'keep' }


# Those that came when the cache's time, counted from the end of the one before, was over.
sub _outlived ($self, $sent, $taken) {
    my $keep = $self->{rules}{ $sent->[0]{provider} }{keep} // 0;
    return scalar grep { $taken->[$_]{time} - $taken->[ $_ - 1 ]{time} > $keep } 1 .. $#$taken;
}


sub _keys ($self) {
    my (%first, %owner);

    my @keyed = grep { defined $_->{key} && defined $_->{location} && $_->{action} eq 'submit' }
        @{ $self->{clients} };

    for my $entry (sort { $a->{end} <=> $b->{end} } @keyed) {
        my $key = join ' ', @$entry{qw(provider owner key)};
        my $first = $first{$key} //= $entry;

        next if $first->{location} eq $entry->{location};
        $self->_broken(keys => _name($entry), "and $first->{location} of", $key)
            if !$self->_lives($first->{start}, $entry->{end});
        $first{$key} = $entry;
    }
}


sub _quota ($self) {
    for my $provider (sort keys %{ $self->{rules} }) {
        for my $kind (qw(submit poll)) {
            my @times = sort { $a <=> $b } @{ $self->{starts}{$provider}{$kind} // [] };

            for my $window (@{ $self->{rules}{$provider}{$kind} // [] }) {
                my ($max, $seconds) = @$window;
                my ($over) = grep {
                    my ($from, $to) = @times[ $_, $_ + $max ];
                    $to - $from < $seconds - $QUOTA_SLACK && !$self->_lives($from, $to)
                        && !$self->_allowed($max, $from, $seconds, \@times);
                } 0 .. $#times - $max;

                next if !defined $over;
                $self->_broken(quota => $provider, $kind, 'over', $max, 'within',
                    sprintf '%.3f s at %.3f', $times[ $over + $max ] - $times[$over],
                    $times[$over]);
            }
        }
    }
}


# What all had together, and what each that is by itself begins with; one that was killed begins anew.
sub _allowed ($self, $max, $from, $seconds, $times) {
    return 0 if !$self->_alone($from, $from + $seconds);
    my @anew = grep { $_->{node} } $self->_strikes('kill', $from - $seconds, $from + $seconds);
    my $most = $max * (1 + $self->{nodes} + @anew);
    return $most >= grep { $_ >= $from && $_ < $from + $seconds - $QUOTA_SLACK } @$times;
}


# As each client saw it: it has one request under way at a time for a location.
sub _backwards ($self) {
    for my $location (sort keys %{ $self->{at} }) {
        my %done;
        my @entries = sort { $a->{start} <=> $b->{start} } grep { $_->{action} ne 'foreign' }
            @{ $self->{at}{$location} };

        for my $entry (@entries) {
            my $client = $entry->{client};
            for my $json (_documents($entry)) {
                my $known = $done{$client};
                my $end = $json->{done} ? _spelled($json) : 'pending';

                if ($known && $end ne $known->{end} && $known->{time} < $entry->{start}
                    && !$self->_forgotten($known, $entry))
                {
                    $self->_broken(backwards => _name($entry), substr($end, 0, 80),
                        sprintf('from %.3f to %.3f,', @$entry{qw(start end)}),
                        sprintf('had been done at %.3f:', $known->{time}),
                        substr $known->{end}, 0, 80);
                }
                $done{$client} = { end => $end, json => $json, time => $entry->{end} }
                    if $json->{done} && $end ne ($known // { end => '' })->{end};
            }
        }
    }
}


sub _spelled ($json) { encode_json([ @$json{qw(error response)} ]) }


# What could not be used may be so the next time. A cancel is our own word: it ends with the record,
# which is kept from the first request for it on, whoever sent that, and not from when this client
# saw the end.
sub _forgotten ($self, $known, $entry) {
    my $error = $known->{json}{error};
    return 1 if _unusable($known->{json});

    # by the word of upstream on one node, and ours on another
    my $now = (_documents($entry))[-1]{error};
    return 1 if $self->{nodes} && ref $error eq 'HASH' && ref $now eq 'HASH'
        && $error->{code} == 1 && $now->{code} == 1;

    # what one node was told, by a client or by upstream, the others hear of
    return 1 if $self->{nodes} && ($entry->{start} - $known->{time} < $NEWS_LATE
        || $self->_alone($known->{time}, $entry->{end}));
    return 0 if ref $error ne 'HASH' || $error->{code} != 1;

    my $keep = $self->{rules}{ $entry->{provider} }{keep} // 0;
    my $from = min $known->{time}, map { $_->{start} } grep { $_->{action} eq 'cancel' }
        @{ $self->{at}{ $entry->{location} } };
    return $entry->{end} - $from >= $keep || $self->_lives($from, $entry->{end});
}


sub _status ($self) {
    for my $entry (grep { !$_->{vanished} } @{ $self->{clients} }) {
        if (defined $entry->{error}) {
            my @kills = $self->_strikes('kill', $entry->{start} - 0.1, $entry->{end} + 0.1);
            my $cut = any { $entry->{end} - $_->{end} < $SEEN_LATE } @kills;
            $self->_broken(status => _name($entry), sprintf('from %.3f to %.3f, kills at', @$entry{qw(start end)}),
                map { sprintf '%.3f', $_->{end} } $self->_strikes('kill', 0, $entry->{end} + 0.1))
                if !$cut || $entry->{error} eq 'timeout';
            next;
        }
        my $status = $entry->{status};
        my $allowed = $entry->{expect} // $STATUS{ $entry->{action} };

        if (!any { $_ == $status } @$allowed) {
            $self->_broken(status => _name($entry), $entry->{body} // '')
                if !$self->_excused($entry);
            next;
        }
        $self->_form($entry);
        $self->_broken(status => _name($entry), "in the $entry->{phase}")
            if !$entry->{expect} && ($entry->{phase} eq 'calm' && $status !~ /^(?:200|503)$/
                || $entry->{phase} eq 'after' && $status !~ /^20[02]$/);
    }
}


# A status that only circumstances allow.
sub _excused ($self, $entry) {
    my ($status, $from, $to) = @$entry{qw(status start end)};

    return 1 if $status == 500 && $entry->{large} && $self->_strikes('disk', $from - 1, $to);

    # nobody can tell whether it was used
    return 1 if $status == 503 && defined $entry->{key} && $self->_alone($from, $to);

    # another life knows nothing of a key
    return 1 if ($entry->{code} // '') eq 'mismatch' && $self->_lives($entry->{first}, $to)
        && any { $_ == $status } @{ $STATUS{submit} };

    # remembered for a minute
    my $text = ($self->{submitted}{ $entry->{location} // '' } // {})->{text};
    return $status == 404 && defined $text
        && any { ($_->{status} // 0) == 404 && $_->{time} < $to && $_->{time} > $from - 65 }
        @{ $self->{seen}{poll}{$text} // [] };
}


sub _form ($self, $entry) {
    my ($status, $type) = ($entry->{status}, $entry->{headers}{'content-type'} // '');

    return if $entry->{action} eq 'text' || ($entry->{sent}{Accept} // '') eq 'text/plain'
        || ($entry->{method} // '') eq 'HEAD';
    return $self->_translation($entry) if $entry->{action} eq 'translate';

    if ($status >= 400) {
        my $json = $type eq 'application/problem+json' ? eval { from_json($entry->{body}) } : {};
        $self->_broken(status => _name($entry), 'is no problem of the contract:', $entry->{body})
            if ref $json ne 'HASH' || ($PROBLEM{ $json->{code} // '' } // 0) != $status;
        return;
    }
    if ($type !~ m{^text/event-stream} && !_documents($entry)) {
        $self->_broken(status => _name($entry), 'is no operation:', $entry->{body});
    }
    my $events = $entry->{events} // [];
    my ($end) = grep { ($events->[$_]{id} // '') eq 'done' } 0 .. $#$events;
    $self->_broken(backwards => _name($entry), 'goes on after its end')
        if defined $end && $end < $#$events;
}


# Of LibreTranslate's interface, or of DeepL's.
sub _translation ($self, $entry) {
    my $json = eval { from_json($entry->{body}) } // {};
    my $libre = $entry->{path} =~ /libre/;
    my $said = $entry->{status} >= 400 ? $json->{ $libre ? 'error' : 'message' }
        : $libre ? $json->{translatedText} : $json->{translations}[0]{text};

    $self->_broken(status => _name($entry), 'is none of the interface:', $entry->{body})
        if ref $said || ($said // '') eq '';
    $self->_broken(crossed => _name($entry), 'has', $said)
        if $entry->{status} == 200 && ($said // '') ne "echo: $entry->{text}";
}


sub _left ($self) {
    my %state = map { $_->{when} => $_ } @{ $self->{states} };
    my ($before, $after) = @state{qw(before after)};
    return $self->_broken(left => 'nobody looked') if !$before || !$after;

    my %keys;
    for my $entry (grep { _pays($_) } @{ $self->{clients} }) {
        my $name = "$entry->{owner} " . ($entry->{text} // '');
        my $try  = $entry->{phase} eq 'storm' ? $entry->{start} : '';
        $keys{ $entry->{provider} }{+KEY}{"key $name $try"}++ if defined $entry->{key};
        $keys{ $entry->{provider} }{+KEY}{"cache $name"}++ if $entry->{cached};
    }
    for my $zone (sort keys %{ $before->{used} }) {
        for my $size (sort { $a <=> $b } keys %{ $before->{used}{$zone} }) {
            my ($was, $is) = map { $_->{used}{$zone}{$size} // 'unknown' } $before, $after;
            my $keys = keys %{ $keys{$zone}{$size} // {} };
            $self->_broken(left => "$zone: $is pieces of $size bytes, not $was and $keys keys")
                if $is eq 'unknown' || $is > $was + $keys;
        }
    }
    my $most = max(0, values %{ $before->{descriptors} });
    for my $process (sort keys %{ $after->{descriptors} }) {
        my $is = $after->{descriptors}{$process};
        $self->_broken(left => "$process: $is descriptors, not $most") if $is > $most;
    }
}


sub _log ($self) {
    my $full = any { $_->{what} eq 'disk' } @{ $self->{strikes} };

    for my $line (@{ $self->{log} }) {
        for my $secret (@{ $self->{secrets} // [] }) {
            $self->_broken(log => 'a secret:', $line) if index($line, $secret) >= 0;
        }
        next if $line !~ /^\S+ \S+ \[(?:alert|emerg|crit)\]|exited on signal/;
        next if $line =~ /exited on signal 9|was locked by/
            && any { $_->{what} eq 'kill' } @{ $self->{strikes} };
        next if $full && $line =~ $FULL_DISK;
        $self->_broken(log => $line);
    }
}


1;
