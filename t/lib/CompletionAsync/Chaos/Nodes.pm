package CompletionAsync::Chaos::Nodes;

=head1 NAME

CompletionAsync::Chaos::Nodes - several nodes and their Redis, under everything that may go wrong

=head1 SYNOPSIS

    my $chaos = CompletionAsync::Chaos::Nodes->new(seconds => 30, seed => 1, nodes => 3);
    my %journal = $chaos->run;
    note $chaos->figures(\%journal);
    $chaos->done;

=head1 DESCRIPTION

As L<CompletionAsync::Chaos>, with the same clients, each of whose requests goes to any of the nodes. What
strikes here are the nodes (killed and started again, reloaded, a worker killed) and what is between them:
the server stands still, is killed and comes back with its file or empty, pauses its clients, has another
password or no memory for a while; replies are slow, or cut in their middle; a replica takes its place.

The journal says of each strike whether the server was C<away> meanwhile, and whether it C<forgot> what it
had acknowledged. What strikes, when and whom follows from the seed.

=cut

use strict;
use warnings;
use v5.36;

use parent 'CompletionAsync::Chaos';

use List::Util qw(all);
use Test::More ();
use Time::HiRes qw(time);

use CompletionAsync::Chaos::Client;
use CompletionAsync::Chaos::Proxy;
use CompletionAsync::Redis;
use CompletionAsync::Test qw(wait_until);

use constant CLIENTS => 6;

my @STRIKES = qw(node node worker worker hup hup still killed empty pause slow cut failover password memory);


sub new ($class, %arg) {
    my $self = bless { seconds => 30, seed => 1, nodes => 3, strikes => [], keep => 8, %arg }, $class;
    my %limit = (timeout => 3 * $self->{seconds} + 240);
    my $first = $self->{test} = CompletionAsync::Test->new(%limit, emulator => { delay => 0.5 });

    $self->{all} = [ $first, map { CompletionAsync::Test->new(%limit, emulator => 0) } 2 .. $self->{nodes} ];
    $self->{redis} = [ map { CompletionAsync::Redis->start(dir => $first->testdir, aof => 1) } 1, 2 ];
    $self->{redis}[1]->cli(REPLICAOF => '127.0.0.1', $self->{redis}[0]->port);
    $self->{proxy} = CompletionAsync::Chaos::Proxy->start($self->{redis}[0]->port);

    $first->write_file('id.key', 'k' x 48, 0644);
    $first->secret('k' x 48);
    my $same = $first->expand('%%PROVIDER%% id_key file:%%TESTDIR%%/id.key;')
        . ' connect_timeout 1s; request_timeout 3s; poll_interval 100ms 1s;'
        . " retention $self->{keep}s; redis redis://127.0.0.1:" . $self->{proxy}->port
        . " keys=strict nodes=$self->{nodes};";

    for my $node ($self->{all}->@*) {
        $node->allow_killed_workers;
        $node->secret('k' x 48, $first->api_key) if $node != $first;
        $node->define(KEEP => $self->{keep}, SAME => $same,
            GLOBALS => $node->expand('%%TEST_GLOBALS%%') =~ s/ debug;$/ notice;/mr);
        $node->run($self->configuration);
    }
    return $self;
}


sub strikes ($self) { @STRIKES }

# Polls are counted by each node; a submit's rate is one for all of them.
sub rules ($self) {
    my $rules = $self->SUPER::rules;
    delete $_->{poll} for values %$rules;
    return $rules;
}


# What Chaos::Client asks of the test that it runs in.
sub client ($self, %opt) { $self->{all}[ rand $self->{all}->@* ]->client(%opt) }


sub run ($self) {
    my $t = $self->{test};

    $self->{start} = time;
    $self->{end} = $self->{start} + $self->{seconds};
    my @clients = map {
        my $number = $_;
        $self->_fork(sub { $self->_client($number, sub ($client) { $self->_life($client) }) });
    } 1 .. CLIENTS;

    for my $strike ($self->plan) {
        my ($at, $what, $whom) = @$strike;
        $self->_wait($at);
        my $method = "_strike_$what";
        $self->$method($whom);
    }
    $self->_wait($self->{seconds});
    $self->_all_reach;
    $t->write_file('calm', '');
    my $fine = all { $self->_ended($_) } @clients;
    die "a client died\n" if !$fine;

    return (
        upstream => [ grep { !CompletionAsync::Chaos::Checker::_user_text($_)
            || CompletionAsync::Chaos::Checker::_user_text($_) !~ /^calm/ } $t->emulator->journal ],
        clients  => [ map { $self->_lines("client.$_") } 1 .. CLIENTS ],
        strikes  => $self->{strikes},
        nodes    => $self->{nodes},
        log      => [ map { split /\n/, $_->log } $self->{all}->@* ],
        rules    => $self->rules,
        secrets  => [ 'k' x 48, $t->api_key ],
    );
}


sub done ($self) {
    my ($first, @others) = $self->{all}->@*;
    $_->stop(cut => 1) for @others;
    Test::More::is(join("\n", map { $_->_alarms, $_->_reports, $_->_leaks } @others), '',
        'no alarm, no report, no secret in the logs of the others');
    $first->done;
}


sub _ended ($self, $pid) { waitpid($pid, 0) == $pid && $? == 0 }


sub _client ($self, $number, $do) {
    open my $file, '>>', $self->{test}->testdir . "/client.$number" or die "client.$number: $!\n";
    $do->(CompletionAsync::Chaos::Client->new(
        number => $number, file => $file, test => $self, map { $_ => $self->{$_} } qw(seed start)));
    close $file or die "client.$number: $!\n";
}


sub _life ($self, $client) {
    $client->storm($self->{end});
    wait_until(sub { $self->_told('calm') }, 3600, 0.1);
    $client->calm(30 + $self->{seconds} / 4);
}


# Each worker has found it again when a key is taken by each, which it would refuse.
sub _all_reach ($self) {
    my $n = 0;
    for my $node ($self->{all}->@*) {
        wait_until(sub {
            return all { $_->{status} == 202 } map {
                $node->request(POST => '/roomy', body => "calm [delay=0] $n", headers => {
                    'X-Owner' => 'calm', 'Content-Type' => 'text/plain',
                    'Idempotency-Key' => 'calm-' . $n++ })
            } 1 .. 6;
        }, 30, 0.2) or die "a node does not find its server again\n";
    }
}


# Strikes. Of the nodes:

sub _hit ($self, $what, $do, %more) {
    my $time = time;
    $do->();
    push @{ $self->{strikes} }, { what => $what, time => $time, end => time, %more };
}

sub _lasts ($self, $seconds) { $self->_wait(time - $self->{start} + $seconds) }

sub _node ($self, $whom) { $self->{all}[ $whom * $self->{all}->@* ] }


sub _strike_node ($self, $whom) {
    my $node = $self->_node($whom);

    $self->_hit(kill => sub {
        # a master that stands still makes no worker that nobody kills
        my $master = $node->master_pid;
        kill STOP => $master;
        my @pids = ($master, CompletionAsync::Test::_children($master));
        kill KILL => @pids;
        wait_until(sub { !grep { !$node->_gone($_) } @pids });
        # of which nginx has no say
        $node->{exits} = [];
        $self->_lasts(0.3 + $whom);
        $node->run;
    }, node => 1);
}


sub _strike_worker ($self, $whom) {
    my @pids = $self->_node($whom)->worker_pids(all => 1) or return;
    $self->_hit(kill => sub { kill KILL => $pids[0] });
}


sub _strike_hup ($self, $whom) {
    $self->_hit(hup => sub { kill HUP => $self->_node($whom)->master_pid });
}


# Of the server:

sub _away ($self, $what, $seconds, $begin, $end, %more) {
    $self->_hit($what => sub { $begin->(); $self->_lasts($seconds); $end->() }, away => 1, %more);
}

sub _primary ($self) { $self->{redis}[0] }


sub _strike_still ($self, $whom) {
    my $redis = $self->_primary;
    $self->_away(still => 2 * $whom, sub { $redis->pause }, sub { $redis->continue });
}


sub _strike_killed ($self, $whom) {
    my $redis = $self->_primary;
    $self->_away(killed => $whom, sub { $redis->stop(kill => 1) }, sub { $redis->restart });
}


sub _strike_empty ($self, $whom) {
    my $redis = $self->_primary;
    $self->_away(empty => $whom, sub { $redis->cli('FLUSHALL'); $redis->stop(kill => 1) },
        sub { $redis->restart }, forgot => 1);
}


sub _strike_pause ($self, $whom) {
    my $ms = int 200 + 1500 * $whom;
    $self->_away(pause => $ms / 1000, sub { $self->_primary->cli(CLIENT => PAUSE => $ms) }, sub { });
}


sub _strike_slow ($self, $whom) {
    $self->_away(slow => 1, sub { $self->{proxy}->tell(slow => sprintf '%.2f', 0.05 + 0.4 * $whom) },
        sub { $self->{proxy}->tell(fine => 0) });
}


sub _strike_cut ($self, $whom) {
    $self->_away(cut => 0.2 + $whom, sub { $self->{proxy}->tell(cut => 1) },
        sub { $self->{proxy}->tell(fine => 0) });
}


# The replica becomes the primary, and what was not with it is forgotten.
sub _strike_failover ($self, $) {
    my ($old, $new) = $self->{redis}->@*;

    $self->_away(failover => 0.1, sub { $new->cli(REPLICAOF => NO => 'ONE') }, sub {
        $self->{proxy}->tell(to => $new->port);
        $old->cli(REPLICAOF => '127.0.0.1', $new->port);
        @{ $self->{redis} } = ($new, $old);
    }, forgot => 1);
}


sub _strike_password ($self, $whom) {
    my $redis = $self->_primary;
    $self->_away(password => 0.5 + $whom, sub {
        $redis->cli(ACL => SETUSER => default => resetpass => '>other');
        $redis->cli(CLIENT => KILL => TYPE => normal => SKIPME => 'yes');
    }, sub { $redis->cli(ACL => SETUSER => default => 'nopass') });
}


sub _strike_memory ($self, $whom) {
    my $redis = $self->_primary;
    $self->_away(memory => 0.5 + $whom, sub { $redis->cli(CONFIG => SET => maxmemory => 1) },
        sub { $redis->cli(CONFIG => SET => maxmemory => '256mb') });
}


1;
