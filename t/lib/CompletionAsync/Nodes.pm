package CompletionAsync::Nodes;

=head1 NAME

CompletionAsync::Nodes - several nginx in front of one upstream, with one Redis between them

=head1 SYNOPSIS

    use CompletionAsync::Nodes;

    my $nodes = CompletionAsync::Nodes->new(n => 3, provider => 'submit_rate 10r/s;');
    my ($one, @others) = $nodes->all;               # each a CompletionAsync::Test
    $nodes->redis->pause;
    $nodes->emulator->submits;
    $nodes->done;

=head1 METHODS

    new(%opt)       n (2) nodes that serve:
        emulator => {...}       its settings
        redis => {...}          those of L<CompletionAsync::Redis>
        parameters => TEXT      of the directive, behind the URL
        and what location_conf() of L<CompletionAsync::Test> takes; lines of the provider stand
        behind those of all nodes: credential, URLs, id_key, redis
    all             the nodes
    more($conf)     one more, with that configuration or that of all others: it
    redis, emulator
    conf            the configuration of all of them, a template
    done            ends them, and the test

=cut

use strict;
use warnings;
use v5.36;

use CompletionAsync::Redis;
use CompletionAsync::Test;
use Test::More;


sub new ($class, %opt) {
    my $n        = delete $opt{n} // 2;
    my $emulator = delete $opt{emulator} // {};
    my $redis    = delete $opt{redis} // {};
    my $more     = delete $opt{parameters} // '';
    my $first    = CompletionAsync::Test->new(emulator => $emulator);
    my @others   = map { CompletionAsync::Test->new(emulator => 0) } 2 .. $n;
    my $self     = bless { nodes => [ $first, @others ], emulator => $first->emulator }, $class;

    $self->{redis} = CompletionAsync::Redis->start(dir => $first->testdir, %$redis);
    $first->secret_file('id.key', join '', map { chr 33 + int rand 90 } 1 .. 40);

    my $own = $first->expand('%%PROVIDER%% id_key file:%%TESTDIR%%/id.key;') . ' redis ' . $self->{redis}->url
        . " $more;";
    $self->{conf} = CompletionAsync::Test->location_conf(%opt, provider => "$own " . ($opt{provider} // ''));
    $_->run($self->{conf}) for $self->all;
    return $self;
}


sub more ($self, $conf = $self->{conf}) {
    my $node = CompletionAsync::Test->new(emulator => 0);
    push @{ $self->{nodes} }, $node;
    return $node->run($conf);
}


sub all ($self)      { @{ $self->{nodes} } }
sub redis ($self)    { $self->{redis} }
sub emulator ($self) { $self->{emulator} }
sub conf ($self)     { $self->{conf} }


# Who has the emulator goes last.
sub done ($self) {
    my ($first, @others) = $self->all;

    $_->stop(cut => 1) for @others;
    is join("\n", map { $_->_alarms, $_->_reports, $_->_leaks } @others), '',
        'no alarm, no report, no secret in the logs of the others';
    $first->done;
}


1;
