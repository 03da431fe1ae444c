package CompletionAsync::Metrics;

=head1 NAME

CompletionAsync::Metrics - Prometheus text, read by a test

=head1 SYNOPSIS

    my $metrics = CompletionAsync::Metrics->scrape($t, '/metrics');    # and options of a request
    $metrics->value('submits_total', provider => 'yandex', result => 'accepted');
    $metrics->sum('submits_total', provider => 'yandex');   # over the labels not named
    $metrics->names;                                        # as samples are called, in order
    $metrics->{type}{$name}; $metrics->{help}{$name}; $metrics->{samples};

    my ($status, $output) = CompletionAsync::Metrics->promtool($input, 'check', 'metrics');

=head1 DESCRIPTION

Names are given without C<nginx_completion_async_>. A text that breaks the format dies: a sample
without a TYPE, one that stands apart from its family, twice the same one, another provider than
the first label. C<samples> is a list of [name, {labels}, value].

=cut

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp ();
use List::Util qw(sum0);

my $PREFIX = 'nginx_completion_async_';
my $ROOT   = abs_path(dirname(__FILE__) . '/../../..');


sub scrape ($class, $t, $path, %arg) {
    my $r = $t->request(GET => $path, %arg);
    die "scrape: $r->{status}\n" if ($r->{status} // 0) != 200;
    return $class->parse($r->{body});
}


sub parse ($class, $text) {
    my $self = bless { text => $text, samples => [], seen => {} }, $class;
    my $family = '';
    die "no line end at the end\n" if $text !~ /\n\z/;

    for my $line (split /\n/, $text) {
        if ($line =~ /^# (HELP|TYPE) \Q$PREFIX\E(\w+) (.+)$/) {
            die "twice: $line\n" if exists $self->{lc $1}{$2};
            $self->{lc $1}{$2} = $3;
            $family = $2;
            next;
        }
        $line =~ /^\Q$PREFIX\E(\w+)(?:\{(.*)\})? (\S+)$/ or die "no sample: $line\n";
        my ($name, $labels, $value) = ($1, $2 // '', $3);
        my $of = ($self->{type}{$family} // '') eq 'histogram'
            ? qr/^\Q$family\E_(?:bucket|sum|count)$/ : qr/^\Q$family\E$/;
        die "not of $family: $line\n" if $name !~ $of || !$self->{type}{$family};

        my @pair = $labels =~ /\G(\w+)="((?:[^"\\]|\\.)*)"(?:,|\z)/g;
        die "labels: $line\n" if join(',', map { "$pair[$_]=\"$pair[$_ + 1]\"" }
            grep { $_ % 2 == 0 } 0 .. $#pair) ne $labels;
        die "the first label: $line\n" if $family ne 'build_info' && $pair[0] ne 'provider';
        die "twice: $line\n" if $self->{seen}{"$name $labels"}++;
        push @{ $self->{samples} }, [ $name, {@pair}, $value ];
    }
    return $self;
}


sub names ($self) {
    my %seen;
    return grep { !$seen{$_}++ } map { "$PREFIX$_->[0]" } @{ $self->{samples} };
}


sub matching ($self, $name, %label) {
    return grep {
        my $of = $_->[1];
        $_->[0] eq $name && !grep { ($of->{$_} // '') ne $label{$_} } keys %label
    } @{ $self->{samples} };
}


sub sum ($self, $name, %label) {
    my @sample = $self->matching($name, %label) or die "there is no $name\n";
    return sum0 map { $_->[2] } @sample;
}


sub value ($self, $name, %label) {
    my @sample = $self->matching($name, %label);
    die scalar(@sample) . " samples of $name\n" if @sample != 1;
    return $sample[0][2];
}


# (exit status, what it says); dies if there is none.
sub promtool ($class, $input, @argument) {
    my ($program) = grep { -x } (map { "$_/promtool" } split /:/, $ENV{PATH}),
        "$ROOT/build/promtool";
    die "there is no promtool: run \"make deps\"\n" if !defined $program;

    my $file = File::Temp->new;
    print $file $input;
    close $file;

    my $pid = open(my $output, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDIN, '<', $file->filename or die "promtool: $!\n";
        open STDERR, '>&', \*STDOUT or die "promtool: $!\n";
        exec $program, @argument or die "$program: $!\n";
    }
    local $/;
    my $said = <$output>;
    close $output;
    return ($? >> 8, $said // '');
}


1;
